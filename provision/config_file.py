"""Where the configuration file is. Apart from what reads it: the console looks beside it before its first picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """The configuration file: TICKDECK_CONFIG, or `tickdeck/config.toml` at the XDG place. It need not exist."""
    environment = os.environ if environment is None else environment
    named = environment.get("TICKDECK_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("tickdeck") / "config.toml"
