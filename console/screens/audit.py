"""Audit: every change, newest first, intent and receipt as one row; what nobody finished stands on top."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.audit_view import COLUMNS, audit_sentence, deed_details
from console.deeds import WORDS, deed_record, headless_command
from console.query import QueryError, parse
from console.screens.table_screen import TableScreen
from console.sources.audit import DAYS
from console.state import Feed
from console.widgets.detail import DetailScreen
from console.widgets.filtered_table import AnyTable, FilteredTable
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from provision.audit import Deed


class AuditScreen(TableScreen):
    """The trail of the last thirty days."""

    MODE = Mode.AUDIT
    FEEDS = ("audit",)
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.AUDIT))

    DEFAULT_CSS = """
    AuditScreen.-stale FilteredTable { opacity: 60%; }
    """

    def body(self) -> Iterable[Widget]:
        sentence = Sentence(now=self.console.clock, stale_after_seconds=120, id="audit-sentence")
        sentence.set_sentence("reading the audit trail …", tone=Tone.BUSY)
        table: AnyTable = FilteredTable(
            COLUMNS, lambda deed: deed.intent.id, deed_record, vocabulary=WORDS, empty=f"nothing was changed in {DAYS} days", id="deeds"
        )
        yield Vertical(sentence, table, classes="body")

    def session_opened(self) -> None:
        self.shown.table.focus()

    def show_audit(self, feed: Feed[Sequence[Deed]]) -> None:
        """The trail, or why it cannot be read."""
        self.set_class(feed.is_down, "-stale")
        sentence = self.query_one("#audit-sentence", Sentence)
        deeds = feed.value
        if deeds is None:
            if feed.error:
                sentence.set_sentence("The audit trail cannot be read", tone=Tone.BAD)
            return
        phrases, tone = audit_sentence(deeds, days=DAYS, now=self.console.clock())
        sentence.set_sentence(phrases, tone=tone, as_of=feed.at)
        self.shown.set_rows(deeds)

    @property
    def shown(self) -> AnyTable:
        return self.query_one("#deeds", FilteredTable)

    @property
    def off_reasons(self) -> dict[str, str]:
        deed = self._deed
        if deed is None:
            return dict.fromkeys(("open_deed", "copy_deed_command"), "no change under the cursor")
        return {} if headless_command(deed.intent) else {"copy_deed_command": f"no command line does this {deed.intent.verb} again"}

    def action_open_deed(self) -> None:
        if (deed := self._deed) is not None:
            title = f"{deed.intent.verb} of {deed.intent.when:%Y-%m-%d %H:%M:%S} UTC: {deed.ending}"
            self.app.push_screen(DetailScreen(title, deed_details(deed)), self._filter_by)

    async def action_copy_deed_command(self) -> None:
        if (deed := self._deed) is not None and (line := headless_command(deed.intent)):
            await self.console.copy(line)

    @on(LineTable.RowSelected)
    def open_row(self, message: LineTable.RowSelected) -> None:
        """Enter: all about it."""
        message.stop()
        self.action_open_deed()

    @on(LineTable.RowHighlighted)
    def cursor_moved(self) -> None:
        """Other keys may be on now."""
        self.refresh_bindings()

    def _filter_by(self, text: str | None) -> None:
        if text:
            try:
                self.shown.set_query(parse(text, WORDS))
            except QueryError as error:
                self.notify(error.problem, timeout=4)

    @property
    def _deed(self) -> Deed | None:
        found: Deed | None = self.shown.table.cursor_row if self.query("#deeds") else None
        return found
