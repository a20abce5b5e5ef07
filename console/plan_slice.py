"""How a plan is launched where that is not all of it at once: some of its shards, on some number of VMs, VMs that stay. Pure; both
front ends read and describe it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from console.sentences import money, plural
from engine.clock import format_bytes, format_seconds
from engine.errors import UsageError
from engine.estimate import Rates, Speed, class_a_operations, cost_lines
from engine.plan import Plan

ADDRESSES: Final[dict[str, bool | None]] = {"by the profile": None, "one each": True, "none": False}
"""Whether VMs get an external address, as people choose it."""
CANARIES: Final = {"two go first": True, "all at once": False}
"""Whether of many VMs two prove themselves before the rest is asked for."""

_SPAN = re.compile(r"([1-9]\d{0,5})([mh])", re.ASCII)
_RANGE = re.compile(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PlanSlice:
    """What is launched of a plan."""

    shards: frozenset[int] | None = None
    """None: all."""
    max_vms: int = 0
    """At most so many VMs; 0: as many as the profile allows."""
    keep: timedelta | None = None
    """How long after the launch the VMs stay for jobs; None: they end with their work."""
    canary: bool = True
    """Of many VMs let two prove themselves first."""
    external_ip: bool | None = None
    """Whether VMs get an address; None: as the profile says."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the plan is left out."""
        return self.shards is None and not self.max_vms

    @property
    def remarks(self) -> list[str]:
        """What of it is not what a launch does anyhow, beside shards and VMs; a few words each."""
        return [
            *([f"VMs stay until {write_span(self.keep)} after the launch, and cost on"] if self.keep else []),
            *([] if self.canary else ["without canaries"]),
            *([] if self.external_ip is None else ["each VM has an address" if self.external_ip else "no VM has an address"]),
        ]

    @property
    def arguments(self) -> list[str]:
        """The options of `tickdeck deploy` that say the same."""
        only = ["--shards-only", write_shards(self.shards)] if self.shards is not None else []
        address = [] if self.external_ip is None else ["--external-ip" if self.external_ip else "--no-external-ip"]
        return [
            *only,
            *(["--max-vms", str(self.max_vms)] if self.max_vms else []),
            *(["--keep", write_span(self.keep)] if self.keep else []),
            *([] if self.canary else ["--no-canary"]),
            *address,
        ]


WHOLE = PlanSlice()


@dataclass(frozen=True, slots=True)
class SliceEstimate:
    """What a part of a plan takes."""

    shards: int
    of: int
    """Shards of the plan."""
    files: int
    bytes: int
    vms: int
    seconds: float
    """From launch to the end of the slowest VM, boot included."""
    vm_hours: float
    cost: tuple[float, float, float] | None
    """Low, expected, high in US dollars; None: no price is known."""

    @property
    def sentence(self) -> str:
        """`10 of 40 shards: 310 files, 42.0 GB, on 10 VMs in about 1 h 04 min, $3.20 ($2.90 to $4.10)`."""
        cost = "at a price that is not known"
        if self.cost is not None:
            low, expected, high = self.cost
            cost = "free" if high == 0 else f"{money(expected)} ({money(low)} to {money(high)})"
        return (
            f"{self.shards:,} of {plural(self.of, 'shard')}: {plural(self.files, 'file')}, {format_bytes(self.bytes)},"
            f" on {plural(self.vms, 'VM')} in about {format_seconds(self.seconds)}, {cost}"
        )


def parse_shards(text: str) -> frozenset[int]:
    """`40-59,70` as a set.

    Raises:
        UsageError: naming the part that is no number or range.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"{part.strip()!r} is no shard and no range of shards", hint="write 40-59,70")
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def write_shards(shards: Iterable[int]) -> str:
    """The inverse of `parse_shards`, as short as it can be: `40-59,70`."""
    runs: list[list[int]] = []
    for shard in sorted(set(shards)):
        if runs and runs[-1][-1] == shard - 1:
            runs[-1] = [runs[-1][0], shard]
        else:
            runs.append([shard])
    return ",".join("-".join(map(str, run)) for run in runs)


def parse_span(text: str) -> timedelta:
    """A length of time: `30m`, `2h`.

    Raises:
        UsageError: naming the forms that work.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no length of time", hint="write 30m or 2h")
    return timedelta(**{{"m": "minutes", "h": "hours"}[found[2]]: int(found[1])})


def write_span(span: timedelta) -> str:
    """The inverse of `parse_span`: in whole hours where it is."""
    minutes = round(span.total_seconds() / 60)
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"


def read_slice(plan: Plan, shards: str, max_vms: str, keep: str = "") -> PlanSlice:
    """What a person typed about a plan; empty texts mean all of it, and VMs that end with their work.

    Raises:
        UsageError: naming what is wrong.
    """
    wanted = parse_shards(shards) if shards.strip() else None
    if wanted is not None and (strays := sorted(shard for shard in wanted if shard >= len(plan.shards))):
        raise UsageError(f"the plan has no shard {strays[0]}", hint=f"shards are 0-{len(plan.shards) - 1}")
    if max_vms.strip() and (not max_vms.strip().isdecimal() or int(max_vms) < 1):
        raise UsageError(f"{max_vms.strip()!r} is no number of VMs", hint="one or more; empty: one VM a shard")
    stay = parse_span(keep) if keep.strip() else None
    return PlanSlice(None if wanted == frozenset(range(len(plan.shards))) else wanted, int(max_vms.strip() or 0), stay)


def estimate_slice(plan: Plan, part: PlanSlice, *, most_vms: int, speed: Speed, rates: Rates) -> SliceEstimate:
    """What launching a part of a plan takes; a VM with several shards works one after the other.

    Args:
        most_vms: that the profile allows.
        speed: of one VM.
        rates: prices.
    """
    from provision.launch import share_shards

    wanted = sorted(range(len(plan.shards)) if part.shards is None else part.shards)
    vms = max(1, min(len(wanted), part.max_vms or most_vms, most_vms))
    loads = [sum(plan.shard(index).seconds for index in own) for own in share_shards(plan, vms, shards=wanted)]
    chosen = [plan.shard(index) for index in wanted]
    files, size = sum(shard.files for shard in chosen), sum(shard.bytes for shard in chosen)
    seconds, vm_hours = speed.boot_seconds + max(loads), (len(loads) * speed.boot_seconds + sum(loads)) / 3600
    operations = class_a_operations(files=files, manifests=sum(len(shard.work) for shard in chosen), shards=len(chosen), vm_hours=vm_hours)
    lines = cost_lines(rates, vm_hours=vm_hours, class_a=operations, source_bytes=size, hours=seconds / 3600)
    cost = (sum(line.low for line in lines), sum(line.expected for line in lines), sum(line.high for line in lines))
    return SliceEstimate(len(wanted), len(plan.shards), files, size, len(loads), seconds, vm_hours, cost if lines else None)
