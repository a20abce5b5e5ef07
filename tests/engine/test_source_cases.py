"""Every answer the source can give: what becomes of the file, and how many requests it takes.

Each case goes through the whole pipeline: a scripted server plays the source, the storage server is the real local one, and the
outcome is read out of the manifest. The table is the contract. Waits are those of a clock that the test moves.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.bucket import create_bucket
from engine.clock import utc_now
from engine.errors import NotPermitted
from engine.logbook import Logbook
from engine.manifest import Entry, list_summaries, read_cell
from engine.model import Cell, Outcome, day_start
from engine.pipeline import Pipeline
from engine.plan import Shard, Work
from engine.shard_run import Attempt, Limits, Progress
from engine.source import Source
from engine.storage_service import open_storage
from engine.store import Store
from engine.throttle import Throttle
from tests.engine.conversion.tardis_csv import packed, read_independently, rows_of, trades_csv
from tests.engine.scripted_server import (
    CLOSE,
    NO_HTTP,
    RESET,
    SILENCE,
    Answer,
    Ending,
    Request,
    Scripted,
    ScriptedServer,
    answer,
    chunked,
    scripted_server,
)
from tests.local_servers import KEY, LocalServer

DAY = date(2024, 5, 17)
CELL = Cell(DAY, "trades", "binance")
CSV = trades_csv(300, start=int(day_start(DAY).timestamp()) * 1_000_000)
BORDER = CSV.index(b"\n", len(CSV) // 2) + 1
BODY = packed(CSV, cuts=(BORDER,))
"""Two gzip members: what is cut at their border is sound in itself."""
FIRST_MEMBER = packed(CSV[:BORDER])
EMPTY = packed(b"")
ETAG = '"v1"'
TRIES = 4

PATH = "/v1/binance/trades/2024/05/17/"
FREE_DAY = "/v1/binance/trades/2024/05/01/"


def part(request: Request, *, body: bytes = BODY, start: int | None = None, etag: str = ETAG) -> Answer:
    """What a range request gets, from where it asks or from `start`."""
    first = int(request.headers["range"].removeprefix("bytes=").rstrip("-")) if start is None else start
    return answer(206, body[first:], Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}", ETag=etag)


def ranged(request: Request) -> Answer:
    """A source that knows ranges: the rest if the validator is the right one, else the whole."""
    return part(request) if request.headers.get("if-range") == ETAG else WHOLE


def renamed(old: str, new: str) -> Answer:
    return answer(200, packed(CSV.replace(old.encode(), new.encode())))


def sound(request: Request) -> Answer:
    """A sound file of whatever symbol is asked for."""
    symbol = request.target.rpartition("/")[2].removesuffix(".csv.gz")
    return renamed("BTCUSDT", symbol)


WHOLE = answer(200, BODY, ETag=ETAG)
HALF = BODY[: len(BODY) // 2]
CUT = answer(200, HALF, Ending.CLOSE, Content_Length=len(BODY), ETag=ETAG)
CUT_AT_BORDER = answer(200, FIRST_MEMBER, Ending.CLOSE, Content_Length=len(BODY), ETag=ETAG)
CUT_UNNAMED = answer(200, HALF, Ending.CLOSE, Content_Length=len(BODY))
CUT_WEAK = answer(200, HALF, Ending.CLOSE, Content_Length=len(BODY), ETag='W/"v1"')
HTML = answer(200, "<!DOCTYPE html><html><body>Please sign in</body></html>", Content_Type="text/html")
IN_USE = answer(403, '{"code":403,"message":"API key is already in use from another IP address"}')
REFUSED = answer(403, '{"code":403,"message":"no"}')
UNASKED_PART = answer(206, HALF, Content_Range=f"bytes 0-{len(HALF) - 1}/{len(BODY)}")


@dataclass(frozen=True, slots=True)
class Case:
    """A script and what it leads to."""

    name: str
    script: tuple[Scripted, ...]
    outcome: Outcome
    reason: str
    requests: int
    retries: int
    waits: tuple[float, ...] = ()
    """Seconds that the whole process was held back."""
    free_day: Answer | None = None
    deadline: float = 30.0


OK, EMPTY_, FAILED, QUARANTINED = Outcome.OK, Outcome.EMPTY, Outcome.FAILED, Outcome.QUARANTINED
NOT_FOUND, NOT_ENTITLED = Outcome.NOT_FOUND, Outcome.NOT_ENTITLED

CASES = [
    #    name                                    script                                       outcome      reason         requests retries
    Case("whole", (WHOLE,), OK, "", 1, 0),
    Case("whole, in chunks", (chunked(BODY),), OK, "", 1, 0),
    Case("whole, and junk behind its end", (Answer(WHOLE.sent + b"junk", Ending.CLOSE),), FAILED, "connection", 4, 3),
    Case("Content-Encoding says gzip of the gzip itself", (answer(200, BODY, Content_Encoding="gzip"),), OK, "", 1, 0),
    Case("Content-Encoding is a second gzip", (answer(200, packed(BODY), Content_Encoding="gzip"),), QUARANTINED, "invalid_utf8", 1, 0),
    Case("206 unasked, the whole", (lambda request: part(request, start=0),), OK, "", 1, 0),
    Case("206 unasked, a part", (UNASKED_PART,), FAILED, "short_body", 4, 3),
    Case("206 unasked, a part, then the whole", (UNASKED_PART, WHOLE), OK, "", 2, 1),
    Case("204", (answer(204, Content_Length=None),), FAILED, "unexpected_status", 1, 0),
    Case("304", (answer(304, Content_Length=None),), FAILED, "unexpected_status", 1, 0),
    Case("302 to a place on the same host", (answer(302, Location=f"{PATH}elsewhere.csv.gz"), WHOLE), OK, "", 2, 0),
    Case("302 in circles", (answer(302, Location=f"{PATH}BTCUSDT.csv.gz"),), FAILED, "unexpected_status", 10, 0),
    Case("400", (answer(400, "bad"),), FAILED, "http_400", 1, 0),
    Case("403, and the free day is served", (REFUSED,), NOT_ENTITLED, "http_403", 2, 0, free_day=WHOLE),
    Case("403, and the free day is not there", (REFUSED,), NOT_ENTITLED, "http_403", 2, 0, free_day=answer(404)),
    Case("403, and the free day is refused too", (REFUSED,), NOT_ENTITLED, "http_403", 2, 0, free_day=REFUSED),
    Case("403, key in use elsewhere", (IN_USE, WHOLE), OK, "", 2, 1, (60.0,)),
    Case("403, key in use elsewhere for longer", (IN_USE, IN_USE, IN_USE, WHOLE), OK, "", 4, 3, (60.0, 60.0, 60.0)),
    Case("403, allowance spent", (answer(403, "Daily transfer limit reached", Retry_After=900), WHOLE), OK, "", 2, 1, (900.0,)),
    Case("404", (answer(404, "no such file"),), NOT_FOUND, "http_404", 1, 0),
    Case("408, then the whole", (answer(408), WHOLE), OK, "", 2, 1),
    Case("416 without a range", (answer(416),), FAILED, "unexpected_status", 1, 0),
    Case("418", (answer(418),), FAILED, "unexpected_status", 1, 0),
    Case("429 with Retry-After in seconds", (answer(429, Retry_After=7), WHOLE), OK, "", 2, 1, (7.0,)),
    Case("429 with Retry-After as a date", (answer(429, Retry_After="Fri, 01 Jan 2999 00:00:00 GMT"), WHOLE), OK, "", 2, 1, (3600.0,)),
    Case("429 with a date that is over", (answer(429, Retry_After="Fri, 17 May 2024 00:00:00 GMT"), WHOLE), OK, "", 2, 1, (5.0,)),
    Case("429 with Retry-After 0", (answer(429, Retry_After=0), WHOLE), OK, "", 2, 1, (5.0,)),
    Case("429 with a Retry-After that is none", (answer(429, Retry_After="soon"), WHOLE), OK, "", 2, 1, (5.0,)),
    Case("429 without Retry-After", (answer(429), WHOLE), OK, "", 2, 1, (5.0,)),
    Case("429 more often than there are tries", (*[answer(429, Retry_After=7)] * 6, WHOLE), OK, "", 7, 6, (7.0,) * 6),
    Case("500, then the whole", (answer(500), WHOLE), OK, "", 2, 1),
    Case("500 for ever", (answer(500),), FAILED, "http_5xx", 4, 3),
    Case("502, 503, 504, then the whole", (answer(502), answer(503), answer(504), WHOLE), OK, "", 4, 3),
    Case("503 with Retry-After", (answer(503, Retry_After=7), WHOLE), OK, "", 2, 1, (7.0,)),
    Case("503 with Retry-After for ever", (answer(503, Retry_After=7),), FAILED, "http_5xx", 4, 3, (7.0, 7.0, 7.0)),
    Case("429 between failures", (answer(500), answer(429), answer(500), answer(429), WHOLE), OK, "", 5, 4, (5.0, 5.0)),
    Case("silence before the headers", (SILENCE, WHOLE), OK, "", 2, 1),
    Case("silence for ever", (SILENCE,), FAILED, "stall", 4, 3),
    Case("silence within the body", (answer(200, HALF, Ending.SILENCE, Content_Length=len(BODY), ETag=ETAG), ranged), OK, "", 2, 1),
    Case("reset before the headers", (RESET, WHOLE), OK, "", 2, 1),
    Case("reset for ever", (RESET,), FAILED, "connection", 4, 3),
    Case("reset within the body", (answer(200, HALF, Ending.RESET, Content_Length=len(BODY), ETag=ETAG), ranged), OK, "", 2, 1),
    Case("closed before the headers", (CLOSE, WHOLE), OK, "", 2, 1),
    Case("something that is no HTTP", (NO_HTTP,), FAILED, "connection", 4, 3),
    Case("short body, resumed by range", (CUT, ranged), OK, "", 2, 1),
    Case("short body, cut at the border of a member", (CUT_AT_BORDER, ranged), OK, "", 2, 1),
    Case("short body, for ever the same half", (CUT_UNNAMED,), FAILED, "short_body", 4, 3),
    Case("short body, no validator", (CUT_UNNAMED, ranged), OK, "", 2, 1),
    Case("short body, weak validator", (CUT_WEAK, ranged), OK, "", 2, 1),
    Case("short body, range ignored", (CUT, WHOLE), OK, "", 2, 1),
    Case("short body, another file now", (CUT, answer(200, packed(CSV), ETag='"v2"')), OK, "", 2, 1),
    Case("resumed at another byte", (CUT, lambda request: part(request, start=7), WHOLE), OK, "", 3, 2),
    Case("resumed with another file", (CUT, lambda request: part(request, etag='"v2"'), WHOLE), OK, "", 3, 2),
    Case("resumed without a Content-Range", (CUT, answer(206, BODY[len(HALF) :], ETag=ETAG), WHOLE), OK, "", 3, 2),
    Case("resume refused with 416", (CUT, answer(416), WHOLE), OK, "", 3, 2),
    Case("chunks that break off", (chunked(BODY, last=False), WHOLE), OK, "", 2, 1),
    Case("chunks that break off at the border of a member", (chunked(FIRST_MEMBER, last=False), WHOLE), OK, "", 2, 1),
    Case("neither a length nor chunks", (answer(200, FIRST_MEMBER, Ending.CLOSE, Content_Length=None),), FAILED, "unknown_length", 4, 3),
    Case("announced shorter than it is", (answer(200, BODY, Ending.CLOSE, Content_Length=len(HALF)),), FAILED, "connection", 4, 3),
    Case("HTML with 200", (HTML,), QUARANTINED, "html_body", 2, 1),
    Case("HTML with 200, then the whole", (HTML, WHOLE), OK, "", 2, 1),
    Case("half a gzip as a whole body", (answer(200, HALF),), QUARANTINED, "truncated_gzip", 2, 1),
    Case("a gzip with a wrong checksum", (answer(200, BODY[:-8] + b"12345678"),), QUARANTINED, "bad_checksum", 2, 1),
    Case("text", (answer(200, "not now"),), QUARANTINED, "not_gzip", 2, 1),
    Case("no bytes", (answer(200),), FAILED, "zero_bytes", 2, 1),
    Case("a gzip of no bytes", (answer(200, EMPTY),), EMPTY_, "no_data", 1, 0),
    Case("a header without rows", (answer(200, packed(CSV[: CSV.index(b"\n") + 1])),), EMPTY_, "header_only", 1, 0),
    Case("a file of another symbol", (renamed("BTCUSDT", "ETHUSDT"),), QUARANTINED, "wrong_symbol", 1, 0),
    Case("a file of another venue", (renamed("binance,", "binance-us,"),), QUARANTINED, "wrong_venue", 1, 0),
    Case("a file of another day", (answer(200, packed(trades_csv(300))),), QUARANTINED, "wrong_day", 1, 0),
    Case("a file of another type", (renamed("price,amount", "rate,amount"),), QUARANTINED, "missing_column", 1, 0),
    Case("the deadline of the file", (SILENCE,), FAILED, "deadline", 1, 0, deadline=0.05),
]


@dataclass
class Time:
    """A clock that moves only while somebody waits for it."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Buckets:
    """A data bucket and a state bucket."""

    data: Store
    state: Store

    def entries(self, cell: Cell = CELL) -> dict[str, Entry]:
        return {symbol: record.entry for symbol, record in read_cell(self.state, cell).items()}


@dataclass
class Run:
    """What a pipeline leaves behind."""

    progress: Progress
    waits: list[float]
    pauses: list[tuple[str, float]]
    log: str
    error: NotPermitted | None = None


_numbers = itertools.count(1)


@pytest.fixture
def buckets(storage_server: LocalServer) -> Buckets:
    service = open_storage(project="local", endpoint=storage_server.url)
    name = f"source-cases-{os.getpid()}-{next(_numbers)}"
    found = Buckets(Store(service, name), Store(service, f"{name}-state"))
    for store in (found.data, found.state):
        create_bucket(store)
    return found


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


def download(
    server: ScriptedServer, buckets: Buckets, folder: Path, *symbols: str, days: tuple[date, ...] = (DAY,), deadline: float = 30.0
) -> Run:
    """Carry files through the real pipeline, one after the other."""
    time, pauses, log = Time(), [], io.StringIO()
    logbook = Logbook(stream=log)
    work = tuple(
        Work(day=day, data_type="trades", venue="binance", symbols=symbols, bytes=(1000,) * len(symbols), seconds=1.0) for day in days
    )
    run = Run(Progress(), time.waits, pauses, "")

    async def carry() -> None:
        async with Source(
            datasets_url=f"{server.url}/v1",
            api_key=KEY,
            throttle=Throttle(lambda: time.now, time.sleep),
            attempts=TRIES,
            backoff_cap=0.001,
            silence_seconds=0.15,
            on_pause=lambda reason, seconds: pauses.append((reason, seconds)),
        ) as source:
            pipeline = Pipeline(
                source=source,
                data=buckets.data,
                state=buckets.state,
                catalogues={},
                limits=Limits(downloads=1, file_deadline_seconds=deadline),
                logbook=logbook,
                clock=utc_now,
                stopped=asyncio.Event(),
                progress=run.progress,
                folder=folder,
            )
            try:
                shard = Shard(index=0, work=work, files=len(symbols) * len(days), bytes=0, seconds=1.0)
                await pipeline.run(shard, Attempt("run", 0, 1, "vm"))
            except NotPermitted as error:
                run.error = error
            finally:
                pipeline.close()

    asyncio.run(carry())
    run.log = log.getvalue()
    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_answer_has_its_outcome_and_its_number_of_requests(
    case: Case, server: ScriptedServer, buckets: Buckets, tmp_path: Path
) -> None:
    if case.free_day is not None:
        server.play(FREE_DAY, case.free_day)
    server.play(PATH, *case.script)
    run = download(server, buckets, tmp_path, "BTCUSDT", deadline=case.deadline)
    entry = buckets.entries()["BTCUSDT"]
    assert (entry.outcome, entry.reason) == (case.outcome, case.reason), entry.detail
    assert (len(server.requests), entry.requests, run.progress.retries) == (case.requests, case.requests, case.retries)
    assert tuple(run.waits) == case.waits
    objects = {info.name.rsplit("/", 1)[-1]: info for info in buckets.data.list("")}
    kept = list(buckets.state.list("quarantine/"))
    assert list(objects) == (["BTCUSDT.parquet"] if case.outcome is OK else [])
    assert [info.metadata["reason"] for info in kept] == ([case.reason] if case.outcome is QUARANTINED else [])
    if case.outcome is OK:
        found = buckets.data.get(objects["BTCUSDT.parquet"].name)
        assert found is not None
        assert rows_of(pq.read_table(io.BytesIO(found.data))) == read_independently(CSV)
    if case.outcome is QUARANTINED:
        found = buckets.state.get(kept[0].name)
        last = case.script[-1]
        assert found is not None
        assert isinstance(last, Answer)
        assert found.data == last.sent.partition(b"\r\n\r\n")[2]


def test_every_request_names_its_file_and_carries_the_key(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(PATH, CUT, ranged)
    download(server, buckets, tmp_path, "BTCUSDT")
    first, second = server.requests
    assert (first.method, first.target) == ("GET", f"{PATH}BTCUSDT.csv.gz") == (second.method, second.target)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert "range" not in first.headers
    assert (second.headers["range"], second.headers["if-range"]) == (f"bytes={len(HALF)}-", ETAG)


def test_a_body_comes_in_as_many_pieces_as_it_takes(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    third = len(BODY) // 3

    def two_thirds(request: Request) -> Answer:
        whole = part(request)
        return Answer(whole.sent[: -(len(BODY) - 2 * third)], Ending.CLOSE)

    server.play(PATH, answer(200, BODY[:third], Ending.CLOSE, Content_Length=len(BODY), ETag=ETAG), two_thirds, ranged)
    run = download(server, buckets, tmp_path, "BTCUSDT")
    assert buckets.entries()["BTCUSDT"].outcome is OK
    assert [request.headers.get("range") for request in server.requests] == [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert run.progress.source_bytes == len(BODY)


def test_401_stops_the_run_and_what_is_known_is_written_down(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(f"{PATH}BTCUSDT", WHOLE)
    server.play("GET", answer(401, '{"code":401,"message":"Invalid API key"}'))
    symbols = [f"COIN{number}USDT" for number in range(60)]
    run = download(server, buckets, tmp_path, "BTCUSDT", *symbols, days=(DAY, date(2024, 5, 18)))
    assert run.error is not None
    assert "401" in str(run.error)
    assert run.error.hint == "check TARDIS_API_KEY"
    assert len(server.requests) == 2
    assert {symbol: entry.outcome for symbol, entry in buckets.entries().items()} == {"BTCUSDT": OK}
    assert [summary.open for summary in list_summaries(buckets.state)] == [True]


def test_403_that_nobody_explains_stops_the_run_the_third_time_in_a_row(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(f"{PATH}BTCUSDT", WHOLE)
    server.play("GET", REFUSED)
    run = download(server, buckets, tmp_path, "AUSDT", "BUSDT", "BTCUSDT", "CUSDT", "DUSDT", "EUSDT", "FUSDT")
    assert run.error is not None
    assert "3 files in a row" in str(run.error)
    assert len(server.asked("/05/17/")) == 6
    assert len(server.asked("/05/01/")) == 5
    refused = {symbol for symbol, entry in buckets.entries().items() if entry.outcome is NOT_ENTITLED}
    assert refused == {"AUSDT", "BUSDT", "CUSDT", "DUSDT"}
    assert len(server.requests) == 11


def test_403_of_single_files_never_stops_the_run(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(FREE_DAY, WHOLE)
    server.play(PATH, REFUSED)
    run = download(server, buckets, tmp_path, *(f"COIN{number}USDT" for number in range(5)))
    assert run.error is None
    assert {entry.outcome for entry in buckets.entries().values()} == {NOT_ENTITLED}
    assert len(server.requests) == 10


def test_a_pause_says_why_and_until_when_and_is_not_counted_against_the_file(
    server: ScriptedServer, buckets: Buckets, tmp_path: Path
) -> None:
    server.play(PATH, IN_USE, WHOLE)
    run = download(server, buckets, tmp_path, "BTCUSDT", deadline=20.0)
    assert run.waits == [60.0]
    assert run.pauses == [("source 403: API key is already in use from another IP address", 60.0)]
    assert buckets.entries()["BTCUSDT"].outcome is OK


def test_a_day_of_pauses_stops_the_run(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(PATH, answer(403, "daily transfer limit reached", Retry_After=3600))
    run = download(server, buckets, tmp_path, "BTCUSDT")
    assert run.error is not None
    assert "for a day" in str(run.error)
    assert sum(run.waits) == 25 * 3600
    assert len(server.requests) == 26


def test_the_key_goes_to_no_other_host(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    with scripted_server() as elsewhere:
        elsewhere.play("GET", WHOLE)
        server.play(PATH, answer(307, Location=f"{elsewhere.url}/file.csv.gz"))
        download(server, buckets, tmp_path, "BTCUSDT")
        entry = buckets.entries()["BTCUSDT"]
        assert (entry.outcome, entry.requests) == (OK, 2)
        assert [request.headers.get("authorization") for request in elsewhere.requests] == [None]


def test_nobody_listening_is_a_failure_with_its_reason(buckets: Buckets, tmp_path: Path) -> None:
    run = download(ScriptedServer("http://127.0.0.1:9"), buckets, tmp_path, "BTCUSDT")
    entry = buckets.entries()["BTCUSDT"]
    assert (entry.outcome, entry.reason, entry.requests, run.progress.retries) == (FAILED, "connection", TRIES, TRIES - 1)


def test_one_slow_down_holds_everybody(server: ScriptedServer, buckets: Buckets, tmp_path: Path) -> None:
    server.play(PATH, WHOLE, answer(429, Retry_After=30), WHOLE)
    run = download(server, buckets, tmp_path, "BTCUSDT", "BTCUSDT-2")
    assert run.waits == [30.0]
    assert len(server.requests) == 3


def engine(server: ScriptedServer, buckets: Buckets, storage: LocalServer) -> subprocess.CompletedProcess[str]:
    """`engine download` of three symbols from the scripted source."""
    symbols = [
        {"id": symbol, "type": "spot", "availableSince": "2020-01-01T00:00:00.000Z", "dataTypes": ["trades"]}
        for symbol in ("AUSDT", "BTCUSDT", "CUSDT")
    ]
    datasets = {"exportedFrom": "2020-01-01T00:00:00.000Z", "exportedUntil": "2024-06-01T00:00:00.000Z", "symbols": symbols}
    venue = {"id": "binance", "name": "Binance", "enabled": True, "availableSince": "2020-01-01T00:00:00.000Z", "datasets": datasets}
    server.play("/exchanges/binance", answer(200, json.dumps(venue), Content_Type="application/json"))
    environment = {
        "STORAGE_EMULATOR_HOST": storage.url,
        "TARDIS_API_URL": f"{server.url}/v1",
        "TARDIS_DATASETS_URL": f"{server.url}/v1",
        "TARDIS_API_KEY": KEY,
        "DATA_BUCKET": buckets.data.bucket,
        "STATE_BUCKET": buckets.state.bucket,
        "TICKDECK_LOOPBACK_ONLY": "1",
        "MAX_CONCURRENT": "1",
    }
    arguments = ["download", "--venues", "binance", "--data-types", "trades", "--start", str(DAY)]
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_refused_key_is_exit_77_with_the_next_step(server: ScriptedServer, buckets: Buckets, storage_server: LocalServer) -> None:
    server.play(PATH, sound, answer(401, "Invalid API key"))
    done = engine(server, buckets, storage_server)
    assert done.returncode == 77, done.stderr
    assert "refuses the key" in done.stderr
    assert "-> check TARDIS_API_KEY" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert [entry.outcome for entry in buckets.entries().values()] == [OK]
    assert len(server.asked(PATH)) == 2


def test_the_local_profile_follows_no_redirect_off_this_machine(
    server: ScriptedServer, buckets: Buckets, storage_server: LocalServer
) -> None:
    server.play(PATH, answer(302, Location="http://192.0.2.1/file.csv.gz"))
    done = engine(server, buckets, storage_server)
    assert done.returncode == 65, done.stderr
    entries = buckets.entries()
    assert {entry.outcome for entry in entries.values()} == {FAILED}
    assert all("does not let '192.0.2.1' through" in entry.detail for entry in entries.values())
    assert len(server.asked(PATH)) == 3
