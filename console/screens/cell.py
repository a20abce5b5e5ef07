"""One cell opened: its symbols worst first, what became of each and why; Enter shows what the manifest proves about one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from console.coverage_view import STATE_TONES, SymbolRow, proof_of, symbol_rows
from console.widgets.detail import DetailScreen
from console.widgets.figures import UNKNOWN, format_bytes, format_count, one_line
from console.widgets.heatgrid import GLYPHS, WORDS
from console.widgets.table import Column, LineTable, Toned
from console.widgets.tones import Tone
from engine.coverage import CellReport
from engine.model import Cell, CellState
from engine.symbol_coverage import SymbolReport, symbol_reports
from engine.universe import resolve_scope

if TYPE_CHECKING:
    from console.session import Session
    from engine.plan import Request

NEIGHBOURS = 4
"""Days on each side that a thin cell is judged against; eight are enough for a symbol to be thin."""


def read_cell_symbols(session: Session, report: CellReport, request: Request | None) -> list[SymbolReport]:
    """The symbols of a cell, from its manifests; of a thin one also from its neighbours'. Blocks.

    Raises:
        EngineError: if the bucket cannot be read.
    """
    cell = report.cell
    catalogues = session.inventory.catalogues([cell.venue])
    history = {}
    if report.state is CellState.THIN:
        for step in (*range(-NEIGHBOURS, 0), *range(1, NEIGHBOURS + 1)):
            day = cell.day + timedelta(days=step)
            history[day] = session.inventory.open_cell(Cell(day, cell.data_type, cell.venue))
    scope = resolve_scope(request.symbols, request.universe, catalogues) if request is not None else None
    symbols = None if scope is None else scope.get(cell.venue)
    records = session.inventory.open_cell(cell)
    findings = session.inventory.findings(cell)
    return symbol_reports(cell, catalogues[cell.venue], records, history=history, symbols=symbols, findings=findings)


class CellScreen(ModalScreen[None]):
    """A table of symbols."""

    DEFAULT_CSS = """
    CellScreen { align: center middle; background: $background 60%; }
    CellScreen > Vertical {
        width: 96%;
        max-width: 150;
        height: 90%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    CellScreen .cell--title { height: auto; text-style: bold; }
    CellScreen .cell--reasons { height: auto; max-height: 3; color: $quiet; }
    CellScreen LineTable { background: $surface; margin-top: 1; }
    CellScreen .cell--hint { height: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace", "close", "Close")]

    def __init__(self, report: CellReport, symbols: Sequence[SymbolReport], data_bucket: str) -> None:
        """
        Args:
            report: The cell.
            symbols: All that are expected in it.
            data_bucket: For object names.
        """
        super().__init__()
        self._report = report
        self._symbols = {each.symbol: each for each in symbols}
        self._data_bucket = data_bucket

    def compose(self) -> ComposeResult:
        report = self._report
        rows = symbol_rows(self._symbols.values())
        table: LineTable[SymbolRow] = LineTable(_columns(rows), lambda row: row.symbol, empty="no symbol is expected")
        table.set_rows(rows)
        counts = f"{format_count(report.done)} of {format_count(report.expected)} symbols done"
        with Vertical():
            yield Static(f"{GLYPHS[report.state]} {report.cell}: {WORDS[report.state]}, {counts}", classes="cell--title", markup=False)
            yield Static(one_line("; ".join(report.reasons)), classes="cell--reasons", markup=False)
            yield table
            yield Static("enter shows the proof of one · esc closes", classes="cell--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()
        self.query_one(".cell--reasons").display = bool(self._report.reasons)

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        event.stop()
        if event.key is not None and (report := self._symbols.get(event.key)) is not None:
            cell = self._report.cell
            self.app.push_screen(DetailScreen(f"{cell} {report.symbol}", proof_of(cell, report, self._data_bucket)))

    def action_close(self) -> None:
        self.dismiss()


def _columns(rows: Sequence[SymbolRow]) -> list[Column[SymbolRow]]:
    longest = max((len(row.symbol) for row in rows), default=10)
    return [
        Column("Symbol", lambda row: row.symbol, 10, min(longest, 24), 30, rank=0),
        Column("State", lambda row: Toned(f"{GLYPHS[row.state]} {WORDS[row.state]}", STATE_TONES[row.state]), 10, 11, rank=1),
        Column("Outcome", lambda row: row.outcome or Toned(UNKNOWN, Tone.QUIET), 8, 11, rank=2),
        Column("Why", lambda row: Toned(row.reason, Tone.WARN if row.state is not CellState.COMPLETE else Tone.QUIET), 10, 32, 90, rank=3),
        Column("Rows", lambda row: format_count(row.rows) if row.outcome else UNKNOWN, 9, 11, rank=11, right=True),
        Column("Source", lambda row: format_bytes(row.source_bytes) if row.source_bytes else UNKNOWN, 8, rank=12, right=True),
        Column("Min", lambda row: format_count(row.minutes) if row.minutes else UNKNOWN, 5, rank=13, right=True),
        Column("Run", lambda row: Toned(row.run or UNKNOWN, Tone.QUIET), 10, 12, 16, rank=14),
    ]
