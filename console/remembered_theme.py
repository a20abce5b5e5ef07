"""The theme that was chosen last, kept for the next start. What a command line or the settings name wins over it."""

from __future__ import annotations

from pathlib import Path


def read_theme(path: Path) -> str:
    """Its name; empty if none was chosen, or the file cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def keep_theme(path: Path, name: str) -> None:
    """Keep it.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}\n")
