"""Images in the registry: listed with who pins them, built with Cloud Build or docker, and cleaned only where nobody counts on them."""

from __future__ import annotations

import io
import itertools
import json
import os
import stat
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.clock import utc_now
from engine.errors import ConfigurationError, NotPermitted
from engine.paths import BUILD_LOGS, BUILDS
from engine.storage_service import open_storage
from engine.store import Store
from provision.audit import AuditRecord, list_records
from provision.builds import SOURCE, BuildPlan, Built, build_and_push, docker_trouble, find_source, pack_source, plan_build
from provision.errors import CloudRefused, GuardRefusal, NotFound, WriteRefused
from provision.images import StoredImage, apply_cleaning, find_pins, find_place, list_images, propose_cleaning
from provision.platform import ApiDisabled, Platform
from provision.profile import Configuration, Endpoints, Profile
from tests.local_servers import LocalServer, started
from tests.provision.made_up_fleet import NOW, PLAN, RUN, claim, gcp_profile, local_profile, make_order, make_view

CHECKOUT = Path(__file__).parents[2]
TOKEN = "ya29.a-token-that-must-never-be-an-argument"
_numbers = itertools.count(1)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


class Registry:
    """A project with a repository and a state bucket, and the product's own client."""

    def __init__(self, server: LocalServer, storage: LocalServer) -> None:
        name = f"images-{os.getpid()}-{next(_numbers)}"
        service = open_storage(project=name, endpoint=storage.url)
        service.client.create_bucket(f"{name}-state")
        self.server = server
        self.state = Store(service, f"{name}-state")
        endpoints = Endpoints(platform=server.url, storage=storage.url)
        self.profile = local_profile(project=name, data_bucket=name, endpoints=endpoints, region="asia-northeast1")
        self.platform = Platform(self.profile)
        self.place = find_place(self.profile)
        self.said: list[str] = []

    def put(self, *ages: float, tags: dict[int, list[str]] | None = None, name: str = "engine", repository: str = "tickdeck") -> None:
        """Image n was pushed `ages[n]` days before NOW."""
        images = {
            f"{name}@{digest(number)}": {
                "tags": (tags or {}).get(number, []),
                "bytes": (number + 1) * 2**20,
                "uploaded": (NOW - timedelta(days=age)).isoformat().replace("+00:00", "Z"),
            }
            for number, age in enumerate(ages)
        }
        body = json.dumps({f"asia-northeast1/{repository}": images}).encode()
        url = f"{self.server.url}/_tickdeck/projects/{self.profile.project}/images"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"), timeout=30) as answer:
            assert answer.status == 200

    def list(self, pins: dict[str, tuple[str, ...]] | None = None) -> tuple[StoredImage, ...]:
        return list_images(self.platform, self.place, pins or {})

    def digests(self) -> set[str]:
        return {image.digest for image in self.list()}

    def clean(self, confirm: int | None = None, *, pins: Any = dict, profile: Profile | None = None, **options: Any) -> Any:
        proposal = propose_cleaning(self.profile, self.list(options.pop("seen", {})), NOW, **options)
        return apply_cleaning(
            proposal,
            profile=profile or self.profile,
            platform=self.platform,
            state=self.state,
            pins=pins,
            confirm=len(proposal.images) if confirm is None else confirm,
            pause=lambda _seconds: None,
        )

    def build(self, plan: BuildPlan, *, profile: Profile | None = None) -> Built:
        return build_and_push(
            plan,
            profile=profile or self.profile,
            platform=self.platform,
            state=self.state,
            pause=lambda _seconds: None,
            say=self.said.append,
            token=lambda: TOKEN,
        )

    def audit(self) -> list[AuditRecord]:
        today = utc_now().date()
        return list(list_records(self.state, today, today))

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [
            one for one in self.server.get("/_tickdeck/requests")["requests"] if path in one["path"] and self.profile.project in one["path"]
        ]


@pytest.fixture(scope="module")
def platform_server(servers_root: Path, storage_server: LocalServer) -> Iterator[LocalServer]:
    environment = {"STORAGE_EMULATOR_HOST": storage_server.url}
    with started("platform", servers_root / "images" / "platform", environment=environment) as server:
        yield server


@pytest.fixture
def registry(platform_server: LocalServer, storage_server: LocalServer) -> Iterator[Registry]:
    yield Registry(platform_server, storage_server)
    platform_server.disarm()


# listing and pins


def test_images_are_listed_newest_first_with_tags_size_and_pins(registry: Registry) -> None:
    registry.put(3, 1, 2, tags={1: ["0.2.0", "latest"]})
    registry.put(0, name="engine-debug")
    first, second, third = registry.list({digest(2): ("profile lake",)})
    assert [first.digest, second.digest, third.digest] == [digest(1), digest(2), digest(0)]
    assert (first.tags, first.bytes, first.uploaded) == (("0.2.0", "latest"), 2 * 2**20, NOW - timedelta(days=1))
    assert (first.pinned_by, second.pinned_by) == ((), ("profile lake",))
    assert first.name == f"asia-northeast1-docker.pkg.dev/{registry.profile.project}/tickdeck/engine@{digest(1)}"


def test_a_repository_of_more_than_a_page_is_listed_whole(registry: Registry) -> None:
    registry.put(*range(230))
    assert [image.digest for image in registry.list()] == [digest(number) for number in range(230)]
    assert len(registry.asked("/dockerImages")) == 3


def test_a_repository_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no repository tickdeck in asia-northeast1"):
        registry.list()


def test_a_disabled_api_and_a_lacking_permission_are_told_apart(registry: Registry) -> None:
    registry.put(1)
    registry.server.post("/_tickdeck/faults", {"fault": "missing_api", "service": "artifactregistry.googleapis.com"})
    with pytest.raises(ApiDisabled):
        registry.list()
    registry.server.disarm()
    registry.server.post("/_tickdeck/faults", {"fault": "deny_permission", "permission": "artifactregistry.dockerimages.list"})
    with pytest.raises(NotPermitted):
        registry.list()


def test_profiles_and_live_runs_pin_by_digest_whatever_the_name() -> None:
    one, two, three = (f"host/p/r/engine@{digest(number)}" for number in (1, 2, 3))
    configuration = Configuration(
        Path("config.toml"), profiles={"lake": {"image": one}, "old": {"image": "elsewhere/engine:1@" + digest(1)}, "bare": {}}
    )
    live = make_view([make_order(image=two), make_order(number=2, image=three)])
    over = make_view(
        [make_order(run="r1tp8k5m2y", image=f"host/p/r/engine@{digest(4)}", vms=1)], claims=[claim(0, "vm", "done", run="r1tp8k5m2y")]
    )
    pins = find_pins(configuration, gcp_profile(name="prod", image=one), [live, over], NOW)
    run = f"run {RUN} (plan {PLAN})"
    assert pins == {digest(1): ("profile lake", "profile old", "profile prod"), digest(2): (run,), digest(3): (run,)}


@pytest.mark.parametrize(
    "text",
    ["engine", "gcr.io/p/engine", "asia-northeast1-docker.pkg.dev/p/engine", "a-docker.pkg.dev/p/r/e:tag", "a-docker.pkg.dev/p/../e"],
)
def test_what_is_no_place_in_artifact_registry_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no place for images"):
        find_place(gcp_profile(), text)


def test_the_place_is_that_of_the_profile_s_image() -> None:
    assert str(find_place(gcp_profile())) == "asia-northeast1-docker.pkg.dev/market-data-prod/tickdeck/engine"
    assert str(find_place(gcp_profile(image="", region="us-west4", zones=()))) == "us-west4-docker.pkg.dev/market-data-prod/tickdeck/engine"
    assert str(find_place(gcp_profile(), "eu-docker.pkg.dev/p/r/worker")) == "eu-docker.pkg.dev/p/r/worker"


@pytest.mark.parametrize("tag", ["", "-x", "a b", "a;b", "x" * 129, "a\n"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(ConfigurationError, match="is no tag"):
        find_place(gcp_profile()).with_tag(tag)


# cleaning


def test_cleaning_deletes_what_is_old_and_nobody_s_and_writes_it_down(registry: Registry) -> None:
    registry.put(1, 2, 40, 50, 60, tags={3: ["0.0.9"]})
    receipt = registry.clean(keep=2, seen={digest(4): ("profile lake",)})
    assert {result.image.digest for result in receipt.results} == {digest(2), digest(3)}
    assert registry.digests() == {digest(0), digest(1), digest(4)}
    intent, done = registry.audit()
    assert (intent.phase, done.phase, done.verb, done.message) == ("intent", "receipt", "cleanup", "cleanup: 2 done")
    assert {(item.kind, item.id, item.ok) for item in done.items} == {("image", digest(2), True), ("image", digest(3), True)}


def test_the_proposal_says_of_every_image_why_it_stays(registry: Registry) -> None:
    registry.put(1, 2, 40, 50)
    proposal = propose_cleaning(registry.profile, registry.list({digest(3): ("profile lake",)}), NOW, keep=1)
    assert [image.digest for image in proposal.images] == [digest(2)]
    assert {kept.image.digest: kept.why for kept in proposal.kept} == {
        digest(0): "one of the 1 newest",
        digest(1): "younger than 30 days",
        digest(3): "pinned by profile lake",
    }


def test_an_image_that_was_pinned_meanwhile_is_not_touched(registry: Registry) -> None:
    registry.put(40, 50)
    receipt = registry.clean(keep=1, pins=lambda: {digest(1): ("run r1 (plan p)",)})
    assert [(result.ok, result.message) for result in receipt.results] == [(False, "pinned by run r1 (plan p) by now")]
    assert registry.digests() == {digest(0), digest(1)}
    assert registry.audit()[-1].message == "cleanup: 0 done, 1 failed"


def test_an_image_that_got_a_tag_meanwhile_is_not_touched_and_one_that_is_gone_is_done(registry: Registry) -> None:
    registry.put(40, 50, 60)
    proposal = propose_cleaning(registry.profile, registry.list(), NOW, keep=1)
    registry.put(40, 50, tags={1: ["stable"]})
    package = f"v1/{registry.place.repository.path}/packages/engine/versions/{digest(2)}"
    registry.platform.ask("DELETE", "artifactregistry", package)
    receipt = apply_cleaning(
        proposal,
        profile=registry.profile,
        platform=registry.platform,
        state=registry.state,
        pins=dict,
        confirm=2,
        pause=lambda _seconds: None,
    )
    assert [(result.ok, result.message) for result in receipt.results] == [
        (False, "its tags are stable by now"),
        (True, "was gone already"),
    ]
    assert registry.digests() == {digest(0), digest(1)}


def test_a_wrong_count_another_project_and_a_read_only_profile_change_nothing(registry: Registry) -> None:
    registry.put(40, 50)
    with pytest.raises(GuardRefusal, match="1 images"):
        registry.clean(2, keep=1)
    with pytest.raises(WriteRefused):
        registry.clean(keep=1, profile=replace(registry.profile, read_only=True))
    with pytest.raises(WriteRefused):
        registry.clean(keep=1, profile=replace(registry.profile, protected=True))
    with pytest.raises(GuardRefusal, match="project"):
        registry.clean(keep=1, profile=replace(registry.profile, project="another"))
    assert registry.digests() == {digest(0), digest(1)}
    assert registry.audit() == []
    assert not [one for one in registry.asked("/versions/") if one["method"] == "DELETE"]


def test_a_deletion_that_is_refused_is_a_result_and_the_others_are_done(registry: Registry) -> None:
    registry.put(1, 50, 60)
    registry.server.post(
        "/_tickdeck/faults", {"fault": "status", "status": 400, "method": "DELETE", "match": registry.profile.project, "count": 1}
    )
    receipt = registry.clean(keep=1)
    assert [result.ok for result in receipt.results] == [False, True]
    assert registry.digests() == {digest(0), digest(1)}


# Cloud Build


def test_cloud_build_makes_an_image_that_is_there_by_its_digest(registry: Registry) -> None:
    built = registry.build(plan_build(registry.profile, registry.place, "0.1.0", source=CHECKOUT))
    (image,) = registry.list()
    assert (built.image, image.tags, built.way) == (image.name, ("0.1.0",), "cloud build")
    # what the registry holds was made from the archive in the bucket, and the bucket's archive from this checkout
    (source,) = [info for info in registry.state.list(BUILDS) if not info.name.startswith(BUILD_LOGS)]
    archive = registry.state.get(source.name)
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive.data), mode="r:gz") as tar:
        names = set(tar.getnames())
    assert {name.partition("/")[0] for name in names} == set(SOURCE)
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests", "."))]
    assert [record.phase for record in registry.audit()] == ["intent", "receipt"]
    assert registry.audit()[1].message == f"build-image: {built.image}"


def test_the_states_and_every_line_of_the_log_are_said_once(registry: Registry) -> None:
    registry.build(plan_build(registry.profile, registry.place, "0.1.0", source=CHECKOUT))
    states = [line.rpartition(": ")[2] for line in registry.said if line.startswith("build ")]
    assert states == ["taken", "working", "success"]
    (log,) = registry.state.list(BUILD_LOGS)
    found = registry.state.get(log.name)
    assert found is not None
    assert [line.strip() for line in registry.said if line.startswith("  ")] == found.data.decode().splitlines()


def test_the_request_is_what_the_service_expects(registry: Registry) -> None:
    registry.build(plan_build(registry.profile, registry.place, "0.1.0", source=CHECKOUT))
    create = next(one for one in registry.asked("/builds") if one["method"] == "POST")
    image = f"{registry.place}:0.1.0"
    assert create["path"] == f"/v1/projects/{registry.profile.project}/locations/asia-northeast1/builds"
    storage = create["body"]["source"].pop("storageSource")
    assert storage["bucket"] == registry.state.bucket
    assert storage["generation"].isdecimal()
    assert create["body"] == {
        "source": {},
        "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["build", "--platform", "linux/amd64", "--tag", image, "."]}],
        "images": [image],
        "timeout": "1800s",
        "logsBucket": f"gs://{registry.state.bucket}/builds/logs",
        "options": {"logging": "GCS_ONLY"},
        "tags": ["tickdeck"],
    }


def test_a_build_that_fails_names_the_cause_and_pushes_nothing(registry: Registry) -> None:
    registry.put(40)
    registry.server.post("/_tickdeck/faults", {"fault": "build_fails", "match": registry.profile.project})
    with pytest.raises(CloudRefused, match="ended as failure: build step 0"):
        registry.build(plan_build(registry.profile, registry.place, "0.1.0", source=CHECKOUT))
    assert registry.digests() == {digest(0)}
    assert registry.audit()[-1].message.startswith("build-image: failed")
    assert any("ERROR" in line for line in registry.said)


def test_a_profile_that_may_not_write_builds_nothing(registry: Registry) -> None:
    with pytest.raises(WriteRefused):
        registry.build(
            plan_build(registry.profile, registry.place, "1", source=CHECKOUT), profile=replace(registry.profile, read_only=True)
        )
    assert list(registry.state.list("")) == []
    assert registry.asked("/builds") == []


def test_the_same_checkout_is_the_same_archive_wherever_it_lies_and_whenever_it_was_written(tmp_path: Path) -> None:
    def make(folder: Path, when: float) -> Path:
        for name in SOURCE:
            path = folder / name
            if "." in name or name in ("Dockerfile", "LICENSE"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(name)
            else:
                (path / "__pycache__").mkdir(parents=True)
                (path / "module.py").write_text(name)
                (path / "__pycache__" / "module.pyc").write_text(str(when))
        for path in folder.rglob("*"):
            os.utime(path, (when, when))
        return folder

    first, second = make(tmp_path / "a", 1e9), make(tmp_path / "b", 1.5e9)
    assert pack_source(first) == pack_source(second)
    (second / "engine" / "module.py").write_text("other")
    assert pack_source(first) != pack_source(second)


def test_what_the_dockerfile_copies_is_what_is_packed() -> None:
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    copied = {word.removeprefix("./") for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]}
    assert copied | {"Dockerfile"} == set(SOURCE)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Dockerfile"):
        find_source(tmp_path)


# docker

DOCKER = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
config = arguments[arguments.index("--config") + 1] if "--config" in arguments else ""
said = sys.stdin.read() if "login" in arguments else ""
with open({journal!r}, "a") as journal:
    journal.write(json.dumps({{"argv": arguments, "stdin": said, "folder": os.path.isdir(config)}}) + "\\n")
if {fails!r} in arguments:
    print("it broke", file=sys.stderr)
    sys.exit(3)
if "inspect" in arguments:
    print(json.dumps(["elsewhere/engine@sha256:" + "0" * 64, {image!r}]))
else:
    print("doing", arguments[0])
"""

Install = Callable[..., Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a docker on the path that writes down what it is asked."""

    def install(image: str = "", fails: str = "nothing") -> Callable[[], list[dict[str, Any]]]:
        journal, folder = tmp_path / "docker.jsonl", tmp_path / "bin"
        folder.mkdir()
        script = folder / "docker"
        script.write_text(DOCKER.format(python=sys.executable, journal=str(journal), fails=fails, image=image))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return lambda: [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []

    return install


def docker_plan(registry: Registry) -> BuildPlan:
    return BuildPlan("docker", registry.place, "0.1.0", CHECKOUT, "docker has a daemon here")


def test_docker_builds_pushes_and_says_the_digest(registry: Registry, docker: Install) -> None:
    registry.put(1)
    pushed = registry.place.with_digest(digest(0))
    journal = docker(pushed)
    built = registry.build(docker_plan(registry))
    assert (built.image, built.way) == (pushed, "docker")
    build, login, push, inspect = journal()
    image = f"{registry.place}:0.1.0"
    assert build["argv"] == ["build", "--platform", "linux/amd64", "--tag", image, str(CHECKOUT)]
    assert login["argv"][2:] == ["login", "--username", "oauth2accesstoken", "--password-stdin", f"https://{registry.place.host}"]
    assert push["argv"][2:] == ["push", image]
    assert inspect["argv"][-1] == image


def test_the_token_is_told_in_a_whisper_and_leaves_nothing_behind(registry: Registry, docker: Install) -> None:
    registry.put(1)
    journal = docker(registry.place.with_digest(digest(0)))
    registry.build(docker_plan(registry))
    told = [call for call in journal() if call["stdin"]]
    assert [(call["argv"][2], call["stdin"]) for call in told] == [("login", TOKEN)]
    assert TOKEN not in json.dumps([call["argv"] for call in journal()])
    folder = Path(told[0]["argv"][1])
    assert told[0]["folder"]
    assert not folder.exists()
    assert TOKEN not in "\n".join(registry.said)
    for info in registry.state.list(""):
        found = registry.state.get(info.name)
        assert found is not None
        assert TOKEN.encode() not in found.data


@pytest.mark.parametrize("step", ["build", "login", "push"])
def test_a_step_of_docker_that_fails_ends_it_with_its_last_words(registry: Registry, docker: Install, step: str) -> None:
    journal = docker(fails=step)
    with pytest.raises(CloudRefused, match="it broke"):
        registry.build(docker_plan(registry))
    assert step in journal()[-1]["argv"]
    assert registry.audit()[-1].items[0].ok is False


def test_a_digest_that_the_registry_does_not_have_is_not_believed(registry: Registry, docker: Install) -> None:
    registry.put(1)
    docker(registry.place.with_digest(digest(7)))
    with pytest.raises(NotFound):
        registry.build(docker_plan(registry))


def test_docker_is_chosen_where_it_has_a_daemon_and_never_in_a_local_profile(docker: Install) -> None:
    journal = docker()
    real = gcp_profile()
    plan = plan_build(real, find_place(real), "0.1.0", source=CHECKOUT)
    assert (plan.way, len(plan.commands())) == ("docker", 3)
    assert [call["argv"][0] for call in journal()] == ["info"]
    local = local_profile(region="asia-northeast1")
    assert plan_build(local, find_place(local), "0.1.0", source=CHECKOUT).way == "cloud build"
    assert len(journal()) == 1


def test_without_a_daemon_or_a_command_cloud_build_is_chosen_and_says_why(
    docker: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker(fails="info")
    assert docker_trouble() == "docker has no daemon"
    real = gcp_profile()
    plan = plan_build(real, find_place(real), "0.1.0", source=CHECKOUT)
    assert (plan.way, plan.why, plan.commands()) == ("cloud build", "docker has no daemon", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker_trouble() == "there is no docker command"
