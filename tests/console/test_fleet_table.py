"""The fleet table: columns by width, a cursor that belongs to a VM, marks, and what a resort does to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.widgets.fleet_table import STATE_LOOKS, FleetRow, FleetTable
from console.widgets.table import NOT_KNOWN, LineTable
from tests.console.gallery import Gallery, fleet_rows


def lines_of(table: FleetTable) -> list[str]:
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


@pytest.mark.parametrize(
    ("width", "shown", "hidden"),
    [
        (80, ["State", "VM", "Progress", "Rate", "Limited by", "ETA"], ["Last error", "Zone", "Files"]),
        (120, ["State", "VM", "Shard", "Progress", "Rate", "Limited by", "ETA", "Beat", "Last error"], ["Zone"]),
        (200, ["State", "VM", "Shard", "Progress", "Files", "Rate", "Limited by", "ETA", "Beat", "Try", "Last error", "Cost", "Zone"], []),
    ],
)  # fmt: skip
async def test_the_width_decides_which_columns_show(width: int, shown: list[str], hidden: list[str]) -> None:
    table = FleetTable(fleet_rows())
    async with Gallery(table).run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        header = lines_of(table)[0]
        assert all(title in header for title in shown)
        assert not any(title in header for title in hidden)
        assert all(len(line) <= width - 1 for line in lines_of(table))


async def test_a_row_says_state_progress_limit_and_end() -> None:
    table = FleetTable(fleet_rows())
    async with Gallery(table).run_test(size=(200, 30)) as pilot:
        await pilot.pause()
        stuck, working = lines_of(table)[1], lines_of(table)[25]
        assert stuck.startswith("▌ ! stuck 6 m")
        assert "source 429" in stuck
        assert "no progress for 6 m" in stuck
        for part in ("► working", "market-data-shard-r7k2-23", "23 %", "420/1,751", "33.7 MB/s", "cpu", "3 h 01 m", "8 s", "$1.24"):
            assert part in working, part
        preempted = lines_of(table)[3]
        assert "48 s!" in preempted
        assert "2 preempted" in preempted


async def test_states_read_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    table = FleetTable([FleetRow(name=state, state=state) for state in STATE_LOOKS])
    async with Gallery(table).run_test(size=(80, 30)) as pilot:
        await pilot.pause()
        words = [line[2:16].strip() for line in lines_of(table)[1 : 1 + len(STATE_LOOKS)]]
        assert len(set(words)) == len(STATE_LOOKS)
        assert words[0] == "× failed"


async def test_the_cursor_stays_on_its_vm_when_rows_are_sorted_anew() -> None:
    rows = fleet_rows(60)
    table = FleetTable(rows)
    app = Gallery(table)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("down", "down", "down")
        name = table.cursor_key
        table.set_rows([*rows[10:], *rows[:10]])
        await pilot.pause()
        assert table.cursor_key == name
        assert any(line.startswith("▌") and str(name)[-8:] in line for line in lines_of(table))


async def test_an_untouched_cursor_stays_at_the_top_where_the_worst_is() -> None:
    rows = fleet_rows(60)
    table = FleetTable(rows)
    async with Gallery(table).run_test(size=(120, 24)) as pilot:
        table.set_rows(list(reversed(rows)))
        await pilot.pause()
        assert table.cursor_key == rows[-1].name
        assert table.scroll_offset.y == 0


async def test_the_cursor_moves_on_when_its_vm_is_gone() -> None:
    rows = fleet_rows(10)
    table = FleetTable(rows)
    async with Gallery(table).run_test(size=(120, 24)) as pilot:
        await pilot.press("end")
        table.set_rows(rows[:4])
        await pilot.pause()
        assert table.cursor_key == rows[3].name
        table.set_rows([])
        await pilot.pause()
        assert table.cursor_key is None
        assert NOT_KNOWN in lines_of(table)[2]
        await pilot.press("down", "space", "enter", "end", "pageup")


async def test_marks_belong_to_vms_and_go_with_them() -> None:
    rows = fleet_rows(10)
    table = FleetTable(rows)
    app = Gallery(table)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("space", "space")
        assert table.marks == {rows[0].name, rows[1].name}
        table.set_rows(rows[1:])
        await pilot.pause()
        assert table.marks == {rows[1].name}
        assert [len(message.marks) for message in app.of(LineTable.MarksChanged)] == [1, 2, 1]
        assert lines_of(table)[1][1] == "◆"


async def test_what_is_not_ours_cannot_be_marked() -> None:
    rows = fleet_rows(10)
    table = FleetTable(rows)
    async with Gallery(table).run_test(size=(120, 24)) as pilot:
        table.move_to("legacy-gcs-box")
        await pilot.press("space")
        table.set_marks(row.name for row in rows)
        assert table.marks == {row.name for row in rows if row.managed}


async def test_enter_and_double_click_select_by_name() -> None:
    rows = fleet_rows(10)
    table = FleetTable(rows)
    app = Gallery(table)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("down", "enter")
        await pilot.click(table, offset=(20, 4), times=2)
        assert [message.key for message in app.of(LineTable.RowSelected)] == [rows[1].name, rows[3].name]
        assert app.of(LineTable.RowHighlighted)[-1].key == rows[3].name


async def test_only_rows_that_changed_are_painted_again() -> None:
    rows = fleet_rows(10)
    table = FleetTable(rows)
    async with Gallery(table).run_test(size=(120, 24)) as pilot:
        await pilot.pause()
        asked: list[tuple[object, ...]] = []
        refresh = table.refresh

        def watch(*regions: object, **options: bool) -> object:
            asked.append(regions)
            return refresh(*regions, **options)  # type: ignore[arg-type]

        table.refresh = watch  # type: ignore[assignment,method-assign]
        table.set_rows(list(rows))
        assert asked == []
        table.set_rows([*rows[:6], replace(rows[6], done=rows[6].done + 1), *rows[7:]])
        assert [(region.y, region.height) for regions in asked for region in regions] == [(7, 1)]  # type: ignore[attr-defined]


async def test_five_hundred_rows_scroll_to_the_last() -> None:
    table = FleetTable(fleet_rows(500))
    async with Gallery(table).run_test(size=(80, 24)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        assert lines_of(table)[-1].startswith("▌ ✓ done")
        await pilot.press("pageup", "home")
        await pilot.pause()
        assert lines_of(table)[1].startswith("▌ ! stuck")


async def test_an_error_text_cannot_steer_the_terminal() -> None:
    table = FleetTable([FleetRow(name="a", state="failed", last_error="x\x1b[2J\ny")])
    async with Gallery(table).run_test(size=(200, 24)) as pilot:
        await pilot.pause()
        assert "x␛[2J⏎y" in lines_of(table)[1]
