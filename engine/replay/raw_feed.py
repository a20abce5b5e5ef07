"""Raw feed objects: what a venue sent in one UTC hour, line by line as the source has it, and how they are committed and read.

An object is gzip of NDJSON. Each line is what the source sent, byte for byte::

    2019-08-01T08:52:00.0324272Z {"stream":"btcusdt@trade","data":{...}}

The first 28 characters are the local time, UTC at 100 ns: when the source's collector received the message. After one space
comes the message as the exchange sent it; it is never decoded and written again, because that would lose digits, order of keys and
spelling. An empty line is the source's mark that its collector lost the connection there: what depends on the messages before it
(an order book) has to start anew. Local times stay within the hour. An hour without any message is an object of no lines.

The object's metadata says which channels and symbols it holds, because its name does not. An object is created once: under a
taken name the same selection and the same content mean that it is committed already, anything else is a conflict. Apart from
`engine.replay.replaying`, which fetches, so that readers of the lake need no source.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from engine import __version__
from engine.clock import format_time
from engine.errors import AlreadyExists, CommitConflict, ExitCode, SourceError
from engine.model import day_start, require_aware
from engine.paths import parse_raw_feed_object, raw_feed_object, raw_feed_prefix
from engine.store import ObjectInfo, Store

HOUR = timedelta(hours=1)
GZIP = "application/gzip"
TIME_LENGTH = 28
"""Characters of a local time: `2019-08-01T08:52:00.0324272Z`."""

LONG_SELECTION = "*"
"""Stands for a selection that does not fit into metadata; its hash is always there."""

_METADATA_VALUE_LIMIT = 3_500
_LEVEL = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DamagedHour(SourceError):
    """What the source sent for an hour cannot be trusted. Other hours may be sound."""

    exit_code = ExitCode.PARTIAL


@dataclass(frozen=True, slots=True)
class Selection:
    """Which channels of a venue, and which symbols of them, an object holds."""

    channels: tuple[str, ...]
    """As the source names them, e.g. "trade"; sorted, each once."""
    symbols: tuple[str, ...]
    """As the exchange writes them, e.g. "btcusdt"; sorted, each once. Empty means all."""

    @property
    def text(self) -> str:
        """The filters as the source wants them, in canonical JSON: the same selection is the same text."""
        return json.dumps([{"channel": name, "symbols": list(self.symbols)} for name in self.channels], separators=(",", ":"))

    @property
    def hash(self) -> str:
        """SHA-256 of `text`, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def select(channels: Iterable[str], symbols: Iterable[str] = ()) -> Selection:
    """A selection in canonical order. Only channels and no symbols: all symbols of them."""
    return Selection(tuple(sorted(set(channels))), tuple(sorted(set(symbols))))


@dataclass(frozen=True, slots=True)
class FeedFile:
    """A finished hour on this machine."""

    path: Path
    hour: datetime
    lines: int
    """Messages, without the empty lines."""
    disconnects: int
    """Empty lines."""
    minutes: int
    """UTC minutes of the hour that have messages."""
    first: str
    """Local time of the first message as the source wrote it, or "" where there is none."""
    last: str
    sha256: str
    """Of the lines before compression, hex."""
    size: int
    """Bytes of the gzip file."""


class FeedWriter:
    """Writes the lines of one hour into a gzip file, and checks and counts them. Equal lines give equal bytes."""

    def __init__(self, path: Path, hour: datetime) -> None:
        """`hour` is the start of a UTC hour; every local time must lie in it."""
        self._path, self._hour = path, require_aware(hour)
        self._time = re.compile(re.escape(f"{self._hour:%Y-%m-%dT%H:}".encode()) + rb"[0-5]\d:[0-5]\d\.\d{7}Z")
        self._raw: BinaryIO = path.open("wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._raw, mtime=0)
        self._digest = hashlib.sha256()
        self._minutes: set[bytes] = set()
        self._first = self._last = b""
        self.lines = 0
        self.disconnects = 0

    def __enter__(self) -> FeedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._gzip.close()
        self._raw.close()

    @property
    def last(self) -> str:
        """Local time of the newest message so far, or ""."""
        return self._last.decode()

    def write(self, lines: Iterable[tuple[bytes, bytes] | None]) -> None:
        """Append lines: (local time, message), or None where the connection was lost.

        Raises:
            DamagedHour: naming the line, if its time is not of this hour or it has no whole message.
        """
        pieces = []
        for line in lines:
            if line is None:
                self.disconnects += 1
                pieces.append(b"\n")
                continue
            time, message = line
            if not self._time.fullmatch(time):
                raise DamagedHour(f"a line of {self._hour:%Y-%m-%dT%H}:00Z begins with {time[:40]!r}, which is no time of that hour")
            if not message.endswith(b"\n"):
                message = _terminated(time, message)
            pieces += (time, b" ", message)
            self.lines += 1
            self._minutes.add(time[14:16])
            self._first = self._first or time
            self._last = time
        block = b"".join(pieces)
        self._digest.update(block)
        self._gzip.write(block)

    def finish(self) -> FeedFile:
        """Close the file and say what is in it."""
        self._gzip.close()
        self._raw.close()
        return FeedFile(
            path=self._path,
            hour=self._hour,
            lines=self.lines,
            disconnects=self.disconnects,
            minutes=len(self._minutes),
            first=self._first.decode(),
            last=self._last.decode(),
            sha256=self._digest.hexdigest(),
            size=self._path.stat().st_size,
        )


def _terminated(time: bytes, message: bytes) -> bytes:
    """The last message of a slice may lack its newline; half a message would glue the next one to it."""
    if not message.rstrip().endswith((b"}", b"]")):
        raise DamagedHour(f"the line of {time.decode()} breaks off after {len(message)} bytes of its message")
    return message + b"\n"


@dataclass(frozen=True, slots=True)
class FeedLine:
    """One line, read back."""

    local_time: str
    """UTC at 100 ns as the source wrote it. A disconnect has the time of the message before it, "" at the start of the hour."""
    message: bytes | None
    """The exchange's own JSON, or None: the connection was lost here."""

    @property
    def nanoseconds(self) -> int | None:
        """The local time since the epoch, or None where there is none."""
        return nanoseconds(self.local_time) if self.local_time else None


def nanoseconds(local_time: str) -> int:
    """Nanoseconds since the epoch of a local time such as `2019-08-01T08:52:00.0324272Z`; exact to its 100 ns.

    Raises:
        ValueError: if the text is no such time.
    """
    if len(local_time) != TIME_LENGTH or local_time[19] != "." or local_time[-1] != "Z":
        raise ValueError(f"{local_time!r} is no local time of a feed")
    whole = datetime.fromisoformat(local_time[:19]).replace(tzinfo=UTC)
    return (whole - _EPOCH) // timedelta(seconds=1) * 1_000_000_000 + int(local_time[20:27]) * 100


def read_feed(data: bytes | Path) -> Iterator[FeedLine]:
    """The lines of a raw feed object in their order. Memory does not grow with the object.

    Raises:
        OSError, EOFError, zlib.error: if the gzip is not whole.
    """
    last = ""
    with data.open("rb") if isinstance(data, Path) else BytesIO(data) as raw, gzip.GzipFile(fileobj=raw) as lines:
        for line in lines:
            if line == b"\n":
                yield FeedLine(last, None)
            else:
                last = line[:TIME_LENGTH].decode()
                yield FeedLine(last, line[TIME_LENGTH + 1 :].removesuffix(b"\n"))


@dataclass(frozen=True, slots=True)
class CommittedFeed:
    """An hour that is in the bucket."""

    info: ObjectInfo
    already: bool
    """True if it was there before this commit."""


def metadata_of(feed: FeedFile, selection: Selection) -> dict[str, str]:
    """The custom metadata of a raw feed object: what it holds, and what identifies its content."""
    text = selection.text
    return {
        "filters": text if len(text.encode()) <= _METADATA_VALUE_LIMIT else LONG_SELECTION,
        "filters-hash": selection.hash,
        "from": format_time(feed.hour),
        "to": format_time(feed.hour + HOUR),
        "lines": str(feed.lines),
        "disconnects": str(feed.disconnects),
        "minutes": str(feed.minutes),
        "first": feed.first,
        "last": feed.last,
        "content-sha256": feed.sha256,
        "engine-version": __version__,
    }


def commit_feed(store: Store, venue: str, collection: str, selection: Selection, feed: FeedFile) -> CommittedFeed:
    """Create the object of one hour. The bucket compares the checksum of what it received (`Store.put`).

    Raises:
        CommitConflict: if the name is taken by another selection or other content. Nothing is overwritten.
    """
    name = raw_feed_object(feed.hour, venue, collection)
    metadata = metadata_of(feed, selection)
    try:
        return CommittedFeed(store.put(name, feed.path, if_generation=0, metadata=metadata, content_type=GZIP), already=False)
    except AlreadyExists:
        existing = store.stat(name)
        if existing is None:
            raise
    require_same_selection(store.bucket, existing, selection)
    if existing.metadata.get("content-sha256") != feed.sha256:
        raise CommitConflict(
            f"gs://{store.bucket}/{name} holds {existing.metadata.get('lines', 'unknown')} other lines than the source sends now "
            f"({feed.lines})",
            hint="nothing was overwritten; replay it under another --set and compare",
        )
    return CommittedFeed(existing, already=True)


def require_same_selection(bucket: str, existing: ObjectInfo, selection: Selection) -> None:
    """Raise CommitConflict unless an object holds the same channels and symbols."""
    if existing.metadata.get("filters-hash") != selection.hash:
        found = existing.metadata.get("filters", "something unknown")
        shown = found if len(found) <= 200 else f"{found[:200]}..."
        raise CommitConflict(
            f"gs://{bucket}/{existing.name} holds another selection: {shown}",
            hint="nothing was overwritten; give this selection a place of its own with --set NAME",
        )


def list_feed(store: Store, venue: str, collection: str, hours: Iterable[datetime]) -> Mapping[datetime, ObjectInfo]:
    """Which of these hours are in the bucket, from one listing for each day."""
    wanted = set(hours)
    found: dict[datetime, ObjectInfo] = {}
    for day in sorted({hour.date() for hour in wanted}):
        prefix = raw_feed_prefix(day, venue, collection)
        end = raw_feed_object(day_start(day) + 23 * HOUR, venue, collection) + "~"
        for info in store.list(prefix, end=end):
            hour, _, held = parse_raw_feed_object(info.name)
            if held == collection and hour in wanted:
                found[hour] = info
    return found
