"""What `engine doctor` asks of others: the source, its key, the buckets, and what time they have.

Each check asks once, with short limits, and says what it heard; none retries. The key is never part of what is said.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

from engine import __version__
from engine.bucket import CREATE, READ, REPLACE, BucketRules, ask_permissions, read_rules, require_bucket
from engine.clock import Clock, format_seconds, monotonic, parse_time
from engine.doctor.finding import Finding, bad, from_error, good, warn
from engine.documents import JSON
from engine.errors import AlreadyExists, ConfigurationError, EngineError, ExitCode, GenerationMismatch, NotPermitted, UsageError
from engine.paths import probe_object
from engine.settings import Settings
from engine.storage_service import open_storage
from engine.store import Store

ANSWER_SECONDS = 8.0
"""One request to the source, from its start to the end of its answer."""

SKEW_LIMIT = timedelta(seconds=30)
"""A clock that is further off is bad: tokens of the bucket are refused, and what counts as published or stale is misjudged."""

SKEW_NOTED = timedelta(seconds=5)

KEY_ENDS_SOON = timedelta(days=14)

FREE_FILE = "binance/trades/2020/01/01/BTCUSDT.csv.gz"
"""The first day of a month needs no key; one byte of it is asked for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host answered."""

    status: int
    body: bytes
    seconds: float
    date: datetime | None
    """By the clock of the host."""


class NoReply(Exception):
    """A host did not answer; the text says why."""


def ask(url: str, *, headers: Mapping[str, str] | None = None, read: bool = True) -> Reply:
    """GET `url` once. Blocks for at most `ANSWER_SECONDS`, but for the look-up of a name.

    Raises:
        NoReply: if there is no answer.
    """
    import aiohttp

    async def get() -> Reply:
        began = monotonic()
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        sent = {"User-Agent": f"tickdeck/{__version__}", **(headers or {})}
        async with aiohttp.ClientSession(timeout=timeout, headers=sent) as session, session.get(url) as response:
            body = await response.read() if read else b""
            return Reply(response.status, body, monotonic() - began, _date(response.headers.get("Date", "")))

    try:
        return asyncio.run(get())
    except TimeoutError:
        raise NoReply(f"no answer within {ANSWER_SECONDS:.0f} s") from None
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        raise NoReply(f"no connection: {os.strerror(number) if number and number > 0 else error.os_error}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoReply(f"{type(error).__name__}: {error}") from error


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def check_source(settings: Settings) -> list[Finding]:
    """Does the source's API answer?"""
    url = f"{settings.text('api_url').rstrip('/')}/exchanges"
    return [_judge_answer("source API", url, "TARDIS_API_URL", {})]


def check_datasets(settings: Settings) -> list[Finding]:
    """Does the host of the files answer?"""
    url = f"{settings.text('datasets_url').rstrip('/')}/{FREE_FILE}"
    return [_judge_answer("source files", url, "TARDIS_DATASETS_URL", {"Range": "bytes=0-0"})]


def _judge_answer(name: str, url: str, variable: str, headers: Mapping[str, str]) -> Finding:
    try:
        reply = ask(url, headers=headers, read=False)
    except NoReply as error:
        return bad(name, f"{url}: {error}", f"check the network and {variable}", ExitCode.UNAVAILABLE)
    if reply.status >= 500 or reply.status == 429:
        return bad(name, f"{url}: HTTP {reply.status}", "run again later", ExitCode.UNAVAILABLE)
    if reply.status not in (200, 206):
        return warn(name, f"{url}: HTTP {reply.status}", f"it answers, but not as the source does: check {variable}")
    return good(name, f"{url} answers in {reply.seconds * 1000:.0f} ms")


def check_key(settings: Settings, clock: Clock) -> list[Finding]:
    """Is there a key, does the source take it, and for what and how long?"""
    name, key = "source key", settings.text("api_key")
    if not key:
        return [warn(name, "none is set: only first days of months are served", "set TARDIS_API_KEY")]
    if key.strip() != key or not key.isprintable() or not key.isascii():
        return [bad(name, "it holds spaces, line breaks or letters that no key has", "set TARDIS_API_KEY again", ExitCode.CONFIGURATION)]
    url = f"{settings.text('api_url').rstrip('/')}/api-key-info"
    try:
        reply = ask(url, headers={"Authorization": f"Bearer {key}"})
    except NoReply as error:
        return [warn(name, f"one is set; whether it is good cannot be asked: {error}", "see source API")]
    if reply.status == 401:
        return [bad(name, "the source refuses it (401)", "check TARDIS_API_KEY", ExitCode.NOT_PERMITTED)]
    if reply.status == 403:
        return [bad(name, "the source refuses it here (403): it may be in use elsewhere", "ask the vendor", ExitCode.NOT_PERMITTED)]
    if reply.status != 200:
        return [warn(name, f"one is set; asked about it, the source says HTTP {reply.status}", "run again later")]
    return [_judge_key(name, reply.body, clock())]


def _judge_key(name: str, body: bytes, now: datetime) -> Finding:
    """What the answer says of the plan and its end. Its form is not documented: what cannot be read is not spoken of."""
    try:
        rows = _rows(json.loads(body))
    except ValueError:
        return good(name, "the source takes it")
    exchanges = {str(row["exchange"]) for row in rows if row.get("exchange")}
    plans = {str(row[field]) for row in rows for field in ("dataPlan", "plan") if row.get(field)}
    ends = [moment for row in rows if (moment := _moment(row.get("to"))) is not None]
    parts = ["the source takes it"]
    parts += [f"plan {', '.join(sorted(plans))}"] if plans else []
    parts += [f"{len(exchanges)} venues"] if exchanges else []
    parts += [f"until {max(ends):%Y-%m-%d}"] if ends else []
    if ends and max(ends) < now:
        return bad(name, f"it ended on {max(ends):%Y-%m-%d}", "renew it at the vendor's", ExitCode.NOT_PERMITTED)
    if ends and max(ends) < now + KEY_ENDS_SOON:
        return warn(name, ", ".join(parts), "it ends soon: renew it at the vendor's")
    return good(name, ", ".join(parts))


def _rows(document: Any) -> list[dict[str, Any]]:
    rows = document if isinstance(document, list) else [document]
    return [row for row in rows if isinstance(row, dict)]


def _moment(value: object) -> datetime | None:
    try:
        return parse_time(str(value)) if value else None
    except UsageError:
        return None


def check_clock(settings: Settings, clock: Clock) -> list[Finding]:
    """Has this machine the time that others have? Asked of the source, or else of the storage server."""
    name = "clock"
    storage = settings.text("storage_endpoint") or "https://storage.googleapis.com"
    for url in (f"{settings.text('api_url').rstrip('/')}/exchanges", storage):
        before, began = clock(), monotonic()
        try:
            reply = ask(url, read=False)
        except NoReply:
            continue
        after, took = clock(), timedelta(seconds=monotonic() - began)
        if reply.date is None:
            continue
        if abs((after - before) - took) > SKEW_NOTED:
            return [warn(name, "it was set while we looked at it", "let a time service keep it, and run again")]
        # Their clock says whole seconds: it is up to one second further than it says.
        ahead = max(before - reply.date - timedelta(seconds=1), timedelta())
        behind = max(reply.date - after, timedelta())
        off = max(ahead, behind)
        said = f"{before:%Y-%m-%d %H:%M:%S} UTC"
        if off <= SKEW_NOTED:
            return [good(name, f"{said}, as {_host(url)} has it")]
        message = f"{said} is {format_seconds(off.total_seconds())} {'ahead of' if ahead else 'behind'} {_host(url)}"
        if off <= SKEW_LIMIT:
            return [warn(name, message, "let a time service (chrony, systemd-timesyncd) keep it")]
        hint = "set it: tokens will be refused, and days count as published that are not, or the other way round"
        return [bad(name, message, hint, ExitCode.CONFIGURATION)]
    return [warn(name, f"{clock():%Y-%m-%d %H:%M:%S} UTC; nobody answers to compare it with", "see source API")]


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0]


def open_stores(settings: Settings) -> tuple[Store, Store]:
    """Data and state.

    Raises:
        ConfigurationError, NotPermitted: if no client can be made.
    """
    service = open_storage(project=settings.text("project"), endpoint=settings.text("storage_endpoint"))
    return Store(service, settings.text("data_bucket")), Store(service, settings.state_bucket)


def check_separation(settings: Settings) -> list[Finding]:
    """State is overwritten and data never is: they must not share a bucket."""
    try:
        settings.require_two_buckets()
    except ConfigurationError as error:
        return [bad("two buckets", str(error), error.hint, error.exit_code)]
    return [good("two buckets", f"data {settings.text('data_bucket')}, state {settings.state_bucket}")]


def check_bucket(settings: Settings, *, which: str, needed: frozenset[str] = frozenset()) -> list[Finding]:
    """Is the bucket there, may it be listed, and may this account do there what is needed [what a worker does]?"""
    name = f"{which} bucket"
    is_worker = not needed
    try:
        store = open_stores(settings)[which == "state"]
        require_bucket(store)
    except EngineError as error:
        return [from_error(name, error)]
    needed = needed or READ | CREATE | (REPLACE if which == "state" else frozenset())
    try:
        granted = ask_permissions(store, needed | REPLACE)
    except EngineError as error:
        return [warn(name, f"gs://{store.bucket} can be listed; what else is permitted cannot be asked: {error}", "try: --deep")]
    missing = sorted(needed - granted)
    if missing:
        message = f"gs://{store.bucket} can be listed, but {', '.join(missing)} is not granted"
        return [bad(name, message, "grant it to this account", ExitCode.NOT_PERMITTED)]
    if is_worker and which == "data" and granted >= REPLACE and not settings.text("storage_endpoint"):
        message = f"gs://{store.bucket} can be listed and written; this account may also delete and overwrite"
        return [warn(name, message, "a worker never needs storage.objects.delete here: take it away")]
    return [good(name, f"gs://{store.bucket} can be listed{' and written' if needed >= CREATE else ' and read'}")]


def check_rules(settings: Settings, *, which: str) -> list[Finding]:
    """Does the bucket do something to its objects by itself?"""
    name = f"{which} bucket rules"
    try:
        store = open_stores(settings)[which == "state"]
        rules = _rules(store)
    except EngineError:
        return [warn(name, "cannot be read", f"see {which} bucket")]
    if rules is None:
        return [good(name, "this account may not read them, and a worker need not")]
    where = f"gs://{store.bucket}"
    if rules.deletes:
        return [warn(name, f"{where} deletes by itself: {'; '.join(rules.deletes)}", "make sure that it spares what is to be kept")]
    if which == "state" and rules.retention_seconds:
        message = f"{where} keeps every object for {format_seconds(rules.retention_seconds)}: claims and heartbeats cannot be replaced"
        return [bad(name, message, "remove the retention policy of the state bucket", ExitCode.CONFIGURATION)]
    parts = [f"in {rules.location}"] if rules.location else []
    parts += ["versioned"] if rules.versioned else []
    parts += [f"keeps objects for {format_seconds(rules.retention_seconds)}"] if rules.retention_seconds else []
    return [good(name, f"{where} deletes nothing by itself" + "".join(f", {part}" for part in parts))]


def _rules(store: Store) -> BucketRules | None:
    try:
        return read_rules(store)
    except NotPermitted:
        return None


def check_probe(settings: Settings, clock: Clock) -> list[Finding]:
    """Does the state bucket keep its promises? Creates one object, replaces it, and deletes it again.

    In the state bucket only: nothing is ever written to the data bucket that is not data.
    """
    name = "state bucket probe"
    try:
        store = open_stores(settings)[1]
        broken = _broken_promises(store, probe_object(clock(), uuid4().hex[:12]))
    except EngineError as error:
        return [from_error(name, error)]
    if broken:
        hint = "workers would overwrite each other: use another storage server"
        return [bad(name, f"gs://{store.bucket} {', '.join(broken)}", hint, ExitCode.CONFIGURATION)]
    return [good(name, f"gs://{store.bucket} creates once, replaces by generation, reads back and deletes")]


def _broken_promises(store: Store, name: str) -> list[str]:
    broken = []
    first = store.put(name, b"{}", if_generation=0, content_type=JSON)
    live = first.generation
    try:
        for words, generation, refusal in (
            ("creates an object that is there", 0, AlreadyExists),
            ("replaces a generation that is not there", first.generation + 1, GenerationMismatch),
        ):
            try:
                live = store.put(name, b"[]", if_generation=generation, content_type=JSON).generation
            except refusal:
                continue
            broken.append(words)
        live = store.put(name, b"[1]", if_generation=live, content_type=JSON).generation
        found = store.get(name)
        if found is None or found.data != b"[1]":
            broken.append("gives back other bytes than were written")
    finally:
        store.delete(name, if_generation=live)
    return broken
