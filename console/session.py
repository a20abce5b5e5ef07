"""One operator's working session: the active profile, the clouds behind it, and the verbs. No terminal in it.

Both front ends, the Textual app and the headless command line, do everything through this class, so that people and cron agree.
Every method blocks; the app calls them from worker threads. Cloud clients are made on first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from console.places import user_folder
from engine.catalogue import Catalogue
from engine.clock import Clock, utc_now
from engine.coverage import Coverage
from engine.errors import ConfigurationError, UsageError
from engine.estimate import LOCAL_SPEED, VM_SPEED, Rates, Speed
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.launch import LaunchRecord
from engine.loopback import guard
from engine.model import DayRange
from engine.plan import Plan, Request, save_plan
from engine.run import new_run
from engine.store import Store
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud, Report
from provision.profile import REAL_HOSTS, Endpoints, Profile, resolve_profile, with_endpoints

if TYPE_CHECKING:
    from engine.validation.comparing import CellResult, Validation
    from engine.validation.verification import Depth
    from provision.actions import Proposal, Receipt
    from provision.clients import ComputeClients
    from provision.fleet import FleetSnapshot
    from provision.logs import Batch, LogEntry, LogQuery
    from provision.runs import RunReader
    from provision.waivers import WaiverProposal, WaiverReceipt

LOCAL_SHARDS = 4
"""Default fleet of the local profile: what two cores keep busy."""

LOCAL_WORKER_SETTINGS = {"HEARTBEAT_SECONDS": "1", "LOG_FLUSH_SECONDS": "20", "HEAL_SECONDS": "3", "MAX_CONCURRENT": "8"}
"""A local run lasts a minute, not hours: its workers speak more often."""

STAND_IN_SHARE = 0.007
"""Files of the stand-in over those of the real market, for first guesses of size."""

STAND_IN_SPEED = Speed(bytes_per_second=1.0e6, converters=1, seconds_per_file=0.05, boot_seconds=4.0)
"""The stand-in sends as fast as a vendor far away, not as a disk."""

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
        self.armed = False
        """Whether a person has armed a protected profile for writing."""
        self._snapshot: FleetSnapshot | None = None
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

        from engine.instruments.writing import fetch_catalogues
        from engine.source import Source

        async def ask() -> dict[str, Catalogue]:
            async with Source(api_url=self.profile.tardis_api, datasets_url=self.profile.tardis_datasets, api_key=self.api_key) as source:
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
            speed=self._speed,
            rates=self._rates(request),
            default_shards=LOCAL_SHARDS if local else self.profile.max_vms,
            max_shards=max(self.profile.max_vms, 1),
            allowance_bytes=self.profile.allowance_bytes_per_day,
            settings=LOCAL_WORKER_SETTINGS if local else {},
            universe_folder=user_folder("universes"),
            prior_share=STAND_IN_SHARE if self.profile.source == "stand-in" else 1.0,
        )

    @property
    def _speed(self) -> Speed:
        if self.profile.kind != "local":
            return VM_SPEED
        return STAND_IN_SPEED if self.profile.source == "stand-in" else LOCAL_SPEED

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
        return check_range(
            self.inventory,
            days,
            venues,
            data_types,
            now=self.clock(),
            symbols=symbols,
            universe=universe,
            universe_folder=user_folder("universes"),
        )

    def propose_waivers(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        reason: str,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        outcomes: tuple[str, ...] = (),
        everything: bool = False,
        withdraw: bool = False,
    ) -> WaiverProposal:
        """Which files would be waived, or whose waivers withdrawn."""
        from provision.waivers import propose_waivers

        self.refresh_catalogues(venues)
        return propose_waivers(
            self.inventory,
            days,
            venues,
            data_types,
            reason=reason,
            symbols=symbols,
            universe=universe,
            outcomes=outcomes,
            everything=everything,
            withdraw=withdraw,
        )

    def apply_waivers(self, proposal: WaiverProposal) -> WaiverReceipt:
        """Write what a proposal says. Whoever calls this has asked the person."""
        from provision.waivers import apply_waivers

        return apply_waivers(proposal, profile=self.profile, state=self.buckets.state, armed=self.armed, clock=self.clock)

    def verify(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        depth: Depth | None = None,
        sample: int = 0,
        on_cell: Callable[[CellResult], None] = lambda _result: None,
    ) -> Validation:
        """Compare the objects of the range with its manifests, by listings unless told otherwise; what is found is kept."""
        from engine.universe import resolve_scope
        from engine.validation.comparing import Question, validate
        from engine.validation.verification import Depth

        catalogues = self.refresh_catalogues(venues)
        question = Question(
            days=days,
            venues=tuple(venues),
            data_types=tuple(data_types),
            scope=resolve_scope(symbols, universe, catalogues, folder=user_folder("universes")),
            depth=depth or Depth.LISTING,
            sample=sample,
        )
        data, state = self.buckets.data, self.buckets.state
        if question.depth is not Depth.SOURCE:
            return validate(data, state, question, on_cell=on_cell, clock=self.clock)
        import asyncio

        from engine.source import Source
        from engine.validation.source_comparison import validate_with_source

        source = Source(api_url=self.profile.tardis_api, datasets_url=self.profile.tardis_datasets, api_key=self.api_key)
        return asyncio.run(validate_with_source(source, data, state, question, on_cell=on_cell, clock=self.clock))

    # Fleet

    @cached_property
    def compute(self) -> ComputeClients:
        """Compute clients. Importing them takes a second and 150 MB: never on the way to the first paint."""
        from provision.clients import make_compute

        return make_compute(self.profile)

    @cached_property
    def runs(self) -> RunReader:
        """Reads runs from the state bucket."""
        from provision.runs import RunReader

        return RunReader(self.buckets.state)

    def launch(
        self,
        plan: Plan,
        *,
        shards_only: frozenset[int] | None = None,
        vms: int = 0,
        report: Callable[[str], None] = lambda _line: None,
    ) -> Launched:
        """Store the plan, write the launch record, ask for the VMs.

        Args:
            plan: as `plan` made it.
            shards_only: launch only these shards.
            vms: how many; by default one for each shard.
            report: hears of each step.
        """
        from provision.launch import launch, preview
        from provision.resources import list_vms, region_zones, watched_zones

        shards = sorted(shards_only) if shards_only is not None else None
        self.save(plan)
        self.inventory.remember(plan)
        intent = preview(
            self.profile,
            plan,
            vms or min(len(shards) if shards is not None else len(plan.shards), self.profile.max_vms),
            run=new_run(self.clock()),
            now=self.clock(),
            shards=shards,
            taken={vm.name for vm in list_vms(self.compute, watched_zones(self.compute))},
            region_zones=region_zones(self.compute),
        )
        for warning in intent.warnings:
            report(warning)
        report(f"run {intent.order.run}: asking for {len(intent.order.vms)} VMs")
        result = launch(self.profile, self.compute, self.buckets.state, intent, armed=self.armed, clock=self.clock)
        return Launched(
            run=result.order.run,
            record=result.order,
            created=tuple(sorted(result.created)),
            failed=result.missing,
            messages=(result.message, *(failure.message for failure in result.failures)),
        )

    def fleet(self, run: str = "") -> FleetSnapshot:
        """The whole fleet now; progress is judged against the last look."""
        from provision.fleet import observe

        with self._lock:
            snapshot = observe(self.profile, self.compute, self.runs, run=run or None, previous=self._snapshot, clock=self.clock)
            self._snapshot = snapshot
        return snapshot

    def live_runs(self) -> list[str]:
        """Runs with unfinished shards, oldest first."""
        return [view.run for view in self.runs.live_runs(self.clock())]

    def reconcile(self, run: str) -> str:
        """Replace the VMs that a run has lost; says what was done, "" if there was nothing to do."""
        from provision.reconcile import reconcile

        results, given_up = reconcile(
            self.profile, self.compute, self.buckets.state, self.fleet(run), run=run, armed=self.armed, clock=self.clock
        )
        lines = [f"{result.order.reason}: {', '.join(result.created)} asked for" for result in results if result.created]
        lines += [result.message for result in results if not result.created and result.status != "superseded"]
        return "; ".join([*lines, *(str(item) for item in given_up)])

    def propose_drain(self, run: str) -> Proposal:
        """Tell the run's workers to take no new work."""
        from provision.actions import propose_drain

        return propose_drain(self.profile, self.runs.read(run))

    def propose_abort(self, run: str) -> Proposal:
        """Delete all VMs of a run, whatever they do."""
        from provision.actions import propose_abort

        return propose_abort(self.profile, self.fleet(run), self.runs.read(run))

    def propose_delete(self, names: Sequence[str]) -> Proposal:
        """Delete these VMs; globs and short names as people type them."""
        from provision.actions import propose_delete

        return propose_delete(self.profile, self.fleet(), tuple(names))

    def propose_cleanup(self) -> Proposal:
        """What is provably of no use any more."""
        from provision.cleanup import propose_cleanup, take_inventory

        snapshot = self.fleet()
        return propose_cleanup(self.profile, snapshot, take_inventory(self.compute, snapshot, clock=self.clock))

    def apply(self, proposal: Proposal, *, report: Callable[[str], None] = lambda _line: None) -> Receipt:
        """Do what a proposal says. Whoever calls this has asked the person."""
        from provision.actions import ItemResult, apply

        def progress(result: ItemResult, finished: int, total: int) -> None:
            report(f"{finished} of {total}: {result.item.name} {result.message}")

        return apply(
            proposal,
            profile=self.profile,
            clients=self.compute,
            state=self.buckets.state,
            confirm=len(proposal.items),
            armed=self.armed,
            progress=progress,
            clock=self.clock,
        )

    def serial(self, vm: str) -> str:
        """The end of a VM's serial port."""
        from provision.resources import read_serial_tail

        row = self.fleet().find(vm)
        if row is None or not row.exists:
            raise UsageError(f"there is no VM {vm} to read the serial port of", hint=f"its log: tickdeck logs {vm}")
        return read_serial_tail(self.compute, row.zone, vm)

    # Logs

    def log_query(
        self, *, run: str = "", vms: tuple[str, ...] = (), min_severity: str = "DEFAULT", since: datetime | None = None, limit: int = 1000
    ) -> LogQuery:
        """A query of this profile's project; without `since` the last hour."""
        from provision.logs import LogQuery

        start = since or self.clock() - timedelta(hours=1)
        return LogQuery(project=self.profile.project, since=start, run=run, vms=vms, min_severity=min_severity, limit=limit)

    async def tail_logs(self, *, run: str = "", vms: tuple[str, ...] = (), min_severity: str = "DEFAULT") -> AsyncIterator[Batch]:
        """New entries as they come, the recent ones first. On the event loop that shows them."""
        from provision.clients import make_logging
        from provision.logs import tail

        clients = make_logging(self.profile)
        async for batch in tail(clients, self.log_query(run=run, vms=vms, min_severity=min_severity)):
            yield batch

    def logs_of(self, run: str, vm: str = "", *, since: datetime | None = None, min_severity: str = "DEFAULT") -> list[LogEntry]:
        """A worker's whole log from the state bucket: there also after the VM."""
        from provision.logs import read_log_objects

        return read_log_objects(self.buckets.state, run, vm, since=since, min_severity=min_severity)


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


def open_session(
    profile_name: str = "",
    *,
    start_local: bool = True,
    source: str = "",
    scenario: str = "",
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
    place = root or local_cloud.active_root()
    stand_in = profile.source == "stand-in"
    if start_local:
        cloud: Cloud | None = local_cloud.up(place, scenario=scenario, stand_in=stand_in, report=report)
    else:
        cloud = local_cloud.find(place)
    if cloud is None:
        raise ConfigurationError("the local cloud is down", hint="start it: tickdeck local up")
    guard(() if stand_in else REAL_HOSTS)
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
