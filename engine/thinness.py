"""When a cell that has everything still holds too little: the band, the implausibly empty symbol, the venue's incident.

A source that lost half a day, or that answers a renamed symbol with the same 20 bytes as a quiet day, leaves no failed file
behind. The only witness is the neighbourhood, so this judges one venue and data type over all its days at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from engine.expectation import Expected

GOOD_DAYS = 28
"""How many of the nearest good days make the band."""

ENOUGH_DAYS = 7
"""With fewer good days nothing is said."""

OLDEST_DAYS = 90
"""A good day further away in the calendar says nothing about this one."""

SPREADS = 4 * 1.4826
"""Median absolute deviations below the median: four standard deviations of a normal distribution."""

ROWS_SHARE = 0.5
"""Rows must also be below this share of the median: markets calm down, they do not halve within their usual spread."""

MINUTES_SHARE = 0.9
"""Covered minutes hardly vary, so here a tenth is much: half a day missing is 720 of 1440 minutes."""

CHURN_SHARE = 0.1
"""Days whose symbols differ by this share or more are not compared by rows."""

NEIGHBOUR_DAYS = 28
"""Calendar days within which a day with rows makes an empty one implausible."""

HABIT = 3
"""Separate empty stretches from which on a symbol counts as quiet by habit: then an empty day is plausible."""

EVENT_TYPES = frozenset({"liquidations"})
"""Any number of rows is plausible, none included."""

QUIET_TYPES = EVENT_TYPES | {"options_chain"}
"""An empty day is normal."""

QUIET_KINDS = frozenset({"option", "combo"})
"""Symbols that may go without a trade for days in any data type."""


class DayFigures(msgspec.Struct, frozen=True):
    """What a cell with nothing missing holds."""

    day: date
    expected: Expected
    rows: int
    minutes: int
    """Fewest covered minutes among the files with rows; 0 if it is not known."""
    empty_symbols: tuple[str, ...] = ()
    partial: frozenset[str] = frozenset()
    """Symbols that were listed for a part of the day only."""
    incident: str = ""
    """What the venue's incident report says, or empty."""
    has_waived: bool = False
    """Whether somebody waived a file of it: then fewer rows are no surprise."""
    of_whole_cell: bool = False


def judge(data_type: str, figures: Sequence[DayFigures], kinds: Mapping[str, str]) -> dict[date, tuple[str, ...]]:
    """Reasons for which days of one venue and data type are thin; days without a reason are left out.

    Args:
        data_type: decides which rules apply.
        figures: cells with nothing missing, in the order of days.
        kinds: symbol -> kind, as the catalogue says.
    """
    reasons: dict[date, list[str]] = {}
    most_rows, most_minutes = _most_around([today.rows for today in figures]), _most_around([today.minutes for today in figures])
    for place, today in enumerate(figures):
        is_low = today.rows < ROWS_SHARE * most_rows[place] or today.minutes < MINUTES_SHARE * most_minutes[place]
        if is_low and data_type not in EVENT_TYPES and (today.rows or data_type not in QUIET_TYPES):
            for text in _below_band(figures, place):
                reasons.setdefault(today.day, []).append(text)
    for day, symbols in _implausibly_empty(data_type, figures, kinds).items():
        reasons.setdefault(day, []).append(f"empty, but with rows on neighbouring days: {few(symbols)}")
    for today in figures:
        if today.incident:
            reasons.setdefault(today.day, []).append(f"venue incident: {today.incident}")
    return {day: tuple(texts) for day, texts in reasons.items()}


def below_band(value: int, baseline: Sequence[int], share: float) -> int:
    """The median of `baseline` if `value` is far below it, else 0.

    Far is both: below `share` of the median, and more than four robust standard deviations under it. Fewer than seven days prove
    nothing.
    """
    if len(baseline) < ENOUGH_DAYS:
        return 0
    median = _median(sorted(baseline))
    if value >= share * median:
        return 0
    spread = _median(sorted(abs(other - median) for other in baseline))
    return round(median) if value < median - SPREADS * spread else 0


def few(symbols: Sequence[str], most: int = 5) -> str:
    """Names for a sentence: `A, B, C and 12 more`."""
    shown = ", ".join(symbols[:most])
    return f"{shown} and {len(symbols) - most:,} more" if len(symbols) > most else shown


def _most_around(values: Sequence[int]) -> list[int]:
    """For each day a value that no day is above that may be its measure: of its block of days and the blocks before and behind.

    What is not far below the largest of them cannot be far below the median of any. Most days of a lake are told apart by this alone.
    """
    blocks = [max(values[start : start + GOOD_DAYS]) for start in range(0, len(values), GOOD_DAYS)]
    around = [max(blocks[max(0, block - 1) : block + 2]) for block in range(len(blocks))]
    return [around[place // GOOD_DAYS] for place in range(len(values))]


def _below_band(figures: Sequence[DayFigures], place: int) -> list[str]:
    """Why a day is below its band."""
    today = figures[place]
    reasons: list[str] = []
    if not today.has_waived:
        rows = [other.rows for other in _baseline(figures, place, strict=False)]
        if median := below_band(today.rows, rows, ROWS_SHARE):
            reasons.append(f"{today.rows:,} rows, usually {median:,}")
    if today.minutes and not today.partial:
        minutes = [other.minutes for other in _baseline(figures, place, strict=True) if other.minutes]
        if median := below_band(today.minutes, minutes, MINUTES_SHARE):
            reasons.append(f"{today.minutes:,} covered minutes, usually {median:,}")
    return reasons


def _baseline(figures: Sequence[DayFigures], place: int, *, strict: bool) -> list[DayFigures]:
    """The nearest good days before, and where they are too few the nearest after."""
    today = figures[place]
    size = len(today.expected.symbols)

    def is_alike(other: DayFigures) -> bool:
        if other.incident or other.has_waived or other.of_whole_cell != today.of_whole_cell:
            return False
        if abs((other.day - today.day).days) > OLDEST_DAYS:
            return False
        change = abs(other.expected.churn - today.expected.churn)
        return change == 0 and not other.partial if strict else change == 0 or change < CHURN_SHARE * size

    found = [other for other in figures[max(0, place - GOOD_DAYS) : place] if is_alike(other)]
    if len(found) < ENOUGH_DAYS:
        found += [other for other in figures[place + 1 : place + 1 + GOOD_DAYS] if is_alike(other)]
    return found


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def conspicuous(sequence: Sequence[tuple[date, bool]]) -> set[date]:
    """Days on which a symbol is implausibly empty.

    A whole stretch of empty days is judged by what stands right before and after it, so that a renamed symbol stays conspicuous
    on every day and not on the first only.

    Args:
        sequence: days in order on which the symbol was expected and nothing was missing, each with whether it had rows.
    """
    stretches: list[tuple[int, int]] = []
    for place, (_, has_rows) in enumerate(sequence):
        if has_rows:
            continue
        if stretches and stretches[-1][1] == place - 1:
            stretches[-1] = (stretches[-1][0], place)
        else:
            stretches.append((place, place))
    if len(stretches) >= HABIT:
        return set()
    found: set[date] = set()
    for first, last in stretches:
        before = first > 0 and (sequence[first][0] - sequence[first - 1][0]).days <= NEIGHBOUR_DAYS
        after = last + 1 < len(sequence) and (sequence[last + 1][0] - sequence[last][0]).days <= NEIGHBOUR_DAYS
        if before or after:
            found.update(day for day, _ in sequence[first : last + 1])
    return found


def is_quiet(data_type: str, kind: str) -> bool:
    """Whether an empty day of such a symbol is normal."""
    return data_type in QUIET_TYPES or kind in QUIET_KINDS


def _implausibly_empty(data_type: str, figures: Sequence[DayFigures], kinds: Mapping[str, str]) -> dict[date, list[str]]:
    """Symbols that are empty on a day although they have rows on a neighbouring one."""
    places: dict[str, list[int]] = {}
    for place, today in enumerate(figures):
        for symbol in today.empty_symbols:
            if not is_quiet(data_type, kinds.get(symbol, "")):
                places.setdefault(symbol, []).append(place)
    result: dict[date, list[str]] = {}
    for symbol, empty in sorted(places.items()):
        quiet = set(empty)
        around = range(max(0, empty[0] - 1), min(len(figures), empty[-1] + 2))
        sequence = [(figures[place].day, place not in quiet) for place in around if symbol in figures[place].expected]
        days = conspicuous(sequence)
        for place in empty:
            today = figures[place]
            if today.day in days and symbol not in today.partial:
                result.setdefault(today.day, []).append(symbol)
    return result
