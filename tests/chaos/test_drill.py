"""The drill as a person types it: whatever strikes the fleet, the lake is the one that an undisturbed process fills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("vms", [11, pytest.param(40, marks=pytest.mark.slow)])
def test_nothing_that_strikes_shows_in_the_lake(tmp_path: Path, vms: int) -> None:
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(tmp_path / "local"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for name in ("TICKDECK_CONFIG", "TICKDECK_PROFILE", "STORAGE_EMULATOR_HOST"):
        environment.pop(name, None)
    words = [sys.executable, "-m", "console.cli", "local", "drill", "--vms", str(vms), "--seed", "7", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert (report["seed"], report["shards"], report["cells"], report["objects"]) == (7, vms, 84, 276)
    assert len(report["preempted"]) == round(0.3 * vms)
    assert report["console_deaths"] == 2
    assert report["vms"] > vms
    assert report["faults"]["storage lost_reply"] == 3
    assert report["faults"]["compute stockout"] >= vms
    told = [event["text"] for event in report["timeline"]]
    asked = [text for text in told if text.startswith("order ")]
    assert ": 2 VMs in one call (launch)" in asked[0]
    assert sum(f": {vms - 2} VMs in one call (canary passed)" in text for text in asked) == 1
    assert sum("is killed with -9" in text for text in told) == 2
    verbs = [line.split()[1] for line in report["audit"]]
    assert {"replace:", "cleanup:"} <= set(verbs)
    (costs,) = report["costs"]
    assert costs["expected"]["files"] == costs["actual"]["files"] == 276
    assert costs["expected"]["vm_hours"] > 0
    assert costs["actual"]["vm_hours"] > 0
    assert len(costs["vms"]) == report["vms"]
    left = [
        line
        for line in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
        if str(tmp_path) in line
    ]
    assert left == []
