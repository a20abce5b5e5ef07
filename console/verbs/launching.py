"""How a plan is launched from the command line: the options of every `deploy`, the questions, the wait for the canaries."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from console.confirming import ask_yes
from console.plan_slice import PlanSlice, estimate_slice, parse_shards, parse_span
from console.sentences import money, plan_sentence, plural
from console.session import Session
from console.verbs.doctor import require_passed, show_preflight, to_json
from console.verbs.options import notify_option, ring, say_aside
from console.verbs.plan import show_plan
from engine.errors import EngineError, ExitCode, UsageError
from engine.plan import Plan
from engine.verbs.printing import print_json, print_table

if TYPE_CHECKING:
    from provision.launch import LaunchIntent

LOOK_SECONDS = 2.0
FOLLOWED = "followed"
EXECUTORS = ("vm", "batch", "cloud-run")


class CanaryFailed(EngineError):
    """The launch stopped at its canaries. They are kept to be looked at."""


class Span(click.ParamType[timedelta]):
    """A length of time: `30m`, `2h`."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text, or fail with the forms that work."""
        try:
            return parse_span(str(value))
        except UsageError as error:
            self.fail(f"{error}: {error.hint}", param, ctx)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launching:
    """How a plan is launched, as a person said it."""

    dry_run: bool
    armed: bool
    yes: bool
    shards_only: str
    vms: int
    max_vms: int
    canary: bool
    wait: bool
    keep: timedelta | None
    external_ip: bool | None
    skip_preflight: str
    executor: str
    notify: tuple[str, ...] = ()


def launch_options(function: Callable[..., int]) -> Callable[..., int]:
    """How a plan is launched; reaches the verb as `launching`."""

    @functools.wraps(function)
    def gathered(**options: Any) -> int:
        own = {item.name: options.pop(item.name) for item in fields(Launching)}
        if own["executor"] != "vm":
            names = {"batch": "Google Batch", "cloud-run": "Cloud Run jobs"}
            raise UsageError(f"deploying by {names[own['executor']]} is not there yet", hint="this version deploys on VMs: --executor vm")
        return function(launching=Launching(**own), **options)

    for option in (
        click.option("--executor", type=click.Choice(EXECUTORS), default="vm", show_default=True, help="Not yet: batch, cloud-run."),
        click.option("--skip-preflight", default="", metavar="REASON", help="Launch although checks fail; the reason is audited."),
        click.option("--dry-run", is_flag=True, help="Show the plan, the checks and the VMs; start nothing."),
        click.option("--armed", is_flag=True, help="Write although the profile is protected."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--no-wait", "wait", flag_value=False, default=True, help="Do not wait for the canaries; any reconcile goes on."),
        click.option("--no-canary", "canary", flag_value=False, default=True, help="All VMs at once, however many."),
        click.option("--keep", type=Span(), help="VMs stay for jobs (tickdeck run) until so long after the launch: 2h."),
        click.option("--external-ip/--no-external-ip", default=None, help="An address for each VM [the profile's]."),
        click.option("--shards-only", default="", help="Launch only these shards, e.g. 40-59,70."),
        click.option("--max-vms", type=click.IntRange(min=0), default=0, help="At most so many VMs [the profile's]."),
        click.option("--vms", type=click.IntRange(min=0), default=0, help="How many VMs [one a shard, at most the profile's]."),
    ):
        gathered = option(gathered)
    return notify_option(gathered)


def launch_plan(session: Session, plan: Plan, launching: Launching, *, as_json: bool, show: Callable[[Plan], None] = show_plan) -> int:
    """Show a plan, ask, launch it, and wait for its canaries."""
    wanted = parse_shards(launching.shards_only) if launching.shards_only else None
    part = PlanSlice(wanted, launching.vms or launching.max_vms)
    sentence = plan_sentence(plan) if not plan.job else ""
    if not part.is_whole:
        means = session.planning.means(plan.request)
        sentence = f"{estimate_slice(plan, part, most_vms=session.profile.most_vms, speed=means.speed, rates=means.rates).sentence}."
    if not as_json:
        show(plan)
        click.echo(f"\n{sentence}\n" if not part.is_whole else "")
    size = session.launching.fleet_size(plan, shards_only=wanted, vms=launching.vms, max_vms=launching.max_vms)
    found = show_preflight(session.launching.preflight(plan, vms=size, external_ip=launching.external_ip), quiet=as_json)
    if launching.dry_run:
        # Where a check says no, asking the service what it would take may fail for the same reason.
        sound = not found.wrong or bool(launching.skip_preflight)
        intent = _preview(session, plan, launching, wanted) if sound else None
        if as_json:
            document = {"plan": plan.id, "run": None, "dry_run": True, "estimate": plan.estimate, "preflight": to_json(found)}
            print_json(document | {"would": order_document(intent) if intent else None})
        else:
            if intent is not None:
                click.echo()
                show_intent(intent)
            click.echo("\ndry run: nothing was started")
    elif found.wrong and as_json and not launching.skip_preflight:
        print_json({"plan": plan.id, "run": None, "preflight": to_json(found)})
    if not launching.skip_preflight:
        require_passed(found)
    if launching.dry_run:
        return ExitCode.DONE
    if not as_json:
        click.echo()
    if not launching.yes and not ask_yes(sentence, "Launch?"):
        return ExitCode.TEMPORARY
    report = (lambda _line: None) if as_json else click.echo
    if found.wrong:
        session.launching.record_skip(plan, found, launching.skip_preflight)
    launched = session.launching.launch(
        plan,
        shards_only=wanted,
        vms=launching.vms,
        max_vms=launching.max_vms,
        canary=launching.canary,
        keep=launching.keep,
        external_ip=launching.external_ip,
        checked=True,
        report=report,
    )
    for line in launched.messages:
        report(line)
    report(f"run {launched.run}: {plural(len(launched.created), 'VM')}; watch: tickdeck fleet --run {launched.run} --watch")
    waits = bool(launched.waiting) and launching.wait
    if launched.waiting and not waits:
        report(f"{plural(len(launched.waiting), 'VM')} follow by themselves: tickdeck reconcile {launched.run} --watch, or any console")
    verdict = ""
    if waits:
        with session.watching.telling(launching.notify, bell=ring, report=say_aside):
            verdict = wait_for_canaries(session, launched.run, report)
    if as_json:
        print_json(
            {
                "plan": plan.id,
                "run": launched.run,
                "created": launched.created,
                "failed": launched.failed,
                "waiting": [] if verdict == FOLLOWED else launched.waiting,
                "messages": launched.messages,
                "preflight": to_json(found),
            }
        )
    return ExitCode.UNAVAILABLE if not launched.created else ExitCode.DONE


def wait_for_canaries(session: Session, run: str, report: Callable[[str], None]) -> str:
    """Look after a run until the rest of its VMs is asked for; `FOLLOWED`, or "" if the run was told to stop meanwhile.

    Whoever reconciles the run does the same: this may be interrupted at any time.

    Raises:
        CanaryFailed: naming the canary and the cause.
    """
    said = ""
    while True:
        session.healing.reconcile(run)
        canary = session.launching.canary(run)
        if canary is None:
            order = next((order for order in session.runs.read(run).orders if order.after_canary), None)
            report(f"the canaries have proved themselves: {plural(len(order.vms), 'VM')} more" if order else f"run {run} was told to stop")
            return FOLLOWED if order else ""
        if canary.failed is not None:
            vm = canary.failed.name
            raise CanaryFailed(
                f"run {run}: {canary.message}", hint=f"look: tickdeck logs {vm}, tickdeck fleet serial {vm}; then: tickdeck abort {run}"
            )
        if canary.message != said:
            said = canary.message
            report(said)
        time.sleep(LOOK_SECONDS)


def _preview(session: Session, plan: Plan, launching: Launching, wanted: frozenset[int] | None) -> LaunchIntent:
    return session.launching.preview(
        plan,
        shards_only=wanted,
        vms=launching.vms,
        max_vms=launching.max_vms,
        canary=launching.canary,
        keep=launching.keep,
        external_ip=launching.external_ip,
    )


def order_document(intent: LaunchIntent) -> dict[str, Any]:
    """What would be asked for, as JSON carries it."""
    order = intent.order
    return {
        "vms": {name: list(vm.shards) for name, vm in intent.vms.items()},
        "canaries": list(order.vms) if order.follows else [],
        "zones": order.zones,
        "machine_types": order.machine_types,
        "provisioning_model": order.provisioning_model,
        "image": order.image,
        "boot_image": order.boot_image,
        "cloud_init": order.cloud_init,
        "external_ip": order.external_ip,
        "expires": order.expires,
        "keep_until": order.keep_until,
        "cost_per_hour": intent.cost_per_hour,
        "warnings": list(intent.warnings),
    }


def show_intent(intent: LaunchIntent) -> None:
    """The VMs that would be asked for, and what they have in common."""
    order = intent.order
    print_table(
        ("vm", "shards", ""),
        [(name, ",".join(map(str, vm.shards)), "canary" if order.follows and name in order.vms else "") for name, vm in intent.vms.items()],
    )
    price = "" if intent.cost_per_hour is None else f", {money(intent.cost_per_hour)} an hour"
    address = "an address each" if order.external_ip else "no addresses"
    click.echo(f"{' or '.join(order.machine_types)}, {order.provisioning_model.lower()}, in {', '.join(order.zones)}; {address}{price}")
    click.echo(f"boots {order.boot_image.rsplit('/', 1)[-1]}, runs {order.image}, cloud-init {order.cloud_init}")
    keep = f"; kept until {order.keep_until:%Y-%m-%d %H:%M} UTC" if order.keep_until else ""
    click.echo(f"deleted by the service {order.max_run_seconds // 3600} h after its start at the latest{keep}")
    for warning in intent.warnings:
        click.echo(f"! {warning}")
