"""The line for `/`: filters as it is typed, says how much passes, and keeps the last good filter while the text is no filter."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from console.query import ANYTHING, EVERYTHING, Query, QueryError, Vocabulary, complete, parse
from console.widgets.figures import format_count


class FieldSuggester(Suggester):
    """The name that a view's vocabulary has for what was begun, behind the cursor; the right arrow takes it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.vocabulary = ANYTHING

    async def get_suggestion(self, value: str) -> str | None:
        return complete(value, self.vocabulary)


class Prompt(Horizontal):
    """Hidden until `open`; Enter keeps the filter, Escape goes back to the one from before."""

    DEFAULT_CSS = """
    Prompt {
        height: 1;
        display: none;
        background: $panel;
        color: $foreground;
        padding: 0 1;
        &.-open { display: block; }
        & > #prompt-lead { width: auto; color: $accent; text-style: bold; }
        & > Input, & > Input:focus { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & > #prompt-note { width: auto; color: $quiet; text-align: right; padding: 0 0 0 1; }
        &.-wrong > Input, &.-wrong > Input:focus { color: $state-bad; }
        &.-wrong > #prompt-note { color: $state-bad; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    class Changed(Message):
        """Another filter holds now."""

        def __init__(self, prompt: Prompt, query: Query) -> None:
            super().__init__()
            self.prompt = prompt
            self.query = query

        @property
        def control(self) -> Prompt:
            return self.prompt

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Prompt.Changed) and message.prompt is self.prompt

    class Closed(Message):
        """The line is gone: give the focus back to what was filtered."""

        def __init__(self, prompt: Prompt, query: Query) -> None:
            super().__init__()
            self.prompt = prompt
            self.query = query

        @property
        def control(self) -> Prompt:
            return self.prompt

    def __init__(self, *, lead: str = "/ ", placeholder: str = 'words  -not  "phrase"  /regex/  field:value  field>n  is:state',
                 vocabulary: Vocabulary = ANYTHING, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  # fmt: skip
        super().__init__(id=id, classes=classes)
        self._suggester = FieldSuggester()
        self._suggester.vocabulary = vocabulary
        self._lead = lead
        self._placeholder = placeholder
        self._query = EVERYTHING
        self._before = EVERYTHING
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static(self._lead, id="prompt-lead")
        yield Input(placeholder=self._placeholder, id="prompt-input", compact=True, suggester=self._suggester)
        yield Static("", id="prompt-note")

    @property
    def query_now(self) -> Query:
        """The filter that holds: the last text that was one."""
        return self._query

    @property
    def note(self) -> str:
        """What stands at the right: hits, or what is wrong."""
        return self._note

    def set_vocabulary(self, vocabulary: Vocabulary) -> None:
        """What may be named from now on: rows have come, or others."""
        self._suggester.vocabulary = vocabulary

    def open(self, text: str | None = None) -> None:
        """Show the line with the present filter, or with `text`, and take the focus."""
        self._before = self._query
        box = self.query_one(Input)
        box.value = str(self._query) if text is None else text
        box.cursor_position = len(box.value)
        self.add_class("-open")
        box.focus()

    def set_query(self, query: Query) -> None:
        """Hold this filter, as if it had been typed and kept."""
        self._hold(query)

    def set_hits(self, shown: int, total: int) -> None:
        """Say how many rows pass."""
        if not self.has_class("-wrong"):
            self._say(f"{format_count(shown)} of {format_count(total)}")

    def action_cancel(self) -> None:
        self._close(self._before)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            query = parse(event.value, self._suggester.vocabulary)
        except QueryError as error:
            self.add_class("-wrong")
            self._say(str(error))
            return
        self.remove_class("-wrong")
        self._say("")
        self._hold(query)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(self._query)

    def _close(self, query: Query) -> None:
        self._hold(query)
        self.remove_class("-open", "-wrong")
        self.post_message(self.Closed(self, query))

    def _hold(self, query: Query) -> None:
        if query != self._query:
            self._query = query
            self.post_message(self.Changed(self, query))

    def _say(self, text: str) -> None:
        self._note = text
        self.query_one("#prompt-note", Static).update(text)
