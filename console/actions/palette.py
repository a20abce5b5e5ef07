"""The command palette's source: the actions of the current mode that are on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode
from textual.types import IgnoreReturnCallbackType

from console.actions.registry import action, actions_for, describe, disabled_reason
from console.modes import Mode, is_mode


@dataclass(frozen=True, slots=True)
class PaletteEntry:
    """One line of the command palette."""

    title: str
    help: str
    action_id: str


def palette_entries(mode: Mode | None, *, read_only: bool = False, link_down: str = "") -> list[PaletteEntry]:
    """What the palette offers in `mode`; what is off now is left out."""
    return [
        PaletteEntry(f"{each.label} ({each.key_text})", describe(each), each.id)
        for each in actions_for(mode)
        if each.palette and disabled_reason(each, read_only=read_only, link_down=link_down) is None
    ]


class ActionProvider(Provider):
    """The command palette's source, for `App.COMMANDS`: the actions of the current mode that are on."""

    async def discover(self) -> Hits:
        for entry, run in self._entries():
            yield DiscoveryHit(entry.title, run, help=entry.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry, run in self._entries():
            if (score := matcher.match(f"{entry.title} {entry.help}")) > 0:
                yield Hit(score, matcher.highlight(entry.title), run, help=entry.help)

    def _entries(self) -> Iterator[tuple[PaletteEntry, IgnoreReturnCallbackType]]:
        current = self.app.current_mode
        for entry in palette_entries(Mode(current) if is_mode(current) else None):
            node: DOMNode = self.screen if action(entry.action_id).modes else self.app
            if node.check_action(entry.action_id, ()):
                yield entry, partial(self.app.run_action, action(entry.action_id).call, node)
