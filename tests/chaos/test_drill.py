"""The drill as a person types it: whatever strikes the fleet, the lake is the one that an undisturbed process fills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("vms", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_nothing_that_strikes_shows_in_the_lake(tmp_path: Path, vms: int) -> None:
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(tmp_path / "local"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for name in ("TICKDECK_CONFIG", "TICKDECK_PROFILE", "STORAGE_EMULATOR_HOST"):
        environment.pop(name, None)
    words = [sys.executable, "-m", "console.cli", "local", "drill", "--vms", str(vms), "--seed", "7", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert report["seed"] == 7
    assert report["objects"] == 276
    assert len(report["preempted"]) >= round(0.3 * vms)
    assert report["console_deaths"] == min(2, len(report["preempted"]))
    assert report["vms"] > vms
    assert report["faults"]["storage lost_reply"] == 3
    assert any(line.startswith("launch: ") for line in report["audit"])
    assert any("preempted" in event["text"] for event in report["timeline"])
    left = [
        line
        for line in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
        if str(tmp_path) in line
    ]
    assert left == []
