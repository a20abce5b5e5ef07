"""Every answer the bucket can give: how the call ends, and how many requests it takes, on both ways into it.

The first tables run on the local storage server with its fault switches; answers that no honest server gives come from a script.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import itertools
import json
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import google.auth.exceptions
import google.oauth2.credentials
import google_crc32c
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs

from engine.bucket import create_bucket
from engine.commit import Committed, commit, commit_small, metadata_of
from engine.conversion.outcome import Conversion
from engine.errors import (
    AlreadyExists,
    CommitConflict,
    ConfigurationError,
    EngineError,
    ExitCode,
    GenerationMismatch,
    NotPermitted,
    StoreError,
)
from engine.fingerprint import Fingerprint
from engine.model import Cell, File, Outcome
from engine.paths import data_object
from engine.small_objects import SmallObjects
from engine.storage_service import StorageService, open_storage
from engine.store import ObjectInfo, Retries, Store
from tests.engine.scripted_server import CLOSE, NO_HTTP, RESET, SILENCE, Answer, Ending, Request, ScriptedServer, answer, scripted_server
from tests.local_servers import Lake, LocalServer

FILE = File(Cell(date(2024, 5, 17), "trades", "binance"), "BTCUSDT")
NAME = data_object(FILE)
TRIES = 4
RETRIES = Retries(tries=TRIES, first_delay=0.001, longest_delay=0.01)
SMALL = random.Random(1).randbytes(1000)
"""One request (multipart)."""
LARGE = random.Random(2).randbytes(9 << 20)
"""A start and three chunks (resumable), with the chunks of these tests."""
OTHER = b"somebody else's"


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def commit_at_once(store: Store, file: File, conversion: Conversion, data: bytes) -> Committed:
    """The commit of a small file, as the pipeline does it: by one request on the event loop."""

    async def work() -> Committed:
        async with SmallObjects(store, connections=2) as objects:
            assert objects.takes(len(data))
            return await commit_small(objects, file, conversion, data)

    return asyncio.run(work())


def put(store: Store, name: str, data: bytes) -> ObjectInfo:
    """Create an object from a thread."""
    return store.put(name, data, if_generation=0)


def look(store: Store, name: str, data: bytes) -> ObjectInfo:
    """Read what the bucket says of it."""
    found = store.stat(name)
    assert found is not None
    return found


def create(store: Store, name: str, data: bytes) -> ObjectInfo:
    """Create a small object on the event loop."""

    async def work() -> ObjectInfo:
        async with SmallObjects(store, connections=2) as objects:
            return await objects.create(name, data, metadata={}, content_type="application/octet-stream", crc32c=crc32c(data))

    return asyncio.run(work())


def conversion_to(data: bytes, *, crc: int = 7) -> Conversion:
    """What a conversion says that made `data`; `crc` is the source's."""
    return Conversion(
        Outcome.OK,
        rows=1,
        fingerprint=Fingerprint(((crc, 200),), 100),
        source_bytes=100,
        parquet_bytes=len(data),
        crc32c=crc32c(data),
        parquet=data,
    )


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.CHUNK_BYTES", 4 << 20)


@dataclass(frozen=True, slots=True)
class Case:
    """Faults armed on the server, what is in the bucket before, and how a commit of `data` ends."""

    name: str
    data: bytes
    faults: tuple[dict[str, Any], ...]
    end: str
    """`created`, `already`, or the name of an error."""
    code: int
    """The exit code of that error."""
    requests: dict[str, int]
    before: Callable[[Store], object] | None = None


def fault(status: int, operation: str, *, count: int | None = 1, skip: int = 0) -> tuple[dict[str, Any], ...]:
    """A status instead of the answer to an operation; for ever without a count."""
    order = {"fault": "status", "status": status, "match": f"{operation} ", "skip": skip, "count": count}
    return ({key: value for key, value in order.items() if value is not None},)


def lost(operation: str, *, skip: int = 0) -> tuple[dict[str, Any], ...]:
    """Done, and the connection closes without an answer."""
    return ({"fault": "lost_reply", "match": f"{operation} ", "skip": skip, "count": 1},)


def cut(operation: str, *, skip: int = 0) -> tuple[dict[str, Any], ...]:
    """The connection closes within the body."""
    return ({"fault": "reset_upload", "after_bytes": 500, "match": f"{operation} ", "skip": skip, "count": 1},)


def held(data: bytes = OTHER, **changes: str) -> Callable[[Store], object]:
    """Somebody committed the same source already, with other metadata as named."""

    def put(store: Store) -> object:
        metadata = metadata_of(conversion_to(data)) | {key.replace("_", "-"): value for key, value in changes.items()}
        return store.put(NAME, data, if_generation=0, metadata=metadata)

    return put


def foreign(store: Store) -> object:
    return store.put(NAME, OTHER, if_generation=0)


START, CHUNK, GET = "objects.insert", "objects.insert.chunk", "objects.get"

COMMITS = [
    #    name                                 data   faults                        end             code requests
    Case("plain", SMALL, (), "created", 0, {START: 1}),
    Case("408", SMALL, fault(408, START), "created", 0, {START: 2}),
    Case("429", SMALL, fault(429, START), "created", 0, {START: 2}),
    Case("500", SMALL, fault(500, START), "created", 0, {START: 2}),
    Case("503", SMALL, fault(503, START), "created", 0, {START: 2}),
    Case("504 twice", SMALL, fault(504, START, count=2), "created", 0, {START: 3}),
    Case("429 for ever", SMALL, fault(429, START, count=None), "StoreError", 69, {START: 4}),
    Case("503 for ever", SMALL, fault(503, START, count=None), "StoreError", 69, {START: 4}),
    Case("403", SMALL, fault(403, START, count=None), "NotPermitted", 77, {START: 1}),
    Case("401", SMALL, fault(401, START, count=None), "NotPermitted", 77, {START: 1}),
    Case("413", SMALL, fault(413, START, count=None), "StoreError", 69, {START: 1}),
    Case("cut within the body", SMALL, cut(START), "created", 0, {START: 2}),
    Case("reply lost after the commit", SMALL, lost(START), "already", 0, {START: 2, GET: 1}),
    Case("reply lost, then 503", SMALL, lost(START) + fault(503, GET), "already", 0, {START: 2, GET: 2}),
    Case("412 same source", SMALL, (), "already", 0, {START: 1, GET: 1}, held()),
    Case("412 same source, 503 on the look at it", SMALL, fault(503, GET), "already", 0, {START: 1, GET: 2}, held()),
    Case("412 same source, another engine version", SMALL, (), "already", 0, {START: 1, GET: 1}, held(engine_version="0.0.1")),
    Case("412 another schema version", SMALL, (), "CommitConflict", 65, {START: 1, GET: 1}, held(schema_version="0")),
    Case("412 another source", SMALL, (), "CommitConflict", 65, {START: 1, GET: 1}, held(source_fingerprint="100:1:2")),
    Case("412 an object of somebody else", SMALL, (), "CommitConflict", 65, {START: 1, GET: 1}, foreign),
    Case("412, and it cannot be looked at", SMALL, fault(403, GET, count=None), "NotPermitted", 77, {START: 1, GET: 1}, held()),
    Case("412, and it is gone", SMALL, fault(412, START), "created", 0, {START: 2, GET: 1}),
    Case("412 for ever, and nothing is there", SMALL, fault(412, START, count=None), "AlreadyExists", 69, {START: 2, GET: 2}),
    Case("large", LARGE, (), "created", 0, {START: 1, CHUNK: 3}),
    Case("large, 408 at the start", LARGE, fault(408, START), "created", 0, {START: 2, CHUNK: 3}),
    Case("large, 429 at the start", LARGE, fault(429, START), "created", 0, {START: 2, CHUNK: 3}),
    Case("large, 503 at the start", LARGE, fault(503, START), "created", 0, {START: 2, CHUNK: 3}),
    Case("large, 503 at the start for ever", LARGE, fault(503, START, count=None), "StoreError", 69, {START: 4}),
    Case("large, 408 within", LARGE, fault(408, CHUNK, skip=1), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 429 within", LARGE, fault(429, CHUNK, skip=1), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 503 within", LARGE, fault(503, CHUNK, skip=1), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 503 three times at each chunk", LARGE, fault(503, CHUNK, count=3), "created", 0, {START: 1, CHUNK: 6}),
    Case("large, 503 within for ever", LARGE, fault(503, CHUNK, skip=1, count=None), "StoreError", 69, {START: 1, CHUNK: 5}),
    Case("large, 408 at the end", LARGE, fault(408, CHUNK, skip=2), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 429 at the end", LARGE, fault(429, CHUNK, skip=2), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 503 at the end", LARGE, fault(503, CHUNK, skip=2), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 403 within", LARGE, fault(403, CHUNK, skip=1, count=None), "NotPermitted", 77, {START: 1, CHUNK: 2}),
    Case("large, the upload is gone", LARGE, fault(404, CHUNK, skip=1, count=None), "StoreError", 69, {START: 1, CHUNK: 2}),
    Case("large, reply lost at the start", LARGE, lost(START), "created", 0, {START: 2, CHUNK: 3}),
    Case("large, reply lost within", LARGE, lost(CHUNK, skip=1), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, reply lost after the commit", LARGE, lost(CHUNK, skip=2), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, cut within a chunk", LARGE, cut(CHUNK, skip=1), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, cut within the last chunk", LARGE, cut(CHUNK, skip=2), "created", 0, {START: 1, CHUNK: 4}),
    Case("large, 412 same source", LARGE, (), "already", 0, {START: 1, GET: 1}, held()),
    Case("large, 412 another source", LARGE, (), "CommitConflict", 65, {START: 1, GET: 1}, held(source_fingerprint="100:1:2")),
]

READS: list[tuple[str, str, Callable[[Store], object]]] = [
    ("stat", "objects.get", lambda store: store.stat(NAME)),
    ("get", "objects.get", lambda store: store.get(NAME)),
    ("list", "objects.list", lambda store: list(store.list("raw_tick_data/"))),
    ("folders", "objects.list", lambda store: store.list_folders("raw_tick_data/")),
    ("delete", "objects.delete", lambda store: store.delete(NAME, if_generation=1)),
]

_numbers = itertools.count(1)


@pytest.fixture
def bucket(storage_server: LocalServer) -> Iterator[Store]:
    service = open_storage(project="local", endpoint=storage_server.url)
    store = Store(service, f"store-cases-{os.getpid()}-{next(_numbers)}", retries=RETRIES)
    create_bucket(store)
    yield store
    storage_server.disarm()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


def asked(storage_server: LocalServer) -> dict[str, int]:
    counts: dict[str, int] = storage_server.get("/_tickdeck/requests")["counts"]
    return counts


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {operation: count - before.get(operation, 0) for operation, count in after.items() if count != before.get(operation, 0)}


def end_of(work: Callable[[], object]) -> tuple[str, int, EngineError | None]:
    """How a call ends: its answer or the name of its error, and the exit code."""
    try:
        return str(work()), 0, None
    except EngineError as error:
        return type(error).__name__, error.exit_code, error


@pytest.mark.parametrize(
    ("case", "way"),
    [
        *(pytest.param(case, commit, id=case.name) for case in COMMITS),
        *(pytest.param(case, commit_at_once, id=f"{case.name}, at once") for case in COMMITS if case.data is SMALL),
    ],
)
def test_each_answer_to_a_commit_has_its_end_and_its_number_of_requests(
    case: Case, way: Callable[..., Committed], bucket: Store, storage_server: LocalServer
) -> None:
    if case.before:
        case.before(bucket)
    generations = {info.name: info.generation for info in bucket.list("")}
    for order in case.faults:
        storage_server.post("/_tickdeck/faults", order)
    before = asked(storage_server)
    conversion = conversion_to(case.data)
    end, code, error = end_of(lambda: "already" if way(bucket, FILE, conversion, case.data).already else "created")
    assert (end, code) == (case.end, case.code), error
    assert since(before, asked(storage_server)) == case.requests
    storage_server.disarm()
    found = bucket.get(NAME)
    now = {info.name: info.generation for info in bucket.list("")}
    if case.before:
        assert now == generations, "what was there is there, untouched"
    elif code:
        assert now == {}
    else:
        assert list(now) == [NAME]
        assert found is not None
        assert found.data == case.data
    if error is not None:
        assert NAME in str(error) or str(FILE) in str(error)
        assert error.hint
        assert len(str(error)) < 500


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("name", "operation", "read"), READS, ids=[name for name, _, _ in READS])
def test_a_read_is_asked_again_after_a_passing_error(
    name: str, operation: str, read: Callable[[Store], object], status: int, bucket: Store, storage_server: LocalServer
) -> None:
    wanted = read(bucket)
    storage_server.post("/_tickdeck/faults", fault(status, operation)[0])
    before = asked(storage_server)
    assert read(bucket) == wanted
    assert since(before, asked(storage_server)) == {operation: 2}, name


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [(503, StoreError, TRIES), (429, StoreError, TRIES), (403, NotPermitted, 1)],
)
@pytest.mark.parametrize(("name", "operation", "read"), READS, ids=[name for name, _, _ in READS])
def test_a_read_that_is_refused_for_ever_ends(
    name: str,
    operation: str,
    read: Callable[[Store], object],
    status: int,
    error: type[EngineError],
    requests: int,
    bucket: Store,
    storage_server: LocalServer,
) -> None:
    storage_server.post("/_tickdeck/faults", fault(status, operation, count=None)[0])
    before = asked(storage_server)
    with pytest.raises(error) as caught:
        read(bucket)
    assert type(caught.value) is error, name
    assert caught.value.hint
    assert since(before, asked(storage_server)) == {operation: requests}


@pytest.mark.parametrize(
    "call",
    [
        *(pytest.param(read, id=name) for name, _, read in READS if name != "delete"),
        pytest.param(lambda store: commit(store, FILE, conversion_to(SMALL), SMALL), id="small commit"),
        pytest.param(lambda store: commit_at_once(store, FILE, conversion_to(SMALL), SMALL), id="small commit at once"),
        pytest.param(lambda store: commit(store, FILE, conversion_to(LARGE), LARGE), id="large commit"),
    ],
)
def test_a_bucket_that_is_not_there_is_named(call: Callable[[Store], object], storage_server: LocalServer) -> None:
    service = open_storage(project="local", endpoint=storage_server.url)
    before = asked(storage_server)
    with pytest.raises(ConfigurationError, match="no-such-bucket does not exist") as caught:
        call(Store(service, "no-such-bucket", retries=RETRIES))
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    assert sum(since(before, asked(storage_server)).values()) == 1


def test_bytes_that_the_conversion_did_not_make_are_refused_by_the_bucket(
    bucket: Store, storage_server: LocalServer, tmp_path: Path
) -> None:
    damaged = tmp_path / "file.parquet"
    for data, requests in ((SMALL, {START: 1}), (LARGE, {START: 1, CHUNK: 3})):
        damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        before = asked(storage_server)
        with pytest.raises(StoreError):
            commit(bucket, FILE, conversion_to(data), damaged)
        assert since(before, asked(storage_server)) == requests
    with pytest.raises(StoreError):
        commit_at_once(bucket, FILE, conversion_to(SMALL), SMALL[:-1] + b"x")
    assert list(bucket.list("")) == []


@pytest.mark.parametrize("way", [commit, commit_at_once])
@pytest.mark.parametrize("size", [0, 1, (32 << 10) + 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 8 << 20])
def test_a_small_object_is_the_one_that_the_official_client_would_have_made(
    size: int, way: Callable[..., Committed], bucket: Store
) -> None:
    data = random.Random(size).randbytes(size)
    conversion = conversion_to(data)
    committed = way(bucket, FILE, conversion, data)
    assert committed.info == bucket.stat(NAME)
    ours = bucket.get(NAME)
    assert ours is not None
    assert ours.data == data
    official = bucket.service.client.bucket(bucket.bucket)
    seen = official.get_blob(NAME)
    assert seen.download_as_bytes(raw_download=True, checksum="crc32c") == data
    assert bucket.delete(NAME, if_generation=committed.info.generation)
    other = official.blob(NAME)
    other.metadata = dict(metadata_of(conversion))
    other.upload_from_string(data, content_type=seen.content_type, if_generation_match=0, checksum="crc32c")
    found = bucket.stat(NAME)
    assert found is not None
    assert structs.replace(found, generation=0, updated=committed.info.updated) == structs.replace(committed.info, generation=0)


ODD_NAMES = ("a b", "a+b", "a%2Fb", "a?b#c", "a/../b", "ä/日本", "quote'\"", "*[x]", "a&b=c", "~", "a\\b", "x/", "x//y")


def test_names_of_all_kinds_are_read_as_the_official_client_reads_them(bucket: Store) -> None:
    official = bucket.service.client.bucket(bucket.bucket)
    for number, name in enumerate(ODD_NAMES):
        blob = official.blob(name)
        blob.metadata = {"number": str(number)}
        blob.upload_from_string(name * number)
    held = {blob.name: blob for blob in official.list_blobs()}
    assert set(held) == set(ODD_NAMES)
    listed = list(bucket.list(""))
    assert [info.name for info in listed] == list(held)
    for info in listed:
        blob = held[info.name]
        shown = (blob.size, blob.generation, blob.crc32c, blob.updated, blob.metadata)
        assert (info.size, info.generation, info.crc32c, info.updated, info.metadata) == shown
        assert bucket.stat(info.name) == info
        found = bucket.get(info.name)
        assert found is not None
        assert (found.data, found.generation) == (blob.download_as_bytes(), blob.generation)
        assert [each.name for each in bucket.list(info.name)] == [each.name for each in official.list_blobs(prefix=info.name)]
    assert bucket.list_folders("") == ("a/", "x/", "ä/")
    for info in listed:
        with pytest.raises(GenerationMismatch):
            bucket.delete(info.name, if_generation=info.generation + 1)
        assert bucket.delete(info.name, if_generation=info.generation)
        assert not bucket.delete(info.name, if_generation=info.generation)
        assert bucket.stat(info.name) is None
        assert bucket.get(info.name) is None


@pytest.mark.parametrize("certificate", ["false", "true"])
def test_an_object_that_is_kept_packed_comes_as_it_is_kept(
    certificate: str, bucket: Store, storage_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", certificate)
    service = StorageService(project="local", base=storage_server.url, credentials=Renewable(good=True))
    assert service.is_plain == (certificate == "false")
    packed = gzip.compress(b"plain " * 1000)
    blob = bucket.service.client.bucket(bucket.bucket).blob("packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    store = Store(service, bucket.bucket, retries=RETRIES)
    found = store.get("packed")
    assert found is not None
    assert found.data == packed
    assert store.get_range("packed", 2, 10) == packed[2:10]
    assert [info.name for info in store.list("")] == ["packed"]


# What no honest server answers: a script in place of the bucket.


def scripted_store(server: ScriptedServer, *, credentials: Any = None) -> Store:
    service = open_storage(project="local", endpoint=server.url)
    if credentials is not None:
        service = StorageService(project="local", base=server.url, credentials=credentials)
    return Store(service, "bucket", retries=RETRIES)


def resource(data: bytes, **changes: object) -> Answer:
    """What a bucket says of a new object."""
    shown = {"name": NAME, "bucket": "bucket", "size": str(len(data)), "generation": "5", "crc32c": crc32c(data)}
    shown |= {"updated": "2024-05-18T06:00:00.000Z"} | changes
    return answer(200, json.dumps(shown), Content_Type="application/json")


def session(server: ScriptedServer) -> Answer:
    return answer(200, Location=f"{server.url}/upload/session")


def kept(count: int) -> Answer:
    """So many bytes of an upload have come."""
    return answer(308, **({"Range": f"bytes=0-{count - 1}"} if count else {}))


@dataclass(frozen=True, slots=True)
class Odd:
    """A script for uploads and how a put of `data` ends."""

    name: str
    data: bytes
    start: tuple[Answer, ...]
    chunks: tuple[Answer, ...]
    end: str
    posts: int
    puts: int


FOUR = 4 << 20
BROKEN = answer(200, b"{", Ending.CLOSE, Content_Length=500)
WRONG = resource(OTHER)
FEWER = kept(FOUR - (1 << 18))

ODD = [
    Odd("as it should be", SMALL, (resource(SMALL),), (), "ObjectInfo", 1, 0),
    Odd("another checksum", SMALL, (WRONG,), (), "StoreError", 1, 0),
    Odd("no checksum", SMALL, (resource(SMALL, crc32c=None),), (), "StoreError", 1, 0),
    Odd("a web page", SMALL, (answer(200, "<html>Please sign in</html>"),), (), "StoreError", 1, 0),
    Odd("closed without an answer", SMALL, (CLOSE,), (), "StoreError", 4, 0),
    Odd("reset, then as it should be", SMALL, (RESET, resource(SMALL)), (), "ObjectInfo", 2, 0),
    Odd("something that is no HTTP", SMALL, (NO_HTTP,), (), "StoreError", 4, 0),
    Odd("a broken answer, then as it should be", SMALL, (BROKEN, resource(SMALL)), (), "ObjectInfo", 2, 0),
    Odd(
        "refused before the body came, then as it should be",
        SMALL,
        (answer(503, "", Ending.CLOSE), resource(SMALL)),
        (),
        "ObjectInfo",
        2,
        0,
    ),
    Odd("large, as it should be", LARGE, (), (kept(FOUR), kept(2 * FOUR), resource(LARGE)), "ObjectInfo", 1, 3),
    Odd("large, another checksum", LARGE, (), (kept(FOUR), kept(2 * FOUR), WRONG), "StoreError", 1, 3),
    Odd("large, fewer bytes kept than sent", LARGE, (), (FEWER, kept(FOUR), kept(2 * FOUR), resource(LARGE)), "ObjectInfo", 2, 4),
    Odd("large, for ever fewer bytes kept than sent", LARGE, (), (FEWER,), "StoreError", 2, 2),
    Odd("large, no bytes kept", LARGE, (), (kept(0),), "StoreError", 1, 1),
    Odd("large, closed without an answer", LARGE, (), (CLOSE,), "StoreError", 1, 4),
    Odd("large, the upload is gone", LARGE, (), (answer(410, "gone"),), "StoreError", 1, 1),
]


@pytest.mark.parametrize(
    ("case", "way"),
    [
        *(pytest.param(case, put, id=case.name) for case in ODD),
        *(pytest.param(case, create, id=f"{case.name}, at once") for case in ODD if case.data is SMALL),
    ],
)
def test_no_odd_answer_to_an_upload_is_taken_for_a_commit_or_deletes_anything(
    case: Odd, way: Callable[..., ObjectInfo], server: ScriptedServer
) -> None:
    server.play("POST", *(case.start or (session(server),)))
    server.play("PUT", *(case.chunks or (answer(500),)))
    store = scripted_store(server)
    end, _, error = end_of(lambda: type(way(store, NAME, case.data)).__name__)
    assert end == case.end
    assert error is None or NAME in str(error)
    assert (len(server.asked("POST")), len(server.asked("PUT"))) == (case.posts, case.puts)
    assert len(server.requests) == case.posts + case.puts, "nothing else was asked, least of all a delete"


def test_a_credential_that_ran_out_is_not_permitted_and_not_asked_again(server: ScriptedServer) -> None:
    server.play("GET", answer(401, '{"error":{"code":401,"message":"Invalid Credentials"}}', Content_Type="application/json"))
    store = scripted_store(server, credentials=google.oauth2.credentials.Credentials("ran-out"))
    with pytest.raises(NotPermitted) as caught:
        store.stat(NAME)
    assert "gcloud auth" in caught.value.hint
    assert "ran-out" not in str(caught.value)
    assert len(server.requests) == 1


class Renewable(google.oauth2.credentials.Credentials):  # type: ignore[misc]
    """A credential whose every renewal gives the next token."""

    def __init__(self, *, good: bool, expiry: datetime | None = None) -> None:
        super().__init__("token-0", expiry=expiry, quota_project_id="billed")
        self.good, self.renewed = good, 0

    def refresh(self, request: Any) -> None:
        if not self.good:
            raise google.auth.exceptions.RefreshError("the token is gone", retryable=False)
        self.renewed += 1
        self.token, self.expiry = f"token-{self.renewed}", None


REFUSED = answer(401, '{"error":{"code":401,"message":"Invalid Credentials"}}', Content_Type="application/json")


@pytest.mark.parametrize("way", [put, create, look])
def test_a_token_that_is_refused_is_renewed_and_the_request_sent_again(way: Callable[..., ObjectInfo], server: ScriptedServer) -> None:
    server.play("", REFUSED, resource(SMALL))
    credentials = Renewable(good=True)
    assert way(scripted_store(server, credentials=credentials), NAME, SMALL).generation == 5
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer token-0", "Bearer token-1"]
    assert {request.headers["x-goog-user-project"] for request in server.requests} == {"billed"}


@pytest.mark.parametrize("way", [put, create, look])
def test_a_token_that_ran_out_is_renewed_before_anything_is_sent(way: Callable[..., ObjectInfo], server: ScriptedServer) -> None:
    server.play("", resource(SMALL))
    credentials = Renewable(good=True, expiry=datetime(2024, 1, 1))  # noqa: DTZ001 - google-auth keeps naive UTC
    way(scripted_store(server, credentials=credentials), NAME, SMALL)
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer token-1"]


@pytest.mark.parametrize("way", [put, create, look])
def test_a_token_that_cannot_be_renewed_is_not_permitted(way: Callable[..., ObjectInfo], server: ScriptedServer) -> None:
    server.play("", REFUSED)
    with pytest.raises(NotPermitted) as caught:
        way(scripted_store(server, credentials=Renewable(good=False)), NAME, SMALL)
    assert "gcloud auth" in caught.value.hint
    assert "token-0" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", [put, create, look])
def test_tokens_that_are_refused_one_after_the_other_are_not_permitted(way: Callable[..., ObjectInfo], server: ScriptedServer) -> None:
    server.play("", REFUSED)
    with pytest.raises(NotPermitted, match="Invalid Credentials"):
        way(scripted_store(server, credentials=Renewable(good=True)), NAME, SMALL)
    assert len(server.requests) == 3


def test_many_that_need_a_token_at_once_renew_it_once(server: ScriptedServer) -> None:
    server.play("POST", resource(SMALL))
    credentials = Renewable(good=True, expiry=datetime(2024, 1, 1))  # noqa: DTZ001 - google-auth keeps naive UTC
    store = scripted_store(server, credentials=credentials)

    async def work() -> None:
        async with SmallObjects(store, connections=8) as objects:
            sent = [objects.create(NAME, SMALL, metadata={}, content_type="a/b", crc32c=crc32c(SMALL)) for _ in range(20)]
            await asyncio.gather(*sent)

    asyncio.run(work())
    assert credentials.renewed == 1
    assert len(server.requests) == 20


@pytest.mark.parametrize("way", [put, create, look])
def test_a_token_goes_nowhere_else(way: Callable[..., ObjectInfo], server: ScriptedServer) -> None:
    with scripted_server() as elsewhere:
        elsewhere.play("", resource(SMALL))
        server.play("", answer(307, Location=f"{elsewhere.url}/upload"))
        with pytest.raises(StoreError):
            way(scripted_store(server, credentials=Renewable(good=True)), NAME, SMALL)
        assert elsewhere.requests == []
        assert len(server.requests) == 1


PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.mark.parametrize("way", [put, create, look])
def test_a_proxy_of_the_environment_counts_but_not_on_the_way_to_a_local_bucket(
    way: Callable[..., ObjectInfo], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    server.play("", resource(SMALL))
    with scripted_server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:p%40ss@"))
        proxy.play("", resource(SMALL))
        way(scripted_store(server), NAME, SMALL)
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        way(scripted_store(server, credentials=Renewable(good=True)), NAME, SMALL)
        assert (len(server.requests), len(proxy.requests)) == (1, 1)
        target = proxy.requests[0].target
        assert target.startswith((f"{server.url}/upload/storage/v1/b/bucket/o?", f"{server.url}/storage/v1/b/bucket/o/raw_tick_data%2F"))
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()


def test_a_password_file_of_the_user_is_not_sent_to_the_bucket(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.play("", resource(SMALL))
    for way in (create, put, look):
        way(scripted_store(server, credentials=Renewable(good=True)), NAME, SMALL)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer token-0"}


def test_a_proxy_that_aiohttp_does_not_know_is_left_to_the_official_client(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    store = scripted_store(server, credentials=Renewable(good=True))
    assert not SmallObjects(store, connections=1).takes(1)
    assert SmallObjects(scripted_store(server), connections=1).takes(8 << 20)
    assert not SmallObjects(scripted_store(server), connections=1).takes((8 << 20) + 1)


def test_behind_a_client_certificate_all_goes_over_the_session_of_the_official_client(
    bucket: Store, storage_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")
    service = StorageService(project="local", base=storage_server.url, credentials=Renewable(good=True))
    store = Store(service, bucket.bucket, retries=RETRIES)
    assert not service.is_plain
    assert not SmallObjects(store, connections=1).takes(1)
    made = put(store, NAME, SMALL)
    for read in (read for name, _, read in READS if name != "delete"):
        assert read(store) == read(bucket)
    with pytest.raises(AlreadyExists):
        put(store, NAME, SMALL)
    assert store.get_range(NAME, 10, 20) == SMALL[10:20]
    assert store.delete(NAME, if_generation=made.generation)
    assert store.get(NAME) is None


@pytest.mark.parametrize("way", [put, create, look])
def test_whom_the_environment_says_to_trust_is_trusted_and_nobody_else(
    way: Callable[..., ObjectInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    with tls_server(certificate, resource(SMALL).sent) as url:

        def store() -> Store:
            return Store(StorageService(project="local", base=url, credentials=Renewable(good=True)), "bucket", retries=RETRIES)

        with pytest.raises(StoreError, match="certificate") as caught:
            way(store(), NAME, SMALL)
        assert "token-0" not in str(caught.value)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert way(store(), NAME, SMALL).generation == 5


@contextmanager
def tls_server(certificate: Path, sent: bytes) -> Iterator[str]:
    """A server on this machine that shows a certificate of its own, written to `certificate`, and answers everything with `sent`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file = certificate.with_suffix(".key")
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.wfile.write(sent)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Whoever does not trust it goes away in the middle of the greeting."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()


def media(data: bytes, **headers: object) -> Answer:
    """The bytes of an object, as a bucket sends them."""
    usual = {"X_Goog_Generation": "5", "X_Goog_Hash": f"crc32c={crc32c(data)},md5=1B2M2Y8AsgTpgAmY7PhCfg=="}
    return answer(200, data, **(usual | headers))


@dataclass(frozen=True, slots=True)
class OddRead:
    """A script for a read, and how it ends."""

    name: str
    answers: tuple[Answer, ...]
    read: Callable[[Store], object]
    end: object
    requests: int


def get(store: Store) -> object:
    found = store.get(NAME)
    return None if found is None else found.data


def get_part(store: Store) -> object:
    return store.get_range(NAME, 2, 6)


CUT = answer(200, SMALL[:10], Ending.CLOSE, Content_Length=len(SMALL), X_Goog_Generation="5")
ABSENT = answer(404, '{"error":{"code":404,"message":"No such object: bucket/x"}}', Content_Type="application/json")
SIGN_IN = answer(200, "<html>Please sign in</html>")

ODD_READS = [
    OddRead("as it should be", (media(SMALL),), get, SMALL, 1),
    OddRead("no checksum", (media(SMALL, X_Goog_Hash=None),), get, SMALL, 1),
    OddRead("another checksum", (media(SMALL, X_Goog_Hash=f"crc32c={crc32c(OTHER)}"),), get, StoreError, 1),
    OddRead("cut, then as it should be", (CUT, media(SMALL)), get, SMALL, 2),
    OddRead("cut for ever", (CUT,), get, StoreError, TRIES),
    OddRead("reset, then as it should be", (RESET, media(SMALL)), get, SMALL, 2),
    OddRead("something that is no HTTP", (NO_HTTP,), get, StoreError, TRIES),
    OddRead("a web page", (SIGN_IN,), get, StoreError, 1),
    OddRead("not there", (ABSENT,), get, None, 1),
    OddRead("a part", (answer(206, SMALL[2:6]),), get_part, SMALL[2:6], 1),
    OddRead("the whole for a part", (media(SMALL),), get_part, SMALL[2:6], 1),
    OddRead("a part beyond the end", (answer(416),), get_part, b"", 1),
    OddRead("a part of nothing", (ABSENT,), get_part, None, 1),
    OddRead("a web page for an object", (SIGN_IN,), lambda store: store.stat(NAME), StoreError, 1),
    OddRead("no object", (answer(200, "[]"),), lambda store: store.stat(NAME), StoreError, 1),
    OddRead("a web page for a listing", (SIGN_IN,), lambda store: list(store.list("")), StoreError, 1),
    OddRead("a list for a listing", (answer(200, "[]"),), lambda store: list(store.list("")), StoreError, 1),
    OddRead("things that are no objects", (answer(200, '{"items":[{}]}'),), lambda store: list(store.list("")), StoreError, 1),
    OddRead("an empty bucket", (answer(200, "{}"),), lambda store: list(store.list("")), [], 1),
    OddRead("a web page for folders", (SIGN_IN,), lambda store: store.list_folders(""), StoreError, 1),
]


@pytest.mark.parametrize("case", ODD_READS, ids=[case.name for case in ODD_READS])
def test_no_odd_answer_to_a_read_is_taken_for_data(case: OddRead, server: ScriptedServer) -> None:
    server.play("GET", *case.answers)
    store = scripted_store(server)
    if case.end is StoreError:
        with pytest.raises(StoreError) as caught:
            case.read(store)
        assert "gs://bucket/" in str(caught.value)
        assert caught.value.hint
    else:
        assert case.read(store) == case.end
    assert len(server.requests) == case.requests


def test_a_packed_listing_is_unpacked(server: ScriptedServer) -> None:
    shown = {"items": [json.loads(resource(SMALL).sent.partition(b"\r\n\r\n")[2])]}
    server.play("GET", answer(200, gzip.compress(json.dumps(shown).encode()), Content_Encoding="gzip"))
    assert [info.name for info in scripted_store(server).list("")] == [NAME]
    assert server.requests[0].headers["accept-encoding"] == "gzip"
    assert "gzip" in server.requests[0].headers["user-agent"]


def test_a_bucket_that_takes_no_more_of_a_body_is_unavailable_after_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.CALL_TIMEOUT", (1.0, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        store = Store(open_storage(project="local", endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}"), "bucket", retries=RETRIES)
        with pytest.raises(StoreError):
            create(store, NAME, random.Random(3).randbytes(8 << 20))


def test_nobody_listening_is_unavailable_after_the_tries() -> None:
    store = Store(open_storage(project="local", endpoint="http://127.0.0.1:9"), "bucket", retries=RETRIES)
    for call in (
        lambda: store.stat(NAME),
        lambda: list(store.list("")),
        lambda: put(store, NAME, SMALL),
        lambda: create(store, NAME, SMALL),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.exit_code == ExitCode.UNAVAILABLE
        assert "network" in caught.value.hint


def test_silence_is_unavailable_after_the_tries(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.CALL_TIMEOUT", (1.0, 0.05))
    server.play("GET", SILENCE)
    with pytest.raises(StoreError):
        scripted_store(server).stat(NAME)
    assert len(server.requests) == TRIES
    server.play("POST", SILENCE)
    with pytest.raises(StoreError):
        create(scripted_store(server), NAME, SMALL)
    assert len(server.asked("POST")) == TRIES


def test_of_two_writers_of_a_large_file_the_one_that_ends_first_wins(
    bucket: Store, server: ScriptedServer, storage_server: LocalServer
) -> None:
    """The other one is refused only at its last chunk, and finds what is there."""
    first = conversion_to(LARGE)
    winner = commit

    def pass_on(request: Request) -> Answer:
        return forwarded(storage_server, request)

    def commit_before(request: Request) -> Answer:
        winner(bucket, FILE, first, LARGE)
        return pass_on(request)

    server.play("PUT", pass_on, pass_on, commit_before)
    server.play("", pass_on)
    late = Store(open_storage(project="local", endpoint=server.url), bucket.bucket, retries=RETRIES)
    assert commit(late, FILE, first, LARGE).already
    assert [request.method for request in server.requests] == ["POST", "PUT", "PUT", "PUT", "GET"]


@pytest.mark.parametrize("way", [commit, commit_at_once])
def test_of_two_writers_of_different_sources_the_late_one_is_a_conflict(
    way: Callable[..., Committed], bucket: Store, server: ScriptedServer, storage_server: LocalServer
) -> None:
    def commit_before(request: Request) -> Answer:
        commit(bucket, FILE, conversion_to(SMALL, crc=8), SMALL)
        return forwarded(storage_server, request)

    server.play("POST", commit_before)
    server.play("GET", lambda request: forwarded(storage_server, request))
    late = Store(open_storage(project="local", endpoint=server.url), bucket.bucket, retries=RETRIES)
    with pytest.raises(CommitConflict, match="source-fingerprint"):
        way(late, FILE, replace(conversion_to(OTHER), rows=2), OTHER)
    found = bucket.get(NAME)
    assert found is not None
    assert found.data == SMALL
    assert [request.method for request in server.requests] == ["POST", "GET"]


def forwarded(storage_server: LocalServer, request: Request) -> Answer:
    """What the real storage server answers."""
    connection = http.client.HTTPConnection(urlsplit(storage_server.url).netloc, timeout=10)
    connection.request(request.method, request.target, request.body, dict(request.headers))
    said = connection.getresponse()
    body = said.read()
    names = ("Content-Type", "Location", "Range")
    headers = {name.replace("-", "_"): said.headers[name] for name in names if name in said.headers}
    connection.close()
    return answer(said.status, body, **headers)


# The same through `engine download`: what becomes of the file, its siblings, and the process.

DOWNLOAD = ("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--json")


@pytest.fixture
def calm(lake: Lake) -> Iterator[Lake]:
    yield lake
    lake.storage.disarm()


def test_a_download_outlives_lost_replies_and_a_busy_bucket_and_commits_each_file_once(calm: Lake) -> None:
    calm.storage.post("/_tickdeck/faults", {"fault": "lost_reply", "count": 2, "match": ".parquet", "method": "POST"})
    calm.storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "count": 2, "match": ".parquet", "method": "POST"})
    before = asked(calm.storage)
    done = calm.engine(*DOWNLOAD)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    names = [info.name for info in calm.data.list("raw_tick_data/")]
    assert report["outcomes"] == {"ok": len(names)}
    assert len(names) == len(set(names)) == report["files"]
    assert since(before, asked(calm.storage))["objects.insert"] >= len(names) + 4


def test_a_bucket_that_refuses_us_is_exit_77_with_the_next_step(calm: Lake) -> None:
    calm.storage.post("/_tickdeck/faults", {"fault": "status", "status": 403, "match": ".parquet", "method": "POST"})
    done = calm.engine(*DOWNLOAD)
    assert done.returncode == ExitCode.NOT_PERMITTED, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "does not have storage access" in last
    assert "-> let this account create, get and list objects" in last
    assert list(calm.data.list("")) == []
