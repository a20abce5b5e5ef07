"""The wire: aiohttp on one side, calls and replies on the other. Faults that concern a connection happen here."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientError, web

from provision.local.faults import FaultSwitches, add_fault_routes
from provision.local.serving import add_health
from provision.local.storage.batches import answer_batch
from provision.local.storage.calls import Body, Call, Download, Reply
from provision.local.storage.errors import BodyCut, StorageError
from provision.local.storage.routes import Router, refusal
from provision.local.storage.service import FAULT_KINDS, Service

REQUESTS_PATH = "/_tickdeck/requests"
"""GET answers what was asked of the server so far; see `RequestCounts`."""

BATCH_PATH = "/batch/storage/v1"

_CHUNK_BYTES = 256 * 1024
_MIB = 1 << 20
_log = logging.getLogger(__name__)


def create_app(root: Path, *, nonce: str) -> web.Application:
    """The storage server as an application. Its state is in `root`, which it has for itself from start to cleanup.

    Raises:
        RootInUseError: at start, if another server has `root`.
    """
    app = web.Application()
    faults = FaultSwitches(FAULT_KINDS)
    add_health(app, service="storage", nonce=nonce)
    add_fault_routes(app, faults)

    async def open_root(app: web.Application) -> AsyncIterator[None]:
        service = Service(root, faults)
        app[_WIRE] = _Wire(service)
        sweeping = asyncio.create_task(service.sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        service.close()

    async def show_counts(request: web.Request) -> web.Response:
        return web.json_response(request.app[_WIRE].show_counts())

    async def handle(request: web.Request) -> web.StreamResponse:
        return await request.app[_WIRE].handle(request)

    app.cleanup_ctx.append(open_root)
    app.router.add_get(REQUESTS_PATH, show_counts)
    # The whole path is one match: an object's name may hold anything, line breaks too, which is ours to refuse.
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    return app


class _WireBody(Body):
    """A request's body as it comes in, slowed or cut if a fault says so."""

    def __init__(self, request: web.Request, service: Service) -> None:
        super().__init__()
        self._request = request
        self._service = service

    async def chunks(self) -> AsyncIterator[bytes]:
        received = 0
        while True:
            try:
                chunk = await self._request.content.readany()
            except (ConnectionError, ClientError, asyncio.IncompleteReadError) as error:
                raise BodyCut(str(error)) from error
            if not chunk:
                if self.cut_after is not None:
                    self._cut()
                return
            if self.cut_after is not None and received + len(chunk) >= self.cut_after:
                chunk = chunk[: self.cut_after - received]
                if chunk:
                    yield chunk
                self._cut()
            received += len(chunk)
            self._service.counts.bytes_received += len(chunk)
            if self.seconds_per_mib:
                await asyncio.sleep(len(chunk) / _MIB * self.seconds_per_mib)
            yield chunk

    def _cut(self) -> None:
        _abort(self._request)
        raise BodyCut("reset_upload")


class _Wire:
    """Turns requests into calls and replies into responses."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._router = Router(service)

    def show_counts(self) -> dict[str, Any]:
        return self._service.counts.to_json()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        counts = self._service.counts
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        try:
            return await self._handle(request)
        finally:
            counts.in_flight -= 1

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = _WireBody(request, self._service)
        call: Call | None = None
        try:
            base_url = f"{request.scheme}://{request.host}"
            call = Call(request.method, request.raw_path, request.headers, base_url, body)
            reply = await self._answer(call)
        except BodyCut:
            _abort(request)
            return web.Response()
        except StorageError as error:
            reply = refusal(error)
            if _is_download(request) and reply.resource:
                # Media requests are answered in plain text: the clients quote it as it is.
                reply = Reply(reply.status, headers=reply.headers, text=error.message)
        except Exception:  # noqa: BLE001 - a bug of ours must answer, and tell
            _log.exception("%s %s", request.method, request.path)
            reply = refusal(StorageError(HTTPStatus.INTERNAL_SERVER_ERROR, "backendError", "Backend Error"))
        self._service.counts.by_status[int(reply.status)] += 1
        if call is not None and self._service.strike("lost_reply", call):
            if reply.download:
                reply.download.file.close()
            _abort(request)
            return web.Response()
        if reply.download:
            return await self._send(request, reply, reply.download)
        return _respond(reply)

    async def _answer(self, call: Call) -> Reply:
        if call.path == BATCH_PATH and call.method == "POST":
            call.operation = "batch"
            self._service.counts.by_operation["batch"] += 1
            self._service.refuse_if_struck(call)
            return await answer_batch(self._router, call)
        return await self._router.answer(call)

    async def _send(self, request: web.Request, reply: Reply, download: Download) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if download.gunzip:
            response.enable_chunked_encoding()
        else:
            response.content_length = download.length
        gunzip = zlib.decompressobj(wbits=31) if download.gunzip else None
        with download.file as file:
            await response.prepare(request)
            file.seek(download.start)
            left = download.length
            while left:
                size = min(left, _CHUNK_BYTES)
                # A small body is in memory already, more often than not; a large one may have to come from the disk.
                chunk = file.read(size) if download.length <= _CHUNK_BYTES else await asyncio.to_thread(file.read, size)
                if not chunk:
                    _abort(request)
                    break
                left -= len(chunk)
                if download.seconds_per_mib:
                    await asyncio.sleep(len(chunk) / _MIB * download.seconds_per_mib)
                if gunzip:
                    try:
                        chunk = gunzip.decompress(chunk)
                    except zlib.error:
                        # The status is out already: only a broken connection can say that the rest is missing.
                        _abort(request)
                        break
                if chunk:
                    self._service.counts.bytes_sent += len(chunk)
                    await response.write(chunk)
        await response.write_eof()
        return response


_WIRE = web.AppKey("wire", _Wire)


def _respond(reply: Reply) -> web.Response:
    headers = dict(reply.headers)
    body = b""
    if reply.resource is not None:
        body = msgspec.json.encode(reply.resource)
        headers["Content-Type"] = "application/json; charset=UTF-8"
    elif reply.text is not None:
        body = reply.text.encode()
        headers.setdefault("Content-Type", "text/plain; charset=UTF-8")
    return web.Response(status=reply.status, body=body or None, headers=headers)


def _is_download(request: web.Request) -> bool:
    return request.path.startswith("/download/") or request.query.get("alt") == "media"


def _abort(request: web.Request) -> None:
    """Close the connection at once, without an answer."""
    if request.transport is not None:
        request.transport.abort()
