"""The `tickdeck` command: the console, and its verbs without a terminal. The one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from engine import __version__
from engine.cli import Verb, VerbGroup, run_command
from engine.errors import ExitCode, UsageError

VERBS = {
    "abort": Verb("Delete all VMs of a run, in any state.", "console.verbs.fleet:abort_command"),
    "adopt-resources": Verb(
        "Label what the old scripts left behind, so that cleanup sees it.", "console.verbs.adopt_resources:adopt_resources_command"
    ),
    "alerts": Verb("Tell people when the lake is not as it should be.", ""),
    "audit": Verb("Who changed what, when, and what came of it.", "console.verbs.audit:audit_command"),
    "catalogue": Verb("What venues offer, and what changed between two catalogues.", "console.verbs.catalogue:catalogue_command"),
    "check": Verb("Is the data there? Coverage of a range.", "console.verbs.check:check_command"),
    "cleanup": Verb("Delete what is provably garbage.", "console.verbs.fleet:cleanup_command"),
    "config": Verb("Settings and profiles: every value and where it came from.", "console.verbs.config:config_command"),
    "costs": Verb("Estimates against what was spent.", "console.verbs.costs:costs_command"),
    "demo": Verb("The whole product on this machine.", "console.verbs.demo:demo_command"),
    "deploy": Verb("Launch a fleet for a request or a saved plan.", "console.verbs.deploy:deploy_command"),
    "doctor": Verb("Credentials, quotas, permissions, before they cost money.", "console.verbs.doctor:doctor_command"),
    "drain": Verb("No new work for a run; what is in flight finishes.", "console.verbs.fleet:drain_command"),
    "fleet": Verb("The VMs of a run, worst first.", "console.verbs.fleet:fleet_command"),
    "iam": Verb("The permissions each part needs.", "console.verbs.iam:iam_command"),
    "images": Verb("Build, push and list engine images.", "console.verbs.images:images_command"),
    "local": Verb("The local cloud: up, down, status, chaos.", "console.verbs.local:local_command"),
    "logs": Verb("Logs of VMs by name or pattern.", "console.verbs.logs:logs_command"),
    "plan": Verb("What a request would do. Starts nothing.", "console.verbs.plan:plan_command"),
    "query": Verb("SQL over the lake.", "console.verbs.query:query_command"),
    "reconcile": Verb("Replace lost VMs of a run.", "console.verbs.reconcile:reconcile_command"),
    "repair": Verb("Plan and launch what is missing in a range.", "console.verbs.repair:repair_command"),
    "run": Verb("Another job on a VM that was kept.", "console.verbs.run:run_command"),
    "schedule": Verb("Daily jobs by Cloud Run and Cloud Scheduler.", ""),
    "waive": Verb("Say, with a reason, that the source will never have a file.", "console.verbs.waive:waive_command"),
}


@click.group(cls=VerbGroup, verbs=VERBS, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", "profile_name", envvar="TICKDECK_PROFILE", default="", help="Profile [the active one].")
@click.option("--read-only", is_flag=True, help="Look, change nothing.")
@click.option("--record", metavar="FILE", default="", help="Record what the console sees here [a ring of the last hours]; off: nowhere.")
@click.option("--replay", metavar="FILE", default="", help="Look at a recording, step by step with , and . ; last: the newest one here.")
@click.option("--theme", metavar="NAME", default="", help="Colours [those of the settings, else the ones chosen last].")
@click.version_option(__version__, prog_name="tickdeck")
@click.pass_context
def command(ctx: click.Context, profile_name: str, read_only: bool, record: str, replay: str, theme: str) -> Any:
    """Backfill a crypto tick-data lake on Google Cloud and keep it complete. Without a verb: the console."""
    if profile_name:
        os.environ["TICKDECK_PROFILE"] = profile_name
    if read_only:
        os.environ["TICKDECK_READ_ONLY"] = "true"
    if ctx.invoked_subcommand is not None:
        if record or replay or theme:
            raise UsageError("--record, --replay and --theme are the console's own", hint="leave the verb out")
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal", hint="use a verb; see: tickdeck --help")
    from console.running import make_recorder, run_console

    if replay:
        from console.places import recordings_folder
        from console.recording.replay import Replay, open_recording

        played = Replay(open_recording(recordings_folder() if replay == "last" else Path(replay)))
        return run_console(lambda _report: played.session(), None, read_only=True, replay=played, theme=theme)

    def opener(report: Any) -> Any:
        # Imported in the thread that opens: the first picture waits for nothing.
        from console.session import open_session

        return open_session(profile_name, report=report)

    return run_console(opener, None, read_only=read_only, recorder=make_recorder(record), theme=theme)


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
