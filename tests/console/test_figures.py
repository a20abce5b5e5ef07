"""Figures: the same size, time and share is written the same way everywhere, and foreign text is harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from console.widgets.figures import (
    bar,
    fit,
    format_age,
    format_bytes,
    format_duration,
    format_money,
    format_percent,
    format_rate,
    joined,
    one_line,
    plural,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (412, "412 B"), (999.6, "1.00 kB"), (3_140_000, "3.14 MB"), (31e9, "31.0 GB"), (999_600, "1.00 MB"), (2e15, "2.00 PB")],
)  # fmt: skip
def test_sizes_have_three_digits(count: float | None, text: str) -> None:
    assert format_bytes(count) == text


def test_rates_and_money_and_counts() -> None:
    assert format_rate(12.4e6) == "12.4 MB/s"
    assert format_rate(None) == "—"
    assert format_money(0.4) == "$0.40"
    assert format_money(1204.2) == "$1,204"
    assert plural(1, "hole") == "1 hole"
    assert plural(14013, "hole") == "14,013 holes"
    assert plural(2, "day of grace", "days of grace") == "2 days of grace"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"), (0, "0 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (3600, "1 h 00 m"), (18240, "5 h 04 m"), (212400, "2 d 11 h"),
        (None, "—"), (float("inf"), "—"),
    ],
)  # fmt: skip
def test_durations_have_their_two_largest_units(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_ages_have_one_unit() -> None:
    assert [format_age(age) for age in (4, 59.9, 190, 7200, 1e6, None)] == ["4 s", "59 s", "3 m", "2 h", "11 d", "—"]


def test_a_hundred_percent_means_all() -> None:
    assert format_percent(999, 1000) == "99 %"
    assert format_percent(1000, 1000) == "100 %"
    assert format_percent(3, 0) == "—"


@given(st.floats(allow_nan=True), st.integers(0, 40))
def test_a_bar_is_always_as_wide_as_asked_for(fraction: float, width: int) -> None:
    filled, rest = bar(fraction, width)
    assert len(filled + rest) == width


def test_a_bar_is_empty_only_at_nothing_and_full_only_at_all() -> None:
    assert bar(0, 10)[0] == ""
    assert bar(0.0001, 10)[0] == "▏"
    assert bar(0.9999, 10)[0] == "█" * 9 + "▉"
    assert bar(1, 10)[0] == "█" * 10
    assert bar(0.5, 1)[0] == "▌"


@given(st.text(max_size=30), st.integers(0, 20), st.booleans(), st.booleans())
def test_fitted_text_has_exactly_the_cells_it_is_given(text: str, width: int, right: bool, keep_end: bool) -> None:
    assert cell_len(fit(one_line(text), width, right=right, keep_end=keep_end)) == width


def test_a_long_name_may_keep_its_end() -> None:
    assert fit("market-data-shard-r7-17", 10, keep_end=True) == "…ard-r7-17"
    assert fit("market-data-shard-r7-17", 10) == "market-da…"


@given(st.text())
def test_foreign_text_cannot_steer_the_terminal(text: str) -> None:
    assert all(ord(c) >= 0x20 and not 0x7F <= ord(c) < 0xA0 and c not in "\u202e\u2066\u200b\ufeff" for c in one_line(text))


def test_an_escape_sequence_is_shown_and_not_obeyed() -> None:
    assert one_line("\x1b]52;c;evil\x07\nnext\tone") == "␛]52;c;evil·⏎next one"


def test_parts_are_left_out_from_the_end_when_there_is_no_room() -> None:
    assert joined(["one", "two", "three"], width=9) == "one · two"
