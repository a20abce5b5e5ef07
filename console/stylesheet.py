"""Textual's stylesheet, which here parses each text once.

Textual keeps 64 parsed texts and throws them away whenever a screen is made; with the hundred texts of our widgets, every new screen had
all of them parsed again, several times (docs/speed.md has the figures).
"""

from __future__ import annotations

from typing import Final

from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

TEXTS: Final = 1024


class KeptStylesheet(Stylesheet):
    """What is parsed stays as long as the colours do."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache: LRUCache[tuple[object, ...], list[RuleSet]] = LRUCache(TEXTS)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Other colours: everything is parsed anew. The same ones change nothing."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Take all texts as they are now; if one cannot be read, what was there before holds."""
        self.parse()
