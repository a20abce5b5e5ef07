"""`kill -9` while an object is on its way into the bucket: half an object is no object."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.store import Store
from tests.chaos.conftest import Calm, MakeRun
from tests.chaos.shard_run import LIMIT, assert_finished, assert_not_fetched_again, finish, generations, now
from tests.local_servers import KEY, LocalServer, make_lake, started

LARGE = """
name = "large"
seed = 5
first_day = 2024-05-01
last_day = 2024-05-01
exported_until = 2024-05-03

[[venues]]
id = "binance"
name = "Binance Spot"
since = 2019-03-30
native_case = "lower"

[[venues.symbols]]
id = "BTCUSDT"
base = "BTC"
price = 60000.0
tick = 0.01
lot = 0.00001
rows = { trades = 1200000 }
"""
"""One file whose object is above 8 MiB: the storage client sends it in a resumable session."""


def wait_for_upload(storage: LocalServer, process: subprocess.Popen[Any]) -> None:
    """Return while the body of a slow upload is moving."""
    ends = time.monotonic() + LIMIT
    while not storage.get("/_tickdeck/faults")["faults"][0]["struck"]:
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_worker_killed_in_the_middle_of_an_upload_leaves_no_object_and_the_restart_makes_it(make_run: MakeRun, calm: Calm) -> None:
    run = make_run()
    run.launch("w-1")
    storage = run.lake.storage
    storage.post("/_tickdeck/faults", {"fault": "slow", "seconds_per_mib": 60.0, "match": "BACKWARDUSDT.parquet"})
    process = run.start("w-1")
    wait_for_upload(storage, process)
    process.send_signal(signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    storage.disarm()
    at_kill, killed = run.committed(), now()
    assert not [name for name in at_kill if "BACKWARDUSDT" in name]
    code, output = run.work("w-1")
    assert code == calm.exit_code, output
    assert_not_fetched_again(run, at_kill, killed)
    assert_finished(run, calm.picture)


def digests(store: Store) -> dict[str, str]:
    found = {}
    for name in generations(store):
        held = store.get(name)
        assert held is not None
        found[name] = hashlib.sha256(held.data).hexdigest()
    return found


@pytest.mark.slow
def test_a_resumable_upload_that_was_cut_by_a_kill_is_made_again_from_the_start(storage_server: LocalServer, tmp_path: Path) -> None:
    scenario = tmp_path / "large.toml"
    scenario.write_text(LARGE)
    command = ("download", "--venues", "binance", "--data-types", "trades", "--start", "2024-05-01")
    with started("tardis", tmp_path / "tardis", "--scenario", str(scenario), environment={"TICKDECK_STAND_IN_KEY": KEY}) as source:
        calm, lake = (make_lake(storage_server, source, f"large-{name}-{os.getpid()}") for name in ("calm", "killed"))
        done = calm.engine(*command)
        assert done.returncode == 0, done.stderr
        (info,) = calm.data.list("raw_tick_data/")
        assert info.size > 8 << 20
        storage_server.post("/_tickdeck/faults", {"fault": "slow", "seconds_per_mib": 60.0, "match": "BTCUSDT.parquet"})
        arguments = [sys.executable, "-m", "engine.cli", *command]
        with subprocess.Popen(arguments, env=os.environ | lake.environment, stdout=subprocess.DEVNULL) as process:
            try:
                wait_for_upload(storage_server, process)
            finally:
                process.kill()
                storage_server.disarm()
        assert process.returncode == -signal.SIGKILL
        assert not generations(lake.data)
        again = lake.engine(*command)
        assert again.returncode == 0, again.stderr
        assert digests(lake.data) == digests(calm.data)
