"""A request as text in fields, and back: what the Plan screen edits, checked as it is typed. No Textual and no bucket.

Each error belongs to one field and names the nearest right word. What only the catalogue knows (whether a symbol is listed) the
planner says; `field_of_error` finds the field that such an error belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from console.symbol_index import SymbolIndex
from engine.clock import format_moment, parse_day, parse_deadline
from engine.datatypes import DATA_TYPES, require_data_type
from engine.errors import UsageError, one_line
from engine.model import require_symbol, require_venue
from engine.plan import CANDLES, STRATEGIES, Request, with_mode
from engine.spelling import nearest
from engine.universe import list_universes, load_universe

VENUES, DATA_TYPES_FIELD, START, END = "venues", "data_types", "start", "end"
SYMBOLS, UNIVERSE, STRATEGY, SHARDS, DEADLINE = "symbols", "universe", "strategy", "shards", "deadline"
FIELDS: Final = (VENUES, DATA_TYPES_FIELD, START, END, SYMBOLS, UNIVERSE, STRATEGY, SHARDS, DEADLINE)
LISTS: Final = frozenset({VENUES, DATA_TYPES_FIELD, SYMBOLS})
"""Fields of several words, with commas or blanks between them."""

_PRODUCT: Final = (VENUES, DATA_TYPES_FIELD, START, END)
"""Fields that say which cells are asked for: who changes one means all of its product, no longer the cells marked before."""

_WORDS = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Known:
    """Names that may be typed."""

    venues: tuple[str, ...] = ()
    all_venues: bool = False
    """Whether there are no others: the source was asked."""
    symbols: SymbolIndex = field(default_factory=SymbolIndex)
    universes: Path | None = None
    """A folder of the person's own universes."""

    def words(self, name: str) -> tuple[str, ...]:
        """What may stand in a field; empty if anything may."""
        match name:
            case "venues":
                return self.venues
            case "data_types":
                return tuple(DATA_TYPES)
            case "universe":
                return list_universes(self.universes)
            case "strategy":
                return STRATEGIES
            case "start" | "end":
                return ("yesterday", "today")
            case _:
                return ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the fields say."""

    request: Request | None
    """None if any field is wrong."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """By field: what is wrong, and what would be right."""

    @property
    def first_error(self) -> str:
        """One line; empty if all is well."""
        return next((f"{title(name)}: {text}" for name, text in self.errors.items()), "")


def title(name: str) -> str:
    """A field's label."""
    return {DATA_TYPES_FIELD: "Data types", START: "From", END: "To"}.get(name, name.capitalize())


def fields_of(request: Request) -> dict[str, str]:
    """A request as the texts of its fields."""
    return {
        VENUES: ", ".join(request.venues),
        DATA_TYPES_FIELD: ", ".join(request.data_types),
        START: request.start.isoformat(),
        END: request.end.isoformat(),
        SYMBOLS: ", ".join(request.symbols),
        UNIVERSE: request.universe,
        STRATEGY: request.strategy,
        SHARDS: str(request.shards) if request.shards else "",
        DEADLINE: format_moment(request.deadline) if request.deadline else "",
    }


def parse_fields(texts: Mapping[str, str], *, base: Request, now: datetime, known: Known) -> Parsed:
    """Read all fields.

    Args:
        texts: By field; what is missing counts as empty.
        base: Where what no field holds comes from (machine type, provisioning model, ...).
        now: For `yesterday`, `7d` and clock times, UTC.
    """
    errors: dict[str, str] = {}
    values: dict[str, Any] = {}

    def read(name: str, reader: Callable[[str], object]) -> None:
        try:
            values[name] = reader(texts.get(name, "").strip())
        except UsageError as error:
            errors[name] = one_line(error)

    today = now.astimezone(UTC).date()
    read(VENUES, lambda text: _venues(text, known))
    read(DATA_TYPES_FIELD, _data_types)
    read(START, lambda text: _day(text, today))
    read(END, lambda text: _day(text, today) if text else values.get(START))
    read(SYMBOLS, lambda text: _symbols(text, values.get(VENUES, ()), known))
    read(UNIVERSE, lambda text: _universe(text, known))
    read(STRATEGY, _strategy)
    read(SHARDS, _shards)
    read(DEADLINE, lambda text: _deadline(text, now))
    start, end = values.get(START), values.get(END)
    if start and end and end < start:
        errors[END] = f"is before the first day -> did you mean {end}..{start}?"
    if values.get(SHARDS) and values.get(DEADLINE):
        errors[DEADLINE] = "excludes a number of shards -> give the one you know"
    if errors:
        return Parsed(None, {name: errors[name] for name in FIELDS if name in errors})
    if any(values[name] != getattr(base, name) for name in _PRODUCT):
        values["cells"] = ()
    return Parsed(with_mode(structs.replace(base, **values, mode="download")))


def field_of_error(text: str) -> str:
    """The field that a planner's error is about; empty if none."""
    for word, name in (
        ("symbol", SYMBOLS),
        ("universe", UNIVERSE),
        ("data type", DATA_TYPES_FIELD),
        ("deadline", DEADLINE),
        ("a finish within", DEADLINE),
        ("strategy", STRATEGY),
        ("shards", SHARDS),
        ("venue", VENUES),
    ):
        if word in text:
            return name
    return ""


def split_words(text: str) -> tuple[str, ...]:
    """The words of a list field, each once."""
    return tuple(dict.fromkeys(word for word in _WORDS.split(text) if word))


def complete(name: str, text: str, known: Known) -> str | None:
    """`text` with its last word completed to the first known name that begins with it; None if there is none."""
    head, word = _last_word(name, text)
    if not word:
        return None
    return next((head + each for each in matches(name, text, known) if each != word), None)


def matches(name: str, text: str, known: Known) -> list[str]:
    """Known names that the last word may become; those that the field has already are left out."""
    head, word = _last_word(name, text)
    taken = set(split_words(head)) if name in LISTS else set()
    if name == SYMBOLS:
        return [each for each in known.symbols.starting_with(word) if each not in taken]
    folded = word.lower()
    return [each for each in known.words(name) if each.lower().startswith(folded) and each not in taken]


def _last_word(name: str, text: str) -> tuple[str, str]:
    if name not in LISTS:
        return "", text
    match = re.search(r"[^,\s]*$", text)
    start = match.start() if match else len(text)
    return text[:start], text[start:]


def _venues(text: str, known: Known) -> tuple[str, ...]:
    venues = tuple(require_venue(word) for word in split_words(text))
    if not venues:
        raise UsageError("is empty", hint=nearest("", known.venues, what="venues"))
    if known.all_venues and (wrong := _first_unknown(venues, known.venues)):
        raise UsageError(f"there is no venue {wrong!r}", hint=nearest(wrong, known.venues, what="venues"))
    return venues


def _data_types(text: str) -> tuple[str, ...]:
    words = split_words(text)
    if words == (CANDLES,):
        return words
    names = tuple(require_data_type(word).name for word in words)
    if not names:
        raise UsageError("is empty", hint=f"known are {', '.join(DATA_TYPES)}, or candles alone")
    return names


def _day(text: str, today: date) -> date:
    if not text:
        raise UsageError("is empty", hint="YYYY-MM-DD, yesterday or 7d")
    return parse_day(text, today=today)


def _symbols(text: str, venues: Sequence[str], known: Known) -> tuple[str, ...]:
    symbols = tuple(require_symbol(word) for word in split_words(text))
    wrong = next((symbol for symbol in symbols if known.symbols.is_unknown(symbol, venues)), "")
    if wrong:
        raise UsageError(f"symbol {wrong!r} is not listed at {', '.join(venues)}", hint=known.symbols.nearest(wrong))
    return symbols


def _universe(text: str, known: Known) -> str:
    if text:
        load_universe(text, folder=known.universes)
    return text


def _strategy(text: str) -> str:
    if text not in STRATEGIES:
        raise UsageError(f"there is no strategy {text!r}", hint=nearest(text, STRATEGIES, what="strategies"))
    return text


def _shards(text: str) -> int:
    if text and not text.isdecimal():
        raise UsageError(f"{text!r} is no number", hint="empty lets the profile or the deadline decide")
    return int(text or 0)


def _deadline(text: str, now: datetime) -> datetime | None:
    return parse_deadline(text, now=now) if text else None


def _first_unknown(words: Sequence[str], known: Collection[str]) -> str:
    return next((word for word in words if word not in known), "")
