"""Other fleets for the work of a plan: more or fewer VMs, another machine type, spot or standard. Nothing is launched.

Every key tries one more fleet and keeps those before, so that they can be compared; the packing runs in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from console.amounts import format_dollars, format_hours
from console.blocking import in_thread
from console.widgets.columns import Column, Toned
from console.widgets.figures import format_duration
from console.widgets.sentence import Phrase, Sentence
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.errors import one_line
from provision.prices import known_machines
from provision.what_if import Alternative, Choices

if TYPE_CHECKING:
    from console.session import Session
    from engine.plan import Plan

STEPS: Final = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000)
"""VM counts that `+` and `-` go through."""


def _cost(row: Alternative) -> str | Toned:
    return format_dollars(row.cost[1]) if row.cost else Toned("unknown", Tone.WARN)


def _range(row: Alternative) -> Toned:
    return Toned(f"{format_dollars(row.cost[0])}–{format_dollars(row.cost[2])}" if row.cost and row.cost[2] else "", Tone.QUIET)


COLUMNS: tuple[Column[Alternative], ...] = (
    Column("", lambda row: Toned("plan" if row.is_plan else "", Tone.BUSY), 4, rank=0),
    Column("VMs", lambda row: str(row.vms), 5, rank=1, right=True),
    Column("Machine", lambda row: row.machine_type, 13, 16, rank=2),
    Column("Model", lambda row: row.model.lower(), 8, rank=3),
    Column("Takes", lambda row: format_duration(row.minutes * 60) if row.minutes else "", 9, rank=4, right=True),
    Column("Cost", _cost, 9, rank=5, right=True),
    Column("Low–high", _range, 13, 17, rank=6),
    Column("VM-hours", lambda row: format_hours(row.vm_hours) if row.vm_hours else "", 9, rank=7, right=True),
    Column("Note", lambda row: Toned(row.note, Tone.WARN), 10, 30, 60, rank=8),
)


class WhatIfScreen(ModalScreen[None]):
    """The plan's own fleet on top, below it what was tried, the newest under the cursor."""

    DEFAULT_CSS = """
    WhatIfScreen { align: center middle; background: $background 60%; }
    WhatIfScreen > Vertical {
        width: 96%;
        max-width: 130;
        height: 80%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    WhatIfScreen .what-if--hint { height: 1; color: $quiet; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "close", "Close"),
        Binding("plus,right", "vms(1)", "More VMs"),
        Binding("minus,left", "vms(-1)", "Fewer VMs"),
        Binding("m", "machine", "Machine type"),
        Binding("s", "model", "Spot or standard"),
    ]

    def __init__(self, session: Session, plan_id: str) -> None:
        super().__init__()
        self._session = session
        self._plan_id = plan_id
        self._plan: Plan | None = None
        self._tried: list[Alternative] = []
        self._vms, self._machine, self._model = 0, "", ""

    def compose(self) -> ComposeResult:
        sentence = Sentence(id="what-if-sentence")
        sentence.set_sentence(f"reading plan {self._plan_id} …", tone=Tone.BUSY)
        with Vertical():
            yield sentence
            yield LineTable(COLUMNS, _key, empty="", id="what-if-fleets")
            yield Static("+ more VMs · - fewer · m machine type · s spot or standard · esc back", classes="what-if--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()
        self._try()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_vms(self, step: int) -> None:
        if self._plan is not None:
            more = [count for count in STEPS if count > self._vms]
            fewer = [count for count in STEPS if count < self._vms]
            self._vms = (more[0] if more else self._vms) if step > 0 else (fewer[-1] if fewer else self._vms)
            self._try()

    def action_machine(self) -> None:
        if self._plan is not None:
            known = list(
                dict.fromkeys([self._machine, *self._session.profile.machine_types, *known_machines(self._session.profile.region)])
            )
            ordered = sorted(known)
            self._machine = ordered[(ordered.index(self._machine) + 1) % len(ordered)]
            self._try()

    def action_model(self) -> None:
        if self._plan is not None:
            self._model = "STANDARD" if self._model == "SPOT" else "SPOT"
            self._try()

    @work(exclusive=True, group="what-if", exit_on_error=False)
    async def _try(self) -> None:
        sentence = self.query_one("#what-if-sentence", Sentence)
        try:
            if self._plan is None:
                self._plan = await in_thread(lambda: self._session.inventory.plan(self._plan_id), name="plan")
            plan = self._plan
            wanted = Choices((self._vms,), (self._machine,), (self._model,)) if self._vms else Choices()
            sentence.set_sentence("packing the work anew …", tone=Tone.BUSY)
            own, *found = await in_thread(lambda: self._session.planning.what_if(plan, wanted), name="what if")
        except Exception as error:  # noqa: BLE001 - a person reads why, and the console goes on
            sentence.set_sentence(one_line(error), tone=Tone.BAD)
            return
        if not self._vms:
            self._vms, self._machine, self._model = own.vms, own.machine_type, own.model or self._session.profile.provisioning_model
            self._tried = [own]
            sentence.set_sentence(_own_phrases(own), tone=Tone.PLAIN)
        else:
            self._tried = [row for row in self._tried if _key(row) != _key(found[0])] + found
            sentence.set_sentence(_compared(own, found[0]), tone=Tone.WARN if found[0].note else Tone.PLAIN)
        table = self.query_one(LineTable)
        table.set_rows(self._tried)
        table.move_to(_key(self._tried[-1]))


def _key(row: Alternative) -> str:
    return f"{row.is_plan} {row.vms} {row.machine_type} {row.model}"


def _own_phrases(own: Alternative) -> list[Phrase]:
    cost = format_dollars(own.cost[1]) if own.cost else "an unknown amount"
    return [
        Phrase(f"The plan: {own.vms} VMs, {format_duration(own.minutes * 60)}, "),
        Phrase(cost, strong=True),
        Phrase("; try another fleet"),
    ]


def _compared(own: Alternative, other: Alternative) -> list[Phrase]:
    if not other.minutes:
        return [Phrase(other.note or "it cannot be done", Tone.WARN)]
    phrases = [
        Phrase(f"{other.vms} VMs, {other.machine_type} {other.model.lower()}: "),
        Phrase(format_duration(other.minutes * 60), strong=True),
    ]
    sooner = own.minutes - other.minutes
    word = "sooner" if sooner >= 0 else "later"
    phrases.append(Phrase(f", {format_duration(abs(sooner) * 60)} {word} than the plan"))
    if own.cost and other.cost:
        more = other.cost[1] - own.cost[1]
        phrases += [Phrase("; "), Phrase(format_dollars(other.cost[1]), strong=True)]
        if more:
            phrases.append(Phrase(f", {format_dollars(abs(more))} {'more' if more > 0 else 'less'}", Tone.WARN if more > 0 else Tone.GOOD))
    return [*phrases, *([Phrase(f"; {other.note}", Tone.WARN)] if other.note else [])]
