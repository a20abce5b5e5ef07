"""Running a person's own command: asked first if it wants that, with the terminal if it needs it, else its output in a box."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from console.widgets.confirm import ConfirmOne
from console.widgets.figures import one_line

if TYPE_CHECKING:
    from console.custom_commands import CustomCommand
    from console.screens.base import ModeScreen

LONGEST_SECONDS: Final = 600.0
MOST_OUTPUT: Final = 200_000
"""Characters that are shown; the last ones."""


class OutputScreen(ModalScreen[None]):
    """What a command said."""

    DEFAULT_CSS = """
    OutputScreen { align: center middle; background: $background 60%; }
    OutputScreen > Vertical { width: 92%; max-width: 150; height: 80%; padding: 0 1; background: $surface; border: round $primary; }
    OutputScreen .output--title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    OutputScreen VerticalScroll { height: 1fr; scrollbar-size: 1 1; }
    OutputScreen #output-text { height: auto; }
    OutputScreen .output--hint { height: 1; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace,enter", "close", "Close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._said = text
        self._head = title

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(one_line(self._head), classes="output--title", markup=False)
            with VerticalScroll():
                yield Static("\n".join(map(one_line, self._said.splitlines())) or "(it said nothing)", id="output-text", markup=False)
            yield Static("up and down scroll · esc closes", classes="output--hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        self.dismiss(None)


async def run_command(screen: ModeScreen, command: CustomCommand) -> None:
    """Fill in, ask, run, show. In a worker: it waits for the person and for the program.

    Raises:
        UsageError: if something it needs is not under the cursor.
    """
    console = screen.console
    arguments = command.fill(screen.placeholders())
    line = shlex.join(arguments)
    if command.confirm or command.dangerous:
        asked = ConfirmOne(f"Run {command.name}?", line, verb="Run")
        if not await console.push_screen_wait(asked):
            return
    if command.dangerous and console.read_only:
        screen.notify("read-only: nothing was run", severity="error")
        return
    try:
        if command.terminal:
            with console.suspend():
                ended = subprocess.run(arguments, check=False).returncode  # noqa: ASYNC221 - it has the terminal
            screen.notify(f"{command.name} ended with {ended}", severity="warning" if ended else "information")
            return
        code, said = await _capture(arguments)
    except (OSError, SuspendNotSupported) as error:
        screen.notify(f"{command.name}: {error or 'this terminal cannot be handed over'}", severity="error", timeout=10)
        return
    console.push_screen(OutputScreen(f"{line}: exit code {code}", said[-MOST_OUTPUT:]))


async def _capture(arguments: list[str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            said, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    return process.returncode, said.decode("utf-8", "replace")
