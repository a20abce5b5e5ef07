"""The switch that makes a process die at a named point: only where it can do no harm, and never by a name nobody knows."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PASS = "from engine.fault_points import FaultPoint, reach; [reach(FaultPoint(name)) for name in {names!r}.split()]; print('alive')"
HERE = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}


def pass_points(names: str, wish: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASS.format(names=names)],
        env={"TICKDECK_KILL_AT": wish, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("names", "wish", "signum"),
    [
        ("converted", "converted", signal.SIGKILL),
        ("converted converted", "converted:2", signal.SIGKILL),
        ("converted body_received", "converted:1:TERM", signal.SIGTERM),
        ("converted body_received", "converted:2,body_received", signal.SIGKILL),
        ("converted body_received", "converted:2:TERM,body_received:1:TERM", signal.SIGTERM),
    ],
)
def test_a_process_ends_at_the_point_it_was_told(names: str, wish: str, signum: signal.Signals) -> None:
    assert pass_points(names, wish, HERE).returncode == -signum


@pytest.mark.parametrize(("names", "wish"), [("converted", "converted:2"), ("converted", "body_received"), ("converted", "")])
def test_a_process_that_never_comes_to_the_point_goes_on(names: str, wish: str) -> None:
    assert pass_points(names, wish, HERE).stdout == "alive\n"


def test_against_the_real_storage_the_switch_does_nothing() -> None:
    assert pass_points("converted", "converted", {}).stdout == "alive\n"


@pytest.mark.parametrize("wish", ["konverted", "converted:x", "converted:1:HUH", "body_received,konverted"])
def test_a_wish_that_names_no_point_is_refused_by_its_name(wish: str) -> None:
    done = pass_points("converted", wish, HERE)
    assert done.returncode == 1
    assert f"{wish.rpartition(',')[2]!r} names no fault point" in done.stderr
