"""Where the console writes on this machine: exports, copies that no clipboard takes, and nothing else."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """The XDG state place of the console."""
    return Path(platformdirs.user_state_path("tickdeck"))


def write_export(name: str, text: str, *, now: datetime, folder: Path | None = None) -> Path:
    """Write an export whole or not at all, into the working directory unless told otherwise; returns its path.

    Raises:
        OSError: if it cannot be written.
    """
    suffix = "json" if text.startswith(("{", "[")) else "csv"
    path = (folder or Path.cwd()) / f"tickdeck-{name}-{now:%Y%m%dT%H%M%SZ}.{suffix}"
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)  # noqa: PTH105 - atomic on one file system
    return path
