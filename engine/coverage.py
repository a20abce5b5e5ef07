"""How complete the lake is: the state of every cell of a request, with the reasons, and one sentence about all of them.

Completeness is never optimistic. What is expected comes from the catalogue, what is done from manifests, and a cell is complete
only if the two are the same set. Listing metadata answers for nearly all cells; the rest are opened. There is no screen, no clock
and no bucket here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import msgspec
from msgspec import structs

from engine.catalogue import Catalogue
from engine.documents import Moment
from engine.errors import ConfigurationError, UsageError
from engine.expectation import Expectations, Scope, expect
from engine.instrument_coverage import Definitions, definition_states
from engine.manifest import Record, Summary
from engine.model import Cell, CellState, DayRange, Outcome, require_aware
from engine.plan import Shard
from engine.tally import COMPLETE, EMPTY, OpenCell, Tally, open_cells, state_of, tally_metadata, tally_records
from engine.thinness import DayFigures, few, judge
from engine.validation.verification import FOUND_WORDS, Depth, Finding, Kind, Verification, identify_manifests

HOLES = frozenset({CellState.MISSING, CellState.PARTIAL, CellState.FAILED})
"""States that a repair plan fills."""

NOT_DUE = frozenset({CellState.NOT_EXPECTED, CellState.NOT_READY})
"""States that no one could have done anything about yet."""

_OF_MANIFESTS = frozenset({Kind.MANIFEST, Kind.SOURCE_CHANGED})
"""Findings that turn no file back: they stand as long as no manifest comes."""

_NO_PROOFS: Mapping[Depth, datetime] = MappingProxyType({})

LOADED = "loaded"
"""Stands where a data type stands, for what BigQuery holds of the candles."""

CONTEXT_BEFORE = timedelta(days=35)
CONTEXT_AFTER = timedelta(days=7)


class Layer(StrEnum):
    """What of the lake is looked at: each is made of the one before."""

    RAW = "raw"
    """Files of the source, by venue and data type."""
    CANDLES = "candles"
    """Candles of all timeframes, by venue: expected of every symbol with committed trades."""

    LOADED = "loaded"
    """Candles in BigQuery, by venue: expected of every object of candles."""

    @property
    def following(self) -> Layer:
        """The next one, around the end."""
        order = list(Layer)
        return order[(order.index(self) + 1) % len(order)]


class Sureness(StrEnum):
    """How we know what we say about a cell."""

    NOTHING = "nothing"
    """No manifest."""
    ADOPTED = "adopted"
    """All that proves it was found in the bucket from before Tickdeck, verified since or not."""
    COMMITTED = "committed"
    """A manifest says so."""
    VERIFIED = "verified"
    """All objects were compared with the manifests, and were right."""


@dataclass(frozen=True, slots=True)
class LiveShard:
    """A shard that a live worker holds, or that is about to get one."""

    run: str
    shard: int
    vm: str = ""
    """Who holds it."""
    queued: bool = False
    """Nobody has taken it yet, but its VM was asked for, or another worker of the run can take it."""
    current: str = ""
    """The file that the worker has worked on longest, as its heartbeat says."""

    @property
    def words(self) -> str:
        """What becomes of a cell it has before it."""
        if self.queued:
            return f"queued: shard {self.shard} of run {self.run} waits for its worker"
        return f"run {self.run} is working on it" + (f": {self.vm}" if self.vm else "")


class CellReport(msgspec.Struct, frozen=True):
    """What is known about one cell."""

    cell: Cell
    state: CellState
    expected: int = 0
    """Symbols that must have an outcome."""
    done: int = 0
    """Of `expected`: ok, empty or waived."""
    bad: int = 0
    """Of `expected`: not_found, not_entitled, quarantined or failed."""
    absent: int = 0
    """Of `expected`: in no manifest."""
    empty: int = 0
    """Of `done`: the source has no rows for them."""
    waived: int = 0
    """Of `done`: somebody said that the source will never have them."""
    rows: int = 0
    source_bytes: int = 0
    """Compressed bytes as the source served them."""
    covered_minutes: int = 0
    """Fewest covered UTC minutes of the day among the files with rows."""
    reasons: tuple[str, ...] = ()
    """Why it is not simply complete; for people, most telling first."""
    sureness: Sureness = Sureness.NOTHING
    verified_at: Moment | None = None
    """When its objects were last compared with its manifests, also where that proves nothing any more."""
    proofs: Mapping[Depth, datetime] = {}
    """Depth -> when all its objects were last found right at it. Empty if something is wrong, or was recorded since."""
    findings: tuple[Finding, ...] = ()
    """What a verification found wrong, and still stands."""
    manifests: int = 0
    written: Moment | None = None
    """When its newest manifest was written."""
    runs: tuple[str, ...] = ()
    """Runs that wrote manifests of it, sorted."""
    beneath: CellState | None = None
    """For `running`: what the cell is as long as the live worker has not finished it."""
    live: tuple[LiveShard, ...] = ()
    """For `running`: who has it before them."""
    of_whole_cell: bool = False
    """True if rows, bytes and minutes are those of the whole cell although only some symbols were asked for."""

    @property
    def is_queued(self) -> bool:
        """Whether it is `running` only in that it waits for a worker."""
        return bool(self.live) and all(holder.queued for holder in self.live)

    @property
    def is_complete_by_adoption(self) -> bool:
        """Whether it is complete, and all that proves it was found in the bucket from before Tickdeck."""
        return self.state is CellState.COMPLETE and self.sureness is Sureness.ADOPTED

    @property
    def verified_depth(self) -> Depth | None:
        """The deepest at which all its objects were found right; None if that is not known."""
        return next((depth for depth in reversed(Depth) if depth in self.proofs), None)


_WAIVED, _COMMITTED = Outcome.WAIVED, Sureness.COMMITTED
"""See `engine.tally.COMPLETE`."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The states of all cells of a request. Immutable; screens and `check` render it."""

    days: DayRange
    rows: tuple[tuple[str, str], ...]
    """(venue, data type) in the order asked for."""
    reports: Mapping[Cell, CellReport]
    catalogue_dates: Mapping[str, datetime]
    """venue -> when its catalogue was fetched."""
    computed: datetime
    counts: Mapping[CellState, int] = field(default_factory=dict)
    instrument_rows: tuple[tuple[str, str], ...] = ()
    """(venue, `instruments`): the definitions, where the data bucket was looked at. Counted apart unless they are among `rows`."""
    instrument_counts: Mapping[CellState, int] = field(default_factory=dict)
    layer: Layer = Layer.RAW

    @property
    def all_rows(self) -> tuple[tuple[str, str], ...]:
        """Venue by venue: its data types, then its instruments."""
        if not self.instrument_rows or set(self.instrument_rows) <= set(self.rows):
            return self.rows
        venues = dict.fromkeys(venue for venue, _ in (*self.rows, *self.instrument_rows))
        return tuple(row for venue in venues for row in (*self.rows, *self.instrument_rows) if row[0] == venue)

    @property
    def expected_cells(self) -> int:
        """Cells that should be complete by now: offered by the venue, and published."""
        return sum(count for state, count in self.counts.items() if state not in NOT_DUE)

    @property
    def complete_cells(self) -> int:
        """Cells with nothing missing; thin ones are not among them."""
        return self.counts.get(CellState.COMPLETE, 0)

    def report(self, cell: Cell) -> CellReport:
        """What is known about a cell of the request.

        Raises:
            UsageError: if the cell is outside it.
        """
        found = self.reports.get(cell)
        if found is None:
            raise UsageError(f"{cell} is outside of the request {self.days}")
        return found

    def row(self, venue: str, data_type: str) -> list[CellState]:
        """The states of one heatmap row, day by day."""
        return [self.report(Cell(day, data_type, venue)).state for day in self.days]

    def adopted_row(self, venue: str, data_type: str) -> list[bool]:
        """Day by day, whether the cell is complete by what was adopted alone: maps shade it apart."""
        return [self.report(Cell(day, data_type, venue)).is_complete_by_adoption for day in self.days]

    def holes(self) -> list[CellReport]:
        """Missing, partial and failed cells: by day, then in the order of the rows."""
        return self.in_state(*HOLES)

    def instrument_holes(self) -> list[CellReport]:
        """Missing definitions: by venue, then by day."""
        if not self.instrument_counts.get(CellState.MISSING):
            return []
        cells = (Cell(day, data_type, venue) for venue, data_type in self.instrument_rows for day in self.days)
        return [self.reports[cell] for cell in cells if self.reports[cell].state in HOLES]

    def in_state(self, *states: CellState) -> list[CellReport]:
        """Cells in any of these states: by day, then in the order of the rows."""
        if not any(self.counts.get(state) for state in states):
            return []
        order = (Cell(day, data_type, venue) for day in self.days for venue, data_type in self.rows)
        return [self.reports[cell] for cell in order if self.reports[cell].state in states]

    def sentence(self) -> str:
        """The whole in one line. The share is rounded down: only all of it is 100 %."""
        expected = self.expected_cells
        parts = []
        if expected:
            share = 1000 * self.complete_cells // expected
            percent = "100 %" if share == 1000 else f"{share / 10:.1f} %"
            parts.append(f"{percent} of {expected:,} expected {_NOUNS[self.layer]}{'s' if expected != 1 else ''} complete")
        else:
            parts.append(_NOTHING[self.layer].format(days=self.days))
        holes = sum(self.counts.get(state, 0) for state in HOLES)
        if holes:
            parts.append(f"{holes:,} hole{'s' if holes != 1 else ''}")
        if self.layer is Layer.LOADED and expected:
            parts[0] = parts[0].removesuffix("complete") + "loaded"
        others = {
            "thin" if self.layer is Layer.RAW else "stale": CellState.THIN,
            "running": CellState.RUNNING,
            "not ready": CellState.NOT_READY,
        }
        parts += [f"{count:,} {word}" for word, state in others.items() if (count := self.counts.get(state, 0))]
        return ", ".join(parts)


_NOUNS = {Layer.RAW: "cell", Layer.CANDLES: "candle cell", Layer.LOADED: "venue-day"}
_NOTHING = {
    Layer.RAW: "no cell is expected in {days}",
    Layer.CANDLES: "no trades are committed in {days}, so no candles are expected",
    Layer.LOADED: "no candles are made in {days}, so nothing can be loaded",
}


def context_of(days: DayRange) -> DayRange:
    """The days whose manifests should be listed to judge `days`: its good neighbours are the measure of thinness."""
    return DayRange(days.start - CONTEXT_BEFORE, days.end + CONTEXT_AFTER)


def live_cells(shards: Iterable[tuple[LiveShard, Shard]]) -> dict[Cell, tuple[LiveShard, ...]]:
    """The cells that live workers have before them, from (holder, shard of its plan) pairs."""
    found: dict[Cell, list[LiveShard]] = defaultdict(list)
    for holder, shard in shards:
        for work in shard.work:
            found[work.cell].append(holder)
    return {cell: tuple(holders) for cell, holders in found.items()}


def overlay(coverage: Coverage, live: Mapping[Cell, Collection[LiveShard]]) -> Coverage:
    """The same coverage with more work on the way: what was launched a moment ago shows before the next look at the bucket."""
    changed = {}
    for cell, holders in live.items():
        report = coverage.reports.get(cell)
        if report is not None and (report.state in HOLES or report.state is CellState.NOT_READY):
            changed[cell] = with_live(report, tuple(holders))
    if not changed:
        return coverage
    counts = Counter(coverage.counts)
    counts.subtract(Counter(coverage.reports[cell].state for cell in changed))
    counts[CellState.RUNNING] += len(changed)
    return replace(coverage, reports={**coverage.reports, **changed}, counts=+counts)


def with_live(report: CellReport, live: tuple[LiveShard, ...]) -> CellReport:
    """A cell that somebody has before them, or that waits for a worker."""
    words = dict.fromkeys(holder.words for holder in sorted(live, key=lambda holder: (holder.queued, holder.run, holder.shard)))
    return structs.replace(report, state=CellState.RUNNING, beneath=report.state, live=live, reasons=(*words, *report.reasons))


def assess(
    days: DayRange,
    venues: Sequence[str],
    data_types: Sequence[str],
    *,
    catalogues: Mapping[str, Catalogue],
    summaries: Iterable[Summary],
    open_cell: OpenCell,
    now: datetime,
    scope: Scope | None = None,
    live: Mapping[Cell, Collection[LiveShard]] = MappingProxyType({}),
    verified: Mapping[Cell, Verification] = MappingProxyType({}),
    definitions: Mapping[Cell, Definitions] | None = None,
    count_definitions: bool = False,
) -> Coverage:
    """The state of every cell in days x venues x data types.

    Args:
        days: the days asked about.
        venues: Tardis exchange ids, each with a catalogue.
        data_types: Tardis data types.
        catalogues: venue -> what it offers.
        summaries: manifests from listings, in any order; those of `context_of(days)` make thinness known at the edges.
        open_cell: reads a cell whose metadata does not prove its state; called from several threads. A cell of which it raises
            ConfigurationError (a manifest cannot be read) counts as failed.
        now: the moment of the answer.
        scope: symbols asked for by venue; None for all that are expected. A venue that is not in it is asked for nothing.
        live: shards that live workers hold, by cell. They hide holes of a cell until that shard's manifest is closed; they
            never hide a state that needs nothing.
        verified: what the last comparison of a cell's objects with its manifests found. What is wrong turns the cell back.
        definitions: the stored definitions of instruments; None: nothing is said about them.
        count_definitions: whether they count like data, in the sentence and among the holes.

    Raises:
        UsageError: if a venue has no catalogue.
    """
    listed: dict[tuple[str, str], dict[date, list[Summary]]] = defaultdict(lambda: defaultdict(list))
    for summary in summaries:
        cell = summary.name.cell
        listed[cell.venue, cell.data_type][cell.day].append(summary)
    rows = tuple((venue, data_type) for venue in dict.fromkeys(venues) for data_type in dict.fromkeys(data_types))
    judged: dict[tuple[str, str], dict[date, _Judged]] = {}
    expectations: dict[tuple[str, str], Expectations] = {}
    context = context_of(days)
    for venue in dict.fromkeys(venues):
        symbols = None if scope is None else scope.get(venue, frozenset())
        for data_type, each in expect(require_catalogue(catalogues, venue), data_types, context, symbols=symbols).items():
            expectations[venue, data_type] = each
    to_open: list[Cell] = []
    for row in rows:
        judged[row] = _tally_row(row, days, expectations[row], listed[row], verified, to_open)
    for cell, opened in open_cells(to_open, lambda cell: _Opened.of(cell, open_cell)).items():
        expected = expectations[cell.venue, cell.data_type].at(cell.day)
        held = listed[cell.venue, cell.data_type][cell.day]
        if opened.trouble:
            judgement = _Judged(Tally(len(expected.symbols), {}, attempted=True), held, opened.trouble)
        else:
            findings = verified[cell].findings if cell in verified else ()
            judgement = _Judged(tally_records(expected, opened.records, findings), held)
        judged[cell.venue, cell.data_type][cell.day] = judgement
    reports: dict[Cell, CellReport] = {}
    published = {venue: [(day, catalogues[venue].is_published(day)) for day in days] for venue in dict.fromkeys(venues)}
    for row in rows:
        venue, data_type = row
        offered, tallied = expectations[row], judged[row]
        thin = _thin_days(data_type, catalogues[venue], offered, tallied)
        for day, is_published in published[venue]:
            cell = Cell(day, data_type, venue)
            if not offered.at(day).symbols:
                reports[cell] = _not_expected(cell, listed[row].get(day, ()))
            else:
                working = live.get(cell, ()) if live else ()
                found = verified.get(cell) if verified else None
                reports[cell] = _report(cell, tallied[day], is_published, thin.get(day, ()), working, found)
    counts = Counter(report.state for report in reports.values())
    instruments = {} if definitions is None else _instruments(days, {venue: catalogues[venue] for venue in venues}, definitions)
    instrument_rows = tuple(dict.fromkeys((cell.venue, cell.data_type) for cell in instruments))
    instrument_counts = Counter(report.state for report in instruments.values())
    return Coverage(
        days=days,
        rows=(*rows, *instrument_rows) if count_definitions else rows,
        reports=reports | instruments,
        catalogue_dates={venue: catalogues[venue].fetched for venue in venues},
        computed=require_aware(now),
        counts=counts + instrument_counts if count_definitions else counts,
        instrument_rows=instrument_rows,
        instrument_counts=instrument_counts,
    )


def _instruments(days: DayRange, catalogues: Mapping[str, Catalogue], stored: Mapping[Cell, Definitions]) -> dict[Cell, CellReport]:
    """The rows of instruments; the object itself is the proof."""
    reports = {}
    for cell, state, found in definition_states(days, catalogues, stored):
        reports[cell] = CellReport(
            cell,
            state,
            expected=int(state is not CellState.NOT_EXPECTED),
            done=int(found is not None and state is CellState.COMPLETE),
            absent=int(state in (CellState.MISSING, CellState.NOT_READY)),
            rows=found.rows if found is not None else 0,
            sureness=Sureness.COMMITTED if found is not None else Sureness.NOTHING,
            written=found.written if found is not None else None,
        )
    return reports


def require_catalogue(catalogues: Mapping[str, Catalogue], venue: str) -> Catalogue:
    """The catalogue of a venue.

    Raises:
        UsageError: naming the venue and the nearest that has one.
    """
    found = catalogues.get(venue)
    if found is None:
        from engine.spelling import nearest

        raise UsageError(f"there is no catalogue of venue {venue!r}", hint=nearest(venue, catalogues, what="venues"))
    return found


class _Judged(msgspec.Struct, frozen=True):
    tally: Tally
    summaries: Sequence[Summary]
    trouble: str = ""
    """Why its manifests could not be read."""


@dataclass(frozen=True, slots=True)
class _Opened:
    records: Mapping[str, Record]
    trouble: str = ""

    @classmethod
    def of(cls, cell: Cell, open_cell: OpenCell) -> _Opened:
        """One manifest that cannot be read must not hide all other cells."""
        try:
            return cls(open_cell(cell))
        except ConfigurationError as error:
            return cls({}, str(error))


def _tally_row(
    row: tuple[str, str],
    days: DayRange,
    expectations: Expectations,
    listed: Mapping[date, list[Summary]],
    verified: Mapping[Cell, Verification],
    to_open: list[Cell],
) -> dict[date, _Judged]:
    """Count what metadata proves; name what has to be opened, damaged cells among them.

    Days of the context are never opened, they only help to judge.
    """
    judged: dict[date, _Judged] = {}
    damaged = {cell.day for cell, found in verified.items() if (cell.venue, cell.data_type) == row and found.damaged}
    for day, expected in zip(expectations.days, expectations.by_day, strict=True):
        held = listed.get(day, ())
        if not expected.symbols or (not held and day not in days):
            continue
        tally = tally_metadata(expected, held) if not held or day not in damaged else None
        if tally is not None:
            judged[day] = _Judged(tally, held)
        elif day in days:
            to_open.append(Cell(day, row[1], row[0]))
    return judged


def _thin_days(
    data_type: str, catalogue: Catalogue, expectations: Expectations, judged: Mapping[date, _Judged]
) -> dict[date, tuple[str, ...]]:
    figures = []
    nobody: frozenset[str] = frozenset()
    incidents = _incidents(catalogue, expectations.days)
    for day, expected in zip(expectations.days, expectations.by_day, strict=True):
        found = judged.get(day)
        if found is None or found.tally.done != found.tally.expected:
            continue
        tally = found.tally
        figures.append(
            DayFigures(
                day=day,
                expected=expected,
                rows=tally.rows,
                minutes=tally.covered_minutes,
                empty_symbols=tuple(sorted(tally.empty_symbols)) if tally.empty_symbols else (),
                partial=expectations.partial.get(day, nobody),
                incident=incidents.get(day, ""),
                has_waived=bool(tally.counts.get(_WAIVED)),
                of_whole_cell=tally.of_whole_cell,
            )
        )
    return judge(data_type, figures, expectations.kinds)


def _incidents(catalogue: Catalogue, days: DayRange) -> dict[date, str]:
    found: dict[date, str] = {}
    for incident in catalogue.incidents:
        first, last = max(incident.start.date(), days.start), min(incident.end.date(), days.end)
        for ordinal in range(first.toordinal(), last.toordinal() + 1):
            day = date.fromordinal(ordinal)
            if incident.overlaps(day):
                found.setdefault(day, incident.details or incident.status or "no details given")
    return found


def _not_expected(cell: Cell, summaries: Sequence[Summary]) -> CellReport:
    return CellReport(
        cell,
        CellState.NOT_EXPECTED,
        manifests=len(summaries),
        runs=_runs(summaries),
        written=_written(summaries),
    )


def _runs(summaries: Sequence[Summary]) -> tuple[str, ...]:
    return (summaries[0].name.run,) if len(summaries) == 1 else tuple(sorted({summary.name.run for summary in summaries}))


def _written(summaries: Sequence[Summary]) -> datetime | None:
    return summaries[0].written if len(summaries) == 1 else max((summary.written for summary in summaries), default=None)


def _report(
    cell: Cell,
    judged: _Judged,
    published: bool,
    thin: tuple[str, ...],
    live: Collection[LiveShard],
    verified: Verification | None,
) -> CellReport:
    tally, summaries = judged.tally, judged.summaries
    state = state_of(tally, published=published)
    reasons: tuple[str, ...] = ()
    working: tuple[LiveShard, ...] = ()
    if state is COMPLETE:
        if thin:
            state, reasons = CellState.THIN, thin
    else:
        reasons = (judged.trouble,) if judged.trouble else _reasons(tally)
        closed = {(summary.name.run, summary.name.shard) for summary in summaries if not summary.open}
        working = tuple(holder for holder in live if (holder.run, holder.shard) not in closed)
    findings = tally.wrong
    proofs: Mapping[Depth, datetime] = _NO_PROOFS
    if verified is not None and verified.manifests == identify_manifests([summary.generation for summary in summaries]):
        proofs = _NO_PROOFS if verified.damaged else verified.proofs
        findings += tuple(finding for finding in verified.findings if finding.kind in _OF_MANIFESTS and finding not in findings)
    report = CellReport(
        cell=cell,
        state=state,
        expected=tally.expected,
        done=tally.done,
        bad=tally.bad,
        absent=tally.absent,
        empty=tally.counts.get(EMPTY, 0),
        waived=tally.counts.get(_WAIVED, 0),
        rows=tally.rows,
        source_bytes=tally.source_bytes,
        covered_minutes=tally.covered_minutes,
        reasons=reasons,
        sureness=_sureness(summaries if tally.attempted else (), proofs),
        verified_at=max(proofs.values()) if proofs else None if verified is None else verified.at,
        proofs=proofs,
        findings=findings,
        manifests=len(summaries),
        written=_written(summaries),
        runs=_runs(summaries),
        of_whole_cell=tally.of_whole_cell,
    )
    return with_live(report, working) if working else report


def _sureness(summaries: Sequence[Summary], proofs: Mapping[Depth, datetime]) -> Sureness:
    if not summaries:
        return Sureness.NOTHING
    if "adopted" in [summary.origin for summary in summaries]:
        proving = [summary for summary in summaries if summary.counts.get(Outcome.OK) or summary.counts.get(Outcome.EMPTY)]
        if proving and all(summary.origin == "adopted" for summary in proving):
            return Sureness.ADOPTED
    return Sureness.VERIFIED if proofs else _COMMITTED


def _reasons(tally: Tally) -> tuple[str, ...]:
    if not tally.attempted:
        return ()
    texts = []
    wrong: dict[Kind, list[str]] = {}
    for finding in tally.wrong:
        wrong.setdefault(finding.kind, []).append(finding.symbol)
    for kind, symbols in wrong.items():
        texts.append(f"{len(symbols):,} {FOUND_WORDS[kind]}: {few(symbols)}")
    told = {finding.symbol for finding in tally.wrong}
    for outcome in (Outcome.QUARANTINED, Outcome.FAILED, Outcome.NOT_ENTITLED, Outcome.NOT_FOUND):
        names = (tally.bad_symbols or {}).get(outcome, ())
        others = [name for name in names if name not in told]
        if count := tally.counts.get(outcome, 0) - (len(names) - len(others)):
            texts.append(f"{count:,} {outcome.replace('_', ' ')}" + (f": {few(others)}" if others else ""))
    absent = [symbol for symbol in tally.absent_symbols if symbol not in told]
    if count := tally.absent - (len(tally.absent_symbols) - len(absent)):
        texts.append(f"{count:,} in no manifest" + (f": {few(absent)}" if absent else ""))
    if count := tally.counts.get(Outcome.NOT_READY, 0):
        texts.append(f"{count:,} not published when it was tried")
    return tuple(texts)
