"""The palette's second source: commands that are no actions, such as another theme. The actions themselves come from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

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
        for name in self._console.theme_names:
            yield f"theme {name}", "Another colour theme; shown while the cursor is on it"
        if self._console.rights.is_protected:
            yield "write 15m", "Arm this protected profile for a quarter of an hour"
            yield "write off", "Read-only again"
