"""The file of a recording: a header, then frames that each stand for themselves. Strict, versioned, and whole up to where it was cut.

    TICKDECK-RECORDING 1\\n
    (length, CRC-32 of what follows: big-endian, 4 bytes each) zlib of msgpack      the header
    (length, CRC-32) zlib of msgpack                                                a frame, again and again

A frame is what one call of the session answered, or how it failed. Nothing in it is ever executed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from engine.documents import packed_decoder
from engine.errors import UsageError
from provision.profile import Profile

MAGIC: Final = b"TICKDECK-RECORDING 1\n"
SUFFIX: Final = ".tickdeck"
_LEAD: Final = struct.Struct("!II")
_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one frame, compressed: a length beyond it is damage, not data."""
_LARGEST_PLAIN: Final = 512 * 1024 * 1024


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who saw it, and in whose cloud."""

    schema: int = 1
    engine_version: str
    began: float
    """Seconds since 1970, UTC."""
    session: str
    """Of one console: the pieces of its ring carry the same."""
    profile: Profile
    """Without its endpoints and addresses: what the screens say of it."""
    start: msgspec.Raw = msgspec.Raw(b"\xc0")
    """What the console began with: see `console.recording.recorder.Start`."""


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """How a call failed."""

    message: str
    hint: str = ""
    exit_code: int = 69


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One answer."""

    at: float
    """When it was there, seconds since 1970, UTC."""
    call: str
    """`subject.method` of the session: see `console.recording.calls`."""
    key: str
    """Of the arguments."""
    answer: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, read."""

    header: Header
    frames: tuple[Frame, ...]
    """By time."""
    cut: bool
    """The end is missing or damaged: these are the frames before it."""


def pack(document: Header | Frame) -> bytes:
    """A header or a frame as it stands in the file."""
    body = zlib.compress(msgspec.msgpack.encode(document), 1)
    return _LEAD.pack(len(body), zlib.crc32(body)) + body


def read_recording(path: Path) -> Recording:
    """Read a file; what is whole of a damaged one.

    Raises:
        UsageError: if it is no recording, or of another version.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(f"{path} is no recording of this version", hint="tickdeck --record FILE makes one")
            bodies = _bodies(file)
            try:
                header = packed_decoder(Header).decode(next(bodies))
            except (StopIteration, _Damage, msgspec.MsgspecError) as error:
                raise UsageError(f"{path}: its header is damaged or of another version", hint="record again") from error
            frames, cut = _frames(bodies)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="name a file that tickdeck --record wrote") from error
    return Recording(header, tuple(sorted(frames, key=lambda frame: frame.at)), cut)


def _frames(bodies: Iterator[bytes]) -> tuple[list[Frame], bool]:
    frames: list[Frame] = []
    decoder = packed_decoder(Frame)
    try:
        for body in bodies:
            frame = decoder.decode(body)
            # A Raw points into the whole body: a copy lets the rest go.
            frames.append(msgspec.structs.replace(frame, answer=frame.answer.copy()))
    except (_Damage, msgspec.MsgspecError):
        return frames, True
    return frames, False


class _Damage(Exception):
    """What follows cannot be read."""


def _bodies(file: BinaryIO) -> Iterator[bytes]:
    while lead := file.read(_LEAD.size):
        if len(lead) < _LEAD.size:
            raise _Damage
        length, checksum = _LEAD.unpack(lead)
        body = file.read(length) if length <= _LARGEST else b""
        if len(body) < length or length == 0 or zlib.crc32(body) != checksum:
            raise _Damage
        plain = zlib.decompressobj()
        document = plain.decompress(body, _LARGEST_PLAIN)
        if plain.unconsumed_tail:
            raise _Damage
        yield document
