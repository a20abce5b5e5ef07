"""`tickdeck local`: the cloud on this machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from console.verbs.drill import drill_command
from console.verbs.options import json_option
from engine.errors import ConfigurationError, ExitCode
from engine.verbs.printing import print_json, print_table
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud
from provision.local.serving import FAULTS_PATH


@click.group("local")
def local_command() -> None:
    """A whole cloud on this machine: storage, Compute, Cloud Logging and a Tardis stand-in, on 127.0.0.1 only."""


def _root() -> Path:
    return local_cloud.default_root()


def _running() -> Cloud:
    cloud = local_cloud.find(local_cloud.active_root())
    if cloud is None:
        raise ConfigurationError("the local cloud is down", hint="start it: tickdeck local up")
    return cloud


@local_command.command("up")
@click.option("--scenario", default="", help="The stand-in's market data: demo, drill, tiny, traps or a TOML file [what runs, else demo].")
@click.option(
    "--source",
    type=click.Choice(["stand-in", "tardis"]),
    default="stand-in",
    show_default=True,
    help="Where market data comes from.",
)
def up(scenario: str, source: str) -> int:
    """Start it, or find the one that runs."""

    def report(step: str, state: str) -> None:
        if state == "done":
            click.echo(f"{step} answers")

    cloud = local_cloud.up(_root(), scenario=scenario, stand_in=source == "stand-in", report=report)
    _make_buckets(cloud)
    click.echo(f'up; state in {cloud.root}; point other tools at it with: eval "$(tickdeck local env)"')
    return ExitCode.DONE


def _make_buckets(cloud: Cloud) -> None:
    """The buckets that any tool finds by default: whoever points one at this cloud wants to work, not to create buckets first."""
    from engine.bucket import create_bucket
    from engine.settings import resolve
    from engine.storage_service import open_storage
    from engine.store import Store

    settings = resolve(cloud.environment())
    service = open_storage(project=settings.text("project"), endpoint=settings.text("storage_endpoint"))
    for name in (settings.text("data_bucket"), settings.state_bucket):
        create_bucket(Store(service, name))


@local_command.command("down")
def down() -> int:
    """Stop it with all its VMs, and the demo's too. The lake it holds stays."""
    stopped = [root for root in (_root(), local_cloud.demo_root()) if local_cloud.down(root)]
    click.echo("stopped" if stopped else "nothing was running")
    return ExitCode.DONE


@local_command.command("status")
@json_option
def status(as_json: bool) -> int:
    """Each server's address and process. Exit code 69 if it is down."""
    cloud = local_cloud.find(local_cloud.active_root())
    if cloud is None:
        if as_json:
            print_json({"running": False, "root": str(_root())})
        else:
            click.echo("tickdeck: the local cloud is down -> start it: tickdeck local up", err=True)
        return ExitCode.UNAVAILABLE
    rows = [
        {
            "service": server.name,
            "pid": server.pid,
            "url": cloud.logging_endpoint if server.name == "logs" else cloud.url(server.name),
        }
        for server in cloud.state.servers
    ]
    vms = json.loads(local_cloud.call(cloud, "compute", "/_tickdeck/vms"))
    if as_json:
        print_json({"running": True, "root": str(cloud.root), "scenario": cloud.state.scenario, "servers": rows, "vms": vms})
    else:
        print_table(("service", "pid", "address"), [(row["service"], row["pid"], row["url"]) for row in rows])
        click.echo(f"{len(vms)} VMs; scenario {cloud.state.scenario or 'none (real source)'}; state in {cloud.root}")
    return ExitCode.DONE


@local_command.command("env")
def env() -> int:
    """Lines that point any tool at it: eval "$(tickdeck local env)"."""
    for name, value in _running().environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return ExitCode.DONE


@local_command.command("preempt")
@click.argument("vm")
@click.option("--grace", type=float, default=30.0, show_default=True, help="Seconds between the notice and the end.")
def preempt(vm: str, grace: float) -> int:
    """Take a VM away as a real zone does: notice, SIGTERM, end."""
    local_cloud.call(_running(), "compute", "/_tickdeck/preempt", {"vm": vm, "grace_seconds": grace})
    click.echo(f"{vm} is being preempted")
    return ExitCode.DONE


@local_command.command("kill")
@click.argument("vm")
def kill(vm: str) -> int:
    """Cut a VM's power: no notice, no last word."""
    local_cloud.call(_running(), "compute", "/_tickdeck/kill", {"vm": vm})
    click.echo(f"{vm} is dead")
    return ExitCode.DONE


@local_command.group("chaos", help=f"Faults as switches. SERVICE is {', '.join(local_cloud.SERVICES)}.")
def chaos() -> None:
    """The group of its verbs."""


_SERVICE = click.Choice(local_cloud.SERVICES)


@chaos.command("list")
@click.option("--kinds", is_flag=True, help="Which faults there are, instead of which are armed. Nothing need run.")
@json_option
def chaos_list(kinds: bool, as_json: bool) -> int:
    """Armed faults and how often each has struck."""
    if kinds:
        return _list_kinds(as_json=as_json)
    cloud = _running()
    rows: list[tuple[object, ...]] = []
    for server in cloud.state.servers:
        faults = json.loads(local_cloud.call(cloud, server.name, FAULTS_PATH)).get("faults", [])
        rows += [(server.name, fault.get("fault", ""), fault.get("struck", 0), json.dumps(fault)) for fault in faults]
    if as_json:
        print_json([{"service": row[0], **json.loads(str(row[3]))} for row in rows])
        return ExitCode.DONE
    print_table(("service", "fault", "struck", "settings"), rows, right=(2,))
    return ExitCode.DONE


def _list_kinds(*, as_json: bool) -> int:
    from provision.local.fault_table import DEEDS, describe_settings, fault_kinds

    rows = [
        {"service": service, "fault": kind.name, "settings": describe_settings(kind), "does": kind.does}
        for service, kinds in fault_kinds().items()
        for kind in kinds
    ]
    rows += [{"service": "compute", "fault": name, "settings": f"(tickdeck local {name} VM)", "does": does} for name, does in DEEDS.items()]
    if as_json:
        print_json(rows)
        return ExitCode.DONE
    print_table(("service", "fault", "settings", "what it does"), [tuple(row.values()) for row in rows])
    click.echo("\neach takes count=N, skip=N, method=M, match=PART too; arm one: tickdeck local chaos arm SERVICE FAULT KEY=VALUE ...")
    return ExitCode.DONE


@chaos.command("arm")
@click.argument("service", type=_SERVICE)
@click.argument("fault")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def chaos_arm(service: str, fault: str, settings: tuple[str, ...]) -> int:
    """Switch a fault on.

    For example `tickdeck local chaos arm tardis status status=503 count=20 match=/binance/`; what there is: chaos list --kinds.
    """
    body: dict[str, Any] = {"fault": fault}
    for setting in settings:
        key, _, value = setting.partition("=")
        try:
            body[key] = json.loads(value)
        except ValueError:
            body[key] = value
    local_cloud.call(_running(), service, FAULTS_PATH, body)
    click.echo(f"armed {fault} at {service}")
    return ExitCode.DONE


@chaos.command("clear")
@click.argument("service", type=_SERVICE)
def chaos_clear(service: str) -> int:
    """Disarm all faults of a server."""
    local_cloud.call(_running(), service, FAULTS_PATH, method="DELETE")
    click.echo(f"{service} is well again")
    return ExitCode.DONE


local_command.add_command(drill_command)
