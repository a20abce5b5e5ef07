"""Ways into the logs of a VM, and from a line back to its VM and to the day it is about."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from console.log_scope import Scope
from console.modes import Mode
from console.widgets.logline import LogLine

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.screens.coverage import CoverageScreen
    from console.screens.fleet import FleetScreen
    from console.screens.logs import LogsScreen


def show_logs_of(console: ConsoleApp, run: str, vm: str, *, gone: bool, at: datetime | None = None) -> None:
    """Switch to Logs, narrowed to one VM.

    Args:
        run: Empty for a VM that is not ours.
        gone: Nothing runs on it any more.
        at: The moment it is about, UTC; None: the end.
    """
    console.show_mode(Mode.LOGS)
    cast("LogsScreen", console.screen_stack[0]).set_scope(Scope(run, vm, gone, chosen=True, at=at))


def show_vm_of(console: ConsoleApp, line: LogLine | None) -> str:
    """Switch to Fleet, to the VM that said a line; returns why not, or nothing."""
    if line is None or not line.vm:
        return "no VM said this line"
    console.show_mode(Mode.FLEET)
    cast("FleetScreen", console.screen_stack[0]).go_to_vm(str(line.fields.get("instance") or line.vm))
    return ""


def show_cell_of(console: ConsoleApp, line: LogLine | None) -> str:
    """Switch to Coverage, to the cell that a line is about; returns why not, or nothing."""
    from engine.clock import parse_day
    from engine.errors import UsageError
    from engine.model import Cell

    fields = {} if line is None else line.fields
    venue, data_type, day = (str(fields.get(name, "")) for name in ("venue", "data_type", "day"))
    if not (venue and data_type and day):
        return "this line names no day, venue and type"
    try:
        cell = Cell(parse_day(day, today=console.clock().date()), data_type, venue)
    except UsageError as error:
        return str(error)
    console.show_mode(Mode.COVERAGE)
    cast("CoverageScreen", console.screen_stack[0]).go_to_cell(cell)
    return ""
