"""Pictures of the widgets at fixed size, clock and theme. Look at them after a change: `pytest --snapshot-update`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from textual.pilot import Pilot

from console.log_gaps import SUPPRESSED, Gap
from console.widgets.confirm import ConfirmItem, ConfirmMany, ConfirmOne
from console.widgets.detail import DetailScreen
from console.widgets.logview import LogView
from tests.console.gallery import NOW, SHOWS, Gallery, log_lines

SnapCompare = Callable[..., bool]


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
@pytest.mark.parametrize("show", ["heatmap", "fleet", "logs", "shards"])
def test_a_widget_looks_as_it_did(snap_compare: SnapCompare, show: str, size: tuple[int, int]) -> None:
    assert snap_compare(Gallery(*SHOWS[show](), footer=True), terminal_size=size)


@pytest.mark.parametrize("show", ["heatmap", "fleet"])
def test_the_light_theme_looks_as_it_did(snap_compare: SnapCompare, show: str) -> None:
    assert snap_compare(Gallery(*SHOWS[show](), theme="light"), terminal_size=(120, 40))


@pytest.mark.parametrize("theme", ["ansi", "deuteranopia", "high-contrast", "tritanopia"])
def test_a_theme_looks_as_it_did(snap_compare: SnapCompare, theme: str) -> None:
    _, *table = SHOWS["fleet"]()
    assert snap_compare(Gallery(*SHOWS["heatmap"](), *table, theme=theme), terminal_size=(100, 40))


@pytest.mark.parametrize("keys", [["-"], ["+"], ["m", "left", "v", "left", "down"]], ids=["weeks", "wide", "marks"])
def test_the_heatmap_looks_as_it_did_zoomed_and_marked(snap_compare: SnapCompare, keys: Iterable[str]) -> None:
    assert snap_compare(Gallery(*SHOWS["heatmap"]()), press=keys, terminal_size=(80, 24))


def test_the_paused_log_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def pause_and_go_on(pilot: Pilot[Any]) -> None:
        view = pilot.app.query_one(LogView)
        view.focus()
        await pilot.press("up")
        view.append(log_lines(1240))
        view.drain()
        view.note_gap(Gap(NOW, NOW, 812, SUPPRESSED))
        await pilot.pause()

    assert snap_compare(Gallery(*SHOWS["logs"]()), run_before=pause_and_go_on, terminal_size=(80, 24))


def test_the_dialogs_look_as_they_did(snap_compare: SnapCompare) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(ConfirmOne("Delete market-data-shard-r7k2-17?", "It is working on shard 17, 41 % done."))
        await pilot.pause()

    assert snap_compare(Gallery(*SHOWS["fleet"]()), run_before=ask, terminal_size=(80, 24))


def test_the_dialog_of_many_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        items = [ConfirmItem(f"market-data-shard-r7k2-{n}", "finished, exit 0, label td-run=r7k2", 10_800.0 + n, 1.2) for n in range(24)]
        pilot.app.push_screen(ConfirmMany("Clean up 24 resources of project lake", items, noun="resource"))
        await pilot.pause()
        await pilot.press("2", "5", "enter")

    assert snap_compare(Gallery(*SHOWS["fleet"]()), run_before=ask, terminal_size=(80, 24))


def test_the_detail_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def open_detail(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(DetailScreen("× error  05:40:07  market-data-shard-r7k2-17", log_lines(8)[5].record()))
        await pilot.pause()

    assert snap_compare(Gallery(*SHOWS["logs"]()), run_before=open_detail, terminal_size=(80, 24))
