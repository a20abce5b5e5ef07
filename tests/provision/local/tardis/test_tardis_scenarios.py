"""The scenarios that come with Tickdeck: their totals, their accidents, and what a wrong file is told."""

from __future__ import annotations

import gzip
import tomllib
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from provision.local.tardis.datafile import DataFile
from provision.local.tardis.listings import Listings
from provision.local.tardis.loading import SCENARIO_FOLDER, ScenarioError, load_scenario, read_scenario
from provision.local.tardis.traps import TRAPS
from provision.local.tardis.truth import ScenarioFile, cell_states, scenario_files

DEMO = load_scenario("demo")
DAYS = [DEMO.first_day + timedelta(days=n) for n in range(3)]
REQUEST = [file for file in scenario_files(DEMO, DAYS) if file.venue != "okex-swap"]


def _one(venue: str, data_type: str, day: int, symbol: str) -> ScenarioFile:
    key = (venue, data_type, date(2024, 5, day), symbol)
    return next(file for file in REQUEST if (file.venue, file.data_type, file.day, file.symbol) == key)


def test_the_demo_is_some_two_hundred_files_of_more_than_five_million_rows() -> None:
    assert DAYS[-1] == DEMO.last_day
    assert 200 <= len(REQUEST) <= 230
    assert 5_200_000 <= sum(file.rows for file in REQUEST) <= 5_800_000
    sizes = sorted((file.rows for file in REQUEST), reverse=True)
    assert sizes[len(sizes) // 2] < 5_000 < 1_000_000 < sizes[0]


def test_the_demos_accidents_end_as_planned() -> None:
    assert Counter(file.expect for file in REQUEST) == {
        "ok": 208,
        "empty": 2,
        "quarantined": 1,
        "failed": 1,
        "not_found": 1,
    }
    states = {cell: state for cell, state in cell_states(REQUEST).items() if state != "complete"}
    first, second, third = DAYS
    assert states == {
        ("binance", "trades", first): "thin",
        ("binance", "book_snapshot_5", first): "thin",
        ("binance", "trades", second): "thin",
        ("binance-futures", "book_snapshot_5", second): "partial",
        ("deribit", "options_chain", second): "failed",
        ("binance", "book_snapshot_5", third): "partial",
    }
    assert _one("binance", "trades", 2, "MATICUSDT").flags[-1] == "empty_beside_rows"
    assert "empty_beside_rows" not in _one("binance-futures", "liquidations", 2, "LINKUSDT").flags
    assert all(file.why for file in REQUEST if file.trap)
    assert _one("binance", "trades", 2, "ETHUSDT").faults == ("burst_429", "truncated_body")


def test_symbols_are_expected_from_their_listing_to_their_delisting() -> None:
    def days_of(symbol: str) -> list[int]:
        return [file.day.day for file in REQUEST if file.symbol == symbol and file.data_type == "trades"]

    assert days_of("REZUSDT") == [2, 3]
    assert days_of("WAVESUSDT") == [1, 2]


def test_the_day_after_is_not_ready_and_the_history_is_there_and_smaller() -> None:
    later = scenario_files(DEMO, [date(2024, 5, 4)])
    assert {file.expect for file in later} == {"not_ready"}
    before = scenario_files(DEMO, [date(2023, 11, 15)])
    assert 0 < sum(file.rows for file in before) < 600_000
    assert any(file.symbol == "OPTIONS" and file.rows for file in before)
    assert not scenario_files(DEMO, [date(2019, 3, 29)])


def test_what_the_plan_does_not_cover_is_not_entitled_but_on_free_days() -> None:
    files = [file for file in scenario_files(DEMO, DAYS) if file.venue == "okex-swap"]
    assert {(file.day.day, file.expect) for file in files} == {(1, "ok"), (2, "not_entitled"), (3, "not_entitled")}


def test_groups_and_single_options_are_never_expected() -> None:
    symbols = {file.symbol for file in REQUEST}
    assert symbols.isdisjoint({"SPOT", "PERPETUALS", "FUTURES"})
    assert [file.symbol for file in REQUEST if file.data_type == "options_chain"] == ["OPTIONS"] * 3


def test_the_largest_file_of_the_demo_is_large_and_has_its_rows(tmp_path: Path) -> None:
    largest = max(REQUEST, key=lambda file: file.rows)
    assert (largest.venue, largest.symbol) == ("binance-futures", "BTCUSDT")
    listings = Listings(DEMO)
    target = tmp_path / "largest.csv.gz"
    DataFile(listings, listings.venue(largest.venue)[largest.symbol], "trades", largest.day, None).write(target)
    assert target.stat().st_size >= 17_000_000
    with gzip.open(target) as text:
        lines = sum(piece.count(b"\n") for piece in iter(lambda: text.read(1 << 20), b""))
    assert lines == largest.rows + 1


def test_the_bytes_of_the_demo_stay_within_what_a_laptop_streams_in_a_minute(tmp_path: Path) -> None:
    listings = Listings(DEMO)
    total = 0.0
    for venue, data_type, symbol in (
        ("binance-futures", "trades", "XRPUSDT"),
        ("binance-futures", "book_snapshot_5", "XRPUSDT"),
        ("deribit", "derivative_ticker", "BTC-PERPETUAL"),
        ("binance-futures", "liquidations", "BTCUSDT"),
        ("deribit", "options_chain", "OPTIONS"),
    ):
        file = DataFile(listings, listings.venue(venue)[symbol], data_type, date(2024, 5, 3), None)
        file.write(tmp_path / "sample")
        width = len(gzip.decompress((tmp_path / "sample").read_bytes())) / file.rows()
        total += width * sum(entry.rows for entry in REQUEST if entry.data_type == data_type)
    assert 400e6 < total < 550e6


def _tiny() -> dict[str, Any]:
    return tomllib.loads((SCENARIO_FOLDER / "tiny.toml").read_text())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sede": 3}, "unknown key 'sede'; did you mean 'seed'?"),
        ({"seed": "three"}, "Expected `int`"),
        ({"faults": [{"fault": "stal", "settings": {"seconds": 3}}]}, "unknown fault 'stal'"),
        ({"faults": [{"fault": "stall"}]}, "needs seconds"),
    ],
)
def test_a_wrong_scenario_is_told_what_and_where(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match="here") as raised:
        read_scenario(_tiny() | change, "here")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("kind", "emty", "did you mean 'empty'?"),
        ("symbol", "BTCUSD", "did you mean 'BTCUSDT'?"),
        ("venue", "binanse", "did you mean 'binance'?"),
        ("data_type", "liquidations", "known: book_snapshot_5, trades"),
        ("wy", "x", "did you mean 'why'?"),
    ],
)
def test_a_wrong_trap_names_the_nearest_right_word(key: str, value: str, said: str) -> None:
    trap = {
        "kind": "empty",
        "venue": "binance",
        "data_type": "trades",
        "day": date(2024, 5, 1),
        "symbol": "BTCUSDT",
        "why": "a test",
    }
    with pytest.raises(ScenarioError) as raised:
        read_scenario(_tiny() | {"traps": [trap | {key: value}]}, "here")
    assert said in str(raised.value)


def test_a_wrong_key_deep_inside_is_named_with_its_place() -> None:
    data = _tiny()
    data["venues"][1]["symbols"][0]["tik"] = 0.5
    with pytest.raises(ScenarioError, match=r"venues\[1\]: symbols\[0\]: unknown key 'tik'; did you mean 'tick'"):
        read_scenario(data, "here")


def test_an_unknown_scenario_is_told_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="demo, drill, tiny, traps"):
        load_scenario("dmeo")


def test_an_outcome_in_the_scenario_overrules_that_of_the_kind() -> None:
    trap = {
        "kind": "html",
        "venue": "binance",
        "data_type": "trades",
        "day": date(2024, 5, 1),
        "symbol": "BTCUSDT",
        "why": "a test",
    }
    for given, expected in ((None, TRAPS["html"].expect), ("failed", "failed")):
        planted = trap if given is None else trap | {"expect": given}
        scenario = read_scenario(_tiny() | {"traps": [planted]}, "here")
        files = scenario_files(scenario, [date(2024, 5, 1)])
        assert next(file.expect for file in files if file.trap == "html") == expected


def test_a_scenario_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text((SCENARIO_FOLDER / "tiny.toml").read_text().replace("seed = 7", "seed = 8"))
    assert load_scenario(own).seed == 8
    own.write_text("name = ")
    with pytest.raises(ScenarioError, match=r"own\.toml"):
        load_scenario(own)
