"""Killed and restarted downloads: nothing committed is fetched again, and the end equals an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from engine.paths import parse_data_object
from engine.source import dataset_path
from engine.store import Store
from tests.local_servers import Lake, make_lake

DOWNLOAD = ("download", "--venues", "binance,deribit", "--data-types", "trades,book_snapshot_5,derivative_ticker,liquidations")
DAYS = ("--start", "2024-05-01", "--end", "2024-05-02")


def content(store: Store) -> dict[str, str]:
    found = {}
    for info in store.list("raw_tick_data/"):
        data = store.get(info.name)
        assert data is not None
        found[info.name] = hashlib.sha256(data.data).hexdigest()
    return found


def generations(store: Store) -> dict[str, int]:
    return {info.name: info.generation for info in store.list("raw_tick_data/")}


def start(lake: Lake, *arguments: str) -> subprocess.Popen[bytes]:
    # Whatever is on its way when the signal comes must be few files: one at a time through each stage.
    slow = {"MAX_CONCURRENT": "2", "MAX_UPLOADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *DOWNLOAD, *DAYS, *arguments],
        env=os.environ | lake.environment | slow,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_objects(lake: Lake, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(generations(lake.data)) < count:
        assert process.poll() is None, "the download ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_download_goes_on_without_fetching_a_committed_file_again(lake: Lake, signum: signal.Signals) -> None:
    lake.source.post("/_tickdeck/faults", {"fault": "slow", "bytes_per_second": 40_000, "match": ".csv.gz", "count": 1000})
    try:
        process = start(lake)
        wait_for_objects(lake, 4, process)
        process.send_signal(signum)
        code = process.wait(30)
    finally:
        lake.source.disarm()
    assert code == (75 if signum == signal.SIGTERM else -signal.SIGKILL)
    committed = generations(lake.data)
    assert committed
    since = datetime.now(UTC).isoformat()
    again = lake.engine(*DOWNLOAD, *DAYS)
    assert again.returncode == 0, again.stderr
    asked = {row["path"] for row in lake.requests() if row["asked"] >= since}
    for name in committed:
        file = parse_data_object(name)
        assert not [path for path in asked if dataset_path(file) in path], f"{file} was fetched again"
    now = generations(lake.data)
    assert {name: now[name] for name in committed} == committed

    undisturbed = make_lake(lake.storage, lake.source, f"{lake.data.bucket}-calm")
    assert undisturbed.engine(*DOWNLOAD, *DAYS).returncode == 0
    assert content(lake.data) == content(undisturbed.data)


def test_a_download_that_was_stopped_before_its_first_file_says_what_to_do(lake: Lake) -> None:
    done = lake.engine(*DOWNLOAD, *DAYS, TICKDECK_KILL_AT="claim_taken:1:TERM")
    assert done.returncode == 75
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"engine: stopped with (\d+) of \1 files left \(signal SIGTERM\) -> the same command goes on; .*", line)
    (stopped,) = [text for row in done.stdout.splitlines() if '"shard_stopped"' in row for text in [json.loads(row)["message"]]]
    assert re.fullmatch(r"shard 0: none of \d+ files has an outcome", stopped)
    assert re.search(r"^run \w+: none of \d+ files has an outcome; ", done.stdout, re.MULTILINE)
    assert "venue  data type" not in done.stdout, "no table of nothing"


def test_sigterm_leaves_an_open_manifest_of_what_is_known(lake: Lake) -> None:
    lake.source.post("/_tickdeck/faults", {"fault": "slow", "bytes_per_second": 40_000, "match": ".csv.gz", "count": 1000})
    try:
        process = start(lake)
        wait_for_objects(lake, 3, process)
        process.terminate()
        assert process.wait(30) == 75
    finally:
        lake.source.disarm()
    recorded = sum(
        int(part.partition(":")[2])
        for info in lake.state.list("manifests/")
        for part in info.metadata["counts"].split(",")
        if part.startswith("ok:")
    )
    assert recorded == len(generations(lake.data))
