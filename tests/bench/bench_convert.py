"""Conversion of a Tardis `.csv.gz` to Parquet, ours beside what people use instead: `python -m tests.bench.bench_convert`.

Every measurement is a fresh process on the same input, and the contestants take turns, so that a busy machine hurts all alike.
Of the runs the median counts. Only ours checks the gzip, the rows and the types; the others infer types and trust everything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = {"trades": 1_000_000, "book_snapshot_5": 200_000, "options_chain": 100_000}
FIGURES = ("wall_s", "convert_s", "cpu_s", "peak_mb", "output_mb")
OURS = "tickdeck"


def convert_ours(data_type: str, source: Path, target: Path) -> None:
    """The engine, checking every row against the file that the input stands for."""
    from engine.conversion.convert import convert
    from engine.datatypes import DATA_TYPES

    done = convert(source, target, data_type=DATA_TYPES[data_type], file=_file(data_type))
    assert done.outcome == "ok", done.detail


def convert_ours_twice(data_type: str, source: Path, target: Path) -> None:
    """Two files in two threads of one process, as a worker with two converters does."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sink: convert_ours(data_type, source, sink), (target, target.with_suffix(".second"))))


def convert_pandas(_: str, source: Path, target: Path) -> None:
    """`read_csv`, `to_parquet`: snappy."""
    import pandas as pd  # type: ignore[import-untyped]

    pd.read_csv(source).to_parquet(target, engine="pyarrow")


def convert_pyarrow(_: str, source: Path, target: Path) -> None:
    """`read_csv`, `write_table` with all defaults: snappy, dictionaries everywhere."""
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(source), target)


def convert_polars(_: str, source: Path, target: Path) -> None:
    """`read_csv`, `write_parquet` with zstd."""
    import polars as pl

    pl.read_csv(source, infer_schema_length=10_000).write_parquet(target, compression="zstd")


def convert_duckdb(_: str, source: Path, target: Path) -> None:
    """`COPY` from `read_csv` with zstd."""
    import duckdb

    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


CONTESTANTS: dict[str, Callable[[str, Path, Path], None]] = {
    OURS: convert_ours,
    "tickdeck, 2 files in 2 threads": convert_ours_twice,
    "pandas": convert_pandas,
    "pyarrow defaults": convert_pyarrow,
    "polars": convert_polars,
    "duckdb": convert_duckdb,
}
FILES = {name: 2 if function is convert_ours_twice else 1 for name, function in CONTESTANTS.items()}


def _file(data_type: str) -> Any:
    from datetime import date

    from engine.model import Cell, File

    venue, symbol = {
        "trades": ("binance", "BTCUSDT"),
        "book_snapshot_5": ("binance-futures", "BTCUSDT"),
        "options_chain": ("okex-options", "OPTIONS"),
    }[data_type]
    return File(Cell(date(2024, 5, 1), data_type, venue), symbol)


def measure_here(contestant: str, data_type: str, source: Path, target: Path) -> dict[str, float]:
    """Convert in this process and say what it took."""
    started = time.perf_counter()
    CONTESTANTS[contestant](data_type, source, target)
    return {"convert_s": time.perf_counter() - started, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Most memory this process ever had resident. Not from `getrusage`, which remembers the parent from before exec."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        scale = 1e6 if sys.platform == "darwin" else 1e3
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return float(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def measure(contestant: str, data_type: str, source: Path, target: Path) -> dict[str, float]:
    """Convert in a fresh process: wall and CPU seconds of the whole process, the rest from inside; per file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_"))}
    command = [sys.executable, "-m", "tests.bench.bench_convert", "--one", contestant, data_type, str(source), str(target)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contestant} failed on {data_type} with exit code {process.returncode}")
    files = FILES[contestant]
    figures: dict[str, float] = json.loads(text.splitlines()[-1])
    figures |= {"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime}
    figures = {name: value / files if name.endswith("_s") else value for name, value in figures.items()}
    figures["output_mb"] = target.stat().st_size / 1e6
    return figures


def run(rows: dict[str, int], runs: int) -> dict[str, Any]:
    """All contestants on all inputs, in turns."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("pyarrow", "pandas", "polars", "duckdb")}
    results: dict[str, Any] = {"python": platform.python_version(), "cpus": os.cpu_count(), "versions": versions, "runs": runs}
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as folder:
        for data_type, count in rows.items():
            source, target = Path(folder) / f"{data_type}.csv.gz", Path(folder) / "out.parquet"
            code = "import sys; from pathlib import Path; from tests.bench.convert_inputs import write_input;"
            code += "write_input(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))"
            subprocess.run([sys.executable, "-c", code, data_type, str(count), str(source)], check=True)
            measured: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
            for _ in range(runs):
                for name in CONTESTANTS:
                    measured[name].append(measure(name, data_type, source, target))
                    target.unlink()
            medians = {
                name: {figure: statistics.median(each[figure] for each in all_runs) for figure in FIGURES}
                for name, all_runs in measured.items()
            }
            ratios = {name: {figure: figures[figure] / medians[OURS][figure] for figure in FIGURES} for name, figures in medians.items()}
            results[data_type] = {"rows": count, "source_mb": source.stat().st_size / 1e6, "medians": medians, "ratios": ratios}
    return results


def table(results: dict[str, Any]) -> str:
    """The results for a person: ours in units, the others as multiples of ours (above 1.00 is worse)."""
    lines = []
    for data_type in (name for name in ROWS if name in results):
        result = results[data_type]
        lines.append(f"{data_type}: {result['rows']:,} rows, {result['source_mb']:.1f} MB .csv.gz, per file")
        lines.append(f"  {'':32}" + "".join(f"{figure:>12}" for figure in FIGURES))
        lines.append(f"  {OURS:32}" + "".join(f"{result['medians'][OURS][figure]:12.2f}" for figure in FIGURES))
        for name in CONTESTANTS:
            if name != OURS:
                lines.append(f"  {name:32}" + "".join(f"{result['ratios'][name][figure]:11.2f}x" for figure in FIGURES))
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write all figures there")
    parser.add_argument("--rows", type=int, help="rows of the trades; the other types in proportion")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        contestant, data_type, source, target = options.one
        print(json.dumps(measure_here(contestant, data_type, Path(source), Path(target))))
        return
    share = (options.rows or ROWS["trades"]) / ROWS["trades"]
    results = run({name: max(1, round(count * share)) for name, count in ROWS.items()}, options.runs)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
