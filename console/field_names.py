"""What may be typed into the fields of a request: the names that are known, and the completion of a half-typed one. No Textual."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from console.sentences import money
from console.symbol_index import SymbolIndex
from engine.candles.timeframes import CLOCKS, TIMEFRAMES
from engine.datatypes import DATA_TYPES
from engine.instruments.keys import KINDS as INSTRUMENT_KINDS
from engine.model import Outcome
from engine.plan import STRATEGIES
from engine.universe import list_universes

if TYPE_CHECKING:
    from provision.prices import MachinePrice

VENUES, DATA_TYPES_FIELD, START, END = "venues", "data_types", "start", "end"
SYMBOLS, UNIVERSE, STRATEGY, SHARDS, DEADLINE = "symbols", "universe", "strategy", "shards", "deadline"
MACHINE, PRICING, MAX_COST, DAILY_BYTES = "machine_type", "provisioning_model", "max_cost", "daily_bytes"
MAX_FAILURES, AGAIN, KINDS, RETRY = "max_failures", "again", "instrument_types", "retry_outcomes"
TIMEFRAMES_FIELD, CLOCK = "timeframes", "bucket_by"

LISTS: Final = frozenset({VENUES, DATA_TYPES_FIELD, SYMBOLS, AGAIN, KINDS, RETRY, TIMEFRAMES_FIELD})
"""Fields of several words, with commas or blanks between them."""

SPOT, ON_DEMAND = "spot", "on-demand"
MODELS: Final = {SPOT: "SPOT", ON_DEMAND: "STANDARD"}
"""Words for the two ways of paying for a VM -> what the service calls them."""

AGAIN_WORDS: Final = {"empty": "refetch", "adopted": "refetch_adopted", "stale": "rebuild"}
"""Words for what is done once more although it is there -> the request's own names."""

RETRIED: Final = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.OK)

CHOICES: Final[dict[str, tuple[str, ...]]] = {STRATEGY: STRATEGIES, PRICING: tuple(MODELS), CLOCK: CLOCKS}
"""Fields of one word out of a few."""

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
    machines: tuple[MachinePrice, ...] = ()
    """Machine types that have a price, the profile's own first."""
    own_machine: str = ""
    """What an empty field means: the profile's machine type."""
    own_cap: float = 0.0
    """The same of the cost cap, US dollars; 0: none."""

    def words(self, name: str) -> tuple[str, ...]:
        """What may stand in a field; empty if anything may."""
        match name:
            case "venues":
                return self.venues
            case "data_types":
                return tuple(DATA_TYPES)
            case "universe":
                return list_universes(self.universes)
            case "start" | "end":
                return ("yesterday", "today")
            case "machine_type":
                return tuple(each.name for each in self.machines)
            case "retry_outcomes":
                return RETRIED
            case "instrument_types":
                return INSTRUMENT_KINDS
            case "again":
                return tuple(AGAIN_WORDS)
            case "timeframes":
                return TIMEFRAMES
            case _:
                return CHOICES.get(name, ())

    def machine(self, name: str) -> MachinePrice | None:
        """A machine type by its name, empty for the profile's; None if its price is not known."""
        return next((each for each in self.machines if each.name == (name or self.own_machine)), None)


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


def offered(name: str, text: str, known: Known) -> list[str]:
    """The same as people choose by: machine types with the price of an hour, spot and on demand."""
    found = matches(name, text, known)
    if name != MACHINE:
        return found
    return [f"{each.name} {_hourly(each.spot)}/{_hourly(each.on_demand)}" for word in found if (each := known.machine(word)) is not None]


def machine_words(name: str, known: Known) -> str:
    """What is known of a machine type, empty for the profile's: size and prices; empty if nothing is."""
    machine = known.machine(name)
    if machine is None:
        return ""
    size = f"{machine.vcpus} vCPUs, {machine.memory_gb} GB, " if machine.vcpus else ""
    if machine.spot == machine.on_demand == 0:
        return f"{machine.name}: {size}free"
    return f"{machine.name}: {size}{_hourly(machine.spot)} an hour spot, {_hourly(machine.on_demand)} on demand"


def price_remark(name: str, pricing: str, known: Known) -> str:
    """What stands beside the field of the machine type: `$0.20/h, 8 vCPUs, 64 GB`; empty where nothing is known of any price."""
    if not known.machines:
        return ""
    machine = known.machine(name)
    price = None if machine is None else machine.spot if pricing == SPOT else machine.on_demand
    if machine is None or price is None:
        return "! no price"
    size = [f"{machine.vcpus} vCPUs, {machine.memory_gb} GB"] if machine.vcpus else []
    return ", ".join([f"{_hourly(price)}{'/h' if price else ''}", *size])


def _hourly(price: float | None) -> str:
    return "?" if price is None else money(price)


def _last_word(name: str, text: str) -> tuple[str, str]:
    if name not in LISTS:
        return "", text
    match = re.search(r"[^,\s]*$", text)
    start = match.start() if match else len(text)
    return text[:start], text[start:]
