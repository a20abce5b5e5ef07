"""500 downloads at once in a cgroup of 1 GiB: the settings of a VM, more bytes on the way than there is memory, and some large files.

The engine is a real process with everything it starts inside the group; source and bucket stand outside. What counts is that it ends with
every file committed and that the kernel killed nothing: admission has to hold it, whatever converters and clients take beside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.aiohttp_server import serving
from tests.bench.memory_cgroup import memory_group
from tests.bench.memory_source import DAY, VENUE, body, symbols
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines
from tests.local_servers import started

CAP = 1 << 30
AT_ONCE = 500
VM_SETTINGS = {
    "CONVERTERS": "8",
    "MAX_PARALLEL_UPLOADS": "200",
    "BYTES_IN_FLIGHT_MIB": "4096",
    "SPOOL_MEMORY_MIB": "64",
    "MEMORY_THRESHOLD": "85",
}
"""Defaults of a VM, for a machine 60 times as large."""


def run(files: int, rows: int, large_files: int, large_rows: int) -> dict[str, Any]:
    """Download `files` of `rows` and `large_files` of `large_rows` in the group; skipped where no group may be made."""
    offered = files * len(body(symbols(1)[0], rows)) + large_files * len(body(symbols(1)[0], large_rows))
    try:
        with (
            memory_group(CAP) as group,
            tempfile.TemporaryDirectory(prefix="bench-memory-") as folder,
            serving("tests.bench.memory_source", rows, large_rows, files, large_files) as source,
        ):
            measured = _measure(group, Path(folder), source)
    except OSError as error:
        return {"skipped": f"no cgroup can be made here ({error})", "musts": []}
    musts = [
        Must("files that were not committed", files + large_files - measured["committed"], 0, unit="files"),
        Must("exit code of the engine", measured["exit_code"], 0, unit=""),
        Must("processes that the kernel killed", measured["kills"], 0, unit=""),
        Must("most anonymous memory / the group's", measured["anonymous_mb"] * 1e6 / CAP, 0.95),
    ]
    return measured | {"files": files, "large_files": large_files, "offered_mb": offered / 1e6, "musts": documents(musts)}


def table(results: dict[str, Any]) -> str:
    """For a person."""
    if "skipped" in results:
        return f"  skipped: {results['skipped']}"
    offer = f"{results['files']:,} files and {results['large_files']} large ones, {results['offered_mb']:,.0f} MB on offer"
    took = f"{results['seconds']:.0f} s, CPU {results['cpu_s']:.0f} s, anonymous memory at most {results['anonymous_mb']:,.0f} MB"
    lines = [
        f"{offer}, {AT_ONCE} at once, {CAP / 1e6:,.0f} MB of memory",
        f"  {took}, with page cache {results['peak_mb']:,.0f} MB",
    ]
    return "\n".join([*lines, *must_lines(results["musts"])])


def _measure(group: Any, folder: Path, source: str) -> dict[str, Any]:
    from engine.bucket import create_bucket
    from engine.paths import RAW
    from engine.storage_service import open_storage
    from engine.store import Store

    with started("storage", folder / "storage") as storage:
        data, state = (Store(open_storage(project="local", endpoint=storage.url), name) for name in ("bench-data", "bench-state"))
        for store in (data, state):
            create_bucket(store)
        environment = VM_SETTINGS | {
            "STORAGE_EMULATOR_HOST": storage.url,
            "TARDIS_API_URL": f"{source}/v1",
            "TARDIS_DATASETS_URL": f"{source}/v1",
            "DATA_BUCKET": data.bucket,
            "STATE_BUCKET": state.bucket,
            "GOOGLE_CLOUD_PROJECT": "local",
            "TMPDIR": str(folder),
        }
        arguments = ["--venues", VENUE, "--data-types", "trades", "--day", DAY.isoformat(), "--max-concurrent", str(AT_ONCE), "--json"]
        log = folder / "engine.log"
        began, most = time.monotonic(), 0
        with log.open("wb") as stream:
            engine = subprocess.Popen(
                group.enter([sys.executable, "-m", "engine.cli", "download", *arguments]),
                env=os.environ | environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            while True:
                try:
                    engine.wait(0.05)
                    break
                except subprocess.TimeoutExpired:
                    most = max(most, group.anonymous_bytes())
        if engine.returncode:
            print(log.read_text()[-2000:], file=sys.stderr)
        return {
            "seconds": time.monotonic() - began,
            "cpu_s": _cpu_of_children(),
            "anonymous_mb": most / 1e6,
            "peak_mb": group.peak_bytes() / 1e6,
            "kills": group.kills(),
            "exit_code": engine.returncode,
            "committed": sum(1 for _ in data.list(RAW)),
        }


def _cpu_of_children() -> float:
    """Of all that ended: the engine's, as the servers still run."""
    times = os.times()
    return times.children_user + times.children_system
