"""What stands above every screen: where one is, how old the data is, what is wrong, and who else looks after a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.leases import looked_after_by_others
from console.widgets.status_bar import Source, Status, StatusBar
from console.widgets.trouble_line import Trouble, TroubleLine

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.screens.base import ModeScreen


def write_status(console: ConsoleApp, screen: ModeScreen) -> None:
    """Write the lines above a screen anew."""
    status = Status(
        profile=console.profile_name,
        crumbs=screen.crumbs(),
        sources=_sources(console, screen),
        protected=console.rights.read_only,
        armed_until=console.rights.armed_until,
        notes=_notes(console),
    )
    for bar in screen.query(StatusBar):
        bar.set_status(status)
    for line in screen.query(TroubleLine):
        line.set_troubles(_troubles(console, screen))


def _sources(console: ConsoleApp, screen: ModeScreen) -> tuple[Source, ...]:
    feeds = ((console.feeds.source(name), console.feeds.of(name)) for name in screen.FEEDS)
    return tuple(Source(source.LABEL, feed.at, source.stale_after(), feed.trouble.value) for source, feed in feeds)


def _notes(console: ConsoleApp) -> tuple[str, ...]:
    notes = ("HELD",) if console.feeds.held else ()
    if console.replay is None:
        return notes
    step, steps = console.replay.position
    return (f"REPLAY {console.clock():%H:%M:%S} {step}/{steps}", *notes)


def _troubles(console: ConsoleApp, screen: ModeScreen) -> list[Trouble]:
    feeds = ((console.feeds.source(name).LABEL, console.feeds.of(name)) for name in screen.FEEDS)
    found = [Trouble(label, feed.error, feed.next_try) for label, feed in feeds if feed.is_down]
    return found + (looked_after_by_others(console.fleet.value, console.session.healing.holder) if console.is_open else [])
