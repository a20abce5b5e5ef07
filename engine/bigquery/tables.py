"""The tables: which columns, which partition, which order, made of the lake's own schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from engine.candles.columns import CANDLE_SCHEMA_VERSION, COLUMNS, ColumnKind
from engine.candles.timeframes import bars_of
from engine.datatypes import SCHEMA_VERSION, Kind, require_data_type

Layer = Literal["candles", "ticks"]
LAYERS: tuple[Layer, ...] = ("candles", "ticks")

EXTERNAL_SUFFIX = "_external"

TEXT_BYTES = 12
"""Guess of a text's logical bytes: BigQuery counts 2 and its length."""

_CANDLE_TYPES = {
    ColumnKind.TIME: "TIMESTAMP",
    ColumnKind.CATEGORY: "STRING",
    ColumnKind.COUNT: "INTEGER",
    ColumnKind.NUMBER: "FLOAT",
}
_TICK_TYPES = {Kind.TIME: "TIMESTAMP", Kind.NUMBER: "FLOAT", Kind.TEXT: "STRING", Kind.CATEGORY: "STRING", Kind.FLAG: "BOOLEAN"}
_BYTES = {"TIMESTAMP": 8, "INTEGER": 8, "FLOAT": 8, "BOOLEAN": 1, "STRING": TEXT_BYTES}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table."""

    name: str
    type: str
    """BigQuery's name of it: TIMESTAMP, INTEGER, FLOAT, STRING, BOOLEAN. All may be null: a column that is added later must be."""
    description: str


@dataclass(frozen=True, slots=True)
class LakeTable:
    """One table of BigQuery and what of the lake goes into it."""

    name: str
    layer: Layer
    source: str
    """The timeframe of candles, or the data type of ticks."""
    partition: str
    """The column whose UTC day is the partition."""
    clustering: tuple[str, ...]
    columns: tuple[TableColumn, ...]
    description: str
    external: bool = False
    """True: its rows stay in the bucket."""

    @property
    def row_bytes(self) -> int:
        """Logical bytes of a row without nulls ("Data type sizes"): what is paid for at most."""
        return sum(_BYTES[column.type] for column in self.columns)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the table and of its load jobs."""
        return {"td-layer": self.layer, "td-source": self.source.lower()}

    @property
    def rows_of_object(self) -> int | None:
        """How many rows every object has; None where that differs."""
        return bars_of(self.source) if self.layer == "candles" else None


def candle_table(timeframe: str, *, external: bool = False) -> LakeTable:
    """The table of one timeframe: `candles_1m`."""
    return LakeTable(
        name=f"candles_{timeframe}{EXTERNAL_SUFFIX * external}",
        layer="candles",
        source=timeframe,
        partition="timestamp",
        clustering=("venue", "symbol"),
        columns=tuple(
            TableColumn(column.name, _CANDLE_TYPES[column.kind], _describe(column.description, column.unit, column.source))
            for column in COLUMNS
        ),
        description=f"Candles of {timeframe}, labelled by their start, UTC (candle schema {CANDLE_SCHEMA_VERSION})",
        external=external,
    )


def tick_table(data_type: str, *, external: bool = False) -> LakeTable:
    """The table of one data type: `trades`.

    Raises:
        UsageError: if there is no such data type.
    """
    found = require_data_type(data_type)
    return LakeTable(
        name=f"{found.name}{EXTERNAL_SUFFIX * external}",
        layer="ticks",
        source=found.name,
        partition="local_timestamp",
        clustering=("exchange", "symbol"),
        columns=tuple(
            TableColumn(column.name, _TICK_TYPES[column.kind], _describe(column.description, column.unit)) for column in found.columns
        ),
        description=f"Ticks: {found.name} (schema {SCHEMA_VERSION})",
        external=external,
    )


def tables_of(layer: Layer, sources: Iterable[str], *, external: bool = False) -> tuple[LakeTable, ...]:
    """The tables of several timeframes or data types."""
    make = candle_table if layer == "candles" else tick_table
    return tuple(make(source, external=external) for source in sources)


def _describe(description: str, unit: str, source: str = "") -> str:
    """At most 1,024 characters, as BigQuery has it."""
    unit = "" if unit.startswith("microseconds since") else unit  # a TIMESTAMP is no number any more
    return "; ".join(filter(None, (description, unit, source)))[:1024]
