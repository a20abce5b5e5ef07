"""A bucket as the engine uses it: create-once, compare-and-swap, listings with metadata; over google-cloud-storage.

All methods block: the pipeline calls them from a bounded pool of threads (what is small it creates through `engine.small_objects`,
on the event loop). Retries are those of the client library (capped, jittered, on 408, 429 and 5xx and lost connections), counted here
(`Retries`), and there is no second layer. Because every write carries a generation precondition, a write that was retried after a lost
reply shows as `AlreadyExists`; the caller compares. Every write also carries the CRC-32C of its bytes, so the bucket refuses what was
damaged on the way.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from engine.documents import Moment
from engine.errors import (
    AlreadyExists,
    ConfigurationError,
    EngineError,
    GenerationMismatch,
    NotPermitted,
    StoreError,
)

T = TypeVar("T")

CALL_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds of silence, of one HTTP exchange."""

CHUNK_BYTES = 16 << 20
"""One request of a resumable upload."""

_CHECKSUM_STEP = 1 << 20

PAGE_OBJECTS = 1000
"""As many objects the bucket shows at most in one answer."""

LISTING_FIELDS = "items(name,size,generation,crc32c,updated,metadata),nextPageToken"


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
    metadata: Mapping[str, str] = field(default_factory=dict)


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

    async def awaiting(self, call: Callable[[], Awaitable[T]]) -> T:
        """The same for a call that is awaited. Retries are made ready when the first try has failed: that costs as much as a try."""
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
            _drain(error)
            if not left:
                raise error

        # What is worth another try is the client's own rule: 408, 429, 5xx, lost connections.
        policy = kind(DEFAULT_RETRY._predicate, initial=self.first_delay, maximum=self.longest_delay, multiplier=2.0, timeout=self.seconds)
        retrying: Callable[..., Any] = policy(call, on_error=count)
        return retrying


class Store:
    """One bucket. Safe to use from several threads."""

    def __init__(self, client: Any, bucket: str, *, retries: Retries | None = None) -> None:
        self._client = client
        self._retries = retries or Retries()
        self._bucket = client.bucket(bucket)
        self.bucket = bucket

    def beside(self, bucket: str) -> Store:
        """Another bucket, over the same client."""
        return Store(self._client, bucket, retries=self._retries)

    def get(self, name: str) -> ObjectData | None:
        """An object's bytes, or None if there is none."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(name)
        with self._errors(name):
            try:
                data = blob.download_as_bytes(retry=self._retries, timeout=CALL_TIMEOUT, raw_download=True)
            except NotFound as error:
                self._require_bucket(error)
                return None
        return ObjectData(data, int(blob.generation), dict(blob.metadata or {}))

    def get_range(self, name: str, start: int, end: int, *, generation: int | None = None) -> bytes | None:
        """The bytes from `start` (from 0) up to `end` (exclusive) of an object; None if there is no such object or generation.

        A range that reaches beyond the object gives what there is of it. The caller knows the size from a listing.

        Raises:
            ValueError: if the range is empty or begins before the object.
            StoreError, NotPermitted, ConfigurationError: as named.
        """
        from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable

        if not 0 <= start < end:
            raise ValueError(f"no range: {start} to {end}")
        blob = self._bucket.blob(name, generation=generation)
        with self._errors(name):
            try:
                # A part has no checksum of its own, and the client would warn that it cannot compare one.
                return bytes(
                    blob.download_as_bytes(
                        start=start, end=end - 1, retry=self._retries, timeout=CALL_TIMEOUT, raw_download=True, checksum=None
                    )
                )
            except RequestRangeNotSatisfiable:
                return b""
            except NotFound as error:
                self._require_bucket(error)
                return None

    def stat(self, name: str) -> ObjectInfo | None:
        """An object's metadata, or None if there is none."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(name)
        with self._errors(name):
            try:
                blob.reload(retry=self._retries, timeout=CALL_TIMEOUT)
            except NotFound as error:
                self._require_bucket(error)
                return None
        return _info(blob)

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
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name, chunk_size=CHUNK_BYTES)
        blob.metadata = dict(metadata or {})
        with self._errors(name), _opened(data) as (stream, size):
            blob.crc32c = sent = crc32c or _checksum(stream)
            try:
                self._upload(blob, stream, size, content_type, if_generation)
            except PreconditionFailed as error:
                kind = AlreadyExists if if_generation == 0 else GenerationMismatch
                raise kind(f"gs://{self.bucket}/{name} was written by somebody else") from error
        if blob.crc32c != sent:
            raise StoreError(
                f"gs://{self.bucket}/{name} has checksum {blob.crc32c}, sent {sent}", hint="look at the object, then run again"
            )
        return _info(blob)

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
                    retry=self._retries,
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
        with self._errors(prefix):
            blobs = self._client.list_blobs(
                self._bucket,
                prefix=prefix or None,
                start_offset=start or None,
                end_offset=end or None,
                match_glob=glob or None,
                fields=LISTING_FIELDS,
                retry=self._retries,
                timeout=CALL_TIMEOUT,
            )
            for page in blobs.pages:
                # The answer itself: an object of the client for each would cost five times what all the rest of it does.
                yield from map(_listed, page.raw_page.get("items", ()))

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """The names directly below `prefix` that end in a slash."""
        with self._errors(prefix):
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix, delimiter="/", fields="prefixes,nextPageToken", retry=self._retries, timeout=CALL_TIMEOUT
            )
            for _ in blobs:
                pass
            return tuple(sorted(blobs.prefixes))

    def delete(self, name: str, *, if_generation: int) -> bool:
        """Delete one generation of an object; False if it is gone already. Used on state, never on data."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._errors(name):
            try:
                self._bucket.blob(name).delete(if_generation_match=if_generation, retry=self._retries, timeout=CALL_TIMEOUT)
            except NotFound:
                return False
            except PreconditionFailed as error:
                raise GenerationMismatch(f"gs://{self.bucket}/{name} was written by somebody else") from error
        return True

    def _require_bucket(self, error: Exception) -> None:
        if _names_bucket(error):
            raise error

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn the client's errors into ours, each with the object and the next step."""
        import requests
        import urllib3.exceptions
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, Unauthorized
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        where = f"gs://{self.bucket}/{name}"
        network = "check the network, then run again"
        try:
            yield
        except EngineError:
            raise
        except NotFound as error:
            if not _names_bucket(error):
                raise StoreError(f"{where}: {_reason(error)}", hint="run again") from error
            hint = "create it, or name another: DATA_BUCKET, STATE_BUCKET, or the profile"
            raise ConfigurationError(f"bucket {self.bucket} does not exist", hint=hint) from error
        except (Forbidden, Unauthorized) as error:
            raise NotPermitted(f"{where}: {_reason(error)}", hint="let this account create, get and list objects") from error
        except GoogleAuthError as error:
            if error.retryable or isinstance(error, TransportError):
                raise StoreError(f"{where}: no access token: {_reason(error)}", hint=network) from error
            raise NotPermitted(f"{where}: {_reason(error)}", hint="run: gcloud auth application-default login") from error
        except (DataCorruption, InvalidResponse) as error:
            raise StoreError(f"{where}: {_reason(error)}", hint="run again") from error
        except (
            RetryError,
            GoogleAPICallError,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise StoreError(f"{where}: {_reason(error)}", hint=network) from error


def open_client(*, project: str, endpoint: str = "") -> Any:
    """A google-cloud-storage client.

    Args:
        project: Google Cloud project; any word for an emulator.
        endpoint: base URL of a storage server on this machine; empty for the real service with default credentials.

    Raises:
        ConfigurationError: if `endpoint` is not on this machine.
        NotPermitted: if there are no default credentials.
    """
    import requests.adapters
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    if endpoint:
        from google.auth.credentials import AnonymousCredentials

        require_loopback(endpoint)
        client = storage.Client(project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint.rstrip("/")})
        client._http.trust_env = False
    else:
        try:
            client = storage.Client(project=project)
        except DefaultCredentialsError as error:
            raise NotPermitted(str(error), hint="run: gcloud auth application-default login") from error
    # Telemetry of the client asks for the bucket in a thread of its own, and goes on asking a server that is gone.
    client._bucket_metadata_cache = None
    adapter = requests.adapters.HTTPAdapter(pool_connections=8, pool_maxsize=256)
    for scheme in ("http://", "https://"):
        client._http.mount(scheme, adapter)
    return client


def create_bucket(store: Store) -> bool:
    """Create a store's bucket; False if it is there already."""
    from google.api_core.exceptions import Conflict

    with store._errors(""):
        try:
            store._client.create_bucket(store.bucket, timeout=CALL_TIMEOUT)
        except Conflict:
            return False
    return True


def require_loopback(endpoint: str) -> str:
    """Return `endpoint`, refusing any host that is not this machine: an emulator elsewhere is a mistake.

    Raises:
        ConfigurationError: naming the endpoint.
    """
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(
            f"{endpoint!r} is not on this machine",
            hint="an emulator endpoint must be on 127.0.0.1; unset it for the real service",
        )
    return endpoint


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


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        name=blob.name,
        size=int(blob.size or 0),
        generation=int(blob.generation),
        crc32c=blob.crc32c or "",
        updated=blob.updated,
        metadata=dict(blob.metadata or {}),
    )


def _listed(item: Mapping[str, Any]) -> ObjectInfo:
    """An object as the JSON of a listing shows it."""
    return ObjectInfo(
        name=item["name"],
        size=int(item.get("size", 0)),
        generation=int(item["generation"]),
        crc32c=item.get("crc32c", ""),
        updated=datetime.fromisoformat(item["updated"]),
        metadata=item.get("metadata", {}),
    )


def _drain(error: Exception) -> None:
    """Read the rest of a refusal, so that its connection can be used again: the client leaves that of a download open."""
    from requests import RequestException, Response

    response = getattr(error, "response", None)
    if isinstance(response, Response):
        with suppress(RequestException):
            _ = response.content


def _names_bucket(error: Exception) -> bool:
    """Whether a 404 speaks of the bucket, not of an object or an upload in it."""
    text = str(error).lower()
    return "bucket" in text and "does not exist" in text


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
