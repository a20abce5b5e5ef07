"""One operator's working session: the active profile, the clouds behind it, and the verbs. No terminal in it.

Both front ends, the Textual app and the headless command line, do everything through this class, so that people and cron agree.
Every method blocks; the app calls them from worker threads. Cloud clients are made on first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from engine.catalogue import Catalogue
from engine.clock import Clock, utc_now
from engine.coverage import Coverage
from engine.errors import ConfigurationError
from engine.estimate import LOCAL_SPEED, VM_SPEED, Rates
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.loopback import guard
from engine.model import DayRange
from engine.plan import Plan, Request, save_plan
from engine.store import Store
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud, Report
from provision.profile import Endpoints, Profile, resolve_profile, with_endpoints

LOCAL_SHARDS = 4
"""Default fleet of the local profile: what two cores keep busy."""

LOCAL_WORKER_SETTINGS = {"HEARTBEAT_SECONDS": "2", "LOG_FLUSH_SECONDS": "20", "HEAL_SECONDS": "3"}
"""A local run lasts a minute, not hours: its workers speak more often."""

STAND_IN_SHARE = 0.05
"""Files of the stand-in over those of the real market, for first guesses of size."""

CATALOGUE_AGE = timedelta(hours=1)
"""A catalogue that is older is asked for again before planning."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The two buckets of a profile."""

    data: Store
    state: Store


class Session:
    """The verbs of one profile. Use `open_session` to make one."""

    def __init__(self, profile: Profile, cloud: Cloud | None, *, clock: Clock = utc_now) -> None:
        self.profile = profile
        self.cloud = cloud
        self.clock = clock
        self._lock = threading.Lock()

    @cached_property
    def buckets(self) -> Buckets:
        """Data and state; created first in the local profile."""
        from provision.clients import open_stores

        data, state = open_stores(self.profile)
        if self.profile.kind == "local":
            from engine.store import create_bucket

            for store in (data, state):
                create_bucket(store)
        return Buckets(data, state)

    @cached_property
    def inventory(self) -> Inventory:
        """What the state bucket knows."""
        return Inventory(self.buckets.state)

    # Source

    def refresh_catalogues(self, venues: Sequence[str]) -> dict[str, Catalogue]:
        """The venues' catalogues, asked of the source where ours is missing or old."""
        from engine.catalogue import load_catalogue

        found = {venue: load_catalogue(self.buckets.state, venue) for venue in venues}
        now = self.clock()
        old = [venue for venue, catalogue in found.items() if catalogue is None or now - catalogue.fetched > CATALOGUE_AGE]
        fresh = self._ask_source(old) if old else {}
        return {venue: catalogue for venue, catalogue in (found | fresh).items() if catalogue is not None}

    def _ask_source(self, venues: Sequence[str]) -> dict[str, Catalogue]:
        import asyncio

        from engine.instruments import fetch_catalogues
        from engine.source import Source

        async def ask() -> dict[str, Catalogue]:
            async with Source(
                api_url=self.profile.tardis_api, datasets_url=self.profile.tardis_datasets, api_key=self.api_key
            ) as source:
                return await fetch_catalogues(source, venues, self.buckets.state, clock=self.clock)

        return asyncio.run(ask())

    @property
    def api_key(self) -> str:
        """The source's key: of the stand-in, or from the environment."""
        if self.cloud is not None and self.profile.source == "stand-in":
            return self.cloud.api_key
        return os.environ.get("TARDIS_API_KEY", "")

    # Plan

    def plan(self, request: Request) -> Plan:
        """Plan a request against what the bucket holds; nothing is stored but catalogues."""
        self.refresh_catalogues(request.venues)
        return plan_request(self.inventory, request, self.means(request), now=self.clock())

    def means(self, request: Request) -> Means:
        """With what this profile would carry out a request."""
        local = self.profile.kind == "local"
        return Means(
            data_bucket=self.profile.data_bucket,
            state_bucket=self.profile.state,
            speed=LOCAL_SPEED if local else VM_SPEED,
            rates=self._rates(request),
            default_shards=LOCAL_SHARDS if local else self.profile.max_vms,
            max_shards=max(self.profile.max_vms, 1),
            allowance_bytes=self.profile.allowance_bytes_per_day,
            settings=LOCAL_WORKER_SETTINGS if local else {},
            prior_share=STAND_IN_SHARE if self.profile.source == "stand-in" else 1.0,
        )

    def _rates(self, request: Request) -> Rates:
        from provision.prices import find_rates

        rates = find_rates(self.profile, machine_type=request.machine_type, model=request.provisioning_model)
        return rates if rates is not None else Rates()

    def save(self, plan: Plan) -> str:
        """Store a plan; returns its object's name."""
        return save_plan(self.buckets.state, plan)

    # Coverage

    def check(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        symbols: tuple[str, ...] = (),
        universe: str = "",
    ) -> Coverage:
        """The state of every cell of the range."""
        self.refresh_catalogues(venues)
        return check_range(self.inventory, days, venues, data_types, now=self.clock(), symbols=symbols, universe=universe)


def open_session(
    profile_name: str = "",
    *,
    start_local: bool = True,
    source: str = "",
    scenario: str = "demo",
    root: Path | None = None,
    report: Report = lambda _step, _state: None,
) -> Session:
    """The session of a profile; a local one starts its cloud if that is down.

    Raises:
        ConfigurationError: if the profile is unknown or wrong, or the local cloud is down and may not be started.
    """
    profile = resolve_profile(profile_name or None, {"source": source or None})
    if profile.kind != "local":
        return Session(profile, None)
    place = root or local_cloud.default_root()
    stand_in = profile.source == "stand-in"
    if start_local:
        cloud: Cloud | None = local_cloud.up(place, scenario=scenario, stand_in=stand_in, report=report)
    else:
        cloud = local_cloud.find(place)
    if cloud is None:
        raise ConfigurationError("the local cloud is down", hint="start it: tickdeck local up")
    guard(() if stand_in else ("api.tardis.dev", "datasets.tardis.dev"))
    return Session(with_endpoints(profile, endpoints_of(cloud)), cloud)


def endpoints_of(cloud: Cloud) -> Endpoints:
    """Where the servers of a local cloud listen."""
    api = f"{cloud.url('tardis')}/v1" if cloud.has_stand_in else ""
    return Endpoints(
        storage=cloud.url("storage"),
        compute=cloud.url("compute"),
        logging=cloud.logging_endpoint,
        tardis_api=api,
        tardis_datasets=api,
    )
