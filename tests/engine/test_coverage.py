"""Each state of a cell, with the case that a careless definition gets wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec import structs

from engine.catalogue import Incident
from engine.coverage import Coverage, LiveShard, Sureness, assess, context_of, live_cells, overlay
from engine.errors import ConfigurationError, UsageError
from engine.instrument_coverage import Definitions
from engine.manifest import Record
from engine.model import Cell, CellState, DayRange, Outcome
from engine.plan import Shard, Work
from engine.symbol_coverage import symbol_reports
from engine.validation.verification import Depth, Finding, Kind
from tests.engine.made_up_lake import NOW, Bucket, bad, catalogue, day, listing, moment, ok

BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
THREE = catalogue(listing(BTC), listing(ETH), listing(SOL))
MONTH = DayRange(day(0), day(30))


def cell(number: int, data_type: str = "trades", venue: str = "binance") -> Cell:
    return Cell(day(number), data_type, venue)


def one_day(number: int) -> DayRange:
    return DayRange(day(number), day(number))


def states(coverage: Coverage, data_type: str = "trades", venue: str = "binance") -> list[str]:
    return [str(state) for state in coverage.row(venue, data_type)]


def filled(symbols: tuple[str, ...], numbers: range, data_type: str = "trades", rows: int = 1000) -> Bucket:
    bucket = Bucket()
    for number in numbers:
        bucket.put(cell(number, data_type), [ok(symbol, rows) for symbol in symbols])
    return bucket


# complete, partial, failed, missing


def test_a_cell_is_complete_when_every_expected_symbol_is_done_and_nothing_is_opened_to_know_it() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    coverage = bucket.assess(THREE, one_day(0))
    report = coverage.report(cell(0))
    assert report.state is CellState.COMPLETE
    assert (report.expected, report.done, report.rows, report.source_bytes) == (3, 3, 3000, 15000)
    assert (report.manifests, report.runs, report.sureness) == (1, ("r1",), Sureness.COMMITTED)
    assert bucket.opened == []


def test_the_right_number_of_files_of_other_symbols_is_not_complete() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok("XRPUSDT")])
    report = bucket.assess(THREE, one_day(0)).report(cell(0))
    assert report.state is CellState.PARTIAL
    assert (report.done, report.absent) == (2, 1)
    assert SOL in report.reasons[0]


def test_a_manifest_that_speaks_only_of_other_symbols_leaves_the_cell_failed() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok("A"), ok("B"), ok("C")])
    assert states(bucket.assess(THREE, one_day(0))) == ["failed"]


def test_a_renamed_symbol_leaves_a_hole_under_its_new_name() -> None:
    """The old name ends and the new one begins on the same day: files under the old name do not count for the new one."""
    offered = catalogue(listing("MATICUSDT", until=moment(2)), listing("POLUSDT", since=moment(2)))
    bucket = filled(("MATICUSDT",), range(4))
    assert states(bucket.assess(offered, DayRange(day(0), day(3)))) == ["complete", "complete", "failed", "failed"]


def test_a_symbol_delisted_in_the_range_is_not_missed_afterwards() -> None:
    offered = catalogue(listing(BTC), listing(ETH, until=moment(10, 8)))
    bucket = filled((BTC, ETH), range(11))
    for number in range(11, 31):
        bucket.put(cell(number), [ok(BTC)])
    assert set(states(bucket.assess(offered, MONTH))) == {"complete"}


def test_some_bad_files_make_a_cell_partial_and_only_bad_ones_make_it_failed() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), bad(ETH, Outcome.QUARANTINED), ok(SOL)])
    bucket.put(cell(1), [bad(BTC), bad(ETH, Outcome.NOT_FOUND), bad(SOL, Outcome.NOT_ENTITLED)])
    coverage = bucket.assess(THREE, DayRange(day(0), day(2)))
    assert states(coverage) == ["partial", "failed", "missing"]
    assert coverage.report(cell(0)).reasons == ("1 quarantined",)
    assert coverage.report(cell(1)).bad == 3
    assert bucket.opened == []


def test_two_shards_that_did_halves_of_a_cell_complete_it_together() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC, 700)], shard=0)
    bucket.put(cell(0), [ok(ETH, 200), ok(SOL, 100)], shard=1)
    report = bucket.assess(THREE, one_day(0)).report(cell(0))
    assert report.state is CellState.COMPLETE
    assert (report.rows, report.manifests) == (1000, 2)


def test_half_of_a_divided_cell_is_partial_although_its_manifest_is_closed_and_all_ok() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC)], shard=0)
    assert states(bucket.assess(THREE, one_day(0))) == ["partial"]


def test_an_open_manifest_with_every_symbol_is_opened_and_not_trusted() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), bad(SOL)], unfinished=True)
    report = bucket.assess(THREE, one_day(0)).report(cell(0))
    assert report.state is CellState.PARTIAL
    assert bucket.opened == [cell(0)]


def test_an_attempt_that_stopped_before_its_first_file_is_a_failed_cell() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [], unfinished=True)
    assert states(bucket.assess(THREE, one_day(0))) == ["failed"]


def test_a_later_success_supersedes_a_failure_and_a_later_failure_never_a_success() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), bad(SOL)], run="r1")
    bucket.put(cell(0), [ok(SOL)], run="r2")
    bucket.put(cell(0), [bad(BTC)], run="r3")
    report = bucket.assess(THREE, one_day(0)).report(cell(0))
    assert (report.state, report.runs) == (CellState.COMPLETE, ("r1", "r2", "r3"))


def test_a_waived_file_completes_its_cell_and_its_missing_rows_are_no_surprise() -> None:
    bucket = filled((BTC, ETH, SOL), range(20))
    bucket.put(cell(20), [bad(BTC, Outcome.WAIVED), bad(ETH, Outcome.WAIVED), ok(SOL)])
    report = bucket.assess(THREE, one_day(20)).report(cell(20))
    assert (report.state, report.waived, report.done) == (CellState.COMPLETE, 2, 3)


# not_expected, not_ready


def test_what_a_venue_does_not_offer_is_never_a_gap() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    coverage = bucket.assess(THREE, one_day(0), ("trades", "liquidations"))
    assert states(coverage, "liquidations") == ["not_expected"]
    assert coverage.expected_cells == 1
    assert coverage.sentence() == "100 % of 1 expected cell complete"


def test_days_before_the_first_listing_are_not_expected_and_the_listing_day_is() -> None:
    offered = catalogue(listing(BTC, since=moment(2, 14)))
    bucket = Bucket()
    assert states(bucket.assess(offered, DayRange(day(0), day(3)))) == ["not_expected", "not_expected", "missing", "missing"]


def test_a_symbol_delisted_at_midnight_is_not_expected_on_the_day_that_begins_then() -> None:
    offered = catalogue(listing(BTC, until=moment(1)))
    assert states(Bucket().assess(offered, DayRange(day(0), day(1)))) == ["missing", "not_expected"]


def test_an_unpublished_day_is_not_ready_and_no_hole() -> None:
    offered = catalogue(listing(BTC), published_until=moment(2))
    bucket = filled((BTC,), range(2))
    bucket.put(cell(2), [bad(BTC, Outcome.NOT_READY)])
    coverage = bucket.assess(offered, DayRange(day(0), day(4)))
    assert states(coverage) == ["complete", "complete", "not_ready", "not_ready", "not_ready"]
    assert coverage.holes() == []
    assert coverage.sentence() == "100 % of 2 expected cells complete, 3 not ready"


def test_an_answer_not_ready_on_a_day_published_since_is_a_hole_and_not_a_failure() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [bad(symbol, Outcome.NOT_READY) for symbol in (BTC, ETH, SOL)])
    bucket.put(cell(1), [ok(BTC), bad(ETH, Outcome.NOT_READY), bad(SOL, Outcome.NOT_READY)])
    assert states(bucket.assess(THREE, DayRange(day(0), day(1)))) == ["missing", "partial"]


def test_a_day_that_is_held_counts_although_an_old_catalogue_calls_it_unpublished() -> None:
    offered = catalogue(listing(BTC), published_until=moment(0))
    assert states(filled((BTC,), range(1)).assess(offered, one_day(0))) == ["complete"]


def test_quarantined_bytes_of_an_unpublished_day_are_not_hidden() -> None:
    offered = catalogue(listing(BTC), listing(ETH), published_until=moment(0))
    bucket = Bucket()
    bucket.put(cell(0), [bad(BTC, Outcome.QUARANTINED), bad(ETH, Outcome.NOT_READY)])
    assert states(bucket.assess(offered, one_day(0))) == ["partial"]


def test_the_grouped_options_file_is_expected_and_then_not_the_single_options() -> None:
    offered = catalogue(
        listing("OPTIONS", "options_chain", kind="option"),
        listing("BTC-27DEC24-50000-C", "options_chain", kind="option"),
        venue="deribit",
    )
    bucket = Bucket()
    bucket.put(Cell(day(0), "options_chain", "deribit"), [ok("OPTIONS")])
    assert states(bucket.assess(offered, one_day(0), ("options_chain",)), "options_chain", "deribit") == ["complete"]


# thin


def test_half_a_day_is_thin_even_if_its_rows_are_as_many_as_usual() -> None:
    bucket = filled((BTC, ETH, SOL), range(14))
    bucket.put(cell(14), [ok(BTC, 1100, 720), ok(ETH, 900), ok(SOL, 1000)])
    coverage = bucket.assess(THREE, DayRange(day(0), day(14)))
    assert states(coverage) == ["complete"] * 14 + ["thin"]
    assert coverage.report(cell(14)).reasons == ("720 covered minutes, usually 1,440",)


def test_far_fewer_rows_than_on_the_good_days_before_are_thin() -> None:
    bucket = filled((BTC, ETH, SOL), range(14))
    bucket.put(cell(14), [ok(BTC, 100), ok(ETH, 100), ok(SOL, 100)])
    assert states(bucket.assess(THREE, DayRange(day(0), day(14))))[-1] == "thin"


def test_a_market_that_swings_by_itself_is_not_thin_on_a_calm_day() -> None:
    bucket = Bucket()
    for number in range(20):
        bucket.put(cell(number), [ok(symbol, (400, 1000, 2200)[number % 3]) for symbol in (BTC, ETH, SOL)])
    bucket.put(cell(20), [ok(symbol, 300) for symbol in (BTC, ETH, SOL)])
    assert set(states(bucket.assess(THREE, DayRange(day(0), day(20))))) == {"complete"}


def test_with_fewer_than_seven_good_days_nothing_is_called_thin() -> None:
    bucket = filled((BTC, ETH, SOL), range(6))
    bucket.put(cell(6), [ok(symbol, 1, 1) for symbol in (BTC, ETH, SOL)])
    assert set(states(bucket.assess(THREE, DayRange(day(0), day(6))))) == {"complete"}


def test_the_first_day_of_a_lake_is_measured_by_the_days_after_it() -> None:
    bucket = filled((BTC, ETH, SOL), range(1, 14))
    bucket.put(cell(0), [ok(symbol, 1000, 700) for symbol in (BTC, ETH, SOL)])
    assert states(bucket.assess(THREE, DayRange(day(0), day(13))))[:2] == ["thin", "complete"]


def test_one_day_is_measured_by_days_outside_of_the_question() -> None:
    bucket = filled((BTC, ETH, SOL), range(14))
    bucket.put(cell(14), [ok(symbol, 1000, 700) for symbol in (BTC, ETH, SOL)])
    assert states(bucket.assess(THREE, one_day(14))) == ["thin"]
    assert context_of(one_day(14)).start < day(0)


def test_the_day_a_symbol_is_listed_is_short_and_not_thin() -> None:
    offered = catalogue(listing(BTC), listing(ETH), listing(SOL, since=moment(14, 20)))
    bucket = filled((BTC, ETH), range(14))
    bucket.put(cell(14), [ok(BTC), ok(ETH), ok(SOL, 10, 240)])
    assert set(states(bucket.assess(offered, DayRange(day(0), day(14))))) == {"complete"}


def test_the_day_a_symbol_is_delisted_is_short_and_not_thin() -> None:
    offered = catalogue(listing(BTC), listing(ETH), listing(SOL, until=moment(14, 6)))
    bucket = filled((BTC, ETH, SOL), range(14))
    bucket.put(cell(14), [ok(BTC), ok(ETH), ok(SOL, 300, 360)])
    assert set(states(bucket.assess(offered, DayRange(day(0), day(14))))) == {"complete"}


def test_rows_that_leave_with_a_delisted_symbol_do_not_make_the_rest_thin() -> None:
    offered = catalogue(listing(BTC, until=moment(10)), listing(ETH))
    bucket = Bucket()
    for number in range(30):
        bucket.put(cell(number), [*([ok(BTC, 9000)] if number < 10 else []), ok(ETH, 500)])
    assert set(states(bucket.assess(offered, DayRange(day(0), day(29))))) == {"complete"}


def test_a_file_that_turns_empty_is_thin_on_every_day_until_it_has_rows_again() -> None:
    """A renamed symbol that the catalogue still lists answers with the same 20 bytes as a quiet day."""
    bucket = filled((BTC, ETH, SOL), range(3))
    for number in range(3, 12):
        bucket.put(cell(number), [ok(BTC), ok(ETH), bad(SOL, Outcome.EMPTY)])
    coverage = bucket.assess(THREE, DayRange(day(0), day(11)))
    assert states(coverage) == ["complete"] * 3 + ["thin"] * 9
    assert coverage.report(cell(11)).reasons == (f"empty, but with rows on neighbouring days: {SOL}",)
    assert bucket.opened == []


def test_a_file_that_is_empty_before_its_first_rows_is_thin_too() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), bad(SOL, Outcome.EMPTY)])
    bucket.put(cell(1), [ok(BTC), ok(ETH), ok(SOL)])
    assert states(bucket.assess(THREE, DayRange(day(0), day(1)))) == ["thin", "complete"]


def test_a_symbol_that_never_had_rows_is_plausibly_empty() -> None:
    bucket = Bucket()
    for number in range(10):
        bucket.put(cell(number), [ok(BTC), ok(ETH), bad(SOL, Outcome.EMPTY)])
    assert set(states(bucket.assess(THREE, DayRange(day(0), day(9))))) == {"complete"}


def test_a_symbol_that_is_empty_every_few_days_is_quiet_by_habit() -> None:
    bucket = Bucket()
    for number in range(12):
        bucket.put(cell(number), [ok(BTC), ok(ETH), bad(SOL, Outcome.EMPTY) if number % 3 == 1 else ok(SOL, 2, 2)])
    assert set(states(bucket.assess(THREE, DayRange(day(0), day(11))))) == {"complete"}


def test_a_symbol_that_is_empty_on_the_day_of_its_listing_is_plausible() -> None:
    offered = catalogue(listing(BTC), listing(SOL, since=moment(1, 23)))
    bucket = Bucket()
    bucket.put(cell(1), [ok(BTC), bad(SOL, Outcome.EMPTY)])
    bucket.put(cell(2), [ok(BTC), ok(SOL)])
    assert states(bucket.assess(offered, DayRange(day(1), day(2)))) == ["complete", "complete"]


def test_quiet_liquidations_are_complete_however_quiet() -> None:
    offered = catalogue(listing(BTC, "liquidations", kind="perpetual"), listing(ETH, "liquidations", kind="perpetual"))
    bucket = filled((BTC, ETH), range(14), "liquidations")
    bucket.put(cell(14, "liquidations"), [bad(BTC, Outcome.EMPTY), ok(ETH, 1, 1)])
    bucket.put(cell(15, "liquidations"), [bad(BTC, Outcome.EMPTY), bad(ETH, Outcome.EMPTY)])
    coverage = bucket.assess(offered, DayRange(day(0), day(15)), ("liquidations",))
    assert set(states(coverage, "liquidations")) == {"complete"}
    assert coverage.report(cell(15, "liquidations")).empty == 2


def test_an_option_without_a_trade_is_normal_and_a_perpetual_without_one_is_not() -> None:
    offered = catalogue(listing("BTC-PERPETUAL", kind="perpetual"), listing("BTC-27DEC24-50000-C", kind="option"))
    bucket = Bucket()
    for number, quiet in ((0, ""), (1, "BTC-27DEC24-50000-C"), (2, ""), (3, "BTC-PERPETUAL"), (4, "")):
        names = ("BTC-PERPETUAL", "BTC-27DEC24-50000-C")
        bucket.put(cell(number), [bad(name, Outcome.EMPTY) if name == quiet else ok(name) for name in names])
    assert states(bucket.assess(offered, DayRange(day(0), day(4)))) == ["complete", "complete", "complete", "thin", "complete"]


def test_empty_symbols_too_many_for_metadata_are_found_by_opening_the_cell() -> None:
    names = tuple(f"COIN{number:04d}USDT" for number in range(500))
    offered = catalogue(*(listing(name) for name in names))
    bucket = Bucket()
    bucket.put(cell(0), [ok(name) for name in names])
    bucket.put(cell(1), [bad(name, Outcome.EMPTY) for name in names])
    assert states(bucket.assess(offered, DayRange(day(0), day(1)))) == ["complete", "thin"]
    assert bucket.opened == [cell(1)]


def test_a_venue_incident_makes_a_full_day_thin_and_does_not_hide_a_hole() -> None:
    trouble = Incident(moment(1, 23), moment(2, 1), "resolved", "websocket feed was down")
    offered = catalogue(listing(BTC), incidents=(trouble,))
    bucket = filled((BTC,), range(2))
    coverage = bucket.assess(offered, DayRange(day(0), day(3)))
    assert states(coverage) == ["complete", "thin", "missing", "missing"]
    assert coverage.report(cell(1)).reasons == ("venue incident: websocket feed was down",)


def test_an_incident_that_ends_at_midnight_does_not_touch_the_next_day() -> None:
    offered = catalogue(listing(BTC), incidents=(Incident(moment(0, 22), moment(1), "resolved", "down"),))
    assert states(filled((BTC,), range(2)).assess(offered, DayRange(day(0), day(1)))) == ["thin", "complete"]


# running, sureness, scope


def test_a_live_worker_hides_a_hole_only_until_its_own_manifest_is_closed() -> None:
    live = {cell(number): (LiveShard("r2", 4),) for number in range(5)}
    bucket = filled((BTC, ETH, SOL), range(1))
    bucket.put(cell(1), [ok(BTC), bad(ETH), ok(SOL)], run="r1", shard=4)
    bucket.put(cell(2), [ok(BTC), bad(ETH), ok(SOL)], run="r2", shard=4)
    bucket.put(cell(4), [ok(BTC)], run="r2", shard=4, unfinished=True)
    coverage = bucket.assess(THREE, DayRange(day(0), day(4)), live=live)
    assert states(coverage) == ["complete", "running", "partial", "running", "running"]
    assert coverage.report(cell(1)).beneath is CellState.PARTIAL
    assert coverage.report(cell(3)).beneath is CellState.MISSING
    assert [report.cell for report in coverage.holes()] == [cell(2)]


def test_live_cells_are_those_in_the_shards_that_live_workers_hold() -> None:
    work = Work(day=day(0), data_type="trades", venue="binance", symbols=(BTC,), bytes=(1,), seconds=1.0)
    shard = Shard(index=4, work=(work,), files=1, bytes=1, seconds=1.0)
    holders = (LiveShard("r2", 4), LiveShard("r3", 4, queued=True))
    assert live_cells([(holder, shard) for holder in holders]) == {cell(0): holders}


def test_a_shard_that_waits_for_its_worker_is_queued_and_one_that_has_a_worker_names_it() -> None:
    waits, works = LiveShard("r2", 4, queued=True), LiveShard("r3", 1, vm="market-data-shard-r3-1")
    coverage = filled((BTC,), range(1)).assess(
        catalogue(listing(BTC)), DayRange(day(0), day(2)), live={cell(1): (waits,), cell(2): (waits, works)}
    )
    assert states(coverage) == ["complete", "running", "running"]
    assert [coverage.report(cell(number)).is_queued for number in range(3)] == [False, True, False]
    assert coverage.report(cell(2)).reasons[0] == "run r3 is working on it: market-data-shard-r3-1"


def test_a_launch_shows_at_once_on_what_was_a_hole_and_nowhere_else() -> None:
    coverage = filled((BTC,), range(1)).assess(catalogue(listing(BTC)), DayRange(day(0), day(2)))
    queued = {cell(number): (LiveShard("r2", 0, queued=True),) for number in (0, 2, 9)}
    after = overlay(coverage, queued)
    assert states(after) == ["complete", "missing", "running"]
    assert after.report(cell(2)).beneath is CellState.MISSING
    assert after.counts == {CellState.COMPLETE: 1, CellState.MISSING: 1, CellState.RUNNING: 1}
    assert states(coverage) == ["complete", "missing", "missing"]


def test_definitions_are_expected_whenever_the_venue_lists_anything_and_count_apart_unless_asked_for() -> None:
    offered = catalogue(listing(BTC, since=moment(1, 12), until=moment(3)), listing(ETH, since=moment(5)), published_until=moment(7))
    stored = {Cell(day(number), "instruments", "binance"): Definitions(2, moment(9), 1000, 1) for number in (1, 4, 5)}
    coverage = Bucket().assess(offered, DayRange(day(0), day(7)), definitions=stored)
    found = [coverage.report(Cell(each, "instruments", "binance")).state.value for each in coverage.days]
    assert found == ["not_expected", "complete", "missing", "not_expected", "not_expected", "complete", "missing", "not_ready"]
    assert coverage.all_rows == (("binance", "trades"), ("binance", "instruments"))
    assert sum(coverage.counts.values()) == 8
    assert [report.cell.day for report in coverage.instrument_holes()] == [day(2), day(6)]
    assert not [report for report in coverage.holes() if report.cell.data_type == "instruments"]
    counted = Bucket().assess(offered, DayRange(day(0), day(7)), definitions=stored, count_definitions=True)
    assert sum(counted.counts.values()) == 16
    assert counted.all_rows == counted.rows == coverage.all_rows
    assert len(counted.holes()) == len(coverage.holes()) + 2


def test_a_check_of_the_objects_counts_until_a_newer_manifest_is_written() -> None:
    bucket = filled((BTC, ETH, SOL), range(3))
    earlier = NOW - timedelta(days=3)
    verified = {cell(0): bucket.verified(cell(0), at=earlier), cell(1): bucket.verified(cell(1), at=earlier)}
    bucket.put(cell(1), [ok(BTC)], run="r2")
    bucket.put(cell(3), [ok(BTC), ok(ETH), ok(SOL)], origin="adopted")
    coverage = bucket.assess(THREE, DayRange(day(0), day(4)), verified=verified)
    reports = [coverage.report(cell(number)) for number in range(5)]
    assert [(report.sureness, report.verified_at, report.verified_depth) for report in reports] == [
        (Sureness.VERIFIED, earlier, Depth.LISTING),
        (Sureness.COMMITTED, earlier, None),
        (Sureness.COMMITTED, None, None),
        (Sureness.ADOPTED, None, None),
        (Sureness.NOTHING, None, None),
    ]


def test_an_adopted_cell_stays_adopted_until_something_of_it_is_committed() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)], origin="adopted")
    bucket.put(cell(0), [bad(SOL)], run="r2")
    bucket.put(cell(1), [ok(BTC), ok(ETH)], origin="adopted")
    bucket.put(cell(1), [ok(SOL)], run="r2")
    bucket.put(cell(2), [ok(BTC), bad(ETH, Outcome.EMPTY), ok(SOL)], origin="adopted")
    bucket.put(cell(3), [ok(BTC), ok(ETH), ok(SOL)], run="adoptlike")
    verified = {cell(number): bucket.verified(cell(number)) for number in range(4)}
    coverage = bucket.assess(THREE, DayRange(day(0), day(3)), verified=verified)
    reports = [coverage.report(cell(number)) for number in range(4)]
    assert [report.sureness for report in reports] == [Sureness.ADOPTED, Sureness.VERIFIED, Sureness.ADOPTED, Sureness.VERIFIED]
    assert all(report.verified_at == NOW for report in reports)


def test_a_deleted_file_is_absent_and_an_altered_one_has_failed_until_a_newer_object_is_recorded() -> None:
    bucket = filled((BTC, ETH, SOL), range(3))
    found = (Finding(Kind.MISSING, BTC, 1), Finding(Kind.ALTERED, ETH, 1))
    verified = {cell(number): bucket.verified(cell(number), *found) for number in (0, 1)}
    bucket.put(cell(1), [ok(BTC, generation=2), ok(ETH, generation=2)], run="r2")
    coverage = bucket.assess(THREE, DayRange(day(0), day(2)), verified=verified)
    assert states(coverage) == ["partial", "complete", "complete"]
    report = coverage.report(cell(0))
    assert (report.done, report.absent, report.bad, report.rows) == (1, 1, 1, 1000)
    assert report.reasons == (f"1 deleted from the bucket: {BTC}", f"1 altered in the bucket: {ETH}")
    assert {finding.symbol for finding in report.findings} == {BTC, ETH}
    assert coverage.report(cell(1)).findings == ()
    assert set(bucket.opened) == {cell(0), cell(1)}


def test_reasons_tell_what_a_hand_did_apart_from_what_an_attempt_left() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), bad(ETH)])
    verified = {cell(0): bucket.verified(cell(0), Finding(Kind.MISSING, BTC, 1))}
    report = bucket.assess(THREE, one_day(0), verified=verified).report(cell(0))
    assert report.state is CellState.FAILED
    assert report.reasons == (f"1 deleted from the bucket: {BTC}", f"1 failed: {ETH}", f"1 in no manifest: {SOL}")


def test_a_deleted_file_outside_of_the_scope_does_not_matter() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    verified = {cell(0): bucket.verified(cell(0), Finding(Kind.MISSING, BTC, 1))}
    scope = {"binance": frozenset({ETH})}
    assert states(bucket.assess(THREE, one_day(0), scope=scope, verified=verified)) == ["complete"]
    scope = {"binance": frozenset({BTC})}
    assert states(bucket.assess(THREE, one_day(0), scope=scope, verified=verified)) == ["failed"]


def test_a_changed_source_leaves_the_cell_complete_and_says_so() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    found = structs.replace(bucket.verified(cell(0)), findings=(Finding(Kind.SOURCE_CHANGED, BTC, 1),))
    report = bucket.assess(THREE, one_day(0), verified={cell(0): found}).report(cell(0))
    assert (report.state, report.sureness) == (CellState.COMPLETE, Sureness.VERIFIED)
    assert [finding.kind for finding in report.findings] == [Kind.SOURCE_CHANGED]
    assert bucket.opened == []


def test_the_deepest_proof_is_told_with_the_age_of_the_latest() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    earlier = NOW - timedelta(days=9)
    found = bucket.verified(cell(0), proofs={Depth.LISTING: NOW, Depth.CONTENT: earlier})
    report = bucket.assess(THREE, one_day(0), verified={cell(0): found}).report(cell(0))
    assert (report.verified_at, report.verified_depth, report.proofs[Depth.CONTENT]) == (NOW, Depth.CONTENT, earlier)


def test_a_manifest_that_cannot_be_read_fails_its_own_cell_only() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    for number in (1, 2):
        bucket.put(cell(number), [ok(BTC)], shard=0)
        bucket.put(cell(number), [ok(ETH), ok(SOL)], shard=1)

    class Broken(Bucket):
        def open_cell(self, cell: Cell) -> Mapping[str, Record]:
            if cell.day == day(1):
                raise ConfigurationError("manifests/x.json is not a valid Manifest")
            return super().open_cell(cell)

    coverage = Broken(bucket.held).assess(THREE, DayRange(day(0), day(2)))
    assert states(coverage) == ["complete", "failed", "complete"]
    assert coverage.report(cell(1)).reasons == ("manifests/x.json is not a valid Manifest",)


def test_a_scope_asks_for_less_and_a_whole_cell_that_is_done_answers_it_unopened() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    bucket.put(cell(1), [ok(BTC), bad(ETH), ok(SOL)])
    coverage = bucket.assess(THREE, DayRange(day(0), day(2)), scope={"binance": frozenset({BTC, "NOSUCH"})})
    assert states(coverage) == ["complete", "complete", "missing"]
    assert (coverage.report(cell(0)).expected, coverage.report(cell(0)).of_whole_cell) == (1, True)
    assert bucket.opened == [cell(1)]


def test_a_run_for_one_symbol_is_no_attempt_at_another() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC)])
    assert states(bucket.assess(THREE, one_day(0), scope={"binance": frozenset({ETH})})) == ["missing"]
    assert states(bucket.assess(THREE, one_day(0))) == ["partial"]


def test_a_grouped_file_is_expected_when_it_is_asked_for_by_name() -> None:
    offered = catalogue(listing(BTC), listing("SPOT"))
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC)])
    assert states(bucket.assess(offered, one_day(0))) == ["complete"]
    assert states(bucket.assess(offered, one_day(0), scope={"binance": frozenset({"SPOT"})})) == ["missing"]


# the whole


def test_the_sentence_never_rounds_a_hole_away() -> None:
    days = DayRange(date(2020, 1, 1), date(2024, 1, 1))
    bucket = Bucket()
    offered = catalogue(listing(BTC))
    for each in days:
        if each != days.end:
            bucket.put(Cell(each, "trades", "binance"), [ok(BTC)])
    coverage = bucket.assess(offered, days)
    assert coverage.sentence() == "99.9 % of 1,462 expected cells complete, 1 hole"


def test_holes_come_by_day_and_then_in_the_order_of_the_rows() -> None:
    offered = (
        catalogue(listing(BTC), venue="okex"),
        catalogue(listing(BTC), listing(ETH, "book_snapshot_5"), venue="binance"),
    )
    coverage = Bucket().assess(offered, DayRange(day(0), day(1)), ("trades", "book_snapshot_5"))
    assert [(report.cell.day, report.cell.venue, report.cell.data_type) for report in coverage.holes()] == [
        (day(number), venue, data_type)
        for number in (0, 1)
        for venue, data_type in (("okex", "trades"), ("binance", "trades"), ("binance", "book_snapshot_5"))
    ]
    assert coverage.counts == {CellState.MISSING: 6, CellState.NOT_EXPECTED: 2}
    assert coverage.catalogue_dates["okex"] == datetime(2024, 8, 1, tzinfo=UTC)


def test_a_range_in_which_nothing_is_expected_says_so() -> None:
    offered = catalogue(listing(BTC, since=moment(100)))
    assert Bucket().assess(offered, one_day(0)).sentence() == "no cell is expected in 2024-05-01..2024-05-01, 1 day"


def test_a_venue_without_a_catalogue_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        assess(
            one_day(0),
            ["binnance"],
            ["trades"],
            catalogues={"binance": THREE},
            summaries=[],
            open_cell=Bucket().open_cell,
            now=NOW,
        )
    assert caught.value.hint == "did you mean binance?"


def test_a_cell_outside_of_the_request_is_refused() -> None:
    with pytest.raises(UsageError, match="outside of the request"):
        Bucket().assess(THREE, one_day(0)).report(cell(9))


# symbol by symbol


def test_an_opened_cell_names_each_symbol_with_its_state() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), bad(ETH, Outcome.QUARANTINED)])
    reports = {report.symbol: report for report in symbol_reports(cell(0), THREE, bucket.open_cell(cell(0)))}
    assert {symbol: str(report.state) for symbol, report in reports.items()} == {BTC: "complete", ETH: "failed", SOL: "partial"}
    assert (reports[BTC].run, reports[BTC].vm) == ("r1", "market-data-shard-r1-0")
    assert reports[SOL].outcome is None


def test_an_opened_cell_tells_what_was_deleted_or_altered() -> None:
    bucket = filled((BTC, ETH, SOL), range(1))
    found = (Finding(Kind.MISSING, BTC, 1), Finding(Kind.ALTERED, ETH, 1, "7 bytes, 5,000 were committed"))
    reports = {each.symbol: each for each in symbol_reports(cell(0), THREE, bucket.open_cell(cell(0)), findings=found)}
    assert {symbol: str(report.state) for symbol, report in reports.items()} == {BTC: "partial", ETH: "failed", SOL: "complete"}
    assert reports[BTC].reasons == ("deleted from the bucket since it was committed",)
    assert reports[ETH].reasons == ("altered", "7 bytes, 5,000 were committed")


def test_one_thin_symbol_hidden_in_a_large_cell_is_found_when_it_is_opened() -> None:
    bucket = Bucket()
    for number in range(10):
        bucket.put(cell(number), [ok(BTC, 1_000_000), ok(ETH, 1000), ok(SOL, 1000)])
    bucket.put(cell(10), [ok(BTC, 1_000_000), ok(ETH, 10, 1440), bad(SOL, Outcome.EMPTY)])
    history = {day(number): bucket.open_cell(cell(number)) for number in range(10)}
    reports = {report.symbol: report for report in symbol_reports(cell(10), THREE, bucket.open_cell(cell(10)), history=history)}
    assert {symbol: str(report.state) for symbol, report in reports.items()} == {BTC: "complete", ETH: "thin", SOL: "thin"}
    assert reports[ETH].reasons == ("10 rows, usually 1,000",)
