"""Audit: every change, newest first, intent and receipt as one row; what nobody finished stands on top."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.audit_view import COLUMNS, audit_sentence, deed_details, place_in_fleet
from console.deeds import WORDS, deed_record, headless_command
from console.screens.fleet_links import show_in_fleet
from console.screens.table_screen import TableScreen
from console.sources.audit import DAYS
from console.state import Feed
from console.widgets.figures import format_moment
from console.widgets.filtered_table import AnyTable, FilteredTable
from provision.audit import Deed


class AuditScreen(TableScreen):
    """The trail of the last thirty days."""

    MODE = Mode.AUDIT
    OPENS = "open_deed"
    FEEDS = ("audit",)
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.AUDIT))

    DEFAULT_CSS = """
    AuditScreen.-stale FilteredTable { opacity: 60%; }
    """

    def body(self) -> Iterable[Widget]:
        table: AnyTable = FilteredTable(
            COLUMNS, lambda deed: deed.intent.id, deed_record, vocabulary=WORDS, empty=f"nothing was changed in {DAYS} days", id="deeds"
        )
        yield Vertical(self.first_sentence("reading the audit trail …", stale_after_seconds=120), table, classes="body")

    def session_opened(self) -> None:
        self.shown.table.focus()

    def show_audit(self, feed: Feed[Sequence[Deed]]) -> None:
        """The trail, or why it cannot be read."""
        if (deeds := self.value_of(feed, "The audit trail cannot be read")) is None:
            return
        phrases, tone = audit_sentence(deeds, days=DAYS, now=self.console.clock())
        self.sentence.set_sentence(phrases, tone=tone, as_of=feed.at)
        self.shown.set_rows(deeds)

    @property
    def shown(self) -> AnyTable:
        return self.query_one("#deeds", FilteredTable)

    @property
    def off_reasons(self) -> dict[str, str]:
        deed = self._deed
        if deed is None:
            return dict.fromkeys(("open_deed", "copy_deed_command", "show_in_fleet"), "no change under the cursor")
        reasons = {} if headless_command(deed.intent) else {"copy_deed_command": f"no command line does this {deed.intent.verb} again"}
        return reasons if any(place_in_fleet(deed)) else reasons | {"show_in_fleet": "it is about no run and no VM"}

    def action_open_deed(self) -> None:
        if (deed := self._deed) is not None:
            title = f"{deed.intent.verb} of {format_moment(deed.intent.when)}: {deed.ending}"
            self.show_details(title, deed_details(deed))

    async def action_copy_deed_command(self) -> None:
        if (deed := self._deed) is not None and (line := headless_command(deed.intent)):
            await self.console.copy(line)

    def action_show_in_fleet(self) -> None:
        if (deed := self._deed) is not None:
            show_in_fleet(self.console, *place_in_fleet(deed))

    @property
    def _deed(self) -> Deed | None:
        found: Deed | None = self.shown.table.cursor_row if self.query("#deeds") else None
        return found
