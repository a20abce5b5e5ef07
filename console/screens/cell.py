"""One cell opened: its symbols worst first, what became of each and why; down to the object, its logs and plan, or a waiver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.worker import Worker

from console.blocking import in_thread
from console.coverage_view import STATE_TONES, SymbolRow, proof_of, proof_words, symbol_rows
from console.screens.reason import ReasonScreen
from console.widgets.columns import Column, Toned
from console.widgets.confirm import ConfirmItem, ConfirmMany
from console.widgets.detail import DetailScreen
from console.widgets.figures import UNKNOWN, format_bytes, format_count, one_line, plural
from console.widgets.heat_looks import GLYPHS, LOOKS, WORDS, code_of
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.coverage import CellReport
from engine.errors import EngineError
from engine.errors import one_line as error_line
from engine.model import Cell, CellState, DayRange
from engine.plan import CANDLES
from engine.symbol_coverage import SymbolReport, symbol_reports
from engine.thinness import few
from engine.universe import resolve_scope

if TYPE_CHECKING:
    from console.screens.coverage import CoverageScreen
    from console.session import Session
    from engine.manifest import Manifest
    from engine.plan import Request

CANDLE_HINT = "enter inputs, timeframes · L its VM's logs · p its plan · r repair · esc"
HINT = "enter object · L its VM's logs · p its plan · v compare · space mark · w waive · r repair · esc"
NEIGHBOURS = 4
"""Days on each side that a thin cell is judged against; eight are enough for a symbol to be thin."""


def read_cell_symbols(session: Session, report: CellReport, request: Request | None) -> list[SymbolReport]:
    """The symbols of a cell, from its manifests; of a thin one also from its neighbours'. Blocks.

    Raises:
        EngineError: if the bucket cannot be read.
    """
    cell = report.cell
    catalogues = session.inventory.catalogues([cell.venue])
    scope = resolve_scope(request.symbols, request.universe, catalogues) if request is not None else None
    symbols = None if scope is None else scope.get(cell.venue)
    if cell.data_type == CANDLES:
        from engine.candles.cells import read_candle_symbols

        return read_candle_symbols(session.inventory, cell, symbols=symbols)
    history = {}
    if report.state is CellState.THIN:
        for step in (*range(-NEIGHBOURS, 0), *range(1, NEIGHBOURS + 1)):
            day = cell.day + timedelta(days=step)
            history[day] = session.inventory.open_cell(Cell(day, cell.data_type, cell.venue))
    records = session.inventory.open_cell(cell)
    findings = session.inventory.findings(cell)
    return symbol_reports(cell, catalogues[cell.venue], records, history=history, symbols=symbols, findings=findings)


class CellScreen(ModalScreen[None]):
    """A table of symbols, with what can be done about them."""

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
    CellScreen .cell--hint { height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "close", "Close"),
        Binding("r", "repair", "Repair"),
        Binding("w", "waive", "Waive"),
        Binding("L", "logs", "Logs"),
        Binding("p", "plan", "Plan"),
        Binding("v", "verify", "Verify"),
    ]

    def __init__(self, lake: CoverageScreen, report: CellReport, symbols: Sequence[SymbolReport]) -> None:
        """
        Args:
            lake: The screen it is opened over.
            report: The cell.
            symbols: All that are expected in it.
        """
        super().__init__()
        self._lake = lake
        self._report = report
        self._symbols = {each.symbol: each for each in symbols}

    def compose(self) -> ComposeResult:
        rows = symbol_rows(self._symbols.values())
        table: LineTable[SymbolRow] = LineTable(
            _columns(rows), lambda row: row.symbol, markable=lambda row: row.state is not CellState.COMPLETE, empty="no symbol is expected"
        )
        with Vertical():
            yield Static("", classes="cell--title", markup=False)
            yield Static("", classes="cell--reasons", markup=False)
            yield table
            yield Static(CANDLE_HINT if self._is_of_candles else HINT, classes="cell--hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one(LineTable).focus()

    def _show(self) -> None:
        report, now = self._report, self._lake.console.clock()
        look = LOOKS[code_of(report)]
        counts = f"{format_count(report.done)} of {format_count(report.expected)} symbols done"
        self.query_one(".cell--title", Static).update(Content(f"{look.glyph} {report.cell}: {look.word}, {counts}"))
        self.query_one(".cell--reasons", Static).update(Content(one_line("; ".join([*report.reasons, proof_words(report, now)]))))
        self.query_one(LineTable).set_rows(symbol_rows(self._symbols.values()))

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        """Enter: down to the object."""
        event.stop()
        if event.key is not None and (report := self._symbols.get(event.key)) is not None:
            cell, bucket = self._report.cell, self._lake.session.profile.data_bucket
            self.app.push_screen(DetailScreen(f"{cell} {report.symbol}", proof_of(cell, report, bucket)))

    @property
    def _is_of_candles(self) -> bool:
        return self._report.cell.data_type == CANDLES

    @property
    def _here(self) -> SymbolReport | None:
        row = self.query_one(LineTable).cursor_row
        return None if row is None else self._symbols.get(row.symbol)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Work in the background that broke off says so."""
        self._lake.console.report_broken(event)

    def action_close(self) -> None:
        self.dismiss()

    def action_repair(self) -> None:
        """The plan of this cell's repair."""
        self.dismiss()
        self._lake.plan_repair([self._report.cell])

    def action_logs(self) -> None:
        """What the VM that recorded this symbol said."""
        from console.screens.log_links import show_logs_of

        found = self._here
        if found is None or found.manifest is None or not found.vm:
            self.notify("no VM has recorded anything of this symbol", timeout=4)
            return
        console = self._lake.console
        self.dismiss()
        console.call_later(partial(show_logs_of, console, found.run, found.vm, gone=True, at=found.manifest.written))

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def action_plan(self) -> None:
        """The plan of the run that recorded this symbol."""
        found, session = self._here, self._lake.session
        if found is None or found.manifest is None:
            self.notify("no run has recorded anything of this symbol", timeout=4)
            return
        cell, manifest = self._report.cell, found.manifest
        try:
            record = await in_thread(partial(plan_record, session, cell, manifest), name="plan of a run")
        except EngineError as error:
            self.notify(one_line(error_line(error)), severity="warning", timeout=10)
            return
        if record is None:
            self.notify(
                f"run {manifest.run} had no plan: it {'adopted' if manifest.origin == 'adopted' else 'was made by hand'}", timeout=6
            )
            return
        self.app.push_screen(DetailScreen(f"Plan of run {manifest.run}", record))

    @work(group="verify", exclusive=True, exit_on_error=False)
    async def action_verify(self) -> None:
        """Compare the objects of this cell with its manifests; what is found is kept."""
        cell, lake = self._report.cell, self._lake
        if self._is_of_candles:
            self.notify("v compares files of the source; whether candles are current is in this list", severity="warning", timeout=6)
            return
        self.notify(f"comparing the objects of {cell} …", timeout=3)
        try:
            found = await in_thread(
                lambda: lake.session.coverage.verify(DayRange(cell.day, cell.day), [cell.venue], [cell.data_type]), name="verify"
            )
        except EngineError as error:
            self.notify(one_line(error_line(error)), title="not compared", severity="error", timeout=15)
            return
        wrong = sum(len(result.findings) for result in found.cells)
        self.notify(f"{plural(wrong, 'object')} not as committed" if wrong else "all objects are as they were committed", timeout=6)
        self._read_again()

    def action_waive(self) -> None:
        """Say of the marked symbols, or of this one, that the source will never have them: a reason, then their number."""
        console = self._lake.console
        if self._is_of_candles:
            self.notify("candles are made of what is here: there is nothing to waive", severity="warning", timeout=6)
            return
        if console.read_only:
            self.notify("read-only; arm it with :write 15m", severity="warning", timeout=6)
            return
        marks = sorted(self.query_one(LineTable).marks)
        here = self._here
        symbols = tuple(marks or ([here.symbol] if here is not None and here.state is not CellState.COMPLETE else []))
        if not symbols:
            self.notify("it is committed: there is nothing to waive", timeout=4)
            return
        text = (
            f"{self._report.cell}: {few(symbols)}. They count as done from now on and are not asked for again; "
            "`tickdeck waive --withdraw` takes it back."
        )
        screen = ReasonScreen(
            f"Why will the source never have {plural(len(symbols), 'file')}?",
            text,
            example="delisted at 09:00, source confirmed 2024-05-03",
        )

        def answered(reason: str | None) -> None:
            if reason is not None:
                self._propose_waiver(symbols, reason)

        self.app.push_screen(screen, answered)

    @work(group="waive", exclusive=True, exit_on_error=False)
    async def _propose_waiver(self, symbols: tuple[str, ...], reason: str) -> None:
        cell, session = self._report.cell, self._lake.session
        days = DayRange(cell.day, cell.day)
        propose = partial(session.coverage.propose_waivers, days, [cell.venue], [cell.data_type], reason=reason, symbols=symbols)
        try:
            proposal = await in_thread(propose, name="waivers")
        except EngineError as error:
            self.notify(one_line(error_line(error)), title="not waived", severity="error", timeout=15)
            return
        if not proposal.cells:
            why = proposal.left[0].why if proposal.left else "nothing is missing"
            self.notify(why, title="nothing to waive", severity="warning", timeout=8)
            return
        items = [
            ConfirmItem(symbol, f"is {was.replace('_', ' ')}")
            for each in proposal.cells
            for symbol, was in zip(each.symbols, each.was, strict=True)
        ]
        title = f"Waive {plural(len(items), 'file')} of {cell}"
        if await self.app.push_screen_wait(ConfirmMany(title, items, noun="file", text=f"Reason: {proposal.reason}")):
            try:
                receipt = await in_thread(partial(session.coverage.apply_waivers, proposal), name="waive")
            except EngineError as error:
                self.notify(one_line(error_line(error)), title="not waived", severity="error", timeout=15)
                return
            self.notify(f"{plural(proposal.files, 'file')} waived. Audit {receipt.audit_id}", timeout=8)
            self._read_again()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read_again(self) -> None:
        """The cell as it is now, and the map soon."""
        lake, cell, covered = self._lake, self._report.cell, self._lake.console.covered
        lake.console.look_again()

        def read() -> tuple[CellReport, list[SymbolReport]]:
            days = DayRange(cell.day, cell.day)
            symbols, universe = (covered.symbols, covered.universe) if covered is not None else ((), "")
            check = lake.session.coverage.check
            report = check(days, [cell.venue], [cell.data_type], symbols=symbols, universe=universe).report(cell)
            return report, read_cell_symbols(lake.session, report, covered)

        try:
            self._report, found = await in_thread(read, name="cell")
        except EngineError as error:
            self.notify(one_line(error_line(error)), severity="error", timeout=15)
            return
        self._symbols = {each.symbol: each for each in found}
        if self.is_attached:
            self._show()


def plan_record(session: Session, cell: Cell, manifest: Manifest) -> dict[str, object] | None:
    """What a run was asked for, and which part of it a cell was; None if the run had no plan. Blocks."""
    from console.verbs.options import command_line

    launches = session.watching.launch_records(manifest.run)
    if not launches:
        return None
    plan = session.inventory.plan(launches[0].plan)
    shard = plan.shards[manifest.shard] if 0 <= manifest.shard < len(plan.shards) else None
    record: dict[str, object] = {
        "plan": plan.id,
        "made": f"{plan.created:%Y-%m-%d %H:%M:%S} UTC",
        "command": command_line(plan.request),
        "shards": len(plan.shards),
        "files": format_count(plan.estimate.files),
        "bytes": format_bytes(plan.estimate.bytes),
        "launches": [
            f"{each.number}: {each.reason}, {plural(len(each.vms), 'VM')}, {each.created:%Y-%m-%d %H:%M} UTC" for each in launches
        ],
    }
    if shard is not None:
        works = [work for work in shard.work if work.cell == cell]
        record["shard of the cell"] = f"{shard.index}, attempt {manifest.attempt}"
        record["its work on it"] = [f"{plural(len(each.symbols), 'file')}, {format_bytes(sum(each.bytes))} estimated" for each in works]
    return record


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
