"""Moments as people type them: a span back from now, a clock time, a day, or a time with its zone. One grammar for screens and verbs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from engine.clock import parse_day, parse_time
from engine.errors import UsageError

_SPAN = re.compile(r"-?((?:\d{1,9}[smhd])+)", re.ASCII)
_PART = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.](\d{1,6}))?)?(Z?)", re.ASCII | re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_moment(text: str, now: datetime, *, zone: tzinfo = UTC) -> datetime:
    """A moment as people type it.

    `30m`, `-10m`, `1h30m`, `3d` are spans back from `now`; `03:15`, `03:15:22` the latest such time that is not after `now`;
    `2024-05-01` a UTC day's first instant; `2024-05-01T06:00Z`, `2024-05-01 06:00+09:00` and the like themselves.

    Args:
        now: Aware.
        zone: Of a clock time; `03:15Z` is UTC whatever it is. A date with a time must name its zone.

    Raises:
        UsageError: if it is none, or lies before all days.
    """
    word = text.strip()
    hint = "write 30m, 2h, 3d, 03:15, 2024-05-01 or 2024-05-01T06:00Z"
    if found := _SPAN.fullmatch(word):
        try:
            return now - sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in _PART.findall(found[1])), timedelta())
        except OverflowError:
            raise UsageError(f"{text!r} is before all days", hint="write 30m, 2h or 3d") from None
    if found := _CLOCK.fullmatch(word):
        return _latest(found, now, UTC if found[5] else zone, text, hint)
    if "T" in word or ":" in word:
        return parse_time(word)
    try:
        return datetime.combine(parse_day(word, today=now.date()), time(), UTC)
    except UsageError:
        raise UsageError(f"{text!r} is no time", hint=hint) from None


def _latest(found: re.Match[str], now: datetime, zone: tzinfo, text: str, hint: str) -> datetime:
    clock = _clock(found, text, hint)
    moment = datetime.combine(now.astimezone(zone).date(), clock, zone)
    if moment > now:
        moment = datetime.combine(moment.date() - timedelta(days=1), clock, zone)
    return moment.astimezone(UTC)


def _clock(found: re.Match[str], text: str, hint: str) -> time:
    try:
        return time(int(found[1]), int(found[2]), int(found[3] or 0), int((found[4] or "0").ljust(6, "0")))
    except ValueError:
        raise UsageError(f"{text!r} is no time", hint=hint) from None
