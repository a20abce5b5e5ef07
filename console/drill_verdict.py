"""What a drill came to, judged from outside: buckets are listed and compared, cells recomputed, the audit trail read as a story.

The lake must equal, object by object, one that a single undisturbed process has filled from the same source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.drill import CONSOLE_DEATHS, DATA_TYPES, DAYS, REFERENCE, VENUES, Trouble, has_canaries
from console.sentences import plural
from console.session import Session
from engine.manifest import read_cell
from engine.model import Cell, CellState, Outcome
from engine.plan import Plan
from engine.store import Store
from provision.audit import AuditRecord, list_records
from provision.runs import RunView

DELETING = frozenset({"cleanup", "delete", "abort"})
LAUNCHING = frozenset({"launch", "replace"})


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake as its buckets say: what a drill compares."""

    objects: dict[str, tuple[int, str]]
    """Name -> (size, CRC-32C)."""
    outcomes: dict[tuple[Cell, str], tuple[Outcome, int]]
    """(cell, symbol) -> (outcome, rows)."""


def read_lake(data: Store, state: Store) -> Lake:
    """List a lake."""
    objects = {info.name: (info.size, info.crc32c) for info in data.list("raw_tick_data/")}
    outcomes = {}
    for day in DAYS:
        for venue in VENUES:
            for data_type in DATA_TYPES:
                cell = Cell(day, data_type, venue)
                for symbol, record in read_cell(state, cell).items():
                    outcomes[cell, symbol] = (record.entry.outcome, record.entry.rows)
    return Lake(objects, outcomes)


def differences(found: Lake, wanted: Lake) -> list[str]:
    """How a lake differs from the undisturbed one; empty if it does not."""
    problems = [f"{name} is missing" for name in sorted(wanted.objects.keys() - found.objects.keys())]
    problems += [f"{name} should not be there" for name in sorted(found.objects.keys() - wanted.objects.keys())]
    problems += [
        f"{name} has other bytes"
        for name in sorted(wanted.objects.keys() & found.objects.keys())
        if found.objects[name] != wanted.objects[name]
    ]
    for key in sorted(wanted.outcomes.keys() | found.outcomes.keys()):
        if found.outcomes.get(key) != wanted.outcomes.get(key):
            cell, symbol = key
            problems.append(f"{cell} {symbol}: {found.outcomes.get(key)} instead of {wanted.outcomes.get(key)}")
    return problems


def reference_lake(session: Session) -> Lake:
    """The undisturbed lake."""
    data = session.buckets.data
    return read_lake(data.beside(REFERENCE), data.beside(f"{REFERENCE}-state"))


def open_cells(session: Session) -> list[str]:
    """The cells that should be complete by now and are not, each with its state; coverage is computed as `tickdeck check` does.

    Definitions of instruments, which coverage shows beside market data, are no work of the drill's plan.
    """
    coverage = session.coverage.check(DAYS, VENUES, DATA_TYPES)
    done = {CellState.COMPLETE, CellState.NOT_EXPECTED}
    planned = sorted((cell, report.state) for cell, report in coverage.reports.items() if cell.data_type in DATA_TYPES)
    return [f"{cell} is {state}" for cell, state in planned if state not in done]


def read_story(session: Session, view: RunView) -> list[AuditRecord]:
    """Intents and receipts of a run, oldest first; of a cleanup, which is of no run, those that touched its VMs."""
    records = list_records(session.buckets.state, view.orders[0].created.date(), session.clock().date())
    own = {name for order in view.orders for name in order.vms}
    return [record for record in records if record.run == view.run or any(item.name in own for item in record.items)]


def gaps_in_the_story(view: RunView, story: Sequence[AuditRecord], trouble: Trouble) -> list[str]:
    """What the audit trail does not tell: how a VM came to be, how it ended, and what was done about each that was lost.

    An intent alone counts: a console that is killed in the middle leaves no receipt.
    """
    launching = [item for record in story if record.verb in LAUNCHING for item in record.items]
    never = {item.name for item in launching if item.ok is False} - {item.name for item in launching if item.ok}
    began = {item.name for item in launching}
    ended = {item.name for record in story if record.verb in DELETING for item in record.items} | trouble.preempted.keys()
    asked = [name for order in view.orders for name in order.vms]
    problems = [f"the audit trail does not say how {name} came to be" for name in asked if name not in began]
    problems += [f"the audit trail does not say how {name} ended" for name in asked if name not in ended | never]
    replaced = {name for order in view.orders for vm in order.vms.values() for name in vm.replaces.split(",")}
    for name, shard in trouble.preempted.items():
        claim = view.claims.get(shard)
        if name not in replaced and (claim is None or (claim.vm == name and claim.state != "done")):
            problems.append(f"{name} was lost, and nobody took over its shard {shard}")
    return problems


def launch_problems(view: RunView, vms: int) -> list[str]:
    """What was not launched as it should have been: two canaries, then the rest in one call; or all at once."""
    sizes = [len(order.vms) for order in view.orders if order.reason in ("launch", "canary passed")]
    wanted = [2, vms - 2] if has_canaries(vms) else [vms]
    return [] if sizes == wanted else [f"launched in steps of {sizes} instead of {wanted}"]


def judge(session: Session, plan: Plan, run: str, trouble: Trouble, *, left: int, deaths: int) -> list[str]:
    """All that is wrong at the end of a drill; empty: nothing of the trouble shows."""
    found = read_lake(session.buckets.data, session.buckets.state)
    view = session.runs.read(run)
    problems = [*differences(found, reference_lake(session)), *open_cells(session), *launch_problems(view, len(plan.shards))]
    problems += gaps_in_the_story(view, read_story(session, view), trouble)
    if left:
        problems.append(f"{plural(left, 'VM')} left after cleanup")
    if len(trouble.preempted) < trouble.losses:
        problems.append(f"only {len(trouble.preempted)} of {trouble.losses} VMs were lost: the work was done before")
    if deaths < min(CONSOLE_DEATHS, trouble.losses):
        problems.append(f"the console was killed {deaths} times instead of {CONSOLE_DEATHS}")
    return problems
