"""`tickdeck images`: build and push the engine's image, list what there is, clean what nobody counts on."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from console.confirming import ask_count, ask_yes
from console.sentences import plural
from console.session import Session
from console.verbs.options import headless_session, json_option, profile_option
from engine.clock import format_bytes, format_seconds
from engine.errors import ExitCode
from engine.verbs.printing import print_json, print_table
from provision.builds import BuildPlan, Built, build_and_push, build_request, plan_build, registry_token
from provision.config_file import config_path
from provision.images import (
    KEPT,
    KEPT_FOR,
    ImageProposal,
    ImageReceipt,
    StoredImage,
    apply_cleaning,
    find_pins,
    find_place,
    list_images,
    propose_cleaning,
)
from provision.platform import Platform
from provision.profile import load_profiles
from provision.profile_file import write_profile_value

SHORT_DIGEST = 19
"""Characters of a digest that a table shows: `sha256:` and twelve digits."""

IMAGE_VARIABLE = "TICKDECK_IMAGE"


@click.group("images")
def images_command() -> None:
    """The engine's images: what VMs run, each known by its digest."""


def place_option(function: Any) -> Any:
    """`--repository`."""
    text = "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE [as the profile's image]."
    return click.option("--repository", default="", help=text)(function)


@images_command.command("build-and-push")
@click.option("--tag", required=True, help="Tag beside the digest, e.g. 0.1.0.")
@click.option("--source", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A checkout [this one].")
@click.option("--write-profile", is_flag=True, help="Write the digest into the profile.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing.")
@click.option("--armed", is_flag=True, help="Write although the profile is protected.")
@place_option
@profile_option
@json_option
def build_command(
    *,
    tag: str,
    source: Path | None,
    write_profile: bool,
    dry_run: bool,
    armed: bool,
    repository: str,
    profile_name: str,
    as_json: bool,
) -> int:
    """Build the engine's image and push it: with docker if it has a daemon, else with Cloud Build. Prints its digest."""
    session = headless_session(profile_name, armed=armed)
    plan = plan_build(session.profile, find_place(session.profile, repository), tag, source=source)
    if dry_run:
        return _show_build(session, plan, as_json=as_json)
    click.echo(f"{plan.image} from {plan.source}, with {plan.way}: {plan.why}", err=True)
    built = build_and_push(
        plan,
        profile=session.profile,
        platform=Platform(session.profile),
        state=session.buckets.state,
        pause=threading.Event().wait,
        say=lambda line: click.echo(line, err=True),
        token=lambda: registry_token(session.profile),
        armed=armed,
        clock=session.clock,
    )
    written = write_profile and write_profile_value(config_path(), session.profile.name, "image", built.image)
    return _show_built(session, built, written=written, wanted=write_profile, as_json=as_json)


def _show_build(session: Session, plan: BuildPlan, *, as_json: bool) -> int:
    request = None
    if plan.way == "cloud build":
        request = build_request(plan, bucket=session.profile.state, source="(the archive)", generation=0)
    if as_json:
        commands = plan.commands()
        document = {"image": plan.image, "way": plan.way, "why": plan.why, "source": str(plan.source)}
        print_json({**document, "commands": commands, "request": request, "dry_run": True})
        return ExitCode.DONE
    click.echo(f"{plan.image} from {plan.source}, with {plan.way}: {plan.why}")
    for command in plan.commands():
        click.echo(f"  {list(command)}")
    if request is not None:
        click.echo(f"  source archive into gs://{session.profile.state}, then builds.create with step {request['steps'][0]['args']}")
    click.echo("dry run: nothing was done")
    return ExitCode.DONE


def _show_built(session: Session, built: Built, *, written: bool, wanted: bool, as_json: bool) -> int:
    line = f'image = "{built.image}"'
    if as_json:
        document = {"image": built.image, "tag": built.tag, "way": built.way, "audit": built.audit_id}
        print_json({**document, "profile_line": line, "profile_written": written})
    else:
        click.echo(built.image)
        if not wanted:
            click.echo(f"into [profiles.{session.profile.name}] of {config_path()}, or run again with --write-profile:\n  {line}")
        elif written:
            click.echo(f"written into [profiles.{session.profile.name}] of {config_path()}")
        else:
            click.echo(f"[profiles.{session.profile.name}] of {config_path()} names it already")
    if wanted and os.environ.get(IMAGE_VARIABLE):
        click.echo(f"! {IMAGE_VARIABLE} is set and wins over the profile", err=True)
    return ExitCode.DONE


@images_command.command("list")
@place_option
@profile_option
@json_option
def list_command(*, repository: str, profile_name: str, as_json: bool) -> int:
    """What the registry holds: digest, tags, age, size, and who pins it. Newest first."""
    session = headless_session(profile_name)
    images = _images(session, repository)
    if as_json:
        print_json([_image(session, image) for image in images])
        return ExitCode.DONE
    if not images:
        click.echo(f"{find_place(session.profile, repository)}: no images")
        return ExitCode.DONE
    click.echo(str(images[0].place))
    print_table(("digest", "tags", "age", "size", "a month", "pinned by"), [_row(session, image) for image in images], right=(2, 3, 4))
    return ExitCode.DONE


@images_command.command("clean")
@click.option("--keep", type=click.IntRange(min=1), default=KEPT, show_default=True, help="So many of the newest stay.")
@click.option("--older-than", type=click.IntRange(min=0), default=KEPT_FOR.days, show_default=True, help="Days: what is younger stays.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--armed", is_flag=True, help="Write although the profile is protected.")
@place_option
@profile_option
@json_option
def clean_command(
    *, keep: int, older_than: int, dry_run: bool, yes: bool, armed: bool, repository: str, profile_name: str, as_json: bool
) -> int:
    """Delete old images that no profile and no live run pins."""
    session = headless_session(profile_name, armed=armed)
    images = _images(session, repository)
    proposal = propose_cleaning(session.profile, images, session.clock(), keep=keep, older_than=timedelta(days=older_than))
    if not as_json:
        _show_cleaning(session, proposal)
    if dry_run or not proposal.images:
        return _show_untouched(session, proposal, dry_run=dry_run, as_json=as_json)
    count = len(proposal.images)
    if not (yes or (ask_yes("", "delete this image?") if count == 1 else ask_count(count, f"delete {plural(count, 'image')}"))):
        click.echo("nothing was done", err=True)
        return ExitCode.TEMPORARY
    receipt = apply_cleaning(
        proposal,
        profile=session.profile,
        platform=Platform(session.profile),
        state=session.buckets.state,
        pins=lambda: _pins(session),
        confirm=count,
        pause=threading.Event().wait,
        armed=armed,
        clock=session.clock,
    )
    return _show_receipt(session, receipt, as_json=as_json)


def _show_cleaning(session: Session, proposal: ImageProposal) -> None:
    if proposal.images:
        print_table(("digest", "tags", "age", "size", "a month"), [_row(session, image)[:5] for image in proposal.images], right=(2, 3, 4))
    else:
        click.echo("cleanup: nothing to do")
    for kept in proposal.kept:
        click.echo(f"not touched: {kept.image.digest[:SHORT_DIGEST]}: {kept.why}")


def _show_untouched(session: Session, proposal: ImageProposal, *, dry_run: bool, as_json: bool) -> int:
    if as_json:
        kept = [{"digest": kept.image.digest, "why": kept.why} for kept in proposal.kept]
        print_json({"dry_run": dry_run, "images": [_image(session, image) for image in proposal.images], "kept": kept})
    elif dry_run:
        click.echo("dry run: nothing was done")
    return ExitCode.DONE


def _show_receipt(session: Session, receipt: ImageReceipt, *, as_json: bool) -> int:
    failed = [result for result in receipt.results if not result.ok]
    if as_json:
        rows = [_image(session, result.image) | {"ok": result.ok, "message": result.message} for result in receipt.results]
        print_json({"message": receipt.message, "audit": receipt.audit_id, "images": rows})
    else:
        for result in receipt.results:
            click.echo(f"{result.image.digest[:SHORT_DIGEST]}: {result.message}")
        click.echo(f"{receipt.message}; audit {receipt.audit_id}")
    return ExitCode.PARTIAL if failed else ExitCode.DONE


def _images(session: Session, repository: str) -> tuple[StoredImage, ...]:
    return list_images(Platform(session.profile), find_place(session.profile, repository), _pins(session))


def _pins(session: Session) -> dict[str, tuple[str, ...]]:
    now = session.clock()
    return find_pins(load_profiles(), session.profile, session.runs.live_runs(now), now)


def _row(session: Session, image: StoredImage) -> tuple[object, ...]:
    age = format_seconds((session.clock() - image.uploaded).total_seconds()) if image.uploaded else ""
    cost = image.cost_per_month(session.profile)
    dollars = "" if cost is None else f"${cost:,.2f}"
    return image.digest[:SHORT_DIGEST], ", ".join(image.tags), age, format_bytes(image.bytes), dollars, ", ".join(image.pinned_by)


def _image(session: Session, image: StoredImage) -> dict[str, Any]:
    return {
        "image": image.name,
        "digest": image.digest,
        "tags": list(image.tags),
        "bytes": image.bytes,
        "uploaded": image.uploaded.isoformat() if image.uploaded else None,
        "cost_per_month": image.cost_per_month(session.profile),
        "pinned_by": list(image.pinned_by),
    }
