"""Commits over the wire: of many writers one creates, and a listing says all that a resume needs. Each answer: test_store_cases."""

from __future__ import annotations

import dataclasses
import gzip
import io
import subprocess
import sys
import threading
from datetime import date
from os import environ

import pytest

from engine.commit import commit, entry_of, list_committed
from engine.conversion.convert import convert
from engine.conversion.outcome import Conversion
from engine.datatypes import require_data_type
from engine.errors import CommitConflict
from engine.manifest import read_cell
from engine.model import Cell, File, Outcome
from engine.paths import cell_prefix
from tests.local_servers import Lake

CELL = Cell(date(2024, 5, 1), "trades", "binance")
FILE = File(CELL, "BTCUSDT")
HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"


def converted(price: str) -> Conversion:
    row = f"binance,BTCUSDT,1714521600000000,1714521600100000,1,buy,{price},0.5\n"
    conversion = convert(io.BytesIO(gzip.compress((HEADER + row).encode())), None, data_type=require_data_type("trades"), file=FILE)
    assert conversion.outcome is Outcome.OK
    return conversion


def bytes_of(conversion: Conversion) -> bytes:
    assert conversion.parquet is not None
    return conversion.parquet


def test_of_many_writers_at_once_exactly_one_creates(lake: Lake) -> None:
    conversion = converted("60000.5")
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(commit(lake.data, FILE, conversion, bytes_of(conversion)).already)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] + [True] * 7


def test_a_resume_reads_its_entry_from_the_listing(lake: Lake) -> None:
    conversion = converted("60000.5")
    committed = commit(lake.data, FILE, conversion, bytes_of(conversion))
    entry = list_committed(lake.data, CELL)["BTCUSDT"]
    assert entry == entry_of(FILE, committed.info)
    assert (entry.outcome, entry.rows, entry.first_us) == (Outcome.OK, 1, 1714521600100000)
    assert entry.covered_minutes == conversion.covered_minutes == 1


def test_two_workers_on_the_same_files_commit_each_once(lake: Lake) -> None:
    arguments = ("download", "--venues", "binance,deribit", "--data-types", "trades,derivative_ticker", "--start", "2024-05-01")
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *arguments],
            env=environ | lake.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    for venue in ("binance", "deribit"):
        cell = Cell(date(2024, 5, 1), "trades", venue)
        records, objects = read_cell(lake.state, cell), list_committed(lake.data, cell)
        assert records.keys() == objects.keys()
        for symbol, record in records.items():
            assert record.entry.generation == objects[symbol].generation


def test_other_bytes_under_the_metadata_of_a_commit_are_neither_resumed_nor_believed(lake: Lake) -> None:
    conversion = converted("60000.5")
    info = commit(lake.data, FILE, conversion, bytes_of(conversion)).info
    lake.data.put(info.name, b"junk", if_generation=info.generation, metadata=info.metadata)
    assert list_committed(lake.data, CELL) == {}
    with pytest.raises(CommitConflict, match="not the one that was committed"):
        commit(lake.data, FILE, conversion, bytes_of(conversion))
    found = lake.data.get(info.name)
    assert found is not None
    assert found.data == b"junk"


def test_what_somebody_else_put_into_the_folder_of_a_cell_is_passed_over(lake: Lake) -> None:
    conversion = converted("60000.5")
    commit(lake.data, FILE, conversion, bytes_of(conversion))
    for name in ("notes.txt", "a b.parquet", "BTC%2fUSDT.parquet"):
        lake.data.put(f"{cell_prefix(CELL)}{name}", b"x", if_generation=0)
    assert list(list_committed(lake.data, CELL)) == ["BTCUSDT"]


def test_names_of_dropped_columns_survive_in_metadata_as_many_as_fit(lake: Lake) -> None:
    columns = ("fee,rebate", "größe", "%2C", *(f"ÄÖÜ{number}" * 20 for number in range(200)))
    conversion = dataclasses.replace(converted("60000.5"), dropped_columns=columns)
    commit(lake.data, FILE, conversion, bytes_of(conversion))
    dropped = list_committed(lake.data, CELL)["BTCUSDT"].dropped_columns
    assert len(dropped) > 3
    assert dropped == columns[: len(dropped)]
