"""The engine's images in Artifact Registry: what there is, who pins which, and which are of no use any more.

An image is known by its digest; a tag may move. Cleaning is a proposal that is applied through the same guard as everything that
deletes: a profile that may write, the confirmed count, a fresh look at every image, an intent before and a receipt after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from engine.clock import Clock, monotonic, parse_time, utc_now
from engine.errors import ConfigurationError, EngineError
from engine.estimate import GIB
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.errors import CloudRefused, CloudUnavailable, GuardRefusal, NotFound
from provision.platform import Kind, Platform, Resource
from provision.prices import registry_gib_month
from provision.profile import Configuration, Profile, require_writable
from provision.runs import Phase, RunView

PAGE = 100
KEPT = 5
"""Newest images that cleaning leaves alone."""
KEPT_FOR = timedelta(days=30)
"""An image that is younger is left alone."""

WAIT_SECONDS = 120.0
"""For the deletion of one image."""
POLL_SECONDS = 1.0

DEFAULT_REPOSITORY = "tickdeck"
DEFAULT_NAME = "engine"

Pause = Callable[[float], object]
"""Waits for so many seconds."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PLACE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[a-z0-9.:-]+)/(?P<repository>[a-z][a-z0-9-]*)/(?P<name>[a-z0-9][a-z0-9_.-]*)"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where images of one name are kept."""

    repository: Resource
    name: str

    @property
    def host(self) -> str:
        """The registry's host name."""
        return f"{self.repository.location}-docker.pkg.dev"

    def __str__(self) -> str:
        """As docker says it, without tag or digest."""
        return f"{self.host}/{self.repository.project}/{self.repository.name}/{self.name}"

    def with_tag(self, tag: str) -> str:
        """The image under a tag.

        Raises:
            ConfigurationError: if that is no tag.
        """
        if not _TAG.fullmatch(tag):
            raise ConfigurationError(f"{tag!r} is no tag", hint="letters, digits, _ . -, at most 128, the first a letter or a digit")
        return f"{self}:{tag}"

    def with_digest(self, digest: str) -> str:
        """The image by its digest: what a profile names."""
        return f"{self}@{digest}"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image in the registry."""

    place: Place
    digest: str
    tags: tuple[str, ...] = ()
    bytes: int = 0
    uploaded: datetime | None = None
    pinned_by: tuple[str, ...] = ()
    """`profile NAME`, `run RUN (plan PLAN)`."""

    @property
    def name(self) -> str:
        """As a profile names it."""
        return self.place.with_digest(self.digest)

    def cost_per_month(self, profile: Profile) -> float | None:
        """US dollars of keeping it; layers that it shares with others are counted in each. None: no price is known."""
        price = registry_gib_month(profile)
        return None if price is None else self.bytes / GIB * price


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that cleaning does not touch, and why."""

    image: StoredImage
    why: str


@dataclass(frozen=True, slots=True)
class ImageProposal:
    """What cleaning would delete."""

    project: str
    images: tuple[StoredImage, ...]
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What became of one image."""

    image: StoredImage
    ok: bool
    message: str


@dataclass(frozen=True, slots=True)
class ImageReceipt:
    """What cleaning did."""

    results: tuple[ImageResult, ...]
    audit_id: str

    @property
    def message(self) -> str:
        """One line."""
        failed = sum(not result.ok for result in self.results)
        return f"cleanup: {len(self.results) - failed} done" + (f", {failed} failed" if failed else "")


def find_place(profile: Profile, text: str = "") -> Place:
    """Where the profile's images are: as `text` says, as its `image` says, else `engine` in the repository `tickdeck` of its region.

    Raises:
        ConfigurationError: if `text` names nothing in Artifact Registry.
    """
    named = text or profile.image.partition("@")[0]
    found = _PLACE.fullmatch(named)
    if found is None and text:
        raise ConfigurationError(f"{text!r} is no place for images", hint="LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE")
    if found is None:
        return Place(Resource(Kind.REPOSITORY, profile.project, DEFAULT_REPOSITORY, profile.region), DEFAULT_NAME)
    return Place(Resource(Kind.REPOSITORY, found["project"], found["repository"], found["location"]), found["name"])


def list_images(platform: Platform, place: Place, pins: Mapping[str, Sequence[str]]) -> tuple[StoredImage, ...]:
    """Every image of a name, newest first.

    Args:
        pins: who pins what, from `find_pins`.

    Raises:
        NotFound, NotPermitted, ApiDisabled, CloudRefused, CloudUnavailable: as the service meant it.
    """
    found, token = [], ""
    while True:
        query = [("pageSize", str(PAGE)), *([("pageToken", token)] if token else [])]
        try:
            answer = platform.ask("GET", "artifactregistry", f"v1/{place.repository.path}/dockerImages", query=query)
        except NotFound as error:
            where = f"{place.repository.name} in {place.repository.location} of project {place.repository.project}"
            raise NotFound(f"there is no repository {where}", hint="make it, or name another with --repository") from error
        found += [_read(place, row, pins) for row in answer.get("dockerImages", ()) if _image_of(row)[0] == place.name]
        token = str(answer.get("nextPageToken", ""))
        if not token:
            break
    return tuple(sorted(found, key=lambda image: (image.uploaded.timestamp() if image.uploaded else 0.0, image.digest), reverse=True))


def find_pins(configuration: Configuration, profile: Profile, views: Iterable[RunView], now: datetime) -> dict[str, tuple[str, ...]]:
    """Digest -> who counts on it, under whatever name or tag: profiles, and runs that are not over.

    Args:
        configuration: all profiles, as written.
        profile: the active one, which the environment may have changed.
        views: runs, in any phase.
        now: UTC.
    """
    named = [(str(table.get("image", "")), f"profile {name}") for name, table in configuration.profiles.items()]
    named.append((profile.image, f"profile {profile.name}"))
    for view in views:
        if view.phase(now) in (Phase.RUNNING, Phase.DRAINING):
            named += [(order.image, f"run {view.run} (plan {view.plan})") for order in view.orders]
    pins: dict[str, dict[str, None]] = {}
    for image, holder in named:
        pins.setdefault(image.partition("@")[2], {})[holder] = None
    return {digest: tuple(holders) for digest, holders in pins.items() if digest}


def propose_cleaning(
    profile: Profile, images: Sequence[StoredImage], now: datetime, *, keep: int = KEPT, older_than: timedelta = KEPT_FOR
) -> ImageProposal:
    """Which images are of no use: none that is pinned, none of the newest, none that is young. Pure.

    Args:
        images: newest first.
        now: UTC.
        keep: how many of the newest stay.
        older_than: what is younger stays.
    """
    old, kept = [], []
    for place, image in enumerate(images):
        if image.pinned_by:
            kept.append(Kept(image, f"pinned by {', '.join(image.pinned_by)}"))
        elif place < keep:
            kept.append(Kept(image, f"one of the {keep} newest"))
        elif image.uploaded is None or now - image.uploaded < older_than:
            kept.append(Kept(image, f"younger than {older_than.days} days"))
        else:
            old.append(image)
    return ImageProposal(profile.project, tuple(old), tuple(kept))


def apply_cleaning(
    proposal: ImageProposal,
    *,
    profile: Profile,
    platform: Platform,
    state: Store,
    pins: Callable[[], Mapping[str, Sequence[str]]],
    confirm: int,
    pause: Pause,
    armed: bool = False,
    clock: Clock = utc_now,
) -> ImageReceipt:
    """Delete what a proposal names, one after the other, each after a fresh look.

    Args:
        pins: who pins what at the moment of asking; asked before every deletion.
        confirm: how many images the person has agreed to.
        pause: waits between two looks at a deletion.
        armed: whether a person has armed a protected profile.

    Raises:
        WriteRefused: if the profile may not write. GuardRefusal: if the count differs, or the proposal is another project's.
        StoreError: if the intent could not be written. In all of these nothing was done.
    """
    require_writable(profile, armed=armed)
    if proposal.project != profile.project:
        raise GuardRefusal(f"this proposal is for project {proposal.project}, the profile is for {profile.project}")
    if not proposal.images or confirm != len(proposal.images):
        raise GuardRefusal(f"cleanup: {confirm} confirmed, but there are {len(proposal.images)} images", hint="look at the list again")
    items = tuple(_audit(image, f"tags {', '.join(image.tags) or 'none'}") for image in proposal.images)
    intent = write_intent(state, profile, "cleanup", items, clock=clock)
    results = tuple(_delete(platform, image, pins, pause) for image in proposal.images)
    receipt = ImageReceipt(results, intent.id)
    done = tuple(_audit(result.image, item.why, result) for item, result in zip(items, results, strict=True))
    write_receipt(state, intent, done, receipt.message, clock=clock)
    return receipt


def _delete(platform: Platform, image: StoredImage, pins: Callable[[], Mapping[str, Sequence[str]]], pause: Pause) -> ImageResult:
    """Delete one image. An error is a result: the others are dealt with all the same."""
    try:
        now = next((one for one in list_images(platform, image.place, pins()) if one.digest == image.digest), None)
        if now is None:
            return ImageResult(image, True, "was gone already")
        if now.pinned_by:
            return ImageResult(image, False, f"pinned by {', '.join(now.pinned_by)} by now")
        if now.tags != image.tags:
            return ImageResult(image, False, f"its tags are {', '.join(now.tags) or 'none'} by now")
        package = f"v1/{image.place.repository.path}/packages/{quote(image.place.name, safe='')}"
        operation = platform.ask("DELETE", "artifactregistry", f"{package}/versions/{image.digest}", query=[("force", "true")])
        _wait(platform, operation, pause)
    except NotFound:
        return ImageResult(image, True, "was gone already")
    except EngineError as error:
        return ImageResult(image, False, str(error))
    return ImageResult(image, True, "deleted")


def _wait(platform: Platform, operation: Mapping[str, Any], pause: Pause) -> None:
    ends = monotonic() + WAIT_SECONDS
    while not operation.get("done"):
        if monotonic() > ends:
            raise CloudUnavailable(f"the deletion is under way since {WAIT_SECONDS:.0f} s: operation {operation.get('name')}")
        pause(POLL_SECONDS)
        operation = platform.ask("GET", "artifactregistry", f"v1/{operation['name']}")
    if "error" in operation:
        raise CloudRefused(str(operation["error"].get("message", operation["error"])))


def _read(place: Place, row: Mapping[str, Any], pins: Mapping[str, Sequence[str]]) -> StoredImage:
    uploaded = str(row.get("uploadTime", ""))
    image = StoredImage(
        place=place,
        digest=_image_of(row)[1],
        tags=tuple(sorted(map(str, row.get("tags", ())))),
        bytes=int(row.get("imageSizeBytes", 0)),
        uploaded=parse_time(uploaded) if uploaded else None,
    )
    return replace(image, pinned_by=tuple(pins.get(image.digest, ())))


def _image_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """(name, digest) out of `projects/.../dockerImages/NAME@DIGEST`."""
    name, _, digest = str(row["name"]).partition("/dockerImages/")[2].partition("@")
    return name, digest


def _audit(image: StoredImage, why: str, result: ImageResult | None = None) -> AuditItem:
    return AuditItem(
        kind="image",
        name=image.name,
        place=image.place.repository.location,
        id=image.digest,
        why=why,
        ok=result.ok if result else None,
        message=result.message if result else "",
    )
