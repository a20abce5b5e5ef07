"""From marked cells, or all holes, to the request that repairs them. Pure.

A request is a product of days, venues and types; the planner takes off what is done. So the smallest product that holds all cells
is asked for, and what it holds beside them is told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from msgspec import structs

from engine.coverage import HOLES, Coverage
from engine.model import Cell
from engine.plan import Request


@dataclass(frozen=True, slots=True)
class Repair:
    """A request that repairs cells."""

    request: Request
    cells: int
    """That were asked for."""
    others: int
    """More cells with something to do that the request takes along."""

    @property
    def because(self) -> str:
        """A few words for the Plan screen."""
        cells = f"{self.cells:,} cell{'' if self.cells == 1 else 's'}"
        return f"repair of {cells}" + (f" and {self.others:,} more in their range" if self.others else "")


def repair_of(cells: Collection[Cell], coverage: Coverage, base: Request) -> Repair | None:
    """The request for these cells; None if there are none.

    Args:
        cells: Marked ones, or all holes.
        coverage: What is known about the range.
        base: The request that the coverage is of; its symbols, strategy and machine type are kept.
    """
    if not cells:
        return None
    venues = {cell.venue for cell in cells}
    types = {cell.data_type for cell in cells}
    days = [cell.day for cell in cells]
    request = structs.replace(
        base,
        venues=tuple(venue for venue in dict.fromkeys(venue for venue, _ in coverage.rows) if venue in venues),
        data_types=tuple(name for name in dict.fromkeys(name for _, name in coverage.rows) if name in types),
        start=min(days),
        end=max(days),
        shards=0,
        deadline=None,
    )
    wanted = set(cells)
    others = sum(
        report.cell not in wanted
        and report.cell.venue in venues
        and report.cell.data_type in types
        and request.start <= report.cell.day <= request.end
        for report in coverage.in_state(*HOLES)
    )
    return Repair(request, len(wanted), others)


def all_holes(coverage: Coverage) -> list[Cell]:
    """The cells a repair can mend."""
    return [report.cell for report in coverage.holes()]
