"""The servers that benchmarks talk to: a source of small or large files, and a bucket. Lean, so that they are never what limits.

Separate from `provision.local`, whose servers are honest about everything and cost several times what is measured here. These know only
what the contestants ask for, in processes of their own on the last core. The bucket keeps the promises that are measured: an object is
created once (412), and bytes whose CRC-32C is not the announced one are refused. Each process says what it used, so that a table can
show that it was idle.

`python -m tests.bench.bench_servers source|bucket ...` prints its port and serves until its parent ends.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import psutil

KEPT_BYTES = 1 << 20
"""Objects up to so many bytes can be read again; of larger ones only the facts are kept."""

LIVE = 4096
"""Connections that may wait to be accepted."""

Headers = dict[bytes, bytes]
Handler = Callable[[str, str, Headers, memoryview], bytes]
"""(method, target, headers, body) to the whole answer."""


def answer(status: int, body: bytes = b"", *, kind: str = "application/json", extra: str = "") -> bytes:
    """The bytes of an answer."""
    return f"HTTP/1.1 {status} Some\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


class Connection(asyncio.BufferedProtocol):
    """One HTTP/1.1 connection with bodies of announced length; each answer goes out after `latency` seconds."""

    def __init__(self, handle: Handler, latency: float) -> None:
        self._handle, self._latency = handle, latency
        self._buffer = bytearray(1 << 16)
        self._filled = 0
        self._wanted = 0
        self._head: tuple[str, str, Headers, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        while self._take():
            pass

    def _take(self) -> bool:
        """Answer one request if it is there whole."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                self._grow(self._filled * 2)
                return False
            first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
            method, target, _ = first.decode().split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            self._head = method, target, headers, end + 4
            self._wanted = end + 4 + int(headers.get(b"content-length", 0))
            if headers.get(b"expect"):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._filled < self._wanted:
            self._grow(self._wanted + 1)
            return False
        method, target, headers, start = self._head
        said = self._handle(method, target, headers, memoryview(self._buffer)[start : self._wanted])
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._send, said)
        else:
            self._send(said)
        rest = self._filled - self._wanted
        if rest:
            self._buffer[:rest] = self._buffer[self._wanted : self._filled]
        elif len(self._buffer) > KEPT_BYTES:
            self._buffer = bytearray(1 << 16)
        self._filled, self._head = rest, None
        return bool(rest)

    def _grow(self, wanted: int) -> None:
        if len(self._buffer) < wanted:
            larger = bytearray(wanted)
            larger[: self._filled] = self._buffer[: self._filled]
            self._buffer = larger

    def _send(self, said: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(said)


def serve_files(folder: Path) -> Handler:
    """A source: `/v1/VENUE/TYPE/YYYY/MM/DD/SYMBOL.csv.gz` out of `folder/TYPE`, which holds one body by symbol, or `any` for all."""
    bodies = {
        path.parent.name + "/" + path.name: answer(200, path.read_bytes(), kind="text/csv", extra='ETag: "1"\r\n')
        for path in folder.glob("*/*")
    }

    def handle(_method: str, target: str, _headers: Headers, _body: memoryview) -> bytes:
        parts = target.split("/")
        found = bodies.get(f"{parts[3]}/{parts[-1]}") or bodies.get(f"{parts[3]}/any")
        return found or answer(404)

    return handle


@dataclass(slots=True)
class Held:
    """One object of the bucket."""

    shown: bytes
    data: bytes


@dataclass(slots=True)
class Bucket:
    """Objects of all buckets, by bucket and name. JSON API (multipart, resumable, get, list) and the XML API's PUT."""

    url: str = ""
    objects: dict[str, Held] = field(default_factory=dict)
    uploads: dict[str, tuple[str, str, dict[str, object], bytearray]] = field(default_factory=dict)
    generation: int = 0

    def handle(self, method: str, target: str, headers: Headers, body: memoryview) -> bytes:
        """Answer one request."""
        split = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.path.startswith("/upload/"):
            return self._upload(method, split.path, query, headers, body)
        if split.path.startswith("/storage/v1/b/"):
            bucket, _, rest = split.path.removeprefix("/storage/v1/b/").partition("/")
            if method == "GET" and rest == "o":
                return self._list(bucket, query)
            if method == "GET" and not rest:
                return answer(200, json.dumps({"name": bucket}).encode())
            return self._get(f"{bucket}/{unquote(rest.removeprefix('o/'))}", query)
        if split.path.startswith("/download/"):
            bucket, _, rest = split.path.removeprefix("/download/storage/v1/b/").partition("/o/")
            return self._get(f"{bucket}/{unquote(rest)}", query | {"alt": "media"})
        name = unquote(split.path.lstrip("/"))
        return self._create(name, {}, body, headers.get(b"x-goog-if-generation-match", b"").decode())

    def _upload(self, method: str, path: str, query: dict[str, str], headers: Headers, body: memoryview) -> bytes:
        bucket = path.split("/b/")[1].split("/")[0]
        if method == "PUT":
            key = query["upload_id"]
            name, match, resource, sent = self.uploads[key]
            sent += body
            said = re.fullmatch(rb"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", headers.get(b"content-range", b"bytes */0"))
            assert said is not None
            if (b"content-range" in headers and said[3] == b"*") or (said[3].isdigit() and said[2] and int(said[2]) + 1 < int(said[3])):
                return answer(308, extra=f"Range: bytes=0-{len(sent) - 1}\r\n")
            del self.uploads[key]
            return self._create(name, resource, memoryview(sent), match)
        match = query.get("ifGenerationMatch", "")
        if query["uploadType"] == "resumable":
            resource = json.loads(bytes(body) or b"{}")
            key = str(len(self.uploads)) + os.urandom(8).hex()
            self.uploads[key] = f"{bucket}/{resource.get('name') or query['name']}", match, resource, bytearray()
            return answer(200, extra=f"Location: {self.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={key}\r\n")
        boundary = b"--" + headers[b"content-type"].split(b"boundary=")[1].strip(b"\"'")
        head = bytes(body[:16384])
        begin = head.index(b"\r\n\r\n") + 4
        end = head.index(b"\r\n" + boundary, begin)
        resource = json.loads(head[begin:end])
        start = head.index(b"\r\n\r\n", end) + 4
        tail = bytes(body[-256:])
        stop = len(body) - (len(tail) - tail.rindex(b"\r\n" + boundary))
        return self._create(f"{bucket}/{resource['name']}", resource, body[start:stop], match)

    def _create(self, key: str, resource: dict[str, object], body: memoryview, match: str) -> bytes:
        held = self.objects.get(key)
        if match == "0" and held is not None:
            return answer(412, b'{"error":{"code":412,"message":"At least one of the pre-conditions you specified did not hold."}}')
        crc32c = base64.b64encode(google_crc32c.Checksum(body if isinstance(body, bytes) else bytes(body)).digest()).decode()
        if resource.get("crc32c", crc32c) != crc32c:
            return answer(400, b'{"error":{"code":400,"message":"Provided CRC32C does not match."}}')
        self.generation += 1
        bucket, _, name = key.partition("/")
        shown = json.dumps(
            {
                "name": name,
                "bucket": bucket,
                "size": str(len(body)),
                "generation": str(self.generation),
                "metageneration": "1",
                "crc32c": crc32c,
                "updated": "2024-05-02T00:00:00.000Z",
                "metadata": resource.get("metadata", {}),
            }
        ).encode()
        self.objects[key] = Held(shown, bytes(body) if len(body) <= KEPT_BYTES else b"")
        return answer(200, shown, extra=f'ETag: "{self.generation}"\r\nx-goog-generation: {self.generation}\r\n')

    def _get(self, key: str, query: dict[str, str]) -> bytes:
        held = self.objects.get(key)
        if held is None:
            return answer(404, b'{"error":{"code":404,"message":"No such object"}}')
        if query.get("alt") != "media":
            return answer(200, held.shown)
        generation = json.loads(held.shown)["generation"]
        return answer(200, held.data, kind="application/octet-stream", extra=f"X-Goog-Generation: {generation}\r\n")

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        prefix = f"{bucket}/{query.get('prefix', '')}"
        found = [held.shown for key, held in sorted(self.objects.items()) if key.startswith(prefix)]
        return answer(200, b'{"items":[' + b",".join(found) + b"]}")


@dataclass(frozen=True, slots=True)
class Running:
    """A server process."""

    url: str
    pid: int

    def cpu(self) -> float:
        """CPU seconds it has used."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def running(role: str, *arguments: str) -> Iterator[Running]:
    """A server in a process of its own, on the last core where there are several, until the block ends."""
    command = [sys.executable, "-m", "tests.bench.bench_servers", role, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()


def pin(*, to_last: bool) -> None:
    """Keep this process on the last core, or off it, where there are several and the system can."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[-1:] if to_last else cores[:-1])


async def _serve(order: argparse.Namespace) -> None:
    bucket = Bucket()
    handle = serve_files(order.folder) if order.role == "source" else bucket.handle
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(handle, order.latency), "127.0.0.1", 0, backlog=LIVE)
    port = server.sockets[0].getsockname()[1]
    bucket.url = f"http://127.0.0.1:{port}"
    print(port, flush=True)
    # The parent holds the other end of stdin: it closes when the parent ends, however that happens.
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("source", "bucket"))
    parser.add_argument("--folder", type=Path, help="bodies of the source: TYPE/SYMBOL.csv.gz, or TYPE/any")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    order = parser.parse_args()
    pin(to_last=True)
    asyncio.run(_serve(order))


if __name__ == "__main__":
    main()
