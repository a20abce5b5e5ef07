"""The `engine` command: each mode by hand on a laptop, by a VM from a plan, and by a scheduler.

This is the one place where the engine's errors become a line for a person and an exit code. The console's command line shares
`VerbGroup` and `run_command`.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import click

from engine import __version__
from engine.collector import collector_spared
from engine.errors import EngineError, ExitCode, UsageError, one_line
from engine.loopback import VARIABLE, OutsideConnectionError, guard_from_environment

IMPORT_SECONDS = 0.02
"""How long a stop waits for an import before it looks again."""


class Verb(NamedTuple):
    """One verb of a command line: what `--help` says of it, and where it lives."""

    help: str
    place: str
    """`module:attribute`, imported when the verb is called. Empty: a later version brings it."""


class VerbGroup(click.Group):
    """A group that imports a verb's module when the verb is called: `--help` imports none of them."""

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs, also those of later versions."""
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """One verb."""
        verb = self._verbs.get(name)
        if verb is None:
            return None
        if not verb.place:
            return _later(str(ctx.info_name), name, verb.help)
        module, _, attribute = verb.place.partition(":")
        with collector_spared():
            command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown verb names the nearest."""
        name = args[0]
        if not name.startswith("-") and name not in self._verbs:
            import difflib

            near = difflib.get_close_matches(name, self._verbs, n=1)
            raise UsageError(f"there is no verb {name!r}", hint=f"did you mean {near[0]}?" if near else f"see: {ctx.info_name} --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The verbs with their help, out of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help if verb.place else f"Not yet: {verb.help}") for name, verb in sorted(self._verbs.items())])


def _later(program: str, name: str, what: str) -> click.Command:
    @click.command(name, help=f"Not yet: {what}", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def later(arguments: tuple[str, ...]) -> int:  # noqa: ARG001
        raise UsageError(f"{program} {name} is not there yet ({what.rstrip('.')})", hint="see CHANGELOG.md for what this version has")

    return later


VERBS = {
    "adopt": Verb("Take over a lake that exists already.", "engine.verbs.adopt:adopt_command"),
    "candles": Verb("Candles with features from committed ticks.", "engine.verbs.candles:candles_group"),
    "config": Verb("Settings: every value and where it came from.", "engine.verbs.config:config_command"),
    "convert": Verb("Convert one source file on this machine to Parquet.", "engine.verbs.convert:convert_command"),
    "doctor": Verb("Check source, key, buckets, disk, memory and clock.", "engine.verbs.doctor:doctor_command"),
    "download": Verb("Download a range of days in this process.", "engine.verbs.download:download_command"),
    "instruments": Verb("Keep what venues offer, and the definitions of each day.", "engine.verbs.instruments:instruments_command"),
    "replay": Verb("Raw exchange messages of a range.", "engine.verbs.replay:replay_command"),
    "stream-candles": Verb("Live candles with features.", ""),
    "stream-ticks": Verb("Live ticks into BigQuery.", ""),
    "upload-bigquery": Verb("Load candles and ticks into BigQuery.", "engine.verbs.upload_bigquery:upload_command"),
    "validate": Verb("Re-verify committed objects against manifests and the source.", "engine.verbs.validate:validate_command"),
    "work": Verb("Work on the shards that a launch record gives to this VM.", "engine.verbs.work:work_command"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `engine` command and exit with a documented code."""
    signal.signal(signal.SIGTERM, _stop_early)
    code = run_command(command, arguments, program="engine")
    # What it came to stays. Python takes its handlers away as it ends, and a signal would then be the exit code; ignored ones stay so.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A thread that still waits for the bucket must not hold back the end. Nothing says that its file is done.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _stop_early(_signum: int, frame: FrameType | None) -> None:
    """SIGTERM before a worker hears it, or where there is none: nothing is half-written, whatever was going on."""
    if _is_importing(frame):
        # A native module that is just beginning turns an exception into a crash, with an exit code that says nothing.
        signal.signal(signal.SIGALRM, _tell_again)
        signal.setitimer(signal.ITIMER_REAL, IMPORT_SECONDS)
        return
    os.write(2, b"engine: stopped by SIGTERM -> run the same command again, it goes on where it stopped\n")
    raise SystemExit(ExitCode.TEMPORARY)


def _tell_again(_signum: int, _frame: FrameType | None) -> None:
    """The same signal once more, for whoever listens to it by now."""
    signal.raise_signal(signal.SIGTERM)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


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
    except OSError as error:
        code, step = _what_to_do(error)
        click.echo(f"{program}: {' '.join(str(error).split())} -> {step}", err=True)
        return code
    return result if isinstance(result, int) else ExitCode.DONE


def _what_to_do(error: OSError) -> tuple[ExitCode, str]:
    """What the system refused, wherever it was met: the exit code and the next step."""
    if isinstance(error, OutsideConnectionError):
        return ExitCode.CONFIGURATION, f"unset {VARIABLE}, or use another profile"
    if isinstance(error, PermissionError):
        return ExitCode.NOT_PERMITTED, "let this user read and write there"
    if isinstance(error, ConnectionError | TimeoutError):
        return ExitCode.UNAVAILABLE, "check the network, then run again"
    return ExitCode.UNAVAILABLE, "see that it is there, and that its disk has room"


@click.group(cls=VerbGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="engine")
def command() -> None:
    """Download, convert and commit crypto tick data; what Tickdeck's VMs run."""


if __name__ == "__main__":
    main()
