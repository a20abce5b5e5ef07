"""Severity over time: counts at any width are the counts of the lines, and memory has an end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.log_histogram import LEVELS, MOST_MINUTES, MOST_SECONDS, WIDTHS, Histogram

LINES = st.lists(st.tuples(st.integers(1_000_000, 1_050_000), st.integers(0, LEVELS - 1)), max_size=80)


@given(LINES, st.sampled_from(WIDTHS), st.integers(1, 60))
def test_the_bars_hold_every_line_whatever_their_width(lines: list[tuple[int, int]], width: int, columns: int) -> None:
    counts = Histogram()
    for line in lines:
        counts.add([line])
    first, last = counts.span()
    start = first // width * width
    rows = counts.buckets(start, width, (last - start) // width + 1)
    expected = [[0] * LEVELS for _ in rows]
    for second, level in lines:
        expected[(second - start) // width][level] += 1
    assert rows == expected or not lines
    assert bool(counts) == bool(lines)
    assert counts.total == [sum(level == each for _, level in lines) for each in range(LEVELS)]
    fitting = counts.fitting_width(columns)
    assert fitting == WIDTHS[-1] or last // fitting - first // fitting < columns


def test_old_seconds_become_minutes_and_old_minutes_go_and_no_newer_line_is_lost() -> None:
    counts = Histogram()
    minutes = 3 * MOST_MINUTES
    for begin in range(0, minutes * 60, 600_000):
        counts.add((second, 2) for second in range(begin, min(begin + 600_000, minutes * 60), 30))
    first, last = counts.span()
    assert counts.total[2] == minutes * 2
    assert last == minutes * 60 - 30
    assert (MOST_MINUTES - 1) * 60 <= last - first <= 2 * MOST_MINUTES * 60
    newest = counts.buckets(last - MOST_SECONDS, 1, MOST_SECONDS + 1)
    assert sum(row[2] for row in newest) == MOST_SECONDS // 30 + 1
    hour = counts.buckets(last // 3600 * 3600 - 3600 * 100, 3600, 100)
    assert {row[2] for row in hour} == {120}
    counts.clear()
    assert (bool(counts), counts.span()) == (False, (0, 0))
