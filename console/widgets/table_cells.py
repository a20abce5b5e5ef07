"""What a table writes into one column: its title, and a row's cell as text or as a bar with its label. Apart from the table itself."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style

from console.widgets.columns import Column, Gauge, RowT, Toned
from console.widgets.figures import bar, fit, one_line
from console.widgets.tones import Tone


def title_text(column: Column[RowT], size: int, sorted_by: Column[RowT] | None, *, reverse: bool) -> str:
    """The title of a column, `size` cells wide; the one that rows are sorted by has an arrow."""
    title = f"{column.title[: size - 1]}{'▼' if reverse else '▲'}" if column is sorted_by else column.title
    return fit(title, size, right=column.right)


def cell_segments(column: Column[RowT], row: RowT, size: int, style: Callable[[str], Style], *, muted: bool) -> list[Segment]:
    """What a column shows of a row, `size` cells wide.

    Args:
        style: Of a tone, of `mark`, or of plain text for "".
        muted: The row is dimmed as a whole.
    """
    cell = column.cell(row)
    if isinstance(cell, Gauge):
        return _gauge(cell, size, style)
    text, tone = (cell.text, cell.tone) if isinstance(cell, Toned) else (cell, Tone.PLAIN)
    return [Segment(fit(one_line(text), size, right=column.right, keep_end=column.keep_end), style(Tone.QUIET if muted else tone))]


def _gauge(gauge: Gauge, size: int, style: Callable[[str], Style]) -> list[Segment]:
    label = f" {gauge.label}" if gauge.label else ""
    width = size - len(label)
    text = "".join(bar(gauge.fraction, width))
    tail = Segment(label, style(""))
    if gauge.tick is None:
        return [Segment(text, style(Tone.BAR)), tail]
    at = max(0, min(width - 1, int(gauge.tick * width)))
    return [Segment(text[:at], style(Tone.BAR)), Segment("┃", style("mark")), Segment(text[at + 1 :], style(Tone.BAR)), tail]
