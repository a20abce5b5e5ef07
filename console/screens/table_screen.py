"""A mode whose main part is a table: filter, export, copy and the way back follow from the table that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.query import words_of
from console.screens.base import ModeScreen
from console.widgets.filtered_table import AnyTable

if TYPE_CHECKING:
    from console.export import Record


class TableScreen(ModeScreen):
    """Subclasses say which table is the one."""

    @property
    def shown(self) -> AnyTable:
        """The table that is visible now."""
        raise NotImplementedError

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

    @property
    def record_at_cursor(self) -> Record | None:
        """The row under the cursor, by field names; None if there is no row."""
        return self.shown.record_at_cursor
