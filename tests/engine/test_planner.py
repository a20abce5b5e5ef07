"""Plans: what is offered, less what is held, with everything a person should know before the launch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.catalogue import Catalogue
from engine.coverage import LiveShard
from engine.documents import decode, encode
from engine.errors import UsageError
from engine.estimate import MB, VM_SPEED, Rate, Rates, Sizes
from engine.model import Cell, File, Outcome
from engine.plan import NotReady, Plan, Request, for_cells, seal
from engine.planner import NOTHING_TO_DO, make_plan
from engine.validation.verification import Finding, Kind
from tests.engine.made_up_lake import NOW, Bucket, bad, catalogue, day, listing, moment, ok

BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
BINANCE = catalogue(*(listing(symbol, "trades", "book_snapshot_5") for symbol in (BTC, ETH, SOL)))
DERIBIT = catalogue(
    listing("OPTIONS", "options_chain", kind="option"),
    listing("BTC-27DEC24-50000-C", "options_chain", kind="option"),
    listing("BTC-PERPETUAL", "trades", "liquidations", kind="perpetual"),
    listing("PERPETUALS", "trades", kind="perpetual"),
    venue="deribit",
)
RATES = Rates(vm_hour=Rate(0.2, "price list", "2026-11-01"), machine="e2-highmem-8 spot")


def cell(number: int, data_type: str = "trades", venue: str = "binance") -> Cell:
    return Cell(day(number), data_type, venue)


def request(first: int = 0, last: int = 1, **changes: Any) -> Request:
    given: dict[str, Any] = {"venues": ("binance",), "data_types": ("trades",), "start": day(first), "end": day(last)} | changes
    return Request(**given)


def plan(wanted: Request, bucket: Bucket | None = None, *offered: Catalogue, **changes: Any) -> Plan:
    bucket = bucket or Bucket()
    given: dict[str, Any] = {
        "catalogues": {each.venue: each for each in (offered or (BINANCE, DERIBIT))},
        "summaries": bucket.summaries(),
        "open_cell": bucket.open_cell,
        "sizes": Sizes(),
        "speed": VM_SPEED,
        "rates": RATES,
        "default_shards": 100,
        "max_shards": 200,
        "data_bucket": "market-data-tick",
        "state_bucket": "market-data-tick-state",
        "now": NOW,
    }
    return make_plan(wanted, **(given | changes))


def files(made: Plan) -> set[tuple[int, str, str]]:
    return {
        ((file.cell.day - day(0)).days, file.cell.data_type, file.symbol)
        for shard in made.shards
        for work in shard.work
        for file in work.files()
    }


# what is planned


def test_a_plan_holds_every_expected_file_once_and_is_sealed() -> None:
    made = plan(request())
    assert files(made) == {(number, "trades", symbol) for number in (0, 1) for symbol in (BTC, ETH, SOL)}
    assert (made.estimate.files, made.estimate.cells, made.already_done) == (6, 2, 0)
    assert made.id == seal(made).id != ""
    assert made.catalogues == {"binance": BINANCE.object_name}
    assert decode(encode(made), Plan, name="plan") == made


def test_the_same_question_makes_the_same_plan_at_another_time_and_from_another_order_of_manifests() -> None:
    bucket = Bucket()
    for number in range(3):
        bucket.put(cell(number), [ok(BTC), bad(ETH)])
    first = plan(request(0, 5), bucket)
    second = plan(request(0, 5), bucket, summaries=bucket.summaries()[::-1], now=NOW + timedelta(hours=1))
    assert first.id == second.id


def test_what_the_venues_do_not_offer_is_counted_and_not_planned() -> None:
    made = plan(request(venues=("binance", "deribit"), data_types=("trades", "liquidations", "options_chain")))
    assert made.not_expected_cells == 4
    assert files(made) == {
        *((number, "trades", symbol) for number in (0, 1) for symbol in (BTC, ETH, SOL, "BTC-PERPETUAL")),
        *((number, "liquidations", "BTC-PERPETUAL") for number in (0, 1)),
        *((number, "options_chain", "OPTIONS") for number in (0, 1)),
    }
    assert made.warnings == ()


def test_grouped_files_and_single_options_are_planned_only_when_asked_for_by_name() -> None:
    named = plan(request(0, 0, venues=("deribit",), data_types=("trades", "options_chain"), symbols=("PERPETUALS", "BTC-27DEC24-50000-C")))
    assert files(named) == {(0, "trades", "PERPETUALS"), (0, "options_chain", "BTC-27DEC24-50000-C")}


def test_a_symbol_is_planned_only_for_the_days_it_is_listed() -> None:
    offered = catalogue(listing(BTC), listing(ETH, since=moment(1, 12), until=moment(3)))
    assert files(plan(request(0, 3), None, offered)) == {
        *((number, "trades", BTC) for number in range(4)),
        *((number, "trades", ETH) for number in (1, 2)),
    }


def test_days_not_published_are_named_with_the_hour_they_are_due_and_never_planned() -> None:
    offered = catalogue(listing(BTC), published_until=moment(1))
    made = plan(request(0, 2), None, offered)
    assert files(made) == {(0, "trades", BTC)}
    assert made.not_ready == (
        NotReady(day(1), "binance", moment(2, 6)),
        NotReady(day(2), "binance", moment(3, 6)),
    )


# what is held already


def test_files_with_an_outcome_that_ends_them_are_not_planned_again() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), bad(ETH, Outcome.EMPTY), bad(SOL, Outcome.WAIVED)])
    bucket.put(cell(1), [ok(BTC), bad(ETH, Outcome.NOT_FOUND), bad(SOL, Outcome.QUARANTINED)])
    made = plan(request(0, 2), bucket)
    assert files(made) == {(1, "trades", ETH), (1, "trades", SOL), *((2, "trades", symbol) for symbol in (BTC, ETH, SOL))}
    assert made.already_done == 4


def test_only_cells_whose_metadata_leaves_a_doubt_are_opened() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)])
    bucket.put(cell(1), [bad(BTC), bad(ETH), bad(SOL)])
    bucket.put(cell(2), [ok(BTC), bad(ETH), ok(SOL)])
    bucket.put(cell(3), [ok(BTC)], shard=0)
    bucket.put(cell(3), [ok(ETH)], shard=1)
    bucket.put(cell(40), [ok(BTC)])
    made = plan(request(0, 4), bucket)
    assert sorted(bucket.opened) == [cell(2), cell(3)]
    assert files(made) == {
        *((number, "trades", symbol) for number in (1, 4) for symbol in (BTC, ETH, SOL)),
        (2, "trades", ETH),
        (3, "trades", SOL),
    }
    assert made.already_done == 3 + 2 + 2


def test_the_right_number_of_other_symbols_does_not_pass_for_what_is_expected() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok("A"), ok("B"), ok("C")])
    assert len(files(plan(request(0, 0), bucket))) == 3


def test_a_whole_cell_that_is_done_answers_for_a_part_of_it() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)])
    made = plan(request(0, 0, symbols=(BTC,)), bucket)
    assert (made.shards, made.already_done, bucket.opened) == ((), 1, [])


def test_refetch_plans_what_is_held_too() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)])
    assert len(files(plan(request(0, 0, refetch=True), bucket))) == 3


def test_nothing_left_is_a_plan_without_shards_that_says_why() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)])
    made = plan(request(0, 0), bucket)
    assert (made.shards, made.estimate.files, made.estimate.makespan_seconds) == ((), 0, 0.0)
    assert made.warnings == (f"{NOTHING_TO_DO}: 3 files are held already",)

    late = plan(request(0, 0), None, catalogue(listing(BTC), published_until=moment(0)))
    assert late.warnings == (f"{NOTHING_TO_DO}: not published yet, due 2024-05-02T06:00Z",)

    never = plan(request(data_types=("liquidations",)))
    assert never.shards == ()
    assert never.warnings[0] == f"{NOTHING_TO_DO}: the venues offer nothing of this on these days"
    assert "binance never offered liquidations" in never.warnings


# what is refused


@pytest.mark.parametrize(
    ("changes", "text", "hint"),
    [
        ({"venues": ("binnance",)}, "venue 'binnance'", "did you mean binance?"),
        ({"symbols": ("BTCUSTD",)}, "symbol 'BTCUSTD' is not listed at binance", "did you mean BTCUSDT?"),
        ({"symbols": ("btcusdt",)}, "symbol 'btcusdt'", "did you mean BTCUSDT?"),
        ({"universe": "teir1"}, "no universe 'teir1'", "did you mean tier1?"),
        ({"strategy": "by-day"}, "no strategy 'by-day'", "did you mean by-date?"),
        ({"shards": -1}, "-1 shards", "ask for one or more"),
        ({"venues": ()}, "at least one venue", ""),
        ({"start": day(3), "end": day(1)}, "reversed", "did you mean 2024-05-02..2024-05-04?"),
        ({"deadline": NOW - timedelta(hours=1)}, "has passed", "give a later one"),
        ({"deadline": datetime(2030, 1, 1)}, "naive", "give it a time zone; Tickdeck works in UTC"),  # noqa: DTZ001
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_with_what_was_meant(changes: Mapping[str, Any], text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(request(**changes))
    assert text in str(caught.value)
    assert caught.value.hint == hint


def test_an_unknown_data_type_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        plan(request(data_types=("trade",)))
    assert "trades" in f"{caught.value} {caught.value.hint}"


def test_a_symbol_that_is_listed_but_not_then_is_refused_with_that_reason() -> None:
    offered = catalogue(listing(BTC), listing(ETH, until=moment(-5)))
    with pytest.raises(UsageError) as caught:
        plan(request(symbols=(ETH,)), None, offered)
    assert caught.value.hint == "it is listed, but not for trades on these days"


# what is warned about


def test_a_symbol_that_is_listed_on_some_days_or_at_some_venues_only_is_warned_about() -> None:
    offered = catalogue(listing(BTC), listing(ETH, since=moment(2)))
    made = plan(request(0, 3, venues=("binance", "deribit"), symbols=(BTC, ETH)), None, offered, DERIBIT)
    assert made.warnings == (
        "binance lists on some days only: ETHUSDT (2 of 4 days)",
        "deribit does not list BTCUSDT, ETHUSDT",
    )


def test_a_universe_reduces_what_is_expected_without_warnings_for_what_venues_lack() -> None:
    offered = catalogue(listing(BTC), listing("OBSCUREUSDT"))
    made = plan(request(0, 0, universe="tier1"), None, offered)
    assert files(made) == {(0, "trades", BTC)}
    assert made.warnings == ()


def test_another_live_run_on_the_same_cells_is_warned_about() -> None:
    live = {cell(0): (LiveShard("r9", 0), LiveShard("r9", 1)), cell(9): (LiveShard("r8", 0),)}
    made = plan(request(), live=live)
    assert [warning for warning in made.warnings if "run r" in warning] == [
        "run r9 is working on 1 of these cells, binance trades 2024-05-01 among them; files commit once, the rest is wasted"
    ]


def test_a_transfer_above_the_daily_allowance_is_warned_about_with_its_days() -> None:
    sizes = Sizes([(File(cell(0), BTC), 900 * MB), (File(cell(0), ETH), 900 * MB), (File(cell(0), SOL), 900 * MB)])
    made = plan(request(0, 0), sizes=sizes, allowance_bytes=1000 * MB)
    assert made.estimate.allowance_bytes == 1000 * MB
    assert made.warnings == (
        "1 of 3 shards: a cap of 1.0 GB a day does not hold the largest file of more",
        "2.7 GB against an allowance of 1.0 GB a UTC day: 3 days, not finished before 2024-08-03T00:00Z",
    )
    assert plan(request(0, 0), sizes=sizes, allowance_bytes=5000 * MB).warnings == ()


# shards, deadline, estimate


def test_without_a_number_the_fleet_is_the_default_or_one_vm_a_file() -> None:
    assert len(plan(request(0, 99), default_shards=10).shards) == 10
    made = plan(request(0, 0), default_shards=10)
    assert (len(made.shards), made.warnings) == (3, ())


def test_more_shards_than_allowed_or_than_files_are_cut_with_a_warning() -> None:
    made = plan(request(0, 9, shards=50), max_shards=4)
    assert len(made.shards) == 4
    assert made.warnings == ("50 shards were wanted, the profile allows 4",)
    few = plan(request(0, 0, shards=50))
    assert few.warnings == ("3 shards hold all there is to do; 50 were wanted",)


def test_a_deadline_decides_the_number_of_vms() -> None:
    hasty = plan(request(0, 60, deadline=NOW + timedelta(minutes=4)))
    patient = plan(request(0, 60, deadline=NOW + timedelta(hours=4)))
    assert hasty.estimate.makespan_seconds <= 240
    assert len(hasty.shards) > len(patient.shards) == 1
    with pytest.raises(UsageError, match="is not possible: 200 VMs take"):
        plan(request(0, 60, deadline=NOW + timedelta(seconds=76)))


def test_a_number_of_shards_wins_over_a_deadline_and_the_miss_is_named() -> None:
    made = plan(request(0, 60, shards=1, deadline=NOW + timedelta(minutes=3)))
    assert len(made.shards) == 1
    assert made.warnings[0].startswith("the deadline is missed by")


def test_the_estimate_adds_up() -> None:
    made = plan(request(0, 30, shards=5))
    assert made.estimate.bytes == sum(shard.bytes for shard in made.shards)
    assert made.estimate.files == sum(shard.files for shard in made.shards) == 93
    assert made.estimate.makespan_seconds == 75 + max(shard.seconds for shard in made.shards)
    assert made.estimate.lower_bound_seconds <= made.estimate.makespan_seconds
    assert made.estimate.vm_hours == pytest.approx(sum(75 + shard.seconds for shard in made.shards) / 3600)
    low, expected, high = made.estimate.cost
    assert low < expected < high
    assert expected == pytest.approx(0.2 * made.estimate.vm_hours)
    assert made.estimate.costs[0].source == "price list"


@pytest.mark.parametrize("strategy", ["balanced", "by-date", "by-instrument"])
def test_every_strategy_plans_the_same_files(strategy: str) -> None:
    made = plan(request(0, 6, data_types=("trades", "book_snapshot_5"), strategy=strategy, shards=4))
    assert len(made.shards) == (3 if strategy == "by-instrument" else 4)
    assert len(files(made)) == made.estimate.files == 7 * 2 * 3


# what a hand did, what was adopted, what is tried again


def test_deleted_and_altered_files_are_planned_again_and_the_altered_ones_are_named() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)])
    found = bucket.verified(cell(0), Finding(Kind.MISSING, BTC, 1), Finding(Kind.ALTERED, ETH, 1))
    made = plan(request(0, 0), bucket, verified={cell(0): found})
    assert files(made) == {(0, "trades", BTC), (0, "trades", ETH)}
    assert made.already_done == 1
    (warning,) = made.warnings
    assert "binance trades 2024-05-01 ETHUSDT" in warning
    assert "delete by hand" in warning
    bucket.put(cell(0), [ok(BTC, generation=2)], run="r2")
    assert files(plan(request(0, 0), bucket, verified={cell(0): found})) == {(0, "trades", ETH)}


def test_adopted_files_are_held_unless_they_are_asked_for_again() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), ok(ETH), ok(SOL)], origin="adopted")
    bucket.put(cell(1), [ok(BTC)], origin="adopted")
    bucket.put(cell(1), [ok(ETH), ok(SOL)], run="r2")
    assert plan(request(), bucket).warnings[0].startswith(NOTHING_TO_DO)
    made = plan(request(refetch_adopted=True), bucket)
    assert files(made) == {(0, "trades", BTC), (0, "trades", ETH), (0, "trades", SOL), (1, "trades", BTC)}
    assert made.already_done == 2


def mixed() -> Bucket:
    """Three cells: some of each outcome, only failures, all done."""
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC), bad(ETH), bad(SOL, Outcome.NOT_FOUND)])
    bucket.put(cell(1), [bad(BTC), bad(ETH, Outcome.QUARANTINED), bad(SOL, Outcome.NOT_FOUND)])
    bucket.put(cell(2), [ok(BTC), bad(ETH, Outcome.EMPTY), bad(SOL, Outcome.WAIVED)])
    return bucket


@pytest.mark.parametrize(
    ("outcomes", "expected", "left_out"),
    [
        ((), {(0, ETH), (0, SOL), (1, BTC), (1, ETH), (1, SOL)}, ""),
        ((Outcome.FAILED,), {(0, ETH), (1, BTC)}, "3 files are left out (2 not found, 1 quarantined): only failed are tried again"),
        (
            (Outcome.FAILED, Outcome.NOT_FOUND),
            {(0, ETH), (0, SOL), (1, BTC), (1, SOL)},
            "1 file is left out (1 quarantined): only failed, not_found are tried again",
        ),
        (
            (Outcome.EMPTY,),
            {(2, ETH)},
            "5 files are left out (2 failed, 2 not found, 1 quarantined): only empty are tried again",
        ),
        (
            (Outcome.WAIVED, Outcome.QUARANTINED, Outcome.FAILED, Outcome.NOT_FOUND),
            {(0, ETH), (0, SOL), (1, BTC), (1, ETH), (1, SOL), (2, SOL)},
            "",
        ),
    ],
)
def test_only_the_outcomes_that_are_named_are_tried_again(
    outcomes: tuple[Outcome, ...], expected: set[tuple[int, str]], left_out: str
) -> None:
    """A file that no manifest mentions is planned in any case."""
    made = plan(request(0, 3, retry_outcomes=outcomes), mixed())
    never = {(3, symbol) for symbol in (BTC, ETH, SOL)}
    assert {(number, symbol) for number, _, symbol in files(made)} == expected | never
    assert [warning for warning in made.warnings if "left out" in warning] == ([left_out] if left_out else [])


def test_where_metadata_says_that_nothing_is_to_be_tried_again_no_cell_is_opened() -> None:
    bucket = mixed()
    made = plan(request(1, 2, retry_outcomes=(Outcome.NOT_READY,)), bucket)
    assert files(made) == set()
    assert bucket.opened == []
    assert made.warnings[0] == f"{NOTHING_TO_DO}: 3 files are held already, 3 left out"


def test_files_that_are_ok_cannot_be_tried_again() -> None:
    with pytest.raises(UsageError, match="nothing is overwritten"):
        plan(request(retry_outcomes=(Outcome.FAILED, Outcome.OK)))
    with pytest.raises(UsageError, match="only some of them"):
        plan(request(retry_outcomes=(Outcome.FAILED,), refetch=True))


def test_settings_are_carried_in_the_plan_and_in_its_name() -> None:
    plain, fixed = plan(request()), plan(request(), settings={"MAX_CONCURRENT": "50", "BATCH_SIZE": "5000"})
    assert fixed.settings == {"BATCH_SIZE": "5000", "MAX_CONCURRENT": "50"}
    assert plain.id != fixed.id


def test_venues_named_twice_are_planned_once() -> None:
    made = plan(request(0, 0, venues=("binance", "binance"), data_types=("trades", "trades")))
    assert made.estimate.files == 3
    assert made.request.venues == ("binance",)


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(UsageError, match="naive"):
        plan(request(), now=NOW.replace(tzinfo=None))
    assert NOW.tzinfo is UTC


# instrument types


def test_a_plan_for_some_instrument_types_holds_only_those_and_knows_what_is_done_of_them() -> None:
    offered = catalogue(
        listing(BTC), listing("BTC-PERP", kind="perpetual"), listing("BTC-F", kind="future"), listing("BTC-G", kind="future")
    )
    bucket = Bucket()
    everything = plan(request(0, 0), bucket, offered)
    assert len(files(everything)) == 4
    some = plan(request(0, 0, instrument_types=("PERPETUAL", "spot")), bucket, offered)
    assert {symbol for _, _, symbol in files(some)} == {BTC, "BTC-PERP"}
    bucket.put(cell(0), [ok("BTC-F"), ok("BTC-G")])
    futures = plan(request(0, 0, instrument_types=("future",)), bucket, offered)
    assert (files(futures), futures.already_done) == (set(), 2)
    with pytest.raises(UsageError, match="perpetul"):
        plan(request(0, 0, instrument_types=("perpetul",)), bucket, offered)


# exactly some cells


def test_a_request_for_scattered_cells_plans_exactly_them() -> None:
    venues, types = ("binance", "deribit"), ("trades", "book_snapshot_5")
    wanted = for_cells(request(venues=venues, data_types=types), [cell(0), cell(4), cell(2, "book_snapshot_5"), cell(3, venue="deribit")])
    made = plan(wanted)
    assert {work.cell for shard in made.shards for work in shard.work} == {
        cell(0),
        cell(4),
        cell(2, "book_snapshot_5"),
        cell(3, venue="deribit"),
    }
    assert made.not_expected_cells == 0
    assert decode(encode(made), Plan, name="plan") == made


def test_of_the_cells_asked_for_what_is_held_or_not_published_is_left_out() -> None:
    offered = catalogue(listing(BTC), published_until=moment(5))
    bucket = Bucket()
    bucket.put(cell(0), [ok(BTC)])
    made = plan(for_cells(request(), [cell(0), cell(2), cell(7)]), bucket, offered)
    assert files(made) == {(2, "trades", BTC)}
    assert made.already_done == 1
    assert [each.day for each in made.not_ready] == [day(7)]
