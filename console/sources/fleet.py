"""The fleet as a source. Any console that may write also heals the runs it sees; a lease keeps two from doing it at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from provision.fleet import FleetSnapshot

SECONDS: Final = {"local": 2.0, "gcp": 5.0}
"""Between two looks, by the kind of profile."""
RECONCILE_EVERY: Final = timedelta(seconds=10)


class FleetSource(FeedSource["FleetSnapshot"]):
    """Looks at the fleet, whatever is visible: the end of a run and a lost VM are told everywhere."""

    NAME = "fleet"
    LABEL = "fleet"

    def __init__(self, console: ConsoleApp) -> None:
        super().__init__(console)
        self._reconciled: datetime | None = None

    def fetch(self) -> FleetSnapshot:
        snapshot = self.console.session.watching.fleet(self.console.run_shown)
        if not self.console.read_only:
            self._replace_lost(snapshot)
        return snapshot

    def seconds(self) -> float:
        return SECONDS[self.console.session.profile.kind] if self.console.is_open else SECONDS["local"]

    def is_wanted(self) -> bool:
        return True

    def _replace_lost(self, snapshot: FleetSnapshot) -> None:
        now = self.console.clock()
        if self._reconciled is not None and now - self._reconciled < RECONCILE_EVERY:
            return
        for run in runs_to_heal(snapshot):
            self._reconciled = now
            if done := self.console.session.healing.reconcile(run):
                self.console.call_later(self.console.notify, done, title=f"run {run}", timeout=10)


def runs_to_heal(snapshot: FleetSnapshot) -> list[str]:
    """Runs that go on and have lost a VM that nothing has replaced yet."""
    from provision.runs import Phase
    from provision.vm_state import VmState

    gone = {vm.run for vm in snapshot.vms if vm.state in (VmState.LOST, VmState.PREEMPTED) and not vm.replaced_by}
    return [view.run for view in snapshot.runs if view.run in gone and view.phase(snapshot.taken) is Phase.RUNNING]
