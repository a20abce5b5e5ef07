"""What machines, disks, addresses and bucket operations cost: a dated table as data, looked up by region, machine and model.

Discounts are never computed: spot is a price of its own. What the table does not know has no price. The local profile runs on this
machine and costs nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from engine.errors import ConfigurationError
from engine.estimate import STORED_HIGH, STORED_LOW, STORED_SHARE, VM_SPEED, Rate, Rates, Speed
from provision.profile import Profile

HOURS_PER_MONTH = 730
HOURS_PER_DAY = 24

CONVERTERS_PER_VCPU = VM_SPEED.converters / 8
"""Fetching and committing take the rest of a machine's vCPUs."""

NO_ADDRESS = Rate(0.0, "no external address", "free", 1.0, 1.0)

Model = str
"""`SPOT` or `STANDARD`, as the service calls them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a machine type."""

    vcpus: int
    memory_gb: int


@dataclass(frozen=True, slots=True)
class MachinePrice:
    """A machine type of a region, and what an hour of one VM of it costs, without disk and address."""

    name: str
    vcpus: int
    """0: not known, as all figures here."""
    memory_gb: int
    spot: float | None
    """US dollars an hour; None: it has no such price."""
    on_demand: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One price of the table."""

    region: str
    item: str
    """E.g. `e2-highmem-8 spot`, `disk pd-ssd`, `storage`."""
    unit: str
    dollars: float
    source: str
    dated: str
    """ISO day: of the source, or when it was read."""


_UNITS = {
    "class_a": "1,000 operations",
    "class_b": "1,000 operations",
    "storage": "GiB and month",
    "nat": "GiB",
    "nat_gateway": "hour",
    "egress": "GiB",
    "logs": "GiB",
    "registry": "GiB and month",
    "bigquery_storage": "GiB and month",
    "bigquery_load": "GiB",
}
_MODELS = {"SPOT": "spot", "STANDARD": "on_demand"}
_WORDS = {"spot": "spot", "on_demand": "on demand"}


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("provision") / "prices.toml").read_text(encoding="utf-8"))


def list_figures() -> Iterator[Figure]:
    """The whole table, region by region."""
    for region, groups in _table()["regions"].items():
        for name, unit in _UNITS.items():
            if name in groups:
                yield _figure(region, name.replace("_", " "), unit, groups[name], "price")
        for kind, row in groups["disk"].items():
            yield _figure(region, f"disk {kind}", "GB and month", row, "price")
        for use, row in groups["address"].items():
            yield _figure(region, f"external address, {_WORDS.get(use, use)}", "hour", row, "price")
        for machine, row in groups["machines"].items():
            for model, word in _WORDS.items():
                if model in row:
                    yield _figure(region, f"{machine} {word}", "hour", row, model)


def find_rates(profile: Profile, *, machine_type: str = "", model: Model = "") -> Rates | None:
    """Prices for a plan of this profile, or None if the table does not know all that such a plan is billed for.

    Args:
        machine_type: by default the profile's first.
        model: by default the profile's.

    Raises:
        ConfigurationError: for a model that the service does not have.
    """
    machine_type = machine_type or profile.machine_types[0]
    kind = _kind(model or profile.provisioning_model)
    if profile.kind == "local":
        return Rates(machine=f"{machine_type}, this machine")
    vm_hour = _vm_hour(profile, machine_type, kind)
    disk_hour = _disk_hour(profile, profile.disk_type, profile.disk_gb)
    class_a = _rate(profile.region, "class_a")
    nat, gateway = _nat(profile)
    ip_hour = _rate(profile.region, "address", kind) if profile.external_ip else NO_ADDRESS
    if vm_hour is None or disk_hour is None or class_a is None or ip_hour is None or (nat is None and not profile.external_ip):
        return None
    storage = _rate(profile.region, "storage")
    return Rates(
        vm_hour=vm_hour,
        disk_hour=disk_hour,
        ip_hour=ip_hour,
        class_a_per_1000=class_a,
        nat_gib=nat,
        nat_gateway_hour=gateway,
        storage_gib_month=replace(storage, low=STORED_LOW / STORED_SHARE, high=STORED_HIGH / STORED_SHARE) if storage else None,
        machine=f"{machine_type} {_WORDS[kind]}",
    )


def plan_rates(profile: Profile, *, machine_type: str = "", model: Model = "") -> Rates:
    """The same for a planner, which has to say what it has no price for instead of showing a zero."""
    found = find_rates(profile, machine_type=machine_type, model=model)
    if found is not None:
        return found
    kind = _WORDS[_kind(model or profile.provisioning_model)]
    return Rates(unknown=f"{machine_type or profile.machine_types[0]} {kind} with a {profile.disk_type} disk in {profile.region}")


def find_hourly(profile: Profile, machine_type: str, model: Model) -> float | None:
    """US dollars an hour of one running VM with its disk and address; None if the table does not know it."""
    rates = find_rates(profile, machine_type=machine_type, model=model)
    return None if rates is None else rates.vm_hour.dollars + rates.disk_hour.dollars + rates.ip_hour.dollars


def cost_per_hour(profile: Profile, machine_type: str, model: Model) -> float:
    """The same for sums: 0 if the table does not know it."""
    return find_hourly(profile, machine_type, model) or 0.0


def disk_cost_per_day(profile: Profile, disk_type: str, gigabytes: float) -> float:
    """US dollars a day of a disk; 0 if the table does not know it."""
    rate = _disk_hour(profile, disk_type, gigabytes) if profile.kind == "gcp" else None
    return rate.dollars * HOURS_PER_DAY if rate else 0.0


def idle_address_cost_per_day(profile: Profile) -> float:
    """US dollars a day of a reserved address that nothing uses; 0 if the table does not know the region."""
    rate = _rate(profile.region, "address", "idle") if profile.kind == "gcp" else None
    return rate.dollars * HOURS_PER_DAY if rate else 0.0


def registry_gib_month(profile: Profile) -> float | None:
    """US dollars a month of one GiB of images; None if the table does not know the region."""
    rate = _rate(profile.region, "registry") if profile.kind == "gcp" else None
    return rate.dollars if rate else None


def machine_shape(machine_type: str) -> Shape | None:
    """The size of a machine type, None if the table does not know it."""
    row = _table()["shapes"].get(machine_type)
    return Shape(row["vcpus"], row["memory_gb"]) if row else None


def known_machines(region: str) -> list[str]:
    """Machine types that have a price in a region, sorted."""
    row = _table()["regions"].get(region)
    return sorted(row["machines"]) if row else []


def list_machines(profile: Profile) -> list[MachinePrice]:
    """Machine types that a plan of this profile may name: its own first, then the others that have a price, cheapest first."""
    if profile.kind == "local":
        return [MachinePrice(name, 0, 0, 0.0, 0.0) for name in profile.machine_types]
    rows = (_table()["regions"].get(profile.region) or {}).get("machines", {})
    found = []
    for name, row in rows.items():
        shape = machine_shape(name) or Shape(0, 0)
        found.append(MachinePrice(name, shape.vcpus, shape.memory_gb, row.get("spot"), row.get("on_demand")))
    own = list(profile.machine_types)
    return sorted(found, key=lambda each: (own.index(each.name) if each.name in own else len(own), each.on_demand or 0.0, each.name))


def machine_speed(machine_type: str) -> Speed:
    """What one VM of this type does: `VM_SPEED` by its vCPUs, and `VM_SPEED` itself where the size is not known."""
    shape = machine_shape(machine_type)
    return replace(VM_SPEED, converters=max(1, int(shape.vcpus * CONVERTERS_PER_VCPU))) if shape else VM_SPEED


def _vm_hour(profile: Profile, machine_type: str, kind: str) -> Rate | None:
    rate = _rate(profile.region, "machines", machine_type, price=kind)
    if rate is None or kind != "spot" or not profile.on_demand_fallback:
        return rate
    # The dearest outcome is that every VM is lost often enough to be replaced by an on-demand one.
    on_demand = _rate(profile.region, "machines", machine_type, price="on_demand")
    return on_demand and replace(rate, high=max(rate.high, on_demand.dollars / rate.dollars))


def _disk_hour(profile: Profile, disk_type: str, gigabytes: float) -> Rate | None:
    rate = _rate(profile.region, "disk", disk_type)
    return rate and replace(rate, dollars=rate.dollars * gigabytes / HOURS_PER_MONTH)


def _nat(profile: Profile) -> tuple[Rate | None, Rate | None]:
    if profile.external_ip:
        return None, None
    return _rate(profile.region, "nat"), _rate(profile.region, "nat_gateway")


def _rate(region: str, *keys: str, price: str = "price") -> Rate | None:
    """A price of the table; None if it is not there."""
    row: Any = _table()["regions"].get(region)
    for key in keys:
        row = row and row.get(key)
    if not row or price not in row:
        return None
    figure = _figure(region, "", "", row, price)
    return Rate(figure.dollars, figure.source, figure.dated)


def _figure(region: str, item: str, unit: str, row: dict[str, Any], price: str) -> Figure:
    source = _table()["sources"][row["source"]]
    return Figure(region, item, unit, float(row[price]), source["name"], source["dated"])


def _kind(model: Model) -> str:
    try:
        return _MODELS[model]
    except KeyError:
        raise ConfigurationError(f"provisioning model {model!r} has no price", hint="SPOT or STANDARD") from None
