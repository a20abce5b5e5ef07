"""Medians are exact however the values come, wherever they are kept and however many there are."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.candles import medians
from engine.candles.bars import group
from engine.candles.timeframes import BASE_US, TIMEFRAMES, base_bars_of

WIDE = st.integers(-(2**62), 2**62)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=200), st.booleans())
def test_a_median_is_what_the_standard_library_says(values, counted):
    kind = np.array(values, np.int32)
    limit = 0 if counted else len(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medians, "SELECT_AT_ONCE", limit)
        assert medians.median(kind) == statistics.median(values)


@given(st.lists(WIDE, min_size=1, max_size=60), st.data())
def test_the_value_of_a_rank_is_found_without_sorting(values, data):
    rank = data.draw(st.integers(0, len(values) - 1))
    assert medians.select(np.array(values, np.int64), rank) == sorted(values)[rank]


@pytest.mark.parametrize("kept", [medians.IN_MEMORY, 0])
def test_late_rows_and_wide_values_count_in_the_bar_of_their_time(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(medians, "IN_MEMORY", kept)
    chance = np.random.default_rng(3)
    times = chance.integers(0, 40 * BASE_US, 900)
    values = chance.integers(-50_000, 50_000, 900)
    values[700] = 10**12
    held = medians.Values(900, tmp_path, "delays")
    for start in range(0, 900, 90):
        order = np.argsort(times[start : start + 90], kind="stable") + start
        held.add(values[order], group(times[order], 0))
    found = held.medians(TIMEFRAMES)
    for name in TIMEFRAMES:
        bars = times // (BASE_US * base_bars_of(name))
        for bar in np.unique(bars):
            assert found[name][bar] == statistics.median(values[bars == bar].tolist())
        assert np.isnan(found[name][np.setdiff1d(np.arange(len(found[name])), bars)]).all()
