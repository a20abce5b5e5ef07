"""The drill: a fleet on this machine is hit by what hits real ones, and the lake must be as if nothing had happened.

VMs are preempted at random, a zone is out of stock, the bucket and the source have bad moments, and the console that watches is
killed twice. Everything random comes from one seed. The verdict is taken from outside: both lakes are listed and compared, object
by object, with one that a single undisturbed process has filled from the same source.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from console.session import Session
from engine.clock import monotonic
from engine.errors import SourceError
from engine.heartbeat import list_heartbeats
from engine.manifest import read_cell
from engine.model import Cell, DayRange, Outcome
from engine.plan import Plan, Request
from engine.store import Store, create_bucket
from provision.local import cloud as local_cloud

SCENARIO = "drill"
VENUES = ("binance", "deribit")
DATA_TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
DAYS = DayRange(date(2024, 5, 1), date(2024, 5, 12))
REFERENCE = "drill-reference"
"""Bucket of the undisturbed lake."""

LOST_SHARE = 0.3
"""Of the VMs so many are preempted."""

CONSOLE_DEATHS = 2
TIME_LIMIT_SECONDS = 1200.0
OUT_OF_STOCK = "asia-northeast1-b"

Tell = Callable[[str], None]
FAULTS = (
    ("compute", "stockout", {"zone": OUT_OF_STOCK}),
    ("tardis", "burst_429", {"count": 5, "retry_after": 1}),
    ("tardis", "truncated_body", {"count": 3}),
    ("storage", "status", {"status": 503, "count": 6}),
    ("storage", "lost_reply", {"count": 3, "match": "raw_tick_data"}),
)
"""Server, kind, settings."""


def drill_root() -> Path:
    """The drill's own folder, beside the local cloud's."""
    root = local_cloud.default_root()
    return root.with_name(root.name + "-drill")


def drill_request(vms: int) -> Request:
    """What the fleet works on: one shard a VM."""
    return Request(venues=VENUES, data_types=DATA_TYPES, start=DAYS.start, end=DAYS.end, shards=vms)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline."""

    seconds: float
    text: str


@dataclass(slots=True)
class Timeline:
    """What happened, in order."""

    tell: Tell
    events: list[Event] = field(default_factory=list)
    _began: float = field(default_factory=monotonic)

    def note(self, text: str) -> None:
        """Something happened now."""
        event = Event(round(monotonic() - self._began, 1), text)
        self.events.append(event)
        self.tell(f"{event.seconds:7.1f} s  {text}")


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake as its buckets say: what a drill compares."""

    objects: dict[str, tuple[int, str]]
    """Name -> (size, CRC-32C)."""
    outcomes: dict[tuple[Cell, str], tuple[Outcome, int]]
    """(cell, symbol) -> (outcome, rows)."""


def read_lake(data: Store, state: Store) -> Lake:
    """List a lake."""
    objects = {info.name: (info.size, info.crc32c) for info in data.list("raw_tick_data/")}
    outcomes = {}
    for day in DAYS:
        for venue in VENUES:
            for data_type in DATA_TYPES:
                cell = Cell(day, data_type, venue)
                for symbol, record in read_cell(state, cell).items():
                    outcomes[cell, symbol] = (record.entry.outcome, record.entry.rows)
    return Lake(objects, outcomes)


def differences(found: Lake, wanted: Lake) -> list[str]:
    """How a lake differs from the undisturbed one; empty if it does not."""
    problems = [f"{name} is missing" for name in sorted(wanted.objects.keys() - found.objects.keys())]
    problems += [f"{name} should not be there" for name in sorted(found.objects.keys() - wanted.objects.keys())]
    problems += [
        f"{name} has other bytes"
        for name in sorted(wanted.objects.keys() & found.objects.keys())
        if found.objects[name] != wanted.objects[name]
    ]
    for key in sorted(wanted.outcomes.keys() | found.outcomes.keys()):
        if found.outcomes.get(key) != wanted.outcomes.get(key):
            cell, symbol = key
            problems.append(f"{cell} {symbol}: {found.outcomes.get(key)} instead of {wanted.outcomes.get(key)}")
    return problems


def fill_reference(session: Session) -> None:
    """Fill the undisturbed lake with one `engine download`.

    Raises:
        SourceError: with what it said, if it did not succeed.
    """
    assert session.cloud is not None
    client = session.buckets.data._client
    for name in (REFERENCE, f"{REFERENCE}-state"):
        create_bucket(Store(client, name))
    days = ("--start", DAYS.start.isoformat(), "--end", DAYS.end.isoformat())
    words = ("download", "--venues", ",".join(VENUES), "--data-types", ",".join(DATA_TYPES), *days, "--json")
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *words],
        env=os.environ | session.cloud.environment() | {"DATA_BUCKET": REFERENCE, "STATE_BUCKET": "", "MAX_CONCURRENT": "50"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise SourceError(f"the undisturbed lake could not be filled: {done.stderr.strip()[-500:]}")


def reference_lake(session: Session) -> Lake:
    """The undisturbed lake."""
    client = session.buckets.data._client
    return read_lake(Store(client, REFERENCE), Store(client, f"{REFERENCE}-state"))


def arm_faults(session: Session, timeline: Timeline) -> None:
    """Switch on what goes wrong at the servers."""
    assert session.cloud is not None
    for server, kind, settings in FAULTS:
        local_cloud.call(session.cloud, server, "/_tickdeck/faults", {"fault": kind, **settings})
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        timeline.note(f"armed {server} {kind} {words}")


class Console:
    """A console of its own process that heals a run, and can be killed."""

    def __init__(self, run: str, timeline: Timeline) -> None:
        self._run, self._timeline = run, timeline
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again."""
        words = [sys.executable, "-m", "console.cli", "reconcile", self._run, "--watch"]
        environment = os.environ | {"TICKDECK_LOCAL_DIR": str(drill_root()), "TICKDECK_PROFILE": "local"}
        self._process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill it with SIGKILL, and let a new one take over."""
        self.stop(signal.SIGKILL)
        self._timeline.note("the console is killed with -9; another one starts")
        self.start()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(60)
            self._process = None

    def revive(self) -> None:
        """Start it again if it has ended by itself before the run was done."""
        if self._process is not None and self._process.poll() is not None:
            self.start()


@contextmanager
def healing(run: str, timeline: Timeline) -> Iterator[Console]:
    """A console that watches a run for the time of the block."""
    console = Console(run, timeline)
    console.start()
    try:
        yield console
    finally:
        console.stop()


class Trouble:
    """Preempts VMs while they work and kills the console, in an order that the seed decides."""

    def __init__(self, session: Session, plan: Plan, run: str, chance: random.Random, timeline: Timeline) -> None:
        self._session, self._run, self._chance, self._timeline = session, run, chance, timeline
        self.losses = max(1, round(LOST_SHARE * len(plan.shards)))
        self._deaths = sorted(chance.sample(range(1, self.losses + 1), min(CONSOLE_DEATHS, self.losses)))
        self.preempted: list[str] = []
        self.console_deaths = 0

    def strike(self, console: Console) -> None:
        """One look: preempt at most one VM that has work left, and kill the console when its time has come."""
        while self.console_deaths < len(self._deaths) and len(self.preempted) >= self._deaths[self.console_deaths]:
            self.console_deaths += 1
            console.kill()
        if len(self.preempted) >= self.losses:
            return
        beats = [
            beat
            for beat in list_heartbeats(self._session.buckets.state, self._run)
            if beat.state == "working" and beat.vm not in self.preempted and 0 < beat.files_done < beat.files_total
        ]
        if not beats:
            return
        victim = self._chance.choice(sorted(beats, key=lambda beat: beat.vm))
        cloud = self._session.cloud
        assert cloud is not None
        grace = self._chance.choice((0, 30))
        local_cloud.call(cloud, "compute", "/_tickdeck/preempt", {"vm": victim.vm, "grace_seconds": grace})
        self.preempted.append(victim.vm)
        notice = "at once" if not grace else "after a notice"
        self._timeline.note(f"{victim.vm} is preempted {notice} with {victim.files_done} of {victim.files_total} files done")


def endure(session: Session, run: str, trouble: Trouble, console: Console, timeline: Timeline) -> None:
    """Let trouble strike until the run is done.

    Raises:
        SourceError: if it is not done within the time limit.
    """
    deadline = monotonic() + TIME_LIMIT_SECONDS
    told = 0.0
    while True:
        trouble.strike(console)
        console.revive()
        view = session.runs.read(run)
        if not view.unfinished:
            return
        if monotonic() > deadline:
            raise SourceError(f"run {run} is not done after {TIME_LIMIT_SECONDS:.0f} s: shards {list(view.unfinished)} are open")
        if monotonic() - told > 10:
            told = monotonic()
            timeline.note(f"{session.watching.fleet(run).verdict}")
        time.sleep(0.3)


def count_faults(session: Session) -> dict[str, int]:
    """How often each armed fault struck."""
    assert session.cloud is not None
    struck = {}
    for server in ("compute", "tardis", "storage"):
        for fault in json.loads(local_cloud.call(session.cloud, server, "/_tickdeck/faults"))["faults"]:
            struck[f"{server} {fault['fault']}"] = int(fault.get("struck", 0))
    return struck
