"""`tickdeck check --verify` on a local cloud: what it proves, what it says of a lake that somebody touched, and the age of both."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.model import Cell, File
from engine.paths import data_object
from engine.storage_service import open_storage
from engine.store import Store
from tests.command_host import Answer, CommandHost

RANGE = "--venues binance,deribit --data-types trades --start 2024-05-01 --end 2024-05-02"


class Desk:
    """A local cloud with a filled lake, and both command lines."""

    def __init__(self, host: CommandHost, environment: dict[str, str]) -> None:
        self.host = host
        self.environment = environment
        service = open_storage(project="local", endpoint=environment["STORAGE_EMULATOR_HOST"])
        self.data = Store(service, "market-data-tick")

    def run(self, line: str) -> Answer:
        program, *arguments = line.split()
        return self.host.run(program, *arguments, **(self.environment if program == "engine" else {}))

    def check(self, *options: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run(f"tickdeck check {RANGE} --json {' '.join(options)}").out)
        return document


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    environment = {"TICKDECK_LOCAL_DIR": str(tmp_path / "cloud"), "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def local(*arguments: str) -> str:
        argv = [sys.executable, "-m", "console.cli", "local", *arguments]
        return subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=True).stdout

    try:
        local("up", "--scenario", "tiny")
        exported = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", local("env"), re.MULTILINE))
        with CommandHost(environment) as host:
            assert host.run("tickdeck", "check", *RANGE.split()).code == 65
            yield Desk(host, exported)
    finally:
        local("down")


def cells(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["venue"], each["day"]): each for each in document["cells"]}


def test_a_check_verifies_tells_the_age_and_turns_back_what_a_hand_deleted(desk: Desk) -> None:
    done = desk.run(f"engine download {RANGE}")
    assert done.code == 0, done.err
    mistaken = desk.run(f"tickdeck check {RANGE} --depth content")
    assert (mistaken.code, "add --verify" in mistaken.err) == (64, True)
    plain = cells(desk.check())
    assert {each["sureness"] for each in plain.values()} == {"committed"}
    assert {each["verified_at"] for each in plain.values()} == {None}
    closely = desk.check("--verify --depth content")
    assert closely["validation"]["right"] == closely["validation"]["objects"] == 8
    assert {(each["sureness"], each["verified_depth"]) for each in closely["cells"]} == {("verified", "content")}
    later = cells(desk.check())
    assert later == cells(closely), "an earlier proof is told without looking again"
    shown = desk.run(f"tickdeck check {RANGE} --detailed")
    assert shown.code == 0
    assert re.search(r"binance trades 2024-05-01\.\.2024-05-02: verified \d+ s ago by content", shown.out)
    assert re.search(r"2 verified \d+ s", shown.out)

    gone = data_object(File(Cell(date(2024, 5, 1), "trades", "binance"), "BTCUSDT"))
    info = desk.data.stat(gone)
    assert info is not None
    desk.data.delete(gone, if_generation=info.generation)
    answer = desk.run(f"tickdeck check {RANGE} --verify --detailed")
    assert answer.code == 65
    assert "1 deleted from the bucket: BTCUSDT" in answer.out
    assert "BTCUSDT: missing: the object is gone" in answer.out
    assert len(answer.err.splitlines()) == 1
    assert " -> " in answer.err
    turned = cells(desk.check())
    assert turned["binance", "2024-05-01"]["state"] == "partial"
    assert turned["binance", "2024-05-01"]["findings"][0]["kind"] == "missing"
    assert turned["binance", "2024-05-02"]["sureness"] == "verified"
    plan = json.loads(desk.run(f"tickdeck plan {RANGE} --json").out)
    assert [work["symbols"] for shard in plan["shards"] for work in shard["work"]] == [["BTCUSDT"]]
