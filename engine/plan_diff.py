"""What one plan does that another does not: files, bytes, cells. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.model import Cell
from engine.plan import Plan


@dataclass(frozen=True, slots=True)
class CellChange:
    """A cell of which the two plans do not want the same files."""

    cell: Cell
    files_added: int = 0
    files_removed: int = 0
    bytes_added: int = 0
    bytes_removed: int = 0
    is_new: bool = False
    """The earlier plan has nothing of it."""
    is_gone: bool = False
    """The later plan has nothing of it."""


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """A later plan beside an earlier one. Bytes are estimates of compressed source bytes."""

    before: str
    after: str
    """Ids."""
    files_added: int
    files_removed: int
    files_kept: int
    bytes_added: int
    bytes_removed: int
    bytes_reestimated: int
    """By how much the estimates of files that are in both have changed."""
    cells_added: int
    cells_removed: int
    shards: tuple[int, int]
    """Before and after, as all pairs here."""
    makespan_seconds: tuple[float, float]
    vm_hours: tuple[float, float]
    cost: tuple[float | None, float | None]
    """Expected, US dollars; None: no price is known."""
    changes: tuple[CellChange, ...]
    """Cell by cell, those with most bytes first."""
    request: tuple[tuple[str, str, str], ...]
    """What was asked for otherwise: field, before, after."""

    @property
    def is_same_work(self) -> bool:
        """Whether both fetch the same files."""
        return not self.changes


def diff_plans(before: Plan, after: Plan) -> PlanDiff:
    """Compare two plans file by file."""
    earlier, later = _cells(before), _cells(after)
    changes: list[CellChange] = []
    kept = reestimated = 0
    for cell in earlier.keys() | later.keys():
        old, new = earlier.get(cell, {}), later.get(cell, {})
        both = old.keys() & new.keys()
        kept += len(both)
        reestimated += sum(new[symbol] - old[symbol] for symbol in both)
        added, removed = new.keys() - both, old.keys() - both
        if added or removed:
            changes.append(
                CellChange(
                    cell,
                    files_added=len(added),
                    files_removed=len(removed),
                    bytes_added=sum(new[symbol] for symbol in added),
                    bytes_removed=sum(old[symbol] for symbol in removed),
                    is_new=not old,
                    is_gone=not new,
                )
            )
    changes.sort(key=lambda change: (-(change.bytes_added + change.bytes_removed), change.cell))
    return PlanDiff(
        before=before.id,
        after=after.id,
        files_added=sum(change.files_added for change in changes),
        files_removed=sum(change.files_removed for change in changes),
        files_kept=kept,
        bytes_added=sum(change.bytes_added for change in changes),
        bytes_removed=sum(change.bytes_removed for change in changes),
        bytes_reestimated=reestimated,
        cells_added=sum(change.is_new for change in changes),
        cells_removed=sum(change.is_gone for change in changes),
        shards=(len(before.shards), len(after.shards)),
        makespan_seconds=(before.estimate.makespan_seconds, after.estimate.makespan_seconds),
        vm_hours=(before.estimate.vm_hours, after.estimate.vm_hours),
        cost=(_expected(before), _expected(after)),
        changes=tuple(changes),
        request=tuple(_request_changes(before, after)),
    )


def _cells(plan: Plan) -> dict[Cell, dict[str, int]]:
    """Cell -> symbol -> estimated bytes; a cell may lie in several shards."""
    found: dict[Cell, dict[str, int]] = {}
    for shard in plan.shards:
        for work in shard.work:
            found.setdefault(work.cell, {}).update(zip(work.symbols, work.bytes, strict=True))
    return found


def _expected(plan: Plan) -> float | None:
    return plan.estimate.cost[1] if plan.estimate.is_priced else None


def _request_changes(before: Plan, after: Plan) -> Iterable[tuple[str, str, str]]:
    for name in before.request.__struct_fields__:
        old, new = getattr(before.request, name), getattr(after.request, name)
        if old != new:
            yield name, _text(old), _text(new)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    # A whole number of dollars is a float once it has been stored.
    return str(value).removesuffix(".0") if value else ""
