"""Making an image of the engine: with docker where there is a daemon, else with Cloud Build. Pinned by its digest afterwards.

Commands are argument lists. A password for the registry goes to docker by its standard input, into a folder that is gone
afterwards. In a local profile docker is never asked: it would push to a registry beyond this machine.
"""

from __future__ import annotations

import gzip
import io
import json
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from engine.clock import Clock, monotonic, utc_now
from engine.errors import ConfigurationError, EngineError, NotPermitted, UsageError
from engine.paths import BUILD_LOGS, build_log_object, build_source_object
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.errors import CloudRefused, CloudUnavailable
from provision.images import Pause, Place
from provision.platform import Platform, load_credentials, parse_image
from provision.profile import Profile, require_writable

SOURCE = (
    *("Dockerfile", "pyproject.toml", "hatch_build.py", "constraints.txt", "README.md", "LICENSE"),
    *("engine", "provision", "console", "themes"),
)
"""What the Dockerfile copies, and itself."""

BUILDER = "gcr.io/cloud-builders/docker"
PLATFORM = "linux/amd64"
"""Of the VMs; a laptop may be another."""

BUILD_SECONDS = 1800
POLL_SECONDS = 2.0
DOCKER_SECONDS = 3600.0
ASK_DOCKER_SECONDS = 15.0

ENDED = {"SUCCESS": "", "FAILURE": "a step failed", "INTERNAL_ERROR": "the service failed", "TIMEOUT": "it took too long"}
ENDED |= {"CANCELLED": "somebody cancelled it", "EXPIRED": "it waited too long"}
"""States in which a build stays, and why it did not succeed."""

Way = Literal["docker", "cloud build"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What building and pushing would do."""

    way: Way
    place: Place
    tag: str
    source: Path
    why: str
    """Why this way."""

    @property
    def image(self) -> str:
        """The image by its tag."""
        return self.place.with_tag(self.tag)

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What docker is asked to do; empty for Cloud Build."""
        if self.way != "docker":
            return ()
        build = ("docker", "build", "--platform", PLATFORM, "--tag", self.image, str(self.source))
        return build, ("docker", "push", self.image), _inspect(self.image)


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was pushed."""

    image: str
    """By its digest."""
    tag: str
    way: Way
    audit_id: str


def plan_build(profile: Profile, place: Place, tag: str, *, source: Path | None = None) -> BuildPlan:
    """How an image would be built here.

    Args:
        source: a checkout of this project; by default the working directory, else where this code is.

    Raises:
        ConfigurationError: if the tag cannot be, or there is no checkout.
    """
    place.with_tag(tag)
    why = "the local profile never leaves this machine" if profile.kind == "local" else docker_trouble()
    return BuildPlan("cloud build" if why else "docker", place, tag, find_source(source), why or "docker has a daemon here")


def docker_trouble() -> str:
    """Why docker cannot be used; "" if it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        asked = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True, timeout=ASK_DOCKER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"docker does not answer: {type(error).__name__}"
    return "" if asked.returncode == 0 else "docker has no daemon"


def find_source(source: Path | None = None) -> Path:
    """The checkout to build from.

    Raises:
        ConfigurationError: if it is not one.
    """
    candidates = [source] if source is not None else [Path.cwd(), Path(__file__).resolve().parents[1]]
    for folder in candidates:
        if all((folder / name).exists() for name in SOURCE):
            return folder.resolve()
    missing = [name for name in SOURCE if not (candidates[0] / name).exists()]
    raise ConfigurationError(f"{candidates[0]} has no {missing[0]}: no checkout to build from", hint="go to one, or give --source DIR")


def build_and_push(
    plan: BuildPlan,
    *,
    profile: Profile,
    platform: Platform,
    state: Store,
    pause: Pause,
    say: Say,
    token: Callable[[], str],
    armed: bool = False,
    clock: Clock = utc_now,
) -> Built:
    """Build an image, push it, and find out its digest.

    Args:
        state: the state bucket: takes the audit trail, and Cloud Build's source and log.
        pause: waits between two looks at a build.
        say: hears of each step, and of every line that the builder writes.
        token: gives docker's password for the registry, `registry_token`.

    Raises:
        WriteRefused: if the profile may not write; nothing was done.
        CloudRefused: if the build or the push failed. CloudUnavailable, NotPermitted, ApiDisabled: as the services meant it.
    """
    require_writable(profile, armed=armed)
    item = AuditItem(kind="image", name=plan.image, place=plan.place.repository.location, why=f"{plan.way}: {plan.why}")
    intent = write_intent(state, profile, "build-image", (item,), clock=clock)
    try:
        digest = _with_docker(plan, token, say) if plan.way == "docker" else _with_cloud_build(plan, platform, state, pause, say, clock())
        image = plan.place.with_digest(digest)
        found = parse_image(image)
        if found is None:
            raise CloudRefused(f"{plan.way} answered with {digest!r}, which is no digest")
        platform.require_image(found)
    except EngineError as error:
        write_receipt(state, intent, (_done(item, "", str(error)),), f"build-image: failed: {error}", clock=clock)
        raise
    write_receipt(state, intent, (_done(item, digest, "pushed"),), f"build-image: {image}", clock=clock)
    return Built(image, plan.tag, plan.way, intent.id)


def _done(item: AuditItem, digest: str, message: str) -> AuditItem:
    return AuditItem(kind=item.kind, name=item.name, place=item.place, why=item.why, id=digest, ok=bool(digest), message=message)


# Docker


def _with_docker(plan: BuildPlan, token: Callable[[], str], say: Say) -> str:
    build, push, inspect = plan.commands()
    _run(build, say)
    with tempfile.TemporaryDirectory(prefix="tickdeck-docker-") as folder:
        _log_in(plan.place.host, token(), folder)
        _run((push[0], "--config", folder, *push[1:]), say)
    lines: list[str] = []
    _run(inspect, lines.append)
    names = json.loads(lines[-1]) if lines else []
    digests = [name.partition("@")[2] for name in names if name.startswith(f"{plan.place}@")]
    if not digests:
        raise CloudRefused(f"docker pushed {plan.image} and knows no digest of it", hint="list them: tickdeck images list")
    return str(digests[0])


def _inspect(image: str) -> tuple[str, ...]:
    return "docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image


def registry_token(profile: Profile) -> str:
    """A password for the registry that is good for an hour.

    Raises:
        NotPermitted: if there are no default credentials, or they are refused.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    credentials = load_credentials(profile)
    try:
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise NotPermitted(f"no token for the registry: {error}", hint="run: gcloud auth application-default login") from error
    return str(credentials.token)


def _log_in(host: str, token: str, folder: str) -> None:
    """Give docker a token, in a folder of its own: neither an argument nor the person's own configuration holds it."""
    argv = ["docker", "--config", folder, "login", "--username", "oauth2accesstoken", "--password-stdin", f"https://{host}"]
    asked = subprocess.run(argv, input=token, capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False)
    if asked.returncode != 0:
        raise CloudRefused(f"docker login {host}: {_last_line(asked.stderr)}", hint="see: tickdeck iam check")


def _run(argv: Sequence[str], say: Say) -> None:
    """Run a command to its end, saying what it writes."""
    last = ""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line.rstrip() or last
            say(line.rstrip())
    if process.returncode != 0:
        raise CloudRefused(f"{' '.join(argv[:2])} ended with {process.returncode}: {last}")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


# Cloud Build


def build_request(plan: BuildPlan, *, bucket: str, source: str, generation: int) -> dict[str, Any]:
    """The body of `projects.locations.builds.create`."""
    return {
        "source": {"storageSource": {"bucket": bucket, "object": source, "generation": str(generation)}},
        "steps": [{"name": BUILDER, "args": ["build", "--platform", PLATFORM, "--tag", plan.image, "."]}],
        "images": [plan.image],
        "timeout": f"{BUILD_SECONDS}s",
        "logsBucket": f"gs://{bucket}/{BUILD_LOGS.rstrip('/')}",
        "options": {"logging": "GCS_ONLY"},
        "tags": ["tickdeck"],
    }


def _with_cloud_build(plan: BuildPlan, platform: Platform, state: Store, pause: Pause, say: Say, now: datetime) -> str:
    archive = pack_source(plan.source)
    name = build_source_object(now, secrets.token_hex(8))
    generation = state.put(name, archive, if_generation=0, content_type="application/gzip").generation
    say(f"source: {len(archive):,} bytes to gs://{state.bucket}/{name}")
    repository = plan.place.repository
    path = f"v1/projects/{repository.project}/locations/{repository.location}/builds"
    request = build_request(plan, bucket=state.bucket, source=name, generation=generation)
    operation = platform.ask("POST", "cloudbuild", path, body=request)
    build = str(operation.get("metadata", {}).get("build", {}).get("id", ""))
    if not build:
        raise CloudRefused("Cloud Build took the build and gave it no id", hint=f"see its list in project {repository.project}")
    say(f"build {build}: taken")
    return _follow(platform, state, f"{path}/{build}", build, plan.image, pause, say)


def _follow(platform: Platform, state: Store, path: str, build: str, image: str, pause: Pause, say: Say) -> str:
    """Wait for the end of a build, saying each new state and each new line of its log; returns the digest."""
    told, lines, ends = "", 0, monotonic() + BUILD_SECONDS * 2
    while True:
        found = platform.ask("GET", "cloudbuild", path)
        status = str(found.get("status", ""))
        lines = _tell_log(state, build, lines, say, whole=status in ENDED)
        if status != told:
            say(f"build {build}: {status.lower()}")
            told = status
        if status in ENDED:
            return _digest(found, build, status, image)
        if monotonic() > ends:
            raise CloudUnavailable(f"build {build} is {status.lower()} for too long", hint="see it in the console of Cloud Build")
        pause(POLL_SECONDS)


def _digest(found: Mapping[str, Any], build: str, status: str, image: str) -> str:
    if ENDED[status]:
        detail = str(found.get("failureInfo", {}).get("detail") or found.get("statusDetail") or ENDED[status])
        raise CloudRefused(f"build {build} ended as {status.lower()}: {detail}", hint=found.get("logUrl", "read its log above"))
    for made in found.get("results", {}).get("images", ()):
        if made.get("name") == image:
            return str(made.get("digest", ""))
    raise CloudRefused(f"build {build} succeeded and names no digest of {image}", hint="list them: tickdeck images list")


def _tell_log(state: Store, build: str, told: int, say: Say, *, whole: bool) -> int:
    """Say the lines of the build's log that were not said before; the last one only when it cannot grow any more."""
    found = state.get(build_log_object(build))
    if found is None:
        return told
    lines = found.data.decode("utf-8", "replace").splitlines(keepends=True)
    ready = [line for line in lines if whole or line.endswith("\n")]
    for line in ready[told:]:
        say(f"  {line.rstrip()}")
    return len(ready)


def pack_source(folder: Path) -> bytes:
    """What the image is built from, as an archive. The same files are the same bytes, whoever packs them and when.

    Raises:
        UsageError: for a file that is a link out of the checkout.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in _source_files(folder):
            if not path.resolve().is_relative_to(folder):
                raise UsageError(f"{path} leads out of the checkout", hint="build from a checkout without such links")
            data = path.read_bytes()
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size, entry.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _source_files(folder: Path) -> Iterator[Path]:
    for name in sorted(SOURCE):
        found = folder / name
        inside = sorted(found.rglob("*")) if found.is_dir() else [found]
        yield from (path for path in inside if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".native")
