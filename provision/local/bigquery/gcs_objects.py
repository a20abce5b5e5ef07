"""Objects of the local bucket by `gs://` URIs: lists of them, and one `*` in each, which also stands for slashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.storage_service import open_storage
from engine.store import Retries, Store
from provision.local.bigquery.errors import BigQueryError, invalid, not_found
from provision.local.serving import LOOPBACK

MOST_URIS = 10_000
"""Of one job ("Quotas and limits", load jobs: maximum number of source URIs in job configuration)."""


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object to read."""

    bucket: str
    name: str
    generation: int
    size: int


def require_uris(uris: Sequence[str]) -> None:
    """Refuse URIs that no job could read.

    Raises:
        BigQueryError: 400.
    """
    if not uris:
        raise invalid("Required parameter is missing: sourceUris")
    if len(uris) > MOST_URIS:
        raise invalid(f"Too many source URIs: {len(uris)}, limit is {MOST_URIS}")
    for uri in uris:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://") or not bucket or not name:
            raise invalid(f"Source URI must be a Google Cloud Storage location: {uri}")
        if "*" in bucket or name.count("*") > 1:
            raise invalid(f"Invalid source URI: {uri}. Only one wildcard is allowed, and not in the bucket.")


class LocalBucket:
    """Reads the storage server that runs beside this one, over HTTP, as the engine does."""

    def __init__(self, ready_file: Path) -> None:
        """`ready_file` says at which port the storage server is; it is read anew for each job."""
        self._ready_file = ready_file

    def find(self, uris: Sequence[str]) -> list[SourceObject]:
        """What the URIs name, each object once, in the order of the URIs.

        Raises:
            BigQueryError: if one names nothing, or the bucket does not answer.
        """
        found: dict[tuple[str, str], SourceObject] = {}
        for uri in uris:
            bucket, _, name = uri.removeprefix("gs://").partition("/")
            head, star, tail = name.partition("*")
            try:
                store = self._store(bucket)
                listed = list(store.list(head)) if star else [info for info in (store.stat(name),) if info is not None]
            except EngineError as error:
                raise _unreadable(uri, error) from error
            matching = [info for info in listed if not star or (info.name.endswith(tail) and len(info.name) >= len(head) + len(tail))]
            if not matching:
                raise not_found("URI", uri)
            for info in matching:
                found[(bucket, info.name)] = SourceObject(bucket, info.name, info.generation, info.size)
        return list(found.values())

    def fetch(self, source: SourceObject, place: Path) -> None:
        """Write an object's bytes into `place`.

        Raises:
            BigQueryError: if it is gone, or the bucket does not answer.
        """
        uri = f"gs://{source.bucket}/{source.name}"
        try:
            body = self._store(source.bucket).get(source.name)
        except EngineError as error:
            raise _unreadable(uri, error) from error
        if body is None:
            raise not_found("URI", uri)
        place.write_bytes(body.data)

    def _store(self, bucket: str) -> Store:
        try:
            port = json.loads(self._ready_file.read_text())["ports"]["storage"]
        except (OSError, ValueError, KeyError) as error:
            raise BigQueryError(503, "backendError", f"The storage server beside this one is not there: {error}") from error
        return Store(open_storage(project="local", endpoint=f"http://{LOOPBACK}:{port}"), bucket, retries=Retries(seconds=20.0))


def _unreadable(uri: str, error: EngineError) -> BigQueryError:
    if "does not exist" in str(error):
        return not_found("Bucket", uri.removeprefix("gs://").partition("/")[0])
    return BigQueryError(503, "backendError", f"Error while reading {uri}: {error}")
