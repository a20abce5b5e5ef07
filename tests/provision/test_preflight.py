"""The checks of a launch: each thing that can be wrong, made wrong over the wire, gives its line, its code and its next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.clock import utc_now
from engine.doctor.checkup import examine
from engine.doctor.finding import Finding, Level
from engine.errors import ExitCode
from provision.errors import WriteRefused
from provision.preflight import Preflight, check_addresses, checks_of, fleet_of, record_skip, run_checks
from provision.profile import Profile
from provision.resources import find_boot_image
from tests.local_servers import KEY, LocalServer
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import DIGEST, gcp_profile, local_profile, make_plan
from tests.provision.platform_projects import ProjectOnServer, make_project

NAMES = [
    *(
        "credentials",
        "APIs",
        "permissions",
        "two buckets",
        "data bucket",
        "data bucket rules",
        "state bucket",
        "state bucket rules",
        "image",
        "boot image",
    ),
    *("worker account", "worker permissions", "machine types", "quota", "addresses", "secret", "source key", "clock"),
]


@dataclass
class Launchpad:
    """A project with everything that a launch needs, on servers of its own."""

    profile: Profile
    project: ProjectOnServer
    wired: Wired
    storage: LocalServer
    source: LocalServer

    def look(self, *only: str, vms: int = 2, key: str = KEY, clock: Callable[[], datetime] = utc_now, **changes: Any) -> list[Finding]:
        """The findings of all checks, or of some."""
        profile = replace(self.profile, **changes)
        checks = checks_of(profile, fleet_of(profile, vms=vms), api_key=key, clock=clock)
        return list(run_checks([check for check in checks if not only or check.name in only]))

    def one(self, name: str, **changes: Any) -> Finding:
        """The one finding of a check."""
        (finding,) = self.look(name, **changes)
        return finding


@pytest.fixture
def pad(wired: Wired, platform_server: LocalServer, storage_server: LocalServer, tiny_source: LocalServer) -> Iterator[Launchpad]:
    api = f"{tiny_source.url}/v1"
    endpoints = replace(wired.profile.endpoints, platform=platform_server.url, tardis_api=api, tardis_datasets=api)
    project = make_project(platform_server, wired.profile.project, data_bucket=wired.profile.data_bucket, endpoints=endpoints)
    yield Launchpad(project.profile, project, wired, storage_server, tiny_source)
    for server in (platform_server, storage_server, tiny_source):
        server.disarm()


def test_where_all_is_well_every_check_says_so(pad: Launchpad) -> None:
    findings = pad.look()
    assert [finding.check for finding in findings] == NAMES
    assert [finding.line for finding in findings if finding.level is not Level.OK] == []
    assert Preflight(tuple(findings)).code is ExitCode.DONE
    assert KEY not in "".join(finding.line for finding in findings)


def test_looking_changes_nothing(pad: Launchpad) -> None:
    before = pad.storage.get("/_tickdeck/requests")["counts"]
    pad.look()
    after = pad.storage.get("/_tickdeck/requests")["counts"]
    added = {operation for operation, count in after.items() if count > before.get(operation, 0)}
    assert added <= {"objects.list", "buckets.get", "buckets.testIamPermissions", "buckets.getIamPolicy"}
    assert {row["method"] for row in pad.project.asked()} <= {"GET", "POST"}
    assert all(row["method"] == "GET" or row["path"].endswith((":testIamPermissions", ":getIamPolicy")) for row in pad.project.asked())
    assert pad.wired.vms() == ()


@pytest.mark.parametrize(
    ("fault", "check", "code", "words"),
    [
        ({"fault": "missing_api", "service": "compute.googleapis.com"}, "APIs", ExitCode.CONFIGURATION, "gcloud services enable compute"),
        (
            {"fault": "deny_permission", "permission": "compute.instances.create"},
            "permissions",
            ExitCode.NOT_PERMITTED,
            "compute.instances.create",
        ),
        ({"fault": "missing_image"}, "image", ExitCode.CONFIGURATION, "does not exist"),
        ({"fault": "missing_account"}, "worker account", ExitCode.CONFIGURATION, "does not exist"),
        ({"fault": "deny_permission", "permission": "iam.serviceAccounts.actAs"}, "worker account", ExitCode.NOT_PERMITTED, "actAs"),
        ({"fault": "missing_secret"}, "secret", ExitCode.CONFIGURATION, "does not exist"),
        ({"fault": "missing_api", "service": "secretmanager.googleapis.com"}, "secret", ExitCode.CONFIGURATION, "not enabled"),
        ({"fault": "status", "status": 503}, "APIs", ExitCode.UNAVAILABLE, "503"),
    ],
)
def test_what_is_wrong_with_a_project_stops_a_launch(pad: Launchpad, fault: dict[str, Any], check: str, code: ExitCode, words: str) -> None:
    pad.project.arm(**fault)
    finding = pad.one(check)
    assert (finding.level, finding.code) == (Level.BAD, code), finding
    assert words in finding.line
    assert finding.hint


@pytest.mark.parametrize(
    ("permission", "check"),
    [
        ("serviceusage.services.get", "APIs"),
        ("artifactregistry.dockerimages.get", "image"),
        ("iam.serviceAccounts.get", "worker account"),
        ("secretmanager.versions.get", "secret"),
        ("resourcemanager.projects.getIamPolicy", "worker permissions"),
    ],
)
def test_what_may_not_be_looked_at_is_a_warning(pad: Launchpad, permission: str, check: str) -> None:
    pad.project.arm(fault="deny_permission", permission=permission)
    finding = pad.one(check)
    assert (finding.level, permission in finding.line) == (Level.WARN, True), finding


def test_a_project_that_may_not_delete_by_name_can_still_launch(pad: Launchpad) -> None:
    pad.project.arm(fault="deny_permission", permission="compute.instances.delete")
    finding = pad.one("permissions")
    assert (finding.level, "under a condition" in finding.message) == (Level.OK, True)


def test_a_disabled_account_and_a_default_one_are_noticed(pad: Launchpad) -> None:
    email = pad.profile.worker_service_account
    pad.project.describe(service_accounts={email: True, "1-compute@developer.gserviceaccount.com": False})
    assert (pad.one("worker account").code, "disabled" in pad.one("worker account").line) == (ExitCode.CONFIGURATION, True)
    default = pad.one("worker account", worker_service_account="1-compute@developer.gserviceaccount.com")
    assert (default.level, "far more" in default.line) == (Level.WARN, True)


@pytest.mark.parametrize("state", ["DISABLED", "DESTROYED"])
def test_a_version_of_the_secret_that_cannot_be_read_is_noticed(pad: Launchpad, state: str) -> None:
    pad.project.describe(secrets={"tardis-key": {"1": state}})
    assert state.lower() in pad.one("secret").line
    assert pad.one("secret").code is ExitCode.CONFIGURATION


def test_latest_is_a_version_that_may_change_during_a_run(pad: Launchpad) -> None:
    latest = pad.profile.tardis_secret.replace("/1", "/latest")
    assert pad.one("secret", tardis_secret=latest).level is Level.WARN


def test_the_value_of_the_secret_is_never_asked_for(pad: Launchpad) -> None:
    pad.look()
    assert not [row for row in pad.project.asked() if "access" in row["path"]]


def test_another_digest_is_another_image(pad: Launchpad) -> None:
    other = pad.profile.image.replace(DIGEST, "sha256:" + "cd" * 32)
    assert (pad.one("image", image=other).code, pad.one("image").code) == (ExitCode.CONFIGURATION, ExitCode.DONE)


def test_a_family_is_the_image_of_today_and_one_that_is_not_there_stops_a_launch(pad: Launchpad) -> None:
    family = "projects/cos-cloud/global/images/family/cos-stable"
    found = find_boot_image(pad.wired.clients, family)
    assert found.name.startswith("projects/cos-cloud/global/images/cos-stable-")
    assert found.made is not None
    assert find_boot_image(pad.wired.clients, found.name) == found
    assert pad.one("boot image", boot_image=family).message.startswith(found.name.rsplit("/", 1)[-1])
    for name in (family.replace("stable", "stabel"), "projects/cos-cloud/global/images/cos-0", "projects/nobody/global/images/family/x"):
        finding = pad.one("boot image", boot_image=name)
        assert (finding.level, finding.code) == (Level.BAD, ExitCode.CONFIGURATION), name
        assert name in finding.message


@pytest.mark.parametrize("status", [404, 501])
def test_a_local_cloud_that_an_update_left_running_is_told_to_be_started_anew(pad: Launchpad, status: int) -> None:
    """An older server does not know the question."""
    family = "projects/cos-cloud/global/images/family/cos-stable"
    pad.wired.server.post("/_tickdeck/faults", {"fault": "status", "status": status, "match": "global/images", "count": 100})
    try:
        finding = pad.one("boot image", boot_image=family)
    finally:
        pad.wired.server.disarm()
    assert finding.level is Level.BAD
    assert "tickdeck local down, then tickdeck local up" in finding.hint


@pytest.mark.parametrize(
    ("image", "level"),
    [("tickdeck-engine", Level.OK), (f"registry.example.com/engine@{DIGEST}", Level.OK), ("x.pkg.dev/p/r/e:1", Level.OK)],
)
def test_on_this_machine_nothing_is_pulled(pad: Launchpad, image: str, level: Level) -> None:
    assert pad.one("image", image=image).level is level


def test_a_worker_without_its_roles_is_warned_about(pad: Launchpad) -> None:
    pad.project.set_policy(f"projects/{pad.profile.project}")
    finding = pad.one("worker permissions")
    assert (finding.level, "logging.logEntries.create" in finding.line) == (Level.WARN, True)


# Buckets


def test_an_operator_need_not_write_into_the_lake_but_into_the_state(pad: Launchpad) -> None:
    denied = {"fault": "deny_permission", "permission": "storage.objects.create"}
    pad.storage.post("/_tickdeck/faults", {**denied, "match": pad.profile.data_bucket})
    found = {finding.check: finding for finding in pad.look("data bucket", "state bucket")}
    assert found["data bucket"].level is Level.OK
    assert found["state bucket"].code is ExitCode.NOT_PERMITTED
    assert "storage.objects.create" in found["state bucket"].line


def test_a_bucket_that_is_not_there_stops_a_launch(pad: Launchpad) -> None:
    finding = pad.one("state bucket", state_bucket="no-such-bucket")
    assert (finding.level, "no-such-bucket" in finding.line) == (Level.BAD, True)


def test_data_and_state_are_two_buckets(pad: Launchpad) -> None:
    assert pad.one("two buckets", state_bucket=pad.profile.data_bucket).code is ExitCode.CONFIGURATION


# Machines


def test_a_quota_that_is_short_is_named_with_what_is_needed_free_and_where_and_how_many_fit(pad: Launchpad) -> None:
    pad.wired.arm(fault="quota", metric="PREEMPTIBLE_CPUS", limit=100)
    finding = pad.one("quota", vms=20, machine_types=("e2-highmem-8", "e2-standard-8"))
    assert finding.message == "PREEMPTIBLE_CPUS in asia-northeast1: 160 needed, 100 of 100 free: 12 of 20 VMs fit"
    assert (finding.code, "--vms 12" in finding.hint) == (ExitCode.CONFIGURATION, True)
    assert pad.one("quota", vms=12, machine_types=("e2-highmem-8",)).level is Level.OK


def test_every_quota_that_is_short_has_its_line_and_the_offer_fits_all_of_them(pad: Launchpad) -> None:
    pad.wired.arm(fault="quota", metric="INSTANCES", limit=7)
    pad.wired.arm(fault="quota", metric="DISKS_TOTAL_GB", limit=50)
    findings = pad.look("quota", vms=10)
    assert [finding.message.split()[0] for finding in findings] == ["INSTANCES", "DISKS_TOTAL_GB"]
    assert all("--vms 5" in finding.hint for finding in findings), findings


def test_what_runs_already_is_not_free(pad: Launchpad) -> None:
    pad.wired.launch(2)
    pad.wired.arm(fault="quota", metric="IN_USE_ADDRESSES", limit=3)
    assert "2 needed, 1 of 3 free" in pad.one("quota", vms=2).message


def test_where_nothing_fits_no_number_is_offered(pad: Launchpad) -> None:
    pad.wired.arm(fault="quota", metric="INSTANCES", limit=0)
    assert "--vms" not in pad.one("quota").hint


def test_zones_that_do_not_offer_the_type_are_told(pad: Launchpad) -> None:
    assert "in all 2 zones" in pad.one("machine types", machine_types=("e2-highmem-8",)).message
    some = pad.one("machine types", machine_types=("e2-highmem-8", "x9-mega-512"))
    assert (some.level, "nowhere: x9-mega-512" in some.message) == (Level.WARN, True)
    none = pad.one("machine types", machine_types=("x9-mega-512",))
    assert (none.code, "x9-mega-512" in none.message) == (ExitCode.CONFIGURATION, True)


def test_a_zone_that_is_not_in_the_region_is_told_with_those_that_are(pad: Launchpad) -> None:
    finding = pad.one("machine types", zones=("asia-northeast1-z",))
    assert (finding.code, "asia-northeast1-b" in finding.hint) == (ExitCode.CONFIGURATION, True)


def test_a_service_that_is_away_is_a_line_and_the_others_are_there(pad: Launchpad) -> None:
    pad.wired.arm(fault="status", status=503, match=f"/projects/{pad.profile.project}")
    findings = {finding.check: finding for finding in pad.look()}
    assert list(findings) == NAMES
    assert {check for check, finding in findings.items() if finding.level is Level.BAD} == {"machine types", "quota"}
    assert (findings["quota"].code, "read region" in findings["quota"].message) == (ExitCode.UNAVAILABLE, True)


# The source


def test_a_key_that_is_refused_stops_a_launch_and_is_not_repeated(pad: Launchpad) -> None:
    wrong = "TD.wrong-key-of-somebody"
    finding = pad.one("source key", key=wrong)
    assert (finding.code, wrong in finding.line) == (ExitCode.NOT_PERMITTED, False)


def test_vms_may_have_a_key_that_this_machine_has_not(pad: Launchpad) -> None:
    assert pad.one("source key", key="").level is Level.OK
    assert pad.one("source key", key="", tardis_secret="").level is Level.WARN


def test_a_clock_that_is_off_stops_a_launch(pad: Launchpad) -> None:
    late = pad.one("clock", clock=lambda: datetime.now(UTC) - timedelta(minutes=10))
    assert (late.code, "behind" in late.line) == (ExitCode.CONFIGURATION, True)


KEYED = gcp_profile(api_keys=2, addresses_per_key=3)


@pytest.mark.parametrize(
    ("profile", "vms", "level", "words"),
    [
        (KEYED, 6, Level.OK, "allow 6"),
        (KEYED, 7, Level.BAD, "--vms 6"),
        (gcp_profile(), 2, Level.WARN, "addresses_per_key"),
        (gcp_profile(), 1, Level.OK, "1 VM"),
        (gcp_profile(addresses_per_key=1), 2, Level.BAD, "1 API key of 1 addresses each allow 1"),
        (replace(KEYED, external_ip=False), 50, Level.WARN, "NAT"),
        (local_profile(), 50, Level.OK, "this machine"),
    ],
)
def test_addresses_are_held_against_the_keys(profile: Profile, vms: int, level: Level, words: str) -> None:
    (finding,) = check_addresses(profile, fleet_of(profile, vms=vms))
    assert (finding.level, words in finding.line) == (level, True), finding.line
    if level is Level.BAD:
        assert finding.code is ExitCode.CONFIGURATION


def test_where_the_profile_says_so_the_keys_limit_how_many_vms_there_are() -> None:
    assert (KEYED.most_vms, replace(KEYED, max_vms=4).most_vms, gcp_profile().most_vms) == (6, 4, 100)
    assert replace(KEYED, external_ip=False).most_vms == 100
    assert local_profile(addresses_per_key=1, max_vms=20).most_vms == 20
    assert (KEYED.address_warning, "addresses_per_key" in gcp_profile().address_warning) == ("", True)


# The fleet and the verdict


def test_the_fleet_is_the_plans_unless_somebody_says_otherwise() -> None:
    profile = gcp_profile(machine_types=("e2-highmem-8", "e2-standard-8"))
    plan = make_plan(7, profile=profile)
    assert (fleet_of(profile, plan).vms, fleet_of(profile, plan).machine_types) == (7, profile.machine_types)
    assert (fleet_of(profile).vms, fleet_of(profile, plan, vms=3).vms) == (100, 3)
    other = fleet_of(profile, plan, machine_type="n2-standard-8", model="STANDARD", external_ip=False)
    assert (other.machine_types, other.model, other.external_ip) == (("n2-standard-8",), "STANDARD", False)


def test_without_credentials_every_check_still_has_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    profile = gcp_profile(tardis_secret="projects/p/secrets/s/versions/1")
    asked_outside = {"clock", "source key"}
    checks = [check for check in checks_of(profile, fleet_of(profile)) if check.name not in asked_outside]
    findings = list(examine(checks))
    assert {finding.check for finding in findings} == set(NAMES) - asked_outside
    found = Preflight(tuple(findings))
    assert found.code is ExitCode.NOT_PERMITTED
    assert "gcloud auth application-default login" in findings[0].hint


def test_the_worst_comes_first_and_the_rest_is_counted() -> None:
    def bad(check: str, code: ExitCode) -> Finding:
        return Finding(check, Level.BAD, f"{check} is wrong", "mend it", code)

    found = Preflight((bad("a", ExitCode.UNAVAILABLE), Finding("b", Level.OK, "fine"), bad("c", ExitCode.CONFIGURATION)))
    error = found.error()
    assert (str(error), error.hint, error.exit_code) == ("c (1 more): c is wrong", "mend it", ExitCode.CONFIGURATION)
    assert Preflight(()).code is ExitCode.DONE


def test_a_launch_against_the_checks_is_on_the_audit_trail_with_its_reason(pad: Launchpad) -> None:
    pad.wired.arm(fault="quota", metric="INSTANCES", limit=1)
    found = Preflight(tuple(pad.look("quota")))
    record_skip(pad.profile, pad.wired.state, found, plan="0123456789ab", reason="raised by phone", clock=utc_now)
    intent, receipt = pad.wired.audit()
    assert (intent.verb, intent.phase, intent.reason, intent.plan) == ("skip-preflight", "intent", "raised by phone", "0123456789ab")
    assert [(item.kind, item.name) for item in receipt.items] == [("check", "quota")]
    assert "INSTANCES" in receipt.items[0].why


def test_a_profile_that_may_not_write_does_not_skip_the_checks(pad: Launchpad) -> None:
    with pytest.raises(WriteRefused):
        record_skip(replace(pad.profile, read_only=True), pad.wired.state, Preflight(()), plan="p", reason="r", clock=utc_now)
    assert pad.wired.audit() == []
