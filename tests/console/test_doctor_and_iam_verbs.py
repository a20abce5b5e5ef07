"""`tickdeck doctor`, `tickdeck iam` and the checks before `tickdeck deploy`, as a person types them on a local cloud of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.storage_service import open_storage
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud
from provision.local.serving import FAULTS_PATH
from tests.warm_process import run_program

REQUEST = ("--venues", "binance", "--data-types", "trades", "--start", "2024-05-01", "--shards", "2")

PROFILES = """
[profiles.lake]
kind = "gcp"
project = "market-data-prod"
data_bucket = "ticks"
worker_service_account = "worker@market-data-prod.iam.gserviceaccount.com"
tardis_secret = "projects/market-data-prod/secrets/tardis-key/versions/2"
image = "asia-northeast1-docker.pkg.dev/market-data-prod/tickdeck/engine@sha256:{digest}"
owner = "alice@example.com"

[profiles.owned]
kind = "gcp"
project = "market-data-prod"
owner = "data-team"
"""


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal with a local cloud."""

    cloud: Cloud
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program("console.cli", *arguments, environment=self.environment)

    def arm(self, service: str, **fault: Any) -> None:
        local_cloud.call(self.cloud, service, FAULTS_PATH, fault)

    def vms(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(local_cloud.call(self.cloud, "compute", "/_tickdeck/vms"))
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    place: Path = tmp_path_factory.mktemp("operator")
    config = place / "config.toml"
    config.write_text(PROFILES.format(digest="ab" * 32))
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(place / "cloud"), "TICKDECK_CONFIG": str(config)}
    cloud = local_cloud.up(place / "cloud", scenario="tiny")
    try:
        service = open_storage(project="local", endpoint=cloud.url("storage"))
        for bucket in ("market-data-tick", "market-data-tick-state"):
            service.client.create_bucket(bucket)
        yield Operator(cloud, environment)
    finally:
        local_cloud.down(place / "cloud")


@pytest.fixture
def operator(running: Operator) -> Iterator[Operator]:
    """The cloud, sound again after the test."""
    yield running
    for service in ("compute", "platform", "storage"):
        local_cloud.call(running.cloud, service, FAULTS_PATH, method="DELETE")


def levels(text: str) -> dict[str, str]:
    """Check -> level, out of the report's lines."""
    rows = [line for line in text.splitlines() if line[:4].strip() in ("ok", "warn", "bad")]
    return {line[6:24].strip(): line[:4].strip() for line in rows}


def test_a_sound_local_cloud_passes_every_check(operator: Operator) -> None:
    done = operator("doctor", "--vms", "3")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = levels(done.stdout)
    assert len(found) == 18
    assert set(found.values()) == {"ok"}
    assert operator.cloud.api_key not in done.stdout


def test_the_report_as_json_has_the_same_lines_and_the_exit_code(operator: Operator) -> None:
    operator.arm("platform", fault="deny_permission", permission="compute.instances.create")
    done = operator("doctor", "--vms", "3", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"]) == (77, 77)
    (wrong,) = [row for row in report["findings"] if row["level"] == "bad"]
    assert (wrong["check"], wrong["code"], bool(wrong["hint"])) == ("permissions", 77, True)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("tickdeck: permissions: compute.instances.create")


def test_the_code_is_that_of_what_has_to_be_mended_first(operator: Operator) -> None:
    operator.arm("platform", fault="deny_permission", permission="compute.instances.create")
    operator.arm("compute", fault="quota", metric="INSTANCES", limit=2)
    done = operator("doctor", "--vms", "3")
    assert (done.returncode, len(levels(done.stdout))) == (78, 18)
    assert done.stderr.startswith("tickdeck: quota (1 more): INSTANCES in asia-northeast1: 3 needed, 2 of 2 free")


def test_a_launch_that_would_fail_is_stopped_before_anything_is_asked_for(operator: Operator) -> None:
    operator.arm("compute", fault="quota", metric="INSTANCES", limit=1)
    done = operator("deploy", "download", *REQUEST, "--yes", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["run"], report["preflight"]["exit_code"]) == (78, None, 78)
    assert done.stderr.count("\n") == 1
    assert ("--vms 1" in done.stderr, "--skip-preflight REASON" in done.stderr) == (True, True)
    assert operator.vms() == {}
    assert "launch" not in operator("audit").stdout


def test_a_dry_run_says_what_the_launch_would_say(operator: Operator) -> None:
    fine = operator("deploy", "download", *REQUEST, "--dry-run")
    assert (fine.returncode, set(levels(fine.stdout).values())) == (0, {"ok"}), fine.stderr
    assert "local-1, spot, in asia-northeast1-a" in fine.stdout
    would = json.loads(operator("deploy", "download", *REQUEST, "--dry-run", "--json").stdout)["would"]
    assert sorted(would["vms"].values()) == [[0], [1]]
    assert all(name in fine.stdout or name.startswith("market-data-shard-") for name in would["vms"])
    assert would["boot_image"].startswith("projects/cos-cloud/global/images/cos-stable-")
    assert would["boot_image"].rsplit("/", 1)[-1] in fine.stdout
    assert would["cloud_init"] in fine.stdout
    assert operator.vms() == {}
    operator.arm("compute", fault="quota", metric="INSTANCES", limit=1)
    short = operator("deploy", "download", *REQUEST, "--dry-run")
    assert (short.returncode, levels(short.stdout)["quota"], "nothing was started" in short.stdout) == (78, "bad", True)


def test_who_launches_nevertheless_says_why_and_it_is_on_the_audit_trail(operator: Operator) -> None:
    operator.arm("platform", fault="deny_permission", permission="compute.instances.setTags")
    done = operator("deploy", "download", *REQUEST, "--yes", "--skip-preflight", "tags are not used here", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, len(report["created"]), report["preflight"]["exit_code"]) == (0, 2, 77), done.stderr
    records = json.loads(operator("audit", "--json").stdout)
    verbs = [(record["verb"], record["phase"]) for record in records]
    assert verbs[:3] == [("skip-preflight", "intent"), ("skip-preflight", "receipt"), ("launch", "intent")]
    assert (records[0]["reason"], records[0]["plan"]) == ("tags are not used here", report["plan"])
    assert "compute.instances.setTags" in records[1]["items"][0]["why"]
    assert operator("abort", report["run"], "--yes").returncode == 0


def test_the_doctor_looks_for_a_saved_plan(operator: Operator) -> None:
    other_day = [word.replace("05-01", "05-02") for word in REQUEST]
    saved = json.loads(operator("plan", *other_day, "--save", "--json").stdout)
    operator.arm("compute", fault="quota", metric="INSTANCES", limit=len(saved["shards"]) - 1)
    done = operator("doctor", "--plan", saved["id"])
    assert done.returncode == 78
    assert f"{len(saved['shards'])} needed" in done.stderr
    unknown = operator("doctor", "--plan", "0123456789ab")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (78, 1)


# IAM


def test_iam_check_tells_what_both_accounts_have(operator: Operator) -> None:
    done = operator("iam", "check")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[:3] for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"ok"}
    assert {row[1] for row in rows} == {"operator", "worker"}


def test_iam_check_names_what_is_lacking(operator: Operator) -> None:
    operator.arm("platform", fault="deny_permission", permission="iam.serviceAccounts.actAs")
    done = operator("iam", "check", "--json")
    assert done.returncode == 77
    lacking = [row for row in json.loads(done.stdout) if row["state"] == "lacking"]
    assert [(row["account"], row["on"]["kind"], row["lacking"]) for row in lacking] == [
        ("operator", "account", ["iam.serviceAccounts.actAs"])
    ]
    assert done.stderr.startswith("tickdeck: the operator lacks iam.serviceAccounts.actAs on account tickdeck-worker@local")


def test_iam_setup_prints_lines_that_are_the_argument_lists(operator: Operator) -> None:
    printed = operator("iam", "setup", "--print", "--profile", "lake")
    assert printed.returncode == 0, printed.stderr
    lines = [tuple(shlex.split(line)) for line in printed.stdout.splitlines() if not line.startswith("#")]
    document = json.loads(operator("iam", "setup", "--json", "--profile", "lake").stdout)
    assert lines == [tuple(step["argv"]) for step in document["steps"]]
    assert {line[0] for line in lines} == {"gcloud"}
    assert any("--member=user:alice@example.com" in line for line in lines)
    assert document["left_out"] == []
    bound = [binding["role"] for binding in document["bindings"]]
    assert len(bound) == sum("add-iam-policy-binding" in line for line in lines)


def test_iam_setup_asks_nobody(operator: Operator) -> None:
    """Neither a gcloud nor a service: it works without a cloud."""
    nowhere = {**operator.environment, "TICKDECK_LOCAL_DIR": "/nonexistent", "PATH": "/nonexistent", "TICKDECK_LOOPBACK_ONLY": "1"}
    done = Operator(operator.cloud, nowhere)("iam", "setup", "--print", "--profile", "lake")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--print"),
        (("--print", "--profile", "owned"), "--operator"),
        (("--print", "--profile", "lake", "--operator", "alice"), "user:alice@example.com"),
    ],
)
def test_iam_setup_says_what_it_does_not_know(operator: Operator, arguments: tuple[str, ...], words: str) -> None:
    done = operator("iam", "setup", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1)
    assert words in done.stderr
