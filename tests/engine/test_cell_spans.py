"""Sets of cells: the fewest stretches that hold them, and reading them back from whatever a person kept them in."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cell_spans import CellSpan, cells_of, format_spans, parse_spans, read_cells, spans_of
from engine.errors import UsageError
from engine.model import Cell
from engine.plan import Request, for_cells

FIRST = date(2024, 2, 27)


def cell(day: int, data_type: str = "trades", venue: str = "binance") -> Cell:
    return Cell(FIRST + timedelta(days=day), data_type, venue)


CELLS = st.frozensets(
    st.builds(cell, st.integers(0, 12), st.sampled_from(["trades", "book_snapshot_5"]), st.sampled_from(["binance", "okex-swap"])),
    min_size=1,
)


@given(CELLS)
def test_stretches_hold_exactly_the_cells_and_survive_a_command_line_and_a_file(cells: frozenset[Cell]) -> None:
    spans = spans_of(cells)
    assert cells_of(spans) == cells
    assert parse_spans(format_spans(spans)) == spans
    assert read_cells("\n".join(map(str, spans)), name="holes") == spans
    assert read_cells("\n".join(f"{each}  missing  0 of 6" for each in sorted(cells)), name="holes") == spans


@given(CELLS)
def test_no_two_stretches_could_be_one(cells: frozenset[Cell]) -> None:
    spans = spans_of(cells)
    for one, other in pairwise(spans):
        assert (one.venue, one.data_type) != (other.venue, other.data_type) or other.start - one.end > timedelta(days=1)


@given(CELLS)
def test_a_request_for_cells_asks_for_them_within_the_smallest_product(cells: frozenset[Cell]) -> None:
    base = Request(venues=("okex-swap", "binance"), data_types=("trades",), start=FIRST, end=FIRST)
    asked = for_cells(base, cells)
    assert (asked.start, asked.end) == (min(each.day for each in cells), max(each.day for each in cells))
    assert (set(asked.venues), set(asked.data_types)) == ({each.venue for each in cells}, {each.data_type for each in cells})
    assert asked.venues == tuple(venue for venue in ("okex-swap", "binance") if venue in asked.venues)
    assert cells_of(asked.cells) in (cells, frozenset())
    if not asked.cells:
        assert len(cells) == ((asked.end - asked.start).days + 1) * len(asked.venues) * len(asked.data_types)


def test_a_table_and_json_name_cells_too() -> None:
    spans = (CellSpan("binance", "trades", FIRST, FIRST),)
    item = {"venue": "binance", "data_type": "trades", "day": FIRST.isoformat(), "state": "missing"}
    assert read_cells("day,state,venue,data_type\n2024-02-27,missing,binance,trades\n", name="holes.csv") == spans
    assert read_cells(json.dumps({"holes": [item]}), name="holes.json") == spans
    assert read_cells(json.dumps([item, item]), name="holes.json") == spans
    assert read_cells("# kept by hand\n\nbinance trades 2024-02-27\n", name="-") == spans


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no cell"),
        ("# nothing\n", "names no cell"),
        ("binance trades", "line 1"),
        ("binance trades 2024-02-27\nbinance/trades/2024-02-30", "line 2"),
        ("binance trades 2024-02-28..2024-02-27", "reversed"),
        ("Binance trades 2024-02-27", "did you mean binance"),
        ('{"counts": {}}', "no list of cells"),
        ('[{"venue": "binance"}]', "item 1"),
        ("[", "no JSON"),
    ],
)
def test_what_names_no_cell_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_cells(text, name="holes.txt")
    assert problem in f"{caught.value} {caught.value.hint}"
