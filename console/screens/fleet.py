"""Fleet: a verdict, totals, and the VMs worst first with the reason for the one under the cursor.

What the session answers is judged in provision and worded in `console.fleet_view`; here it is shown, chosen from and led on from. What
can be done to it is in `console.screens.fleet_deeds`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.fleet_totals import totals_parts
from console.fleet_view import VOCABULARY, headline, row_text, run_choices, run_result, runs_ended, searchable, table_rows
from console.query import EVERYTHING, Query
from console.screens.fleet_deeds import FleetDeeds
from console.screens.serial_pane import SerialPane
from console.screens.vm import VmScreen, VmWish
from console.slowness import explain, moment_of_trouble, slowest
from console.state import Feed
from console.widgets.figures import format_count, one_line
from console.widgets.fleet_table import FleetRow, FleetTable
from console.widgets.order import apply_order, order_settings
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from console.widgets.totals_line import ReasonLine, TotalsLine
from provision.vm_state import FleetVm, VmState

if TYPE_CHECKING:
    from console.export import Record
    from provision.fleet import FleetSnapshot

SERIAL_SECONDS: Final = 10.0
"""Between two readings of the serial output of a VM that is silent after boot."""
RATES_KEPT: Final = 60
"""Looks whose rate is kept for the header."""


class FleetScreen(FleetDeeds):
    """The VMs of the runs that are on, and strangers in the same project."""

    MODE = Mode.FLEET
    TOLD_ABOVE = "ReasonLine"
    LINK = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.FLEET))

    DEFAULT_CSS = """
    FleetScreen #fleet-serial { height: 9; display: none; border-top: solid $rule; padding: 0 1; }
    FleetScreen #fleet-serial.-open { display: block; }
    FleetScreen.-stale FleetTable, FleetScreen.-stale TotalsLine, FleetScreen.-stale ReasonLine { opacity: 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._query: Query = EVERYTHING
        self._rows: tuple[FleetRow, ...] = ()
        self._rates: deque[float] = deque(maxlen=RATES_KEPT)
        self._put_away: set[str] = set()
        """Silent VMs whose serial output was closed by hand."""
        self._wanted_vm = ""
        """Where the cursor is to go once there is a fleet to see, and the run that is shown is in it."""

    def body(self) -> Iterable[Widget]:
        verdict = Sentence(now=self.console.clock, stale_after_seconds=45, id="fleet-verdict")
        verdict.set_sentence("looking at the fleet …", tone=Tone.BUSY)
        yield Vertical(
            verdict,
            TotalsLine(id="fleet-totals"),
            Prompt(id="fleet-filter", vocabulary=VOCABULARY),
            FleetTable(id="fleet-table"),
            ReasonLine(id="fleet-reason"),
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
        if feed.value is None:
            if feed.error:
                verdict.set_sentence("The fleet cannot be seen: whether anything runs is not known", tone=Tone.BAD)
            return
        self._watch_runs()
        snapshot = self._shown
        assert snapshot is not None
        said = headline(snapshot)
        verdict.set_sentence(said.phrases, tone=said.tone, as_of=feed.at)
        self._totals.set_parts(totals_parts(snapshot, tuple(self._rates)))
        self._rows = table_rows(snapshot)
        self._fill()
        if self._wanted_vm and not self._awaits_run:
            self.go_to_vm(self._wanted_vm)
        self._show_reason()
        self._show_silent()
        self._show_over(snapshot)

    def _show_over(self, snapshot: FleetSnapshot) -> None:
        """What is open over this screen keeps up."""
        from console.screens.timeline import TimelineScreen

        screen = self.app.screen
        if isinstance(screen, VmScreen) and (vm := self._find(screen.vm.name)) is not None:
            screen.show_vm(vm, self._view_of(vm))
        elif isinstance(screen, TimelineScreen):
            screen.show_fleet(snapshot)

    # What the app asks

    def crumbs(self) -> tuple[str, ...]:
        run = self._run_shown or self.console.run_shown
        return ("Fleet", run) if run else ("Fleet",)

    def leave(self) -> bool:
        prompt, pane = self.query_one(Prompt), self._serial_pane
        if prompt.has_class("-open"):
            prompt.action_cancel()
        elif self._table.marks or self._table.is_marking_range:
            self._table.set_marks(())
        elif self._query:
            prompt.set_query(EVERYTHING)
        elif pane.has_class("-open"):
            self._put_away.add(pane.vm)
            self._show_silent()
        elif self._run_shown:
            self._show_run("")
        else:
            return False
        return True

    def go_to_vm(self, name: str) -> None:
        """Put the cursor on a VM, once there is a fleet to see; say so if it is not in it."""
        if not self._rows or self._awaits_run:
            self._wanted_vm = name
            return
        self._wanted_vm = ""
        if self._table.move_to(name):
            return
        hidden = self._find(name) is not None
        self.notify(f"{name} is hidden by the filter" if hidden else f"{name} is in no run that is shown", timeout=5)

    def go_to_run(self, run: str, vm: str = "") -> None:
        """Show one run, as soon as it has been looked at, with the cursor on one of its VMs.

        Args:
            run: Empty: whatever run is shown.
            vm: Empty: the worst of it.
        """
        self._run_shown, self._wanted_vm = run or self._run_shown, vm
        if self._rows:
            self._show_run(self._run_shown)

    def own_place(self) -> str:
        return self._run_shown

    def go_to_place(self, own: object) -> None:
        if own != self._run_shown:
            self._show_run(str(own or ""))

    def view_settings(self) -> dict[str, str]:
        return super().view_settings() | order_settings(self._table)

    def apply_view(self, settings: Mapping[str, str]) -> None:
        super().apply_view(settings)
        apply_order(self._table, settings)
        self._show_chips()

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

    # Keys

    def action_open_row(self) -> None:
        self._table.action_open_row()

    def action_mark(self) -> None:
        self._table.action_mark()

    def action_mark_range(self) -> None:
        self._table.action_mark_range()

    def action_mark_all(self) -> None:
        self._table.action_mark_all()

    def action_invert_marks(self) -> None:
        self._table.action_invert_marks()

    def action_open_logs(self) -> None:
        if (vm := self._vm_at_cursor) is not None:
            self._open_logs(vm)

    def action_go_slowest(self) -> None:
        vm = slowest(self._shown) if self._shown is not None else None
        if vm is None:
            self.notify("no VM is at work", timeout=3)
        else:
            self.go_to_vm(vm.name)

    @work(exclusive=True, group="ask", exit_on_error=False)
    async def action_open_timeline(self) -> None:
        """When VMs were lost, and where."""
        from console.screens.timeline import TimelineScreen

        if (snapshot := self._shown) is None:
            return
        vm = await self.app.push_screen_wait(TimelineScreen(snapshot, self._zones))
        if vm is not None:
            self._table.move_to(vm)

    @work(exclusive=True, group="ask", exit_on_error=False)
    async def action_choose_run(self) -> None:
        """One run, or all."""
        from console.screens.choose import ChooseScreen

        if self._snapshot is None:
            return
        run = await self.app.push_screen_wait(ChooseScreen("Run", run_choices(self._snapshot), present=self._run_shown))
        if run is not None:
            self._show_run(run)

    @work(exclusive=True, group="ask", exit_on_error=False)
    async def action_sort(self) -> None:
        """By a column, or worst first."""
        from console.screens.choose import ChooseScreen
        from console.widgets.choice import Choice

        present, largest_first = self._table.sorted_by
        choices = [Choice("", "Worst first", "as judged"), *(Choice(title, title) for title in self._table.sort_titles)]
        order = f"now {'largest' if largest_first else 'smallest'} first · " if present else ""
        title = await self.app.push_screen_wait(
            ChooseScreen("Sort by", choices, present=present, hint=f"{order}the same again: the other way round")
        )
        if title is not None:
            self._table.sort_by(title)
            self._show_chips()

    def action_reverse_sort(self) -> None:
        self._table.reverse_sort()

    # Widgets speak

    @on(LineTable.RowSelected)
    def open_vm(self, message: LineTable.RowSelected) -> None:
        """Enter on a VM: all about it."""
        message.stop()
        if (vm := self._find(message.key)) is not None:
            self._open_vm(vm)

    @on(LineTable.RowHighlighted)
    @on(LineTable.MarksChanged)
    def cursor_moved(self) -> None:
        """Other keys may be on now."""
        self._show_chips()
        self._show_reason()
        self._show_silent()
        self.refresh_bindings()

    @on(Prompt.Changed)
    def filter_changed(self, message: Prompt.Changed) -> None:
        """Filter as it is typed."""
        self._query = message.query
        self._fill()

    @on(Prompt.Closed)
    def filter_closed(self) -> None:
        """Back to the table."""
        self._table.focus()
        self._show_chips()

    # State

    @property
    def _totals(self) -> TotalsLine:
        return self.query_one(TotalsLine)

    @property
    def _serial_pane(self) -> SerialPane:
        return self.query_one("#fleet-serial", SerialPane)

    def _watch_runs(self) -> None:
        """Take in what the feed has seen; tell the end of a run, once, wherever the person is."""
        snapshot = self.console.fleet.value
        if snapshot is None or snapshot is self._snapshot:
            return
        before, self._snapshot = self._snapshot, snapshot
        shown = self._shown
        self._rates.append(shown.totals.bytes_per_second if shown is not None else 0.0)
        for view in runs_ended(before, snapshot):
            said = run_result(snapshot, view)
            self.notify(said.text, severity="information" if said.tone is Tone.GOOD else "warning", timeout=20)

    def _show_run(self, run: str) -> None:
        self._run_shown = run
        self._rates.clear()
        self.show_fleet(self.console.fleet)
        self.console.refresh_status(self)

    def _open_logs(self, vm: FleetVm) -> None:
        from console.screens.log_links import show_logs_of

        show_logs_of(self.console, vm.run if vm.managed else "", vm.name, gone=vm.dead, at=moment_of_trouble(vm))

    def _open_vm(self, vm: FleetVm) -> None:
        logs = self.session.logs
        screen = VmScreen(
            vm,
            self._view_of(vm),
            reasons=lambda row: explain(row, self._snapshot) if self._snapshot is not None else "",
            serial=logs.serial,
            files=lambda name: logs.recent_files(vm.run if vm.managed else "", name).entries,
            clock=self.console.clock,
        )
        self.app.push_screen(screen, lambda wish: self._obey(screen.vm, wish))

    def _obey(self, vm: FleetVm, wish: VmWish | None) -> None:
        """What was asked for in a VM's detail."""
        if wish is None:
            return
        self._table.set_marks(())
        self._table.move_to(vm.name)
        action = {
            VmWish.LOGS: "open_logs",
            VmWish.REPLACE: "replace_vm",
            VmWish.DELETE: "delete_vm",
            VmWish.POWER: "power",
            VmWish.SHELL: "open_shell",
        }[wish]
        if wish is VmWish.LOGS:
            self._open_logs(vm)
        elif self.check_action(action, ()):
            self.call_later(self.run_action, action)
        else:
            self.notify(self.off_reasons.get(action, "off now: ? says why"), title=wish.value, timeout=5)

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
            chips.append(f"{format_count(len(self._table.marks))} marked{self._cost_of_marks()}")
        if self._table.is_marking_range:
            chips.append("range: move, v ends")
        if self._query and not self.query_one(Prompt).has_class("-open"):
            chips.append(f"/{one_line(str(self._query))}  {len(self._table.rows)} of {len(self._rows)}")
        self._totals.set_chips(chips)

    def _cost_of_marks(self) -> str:
        """What the marked VMs cost an hour; "" if nothing."""
        from console.sentences import money

        hourly = sum(vm.cost_per_hour for vm in self._wanted)
        return f", {money(hourly)}/h" if hourly else ""

    def _show_reason(self) -> None:
        vm, line = self._vm_at_cursor, self.query_one(ReasonLine)
        if vm is None or self._snapshot is None:
            line.set_reason("", "")
            return
        row = self._table.cursor_row
        lead = f"shard {row.shard}:" if row is not None and row.shard else f"{vm.name}:"
        line.set_reason(lead, one_line(explain(vm, self._snapshot)))

    def _show_silent(self) -> None:
        """The serial output opens by itself for a VM that booted and never spoke; Escape closes it for this VM."""
        pane = self._serial_pane
        at, snapshot = self._vm_at_cursor, self._shown
        silent = [vm for vm in snapshot.vms if _is_silent(vm) and vm.name not in self._put_away] if snapshot is not None else []
        vm = at if at is not None and any(vm.name == at.name for vm in silent) else next(iter(silent), None)
        pane.set_class(vm is not None, "-open")
        if vm is not None:
            pane.show(vm.name)


def _is_silent(vm: FleetVm) -> bool:
    return vm.managed and vm.state is VmState.STUCK and vm.heartbeat is None and vm.exists
