"""From marked cells, or all holes, to the request that repairs exactly them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from msgspec import structs

from engine.coverage import Coverage
from engine.model import Cell
from engine.plan import Request, for_cells


@dataclass(frozen=True, slots=True)
class Repair:
    """A request that repairs cells."""

    request: Request
    cells: int
    """That were asked for."""

    @property
    def because(self) -> str:
        """A few words for the Plan screen."""
        return f"repair of {self.cells:,} cell{'' if self.cells == 1 else 's'}"


def repair_of(cells: Collection[Cell], base: Request) -> Repair | None:
    """The request for exactly these cells; None if there are none.

    Args:
        cells: Marked ones, or all holes.
        base: The request that the coverage is of; its symbols, strategy and machine type are kept.
    """
    if not cells:
        return None
    return Repair(structs.replace(for_cells(base, cells), shards=0, deadline=None), len(set(cells)))


def all_holes(coverage: Coverage) -> list[Cell]:
    """The cells a repair can mend."""
    return [report.cell for report in coverage.holes()]
