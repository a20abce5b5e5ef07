"""Exports: the same rows in three forms that other programs read back, and files that are there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.export import Form, render, write_export

NOW = datetime(2024, 5, 23, 5, 36, 12, tzinfo=UTC)
ROWS: list[Mapping[str, object]] = [
    {"vm": "shard-7", "day": date(2024, 5, 1), "is": ["stuck", "late"], "rate": None, "error": 'gave up, "twice"\nand | again'},
    {"vm": "shard-8", "time": NOW, "fields": {"a": 1}, "rate": float("nan"), "done": True},
]


def test_columns_are_the_fields_of_all_rows() -> None:
    first, second = csv.DictReader(render(ROWS, Form.CSV).splitlines(keepends=True))
    assert list(first) == ["vm", "day", "is", "rate", "error", "time", "fields", "done"]
    assert (first["day"], first["is"], first["rate"], first["time"]) == ("2024-05-01", "stuck late", "", "")
    assert first["error"] == 'gave up, "twice"\nand | again'
    assert (second["time"], second["fields"]) == ("2024-05-23T05:36:12+00:00", '{"a":1}')


def test_every_line_of_jsonl_is_an_object_of_its_own() -> None:
    first, second = map(json.loads, render(ROWS, Form.JSONL).splitlines())
    assert first["is"] == ["stuck", "late"]
    assert first["rate"] is second["rate"] is None
    assert second["fields"] == {"a": 1}


def test_a_markdown_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    lines = render(ROWS, Form.MARKDOWN).splitlines()
    assert lines[0].startswith("| vm | day | is |")
    assert len(lines) == 4
    assert 'gave up, "twice" and \\| again' in lines[2]
    assert {line.replace("\\|", "").count("|") for line in lines} == {9}


text = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=("Cs",)), max_size=8)


@given(st.lists(st.dictionaries(text, text, min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_csv_and_jsonl_hold_is_what_was_given(rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head, *read = csv.reader(io.StringIO(render(rows, Form.CSV), newline=""))
    assert head == columns
    assert read == [[row.get(name, "") for name in columns] for row in rows]
    assert [json.loads(line) for line in render(rows, Form.JSONL).split("\n")[:-1]] == rows


def test_a_carriage_return_ends_no_row() -> None:
    assert list(csv.reader(io.StringIO(render([{"a": "x\ry\r\nz", "b": "1"}], Form.CSV), newline=""))) == [["a", "b"], ["x\ny\nz", "1"]]


def test_a_second_export_of_the_same_second_replaces_nothing(tmp_path: Path) -> None:
    first = write_export("fleet", ROWS, Form.CSV, now=NOW, folder=tmp_path)
    second = write_export("fleet", ROWS[:1], Form.CSV, now=NOW, folder=tmp_path)
    assert [first.name, second.name] == ["tickdeck-fleet-20240523T053612Z.csv", "tickdeck-fleet-20240523T053612Z-2.csv"]
    assert first.read_text() == render(ROWS, Form.CSV)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name])


def test_where_the_working_directory_takes_no_file_the_consoles_own_place_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, state = tmp_path / "here", tmp_path / "state"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    path = write_export("audit", ROWS, Form.MARKDOWN, now=NOW)
    assert path == state / "tickdeck" / "exports" / "tickdeck-audit-20240523T053612Z.md"


def test_a_place_that_takes_no_file_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_export("audit", ROWS, Form.CSV, now=NOW, folder=tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
