"""A recorded session with money spent, an audit trail and checks, for the screens Costs, Audit and Doctor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from engine.doctor.checkup import Check, examine
from engine.doctor.finding import Finding, bad, good, warn
from engine.documents import encode
from engine.errors import ExitCode, StoreError
from engine.paths import audit_object
from engine.plan import Price
from provision.audit import INTENT, RECEIPT, AuditItem, AuditRecord
from provision.costs import Actual, Expected, RunCost, Spending, VmUse, spent_by_day
from provision.forecast import Forecast
from tests.console import recorded_fleet as recorded
from tests.console.fleet_session import FleetSession
from tests.provision.made_up_fleet import gcp_profile

NOW = recorded.NOW
PLAN = "9a31c07e52d1"
BILL = (
    Price(item="100 VMs with disks and addresses, 53.5 hours", low=11.4, expected=11.4, high=11.4, source="SkyPilot", dated="2026-11-20"),
    Price(item="storage operations, 482,616", low=2.41, expected=2.41, high=2.41, source="Google's list price", dated="2026-11-23"),
)  # fmt: skip


def use(number: int, hours: float, *, running: bool = False, known_by: str = "operation", dollars: float | None = 0.15) -> VmUse:
    ended = NOW if running else NOW - timedelta(hours=1)
    name = f"market-data-shard-{recorded.RUN}-{number}"
    return VmUse(name, "e2-highmem-8", "SPOT", ended - timedelta(hours=hours), ended, running, known_by, dollars)


def cost(run: str, days_ago: int, dollars: float | None, expected: float, **changes: Any) -> RunCost:
    began = NOW - timedelta(days=days_ago, hours=2)
    return RunCost(
        run=run,
        plan=PLAN,
        began=began,
        ended=began + timedelta(hours=1),
        expected=Expected(0.9 * expected, expected, 1.3 * expected, 40.0, 60.0, 31_000_000_000, 859, True),
        actual=Actual(dollars, 41.3, 63.0, BILL, 30_200_000_000, 859, 31_400_000_000),
        vms=(replace(use(0, 1.0), began=began, ended=began + timedelta(hours=1), dollars=dollars),),
        retries={"preempted": 2, "source 429": 14},
        redone_bytes=1_200_000_000,
        **changes,
    )


def spending(*, live: bool = True, limit: float = 30.0) -> Spending:
    past = [cost("r1aa41kz02", 9, 13.11, 13.81), cost("r1ab77tq9c", 3, 21.4, 14.2), cost("r1ac03ym1d", 1, None, 1.22)]
    if not live:
        return Spending(tuple(past), spent_by_day(use for run in past for use in run.vms))
    found = Forecast(8.02, 3.1, 0.61, 12.6, 13.4, 16.9, NOW + timedelta(hours=1, minutes=20), limit, 0.0)
    now = replace(
        cost(recorded.RUN, 0, 8.02, 12.9),
        began=NOW - timedelta(hours=2),
        ended=None,
        vms=tuple(use(number, 2.0, running=number > 1, known_by="limit" if number == 1 else "instance") for number in range(6)),
        redone_bytes=None,
        forecast=found,
    )
    runs = (*past, now)
    return Spending(runs, spent_by_day(use for run in runs for use in run.vms), ("nobody saw 1 VM end",))


def trail() -> Iterator[AuditRecord]:
    """Eight changes; one has no receipt, one failed in part, one is under way."""

    def record(number: int, verb: str, ago: timedelta, names: Iterable[str], **changes: Any) -> AuditRecord:
        items = tuple(AuditItem(kind="vm", name=name, place="europe-west1-b", id="771", why="asked for by name") for name in names)
        about = {"who": "maria@example.com", "host": "desk-7", "profile": "prod", "project": "acme-ticks", "run": recorded.RUN} | changes
        return AuditRecord(id=f"{number:016x}", phase=INTENT, when=NOW - ago, verb=verb, items=items, **about)

    def receipt(intent: AuditRecord, *, failed: int = 0, message: str = "") -> AuditRecord:
        items = tuple(
            structs_replace(item, ok=number >= failed, message="deleted" if number >= failed else "quota", serial_tail="[ 61.2] done\n")
            for number, item in enumerate(intent.items)
        )
        return structs_replace(intent, phase=RECEIPT, when=intent.when + timedelta(seconds=4), items=items, message=message)

    vms = [f"market-data-shard-{recorded.RUN}-{number}" for number in range(5)]
    launch = record(1, "launch", timedelta(hours=2), vms, plan=PLAN, reason="launch")
    lost = record(2, "delete", timedelta(minutes=95), vms[:2], who="jun@example.com", host="desk-2")
    replaced = record(3, "replace", timedelta(minutes=80), vms[2:3], reason="preempted")
    partly = record(4, "cleanup", timedelta(minutes=50), vms[:3], run="")
    drained = record(5, "drain", timedelta(days=2), (), run="r1ab77tq9c")
    doing = record(6, "abort", timedelta(seconds=40), vms, who="jun@example.com")
    yield from (launch, receipt(launch, message="5 of 5 VMs"), lost, replaced, receipt(replaced, message="1 of 1 VMs"))
    yield from (partly, receipt(partly, failed=1, message="2 of 3 deleted"), drained, receipt(drained, message="asked to drain"), doing)


def structs_replace(record: Any, **changes: Any) -> Any:
    from msgspec import structs

    return structs.replace(record, **changes)


@dataclass(frozen=True)
class Info:
    name: str


class TrailStore:
    """A state bucket that holds an audit trail."""

    def __init__(self, records: Iterable[AuditRecord]) -> None:
        self.objects = {audit_object(record.when, record.id): encode(record) for record in records}
        self.fetched: list[str] = []
        self.down = ""

    def list(self, prefix: str, *, start: str = "", end: str = "") -> Iterator[Info]:
        if self.down:
            raise StoreError(self.down)
        return iter([Info(name) for name in sorted(self.objects) if name.startswith(prefix) and start <= name < (end or "~")])

    def list_folders(self, _prefix: str) -> Iterator[str]:
        return iter(())

    def get(self, name: str) -> Any:
        self.fetched.append(name)
        return SimpleNamespace(data=self.objects[name]) if name in self.objects else None


def findings() -> list[Finding]:
    return [
        good("credentials", "operator@acme-ticks.iam.gserviceaccount.com"),
        good("APIs", "6 of 6 enabled"),
        bad("quota", "40 of 100 VMs fit in europe-west1: CPUS_ALL_REGIONS is the first to run out",
            "ask for more: `gcloud alpha quotas preferences create --service=compute.googleapis.com`", ExitCode.CONFIGURATION),
        good("two buckets", "data market-data-tick, state market-data-tick-state"),
        warn("data bucket rules", "objects older than 365 days are deleted",
             "gcloud storage buckets update gs://market-data-tick --clear-lifecycle"),
        good("memory", "25.3 GB, nothing starts above 50 %"),
    ]  # fmt: skip


class OfficeSession(FleetSession):
    """What was spent, changed and found."""

    def __init__(self, *, live: bool = True, limit: float = 30.0) -> None:
        super().__init__(recorded.troubled())
        self.profile = replace(gcp_profile(), name="prod", warn_cost_day=10.0)
        self.spent: Spending | Exception = spending(live=live, limit=limit)
        self.store = TrailStore(trail())
        self.buckets = SimpleNamespace(state=self.store, data=self.store)
        self.found = findings()

    def spending(self, *_runs: Any, since: Any = None) -> Spending:
        if isinstance(self.spent, Exception):
            raise self.spent
        return self.spent

    def names(self, others: Iterable[Check] = ()) -> list[str]:
        return [check.name for check in self._checks(others)]

    def examine(self, others: Iterable[Check] = ()) -> Iterator[Finding]:
        self.calls.append(("examine",))
        return examine(self._checks(others))

    def _checks(self, others: Iterable[Check]) -> tuple[Check, ...]:
        return (*(Check(each.check, lambda each=each: [each]) for each in self.found), *(_calm(check) for check in others))  # type: ignore[misc]


def _calm(check: Check) -> Check:
    """A check of this terminal says the same on every machine."""
    return Check(check.name, lambda: [good(check.name, "fine")])
