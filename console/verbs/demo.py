"""`tickdeck demo`: the whole product on this machine, with mishaps on purpose, and the proof that it coped."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import click

from console.demo import (
    DAYS,
    SCENARIO,
    TIME_LIMIT,
    Mishap,
    Preemptor,
    Truth,
    clear_lake,
    count_mishaps,
    demo_request,
    disagreements,
    planted_truth,
)
from console.sentences import not_ready_lines, plan_sentence, plural
from console.session import Session, open_session
from console.verbs.check import coverage_document, show_coverage
from engine.bigquery.tables import tables_of
from engine.bigquery.uploading import plan_upload, prepare, upload
from engine.bigquery.warehouse import Warehouse, open_client
from engine.bucket import read_rules
from engine.candles.cells import read_candle_cells
from engine.candles.timeframes import TIMEFRAMES
from engine.clock import format_bytes, format_seconds, monotonic
from engine.coverage import Coverage
from engine.errors import ConfigurationError, ExitCode, SourceError
from engine.model import DayRange
from engine.plan import CANDLES, Request
from engine.query.constraints import Constraint
from engine.query.running import open_query
from engine.verbs.printing import print_json
from provision.fleet import FleetSnapshot
from provision.local import cloud as local_cloud

STEPS = 10


@click.command("demo")
@click.option("--headless", is_flag=True, help="Without the console: do it all, check it, print a summary.")
@click.option(
    "--source",
    type=click.Choice(["stand-in", "tardis"]),
    default="stand-in",
    show_default=True,
    help="tardis: the real source's free first day of a month; needs internet, no key.",
)
@click.option("--keep", is_flag=True, help="Leave the local cloud running at the end.")
@click.option("--json", "as_json", is_flag=True, help="With --headless: print the summary as JSON.")
@click.option("--record", metavar="FILE", default="", help="Record what the console sees here, for tickdeck --replay.")
def demo_command(headless: bool, source: str, keep: bool, as_json: bool, record: str) -> int:
    """Plan, launch, watch, check and clean up a backfill on this machine."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not headless and not terminal:
        click.echo("no terminal here: the demo runs headless", err=True)
        headless = True
    real = source == "tardis"
    return run_headless(real=real, keep=keep, as_json=as_json) if headless else run_in_console(real=real, keep=keep, record=record)


def open_demo(*, real: bool, report: local_cloud.Report) -> Session:
    """The demo's session; an earlier demo that still works is found, a finished one is forgotten."""
    root = local_cloud.demo_root()
    found = local_cloud.find(root)
    if found is not None:
        session = open_session("local", root=root, source=_source(real), scenario=SCENARIO, report=report)
        if session.watching.live_runs():
            return session
        local_cloud.down(root)
    clear_lake(root)
    return open_session("local", root=root, source=_source(real), scenario=SCENARIO, report=report)


def _source(real: bool) -> str:
    return "tardis" if real else "stand-in"


def run_in_console(*, real: bool, keep: bool, record: str) -> int:
    """The demo on the Plan screen, filled in; the local cloud goes when the console does."""
    from console.running import make_recorder, run_console

    preemptors: list[Preemptor] = []

    def on_launch(session: Session, run: str) -> None:
        if session.profile.source == "stand-in":
            preemptors.append(Preemptor(session, run))
            preemptors[-1].start()

    def on_quit() -> None:
        for preemptor in preemptors:
            preemptor.stop()
        if not keep:
            local_cloud.down(local_cloud.demo_root())

    return run_console(
        lambda report: open_demo(real=real, report=report),
        demo_request(real_source=real),
        demo=True,
        on_launched=on_launch,
        on_quit=on_quit,
        recorder=make_recorder(record),
    )


def run_headless(*, real: bool, keep: bool, as_json: bool) -> int:
    """The same job without a terminal; exit code 0 only if lake and summary agree with the planted truth."""
    say = _Steps(quiet=as_json)
    try:
        return _run(say, real=real, as_json=as_json)
    finally:
        if keep:
            say.line(f"the local cloud stays up in {local_cloud.demo_root()}")
        else:
            say.step("stop the local cloud")
            local_cloud.down(local_cloud.demo_root())


class _Steps:
    """Numbered steps with elapsed time."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._number = 0
        self._started = monotonic()

    @property
    def elapsed(self) -> float:
        return monotonic() - self._started

    def step(self, text: str) -> None:
        self._number += 1
        self.line(f"{self._number}/{STEPS} {text}", indent="")

    def line(self, text: str, indent: str = "    ") -> None:
        if not self._quiet:
            click.echo(f"{self.elapsed:6.1f} s  {indent}{text}")


def _run(say: _Steps, *, real: bool, as_json: bool) -> int:
    say.step("start the local cloud: storage, Cloud Logging, Compute" + ("" if real else ", Tardis stand-in"))
    session = open_demo(real=real, report=lambda step, state: say.line(f"{step} answers") if state == "done" else None)
    request = demo_request(real_source=real)
    say.step("plan")
    plan = session.planning.plan(request)
    say.line(plan_sentence(plan))
    for line in not_ready_lines(plan):
        say.line(line)
    say.step(f"launch {plural(len(plan.shards), 'VM')}")
    launched = session.launching.launch(plan, report=say.line)
    if launched.failed:
        raise ConfigurationError("; ".join(launched.messages))
    say.step("watch" + ("" if real else "; one VM will be preempted"))
    preemptor = Preemptor(session, launched.run, say.line)
    if not real:
        preemptor.start()
    began = monotonic()
    try:
        snapshot = _watch(say, session, launched.run)
    finally:
        preemptor.stop()
    worked = monotonic() - began
    say.step("check coverage")
    days = DayRange(request.start, request.end)
    coverage = session.coverage.check(days, request.venues, request.data_types, symbols=request.symbols)
    if not as_json:
        click.echo()
        show_coverage(coverage)
        click.echo()
    truth = planted_truth() if not real else None
    mishaps = count_mishaps(session, truth, len(preemptor.preempted)) if truth is not None else ()
    summary = _summary(launched.run, snapshot, coverage, truth, mishaps, worked)
    say.step("clean up the fleet")
    left = _clean_up(say, session)
    if not real:
        say.step("make candles of all timeframes with 2 VMs")
        _make_candles(say, session, request, summary)
        say.step("load the candles into BigQuery")
        _load_candles(say, session, request, summary)
        say.step("ask the lake")
        _ask(say, session, summary)
        left += _clean_up(say, session)
    summary["vms_left"] = left
    summary["seconds"] = round(say.elapsed, 1)
    problems = summary["problems"]
    assert isinstance(problems, list)
    if left:
        problems.append(f"{plural(left, 'VM')} left after cleanup")
    if as_json:
        print_json(summary | {"coverage": coverage_document(coverage)})
    else:
        _show_summary(summary, mishaps, say)
    if real:
        return ExitCode.DONE if not coverage.holes() else ExitCode.PARTIAL
    return ExitCode.DONE if not problems else ExitCode.PARTIAL


def _make_candles(say: _Steps, session: Session, request: Request, summary: dict[str, Any]) -> None:
    """Candles of every committed file of trades, made by VMs; counts go into the summary."""
    wanted = Request(mode=CANDLES, venues=request.venues, data_types=(CANDLES,), start=request.start, end=request.end, shards=2)
    plan = session.planning.plan(wanted)
    say.line(plan_sentence(plan))
    launched = session.launching.launch(plan, report=say.line)
    if launched.failed:
        raise ConfigurationError("; ".join(launched.messages))
    _watch(say, session, launched.run)
    cells = read_candle_cells(session.inventory, DayRange(request.start, request.end), request.venues)
    made = [entry for cell in cells for entry in cell.made.values()]
    lacking = sum(len(cell.sources.keys() - cell.made.keys()) for cell in cells)
    summary["candles"] = {
        "symbol_days": len(made),
        "objects": sum(len(entry.parts) for entry in made),
        "bars": sum(entry.rows for entry in made),
    }
    if lacking:
        summary["problems"].append(f"{lacking:,} symbols and days have trades and no candles")


def _load_candles(say: _Steps, session: Session, request: Request, summary: dict[str, Any]) -> None:
    """All candles in the warehouse of the local cloud, counted there against the manifests; counts go into the summary."""
    assert session.cloud is not None
    warehouse = Warehouse(open_client(project=session.profile.project, endpoint=session.cloud.url("bigquery")), "tickdeck")
    warehouse.find_dataset()
    days = DayRange(request.start, request.end)
    data, state = session.buckets.data, session.buckets.state
    plan = plan_upload(session.inventory, data, warehouse, tables_of("candles", TIMEFRAMES), days)
    prepare(plan, warehouse, read_rules(data).location)
    done = upload(plan, data, state, warehouse)
    rows = sum(result.day.rows for result in done.results if result.became == "loaded")
    summary["loaded"] = {"table_days": done.count("loaded"), "rows": rows}
    say.line(f"{rows:,} rows of {plural(done.count('loaded'), 'day')} of {len(TIMEFRAMES)} tables")
    summary["problems"] += [f"{result.day}: {result.reason}" for result in done.results if result.became == "failed"]
    if rows != summary["candles"]["bars"]:
        summary["problems"].append(f"{rows:,} bars are loaded, {summary['candles']['bars']:,} were made")


def _ask(say: _Steps, session: Session, summary: dict[str, Any]) -> None:
    """One query over candles and ticks together: both must tell of the same trades."""
    sql = "SELECT (SELECT count(*) FROM trades) AS ticks, (SELECT sum(trade_count) FROM candles_24h) AS counted"
    with open_query(session.buckets.data, sql, Constraint(DAYS.start, DAYS.end)) as opened:
        [answer] = opened.run().read_all().to_pylist()
        say.line(f"{answer['ticks']:,} trades in the lake, {answer['counted']:,} in its candles; {opened.considered}, read {opened.read}")
    summary["query"] = {"trades": answer["ticks"], "trades_in_candles": int(answer["counted"])}
    if answer["ticks"] != answer["counted"]:
        summary["problems"].append(f"{answer['ticks']:,} trades in the lake, {answer['counted']:,} in its candles")


def _watch(say: _Steps, session: Session, run: str) -> FleetSnapshot:
    """Look at the fleet until its run is finished; replace what is lost meanwhile."""
    deadline = monotonic() + TIME_LIMIT.total_seconds()
    told = 0.0
    while True:
        snapshot = session.watching.fleet(run)
        view = next(view for view in snapshot.runs if view.run == run)
        if not view.unfinished:
            say.line(snapshot.verdict)
            return snapshot
        if monotonic() > deadline:
            raise SourceError(f"run {run} is not done after {format_seconds(TIME_LIMIT.total_seconds())}: {snapshot.verdict}")
        if done := session.healing.reconcile(run):
            say.line(done)
        if monotonic() - told > 5:
            told = monotonic()
            totals = snapshot.totals
            say.line(f"{totals.files_done}/{totals.files_total} files, {format_bytes(totals.bytes_per_second)}/s; {snapshot.verdict}")
        time.sleep(1.0)


def _clean_up(say: _Steps, session: Session) -> int:
    """Remove what is provably of no use, until no VM is left; a VM that is powering off is waited for."""
    deadline = monotonic() + 60
    while monotonic() < deadline:
        proposal = session.changes.propose_cleanup()
        if proposal.items:
            receipt = session.changes.apply(proposal)
            say.line(receipt.message)
        left = [vm for vm in session.watching.fleet().vms if vm.managed and vm.exists]
        if not left:
            return 0
        time.sleep(0.5)
    return len(left)


def _summary(
    run: str, snapshot: FleetSnapshot, coverage: Coverage, truth: Truth | None, mishaps: tuple[Mishap, ...], worked: float
) -> dict[str, Any]:
    rows = sum(report.rows for report in coverage.reports.values())
    problems = [] if truth is None else disagreements(truth, coverage)
    problems += [f"{mishap.what}: {mishap.struck} times, planted {mishap.planted}" for mishap in mishaps if not mishap.agrees]
    if truth is not None and rows != truth.rows:
        problems.append(f"{rows:,} rows in the lake, {truth.rows:,} at the source")
    view = next(view for view in snapshot.runs if view.run == run)
    return {
        "run": run,
        "days": str(DAYS) if truth is not None else str(coverage.days),
        "vms": sum(len(order.vms) for order in view.orders),
        "files": sum(report.done + report.bad for report in coverage.reports.values()),
        "rows": rows,
        "source_bytes": sum(report.source_bytes for report in coverage.reports.values()),
        "work_seconds": round(worked, 1),
        "cells": {state.value: count for state, count in sorted(coverage.counts.items())},
        "mishaps": {mishap.what: mishap.struck for mishap in mishaps},
        "problems": problems,
    }


def _show_summary(summary: dict[str, Any], mishaps: tuple[Mishap, ...], say: _Steps) -> None:
    click.echo()
    click.echo(
        f"Run {summary['run']}: {summary['files']:,} files, {summary['rows']:,} rows, {format_bytes(summary['source_bytes'])} "
        f"in {format_seconds(summary['work_seconds'])} with {plural(summary['vms'], 'VM')}."
    )
    if mishaps:
        click.echo("Planted and survived: " + ", ".join(f"{mishap.struck} x {mishap.what}" for mishap in mishaps) + ".")
    if "candles" in summary:
        made = summary["candles"]
        loaded = summary["loaded"]
        click.echo(
            f"Candles of {made['symbol_days']:,} symbols and days: {made['objects']:,} objects, {made['bars']:,} bars; "
            f"{loaded['rows']:,} rows loaded into BigQuery."
        )
    for problem in summary["problems"]:
        click.echo(f"× {problem}")
    if not summary["problems"]:
        click.echo("The lake holds what the source has: every cell is in the state that was planted, and no VM is left.")
    with suppress(KeyError):
        say.line(f"done; {summary['vms_left']} VMs left")
