"""`tickdeck costs` and `tickdeck images` on a local cloud, as a person types them: a fleet that ran, other fleets, an image and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from provision.builds import SOURCE
from tests.command_host import Answer, CommandHost

REQUEST = "--venues binance --data-types trades --start 2024-05-01 --end 2024-05-02"
PATIENCE_SECONDS = 90


@dataclass
class Desk:
    """A local cloud and the command line."""

    host: CommandHost
    config: Path

    def run(self, line: str) -> Answer:
        program, *arguments = line.split()
        return self.host.run(program, *arguments)

    def document(self, line: str) -> Any:
        answer = self.run(f"{line} --json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("costs")
    config = folder / "config.toml"
    config.write_text('# mine\nprofile = "local"\n\n[profiles.local]\nkind = "local" # this machine\n')
    environment = {"TICKDECK_LOCAL_DIR": str(folder / "cloud"), "HOME": str(folder), "TICKDECK_CONFIG": str(config)}

    def local(*arguments: str) -> None:
        argv = [sys.executable, "-m", "console.cli", "local", *arguments]
        subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=True)

    try:
        local("up", "--scenario", "tiny")
        with CommandHost(environment) as host:
            yield Desk(host, config)
    finally:
        local("down")


def test_a_fleet_that_ran_stands_beside_its_estimate(desk: Desk) -> None:
    launched = desk.document(f"tickdeck deploy download {REQUEST} --shards 2 --yes")
    run, ends = launched["run"], time.monotonic() + PATIENCE_SECONDS
    while desk.document(f"tickdeck costs {run}")["runs"][0]["ended"] is None:
        assert time.monotonic() < ends, desk.run("tickdeck fleet").out
        time.sleep(0.5)
    plan = desk.document(f"tickdeck plan {REQUEST}")
    (cost,) = desk.document("tickdeck costs")["runs"]
    assert (cost["run"], cost["redone_bytes"]) == (run, 0)
    # from outside: everything that was planned is held now, and the bytes are those that the source sent
    assert plan["shards"] == []
    assert cost["actual"]["files"] == cost["expected"]["files"] == plan["already_done"]
    assert cost["actual"]["bytes"] == cost["actual"]["received_bytes"] > 0
    assert (cost["actual"]["dollars"], cost["expected"]["is_priced"]) == (0, True)
    seconds = sum((datetime.fromisoformat(use["ended"]) - datetime.fromisoformat(use["began"])).total_seconds() for use in cost["vms"])
    assert len(cost["vms"]) == 2
    assert cost["actual"]["vm_hours"] == pytest.approx(seconds / 3600)
    assert {use["known_by"] for use in cost["vms"]} == {"operation"}
    shown = desk.run(f"tickdeck costs {run}")
    assert "estimate" in shown.out
    assert "actual" in shown.out
    assert all(use["vm"] in shown.out for use in cost["vms"])


def test_runs_are_found_by_day_and_an_unknown_one_is_refused(desk: Desk) -> None:
    assert desk.document("tickdeck costs --since 2020-01-01 --until 2020-01-31")["runs"] == []
    unknown = desk.run("tickdeck costs r1tp8k5m2x")
    assert (unknown.code, unknown.out) == (64, "")
    assert "tickdeck fleet --runs" in unknown.err


def test_other_fleets_are_shown_and_nothing_is_launched(desk: Desk) -> None:
    before = desk.document("tickdeck fleet --runs")
    request = REQUEST.replace("binance", "deribit")
    found = desk.document(f"tickdeck costs {request} --shards 2 --what-if vms=1/4,spot=yes/no")
    planned = desk.document(f"tickdeck plan {request} --shards 4 --save")
    own, *others = found["alternatives"]
    assert (own["vms"], own["is_plan"]) == (2, True)
    assert [(one["vms"], one["model"]) for one in others] == [(1, "SPOT"), (1, "STANDARD"), (4, "SPOT"), (4, "STANDARD")]
    assert others[2]["minutes"] == pytest.approx(planned["estimate"]["makespan_seconds"] / 60)
    saved = desk.document(f"tickdeck costs --plan {planned['id']} --what-if vms=1")
    assert (saved["plan"], saved["alternatives"][0]["vms"]) == (planned["id"], 4)
    assert saved["alternatives"][1]["minutes"] == pytest.approx(others[0]["minutes"])
    assert desk.document("tickdeck fleet --runs") == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tickdeck costs --what-if vms=3", "--venues, --data-types, --start is missing"),
        ("tickdeck costs --what-if vms=x --plan 0123456789ab", "--what-if vms=x"),
        (f"tickdeck costs {REQUEST}", "--what-if"),
        ("tickdeck costs r1tp8k5m2x --what-if vms=1", "about a plan"),
        ("tickdeck costs --view weekly", "--view"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_64(desk: Desk, line: str, words: str) -> None:
    answer = desk.run(line)
    assert (answer.code, len(answer.err.splitlines())) == (64, 1)
    assert words in answer.err


def test_the_old_budget_is_computed_for_the_real_cloud_although_this_one_is_free(desk: Desk) -> None:
    view = desk.document("tickdeck costs --view backfill")
    rows = {row["item"].strip(): row for row in view["rows"]}
    assert view["machine"] == "e2-highmem-8 spot"
    assert (rows["the run"]["old"], round(rows["the run"]["ours"], 2)) == (367.0, 13.81)
    shown = desk.run("tickdeck costs --view backfill").out
    assert "$367.00" in shown
    assert "SkyPilot" in shown
    prices = desk.document("tickdeck costs --view prices")
    assert all(one["source"] and one["dated"] for one in prices)


def test_an_image_is_built_pinned_listed_and_let_go(desk: Desk) -> None:
    missing = desk.run("tickdeck images list")
    assert missing.code == 69
    assert "there is no repository" in missing.err
    dry = desk.run("tickdeck images build-and-push --tag 0.1.0 --dry-run")
    assert (dry.code, desk.run("tickdeck images list").code) == (0, 69)
    first = desk.document("tickdeck images build-and-push --tag 0.1.0 --write-profile")
    text = desk.config.read_text()
    assert text.startswith('# mine\nprofile = "local"\n\n[profiles.local]\nkind = "local" # this machine\n')
    assert tomllib.loads(text)["profiles"]["local"]["image"] == first["image"]
    (listed,) = desk.document("tickdeck images list")
    assert (listed["image"], listed["tags"], listed["pinned_by"]) == (first["image"], ["0.1.0"], ["profile local"])
    kept = desk.document("tickdeck images clean --keep 1 --older-than 0 --yes")
    assert (kept["images"], kept["kept"][0]["why"]) == ([], "pinned by profile local")


def test_an_old_image_goes_only_when_somebody_says_so(desk: Desk, tmp_path: Path) -> None:
    for name in SOURCE:
        path = tmp_path / name
        path.write_text("another version") if "." in name or name[0].isupper() else path.mkdir()
    place = desk.document("tickdeck images build-and-push --tag 1 --dry-run")["image"].rpartition(":")[0].replace("/engine", "/spare")
    older = desk.document(f"tickdeck images build-and-push --tag 0.1.0 --repository {place} --source {tmp_path}")
    newer = desk.document(f"tickdeck images build-and-push --tag 0.2.0 --repository {place}")
    assert [one["image"] for one in desk.document(f"tickdeck images list --repository {place}")] == [newer["image"], older["image"]]
    clean = f"tickdeck images clean --keep 1 --older-than 0 --repository {place}"
    asked = desk.run(clean)
    assert (asked.code, "nobody is here to ask" in asked.err) == (64, True)
    dry = desk.run(f"{clean} --dry-run")
    assert older["image"].partition("@")[2][:19] in dry.out
    assert "dry run: nothing was done" in dry.out
    assert len(desk.document(f"tickdeck images list --repository {place}")) == 2
    done = desk.document(f"{clean} --yes")
    assert [(one["image"], one["ok"]) for one in done["images"]] == [(older["image"], True)]
    assert [one["image"] for one in desk.document(f"tickdeck images list --repository {place}")] == [newer["image"]]
    records = {record["id"]: record for record in desk.document("tickdeck audit") if record["phase"] == "receipt"}
    assert records[done["audit"]]["items"][0]["name"] == older["image"]
