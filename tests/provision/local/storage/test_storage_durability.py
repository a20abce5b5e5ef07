"""The server as a process of its own: what it promised survives kill -9, and its folder has one owner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select

import pytest
import requests
from google.cloud import storage

QUANTUM = 256 * 1024


class Process:
    """One run of `python -m provision.local.storage`."""

    def __init__(self, root: Path, ready_file: Path, port: int = 0) -> None:
        ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "provision.local.storage", "--root", str(root), "--port", str(port)]
        command += ["--nonce", "n", "--ready-file", str(ready_file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        # The ready file appears by a rename, or the process ends and its stderr closes.
        while not ready_file.exists() and self.process.poll() is None:
            select([self.process.stderr], [], [], 0.02)
        self.port = json.loads(ready_file.read_text())["ports"]["storage"] if ready_file.exists() else 0
        self.url = f"http://127.0.0.1:{self.port}"

    def end(self, signum: int) -> int:
        self.process.send_signal(signum)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.process.stderr.close()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(port: int = 0) -> Process:
        processes.append(Process(tmp_path / "root", tmp_path / f"ready-{len(processes)}", port))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


def test_everything_committed_survives_kill_minus_nine(launch, connect):
    first = launch()
    bucket = connect(first.url).create_bucket("lake", location="EU")
    bucket.labels = {"td-owner": "ops"}
    bucket.patch()
    generations = {}
    for number in range(30):
        blob = bucket.blob(f"a/{number}")
        blob.metadata = {"number": str(number)}
        blob.upload_from_string(os.urandom(1000) + bytes([number]))
        generations[blob.name] = (blob.generation, blob.crc32c)
    bucket.delete_blob("a/7")
    first.end(signal.SIGKILL)

    again = connect(launch().url).get_bucket("lake")
    assert (again.location, again.labels) == ("EU", {"td-owner": "ops"})
    found = {blob.name: (blob.generation, blob.crc32c) for blob in again.list_blobs()}
    del generations["a/7"]
    assert found == generations
    for name in found:
        blob = again.blob(name)
        assert blob.download_as_bytes()[-1] == int(name[2:])
    newer = again.blob("a/0")
    newer.upload_from_string(b"x")
    assert newer.generation > max(generation for generation, _ in generations.values())


def test_a_resumable_upload_goes_on_after_kill_minus_nine(launch, connect):
    content = os.urandom(4 * QUANTUM)
    first = launch()
    connect(first.url).create_bucket("lake")
    upload = f"{first.url}/upload/storage/v1/b/lake/o?uploadType=resumable&name=a&ifGenerationMatch=0"
    session = requests.post(upload).headers["Location"]
    requests.put(session, data=content[: 2 * QUANTUM], headers={"Content-Range": f"bytes 0-{2 * QUANTUM - 1}/*"})
    first.end(signal.SIGKILL)

    second = launch(first.port)
    asked = requests.put(session, headers={"Content-Range": "bytes */*"})
    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{2 * QUANTUM - 1}")
    rest = {"Content-Range": f"bytes {2 * QUANTUM}-{4 * QUANTUM - 1}/{4 * QUANTUM}"}
    assert requests.put(session, data=content[2 * QUANTUM :], headers=rest).status_code == 200
    # The client compares the checksum the server computed over both halves.
    assert connect(second.url).bucket("lake").blob("a").download_as_bytes(checksum="md5") == content


def test_a_page_token_and_a_finished_session_outlive_a_restart(launch, connect):
    first = launch()
    bucket = connect(first.url).create_bucket("lake")
    for name in "abc":
        bucket.blob(name).upload_from_string(b"x")
    page = requests.get(f"{first.url}/storage/v1/b/lake/o?maxResults=2").json()
    session = requests.post(f"{first.url}/upload/storage/v1/b/lake/o?uploadType=resumable&name=d").headers["Location"]
    done = requests.put(session, data=b"hello").json()
    assert first.end(signal.SIGTERM) == 0

    second = launch(first.port)
    rest = requests.get(f"{second.url}/storage/v1/b/lake/o?pageToken={page['nextPageToken']}").json()
    assert [item["name"] for item in rest["items"]] == ["c", "d"]
    assert requests.put(session, data=b"hello").json() == done


def test_what_a_kill_left_half_done_is_swept(launch, connect, tmp_path):
    first = launch()
    bucket = connect(first.url).create_bucket("lake")
    bucket.blob("a").upload_from_string(b"kept")
    first.end(signal.SIGKILL)
    root = tmp_path / "root"
    orphan = root / "bodies" / "01" / "257"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"a body without an object")
    torn = root / "incoming" / "part-torn"
    torn.write_bytes(b"an upload nobody will finish")

    second = launch()
    assert second.end(signal.SIGTERM) == 0
    assert not torn.exists()
    assert not orphan.exists()
    assert connect(launch().url).bucket("lake").blob("a").download_as_bytes() == b"kept"


def test_a_folder_in_use_is_refused(launch):
    launch()
    second = launch()
    assert second.process.wait(10) != 0
    told = second.process.stderr.read()
    assert told.startswith(b"storage server: ")
    assert b"is in use by another storage server; stop that one or choose another folder" in told


def test_the_emulator_variable_is_enough_for_the_client(launch, monkeypatch):
    process = launch()
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", process.url)
    client = storage.Client(project="tick")
    blob = client.create_bucket("lake").blob("a")
    blob.upload_from_string(b"hello")
    assert blob.download_as_bytes() == b"hello"
    client.close()
