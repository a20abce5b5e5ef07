"""`tickdeck catalogue` as a person types it, on a local cloud of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from engine.catalogue import Catalogue, Incident, Listing, save_catalogue
from engine.storage_service import open_storage
from engine.store import Store
from provision.local import cloud as local_cloud
from tests.warm_process import run_program

STATE_BUCKET = "market-data-tick-state"
"""Of the local profile, where nothing else is configured."""
OLD, NEW = datetime(2024, 6, 1, 6, tzinfo=UTC), datetime(2024, 6, 2, 6, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OLD_TABLE = Catalogue(
    venue="binance-futures",
    fetched=OLD,
    published_until=datetime(2024, 6, 1, tzinfo=UTC),
    listings=(
        Listing("BTCUSDT", "perpetual", ("trades",), LONG_AGO),
        Listing("SHIBUSDT", "perpetual", ("trades",), LONG_AGO),
    ),
)
NEW_TABLE = msgspec.structs.replace(
    OLD_TABLE,
    fetched=NEW,
    published_until=datetime(2024, 6, 2, tzinfo=UTC),
    listings=(
        Listing("BTCUSDT", "perpetual", ("trades", "liquidations"), LONG_AGO),
        Listing("SHIBUSDT", "perpetual", ("trades",), LONG_AGO, datetime(2024, 6, 1, 9, tzinfo=UTC)),
        Listing("1000SHIBUSDT", "perpetual", ("trades",), datetime(2024, 6, 1, 10, tzinfo=UTC)),
    ),
    incidents=(Incident(OLD, datetime(2024, 6, 1, 7, tzinfo=UTC), "resolved", "recorder down"),),
)


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal with a local cloud that holds two catalogues of one venue."""

    environment: dict[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program("console.cli", "catalogue", *arguments, environment=self.environment)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The local cloud is up as long as the tests of this module run."""
    place: Path = tmp_path_factory.mktemp("operator")
    environment = os.environ | {"TICKDECK_LOCAL_DIR": str(place / "cloud"), "XDG_CONFIG_HOME": str(place / "config")}
    cloud = local_cloud.up(place / "cloud", scenario="tiny")
    try:
        service = open_storage(project="local", endpoint=cloud.url("storage"))
        service.client.create_bucket(STATE_BUCKET)
        for table in (OLD_TABLE, NEW_TABLE):
            save_catalogue(Store(service, STATE_BUCKET), table, b"{}")
        yield Operator(environment)
    finally:
        local_cloud.down(place / "cloud")


def test_the_list_shows_every_catalogue_newest_first(operator: Operator) -> None:
    done = operator("list", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["catalogues"]
    assert [(row["venue"], row["fetched"]) for row in rows] == [
        ("binance-futures", "2024-06-02T06:00:00.000000Z"),
        ("binance-futures", "2024-06-01T06:00:00.000000Z"),
    ]
    assert rows[0]["object"] in operator("list", "--venue", "binance-futures").stdout


@pytest.mark.parametrize("which", [(), ("previous", "latest"), ("2024-06-01", "20240602"), ("2024-06-01T12:00Z", "latest")])
def test_a_diff_tells_what_came_what_went_and_what_is_otherwise(operator: Operator, which: tuple[str, ...]) -> None:
    done = operator("diff", *which, "--venue", "binance-futures", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["old"], found["new"]) == ("2024-06-01T06:00:00.000000Z", "2024-06-02T06:00:00.000000Z")
    assert [row["symbol"] for row in found["added"]] == ["1000SHIBUSDT"]
    assert [(row["symbol"], row["until"]) for row in found["delisted"]] == [("SHIBUSDT", "2024-06-01T09:00:00.000000Z")]
    assert found["perhaps_renamed"][0]["old"] == "SHIBUSDT"
    assert found["data_types_added"] == ["liquidations"]
    assert found["published_until"]["new"] == "2024-06-02T00:00:00.000000Z"
    assert [row["details"] for row in found["incidents_added"]] == ["recorder down"]


def test_a_diff_for_people_has_a_line_for_each_thing(operator: Operator) -> None:
    done = operator("diff", "--venue", "binance-futures")
    assert done.returncode == 0, done.stderr
    for words in (
        "+ 1000SHIBUSDT",
        "- SHIBUSDT",
        "~ BTCUSDT",
        "? SHIBUSDT until 2024-06-01 09:00Z, 1000SHIBUSDT since 2024-06-01 10:00Z",
        "data types new: liquidations",
        "published until 2024-06-01 00:00Z -> 2024-06-02 00:00Z",
        "recorder down",
    ):
        assert words in done.stdout
    assert operator("diff", "latest", "latest", "--venue", "binance-futures").stdout.endswith("the same\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("diff", "--venue", "binance-future"), "did you mean binance-futures?"),
        (("diff", "2023", "latest", "--venue", "binance-futures"), "2024-06-01T06:00:00.000000Z"),
        (("diff", "2024", "latest", "--venue", "binance-futures"), "means 2 catalogues"),
        (("list", "--venue", "Binance"), "exchange id"),
        (("diff",), "--venue"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_64(operator: Operator, arguments: tuple[str, ...], words: str) -> None:
    done = operator(*arguments)
    assert done.returncode == 64
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
