"""Text to gzip on disk, whole or spoilt in the ways that files on the way are spoilt.

Kept apart from the rows because these traps know only bytes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

GZIP_LEVEL = 1
EMPTY_GZIP = zlib.compress(b"", GZIP_LEVEL, 31)
"""What the source answers when it has no data: one complete member of nothing, 20 bytes."""

_MEMBERS = 4
_CUT_SHARE = 0.6


def pack(text: Iterable[bytes], target: Path, kind: str | None = None) -> None:
    """Write `text` to `target` as gzip. No file name and no time is in it, so the same text gives the same bytes.

    Args:
        text: the file in pieces.
        target: replaced if it exists; not atomic.
        kind: a trap of level "text" or "bytes"; any other is ignored.
    """
    if kind == "crlf":
        text = (piece.replace(b"\n", b"\r\n") for piece in text)
    elif kind == "no_final_newline":
        text = _without_final_newline(text)
    with target.open("wb") as out:
        for member in _members(text, kind):
            packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
            for piece in member:
                out.write(packer.compress(piece))
            out.write(packer.flush())
    if kind == "truncated_gzip":
        os.truncate(target, max(19, int(target.stat().st_size * _CUT_SHARE)))
    elif kind == "bad_crc":
        with target.open("r+b") as out:
            out.seek(-8, os.SEEK_END)
            checksum = out.read(4)
            out.seek(-8, os.SEEK_END)
            out.write(bytes(byte ^ 0xFF for byte in checksum))


def _members(text: Iterable[bytes], kind: str | None) -> Iterator[Iterable[bytes]]:
    if kind not in ("members", "cut_at_member"):
        yield text
        return
    whole = b"".join(text)
    if kind == "cut_at_member":
        # A few bytes into a line: had the cut been at a line's end, nobody could tell it from a quieter day.
        whole = whole[: whole.index(b"\n", int(len(whole) * _CUT_SHARE)) + 12]
    size = -(-len(whole) // _MEMBERS)
    for start in range(0, len(whole), size):
        yield [whole[start : start + size]]


def _without_final_newline(text: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in text:
        if held:
            yield held
        held = piece
    yield held.removesuffix(b"\n")
