"""`engine adopt`: what lies in the bucket already is recorded, judged from outside: manifests, requests, what is still bought."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import structs

from engine.adoption import adopting as adoption
from engine.adoption.adopting import Adoption, Choice, adopt
from engine.adoption.existing_lake import Layout, list_lake
from engine.adoption.refusal import Reason
from engine.catalogue import Catalogue, Listing
from engine.clock import utc_now
from engine.coverage import Coverage, Sureness
from engine.errors import NotPermitted
from engine.estimate import Sizes
from engine.inventory import Inventory, check_range
from engine.manifest import Entry, Manifest, list_summaries, merge, read_cell
from engine.model import Cell, CellState, DayRange, File, Outcome
from engine.paths import data_object, old_candle_object, parse_data_object
from engine.symbol_coverage import symbol_reports
from tests.engine.adoption.old_lake import (
    DAY,
    MINUTE_US,
    days_from,
    old_name,
    old_table,
    parquet,
    put_all,
    save_table,
    start_us,
    with_times,
)
from tests.engine.made_up_lake import Bucket, day, ok
from tests.engine.made_up_lake import catalogue as made_up_catalogue
from tests.engine.made_up_lake import listing as made_up_listing
from tests.local_servers import Lake

NEXT = DAY + timedelta(days=1)
TWO_DAYS = ("--start", "2024-05-01", "--end", "2024-05-02")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TRADES = Cell(DAY, "trades", "binance")


def report_of(lake: Lake, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run `engine adopt --json` over the two days of the source."""
    done = lake.engine("adopt", *TWO_DAYS, "--json", *arguments)
    assert done.returncode == code, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["exit_code"] == code
    return report


def manifests(lake: Lake) -> list[str]:
    """All manifests there are."""
    return [info.name for info in lake.state.list("manifests/")]


def counters(lake: Lake) -> Counter[str]:
    """What was asked of the storage server so far: by operation, ranged reads, and bytes of bodies that it sent."""
    answer = lake.storage.get("/_tickdeck/requests")
    return Counter(answer["counts"]) + Counter({"ranged": answer["statuses"].get("206", 0), "sent": answer["bytes_sent"]})


def coverage_of(lake: Lake, days: DayRange, *data_types: str, venue: str = "binance") -> Coverage:
    """What `tickdeck check` sees."""
    return check_range(Inventory(lake.state), days, (venue,), data_types or ("trades",), now=utc_now())


def adopt_here(lake: Lake, days: DayRange, catalogues: dict[str, Catalogue], *, layout: Layout = Layout.OLD, **choice: Any) -> Adoption:
    """Adopt in this process."""
    return adopt(lake.data, lake.state, list_lake(lake.data, days, layout), Choice(**choice), catalogues=catalogues, now=utc_now())


def put_tiny(lake: Lake) -> dict[str, int]:
    """All trades that the old system had of the small source, and a book; returns rows by name."""
    objects = {
        old_name("BINANCE:SPOT_PAIR:BTC-USDT"): old_table(rows=1440),
        old_name("BINANCE:SPOT_PAIR:PEPE-USDT"): old_table(symbol="PEPEUSDT", rows=300),
        old_name("BINANCE:SPOT_PAIR:BTC-USDT", day=NEXT): old_table(day=NEXT, rows=700),
        old_name("BINANCE:SPOT_PAIR:BTC-USDT", "book_snapshot_5"): old_table("book_snapshot_5", rows=90),
    }
    put_all(lake.data, {name: parquet(table) for name, table in objects.items()})
    return {name: table.num_rows for name, table in objects.items()}


def test_old_objects_become_manifests_of_origin_adopted(lake: Lake) -> None:
    rows = put_tiny(lake)
    stored = {info.name: info for info in lake.data.list("raw_tick_data/")}
    report = report_of(lake)
    assert report["total"] == {
        "objects": 4,
        "adopted": 4,
        "empty": 0,
        "recorded": 0,
        "not_adopted": 0,
        "row_count": sum(rows.values()),
        "bytes": sum(info.size for info in stored.values()),
    }
    assert [(row["venue"], row["data_type"], row["objects"]) for row in report["rows"]] == [
        ("binance", "book_snapshot_5", 1),
        ("binance", "trades", 3),
    ]
    summaries = list_summaries(lake.state)
    assert {(each.name.cell, each.origin, each.name.run) for each in summaries} == {
        (Cell(where, kind, "binance"), "adopted", report["run"])
        for where, kind in ((DAY, "trades"), (NEXT, "trades"), (DAY, "book_snapshot_5"))
    }
    for symbol, record in read_cell(lake.state, TRADES).items():
        name = old_name(f"BINANCE:SPOT_PAIR:{symbol.removesuffix('USDT')}-USDT")
        entry, info = record.entry, stored[name]
        assert (entry.object, entry.generation, entry.crc32c, entry.object_bytes) == (name, info.generation, info.crc32c, info.size)
        times = pq.read_table(io.BytesIO(lake.data.get(name).data)).column("local_timestamp").to_pylist()  # type: ignore[union-attr]
        assert (entry.outcome, entry.rows, entry.first_us, entry.last_us) == (Outcome.OK, len(times), min(times), max(times))
        assert record.is_adopted
    assert {info.name for info in lake.data.list("")} == set(stored), "the lake itself is not touched"


def test_coverage_shows_adopted_cells_apart_and_never_as_thin(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    reports = coverage_of(lake, DayRange(DAY, NEXT), "trades", "book_snapshot_5").reports
    complete, partial = reports[TRADES], reports[structs.replace(TRADES, day=NEXT)]
    assert (complete.state, complete.sureness, complete.rows) == (CellState.COMPLETE, Sureness.ADOPTED, 1740)
    assert (partial.state, partial.sureness, partial.absent) == (CellState.PARTIAL, Sureness.ADOPTED, 1)


def test_a_second_adoption_looks_at_nothing_and_writes_nothing(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    before, ranged = manifests(lake), counters(lake)["ranged"]
    again = report_of(lake)
    assert (again["total"]["recorded"], again["total"]["adopted"], again["cells"], again["run"]) == (4, 0, 0, None)
    assert again["read"] == {"requests": 0, "bytes": 0, "footer_bytes": 0, "verified_bytes": 0}
    assert manifests(lake) == before
    assert counters(lake)["ranged"] == ranged


def test_what_came_later_is_adopted_alone(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    before = set(manifests(lake))
    put_all(lake.data, {old_name("BINANCE:SPOT_PAIR:PEPE-USDT", day=NEXT): parquet(old_table(symbol="PEPEUSDT", day=NEXT))})
    assert report_of(lake)["total"]["adopted"] == 1
    assert len(set(manifests(lake)) - before) == 1
    assert coverage_of(lake, DayRange(NEXT, NEXT)).complete_cells == 1


def test_a_dry_run_says_the_same_and_writes_nothing(lake: Lake) -> None:
    put_tiny(lake)
    dry = report_of(lake, "--dry-run")
    assert list(lake.state.list("")) == []
    real = report_of(lake)
    assert (dry["total"], dry["rows"], dry["cells"]) == (real["total"], real["rows"], real["cells"])
    assert (dry["dry_run"], dry["run"]) == (True, None)


def test_a_download_buys_only_what_was_not_adopted(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    wanted = ("download", "--venues", "binance", "--data-types", "trades,book_snapshot_5", *TWO_DAYS, "--json")
    before = len(lake.requests())
    done = lake.engine(*wanted)
    assert done.returncode == 0, done.stderr + done.stdout
    bought = [parse_data_object(info.name) for info in lake.data.list("raw_tick_data/") if "venue-" in info.name]
    expected = {File(Cell(NEXT, "trades", "binance"), "PEPEUSDT")}
    expected |= {File(Cell(NEXT, "book_snapshot_5", "binance"), symbol) for symbol in ("BTCUSDT", "PEPEUSDT")}
    expected |= {File(Cell(DAY, "book_snapshot_5", "binance"), "PEPEUSDT")}
    assert set(bought) == expected
    assert len(lake.requests()) - before == len(expected)
    coverage = coverage_of(lake, DayRange(DAY, NEXT), "trades", "book_snapshot_5")
    assert coverage.complete_cells == 4
    assert coverage.report(TRADES).sureness is Sureness.ADOPTED
    assert coverage.report(structs.replace(TRADES, day=NEXT)).sureness is Sureness.COMMITTED

    again = lake.engine(*wanted)
    assert again.returncode == 0
    assert len(lake.requests()) - before == len(expected)


def test_adopted_files_are_bought_anew_when_asked_for_and_then_win(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    done = lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--refetch-adopted")
    assert done.returncode == 0, done.stderr + done.stdout
    records = read_cell(lake.state, TRADES)
    assert [(record.entry.object, record.is_adopted) for record in records.values()] == [("", False)] * 2
    assert coverage_of(lake, DayRange(DAY, DAY)).report(TRADES).sureness is Sureness.COMMITTED
    assert report_of(lake, "--data-types", "trades")["total"]["recorded"] == 3, "nothing to adopt where ours stands"


def test_an_adopted_object_that_was_deleted_is_bought_although_a_manifest_names_it(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    done = lake.engine("validate", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    name = old_name("BINANCE:SPOT_PAIR:PEPE-USDT")
    info = lake.data.stat(name)
    assert info is not None
    lake.data.delete(name, if_generation=info.generation)
    found = lake.engine("validate", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--json")
    assert found.returncode == 65, found.stderr + found.stdout
    assert coverage_of(lake, DayRange(DAY, DAY)).report(TRADES).state is CellState.PARTIAL
    done = lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01")
    assert done.returncode == 0, done.stderr + done.stdout
    assert [parse_data_object(info.name).symbol for info in lake.data.list("raw_tick_data/") if "venue-" in info.name] == ["PEPEUSDT"]
    assert coverage_of(lake, DayRange(DAY, DAY)).report(TRADES).state is CellState.COMPLETE


def test_what_cannot_be_adopted_is_listed_with_its_reason_and_bought_again(lake: Lake, tmp_path: Path) -> None:
    sound = parquet(old_table())
    cases: dict[str, tuple[bytes, Reason]] = {
        "BINANCE:SPOT_PAIR:DOGE-USDT": (sound, Reason.NO_LISTING),
        "KRAKEN:SPOT_PAIR:BTC-USD": (sound, Reason.UNKNOWN_VENUE),
        "BINANCE:PERPETUAL:BTC-USDT": (sound, Reason.UNKNOWN_VENUE),
        "BINANCE:A_TOKEN:BTC": (sound, Reason.NO_KEY),
        "BINANCE:SPOT_PAIR:PEPE-USDT": (sound, Reason.WRONG_SYMBOL),
        "DERIBIT:PERPETUAL:BTC-USD": (b"<html>busy</html>", Reason.UNREADABLE),
        "DERIBIT:PERPETUAL:SOL-USDC": (parquet(pa.table({})), Reason.LACKS_COLUMNS),
        "BINANCE:SPOT_PAIR:BTC-USDT": (parquet(old_table(rows=1440, shift_hours=9)), Reason.WRONG_DAY),
    }
    put_all(lake.data, {old_name(key): data for key, (data, _) in cases.items()})
    listed = tmp_path / "left.csv"
    report = report_of(lake, "--unmapped-file", str(listed), code=65)
    expected = {old_name(key): reason.value for key, (_, reason) in cases.items()}
    assert {left["object"]: left["reason"] for left in report["not_adopted"]} == expected
    with listed.open(newline="") as stream:
        assert {row["object"]: row["reason"] for row in csv.DictReader(stream)} == expected
    assert report["total"]["adopted"] == 0
    assert manifests(lake) == []

    shown = lake.engine("adopt", *TWO_DAYS)
    assert shown.returncode == 65
    assert re.search(r"^read: [\d.]+ kB in \d+ requests, [\d.]+ k?B of it beyond footers$", shown.stdout, re.MULTILINE), shown.stdout
    assert "not adopted, wrong day: 1" in shown.stdout
    assert shown.stderr.startswith(f"engine: {len(cases)} objects were not adopted -> a plan buys their files; every name")
    assert len(shown.stderr.splitlines()) == 1


def test_a_file_without_rows_is_adopted_as_an_empty_day(lake: Lake) -> None:
    name = old_name("DERIBIT:PERPETUAL:BTC-USD", "liquidations")
    put_all(lake.data, {name: parquet(old_table("liquidations", "deribit", "BTC-PERPETUAL", rows=0))})
    report = report_of(lake)
    assert (report["total"]["adopted"], report["total"]["empty"]) == (0, 1)
    entry = read_cell(lake.state, Cell(DAY, "liquidations", "deribit"))["BTC-PERPETUAL"].entry
    assert (entry.outcome, entry.reason, entry.object) == (Outcome.EMPTY, "header_only", name)
    assert report_of(lake)["total"]["recorded"] == 1


def test_two_objects_of_one_file_are_one_if_they_are_equal_and_none_if_they_differ(lake: Lake) -> None:
    keys = ("BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE:SPOT_PAIR:BTCUSDT")
    put_all(lake.data, {old_name(key): parquet(old_table()) for key in keys})
    put_all(lake.data, {old_name(key, day=NEXT): parquet(old_table(day=NEXT, rows=10 + rows)) for rows, key in enumerate(keys)})
    report = report_of(lake, code=65)
    assert (report["total"]["adopted"], report["total"]["recorded"]) == (1, 1)
    assert {(left["object"], left["reason"]) for left in report["not_adopted"]} == {
        (old_name(key, day=NEXT), "several_objects") for key in keys
    }


def test_times_without_a_zone_are_doubted_where_others_of_the_cell_were_shifted(lake: Lake) -> None:
    """Nine hours late: the busy file shows it, the quiet one's three rows still lie within the day."""
    busy = with_times(old_table(rows=1440, shift_hours=9), pa.timestamp("ns"), 1000)
    quiet = with_times(old_table(symbol="PEPEUSDT", rows=3, shift_hours=9), pa.timestamp("ns"), 1000)
    put_all(lake.data, {old_name("BINANCE:SPOT_PAIR:BTC-USDT"): parquet(busy), old_name("BINANCE:SPOT_PAIR:PEPE-USDT"): parquet(quiet)})
    alone = with_times(old_table(day=NEXT), pa.timestamp("ns"), 1000)
    put_all(lake.data, {old_name("BINANCE:SPOT_PAIR:BTC-USDT", day=NEXT): parquet(alone)})
    report = report_of(lake, code=65)
    assert {left["reason"] for left in report["not_adopted"]} == {"wrong_day"}
    assert len(report["not_adopted"]) == 2
    entry = read_cell(lake.state, structs.replace(TRADES, day=NEXT))["BTCUSDT"].entry
    assert (entry.flags, entry.first_us) == (("naive_times",), start_us(NEXT))


def test_other_objects_are_counted_and_named_and_nothing_else(lake: Lake) -> None:
    put_tiny(lake)
    candle = old_candle_object(DAY, "1m", "binance-spot", "BTC_USDT")
    strange = "raw_tick_data/by_date/day-2024-05-01/data_type-trades/notes.txt"
    put_all(lake.data, {candle: b"open,high\n", strange: b"hello", "data/2024-06-01/1m/later": b""})
    report = report_of(lake)
    assert report["total"]["objects"] == 4
    assert report["not_tick_data"] == {"candles": 1, "other": 1, "names": [candle, strange]}


def test_only_the_venues_and_types_that_were_asked_for_are_adopted(lake: Lake) -> None:
    put_tiny(lake)
    put_all(lake.data, {old_name("DERIBIT:PERPETUAL:BTC-USD"): b"not looked at", old_name("DERIBIT:PERPETUAL:NO-USD"): b""})
    report = report_of(lake, "--venues", "binance", "--data-types", "book_snapshot_5")
    assert (report["total"]["objects"], report["total"]["adopted"]) == (1, 1)
    assert report_of(lake, "--venues", "deribit", code=65)["total"]["objects"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--start", "2024-05-02", "--end", "2024-05-01"), 64, "did you mean 2024-05-01..2024-05-02"),
        (("--start", "2024-05-01", "--venues", "binanse"), 64, "binanse"),
        (("--start", "2024-05-01", "--data-types", "trade"), 64, "did you mean trades?"),
        (("--start", "2024-05-01", "--sample", "3"), 64, "--verify"),
        (("--start", "2024-05-01", "--layout", "new"), 64, "layout"),
        (("--start", "2024-05-01", "--unmapped-file", "/nowhere/left.csv"), 64, "/nowhere/left.csv"),
        (("--start", "2024-05-01", "--data-bucket", "no-such-bucket"), 78, "no-such-bucket"),
    ],
)
def test_a_wrong_request_is_one_line_with_the_documented_code(lake: Lake, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = lake.engine("adopt", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_our_own_objects_get_their_manifests_back_without_a_byte_of_them(lake: Lake) -> None:
    assert lake.engine("download", "--venues", "binance,deribit", "--data-types", "trades,liquidations", *TWO_DAYS).returncode == 0
    cells = [Cell(where, kind, venue) for where in (DAY, NEXT) for kind, venue in (("trades", "binance"), ("liquidations", "deribit"))]
    before = {cell: {symbol: record.entry for symbol, record in read_cell(lake.state, cell).items()} for cell in cells}
    for info in list(lake.state.list("manifests/")):
        lake.state.delete(info.name, if_generation=info.generation)
    asked = counters(lake)
    report = report_of(lake, "--layout", "ours")
    assert counters(lake)["objects.get"] == asked["objects.get"]
    assert report["total"]["adopted"] == len(list(lake.data.list("raw_tick_data/")))
    for cell, entries in before.items():
        for symbol, record in read_cell(lake.state, cell).items():
            assert record.entry == structs.replace(entries[symbol], requests=0, status=0, seconds=0.0)
    assert report_of(lake, "--layout", "ours")["total"]["recorded"] == report["total"]["adopted"]


def test_our_objects_without_our_metadata_are_judged_by_their_footers(lake: Lake) -> None:
    assert lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01").returncode == 0
    source = {info.name: lake.data.get(info.name).data for info in lake.data.list("raw_tick_data/")}  # type: ignore[union-attr]
    for info in list(lake.data.list("raw_tick_data/")):
        lake.data.delete(info.name, if_generation=info.generation)
    for info in list(lake.state.list("manifests/")):
        lake.state.delete(info.name, if_generation=info.generation)
    put_all(lake.data, source)
    assert report_of(lake, "--layout", "ours")["total"]["adopted"] == len(source) == 2
    for name, data in source.items():
        entry = read_cell(lake.state, TRADES)[parse_data_object(name).symbol].entry
        assert (entry.rows, entry.fingerprint, entry.object) == (pq.read_metadata(io.BytesIO(data)).num_rows, "", "")
    gets = len(lake.requests())
    done = lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01")
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(lake.requests()) == gets


def test_objects_that_a_manifest_of_ours_names_are_not_adopted(lake: Lake) -> None:
    assert lake.engine("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01").returncode == 0
    before = manifests(lake)
    assert report_of(lake, "--layout", "ours")["total"] | {"bytes": 0} == {
        "objects": 2,
        "adopted": 0,
        "empty": 0,
        "recorded": 2,
        "not_adopted": 0,
        "row_count": 0,
        "bytes": 0,
    }
    assert manifests(lake) == before


def test_verifying_reads_every_row_and_learns_the_covered_minutes(lake: Lake) -> None:
    put_tiny(lake)
    unknown = parquet(old_table(symbol="PEPEUSDT", day=NEXT, rows=5), write_statistics=False)
    put_all(lake.data, {old_name("BINANCE:SPOT_PAIR:PEPE-USDT", day=NEXT): unknown})
    report = report_of(lake, "--verify")
    assert report["verified"] == report["total"]["adopted"] == 5
    read = report["read"]
    assert read["verified_bytes"] == report["total"]["bytes"]
    assert read["footer_bytes"] <= read["bytes"] < read["verified_bytes"]
    entries = {symbol: record.entry for symbol, record in read_cell(lake.state, TRADES).items()}
    assert {symbol: entry.covered_minutes for symbol, entry in entries.items()} == {"BTCUSDT": 1440, "PEPEUSDT": 300}
    entry = read_cell(lake.state, structs.replace(TRADES, day=NEXT))["PEPEUSDT"].entry
    assert (entry.first_us, entry.last_us, entry.covered_minutes, entry.flags) == (
        start_us(NEXT),
        start_us(NEXT) + 4 * MINUTE_US,
        5,
        (),
    )


def test_verifying_finds_what_a_footer_cannot_say(lake: Lake) -> None:
    sound = parquet(old_table(rows=1440), compression="none", use_dictionary=False)
    broken = bytearray(sound)
    broken[4:400] = bytes(396)
    mixed = pa.concat_tables([old_table(symbol="PEPEUSDT"), old_table(symbol="ETHUSDT")])
    put_all(
        lake.data,
        {
            old_name("BINANCE:SPOT_PAIR:BTC-USDT"): bytes(broken),
            old_name("BINANCE:SPOT_PAIR:PEPE-USDT"): parquet(mixed, write_statistics=False),
        },
    )
    assert report_of(lake, "--dry-run")["total"]["adopted"] == 2
    report = report_of(lake, "--verify", code=65)
    assert {left["reason"] for left in report["not_adopted"]} == {"unreadable", "wrong_symbol"}
    assert manifests(lake) == []


def test_a_sample_reads_only_so_many_objects(lake: Lake) -> None:
    put_tiny(lake)
    report = report_of(lake, "--verify", "--sample", "2")
    assert (report["verified"], report["total"]["adopted"]) == (2, 4)


# Many objects, and an interruption


def put_many(lake: Lake, symbols: int, days: int) -> tuple[Catalogue, DayRange, int]:
    """A lake of symbols x days that the source's small venue lists, its catalogue, and how many bytes of it are footers."""
    names = [f"A{number:03d}USDT" for number in range(symbols)]
    range_ = DayRange(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=days - 1))
    listings = [Listing(name, "spot", ("trades",), LONG_AGO, None) for name in names]
    catalogue = save_table(lake.state, "binance", listings, fetched=utc_now())
    footers = 0
    for where in days_from(range_.start, days):
        objects = {}
        for name in names:
            key = f"BINANCE:SPOT_PAIR:{name.removesuffix('USDT')}-USDT"
            objects[old_name(key, day=where)] = _small(name, where)
        put_all(lake.data, objects)
        footers += sum(int.from_bytes(data[-8:-4], "little") + 8 for data in objects.values())
    return catalogue, range_, footers


def _small(symbol: str, where: date) -> bytes:
    return parquet(old_table(symbol=symbol, day=where, rows=3))


def check_many(lake: Lake, symbols: int, days: int) -> None:
    catalogue, range_, footers = put_many(lake, symbols, days)
    table = lake.state.stat(catalogue.object_name)
    assert table is not None
    count = symbols * days
    before = counters(lake)
    done = lake.engine("adopt", "--start", str(range_.start), "--end", str(range_.end), "--json")
    asked = counters(lake) - before
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["total"]["adopted"] == count
    # One listing of old objects a thousand, one of candles, of manifests, and of catalogues; one footer each; the catalogue's bytes.
    assert asked["objects.list"] <= -(-count // 1000) + 4
    # The first ones, as many as are asked for at the same time, do not know yet how long footers are.
    assert count <= asked["ranged"] <= count + 2 * adoption.AT_ONCE
    assert asked["objects.get"] == asked["ranged"] + 1
    read = asked["sent"] - table.size
    assert footers <= read < footers + 10 * count, "nothing but footers, which differ by some bytes"
    assert report["read"] == {"requests": asked["ranged"], "bytes": read, "footer_bytes": footers, "verified_bytes": 0}
    assert asked["objects.insert"] == days
    coverage = coverage_of(lake, range_)
    assert coverage.complete_cells == days
    assert {report.sureness for report in coverage.reports.values()} == {Sureness.ADOPTED}
    assert sum(report.rows for report in coverage.reports.values()) == 3 * count


def test_five_hundred_objects_need_one_listing_and_a_footer_each(lake: Lake) -> None:
    check_many(lake, symbols=100, days=5)


@pytest.mark.slow
def test_ten_thousand_objects_become_coverage_without_a_row_being_read(lake: Lake) -> None:
    check_many(lake, symbols=400, days=25)


def test_an_adoption_that_broke_off_goes_on_where_it_stopped(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "BATCH_OBJECTS", 5)
    catalogue, range_, _ = put_many(lake, symbols=5, days=4)
    third = f"day-{range_.start + timedelta(days=2)}"
    lake.storage.post("/_tickdeck/faults", {"fault": "status", "status": 403, "match": third, "method": "GET"})
    try:
        with pytest.raises(NotPermitted):
            adopt_here(lake, range_, {"binance": catalogue})
    finally:
        lake.storage.disarm()
    assert len(manifests(lake)) == 2
    before = counters(lake)
    done = adopt_here(lake, range_, {"binance": catalogue})
    assert (done.total.recorded, done.total.adopted, done.cells) == (10, 10, 2)
    assert done.footer_reads.requests == counters(lake)["ranged"] - before["ranged"] <= 2 * 10
    assert done.footer_reads.footers < 10 * len(_small("A000USDT", range_.start))
    assert coverage_of(lake, range_).complete_cells == 4


# What the rest of the engine makes of it


def manifest_of(*entries: Entry, origin: Any = "committed", run: str = "r1") -> Manifest:
    return Manifest(
        day=DAY,
        data_type="trades",
        venue="binance",
        run=run,
        shard=0,
        attempt=1,
        vm="vm",
        written=datetime(2024, 8, 1, tzinfo=UTC),
        open=False,
        engine_version="0",
        origin=origin,
        catalogue="",
        entries=entries,
    )


@pytest.mark.parametrize("turn", [lambda pair: pair, lambda pair: list(reversed(pair))], ids=["one", "other"])
def test_what_was_committed_outranks_what_was_adopted_however_new(turn: Callable[[Any], Any]) -> None:
    ours = manifest_of(ok("BTCUSDT", 100, generation=5))
    old = Entry(symbol="BTCUSDT", outcome=Outcome.OK, rows=90, generation=9, object=old_name("BINANCE:SPOT_PAIR:BTC-USDT"))
    adopted = manifest_of(old, origin="adopted", run="a1")
    # A worker that found the file adopted repeats the entry in a manifest of its own.
    repeated = manifest_of(old, run="r2")
    for other, generation in ((adopted, 20), (repeated, 30)):
        assert merge(turn([(ours, 10), (other, generation)]))["BTCUSDT"].entry.rows == 100
        failed = manifest_of(Entry(symbol="BTCUSDT", outcome=Outcome.FAILED), run="r3")
        assert merge(turn([(failed, 40), (other, generation)]))["BTCUSDT"].entry.rows == 90


def test_unknown_minutes_make_no_cell_thin_and_hide_none_that_is() -> None:
    bucket, offered = Bucket(), made_up_catalogue(made_up_listing("BTCUSDT"), made_up_listing("ETHUSDT"))
    for number in range(30):
        # Eight days were adopted, uncounted; on the last but one the recorder lost half a day.
        minutes = 0 if 10 <= number < 18 else 700 if number == 28 else 1440
        bucket.put(Cell(day(number), "trades", "binance"), [ok("BTCUSDT", minutes=minutes), ok("ETHUSDT", minutes=minutes)])
    coverage = bucket.assess(offered, DayRange(day(0), day(29)))
    assert [report.cell.day for report in coverage.in_state(CellState.THIN)] == [day(28)]


def test_a_cell_that_is_adopted_in_part_does_not_raise_what_is_usual() -> None:
    """The quiet symbol was adopted uncounted for weeks: its first counted day is no loss."""
    bucket, offered = Bucket(), made_up_catalogue(made_up_listing("BTCUSDT"), made_up_listing("QUIETUSDT"))
    for number in range(20):
        cell = Cell(day(number), "trades", "binance")
        if number < 19:
            bucket.put(cell, [ok("QUIETUSDT", minutes=0)], run="a1")
            bucket.put(cell, [ok("BTCUSDT")], run="r2")
        else:
            bucket.put(cell, [ok("BTCUSDT"), ok("QUIETUSDT", minutes=300)])
    assert bucket.assess(offered, DayRange(day(0), day(19))).complete_cells == 20


def test_a_symbol_whose_minutes_are_unknown_is_not_thin() -> None:
    cell, offered = Cell(day(9), "trades", "binance"), made_up_catalogue(made_up_listing("BTCUSDT"))
    bucket = Bucket()
    for number in range(10):
        bucket.put(Cell(day(number), "trades", "binance"), [ok("BTCUSDT", minutes=0 if number in (3, 9) else 1440)])
    history = {day(number): bucket.open_cell(Cell(day(number), "trades", "binance")) for number in range(9)}
    (report,) = symbol_reports(cell, offered, bucket.open_cell(cell), history=history)
    assert report.state is CellState.COMPLETE


def test_adopted_cells_teach_nothing_about_sizes() -> None:
    bucket = Bucket()
    bucket.put(Cell(day(1), "trades", "binance"), [ok("BTCUSDT", size=8_000_000)])
    alone = Sizes(summaries=bucket.summaries())
    bucket.put(Cell(day(2), "trades", "binance"), [ok("BTCUSDT", size=0)])
    both = Sizes(summaries=bucket.summaries())
    cell = Cell(day(3), "trades", "binance")
    assert both.estimate(cell, ("BTCUSDT",)) == alone.estimate(cell, ("BTCUSDT",))


def test_other_symbols_that_were_adopted_are_no_attempt_at_the_expected_ones(lake: Lake) -> None:
    """Single options lie there, the grouped file is expected: nobody has tried that one yet."""
    listings = [
        Listing("OPTIONS", "option", ("options_chain",), LONG_AGO, None),
        Listing("BTC-28JUN24-60000-C", "option", ("options_chain",), LONG_AGO, None),
    ]
    catalogue = save_table(lake.state, "deribit", listings, fetched=utc_now())
    name = old_name("DERIBIT:OPTION:BTC-USD-240628-60000-CALL", "options_chain")
    put_all(lake.data, {name: parquet(old_table("options_chain", "deribit", "BTC-28JUN24-60000-C"))})
    assert adopt_here(lake, DayRange(DAY, DAY), {"deribit": catalogue}).total.adopted == 1
    report = coverage_of(lake, DayRange(DAY, DAY), "options_chain", venue="deribit").report(Cell(DAY, "options_chain", "deribit"))
    assert report.state is CellState.MISSING


def test_an_entry_says_where_the_object_lies_only_if_that_is_not_the_usual_place(lake: Lake) -> None:
    put_tiny(lake)
    report_of(lake)
    for symbol, record in read_cell(lake.state, TRADES).items():
        assert record.entry.object != data_object(File(TRADES, symbol))
        assert lake.data.stat(record.entry.object) is not None
