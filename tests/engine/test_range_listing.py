"""Years of manifests over the wire: how many calls, and the same answer as from all objects."""

from __future__ import annotations

import gc
import json
import urllib.request
from collections.abc import Iterator

import pytest

from engine.collector import collector_held
from engine.inventory import Inventory, check_range
from engine.paths import manifest_range
from engine.range_listing import RangeListing
from engine.storage_service import open_storage
from engine.store import Store
from tests.bench.aiohttp_server import serving
from tests.bench.bench_coverage import judge
from tests.bench.coverage_lake import DAYS, NOW, OFFERS, STATE, TYPES, Lake

OBJECTS = 28_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A lake of 519 days."""
    with serving("tests.bench.coverage_lake", OBJECTS) as url:
        yield url


def calls(address: str) -> dict[str, int]:
    """What the server was asked since the last time."""
    with urllib.request.urlopen(f"{address}/calls") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def test_every_look_at_a_range_is_a_call_a_thousand_and_finds_the_same(address: str) -> None:
    lake = Lake(OBJECTS)
    listing = RangeListing(Store(open_storage(project="test", endpoint=address), STATE))
    calls(address)
    for _ in range(3):
        assert [info.name for info in listing.look(*manifest_range(DAYS))] == list(lake.manifests)
        assert calls(address) == {"manifests": -(-len(lake.manifests) // 1000)}


def test_a_small_or_empty_range_is_one_call(address: str) -> None:
    listing = RangeListing(Store(open_storage(project="test", endpoint=address), STATE))
    calls(address)
    assert listing.look("verifications/", "verifications0") == []
    assert len(listing.look("manifests/by_date/day-2023-05-24/", "manifests/by_date/day-2023-05-240")) in range(25, 29)
    assert sum(calls(address).values()) == 2


def test_manifests_say_of_every_cell_what_the_listing_of_all_objects_says(address: str) -> None:
    lake = Lake(OBJECTS)
    held: dict[str, list[str]] = {}
    for number, cell in enumerate(lake.cells):
        held[f"{cell.day}/{cell.data_type}/{cell.venue}"] = list(lake.held(number))
    inventory = Inventory(Store(open_storage(project="test", endpoint=address), STATE))
    coverage = check_range(inventory, DAYS, OFFERS, TYPES, now=NOW)
    found = {
        f"{cell.day}/{cell.data_type}/{cell.venue}": [report.state, report.done, report.expected]
        for cell, report in coverage.reports.items()
    }
    assert found == judge(lake, held)


def test_the_collector_is_held_as_long_as_anybody_holds_it() -> None:
    assert gc.isenabled()
    with collector_held():
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
