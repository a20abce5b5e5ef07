"""The budget document of the system before, computed again with our model: the backfill, the daily job, a year of both.

It guessed on paper; this uses the standing job's size, the speed of a VM and the price table, so that the two can stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.estimate import MB, Rates, Speed, class_a_operations, cost_lines, storage_growth
from engine.plan import Price

View = Literal["backfill", "daily", "yearly"]
VIEWS: tuple[View, ...] = ("backfill", "daily", "yearly")

SOURCE_BYTES_A_DAY = 12_000 * MB
"""Compressed source bytes of the standing job (fleet simulation, 2026-11)."""

FILES_A_DAY = 859
"""445,000 files over 518 days."""

CELLS_A_DAY = 27
"""Of its 8 venues x 5 types, those that exist."""

BACKFILL_DAYS = 518
"""2023-05-23 to 2024-10-22 as the document counted it, without the last day."""

DAYS_A_YEAR = 365

OLD_VMS = 100
OLD_HOURS = 12.0
"""Of each of them."""
OLD_BACKFILL_DOLLARS = 367.0
OLD_DAILY_DOLLARS = 1.22


@dataclass(frozen=True, slots=True)
class Job:
    """What our model says of a job of so many days."""

    days: int
    vms: int
    hours: float
    """Of each VM, boot included; the work is spread evenly."""
    lines: tuple[Price, ...]
    """Empty: no price is known."""
    storage: Price | None
    """What its result adds to every month after."""

    @property
    def vm_hours(self) -> float:
        """Of all VMs."""
        return self.vms * self.hours

    @property
    def cost(self) -> tuple[float, float, float]:
        """Low, expected and high in US dollars."""
        return sum(line.low for line in self.lines), sum(line.expected for line in self.lines), sum(line.high for line in self.lines)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a view: the document's figure beside ours."""

    item: str
    old: float | None
    """None: the document does not speak of it."""
    ours: float | None
    """None: no price is known."""
    low: float | None = None
    high: float | None = None
    unit: Literal["$", "", "hours"] = "$"
    source: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the document's."""
        return None if self.old is None or self.ours is None else self.ours - self.old


def size_job(days: int, vms: int, speed: Speed, rates: Rates) -> Job:
    """The standing job over so many days on so many VMs."""
    size, files = days * SOURCE_BYTES_A_DAY, days * FILES_A_DAY
    work = (size / speed.bytes_per_second + files * speed.seconds_per_file) / speed.converters
    hours = (work / vms + speed.boot_seconds) / 3600
    operations = class_a_operations(files=files, manifests=days * CELLS_A_DAY, shards=vms, vm_hours=vms * hours)
    lines = cost_lines(rates, vm_hours=vms * hours, class_a=operations, source_bytes=size, hours=hours)
    return Job(days, vms, hours, lines, storage_growth(rates, size))


def compare(view: View, speed: Speed, rates: Rates) -> tuple[Row, ...]:
    """The rows of a view."""
    if view == "backfill":
        return _rows(size_job(BACKFILL_DAYS, OLD_VMS, speed, rates), OLD_BACKFILL_DOLLARS, OLD_VMS * OLD_HOURS)
    daily = size_job(1, 1, speed, rates)
    return _rows(daily, OLD_DAILY_DOLLARS, None) if view == "daily" else _year(daily, rates)


def _rows(job: Job, old: float, old_vm_hours: float | None) -> tuple[Row, ...]:
    low, expected, high = job.cost
    known = bool(job.lines)
    rows = [
        Row("VMs", float(OLD_VMS) if old_vm_hours else None, float(job.vms), unit=""),
        Row("VM-hours", old_vm_hours, job.vm_hours, unit="hours"),
        Row("the run", old, expected if known else None, low if known else None, high if known else None),
        *(Row(f"  {line.item}", None, line.expected, line.low, line.high, source=_source(line)) for line in job.lines),
    ]
    if job.storage is not None:
        rows.append(_month(job.storage))
    return tuple(rows)


def _year(daily: Job, rates: Rates) -> tuple[Row, ...]:
    low, expected, high = (amount * DAYS_A_YEAR for amount in daily.cost)
    known = bool(daily.lines)
    old = OLD_DAILY_DOLLARS * DAYS_A_YEAR
    rows = [
        Row("daily jobs", None, float(DAYS_A_YEAR), unit=""),
        Row("VM-hours", None, daily.vm_hours * DAYS_A_YEAR, unit="hours"),
        Row("running them", old, expected if known else None, low if known else None, high if known else None),
    ]
    storage = storage_growth(rates, DAYS_A_YEAR * SOURCE_BYTES_A_DAY)
    if storage is not None:
        # Grows evenly from nothing: over the year half of what the last month costs, twelve times.
        over = "keeping what they bring, over the year"
        rows.append(Row(over, None, 6 * storage.expected, 6 * storage.low, 6 * storage.high, source=_source(storage)))
        rows.append(_month(storage))
    return tuple(rows)


def _month(storage: Price) -> Row:
    return Row(f"then: {storage.item}", None, storage.expected, storage.low, storage.high, source=_source(storage))


def _source(line: Price) -> str:
    return f"{line.source}, {line.dated}"
