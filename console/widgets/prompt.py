"""The line for `/`: filters as it is typed, says how much passes, and keeps the last good filter while the text is no filter."""

from __future__ import annotations

from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from console.query import ANYTHING, EVERYTHING, Query, QueryError, Vocabulary, complete, parse
from console.widgets.figures import format_count
from console.widgets.typed_line import TypedLine


class FieldSuggester(Suggester):
    """The name that a view's vocabulary has for what was begun, behind the cursor; the right arrow takes it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.vocabulary = ANYTHING

    async def get_suggestion(self, value: str) -> str | None:
        return complete(value, self.vocabulary)


class Prompt(TypedLine):
    """Hidden until `open`; Enter keeps the filter, Escape goes back to the one from before."""

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

        def __init__(self, prompt: Prompt, query: Query, *, entered: bool) -> None:
            """
            Args:
                entered: By Enter; by Escape if not.
            """
            super().__init__()
            self.prompt = prompt
            self.query = query
            self.entered = entered

        @property
        def control(self) -> Prompt:
            return self.prompt

    def __init__(self, *, lead: str = "/ ", placeholder: str = 'words  -not  "phrase"  /regex/  field:value  field>n  is:state',
                 vocabulary: Vocabulary = ANYTHING, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  # fmt: skip
        self._suggestions = FieldSuggester()
        self._suggestions.vocabulary = vocabulary
        super().__init__(lead, placeholder, suggester=self._suggestions, id=id, classes=classes)
        self._query = EVERYTHING
        self._before = EVERYTHING

    @property
    def query_now(self) -> Query:
        """The filter that holds: the last text that was one."""
        return self._query

    def set_vocabulary(self, vocabulary: Vocabulary) -> None:
        """What may be named from now on: rows have come, or others."""
        self._suggestions.vocabulary = vocabulary

    def open(self, text: str | None = None) -> None:
        """Show the line with the present filter, or with `text`, and take the focus."""
        self._before = self._query
        self.show_line(str(self._query) if text is None else text)

    def set_query(self, query: Query) -> None:
        """Hold this filter, as if it had been typed and kept."""
        self._hold(query)

    def set_hits(self, shown: int, total: int) -> None:
        """Say how many rows pass."""
        if not self.has_class("-wrong"):
            self.say(f"{format_count(shown)} of {format_count(total)}")

    def action_cancel(self) -> None:
        self._close(self._before, entered=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            query = parse(event.value, self._suggestions.vocabulary)
        except QueryError as error:
            self.say(str(error), wrong=True)
            return
        self.say("")
        self._hold(query)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(self._query, entered=True)

    def _close(self, query: Query, *, entered: bool) -> None:
        self._hold(query)
        self.hide_line()
        self.post_message(self.Closed(self, query, entered=entered))

    def _hold(self, query: Query) -> None:
        if query != self._query:
            self._query = query
            self.post_message(self.Changed(self, query))
