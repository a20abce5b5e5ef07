"""One run's money: the bill line by line, its VMs with the time each was paid for, and the days."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.amounts import forecast_line, format_dollars, format_hours, format_share
from console.costs_view import (
    BILL_COLUMNS,
    VM_COLUMNS,
    VM_WORDS,
    bill_rows,
    vm_record,
)
from console.widgets.figures import format_bytes, format_count
from console.widgets.filtered_table import AnyTable, FilteredTable
from console.widgets.table import LineTable
from engine.estimate import storage_growth
from provision.costs import RunCost, spent_by_day
from provision.prices import plan_rates

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from provision.profile import Profile


class RunCostScreen(ModalScreen[str | None]):
    """Fed by Costs while it is open. Its result is the VM that somebody wants to see in Fleet, or None."""

    DEFAULT_CSS = """
    RunCostScreen { align: center middle; background: $background 60%; }
    RunCostScreen > Vertical {
        width: 96%;
        max-width: 150;
        height: 94%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    RunCostScreen .cost--title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    RunCostScreen #cost-facts { height: auto; margin-bottom: 1; }
    RunCostScreen #cost-bill { height: auto; max-height: 30%; margin-bottom: 1; }
    RunCostScreen .cost--hint { height: 1; color: $quiet; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "close", "Close"),
        Binding("slash", "filter", "Filter"),
        Binding("f", "show_in_fleet", "Fleet"),
        Binding("y", "copy", "Copy"),
        Binding("tab", "other_table", "Other table", show=False, priority=True),
    ]

    def __init__(self, run: RunCost, profile: Profile) -> None:
        super().__init__()
        self._run = run
        self._profile = profile

    @property
    def run(self) -> str:
        """Whose money."""
        return self._run.run

    def compose(self) -> ComposeResult:
        vms: AnyTable = FilteredTable(
            VM_COLUMNS, lambda use: use.vm, vm_record, vocabulary=VM_WORDS, empty="it never had a VM", id="cost-vms"
        )
        with Vertical():
            yield Static(f"Costs of run {self._run.run}", classes="cost--title", markup=False)
            yield Static(id="cost-facts")
            yield LineTable(BILL_COLUMNS, lambda row: row.item, empty="no price is known for it", id="cost-bill")
            yield vms
            yield Static("/ filter VMs · f the VM in Fleet · tab other table · y copy · esc back", classes="cost--hint", markup=False)

    def on_mount(self) -> None:
        self.show_run(self._run)
        self._vms.table.focus()

    def show_run(self, run: RunCost) -> None:
        """The same run as it is now."""
        self._run = run
        if not self.query("#cost-bill"):
            return  # Between the key and the screen.
        storage = storage_growth(plan_rates(self._profile), run.actual.bytes)
        self.query_one("#cost-bill", LineTable).set_rows(bill_rows(run, storage))
        self._vms.set_rows(sorted(run.vms, key=lambda use: (use.dollars is not None, -(use.dollars or 0.0))))
        self.query_one("#cost-facts", Static).update(Content("\n").join(_facts(run)))

    def action_close(self) -> None:
        if not self._vms.leave():
            self.dismiss(None)

    def action_show_in_fleet(self) -> None:
        """Go to the VM under the cursor."""
        if (vm := self._vms.table.cursor_key) is not None:
            self.dismiss(vm)

    def action_filter(self) -> None:
        self._vms.open_filter()

    def action_other_table(self) -> None:
        bill = self.query_one("#cost-bill", LineTable)
        (self._vms.table if bill.has_focus else bill).focus()

    async def action_copy(self) -> None:
        await cast("ConsoleApp", self.app).copy("\n".join(line.plain for line in _facts(self._run)))

    @property
    def _vms(self) -> AnyTable:
        return self.query_one("#cost-vms", FilteredTable)


def _facts(run: RunCost) -> list[Content]:
    actual, expected = run.actual, run.expected
    lines = [("So far" if run.ended is None else "Came to", f"{format_dollars(actual.dollars)}, {format_hours(actual.vm_hours)} VM-hours")]
    if expected is not None:
        cost = f"{format_dollars(expected.dollars)} ({format_dollars(expected.low)} to {format_dollars(expected.high)})"
        differs = format_share(actual.dollars, expected.dollars) if run.ended is not None else ""
        estimate = (cost if expected.high else "free") if expected.is_priced else "unknown"
        lines.append(("Estimate", f"{estimate}, {format_hours(expected.vm_hours)} VM-hours" + (f": {differs}" if differs else "")))
        files = f"{format_count(actual.files)} of {format_count(expected.files)} files"
        lines.append(("Work", f"{files}, {format_bytes(actual.bytes)} of {format_bytes(expected.bytes)}"))
    if run.forecast is not None:
        lines.append(("Forecast", forecast_line(run.forecast)))
    if run.redone_bytes:
        lines.append(("Redone", f"{format_bytes(run.redone_bytes)} received more than once, or lost with a worker"))
    if run.retries:
        lines.append(("Retries", ", ".join(f"{count} {cause}" for cause, count in sorted(run.retries.items()))))
    days = spent_by_day(run.vms)
    if days:
        lines.append(("By day", " · ".join(f"{day} {format_dollars(dollars)}" for day, dollars in days.items())))
    return [Content.assemble((f"{name:<10}", "$quiet"), text) for name, text in lines]
