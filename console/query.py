"""The one filter grammar of the console: tables, logs and the heatmap all read what the user types after `/` with it.

Pure text in, yes or no out: no Textual, so that the headless verbs take the same words (`tickdeck logs --filter ...`).

    retry timeout          both words, anywhere, in any order
    "gave up"              the phrase
    -timeout               without the word; `-` negates every form
    /part \\d+$/            a regular expression
    vm:europe              the field holds the text (a number: equals it)
    vm:"shard 7"  vm:/7$/  the same with a phrase or an expression
    rate>10M  age>=5m      compare: numbers with k M G T, seconds with s m h d, percent, and times (day<2024-05-01)
    is:stuck               a named condition of the row

Nothing is case-sensitive. All terms must hold.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Final

_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)(:|>=|<=|>|<)")
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?) ?(k|M|G|T|s|m|h|d|%)?")
_SCALE: Final = {"": 1.0, "%": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_EXPRESSION: Final = 200
_WHAT: Final = {'"': "the phrase", "/": "the expression"}


class QueryError(ValueError):
    """What was typed is no filter (yet)."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"{problem} (at {position + 1})")
        self.problem = problem
        self.position = position
        """Offset into the text where the trouble starts, from 0."""


class Kind(StrEnum):
    """The form of a term."""

    WORD = "word"
    PHRASE = "phrase"
    REGEX = "regex"
    IS = "is"
    COMPARE = "compare"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `Term(Kind.COMPARE, "10M", field="rate", operator=">")` is `rate>10M`."""

    kind: Kind
    value: str
    """As typed, without quotes or slashes."""
    field: str = ""
    """Empty: the whole text."""
    operator: str = ""
    """`:` or a comparison; empty without a field."""
    negated: bool = False
    expression: re.Pattern[str] | None = None
    """Of a regular expression."""
    bound: float | datetime = 0.0
    """Of a comparison; times are UTC."""

    def __str__(self) -> str:
        match self.kind:
            case Kind.PHRASE:
                text = f'"{self.value}"'
            case Kind.REGEX:
                text = f"/{self.value}/"
            case Kind.IS:
                text = f"is:{self.value}"
            case _:
                text = self.value
        return f"{'-' if self.negated else ''}{self.field}{self.operator}{text}"

    def matches(self, record: Mapping[str, object], folded: str, text: str) -> bool:
        """Whether the condition holds. `folded` is `text.casefold()`, made once for all terms."""
        return self._holds(record, folded, text) != self.negated

    def _holds(self, record: Mapping[str, object], folded: str, text: str) -> bool:
        if self.kind is Kind.IS:
            return _is(record, self.value.casefold())
        if not self.field:
            return self.expression.search(text) is not None if self.expression else self.value.casefold() in folded
        value = _lookup(record, self.field)
        if value is None:
            return False
        if self.kind is Kind.COMPARE:
            return _compare(value, self.operator, self.bound)
        if self.expression is not None:
            return self.expression.search(_as_text(value)) is not None
        number = _as_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        if number is not None and (wanted := _NUMBER.fullmatch(self.value)):
            return math.isclose(number, float(wanted[1]) * _SCALE[wanted[2] or ""])
        return self.value.casefold() in _as_text(value).casefold()


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed filter. `str(query)` is text that parses to the same query."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    @property
    def reads_fields(self) -> bool:
        """Whether `matches` looks at the record at all: callers with many rows may save making one."""
        return any(term.field or term.kind is Kind.IS for term in self.terms)

    def matches(self, record: Mapping[str, object], text: str) -> bool:
        """Whether a row passes.

        Args:
            record: Its fields by name; values may be text, numbers, times, days, booleans, mappings (`payload.vm:x`).
                The field "is" may hold the names of the conditions that apply, for `is:`.
            text: What words, phrases and expressions without a field are looked for in.
        """
        folded = text.casefold()
        return all(term.matches(record, folded, text) for term in self.terms)

    def highlights(self) -> tuple[re.Pattern[str], ...]:
        """Expressions for the parts of a text that make it match; empty if only fields decide."""
        return tuple(
            term.expression or re.compile(re.escape(term.value), re.IGNORECASE)
            for term in self.terms
            if not term.negated and not term.field and term.kind is not Kind.IS
        )


EVERYTHING: Final = Query()
"""The filter that hides nothing."""


def parse(text: str) -> Query:
    """Read a filter.

    Raises:
        QueryError: with the position, if a quote or an expression is open, an expression is wrong, or a value is missing.
    """
    terms = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        term, position = _term(text, position)
        terms.append(term)
    return Query(tuple(terms))


def _term(text: str, start: int) -> tuple[Term, int]:
    position = start
    negated = text[position] == "-" and position + 1 < len(text) and not text[position + 1].isspace()
    if negated:
        position += 1
    # An address such as https://host/x is a word, not the field "https".
    field = _FIELD.match(text, position)
    if field and not text.startswith("://", field.end(1)):
        return _field_term(text, field, negated=negated)
    kind, value, end = _value(text, position)
    return Term(kind, value, negated=negated, expression=_compile(value, position) if kind is Kind.REGEX else None), end


def _field_term(text: str, field: re.Match[str], *, negated: bool) -> tuple[Term, int]:
    name, operator = field[1], field[2]
    if field.end() >= len(text) or text[field.end()].isspace():
        raise QueryError(f"{name}{operator} needs a value", field.end())
    kind, value, end = _value(text, field.end())
    if operator != ":":
        if kind is not Kind.WORD:
            raise QueryError(f"{name}{operator} compares with a number or a time", field.end())
        return Term(Kind.COMPARE, value, name, operator, negated, bound=_bound(value, field.end())), end
    if name.casefold() == "is" and kind is Kind.WORD:
        return Term(Kind.IS, value, negated=negated), end
    expression = _compile(value, field.end()) if kind is Kind.REGEX else None
    return Term(kind, value, name, operator, negated, expression), end


def _value(text: str, start: int) -> tuple[Kind, str, int]:
    """The value at `start`: its kind, its text, and where it ends."""
    quote = text[start]
    if quote not in '"/':
        end = next((i for i in range(start, len(text)) if text[i].isspace()), len(text))
        return Kind.WORD, text[start:end], end
    closing = start + 1
    while closing < len(text) and text[closing] != quote:
        closing += 2 if quote == "/" and text[closing] == "\\" else 1
    if closing >= len(text):
        raise QueryError(f"{_WHAT[quote]} has no closing {quote}", start)
    if closing == start + 1:
        raise QueryError(f"{_WHAT[quote]} is empty", start)
    if closing + 1 < len(text) and not text[closing + 1].isspace():
        raise QueryError(f"a space must follow the closing {quote}", closing + 1)
    return Kind.PHRASE if quote == '"' else Kind.REGEX, text[start + 1 : closing], closing + 1


def _compile(pattern: str, position: int) -> re.Pattern[str]:
    if len(pattern) > _LONGEST_EXPRESSION:
        raise QueryError(f"the expression is longer than {_LONGEST_EXPRESSION} characters", position)
    try:
        with warnings.catch_warnings():
            # Python warns of patterns such as "[[a]": on the terminal's error stream that would tear the screen.
            warnings.simplefilter("ignore")
            return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise QueryError(f"no regular expression: {error}", position) from error


def _bound(value: str, position: int) -> float | datetime:
    if number := _NUMBER.fullmatch(value):
        return float(number[1]) * _SCALE[number[2] or ""]
    if moment := _as_moment(value):
        return moment
    raise QueryError(f"{value!r} is neither a number nor a time", position)


def _lookup(record: Mapping[str, object], field: str) -> object:
    """A field by name; a dot reaches into mappings. Names are compared without regard to case."""
    for key in (field, field.casefold()):
        if key in record:
            return record[key]
    for key, value in record.items():
        folded = key.casefold()
        if folded == field.casefold():
            return value
        if isinstance(value, Mapping) and field.casefold().startswith(folded + "."):
            return _lookup(value, field[len(folded) + 1 :])
    return None


def _is(record: Mapping[str, object], word: str) -> bool:
    names = record.get("is")
    if isinstance(names, str):
        names = (names,)
    if isinstance(names, Collection) and any(str(name).casefold() == word for name in names):
        return True
    return _lookup(record, word) is True or str(record.get("state", "")).casefold() == word


def _compare(value: object, operator: str, bound: float | datetime) -> bool:
    if isinstance(bound, datetime):
        moment = _as_moment(value)
        return moment is not None and _ordered(moment.timestamp(), operator, bound.timestamp())
    number = _as_number(value)
    return number is not None and _ordered(number, operator, bound)


def _ordered(left: float, operator: str, right: float) -> bool:
    match operator:
        case ">":
            return left > right
        case ">=":
            return left >= right
        case "<":
            return left < right
        case _:
            return left <= right


def _as_number(value: object) -> float | None:
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value.strip())
        return float(number[1]) * _SCALE[number[2] or ""] if number else None
    return float(value) if isinstance(value, int | float) else None


def _as_moment(value: object) -> datetime | None:
    """A UTC time out of a time, a day (its first instant) or ISO text; text without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.combine(value, time.min, tzinfo=UTC) if isinstance(value, date) else None


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Collection) and not isinstance(value, Mapping | bytes):
        return " ".join(map(str, value))
    return str(value)
