"""The plans that were kept: open one as it was, or compare the present one with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from console.blocking import in_thread
from console.plan_comparison import cost_words, days_words, scope_words
from console.widgets.columns import Column, Toned
from console.widgets.figures import format_age, format_bytes, format_count, plural
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from console.widgets.what_if_table import brief_duration
from engine.errors import EngineError, one_line
from engine.saved_plans import SavedPlan


@dataclass(frozen=True, slots=True)
class SavedRow:
    """One kept plan, in words."""

    id: str
    age: str
    days: str
    files: str
    size: str
    vms: str
    takes: str
    cost: str
    scope: str
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class SavedChoice:
    """What is to be done with a kept plan."""

    verb: Literal["open", "compare"]
    id: str


_COLUMNS: Final[tuple[Column[SavedRow], ...]] = (
    Column("Plan", lambda row: row.id, 12, rank=0),
    Column("Age", lambda row: Toned(row.age, Tone.QUIET), 4, rank=1, right=True),
    Column("Days", lambda row: row.days, 22, rank=2),
    Column("Files", lambda row: row.files, 6, rank=5, right=True),
    Column("Source", lambda row: row.size, 7, rank=4, right=True),
    Column("VMs", lambda row: row.vms, 4, rank=6, right=True),
    Column("Takes", lambda row: row.takes, 6, rank=7, right=True),
    Column("Cost", lambda row: row.cost, 6, rank=3, right=True),
    Column("Of", lambda row: Toned(row.scope, Tone.QUIET if row.is_readable else Tone.BAD), 10, 24, 90, rank=8),
)


class SavedPlansScreen(ModalScreen[SavedChoice | None]):
    """A modal; its result says what to do with which plan, or nothing."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the table inside.
    CSS = """
    SavedPlansScreen { align: center middle; background: $background 60%; }
    SavedPlansScreen > Vertical { width: 96%; max-width: 160; height: 80%; padding: 0 1; background: $surface; border: round $primary; }
    SavedPlansScreen .saved--title { text-style: bold; height: 1; }
    SavedPlansScreen LineTable { background: $surface; }
    SavedPlansScreen .saved--hint { height: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "close", "Close"),
        Binding("x", "compare", "Compare"),
    ]

    def __init__(self, load: Callable[[], list[SavedPlan]], now: datetime) -> None:
        """
        Args:
            load: reads the list; blocks.
            now: ages are told against it.
        """
        super().__init__()
        self._load = load
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("Kept plans", classes="saved--title", markup=False)
            yield LineTable(_COLUMNS, lambda row: row.id, muted=lambda row: not row.is_readable, empty="asking …", id="saved-plans")
            yield Static("enter opens it as it was · x compares with it · esc closes", classes="saved--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()
        self._list()

    @work(exclusive=True, exit_on_error=False)
    async def _list(self) -> None:
        table = self.query_one(LineTable)
        try:
            plans = await in_thread(self._load, name="kept plans")
        except EngineError as error:
            table.set_empty_text(one_line(error))
            return
        table.set_empty_text("none yet; s keeps the plan on the screen")
        table.set_rows(saved_row(plan, self._now) for plan in plans)
        self.query_one(".saved--title", Static).update(plural(len(plans), "kept plan"))

    def on_line_table_row_selected(self, event: LineTable.RowSelected) -> None:
        event.stop()
        self._choose("open", event.key)

    def action_compare(self) -> None:
        if (key := self.query_one(LineTable).cursor_key) is not None:
            self._choose("compare", key)

    def action_close(self) -> None:
        self.dismiss(None)

    def _choose(self, verb: Literal["open", "compare"], plan: str) -> None:
        row = self.query_one(LineTable).cursor_row
        if isinstance(row, SavedRow) and row.is_readable:
            self.dismiss(SavedChoice(verb, plan))


def saved_row(plan: SavedPlan, now: datetime) -> SavedRow:
    """A kept plan as the list shows it."""
    age, told = format_age((now - plan.saved).total_seconds()), plan.summary
    if told is None:
        return SavedRow(plan.id, age, "", "", "", "", "", "", one_line(EngineError(plan.problem)), is_readable=False)
    return SavedRow(
        plan.id,
        age,
        days_words(told),
        format_count(told.files),
        format_bytes(told.bytes),
        format_count(told.shards),
        brief_duration(told.makespan_seconds),
        cost_words(told.cost),
        scope_words(told),
    )
