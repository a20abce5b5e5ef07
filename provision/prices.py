"""What machines, disks, addresses and bucket operations cost: a dated table as data, looked up by region, machine and model.

Discounts are never computed: spot is a price of its own. The local profile runs on this machine and costs nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from engine.errors import ConfigurationError
from engine.estimate import FREE, Rate, Rates
from provision.profile import Profile

HOURS_PER_MONTH = 730
HOURS_PER_DAY = 24

Model = str
"""`SPOT` or `STANDARD`, as the service calls them."""


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("provision") / "prices.toml").read_text(encoding="utf-8"))


def find_rates(profile: Profile, *, machine_type: str = "", model: Model = "") -> Rates | None:
    """Prices for a plan of this profile, or None if the table does not know the region or the machine.

    Args:
        machine_type: by default the profile's first.
        model: by default the profile's.
    """
    machine_type = machine_type or profile.machine_types[0]
    model = model or profile.provisioning_model
    if profile.kind == "local":
        return Rates(machine=f"{machine_type}, this machine")
    region = _table()["regions"].get(profile.region)
    machine = region and region["machines"].get(machine_type)
    if not machine:
        return None
    kind = _kind(model)
    source, dated = str(region["source"]), str(region["dated"])
    if kind == "spot" and profile.on_demand_fallback:
        # The dearest outcome is that every VM is lost often enough to be replaced by an on-demand one.
        spot = Rate(machine["spot"], source, dated)
        vm_hour = replace(spot, high=max(spot.high, machine["on_demand"] / machine["spot"]))
    else:
        vm_hour = Rate(machine[kind], source, dated)
    disk_month = region["disk"].get(profile.disk_type)
    if disk_month is None:
        return None
    return Rates(
        vm_hour=vm_hour,
        disk_hour=Rate(disk_month * profile.disk_gb / HOURS_PER_MONTH, source, dated),
        ip_hour=Rate(region["address"][kind], source, dated) if profile.external_ip else FREE,
        class_a_per_1000=Rate(region["class_a"], source, dated),
        machine=f"{machine_type} {'spot' if kind == 'spot' else 'on demand'}",
    )


def cost_per_hour(profile: Profile, machine_type: str, model: Model) -> float:
    """US dollars of one running VM with its disk and address; 0 if the table does not know it."""
    rates = find_rates(profile, machine_type=machine_type, model=model)
    return rates.vm_hour.dollars + rates.disk_hour.dollars + rates.ip_hour.dollars if rates else 0.0


def disk_cost_per_day(profile: Profile, disk_type: str, gigabytes: float) -> float:
    """US dollars a day of a disk; 0 if the table does not know it."""
    region = _table()["regions"].get(profile.region) if profile.kind == "gcp" else None
    return float(region["disk"].get(disk_type, 0.0)) * gigabytes * HOURS_PER_DAY / HOURS_PER_MONTH if region else 0.0


def idle_address_cost_per_day(profile: Profile) -> float:
    """US dollars a day of a reserved address that nothing uses; 0 if the table does not know the region."""
    region = _table()["regions"].get(profile.region) if profile.kind == "gcp" else None
    return float(region["address"]["idle"]) * HOURS_PER_DAY if region else 0.0


def _kind(model: Model) -> str:
    try:
        return {"SPOT": "spot", "STANDARD": "on_demand"}[model]
    except KeyError:
        raise ConfigurationError(f"provisioning model {model!r} has no price", hint="SPOT or STANDARD") from None
