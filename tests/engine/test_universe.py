"""Universes: files of symbol names, and what they mean at venues that all spell ids their own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalogue import Catalogue
from engine.errors import UsageError
from engine.spelling import nearest
from engine.universe import ExactId, Instrument, list_universes, load_universe, resolve, resolve_scope
from tests.engine.made_up_lake import catalogue, listing


def spot(venue: str, *symbols: str) -> Catalogue:
    return catalogue(*(listing(symbol) for symbol in symbols), venue=venue)


def perpetuals(venue: str, *symbols: str) -> Catalogue:
    return catalogue(*(listing(symbol, kind="perpetual") for symbol in symbols), venue=venue)


def test_tier1_is_twenty_spot_and_twenty_perpetual_against_usdt_and_tier2_adds_twenty_against_usd() -> None:
    first, second = (load_universe(name).members for name in ("tier1", "tier2"))
    assert [sum(isinstance(m, Instrument) and m.kind == kind for m in first) for kind in ("spot", "perpetual")] == [20, 20]
    assert {m.quote for m in first if isinstance(m, Instrument)} == {"USDT"}
    added = [member for member in second if member not in first]
    assert len(second) == 60
    assert all(isinstance(m, Instrument) and (m.kind, m.quote) == ("spot", "USD") for m in added)


@pytest.mark.parametrize(
    ("offered", "found"),
    [
        (spot("binance", "BTCUSDT", "BTCBUSD", "ETHUSDT"), {"BTCUSDT", "ETHUSDT"}),
        (spot("okex", "BTC-USDT", "BTC-EUR"), {"BTC-USDT"}),
        (perpetuals("binance-futures", "BTCUSDT", "BTCUSDC", "BTCDOMUSDT"), {"BTCUSDT"}),
        (perpetuals("okex-swap", "BTC-USDT-SWAP", "BTC-USD-SWAP"), {"BTC-USDT-SWAP"}),
        (perpetuals("bybit", "BTCUSDT", "BTCUSD", "BTCPERP"), {"BTCUSDT"}),
        (perpetuals("deribit", "BTC-PERPETUAL", "ETH-PERPETUAL", "BTC_USDC-PERPETUAL"), {"BTC-PERPETUAL", "ETH-PERPETUAL"}),
        (perpetuals("binance-delivery", "BTCUSD_PERP"), {"BTCUSD_PERP"}),
    ],
    ids=lambda value: value.venue if isinstance(value, Catalogue) else "",
)
def test_one_name_means_what_each_venue_calls_it(offered: Catalogue, found: set[str]) -> None:
    assert resolve(load_universe("tier1"), offered) == found


def test_spot_and_perpetual_of_the_same_spelling_are_told_apart_by_their_kind(tmp_path: Path) -> None:
    (tmp_path / "perps.txt").write_text("perpetual BTC/USDT\n")
    universe = load_universe("perps", folder=tmp_path)
    assert resolve(universe, spot("binance", "BTCUSDT")) == frozenset()
    assert resolve(universe, perpetuals("binance-futures", "BTCUSDT")) == {"BTCUSDT"}


def test_coins_listed_by_the_thousand_are_found(tmp_path: Path) -> None:
    (tmp_path / "dogs.txt").write_text("perpetual SHIB/USDT\n")
    universe = load_universe("dogs", folder=tmp_path)
    assert resolve(universe, perpetuals("binance-futures", "1000SHIBUSDT")) == {"1000SHIBUSDT"}
    assert resolve(universe, perpetuals("bybit", "SHIB1000USDT")) == {"SHIB1000USDT"}


def test_a_file_of_ones_own_may_name_ids_include_others_and_carry_comments(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("# mine\n\nspot btc/usdt  # lower case is fine\nid OPTIONS deribit\nid BTC-27DEC24\ninclude tier1\n")
    universe = load_universe("mine", folder=tmp_path)
    assert universe.members[:3] == (Instrument("spot", "BTC", "USDT"), ExactId("OPTIONS", "deribit"), ExactId("BTC-27DEC24"))
    assert len(universe.members) == 42
    assert resolve(universe, spot("deribit", "OPTIONS")) == {"OPTIONS"}
    assert resolve(universe, spot("okex-options", "OPTIONS")) == frozenset()


def test_a_file_of_ones_own_replaces_one_that_comes_with_tickdeck(tmp_path: Path) -> None:
    (tmp_path / "tier1.txt").write_text("spot BTC/USDT\n")
    assert len(load_universe("tier1", folder=tmp_path).members) == 1
    assert list_universes(tmp_path) == ("tier1", "tier2")


def test_an_unknown_universe_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_universe("teir1")
    assert caught.value.hint == "did you mean tier1?"


@pytest.mark.parametrize("name", ["../tier1", "/etc/passwd", "", "tier1.txt"])
def test_a_universe_is_a_name_and_never_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no universe"):
        load_universe(name, folder=tmp_path)


@pytest.mark.parametrize("line", ["BTCUSDT", "spot BTCUSDT", "spot BTC/USDT now", "id", "id a b c", "futures BTC/USDT"])
def test_a_line_that_names_nothing_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(f"# one\n{line}\n")
    with pytest.raises(UsageError, match=r"mine\.txt, line 2"):
        load_universe("mine", folder=tmp_path)


def test_a_circle_of_includes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("include b\n")
    (tmp_path / "b.txt").write_text("include a\n")
    with pytest.raises(UsageError, match="a -> b -> a"):
        load_universe("a", folder=tmp_path)


def test_no_symbols_and_no_universe_mean_everything() -> None:
    assert resolve_scope((), "", {"binance": spot("binance", "BTCUSDT")}) is None


def test_symbols_by_hand_add_to_a_universe() -> None:
    catalogues = {"binance": spot("binance", "BTCUSDT", "PEPEUSDT"), "okex": spot("okex", "BTC-USDT")}
    scope = resolve_scope(("PEPEUSDT",), "tier1", catalogues)
    assert scope is not None
    assert {venue: sorted(symbols) for venue, symbols in scope.items()} == {
        "binance": ["BTCUSDT", "PEPEUSDT"],
        "okex": ["BTC-USDT", "PEPEUSDT"],
    }


def test_a_universe_that_means_nothing_anywhere_is_refused() -> None:
    with pytest.raises(UsageError, match="lists anything of universe tier1"):
        resolve_scope((), "tier1", {"binance": spot("binance", "NEWUSDT")})


def test_the_nearest_word_ignores_case_and_copes_with_many_candidates() -> None:
    assert nearest("btcusdt", ["BTCUSDT", "ETHUSDT"], what="symbols") == "did you mean BTCUSDT?"
    many = [f"BTC-27DEC24-{strike}-C" for strike in range(20_000)]
    assert nearest("BTC-27DEC24-1999", many, what="symbols").startswith("did you mean BTC-27DEC24-1999")
    assert nearest("xxx", ["a", "b"], what="venues") == "known venues: a, b"
    assert nearest("xxx", [], what="venues") == "no venues are known yet"
