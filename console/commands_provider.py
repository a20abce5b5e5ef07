"""The palette's second source: commands that are no actions, such as another theme. The actions themselves come from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from console.commands import palette_lines
from console.obeying import context_of

if TYPE_CHECKING:
    from console.app import ConsoleApp


class CommandProvider(Provider):
    """Lines of `console.commands`, found by name."""

    async def discover(self) -> Hits:
        for line, text in self._lines():
            yield DiscoveryHit(line, partial(self._console.run_command, line), help=text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for line, text in self._lines():
            if (score := matcher.match(f"{line} {text}")) > 0:
                yield Hit(score, matcher.highlight(line), partial(self._console.run_command, line), help=text)

    @property
    def _console(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    def _lines(self) -> Iterator[tuple[str, str]]:
        if (screen := self._console.visible_screen) is not None:
            yield from palette_lines(context_of(self._console, screen))
