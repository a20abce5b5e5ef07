"""What the programs import when they work, for `warm_process`: modules only, nothing that starts a thread or opens a file."""

from __future__ import annotations

import importlib
import pkgutil

import engine
import provision
from provision.compute_package import load_compute

_LIBRARIES = (
    "aiohttp",
    "google.cloud.storage",
    "numpy",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
)

for _name in _LIBRARIES:
    importlib.import_module(_name)
for _package in (engine, provision):
    for _each in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        if not _each.name.endswith("__main__") and not _each.name.startswith("provision.local"):
            importlib.import_module(_each.name)
_compute = load_compute()
for _kind in (
    "Addresses",
    "Disks",
    "Instances",
    "MachineTypes",
    "RegionInstances",
    "RegionOperations",
    "Regions",
    "ZoneOperations",
    "Zones",
):
    getattr(_compute, f"{_kind}Client")
