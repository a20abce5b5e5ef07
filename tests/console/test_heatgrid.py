"""The grid behind the heatmap: worst wins, holes in order, marks, weeks and the ruler."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.widgets.heat_axis import ZOOMS
from console.widgets.heat_looks import ADOPTED, CODES, COMMITTED, GLYPHS, HOLES, LOOKS, QUEUED, STATES, VERIFIED, code_of, share_of
from console.widgets.heatgrid import MARKED, HeatGrid, Line
from engine.coverage import CellReport, LiveShard, Sureness
from engine.model import Cell, CellState

YEARS, MONTHS, WEEKS, DAYS, WIDE, NAMED = ZOOMS
FIRST = date(2023, 12, 28)


def grid_of(*rows: str, first: date = FIRST) -> HeatGrid:
    """Rows spelled with the first letters of their states: c complete, m missing, p partial, f failed, t thin, - not expected."""
    letters = {"c": CellState.COMPLETE, "m": CellState.MISSING, "p": CellState.PARTIAL, "f": CellState.FAILED}
    letters |= {"t": CellState.THIN, "-": CellState.NOT_EXPECTED, "r": CellState.RUNNING, "n": CellState.NOT_READY}
    days = [first + timedelta(days=place) for place in range(len(rows[0]))]
    return HeatGrid([f"row {number}" for number in range(len(rows))], days, [[letters[each] for each in row] for row in rows])


def test_every_state_has_a_glyph_of_its_own() -> None:
    assert set(GLYPHS) == set(CellState)
    assert len({look.glyph for look in LOOKS}) == len(LOOKS) <= MARKED
    assert all(len(look.glyph) == 1 for look in LOOKS)
    assert all(STATES[code] is state for state, code in CODES.items())


def test_states_are_ordered_best_first() -> None:
    assert max(CODES[CellState.COMPLETE], CODES[CellState.THIN]) == CODES[CellState.THIN]
    assert STATES[max(CODES.values())] is CellState.FAILED
    order = list(CellState)
    assert [order.index(state) for state in STATES] == sorted(order.index(state) for state in STATES)


@pytest.mark.parametrize(
    ("rows", "days", "states"),
    [
        (["a", "a"], [FIRST], [b"\x01", b"\x01"]),
        (["a"], [FIRST, FIRST + timedelta(days=2)], [b"\x01\x01"]),
        (["a"], [FIRST], [b"\x01\x01"]),
        (["a", "b"], [FIRST], [b"\x01"]),
    ],
)
def test_a_grid_that_does_not_fit_together_is_refused(rows: list[str], days: list[date], states: list[bytes]) -> None:
    with pytest.raises(ValueError, match="heatmap"):
        HeatGrid(rows, days, states)


def test_the_next_hole_goes_along_the_row_then_down_then_around() -> None:
    grid = grid_of("ccmc", "cccc", "pccf")
    path = []
    at = (0, 0)
    for _ in range(4):
        found = grid.next_hole(*at, 1)
        assert found is not None
        at = found
        path.append(at)
    assert path == [(0, 2), (2, 0), (2, 3), (0, 2)]
    assert grid.next_hole(0, 2, -1) == (2, 3)
    assert grid.next_hole(2, 3, -1) == (2, 0)


def test_rows_that_are_not_counted_come_when_no_other_has_a_hole() -> None:
    counted, other = ["cccm", "mccc"], "mmmm"
    plain = grid_of(counted[0], other, counted[1])
    grid = HeatGrid(plain.rows, plain.days, plain.codes, uncounted=["row 1", "a row that the filter hides"])
    assert [grid.next_hole(0, 0, 1), grid.next_hole(0, 3, 1), grid.next_hole(1, 1, 1), grid.next_hole(2, 0, -1)] == [
        (0, 3),
        (2, 0),
        (2, 0),
        (0, 3),
    ]
    only = grid_of("cccc", other)
    only = HeatGrid(only.rows, only.days, only.codes, uncounted=["row 1"])
    assert only.next_hole(0, 0, 1) == (1, 0)


def test_thin_running_and_not_expected_are_no_holes() -> None:
    grid = grid_of("ctrn-")
    assert grid.next_hole(0, 0, 1) is None
    assert grid.count_holes() == 0


def test_a_single_hole_is_found_from_itself_again() -> None:
    grid = grid_of("cmc")
    assert grid.next_hole(0, 1, 1) == (0, 1)
    assert grid.next_hole(0, 1, -1) == (0, 1)


def test_weeks_begin_on_monday_and_the_worst_day_wins() -> None:
    # 2023-12-28 is a Thursday: four days, then whole weeks.
    grid = grid_of("cccc" + "cctcccm" + "ccc")
    assert grid.axis.columns(WEEKS) == 3
    assert [list(grid.axis.span(column, WEEKS)) for column in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10], [11, 12, 13]]
    assert [STATES[code] for code in grid.painted(0, 0, 3, WEEKS)] == [CellState.COMPLETE, CellState.MISSING, CellState.COMPLETE]
    assert [grid.share(0, column, WEEKS) for column in range(3)] == [100, 71, 100]
    assert grid.worst_day(0, 1, WEEKS) == 10


@given(st.lists(st.lists(st.sampled_from(CellState), min_size=23, max_size=23), min_size=1, max_size=4), st.integers(0, 6))
def test_a_week_is_as_bad_as_its_worst_day(rows: list[list[CellState]], shift: int) -> None:
    days = [FIRST + timedelta(days=shift + place) for place in range(23)]
    grid = HeatGrid([str(number) for number in range(len(rows))], days, rows)
    for number, row in enumerate(rows):
        painted = grid.painted(number, 0, grid.axis.columns(WEEKS), WEEKS)
        assert [STATES[code] for code in painted] == [
            max((row[place] for place in grid.axis.span(column, WEEKS)), key=list(CellState).index)
            for column in range(grid.axis.columns(WEEKS))
        ]
    assert grid.count_holes() == sum(state in HOLES for row in rows for state in row)
    assert sorted(place for column in range(grid.axis.columns(WEEKS)) for place in grid.axis.span(column, WEEKS)) == list(range(23))


def test_marks_are_days_and_survive_a_larger_grid() -> None:
    grid = grid_of("cmc-", "fc--")
    grid.mark_holes()
    assert grid.marked() == {("row 0", date(2023, 12, 29)), ("row 1", FIRST)}
    larger = grid_of("ccmc-", "cfc--", first=FIRST - timedelta(days=1))
    larger.adopt_marks(grid.marked())
    assert larger.marked() == grid.marked()
    grid.clear_marks()
    assert grid.marked() == frozenset()


def test_a_rectangle_marks_only_where_something_is_expected() -> None:
    grid = grid_of("c-m", "---")
    grid.mark_rectangle(range(2), range(3))
    assert grid.marked() == {("row 0", FIRST), ("row 0", date(2023, 12, 30))}


def test_the_ruler_names_months_and_the_days_that_have_room() -> None:
    grid = grid_of("c" * 60)
    months, days = grid.axis.ruler(0, 60, DAYS)
    assert months.startswith("Dec Jan 2024")
    assert months[4 + 31 :].startswith("Feb 2024")
    assert days.startswith("    1      8      15     22")
    assert len(months) == len(days) == 60


def test_the_ruler_of_wide_days_counts_every_second_day() -> None:
    grid = grid_of("c" * 10)
    _, days = grid.axis.ruler(0, 10, WIDE)
    assert days.split() == ["29", "1", "3", "5"]


def test_the_ruler_of_weeks_has_months_over_years() -> None:
    grid = grid_of("c" * 400)
    months, years = grid.axis.ruler(0, grid.axis.columns(WEEKS), WEEKS)
    assert months.split()[:3] == ["Jan", "Feb", "Mar"]
    assert years.split() == ["2024", "2025"]


@given(st.integers(1, 200), st.integers(0, 400))
def test_the_ruler_is_exactly_as_wide_as_its_columns(days: int, shift: int) -> None:
    grid = grid_of("c" * days, first=FIRST + timedelta(days=shift))
    for each in ZOOMS:
        stop = grid.axis.columns(each)
        start = stop // 3
        assert {len(line) for line in grid.axis.ruler(start, stop, each)} == {(stop - start) * each.cells}


def test_months_and_years_begin_where_the_calendar_says() -> None:
    grid = grid_of("c" * 40 + "m")
    assert [list(grid.axis.span(column, MONTHS)) for column in range(3)] == [[0, 1, 2, 3], list(range(4, 35)), list(range(35, 41))]
    assert [len(grid.axis.span(column, YEARS)) for column in range(grid.axis.columns(YEARS))] == [4, 37]
    assert [grid.share(0, column, YEARS) for column in range(2)] == [100, 97]
    assert [grid.axis.title(place, zoom) for place, zoom in ((0, YEARS), (4, MONTHS), (4, WEEKS))] == [
        "2023",
        "Jan 2024",
        "week 2024-01-01",
    ]


def report(state: CellState, **known: object) -> CellReport:
    return CellReport(Cell(FIRST, "trades", "binance"), state, **known)  # type: ignore[arg-type]


def test_a_look_says_how_sure_a_complete_cell_is_and_whether_running_work_has_begun() -> None:
    looks = {
        code_of(report(CellState.COMPLETE, sureness=Sureness.VERIFIED)): VERIFIED,
        code_of(report(CellState.COMPLETE, sureness=Sureness.COMMITTED)): COMMITTED,
        code_of(report(CellState.COMPLETE, sureness=Sureness.ADOPTED)): ADOPTED,
        code_of(report(CellState.RUNNING, live=(LiveShard("r1", 0, queued=True),))): QUEUED,
        code_of(report(CellState.RUNNING, live=(LiveShard("r1", 0, queued=True), LiveShard("r2", 0)))): CODES[CellState.RUNNING],
    }
    assert all(found == wanted for found, wanted in looks.items())
    assert len(looks) == 5


def test_a_partial_cell_is_as_high_as_the_share_that_is_there() -> None:
    glyphs = [LOOKS[code_of(report(CellState.PARTIAL, expected=100, done=done))].glyph for done in (0, 19, 20, 45, 70, 99)]
    assert glyphs == ["▁", "▁", "▂", "▃", "▄", "▅"]


@given(st.lists(st.sampled_from(CellState), max_size=40))
def test_the_share_counts_what_should_be_complete_by_now_and_is_never_rounded_up(states: list[CellState]) -> None:
    due = [state for state in states if state not in (CellState.NOT_EXPECTED, CellState.NOT_READY)]
    found = share_of(bytes(CODES[state] for state in states))
    assert found == (100 * due.count(CellState.COMPLETE) // len(due) if due else None)
    assert (found == 100) == bool(due and set(due) == {CellState.COMPLETE})


def grouped() -> HeatGrid:
    plain = grid_of("ccmc", "cccc", "pccf")
    lines = [
        Line("group a", "a (2)", (0, 1), is_group=True),
        Line("group b", "b (1)", (2,), is_group=True, is_open=True),
        Line("row 2", "2", (2,)),
    ]
    return HeatGrid(plain.rows, plain.days, plain.codes, lines)


def test_a_group_shows_the_worst_of_its_rows_and_marks_their_holes() -> None:
    grid = grouped()
    assert [grid.state(0, place) for place in range(4)] == [CellState.COMPLETE] * 2 + [CellState.MISSING, CellState.COMPLETE]
    grid.mark_rectangle(range(1), range(4))
    assert grid.marked() == {("row 0", FIRST + timedelta(days=2))}
    assert grid.painted(0, 2, 3, DAYS) == bytes([CODES[CellState.MISSING] | MARKED])
    assert grid.unmark(0, range(4))
    assert grid.marked() == frozenset()
    assert grid.rows[grid.worst_row(0, 2)] == "row 0"


def test_the_next_hole_passes_over_a_group_whose_rows_are_shown() -> None:
    grid = grouped()
    assert grid.next_hole(0, 2, 1) == (2, 0)
    assert grid.next_hole(2, 3, 1) == (0, 2)


def test_adopted_days_are_a_look_of_complete_and_never_hide_anything_worse() -> None:
    days = [date(2024, 1, 1) + timedelta(days=place) for place in range(14)]
    codes = bytearray([COMMITTED] * 13 + [CODES[CellState.MISSING]])
    codes[2] = codes[8] = ADOPTED
    grid = HeatGrid(["row"], days, [codes])
    grid.mark_rectangle(range(1), range(2, 3))
    assert list(grid.painted(0, 1, 4, DAYS)) == [COMMITTED, ADOPTED | MARKED, COMMITTED]
    assert list(grid.painted(0, 0, 2, WEEKS)) == [ADOPTED | MARKED, CODES[CellState.MISSING]]
    assert grid.state(0, 2) is CellState.COMPLETE
    assert grid.count_holes() == 1
