"""The fields of a request: one line each, names completed as they are typed, what is wrong written beside the field.

Completion is the grey text behind the cursor, never a list that has to be closed: so Enter always means the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Static

from console.request_fields import (
    DATA_TYPES_FIELD,
    DEADLINE,
    END,
    FIELDS,
    SHARDS,
    START,
    STRATEGY,
    SYMBOLS,
    UNIVERSE,
    VENUES,
    Known,
    complete,
    matches,
    title,
)
from console.widgets.figures import one_line
from engine.plan import STRATEGIES

ROWS = ((VENUES,), (DATA_TYPES_FIELD,), (START, END), (SYMBOLS,), (UNIVERSE, STRATEGY), (SHARDS, DEADLINE))
"""Fields that share a line."""

PLACEHOLDERS = {
    VENUES: "binance, deribit",
    DATA_TYPES_FIELD: "trades, book_snapshot_5",
    START: "2024-05-01",
    END: "same day",
    SYMBOLS: "all that are expected",
    UNIVERSE: "none",
    SHARDS: "by the profile",
    DEADLINE: "06:00 or 4h",
}

HINTS = {
    START: "YYYY-MM-DD, yesterday, today, or 7d for seven days ago; UTC days",
    END: "the last day, inclusive; empty means one day",
    SYMBOLS: "dataset ids, with commas; empty means every symbol that is expected",
    SHARDS: "how many parts, one VM each; empty: the profile or the deadline decides",
    DEADLINE: "06:00 (the next, UTC), 4h, 1h30m or 2024-05-02T06:00Z; then the number of VMs is the answer",
    STRATEGY: "← → choose: balanced by estimated time, by-date in blocks of days, by-instrument in days of one symbol",
}


class NameSuggester(Suggester):
    """Completes the last word of a field."""

    def __init__(self, name: str, form: RequestForm) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._name = name
        self._form = form

    async def get_suggestion(self, value: str) -> str | None:
        return complete(self._name, value, self._form.known)


class FieldInput(Input):
    """One field's text. Up and down go to the field above and below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "Field above", show=False),
        Binding("down", "app.focus_next", "Field below", show=False),
    ]

    def __init__(self, name: str, form: RequestForm) -> None:
        super().__init__(placeholder=PLACEHOLDERS.get(name, ""), id=f"field-{name}", compact=True, suggester=NameSuggester(name, form))
        self.field = name


class Choice(Widget, can_focus=True):
    """One word of a few; left and right take another."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Another", show=False),
        Binding("right,space", "step(1)", "Another", show=False),
        Binding("up", "app.focus_previous", "Field above", show=False),
        Binding("down", "app.focus_next", "Field below", show=False),
    ]

    class Changed(Message):
        """Another word was taken."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self, name: str, words: tuple[str, ...]) -> None:
        super().__init__(id=f"field-{name}")
        self.field = name
        self._words = words
        self.value = words[0]

    def set_value(self, word: str) -> None:
        """Take a word without telling anybody."""
        if word in self._words:
            self.value = word
            self.refresh()

    def render(self) -> Content:
        if self.size.width < len(self.value) + 4:
            return Content(self.value)
        return Content.assemble(("‹ ", "$quiet"), self.value, (" ›", "$quiet"))

    def action_step(self, step: int) -> None:
        place = (self._words.index(self.value) + step) % len(self._words)
        self.value = self._words[place]
        self.refresh()
        self.post_message(self.Changed(self))

    def on_click(self) -> None:
        self.action_step(1)


class RequestForm(Vertical):
    """All fields, and one line that explains the one with the focus."""

    class Changed(Message):
        """A person changed a field."""

        def __init__(self, texts: Mapping[str, str]) -> None:
            super().__init__()
            self.texts = texts

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RequestForm.Changed)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.known = Known()
        self._errors: Mapping[str, str] = {}
        self._filling: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        for names in ROWS:
            with Horizontal(classes="form--row"):
                for name in names:
                    with Horizontal(classes=f"form--field{' -half' if len(names) > 1 else ''}", id=f"box-{name}"):
                        yield Static(title(name), classes="form--label", markup=False)
                        yield Choice(name, STRATEGIES) if name == STRATEGY else FieldInput(name, self)
                        yield Static("", classes="form--note", id=f"note-{name}", markup=False)
        yield Static("", id="form-hint", markup=False)

    @property
    def texts(self) -> dict[str, str]:
        """What the fields hold."""
        return {name: self._field(name).value for name in FIELDS}

    @property
    def hint(self) -> str:
        """The line under the fields."""
        return str(self.query_one("#form-hint", Static).content)

    def fill(self, texts: Mapping[str, str]) -> None:
        """Write all fields without saying that a person did."""
        for name in FIELDS:
            widget, text = self._field(name), texts.get(name, "")
            if isinstance(widget, Choice):
                widget.set_value(text)
            elif widget.value != text:
                # The field tells of every change; this one was ours.
                self._filling[name] = text
                widget.value = text
                widget.cursor_position = len(text)

    def offer_vms(self, vms: int) -> None:
        """Say in the empty field of shards how many the deadline needs; 0: there is no deadline."""
        self.query_one(f"#field-{SHARDS}", FieldInput).placeholder = f"{vms:,} needed" if vms else PLACEHOLDERS[SHARDS]

    def set_errors(self, errors: Mapping[str, str]) -> None:
        """Say beside each field what is wrong with it."""
        self._errors = dict(errors)
        for name in FIELDS:
            text = errors.get(name, "")
            self.query_one(f"#note-{name}", Static).update(f"× {_short(text)}" if text else "")
            self.query_one(f"#box-{name}").set_class(bool(text), "-wrong")
        self._explain()

    def focus_first(self) -> None:
        """To the first wrong field, else to the first."""
        self._field(next(iter(self._errors), VENUES)).focus()

    @property
    def focused_field(self) -> str:
        """The field with the focus; empty if none has it."""
        focused = self.screen.focused
        return focused.field if isinstance(focused, FieldInput | Choice) else ""

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        assert isinstance(event.input, FieldInput)
        if self._filling.pop(event.input.field, None) != event.value:
            self._clear_other(event.input.field)
            self.post_message(self.Changed(self.texts))
        self._explain()

    def _clear_other(self, name: str) -> None:
        """A deadline and a number of shards exclude each other: the one that is typed holds."""
        other = {SHARDS: DEADLINE, DEADLINE: SHARDS}.get(name, "")
        if other and self._field(name).value.strip() and (widget := self._field(other)).value:
            self._filling[other] = widget.value = ""

    def on_choice_changed(self, event: Choice.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.texts))

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        self._explain()

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        self._explain()

    def _field(self, name: str) -> FieldInput | Choice:
        return self.query_one(f"#field-{name}", Choice) if name == STRATEGY else self.query_one(f"#field-{name}", FieldInput)

    def _explain(self) -> None:
        """Under the fields: the whole error, or what could be typed here."""
        name = self.focused_field
        line = self.query_one("#form-hint", Static)
        error = self._errors.get(name) or next(iter(self._errors.values()), "")
        line.set_class(bool(error), "-wrong")
        if error:
            which = name if name in self._errors else next(iter(self._errors))
            line.update(f"× {title(which)}: {one_line(error)}")
        elif name:
            found = matches(name, self._field(name).value, self.known) if name != STRATEGY else []
            offered = f"→ completes: {'  '.join(found[:12])}" if found else ""
            line.update(HINTS.get(name, offered) if not offered or name in (START, END) else offered)
        line.set_class(not (error or name), "-empty")


def _short(error: str) -> str:
    """What fits beside a field: the remedy if it names one, else what is wrong."""
    problem, _, hint = error.partition(" -> ")
    return hint if hint.startswith("did you mean") else problem
