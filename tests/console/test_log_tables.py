"""`tickdeck logs --errors` and `--histogram` on a recorded tail, and the lines of a view as a file."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from console.export import Form, write_export
from console.log_lines import lines_of
from console.log_saving import FrozenLines, text_of_record
from console.query import parse
from console.verbs.log_tables import show_errors, show_histogram
from console.widgets.logline import Severity
from console.widgets.logring import LogRing
from tests.console import recorded_fleet as recorded

ENTRIES = recorded.log_entries()


def test_errors_are_a_table_by_cause_and_one_object_a_cause(capsys: pytest.CaptureFixture[str]) -> None:
    show_errors(ENTRIES, as_json=False)
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert table[1].split()[:3] == ["7", "6", "7"]
    assert "gave up on deribit options_chain" in table[1]
    show_errors(ENTRIES, as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["count"], second["count"]) == (7, 3)
    assert first["first"] < first["last"]
    assert first["cause"] in table[1]
    assert first["example_vm"].startswith("market-data-shard-")


def test_a_file_that_went_bad_is_a_cause_too_though_its_worker_only_warns(capsys: pytest.CaptureFixture[str]) -> None:
    bad = [
        recorded.log_entry(
            number, "WARNING", f"binance trades 2024-05-01 {symbol} not_found: Not found", outcome="not_found", symbol=symbol
        )
        for number, symbol in enumerate(("DOGEUSDT", "PEPEUSDT"))
    ]
    show_errors([*bad, recorded.log_entry(9, "WARNING", "slow"), recorded.log_entry(10, outcome="ok")], as_json=True)
    (cause,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (cause["count"], cause["severity"]) == (2, "WARNING")


def test_the_histogram_counts_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_histogram(ENTRIES, as_json=True)
    bars = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(bar["lines"] for bar in bars) == len(ENTRIES)
    assert sum(bar["ERROR"] for bar in bars) == 10
    begins = [datetime.fromisoformat(bar["begin"]) for bar in bars]
    assert {later - earlier for earlier, later in pairwise(begins)} == {timedelta(seconds=bars[0]["seconds"])}
    show_histogram(ENTRIES, as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == len(bars) + 1
    show_histogram([], as_json=True)
    assert capsys.readouterr().out == ""


def test_what_passes_is_saved_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    ring = LogRing(1_000)
    ring.extend(lines_of([*ENTRIES, replace(recorded.log_entry(200, "ERROR", "two\nlines"), insert_id="x")], short=True))
    ring.set_filter(parse("-debug"), Severity.WARNING)
    ring.judge()
    shown = list(ring.shown_lines())
    frozen = FrozenLines(ring)
    ring.extend(lines_of([recorded.log_entry(300, "ERROR", "later")]))
    ring.set_filter(parse("nothing"), Severity.DEFAULT)
    assert len(frozen) == len(shown) == 20
    assert (frozen[0], frozen[-1]["message"], len(frozen[2:5])) == (shown[0].record(), "two\nlines", 3)
    text, jsonl, table = (
        write_export("logs", frozen, form, now=recorded.NOW, folder=tmp_path, line=text_of_record).read_text()
        for form in (Form.TEXT, Form.JSONL, Form.CSV)
    )
    assert [json.loads(line)["message"] for line in jsonl.splitlines()] == [line.message for line in shown]
    assert [row["message"] for row in csv.DictReader(table.splitlines(keepends=True))] == [line.message for line in shown]
    assert len(text.splitlines()) == 20
    assert "two\\nlines  [cloud-logging]" in text.splitlines()[-1]
    assert text.startswith(shown[0].time.astimezone(UTC).isoformat())
