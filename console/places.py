"""Where the console writes on this machine: exports, copies that no clipboard takes, and nothing else."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import platformdirs

from provision.profile import config_path


def state_folder() -> Path:
    """The XDG state place of the console."""
    return Path(platformdirs.user_state_path("tickdeck"))


def user_folder(kind: str) -> Path:
    """Where a person keeps files of their own, beside the configuration: `themes` or `universes`. May not exist."""
    return config_path().parent / kind


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
