"""What cannot be trusted: each flaw has its own reason, and none becomes a file."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.conversion.convert import ConvertSettings, Reason, convert
from engine.datatypes import DATA_TYPES
from engine.errors import EngineError, ExitCode, SourceError, UsageError
from engine.model import Cell, File, Outcome
from tests.engine.conversion.tardis_csv import (
    BTCUSDT,
    DAY,
    DAY_US,
    HEADERS,
    TRADES,
    Reads,
    converted,
    line,
    packed,
    parquet_rows,
    read_independently,
    trades,
    trades_csv,
)
from tests.unprivileged import unprivileged

GOOD = trades_csv(200)
DAY_END = DAY_US + 86_400_000_000


def reworded(old: str, new: str) -> bytes:
    """A good file with another header."""
    return packed(GOOD.replace(HEADERS["trades"].encode(), HEADERS["trades"].replace(old, new).encode(), 1))


def in_line_3(**cells: object) -> bytes:
    return packed(trades(line(), line(**cells), line()))


BODIES: list[tuple[Reason, bytes, str]] = [
    (Reason.ZERO_BYTES, b"", "no bytes"),
    (Reason.HTML_BODY, b"<!DOCTYPE html><title>502 Bad Gateway</title>", "<!DOCTYPE html>"),
    (Reason.HTML_BODY, packed(b"<html><body>oops</body></html>\n"), "<html>"),
    (Reason.NOT_GZIP, b'{"code":100,"message":"There is no such file"}', "There is no such"),
    (Reason.NOT_GZIP, GOOD, "exchange,symbol"),
    (Reason.TRUNCATED_GZIP, packed(GOOD)[:-1], "member 1"),
    (Reason.TRUNCATED_GZIP, packed(GOOD, cuts=[500])[:-300], "member 2"),
    (Reason.TRUNCATED_GZIP, packed(b"")[:10], "member 1"),
    (Reason.BAD_CHECKSUM, packed(GOOD)[:-8] + bytes(8), "member 1"),
    (Reason.CORRUPT_GZIP, packed(GOOD)[:12] + b"\xff" * 40, "member 1"),
    (Reason.TRAILING_GARBAGE, packed(GOOD) + b"<html>", "after member 1"),
    (Reason.INVALID_UTF8, packed(trades(line(), line()) + b"binance,\xff\n"), "line 4"),
    (Reason.INVALID_UTF8, packed(b"exchange,\xff\n"), "line 1"),
    (Reason.MISSING_COLUMN, reworded(",amount", ",size"), "'amount'; it has 'size' instead"),
    (Reason.MISSING_COLUMN, packed(f"{HEADERS['book_snapshot_5']}\n".encode()), "'id, side, price, amount'"),
    (Reason.MISSING_COLUMN, packed(GOOD.split(b"\n", 1)[1]), "'exchange, symbol"),
    (Reason.DUPLICATE_COLUMN, reworded(",amount", ",amount,price"), "price"),
    (Reason.DUPLICATE_COLUMN, reworded(",amount", ",amount,new,new"), "new"),
    (Reason.BAD_VALUE, in_line_3(price="12,5"), "line 3 has 9 cells instead of 8"),
    (Reason.BAD_VALUE, packed(trades(line(), "binance,BTCUSDT", line())), "line 3 has 2 cells"),
    (Reason.BAD_VALUE, packed(trades(line(), "", line())), "line 3 has 0 cells"),
    (Reason.BAD_VALUE, packed(trades(line(), HEADERS["trades"], line())), "line 3 is the header again"),
    (Reason.BAD_VALUE, in_line_3(price="abc"), "line 3, column price: 'abc'"),
    (Reason.BAD_VALUE, in_line_3(amount="1_000"), "line 3, column amount"),
    (Reason.BAD_VALUE, in_line_3(timestamp="2024-05-01"), "line 3, column timestamp"),
    (Reason.BAD_VALUE, in_line_3(timestamp=""), "line 3, column timestamp: the cell is empty"),
    (Reason.BAD_VALUE, in_line_3(local_timestamp=2**63), "line 3, column local_timestamp"),
    (Reason.BAD_VALUE, in_line_3(exchange=""), "line 3, column exchange"),
    (Reason.BAD_VALUE, in_line_3(side="long"), "line 3, column side: 'long'"),
    (Reason.BAD_VALUE, in_line_3(id='"open'), "line 3"),
    (Reason.BAD_VALUE, in_line_3(id="a\rb"), "line"),
    (Reason.BAD_VALUE, packed(trades(line(id="x" * 3_000_000))), "65536 bytes"),
    (Reason.WRONG_VENUE, in_line_3(exchange="binance-futures"), "line 3, column exchange: 'binance-futures'"),
    (Reason.WRONG_SYMBOL, in_line_3(symbol="ETHUSDT"), "line 3, column symbol: 'ETHUSDT'"),
    (Reason.WRONG_DAY, in_line_3(local_timestamp=DAY_US - 1), "line 3: local_timestamp 2024-04-30T23:59:59.999999Z"),
    (Reason.WRONG_DAY, in_line_3(local_timestamp=DAY_END), "line 3: local_timestamp 2024-05-02T00:00:00.000000Z"),
    (Reason.WRONG_DAY, in_line_3(local_timestamp=2**62), "line 3"),
]


@pytest.mark.parametrize(("reason", "body", "detail"), BODIES, ids=[f"{index}-{case[0]}" for index, case in enumerate(BODIES)])
def test_a_flaw_is_named_and_leaves_no_file(reason: Reason, body: bytes, detail: str, tmp_path: Path) -> None:
    source, sink = tmp_path / "a.csv.gz", tmp_path / "a.parquet"
    source.write_bytes(body)
    for block in (1 << 21, 64):
        done = convert(source, sink, data_type=TRADES, file=BTCUSDT, settings=ConvertSettings(block_bytes=block))
        assert (done.outcome, done.reason) == (Outcome.QUARANTINED, reason), done.detail
        assert detail in done.detail
        assert "\n" not in done.detail
        assert len(done.detail) < 300
        assert (done.rows, done.parquet_bytes, done.crc32c, done.parquet) == (0, 0, "", None)
    assert done.source_bytes == len(body) or reason in (Reason.CORRUPT_GZIP, Reason.BAD_CHECKSUM)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.gz"]


def test_every_reason_is_tried_here() -> None:
    elsewhere = {Reason.NONE, Reason.NO_DATA, Reason.HEADER_ONLY, Reason.WRONG_LENGTH}
    assert {case[0] for case in BODIES} | elsewhere == set(Reason)


def test_the_whole_gzip_of_a_flawed_text_is_read_for_its_fingerprint() -> None:
    body = packed(trades(line(price="abc")) + GOOD * 50, cuts=[70, 4_000])
    done = converted(body, settings=ConvertSettings(read_bytes=64, block_bytes=64))
    assert done.reason is Reason.BAD_VALUE
    assert done.fingerprint is not None
    assert done.fingerprint.length == len(body)


def test_a_broken_gzip_explains_broken_text_better() -> None:
    body = packed(trades(line(price="abc")) + GOOD)
    done = converted(body[:-4], settings=ConvertSettings(block_bytes=64))
    assert done.reason is Reason.TRUNCATED_GZIP
    assert done.fingerprint is None


def test_a_late_flaw_removes_the_row_groups_written_before(tmp_path: Path) -> None:
    source, sink = tmp_path / "a.csv.gz", tmp_path / "a.parquet"
    for text in (GOOD + b"late,flaw\n", GOOD + line(local_timestamp=DAY_END).encode()):
        source.write_bytes(packed(text))
        done = convert(source, sink, data_type=replace(TRADES, row_group_rows=10), file=BTCUSDT, settings=ConvertSettings(block_bytes=512))
        assert done.outcome is Outcome.QUARANTINED
        assert not sink.exists()


def test_one_complete_gzip_of_zero_bytes_is_no_data(tmp_path: Path) -> None:
    body = gzip.compress(b"", mtime=0)
    assert len(body) == 20
    (tmp_path / "a.csv.gz").write_bytes(body)
    done = convert(tmp_path / "a.csv.gz", tmp_path / "a.parquet", data_type=TRADES, file=BTCUSDT, expected_bytes=20)
    assert (done.outcome, done.reason) == (Outcome.EMPTY, Reason.NO_DATA)
    assert done.fingerprint is not None
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_header_without_rows_is_empty_if_it_is_the_right_header(end: str) -> None:
    done = converted(packed((HEADERS["trades"] + end).encode()), file=BTCUSDT)
    assert (done.outcome, done.reason, done.parquet) == (Outcome.EMPTY, Reason.HEADER_ONLY, None)
    assert converted(packed(b"a,b")).reason is Reason.MISSING_COLUMN


def test_a_cut_at_a_member_border_is_found_by_the_announced_length() -> None:
    body = packed(GOOD, cuts=[GOOD.index(b"\n", 5_000) + 1])
    half = len(packed(GOOD[: GOOD.index(b"\n", 5_000) + 1]))
    assert converted(body, file=BTCUSDT, expected_bytes=len(body)).outcome is Outcome.OK
    done = converted(body[:half], file=BTCUSDT, expected_bytes=len(body))
    assert (done.outcome, done.reason) == (Outcome.QUARANTINED, Reason.WRONG_LENGTH)
    assert str(len(body)) in done.detail


def test_categories_of_other_types_are_checked_too() -> None:
    cells = ["deribit", "BTC-1", str(DAY_US), str(DAY_US), "straddle", "9875", str(DAY_US), *[""] * 17]
    body = packed(f"{HEADERS['options_chain']}\n{','.join(cells)}\n".encode())
    done = converted(body, data_type=DATA_TYPES["options_chain"])
    assert (done.reason, "column type: 'straddle'" in done.detail) == (Reason.BAD_VALUE, True)
    row = f"deribit,BTC-PERPETUAL,{DAY_US},{DAY_US},yes,bid,1,2"
    body = packed(f"{HEADERS['incremental_book_L2']}\n{row}\n".encode())
    done = converted(body, data_type=DATA_TYPES["incremental_book_L2"])
    assert (done.reason, "column is_snapshot: 'yes'" in done.detail) == (Reason.BAD_VALUE, True)


def test_without_a_file_only_the_type_is_checked() -> None:
    done = converted(packed(trades(line(), line(exchange="x", symbol="y", local_timestamp=1))))
    assert done.outcome is Outcome.OK
    assert done.backward_rows == 1


def test_a_file_of_another_type_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="liquidations"):
        converted(packed(GOOD), file=File(Cell(date(2024, 5, 1), "liquidations", "binance"), "BTCUSDT"))


def test_a_source_that_cannot_be_read_twice_is_read_once() -> None:
    class Pipe(Reads):
        def seekable(self) -> bool:
            return False

        def seek(self, place: int) -> int:
            raise OSError("it is a pipe")

    piped: Any = Pipe(packed(GOOD), 11)
    assert convert(piped, None, data_type=TRADES, file=None).outcome is Outcome.OK
    broken: Any = Pipe(packed(GOOD)[:-3], 11)
    assert convert(broken, None, data_type=TRADES, file=None).reason is Reason.TRUNCATED_GZIP


def test_a_source_that_fails_is_an_error_with_its_name(tmp_path: Path) -> None:
    class Failing(Reads):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("peer went away")

    failing: Any = Failing(b"")
    with pytest.raises(SourceError, match="peer went away"):
        convert(failing, tmp_path / "a", data_type=TRADES, file=None)
    with pytest.raises(UsageError, match=r"nothing\.gz does not exist"):
        convert(tmp_path / "nothing.gz", None, data_type=TRADES, file=None)
    with pytest.raises(UsageError, match="is a folder"):
        convert(tmp_path, None, data_type=TRADES, file=None)


@pytest.mark.parametrize(
    ("make_sink", "error", "code"),
    [
        (lambda folder: folder / "no" / "a.parquet", EngineError, ExitCode.UNAVAILABLE),
        (lambda folder: folder, EngineError, ExitCode.UNAVAILABLE),
        (lambda folder: Path("/dev/full"), EngineError, ExitCode.UNAVAILABLE),
    ],
    ids=["no folder", "is a folder", "disk full"],
)
def test_a_sink_that_cannot_be_written_is_an_error_with_its_name(
    make_sink: Callable[[Path], Path], error: type[EngineError], code: ExitCode, tmp_path: Path
) -> None:
    sink = make_sink(tmp_path)
    if sink.parts[1] == "dev" and not sink.exists():
        pytest.skip(f"{sink} does not exist on this system")
    before = sink.exists()
    source: Any = Reads(packed(GOOD))
    with pytest.raises(error, match=str(sink)) as caught:
        convert(source, sink, data_type=TRADES, file=BTCUSDT)
    assert caught.value.exit_code is code
    assert list(tmp_path.iterdir()) == []
    assert sink.exists() == before


def test_missing_permissions_are_told_apart(tmp_path: Path) -> None:
    source, sealed = tmp_path / "a.csv.gz", tmp_path / "sealed"
    source.write_bytes(packed(GOOD))
    sealed.mkdir(mode=0o500)

    def convert_unprivileged(sink: Path) -> subprocess.CompletedProcess[str]:
        arguments = unprivileged("-m", "engine.cli", "convert", str(source), str(sink), "--data-type", "trades")
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)

    sink_refused = convert_unprivileged(sealed / "a.parquet")
    source.chmod(0)
    source_refused = convert_unprivileged(tmp_path / "a.parquet")
    for refused, said in ((sink_refused, "cannot be written"), (source_refused, "cannot be read")):
        assert refused.returncode == ExitCode.NOT_PERMITTED, refused.stderr
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv.gz", "sealed"]


def test_a_refused_file_does_not_disturb_the_next() -> None:
    for _, body, _ in BODIES[:30]:
        assert converted(body, file=BTCUSDT).outcome is Outcome.QUARANTINED
        assert parquet_rows(converted(packed(GOOD), file=BTCUSDT)) == read_independently(GOOD)


def test_the_day_of_the_file_decides_not_the_clock_or_the_zone() -> None:
    last = packed(trades(line(local_timestamp=DAY_END - 1, timestamp=DAY_END - 1), line(local_timestamp=DAY_END - 1)))
    assert converted(last, file=BTCUSDT).outcome is Outcome.OK
    assert converted(last, file=File(Cell(date(2024, 5, 2), "trades", "binance"), "BTCUSDT")).reason is Reason.WRONG_DAY
    assert date(2024, 5, 1) == DAY
