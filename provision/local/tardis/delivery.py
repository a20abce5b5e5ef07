"""One body onto the wire: whole, a range of it, or struck by a fault.

Kept apart from the routes because ranges and faults are the same for every body, and because each reply must say how many
bytes of it were really sent.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from provision.local.faults import Fault
from provision.local.tardis.access import error_body
from provision.local.tardis.request_log import Entry

_CHUNK = 256 * 1024
_SMALL = 64 * 1024
_SLOW_STEPS_A_SECOND = 10
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Body:
    """What a reply carries."""

    content: bytes | Path
    content_type: str
    etag: str | None = None
    """Without quotes. Bodies that have one can be asked for in ranges."""
    status: int = 200
    headers: Mapping[str, str] | None = None

    def size(self) -> int:
        """Bytes in full."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes `start`..`end` (exclusive) in pieces."""
        if isinstance(self.content, bytes):
            for at in range(start, end, _CHUNK):
                yield self.content[at : min(end, at + _CHUNK)]
            return
        with self.content.open("rb") as source:
            source.seek(start)
            while start < end:
                piece = source.read(min(_CHUNK, end - start))
                if not piece:
                    return
                start += len(piece)
                yield piece


def json_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Body:
    """An error as the API words it."""
    return Body(error_body(status, message), "application/json; charset=utf-8", status=status, headers=headers)


async def deliver(request: web.Request, body: Body, fault: Fault | None, entry: Entry, *, pace: int = 0) -> web.StreamResponse:
    """Answer `request` with `body`, let `fault` strike it, and note in `entry` what was sent.

    `pace` is what the connection carries in bytes a second; 0: as much as it can.
    """
    entry.fault = fault.name if fault else None
    if fault is not None:
        if fault.name in ("reset", "lost_reply"):
            return _drop(request, reset=fault.name == "reset")
        body = _replaced(body, fault)
    size = body.size()
    wanted = _wanted_range(request, body, size)
    if wanted is None:
        body = json_error(416, "the requested range lies beyond the file", {"Content-Range": f"bytes */{size}"})
        size = body.size()
        wanted = (0, size)
    start, end = wanted
    partial = body.status == 200 and (start, end) != (0, size)
    headers = {"Content-Type": body.content_type, "Content-Length": str(end - start), **(body.headers or {})}
    if body.etag is not None:
        headers |= {"ETag": f'"{body.etag}"', "Accept-Ranges": "bytes"}
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    entry.status = 206 if partial else body.status
    if request.method == "HEAD":
        return web.Response(status=entry.status, headers=headers)
    if fault is None and end - start <= _SMALL:
        content = b"".join(body.chunks(start, end))
        entry.bytes = len(content)
        return web.Response(status=entry.status, headers=headers, body=content)
    response = web.StreamResponse(status=entry.status, headers=headers)
    return await _stream(request, response, body, (start, end), fault, entry, pace)


def _replaced(body: Body, fault: Fault) -> Body:
    """The reply a fault of the status gives instead of `body`."""
    settings = fault.settings
    retry = settings.get("retry_after")
    headers = {} if retry is None else {"Retry-After": f"{retry:g}"}
    if fault.name == "status":
        status = int(settings["status"])
        return json_error(status, "too many requests" if status == 429 else "temporarily unavailable", headers)
    if fault.name == "burst_429":
        return json_error(429, "too many requests, slow down", headers)
    if fault.name == "key_in_use":
        return json_error(403, "API key is already in use from another IP address", headers)
    return body


def _wanted_range(request: web.Request, body: Body, size: int) -> tuple[int, int] | None:
    """Start and end of what is to be sent; None if the range cannot be satisfied. A range we do not know means all."""
    header = request.headers.get("Range")
    if header is None or body.etag is None or body.status != 200:
        return 0, size
    unchanged = request.headers.get("If-Range", f'"{body.etag}"') == f'"{body.etag}"'
    match = _RANGE.fullmatch(header.strip())
    if not unchanged or match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return 0, size
    return (start, end) if start < size else None


async def _stream(
    request: web.Request,
    response: web.StreamResponse,
    body: Body,
    span: tuple[int, int],
    fault: Fault | None,
    entry: Entry,
    pace: int,
) -> web.StreamResponse:
    start, end = span
    name = fault.name if fault else None
    settings: Mapping[str, float] = fault.settings if fault else {}
    middle = start + (end - start) // 2
    stop = end
    if name == "truncated_body":
        stop = start + int((end - start) * min(0.99, settings.get("share", 0.5)))
    try:
        await response.prepare(request)
        at = start
        for chunk in body.chunks(start, stop):
            piece = chunk
            if name == "corrupt" and at <= middle < at + len(piece):
                spot = middle - at
                piece = piece[:spot] + bytes([piece[spot] ^ 0xFF]) + piece[spot + 1 :]
            if name == "stall" and at <= middle < at + len(piece):
                await _write(response, piece[: middle - at], entry)
                await asyncio.sleep(settings["seconds"])
                piece = piece[middle - at :]
            rate = max(1, int(settings["bytes_per_second"])) if name == "slow" else pace
            if rate:
                await _trickle(response, piece, rate, entry)
            else:
                await _write(response, piece, entry)
            at += len(chunk)
        if name == "truncated_body":
            return _drop(request, reset=False)
        await response.write_eof()
    except ConnectionError:
        pass  # the client is gone; the entry says how far it got
    return response


async def _write(response: web.StreamResponse, piece: bytes, entry: Entry) -> None:
    if piece:
        await response.write(piece)
        entry.bytes += len(piece)


async def _trickle(response: web.StreamResponse, piece: bytes, rate: int, entry: Entry) -> None:
    step = max(1, rate // _SLOW_STEPS_A_SECOND)
    for at in range(0, len(piece), step):
        await _write(response, piece[at : at + step], entry)
        await asyncio.sleep(min(step, len(piece) - at) / rate)


def _drop(request: web.Request, *, reset: bool) -> web.StreamResponse:
    """End the connection under the reply; what aiohttp then tries to write goes nowhere."""
    transport = request.transport
    if transport is not None and reset:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    elif transport is not None:
        transport.close()
    return _Dropped()


class _Dropped(web.StreamResponse):
    """A reply that is not sent."""

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        return None
