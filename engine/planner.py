"""Making a plan out of a request: what is offered, less what is held, packed into shards and priced.

Pure: catalogues, manifests, sizes, speeds and prices come in, a sealed plan comes out. Whoever calls this has read them from a
bucket, and saves the plan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType

from msgspec import structs

from engine.catalogue import Catalogue, due
from engine.cell_spans import cells_of
from engine.clock import format_bytes, format_seconds, format_time
from engine.coverage import LiveShard, require_catalogue
from engine.errors import UsageError
from engine.estimate import (
    Rates,
    Sizes,
    Speed,
    allowance_days,
    allowance_end,
    class_a_operations,
    cost_lines,
    elapsed_under_cap,
    lower_bound,
    makespan,
    storage_growth,
)
from engine.expectation import Expectations, Scope, expect, of_kinds
from engine.instruments.keys import resolve_kinds
from engine.manifest import Record, Summary
from engine.model import DONE_OUTCOMES, Cell, DayRange, File, Outcome, require_aware
from engine.packing import most_shards, pack, shards_for_deadline, share_cap
from engine.plan import STRATEGIES, Estimate, NotReady, Plan, Request, Shard, Work, seal
from engine.spelling import nearest
from engine.tally import OpenCell, Tally, open_cells, tally_metadata
from engine.thinness import few
from engine.universe import not_listed, resolve_scope
from engine.validation.verification import DAMAGE, Finding, Verification, standing, turn_back

_TRIED_AGAIN = frozenset(Outcome) - DONE_OUTCOMES
"""Outcomes that a plan tries again unless the request names some."""

_RETRIED = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.OK)

DAY_SECONDS = 86_400

NOTHING_TO_DO = "nothing to do"
"""How the warning of a plan without shards begins."""


def make_plan(
    request: Request,
    *,
    catalogues: Mapping[str, Catalogue],
    summaries: Iterable[Summary],
    open_cell: OpenCell,
    sizes: Sizes,
    speed: Speed,
    rates: Rates,
    default_shards: int,
    max_shards: int,
    data_bucket: str,
    state_bucket: str,
    now: datetime,
    live: Mapping[Cell, Collection[LiveShard]] = MappingProxyType({}),
    verified: Mapping[Cell, Verification] = MappingProxyType({}),
    allowance_bytes: int = 0,
    settings: Mapping[str, str] = MappingProxyType({}),
    universe_folder: Path | None = None,
    fleet_warning: str = "",
    warn_cost_run: float = 0.0,
    warn_cost_day: float = 0.0,
) -> Plan:
    """Plan a request.

    What the venues do not offer is counted, not planned; what manifests hold (ok, empty, waived) is not planned again unless
    `request.refetch`, nor what was adopted unless `request.refetch_adopted`, nor what failed otherwise than in
    `request.retry_outcomes` where that is given; days that the source has not published are named with the hour they are due. If
    nothing is left the plan has no shards and a warning that begins with `NOTHING_TO_DO`.

    Args:
        request: what a person asked for.
        catalogues: venue -> what it offers; venues that are not asked for only serve to name the nearest.
        summaries: manifests of the requested cells, from listings, in any order; more do no harm.
        open_cell: reads a cell whose metadata does not prove what is done; called from several threads.
        sizes: estimates of files.
        speed: of one VM.
        rates: prices, each with its source.
        default_shards: fleet size if neither shards nor a deadline are asked for; less where there are fewer files.
        max_shards: the most that the profile allows (quota, API keys and addresses).
        data_bucket: where files go.
        state_bucket: where plans, runs and manifests are.
        now: the moment of planning.
        live: shards that live workers hold, by cell.
        verified: what the last comparison of a cell's objects found. What is deleted is not held any more.
        allowance_bytes: the account's daily transfer allowance, 0 if it has none; the cap where the request names none.
        settings: worker settings that the plan fixes, by their environment names.
        universe_folder: a folder of the user's own universes.
        fleet_warning: what a plan for more than one VM says; "": nothing.
        warn_cost_run: US dollars; a plan that may cost more says so. 0: never.
        warn_cost_day: the same for what falls on one UTC day.

    Raises:
        UsageError: for a venue, data type, symbol, universe or strategy that nobody knows (naming the nearest), a reversed
            range, a number of shards below zero, or a deadline that no allowed fleet can meet.
    """
    now = require_aware(now)
    days = DayRange(request.start, request.end)
    venues, data_types = _check(request, catalogues)
    request = structs.replace(request, venues=venues, data_types=data_types)
    offered = {venue: catalogues[venue] for venue in venues}
    scope = resolve_scope(request.symbols, request.universe, offered, folder=universe_folder)
    wanted = _want(days, venues, data_types, offered, scope, resolve_kinds(request.instrument_types), cells_of(request.cells))
    warnings = [*_unlisted(request, days, data_types, offered, wanted.expectations), *_unoffered(venues, data_types, offered)]
    held = _Held(dict(wanted.symbols)) if request.refetch else _subtract(request, wanted, summaries, open_cell, verified)
    works = [_work(cell, symbols, sizes, speed) for cell, symbols in held.todo.items() if symbols]
    warnings += [*_damaged(held), *_not_retried(request, held)]
    warnings += _overlaps(works, live)
    if not works:
        warnings.insert(0, _nothing(wanted, held))
    return finish_plan(
        request,
        works,
        warnings,
        speed=speed,
        rates=rates,
        default_shards=default_shards,
        max_shards=max_shards,
        data_bucket=data_bucket,
        state_bucket=state_bucket,
        now=now,
        daily_bytes=request.daily_bytes or allowance_bytes,
        settings=settings,
        fleet_warning=fleet_warning,
        warn_cost_run=warn_cost_run,
        warn_cost_day=warn_cost_day,
        catalogues={venue: catalogue.object_name for venue, catalogue in sorted(offered.items())},
        already_done=held.files,
        not_expected_cells=wanted.not_expected,
        not_ready=tuple(NotReady(day, venue, due(day)) for day, venue in sorted(wanted.not_ready)),
    )


def finish_plan(
    request: Request,
    works: Sequence[Work],
    warnings: Sequence[str],
    *,
    speed: Speed,
    rates: Rates,
    default_shards: int,
    max_shards: int,
    data_bucket: str,
    state_bucket: str,
    now: datetime,
    settings: Mapping[str, str] = MappingProxyType({}),
    daily_bytes: int = 0,
    fleet_warning: str = "",
    warn_cost_run: float = 0.0,
    warn_cost_day: float = 0.0,
    catalogues: Mapping[str, str] = MappingProxyType({}),
    already_done: int = 0,
    not_expected_cells: int = 0,
    not_ready: tuple[NotReady, ...] = (),
) -> Plan:
    """Pack what is to be done into shards, price it, seal the plan. The arguments are those of `make_plan` and the fields of a plan.

    Raises:
        UsageError: for a deadline that no allowed fleet can meet, or a cap below zero.
    """
    warnings = list(warnings)
    shards, limits = _split(request, works, speed, default_shards, max_shards, now)
    warnings += limits
    if daily_bytes and shards:
        shards, limits = _share(request, works, shards, daily_bytes, speed)
        warnings += limits
    estimate = estimate_fleet(works, shards, speed=speed, rates=rates, daily_bytes=daily_bytes, now=now)
    warnings += _over_allowance(estimate, now)
    warnings += [fleet_warning] if fleet_warning and len(shards) > 1 else []
    warnings += _over_cost(estimate, rates, warn_cost_run, warn_cost_day)
    return seal(
        Plan(
            created=now,
            request=request,
            data_bucket=data_bucket,
            state_bucket=state_bucket,
            catalogues=dict(catalogues),
            shards=shards,
            estimate=estimate,
            already_done=already_done,
            not_expected_cells=not_expected_cells,
            not_ready=not_ready,
            warnings=tuple(warnings),
            settings=dict(sorted(settings.items())),
        )
    )


def _check(request: Request, catalogues: Mapping[str, Catalogue]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Venues and data types, each once, all of them known."""
    from engine.datatypes import require_data_type

    venues = tuple(dict.fromkeys(request.venues))
    data_types = tuple(dict.fromkeys(require_data_type(name).name for name in request.data_types))
    if not venues or not data_types:
        raise UsageError("a plan needs at least one venue and one data type")
    for venue in venues:
        require_catalogue(catalogues, venue)
    if request.strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {request.strategy!r}", hint=nearest(request.strategy, STRATEGIES, what="strategies"))
    if request.shards < 0:
        raise UsageError(f"{request.shards} shards cannot hold anything", hint="ask for one or more")
    if request.retry_outcomes and request.refetch:
        raise UsageError("all outcomes, and only some of them, cannot be tried again", hint="name them all, empty among them")
    if Outcome.OK in request.retry_outcomes:
        raise UsageError("a file that is ok is not fetched again: nothing is overwritten", hint=f"name some of {', '.join(_RETRIED)}")
    return venues, data_types


@dataclass(slots=True)
class _Wanted:
    """The request as the catalogues see it."""

    symbols: dict[Cell, tuple[str, ...]] = field(default_factory=dict)
    """What is offered, published and in scope."""
    expectations: dict[tuple[str, str], Expectations] = field(default_factory=dict)
    not_ready: set[tuple[date, str]] = field(default_factory=set)
    not_expected: int = 0
    """Cells."""


def _want(
    days: DayRange,
    venues: Sequence[str],
    data_types: Sequence[str],
    catalogues: Mapping[str, Catalogue],
    scope: Scope | None,
    kinds: frozenset[str],
    cells: frozenset[Cell],
) -> _Wanted:
    """What is offered of the product of days, venues and types; only of `cells` if there are any."""
    wanted = _Wanted()
    for venue in venues:
        symbols = None if scope is None else scope[venue]
        for data_type, offered in expect(catalogues[venue], data_types, days, symbols=symbols).items():
            found = of_kinds(offered, kinds) if kinds else offered
            wanted.expectations[venue, data_type] = found
            for day, expected in zip(days, found.by_day, strict=True):
                if cells and Cell(day, data_type, venue) not in cells:
                    continue
                if not expected.symbols:
                    wanted.not_expected += 1
                elif catalogues[venue].is_published(day):
                    wanted.symbols[Cell(day, data_type, venue)] = expected.symbols
                else:
                    wanted.not_ready.add((day, venue))
    return wanted


@dataclass(slots=True)
class _Held:
    """What the bucket holds of a request, and what is left to do."""

    todo: dict[Cell, tuple[str, ...]]
    files: int = 0
    """Held: ok, empty or waived."""
    not_retried: Counter[Outcome] = field(default_factory=Counter)
    """Files that are left out because only other outcomes are to be tried again."""
    damaged: list[File] = field(default_factory=list)
    """Files under whose names stands something else than was committed."""


def _subtract(
    request: Request,
    wanted: _Wanted,
    summaries: Iterable[Summary],
    open_cell: OpenCell,
    verified: Mapping[Cell, Verification],
) -> _Held:
    listed: dict[Cell, list[Summary]] = defaultdict(list)
    for summary in summaries:
        if summary.name.cell in wanted.symbols:
            listed[summary.name.cell].append(summary)
    held = _Held(dict(wanted.symbols))
    to_open: list[Cell] = []
    for cell, found in listed.items():
        if (cell in verified and verified[cell].damaged) or (
            request.refetch_adopted and any(summary.origin == "adopted" for summary in found)
        ):
            to_open.append(cell)
            continue
        tally = tally_metadata(wanted.expectations[cell.venue, cell.data_type].at(cell.day), found)
        if tally is None or not _hold_counted(cell, request, held, tally):
            to_open.append(cell)
    for cell, records in open_cells(to_open, open_cell).items():
        findings = verified[cell].findings if cell in verified else ()
        _hold(cell, request, held, records, findings)
    return held


def _hold_counted(cell: Cell, request: Request, held: _Held, tally: Tally) -> bool:
    """Take off what metadata proves of a cell of which all files are left, or none; False if it has to be opened."""
    again = request.retry_outcomes or _TRIED_AGAIN
    counts = {outcome: count for outcome, count in tally.counts.items() if count}
    if all(outcome in again for outcome in counts):
        return True
    if tally.absent or any(outcome in again for outcome in counts):
        return False
    for outcome, count in counts.items():
        if outcome in DONE_OUTCOMES:
            held.files += count
        else:
            held.not_retried[outcome] += count
    del held.todo[cell]
    return True


def _hold(cell: Cell, request: Request, held: _Held, records: Mapping[str, Record], findings: Sequence[Finding]) -> None:
    """Take off what an opened cell holds."""
    wrong = standing(records, findings)
    records = turn_back(records, findings)
    again = request.retry_outcomes or _TRIED_AGAIN
    left = []
    for symbol in held.todo[cell]:
        record = records.get(symbol)
        if record is None or record.is_withdrawal or record.entry.outcome in again or (request.refetch_adopted and record.is_adopted):
            left.append(symbol)
            if symbol in wrong and wrong[symbol].kind in DAMAGE:
                held.damaged.append(File(cell, symbol))
        elif record.entry.outcome in DONE_OUTCOMES:
            held.files += 1
        else:
            held.not_retried[record.entry.outcome] += 1
    held.todo[cell] = tuple(left)


def _work(cell: Cell, symbols: tuple[str, ...], sizes: Sizes, speed: Speed) -> Work:
    estimated = sizes.estimate(cell, symbols)
    return Work(
        day=cell.day,
        data_type=cell.data_type,
        venue=cell.venue,
        symbols=symbols,
        bytes=estimated,
        seconds=sum(map(speed.file_seconds, estimated)),
    )


def _split(
    request: Request, works: Sequence[Work], speed: Speed, default_shards: int, max_shards: int, now: datetime
) -> tuple[tuple[Shard, ...], list[str]]:
    if not works:
        return (), []
    warnings = []
    deadline = None if request.deadline is None else require_aware(request.deadline)
    seconds = None if deadline is None else (deadline - now).total_seconds()
    if seconds is not None and seconds <= 0:
        raise UsageError(f"the deadline {deadline:%Y-%m-%dT%H:%MZ} has passed", hint="give a later one")
    count = request.shards
    if not count and seconds is not None:
        count = shards_for_deadline(works, seconds, request.strategy, speed=speed, max_shards=max_shards)
    if count > max_shards:
        warnings.append(f"{count} shards were wanted, the profile allows {max_shards}")
    count = min(count or default_shards, max_shards)
    shards = pack(works, count, request.strategy, speed=speed)
    if request.shards and len(shards) < count:
        warnings.append(f"{len(shards)} shard{'s hold' if len(shards) != 1 else ' holds'} all there is to do; {count} were wanted")
    if seconds is not None and makespan(shards, speed) > seconds:
        late = format_seconds(makespan(shards, speed) - seconds)
        warnings.append(f"the deadline is missed by {late} with {len(shards)} VMs; without a number of shards it is met")
    return shards, warnings


def _share(
    request: Request, works: Sequence[Work], shards: tuple[Shard, ...], daily_bytes: int, speed: Speed
) -> tuple[tuple[Shard, ...], list[str]]:
    """The shards, each with its share of the daily cap; fewer of them where nobody asked for a number and the cap needs it."""
    if daily_bytes < 0:
        raise UsageError(f"a cap of {daily_bytes} bytes a day cannot be", hint="give a size such as 500GB")
    most = most_shards(shards, daily_bytes)
    if request.shards or not 0 < most < len(shards):
        return share_cap(shards, daily_bytes), []
    fewer = pack(works, most, request.strategy, speed=speed)
    cap = format_bytes(daily_bytes)
    return share_cap(fewer, daily_bytes), [
        f"{len(fewer)} of {len(shards)} shards: a cap of {cap} a day does not hold the largest file of more"
    ]


def estimate_fleet(
    works: Sequence[Work], shards: Sequence[Shard], *, speed: Speed, rates: Rates, now: datetime, daily_bytes: int = 0
) -> Estimate:
    """What this work takes in these shards, each on a VM of its own.

    Args:
        now: the launch; matters where a daily cap makes shards wait for 00:00 UTC.
        daily_bytes: the daily cap on source bytes, which the shards share; 0: none.
    """
    files = sum(len(work.symbols) for work in works)
    size = sum(sum(work.bytes) for work in works)
    seconds = [elapsed_under_cap(shard, now=now) for shard in shards]
    vm_hours = sum(speed.boot_seconds + elapsed for elapsed in seconds) / 3600
    operations = class_a_operations(files=files, manifests=sum(len(shard.work) for shard in shards), shards=len(shards), vm_hours=vm_hours)
    elapsed = speed.boot_seconds + max(seconds) if seconds else 0.0
    return Estimate(
        files=files,
        bytes=size,
        cells=len(works),
        makespan_seconds=elapsed,
        lower_bound_seconds=lower_bound((size for work in works for size in work.bytes), max(1, len(shards)), speed),
        vm_hours=vm_hours,
        costs=cost_lines(rates, vm_hours=vm_hours, class_a=operations, source_bytes=size, hours=elapsed / 3600),
        allowance_bytes=daily_bytes,
        storage=storage_growth(rates, size),
    )


# Warnings: what a person should know before the launch, most telling first, one line each.


def _unlisted(
    request: Request,
    days: DayRange,
    data_types: Sequence[str],
    catalogues: Mapping[str, Catalogue],
    expectations: Mapping[tuple[str, str], Expectations],
) -> list[str]:
    """Symbols given by hand that venues do not list, on all or on some days."""
    warnings = []
    by_hand = tuple(dict.fromkeys(request.symbols))
    listed_days: dict[str, dict[str, int]] = {}
    for venue in catalogues:
        rows = [expectations[venue, data_type] for data_type in data_types]
        listed_days[venue] = {
            symbol: sum(any(symbol in row.by_day[index] for row in rows) for index in range(len(days))) for symbol in by_hand
        }
    for symbol in by_hand:
        if not any(listed_days[venue][symbol] for venue in catalogues):
            raise not_listed(symbol, catalogues, data_types, days)
    for venue, counts in listed_days.items():
        never = [symbol for symbol, count in counts.items() if not count]
        sometimes = [f"{symbol} ({count} of {len(days)} days)" for symbol, count in counts.items() if 0 < count < len(days)]
        if never:
            warnings.append(f"{venue} does not list {few(never)}")
        if sometimes:
            warnings.append(f"{venue} lists on some days only: {few(sometimes)}")
    return warnings


def _unoffered(venues: Sequence[str], data_types: Sequence[str], catalogues: Mapping[str, Catalogue]) -> list[str]:
    """Data types that none of the venues ever had: a mistake rather than a gap."""
    offers = {venue: catalogues[venue].data_types() for venue in venues}
    where = ", ".join(venues)
    return [f"{where} never offered {data_type}" for data_type in data_types if not any(data_type in offer for offer in offers.values())]


def _overlaps(works: Sequence[Work], live: Mapping[Cell, Collection[LiveShard]]) -> list[str]:
    """Other runs that work on the same cells right now."""
    shared: dict[str, list[Cell]] = defaultdict(list)
    for work in works:
        for run in sorted({holder.run for holder in live.get(work.cell, ())}):
            shared[run].append(work.cell)
    return [
        f"run {run} is working on {len(cells):,} of these cells, {min(cells)} among them; files commit once, the rest is wasted"
        for run, cells in sorted(shared.items())
    ]


def _over_allowance(estimate: Estimate, now: datetime) -> list[str]:
    needed = allowance_days(estimate.bytes, estimate.allowance_bytes)
    if needed <= 1:
        return []
    end = allowance_end(estimate.bytes, estimate.allowance_bytes, now=now)
    sizes = f"{format_bytes(estimate.bytes)} against an allowance of {format_bytes(estimate.allowance_bytes)} a UTC day"
    return [f"{sizes}: {needed} days, not finished before {format_time(end)[:16]}Z"]


def _over_cost(estimate: Estimate, rates: Rates, warn_run: float, warn_day: float) -> list[str]:
    if rates.unknown and estimate.files:
        return [f"no price is known for {rates.unknown}: what this costs cannot be said"]
    _, expected, high = estimate.cost
    if 0 < warn_run < high:
        return [f"may cost ${high:,.2f} (expected ${expected:,.2f}): the profile warns above ${warn_run:,.2f} a run"]
    a_day = high / max(1.0, estimate.makespan_seconds / DAY_SECONDS)
    if 0 < warn_day < a_day:
        return [f"may cost ${a_day:,.2f} in a day: the profile warns above ${warn_day:,.2f} a day"]
    return []


def _damaged(held: _Held) -> list[str]:
    """Files that a worker cannot mend, because it never overwrites."""
    if not held.damaged:
        return []
    count, names = len(held.damaged), few([str(file) for file in held.damaged], 3)
    what = f"{count:,} of these files {'has' if count == 1 else 'have'} other content in the bucket than was committed: {names}"
    return [f"{what}; nothing is overwritten: compare, delete by hand what is wrong, then launch"]


def _not_retried(request: Request, held: _Held) -> list[str]:
    if not held.not_retried:
        return []
    counts = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in sorted(held.not_retried.items()))
    total = sum(held.not_retried.values())
    only = ", ".join(request.retry_outcomes)
    return [f"{total:,} file{'s are' if total != 1 else ' is'} left out ({counts}): only {only} are tried again"]


def _nothing(wanted: _Wanted, held: _Held) -> str:
    parts = []
    if held.files:
        parts.append(f"{held.files:,} file{'s are' if held.files != 1 else ' is'} held already")
    if left_out := sum(held.not_retried.values()):
        parts.append(f"{left_out:,} left out")
    if wanted.not_ready:
        first = min(due(day) for day, _ in wanted.not_ready)
        parts.append(f"not published yet, due {format_time(first)[:16]}Z")
    if not parts:
        parts.append("the venues offer nothing of this on these days")
    return f"{NOTHING_TO_DO}: {', '.join(parts)}"
