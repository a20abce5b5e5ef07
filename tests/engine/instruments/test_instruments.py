"""Definitions of a day: who is on it, which values were valid, and what `engine instruments` keeps, seen from outside."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import Listing, parse_catalogue
from engine.errors import SourceError
from engine.instruments.definitions import (
    COLUMNS,
    DEFINITIONS_VERSION,
    Definer,
    Definition,
    Instrument,
    at_moment,
    differing_columns,
    encode_definitions,
    native_ids,
    parse_instruments,
)
from engine.model import day_start
from engine.store import Store
from tests.engine.made_up_lake import START, catalogue, day, listing, moment
from tests.local_servers import Lake
from tests.sample_data import sample_data

TWO_DAYS = ("--start", "2024-05-01", "--end", "2024-05-02")


def instrument(**fields: Any) -> Instrument:
    """As the API sends it."""
    (made,) = parse_instruments("binance", json.dumps([{"id": "btcusdt", "datasetId": "BTCUSDT", **fields}]).encode())
    return made


def symbols_on(each: date, *listings: Listing) -> list[str]:
    return [row.symbol for row in Definer(catalogue(*listings)).define(each)]


# who is on a day

MIDNIGHT = moment(3)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("since", "until", "days_listed"),
    [
        (moment(1, 12), None, [1, 2, 3, 4]),  # listed in the middle of a day: on it
        (moment(1), None, [1, 2, 3, 4]),  # listed at midnight: that day, not the one before
        (moment(2) - INSTANT, None, [1, 2, 3, 4]),  # in the last instant of a day: on it
        (moment(0), moment(3, 8), [0, 1, 2, 3]),  # delisted in the middle of a day: still on it
        (moment(0), MIDNIGHT, [0, 1, 2]),  # delisted at midnight: the day before was the last
        (moment(0), MIDNIGHT + INSTANT, [0, 1, 2, 3]),
        (moment(2, 3), moment(2, 4), [2]),  # there for an hour
        (moment(9), None, []),  # not listed yet
        (moment(-9), moment(0), []),  # gone before
    ],
)
def test_a_symbol_is_defined_on_the_days_it_was_listed_for_any_part_of(
    since: datetime, until: datetime | None, days_listed: list[int]
) -> None:
    made = listing("BTCUSDT", since=since, until=until)
    assert [number for number in range(5) if symbols_on(day(number), made)] == days_listed


def test_a_renamed_symbol_is_two_symbols_and_both_are_on_the_day_of_the_change() -> None:
    old, new = listing("MATICUSDT", until=moment(2, 3)), listing("POLUSDT", since=moment(2, 10))
    assert symbols_on(day(1), old, new) == ["MATICUSDT"]
    assert symbols_on(day(2), old, new) == ["MATICUSDT", "POLUSDT"]
    assert symbols_on(day(3), old, new) == ["POLUSDT"]


def test_a_symbol_that_came_back_has_a_row_for_each_listing() -> None:
    first, second = listing("LUNAUSDT", until=moment(2, 3)), listing("LUNAUSDT", since=moment(2, 10))
    rows = Definer(catalogue(second, first)).define(day(2))
    assert [(row.symbol, row.available_since) for row in rows] == [("LUNAUSDT", first.since), ("LUNAUSDT", second.since)]
    assert {row.instrument_key for row in rows} == {"BINANCE:SPOT_PAIR:LUNA-USDT"}


# values valid at a moment

fields = st.sampled_from(["priceIncrement", "amountIncrement", "minTradeAmount"])
changes = st.lists(
    st.tuples(st.integers(-5, 5), st.dictionaries(fields, st.integers(1, 1000), min_size=1)), max_size=8, unique_by=lambda change: change[0]
)


@given(changes, st.integers(-6, 6), st.randoms())
def test_changes_are_applied_backwards_whatever_their_order(made: list[tuple[int, dict[str, int]]], when: int, random: Any) -> None:
    """Compared with history told forwards: the value on each day, from the oldest change to now."""
    current = {"priceIncrement": 7001, "amountIncrement": 7002, "minTradeAmount": 7003}
    expected = {}
    for name, value in current.items():
        valid = [(until, values[name]) for until, values in sorted(made) if name in values and until > when]
        expected[name] = valid[0][1] if valid else value
    sent = [{"until": moment(until).isoformat(), **values} for until, values in made]
    random.shuffle(sent)
    found = at_moment(instrument(**current, changes=sent), moment(when))
    assert {
        "priceIncrement": found.price_increment,
        "amountIncrement": found.amount_increment,
        "minTradeAmount": found.min_trade_amount,
    } == expected


def test_a_genuine_instrument_has_the_values_of_each_time() -> None:
    sent = {
        "priceIncrement": 0.1,
        "amountIncrement": 100,
        "minTradeAmount": 100,
        "changes": [
            {"until": "2021-06-08T04:30:00.000Z", "amountIncrement": 1, "minTradeAmount": 1},
            {"until": "2024-07-31T04:00:00.000Z", "priceIncrement": 0.5},
            {"until": "2024-10-22T00:00:00.000Z", "makerFee": 0.0002},
        ],
    }
    made = instrument(**sent)

    def values(text: str) -> tuple[object, object]:
        found = at_moment(made, datetime.fromisoformat(text))
        return found.price_increment, found.amount_increment

    assert values("2020-01-01T00:00:00Z") == (0.5, 1)
    assert values("2021-06-08T04:29:59.999999Z") == (0.5, 1)
    assert values("2021-06-08T04:30:00Z") == (0.5, 100)
    assert values("2024-07-31T04:00:00Z") == (0.1, 100)
    assert values("2025-01-01T00:00:00Z") == (0.1, 100)


def row_of(each: date, offered: Listing, *said: Instrument, venue: str = "binance") -> Definition:
    (row,) = Definer(catalogue(offered, venue=venue), said).define(each)
    return row


def test_a_day_has_the_values_of_its_start() -> None:
    said = instrument(
        priceIncrement="0.1",
        changes=[{"until": moment(1, 12).isoformat(), "priceIncrement": "0.2"}, {"until": moment(3).isoformat(), "priceIncrement": "0.15"}],
    )
    found = [row_of(day(number), listing("BTCUSDT"), said).price_increment for number in range(5)]
    assert found == [0.2, 0.2, 0.15, 0.1, 0.1]


def test_a_symbol_listed_later_in_the_day_has_the_values_of_its_listing() -> None:
    said = instrument(
        priceIncrement=0.1, availableSince=moment(1, 12).isoformat(), changes=[{"until": moment(1, 6).isoformat(), "priceIncrement": 9}]
    )
    assert row_of(day(1), listing("BTCUSDT", since=moment(1, 12)), said).price_increment == 0.1


def test_an_id_that_was_given_away_again_has_the_instrument_of_its_time() -> None:
    old = instrument(priceIncrement=1, availableSince="2020-01-01T00:00:00Z", availableTo=moment(1).isoformat())
    new = instrument(priceIncrement=2, availableSince=moment(3).isoformat())
    first, second = listing("BTCUSDT", until=moment(1)), listing("BTCUSDT", since=moment(3))
    assert row_of(day(0), first, new, old).price_increment == 1
    assert row_of(day(4), second, new, old).price_increment == 2
    assert row_of(day(2), listing("BTCUSDT"), new, old).price_increment is None


# names and the API together


def test_the_name_alone_gives_what_a_name_can() -> None:
    row = Definer(catalogue(listing("XRP_USDC-28JUN24-0D5-C", "trades", "quotes", kind="option"), venue="deribit")).define(START)[0]
    assert (row.instrument_key, row.base, row.quote, row.settle) == ("DERIBIT:OPTION:XRP-USDC-240628-0.5-CALL", "XRP", "USDC", "USDC")
    assert (row.strike, row.option_type, row.inverse, row.expiry) == (0.5, "CALL", False, datetime(2024, 6, 28, 8, tzinfo=UTC))
    assert (row.source, row.price_increment, row.data_types) == ("parsed", None, ("quotes", "trades"))


def test_an_options_key_keeps_the_quote_of_its_name_where_the_api_counts_the_premium() -> None:
    said = instrument(
        id="BTC-25APR25-200000-P", datasetId=None, baseCurrency="BTC", quoteCurrency="BTC", inverse=True, priceIncrement=0.0001
    )
    row = row_of(START, listing("BTC-25APR25-200000-P", kind="option"), said, venue="deribit")
    assert (row.instrument_key, row.quote, row.price_increment) == ("DERIBIT:OPTION:BTC-USD-250425-200000-PUT", "USD", 0.0001)


def test_the_api_corrects_a_pair_that_was_cut_at_the_wrong_place() -> None:
    said = instrument(id="btcusde", datasetId="ABCEURI", baseCurrency="ABCE", quoteCurrency="URI")
    row = row_of(START, listing("ABCEURI"), said)
    assert (row.base, row.quote, row.instrument_key) == ("ABCE", "URI", "BINANCE:SPOT_PAIR:ABCE-URI")


def test_another_spelling_of_the_base_in_the_api_changes_no_key() -> None:
    row = row_of(START, listing("1000SHIBUSDT"), instrument(datasetId="1000SHIBUSDT", baseCurrency="SHIB", quoteCurrency="USDT"))
    assert (row.base, row.instrument_key) == ("1000SHIB", "BINANCE:SPOT_PAIR:1000SHIB-USDT")


def test_where_the_name_says_nothing_the_api_gives_the_key() -> None:
    said = instrument(id="XBTUSD", datasetId="XBTUSD", baseCurrency="BTC", quoteCurrency="USD", settlementCurrency="BTC", inverse=True)
    row = row_of(START, listing("XBTUSD", kind="perpetual"), said, venue="bitmex")
    assert (row.instrument_key, row.settle, row.inverse, row.source) == ("BITMEX:PERPETUAL:BTC-USD", "BTC", True, "api")


def test_two_symbols_never_share_a_key() -> None:
    said = [instrument(id=name, datasetId=name, baseCurrency="BTC", quoteCurrency="USD") for name in ("PI_XBTUSD", "PF_XBTUSD")]
    listings = [listing(name, kind="perpetual") for name in ("PI_XBTUSD", "PF_XBTUSD")]
    rows = Definer(catalogue(*listings, venue="cryptofacilities"), said).define(START)
    assert [row.instrument_key for row in rows] == [None, None]
    assert {row.base for row in rows} == {"BTC"}


def test_grouped_ids_are_marked_and_have_no_key() -> None:
    (row,) = Definer(catalogue(listing("OPTIONS", "options_chain", kind="option"), venue="deribit")).define(START)
    assert (row.grouped, row.instrument_key, row.source) == (True, None, None)


def test_the_exchanges_own_ids_come_from_its_answer() -> None:
    body = json.dumps({"availableSymbols": [{"id": "btcusdt"}, {"id": "BTC/USD"}, {"id": "a:b"}, {"id": "A/B"}]}).encode()
    assert native_ids(body) == {"BTCUSDT": "btcusdt", "BTC-USD": "BTC/USD"}
    (row,) = Definer(catalogue(listing("BTCUSDT")), natives=native_ids(body)).define(START)
    assert row.raw_id == "btcusdt"


@pytest.mark.parametrize(
    "sent",
    [
        {"priceIncrement": "much"},
        {"priceIncrement": "inf"},
        {"expiry": "soon"},
        {"changes": [{"priceIncrement": 1}]},
        {"changes": [{"until": "2024-05-01T00:00:00Z", "strikePrice": "high"}]},
        {"id": 5},
    ],
)
def test_an_answer_that_cannot_be_read_names_the_venue(sent: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="binance"):
        instrument(**sent)


def test_genuine_bodies_of_each_type_are_read() -> None:
    for path in sorted(sample_data("api").glob("instrument_*.json")):
        sent = json.loads(path.read_text())
        (said,) = parse_instruments(sent["exchange"], b"[" + path.read_bytes() + b"]")
        row = row_of(date(2025, 2, 1), listing(sent["datasetId"], kind=sent["type"]), said, venue=sent["exchange"])
        assert (row.price_increment, row.amount_increment) == (sent["priceIncrement"], sent["amountIncrement"])
        assert (row.base, row.raw_id, row.instrument_key is None) == (sent["baseCurrency"], sent["id"], False)
        assert row.inverse == sent.get("inverse")
        assert row.expiry == (datetime.fromisoformat(sent["expiry"]) if "expiry" in sent else None)


def test_an_incident_that_has_no_end_lasts_until_the_source_was_asked() -> None:
    answer = {
        "datasets": {"exportedUntil": "2024-05-09T00:00:00Z", "symbols": []},
        "incidentReports": [{"from": moment(2, 5).isoformat(), "status": "unresolved", "details": "down"}],
    }
    found = parse_catalogue("binance", json.dumps(answer).encode(), fetched=moment(4, 1))
    assert [number for number in range(7) if found.has_incident(day(number))] == [2, 3, 4]


# Parquet


def test_equal_definitions_are_equal_bytes_and_every_column_says_what_it_is() -> None:
    listings = [listing("ETHUSDT"), listing("BTCUSDT", "trades", "quotes", until=moment(5)), listing("SPOT")]
    made = [encode_definitions(Definer(catalogue(*order)).define(START), START) for order in (listings, listings[::-1])]
    assert made[0] == made[1]
    table = pq.read_table(io.BytesIO(made[0]))
    assert table.column_names == [name for name, _, _ in COLUMNS]
    assert all(field.metadata[b"description"] for field in table.schema)
    assert table.schema.metadata[b"schema_version"] == str(DEFINITIONS_VERSION).encode()
    assert table.column("symbol").to_pylist() == ["BTCUSDT", "ETHUSDT", "SPOT"]
    assert table.column("available_until").to_pylist() == [moment(5), None, None]
    assert str(table.schema.field("available_since").type) == "timestamp[us, tz=UTC]"


def test_a_day_without_symbols_has_the_same_columns() -> None:
    table = pq.read_table(io.BytesIO(encode_definitions((), START)))
    assert (table.num_rows, table.column_names) == (0, [name for name, _, _ in COLUMNS])


def test_differences_are_told_by_column() -> None:
    plain, said = Definer(catalogue(listing("BTCUSDT"))), instrument(priceIncrement=1)
    rich = Definer(catalogue(listing("BTCUSDT")), [said])
    other = Definer(catalogue(listing("ETHUSDT")))
    old, new, third = (encode_definitions(each.define(START), START) for each in (plain, rich, other))
    assert differing_columns(old, old) == ()
    assert differing_columns(old, new) == ("raw_id", "price_increment", "source")
    assert differing_columns(old, third) == ("rows",)


# the command


def definitions_of(store: Store, each: str, venue: str) -> list[dict[str, Any]]:
    found = store.get(f"instrument_availability/by_date/day-{each}/venue-{venue}/instruments.parquet")
    assert found is not None
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(found.data)).to_pylist()
    return rows


def names_of(store: Store) -> dict[str, int]:
    return {info.name.removeprefix("instrument_availability/by_date/"): info.generation for info in store.list("instrument_availability/")}


@contextmanager
def refused_instruments(lake: Lake, status: int) -> Iterator[None]:
    """A source whose instruments API this key does not open."""
    lake.source.post("/_tickdeck/faults", {"fault": "status", "status": status, "match": "/v1/instruments/", "count": 100})
    try:
        yield
    finally:
        lake.source.disarm()


def test_definitions_and_both_answers_are_kept_for_each_day(lake: Lake) -> None:
    done = lake.engine("instruments", "--venues", "binance,deribit", *TWO_DAYS, "--json")
    assert done.returncode == 0, done.stderr
    assert set(names_of(lake.data)) == {
        f"day-2024-05-0{number}/venue-{venue}/{name}"
        for number in (1, 2)
        for venue in ("binance", "deribit")
        for name in ("instruments.parquet", "instruments_api.json.gz", "source.json.gz")
    }
    report = {venue["venue"]: venue for venue in json.loads(done.stdout)["venues"]}
    assert report["binance"]["instruments_api"] is True
    first, second = (definitions_of(lake.data, each, "binance") for each in ("2024-05-01", "2024-05-02"))
    assert [row["symbol"] for row in first] == ["BTCUSDT", "PEPEUSDT", "SPOT"]
    assert [row["instrument_key"] for row in first] == ["BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE:SPOT_PAIR:PEPE-USDT", None]
    assert [first[0][name] for name in ("raw_id", "base", "quote", "amount_increment")] == ["btcusdt", "BTC", "USDT", 0.00001]
    # One change in the middle of the first day, one at the start of the second.
    assert [rows[0]["price_increment"] for rows in (first, second)] == [0.02, 0.01]
    assert [rows[0]["min_trade_amount"] for rows in (first, second)] == [0.0001, 0.00001]
    source = lake.data.get("instrument_availability/by_date/day-2024-05-01/venue-binance/source.json.gz")
    api = lake.data.get("instrument_availability/by_date/day-2024-05-01/venue-binance/instruments_api.json.gz")
    assert source is not None
    assert api is not None
    assert json.loads(gzip.decompress(source.data)) == lake.source.get("/v1/exchanges/binance")
    assert {entry["datasetId"] for entry in json.loads(gzip.decompress(api.data))} == {"BTCUSDT", "PEPEUSDT"}
    assert report["deribit"]["days"][0]["symbols"]["perpetual"] == 2
    assert all(not each["without_key"] for venue in report.values() for each in venue["days"])


def test_a_second_run_writes_nothing(lake: Lake) -> None:
    assert lake.engine("instruments", "--venues", "binance", *TWO_DAYS).returncode == 0
    before = names_of(lake.data)
    again = lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01", "--end", "2024-05-02", "--json")
    assert again.returncode == 0
    assert [(each["state"], each["differs"]) for each in json.loads(again.stdout)["venues"][0]["days"]] == [("before", []), ("before", [])]
    assert names_of(lake.data) == before


@pytest.mark.parametrize("status", [401, 403, 404])
def test_without_entitlement_names_are_read_and_one_line_says_so(lake: Lake, status: int) -> None:
    with refused_instruments(lake, status):
        done = lake.engine("instruments", "--venues", "binance,deribit", "--start", "2024-05-01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("does not open the instruments API") == 2
    rows = definitions_of(lake.data, "2024-05-01", "binance")
    assert [row["source"] for row in rows] == ["parsed", "parsed", None]
    assert rows[0]["instrument_key"] == "BINANCE:SPOT_PAIR:BTC-USDT"
    assert rows[0]["raw_id"] == "btcusdt"
    assert not any(name.endswith("instruments_api.json.gz") for name in names_of(lake.data))


def test_what_was_stored_without_the_api_stays_and_the_difference_is_told(lake: Lake) -> None:
    assert lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01", "--no-api").returncode == 0
    before = names_of(lake.data)
    again = lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01")
    assert again.returncode == 0
    assert "1 day stored before would be other now, in price_increment" in again.stdout
    assert names_of(lake.data) == before
    assert definitions_of(lake.data, "2024-05-01", "binance")[0]["source"] == "parsed"


def test_a_source_that_stumbles_is_asked_again_before_poorer_definitions_are_written(lake: Lake) -> None:
    lake.source.post("/_tickdeck/faults", {"fault": "status", "status": 500, "match": "/v1/instruments/binance", "count": 2})
    try:
        done = lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01")
    finally:
        lake.source.disarm()
    assert done.returncode == 0, done.stderr
    assert definitions_of(lake.data, "2024-05-01", "binance")[0]["source"] == "api"


def test_an_attempt_that_ended_before_the_definitions_is_finished_with_its_own_answers(lake: Lake) -> None:
    assert lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01").returncode == 0
    folder = "instrument_availability/by_date/day-2024-05-01/venue-binance/"
    answer = lake.source.get("/v1/exchanges/binance")
    answer["datasets"]["symbols"][0]["availableTo"] = "2030-01-01T00:00:00Z"
    first = answer["datasets"]["symbols"][0]["id"]
    for info in list(lake.data.list(folder)):
        lake.data.delete(info.name, if_generation=info.generation)
    lake.data.put(f"{folder}source.json.gz", gzip.compress(json.dumps(answer).encode()), if_generation=0)
    assert lake.engine("instruments", "--venues", "binance", "--start", "2024-05-01").returncode == 0
    ends = {row["symbol"]: row["available_until"] for row in definitions_of(lake.data, "2024-05-01", "binance")}
    assert ends[first] == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_day_that_is_not_published_is_not_frozen(lake: Lake) -> None:
    done = lake.engine("instruments", "--venues", "binance", "--start", "2024-05-02", "--end", "2024-05-04")
    assert done.returncode == 75
    assert "2 days not published yet, nothing written from 2024-05-03 on" in done.stdout
    assert {name.split("/")[0] for name in names_of(lake.data)} == {"day-2024-05-02"}


def test_a_filter_counts_and_shows_a_kind_and_stores_all(lake: Lake) -> None:
    done = lake.engine("instruments", "--venues", "deribit", "--start", "2024-05-01", "--show", "csv", INSTRUMENT_TYPE="OPTION")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["kind"] for row in rows} == {"option"}
    assert {row["option_type"] for row in rows if row["grouped"] == "false"} == {"CALL", "PUT"}
    assert all(row["expiry"].endswith("T08:00:00Z") for row in rows if row["grouped"] == "false")
    assert {row["kind"] for row in definitions_of(lake.data, "2024-05-01", "deribit")} == {"option", "perpetual"}
    shown = lake.engine("instruments", "--venues", "deribit", "--start", "2024-05-01", "--show", "--instrument-type", "perpetual")
    assert "DERIBIT:PERPETUAL:SOL-USDC" in shown.stdout
    assert "OPTION" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--venues", "binanse", "--start", "2024-05-01"), 64, "did you mean binance?"),
        (("--venues", "binance", "--instrument-type", "spott", "--start", "2024-05-01"), 64, "did you mean spot?"),
        (("--venues", "binance", "--show"), 64, "--start"),
        (("--venues", "binance", "--end", "2024-05-01"), 64, "--start"),
        (("--venues", "binance", "--start", "2024-05-02", "--end", "2024-05-01"), 64, "reversed"),
        (("--start", "2024-05-02"), 64, "--list-venues"),
        (("--venues", "binance", "--start", "2024-05-01", "--data-bucket", "no-such-bucket"), 78, "no-such-bucket"),
    ],
)
def test_bad_input_gets_one_line(lake: Lake, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = lake.engine("instruments", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not names_of(lake.data)


def test_the_start_of_a_day_is_midnight_utc_wherever_the_machine_is(lake: Lake) -> None:
    done = lake.engine("instruments", "--venues", "binance", "--start", "2024-05-02", TZ="Asia/Tokyo")
    assert done.returncode == 0, done.stderr
    assert definitions_of(lake.data, "2024-05-02", "binance")[0]["price_increment"] == 0.01
    assert day_start(date(2024, 5, 2)) == datetime(2024, 5, 2, tzinfo=UTC)
