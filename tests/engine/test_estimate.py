"""Sizes from what was fetched before, else from priors; times and costs from speeds and rates that are handed in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.errors import UsageError
from engine.estimate import (
    FREE,
    LOCAL_SPEED,
    MB,
    PRIOR_BYTES,
    VENUE_SHARE,
    VM_SPEED,
    Rate,
    Rates,
    Sizes,
    Speed,
    allowance_days,
    allowance_end,
    class_a_operations,
    cost_lines,
    file_sizes,
    prior_bytes,
)
from engine.model import Cell, File, Outcome
from tests.engine.made_up_lake import Bucket, bad, day, ok


def cell(number: int, data_type: str = "trades", venue: str = "binance") -> Cell:
    return Cell(day(number), data_type, venue)


def test_priors_tell_large_from_small() -> None:
    at = cell(0, "book_snapshot_5", "binance-futures")
    sizes = [prior_bytes(at, symbol) for symbol in ("BTCUSDT", "ETHUSDT", "ARBUSDT", "ARBUSDT_240628")]
    assert sizes == sorted(sizes, reverse=True)
    assert prior_bytes(cell(0, "options_chain", "deribit"), "OPTIONS") > 100 * prior_bytes(
        cell(0, "options_chain", "deribit"), "BTC-27DEC24-50000-C"
    )
    assert prior_bytes(cell(0, "liquidations", "bybit"), "BTCUSDT") < MB
    assert prior_bytes(cell(0), "ETHFIUSDT") == prior_bytes(cell(0), "ARBUSDT")


def test_every_type_and_venue_of_the_standing_job_has_a_prior_and_others_get_one_too() -> None:
    assert {"trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain"} <= set(PRIOR_BYTES)
    assert {"binance", "binance-futures", "deribit", "bybit", "bybit-spot", "okex", "okex-futures", "okex-swap"} == set(VENUE_SHARE)
    assert prior_bytes(cell(0, "something_new", "some-venue"), "ABC") > 0


def test_a_symbol_is_estimated_by_the_median_of_its_seven_nearest_days() -> None:
    known = [(File(cell(number), "BTCUSDT"), size) for number, size in enumerate([100] * 5 + [900] + [300] * 9)]
    sizes = Sizes(known)
    assert sizes.estimate(cell(-30), ["BTCUSDT"]) == (100,)
    assert sizes.estimate(cell(2), ["BTCUSDT"]) == (100,)
    assert sizes.estimate(cell(12), ["BTCUSDT"]) == (300,)
    assert sizes.estimate(cell(400), ["BTCUSDT"]) == (300,)


def test_sizes_of_another_type_venue_or_symbol_are_not_taken() -> None:
    sizes = Sizes([(File(cell(0), "BTCUSDT"), 77)])
    assert sizes.estimate(cell(0), ["BTCUSDT"]) == (77,)
    for other, symbol in ((cell(0, "quotes"), "BTCUSDT"), (cell(0, venue="okex"), "BTCUSDT"), (cell(0), "ETHUSDT")):
        assert sizes.estimate(other, [symbol]) == (prior_bytes(other, symbol),)


def test_cells_that_nobody_opened_still_teach_the_mean_size_of_a_file() -> None:
    bucket = Bucket()
    for number in range(3):
        bucket.put(cell(number), [ok("BTCUSDT", size=9000), ok("ARBUSDT", size=1000)])
    estimated = Sizes(summaries=bucket.summaries()).estimate(cell(9), ["BTCUSDT", "ARBUSDT"])
    assert sum(estimated) == pytest.approx(10_000, abs=2)
    assert estimated[0] > 5 * estimated[1]


def test_an_opened_cell_gives_sizes_of_what_the_source_answered() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok("BTCUSDT", size=9000), bad("ETHUSDT", Outcome.FAILED)])
    assert list(file_sizes(cell(0), bucket.open_cell(cell(0)))) == [(File(cell(0), "BTCUSDT"), 9000)]


def test_an_open_manifest_teaches_nothing() -> None:
    bucket = Bucket()
    bucket.put(cell(0), [ok("BTCUSDT", size=9)], unfinished=True)
    assert Sizes(summaries=bucket.summaries()).estimate(cell(0), ["BTCUSDT"]) == (prior_bytes(cell(0), "BTCUSDT"),)


def test_priors_can_be_scaled_for_a_source_of_toy_files_and_never_reach_zero() -> None:
    assert Sizes(prior_share=0.001).estimate(cell(0), ["BTCUSDT"])[0] == round(prior_bytes(cell(0), "BTCUSDT") / 1000)
    assert Sizes(prior_share=0.0).estimate(cell(0), ["BTCUSDT"]) == (1,)


def test_speeds_of_a_vm_and_of_this_machine() -> None:
    assert VM_SPEED.file_seconds(70 * MB) == pytest.approx(10.5)
    assert (LOCAL_SPEED.converters, LOCAL_SPEED.boot_seconds) == (1, 2.0)
    assert LOCAL_SPEED.elapsed([12 * MB] * 10) == pytest.approx(10.5)
    with pytest.raises(UsageError, match="cannot be"):
        Speed(converters=0)


def test_costs_come_line_by_line_with_source_and_date() -> None:
    rates = Rates(
        vm_hour=Rate(0.2, "price list", "2026-11-01", low=0.5, high=2.0),
        disk_hour=Rate(0.007, "price list", "2026-11-01"),
        class_a_per_1000=Rate(0.005, "documentation", "2026-10-01"),
        machine="e2-highmem-8 spot",
    )
    vm, disk, address, operations = cost_lines(rates, vm_hours=10, class_a=445_000)
    assert (vm.low, vm.expected, vm.high) == (1.0, 2.0, 4.0)
    assert (vm.item, vm.source, vm.dated) == ("e2-highmem-8 spot, 10.0 hours", "price list", "2026-11-01")
    assert disk.expected == pytest.approx(0.07)
    assert (address.expected, address.dated) == (0.0, "free")
    assert operations.expected == pytest.approx(2.225)


def test_this_machine_costs_nothing() -> None:
    assert all(line.high == 0 and line.dated == FREE.dated for line in cost_lines(Rates(), vm_hours=5, class_a=10))


def test_storage_operations_count_every_object_a_run_writes() -> None:
    assert class_a_operations(files=1000, manifests=40, shards=0, vm_hours=0) == 1040
    assert class_a_operations(files=0, manifests=0, shards=1, vm_hours=1) == 12 + 360 + 60


def test_an_allowance_spreads_a_transfer_over_utc_days() -> None:
    now = datetime(2024, 5, 1, 22, tzinfo=UTC)
    assert [allowance_days(size, 1000) for size in (0, 1, 1000, 1001)] == [0, 1, 1, 2]
    assert allowance_days(10**15, 0) == 0
    assert allowance_end(900, 1000, now=now) == now
    assert allowance_end(2500, 1000, now=now) == datetime(2024, 5, 3, tzinfo=UTC)
