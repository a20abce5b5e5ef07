"""The engine's start, in CPU: `engine --help` beside bare python, and everything up to the first byte of a file beside `import aiohttp`.

The first byte is seen at the source: when it sends it, it looks how much CPU the process that asked has used so far, in all threads.
By then `engine download` has opened both buckets, fetched the catalogue, listed what is held, made and saved a plan and begun to work.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.bench.fresh_process import measure
from tests.bench.memory_source import DAY, VENUE, body
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines
from tests.local_servers import started

ENGINE = str(Path(sys.executable).with_name("engine"))
SYMBOL = "M000USDT"
_SCHEDULED = 2
"""Linux's clock of what a process has had of the processors, to the nanosecond, is named by its id and this (`clock_getcpuclockid`)."""

CATALOGUE = (
    b'{"id":"binance","datasets":{"exportedUntil":"2024-06-01T00:00:00.000Z","symbols":[{"id":"M000USDT","type":"spot",'
    b'"dataTypes":["trades"],"availableSince":"2020-01-01T00:00:00.000Z"}]},"incidentReports":[]}'
)


def run(rounds: int) -> dict[str, Any]:
    """All starts in turns; the median of each."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name, started("storage", Path(name) / "storage") as storage:
        starts: dict[str, Callable[[int], float]] = {
            "bare python": lambda _: measure(["-c", ""])["cpu_s"],
            "import click": lambda _: measure(["-c", "import click"])["cpu_s"],
            "engine --help": lambda _: measure([ENGINE, "--help"], python=False)["cpu_s"],
            "import aiohttp": lambda _: measure(["-c", "import aiohttp"])["cpu_s"],
            "import aiohttp, storage": lambda _: measure(["-c", "import aiohttp; from google.cloud import storage"])["cpu_s"],
            "engine download, first byte": lambda turn: _first_byte(storage.url, turn),
        }
        measured: dict[str, list[float]] = {what: [] for what in starts}
        for turn in range(rounds):
            for what, start in starts.items():
                measured[what].append(start(turn) * 1e3)
    medians = {what: statistics.median(each) for what, each in measured.items()}
    musts = [
        Must("CPU of engine --help / bare python", medians["engine --help"] / medians["bare python"], 6.0),
        Must("CPU until the first byte fetched / import aiohttp", medians["engine download, first byte"] / medians["import aiohttp"], 1.5),
    ]
    return {"rounds": rounds, "cpu_ms": medians, "musts": documents(musts)}


def table(results: dict[str, Any]) -> str:
    """For a person: milliseconds of CPU."""
    lines = [f"  {what:36}{figure:10.0f} ms CPU" for what, figure in results["cpu_ms"].items()]
    return "\n".join([*lines, *must_lines(results["musts"])])


def _first_byte(storage: str, turn: int) -> float:
    """CPU seconds of an `engine download` when the source sends it the first byte of a file."""
    from engine.bucket import create_bucket
    from engine.storage_service import open_storage
    from engine.store import Store

    names = {"DATA_BUCKET": f"start-{turn}-{os.getpid()}", "STATE_BUCKET": f"start-{turn}-{os.getpid()}-state"}
    service = open_storage(project="local", endpoint=storage)
    for name in names.values():
        create_bucket(Store(service, name))
    packed = body(SYMBOL, 100)
    seen: list[float] = []

    class Source(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_file = self.path.endswith(".csv.gz")
            if is_file and not seen:
                seen.append(time.clock_gettime((~engine.pid << 3) | _SCHEDULED))
            data = packed if is_file else CATALOGUE
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    environment = names | {
        "STORAGE_EMULATOR_HOST": storage,
        "TARDIS_API_URL": address,
        "TARDIS_DATASETS_URL": address,
        "GOOGLE_CLOUD_PROJECT": "local",
    }
    arguments = ["download", "--venues", VENUE, "--data-types", "trades", "--day", DAY.isoformat()]
    engine = subprocess.Popen([ENGINE, *arguments], env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = engine.communicate()
    server.shutdown()
    server.server_close()
    if engine.returncode or not seen:
        raise SystemExit(f"engine download failed with exit code {engine.returncode}: {said.decode()[-2000:]}")
    return seen[0]
