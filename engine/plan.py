"""The plan: an immutable document that says what to do, split into shards, with estimates, prices and limits.

It is named by the hash of its content. What was approved is what runs: a worker reads its shard from here and nowhere else.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import Any, Literal

import msgspec

from engine.cell_spans import CellSpan, spans_of
from engine.documents import JSON, Moment, decode, encode, encode_compact, json_decoder
from engine.errors import AlreadyExists, ConfigurationError, UsageError
from engine.model import Cell, File, Outcome
from engine.paths import plan_object
from engine.store import Store

CANDLES = "candles"
"""The mode of a plan that makes candles, and what stands for a data type in its cells and manifests."""

Strategy = Literal["balanced", "by-date", "by-instrument"]
STRATEGIES: tuple[Strategy, ...] = ("balanced", "by-date", "by-instrument")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for."""

    mode: str = "download"
    venues: tuple[str, ...]
    data_types: tuple[str, ...]
    start: date
    end: date
    """Inclusive."""
    cells: tuple[CellSpan, ...] = ()
    """Exactly these of the product of days, venues and types; empty: all of it."""
    symbols: tuple[str, ...] = ()
    """Empty: every symbol that the catalogue expects."""
    universe: str = ""
    """Name of a symbol list, or empty."""
    instrument_types: tuple[str, ...] = ()
    """Only symbols of these kinds: `spot`, `perpetual`, `future`, `option`, `combo`; empty: all."""
    strategy: Strategy = "balanced"
    shards: int = 0
    """0: as many as the deadline needs, or one per file if there are fewer files than the default fleet."""
    deadline: Moment | None = None
    machine_type: str = ""
    """Empty: the profile's."""
    provisioning_model: str = "SPOT"
    refetch: bool = False
    """Plan also what manifests already hold."""
    retry_outcomes: tuple[Outcome, ...] = ()
    """Of files that have an outcome already: plan only these again. Empty: every one that is not ok, empty or waived."""
    refetch_adopted: bool = False
    """Plan also files that were adopted from the system before Tickdeck."""
    daily_bytes: int = 0
    """At most so many source bytes a UTC day, over all shards; 0: no cap."""
    max_cost: float = 0.0
    """US dollars that the run may cost: no VM is asked for that could pass it; 0: the profile's `max_cost`."""
    max_failures: str = ""
    """A worker stops when more of its files end bad: a number such as `25` or a share such as `5%`; empty: never."""
    bucket_by: str = "exchange"
    """Of candles: which time of a row decides its bar, `exchange` or `local`."""
    timeframes: tuple[str, ...] = ()
    """Of candles; empty: all."""
    rebuild: bool = False
    """Of candles: make anew, and overwrite, those that were made of other inputs than the lake holds now."""


def for_cells(request: Request, cells: Collection[Cell]) -> Request:
    """The same request for exactly these cells: days, venues and types become the smallest product that holds them.

    Raises:
        UsageError: if there is no cell.
    """
    if not cells:
        raise UsageError("a request for no cell asks for nothing")
    days = [cell.day for cell in cells]
    venues, data_types = {cell.venue for cell in cells}, {cell.data_type for cell in cells}
    size = ((max(days) - min(days)).days + 1) * len(venues) * len(data_types)
    return msgspec.structs.replace(
        request,
        venues=_in_order(request.venues, venues),
        data_types=_in_order(request.data_types, data_types),
        start=min(days),
        end=max(days),
        cells=spans_of(cells) if len(set(cells)) < size else (),
    )


def with_mode(request: Request) -> Request:
    """A request for candles by what it is of: they are made, what else there is is downloaded.

    Raises:
        UsageError: if it is of candles and of files of the source.
    """
    if CANDLES not in request.data_types:
        return request
    if set(request.data_types) != {CANDLES}:
        raise UsageError("candles and files of the source are two plans", hint=f"name {CANDLES} alone, or leave it out")
    return msgspec.structs.replace(request, mode=CANDLES)


def _in_order(order: tuple[str, ...], names: set[str]) -> tuple[str, ...]:
    """These names, as far as they are in `order` in that order, the others after them."""
    return (*(name for name in dict.fromkeys(order) if name in names), *sorted(names.difference(order)))


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The part of one cell that one shard does. Symbols in the order of work: largest first."""

    day: date
    data_type: str
    venue: str
    symbols: tuple[str, ...]
    bytes: tuple[int, ...]
    """Estimated compressed source bytes of each symbol."""
    seconds: float
    """Estimated work of one converter."""

    @property
    def cell(self) -> Cell:
        """The cell it belongs to."""
        return Cell(self.day, self.data_type, self.venue)

    def files(self) -> Iterator[File]:
        """Its files, in the order of work."""
        cell = self.cell
        return (File(cell, symbol) for symbol in self.symbols)


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered list of work for one worker, cell by cell, largest cell first."""

    index: int
    work: tuple[Work, ...]
    files: int
    bytes: int
    seconds: float
    """Estimated time on its VM, boot not included."""
    daily_bytes: int = 0
    """Its share of each UTC day's cap on source bytes; 0: no cap. Whoever works on the shard has the share."""


def slowest_shard(shards: Sequence[Shard]) -> Shard:
    """The one that ends last; the first of equals."""
    return max(shards, key=lambda shard: (shard.seconds, -shard.index))


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A cost line: low, expected and high in US dollars, with where the price comes from."""

    item: str
    low: float
    expected: float
    high: float
    source: str
    dated: str
    """Day of the price, ISO, or the word `free`."""


class NotReady(msgspec.Struct, frozen=True):
    """A requested day that the source has not published."""

    day: date
    venue: str
    due: Moment


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan will take."""

    files: int
    bytes: int
    cells: int
    makespan_seconds: float
    """From launch to the end of the slowest shard, boot included."""
    lower_bound_seconds: float
    """No packing of this work on this many VMs can be faster."""
    vm_hours: float
    costs: tuple[Price, ...]
    allowance_bytes: int = 0
    """The account's daily transfer allowance, 0 if the profile names none."""
    storage: Price | None = None
    """What keeping the result adds to the bill of every month after. Not part of the run's cost."""

    @property
    def is_priced(self) -> bool:
        """Whether there are prices at all; a plan that is not priced is not free."""
        return bool(self.costs)

    @property
    def cost(self) -> tuple[float, float, float]:
        """Sum of the cost lines: low, expected, high, US dollars."""
        return (
            sum(line.low for line in self.costs),
            sum(line.expected for line in self.costs),
            sum(line.high for line in self.costs),
        )


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan's VMs run. A launch that would run something else is refused."""

    image: str = ""
    """The engine's container, by digest on the real cloud."""
    boot_image: str = ""
    """The operating system, or its family; the launch record has the very image."""
    cloud_init: str = ""
    """Hash of the user-data that starts the container."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `id` and `created` are not part of the hash."""

    schema: int = 1
    id: str = ""
    created: Moment
    request: Request
    data_bucket: str
    state_bucket: str
    catalogues: dict[str, str]
    """venue -> catalogue object that said what to expect."""
    shards: tuple[Shard, ...]
    estimate: Estimate
    already_done: int = 0
    """Files of the request that manifests hold; not planned again."""
    not_expected_cells: int = 0
    """Cells of the naive product that the venues do not offer."""
    not_ready: tuple[NotReady, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    """Worker settings that this plan fixes, by their environment names; no secrets."""
    boot: Boot = Boot()
    """Empty: of a version that did not write it down, or of a machine that is no VM."""
    job: tuple[str, ...] = ()
    """A verb of the engine and its arguments, which the plan's one shard is, instead of files; empty: files."""

    def shard(self, index: int) -> Shard:
        """A shard by its index.

        Raises:
            ConfigurationError: naming the index and the range.
        """
        if not 0 <= index < len(self.shards):
            raise ConfigurationError(f"plan {self.id} has no shard {index}", hint=f"shards are 0..{len(self.shards) - 1}")
        return self.shards[index]


class PlanSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan would do, small enough to stand beside it in a listing."""

    created: Moment
    mode: str
    venues: tuple[str, ...]
    data_types: tuple[str, ...]
    start: date
    end: date
    """Inclusive."""
    scope: str = ""
    """Which symbols, in a few words, or the words of a job; empty: all that are expected."""
    strategy: str
    shards: int
    files: int
    bytes: int
    cells: int
    makespan_seconds: float
    vm_hours: float
    cost: tuple[float, float, float] | None = None
    """Low, expected, high in US dollars; None: no price was known."""


SUMMARY_KEY = "summary"
"""Of a plan's metadata: its `PlanSummary` as JSON."""

_METADATA_LIMIT = 4096
"""Bytes of one value (Cloud Storage, "Quotas and limits")."""


def summarize_plan(plan: Plan) -> PlanSummary:
    """What a list says of a plan."""
    request, estimate = plan.request, plan.estimate
    named = [request.universe] if request.universe else []
    named += request.symbols if len(request.symbols) <= 3 else [f"{len(request.symbols)} symbols"]
    return PlanSummary(
        created=plan.created,
        mode=request.mode,
        venues=request.venues,
        data_types=request.data_types,
        start=request.start,
        end=request.end,
        scope=" ".join(plan.job)[:200] if plan.job else " + ".join([*named, *request.instrument_types]),
        strategy=request.strategy,
        shards=len(plan.shards),
        files=estimate.files,
        bytes=estimate.bytes,
        cells=estimate.cells,
        makespan_seconds=estimate.makespan_seconds,
        vm_hours=estimate.vm_hours,
        cost=estimate.cost if estimate.is_priced else None,
    )


def seal(plan: Plan) -> Plan:
    """Name the plan by its content: 12 hex digits of the SHA-256 of its canonical JSON without `id` and `created`."""
    # As it will be read back: a whole number in a field of floats must not change the hash.
    plan = json_decoder(Plan).decode(msgspec.json.encode(plan))
    content = _without_defaults(plan)
    for field in ("id", "created"):
        content.pop(field, None)
    return msgspec.structs.replace(plan, id=hashlib.sha256(encode_compact(content)).hexdigest()[:12])


def _without_defaults(document: msgspec.Struct) -> dict[str, Any]:
    """What a struct says beyond its defaults: a field that a later version adds does not rename the plans of earlier ones."""
    content: dict[str, Any] = {}
    for name, default in _defaults(type(document)):
        value = getattr(document, name)
        if default is not msgspec.NODEFAULT and value == default:
            continue
        if isinstance(value, msgspec.Struct):
            value = _without_defaults(value)
        elif isinstance(value, tuple):
            value = [_without_defaults(item) if isinstance(item, msgspec.Struct) else item for item in value]
        content[name] = value
    return content


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a document with their defaults; asked for once, a plan has hundreds of thousands of fragments."""
    return tuple((field.name, field.default) for field in msgspec.structs.fields(kind))


def save_plan(store: Store, plan: Plan) -> str:
    """Store a sealed plan create-once; saving the same plan again is fine.

    Returns:
        The object's name.
    """
    if not plan.id or seal(plan).id != plan.id:
        raise UsageError(f"plan {plan.id or '(unnamed)'} is not sealed")
    name = plan_object(plan.id)
    try:
        store.put(name, encode(plan), if_generation=0, content_type=JSON, metadata=_metadata_of(plan))
    except AlreadyExists:
        pass
    return name


def _metadata_of(plan: Plan) -> dict[str, str]:
    """Its summary, if that fits; else a list reads the plan."""
    text = encode_compact(summarize_plan(plan)).decode()
    return {SUMMARY_KEY: text} if len(text.encode()) <= _METADATA_LIMIT else {}


def load_plan(store: Store, plan: str) -> Plan:
    """Read a plan by its id.

    Raises:
        ConfigurationError: if there is none, or its content does not match its name.
    """
    name = plan_object(plan)
    found = store.get(name)
    if found is None:
        raise ConfigurationError(f"there is no plan {plan} in bucket {store.bucket}", hint="make one: tickdeck plan ... --save")
    document = decode(found.data, Plan, name=name)
    if seal(document).id != plan:
        raise ConfigurationError(f"{name} was altered: its content hashes to {seal(document).id}", hint="plan again")
    return document
