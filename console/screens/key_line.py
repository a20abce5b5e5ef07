"""The last line of a screen: its own keys, the first one highlighted, and at the right the way to the other screens and to help.

Apart from Textual's footer because that one scrolls what does not fit out of sight; here the way out is always there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from console.actions import Action, Mode, action, actions_for
from console.modes import MODES

if TYPE_CHECKING:
    from console.screens.base import ModeScreen

_WIDE: Final = 120
"""From this width on the other screens are named."""

_Part = tuple[Action | None, Content]
"""A piece of the line, and what clicking it does."""


class KeyLine(Widget):
    """Keys and what they do, as many as fit. Clicking one does it."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    KeyLine { height: 1; dock: bottom; background: $panel; color: $foreground; text-wrap: nowrap; }
    """

    def __init__(self, mode: Mode, *, primary: str = "", id: str | None = None) -> None:  # noqa: A002
        """
        Args:
            mode: Whose keys.
            primary: The action to highlight; empty: none.
        """
        super().__init__(id=id)
        self._mode = mode
        self._primary = primary

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.refresh())

    def render(self) -> Content:
        shown, tail = self._layout()
        room = self.size.width - sum(cell_len(part.plain) for _, part in (*shown, *tail))
        return Content.assemble(*(part for _, part in shown), " " * max(0, room), *(part for _, part in tail))

    async def on_click(self, event: events.Click) -> None:
        """Do what the key under the mouse does."""
        shown, tail = self._layout()
        place = 0
        for each, part in shown:
            place += cell_len(part.plain)
            if event.x < place:
                await self._do(each)
                return
        place = self.size.width
        for each, part in reversed(tail):
            place -= cell_len(part.plain)
            if event.x >= place:
                await self._do(each)
                return

    async def _do(self, each: Action | None) -> None:
        if each is not None:
            await self.app.run_action(each.call, self.screen if each.modes else self.app)

    def _layout(self) -> tuple[list[_Part], list[_Part]]:
        """This mode's keys, as many as fit, and the common ones that stand at the right."""
        tail = self._tail(self.size.width)
        room = self.size.width - sum(cell_len(part.plain) for _, part in tail)
        shown: list[_Part] = []
        for each in actions_for(self._mode):
            if not (each.footer and each.modes):
                continue
            part = self._part(each, primary=each.id == self._primary)
            if cell_len(part.plain) > room:
                break
            shown.append((each, part))
            room -= cell_len(part.plain)
        find = action("filter")
        if all(each is not find for each, _ in tail) and cell_len((part := self._part(find)).plain) <= room:
            tail.insert(0, (find, part))
        return shown, tail

    def _tail(self, width: int) -> list[_Part]:
        """The common keys: the other screens by name where there is room for it, else by their digits."""
        help_key = action("help")
        if width >= _WIDE:
            others = [action(f"show_{mode}") for mode in MODES if mode is not self._mode]
            return [(each, self._part(each)) for each in (*others, action("filter"), help_key)]
        return [(None, Content.assemble((f" 1-{len(MODES)}", "bold $accent"), (" screens ", "$quiet"))), (help_key, self._part(help_key))]

    def _part(self, each: Action, *, primary: bool = False) -> Content:
        node = self.screen if each.modes else self.app
        keys = each.key_text.split(" / ")
        key = next((key for key in keys if key not in cast("ModeScreen", self.screen).keys_taken), keys[0])
        if not node.check_action(each.id, ()):
            return Content.assemble((f" {key} {each.label} ", "$rule"))
        if primary:
            return Content.assemble((f" {key} {each.label} ", "bold $background on $accent"))
        return Content.assemble((f" {key}", "bold $accent"), (f" {each.label} ", "$quiet"))
