"""Resumable uploads: start, chunks, status queries, cancel. A session outlives the connection and the server.

Whatever arrives is kept in multiples of 256 KiB, so after a cut the client asks how far it got and goes on from there. The
newest request on a session wins: an older one that still hangs on a dead connection may add nothing any more.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from provision.local.storage.bodies import Incoming
from provision.local.storage.calls import Call, Reply, need_text
from provision.local.storage.errors import BodyCut, StorageError, invalid, not_implemented
from provision.local.storage.index import StoredObject, StoredSession
from provision.local.storage.preconditions import Preconditions
from provision.local.storage.resources import check_digest, read_draft, show_object
from provision.local.storage.service import Service
from provision.local.storage.uploads import claimed_hashes, name_object

CLIENT_CLOSED_REQUEST = 499
"""What a cancelled upload answers, to the cancel and ever after."""

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True)
class _Live:
    """What is in memory of an open session."""

    incoming: Incoming
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    turn: int = 0
    """Counts the requests on the session: only the newest may write."""


@dataclass(frozen=True, slots=True)
class _ContentRange:
    first: int | None
    """None: the request carries no bytes."""
    last: int
    total: int | None
    """None: not known yet."""


class Sessions:
    """The resumable uploads of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._live: dict[str, _Live] = {}
        self._taking_up = asyncio.Lock()

    async def start(self, call: Call) -> Reply:
        """POST /upload/.../o?uploadType=resumable: metadata in, a session URL out."""
        service = self._service
        resource = await call.read_json()
        if "X-Upload-Content-Type" in call.headers:
            resource.setdefault("contentType", call.headers["X-Upload-Content-Type"])
        name = name_object(call, resource)
        service.refuse_if_struck(call)
        bucket = call.names[0]
        read_draft(resource)
        conditions = Preconditions.from_params(call.params)
        service.bucket(bucket)
        conditions.check_write(service.index.object(bucket, name))
        announced = call.headers.get("X-Upload-Content-Length")
        if announced is not None and not announced.isdecimal():
            raise invalid(f"Invalid X-Upload-Content-Length: '{announced}'", location=("header", "X-Upload-Content-Length"))
        session = StoredSession(
            uuid.uuid4().hex,
            bucket,
            name,
            service.index.tick(),
            {
                "resource": resource,
                "conditions": conditions.to_json(),
                "total": int(announced) if announced is not None else None,
            },
            0,
            None,
        )
        service.index.add_session(session)
        location = f"{call.base_url}{call.path}?uploadType=resumable&upload_id={session.id}"
        return Reply(headers={"Location": location, "X-GUploader-UploadID": session.id})

    async def put(self, call: Call) -> Reply:
        """PUT to a session URL: a chunk, the last chunk, or a question how far the upload got."""
        session = self._find(call)
        self._service.refuse_if_struck(call)
        self._service.slow_or_cut(call)
        if session.status:
            return _repeat_end(session)
        content_range = _read_range(call, session)
        live = await self._take_up(session.id)
        session = self._find(call)
        if session.status:
            # It ended while its bytes were being taken up again.
            self._live.pop(session.id, None)
            return _repeat_end(session)
        live.turn += 1
        turn = live.turn
        async with live.lock:
            live.incoming.drop_pending()
        try:
            if content_range.first is not None:
                await self._append(live, turn, call, content_range)
            async with live.lock:
                _check_turn(live, turn)
                return self._conclude(session, live, call, content_range)
        finally:
            if live.turn == turn:
                live.incoming.close()

    async def cancel(self, call: Call) -> Reply:
        """DELETE of a session URL."""
        session = self._find(call)
        if not session.status:
            live = await self._take_up(session.id)
            live.turn += 1
            turn = live.turn
            async with live.lock:
                _check_turn(live, turn)
                self._end(session, live, CLIENT_CLOSED_REQUEST, None)
        return Reply(CLIENT_CLOSED_REQUEST)

    def _find(self, call: Call) -> StoredSession:
        session_id = need_text(call.params, "upload_id")
        session = self._service.index.session(session_id)
        if session is None or session.bucket != call.names[0]:
            raise StorageError(HTTPStatus.NOT_FOUND, "notFound", f"No such upload: {session_id}")
        call.names = (session.bucket, session.name)
        return session

    async def _take_up(self, session_id: str) -> _Live:
        live = self._live.get(session_id)
        if live is None:
            async with self._taking_up:
                live = self._live.get(session_id)
                if live is None:
                    incoming = await Incoming.reopen(self._service.bodies.session_path(session_id))
                    live = self._live[session_id] = _Live(incoming)
        return live

    async def _append(self, live: _Live, turn: int, call: Call, content_range: _ContentRange) -> None:
        """Take a chunk, passing over the bytes that are here already."""
        assert content_range.first is not None
        offset = content_range.first
        if offset > live.incoming.kept:
            raise invalid(
                f"Invalid request. According to the Content-Range header, the upload offset is {offset} byte(s), which "
                f"exceeds already uploaded size of {live.incoming.kept} byte(s).",
                location=("header", "Content-Range"),
            )
        async for chunk in call.body.chunks():
            async with live.lock:
                _check_turn(live, turn)
                fresh = chunk[max(live.incoming.size - offset, 0) :]
                offset += len(chunk)
                if offset > content_range.last + 1:
                    raise _wrong_length(content_range)
                if fresh:
                    await live.incoming.write(fresh)
        if offset != content_range.last + 1:
            raise _wrong_length(content_range)

    def _conclude(self, session: StoredSession, live: _Live, call: Call, content_range: _ContentRange) -> Reply:
        """Finish the upload if all of it is here, else say how far it got."""
        total = content_range.total
        if total is None or live.incoming.size < total:
            live.incoming.drop_pending()
            return _incomplete(live.incoming.kept)
        if live.incoming.size > total:
            raise invalid(f"The upload already holds {live.incoming.size} bytes, more than {total}.")
        try:
            stored = self._commit(session, live.incoming, call)
        except StorageError as refusal:
            self._end(session, live, refusal.status, refusal.to_json())
            raise
        self._forget(session, live)
        return Reply(resource=show_object(stored, call.base_url))

    def _commit(self, session: StoredSession, incoming: Incoming, call: Call) -> StoredObject:
        draft = read_draft(session.order["resource"])
        digest = incoming.finish()
        check_digest(digest.crc32c, digest.md5, draft, claimed_hashes(call))
        return self._service.commit(
            session.bucket,
            session.name,
            draft,
            digest,
            incoming,
            # Asked at the start already; what counts is what holds now.
            Preconditions.from_json(session.order["conditions"]),
            session=session.id,
            show=lambda stored: show_object(stored, call.base_url),
        )

    def _end(self, session: StoredSession, live: _Live, status: int, outcome: dict[str, Any] | None) -> None:
        live.incoming.discard()
        self._service.index.end_session(session.id, status, outcome)
        self._forget(session, live)

    def _forget(self, session: StoredSession, live: _Live) -> None:
        """Nobody who waits for this session may touch its body any more."""
        live.turn += 1
        self._live.pop(session.id, None)


def _read_range(call: Call, session: StoredSession) -> _ContentRange:
    """What a PUT carries. Without the header it carries all of the object."""
    header = call.headers.get("Content-Range")
    announced: int | None = session.order["total"]
    length = call.headers.get("Content-Length")
    if header is None:
        if length is None:
            raise not_implemented("a PUT to an upload session with neither Content-Range nor Content-Length")
        size = int(length)
        return _ContentRange(0 if size else None, size - 1, size)
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid(f"Failed to parse Content-Range header: '{header}'", location=("header", "Content-Range"))
    first, last, total = match.groups()
    whole = None if total == "*" else int(total)
    if announced is not None and whole is not None and whole != announced:
        raise invalid(
            f"The total size {whole} in Content-Range does not match X-Upload-Content-Length, which was {announced}.",
            location=("header", "Content-Range"),
        )
    if first is None:
        return _ContentRange(None, -1, whole)
    content_range = _ContentRange(int(first), int(last), whole)
    if int(last) < int(first) or (whole is not None and int(last) >= whole):
        raise invalid(f"Invalid Content-Range: '{header}'", location=("header", "Content-Range"))
    if length is not None and int(length) != int(last) - int(first) + 1:
        raise _wrong_length(content_range)
    return content_range


def _wrong_length(content_range: _ContentRange) -> StorageError:
    return invalid(
        f"The request's body is not as long as its Content-Range {content_range.first}-{content_range.last} says.",
        location=("header", "Content-Range"),
    )


def _check_turn(live: _Live, turn: int) -> None:
    if live.turn != turn:
        raise BodyCut("a newer request on the same upload session took over")


def _incomplete(kept: int) -> Reply:
    headers = {"Range": f"bytes=0-{kept - 1}"} if kept else {}
    return Reply(HTTPStatus.PERMANENT_REDIRECT, headers=headers)


def _repeat_end(session: StoredSession) -> Reply:
    """An ended upload answers every later request with its end."""
    if session.outcome is None:
        return Reply(session.status)
    return Reply(session.status, resource=session.outcome)
