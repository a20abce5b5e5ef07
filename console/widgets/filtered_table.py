"""A table with its filter: the line for `/`, a chip that says what is hidden, and the rows that pass.

Screens hand over all rows; filtering, export and copying follow from how a row reads by field names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from console.query import ANYTHING, EVERYTHING, Query, Vocabulary, words_of
from console.widgets.columns import Column
from console.widgets.figures import format_count, one_line
from console.widgets.prompt import Prompt
from console.widgets.table import NOT_KNOWN, LineTable

RowT = TypeVar("RowT", bound=Hashable)


class FilteredTable(Vertical, Generic[RowT]):
    """A `LineTable` under a `Prompt`. Messages are those of the table."""

    DEFAULT_CSS = """
    FilteredTable { height: 1fr; }
    FilteredTable > .filtered--chip { height: 1; display: none; padding: 0 2; background: $surface; color: $quiet; }
    FilteredTable.-filtered > .filtered--chip { display: block; }
    """

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        key: Callable[[RowT], str],
        record: Callable[[RowT], Mapping[str, object]],
        *,
        vocabulary: Vocabulary = ANYTHING,
        muted: Callable[[RowT], bool] | None = None,
        empty: str = "nothing here",
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        """
        Args:
            columns, key, muted: As of `LineTable`.
            record: A row by field names, for filter, export and copy.
            vocabulary: What may be named in the filter.
            empty: What to say when there is no row at all.
        """
        super().__init__(id=id)
        self._record = record
        self._vocabulary = vocabulary
        self._empty = empty
        self._rows: tuple[RowT, ...] = ()
        self._is_known = False
        """Whether rows were ever handed over: before that nobody knows that there are none."""
        self._table: LineTable[RowT] = LineTable(columns, key, muted=muted, empty=NOT_KNOWN)

    def compose(self) -> ComposeResult:
        yield Prompt(vocabulary=self._vocabulary)
        yield Static("", classes="filtered--chip")
        yield self._table

    @property
    def table(self) -> LineTable[RowT]:
        """The rows that pass."""
        return self._table

    @property
    def vocabulary(self) -> Vocabulary:
        """What may be named in the filter."""
        return self._vocabulary

    @property
    def rows(self) -> tuple[RowT, ...]:
        """All rows."""
        return self._rows

    @property
    def query_now(self) -> Query:
        """The filter that holds."""
        return self._prompt.query_now if self.is_mounted else EVERYTHING

    def set_rows(self, rows: Iterable[RowT]) -> None:
        """Show those of these rows that pass."""
        self._rows, self._is_known = tuple(rows), True
        self._fill()

    def records(self) -> list[Mapping[str, object]]:
        """The rows that pass, by field names."""
        return [self._record(row) for row in self._table.rows]

    @property
    def record_at_cursor(self) -> Mapping[str, object] | None:
        """The row under the cursor, by field names."""
        row = self._table.cursor_row
        return None if row is None else self._record(row)

    def open_filter(self) -> None:
        """Show the line for the filter."""
        self._prompt.open()
        self._fill()

    def set_query(self, query: Query) -> None:
        """Filter by this, as if it had been typed."""
        self._prompt.set_query(query)

    def leave(self) -> bool:
        """One step back: close the filter's line, or drop the filter; False if there is none."""
        if self._prompt.has_class("-open"):
            self._prompt.action_cancel()
        elif self._prompt.query_now:
            self._prompt.set_query(EVERYTHING)
        else:
            return False
        return True

    @on(Prompt.Changed)
    def _filter_changed(self, message: Prompt.Changed) -> None:
        message.stop()
        self._fill()

    @on(Prompt.Closed)
    def _filter_kept(self, message: Prompt.Closed) -> None:
        message.stop()
        self._table.focus()
        self._fill()

    @property
    def _prompt(self) -> Prompt:
        return self.query_one(Prompt)

    def _fill(self) -> None:
        if not self.is_mounted:
            return
        query = self._prompt.query_now
        shown = [row for row in self._rows if self._passes(query, row)] if query else list(self._rows)
        self._table.set_empty_text("nothing passes the filter" if self._rows else self._empty if self._is_known else NOT_KNOWN)
        self._table.set_rows(shown)
        self._prompt.set_hits(len(shown), len(self._rows))
        self.set_class(bool(query) and not self._prompt.has_class("-open"), "-filtered")
        chip = Content.assemble(
            (f" /{one_line(str(query))} ", "bold $background on $mark"),
            f"  {format_count(len(shown))} of {format_count(len(self._rows))} · esc drops the filter",
        )
        self.query_one(".filtered--chip", Static).update(chip)

    def _passes(self, query: Query, row: RowT) -> bool:
        record = self._record(row)
        return query.matches(record, words_of(record))

    def on_mount(self) -> None:
        self._fill()


AnyTable = FilteredTable[Any]
