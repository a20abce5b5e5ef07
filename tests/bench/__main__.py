"""All benchmarks in one run: `python -m tests.bench [--quick] [--json FILE] [NAME ...]`, or `make bench`.

Each benchmark is a module with `run(...)` and `table(...)`; it stands here once, with its sizes. The figures of every run are kept as
JSON under bench-results/, named after the moment, with what is needed to compare them later: the machine, the versions, the load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine import __version__
from tests.bench.musts import summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench-results"

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark."""

    what: str
    """One line for the list."""
    run: Callable[[bool], Figures]
    """Measures; True asks for small sizes and few rounds."""
    table: Callable[[Figures], str]
    """The figures for a person."""


def _convert() -> Bench:
    from tests.bench import bench_convert

    def run(quick: bool) -> Figures:
        rows = {name: count // 10 if quick else count for name, count in bench_convert.ROWS.items()}
        return bench_convert.run(rows, runs=1 if quick else 3)

    return Bench("a Tardis .csv.gz to Parquet, beside pandas, pyarrow, polars and DuckDB", run, bench_convert.table)


def _candles() -> Bench:
    from tests.bench import bench_candles

    def run(quick: bool) -> Figures:
        return bench_candles.run(bench_candles.ROWS // 10 if quick else bench_candles.ROWS, runs=1 if quick else 3)

    return Bench("all timeframes from a day of trades, beside polars and DuckDB", run, bench_candles.table)


def _console() -> Bench:
    from tests.bench import bench_console

    def run(quick: bool) -> Figures:
        if quick:
            return bench_console.run(rounds=2, frames=40, seconds=3, hour=bench_console.HOUR // 6)
        return bench_console.run(8, 200, bench_console.KEY_SECONDS, bench_console.HOUR)

    return Bench("the console: first paint, heatmap, keys under load, memory; beside the least that does it", run, bench_console.table)


def _wide() -> Bench:
    from tests.bench import bench_wide

    def run(quick: bool) -> Figures:
        return bench_wide.run(200, 20, runs=1) if quick else bench_wide.run()

    return Bench("thousands of small files fetched, converted, committed; beside tardis-dev and curl", run, bench_wide.table)


def _uploads() -> Bench:
    from tests.bench import bench_uploads

    def run(quick: bool) -> Figures:
        return bench_uploads.run(0.1, runs=1) if quick else bench_uploads.run()

    return Bench("200 uploads in flight, beside google-cloud-storage, obstore, gcloud-aio-storage", run, bench_uploads.table)


def _end_to_end() -> Bench:
    from tests.bench import bench_end_to_end

    def run(quick: bool) -> Figures:
        return bench_end_to_end.run(bench_end_to_end.CSV_BYTES // 10, runs=1) if quick else bench_end_to_end.run()

    return Bench("2 GB of CSV through the whole engine, beside its conversion alone", run, bench_end_to_end.table)


def _coverage() -> Bench:
    from tests.bench import bench_coverage

    def run(quick: bool) -> Figures:
        return bench_coverage.run((40_000, 400_000), runs=1) if quick else bench_coverage.run(bench_coverage.SIZES, runs=5)

    return Bench("how complete 519 days of 8 venues are, beside listing every object", run, bench_coverage.table)


def _memory_cap() -> Bench:
    from tests.bench import bench_memory_cap

    def run(quick: bool) -> Figures:
        return bench_memory_cap.run(60, 16_000, 1, 400_000) if quick else bench_memory_cap.run(600, 16_000, 4, 500_000)

    return Bench("500 downloads at once in a cgroup of 1 GiB", run, bench_memory_cap.table)


def _start() -> Bench:
    from tests.bench import bench_start

    def run(quick: bool) -> Figures:
        return bench_start.run(rounds=3 if quick else 15)

    return Bench("the engine's start: help beside bare python, the first byte beside `import aiohttp`", run, bench_start.table)


REGISTRY: dict[str, Callable[[], Bench]] = {
    "candles": _candles,
    "convert": _convert,
    "console": _console,
    "wide": _wide,
    "uploads": _uploads,
    "end-to-end": _end_to_end,
    "coverage": _coverage,
    "memory-cap": _memory_cap,
    "start": _start,
}
"""Every benchmark by name. A function makes it, so that one that lacks a library does not stop the others from being listed."""


def describe_machine() -> Figures:
    """What the figures depend on."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "engine": __version__,
        "commit": done.stdout.strip(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def save(results: Figures, moment: datetime, path: Path | None = None) -> Path:
    """Keep the figures as JSON; `path` is by default a new file under bench-results/, named after the moment."""
    path = path or RESULTS / f"{moment:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for, print the tables, keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks with their peers side by side, in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(REGISTRY)} [all]")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, one round: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go [bench-results/<moment>.json]")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in REGISTRY]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(REGISTRY)}")
    if options.list:
        for name, make in REGISTRY.items():
            print(f"{name:<12} {make().what}")
        return 0
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the peers came with theirs: ours would compile itself anew in every process
    moment = datetime.now(UTC)
    results: Figures = {"at": moment.isoformat(), "quick": options.quick, "machine": describe_machine(), "benches": {}}
    for name in options.names or REGISTRY:
        bench = REGISTRY[name]()
        print(f"{name}: {bench.what}", flush=True)
        figures = bench.run(options.quick)
        results["benches"][name] = figures
        print(bench.table(figures), flush=True)
    path = save(results, moment, options.json)
    if musts := summary(results["benches"], quick=options.quick):
        print(f"\n{musts}")
    print(f"figures in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
