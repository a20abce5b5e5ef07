"""What the source will answer for a file, and what should become of it: the oracle of tests and of the demo.

Pure: computed from the scenario alone, without a server and without generating a row.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal
from urllib.parse import quote

from provision.local.tardis.listings import DAY, Listed, Listings
from provision.local.tardis.scenario import Outcome, Scenario, TrapSpec, start_of
from provision.local.tardis.traps import TRAPS, outcome_of

CellState = Literal["complete", "thin", "partial", "failed", "not_ready", "not_expected"]

ALWAYS_TRADING = ("trades", "book_snapshot_5", "book_snapshot_25", "derivative_ticker", "quotes", "book_ticker")
"""Where an empty day of a symbol that has rows on the day before or after is suspicious."""

_DATASET_PATH = "/v1/{venue}/{data_type}/{day:%Y/%m/%d}/{symbol}.csv.gz"


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """One file that the plan of a scenario expects."""

    venue: str
    data_type: str
    day: date
    symbol: str
    url: str
    """Path on the stand-in."""
    expect: Outcome
    rows: int
    """Rows that a right reader commits; 0 unless `expect` is "ok"."""
    trap: str | None = None
    why: str = ""
    """Of a trap, from the scenario."""
    flags: tuple[str, ...] = ()
    """What a right reader notes about the file: the trap's note, "incident", "empty_beside_rows"."""
    faults: tuple[str, ...] = ()
    """Transient faults of the scenario that may strike it; they change no outcome."""


def dataset_path(venue: str, data_type: str, day: date, symbol: str) -> str:
    """Path of a dataset file, as on the real host."""
    return _DATASET_PATH.format(venue=venue, data_type=data_type, day=day, symbol=quote(symbol, safe=""))


def find_trap(scenario: Scenario, venue: str, data_type: str, day: date, symbol: str) -> TrapSpec | None:
    """The trap planted on a file, or None."""
    wanted = (venue, data_type, day, symbol)
    return next((t for t in scenario.traps if (t.venue, t.data_type, t.day, t.symbol) == wanted), None)


def is_denied(scenario: Scenario, venue: str, data_type: str, day: date) -> bool:
    """Whether the key's plan does not cover it. The first day of a month is free for everybody."""
    return day.day != 1 and any(fnmatch.fnmatchcase(f"{venue}/{data_type}", pattern) for pattern in scenario.denied)


def scenario_files(scenario: Scenario, days: Iterable[date]) -> list[ScenarioFile]:
    """Every expected file of `days`: individual symbols, and for options_chain the grouped OPTIONS file.

    Order: day, venue, data type, symbol as in the catalogue. Other groups and the single options are served too, but
    are not expected, as they would buy the same rows twice.
    """
    listings = Listings(scenario)
    files = []
    for day in days:
        for venue in scenario.venues:
            expected = [
                (data_type, listed)
                for listed in listings.venue(venue.id).values()
                for data_type in listed.data_types
                if _is_expected(listed, data_type) and _trades_on(listed, data_type, day)
            ]
            for data_type in dict.fromkeys(data_type for data_type, _ in expected):
                files += [_file(listings, listed, t, day) for t, listed in expected if t == data_type]
    return _with_neighbours(listings, files)


def cell_states(files: Sequence[ScenarioFile]) -> dict[tuple[str, str, date], CellState]:
    """State of each (venue, data type, day) once every file has its outcome."""
    cells: dict[tuple[str, str, date], list[ScenarioFile]] = {}
    for file in files:
        cells.setdefault((file.venue, file.data_type, file.day), []).append(file)
    return {cell: _state(members) for cell, members in cells.items()}


def _state(files: Sequence[ScenarioFile]) -> CellState:
    outcomes = {file.expect for file in files}
    if outcomes == {"not_ready"}:
        return "not_ready"
    if outcomes - {"ok", "empty"}:
        return "partial" if outcomes & {"ok", "empty"} else "failed"
    odd = any(flag in file.flags for file in files for flag in ("incident", "empty_beside_rows"))
    return "thin" if odd else "complete"


def _is_expected(listed: Listed, data_type: str) -> bool:
    if data_type == "options_chain":
        return listed.id == "OPTIONS"
    return not listed.grouped


def _trades_on(listed: Listed, data_type: str, day: date) -> bool:
    if listed.members:
        return any(data_type in member.data_types and member.window(day) for member in listed.members)
    return listed.window(day) is not None


def _file(listings: Listings, listed: Listed, data_type: str, day: date) -> ScenarioFile:
    scenario = listings.scenario
    path = dataset_path(listed.venue, data_type, day, listed.id)
    trap = find_trap(scenario, listed.venue, data_type, day, listed.id)
    expect: Outcome = outcome_of(trap) if trap else "ok"
    if is_denied(scenario, listed.venue, data_type, day):
        expect = "not_entitled"
    if day >= listings.exported_until(listed.venue):
        expect = "not_ready"
    flags = [TRAPS[trap.kind].note] if trap else []
    venue = scenario.venue(listed.venue)
    incidents = venue.incidents if venue else ()
    if any(incident.start < start_of(day) + DAY and incident.end > start_of(day) for incident in incidents):
        flags.append("incident")
    return ScenarioFile(
        venue=listed.venue,
        data_type=data_type,
        day=day,
        symbol=listed.id,
        url=path,
        expect=expect,
        rows=listings.row_count(listed, data_type, day) if expect == "ok" else 0,
        trap=trap.kind if trap else None,
        why=trap.why if trap else "",
        flags=tuple(flags),
        faults=tuple(fault.fault for fault in scenario.faults if fault.match in path),
    )


def _with_neighbours(listings: Listings, files: list[ScenarioFile]) -> list[ScenarioFile]:
    marked = []
    for file in files:
        if file.expect == "empty" and file.data_type in ALWAYS_TRADING:
            listed = listings.venue(file.venue)[file.symbol]
            around = (file.day - DAY, file.day + DAY)
            if any(_trades_on(listed, file.data_type, day) for day in around):
                file = replace(file, flags=(*file.flags, "empty_beside_rows"))
        marked.append(file)
    return marked
