"""The Fleet screen under a person's hands, on recorded fleets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Static

from console.screens.ask_number import AskNumberScreen
from console.screens.choose import ChooseScreen
from console.screens.deed import DeedScreen
from console.screens.fleet import FleetScreen
from console.screens.logs import LogsScreen
from console.screens.serial_pane import SerialPane, readable
from console.screens.timeline import TimelineScreen
from console.screens.vm import VmScreen
from console.sources.fleet import SECONDS as FLEET_SECONDS
from console.widgets.confirm import ConfirmMany, ConfirmOne
from console.widgets.fleet_table import FleetTable
from console.widgets.logview import LogView
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.table import LineTable
from console.widgets.totals_line import ReasonLine, TotalsLine
from console.widgets.trouble_line import TroubleLine
from engine.errors import EngineError
from provision.fleet import FleetSnapshot, assess
from provision.resources import Address, Disk
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession, console_on, in_mode, until

SIZES = [(80, 24), (160, 50)]
SnapCompare = Callable[..., bool]


def table(pilot: Pilot[Any]) -> FleetTable:
    return fleet(pilot).query_one(FleetTable)


def fleet(pilot: Pilot[Any]) -> FleetScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, FleetScreen)
    return screen


def shows_its_end(pane: SerialPane) -> bool:
    """Whether the serial output is read, painted and scrolled down."""
    lines = pane.query_one(VerticalScroll)
    return bool(pane.text) and 0 < lines.max_scroll_y == lines.scroll_y


def told(pilot: Pilot[Any]) -> str:
    """All notifications, as text."""
    return "\n".join(f"{each.title}: {each.message}" for each in pilot.app._notifications)


def reason(pilot: Pilot[Any]) -> str:
    return fleet(pilot).query_one(ReasonLine).text


class MovingSession(FleetSession):
    """A healthy fleet whose time goes on; its first VM falls silent, or lives on without progress, at the recorded moment."""

    def __init__(self, *, dies: bool) -> None:
        super().__init__(recorded.healthy())
        self.now = recorded.NOW
        self.clock = lambda: self.now
        self._dies = dies

    def fleet(self, run: str = "") -> FleetSnapshot:
        view = recorded.healthy().runs[0]
        # A worker speaks every ten seconds.
        spoke = self.now - (self.now - recorded.NOW) % timedelta(seconds=10)
        beats = {
            name: msgspec.structs.replace(
                beat,
                written=recorded.NOW if self._dies and beat.shard == 0 else spoke,
                progressed=recorded.NOW if beat.shard == 0 else spoke,
            )
            for name, beat in view.heartbeats.items()
        }
        vms = [recorded.instance(name) for name in beats]
        return assess(self.now, self.profile, vms, [replace(view, heartbeats=beats)])


@pytest.mark.parametrize("size", SIZES)
async def test_the_eye_finds_the_verdict_the_totals_and_the_worst_vm_first(size: tuple[int, int]) -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=size) as pilot:
        await in_mode(pilot, "fleet")
        assert fleet(pilot).query_one(Sentence).text.startswith("× 1 stuck, 1 preempted and replaced, 1 booting, 4 fine")
        assert fleet(pilot).query_one(TotalsLine).text.strip().startswith("53 % of 2,000 files")
        assert table(pilot).cursor_key == recorded.vm_name(0)
        assert table(pilot).has_focus


async def test_enter_shows_all_about_a_vm_with_its_serial_output_and_keeps_up_with_it() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("enter")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, VmScreen) and bool(pilot.app.screen.query_one("#vm-serial", SerialPane).text)
        )
        screen = pilot.app.screen
        assert isinstance(screen, VmScreen)
        assert session.names_of("serial") == [(recorded.vm_name(0),)]
        assert "reading the launch record" in screen.query_one("#vm-serial", SerialPane).text
        left = str(screen.query_one("#vm-left", Static).render())
        assert "binance-futures book_snapshot_5 2024-05-01 BTCUSDT" in left
        assert "read timeout after 60 s" in left
        session.snapshot = recorded.healthy()
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: screen.vm.files_done == 50)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))


def test_a_worker_s_line_on_the_serial_port_reads_as_time_severity_and_message() -> None:
    assert readable(recorded.SERIAL.splitlines()[-1]) == "05:36:01 info     reading the launch record"
    assert readable('{"half": ') == '{"half": '
    assert readable("[  1.0] systemd[1]: up") == "[  1.0] systemd[1]: up"


async def test_why_the_serial_output_cannot_be_read_stands_in_its_place() -> None:
    session = FleetSession(recorded.troubled())
    session.serial_text = ""
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, VmScreen))
        lines = pilot.app.screen.query_one("#vm-serial #serial-lines", Static)
        await until(pilot, lambda: "there is no VM" in str(lines.render()) and "tickdeck logs" in str(lines.render()))


async def test_a_look_at_the_fleet_between_the_key_and_what_it_opens_is_shown_there() -> None:
    snapshot, after = recorded.healthy(), recorded.troubled()
    async with console_on(FleetSession(snapshot)).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        asked = {"reasons": lambda _vm: "fine", "serial": lambda _vm: "", "files": lambda _vm: ()}
        view = VmScreen(snapshot.vms[0], None, **asked, clock=recorded.clock)  # type: ignore[arg-type]
        pilot.app.push_screen(view)
        view.show_vm(after.vms[0], None)
        await until(pilot, lambda: view.is_mounted and after.vms[0].name in str(view.query_one(".vm--title", Static).render()))
        timeline = TimelineScreen(snapshot, ())
        pilot.app.push_screen(timeline)
        timeline.show_fleet(after)
        await until(pilot, lambda: timeline.is_mounted and bool(timeline.query_one(LineTable).rows))


async def test_the_serial_output_opens_by_itself_for_a_vm_that_is_silent_after_boot() -> None:
    session = FleetSession(recorded.booting())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        pane = fleet(pilot).query_one(SerialPane)
        await until(pilot, lambda: "reading the launch record" in pane.text)
        assert pane.has_class("-open")
        assert session.names_of("serial")[0] == (recorded.vm_name(4),)
        await pilot.press("down")
        assert pane.has_class("-open")
        await pilot.press("escape")
        await until(pilot, lambda: not pane.has_class("-open"))


async def test_draining_asks_with_cancel_as_the_default_and_enter_alone_does_nothing() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))
        assert session.names_of("drain") == []
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("left", "enter")
        await until(pilot, lambda: session.names_of("drain") == [(recorded.RUN,)])
        await until(pilot, lambda: "drain: 1 done" in told(pilot))


async def test_aborting_takes_the_typed_number_of_vms_and_another_number_does_nothing() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        await pilot.press("4", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ConfirmMany)
        assert session.names_of("abort") == []
        await pilot.press("backspace", "5", "enter")
        await until(pilot, lambda: len(session.names_of("abort")) == 1)
        done = session.names_of("abort")[0]
        assert done[0] == recorded.RUN
        assert "legacy-gcs-box" not in done
        assert len(done) == 6
        await until(pilot, lambda: "abort: 6 done" in told(pilot))
        assert pilot.app.screen is fleet(pilot)


async def test_deleting_one_vm_asks_once_and_several_marked_ones_ask_for_their_number() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))
        await pilot.press("space", "space")
        assert table(pilot).marks == {recorded.vm_name(0), recorded.vm_name(5)}
        assert "2 marked" in fleet(pilot).query_one(TotalsLine).text
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        await pilot.press("2", "enter")
        await until(pilot, lambda: session.names_of("delete") == [(recorded.vm_name(0), recorded.vm_name(5))])


async def test_cleanup_is_three_keys_and_shows_disks_and_addresses_too() -> None:
    session = FleetSession(recorded.finished())
    old = recorded.NOW - timedelta(days=2)
    session.disks = (Disk("orphan-1", recorded.ZONES[0], "77", "READY", 100, "pd-standard", old, recorded.labels()),)
    session.addresses = (Address("old-ip-1", "asia-northeast1", "78", "RESERVED", "192.0.2.1", old, recorded.labels()),)
    async with console_on(session).run_test(size=(160, 50)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        title = str(pilot.app.screen.query_one(".confirm--title", Static).render())
        assert title == "! Clean up: delete 4 VMs, 1 disk, 1 address"
        await pilot.press("6", "enter")
        await until(pilot, lambda: len(session.names_of("cleanup")) == 1)
        assert {"orphan-1", "old-ip-1"} < set(session.names_of("cleanup")[0])


async def test_what_could_not_be_done_stays_listed_with_the_reason() -> None:
    session = FleetSession(recorded.finished())
    session.failing = {recorded.vm_name(1): "operation is denied by policy"}
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        await pilot.press("4", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeedScreen) and pilot.app.screen.receipt is not None)
        screen = pilot.app.screen
        await until(pilot, lambda: "cleanup: 3 done, 1 failed" in str(screen.query_one("#deed-title", Static).render()))
        assert "053612-7f3a" in str(screen.query_one("#deed-hint", Static).render())
        failed = [row.item.name for row in screen.query_one("LineTable").rows]  # type: ignore[attr-defined]
        assert failed == [recorded.vm_name(1)]
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))


async def test_nothing_to_clean_up_is_said_and_asks_nothing() -> None:
    async with console_on(FleetSession(recorded.healthy())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("X")
        await until(pilot, lambda: "there is nothing to do" in told(pilot))
        assert pilot.app.screen is fleet(pilot)


async def test_an_error_of_the_cloud_is_told_with_its_next_step() -> None:
    session = FleetSession(recorded.healthy())

    def refuse() -> Any:
        raise EngineError("list disks: quota exceeded", hint="wait a minute")

    session.propose_cleanup = refuse  # type: ignore[method-assign]
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("X")
        await until(pilot, lambda: "list disks: quota exceeded -> wait a minute" in told(pilot))


async def test_a_vm_that_is_not_ours_can_neither_be_marked_nor_deleted() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        table(pilot).move_to("legacy-gcs-box")
        await pilot.pause()
        assert fleet(pilot).off_reasons["delete_vm"] == "not ours"
        await pilot.press("x")
        await pilot.pause()
        assert pilot.app.screen is fleet(pilot)
        await pilot.press("space")
        assert table(pilot).marks == frozenset()


async def test_in_read_only_mode_no_key_changes_anything() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session, read_only=True).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("d", "a", "x", "X")
        await pilot.pause()
        assert pilot.app.screen is fleet(pilot)
        assert session.calls == []


async def test_without_a_live_run_there_is_nothing_to_drain_or_abort() -> None:
    async with console_on(FleetSession(recorded.finished())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        assert {"drain", "abort_run"} <= fleet(pilot).off_reasons.keys()


async def test_the_filter_hides_rows_and_escape_brings_them_back() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        everything = len(table(pilot).rows)
        await pilot.press("slash", *"is:stuck")
        await until(pilot, lambda: len(table(pilot).rows) == 1)
        assert fleet(pilot).query_one(Prompt).note == f"1 of {everything}"
        await pilot.press("enter")
        assert table(pilot).has_focus
        assert "/is:stuck  1 of 8" in fleet(pilot).query_one(TotalsLine).text
        await pilot.press("escape")
        await until(pilot, lambda: len(table(pilot).rows) == everything)


async def test_a_dead_link_keeps_the_rows_says_how_old_they_are_and_turns_writes_off() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        rows = table(pilot).rows
        session.snapshot = EngineError("list the VMs: connection refused")
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: fleet(pilot).has_class("-stale"))
        assert table(pilot).rows == rows
        assert fleet(pilot).check_action("cleanup", ()) is None
        session.snapshot = recorded.troubled()
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: not fleet(pilot).has_class("-stale"))
        assert fleet(pilot).check_action("cleanup", ())


async def test_a_fleet_that_was_never_seen_says_why() -> None:
    session = FleetSession(recorded.nothing())
    session.snapshot = EngineError("list the VMs: connection refused")
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await until(pilot, lambda: "connection refused" in fleet(pilot).query_one(TroubleLine).text)


async def test_a_preempted_vm_is_replaced_without_a_key_and_the_person_is_told() -> None:
    session = FleetSession(recorded.preempted())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await until(pilot, lambda: session.names_of("reconcile") == [(recorded.RUN,)])
        await until(pilot, lambda: f"{recorded.vm_name(2, 2)} asked for" in told(pilot))


async def test_the_end_of_a_run_is_told_once_whatever_screen_is_open() -> None:
    session = FleetSession(recorded.healthy())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("3")
        await in_mode(pilot, "logs")
        session.snapshot = recorded.finished()
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: "done in 52 s: 213 files, 5.6 M rows, 4 bad" in told(pilot))
        await pilot.press("2")
        await in_mode(pilot, "fleet")
        assert "done in 52 s" in fleet(pilot).query_one(Sentence).text
        before = told(pilot).count("done in 52 s")
        session.snapshot = recorded.finished(bad=5)
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: "5 bad" in fleet(pilot).query_one(Sentence).text)
        assert told(pilot).count("done in 52 s") == before


async def test_its_logs_are_one_key_away_and_escape_comes_back() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("L")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogsScreen))
        await until(pilot, lambda: ("tail", recorded.RUN, recorded.vm_name(0)) in session.calls)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))


async def test_the_logs_of_a_stuck_vm_open_at_its_last_progress_and_a_line_leads_back_to_its_vm_and_to_its_day() -> None:
    session = FleetSession(recorded.troubled())
    row = session.fleet().find(recorded.vm_name(0))
    assert row is not None
    assert row.progressed is not None
    first = replace(recorded.log_entry(0, shard=0, day="2024-05-03"), timestamp=row.progressed - timedelta(seconds=2))
    session.left_behind = [replace(first, timestamp=first.timestamp + timedelta(seconds=n), insert_id=f"old-{n}") for n in range(60)]
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("L")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogsScreen))
        view = pilot.app.screen.query_one(LogView)
        await until(pilot, lambda: view.cursor_line is not None and view.cursor_line.time == row.progressed)
        assert not view.following
        assert f"at {row.progressed:%m-%d %H:%M:%S} UTC" in pilot.app.screen.query_one("#logs-source", Sentence).text
        await pilot.press("2", "end", "3", "v")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))
        assert fleet(pilot).query_one(FleetTable).cursor_key == recorded.vm_name(0)
        await pilot.press("3", "d")
        await in_mode(pilot, "coverage")


async def test_rows_are_exported_with_a_header_and_copied_as_one_line() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        first = fleet(pilot).export_records()[0]
        assert list(first)[:8] == ["vm", "state", "zone", "machine", "shard", "files", "total", "rate"]
        assert (first["vm"], first["state"]) == (recorded.vm_name(0), "stuck")
        assert recorded.vm_name(0) in fleet(pilot).copy_row()


async def test_the_cause_of_the_slowest_shard_is_one_key_away_from_the_start() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("g")
        assert table(pilot).cursor_key == recorded.vm_name(2, 2)
        assert reason(pilot).startswith("shard 2: limited by network · began late: preempted before, 2 m 10 s lost")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, VmScreen))
        assert "limited by network" in str(pilot.app.screen.query_one("#vm-reason", Static).render())


async def seen_after(pilot: Pilot[Any], session: MovingSession, word: str) -> float:
    """Seconds from the last word, or the last progress, of a VM until the verdict says so, looked at as often as on Google Cloud."""
    while word not in fleet(pilot).query_one(Sentence).text:
        session.now += timedelta(seconds=FLEET_SECONDS["gcp"])
        assert session.now < recorded.NOW + timedelta(minutes=10)
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: pilot.app.fleet.at == session.now)  # type: ignore[attr-defined]
    return (session.now - recorded.NOW).total_seconds()


@pytest.mark.parametrize(("word", "dies", "within"), [("1 lost", True, 45), ("1 stuck", False, 180)], ids=["dead", "stuck"])
async def test_a_dead_vm_is_seen_within_45_seconds_and_a_stuck_one_within_three_minutes(word: str, dies: bool, within: float) -> None:
    session = MovingSession(dies=dies)
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        assert await seen_after(pilot, session, word) <= within


async def test_any_column_sorts_both_ways_and_the_header_says_so() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(160, 50)) as pilot:
        await in_mode(pilot, "fleet")
        worst_first = [row.name for row in table(pilot).rows]
        for _ in range(2):
            await pilot.press("o")
            await until(pilot, lambda: isinstance(pilot.app.screen, ChooseScreen))
            if table(pilot).sorted_by[0] != "ETA":
                await pilot.press("e")
            await pilot.press("enter")
            await until(pilot, lambda: pilot.app.screen is fleet(pilot))
        times = [row.eta_seconds for row in table(pilot).rows]
        known = [seconds for seconds in times if seconds is not None]
        assert known == sorted(known)
        assert times[len(known) :] == [None] * (len(times) - len(known))
        assert "ETA▲" in table(pilot).render_line(0).text
        await pilot.press("O")
        assert table(pilot).sorted_by == ("ETA", True)
        assert "ETA▼" in table(pilot).render_line(0).text
        table(pilot).sort_by("")
        assert [row.name for row in table(pilot).rows] == worst_first


async def test_a_view_keeps_filter_and_order() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        table(pilot).sort_by("Rate")
        table(pilot).sort_by("Rate")
        kept, order = fleet(pilot).view_settings(), [row.name for row in table(pilot).rows]
        assert kept == {"sort": "-Rate"}
        table(pilot).sort_by("VM")
        fleet(pilot).apply_view(kept)
        assert (table(pilot).sorted_by, [row.name for row in table(pilot).rows]) == (("Rate", True), order)
        fleet(pilot).apply_view({})
        assert table(pilot).sorted_by == ("", False)


async def test_marks_reach_over_a_range_all_under_the_filter_and_the_rest() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("v", "down", "down", "v")
        assert len(table(pilot).marks) == 3
        await pilot.press("i")
        assert len(table(pilot).marks) == 4
        assert "legacy-gcs-box" not in table(pilot).marks
        await pilot.press("slash", *"limit:cpu", "enter")
        await until(pilot, lambda: len(table(pilot).rows) == 2)
        await pilot.press("m")
        assert table(pilot).marks == {recorded.vm_name(1), recorded.vm_name(3)}
        assert "2 marked" in fleet(pilot).query_one(TotalsLine).text
        await pilot.press("m")
        assert table(pilot).marks == frozenset()


async def press_and_confirm(pilot: Pilot[Any], *keys: str, typed: str = "") -> str:
    """Press keys, take the question, and answer it with yes; returns the question."""
    await pilot.press(*keys)
    kind = ConfirmMany if typed else ConfirmOne
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    title = str(pilot.app.screen.query_one(".confirm--title", Static).render())
    await pilot.press(*(typed or ("left",)), "enter")
    return title


async def test_marked_vms_are_drained_replaced_and_stopped_with_their_number() -> None:
    session = FleetSession(recorded.troubled())
    two = (recorded.vm_name(1), recorded.vm_name(3))
    async with console_on(session).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        for key, verb, title in (
            ("d", "drain", "! Drain 2 VMs"),
            ("p", "stop", "! Stop 2 VMs"),
            ("R", "replace", f"! Replace: ask for 2 new VMs of run {recorded.RUN}"),
        ):
            table(pilot).set_marks(two)
            await pilot.pause()
            assert await press_and_confirm(pilot, key, typed="2") == title
            await until(pilot, lambda verb=verb: len(session.names_of(verb)) == 1)
        assert session.names_of("drain") == session.names_of("stop") == [two]
        assert session.names_of("replace") == [(two[0], f"{two[0]}-a2", two[1], f"{two[1]}-a2")]


async def test_a_dead_vm_can_be_replaced_by_hand_and_one_that_is_replaced_cannot() -> None:
    session = FleetSession(recorded.all_dead())
    async with console_on(session, read_only=False).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        table(pilot).move_to(recorded.vm_name(2))
        await pilot.pause()
        assert await press_and_confirm(pilot, "R") == f"! Replace {recorded.vm_name(2)}?"
        await until(pilot, lambda: session.names_of("replace") == [(f"{recorded.vm_name(2)}-a2",)])
        session.snapshot = recorded.troubled()
        pilot.app.look_again()  # type: ignore[attr-defined]
        await until(pilot, lambda: table(pilot).move_to(recorded.vm_name(2, 2)))
        table(pilot).move_to(recorded.vm_name(2))
        await pilot.pause()
        assert fleet(pilot).off_reasons["replace_vm"] == "nothing of its work is left"


async def test_a_run_is_resized_by_a_number_and_what_that_means_is_shown_before_it_is_done() -> None:
    session = FleetSession(recorded.healthy())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskNumberScreen))
        await pilot.press("3", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmOne))
        text = str(pilot.app.screen.query_one(".confirm--text", Static).render())
        assert "the other VMs of the run take up their shards" in text
        await pilot.press("left", "enter")
        await until(pilot, lambda: len(session.names_of("drain")) == 1)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskNumberScreen))
        await pilot.press("9", "enter")
        await until(pilot, lambda: "another one would have nothing to do" in told(pilot))


async def test_one_of_several_runs_is_chosen_and_everything_is_about_it() -> None:
    session = FleetSession(recorded.two_runs())
    async with console_on(session).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        assert len(table(pilot).rows) == 6
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseScreen))
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(table(pilot).rows) == 2)
        assert fleet(pilot).query_one(Sentence).text.startswith("✓ 2 fine")
        assert fleet(pilot).crumbs() == ("Fleet", recorded.OTHER_RUN)
        assert await press_and_confirm(pilot, "d") == f"! Drain run {recorded.OTHER_RUN}?"
        await until(pilot, lambda: session.names_of("drain") == [(recorded.OTHER_RUN,)])
        await pilot.press("escape")
        await until(pilot, lambda: len(table(pilot).rows) == 6)


async def test_the_timeline_goes_from_a_loss_to_the_vm_that_has_the_shard_now() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(120, 40)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, TimelineScreen))
        assert "1 VM preempted, 1 replacement" in str(pilot.app.screen.query_one("#timeline-title", Static).render())
        assert "preempted 05:31 in asia-northeast1-a" in str(pilot.app.screen.query_one("#timeline-story", Static).render())
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is fleet(pilot))
        assert table(pilot).cursor_key == recorded.vm_name(2, 2)


async def test_a_shell_on_a_local_vm_says_what_it_would_be_and_shows_the_serial_port() -> None:
    async with console_on(FleetSession(recorded.troubled())).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, VmScreen))
        assert f"gcloud compute ssh {recorded.vm_name(0)} --zone=asia-northeast1-a" in told(pilot)


async def test_a_vm_s_detail_shows_its_last_files_and_acts_on_it() -> None:
    session = FleetSession(recorded.troubled())
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, VmScreen))
        files, serial = (pilot.app.screen.query_one(name, SerialPane) for name in ("#vm-files", "#vm-serial"))
        await until(pilot, lambda: bool(files.text))
        assert files.text.splitlines()[0].startswith("05:32:31 ✓ committed binance-futures trades 2024-05-01 BTCUSDT")
        assert (files.display, serial.display) == (True, False)
        await pilot.press("f")
        assert (files.display, serial.display) == (False, True)
        assert await press_and_confirm(pilot, "R") == f"! Replace {recorded.vm_name(0)}?"
        await until(pilot, lambda: len(session.names_of("replace")) == 1)


async def test_two_hundred_vms_repaint_only_the_lines_that_change() -> None:
    session = FleetSession(recorded.healthy(200))
    async with console_on(session).run_test(size=(80, 24)) as pilot:
        await in_mode(pilot, "fleet")
        await until(pilot, lambda: len(table(pilot).rows) == 200)
        painted: list[int] = []
        render = table(pilot).render_line

        def count(y: int) -> Any:
            painted.append(y)
            return render(y)

        table(pilot).render_line = count  # type: ignore[method-assign]
        await pilot.press("down")
        await pilot.pause()
        assert 0 < len(painted) <= 4
        await pilot.press("end")
        await until(pilot, lambda: table(pilot).cursor_key == table(pilot).rows[-1].name)
        assert len(painted) < 60


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
@pytest.mark.parametrize("name", ["healthy", "troubled", "all_dead", "nothing"])
def test_the_screen_looks_as_it_did(snap_compare: SnapCompare, name: str, size: tuple[int, int]) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await in_mode(pilot, "fleet")

    # Read-only: nobody heals while the picture is taken.
    assert snap_compare(console_on(FleetSession(getattr(recorded, name)()), read_only=True), run_before=settle, terminal_size=size)


@pytest.mark.parametrize("name", ["finished", "booting", "two_runs", "costly"])
def test_the_screen_looks_as_it_did_at(snap_compare: SnapCompare, name: str) -> None:
    async def settle(pilot: Pilot[Any]) -> None:
        await in_mode(pilot, "fleet")
        if name == "booting":
            await until(pilot, lambda: shows_its_end(fleet(pilot).query_one(SerialPane)))

    assert snap_compare(console_on(FleetSession(getattr(recorded, name)())), run_before=settle, terminal_size=(80, 24))


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("enter", (80, 24)),
        ("enter", (160, 50)),
        ("a", (80, 24)),
        ("d", (80, 24)),
        ("X", (80, 24)),
        ("R", (80, 24)),
        ("w", (80, 24)),
        ("o", (80, 24)),
        ("t", (80, 24)),
        ("t", (200, 60)),
    ],
    ids=["vm-80x24", "vm-160x50", "abort", "drain", "cleanup", "replace", "resize", "sort", "timeline-80x24", "timeline-200x60"],
)
def test_what_opens_over_it_looks_as_it_did(snap_compare: SnapCompare, key: str, size: tuple[int, int]) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        await in_mode(pilot, "fleet")
        await pilot.press(key)
        await until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        if key == "enter":
            await until(pilot, lambda: all(pane.text for pane in pilot.app.screen.query(SerialPane)))

    snapshot = recorded.finished() if key == "X" else recorded.troubled()
    assert snap_compare(console_on(FleetSession(snapshot)), run_before=ask, terminal_size=size)


def test_a_receipt_with_failures_looks_as_it_did(snap_compare: SnapCompare) -> None:
    session = FleetSession(recorded.finished())
    session.failing = {recorded.vm_name(1): "operation is denied by policy", recorded.vm_name(2): "it was TERMINATED and is RUNNING now"}

    async def clean(pilot: Pilot[Any]) -> None:
        await in_mode(pilot, "fleet")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmMany))
        await pilot.press("4", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeedScreen) and pilot.app.screen.receipt is not None)

    assert snap_compare(console_on(session), run_before=clean, terminal_size=(80, 24))
