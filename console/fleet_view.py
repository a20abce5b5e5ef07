"""What the Fleet screen says about a snapshot of the fleet: rows for its table, a headline and totals.

Pure and apart from the screen, because judging is done in `provision.fleet` and painting in the widgets: this only chooses words,
and words are what tests read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from console.fleet_totals import beats_of, current_vms, format_many
from console.query import Vocabulary
from console.widgets.choice import Choice
from console.widgets.figures import format_age, format_count, format_duration, plural
from console.widgets.fleet_table import STATE_LOOKS, FleetRow
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from engine.run import run_started
from provision.fleet import FleetSnapshot, without_work
from provision.runs import Phase, RunView
from provision.vm_state import FleetVm, VmState

_BAD: Final = (VmState.FAILED, VmState.STUCK, VmState.LOST)
_FINE: Final = (VmState.RUNNING, VmState.IDLE, VmState.DONE)
_LIVE_PHASES: Final = (Phase.RUNNING, Phase.DRAINING)

REPLACED: Final = "replaced"
"""Another VM was made for its shards."""
TAKEN_OVER: Final = "taken over"
"""Other workers of the run have its shards."""

_BOOT_STAGES: Final = {"": "asked for", "PROVISIONING": "no host yet", "STAGING": "staging"}
"""Before the instance runs, by what Compute Engine says of it."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence at the top of the screen."""

    phrases: tuple[Phrase, ...]
    tone: Tone

    @property
    def text(self) -> str:
        """Without colours."""
        return "".join(phrase.text for phrase in self.phrases)


def table_rows(snapshot: FleetSnapshot) -> tuple[FleetRow, ...]:
    """One row a VM, in the snapshot's order, the worst first; those whose work another VM has are last."""
    views = {view.run: view for view in snapshot.runs}
    taken = taken_over(snapshot)
    rows = sorted(snapshot.vms, key=lambda vm: bool(vm.replaced_by) or vm.name in taken)
    return tuple(_row(vm, views.get(vm.run), snapshot.taken, taken_over=vm.name in taken) for vm in rows)


def taken_over(snapshot: FleetSnapshot) -> frozenset[str]:
    """Dead VMs that nobody replaced because other workers of the run have claimed all of their shards."""
    bare = without_work(snapshot.vms, snapshot.runs)
    return frozenset(vm.name for vm in snapshot.vms if vm.name in bare and vm.dead and not vm.replaced_by and vm.state not in _FINE)


def searchable(row: FleetRow) -> dict[str, object]:
    """A row by field names, for filters such as `state:stuck`, `limit:cpu`, `attempt>1`, `rate<1M`, `is:managed`."""
    conditions = [row.state, *(["managed"] if row.managed else ["not-ours"]), *(["replaced"] if row.state == "replaced" else [])]
    return {
        "vm": row.name,
        "state": row.state,
        "zone": row.zone,
        "machine": row.machine,
        "shard": row.shard,
        "files": row.done,
        "total": row.total,
        "rate": row.rate_bytes_per_second,
        "limit": row.limited_by,
        "eta": row.eta_seconds,
        "beat": row.heartbeat_age_seconds,
        "attempt": row.attempt,
        "cause": row.cause,
        "error": row.last_error,
        "cost": row.cost_usd,
        "run": row.run,
        "is": conditions,
    }


VOCABULARY: Final = Vocabulary(
    fields=tuple(searchable(FleetRow("", ""))),
    conditions=(*STATE_LOOKS, "managed", "not-ours"),
    values={"limit": ("cpu", "network", "source 429", "upload", "memory"), "cause": ("preempted", "by hand", "resize")},
)
"""What a filter may name."""


def row_text(row: FleetRow) -> str:
    """What the words of a filter are looked for in."""
    parts = (row.name, row.state, row.state_word, row.zone, row.machine, row.limited_by, row.cause, row.last_error)
    return " ".join(part for part in parts if part)


# Headline


def headline(snapshot: FleetSnapshot) -> Headline:
    """What a person would answer to "how is it going?".

    "1 stuck, 2 preempted and replaced, 95 fine; slowest shard 17 ends 05:40 UTC", or how the newest run ended.
    """
    ours = [vm for vm in snapshot.vms if vm.managed]
    live = live_runs(snapshot)
    newest = newest_run(snapshot)
    if newest is not None and newest.phase(snapshot.taken) is Phase.FINISHED:
        return run_result(snapshot, newest)
    shown = [vm for vm in ours if vm.exists or vm.run in live]
    draining = newest is not None and newest.phase(snapshot.taken) is Phase.DRAINING
    if newest is not None and (not shown or (draining and not any(vm.exists and not vm.dead for vm in shown))):
        return _no_vm_left(newest, snapshot.taken)
    if not shown:
        return Headline((Phrase("No VM of ours and no live run; press "), Phrase("1", strong=True), Phrase(" to plan one")), Tone.QUIET)
    taken = taken_over(snapshot)
    phrases = _counts(shown, taken)
    if draining and newest is not None:
        phrases.insert(0, Phrase(f"{'aborting' if _aborted(newest) else 'draining'}: ", Tone.WARN, strong=True))
    phrases += _slowest(shown, snapshot.taken)
    return Headline(tuple(phrases), _worst_tone(shown, taken))


def run_result(snapshot: FleetSnapshot, view: RunView) -> Headline:
    """How a finished run went, and the next keys.

    "Run r1tp8k5m2x done in 52 s: 213 files, 5.6 M rows, 4 bad; press 4 for coverage, X to clean up".
    """
    files, bad, rows = _outcome(snapshot, view)
    seconds = run_seconds(view)
    phrases = [
        Phrase(f"Run {view.run} done", Tone.WARN if bad else Tone.GOOD, strong=True),
        Phrase(f" in {format_duration(seconds)}: " if seconds is not None else ": "),
        Phrase(plural(files, "file"), strong=True),
        Phrase(f", {format_many(rows)} rows"),
        Phrase(f", {format_count(bad)} bad", Tone.BAD, strong=True) if bad else Phrase(", none bad"),
        Phrase("; press "),
        Phrase("4", strong=True),
        Phrase(" for coverage"),
    ]
    if any(vm.managed and vm.exists for vm in snapshot.vms):
        phrases += [Phrase(", "), Phrase("X", strong=True), Phrase(" to clean up")]
    else:
        phrases.append(Phrase("; no VM is left"))
    return Headline(tuple(phrases), Tone.WARN if bad else Tone.GOOD)


def _outcome(snapshot: FleetSnapshot, view: RunView) -> tuple[int, int, int]:
    """Files, bad ones and rows: by the run's manifests, else by what its workers said last."""
    if (told := view.outcome) is not None:
        return told.files, told.bad, told.rows
    rows = snapshot.of_run(view.run)
    current = current_vms(snapshot, rows)
    bad = sum(beat.files_bad for beat in beats_of(current))
    return sum(vm.files_done for vm in current), bad, sum(beat.rows for beat in beats_of(rows))


def runs_ended(before: FleetSnapshot | None, after: FleetSnapshot) -> list[RunView]:
    """The runs that were unfinished in an earlier snapshot and are finished now."""
    if before is None:
        return []
    unfinished = live_runs(before)
    return [view for view in after.runs if view.run in unfinished and view.phase(after.taken) is Phase.FINISHED]


def live_runs(snapshot: FleetSnapshot) -> frozenset[str]:
    """Runs with unfinished shards that may still be worked on."""
    return frozenset(view.run for view in snapshot.runs if view.phase(snapshot.taken) in _LIVE_PHASES)


def newest_run(snapshot: FleetSnapshot) -> RunView | None:
    """The run that a screen without a choice is about: the newest live one, else the newest."""
    live = live_runs(snapshot)
    return max([view for view in snapshot.runs if view.run in live] or snapshot.runs, key=lambda view: view.run, default=None)


def run_choices(snapshot: FleetSnapshot) -> list[Choice]:
    """All runs, and each one: live ones first, the newest of them on top."""
    live = live_runs(snapshot)
    views = sorted(snapshot.runs, key=lambda view: (view.run in live, view.run), reverse=True)
    return [Choice("", "All runs", plural(len(views), "run")), *(_run_choice(view, snapshot) for view in views)]


def _run_choice(view: RunView, snapshot: FleetSnapshot) -> Choice:
    vms = sum(vm.exists for vm in snapshot.of_run(view.run))
    left = f"{len(view.unfinished)} of " if view.unfinished else ""
    shards = f"{left}{plural(len(view.shards), 'shard')}{' unfinished' if left else ''}"
    started = f"{run_started(view.run):%m-%d %H:%M} UTC"
    return Choice(view.run, view.run, f"{view.phase(snapshot.taken)}, {shards}, {plural(vms, 'VM')}, {started}")


def run_seconds(view: RunView) -> float | None:
    """From the first launch to the end of the last shard; None while one is unfinished."""
    if view.unfinished or not view.claims:
        return None
    return max(0.0, (max(claim.since for claim in view.claims.values()) - view.orders[0].created).total_seconds())


def _counts(shown: Sequence[FleetVm], taken: Collection[str]) -> list[Phrase]:
    counted = Counter((vm.state, _fate(vm, taken)) for vm in shown)
    fine = sum(counted[state, ""] for state in _FINE)
    parts: list[Phrase] = []
    for state in VmState:
        if (count := counted[state, ""]) and state not in _FINE:
            parts.append(Phrase(f"{count} {state}", _tone(state), strong=state in _BAD))
        parts += [
            Phrase(f"{counted[state, fate]} {state} and {fate}", Tone.WARN) for fate in (REPLACED, TAKEN_OVER) if counted[state, fate]
        ]
    if fine:
        parts.append(Phrase(f"{fine} fine", Tone.GOOD))
    phrases: list[Phrase] = []
    for part in parts:
        phrases += [Phrase(", "), part] if phrases else [part]
    return phrases


def _fate(vm: FleetVm, taken: Collection[str]) -> str:
    """What became of its work, if it is another VM's now."""
    return REPLACED if vm.replaced_by else TAKEN_OVER if vm.name in taken else ""


def _slowest(shown: Iterable[FleetVm], now: datetime) -> list[Phrase]:
    ending = [(vm.ends, vm) for vm in shown if vm.state is VmState.RUNNING and vm.ends is not None]
    if not ending:
        return []
    ends, vm = max(ending, key=lambda pair: pair[0])
    shard = vm.heartbeat.shard if vm.heartbeat and vm.heartbeat.shard >= 0 else min(vm.shards, default=0)
    when = f"{ends.astimezone(UTC):%H:%M} UTC" if ends.date() == now.date() else f"{ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    left = format_duration((ends - now).total_seconds())
    return [
        Phrase("; slowest shard "),
        Phrase(str(shard), strong=True),
        Phrase(" ends "),
        Phrase(when, strong=True),
        Phrase(f", in {left}", Tone.QUIET),
    ]


def _no_vm_left(view: RunView, now: datetime) -> Headline:
    left = f"{plural(len(view.unfinished), 'shard')} of {len(view.shards)} unfinished"
    again = (Phrase("; press "), Phrase("1", strong=True), Phrase(" to plan the rest"))
    match view.phase(now):
        case Phase.DRAINING:
            word = "aborted" if _aborted(view) else "drained"
            return Headline((Phrase(f"Run {view.run} {word}", Tone.WARN, strong=True), Phrase(f", {left}"), *again), Tone.WARN)
        case phase:
            return Headline((Phrase(f"Run {view.run} {phase}", Tone.WARN, strong=True), Phrase(f", {left}"), *again), Tone.WARN)


def _aborted(view: RunView) -> bool:
    return view.drain is not None and view.drain.verb == "abort"


def _worst_tone(shown: Iterable[FleetVm], taken: Collection[str]) -> Tone:
    tones = {Tone.WARN if _fate(vm, taken) else _tone(vm.state) for vm in shown}
    return next((tone for tone in (Tone.BAD, Tone.WARN, Tone.BUSY) if tone in tones), Tone.GOOD)


def _tone(state: VmState) -> Tone:
    if state in _BAD:
        return Tone.BAD
    if state in (VmState.PREEMPTED, VmState.STOPPED, VmState.STOPPING):
        return Tone.WARN
    return Tone.BUSY if state is VmState.BOOTING else Tone.GOOD


# Rows


def _row(vm: FleetVm, view: RunView | None, now: datetime, *, taken_over: bool) -> FleetRow:
    state, word = ("replaced", TAKEN_OVER) if taken_over else state_and_word(vm, now)
    active = vm.state in (VmState.RUNNING, VmState.STUCK, VmState.STOPPING)
    return FleetRow(
        name=vm.name,
        state=state,
        state_word=word,
        managed=vm.managed,
        zone=vm.zone,
        machine=vm.machine_type,
        shard=_shards(vm),
        done=vm.files_done,
        total=vm.files_total,
        rate_bytes_per_second=vm.bytes_per_second if active and vm.heartbeat else None,
        limited_by=vm.limited_by if active else "",
        eta_seconds=max(0.0, (vm.ends - now).total_seconds()) if vm.ends and vm.state is VmState.RUNNING else None,
        heartbeat_age_seconds=vm.heartbeat_age if _beats(vm) else None,
        attempt=vm.attempt,
        cause=vm.cause or second_reason(vm, view),
        last_error=vm.last_error or (vm.note if vm.state in _BAD else ""),
        cost_usd=vm.cost if vm.managed and vm.cost else None,
        created=vm.created,
        run=vm.run if vm.managed else "",
    )


def state_and_word(vm: FleetVm, now: datetime) -> tuple[str, str]:
    """The table's key for glyph and colour, and the word."""
    if vm.replaced_by:
        return "replaced", REPLACED
    if vm.state is VmState.DONE and not vm.exists:
        return "gone", "done, gone"
    if vm.state is VmState.BOOTING:
        return "booting", _boot_stage(vm, now)
    if vm.state is VmState.RUNNING and vm.note.startswith("paused"):
        return "paused", "paused"
    if vm.state is VmState.STUCK and vm.progressed is not None:
        return "stuck", f"stuck {format_age((now - vm.progressed).total_seconds())}"
    if vm.state is VmState.STUCK:
        return "stuck", "silent boot"
    if vm.state is VmState.STOPPING and vm.status == "RUNNING":
        return "draining", "stopping"
    return str(vm.state), ""


def _boot_stage(vm: FleetVm, now: datetime) -> str:
    """How far a VM without a heartbeat is: asked for, waiting for a host, staging, booted."""
    if vm.status != "RUNNING":
        return _BOOT_STAGES.get(vm.status, vm.status.lower())
    booted = vm.vm.started if vm.vm else None
    return f"booted {format_age((now - booted).total_seconds())}" if booted else "booted"


def _beats(vm: FleetVm) -> bool:
    """Whether the age of its heartbeat means anything: nobody waits for one of a VM that has ended."""
    return not vm.dead and vm.state not in (VmState.DONE, VmState.FAILED, VmState.STOPPED)


def _shards(vm: FleetVm) -> str:
    if vm.heartbeat is not None and vm.heartbeat.shard >= 0 and vm.heartbeat.shard not in vm.shards and vm.state is VmState.RUNNING:
        return f"→{vm.heartbeat.shard}"
    return ",".join(format_ranges(vm.shards))


def format_ranges(numbers: Iterable[int]) -> list[str]:
    """`1,2,3,7` as `["1-3", "7"]`."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return [str(low) if low == high else f"{low}-{high}" for low, high in ranges]


def second_reason(vm: FleetVm, view: RunView | None) -> str:
    """Why a second attempt was asked for, from its launch order."""
    order = view.find(vm.name) if view is not None and vm.attempt > 1 else None
    return order.reason if order is not None and order.reason != "launch" else ""
