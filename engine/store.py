"""A bucket as the engine uses it: create-once, compare-and-swap, listings with metadata; over google-cloud-storage.

All methods block: the pipeline calls them from a bounded pool of threads. Retries are those of the client library (capped,
jittered, on 408, 429 and 5xx and lost connections) and there is no second layer. Because every write carries a generation
precondition, a write that was retried after a lost reply shows as `AlreadyExists`; the caller compares.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from engine.errors import (
    AlreadyExists,
    ConfigurationError,
    EngineError,
    GenerationMismatch,
    NotPermitted,
    StoreError,
)

RETRY_SECONDS = 120.0
"""How long one call is retried before it counts as failed."""

CALL_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds of silence, of one HTTP exchange."""

CHUNK_BYTES = 16 << 20
"""One request of a resumable upload."""

LISTING_FIELDS = "items(name,size,generation,crc32c,updated,metadata),nextPageToken"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it."""

    name: str
    size: int
    generation: int
    crc32c: str
    """Base64 of the big-endian CRC-32C, as the bucket reports it."""
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectData:
    """An object's bytes and the generation they belong to."""

    data: bytes
    generation: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class Store:
    """One bucket. Safe to use from several threads."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = client.bucket(bucket)
        self.bucket = bucket

    def get(self, name: str) -> ObjectData | None:
        """An object's bytes, or None if there is none."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(name)
        with self._errors(name):
            try:
                data = blob.download_as_bytes(retry=_retry(), timeout=CALL_TIMEOUT, raw_download=True)
            except NotFound as error:
                self._require_bucket(error)
                return None
        return ObjectData(data, int(blob.generation), dict(blob.metadata or {}))

    def stat(self, name: str) -> ObjectInfo | None:
        """An object's metadata, or None if there is none."""
        with self._errors(name):
            blob = self._bucket.get_blob(name, retry=_retry(), timeout=CALL_TIMEOUT)
        return None if blob is None else _info(blob)

    def put(
        self,
        name: str,
        data: bytes | Path,
        *,
        if_generation: int | None,
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
    ) -> ObjectInfo:
        """Write an object.

        Args:
            name: object name, from `engine.paths`.
            data: the bytes, or a file that holds them.
            if_generation: 0 creates only; a generation replaces only that one; None overwrites whatever is there (heartbeats).
            metadata: custom metadata: at most 1 KiB a key, 4 KiB a value, 8 KiB in all.
            content_type: MIME type.

        Raises:
            AlreadyExists: `if_generation` is 0 and the name is taken (also by an earlier try whose reply was lost).
            GenerationMismatch: the object is not at that generation any more.
            StoreError, NotPermitted, ConfigurationError: as named.
        """
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name, chunk_size=CHUNK_BYTES)
        blob.metadata = dict(metadata or {})
        with self._errors(name), _opened(data) as (stream, size):
            try:
                blob.upload_from_file(
                    stream,
                    size=size,
                    content_type=content_type,
                    if_generation_match=if_generation,
                    checksum="crc32c",
                    timeout=CALL_TIMEOUT,
                    retry=_retry(),
                )
            except PreconditionFailed as error:
                kind = AlreadyExists if if_generation == 0 else GenerationMismatch
                raise kind(f"gs://{self.bucket}/{name} was written by somebody else") from error
        return _info(blob)

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
                retry=_retry(),
                timeout=CALL_TIMEOUT,
            )
            for blob in blobs:
                yield _info(blob)

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """The names directly below `prefix` that end in a slash."""
        with self._errors(prefix):
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix, delimiter="/", fields="prefixes,nextPageToken", retry=_retry(), timeout=CALL_TIMEOUT
            )
            for _ in blobs:
                pass
            return tuple(sorted(blobs.prefixes))

    def delete(self, name: str, *, if_generation: int) -> bool:
        """Delete one generation of an object; False if it is gone already. Used on state, never on data."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._errors(name):
            try:
                self._bucket.blob(name).delete(if_generation_match=if_generation, retry=_retry(), timeout=CALL_TIMEOUT)
            except NotFound:
                return False
            except PreconditionFailed as error:
                raise GenerationMismatch(f"gs://{self.bucket}/{name} was written by somebody else") from error
        return True

    def _require_bucket(self, error: Exception) -> None:
        if "bucket" in str(error).lower() and "does not exist" in str(error).lower():
            raise error

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn the client's errors into ours, each with the object and the next step."""
        import requests
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, Unauthorized
        from google.auth.exceptions import GoogleAuthError

        where = f"gs://{self.bucket}/{name}"
        try:
            yield
        except EngineError:
            raise
        except NotFound as error:
            raise ConfigurationError(f"bucket {self.bucket} does not exist", hint="create it, or name another in the profile") from error
        except (Forbidden, Unauthorized) as error:
            raise NotPermitted(f"{where}: {_reason(error)}", hint="let this account create, get and list objects") from error
        except GoogleAuthError as error:
            raise NotPermitted(f"{where}: {error}", hint="run: gcloud auth application-default login") from error
        except (RetryError, GoogleAPICallError, requests.RequestException, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
                if isinstance(error, ConnectionError | TimeoutError):
                    raise StoreError(f"{where}: {error}", hint="check the network, then run again") from error
                raise
            raise StoreError(f"{where}: {_reason(error)}", hint="check the network, then run again") from error


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


def _retry() -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_SECONDS).with_delay(initial=0.3, multiplier=2.0, maximum=20.0)


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        name=blob.name,
        size=int(blob.size or 0),
        generation=int(blob.generation),
        crc32c=blob.crc32c or "",
        updated=blob.updated,
        metadata=dict(blob.metadata or {}),
    )


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "message", "") or error).split())[:300]
