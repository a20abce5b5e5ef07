"""`tickdeck fleet`, `drain`, `abort`, `cleanup`, `reconcile`: the fleet and what is done to it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Literal

import click

from console.sentences import money, plural
from console.session import STALE_DAYS, Session
from console.verbs.carrying_out import carry_out, change_options
from console.verbs.fleet_orders import replace_command, resize_command, ssh_command
from console.verbs.options import headless_session, json_option, notify_option, profile_option, ring, say_aside
from engine.clock import format_bytes, format_seconds
from engine.errors import ExitCode, UsageError
from engine.verbs.printing import print_json, print_table
from provision.fleet import FleetSnapshot
from provision.lease import Held

WATCH_SECONDS = 2.0


@click.group("fleet", invoke_without_command=True)
@click.option("--run", default="", help="Only this run [the live ones].")
@click.option("--watch", is_flag=True, help="Again every two seconds until no run is live.")
@click.option("--runs", "list_runs", is_flag=True, help="List all runs.")
@notify_option
@profile_option
@json_option
@click.pass_context
def fleet_command(
    ctx: click.Context, run: str, watch: bool, list_runs: bool, notify: tuple[str, ...], profile_name: str, as_json: bool
) -> int | None:
    """The VMs: state, progress, what limits them, worst first."""
    if ctx.invoked_subcommand is not None:
        ctx.obj = profile_name
        return None
    if notify and not watch:
        raise UsageError("one look has nothing to tell: --notify is for --watch", hint="tickdeck fleet --watch --notify URL")
    session = headless_session(profile_name)
    if list_runs:
        return _show_runs(session, as_json=as_json)
    if run:
        session.runs.read(run)
    if not watch:
        _look(session, run, as_json=as_json)
        return ExitCode.DONE
    with session.watching.telling(notify, bell=ring, report=say_aside):
        while any(view.unfinished for view in _look(session, run, as_json=as_json).runs):
            time.sleep(WATCH_SECONDS)
            click.echo()
    return ExitCode.DONE


def _look(session: Session, run: str, *, as_json: bool) -> FleetSnapshot:
    snapshot = session.watching.fleet(run)
    if as_json:
        print_json(fleet_document(snapshot, run))
    else:
        show_fleet(snapshot, run)
    return snapshot


def _show_runs(session: Session, *, as_json: bool) -> int:
    from engine.launch import list_runs
    from engine.run import run_started

    now = session.clock()
    views = session.runs.read_all(list_runs(session.buckets.state))
    rows = [
        (view.run, f"{run_started(view.run):%Y-%m-%d %H:%M:%S}", view.plan, len(view.shards), len(view.unfinished), view.phase(now).value)
        for view in views
    ]
    head = ("run", "started (UTC)", "plan", "shards", "unfinished", "phase")
    if as_json:
        print_json([dict(zip(head, row, strict=True)) for row in rows])
    else:
        print_table(head, rows, right=(3, 4))
    return ExitCode.DONE


def count_bad(snapshot: FleetSnapshot, run: str = "") -> int:
    """Files that ended otherwise than they should: of finished runs by their manifests, of others by the last words of their VMs."""
    outcomes = {view.run: view.outcome for view in snapshot.runs if view.outcome is not None and run in ("", view.run)}
    vms = [vm for vm in snapshot.vms if vm.run not in outcomes and run in ("", vm.run)]
    return sum(outcome.bad for outcome in outcomes.values()) + sum(vm.heartbeat.files_bad for vm in vms if vm.heartbeat is not None)


def show_fleet(snapshot: FleetSnapshot, run: str = "") -> None:
    """Verdict and table."""
    vms = snapshot.of_run(run) if run else snapshot.vms
    bad = count_bad(snapshot, run)
    click.echo((snapshot.verdict or "no fleet") + (f"; {plural(bad, 'file')} bad: tickdeck check says which" if bad else ""))
    if not vms:
        return
    print_table(
        ("state", "vm", "shards", "done", "rate", "limited by", "ends", "heard", "try", "cause", "cost", "note"),
        (
            (
                vm.state.value.replace("_", " "),
                vm.name,
                ",".join(map(str, vm.shards)),
                f"{vm.files_done}/{vm.files_total}" if vm.files_total else "",
                f"{format_bytes(vm.bytes_per_second)}/s" if vm.bytes_per_second else "",
                vm.limited_by,
                f"{vm.ends:%H:%M:%S}" if vm.ends else "",
                format_seconds(vm.heartbeat_age) if vm.heartbeat_age is not None and vm.exists else "",
                vm.attempt or "",
                vm.cause,
                money(vm.cost) if vm.managed else "",
                (vm.last_error or vm.note)[:60],
            )
            for vm in vms
        ),
        right=(3, 4, 8),
    )


def fleet_document(snapshot: FleetSnapshot, run: str = "") -> dict[str, Any]:
    """The fleet as JSON carries it."""

    def moment(value: datetime | None) -> str | None:
        return value.isoformat() if value else None

    totals = snapshot.totals
    return {
        "taken": moment(snapshot.taken),
        "verdict": snapshot.verdict,
        "runs": [
            {
                "run": view.run,
                "plan": view.plan,
                "shards": len(view.shards),
                "unfinished": list(view.unfinished),
                "phase": view.phase(snapshot.taken).value,
                "lease": _lease(view.lease, snapshot.taken),
            }
            for view in snapshot.runs
        ],
        "totals": {
            "vms": totals.vms,
            "files_done": totals.files_done,
            "files_total": totals.files_total,
            "bytes_per_second": totals.bytes_per_second,
            "files_bad": count_bad(snapshot, run),
            "cost": totals.cost,
            "cost_per_hour": totals.cost_per_hour,
        },
        "vms": [
            {
                "name": vm.name,
                "state": vm.state.value,
                "managed": vm.managed,
                "run": vm.run,
                "shards": list(vm.shards),
                "attempt": vm.attempt,
                "status": vm.status,
                "zone": vm.zone,
                "machine_type": vm.machine_type,
                "files_done": vm.files_done,
                "files_total": vm.files_total,
                "progress": round(vm.progress, 4),
                "bytes_per_second": vm.bytes_per_second,
                "limited_by": vm.limited_by,
                "ends": moment(vm.ends),
                "heartbeat_age": vm.heartbeat_age,
                "cause": vm.cause,
                "replaced_by": vm.replaced_by,
                "last_error": vm.last_error,
                "note": vm.note,
                "cost": vm.cost,
                "exit_code": vm.exit_code,
            }
            for vm in (snapshot.of_run(run) if run else snapshot.vms)
        ],
    }


def _lease(held: Held | None, now: datetime) -> dict[str, Any] | None:
    """Who looks after a run, as JSON carries it."""
    if held is None:
        return None
    return {"who": held.lease.who, "since": held.lease.since, "renewed": held.renewed, "stale": held.is_stale(now)}


def _the_run(session: Session, run: str) -> str:
    """The run that is meant: the given one, or the only live one."""
    if run:
        return session.runs.read(run).run
    live = session.watching.live_runs()
    if len(live) == 1:
        return live[0]
    raise UsageError(
        f"{plural(len(live), 'run')} are live", hint=f"name one: {', '.join(live)}" if live else "list them: tickdeck fleet --runs"
    )


@click.command("drain")
@click.argument("run", default="")
@change_options
@profile_option
@json_option
def drain_command(run: str, dry_run: bool, yes: bool, armed: bool, profile_name: str, as_json: bool) -> int:
    """Tell a run's workers to take no new work and end: stops spending, loses nothing."""
    session = headless_session(profile_name, armed=armed)
    return carry_out(session, session.changes.propose_drain(_the_run(session, run)), dry_run=dry_run, yes=yes, as_json=as_json)


@click.command("abort")
@click.argument("run")
@change_options
@profile_option
@json_option
def abort_command(run: str, dry_run: bool, yes: bool, armed: bool, profile_name: str, as_json: bool) -> int:
    """Delete all VMs of a run, whatever they do. What is committed stays."""
    session = headless_session(profile_name, armed=armed)
    return carry_out(session, session.changes.propose_abort(run), dry_run=dry_run, yes=yes, as_json=as_json)


@click.command("cleanup")
@click.option(
    "--state-older-than",
    type=click.IntRange(min=1),
    default=STALE_DAYS,
    show_default=True,
    help="Days after which claims, heartbeats and leases of runs that are over go too.",
)
@change_options
@profile_option
@json_option
def cleanup_command(state_older_than: int, dry_run: bool, yes: bool, armed: bool, profile_name: str, as_json: bool) -> int:
    """Remove what is provably of no use: finished and dead VMs, orphan disks, idle addresses of ours, state of old runs."""
    session = headless_session(profile_name, armed=armed)
    return carry_out(session, session.changes.propose_cleanup(stale_days=state_older_than), dry_run=dry_run, yes=yes, as_json=as_json)


@fleet_command.command("delete")
@click.argument("names", nargs=-1, required=True)
@change_options
@json_option
@click.pass_obj
def delete_command(profile_name: str, names: tuple[str, ...], dry_run: bool, yes: bool, armed: bool, as_json: bool) -> int:
    """Delete VMs by name, short name (market-data-shard-7) or glob; only ours."""
    session = headless_session(profile_name or "", armed=armed)
    return carry_out(session, session.changes.propose_delete(names), dry_run=dry_run, yes=yes, as_json=as_json)


def _power(verb: Literal["stop", "start", "reset"], what: str) -> None:
    @fleet_command.command(verb, help=what)
    @click.argument("names", nargs=-1, required=True)
    @change_options
    @json_option
    @click.pass_obj
    def power(profile_name: str, names: tuple[str, ...], dry_run: bool, yes: bool, armed: bool, as_json: bool) -> int:
        session = headless_session(profile_name or "", armed=armed)
        return carry_out(session, session.changes.propose_power(verb, names), dry_run=dry_run, yes=yes, as_json=as_json)


_power("stop", "Power VMs off by name, short name or glob; only ours. They stay, and cost their disk.")
_power("start", "Start VMs that are powered off; their workers go on with what is left.")
_power("reset", "Switch VMs off and on again at once, without a word to their workers.")


for _command in (replace_command, resize_command, ssh_command):
    fleet_command.add_command(_command)


@fleet_command.command("drain")
@click.argument("names", nargs=-1, required=True)
@change_options
@json_option
@click.pass_obj
def drain_vms_command(profile_name: str, names: tuple[str, ...], dry_run: bool, yes: bool, armed: bool, as_json: bool) -> int:
    """Tell these VMs to take no new work and end; the other VMs of the run take up their shards. Loses nothing."""
    session = headless_session(profile_name or "", armed=armed)
    return carry_out(session, session.changes.propose_vm_drain(names), dry_run=dry_run, yes=yes, as_json=as_json)


@fleet_command.command("serial")
@click.argument("vm")
@click.pass_obj
def serial_command(profile_name: str, vm: str) -> int:
    """The end of a VM's serial port: why it does not boot."""
    click.echo(headless_session(profile_name or "").logs.serial(vm))
    return ExitCode.DONE


@fleet_command.command("status")
@click.argument("vm")
@json_option
@click.pass_obj
def status_command(profile_name: str, vm: str, as_json: bool) -> int:
    """One VM."""
    session = headless_session(profile_name or "")
    snapshot = session.watching.fleet()
    row = snapshot.find(vm)
    if row is None:
        raise UsageError(f"there is no VM {vm!r}", hint="list them: tickdeck fleet")
    document = next(item for item in fleet_document(snapshot)["vms"] if item["name"] == vm)
    if as_json:
        print_json(document)
    else:
        print_table(("", ""), [(key.replace("_", " "), value) for key, value in document.items() if value not in ("", None, [])])
    return ExitCode.DONE
