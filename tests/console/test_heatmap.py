"""The heatmap under keys, mouse and updates, as the terminal shows it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from console.widgets.heat_looks import CODES
from console.widgets.heatmap import Heatmap
from engine.model import CellState
from tests.console.fleet_session import until
from tests.console.gallery import LAKE_ROWS, Gallery, lake_days, lake_states

LAST = date(2024, 5, 23)


def lines_of(widget: Heatmap) -> list[str]:
    """What the widget paints, line by line."""
    return [widget.render_line(y).text for y in range(widget.size.height)]


def small() -> Heatmap:
    widget = Heatmap()
    days = lake_days(10)
    rows = ["binance trades", "okex trades", "deribit options_chain"]
    complete = [CellState.COMPLETE] * 10
    with_holes = [*complete[:3], CellState.MISSING, CellState.PARTIAL, *complete[:3], CellState.RUNNING, CellState.NOT_READY]
    widget.set_grid(rows, days, [complete, with_holes, [CellState.NOT_EXPECTED] * 10])
    return widget


async def test_every_state_reads_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    widget = Heatmap()
    widget.set_grid(["binance trades"], lake_days(9), [[*CellState, CellState.COMPLETE]])
    app = Gallery(widget)
    async with app.run_test(size=(60, 12)) as pilot:
        assert app.no_color
        await pilot.pause()
        row = lines_of(widget)[2]
        assert row[15:23] == "·▇…►≈□▃×"


async def test_it_opens_at_the_last_day_with_labels_and_ruler_in_place() -> None:
    widget = Heatmap()
    widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert widget.cursor == ("binance trades", LAST, CellState.NOT_READY)
        shown = lines_of(widget)
        assert shown[0].startswith("2024-05-23")
        assert "May 2024" in shown[0]
        assert "▼" in shown[1]
        assert shown[2].startswith("binance trades")
        assert {len(line) for line in shown} == {widget.size.width - widget.scrollbar_size_vertical}


async def test_its_cursor_shows_though_the_look_for_it_came_before_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Heatmap()
    app = Gallery(widget)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        with monkeypatch.context() as busy:
            busy.setattr(widget, "call_after_refresh", lambda call, *arguments, **options: call(*arguments, **options))
            widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
        assert not widget.show_horizontal_scrollbar
        await until(pilot, lambda: "▼" in lines_of(widget)[1])


async def test_arrows_move_and_the_view_follows() -> None:
    widget = Heatmap()
    widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("home")
        assert widget.cursor is not None
        assert widget.cursor[1] == lake_days()[0]
        assert widget.scroll_offset.x == 0
        await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
        assert widget.cursor[0] == "okex-swap options_chain"
        assert any(line.startswith("okex-swap options_chain") for line in lines_of(widget))
        await pilot.press("end", "pageup", "pageup", "pageup")
        assert widget.cursor[0] == "binance trades"
        await pilot.press("<")
        assert widget.cursor[1] == date(2024, 5, 1)
        await pilot.press("<", "<")
        assert widget.cursor[1] == date(2024, 3, 1)
        await pilot.press(">")
        assert widget.cursor[1] == date(2024, 4, 1)


async def test_n_goes_from_hole_to_hole_and_says_where_it_is() -> None:
    widget = small()
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        await pilot.press("n")
        await pilot.press("n")
        moved = app.of(Heatmap.CursorMoved)
        assert [(each.row, each.day, each.state) for each in moved[-3:]] == [
            ("okex trades", LAST - timedelta(days=6), CellState.MISSING),
            ("okex trades", LAST - timedelta(days=5), CellState.PARTIAL),
            ("okex trades", LAST - timedelta(days=6), CellState.MISSING),
        ]
        await pilot.press("enter")
        assert app.of(Heatmap.CellSelected)[0].state is CellState.MISSING


async def test_space_marks_a_cell_and_again_unmarks_it() -> None:
    widget = small()
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space")
        assert widget.marks == {("binance trades", LAST)}
        assert "◆" in lines_of(widget)[2]
        await pilot.press("space")
        assert widget.marks == frozenset()
        assert [each.marks for each in app.of(Heatmap.MarksChanged)] == [frozenset({("binance trades", LAST)}), frozenset()]


async def test_what_is_not_expected_cannot_be_marked() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "down", "space")
        assert widget.marks == frozenset()


@pytest.mark.parametrize("keys", [["shift+left", "shift+left", "shift+down"], ["v", "left", "left", "down", "v"]])
async def test_a_rectangle_is_marked_with_shift_or_with_v(keys: list[str]) -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        days = [LAST - timedelta(days=back) for back in range(3)]
        assert widget.marks == {(row, day) for row in ("binance trades", "okex trades") for day in days}
        await pilot.press("right", "right")
        assert len(widget.marks) == 6


async def test_a_rectangle_shrinks_again_and_keeps_earlier_marks() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("space", "left", "left", "shift+left", "shift+left", "shift+right")
        assert widget.marks == {("binance trades", LAST - timedelta(days=back)) for back in (0, 2, 3)}


async def test_m_marks_all_holes_and_again_unmarks_everything() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        assert widget.marks == {("okex trades", LAST - timedelta(days=6)), ("okex trades", LAST - timedelta(days=5))}
        await pilot.press("m")
        assert widget.marks == frozenset()


async def test_one_changed_cell_repaints_one_row_and_the_ruler() -> None:
    widget = Heatmap()
    widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        asked = []
        refresh = widget.refresh

        def watch(*regions: object, **options: bool) -> object:
            asked.append(regions)
            return refresh(*regions, **options)  # type: ignore[arg-type]

        widget.refresh = watch  # type: ignore[assignment,method-assign]
        changed = [bytearray(states) for states in lake_states()]
        changed[3][-9] = CODES[CellState.THIN]
        widget.set_grid(LAKE_ROWS, lake_days(), changed)
        assert [(region.y, region.height) for regions in asked for region in regions] == [(5, 1), (0, 2)]  # type: ignore[attr-defined]
        await pilot.pause()
        assert "≈" in lines_of(widget)[5][-12:]


async def test_a_change_under_the_cursor_is_told() -> None:
    widget = small()
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.seen.clear()
        complete = [CellState.COMPLETE] * 9
        rows = ["binance trades", "okex trades", "deribit options_chain"]
        widget.set_grid(rows, lake_days(10), [[*complete, CellState.FAILED]] * 3)
        await pilot.pause()
        assert [each.state for each in app.of(Heatmap.CursorMoved)] == [CellState.FAILED]
        assert lines_of(widget)[1].startswith("× failed")


async def test_a_new_day_keeps_cursor_and_marks_on_their_cells() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "left", "left", "space")
        days = lake_days(11, LAST + timedelta(days=1))
        rows = ["new row", "okex trades"]
        widget.set_grid(rows, days, [bytes([CODES[CellState.COMPLETE]] * 11)] * 2)
        await pilot.pause()
        assert widget.cursor == ("okex trades", LAST - timedelta(days=2), CellState.COMPLETE)
        assert widget.marks == {("okex trades", LAST - timedelta(days=2))}


async def test_zoom_goes_from_years_to_wide_days() -> None:
    widget = Heatmap()
    widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
    async with Gallery(widget).run_test(size=(160, 24)) as pilot:
        await pilot.press("+")
        await pilot.pause()
        assert widget.zoom == "wide days"
        assert widget.virtual_size.width > 519 * 2
        assert "▇▇" in lines_of(widget)[2]
        await pilot.press("-", "-")
        await pilot.pause()
        assert widget.zoom == "weeks"
        assert widget.virtual_size.width < 210
        await pilot.press("home")
        await pilot.pause()
        assert "2023" in lines_of(widget)[1]
        await pilot.press("end")
        await pilot.press("-")
        assert widget.zoom == "months"
        assert any(part.endswith("96") for part in lines_of(widget)[4].split())
        await pilot.press("-", "-")
        assert widget.zoom == "years"
        assert "%" in lines_of(widget)[2]
        assert lines_of(widget)[0].startswith("2024")
        assert widget.zoom_nearer()
        await pilot.press("+")
        await pilot.press("left")
        assert widget.cursor is not None
        assert widget.cursor[1] <= LAST - timedelta(days=4)


async def test_the_pointer_replaces_a_label_it_would_cut_in_two() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("left")
        # 2024-05-22: the label "22" stands there otherwise.
        assert lines_of(widget)[1].split()[-1] == "▼"
        await pilot.press("left", "left")
        assert lines_of(widget)[1].split()[-2:] == ["▼", "22"]


async def test_marking_a_week_marks_its_days() -> None:
    widget = small()
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("-", "space")
        # 2024-05-20 is a Monday.
        assert widget.marks == {("binance trades", LAST - timedelta(days=back)) for back in range(4)}


async def test_a_click_moves_the_cursor_and_a_double_click_opens() -> None:
    widget = small()
    app = Gallery(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        label = lines_of(widget)[2].index("▇")
        await pilot.click(widget, offset=(label + 3, 3))
        assert widget.cursor == ("okex trades", LAST - timedelta(days=6), CellState.MISSING)
        await pilot.click(widget, offset=(label + 3, 3), times=2)
        assert app.of(Heatmap.CellSelected)[0].day == LAST - timedelta(days=6)
        await pilot.click(widget, offset=(2, 2))
        await pilot.click(widget, offset=(label + 40, 2))
        assert widget.cursor[0] == "okex trades"


async def test_without_data_it_says_so_and_no_key_breaks_it() -> None:
    widget = Heatmap(empty="the catalogue is being read")
    async with Gallery(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("left", "n", "space", "m", "v", "enter", "<", "+", "end", "shift+up", "pagedown")
        assert "the catalogue is being read" in lines_of(widget)[1]
        assert widget.cursor is None
