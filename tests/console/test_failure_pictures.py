"""Pictures of what can be wrong, on each screen that shows it: the reason and the next step first, what was seen kept, what is off said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.opening import look_around
from console.recording.recorder import Place, Recorder
from console.recording.replay import Replay, open_recording
from engine.doctor.finding import bad, good
from engine.errors import ConfigurationError, ExitCode, NotPermitted, StoreError
from provision.costs import Spending
from provision.errors import CloudUnavailable
from provision.logs import Batch
from tests.console import recorded_fleet
from tests.console.conftest import Differing
from tests.console.fleet_session import FleetSession, StartingConsole, settled, text_of, until
from tests.console.office_session import OfficeSession
from tests.console.recorded import REQUEST, RecordedSession
from tests.console.test_huge_answers import HugeSession

NO_LINK = CloudUnavailable("list the VMs of asia-northeast1-a: connection refused", hint="check the network, then run again")
BUSY = CloudUnavailable(
    "list the VMs of asia-northeast1-a: 503 The service is currently unavailable", hint="check the network, then run again"
)
EXPIRED = NotPermitted("list the VMs of asia-northeast1-a: Reauthentication is needed", hint="run: gcloud auth application-default login")
DENIED = NotPermitted(
    "gs://market-data-tick-state/manifests/: 403 storage.objects.list", hint="let this account create, get and list objects"
)
NO_BUCKET = ConfigurationError(
    "bucket market-data-tick-state does not exist", hint="create it, or name another: DATA_BUCKET, STATE_BUCKET, or the profile"
)
NO_STORE = StoreError("gs://market-data-tick-state/audit/: connection refused", hint="check the network, then run again")
NO_PROFILE = ConfigurationError("there is no profile 'prd' in ~/.config/tickdeck/config.toml", hint="did you mean 'prod'?")
LATER = timedelta(minutes=4)

SMALL, MIDDLE, LARGE, TINY = (80, 24), (120, 40), (200, 60), (40, 12)
MODES_BY_KEY = {"1": "plan", "2": "fleet", "3": "logs", "4": "coverage", "5": "costs", "6": "audit", "7": "doctor"}


def refusing(error: Exception) -> Callable[..., Any]:
    """A call that fails."""

    def refuse(*_question: Any, **_more: Any) -> Any:
        raise error

    return refuse


@dataclass(frozen=True)
class Failure:
    """A state, and how one gets into it."""

    keys: str
    """Typed one after the other once the console is open; the first is the screen's."""
    shown: str
    """A regular expression that is on the screen then."""
    make: Callable[[], Any] = lambda: RecordedSession(live=True)
    """The session it begins with."""
    strike: Callable[[Any], object] | None = None
    """What happens to it when all of it was seen once; the console asks again then."""
    sizes: tuple[tuple[int, int], ...] = (SMALL,)
    later: timedelta = timedelta()
    """So long after the last good look it happens."""
    toasts: bool = False
    """What is said over the screen is a part of the picture."""


def at_rest() -> RecordedSession:
    return RecordedSession()


def without_bucket() -> RecordedSession:
    session = RecordedSession()
    session.snapshot = NO_BUCKET
    for name in ("live_runs", "plan", "check", "deeds", "spending"):
        setattr(session, name, refusing(NO_BUCKET))
    session.audit = session  # type: ignore[assignment]
    return session


def office(**broken: Exception) -> OfficeSession:
    session = OfficeSession()
    strike(session, **broken)
    return session


def strike(session: Any, **broken: Exception) -> None:
    """From now on these calls fail."""
    for name, error in broken.items():
        if name == "deeds":
            session.audit = SimpleNamespace(deeds=refusing(error))
        elif name == "fleet":
            session.snapshot = error
        else:
            setattr(session, name, refusing(error))


def struck(**broken: Exception) -> Callable[[Any], None]:
    return lambda session: strike(session, **broken)


def with_batches(*batches: Batch) -> RecordedSession:
    session = RecordedSession(live=True)
    session.batches = list(batches)
    session.left_behind = CloudUnavailable("read log entries: connection refused", hint="check the network, then run again")
    return session


def without_changes() -> OfficeSession:
    session = OfficeSession()
    session.store.objects.clear()
    return session


def without_costs() -> OfficeSession:
    session = OfficeSession()
    session.spent = Spending((), {})
    return session


def leased() -> RecordedSession:
    session = RecordedSession(live=True)
    session.snapshot = recorded_fleet.leased_by_another()
    return session


def sick() -> OfficeSession:
    session = OfficeSession()
    session.found = [
        bad("credentials", "Reauthentication is needed", "run: gcloud auth application-default login", ExitCode.NOT_PERMITTED),
        bad("data bucket", str(NO_BUCKET), NO_BUCKET.hint, ExitCode.CONFIGURATION),
        bad("quota", "0 of 100 VMs fit in europe-west1: CPUS_ALL_REGIONS is the first to run out",
            "ask for more: `gcloud alpha quotas preferences create --service=compute.googleapis.com`", ExitCode.CONFIGURATION),
        bad("source API", "https://api.tardis.dev/v1: connection refused", "check the network, then run again", ExitCode.UNAVAILABLE),
        good("memory", "25.3 GB, nothing starts above 50 %"),
    ]  # fmt: skip
    return session


def without_serial() -> RecordedSession:
    session = RecordedSession(live=True)
    session.serial_text = ""
    return session


FAILURES = {
    "bucket missing plan": Failure("1", "does not exist", without_bucket, sizes=(SMALL, LARGE), toasts=True),
    "link down plan": Failure("1", "connection refused", at_rest, struck(fleet=NO_LINK)),
    "launch refused": Failure("1l", "not launched", at_rest, struck(launch=DENIED), toasts=True),
    "link down fleet": Failure("2", "× fleet", strike=struck(fleet=NO_LINK), sizes=(SMALL, MIDDLE, LARGE)),
    "link down for minutes": Failure("2", "4 m old", strike=struck(fleet=NO_LINK), sizes=(SMALL, LARGE), later=LATER),
    "fleet never seen": Failure("2", "cannot be seen", lambda: office(fleet=NO_LINK), sizes=(SMALL, LARGE)),
    "bucket missing fleet": Failure("2", "does not exist", without_bucket),
    "credentials expired": Failure("2", "Reauthentication", strike=struck(fleet=EXPIRED), sizes=(SMALL, LARGE)),
    "service busy": Failure("2", "503", strike=struck(fleet=BUSY)),
    "empty project": Failure("2", "No VM|no VM", at_rest),
    "lease of another": Failure("2", "looks after it", leased, sizes=(SMALL, LARGE)),
    "huge fleet": Failure("2", "2000 fine", HugeSession),
    "no serial port": Failure("2\nf", "no VM", without_serial),
    "help without a link": Failure("2?", "no link", strike=struck(fleet=NO_LINK)),
    "logs never seen": Failure("3", "connection refused", lambda: with_batches(Batch(state="reconnecting", reason=str(NO_LINK)))),
    "logs not permitted": Failure(
        "3",
        "Reauth",
        lambda: with_batches(Batch(recorded_fleet.log_entries()), Batch(state="reconnecting", reason=f"{EXPIRED} -> {EXPIRED.hint}")),
    ),
    "older logs not found": Failure("3o", "connection refused", lambda: with_batches(Batch(recorded_fleet.log_entries()))),
    "permission denied": Failure("4", "403", at_rest, struck(check=DENIED), sizes=(SMALL, LARGE)),
    "bucket missing coverage": Failure("4", "does not exist", without_bucket),
    "huge lake": Failure("4n", "109,600 expected", HugeSession),
    "costs never seen": Failure("5", "cannot be added up", lambda: office(spending=NO_STORE)),
    "costs of a while ago": Failure("5", "4 m old", OfficeSession, struck(spending=NO_STORE), sizes=(SMALL, LARGE), later=LATER),
    "no costs": Failure("5", "0 runs|no run|nothing", without_costs),
    "audit never seen": Failure("6", "cannot be read", lambda: office(deeds=NO_STORE)),
    "audit of a while ago": Failure("6", "4 m old", OfficeSession, struck(deeds=DENIED), later=LATER),
    "no changes": Failure("6", "nothing was changed|no change", without_changes),
    "doctor finds much": Failure("7", "4 to mend", sick, sizes=(SMALL, LARGE)),
    **{
        f"{mode} in 40x12": Failure(key, "", OfficeSession if key in "567" else at_rest, sizes=(TINY,))
        for key, mode in MODES_BY_KEY.items()
    },
    "fleet at work in 40x12": Failure("2", "running", sizes=(TINY,)),
    "link down in 40x12": Failure("2", "× fleet", strike=struck(fleet=NO_LINK), sizes=(TINY,)),
    "question in 40x12": Failure("2x", "Delete", sizes=(TINY,)),
    "help in 40x12": Failure("2?", "Help|Keys|keys", sizes=(TINY,)),
}
PICTURES = [pytest.param(failure, id=name.replace(" ", "-")) for name, failure in FAILURES.items()]


class Clock:
    """The recorded moment, put forward by hand."""

    def __init__(self) -> None:
        self.now = recorded_fleet.NOW

    def __call__(self) -> datetime:
        return self.now


def console_in(session: FleetSession) -> ConsoleApp:
    return ConsoleApp(lambda _report: session, REQUEST, clock=Clock())  # type: ignore[arg-type, return-value]


async def get_into(failure: Failure, session: Any, pilot: Pilot[Any]) -> None:
    app: Any = pilot.app
    await until(pilot, lambda: app.is_open and app.screen.is_mounted and (app.fleet.at is not None or app.fleet.is_down))
    screen, *others = failure.keys.replace("\n", "⏎")
    await pilot.press(screen)
    await until(pilot, lambda: app.current_mode == MODES_BY_KEY[screen] and app.screen.is_mounted)
    await until(pilot, lambda: all(app.feeds.of(name).at is not None or app.feeds.of(name).error for name in app.screen.FEEDS))
    await settled(pilot)
    if failure.later:
        app.clock.now += failure.later
    if failure.strike is not None:
        failure.strike(session)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any(app.feeds.of(name).is_down for name in app.screen.FEEDS) or "launch" in vars(session))
    # Sources that go on being asked would tell of another try, sooner or later.
    for name, _ in app.feeds:
        app.workers.cancel_group(app, f"feed {name}")
    for key in others:
        await pilot.press({"⏎": "enter", "?": "question_mark"}.get(key, key))
        await settled(pilot)
    await until(pilot, lambda: bool(re.search(failure.shown, text_of(app), re.DOTALL)))
    if not failure.toasts:
        app.clear_notifications()
        await pilot.pause()


@pytest.mark.parametrize("failure", PICTURES)
async def test_what_is_wrong_looks_as_it_did(differing: Differing, failure: Failure) -> None:
    session = failure.make()
    async with console_in(session).run_test(size=failure.sizes[0], notifications=failure.toasts) as pilot:
        await get_into(failure, session, pilot)
        assert await differing(pilot, failure.sizes) == []


def test_every_screen_has_a_picture_of_something_wrong() -> None:
    assert {failure.keys[0] for failure in FAILURES.values()} == set(MODES_BY_KEY)


STARTS = {
    "no profile": NO_PROFILE,
    "no credentials": NotPermitted("Your default credentials were not found", hint="run: gcloud auth application-default login"),
    "cloud is dead": CloudUnavailable("the local cloud does not answer", hint="tickdeck local down, then up"),
}


@pytest.mark.parametrize("name", STARTS, ids=[name.replace(" ", "-") for name in STARTS])
async def test_a_start_that_fails_looks_as_it_did(differing: Differing, name: str) -> None:
    def opener(report: Callable[[str, str], None]) -> Any:
        report("credentials", "running")
        raise STARTS[name]

    async with StartingConsole(opener).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "r tries again" in text_of(pilot.app))
        assert await differing(pilot, (SMALL, TINY, LARGE)) == []


@pytest.fixture(scope="module")
def recording_of_little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One look at the fleet."""
    path = tmp_path_factory.mktemp("recording") / "little.tickdeck"
    recorder = Recorder(Place(path, is_ring=False), clock=recorded_fleet.clock)
    session: Any = RecordedSession(live=True)
    recorder.begin(look_around(session, REQUEST, lambda _step, _state: None))
    session.watching.fleet(recorded_fleet.RUN)
    recorder.stop()
    return path


@pytest.mark.parametrize("key", MODES_BY_KEY, ids=MODES_BY_KEY.values())
async def test_what_was_not_recorded_looks_as_it_did(differing: Differing, recording_of_little: Path, key: str) -> None:
    replay = Replay(open_recording(recording_of_little))
    app = ConsoleApp(lambda _report: replay.session(), None, read_only=True, replay=replay)
    async with app.run_test(size=SMALL) as pilot:
        await get_into(Failure(key, ""), None, pilot)
        assert await differing(pilot, (SMALL,)) == []


@pytest.mark.parametrize("name", ["link down fleet", "permission denied"])
async def test_every_screen_lives_through_a_terminal_of_40_by_12_and_back(name: str) -> None:
    failure = FAILURES[name]
    session = failure.make()
    async with console_in(session).run_test(size=MIDDLE) as pilot:
        app: Any = pilot.app
        await get_into(failure, session, pilot)
        for key in MODES_BY_KEY:
            await pilot.press(key)
            await pilot.pause()
            for size in (TINY, MIDDLE):
                await pilot.resize_terminal(*size)
                await pilot.pause()
        assert app.is_running
        assert (app.size.width, app.size.height) == MIDDLE
