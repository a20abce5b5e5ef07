"""Launching a plan otherwise than at once and whole: which shards, on how many VMs, whether VMs stay; and at once what that comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from console.plan_slice import ADDRESSES, CANARIES, PlanSlice, read_slice
from console.screens.form_fields import Choice
from console.widgets.tones import GLYPHS, Tone
from engine.errors import EngineError, one_line
from engine.plan import Plan


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """A part of a plan, and what is wanted of it."""

    part: PlanSlice
    dry_run: bool = False
    """Only list what a launch would create."""


class SliceScreen(ModalScreen[SliceChoice | None]):
    """A modal; its result is the part, or None. Enter goes on to the question, which says what it costs."""

    # CSS, not DEFAULT_CSS: it must win over the defaults of the boxes inside.
    CSS = """
    SliceScreen { align: center middle; background: $background 60%; }
    SliceScreen > Vertical { width: 76; max-width: 96%; height: auto; padding: 0 2; background: $surface; border: round $primary; }
    SliceScreen .slice--title { text-style: bold; }
    SliceScreen Horizontal { height: 1; }
    SliceScreen .slice--title { margin-bottom: 1; }
    SliceScreen .slice--label { width: 12; color: $quiet; }
    SliceScreen Input, SliceScreen Input:focus { width: 1fr; height: 1; border: none; padding: 0 1; background: $panel; }
    SliceScreen Input:focus { background: $row-cursor; }
    SliceScreen Choice { width: 1fr; height: 1; padding: 0 1; background: $panel; margin-right: 2; }
    SliceScreen Choice:focus { background: $row-cursor; text-style: bold; }
    SliceScreen #slice-verdict { height: auto; min-height: 2; margin-top: 1; }
    SliceScreen #slice-verdict.-wrong { color: $state-bad; }
    SliceScreen #slice-command { max-height: 6; }
    SliceScreen #slice-command, SliceScreen .slice--hint { height: auto; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Cancel"),
        Binding("enter", "go_on", "Go on", show=False),
        Binding("f2", "dry_run", "Dry run", show=False),
        Binding("up", "app.focus_previous", "Field above", show=False),
        Binding("down", "app.focus_next", "Field below", show=False),
    ]

    def __init__(self, plan: Plan, *, shards: str, describe: Callable[[PlanSlice], str], command: Callable[[PlanSlice], str]) -> None:
        """
        Args:
            plan: of which a part is wanted.
            shards: what the field begins with, e.g. the marked ones.
            describe: one sentence of what a part comes to. May raise an `EngineError`.
            command: the headless command that launches the part.
        """
        super().__init__()
        self._plan = plan
        self._shards = shards
        self._describe = describe
        self._command = command
        self._part: PlanSlice | None = None

    def compose(self) -> ComposeResult:
        last = len(self._plan.shards) - 1
        with Vertical():
            yield Static(f"Launch plan {self._plan.id} in part, or otherwise", classes="slice--title", markup=False)
            with Horizontal():
                yield Static("Shards", classes="slice--label")
                yield Input(self._shards, placeholder=f"all: 0-{last}; or 0-9,12", id="slice-shards", compact=True)
            with Horizontal():
                yield Static("VMs at most", classes="slice--label")
                yield Input(placeholder="one a shard", id="slice-vms", compact=True)
            with Horizontal():
                yield Static("Keep VMs", classes="slice--label")
                yield Input(placeholder="no; 2h: they stay for tickdeck run", id="slice-keep", compact=True)
            with Horizontal():
                yield Static("Canaries", classes="slice--label")
                yield Choice("canaries", tuple(CANARIES))
                yield Static("Addresses", classes="slice--label")
                yield Choice("addresses", tuple(ADDRESSES))
            yield Static("", id="slice-verdict", markup=False)
            yield Static("", id="slice-command", markup=False)
            yield Static("enter goes on · F2 dry run · ↑ ↓ field · ← → choose · esc cancels", classes="slice--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one("#slice-shards", Input).focus()
        self._read()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._read()

    def on_choice_changed(self, event: Choice.Changed) -> None:
        event.stop()
        self._read()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_go_on()

    def action_go_on(self) -> None:
        if self._part is not None:
            self.dismiss(SliceChoice(self._part))

    def action_dry_run(self) -> None:
        if self._part is not None:
            self.dismiss(SliceChoice(self._part, dry_run=True))

    def action_close(self) -> None:
        self.dismiss(None)

    def _read(self) -> None:
        verdict = self.query_one("#slice-verdict", Static)
        try:
            texts = (self.query_one(f"#slice-{name}", Input).value for name in ("shards", "vms", "keep"))
            part = replace(
                read_slice(self._plan, *texts),
                canary=CANARIES[self.query_one("#field-canaries", Choice).value],
                external_ip=ADDRESSES[self.query_one("#field-addresses", Choice).value],
            )
            text = "; ".join([self._describe(part), *part.remarks])
        except EngineError as error:
            self._part = None
            verdict.update(f"{GLYPHS[Tone.BAD]} {one_line(error)}")
            self.query_one("#slice-command", Static).update("")
        else:
            self._part = part
            verdict.update(text)
            self.query_one("#slice-command", Static).update(f"$ {self._command(part)}")
        verdict.set_class(self._part is None, "-wrong")
