"""The generated files against the vendor's genuine ones, and against each other."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.datafile import DataFile
from provision.local.tardis.listings import Listings
from provision.local.tardis.loading import load_scenario

DAY = date(2024, 5, 1)
TEXT_COLUMNS = {"exchange", "symbol", "id", "side", "type", "underlying_index", "is_snapshot"}
WHOLE_COLUMNS = {"timestamp", "local_timestamp", "funding_timestamp", "expiration", "strike_price"}

FILES = [
    ("binance", "trades", "BTCUSDT"),
    ("binance", "trades", "PEPEUSDT"),
    ("binance", "book_snapshot_5", "BTCUSDT"),
    ("deribit", "trades", "BTC-PERPETUAL"),
    ("deribit", "book_snapshot_5", "SOL_USDC-PERPETUAL"),
    ("deribit", "derivative_ticker", "BTC-PERPETUAL"),
    ("deribit", "liquidations", "BTC-PERPETUAL"),
    ("deribit", "options_chain", "OPTIONS"),
    ("deribit", "quotes", "BTC-PERPETUAL"),
    ("deribit", "incremental_book_L2", "BTC-PERPETUAL"),
    ("deribit", "trades", "PERPETUALS"),
]


def _file(venue: str, data_type: str, symbol: str, day: date = DAY) -> DataFile:
    listings = Listings(load_scenario("tiny"))
    return DataFile(listings, listings.venue(venue)[symbol], data_type, day, None)


def _rows(file: DataFile, folder: Path) -> list[dict[str, str]]:
    target = folder / "made.csv.gz"
    file.write(target)
    return list(csv.DictReader(io.StringIO(gzip.decompress(target.read_bytes()).decode()), strict=True))


@pytest.mark.parametrize(("venue", "data_type", "symbol"), FILES)
def test_rows_parse_are_ordered_and_stay_in_the_day(tmp_path: Path, venue: str, data_type: str, symbol: str) -> None:
    file = _file(venue, data_type, symbol)
    rows = _rows(file, tmp_path)
    assert len(rows) == file.rows() > 0
    midnight = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000
    local = [int(row["local_timestamp"]) for row in rows]
    assert local == sorted(local)
    assert midnight <= local[0]
    assert local[-1] < midnight + 86_400_000_000
    for row in rows:
        assert None not in row
        assert midnight <= int(row["timestamp"]) < midnight + 86_400_000_000
        assert row["exchange"] == venue
        for name, cell in row.items():
            if name not in TEXT_COLUMNS and cell:
                assert int(cell) > 0 if name in WHOLE_COLUMNS else float(cell) is not None


def test_the_columns_are_those_of_the_genuine_files(genuine_data: Path) -> None:
    heads = sorted(genuine_data.glob("csv-heads-*/*.csv"))
    assert len(heads) >= 10
    for head in heads:
        data_type = next(name for name in sorted(COLUMNS, key=len, reverse=True) if f"{name}_" in head.name + "_")
        assert head.read_text().splitlines()[0] == ",".join(COLUMNS[data_type]), head.name


@pytest.mark.parametrize(("venue", "data_type", "symbol"), FILES)
def test_the_header_is_the_one_the_type_has(tmp_path: Path, venue: str, data_type: str, symbol: str) -> None:
    assert tuple(_rows(_file(venue, data_type, symbol), tmp_path)[0]) == COLUMNS[data_type]


def test_books_are_never_crossed_and_best_comes_first(tmp_path: Path) -> None:
    for row in _rows(_file("binance", "book_snapshot_5", "PEPEUSDT"), tmp_path):
        asks = [float(row[f"asks[{level}].price"]) for level in range(5)]
        bids = [float(row[f"bids[{level}].price"]) for level in range(5)]
        assert asks == sorted(set(asks))
        assert bids == sorted(set(bids), reverse=True)
        assert 0 < bids[0] < asks[0]


def test_the_options_file_holds_exactly_the_rows_of_its_single_options(tmp_path: Path) -> None:
    listings = Listings(load_scenario("tiny"))
    grouped = _rows(_file("deribit", "options_chain", "OPTIONS"), tmp_path)
    symbol = grouped[0]["symbol"]
    single = _rows(_file("deribit", "options_chain", symbol), tmp_path)
    assert single == [row for row in grouped if row["symbol"] == symbol]
    trading = {s for s, o in listings.venue("deribit").items() if o.contract is not None and o.window(DAY)}
    assert {row["symbol"] for row in grouped} == trading
    strikes = {row["symbol"].split("-")[2] for row in grouped}
    assert strikes == {row["strike_price"] for row in grouped}


def test_an_option_has_no_rows_after_its_expiry(tmp_path: Path) -> None:
    expiry = datetime(2024, 4, 26, 8, tzinfo=UTC)
    rows = _rows(_file("deribit", "options_chain", "BTC-26APR24-60000-C", expiry.date()), tmp_path)
    assert int(rows[-1]["local_timestamp"]) < expiry.timestamp() * 1_000_000
    assert {row["expiration"] for row in rows} == {str(int(expiry.timestamp()) * 1_000_000)}
    assert _file("deribit", "options_chain", "BTC-26APR24-60000-C", expiry.date() + timedelta(days=1)).rows() == 0


def test_a_day_begins_at_the_price_the_day_before_ended_with(tmp_path: Path) -> None:
    first, second = (_rows(_file("binance", "trades", "BTCUSDT", DAY + timedelta(days=n)), tmp_path) for n in range(2))
    assert float(second[0]["price"]) == pytest.approx(float(first[-1]["price"]), rel=0.01)


def test_another_process_in_another_time_zone_makes_the_same_bytes(tmp_path: Path) -> None:
    code = """
import sys; from datetime import date; from pathlib import Path
from provision.local.tardis.loading import load_scenario
from provision.local.tardis.listings import Listings
from provision.local.tardis.datafile import DataFile
listings = Listings(load_scenario("tiny"))
for venue, data_type, symbol in [line.split(",") for line in sys.argv[2:]]:
    file = DataFile(listings, listings.venue(venue)[symbol], data_type, date(2024, 5, 1), None)
    file.write(Path(sys.argv[1]) / f"{venue}-{data_type}-{symbol}")
"""
    backwards = [",".join(key) for key in reversed(FILES)]
    environment = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "77", "PATH": ""}
    root = Path(__file__).resolve().parents[4]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *backwards], check=True, env=environment, cwd=root)
    for venue, data_type, symbol in FILES:
        here = tmp_path / "here"
        _file(venue, data_type, symbol).write(here)
        there = tmp_path / f"{venue}-{data_type}-{symbol}"
        assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


def test_another_seed_makes_other_rows_of_the_same_shape(tmp_path: Path) -> None:
    scenario = load_scenario("tiny")
    other = Listings(type(scenario)(**{**{f: getattr(scenario, f) for f in scenario.__slots__}, "seed": 8}))
    mine = _rows(_file("binance", "trades", "BTCUSDT"), tmp_path)
    theirs = _rows(DataFile(other, other.venue("binance")["BTCUSDT"], "trades", DAY, None), tmp_path)
    assert mine[0].keys() == theirs[0].keys()
    assert mine[0] != theirs[0]


def test_there_are_no_rows_in_an_incident(tmp_path: Path) -> None:
    listings = Listings(load_scenario("demo"))
    rows = _rows(DataFile(listings, listings.venue("binance")["DOGEUSDT"], "trades", DAY, None), tmp_path)
    start, end = (int(datetime(2024, 5, 1, 14, m, tzinfo=UTC).timestamp()) * 1_000_000 for m in (10, 35))
    local = [int(row["local_timestamp"]) for row in rows]
    assert not [at for at in local if start < at < end]
    assert [at for at in local if at <= start]
    assert [at for at in local if at >= end]
