"""The list of holes: each with its age and what its repair takes, in the order a person wants. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.repair_request import RepairEstimate
from console.widgets.figures import format_count
from console.widgets.heat_looks import code_of
from engine.catalogue import due
from engine.coverage import CellReport
from engine.model import Cell, CellState


@dataclass(frozen=True, slots=True)
class HoleRow:
    """One line of the hole list."""

    cell: Cell
    state: CellState
    code: int
    """Its look in the map."""
    lacking: str
    reason: str
    age_seconds: float
    """Since the source was due to publish the day."""
    bytes: int | None
    """Source bytes its repair fetches; None: not known yet."""
    dollars: float | None
    """Its share of the repair's cost; None: not known, or without a price."""

    @property
    def key(self) -> str:
        """Unique among the cells of a coverage."""
        return str(self.cell)


class HoleOrder(StrEnum):
    """How the hole list is sorted."""

    OLDEST = "oldest first"
    COSTLIEST = "costliest first"
    WORST = "worst first"

    @property
    def following(self) -> HoleOrder:
        """The next one, around the end."""
        order = list(HoleOrder)
        return order[(order.index(self) + 1) % len(order)]


def hole_rows(
    holes: Iterable[CellReport], now: datetime, *, repair: RepairEstimate | None = None, order: HoleOrder = HoleOrder.OLDEST
) -> list[HoleRow]:
    """All holes; costs are known once the repair was estimated."""
    rows = []
    for report in holes:
        cost = repair.cells.get(report.cell) if repair is not None else None
        rows.append(
            HoleRow(
                cell=report.cell,
                state=report.state,
                code=code_of(report),
                lacking=f"{format_count(report.expected - report.done)} of {format_count(report.expected)}",
                reason="; ".join(report.reasons) or "never attempted",
                age_seconds=max(0.0, (now - due(report.cell.day)).total_seconds()),
                bytes=cost.bytes if cost else None,
                dollars=cost.dollars if cost else None,
            )
        )
    if order is HoleOrder.COSTLIEST:
        rows.sort(key=lambda row: (-(row.dollars or 0.0), -(row.bytes or 0)))
    elif order is HoleOrder.WORST:
        rows.sort(key=lambda row: -row.code)
    return rows


def hole_record(row: HoleRow) -> dict[str, object]:
    """A hole by field names, for filters and files."""
    return {
        "venue": row.cell.venue,
        "data_type": row.cell.data_type,
        "day": row.cell.day,
        "state": row.state.value,
        "lacking": row.lacking,
        "age_hours": round(row.age_seconds / 3600, 1),
        "bytes": row.bytes,
        "dollars": None if row.dollars is None else round(row.dollars, 4),
        "reason": row.reason,
    }
