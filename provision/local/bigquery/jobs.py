"""Jobs: accepted once by name, pending, running, done; kept in the warehouse, and taken up again after a server was killed."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import re
import threading
from pathlib import Path

import duckdb

from provision.local.bigquery.errors import BigQueryError, already_exists, invalid, not_found, not_implemented, refuse_unknown
from provision.local.bigquery.gcs_objects import LocalBucket
from provision.local.bigquery.incidents import Incidents
from provision.local.bigquery.loads import check_load, run_load
from provision.local.bigquery.queries import Queries
from provision.local.bigquery.schemas import Json
from provision.local.bigquery.warehouse import DEFAULT_LOCATION, Warehouse, now_ms, read_name

HOLD_CHECK_SECONDS = 0.02
"""Between two looks whether a job may leave a state that a fault keeps it in."""

_CONFIGURATION_KEYS = frozenset({"load", "query", "labels", "jobType", "dryRun", "jobTimeoutMs"})
_log = logging.getLogger(__name__)


class Jobs:
    """All jobs of a server."""

    def __init__(self, warehouse: Warehouse, bucket: LocalBucket, incidents: Incidents, queries: Queries) -> None:
        self._warehouse, self._bucket, self._incidents, self._queries = warehouse, bucket, incidents, queries
        rows = warehouse.reader().execute("SELECT project, job, body FROM tickdeck.jobs").fetchall()
        self._jobs: dict[tuple[str, str], Json] = {(project, job): json.loads(body) for project, job, body in rows}
        queries.expire(self._jobs)
        self._accepting = threading.Lock()
        self._cancelled: set[tuple[str, str]] = set()
        self._ended: dict[tuple[str, str], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Take up what an earlier server left before its end."""
        for key, job in list(self._jobs.items()):
            if job["status"]["state"] != "DONE":
                self._start(key)

    async def close(self) -> None:
        """Stop looking after jobs: the next server goes on with them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def insert(self, project: str, body: Json) -> Json:
        """jobs.insert.

        Raises:
            BigQueryError: 409 if the name was ever taken; 400 and 501 as for the configuration.
        """
        reference = body.get("jobReference") or {}
        configuration = body.get("configuration") or {}
        refuse_unknown(configuration, _CONFIGURATION_KEYS, "configuration")
        name = str(reference.get("jobId") or f"job_{now_ms()}_{len(self._jobs)}")
        if not re.fullmatch(r"[\w-]{1,1024}", name, re.ASCII):
            raise invalid(f'Invalid job ID "{name}". Job IDs must be alphanumeric (plus underscores and dashes) and at most 1024 long.')
        kinds = [kind for kind in ("load", "query", "copy", "extract") if configuration.get(kind)]
        if len(kinds) != 1:
            raise invalid("Required parameter is missing: one of configuration.load, configuration.query")
        location = self._location(project, configuration, str(reference.get("location") or ""))
        key = (project, name)
        if kinds == ["load"]:
            check_load(configuration["load"])
        else:
            self._queries.check(configuration["query"])
        job: Json = {
            "kind": "bigquery#job",
            "id": f"{project}:{location}.{name}",
            "jobReference": {"projectId": project, "jobId": name, "location": location},
            "configuration": {**configuration, "jobType": kinds[0].upper()},
            "statistics": {"creationTime": now_ms()},
            "status": {"state": "PENDING"},
            "user_email": "local@tickdeck.invalid",
        }
        if configuration.get("dryRun"):
            if kinds == ["load"]:
                raise not_implemented("dry runs of load jobs")
            job["statistics"] |= {"query": self._queries.dry_run(project, configuration["query"])}
            job["status"] = {"state": "DONE"}
            return job
        with self._accepting:
            if key in self._jobs:
                raise already_exists("Job", f"{project}:{location}.{name}")
            self._jobs[key] = job
        with self._warehouse.writing() as cursor:
            cursor.execute("INSERT INTO tickdeck.jobs VALUES (?, ?, ?)", [project, name, json.dumps(job)])
        return job

    def start(self, project: str, name: str) -> None:
        """Let a job that was inserted begin; to be called on the loop."""
        self._start((project, name))

    def get(self, project: str, name: str, location: str = "") -> Json:
        """jobs.get. Outside the multi-regions a job is found only if its location is told, as with the real service.

        Raises:
            BigQueryError: 404.
        """
        job = self._jobs.get((project, name))
        if job is not None:
            place = job["jobReference"]["location"]
            if (location or DEFAULT_LOCATION).lower() == place.lower():
                return copy.deepcopy(job)
        raise not_found("Job", f"{project}:{location + '.' if location else ''}{name}")

    def list(self, project: str, states: tuple[str, ...] = ()) -> list[Json]:
        """jobs.list, newest first."""
        found = [copy.deepcopy(job) for (owner, _), job in self._jobs.items() if owner == project]
        wanted = {state.upper() for state in states}
        shown = [
            {**job, "state": job["status"]["state"], **({"errorResult": e} if (e := job["status"].get("errorResult")) else {})}
            for job in found
            if not wanted or job["status"]["state"] in wanted
        ]
        return sorted(shown, key=lambda job: int(job["statistics"]["creationTime"]), reverse=True)

    def cancel(self, project: str, name: str, location: str = "") -> Json:
        """jobs.cancel: a job that has not ended will, as cancelled, unless its rows are being written already."""
        job = self.get(project, name, location)
        if job["status"]["state"] != "DONE":
            self._cancelled.add((project, name))
        return job

    async def wait(self, project: str, name: str, seconds: float) -> bool:
        """Whether a job has ended within so long."""
        ended = self._ended.get((project, name))
        if ended is None:
            return True
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _location(self, project: str, configuration: Json, asked: str) -> str:
        load = configuration.get("load") or {}
        reference = load.get("destinationTable") or (configuration.get("query") or {}).get("defaultDataset") or {}
        if not reference.get("datasetId"):
            return asked or DEFAULT_LOCATION
        owner, dataset = reference.get("projectId") or project, reference["datasetId"]
        if load:
            read_name(reference)
        place = str(self._warehouse.dataset(owner, dataset)["location"])
        if asked and asked.lower() != place.lower():
            raise not_found("Dataset", f"{owner}:{dataset}", place=asked)
        return place

    def _start(self, key: tuple[str, str]) -> None:
        self._ended[key] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, key: tuple[str, str]) -> None:
        job = self._jobs[key]
        try:
            await self._hold(key, "PENDING")
            job["statistics"]["startTime"] = now_ms()
            job["status"] = {"state": "RUNNING"}
            await asyncio.to_thread(self._save, key)
            await self._hold(key, "RUNNING")
            failure = self._incidents.failure(key[1])
            if failure is not None:
                raise failure
            await asyncio.to_thread(self._work, key)
        except BigQueryError as error:
            await asyncio.to_thread(self._end, key, error)
        except Exception as error:  # noqa: BLE001 - a bug of ours must end the job, and tell
            _log.exception("job %s", key[1])
            await asyncio.to_thread(self._end, key, BigQueryError(500, "internalError", f"An internal error occurred: {error}"))
        finally:
            self._ended.pop(key).set()

    async def _hold(self, key: tuple[str, str], state: str) -> None:
        while self._incidents.holds(key[1], state) and key not in self._cancelled:  # noqa: ASYNC110 - a switch is not an event
            await asyncio.sleep(HOLD_CHECK_SECONDS)
        if key in self._cancelled:
            raise BigQueryError(499, "stopped", "Job execution was cancelled: User requested cancellation")

    def _work(self, key: tuple[str, str]) -> None:
        project, name = key
        job = self._jobs[key]
        configuration = job["configuration"]

        def finish(cursor: duckdb.DuckDBPyConnection, statistics: Json) -> None:
            kind = configuration["jobType"].lower()
            done = {**job, "statistics": {**job["statistics"], "endTime": now_ms(), kind: statistics}, "status": {"state": "DONE"}}
            cursor.execute("UPDATE tickdeck.jobs SET body = ? WHERE project = ? AND job = ?", [json.dumps(done), project, name])
            finished.append(done)

        finished: list[Json] = []
        if "load" in configuration:
            place = Path(self._warehouse.root) / "loading" / f"{project}.{name}"
            lost = self._incidents.lost_rows(name)
            run_load(self._warehouse, self._bucket, configuration["load"], place=place, lost_rows=lost, finish=finish)
        else:
            self._queries.run(project, name, configuration["query"], finish=finish)
        self._jobs[key] = finished[-1]

    def _end(self, key: tuple[str, str], error: BigQueryError) -> None:
        job = self._jobs[key]
        job["statistics"]["endTime"] = now_ms()
        job["status"] = {"state": "DONE", "errorResult": error.to_proto(), "errors": [error.to_proto()]}
        self._save(key)

    def _save(self, key: tuple[str, str]) -> None:
        with self._warehouse.writing() as cursor:
            cursor.execute("UPDATE tickdeck.jobs SET body = ? WHERE project = ? AND job = ?", [json.dumps(self._jobs[key]), *key])
