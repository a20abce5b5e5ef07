"""From a request to a plan, what it would take with other fleets, and keeping it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import structs

from console.places import user_folder
from engine.estimate import LOCAL_SPEED, Speed
from engine.inventory import Means, plan_request
from engine.plan import CANDLES, Plan, Request, save_plan, seal

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.saved_plans import SavedPlan
    from provision.what_if import Alternative, Choices

LOCAL_SHARDS: Final = 4
"""Default fleet of the local profile: what two cores keep busy."""

LOCAL_WORKER_SETTINGS = {
    "HEARTBEAT_SECONDS": "1",
    "LOG_FLUSH_SECONDS": "20",
    "HEAL_SECONDS": "3",
    "STALE_SECONDS": "30",
    "MAX_CONCURRENT": "8",
}
"""A local run lasts a minute, not hours: its workers speak more often."""

STAND_IN_SHARE: Final = 0.007
"""Files of the stand-in over those of the real market, for first guesses of size."""

STAND_IN_SPEED: Final = Speed(bytes_per_second=1.0e6, converters=1, seconds_per_file=0.05, boot_seconds=4.0)
"""The stand-in sends as fast as a vendor far away, not as a disk."""


class Planning:
    """Plans of a session. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def plan(self, request: Request) -> Plan:
        """Plan a request against what the bucket holds; nothing is stored but catalogues."""
        from provision.orders import boot_of

        session = self._session
        if request.mode != CANDLES:
            session.catalogues.refresh_catalogues(request.venues)
        plan = plan_request(session.inventory, request, self.means(request), now=session.clock())
        return seal(structs.replace(plan, boot=boot_of(session.profile)))

    def plan_job(self, arguments: Sequence[str], *, machine_type: str = "", model: str = "SPOT", max_cost: float = 0.0) -> Plan:
        """Plan a verb of the engine on one VM; asks nobody.

        Raises:
            UsageError: if the verb, or an argument of it, cannot be meant.
        """
        from engine.job_plan import plan_job
        from provision.orders import boot_of
        from provision.prices import plan_rates

        session = self._session
        profile = session.profile
        plan = plan_job(
            arguments,
            data_bucket=profile.data_bucket,
            state_bucket=profile.state,
            speed=self.speed(machine_type),
            rates=plan_rates(profile, machine_type=machine_type, model=model),
            now=session.clock(),
            machine_type=machine_type,
            provisioning_model=model,
            max_cost=max_cost,
            settings=LOCAL_WORKER_SETTINGS if profile.kind == "local" else {},
        )
        return seal(structs.replace(plan, boot=boot_of(profile)))

    def means(self, request: Request) -> Means:
        """With what this profile would carry out a request."""
        from provision.prices import plan_rates

        session = self._session
        local = session.profile.kind == "local"
        return Means(
            data_bucket=session.profile.data_bucket,
            state_bucket=session.profile.state,
            speed=self.speed(request.machine_type),
            rates=plan_rates(session.profile, machine_type=request.machine_type, model=request.provisioning_model),
            default_shards=LOCAL_SHARDS if local else session.profile.most_vms,
            max_shards=max(session.profile.most_vms, 1),
            allowance_bytes=session.profile.allowance_bytes_per_day,
            settings=LOCAL_WORKER_SETTINGS if local else {},
            universe_folder=user_folder("universes"),
            prior_share=STAND_IN_SHARE if session.profile.source == "stand-in" else 1.0,
            fleet_warning=session.profile.address_warning,
            warn_cost_run=session.profile.warn_cost_run,
            warn_cost_day=session.profile.warn_cost_day,
        )

    def speed(self, machine_type: str = "") -> Speed:
        """What one VM of this type does [the profile's first]."""
        from provision.prices import machine_speed

        session = self._session
        if session.profile.kind != "local":
            return machine_speed(machine_type or session.profile.machine_types[0])
        return STAND_IN_SPEED if session.profile.source == "stand-in" else LOCAL_SPEED

    def what_if(self, plan: Plan, choices: Choices) -> tuple[Alternative, ...]:
        """What a plan would take with other fleets."""
        from provision.prices import plan_rates
        from provision.what_if import try_fleets

        session = self._session
        return try_fleets(
            plan,
            session.profile,
            choices,
            speed_of=self.speed,
            rates_of=lambda machine_type, model: plan_rates(session.profile, machine_type=machine_type, model=model),
            now=session.clock(),
        )

    def kept(self) -> list[SavedPlan]:
        """The plans that were kept, newest first."""
        from engine.saved_plans import list_saved_plans

        return list_saved_plans(self._session.buckets.state)

    def find_kept(self, word: str) -> Plan:
        """A kept plan by its id, the beginning of one, or `last`.

        Raises:
            UsageError: if there is none, or more than one.
        """
        from engine.saved_plans import find_saved_plan

        return find_saved_plan(self._session.buckets.state, word)

    def save(self, plan: Plan) -> str:
        """Store a plan; returns its object's name."""
        return save_plan(self._session.buckets.state, plan)
