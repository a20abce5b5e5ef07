"""Object names: each parser is the inverse of its builder, and refuses every name that the builder does not make."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model import Cell, File, require_symbol, require_venue
from engine.paths import (
    LoadName,
    ManifestName,
    allowance_object,
    audit_object,
    build_log_object,
    build_source_object,
    canary_object,
    candle_object,
    catalogue_source_object,
    catalogue_table_object,
    cell_prefix,
    claim_object,
    data_object,
    heartbeat_object,
    heartbeat_prefix,
    instruments_api_object,
    instruments_object,
    instruments_source_object,
    job_object,
    job_prefix,
    job_result_object,
    job_result_prefix,
    launch_object,
    lease_object,
    load_object,
    log_object,
    log_prefix,
    manifest_object,
    manifest_prefix,
    old_candle_object,
    old_data_object,
    parse_allowance_object,
    parse_audit_object,
    parse_build_log_object,
    parse_build_source_object,
    parse_canary_object,
    parse_candle_object,
    parse_catalogue_table_object,
    parse_claim_object,
    parse_data_object,
    parse_heartbeat_object,
    parse_instruments_api_object,
    parse_instruments_object,
    parse_job_object,
    parse_job_result_object,
    parse_launch_object,
    parse_lease_object,
    parse_load_object,
    parse_log_object,
    parse_manifest_object,
    parse_old_candle_object,
    parse_old_data_object,
    parse_plan_object,
    parse_probe_object,
    parse_quarantine_object,
    parse_raw_feed_object,
    parse_verification_object,
    parse_vm_drain_object,
    plan_object,
    probe_object,
    quarantine_object,
    raw_feed_object,
    run_prefix,
    verification_object,
    vm_drain_object,
    vm_drain_prefix,
)

TYPES = ("trades", "book_snapshot_5", "incremental_book_L2", "derivative_ticker", "liquidations", "options_chain", "quotes")


def is_symbol(text: str) -> bool:
    try:
        return bool(require_symbol(text))
    except UsageError:
        return False


def is_venue(text: str) -> bool:
    try:
        return bool(require_venue(text))
    except UsageError:
        return False


days = st.dates(date(2010, 1, 1), date(2100, 1, 1))
venues = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True).filter(is_venue)
symbols = st.one_of(
    st.sampled_from(["BTCUSDT", "BTC-PERPETUAL", "BTC/USDT", "XBT:USD", "A+B", "1000SHIB", "币安人生USDT", "ÅBC", "A~B", "A&B^C"]),
    st.text(max_size=30).filter(is_symbol),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+*&~^$!-]{0,40}", fullmatch=True).filter(is_symbol),
)
cells = st.builds(Cell, days, st.sampled_from(TYPES), venues)
files = st.builds(File, cells, symbols)
runs = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True)
vms = st.from_regex(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?", fullmatch=True)
numbers = st.integers(0, 10**6)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(files)
@example(File(Cell(date(2024, 2, 29), "trades", "binance"), "A/B"))
def test_a_data_object_names_its_file(file: File) -> None:
    name = data_object(file)
    assert parse_data_object(name) == file
    assert name.startswith(cell_prefix(file.cell))
    assert name.isascii()
    assert name.count("/") == 5


@given(files, runs, numbers)
def test_a_quarantine_object_names_its_file_run_and_attempt(file: File, run: str, attempt: int) -> None:
    assert parse_quarantine_object(quarantine_object(file, run, attempt)) == (file, run, attempt)


@given(st.builds(ManifestName, cells, runs, numbers, numbers, numbers))
def test_a_manifest_object_names_its_cell_run_shard_attempt_and_sequence(name: ManifestName) -> None:
    assert parse_manifest_object(manifest_object(name)) == name
    assert manifest_object(name).startswith(manifest_prefix(name.cell))


names = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)


@given(st.builds(LoadName, days, names, names, st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)))
def test_a_load_object_names_its_day_table_and_job(name: LoadName) -> None:
    assert parse_load_object(load_object(name)) == name


@given(days, venues, moments, runs, vms, numbers, st.integers(1, 999))
def test_every_other_object_names_what_it_is_about(
    day: date, venue: str, moment: datetime, run: str, vm: str, number: int, positive: int
) -> None:
    assert parse_instruments_object(instruments_object(day, venue)) == (day, venue)
    assert parse_catalogue_table_object(catalogue_table_object(venue, moment)) == (venue, moment)
    assert parse_launch_object(launch_object(run, positive)) == (run, positive)
    assert parse_claim_object(claim_object(run, number)) == (run, number)
    assert parse_heartbeat_object(heartbeat_object(run, vm)) == (run, vm)
    assert parse_job_object(job_object(run, vm, positive)) == (run, vm, positive)
    assert parse_job_result_object(job_result_object(run, vm, positive)) == (run, vm, positive)
    assert parse_canary_object(canary_object(run)) == run
    assert parse_vm_drain_object(vm_drain_object(run, vm)) == (run, vm)
    assert parse_log_object(log_object(run, vm, positive, number)) == (run, vm, positive, number)
    assert parse_audit_object(audit_object(moment, run)) == (moment, run)
    assert parse_probe_object(probe_object(moment, run)) == (moment, run)
    assert parse_build_source_object(build_source_object(moment, run)) == (moment, run)
    assert parse_build_log_object(build_log_object(run)) == run
    for prefix, name in (
        (run_prefix(run), launch_object(run, positive)),
        (heartbeat_prefix(run), heartbeat_object(run, vm)),
        (vm_drain_prefix(run), vm_drain_object(run, vm)),
        (job_prefix(run, vm), job_object(run, vm, positive)),
        (job_result_prefix(run, vm), job_result_object(run, vm, positive)),
        (log_prefix(run), log_object(run, vm, positive, number)),
        (log_prefix(run, vm), log_object(run, vm, positive, number)),
    ):
        assert name.startswith(prefix)


@given(st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
def test_a_plan_object_names_its_plan(plan: str) -> None:
    assert parse_plan_object(plan_object(plan)) == plan


def test_moments_of_any_zone_are_stored_in_utc() -> None:
    tokyo = datetime(2024, 5, 2, 3, tzinfo=timezone(timedelta(hours=9)))
    assert catalogue_table_object("binance", tokyo) == "catalogue/venue-binance/20240501T180000.000000Z.table.json.gz"
    assert audit_object(tokyo, "x") == "audit/2024-05-01/20240501T180000.000000Z-x.json"


def test_the_layout_is_the_documented_one() -> None:
    cell = Cell(date(2023, 5, 23), "trades", "binance")
    assert data_object(File(cell, "BTCUSDT")) == "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/BTCUSDT.parquet"
    assert data_object(File(cell, "BTC/USDT")).endswith("/BTC%2FUSDT.parquet")
    assert instruments_source_object(cell.day, "binance").endswith("day-2023-05-23/venue-binance/source.json.gz")
    assert catalogue_source_object("binance", datetime(2024, 1, 1, tzinfo=UTC)).endswith("20240101T000000.000000Z.json.gz")
    assert manifest_object(ManifestName(cell, "r1", 7, 2)) == (
        "manifests/by_date/day-2023-05-23/data_type-trades/venue-binance/r1-7-2.json"
    )


ROUND_TRIPS: list[tuple[str, Callable[[str], Any], Callable[[Any], str]]] = [
    (
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/BTC%2FUSDT.parquet",
        parse_data_object,
        data_object,
    ),
    (
        "manifests/by_date/day-2023-05-23/data_type-trades/venue-binance/r1-7-2.3.json",
        parse_manifest_object,
        manifest_object,
    ),
    (
        "quarantine/day-2023-05-23/data_type-trades/venue-binance/BTCUSDT/r1-2.csv.gz",
        parse_quarantine_object,
        lambda parsed: quarantine_object(*parsed),
    ),
    (
        "instrument_availability/by_date/day-2023-05-23/venue-binance/instruments.parquet",
        parse_instruments_object,
        lambda parsed: instruments_object(*parsed),
    ),
    (
        "instrument_availability/by_date/day-2023-05-23/venue-binance/instruments_api.json.gz",
        parse_instruments_api_object,
        lambda parsed: instruments_api_object(*parsed),
    ),
    (
        "catalogue/venue-binance/20240101T000000.000000Z.table.json.gz",
        parse_catalogue_table_object,
        lambda parsed: catalogue_table_object(*parsed),
    ),
    (
        "processed_candles/by_date/day-2023-05-23/timeframe-15s/venue-binance/BTCUSDT.parquet",
        parse_candle_object,
        lambda parsed: candle_object(*parsed),
    ),
    ("audit/2024-01-01/20240101T000000.000000Z-abc.json", parse_audit_object, lambda parsed: audit_object(*parsed)),
    ("loads/by_date/day-2023-05-23/dataset-tickdeck/table-candles_1m/job-1.json", parse_load_object, load_object),
    ("runs/r1/launch-12.json", parse_launch_object, lambda parsed: launch_object(*parsed)),
    ("runs/r1/lease.json", parse_lease_object, lease_object),
    ("runs/r1/claims/12.json", parse_claim_object, lambda parsed: claim_object(*parsed)),
    ("runs/r1/canary.json", parse_canary_object, canary_object),
    ("runs/r1/drained/market-data-1.json", parse_vm_drain_object, lambda parsed: vm_drain_object(*parsed)),
    ("runs/r1/jobs/market-data-1/3.json", parse_job_object, lambda parsed: job_object(*parsed)),
    ("runs/r1/job-results/market-data-1/3.json", parse_job_result_object, lambda parsed: job_result_object(*parsed)),
    ("runs/r1/workers/market-data-1.json", parse_heartbeat_object, lambda parsed: heartbeat_object(*parsed)),
    ("runs/r1/logs/market-data-1/2.10.jsonl.gz", parse_log_object, lambda parsed: log_object(*parsed)),
    ("plans/0123456789ab.json", parse_plan_object, plan_object),
    ("runs/r1/allowance/12.json", parse_allowance_object, lambda parsed: allowance_object(*parsed)),
    ("verifications/by_date/day-2023-05-23/data_type-trades/venue-binance.json", parse_verification_object, verification_object),
    ("raw_feed/by_date/day-2023-05-23/venue-binance/07.ndjson.gz", parse_raw_feed_object, lambda parsed: raw_feed_object(*parsed)),
    (
        "raw_feed/by_date/day-2023-05-23/venue-binance/set-books/23.ndjson.gz",
        parse_raw_feed_object,
        lambda parsed: raw_feed_object(*parsed),
    ),
    (
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/BINANCE:SPOT_PAIR:BTC-USDT.parquet",
        parse_old_data_object,
        old_data_object,
    ),
    (
        "data/2023-05-23/1m/binance-spot/BTC_USDT/2023-05-23-1m.csv",
        parse_old_candle_object,
        lambda parsed: old_candle_object(*parsed),
    ),
]


@pytest.mark.parametrize(
    ("name", "parse", "build"), ROUND_TRIPS, ids=[name.split("/")[0] + str(i) for i, (name, _, _) in enumerate(ROUND_TRIPS)]
)
@given(data=st.data())
def test_a_name_that_was_tampered_with_is_refused_or_means_itself(
    name: str, parse: Callable[[str], Any], build: Callable[[Any], str], data: st.DataObject
) -> None:
    """A name that two parsers' readings would share is two names for one thing: a file that is counted twice or not at all."""
    assert build(parse(name)) == name
    place = data.draw(st.integers(0, len(name)))
    width = data.draw(st.integers(0, 3))
    insert = data.draw(st.one_of(st.text(max_size=3), st.sampled_from(["0", "9", "-", "..", "%2f", "%", "٣", "/", "\n"])))
    changed = name[:place] + insert + name[place + width :]
    try:
        parsed = parse(changed)
    except UsageError:
        return
    assert build(parsed) == changed


@pytest.mark.parametrize(
    "name",
    [
        "raw_tick_data/by_date/day-2023-02-30/data_type-trades/venue-binance/BTCUSDT.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/BINANCE:SPOT_PAIR:BTC-USDT.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/BTC%2fUSDT.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/a b.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/%2E%2E.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue--binance/BTCUSDT.parquet",
        "raw_tick_data/by_date/day-٢٠٢٣-05-23/data_type-trades/venue-binance/BTCUSDT.parquet",
        "manifests/by_date/day-2023-05-23/data_type-trades/venue-binance/r1-7-2.json",
        "",
    ],
)
def test_foreign_names_are_no_data_objects(name: str) -> None:
    with pytest.raises(UsageError):
        parse_data_object(name)


@pytest.mark.parametrize("symbol", ["", "..", "a..b", "../x", " BTC", "BTC USDT", "BTC\n", "\x00", "A" * 200, "-BTC", "%41", "BTC,ETH"])
def test_symbols_that_are_none_are_never_built_into_a_name(symbol: str) -> None:
    with pytest.raises(UsageError):
        data_object(File(Cell(date(2024, 5, 1), "trades", "binance"), symbol))


@pytest.mark.parametrize("venue", ["", "Binance", "binance/x", "-binance", "binance-", "bin ance", "b" * 80])
def test_venues_that_are_none_are_never_built_into_a_name(venue: str) -> None:
    with pytest.raises(UsageError):
        cell_prefix(Cell(date(2024, 5, 1), "trades", venue))


@pytest.mark.parametrize(
    "name",
    [
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/BTCUSDT.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/venue-binance/A%3AB%3AC.parquet",
        "raw_tick_data/by_date/day-2023-05-23/data_type-trades/BTC-USDT.parquet",
        "raw_tick_data/by_date/day-2023-02-30/data_type-trades/BINANCE:SPOT_PAIR:BTC-USDT.parquet",
    ],
)
def test_our_objects_are_no_objects_of_the_old_system(name: str) -> None:
    with pytest.raises(UsageError):
        parse_old_data_object(name)


@pytest.mark.parametrize("collection", ["Books", "-a", "a-", "a/b", "a" * 60, "a b"])
def test_a_set_of_channels_has_a_plain_name(collection: str) -> None:
    with pytest.raises(UsageError):
        raw_feed_object(datetime(2024, 5, 1, 7, tzinfo=UTC), "binance", collection)


def test_raw_messages_are_kept_by_whole_utc_hours() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert raw_feed_object(datetime(2024, 5, 1, 8, tzinfo=tokyo), "binance").endswith("day-2024-04-30/venue-binance/23.ndjson.gz")
    for moment in (datetime(2024, 5, 1, 7, 30, tzinfo=UTC), datetime(2024, 5, 1, 7, tzinfo=UTC).replace(tzinfo=None)):
        with pytest.raises(UsageError):
            raw_feed_object(moment, "binance")
