"""Starting a fleet: what could go wrong, how many VMs, the launch, and what its canaries have come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from console.sentences import plural
from engine.launch import LaunchRecord
from engine.plan import Plan
from engine.run import new_run

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.doctor.finding import Finding
    from provision.canary import Canary
    from provision.launch import LaunchIntent
    from provision.preflight import Preflight


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch came to."""

    run: str
    record: LaunchRecord
    created: tuple[str, ...]
    failed: tuple[str, ...]
    """VMs that could not be made."""
    messages: tuple[str, ...]
    """What the service said about them."""
    waiting: tuple[str, ...] = ()
    """VMs that follow once the canaries have proved themselves."""


class Launching:
    """Launches of a session. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def preflight(
        self,
        plan: Plan | None = None,
        *,
        vms: int = 0,
        machine_type: str = "",
        model: str = "",
        external_ip: bool | None = None,
    ) -> Iterator[Finding]:
        """What could go wrong with a launch, looked at before it costs anything; each finding as soon as it is there.

        Args:
            plan: whose fleet; None: as many VMs as the profile allows.
            vms: how many, if not one for each shard.
            machine_type: other than the plan's or the profile's.
            model: SPOT or STANDARD, the same way.
            external_ip: whether VMs get an address; None: as the profile says.
        """
        from provision.preflight import checks_of, fleet_of, run_checks

        session = self._session
        if session.profile.kind == "local":
            _ = session.buckets  # made on first use
        fleet = fleet_of(session.profile, plan, vms=vms, machine_type=machine_type, model=model, external_ip=external_ip)
        return run_checks(checks_of(session.profile, fleet, api_key=session.api_key, clock=session.clock))

    def require_preflight(self, plan: Plan, *, vms: int = 0, external_ip: bool | None = None) -> None:
        """Make sure that nothing known would make this launch fail.

        Raises:
            PreflightFailed: naming the first of what is wrong.
        """
        from provision.preflight import Preflight

        found = Preflight(tuple(self.preflight(plan, vms=vms, external_ip=external_ip)))
        if found.wrong:
            raise found.error()

    def record_skip(self, plan: Plan, preflight: Preflight, reason: str) -> None:
        """Write onto the audit trail that a launch goes on although checks failed, and why."""
        from provision.preflight import record_skip

        session = self._session
        record_skip(
            session.profile,
            session.buckets.state,
            preflight,
            plan=plan.id,
            reason=reason,
            armed=session.armed,
            clock=session.clock,
        )

    def fleet_size(self, plan: Plan, *, shards_only: frozenset[int] | None = None, vms: int = 0, max_vms: int = 0) -> int:
        """How many VMs a launch asks for: `vms`, else one for each shard, as far as `max_vms` and the profile allow."""
        most = self._session.profile.most_vms
        return vms or min(len(plan.shards if shards_only is None else shards_only), max_vms or most, most)

    def preview(
        self,
        plan: Plan,
        *,
        shards_only: frozenset[int] | None = None,
        vms: int = 0,
        max_vms: int = 0,
        canary: bool = True,
        keep: timedelta | None = None,
        external_ip: bool | None = None,
    ) -> LaunchIntent:
        """What `launch` would ask for, under the name of a run that is new each time. Writes nothing.

        Raises:
            EngineError: if the plan and the profile do not go together, or the service cannot be asked.
        """
        from provision.launch import preview
        from provision.resources import find_boot_image, list_vms, region_zones, watched_zones

        session = self._session
        return preview(
            session.profile,
            plan,
            self.fleet_size(plan, shards_only=shards_only, vms=vms, max_vms=max_vms),
            run=new_run(session.clock()),
            now=session.clock(),
            shards=sorted(shards_only) if shards_only is not None else None,
            taken={vm.name for vm in list_vms(session.compute, watched_zones(session.compute))},
            region_zones=region_zones(session.compute),
            canary=canary,
            keep=keep,
            external_ip=external_ip,
            boot_image=find_boot_image(session.compute, session.profile.boot_image).name,
        )

    def launch(
        self,
        plan: Plan,
        *,
        shards_only: frozenset[int] | None = None,
        vms: int = 0,
        max_vms: int = 0,
        canary: bool = True,
        keep: timedelta | None = None,
        external_ip: bool | None = None,
        checked: bool = False,
        report: Callable[[str], None] = lambda _line: None,
    ) -> Launched:
        """Store the plan, write the launch record, ask for the VMs, or for the canaries among them (see `canary`).

        Args:
            plan: as `plan` made it.
            shards_only: launch only these shards.
            vms: how many; by default one for each shard.
            max_vms: at most so many; 0: as many as the profile allows.
            canary: of a large fleet let two VMs prove themselves first.
            keep: how long after the launch the VMs stay for jobs.
            external_ip: whether VMs get an address; None: as the profile says.
            checked: the caller has looked at `preflight`, and somebody may have decided to launch nevertheless.
            report: hears of each step.

        Raises:
            PreflightFailed: unless `checked`, naming the first thing that would make the launch fail.
        """
        from provision.launch import launch

        session = self._session
        if not checked:
            size = self.fleet_size(plan, shards_only=shards_only, vms=vms, max_vms=max_vms)
            report("checking")
            self.require_preflight(plan, vms=size, external_ip=external_ip)
        session.planning.save(plan)
        session.inventory.remember(plan)
        intent = self.preview(plan, shards_only=shards_only, vms=vms, max_vms=max_vms, canary=canary, keep=keep, external_ip=external_ip)
        for warning in intent.warnings:
            report(warning)
        rest = f", canaries of {len(intent.vms)}" if intent.order.follows else ""
        report(f"run {intent.order.run}: asking for {plural(len(intent.order.vms), 'VM')}{rest}")
        result = launch(
            session.profile,
            session.compute,
            session.buckets.state,
            intent,
            armed=session.armed,
            clock=session.clock,
        )
        return Launched(
            run=result.order.run,
            record=result.order,
            created=tuple(sorted(result.created)),
            failed=result.missing,
            messages=(result.message, *result.steps, *(failure.message for failure in result.failures)),
            waiting=tuple(intent.order.follows),
        )

    def canary(self, run: str) -> Canary | None:
        """What the canaries of a run have come to; None if nothing waits for any."""
        from provision.canary import look
        from provision.runs import Phase

        session = self._session
        snapshot = session.watching.fleet(run)
        view = next(view for view in snapshot.runs if view.run == run)
        if view.canary is None or view.phase(snapshot.taken) is not Phase.RUNNING:
            return None
        plan = session.inventory.plan(view.plan)
        return look(session.compute, session.buckets.data, session.buckets.state, plan, snapshot, view)
