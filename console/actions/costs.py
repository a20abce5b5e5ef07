"""What can be done in Costs."""

from __future__ import annotations

from typing import Final

from console.actions.action import Action, HelpRow
from console.modes import Mode

_HERE: Final = (Mode.COSTS,)

ACTIONS: Final = (
    Action("open_run_cost", "enter", "Bill", "What a run's money went to: lines, VMs, days, forecast", modes=_HERE),
    Action("what_if", "w", "What if", "Other fleets for its plan: more VMs, another machine type, spot or standard", modes=_HERE),
    Action("costs_view", "v", "View", "Runs, days, the standing job (backfill, daily, yearly), the price table", modes=_HERE),
)

WIDGET_KEYS: Final[tuple[HelpRow, ...]] = ()
