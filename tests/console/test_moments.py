"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from console.moments import parse_moment
from engine.errors import UsageError

NOW = datetime(2024, 5, 23, 5, 36, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("-10m", NOW - timedelta(minutes=10)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("3d", NOW - timedelta(days=3)),
        ("03:15", datetime(2024, 5, 23, 3, 15, tzinfo=UTC)),
        ("03:15:22.5", datetime(2024, 5, 23, 3, 15, 22, 500_000, tzinfo=UTC)),
        ("23:59", datetime(2024, 5, 22, 23, 59, tzinfo=UTC)),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("yesterday", datetime(2024, 5, 22, tzinfo=UTC)),
        ("2024-05-01T03:15Z", datetime(2024, 5, 1, 3, 15, tzinfo=UTC)),
        ("2024-05-01T03:15+09:00", datetime(2024, 4, 30, 18, 15, tzinfo=UTC)),
    ],
)
def test_spans_clock_times_days_and_times_with_a_zone_are_moments(text: str, expected: datetime) -> None:
    assert parse_moment(text, NOW) == expected
    assert parse_moment(text, NOW).utcoffset() == timedelta(0)


def test_a_clock_time_is_of_the_zone_that_times_are_shown_in_unless_it_says_its_own() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert parse_moment("12:15", NOW, zone=tokyo) == datetime(2024, 5, 23, 3, 15, tzinfo=UTC)
    assert parse_moment("14:40", NOW, zone=tokyo) == datetime(2024, 5, 22, 5, 40, tzinfo=UTC)
    assert parse_moment("03:15Z", NOW, zone=tokyo) == datetime(2024, 5, 23, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "", "25:00", "03:61", "2024-05-01T03:15", "2024-13-01", "999999999d", "10 m", "-"])
def test_what_is_no_moment_or_names_no_zone_is_refused_with_a_way_to_write_one(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_moment(text, NOW)
    assert refused.value.hint
