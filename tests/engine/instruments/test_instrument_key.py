"""Instrument keys: their text and its inverse, and what each venue's symbols mean, compared with what the exchanges say of themselves."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.instruments.keys import (
    InstrumentKey,
    InstrumentType,
    OptionType,
    Parsed,
    canonical_strike,
    parse_key,
    parse_symbol,
    resolve_kinds,
)
from provision.local.tardis.listings import Listings
from provision.local.tardis.loading import load_scenario
from tests.engine.made_up_lake import listing
from tests.sample_data import sample_data

coins = st.one_of(st.sampled_from(["BTC", "1000SHIB", "USDT", "币安人生", "1INCH"]), st.from_regex(r"[A-Z0-9]{1,12}", fullmatch=True))
venues = st.from_regex(r"[A-Z0-9]([A-Z0-9-]{0,20}[A-Z0-9])?", fullmatch=True)
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))
strikes = st.decimals(0, 10**6, allow_nan=False, places=4).map(lambda value: canonical_strike(f"{value:f}"))
legs = st.from_regex(r"[A-Z0-9._]{1,8}(-[A-Z0-9._]{1,8}){0,3}", fullmatch=True)
keys = st.one_of(
    st.builds(InstrumentKey, venues, st.sampled_from([InstrumentType.SPOT_PAIR, InstrumentType.PERPETUAL]), coins, coins),
    st.builds(InstrumentKey, venues, st.just(InstrumentType.FUTURE), coins, coins, days),
    st.builds(InstrumentKey, venues, st.just(InstrumentType.OPTION), coins, coins, days, strikes, st.sampled_from(OptionType)),
    st.builds(InstrumentKey, venues, st.just(InstrumentType.COMBO), coins, coins, legs=legs),
)


@given(keys)
def test_the_text_of_a_key_gives_the_key_back(key: InstrumentKey) -> None:
    assert parse_key(str(key)) == key


@given(keys, st.data())
def test_a_text_that_is_no_key_is_refused_or_means_itself(key: InstrumentKey, data: st.DataObject) -> None:
    text = str(key)
    place = data.draw(st.integers(0, len(text)))
    insert = data.draw(st.sampled_from(["", "0", ":", "-", ".", "a", " ", "\n", "٣", "-CALL", "-240531"]))
    changed = text[:place] + insert + text[place + data.draw(st.integers(0, 2)) :]
    try:
        parsed = parse_key(changed)
    except UsageError:
        return
    assert str(parsed) == changed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BTC-USDT",
        "BINANCE:SPOT_PAIR:BTCUSDT",
        "binance:SPOT_PAIR:BTC-USDT",
        "BINANCE:SPOT:BTC-USDT",
        "BINANCE:SPOT_PAIR:BTC-USDT-240628",
        "DERIBIT:FUTURE:BTC-USD",
        "DERIBIT:FUTURE:BTC-USD-240631",
        "DERIBIT:OPTION:BTC-USD-241225-50000-C",
        "DERIBIT:OPTION:BTC-USD-241225-050000-CALL",
        "DERIBIT:OPTION:BTC-USD-241225-0.50-CALL",
        "DERIBIT:COMBO:BTC-USD",
    ],
)
def test_what_is_no_key_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(text))):
        parse_key(text)


@pytest.mark.parametrize(
    "parts",
    [
        {"type": InstrumentType.SPOT_PAIR, "expiry": date(2024, 6, 28)},
        {"type": InstrumentType.FUTURE, "expiry": date(2124, 6, 28)},
        {"type": InstrumentType.OPTION, "expiry": date(2024, 6, 28), "strike": "050", "option_type": OptionType.CALL},
        {"type": InstrumentType.PERPETUAL, "base": "btc"},
        {"type": InstrumentType.PERPETUAL, "base": "A-B"},
    ],
)
def test_a_key_whose_text_could_not_give_it_back_cannot_be_made(parts: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        InstrumentKey(**{"venue": "DERIBIT", "base": "BTC", "quote": "USD", **parts})


TABLE = [
    ("binance", "spot", "BTCUSDT", "BINANCE:SPOT_PAIR:BTC-USDT", None, None),
    ("binance", "spot", "ADAEUR", "BINANCE:SPOT_PAIR:ADA-EUR", None, None),
    ("binance", "spot", "BTCAEUR", "BINANCE:SPOT_PAIR:BTC-AEUR", None, None),
    ("binance", "spot", "BTTTUSD", "BINANCE:SPOT_PAIR:BTT-TUSD", None, None),
    ("binance", "spot", "USDTTRY", "BINANCE:SPOT_PAIR:USDT-TRY", None, None),
    ("binance", "spot", "币安人生USDT", "BINANCE:SPOT_PAIR:币安人生-USDT", None, None),
    ("binance-futures", "perpetual", "1000SHIBUSDT", "BINANCE-FUTURES:PERPETUAL:1000SHIB-USDT", "USDT", False),
    ("binance-futures", "perpetual", "BTCUSDT", "BINANCE-FUTURES:PERPETUAL:BTC-USDT", "USDT", False),
    ("binance-futures", "future", "BTCUSDT_240628", "BINANCE-FUTURES:FUTURE:BTC-USDT-240628", "USDT", False),
    ("binance-delivery", "perpetual", "BTCUSD_PERP", "BINANCE-DELIVERY:PERPETUAL:BTC-USD", "BTC", True),
    ("binance-delivery", "future", "BTCUSD_240628", "BINANCE-DELIVERY:FUTURE:BTC-USD-240628", "BTC", True),
    (
        "binance-european-options",
        "option",
        "DOGE-240628-0.150-P",
        "BINANCE-EUROPEAN-OPTIONS:OPTION:DOGE-USDT-240628-0.15-PUT",
        "USDT",
        False,
    ),
    ("deribit", "perpetual", "BTC-PERPETUAL", "DERIBIT:PERPETUAL:BTC-USD", "BTC", True),
    ("deribit", "perpetual", "BTC_USDC-PERPETUAL", "DERIBIT:PERPETUAL:BTC-USDC", "USDC", False),
    ("deribit", "spot", "BTC_USDC", "DERIBIT:SPOT_PAIR:BTC-USDC", None, None),
    ("deribit", "future", "BTC-5APR19", "DERIBIT:FUTURE:BTC-USD-190405", "BTC", True),
    ("deribit", "future", "SOL_USDC-28JUN24", "DERIBIT:FUTURE:SOL-USDC-240628", "USDC", False),
    ("deribit", "option", "BTC-25DEC24-50000-C", "DERIBIT:OPTION:BTC-USD-241225-50000-CALL", "BTC", True),
    ("deribit", "option", "SOL_USDC-28JUN24-150-P", "DERIBIT:OPTION:SOL-USDC-240628-150-PUT", "USDC", False),
    ("deribit", "option", "XRP_USDC-30JUN23-0D625-C", "DERIBIT:OPTION:XRP-USDC-230630-0.625-CALL", "USDC", False),
    ("deribit", "option", "MATIC_USDC-9MAR24-1d02-C", "DERIBIT:OPTION:MATIC-USDC-240309-1.02-CALL", "USDC", False),
    ("deribit", "combo", "BTC-FS-28MAR25_PERP", "DERIBIT:COMBO:BTC-USD-FS-28MAR25_PERP", "BTC", True),
    ("deribit", "combo", "BTC-CSR12-16SEP22-21000_23000", "DERIBIT:COMBO:BTC-USD-CSR12-16SEP22-21000_23000", "BTC", True),
    ("bybit", "perpetual", "BTCUSDT", "BYBIT:PERPETUAL:BTC-USDT", "USDT", False),
    ("bybit", "perpetual", "BTCUSD", "BYBIT:PERPETUAL:BTC-USD", "BTC", True),
    ("bybit", "perpetual", "BTCPERP", "BYBIT:PERPETUAL:BTC-USDC", "USDC", False),
    ("bybit", "perpetual", "PERPUSDT", "BYBIT:PERPETUAL:PERP-USDT", "USDT", False),
    ("bybit", "future", "BTCUSDM24", "BYBIT:FUTURE:BTC-USD-240628", "BTC", True),
    ("bybit", "future", "BTCUSDZ22", "BYBIT:FUTURE:BTC-USD-221230", "BTC", True),
    ("bybit", "future", "BTC-28JUN24", "BYBIT:FUTURE:BTC-USDC-240628", "USDC", False),
    ("bybit", "future", "BTCUSDT-27DEC24", "BYBIT:FUTURE:BTC-USDT-241227", "USDT", False),
    ("bybit-spot", "spot", "SAND2SUSDT", "BYBIT-SPOT:SPOT_PAIR:SAND2S-USDT", None, None),
    ("bybit-spot", "spot", "METHETH", "BYBIT-SPOT:SPOT_PAIR:METH-ETH", None, None),
    ("bybit-options", "option", "BTC-28JUN24-60000-C", "BYBIT-OPTIONS:OPTION:BTC-USD-240628-60000-CALL", "USDC", False),
    ("bybit-options", "option", "ETH-25JUN27-7000-P-USDT", "BYBIT-OPTIONS:OPTION:ETH-USDT-270625-7000-PUT", "USDT", False),
    ("okex", "spot", "BTC-DAI", "OKEX:SPOT_PAIR:BTC-DAI", None, None),
    ("okex-futures", "future", "BTC-USD-200103", "OKEX-FUTURES:FUTURE:BTC-USD-200103", "BTC", True),
    ("okex-futures", "future", "FIL-USDT-220325", "OKEX-FUTURES:FUTURE:FIL-USDT-220325", "USDT", False),
    ("okex-swap", "perpetual", "BTC-USDT-SWAP", "OKEX-SWAP:PERPETUAL:BTC-USDT", "USDT", False),
    ("okex-swap", "perpetual", "BTC-USD-SWAP", "OKEX-SWAP:PERPETUAL:BTC-USD", "BTC", True),
    ("okex-options", "option", "BTC-USD-240628-60000-C", "OKEX-OPTIONS:OPTION:BTC-USD-240628-60000-CALL", "BTC", True),
]


@pytest.mark.parametrize(("venue", "kind", "symbol", "key", "settle", "inverse"), TABLE, ids=[f"{row[0]}-{row[2]}" for row in TABLE])
def test_symbols_of_each_venue_mean_one_key(venue: str, kind: str, symbol: str, key: str, settle: str | None, inverse: bool | None) -> None:
    found = parse_symbol(venue, listing(symbol, kind=kind))
    assert found is not None
    assert (str(found.key), found.settle, found.inverse) == (key, settle, inverse)
    assert found.linear == (None if inverse is None else not inverse)
    if found.key.expiry is not None:
        assert found.expiry == datetime.combine(found.key.expiry, time(8), UTC)
    else:
        assert found.expiry is None


def test_no_two_symbols_of_the_table_share_a_key() -> None:
    assert len({row[3] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("venue", "kind", "symbol"),
    [
        ("binance", "spot", "BTCXYZ"),  # no such quote
        ("binance", "spot", "USDT"),  # a quote and nothing before it
        ("binance", "perpetual", "BTCUSDT"),  # not what this venue has
        ("binance-futures", "future", "BTCUSDT"),
        ("binance-futures", "future", "BTCUSDT_240631"),  # no such day
        ("binance-futures", "perpetual", "BTCUSDT_240628"),
        ("bybit", "future", "BTCUSDK24"),  # no quarter
        ("bybit", "spot", "BTCUSDT"),
        ("deribit", "option", "OPTIONS"),
        ("deribit", "perpetual", "PERPETUALS"),
        ("deribit", "future", "BTC-31FEB24"),
        ("deribit", "option", "BTC-28JUN24-60000-X"),
        ("okex-futures", "future", "BTC-USD_UM_XPERP-310404"),  # real, and nobody knows its expiry from its name
        ("okex", "spot", "btc-usdt"),
        ("okex", "spot", "BTCUSDT"),
        ("okex", "", "BTC-USDT"),
        ("okex", "prediction", "BTC-USDT"),
        ("nosuch", "spot", "BTC-USDT"),
        ("bitmex", "perpetual", "XBTUSD"),
    ],
)
def test_a_symbol_that_fits_no_known_form_has_no_key(venue: str, kind: str, symbol: str) -> None:
    assert parse_symbol(venue, listing(symbol, kind=kind)) is None


@pytest.mark.parametrize("scenario", ["demo", "tiny"])
def test_every_symbol_that_the_stand_in_lists_is_read(scenario: str) -> None:
    listings = Listings(load_scenario(scenario))
    for venue in listings.venues():
        for listed in listings.venue(venue.id).values():
            found = parse_symbol(venue.id, listing(listed.id, kind=listed.type))
            assert (found is None) == listed.grouped, (venue.id, listed.id)
            if found is not None and listed.symbol is not None:
                assert found.key.quote == listed.symbol.quote
                assert found.key.base in (listed.symbol.base, f"1000{listed.symbol.base}")
                assert found.inverse in (None, listed.symbol.inverse)
            if found is not None and listed.contract is not None:
                assert (found.expiry, found.key.strike) == (listed.contract.expiry, str(listed.contract.strike))


# what the exchanges say of themselves


@pytest.fixture(scope="module")
def recorded_sessions() -> Path:
    """Recorded sessions of the exchanges."""
    return sample_data("raw-live")


def answers(path: Path, part: str) -> list[Any]:
    """JSON bodies of the requests whose address has `part`."""
    with gzip.open(path, "rt") as lines:
        return [json.loads(line.split(": ", 1)[1]) for line in lines if part in line.split(" -> ", 1)[0]]


def read(venue: str, symbol: str, kind: str) -> Parsed:
    found = parse_symbol(venue, listing(symbol, kind=kind))
    assert found is not None, symbol
    return found


def milliseconds(found: Parsed) -> float:
    assert found.expiry is not None
    return found.expiry.timestamp() * 1000


def test_binance_futures_agree_with_the_exchanges_own_definitions(recorded_sessions: Path) -> None:
    (body,) = answers(recorded_sessions / "cryptofeed_BINANCE_FUTURES.0.gz", "exchangeInfo")
    for said in body["symbols"]:
        dated = said["contractType"] not in ("PERPETUAL", "")
        found = read("binance-futures", said["symbol"], "future" if dated else "perpetual")
        assert (found.key.base, found.key.quote, found.settle) == (said["baseAsset"], said["quoteAsset"], said["marginAsset"])
        assert not dated or milliseconds(found) == said["deliveryDate"]
    assert len(body["symbols"]) > 100


def test_deribit_agrees_with_the_exchanges_own_definitions(recorded_sessions: Path) -> None:
    count = 0
    for body in answers(recorded_sessions / "cryptofeed_DERIBIT.0.gz", "get_instruments"):
        for said in body["result"]:
            kind = "perpetual" if said["settlement_period"] == "perpetual" else said["kind"]
            found = read("deribit", said["instrument_name"], kind)
            assert found.key.base == said["base_currency"]
            assert kind == "perpetual" or milliseconds(found) == said["expiration_timestamp"]
            if kind == "option":
                assert (float(found.key.strike), str(found.key.option_type).lower()) == (said["strike"], said["option_type"])
            count += 1
    assert count > 1000


# filters


def test_kinds_go_by_the_sources_names_and_by_those_of_keys() -> None:
    assert resolve_kinds(["spot", "SPOT_PAIR", "Perpetual", "OPTION"]) == {"spot", "perpetual", "option"}
    assert resolve_kinds([]) == frozenset()


@pytest.mark.parametrize(("word", "near"), [("perpetuals", "perpetual"), ("spot-pair", "spot_pair"), ("futures", "future")])
def test_an_unknown_kind_names_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        resolve_kinds([word])
    assert f"did you mean {near}?" in caught.value.hint
