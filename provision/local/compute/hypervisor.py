"""The life of VMs: the line for memory, power on and off, preemption, power cuts, run limits, what a restart finds.

One task looks at every VM several times a second and does what needs no order from outside: it notices guests that ended,
starts those next in line, and ends those whose time is over. Orders run as tasks of their own, one at a time per VM.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from provision.local.compute.errors import ComputeError, not_found, not_ready
from provision.local.compute.host import Clock, Host, Running
from provision.local.compute.incidents import Incidents
from provision.local.compute.ledger import Ledger
from provision.local.compute.machines import Machine, Resources, path_of
from provision.local.compute.operations import OperationLog
from provision.local.compute.settings import ComputeSettings

Json = dict[str, Any]

_logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.1
SYSTEM = "system"
"""The user of operations that Compute Engine starts by itself."""

RESTARTED = ComputeError(500, "The local Compute server was restarted during this operation.", "internalError", "INTERNAL_ERROR")


class Hypervisor:
    """Decides when a VM starts and ends."""

    def __init__(
        self,
        settings: ComputeSettings,
        ledger: Ledger,
        resources: Resources,
        operations: OperationLog,
        incidents: Incidents,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._resources = resources
        self._operations = operations
        self._incidents = incidents
        self._clock = clock
        self.host = Host(settings, resources, clock)
        self._slots = settings.slots
        self._boot_after: dict[str, datetime] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._orders: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._rounds: list[asyncio.Future[None]] = []
        self._watcher: asyncio.Task[None] | None = None

    # -- the server's own start and end -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Adopt the VMs of an earlier server, take up what it left unfinished, and begin to watch."""
        self.host.prepare()
        for machine in list(self._resources.machines.values()):
            if machine.pid is not None:
                await self.host.adopt(machine)
            elif machine.status == "PROVISIONING":
                self._stage(machine)
        self._resume_operations()
        for machine in list(self._resources.machines.values()):
            if machine.status == "STOPPING":
                self._order(self._finish_stopping(machine))
        self._watcher = asyncio.create_task(self._watch())
        self._watcher.add_done_callback(_report)

    def _resume_operations(self) -> None:
        """Finish the orders that the earlier server had accepted, oldest first."""
        resumed = {"delete": self._delete, "stop": self._stop}
        for operation in sorted(self._operations.unfinished(), key=lambda operation: str(operation["insertTime"])):
            machine = self._resources.machines.get(path_of({"selfLink": operation["targetLink"]}))
            kind = str(operation["operationType"])
            if kind in {"insert", "bulkInsert", "start"}:
                self._operations.finish(operation)
            elif kind == "compute.instances.preempted" and machine is not None:
                self._order(self._take_away(machine, operation, self._settings.shutdown_grace_seconds))
            elif kind in resumed and machine is not None:
                self._order(resumed[kind](machine, operation))
            else:
                self._operations.finish(operation, [] if machine is None else [RESTARTED])

    async def close(self) -> None:
        """Stop every VM, also those in line. The next server finds them TERMINATED, and finishes the orders left open."""
        tasks = [*self._orders, *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.host.shut_down()
        for machine in self._resources.machines.values():
            if machine.status != "TERMINATED":
                self.host.set_status(machine, "TERMINATED")

    # -- orders -------------------------------------------------------------------------------------------------------

    @staticmethod
    def check_power(machine: Machine, verb: str) -> None:
        """Whether a VM in this state takes the order.

        Raises:
            ComputeError: 400 for starting one that is STOPPING, and for resetting or preempting one that is not RUNNING.
        """
        if verb == "start" and machine.status == "STOPPING":
            raise not_ready(machine.path)
        if verb in {"reset", "preempt", "kill"} and machine.status != "RUNNING":
            raise not_ready(machine.path)

    def create(self, machines: Iterable[Machine], after: Callable[[], None]) -> None:
        """Put new VMs in line; `after` is called when each has started or stands in line for memory."""
        for machine in machines:
            self._stage(machine)
        self._order(self._after_round(after))

    def stop(self, machine: Machine, operation: Json) -> None:
        """SIGTERM, a grace, SIGKILL; then TERMINATED."""
        self._order(self._stop(machine, operation))

    def delete(self, machine: Machine, operation: Json) -> None:
        """The same, and then nothing is left of it but a disk that is not to be deleted with it."""
        self._order(self._delete(machine, operation))

    def power_on(self, machine: Machine, operation: Json) -> None:
        """Boot a TERMINATED VM; done at once for one that is on."""
        if machine.status == "TERMINATED":
            machine.place_in_line = self._ledger.next_number()
            self.host.set_status(machine, "PROVISIONING")
            self._stage(machine)
        self._order(self._after_round(lambda: self._operations.finish(operation)))

    def reset(self, machine: Machine, operation: Json) -> None:
        """Power off without a word and boot again, in the same place."""
        self._order(self._reset(machine, operation))

    def preempt(self, machine: Machine, grace_seconds: float) -> Json:
        """Take a VM away as Compute Engine does: notice in its metadata, SIGTERM, the grace, SIGKILL, termination action."""
        operation = self._begin_by_system("compute.instances.preempted", machine, "Instance was preempted.")
        self._order(self._take_away(machine, operation, grace_seconds))
        return operation

    def cut_power(self, machine: Machine) -> None:
        """SIGKILL at once and no operation: the VM that is lost without a trace."""
        self._order(self._cut_power(machine))

    def announce(self, machine: Machine) -> None:
        """Tell the guest's waiters that something in its metadata changed."""
        running = self.host.running.get(machine.path)
        if running is not None:
            running.metadata.notify()

    # -- what the orders do -------------------------------------------------------------------------------------------

    def _order(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        task.add_done_callback(_report)

    def _begin_by_system(self, operation_type: str, machine: Machine, status_message: str) -> Json:
        return self._operations.begin(
            operation_type,
            project=machine.project,
            scope=f"zones/{machine.zone}",
            target=machine.resource,
            user=SYSTEM,
            status_message=status_message,
        )

    async def _after_round(self, after: Callable[[], None]) -> None:
        looked_at: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rounds.append(looked_at)
        self._wake.set()
        await looked_at
        after()

    async def _stop(self, machine: Machine, operation: Json) -> None:
        async with self._locks[machine.path]:
            await self._power_off(machine, self._settings.stop_grace_seconds)
            self._operations.finish(operation)

    async def _delete(self, machine: Machine, operation: Json) -> None:
        async with self._locks[machine.path]:
            if not self._exists(machine):
                self._operations.finish(operation, [not_found(machine.path)])
                return
            await self._power_off(machine, self._settings.stop_grace_seconds)
            self._remove(machine)
            self._operations.finish(operation)

    async def _take_away(self, machine: Machine, operation: Json, grace_seconds: float) -> None:
        machine.preempted = True
        self._resources.save(machine)
        self.announce(machine)
        await self._end_by_system(machine, operation, grace_seconds, "preempted by the local cloud")

    async def _end_by_system(self, machine: Machine, operation: Json, grace_seconds: float, why: str) -> None:
        async with self._locks[machine.path]:
            if self._exists(machine):
                self.host.log(machine, why)
                await self._power_off(machine, grace_seconds)
                if machine.deletes_itself:
                    self._remove(machine)
            self._operations.finish(operation)

    async def _reset(self, machine: Machine, operation: Json) -> None:
        async with self._locks[machine.path]:
            running = self.host.running.get(machine.path)
            if running is None:
                self._operations.finish(operation, [not_ready(machine.path)])
                return
            await self.host.end(running, 0.0)
            self.host.log(machine, "reset")
            await self.host.boot(machine, still=lambda: True)
            self._operations.finish(operation)

    async def _cut_power(self, machine: Machine) -> None:
        async with self._locks[machine.path]:
            running = self.host.running.get(machine.path)
            if running is not None:
                await self.host.end(running, 0.0)
                self._give_up_place(running)
                self.host.set_status(machine, "TERMINATED")

    async def _finish_stopping(self, machine: Machine) -> None:
        async with self._locks[machine.path]:
            if machine.status == "STOPPING":
                await self._power_off(machine, self._settings.shutdown_grace_seconds)

    async def _power_off(self, machine: Machine, grace_seconds: float) -> None:
        running = self.host.running.get(machine.path)
        if running is not None:
            self.host.set_status(machine, "STOPPING")
            await self.host.end(running, grace_seconds)
            self._give_up_place(running)
        if machine.status != "TERMINATED":
            self.host.set_status(machine, "TERMINATED")

    def _exists(self, machine: Machine) -> bool:
        """False if the VM was deleted while this order waited for another one."""
        return self._resources.machines.get(machine.path) is machine

    def _give_up_place(self, running: Running) -> None:
        self.host.running.pop(running.machine.path, None)
        self._wake.set()

    def _remove(self, machine: Machine) -> None:
        self.host.remove(machine)
        self._boot_after.pop(machine.path, None)

    # -- the watcher --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            rounds, self._rounds = self._rounds, []
            for running in self.host.notice_endings():
                if not running.expected:
                    running.expected = True
                    self.host.set_status(running.machine, "STOPPING")
                    self._order(self._after_own_end(running))
            self._end_overdue()
            await self._admit()
            for looked_at in rounds:
                if not looked_at.done():
                    looked_at.set_result(None)
            try:
                await asyncio.wait_for(self._wake.wait(), ROUND_SECONDS)
            except TimeoutError:
                continue

    async def _after_own_end(self, running: Running) -> None:
        """The guest ended by itself: the host unit powers the VM off, which Compute Engine notes as an operation."""
        machine = running.machine
        async with self._locks[machine.path]:
            await running.metadata.close()
            if self.host.running.get(machine.path) is not running:
                return
            kind, message = "compute.instances.guestTerminate", "Instance terminated by guest OS shutdown."
            operation = self._begin_by_system(kind, machine, message)
            self._give_up_place(running)
            self.host.set_status(machine, "TERMINATED")
            self._operations.finish(operation)

    def _end_overdue(self) -> None:
        now = self._clock()
        for running in self.host.running.values():
            machine = running.machine
            if running.expected or not machine.deadline or datetime.fromisoformat(machine.deadline) > now:
                continue
            machine.deadline = ""
            kind = "delete" if machine.deletes_itself else "stop"
            message = "Instance reached the end of its maximum run duration."
            operation = self._begin_by_system(kind, machine, message)
            grace = self._settings.stop_grace_seconds
            self._order(self._end_by_system(machine, operation, grace, "end of its run duration"))

    async def _admit(self) -> None:
        """Start as many as there is room for, first come first served; a slow boot lets the next one pass."""
        waiting = sorted(
            (machine for machine in self._resources.machines.values() if machine.status == "STAGING"),
            key=lambda machine: machine.place_in_line,
        )
        for machine in waiting:
            if len(self.host.running) >= self._slots:
                return
            slow_until = self._boot_after.get(machine.path)
            if slow_until is not None and self._clock() < slow_until and self._incidents.boots_are_slow:
                continue
            self._boot_after.pop(machine.path, None)
            await self.host.boot(machine, still=partial(_is_staging, machine))

    def _stage(self, machine: Machine) -> None:
        delay = self._incidents.boot_delay(machine.path)
        if delay:
            self._boot_after[machine.path] = self._clock() + timedelta(seconds=delay)
        self.host.set_status(machine, "STAGING")
        self._wake.set()


def _is_staging(machine: Machine) -> bool:
    return machine.status == "STAGING"


def _report(task: asyncio.Task[None]) -> None:
    """A task nobody awaits says what broke it."""
    if not task.cancelled() and task.exception() is not None:
        _logger.error("the Compute server's %s broke", task.get_coro(), exc_info=task.exception())
