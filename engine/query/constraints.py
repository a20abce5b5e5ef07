"""What a query says about the days, venues and symbols it wants, read out of its WHERE clauses before it runs.

Only what is certain counts: comparisons with literals that are joined by AND. Anything else narrows nothing, so a query never loses a
row by it; DuckDB applies the whole condition afterwards anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import sqlglot
from sqlglot import exp

from engine.errors import UsageError

DAY, VENUE, SYMBOL = "day", "venue", "symbol"


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which files of a view can matter. None: no limit."""

    first: date | None = None
    last: date | None = None
    """Inclusive."""
    venues: frozenset[str] | None = None
    symbols: frozenset[str] | None = None

    def both(self, other: Constraint) -> Constraint:
        """What satisfies both."""
        return Constraint(
            max(filter(None, (self.first, other.first)), default=None),
            min(filter(None, (self.last, other.last)), default=None),
            _meet(self.venues, other.venues),
            _meet(self.symbols, other.symbols),
        )

    def either(self, other: Constraint) -> Constraint:
        """What satisfies one of them, and perhaps more."""
        return Constraint(
            None if self.first is None or other.first is None else min(self.first, other.first),
            None if self.last is None or other.last is None else max(self.last, other.last),
            None if self.venues is None or other.venues is None else self.venues | other.venues,
            None if self.symbols is None or other.symbols is None else self.symbols | other.symbols,
        )


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one if other is None else one & other


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query that was read."""

    sql: str
    views: Mapping[str, Constraint] = field(default_factory=dict)
    """Names of tables that it reads, as it spells them in lower case, with what it says about each."""


def read_query(sql: str) -> ReadQuery:
    """Read one query.

    Raises:
        UsageError: if it is no SQL, more than one statement, or not a query.
    """
    try:
        statements = [one for one in sqlglot.parse(sql, dialect="duckdb") if one is not None]
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        place = f" at line {first.get('line')}, column {first.get('col')}" if first else ""
        words = str(first.get("description") or error).splitlines()[0]
        raise UsageError(f"the query cannot be read{place}: {words.rstrip('.')}", hint="it is SQL as DuckDB speaks it") from None
    except sqlglot.errors.SqlglotError as error:
        raise UsageError(f"the query cannot be read: {str(error).splitlines()[0]}", hint="it is SQL as DuckDB speaks it") from None
    if len(statements) != 1:
        raise UsageError(f"{len(statements)} statements", hint="give one query")
    statement = statements[0]
    if not isinstance(statement, exp.Query):
        raise UsageError(f"{statement.key.upper()} is no query", hint="the lake is read only: SELECT ... FROM trades WHERE day = ...")
    defined = {cte.alias_or_name.lower() for cte in statement.find_all(exp.CTE)}
    views: dict[str, Constraint] = {}
    for select in statement.find_all(exp.Select):
        said = list(_conjuncts(select))
        for table in _tables(select):
            name = table.name.lower()
            if name in defined or table.db or isinstance(table.this, exp.Func):
                continue
            found = Constraint()
            for condition in said:
                found = found.both(_read(condition, table.alias_or_name.lower()))
            views[name] = views[name].either(found) if name in views else found
    return ReadQuery(sql, views)


def _tables(select: exp.Select) -> Iterator[exp.Table]:
    """The tables that this SELECT itself reads from."""
    clauses = [select.args.get("from_") or select.args.get("from"), *(select.args.get("joins") or ())]
    for clause in clauses:
        if clause is not None and isinstance(clause.this, exp.Table):
            yield clause.this
            yield from (join.this for join in clause.this.args.get("joins") or () if isinstance(join.this, exp.Table))


def _conjuncts(select: exp.Select) -> Iterator[exp.Expression]:
    where = select.args.get("where")
    left = [where.this] if where is not None else []
    while left:
        condition = left.pop().unnest()
        if isinstance(condition, exp.And):
            left += [condition.left, condition.right]
        else:
            yield condition


def _read(condition: exp.Expression, alias: str) -> Constraint:
    """What one condition says about the table of that alias."""
    column = condition.this if isinstance(condition, exp.Binary | exp.In | exp.Between) else None
    turned = False
    if isinstance(condition, exp.Binary) and not isinstance(column, exp.Column):
        column, turned = condition.expression, True
    if not isinstance(column, exp.Column) or (column.table and column.table.lower() != alias):
        return Constraint()
    name = column.name.lower()
    if name == DAY:
        return _read_day(condition, turned=turned)
    if name not in (VENUE, SYMBOL):
        return Constraint()
    words: list[exp.Expression]
    if isinstance(condition, exp.EQ):
        words = [condition.this if turned else condition.expression]
    elif isinstance(condition, exp.In) and condition.expressions:
        words = condition.expressions
    else:
        return Constraint()
    if not all(isinstance(word, exp.Literal) and word.is_string for word in words):
        return Constraint()
    found = frozenset(word.name for word in words)
    return Constraint(venues=found) if name == VENUE else Constraint(symbols=found)


def _read_day(condition: exp.Expression, *, turned: bool) -> Constraint:
    if isinstance(condition, exp.Between):
        return Constraint(_day(condition.args["low"]), _day(condition.args["high"]))
    if isinstance(condition, exp.In):
        days = [_day(item) for item in condition.expressions]
        known = [day for day in days if day is not None]
        return Constraint(min(known), max(known)) if known and len(known) == len(days) else Constraint()
    value = _day(condition.this if turned else condition.expression) if isinstance(condition, exp.Binary) else None
    if value is None:
        return Constraint()
    below, above = (exp.GT, exp.GTE) if not turned else (exp.LT, exp.LTE), (exp.LT, exp.LTE) if not turned else (exp.GT, exp.GTE)
    if isinstance(condition, exp.EQ):
        return Constraint(value, value)
    if isinstance(condition, below):
        return Constraint(first=value + timedelta(days=1) if isinstance(condition, below[0]) else value)
    if isinstance(condition, above):
        return Constraint(last=value - timedelta(days=1) if isinstance(condition, above[0]) else value)
    return Constraint()


def _day(value: exp.Expression) -> date | None:
    """A literal day: `'2024-05-01'`, `DATE '2024-05-01'`, `'2024-05-01'::DATE`."""
    if isinstance(value, exp.Cast) and value.to.is_type("date"):
        value = value.this
    if not isinstance(value, exp.Literal) or not value.is_string:
        return None
    try:
        return date.fromisoformat(value.name)
    except ValueError:
        return None


def within(query: ReadQuery, limit: Constraint) -> ReadQuery:
    """The query with every view limited further, as flags say."""
    return replace(query, views={name: found.both(limit) for name, found in query.views.items()})
