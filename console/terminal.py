"""The terminal the console writes to, as one that may vanish at any moment: an ssh link drops, a window is closed.

Textual's writer is a thread behind a short queue. A write into a terminal that is gone kills that thread, the queue fills, and the
whole program waits for it for ever, signals included. Here such writes go nowhere, and the console ends as if it had been quit.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

_WATCH_MILLISECONDS: Final = 1000


class VanishingFile:
    """A terminal's output; what cannot be written any more is dropped."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write, or drop."""
        with self._dropping():
            self._file.write(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with self._dropping():
            self._file.flush()

    def fileno(self) -> int:
        """Of the real file."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Whether it was a terminal."""
        return self._file.isatty()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """What could not be written stays in the file's buffer, and Python tries once more when it ends: exit code 120. So from then on
        the file leads nowhere, as Python's documentation has it ("Note on SIGPIPE")."""
        try:
            yield
        except (BlockingIOError, ValueError):
            pass  # a terminal that is slow, and a file that was closed
        except OSError:
            with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._file.fileno())


class VanishingTerminal(LinuxDriver):
    """Textual's driver for a terminal that may go. Also writes to standard output where the errors go elsewhere (`2> file`)."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        errors, output = sys.__stderr__, sys.__stdout__
        file = output if errors is None or (output is not None and output.isatty() and not errors.isatty()) else errors
        assert file is not None, "a driver is only made where there is a terminal"
        self._file = VanishingFile(file)  # type: ignore[assignment]  # Textual asks it for no more than this

    def start_application_mode(self) -> None:
        """Take the terminal, and watch that it stays.

        A hang-up comes as SIGHUP and then SIGCONT (POSIX, "General Terminal Interface"), at which Textual would take the terminal once
        more: a thread would read from what is gone, over and over, and keep the process alive.
        """
        if self.input_tty and self._is_gone(0):
            self._leave()
            return
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self.input_tty:
            threading.Thread(target=self._watch, name="terminal watch", daemon=True).start()

    def _run_input_thread(self) -> None:
        """Reads keys until the end; a terminal that is gone is the end."""
        try:
            self.run_input_thread()
        except OSError:
            self._leave()

    def _watch(self) -> None:
        """A hang-up comes as a signal only from the controlling terminal; from others reads just end, over and over."""
        while not self.exit_event.is_set():
            if self._is_gone(_WATCH_MILLISECONDS):
                self._leave()
                # For the thread that reads keys: it would read nothing, over and over.
                self.exit_event.set()
                return

    def _is_gone(self, milliseconds: int) -> bool:
        """Whether the terminal hung up, now or within so long."""
        poll = select.poll()
        # Nothing is asked for: a hang-up is told all the same.
        poll.register(self.fileno, 0)
        return any(event & (select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(milliseconds))

    def _leave(self) -> None:
        self._app.call_later(self._app.exit, 0)
