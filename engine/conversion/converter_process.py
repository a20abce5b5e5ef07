"""A process that converts small files for a worker, and the worker's end of it.

Of a small file most is interpreter, which one process does on one core only, and what a thread of it does holds up the event loop. Batches
and their results go through pipes that nobody else holds, so a converter ends when its worker does, however that ends. It is asked for
nothing that the worker could not do itself: one that is gone costs time, never a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Final

import msgspec

from engine.collector import collector_seldom
from engine.conversion.outcome import Conversion
from engine.datatypes import require_data_type
from engine.documents import packed_decoder
from engine.model import File
from engine.settings import TABLE

MEMORY_BYTES: Final = 128 * 1024 * 1024
"""A converter takes no more: most of it is pyarrow."""

_LENGTH = struct.Struct(">I")
_SECRETS = frozenset(name for setting in TABLE if setting.secret for name in setting.environment)


class ConverterGone(Exception):
    """It ended before it answered."""


class _Batch(msgspec.Struct):
    data_type: str
    sources: list[tuple[File, bytes]]


class _Answer(msgspec.Struct):
    conversions: list[Conversion]


class ConverterProcess:
    """One converter. Not for two threads at once."""

    def __init__(self) -> None:
        """Start it; it is ready when it answers first.

        Raises:
            OSError: if the system starts no process.
        """
        # A session of its own: what is typed at the worker's terminal is the worker's to answer. It fetches nothing and gets no key.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.conversion.converter_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in _SECRETS},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def convert(self, data_type: str, sources: Sequence[tuple[File, bytes]]) -> list[Conversion]:
        """What `convert_together` says.

        Raises:
            ConverterGone: if it ended instead, e.g. because the system wanted its memory.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _write(self._process.stdin, _Batch(data_type, list(sources)))
            answer = _read(self._process.stdout)
        except (OSError, ValueError) as error:  # a pipe that is broken, or closed
            answer, reason = b"", str(error)
        else:
            reason = "no answer"
        if answer:
            return packed_decoder(_Answer).decode(answer).conversions
        self.close()
        raise ConverterGone(f"{reason}, exit code {self._process.returncode}")

    def close(self) -> None:
        """End it. Safe at any time, also while another thread waits for its answer, and more than once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _write(sink: IO[bytes], message: msgspec.Struct) -> None:
    content = msgspec.msgpack.encode(message)
    sink.write(_LENGTH.pack(len(content)))
    sink.write(content)
    sink.flush()


def _read(source: IO[bytes]) -> bytes:
    """The next message; nothing at the end."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    content = source.read(length)
    return content if len(content) == length else b""


def main() -> None:
    """Answer batches on standard input until there are no more. Nothing else may write to standard output."""
    from engine.conversion.convert import only_convert

    only_convert()
    from engine.conversion.small_files import convert_together

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError), collector_seldom():
        while asked := _read(sys.stdin.buffer):
            batch = packed_decoder(_Batch).decode(asked)
            _write(sink, _Answer(convert_together(batch.sources, data_type=require_data_type(batch.data_type))))


if __name__ == "__main__":
    main()
