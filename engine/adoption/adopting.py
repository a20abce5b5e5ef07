"""Adoption: what lies in the data bucket already becomes manifests with origin `adopted`, so that it is not bought again.

Two layouts: `old`, objects that the system before Tickdeck named by instrument keys; and `ours`, objects at our own places that no
manifest mentions (a state bucket was lost). Names come from listings; rows and bounds from our own metadata where an object has it,
else from footers read by range. Rows are read only to verify. It goes cell by cell: an adoption that is interrupted goes on where
it stopped, and what is recorded already is neither looked at nor written again.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import datetime

from engine import __version__
from engine.adoption.candidates import Candidate, Judged, doubt_naive, judge, read_whole
from engine.adoption.existing_lake import Lake, Layout
from engine.adoption.old_names import Meaning, OldNames, venues_of
from engine.adoption.refusal import Reason, Refused
from engine.catalogue import Catalogue
from engine.manifest import Entry, Manifest, list_summaries, read_manifest, write_manifest
from engine.model import Cell, DayRange, File, Outcome
from engine.parquet_footer import FooterReader, Reads
from engine.paths import manifest_object, manifest_range
from engine.run import ADOPTION, new_run
from engine.store import Store

AT_ONCE = 32
"""Footers, and manifests, on their way at the same time."""

WHOLE_AT_ONCE = 2
"""Objects that verifying holds in memory at the same time."""

BATCH_OBJECTS = 500
"""Cells are judged and recorded in batches of about so many objects: the most that an interruption loses."""

WRITER = "adopt"
"""Stands in a manifest where a worker's would name its VM."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person wants adopted, and how."""

    venues: frozenset[str] = frozenset()
    """Tardis ids; empty: all."""
    data_types: frozenset[str] = frozenset()
    """Empty: all."""
    verify: bool = False
    """Read objects as a whole."""
    sample: int = 0
    """Of those to verify only so many, spread over all names; 0: every one."""
    dry_run: bool = False
    """Write nothing."""
    said: Mapping[str, Meaning] = field(default_factory=dict)
    """Old keys whose meaning a person has given."""

    def has(self, venues: Iterable[str], data_type: str) -> bool:
        """Whether one of the venues, and the data type, are wanted."""
        return (not self.venues or not self.venues.isdisjoint(venues)) and (not self.data_types or data_type in self.data_types)


@dataclass(frozen=True, slots=True)
class Left:
    """An object that is not adopted."""

    object: str
    reason: Reason
    detail: str


@dataclass(slots=True)
class Counts:
    """Objects of one venue and data type, by what became of them."""

    objects: int = 0
    adopted: int = 0
    """With rows."""
    empty: int = 0
    """Adopted as a day without rows."""
    recorded: int = 0
    """Known already: in a manifest, committed anew by us, or the same content under a second name."""
    left: int = 0
    """Not adopted."""
    rows: int = 0
    bytes: int = 0
    """Of objects that are adopted, empty ones included."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption did; after a dry run, what it would do."""

    run: str
    """As which its manifests are written."""
    days: DayRange
    layout: Layout
    dry_run: bool
    counts: Mapping[tuple[str, str], Counts]
    """By venue and data type; where the venue is not known, by the first word of the old key."""
    left: tuple[Left, ...]
    """By reason, then by name."""
    cells: int
    """Cells with something new: each has one more manifest."""
    verified: int
    """Objects that were read as a whole."""
    footer_reads: Reads
    """What footers took."""
    bytes_verified: int
    """Of objects that were read as a whole."""
    candles: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def total(self) -> Counts:
        """All venues and data types together."""
        return Counts(**{each.name: sum(getattr(counts, each.name) for counts in self.counts.values()) for each in fields(Counts)})


Progress = Callable[[int, int], None]
"""Hears how many objects are judged, and of how many."""


def adopt(
    data: Store,
    state: Store,
    lake: Lake,
    choice: Choice,
    *,
    catalogues: Mapping[str, Catalogue],
    now: datetime,
    progress: Progress = lambda _done, _total: None,
) -> Adoption:
    """Record what `list_lake` found, one manifest for each cell with something new.

    Args:
        data: the bucket of the lake.
        state: the bucket of manifests.
        lake: what was found.
        choice: what of it is wanted, and how.
        catalogues: by venue; for the old layout those of every venue that a name can mean (`engine.adoption.old_names.venues_meant`).
        now: the moment of the adoption, aware.
        progress: hears of each batch.

    Raises:
        StoreError, NotPermitted, ConfigurationError: of the buckets. Cells that are done keep their manifests.
    """
    ledger = _Ledger()
    found = _name(lake, choice, OldNames(catalogues, choice.said), ledger)
    found = _drop_recorded(_drop_copies(found, ledger), state, lake, ledger)
    whole = _choose_whole(found, choice)
    footers = FooterReader(data)
    recorder = _Recorder(state, new_run(now, ADOPTION), now, catalogues, choice.dry_run)
    done = cells = 0
    with ThreadPoolExecutor(AT_ONCE, "adopt") as pool, ThreadPoolExecutor(WHOLE_AT_ONCE, "verify") as readers:
        for batch in _batches(found):
            judged = list(pool.map(lambda each: judge(footers, each), batch))
            judged = list(readers.map(lambda item: read_whole(data, item) if item.candidate.info.name in whole else item, judged))
            by_cell = ledger.enter(doubt_naive(judged))
            list(pool.map(lambda item: recorder.write(*item), by_cell.items()))
            cells += len(by_cell)
            done += len(batch)
            progress(done, len(found))
    return Adoption(
        recorder.run,
        lake.days,
        lake.layout,
        choice.dry_run,
        dict(sorted(ledger.counts.items())),
        tuple(sorted(ledger.left, key=lambda left: (left.reason, left.object))),
        cells,
        ledger.verified,
        footers.reads,
        ledger.bytes_verified,
        lake.candles,
        lake.other,
    )


@dataclass(slots=True)
class _Ledger:
    """What became of each object so far."""

    counts: dict[tuple[str, str], Counts] = field(default_factory=lambda: defaultdict(Counts))
    left: list[Left] = field(default_factory=list)
    verified: int = 0
    bytes_verified: int = 0

    def leave(self, venue: str, data_type: str, name: str, refused: Refused) -> None:
        """Count an object that is not adopted."""
        counts = self.counts[venue, data_type]
        counts.objects += 1
        counts.left += 1
        self.left.append(Left(name, refused.reason, refused.detail))

    def know(self, file: File) -> None:
        """Count an object that needs nothing more."""
        counts = self.counts[file.cell.venue, file.cell.data_type]
        counts.objects += 1
        counts.recorded += 1

    def enter(self, judged: Iterable[Judged]) -> dict[Cell, list[Entry]]:
        """Count what was judged; returns the entries to record, by cell."""
        by_cell: dict[Cell, list[Entry]] = defaultdict(list)
        for item in judged:
            cell, info = item.candidate.file.cell, item.candidate.info
            self.verified += item.is_verified
            self.bytes_verified += item.bytes_read
            if item.entry is None:
                assert item.refused is not None
                self.leave(cell.venue, cell.data_type, info.name, item.refused)
                continue
            counts = self.counts[cell.venue, cell.data_type]
            counts.objects += 1
            counts.adopted += item.entry.outcome is Outcome.OK
            counts.empty += item.entry.outcome is Outcome.EMPTY
            counts.rows += item.entry.rows
            counts.bytes += info.size
            by_cell[cell].append(item.entry)
        return by_cell


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Writes manifests, unless it is a dry run."""

    state: Store
    run: str
    now: datetime
    catalogues: Mapping[str, Catalogue]
    dry_run: bool

    def write(self, cell: Cell, entries: Sequence[Entry]) -> None:
        """Record the adopted objects of one cell."""
        if self.dry_run:
            return
        catalogue = self.catalogues.get(cell.venue)
        manifest = Manifest(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            run=self.run,
            shard=0,
            attempt=1,
            vm=WRITER,
            written=self.now,
            open=False,
            engine_version=__version__,
            origin="adopted",
            catalogue=catalogue.object_name if catalogue is not None else "",
            entries=tuple(sorted(entries, key=lambda entry: entry.symbol)),
        )
        write_manifest(self.state, manifest)


# What is to be judged


def _name(lake: Lake, choice: Choice, names: OldNames, ledger: _Ledger) -> list[Candidate]:
    """Objects that stand for a file that is wanted."""
    found = [Candidate(file, info) for file, info in lake.ours if choice.has((file.cell.venue,), file.cell.data_type)]
    for name, info in lake.old:
        try:
            file = names.file_of(name)
        except Refused as refused:
            if choice.has(venues_of(name.instrument_key) or choice.venues, name.data_type):
                ledger.leave(name.instrument_key.partition(":")[0], name.data_type, info.name, refused)
            continue
        if choice.has((file.cell.venue,), file.cell.data_type):
            found.append(Candidate(file, info))
    return found


def _drop_copies(found: Iterable[Candidate], ledger: _Ledger) -> list[Candidate]:
    """One object for each file. Two of the same content are one; of two that differ neither is believed."""
    by_file: dict[File, list[Candidate]] = defaultdict(list)
    for candidate in found:
        by_file[candidate.file].append(candidate)
    kept = []
    for file, candidates in by_file.items():
        if len({candidate.info.crc32c for candidate in candidates}) > 1:
            names = sorted(candidate.info.name for candidate in candidates)
            for candidate in candidates:
                other = next(name for name in names if name != candidate.info.name)
                refused = Refused(Reason.SEVERAL_OBJECTS, f"{other} stands for {file} too, with other content")
                ledger.leave(file.cell.venue, file.cell.data_type, candidate.info.name, refused)
            continue
        kept.append(candidates[0])
        for _ in candidates[1:]:
            ledger.know(file)
    return kept


def _drop_recorded(found: Sequence[Candidate], state: Store, lake: Lake, ledger: _Ledger) -> list[Candidate]:
    """What no manifest of its cell mentions, and no worker has committed anew."""
    start, end = manifest_range(lake.days)
    cells = {candidate.file.cell for candidate in found}
    names = [summary.name for summary in list_summaries(state, start=start, end=end) if summary.name.cell in cells]
    objects: set[tuple[Cell, str, str, int]] = set()
    committed: set[File] = set()
    with ThreadPoolExecutor(AT_ONCE, "recorded") as pool:
        for read in pool.map(lambda name: read_manifest(state, manifest_object(name)), names):
            if read is None:
                continue
            manifest, _ = read
            for entry in manifest.entries:
                if entry.outcome is Outcome.OK or manifest.origin == "adopted":
                    objects.add((manifest.cell, entry.symbol, entry.object, entry.generation))
                if entry.outcome is Outcome.OK and manifest.origin == "committed" and not entry.object:
                    committed.add(File(manifest.cell, entry.symbol))
    fresh = []
    for candidate in found:
        file, place = candidate.file, candidate.place
        if (file.cell, file.symbol, place, candidate.info.generation) in objects or file in committed:
            ledger.know(file)
        else:
            fresh.append(candidate)
    return fresh


def _choose_whole(found: Sequence[Candidate], choice: Choice) -> frozenset[str]:
    """Names of the objects that are read as a whole. A sample is the same one each time."""
    if not choice.verify:
        return frozenset()
    names = [candidate.info.name for candidate in found]
    if choice.sample:
        names = sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))[: choice.sample]
    return frozenset(names)


def _batches(found: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Whole cells, in order, about `BATCH_OBJECTS` objects at a time."""
    by_cell: dict[Cell, list[Candidate]] = defaultdict(list)
    for candidate in found:
        by_cell[candidate.file.cell].append(candidate)
    batch: list[Candidate] = []
    for cell in sorted(by_cell):
        batch += by_cell[cell]
        if len(batch) >= BATCH_OBJECTS:
            yield batch
            batch = []
    if batch:
        yield batch
