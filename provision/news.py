"""What in the fleet is worth telling somebody who is not looking: found by comparing looks, told by `provision.notify`.

Separate from sending, so that what counts as news can be read and tested without a network. Every loop that looks at the fleet again
and again (the console, `fleet --watch`, `reconcile --watch`) has one `News`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from engine.errors import EngineError, ExitCode, UsageError
from provision.fleet import FleetSnapshot
from provision.notify import Event, Kind
from provision.runs import Phase, RunView
from provision.vm_state import FleetVm, VmState

FRESH = timedelta(hours=1)
NAMED = 3
"""So many VMs are named in one line; the rest is a number."""


class News:
    """Remembers what was live and what was told."""

    def __init__(self, read_run: Callable[[str], RunView]) -> None:
        """`read_run` reads a run that the last look showed and this one does not; it may raise an `EngineError`."""
        self._read_run = read_run
        self._live: set[str] = set()
        self._told: set[tuple[Kind, str, str]] = set()

    def of(self, snapshot: FleetSnapshot) -> tuple[Event, ...]:
        """What this look shows that no look before it did. A run that was finished at the first look is no news."""
        return tuple(event for event in self._find(snapshot) if event.subject or self._is_new(event.kind, event.run, ""))

    def _find(self, snapshot: FleetSnapshot) -> Iterator[Event]:
        yield from self._ended(snapshot)
        for view in snapshot.runs:
            stop = view.canary_stop
            # One that stopped long ago is history: whoever starts to look now need not be woken for it.
            if stop is not None and snapshot.taken - stop.when < FRESH:
                yield Event(Kind.CANARY, view.run, f"the launch stopped at canary {stop.vm}: {stop.cause}")
        troubled = [vm for vm in snapshot.vms if vm.managed and not vm.replaced_by]
        for run in sorted({vm.run for vm in troubled}):
            rows = [vm for vm in troubled if vm.run == run]
            yield from self._vms(Kind.STUCK, run, [vm for vm in rows if vm.state is VmState.STUCK], "stuck")
            yield from self._vms(Kind.LOST, run, [vm for vm in rows if vm.state is VmState.LOST], "lost")
            yield from _source(run, rows)

    def _ended(self, snapshot: FleetSnapshot) -> Iterator[Event]:
        shown = {view.run: view for view in snapshot.runs}
        unread: set[str] = set()
        for run in sorted(self._live):
            try:
                view = shown.get(run) or self._read_run(run)
            except UsageError:
                continue  # it is not there any more
            except EngineError:
                unread.add(run)  # the next look asks again; the look at the fleet must not fail for the news
                continue
            if view.phase(snapshot.taken) is Phase.FINISHED:
                yield Event(Kind.DONE, run, _done_line(view, snapshot.of_run(run)))
        self._live = unread | {run for run, view in shown.items() if _is_live(view, snapshot.taken)}

    def _vms(self, kind: Kind, run: str, rows: Sequence[FleetVm], word: str) -> Iterator[Event]:
        fresh = [vm for vm in rows if self._is_new(kind, run, vm.name)]
        if fresh:
            names = [vm.name for vm in fresh]
            why = next((vm.note or vm.last_error for vm in fresh if vm.note or vm.last_error), "")
            yield Event(kind, run, f"{_names(names)} {word}{f': {why}' if why else ''}", subject=",".join(names))

    def _is_new(self, kind: Kind, run: str, subject: str) -> bool:
        mark = (kind, run, subject)
        if mark in self._told:
            return False
        self._told.add(mark)
        return True


def _is_live(view: RunView, now: datetime) -> bool:
    return view.phase(now) in (Phase.RUNNING, Phase.DRAINING)


def _source(run: str, rows: Sequence[FleetVm]) -> Iterator[Event]:
    """What the workers say of the source: refused, or the day's cap is used up."""
    for vm in rows:
        beat = vm.heartbeat
        if beat is None:
            continue
        if beat.limited_by.startswith("source 403"):
            yield Event(Kind.REFUSED, run, f"{vm.name} waits: {beat.limited_by}")
        elif beat.exit_code == ExitCode.NOT_PERMITTED:
            yield Event(Kind.REFUSED, run, f"{vm.name} stopped: {beat.last_error or 'not permitted'}")
        elif beat.limited_by == "allowance":
            yield Event(Kind.CAP, run, f"{vm.name} has used its share of the day's bytes and waits for 00:00 UTC")


def _done_line(view: RunView, rows: Sequence[FleetVm]) -> str:
    bad = view.outcome.bad if view.outcome is not None else sum(beat.files_bad for beat in view.heartbeats.values())
    shards = len(view.shards)
    line = f"done, {shards} shard{'' if shards == 1 else 's'}"
    if bad:
        line += f", {bad} file{'' if bad == 1 else 's'} not good: tickdeck check says which"
    left = sum(vm.exists for vm in rows)
    return f"{line}; {left} VM{'' if left == 1 else 's'} still there: tickdeck cleanup" if left else line


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
