"""The `engine` command: each mode by hand on a laptop, by a VM from a plan, and by a scheduler.

This is the one place where the engine's errors become a line for a person and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import click

from engine import __version__
from engine.clock import parse_day, utc_now
from engine.conversion_command import convert_command
from engine.errors import EngineError, ExitCode, UsageError, one_line
from engine.loopback import guard_from_environment

NOT_YET = {
    "validate": "re-verify committed objects against manifests and the source",
    "adopt": "take over a lake that exists already",
    "replay": "raw exchange messages of a range",
    "candles": "candles with features from committed ticks",
    "upload-bigquery": "load candles and ticks into BigQuery",
    "stream-ticks": "live ticks into BigQuery",
    "stream-candles": "live candles with features",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `engine` command and exit with a documented code."""
    sys.exit(run_command(command, arguments, program="engine"))


def run_command(group: click.Command, arguments: Sequence[str] | None, *, program: str) -> int:
    """Run a click command; its errors become one line on stderr and an exit code."""
    guard_from_environment()
    try:
        result = group.main(args=list(arguments) if arguments is not None else None, prog_name=program, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return ExitCode.USAGE
    except click.UsageError as error:
        where = f"{error.ctx.command_path} --help" if error.ctx else f"{program} --help"
        click.echo(f"{program}: {error.format_message()} -> see: {where}", err=True)
        return ExitCode.USAGE
    except click.Abort:
        click.echo(f"{program}: interrupted -> run the same command again, it goes on where it stopped", err=True)
        return ExitCode.TEMPORARY
    except click.ClickException as error:
        click.echo(f"{program}: {error.format_message()}", err=True)
        return ExitCode.USAGE
    except EngineError as error:
        click.echo(f"{program}: {one_line(error)}", err=True)
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.DONE
    return result if isinstance(result, int) else ExitCode.DONE


class Day(click.ParamType[date]):
    """A UTC day: `2024-05-01`, `today`, `yesterday`, `7d`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read the text, or fail with the forms that work."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(str(value), today=utc_now().date())
        except UsageError as error:
            self.fail(one_line(error), param, ctx)


class Words(click.ParamType[tuple[str, ...]]):
    """Comma-separated words."""

    name = "a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split, dropping blanks and repetitions, keeping the order."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip()))
        if not words:
            self.fail("is empty", param, ctx)
        return words


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="engine")
def command() -> None:
    """Download, convert and commit crypto tick data; what Tickdeck's VMs run."""


def bucket_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data-bucket` and `--state-bucket`."""
    for option in (
        click.option("--state-bucket", envvar="STATE_BUCKET", help="Bucket of plans, runs and manifests [<data bucket>-state]."),
        click.option("--data-bucket", envvar=["DATA_BUCKET", "GCS_BUCKET"], help="Bucket of the lake."),
    ):
        function = option(function)
    return function


@command.command()
@click.option("--run", envvar="TICKDECK_RUN", help="The run to work for [from the instance's metadata].")
@click.option("--vm", envvar="TICKDECK_VM", help="This worker's name [the instance's name].")
@click.option("--shard", "shards", type=int, multiple=True, help="Work on this shard, whatever the launch record says.")
@click.option("--plan", help="With --shard: the plan [the run's].")
@bucket_options
def work(**options: Any) -> int:
    """Work on the shards that a launch record gives to this VM."""
    from engine.commands import work_command

    return asyncio.run(work_command(**options))


@command.command()
@click.option("--venues", envvar="VENUES", type=Words(), required=True, help="Tardis exchange ids.")
@click.option("--data-types", envvar="DATA_TYPES", type=Words(), required=True, help="trades,book_snapshot_5,...")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), required=True, help="First day, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--symbols", envvar="SYMBOLS", type=Words(), help="Only these dataset symbols [all that are expected].")
@click.option("--universe", envvar="UNIVERSE", default="", help="A named symbol list, e.g. tier1.")
@click.option("--shard-index", envvar="SHARD_INDEX", type=click.IntRange(min=0), help="Do one shard of several.")
@click.option("--total-shards", envvar="TOTAL_SHARDS", type=click.IntRange(min=1), help="How many shards there are.")
@click.option("--run", envvar="TICKDECK_RUN", help="Go on with this run [a new one].")
@click.option("--max-concurrent", type=int, help="Downloads at once.")
@click.option("--converters", "--max-workers", type=int, help="Conversions at once.")
@click.option("--batch-size", type=int, help="Instruments in one batch.")
@click.option("--refetch-empty", is_flag=True, help="Ask again for files that were empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@bucket_options
def download(**options: Any) -> int:
    """Download a range of days by hand: plan, fetch, convert and commit in this process."""
    from engine.commands import download_command

    return asyncio.run(download_command(**options))


@command.command()
@click.option("--venues", envvar="VENUES", type=Words(), help="Tardis exchange ids.")
@click.option("--start-date", "--start", "start", envvar="START_DATE", type=Day(), help="First day of definitions, UTC.")
@click.option("--end-date", "--end", "end", envvar="END_DATE", type=Day(), help="Last day, inclusive [the first].")
@click.option("--list-venues", is_flag=True, help="Print the venues the source knows.")
@bucket_options
def instruments(**options: Any) -> int:
    """Ask what venues offer; keep the catalogue and the definitions of each day."""
    from engine.commands import instruments_command

    return asyncio.run(instruments_command(**options))


@command.group()
def config() -> None:
    """Settings of the engine."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--vm", "on_vm", is_flag=True, help="With the defaults of a VM.")
def config_show(as_json: bool, on_vm: bool) -> None:
    """Print every setting, its value and where it came from."""
    from engine.settings import TABLE, resolve

    settings = resolve(on_vm=on_vm)
    rows = []
    for setting in TABLE:
        value = settings.values[setting.name]
        text = "[set]" if setting.secret and value.text else value.text
        rows.append({"name": setting.environment[0], "value": text, "origin": value.origin, "help": setting.help})
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['value'] or '-':<32}  {row['origin']:<28}  {row['help']}")


def _add_later(name: str, what: str) -> None:
    @command.command(name, help=f"Not yet: {what}.", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def later(arguments: tuple[str, ...]) -> int:  # noqa: ARG001
        raise UsageError(f"engine {name} is not there yet ({what})", hint="see CHANGELOG.md for what this version has")


for _name, _what in NOT_YET.items():
    _add_later(_name, _what)

command.add_command(convert_command)

if __name__ == "__main__":
    main()
