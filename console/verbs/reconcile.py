"""`tickdeck reconcile`: a run is looked after without a console."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from console.reconcile_events import ReconcileEvent
from console.session import Session
from console.verbs.options import headless_session, json_option, notify_option, profile_option, ring, say_aside
from engine.clock import format_time
from engine.errors import EngineError, ExitCode, UsageError, one_line
from engine.verbs.printing import print_json
from provision.reconcile import Outlook

INTERVAL_SECONDS = 15.0
LOCAL_INTERVAL_SECONDS = 2.0


@click.command("reconcile")
@click.argument("run", default="")
@click.option("--all", "everything", is_flag=True, help="All runs of the project that are live or have VMs.")
@click.option("--watch", is_flag=True, help="Again and again until the run is complete (exit code 0) or failed for good (65).")
@click.option("--interval", type=click.FloatRange(min=0.5), help="Seconds between two looks [15, of the local cloud 2].")
@click.option("--max-cost", type=click.FloatRange(min=0), default=0.0, help="US dollars that a run may cost [the plan's, the profile's].")
@click.option("--armed", is_flag=True, help="Write although the profile is protected.")
@notify_option
@profile_option
@json_option
def reconcile_command(
    *,
    run: str,
    everything: bool,
    watch: bool,
    interval: float | None,
    max_cost: float,
    armed: bool,
    notify: tuple[str, ...],
    profile_name: str,
    as_json: bool,
) -> int:
    """Replace the VMs that a run has lost (same shards, next attempt), delete those that have done their work, keep to the cost limit.

    One console at a time looks after a run: another one waits until the first is silent for a minute. Prints a line for each event,
    with --json an object a line. SIGTERM ends it with exit code 75; whoever comes next goes on.
    """
    if run and everything:
        raise UsageError("RUN and --all exclude each other", hint="name one run, or give --all")
    session = headless_session(profile_name, armed=armed)
    watcher = _Watcher(session, max_cost=max_cost, as_json=as_json)
    runs = _named(session, run, everything=everything)
    with session.watching.telling(notify, bell=ring, report=say_aside):
        if not watch:
            return watcher.look_once(runs)
        seconds = interval or (LOCAL_INTERVAL_SECONDS if session.profile.kind == "local" else INTERVAL_SECONDS)
        return watcher.watch(runs, everything=everything, seconds=seconds)


def _named(session: Session, run: str, *, everything: bool) -> list[str]:
    """The runs that are meant: the given one, all that are live or have VMs, or the only one of them."""
    if run:
        return [session.runs.read(run).run]
    found = session.watching.runs_at_hand()
    if everything or len(found) == 1:
        return found
    hint = f"name one: {', '.join(found)}, or --all" if found else "list them: tickdeck fleet --runs"
    raise UsageError(f"{len(found)} runs are live or have VMs", hint=hint)


class _Watcher:
    """Passes over runs, and what was said about them."""

    def __init__(self, session: Session, *, max_cost: float, as_json: bool) -> None:
        self._session = session
        self._max_cost = max_cost
        self._as_json = as_json
        self._told: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self._trouble = ""

    def look_once(self, runs: Sequence[str]) -> int:
        """One pass over each run."""
        codes = []
        for run in runs:
            events, outlook = self._session.healing.look_after(run, max_cost=self._max_cost)
            self._say(events)
            if not events:
                self._line("nothing", run, f"nothing is lost; {outlook.verdict}")
            codes.append(ExitCode.PARTIAL if outlook.state == "failed" else ExitCode.DONE)
        self._session.healing.let_go()
        return max(codes, default=ExitCode.DONE)

    def watch(self, runs: Sequence[str], *, everything: bool, seconds: float) -> int:
        """Passes until all runs are over; with `everything`, runs that begin meanwhile are looked after too."""
        going, failed, seen = list(runs), False, set(runs)
        with _stop_signals() as stopped:
            try:
                while not stopped.is_set():
                    going, failed = self._pass(going, failed)
                    if everything:
                        begun = [run for run in self._session.watching.runs_at_hand() if run not in seen]
                        going, seen = [*going, *begun], seen.union(begun)
                    if not going:
                        return ExitCode.PARTIAL if failed else ExitCode.DONE
                    stopped.wait(seconds)
            finally:
                self._session.healing.let_go()
        self._line("stopped", "", "told to stop; the runs go on, and anybody may look after them")
        return ExitCode.TEMPORARY

    def _pass(self, runs: Sequence[str], failed: bool) -> tuple[list[str], bool]:
        """One pass; a cloud that does not answer is asked again at the next."""
        going = []
        for run in runs:
            try:
                events, outlook = self._session.healing.look_after(run, max_cost=self._max_cost)
            except EngineError as error:
                if error.exit_code is not ExitCode.UNAVAILABLE:
                    raise
                self._complain(run, one_line(error))
                going.append(run)
                continue
            self._trouble = ""
            self._say(events)
            failed = failed or outlook.state == "failed" or (outlook.state == "complete" and outlook.bad_files)
            if outlook.state == "going on":
                going.append(run)
            else:
                self._line(outlook.state, run, _ending(outlook))
        return going, failed

    def _say(self, events: Sequence[ReconcileEvent]) -> None:
        for event in events:
            key = (event.kind, event.run, event.vms)
            if not event.is_state or self._told.get(key) != event.text:
                self._told[key] = event.text
                self._line(event.kind, event.run, event.text, event.vms)

    def _complain(self, run: str, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._line("unavailable", run, f"{text}; trying again")

    def _line(self, kind: str, run: str, text: str, vms: Sequence[str] = ()) -> None:
        now = self._session.clock()
        if self._as_json:
            print_json({"time": format_time(now), "event": kind, "run": run, "vms": list(vms), "text": text}, one_line=True)
        else:
            click.echo(f"{now:%H:%M:%S}  {f'{run}  ' if run else ''}{text}")


def _ending(outlook: Outlook) -> str:
    if outlook.state == "failed":
        return f"failed for good: {outlook.verdict}"
    return "complete, but some files failed or are quarantined: tickdeck check says which" if outlook.bad_files else "complete"


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, for the time of the block."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
