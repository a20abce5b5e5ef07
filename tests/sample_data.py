"""Genuine files of the vendor and of exchanges. Their terms keep them out of this repository, so a test that needs them may lack them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def sample_data(part: str = "") -> Path:
    """The folder of genuine files, or a part of it: `TICKDECK_SAMPLE_DATA`, else `shared/data` beside the checkout.

    Skips the test where there is none.
    """
    given = os.environ.get("TICKDECK_SAMPLE_DATA")
    folder = (Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data") / part
    if not folder.is_dir():
        pytest.skip("no genuine sample files here: set TICKDECK_SAMPLE_DATA to their folder")
    return folder
