"""The batch endpoint: many calls in one multipart/mixed request, answered one by one in the same order."""

from __future__ import annotations

import uuid
from email.message import Message
from email.parser import BytesHeaderParser
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDict

from provision.local.storage.calls import Body, Call, Reply
from provision.local.storage.errors import StorageError, invalid, not_implemented
from provision.local.storage.routes import Router, refusal

MOST_CALLS = 1000
MOST_BYTES = 10 << 20


async def answer_batch(router: Router, batch: Call) -> Reply:
    """POST /batch/storage/v1.

    Raises:
        StorageError: 400 if the batch as a whole cannot be read; what its calls refuse is in their own answers.
    """
    content_type = Message()
    content_type["Content-Type"] = batch.headers.get("Content-Type", "")
    boundary = content_type.get_param("boundary")
    if content_type.get_content_type() != "multipart/mixed" or not isinstance(boundary, str):
        raise invalid("Failed to parse batch request: multipart/mixed with a boundary is required.")
    received = bytearray()
    async for chunk in batch.body.chunks():
        received += chunk
        if len(received) > MOST_BYTES:
            raise invalid("The batch request exceeds 10 MiB.")
    parts = _split(bytes(received), boundary.encode())
    if len(parts) > MOST_CALLS:
        raise invalid(f"The batch request holds {len(parts)} calls; the maximum is {MOST_CALLS}.")

    ours = f"batch_{uuid.uuid4().hex}"
    lines: list[str] = []
    for part in parts:
        headers, content = _read_part(part)
        reply = await _answer(router, batch, content)
        lines += [f"--{ours}", "Content-Type: application/http"]
        if content_id := headers.get("Content-ID"):
            lines.append(f"Content-ID: <response-{content_id.strip('<>')}>")
        lines += ["", *_write_reply(reply)]
    lines += [f"--{ours}--", ""]
    return Reply(
        text="\r\n".join(lines),
        headers={"Content-Type": f"multipart/mixed; boundary={ours}"},
    )


async def _answer(router: Router, batch: Call, content: bytes) -> Reply:
    request_line, _, rest = content.partition(b"\n")
    head, _, body = _partition_head(rest)
    try:
        method, address, *_version = request_line.decode().split()
    except ValueError:
        return refusal(invalid(f"Failed to parse batch request: '{request_line[:80]!r}' is no request line."))
    parsed = urlsplit(address)
    target = f"{parsed.path}?{parsed.query}" if parsed.query else parsed.path
    headers = CIMultiDict(BytesHeaderParser().parsebytes(head).items())
    try:
        call = Call(method, target, headers, batch.base_url, Body(body.strip(b"\r\n")), in_batch=True)
        reply = await router.answer(call)
    except StorageError as error:
        return refusal(error)
    if reply.download:
        reply.download.file.close()
        return refusal(not_implemented("downloads in a batch"))
    return reply


def _split(received: bytes, boundary: bytes) -> list[bytes]:
    delimiter = b"--" + boundary
    sections = (b"\n" + received).split(b"\n" + delimiter)
    if len(sections) < 3 or not sections[-1].startswith(b"--"):
        raise invalid("Failed to parse batch request: no complete parts found.")
    return [section.partition(b"\n")[2] for section in sections[1:-1]]


def _read_part(part: bytes) -> tuple[Message, bytes]:
    head, _, content = _partition_head(part)
    return BytesHeaderParser().parsebytes(head), content.lstrip(b"\r\n")


def _partition_head(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Headers, the empty line, and what follows; either line ending will do."""
    for blank in (b"\r\n\r\n", b"\n\n"):
        head, found, rest = text.partition(blank)
        if found:
            return head, found, rest
    return text.strip(), b"", b""


def _write_reply(reply: Reply) -> list[str]:
    status = HTTPStatus(reply.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    body = msgspec.json.encode(reply.resource).decode() if reply.resource is not None else ""
    if body:
        lines.append("Content-Type: application/json; charset=UTF-8")
    return [*lines, f"Content-Length: {len(body.encode())}", "", body]
