"""The Compute package that is loaded in parts says the same as the whole one, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CLIENTS = ("InstancesClient", "RegionInstancesClient", "ZoneOperationsClient", "RegionOperationsClient", "ZonesClient", "RegionsClient")
MORE = ("ProjectsClient", "DisksClient", "AddressesClient", "MachineTypesClient", "ImagesClient")
MESSAGES = ("Instance", "AttachedDisk", "BulkInsertInstanceResource", "Scheduling", "Operation")


def ask(program: str) -> Any:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_name_is_the_one_of_the_whole_package_and_no_other_service_is_loaded() -> None:
    names = (*CLIENTS, *MORE, *MESSAGES)
    program = f"""
import json, sys
from provision.compute_package import load_compute
gce = load_compute()
from google.cloud import compute_v1
import google.cloud.compute_v1 as again
assert gce is compute_v1 is again is load_compute()
found = {{name: [getattr(gce, name).__module__, getattr(gce, name).__qualname__] for name in {names!r}}}
services = {{name.split(".")[4] for name in sys.modules if name.startswith("google.cloud.compute_v1.services.")}}
print(json.dumps([found, sorted(services), hasattr(gce, "NoSuchClient"), hasattr(gce, "NoSuchThing"), hasattr(gce, "no_such_part")]))
"""
    whole = f"""
import json
from google.cloud import compute_v1 as gce
print(json.dumps({{name: [getattr(gce, name).__module__, getattr(gce, name).__qualname__] for name in {names!r}}}))
"""
    found, services, *others = ask(program)
    assert found == ask(whole)
    assert others == [False, False, False]
    assert "firewalls" not in services
    assert len(services) < 2 * len(CLIENTS + MORE)


def test_a_package_that_is_there_as_a_whole_is_taken() -> None:
    program = """
import json
from google.cloud import compute_v1
from provision.compute_package import load_compute
print(json.dumps([load_compute() is compute_v1, load_compute().FirewallsClient.__name__]))
"""
    assert ask(program) == [True, "FirewallsClient"]
