"""What a dataset symbol stands for: the instrument key, one spelling for all venues, and how each venue's symbols are read.

A key is `VENUE:TYPE:BASE-QUOTE[-YYMMDD[-STRIKE-CALL|PUT]]`, e.g. `BINANCE:SPOT_PAIR:BTC-USDT` or
`DERIBIT:OPTION:BTC-USD-241225-50000-CALL`; the first word is the venue's id in upper case. Datasets are named by the exchange's own
symbols, which every exchange spells its own way, so each venue has its forms here, as data. A symbol that fits none of them has
no key: a wrong key would put one instrument's rows under another's name, a missing one is seen and counted.
"""

from __future__ import annotations

import re
from calendar import FRIDAY, monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from engine.catalogue import Listing
from engine.datatypes import GROUPED_SYMBOLS
from engine.errors import UsageError
from engine.spelling import nearest


class InstrumentType(StrEnum):
    """The second word of a key."""

    SPOT_PAIR = "SPOT_PAIR"
    PERPETUAL = "PERPETUAL"
    FUTURE = "FUTURE"
    OPTION = "OPTION"
    COMBO = "COMBO"
    """Several legs that trade as one; the key ends in the venue's own words for them."""


class OptionType(StrEnum):
    """The last word of an option's key."""

    CALL = "CALL"
    PUT = "PUT"


TYPE_OF_KIND = {
    "spot": InstrumentType.SPOT_PAIR,
    "perpetual": InstrumentType.PERPETUAL,
    "future": InstrumentType.FUTURE,
    "option": InstrumentType.OPTION,
    "combo": InstrumentType.COMBO,
}
"""What the source calls a kind, and the word a key has for it."""

KINDS = (*TYPE_OF_KIND, "prediction")
"""Every kind of symbol that the source lists (Tardis docs, "Instruments Metadata API"); prediction markets have no key."""

EXPIRY_TIME = time(8, tzinfo=UTC)
"""When futures and options of Deribit, Binance, Bybit and OKX expire on their last day (each venue's contract specification)."""

_RIGHTS = {"C": OptionType.CALL, "P": OptionType.PUT}
_COIN = r"[^\W_]+"
_VENUE = r"[A-Z0-9](?:[A-Z0-9-]{0,61}[A-Z0-9])?"
_STRIKE = r"(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?"
_LEGS = r"[A-Z0-9._]+(?:-[A-Z0-9._]+)*"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_QUARTERS = {"H": 3, "M": 6, "U": 9, "Z": 12}
"""Month codes of futures; of those Bybit lists the quarters only."""

_KEY = re.compile(
    rf"(?P<venue>{_VENUE}):(?P<type>[A-Z_]+):(?P<base>{_COIN})-(?P<quote>{_COIN})"
    rf"(?:-(?P<rest>{_LEGS}))?"
)
_REST = {
    InstrumentType.SPOT_PAIR: re.compile(""),
    InstrumentType.PERPETUAL: re.compile(""),
    InstrumentType.FUTURE: re.compile(r"(?P<expiry>[0-9]{6})"),
    InstrumentType.OPTION: re.compile(rf"(?P<expiry>[0-9]{{6}})-(?P<strike>{_STRIKE})-(?P<right>CALL|PUT)"),
    InstrumentType.COMBO: re.compile(rf"(?P<legs>{_LEGS})"),
}


@dataclass(frozen=True, slots=True)
class InstrumentKey:
    """An instrument by the same spelling everywhere: `str(key)` is the text, `parse_key` its inverse."""

    venue: str
    """The venue's id in upper case, e.g. "BINANCE-FUTURES"."""
    type: InstrumentType
    base: str
    quote: str
    expiry: date | None = None
    """Of a future or an option; 2000 to 2099."""
    strike: str = ""
    """Of an option: a decimal without needless zeros, e.g. "50000" or "0.625"."""
    option_type: OptionType | None = None
    legs: str = ""
    """Of a combo: the venue's own words for its strategy and legs, e.g. "FS-28MAR25_PERP"."""

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(str(self)) or not _REST[self.type].fullmatch(self._rest) or not self._is_plain():
            raise UsageError(f"{str(self)!r} is not an instrument key", hint=_HINT)

    def __str__(self) -> str:
        rest = self._rest
        return f"{self.venue}:{self.type}:{self.base}-{self.quote}{'-' if rest else ''}{rest}"

    @property
    def _rest(self) -> str:
        words = (f"{self.expiry:%y%m%d}" if self.expiry else "", self.strike, self.option_type or "", self.legs)
        return "-".join(filter(None, words))

    def _is_plain(self) -> bool:
        """Whether nothing is in a place where the text could not give it back."""
        in_century = self.expiry is None or 2000 <= self.expiry.year <= 2099
        dated = self.type in (InstrumentType.FUTURE, InstrumentType.OPTION)
        is_option, is_combo = self.type is InstrumentType.OPTION, self.type is InstrumentType.COMBO
        has = (self.expiry is not None, bool(self.strike), self.option_type is not None, bool(self.legs))
        coins = all(word == word.upper() and re.fullmatch(_COIN, word) for word in (self.base, self.quote))
        return in_century and coins and has == (dated, is_option, is_option, is_combo)


_HINT = "keys look like BINANCE:SPOT_PAIR:BTC-USDT or DERIBIT:OPTION:BTC-USD-241225-50000-CALL"


def parse_key(text: str) -> InstrumentKey:
    """Read a key; the inverse of `str(key)`.

    Raises:
        UsageError: naming the text, if it is no key.
    """
    found = _KEY.fullmatch(text)
    if found is None or found["type"] not in _REST:
        raise UsageError(f"{text!r} is not an instrument key", hint=_HINT)
    kind = InstrumentType(found["type"])
    rest = _REST[kind].fullmatch(found["rest"] or "")
    if rest is None:
        raise UsageError(f"{text!r} is not the key of a {kind}", hint=_HINT)
    parts = rest.groupdict()
    try:
        return InstrumentKey(
            venue=found["venue"],
            type=kind,
            base=found["base"],
            quote=found["quote"],
            expiry=_read_compact(parts["expiry"]) if parts.get("expiry") else None,
            strike=parts.get("strike") or "",
            option_type=OptionType(parts["right"]) if parts.get("right") else None,
            legs=parts.get("legs") or "",
        )
    except ValueError as error:
        raise UsageError(f"{text!r} has no such day: {error}", hint=_HINT) from error


def resolve_kinds(words: Iterable[str]) -> frozenset[str]:
    """The source's kinds that a filter names: `spot`, `perpetual`, ..., or the words of keys, `SPOT_PAIR`, in any case.

    Raises:
        UsageError: naming an unknown word, with the nearest known one.
    """
    meanings = {kind: kind for kind in KINDS} | {word.lower(): kind for kind, word in TYPE_OF_KIND.items()}
    found = set()
    for word in words:
        kind = meanings.get(word.strip().lower())
        if kind is None:
            raise UsageError(f"unknown instrument type {word!r}", hint=nearest(word, meanings, what="instrument types"))
        found.add(kind)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a dataset symbol says about its instrument."""

    key: InstrumentKey
    settle: str | None
    """Currency of margin and profit; None for spot."""
    expiry: datetime | None
    """When it expires, UTC."""
    inverse: bool | None
    """Whether it is margined and settled in the base currency; None for spot."""

    @property
    def linear(self) -> bool | None:
        """Whether it is margined and settled in the quote currency or a coin pegged to it; None for spot."""
        return None if self.inverse is None else not self.inverse


class _Settle(StrEnum):
    """In what an instrument is settled."""

    NONE = "none"
    BASE = "base"
    QUOTE = "quote"
    BY_QUOTE = "by quote"
    """Against USD in the base, against a coin in that coin."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way in which a venue spells symbols of a type. The pattern's groups are the parts that the symbol holds.

    A pattern is compiled when it is first asked: all of them together are a tenth of what a process of ours takes to start.
    """

    type: InstrumentType
    pattern: str
    settle: _Settle = _Settle.NONE
    quote: str = ""
    """Where the symbol does not hold it."""
    settle_in: str = ""
    """Where it is neither base nor quote."""


def _fused(quotes: str) -> str:
    """A pair without a separator. The base is as short as possible, so of two quotes that fit the longer wins."""
    return rf"(?P<base>{_COIN}?)(?P<quote>{'|'.join(quotes.split())})"


_SPOT, _PERPETUAL, _FUTURE, _OPTION, _COMBO = InstrumentType
_BASE = rf"(?P<base>{_COIN})"
_QUOTE = rf"(?P<quote>{_COIN})"
_COMPACT = r"(?P<compact>[0-9]{6})"
_WORDED = rf"(?P<worded>[0-9]{{1,2}}(?:{'|'.join(_MONTHS)})[0-9]{{2}})"
_PUT_OR_CALL = r"(?P<right>[CP])"
_DECIMAL = r"(?P<strike>[0-9]+(?:\.[0-9]+)?)"
_DECIMAL_D = r"(?P<strike>[0-9]+(?:[dD][0-9]+)?)"
"""Deribit writes the point of a strike as d; dataset ids are in upper case ("XRP_USDC-30JUN23-0d625-C")."""

_BINANCE_SPOT = (
    "USDT USDC BUSD TUSD FDUSD USDP USDS PAX UST DAI VAI USD1 BTC ETH BNB TRX XRP DOGE DOT SOL EUR EURI GBP AUD TRY BRL RUB NGN UAH "
    "ZAR IDRT BIDR BKRW BVND ARS COP CZK JPY MXN PLN RON"
)
_BYBIT_SPOT = "USDT USDC USDE USDQ USDR USD1 BTC ETH SOL MNT DAI EUR BRZ BRL PLN TRY"

_FORMS: dict[str, tuple[_Form, ...]] = {
    "binance": (
        # Pairs against AEUR exist for these three only; elsewhere the A is the base's last letter, as in ADA and EUR.
        _Form(_SPOT, r"(?P<base>BTC|ETH|EUR)(?P<quote>AEUR)"),
        _Form(_SPOT, _fused(_BINANCE_SPOT)),
    ),
    "binance-futures": (
        _Form(_PERPETUAL, _fused("USDT USDC BUSD USD1 BTC"), _Settle.QUOTE),
        _Form(_FUTURE, rf"{_fused('USDT USDC BUSD')}_{_COMPACT}", _Settle.QUOTE),
    ),
    "binance-delivery": (
        _Form(_PERPETUAL, rf"{_BASE}(?P<quote>USD)_PERP", _Settle.BASE),
        _Form(_FUTURE, rf"{_BASE}(?P<quote>USD)_{_COMPACT}", _Settle.BASE),
    ),
    "binance-european-options": (_Form(_OPTION, rf"{_BASE}-{_COMPACT}-{_DECIMAL}-{_PUT_OR_CALL}", _Settle.QUOTE, quote="USDT"),),
    "deribit": (
        _Form(_SPOT, rf"{_BASE}_{_QUOTE}"),
        _Form(_PERPETUAL, rf"{_BASE}-PERPETUAL", _Settle.BASE, quote="USD"),
        _Form(_PERPETUAL, rf"{_BASE}_{_QUOTE}-PERPETUAL", _Settle.QUOTE),
        _Form(_FUTURE, rf"{_BASE}-{_WORDED}", _Settle.BASE, quote="USD"),
        _Form(_FUTURE, rf"{_BASE}_{_QUOTE}-{_WORDED}", _Settle.QUOTE),
        _Form(_OPTION, rf"{_BASE}-{_WORDED}-{_DECIMAL_D}-{_PUT_OR_CALL}", _Settle.BASE, quote="USD"),
        _Form(_OPTION, rf"{_BASE}_{_QUOTE}-{_WORDED}-{_DECIMAL_D}-{_PUT_OR_CALL}", _Settle.QUOTE),
        _Form(_COMBO, rf"{_BASE}-(?P<legs>[A-Z][A-Z0-9]*-{_LEGS})", _Settle.BASE, quote="USD"),
        _Form(_COMBO, rf"{_BASE}_{_QUOTE}-(?P<legs>[A-Z][A-Z0-9]*-{_LEGS})", _Settle.QUOTE),
    ),
    "bybit": (
        _Form(_PERPETUAL, _fused("USDT"), _Settle.QUOTE),
        _Form(_PERPETUAL, _fused("USD"), _Settle.BASE),
        _Form(_PERPETUAL, rf"{_BASE}PERP", _Settle.QUOTE, quote="USDC"),
        _Form(_FUTURE, rf"{_BASE}(?P<quote>USD)(?P<quarter>[HMUZ][0-9]{{2}})", _Settle.BASE),
        _Form(_FUTURE, rf"{_fused('USDT')}-{_WORDED}", _Settle.QUOTE),
        _Form(_FUTURE, rf"{_BASE}-{_WORDED}", _Settle.QUOTE, quote="USDC"),
    ),
    "bybit-spot": (_Form(_SPOT, _fused(_BYBIT_SPOT)),),
    "bybit-options": (
        _Form(_OPTION, rf"{_BASE}-{_WORDED}-{_DECIMAL}-{_PUT_OR_CALL}", quote="USD", settle_in="USDC"),
        _Form(_OPTION, rf"{_BASE}-{_WORDED}-{_DECIMAL}-{_PUT_OR_CALL}-(?P<quote>USDT)", _Settle.QUOTE),
    ),
    "okex": (_Form(_SPOT, rf"{_BASE}-{_QUOTE}"),),
    "okex-futures": (_Form(_FUTURE, rf"{_BASE}-{_QUOTE}-{_COMPACT}", _Settle.BY_QUOTE),),
    "okex-swap": (_Form(_PERPETUAL, rf"{_BASE}-{_QUOTE}-SWAP", _Settle.BY_QUOTE),),
    "okex-options": (_Form(_OPTION, rf"{_BASE}-{_QUOTE}-{_COMPACT}-{_DECIMAL}-{_PUT_OR_CALL}", _Settle.BY_QUOTE),),
    "coinbase": (_Form(_SPOT, rf"{_BASE}-{_QUOTE}"),),
    "kucoin": (_Form(_SPOT, rf"{_BASE}-{_QUOTE}"),),
}

VENUES_READ = frozenset(_FORMS)
"""Venues whose symbols can be read."""


def parse_symbol(venue: str, listing: Listing) -> Parsed | None:
    """Read a dataset symbol of a venue; None where it fits no form of its kind, and for ids that stand for many symbols.

    The kind of the listing decides which forms are tried: `BTCUSDT` is a pair at one venue and a perpetual at another.
    """
    return parse_symbol_as(venue, listing.kind, listing.symbol)


def parse_symbol_as(venue: str, kind: str, symbol: str) -> Parsed | None:
    """Read a symbol as one of a kind (`KINDS`); None where it fits no form of it."""
    wanted = TYPE_OF_KIND.get(kind)
    if wanted is None or symbol in GROUPED_SYMBOLS:
        return None
    for form in _FORMS.get(venue, ()):
        found = re.fullmatch(form.pattern, symbol) if form.type is wanted else None
        parsed = _read(venue, form, found.groupdict()) if found else None
        if parsed is not None:
            return parsed
    return None


def _read(venue: str, form: _Form, parts: dict[str, str | None]) -> Parsed | None:
    base, quote = parts["base"] or "", parts.get("quote") or form.quote
    try:
        expiry = _expiry_day(parts)
        key = InstrumentKey(
            venue=venue.upper(),
            type=form.type,
            base=base,
            quote=quote,
            expiry=expiry,
            strike=canonical_strike(parts["strike"]) if parts.get("strike") else "",
            option_type=_RIGHTS.get(parts.get("right") or ""),
            legs=parts.get("legs") or "",
        )
    except (ValueError, UsageError):
        return None  # a day that does not exist, or a coin in lower case: it only looks like this form
    inverse = form.settle is _Settle.BASE or (form.settle is _Settle.BY_QUOTE and quote == "USD")
    spot = form.type is InstrumentType.SPOT_PAIR
    return Parsed(
        key=key,
        settle=None if spot else form.settle_in or (base if inverse else quote),
        expiry=None if expiry is None else datetime.combine(expiry, EXPIRY_TIME),
        inverse=None if spot else inverse,
    )


def canonical_strike(text: str | None) -> str:
    """A strike without needless zeros: "0d50", "0D5" and "00.5" are "0.5"."""
    whole, _, fraction = (text or "").upper().replace("D", ".").partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _expiry_day(parts: dict[str, str | None]) -> date | None:
    if compact := parts.get("compact"):
        return _read_compact(compact)
    if worded := parts.get("worded"):
        return date(2000 + int(worded[-2:]), _MONTHS.index(worded[-5:-2]) + 1, int(worded[:-5]))
    if quarter := parts.get("quarter"):
        return last_friday(2000 + int(quarter[1:]), _QUARTERS[quarter[0]])
    return None


def _read_compact(text: str) -> date:
    """YYMMDD of this century."""
    return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))


def last_friday(year: int, month: int) -> date:
    """The last Friday of a month, on which quarterly contracts expire (Bybit, "Inverse Futures contract specification")."""
    last = date(year, month, monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - FRIDAY) % 7)
