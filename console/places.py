"""Where the console writes on this machine: exports, recordings, copies that no clipboard takes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from provision.config_file import config_path


def state_folder() -> Path:
    """The XDG state place of the console."""
    return Path(platformdirs.user_state_path("tickdeck"))


def recordings_folder() -> Path:
    """The ring of what the console saw in the last hours."""
    return state_folder() / "recordings"


def theme_file() -> Path:
    """The name of the theme that was chosen in the console. May not exist."""
    return state_folder() / "theme"


def views_file() -> Path:
    """Saved views of the screens, beside the configuration. May not exist."""
    return config_path().parent / "views.toml"


def user_folder(kind: str) -> Path:
    """Where a person keeps files of their own, beside the configuration: `themes` or `universes`. May not exist."""
    return config_path().parent / kind
