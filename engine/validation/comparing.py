"""Validation: committed objects compared with the manifests that vouch for them, and what was found kept for coverage.

Manifests are listed first, then objects, by ranges of days that cost few requests: one for a thousand objects, never one for each.
Each cell is then compared on its own, several at a time, and its verification written at once, so that an interrupted validation
has lost nothing. What is wrong with one cell never stops the others.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from engine.clock import Clock, utc_now
from engine.documents import hash_symbols
from engine.errors import ConfigurationError, EngineError, ExitCode, NotPermitted, Stopped, UsageError
from engine.expectation import Scope
from engine.inventory import Inventory
from engine.manifest import Entry, Manifest, Record, Summary, merge, metadata_of, read_manifest, summarize
from engine.model import Cell, DayRange, File, Outcome
from engine.parquet_footer import FooterReader
from engine.paths import data_object, manifest_object
from engine.scratch import Scratch
from engine.store import ObjectInfo, Store
from engine.validation.data_listing import ListedCell, Piece, list_piece, plan_listings
from engine.validation.inspection import compare_content, compare_footer, compare_listing, is_suspect
from engine.validation.verification import (
    Depth,
    Finding,
    Kind,
    Verification,
    identify_manifests,
    standing,
    write_verification,
)

LISTINGS_AT_ONCE = 4
CELLS_AT_ONCE = 16
OBJECTS_AT_ONCE = 8

HOPELESS = 20
"""After so many cells in a row that could not be read the link counts as dead, and the validation ends."""

T = TypeVar("T")
R = TypeVar("R")

AskSource = Callable[[File], str]
"""Fetches a file at the source and returns its fingerprint, "" if the source has no such file any more; called from threads.

Raises SourceError or NotPermitted if the source does not answer."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of one cell."""

    cell: Cell
    objects: int = 0
    """Objects that were compared."""
    inside: int = 0
    """Of `objects`: those that were also looked into."""
    restored: int = 0
    """Of `objects`: right, but written again since they were committed."""
    findings: tuple[Finding, ...] = ()
    orphans: tuple[str, ...] = ()
    """Objects in the cell's folder that no manifest mentions."""
    trouble: EngineError | None = None
    """Why it could not be compared."""

    @property
    def right(self) -> int:
        """Objects with which nothing is wrong."""
        return self.objects - sum(bool(finding.symbol) for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Validation:
    """What a validation found."""

    days: DayRange
    depth: Depth
    at: datetime
    cells: tuple[CellResult, ...]
    """Cells with manifests or objects, in order."""

    @property
    def findings(self) -> list[tuple[Cell, Finding]]:
        """All that is wrong."""
        return [(result.cell, finding) for result in self.cells for finding in result.findings]

    @property
    def kinds(self) -> Counter[Kind]:
        """How often each thing is wrong."""
        return Counter(finding.kind for _, finding in self.findings)

    @property
    def troubles(self) -> list[tuple[Cell, EngineError]]:
        """Cells that could not be compared."""
        return [(result.cell, result.trouble) for result in self.cells if result.trouble is not None]

    @property
    def exit_code(self) -> ExitCode:
        """65 if anything is wrong; else that of the first cell that could not be compared; else 0."""
        if any(result.findings for result in self.cells):
            return ExitCode.PARTIAL
        return next((trouble.exit_code for _, trouble in self.troubles), ExitCode.DONE)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be validated."""

    days: DayRange
    venues: tuple[str, ...] = ()
    """Empty: all that have manifests on these days."""
    data_types: tuple[str, ...] = ()
    """Empty: all that have manifests on these days."""
    scope: Scope | None = None
    """venue -> symbols that are compared; None for all."""
    depth: Depth = Depth.LISTING
    sample: int = 0
    """Look into so many objects of each cell only, others each time; 0 looks into all. Listings always show all."""


def validate(
    data: Store,
    state: Store,
    question: Question,
    *,
    ask_source: AskSource | None = None,
    on_cell: Callable[[CellResult], None] = lambda _result: None,
    clock: Clock = utc_now,
    stopped: threading.Event | None = None,
) -> Validation:
    """Compare objects with manifests, and keep what was found of each cell.

    Args:
        data: the bucket of the lake.
        state: where manifests are, and verifications are written.
        question: what to compare, and how closely.
        ask_source: needed for `Depth.SOURCE`.
        on_cell: hears of each cell, in the calling thread.
        clock: gives the time of the verifications.
        stopped: when set, no further cell is begun.

    Raises:
        ConfigurationError, NotPermitted: of a bucket or the source.
        StoreError, SourceError: if cell after cell cannot be read.
        Stopped: after `stopped` was set.
    """
    if question.depth is Depth.SOURCE and ask_source is None:
        raise UsageError("there is no source to compare with")
    scratch = Scratch()
    try:
        with _pool(LISTINGS_AT_ONCE, "list") as lists, _pool(CELLS_AT_ONCE, "validate") as cells, _pool(OBJECTS_AT_ONCE, "read") as reads:
            work = _Work(data, state, question, ask_source, clock, scratch, reads)
            listed = _ahead(lists, lambda piece: list_piece(data, piece), work.pieces(), LISTINGS_AT_ONCE)
            results = []
            hopeless = 0
            for result in _ahead(cells, work.compare_cell, (cell for piece in listed for cell in piece), 4 * CELLS_AT_ONCE):
                if stopped is not None and stopped.is_set():
                    raise Stopped("the validation was stopped", hint="run it again; the cells that were compared are kept")
                if result is None:
                    continue
                results.append(result)
                on_cell(result)
                hopeless = 0 if result.trouble is None else hopeless + 1
                if result.trouble is not None and hopeless >= HOPELESS:
                    raise result.trouble
    finally:
        scratch.close()
    return Validation(question.days, question.depth, clock(), tuple(sorted(results, key=lambda result: result.cell)))


class _Work:
    """One validation: what was listed of the state bucket, and the steps. Its methods run in pool threads."""

    def __init__(
        self,
        data: Store,
        state: Store,
        question: Question,
        ask_source: AskSource | None,
        clock: Clock,
        scratch: Scratch,
        reads: Executor,
    ) -> None:
        self._data, self._state, self._question = data, state, question
        self._ask_source, self._clock, self._scratch, self._reads = ask_source, clock, scratch, reads
        self._footers = FooterReader(data)
        inventory = Inventory(state)
        self._manifests: dict[Cell, list[Summary]] = defaultdict(list)
        for summary in inventory.summaries(question.days):
            self._manifests[summary.name.cell].append(summary)
        self._before = inventory.verifications(question.days)

    def pieces(self) -> Iterator[Piece]:
        """What to list: all that was asked for, or all that has manifests."""
        venues = self._question.venues or tuple(sorted({cell.venue for cell in self._manifests}))
        data_types = self._question.data_types or tuple(sorted({cell.data_type for cell in self._manifests}))
        return plan_listings(self._question.days, venues, data_types, self._manifests)

    def compare_cell(self, listed: ListedCell) -> CellResult | None:
        """Compare one cell and keep what was found; None if there is nothing to compare."""
        if listed.trouble is not None:
            return CellResult(listed.cell, trouble=listed.trouble) if listed.cell in self._manifests else None
        if listed.cell not in self._manifests:
            return CellResult(listed.cell, orphans=tuple(listed.objects)) if listed.objects else None
        try:
            return self._compare(listed)
        except (NotPermitted, ConfigurationError):
            raise
        except EngineError as error:
            return CellResult(listed.cell, trouble=error)

    def _compare(self, listed: ListedCell) -> CellResult:
        cell = listed.cell
        at = self._clock()
        manifests, findings = self._read_manifests(cell)
        records = merge(manifests)
        committed = {symbol: record for symbol, record in records.items() if record.entry.outcome is Outcome.OK}
        scope = self._question.scope
        asked = committed.keys() if scope is None else committed.keys() & scope.get(cell.venue, frozenset())
        if scope is not None and not asked:
            return CellResult(cell)
        right: dict[str, tuple[Entry, ObjectInfo]] = {}
        restored = 0
        for symbol in sorted(asked):
            entry = committed[symbol].entry
            info = self._find(cell, entry, listed)
            finding = compare_listing(entry, info)
            if finding is not None:
                findings.append(finding)
            elif info is not None:
                right[symbol] = entry, info
                restored += info.generation > entry.generation
        suspects = self._suspect(cell, committed, manifests)
        inside = self._choose(list(right), suspects.keys())
        findings += self._look_inside(cell, {symbol: right[symbol] for symbol in inside})
        if not self._question.depth.includes(Depth.CONTENT):
            findings += [suspects[symbol] for symbol in sorted(suspects.keys() & right.keys())]
        kept = self._keep(cell, committed, asked, right.keys(), frozenset(inside))
        findings += [finding for finding in kept if finding.symbol in asked]
        mentioned = {record.entry.object or data_object(File(cell, symbol)) for symbol, record in committed.items()}
        orphans = tuple(sorted(listed.objects.keys() - mentioned))
        verification = Verification(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            at=at,
            depth=self._question.depth,
            objects=len(asked),
            inside=len(inside),
            manifests=identify_manifests([summary.generation for summary in self._manifests[cell]]),
            contents=_identify_contents(committed),
            findings=(*findings, *(finding for finding in kept if finding.symbol not in asked)),
            orphans=orphans,
        )
        proven = {depth for depth in Depth if self._question.depth.includes(depth)} if len(asked) == len(committed) else set()
        if len(inside) < len(right):
            proven &= {Depth.LISTING}
        if not all(record.entry.fingerprint for record in committed.values()):
            proven -= {Depth.SOURCE}  # adopted: nobody knows from which source file
        proofs = self._prove(verification, proven)
        write_verification(self._state, _with_proofs(verification, proofs))
        return CellResult(cell, len(asked), len(inside), restored, tuple(findings), orphans)

    def _read_manifests(self, cell: Cell) -> tuple[list[tuple[Manifest, int]], list[Finding]]:
        """All manifests of a cell that can be trusted, and what is wrong with the others."""
        manifests: list[tuple[Manifest, int]] = []
        findings = []
        for summary in self._manifests[cell]:
            name = manifest_object(summary.name)
            try:
                found = read_manifest(self._state, name)
            except ConfigurationError as error:
                findings.append(Finding(Kind.MANIFEST, detail=str(error)))
                continue
            if found is None:
                findings.append(Finding(Kind.MANIFEST, detail=f"{name} is gone"))
                continue
            manifest = found[0]
            if manifest.cell != cell:
                findings.append(Finding(Kind.MANIFEST, detail=f"{name} speaks of {manifest.cell}"))
                continue
            if not _is_summarized(manifest, summary):
                findings.append(Finding(Kind.MANIFEST, detail=f"{name} says something else than its metadata"))
            manifests.append(found)
        return manifests, findings

    def _find(self, cell: Cell, entry: Entry, listed: ListedCell) -> ObjectInfo | None:
        name = entry.object or data_object(File(cell, entry.symbol))
        found = listed.objects.get(name) or listed.others.get(name)
        if found is None and entry.object:
            return self._data.stat(name)  # the listing need not have shown that folder
        return found

    def _suspect(self, cell: Cell, committed: Mapping[str, Record], manifests: list[tuple[Manifest, int]]) -> dict[str, Finding]:
        """Files that a resume recorded out of the bucket although an earlier manifest knows other bytes of the same source file.

        Somebody wrote over the object and kept its metadata; or the file was committed anew by another engine, which a look at its
        content shows.
        """
        if len(manifests) < 2:
            return {}
        before = self._before.get(cell)
        if before is not None and Depth.CONTENT in before.proofs and before.contents == _identify_contents(committed):
            return {}
        recorded: dict[str, list[Entry]] = defaultdict(list)
        for manifest, _ in manifests:
            for entry in manifest.entries:
                if entry.outcome is Outcome.OK and entry.fingerprint:
                    recorded[entry.symbol].append(entry)
        return {
            symbol: Finding(Kind.ALTERED, symbol, record.entry.generation, "recorded by a resume with other bytes than before")
            for symbol, record in committed.items()
            if is_suspect(record.entry, recorded[symbol])
        }

    def _choose(self, symbols: list[str], always: AbstractSet[str]) -> list[str]:
        """Which objects to look into."""
        if self._question.depth is Depth.LISTING:
            return []
        sample = self._question.sample
        if not 0 < sample < len(symbols):
            return symbols
        return sorted({*random.sample(symbols, sample), *(symbol for symbol in symbols if symbol in always)})

    def _look_inside(self, cell: Cell, objects: Mapping[str, tuple[Entry, ObjectInfo]]) -> list[Finding]:
        waiting = [self._reads.submit(self._look_into, File(cell, symbol), *found) for symbol, found in objects.items()]
        try:
            return [finding for future in waiting if (finding := future.result()) is not None]
        finally:
            for future in waiting:
                future.cancel()

    def _look_into(self, file: File, entry: Entry, info: ObjectInfo) -> Finding | None:
        depth = self._question.depth
        finding = compare_footer(self._footers, file, entry, info)
        if finding is None and depth.includes(Depth.CONTENT):
            finding = compare_content(self._data, file, entry, info, self._scratch.path)
        if finding is None and depth.includes(Depth.SOURCE) and entry.fingerprint:
            finding = self._compare_source(file, entry, info)
        return finding

    def _compare_source(self, file: File, entry: Entry, info: ObjectInfo) -> Finding | None:
        assert self._ask_source is not None
        fingerprint = self._ask_source(file)
        if fingerprint == entry.fingerprint:
            return None
        detail = f"the source serves {fingerprint} by now, {entry.fingerprint} was committed and is kept"
        return Finding(Kind.SOURCE_CHANGED, file.symbol, info.generation, detail if fingerprint else "the source has no such file any more")

    def _keep(
        self, cell: Cell, committed: Mapping[str, Record], asked: AbstractSet[str], right: AbstractSet[str], inside: frozenset[str]
    ) -> list[Finding]:
        """What an earlier, closer look found about objects that this one does not look at so closely."""
        before = self._before.get(cell)
        if before is None:
            return []
        kept = []
        for symbol, finding in standing(committed, before.findings).items():
            depth = _FOUND_AT.get(finding.kind, Depth.LISTING)
            looked = depth is Depth.LISTING or (symbol in inside and self._question.depth.includes(depth))
            if symbol not in asked or (symbol in right and not looked):
                when = f"found {before.at:%Y-%m-%d %H:%M}Z, not looked at so closely this time"
                kept.append(Finding(finding.kind, symbol, finding.generation, finding.detail or when))
        return kept

    def _prove(self, found: Verification, proven: AbstractSet[Depth]) -> dict[Depth, datetime]:
        """What is proven of the whole cell: now, and by earlier looks at the same objects that were closer."""
        if found.damaged:
            return {}
        before = self._before.get(found.cell)
        proofs = dict(before.proofs) if before is not None and before.contents == found.contents else {}
        proofs |= dict.fromkeys(proven, found.at)
        if any(finding.kind is Kind.SOURCE_CHANGED for finding in found.findings):
            proofs.pop(Depth.SOURCE, None)
        return {depth: proofs[depth] for depth in Depth if depth in proofs}


_FOUND_AT = {Kind.FOOTER: Depth.FOOTER, Kind.CONTENT: Depth.CONTENT, Kind.SOURCE_CHANGED: Depth.SOURCE}
"""At which depth a finding shows; the others show in a listing."""


def _with_proofs(verification: Verification, proofs: dict[Depth, datetime]) -> Verification:
    from msgspec import structs

    return structs.replace(verification, proofs=proofs)


def _identify_contents(committed: Mapping[str, Record]) -> str:
    return hash_symbols(f"{symbol} {record.entry.generation} {record.entry.crc32c}" for symbol, record in committed.items())


def _is_summarized(manifest: Manifest, summary: Summary) -> bool:
    """Whether a manifest's metadata, which is all that coverage reads, says what the manifest says."""
    info = ObjectInfo(manifest_object(summary.name), 0, summary.generation, "", summary.written, metadata_of(manifest))
    again = summarize(info)
    return all(
        getattr(again, name) == getattr(summary, name) for name in ("open", "counts", "symbols_hash", "rows", "empty_symbols", "origin")
    )


@contextmanager
def _pool(threads: int, name: str) -> Iterator[Executor]:
    """A pool whose queued work is dropped when the block ends early."""
    pool = ThreadPoolExecutor(threads, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Results in the order of items, with at most `ahead` items in work or waiting to be taken."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
