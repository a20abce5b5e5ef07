"""The demo: a request whose true result is known in advance, with mishaps planted in it, and the proof that the lake agrees.

The stand-in's scenario says which file ends how; this module turns that into the states that coverage must show, preempts one VM
while it works, counts what struck, and compares. Both ways of the demo, with and without a terminal, use it.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from console.session import Session
from engine.coverage import Coverage
from engine.heartbeat import Heartbeat, list_heartbeats
from engine.manifest import read_cell
from engine.model import Cell, CellState, DayRange
from engine.plan import Request
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud
from provision.local.tardis.loading import load_scenario
from provision.local.tardis.truth import ScenarioFile, cell_states, scenario_files

SCENARIO = "demo"
VENUES = ("binance", "binance-futures", "deribit")
DATA_TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
DAYS = DayRange(date(2024, 5, 1), date(2024, 5, 4))
"""The last day is one that the source has not published yet."""
VMS = 4

PREEMPT_FROM = 0.2
"""A VM is preempted once this share of its files is done, and not all: it has committed some, and leaves some to others."""

REAL_VENUES, REAL_DATA_TYPES = ("deribit",), ("trades", "liquidations")
REAL_SYMBOLS = ("BTC-PERPETUAL", "ETH-PERPETUAL")


def demo_request(*, real_source: bool = False) -> Request:
    """What the demo asks for."""
    if real_source:
        first = date(2024, 5, 1)  # first days of months are free and need no key
        return Request(venues=REAL_VENUES, data_types=REAL_DATA_TYPES, symbols=REAL_SYMBOLS, start=first, end=first, shards=2)
    return Request(venues=VENUES, data_types=DATA_TYPES, start=DAYS.start, end=DAYS.end, shards=VMS)


def clear_lake(root: Path) -> None:
    """Forget the last demo's lake, runs and logs. Market data that was generated stays: it is the same every time."""
    for part in ("storage", "compute", "logs"):
        shutil.rmtree(root / part, ignore_errors=True)
    (root / "tardis" / "requests.jsonl").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Truth:
    """What the demo must end in."""

    files: tuple[ScenarioFile, ...]
    states: Mapping[Cell, CellState]

    @property
    def rows(self) -> int:
        """Rows that the lake must hold."""
        return sum(file.rows for file in self.files)


def planted_truth() -> Truth:
    """The truth of the demo's request, out of the scenario alone."""
    files = tuple(file for file in scenario_files(load_scenario(SCENARIO), DAYS) if file.venue in VENUES and file.data_type in DATA_TYPES)
    known = {Cell(day, data_type, venue): CellState(state) for (venue, data_type, day), state in cell_states(files).items()}
    product = (Cell(day, data_type, venue) for day in DAYS for venue in VENUES for data_type in DATA_TYPES)
    return Truth(files, {cell: known.get(cell, CellState.NOT_EXPECTED) for cell in product})


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that was planted, how often it must strike, and how often it did."""

    what: str
    planted: int
    struck: int

    @property
    def agrees(self) -> bool:
        """Whether it struck as planted."""
        return self.planted == self.struck


def count_mishaps(session: Session, truth: Truth, preempted: int) -> tuple[Mishap, ...]:
    """What went wrong on purpose, counted from outside: the source's request log and fault counters, and the manifests."""
    assert session.cloud is not None
    log = json.loads(local_cloud.call(session.cloud, "tardis", "/_tickdeck/requests"))
    armed = json.loads(local_cloud.call(session.cloud, "tardis", "/_tickdeck/faults"))["faults"]
    struck: Counter[str] = Counter(log["faults"])
    planted: Counter[str] = Counter()
    for fault in armed:
        planted[fault["fault"]] += fault["count"] or 0
    paths_404 = {row["path"] for row in log["requests"] if row["status"] == 404}
    outcomes = _recorded_outcomes(session, truth)
    expected: Counter[str] = Counter(file.expect for file in truth.files)
    names = {"burst_429": "429 with Retry-After", "truncated_body": "body cut in transit"}
    mishaps = [Mishap(names.get(name, name), planted[name], struck[name]) for name in sorted(planted)]
    mishaps.append(Mishap("404 for a listed file", expected["not_found"], len(paths_404)))
    mishaps += [
        Mishap(what, expected[outcome], outcomes[outcome])
        for what, outcome in (("empty day", "empty"), ("quarantined file", "quarantined"), ("failed file", "failed"))
    ]
    not_ready = len({file.day for file in truth.files if file.expect == "not_ready"})
    mishaps.append(Mishap("day not yet published", not_ready, _unfetched_days(log["requests"], truth)))
    mishaps.append(Mishap("symbol not listed on every day", _partly_listed(truth), _partly_committed(session, truth)))
    mishaps.append(Mishap("preemption", 1, preempted))
    return tuple(mishaps)


def _recorded_outcomes(session: Session, truth: Truth) -> Counter[str]:
    cells = {Cell(file.day, file.data_type, file.venue) for file in truth.files if file.expect != "not_ready"}
    found: Counter[str] = Counter()
    for cell in sorted(cells):
        found.update(record.entry.outcome.value for record in read_cell(session.buckets.state, cell).values())
    return found


def _unfetched_days(requests: list[dict[str, object]], truth: Truth) -> int:
    days = {file.day for file in truth.files if file.expect == "not_ready"}
    return sum(not any(f"/{day:%Y/%m/%d}/" in str(row["path"]) for row in requests) for day in days)


def _partly_listed(truth: Truth) -> int:
    """Symbols that the venues do not list on every published day."""
    published = [day for day in DAYS if any(file.day == day and file.expect != "not_ready" for file in truth.files)]
    days: dict[tuple[str, str, str], set[date]] = {}
    for file in truth.files:
        if file.expect != "not_ready":
            days.setdefault((file.venue, file.data_type, file.symbol), set()).add(file.day)
    return len({key[::2] for key, found in days.items() if len(found) < len(published)})


def _partly_committed(session: Session, truth: Truth) -> int:
    """The same out of what was recorded for each cell."""
    published = {file.day for file in truth.files if file.expect != "not_ready"}
    days: dict[tuple[str, str, str], set[date]] = {}
    for venue, data_type in {(file.venue, file.data_type) for file in truth.files}:
        for day in published:
            for symbol in read_cell(session.buckets.state, Cell(day, data_type, venue)):
                days.setdefault((venue, data_type, symbol), set()).add(day)
    return len({key[::2] for key, found in days.items() if len(found) < len(published)})


def disagreements(truth: Truth, coverage: Coverage) -> list[str]:
    """Cells whose state is not the planted one; empty if the lake is as it must be."""
    wrong = []
    for cell, state in truth.states.items():
        found = coverage.report(cell).state
        if found is not state:
            wrong.append(f"{cell} is {found.replace('_', ' ')}, planted {state.replace('_', ' ')}")
    return wrong


@dataclass(slots=True)
class Preemptor:
    """Takes one VM of a run away while it works, in a thread of its own."""

    session: Session
    run: str
    tell: Callable[[str], None] = lambda _line: None
    preempted: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._thread = threading.Thread(target=self._watch, name="preemptor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10)

    def _watch(self) -> None:
        while not self._stopped.wait(0.3) and not self.preempted:
            for beat in list_heartbeats(self.session.buckets.state, self.run):
                if self._is_ripe(beat):
                    self._preempt(beat)
                    return

    def _is_ripe(self, beat: Heartbeat) -> bool:
        share = beat.files_done / beat.files_total if beat.files_total else 0.0
        return beat.state == "working" and share >= PREEMPT_FROM and beat.files_done < beat.files_total

    def _preempt(self, beat: Heartbeat) -> None:
        cloud = self.session.cloud
        assert isinstance(cloud, Cloud)
        local_cloud.call(cloud, "compute", "/_tickdeck/preempt", {"vm": beat.vm, "grace_seconds": 30})
        self.preempted.append(beat.vm)
        self.tell(f"{beat.vm} is preempted with {beat.files_done} of {beat.files_total} files done")


TIME_LIMIT = timedelta(minutes=10)
"""A demo that is not done by then has failed."""
