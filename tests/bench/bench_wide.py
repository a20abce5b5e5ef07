"""A wide day: thousands of small files at once, each fetched, converted and committed; beside what people fetch them with.

The source answers each request after 100 ms, as one far away does, so what counts is how much is under way at the same time and how
little CPU each file takes. The others fetch only: the vendor's own downloader on a sample of the files (it takes one after the other),
`curl --parallel` on all of them. Stages are measured one at a time in a process of their own; `rest` is what the whole takes beyond them:
tasks, queues, counters, the log, manifests.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from tests.bench.bench_servers import Running, running
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines
from tests.bench.process_memory import family_cpu

DATA_TYPES = ("trades", "book_snapshot_5")
SYMBOLS = 2_000
ROWS = 200
"""Rows of a small file."""
SAMPLE = 100
"""Files that the vendor's downloader is given."""
LATENCY_SECONDS = 0.1
VENUE, DAY = "binance", date(2024, 5, 1)
CURL_AT_ONCE = 300
"""The most that curl allows."""

WARM_UP = tuple(f"WARM{number}USDT" for number in range(40))
"""Symbols that come first, unmeasured."""

MUST_CPU_MS = {"trades": 3.0, "book_snapshot_5": 4.0}
MUST_TIMES_VENDOR, AIM_OF_CURL = 50.0, 0.8
STAGES = ("fetch", "convert", "commit")

OURS, CURL, VENDOR = "tickdeck (all)", "curl --parallel (fetch)", "tardis-dev (fetch)"


def symbol(number: int) -> str:
    """The name of a small symbol."""
    return f"COIN{number}USDT"


def write_bodies(folder: Path, symbols: int, rows: int) -> None:
    """One small body for each type and symbol: the same rows under each name."""
    from tests.bench.convert_inputs import write_input

    for data_type in DATA_TYPES:
        (folder / data_type).mkdir()
        template = folder / f"{data_type}.csv.gz"
        write_input(data_type, rows, template)
        header, _, text = gzip.decompress(template.read_bytes()).decode().partition("\n")
        template.unlink()
        old = text.partition(",")[0] + ",BTCUSDT,"
        for name in (*WARM_UP, *map(symbol, range(symbols))):
            body = f"{header}\n{text.replace(old, f'{VENUE},{name},')}".encode()
            (folder / data_type / f"{name}.csv.gz").write_bytes(gzip.compress(body, 6, mtime=0))


# What runs in processes of their own.


async def _pipeline_run(source_url: str, bucket_url: str, data_types: tuple[str, ...], symbols: int) -> dict[str, float]:
    """Carry the files of these types through the pipeline: seconds and CPU seconds by type, in turn, after a first small cell."""
    from engine.clock import utc_now
    from engine.logbook import Logbook
    from engine.pipeline import Pipeline
    from engine.plan import Shard, Work
    from engine.shard_run import Attempt, Limits
    from engine.source import Source
    from engine.storage_service import open_storage
    from engine.store import Store

    service = open_storage(project="local", endpoint=bucket_url)
    data, state = Store(service, "wide"), Store(service, "wide-state")
    limits = Limits(downloads=500, converters=os.cpu_count() or 1, uploads=200, bytes_in_flight=1 << 30, memory_bytes=8 << 30)
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 - it never blocks
        async with Source(datasets_url=f"{source_url}/v1", connections=limits.downloads) as source:
            pipeline = Pipeline(
                source=source,
                data=data,
                state=state,
                catalogues={},
                limits=limits,
                logbook=Logbook(stream=log),
                clock=utc_now,
                stopped=asyncio.Event(),
            )

            async def carry(number: int, data_types: tuple[str, ...], names: tuple[str, ...]) -> None:
                work = tuple(
                    Work(day=DAY, data_type=each, venue=VENUE, symbols=names, bytes=(9_000,) * len(names), seconds=1.0)
                    for each in data_types
                )
                shard = Shard(index=number, work=work, files=len(names) * len(work), bytes=0, seconds=1.0)
                outcomes = await pipeline.run(shard, Attempt(f"bench{number}", number, 1, "vm"))
                assert dict(outcomes) == {"ok": shard.files}, outcomes

            try:
                # Imports and connections are start-up, not work on a file.
                await carry(0, DATA_TYPES, WARM_UP)
                names = tuple(symbol(number) for number in range(symbols))
                # The start of the processes that convert is in the figure: they begin only where many files come.
                wall, cpu = time.perf_counter(), family_cpu()
                await carry(1, data_types, names)
                return {"wall_s": time.perf_counter() - wall, "cpu_s": family_cpu() - cpu}
            finally:
                pipeline.close()


async def _stages(source_url: str, bucket_url: str, folder: Path, data_type: str, symbols: int) -> dict[str, float]:
    """CPU milliseconds a file of each stage alone; conversions as many together as in the pipeline."""
    from engine.commit import commit_small
    from engine.conversion.small_files import convert_together
    from engine.datatypes import require_data_type
    from engine.model import Cell, File
    from engine.small_conversions import MOST_FILES
    from engine.small_objects import SmallObjects
    from engine.source import Source
    from engine.spool import Spool
    from engine.storage_service import open_storage
    from engine.store import Store

    cell = Cell(DAY, data_type, VENUE)
    files = [File(cell, symbol(number)) for number in range(symbols)]
    store = Store(open_storage(project="local", endpoint=bucket_url), f"stages-{data_type}")
    figures: dict[str, float] = {}

    def measured(name: str, since: float) -> None:
        figures[name] = (time.process_time() - since) / symbols * 1000

    async with Source(datasets_url=f"{source_url}/v1", connections=500) as source:
        slots = asyncio.Semaphore(500)

        async def fetch(file: File) -> None:
            async with slots:
                spool = Spool(memory_bytes=8 << 20)
                fetched = await source.fetch(file, spool, deadline=600.0)
                assert fetched.outcome is None
                spool.close()

        await asyncio.gather(*map(fetch, files[:20]))
        since = time.process_time()
        await asyncio.gather(*map(fetch, files))
        measured("fetch", since)
    bodies = [(folder / data_type / f"{file.symbol}.csv.gz").read_bytes() for file in files]
    kind = require_data_type(data_type)

    sources = list(zip(files, bodies, strict=True))
    convert_together(sources[:MOST_FILES], data_type=kind)
    since = time.process_time()
    conversions: list[Any] = []
    for start in range(0, symbols, MOST_FILES):
        conversions += convert_together(sources[start : start + MOST_FILES], data_type=kind)
    measured("convert", since)
    async with SmallObjects(store, connections=200) as objects:
        slots = asyncio.Semaphore(200)

        async def put(file: File, conversion: Any) -> None:
            async with slots:
                await commit_small(objects, file, conversion, conversion.parquet)

        since = time.process_time()
        await asyncio.gather(*map(put, files, conversions))
        measured("commit", since)
    return figures


def _fetch_with_vendor(source_url: str, files: int) -> dict[str, float]:
    from tardis_dev import download_datasets

    with tempfile.TemporaryDirectory(prefix="bench-wide-") as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        download_datasets(
            VENUE,
            list(DATA_TYPES),
            [symbol(number) for number in range(files // len(DATA_TYPES))],
            DAY.isoformat(),
            "2024-05-02",
            download_dir=folder,
            endpoint=f"{source_url}/v1",
            concurrency=500,
        )
        return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _fetch_with_curl(source_url: str, folder: Path, symbols: int) -> dict[str, float]:
    """Not a process of ours: its CPU is that of the child."""
    order = folder / "curl.config"
    order.write_text(
        "".join(
            f'url = "{source_url}/v1/{VENUE}/{data_type}/{DAY:%Y/%m/%d}/{symbol(number)}.csv.gz"\noutput = /dev/null\n'
            for data_type in DATA_TYPES
            for number in range(symbols)
        )
    )
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        "curl",
        "--silent",
        "--fail",
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        str(CURL_AT_ONCE),
        "--config",
        str(order),
    ]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def measure(*arguments: str) -> dict[str, float]:
    """Measure in a fresh process."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.bench_wide", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run(symbols: int = SYMBOLS, sample: int = SAMPLE, runs: int = 3) -> dict[str, Any]:
    """All contestants on the same files, in turns; medians."""
    with tempfile.TemporaryDirectory(prefix="bench-wide-") as place:
        folder = Path(place)
        write_bodies(folder, symbols, ROWS)
        rounds = [_one_round(folder, symbols, sample) for _ in range(runs)]
        sizes = {each: (folder / each / f"{symbol(0)}.csv.gz").stat().st_size for each in DATA_TYPES}
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    rate = medians[f"{OURS} files_per_s"]
    musts = [Must(f"files a second of ours / {VENDOR}", rate / medians[f"{VENDOR} files_per_s"], MUST_TIMES_VENDOR, at_least=True)]
    musts += [Must(f"CPU of a {name} file", medians[f"{name} whole_ms"], most, unit="ms") for name, most in MUST_CPU_MS.items()]
    if f"{CURL} files_per_s" in medians:
        share = rate / medians[f"{CURL} files_per_s"]
        musts.append(Must(f"aim: files a second of ours / {CURL}", share, AIM_OF_CURL, at_least=True))
    return {
        "symbols": symbols,
        "rows": ROWS,
        "body_bytes": sizes,
        "latency_s": LATENCY_SECONDS,
        "runs": runs,
        "medians": medians,
        "musts": documents(musts),
    }


def _one_round(folder: Path, symbols: int, sample: int) -> dict[str, float]:
    files = symbols * len(DATA_TYPES)
    whole = _served(folder, lambda source, bucket: measure("engine", source.url, bucket.url, ",".join(DATA_TYPES), str(symbols)))
    figures = _named(OURS, whole, files)
    for data_type in DATA_TYPES:
        figures |= _by_stage(folder, data_type, symbols)
    if shutil.which("curl"):
        figures |= _named(CURL, _served(folder, lambda source, _: _fetch_with_curl(source.url, folder, symbols)), files)
    return figures | _named(VENDOR, _served(folder, lambda source, _: measure("vendor", source.url, str(sample))), sample)


def _named(name: str, figures: dict[str, float], files: int) -> dict[str, float]:
    return {f"{name} {figure}": value for figure, value in figures.items()} | {f"{name} files_per_s": files / figures["wall_s"]}


def _by_stage(folder: Path, data_type: str, symbols: int) -> dict[str, float]:
    """CPU milliseconds a file of one type: the whole, its stages, and what is left."""
    alone = _served(folder, lambda source, bucket: measure("engine", source.url, bucket.url, data_type, str(symbols)))
    stages = _served(folder, lambda source, bucket: measure("stages", source.url, bucket.url, str(folder), data_type, str(symbols)))
    whole = alone["cpu_s"] / symbols * 1000
    parts = {name: stages[name] for name in STAGES}
    return {f"{data_type} {name}_ms": value for name, value in (parts | {"rest": whole - sum(parts.values()), "whole": whole}).items()}


def _served(folder: Path, work: Callable[[Running, Running], dict[str, float]]) -> dict[str, float]:
    """Figures of `work` with a source and an empty bucket of its own, and what CPU these took."""
    with running("source", "--folder", str(folder), "--latency", str(LATENCY_SECONDS)) as source, running("bucket") as bucket:
        source_cpu, bucket_cpu = source.cpu(), bucket.cpu()
        found = work(source, bucket)
        return found | {"source_cpu_s": source.cpu() - source_cpu, "bucket_cpu_s": bucket.cpu() - bucket_cpu}


def table(results: dict[str, Any]) -> str:
    """Rates, CPU a file by stage, and what must be reached."""
    medians = results["medians"]
    files = results["symbols"] * len(DATA_TYPES)
    lines = [f"{files:,} files of {results['rows']} rows, answers after {results['latency_s'] * 1000:.0f} ms"]
    lines.append(f"  {'':26}{'files/s':>10}{'CPU s':>8}{'source CPU s':>14}{'bucket CPU s':>14}")
    for name in (OURS, CURL, VENDOR):
        if f"{name} files_per_s" in medians:
            shown = [medians[f"{name} {figure}"] for figure in ("files_per_s", "cpu_s", "source_cpu_s", "bucket_cpu_s")]
            lines.append(f"  {name:26}{shown[0]:10.1f}{shown[1]:8.2f}{shown[2]:14.2f}{shown[3]:14.2f}")
    lines.append(f"  {'CPU ms a file':26}{'fetch':>10}{'convert':>10}{'commit':>10}{'rest':>10}{'whole':>10}")
    for data_type in DATA_TYPES:
        shown = [medians[f"{data_type} {stage}_ms"] for stage in (*STAGES, "rest", "whole")]
        lines.append(f"  {data_type:26}" + "".join(f"{value:10.2f}" for value in shown))
    return "\n".join([*lines, *must_lines(results["musts"])])


def main() -> None:
    """Measure one contestant in this process, and print its figures."""
    what, source_url, *rest = sys.argv[1:]
    if what == "engine":
        bucket_url, data_types, symbols = rest
        figures = asyncio.run(_pipeline_run(source_url, bucket_url, tuple(data_types.split(",")), int(symbols)))
    elif what == "stages":
        bucket_url, folder, data_type, symbols = rest
        figures = asyncio.run(_stages(source_url, bucket_url, Path(folder), data_type, int(symbols)))
    else:
        figures = _fetch_with_vendor(source_url, int(rest[0]))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
