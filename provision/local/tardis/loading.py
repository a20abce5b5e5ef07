"""Scenario files: TOML to a `Scenario`, with errors that name the place and the nearest right word.

Kept apart from the scenario's own types because reading needs to know every kind of trap and fault, and they need the types.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.documents import convert
from provision.local.faults import FaultError
from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.listings import Listings
from provision.local.tardis.scenario import Scenario
from provision.local.tardis.strikes import armed_faults
from provision.local.tardis.traps import TRAPS

SCENARIO_FOLDER = Path(__file__).parent / "scenarios"


class ScenarioError(Exception):
    """A scenario file that cannot be played: names the file, the place in it and what would be right."""


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario: the name of one that comes with Tickdeck ("demo", "tiny", "traps"), or the path of a TOML file.

    Raises:
        ScenarioError: if there is no such file, or what it says is wrong.
    """
    text = str(name_or_path)
    path = Path(text) if text.endswith(".toml") else SCENARIO_FOLDER / f"{text}.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(entry.stem for entry in SCENARIO_FOLDER.glob("*.toml")))
        raise ScenarioError(f"no scenario {text!r}: give the path of a .toml file, or one of {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: {error}") from error
    return read_scenario(data, str(path))


def read_scenario(data: dict[str, Any], where: str) -> Scenario:
    """A scenario from the tables of a TOML file; `where` names it in errors.

    Raises:
        ScenarioError: if a key is unknown, a value has the wrong type, or a trap or fault names what does not exist.
    """
    _check_keys(data, Scenario, where)
    try:
        scenario = convert(data, Scenario, text_keys=True)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{where}: {error}") from error
    for venue in scenario.venues:
        for symbol in venue.symbols:
            for data_type in symbol.rows:
                _known(data_type, COLUMNS, f"{where}: {venue.id} {symbol.id}: data type")
        bases = [symbol.base for symbol in venue.symbols if symbol.type == "perpetual"]
        for underlying in venue.options.underlyings if venue.options else ():
            _known(underlying, bases, f"{where}: {venue.id}: options on a base without a perpetual:")
    listings = Listings(scenario)
    for trap in scenario.traps:
        _known(trap.kind, TRAPS, f"{where}: trap")
        _known(trap.venue, [venue.id for venue in scenario.venues], f"{where}: trap {trap.kind}: venue")
        listed = listings.venue(trap.venue)
        _known(trap.symbol, listed, f"{where}: trap {trap.kind}: symbol")
        _known(trap.data_type, listed[trap.symbol].data_types, f"{where}: trap {trap.kind} on {trap.symbol}: data type")
    try:
        armed_faults(scenario)
    except FaultError as error:
        raise ScenarioError(f"{where}: {error}") from error
    return scenario


def _known(value: str, among: Iterable[str], what: str) -> None:
    known = sorted(among)
    if value not in known:
        raise ScenarioError(f"{what} {value!r} is unknown{_nearest(value, known)}")


def _nearest(value: str, known: list[str]) -> str:
    close = difflib.get_close_matches(value, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _check_keys(data: Any, kind: Any, where: str) -> None:
    inner = _dataclass_of(kind)
    if inner is None:
        return
    if isinstance(data, list):
        for index, item in enumerate(data):
            _check_keys(item, inner, f"{where}[{index}]")
    elif isinstance(data, dict):
        known = {entry.name for entry in fields(inner)}
        hints = typing.get_type_hints(inner)
        for key, value in data.items():
            if key not in known:
                raise ScenarioError(f"{where}: unknown key {key!r}{_nearest(key, sorted(known))}")
            _check_keys(value, hints[key], f"{where}: {key}")


def _dataclass_of(kind: Any) -> Any:
    if is_dataclass(kind):
        return kind
    if typing.get_origin(kind) in (tuple, typing.Union, types.UnionType):
        return next((found for arg in typing.get_args(kind) if (found := _dataclass_of(arg))), None)
    return None
