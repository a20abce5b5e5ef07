"""Reading logs: queries that cannot be widened, lists, tails that mend themselves, merging, log objects."""

from __future__ import annotations

import asyncio
import gzip
import io
import itertools
import json
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.logging_v2.types import LogEntry as ApiEntry
from hypothesis import example, given
from hypothesis import strategies as st

from engine.cloudlog import SEVERITIES, CloudLogWriter
from engine.errors import ConfigurationError, UsageError
from engine.logbook import Logbook, LogObjects
from engine.paths import log_object
from engine.store import AlreadyExists, ObjectData, ObjectInfo
from provision.local.logs.query_match import compile_filter
from provision.local.serving import FAULTS_PATH
from provision.logs import (
    Batch,
    LogEntry,
    LogQuery,
    LogReadError,
    ReadBudget,
    ReadBudgets,
    make_clients,
    merge,
    read,
    read_log_objects,
    tail,
)
from provision.logs.clients import READS_PER_MINUTE
from tests.local_servers import LocalServer, started

BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
VM = "market-data-shard-r1-3"
PROJECTS = itertools.count(1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@dataclass(frozen=True)
class Logs:
    """A project of its own on the local server."""

    server: LocalServer
    endpoint: str
    project: str

    def query(self, **values: Any) -> LogQuery:
        return LogQuery(**({"project": self.project, "since": BASE - timedelta(hours=1)} | values))

    def write(self, *lines: tuple[float, str], vm: str = VM, run: str = "r1", severity: str = "INFO", **fields: Any) -> None:
        """Write (seconds after `BASE`, message) lines as a worker would."""
        writer = CloudLogWriter(self.endpoint, self.project, labels={"run": run, "shard": "3", "vm": vm}, batch_seconds=0.0)
        for seconds, message in lines:
            moment = BASE + timedelta(seconds=seconds)
            writer.write(severity, moment, {"message": message, "event": "test", "vm": vm, **fields})
        assert writer.close(20) == 0

    def arm(self, fault: str, **settings: Any) -> None:
        self.server.post(FAULTS_PATH, {"fault": fault, "match": f"projects/{self.project}", **settings})

    def struck(self, fault: str) -> int:
        faults = self.server.get(FAULTS_PATH)["faults"]
        return sum(armed["struck"] for armed in faults if armed["fault"] == fault)


@pytest.fixture(scope="module")
def log_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalServer, str]]:
    root = tmp_path_factory.mktemp("reading") / "data"
    with started("logs", root) as server:
        ports = json.loads((root.parent / "logs.ready").read_text())["ports"]
        yield server, f"127.0.0.1:{ports['grpc']}"


@pytest.fixture
def logs(log_server: tuple[LocalServer, str]) -> Iterator[Logs]:
    server, endpoint = log_server
    yield Logs(server, endpoint, f"reading-{next(PROJECTS)}x")
    with urllib.request.urlopen(urllib.request.Request(server.url + FAULTS_PATH, method="DELETE")):
        pass


def messages(entries: Any) -> list[str]:
    return [entry.message for entry in entries]


def read_all(logs: Logs, **values: Any) -> list[LogEntry]:
    async def run() -> list[LogEntry]:
        clients = make_clients(logs.endpoint, local=True)
        try:
            return read(clients, logs.query(**values))
        finally:
            await clients.asynchronous.transport.close()

    return asyncio.run(run())


class TestQueries:
    """What a query selects, by the filter it becomes."""

    def test_the_indexed_fields_come_first_and_a_time_bound_is_always_there(self) -> None:
        query = LogQuery("p", BASE, run="r1", vms=(VM,), min_severity="WARNING", text="429", regex="(?i)quota")
        assert re.split(r" AND (?=[a-z(])", query.to_filter()) == [
            'logName="projects/p/logs/tickdeck-engine"',
            f'timestamp>="{BASE:%Y-%m-%dT%H:%M:%S}.000000Z"',
            "severity>=WARNING",
            'labels.run="r1"',
            f'(labels.vm="{VM}")',
            '(jsonPayload.message:"429" OR textPayload:"429")',
            '(jsonPayload.message=~"(?i)quota" OR textPayload=~"(?i)quota")',
        ]
        assert "timestamp>=" in LogQuery("p", BASE, log_id="").to_filter()

    @pytest.mark.parametrize(
        ("glob", "selected"),
        [
            ("market-data-*", ["market-data-shard-r1-3", "market-data-single-20260101"]),
            ("market-data-shard-r1-?", ["market-data-shard-r1-3"]),
            ("*-3", ["market-data-shard-r1-3"]),
            ("other", ["other"]),
            ("mark", []),
            ("market.data-*", []),
            ("*", ["market-data-shard-r1-3", "market-data-single-20260101", "other"]),
            ("market-data-shard-r[0-9]-3", ["market-data-shard-r1-3"]),
            ("market-data-shard-r[!x]-3", ["market-data-shard-r1-3"]),
            ("market-data-shard-r[-3", []),
        ],
    )
    def test_a_glob_selects_whole_names_and_its_other_characters_are_literal(self, glob: str, selected: list[str]) -> None:
        names = ["market-data-shard-r1-3", "market-data-single-20260101", "other"]
        matches = compile_filter(LogQuery("p", BASE, vms=(glob,)).to_filter()).matches
        assert [name for name in names if matches(api_entry(vm=name))] == selected

    @given(TEXT, TEXT, TEXT, TEXT)
    @example('" OR severity>=DEFAULT OR "', "*", '") OR labels.vm=~(".*', "\\")
    @example("a\n OR severity>=DEFAULT", "r1\\", "x*\nOR\n*", '\\" OR textPayload:*')
    @example("--", "-- x", "(", "NOT")
    def test_no_value_can_widen_a_query(self, text: str, run: str, glob: str, log_id: str) -> None:
        query = LogQuery("p", BASE, run=run, vms=(f"pre{glob}",), text=text, log_id=log_id)
        matches = compile_filter(query.to_filter()).matches
        stranger = api_entry(vm="stranger", run="another", message="nothing", log="unrelated")
        assert not matches(stranger)

    @given(TEXT.filter(bool), TEXT.filter(bool))
    def test_a_value_finds_exactly_itself(self, text: str, run: str) -> None:
        matches = compile_filter(LogQuery("p", BASE, run=run, text=text).to_filter()).matches
        assert matches(api_entry(run=run, message=f"before {text} after"))
        assert not matches(api_entry(run=f"{run}x", message=text))

    def test_a_star_as_text_is_a_star(self) -> None:
        matches = compile_filter(LogQuery("p", BASE, text="*").to_filter()).matches
        assert matches(api_entry(message="2 * 3"))
        assert not matches(api_entry(message="no such character"))

    @pytest.mark.parametrize(
        "values",
        [
            {"since": BASE.replace(tzinfo=None)},
            {"until": BASE.replace(tzinfo=None)},
            {"min_severity": "LOUD"},
            {"min_severity": 'INFO" OR "'},
            {"limit": 0},
        ],
    )
    def test_a_query_that_cannot_be_meant_is_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            LogQuery(**({"project": "p", "since": BASE} | values))

    def test_a_filter_longer_than_the_service_takes_is_refused_before_it_is_sent(self) -> None:
        with pytest.raises(UsageError, match="characters"):
            LogQuery("p", BASE, vms=tuple(f"market-data-shard-r1-{n}" for n in range(1_000))).to_filter()
        with pytest.raises(UsageError, match="not text"):
            LogQuery("p", BASE, text="\udcff").to_filter()


def api_entry(vm: str = VM, run: str = "r1", message: str = "m", log: str = "tickdeck-engine") -> Any:
    raw = ApiEntry.pb()(log_name=f"projects/p/logs/{log}", severity=200, labels={"vm": vm, "run": run})
    raw.timestamp.FromDatetime(BASE + timedelta(seconds=1))
    raw.json_payload.update({"message": message})
    return raw


class TestReading:
    """One list, over the wire."""

    def test_an_entry_says_what_the_worker_said(self, logs: Logs) -> None:
        logs.write((1, "committed"), severity="NOTICE", venue="binance", bytes=1234, seconds=0.5, day="2024-05-01")
        (entry,) = read_all(logs)
        assert entry == LogEntry(
            timestamp=BASE + timedelta(seconds=1),
            severity="NOTICE",
            vm=VM,
            run="r1",
            shard="3",
            message="committed",
            event="test",
            fields={"venue": "binance", "bytes": 1234, "seconds": 0.5, "day": "2024-05-01"},
            insert_id=entry.insert_id,
            source="cloud-logging",
        )
        assert entry.timestamp.tzinfo is UTC

    def test_run_vm_time_severity_text_and_regex_narrow_it(self, logs: Logs) -> None:
        logs.write((1, "one"), (2, "two 429"), (3, "three"))
        logs.write((4, "bad"), severity="ERROR", vm="market-data-shard-r1-4")
        logs.write((5, "other run"), run="r2")
        second = BASE + timedelta(seconds=2)
        assert messages(read_all(logs)) == ["one", "two 429", "three", "bad", "other run"]
        assert messages(read_all(logs, run="r1", vms=("*-4",))) == ["bad"]
        assert messages(read_all(logs, vms=("*-4", VM), run="r1")) == ["one", "two 429", "three", "bad"]
        assert messages(read_all(logs, since=second, until=second + timedelta(seconds=2))) == ["two 429", "three"]
        assert messages(read_all(logs, min_severity="WARNING")) == ["bad"]
        assert messages(read_all(logs, text="TWO")) == ["two 429"]
        assert messages(read_all(logs, regex=r"^t\w+$")) == ["three"]

    def test_the_limit_holds_across_pages_in_either_order(self, logs: Logs) -> None:
        logs.write(*((n / 1000, f"{n}") for n in range(2_300)))
        assert messages(read_all(logs, limit=2_100)) == [f"{n}" for n in range(2_100)]
        assert messages(read_all(logs, limit=1_500, newest_first=True)) == [f"{n}" for n in range(2_299, 799, -1)]

    def test_a_refused_query_names_the_next_step(self, logs: Logs) -> None:
        with pytest.raises(LogReadError, match="regular expression") as refused:
            read_all(logs, regex="(")
        assert refused.value.hint == "check the regular expression"

    def test_an_exhausted_quota_is_told_and_not_retried(self, logs: Logs) -> None:
        logs.arm("read-quota", per_minute=1)
        read_all(logs)
        with pytest.raises(LogReadError, match="Read requests") as refused:
            read_all(logs)
        assert "wait a minute" in refused.value.hint
        assert logs.struck("read-quota") == 2

    def test_a_passing_outage_is_ridden_out(self, logs: Logs) -> None:
        logs.write((1, "here"))
        logs.arm("unavailable", count=1)
        assert messages(read_all(logs)) == ["here"]
        assert logs.struck("unavailable") == 1


class TestBudget:
    """The limit on reads, on a clock of the test's own."""

    @given(st.lists(st.floats(0, 30), min_size=1, max_size=80))
    def test_no_sixty_seconds_hold_more_than_the_limit(self, gaps: list[float]) -> None:
        now = 1_000.0
        budget = ReadBudget(20, clock=lambda: now)
        reads: list[float] = []
        for gap in gaps:
            now += gap
            wait = budget.reserve()
            assert wait >= 0
            now += wait
            reads.append(now)
        assert all(later - earlier >= 59.999 for earlier, later in zip(reads, reads[20:], strict=False))

    def test_a_quiet_budget_does_not_wait(self) -> None:
        now = 0.0
        budget = ReadBudget(2, clock=lambda: now)
        assert [budget.reserve(), budget.reserve(), budget.reserve()] == [0, 0, 60]
        now = 130.0
        assert budget.reserve() == 0


class Tailing:
    """A tail in the test's hands."""

    def __init__(self, logs: Logs, **values: Any) -> None:
        self.slept: list[float] = []
        self.clients = make_clients(logs.endpoint, local=True)
        options = {name: values.pop(name) for name in ("window", "now") if name in values}
        self._stream = tail(self.clients, logs.query(**values), sleep=self._sleep, jitter=lambda: 0.0, **options)
        self.batches: list[Batch] = []

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.01)

    async def next(self) -> Batch:
        self.batches.append(await asyncio.wait_for(anext(self._stream), 15))
        return self.batches[-1]

    async def until(self, count: int) -> list[str]:
        """Messages so far, once there are `count`."""
        while len(found := [entry.message for batch in self.batches for entry in batch.entries]) < count:
            await self.next()
        return found

    async def close(self) -> None:
        await self._stream.aclose()
        await self.clients.asynchronous.transport.close()


@pytest.fixture
async def follow(logs: Logs) -> AsyncIterator[Any]:
    opened: list[Tailing] = []

    def start(**values: Any) -> Tailing:
        opened.append(Tailing(logs, **values))
        return opened[-1]

    yield start
    for tailing in opened:
        await tailing.close()


async def write(logs: Logs, *lines: tuple[float, str], **values: Any) -> None:
    await asyncio.to_thread(logs.write, *lines, **values)


class TestTailing:
    """Following, with the link cut in every way."""

    async def test_it_starts_with_the_newest_there_are_and_goes_on_with_new_ones(self, logs: Logs, follow: Any) -> None:
        await write(logs, *((n, f"old {n}") for n in range(5)))
        await write(logs, (1.5, "of another run"), run="r2")
        tailing = follow(run="r1", limit=3)
        first = await tailing.next()
        assert (first.state, messages(first.entries)) == ("connected", ["old 2", "old 3", "old 4"])
        await write(logs, (10, "new"))
        await write(logs, (11, "of another run"), run="r2")
        await write(logs, (12, "newer"))
        assert (await tailing.until(5))[3:] == ["new", "newer"]

    async def test_cuts_lose_nothing_and_repeat_nothing(self, logs: Logs, follow: Any) -> None:
        tailing = follow(run="r1")
        await tailing.next()
        expected: list[str] = []
        for part in range(4):
            lines = [(part + n / 100, f"{part}-{n}") for n in range(30)]
            expected += [message for _, message in lines]
            await write(logs, *lines[:10])
            await asyncio.to_thread(logs.arm, "cut-tail", count=1)
            await write(logs, *lines[10:20])
            await tailing.until(part * 30 + 20)
            await write(logs, *lines[20:])
        found = await tailing.until(len(expected))
        assert sorted(found) == sorted(expected)
        states = [batch.state for batch in tailing.batches]
        assert states.count("reconnecting") == 4

    async def test_what_was_written_while_the_service_was_away_is_read_back(self, logs: Logs, follow: Any) -> None:
        await write(logs, (1, "before"))
        tailing = follow()
        await tailing.until(1)
        await asyncio.to_thread(logs.arm, "unavailable", method="TailLogEntries", count=3)
        await asyncio.to_thread(logs.arm, "cut-tail", count=1)
        lost = await tailing.next()
        assert (lost.state, lost.entries) == ("reconnecting", ())
        assert "Socket closed" in lost.reason
        await write(logs, *((2 + n / 1000, f"{n}") for n in range(1_200)))
        found = await tailing.until(1_201)
        assert found == ["before", *(f"{n}" for n in range(1_200))]
        assert tailing.slept[:4] == [0.5, 1.0, 2.0, 4.0]

    async def test_a_clock_that_is_ahead_does_not_hide_what_comes_after_a_cut(self, logs: Logs, follow: Any) -> None:
        ahead = (datetime.now(UTC) - BASE).total_seconds() + 3_600
        await write(logs, (ahead, "from the future"))
        tailing = follow()
        await tailing.until(1)
        await asyncio.to_thread(logs.arm, "unavailable", method="TailLogEntries", count=1)
        await asyncio.to_thread(logs.arm, "cut-tail", count=1)
        assert (await tailing.next()).state == "reconnecting"
        await write(logs, ((datetime.now(UTC) - BASE).total_seconds(), "meanwhile"))
        assert sorted(await tailing.until(2)) == ["from the future", "meanwhile"]

    async def test_suppression_is_told_by_reason_and_count(self, logs: Logs, follow: Any) -> None:
        tailing = follow()
        await tailing.next()
        await asyncio.to_thread(logs.arm, "tail-quota", per_minute=4)
        await write(logs, *((n, f"{n}") for n in range(10)))
        assert await tailing.until(4) == ["0", "1", "2", "3"]
        while sum(batch.suppressed.get("rate limit", 0) for batch in tailing.batches) < 6:
            await tailing.next()
        assert {name for batch in tailing.batches for name in batch.suppressed} == {"rate limit"}

    async def test_a_link_that_keeps_breaking_stays_within_the_read_budget(self, logs: Logs, follow: Any) -> None:
        await asyncio.to_thread(logs.arm, "cut-tail")
        await asyncio.to_thread(logs.arm, "read-quota", per_minute=1_000)
        tailing = follow()
        for _ in range(60):
            await tailing.next()
        reads = logs.struck("read-quota")
        waits = [seconds for seconds in tailing.slept if seconds > 30]
        assert reads <= 20 + len(waits)
        assert len(waits) == max(reads - 20, 0)

    async def test_a_refused_query_ends_it_with_the_reason(self, follow: Any) -> None:
        with pytest.raises(LogReadError, match="invalid regular expression"):
            await follow(regex="(").until(1)

    async def test_a_closed_tail_frees_its_session(self, logs: Logs, follow: Any) -> None:
        for _ in range(12):
            tailing = follow()
            assert (await tailing.next()).state == "connected"
            await tailing.close()


class TestClients:
    """Which servers clients are made for."""

    @pytest.mark.parametrize("endpoint", ["10.0.0.1:80", "logging.googleapis.com:443", "127.0.0.1.evil.example:80"])
    def test_an_endpoint_elsewhere_is_refused(self, endpoint: str) -> None:
        with pytest.raises(ConfigurationError):
            make_clients(endpoint, local=True)
        with pytest.raises(ConfigurationError):
            make_clients(endpoint)

    def test_a_local_profile_without_an_endpoint_never_becomes_the_real_service(self) -> None:
        with pytest.raises(ConfigurationError, match="local profile"):
            make_clients(None, local=True)


ENTRY = LogEntry(BASE, "INFO", VM, "r1", "3", "m", "e", {}, "a", "cloud-logging")
ENTRIES = st.builds(
    lambda seconds, insert_id: replace(ENTRY, timestamp=BASE + timedelta(seconds=seconds), insert_id=insert_id),
    st.integers(0, 5),
    st.sampled_from("abc"),
)


class TestMerging:
    """Several sources, one sequence."""

    @given(st.lists(st.lists(ENTRIES, max_size=6), max_size=4))
    def test_every_entry_comes_once_in_order(self, streams: list[list[LogEntry]]) -> None:
        merged = merge(*streams)
        identities = [entry.identity for entry in merged]
        assert identities == sorted({entry.identity for stream in streams for entry in stream})
        assert merge(*reversed(streams), merged) == merged

    def test_the_copy_of_the_earlier_stream_is_kept(self) -> None:
        assert merge([replace(ENTRY, source="log-objects")], [ENTRY])[0].source == "log-objects"


class Bucket:
    """A state bucket in memory: what log objects need of one."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.read: list[str] = []
        self.updated = datetime.now(UTC)

    def put(self, name: str, data: bytes, *, if_generation: int, content_type: str) -> None:
        if name in self.objects:
            raise AlreadyExists(name)
        self.objects[name] = data, self.updated

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for name, (data, updated) in sorted(self.objects.items()):
            if name.startswith(prefix):
                yield ObjectInfo(name, len(data), 1, "", updated)

    def get(self, name: str) -> ObjectData | None:
        self.read.append(name)
        found = self.objects.get(name)
        return None if found is None else ObjectData(found[0], 1)


def worker(bucket: Any, vm: str = VM, start: float = 0.0) -> tuple[Logbook, LogObjects]:
    ticks = itertools.count()
    clock = lambda: BASE + timedelta(seconds=start + next(ticks))  # noqa: E731
    logbook = Logbook(stream=io.StringIO(), context={"run": "r1", "shard": 3, "vm": vm}, clock=clock)
    return logbook, LogObjects(bucket, logbook, run="r1", vm=vm, attempt=1)


class TestLogObjects:
    """The workers' own logs in the state bucket."""

    def test_the_whole_log_is_read_in_order_over_all_pieces(self) -> None:
        bucket = Bucket()
        logbook, objects = worker(bucket)
        for number in range(12):
            logbook.info("tick", f"line {number}", bytes=number)
            objects.flush()
        entries = read_log_objects(bucket, "r1", VM)
        assert messages(entries) == [f"line {number}" for number in range(12)]
        assert (entries[3].vm, entries[3].run, entries[3].shard, entries[3].event) == (VM, "r1", "3", "tick")
        assert entries[3].fields == {"bytes": 3}
        assert {entry.source for entry in entries} == {"log-objects"}

    def test_one_vm_or_all_of_the_run_by_time_and_severity(self) -> None:
        bucket = Bucket()
        for vm, start in ((VM, 0.0), ("market-data-shard-r1-4", 0.5)):
            logbook, objects = worker(bucket, vm, start)
            logbook.info("a", f"{vm[-1]} info")
            logbook.error("b", f"{vm[-1]} error")
            objects.flush()
        assert messages(read_log_objects(bucket, "r1")) == ["3 info", "4 info", "3 error", "4 error"]
        assert messages(read_log_objects(bucket, "r1", VM)) == ["3 info", "3 error"]
        assert messages(read_log_objects(bucket, "r1", min_severity="ERROR")) == ["3 error", "4 error"]
        half = BASE + timedelta(seconds=0.5)
        assert messages(read_log_objects(bucket, "r1", since=half, until=half + timedelta(seconds=1))) == ["4 info", "3 error"]

    def test_objects_written_before_the_time_asked_for_are_not_opened(self) -> None:
        bucket = Bucket()
        logbook, objects = worker(bucket)
        for minutes in (60, 0):
            bucket.updated = datetime.now(UTC) - timedelta(minutes=minutes)
            logbook.info("a", f"{minutes}")
            objects.flush()
        read_log_objects(bucket, "r1", since=datetime.now(UTC) - timedelta(minutes=30))
        assert bucket.read == [log_object("r1", VM, 1, 1)]

    @pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip", "odd line"])
    def test_a_damaged_object_gives_what_can_be_read_and_says_so(self, damage: str) -> None:
        bucket = Bucket()
        logbook, objects = worker(bucket)
        for number in range(200):
            logbook.info("a", f"line {number}", noise=str(hash(number * 7919)))
        name = objects.flush()
        data = bucket.objects[name][0]
        broken = {
            "cut": data[:-200],
            "flipped": data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
            "not gzip": b"<html>",
            "odd line": gzip.compress(gzip.decompress(data) + b'{"message": "no time"}\n[1]\nnot json\n'),
        }[damage]
        bucket.objects[name] = broken, bucket.updated
        entries = read_log_objects(bucket, "r1")
        *lines, warning = entries
        assert (warning.severity, warning.event) == ("WARNING", "log_object_damaged")
        assert name in warning.message
        assert messages(lines) == [f"line {number}" for number in range(len(lines))]
        assert len(lines) >= {"cut": 100, "flipped": 100, "not gzip": 0, "odd line": 200}[damage]

    def test_the_same_line_from_the_bucket_and_from_cloud_logging_is_one_entry(self, logs: Logs) -> None:
        bucket = Bucket()
        logbook, objects = worker(bucket)
        writer = CloudLogWriter(logs.endpoint, logs.project, labels={"run": "r1", "shard": "3", "vm": VM})
        logbook.add_sink(writer)
        logbook.info("a", "one", bytes=3, ratio=0.25)
        logbook.warning("b", "two", day="2024-05-01")
        objects.flush()
        assert writer.close(10) == 0
        from_bucket, from_cloud = read_log_objects(bucket, "r1", VM), read_all(logs)
        assert messages(from_cloud) == ["one", "two"]
        assert merge(from_bucket, from_cloud) == from_bucket
        assert [replace(entry, source="log-objects") for entry in from_cloud] == from_bucket


def test_severities_are_those_of_the_api() -> None:
    from google.logging.type.log_severity_pb2 import LogSeverity

    assert dict(LogSeverity.items()) == dict(SEVERITIES)


def test_reading_waits_when_the_budget_is_used_up(logs: Logs) -> None:
    slept: list[float] = []

    async def run() -> None:
        budgets = ReadBudgets(1, clock=time.monotonic)
        for _ in range(2):
            clients = replace(make_clients(logs.endpoint, local=True, tailing=False), budgets=budgets)
            read(clients, logs.query(), sleep=slept.append)

    asyncio.run(run())
    assert slept[0] == 0
    assert 50 < slept[1] <= 60


def test_all_clients_of_a_process_draw_on_one_budget_for_a_project(logs: Logs) -> None:
    logs.arm("read-quota", per_minute=1_000)
    slept: list[float] = []
    for _ in range(READS_PER_MINUTE + 5):
        read(make_clients(logs.endpoint, local=True, tailing=False), logs.query(), sleep=slept.append)
    assert [seconds > 0 for seconds in slept] == [False] * READS_PER_MINUTE + [True] * 5
    other = replace(logs, project=f"{logs.project}y")
    read(make_clients(logs.endpoint, local=True, tailing=False), other.query(), sleep=slept.append)
    assert slept[-1] == 0
    assert logs.struck("read-quota") == READS_PER_MINUTE + 6
