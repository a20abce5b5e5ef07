"""The ring of entries and its journal: what survives what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.logging_v2.types import LogEntry
from hypothesis import given
from hypothesis import strategies as st

import provision
from provision.local.logs import entry_store
from provision.local.logs.entry_store import EntryStore, Record, record_of
from provision.local.logs.journal import FILE_NAME


def make(number: int, log: str = "a", size: int = 10) -> Record:
    raw = LogEntry.pb()(insert_id=f"{number:06d}", log_name=f"projects/p/logs/{log}", text_payload="x" * size)
    raw.timestamp.FromSeconds(1_700_000_000 + number)
    return record_of(raw)


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., EntryStore]]:
    """Opens the same folder again and again; an earlier store is closed first."""
    opened: list[EntryStore] = []

    def open_again(**limits: int) -> EntryStore:
        if opened:
            opened.pop().close()
        opened.append(EntryStore(tmp_path, **limits))
        return opened[-1]

    yield open_again
    opened[-1].close()


def ids(store: EntryStore) -> list[int]:
    return [int(record.key.insert_id) for record in store.after(None, 1_000_000)]


def test_entries_survive_a_killed_server_and_are_still_known_as_duplicates(tmp_path: Path, start_server: Any, logs_of: Any) -> None:
    first = start_server(tmp_path)
    logs = logs_of(first, "restarted")
    entries = [logs.entry(f"{n:03d}", n, payload={"n": n}) for n in range(250)]
    logs.write(*entries[:200])
    logs.write(*entries[200:])
    first.kill()
    again = logs_of(start_server(tmp_path), "restarted", logs.base_ns)
    again.write(*entries[:10])
    assert again.ids(page_size=1000) == [f"{n:03d}" for n in range(250)]
    assert again.ids("jsonPayload.n>=248") == ["248", "249"]


def test_a_second_server_on_the_same_folder_does_not_start(tmp_path: Path, start_server: Any) -> None:
    start_server(tmp_path)
    second = subprocess.run(
        [sys.executable, "-m", "provision.local.logs", "--root", tmp_path / "data", "--ready-file", tmp_path / "second"],
        cwd=Path(provision.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert "another log server holds" in second.stderr
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage"])
def test_a_damaged_end_of_the_journal_costs_only_the_damaged_frames(tmp_path: Path, open_store: Any, damage: str) -> None:
    store = open_store()
    store.add(make(n) for n in range(10))
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-3])
    elif damage == "flipped":
        path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    else:
        path.write_bytes(data + b"\xff\xff")
    store = open_store()
    assert ids(store) == list(range(10 if damage == "garbage" else 9))
    store.add([make(50)])
    assert ids(open_store())[-1] == 50


def test_the_ring_keeps_the_newest_and_forgets_the_oldest(open_store: Any) -> None:
    store = open_store(max_entries=5)
    for number in (7, 3, 9, 1, 8, 2, 6):
        store.add([make(number)])
    assert ids(store) == [3, 6, 7, 8, 9]
    assert store.add([make(1), make(3)]) == {make(1).key}
    assert ids(store) == [3, 6, 7, 8, 9]


def test_the_ring_is_bounded_by_bytes_too(open_store: Any) -> None:
    store = open_store(max_bytes=10_000)
    store.add(make(n, size=1_000) for n in range(20))
    assert 5 <= len(store) < 10
    assert ids(store)[-1] == 19


def test_the_journal_stays_bounded_and_is_the_ring_after_a_restart(
    tmp_path: Path, open_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_store, "JOURNAL_LEAST", 50)
    store = open_store(max_entries=100)
    largest = 0
    for start in range(0, 2_000, 20):
        store.add(make(n) for n in range(start, start + 20))
        largest = max(largest, (tmp_path / FILE_NAME).stat().st_size)
    assert largest < 250 * (len(make(0).data) + 8)
    assert ids(open_store(max_entries=100)) == list(range(1_900, 2_000))


def test_a_deleted_log_stays_deleted_after_a_restart(open_store: Any) -> None:
    store = open_store()
    store.add(make(n, log="ab"[n % 2]) for n in range(10))
    assert store.delete_log("projects/p/logs/a") == 5
    store = open_store()
    assert ids(store) == [1, 3, 5, 7, 9]
    assert store.log_names == ["projects/p/logs/b"]


@given(st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=8), st.integers(0, 41))
def test_walking_the_index_from_any_entry_gives_what_a_scan_gives(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], start: int
) -> None:
    store = EntryStore(tmp_path_factory.mktemp("store"))
    for batch in batches:
        store.add(make(number) for number in batch)
    expected = sorted({number for batch in batches for number in batch})
    assert ids(store) == expected
    key = make(start).key
    for inclusive in (False, True):
        up = [int(record.key.insert_id) for record in store.after(key, 5, inclusive=inclusive)]
        down = [int(record.key.insert_id) for record in store.before(key, 5, inclusive=inclusive)]
        assert up == [n for n in expected if n > start or (inclusive and n == start)][:5]
        assert down == [n for n in expected if n < start or (inclusive and n == start)][::-1][:5]
    store.close()
