"""Time as the engine sees it: always UTC, and replaceable, so that a test can move it."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from engine.errors import UsageError
from engine.model import require_aware

Clock = Callable[[], datetime]
"""Returns the current moment as an aware datetime in UTC."""


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


monotonic = time.monotonic

_BACK = re.compile(r"(\d{1,4})d")


def parse_day(text: str, *, today: date) -> date:
    """Read a day: `2024-05-01`, `today`, `yesterday`, or `7d` for seven days before today (UTC).

    `latest` is the newest day that is over, yesterday: the one that a daily job waits for.

    Raises:
        UsageError: naming the text, with the forms that work.
    """
    word = text.strip().lower()
    if word == "today":
        return today
    if word in ("yesterday", "latest"):
        return today - timedelta(days=1)
    if match := _BACK.fullmatch(word):
        return today - timedelta(days=int(match[1]))
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word, re.ASCII):
        try:
            return date.fromisoformat(word)
        except ValueError as error:
            raise UsageError(f"{text!r} is not a day", hint=_why_not(word, error)) from None
    raise UsageError(f"{text!r} is not a day", hint="use YYYY-MM-DD, today, yesterday, latest or 7d")


def _why_not(word: str, error: ValueError) -> str:
    year, month = int(word[:4]), int(word[5:7])
    if year and 1 <= month <= 12:
        return f"{word[:7]} has {calendar.monthrange(year, month)[1]} days"
    return str(error)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and a Z: `2024-05-01T06:00:00.000000Z`; sorts as text.

    Raises:
        UsageError: if `moment` has no zone.
    """
    return require_aware(moment).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def format_moment(moment: datetime) -> str:
    """As a person types it, to the minute where that is all there is: `2024-05-02T06:00Z`. `parse_time` reads it back.

    Raises:
        UsageError: if `moment` has no zone.
    """
    moment = require_aware(moment)
    return format_time(moment) if moment.second or moment.microsecond else f"{format_time(moment)[:16]}Z"


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`; also reads what Google and Tardis write.

    Raises:
        UsageError: if the text is no time, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", hint="use 2024-05-01T06:00:00Z") from None
    if moment.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone", hint="end it with Z")
    return moment.astimezone(UTC)


_CLOCK_TIME = re.compile(r"(\d{1,2}):(\d{2})(?:\s*(?:UTC|Z))?", re.ASCII | re.IGNORECASE)
_SPAN = re.compile(r"(?:(\d{1,4})\s*d)?\s*(?:(\d{1,4})\s*h)?\s*(?:(\d{1,5})\s*m(?:in)?)?", re.ASCII | re.IGNORECASE)


def parse_deadline(text: str, *, now: datetime) -> datetime:
    """A moment that work should end by: `06:00` (the next such hour, UTC), `4h`, `1h30m`, or `2024-05-02T06:00Z`; `by` may stand before it.

    A length of time counts from `now`, up to the next whole minute.

    Raises:
        UsageError: naming the text, with the forms that work, or if the moment has passed.
    """
    now = require_aware(now).astimezone(UTC)
    word = re.sub(r"^(by|in)\s+", "", text.strip(), flags=re.IGNORECASE)
    forms = "use 06:00, 4h, 1h30m or 2024-05-02T06:00Z"
    if match := _CLOCK_TIME.fullmatch(word):
        hour, minute = int(match[1]), int(match[2])
        if hour > 23 or minute > 59:
            raise UsageError(f"{text!r} is no time of day", hint=forms)
        moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return moment if moment > now else moment + timedelta(days=1)
    if word and (match := _SPAN.fullmatch(word)):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        if not days + hours + minutes:
            raise UsageError(f"{text!r} leaves no time", hint=forms)
        moment = now + timedelta(days=days, hours=hours, minutes=minutes)
        whole = moment.replace(second=0, microsecond=0)
        return whole if whole == moment else whole + timedelta(minutes=1)
    try:
        moment = parse_time(word)
    except UsageError as error:
        raise UsageError(str(error), hint=error.hint if "zone" in str(error) else forms) from None
    if moment <= now:
        raise UsageError(f"{text!r} has passed", hint="give a later one")
    return moment


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?")
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def parse_bytes(text: str) -> int:
    """A size as people write it: `500GB`, `1.5 TB`, `64MiB`, `1000000`.

    Raises:
        UsageError: naming the text.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a size", hint="use 500GB, 64MiB or a number of bytes")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].replace("K", "k")])


def format_seconds(seconds: float) -> str:
    """A duration for people: `8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_bytes(count: float) -> str:
    """A size for people, decimal units: `12.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
