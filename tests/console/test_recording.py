"""Recordings: what a console saw is played again, a cut file plays what is whole, no secret is in it, and the ring stays small."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console import cli
from console.app import ConsoleApp
from console.opening import Opened, look_around
from console.recording import recorder as recording
from console.recording.frames import SUFFIX, read_recording
from console.recording.recorder import Place, Recorder, ring_pieces
from console.recording.replay import Replay, open_recording
from console.widgets.sentence import Sentence
from console.widgets.status_bar import StatusBar
from console.widgets.trouble_line import TroubleLine
from engine.errors import NotPermitted, UsageError
from engine.model import DayRange
from tests.console import recorded_fleet
from tests.console.fleet_session import FleetSession, until
from tests.console.recorded import DAYS, REQUEST, TYPES, VENUES, RecordedSession

SECRET = "td-live-0123456789abcdef"


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = recorded_fleet.NOW

    def __call__(self) -> Any:
        return self.now


def record(place: Place, session: FleetSession, see: Callable[[Any, Clock], None], *, hours: int = 0) -> None:
    """Let a recorder take down what `see` asks of a session, so many hours after the recorded moment."""
    clock = Clock()
    clock.now += timedelta(hours=hours)
    recorder = Recorder(place, clock=clock)
    opened: Opened = look_around(session, REQUEST, lambda _step, _state: None)  # type: ignore[arg-type]
    recorder.begin(opened)
    see(session, clock)
    recorder.stop()
    assert (recorder.problem, recorder.dropped) == ("", 0)


def incident(session: Any, clock: Clock) -> None:
    """All is well; a VM is preempted; the credentials expire; all is well again."""
    for snapshot in (
        recorded_fleet.healthy(),
        recorded_fleet.preempted(),
        NotPermitted("no token", hint="log in"),
        recorded_fleet.healthy(),
    ):
        session.watching._inner.snapshot = snapshot
        with suppress(NotPermitted):
            session.watching.fleet(recorded_fleet.RUN)
        session.coverage.check(DAYS, VENUES, TYPES, symbols=(), universe="")
        clock.now += timedelta(seconds=10)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The incident, recorded."""
    path = tmp_path_factory.mktemp("recording") / f"incident{SUFFIX}"
    record(Place(path, is_ring=False), RecordedSession(live=True), incident)
    return path


def test_answers_and_failures_are_played_as_they_were(file: Path) -> None:
    replay = Replay(open_recording(file))
    session = replay.session()
    assert replay.position == (1, 4)
    assert session.watching.fleet(recorded_fleet.RUN) == recorded_fleet.healthy()
    assert session.coverage.check(DAYS, VENUES, TYPES, symbols=(), universe="") == RecordedSession().check(DAYS, VENUES, TYPES)
    assert replay.move(1)
    assert session.watching.fleet("another") == recorded_fleet.preempted(), "the newest will do"
    assert replay.move(1)
    with pytest.raises(NotPermitted, match="no token") as refused:
        session.watching.fleet(recorded_fleet.RUN)
    assert refused.value.hint == "log in"
    assert replay.clock() == recorded_fleet.NOW + timedelta(seconds=20)
    assert replay.move(-5)
    assert not replay.move(-1)


def test_what_was_never_asked_is_refused_by_name_and_nothing_can_be_changed(file: Path) -> None:
    session = Replay(open_recording(file)).session()
    with pytest.raises(UsageError, match="no answer to this"):
        session.planning.plan(REQUEST)
    with pytest.raises(UsageError, match="this is a recording"):
        session.changes.propose_drain(recorded_fleet.RUN)
    with pytest.raises(UsageError, match="this is a recording"):
        session.buckets.state.get("x")
    assert session.profile.read_only


def test_a_file_that_is_cut_anywhere_plays_what_is_whole(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    first = len(whole) - 200
    cut = tmp_path / "cut"
    seen = []
    for end in range(first, len(whole), 7):
        cut.write_bytes(whole[:end])
        found = read_recording(cut)
        assert found.cut
        seen.append(len(found.frames))
    assert seen == sorted(seen)
    cut.write_bytes(whole[: len(whole) // 2] + b"\xff" + whole[len(whole) // 2 + 1 :])
    assert read_recording(cut).cut
    assert not read_recording(file).cut


@pytest.mark.parametrize("data", [b"", b"hello", b"TICKDECK-RECORDING 2\n", b"TICKDECK-RECORDING 1\n\0\0"])
def test_what_is_no_recording_is_refused_with_the_next_step(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(UsageError) as refused:
        open_recording(path)
    assert str(path) in str(refused.value)
    assert refused.value.hint


def test_no_secret_is_in_the_file_in_any_spelling(tmp_path: Path) -> None:
    session = RecordedSession(live=True)
    session.api_key = SECRET
    session.serial_text = f"TARDIS_API_KEY={SECRET} {SECRET.encode().hex()}\n"
    path = tmp_path / "file"
    record(Place(path, is_ring=False), session, lambda session, _clock: session.logs.serial("vm-a"))
    replay = Replay(open_recording(path))
    shown = replay.session().logs.serial("vm-a")
    assert shown == f"TARDIS_API_KEY={'*' * len(SECRET)} {'*' * 2 * len(SECRET)}\n"
    assert path.stat().st_mode & 0o077 == 0


def test_what_is_said_twice_is_written_once_and_what_a_call_asks_in_its_turn_is_a_part_of_its_answer(tmp_path: Path) -> None:
    class Asking(RecordedSession):
        def arrivals(self, *args: Any, **kwargs: Any) -> Any:
            self.coverage.check(DAYS, VENUES, TYPES)  # type: ignore[attr-defined]  # by way of the recorder, as a real session does
            return super().arrivals(*args, **kwargs)

    def ask(session: Any, _clock: Clock) -> None:
        coverage = RecordedSession().check(DAYS, VENUES, TYPES)
        for _ in range(3):
            session.coverage.arrivals(VENUES, TYPES, coverage=coverage)
            assert [finding.check for finding in session.launching.preflight()] == ["credentials", "quota"]
        session.watching.fleet()
        session.watching.fleet()

    path = tmp_path / "file"
    record(Place(path, is_ring=False), Asking(live=True), ask)
    assert [frame.call for frame in read_recording(path).frames] == ["coverage.arrivals", "launching.preflight", *["watching.fleet"] * 2]
    replayed = Replay(open_recording(path)).session()
    assert [finding.check for finding in replayed.launching.preflight()] == ["credentials", "quota"]


def test_the_ring_stays_within_its_size_and_its_newest_session_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PIECE_BYTES", 4_000)
    monkeypatch.setattr(recording, "RING_BYTES", 40_000)

    def look_often(session: Any, clock: Clock) -> None:
        for number in range(30):
            session.watching._inner.snapshot = recorded_fleet.healthy(2 + number % 3)
            session.watching.fleet(recorded_fleet.RUN)
            clock.now += timedelta(seconds=5)

    for hours in range(2):
        record(Place(tmp_path, is_ring=True), RecordedSession(live=True), look_often, hours=hours)
    assert 20_000 < sum(piece.stat().st_size for piece in ring_pieces(tmp_path)) <= 40_000
    replay = Replay(open_recording(tmp_path))
    assert replay.position[1] <= 30
    assert replay.session().watching.fleet(recorded_fleet.RUN).runs


async def test_the_whole_console_plays_it_step_by_step(file: Path) -> None:
    replay = Replay(open_recording(file))
    async with ConsoleApp(lambda _report: replay.session(), None, read_only=True, replay=replay).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: pilot.app.current_mode == "fleet" and pilot.app.screen.is_mounted)
        await until(pilot, lambda: "4 fine" in pilot.app.screen.query_one(Sentence).text)
        assert "REPLAY 05:36:12 1/4" in pilot.app.screen.query_one(StatusBar).text
        await pilot.press("full_stop")
        await until(pilot, lambda: "preempted" in pilot.app.screen.query_one(Sentence).text)
        assert "REPLAY 05:36:22 2/4" in pilot.app.screen.query_one(StatusBar).text
        await pilot.press("full_stop")
        await until(pilot, lambda: "no token" in pilot.app.screen.query_one(TroubleLine).text)
        await pilot.press("comma", "comma")
        await until(pilot, lambda: "4 fine" in pilot.app.screen.query_one(Sentence).text)
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.current_mode == "coverage" and "holes" in pilot.app.screen.query_one(Sentence).text)


def test_days_are_keys_as_they_are_answers() -> None:
    from console.recording.calls import key_of

    other = DayRange(DAYS.start, DAYS.end - timedelta(days=1))
    assert key_of((DAYS, VENUES), {"report": print}) == key_of((DAYS, VENUES), {})
    assert key_of((DAYS, VENUES), {}) != key_of((other, VENUES), {})


def test_the_options_are_the_consoles_own() -> None:
    done = CliRunner().invoke(cli.command, ["--replay", "x", "fleet"], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
