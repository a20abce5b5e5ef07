"""The table of data types against genuine headers and against what BigQuery accepts."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pyarrow as pa
import pytest

from engine.datatypes import DATA_TYPES, GROUPED_SYMBOLS, Encoding, Kind, require_data_type, schema
from engine.errors import ExitCode, UsageError
from tests.engine.conversion.tardis_csv import HEADERS, genuine_heads


def test_every_genuine_header_is_the_columns_in_that_order() -> None:
    for path, name in genuine_heads():
        header = path.read_text().splitlines()[0].split(",")
        assert [column.source for column in DATA_TYPES[name].columns] == header, path.name


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_documented_headers_are_the_columns_in_that_order(name: str) -> None:
    assert ",".join(column.source for column in DATA_TYPES[name].columns) == HEADERS[name]


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_names_are_unique_and_legal_in_bigquery(name: str) -> None:
    names = [column.name for column in DATA_TYPES[name].columns]
    assert len({text.lower() for text in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", text) for text in names)


def test_book_levels_are_counted_from_one_best_first() -> None:
    renamed = {column.source: column.name for column in DATA_TYPES["book_snapshot_5"].columns}
    assert renamed["asks[0].price"] == "ask_price_1"
    assert renamed["bids[4].amount"] == "bid_amount_5"
    assert "bid_amount_25" in {column.name for column in DATA_TYPES["book_snapshot_25"].columns}


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_schemas_have_utc_microseconds_text_ids_and_dictionaries(name: str) -> None:
    made = schema(DATA_TYPES[name])
    category = pa.dictionary(pa.int32(), pa.string())
    expected = {"id": pa.string(), "is_snapshot": pa.bool_(), "underlying_index": category}
    expected |= dict.fromkeys(("exchange", "symbol", "side", "type"), category)
    times = ("timestamp", "local_timestamp", "funding_timestamp", "expiration")
    expected |= dict.fromkeys(times, pa.timestamp("us", tz="UTC"))
    assert [field.type for field in made] == [expected.get(field.name, pa.float64()) for field in made]
    assert [field.name for field in made if not field.nullable] == ["exchange", "symbol", "timestamp", "local_timestamp"]


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_every_field_describes_itself_and_every_number_has_a_unit(name: str) -> None:
    for column, field in zip(DATA_TYPES[name].columns, schema(DATA_TYPES[name]), strict=True):
        metadata = field.metadata or {}
        assert metadata[b"description"], field.name
        assert metadata[b"source"] == column.source.encode()
        assert metadata[b"unit"] or column.kind is not Kind.NUMBER, field.name


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_encodings_suit_the_kinds(name: str) -> None:
    fitting = {
        Kind.TIME: {Encoding.DELTA, Encoding.DICTIONARY},
        Kind.NUMBER: {Encoding.DICTIONARY, Encoding.SPLIT, Encoding.PLAIN},
        Kind.TEXT: {Encoding.DELTA_TEXT},
        Kind.CATEGORY: {Encoding.DICTIONARY},
        Kind.FLAG: {Encoding.PLAIN},
    }
    assert all(column.encoding in fitting[column.kind] for column in DATA_TYPES[name].columns)


def test_there_is_no_grouped_book_and_options_come_grouped() -> None:
    assert DATA_TYPES["book_snapshot_5"].grouped == frozenset()
    assert DATA_TYPES["options_chain"].grouped == {"OPTIONS"}
    assert all(data_type.grouped <= GROUPED_SYMBOLS for data_type in DATA_TYPES.values())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trade", "trades"),
        ("book_snapshot5", "book_snapshot_5"),
        ("Liquidation", "liquidations"),
        ("option-chain", "options_chain"),
    ],
)
def test_an_unknown_type_names_the_nearest_one(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_data_type(typed)
    assert typed in str(caught.value)
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_type_like_none_lists_them_all() -> None:
    with pytest.raises(UsageError) as caught:
        require_data_type("xyz")
    assert all(name in caught.value.hint for name in DATA_TYPES)


def test_names_are_had_without_loading_pyarrow() -> None:
    code = "import sys, json, engine.datatypes, engine.conversion.convert, engine.verbs.convert; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert not {"pyarrow", "numpy", "google_crc32c", "pandas"} & set(loaded)
