"""Coverage as the heatmap and the filter want it: one byte a cell, rows with what may be asked of them, and rows gathered into groups.

Pure. `LakeMap.of` walks all cells once (200 rows of 3 years take a fraction of a second: in a thread); what a person does with the
result (filter, group, open and close) only handles rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from console.query import Query, Vocabulary
from console.widgets.heat_looks import HOLE, LOOKS, code_of, share_of
from console.widgets.heatgrid import HeatGrid, Line
from engine.coverage import CellReport, Coverage

MANY_ROWS = 60
"""From so many rows on the map opens grouped by venue: more than a screen of rows shows nobody anything."""

VOCABULARY = Vocabulary(
    fields=("venue", "type", "data_type", "holes", "thin", "share"),
    conditions=tuple(dict.fromkeys(("hole", *(look.word.replace(" ", "_") for look in reversed(LOOKS))))),
)
"""What may be asked of a row; `share` is the percentage of its cells that is complete."""


class Grouping(StrEnum):
    """How rows are gathered."""

    NONE = "none"
    VENUE = "venue"
    TYPE = "type"

    @property
    def following(self) -> Grouping:
        """The next one, around the end."""
        order = list(Grouping)
        return order[(order.index(self) + 1) % len(order)]


@dataclass(frozen=True, slots=True)
class MapRow:
    """One venue and data type over all days."""

    venue: str
    data_type: str
    codes: bytes
    """Looks by day."""

    @property
    def label(self) -> str:
        """What the row is called."""
        return f"{self.venue} {self.data_type}"

    @property
    def holes(self) -> int:
        return len(HOLE.findall(self.codes))

    def passes(self, query: Query) -> bool:
        """Whether the filter lets it through; `is:` holds if any cell of it is so."""
        if not query:
            return True
        words = {LOOKS[code].word.replace(" ", "_") for code in set(self.codes)} | {LOOKS[code].state.value for code in set(self.codes)}
        if HOLE.search(self.codes):
            words.add("hole")
        record: dict[str, object] = {
            "venue": self.venue,
            "type": self.data_type,
            "data_type": self.data_type,
            "holes": self.holes,
            "thin": self.codes.count(_THIN),
            "share": share_of(self.codes),
            "is": words,
        }
        return query.matches(record, self.label)


_THIN = next(code for code, look in enumerate(LOOKS) if look.word == "thin")


@dataclass(frozen=True, slots=True)
class LakeMap:
    """All rows of a coverage, ready to be arranged."""

    coverage: Coverage
    rows: tuple[MapRow, ...]
    holes: tuple[CellReport, ...]
    """By day, then in the order of the rows; of data, then of instruments."""
    adopted: int
    """Complete cells that only what was found proves."""

    @classmethod
    def of(cls, coverage: Coverage) -> LakeMap:
        """Walk all cells."""
        codes = {row: bytearray(len(coverage.days)) for row in coverage.all_rows}
        first = coverage.days.start.toordinal()
        adopted = 0
        for cell, report in coverage.reports.items():
            codes[cell.venue, cell.data_type][cell.day.toordinal() - first] = code_of(report)
            adopted += report.is_complete_by_adoption
        rows = tuple(MapRow(venue, data_type, bytes(found)) for (venue, data_type), found in codes.items())
        counted = set(coverage.instrument_rows) <= set(coverage.rows)
        holes = (*coverage.holes(), *(() if counted else coverage.instrument_holes()))
        return cls(coverage, rows, holes, adopted)

    @property
    def looks(self) -> frozenset[int]:
        """Codes of the looks that occur."""
        return frozenset(code for row in self.rows for code in set(row.codes))

    def arrange(self, query: Query, grouping: Grouping, is_open: Collection[str]) -> tuple[HeatGrid, dict[str, tuple[str, str]]]:
        """The grid of the rows that pass the filter, and what their labels mean.

        Args:
            query: The filter.
            grouping: How rows are gathered.
            is_open: Groups, by name, whose rows are shown.
        """
        shown = [row for row in self.rows if row.passes(query)]
        lines = None if grouping is Grouping.NONE else list(_grouped(shown, grouping, is_open))
        uncounted = {row.label for row in shown if (row.venue, row.data_type) not in self.coverage.rows}
        labels, codes = [row.label for row in shown], [row.codes for row in shown]
        grid = HeatGrid(labels, tuple(self.coverage.days), codes, lines, uncounted=uncounted)
        return grid, {row.label: (row.venue, row.data_type) for row in shown}

    def groups(self, grouping: Grouping) -> tuple[str, ...]:
        """Names of the groups, in the order of their first rows."""
        return tuple(dict.fromkeys(_group_of(row, grouping) for row in self.rows))


def _group_of(row: MapRow, grouping: Grouping) -> str:
    return row.venue if grouping is Grouping.VENUE else row.data_type


def _grouped(rows: Sequence[MapRow], grouping: Grouping, is_open: Collection[str]) -> Iterable[Line]:
    members: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        members.setdefault(_group_of(row, grouping), []).append(number)
    for name, numbers in members.items():
        opened = name in is_open
        text = f"{'▾' if opened else '▸'} {name} ({len(numbers)})"
        yield Line(f"group {name}", text, tuple(numbers), is_group=True, is_open=opened)
        if opened:
            for number in numbers:
                row = rows[number]
                yield Line(row.label, f"  {row.data_type if grouping is Grouping.VENUE else row.venue}", (number,))


def group_name(line: Line) -> str:
    """The group that a line rolls up; empty for a row."""
    return line.key.removeprefix("group ") if line.is_group else ""
