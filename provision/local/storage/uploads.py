"""objects.insert in one request: the body alone (uploadType=media), or metadata and body (uploadType=multipart)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from provision.local.storage.bodies import Incoming
from provision.local.storage.calls import MAX_JSON_BYTES, Call, Reply, decode_object, need_text
from provision.local.storage.errors import invalid, required
from provision.local.storage.names import check_object_name
from provision.local.storage.preconditions import Preconditions
from provision.local.storage.resources import check_digest, read_draft, show_object
from provision.local.storage.service import Service

DEFAULT_CONTENT_TYPE = "application/octet-stream"


async def insert_media(service: Service, call: Call) -> Reply:
    """POST /upload/.../o?uploadType=media&name=O: the body is the object."""
    resource: dict[str, Any] = {"contentType": call.headers.get("Content-Type", DEFAULT_CONTENT_TYPE)}
    return await _receive(service, call, resource, call.body.chunks())


async def insert_multipart(service: Service, call: Call) -> Reply:
    """POST /upload/.../o?uploadType=multipart: JSON metadata, then the object, as multipart/related."""
    content_type = Message()
    content_type["Content-Type"] = call.headers.get("Content-Type", "")
    boundary = content_type.get_param("boundary")
    if content_type.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise invalid("Malformed multipart body: multipart/related with a boundary is required.")
    # The stream needs the faults that match the object's name, and the name is in the stream: read that far first.
    parts = RelatedParts(call.body.chunks(), boundary.encode())
    resource = decode_object(await parts.read_metadata())
    headers = await parts.read_headers()
    part_type = headers.get("Content-Type")
    if part_type and "contentType" not in resource:
        resource["contentType"] = part_type
    elif part_type and resource["contentType"] != part_type:
        raise invalid(
            f"Content-Type specified in the upload ({part_type}) does not match Content-Type specified in metadata "
            f"({resource['contentType']})."
        )
    return await _receive(service, call, resource, parts.body())


async def _receive(service: Service, call: Call, resource: dict[str, Any], chunks: AsyncIterator[bytes]) -> Reply:
    bucket = call.names[0]
    name = name_object(call, resource)
    service.refuse_if_struck(call)
    service.slow_or_cut(call)
    draft = read_draft(resource)
    conditions = Preconditions.from_params(call.params)
    service.bucket(bucket)
    conditions.check_write(service.index.object(bucket, name))
    incoming = service.bodies.receive()
    try:
        await _fill(incoming, chunks)
        digest = incoming.finish()
        check_digest(digest.crc32c, digest.md5, draft, claimed_hashes(call))
        stored = service.commit(bucket, name, draft, digest, incoming, conditions)
    finally:
        incoming.discard()
    return Reply(resource=show_object(stored, call.base_url))


async def _fill(incoming: Incoming, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        await incoming.write(chunk)


def name_object(call: Call, resource: dict[str, Any]) -> str:
    """The name of the object to be inserted, from the query or else the metadata; the call then knows it too.

    Raises:
        StorageError: 400 if there is none, or it is no name, or the metadata names another bucket.
    """
    bucket = call.names[0]
    if resource.get("bucket") not in {None, bucket}:
        raise invalid(f"The bucket in the metadata does not match the bucket in the URL: '{resource['bucket']}'.")
    name = call.params.get("name") or (need_text(resource, "name") if "name" in resource else None)
    if not name:
        raise required("name")
    check_object_name(name)
    call.names = (bucket, name)
    encoding = call.params.get("contentEncoding")
    if encoding:
        resource["contentEncoding"] = encoding
    resource.setdefault("contentType", DEFAULT_CONTENT_TYPE)
    return name


def claimed_hashes(call: Call) -> tuple[str | None, str | None]:
    """CRC32C and MD5 (base64) that the request's headers claim for the whole object."""
    claims: dict[str, str] = {}
    for part in call.headers.get("X-Goog-Hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        claims[kind] = value
    return claims.get("crc32c"), claims.get("md5", call.headers.get("Content-MD5"))


class RelatedParts:
    """The two parts of a multipart/related body, the second one streamed."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._delimiter = b"--" + boundary
        self._buffer = bytearray()

    async def read_metadata(self) -> bytes:
        """The content of the first part."""
        await self._read_until(self._delimiter)
        await self._read_until(b"\n")
        await self.read_headers()
        content = await self._read_until(self._delimiter)
        await self._read_until(b"\n")
        return content

    async def read_headers(self) -> Message:
        """The headers of a part, up to and with the empty line."""
        lines: list[bytes] = []
        while line := (await self._read_until(b"\n")).rstrip(b"\r"):
            lines.append(line)
        return BytesHeaderParser().parsebytes(b"\r\n".join(lines) + b"\r\n\r\n")

    async def body(self) -> AsyncIterator[bytes]:
        """The second part's content.

        Raises:
            StorageError: 400 if the closing delimiter never comes.
        """
        ending = b"\r\n" + self._delimiter
        while True:
            found = self._buffer.find(ending)
            if found >= 0:
                if found:
                    yield bytes(self._buffer[:found])
                break
            safe = len(self._buffer) - len(ending) + 1
            if safe > 0:
                yield bytes(self._buffer[:safe])
                del self._buffer[:safe]
            await self._more()
        async for _rest in self._chunks:
            continue

    async def _read_until(self, mark: bytes) -> bytes:
        """What comes before `mark`; the mark itself is passed over."""
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > MAX_JSON_BYTES:
                raise invalid("Malformed multipart body: the metadata part exceeds 1 MiB.")
            searched = max(len(self._buffer) - len(mark) + 1, 0)
            await self._more()
        before = bytes(self._buffer[:found])
        del self._buffer[: found + len(mark)]
        return before

    async def _more(self) -> None:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise invalid("Malformed multipart body: it ends before its closing delimiter.")
        self._buffer += chunk
