"""Sets of cells as few words: stretches of days of one venue and type, in documents, on command lines and in files.

A repair asks for exactly the cells that a person marked. Thousands of them are a few stretches, so a plan can carry them and a
command line can name them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.model import Cell, DayRange, require_venue

FORMS = "binance/trades/2024-05-01..2024-05-03"
"""How a stretch is written."""

_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9_]+")


class CellSpan(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Cells of one venue and data type on consecutive UTC days, both ends inclusive."""

    venue: str
    data_type: str
    start: date
    end: date

    def __str__(self) -> str:
        days = f"{self.start}" if self.start == self.end else f"{self.start}..{self.end}"
        return f"{self.venue}/{self.data_type}/{days}"

    def __contains__(self, cell: object) -> bool:
        return (
            isinstance(cell, Cell) and (cell.venue, cell.data_type) == (self.venue, self.data_type) and self.start <= cell.day <= self.end
        )

    def cells(self) -> Iterator[Cell]:
        """Day by day."""
        return (Cell(day, self.data_type, self.venue) for day in DayRange(self.start, self.end))


def spans_of(cells: Iterable[Cell]) -> tuple[CellSpan, ...]:
    """The fewest stretches that hold exactly these cells, sorted; any order and repetition of the cells gives the same."""
    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for cell in cells:
        days[cell.venue, cell.data_type].add(cell.day)
    spans = []
    for (venue, data_type), found in sorted(days.items()):
        first = last = None
        for day in sorted(found):
            if first is None or last is None:
                first = day
            elif day != last + timedelta(days=1):
                spans.append(CellSpan(venue, data_type, first, last))
                first = day
            last = day
        if first is not None and last is not None:
            spans.append(CellSpan(venue, data_type, first, last))
    return tuple(spans)


def cells_of(spans: Iterable[CellSpan]) -> frozenset[Cell]:
    """All cells of these stretches."""
    return frozenset(cell for span in spans for cell in span.cells())


def format_spans(spans: Iterable[CellSpan]) -> str:
    """For a command line: `binance/trades/2024-05-01..2024-05-03,deribit/trades/2024-05-07`."""
    return ",".join(map(str, spans))


def parse_spans(text: str) -> tuple[CellSpan, ...]:
    """Read what `format_spans` wrote, or a person typed.

    Raises:
        UsageError: naming the part that is no stretch of cells.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError("no cell is named", hint=f"write {FORMS}")
    return spans_of(cell for word in words for cell in _span(word.split("/"), word).cells())


def read_cells(text: str, *, name: str) -> tuple[CellSpan, ...]:
    """The cells that a file names: lines as `tickdeck check --holes` prints them, its JSON, or a table as the console exports it.

    A line begins with `VENUE DATA_TYPE DAY`, or is a stretch (`FORMS`); what follows is for people. A table has columns `venue`,
    `data_type` and `day`. JSON is a list of objects with these names, or holds one under `holes` or `cells`.

    Raises:
        UsageError: naming the file and the line or item that cannot be read, or that there is none.
    """
    body = text.lstrip("\ufeff").strip()
    if not body:
        raise UsageError(f"{name} names no cell", hint="tickdeck check --holes prints those of a range")
    found = _from_json(body, name) if body[0] in "[{" else _from_table(body, name) if _is_table(body) else _from_lines(body, name)
    spans = spans_of(found)
    if not spans:
        raise UsageError(f"{name} names no cell", hint="tickdeck check --holes prints those of a range")
    return spans


def _from_lines(body: str, name: str) -> Iterator[Cell]:
    for number, line in enumerate(body.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            parts = words[0].split("/") if "/" in words[0] else words[:3]
            yield from _span(parts, line.strip(), f"{name}, line {number}: ").cells()


def _is_table(body: str) -> bool:
    head = body.splitlines()[0].split(",")
    return {"venue", "data_type", "day"} <= {word.strip() for word in head}


def _from_table(body: str, name: str) -> Iterator[Cell]:
    for number, row in enumerate(csv.DictReader(io.StringIO(body)), start=2):
        yield from _item(row, f"{name}, line {number}: ")


def _from_json(body: str, name: str) -> Iterator[Cell]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}") from error
    items = document
    if isinstance(document, dict):
        items = document.get("holes", document.get("cells"))
    if not isinstance(items, list):
        raise UsageError(f"{name} has no list of cells", hint="tickdeck check --holes --json prints one")
    for number, item in enumerate(items, start=1):
        yield from _item(item, f"{name}, item {number}: ")


def _item(item: Any, where: str) -> Iterator[Cell]:
    try:
        parts = [str(item[key]) for key in ("venue", "data_type", "day")]
    except (KeyError, TypeError):
        raise UsageError(f"{where}a cell has venue, data_type and day") from None
    return _span(parts, " ".join(parts), where).cells()


def _span(parts: list[str], text: str, where: str = "") -> CellSpan:
    days = _DAYS.fullmatch(parts[2].strip()) if len(parts) == 3 else None
    if days is None or not _NAME.fullmatch(parts[1].strip()):
        raise UsageError(f"{where}{text[:80]!r} is no cell", hint=f"write {FORMS}")
    try:
        start, end = (date.fromisoformat(day) for day in (days[1], days[2] or days[1]))
    except ValueError as error:
        raise UsageError(f"{where}{text[:80]!r} is no cell: {error}", hint=f"write {FORMS}") from None
    DayRange(start, end)
    return CellSpan(require_venue(parts[0].strip()), parts[1].strip(), start, end)
