"""What is read out of a query never loses a row: files are left out only where the whole condition excludes them."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.query.constraints import Constraint, read_query

MAY = date(2024, 5, 1)


def of(condition: str, table: str = "trades") -> Constraint:
    return read_query(f"SELECT 1 FROM {table} WHERE {condition}").views[table]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("day = '2024-05-01'", Constraint(MAY, MAY)),
        ("DATE '2024-05-01' = day", Constraint(MAY, MAY)),
        ("day BETWEEN '2024-05-01' AND '2024-05-02'::DATE", Constraint(MAY, MAY + timedelta(days=1))),
        ("day >= '2024-05-01' AND day < '2024-05-03'", Constraint(MAY, MAY + timedelta(days=1))),
        ("'2024-05-01' <= day AND '2024-05-03' > day", Constraint(MAY, MAY + timedelta(days=1))),
        ("day > '2024-04-30'", Constraint(first=MAY)),
        ("day IN ('2024-05-02', '2024-05-01')", Constraint(MAY, MAY + timedelta(days=1))),
        ("venue = 'binance' AND (symbol IN ('A', 'B'))", Constraint(venues=frozenset({"binance"}), symbols=frozenset({"A", "B"}))),
        ("symbol = 'A' OR day = '2024-05-01'", Constraint()),
        ("NOT day = '2024-05-01'", Constraint()),
        ("day <> '2024-05-01'", Constraint()),
        ("day = DATE '2024-05-01' + INTERVAL 1 DAY", Constraint()),
        ("upper(venue) = 'BINANCE'", Constraint()),
        ("symbol LIKE 'B%'", Constraint()),
        ("venue = symbol", Constraint()),
    ],
)
def test_what_a_condition_says_is_read_and_nothing_more(condition, expected):
    assert of(condition) == expected


def test_each_table_has_what_is_said_of_it():
    views = read_query(
        """WITH mine AS (SELECT * FROM quotes WHERE day = '2024-05-02')
        SELECT * FROM trades t JOIN candles_1m c ON c.symbol = t.symbol AND c.day = t.day, mine
        WHERE t.day = '2024-05-01' AND c.day <= '2024-05-03' AND c.venue = 'deribit'"""
    ).views
    assert views == {
        "quotes": Constraint(MAY + timedelta(days=1), MAY + timedelta(days=1)),
        "trades": Constraint(MAY, MAY),
        "candles_1m": Constraint(last=date(2024, 5, 3), venues=frozenset({"deribit"})),
    }


def test_a_table_that_is_read_twice_needs_what_either_reading_needs():
    views = read_query("SELECT 1 FROM trades WHERE day = '2024-05-01' UNION ALL SELECT 1 FROM trades WHERE day = '2024-05-03'").views
    assert views == {"trades": Constraint(MAY, date(2024, 5, 3))}


@pytest.mark.parametrize(
    ("sql", "words"),
    [("", "0 statements"), ("SELECT 1; SELECT 2", "2 statements"), ("DROP TABLE x", "DROP is no query"), ("SELEC 1", "cannot be read")],
)
def test_what_is_no_query_is_refused_in_one_line(sql, words):
    with pytest.raises(UsageError, match=words) as refused:
        read_query(sql)
    assert "\n" not in str(refused.value)


DAYS = st.dates(MAY, date(2024, 5, 4)).map(lambda day: f"'{day}'")
ATOMS = st.one_of(
    st.builds("day {} {}".format, st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]), DAYS),
    st.builds("{1} {0} day".format, st.sampled_from(["=", "<", "<=", ">", ">="]), DAYS),
    st.builds("day BETWEEN {} AND {}".format, DAYS, DAYS),
    st.builds("day IN ({}, {})".format, DAYS, DAYS),
    st.sampled_from(["venue = 'a'", "venue IN ('a', 'b')", "symbol = 'X'", "symbol <> 'X'", "venue = symbol", "symbol LIKE 'X%'"]),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner), st.builds("({} OR {})".format, inner, inner), st.builds("NOT ({})".format, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(CONDITIONS)
def test_no_row_that_a_condition_wants_lies_in_a_file_that_is_left_out(condition):
    found = of(condition, "rows")
    with duckdb.connect() as connection:
        connection.execute(
            """CREATE TABLE rows AS SELECT (DATE '2024-04-30' + CAST(i AS INTEGER)) AS day, v AS venue, s AS symbol
            FROM range(0, 6) r(i), (VALUES ('a'), ('b'), ('X')) x(v), (VALUES ('X'), ('Y'), ('a')) y(s)"""
        )
        wanted = connection.execute(f"SELECT day, venue, symbol FROM rows WHERE {condition}").fetchall()
    for day, venue, symbol in wanted:
        assert found.first is None or found.first <= day
        assert found.last is None or day <= found.last
        assert found.venues is None or venue in found.venues
        assert found.symbols is None or symbol in found.symbols
