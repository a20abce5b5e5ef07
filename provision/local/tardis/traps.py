"""The planted defects of a file: what each kind does to the rows, and what should become of the file.

Kept apart from the market, which only knows how data should look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from provision.local.tardis.paths import stream
from provision.local.tardis.scenario import Outcome, TrapSpec
from provision.local.tardis.text import Column, Decimals, Labels, Mask, Table, Texts, constant

_DAY_MICROSECONDS = 86_400_000_000
_SCIENTIFIC_DECIMALS = 8

Level = Literal["reply", "rows", "text", "bytes"]
"""Where a trap works: on the HTTP reply, the rows, their text, or the compressed bytes."""


@dataclass(frozen=True, slots=True)
class TrapKind:
    """What a kind of trap means to whoever reads the file."""

    level: Level
    expect: Outcome
    note: str


TRAPS: Final[dict[str, TrapKind]] = {
    "side_unknown": TrapKind("rows", "ok", "some sides are `unknown`"),
    "empty_ids": TrapKind("rows", "ok", "no trade has an id"),
    "guid_ids": TrapKind("rows", "ok", "ids are GUIDs"),
    "scientific": TrapKind("rows", "ok", "numbers such as 1e-8"),
    "backward_local_timestamp": TrapKind("rows", "ok", "one local_timestamp steps back; to be flagged"),
    "previous_day_first_row": TrapKind("rows", "ok", "the first exchange timestamp is on the previous day; to be flagged"),
    "extra_column": TrapKind("rows", "ok", "a column nobody announced; to be left out with a warning"),
    "missing_levels": TrapKind("rows", "ok", "book levels without price and amount, one side empty now and then"),
    "all_null_column": TrapKind("rows", "ok", "a nullable column is empty all day"),
    "renamed_column": TrapKind("rows", "quarantined", "a column has another name"),
    "missing_column": TrapKind("rows", "quarantined", "a column is gone"),
    "wrong_symbol": TrapKind("rows", "quarantined", "the rows are of another symbol"),
    "wrong_venue": TrapKind("rows", "quarantined", "the rows are of another venue"),
    "wrong_day": TrapKind("rows", "quarantined", "the rows are of the day after"),
    "crlf": TrapKind("text", "ok", "lines end in CR LF"),
    "no_final_newline": TrapKind("text", "ok", "the last line has no newline"),
    "members": TrapKind("bytes", "ok", "several gzip members, cut in the middle of lines"),
    "truncated_gzip": TrapKind("bytes", "quarantined", "the gzip ends early though the length agrees"),
    "cut_at_member": TrapKind("bytes", "quarantined", "whole members are missing: valid gzip, last line incomplete"),
    "bad_crc": TrapKind("bytes", "quarantined", "the checksum in the trailer is wrong"),
    "empty": TrapKind("reply", "empty", "the 20 bytes of an empty gzip"),
    "zero_byte": TrapKind("reply", "failed", "status 200 and no byte"),
    "content_encoding": TrapKind("reply", "ok", "the header says Content-Encoding: gzip of a body that is the .gz itself"),
    "html": TrapKind("reply", "quarantined", "status 200 and a web page"),
    "not_found": TrapKind("reply", "not_found", "status 404 on a listed file"),
}


def outcome_of(trap: TrapSpec) -> Outcome:
    """What should become of the trapped file."""
    return trap.expect or TRAPS[trap.kind].expect


@dataclass(frozen=True, slots=True)
class Others:
    """Names that a mixed-up file may carry instead of its own."""

    symbol: str
    venue: str


def trapped_rows(trap: TrapSpec, table: Table, first: bool, others: Others) -> Table:
    """One block of rows with the trap in it.

    Args:
        trap: of level "rows"; any other leaves the block as it is.
        table: the block as it should be.
        first: whether it is the file's first block; traps on a single row are on this one.
        others: for rows that belong elsewhere.
    """
    if trap.kind in _SINGLE_ROW:
        return _SINGLE_ROW[trap.kind](table) if first else table
    if trap.kind in ("wrong_symbol", "wrong_venue"):
        name, text = ("symbol", others.symbol) if trap.kind == "wrong_symbol" else ("exchange", others.venue)
        return _with(table, {name: constant(text, table.rows)})
    change = _EVERY_BLOCK.get(trap.kind)
    return table if change is None else change(trap, table)


def _with(table: Table, columns: dict[str, Column]) -> Table:
    return Table(table.rows, {**table.columns, **columns})


def _decimals(table: Table, name: str) -> Decimals:
    column = table.columns[name]
    assert isinstance(column, Decimals), f"{name} is no number"
    return column


def _every(table: Table, step: int) -> Mask:
    return np.asarray(np.arange(table.rows) % step == min(2, table.rows - 1))


def _step_back(table: Table) -> Table:
    local = _decimals(table, "local_timestamp")
    values = local.values.copy()
    at = table.rows // 2
    values[at] = values[at - 1] - 2_000 if at else values[at]
    return _with(table, {"local_timestamp": replace(local, values=values)})


def _previous_day(table: Table) -> Table:
    exchange = _decimals(table, "timestamp")
    values = exchange.values.copy()
    values[0] = values[0] // _DAY_MICROSECONDS * _DAY_MICROSECONDS - 53_000
    return _with(table, {"timestamp": replace(exchange, values=values)})


def _side_unknown(_trap: TrapSpec, table: Table) -> Table:
    side = table.columns["side"]
    assert isinstance(side, Labels)
    indexes = np.where(_every(table, 7), len(side.texts), side.indexes)
    return _with(table, {"side": Labels(indexes, (*side.texts, "unknown"))})


def _empty_ids(_trap: TrapSpec, table: Table) -> Table:
    return _with(table, {"id": constant("", table.rows)})


def _guid_ids(trap: TrapSpec, table: Table) -> Table:
    start = int(_decimals(table, "local_timestamp").values[0])
    digits = stream("guid", trap.venue, trap.symbol, start).integers(0, 16, (table.rows, 36))
    matrix = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    matrix[:, [8, 13, 18, 23]] = ord("-")
    return _with(table, {"id": Texts(np.ascontiguousarray(matrix).view("S36").ravel())})


def _scientific(trap: TrapSpec, table: Table) -> Table:
    usual = next(name for name in ("amount", "asks[0].amount", "funding_rate", "gamma", "ask_amount") if name in table.columns)
    name = trap.column or usual
    number = _decimals(table, name)
    scaled = number.rescaled(max(_SCIENTIFIC_DECIMALS, number.decimals))
    tiny = _every(table, 11)
    values = scaled.values.copy()
    values[tiny] = (1 + 11 * np.arange(tiny.sum()) % 99) * 10 ** (scaled.decimals - _SCIENTIFIC_DECIMALS)
    return _with(table, {name: replace(scaled, values=values, fixed=False)})


def _last_name(trap: TrapSpec, table: Table) -> str:
    return trap.column or list(table.columns)[-1]


def _extra(trap: TrapSpec, table: Table) -> Table:
    return _with(table, {trap.column or "vendor_flag": Decimals(np.arange(table.rows, dtype=np.int64) % 3)})


def _renamed(trap: TrapSpec, table: Table) -> Table:
    old = _last_name(trap, table)
    return Table(table.rows, {f"{name}_v2" if name == old else name: column for name, column in table.columns.items()})


def _missing(trap: TrapSpec, table: Table) -> Table:
    gone = _last_name(trap, table)
    return Table(table.rows, {name: column for name, column in table.columns.items() if name != gone})


def _all_null(trap: TrapSpec, table: Table) -> Table:
    return _with(table, {_last_name(trap, table): constant("", table.rows)})


def _wrong_day(_trap: TrapSpec, table: Table) -> Table:
    names = ("timestamp", "local_timestamp")
    columns = {name: _decimals(table, name) for name in names}
    moved = {name: replace(column, values=column.values + _DAY_MICROSECONDS) for name, column in columns.items()}
    return Table(table.rows, {**table.columns, **moved})


def _missing_levels(_trap: TrapSpec, table: Table) -> Table:
    shallow, one_sided = _every(table, 5), _every(table, 23)
    depth = sum(1 for name in table.columns if name.startswith("asks[")) // 2
    changed: dict[str, Column] = {}
    for name in table.columns:
        if name.startswith("asks[") and int(name[5 : name.index("]")]) >= depth - 2:
            changed[name] = replace(_decimals(table, name), empty=shallow)
        elif name.startswith("bids["):
            changed[name] = replace(_decimals(table, name), empty=one_sided)
    return _with(table, changed)


_SINGLE_ROW: dict[str, Callable[[Table], Table]] = {
    "backward_local_timestamp": _step_back,
    "previous_day_first_row": _previous_day,
}

_EVERY_BLOCK: dict[str, Callable[[TrapSpec, Table], Table]] = {
    "side_unknown": _side_unknown,
    "empty_ids": _empty_ids,
    "guid_ids": _guid_ids,
    "scientific": _scientific,
    "extra_column": _extra,
    "renamed_column": _renamed,
    "missing_column": _missing,
    "all_null_column": _all_null,
    "wrong_day": _wrong_day,
    "missing_levels": _missing_levels,
}
