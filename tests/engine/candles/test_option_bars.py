"""The two figures of an options chain, computed again for every bar by loops over the rows so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_day import DAY, DAY_US, TIME

from engine.candles.making import read_option_figures
from engine.candles.option_bars import OptionFigures
from engine.candles.timeframes import BASE_BARS, BASE_US, base_bars_of

WEEK_US = 7 * 86_400_000_000
EXPIRIES = {"BTC": (3, 9, 30), "ETH": (7, 14)}
STRIKES = (50_000.0, 55_000.0, 60_000.0, 65_000.0)


@dataclass(frozen=True)
class Row:
    time: int
    symbol: str
    is_call: bool
    strike: float
    expiration: int
    underlying: float | None
    delta: float | None
    iv: float | None


def make_rows(seed: int, count: int) -> list[Row]:
    """Rows of two underlyings, several expiries, in the order of arrival; times step back now and then, cells are empty."""
    chance = np.random.default_rng(seed)
    times = np.sort(chance.integers(0, BASE_BARS * BASE_US, count)) + DAY_US
    late = chance.random(count) < 0.03
    times[late] -= chance.integers(0, 20_000_000, int(late.sum()))
    rows = []
    for time in times:
        base = str(chance.choice(list(EXPIRIES)))
        days, strike, right = int(chance.choice(EXPIRIES[base])), float(chance.choice(STRIKES)), str(chance.choice(["C", "P"]))
        known = chance.random(3) > 0.1
        delta = round(float(chance.random()), 4) * (1 if right == "C" else -1)
        rows.append(
            Row(
                int(time),
                f"{base}-{days}-{strike:.0f}-{right}",
                right == "C",
                strike,
                DAY_US + days * 86_400_000_000 + 8 * 3_600_000_000,
                round(float(58_000 + 4_000 * chance.random()), 1) if known[0] else None,
                delta if known[1] else None,
                round(float(40 + 20 * chance.random()), 2) if known[2] else None,
            )
        )
    return rows


def write(rows: list[Row], path: Path) -> Path:
    table = pa.table(
        {
            "timestamp": pa.array([row.time for row in rows]).view(TIME),
            "local_timestamp": pa.array([row.time for row in rows]).view(TIME),
            "symbol": pa.array([row.symbol for row in rows]).dictionary_encode(),
            "type": pa.array(["call" if row.is_call else "put" for row in rows]).dictionary_encode(),
            "strike_price": [row.strike for row in rows],
            "expiration": pa.array([row.expiration for row in rows]).view(TIME),
            "underlying_price": pa.array([row.underlying for row in rows], pa.float64()),
            "delta": pa.array([row.delta for row in rows], pa.float64()),
            "mark_iv": pa.array([row.iv for row in rows], pa.float64()),
        }
    )
    pq.write_table(table, path, row_group_size=173)
    return path


def figures_at(rows: list[Row], base: str, bar: int) -> tuple[float | None, float | None]:
    """(skew, at-the-money volatility) at the end of a bar, from the rows whose time lies before that."""
    end = DAY_US + (bar + 1) * BASE_US
    so_far = sorted((row for row in rows if row.symbol.startswith(base) and row.time < end), key=lambda row: row.time)
    ahead = {row.expiration for row in so_far if row.expiration >= end + WEEK_US}
    if not ahead:
        return None, None
    chosen = [row for row in so_far if row.expiration == min(ahead)]
    iv = {row.symbol: row.iv for row in chosen if row.iv is not None}
    delta = {row.symbol: row.delta for row in chosen if row.delta is not None}
    strike, calls = {row.symbol: row.strike for row in chosen}, {row.symbol for row in chosen if row.is_call}
    prices = [row.underlying for row in chosen if row.underlying is not None]
    both = [symbol for symbol in iv if symbol in delta]
    put = min((s for s in both if s not in calls), key=lambda s: abs(delta[s] + 0.25), default=None)
    call = min((s for s in both if s in calls), key=lambda s: abs(delta[s] - 0.25), default=None)
    skew = iv[put] / iv[call] if put and call else None
    if not iv or not prices:
        return skew, None
    nearest = min({strike[symbol] for symbol in iv}, key=lambda at: (abs(at - prices[-1]), at))
    found = [iv[symbol] for symbol in iv if strike[symbol] == nearest]
    return skew, sum(found) / len(found)


def read(rows: list[Row], tmp_path: Path) -> dict[str, OptionFigures]:
    return read_option_figures(
        write(rows, tmp_path / "options.parquet"), day=DAY, clock="exchange", base_of=lambda symbol: symbol.split("-")[0]
    )


@pytest.mark.parametrize("seed", range(2))
def test_the_figures_are_those_of_the_rows_so_far(seed, tmp_path):
    # In the order of time: a row that comes after its bar was closed counts in the bar that is open, and only there.
    rows = sorted(make_rows(seed, 900), key=lambda row: row.time)
    found = read(rows, tmp_path)
    assert set(found) == set(EXPIRIES)
    seen = 0
    for bar in range(7, BASE_BARS, 97):
        for base, figures in found.items():
            for value, expected in zip((figures.skew[bar], figures.at_the_money[bar]), figures_at(rows, base, bar), strict=True):
                assert (None if np.isnan(value) else value) == (None if expected is None else pytest.approx(expected, rel=1e-12)), (
                    base,
                    bar,
                )
                seen += expected is not None
    assert seen > 100


def test_a_longer_bar_says_what_is_known_at_its_end(tmp_path):
    figures = read(make_rows(5, 400), tmp_path)["BTC"]
    for timeframe in ("5m", "4h"):
        width = base_bars_of(timeframe)
        columns = figures.columns(timeframe)
        assert np.array_equal(columns["atm_mark_iv"], figures.at_the_money[width - 1 :: width], equal_nan=True)


def test_late_rows_of_a_chain_lose_nothing(tmp_path):
    rows = make_rows(8, 300)
    last = read(rows, tmp_path)["ETH"]
    by_arrival = [row for row in rows if row.symbol.startswith("ETH")]
    assert figures_at(by_arrival, "ETH", BASE_BARS - 1)[0] is not None
    assert not np.isnan(last.skew[-1])
