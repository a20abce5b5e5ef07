"""Plans side by side in words: what one does that another does not, and what other fleets would make of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.field_names import MODELS
from console.sentences import money
from console.widgets.figures import format_bytes, format_duration, plural
from engine.plan import STRATEGIES, PlanSummary, Strategy

if TYPE_CHECKING:
    from engine.plan_diff import CellChange, PlanDiff
    from provision.what_if import Alternative


def diff_sentence(diff: PlanDiff) -> str:
    """`+24 files, 1.20 GB, 3 cells; -2 files, 10 MB; 310 files in both`."""
    parts = []
    for sign, files, size, cells in (
        ("+", diff.files_added, diff.bytes_added, diff.cells_added),
        ("-", diff.files_removed, diff.bytes_removed, diff.cells_removed),
    ):
        if files:
            whole = f", {plural(cells, 'cell')}" if cells else ""
            parts.append(f"{sign}{plural(files, 'file')}, {format_bytes(size)}{whole}")
    return "; ".join([*(parts or ["the same files"]), f"{plural(diff.files_kept, 'file')} in both"])


def diff_figures(diff: PlanDiff) -> list[str]:
    """What changes beside the files: VMs, end, cost, estimates; only what does."""
    lines = []
    if diff.shards[0] != diff.shards[1]:
        lines.append(f"VMs {diff.shards[0]:,} -> {diff.shards[1]:,}")
    before, after = diff.makespan_seconds
    if format_duration(before) != format_duration(after):
        lines.append(f"takes {format_duration(before)} -> {format_duration(after)}")
    old, new = ("unknown" if cost is None else money(cost) for cost in diff.cost)
    if old != new:
        lines.append(f"cost {old} -> {new}")
    if abs(diff.bytes_reestimated) >= 1_000_000:
        sign = "+" if diff.bytes_reestimated > 0 else "-"
        lines.append(f"estimates of files in both {sign}{format_bytes(abs(diff.bytes_reestimated))}")
    lines += [f"{name.replace('_', ' ')} {_said(name, old)} -> {_said(name, new)}" for name, old, new in diff.request]
    return lines


def _said(name: str, value: str) -> str:
    """A value of a request as people write it."""
    if name == "provisioning_model":
        return {model: word for word, model in MODELS.items()}.get(value, value)
    if name == "daily_bytes" and value:
        return format_bytes(int(value))
    return (f"${value}" if name == "max_cost" and value else value) or "none"


def change_words(change: CellChange) -> str:
    """What becomes of one cell: `+6 files, 40.1 MB`, with `new` or `gone` if the other plan has nothing of it."""
    parts = []
    if change.files_added:
        parts.append(f"+{plural(change.files_added, 'file')}, {format_bytes(change.bytes_added)}")
    if change.files_removed:
        parts.append(f"-{plural(change.files_removed, 'file')}, {format_bytes(change.bytes_removed)}")
    return "; ".join(parts) + (" (new)" if change.is_new else " (gone)" if change.is_gone else "")


def scope_words(summary: PlanSummary) -> str:
    """What a kept plan was asked for, in a few words: `binance, deribit · trades · tier1`."""
    if summary.mode != "download":
        return f"engine {summary.scope}"
    return " · ".join(filter(None, (_few(summary.venues), _few(summary.data_types), summary.scope)))


def days_words(summary: PlanSummary) -> str:
    """`2024-05-01` or `2024-05-01..2024-05-03`."""
    return f"{summary.start}" if summary.start == summary.end else f"{summary.start}..{summary.end}"


def cost_words(cost: Sequence[float] | None) -> str:
    """The expected cost, or that nobody knows."""
    return "unknown" if cost is None else "free" if cost[2] == 0 else money(cost[1])


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:2]) + (f" +{len(words) - 2}" if len(words) > 2 else "")


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One number of VMs, with what each strategy makes of it."""

    vms: int
    by_strategy: tuple[tuple[Strategy, Alternative], ...]
    is_plan: bool = False
    """The number that the plan has."""

    def of(self, strategy: str) -> Alternative | None:
        """The alternative of one strategy; None where it has not been tried yet."""
        return dict(self.by_strategy).get(strategy)  # type: ignore[call-overload, no-any-return]


def side_by_side(found: Sequence[Alternative], sizes: Sequence[int]) -> list[FleetRow]:
    """Alternatives as rows, one a number of VMs, smallest first.

    Args:
        found: the plan's own first, then all sizes of each strategy in turn, as `provision.what_if` tries them.
        sizes: what was asked for: fewer VMs may have something to do.
    """
    own = next((one for one in found if one.is_plan), None)
    tried: dict[int, dict[Strategy, Alternative]] = {size: {} for size in sizes}
    for strategy in STRATEGIES:
        mine = [one for one in found if one.strategy == strategy and not one.is_plan]
        for size, one in zip(sizes, mine, strict=False):
            tried[size][strategy] = one
    return [FleetRow(size, tuple(row.items()), own is not None and size == own.vms) for size, row in sorted(tried.items())]
