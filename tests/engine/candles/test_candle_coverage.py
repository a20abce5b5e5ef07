"""The layer of candles: expected is what has trades, done is what has all its bars of what the lake holds now, and listings prove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.candles.cells import CandleCell, read_candle_cell
from engine.candles.columns import Input
from engine.candles.coverage import BARS, Judged, assess_candles
from engine.candles.pipeline import CandleOptions
from engine.candles.sources import SourceObject, Sources
from engine.candles.timeframes import TIMEFRAMES, bars_of
from engine.coverage import CellReport, Coverage, Layer, LiveShard
from engine.errors import ConfigurationError
from engine.manifest import Entry, Part
from engine.model import Cell, CellState, DayRange, Outcome
from engine.run import new_run
from engine.validation.verification import Finding, Kind
from tests.engine.made_up_lake import NOW, Bucket, bad, catalogue, day, listing, ok

VENUE = "binance"
DAY = day(0)
ONE_DAY = DayRange(DAY, DAY)
TRADES, CANDLES = Cell(DAY, "trades", VENUE), Cell(DAY, "candles", VENUE)
USUAL = catalogue(*(listing(symbol) for symbol in "ABCD"))
LATER = new_run(NOW + timedelta(hours=1))
"""A run that began after everything else was recorded."""


def traded(symbol: str, checksum: str = "first") -> Entry:
    return msgspec.structs.replace(ok(symbol), crc32c=checksum)


def candles(
    symbol: str, *, of: Mapping[Input, str] | None = None, timeframes: Iterable[str] = TIMEFRAMES, clock: Any = "exchange"
) -> Entry:
    """The entry of candles that were made of these inputs, by their checksums."""
    inputs = of or {Input.TRADES: "first"}
    objects = {name: SourceObject("", msgspec.structs.replace(ok(symbol), crc32c=checksum)) for name, checksum in inputs.items()}
    made = Sources(objects).made(clock)
    parts = tuple(Part(timeframe, 100, 7, "") for timeframe in timeframes)
    return Entry(
        symbol=symbol,
        outcome=Outcome.OK,
        rows=sum(bars_of(part.timeframe) for part in parts),
        covered_minutes=1440,
        fingerprint=made.identity,
        parts=parts,
        inputs=tuple(made.inputs),
    )


class Lake(Bucket):
    """Manifests of trades, books and candles; cells of candles are opened out of them."""

    def open_candles(self, cell: Cell, lost: tuple[Finding, ...]) -> CandleCell:
        return read_candle_cell(self, cell, lost)  # type: ignore[arg-type]  # all that it needs of an inventory is `open_cell`

    def check(self, days: DayRange = ONE_DAY, **more: Any) -> Coverage:
        self.opened.clear()
        options = {"catalogues": {VENUE: USUAL}, "open_cell": self.open_candles, "now": NOW} | more
        return assess_candles(days, [VENUE], summaries=self.summaries(), **options)

    def report(self, **more: Any) -> CellReport:
        return self.check(**more).report(CANDLES)


def test_years_of_complete_candles_are_judged_without_opening_anything():
    lake, days = Lake(), DayRange(DAY, day(400))
    for each in days:
        lake.put(Cell(each, "trades", VENUE), [traded("A"), traded("B"), bad("C", Outcome.EMPTY), bad("D", Outcome.EMPTY)])
        lake.put(Cell(each, "candles", VENUE), [candles("A"), candles("B")], run=LATER)
    coverage = lake.check(days)
    assert coverage.counts == {CellState.COMPLETE: 401}
    assert lake.opened == []
    assert coverage.sentence() == "100 % of 401 expected candle cells complete"
    assert (coverage.layer, coverage.rows) == (Layer.CANDLES, ((VENUE, "candles"),))
    report = coverage.report(CANDLES)
    assert (report.expected, report.done, report.rows, report.runs) == (2, 2, 2 * BARS, (LATER,))


def test_a_symbol_without_trades_is_not_expected_to_have_candles():
    lake = Lake()
    lake.put(TRADES, [traded("A"), bad("B", Outcome.EMPTY), bad("C"), bad("D", Outcome.WAIVED)])
    lake.put(CANDLES, [candles("A")], run=LATER)
    report = lake.report()
    assert (report.state, report.expected, report.done) == (CellState.COMPLETE, 1, 1)


def test_a_day_without_committed_trades_is_no_gap_of_this_layer():
    lake = Lake()
    lake.put(TRADES, [bad(symbol) for symbol in "ABCD"])
    assert lake.report().state is CellState.NOT_EXPECTED
    assert lake.check(DayRange(day(1), day(2))).sentence().startswith("no trades are committed in 2024-05-02..2024-05-03")


def test_trades_whose_candles_were_never_made_are_missing_and_nothing_is_opened():
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    report = lake.report()
    assert (report.state, report.expected, report.absent, lake.opened) == (CellState.MISSING, 2, 2, [])


def test_as_many_candles_of_other_symbols_complete_nothing():
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("C"), candles("D")], run=LATER)
    report = lake.report()
    assert (report.state, report.done, report.absent) == (CellState.MISSING, 0, 2)
    lake.put(CANDLES, [candles("A")], run=LATER)
    report = lake.report()
    assert (report.state, report.done, report.reasons) == (CellState.PARTIAL, 1, ("1 without candles: B",))


@pytest.mark.parametrize("lacking", ["24h", "15s"])
def test_one_timeframe_that_lacks_leaves_a_hole_unless_it_is_not_asked_for(lacking):
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("A"), candles("B", timeframes=[each for each in TIMEFRAMES if each != lacking])], run=LATER)
    report = lake.report()
    assert (report.state, report.done, report.reasons) == (CellState.PARTIAL, 1, (f"1 without {lacking}: B",))
    assert lake.report(timeframes=("5m", "1h")).state is CellState.COMPLETE


def test_no_bars_of_one_symbol_stand_in_for_those_of_another():
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("A"), candles("B", timeframes=("1m",))], run=LATER)
    assert lake.report(timeframes=("1m", "5m")).reasons == ("1 without 5m: B",)


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        ({Input.BOOK: "book"}, "1 stale (book_snapshot_5 came since): A"),
        ({Input.TRADES: "other"}, "1 stale (made of other inputs than the lake holds now): A"),
    ],
)
def test_candles_of_other_inputs_than_the_lake_holds_are_stale_which_is_no_hole(late, reason):
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("A"), candles("B")], run=new_run(NOW - timedelta(days=1)))
    assert lake.report().state is CellState.COMPLETE
    for name, checksum in late.items():
        entry = msgspec.structs.replace(traded("A", checksum), generation=2)
        lake.put(Cell(DAY, name.value, VENUE), [entry], run="r2")
    coverage = lake.check()
    assert coverage.report(CANDLES).reasons == (reason,)
    assert coverage.sentence() == "0.0 % of 1 expected candle cell complete, 1 stale"
    assert coverage.holes() == []


def test_candles_cut_by_local_time_are_as_current_as_others():
    lake = Lake()
    lake.put(TRADES, [traded("A")])
    lake.put(CANDLES, [candles("A", clock="local")], run=new_run(NOW))
    assert lake.report().state is CellState.COMPLETE
    assert lake.opened


@pytest.mark.parametrize(
    ("gone", "state", "expected"), [(("A",), CellState.COMPLETE, 1), (("A", "B"), CellState.NOT_EXPECTED, 0), ((), CellState.COMPLETE, 2)]
)
def test_of_trades_that_were_deleted_no_candles_are_expected_and_those_that_are_there_are_named(gone, state, expected):
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("A"), candles("B")], run=LATER)
    findings = [Finding(Kind.MISSING, symbol, 1) for symbol in gone]
    report = lake.report(verified={TRADES: lake.verified(TRADES, *findings)})
    assert (report.state, report.expected) == (state, expected)
    assert report.reasons == (("2 symbols with candles, and without trades by now",) if len(gone) == 2 else ())


def test_candles_without_any_record_of_trades_are_told_and_not_expected():
    lake = Lake()
    lake.put(CANDLES, [candles("A")], run=LATER)
    report = lake.report()
    assert (report.state, report.manifests) == (CellState.NOT_EXPECTED, 1)
    assert report.reasons == ("1 symbol with candles, and without trades by now",)


def test_candles_that_failed_leave_a_hole_with_the_reason():
    lake = Lake()
    lake.put(TRADES, [traded("A"), traded("B")])
    failed = Entry(symbol="B", outcome=Outcome.FAILED, reason="input_changed", detail="is gone")
    lake.put(CANDLES, [candles("A"), failed])
    report = lake.report()
    assert (report.state, report.bad, report.reasons) == (CellState.PARTIAL, 1, ("1 failed (input_changed): B",))
    lake.put(CANDLES, [candles("B")])
    assert lake.report().state is CellState.COMPLETE, "what was made later counts"


def test_live_work_hides_what_lacks_until_its_manifest_is_closed_and_never_what_is_complete():
    lake, live = Lake(), {CANDLES: (LiveShard(LATER, 0, vm="vm-1"),)}
    lake.put(TRADES, [traded("A"), traded("B")])
    report = lake.report(live=live)
    assert (report.state, report.beneath, report.reasons) == (
        CellState.RUNNING,
        CellState.MISSING,
        (f"run {LATER} is working on it: vm-1",),
    )
    lake.put(CANDLES, [candles("A")], run=LATER, unfinished=True)
    assert lake.report(live=live).state is CellState.RUNNING
    lake.put(CANDLES, [candles("A")], run=LATER)
    assert lake.report(live=live).state is CellState.PARTIAL
    lake.put(CANDLES, [candles("B")], run=LATER, shard=1)
    assert lake.report(live={CANDLES: (LiveShard(LATER, 2),)}).state is CellState.COMPLETE


def test_of_some_symbols_only_their_candles_are_asked_for():
    lake = Lake()
    lake.put(TRADES, [traded(symbol) for symbol in "ABCD"])
    lake.put(CANDLES, [candles("A"), candles("B")], run=LATER)
    for symbols, state, expected in (("AB", CellState.COMPLETE, 2), ("BC", CellState.PARTIAL, 2), ("Z", CellState.NOT_EXPECTED, 0)):
        report = lake.report(scope={VENUE: frozenset(symbols)})
        assert (report.state, report.expected) == (state, expected)


def test_what_was_opened_is_opened_again_only_when_a_manifest_came():
    lake, judged = Lake(), Judged()
    lake.put(TRADES, [traded("A"), traded("B")])
    lake.put(CANDLES, [candles("A")], run=LATER)
    first = lake.report(judged=judged)
    assert lake.opened
    assert lake.report(judged=judged) == first
    assert lake.opened == []
    lake.put(CANDLES, [candles("B")], run=LATER)
    assert lake.report(judged=judged).state is CellState.COMPLETE


def test_a_manifest_that_cannot_be_read_fails_its_cell_and_no_other():
    lake = Lake()
    for each in (DAY, day(1)):
        lake.put(Cell(each, "trades", VENUE), [traded("A"), traded("B")])
        lake.put(Cell(each, "candles", VENUE), [candles("A")])

    def broken(cell: Cell, lost: tuple[Finding, ...]) -> CandleCell:
        if cell.day == DAY:
            raise ConfigurationError("manifest m is not one of ours")
        return lake.open_candles(cell, lost)

    coverage = lake.check(DayRange(DAY, day(1)), open_cell=broken)
    assert coverage.row(VENUE, "candles") == [CellState.FAILED, CellState.PARTIAL]
    assert coverage.report(CANDLES).reasons == ("manifest m is not one of ours",)


OUTCOMES = st.sampled_from([Outcome.OK, Outcome.OK, Outcome.EMPTY, Outcome.FAILED, None])
MADE = st.sampled_from(["all", "all", "all but one timeframe", "failed", "none"])


@given(trades=st.fixed_dictionaries(dict.fromkeys("ABCD", OUTCOMES)), made=st.fixed_dictionaries(dict.fromkeys("ABCDE", MADE)))
def test_listings_never_say_anything_else_than_the_manifests_themselves_and_the_planner(trades, made):
    lake = Lake()
    entries = [traded(symbol) if outcome is Outcome.OK else bad(symbol, outcome) for symbol, outcome in trades.items() if outcome]
    lake.put(TRADES, entries)
    of = {
        "all": candles,
        "all but one timeframe": lambda symbol: candles(symbol, timeframes=TIMEFRAMES[:-1]),
        "failed": bad,
    }
    if told := [of[how](symbol) for symbol, how in made.items() if how != "none"]:
        lake.put(CANDLES, told, run=LATER)
    by_listing = lake.report()
    opened = lake.open_candles(CANDLES, ())
    lacking = opened.todo(CandleOptions())
    assert by_listing.expected == sum(outcome is Outcome.OK for outcome in trades.values())
    assert by_listing.expected - by_listing.done == len(lacking)
    assert (by_listing.state is CellState.COMPLETE) == (bool(by_listing.expected) and not lacking)
