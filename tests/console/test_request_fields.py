"""A request as text in fields: read, checked, completed, with the nearest right word."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from console.field_names import Known, complete, matches
from console.request_fields import FIELDS, field_of_error, fields_of, parse_fields
from engine.plan import Request

NOW = datetime(2024, 5, 23, 5, 36, tzinfo=UTC)
BASE = Request(
    venues=("binance", "deribit"),
    data_types=("trades",),
    start=date(2024, 5, 1),
    end=date(2024, 5, 3),
    universe="tier1",
    shards=8,
    machine_type="e2-highmem-8",
    refetch=True,
)
KNOWN = Known(venues=("binance", "binance-futures", "deribit", "okex-swap"), all_venues=True)


def parse(**changed: str) -> tuple[Request | None, dict[str, str]]:
    parsed = parse_fields({**fields_of(BASE), **changed}, base=BASE, now=NOW, known=KNOWN)
    return parsed.request, dict(parsed.errors)


def test_a_request_comes_back_from_its_fields_unchanged() -> None:
    assert parse() == (BASE, {})
    assert set(fields_of(BASE)) == set(FIELDS)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("venues", "deribit binance,deribit", ("deribit", "binance")),
        ("start", "7d", date(2024, 5, 16)),
        ("end", "yesterday", date(2024, 5, 22)),
        ("end", "", date(2024, 5, 1)),
        ("symbols", "BTCUSDT, ETHUSDT", ("BTCUSDT", "ETHUSDT")),
        ("shards", "", 0),
        ("strategy", "by-date", "by-date"),
    ],
)
def test_a_field_is_read_as_people_type_it(field: str, text: str, value: object) -> None:
    changed = {field: text, **({"end": "2024-05-30"} if field == "start" else {})}
    request, errors = parse(**changed)
    assert errors == {}
    assert getattr(request, field) == value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("06:00", datetime(2024, 5, 23, 6, tzinfo=UTC)),
        ("5:30", datetime(2024, 5, 24, 5, 30, tzinfo=UTC)),
        ("2024-05-25T01:00Z", datetime(2024, 5, 25, 1, tzinfo=UTC)),
    ],
)
def test_a_clock_time_is_the_next_such_moment(text: str, moment: datetime) -> None:
    request, _ = parse(deadline=text, shards="")
    assert request is not None
    assert request.deadline == moment


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("venues", "binnance", "did you mean binance?"),
        ("venues", "Binance!", "is not an exchange id"),
        ("venues", "", "is empty"),
        ("data_types", "trade", "did you mean trades?"),
        ("start", "2024-13-01", "is not a day"),
        ("end", "2024-04-01", "did you mean 2024-04-01..2024-05-01?"),
        ("symbols", "../etc", "is not a dataset symbol id"),
        ("universe", "tier3", "did you mean tier"),
        ("shards", "-1", "is no number"),
        ("deadline", "2024-05-25T01:00Z", "excludes a number of shards"),
        ("deadline", "2024-05-01T01:00Z", "has passed"),
        ("deadline", "25:00", "is no time of day"),
        ("deadline", "2024-05-25T01:00", "has no time zone"),
    ],
)
def test_what_is_wrong_is_said_of_its_own_field_with_the_remedy(field: str, text: str, said: str) -> None:
    request, errors = parse(**{field: text})
    assert request is None
    assert list(errors) == [field]
    assert said in errors[field]


def test_while_the_source_has_not_said_its_venues_an_unknown_one_passes() -> None:
    parsed = parse_fields({**fields_of(BASE), "venues": "kraken"}, base=BASE, now=NOW, known=Known(venues=("binance",)))
    assert parsed.request is not None
    assert parsed.request.venues == ("kraken",)


def test_the_last_word_of_a_list_is_completed_and_what_stands_there_is_not_offered_again() -> None:
    assert complete("venues", "deribit, bin", KNOWN) == "deribit, binance"
    assert complete("venues", "binance, bin", KNOWN) == "binance, binance-futures"
    assert matches("venues", "deribit, ", KNOWN) == ["binance", "binance-futures", "okex-swap"]
    assert complete("data_types", "book", KNOWN) == "book_snapshot_5"
    assert complete("universe", "tier", KNOWN) == "tier1"
    assert complete("venues", "deribit, ", KNOWN) is None


def test_a_planner_s_error_finds_its_field() -> None:
    assert field_of_error("symbol 'BTCUSD' is not listed at binance") == "symbols"
    assert field_of_error("the source knows no venue 'x'") == "venues"
    assert field_of_error("the bucket is on fire") == ""
