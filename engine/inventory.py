"""What the state bucket knows about a range of days, gathered for the planner and for coverage.

Both need the same things: the venues' newest catalogues, the manifests of the range from listings, a way to open a cell, and
which shards live workers hold right now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from engine.catalogue import Catalogue, list_catalogues, list_venues, load_catalogue_table
from engine.collector import collector_held
from engine.coverage import CellReport, Coverage, LiveShard, assess, context_of, live_cells
from engine.datatypes import require_data_type
from engine.errors import UsageError
from engine.estimate import LOCAL_SPEED, Rates, Sizes, Speed, file_sizes
from engine.instrument_coverage import INSTRUMENTS, list_definitions
from engine.launch import list_runs
from engine.live_work import live_shards
from engine.manifest import Record, Summary, read_cell, summarize
from engine.model import Cell, DayRange, File, require_aware
from engine.paths import manifest_range, verification_range
from engine.plan import CANDLES, Plan, Request, load_plan
from engine.planner import make_plan
from engine.range_listing import RangeListing
from engine.run import run_started
from engine.spelling import nearest
from engine.store import Store
from engine.universe import resolve_scope
from engine.validation.verification import Finding, Verification, read_verification, read_verifications

LIVE_WITHIN = timedelta(days=7)
"""A run that started earlier cannot hold a shard: VMs do not live so long."""

OVER_FOR = timedelta(minutes=1)
"""A run that is over may be taken up again by hand; so long nobody looks."""

FREE_OF_CHARGE = Rates()


class Inventory:
    """A state bucket, read. Caches what never changes: plans, and manifests that were opened."""

    def __init__(self, state: Store) -> None:
        self.state = state
        self._ranges = RangeListing(state)
        self._plans: dict[str, Plan] = {}
        self._catalogues: dict[str, Catalogue] = {}
        """The newest of each venue that was read: a table may hold 300,000 options."""
        self._over: dict[str, datetime] = {}
        """Runs of which every shard was done, and when that was seen: they are not asked about at every look."""
        self.judged_candles: dict[Cell, tuple[object, CellReport]] = {}
        """Cells of candles that were opened, and what stands for all that was read: see `engine.candles.coverage`."""

    def catalogues(self, venues: Iterable[str]) -> dict[str, Catalogue]:
        """The newest catalogue of each venue.

        Raises:
            UsageError: naming a venue without one, and the nearest that has one.
        """
        wanted = list(dict.fromkeys(venues))
        with ThreadPoolExecutor(8) as pool:
            found = dict(zip(wanted, pool.map(self.newest_catalogue, wanted), strict=True))
        for venue, catalogue in found.items():
            if catalogue is None:
                known = list_venues(self.state)
                raise UsageError(
                    f"the state bucket has no catalogue of venue {venue!r}",
                    hint=f"{nearest(venue, known, what='venues')}; or fetch it: engine instruments --venues {venue}",
                )
        return {venue: catalogue for venue, catalogue in found.items() if catalogue is not None}

    def newest_catalogue(self, venue: str) -> Catalogue | None:
        """The newest catalogue of a venue, read once; None if the venue was never asked for."""
        listed = list_catalogues(self.state, venue)
        if not listed:
            return None
        name = listed[-1][1]
        held = self._catalogues.get(venue)
        if held is None or held.object_name != name:
            held = load_catalogue_table(self.state, name)
            if held is not None:
                self._catalogues[venue] = held
        return held

    def summaries(self, days: DayRange) -> list[Summary]:
        """All manifests of these days, from listings alone."""
        return list(map(summarize, self._ranges.look(*manifest_range(days))))

    def verifications(self, days: DayRange) -> dict[Cell, Verification]:
        """What the last comparisons of objects with manifests found on these days, from listings."""
        return read_verifications(self.state, self._ranges.look(*verification_range(days)))

    def open_cell(self, cell: Cell) -> dict[str, Record]:
        """What all manifests of a cell say together, by symbol."""
        return read_cell(self.state, cell)

    def findings(self, cell: Cell) -> tuple[Finding, ...]:
        """What the last comparison of a cell's objects found wrong, in all detail."""
        found = read_verification(self.state, cell)
        return () if found is None else found.findings

    def plan(self, plan: str) -> Plan:
        """A plan by its id."""
        if plan not in self._plans:
            self._plans[plan] = load_plan(self.state, plan)
        return self._plans[plan]

    def remember(self, plan: Plan) -> None:
        """Keep a plan that was just made, so that it need not be read back."""
        self._plans[plan.id] = plan

    def recent_runs(self, now: datetime) -> list[str]:
        """Runs that may still be live, oldest first."""
        require_aware(now)
        return [run for run in list_runs(self.state) if _is_recent(run, now)]

    def live(self, now: datetime) -> Mapping[Cell, Collection[LiveShard]]:
        """The cells that live workers have before them, or that wait for a worker that was asked for."""
        shards = []
        for run in self.recent_runs(now):
            if run in self._over and now - self._over[run] < OVER_FOR:
                continue
            found, over = live_shards(self.state, run, self.plan, now=now)
            shards += found
            if over:
                self._over[run] = now
        return live_cells(shards)


@dataclass(frozen=True, slots=True)
class Means:
    """With what a plan is carried out."""

    data_bucket: str
    state_bucket: str
    speed: Speed = LOCAL_SPEED
    rates: Rates = FREE_OF_CHARGE
    default_shards: int = 1
    max_shards: int = 1000
    allowance_bytes: int = 0
    settings: Mapping[str, str] | None = None
    universe_folder: Path | None = None
    """A folder of the person's own universes."""
    prior_share: float = 1.0
    """Scales the first guesses of file sizes, for a source that is not the real market."""
    fleet_warning: str = ""
    """What a plan for more than one VM says: how many addresses the source's keys allow is not known. Empty: nothing."""
    warn_cost_run: float = 0.0
    """US dollars; a plan that may cost more says so. 0: never."""
    warn_cost_day: float = 0.0
    """The same for what falls on one UTC day."""


def plan_request(inventory: Inventory, request: Request, means: Means, *, now: datetime) -> Plan:
    """Plan a request against what the bucket holds. The catalogues of its venues must be there.

    Raises:
        UsageError: naming what is wrong with the request.
    """
    if request.mode == CANDLES:
        from engine.candles.planning import plan_candles

        return plan_candles(inventory, request, means, now=now)
    days = DayRange(request.start, request.end)
    catalogues = inventory.catalogues(request.venues)
    summaries = inventory.summaries(context_of(days))
    sizes = Sizes(_recent_sizes(inventory, summaries, request), summaries, prior_share=means.prior_share)
    return make_plan(
        request,
        catalogues=catalogues,
        summaries=summaries,
        open_cell=inventory.open_cell,
        sizes=sizes,
        speed=means.speed,
        rates=means.rates,
        default_shards=means.default_shards,
        max_shards=means.max_shards,
        data_bucket=means.data_bucket,
        state_bucket=means.state_bucket,
        now=now,
        live=inventory.live(now),
        verified=inventory.verifications(days),
        allowance_bytes=means.allowance_bytes,
        settings=means.settings or {},
        universe_folder=means.universe_folder,
        fleet_warning=means.fleet_warning,
        warn_cost_run=means.warn_cost_run,
        warn_cost_day=means.warn_cost_day,
    )


def check_range(
    inventory: Inventory,
    days: DayRange,
    venues: Iterable[str],
    data_types: Iterable[str],
    *,
    now: datetime,
    symbols: tuple[str, ...] = (),
    universe: str = "",
    universe_folder: Path | None = None,
    data: Store | None = None,
) -> Coverage:
    """The state of every cell of the range.

    Args:
        data: the data bucket, for the rows of instruments; None: nothing is said about them. They count among the other cells only
            if `data_types` names them.

    Raises:
        UsageError: for a venue, data type, symbol or universe that nobody knows: of a mistyped one nothing is expected.
    """
    asked = tuple(dict.fromkeys(data_types))
    data_types = tuple(require_data_type(name).name for name in asked if name != INSTRUMENTS)
    catalogues = inventory.catalogues(venues)
    scope = resolve_scope(symbols, universe, catalogues, folder=universe_folder)
    with collector_held():
        return assess(
            days,
            tuple(catalogues),
            data_types,
            catalogues=catalogues,
            summaries=inventory.summaries(context_of(days)),
            open_cell=inventory.open_cell,
            now=now,
            scope=scope,
            live=inventory.live(now),
            verified=inventory.verifications(days),
            definitions=None if data is None else list_definitions(data, _months(days)),
            count_definitions=INSTRUMENTS in asked,
        )


SIZED_CELLS = 3
"""How many recent cells of each (venue, data type) are opened to learn the sizes of single files."""


def _recent_sizes(inventory: Inventory, summaries: Iterable[Summary], request: Request) -> list[tuple[File, int]]:
    newest: dict[tuple[str, str], list[Cell]] = {}
    for summary in sorted(summaries, key=lambda summary: summary.name.cell.day, reverse=True):
        cell = summary.name.cell
        if summary.source_bytes and cell.venue in request.venues and cell.data_type in request.data_types:
            cells = newest.setdefault((cell.venue, cell.data_type), [])
            if len(cells) < SIZED_CELLS and cell not in cells:
                cells.append(cell)
    to_open = [cell for cells in newest.values() for cell in cells]
    if not to_open:
        return []
    with ThreadPoolExecutor(min(16, len(to_open))) as pool:
        opened = pool.map(lambda cell: list(file_sizes(cell, inventory.open_cell(cell))), to_open)
        return [size for sizes in opened for size in sizes]


def _is_recent(run: str, now: datetime) -> bool:
    try:
        return now - run_started(run) < LIVE_WITHIN
    except UsageError:
        return False


def _months(days: DayRange) -> Iterable[DayRange]:
    start = days.start
    while start <= days.end:
        following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        end = min(days.end, following - timedelta(days=1))
        yield DayRange(start, end)
        start = following
