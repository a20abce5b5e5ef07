"""A session that plays back recorded fleets and logs, with the methods that the Fleet and Logs screens use, and an app on it.

Proposals are made by provision's own functions from the recorded snapshot; only the clouds behind them are missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any, Literal

from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.worker import Worker

from console.app import ConsoleApp
from console.screens.starting import StartingScreen
from console.session.audit import Audit
from engine.errors import UsageError
from engine.launch import LaunchRecord, read_launches
from engine.plan import Plan, Request
from engine.saved_plans import SavedPlan, find_saved_plan, list_saved_plans
from provision.actions import (
    ItemResult,
    Proposal,
    Receipt,
    propose_abort,
    propose_delete,
    propose_drain,
    propose_power,
    propose_vm_drain,
)
from provision.cleanup import propose_cleanup
from provision.fleet import FleetSnapshot
from provision.lease import Holder
from provision.logs import Batch, Evidence, LogEntry, Question
from provision.replacing import propose_replace
from provision.resizing import propose_resize
from provision.resources import Address, Disk, Inventory
from provision.ssh import Shell, find_shell
from tests.console import recorded_fleet as recorded
from tests.provision.made_up_fleet import make_plan

REQUEST = Request(venues=("binance",), data_types=("trades",), start=date(2024, 5, 1), end=date(2024, 5, 3))

PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""


class EmptyStore:
    """A state bucket with nothing in it."""

    def list(self, _prefix: str) -> Iterator[Any]:
        return iter(())

    def list_folders(self, _prefix: str) -> Iterator[str]:
        return iter(())

    def get(self, _name: str) -> None:
        return None


class FleetSession:
    """Plays back what it was given, every subject of a session itself; `calls` tells what was asked of it."""

    def __init__(self, snapshot: FleetSnapshot, *, live: bool = True) -> None:
        self.planning = self.coverage = self.launching = self.watching = self.healing = self
        self.changes = self.jobs = self.logs = self.money = self.health = self
        self.audit = Audit(self)  # type: ignore[arg-type]  # reads a state bucket, as of a real session
        self.profile = recorded.LOCAL
        self.holder = Holder("0" * 16, "me@here")
        self.clock = recorded.clock
        self.armed = False
        self.buckets = SimpleNamespace(state=EmptyStore(), data=EmptyStore())
        self.cloud = None
        self.api_key = ""
        self.snapshot: FleetSnapshot | Exception = snapshot
        self.live = live
        self.calls: list[tuple[str, ...]] = []
        self.failing: dict[str, str] = {}
        """Names that cannot be dealt with, and why."""
        self.disks: tuple[Disk, ...] = ()
        self.addresses: tuple[Address, ...] = ()
        self.batches: list[Batch] = [Batch(recorded.log_entries())]
        self.left_behind: list[LogEntry] | Exception = []
        """What is found of the past."""
        self.questions: list[Question] = []
        """What was asked of logs."""
        self.serial_text = recorded.SERIAL
        self.plan_of_run = make_plan(8)

    def fleet(self, run: str = "") -> FleetSnapshot:
        if isinstance(self.snapshot, Exception):
            raise self.snapshot
        return self.snapshot

    def telling(self, _urls: Sequence[str] = (), **_how: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def launch_records(self, run: str) -> list[LaunchRecord]:
        return read_launches(self.buckets.state, run)  # type: ignore[arg-type]

    def kept(self) -> list[SavedPlan]:
        return list_saved_plans(self.buckets.state)  # type: ignore[arg-type]

    def find_kept(self, word: str) -> Plan:
        return find_saved_plan(self.buckets.state, word)  # type: ignore[arg-type]

    def live_runs(self) -> list[str]:
        return [recorded.RUN] if self.live else []

    def reconcile(self, run: str) -> str:
        self.calls.append(("reconcile", run))
        return f"preempted: {recorded.vm_name(2, 2)} asked for"

    def propose_drain(self, run: str) -> Proposal:
        return propose_drain(self.profile, next(view for view in self.fleet().runs if view.run == run))

    def propose_abort(self, run: str) -> Proposal:
        return propose_abort(self.profile, self.fleet(), self.fleet().runs[-1])

    def propose_delete(self, names: Sequence[str]) -> Proposal:
        return propose_delete(self.profile, self.fleet(), tuple(names))

    def propose_vm_drain(self, names: Sequence[str]) -> Proposal:
        return propose_vm_drain(self.profile, self.fleet(), tuple(names))

    def propose_power(self, verb: Literal["stop", "start", "reset"], names: Sequence[str]) -> Proposal:
        return propose_power(self.profile, self.fleet(), verb, tuple(names))

    def propose_replace(self, names: Sequence[str], *, zones: Sequence[str] = ()) -> Proposal:
        return propose_replace(self.profile, self.fleet(), tuple(names), find_plan=lambda _id: self.plan_of_run, zones=tuple(zones))

    def propose_resize(self, run: str, vms: int) -> Proposal:
        snapshot = self.fleet()
        view = next(view for view in snapshot.runs if view.run == run)
        return propose_resize(self.profile, snapshot, view, self.plan_of_run, vms)

    def shell(self, vm: str) -> Shell:
        return find_shell(self.profile, self.fleet(), vm)

    def recent_files(self, run: str, vm: str) -> Evidence:
        self.calls.append(("recent_files", run, vm))
        return Evidence(tuple(entry for entry in reversed(recorded.log_entries()) if entry.vm == vm and entry.event.startswith("file_")))

    def propose_cleanup(self) -> Proposal:
        snapshot = self.fleet()
        vms = tuple(row.vm for row in snapshot.vms if row.vm is not None)
        return propose_cleanup(self.profile, snapshot, Inventory(recorded.NOW, vms, self.disks, self.addresses))

    def apply(self, proposal: Proposal, *, report: Callable[[str], None] = lambda _line: None) -> Receipt:
        self.calls.append((proposal.verb, *(item.name for item in proposal.items)))
        results = tuple(ItemResult(item, item.name not in self.failing, self.failing.get(item.name, "deleted")) for item in proposal.items)
        for number, result in enumerate(results, start=1):
            report(f"{number} of {len(results)}: {result.item.name} {result.message}")
        return Receipt(proposal, results, recorded.NOW, recorded.NOW, "053612-7f3a")

    def serial(self, vm: str) -> str:
        self.calls.append(("serial", vm))
        if not self.serial_text:
            raise UsageError(f"there is no VM {vm} to read the serial port of", hint=f"its log: tickdeck logs {vm}")
        return self.serial_text

    async def follow_logs(self, question: Question) -> AsyncIterator[Batch]:
        self.calls.append(("tail", question.run, *question.vms))
        self.questions.append(question)
        for batch in self.batches:
            yield replace(batch, entries=tuple(question.keep(batch.entries)))
        await asyncio.Event().wait()

    def find_logs(self, question: Question) -> Evidence:
        self.calls.append(("find", question.run, *question.vms))
        self.questions.append(question)
        if isinstance(self.left_behind, Exception):
            raise self.left_behind
        kept = question.keep(self.left_behind)[-question.lines :]
        return Evidence(tuple(kept))

    def names_of(self, verb: str) -> list[tuple[str, ...]]:
        """What was asked for with that verb."""
        return [call[1:] for call in self.calls if call[0] == verb]


def console_on(session: FleetSession, **options: Any) -> ConsoleApp:
    """The console on a recorded session, at the recorded moment."""

    def opener(_report: Callable[[str, str], None]) -> Any:
        return session

    return ConsoleApp(opener, REQUEST, clock=session.clock, **options)


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Let the app go on until something holds; threads answer when they answer, and a busy machine is no failure."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to be")


async def in_mode(pilot: Pilot[Any], mode: str) -> None:
    """Wait for a mode's screen, with its first data."""
    app = pilot.app
    await until(pilot, lambda: app.current_mode == mode and app.screen.is_mounted)
    await until(pilot, lambda: app.fleet.at is not None or app.fleet.failures > 0)  # type: ignore[attr-defined]
    await pilot.pause()


def text_of(app: App[Any]) -> str:
    """What can be read on the screen."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


class StartingConsole(ConsoleApp):
    """A console whose start takes no time that could be seen."""

    def get_default_screen(self) -> Screen[Any]:
        screen = super().get_default_screen()
        assert isinstance(screen, StartingScreen)
        screen._monotonic = lambda: 0.0
        return screen


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being asked any more, but by feeds, which ask for ever, and of the person."""

    def is_over(worker: Worker[Any]) -> bool:
        return worker.is_finished or worker.group.startswith("feed") or worker.group in _WAIT

    await until(pilot, lambda: all(map(is_over, pilot.app.workers)))
    await pilot.pause()


_WAIT = frozenset({"ask", "deed", "open", "waive"})
"""Groups of workers that wait for a person, or are the start itself."""
