"""Scaled integers to CSV text: compared with Python's own decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.local.tardis.text import Column, Decimals, Labels, Table, Texts, constant, joined, rows_text

NUMBERS = st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=30)


def _cells(column: Column, rows: int) -> list[str]:
    return rows_text(Table(rows, {"x": column})).decode().split("\n")[:-1]


@given(values=NUMBERS, decimals=st.integers(0, 10))
def test_every_number_reads_back_as_itself(values: list[int], decimals: int) -> None:
    cells = _cells(Decimals(np.array(values, np.int64), decimals), len(values))
    assert [Decimal(cell) for cell in cells] == [Decimal(value).scaleb(-decimals) for value in values]


@given(values=NUMBERS, decimals=st.integers(0, 6))
def test_a_number_is_written_as_the_shortest_decimal(values: list[int], decimals: int) -> None:
    cells = _cells(Decimals(np.array(values, np.int64), decimals), len(values))
    expected = [f"{Decimal(value).scaleb(-decimals):.{decimals}f}" for value in values]
    assert cells == [text.rstrip("0").rstrip(".") if "." in text else text for text in expected]


@given(values=NUMBERS, decimals=st.integers(1, 10))
def test_a_fixed_number_keeps_its_zeros(values: list[int], decimals: int) -> None:
    cells = _cells(Decimals(np.array(values, np.int64), decimals, fixed=True), len(values))
    assert [cell.lstrip("-") for cell in cells] == [f"{abs(Decimal(value).scaleb(-decimals)):.{decimals}f}" for value in values]


def test_numbers_below_a_millionth_have_an_exponent_as_javascript_writes_them() -> None:
    assert _cells(Decimals(np.array([1, 12, 99, 100, -15, 0, 1_000_000_01]), 8), 7) == [
        "1e-8",
        "1.2e-7",
        "9.9e-7",
        "0.000001",
        "-1.5e-7",
        "0",
        "1.00000001",
    ]


def test_empty_cells_stay_empty_and_other_columns_do_not_move() -> None:
    table = Table(
        2,
        {
            "a": constant("v", 2),
            "b": Decimals(np.array([5, 7]), 1, empty=np.array([True, False])),
            "c": Labels(np.array([1, 0]), ("buy", "sell")),
            "d": Texts(np.array([b"xy", b""])),
        },
    )
    assert rows_text(table) == b"v,,sell,xy\nv,0.7,buy,\n"


def test_joined_tables_keep_each_number_whatever_its_decimals() -> None:
    coarse = Table(1, {"symbol": constant("A", 1), "price": Decimals(np.array([25]), 1)})
    fine = Table(1, {"symbol": constant("B", 1), "price": Decimals(np.array([810]), 8)})
    assert rows_text(joined([coarse, fine])) == b"A,2.5\nB,0.0000081\n"


def test_columns_of_different_kinds_are_not_joined() -> None:
    with pytest.raises(TypeError, match="cannot be joined"):
        joined([Table(1, {"id": constant("", 1)}), Table(1, {"id": Decimals(np.array([1]))})])
