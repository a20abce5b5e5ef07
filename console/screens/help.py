"""`?`: every key of the screen it was asked on, what it does, and why it is off if it is. Made from the action registry."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.actions import WIDGET_KEYS, HelpRow, Mode, action, help_rows
from console.commands import WORDS as COMMAND_WORDS
from console.query import EVERYTHING, Query, Vocabulary, words_of
from console.widgets.figures import fit
from console.widgets.prompt import Prompt

_KEY_WIDTH = 14
_LABEL_WIDTH = 15
_NARROW = 56
"""Columns below which what a key does stands under it."""


WORDS = Vocabulary(("key", "label", "text", "screen", "why"), ("off",))


@dataclass(frozen=True, slots=True)
class _Line:
    """A key, where it works, and why it is off now."""

    place: str
    row: HelpRow
    off: str = ""

    def passes(self, query: Query) -> bool:
        record: dict[str, object] = {
            "key": self.row.key,
            "label": self.row.label,
            "text": self.row.text,
            "screen": self.place,
            "why": self.off,
            "is": ["off"] if self.off else [],
        }
        return query.matches(record, words_of(record))

    def render(self, width: int) -> list[Content]:
        lead = _KEY_WIDTH + _LABEL_WIDTH
        text = f"off: {self.off}" if self.off else self.row.text
        if width < _NARROW:
            return self._below(text, width)
        first, *more = textwrap.wrap(text, max(20, width - lead)) or [""]
        tone, quiet = ("$state-warn", "$quiet") if self.off else ("", "")
        key, label = fit(self.row.key, _KEY_WIDTH - 2), fit(self.row.label, _LABEL_WIDTH - 2)
        head = Content.assemble((f"{key}  ", quiet or "bold $accent"), (f"{label}  ", quiet), (first, tone))
        return [head, *(Content.assemble(" " * lead, (each, tone)) for each in more)]

    def _below(self, text: str, width: int) -> list[Content]:
        tone, quiet = ("$state-warn", "$quiet") if self.off else ("", "")
        head = Content.assemble((f"{self.row.key}  ", quiet or "bold $accent"), (self.row.label, quiet))
        return [head, *(Content.assemble("  ", (each, tone)) for each in textwrap.wrap(text, max(20, width - 2)))]


class HelpScreen(ModalScreen[None]):
    """A table of keys, this screen's first; what is searched for is found in all screens."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > Vertical {
        width: 110;
        max-width: 96%;
        height: 92%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    HelpScreen VerticalScroll { height: 1fr; scrollbar-size: 1 1; }
    HelpScreen #help-rows { height: auto; }
    HelpScreen .help--title { height: 1; text-style: bold; }
    HelpScreen .help--hint { height: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace,question_mark", "close", "Close"),
        Binding("slash", "search", "Search"),
    ]

    def __init__(self, mode: Mode, *, read_only: bool, link_down: str, off: Mapping[str, str]) -> None:
        """
        Args:
            mode: Whose keys.
            read_only: Nothing may be written now.
            link_down: What cannot be reached; empty if all answers.
            off: Actions that the screen itself has switched off: id -> why.
        """
        super().__init__()
        self._mode = mode
        reasons = {(action(each).key_text, action(each).label): reason for each, reason in off.items()}
        rows = help_rows(mode, read_only=read_only, link_down=link_down)
        here, common = mode.value.capitalize(), "Everywhere"
        self._rows = [
            *(_Line(here, row, row.off or reasons.get((row.key, row.label), "")) for row in rows if not row.common),
            *(_Line(here, row) for row in WIDGET_KEYS.get(mode, ())),
            *(_Line(common, row, reasons.get((row.key, row.label), "")) for row in rows if row.common),
            *(_Line(common, HelpRow(f": {word.name}", word.takes or "—", word.help, common=True)) for word in COMMAND_WORDS),
        ]
        self._elsewhere = [
            _Line(other.value.capitalize(), row)
            for other in Mode
            if other is not mode
            for row in (*(row for row in help_rows(other) if not row.common), *WIDGET_KEYS.get(other, ()))
        ]
        self._query: Query = EVERYTHING

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(f"Keys of {self._mode.value.capitalize()}", classes="help--title", markup=False)
            yield Prompt(placeholder="what do you want to do?  words of all screens  is:off", vocabulary=WORDS)
            with VerticalScroll():
                yield Static(id="help-rows", markup=False)
            yield Static(
                "/ search, in all screens · esc closes · ctrl+p does it by name",
                classes="help--hint",
                markup=False,
            )

    def on_mount(self) -> None:
        self._fill()
        self.query_one(VerticalScroll).focus()

    def on_resize(self) -> None:
        self._fill()

    def action_close(self) -> None:
        if self._query:
            self.query_one(Prompt).set_query(EVERYTHING)
        else:
            self.dismiss()

    def action_search(self) -> None:
        self.query_one(Prompt).open()

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        message.stop()
        self._query = message.query
        self._fill()
        self.query_one(VerticalScroll).scroll_home(animate=False)

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        message.stop()
        self.query_one(VerticalScroll).focus()

    def _fill(self) -> None:
        """Whole sentences: what is too long goes on in the next line, under its own column."""
        width = min(112, self.app.size.width * 96 // 100) - 6
        lines: list[Content] = []
        place = self._mode.value.capitalize()
        shown = [line for line in (*self._rows, *self._elsewhere) if line.passes(self._query)] if self._query else self._rows
        for line in shown:
            if line.place != place:
                place = line.place
                lines += [Content(""), Content.styled(place, "bold")]
            lines += line.render(width)
        if not shown:
            lines = [Content("no key does that; ctrl+p finds any action by name")]
        self.query_one(Prompt).set_hits(len(shown), len(self._rows) + len(self._elsewhere))
        self.query_one("#help-rows", Static).update(Content("\n").join(lines))
