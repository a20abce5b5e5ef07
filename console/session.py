"""One operator's working session: the active profile, the clouds behind it, and the verbs. No terminal in it.

Both front ends, the Textual app and the headless command line, do everything through this class, so that people and cron agree.
Every method blocks; the app calls them from worker threads. Cloud clients are made on first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from console.places import user_folder
from engine.catalogue import Catalogue
from engine.clock import Clock, utc_now
from engine.coverage import Coverage
from engine.errors import ConfigurationError, UsageError
from engine.estimate import LOCAL_SPEED, Speed
from engine.inventory import Inventory, Means, check_range, plan_request
from engine.launch import LaunchRecord
from engine.loopback import guard
from engine.model import DayRange
from engine.plan import Plan, Request, save_plan
from engine.run import new_run
from engine.store import Store
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud, Report
from provision.notify import Event, Kind, parse_hooks, tell, telling
from provision.profile import REAL_HOSTS, Endpoints, Profile, resolve_profile, with_endpoints

if TYPE_CHECKING:
    from console.reconcile_events import ReconcileEvent
    from engine.doctor.finding import Finding
    from engine.jobs import Job, JobResult
    from engine.validation.comparing import CellResult, Validation
    from engine.validation.verification import Depth
    from provision.actions import Proposal, Receipt
    from provision.canary import Canary
    from provision.clients import ComputeClients
    from provision.costs import Spending
    from provision.fleet import FleetSnapshot
    from provision.kept_vms import JobProposal
    from provision.lease import Holder
    from provision.logs import Batch, Evidence, LogEntry, LogQuery, Question
    from provision.news import News
    from provision.preflight import Preflight
    from provision.reconcile import Outlook
    from provision.runs import RunReader
    from provision.waivers import WaiverProposal, WaiverReceipt
    from provision.what_if import Alternative, Choices

LOCAL_SHARDS = 4
"""Default fleet of the local profile: what two cores keep busy."""

LOCAL_WORKER_SETTINGS = {
    "HEARTBEAT_SECONDS": "1",
    "LOG_FLUSH_SECONDS": "20",
    "HEAL_SECONDS": "3",
    "STALE_SECONDS": "30",
    "MAX_CONCURRENT": "8",
}
"""A local run lasts a minute, not hours: its workers speak more often."""

STAND_IN_SHARE = 0.007
"""Files of the stand-in over those of the real market, for first guesses of size."""

STAND_IN_SPEED = Speed(bytes_per_second=1.0e6, converters=1, seconds_per_file=0.05, boot_seconds=4.0)
"""The stand-in sends as fast as a vendor far away, not as a disk."""

STALE_DAYS = 30
"""By default claims, heartbeats and leases of a run are kept for so long after it was last heard of."""

RECONCILE_SECONDS = 30.0
"""So long a pass of reconcile waits for VMs it has asked for; the next one finds what became of them."""

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
        self._news: News | None = None
        self._telling = False
        self._looked_after: set[str] = set()
        self._said: set[ReconcileEvent] = set()
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
        from provision.prices import plan_rates

        local = self.profile.kind == "local"
        return Means(
            data_bucket=self.profile.data_bucket,
            state_bucket=self.profile.state,
            speed=self.speed(request.machine_type),
            rates=plan_rates(self.profile, machine_type=request.machine_type, model=request.provisioning_model),
            default_shards=LOCAL_SHARDS if local else self.profile.most_vms,
            max_shards=max(self.profile.most_vms, 1),
            allowance_bytes=self.profile.allowance_bytes_per_day,
            settings=LOCAL_WORKER_SETTINGS if local else {},
            universe_folder=user_folder("universes"),
            prior_share=STAND_IN_SHARE if self.profile.source == "stand-in" else 1.0,
            fleet_warning=self.profile.address_warning,
            warn_cost_run=self.profile.warn_cost_run,
            warn_cost_day=self.profile.warn_cost_day,
        )

    def speed(self, machine_type: str = "") -> Speed:
        """What one VM of this type does [the profile's first]."""
        from provision.prices import machine_speed

        if self.profile.kind != "local":
            return machine_speed(machine_type or self.profile.machine_types[0])
        return STAND_IN_SPEED if self.profile.source == "stand-in" else LOCAL_SPEED

    def spending(self, runs: Sequence[str] = (), *, since: date | None = None, until: date | None = None) -> Spending:
        """What runs cost beside what was estimated; by default those that began on these UTC days, both inclusive.

        Raises:
            UsageError: if there is no such run.
        """
        from engine.launch import list_runs
        from provision.costs import began_between, read_spending

        views = [self.runs.read(run) for run in runs]
        if not runs:
            views += self.runs.read_all(run for run in list_runs(self.buckets.state) if began_between(run, since, until))
        return read_spending(self.profile, self.inventory, views, now=self.clock(), compute=lambda: self.compute)

    def what_if(self, plan: Plan, choices: Choices) -> tuple[Alternative, ...]:
        """What a plan would take with other fleets."""
        from provision.prices import plan_rates
        from provision.what_if import try_fleets

        return try_fleets(
            plan,
            self.profile,
            choices,
            speed_of=self.speed,
            rates_of=lambda machine_type, model: plan_rates(self.profile, machine_type=machine_type, model=model),
            now=self.clock(),
        )

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

        if self.profile.kind == "local":
            _ = self.buckets  # made on first use
        fleet = fleet_of(self.profile, plan, vms=vms, machine_type=machine_type, model=model, external_ip=external_ip)
        return run_checks(checks_of(self.profile, fleet, api_key=self.api_key, clock=self.clock))

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

        record_skip(self.profile, self.buckets.state, preflight, plan=plan.id, reason=reason, armed=self.armed, clock=self.clock)

    def fleet_size(self, plan: Plan, *, shards_only: frozenset[int] | None = None, vms: int = 0, max_vms: int = 0) -> int:
        """How many VMs a launch asks for: `vms`, else one for each shard, as far as `max_vms` and the profile allow."""
        most = self.profile.most_vms
        return vms or min(len(plan.shards if shards_only is None else shards_only), max_vms or most, most)

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
        from provision.launch import launch, preview
        from provision.resources import list_vms, region_zones, watched_zones

        shards = sorted(shards_only) if shards_only is not None else None
        size = self.fleet_size(plan, shards_only=shards_only, vms=vms, max_vms=max_vms)
        if not checked:
            report("checking")
            self.require_preflight(plan, vms=size, external_ip=external_ip)
        self.save(plan)
        self.inventory.remember(plan)
        intent = preview(
            self.profile,
            plan,
            size,
            run=new_run(self.clock()),
            now=self.clock(),
            shards=shards,
            taken={vm.name for vm in list_vms(self.compute, watched_zones(self.compute))},
            region_zones=region_zones(self.compute),
            canary=canary,
            keep=keep,
            external_ip=external_ip,
        )
        for warning in intent.warnings:
            report(warning)
        rest = f", canaries of {len(intent.vms)}" if intent.order.follows else ""
        report(f"run {intent.order.run}: asking for {len(intent.order.vms)} VMs{rest}")
        result = launch(self.profile, self.compute, self.buckets.state, intent, armed=self.armed, clock=self.clock)
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

        snapshot = self.fleet(run)
        view = next(view for view in snapshot.runs if view.run == run)
        if view.canary is None or view.phase(snapshot.taken) is not Phase.RUNNING:
            return None
        plan = self.inventory.plan(view.plan)
        return look(self.compute, self.buckets.data, self.buckets.state, plan, snapshot, view)

    def fleet(self, run: str = "") -> FleetSnapshot:
        """The whole fleet now; progress is judged against the last look."""
        from provision.fleet import observe

        with self._lock:
            snapshot = observe(self.profile, self.compute, self.runs, run=run or None, previous=self._snapshot, clock=self.clock)
            self._snapshot = snapshot
            news = self._find_news(snapshot) if self._telling else ()
        for event in news:
            tell(event)
        return snapshot

    def _find_news(self, snapshot: FleetSnapshot) -> tuple[Event, ...]:
        from provision.news import News

        if self._news is None:
            self._news = News(self.runs.read)
        return self._news.of(snapshot)

    @contextmanager
    def telling(
        self,
        urls: Sequence[str] = (),
        *,
        bell: Callable[[], object] = lambda: None,
        report: Callable[[str], object] = lambda _line: None,
    ) -> Iterator[None]:
        """While the block runs, every look at the fleet tells what is new: to the profile's addresses, to these, and by the bell.

        Args:
            urls: see `provision.notify.parse_hook`.
            bell: rings; called from the thread that looks.
            report: hears once of an address that cannot be told. Called from a thread of its own.

        Raises:
            ConfigurationError: for an address that cannot be meant.
        """
        hooks = parse_hooks((*self.profile.notify, *urls), local=self.profile.kind == "local")
        self._telling = True
        try:
            with telling(hooks, bell=bell, report=report):
                yield
        finally:
            self._telling = False

    def live_runs(self) -> list[str]:
        """Runs with unfinished shards, oldest first."""
        return [view.run for view in self.runs.live_runs(self.clock())]

    def runs_at_hand(self) -> list[str]:
        """Runs of the project that are live, or that have VMs."""
        return [view.run for view in self.fleet().runs if view.orders[0].project == self.profile.project]

    @cached_property
    def holder(self) -> Holder:
        """Who we are to others that look after the same runs."""
        from provision.lease import new_holder

        return new_holder(self.profile.owner)

    def look_after(self, run: str, *, max_cost: float = 0.0) -> tuple[tuple[ReconcileEvent, ...], Outlook]:
        """One pass of reconcile over a run, and how the run stands. Keeps the lease for the next pass; `let_go` gives it back.

        Args:
            max_cost: a limit that replaces the plan's and the profile's, in US dollars; 0: theirs.
        """
        from console.reconcile_events import events_of
        from provision.reconcile import outlook, reconcile

        snapshot = self.fleet(run)
        done = reconcile(
            self.profile,
            self.compute,
            self.buckets.state,
            snapshot,
            run=run,
            holder=self.holder,
            find_plan=self.inventory.plan,
            max_cost=max_cost,
            armed=self.armed,
            wait_seconds=RECONCILE_SECONDS,
            clock=self.clock,
        )
        self._looked_after.add(run)
        events = events_of(done)
        for event in events:
            if event.kind == "drained" and self._telling:
                tell(Event(Kind.CAP, run, event.text))
        return events, outlook(snapshot, run, done)

    def let_go(self) -> None:
        """Give back the leases of the runs that were looked after."""
        from provision.lease import release_lease

        while self._looked_after:
            release_lease(self.buckets.state, self._looked_after.pop(), self.holder)

    def reconcile(self, run: str) -> str:
        """Look after a run; says what was done, and once what a person has to decide; "" if there is nothing to say."""
        events, _ = self.look_after(run)
        lines = []
        for event in events:
            if event.kind in ("waiting", "elsewhere", "overtaken", "canary") or (event.is_state and event in self._said):
                continue
            self._said.add(event)
            lines.append(event.text)
        return "; ".join(lines)

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

    def propose_power(self, verb: Literal["stop", "start", "reset"], names: Sequence[str]) -> Proposal:
        """Stop, start or reset these VMs; globs and short names as people type them."""
        from provision.actions import propose_power

        return propose_power(self.profile, self.fleet(), verb, tuple(names))

    def propose_job(self, name: str, arguments: Sequence[str]) -> JobProposal:
        """What a kept VM would be given to do."""
        from provision.kept_vms import propose_job

        return propose_job(self.profile, self.fleet(), name, arguments)

    def give_job(self, proposal: JobProposal) -> Job:
        """Give it. Whoever calls this has asked the person."""
        from provision.kept_vms import give_job

        return give_job(proposal, profile=self.profile, state=self.buckets.state, armed=self.armed, clock=self.clock)

    def job_result(self, job: Job) -> JobResult | None:
        """What became of a job; None if it has not begun."""
        from engine.jobs import read_result

        return read_result(self.buckets.state, job.run, job.vm, job.number)

    def propose_cleanup(self, *, stale_days: int = STALE_DAYS) -> Proposal:
        """What is provably of no use any more; of the state of runs that are over what is older than so many days."""
        from provision.cleanup import propose_cleanup, take_inventory

        snapshot = self.fleet()
        stale = timedelta(days=stale_days)
        inventory = take_inventory(self.compute, snapshot, state=self.buckets.state, stale_after=stale, clock=self.clock)
        return propose_cleanup(self.profile, snapshot, inventory)

    def propose_adoption(self, patterns: Sequence[str] = ()) -> tuple[Proposal, int]:
        """What has no label and could become ours, and how many idle addresses beside it no name meant."""
        from provision.adopting import PATTERN, count_unmatched, propose_adoption
        from provision.cleanup import take_inventory

        inventory = take_inventory(self.compute, self.fleet(), clock=self.clock)
        proposal = propose_adoption(self.profile, inventory, tuple(patterns) or (PATTERN,))
        return proposal, count_unmatched(inventory, proposal)

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

    def find_logs(self, question: Question) -> Evidence:
        """What VMs said, from wherever it is kept: also of VMs that are gone, or were never ours."""
        from provision.clients import make_logging
        from provision.logs import Places, find

        places = Places(
            project=self.profile.project,
            state=self.buckets.state,
            logging=lambda: make_logging(self.profile, tailing=False),
            compute=lambda: self.compute,
            now=self.clock,
        )
        return find(places, question)

    async def follow_logs(self, question: Question) -> AsyncIterator[Batch]:
        """What a question asks for, as it comes, beginning with what Cloud Logging has of it. On the event loop that shows it."""
        from dataclasses import replace

        from provision.clients import make_logging
        from provision.logs import tail

        query = question.to_query(self.profile.project, foreign=question.names_vms and not question.run)
        async for batch in tail(make_logging(self.profile), query):
            yield replace(batch, entries=tuple(question.keep(batch.entries)))

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
    waiting: tuple[str, ...] = ()
    """VMs that follow once the canaries have proved themselves."""


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
        platform=cloud.url("platform"),
        logging=cloud.logging_endpoint,
        tardis_api=api,
        tardis_datasets=api,
    )
