"""Names of VMs, and what a person may type to mean one. A name is for people and for patterns: no shard is ever read out of it.

`market-data-*` finds all that Tickdeck makes, as it found all that the scripts before it made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from engine.errors import ConfigurationError, UsageError

SINGLE = "market-data-single-"
SHARD = "market-data-shard-"
MAX_LENGTH = 63

_LEGAL = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_REPLACEMENT = re.compile(r"-a\d+$")
_SHORT = re.compile(rf"{SHARD}(\d+)")


@dataclass(frozen=True, slots=True)
class KnownVm:
    """What has to be known of a VM to understand what a person typed."""

    name: str
    run: str = ""
    """Empty: not ours."""
    shards: tuple[int, ...] = ()
    attempt: int = 1
    live: bool = True
    """Whether its run is live."""


def single_name(day: date, taken: Collection[str] = ()) -> str:
    """The name of the only VM of a launch: `market-data-single-20240501`, a second one of that UTC day ends in `-2`."""
    base = f"{SINGLE}{day:%Y%m%d}"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name


def shard_name(run: str, number: int) -> str:
    """The name of one VM of several: its number is the first shard that it owns."""
    return _require_legal(f"{SHARD}{run}-{number}")


def replacement_name(name: str, attempt: int) -> str:
    """The name of the VM that takes over from `name`: the same, ending in `-a<attempt>`."""
    if attempt < 2:
        raise ConfigurationError(f"attempt {attempt} of {name} replaces nothing")
    return _require_legal(f"{_REPLACEMENT.sub('', name)}-a{attempt}")


def _require_legal(name: str) -> str:
    if not _LEGAL.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a VM", hint=f"at most {MAX_LENGTH} of a-z, 0-9 and -")
    return name


def is_wildcard_only(pattern: str) -> bool:
    """True for a pattern that names nothing: `*`, `?*`, `[a-z]*`, `-*`, or an empty one."""
    return not re.search(r"[a-z0-9]", re.sub(r"\[[^\]]*\]", "", pattern.lower()))


def has_wildcard(pattern: str) -> bool:
    """True if the pattern is more than a name."""
    return any(sign in pattern for sign in "*?[")


def is_short(name: str) -> bool:
    """True for a name that means a shard of the live run: `market-data-shard-7`."""
    return _SHORT.fullmatch(name) is not None


def resolve_names(pattern: str, vms: Iterable[KnownVm]) -> tuple[str, ...]:
    """The VMs that a person means, in the order given.

    A full name means itself. `market-data-shard-7` means the newest VM of shard 7 of the one live run. Anything with `*`, `?` or
    `[...]` is a pattern over whole names.

    Raises:
        UsageError: if nothing matches (naming the nearest names), or if a short name fits VMs of two live runs (naming them).
    """
    known = list(vms)
    if has_wildcard(pattern):
        found = tuple(vm.name for vm in known if fnmatchcase(vm.name, pattern))
        if not found:
            raise UsageError(f"no VM matches {pattern!r}", hint=f"there are {len(known)}; list them: tickdeck fleet")
        return found
    if any(vm.name == pattern for vm in known):
        return (pattern,)
    if short := _SHORT.fullmatch(pattern):
        return (_find_shard(pattern, int(short[1]), known),)
    near = difflib.get_close_matches(pattern, [vm.name for vm in known], n=3)
    raise UsageError(f"there is no VM {pattern!r}", hint=f"did you mean {' or '.join(near)}?" if near else "list them: tickdeck fleet")


def _find_shard(pattern: str, shard: int, known: list[KnownVm]) -> str:
    newest: dict[str, KnownVm] = {}
    for vm in known:
        if not (vm.run and vm.live and shard in vm.shards):
            continue
        before = newest.get(vm.run)
        if before is None or vm.attempt > before.attempt:
            newest[vm.run] = vm
    if not newest:
        raise UsageError(f"no live run has a VM for shard {shard}", hint="give the whole name; list them: tickdeck fleet")
    if len(newest) > 1:
        both = ", ".join(vm.name for vm in newest.values())
        raise UsageError(f"{pattern!r} could be any of {both}", hint="give the whole name")
    return next(iter(newest.values())).name
