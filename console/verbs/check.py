"""`tickdeck check`: the coverage of a range, as a sentence, a table or JSON."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from console.repair_request import RepairEstimate, all_holes, estimate_of, repair_of
from console.verbs.options import (
    headless_session,
    json_option,
    layer_option,
    make_request,
    profile_option,
    require_data_types,
    scope_options,
)
from console.widgets.heat_looks import LOOKS, code_of
from engine.candles.timeframes import TIMEFRAMES, require_timeframes
from engine.clock import format_bytes
from engine.coverage import HOLES, LOADED, CellReport, Coverage, Layer, Sureness
from engine.errors import ConfigurationError, ExitCode, UsageError, one_line
from engine.instrument_coverage import INSTRUMENTS
from engine.inventory import Inventory
from engine.model import Cell, CellState, DayRange
from engine.plan import CANDLES
from engine.validation.verification import Depth, standing
from engine.verbs.options import Words
from engine.verbs.printing import print_json, print_table
from engine.verbs.validation_report import ProgressLine, advise, depth_options, document_of, last_line, sentence_of

if TYPE_CHECKING:
    from console.session import Session
    from engine.validation.comparing import Validation


@click.command("check")
@scope_options
@click.option("--data-types", "--data-type", "data_types", type=Words(), help="trades,book_snapshot_5,...; of the raw layer.")
@layer_option(*Layer, "all")
@click.option("--timeframes", type=Words(), help="Of candles: those that must be there [all].")
@click.option("--detailed", is_flag=True, help="Also each cell that is not complete, with its symbols, and how sure each day is.")
@click.option("--holes", is_flag=True, help="Only the holes, one a line, oldest first: tickdeck repair --cells-from reads them.")
@click.option("--estimate", is_flag=True, help="With --holes: also the bytes and dollars of each hole's repair, and of all together.")
@click.option("--arrivals", is_flag=True, help="Only whether the last day of the range is in: venue by venue, since when it is published.")
@click.option("--verify", is_flag=True, help="First compare the objects in the bucket with the manifests.")
@depth_options
@profile_option
@json_option
def check_command(
    *,
    profile_name: str,
    detailed: bool,
    holes: bool,
    estimate: bool,
    arrivals: bool,
    verify: bool,
    depth: str,
    sample: int,
    layer: str,
    timeframes: tuple[str, ...] | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Is the data there?

    Exit code 0 if every expected cell is complete or thin, 65 if there are holes or --verify found something wrong, 75 if a day is
    not ready. Without --verify no data object is looked at; the age of earlier proofs is shown. Definitions of instruments are a row
    of each venue and count apart; --data-types trades,instruments counts them like data.

    --layer candles: of every symbol with committed trades its candles are expected, in every timeframe; those that were made of other
    inputs than the lake holds now are stale, which is no hole (tickdeck repair --layer candles --rebuild). --layer loaded: of all
    candles the load into BigQuery is expected, as records of loads tell it; what changed since is stale. --layer all: each of them;
    --data-types are those of the raw layer.
    """
    layers = tuple(Layer) if layer == "all" else (Layer(layer),)
    options["data_types"] = require_data_types(options["data_types"], layer)
    wanted = require_timeframes(timeframes) if timeframes else ()
    if wanted and layers == (Layer.RAW,):
        raise UsageError("--timeframes are those of candles", hint="add --layer candles")
    if Layer.LOADED in layers and estimate:
        raise UsageError("what a load costs is not known here", hint="engine upload-bigquery --dry-run tells; or --layer candles")
    if Layer.RAW not in layers and (verify or arrivals):
        name = "verify" if verify else "arrivals"
        raise UsageError(f"--{name} is about files of the source", hint=f"leave --layer {layer} out")
    days = DayRange(options["start"], options["end"] or options["start"])
    context = click.get_current_context()
    for name in ("depth", "sample"):
        if not verify and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(f"--{name} says how to verify", hint="add --verify")
    if holes and detailed:
        raise UsageError("--holes and --detailed exclude each other", hint="--detailed names the holes too, with their symbols")
    if estimate and not holes:
        raise UsageError("--estimate is about holes", hint="add --holes")
    if arrivals and (holes or detailed or verify):
        raise UsageError("--arrivals stands alone", hint="run check once more for the rest")
    session = headless_session(profile_name)
    asked = {"symbols": options["symbols"] or (), "universe": options["universe"]}
    if arrivals:
        return _check_arrivals(session, days, options, as_json=as_json, **asked)
    validation = None
    if verify:
        validation = _verify(session, days, options, depth=Depth(depth), sample=sample, quiet=as_json, **asked)
    ask = partial(session.coverage.check, days, options["venues"], options["data_types"], **asked)
    found = [ask() if each is Layer.RAW else ask(layer=each, timeframes=wanted) for each in layers]
    repairs = [_estimate(session, coverage, options, wanted) if estimate else None for coverage in found]
    if as_json:
        documents = [
            holes_document(coverage, repair) if holes else coverage_document(coverage)
            for coverage, repair in zip(found, repairs, strict=True)
        ]
        document = documents[0] if len(documents) == 1 else {"layers": dict(zip(layers, documents, strict=True))}
        print_json(document if validation is None else document | {"validation": document_of(validation)})
    else:
        if validation is not None:
            show_validation(validation, session.profile.data_bucket)
        for place, (coverage, repair) in enumerate(zip(found, repairs, strict=True)):
            if holes:
                show_holes(coverage, repair)
                continue
            click.echo("\n" if place else "", nl=False)
            show_coverage(coverage)
            if detailed:
                show_details(coverage, session.inventory, wanted)
                show_proofs(coverage)
    # Raw comes first: what lacks there, lacks in the layers that are made of it.
    coverage = max(found, key=lambda each: _SEVERITY.index(exit_code_of(each)))
    code = exit_code_of(coverage)
    if validation is not None and validation.exit_code is not ExitCode.DONE and code is not ExitCode.PARTIAL:
        click.echo(f"tickdeck: {last_line(validation, session.profile.data_bucket)}", err=True)
        return validation.exit_code
    if code is not ExitCode.DONE:
        wait = code is ExitCode.TEMPORARY
        same = "the same range" if coverage.layer is Layer.RAW else f"the same range and --layer {coverage.layer}"
        step = "run the same command again later" if wait else f"tickdeck repair with {same}; why: --detailed"
        click.echo(f"tickdeck: {coverage.sentence()} -> {step}", err=True)
    return code


_SEVERITY = (ExitCode.DONE, ExitCode.TEMPORARY, ExitCode.PARTIAL)


def _verify(session: Session, days: DayRange, options: dict[str, Any], *, quiet: bool, **how: Any) -> Validation:
    progress = ProgressLine(sys.stderr.isatty() and not quiet)
    try:
        return session.coverage.verify(days, options["venues"], options["data_types"], on_cell=progress.show, **how)
    finally:
        progress.end()


def show_validation(found: Validation, data_bucket: str) -> None:
    """What was compared, and what a person has to do."""
    click.echo(sentence_of(found) if found.cells else "no manifest and no object, nothing to compare")
    for line in advise(found.kinds, data_bucket):
        click.echo(f"-> {line}")
    click.echo()


def exit_code_of(coverage: Coverage) -> ExitCode:
    """What a scheduler should hear."""
    if coverage.holes():
        return ExitCode.PARTIAL
    waiting = coverage.counts.get(CellState.RUNNING, 0) + coverage.counts.get(CellState.NOT_READY, 0)
    return ExitCode.TEMPORARY if waiting else ExitCode.DONE


def coverage_document(coverage: Coverage) -> dict[str, object]:
    """Coverage as JSON carries it."""
    cells = [cell_document(coverage.report(Cell(day, *reversed(row)))) for row in coverage.rows for day in coverage.days]
    return _range_document(coverage) | {"cells": cells}


def holes_document(coverage: Coverage, repair: RepairEstimate | None = None) -> dict[str, object]:
    """The holes alone, as JSON carries them; with an estimate also what the repair of each takes."""
    found = []
    for report in coverage.holes():
        document = cell_document(report)
        if repair is not None:
            cost = repair.cells.get(report.cell)
            document |= {"repair_bytes": cost.bytes if cost else None, "repair_dollars": cost.dollars if cost else None}
        found.append(document)
    whole = {} if repair is None else {"seconds": repair.seconds, "bytes": repair.bytes, "dollars": repair.dollars, "files": repair.files}
    return _range_document(coverage) | ({"repair": whole} if whole else {}) | {"holes": found}


def _range_document(coverage: Coverage) -> dict[str, object]:
    return {
        "layer": coverage.layer.value,
        "sentence": coverage.sentence(),
        "start": coverage.days.start.isoformat(),
        "end": coverage.days.end.isoformat(),
        "counts": {state.value: count for state, count in sorted(coverage.counts.items())},
        "instruments": {
            "counts": {state.value: count for state, count in sorted(coverage.instrument_counts.items())},
            "missing": [{"venue": report.cell.venue, "day": report.cell.day.isoformat()} for report in coverage.instrument_holes()],
        },
        "catalogues": {venue: moment.isoformat() for venue, moment in coverage.catalogue_dates.items()},
    }


def cell_document(report: CellReport) -> dict[str, object]:
    """What is known of one cell, as JSON carries it."""
    cell = report.cell
    return {
        "venue": cell.venue,
        "data_type": cell.data_type,
        "day": cell.day.isoformat(),
        "state": report.state.value,
        "expected": report.expected,
        "done": report.done,
        "bad": report.bad,
        "absent": report.absent,
        "empty": report.empty,
        "rows": report.rows,
        "source_bytes": report.source_bytes,
        "covered_minutes": report.covered_minutes,
        "sureness": report.sureness.value,
        "verified_at": report.verified_at,
        "verified_depth": report.verified_depth,
        "proofs": report.proofs,
        "findings": [{"kind": each.kind, "symbol": each.symbol, "generation": each.generation} for each in report.findings],
        "reasons": list(report.reasons),
        "runs": list(report.runs),
        "queued": report.is_queued,
    }


def show_holes(coverage: Coverage, repair: RepairEstimate | None = None) -> None:
    """One hole a line, beginning with what `engine.cell_spans.read_cells` reads."""
    for report in coverage.holes():
        why = "; ".join(report.reasons) or "never attempted"
        cost = repair.cells.get(report.cell) if repair is not None else None
        takes = "" if cost is None else f"  {format_bytes(cost.bytes)}" + ("" if cost.dollars is None else f"  ${cost.dollars:.4f}")
        click.echo(f"{report.cell}  {report.state}  {report.done} of {report.expected}{takes}  {why}")
    if repair is not None:
        from console.coverage_view import repair_words

        click.echo(f"# {repair_words(repair)}")


def _estimate(session: Session, coverage: Coverage, options: dict[str, Any], timeframes: tuple[str, ...]) -> RepairEstimate | None:
    """What a repair of all holes takes; None if there is none."""
    asked = {name: options[name] for name in ("venues", "start", "end", "symbols", "universe")}
    types = options["data_types"] if coverage.layer is Layer.RAW else (CANDLES,)
    request = make_request(**asked, data_types=types, timeframes=() if coverage.layer is Layer.RAW else timeframes)
    repair = repair_of(all_holes(coverage), request)
    return None if repair is None else estimate_of(session.planning.plan(repair.request))


def _check_arrivals(session: Session, days: DayRange, options: dict[str, Any], *, as_json: bool, **asked: Any) -> int:
    """Whether the last day of the range is in, venue by venue."""
    from console.arrival_view import arrival_record

    types = tuple(name for name in options["data_types"] if name != INSTRUMENTS)
    found = session.coverage.arrivals(options["venues"], types, day=days.end, **asked)
    if as_json:
        print_json({"day": days.end.isoformat(), "venues": [asdict(each) | {"in": each.is_in} for each in found]})
    else:
        print_table(("venue", f"is {days.end} in?"), list(arrival_record(found, session.clock()).items()))
    if all(each.is_in for each in found):
        return ExitCode.DONE
    return ExitCode.PARTIAL if any(each.state in HOLES for each in found) else ExitCode.TEMPORARY


def show_coverage(coverage: Coverage) -> None:
    """A sentence and one row for each venue and data type."""
    click.echo(coverage.sentence())
    if words := instruments_sentence(coverage):
        click.echo(words)
    dates = ", ".join(f"{venue} {at:%Y-%m-%d %H:%M}Z" for venue, at in coverage.catalogue_dates.items())
    click.echo(f"{coverage.days}; expectations of {dates}" if dates else str(coverage.days))
    click.echo()
    wide = len(coverage.days) <= 60
    rows = []
    seen: dict[str, str] = {}
    for venue, data_type in coverage.all_rows:
        states = coverage.row(venue, data_type)
        counts = Counter(states)
        words = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in reversed(CellState) if counts[state])
        looks = [LOOKS[code_of(coverage.report(Cell(day, data_type, venue)))] for day in coverage.days]
        seen |= {look.glyph: look.word for look in looks}
        glyphs = "".join(look.glyph for look in looks) if wide else ""
        rows.append((f"{venue} {data_type}", glyphs, words, _proofs_of_row(coverage, venue, data_type)))
    print_table(("row", "days" if wide else "", "cells", "proof"), rows)
    legend = [f"{look.glyph} {look.word}" for look in LOOKS if look.glyph in seen]
    click.echo("\n" + "  ".join(legend))


def instruments_sentence(coverage: Coverage) -> str:
    """Which definitions of instruments lack, and how they are written; empty if none, or nobody looked."""
    missing = coverage.instrument_holes()
    if not missing:
        return ""
    venues = ",".join(dict.fromkeys(report.cell.venue for report in missing))
    days = sorted(report.cell.day for report in missing)
    span = f"--start {days[0]}" + (f" --end {days[-1]}" if days[-1] != days[0] else "")
    return (
        f"instruments: {len(missing):,} venue-day{'s' if len(missing) != 1 else ''} missing -> engine instruments --venues {venues} {span}"
    )


def show_details(coverage: Coverage, inventory: Inventory, timeframes: tuple[str, ...] = ()) -> None:
    """Every cell that is not complete, and why."""
    wanted = [state for state in CellState if state not in (CellState.COMPLETE, CellState.NOT_EXPECTED)]
    for report in coverage.in_state(*wanted):
        reasons = "; ".join(report.reasons) or "no attempt yet"
        click.echo(f"\n{LOOKS[code_of(report)].glyph} {report.cell}: {report.state.replace('_', ' ')}: {reasons}")
        noun = "objects" if coverage.layer is Layer.LOADED else "symbols"
        click.echo(f"  {report.done} of {report.expected} {noun} done, {report.rows:,} rows, {proof_of(report, coverage.computed)}")
        if report.state in (CellState.PARTIAL, CellState.FAILED, CellState.THIN):
            if coverage.layer is Layer.LOADED:
                continue  # a day is loaded as a whole: the reasons name the tables
            found = _bad_symbols(report, inventory) if coverage.layer is Layer.RAW else _bad_candles(report, inventory, timeframes)
            for symbol, text in found.items():
                click.echo(f"  {symbol}: {text}".rstrip())


def _bad_symbols(report: CellReport, inventory: Inventory) -> dict[str, str]:
    """What is not ok in a cell, by symbol, in words."""
    try:
        records = inventory.open_cell(report.cell)
    except ConfigurationError as error:
        return {"manifests": one_line(error)}
    findings = inventory.findings(report.cell) if report.findings else ()
    wrong = standing(records, findings)
    found = {finding.symbol: f"{finding.kind}: {finding.detail}" for finding in wrong.values()}
    for symbol, record in records.items():
        entry = record.entry
        if entry.outcome != "ok":
            words = dict.fromkeys(filter(None, (str(entry.outcome), entry.reason, entry.detail)))
            found[symbol] = " ".join(words)
    return dict(sorted(found.items()))


def _bad_candles(report: CellReport, inventory: Inventory, timeframes: tuple[str, ...]) -> dict[str, str]:
    """What is not there or stale in a cell of candles, by symbol, in words."""
    from engine.candles.cells import read_candle_symbols

    try:
        symbols = read_candle_symbols(inventory, report.cell, timeframes=timeframes or TIMEFRAMES)
    except ConfigurationError as error:
        return {"manifests": one_line(error)}
    words = {CellState.FAILED: "failed: ", CellState.THIN: "stale: "}
    return {
        each.symbol: words.get(each.state, "") + ("; ".join(each.reasons) or "no candles")
        for each in symbols
        if each.state is not CellState.COMPLETE
    }


def show_proofs(coverage: Coverage) -> None:
    """How sure each cell is, days with the same proof together."""
    click.echo("\nproof")
    for venue, data_type in coverage.rows:
        reports = [coverage.report(Cell(day, data_type, venue)) for day in coverage.days]
        expected = [report for report in reports if report.state is not CellState.NOT_EXPECTED]
        for text, same in groupby(expected, key=lambda report: proof_of(report, coverage.computed)):
            days = [report.cell.day for report in same]
            click.echo(f"  {venue} {data_type} {days[0]}" + (f"..{days[-1]}" if len(days) > 1 else "") + f": {text}")


def proof_of(report: CellReport, now: datetime) -> str:
    """How we know what we say about a cell, and how old that is."""
    if report.cell.data_type == LOADED:
        return f"loaded {_age(report.written, now)} ago" if report.written else "no record of a load"
    if report.sureness is Sureness.NOTHING:
        return "no manifest"
    deepest = report.verified_depth
    if report.verified_at is None:
        return report.sureness.value
    age = f"{_age(report.verified_at, now)} ago"
    if deepest is None:
        return f"{report.sureness}, {'found wrong' if report.findings else 'last compared'} {age}"
    text = f"verified {age}" if report.sureness is Sureness.VERIFIED else f"{report.sureness}, verified {age}"
    closest = f"{_age(report.proofs[deepest], now)} ago"
    return f"{text} by {deepest}" if closest == age else f"{text} by listing, {closest} by {deepest}"


def _proofs_of_row(coverage: Coverage, venue: str, data_type: str) -> str:
    """How many cells of a row are how sure, with the age of the oldest verification."""
    reports = [coverage.report(Cell(day, data_type, venue)) for day in coverage.days]
    reports = [report for report in reports if report.sureness is not Sureness.NOTHING]
    words = []
    for sureness in reversed(Sureness):
        alike = [report for report in reports if report.sureness is sureness]
        if alike:
            proven = [report.verified_at for report in alike if report.proofs and report.verified_at is not None]
            verb = "" if sureness is Sureness.VERIFIED else f", {len(proven)} of them verified"
            words.append(f"{len(alike)} {sureness}" + (f"{verb} {_ages(proven, coverage.computed)} ago" if proven else ""))
    return "; ".join(words)


def _ages(moments: list[datetime], now: datetime) -> str:
    youngest, oldest = _age(max(moments), now), _age(min(moments), now)
    return oldest if youngest == oldest else f"{youngest} to {oldest}"


def _age(moment: datetime, now: datetime) -> str:
    from console.widgets.figures import format_age  # it measures text for screens: not on the way to --help

    return format_age((now - moment).total_seconds())
