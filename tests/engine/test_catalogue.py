"""Catalogues: which symbols are expected on which day, asked one day at a time and for years at once."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalogue import (
    Catalogue,
    Incident,
    Listing,
    due,
    list_venues,
    load_catalogue,
    load_catalogue_table,
    parse_catalogue,
    save_catalogue,
)
from engine.errors import SourceError, UsageError
from engine.expectation import expect
from engine.model import DayRange, day_start
from engine.storage_service import open_storage
from engine.store import Store
from tests.engine.made_up_lake import NOW, START, catalogue, day, listing, moment
from tests.local_servers import LocalServer

_numbers = itertools.count(1)

# Moments around a few days, many of them exactly at midnight, where mistakes of one day live.
moments = st.one_of(
    st.integers(-2, 12).map(moment),
    st.integers(-2 * 24, 12 * 24).map(lambda hours: moment(0) + timedelta(hours=hours)),
    st.integers(-2, 12).map(lambda number: moment(number) - timedelta(microseconds=1)),
)
listings = st.builds(
    Listing,
    symbol=st.sampled_from(["A", "B", "C", "OPTIONS", "SPOT", "PERPETUALS"]),
    kind=st.sampled_from(["spot", "perpetual", "option"]),
    data_types=st.sets(st.sampled_from(["trades", "options_chain"])).map(lambda found: tuple(sorted(found))),
    since=moments,
    until=st.none() | moments,
)
RANGE = DayRange(day(0), day(10))


@pytest.fixture
def state(storage_server: LocalServer) -> Store:
    """A fresh state bucket."""
    service = open_storage(project="local", endpoint=storage_server.url)
    name = f"catalogue-tests-{next(_numbers)}"
    service.client.create_bucket(name)
    return Store(service, name)


@settings(max_examples=300)
@given(st.lists(listings, max_size=8), st.none() | st.frozensets(st.sampled_from(["A", "B", "OPTIONS", "SPOT", "NOSUCH"])))
def test_expectations_of_a_range_are_those_of_each_of_its_days(made: list[Listing], scope: frozenset[str] | None) -> None:
    offered = catalogue(*made)
    for data_type, found in expect(offered, ("trades", "options_chain"), RANGE, symbols=scope).items():
        for each in RANGE:
            expected = found.at(each)
            assert set(expected.whole) == offered.expected(data_type, each)
            wanted = offered.expected(data_type, each) if scope is None else offered.listed(data_type, each) & scope
            assert list(expected.symbols) == sorted(wanted)
            assert all(symbol in expected for symbol in wanted)
            assert "NOSUCH" not in expected


@settings(max_examples=200)
@given(listings, st.integers(-3, 13).map(day))
def test_a_symbol_is_listed_on_a_day_if_some_instant_of_it_belongs_to_both(made: Listing, each: date) -> None:
    begin, end = day_start(each), day_start(each) + timedelta(days=1)
    until = made.until or datetime.max.replace(tzinfo=UTC)
    if until <= made.since:
        return
    assert made.overlaps(each) == (max(begin, made.since) < min(end, until))


def test_days_on_which_a_symbol_was_listed_in_part_are_known() -> None:
    offered = catalogue(listing("A", since=moment(1, 5), until=moment(3, 7)), listing("B", since=moment(1), until=moment(4)))
    found = expect(offered, ("trades",), RANGE)["trades"]
    assert dict(found.partial) == {day(1): frozenset({"A"}), day(3): frozenset({"A"})}


def test_churn_counts_what_comes_and_goes_for_good_and_not_what_expires() -> None:
    offered = catalogue(
        listing("A"),
        listing("B", since=moment(4)),
        *(listing(f"F{n}", kind="future", since=moment(n), until=moment(n + 1)) for n in range(10)),
    )
    churn = [expected.churn for expected in expect(offered, ("trades",), RANGE)["trades"].by_day]
    assert churn == [0] * 4 + [1] * 7


def test_the_hash_of_a_stretch_is_that_of_a_manifest_with_its_symbols() -> None:
    from engine.documents import hash_symbols

    found = expect(catalogue(listing("B"), listing("A")), ("trades",), RANGE, symbols=frozenset({"A"}))["trades"].at(day(0))
    assert (found.digest, found.whole_digest) == (hash_symbols(["A"]), hash_symbols(["A", "B"]))
    assert found.is_scoped


def test_a_day_is_published_when_it_ended_at_or_before_the_published_moment() -> None:
    offered = catalogue(published_until=moment(3))
    assert [offered.is_published(day(number)) for number in (1, 2, 3)] == [True, True, False]
    assert not catalogue(published_until=moment(3) - timedelta(microseconds=1)).is_published(day(2))
    assert due(day(0)) == moment(1, 6)


def test_an_incident_touches_the_days_it_overlaps() -> None:
    offered = catalogue(incidents=(Incident(moment(1, 23), moment(3), "resolved", ""),))
    assert [offered.has_incident(day(number)) for number in range(5)] == [False, True, True, False, False]


# the source's answer

ANSWER: dict[str, Any] = {
    "id": "binance",
    "datasets": {
        "formats": ["csv"],
        "exportedFrom": "2019-03-30T00:00:00.000Z",
        "exportedUntil": "2024-08-01T00:00:00.000Z",
        "symbols": [
            {"id": "BTCUSDT", "type": "spot", "availableSince": "2019-03-30T00:00:00.000Z", "dataTypes": ["trades", "quotes"]},
            {
                "id": "SPOT",
                "type": "spot",
                "availableSince": "2019-03-30T00:00:00.000Z",
                "availableTo": "2024-01-01T00:00:00.000Z",
                "dataTypes": ["trades"],
            },
        ],
    },
    "incidentReports": [{"from": "2024-05-01T22:00:00Z", "to": "2024-05-01T23:00:00Z", "status": "resolved", "details": "down"}],
}


def parsed(answer: dict[str, Any]) -> Catalogue:
    return parse_catalogue("binance", json.dumps(answer).encode(), fetched=NOW)


def test_the_sources_answer_becomes_a_table() -> None:
    found = parsed(ANSWER)
    assert found.published_until == datetime(2024, 8, 1, tzinfo=UTC)
    assert found.listings[0] == Listing("BTCUSDT", "spot", ("trades", "quotes"), datetime(2019, 3, 30, tzinfo=UTC))
    assert found.data_types() == {"trades", "quotes"}
    assert found.listed("trades", date(2023, 5, 23)) == {"BTCUSDT", "SPOT"}
    assert found.expected("trades", date(2023, 5, 23)) == {"BTCUSDT"}
    assert found.has_incident(START)


def test_an_older_body_with_types_for_all_symbols_at_once_is_read_too() -> None:
    datasets = {**ANSWER["datasets"], "dataTypes": ["trades"]}
    datasets["symbols"] = [{"id": "XBTUSD", "type": "perpetual", "availableSince": "2019-03-30T00:00:00.000Z"}]
    assert parsed({**ANSWER, "datasets": datasets}).listings[0].data_types == ("trades",)


@pytest.mark.parametrize(
    "text", ["2024-08-01T00:00:00.000Z", "2024-08-01T00:00:00", "2024-08-01", "2024-08-01T02:00:00+02:00", "2024-07-31T19:00:00-05:00"]
)
def test_times_are_utc_however_the_source_writes_them(text: str) -> None:
    answer = {**ANSWER, "datasets": {**ANSWER["datasets"], "exportedUntil": text}}
    assert parsed(answer).published_until == datetime(2024, 8, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"{}",
        b'{"datasets": {"symbols": []}}',
        b'{"datasets": {"exportedUntil": "soon", "symbols": []}}',
        b'{"datasets": {"exportedUntil": "2024-08-01", "symbols": [{"id": "A"}]}}',
        b'{"datasets": {"exportedUntil": "2024-08-01", "symbols": [{"id": "A", "availableSince": 5}]}}',
    ],
)
def test_an_answer_that_cannot_be_read_names_the_venue(body: bytes) -> None:
    with pytest.raises(SourceError, match="venue binance"):
        parse_catalogue("binance", body, fetched=NOW)


def test_a_naive_moment_of_fetching_is_refused() -> None:
    with pytest.raises(UsageError, match="naive"):
        parse_catalogue("binance", json.dumps(ANSWER).encode(), fetched=NOW.replace(tzinfo=None))


# in the bucket


def test_the_newest_table_wins_and_old_ones_and_the_verbatim_answers_stay(state: Store) -> None:
    assert load_catalogue(state, "binance") is None
    body = json.dumps(ANSWER).encode()
    old = parse_catalogue("binance", body, fetched=NOW - timedelta(days=1))
    new = parse_catalogue("binance", body, fetched=NOW)
    for each in (new, old, old):
        assert save_catalogue(state, each, body) == each.object_name
    assert load_catalogue(state, "binance") == new
    assert load_catalogue_table(state, old.object_name) == old
    assert list_venues(state) == ("binance",)
    sources = [info.name for info in state.list("catalogue/") if not info.name.endswith(".table.json.gz")]
    assert len(sources) == 2
    found = state.get(sources[0])
    assert found is not None
    assert gzip.decompress(found.data) == body
