"""The stand-in as a process: ready file, health, key from the environment, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[4]
PAID = "/v1/binance/trades/2024/05/02/BTCUSDT.csv.gz"


class Process:
    def __init__(self, root: Path, *arguments: str) -> None:
        ready = root / "ready.json"
        ready.unlink(missing_ok=True)
        root.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "provision.local.tardis", "--root", str(root), "--nonce", "abc"]
        command += ["--ready-file", str(ready), "--scenario", "tiny", *arguments]
        self.child = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TICKDECK_STAND_IN_KEY": "secret-key"})
        while not ready.exists():
            assert self.child.poll() is None, "the stand-in ended before it was ready"
        told = json.loads(ready.read_text())
        assert told["pid"] == self.child.pid
        self.url = f"http://127.0.0.1:{told['ports']['tardis']}"

    def get(self, path: str, key: str | None = "secret-key") -> Any:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request) as response:
            body = response.read()
            return json.loads(body) if "json" in response.headers["Content-Type"] else body


def test_a_process_serves_is_killed_and_finds_its_files_and_log_again(tmp_path: Path) -> None:
    first = Process(tmp_path / "source")
    try:
        assert first.get("/_tickdeck/health") == {"service": "tardis", "nonce": "abc", "pid": first.child.pid}
        assert "secret-key" not in " ".join(psutil.Process(first.child.pid).cmdline())
        body = first.get(PAID)
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            first.get(PAID, key="guess")
        refused.value.close()
    finally:
        first.child.kill()
        first.child.wait()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "source" / "cache").rglob("*.csv.gz")}
    assert len(made) == 1
    second = Process(tmp_path / "source", "--pregenerate")
    try:
        assert second.get(PAID) == body
        assert [entry["status"] for entry in second.get("/_tickdeck/requests")["requests"]] == [200, 401, 200]
        assert {path: path.stat().st_mtime_ns for path in made} == made
    finally:
        second.child.send_signal(signal.SIGTERM)
        assert second.child.wait() == 0


def test_a_scenario_that_cannot_be_played_ends_with_78_and_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "provision.local.tardis", "--root", str(tmp_path), "--nonce", "abc"]
    command += ["--ready-file", str(tmp_path / "ready.json"), "--scenario", "tinny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "no scenario 'tinny'" in done.stderr
