"""What can be done to the fleet, on which key, and what it is done to: the marked VMs or the one under the cursor, and the run.

All that changes something goes one way: proposal, question, apply, receipt (`console.screens.deeds`). Apart from the Fleet screen, which
looks at the fleet and shows it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from textual import work
from textual.app import SuspendNotSupported

from console.blocking import in_thread
from console.fleet_view import live_runs
from console.screens.base import ModeScreen
from console.screens.deeds import Deeds
from console.widgets.fleet_table import FleetTable
from engine.errors import one_line as error_line
from provision.vm_state import FleetVm, VmState

if TYPE_CHECKING:
    from provision.actions import Proposal
    from provision.fleet import FleetSnapshot
    from provision.preemptions import MoveAdvice
    from provision.runs import RunView


class FleetDeeds(ModeScreen):
    """A screen with a `FleetTable` whose VMs can be acted on."""

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: FleetSnapshot | None = None
        self._run_shown = ""
        """The run that was chosen; empty: all that there are."""
        self._deeds = Deeds(self, self._show_chips)

    def _show_chips(self, doing: str = "") -> None:
        """Say what is being looked for, beside what narrows the table."""
        raise NotImplementedError

    def _open_vm(self, vm: FleetVm) -> None:
        """Show all about a VM."""
        raise NotImplementedError

    @property
    def off_reasons(self) -> dict[str, str]:
        reasons: dict[str, str] = {}
        if not self.query(FleetTable):
            return reasons  # asked before the first paint
        if not self._run:
            reasons |= dict.fromkeys(("drain", "abort_run", "resize_run"), "there is no live run")
        row = self._table.cursor_row
        nothing = "there is no VM" if row is None else "not ours" if not row.managed else "this VM is gone already"
        if not self._named:
            reasons |= dict.fromkeys(("delete_vm", "power"), nothing)
        if not self._replaceable:
            reasons["replace_vm"] = nothing if row is None or not row.managed else "nothing of its work is left"
        vm = self._vm_at_cursor
        if vm is None or not vm.managed or vm.status != "RUNNING":
            reasons["open_shell"] = "nobody can log in to a VM that does not run" if vm is not None and vm.managed else nothing
        return reasons

    # Keys

    def action_drain(self) -> None:
        if self._table.marks:
            names = self._named
            self._carry_out(f"drain {len(names)}", lambda: self.session.changes.propose_vm_drain(names))
            return
        run = self._run
        self._carry_out(f"drain {run}", lambda: self.session.changes.propose_drain(run))

    def action_abort_run(self) -> None:
        run = self._run
        self._carry_out(f"abort {run}", lambda: self.session.changes.propose_abort(run), typed=True)

    def action_delete_vm(self) -> None:
        names = self._named
        self._carry_out("delete", lambda: self.session.changes.propose_delete(names))

    def action_cleanup(self) -> None:
        self._carry_out("clean up", self.session.changes.propose_cleanup, typed=True)

    def action_replace_vm(self) -> None:
        names, advice = self._replaceable, self._advice
        leaving = advice is not None and any(vm.zone == advice.zone for name in names if (vm := self._find(name)) is not None)
        zones = advice.better[:2] if advice is not None and leaving else ()
        self._carry_out("replace", lambda: self.session.changes.propose_replace(names, zones=zones))

    def action_power(self) -> None:
        """Start what is off if all of it is off; else stop what runs."""
        names = self._named
        rows = [vm for name in names if (vm := self._find(name)) is not None]
        verb: Final = "start" if rows and all(vm.status == "TERMINATED" for vm in rows) else "stop"
        self._carry_out(verb, lambda: self.session.changes.propose_power(verb, names))

    @work(exclusive=False, group="ask", exit_on_error=False)
    async def action_resize_run(self) -> None:
        """Ask how many VMs the run should have; the answer is shown before anything is asked for."""
        from console.screens.ask_number import AskNumberScreen
        from provision.resizing import working_vms

        run, snapshot = self._run, self._snapshot
        if snapshot is None:
            return
        view = next((view for view in snapshot.runs if view.run == run), None)
        now = len(working_vms(snapshot, run))
        left = len(view.unfinished) if view is not None else 0
        text = (
            f"{now} VMs work on {left} unfinished shards. More of them take shards that wait; fewer are drained, and the others go on "
            "with their shards."
        )
        wanted = await self.app.push_screen_wait(AskNumberScreen(f"Resize run {run}", text, ask="VMs:", present=now))
        if wanted is not None:
            self._carry_out(f"resize {run}", lambda: self.session.changes.propose_resize(run, wanted))

    @work(exclusive=True, group="shell", exit_on_error=False)
    async def action_open_shell(self) -> None:
        """Leave the terminal to a login; come back when it ends."""
        if (vm := self._vm_at_cursor) is None:
            return
        try:
            shell = await in_thread(lambda: self.session.changes.shell(vm.name), name="shell")
            line = " ".join(shell.argv)
            if shell.local:
                self.notify(f"on Google Cloud: {line}\nA local VM is a process here: this is its serial port.", title="shell", timeout=10)
                self._open_vm(vm)
                return
            with self.app.suspend():
                print(line, flush=True)  # noqa: T201 - the terminal is the person's now
                code = subprocess.run(shell.argv, check=False).returncode  # noqa: ASYNC221 - nothing else is to run meanwhile
        except FileNotFoundError:
            self.notify(f"gcloud is not installed here; where it is: {line}", title="shell", severity="error", timeout=15)
        except SuspendNotSupported:
            self.notify(f"this terminal cannot be left; in another one: {line}", title="shell", severity="warning", timeout=15)
        except Exception as error:  # noqa: BLE001 - a person reads why, and the console goes on
            self.notify(error_line(error), title="shell", severity="error", timeout=10)
        else:
            if code:
                self.notify(f"the login ended with {code}", title="shell", severity="warning", timeout=5)

    @work(exclusive=False, group="deed", exit_on_error=False)
    async def _carry_out(self, what: str, propose: Callable[[], Proposal], *, typed: bool = False) -> None:
        await self._deeds.carry_out(what, propose, typed=typed)

    # What it is done to

    @property
    def _table(self) -> FleetTable:
        return self.query_one(FleetTable)

    @property
    def _shown(self) -> FleetSnapshot | None:
        """What the screen is about: the chosen run, or everything."""
        if self._snapshot is None or not any(view.run == self._run_shown for view in self._snapshot.runs):
            return self._snapshot
        return self._snapshot.only(self._run_shown)

    @property
    def _awaits_run(self) -> bool:
        """Whether the chosen run is not in the last look yet."""
        return bool(self._run_shown) and (self._snapshot is None or all(view.run != self._run_shown for view in self._snapshot.runs))

    @property
    def _vm_at_cursor(self) -> FleetVm | None:
        key = self._table.cursor_key
        return None if key is None else self._find(key)

    @property
    def _run(self) -> str:
        """The run that drain, abort and resize are about: that of the VM under the cursor, else the chosen or the newest live one."""
        snapshot = self._snapshot
        if snapshot is None:
            return self.console.live_run
        live, vm = live_runs(snapshot), self._vm_at_cursor
        if vm is not None and vm.run in live:
            return vm.run
        return self._run_shown if self._run_shown in live else self.console.live_run

    @property
    def _wanted(self) -> list[FleetVm]:
        """The marked VMs, else the one under the cursor."""
        keys = self._table.marks or {key for key in (self._table.cursor_key,) if key is not None}
        return [vm for name in sorted(keys) if (vm := self._find(name)) is not None]

    @property
    def _named(self) -> tuple[str, ...]:
        """Of those, what exists and is ours."""
        return tuple(vm.name for vm in self._wanted if vm.managed and vm.exists)

    @property
    def _replaceable(self) -> tuple[str, ...]:
        """Of those, what another VM could take the place of: also what is gone already."""
        return tuple(vm.name for vm in self._wanted if vm.managed and not vm.replaced_by and vm.state is not VmState.DONE)

    @property
    def _zones(self) -> tuple[str, ...]:
        """Where VMs of the shown runs may be."""
        views = self._shown.runs if self._shown is not None else ()
        return tuple(dict.fromkeys(zone for view in views for zone in view.orders[0].zones))

    @property
    def _advice(self) -> MoveAdvice | None:
        from provision.preemptions import advise_move, find_lineages, rate_zones

        snapshot = self._shown
        return advise_move(rate_zones(find_lineages(snapshot), snapshot.taken), self._zones) if snapshot is not None else None

    def _find(self, name: str) -> FleetVm | None:
        return None if self._snapshot is None else self._snapshot.find(name)

    def _view_of(self, vm: FleetVm) -> RunView | None:
        return next((view for view in self._snapshot.runs if view.run == vm.run), None) if self._snapshot else None
