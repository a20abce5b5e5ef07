"""A request as text in fields, and back: what the Plan screen edits, checked as it is typed. No Textual and no bucket.

Each error belongs to one field and names the nearest right word. What only the catalogue knows (whether a symbol is listed) the
planner says; `field_of_error` finds the field that such an error belongs to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from msgspec import structs

from console.field_names import (
    AGAIN,
    AGAIN_WORDS,
    CHOICES,
    CLOCK,
    DAILY_BYTES,
    DATA_TYPES_FIELD,
    DEADLINE,
    END,
    KINDS,
    MACHINE,
    MAX_COST,
    MAX_FAILURES,
    MODELS,
    PRICING,
    RETRY,
    SHARDS,
    SPOT,
    START,
    STRATEGY,
    SYMBOLS,
    TIMEFRAMES_FIELD,
    UNIVERSE,
    VENUES,
    Known,
    split_words,
)
from console.sentences import shortest_number
from engine.candles.timeframes import require_timeframes
from engine.clock import format_moment, parse_bytes, parse_day, parse_deadline
from engine.datatypes import DATA_TYPES, require_data_type
from engine.errors import UsageError, one_line
from engine.failure_budget import parse_budget
from engine.instruments.keys import resolve_kinds
from engine.model import require_symbol, require_venue
from engine.plan import CANDLES, Request, with_mode
from engine.spelling import nearest
from engine.universe import load_universe
from engine.verbs.options import require_outcome

BASIC_FIELDS: Final = (VENUES, DATA_TYPES_FIELD, START, END, SYMBOLS, UNIVERSE, STRATEGY, SHARDS, DEADLINE)
CANDLE_FIELDS: Final = (TIMEFRAMES_FIELD, CLOCK)
"""Fields that mean something where candles are made."""
MORE_FIELDS: Final = (MACHINE, PRICING, MAX_COST, DAILY_BYTES, MAX_FAILURES, KINDS, AGAIN, RETRY, *CANDLE_FIELDS)
"""Fields that most requests leave as they are."""
FIELDS: Final = (*BASIC_FIELDS, *MORE_FIELDS)

_PRODUCT: Final = (VENUES, DATA_TYPES_FIELD, START, END)
"""Fields that say which cells are asked for: who changes one means all of its product, no longer the cells marked before."""

_MACHINE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")

_TITLES: Final = {
    DATA_TYPES_FIELD: "Data types",
    START: "From",
    END: "To",
    MACHINE: "Machine",
    PRICING: "Pricing",
    MAX_COST: "Cost cap",
    DAILY_BYTES: "Day cap",
    MAX_FAILURES: "Fail cap",
    AGAIN: "Again",
    KINDS: "Kinds",
    RETRY: "Retry",
    TIMEFRAMES_FIELD: "Bars",
    CLOCK: "Cut by",
}


_MORE_WORDS: Final = {
    MACHINE: "{}",
    PRICING: "{}",
    MAX_COST: "at most ${}",
    DAILY_BYTES: "{} a day",
    MAX_FAILURES: "stops above {} bad",
    AGAIN: "again {}",
    KINDS: "only {}",
    RETRY: "retry {}",
    TIMEFRAMES_FIELD: "bars {}",
    CLOCK: "cut by {} time",
}


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
    return _TITLES.get(name, name.capitalize())


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
        MACHINE: request.machine_type,
        PRICING: next((word for word, model in MODELS.items() if model == request.provisioning_model), SPOT),
        MAX_COST: shortest_number(request.max_cost) if request.max_cost else "",
        DAILY_BYTES: _exact_size(request.daily_bytes),
        MAX_FAILURES: request.max_failures,
        AGAIN: ", ".join(word for word, name in AGAIN_WORDS.items() if getattr(request, name)),
        KINDS: ", ".join(request.instrument_types),
        RETRY: ", ".join(request.retry_outcomes),
        TIMEFRAMES_FIELD: ", ".join(request.timeframes),
        CLOCK: request.bucket_by,
    }


def parse_fields(texts: Mapping[str, str], *, base: Request, now: datetime, known: Known) -> Parsed:
    """Read all fields.

    Args:
        texts: By field; what is missing counts as empty.
        base: Where the cells come from, if it is for cells and none of what names them was changed.
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
    read(STRATEGY, lambda text: _choice(STRATEGY, text))
    read(SHARDS, _shards)
    read(DEADLINE, lambda text: _deadline(text, now))
    read(MACHINE, lambda text: _machine(text, known))
    read(PRICING, lambda text: MODELS[_choice(PRICING, text)])
    read(MAX_COST, _dollars)
    read(DAILY_BYTES, lambda text: parse_bytes(text) if text else 0)
    read(MAX_FAILURES, _budget)
    read(KINDS, _kinds)
    read(RETRY, lambda text: tuple(require_outcome(word) for word in split_words(text)))
    makes_candles = values.get(DATA_TYPES_FIELD) == (CANDLES,)
    read(AGAIN, lambda text: _again(text, makes_candles=makes_candles))
    read(TIMEFRAMES_FIELD, lambda text: require_timeframes(split_words(text)) if text and makes_candles else ())
    read(CLOCK, lambda text: _choice(CLOCK, text) if makes_candles else CHOICES[CLOCK][0])
    start, end = values.get(START), values.get(END)
    if start and end and end < start:
        errors[END] = f"is before the first day -> did you mean {end}..{start}?"
    if values.get(SHARDS) and values.get(DEADLINE):
        errors[DEADLINE] = "excludes a number of shards -> give the one you know"
    again = values.pop(AGAIN, ())
    if values.get(RETRY) and AGAIN_WORDS["empty"] in again:
        errors[RETRY] = f"excludes {title(AGAIN)}: empty -> name empty here, among the others"
    if errors:
        return Parsed(None, {name: errors[name] for name in FIELDS if name in errors})
    values |= {name: name in again for name in AGAIN_WORDS.values()}
    if any(values[name] != getattr(base, name) for name in _PRODUCT):
        values["cells"] = ()
    return Parsed(with_mode(structs.replace(base, **values, mode="download")))


def more_words(texts: Mapping[str, str]) -> list[str]:
    """What the fields beyond the basic ones hold, as far as it is not what they hold anyhow: what their closed group says."""
    found = []
    for name in MORE_FIELDS:
        text = texts.get(name, "").strip()
        if text and text != CHOICES.get(name, ("",))[0]:
            found.append(_MORE_WORDS[name].format(text.removeprefix("$")))
    return found


def field_of_error(text: str) -> str:
    """The field that a planner's error is about; empty if none."""
    for word, name in (
        ("machine type", MACHINE),
        ("instrument type", KINDS),
        ("only some of them", RETRY),
        ("a file that is ok", RETRY),
        ("failure budget", MAX_FAILURES),
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


def _choice(name: str, text: str) -> str:
    words = CHOICES[name]
    if text not in words:
        raise UsageError(f"there is no {title(name).lower()} {text!r}", hint=nearest(text, words, what="words"))
    return text


def _machine(text: str, known: Known) -> str:
    if text and not _MACHINE.fullmatch(text):
        raise UsageError(f"{text!r} is no machine type", hint=nearest(text, known.words(MACHINE), what="machine types"))
    return text


def _dollars(text: str) -> float:
    try:
        dollars = float(text.removeprefix("$").replace(",", "") or 0)
    except ValueError:
        dollars = math.nan
    if not 0 <= dollars < math.inf:
        raise UsageError(f"{text!r} is no amount", hint="US dollars: 12.50; empty: the profile's limit")
    return dollars


def _budget(text: str) -> str:
    parse_budget(text)
    return text


def _kinds(text: str) -> tuple[str, ...]:
    words = split_words(text)
    resolve_kinds(words)
    return words


def _again(text: str, *, makes_candles: bool) -> tuple[str, ...]:
    words = split_words(text)
    if wrong := _first_unknown(words, AGAIN_WORDS):
        raise UsageError(f"{wrong!r} cannot be asked for again", hint=nearest(wrong, AGAIN_WORDS, what="words"))
    if "stale" in words and not makes_candles:
        raise UsageError("only candles are stale", hint=f"leave it out, or make {title(DATA_TYPES_FIELD)} {CANDLES}")
    return tuple(AGAIN_WORDS[word] for word in words)


def _exact_size(count: int) -> str:
    """The shortest text that reads as this very size; empty for none."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if count and count % 10**power == 0:
            return f"{count // 10**power}{unit}"
    return str(count) if count else ""


def _shards(text: str) -> int:
    if text and not text.isdecimal():
        raise UsageError(f"{text!r} is no number", hint="empty lets the profile or the deadline decide")
    return int(text or 0)


def _deadline(text: str, now: datetime) -> datetime | None:
    return parse_deadline(text, now=now) if text else None


def _first_unknown(words: Sequence[str], known: Collection[str]) -> str:
    return next((word for word in words if word not in known), "")
