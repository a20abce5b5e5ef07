"""How to log in to a VM: the command line of `gcloud compute ssh`, as a list of arguments. Nothing is run here.

Our VMs let in by OS Login (`enable-oslogin`), through Identity-Aware Proxy where they have no address of their own. A VM of the local
cloud is a process of this machine: there is no shell to log in to, and what it says is on its serial port.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import UsageError
from provision.errors import GuardRefusal
from provision.fleet import FleetSnapshot
from provision.names import has_wildcard, resolve_names
from provision.profile import Profile


@dataclass(frozen=True, slots=True)
class Shell:
    """A login to one VM."""

    vm: str
    argv: tuple[str, ...]
    """For `subprocess`, without a shell in between."""
    local: bool
    """It is a VM of the local cloud: there is nothing to log in to."""


def find_shell(profile: Profile, snapshot: FleetSnapshot, name: str, command: Sequence[str] = ()) -> Shell:
    """How to log in to a VM of ours. Pure.

    Args:
        name: as people type it; must mean one VM.
        command: what to run there instead of a shell.

    Raises:
        UsageError: if the name means none or several, or nothing runs there.
        GuardRefusal: if the VM is not ours.
    """
    found = resolve_names(name, snapshot.known_vms())
    if len(found) != 1 or has_wildcard(name):
        raise UsageError(f"{name!r} means {len(found)} VMs", hint="name one: tickdeck fleet")
    row = snapshot.find(found[0])
    if row is None or row.vm is None:
        raise UsageError(f"{found[0]} does not exist any more", hint=f"what it said: tickdeck logs {found[0]}")
    if not row.managed:
        raise GuardRefusal(f"{row.name} is not ours", hint=f"gcloud compute ssh {row.name} --zone {row.zone} --project {profile.project}")
    if row.status != "RUNNING":
        raise UsageError(f"{row.name} is {row.status}: nobody can log in", hint=f"its boot: tickdeck fleet serial {row.name}")
    view = next((view for view in snapshot.runs if view.run == row.run), None)
    order = view.find(row.name) if view is not None else None
    argv = ["gcloud", "compute", "ssh", row.name, f"--zone={row.zone}", f"--project={profile.project}"]
    if not (order.external_ip if order is not None else profile.external_ip):
        argv.append("--tunnel-through-iap")
    if command:
        argv.append(f"--command={shlex.join(command)}")
    return Shell(row.name, tuple(argv), profile.kind == "local")
