"""Every fault switch that `tickdeck local chaos list --kinds` names, thrown once on a whole local cloud: it does what its help says.

A case says what is seen while the switch is on; after it everything must work again. A kind without a case fails the first test.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import itertools
import json
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from click.testing import CliRunner
from google.api_core.exceptions import BadRequest, Conflict, ServiceUnavailable
from google.cloud.bigquery import LoadJobConfig

from console.session import Launched, Session, open_session
from console.verbs.local import local_command
from engine.bigquery.warehouse import open_client as open_bigquery
from engine.bucket import create_bucket
from engine.cloudlog import CloudLogWriter
from engine.plan import Request
from provision.clients import make_logging
from provision.errors import PreflightFailed
from provision.local import cloud as local_cloud
from provision.local.serving import FAULTS_PATH
from provision.local.tardis.loading import load_scenario
from provision.logs import LogQuery, LogReadError, read, tail
from provision.resources import list_vms, watched_zones

DATASET = "/v1/binance/trades/2024/05/02/BTCUSDT.csv.gz"
LIMIT = 60.0


@dataclass
class World:
    """One local cloud, a session on it, and the switches."""

    session: Session
    cells: Iterator[tuple[str, str, date]]

    @property
    def cloud(self) -> local_cloud.Cloud:
        assert self.session.cloud is not None
        return self.session.cloud

    def control(self, service: str, path: str, body: object | None = None, method: str = "") -> Any:
        return json.loads(local_cloud.call(self.cloud, service, path, body, method=method) or b"null")

    def struck(self, service: str, fault: str) -> int:
        armed = self.control(service, FAULTS_PATH)["faults"]
        return sum(row["struck"] for row in armed if row["fault"] == fault)

    @contextmanager
    def armed(self, service: str, fault: str, /, **settings: Any) -> Iterator[None]:
        self.control(service, FAULTS_PATH, {"fault": fault, **settings})
        try:
            yield
        finally:
            self.control(service, FAULTS_PATH, method="DELETE")

    def blob(self, name: str) -> Any:
        data = self.session.buckets.data
        return data.service.client.bucket(data.bucket).blob(name)

    def until(self, holds: Callable[[], Any], what: str) -> None:
        ends = time.monotonic() + LIMIT
        while not holds():
            assert time.monotonic() < ends, what
            time.sleep(0.05)

    def source(self, *, key: bool = True) -> tuple[int, bytes]:
        """One request of a file: status and body."""
        address = urlsplit(self.cloud.url("tardis"))
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=LIMIT)
        try:
            headers = {"Authorization": f"Bearer {self.cloud.api_key}"} if key else {}
            connection.request("GET", DATASET if key else DATASET.replace("/02/", "/01/"), headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask_platform(self, method: str, path: str, body: object | None = None) -> tuple[int, Any]:
        answer = requests.request(method, self.cloud.url("platform") + path, json=body, timeout=LIMIT)
        return answer.status_code, answer.json()

    def write(self, run: str, *lines: str) -> None:
        writer = CloudLogWriter(self.cloud.logging_endpoint, "local", labels={"run": run, "vm": "vm-a"}, batch_seconds=0.0)
        for line in lines:
            writer.write("INFO", self.session.clock(), {"message": line})
        assert writer.close(LIMIT) == 0

    def messages(self, run: str) -> list[str]:
        query = LogQuery(self.session.profile.project, self.session.clock() - timedelta(hours=1), run=run)
        return [entry.message for entry in read(make_logging(self.session.profile, tailing=False), query)]

    def launch(self, vms: int = 1) -> Launched:
        """Launch VMs for a cell that nobody has asked for before."""
        venue, data_type, day = next(self.cells)
        request = Request(venues=(venue,), data_types=(data_type,), start=day, end=day, shards=vms)
        return self.session.launching.launch(self.session.planning.plan(request))

    def statuses(self) -> dict[str, tuple[str, str]]:
        compute = self.session.compute
        return {vm.name: (vm.status, vm.zone) for vm in list_vms(compute, watched_zones(compute))}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("switches") / "cloud"
    try:
        session = open_session("local", root=root, scenario="tiny")
        create_bucket(session.buckets.data)
        scenario = load_scenario("tiny")
        days = (scenario.first_day, scenario.last_day)
        yield World(session, itertools.product(("binance", "deribit"), ("trades", "book_snapshot_5"), days))
    finally:
        local_cloud.down(root)


# The bucket


def storage_status(world: World) -> None:
    with world.armed("storage", "status", status=503, match="objects.insert"), pytest.raises(ServiceUnavailable):
        world.blob("refused").upload_from_string(b"x", retry=None)
    assert not world.blob("refused").exists()


def storage_slow(world: World) -> None:
    with world.armed("storage", "slow", seconds_per_mib=0.2):
        world.blob("slow").upload_from_string(b"x" * 300_000)
        assert world.struck("storage", "slow") == 1
    assert world.blob("slow").download_as_bytes() == b"x" * 300_000


def storage_lost_reply(world: World) -> None:
    with world.armed("storage", "lost_reply", count=1, match="objects.insert"), pytest.raises(requests.ConnectionError):
        world.blob("unanswered").upload_from_string(b"x", retry=None)
    assert world.blob("unanswered").download_as_bytes() == b"x"


def storage_reset_upload(world: World) -> None:
    with world.armed("storage", "reset_upload", after_bytes=1_000, match="cut"), pytest.raises(requests.ConnectionError):
        world.blob("cut").upload_from_string(b"x" * 2_000_000, retry=None)
    assert not world.blob("cut").exists()


def storage_deny_permission(world: World) -> None:
    asked = ["storage.objects.create", "storage.objects.get"]
    with world.armed("storage", "deny_permission", permission="storage.objects.create"):
        assert world.blob("x").bucket.test_iam_permissions(asked) == asked[1:]
    assert world.blob("x").bucket.test_iam_permissions(asked) == asked


# Logs


def logs_cut_tail(world: World) -> None:
    async def follow() -> tuple[list[str], list[str]]:
        query = LogQuery(project="local", since=world.session.clock(), run="cut")
        states: list[str] = []
        found: list[str] = []
        async for batch in tail(make_logging(world.session.profile), query, jitter=lambda: 0.0):
            states.append(batch.state)
            found += [entry.message for entry in batch.entries]
            if len(states) == 1:
                await asyncio.to_thread(world.control, "logs", FAULTS_PATH, {"fault": "cut-tail", "count": 1})
                await asyncio.to_thread(world.write, "cut", "said meanwhile")
            if found:
                return states, found
        raise AssertionError("the tail ended")

    try:
        states, found = asyncio.run(asyncio.wait_for(follow(), LIMIT))
    finally:
        world.control("logs", FAULTS_PATH, method="DELETE")
    assert "reconnecting" in states
    assert found == ["said meanwhile"]


def logs_unavailable(world: World) -> None:
    world.write("away", "here")
    with world.armed("logs", "unavailable", method="ListLogEntries", count=2):
        assert world.messages("away") == ["here"]
        assert world.struck("logs", "unavailable") == 2


def logs_slow(world: World) -> None:
    with world.armed("logs", "slow", seconds=0.1, method="WriteLogEntries"):
        world.write("slow", "late")
        assert world.struck("logs", "slow") == 1
    assert world.messages("slow") == ["late"]


def logs_lost_reply(world: World) -> None:
    with world.armed("logs", "lost-reply", count=1):
        world.write("unanswered", "once")
        assert world.struck("logs", "lost-reply") == 1
    assert world.messages("unanswered") == ["once"]


def logs_read_quota(world: World) -> None:
    with world.armed("logs", "read-quota", per_minute=1):
        world.messages("any")
        with pytest.raises(LogReadError, match=r"(?i)quota"):
            world.messages("any")
    world.messages("any")


def logs_tail_quota(world: World) -> None:
    async def follow() -> int:
        query = LogQuery(project="local", since=world.session.clock(), run="flood")
        suppressed, first = 0, True
        async for batch in tail(make_logging(world.session.profile), query):
            if first:
                first = False
                await asyncio.to_thread(world.write, "flood", *(f"{n}" for n in range(10)))
            suppressed += sum(batch.suppressed.values())
            if suppressed:
                return suppressed
        return 0

    with world.armed("logs", "tail-quota", per_minute=3):
        assert asyncio.run(asyncio.wait_for(follow(), LIMIT)) > 0


# The platform


def missing(world: World, fault: str, path: str) -> None:
    assert world.ask_platform("GET", path)[0] == 200
    with world.armed("platform", fault):
        assert world.ask_platform("GET", path)[0] == 404
    assert world.ask_platform("GET", path)[0] == 200


def platform_deny_permission(world: World) -> None:
    path, asked = "/v3/projects/local:testIamPermissions", ["compute.instances.create", "compute.instances.list"]
    with world.armed("platform", "deny_permission", permission="compute.instances.create"):
        assert world.ask_platform("POST", path, {"permissions": asked})[1]["permissions"] == asked[1:]
    assert world.ask_platform("POST", path, {"permissions": asked})[1]["permissions"] == asked


def platform_missing_api(world: World) -> None:
    path = "/v1/projects/local/services:batchGet?names=projects/local/services/compute.googleapis.com"
    with world.armed("platform", "missing_api", service="compute.googleapis.com"):
        assert world.ask_platform("GET", path)[1]["services"][0]["state"] == "DISABLED"
    assert world.ask_platform("GET", path)[1]["services"][0]["state"] == "ENABLED"


def platform_missing_image(world: World) -> None:
    image = f"engine@sha256:{'0' * 64}"
    project = world.ask_platform("GET", "/_tickdeck/projects/local")[1]
    status, _ = world.ask_platform("PUT", "/_tickdeck/projects/local", {**project, "images": {"asia-northeast1/repo": [image]}})
    assert status == 200
    missing(world, "missing_image", f"/v1/projects/local/locations/asia-northeast1/repositories/repo/dockerImages/{image}")


def platform_missing_secret(world: World) -> None:
    missing(world, "missing_secret", "/v1/projects/local/secrets/tardis-key/versions/1")


def platform_missing_account(world: World) -> None:
    missing(world, "missing_account", "/v1/projects/local/serviceAccounts/tickdeck-worker@local.iam.gserviceaccount.com")


def platform_status(world: World) -> None:
    path = "/v1/projects/local/secrets/tardis-key/versions/1"
    with world.armed("platform", "status", status=503, count=1):
        assert [world.ask_platform("GET", path)[0] for _ in range(2)] == [503, 200]


def platform_build_fails(world: World) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("Dockerfile"))
    world.blob("source.tar.gz").upload_from_string(archive.getvalue())
    path = "/v1/projects/local/locations/asia-northeast1/builds"
    place = {"bucket": world.session.buckets.data.bucket, "object": "source.tar.gz"}

    def build() -> str:
        order = {"source": {"storageSource": place}, "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["build", "."]}]}
        status, operation = world.ask_platform("POST", path, order)
        assert status == 200, operation
        seen = [world.ask_platform("GET", f"{path}/{operation['metadata']['build']['id']}")[1]["status"] for _ in range(5)]
        return str(seen[-1])

    with world.armed("platform", "build_fails"):
        assert build() == "FAILURE"
    assert build() == "SUCCESS"


# BigQuery


def load(world: World, job: str) -> Any:
    """A load job of one object with three rows, sent and not waited for."""
    client = open_bigquery(project="local", endpoint=world.cloud.url("bigquery"))
    client.create_dataset("switches", exists_ok=True)
    body = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2, 3]}), body)
    world.blob("switches.parquet").upload_from_string(body.getvalue())
    uri = f"gs://{world.session.buckets.data.bucket}/switches.parquet"
    return client.load_table_from_uri(uri, "switches.t", job_id=job, job_config=LoadJobConfig(source_format="PARQUET"))


def bigquery_status(world: World) -> None:
    with world.armed("bigquery", "status", status=503, match="/jobs", count=1):
        assert load(world, "status").result().output_rows == 3
        assert world.struck("bigquery", "status") == 1


def bigquery_lost_reply(world: World) -> None:
    with world.armed("bigquery", "lost_reply", method="POST", match="/jobs", count=1), pytest.raises(Conflict):
        load(world, "lost-reply")
    client = open_bigquery(project="local", endpoint=world.cloud.url("bigquery"))
    assert client.get_job("lost-reply", location="US").result().output_rows == 3


def bigquery_hold_jobs(world: World) -> None:
    with world.armed("bigquery", "hold_jobs", state="RUNNING", match="held"):
        job = load(world, "held")
        world.until(lambda: world.struck("bigquery", "hold_jobs") > 2, "the job is not held")
        job.reload()
        assert job.state == "RUNNING"
    assert job.result().output_rows == 3


def bigquery_fail_job(world: World) -> None:
    with world.armed("bigquery", "fail_job", reason="invalid", message="as ordered"), pytest.raises(BadRequest, match="as ordered"):
        load(world, "failing").result()


def bigquery_lose_rows(world: World) -> None:
    with world.armed("bigquery", "lose_rows", rows=2):
        assert load(world, "losing").result().output_rows == 1


# Compute


def compute_stockout(world: World) -> None:
    full = [zone for zone in watched_zones(world.session.compute) if not zone.endswith("-c")]
    for zone in full:
        world.control("compute", FAULTS_PATH, {"fault": "stockout", "zone": zone})
    try:
        launched = world.launch(2)
        zones = {world.statuses()[name][1] for name in launched.created}
    finally:
        world.control("compute", FAULTS_PATH, method="DELETE")
    assert not launched.failed
    assert zones.isdisjoint(full)


def compute_quota(world: World) -> None:
    def limit() -> float:
        region = world.session.compute.regions.get(project="local", region=world.session.profile.region)
        return next(quota.limit for quota in region.quotas if quota.metric == "INSTANCES")

    usual = limit()
    with world.armed("compute", "quota", metric="INSTANCES", limit=0.0):
        assert limit() == 0
        with pytest.raises(PreflightFailed, match="INSTANCES"):
            world.launch(1)
    assert limit() == usual > 0


def compute_status(world: World) -> None:
    with world.armed("compute", "status", status=503, method="GET", match="/instances", count=2):
        world.statuses()
        assert world.struck("compute", "status") == 2


def compute_slow_boot(world: World) -> None:
    with world.armed("compute", "slow_boot", seconds=3_600):
        (vm,) = world.launch(1).created
        world.until(lambda: world.statuses()[vm][0] == "STAGING", f"{vm} is in STAGING")
        assert world.struck("compute", "slow_boot") == 1
    world.until(lambda: world.statuses()[vm][0] not in ("PROVISIONING", "STAGING"), f"{vm} goes on")


def at_work(world: World) -> str:
    """A VM whose source sends so slowly that it is in the middle of its work."""
    (vm,) = world.launch(1).created
    world.until(lambda: world.statuses()[vm][0] == "RUNNING", f"{vm} runs")
    return vm


def compute_preempt(world: World) -> None:
    with world.armed("tardis", "slow", bytes_per_second=50, match=".csv.gz"):
        vm = at_work(world)
        world.control("compute", "/_tickdeck/preempt", {"vm": vm, "grace_seconds": 5})
        world.until(lambda: vm not in world.statuses(), f"{vm} is gone")
    assert "preempted" in {row.cause for row in world.session.watching.fleet().vms if row.name == vm}


def compute_kill(world: World) -> None:
    with world.armed("tardis", "slow", bytes_per_second=50, match=".csv.gz"):
        vm = at_work(world)
        world.control("compute", "/_tickdeck/kill", {"vm": vm})
        world.until(lambda: world.statuses()[vm][0] == "TERMINATED", f"{vm} is off")
    assert "worker_ended" not in world.session.logs.serial(vm)


# The source


def source_well_again(world: World) -> None:
    status, body = world.source()
    assert status == 200
    assert gzip.decompress(body)


def tardis_status(world: World) -> None:
    with world.armed("tardis", "status", status=500, count=1):
        assert world.source()[0] == 500
        source_well_again(world)


def tardis_burst_429(world: World) -> None:
    with world.armed("tardis", "burst_429", count=2):
        assert [world.source()[0] for _ in range(3)] == [429, 429, 200]


def tardis_key_in_use(world: World) -> None:
    with world.armed("tardis", "key_in_use", count=1):
        assert world.source(key=False)[0] == 200
        status, body = world.source()
        assert (status, b"another IP address" in body) == (403, True)


def tardis_truncated_body(world: World) -> None:
    with world.armed("tardis", "truncated_body", share=0.5, count=1):
        with pytest.raises(http.client.IncompleteRead):
            world.source()
        source_well_again(world)


def tardis_corrupt(world: World) -> None:
    with world.armed("tardis", "corrupt", count=1):
        spoilt, good = world.source()[1], world.source()[1]
    assert sum(a != b for a, b in zip(spoilt, good, strict=True)) == 1
    with pytest.raises((zlib.error, gzip.BadGzipFile, EOFError)):
        gzip.decompress(spoilt)


def tardis_stall(world: World) -> None:
    with world.armed("tardis", "stall", seconds=3_600, count=1):
        address = urlsplit(world.cloud.url("tardis"))
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=0.5)
        connection.request("GET", DATASET, headers={"Authorization": f"Bearer {world.cloud.api_key}"})
        with pytest.raises(TimeoutError):
            connection.getresponse().read()
        connection.close()
        source_well_again(world)


def tardis_slow(world: World) -> None:
    size = len(world.source()[1])
    with world.armed("tardis", "slow", bytes_per_second=size * 4, count=1):
        assert len(world.source()[1]) == size
        assert world.struck("tardis", "slow") == 1


def tardis_reset(world: World) -> None:
    with world.armed("tardis", "reset", count=1), pytest.raises(ConnectionResetError) as raised:
        world.source()
    assert raised.type is ConnectionResetError


def tardis_lost_reply(world: World) -> None:
    with world.armed("tardis", "lost_reply", count=1), pytest.raises(http.client.RemoteDisconnected):
        world.source()


def known_kinds() -> list[tuple[str, str]]:
    """As a person is told of them; no cloud runs yet."""
    shown = CliRunner().invoke(local_command, ["chaos", "list", "--kinds", "--json"], catch_exceptions=False)
    rows = json.loads(shown.stdout)
    assert all(row["does"] for row in rows), "a kind without a word of help"
    return [(row["service"], row["fault"]) for row in rows]


def case_of(service: str, fault: str) -> Callable[[World], None] | None:
    return globals().get(f"{service}_{fault.replace('-', '_')}")


def test_every_kind_of_fault_has_a_case() -> None:
    kinds = known_kinds()
    assert {service for service, _ in kinds} == set(local_cloud.SERVICES)
    assert [f"{service} {fault}" for service, fault in kinds if case_of(service, fault) is None] == []
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(("service", "fault"), known_kinds(), ids=str)
def test_a_switch_does_what_its_help_says_and_leaves_all_well(world: World, service: str, fault: str) -> None:
    case = case_of(service, fault)
    assert case is not None, f"write a case {service}_{fault}(world) in this file"
    case(world)
    assert world.control(service, FAULTS_PATH) == {"faults": []}
    source_well_again(world)
    world.statuses()


def test_a_switch_is_armed_listed_and_cleared_from_the_command_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKDECK_LOCAL_DIR", str(world.cloud.root))

    def local(*words: str) -> str:
        return CliRunner().invoke(local_command, list(words), catch_exceptions=False).stdout

    assert local("chaos", "arm", "tardis", "status", "status=503", "count=1", "match=binance") == "armed status at tardis\n"
    assert world.source()[0] == 503
    (row,) = json.loads(local("chaos", "list", "--json"))
    assert (row["service"], row["fault"], row["status"], row["struck"]) == ("tardis", "status", 503, 1)
    assert local("chaos", "clear", "tardis") == "tardis is well again\n"
    assert json.loads(local("chaos", "list", "--json")) == []
