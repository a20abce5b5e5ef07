"""Options and output that several verbs share."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from datetime import date, datetime
from typing import IO, Any

import click

from console.sentences import shortest_number
from console.session import Session, open_session
from engine.candles.timeframes import require_timeframes
from engine.cell_spans import FORMS, CellSpan, cells_of, format_spans, parse_spans, read_cells
from engine.clock import format_moment, parse_deadline, utc_now
from engine.coverage import LOADED
from engine.errors import UsageError
from engine.model import DayRange
from engine.plan import CANDLES, STRATEGIES, Request, for_cells, with_mode
from engine.verbs.options import Day, OneOf, Words, read_retries, retry_options

Function = Callable[..., Any]


def profile_option(function: Function) -> Function:
    """`--profile`."""
    return click.option("--profile", "profile_name", envvar="TICKDECK_PROFILE", default="", help="Profile [the active one].")(function)


def json_option(function: Function) -> Function:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def notify_option(function: Function) -> Function:
    """`--notify`."""
    return click.option(
        "--notify",
        "notify",
        multiple=True,
        metavar="URL",
        help='Also tell this address ({"text": ...}, as Slack takes it) when something happens; several times for several. An '
        "address is as good as a key: the profile's `notify` or TICKDECK_NOTIFY keeps it out of the list of processes.",
    )(function)


def ring() -> None:
    """The bell of the terminal, if somebody sits at one."""
    if sys.stderr.isatty():
        click.echo("\a", nl=False, err=True)


def say_aside(line: str) -> None:
    """A remark beside the answer: on stderr."""
    click.echo(f"-- {line}", err=True)


def layer_option(*names: str) -> Callable[[Function], Function]:
    """`--layer`: what of the lake. Only `raw` and `all` need `--data-types`; `require_data_types` says so."""
    return click.option(
        "--layer",
        type=OneOf(tuple(map(str, names))),
        default="raw",
        show_default=True,
        help="What of the lake: files of the source, candles made of them, or what of these BigQuery holds.",
    )


def require_data_types(data_types: tuple[str, ...] | None, layer: str) -> tuple[str, ...]:
    """The data types of a range.

    Raises:
        click.MissingParameter: if the layer needs them and there are none.
        UsageError: if it has none, and some are named.
    """
    if layer in ("raw", "all"):
        if data_types is None:
            context = click.get_current_context()
            raise click.MissingParameter(ctx=context, param=_parameter(context, "data_types"))
        return data_types
    if data_types and set(data_types) != {layer}:
        raise UsageError(f"the layer {layer} has no data types", hint="leave --data-types out")
    return (layer,)


def _parameter(context: click.Context, name: str) -> click.Parameter:
    return next(each for each in context.command.params if each.name == name)


def range_options(function: Function) -> Function:
    """`--venues`, `--data-types`, the days, `--symbols` and `--universe`."""
    return click.option("--data-types", "--data-type", "data_types", type=Words(), required=True, help="trades,book_snapshot_5,...")(
        scope_options(function)
    )


def scope_options(function: Function) -> Function:
    """`range_options` without data types."""
    for option in (
        click.option("--universe", default="", help="A named symbol list, e.g. tier1."),
        click.option("--symbols", type=Words(), help="Only these dataset symbols [all that are expected]."),
        click.option("--end-date", "--end", "end", type=Day(), help="Last day, inclusive [the first]."),
        click.option("--start-date", "--start", "start", type=Day(), required=True, help="First day, UTC: 2024-05-01, yesterday, 7d."),
        click.option("--venues", "--venue", "venues", type=Words(), required=True, help="Tardis exchange ids."),
    ):
        function = option(function)
    return function


def cells_options(function: Function) -> Function:
    """`range_options`, or instead of a range exactly some cells; they reach the verb as the `spans` that `make_request` takes."""

    @functools.wraps(function)
    def gathered(*, cells: str, cells_from: IO[str] | None, **options: Any) -> int:
        if cells and cells_from is not None:
            raise UsageError("--cells and --cells-from exclude each other", hint="put all cells into the file")
        spans = parse_spans(cells) if cells else read_cells(_read(cells_from), name=cells_from.name) if cells_from is not None else ()
        named = [name for name in ("venues", "data_types", "start", "end") if options[name] is not None]
        if spans and named:
            raise UsageError(f"--{named[0].replace('_', '-')} and cells exclude each other", hint="name the cells, or a range")
        for name in ("venues", "start") if options.get("layer") in (CANDLES, LOADED) else ("venues", "data_types", "start"):
            if not spans and options[name] is None:
                context = click.get_current_context()
                param = _parameter(context, name)
                raise click.MissingParameter(ctx=context, param=param, message="Or name cells with --cells or --cells-from.")
        return int(function(spans=spans, **options))

    for option in (
        click.option("--universe", default="", help="A named symbol list, e.g. tier1."),
        click.option("--symbols", type=Words(), help="Only these dataset symbols [all that are expected]."),
        click.option(
            "--cells-from", type=click.File(encoding="utf-8"), help="Exactly the cells of a file: see tickdeck check --holes; - is stdin."
        ),
        click.option("--cells", default="", help=f"Exactly these cells instead of a range: {FORMS},..."),
        click.option("--end-date", "--end", "end", type=Day(), help="Last day, inclusive [the first]."),
        click.option("--start-date", "--start", "start", type=Day(), help="First day, UTC: 2024-05-01, yesterday, 7d."),
        click.option("--data-types", "--data-type", "data_types", type=Words(), help="trades,book_snapshot_5,..."),
        click.option("--venues", "--venue", "venues", type=Words(), help="Tardis exchange ids."),
    ):
        gathered = option(gathered)
    return gathered


def _read(file: IO[str]) -> str:
    try:
        return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.name} cannot be read: {error}") from error


def fleet_options(function: Function) -> Function:
    """What decides how a request is split and on which machines it is carried out."""
    for option in (
        click.option("--on-demand", is_flag=True, help="VMs that cannot be preempted [spot]."),
        click.option("--machine-type", default="", help="Machine type [the profile's]."),
        click.option("--max-cost", type=click.FloatRange(min=0), default=0.0, help="US dollars that the run may cost [the profile's]."),
        click.option("--deadline", help="Finish by 06:00 (UTC), within 4h, or by 2024-05-02T06:00Z: then the VM count is the answer."),
        click.option("--shards", type=click.IntRange(min=0), default=0, help="How many shards [by the profile]."),
        click.option("--strategy", type=OneOf(STRATEGIES), default="balanced", show_default=True, help="How work is split."),
    ):
        function = option(function)
    return function


def request_options(function: Function) -> Function:
    """What decides how a request is split and carried out, and what of it is asked of the source again."""
    kinds = click.option("--instrument-type", "instrument_types", type=Words(), help="Only these: spot,perpetual,future,option,combo.")
    return retry_options(fleet_options(kinds(function)))


def make_request(
    *,
    venues: tuple[str, ...] | None,
    data_types: tuple[str, ...] | None,
    start: date | None,
    end: date | None,
    symbols: tuple[str, ...] | None,
    universe: str,
    spans: tuple[CellSpan, ...] = (),
    strategy: str = "balanced",
    shards: int = 0,
    deadline: str | None = None,
    machine_type: str = "",
    max_cost: float = 0.0,
    on_demand: bool = False,
    instrument_types: tuple[str, ...] | None = None,
    timeframes: tuple[str, ...] | None = None,
    bucket_by: str = "exchange",
    rebuild: bool = False,
    **retries: Any,
) -> Request:
    """A request out of options: for a range, or for the cells of `spans`. One for the data type `candles` makes candles.

    Raises:
        UsageError: naming the option that cannot be meant.
    """
    if start is None:
        start = min(span.start for span in spans)
    days = DayRange(start, end or start)
    moment: datetime | None = _read_deadline(deadline) if deadline else None
    if moment is not None and shards:
        raise UsageError("--deadline and --shards exclude each other", hint="give the one you know")
    request = Request(
        venues=venues or (),
        data_types=data_types or (),
        start=days.start,
        end=days.end,
        symbols=symbols or (),
        universe=universe,
        instrument_types=instrument_types or (),
        strategy=strategy,  # type: ignore[arg-type]  # click has checked it
        shards=shards,
        deadline=moment,
        machine_type=machine_type,
        provisioning_model="STANDARD" if on_demand else "SPOT",
        max_cost=max_cost,
        timeframes=require_timeframes(timeframes) if timeframes else (),
        bucket_by=bucket_by,
        rebuild=rebuild,
        **(read_retries(**retries) if retries else {}),
    )
    return with_mode(for_cells(request, cells_of(spans)) if spans else request)


def _read_deadline(text: str) -> datetime:
    try:
        return parse_deadline(text, now=utc_now())
    except UsageError as error:
        raise UsageError(f"--deadline: {error}", hint=error.hint) from error


def command_line(request: Request, verb: str = "") -> str:
    """The headless command that does the same; what the Plan screen copies.

    Args:
        verb: `plan`, or [what launches it].
    """
    launch = "repair" if request.cells else "deploy candles" if request.mode == CANDLES else "deploy download"
    words = request_arguments(request)
    if not verb and launch == "deploy candles":
        at = words.index("--data-types")
        del words[at : at + 2]  # it is of nothing else
    return shlex.join(["tickdeck", *(verb or launch).split(), *words])


def request_arguments(request: Request) -> list[str]:
    """A request as the options of `cells_options` and `request_options`, each value in one word after its option."""
    days: list[tuple[str, str]] = [
        ("--venues", ",".join(request.venues)),
        ("--data-types", ",".join(request.data_types)),
        ("--start", request.start.isoformat()),
        ("--end", request.end.isoformat()),
    ]
    options: list[tuple[str, str]] = [
        *([("--cells", format_spans(request.cells))] if request.cells else days),
        ("--symbols", ",".join(request.symbols)),
        ("--universe", request.universe),
        ("--instrument-type", ",".join(request.instrument_types)),
        ("--strategy", request.strategy if request.strategy != "balanced" else ""),
        ("--shards", str(request.shards or "")),
        ("--deadline", format_moment(request.deadline) if request.deadline else ""),
        ("--machine-type", request.machine_type),
        ("--max-cost", shortest_number(request.max_cost) if request.max_cost else ""),
        ("--retry-outcomes", ",".join(request.retry_outcomes)),
        ("--daily-bytes", str(request.daily_bytes or "")),
        ("--max-failures", request.max_failures),
        ("--timeframes", ",".join(request.timeframes)),
        ("--bucket-by", request.bucket_by if request.bucket_by != "exchange" else ""),
    ]
    flags = (
        ("--on-demand", request.provisioning_model != "SPOT"),
        ("--refetch-empty", request.refetch),
        ("--refetch-adopted", request.refetch_adopted),
        ("--rebuild", request.rebuild),
    )
    return [*(word for option in options if option[1] for word in option), *(flag for flag, is_set in flags if is_set)]


def headless_session(profile_name: str = "", *, armed: bool = False) -> Session:
    """A session that says on stderr what it starts, unless it was running already. `armed`: a protected profile may write."""
    session = open_session(profile_name, report=_tell_starting)
    session.armed = armed
    return session


def _tell_starting(step: str, state: str) -> None:
    if step != "local cloud" and state == "running" and sys.stderr.isatty():
        click.echo(f"starting the local cloud: {step}", err=True)
