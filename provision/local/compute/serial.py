"""Serial port 1 of a VM: a file that the guest writes to directly, read through the window of 1 MB that Google keeps.

The guest's stdout is the file itself and not a pipe through the server, so a killed server takes no guest with it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

RING_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SerialWindow:
    """A piece of serial output."""

    contents: str
    start: int
    """Position of the first byte returned; later than asked for if what was asked for is gone."""
    next: int
    """Where to read on."""


def write_line(path: Path, when: datetime, text: str) -> None:
    """Append a line of the host's own to the log."""
    with path.open("ab") as log:
        log.write(f"[{when.isoformat(timespec='milliseconds')}] tickdeck-vm: {text}\n".encode())


def read_window(path: Path, start: int) -> SerialWindow:
    """Read from byte `start`; a negative `start` is that many bytes before the end.

    A character that is only half written stays for the next read, so that no reader sees it broken.
    """
    if not path.exists():
        return SerialWindow("", max(start, 0), max(start, 0))
    with path.open("rb") as log:
        size = log.seek(0, 2)
        first = size + start if start < 0 else start
        first = max(first, size - RING_BYTES, 0)
        log.seek(first)
        data = log.read(max(size - first, 0))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    contents = decoder.decode(data)
    held_back = len(decoder.getstate()[0])
    return SerialWindow(contents, first, first + len(data) - held_back)
