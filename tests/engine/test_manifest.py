"""Manifests: what their metadata says, how several merge, and that none is ever overwritten."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.documents import decode, encode, hash_symbols
from engine.errors import ConfigurationError, UsageError
from engine.manifest import (
    METADATA_VALUE_LIMIT,
    Entry,
    Manifest,
    list_summaries,
    merge,
    metadata_of,
    read_cell,
    read_manifest,
    recorded_outcomes,
    summarize,
    write_manifest,
)
from engine.model import Cell, Outcome
from engine.paths import ManifestName, manifest_object
from engine.storage_service import open_storage
from engine.store import ObjectInfo, Store
from tests.engine.made_up_lake import NOW, bad, day, ok
from tests.local_servers import LocalServer

CELL = Cell(day(0), "trades", "binance")
_numbers = itertools.count(1)


@pytest.fixture
def state(storage_server: LocalServer) -> Store:
    """A fresh state bucket."""
    service = open_storage(project="local", endpoint=storage_server.url)
    name = f"manifest-tests-{next(_numbers)}"
    service.client.create_bucket(name)
    return Store(service, name)


def manifest(*entries: Entry, run: str = "r1", shard: int = 0, attempt: int = 1, cell: Cell = CELL, unfinished: bool = False) -> Manifest:
    return Manifest(
        day=cell.day,
        data_type=cell.data_type,
        venue=cell.venue,
        run=run,
        shard=shard,
        attempt=attempt,
        vm="vm",
        written=NOW,
        open=unfinished,
        engine_version="0",
        catalogue="catalogue/venue-binance/x.table.json.gz",
        entries=entries,
    )


entries = st.builds(
    Entry,
    symbol=st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
    outcome=st.sampled_from(Outcome),
    rows=st.integers(0, 3),
    generation=st.integers(0, 3),
    reason=st.sampled_from(["", "x"]),
)
manifests = st.lists(
    st.tuples(
        st.builds(
            lambda made, run, shard, attempt: manifest(*made, run=run, shard=shard, attempt=attempt),
            st.lists(entries, max_size=3, unique_by=lambda entry: entry.symbol),
            st.sampled_from(["r1", "r2"]),
            st.integers(0, 1),
            st.integers(1, 2),
        ),
        st.integers(1, 4),
    ),
    max_size=6,
    unique_by=lambda item: (item[0].run, item[0].shard, item[0].attempt),
)


@given(manifests, st.integers(0, 10_000))
def test_merging_in_any_order_with_any_duplication_gives_the_same_records(held: list[tuple[Manifest, int]], seed: int) -> None:
    chance = random.Random(seed)
    again = [*held, *chance.choices(held, k=len(held))] if held else []
    chance.shuffle(again)
    assert merge(again) == merge(held)
    assert merge(iter(held)) == merge(held)


@given(manifests)
def test_a_merged_success_is_the_newest_object_and_beats_everything_else(held: list[tuple[Manifest, int]]) -> None:
    merged = merge(held)
    for symbol, record in merged.items():
        found = [(entry, generation) for made, generation in held for entry in made.entries if entry.symbol == symbol]
        good = [entry.generation for entry, _ in found if entry.outcome is Outcome.OK]
        if good:
            assert record.entry.outcome is Outcome.OK
            assert record.entry.generation == max(good)
        else:
            assert record.generation == max(generation for _, generation in found)
    assert set(merged) == {entry.symbol for made, _ in held for entry in made.entries}


def winners(held: Iterable[tuple[Manifest, int]]) -> dict[str, tuple[Entry, int, str, int, int]]:
    """What a merge decided, without the neighbours of each entry in its manifest."""
    return {
        symbol: (record.entry, record.generation, record.manifest.run, record.manifest.shard, record.manifest.attempt)
        for symbol, record in merge(held).items()
    }


def merged(held: Iterable[tuple[Manifest, int]]) -> list[tuple[Manifest, int]]:
    """A merge as manifests again, one of each symbol."""
    return [(msgspec.structs.replace(record.manifest, entries=(record.entry,)), record.generation) for record in merge(held).values()]


@given(manifests, st.integers(0, 6), st.integers(0, 6))
def test_merging_parts_first_and_then_what_they_gave_is_merging_all(held: list[tuple[Manifest, int]], low: int, high: int) -> None:
    parts = held[:low], held[low : low + high], held[low + high :]
    assert winners([item for part in parts for item in merged(part)]) == winners(held)
    assert winners([*merged([*merged(parts[0]), *parts[1]]), *parts[2]]) == winners(held)
    assert winners([*parts[0], *merged([*parts[1], *merged(parts[2])])]) == winners(held)
    assert winners(merged(held)) == winners(held)


@given(manifests, st.integers(0, 10_000))
def test_spreading_entries_over_more_manifests_changes_nothing(held: list[tuple[Manifest, int]], seed: int) -> None:
    chance = random.Random(seed)
    spread = []
    for made, generation in held:
        pieces: list[list[Entry]] = [[] for _ in range(chance.randint(1, 3))]
        for entry in made.entries:
            for piece in {0, chance.randrange(len(pieces))}:
                pieces[piece].append(entry)
        spread += [(msgspec.structs.replace(made, entries=tuple(piece)), generation) for piece in pieces]
    chance.shuffle(spread)
    assert winners(spread) == winners(held)


def test_a_newer_answer_replaces_an_older_one_that_was_no_success() -> None:
    merged = merge([(manifest(bad("BTCUSDT", Outcome.WAIVED), run="r2"), 20), (manifest(bad("BTCUSDT"), run="r1"), 10)])
    assert (merged["BTCUSDT"].entry.outcome, merged["BTCUSDT"].manifest.run) == (Outcome.WAIVED, "r2")


WAIVED, WITHDRAWN, FAILED, OK = "waived", "withdrawn", "failed", "ok"


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ((WAIVED,), "waived"),
        ((WAIVED, WITHDRAWN), None),
        ((WITHDRAWN,), None),
        ((WAIVED, WITHDRAWN, WAIVED), "waived"),
        ((FAILED, WAIVED), "waived"),
        ((FAILED, WAIVED, WITHDRAWN), "failed"),
        ((WAIVED, "repeated", WITHDRAWN), None),
        ((FAILED, WAIVED, "repeated", WITHDRAWN), "failed"),
        ((WAIVED, FAILED), "failed"),
        ((WAIVED, WITHDRAWN, FAILED), "failed"),
        ((OK, WAIVED), "ok"),
        ((WAIVED, OK, WITHDRAWN), "ok"),
    ],
)
def test_a_withdrawn_waiver_leaves_what_was_known_without_it(told: tuple[str, ...], left: str | None) -> None:
    held = []
    for number, word in enumerate(told):
        entry = {
            WAIVED: bad("BTCUSDT", Outcome.WAIVED),
            "repeated": bad("BTCUSDT", Outcome.WAIVED),
            WITHDRAWN: bad("BTCUSDT", Outcome.FAILED),
            FAILED: bad("BTCUSDT", Outcome.FAILED),
            OK: ok("BTCUSDT"),
        }[word]
        made = manifest(entry, run=f"r{number}")
        if word in (WAIVED, WITHDRAWN):
            made = msgspec.structs.replace(made, origin="waived")
        held.append((made, 10 * (number + 1)))
    for order in itertools.permutations([*held, held[0]]):
        (record,) = merge(order).values()
        assert (None if record.is_withdrawal else str(record.entry.outcome)) == left


@given(st.lists(entries, max_size=3, unique_by=lambda entry: entry.symbol), st.booleans())
def test_metadata_tells_what_coverage_needs(made: list[Entry], unfinished: bool) -> None:
    held = manifest(*made, unfinished=unfinished)
    info = ObjectInfo(manifest_object(ManifestName(CELL, "r1", 0, 1)), 10, 77, "", NOW, metadata_of(held))
    summary = summarize(info)
    assert (summary.name, summary.generation, summary.open) == (ManifestName(CELL, "r1", 0, 1), 77, unfinished)
    assert summary.counts == {o: n for o in Outcome if (n := sum(entry.outcome is o for entry in made))}
    assert summary.symbols_hash == hash_symbols(entry.symbol for entry in made)
    assert summary.rows == sum(entry.rows for entry in made)
    assert summary.empty_symbols == tuple(sorted(entry.symbol for entry in made if entry.outcome is Outcome.EMPTY))


def test_the_fewest_covered_minutes_are_those_of_files_with_rows() -> None:
    held = manifest(ok("BTCUSDT", minutes=1440), ok("ETHUSDT", minutes=700), bad("SOLUSDT", Outcome.EMPTY))
    assert metadata_of(held)["minutes"] == "700"
    assert metadata_of(manifest(bad("SOLUSDT", Outcome.EMPTY)))["minutes"] == "0"


@pytest.mark.parametrize("symbol", ["BTC-27DEC24-{:06d}-C", "币安人生{:06d}"])
def test_metadata_of_the_largest_cells_keeps_to_the_limits_of_the_bucket(symbol: str) -> None:
    held = manifest(*(bad(symbol.format(number), Outcome.EMPTY) for number in range(3000)))
    metadata = metadata_of(held)
    assert all(len(value.encode()) <= max(METADATA_VALUE_LIMIT, 4096) for value in metadata.values())
    assert sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) <= 8192
    info = ObjectInfo(manifest_object(ManifestName(CELL, "r1", 0, 1)), 10, 1, "", NOW, metadata)
    assert summarize(info).empty_symbols is None


def test_symbols_hash_is_of_the_set_and_not_of_the_order() -> None:
    assert hash_symbols(["A", "B", "B"]) == hash_symbols(["B", "A"]) != hash_symbols(["AB"])


def test_a_manifest_is_read_back_as_it_was_written(state: Store) -> None:
    held = manifest(ok("BTCUSDT", generation=5), bad("ETHUSDT", Outcome.QUARANTINED))
    name = write_manifest(state, held)
    found = read_manifest(state, name)
    assert found is not None
    assert found[0] == held
    (summary,) = list_summaries(state)
    assert (summary.generation, summary.counts) == (found[1], {Outcome.OK: 1, Outcome.QUARANTINED: 1})
    assert read_manifest(state, name.replace("r1-0-1", "r1-0-9")) is None


def test_writing_the_same_manifest_twice_is_one_and_another_of_the_same_attempt_stands_beside_it(state: Store) -> None:
    first = manifest(ok("BTCUSDT"), unfinished=True)
    second = manifest(ok("BTCUSDT"), ok("ETHUSDT"))
    names = [write_manifest(state, held) for held in (first, first, second, second)]
    assert names[0] == names[1] != names[2] == names[3]
    assert sorted(summary.name.sequence for summary in list_summaries(state)) == [0, 1]
    assert set(read_cell(state, CELL)) == {"BTCUSDT", "ETHUSDT"}


def test_a_listing_can_be_cut_to_days(state: Store) -> None:
    for number in range(4):
        write_manifest(state, manifest(ok("BTCUSDT"), cell=Cell(day(number), "trades", "binance")))
    found = list_summaries(state, start="manifests/by_date/day-2024-05-02", end="manifests/by_date/day-2024-05-04")
    assert [summary.name.cell.day for summary in found] == [day(1), day(2)]


def test_a_cell_is_read_without_its_neighbours(state: Store) -> None:
    write_manifest(state, manifest(ok("BTCUSDT")))
    write_manifest(state, manifest(ok("OTHER"), cell=Cell(day(0), "trades", "binance-futures")))
    assert set(read_cell(state, CELL)) == {"BTCUSDT"}
    assert read_cell(state, Cell(day(9), "trades", "binance")) == {}


def test_the_outcomes_of_a_shard_are_those_of_its_last_attempt(state: Store) -> None:
    other = Cell(day(1), "trades", "binance")
    for attempt in (2, 9, 10):
        done = [ok("BTCUSDT"), bad("ETHUSDT", Outcome.EMPTY)] if attempt == 10 else [bad("BTCUSDT")]
        write_manifest(state, manifest(*done, attempt=attempt))
    write_manifest(state, manifest(bad("BTCUSDT"), attempt=3, cell=other, unfinished=True))
    write_manifest(state, manifest(bad("BTCUSDT"), bad("ETHUSDT", Outcome.NOT_FOUND), attempt=3, cell=other))
    write_manifest(state, manifest(bad("SOLUSDT"), run="r2"))
    write_manifest(state, manifest(bad("SOLUSDT"), shard=1, attempt=99))
    found = recorded_outcomes(state, "r1", 0, {CELL, other, Cell(day(2), "trades", "binance")})
    assert found == Counter({Outcome.OK: 1, Outcome.EMPTY: 1, Outcome.FAILED: 1, Outcome.NOT_FOUND: 1})


def test_an_object_that_is_no_manifest_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="storage contract"):
        summarize(ObjectInfo("manifests/by_date/readme.txt", 1, 1, "", NOW, {}))
    with pytest.raises(ConfigurationError, match="entries"):
        decode(encode({**_fields(), "entries": 3}), Manifest, name="x")


def _fields() -> dict[str, object]:
    return {
        "day": "2024-05-01",
        "data_type": "trades",
        "venue": "binance",
        "run": "r1",
        "shard": 0,
        "attempt": 1,
        "vm": "vm",
        "written": NOW + timedelta(0),
        "open": False,
        "engine_version": "0",
        "catalogue": "",
    }


def test_fields_of_a_newer_version_are_ignored() -> None:
    newer = encode({**_fields(), "entries": [], "a_new_field": 1})
    assert decode(newer, Manifest, name="x").entries == ()
