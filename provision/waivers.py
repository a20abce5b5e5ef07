"""Waivers: a person says, with a reason, that the source will never have some files. Data first, then guarded, then on record.

A waived file counts as done and is not asked for again; coverage goes on counting it apart. A waiver is a manifest like any other,
so nothing has to know about it that does not know manifests, and an object that is committed later outranks it. Withdrawing one
makes the file what it was before: what became of the last attempt, or missing if nobody ever tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from engine import __version__
from engine.clock import Clock, utc_now
from engine.errors import EngineError, UsageError
from engine.expectation import expect
from engine.inventory import Inventory
from engine.manifest import Entry, Manifest, Record, write_manifest
from engine.model import BAD_OUTCOMES, Cell, DayRange, Outcome
from engine.run import WAIVER, new_run
from engine.store import Store
from engine.tally import open_cells
from engine.thinness import few
from engine.universe import not_listed, resolve_scope
from provision.audit import AuditItem, AuditRecord, write_intent, write_receipt
from provision.profile import Profile, require_writable

ABSENT = "absent"
"""Stands beside outcomes for files that no manifest mentions."""

CHOICES = (*sorted({*BAD_OUTCOMES, Outcome.EMPTY}), ABSENT)
"""What can be waived."""

BY_DEFAULT = frozenset({*BAD_OUTCOMES, ABSENT})
"""What is waived unless outcomes are named: an empty file has its answer already."""

MIN_REASON = 8
"""Letters that a reason has at least: "ok" explains nothing to whoever reads it next year."""

PARALLEL = 16

Verb = Literal["waive", "withdraw"]


@dataclass(frozen=True, slots=True)
class CellWaiver:
    """Files of one cell that would be waived, or whose waiver would be withdrawn."""

    cell: Cell
    symbols: tuple[str, ...]
    """Sorted."""
    was: tuple[str, ...]
    """What each was before: an outcome, or `absent`."""
    catalogue: str


@dataclass(frozen=True, slots=True)
class Left:
    """Files that were asked for and stay as they are."""

    cell: Cell
    symbols: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class WaiverProposal:
    """What would be written."""

    verb: Verb
    reason: str
    cells: tuple[CellWaiver, ...]
    left: tuple[Left, ...] = ()

    @property
    def files(self) -> int:
        """How many files it is about."""
        return sum(len(cell.symbols) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class WaiverReceipt:
    """What was written. Failures stay in it."""

    proposal: WaiverProposal
    manifests: tuple[str, ...]
    failed: tuple[tuple[Cell, str], ...]
    audit_id: str


def propose_waivers(
    inventory: Inventory,
    days: DayRange,
    venues: Iterable[str],
    data_types: Iterable[str],
    *,
    reason: str,
    symbols: tuple[str, ...] = (),
    universe: str = "",
    outcomes: Collection[str] = (),
    everything: bool = False,
    withdraw: bool = False,
) -> WaiverProposal:
    """Which files would be waived: expected ones without data that the source should have had by now.

    Args:
        inventory: of the state bucket.
        days: UTC days.
        venues: exchange ids with a catalogue.
        data_types: Tardis data types.
        reason: for whoever reads the lake next year.
        symbols: only these.
        universe: only those of a named list.
        outcomes: only files that ended so (`CHOICES`); by default all bad ones, and those in no manifest.
        everything: what to waive is deliberately left open; without it symbols, a universe or outcomes have to narrow it down.
        withdraw: the other way round: make waived files holes again.

    Raises:
        UsageError: for a selection that is too wide or unknown, or a reason that says nothing.
    """
    if len(reason.split()) < 2 or len(reason.strip()) < MIN_REASON:
        raise UsageError(f"{reason!r} is no reason", hint='say why, for people: --reason "delisted at 09:00, source confirmed 2024-05-03"')
    if not (symbols or universe or outcomes or everything):
        raise UsageError("this selects whatever is missing", hint="narrow it with --symbols or --outcomes, or say --everything")
    for outcome in outcomes:
        if outcome not in CHOICES:
            raise UsageError(f"{outcome!r} cannot be waived", hint=f"outcomes are {', '.join(CHOICES)}")
    catalogues = inventory.catalogues(venues)
    scope = resolve_scope(symbols, universe, catalogues)
    wanted = frozenset(outcomes) or (BY_DEFAULT | {Outcome.EMPTY} if symbols else BY_DEFAULT)
    written = {summary.name.cell for summary in inventory.summaries(days)}
    found: list[CellWaiver] = []
    left: list[Left] = []
    seen: set[str] = set()
    for venue, catalogue in catalogues.items():
        in_scope = None if scope is None else scope[venue]
        for data_type, expectations in expect(catalogue, tuple(data_types), days, symbols=in_scope).items():
            cells = {Cell(day, data_type, venue): expectations.at(day).symbols for day in days if expectations.at(day).symbols}
            records = open_cells([cell for cell in cells if cell in written], inventory.open_cell)
            for cell, expected in cells.items():
                seen.update(expected)
                if not catalogue.is_published(cell.day):
                    left.append(Left(cell, expected, "the source has not published the day: nobody knows yet what it will have"))
                    continue
                chosen, stays = _choose(expected, records.get(cell, {}), wanted, withdraw=withdraw, named=bool(symbols))
                if chosen:
                    found.append(CellWaiver(cell, tuple(chosen), tuple(chosen.values()), catalogue.object_name))
                left += [Left(cell, tuple(names), why) for why, names in stays.items()]
    for symbol in symbols:
        if symbol not in seen:
            raise not_listed(symbol, catalogues, data_types, days)
    return WaiverProposal("withdraw" if withdraw else "waive", reason.strip(), tuple(found), tuple(left))


def _choose(
    expected: Iterable[str], records: Mapping[str, Record], wanted: Collection[str], *, withdraw: bool, named: bool
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Symbols to change with what they were, and why others stay; only those named by hand are worth a word."""
    chosen: dict[str, str] = {}
    stays: dict[str, list[str]] = {}
    for symbol in expected:
        record = records.get(symbol)
        was = ABSENT if record is None or record.is_withdrawal else str(record.entry.outcome)
        if withdraw:
            if was == Outcome.WAIVED:
                chosen[symbol] = was
            elif named:
                stays.setdefault(f"it is {was}, not waived", []).append(symbol)
        elif was in wanted:
            chosen[symbol] = was
        elif named:
            why = "it is committed: there is nothing to waive" if was == Outcome.OK else f"it is {was}"
            stays.setdefault(why, []).append(symbol)
    return chosen, stays


def apply_waivers(
    proposal: WaiverProposal, *, profile: Profile, state: Store, armed: bool = False, clock: Clock = utc_now
) -> WaiverReceipt:
    """Write what a proposal says: the intent, one manifest a cell, the receipt.

    Raises:
        WriteRefused: if the profile is read-only, or protected and not armed.
        StoreError, NotPermitted: if the intent cannot be written; then nothing was done.
    """
    require_writable(profile, armed=armed)
    run = new_run(clock(), WAIVER)
    items = tuple(
        AuditItem(kind="cell", name=str(cell.cell), why=f"{len(cell.symbols)} files: {few(cell.symbols, 20)}") for cell in proposal.cells
    )
    intent = write_intent(state, profile, proposal.verb, items, clock=clock, run=run, reason=proposal.reason)
    with ThreadPoolExecutor(PARALLEL, "waive") as pool:
        results = list(pool.map(lambda cell: _write(state, cell, proposal, intent, clock=clock), proposal.cells))
    outcomes = tuple(
        AuditItem(kind=item.kind, name=item.name, why=item.why, ok=not failed, message=failed or name)
        for item, (name, failed) in zip(items, results, strict=True)
    )
    failed = tuple((cell.cell, why) for cell, (_, why) in zip(proposal.cells, results, strict=True) if why)
    done = len(proposal.cells) - len(failed)
    write_receipt(state, intent, outcomes, f"{proposal.verb}: {done} of {len(proposal.cells)} cells", clock=clock)
    return WaiverReceipt(proposal, tuple(name for name, why in results if not why), failed, intent.id)


def _write(state: Store, cell: CellWaiver, proposal: WaiverProposal, intent: AuditRecord, *, clock: Clock) -> tuple[str, str]:
    """(name of the manifest, why it failed)."""
    # A withdrawal is any other outcome than `waived` in a manifest of waivers: `engine.manifest.merge` takes the waiver back by it.
    outcome, code = (Outcome.WAIVED, "waived") if proposal.verb == "waive" else (Outcome.FAILED, "waiver_withdrawn")
    detail = f"{proposal.reason} ({intent.who}, audit {intent.id})"
    manifest = Manifest(
        day=cell.cell.day,
        data_type=cell.cell.data_type,
        venue=cell.cell.venue,
        run=intent.run,
        shard=0,
        attempt=1,
        vm=intent.host,
        written=clock(),
        open=False,
        engine_version=__version__,
        origin="waived",
        catalogue=cell.catalogue,
        entries=tuple(Entry(symbol=symbol, outcome=outcome, reason=code, detail=detail) for symbol in cell.symbols),
    )
    try:
        return write_manifest(state, manifest), ""
    except EngineError as error:
        return "", str(error)
