"""How complete a lake is, from its manifests, beside listing every data object: 519 days of 8 venues and 5 types.

Both ask the same server over the wire, in turns, each in a fresh process, and must give the same answer for every cell. The server is a
process of its own and is not measured. Ours is what `tickdeck check` does behind its screen.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.aiohttp_server import serving
from tests.bench.coverage_lake import DATA, DAYS, NOW, OFFERS, STATE, TYPES, Lake
from tests.bench.fresh_process import measure
from tests.bench.musts import Must, documents
from tests.bench.musts import lines as must_lines

OURS, LEAN, OFFICIAL = "tickdeck", "names by raw pages", "official client"
SIZES = (400_000, 4_000_000)
"""Data objects. What ours asks for does not depend on them, what they do does."""


def run(sizes: tuple[int, ...], runs: int) -> dict[str, Any]:
    """Every contestant on lakes of these sizes, smallest first; the official client lists the smallest only: it would take minutes."""
    lakes: dict[str, Any] = {}
    for objects in sizes:
        contestants = (OURS, LEAN, OFFICIAL) if objects == sizes[0] else (OURS, LEAN)
        lakes[f"{objects:,}"] = _measure_lake(objects, contestants, runs)
    small, large = (lakes[f"{objects:,}"] for objects in (sizes[0], sizes[-1]))
    ours = [lake["medians"][OURS] for lake in lakes.values()]
    unequal = sum(lake["unequal_cells"] for lake in lakes.values())
    calls = max(lake["calls"][OURS]["manifests"] for lake in lakes.values())
    thousands = -(-max(lake["manifests"] for lake in lakes.values()) // 1000)
    musts = [
        Must(f"cells that differ from the listing of all objects, of {small['cells'] * len(lakes):,}", unequal, 0, unit="cells"),
        Must(f"listing calls for {small['manifests']:,} manifests, per thousand begun", calls / thousands, 1.0),
        Must(f"CPU of reading and judging {small['manifests']:,} manifests", max(each["answer_cpu_s"] for each in ours), 1.0, unit="s"),
        Must(
            f"CPU with {sizes[-1]:,} objects / with {sizes[0]:,}",
            large["medians"][OURS]["answer_cpu_s"] / small["medians"][OURS]["answer_cpu_s"],
            1.1,
        ),
        Must(
            f"CPU of ours / listing {sizes[-1]:,} objects",
            large["medians"][OURS]["cpu_s"] / large["medians"][LEAN]["cpu_s"],
            1.0,
        ),
    ]
    return {"runs": runs, "lakes": lakes, "musts": documents(musts)}


def table(results: dict[str, Any]) -> str:
    """For a person: seconds and calls of each."""
    lines = []
    for objects, lake in results["lakes"].items():
        lines.append(f"{lake['cells']:,} expected cells, {lake['manifests']:,} manifests, {objects} data objects")
        lines.append(f"  {'':22}{'cpu_s':>10}{'answer_cpu_s':>14}{'wall_s':>10}{'calls':>10}")
        for name, figures in lake["medians"].items():
            calls = sum(lake["calls"][name].values())
            lines.append(f"  {name:22}{figures['cpu_s']:10.2f}{figures['answer_cpu_s']:14.2f}{figures['wall_s']:10.2f}{calls:10,}")
        asked = ", ".join(f"{count} {what}" for what, count in lake["calls"][OURS].items())
        lines.append(f"  {OURS} asked: {asked}")
    return "\n".join([*lines, *must_lines(results["musts"])])


def _measure_lake(objects: int, contestants: tuple[str, ...], runs: int) -> dict[str, Any]:
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    answers: dict[str, Any] = {}
    calls: dict[str, dict[str, int]] = {}
    lake = Lake(objects)
    with tempfile.TemporaryDirectory(prefix="bench-coverage-") as folder, serving("tests.bench.coverage_lake", objects) as address:
        out = Path(folder) / "answer.json"
        for turn in range(runs):
            for name in contestants:
                if turn and name != OURS:
                    continue  # the peers take long, and do not come near
                measured[name].append(measure(["-m", "tests.bench.bench_coverage", name, address, str(out)]))
                answers[name] = json.loads(out.read_text())
                with urllib.request.urlopen(f"{address}/calls") as answer:
                    calls[name] = json.load(answer)
    unequal = 0
    for name in contestants[1:]:
        truth = judge(lake, answers[name])
        unequal += sum(truth[cell] != answers[OURS].get(cell) for cell in truth) + len(answers[OURS].keys() - truth.keys())
    figures = ("cpu_s", "answer_cpu_s", "wall_s")
    medians = {name: {figure: statistics.median(one[figure] for one in each) for figure in figures} for name, each in measured.items()}
    return {"cells": len(lake.cells), "manifests": len(lake.manifests), "medians": medians, "calls": calls, "unequal_cells": unequal}


def judge(lake: Lake, objects: dict[str, list[str]]) -> dict[str, list[Any]]:
    """What a listing of objects says of each of the 40 pairs on every day: the state, and how many of how many are there."""
    truth: dict[str, list[Any]] = {}
    for day in DAYS:
        for venue in OFFERS:
            for data_type in TYPES:
                key = f"{day}/{data_type}/{venue}"
                expected = lake.symbols.get((venue, data_type), ())
                there = len(set(objects.get(key, ())) & set(expected))
                state = "not_expected" if not expected else "complete" if there == len(expected) else "partial" if there else "missing"
                truth[key] = [state, there, len(expected)]
    return truth


def _ours(address: str) -> dict[str, Any]:
    from engine.inventory import Inventory, check_range
    from engine.storage_service import open_storage
    from engine.store import Store

    state = Store(open_storage(project="bench", endpoint=address), STATE)
    coverage = check_range(Inventory(state), DAYS, OFFERS, TYPES, now=NOW)
    return {
        f"{cell.day}/{cell.data_type}/{cell.venue}": [report.state, report.done, report.expected]
        for cell, report in coverage.reports.items()
    }


def _objects(names: Iterator[str]) -> dict[str, list[str]]:
    """Cell -> symbols, the quickest way there is: names are cut, not parsed."""
    found: dict[str, list[str]] = {}
    for name in names:
        _, _, day, data_type, venue, symbol = name.split("/")
        found.setdefault(f"{day[4:]}/{data_type[10:]}/{venue[6:]}", []).append(symbol[:-8])
    return found


def _official(address: str) -> dict[str, Any]:
    """As the documentation advises: a prefix, and no more fields than needed."""
    from engine.storage_service import open_storage

    client = open_storage(project="bench", endpoint=address).client
    blobs = client.list_blobs(DATA, prefix="raw_tick_data/by_date/", fields="items(name),nextPageToken")
    return _objects(blob.name for blob in blobs)


def _lean(address: str) -> dict[str, Any]:
    """No client: one connection, a page a request, names alone."""
    import http.client

    import msgspec

    def names() -> Iterator[str]:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        token = ""
        while True:
            connection.request("GET", f"/storage/v1/b/{DATA}/o?prefix=raw_tick_data/by_date/&fields=items(name)&pageToken={token}")
            page = msgspec.json.decode(connection.getresponse().read())
            yield from (item["name"] for item in page["items"])
            token = page.get("nextPageToken")
            if not token:
                return

    return _objects(names())


CONTESTANTS = {OURS: _ours, OFFICIAL: _official, LEAN: _lean}


def main() -> None:
    """One measurement, for a fresh process: the answer goes to a file, the CPU of getting it (what is imported before it is not in it:
    that is `bench_start`'s) to standard output."""
    name, address, out = sys.argv[1:]

    import google.cloud.storage  # noqa: F401 - it comes at the first use, and would be in the figure

    import engine.inventory  # noqa: F401

    imported = time.process_time()
    answer = CONTESTANTS[name](address)
    spent = time.process_time() - imported
    Path(out).write_text(json.dumps(answer))
    print(json.dumps({"answer_cpu_s": spent}))


if __name__ == "__main__":
    main()
