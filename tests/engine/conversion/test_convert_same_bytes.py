"""The same rows give the same Parquet bytes, whatever the blocks, the reads, the gzip members, the threads and the process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.conversion.convert import ConvertSettings, convert
from engine.datatypes import DATA_TYPES
from engine.model import Cell, File
from tests.bench.convert_files import DAY as BENCH_DAY
from tests.bench.convert_inputs import write_input
from tests.engine.conversion.tardis_csv import BTCUSDT, DAY, DAY_US, HEADERS, TRADES, converted, line, packed, sha256, trades, trades_csv

SMALL_GROUPS = replace(TRADES, row_group_rows=350)
TEXT = trades_csv(1_000)


@pytest.fixture(scope="module")
def expected() -> str:
    return sha256(converted(packed(TEXT), data_type=SMALL_GROUPS, file=BTCUSDT).parquet)


@pytest.mark.parametrize(("block", "most"), [*product([1, 997, 65_536, 1 << 22], [7, 4096, 1 << 20]), (65_536, 1)])
def test_blocks_and_reads_do_not_show(block: int, most: int, expected: str) -> None:
    settings = ConvertSettings(read_bytes=1 << 20, block_bytes=block)
    done = converted(packed(TEXT), data_type=SMALL_GROUPS, file=BTCUSDT, most=most, settings=settings)
    assert sha256(done.parquet) == expected


@pytest.mark.parametrize("cuts", [[1], [len(HEADERS["trades"])], [5_000, 5_001, 40_000], list(range(100, 60_000, 1_777))])
def test_gzip_members_show_in_the_fingerprint_only(cuts: list[int], expected: str) -> None:
    single = converted(packed(TEXT), data_type=SMALL_GROUPS, file=BTCUSDT)
    several = converted(packed(TEXT, cuts=cuts), data_type=SMALL_GROUPS, file=BTCUSDT)
    assert sha256(several.parquet) == expected
    assert several.fingerprint != single.fingerprint
    assert several.fingerprint is not None
    assert len(several.fingerprint.members) == len(cuts) + 1


def test_line_ends_and_a_missing_final_newline_do_not_show(expected: str) -> None:
    for text in (TEXT.replace(b"\n", b"\r\n"), TEXT.removesuffix(b"\n"), TEXT.replace(b"\n", b"\r\n").removesuffix(b"\r\n")):
        assert sha256(converted(packed(text), data_type=SMALL_GROUPS, file=BTCUSDT).parquet) == expected


def test_memory_and_path_get_the_same_bytes(tmp_path: Path, expected: str) -> None:
    source, sink = tmp_path / "a.csv.gz", tmp_path / "a.parquet"
    source.write_bytes(packed(TEXT))
    done = convert(source, sink, data_type=SMALL_GROUPS, file=BTCUSDT)
    assert done.parquet is None
    assert sha256(sink.read_bytes()) == expected
    assert sink.stat().st_size == done.parquet_bytes


@pytest.mark.parametrize("block", [1, 500, 1 << 22])
def test_steps_back_in_time_do_not_change_that(block: int, tmp_path: Path) -> None:
    lines = TEXT.splitlines(keepends=True)
    lines[400], lines[401] = lines[401], lines[400]
    body = packed(b"".join(lines))
    usual = converted(body, data_type=SMALL_GROUPS, file=BTCUSDT)
    assert usual.backward_rows == 1
    (tmp_path / "a.csv.gz").write_bytes(body)
    convert(tmp_path / "a.csv.gz", tmp_path / "a", data_type=SMALL_GROUPS, file=BTCUSDT, settings=ConvertSettings(block_bytes=block))
    assert sha256((tmp_path / "a").read_bytes()) == sha256(usual.parquet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.csv.gz"]


@pytest.mark.parametrize("block", [1, 300, 4_000])
@pytest.mark.parametrize("odd", [0, 7, 60, 99])
def test_a_row_whose_symbol_is_spelled_in_another_way_does_not_show_where_blocks_end(block: int, odd: int) -> None:
    lines = [line(symbol="BTC/USDT" if index == odd else "BTC-USDT", local_timestamp=DAY_US + index) for index in range(100)]
    body = packed(trades(*lines))
    file = File(Cell(DAY, "trades", "binance"), "BTC-USDT")
    usual = converted(body, data_type=replace(TRADES, row_group_rows=30), file=file)
    other = converted(body, data_type=replace(TRADES, row_group_rows=30), file=file, settings=ConvertSettings(block_bytes=block))
    assert sha256(usual.parquet) == sha256(other.parquet)
    symbols = pq.read_table(pa.BufferReader(usual.parquet), columns=["symbol"]).column("symbol").to_pylist()
    assert symbols == ["BTC/USDT" if index == odd else "BTC-USDT" for index in range(100)]


@pytest.mark.parametrize("block", [1, 700, 20_000])
def test_dictionaries_come_in_order_of_appearance_in_each_row_group(block: int) -> None:
    symbols = ["C", "A", "B", "A", "D", "D", "C", "E", "B"] * 40
    rows = (f"okex-options,{symbol},{DAY_US},{DAY_US + index},put,1,{DAY_US},{',' * 16}" for index, symbol in enumerate(symbols))
    body = packed("\n".join([HEADERS["options_chain"], *rows]).encode())
    file = File(Cell(DAY, "options_chain", "okex-options"), "OPTIONS")
    kind = replace(DATA_TYPES["options_chain"], row_group_rows=7)
    usual, other = (
        converted(body, data_type=kind, file=file, settings=settings) for settings in (None, ConvertSettings(block_bytes=block))
    )
    assert sha256(usual.parquet) == sha256(other.parquet)


@pytest.mark.parametrize("name", ["trades", "book_snapshot_5", "derivative_ticker", "options_chain"])
def test_threads_beside_each_other_do_not_show(name: str, tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    file = write_input(name, 6_000, source, level=1)
    assert file.cell.day == BENCH_DAY
    kind = replace(DATA_TYPES[name], row_group_rows=2_500)

    def once(number: int) -> str:
        sink = tmp_path / f"{number}.parquet"
        convert(source, sink, data_type=kind, file=file, settings=ConvertSettings(block_bytes=10_000 * (number + 1)))
        return sha256(sink.read_bytes())

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(once, range(12)))) == 1


def test_another_process_with_other_hashes_writes_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    source.write_bytes(packed(TEXT))
    code = (
        "import sys; from pathlib import Path; from datetime import date; from engine.conversion.convert import convert;"
        "from engine.datatypes import DATA_TYPES; from engine.model import Cell, File;"
        "file = File(Cell(date(2024, 5, 1), 'trades', 'binance'), 'BTCUSDT');"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), data_type=DATA_TYPES['trades'], file=file)"
    )
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        subprocess.run([sys.executable, "-c", code, str(source), str(tmp_path / seed)], check=True, env=environment)
    here = sha256(converted(packed(TEXT), file=BTCUSDT).parquet)
    assert [sha256((tmp_path / seed).read_bytes()) for seed in ("1", "2")] == [here, here]


WITHOUT_NUMPY = """
import hashlib, pathlib, sys
from engine.conversion.convert import convert, only_convert
from engine.datatypes import DATA_TYPES
only_convert()
done = convert(pathlib.Path(sys.argv[1]), None, data_type=DATA_TYPES["trades"], file=None)
print(hashlib.sha256(done.parquet).hexdigest(), "numpy" in sys.modules)
import numpy
"""


def test_a_process_that_only_converts_loads_no_numpy_and_may_still(tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    source.write_bytes(packed(TEXT))
    said = subprocess.run([sys.executable, "-c", WITHOUT_NUMPY, str(source)], check=True, capture_output=True, text=True).stdout
    usual = convert(source, None, data_type=TRADES, file=None).parquet
    assert usual is not None
    assert said.split() == [sha256(usual), "False"]


HALF_IMPORTED = """
import sys, threading
half_way, asked = threading.Event(), threading.Event()

def pause(event, arguments):
    if event == "import" and arguments[0] == "pyarrow.lib" and threading.current_thread() is first:
        half_way.set()  # pyarrow is in sys.modules by now, and has nothing in it yet
        asked.wait(1.0)

first = threading.Thread(target=__import__, args=("pyarrow",))
sys.addaudithook(pause)
first.start()
half_way.wait()
import engine.conversion.kernels
asked.set()
first.join()
print(engine.conversion.kernels.is_surely_finite.__name__)
"""


def test_a_thread_whose_first_conversion_meets_another_that_just_loads_arrow_waits_for_it() -> None:
    said = subprocess.run([sys.executable, "-c", HALF_IMPORTED], capture_output=True, text=True, check=False)
    assert (said.stderr, said.stdout) == ("", "is_surely_finite\n")
