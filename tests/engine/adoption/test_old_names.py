"""What the old system's names stand for: exactly one listed symbol, or a reason; never a guess."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from engine.adoption.old_names import Meaning, OldNames, parse_meaning, venues_meant
from engine.adoption.refusal import Reason, Refused
from engine.catalogue import Catalogue, Listing
from engine.errors import UsageError
from engine.instruments.keys import parse_symbol
from engine.model import Cell, File
from engine.paths import OldDataName
from provision.local.tardis.listings import Listings
from provision.local.tardis.loading import load_scenario

DAY = date(2024, 5, 1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def listing(
    symbol: str, kind: str, *, since: datetime = LONG_AGO, until: datetime | None = None, types: tuple[str, ...] = ("trades",)
) -> Listing:
    return Listing(symbol, kind, types, since, until)


def catalogue(venue: str, *listings: Listing) -> Catalogue:
    moment = datetime(2024, 8, 1, tzinfo=UTC)
    return Catalogue(venue=venue, fetched=moment, published_until=moment, listings=listings)


OFFERS = (
    catalogue("binance", listing("BTCUSDT", "spot"), listing("ETHBTC", "spot")),
    catalogue(
        "binance-futures",
        listing("BTCUSDT", "perpetual", types=("trades", "derivative_ticker")),
        listing("BTCUSDT_240628", "future", until=datetime(2024, 6, 28, 8, tzinfo=UTC)),
        listing("NEWUSDT", "perpetual", since=datetime(2024, 5, 1, 23, 59, tzinfo=UTC)),
        listing("LATEUSDT", "perpetual", since=datetime(2024, 5, 2, tzinfo=UTC)),
        listing("GONEUSDT", "perpetual", until=datetime(2024, 5, 1, tzinfo=UTC)),
        listing("ODDUSDT", "perpetual"),
    ),
    catalogue("binance-delivery", listing("BTCUSD_PERP", "perpetual"), listing("BTCUSD_240628", "future"), listing("ODDUSDT", "perpetual")),
    catalogue("bybit", listing("BTCUSDT", "perpetual"), listing("BTCUSD", "perpetual"), listing("BTC-28JUN24", "future")),
    catalogue("bybit-spot", listing("BTCUSDT", "spot")),
    catalogue("okex", listing("BTC-USDT", "spot")),
    catalogue("okex-swap", listing("BTC-USDT-SWAP", "perpetual"), listing("BTC-USD-SWAP", "perpetual")),
    catalogue("okex-futures", listing("BTC-USD-240628", "future")),
    catalogue(
        "deribit",
        listing("BTC-PERPETUAL", "perpetual"),
        listing("ETH-PERPETUAL", "perpetual"),
        listing("ETH_USD-PERPETUAL", "perpetual"),
        listing("BTC-28JUN24-60000-C", "option"),
        listing("XRP_USDC-28JUN24-0d5-P", "option"),
        listing("OPTIONS", "option", types=("options_chain",)),
    ),
)
NAMES = OldNames({each.venue: each for each in OFFERS})


@pytest.mark.parametrize(
    ("key", "venue", "symbol"),
    [
        ("BINANCE:SPOT_PAIR:BTC-USDT", "binance", "BTCUSDT"),
        ("BINANCE:SPOT_PAIR:BTCUSDT", "binance", "BTCUSDT"),
        ("BINANCE:SPOT_PAIR:ETH-BTC", "binance", "ETHBTC"),
        ("BINANCE:PERPETUAL:BTC-USDT", "binance-futures", "BTCUSDT"),
        ("BINANCE:PERP:BTC-USDT", "binance-futures", "BTCUSDT"),
        ("BINANCE:PERPETUAL:BTC-USD", "binance-delivery", "BTCUSD_PERP"),
        ("BINANCE-FUTURES:PERPETUAL:BTC-USDT", "binance-futures", "BTCUSDT"),
        ("BINANCE_FUTURES:PERPETUAL:BTC-USDT", "binance-futures", "BTCUSDT"),
        ("BINANCE:FUTURE:BTC-USDT-240628", "binance-futures", "BTCUSDT_240628"),
        ("BINANCE:FUTURE:BTC-USD-240628", "binance-delivery", "BTCUSD_240628"),
        ("BYBIT:SPOT_PAIR:BTC-USDT", "bybit-spot", "BTCUSDT"),
        ("BYBIT-SPOT:SPOT_PAIR:BTC-USDT", "bybit-spot", "BTCUSDT"),
        ("BYBIT:PERPETUAL:BTC-USDT", "bybit", "BTCUSDT"),
        ("BYBIT:PERPETUAL:BTC-USD", "bybit", "BTCUSD"),
        ("BYBIT:FUTURE:BTC-USDC-240628", "bybit", "BTC-28JUN24"),
        ("OKX:SPOT_PAIR:BTC-USDT", "okex", "BTC-USDT"),
        ("OKEX:PERPETUAL:BTC-USDT", "okex-swap", "BTC-USDT-SWAP"),
        ("OKX-SWAP:PERPETUAL:BTC-USD", "okex-swap", "BTC-USD-SWAP"),
        ("OKX-FUTURES:FUTURE:BTC-USD-240628", "okex-futures", "BTC-USD-240628"),
        ("DERIBIT:PERPETUAL:BTC-USD", "deribit", "BTC-PERPETUAL"),
        ("DERIBIT:PERPETUAL:BTC-PERPETUAL", "deribit", "BTC-PERPETUAL"),
        ("DERIBIT:OPTION:BTC-USD-240628-60000-CALL", "deribit", "BTC-28JUN24-60000-C"),
        ("DERIBIT:OPTION:XRP-USDC-240628-0.5-PUT", "deribit", "XRP_USDC-28JUN24-0d5-P"),
        ("DERIBIT:OPTION:XRP-USDC-240628-0d50-PUT", "deribit", "XRP_USDC-28JUN24-0d5-P"),
        ("BINANCE:PERPETUAL:NEW-USDT", "binance-futures", "NEWUSDT"),
    ],
)
def test_a_key_that_fits_one_listing_is_that_file(key: str, venue: str, symbol: str) -> None:
    assert NAMES.file_of(OldDataName(DAY, "trades", key)) == File(Cell(DAY, "trades", venue), symbol)


@pytest.mark.parametrize(
    ("key", "data_type", "reason", "words"),
    [
        ("BINANCE:PERPETUAL:ODDUSDT", "trades", Reason.SEVERAL_LISTINGS, "binance-delivery ODDUSDT, binance-futures ODDUSDT"),
        ("DERIBIT:PERPETUAL:ETH-USD", "trades", Reason.SEVERAL_LISTINGS, "ETH-PERPETUAL"),
        ("BINANCE:PERPETUAL:LATE-USDT", "trades", Reason.NOT_LISTED, "not listed on 2024-05-01"),
        ("BINANCE:PERPETUAL:GONE-USDT", "trades", Reason.NOT_LISTED, "GONEUSDT"),
        ("BINANCE:SPOT_PAIR:DOGE-USDT", "trades", Reason.NO_LISTING, "binance"),
        ("BINANCE:SPOT_PAIR:BTC-USD", "trades", Reason.NO_LISTING, "binance"),
        ("BINANCE:SPOT_PAIR:btc-usdt", "trades", Reason.NO_LISTING, "binance"),
        ("BINANCE:FUTURE:BTC-USDT-240629", "trades", Reason.NO_LISTING, "binance-futures"),
        ("DERIBIT:OPTION:BTC-USD", "options_chain", Reason.NO_LISTING, "deribit"),
        ("DERIBIT:OPTION:BTC-USD-240628-6000-CALL", "trades", Reason.NO_LISTING, "deribit"),
        ("KRAKEN:SPOT_PAIR:BTC-USD", "trades", Reason.UNKNOWN_VENUE, "kraken"),
        ("BINANCE:OPTION:BTC-USDT-240628-60000-CALL", "trades", Reason.UNKNOWN_VENUE, "binance-european-options"),
        ("AAVE_V3:A_TOKEN:AUSDT", "trades", Reason.NO_KEY, "A_TOKEN"),
        ("BINANCE:SPOT_PAIR:BTC-USDT", "derivative_ticker", Reason.NOT_OFFERED, "derivative_ticker"),
        ("BINANCE:SPOT_PAIR:BTC-USDT", "klines", Reason.UNKNOWN_DATA_TYPE, "klines"),
    ],
)
def test_what_fits_none_or_several_is_refused_with_the_reason(key: str, data_type: str, reason: Reason, words: str) -> None:
    with pytest.raises(Refused) as refused:
        NAMES.file_of(OldDataName(DAY, data_type, key))
    assert refused.value.reason is reason
    assert words in refused.value.detail


def test_a_key_of_two_listings_is_read_where_only_one_is_listed_that_day() -> None:
    """A symbol was renamed: its pair has two ids, and never both on one day."""
    renamed = catalogue(
        "deribit",
        listing("ETH-PERPETUAL", "perpetual", until=datetime(2024, 5, 1, tzinfo=UTC)),
        listing("ETH_USD-PERPETUAL", "perpetual", since=datetime(2024, 5, 1, tzinfo=UTC)),
    )
    names = OldNames({"deribit": renamed})
    key = "DERIBIT:PERPETUAL:ETH-USD"
    assert names.file_of(OldDataName(date(2024, 4, 30), "trades", key)).symbol == "ETH-PERPETUAL"
    assert names.file_of(OldDataName(DAY, "trades", key)).symbol == "ETH_USD-PERPETUAL"


def test_the_catalogues_that_are_needed_follow_from_the_names() -> None:
    keys = ("BINANCE:PERPETUAL:BTC-USDT", "OKX:SPOT_PAIR:BTC-USDT", "DERIBIT:OPTION:BTC-USD", "NONSENSE:A_TOKEN:X")
    assert venues_meant(OldDataName(DAY, "trades", key) for key in keys) == {"binance-futures", "binance-delivery", "okex", "deribit"}


def test_every_symbol_the_demo_lists_is_found_by_its_own_key_or_not_at_all() -> None:
    """Whatever symbols there are: a key never leads to another symbol than the one it was made of."""
    listings = Listings(load_scenario("demo"))
    day = listings.scenario.first_day
    checked = 0
    for spec in listings.scenario.venues:
        single = [each for each in listings.venue(spec.id).values() if not each.grouped]
        own = tuple(Listing(each.id, each.type, tuple(each.data_types), LONG_AGO, None) for each in single)
        names = OldNames({spec.id: catalogue(spec.id, *own)})
        for each in own:
            parsed = parse_symbol(spec.id, each)
            if parsed is None or not each.data_types or each.kind == "combo":
                continue
            found = names.file_of(OldDataName(day, each.data_types[0], str(parsed.key)))
            assert (found.cell.venue, found.symbol) == (spec.id, each.symbol)
            checked += 1
    assert checked > 50


def test_a_key_that_fits_nothing_means_what_a_person_says_if_the_venue_lists_it_that_day() -> None:
    name = OldDataName(DAY, "options_chain", "DERIBIT:OPTION:BTC-USD")
    with pytest.raises(Refused) as refused:
        NAMES.file_of(name)
    assert refused.value.reason is Reason.NO_LISTING
    key, meaning = parse_meaning("DERIBIT:OPTION:BTC-USD=deribit/OPTIONS")
    offers = {each.venue: each for each in OFFERS}
    assert OldNames(offers, {key: meaning}).file_of(name) == File(Cell(DAY, "options_chain", "deribit"), "OPTIONS")
    for symbol, data_type, reason in (("NOSUCH", "options_chain", Reason.NO_LISTING), ("OPTIONS", "trades", Reason.NOT_OFFERED)):
        with pytest.raises(Refused) as refused:
            OldNames(offers, {key: Meaning("deribit", symbol)}).file_of(OldDataName(DAY, data_type, key))
        assert refused.value.reason is reason


@pytest.mark.parametrize("text", ["", "A:B:C", "A:B:C=", "A:B:C=deribit", "A:B=deribit/X", "A:B:C=Deribit/X", "A:B:C=deribit/a b"])
def test_a_meaning_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_meaning(text)
