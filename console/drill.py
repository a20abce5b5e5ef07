"""The drill: a fleet on this machine is hit by what hits real ones, and the lake must be as if nothing had happened.

VMs are preempted at random, a zone is out of stock, the bucket and the source have bad moments, and the console is killed twice,
perhaps in the middle of the launch. Which shards are struck comes from one seed; when, from how fast this machine is. What the drill
came to is judged in `console.drill_verdict`.
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
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile

from console.sentences import plural
from console.session import Session, open_session
from console.session.planning import Planning
from engine.bucket import create_bucket
from engine.clock import monotonic
from engine.errors import ConfigurationError, SourceError
from engine.estimate import Speed
from engine.heartbeat import Heartbeat
from engine.inventory import Means
from engine.launch import list_runs
from engine.model import DayRange
from engine.plan import Plan, Request
from provision.canary import ABOVE
from provision.local import cloud as local_cloud
from provision.orders import LaunchOrder
from provision.runs import RunView
from provision.shortage import SPOT

SCENARIO = "drill"
VENUES = ("binance", "deribit")
DATA_TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
DAYS = DayRange(date(2024, 5, 1), date(2024, 5, 12))
REFERENCE = "drill-reference"
"""Bucket of the undisturbed lake."""

LOST_SHARE = 0.3
"""Of the VMs so many are preempted."""

CONSOLE_DEATHS = 2
LOOK_SECONDS = 0.3
STRIKES = 3
"""In so many looks all losses may come."""

TOLD_EVERY = 10.0
"""Seconds between two verdicts of the fleet on the timeline."""

TIME_LIMIT_SECONDS = 1800.0
PRIOR_SHARE = 0.00034
"""Files of the scenario over those of the real market."""

BYTES_PER_SECOND = 8 * 20_000.0
"""Of a worker: as many transfers at a time, each as slow as the scenario sends."""

BOOT_CPU_SECONDS = 1.5
"""A worker's start, on one core."""

OUT_OF_STOCK = "asia-northeast1-a"
"""The zone that the service tries first."""

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


def open_drill(vms: int) -> Session:
    """A local cloud of the drill's own, with a profile that allows so many VMs, and VMs on demand where spot ones are lost too often."""
    session = open_session("local", root=drill_root(), source="stand-in", scenario=SCENARIO)
    profile = replace(session.profile, max_vms=max(vms, session.profile.max_vms), on_demand_fallback=True)
    own = Session(profile, session.cloud)
    own.planning = DrillPlanning(own)
    return own


class DrillPlanning(Planning):
    """Estimates that know the drill: small files, sent slowly, and VMs that share the cores of this machine."""

    def means(self, request: Request) -> Means:
        """As for any local run, with the drill's sizes and speed."""
        boots = BOOT_CPU_SECONDS * max(request.shards, 1) / (os.cpu_count() or 1)
        speed = Speed(bytes_per_second=BYTES_PER_SECOND, converters=1, seconds_per_file=0.1, boot_seconds=max(4.0, boots))
        return replace(super().means(request), speed=speed, prior_share=PRIOR_SHARE)


def drill_environment(session: Session) -> dict[str, str]:
    """The environment in which a console of its own process has the drill's profile."""
    return os.environ | {
        "TICKDECK_LOCAL_DIR": str(drill_root()),
        "TICKDECK_PROFILE": "local",
        "TICKDECK_MAX_VMS": str(session.profile.max_vms),
        "TICKDECK_ON_DEMAND_FALLBACK": "true",
    }


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


def fill_reference(session: Session) -> None:
    """Fill the undisturbed lake with one `engine download`.

    Raises:
        SourceError: with what it said, if it did not succeed.
    """
    assert session.cloud is not None
    for name in (REFERENCE, f"{REFERENCE}-state"):
        create_bucket(session.buckets.data.beside(name))
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


def arm_faults(session: Session, timeline: Timeline) -> None:
    """Switch on what goes wrong at the servers."""
    assert session.cloud is not None
    for server, kind, settings in FAULTS:
        local_cloud.call(session.cloud, server, "/_tickdeck/faults", {"fault": kind, **settings})
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        timeline.note(f"armed {server} {kind} {words}")


class Console:
    """Consoles in processes of their own, one after another: the first launches the plan, the others look after its run."""

    def __init__(self, session: Session, plan: Plan, timeline: Timeline) -> None:
        self._session, self._plan, self._timeline = session, plan, timeline
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = TemporaryFile()  # noqa: SIM115  # closed with the last console
        self.run = ""
        self.launching = False
        self.deaths = 0

    def launch(self) -> None:
        """Launch as a person would, and come back as soon as there is a run: the launch goes on, with its canaries.

        Raises:
            SourceError: with what it said, if there is none.
        """
        self._begin("deploy", "plan", self._plan.id, "--yes")
        self.launching = True
        while not self.run:
            ended = self._process is None or self._process.poll() is not None
            self.run = next(iter(list_runs(self._session.buckets.state)), "")
            if ended and not self.run:
                raise SourceError(f"the launch failed: {self._last_words()}")
            time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """Kill it with SIGKILL, and let a new one take over."""
        what = "that launches" if self.launching else "that looks after the run"
        self.deaths += 1
        self.stop(signal.SIGKILL)
        self._timeline.note(f"the console {what} is killed with -9; another one starts")
        self.look_after()

    def look_after(self) -> None:
        """Start one that heals the run."""
        self.launching = False
        self._begin("reconcile", self.run, "--watch")

    def revive(self) -> None:
        """Start another one if this one has come to its own end before the run did."""
        if self._process is not None and self._process.poll() is not None:
            self.look_after()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(60)
            self._process = None

    def close(self) -> None:
        """End the last one."""
        self.stop()
        self._errors.close()

    def _begin(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "console.cli", *words],
            env=drill_environment(self._session),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-500:]


@contextmanager
def launched(session: Session, plan: Plan, timeline: Timeline) -> Iterator[Console]:
    """The plan's run, and a console for it, for the time of the block."""
    console = Console(session, plan, timeline)
    try:
        console.launch()
        yield console
    finally:
        console.close()


class Trouble:
    """Preempts VMs while they work and kills the console; the seed decides which, in which order and how."""

    def __init__(self, session: Session, plan: Plan, chance: random.Random, timeline: Timeline) -> None:
        self._session, self._timeline = session, timeline
        shards = len(plan.shards)
        self.losses = max(1, round(LOST_SHARE * shards))
        self._rank = {shard: place for place, shard in enumerate(chance.sample(range(shards), shards))}
        self._grace = {shard: chance.choice((0, 30)) for shard in range(shards)}
        self._deaths = sorted(chance.sample(range(1, self.losses + 1), min(CONSOLE_DEATHS, self.losses)))
        self.preempted: dict[str, int] = {}
        """VM -> its shard."""

    def strike(self, view: RunView, console: Console) -> None:
        """One look: preempt some VMs that have work left, and kill the console when its time has come."""
        while console.deaths < len(self._deaths) and len(self.preempted) >= self._deaths[console.deaths]:
            console.kill()
        working = [beat for beat in view.heartbeats.values() if self._may_be_struck(view, beat)]
        for victim in sorted(working, key=lambda beat: (self._rank[beat.shard], beat.vm))[: max(self._due(view), 0)]:
            self._preempt(victim)

    def _due(self, view: RunView) -> int:
        """How many to strike at this look: a few, for the work of a fleet is soon done, and looks at a busy machine are rare.

        Of two canaries at most one: the others are to be struck as well.
        """
        if view.canary is not None:
            return 1 - len(self.preempted)
        return min(self.losses - len(self.preempted), max(1, self.losses // STRIKES))

    def _preempt(self, victim: Heartbeat) -> None:
        cloud = self._session.cloud
        assert cloud is not None
        grace = self._grace[victim.shard]
        try:
            local_cloud.call(cloud, "compute", "/_tickdeck/preempt", {"vm": victim.vm, "grace_seconds": grace})
        except ConfigurationError:
            return  # it has ended since the look
        self.preempted[victim.vm] = victim.shard
        notice = "after a notice" if grace else "at once"
        self._timeline.note(f"{victim.vm} is preempted {notice} with {victim.files_done} of {victim.files_total} files done")

    def _may_be_struck(self, view: RunView, beat: Heartbeat) -> bool:
        """Works, has something left, and is a spot VM; each shard is struck once, so that the losses are of as many shards."""
        order = view.find(beat.vm)
        return (
            beat.state == "working"
            and beat.shard in self._rank
            and beat.shard not in self.preempted.values()
            and beat.files_done < beat.files_total
            and order is not None
            and order.provisioning_model == SPOT
        )


def endure(session: Session, trouble: Trouble, console: Console, timeline: Timeline) -> None:
    """Let trouble strike until the run is done.

    Raises:
        SourceError: if its launch stops at its canaries, or it is not done within the time limit.
    """
    deadline = monotonic() + TIME_LIMIT_SECONDS
    told, known = monotonic(), 0
    while True:
        view = session.runs.read(console.run)
        for order in view.orders[known:]:
            timeline.note(tell_order(order))
        known = len(view.orders)
        if view.canary_stop is not None:
            raise SourceError(f"the launch of run {view.run} stopped at its canaries: {view.canary_stop.cause}")
        if not view.unfinished and view.canary is None:
            return
        trouble.strike(view, console)
        console.revive()
        if monotonic() > deadline:
            raise SourceError(f"run {view.run} is not done after {TIME_LIMIT_SECONDS:.0f} s: shards {list(view.unfinished)} are open")
        if monotonic() - told > TOLD_EVERY:
            told = monotonic()
            timeline.note(session.watching.fleet(view.run).verdict)
        time.sleep(LOOK_SECONDS)


def tell_order(order: LaunchOrder) -> str:
    """One line about a launch order: what it asks for in one call, and why."""
    names = list(order.vms)
    some = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    rest = f"; {len(order.follows)} follow when they have proved themselves" if order.follows else ""
    model = "" if order.provisioning_model == SPOT else ", on demand"
    return f"order {order.number}: {plural(len(names), 'VM')} in one call{model} ({order.reason}): {some}{rest}"


def has_canaries(vms: int) -> bool:
    """Whether a fleet of this size starts with canaries."""
    return vms > ABOVE


def count_faults(session: Session) -> dict[str, int]:
    """How often each armed fault struck."""
    assert session.cloud is not None
    struck = {}
    for server in ("compute", "tardis", "storage"):
        for fault in json.loads(local_cloud.call(session.cloud, server, "/_tickdeck/faults"))["faults"]:
            struck[f"{server} {fault['fault']}"] = int(fault.get("struck", 0))
    return struck
