"""Fixtures of the console's tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def snap_compare(snap_compare: Callable[..., bool]) -> Iterator[Callable[..., bool]]:
    """Pictures are taken in UTC: elsewhere the screens add the time of that place to some of theirs."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield snap_compare
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
