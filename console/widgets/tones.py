"""What a colour says: a small set of tones that tables, sentences and steps share.

A tone is never the only carrier of a meaning: whoever uses one also writes a glyph or a word, so that NO_COLOR and
people who see colours differently lose nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Tone(StrEnum):
    """The value is the theme variable, or empty for the plain text colour."""

    PLAIN = ""
    QUIET = "quiet"
    GOOD = "state-good"
    BUSY = "state-busy"
    WARN = "state-warn"
    BAD = "state-bad"
    IDLE = "state-idle"
    BAR = "bar-done"

    @property
    def css(self) -> str:
        """For a style in `Content`: `$state-bad`."""
        return f"${self.value}" if self.value else ""


GLYPHS: Final[dict[Tone, str]] = {
    Tone.PLAIN: "·",
    Tone.QUIET: "·",
    Tone.GOOD: "✓",
    Tone.BUSY: "►",
    Tone.WARN: "!",
    Tone.BAD: "×",
    Tone.IDLE: "○",
    Tone.BAR: "·",
}
"""One cell each, all different in shape where it matters."""
