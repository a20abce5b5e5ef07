"""Words about money: what runs cost beside their estimates, what the live one will come to, and the rows of the Costs screen. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from console.amounts import format_dollars, format_hours, format_share
from console.query import Vocabulary
from console.sentences import plural
from console.widgets.columns import Cell, Column, Gauge, Toned
from console.widgets.figures import UNKNOWN, format_bytes, format_count
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from engine.plan import Price
from provision.budget import Row as BudgetRow
from provision.costs import RunCost, Spending, VmUse
from provision.prices import Figure
from provision.profile import Profile

# The sentence


def costs_sentence(profile: Profile, spending: Spending, warnings: Iterable[str]) -> tuple[list[Phrase], Tone]:
    """What a person would answer to "what does it cost?", and how bad that is."""
    live = [run for run in spending.runs if run.forecast is not None]
    alarms = list(warnings)
    if live:
        phrases, tone = _live_phrases(live[-1])
        if len(live) > 1:
            phrases.append(Phrase(f"; {plural(len(live) - 1, 'other run')} live", Tone.QUIET))
    else:
        phrases, tone = _past_phrases(profile, spending)
    if alarms:
        more = f", and {plural(len(alarms) - 1, 'older warning')}" if len(alarms) > 1 else ""
        phrases.append(Phrase(f"; {alarms[-1]}{more}", Tone.WARN))
        tone = tone if tone is Tone.BAD else Tone.WARN
    return phrases, tone


def _live_phrases(run: RunCost) -> tuple[list[Phrase], Tone]:
    found = run.forecast
    assert found is not None
    if not found.high:
        return [Phrase("Free", Tone.GOOD, strong=True), Phrase(f": run {run.run} works on this machine")], Tone.GOOD
    phrases = [
        Phrase(f"Run {run.run} has spent "),
        Phrase(format_dollars(found.spent), strong=True),
        Phrase(", burns "),
        Phrase(f"{format_dollars(found.per_hour)}/h", strong=True),
        Phrase("; at the finish "),
        Phrase(format_dollars(found.expected), strong=True),
        Phrase(f" ({format_dollars(found.low)} to {format_dollars(found.high)})", Tone.QUIET),
    ]
    if run.expected is not None:
        phrases.append(Phrase(f", estimate {format_dollars(run.expected.dollars)}"))
    if found.passes_limit:
        return [*phrases, Phrase(f"; limit {format_dollars(found.limit)} will be passed", Tone.BAD, strong=True)], Tone.BAD
    if found.may_pass_limit:
        return [*phrases, Phrase(f"; limit {format_dollars(found.limit)} may be passed", Tone.WARN, strong=True)], Tone.WARN
    if found.limit:
        phrases.append(Phrase(f"; limit {format_dollars(found.limit)}", Tone.QUIET))
    if run.expected is not None and found.expected > run.expected.high:
        return phrases, Tone.WARN
    return phrases, Tone.BUSY


def _past_phrases(profile: Profile, spending: Spending) -> tuple[list[Phrase], Tone]:
    if not spending.runs:
        return [Phrase("No run began in the last 30 days")], Tone.QUIET
    newest = spending.runs[-1]
    unpriced = sum(run.actual.dollars is None for run in spending.runs)
    total = sum(run.actual.dollars or 0.0 for run in spending.runs)
    if profile.kind == "local":
        return [
            Phrase("Free", Tone.GOOD, strong=True),
            Phrase(f": {plural(len(spending.runs), 'run')} in 30 days on this machine"),
        ], Tone.GOOD
    phrases = [
        Phrase(format_dollars(total), strong=True),
        Phrase(f" in 30 days, {plural(len(spending.runs), 'run')}"),
        *([Phrase(f", {unpriced} without a price", Tone.WARN)] if unpriced else []),
        Phrase(f"; the newest, {newest.run}, came to "),
        Phrase(format_dollars(newest.actual.dollars), strong=True),
    ]
    if newest.expected is not None and newest.expected.is_priced and newest.expected.dollars:
        change = format_share(newest.actual.dollars, newest.expected.dollars)
        phrases.append(Phrase(f", estimate {format_dollars(newest.expected.dollars)}" + (f" ({change})" if change else "")))
    return phrases, Tone.WARN if unpriced else Tone.GOOD


# Runs


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the table."""

    run: str
    began: datetime
    live: bool
    vms: int
    vm_hours: float
    low: float | None
    expected: float | None
    high: float | None
    actual: float | None
    finish: float | None
    """Forecast of a live one."""
    bytes: int
    files: int
    redone: int | None
    retries: str
    hours_expected: float | None

    @property
    def over(self) -> bool:
        """Costs more than even the high estimate."""
        amount = self.finish if self.live else self.actual
        return bool(self.high) and amount is not None and amount > (self.high or 0.0)


RUN_WORDS = Vocabulary(
    ("run", "state", "began", "vms", "hours", "estimate", "low", "high", "cost", "finish", "change", "files", "bytes", "redone", "retries"),
    ("live", "over", "ended", "unpriced"),
    {"state": ("live", "ended")},
)


def run_rows(spending: Spending) -> list[RunRow]:
    """Newest first."""
    return [_run_row(run) for run in reversed(spending.runs)]


def _run_row(run: RunCost) -> RunRow:
    expected, found = run.expected, run.forecast
    priced = expected is not None and expected.is_priced
    return RunRow(
        run=run.run,
        began=run.began,
        live=run.ended is None,
        vms=len(run.vms),
        vm_hours=run.actual.vm_hours,
        low=expected.low if expected and priced else None,
        expected=expected.dollars if expected and priced else None,
        high=expected.high if expected and priced else None,
        actual=run.actual.dollars,
        finish=found.expected if found else None,
        bytes=run.actual.bytes,
        files=run.actual.files,
        redone=run.redone_bytes,
        retries=", ".join(f"{count} {cause}" for cause, count in sorted(run.retries.items())),
        hours_expected=expected.vm_hours if expected else None,
    )


def run_record(row: RunRow) -> dict[str, object]:
    """A run by field names, for filter and export."""
    change = None if not row.actual or not row.expected else row.actual / row.expected - 1
    conditions = ["live" if row.live else "ended", *(["over"] if row.over else []), *(["unpriced"] if row.actual is None else [])]
    return {
        "run": row.run,
        "state": "live" if row.live else "ended",
        "began": row.began,
        "vms": row.vms,
        "hours": row.vm_hours,
        "estimate": row.expected,
        "low": row.low,
        "high": row.high,
        "cost": row.actual,
        "finish": row.finish,
        "change": None if change is None else round(100 * change, 1),
        "files": row.files,
        "bytes": row.bytes,
        "redone": row.redone,
        "retries": row.retries,
        "is": conditions,
    }


def _money_cell(amount: float | None, known: bool = True) -> Cell:
    return format_dollars(amount) if known and amount is not None else Toned(UNKNOWN, Tone.QUIET)


def _change_cell(row: RunRow) -> Cell:
    amount = row.finish if row.live else row.actual
    text = format_share(amount, row.expected or 0.0)
    return Toned(text, Tone.BAD if row.over else Tone.QUIET) if text else Toned(UNKNOWN, Tone.QUIET)


def _range_cell(row: RunRow) -> Cell:
    if row.low is None or row.high is None:
        return Toned(UNKNOWN, Tone.QUIET)
    return Toned("free" if not row.high else f"{format_dollars(row.low)}–{format_dollars(row.high)}", Tone.QUIET)


RUN_COLUMNS: tuple[Column[RunRow], ...] = (
    Column("Run", lambda row: row.run, 12, 18, 22, rank=0),
    Column("State", lambda row: Toned("▶ live", Tone.BUSY) if row.live else Toned("✓ ended", Tone.GOOD), 7, rank=1),
    Column("Began (UTC)", lambda row: f"{row.began:%m-%d %H:%M}", 11, 12, rank=6),
    Column("Estimate", lambda row: _money_cell(row.expected), 9, rank=3, right=True),
    Column("Low–high", _range_cell, 13, 17, rank=7),
    Column("So far", lambda row: _money_cell(row.actual) if row.actual is not None else Toned("unknown", Tone.WARN), 9, rank=2, right=True),
    Column("Finish", lambda row: _money_cell(row.finish, row.live), 9, rank=4, right=True),
    Column("Differs", _change_cell, 7, rank=5, right=True),
    Column("VMs", lambda row: format_count(row.vms), 4, rank=8, right=True),
    Column("VM-hours", lambda row: format_hours(row.vm_hours), 9, rank=9, right=True),
    Column("Files", lambda row: format_count(row.files), 8, rank=10, right=True),
    Column("Source", lambda row: format_bytes(row.bytes), 8, rank=11, right=True),
    Column(
        "Redone", lambda row: format_bytes(row.redone) if row.redone is not None else Toned(UNKNOWN, Tone.QUIET), 8, rank=12, right=True
    ),
    Column("Retries", lambda row: Toned(row.retries or UNKNOWN, Tone.QUIET), 12, 24, 60, rank=13),
)


# Days


@dataclass(frozen=True, slots=True)
class DayRow:
    """What all VMs of a UTC day cost."""

    day: str
    dollars: float
    share: float
    """Of the dearest day shown."""
    over: bool
    """Above the profile's warning level."""


DAY_WORDS = Vocabulary(("day", "cost"), ("over",))


def day_rows(profile: Profile, spending: Spending) -> list[DayRow]:
    """Newest first."""
    most = max(spending.by_day.values(), default=0.0) or 1.0
    warn = profile.warn_cost_day
    return [DayRow(day, amount, amount / most, 0 < warn < amount) for day, amount in sorted(spending.by_day.items(), reverse=True)]


def day_record(row: DayRow) -> dict[str, object]:
    """A day by field names."""
    return {"day": row.day, "cost": row.dollars, "is": ["over"] if row.over else []}


DAY_COLUMNS: tuple[Column[DayRow], ...] = (
    Column("Day (UTC)", lambda row: row.day, 10, rank=0),
    Column("VMs", lambda row: Toned(format_dollars(row.dollars), Tone.WARN if row.over else Tone.PLAIN), 10, rank=1, right=True),
    Column("", lambda row: Gauge(row.share, ""), 10, 40, 80, rank=2),
    Column("", lambda row: Toned("above the profile's warning" if row.over else "", Tone.WARN), 27, rank=3),
)


# One run


@dataclass(frozen=True, slots=True)
class BillRow:
    """A line of what a run came to, beside the same line of the estimate."""

    item: str
    amount: float
    source: str
    dated: str
    note: str = ""


def bill_rows(run: RunCost, storage: Price | None) -> list[BillRow]:
    """Machines, storage operations, egress through NAT: each apart; and what keeping the result adds to every month."""
    rows = [BillRow(line.item, line.expected, line.source, line.dated) for line in run.actual.lines]
    if storage is not None:
        rows.append(BillRow(storage.item, storage.expected, storage.source, storage.dated, "not in the sum"))
    return rows


BILL_COLUMNS: tuple[Column[BillRow], ...] = (
    Column("What", lambda row: row.item, 24, 46, 60, rank=0),
    Column("Dollars", lambda row: format_dollars(row.amount), 9, rank=1, right=True),
    Column("", lambda row: Toned(row.note, Tone.QUIET), 0, 15, rank=4),
    Column("Price from", lambda row: Toned(row.source, Tone.QUIET), 10, 30, 60, rank=3),
    Column("Dated", lambda row: Toned(row.dated, Tone.QUIET), 10, rank=2),
)

VM_WORDS = Vocabulary(("vm", "machine", "model", "began", "ended", "hours", "known_by", "cost"), ("running", "unpriced", "guessed"))


def vm_record(use: VmUse) -> dict[str, object]:
    """A VM's use by field names."""
    conditions = [*(["running"] if use.running else []), *(["unpriced"] if use.dollars is None else [])]
    return {
        "vm": use.vm,
        "machine": use.machine_type,
        "model": use.model.lower(),
        "began": use.began,
        "ended": None if use.running else use.ended,
        "hours": use.hours,
        "known_by": use.known_by,
        "cost": use.dollars,
        "is": [*conditions, *(["guessed"] if use.known_by == "limit" else [])],
    }


VM_COLUMNS: tuple[Column[VmUse], ...] = (
    Column("VM", lambda use: use.vm, 16, 34, 44, rank=0, keep_end=True),
    Column("Cost", lambda use: _money_cell(use.dollars) if use.dollars is not None else Toned("unknown", Tone.WARN), 9, rank=1, right=True),
    Column("Hours", lambda use: format_hours(use.hours), 8, rank=2, right=True),
    Column("From (UTC)", lambda use: f"{use.began:%m-%d %H:%M:%S}", 14, rank=4),
    Column("Until (UTC)", lambda use: Toned("still runs", Tone.BUSY) if use.running else f"{use.ended:%m-%d %H:%M:%S}", 14, rank=3),
    Column("Machine", lambda use: Toned(f"{use.machine_type} {use.model.lower()}", Tone.QUIET), 16, 22, rank=5),
    Column("Known by", lambda use: Toned(use.known_by, Tone.WARN if use.known_by == "limit" else Tone.QUIET), 9, rank=6),
)


# The old budget, and prices


@dataclass(frozen=True, slots=True)
class JobRow:
    """A line of the standing job's budget, in one of its three views."""

    view: str
    row: BudgetRow

    @property
    def key(self) -> str:
        """Unique."""
        return f"{self.view} {self.row.item}"


JOB_WORDS = Vocabulary(("view", "item", "old", "ours", "low", "high", "source"), (), {"view": ("backfill", "daily", "yearly")})


def job_record(each: JobRow) -> dict[str, object]:
    """A line by field names."""
    row = each.row
    figures = {"old": row.old, "ours": row.ours, "low": row.low, "high": row.high}
    return {"view": each.view, "item": row.item.strip(), **figures, "unit": row.unit, "source": row.source}


def job_figure(row: BudgetRow, amount: float | None) -> str:
    """An amount in the line's unit."""
    if amount is None:
        return ""
    if row.unit == "$":
        return format_dollars(amount)
    return f"{amount:,.1f}" if row.unit == "hours" else f"{amount:,.0f}"


JOB_COLUMNS: tuple[Column[JobRow], ...] = (
    Column("Job", lambda each: Toned(each.view, Tone.QUIET), 8, rank=0),
    Column("", lambda each: each.row.item, 20, 44, 60, rank=1),
    Column("Old budget", lambda each: job_figure(each.row, each.row.old), 10, rank=3, right=True),
    Column("Ours", lambda each: job_figure(each.row, each.row.ours) or Toned("unknown", Tone.WARN), 10, rank=2, right=True),
    Column("Low", lambda each: Toned(job_figure(each.row, each.row.low), Tone.QUIET), 9, rank=4, right=True),
    Column("High", lambda each: Toned(job_figure(each.row, each.row.high), Tone.QUIET), 9, rank=5, right=True),
    Column("Price from", lambda each: Toned(each.row.source, Tone.QUIET), 20, 40, 60, rank=6),
)

PRICE_WORDS = Vocabulary(("region", "item", "dollars", "unit", "source", "dated"))


def price_record(figure: Figure) -> dict[str, object]:
    """A price by field names."""
    return {
        "region": figure.region,
        "item": figure.item,
        "dollars": figure.dollars,
        "unit": figure.unit,
        "source": figure.source,
        "dated": figure.dated,
    }


PRICE_COLUMNS: tuple[Column[Figure], ...] = (
    Column("What", lambda figure: figure.item, 20, 30, 40, rank=0),
    Column("Dollars", lambda figure: f"{figure.dollars:g}", 10, rank=1, right=True),
    Column("Per", lambda figure: figure.unit, 8, 18, rank=2),
    Column("Region", lambda figure: figure.region, 10, 16, rank=3),
    Column("Dated", lambda figure: figure.dated, 10, rank=4),
    Column("Source", lambda figure: Toned(figure.source, Tone.QUIET), 12, 50, 90, rank=5),
)
