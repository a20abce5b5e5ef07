"""`engine convert` from the outside: files, text, exit codes, and no process that dies of a failed conversion."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import EngineError, ExitCode, UsageError
from engine.verbs.convert import run
from tests.engine.conversion.tardis_csv import line, packed, trades, trades_csv

ASKED = ["--data-type", "trades", "--venue", "binance", "--symbol", "BTCUSDT", "--day", "2024-05-01"]

REPORTING = """
import sys
from engine.verbs.convert import convert_command
from engine.errors import EngineError, one_line
try:
    convert_command()
except EngineError as error:
    print(one_line(error), file=sys.stderr)
    sys.exit(error.exit_code)
"""

IN_ONE_PROCESS = f"""
import sys
ASKED = {ASKED!r}
from engine.verbs.convert import convert_command
from engine.errors import EngineError
for name in sys.argv[2:]:
    try:
        code = convert_command([name, sys.argv[1], *ASKED], standalone_mode=False)
    except EngineError as error:
        code = error.exit_code
    print("code", int(code))
"""

LIMITED = (
    """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    + REPORTING
)

GOOD = packed(trades_csv(300))
FLAWED = [
    (b"", 65),
    (b"<html>", 65),
    (GOOD[:-5], 65),
    (GOOD[:200], 65),
    (GOOD[:-8] + bytes(8), 65),
    (GOOD + b"x", 65),
    (packed(trades(line(price="x"))), 65),
    (packed(trades(line(), "1,2")), 65),
    (packed(trades_csv(40_000) + b"1,2\n"), 65),
    (packed(trades(line(exchange="okex"))), 65),
    (packed(b"a,b\n1,2\n"), 65),
    (packed(trades(line()) + b"\xff\xfe\n"), 65),
    (None, 64),
]


def call(*arguments: object, code: str = REPORTING) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(GOOD)
    return path


def test_a_sound_file_becomes_parquet_and_a_report(source: Path, tmp_path: Path) -> None:
    sink = tmp_path / "a.parquet"
    done = call(source, sink, *ASKED)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["outcome"] == "ok"
    assert report["rows"] == pq.read_metadata(sink).num_rows == 300
    assert report["sha256"] == hashlib.sha256(sink.read_bytes()).hexdigest()
    assert report["parquet_bytes"] == sink.stat().st_size
    assert report["min_local_timestamp"] == "2024-05-01T00:00:00.002000Z"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "a.parquet"]
    assert sink.stat().st_mode & 0o777 == source.stat().st_mode & 0o777


def test_a_program_reads_one_json_line_and_nothing_else(source: Path, tmp_path: Path) -> None:
    done = call(source, tmp_path / "a.parquet", "--data-type", "trades")
    assert json.loads(done.stdout)["rows"] == 300
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_quarantined_file_ends_with_65_one_line_and_no_file(source: Path, tmp_path: Path) -> None:
    done = call(source, tmp_path / "a.parquet", *ASKED[:-1], "2024-05-02")
    assert done.returncode == 65
    assert json.loads(done.stdout)["outcome"] == "quarantined"
    assert len(done.stderr.splitlines()) == 1
    assert "wrong_day" in done.stderr
    assert " -> " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.gz"]


def test_an_empty_file_is_done_without_a_destination(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(packed(b""))
    report, code = run(tmp_path / "a.csv.gz", tmp_path / "a.parquet", "trades", None, None, None)
    assert (report["outcome"], report["destination"], code) == ("empty", None, ExitCode.DONE)
    assert not (tmp_path / "a.parquet").exists()


def test_nothing_is_overwritten_unless_forced(source: Path, tmp_path: Path) -> None:
    sink = tmp_path / "a.parquet"
    sink.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        run(source, sink, "trades", None, None, None)
    assert sink.read_bytes() == b"mine"
    _, code = run(source, sink, "trades", None, None, None, force=True)
    assert code is ExitCode.DONE
    assert pq.read_metadata(sink).num_rows == 300


def test_a_forced_conversion_that_fails_leaves_the_old_file(source: Path, tmp_path: Path) -> None:
    sink = tmp_path / "a.parquet"
    sink.write_bytes(b"mine")
    source.write_bytes(GOOD[:-1])
    _, code = run(source, sink, "trades", None, None, None, force=True)
    assert code is ExitCode.PARTIAL
    assert sink.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "a.parquet"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data_type": "trade"}, "'trade' is not known"),
        ({"day": None}, "belong together"),
        ({"day": "1 May"}, "is not a day"),
        ({"venue": "Binance"}, "exchange id"),
        ({"symbol": "../x"}, "dataset symbol"),
        ({"source": Path("nowhere.gz")}, "nowhere.gz does not exist"),
        ({"destination": Path("no-folder/a.parquet")}, "no-folder does not exist"),
    ],
)
def test_a_wrong_request_is_refused_with_64(change: dict[str, object], says: str, source: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"source": source, "destination": tmp_path / "a.parquet"}
    request |= {"data_type": "trades", "venue": "binance", "symbol": "BTCUSDT", "day": "2024-05-01"} | change
    with pytest.raises(UsageError) as caught:
        run(**request)
    assert says in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_disk_that_fills_up_ends_with_69_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    source.write_bytes(packed(trades_csv(20_000)))
    done = call(source, tmp_path / "a.parquet", "--data-type", "trades", code=LIMITED)
    assert done.returncode == 69, done.stderr
    assert ".a.parquet" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.gz"]


def write_flawed(folder: Path, index: int) -> tuple[Path, int]:
    """The file of a flawed case (none where it stands for a missing one), and the exit code it should give."""
    body, code = FLAWED[index % len(FLAWED)]
    path = folder / f"{index}.csv.gz"
    if body is not None:
        path.write_bytes(body)
    return path, code


def test_fifty_conversions_that_fail_in_one_process_give_fifty_exit_codes(tmp_path: Path) -> None:
    cases = [write_flawed(tmp_path, index) for index in range(50)]
    done = call(tmp_path / "a.parquet", *(path for path, _ in cases), code=IN_ONE_PROCESS)
    assert done.returncode == 0, done.stderr
    found = [int(line.removeprefix("code ")) for line in done.stdout.splitlines() if line.startswith("code ")]
    assert found == [code for _, code in cases]
    assert not (tmp_path / "a.parquet").exists()


def test_conversions_that_fail_in_processes_of_their_own_exit_and_never_abort(tmp_path: Path) -> None:
    cases = [write_flawed(tmp_path, index) for index in range(len(FLAWED))]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda case: call(case[0], tmp_path / "a.parquet", *ASKED), cases))
    assert [each.returncode for each in done] == [code for _, code in cases]
    assert all(len(each.stderr.splitlines()) == 1 for each in done)
    assert not list(tmp_path.glob("*.parquet"))


def test_errors_are_of_the_engine_and_name_the_way_out(source: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        run(source, tmp_path, "trades", None, None, None)
    assert caught.value.hint
