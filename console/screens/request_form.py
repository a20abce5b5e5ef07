"""The fields of a request: one line each, names completed as they are typed, what is wrong written beside the field.

Completion is the grey text behind the cursor, never a list that has to be closed: so Enter always means the same. Fields that most
requests leave alone are a group that opens; closed, its line says what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from console.field_names import (
    AGAIN,
    CHOICES,
    CLOCK,
    DAILY_BYTES,
    DATA_TYPES_FIELD,
    DEADLINE,
    END,
    KINDS,
    LISTS,
    MACHINE,
    MAX_COST,
    MAX_FAILURES,
    PRICING,
    RETRY,
    SHARDS,
    START,
    STRATEGY,
    SYMBOLS,
    TIMEFRAMES_FIELD,
    UNIVERSE,
    VENUES,
    Known,
    machine_words,
    offered,
    price_remark,
    split_words,
)
from console.request_fields import FIELDS, MORE_FIELDS, more_words, title
from console.screens.form_fields import Choice, FieldInput, MoreLine
from console.widgets.figures import one_line
from engine.plan import CANDLES

ROWS = ((VENUES,), (DATA_TYPES_FIELD,), (START, END), (SYMBOLS,), (UNIVERSE, STRATEGY), (SHARDS, DEADLINE))
"""Fields that share a line."""
MORE_ROWS = ((MACHINE,), (PRICING, MAX_COST), (DAILY_BYTES, MAX_FAILURES), (KINDS, AGAIN), (RETRY,))
"""The same of the group that opens."""
CANDLE_ROW = (TIMEFRAMES_FIELD, CLOCK)

PLACEHOLDERS = {
    VENUES: "binance, deribit",
    DATA_TYPES_FIELD: "trades, book_snapshot_5",
    START: "2024-05-01",
    END: "same day",
    SYMBOLS: "all that are expected",
    UNIVERSE: "none",
    SHARDS: "by the profile",
    DEADLINE: "06:00 or 4h",
    MACHINE: "by the profile",
    MAX_COST: "none",
    DAILY_BYTES: "none",
    MAX_FAILURES: "none",
    AGAIN: "nothing",
    KINDS: "all",
    RETRY: "all that went wrong",
    TIMEFRAMES_FIELD: "all",
}

HINTS = {
    START: "YYYY-MM-DD, yesterday, today, or 7d for seven days ago; UTC days",
    END: "the last day, inclusive; empty means one day",
    SYMBOLS: "dataset ids, with commas; empty means every symbol that is expected",
    SHARDS: "how many parts, one VM each; empty: the profile or the deadline decides",
    DEADLINE: "06:00 (the next, UTC), 4h, 1h30m or 2024-05-02T06:00Z; then the number of VMs is the answer",
    STRATEGY: "← → choose: balanced by estimated time, by-date in blocks of days, by-instrument in days of one symbol",
    PRICING: "← → choose: spot VMs may be preempted and are replaced, on-demand VMs stay and cost more",
    MAX_COST: "US dollars that the run may cost: no VM is asked for that could pass it",
    DAILY_BYTES: "most source bytes on a UTC day, all shards together: 500GB; then they wait for 00:00 UTC",
    MAX_FAILURES: "a worker stops when more of its files end bad: 25, or 5% of them; 0 at the first",
    CLOCK: "← → choose: which of a row's two times decides its bar",
}
_ALWAYS_EXPLAINED = frozenset({START, END})
"""Fields whose hint says more than the names that could stand there."""

_NOTHING_MORE = "machine, pricing, caps, kinds and retries as the profile says"


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
            yield from self._row(names)
        yield MoreLine(_NOTHING_MORE, id="form-more")
        with Vertical(id="form-more-rows"):
            for names in MORE_ROWS:
                yield from self._row(names)
            yield from self._row(CANDLE_ROW, classes="form--candles")
        yield Static("", id="form-hint", markup=False)

    def _row(self, names: tuple[str, ...], classes: str = "") -> ComposeResult:
        with Horizontal(classes=f"form--row {classes}"):
            for name in names:
                with Horizontal(
                    classes=f"form--field{' -half' if len(names) > 1 else ''}{' -list' if name in LISTS else ''}", id=f"box-{name}"
                ):
                    yield Static(title(name), classes="form--label", markup=False)
                    if name in CHOICES:
                        yield Choice(name, CHOICES[name])
                    else:
                        yield FieldInput(name, PLACEHOLDERS[name], lambda: self.known)
                    yield Static("", classes="form--note", id=f"note-{name}", markup=False)

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
        self._show_more()

    @property
    def is_more_open(self) -> bool:
        """Whether the fields of the group show; where there is room for them they always do."""
        return bool(self.query_one("#form-more-rows").display)

    def toggle_more(self) -> None:
        """Open the group and go to its first field; or close it."""
        self._open_more(not self.has_class("-more"))
        if self.has_class("-more"):
            self._field(MACHINE).focus()

    def close_more(self) -> None:
        """Close the group; its line says what the fields hold."""
        self._open_more(False)

    def _open_more(self, is_open: bool) -> None:
        self.set_class(is_open, "-more")
        self.screen.set_class(is_open, "-more")
        rows = self.query_one("#form-more-rows").styles
        if is_open:
            rows.display = "block"  # At once: what the style sheet will show takes no focus before it does.
        else:
            rows.clear_rule("display")
        self._show_more()

    def _show_more(self) -> None:
        """What depends on what the fields of the group hold."""
        texts = self.texts
        self.set_class(split_words(texts[DATA_TYPES_FIELD]) == (CANDLES,), "-candles")
        wrong = [f"× {title(name)}: {_short(error)}" for name, error in self._errors.items() if name in MORE_FIELDS]
        line = self.query_one(MoreLine)
        line.show(
            [*wrong, *more_words({name: text for name, text in texts.items() if name not in self._errors})], is_open=self.has_class("-more")
        )
        line.set_class(bool(wrong), "-wrong")
        self.query_one(f"#field-{MACHINE}", FieldInput).placeholder = self.known.own_machine or PLACEHOLDERS[MACHINE]
        cap = f"{self.known.own_cap:g} by profile" if self.known.own_cap else PLACEHOLDERS[MAX_COST]
        self.query_one(f"#field-{MAX_COST}", FieldInput).placeholder = cap
        if MACHINE not in self._errors:
            remark = price_remark(texts[MACHINE].strip(), texts[PRICING], self.known)
            note = self.query_one(f"#note-{MACHINE}", Static)
            note.update(remark)
            note.set_class(remark.startswith("!"), "-odd")

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
        self._show_more()
        self._explain()

    def focus_first(self) -> None:
        """To the first wrong field, else to the first."""
        name = next(iter(self._errors), VENUES)
        if name in MORE_FIELDS and not self.is_more_open:
            self._open_more(True)
        self._field(name).focus()

    @property
    def focused_field(self) -> str:
        """The field with the focus; empty if none has it."""
        focused = self.screen.focused
        return focused.field if isinstance(focused, FieldInput | Choice) else "more" if isinstance(focused, MoreLine) else ""

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

    def on_more_line_toggled(self, event: MoreLine.Toggled) -> None:
        event.stop()
        self.toggle_more()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        self._explain()

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        self._explain()

    def _field(self, name: str) -> FieldInput | Choice:
        return self.query_one(f"#field-{name}", Choice) if name in CHOICES else self.query_one(f"#field-{name}", FieldInput)

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
            line.update(self._hint_of(name))
        line.set_class(not (error or name), "-empty")

    def _hint_of(self, name: str) -> str:
        if name == "more":
            return "→ opens and closes: machine type, spot or on demand, caps, kinds, what is tried again"
        text = self._field(name).value.strip()
        if name == MACHINE and (machine := self.known.machine(text)) is not None and text == machine.name:
            return machine_words(text, self.known)
        found = [] if name in CHOICES or name in _ALWAYS_EXPLAINED else offered(name, text, self.known)
        each = " (an hour spot/on demand)" if name == MACHINE else ""
        return f"→ completes{each}: {'  '.join(found[:12])}" if found else HINTS.get(name, "")


def _short(error: str) -> str:
    """What fits beside a field: the remedy if it names one, else what is wrong."""
    problem, _, hint = error.partition(" -> ")
    return hint if hint.startswith("did you mean") else problem
