"""The Logs screen under a person's hands, on a recorded tail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from console.log_gaps import NOT_READ
from console.log_scope import AROUND, Scope
from console.screens.gaps import GapScreen
from console.screens.logs import LogsScreen
from console.widgets.ask_line import AskLine
from console.widgets.detail import DetailScreen
from console.widgets.loghistogram import LogHistogram
from console.widgets.logline import Severity
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from provision.logs import Batch
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until

SIZES = [(80, 24), (160, 50)]
SnapCompare = Callable[..., bool]


def logs(pilot: Pilot[Any]) -> LogsScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, LogsScreen)
    return screen


def view(pilot: Pilot[Any]) -> LogView:
    return logs(pilot).query_one(LogView)


def source(pilot: Pilot[Any]) -> str:
    return logs(pilot).query_one("#logs-source", Sentence).text


async def open_logs(pilot: Pilot[Any], lines: int = 120) -> None:
    await in_mode(pilot, "fleet")
    await pilot.press("3")
    await in_mode(pilot, "logs")
    await until(pilot, lambda: len(view(pilot).ring) == lines)


@pytest.mark.parametrize("size", SIZES)
async def test_errors_stand_by_cause_above_the_tail_and_the_source_is_named(size: tuple[int, int]) -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=size) as pilot:
        await open_logs(pilot)
        assert session.names_of("tail") == [(recorded.RUN,)]
        assert source(pilot).startswith(f"✓ cloud-logging · every VM of run {recorded.RUN} · live")
        causes = logs(pilot).query_one("#logs-causes", LineTable)
        await until(pilot, lambda: len(causes.rows) == 2)
        assert [cause.count for cause in causes.rows] == [7, 3]
        assert view(pilot).following
        assert view(pilot).has_focus


async def test_a_pause_holds_the_lines_still_and_counts_what_waits() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("f")
        at = view(pilot).cursor_line
        logs(pilot).show_logs(Batch(tuple(recorded.log_entry(number) for number in range(500, 530))))
        await until(pilot, lambda: view(pilot).unseen == 30)
        assert view(pilot).cursor_line is at
        await pilot.press("f")
        assert view(pilot).following
        assert view(pilot).unseen == 0


async def test_severity_follows_plus_and_minus_and_digits_still_change_screens() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("minus", "minus", "minus", "minus")
        assert view(pilot).ring.minimum is Severity.ERROR
        assert view(pilot).ring.shown_count == 10
        await pilot.press("0")
        assert view(pilot).ring.shown_count == 120
        await pilot.press("2")
        await in_mode(pilot, "fleet")


async def test_the_filter_speaks_the_one_grammar_and_says_how_much_passes() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"venue:deribit")
        await until(pilot, lambda: view(pilot).ring.shown_count == 7)
        assert logs(pilot).query_one("#logs-filter", Prompt).note == "7 of 120"
        await pilot.press("escape")
        await until(pilot, lambda: view(pilot).ring.shown_count == 120)
        assert view(pilot).has_focus


async def test_searching_hides_nothing_and_n_goes_from_hit_to_hit() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("ctrl+f", *"quar", "enter")
        assert view(pilot).ring.shown_count == 120
        # Enter goes to the newest hit, n from there around the end to the oldest ones.
        await until(pilot, lambda: not view(pilot).following)
        newest = view(pilot).cursor_line
        assert newest is not None
        assert newest.time == max(line.time for line in view(pilot).ring.shown_lines() if "quar" in line.text)
        seen = []
        for _ in range(3):
            await pilot.press("n")
            line = view(pilot).cursor_line
            assert line is not None
            assert "quarantined" in line.message
            seen.append(line.time)
        assert len(set(seen)) == 3


async def test_enter_shows_every_field_of_a_line_and_enter_on_a_field_filters_by_it() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("f", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is logs(pilot))
        assert str(view(pilot).ring.query) == 'severity:"INFO"'
        assert 0 < view(pilot).ring.shown_count < 120


async def test_enter_on_a_cause_leaves_only_its_lines() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        causes = logs(pilot).query_one("#logs-causes", LineTable)
        await until(pilot, lambda: len(causes.rows) == 2)
        await pilot.press("c", "down", "enter")
        await until(pilot, lambda: view(pilot).ring.shown_count == 3)
        assert {line.fields["cause"] for line in view(pilot).ring.shown_lines()} == {str(view(pilot).ring.query).removeprefix("cause:")}
        assert view(pilot).has_focus


async def test_what_the_service_left_out_is_counted_and_a_lost_link_is_told_until_it_is_back() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).show_logs(Batch(suppressed={"rate limit": 812}))
        assert view(pilot).gaps.count == 812
        logs(pilot).show_logs(Batch(state="reconnecting", reason="503 the service is away"))
        assert "reconnecting: 503 the service is away" in source(pilot)
        await until(pilot, lambda: len(view(pilot).ring) == 121)
        logs(pilot).show_logs(Batch(recorded.log_entries(3)))
        assert source(pilot).endswith(" · live")


async def test_a_vm_that_is_gone_is_looked_for_where_it_left_its_log_and_escape_shows_again_what_was_there() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [replace(recorded.log_entry(number, shard=2), source="log-objects") for number in range(40)]
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot)
        await pilot.press("up", "up")
        here = view(pilot).cursor_line
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(2), gone=True, chosen=True))
        await until(pilot, lambda: len(view(pilot).ring) == 40)
        await until(pilot, lambda: "log-objects 40" in source(pilot) and "40 lines" in source(pilot))
        assert session.names_of("find") == [(recorded.RUN, recorded.vm_name(2))]
        logs(pilot).show_logs(Batch(recorded.log_entries(10)))
        await pilot.pause()
        assert len(view(pilot).ring) == 40
        await pilot.press("escape")
        await until(pilot, lambda: session.names_of("tail") == [(recorded.RUN,), (recorded.RUN,)])
        await until(pilot, lambda: source(pilot).endswith(" · live"))
        assert (len(view(pilot).ring), view(pilot).cursor_line, view(pilot).following) == (120, here, False)
        # What the tail reads back again is counted for no cause a second time.
        await until(pilot, lambda: view(pilot).ring.repeated > 0)
        causes = logs(pilot).query_one("#logs-causes", LineTable)
        await until(pilot, lambda: [cause.count for cause in causes.rows] == [7, 3])


async def test_a_vm_that_is_gone_and_left_nothing_says_where_was_looked_and_what_to_do() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(2), gone=True, chosen=True))
        await until(pilot, lambda: "nothing found" in source(pilot))
        assert len(session.names_of("tail")) == 1
        shown = "\n".join(view(pilot).render_line(y).text for y in range(5))
        assert "no log object, no entry of Cloud Logging and no serial output" in shown
        assert "o looks further back" in shown


async def test_a_vm_that_lives_is_read_back_and_then_followed() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [replace(recorded.log_entry(number, shard=3), source="log-objects") for number in range(-40, 6)]
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(3), chosen=True))
        logs(pilot).show_logs(Batch(tuple(recorded.log_entry(number, shard=4) for number in range(9))))
        # 20 in the tail and 46 in log objects, of which the number 3 is in both.
        await until(pilot, lambda: len(view(pilot).ring) == 20 + 46 - 1)
        assert session.names_of("tail")[-1] == (recorded.RUN, recorded.vm_name(3))
        assert {line.vm for line in view(pilot).ring.shown_lines()} == {"shard-3"}
        assert {line.source for line in view(pilot).ring.shown_lines()} == {"log-objects", "cloud-logging"}


async def test_the_least_severity_is_asked_of_the_service_once_the_keys_rest() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot)
        await pilot.press("minus", "minus", "minus")
        await until(pilot, lambda: session.questions[-1].min_severity == "WARNING")
        await until(pilot, lambda: "only warning and up is asked for" in source(pilot))
        assert len(view(pilot).ring) == 120
        session.left_behind = list(recorded.log_entries())
        asked = len(session.questions)
        logs(pilot).set_scope(Scope(recorded.RUN, recorded.vm_name(3), chosen=True))
        await until(pilot, lambda: len(session.questions) == asked + 2)
        assert {question.min_severity for question in session.questions[asked:]} == {"WARNING"}
        await until(pilot, lambda: 0 < len(view(pilot).ring) < 20)
        await pilot.press("0")
        await until(pilot, lambda: len(view(pilot).ring) == 20)
        assert session.questions[-1].min_severity == "DEFAULT"


async def test_one_key_shows_what_every_vm_said_around_a_line_and_escape_goes_back() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [recorded.log_entry(number) for number in range(120)]
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"shard-2", "enter", "up", "up", "up")
        line = view(pilot).cursor_line
        assert line is not None
        await pilot.press("a", "escape")
        await until(pilot, lambda: len(session.questions) == 2 and view(pilot).ring.shown_count > 20)
        asked = session.questions[-1]
        assert (asked.run, asked.vms) == (recorded.RUN, ())
        assert (asked.since, asked.until) == (line.time - AROUND, line.time + AROUND)
        assert view(pilot).cursor_line == line
        assert len({each.vm for each in view(pilot).ring.shown_lines()}) == 6
        assert "± 30 s" in source(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: len(view(pilot).ring) == 120)


async def test_a_typed_time_is_understood_as_it_is_typed_and_read_if_it_is_not_here() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [recorded.log_entry(number) for number in range(-2_000, 120)]
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("g", *"05:32:00")
        ask = logs(pilot).query_one(AskLine)
        await until(pilot, lambda: ask.note == "2024-05-23 05:32:00 UTC")
        await pilot.press("enter")
        await until(pilot, lambda: not view(pilot).following)
        line = view(pilot).cursor_line
        assert line is not None
        assert recorded.NOW.replace(hour=5, minute=32, second=0) <= line.time < recorded.NOW.replace(hour=5, minute=32, second=1)
        assert session.names_of("find") == []
        await pilot.press("g", *"yesteryear")
        await until(pilot, lambda: ask.has_class("-wrong"))
        await pilot.press("enter", *["backspace"] * 10, *"-20m", "enter")
        await until(pilot, lambda: session.names_of("find") == [(recorded.RUN,)])
        await until(pilot, lambda: view(pilot).cursor_line.time < recorded.NOW - timedelta(minutes=19))  # type: ignore[union-attr]
        assert [gap.reason for gap in view(pilot).gaps.all] == [NOT_READ]


async def test_going_back_to_the_logs_holds_at_the_line_that_was_read_and_at_whose_logs_they_were() -> None:
    session = FleetSession(recorded.healthy())
    async with console_on(session).run_test(size=(120, 40)) as pilot:
        await open_logs(pilot)
        await pilot.press("up", "up", "up")
        held = view(pilot).cursor_line
        assert held is not None
        await pilot.press("2")
        await in_mode(pilot, "fleet")
        await pilot.press("L")
        await until(pilot, lambda: pilot.app.current_mode == "logs" and len(logs(pilot).crumbs()) == 2)
        await until(pilot, lambda: logs(pilot).own_place().vm != "")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await until(pilot, lambda: pilot.app.current_mode == "logs" and logs(pilot).own_place().vm == "")
        await until(pilot, lambda: not view(pilot).following and view(pilot).cursor_line == held)
        await pilot.press("end", "2")
        await in_mode(pilot, "fleet")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: pilot.app.current_mode == "logs" and view(pilot).following)


async def test_a_view_of_logs_keeps_the_least_severity_and_how_times_are_written() -> None:
    async with console_on(FleetSession(recorded.healthy())).run_test(size=(120, 40)) as pilot:
        await open_logs(pilot)
        await pilot.press("plus", "minus", "minus", "minus", "t")
        kept = logs(pilot).view_settings()
        assert kept == {"severity": "warning", "time": "full UTC"}
        await pilot.press("0", "t")
        logs(pilot).apply_view(kept)
        assert logs(pilot).view_settings() == kept


async def test_on_a_very_low_terminal_the_lines_come_before_the_figures_about_them() -> None:
    async with console_on(FleetSession(recorded.healthy())).run_test(size=(40, 12)) as pilot:
        await open_logs(pilot)
        await until(pilot, lambda: view(pilot).size.height >= 3)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: logs(pilot).query_one(LogHistogram).has_class("-some"))


async def test_older_lines_are_read_on_a_key_and_put_before_the_others() -> None:
    session = FleetSession(recorded.troubled())
    session.left_behind = [recorded.log_entry(number) for number in range(-300, 120)]
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("o")
        await until(pilot, lambda: len(view(pilot).ring) == 420)
        times = [line.time for line in view(pilot).ring.shown_lines()]
        assert times == sorted(times)
        assert view(pilot).ring.repeated == 0


async def test_lines_that_did_not_come_have_a_command_and_are_read_on_a_key() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        logs(pilot).show_logs(Batch(suppressed={"rate limit": 80}))
        await until(pilot, lambda: len(view(pilot).ring) == 121)
        here = [line for line in view(pilot).ring.shown_lines() if line.source == "console"]
        assert [line.message for line in here] == ["80 or more lines are not here: Cloud Logging left out (rate limit); m reads them"]
        late = [replace(recorded.log_entry(number), timestamp=recorded.NOW) for number in range(1_000, 1_080)]
        session.left_behind = late[:40]
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, GapScreen))
        shown = str(pilot.app.screen.query_one(OptionList).get_option_at_index(0).prompt)
        assert f"tickdeck logs --run {recorded.RUN} --since 2024-05-23T05:36:02.000000Z --until " in shown
        await pilot.press("enter")
        await until(pilot, lambda: len(view(pilot).ring) == 161)
        assert session.questions[-1].where == "objects"
        await until(pilot, lambda: view(pilot).gaps.count == 40)
        session.left_behind = late
        await pilot.press("m", "enter")
        await until(pilot, lambda: not view(pilot).gaps)
        assert len(view(pilot).ring) == 201


async def test_a_link_without_quota_says_that_it_is_the_quota_and_where_else_to_look() -> None:
    session = FleetSession(recorded.troubled())
    session.batches = [Batch(state="reconnecting", reason="429 Quota exceeded for quota metric 'Read requests'")]
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await open_logs(pilot, 0)
        await until(pilot, lambda: "reconnecting: 429" in source(pilot))
        assert "read quota of 60 a minute is used up" in view(pilot).render_line(3).text


async def test_a_bar_of_the_histogram_is_a_place_to_jump_to() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        histogram = logs(pilot).query_one(LogHistogram)
        await until(pilot, lambda: histogram.has_class("-some"))
        await pilot.press("h")
        assert histogram.has_focus
        await pilot.press("up")
        bucket = histogram.cursor
        await pilot.press("enter")
        await until(pilot, lambda: view(pilot).has_focus)
        line = view(pilot).cursor_line
        assert line is not None
        assert bucket <= line.time < bucket + timedelta(seconds=histogram.bucket_seconds)


async def test_a_field_of_a_line_hides_or_keeps_on_top_of_the_filter_there_is() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"-debug", "enter", "up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))
        line = view(pilot).cursor_line
        assert line is not None
        await pilot.press("minus")
        await until(pilot, lambda: str(view(pilot).ring.query) == f'-debug -severity:"{line.severity.name}"')
        assert line.severity not in {each.severity for each in view(pilot).ring.shown_lines()}


async def test_a_burst_of_ten_thousand_lines_leaves_the_keys_alive() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        burst = tuple(recorded.log_entry(number, shard=number % 6) for number in range(10_000))
        logs(pilot).show_logs(Batch(burst))
        await pilot.press("f")
        assert not view(pilot).following
        await until(pilot, lambda: len(view(pilot).ring) == 10_000)
        # The first 120 were here already.
        assert view(pilot).ring.repeated == 120


async def test_lines_under_the_filter_are_exported() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await open_logs(pilot)
        await pilot.press("slash", *"quar", "enter")
        await until(pilot, lambda: view(pilot).ring.shown_count == 3)
        lines = logs(pilot).export_records()
        assert len(lines) == 3
        assert {str(line["instance"]).rsplit("-", 1)[0] for line in lines} == {f"market-data-shard-{recorded.RUN}"}
        assert "quarantined okex-swap" in logs(pilot).copy_row()


THREE_SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])


async def open_and_settle(pilot: Pilot[Any], lines: int = 120) -> None:
    await open_logs(pilot, lines)
    await until(pilot, lambda: logs(pilot).query_one(LogHistogram).has_class("-some"))
    await until(pilot, lambda: len(logs(pilot).query_one("#logs-causes", LineTable).rows) == 2)


@THREE_SIZES
def test_the_screen_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    session = FleetSession(recorded.troubled())
    gone = "stopping: the machine is being preempted"
    session.batches.append(Batch((recorded.log_entry(130, "WARNING", gone, event="stopping", shard=2),), {"rate limit": 812}))

    async def settle(pilot: Pilot[Any]) -> None:
        await open_logs(pilot, 122)
        await until(pilot, lambda: len(logs(pilot).query_one("#logs-causes", LineTable).rows) == 2)

    assert snap_compare(console_on(session), run_before=settle, terminal_size=size)


def test_the_paused_and_filtered_screen_without_a_link_looks_as_it_did(snap_compare: SnapCompare) -> None:
    async def trouble(pilot: Pilot[Any]) -> None:
        await open_and_settle(pilot)
        await pilot.press("f", "slash", *"deribit", "enter")
        logs(pilot).show_logs(Batch(state="reconnecting", reason="503 the service is away"))
        await pilot.pause()

    assert snap_compare(console_on(FleetSession(recorded.troubled())), run_before=trouble, terminal_size=(80, 24))


@pytest.mark.parametrize("state", ["none yet", "no quota", "all filtered away", "histogram", "gaps", "around", "time"])
def test_a_state_looks_as_it_did(snap_compare: SnapCompare, state: str) -> None:
    """What there is to see, and what to do about it, at the smallest size."""
    session = FleetSession(recorded.troubled())
    keys: dict[str, list[str]] = {
        "all filtered away": ["slash", *"nowhere", "enter", "minus"],
        "histogram": ["h", "up", "left"],
        "gaps": ["m"],
        "around": ["up", "a"],
        "time": ["g", *"-10m"],
    }
    if state == "none yet":
        session.batches = [Batch()]
    elif state == "no quota":
        session.batches = [Batch(state="reconnecting", reason="429 Quota exceeded for quota metric 'Read requests' of project lake")]
    elif state == "gaps":
        session.batches.append(Batch(suppressed={"rate limit": 812}))
    session.left_behind = [replace(recorded.log_entry(number), source="log-objects") for number in range(90, 140)]

    async def play(pilot: Pilot[Any]) -> None:
        if state in ("none yet", "no quota"):
            await open_logs(pilot, 0)
            await until(pilot, lambda: any(word in source(pilot) for word in ("live", "429")))
            return
        await open_and_settle(pilot, 121 if state == "gaps" else 120)
        await pilot.press(*keys[state])
        await until(pilot, lambda: state != "around" or "log-objects" in source(pilot))
        await until(pilot, lambda: state != "all filtered away" or "debug and up" in source(pilot))
        hidden = logs(pilot).query_one(LogHistogram)
        await until(pilot, lambda: state != "all filtered away" or not hidden.has_class("-some"))
        await pilot.pause()

    assert snap_compare(console_on(session), run_before=play, terminal_size=(80, 24))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
def test_the_detail_of_a_line_looks_as_it_did(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    async def detail(pilot: Pilot[Any]) -> None:
        await open_and_settle(pilot)
        await pilot.press("f", "up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))

    assert snap_compare(console_on(FleetSession(recorded.troubled())), run_before=detail, terminal_size=size)
