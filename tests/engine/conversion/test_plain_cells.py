"""Plain cells are read as Python reads them, bit for bit; of what is odd the reader says so; and it never leaves its memory.

The other side is `int` and `float` on the text. That whole files come out the same with and without the library is shown by processes.
"""

from __future__ import annotations

import csv
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conversion import plain_cells
from engine.conversion.csv_blocks import BlockParser, read_header
from engine.conversion.plain_cells import OtherPrefix, PlainCells, is_built
from engine.datatypes import DATA_TYPES, Kind
from tests.bench.convert_inputs import write_input
from tests.engine.conversion.tardis_csv import HEADERS, genuine_heads, sha256, trades_csv

ROOT = Path(__file__).resolve().parents[3]
QUICK = settings(max_examples=300)
ALL_KINDS = (Kind.TIME, Kind.NUMBER, Kind.CATEGORY, None, Kind.FLAG, Kind.NUMBER, Kind.TEXT)

if not is_built() and not any(map(shutil.which, ("cc", "gcc", "clang"))):
    pytest.skip("no C compiler here: the library could not be built", allow_module_level=True)


def read(block: bytes, *kinds: Kind | None, prefix: bytes = b"") -> list[list[Any]] | None:
    """What the reader makes of a block, in Python's terms."""
    arrays = PlainCells(kinds).read(block, prefix)
    if arrays is None:
        return None
    for array in arrays:
        array.validate(full=True)
    return [array.to_pylist() for array in arrays]


def bits(number: float) -> bytes:
    return struct.pack("d", number)


def test_it_is_there() -> None:
    assert is_built(), "make, with a C compiler, builds it: see hatch_build.py"


# Numbers


def as_the_source_writes(value: float) -> str:
    """Shortest digits, without an exponent from 1e-6 to 1e21, as JavaScript has it."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, exponent = text.partition("e")
    power = int(exponent)
    return f"{value:.{max(0, -power + len(digits) - 2)}f}" if -7 < power < 0 else f"{digits}e{power:+d}"


def point_put_in(drawn: tuple[int, int]) -> str:
    digits, places = drawn
    text = str(digits).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text


def between_two_floats(drawn: tuple[int, int]) -> str:
    """Exactly half way, or next to it: an odd number of 54 bits by a power of two, written out."""
    odd, power = drawn
    exact = (2**53 + 2 * odd + 1) * 5**power
    return point_put_in((exact, power)) if exact < 10**19 else point_put_in((2**53 + 2 * odd + 1, 0))


plain_numbers = st.one_of(
    st.floats(1e-20, 1e15).map(as_the_source_writes),
    st.floats(1e-3, 1e6).map(lambda value: f"{value:.2f}"),
    st.tuples(st.integers(0, 10**7), st.integers(0, 7)).map(point_put_in),
    st.tuples(st.integers(0, 10**18), st.integers(0, 40)).map(point_put_in),
    st.tuples(st.integers(0, 2**51), st.integers(0, 3)).map(between_two_floats),
    st.tuples(st.integers(1, 10**17), st.integers(-30, 4)).map(
        lambda drawn: f"{drawn[0]}e{drawn[1]}" if drawn[1] < 0 else f"{drawn[0] % 1000}e{drawn[1]}"
    ),
    st.sampled_from(["0", "0.0", "1e5", "1E-08", "9007199254740993", "9007199254740992", "0.30000000000000004", "0.1", "1.0000000"]),
    st.sampled_from(
        ["9007199254740993e-1", "4503599627370497.5", "4503599627370496.5", "18014398509481990", "1e22", "123e-20", "0.000000"]
    ),
)


@QUICK
@given(st.lists(st.tuples(plain_numbers, st.booleans()), min_size=1, max_size=20))
def test_numbers_are_the_nearest_doubles(drawn: list[tuple[str, bool]]) -> None:
    texts = [f"-{text}" if negative else text for text, negative in drawn]
    found = read("".join(f"{text},{text}\n" for text in texts).encode(), Kind.NUMBER, Kind.NUMBER)
    assert found is not None, texts
    for column in found:
        assert [bits(number) for number in column] == [bits(float(text)) for text in texts], texts


ODD = [
    "+1",
    " 1",
    "1 ",
    "1\t",
    "0x1",
    "1.",
    ".5",
    "-.5",
    "1e",
    "1e+",
    "1e-",
    "e5",
    "-",
    "--1",
    "1-",
    "1.2.3",
    "1..2",
    "1e5e5",
    "1e1.5",
    "nan",
    "-nan",
]
ODD += [
    "inf",
    "Infinity",
    "007",
    "00.5",
    "-01",
    "1_000",
    "1'000",
    "1d5",
    "１",
    "1\0",
    "\0",
    "-\0",
    "1e400",
    "1e23",
    "9e-70",
    "18446744073709551616",
]
ODD += ["999999999999999999999", "0.1234567890123456789012345", "1234567.8x", "1.5x", "1:5", "12345678/", "\ufeff1"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("place", range(3))
def test_odd_numbers_are_left(text: str, place: int) -> None:
    cells = ["1.5"] * 3
    cells[place] = text
    assert read((",".join(cells) + "\n").encode() * 3, *[Kind.NUMBER] * 3) is None


# Times


@QUICK
@given(
    st.lists(
        st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(10**15, 10**16 - 1), st.integers(-99, 10**9)), min_size=1, max_size=20
    )
)
def test_times_are_integers(drawn: list[int]) -> None:
    assert read("".join(f"{time},{time}\n" for time in drawn).encode(), Kind.TIME, Kind.TIME) == [drawn, drawn]


ODD_TIMES = ["+1", " 1", "1 ", "1.0", "1e5", "0x1f", "0X1", "-", "--1", "007", "0000000000000000", "1\0", "x", "１"]
ODD_TIMES += ["9223372036854775808", "18446744073709551617", "1714521600000000x", "171452160000000/", "171452160000000:"]


@pytest.mark.parametrize("text", ODD_TIMES)
def test_odd_times_are_left(text: str) -> None:
    assert read(f"1,{text}\n".encode(), Kind.TIME, Kind.TIME) is None
    assert read(f"{text},1\n".encode(), Kind.TIME, Kind.TIME) is None


# Lines


words = st.text(st.characters(codec="utf-8", exclude_characters='\r\n",', exclude_categories=["Cs"]), max_size=40)
rows = st.tuples(
    st.one_of(st.just(""), st.integers(0, 10**17).map(str)),
    st.one_of(st.just(""), plain_numbers),
    words,
    words,
    st.sampled_from(["", "true", "false"]),
    st.one_of(st.just(""), plain_numbers),
    words,
)


def expected_of(table: list[tuple[str, ...]]) -> list[list[Any]]:
    """The wanted columns, by Python."""
    as_value = {
        Kind.TIME: int,
        Kind.NUMBER: float,
        Kind.FLAG: "true".__eq__,
    }
    columns = zip(*table, strict=True)
    return [
        [as_value.get(kind, str)(cell) if cell else None for cell in column]
        for kind, column in zip(ALL_KINDS, columns, strict=True)
        if kind
    ]


@QUICK
@given(st.lists(rows, min_size=1, max_size=30), st.sampled_from(["", "binance,BTCUSDT,", "ü,"]))
def test_rows_are_read_cell_by_cell(table: list[tuple[str, ...]], prefix: str) -> None:
    block = "".join(f"{prefix}{','.join(row)}\n" for row in table).encode()
    assert read(block, *ALL_KINDS, prefix=prefix.encode()) == expected_of(table)


@QUICK
@given(st.lists(rows, min_size=1, max_size=5), st.data())
def test_what_is_damaged_is_left_or_read_as_it_stands(table: list[tuple[str, ...]], data: st.DataObject) -> None:
    block = bytearray("".join(f"{','.join(row)}\n" for row in table).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(block) - 1))
        block[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b",", b"\n", b"\n\n", b"0", b".", b"-", b"e", b"x", b" "])
        )
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return
    found = read(bytes(block), *ALL_KINDS)
    if found is not None:
        lines = text.split("\n")
        assert lines.pop() == ""
        assert found == expected_of([tuple(line.split(",")) for line in lines])


@pytest.mark.parametrize(
    "block", ["", "1,a", "1,a\n2,b", "\n", "1\n", "1,a\n\n", "\n1,a\n", "1,a,\n", "1,a\n2\n", "1,a\n2,b,c\n", "1,a\n,\n,,\n"]
)
def test_lines_that_are_no_rows_are_left(block: str) -> None:
    assert read(block.encode(), Kind.TIME, Kind.TEXT) is None


@pytest.mark.parametrize("line", ["kraken,A,1\n", "binance,\n", "binance\n", "\n", "binance,B,1\n"])
def test_a_line_that_begins_otherwise_is_told(line: str) -> None:
    with pytest.raises(OtherPrefix):
        read(b"binance,A,1\n" + line.encode(), Kind.TIME, prefix=b"binance,A,")


def test_only_the_prefix_is_no_row() -> None:
    assert read(b"binance,A,\n", Kind.TIME, prefix=b"binance,A,") == [[None]]
    assert read(b"binance,A,", Kind.TIME, prefix=b"binance,A,") is None


def test_a_reader_may_be_used_again_for_less_and_for_more() -> None:
    reader = PlainCells([Kind.TEXT, Kind.CATEGORY])
    kept = [reader.read(b"ab,c\n" * count) for count in (3, 100, 1, 5_000)]
    assert [[array.to_pylist() for array in arrays or []] for arrays in kept] == [
        [["ab"] * count, ["c"] * count] for count in (3, 100, 1, 5_000)
    ]


# Memory

GUARDED = """
import ctypes, mmap, sys
from engine.conversion.plain_cells import _Column, _load
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.PAGESIZE

def at_the_end(size):
    "Memory of that size with a page behind it that nobody may touch."
    area = mmap.mmap(-1, (size // page + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    last = start + len(area) - page
    assert libc.mprotect(ctypes.c_void_p(last), page, 0) == 0, ctypes.get_errno()
    return area, last - size

library = _load()
library.plain_cells_lines.argtypes[0] = library.plain_cells_read.argtypes[0] = ctypes.c_void_p
raw = ctypes.CDLL(library._name)
line = b"1714521600123456,12345.678901234567,-0.5,true,binance-futures,1e-7\\n7,0.1,,false,,\\n"
count = 0
for kinds in ((1, 2, 2, 4, 3, 2), (0, 0, 0, 0, 3, 0), (3, 3, 3, 3, 3, 3), (2, 2, 2, 0, 0, 2)):
    for size in range(1, 2 * len(line) + 1):
        for ending in (b"", b"\\n", b",\\n", b"1\\n"):
            block = (line * 2)[:size] + ending
            keep = [at_the_end(len(block))]
            where = keep[0][1]
            ctypes.memmove(where, block, len(block))
            raw.plain_cells_lines.restype = raw.plain_cells_read.restype = ctypes.c_int64
            rows = raw.plain_cells_lines(ctypes.c_void_p(where), ctypes.c_int64(len(block)))
            assert rows == block.count(b"\\n"), (rows, block)
            columns = (_Column * len(kinds))()
            for column, kind in zip(columns, kinds):
                column.kind = kind
                wide = {0: 0, 1: 8 * rows, 2: 8 * rows, 3: 4 * (rows + 1), 4: (rows + 7) // 8}[kind]
                for name, room in (("values", wide), ("validity", (rows + 7) // 8), ("text", len(block) + 16)):
                    keep.append(at_the_end(room))
                    setattr(column, name, keep[-1][1])
            done = raw.plain_cells_read(
                ctypes.c_void_p(where), ctypes.c_int64(len(block)),
                b"", ctypes.c_int64(0), columns, ctypes.c_int64(len(kinds)), ctypes.c_int64(rows),
            )
            count += done == rows
print(count)
"""


def test_it_touches_nothing_outside_what_it_is_given() -> None:
    """Every block ends where a page begins that nobody may touch, and so does everything that is written."""
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert int(done.stdout) >= 8


# Whole files


def test_genuine_rows_are_plain() -> None:
    for path, data_type in genuine_heads():
        require_plain(path, data_type)


def require_plain(path: Path, data_type: str) -> None:
    header, *lines = path.read_bytes().splitlines(keepends=True)
    names = read_header(header)
    columns = {column.source: column for column in DATA_TYPES[data_type].columns}
    kinds = [columns[name].kind if name in columns else None for name in names]
    found = read(b"".join(lines), *kinds)
    assert found is not None, path
    for name, column in zip([name for name in names if name in columns], found, strict=True):
        texts = [row[names.index(name)] for row in csv.reader(line.decode() for line in lines)]
        value = {Kind.TIME: int, Kind.NUMBER: float}.get(columns[name].kind, str)
        if columns[name].kind is not Kind.FLAG:
            assert column == [value(text) if text else None for text in texts], (path, name)


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TICKDECK_PLAIN_CELLS", "0")
    plain_cells._load.cache_clear()
    yield
    plain_cells._load.cache_clear()


def test_without_it_everything_is_arrows(without_library: None) -> None:
    assert not is_built()
    block = trades_csv(50).partition(b"\n")[2]
    assert read(block, *[Kind.TEXT] * 8) is None
    assert len(BlockParser(DATA_TYPES["trades"], HEADERS["trades"].split(",")).parse(block, 2)[0]) == 50


CONVERTED = """
import hashlib, sys
from pathlib import Path
from engine.conversion.convert import convert
from engine.conversion.plain_cells import is_built
from engine.datatypes import DATA_TYPES
done = convert(Path(sys.argv[2]), None, data_type=DATA_TYPES[sys.argv[1]], file=None)
print(is_built(), done.outcome, hashlib.sha256(done.parquet or b"").hexdigest())
"""


@pytest.mark.parametrize("name", ["trades", "book_snapshot_5", "derivative_ticker", "options_chain"])
def test_the_same_bytes_with_and_without_it(name: str, tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    write_input(name, 20_000, source, level=1)
    said = [
        subprocess.run(
            [sys.executable, "-c", CONVERTED, name, str(source)],
            env=os.environ | {"TICKDECK_PLAIN_CELLS": wanted},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for wanted in ("1", "0")
    ]
    assert [built for built, _, _ in said] == ["True", "False"]
    assert said[0][1:] == said[1][1:]
    assert said[0][1] == "ok"
    assert said[0][2] != sha256(b"")


# How it is built


def build_with(folder: Path, source: str, **environment: str) -> tuple[bool, str]:
    """Build `source` as the package does, into `folder`; whether it worked, and what was said."""
    (folder / "cells.c").write_text(source)
    code = "import sys; from pathlib import Path; import hatch_build; print(hatch_build.build(*map(Path, sys.argv[1:])))"
    command = [sys.executable, "-c", code, str(folder / "cells.c"), str(folder / "cells.so")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True", done.stderr


SOURCE = (ROOT / "engine/conversion/plain_cells.c").read_text()


def test_a_library_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"plain_cells_version = {plain_cells.VERSION};"
    assert said in SOURCE, "both sides say the same"
    assert build_with(tmp_path, SOURCE.replace(said, f"plain_cells_version = {plain_cells.VERSION + 1};")) == (True, "")
    monkeypatch.setattr(plain_cells, "LIBRARY", tmp_path / "cells.so")
    plain_cells._load.cache_clear()
    try:
        assert not is_built()
    finally:
        monkeypatch.undo()
        plain_cells._load.cache_clear()
    assert is_built()


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    assert build_with(tmp_path, SOURCE, CFLAGS="-Wall -Wextra -Wpedantic -Wno-pedantic -Werror") == (True, "")


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"PATH": "", "CC": ""}, "no C compiler"), ({"CC": "false"}, "false -std=c11"), ({"CC": "/no/cc -m64"}, "/no/cc")],
)
def test_without_a_compiler_there_is_a_word_and_no_library(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    built, told = build_with(tmp_path, SOURCE, **environment)
    assert not built
    assert said in told
    assert "half as long again" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.c"]


def test_code_that_does_not_compile_leaves_no_library(tmp_path: Path) -> None:
    (tmp_path / "cells.so").write_bytes(b"from another machine")
    built, told = build_with(tmp_path, "int main(")
    assert not built
    assert "error" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.c"]
