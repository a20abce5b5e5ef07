"""Two hundred uploads in flight: many small objects and a few large ones, beside the clients that people use.

Everybody creates only (a precondition on the generation), and all that can send the CRC-32C of the bytes do (obstore cannot). Ours are
the two ways of the engine: one request on the event loop for small objects, the official client in threads for large ones, which are
files on disk as in the engine. Memory is what a process has resident at most beyond what it had before the first upload.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.bench_servers import running
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines

IN_FLIGHT = 200
SIZES = {"small": (2_000, 256 << 10), "large": (20, 32 << 20)}
"""Objects, and bytes of each."""
OURS = "tickdeck"
MUST_OF_FASTEST = 0.8

Upload = Callable[[str, Path, bytes, int, int, int], None]


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def _object(base: bytes, number: int) -> bytes:
    """The bytes of one small object: made when its turn comes, as a conversion would."""
    return number.to_bytes(8, "big") + base[8:]


async def _all(upload: Callable[[int], Awaitable[object]], count: int, at_once: int) -> None:
    slots = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with slots:
            await upload(number)

    await asyncio.gather(*map(one, range(count)))


def _ours(url: str, file: Path, base: bytes, first: int, count: int, size: int) -> None:
    from engine.small_objects import SMALL_BYTES, SmallObjects
    from engine.storage_service import open_storage
    from engine.store import Store

    store = Store(open_storage(project="local", endpoint=url), "ours")
    if size > SMALL_BYTES:
        checksum = _crc32c(file.read_bytes())
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(lambda number: store.put(f"{number}", file, if_generation=0, crc32c=checksum), range(first, first + count)))
        return

    async def work() -> None:
        async with SmallObjects(store, connections=IN_FLIGHT) as objects:

            async def put(number: int) -> None:
                data = _object(base, number)
                await objects.create(f"{first + number}", data, metadata={}, content_type="a/b", crc32c=_crc32c(data))

            await _all(put, count, IN_FLIGHT)

    asyncio.run(work())


def _google(url: str, file: Path, base: bytes, first: int, count: int, size: int) -> None:
    import requests.adapters
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="local", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
    client._http.mount("http://", requests.adapters.HTTPAdapter(pool_connections=8, pool_maxsize=IN_FLIGHT))
    bucket = client.bucket("google")
    large = size > len(base)

    def put(number: int) -> None:
        blob = bucket.blob(f"{first + number}")
        if large:
            blob.upload_from_filename(str(file), if_generation_match=0, checksum="crc32c")
        else:
            blob.upload_from_string(_object(base, number), if_generation_match=0, checksum="crc32c")

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(put, range(count)))


def _obstore(url: str, file: Path, base: bytes, first: int, count: int, size: int) -> None:
    import obstore
    from obstore.store import GCSStore

    key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    store = GCSStore("obstore", service_account_key=json.dumps(key), client_options={"allow_http": True})
    large = size > len(base)

    async def put(number: int) -> None:
        data = file if large else _object(base, number)
        await obstore.put_async(store, f"{first + number}", data, mode="create", use_multipart=False)

    asyncio.run(_all(put, count, IN_FLIGHT))


def _gcloud_aio(url: str, file: Path, base: bytes, first: int, count: int, size: int) -> None:
    import aiohttp
    from gcloud.aio.storage import Storage

    large = size > len(base)

    async def work() -> None:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector) as session:
            storage = Storage(session=session, api_root=url)

            async def put(number: int) -> None:
                data = file.read_bytes() if large else _object(base, number)
                await storage.upload(
                    "gcloud-aio",
                    f"{first + number}",
                    data,
                    content_type="a/b",
                    parameters={"ifGenerationMatch": "0"},
                    metadata={"crc32c": _crc32c(data)},
                    force_resumable_upload=False if not large else None,
                    timeout=600,
                )

            await _all(put, count, IN_FLIGHT)

    asyncio.run(work())


CONTESTANTS: dict[str, Upload] = {
    OURS: _ours,
    "google-cloud-storage in threads": _google,
    "obstore (no crc32c)": _obstore,
    "gcloud-aio-storage": _gcloud_aio,
}
FIGURES = ("wall_s", "cpu_s", "memory_mb", "server_cpu_s")


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def measure_here(contestant: str, url: str, file: Path, count: int, size: int) -> dict[str, float]:
    """Upload in this process, after a few unmeasured objects."""
    warnings.simplefilter("ignore")
    upload = CONTESTANTS[contestant]
    base = random.Random(1).randbytes(min(size, SIZES["small"][1]))
    upload(url, file, base, 1_000_000, 2, size)
    before, most, done = _resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, _resident())

    watching = threading.Thread(target=watch)
    watching.start()
    wall, cpu = time.perf_counter(), time.process_time()
    upload(url, file, base, 0, count, size)
    figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    done.set()
    watching.join()
    return figures | {"memory_mb": max(0, most - before) / 1e6}


def measure(contestant: str, file: Path, count: int, size: int) -> dict[str, float]:
    """Upload in a fresh process, to an empty bucket."""
    with running("bucket") as bucket:
        before = bucket.cpu()
        command = [sys.executable, "-m", "tests.bench.bench_uploads", contestant, bucket.url, str(file), str(count), str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures | {"server_cpu_s": bucket.cpu() - before}


def run(share: float = 1.0, runs: int = 3) -> dict[str, Any]:
    """All contestants with both kinds of objects, in turns; medians.

    Args:
        share: of the number of objects.
        runs: rounds.
    """
    results: dict[str, Any] = {"in_flight": IN_FLIGHT, "runs": runs}
    musts = []
    with tempfile.TemporaryDirectory(prefix="bench-uploads-") as folder:
        for kind, (all_of_them, size) in SIZES.items():
            count = max(4, round(all_of_them * share))
            file = Path(folder, kind)
            file.write_bytes(random.Random(2).randbytes(size))
            measured: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
            for _ in range(runs):
                for name in CONTESTANTS:
                    measured[name].append(measure(name, file, count, size))
            medians = {name: {each: statistics.median(run[each] for run in found) for each in FIGURES} for name, found in measured.items()}
            results[kind] = {"objects": count, "bytes": size, "medians": medians}
            best = min(figures["wall_s"] for name, figures in medians.items() if name != OURS)
            musts.append(Must(f"rate of {kind} objects / fastest peer's", best / medians[OURS]["wall_s"], MUST_OF_FASTEST, at_least=True))
            flying = min(count, IN_FLIGHT) * size / 1e6
            musts.append(Must(f"memory with {kind} objects / bytes in flight", medians[OURS]["memory_mb"] / flying, 2.0))
    return results | {"musts": documents(musts)}


def table(results: dict[str, Any]) -> str:
    """Rates and costs, and what must be reached."""
    lines = []
    for kind in SIZES:
        found = results[kind]
        lines.append(f"{found['objects']:,} objects of {found['bytes'] >> 10:,} KiB, {results['in_flight']} in flight")
        lines.append(f"  {'':34}{'MB/s':>10}{'CPU ms each':>14}{'memory MB':>12}{'server CPU s':>14}")
        for name, figures in found["medians"].items():
            rate = found["objects"] * found["bytes"] / 1e6 / figures["wall_s"]
            each = figures["cpu_s"] / found["objects"] * 1000
            lines.append(f"  {name:34}{rate:10.0f}{each:14.2f}{figures['memory_mb']:12.0f}{figures['server_cpu_s']:14.2f}")
    return "\n".join([*lines, *must_lines(results["musts"])])


def main() -> None:
    """Measure one contestant in this process, and print its figures."""
    contestant, url, file, count, size = sys.argv[1:]
    print(json.dumps(measure_here(contestant, url, Path(file), int(count), int(size))), flush=True)
    # Threads of obstore's runtime now and then abort an interpreter that ends.
    os._exit(0)


if __name__ == "__main__":
    main()
