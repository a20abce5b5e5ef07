"""A bucket as the engine uses it: create-once, compare-and-swap, listings with metadata.

All methods block: the pipeline calls them from a bounded pool of threads (what is small it creates through `engine.small_objects`,
on the event loop). What is one request is one request of `engine.storage_service`; a large object goes up in pieces by
google-cloud-storage. Retries are those of that library (capped, jittered, on 408, 429 and 5xx and lost connections), counted here
(`Retries`), and there is no second layer. Because every write carries a generation precondition, a write that was retried after a lost
reply shows as `AlreadyExists`; the caller compares. Every write also carries the CRC-32C of its bytes, so the bucket refuses what was
damaged on the way.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from engine.documents import Moment, json_decoder
from engine.errors import (
    AlreadyExists,
    ConfigurationError,
    EngineError,
    GenerationMismatch,
    NotPermitted,
    StoreError,
)
from engine.storage_service import (
    Answer,
    StorageService,
    media_path,
    object_path,
    objects_path,
    refusal,
    says_no_bucket,
    upload_path,
    wrap,
)

T = TypeVar("T")

CALL_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds of silence, of one HTTP exchange."""

SMALL_BYTES = 8 << 20
"""Larger objects go up in pieces, of which only the one that was lost is repeated."""

CHUNK_BYTES = 16 << 20
"""One request of a resumable upload."""

_CHECKSUM_STEP = 1 << 20

PAGE_OBJECTS = 1000
"""As many objects the bucket shows at most in one answer."""

OBJECT_FIELDS = "name,size,generation,crc32c,updated,metadata"
LISTING_FIELDS = f"items({OBJECT_FIELDS}),nextPageToken"

_TERSE = {"projection": "noAcl", "prettyPrint": "false"}

_AS_STORED = {"Accept-Encoding": "gzip"}
"""An object that is kept packed comes as it is kept (Cloud Storage, "Transcoding of gzip-compressed files")."""


_NO_OBJECT = (LookupError, TypeError, ValueError, AttributeError)
"""What reading JSON that describes no object ends in."""


class ObjectInfo(msgspec.Struct, frozen=True):
    """An object as a listing shows it."""

    name: str
    size: int
    generation: int
    crc32c: str
    """Base64 of the big-endian CRC-32C, as the bucket reports it."""
    updated: Moment
    metadata: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class ObjectData:
    """An object's bytes and the generation they belong to."""

    data: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class Retries:
    """How often one request is repeated: with the defaults up to about two minutes, then it counts as failed."""

    tries: int = 16
    seconds: float = 120.0
    """No new try after so long, whatever is left of `tries`."""
    first_delay: float = 0.3
    """Seconds; full jitter, doubled with each try up to `longest_delay`."""
    longest_delay: float = 20.0

    def __call__(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call` with these retries. The client asks for this once a request, so each chunk of an upload has tries of its own."""
        from google.api_core.retry import Retry

        return self._with(Retry, call)

    def calling(self, call: Callable[[], T]) -> T:
        """What `call` returns in the end. Retries are made ready when the first try has failed: that costs as much as a try."""
        failed: list[Exception] = []
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the client's rule tells what is tried again, and raises the others
            failed.append(error)

        def try_again() -> T:
            if failed:
                raise failed.pop()
            return call()

        answer: T = self(try_again)()
        return answer

    async def awaiting(self, call: Callable[[], Awaitable[T]]) -> T:
        """`calling` for what is awaited."""
        failed: list[Exception] = []
        try:
            return await call()
        except Exception as error:  # noqa: BLE001 - the client's rule tells what is tried again, and raises the others
            failed.append(error)
        from google.api_core.retry import AsyncRetry

        async def try_again() -> T:
            if failed:
                raise failed.pop()
            return await call()

        answer: T = await self._with(AsyncRetry, try_again)()
        return answer

    def _with(self, kind: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        left = self.tries

        def count(error: Exception) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise error

        # What is worth another try is the client's own rule: 408, 429, 5xx, lost connections.
        policy = kind(DEFAULT_RETRY._predicate, initial=self.first_delay, maximum=self.longest_delay, multiplier=2.0, timeout=self.seconds)
        retrying: Callable[..., Any] = policy(call, on_error=count)
        return retrying


class Store:
    """One bucket. Safe to use from several threads."""

    def __init__(self, service: StorageService, bucket: str, *, retries: Retries | None = None) -> None:
        self.service = service
        self.bucket = bucket
        self.retries = retries or Retries()

    def beside(self, bucket: str) -> Store:
        """Another bucket of the same service."""
        return Store(self.service, bucket, retries=self.retries)

    def get(self, name: str) -> ObjectData | None:
        """An object's bytes, or None if there is none.

        Raises:
            StoreError, NotPermitted, ConfigurationError: as named; StoreError also if the bytes have another checksum than the bucket says.
        """
        with self.errors(name):
            answer = self._ask("GET", media_path(self.bucket, name), {"alt": "media"}, headers=_AS_STORED, known=(404,))
        if self._is_absent(answer):
            return None
        said = dict(part.strip().partition("=")[::2] for part in answer.headers.get("x-goog-hash", "").split(","))
        if said.get("crc32c", found := _checksum(io.BytesIO(answer.body))) != found:
            raise StoreError(f"gs://{self.bucket}/{name} has checksum {said['crc32c']}, what came {found}", hint="run again")
        if "x-goog-generation" not in answer.headers:
            raise StoreError(f"gs://{self.bucket}/{name}: the answer is no object", hint="run again")
        return ObjectData(answer.body, int(answer.headers["x-goog-generation"]))

    def get_range(self, name: str, start: int, end: int, *, generation: int | None = None) -> bytes | None:
        """The bytes from `start` (from 0) up to `end` (exclusive) of an object; None if there is no such object or generation.

        A range that reaches beyond the object gives what there is of it. The caller knows the size from a listing.

        Raises:
            ValueError: if the range is empty or begins before the object.
            StoreError, NotPermitted, ConfigurationError: as named.
        """
        if not 0 <= start < end:
            raise ValueError(f"no range: {start} to {end}")
        query = {"alt": "media"} | ({} if generation is None else {"generation": str(generation)})
        headers = _AS_STORED | {"Range": f"bytes={start}-{end - 1}"}
        with self.errors(name):
            answer = self._ask("GET", media_path(self.bucket, name), query, headers=headers, known=(404, 416))
        if self._is_absent(answer):
            return None
        if answer.status == 416:
            return b""
        # Whoever does not know ranges answers 200 with the whole.
        return answer.body if answer.status == 206 else answer.body[start:end]

    def stat(self, name: str) -> ObjectInfo | None:
        """An object's metadata, or None if there is none."""
        with self.errors(name):
            answer = self._ask("GET", object_path(self.bucket, name), {"fields": OBJECT_FIELDS}, known=(404,))
        return None if self._is_absent(answer) else self._read_info(name, answer)

    def put(
        self,
        name: str,
        data: bytes | Path,
        *,
        if_generation: int | None,
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
        crc32c: str = "",
    ) -> ObjectInfo:
        """Write an object.

        Args:
            name: object name, from `engine.paths`.
            data: the bytes, or a file that holds them.
            if_generation: 0 creates only; a generation replaces only that one; None overwrites whatever is there (heartbeats).
            metadata: custom metadata: at most 1 KiB a key, 4 KiB a value, 8 KiB in all.
            content_type: MIME type.
            crc32c: base64 of the big-endian CRC-32C that the bytes must have, where the caller knows it better than we do by reading
                `data` once more. The bucket refuses other bytes.

        Raises:
            AlreadyExists: `if_generation` is 0 and the name is taken (also by an earlier try whose reply was lost).
            GenerationMismatch: the object is not at that generation any more.
            StoreError, NotPermitted, ConfigurationError: as named; StoreError also if the bucket says that it stored other bytes.
        """
        with self.errors(name), _opened(data) as (stream, size):
            sent = crc32c or _checksum(stream)
            stream.seek(0)
            if size <= SMALL_BYTES:
                answer = self._put_at_once(name, stream.read(), sent, content_type, metadata or {}, if_generation)
                return self.read_written(name, answer, crc32c=sent, if_generation=if_generation)
            return self._require_sent(self._put_in_pieces(name, stream, size, sent, content_type, metadata or {}, if_generation), sent)

    def _put_at_once(
        self, name: str, data: bytes, crc32c: str, content_type: str, metadata: Mapping[str, str], if_generation: int | None
    ) -> Answer:
        around = wrap(describe(name, content_type, crc32c, metadata), content_type)
        query = {"uploadType": "multipart"} | ({} if if_generation is None else {"ifGenerationMatch": str(if_generation)})
        body = around.pieces(data)
        return self._ask("POST", upload_path(self.bucket), query, headers={"Content-Type": around.content_type}, body=body, known=(412,))

    def _put_in_pieces(
        self,
        name: str,
        stream: IO[bytes],
        size: int,
        crc32c: str,
        content_type: str,
        metadata: Mapping[str, str],
        if_generation: int | None,
    ) -> ObjectInfo:
        """By the official client, which repeats only the piece that was lost."""
        from google.api_core.exceptions import PreconditionFailed

        blob = self.service.client.bucket(self.bucket).blob(name, chunk_size=CHUNK_BYTES)
        blob.metadata, blob.crc32c = dict(metadata), crc32c
        try:
            self._upload(blob, stream, size, content_type, if_generation)
        except PreconditionFailed as error:
            raise self._overtaken(name, if_generation) from error
        return ObjectInfo(blob.name, int(blob.size), int(blob.generation), blob.crc32c or "", blob.updated, dict(blob.metadata or {}))

    def _upload(self, blob: Any, stream: IO[bytes], size: int, content_type: str, if_generation: int | None) -> None:
        """Send the whole stream; from the start a second time if the bucket kept less of a chunk than it was sent.

        It may do so (Cloud Storage, "Resumable uploads": check the Range header of a 308), and the client cannot go back in the stream.
        """
        for last in (False, True):
            stream.seek(0)
            try:
                # The client's own check would delete a large object that does not match, whatever is there by then.
                blob.upload_from_file(
                    stream,
                    size=size,
                    content_type=content_type,
                    if_generation_match=if_generation,
                    checksum=None,
                    timeout=CALL_TIMEOUT,
                    retry=self.retries,
                )
            except ValueError as error:
                if type(error) is not ValueError:
                    raise
                if last:
                    raise StoreError(f"gs://{self.bucket}/{blob.name}: {_reason(error)}", hint="run again") from error
            else:
                return

    def list(self, prefix: str, *, start: str = "", end: str = "", glob: str = "") -> Iterator[ObjectInfo]:
        """Objects under `prefix` in name order, one request per thousand; `start` is inclusive, `end` exclusive."""
        asked = {"prefix": prefix, "startOffset": start, "endOffset": end, "matchGlob": glob}
        with self.errors(prefix):
            for page in self._pages(prefix, {key: value for key, value in asked.items() if value} | {"fields": LISTING_FIELDS}):
                try:
                    listed = [_described(item) for item in page.get("items", ())]
                except _NO_OBJECT as error:
                    raise StoreError(f"gs://{self.bucket}/{prefix}: the answer is no listing", hint="run again") from error
                yield from listed

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """The names directly below `prefix` that end in a slash."""
        with self.errors(prefix):
            pages = self._pages(prefix, {"prefix": prefix, "delimiter": "/", "fields": "prefixes,nextPageToken"})
            return tuple(sorted({folder for page in pages for folder in page.get("prefixes", ())}))

    def delete(self, name: str, *, if_generation: int) -> bool:
        """Delete one generation of an object; False if it is gone already. Used on state, never on data."""
        query = {"ifGenerationMatch": str(if_generation)}
        with self.errors(name):
            answer = self._ask("DELETE", object_path(self.bucket, name), query, known=(404, 412))
        if answer.status == 412:
            raise self._overtaken(name, if_generation)
        return answer.status != 404

    def read_written(self, name: str, answer: Answer, *, crc32c: str, if_generation: int | None) -> ObjectInfo:
        """The new object that an answer to a write describes.

        Args:
            name: what it was to be called.
            answer: of 2xx, or 412.
            crc32c: of what was sent.
            if_generation: as for `put`.

        Raises:
            AlreadyExists, GenerationMismatch, StoreError: as for `put`.
        """
        if answer.status == 412:
            raise self._overtaken(name, if_generation)
        return self._require_sent(self._read_info(name, answer), crc32c)

    def _read_info(self, name: str, answer: Answer) -> ObjectInfo:
        try:
            return _described(msgspec.json.decode(answer.body))
        except (msgspec.DecodeError, *_NO_OBJECT) as error:
            raise StoreError(f"gs://{self.bucket}/{name}: the answer describes no object", hint="run again") from error

    def _require_sent(self, written: ObjectInfo, crc32c: str) -> ObjectInfo:
        if written.crc32c != crc32c:
            where = f"gs://{self.bucket}/{written.name}"
            raise StoreError(f"{where} has checksum {written.crc32c or 'none'}, sent {crc32c}", hint="look at the object, then run again")
        return written

    def _pages(self, prefix: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            answer = self._ask("GET", objects_path(self.bucket), {**query, **_TERSE, **({"pageToken": token} if token else {})})
            try:
                page = json_decoder(dict[str, Any]).decode(answer.body)
            except (msgspec.DecodeError, *_NO_OBJECT) as error:
                raise StoreError(f"gs://{self.bucket}/{prefix}: the answer is no listing", hint="run again") from error
            yield page
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes | memoryview] = (),
        known: tuple[int, ...] = (),
    ) -> Answer:
        """An answer that did what was asked, or has one of the `known` statuses; asked again as `Retries` says.

        Raises:
            GoogleAPICallError, ConnectionError, GoogleAuthError: for `errors`.
        """

        def once() -> Answer:
            answer = self.service.ask(method, path, query, headers=headers, body=body, timeout=CALL_TIMEOUT)
            if answer.is_done or answer.status in known:
                return answer
            raise refusal(answer)

        return self.retries.calling(once)

    def _is_absent(self, answer: Answer) -> bool:
        if answer.status != 404:
            return False
        if says_no_bucket(answer.message):
            raise self._no_bucket()
        return True

    def _overtaken(self, name: str, if_generation: int | None) -> StoreError:
        kind = AlreadyExists if if_generation == 0 else GenerationMismatch
        return kind(f"gs://{self.bucket}/{name} was written by somebody else")

    def _no_bucket(self) -> ConfigurationError:
        hint = "create it, or name another: DATA_BUCKET, STATE_BUCKET, or the profile"
        return ConfigurationError(f"bucket {self.bucket} does not exist", hint=hint)

    @contextmanager
    def errors(self, name: str) -> Iterator[None]:
        """Turn what the service and the libraries raise into our errors, each with the object and the next step."""
        try:
            yield
        except EngineError:
            raise
        except Exception as error:
            ours = self._translated(error, f"gs://{self.bucket}/{name}")
            if ours is None:
                raise
            raise ours from error

    def _translated(self, error: Exception, where: str) -> EngineError | None:
        """None for what is none of ours. Imports the libraries' errors only when one has happened."""
        import requests
        import urllib3.exceptions
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, Unauthorized
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        network = "check the network, then run again"
        if isinstance(error, NotFound):
            return self._no_bucket() if says_no_bucket(str(error)) else StoreError(f"{where}: {_reason(error)}", hint="run again")
        if isinstance(error, (Forbidden, Unauthorized)):
            return NotPermitted(f"{where}: {_reason(error)}", hint="let this account create, get and list objects")
        if isinstance(error, GoogleAuthError):
            if error.retryable or isinstance(error, TransportError):
                return StoreError(f"{where}: no access token: {_reason(error)}", hint=network)
            return NotPermitted(f"{where}: {_reason(error)}", hint="run: gcloud auth application-default login")
        if isinstance(error, (DataCorruption, InvalidResponse)):
            return StoreError(f"{where}: {_reason(error)}", hint="run again")
        lost = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, ConnectionError, TimeoutError)
        if isinstance(error, (RetryError, GoogleAPICallError, *lost)):
            return StoreError(f"{where}: {_reason(error)}", hint=network)
        return None


def describe(name: str, content_type: str, crc32c: str, metadata: Mapping[str, str]) -> Mapping[str, object]:
    """What the bucket is told of a new object. It refuses bytes that have another checksum."""
    return {"name": name, "contentType": content_type, "crc32c": crc32c, "metadata": dict(metadata)}


@contextmanager
def _opened(data: bytes | Path) -> Iterator[tuple[IO[bytes], int]]:
    if isinstance(data, Path):
        with data.open("rb") as stream:
            yield stream, os.fstat(stream.fileno()).st_size
    else:
        yield io.BytesIO(data), len(data)


def _checksum(stream: IO[bytes]) -> str:
    """CRC-32C of what `stream` holds, as the bucket writes it."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    while piece := stream.read(_CHECKSUM_STEP):
        checksum.update(piece)
    return base64.b64encode(checksum.digest()).decode("ascii")


def _described(item: Mapping[str, Any]) -> ObjectInfo:
    """An object as JSON describes it."""
    return ObjectInfo(
        name=item["name"],
        size=int(item.get("size", 0)),
        generation=int(item["generation"]),
        crc32c=item.get("crc32c", ""),
        updated=datetime.fromisoformat(item["updated"]),
        metadata=item.get("metadata", {}),
    )


def _reason(error: BaseException) -> str:
    """What the bucket said, without the request that the client repeats around it."""
    if isinstance(cause := getattr(error, "cause", None), BaseException):
        return f"{_reason(cause)} ({getattr(error, 'message', 'tried again in vain')})"
    if refused := _refused_connection(error):
        return refused
    try:
        said = error.response.json()["error"]["message"]  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError):
        said = getattr(error, "message", "") or str(error) or type(error).__name__
    return " ".join(str(said).split())[:300]


def _refused_connection(error: BaseException) -> str:
    """Why there was no connection, out of the three errors that the libraries wrap around it; "" if that is not what happened."""
    failed = getattr(error.args[0] if error.args else None, "reason", None)
    system = getattr(failed, "__cause__", None) or getattr(failed, "__context__", None)
    if not isinstance(system, OSError):
        return ""
    place = urlsplit(str(getattr(getattr(error, "request", None), "url", ""))).netloc
    return f"no connection to {place}: {system.strerror or system}"
