"""Coverage in words: the sentence, the line that explains a cell and what to do about it, the symbols of a cell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from console.repair_request import RepairEstimate
from console.sentences import money
from console.widgets.figures import format_age, format_bytes, format_count, format_duration, plural
from console.widgets.heat_looks import LOOKS, WORDS, code_of
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from engine.candles.timeframes import bars_of
from engine.catalogue import due
from engine.coverage import HOLES, LOADED, CellReport, Coverage, Layer, Sureness
from engine.instrument_coverage import INSTRUMENTS
from engine.model import Cell, CellState, File
from engine.paths import candle_object, data_object
from engine.plan import CANDLES
from engine.symbol_coverage import SymbolReport

STATE_TONES = {
    CellState.NOT_EXPECTED: Tone.IDLE,
    CellState.COMPLETE: Tone.GOOD,
    CellState.NOT_READY: Tone.QUIET,
    CellState.RUNNING: Tone.BUSY,
    CellState.THIN: Tone.WARN,
    CellState.MISSING: Tone.WARN,
    CellState.PARTIAL: Tone.BAD,
    CellState.FAILED: Tone.BAD,
}


_NOTHING = {
    CANDLES: "no trades are committed that day: the raw layer says why",
    LOADED: "no candles are made of that day: the layer of candles says why",
}
"""Why nothing is expected, in layers that are made of others."""

_WORD_TONES = {"hole": Tone.BAD, "thin": Tone.WARN, "stale": Tone.WARN, "running": Tone.BUSY}

LAYERS = {Layer.RAW: "raw files", Layer.CANDLES: "candles", Layer.LOADED: "loaded"}
"""How the head of the map names what it shows."""


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """One line of an opened cell."""

    symbol: str
    state: CellState
    outcome: str
    rows: int
    source_bytes: int
    minutes: int
    run: str
    reason: str


def sentence_of(coverage: Coverage, repair: RepairEstimate | None = None) -> tuple[list[Phrase], Tone]:
    """The whole in one sentence, and its tone; with what a repair of the holes takes, once that is known."""
    holes = sum(coverage.counts.get(state, 0) for state in HOLES)
    thin = coverage.counts.get(CellState.THIN, 0)
    busy = coverage.counts.get(CellState.RUNNING, 0)
    tone = Tone.BAD if holes else Tone.BUSY if busy else Tone.WARN if thin else Tone.GOOD
    first, *others = coverage.sentence().split(", ")
    share, _, rest = first.partition(" % ")
    phrases = [Phrase(f"{share} %", strong=True), Phrase(f" {rest}")] if rest else [Phrase(first, strong=True)]
    for part in others:
        word_tone = next((tone for word, tone in _WORD_TONES.items() if word in part), Tone.PLAIN)
        phrases += [Phrase(", "), Phrase(part, word_tone, strong=word_tone is not Tone.PLAIN)]
    if holes and repair is not None and repair.files:
        phrases.append(Phrase(f"; {repair_words(repair)}"))
    return phrases, tone


def repair_words(repair: RepairEstimate) -> str:
    """`repair 6 min 10 s, $0.40, 31 GB of allowance`."""
    cost = "no price known" if repair.dollars is None else "under a cent" if 0 < repair.dollars < 0.005 else money(repair.dollars)
    size = format_bytes(repair.bytes) + (" of allowance" if repair.allowance else "")
    return f"repair {format_duration(repair.seconds)}, {cost}, {size}"


def facts_of(coverage: Coverage, now: datetime, *, adopted: int = 0) -> str:
    """The layer and range, what is not expected, how old the catalogues are, what is from before Tickdeck, and whether definitions lack."""
    parts = [f"{LAYERS[coverage.layer]} (L: {LAYERS[coverage.layer.following]})", str(coverage.days)]
    if not_expected := coverage.counts.get(CellState.NOT_EXPECTED, 0):
        parts.append(f"{plural(not_expected, 'cell')} not expected")
    if coverage.catalogue_dates and coverage.layer is Layer.RAW:
        oldest = min(coverage.catalogue_dates.values())
        parts.append(f"expectations of {format_age((now - oldest).total_seconds())} ago")
    if adopted:
        parts.append(f"{plural(adopted, 'cell')} adopted")
    if missing := coverage.instrument_counts.get(CellState.MISSING, 0):
        parts.append(f"instruments lack {plural(missing, 'day')}")
    return " · ".join(parts)


def explain(report: CellReport, now: datetime) -> tuple[list[Phrase], str]:
    """The cell under the cursor: what it is, with the proof; and why, in a second line."""
    cell, state, look = report.cell, report.state, LOOKS[code_of(report)]
    head = [
        Phrase(f"{look.glyph} {cell.venue} {cell.data_type} {cell.day} ", strong=True),
        Phrase(look.word, STATE_TONES[state], strong=True),
    ]
    if state is CellState.NOT_EXPECTED:
        nothing = _NOTHING.get(cell.data_type, "the venue does not offer this type, or lists no symbol of it that day")
        return [*head, Phrase("  never a gap")], "; ".join([*report.reasons, nothing])
    if report.beneath is not None:
        head.append(Phrase(f" ({WORDS[report.beneath]} until it is done)"))
    if cell.data_type == INSTRUMENTS:
        head.append(Phrase(f"  {plural(report.rows, 'instrument')}" if report.rows else ""))
    else:
        head.append(Phrase(f"  {_counts(report)}"))
    if report.rows and cell.data_type != INSTRUMENTS:
        scope = " in the whole cell" if report.of_whole_cell else ""
        size = f", {format_bytes(report.source_bytes)}" if report.source_bytes else ""
        what = "bars" if cell.data_type == CANDLES else "rows"
        head.append(Phrase(f"  {format_count(report.rows)} {what}{size}{scope}"))
        if report.covered_minutes:
            head.append(Phrase(f", {format_count(report.covered_minutes)} of 1,440 min"))
    why = list(report.reasons)
    if state is CellState.NOT_READY:
        word = "due" if due(cell.day) > now else "was due"
        why.insert(0, f"the source has not published this day: {word} {due(cell.day):%Y-%m-%d %H:%M} UTC")
    elif state is CellState.MISSING and not why:
        why.append({CANDLES: "never made", LOADED: "never loaded"}.get(cell.data_type, "never attempted"))
    elif state is CellState.COMPLETE and report.empty:
        why.append(f"{plural(report.empty, 'symbol')} without rows that day, as the source says")
    step = next_step(report)
    return head, "; ".join([*why, proof_words(report, now)]) + (f" → {step}" if step else "")


def _counts(report: CellReport) -> str:
    noun = "objects" if report.cell.data_type == LOADED else "symbols"
    parts = [f"{format_count(report.done)} of {format_count(report.expected)} {noun}"]
    parts += [f"{format_count(count)} {word}" for count, word in ((report.bad, "bad"), (report.absent, "absent")) if count]
    parts += [f"{format_count(count)} {word}" for count, word in ((report.empty, "empty"), (report.waived, "waived")) if count]
    return ", ".join(parts)


def proof_words(report: CellReport, now: datetime) -> str:
    """How we know what we say about a cell, how old that is, and who wrote it."""
    if report.cell.data_type == INSTRUMENTS:
        return f"written {format_age((now - report.written).total_seconds())} ago" if report.written else "no definitions"
    if report.cell.data_type == LOADED:
        return f"loaded {format_age((now - report.written).total_seconds())} ago" if report.written else "no record of a load"
    if report.sureness is Sureness.NOTHING:
        return "no manifest"
    text = report.sureness.value
    if report.verified_at is not None and report.proofs:
        depth = f" ({report.verified_depth})" if report.verified_depth else ""
        verb = "" if report.sureness is Sureness.VERIFIED else ", verified"
        text += f"{verb} {format_age((now - report.verified_at).total_seconds())} ago{depth}"
    if report.runs:
        runs = ", ".join(report.runs[-2:]) + (f" and {len(report.runs) - 2} more" if len(report.runs) > 2 else "")
        text += f" by {runs}"
    if report.written is not None:
        text += f", written {format_age((now - report.written).total_seconds())} ago"
    return text


def next_step(report: CellReport) -> str:
    """What a person does next about a cell; empty if nothing."""
    data = report.cell.data_type != INSTRUMENTS
    if report.cell.data_type == CANDLES:
        return _next_step_of_candles(report)
    if report.cell.data_type == LOADED:
        return "r says how to load it" if report.state in (*HOLES, CellState.THIN) else ""
    match report.state:
        case CellState.MISSING if not data:
            return "r writes them from what the source says now"
        case CellState.MISSING:
            return "space marks, r plans the repair"
        case CellState.PARTIAL | CellState.FAILED if report.findings:
            return "enter: what differs; r fetches what is gone"
        case CellState.PARTIAL | CellState.FAILED if report.bad:
            return "enter: symbols, logs, waive; r tries again"
        case CellState.PARTIAL | CellState.FAILED:
            return "enter: symbols; r plans the repair"
        case CellState.THIN:
            return "enter: symbols; v there compares objects"
        case CellState.RUNNING:
            return "2 shows the VMs"
        case CellState.COMPLETE if data and report.sureness is not Sureness.VERIFIED:
            return "enter: symbols; v there compares objects"
    return ""


def _next_step_of_candles(report: CellReport) -> str:
    match report.state:
        case CellState.MISSING:
            return "space marks, r plans to make them"
        case CellState.PARTIAL | CellState.FAILED:
            return "enter: symbols, logs; r plans what lacks"
        case CellState.THIN:
            return "enter: symbols; space marks, r plans to make them anew"
        case CellState.RUNNING:
            return "2 shows the VMs"
        case CellState.COMPLETE:
            return "enter: symbols, and what they are made of"
    return ""


def symbol_rows(reports: Iterable[SymbolReport]) -> list[SymbolRow]:
    """The symbols of a cell, worst first."""
    order = list(CellState)
    rows = [
        SymbolRow(
            symbol=each.symbol,
            state=each.state,
            outcome=each.outcome.value.replace("_", " ") if each.outcome else "",
            rows=each.entry.rows if each.entry else 0,
            source_bytes=each.entry.source_bytes if each.entry else 0,
            minutes=each.entry.covered_minutes if each.entry else 0,
            run=each.run,
            reason="; ".join(each.reasons) or ("; ".join(each.entry.flags) if each.entry else ""),
        )
        for each in reports
    ]
    return sorted(rows, key=lambda row: (-order.index(row.state), row.symbol))


def proof_of(cell: Cell, report: SymbolReport, data_bucket: str) -> dict[str, object]:
    """Everything a manifest says about one file, for the innermost zoom."""
    record: dict[str, object] = {"state": WORDS[report.state], "symbol": report.symbol, "cell": str(cell)}
    entry = report.entry
    if entry is None:
        return record | {"manifest": "none mentions it"}
    record |= {"outcome": entry.outcome.value, "why": "; ".join(report.reasons) or None, "run": report.run}
    if report.manifest is not None:
        record |= {"shard": report.manifest.shard, "attempt": report.manifest.attempt}
        record |= {"vm": report.vm, "recorded": f"{report.manifest.written:%Y-%m-%d %H:%M:%S} UTC"}
    if entry.parts:
        found = {}
        for part in entry.parts:
            name = candle_object(cell.day, part.timeframe, cell.venue, report.symbol)
            found[part.timeframe] = f"{plural(bars_of(part.timeframe), 'bar')}, {format_bytes(part.bytes)}, gs://{data_bucket}/{name}"
        record |= {"made of": list(entry.inputs), "timeframes": found, "identity": entry.fingerprint}
    elif entry.generation:
        name = entry.object or data_object(File(cell, report.symbol))
        record |= {"object": f"gs://{data_bucket}/{name}", "generation": str(entry.generation)}
        record |= {"crc32c": entry.crc32c, "source fingerprint": entry.fingerprint}
    if entry.first_us is not None and entry.last_us is not None:
        record |= {"first": _moment(entry.first_us), "last": _moment(entry.last_us)}
    record |= {
        ("bars" if entry.parts else "rows"): format_count(entry.rows),
        ("inputs" if entry.parts else "source"): format_bytes(entry.source_bytes),
        "parquet": format_bytes(entry.object_bytes),
        "covered minutes": entry.covered_minutes,
        "http status": entry.status or None,
        "requests": entry.requests,
        "seconds": round(entry.seconds, 2),
    }
    if entry.flags:
        record["flags"] = list(entry.flags)
    if entry.dropped_columns:
        record["dropped columns"] = list(entry.dropped_columns)
    return record


def _moment(microseconds: int) -> str:
    """Microseconds since the epoch as UTC."""
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}.{microseconds % 1_000_000:06d} UTC"
