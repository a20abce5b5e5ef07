"""The keys that work everywhere: help, filter, copy, export, commands, looking now, holding, and stepping through a recording.

Apart from the console's app, which keeps what is known; what a key is about, the visible screen says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from textual.screen import Screen

from console.blocking import in_thread
from console.commands import read_command
from console.export import Form
from console.getting_around import GettingAround
from console.obeying import context_of, obey
from console.places import state_folder
from console.widgets.detail import DetailScreen
from engine.clock import Clock

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.commands import Command
    from console.export import Record
    from console.feeds import Feeds
    from console.recording.replay import Replay

ONLY_IN_REPLAY: Final = "only where a recording is played: tickdeck --replay FILE"


class EverywhereKeys(GettingAround):
    """An app whose screens can all be filtered, copied and exported."""

    clock: Clock
    feeds: Feeds
    replay: Replay | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._export_form = Form.CSV

    @property
    def read_only(self) -> bool:
        """Whether anything that writes is refused now."""
        raise NotImplementedError

    def refresh_status(self, screen: Screen[Any]) -> None:
        """Write a screen's status line anew."""
        raise NotImplementedError

    async def copy(self, text: str) -> None:
        """Copy out of this terminal and say how."""
        from console.clipboard import copy_text

        try:
            copied = await copy_text(self, text, fallback=state_folder() / "copied.txt")
        except OSError as error:
            self.notify(f"cannot copy: {error}", severity="error")
        else:
            self.notify(str(copied), timeout=4)

    async def on_detail_screen_copy_requested(self, message: DetailScreen.CopyRequested) -> None:
        """A detail that is shown wants to be copied."""
        await self.copy(message.text)

    def action_help(self) -> None:
        from console.screens.help import HelpScreen

        if (screen := self.visible_screen) is not None:
            self.push_screen(
                HelpScreen(screen.MODE, read_only=self.read_only, link_down=screen.link_down, off=self.off_reasons | screen.off_reasons)
            )

    @property
    def off_reasons(self) -> dict[str, str]:
        """Common actions that are off now: id -> why."""
        return {} if self.replay is not None else dict.fromkeys(("replay_back", "replay_on"), ONLY_IN_REPLAY)

    def action_filter(self) -> None:
        if (screen := self.visible_screen) is not None:
            screen.open_filter()

    async def action_copy(self) -> None:
        screen = self.visible_screen
        if screen is not None and (text := screen.copy_row()):
            await self.copy(text)

    def action_export(self) -> None:
        from console.screens.export import ExportScreen

        screen = self.visible_screen
        if screen is None or not (records := screen.export_records()):
            self.notify("nothing to export here", timeout=3)
            return
        forms = ExportScreen(len(records), self._export_form, text=screen.export_text() is not None)
        self.push_screen(forms, partial(self._export, screen.MODE.value, records, screen.export_text()))

    async def _export(self, name: str, records: Sequence[Record], line: Callable[[Record], str] | None, form: Form | None) -> None:
        if form is None:
            return
        from console.export import write_export

        self._export_form = form
        try:
            path = await in_thread(lambda: write_export(name, records, form, now=self.clock(), line=line), name="export")
        except OSError as error:
            self.notify(f"cannot write: {error}", severity="error")
        else:
            self.notify(f"{len(records):,} rows written to {path}")

    def action_command(self) -> None:
        from console.screens.command import CommandScreen

        if (screen := self.visible_screen) is not None:
            self.push_screen(CommandScreen(context_of(cast("ConsoleApp", self), screen)), self._obey)

    async def run_command(self, line: str) -> None:
        """Do what a line of `console.commands` says."""
        if (screen := self.visible_screen) is not None:
            await self._obey(read_command(line, context_of(cast("ConsoleApp", self), screen)))

    async def _obey(self, command: Command | None) -> None:
        screen = self.visible_screen
        if command is not None and screen is not None:
            await obey(cast("ConsoleApp", self), command, screen)

    def action_look_now(self) -> None:
        self.feeds.poke(force=True)
        self.notify("asking every source", timeout=2)

    def action_hold(self) -> None:
        self.feeds.hold(not self.feeds.held)
        if (screen := self.visible_screen) is not None:
            self.refresh_status(screen)

    def action_replay_back(self) -> None:
        self._replay_by(-1)

    def action_replay_on(self) -> None:
        self._replay_by(1)

    def _replay_by(self, steps: int) -> None:
        if self.replay is None:
            self.notify(ONLY_IN_REPLAY, timeout=4)
        elif not self.replay.move(steps):
            self.notify("the recording begins here" if steps < 0 else "the recording ends here", timeout=2)
        else:
            self.time_moved(back=steps < 0)

    def time_moved(self, *, back: bool) -> None:
        """The recording stands at another moment: everything is looked at again."""
        self.feeds.poke(force=True)
        for screen in self._mode_screens.values():
            screen.time_moved(back=back)
        if (shown := self.visible_screen) is not None:
            self.refresh_status(shown)
