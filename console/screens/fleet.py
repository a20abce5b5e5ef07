"""Fleet: a verdict, totals, the VMs worst first, and the four ways to spend less: drain, abort, delete, clean up.

All that changes something goes one way: proposal, question, apply, receipt (`console.screens.deed`). What the session answers is
judged in provision and worded in `console.fleet_view`; here is only what happens on which key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.blocking import in_thread
from console.fleet_view import headline, live_runs, row_text, run_result, runs_ended, searchable, table_rows, totals_parts
from console.query import EVERYTHING, Query
from console.screens.base import ModeScreen
from console.screens.deed import DeedScreen, question_about, receipt_line
from console.screens.serial_pane import SerialPane
from console.screens.vm import VmScreen, VmWish
from console.state import Feed
from console.widgets.figures import format_count, joined, one_line
from console.widgets.fleet_table import FleetRow, FleetTable
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.errors import one_line as error_line
from provision.vm_state import FleetVm, VmState

if TYPE_CHECKING:
    from console.export import Record
    from provision.actions import Proposal
    from provision.fleet import FleetSnapshot
    from provision.runs import RunView

SERIAL_SECONDS: Final = 10.0
"""Between two readings of the serial output of a VM that is silent after boot."""


class TotalsLine(Widget):
    """Figures about the whole fleet on one line, as many as fit."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    TotalsLine { height: 1; padding: 0 1; background: $surface; color: $quiet; text-wrap: nowrap; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._chips: list[str] = []
        self._parts: list[str] = []

    def set_parts(self, parts: Iterable[str]) -> None:
        """Show these, the most important first."""
        self._parts = list(parts)
        self.refresh()

    def set_chips(self, chips: Iterable[str]) -> None:
        """What narrows the table or is marked in it: before the figures, and set off."""
        self._chips = list(chips)
        self.refresh()

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def render(self) -> Content:
        chips = Content("").join(Content.assemble((f" {chip} ", "bold $background on $mark"), "  ") for chip in self._chips)
        room = max(0, self.content_size.width - chips.cell_length - 2)
        return Content.assemble("  ", chips, joined(self._parts, width=room))


class FleetScreen(ModeScreen):
    """The VMs of the runs that are on, and strangers in the same project."""

    MODE = Mode.FLEET
    LINK = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.FLEET))

    DEFAULT_CSS = """
    FleetScreen #fleet-serial { height: 9; display: none; border-top: solid $rule; padding: 0 1; }
    FleetScreen #fleet-serial.-open { display: block; }
    FleetScreen.-stale FleetTable, FleetScreen.-stale TotalsLine { opacity: 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: FleetSnapshot | None = None
        self._query: Query = EVERYTHING
        self._rows: tuple[FleetRow, ...] = ()
        self._under_way = ""
        """What is being done or asked for now; one thing at a time."""

    def body(self) -> Iterable[Widget]:
        verdict = Sentence(now=self.console.clock, stale_after_seconds=45, id="fleet-verdict")
        verdict.set_sentence("looking at the fleet …", tone=Tone.BUSY)
        yield Vertical(
            verdict,
            TotalsLine(id="fleet-totals"),
            Prompt(id="fleet-filter"),
            FleetTable(id="fleet-table"),
            SerialPane(lambda vm: self.session.logs.serial(vm), self.console.clock, id="fleet-serial"),
            classes="body",
        )

    def session_opened(self) -> None:
        self._table.focus()
        # The end of a run is told on every screen, and only the visible one is handed what the feed sees.
        self.set_interval(1.0, self._watch_runs)
        self.set_interval(SERIAL_SECONDS, self._show_silent)

    # What the app tells

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:
        self.set_class(feed.is_down, "-stale")
        verdict = self.query_one("#fleet-verdict", Sentence)
        snapshot = feed.value
        if snapshot is None:
            if feed.error:
                verdict.set_sentence(f"the fleet cannot be seen: {feed.error}", tone=Tone.BAD)
            return
        self._watch_runs()
        said = headline(snapshot)
        verdict.set_sentence(said.phrases, tone=said.tone, as_of=feed.at)
        self._totals.set_parts(totals_parts(snapshot))
        self._rows = table_rows(snapshot)
        self._fill()
        self._show_silent()
        if isinstance(self.app.screen, VmScreen) and (vm := snapshot.find(self.app.screen.vm.name)) is not None:
            self.app.screen.show_vm(vm, self._view_of(vm))

    # What the app asks

    def crumbs(self) -> tuple[str, ...]:
        run = self.console.run_shown
        return ("Fleet", run) if run else ("Fleet",)

    def leave(self) -> bool:
        prompt = self.query_one(Prompt)
        if prompt.has_class("-open"):
            prompt.action_cancel()
        elif self._query:
            prompt.set_query(EVERYTHING)
        elif self._table.marks:
            self._table.set_marks(())
        else:
            return False
        return True

    def open_filter(self) -> None:
        self.query_one(Prompt).open()
        self._fill()

    def copy_row(self) -> str:
        row = self._table.cursor_row
        return "" if row is None else row_text(row)

    def subject(self) -> Mapping[str, object]:
        row = self._table.cursor_row
        return {} if row is None else searchable(row) | {"run": self._run}

    def export_records(self) -> Sequence[Record]:
        return [searchable(row) | {"is": row.state} for row in self._table.rows]

    @property
    def off_reasons(self) -> dict[str, str]:
        reasons: dict[str, str] = {}
        if not self.query(FleetTable):
            return reasons  # asked before the first paint
        if not self._run:
            reasons |= dict.fromkeys(("drain", "abort_run"), "there is no live run")
        if not self._named:
            row = self._table.cursor_row
            reasons["delete_vm"] = "there is no VM" if row is None else "not ours" if not row.managed else "this VM is gone already"
        return reasons

    # Keys

    def action_open_row(self) -> None:
        self._table.action_open_row()

    def action_mark(self) -> None:
        self._table.action_mark()

    def action_open_logs(self) -> None:
        if (vm := self._vm_at_cursor) is not None:
            self._open_logs(vm)

    def action_drain(self) -> None:
        run = self._run
        self._carry_out(f"drain {run}", lambda: self.session.changes.propose_drain(run), typed=False)

    def action_abort_run(self) -> None:
        run = self._run
        self._carry_out(f"abort {run}", lambda: self.session.changes.propose_abort(run), typed=True)

    def action_delete_vm(self) -> None:
        names = self._named
        self._carry_out("delete", lambda: self.session.changes.propose_delete(names), typed=False)

    def action_cleanup(self) -> None:
        self._carry_out("clean up", self.session.changes.propose_cleanup, typed=True)

    # Widgets speak

    @on(LineTable.RowSelected)
    def open_vm(self, message: LineTable.RowSelected) -> None:
        """Enter on a VM: all about it."""
        message.stop()
        if (vm := self._find(message.key)) is not None:
            screen = VmScreen(vm, self._view_of(vm), serial=self.session.logs.serial, clock=self.console.clock)
            self.app.push_screen(screen, lambda wish: self._open_logs(screen.vm) if wish is VmWish.LOGS else None)

    @on(LineTable.RowHighlighted)
    @on(LineTable.MarksChanged)
    def cursor_moved(self) -> None:
        """Other keys may be on now."""
        self._show_chips()
        self._show_silent()
        self.refresh_bindings()

    @on(Prompt.Changed)
    def filter_changed(self, message: Prompt.Changed) -> None:
        """Filter as it is typed."""
        self._set_filter(message.query)

    @on(Prompt.Closed)
    def filter_closed(self) -> None:
        """Back to the table."""
        self._table.focus()
        self._show_chips()

    # Deeds

    @work(exclusive=False, group="deed", exit_on_error=False)
    async def _carry_out(self, what: str, propose: Callable[[], Proposal], *, typed: bool) -> None:
        """Propose, ask, apply, show the receipt."""
        if self._under_way:
            self.notify(f"{self._under_way} is still under way", severity="warning")
            return
        self._under_way = what
        try:
            await self._ask_and_apply(what, propose, typed=typed)
        except Exception as error:  # noqa: BLE001 - a person reads why, and the console goes on
            self.notify(error_line(error), title=what, severity="error", timeout=15)
        finally:
            self._under_way = ""
            self._show_chips()
            self.console.look_again()

    async def _ask_and_apply(self, what: str, propose: Callable[[], Proposal], *, typed: bool) -> None:
        self._show_chips(f"{what}: looking …")
        proposal = await in_thread(propose, name="propose")
        self._show_chips()
        if not proposal.items:
            why = "; ".join(f"{refusal.name}: {refusal.why}" for refusal in proposal.refused)
            self.notify(why or "there is nothing to do", title=what)
            return
        if not self.is_active:
            self.notify("the list is ready; ask again in Fleet", title=what)
            return
        if not await self.app.push_screen_wait(question_about(proposal, typed=typed)):
            return
        view = DeedScreen(proposal)
        if len(proposal.items) > 1:
            self.app.push_screen(view)

        def tell(line: str) -> None:
            self.app.call_later(view.step, line)

        receipt = await in_thread(lambda: self.session.changes.apply(proposal, report=tell), name="apply")
        view.finish(receipt)
        trouble = bool(receipt.failed or receipt.warnings)
        if view.is_current and trouble:
            return
        if view.is_current:
            view.dismiss(None)
        failed = "".join(f"\n{result.item.name}: {result.message}" for result in receipt.failed[:5])
        warned = "".join(f"\n{warning}" for warning in receipt.warnings)
        self.notify(receipt_line(receipt) + failed + warned, severity="error" if trouble else "information", timeout=15 if trouble else 8)

    # State

    @property
    def _table(self) -> FleetTable:
        return self.query_one(FleetTable)

    @property
    def _totals(self) -> TotalsLine:
        return self.query_one(TotalsLine)

    @property
    def _vm_at_cursor(self) -> FleetVm | None:
        key = self._table.cursor_key
        return None if key is None else self._find(key)

    @property
    def _run(self) -> str:
        """The run that drain and abort are about: that of the VM under the cursor, else the newest live one."""
        vm, snapshot = self._vm_at_cursor, self._snapshot
        return vm.run if vm is not None and snapshot is not None and vm.run in live_runs(snapshot) else self.console.live_run

    @property
    def _named(self) -> tuple[str, ...]:
        """The VMs that delete is about: the marked ones, else the one under the cursor; only what exists and is ours."""
        wanted = self._table.marks or {key for key in (self._table.cursor_key,) if key is not None}
        found = (self._find(name) for name in sorted(wanted))
        return tuple(vm.name for vm in found if vm is not None and vm.managed and vm.exists)

    def _find(self, name: str) -> FleetVm | None:
        return None if self._snapshot is None else self._snapshot.find(name)

    def _view_of(self, vm: FleetVm) -> RunView | None:
        return next((view for view in self._snapshot.runs if view.run == vm.run), None) if self._snapshot else None

    def _watch_runs(self) -> None:
        """Take in what the feed has seen; tell the end of a run, once, wherever the person is."""
        snapshot = self.console.fleet.value
        if snapshot is None or snapshot is self._snapshot:
            return
        before, self._snapshot = self._snapshot, snapshot
        for view in runs_ended(before, snapshot):
            said = run_result(snapshot, view)
            self.notify(said.text, severity="information" if said.tone is Tone.GOOD else "warning", timeout=20)

    def _open_logs(self, vm: FleetVm) -> None:
        from console.screens.logs import show_logs_of

        show_logs_of(self.console, vm.run if vm.managed else "", vm.name, gone=vm.dead)

    def _set_filter(self, query: Query) -> None:
        self._query = query
        self._fill()

    def _fill(self) -> None:
        query = self._query
        shown = [row for row in self._rows if query.matches(searchable(row), row_text(row))] if query else list(self._rows)
        self._table.set_empty_text("no VM passes the filter" if self._rows else "no VM: launch a plan from screen 1")
        self._table.set_rows(shown)
        self.query_one(Prompt).set_hits(len(shown), len(self._rows))
        self._show_chips()

    def _show_chips(self, doing: str = "") -> None:
        chips = [doing] if doing else []
        if self._table.marks:
            chips.append(f"{format_count(len(self._table.marks))} marked")
        if self._query and not self.query_one(Prompt).has_class("-open"):
            chips.append(f"/{one_line(str(self._query))}  {len(self._table.rows)} of {len(self._rows)}")
        self._totals.set_chips(chips)

    def _show_silent(self) -> None:
        """The serial output opens by itself for a VM that booted and never spoke."""
        vm, pane = self._vm_at_cursor, self.query_one("#fleet-serial", SerialPane)
        silent = vm is not None and vm.state is VmState.STUCK and vm.heartbeat is None and vm.exists
        pane.set_class(silent, "-open")
        if silent and vm is not None:
            pane.show(vm.name)
