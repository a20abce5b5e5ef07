"""Decompression of a gzip stream member by member, trusting nothing: header, CRC-32 and length of every member are checked.

Separate from the CSV because it knows bytes only. The standard library's `gzip` hides the trailers, which are the identity of a
source file (`engine.fingerprint`), and has no bound on what one read may produce. Here memory is a few buffers whatever the
compression ratio, reads may be as short as they like, and the work is done without the GIL.

zlib-ng takes half of zlib's time, ISA-L a third. ISA-L checks all content, but not all of a header, and it has refused sound streams
whose reads and chunks were tiny ("invalid lookback distance"). So it is given members with a plain header only, and what it refuses is
no verdict yet: whoever can begin anew asks zlib-ng, which is right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from enum import StrEnum
from typing import Any

from isal import isal_zlib
from zlib_ng import zlib_ng

from engine.fingerprint import Fingerprint

_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_HEADER_BYTES = 10
_NAME = b"\x08"
_TRAILER_BYTES = 8
_HEAD_BYTES = 64
"""Enough of the beginning to tell a web page from something else."""


class GzipFlaw(StrEnum):
    """Why a stream is no sound gzip file."""

    ZERO_BYTES = "zero_bytes"
    HTML_BODY = "html_body"
    NOT_GZIP = "not_gzip"
    TRUNCATED = "truncated_gzip"
    CORRUPT = "corrupt_gzip"
    BAD_CHECKSUM = "bad_checksum"
    TRAILING_GARBAGE = "trailing_garbage"


class GzipError(Exception):
    """The stream is not sound. `flaw` says how, the text where."""

    def __init__(self, flaw: GzipFlaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw


class GzipMembers:
    """Decompressed chunks of a gzip stream, in order: iterate once, to the end, then ask for the fingerprint.

    Only the end of the iteration says that the stream is sound: what came before it is provisional.

    Raises (while iterating):
        GzipError: as soon as the stream cannot be sound.
    """

    def __init__(
        self, read: Callable[[int], bytes], *, read_bytes: int = 256 * 1024, chunk_bytes: int = 1024 * 1024, quick: bool = False
    ) -> None:
        """Read through `read(n)`, which returns 1..n bytes, or none at the end.

        Args:
            read: e.g. the `read` of a binary file.
            read_bytes: how much to ask for at once.
            chunk_bytes: the most that one chunk may have.
            quick: by ISA-L, whose refusal is no verdict.
        """
        self._read_source = read
        self._read_bytes = read_bytes
        self._chunk_bytes = chunk_bytes
        self._quick = quick
        self._members: list[tuple[int, int]] = []
        self._chunks = self._inflate_all()
        self._ended = False
        self.source_bytes = 0
        """Compressed bytes read so far."""
        self.inflated_bytes = 0
        """Decompressed bytes so far."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Trailers and length; None before the sound end of the stream."""
        return Fingerprint(tuple(self._members), self.source_bytes) if self._ended else None

    def _read(self) -> bytes:
        data = self._read_source(self._read_bytes)
        self.source_bytes += len(data)
        return data

    def _inflate_all(self) -> Iterator[bytes]:
        data = self._read_head()
        while data:
            data = yield from self._inflate_member(data)
            data = self._seek_next_member(data)
        self._ended = True

    def _read_head(self) -> bytes:
        head = self._read()
        while len(head) < _HEAD_BYTES and (more := self._read()):
            head += more
        if not head:
            raise GzipError(GzipFlaw.ZERO_BYTES, "the body has no bytes")
        if head == _MAGIC[:1]:
            raise GzipError(GzipFlaw.TRUNCATED, "the stream ends after 1 byte")
        if not head.startswith(_MAGIC):
            begins = repr(head[:40].decode("utf-8", "replace"))
            if looks_like_html(head):
                raise GzipError(GzipFlaw.HTML_BODY, f"the body is a web page, it begins {begins}")
            raise GzipError(GzipFlaw.NOT_GZIP, f"the body is no gzip, it begins {begins}")
        return head

    def _inflate_member(self, data: bytes) -> Generator[bytes, None, bytes]:
        """Yield the content of the member that `data` begins with; return what was read beyond it."""
        library: Any = isal_zlib if self._quick and _has_plain_header(data) else zlib_ng
        inflater = library.decompressobj(_GZIP_WINDOW)
        before = b""
        feed = data
        while True:
            try:
                chunk = inflater.decompress(feed, self._chunk_bytes)
            except library.error as error:
                raise self._flaw(error) from None
            if chunk:
                self.inflated_bytes += len(chunk)
                yield chunk
            if inflater.eof:
                rest: bytes = inflater.unused_data
                consumed = before + data[: len(data) - len(rest)][-_TRAILER_BYTES:]
                crc, size = struct.unpack("<II", consumed[-_TRAILER_BYTES:])
                self._members.append((crc, size))
                return rest
            feed = inflater.unconsumed_tail
            if feed or len(chunk) == self._chunk_bytes:
                continue  # a full chunk: the inflater may hold more output although it has taken all input
            before = (before + data[-_TRAILER_BYTES:])[-_TRAILER_BYTES:]
            data = feed = self._read()
            if not data:
                where = f"in member {len(self._members) + 1}, after {self.source_bytes} bytes"
                raise GzipError(GzipFlaw.TRUNCATED, f"the stream ends {where}")

    def _flaw(self, error: Exception) -> GzipError:
        text = str(error).rpartition(": ")[2]
        checksum = "data check" in text or "length check" in text
        flaw = GzipFlaw.BAD_CHECKSUM if checksum else GzipFlaw.CORRUPT
        return GzipError(flaw, f"{text} in member {len(self._members) + 1}, within the first {self.source_bytes} bytes")

    def _seek_next_member(self, rest: bytes) -> bytes:
        """The beginning of the next member, or nothing at the end of the stream.

        Zeros up to the end are padding, as for the gzip tool; anything else that is no member is garbage.
        """
        rest = rest or self._read()
        if rest.startswith(b"\0"):
            while rest:
                if rest.strip(b"\0"):
                    raise self._garbage()
                rest = self._read()
            return b""
        while rest and len(rest) < len(_MAGIC) and (more := self._read()):
            rest += more
        if rest == _MAGIC[:1]:
            raise GzipError(GzipFlaw.TRUNCATED, f"the stream ends at the first byte of member {len(self._members) + 1}")
        if rest and not rest.startswith(_MAGIC):
            raise self._garbage()
        return rest

    def _garbage(self) -> GzipError:
        return GzipError(GzipFlaw.TRAILING_GARBAGE, f"bytes that are no gzip follow after member {len(self._members)}")


def _has_plain_header(data: bytes) -> bool:
    """Whether a member begins with a whole header (RFC 1952, 2.3) that says nothing but perhaps a name."""
    flags = data[3:4]
    return flags == b"\0" or (flags == _NAME and b"\0" in data[_HEADER_BYTES:])


def looks_like_html(head: bytes) -> bool:
    """Whether a body that begins with `head` is a web page: what gateways send with status 200 when they mean 502."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
