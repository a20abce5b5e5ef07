"""Symbols by their beginnings, and what no venue ever listed."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from console.symbol_index import SymbolIndex, index_symbols
from engine.model import DayRange
from tests.console.recorded import catalogues

MAY = DayRange(date(2024, 5, 1), date(2024, 5, 2))
names = st.lists(st.text("ABab-", min_size=1, max_size=6), unique=True)


@given(names, st.text("ABab-", max_size=3))
def test_what_begins_so_is_found_whatever_the_case(symbols: list[str], beginning: str) -> None:
    found = SymbolIndex(symbols).starting_with(beginning)
    assert sorted(found) == sorted(name for name in symbols if name.casefold().startswith(beginning.casefold()))


def test_the_symbols_of_the_standing_universes_come_first_then_short_ones() -> None:
    index = SymbolIndex(["BTCAUD", "BTC-27DEC24", "BTCUSDT"], preferred=["BTCUSDT"])
    assert index.starting_with("btc") == ["BTCUSDT", "BTCAUD", "BTC-27DEC24"]


def test_only_what_the_types_and_days_have_is_offered_and_only_what_was_never_listed_is_a_mistake() -> None:
    offered = catalogues()
    index = index_symbols({"binance": offered["binance"]}, ("trades",), MAY)
    assert "BTCUSDT" in index.starting_with("BTC")
    assert index.starting_with("NEW") == []
    assert not index.is_unknown("NEWUSDT", ["binance"])
    assert index.is_unknown("BTCUSDX", ["binance"])
    assert index.nearest("BTCUSDX") == "did you mean BTCUSDT?"
    assert not index.is_unknown("BTCUSDX", ["binance", "deribit"])
    assert not SymbolIndex().is_unknown("BTCUSDX", ["binance"])
