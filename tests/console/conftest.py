"""Fixtures of the console's tests."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeAlias

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.widgets import Input

from tests.console.fleet_session import settled

Differing: TypeAlias = Callable[[Pilot[Any], Iterable[tuple[int, int]]], Awaitable[list[str]]]


@pytest.fixture
def snap_compare(in_utc: None, snap_compare: Callable[..., bool]) -> Callable[..., bool]:
    """Pictures are taken in UTC."""
    return snap_compare


@pytest.fixture
def differing(in_utc: None, snapshot: SnapshotAssertion) -> Differing:
    """Pictures of one running console in several sizes; says which differ from those that were kept."""
    kept = snapshot.use_extension(SVGImageExtension)

    async def compare(pilot: Pilot[Any], sizes: Iterable[tuple[int, int]]) -> list[str]:
        found = []
        for width, height in sizes:
            await pilot.resize_terminal(width, height)
            await settled(pilot)
            for each in pilot.app.screen.query(Input):
                each.cursor_blink = False
            name = f"{width}x{height}"
            if kept(name=name) != pilot.app.export_screenshot():
                found.append(name)
        return found

    return compare


@pytest.fixture
def in_utc() -> Iterator[None]:
    """Elsewhere the screens add the time of that place to some of theirs."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
