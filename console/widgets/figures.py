"""Figures and foreign text as people read them: sizes, durations, bars, single-line messages.

One module, so that 12.4 GB is written the same way in a table, a sentence and a log. What comes from outside (log
messages, error texts) passes through `one_line` before it reaches a terminal: it may hold escape sequences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len, set_cell_size

UNKNOWN: Final = "—"
"""Shown where a figure is not known; never 0."""

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]")
_VISIBLE = {"\n": "⏎", "\r": "", "\t": " ", "\x1b": "␛"}


def one_line(text: str) -> str:
    """`text` with control characters made harmless: nothing in it can move the cursor, colour or reorder the screen."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: _VISIBLE.get(match[0], "·"), text)


def fit(text: str, width: int, *, right: bool = False, keep_end: bool = False) -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis.

    Args:
        right: Align to the right.
        keep_end: Cut the beginning, for names whose end tells them apart.
    """
    if width <= 0:
        return ""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        if not keep_end:
            return set_cell_size(text, width - 1) + "…"
        tail = text[-(width - 1) :] if width > 1 else ""
        while cell_len(tail) > width - 1:
            tail = tail[1:]
        return "…" + tail + " " * (width - 1 - cell_len(tail))
    return " " * (width - length) + text if right else text + " " * (width - length)


def format_bytes(count: float | None) -> str:
    """Decimal units, three digits: `412 B`, `3.14 MB`, `31.0 GB`."""
    if count is None or not math.isfinite(count):
        return UNKNOWN
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        # 999.5 would print as "1000": the next unit says it shorter.
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{_three_digits(value)} {unit}"
        value /= 1000
    return f"{_three_digits(value)} PB"


def format_rate(bytes_per_second: float | None) -> str:
    """`12.4 MB/s`."""
    return UNKNOWN if bytes_per_second is None else f"{format_bytes(bytes_per_second)}/s"


def format_count(count: float) -> str:
    """Thousands apart: `14,013`."""
    return f"{count:,.0f}"


def format_duration(seconds: float | None) -> str:
    """The two largest units: `8 s`, `3 m 20 s`, `5 h 04 m`, `2 d 11 h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def format_age(seconds: float | None) -> str:
    """The largest unit only: `4 s`, `3 m`, `5 h`, `12 d`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def format_moment(moment: datetime | None) -> str:
    """A time in full, UTC, whole seconds: `2024-05-23 05:36:12 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else UNKNOWN


def format_money(dollars: float | None) -> str:
    """`$0.40`, `$1,204`; cents only below 100 dollars."""
    if dollars is None or not math.isfinite(dollars):
        return UNKNOWN
    return f"${dollars:,.2f}" if abs(dollars) < 100 else f"${dollars:,.0f}"


def format_percent(done: float, total: float) -> str:
    """Rounded down, so that 100 % means all of it: `99 %` for 999 of 1000."""
    return UNKNOWN if total <= 0 else f"{math.floor(100 * min(done, total) / total)} %"


def bar(fraction: float, width: int) -> tuple[str, str]:
    """The filled part of a bar in eighths of a cell, and the blank that completes it to `width` cells."""
    if width <= 0:
        return "", ""
    eighths = round(max(0.0, min(1.0, fraction if math.isfinite(fraction) else 0.0)) * width * 8)
    # Neither "nothing yet" nor "all done" may be a matter of rounding.
    if fraction > 0:
        eighths = max(1, eighths)
    if fraction < 1:
        eighths = min(width * 8 - 1, eighths)
    filled = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return filled, " " * (width - len(filled))


def sparkline(values: Sequence[float], width: int) -> str:
    """The course of the last `width` values, one cell each, from nothing to their largest; zero is a line at the foot."""
    shown = list(values)[-width:]
    largest = max(shown, default=0.0)
    steps = "▁▂▃▄▅▆▇█"
    return "".join(steps[0] if value <= 0 or largest <= 0 else steps[max(1, round(value / largest * 7))] for value in shown)


def plural(count: int, noun: str, more: str = "") -> str:
    """`1 hole`, `41 holes`."""
    return f"{format_count(count)} {noun if count == 1 else more or noun + 's'}"


def joined(parts: list[str], separator: str = " · ", *, width: int, measure: Callable[[str], int] = cell_len) -> str:
    """As many of `parts` as fit into `width` cells, first come first."""
    text = ""
    for part in parts:
        longer = f"{text}{separator}{part}" if text else part
        if measure(longer) > width:
            break
        text = longer
    return text


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
