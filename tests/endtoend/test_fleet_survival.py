"""A VM that loses its power in the middle of its work, and a console that is killed: what is committed stays, the rest comes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.session import Session, open_session
from engine.heartbeat import list_heartbeats
from engine.model import DayRange
from engine.paths import parse_data_object
from engine.plan import Request
from engine.source import dataset_path
from provision.local import cloud as local_cloud
from provision.local.tardis.loading import load_scenario
from tests.local_servers import make_lake

VENUES = ("binance", "deribit")
DATA_TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
LIMIT = 120.0


def request() -> Request:
    scenario = load_scenario("tiny")
    return Request(venues=VENUES, data_types=DATA_TYPES, start=scenario.first_day, end=scenario.last_day, shards=2)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "cloud"
    monkeypatch.setenv("TICKDECK_LOCAL_DIR", str(root))
    yield root
    local_cloud.down(root)


@pytest.fixture
def session(place: Path) -> Session:
    opened = open_session("local", root=place, scenario="tiny")
    assert opened.cloud is not None
    slow = {"fault": "slow", "bytes_per_second": 3_000, "match": ".csv.gz", "count": 10_000}
    local_cloud.call(opened.cloud, "tardis", "/_tickdeck/faults", slow)
    return opened


def content(session: Session) -> dict[str, tuple[int, str]]:
    found = {}
    for info in session.buckets.data.list("raw_tick_data/"):
        data = session.buckets.data.get(info.name)
        assert data is not None
        found[info.name] = (info.generation, hashlib.sha256(data.data).hexdigest())
    return found


def wait_for_share(session: Session, run: str, low: float, high: float) -> str:
    """The first VM whose heartbeat shows a share of its files done within the bounds."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        for beat in list_heartbeats(session.buckets.state, run):
            if beat.files_total and low <= beat.files_done / beat.files_total <= high and beat.state == "working":
                return beat.vm
        time.sleep(0.05)
        assert session.runs.read(run).unfinished, "the run ended before a VM was seen in the middle of its work"
    raise AssertionError("no VM was seen in the middle of its work")


def finish(session: Session, run: str, *, reconcile: bool) -> None:
    deadline = time.monotonic() + LIMIT
    while session.runs.read(run).unfinished:
        if reconcile:
            session.healing.reconcile(run)
        assert time.monotonic() < deadline, session.watching.fleet(run).verdict
        time.sleep(0.2)


def requests(session: Session) -> list[dict[str, Any]]:
    assert session.cloud is not None
    answer = json.loads(local_cloud.call(session.cloud, "tardis", "/_tickdeck/requests"))
    return list(answer["requests"])


def test_a_vm_without_power_is_replaced_and_nothing_committed_is_fetched_again(session: Session) -> None:
    launched = session.launching.launch(session.planning.plan(request()))
    assert not launched.failed
    victim = wait_for_share(session, launched.run, 0.2, 0.8)
    assert session.cloud is not None
    local_cloud.call(session.cloud, "compute", "/_tickdeck/kill", {"vm": victim})
    since = datetime.now(UTC).isoformat()
    before = content(session)
    assert before
    local_cloud.call(session.cloud, "tardis", "/_tickdeck/faults", method="DELETE")
    finish(session, launched.run, reconcile=True)

    after = content(session)
    assert {name: after[name] for name in before} == before, "a committed object changed"
    asked = [row["path"] for row in requests(session) if row["asked"] >= since]
    for name in before:
        assert not [path for path in asked if dataset_path(parse_data_object(name)) in path], f"{name} was fetched again"
    coverage = session.coverage.check(DayRange(request().start, request().end), VENUES, DATA_TYPES)
    assert not coverage.holes()
    rows = [vm for vm in session.watching.fleet(launched.run).vms if vm.name == victim]
    assert rows
    assert rows[0].replaced_by

    calm = open_session("local", root=session.cloud.root, scenario="tiny")
    storage = type("Server", (), {"url": session.cloud.url("storage")})()
    undisturbed = make_lake(storage, type("Server", (), {"url": session.cloud.url("tardis")})(), "undisturbed")
    arguments = ("--venues", ",".join(VENUES), "--data-types", ",".join(DATA_TYPES))
    days = ("--start", str(request().start), "--end", str(request().end))
    key = {"TARDIS_API_KEY": calm.cloud.api_key} if calm.cloud else {}
    done = undisturbed.engine("download", *arguments, *days, **key)
    assert done.returncode == 0, done.stderr
    same = {}
    for info in undisturbed.data.list("raw_tick_data/"):
        data = undisturbed.data.get(info.name)
        assert data is not None
        same[info.name] = hashlib.sha256(data.data).hexdigest()
    assert {name: digest for name, (_, digest) in after.items()} == same


def test_a_run_finishes_without_the_console_that_started_it(place: Path) -> None:
    days = (str(request().start), str(request().end))
    command = [
        *(sys.executable, "-m", "console.cli", "deploy", "download", "--yes", "--shards", "2"),
        *("--venues", ",".join(VENUES), "--data-types", ",".join(DATA_TYPES), "--start", days[0], "--end", days[1]),
    ]
    session = open_session("local", root=place, scenario="tiny")
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(place)}
    # The scenario must be the one that runs already: `deploy` finds this cloud and leaves it as it is.
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + LIMIT
    while not (runs := session.watching.live_runs()):
        assert time.monotonic() < deadline
        assert process.poll() in (None, 0)
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    process.wait()
    finish(session, runs[0], reconcile=False)
    assert not session.coverage.check(DayRange(request().start, request().end), VENUES, DATA_TYPES).holes()


def watch(place: Path, run: str, *arguments: str) -> subprocess.Popen[str]:
    """`tickdeck reconcile RUN --watch --json`, as cron would start it."""
    words = [sys.executable, "-m", "console.cli", "reconcile", run, "--watch", "--json", "--interval", "0.5", *arguments]
    return subprocess.Popen(
        words, env=os.environ | {"TICKDECK_LOCAL_DIR": str(place)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def events_of(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def wait_until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT:.0f} s: {what}"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_watcher_that_is_killed_is_followed_by_another_and_no_vm_is_left(place: Path, session: Session) -> None:
    launched = session.launching.launch(session.planning.plan(request()))
    victim = wait_for_share(session, launched.run, 0.1, 0.8)
    first = watch(place, launched.run)
    wait_until(lambda: session.runs.read(launched.run).lease is not None, "the first watcher has the lease")
    first.kill()
    first.communicate()
    assert session.cloud is not None
    local_cloud.call(session.cloud, "compute", "/_tickdeck/kill", {"vm": victim})
    told = watch(place, launched.run)
    wait_until(
        lambda: f"{victim}-a2" in {vm.name for vm in session.watching.fleet(launched.run).vms}, "the second one replaces what was lost"
    )
    told.send_signal(signal.SIGTERM)
    output, _ = told.communicate(timeout=LIMIT)
    assert told.returncode == 75, output
    assert [event["event"] for event in events_of(output)][-1] == "stopped"
    assert ("asked for", [f"{victim}-a2"]) in [(event["event"], event["vms"]) for event in events_of(output)]
    assert session.runs.read(launched.run).lease is None, "who is told to stop gives the lease back"
    local_cloud.call(session.cloud, "tardis", "/_tickdeck/faults", method="DELETE")
    last = watch(place, launched.run)
    output, _ = last.communicate(timeout=LIMIT)
    assert last.returncode == 0, output
    assert events_of(output)[-1]["event"] == "complete"
    assert not [vm for vm in session.watching.fleet(launched.run).vms if vm.exists]
    assert not session.coverage.check(DayRange(request().start, request().end), VENUES, DATA_TYPES).holes()


def test_one_vm_that_is_left_completes_the_run_although_no_console_lives(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from console.session import planning

    monkeypatch.setattr(planning, "LOCAL_WORKER_SETTINGS", {**planning.LOCAL_WORKER_SETTINGS, "STALE_SECONDS": "5", "HEAL_SECONDS": "1"})
    four = session.planning.plan(Request(**_fields(request()), shards=4))
    launched = session.launching.launch(four)
    survivor = wait_for_share(session, launched.run, 0.05, 0.9)
    assert session.cloud is not None
    victims = sorted(set(launched.created) - {survivor})
    assert len(victims) == 3
    for victim in victims:
        local_cloud.call(session.cloud, "compute", "/_tickdeck/kill", {"vm": victim})
    local_cloud.call(session.cloud, "tardis", "/_tickdeck/faults", method="DELETE")
    finish(session, launched.run, reconcile=False)
    assert len(session.runs.read(launched.run).orders) == 1, "nobody asked for another VM"
    holders = {claim.vm for claim in session.runs.read(launched.run).claims.values()}
    assert holders == {survivor}
    assert not session.coverage.check(DayRange(request().start, request().end), VENUES, DATA_TYPES).holes()


def _fields(asked: Request) -> dict[str, Any]:
    return {"venues": asked.venues, "data_types": asked.data_types, "start": asked.start, "end": asked.end}
