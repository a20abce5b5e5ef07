"""Large files through the whole engine, fetched, converted and committed, beside the conversion of the same bytes alone.

What the engine takes beyond its conversions is fetching, spooling, checksums and uploads. The servers are on the last core, the engine on
the others. That stages overlap is looked at while it runs: of the time in which something is fetched or committed, in how much something
is converted too.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from tests.bench.bench_convert import peak_mb
from tests.bench.bench_servers import pin, running
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines

CSV_BYTES = 2_000_000_000
SYMBOLS = ("BTCUSDT", "bTCUSDT", "BtCUSDT", "BTcUSDT", "BTCuSDT", "BTCUsDT", "BTCUSdT", "BTCUSDt")
"""One symbol to the source, which knows capitals only, eight to the bucket: so one body is eight files."""
VENUES = {"trades": "binance", "book_snapshot_5": "binance-futures"}
ROW_BYTES = {"trades": 82, "book_snapshot_5": 242}
"""About so many of CSV."""
DAY = date(2024, 5, 1)
SAMPLE_SECONDS = 0.01
MUST_OVER_CONVERSION = 1.15

OURS, ALONE = "tickdeck, end to end", "conversion alone"
FIGURES = ("wall_s", "cpu_s", "peak_mb")


def write_bodies(folder: Path, csv_bytes: int) -> dict[str, int]:
    """One body for each type, so large that all files together have `csv_bytes`; returns the CSV bytes of each."""
    from tests.bench.convert_inputs import write_input

    sizes = {}
    for data_type, row in ROW_BYTES.items():
        (folder / data_type).mkdir()
        body = folder / data_type / "any"
        write_input(data_type, csv_bytes // len(ROW_BYTES) // len(SYMBOLS) // row, body)
        with gzip.open(body) as text:
            sizes[data_type] = sum(map(len, iter(lambda: text.read(1 << 20), b"")))
    return sizes


async def _end_to_end(source_url: str, bucket_url: str, folder: Path) -> dict[str, float]:
    from engine.clock import utc_now
    from engine.logbook import Logbook
    from engine.pipeline import Pipeline
    from engine.plan import Shard, Work
    from engine.shard_run import Attempt, Limits
    from engine.source import Source
    from engine.storage_service import open_storage
    from engine.store import Store

    service = open_storage(project="local", endpoint=bucket_url)
    limits = Limits(bytes_in_flight=512 << 20, memory_bytes=4 << 30, spool_memory_bytes=64 << 20)
    moving = both = looks = converting = 0
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 - it never blocks
        async with Source(datasets_url=f"{source_url}/v1", connections=limits.downloads) as source:
            pipeline = Pipeline(
                source=source,
                data=Store(service, "lake"),
                state=Store(service, "lake-state"),
                catalogues={},
                limits=limits,
                logbook=Logbook(stream=log),
                clock=utc_now,
                stopped=asyncio.Event(),
            )

            async def watch() -> None:
                nonlocal moving, both, looks, converting
                progress = pipeline.progress
                while True:
                    looks += 1
                    converting += bool(progress.converting)
                    if progress.fetching or progress.committing:
                        moving += 1
                        both += bool(progress.converting)
                    await asyncio.sleep(SAMPLE_SECONDS)

            work = tuple(
                Work(
                    day=DAY,
                    data_type=data_type,
                    venue=venue,
                    symbols=SYMBOLS,
                    bytes=((folder / data_type / "any").stat().st_size,) * len(SYMBOLS),
                    seconds=1.0,
                )
                for data_type, venue in VENUES.items()
            )
            shard = Shard(index=0, work=work, files=len(SYMBOLS) * len(work), bytes=0, seconds=1.0)
            watching = asyncio.create_task(watch())
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                outcomes = await pipeline.run(shard, Attempt("bench", 0, 1, "vm"))
                figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
            finally:
                watching.cancel()
                pipeline.close()
            assert dict(outcomes) == {"ok": shard.files}, outcomes
    return figures | {"hidden": both / max(1, moving), "converting": converting / max(1, looks)}


def _alone(folder: Path) -> dict[str, float]:
    from engine.conversion.convert import convert
    from engine.datatypes import require_data_type
    from engine.model import Cell, File

    wall, cpu = time.perf_counter(), time.process_time()
    for data_type, venue in VENUES.items():
        body, kind = (folder / data_type / "any").read_bytes(), require_data_type(data_type)
        for symbol in SYMBOLS:
            done = convert(io.BytesIO(body), None, data_type=kind, file=File(Cell(DAY, data_type, venue), symbol))
            assert done.outcome == "ok", done.detail
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def measure(*arguments: str) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, "-m", "tests.bench.bench_end_to_end", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run(csv_bytes: int = CSV_BYTES, runs: int = 3) -> dict[str, Any]:
    """Both on the same bytes, in turns; medians."""
    with tempfile.TemporaryDirectory(prefix="bench-end-") as place:
        folder = Path(place)
        sizes = write_bodies(folder, csv_bytes)
        measured: dict[str, list[dict[str, float]]] = {OURS: [], ALONE: []}
        for _ in range(runs):
            measured[ALONE].append(measure("alone", str(folder)))
            with running("source", "--folder", str(folder), "--latency", "0.1") as source, running("bucket") as bucket:
                found = measure("engine", source.url, bucket.url, str(folder))
                measured[OURS].append(found | {"source_cpu_s": source.cpu(), "bucket_cpu_s": bucket.cpu()})
    medians = {name: {each: statistics.median(run[each] for run in found) for each in found[0]} for name, found in measured.items()}
    share = medians[OURS]["cpu_s"] / medians[ALONE]["cpu_s"]
    return {
        "csv_bytes": sum(sizes.values()) * len(SYMBOLS),
        "runs": runs,
        "medians": medians,
        "musts": documents([Must(f"CPU of {OURS} / {ALONE}", share, MUST_OVER_CONVERSION)]),
    }


def table(results: dict[str, Any]) -> str:
    """Both, the overlap, and what must be reached."""
    medians = results["medians"]
    lines = [f"{results['csv_bytes'] / 1e9:.2f} GB of CSV in {len(SYMBOLS) * len(VENUES)} files"]
    lines.append(f"  {'':24}" + "".join(f"{figure:>12}" for figure in FIGURES))
    lines += [f"  {name:24}" + "".join(f"{medians[name][figure]:12.2f}" for figure in FIGURES) for name in (OURS, ALONE)]
    ours = medians[OURS]
    lines.append(f"  servers on another core: source {ours['source_cpu_s']:.2f} s, bucket {ours['bucket_cpu_s']:.2f} s of CPU")
    lines.append(f"  while something is fetched or committed, something is converted too in {ours['hidden']:.0%} of the time")
    lines.append(f"  something is converted in {ours['converting']:.0%} of the whole time")
    return "\n".join([*lines, *must_lines(results["musts"])])


def main() -> None:
    """Measure one of the two in this process, and print its figures."""
    pin(to_last=False)
    what, *rest = sys.argv[1:]
    if what == "alone":
        figures = _alone(Path(rest[0]))
    else:
        source_url, bucket_url, folder = rest
        figures = asyncio.run(_end_to_end(source_url, bucket_url, Path(folder)))
    print(json.dumps(figures | {"peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
