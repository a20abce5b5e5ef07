"""A whole run where the machine has no network but loopback: nothing in it needs, or tries, the world outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMESPACE = ("unshare", "--net", "--")


def _allowed() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0


def test_a_run_completes_in_a_namespace_that_has_only_loopback(tmp_path: Path) -> None:
    if not _allowed():
        pytest.skip("this machine does not let us make a network namespace (needs unshare, ip and the right to)")
    script = 'ip link set lo up && exec "$0" -m tests.endtoend.loopback_run "$1"'
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, sys.executable, str(tmp_path / "cloud")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["holes"] == 0
    assert report["complete"] > 0
    assert report["log_entries"] > 0
