"""A recorded world for the Plan and Coverage screens: catalogues and manifests at one fixed moment, and a session that plays them.

Plans and coverage are made by the engine's own planner and judge from what is recorded here, so that no test shows a plan or a state
that could not be. Every state of a cell is in it, and runs, logs and VMs are those of `recorded_fleet`.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from console.app import ConsoleApp
from console.session import Launched
from engine.arrivals import Arrival, arrivals_of
from engine.bigquery.contents import content_of_venue, objects_of
from engine.bigquery.coverage import assess_loads
from engine.bigquery.loads import LoadSummary, VenueMark
from engine.bigquery.tables import tables_of
from engine.candles.cells import read_candle_cell
from engine.candles.coverage import assess_candles
from engine.candles.planning import plan_candles
from engine.candles.sources import read_sources
from engine.candles.timeframes import TIMEFRAMES, bars_of
from engine.catalogue import Catalogue, Incident, Listing, due
from engine.coverage import Coverage, Layer, LiveShard, assess
from engine.doctor.finding import Finding, good
from engine.errors import AlreadyExists, UsageError
from engine.estimate import LOCAL_SPEED, Rate, Rates, Sizes
from engine.instrument_coverage import INSTRUMENTS, Definitions
from engine.inventory import Means
from engine.manifest import Entry, Manifest, Origin, Part, Record, Summary, merge, metadata_of, summarize
from engine.model import Cell, DayRange, Outcome, day_start
from engine.paths import LoadName, ManifestName, OldDataName, manifest_object, old_data_object
from engine.plan import CANDLES, Plan, Request, save_plan
from engine.planner import make_plan
from engine.run import new_run
from engine.store import ObjectData, ObjectInfo
from engine.universe import resolve_scope
from engine.validation.verification import identify_manifests
from provision.preflight import Preflight
from provision.prices import machine_speed, plan_rates
from provision.waivers import WaiverProposal, WaiverReceipt, propose_waivers
from provision.what_if import Alternative, Choices, try_fleets
from tests.console import recorded_fleet
from tests.console.fleet_session import EmptyStore, FleetSession

NOW = recorded_fleet.NOW
"""05:36 UTC on 2024-05-23: yesterday is published at 06:00."""
VENUES = ("binance", "binance-futures", "deribit", "okex-swap")
TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
DAYS = DayRange(date(2024, 4, 10), date(2024, 5, 22))
REQUEST = Request(venues=VENUES, data_types=TYPES, start=DAYS.start, end=DAYS.end, shards=4)
BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
OTHER_RUN = "r1tp0other"
"""A run of another console that works on a cell."""
ADOPTED_BEFORE = date(2024, 4, 22)
"""Trades and tickers of okex-swap are from before Tickdeck until here."""
CANDLE_RUN = f"{new_run(recorded_fleet.NOW - timedelta(minutes=10))[:8]}0c"
"""Made all candles that are there."""
DEFINITIONS = {
    Cell(day, "instruments", venue): Definitions(7, due(day), 4096, 1)
    for venue in VENUES
    for day in DayRange(DAYS.start, DAYS.end - timedelta(days=1))
    if (venue, day) != ("deribit", date(2024, 5, 6))
}
"""Of instruments: all days but one are there."""
INCIDENT = datetime(2024, 5, 4, 14, 10, tzinfo=UTC)

_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")
_OFFERS = {
    "binance": ("spot", "{}USDT", ("trades", "book_snapshot_5")),
    "binance-futures": ("perpetual", "{}USDT", ("trades", "book_snapshot_5", "derivative_ticker", "liquidations")),
    "deribit": ("perpetual", "{}-PERPETUAL", ("trades", "book_snapshot_5", "derivative_ticker", "liquidations")),
    "okex-swap": ("perpetual", "{}-USDT-SWAP", ("trades", "book_snapshot_5", "derivative_ticker", "liquidations")),
}
IMAGE = f"localhost/tickdeck/engine@sha256:{'0' * 64}"
RATES = Rates(vm_hour=Rate(0.11, "price table", "2024-05-01"), machine="e2-highmem-8 spot")
"""For a profile that costs money."""


def catalogues() -> dict[str, Catalogue]:
    """What the four venues offer."""
    made = {}
    for venue, (kind, spelling, types) in _OFFERS.items():
        listings = [Listing(spelling.format(coin), kind, types, BEGAN) for coin in _COINS]
        if venue == "deribit":
            listings.append(Listing("OPTIONS", "option", ("options_chain",), BEGAN))
        if venue == "binance":
            listings.append(Listing("NEWUSDT", "spot", types, datetime(2024, 5, 20, tzinfo=UTC)))
        incidents = (Incident(INCIDENT, INCIDENT + timedelta(hours=1), "resolved", "recorder offline"),) if venue == "binance" else ()
        made[venue] = Catalogue(
            venue=venue,
            fetched=NOW - timedelta(minutes=20),
            published_until=datetime(2024, 5, 22, tzinfo=UTC),
            listings=tuple(listings),
            incidents=incidents,
        )
    return made


class Lake:
    """Manifests of a state bucket, kept in memory."""

    def __init__(self) -> None:
        self.catalogues = catalogues()
        self.held: dict[Cell, list[tuple[Manifest, int]]] = {}
        self.live: dict[Cell, tuple[LiveShard, ...]] = {}
        self.loads: dict[tuple[str, date], LoadSummary] = {}

    def put(self, cell: Cell, entries: Sequence[Entry], *, run: str = "r1tn0first", shard: int = 0, origin: Origin = "committed") -> None:
        """Commit what became of some files of a cell."""
        manifest = Manifest(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            run=run,
            shard=shard,
            attempt=1,
            vm=f"market-data-shard-{run}-{shard}",
            written=due(cell.day) + timedelta(minutes=30),
            open=False,
            engine_version="0.1.0",
            origin=origin,
            catalogue="",
            entries=tuple(entries),
        )
        self.held.setdefault(cell, []).append((manifest, 1000 + sum(map(len, self.held.values()))))

    def fill(self, cell: Cell, **odd: Outcome) -> None:
        """Commit all symbols of a cell as `ok`, but those in `odd`, by the place of their coin."""
        entries = []
        for number, symbol in enumerate(sorted(self.catalogues[cell.venue].expected(cell.data_type, cell.day))):
            outcome = odd.get(f"n{number}", Outcome.OK)
            size = 40_000_000 // (number + 1) ** 2
            rows = size // 40 if outcome is Outcome.OK else 0
            reason = {Outcome.QUARANTINED: "cut_short", Outcome.FAILED: "timeout"}.get(outcome, "")
            detail = {Outcome.QUARANTINED: "gzip member 3 is cut short", Outcome.NOT_FOUND: "HTTP 404"}.get(outcome, "")
            entries.append(
                Entry(
                    symbol=symbol,
                    outcome=outcome,
                    reason=reason,
                    detail=detail,
                    rows=rows,
                    covered_minutes=1440 if rows else 0,
                    first_us=int(day_start(cell.day).timestamp()) * 1_000_000 + 250_000 if rows else None,
                    last_us=int(day_start(cell.day).timestamp()) * 1_000_000 + 86_399_000_000 if rows else None,
                    source_bytes=size if rows else 20,
                    object_bytes=size // 2 if rows else 0,
                    generation=1_716_000_000 + number if rows else 0,
                    crc32c="AAAAAA==" if rows else "",
                    fingerprint="1:9f2c11aa:160000000" if rows else "",
                    status=404 if outcome is Outcome.NOT_FOUND else 200,
                    requests=1,
                    seconds=1.5,
                )
            )
        self.put(cell, entries)

    def adopt(self, cell: Cell) -> None:
        """Record all symbols of a cell as found in the bucket from before Tickdeck."""
        entries = [
            Entry(
                symbol=symbol,
                outcome=Outcome.OK,
                rows=1_000_000 // (number + 1) ** 2,
                object_bytes=20_000_000 // (number + 1) ** 2,
                generation=1_700_000_000 + number,
                crc32c="AAAAAA==",
                object=old_data_object(OldDataName(cell.day, cell.data_type, f"OKX:PERPETUAL:{symbol.removesuffix('-SWAP')}")),
            )
            for number, symbol in enumerate(sorted(self.catalogues[cell.venue].expected(cell.data_type, cell.day)))
        ]
        self.put(cell, entries, run="a1tm0found", origin="adopted")

    def make_candles(self, day: date, venue: str) -> None:
        """Candles of all that has trades; but of okex-swap only until the tenth of May, and not everything went well."""
        sources = read_sources(self.open_cell, day, venue)
        if not sources or (venue == "okex-swap" and day > date(2024, 5, 10)):
            return
        entries = []
        for number, (symbol, files) in enumerate(sources.items()):
            if (venue, day, number) == ("binance", date(2024, 5, 14), 2):
                continue
            lacking = (venue, day, number) == ("binance-futures", date(2024, 5, 16), 3)
            made = files.made("exchange")
            parts = tuple(
                Part(name, 1000 * bars_of(name), 1_716_400_000 + number, "AAAAAA==") for name in TIMEFRAMES[: 6 if lacking else 7]
            )
            entry = Entry(
                symbol=symbol,
                outcome=Outcome.OK,
                rows=sum(bars_of(part.timeframe) for part in parts),
                covered_minutes=1440,
                source_bytes=files.bytes,
                object_bytes=sum(part.bytes for part in parts),
                generation=1_716_400_000 + number,
                fingerprint="0" * 32 if (venue, day) == ("deribit", date(2024, 5, 12)) else made.identity,
                parts=parts,
                inputs=tuple(made.inputs),
            )
            entries.append(entry)
        stale = (venue, day) == ("deribit", date(2024, 5, 12))
        self.put(Cell(day, CANDLES, venue), entries, run="r1hyd00000" if stale else CANDLE_RUN)

    def load(self, day: date) -> None:
        """Into BigQuery, as the candles of that day are now; of the 24h only until May."""
        for table in tables_of("candles", TIMEFRAMES if day < date(2024, 5, 1) else TIMEFRAMES[:-1]):
            marks = {}
            for venue in VENUES:
                cell = Cell(day, CANDLES, venue)
                records = self.open_cell(cell)
                objects = [each for symbol, record in records.items() for each in objects_of(table, cell, symbol, record.entry)]
                if objects:
                    manifests = identify_manifests([generation for _, generation in self.held[cell]])
                    marks[venue] = VenueMark(content_of_venue(objects), manifests)
            name = LoadName(day, "tickdeck", table.name, "job")
            self.loads[table.name, day] = LoadSummary(name, "", 0, 0, marks, NOW - timedelta(hours=1), 1)

    @cached_property
    def listed(self) -> list[Summary]:
        """What a listing shows; the recorded manifests do not change."""
        found = []
        for cell, manifests in self.held.items():
            for manifest, generation in manifests:
                name = manifest_object(ManifestName(cell, manifest.run, manifest.shard, 1, 0))
                found.append(summarize(ObjectInfo(name, 1, generation, "", manifest.written, metadata_of(manifest))))
        return found

    def open_cell(self, cell: Cell) -> dict[str, Record]:
        """Read and merge a cell."""
        return merge(self.held.get(cell, ()))


def made_up_lake() -> Lake:
    """Mostly complete, with every other state somewhere in the last weeks."""
    lake = Lake()
    for day in DayRange(DAYS.start - timedelta(days=35), DAYS.end - timedelta(days=1)):
        for venue in VENUES:
            for data_type in TYPES:
                cell = Cell(day, data_type, venue)
                if not lake.catalogues[venue].expected(data_type, day) or _is_hole(cell):
                    continue
                if _is_old(cell):
                    lake.adopt(cell)
                else:
                    lake.fill(cell, **_ODD.get((venue, data_type, day), {}))
    lake.live = {Cell(date(2024, 5, 21), "trades", "okex-swap"): (LiveShard(OTHER_RUN, 0),)}
    for day in DAYS:
        for venue in VENUES:
            lake.make_candles(day, venue)
        if day < date(2024, 5, 5):
            lake.load(day)
    return lake


def recorded_lake() -> Lake:
    """The made-up lake, made once; what works on it now is the caller's own."""
    shared = _made_up_once()
    lake = copy.copy(shared)
    lake.live = dict(shared.live)
    return lake


@cache
def _made_up_once() -> Lake:
    lake = made_up_lake()
    assert lake.listed
    return lake


_ODD: dict[tuple[str, str, date], dict[str, Outcome]] = {
    ("binance-futures", "book_snapshot_5", date(2024, 5, 11)): {"n1": Outcome.QUARANTINED, "n4": Outcome.NOT_FOUND},
    ("binance-futures", "liquidations", date(2024, 5, 13)): {"n2": Outcome.EMPTY},
    ("deribit", "derivative_ticker", date(2024, 5, 15)): {f"n{number}": Outcome.FAILED for number in range(6)},
    ("deribit", "trades", date(2024, 4, 28)): {"n3": Outcome.FAILED},
}


def _is_hole(cell: Cell) -> bool:
    never = date(2024, 5, 17) <= cell.day <= date(2024, 5, 19) and (cell.venue, cell.data_type) == ("okex-swap", "book_snapshot_5")
    return never or (cell.day == date(2024, 5, 21) and cell.venue == "okex-swap")


def _is_old(cell: Cell) -> bool:
    return (cell.venue, cell.data_type) in (("okex-swap", "trades"), ("okex-swap", "derivative_ticker")) and cell.day < ADOPTED_BEFORE


class KeptObjects(EmptyStore):
    """A state bucket in memory: what is put there can be listed and read."""

    bucket = "market-data-tick-state"

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes, ObjectInfo]] = {}

    def put(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, **_how: Any) -> None:
        if name in self._kept:
            raise AlreadyExists(name)
        self._kept[name] = data, ObjectInfo(name, len(data), len(self._kept) + 1, "", self._clock(), dict(metadata or {}))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for name, (_, info) in sorted(self._kept.items()) if name.startswith(prefix))

    def get(self, name: str) -> ObjectData | None:  # type: ignore[override]
        found = self._kept.get(name)
        return None if found is None else ObjectData(found[0], found[1].generation)


class RecordedSession(FleetSession):
    """The session of the recorded world. Slow on demand: `gate` holds plans back until it is set."""

    def __init__(self, *, live: bool = False, costs: bool = False) -> None:
        super().__init__(recorded_fleet.healthy() if live else recorded_fleet.nothing(), live=live)
        self.profile = dataclasses.replace(recorded_fleet.LOCAL, zones=recorded_fleet.ZONES, image=IMAGE)
        self.lake = recorded_lake()
        self.costs = costs
        self.launches: list[dict[str, Any]] = []
        """How plans were launched."""
        self.buckets = SimpleNamespace(state=KeptObjects(self.clock), data=EmptyStore())
        self.gate = threading.Event()
        self.gate.set()
        self.findings = [good("credentials", "the local cloud asks for none"), good("quota", "4 VMs fit")]
        """What the checks of a launch find."""
        self.down = ""
        """Why nothing answers."""
        self.inventory = SimpleNamespace(
            open_cell=self.lake.open_cell,
            findings=lambda _cell: (),
            catalogues=self._catalogues,
            live=lambda _now: self.lake.live,
            summaries=lambda days: [summary for summary in self.lake.listed if summary.name.cell.day in days],
            verifications=lambda _days: {},
        )

    def _catalogues(self, venues: Sequence[str]) -> dict[str, Catalogue]:
        for venue in venues:
            if venue not in self.lake.catalogues:
                raise UsageError(f"the source knows no venue {venue!r}", hint="did you mean binance?")
        return {venue: self.lake.catalogues[venue] for venue in venues}

    def plan(self, request: Request) -> Plan:
        self.calls.append(("plan", f"{request.start}..{request.end}", ",".join(request.venues)))
        self.gate.wait(10)
        if self.down:
            raise UsageError(self.down)
        if request.mode == CANDLES:
            return plan_candles(self.inventory, request, self.means(request), now=self.clock())  # type: ignore[arg-type]
        return make_plan(
            request,
            catalogues=self._catalogues(request.venues),
            summaries=self.lake.listed,
            open_cell=self.lake.open_cell,
            sizes=Sizes((), self.lake.listed),
            speed=self.means(request).speed,
            rates=self.means(request).rates,
            default_shards=4,
            max_shards=self.profile.max_vms,
            data_bucket=self.profile.data_bucket,
            state_bucket=self.profile.state,
            now=self.clock(),
            live=self.lake.live,
            allowance_bytes=250_000_000_000 if self.costs else 0,
        )

    def means(self, request: Request) -> Means:
        speed, rates = LOCAL_SPEED, RATES if self.costs else Rates()
        if self.profile.kind == "gcp":
            speed = machine_speed(request.machine_type or self.profile.machine_types[0])
            rates = plan_rates(self.profile, machine_type=request.machine_type, model=request.provisioning_model)
        return Means(self.profile.data_bucket, self.profile.state, speed, rates)

    def move_to_cloud(self) -> None:
        """From now on the profile is one of the real cloud: machine types have prices and speeds of the product's own table."""
        self.profile = dataclasses.replace(
            self.profile, kind="gcp", region="asia-northeast1", machine_types=("e2-highmem-8", "e2-standard-8"), max_cost=30.0
        )

    def what_if(self, plan: Plan, choices: Choices) -> tuple[Alternative, ...]:
        self.calls.append(("what_if", plan.id, *choices.strategies))
        means = self.means(plan.request)
        return try_fleets(
            plan, self.profile, choices, speed_of=lambda _type: means.speed, rates_of=lambda _type, _model: means.rates, now=self.clock()
        )

    def preflight(self, plan: Plan | None = None, *, vms: int = 0, **_options: Any) -> Iterator[Finding]:
        self.calls.append(("preflight", "" if plan is None else plan.id, str(vms)))
        yield from self.findings

    def record_skip(self, plan: Plan, _found: Preflight, reason: str) -> None:
        self.calls.append(("record_skip", plan.id, reason))

    def save(self, plan: Plan) -> str:
        self.calls.append(("save", plan.id))
        return save_plan(self.buckets.state, plan)

    def check(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        layer: Layer = Layer.RAW,
        timeframes: Sequence[str] = (),
    ) -> Coverage:
        self.calls.append(("check", str(days)))
        if self.down:
            raise UsageError(self.down)
        offered = self._catalogues(venues)
        if layer is Layer.LOADED:
            return assess_loads(
                days, venues, summaries=self.lake.listed, loads=self.lake.loads, open_cell=self.lake.open_cell, now=self.clock()
            )
        if layer is Layer.CANDLES:
            return assess_candles(
                days,
                venues,
                catalogues=offered,
                summaries=self.lake.listed,
                open_cell=lambda cell, lost: read_candle_cell(self.inventory, cell, lost),  # type: ignore[arg-type]
                now=self.clock(),
                scope=resolve_scope(symbols, universe, offered),
                live=self.lake.live,
                timeframes=timeframes or TIMEFRAMES,
            )
        return assess(
            days,
            venues,
            [name for name in data_types if name != INSTRUMENTS],
            catalogues=offered,
            summaries=self.lake.listed,
            open_cell=self.lake.open_cell,
            now=self.clock(),
            scope=resolve_scope(symbols, universe, offered),
            live=self.lake.live,
            definitions=DEFINITIONS,
            count_definitions=INSTRUMENTS in data_types,
        )

    def arrivals(self, venues: Sequence[str], _data_types: Sequence[str], *, coverage: Coverage, **_scope: Any) -> tuple[Arrival, ...]:
        yesterday = self.clock().date() - timedelta(days=1)
        day = yesterday if yesterday in coverage.days else coverage.days.end
        return arrivals_of(coverage, day, self._catalogues(venues))

    def propose_waivers(self, days: DayRange, venues: Sequence[str], data_types: Sequence[str], **wanted: Any) -> WaiverProposal:
        return propose_waivers(self.inventory, days, venues, data_types, **wanted)  # type: ignore[arg-type]

    def apply_waivers(self, proposal: WaiverProposal) -> WaiverReceipt:
        self.calls.append(("waive", proposal.reason, *(str(each.cell) for each in proposal.cells)))
        return WaiverReceipt(proposal, ("manifest",), (), "053612-7f3a")

    def write_definitions(self, cells: Collection[Cell]) -> int:
        self.calls.append(("definitions", *map(str, sorted(cells))))
        return len(cells)

    def launch(self, plan: Plan, *, report: Callable[[str], None] = lambda _line: None, **options: Any) -> Launched:
        """Its cells are worked on from now on."""
        self.launches.append(options)
        self.calls.append(("launch", plan.id))
        report(f"run {recorded_fleet.RUN}: asking for {len(plan.shards)} VMs")
        for shard in plan.shards:
            for work in shard.work:
                self.lake.live[work.cell] = (LiveShard(recorded_fleet.RUN, shard.index, queued=True),)
        self.snapshot = recorded_fleet.booting()
        names = tuple(recorded_fleet.vm_name(shard.index) for shard in plan.shards)
        return Launched(recorded_fleet.RUN, recorded_fleet.order(), names, (), ("",))


def console_on(session: FleetSession, request: Request | None = REQUEST, **options: Any) -> ConsoleApp:
    """The console on the recorded world."""
    return ConsoleApp(lambda _report: session, request, clock=recorded_fleet.clock, **options)  # type: ignore[arg-type, return-value]


async def command(pilot: Pilot[Any], line: str) -> None:
    """Type a command after `:`."""
    await pilot.press("colon")
    pilot.app.screen.query_one(Input).value = line
    await pilot.press("enter")
    await pilot.pause()
