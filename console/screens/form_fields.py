"""What a form of a request is made of: a line of text with completion, a word out of a few, and the line of a closed group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from console.actions import action
from console.field_names import Known, complete
from console.widgets.figures import one_line

_UP_AND_DOWN: tuple[Binding, ...] = (
    Binding("up", "app.focus_previous", "Field above", show=False),
    Binding("down", "app.focus_next", "Field below", show=False),
)


class NameSuggester(Suggester):
    """Completes the last word of a field."""

    def __init__(self, name: str, known: Callable[[], Known]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._name = name
        self._known = known

    async def get_suggestion(self, value: str) -> str | None:
        return complete(self._name, value, self._known())


class FieldInput(Input):
    """One field's text. Up and down go to the field above and below."""

    BINDINGS: ClassVar[list[BindingType]] = [*_UP_AND_DOWN]

    def __init__(self, name: str, placeholder: str, known: Callable[[], Known]) -> None:
        super().__init__(placeholder=placeholder, id=f"field-{name}", compact=True, suggester=NameSuggester(name, known))
        self.field = name


class Choice(Widget, can_focus=True):
    """One word of a few; left and right take another."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Another", show=False),
        Binding("right,space", "step(1)", "Another", show=False),
        *_UP_AND_DOWN,
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


class MoreLine(Widget, can_focus=True):
    """The line of a group of fields that is closed or open: what they hold, if it is not what they hold anyhow."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "open_close", "Open", show=False),
        Binding("left", "open_close", "Close", show=False),
        *_UP_AND_DOWN,
    ]

    class Toggled(Message):
        """A person opens or closes the group."""

    def __init__(self, empty: str, *, id: str | None = None) -> None:  # noqa: A002
        """
        Args:
            empty: what the line says while the fields hold nothing of their own.
        """
        super().__init__(id=id)
        self._empty = empty
        self.words: tuple[str, ...] = ()
        self.is_open = False

    def show(self, words: Sequence[str], *, is_open: bool) -> None:
        """Say what the fields hold."""
        if (tuple(words), is_open) != (self.words, self.is_open):
            self.words, self.is_open = tuple(words), is_open
            self.refresh()

    def render(self) -> Content:
        key = action("more_fields").key_text
        said = (one_line(" · ".join(self.words)), "") if self.words else (self._empty, "$quiet")
        return Content.assemble((key, "bold $accent"), (f" {'▾' if self.is_open else '▸'} More    ", "$quiet"), said)

    def action_open_close(self) -> None:
        self.post_message(self.Toggled())

    def on_click(self) -> None:
        self.action_open_close()
