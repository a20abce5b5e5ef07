"""A screen of a running app as a PNG. Separate from the walk, so that tests and people can use it for any app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FONT = "DejaVu Sans Mono"
"""A font that machines have; the SVG names one that it would fetch."""


def save_picture(app: Any, path: Path) -> None:
    """Write the app's screen as it is now."""
    import cairosvg

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cairosvg.svg2png(bytestring=drawing_of(app.export_screenshot()).encode(), scale=0.8))


def drawing_of(svg: str) -> str:
    """The SVG without its fonts from the network, and with blanks that every renderer keeps."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", FONT)
