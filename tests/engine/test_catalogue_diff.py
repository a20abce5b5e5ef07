"""What changed between two catalogues, and which stored catalogue a person means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import Catalogue, Incident, Listing
from engine.catalogue_diff import CatalogueDiff, Change, Rename, compare_catalogues, pick_moment
from engine.errors import UsageError
from tests.engine.made_up_lake import catalogue, listing, moment


def compare(old: Catalogue, new: Catalogue) -> CatalogueDiff:
    return compare_catalogues(old, msgspec.structs.replace(new, fetched=old.fetched + timedelta(days=1)))


moments = st.integers(-3, 12).map(moment)
listings = st.lists(
    st.builds(
        Listing,
        symbol=st.sampled_from(["BTCUSDT", "ETHUSDT", "SHIBUSDT", "1000SHIBUSDT", "SPOT"]),
        kind=st.sampled_from(["spot", "perpetual"]),
        data_types=st.sets(st.sampled_from(["trades", "quotes"])).map(lambda found: tuple(sorted(found))),
        since=moments,
        until=st.none() | moments,
    ),
    max_size=6,
)


@given(listings, listings, st.randoms())
def test_equal_catalogues_have_no_difference_and_others_have_the_same_one_in_any_order(old: list[Any], new: list[Any], random: Any) -> None:
    first, second = catalogue(*old), catalogue(*new)
    assert compare(first, first).is_empty
    told = compare(first, second)
    random.shuffle(old)
    assert compare(catalogue(*old), second) == told
    names = [each.symbol for each in old], [each.symbol for each in new]
    assert len(told.added) - len(told.removed) == len(names[1]) - len(names[0])
    assert {each.symbol for each in told.added} <= set(names[1])
    assert {each.symbol for each in told.removed} <= set(names[0])


def test_listed_delisted_and_changed_symbols_are_told_apart() -> None:
    old = catalogue(
        listing("STAYS"),
        listing("ENDS"),
        listing("MOVES", until=moment(3)),
        listing("LOSES", "trades", "quotes"),
        listing("GOES", until=moment(1)),
    )
    new = catalogue(
        listing("STAYS"),
        listing("ENDS", until=moment(5)),
        listing("MOVES", since=moment(1), until=moment(4)),
        listing("LOSES", "trades", "liquidations"),
        listing("COMES", since=moment(6)),
    )
    found = compare(old, new)
    assert [each.symbol for each in found.added] == ["COMES"]
    assert [each.symbol for each in found.removed] == ["GOES"]
    assert [(each.symbol, each.until) for each in found.delisted] == [("ENDS", moment(5))]
    assert found.changed == (
        Change("LOSES", "data_types_added", "", "liquidations"),
        Change("LOSES", "data_types_removed", "quotes", ""),
        Change("MOVES", "since", "2020-01-01T00:00:00.000000Z", "2024-05-02T00:00:00.000000Z"),
        Change("MOVES", "until", "2024-05-04T00:00:00.000000Z", "2024-05-05T00:00:00.000000Z"),
    )
    assert (found.data_types_added, found.data_types_removed) == (("liquidations",), ("quotes",))
    assert found.perhaps_renamed == ()


def test_a_symbol_that_trades_again_loses_its_end() -> None:
    found = compare(catalogue(listing("BTCUSDT", until=moment(3))), catalogue(listing("BTCUSDT")))
    assert found.changed == (Change("BTCUSDT", "until", "2024-05-04T00:00:00.000000Z", ""),)
    assert not found.delisted


def test_a_symbol_that_was_listed_again_is_an_addition() -> None:
    first, second = listing("LUNAUSDT", until=moment(1)), listing("LUNAUSDT", since=moment(5))
    assert compare(catalogue(first), catalogue(second, first)).added == (second,)


def renames(old: Listing, new: Listing, *, venue: str = "binance-futures") -> tuple[Rename, ...]:
    """Of a venue where `old` ended and `new` began between the two catalogues."""
    trading = msgspec.structs.replace(old, until=None)
    return compare(catalogue(trading, venue=venue), catalogue(old, new, venue=venue)).perhaps_renamed


def test_an_end_and_a_beginning_of_one_instrument_at_nearly_one_time_may_be_a_rename() -> None:
    ended = listing("SHIBUSDT", kind="perpetual", until=moment(5, 3))
    assert renames(ended, listing("1000SHIBUSDT", kind="perpetual", since=moment(5, 9))) == (
        Rename("SHIBUSDT", "1000SHIBUSDT", moment(5, 3), moment(5, 9)),
    )
    assert renames(ended, listing("SHIB1000USDT", kind="perpetual", since=moment(4)))


@pytest.mark.parametrize(
    "began",
    [
        listing("1000SHIBUSDT", kind="perpetual", since=moment(8)),  # days later
        listing("1000SHIBUSDC", kind="perpetual", since=moment(5)),  # another quote
        listing("DOGEUSDT", kind="perpetual", since=moment(5)),  # another coin
        listing("SHIBUSDT_240628", kind="future", since=moment(5)),  # another type
        listing("NOSUCHPAIR", kind="perpetual", since=moment(5)),  # nobody knows what it is
    ],
    ids=lambda made: made.symbol,
)
def test_what_is_another_instrument_is_no_rename(began: Listing) -> None:
    assert renames(listing("SHIBUSDT", kind="perpetual", until=moment(5)), began) == ()


def test_the_next_weekly_future_is_no_rename_of_the_last() -> None:
    ended = listing("BTC-3MAY24", kind="future", until=moment(2, 8))
    assert renames(ended, listing("BTC-10MAY24", kind="future", since=moment(2, 8)), venue="deribit") == ()


def test_publication_and_incidents_are_compared() -> None:
    known, gone = (Incident(moment(1), moment(2), "resolved", name) for name in ("known", "gone"))
    new = Incident(moment(3), moment(4), "resolved", "new")
    found = compare(
        catalogue(published_until=moment(4), incidents=(known, gone)), catalogue(published_until=moment(5), incidents=(known, new))
    )
    assert found.published_until == (moment(4), moment(5))
    assert (found.incidents_added, found.incidents_removed) == ((new,), (gone,))


def test_an_incident_that_goes_on_is_no_news_each_day() -> None:
    old = catalogue()
    fetched = old.fetched + timedelta(days=1)
    still = Incident(moment(1), old.fetched, "unresolved", "down")
    first = msgspec.structs.replace(old, incidents=(still,))
    second = msgspec.structs.replace(old, fetched=fetched, incidents=(msgspec.structs.replace(still, end=fetched),))
    assert compare_catalogues(first, second).is_empty
    ended = msgspec.structs.replace(second, incidents=(msgspec.structs.replace(still, end=moment(9), status="resolved"),))
    assert compare_catalogues(first, ended).incidents_added == ended.incidents


def test_two_venues_are_not_compared() -> None:
    with pytest.raises(UsageError, match="binance and deribit"):
        compare_catalogues(catalogue(), catalogue(venue="deribit"))


# which one is meant

KNOWN = [datetime(2024, 5, 1, 6, tzinfo=UTC), datetime(2024, 5, 1, 7, 30, tzinfo=UTC), datetime(2024, 5, 3, 6, 0, 0, 5, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("latest", 2),
        ("PREVIOUS", 1),
        ("2024-05-03", 2),
        ("20240501T06", 0),
        ("2024-05-01T07", 1),
        ("20240503T060000.000005Z", 2),
        ("2024-05-02T00:00Z", 1),
        ("2024-05-02T00:00+09:00", 1),
        ("2024-05-01T16:00+09:00", 0),
        ("2099-01-01T00:00Z", 2),
    ],
)
def test_a_catalogue_goes_by_words_beginnings_and_times(text: str, place: int) -> None:
    assert pick_moment(text, KNOWN, venue="binance") == KNOWN[place]


@pytest.mark.parametrize("text", ["2024-05-01", "2024", "2024-04-01T00:00Z", "2024-05-02", "yesterday", "", "2024-05-02T00:00"])
def test_what_means_none_or_several_lists_those_that_are_there(text: str) -> None:
    with pytest.raises(UsageError, match=repr(text)) as caught:
        pick_moment(text, KNOWN, venue="binance")
    assert "2024-05-01T07:30:00.000000Z" in caught.value.hint


@pytest.mark.parametrize(("text", "known"), [("previous", KNOWN[:1]), ("latest", [])])
def test_too_few_catalogues_are_told(text: str, known: list[datetime]) -> None:
    with pytest.raises(UsageError, match="binance"):
        pick_moment(text, known, venue="binance")
