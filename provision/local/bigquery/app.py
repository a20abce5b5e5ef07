"""The application: every route of the server, what answers for the routes it does not have, and the record of what was asked."""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from provision.local.bigquery.errors import BigQueryError, invalid, not_implemented, refuse_unknown
from provision.local.bigquery.gcs_objects import LocalBucket
from provision.local.bigquery.incidents import Incidents
from provision.local.bigquery.jobs import Jobs
from provision.local.bigquery.queries import Queries, page_of, require_done
from provision.local.bigquery.schemas import Json, read_schema
from provision.local.bigquery.streaming import insert_all
from provision.local.bigquery.warehouse import TableName, Warehouse, quoted, read_name
from provision.local.faults import add_fault_routes
from provision.local.serving import add_health

REQUESTS_PATH = "/_tickdeck/requests"
"""GET answers the last `KEPT_REQUESTS` requests, oldest first: method and path of each."""

KEPT_REQUESTS = 1000
PAGE_ROWS = 10_000
"""Rows of a page where the client does not say."""

QUERY_WAIT_SECONDS = 10.0
"""How long a query is waited for where the client does not say (REST reference, `timeoutMs`)."""

_OURS = "/_tickdeck/"
_PROJECT = "/bigquery/v2/projects/{project}"
_QUERY_KEYS = frozenset({"query", "useLegacySql", "parameterMode", "queryParameters", "defaultDataset", "useQueryCache"})
_CALL_KEYS = frozenset(
    {"kind", "maxResults", "timeoutMs", "dryRun", "location", "formatOptions", "requestId", "labels", "jobCreationMode", "jobTimeoutMs"}
)


def create_app(root: Path, *, nonce: str, storage_ready: Path) -> web.Application:
    """The BigQuery server as an application.

    Args:
        root: the folder of its state.
        nonce: repeated by the health route.
        storage_ready: the ready file of the storage server, which load jobs read.

    Raises:
        RootInUseError: if another server has the folder.
    """
    incidents = Incidents()
    warehouse = Warehouse(root)
    bucket = LocalBucket(storage_ready)
    queries = Queries(warehouse, bucket)
    jobs = Jobs(warehouse, bucket, incidents, queries)
    asked: deque[Json] = deque(maxlen=KEPT_REQUESTS)
    app = web.Application(middlewares=[_answer_for(incidents, asked)], client_max_size=64 << 20)

    async def life(_app: web.Application) -> AsyncIterator[None]:
        jobs.resume()
        yield
        await jobs.close()
        warehouse.close()

    async def show_requests(_request: web.Request) -> web.Response:
        return web.json_response({"requests": list(asked)})

    app.cleanup_ctx.append(life)
    add_health(app, service="bigquery", nonce=nonce)
    add_fault_routes(app, incidents)
    app.router.add_get(REQUESTS_PATH, show_requests)
    _add_datasets(app, warehouse)
    _add_tables(app, warehouse)
    _add_jobs(app, jobs)
    _add_queries(app, jobs, queries)
    return app


def _answer_for(incidents: Incidents, asked: deque[Json]) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Write the request down, refuse what a fault switch says, turn errors into Google's JSON, name the routes that are missing."""
        if request.path.startswith(_OURS):
            return await handler(request)
        asked.append({"method": request.method, "path": request.path})
        try:
            refusal = incidents.refusal(request.method, request.path)
            if refusal is not None:
                raise refusal
            response = await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            error = not_implemented(f"{request.method} {request.path}")
            response = web.json_response(error.to_json(), status=error.status)
        except BigQueryError as refused:
            response = web.json_response(refused.to_json(), status=refused.status)
        if incidents.loses_reply(request.method, request.path):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return response

    return answer


async def _body(request: web.Request) -> Json:
    data = await request.read()
    if request.headers.get("Content-Encoding") == "gzip" and data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    try:
        body = msgspec.json.decode(data or b"{}")
    except msgspec.DecodeError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received. An object is required.")
    return body


def _page(request: web.Request, default: int = 1000) -> tuple[int, int]:
    """Where a page begins and how many items it has at most."""
    try:
        start = int(request.query.get("pageToken") or request.query.get("startIndex") or 0)
        limit = int(request.query.get("maxResults", default))
    except ValueError as error:
        raise invalid(f"Invalid value for maxResults, startIndex or pageToken: {error}") from None
    if start < 0 or limit < 0:
        raise invalid("Invalid value for maxResults or pageToken")
    return start, min(limit, 100_000)


def _paged(items: list[Json], request: web.Request, kind: str, key: str) -> web.Response:
    start, limit = _page(request)
    answer: Json = {"kind": kind, key: items[start : start + limit], "totalItems": len(items)}
    if start + limit < len(items):
        answer["nextPageToken"] = str(start + limit)
    return web.json_response(answer)


def _add_datasets(app: web.Application, warehouse: Warehouse) -> None:
    async def insert(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(warehouse.insert_dataset, request.match_info["project"], await _body(request)))

    async def get(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(warehouse.dataset, request.match_info["project"], request.match_info["dataset"]))

    async def listing(request: web.Request) -> web.Response:
        found = await asyncio.to_thread(warehouse.datasets, request.match_info["project"])
        return _paged(found, request, "bigquery#datasetList", "datasets")

    async def patch(request: web.Request) -> web.Response:
        place = request.match_info["project"], request.match_info["dataset"]
        return web.json_response(await asyncio.to_thread(warehouse.patch_dataset, *place, await _body(request)))

    async def delete(request: web.Request) -> web.Response:
        whole = request.query.get("deleteContents", "false").lower() == "true"
        place = request.match_info["project"], request.match_info["dataset"]
        await asyncio.to_thread(warehouse.delete_dataset, *place, with_contents=whole)
        return web.Response(status=204)

    app.router.add_post(f"{_PROJECT}/datasets", insert)
    app.router.add_get(f"{_PROJECT}/datasets", listing)
    app.router.add_get(f"{_PROJECT}/datasets/{{dataset}}", get)
    app.router.add_patch(f"{_PROJECT}/datasets/{{dataset}}", patch)
    app.router.add_delete(f"{_PROJECT}/datasets/{{dataset}}", delete)


def _table(request: web.Request) -> TableName:
    place = request.match_info
    return read_name({"projectId": place["project"], "datasetId": place["dataset"], "tableId": place["table"]})


def _add_tables(app: web.Application, warehouse: Warehouse) -> None:
    async def insert(request: web.Request) -> web.Response:
        place = request.match_info["project"], request.match_info["dataset"]
        return web.json_response(await asyncio.to_thread(warehouse.insert_table, *place, await _body(request)))

    async def get(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(warehouse.table, _table(request)))

    async def listing(request: web.Request) -> web.Response:
        found = await asyncio.to_thread(warehouse.tables, request.match_info["project"], request.match_info["dataset"])
        shown = [{key: value for key, value in each.items() if key != "schema"} for each in found]
        return _paged(shown, request, "bigquery#tableList", "tables")

    async def patch(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(warehouse.patch_table, _table(request), await _body(request)))

    async def delete(request: web.Request) -> web.Response:
        await asyncio.to_thread(warehouse.delete_table, _table(request))
        return web.Response(status=204)

    async def stream(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(insert_all, warehouse, _table(request), await _body(request)))

    async def rows(request: web.Request) -> web.Response:
        start, limit = _page(request, PAGE_ROWS)
        whole = request.query.get("formatOptions.useInt64Timestamp", "false").lower() == "true"
        columns = request.query.get("selectedFields", "")
        return web.json_response(await asyncio.to_thread(_rows_of, warehouse, _table(request), start, limit, columns, whole))

    tables = f"{_PROJECT}/datasets/{{dataset}}/tables"
    app.router.add_post(tables, insert)
    app.router.add_get(tables, listing)
    app.router.add_get(f"{tables}/{{table}}", get)
    app.router.add_patch(f"{tables}/{{table}}", patch)
    app.router.add_delete(f"{tables}/{{table}}", delete)
    app.router.add_post(f"{tables}/{{table}}/insertAll", stream)
    app.router.add_get(f"{tables}/{{table}}/data", rows)


def _rows_of(warehouse: Warehouse, name: TableName, start: int, limit: int, columns: str, whole_times: bool) -> Json:
    resource = warehouse.require(name)
    if resource["type"] != "TABLE":
        raise invalid(f"Cannot list a table of type {resource['type']}.")
    total, _ = warehouse.figures(name, resource)
    known = [field.name for field in read_schema(resource["schema"])]
    wanted = columns.split(",") if columns else known
    for column in wanted:
        if column not in known:
            raise invalid(f"Selected field {column} does not exist.")
    where = f" WHERE {warehouse.inside(name, resource)}" if name.partition else ""
    sql = f"SELECT {', '.join(map(quoted, wanted))} FROM {name.sql}{where}"
    found = page_of(warehouse.reader(), sql, start=start, limit=limit, whole_times=whole_times) if total and limit else []
    answer: Json = {"kind": "bigquery#tableDataList", "totalRows": str(total), "rows": found}
    if start + len(found) < total and limit:
        answer["pageToken"] = str(start + len(found))
    return answer


def _add_jobs(app: web.Application, jobs: Jobs) -> None:
    async def insert(request: web.Request) -> web.Response:
        project = request.match_info["project"]
        job = await asyncio.to_thread(jobs.insert, project, await _body(request))
        if job["status"]["state"] != "DONE":
            jobs.start(project, job["jobReference"]["jobId"])
        return web.json_response(job)

    async def get(request: web.Request) -> web.Response:
        place = request.match_info["project"], request.match_info["job"]
        return web.json_response(jobs.get(*place, request.query.get("location", "")))

    async def listing(request: web.Request) -> web.Response:
        states = tuple(request.query.getall("stateFilter", []))
        return _paged(jobs.list(request.match_info["project"], states), request, "bigquery#jobList", "jobs")

    async def cancel(request: web.Request) -> web.Response:
        place = request.match_info["project"], request.match_info["job"]
        job = jobs.cancel(*place, request.query.get("location", ""))
        return web.json_response({"kind": "bigquery#jobCancelResponse", "job": job})

    app.router.add_post(f"{_PROJECT}/jobs", insert)
    app.router.add_get(f"{_PROJECT}/jobs", listing)
    app.router.add_get(f"{_PROJECT}/jobs/{{job}}", get)
    app.router.add_post(f"{_PROJECT}/jobs/{{job}}/cancel", cancel)


def _add_queries(app: web.Application, jobs: Jobs, queries: Queries) -> None:
    async def query(request: web.Request) -> web.Response:
        project, body = request.match_info["project"], await _body(request)
        refuse_unknown(body, _QUERY_KEYS | _CALL_KEYS, "jobs.query")
        configuration: Json = {"query": {key: body[key] for key in _QUERY_KEYS if key in body}}
        configuration |= {key: body[key] for key in ("dryRun", "labels") if body.get(key)}
        # A request that comes again after its answer was lost is the same job.
        reference = {"jobId": f"job_{body['requestId']}"} if body.get("requestId") else {}
        if body.get("location"):
            reference["location"] = body["location"]
        try:
            job = await asyncio.to_thread(jobs.insert, project, {"jobReference": reference, "configuration": configuration})
        except BigQueryError as error:
            if error.reason != "duplicate":
                raise
            job = jobs.get(project, reference["jobId"], reference.get("location", ""))
        else:
            if body.get("dryRun"):
                figures = job["statistics"]["query"]
                return web.json_response({"kind": "bigquery#queryResponse", "jobComplete": True, **figures})
            jobs.start(project, job["jobReference"]["jobId"])
        seconds = float(body.get("timeoutMs") or QUERY_WAIT_SECONDS * 1000) / 1000
        options = body.get("formatOptions") or {}
        limit = int(body.get("maxResults") or PAGE_ROWS)
        whole = bool(options.get("useInt64Timestamp"))
        return web.json_response(await _results(jobs, queries, job["jobReference"], seconds, 0, limit, whole))

    async def results(request: web.Request) -> web.Response:
        start, limit = _page(request, PAGE_ROWS)
        seconds = float(request.query.get("timeoutMs") or QUERY_WAIT_SECONDS * 1000) / 1000
        whole = request.query.get("formatOptions.useInt64Timestamp", "false").lower() == "true"
        job = jobs.get(request.match_info["project"], request.match_info["job"], request.query.get("location", ""))
        return web.json_response(await _results(jobs, queries, job["jobReference"], seconds, start, limit, whole))

    app.router.add_post(f"{_PROJECT}/queries", query)
    app.router.add_get(f"{_PROJECT}/queries/{{job}}", results)


async def _results(jobs: Jobs, queries: Queries, reference: Json, seconds: float, start: int, limit: int, whole_times: bool) -> Json:
    project, name, location = reference["projectId"], reference["jobId"], reference["location"]
    answer: Json = {"kind": "bigquery#queryResponse", "jobReference": reference, "location": location}
    if not await jobs.wait(project, name, seconds):
        return {**answer, "jobComplete": False}
    job = jobs.get(project, name, location)
    require_done(job)
    figures: dict[str, Any] = job["statistics"].get("query") or {}
    answer |= {"jobComplete": True, "cacheHit": False, "totalBytesProcessed": figures.get("totalBytesProcessed", "0")}
    if "numDmlAffectedRows" in figures:
        return {**answer, "numDmlAffectedRows": figures["numDmlAffectedRows"], "schema": {"fields": []}, "totalRows": "0"}
    if "schema" not in figures:
        raise invalid("Job is not a query job")
    rows, total = await asyncio.to_thread(queries.rows, project, name, start=start, limit=limit, whole_times=whole_times)
    answer |= {"schema": figures["schema"], "rows": rows, "totalRows": str(total)}
    if start + len(rows) < total:
        answer["pageToken"] = str(start + len(rows))
    return answer
