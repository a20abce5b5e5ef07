"""Doing what a line after `:` says: one handler for each word of `console.commands`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Final, cast

from console.actions import action
from console.commands import Command, Context, view_of
from console.modes import Mode
from console.places import views_file
from console.query import parse
from console.views import View, load_views, save_view
from engine.clock import parse_day
from engine.errors import EngineError, one_line

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.screens.base import ModeScreen
    from console.screens.coverage import CoverageScreen


def context_of(console: ConsoleApp, screen: ModeScreen) -> Context:
    """What a line may name now; a file of views that cannot be read is told, and names nothing."""
    views: tuple[str, ...] = ()
    try:
        views = tuple(load_views(views_file()))
    except EngineError as error:
        console.notify(one_line(error), title="saved views", severity="warning", timeout=10)
    return Context(screen.MODE, tuple(console.theme_names), views, console.rights.is_protected, console.replay is not None)


async def obey(console: ConsoleApp, command: Command, screen: ModeScreen) -> None:
    """Do it; what goes wrong is told."""
    try:
        handler = HANDLERS.get(command.verb)
        if handler is not None:
            await handler(console, screen, command.argument)
            return
        each = action(command.argument)
        await console.run_action(each.call, screen if each.modes else console)
    except (EngineError, OSError) as error:
        console.notify(one_line(error), title=command.verb, severity="error", timeout=10)


async def _write(console: ConsoleApp, _screen: ModeScreen, minutes: str) -> None:
    if minutes == "0":
        console.disarm()
    else:
        console.arm(float(minutes))


async def _theme(console: ConsoleApp, _screen: ModeScreen, name: str) -> None:
    console.theme = name
    console.theme_chosen(name)


async def _day(console: ConsoleApp, _screen: ModeScreen, day: str) -> None:
    target = parse_day(day, today=console.clock().date())
    console.show_mode(Mode.COVERAGE)
    cast("CoverageScreen", console.screen_stack[0]).go_to_day(target)


async def _at(console: ConsoleApp, _screen: ModeScreen, clock: str) -> None:
    replay = console.replay
    assert replay is not None
    here = replay.clock()
    replay.go_to(datetime.combine(here.date(), time.fromisoformat(clock.zfill(5)), UTC))
    console.time_moved(back=replay.clock() < here)


async def _vm(console: ConsoleApp, _screen: ModeScreen, text: str) -> None:
    parse(text)
    _show(console, View(Mode.FLEET, {"filter": text}))


async def _view(console: ConsoleApp, _screen: ModeScreen, argument: str) -> None:
    _show(console, view_of(argument, load_views(views_file())))


async def _save(console: ConsoleApp, screen: ModeScreen, name: str) -> None:
    view = View(screen.MODE, screen.view_settings())
    save_view(views_file(), name, view)
    console.notify(f"{view.line}\nagain with :view {name}", title=f"view {name}", timeout=6)


async def _share(console: ConsoleApp, screen: ModeScreen, _nothing: str) -> None:
    await console.copy(f"view {View(screen.MODE, screen.view_settings()).line}")


def _show(console: ConsoleApp, view: View) -> None:
    console.show_mode(view.mode)

    def apply() -> None:
        if (screen := console.visible_screen) is not None and screen.MODE is view.mode:
            screen.apply_view(view.settings)

    # A screen that was never shown is mounted first.
    console.call_after_refresh(apply)


_Handler = Callable[["ConsoleApp", "ModeScreen", str], Awaitable[None]]

HANDLERS: Final[Mapping[str, _Handler]] = {
    "write": _write,
    "theme": _theme,
    "day": _day,
    "at": _at,
    "vm": _vm,
    "view": _view,
    "save": _save,
    "share": _share,
}
