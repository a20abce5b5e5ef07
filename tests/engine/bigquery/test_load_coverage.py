"""The layer of what is loaded: a partition holds exactly the candles of the lake, or what it lacks or has of before is said."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from engine.bigquery.contents import content_of_venue, objects_of
from engine.bigquery.coverage import assess_loads
from engine.bigquery.loads import LoadSummary, VenueMark
from engine.bigquery.tables import tables_of
from engine.candles.timeframes import TIMEFRAMES, bars_of
from engine.coverage import CellReport, Coverage, Layer
from engine.manifest import Entry, Part
from engine.model import Cell, CellState, DayRange, Outcome
from engine.paths import LoadName
from engine.validation.verification import identify_manifests
from tests.engine.made_up_lake import NOW, Bucket, bad, day

VENUE = "binance"
DAY = day(0)
CANDLES, LOADED = Cell(DAY, "candles", VENUE), Cell(DAY, "loaded", VENUE)
TABLES = tables_of("candles", TIMEFRAMES)


def candles(symbol: str, *, generation: int = 7, timeframes: Iterable[str] = TIMEFRAMES) -> Entry:
    parts = tuple(Part(timeframe, 100, generation, "AAAAAA==") for timeframe in timeframes)
    return Entry(symbol=symbol, outcome=Outcome.OK, rows=sum(bars_of(part.timeframe) for part in parts), generation=generation, parts=parts)


class Lake(Bucket):
    """Manifests of candles, and records of their loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: dict[Any, LoadSummary] = {}

    def load(self, *timeframes: str, cell: Cell = CANDLES) -> None:
        """Record that BigQuery holds what the lake has of a venue and day now."""
        records = Bucket.open_cell(self, cell)
        generations = [summary.generation for summary in self.summaries() if summary.name.cell == cell]
        for table in TABLES:
            if timeframes and table.source not in timeframes:
                continue
            objects = [each for symbol, record in records.items() for each in objects_of(table, cell, symbol, record.entry)]
            mark = VenueMark(content_of_venue(objects), identify_manifests(generations))
            name = LoadName(cell.day, "tickdeck", table.name, "job")
            self.loads[table.name, cell.day] = LoadSummary(name, "", 0, len(objects), {cell.venue: mark}, NOW - timedelta(hours=1), 1)

    def check(self, days: DayRange, **more: Any) -> Coverage:
        self.opened.clear()
        return assess_loads(days, [VENUE], summaries=self.summaries(), loads=self.loads, open_cell=self.open_cell, now=NOW, **more)

    def report(self, **more: Any) -> CellReport:
        return self.check(DayRange(DAY, DAY), **more).report(LOADED)


def test_what_is_loaded_as_it_is_in_the_lake_is_told_from_listings_alone():
    lake, days = Lake(), DayRange(DAY, day(99))
    for each in days:
        cell = Cell(each, "candles", VENUE)
        lake.put(cell, [candles("A"), candles("B")])
        lake.load(cell=cell)
    coverage = lake.check(days)
    assert (coverage.counts, lake.opened, coverage.layer) == ({CellState.COMPLETE: 100}, [], Layer.LOADED)
    assert coverage.sentence() == "100 % of 100 expected venue-days loaded"
    report = coverage.report(LOADED)
    assert (report.expected, report.done, report.written) == (14, 14, NOW - timedelta(hours=1))


def test_a_day_without_candles_is_not_expected_and_one_that_was_never_loaded_is_missing():
    lake = Lake()
    assert lake.report().state is CellState.NOT_EXPECTED
    lake.put(CANDLES, [bad("A")])
    assert lake.report().state is CellState.NOT_EXPECTED
    lake.put(CANDLES, [candles("A")])
    report = lake.report()
    assert (report.state, report.expected, report.absent) == (CellState.MISSING, 7, 7)


def test_a_load_of_another_venue_loads_nothing_of_this_one():
    lake, other = Lake(), Cell(DAY, "candles", "deribit")
    lake.put(CANDLES, [candles("A")])
    lake.put(other, [candles("A")])
    lake.load(cell=other)
    assert lake.report().state is CellState.MISSING


def test_a_table_that_lacks_the_day_is_named_unless_it_is_not_asked_for():
    lake = Lake()
    lake.put(CANDLES, [candles("A"), candles("B")])
    lake.load(*TIMEFRAMES[:-1])
    report = lake.report()
    assert (report.state, report.done, report.reasons) == (CellState.PARTIAL, 12, ("1 table without this day: candles_24h",))
    assert lake.report(timeframes=TIMEFRAMES[:-1]).state is CellState.COMPLETE


def test_timeframes_that_were_never_made_are_not_expected():
    lake = Lake()
    lake.put(CANDLES, [candles("A", timeframes=("1m", "1h"))])
    lake.load("1m", "1h")
    report = lake.report()
    assert (report.state, report.expected) == (CellState.COMPLETE, 2)


def test_candles_that_changed_or_came_since_make_a_load_stale_which_is_no_hole():
    for later in ([candles("A", generation=8)], [candles("B")]):
        lake = Lake()
        lake.put(CANDLES, [candles("A")])
        lake.load()
        lake.put(CANDLES, later, run="r2")
        report = lake.report()
        assert (report.state, report.done) == (CellState.THIN, 0)
        assert report.reasons[0].startswith("7 stale (candles changed since they were loaded): candles_15s")
        coverage = lake.check(DayRange(DAY, DAY))
        assert (coverage.holes(), coverage.sentence()) == ([], "0.0 % of 1 expected venue-day loaded, 1 stale")


def test_candles_that_were_thrown_away_and_made_anew_make_a_load_stale():
    lake = Lake()
    lake.put(CANDLES, [candles("A")])
    lake.load()
    lake.held.clear()
    lake.put(Cell(DAY, "trades", VENUE), [candles("A")])
    lake.put(CANDLES, [candles("A", generation=8)])
    assert lake.report().state is CellState.THIN


def test_a_manifest_that_records_the_same_objects_again_changes_nothing():
    lake = Lake()
    lake.put(CANDLES, [candles("A")])
    lake.load()
    lake.put(CANDLES, [candles("A")], run="r2")
    assert lake.report().state is CellState.COMPLETE
    assert lake.opened == [CANDLES]
