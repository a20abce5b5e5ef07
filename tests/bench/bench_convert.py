"""Conversion of a Tardis `.csv.gz` to Parquet, ours beside what people use instead: `python -m tests.bench.bench_convert`.

Every measurement is a fresh process on the same input, and the contestants take turns, so that a busy machine hurts all alike.
Of the runs the median counts. Everybody gets the schema, zstd, and what its documentation advises. Only ours checks the gzip, the rows
and the types; the others trust everything.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines

ROWS = {"trades": 3_150_000, "book_snapshot_5": 1_330_000, "derivative_ticker": 1_760_000, "options_chain": 870_000}
"""At least 250 MB of CSV each."""
TIMES = 8
"""How much larger the file is on which memory must be the same."""
FIGURES = ("cpu_s", "wall_s", "convert_s", "pss_mb", "peak_mb", "output_mb")
OURS = "tickdeck"
CPU_MUST = {"trades": 0.90}
SIZE_MUST = {"trades": 0.80}
CPU_AIM, MEMORY_MUST, MEMORY_AIM, FLAT_MUST = 0.65, 200, 150, 1.1
KINDS = ("time", "number", "text", "category")


def convert_ours(data_type: str, source: Path, target: Path) -> None:
    """As `engine convert` does it, checking every row against the file that the input stands for."""
    from engine.conversion.convert import convert, only_convert
    from engine.datatypes import DATA_TYPES
    from tests.bench.convert_files import FILES

    only_convert()
    done = convert(source, target, data_type=DATA_TYPES[data_type], file=FILES[data_type])
    assert done.outcome == "ok", done.detail


def convert_ours_twice(data_type: str, source: Path, target: Path) -> None:
    """Two files in two threads of one process, as a worker with two converters does."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sink: convert_ours(data_type, source, sink), (target, target.with_suffix(".second"))))


def convert_pandas(data_type: str, source: Path, target: Path) -> None:
    """`read_csv` with dtypes, text of few values as categories (its C parser takes less CPU and memory than `engine="pyarrow"`)."""
    import pandas as pd  # type: ignore[import-untyped]

    types = _columns(data_type, "int64", "float64", "str", "category")
    pd.read_csv(source, dtype=types).to_parquet(target, engine="pyarrow", compression="zstd")


def convert_pyarrow(data_type: str, source: Path, target: Path) -> None:
    """`read_csv` with types, `write_table` with zstd, else all defaults: dictionaries everywhere."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    options = pyarrow.csv.ConvertOptions(column_types=_columns(data_type, pa.int64(), pa.float64(), pa.string(), pa.string()))
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(source, convert_options=options), target, compression="zstd")


def convert_polars(data_type: str, source: Path, target: Path) -> None:
    """`scan_csv` with the schema, `sink_parquet` with zstd: streaming, less of everything than `read_csv`."""
    import polars as pl

    schema = _columns(data_type, pl.Int64, pl.Float64, pl.String, pl.String)
    pl.scan_csv(source, schema=schema).sink_parquet(target, compression="zstd")


def convert_duckdb(data_type: str, source: Path, target: Path) -> None:
    """`COPY` from `read_csv` with names and types and nothing to detect, one thread: half the memory for the same CPU."""
    _duckdb(data_type, source, target, "V1")


def convert_duckdb_v2(data_type: str, source: Path, target: Path) -> None:
    """The same with encodings of Parquet version 2, which not every reader knows."""
    _duckdb(data_type, source, target, "V2")


def _duckdb(data_type: str, source: Path, target: Path, version: str) -> None:
    import duckdb

    types = ", ".join(f"'{name}': '{kind}'" for name, kind in _columns(data_type, "BIGINT", "DOUBLE", "VARCHAR", "VARCHAR").items())
    read = f"read_csv('{source}', header = true, auto_detect = false, delim = ',', quote = '', escape = '', columns = {{{types}}})"
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.execute(f"COPY (SELECT * FROM {read}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION {version})")


def convert_chdb(data_type: str, source: Path, target: Path) -> None:
    """ClickHouse's `INTO OUTFILE` from `file` with the structure, one thread."""
    import chdb

    types = _columns(data_type, "Nullable(Int64)", "Nullable(Float64)", "Nullable(String)", "LowCardinality(String)")
    structure = ", ".join(f"`{name}` {kind}" for name, kind in types.items())
    chdb.query(
        f"SELECT * FROM file('{source}', 'CSVWithNames', '{structure}') INTO OUTFILE '{target}' TRUNCATE FORMAT Parquet "
        "SETTINGS output_format_parquet_compression_method = 'zstd', max_threads = 1, input_format_parallel_parsing = 0"
    )


CONTESTANTS: dict[str, Callable[[str, Path, Path], None]] = {
    OURS: convert_ours,
    "tickdeck, 2 files in 2 threads": convert_ours_twice,
    "pandas": convert_pandas,
    "pyarrow defaults": convert_pyarrow,
    "polars": convert_polars,
    "duckdb": convert_duckdb,
    "duckdb, Parquet v2": convert_duckdb_v2,
    "chdb": convert_chdb,
}
FILES_EACH = {name: 2 if function is convert_ours_twice else 1 for name, function in CONTESTANTS.items()}


def _columns(data_type: str, time_: Any, number: Any, text: Any, category: Any) -> dict[str, Any]:
    """A peer's types by column, given what it calls each kind. All have the table of columns from us, so all pay for its import."""
    from engine.datatypes import DATA_TYPES

    kinds = dict(zip(KINDS, (time_, number, text, category), strict=True))
    return {column.source: kinds[column.kind] for column in DATA_TYPES[data_type].columns}


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
    """Convert in a fresh process: wall and CPU seconds of the whole process, memory of its tree, the rest from inside; per file."""
    from tests.bench.process_memory import PeakMemory  # not at the top: the measured processes import this module too

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_", "MIMALLOC_"))}
    command = [sys.executable, "-m", "tests.bench.bench_convert", "--one", contestant, data_type, str(source), str(target)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        with PeakMemory(process) as peak:
            text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contestant} failed on {data_type} with exit code {process.returncode}")
    files = FILES_EACH[contestant]
    figures: dict[str, float] = json.loads(text.splitlines()[-1])
    figures |= {"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime}
    resident = figures.pop("peak_mb")
    figures = {name: value / files for name, value in figures.items()}
    return figures | {"peak_mb": resident, "pss_mb": peak.mb, "output_mb": target.stat().st_size / 1e6}


def run(rows: dict[str, int], runs: int) -> dict[str, Any]:
    """All contestants on all inputs, in turns; then ours on files of eight times the rows, for its memory."""
    import importlib.metadata

    names = [name for name in CONTESTANTS if name != "chdb" or find_spec("chdb")]
    versions = {
        name: importlib.metadata.version(name) for name in ("pyarrow", "pandas", "polars", "duckdb", "chdb") if name in (*names, "pyarrow")
    }
    results: dict[str, Any] = {"python": platform.python_version(), "cpus": os.cpu_count(), "versions": versions, "runs": runs, "types": {}}
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as folder:
        for data_type, count in rows.items():
            results["types"][data_type] = _run_type(Path(folder), data_type, count, runs, names)
    results["musts"] = documents(must for data_type, result in results["types"].items() for must in _musts(data_type, result))
    return results


def _run_type(folder: Path, data_type: str, rows: int, runs: int, names: list[str]) -> dict[str, Any]:
    source, target = folder / f"{data_type}.csv.gz", folder / "out.parquet"
    _write_input(data_type, rows, source, 6)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            measured[name].append(measure(name, data_type, source, target))
            target.unlink()
    medians = {
        name: {figure: statistics.median(each[figure] for each in all_runs) for figure in FIGURES} for name, all_runs in measured.items()
    }
    ratios = {name: {figure: figures[figure] / medians[OURS][figure] for figure in FIGURES} for name, figures in medians.items()}
    source_mb = source.stat().st_size / 1e6
    source.unlink()
    once, large = (_measure_memory(data_type, times * rows, source, target) for times in (1, TIMES))
    return {"rows": rows, "source_mb": source_mb, "medians": medians, "ratios": ratios, "measured": measured, "once": once, "large": large}


def _measure_memory(data_type: str, rows: int, source: Path, target: Path) -> dict[str, float]:
    """Ours on so many rows, packed quickly: both files, for how well they are packed shows in the memory more than how long they are."""
    _write_input(data_type, rows, source, 1)
    measured = measure(OURS, data_type, source, target)
    source.unlink()
    return measured


def _write_input(data_type: str, rows: int, path: Path, level: int) -> None:
    """In a process of its own, or what it took would count as ours."""
    code = "import sys; from pathlib import Path; from tests.bench.convert_inputs import write_input;"
    code += "write_input(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), level=int(sys.argv[4]))"
    subprocess.run([sys.executable, "-c", code, data_type, str(rows), str(path), str(level)], check=True)


def _musts(data_type: str, result: dict[str, Any]) -> list[Must]:
    medians = result["medians"]
    ours, peers = medians[OURS], {name: figures for name, figures in medians.items() if not name.startswith(OURS)}
    quickest, smallest = (min(peers, key=lambda name: peers[name][figure]) for figure in ("cpu_s", "output_mb"))
    cpu, size = ours["cpu_s"] / peers[quickest]["cpu_s"], ours["output_mb"] / peers[smallest]["output_mb"]
    most = max(each["pss_mb"] for each in (ours, result["once"], result["large"]))
    # Not by looking from time to time: in two seconds that meets the peak less often than in sixteen.
    flat = result["large"]["peak_mb"] / result["once"]["peak_mb"]
    return [
        Must(f"{data_type}: CPU / {quickest}'s, aim {CPU_AIM}", cpu, CPU_MUST.get(data_type, 1.0)),
        Must(f"{data_type}: file / that of {smallest}", size, SIZE_MUST.get(data_type, 1.0)),
        Must(f"{data_type}: most memory, aim {MEMORY_AIM}", most, MEMORY_MUST, unit="MB"),
        Must(f"{data_type}: memory for {TIMES}x the file / for 1x", flat, FLAT_MUST),
    ]


def table(results: dict[str, Any]) -> str:
    """The results for a person: ours in units, the others as multiples of ours (above 1.00 is worse)."""
    lines = []
    for data_type, result in results["types"].items():
        lines.append(f"{data_type}: {result['rows']:,} rows, {result['source_mb']:.1f} MB .csv.gz, per file")
        lines.append(f"  {'':32}" + "".join(f"{figure:>12}" for figure in FIGURES))
        lines.append(f"  {OURS:32}" + "".join(f"{result['medians'][OURS][figure]:12.2f}" for figure in FIGURES))
        for name, ratios in result["ratios"].items():
            if name != OURS:
                lines.append(f"  {name:32}" + "".join(f"{ratios[figure]:11.2f}x" for figure in FIGURES))
    return "\n".join([*lines, *must_lines(results["musts"])])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write all figures there")
    parser.add_argument("--rows", type=int, help="rows of the trades; the other types in proportion")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=ROWS, action="append", help="only this type; may be given again")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        contestant, data_type, source, target = options.one
        print(json.dumps(measure_here(contestant, data_type, Path(source), Path(target))))
        return
    share = (options.rows or ROWS["trades"]) / ROWS["trades"]
    results = run({name: max(1, round(ROWS[name] * share)) for name in options.only or ROWS}, options.runs)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
