"""What `engine download` leaves out, asks again, and when it gives up; judged by the source's request log and the buckets."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import pytest

from engine.errors import UsageError
from engine.failure_budget import FailureBudget, parse_budget
from engine.manifest import read_manifest
from engine.model import Outcome
from tests.local_servers import Lake

RANGE = ("--venues", "binance", "--data-types", "trades,book_snapshot_5", "--start", "2024-05-01")


def report_of(lake: Lake, *options: str, code: int = 0) -> dict[str, Any]:
    done = lake.engine("download", *RANGE, *options, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


def asked(lake: Lake, since: int = 0) -> Counter[tuple[str, str]]:
    """How often each (data type, symbol) was asked for, free-day probes left out."""
    paths = [PurePosixPath(row["path"]) for row in lake.requests()[since:] if row["path"].endswith(".csv.gz")]
    return Counter((path.parts[-5], path.name.removesuffix(".csv.gz")) for path in paths)


def everything(lake: Lake) -> dict[str, int]:
    return {f"{store.bucket}/{info.name}": info.generation for store in (lake.data, lake.state) for info in store.list("")}


# dry run


def test_a_dry_run_names_exactly_what_is_then_fetched_and_stores_nothing_but_catalogues(traps_lake: Lake) -> None:
    before, seen = everything(traps_lake), len(traps_lake.requests())
    dry = report_of(traps_lake, "--dry-run")
    assert not asked(traps_lake, seen)
    new = set(everything(traps_lake)) - set(before)
    assert new
    assert all(f"{traps_lake.state.bucket}/catalogue/" in name for name in new)
    named = {(file["data_type"], file["symbol"]) for file in dry["files"]}
    assert all(file["bytes"] > 0 for file in dry["files"])
    assert dry["bytes"] == sum(file["bytes"] for file in dry["files"])
    report_of(traps_lake, code=65)
    assert set(asked(traps_lake, seen)) == named


def test_a_dry_run_leaves_out_what_is_in_the_bucket_also_without_a_manifest(lake: Lake) -> None:
    report_of(lake)
    for info in list(lake.state.list("manifests/")):
        lake.state.delete(info.name, if_generation=info.generation)
    assert report_of(lake, "--dry-run")["files"] == []
    done = lake.engine("download", *RANGE, "--dry-run")
    assert done.returncode == 0
    assert "dry run: 0 files" in done.stdout


def test_a_dry_run_for_people_is_a_table(lake: Lake) -> None:
    done = lake.engine("download", *RANGE, "--dry-run")
    assert done.returncode == 0, done.stderr
    head, *rows, summary = done.stdout.splitlines()
    assert head.split() == ["venue", "data", "type", "day", "symbol", "about"]
    assert summary.startswith(f"dry run: {len(rows)} files, about ")


# what is asked again


def test_only_the_outcomes_that_are_named_are_tried_again(traps_lake: Lake) -> None:
    first = report_of(traps_lake, code=65)
    outcomes = {
        (manifest.data_type, entry.symbol): entry.outcome
        for info in traps_lake.state.list("manifests/")
        if (found := read_manifest(traps_lake.state, info.name))
        for manifest in [found[0]]
        for entry in manifest.entries
    }
    assert sum(first["outcomes"].values()) == len(outcomes)
    for wanted in (Outcome.NOT_FOUND, Outcome.QUARANTINED, Outcome.EMPTY):
        expected = {file for file, outcome in outcomes.items() if outcome is wanted}
        assert expected, wanted
        seen = len(traps_lake.requests())
        again = traps_lake.engine("download", *RANGE, "--retry-outcomes", str(wanted), "--json")
        assert again.returncode in (0, 65), again.stderr
        assert set(asked(traps_lake, seen)) == expected


def test_empty_files_are_asked_for_again_only_on_request(traps_lake: Lake) -> None:
    report_of(traps_lake, code=65)
    seen = len(traps_lake.requests())
    report_of(traps_lake, code=65)
    empty_asked = set(asked(traps_lake, seen))
    seen = len(traps_lake.requests())
    report_of(traps_lake, "--refetch-empty", code=65)
    assert set(asked(traps_lake, seen)) > empty_asked


# giving up


def test_fail_fast_stops_at_the_first_bad_file_with_everything_on_record(traps_lake: Lake) -> None:
    whole = report_of(traps_lake, "--dry-run")
    report = report_of(traps_lake, "--fail-fast", "--max-concurrent", "1", code=65)
    assert report["files"] < len(whole["files"])
    assert "--max-failures" in report["reason"]
    recorded = Counter(
        entry.outcome
        for info in traps_lake.state.list("manifests/")
        if (found := read_manifest(traps_lake.state, info.name))
        for entry in found[0].entries
    )
    assert {str(outcome): count for outcome, count in recorded.items()} == report["outcomes"]
    committed = {info.name for info in traps_lake.data.list("raw_tick_data/")}
    seen = len(traps_lake.requests())
    report_of(traps_lake, code=65)
    again = {f"{symbol}.parquet" for _, symbol in asked(traps_lake, seen)}
    assert not again & {PurePosixPath(name).name for name in committed}
    assert again


def test_a_failure_budget_that_is_large_enough_changes_nothing(traps_lake: Lake) -> None:
    report = report_of(traps_lake, "--max-failures", "100%", code=65)
    assert report["reason"] == ""
    bad = sum(report["outcomes"].get(outcome, 0) for outcome in ("failed", "quarantined", "not_found", "not_entitled"))
    assert bad > 1


@pytest.mark.parametrize(
    ("text", "budget"),
    [("", FailureBudget()), ("0", FailureBudget(count=0)), ("25", FailureBudget(count=25)), ("2.5%", FailureBudget(share=0.025))],
)
def test_a_budget_is_a_number_or_a_share(text: str, budget: FailureBudget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["-1", "x", "101%", "5 files", "1e3", "٥"])
def test_other_budgets_are_refused(text: str) -> None:
    if text == "٥":
        assert parse_budget(text) == FailureBudget(count=5)
        return
    with pytest.raises(UsageError, match="failure budget"):
        parse_budget(text)


def test_a_budget_counts_bad_files_against_the_total() -> None:
    assert parse_budget("0").allows(0, 10)
    assert not parse_budget("0").allows(1, 10)
    assert parse_budget("10%").allows(1, 10)
    assert not parse_budget("10%").allows(2, 10)
    assert parse_budget("").allows(10, 10)


# the day that a daily job waits for


def test_the_latest_day_is_75_until_the_source_has_published_it(lake: Lake) -> None:
    seen = len(lake.requests())
    done = lake.engine("download", "--venues", "binance", "--data-types", "trades", "--day", "latest")
    assert done.returncode == 75, done.stdout + done.stderr
    assert "not published yet, due" in done.stdout
    assert not asked(lake, seen)


def test_a_day_and_a_range_exclude_each_other(lake: Lake) -> None:
    done = lake.engine("download", *RANGE, "--day", "latest")
    assert done.returncode == 64
    assert "--day" in done.stderr
    nothing = lake.engine("download", "--venues", "binance", "--data-types", "trades")
    assert nothing.returncode == 64
    assert "--day latest" in nothing.stderr


# the table at the end


def test_the_last_thing_is_a_table_by_venue_and_type_that_adds_up(traps_lake: Lake) -> None:
    done = traps_lake.engine("download", *RANGE)
    assert done.returncode == 65
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("venue"))
    assert lines[start + 1].split()[:2] == ["binance", "trades"]
    assert lines[start + 2].startswith("run ")
    report = report_of(traps_lake, code=65)
    assert report["outcomes"] == dict(sum((Counter(row["outcomes"]) for row in report["table"]), Counter()))
    assert report["resumed"] == sum(row["resumed"] for row in report["table"])
