"""`tickdeck repair`: the plan that fills the holes of a range, and its launch."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from console.repair_request import load_arguments, loadable
from console.sentences import plural
from console.session import Session
from console.verbs.deploy_job import show_job
from console.verbs.launching import Launching, launch_options, launch_plan
from console.verbs.options import (
    cells_options,
    headless_session,
    json_option,
    layer_option,
    make_request,
    profile_option,
    request_options,
    require_data_types,
)
from console.verbs.plan import show_plan
from engine.candles.timeframes import require_timeframes
from engine.cell_spans import cells_of
from engine.coverage import LOADED, Layer
from engine.errors import ExitCode, UsageError
from engine.model import DayRange
from engine.plan import CANDLES, Request
from engine.verbs.options import candle_options
from engine.verbs.printing import print_json, say_not_ready


@click.command("repair")
@cells_options
@layer_option(*Layer)
@request_options
@candle_options
@launch_options
@profile_option
@json_option
def repair_command(*, profile_name: str, launching: Launching, as_json: bool, layer: str, **options: Any) -> int:
    """Plan and launch what is missing, failed or partial in a range, or of exactly some cells.

    What is committed is never fetched again. `tickdeck check --holes` prints cells that --cells-from reads. Candles are repaired
    with --layer candles, or where cells name them; those that are stale only with --rebuild. --layer loaded lets one VM load what
    BigQuery lacks, or holds as it was before.
    """
    if not options["spans"]:
        options["data_types"] = require_data_types(options["data_types"], layer)
    session = headless_session(profile_name, armed=launching.armed)
    if options["data_types"] == (LOADED,) or any(span.data_type == LOADED for span in options["spans"]):
        return _load(session, launching, options, as_json=as_json)
    request = make_request(**options)
    if not as_json:
        click.echo(_sentence(session, request))
    plan = session.planning.plan(request)
    if not plan.shards:
        if as_json:
            print_json({"plan": plan.id, "run": None, "warnings": plan.warnings})
        else:
            show_plan(plan)
        if plan.not_ready:
            say_not_ready(plan, program="tickdeck")
        return ExitCode.TEMPORARY if plan.not_ready else ExitCode.DONE
    return launch_plan(session, plan, launching, as_json=as_json)


def _load(session: Session, launching: Launching, options: dict[str, Any], *, as_json: bool) -> int:
    """Load what lacks in BigQuery, by one VM: whole days, and of them only what has changed."""
    timeframes = require_timeframes(options["timeframes"]) if options["timeframes"] else ()
    cells = frozenset(cells_of(options["spans"]))
    if any(cell.data_type != LOADED for cell in cells):
        raise UsageError("what is loaded and what is in the lake are two repairs", hint=f"name cells of {LOADED} alone, or leave them out")
    if not cells:
        days = DayRange(options["start"], options["end"] or options["start"])
        coverage = session.coverage.check(days, options["venues"], (), layer=Layer.LOADED, timeframes=timeframes)
        if not as_json:
            click.echo(coverage.sentence())
        cells = loadable(coverage)
    if not cells:
        if as_json:
            print_json({"plan": None, "run": None, "warnings": ["nothing to do: what can be loaded is"]})
        return ExitCode.DONE
    model = "STANDARD" if options["on_demand"] else session.profile.provisioning_model
    job = ("upload-bigquery", *load_arguments(cells, timeframes))
    plan = session.planning.plan_job(job, machine_type=options["machine_type"], model=model, max_cost=options["max_cost"])
    return launch_plan(session, plan, launching, as_json=as_json, show=show_job)


def _sentence(session: Session, request: Request) -> str:
    """How complete the range is; for exactly some cells only how many they are."""
    if request.cells:
        return f"repair of {plural(len(cells_of(request.cells)), 'cell')}"
    days = DayRange(request.start, request.end)
    ask = partial(session.coverage.check, days, request.venues, request.data_types, symbols=request.symbols, universe=request.universe)
    return (ask(layer=Layer.CANDLES, timeframes=request.timeframes) if request.mode == CANDLES else ask()).sentence()
