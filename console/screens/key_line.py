"""The last line of a screen: its own keys, the first one highlighted, and at the right the way to the other screens and to help.

Apart from Textual's footer because that one scrolls what does not fit out of sight; here the way out is always there.
"""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from console.actions import Action, Mode, action, actions_for

_SCREENS: Final = ("show_plan", "show_fleet", "show_logs", "show_coverage")


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
        width = self.size.width
        tail = self._tail(width)
        room = width - cell_len(tail.plain)
        parts: list[Content] = []
        for each in actions_for(self._mode):
            if not (each.footer and each.modes):
                continue
            part = self._part(each, primary=each.id == self._primary)
            if cell_len(part.plain) > room:
                break
            parts.append(part)
            room -= cell_len(part.plain)
        return Content.assemble(*parts, " " * max(0, room), tail)

    def _tail(self, width: int) -> Content:
        """The common keys: the other screens by name where there is room for it, else by their digits."""
        help_part = self._part(action("help"))
        if width >= 120:
            others = [action(each) for each in _SCREENS if each != f"show_{self._mode.value}"]
            return Content.assemble(*(self._part(each) for each in others), self._part(action("filter")), help_part)
        return Content.assemble((" 1-4", "bold $accent"), (" screens ", "$quiet"), help_part)

    def _part(self, each: Action, *, primary: bool = False) -> Content:
        node = self.screen if each.modes else self.app
        enabled = bool(node.check_action(each.id, ()))
        key = each.key_text.split(" / ")[0]
        namespace = "screen" if each.modes else "app"
        if not enabled:
            return Content.assemble((f" {key} {each.label} ", "$rule"))
        if primary:
            body = Content.assemble((f" {key} {each.label} ", "bold $background on $accent"))
        else:
            body = Content.assemble((f" {key}", "bold $accent"), (f" {each.label} ", "$quiet"))
        return body.stylize(Style.from_meta({"@click": f"{namespace}.{each.id}"}))
