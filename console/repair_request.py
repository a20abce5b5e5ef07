"""From marked cells, or all holes, to the request that repairs exactly them, and what a repair would take. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from msgspec import structs

from engine.coverage import HOLES, Coverage
from engine.model import Cell, CellState
from engine.plan import Plan, Request, for_cells, with_mode


@dataclass(frozen=True, slots=True)
class Repair:
    """A request that repairs cells."""

    request: Request
    cells: int
    """That were asked for."""

    @property
    def because(self) -> str:
        """A few words for the Plan screen."""
        words = f"repair of {self.cells:,} cell{'' if self.cells == 1 else 's'}"
        return f"{words}, stale candles made anew" if self.request.rebuild else words


@dataclass(frozen=True, slots=True)
class CellCost:
    """What the repair of one cell takes of the whole."""

    files: int
    bytes: int
    """Compressed source bytes."""
    dollars: float | None
    """Its share of the cost by working time; None if the plan has no price."""


@dataclass(frozen=True, slots=True)
class RepairEstimate:
    """What the repair of all holes would take, and each cell's part of it."""

    files: int
    bytes: int
    seconds: float
    """From the launch to the end of the slowest shard."""
    dollars: float | None
    """Expected; None if there is no price."""
    allowance: int
    """Source bytes that the account may fetch a UTC day; 0: no limit."""
    cells: Mapping[Cell, CellCost]


def repair_of(cells: Collection[Cell], base: Request, *, rebuild: bool = False) -> Repair | None:
    """The request for exactly these cells; None if there are none.

    Args:
        cells: Marked ones, or all holes.
        base: The request that the coverage is of; its symbols, strategy and machine type are kept.
        rebuild: Of candles: overwrite those that were made of other inputs than the lake holds now.
    """
    if not cells:
        return None
    request = with_mode(for_cells(structs.replace(base, mode="download"), cells))
    return Repair(structs.replace(request, shards=0, deadline=None, rebuild=rebuild), len(set(cells)))


def all_holes(coverage: Coverage) -> list[Cell]:
    """The cells a repair can mend; definitions of instruments are not downloaded by a fleet."""
    return [report.cell for report in coverage.holes() if (report.cell.venue, report.cell.data_type) not in coverage.instrument_rows]


def loadable(coverage: Coverage) -> frozenset[Cell]:
    """Of the layer of what is loaded: the cells that another load mends, those among them that are stale."""
    return frozenset(report.cell for report in coverage.in_state(*HOLES, CellState.THIN))


def load_arguments(cells: Collection[Cell], timeframes: Collection[str] = ()) -> list[str]:
    """What `engine upload-bigquery` is given to load these cells: it loads whole days, and only what has changed."""
    days = [cell.day for cell in cells]
    words = ["--venues", ",".join(sorted({cell.venue for cell in cells})), "--start", str(min(days)), "--end", str(max(days))]
    return [*words, *(("--timeframes", ",".join(timeframes)) if timeframes else ())]


def load_command(cells: Collection[Cell]) -> str:
    """The headless command that loads these cells by one VM."""
    return " ".join(["tickdeck deploy upload-bigquery", *load_arguments(cells)])


def estimate_of(plan: Plan) -> RepairEstimate:
    """What a plan of a repair says, cell by cell."""
    files: dict[Cell, int] = defaultdict(int)
    size: dict[Cell, int] = defaultdict(int)
    seconds: dict[Cell, float] = defaultdict(float)
    for shard in plan.shards:
        for work in shard.work:
            files[work.cell] += len(work.symbols)
            size[work.cell] += sum(work.bytes)
            seconds[work.cell] += work.seconds
    dollars = plan.estimate.cost[1] if plan.estimate.is_priced else None
    total = sum(seconds.values())
    return RepairEstimate(
        files=plan.estimate.files,
        bytes=plan.estimate.bytes,
        seconds=plan.estimate.makespan_seconds,
        dollars=dollars,
        allowance=plan.estimate.allowance_bytes,
        cells={
            cell: CellCost(files[cell], size[cell], None if dollars is None else dollars * (seconds[cell] / total if total else 0.0))
            for cell in files
        },
    )
