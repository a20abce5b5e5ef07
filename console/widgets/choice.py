"""One line of a list to choose from, made where words are chosen and shown by `console.screens.choose`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be chosen."""

    key: str
    """The result."""
    label: str
    note: str = ""
