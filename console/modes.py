"""The modes of the console: which there are, the digit of each, and where its first screen is.

A new mode is one row here, its actions in `console.actions`, and its screen. Screens are imported when they are first shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any, Final

from textual.screen import Screen


class Mode(StrEnum):
    """A screen stack of the console."""

    PLAN = "plan"
    FLEET = "fleet"
    LOGS = "logs"
    COVERAGE = "coverage"
    COSTS = "costs"
    AUDIT = "audit"
    DOCTOR = "doctor"


@dataclass(frozen=True, slots=True)
class ModeRow:
    """What is known of a mode before its screen is imported."""

    key: str
    """Digits always switch modes, in every mode."""
    label: str
    help: str
    """For `?` and the palette: what one goes there for."""
    screen: str
    """Where the screen is: `module:Class`."""

    def make_screen(self) -> Screen[Any]:
        """The mode's first screen, new."""
        module, _, name = self.screen.partition(":")
        screen: Screen[Any] = getattr(import_module(module), name)()
        return screen


MODES: Final[dict[Mode, ModeRow]] = {
    Mode.PLAN: ModeRow("1", "Plan", "Say what to download; see files, hours and cost; launch", "console.screens.plan:PlanScreen"),
    Mode.FLEET: ModeRow("2", "Fleet", "Watch the VMs, worst first", "console.screens.fleet:FleetScreen"),
    Mode.LOGS: ModeRow("3", "Logs", "Errors by cause, then the live tail", "console.screens.logs:LogsScreen"),
    Mode.COVERAGE: ModeRow(
        "4", "Coverage", "Which days of the lake are complete; find and repair holes", "console.screens.coverage:CoverageScreen"
    ),
    Mode.COSTS: ModeRow("5", "Costs", "What was spent, what burns, what it will come to", "console.screens.costs:CostsScreen"),
    Mode.AUDIT: ModeRow("6", "Audit", "Who changed what, and how it ended; unfinished changes first", "console.screens.audit:AuditScreen"),
    Mode.DOCTOR: ModeRow("7", "Doctor", "What is wrong here, what it means, and how to mend it", "console.screens.doctor:DoctorScreen"),
}


def mode_screens() -> dict[str, str | Callable[[], Screen[Any]]]:
    """For `App.MODES`."""
    return {mode.value: row.make_screen for mode, row in MODES.items()}


def is_mode(name: str) -> bool:
    """Whether Textual's current mode is one of ours: at the start it is none."""
    return name in set(Mode)
