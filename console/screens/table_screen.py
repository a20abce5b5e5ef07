"""A mode that is a sentence over a table: filter, order, export, copy, details and the way back follow from the table that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import on

from console.query import QueryError, parse, words_of
from console.screens.base import ModeScreen
from console.widgets.filtered_table import AnyTable
from console.widgets.order import apply_order, order_settings
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.tones import Tone

if TYPE_CHECKING:
    from console.export import Record
    from console.state import Feed

ValueT = TypeVar("ValueT")


class TableScreen(ModeScreen):
    """Subclasses say which table is the one, and what Enter on a row does."""

    OPENS: ClassVar[str] = ""
    """The action that Enter on a row is."""

    def first_sentence(self, text: str, *, stale_after_seconds: float) -> Sentence:
        """The sentence over the table, while the first look is under way."""
        sentence = Sentence(now=self.console.clock, stale_after_seconds=stale_after_seconds, id=f"{self.MODE.value}-sentence")
        sentence.set_sentence(text, tone=Tone.BUSY)
        return sentence

    @property
    def sentence(self) -> Sentence:
        """The sentence over the table."""
        return self.query_one(f"#{self.MODE.value}-sentence", Sentence)

    def value_of(self, feed: Feed[ValueT], problem: str) -> ValueT | None:
        """What a feed last said; old values are dimmed.

        Args:
            problem: What to say when nothing was ever seen; the reason stands in the trouble line.
        """
        self.set_class(feed.is_down, "-stale")
        if feed.value is None and feed.error:
            self.sentence.set_sentence(problem, tone=Tone.BAD)
        return feed.value

    @property
    def shown(self) -> AnyTable:
        """The table that is visible now."""
        raise NotImplementedError

    def show_details(self, title: str, record: Mapping[str, object]) -> None:
        """Everything known of a row; Enter there filters the table by a field."""
        from console.widgets.detail import DetailScreen

        self.app.push_screen(DetailScreen(title, record), self._filter_by)

    def _filter_by(self, text: str | None) -> None:
        if text:
            try:
                self.shown.set_query(parse(text, self.shown.vocabulary))
            except QueryError as error:
                self.notify(error.problem, timeout=4)

    @on(LineTable.RowSelected)
    async def open_selected(self, message: LineTable.RowSelected) -> None:
        """Enter on a row."""
        message.stop()
        await self.run_action(self.OPENS)

    @on(LineTable.RowHighlighted)
    def cursor_moved(self, _message: Any) -> None:
        """Other keys may be on now."""
        self.refresh_bindings()

    def open_filter(self) -> None:
        self.shown.open_filter()

    def leave(self) -> bool:
        return self.shown.leave()

    def copy_row(self) -> str:
        record = self.record_at_cursor
        return "" if record is None else words_of(record)

    def export_records(self) -> Sequence[Record]:
        return self.shown.records()

    def subject(self) -> Mapping[str, object]:
        return self.record_at_cursor or {}

    def view_settings(self) -> dict[str, str]:
        query = self.shown.query_now
        return ({"filter": str(query)} if query else {}) | order_settings(self.shown.table)

    def apply_view(self, settings: Mapping[str, str]) -> None:
        self.shown.set_query(parse(settings.get("filter", "")))
        apply_order(self.shown.table, settings)

    @property
    def record_at_cursor(self) -> Record | None:
        """The row under the cursor, by field names; None if there is no row."""
        return self.shown.record_at_cursor
