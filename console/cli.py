"""The `tickdeck` command: the console, and its verbs without a terminal. The one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from engine import __version__
from engine.cli import run_command
from engine.errors import ExitCode, UsageError

VERBS = {
    "abort": "console.verbs.fleet:abort_command",
    "audit": "console.verbs.audit:audit_command",
    "check": "console.verbs.check:check_command",
    "cleanup": "console.verbs.fleet:cleanup_command",
    "config": "console.verbs.config:config_command",
    "demo": "console.verbs.demo:demo_command",
    "deploy": "console.verbs.deploy:deploy_command",
    "drain": "console.verbs.fleet:drain_command",
    "fleet": "console.verbs.fleet:fleet_command",
    "local": "console.verbs.local:local_command",
    "logs": "console.verbs.logs:logs_command",
    "plan": "console.verbs.plan:plan_command",
    "reconcile": "console.verbs.fleet:reconcile_command",
    "repair": "console.verbs.repair:repair_command",
}
"""Where each verb lives. Loaded when it is called: `--help` and `plan` must not wait for a cloud client."""

NOT_YET = {
    "adopt-resources": "label what the old scripts left behind, so that cleanup sees it",
    "catalogue": "what changed between two catalogues",
    "costs": "estimates against what was spent",
    "doctor": "credentials, quotas, permissions, before they cost money",
    "iam": "the permissions each part needs",
    "images": "build, push and list engine images",
    "run": "another job on a VM that was kept",
    "waive": "say, with a reason, that the source will never have a file",
}


class Verbs(click.Group):
    """A group that imports a verb's module when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs, also those of later versions."""
        return sorted([*VERBS, *NOT_YET])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """One verb."""
        if name in VERBS:
            module, _, attribute = VERBS[name].partition(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
            return command
        return _later(name, NOT_YET[name]) if name in NOT_YET else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown verb names the nearest."""
        import difflib

        name = args[0]
        if not name.startswith("-") and name not in VERBS and name not in NOT_YET:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            raise UsageError(f"there is no verb {name!r}", hint=f"did you mean {near[0]}?" if near else "see: tickdeck --help")
        return super().resolve_command(ctx, args)


def _later(name: str, what: str) -> click.Command:
    @click.command(name, help=f"Not yet: {what}.", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def later(arguments: tuple[str, ...]) -> int:  # noqa: ARG001
        raise UsageError(f"tickdeck {name} is not there yet ({what})", hint="see CHANGELOG.md for what this version has")

    return later


@click.group(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", "profile_name", envvar="TICKDECK_PROFILE", default="", help="Profile [the active one].")
@click.option("--read-only", is_flag=True, help="Look, change nothing.")
@click.version_option(__version__, prog_name="tickdeck")
@click.pass_context
def command(ctx: click.Context, profile_name: str, read_only: bool) -> Any:
    """Backfill a crypto tick-data lake on Google Cloud and keep it complete. Without a verb: the console."""
    if profile_name:
        os.environ["TICKDECK_PROFILE"] = profile_name
    if read_only:
        os.environ["TICKDECK_READ_ONLY"] = "true"
    if ctx.invoked_subcommand is not None:
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal", hint="use a verb; see: tickdeck --help")
    from console.app import run_console

    def opener(report: Any) -> Any:
        # Imported in the thread that opens: the first picture waits for nothing.
        from console.session import open_session

        return open_session(profile_name, report=report)

    return run_console(opener, None, read_only=read_only)


EXTRAS = {"textual": "console", "rich": "console", "grpc": "console", "google": "console", "numpy": "local"}
"""Which extra brings a package that may be missing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `tickdeck` command and exit with a documented code."""
    try:
        code = run_command(command, arguments, program="tickdeck")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        click.echo(f"tickdeck: {error.name} is not installed -> pip install 'tickdeck[{extra}]'", err=True)
        code = ExitCode.CONFIGURATION
    sys.exit(code)


if __name__ == "__main__":
    main()
