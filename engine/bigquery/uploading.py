"""Putting days of the lake into tables: what is there already stays, what changed is replaced, each day as a whole.

The name of a load job follows from what it loads. So a request that is repeated after its answer was lost, or by another process, finds the
job that was sent before; a day that is loaded twice is loaded once. A number at the end of the name tells a new try from one that
failed, or whose rows somebody deleted since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from engine.bigquery.contents import Contents, TableDay, read_contents
from engine.bigquery.loads import LoadSummary, load_of, newest_loads, write_load
from engine.bigquery.tables import LakeTable
from engine.bigquery.warehouse import Job, LoadFailed, Partitions, Warehouse
from engine.errors import ExitCode
from engine.inventory import Inventory
from engine.model import DayRange
from engine.store import Store

AT_ONCE = 8
"""Load jobs that are waited for at once."""

LOADS_A_DAY = 1_500
"""Load jobs that BigQuery allows for one table on one UTC day ("Quotas and limits", load jobs)."""

TRIES = 3
"""How often a job that failed by no fault of its own is sent anew, in one call."""

PASSING = frozenset({"backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded", "jobRateLimitExceeded"})
"""Reasons of a failed job that another try may cure ("Error messages")."""

Became = Literal["loaded", "held", "failed", "left"]
"""loaded: now. held: loaded before, and nothing has changed. left: for another day, BigQuery's limit of load jobs."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one table on one day."""

    day: TableDay
    became: Became
    job: str = ""
    reason: str = ""
    """Why it failed."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be loaded, worked out before anything is changed."""

    contents: Contents
    todo: tuple[TableDay, ...]
    held: tuple[TableDay, ...]
    """Loaded before: BigQuery has as many rows, and the lake's objects are the same."""
    left: tuple[TableDay, ...]
    """More than BigQuery lets into a table in a day."""
    partitions: Partitions
    records: Mapping[tuple[str, date], LoadSummary]
    """What was recorded of the loads before, by table and day."""


@dataclass(slots=True)
class Outcome:
    """What became of all."""

    results: list[Result] = field(default_factory=list)

    def count(self, became: Became) -> int:
        """How many days of tables."""
        return sum(result.became == became for result in self.results)

    @property
    def exit_code(self) -> ExitCode:
        """Of the verb."""
        if self.count("failed"):
            return ExitCode.PARTIAL
        return ExitCode.TEMPORARY if self.count("left") else ExitCode.DONE


def plan_upload(
    inventory: Inventory, data: Store, warehouse: Warehouse, tables: Collection[LakeTable], days: DayRange, *, venues: Collection[str] = ()
) -> Upload:
    """Compare what the lake has with what BigQuery and the records of loads say. Changes nothing.

    Args:
        inventory: the state bucket.
        data: the data bucket.
        warehouse: the dataset; `find_dataset` was called.
        tables: which tables.
        days: which UTC days.
        venues: only these, and those that a day's partition holds already; empty: all.
    """
    records = newest_loads(inventory.state, days, warehouse.dataset)
    partitions = warehouse.partitions() if warehouse.location else Partitions({}, None)
    kept = {key: record.venues or () for key, record in records.items() if partitions.rows.get(key)}
    contents = read_contents(inventory, data, tables, days, venues=venues, kept=kept)
    todo: dict[str, list[TableDay]] = {}
    held = []
    for day in contents.days:
        key = (day.table.name, day.day)
        record = records.get(key)
        if day.table.external or record is None or record.content != day.content or partitions.rows.get(key, 0) != day.rows:
            todo.setdefault(day.table.name, []).append(day)
        else:
            held.append(day)
    return Upload(
        contents,
        tuple(day for found in todo.values() for day in found[:LOADS_A_DAY]),
        tuple(held),
        tuple(day for found in todo.values() for day in found[LOADS_A_DAY:]),
        partitions,
        records,
    )


def prepare(plan: Upload, warehouse: Warehouse, location: str) -> dict[str, list[str]]:
    """Make the dataset and the tables of an upload, where they are not there; columns that are new are added.

    Args:
        plan: from `plan_upload`.
        warehouse: the dataset; `find_dataset` was called.
        location: where a new dataset is made: where the bucket is.

    Returns:
        The columns that were added, by table.
    """
    if not warehouse.location:
        warehouse.create_dataset(location)
    by_table: dict[LakeTable, list[str]] = {}
    for day in plan.todo:
        by_table.setdefault(day.table, []).extend(day.folder_uris if day.table.external else ())
    added = {table.name: list(warehouse.prepare_table(table, uris)) for table, uris in by_table.items()}
    return {name: columns for name, columns in added.items() if columns}


def upload(
    plan: Upload, data: Store, state: Store, warehouse: Warehouse, *, on_day: Callable[[Result], None] = lambda _result: None
) -> Outcome:
    """Load what is to be loaded, several days at a time. The tables are there.

    Args:
        plan: from `plan_upload`.
        data: the data bucket: objects are compared with their manifests before they are loaded.
        state: the state bucket: every load that was counted is recorded.
        warehouse: the dataset.
        on_day: hears of each day as it ends.

    Raises:
        EngineError: if the work had to end early; what was loaded is recorded.
    """
    outcome = Outcome([*(Result(day, "held") for day in plan.held), *(Result(day, "left") for day in plan.left)])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for result in _in_turn(pool, plan.todo, lambda day: _load_day(day, plan, data, state, warehouse)):
                outcome.results.append(result)
                on_day(result)
        except BaseException:
            warehouse.stopping.set()
            raise
    return outcome


def _in_turn(pool: ThreadPoolExecutor, days: Sequence[TableDay], work: Callable[[TableDay], Result]) -> Iterator[Result]:
    """Results as they come; never more begun than are worked on, so that an error ends it soon."""
    waiting = iter(days)
    running: set[Future[Result]] = set()
    while True:
        while len(running) < AT_ONCE and (day := next(waiting, None)) is not None:
            running.add(pool.submit(work, day))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _load_day(day: TableDay, plan: Upload, data: Store, state: Store, warehouse: Warehouse) -> Result:
    strange = _compare(day, data)
    if strange:
        return Result(day, "failed", reason=strange, hint="see: engine validate; candles: engine candles --rebuild")
    try:
        job = _settle(day, plan, warehouse)
    except LoadFailed as error:
        return Result(day, "failed", reason=str(error), hint=error.hint)
    if job.rows != day.rows:
        reason = f"BigQuery counts {job.rows:,} rows, manifests {day.rows:,}"
        return Result(day, "failed", job.id, reason, "run again: the day is loaded anew")
    assert job.ended is not None
    load = load_of(day, project=warehouse.project, location=warehouse.location, dataset=warehouse.dataset, job=job.id, loaded=job.ended)
    write_load(state, load)
    return Result(day, "loaded", job.id)


def _compare(day: TableDay, data: Store) -> str:
    """What is wrong with the objects, before BigQuery reads them; empty if they are those of the manifests."""
    for venue in day.venues:
        there = {info.name: info for info in data.list(day.folder(venue))}
        for each in day.objects:
            if each.venue != venue:
                continue
            info = there.get(each.name)
            if info is None:
                return f"gs://{day.bucket}/{each.name} is not there any more"
            if (info.generation, info.crc32c) != (each.generation, each.crc32c):
                return f"gs://{day.bucket}/{each.name} is not the object that its manifest records"
    return ""


def job_name(dataset: str, day: TableDay, number: int) -> str:
    """The name of a day's load job: it follows from what is loaded, and from the number of the try."""
    return f"tickdeck-{dataset}-{day.table.name}-{day.day:%Y%m%d}-{day.content}-{number}"


def _settle(day: TableDay, plan: Upload, warehouse: Warehouse) -> Job:
    """The job that has put this content into the partition: sent now, or before by somebody else.

    Raises:
        LoadFailed: with BigQuery's words.
    """
    number, failed = 0, 0
    while True:
        number += 1
        name = job_name(warehouse.dataset, day, number)
        sent = warehouse.start_load(day.table, day.day, day.uris, job=name)
        before = None if sent is not None else warehouse.find_job(name)
        if before is not None and _is_past(before, plan, warehouse) and (before.error or not _stands(day, before, plan)):
            continue  # it failed, or its rows were replaced or deleted since: this content needs another name
        job = warehouse.wait_for(sent or before or warehouse.find_job(name))
        if not job.error:
            return job
        failed += 1
        if job.reason not in PASSING or failed >= TRIES:
            raise LoadFailed(job.error, reason=job.reason, hint=_step(job.reason))


def _is_past(job: Job, plan: Upload, warehouse: Warehouse) -> bool:
    """Whether a job had ended when the partitions were looked at, or before there was this dataset; all by BigQuery's clock."""
    seen = plan.partitions.seen or warehouse.created
    return job.ended is not None and seen is not None and job.ended <= seen


def _stands(day: TableDay, job: Job, plan: Upload) -> bool:
    """Whether what an earlier job loaded may still be what the partition holds."""
    key = (day.table.name, day.day)
    record = plan.records.get(key)
    is_newest = record is None or (job.ended is not None and record.loaded <= job.ended)
    return is_newest and plan.partitions.rows.get(key) == day.rows


def _step(reason: str) -> str:
    if reason == "notFound":
        return "see that the dataset lies where the bucket does, and that its account may read the bucket"
    return "run again later" if reason in PASSING or reason == "quotaExceeded" else "see the job in BigQuery"
