"""The layer of what is loaded: which candles of the lake BigQuery holds, as the records of loads say.

Expected of a venue and day are the objects of its candles. A table's newest record of a day says what its partition holds of each venue;
where it was made of the very manifests that a listing shows now, that proves it. Otherwise the manifests are opened and their objects
compared. BigQuery itself is not asked: `engine upload-bigquery` counts its rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from msgspec import structs

from engine.bigquery.contents import content_of_venue, objects_of
from engine.bigquery.loads import LoadSummary, newest_loads
from engine.bigquery.tables import LakeTable, tables_of
from engine.candles.coverage import BARS
from engine.candles.timeframes import TIMEFRAMES
from engine.coverage import LOADED, CellReport, Coverage, Layer, Sureness
from engine.errors import ConfigurationError
from engine.inventory import Inventory
from engine.manifest import Summary
from engine.model import Cell, CellState, DayRange, Outcome, require_aware
from engine.plan import CANDLES
from engine.tally import OpenCell, open_cells
from engine.thinness import few
from engine.validation.verification import identify_manifests

Loads = Mapping[tuple[str, date], LoadSummary]
"""(table, day) -> the record of what its partition holds."""


def check_loads(
    inventory: Inventory, days: DayRange, venues: Iterable[str], *, now: datetime, timeframes: Sequence[str] = TIMEFRAMES, dataset: str = ""
) -> Coverage:
    """What of the candles of every venue and day of the range is loaded.

    Args:
        inventory: the state bucket.
        days: UTC.
        venues: exchange ids.
        now: the moment of the answer.
        timeframes: whose tables.
        dataset: of BigQuery; empty: of several the one that was loaded last.

    Raises:
        UsageError: for a venue that nobody knows.
    """
    return assess_loads(
        days,
        tuple(inventory.catalogues(venues)),
        summaries=inventory.summaries(days),
        loads=newest_loads(inventory.state, days, dataset),
        open_cell=inventory.open_cell,
        now=now,
        timeframes=timeframes,
    )


def assess_loads(
    days: DayRange,
    venues: Sequence[str],
    *,
    summaries: Iterable[Summary],
    loads: Loads,
    open_cell: OpenCell,
    now: datetime,
    timeframes: Sequence[str] = TIMEFRAMES,
) -> Coverage:
    """What of the candles of every venue and day is loaded.

    Args:
        days: the days asked about.
        venues: Tardis exchange ids.
        summaries: manifests of candles of these days from listings, in any order.
        loads: the newest records of loads.
        open_cell: reads a cell of candles that metadata does not prove; called from several threads. If it raises ConfigurationError
            (a manifest cannot be read), the cell counts as failed.
        now: the moment of the answer.
        timeframes: whose tables.
    """
    made: dict[Cell, list[Summary]] = defaultdict(list)
    for summary in summaries:
        if summary.name.cell.data_type == CANDLES:
            made[summary.name.cell].append(summary)
    tables = tables_of("candles", timeframes)
    names = tuple(dict.fromkeys(venues))
    reports: dict[Cell, CellReport] = {}
    to_open: dict[Cell, Cell] = {}
    for venue in names:
        for day in days:
            cell, candles = Cell(day, LOADED, venue), Cell(day, CANDLES, venue)
            listed = _judge_listed(made.get(candles, ()), [loads.get((table.name, day)) for table in tables], venue)
            if listed is None:
                to_open[candles] = cell
            else:
                reports[cell] = _report(cell, tables, listed)

    def read(candles: Cell) -> list[_TableState] | str:
        try:
            records = open_cell(candles)
        except ConfigurationError as error:
            return str(error)
        states = []
        for table in tables:
            objects = [each for symbol, record in records.items() for each in objects_of(table, candles, symbol, record.entry)]
            load = loads.get((table.name, candles.day))
            held = None if load is None or load.venues is None else load.venues.get(candles.venue)
            is_current = held is not None and held.content == content_of_venue(objects)
            states.append(_TableState(len(objects), is_current, held is not None, load))
        return states

    for candles, opened in open_cells(to_open, read).items():
        cell = to_open[candles]
        reports[cell] = CellReport(cell, CellState.FAILED, reasons=(opened,)) if isinstance(opened, str) else _report(cell, tables, opened)
    return Coverage(
        days=days,
        rows=tuple((venue, LOADED) for venue in names),
        reports={cell: reports[cell] for venue in names for day in days for cell in [Cell(day, LOADED, venue)]},
        catalogue_dates={},
        computed=require_aware(now),
        counts=Counter(report.state for report in reports.values()),
        layer=Layer.LOADED,
    )


@dataclass(frozen=True, slots=True)
class _TableState:
    """One table's part of a venue and day."""

    objects: int
    """Of the lake's candles."""
    is_current: bool
    """Whether the partition holds exactly these."""
    is_there: bool
    """Whether it holds any of the venue."""
    load: LoadSummary | None


def _judge_listed(made: Sequence[Summary], loads: Sequence[LoadSummary | None], venue: str) -> list[_TableState] | None:
    """What listings prove of each table, or None where the cell has to be opened."""
    if not any(summary.counts.get(Outcome.OK) for summary in made):
        return [_TableState(0, True, False, load) for load in loads]
    if len(made) != 1 or made[0].rows != made[0].counts[Outcome.OK] * BARS:
        return None  # how many objects each table should have is in the bodies
    identity, count = identify_manifests([made[0].generation]), made[0].counts[Outcome.OK]
    states = []
    for load in loads:
        held = None if load is None or load.venues is None else load.venues.get(venue)
        if load is not None and (load.venues is None or (held is not None and held.manifests != identity)):
            return None
        states.append(_TableState(count, held is not None, held is not None, load))
    return states


def _report(cell: Cell, tables: Sequence[LakeTable], states: Sequence[_TableState]) -> CellReport:
    expected = sum(each.objects for each in states)
    if not expected:
        return CellReport(cell, CellState.NOT_EXPECTED)
    absent = [table.name for table, each in zip(tables, states, strict=True) if each.objects and not each.is_there]
    stale = [table.name for table, each in zip(tables, states, strict=True) if each.objects and each.is_there and not each.is_current]
    done = sum(each.objects for each in states if each.is_current)
    reasons = []
    if absent:
        reasons.append(f"{len(absent)} table{'s' if len(absent) != 1 else ''} without this day: {few(absent)}")
    if stale:
        reasons.append(f"{len(stale)} stale (candles changed since they were loaded): {few(stale)}")
    if absent:
        state = CellState.PARTIAL if any(each.is_there for each in states) else CellState.MISSING
    else:
        state = CellState.THIN if stale else CellState.COMPLETE
    held = [each.load for each in states if each.load is not None and each.is_there]
    report = CellReport(
        cell,
        state,
        expected=expected,
        done=done,
        absent=expected - done,
        reasons=tuple(reasons) if state is not CellState.MISSING else (),
    )
    if not held:
        return report
    return structs.replace(report, sureness=Sureness.COMMITTED, written=max(load.loaded for load in held), manifests=len(held))
