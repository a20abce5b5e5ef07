"""`engine doctor`: every line of it, over the wire, against servers that are well, refuse, hang, or are not there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.clock import utc_now
from engine.conversion.plain_cells import is_built
from engine.doctor import cloud as cloud_checks
from engine.doctor import machine as machine_checks
from engine.doctor.checkup import Check, checks_of, examine, verdict
from engine.doctor.finding import Finding, Level, bad, good, warn
from engine.errors import ExitCode, StoreError
from engine.settings import Settings, resolve
from tests.command_host import Answer, CommandHost
from tests.local_servers import KEY, Lake
from tests.unprivileged import unprivileged

NAMES = [check.name for check in checks_of(resolve({}), deep=True)]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def host() -> Iterator[CommandHost]:
    """A process that runs the doctor many times."""
    with CommandHost({"TICKDECK_LOOPBACK_ONLY": "1"}) as host:
        yield host


Report = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def report(host: CommandHost, lake: Lake) -> Report:
    """Examines a lake that is well but for some variables."""
    return lambda *arguments, **environment: examined(
        host.run("engine", "doctor", "--json", *arguments, **(lake.environment | environment))
    )


def examined(answer: Answer) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the worst finding of each check."""
    assert KEY not in answer.out + answer.err
    document = json.loads(answer.out)
    assert document["exit_code"] == answer.code
    found: dict[str, dict[str, Any]] = {}
    for finding in document["findings"]:
        if finding["check"] not in found or finding["code"] > found[finding["check"]]["code"]:
            found[finding["check"]] = finding
    return answer.code, found


def test_where_all_is_well_every_line_says_so(lake: Lake) -> None:
    result = lake.engine("doctor")
    assert (result.returncode, result.stderr) == (0, "")
    levels = {line[6:26].strip(): line[:4].strip() for line in result.stdout.splitlines()}
    assert list(levels) == NAMES[:-1]
    # What this machine has is not ours to say; nothing of it stops the work.
    asked = [name for name in levels if name not in ("temporary disk", "memory", "processors", "open files")]
    assert {levels[name] for name in asked} == {"ok"}
    assert "bad" not in levels.values()
    assert KEY not in result.stdout


def test_a_deep_look_tries_the_state_bucket_and_leaves_nothing(lake: Lake, report: Report) -> None:
    code, found = report("--deep")
    assert code == 0
    assert list(found) == NAMES
    assert found["state bucket probe"]["level"] == "ok"
    assert [*lake.data.list(""), *lake.state.list("")] == []
    counts = lake.storage.get("/_tickdeck/requests")["counts"]
    assert counts["objects.delete"] >= 1, "it was there"


@pytest.mark.parametrize(
    ("environment", "check", "code", "says", "step"),
    [
        ({"BATCH_SIZE": "50"}, "settings", 78, "BATCH_SIZE=50 (environment BATCH_SIZE)", "set 100 or more"),
        ({"LOG_LEVEL": "LOUD"}, "settings", 78, "LOG_LEVEL='LOUD'", "set one of"),
        ({"TARDIS_API_KEY": "wrong"}, "source key", 77, "refuses it (401)", "check TARDIS_API_KEY"),
        ({"TARDIS_API_KEY": "TD.key\n"}, "source key", 78, "line breaks", "set TARDIS_API_KEY again"),
        ({"DATA_BUCKET": "no-such-lake"}, "data bucket", 78, "bucket no-such-lake does not exist", "create it"),
        ({"STATE_BUCKET": "no-such-state"}, "state bucket", 78, "bucket no-such-state does not exist", "create it"),
        ({"TARDIS_API_URL": f"{NOBODY}/v1"}, "source API", 69, "no connection: Connection refused", "TARDIS_API_URL"),
        ({"TARDIS_DATASETS_URL": f"{NOBODY}/v1"}, "source files", 69, "no connection: Connection refused", "TARDIS_DATASETS_URL"),
        ({"STORAGE_EMULATOR_HOST": NOBODY}, "state bucket", 69, "no connection to 127.0.0.1:1", "check the network"),
        ({"STORAGE_EMULATOR_HOST": "http://10.0.0.1"}, "data bucket", 78, "'http://10.0.0.1' is not on this machine", "127.0.0.1"),
        ({"STORAGE_EMULATOR_HOST": ""}, "addresses", 78, "the source is on this machine", "set STORAGE_EMULATOR_HOST too"),
        ({"TARDIS_API_URL": "https://api.tardis.dev/v1"}, "addresses", 78, "one half of the source", "set both"),
    ],
)
def test_what_is_wrong_has_a_line_a_step_and_its_code(
    report: Report, environment: dict[str, str], check: str, code: int, says: str, step: str
) -> None:
    exit_code, found = report(**environment)
    finding = found[check]
    assert (finding["level"], finding["code"]) == ("bad", code)
    assert says in finding["message"]
    assert step in finding["hint"]
    assert exit_code >= code
    assert list(found) == NAMES[:-1], "the others were looked at all the same"


def test_one_bucket_for_both_is_refused(lake: Lake, report: Report) -> None:
    code, found = report(STATE_BUCKET=lake.data.bucket)
    assert code == ExitCode.CONFIGURATION
    assert found["two buckets"]["level"] == "bad"


def test_without_a_key_it_warns_and_work_may_begin(report: Report) -> None:
    code, found = report(TARDIS_API_KEY="")
    assert (code, found["source key"]["level"]) == (0, "warn")


def test_where_nothing_answers_every_line_is_there(lake: Lake) -> None:
    nowhere = {"STORAGE_EMULATOR_HOST": NOBODY, "TARDIS_API_URL": f"{NOBODY}/v1", "TARDIS_DATASETS_URL": f"{NOBODY}/v1"}
    result = lake.engine("doctor", **nowhere)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert [line[6:26].strip() for line in result.stdout.splitlines()] == NAMES[:-1]
    assert len(result.stderr.splitlines()) == 1
    assert " -> " in result.stderr
    assert all(" -> " in line for line in result.stdout.splitlines() if not line.startswith("ok"))


def test_a_check_that_hangs_or_breaks_costs_its_line_only() -> None:
    never = threading.Event()

    def breaks() -> list[Finding]:
        raise ZeroDivisionError("of all things")

    def refuses() -> list[Finding]:
        raise StoreError("gs://b: gone", hint="look")

    checks = (
        Check("first", lambda: [good("first", "well")]),
        Check("hangs", lambda: [good("hangs", str(never.wait()))]),
        Check("breaks", breaks),
        Check("refuses", refuses),
        Check("last", lambda: [good("last", "well"), good("last", "and good")]),
    )
    findings = list(examine(checks, limit_seconds=0.5))
    assert [finding.check for finding in findings] == ["first", "hangs", "breaks", "refuses", "last", "last"]
    assert [finding.level for finding in findings] == [Level.OK, Level.BAD, Level.BAD, Level.BAD, Level.OK, Level.OK]
    assert "no answer within 0.5 s" in findings[1].message
    assert "ZeroDivisionError" in findings[2].message
    never.set()


@pytest.mark.slow
def test_a_host_that_accepts_and_says_nothing_does_not_hold_the_report_up(report: Report) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, found = report(STORAGE_EMULATOR_HOST=url, TARDIS_API_URL=f"{url}/v1", TARDIS_DATASETS_URL=f"{url}/v1")
    assert code == ExitCode.UNAVAILABLE
    assert list(found) == NAMES[:-1]
    assert {found[name]["level"] for name in ("source API", "source files", "data bucket", "state bucket")} == {"bad"}


def test_the_code_is_that_of_what_has_to_be_mended_first() -> None:
    reach, permission, setting = (
        bad("x", "y", "z", code) for code in (ExitCode.UNAVAILABLE, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION)
    )
    assert verdict([good("x", "y"), warn("x", "y", "z")]) == 0
    assert verdict([permission, reach]) == ExitCode.NOT_PERMITTED
    assert verdict([reach, setting, permission]) == ExitCode.CONFIGURATION


# Servers that say what no well one says.


@dataclass
class Scripted:
    """An HTTP server that answers every path by a table: the first key that the path holds wins."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    clock: timedelta = timedelta()
    """How far its clock is ahead."""

    def settings(self, **environment: str) -> Settings:
        api = f"{self.url}/v1"
        addresses = {"STORAGE_EMULATOR_HOST": self.url, "TARDIS_API_URL": api, "TARDIS_DATASETS_URL": api, "TARDIS_API_KEY": KEY}
        return resolve(addresses | {"DATA_BUCKET": "lake"} | environment)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = next((answer for key, answer in script.answers.items() if key in self.path), (200, {}))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + script.clock, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert KEY not in str(finding)
    return finding


@pytest.mark.parametrize(
    ("seconds", "level", "says"),
    [
        (0, Level.OK, "as 127.0.0.1"),
        (3, Level.OK, "as 127.0.0.1"),
        (-3, Level.OK, "as 127.0.0.1"),
        (20, Level.WARN, "behind"),
        (-20, Level.WARN, "ahead of"),
        (60, Level.BAD, "behind"),
        (-3600, Level.BAD, "ahead of"),
    ],
)
def test_a_clock_is_compared_with_theirs(scripted: Scripted, seconds: int, level: Level, says: str) -> None:
    scripted.clock = timedelta(seconds=seconds)
    finding = only(cloud_checks.check_clock(scripted.settings(), utc_now))
    assert (finding.level, finding.code) == (level, ExitCode.CONFIGURATION if level is Level.BAD else ExitCode.DONE)
    assert says in finding.message


def test_the_storage_server_tells_the_time_where_the_source_does_not(scripted: Scripted) -> None:
    scripted.clock = timedelta(seconds=-100)
    settings = scripted.settings(TARDIS_API_URL=f"{NOBODY}/v1")
    assert only(cloud_checks.check_clock(settings, utc_now)).level is Level.BAD
    settings = scripted.settings(TARDIS_API_URL=f"{NOBODY}/v1", STORAGE_EMULATOR_HOST=NOBODY)
    assert only(cloud_checks.check_clock(settings, utc_now)).level is Level.WARN


def test_a_clock_that_is_set_while_we_look_is_noticed(scripted: Scripted) -> None:
    moments = iter([utc_now(), utc_now() + timedelta(hours=9)])
    assert "was set" in only(cloud_checks.check_clock(scripted.settings(), lambda: next(moments))).message


def plan_row(**values: str) -> dict[str, str]:
    return {"exchange": "binance", "dataPlan": "pro", "to": "2030-01-01T00:00:00.000Z"} | values


@pytest.mark.parametrize(
    ("status", "body", "level", "code", "says"),
    [
        (200, [plan_row(), plan_row(exchange="deribit")], Level.OK, 0, "plan pro, 2 venues, until 2030-01-01"),
        (200, [plan_row(to="2024-04-30T00:00:00.000Z")], Level.BAD, 77, "it ended on 2024-04-30"),
        (200, [plan_row(to="2024-05-08T00:00:00.000Z"), plan_row(to="2024-01-01T00:00:00.000Z")], Level.WARN, 0, "until 2024-05-08"),
        (200, {"plan": "business"}, Level.OK, 0, "plan business"),
        (200, ["what", 7, None], Level.OK, 0, "the source takes it"),
        (200, [plan_row(to="some day")], Level.OK, 0, "1 venues"),
        (401, {}, Level.BAD, 77, "refuses it (401)"),
        (403, {}, Level.BAD, 77, "in use elsewhere"),
        (404, {}, Level.WARN, 0, "HTTP 404"),
        (500, {}, Level.WARN, 0, "HTTP 500"),
    ],
)
def test_a_key_is_judged_by_what_the_source_says(scripted: Scripted, status: int, body: Any, level: Level, code: int, says: str) -> None:
    scripted.answers = {"/v1/api-key-info": (status, body)}
    finding = only(cloud_checks.check_key(scripted.settings(), lambda: datetime(2024, 5, 1, tzinfo=UTC)))
    assert (finding.level, int(finding.code)) == (level, code)
    assert says in finding.message


@pytest.mark.parametrize(
    ("status", "level", "code"), [(200, Level.OK, 0), (404, Level.WARN, 0), (429, Level.BAD, 69), (503, Level.BAD, 69)]
)
def test_a_source_is_judged_by_its_status(scripted: Scripted, status: int, level: Level, code: int) -> None:
    scripted.answers = {"/v1/": (status, {})}
    for check in (cloud_checks.check_source, cloud_checks.check_datasets):
        finding = only(check(scripted.settings()))
        assert (finding.level, int(finding.code)) == (level, code)


REFUSED = {"error": {"code": 403, "message": "worker@project does not have storage.objects.list access"}}
ALL = ["storage.objects.create", "storage.objects.get", "storage.objects.list", "storage.objects.delete"]


@pytest.mark.parametrize(
    ("which", "granted", "level", "says"),
    [
        ("data", ALL, Level.OK, "can be listed and written"),
        ("data", ALL[:3], Level.OK, "can be listed and written"),
        ("data", ALL[1:3], Level.BAD, "storage.objects.create is not granted"),
        ("state", ALL, Level.OK, "can be listed and written"),
        ("state", ALL[:3], Level.BAD, "storage.objects.delete is not granted"),
        ("state", [], Level.BAD, "storage.objects.create, storage.objects.delete, storage.objects.get"),
    ],
)
def test_permissions_are_asked_for_not_tried(scripted: Scripted, which: str, granted: list[str], level: Level, says: str) -> None:
    scripted.answers = {"testPermissions": (200, {"permissions": granted})}
    finding = only(cloud_checks.check_bucket(scripted.settings(), which=which))
    assert (finding.level, finding.code) == (level, ExitCode.NOT_PERMITTED if level is Level.BAD else ExitCode.DONE)
    assert says in finding.message


def test_a_bucket_that_may_not_be_listed_says_what_google_said(scripted: Scripted) -> None:
    scripted.answers = {"/o?": (403, REFUSED)}
    finding = only(cloud_checks.check_bucket(scripted.settings(), which="data"))
    assert (finding.level, finding.code) == (Level.BAD, ExitCode.NOT_PERMITTED)
    assert REFUSED["error"]["message"] in finding.message
    assert "http" not in finding.message


def test_permissions_that_cannot_be_asked_about_are_a_warning(scripted: Scripted) -> None:
    scripted.answers = {"testPermissions": (501, {"error": {"code": 501, "message": "no such method"}})}
    assert only(cloud_checks.check_bucket(scripted.settings(), which="data")).level is Level.WARN


DELETING = {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}}
COOLING = {"lifecycle": {"rule": [{"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 30}}]}}
RETAINING = {"retentionPolicy": {"retentionPeriod": "86400"}}


@pytest.mark.parametrize(
    ("which", "bucket", "level", "says"),
    [
        ("data", {"location": "ASIA-NORTHEAST1", "versioning": {"enabled": True}}, Level.OK, "in asia-northeast1, versioned"),
        ("data", COOLING, Level.OK, "deletes nothing by itself"),
        ("data", DELETING, Level.WARN, "deletes by itself: age 30"),
        ("state", DELETING, Level.WARN, "deletes by itself: age 30"),
        ("data", RETAINING, Level.OK, "keeps objects for 24 h"),
        ("state", RETAINING, Level.BAD, "claims and heartbeats cannot be replaced"),
    ],
)
def test_rules_that_touch_objects_are_told(scripted: Scripted, which: str, bucket: dict[str, Any], level: Level, says: str) -> None:
    scripted.answers = {"/storage/v1/b/lake": (200, {"kind": "storage#bucket", "name": "lake"} | bucket)}
    finding = only(cloud_checks.check_rules(scripted.settings(), which=which))
    assert finding.level is level
    assert says in finding.message


def test_rules_that_may_not_be_read_are_no_trouble(scripted: Scripted) -> None:
    scripted.answers = {"/storage/v1/b/lake": (403, REFUSED)}
    assert only(cloud_checks.check_rules(scripted.settings(), which="data")).level is Level.OK


# This machine.


@pytest.mark.parametrize(
    ("look", "environment", "level", "says"),
    [
        (machine_checks.check_memory, {"BYTES_IN_FLIGHT_MIB": "16", "MEMORY_THRESHOLD": "85"}, Level.OK, "in flight"),
        (machine_checks.check_memory, {"MEMORY_THRESHOLD": "99"}, Level.WARN, "99 %"),
        (
            machine_checks.check_memory,
            {"BYTES_IN_FLIGHT_MIB": "99999999", "MAX_CONCURRENT": "99999", "SPOOL_MEMORY_MIB": "4096"},
            Level.WARN,
            "more than the threshold",
        ),
        (machine_checks.check_processors, {"CONVERTERS": "5000"}, Level.WARN, "5000 converters"),
        (machine_checks.check_open_files, {"MAX_CONCURRENT": "1", "MAX_PARALLEL_UPLOADS": "1"}, Level.OK, "1 downloads and 1 uploads"),
        (machine_checks.check_open_files, {"MAX_CONCURRENT": "500000000"}, Level.WARN, "500000000 downloads"),
        (machine_checks.check_disk, {"BYTES_IN_FLIGHT_MIB": "999999999"}, Level.WARN, "at worst"),
    ],
)
def test_settings_that_ask_for_more_than_there_is_are_told(
    look: Callable[[Settings], list[Finding]], environment: dict[str, str], level: Level, says: str
) -> None:
    finding = only(look(resolve(environment)))
    assert finding.level is level, finding
    assert says in finding.message
    assert bool(finding.hint) == (level is not Level.OK)


def test_a_setting_that_cannot_be_read_is_complained_of_once(report: Report) -> None:
    _, found = report(MAX_CONCURRENT="abc")
    assert [name for name, finding in found.items() if finding["level"] == "bad"] == ["settings"]
    assert found["memory"]["hint"] == "see settings"


def test_a_temporary_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)
    environment = {
        "TMPDIR": str(sealed),
        "TARDIS_API_URL": f"{NOBODY}/v1",
        "TARDIS_DATASETS_URL": f"{NOBODY}/v1",
        "STORAGE_EMULATOR_HOST": NOBODY,
    }
    argv = unprivileged("-m", "engine.cli", "doctor")
    result = subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False)
    (line,) = (line for line in result.stdout.splitlines() if "temporary disk" in line)
    assert line.startswith("warn")
    assert f"TMPDIR={sealed} cannot be used" in line


def test_what_runs_half_here_and_half_there_is_refused() -> None:
    real = resolve({})
    here = resolve({"STORAGE_EMULATOR_HOST": NOBODY})
    assert only(machine_checks.check_mixture(real, {})).level is Level.OK
    assert only(machine_checks.check_mixture(here, {})).level is Level.OK, "the real source into a lake on this machine"
    assert only(machine_checks.check_mixture(real, {"BIGQUERY_EMULATOR_HOST": NOBODY})).code == ExitCode.CONFIGURATION
    assert only(machine_checks.check_mixture(here, {"BIGQUERY_EMULATOR_HOST": NOBODY})).level is Level.OK
    assert only(machine_checks.check_mixture(real, {"TICKDECK_LOOPBACK_ONLY": "1"})).code == ExitCode.CONFIGURATION
    assert only(machine_checks.check_mixture(here, {"TICKDECK_LOOPBACK_ONLY": "1"})).code == ExitCode.CONFIGURATION
    allowed = {"TICKDECK_LOOPBACK_ONLY": "api.tardis.dev,datasets.tardis.dev"}
    assert only(machine_checks.check_mixture(here, allowed)).level is Level.OK
    loud = resolve({"STORAGE_EMULATOR_HOST": NOBODY, "TICKDECK_CLOUD_LOGGING": "1"})
    assert only(machine_checks.check_mixture(loud, {})).level is Level.WARN


def test_versions_name_what_is_installed() -> None:
    finding = only(machine_checks.check_versions())
    assert finding.level is (Level.OK if is_built() else Level.WARN)
    assert "pyarrow" in finding.message


def test_versions_say_where_rows_are_read_without_the_library_in_c() -> None:
    code = "from engine.doctor.machine import check_versions; [found] = check_versions(); print(found.level, found.line)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"TICKDECK_PLAIN_CELLS": "0"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(Level.WARN)
    assert "no parser in C -> install a C compiler" in done.stdout
