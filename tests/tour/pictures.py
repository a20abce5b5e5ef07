"""What a terminal showed as a PNG. Separate from the walk, so that anything captured can be drawn."""

from __future__ import annotations

import io
import re
from pathlib import Path

FONT = "DejaVu Sans Mono"
"""A font that machines have; the SVG names one that it would fetch."""


def save_picture(captured: str, size: tuple[int, int], path: Path) -> None:
    """Draw text with escape sequences.

    Args:
        size: Columns and lines of the terminal.
    """
    import cairosvg

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cairosvg.svg2png(bytestring=drawing_of(captured, size).encode(), scale=0.75))


def drawing_of(captured: str, size: tuple[int, int]) -> str:
    """The SVG, with no font from the network and no window around it."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    width, height = size
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    lines = [*captured.split("\n")[:height]]
    for line in lines:
        text = Text.from_ansi(line)
        text.pad_right(max(0, width - text.cell_len))
        console.print(text, no_wrap=True, crop=True, overflow="crop", highlight=False)
    svg = console.export_svg(title="tickdeck", theme=MONOKAI)
    return re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)
