"""The log view under load and under keys, as the terminal shows it."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from console.log_gaps import SUPPRESSED, Gap
from console.log_intake import MOST_WAITING
from console.query import EVERYTHING, parse
from console.widgets.logline import LogLine, Severity
from console.widgets.logpaint import TimeFormat
from console.widgets.logview import LogView
from tests.console.gallery import NOW, Gallery, clock, log_lines


def lines_of(view: LogView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height - view.scrollbar_size_horizontal)]


def plain(count: int, start: int = 0) -> list[LogLine]:
    return [LogLine(NOW - timedelta(seconds=1), Severity.INFO, f"line {start + n}", vm="vm-1") for n in range(count)]


def moving(count: int, start: int = 0) -> list[LogLine]:
    return [LogLine(NOW + timedelta(milliseconds=start + n), Severity.INFO, f"part {start + n}", vm="vm-1") for n in range(count)]


def fill(view: LogView, lines: list[LogLine]) -> None:
    view.append(lines)
    view.drain()


async def test_it_follows_the_newest_line() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, plain(100))
        await pilot.pause()
        assert lines_of(view)[0].startswith(" ► following   100 lines")
        assert lines_of(view)[-1].endswith("line 99")
        fill(view, plain(5, 100))
        await pilot.pause()
        assert lines_of(view)[-1].endswith("line 104")
        assert view.cursor_line is not None
        assert view.cursor_line.message == "line 104"


@pytest.mark.parametrize("key", ["up", "space", "f", "pageup", "home"])
async def test_whoever_reads_pauses_and_new_lines_are_counted_and_end_follows(key: str) -> None:
    view = LogView(now=clock)
    app = Gallery(view)
    async with app.run_test(size=(80, 12)) as pilot:
        fill(view, plain(100))
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        before = lines_of(view)[1:]
        fill(view, plain(1240, 100))
        await pilot.pause()
        assert not view.following
        assert "paused · ▼ 1,240 new, End to follow" in lines_of(view)[0]
        assert lines_of(view)[1:] == before
        await pilot.press("end")
        await pilot.pause()
        assert view.following
        assert lines_of(view)[-1].endswith("line 1339")


async def test_the_wheel_pauses_too() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, plain(100))
        await pilot.pause()
        view.scroll_relative(y=-3, animate=False)
        await pilot.pause()
        assert not view.following
        assert lines_of(view)[-1].endswith("line 96")


async def test_while_paused_lines_stay_in_place_even_when_older_ones_fall_out() -> None:
    view = LogView(now=clock, capacity=100)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, plain(100))
        await pilot.pause()
        await pilot.press("up")
        before = lines_of(view)[1:]
        fill(view, plain(30, 100))
        await pilot.pause()
        assert lines_of(view)[1:] == before
        fill(view, plain(500, 130))
        await pilot.pause()
        assert lines_of(view)[1].endswith("line 530")


async def test_severity_follows_plus_and_minus() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(120, 12)) as pilot:
        fill(view, log_lines(80))
        await pilot.press("-", "-", "-")
        assert view.ring.minimum is Severity.WARNING
        assert {line.severity for line in view.ring.shown_lines()} == {
            Severity.WARNING,
            Severity.ERROR,
            Severity.CRITICAL,
        }
        await pilot.pause()
        assert "warning and up" in lines_of(view)[0]
        await pilot.press("-", "-", "-", "-")
        assert view.ring.minimum is Severity.CRITICAL
        await pilot.press("+")
        assert view.ring.minimum is Severity.ERROR
        await pilot.press("0")
        assert view.ring.shown_count == 80


async def test_a_filter_hides_and_says_how_much_is_left_and_marks_the_hits() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(120, 12)) as pilot:
        fill(view, log_lines(80))
        view.set_filter(parse("gave -nothing"))
        await pilot.pause()
        assert f"{view.ring.shown_count} of 80 lines · /gave -nothing" in lines_of(view)[0]
        assert all("gave up" in line for line in lines_of(view)[1:] if line)
        hit = [segment for segment in view.render_line(1) if segment.text == "gave"]
        assert len(hit) == 1
        fill(view, [*plain(3), *log_lines(8)])
        assert view.ring.shown_count == sum("gave" in line.message for line in [*log_lines(80), *log_lines(8)])
        view.set_filter(EVERYTHING)
        assert view.ring.shown_count == 91


async def test_a_filter_that_hides_all_says_what_to_do() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        assert "no lines yet" in lines_of(view)[2]
        fill(view, plain(3))
        view.set_filter(parse("nowhere"))
        await pilot.pause()
        assert "none of 3 lines passes" in lines_of(view)[2]
        await pilot.press("up", "n", "enter", "pagedown")
        assert view.cursor_line is None


async def test_search_highlights_without_hiding_and_n_goes_to_the_next() -> None:
    view = LogView(now=clock)
    app = Gallery(view)
    async with app.run_test(size=(80, 12)) as pilot:
        fill(view, plain(200))
        view.set_search(parse("/line 1?50$/"))
        await pilot.press("n")
        assert view.cursor_line is not None
        assert view.cursor_line.message == "line 50"
        assert not view.following
        await pilot.press("n", "enter")
        assert app.of(LogView.EntrySelected)[0].line.message == "line 150"
        await pilot.press("N")
        assert view.cursor_line.message == "line 50"
        assert view.ring.shown_count == 200


async def test_the_cursor_stays_on_its_line_when_the_filter_changes() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, plain(200))
        view.set_search(parse('"line 77"'))
        await pilot.press("n")
        view.set_filter(parse("/7$/"))
        await pilot.pause()
        assert view.cursor_line is not None
        assert view.cursor_line.message == "line 77"
        assert any(line.startswith("▌") and line.endswith("line 77") for line in lines_of(view))


async def test_times_are_clock_full_local_age_or_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(100, 12)) as pilot:
        early = NOW - timedelta(minutes=3)
        fill(view, [LogLine(early, Severity.INFO, "x", vm="vm-1"), LogLine(early + timedelta(seconds=1.5), Severity.INFO, "y", vm="vm-1")])
        seen = []
        for _ in TimeFormat:
            await pilot.pause()
            seen.append([line[9:].split(" vm-1")[0].strip() for line in lines_of(view)[1:3]])
            await pilot.press("t")
        assert seen == [
            ["05:37:12.000", "05:37:13.500"],
            ["2024-05-23 05:37:12.000Z", "2024-05-23 05:37:13.500Z"],
            ["14:37:12.000", "14:37:13.500"],
            ["3 m", "2 m"],
            ["+0.000", "+1.500"],
        ]
        assert view.time_format is TimeFormat.CLOCK
    monkeypatch.undo()
    time.tzset()


async def test_long_lines_are_read_by_going_sideways() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, [LogLine(NOW, Severity.INFO, "x" * 60 + "END", vm="vm-1")])
        await pilot.pause()
        assert "END" not in lines_of(view)[1]
        await pilot.press(*["right"] * 5)
        assert lines_of(view)[1].endswith("END")
        await pilot.press(*["left"] * 6)
        assert "vm-1" in lines_of(view)[1]


async def test_lines_that_never_came_are_counted_on_the_screen_and_so_are_those_that_fell_out() -> None:
    view = LogView(now=clock, capacity=100)
    async with Gallery(view).run_test(size=(120, 12)) as pilot:
        view.append(plain(350))
        view.note_gap(Gap(NOW, NOW, 12, SUPPRESSED))
        view.drain()
        await pilot.pause()
        assert (view.gaps.count, view.ring.let_go) == (12, 250)
        assert "12 NOT HERE: m" in lines_of(view)[0]
        assert "250 older let go" in lines_of(view)[0]
        assert lines_of(view)[-1].endswith("line 349")


async def test_what_comes_too_fast_is_told_with_its_time_and_the_newest_is_kept() -> None:
    view = LogView(now=clock)
    view.append(moving(MOST_WAITING + 700))
    assert [(gap.count, gap.since, gap.until) for gap in view.gaps.all] == [(700, NOW, NOW + timedelta(milliseconds=699))]
    assert view.waiting == MOST_WAITING


async def test_late_lines_are_put_in_order_and_the_eye_stays_on_its_line() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        lines = moving(100)
        fill(view, lines[::2])
        await pilot.press("up", "up")
        here, before = view.cursor_line, lines_of(view)[1]
        fill(view, lines[1::2])
        await pilot.pause()
        assert view.cursor_line is here
        assert lines_of(view)[1] == before
        assert [line.message for line in view.ring.shown_lines()] == [line.message for line in lines]


async def test_a_line_names_its_source_once_there_are_several() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(120, 12)) as pilot:
        fill(view, [LogLine(NOW, Severity.INFO, "x", vm="vm-1", source="cloud-logging")])
        await pilot.pause()
        assert "cloud" not in lines_of(view)[1]
        fill(view, [LogLine(NOW, Severity.INFO, "y", vm="vm-1", source="serial")])
        await pilot.pause()
        assert ["cloud" in lines_of(view)[1], "serial" in lines_of(view)[2]] == [True, True]


async def test_what_was_held_is_shown_again_as_it_was() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, moving(50))
        await pilot.press("up", "up", "up")
        here = view.cursor_line
        held = view.hold()
        view.clear()
        fill(view, moving(5, 1_000))
        view.set_filter(parse("part"))
        view.show_held(held)
        await pilot.pause()
        assert (view.cursor_line, view.following, view.ring.shown_count) == (here, False, 50)


async def test_a_drain_stops_at_its_budget_and_the_rest_comes_later() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        view.append(plain(5000))
        view.drain(budget_seconds=0.0)
        assert 0 < len(view.ring) < 5000
        view.append([])
        while len(view.ring) < 5000:
            await pilot.pause(0.01)
        assert lines_of(view)[-1].endswith("line 4999")


async def test_a_line_with_an_escape_sequence_and_a_newline_stays_one_harmless_line() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, [LogLine(NOW, Severity.ERROR, "bad\x1b[2J\nnext", vm="vm\x07")])
        await pilot.pause()
        assert lines_of(view)[1].endswith("vm·   bad␛[2J⏎next")


async def test_severities_read_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, [LogLine(NOW, severity, "x") for severity in Severity])
        await pilot.pause()
        heads = [line[1:8] for line in lines_of(view)[1:7]]
        assert len(set(heads)) == 6
        assert heads[3:] == ["! warn ", "× error", "■ crit "]


async def test_a_time_from_elsewhere_is_found() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        lines = log_lines(400)
        fill(view, lines)
        view.move_to_time(lines[120].time)
        await pilot.pause()
        assert view.cursor_line is lines[120]
        assert not view.following


async def test_a_click_puts_the_cursor_on_a_line_and_a_double_click_opens_it() -> None:
    view = LogView(now=clock)
    app = Gallery(view)
    async with app.run_test(size=(80, 12)) as pilot:
        fill(view, plain(5))
        await pilot.pause()
        await pilot.click(view, offset=(20, 3))
        assert view.cursor_line is not None
        assert view.cursor_line.message == "line 2"
        await pilot.click(view, offset=(20, 4), times=2)
        assert app.of(LogView.EntrySelected)[0].line.message == "line 3"


async def test_clearing_forgets_lines_and_keeps_the_filter() -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        view.set_filter(parse("line"))
        fill(view, plain(50))
        await pilot.press("up")
        view.clear()
        await pilot.pause()
        assert (len(view.ring), view.following, str(view.ring.query)) == (0, True, "line")


@pytest.mark.parametrize("paused", [False, True])
async def test_lines_that_come_move_nothing_but_themselves(paused: bool) -> None:
    view = LogView(now=clock)
    async with Gallery(view).run_test(size=(80, 12)) as pilot:
        fill(view, plain(100, 1_000))
        await pilot.pause()
        if paused:
            await pilot.press("up")
        await pilot.pause()
        laid_out: list[object] = []
        view.screen.screen_layout_refresh_signal.subscribe(view, laid_out.append)
        for number in range(5):
            fill(view, plain(100, 1_100 + 100 * number))
            await pilot.pause()
        assert laid_out == []
        assert (view.vertical_scrollbar.window_virtual_size, view.max_scroll_y) == (601, 601 - view.size.height)
        # A longer line widens what can be scrolled sideways: there the bar below appears.
        fill(view, [LogLine(NOW, Severity.INFO, "long " * 40, vm="vm-1")])
        await pilot.pause()
        assert laid_out
        assert view.show_horizontal_scrollbar


async def test_painted_lines_are_painted_anew_when_their_look_changes() -> None:
    view = LogView(now=clock)
    app = Gallery(view)
    async with app.run_test(size=(80, 12)) as pilot:
        fill(view, [LogLine(NOW, Severity.ERROR, f"line {number}", vm="vm-1") for number in range(5)])
        await pilot.press("home")
        looks = []
        for change in (
            lambda: None,
            lambda: setattr(app, "theme", "light"),
            lambda: view.set_search(parse("line")),
            lambda: view.choose_time_format(str(TimeFormat.FULL)),
            lambda: fill(view, [LogLine(NOW, Severity.ERROR, "line 5", vm="vm-with-a-long-name")]),
        ):
            change()
            await pilot.pause()
            looks.append([(segment.text, segment.style) for segment in view.render_line(2)])
        assert [looks.index(look) for look in looks] == list(range(len(looks)))
