"""Where a VM's log is looked for: log objects, Cloud Logging, the serial port; VMs that live, are gone, or are not ours."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import compute_v1
from google.cloud.logging_v2.types import WriteLogEntriesRequest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import utc_now
from engine.cloudlog import SEVERITIES, CloudLogWriter, open_client
from engine.errors import StoreError, UsageError
from engine.logbook import Logbook, LogObjects
from engine.store import ObjectData, ObjectInfo
from provision.actions import apply, propose_delete
from provision.logs import Evidence, Grep, LogEntry, Places, Question, find, make_clients, printable
from provision.logs.log_objects import PARALLEL, LogPieces, find_log_objects, read_newest
from provision.logs.serial_port import read_serial
from provision.resources import list_vms, read_serial_tail, watched_zones
from tests.local_servers import started
from tests.provision.conftest import Wired

NOW = utc_now()
STRANGER_LABEL = "compute.googleapis.com/resource_name"


@pytest.fixture(scope="module")
def logging_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("evidence") / "data"
    with started("logs", root):
        ports = json.loads((root.parent / "logs.ready").read_text())["ports"]
        yield f"127.0.0.1:{ports['grpc']}"


@dataclass
class Field:
    """A project with VMs, buckets and logs, and the question asked of it."""

    wired: Wired
    endpoint: str
    asked_compute: int = 0

    def ask(self, *vms: str, **values: Any) -> Evidence:
        def compute() -> Any:
            self.asked_compute += 1
            return self.wired.clients

        places = Places(
            project=self.wired.profile.project,
            state=self.wired.state,
            logging=values.pop("logging", lambda: make_clients(self.endpoint, local=True, tailing=False)),
            compute=compute,
            now=utc_now,
        )
        return find(places, Question(**({"since": NOW - timedelta(hours=2), "vms": vms} | values)))

    def worker(self, run: str, vm: str, *messages: str, severity: str = "INFO", stored: bool = True, sent: bool = True) -> None:
        """A worker that says this: into its log objects, to Cloud Logging, or both."""
        writer = CloudLogWriter(self.endpoint, self.wired.profile.project, labels={"run": run, "vm": vm, "shard": "0"})
        logbook = Logbook(stream=io.StringIO(), context={"run": run, "vm": vm, "shard": 0})
        if sent:
            logbook.add_sink(writer)
        for message in messages:
            logbook.event(severity, "test", message)
        if stored:
            LogObjects(self.wired.state, logbook, run=run, vm=vm, attempt=next(ATTEMPTS)).flush()
        assert writer.close(20) == 0

    def program(self, text: str, *, labels: dict[str, str], instance: str = "1", severity: str = "DEFAULT", **payload: Any) -> None:
        """An entry of a program that is not ours, as Google's agents write them."""
        request = WriteLogEntriesRequest.pb()(log_name=f"projects/{self.wired.profile.project}/logs/syslog")
        request.resource.type = "gce_instance"
        request.resource.labels.update({"project_id": "p", "zone": "z", "instance_id": instance})
        entry = request.entries.add(severity=SEVERITIES[severity], labels=labels)
        if payload:
            entry.json_payload.update(payload)
        else:
            entry.text_payload = text
        open_client(self.endpoint).write_log_entries(request=WriteLogEntriesRequest.wrap(request))

    def stranger(self, name: str) -> str:
        """A VM that is not ours; its id."""
        profile, zone = self.wired.profile, self.wired.profile.zones[0]
        source = profile.boot_image.removeprefix("https://www.googleapis.com/compute/v1/")
        disk = compute_v1.AttachedDisk(
            boot=True, initialize_params=compute_v1.AttachedDiskInitializeParams(source_image=source, disk_size_gb=10)
        )
        instance = compute_v1.Instance(
            name=name,
            machine_type=f"zones/{zone}/machineTypes/{profile.machine_types[0]}",
            disks=[disk],
            network_interfaces=[compute_v1.NetworkInterface(network=profile.network)],
        )
        self.wired.clients.instances.insert(project=profile.project, zone=zone, instance_resource=instance)
        self.wired.wait_until(lambda: self._serial(name), f"{name} speaks")
        return next(vm.id for vm in self.wired.vms() if vm.name == name)

    def _serial(self, name: str) -> str:
        zone = self.wired.profile.zones[0]
        if not any(vm.name == name and vm.status == "RUNNING" for vm in list_vms(self.wired.clients, watched_zones(self.wired.clients))):
            return ""
        return read_serial_tail(self.wired.clients, zone, name)


ATTEMPTS = itertools.count(1)


@pytest.fixture
def place(wired: Wired, logging_endpoint: str) -> Field:
    return Field(wired, logging_endpoint)


def said(evidence: Evidence) -> list[tuple[str, str]]:
    return [(entry.message, entry.source) for entry in evidence.entries]


def test_a_worker_is_heard_once_from_both_places_and_the_source_is_named(place: Field) -> None:
    place.worker("r1", "vm-a", "in both")
    place.worker("r1", "vm-a", "not stored yet", stored=False)
    place.worker("r1", "vm-a", "never sent", sent=False)
    found = place.ask("vm-a")
    assert sorted(said(found)) == [("in both", "log-objects"), ("never sent", "log-objects"), ("not stored yet", "cloud-logging")]
    assert found.summary() == "3 lines of 1 VM: 2 from log objects, 1 from Cloud Logging"
    assert found.strangers == frozenset()
    assert place.asked_compute == 0


@pytest.mark.parametrize(
    ("where", "expected"), [("objects", ["in both", "never sent"]), ("cloud", ["in both", "not stored yet"])], ids=["objects", "cloud"]
)
def test_one_place_may_be_asked_alone(place: Field, where: str, expected: list[str]) -> None:
    place.worker("r1", "vm-a", "in both")
    place.worker("r1", "vm-a", "not stored yet", stored=False)
    place.worker("r1", "vm-a", "never sent", sent=False)
    assert sorted(message for message, _ in said(place.ask("vm-a", where=where))) == expected


def test_patterns_runs_severity_time_and_grep_narrow_it(place: Field) -> None:
    for run, vm in (("r1", "vm-a"), ("r1", "vm-b"), ("r2", "vm-c")):
        place.worker(run, vm, f"{vm} all well")
        place.worker(run, vm, f"{vm} HTTP 429 (again)", severity="ERROR")

    def vms(*patterns: str, **values: Any) -> list[str]:
        return sorted({entry.vm for entry in place.ask(*patterns, **values).entries})

    assert vms() == vms("*") == ["vm-a", "vm-b", "vm-c"]
    assert vms("vm-[ab]") == ["vm-a", "vm-b"]
    assert vms("vm-a", "vm-c") == ["vm-a", "vm-c"]
    assert vms("vm-*", run="r2") == ["vm-c"]
    assert {entry.severity for entry in place.ask(min_severity="WARNING").entries} == {"ERROR"}
    assert said(place.ask("vm-a", grep=Grep(r"\d{3} \(again"))) == [("vm-a HTTP 429 (again)", "log-objects")]
    later = utc_now() + timedelta(seconds=1)
    assert place.ask("vm-?", until=NOW - timedelta(minutes=1)).entries == ()
    assert place.ask("vm-*", since=later).entries == ()


def test_the_last_lines_are_shown_and_that_there_are_more(place: Field) -> None:
    place.worker("r1", "vm-a", *(f"line {n}" for n in range(30)))
    found = place.ask("vm-a", lines=10)
    assert [message for message, _ in said(found)] == [f"line {n}" for n in range(20, 30)]
    assert "the last 10 lines: there are more, see --lines and --since" in found.remarks
    assert place.ask("vm-a", lines=30).remarks == ()


def test_a_vm_that_is_gone_is_heard_from_its_log_objects_though_compute_knows_no_more_of_it(place: Field) -> None:
    result = place.wired.launch(1)
    (vm,) = result.created
    place.worker(result.order.run, vm, "I was here", sent=False)
    fleet = place.wired.look()
    proposal = propose_delete(place.wired.profile, fleet, (vm,))
    apply(proposal, profile=place.wired.profile, clients=place.wired.clients, state=place.wired.state, confirm=1)
    assert vm not in place.wired.names()
    assert said(place.ask(vm)) == [("I was here", "log-objects")]
    assert place.asked_compute == 0


def test_a_vm_that_never_logged_is_heard_at_its_serial_port_and_after_its_end_from_the_receipt(place: Field) -> None:
    result = place.wired.launch(1)
    (vm,) = result.created
    greeting = (f"guest of run {result.order.run} is up", "serial")
    place.wired.wait_until(lambda: greeting in said(place.ask(vm, where="serial")), "the guest speaks")
    living = place.ask(vm)
    assert greeting in said(living)
    assert living.strangers == frozenset()
    assert {entry.run for entry in living.entries} == {result.order.run}
    assert not any(entry.timed for entry in living.entries)
    proposal = propose_delete(place.wired.profile, place.wired.look(), (vm,))
    apply(proposal, profile=place.wired.profile, clients=place.wired.clients, state=place.wired.state, confirm=1)
    gone = place.ask(vm)
    assert set(said(living)) <= set(said(gone))
    assert vm not in place.wired.names()


def test_a_stranger_is_heard_by_name_from_cloud_logging_and_is_not_ours(place: Field) -> None:
    place.worker("r1", "vm-a", "ours")
    place.program("web server up", labels={STRANGER_LABEL: "web-1"})
    place.program("", labels={STRANGER_LABEL: "web-1"}, severity="WARNING", status=500, path="/x")
    place.program("chatter", labels={STRANGER_LABEL: "web-1"}, severity="DEBUG")
    found = place.ask("web-1", min_severity="INFO")
    assert said(found) == [("web server up", "cloud-logging"), ('{"path": "/x", "status": 500}', "cloud-logging")]
    assert len(place.ask("web-1").entries) == 3
    assert found.strangers == {"web-1"}
    assert found.summary().endswith("not ours: web-1")
    assert said(place.ask("web-*", grep=Grep("server"))) == [("web server up", "cloud-logging")]
    assert [message for message, _ in said(place.ask())] == ["ours"], "without a name only our own VMs are meant"


def test_a_stranger_without_a_log_is_heard_by_its_id_or_at_its_serial_port(place: Field) -> None:
    identifier = place.stranger("web-2")
    found = place.ask("web-2")
    assert {entry.source for entry in found.entries} == {"serial"}
    assert found.strangers == {"web-2"}
    place.program("only an id", labels={}, instance=identifier)
    found = place.ask("web-2")
    assert said(found) == [("only an id", "cloud-logging")]
    assert (found.entries[0].vm, found.strangers) == ("web-2", {"web-2"})


def test_a_short_name_means_the_vm_of_the_live_run(place: Field) -> None:
    result = place.wired.launch(2)
    names = sorted(result.created)
    for vm in names:
        place.worker(result.order.run, vm, f"I am {vm}")
    assert [message for message, _ in said(place.ask("market-data-shard-1"))] == [f"I am {names[1]}"]
    with pytest.raises(UsageError, match="shard 7"):
        place.ask("market-data-shard-7")


def test_a_name_that_is_nowhere_is_an_error_and_a_quiet_one_is_explained(place: Field) -> None:
    with pytest.raises(UsageError, match="there is no VM 'vm-z'"):
        place.ask("vm-z")
    place.worker("r1", "vm-a", "quite well")
    found = place.ask("vm-a", min_severity="ERROR")
    assert found.entries == ()
    assert any(remark.startswith("vm-a logged last at ") for remark in found.remarks)


def test_a_place_that_is_away_is_told_and_the_others_answer(place: Field) -> None:
    def away() -> Any:
        raise StoreError("the link is down", hint="wait")

    place.worker("r1", "vm-a", "stored")
    found = place.ask("vm-a", logging=away)
    assert said(found) == [("stored", "log-objects")]
    assert found.remarks == ("could not be read: Cloud Logging: the link is down -> wait",)
    with pytest.raises(StoreError, match="link is down"):
        place.ask("vm-a", logging=away, where="cloud")


class Counting:
    """A state bucket in memory that counts what is opened."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.opened: list[str] = []
        self.moment = NOW

    def put(self, name: str, data: bytes, **_how: Any) -> None:
        self.objects[name] = data, self.moment

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (ObjectInfo(name, len(data), 1, "", when) for name, (data, when) in self.objects.items() if name.startswith(prefix))

    def get(self, name: str) -> ObjectData | None:
        self.opened.append(name)
        return ObjectData(self.objects[name][0], 1)


def fill(bucket: Counting, vms: int, minutes: int, lines: int) -> None:
    """Workers that log `lines` a minute and store them at its end."""
    for number in range(vms):
        clock: Callable[[], datetime] = lambda: bucket.moment  # noqa: E731
        logbook = Logbook(stream=io.StringIO(), context={"run": "r1", "vm": f"vm-{number}"}, clock=clock)
        objects = LogObjects(bucket, logbook, run="r1", vm=f"vm-{number}", attempt=1)  # type: ignore[arg-type]
        for minute in range(minutes):
            for line in range(lines):
                bucket.moment = NOW + timedelta(minutes=minute, seconds=line, microseconds=number)
                logbook.info("tick", f"{number} {minute} {line}")
            bucket.moment = NOW + timedelta(minutes=minute, seconds=59)
            objects.flush()


def test_the_newest_lines_open_few_objects() -> None:
    bucket = Counting()
    fill(bucket, vms=20, minutes=30, lines=3)
    pieces = find_log_objects(bucket, ["r1"], lambda _vm: True)
    found = read_newest(bucket, pieces, 50, list, since=NOW)
    assert len(pieces.pieces) == 600
    assert [entry.message.split()[1] for entry in found] == ["29"] * 50
    assert len(bucket.opened) <= 20 * 5 + PARALLEL


@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 4), st.integers(1, 40))
def test_the_newest_lines_are_those_of_all(vms: int, minutes: int, lines: int, wanted: int) -> None:
    bucket = Counting()
    fill(bucket, vms, minutes, lines)
    pieces = find_log_objects(bucket, ["r1"], lambda _vm: True)
    everything = read_newest(bucket, pieces, 10_000, list, since=NOW)
    assert len(everything) == vms * minutes * lines
    assert read_newest(bucket, pieces, wanted, list, since=NOW) == everything[-wanted:]
    assert read_newest(bucket, LogPieces(()), wanted, list, since=NOW) == []


ENTRY = LogEntry(NOW, "INFO", "vm", "r1", "", "", "", {}, "1", "serial")


@given(st.text(max_size=40), st.text(st.characters(exclude_categories=("Cs",)), max_size=10))
def test_grep_never_fails_on_a_message_and_refuses_what_is_no_expression(message: str, expression: str) -> None:
    entry = replace(ENTRY, message=message)
    try:
        grep = Grep(expression)
    except UsageError:
        return
    assert grep.keep([entry]) in ([], [entry])


def test_an_expression_that_would_not_end_elsewhere_ends_here() -> None:
    entry = replace(ENTRY, message="a" * 5_000 + "!")
    assert Grep("(a+)+$").keep([entry]) == []
    for unknown in ("a(?=b)", r"(a)\1", "("):
        with pytest.raises(UsageError, match="RE2"):
            Grep(unknown)


def test_serial_lines_keep_their_order_and_only_those_of_workers_have_a_time() -> None:
    line = json.dumps({"severity": "WARNING", "time": "2024-05-01T06:00:00.000000Z", "message": "slow", "event": "e", "shard": 2})
    text = f"\x1b[32m[  0.5] kernel\x1b[0m\r\n{line}\n\nplain \x07text\n{{not json\n{{}}\n"
    began = datetime(2024, 5, 1, 5, tzinfo=UTC)
    entries = read_serial(text, "vm", run="r1", began=began)
    assert [(entry.message, entry.timed, entry.severity) for entry in entries] == [
        ("[  0.5] kernel", False, "DEFAULT"),
        ("slow", True, "WARNING"),
        ("plain text", False, "DEFAULT"),
        ("{not json", False, "DEFAULT"),
        ("{}", False, "DEFAULT"),
    ]
    assert [entry.timestamp.hour for entry in entries] == [5, 6, 6, 6, 6]
    assert entries[1].shard == "2"


@given(st.text(max_size=60))
def test_nothing_that_a_terminal_would_obey_is_printed(text: str) -> None:
    assert not {character for character in printable(text) if ord(character) < 32 or 127 <= ord(character) < 160} - {"\t"}


def test_the_verb_prints_where_each_line_comes_from(place: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from console import session
    from console.verbs import logs as verb
    from provision.profile import Endpoints

    endpoints = Endpoints(storage=place.wired.profile.endpoints.storage, compute=place.wired.server.url, logging=place.endpoint)
    profile = replace(place.wired.profile, endpoints=endpoints)
    monkeypatch.setattr(verb, "headless_session", lambda _name: session.Session(profile, None))
    place.worker("r1", "vm-a", "all \x1b[31mwell", sent=False)
    place.program("hello", labels={STRANGER_LABEL: "web-1"})
    shown = CliRunner().invoke(verb.logs_command, ["vm-a", "web-1"], standalone_mode=False)
    assert shown.return_value == 0
    lines = shown.stdout.splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "INFO     vm-a all well  [log-objects]",
        "DEFAULT  web-1 (not ours) hello  [cloud-logging]",
    ]
    assert "-- 2 lines of 2 VMs: 1 from log objects, 1 from Cloud Logging; not ours: web-1" in shown.stderr
    rows = [json.loads(line) for line in CliRunner().invoke(verb.logs_command, ["*-1", "vm-?", "--json"]).stdout.splitlines()]
    assert [(row["vm"], row["source"], row["ours"]) for row in rows] == [("vm-a", "log-objects", True), ("web-1", "cloud-logging", False)]
