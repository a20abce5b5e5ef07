"""The stand-in's routes: the vendor's API host and datasets host on one port, and our own control routes beside them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from provision.local.faults import Fault, add_fault_routes
from provision.local.serving import add_health
from provision.local.tardis import catalogue, feeds
from provision.local.tardis.access import key_state, refusal
from provision.local.tardis.cache import FileCache
from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.datafile import DataFile, GenerationStopped
from provision.local.tardis.delivery import Body, deliver, json_error
from provision.local.tardis.genuine import GenuineFolder
from provision.local.tardis.listings import Listings
from provision.local.tardis.packing import EMPTY_GZIP
from provision.local.tardis.request_log import Entry, RequestLog
from provision.local.tardis.scenario import Scenario
from provision.local.tardis.strikes import KEY_FAULTS, OPEN_FAULTS, REPLACING_FAULTS, SourceFaults, armed_faults
from provision.local.tardis.truth import ScenarioFile, find_trap, is_denied, scenario_files

SERVICE = "tardis"
REQUESTS_PATH = "/_tickdeck/requests"
FILES_PATH = "/_tickdeck/files"

_JSON = "application/json; charset=utf-8"
_GZIP = "application/gzip"
_DATE = re.compile(r"\d{4}/\d{2}/\d{2}")
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>\n"


@dataclass(frozen=True, slots=True)
class Source:
    """All that the routes answer from."""

    scenario: Scenario
    listings: Listings
    cache: FileCache
    cache_folder: Path
    genuine: GenuineFolder | None
    faults: SourceFaults
    log: RequestLog
    api_key: str | None


def create_app(
    root: Path,
    *,
    nonce: str,
    scenario: Scenario,
    api_key: str | None = None,
    folder: Path | None = None,
    pregenerate: bool = False,
) -> web.Application:
    """The stand-in as an app that listens nowhere yet.

    Args:
        root: folder of the request log and of the generated files; created if missing.
        nonce: told by the health route.
        scenario: what to play.
        api_key: the one key that is accepted; None asks for no key at all.
        folder: genuine files to serve in place of generated ones.
        pregenerate: make the scenario's files in the background from the start, largest first.

    Raises:
        FaultError: if a fault of the scenario cannot be armed.
    """
    root.mkdir(parents=True, exist_ok=True)
    listings = Listings(scenario)
    genuine = GenuineFolder.scan(folder) if folder is not None else None
    if genuine is not None:
        genuine.list_in(listings)
    source = Source(
        scenario=scenario,
        listings=listings,
        cache=FileCache(root / "cache"),
        cache_folder=root / "cache",
        genuine=genuine,
        faults=armed_faults(scenario),
        log=RequestLog(root / "requests.jsonl"),
        api_key=api_key,
    )
    app = web.Application()
    add_health(app, service=SERVICE, nonce=nonce)
    add_fault_routes(app, source.faults)
    app.router.add_get(REQUESTS_PATH, partial(_requests, source))
    app.router.add_get(FILES_PATH, partial(_files, source))
    app.router.add_get("/v1/exchanges", _api(source, _exchanges))
    app.router.add_get("/v1/exchanges/{venue}", _api(source, _exchange))
    app.router.add_get("/v1/instruments/{venue}", _api(source, _instruments))
    app.router.add_get("/v1/instruments/{venue}/{symbol}", _api(source, _instruments))
    app.router.add_get("/v1/api-key-info", _api(source, _key_info))
    app.router.add_get("/v1/data-feeds/{venue}", partial(_feed, source))
    app.router.add_get("/v1/{path:.+}", partial(_dataset, source))
    app.cleanup_ctx.append(partial(_lifetime, source, pregenerate))
    return app


async def _lifetime(source: Source, pregenerate: bool, _app: web.Application) -> AsyncIterator[None]:
    source.log.open()
    warming = asyncio.create_task(_pregenerate(source)) if pregenerate else None
    yield
    if warming is not None:
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
    await asyncio.to_thread(source.cache.close)
    source.log.close()


async def _pregenerate(source: Source) -> None:
    """One file at a time, so that a request always finds a free generator."""
    files = [_data_file(source, file) for file in _all_files(source) if file.expect != "not_ready"]
    for file in sorted(files, key=DataFile.rows, reverse=True):
        if file.rows() and (file.trap is None or not _answers_for_itself(file.trap.kind)):
            await source.cache.get(file)


def _all_files(source: Source) -> list[ScenarioFile]:
    span = (source.scenario.last_day - source.scenario.first_day).days + 1
    return scenario_files(source.scenario, [source.scenario.first_day + timedelta(days=n) for n in range(span)])


def _data_file(source: Source, file: ScenarioFile) -> DataFile:
    listed = source.listings.venue(file.venue)[file.symbol]
    trap = find_trap(source.scenario, file.venue, file.data_type, file.day, file.symbol)
    return DataFile(source.listings, listed, file.data_type, file.day, trap)


async def _requests(source: Source, request: web.Request) -> web.Response:
    return web.json_response(await asyncio.to_thread(source.log.read, request.query.get("path", "")))


async def _files(source: Source, _request: web.Request) -> web.Response:
    rows = [{**asdict(file), "day": file.day.isoformat()} for file in _all_files(source)]
    return web.json_response(rows)


def _take_fault(source: Source, request: web.Request, target: str = "") -> Fault | None:
    method, target = request.method, target or unquote(request.path)
    if source.api_key is None or "Authorization" in request.headers:
        fault = source.faults.take(*KEY_FAULTS, method=method, target=target)
        if fault is not None:
            return fault
    return source.faults.take(*OPEN_FAULTS, method=method, target=target)


def _entry(request: web.Request) -> Entry:
    headers = request.headers
    keyed = bool(headers.get("Authorization", "").removeprefix("Bearer").strip())
    return Entry(request.method, request.path, headers.get("Range"), headers.get("User-Agent"), keyed)


Answer = Callable[[Source, web.Request], Body]


def _api(source: Source, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await deliver(request, answer(source, request), _take_fault(source, request), _entry(request))

    return handle


def _json_body(content: Any) -> Body:
    return Body(json.dumps(content).encode(), _JSON)


def _exchanges(source: Source, _request: web.Request) -> Body:
    return _json_body(catalogue.exchanges(source.listings))


def _exchange(source: Source, request: web.Request) -> Body:
    venue = request.match_info["venue"]
    found = catalogue.exchange(source.listings, venue)
    return _unknown_exchange(venue) if found is None else _json_body(found)


def _unknown_exchange(venue: str) -> Body:
    return json_error(404, f"Exchange '{venue}' is unknown")


def _instruments(source: Source, request: web.Request) -> Body:
    if key_state(request.headers, source.api_key) != "good":
        return json_error(401, "The instruments API needs an API key of a Pro or Business plan")
    venue, symbol = request.match_info["venue"], request.match_info.get("symbol")
    found = catalogue.instruments(source.listings, venue)
    if found is None:
        return _unknown_exchange(venue)
    if symbol is not None:
        one = next((entry for entry in found if symbol in (entry["id"], entry["datasetId"])), None)
        return json_error(404, f"Instrument '{symbol}' is unknown") if one is None else _json_body(one)
    try:
        wanted = json.loads(request.query.get("filter", "{}"))
    except json.JSONDecodeError as error:
        return json_error(400, f"'filter' is not JSON: {error}")
    if not isinstance(wanted, dict):
        return json_error(400, "'filter' must be a JSON object")
    return _json_body([entry for entry in found if catalogue.matches_filter(entry, wanted)])


def _key_info(source: Source, request: web.Request) -> Body:
    """The true shape is not known to us: one row for each exchange, with the dates that the key opens."""
    if key_state(request.headers, source.api_key) != "good":
        return json_error(401, "Invalid API key")
    scenario = source.scenario
    return _json_body(
        [
            {
                "exchange": venue.id,
                "accessType": "full-access",
                "from": catalogue.instant_text(listed_from),
                "to": "2099-01-01T00:00:00.000Z",
                "symbols": [],
                "dataPlan": "pro",
            }
            for venue in source.listings.venues()
            if not all(is_denied(scenario, venue.id, data_type, date(2024, 1, 2)) for data_type in COLUMNS)
            for listed_from in [min(listed.since for listed in source.listings.venue(venue.id).values())]
        ]
    )


async def _feed(source: Source, request: web.Request) -> web.StreamResponse:
    """One slice of raw messages. Logged and struck by faults with its query, which says the minute."""
    entry = replace(_entry(request), path=request.path_qs)
    try:
        fault = _take_fault(source, request, unquote(request.path_qs))
        venue, now = request.match_info["venue"], datetime.now(UTC)
        body = await asyncio.to_thread(feeds.answer, source.listings, venue, request.query, request.headers, source.api_key, now)
        return await deliver(request, body, fault, entry, pace=source.scenario.bytes_per_second)
    finally:
        source.log.add(entry)


async def _dataset(source: Source, request: web.Request) -> web.StreamResponse:
    entry = _entry(request)
    try:
        fault = _take_fault(source, request)
        needs_file = fault is None or fault.name not in REPLACING_FAULTS
        body = await _dataset_body(source, request) if needs_file else json_error(500, "replaced by a fault")
        return await deliver(request, body, fault, entry, pace=source.scenario.bytes_per_second)
    except GenerationStopped:
        return await deliver(request, json_error(503, "shutting down"), None, entry)
    finally:
        source.log.add(entry)


async def _dataset_body(source: Source, request: web.Request) -> Body:
    parts = request.match_info["path"].split("/")
    if len(parts) != 6 or not parts[5].endswith(".csv.gz"):
        return json_error(404, "Not found")
    venue, data_type, symbol = parts[0], parts[1], parts[5].removesuffix(".csv.gz")
    if source.listings.venue(venue) == {}:
        return _unknown_exchange(venue)
    if data_type not in COLUMNS:
        return json_error(404, f"Data type '{data_type}' is unknown")
    day = _parse_day("/".join(parts[2:5]))
    if day is None:
        return json_error(400, f"Invalid date '{'/'.join(parts[2:5])}': expected YYYY/MM/DD")
    refused = refusal(key_state(request.headers, source.api_key), day, is_denied(source.scenario, venue, data_type, day))
    if refused is not None:
        return json_error(*refused)
    return await _file_body(source, venue, data_type, day, symbol)


def _parse_day(text: str) -> date | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return None


async def _file_body(source: Source, venue: str, data_type: str, day: date, symbol: str) -> Body:
    if source.genuine is not None:
        path = await asyncio.to_thread(source.genuine.body, (venue, data_type, day, symbol), source.cache_folder)
        if path is not None:
            stat = path.stat()
            tag = hashlib.blake2b(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode(), digest_size=16).hexdigest()
            return Body(path, _GZIP, etag=tag)
    if day >= source.listings.exported_until(venue):
        # What the vendor says here is not known; readers decide by the catalogue's exportedUntil.
        return json_error(404, f"Data for {day} is not available yet")
    trap = find_trap(source.scenario, venue, data_type, day, symbol)
    if trap is not None and _answers_for_itself(trap.kind):
        return _own_answer(trap.kind)
    listed = source.listings.venue(venue).get(symbol)
    file = None if listed is None else DataFile(source.listings, listed, data_type, day, trap)
    if file is None or file.rows() == 0:
        return _bytes_body(EMPTY_GZIP)
    path = await source.cache.get(file)
    encoding = {"Content-Encoding": "gzip"} if trap is not None and trap.kind == "content_encoding" else None
    return Body(path, _GZIP, etag=file.fingerprint(), headers=encoding)


def _answers_for_itself(kind: str) -> bool:
    return kind in ("empty", "zero_byte", "html", "not_found")


def _own_answer(kind: str) -> Body:
    if kind == "not_found":
        return json_error(404, "Not found")
    if kind == "html":
        return Body(_PAGE, "text/html; charset=utf-8")
    return _bytes_body(EMPTY_GZIP if kind == "empty" else b"")


def _bytes_body(content: bytes) -> Body:
    return Body(content, _GZIP, etag=hashlib.blake2b(content, digest_size=16).hexdigest())
