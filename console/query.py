"""The one filter grammar of the console: tables, logs and the heatmap all read what the user types after `/` with it.

Pure text in, yes or no out: no Textual, so that the headless verbs take the same words (`tickdeck logs --filter ...`).

    retry timeout          both words, anywhere, in any order
    "gave up"              the phrase
    -timeout               without the word; `-` negates every form
    /part \\d+$/            a regular expression
    vm:europe              the field holds the text (a number: equals it)
    vm:"shard 7"  vm:/7$/  the same with a phrase or an expression
    rate>10MB  age>=1h30m  compare: sizes (10M, 10MB, 10MiB, 10MB/s), times (90s, 5m, 1h30m, 2d), money ($5), percent, and
                           moments (day<2024-05-01)
    is:stuck               a named condition of the row

Nothing is case-sensitive. All terms must hold. A view that names its fields (`Vocabulary`) has mistyped ones refused, with the
nearest name.

Expressions are RE2's, as Cloud Logging's and those of `tickdeck logs --grep`: it takes time in proportion to the text. Python's own
engine takes a second for `/(a+)+$/` on 25 letters and twice that for each one more, so one slip of the finger would freeze the screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as declared
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol

_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)(:|>=|<=|>|<)")
_NUMBER = re.compile(r"([+-]?)\$?(\d+(?:\.\d+)?) ?([A-Za-z%]*)(/s)?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms]){2,}")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SCALE: Final = {"": 1.0, "%": 1.0, "b": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "ms": 1e-3, **_SECONDS}
_BYTES: Final = {
    **{f"{letter}b": 1000.0**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024.0**power for power, letter in enumerate("kmgt", 1)},
}
"""Sizes may be written in any case; alone, `m` is minutes and `M` is millions."""
_LONGEST_EXPRESSION: Final = 200
_WHAT: Final = {'"': "the phrase", "/": "the expression"}


class QueryError(ValueError):
    """What was typed is no filter (yet)."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"{problem} (at {position + 1})")
        self.problem = problem
        self.position = position
        """Offset into the text where the trouble starts, from 0."""


class Match(Protocol):
    """Where an expression was found."""

    def span(self) -> tuple[int, int]:
        """Begin and end in the text."""
        ...


class Expression:
    """A compiled expression, or a literal; without regard to case.

    Raises:
        QueryError: if RE2 does not take it, with the place in `pattern`.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        re2 = _re2()
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        try:
            self._compiled: Any = re2.compile(pattern, options)
        except UnicodeEncodeError as error:
            raise QueryError("no regular expression: half a character", error.start) from error
        except re2.error as error:
            why = error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else str(error)
            culprit = why.partition(": ")[2]
            at = max(0, pattern.rfind(culprit)) if culprit else 0
            raise QueryError(f"no regular expression: {why}", at) from error

    @classmethod
    def of_words(cls, text: str) -> Expression:
        """One that finds exactly these characters."""
        return cls(_re2().escape(_whole(text)))

    def __repr__(self) -> str:
        return f"Expression({self.pattern!r})"

    def search(self, text: str) -> Match | None:
        """The first place, or None."""
        found: Match | None = self._compiled.search(_whole(text))
        return found

    def finditer(self, text: str) -> Iterator[Match]:
        """All places, from left to right."""
        return iter(self._compiled.finditer(_whole(text)))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may be named in the filter of one view."""

    fields: tuple[str, ...] = ()
    """In the order they are offered."""
    conditions: tuple[str, ...] = ()
    """Behind `is:`."""
    values: Mapping[str, Sequence[str]] = declared(default_factory=dict, hash=False)
    """Values that are worth offering, by field."""
    is_open: bool = False
    """Whether rows may have other fields and conditions too, as log lines do; then nothing is refused."""

    def check(self, term: Term, position: int, value_position: int) -> None:
        """Refuse a term that nothing here can answer.

        Raises:
            QueryError: with the nearest name.
        """
        if self.is_open:
            return
        if term.kind is Kind.IS:
            if self.conditions and term.value.casefold() not in self.conditions and term.value.casefold() not in self.fields:
                raise QueryError(f"nothing here is {term.value!r}{_nearest(term.value, self.conditions)}", value_position)
        elif term.field and self.fields and term.field.casefold().partition(".")[0] not in self.fields:
            raise QueryError(f"there is no field {term.field!r}{_nearest(term.field, self.fields)}", position)


ANYTHING: Final = Vocabulary(is_open=True)
"""Any name may be meant."""


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
    expression: Expression | None = declared(default=None, compare=False, repr=False)
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
        if number is not None and (wanted := read_number(self.value)) is not None:
            return math.isclose(number, wanted)
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

    def highlights(self) -> tuple[Expression, ...]:
        """Expressions for the parts of a text that make it match; empty if only fields decide."""
        return tuple(
            term.expression or _words(term.value) for term in self.terms if not term.negated and not term.field and term.kind is not Kind.IS
        )


EVERYTHING: Final = Query()
"""The filter that hides nothing."""


def parse(text: str, vocabulary: Vocabulary = ANYTHING) -> Query:
    """Read a filter.

    Args:
        vocabulary: What may be named where the filter is used.

    Raises:
        QueryError: with the position, if a quote or an expression is open, an expression is wrong, a value is missing, or a field or
            condition is not in the vocabulary. Nothing else is ever raised, whatever the text.
    """
    terms = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        start = position
        term, position = _term(text, start)
        named = start + term.negated
        vocabulary.check(term, named, named + len("is:"))
        terms.append(term)
    return Query(tuple(terms))


def complete(text: str, vocabulary: Vocabulary) -> str | None:
    """The text with its last term completed: `zo` to `zone:`, `is:st` to `is:stuck`, `state:r` to `state:running`; None: nothing to offer.

    What is offered begins with what was typed, so that it can stand behind the cursor.
    """
    last = re.search(r"(?:^|\s)-?([^\s]*)$", text)
    if last is None or not last[1]:
        return None
    word = last[1]
    name, colon, begun = word.partition(":")
    if not colon:
        offers: Sequence[str] = [*(f"{each}:" for each in vocabulary.fields), "is:"] if vocabulary.fields else ()
        return _offer(text, word, offers)
    if name.casefold() == "is":
        return _offer(text, begun, vocabulary.conditions)
    return _offer(text, begun, [each for each in vocabulary.values.get(name.casefold(), ()) if not re.search(r"[\s\"]", each)])


def _offer(text: str, begun: str, offers: Sequence[str]) -> str | None:
    found = next((each for each in offers if begun and each.casefold().startswith(begun.casefold()) and len(each) > len(begun)), None)
    return None if found is None else text + found[len(begun) :]


def words_of(record: Mapping[str, object]) -> str:
    """What the words of a filter are looked for in: every value of the row."""
    return " ".join(str(value) for name, value in record.items() if name != "is" and value not in (None, ""))


def read_number(text: str) -> float | None:
    """`10M`, `10MB`, `10 MiB`, `10MB/s`, `5m`, `1h30m`, `$5`, `41 %` as a number in its basic unit; None if it is none."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        return sum(float(part) * _SECONDS[unit] for part, unit in _DURATION_PART.findall(text))
    number = _NUMBER.fullmatch(text)
    if number is None:
        return None
    scale = _SCALE.get(number[3], _BYTES.get(number[3].casefold(), 1.0 if number[3] == "B" else None))
    return None if scale is None else float(f"{number[1]}{number[2]}") * scale


@lru_cache(maxsize=256)
def _words(text: str) -> Expression:
    return Expression.of_words(text)


def _re2() -> Any:
    """Loaded by the first expression: most filters are words."""
    import re2

    return re2


def _whole(text: str) -> str:
    """Without halves of characters, which RE2's UTF-8 cannot hold; each leaves one character, so places stay right."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known[:8])}"


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


def _compile(pattern: str, position: int) -> Expression:
    if len(pattern) > _LONGEST_EXPRESSION:
        raise QueryError(f"the expression is longer than {_LONGEST_EXPRESSION} characters", position)
    try:
        return Expression(pattern)
    except QueryError as error:
        # One more for the slash before the expression.
        raise QueryError(error.problem, position + 1 + error.position) from error


def _bound(value: str, position: int) -> float | datetime:
    number = read_number(value)
    if number is not None:
        return number
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
        return read_number(value)
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
