"""The end of a VM's serial output, read when asked for: the only witness of a boot that never came to a heartbeat.

Apart because two places show it: a VM's detail, and Fleet by itself when a VM stays silent after boot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from console.blocking import in_thread
from console.widgets.figures import one_line, plural
from engine.errors import one_line as error_line

_MOST_LINES: Final = 400
"""Painted; the rest of 64 KiB is in `text`."""


class SerialPane(Vertical):
    """A title with when it was read, and the lines, the newest in view."""

    TITLE: ClassVar[str] = "serial output"
    UNIT: ClassVar[str] = "line"
    NEWEST_LAST: ClassVar[bool] = True

    DEFAULT_CSS = """
    SerialPane { height: 1fr; }
    SerialPane > #serial-title { height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    SerialPane > VerticalScroll { height: 1fr; min-height: 2; scrollbar-size: 1 1; background: $background; color: $foreground; }
    SerialPane > VerticalScroll > Static { height: auto; }
    """

    def __init__(
        self,
        read: Callable[[str], str],
        clock: Callable[[], datetime],
        *,
        named: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        """
        Args:
            read: The end of the serial output of a VM by name; blocking, called in a thread.
            clock: UTC.
            named: Whether the title says of which VM it is.
        """
        super().__init__(id=id, classes=classes)
        self._named = named
        self._read = read
        self._clock = clock
        self._vm = ""
        self.text = ""
        """All that was read."""

    @property
    def vm(self) -> str:
        """Whose output it is."""
        return self._vm

    def compose(self) -> ComposeResult:
        yield Static("", id="serial-title", markup=False)
        with VerticalScroll():
            yield Static("", id="serial-lines", markup=False)

    def show(self, vm: str) -> None:
        """Read the output of a VM, again if it is the same."""
        if vm != self._vm:
            self._vm, self.text = vm, ""
            self.query_one("#serial-lines", Static).update("")
            self._say("reading …")
        self._load()

    def focus_lines(self) -> None:
        """Let the arrows scroll the lines."""
        self.query_one(VerticalScroll).focus()

    @property
    def has_lines_focus(self) -> bool:
        """Whether the arrows scroll the lines now."""
        return self.query_one(VerticalScroll).has_focus

    @work(exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        vm = self._vm
        try:
            text = await in_thread(lambda: self._read(vm), name="serial")
        except Exception as error:  # noqa: BLE001 - the reason is what the pane shows then
            self._say("not read" if not self.text else "not read again: this is what it said before")
            if not self.text:
                self.query_one("#serial-lines", Static).update(Content(f"× {one_line(error_line(error)).replace(' -> ', ' → ')}"))
            return
        if text == self.text and text:
            return
        first, self.text = not self.text, text
        lines = text.splitlines()
        self._say(f"{plural(len(lines), self.UNIT)}, read {self._clock().astimezone(UTC):%H:%M:%S} UTC")
        shown = "\n".join(self.readable_lines(lines))
        self.query_one("#serial-lines", Static).update(Content(shown or "nothing yet"))
        if first and self.NEWEST_LAST:
            # The newest lines stay in view until the person scrolls away from them.
            self.query_one(VerticalScroll).anchor()

    def readable_lines(self, lines: Sequence[str]) -> list[str]:
        """The lines as they are shown."""
        return [one_line(readable(line)) for line in lines[-_MOST_LINES:]]

    def _say(self, text: str) -> None:
        of = f" of {self._vm}" if self._named else ""
        self.query_one("#serial-title", Static).update(Content(one_line(f"{self.TITLE}{of} · {text}")))


class FilesPane(SerialPane):
    """What became of the files that a VM had last, the newest on top."""

    TITLE = "last files"
    UNIT = "file"
    NEWEST_LAST = False

    def readable_lines(self, lines: Sequence[str]) -> list[str]:
        return [one_line(line) for line in lines[:_MOST_LINES]]


def readable(line: str) -> str:
    """A worker's line of JSON as time, severity and message; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        entry = json.loads(line)
        return f"{str(entry['time'])[11:19]} {str(entry['severity']).lower():<8} {entry['message']}"
    except (ValueError, KeyError, TypeError):
        return line
