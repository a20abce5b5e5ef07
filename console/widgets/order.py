"""The order of a table as a saved view keeps it: `sort=ETA`, or `sort=-ETA` with the largest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from console.widgets.table import LineTable

_SORT: Final = "sort"
_LARGEST_FIRST: Final = "-"


def order_settings(table: LineTable[Any]) -> dict[str, str]:
    """The order that was chosen; nothing for the order given."""
    title, largest_first = table.sorted_by
    return {_SORT: f"{_LARGEST_FIRST if largest_first else ''}{title}"} if title else {}


def apply_order(table: LineTable[Any], settings: Mapping[str, str]) -> None:
    """Sort as `order_settings` said; a title that the table does not have is the order given."""
    text = settings.get(_SORT, "")
    table.set_order(text.removeprefix(_LARGEST_FIRST), largest_first=text.startswith(_LARGEST_FIRST))
