"""The host: where a VM gets a process, a metadata server, a folder and a serial port, and where they are taken from it again.

It does what it is told to one VM. When and why is the hypervisor's business.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from provision.local.compute.guests import Ending, Guest, guest_environment
from provision.local.compute.machines import Machine, Resources, path_of
from provision.local.compute.metadata import MetadataServer
from provision.local.compute.serial import write_line
from provision.local.compute.settings import ComputeSettings

Clock = Callable[[], datetime]

NO_SUCH_PROGRAM = 127
"""Exit code of a guest whose program cannot be started, as a shell would give it."""
LOOKS_PER_SECOND = 50


@dataclass(slots=True)
class Running:
    """A VM that has a process, or had one until a moment ago."""

    machine: Machine
    guest: Guest
    metadata: MetadataServer
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    expected: bool = False
    """True once somebody ordered its end: then the order, and not the watcher, says what comes after."""


class Host:
    """The VMs that run on this machine, by their paths. Its callers take a VM out of `running` when its place is free."""

    def __init__(self, settings: ComputeSettings, resources: Resources, clock: Clock) -> None:
        self._settings = settings
        self._resources = resources
        self._clock = clock
        self.running: dict[str, Running] = {}

    def prepare(self) -> None:
        """Make the folders."""
        (self._settings.root / "vms").mkdir(parents=True, exist_ok=True)
        (self._settings.root / "serial").mkdir(parents=True, exist_ok=True)

    # -- one VM -------------------------------------------------------------------------------------------------------

    async def boot(self, machine: Machine, *, still: Callable[[], bool]) -> None:
        """Give a VM a process. It is RUNNING afterwards, or TERMINATED if its program cannot be started.

        Args:
            still: Asked once the metadata server listens; if the VM is no longer to boot then, nothing happens.
        """
        metadata = MetadataServer(machine)
        try:
            port = await metadata.start()
        except OSError as error:
            self._cannot_start(machine, error)
            return
        if not still():
            await metadata.close()
            return
        machine.boots += 1
        machine.preempted = False
        machine.exit_code = None
        self.log(machine, f"boot {machine.boots} of {machine.name} in {machine.zone} as {machine.machine_type}")
        self.log(machine, "this VM is a process of the local machine; its serial port is that process's output")
        self.log(machine, f"metadata server on 127.0.0.1:{port}")
        folder = self._folder(machine)
        folder.mkdir(parents=True, exist_ok=True)
        environment = guest_environment(self._settings.environment, machine.metadata, port)
        argv = self._settings.boot_argv
        self.log(machine, f"starting {' '.join(argv)}")
        try:
            guest = Guest.boot(argv, folder, environment, self.serial_port(machine))
        except OSError as error:
            await metadata.close()
            self._cannot_start(machine, error)
            return
        machine.pid, machine.pid_created, machine.metadata_port = guest.pid, guest.created, port
        machine.deadline = self._deadline(machine)
        machine.resource["lastStartTimestamp"] = self._clock().isoformat(timespec="milliseconds")
        self.set_status(machine, "RUNNING")
        self.running[machine.path] = Running(machine, guest, metadata)

    def _cannot_start(self, machine: Machine, error: OSError) -> None:
        self.log(machine, f"cannot start: {error}; powering off")
        self.running.pop(machine.path, None)
        machine.exit_code = NO_SUCH_PROGRAM
        self.set_status(machine, "TERMINATED")

    async def adopt(self, machine: Machine) -> None:
        """Take over the process that an earlier server gave this VM; TERMINATED if it has ended since."""
        assert machine.pid is not None
        assert machine.pid_created is not None
        guest = Guest.adopt(machine.pid, machine.pid_created)
        if guest is None:
            Guest(machine.pid, machine.pid_created, None).signal_group(signal.SIGKILL)
            self.log(machine, f"{Ending(None)}; powered off")
            machine.pid = machine.pid_created = machine.metadata_port = None
            self.set_status(machine, "TERMINATED")
            return
        metadata = MetadataServer(machine)
        try:
            await metadata.start(machine.metadata_port or 0)
        except OSError as error:
            self.log(machine, f"its metadata server cannot come back on port {machine.metadata_port}: {error}")
        self.running[machine.path] = Running(machine, guest, metadata)

    async def end(self, running: Running, grace_seconds: float) -> None:
        """SIGTERM to the group and SIGKILL after the grace; without a grace SIGKILL at once.

        Its place among the running stays taken until the caller gives it up, so that a reset never waits in line.
        """
        running.expected = True
        if grace_seconds > 0 and not running.ended.is_set():
            running.guest.signal_group(signal.SIGTERM)
            try:
                await asyncio.wait_for(running.ended.wait(), grace_seconds)
            except TimeoutError:
                self.log(running.machine, f"still running {grace_seconds:g} s after SIGTERM: SIGKILL")
        if not running.ended.is_set():
            running.guest.signal_group(signal.SIGKILL)
            await running.ended.wait()
        await running.metadata.close()

    def remove(self, machine: Machine) -> None:
        """Take away what the VM had: its record, its serial port, and the boot disk if that goes with it."""
        for attached in machine.resource["disks"]:
            if attached["autoDelete"] and self._resources.remove_disk(path_of({"selfLink": attached["source"]})):
                shutil.rmtree(self._folder(machine), ignore_errors=True)
        self.serial_port(machine).unlink(missing_ok=True)
        self._resources.remove(machine)

    def _deadline(self, machine: Machine) -> str:
        scheduling = machine.resource["scheduling"]
        if scheduling.get("terminationTime"):
            return str(scheduling["terminationTime"])
        limit = scheduling.get("maxRunDuration")
        if not limit:
            return ""
        return (self._clock() + timedelta(seconds=int(limit.get("seconds") or 0))).isoformat(timespec="milliseconds")

    # -- all of them --------------------------------------------------------------------------------------------------

    def notice_endings(self) -> list[Running]:
        """Look at every guest; those that have ended since the last look are marked so, and returned."""
        ended = []
        for running in self.running.values():
            if running.ended.is_set():
                continue
            ending = running.guest.ending()
            if ending is None:
                continue
            machine = running.machine
            machine.exit_code = ending.code
            machine.pid = machine.pid_created = machine.metadata_port = None
            machine.deadline = ""
            self.log(machine, f"{ending}; powering off")
            self._resources.save(machine)
            running.ended.set()
            ended.append(running)
        return ended

    async def shut_down(self) -> None:
        """End all guests at once: SIGTERM, the grace of a shutdown, SIGKILL."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for running in self.running.values():
                running.expected = True
                if not running.ended.is_set():
                    running.guest.signal_group(signum)
            await self._all_ended(self._settings.shutdown_grace_seconds)
        for running in self.running.values():
            await running.metadata.close()
            self.log(running.machine, "the local cloud was shut down")

    async def _all_ended(self, seconds: float) -> None:
        looks = max(1, int(seconds * LOOKS_PER_SECOND))
        for _ in range(looks):
            self.notice_endings()
            if all(running.ended.is_set() for running in self.running.values()):
                return
            await asyncio.sleep(1 / LOOKS_PER_SECOND)

    # -- records ------------------------------------------------------------------------------------------------------

    def set_status(self, machine: Machine, status: str) -> None:
        """Write down a VM's new status."""
        machine.resource["status"] = status
        if status == "TERMINATED":
            machine.resource["lastStopTimestamp"] = self._clock().isoformat(timespec="milliseconds")
            machine.deadline = ""
        self._resources.save(machine)

    def log(self, machine: Machine, text: str) -> None:
        """Say something on the VM's serial port, as the host."""
        write_line(self.serial_port(machine), self._clock(), text)

    def serial_port(self, machine: Machine) -> Path:
        """The file of its serial port; by id, so that a new VM of an old name starts with an empty one."""
        return self._settings.root / "serial" / f"{machine.resource['id']}.log"

    def _folder(self, machine: Machine) -> Path:
        return self._settings.root / "vms" / machine.directory
