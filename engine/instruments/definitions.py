"""The definitions of a venue's instruments on one UTC day: one row a symbol, out of its name and, where we have it, the vendor's word.

Names are read by `engine.instruments.keys`; the answer of the instruments API adds what no name says: increments, multipliers,
currencies of settlement. That answer holds today's values and what they were before (`changes`), so a day's row is made by going
backwards. Pure: what is asked of the source, and where rows are kept, is `engine.instruments.writing`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from engine.catalogue import Catalogue, Listing
from engine.datatypes import GROUPED_SYMBOLS
from engine.documents import json_decoder
from engine.errors import SourceError, UsageError
from engine.instruments.keys import TYPE_OF_KIND, InstrumentKey, InstrumentType, OptionType, Parsed, parse_symbol
from engine.model import day_start, require_aware

if TYPE_CHECKING:
    import pyarrow as pa

DEFINITIONS_VERSION = 2
"""Goes into every object. Raised when a column, a type or a name changes."""

PARSED, API = "parsed", "api"
"""Where a row's fields come from: the symbol's own name, or that and the instruments API."""

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("instrument_key", "text", "VENUE:TYPE:BASE-QUOTE[-YYMMDD[-STRIKE-CALL|PUT]]; null where the symbol cannot be read"),
    ("venue", "text", "exchange id at the source"),
    ("symbol", "text", "dataset symbol id: names the files"),
    ("raw_id", "text", "the exchange's own id, as raw messages carry it; null where the source does not say"),
    ("kind", "text", "spot, perpetual, future, option, combo or prediction, as the source says"),
    ("grouped", "flag", "whether the id stands for all symbols of a kind in one file"),
    ("base", "text", "what is traded; multipliers stay in the name, as in 1000SHIB"),
    ("quote", "text", "currency of the price"),
    ("settle", "text", "currency of margin and profit; null for spot"),
    ("expiry", "time", "when it expires, UTC"),
    ("strike", "number", "strike price of an option"),
    ("option_type", "text", "CALL or PUT"),
    ("inverse", "flag", "whether it is settled in the base currency; null for spot"),
    ("contract_type", "text", "the source's word, e.g. linear_perpetual; api only"),
    ("contract_multiplier", "number", "amount of one contract; api only"),
    ("price_increment", "number", "tick size; api only"),
    ("amount_increment", "number", "lot size; api only"),
    ("min_trade_amount", "number", "smallest order; api only"),
    ("available_since", "time", "first moment in the source's data, UTC"),
    ("available_until", "time", "end of it, exclusive; null while it trades"),
    ("data_types", "texts", "dataset types that the symbol has"),
    ("source", "text", "parsed: read from the symbol; api: the instruments API too; null: neither"),
)
"""Name, type and meaning of each column, in order."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One row; the fields are the columns."""

    instrument_key: str | None
    venue: str
    symbol: str
    raw_id: str | None
    kind: str
    grouped: bool
    base: str | None
    quote: str | None
    settle: str | None
    expiry: datetime | None
    strike: float | None
    option_type: str | None
    inverse: bool | None
    contract_type: str | None
    contract_multiplier: float | None
    price_increment: float | None
    amount_increment: float | None
    min_trade_amount: float | None
    available_since: datetime
    available_until: datetime | None
    data_types: tuple[str, ...]
    source: str | None


class Instrument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the instruments API says of one instrument, at one time. Numbers come as numbers or as text."""

    id: str
    dataset_id: str | None = None
    type: str = ""
    base_currency: str | None = None
    quote_currency: str | None = None
    settlement_currency: str | None = None
    contract_type: str | None = None
    available_since: str | None = None
    available_to: str | None = None
    expiry: str | None = None
    strike_price: float | str | None = None
    option_type: str | None = None
    inverse: bool | None = None
    contract_multiplier: float | str | None = None
    price_increment: float | str | None = None
    amount_increment: float | str | None = None
    min_trade_amount: float | str | None = None
    changes: tuple[dict[str, Any], ...] | None = None

    @property
    def symbol(self) -> str:
        """The dataset id; where it is left out, the exchange's id by the rule for datasets."""
        return self.dataset_id or dataset_symbol(self.id)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it existed at some time in [start, end).

        Raises:
            UsageError: if one has no zone.
        """
        start, end = require_aware(start), require_aware(end)
        since, until = _time(self.available_since), _time(self.available_to)
        return (since is None or since < end) and (until is None or until > start)


_NUMBERS = ("strikePrice", "contractMultiplier", "priceIncrement", "amountIncrement", "minTradeAmount")
_CHANGEABLE = {field.encode_name: field.name for field in msgspec.structs.fields(Instrument)}
for _fixed in ("id", "datasetId", "type", "availableSince", "availableTo", "changes"):
    del _CHANGEABLE[_fixed]


def dataset_symbol(native: str) -> str:
    """The dataset id of an exchange's own id: upper case, `/` and `:` become `-` (Tardis docs, "Downloadable CSV files")."""
    return native.replace("/", "-").replace(":", "-").upper()


def parse_instruments(venue: str, body: bytes) -> tuple[Instrument, ...]:
    """Read the answer of `GET /v1/instruments/{venue}`.

    Raises:
        SourceError: naming the venue and the field that cannot be read.
    """
    try:
        found = json_decoder(tuple[Instrument, ...]).decode(body)
        for instrument in found:
            _check(instrument)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"the source's definitions of {venue}'s instruments cannot be read: {type(error).__name__} {error}",
            hint="run with --no-api to do without them",
        ) from error
    return found


def _check(instrument: Instrument) -> None:
    """Read every time and number once, so that a bad one is told where its venue is known."""
    for text in (instrument.available_since, instrument.available_to, instrument.expiry):
        _time(text)
    for values in (msgspec.to_builtins(instrument), *(instrument.changes or ())):
        for name in _NUMBERS:
            _number(values.get(name))
    for change in instrument.changes or ():
        _require_time(change["until"])


def at_moment(instrument: Instrument, moment: datetime) -> Instrument:
    """The instrument with the values that were valid at `moment`, whatever the order of its changes.

    `changes[].until` says that the old value in it was valid until then, exclusive. So of the changes of a field the earliest that
    ends after `moment` holds its value; without one the current value does (Tardis docs, "Instruments Metadata API").

    Raises:
        UsageError: if `moment` has no zone.
    """
    moment = require_aware(moment)
    later = [change for change in instrument.changes or () if _require_time(change["until"]) > moment]
    if not later:
        return instrument
    values: dict[str, Any] = {}
    for change in sorted(later, key=lambda each: _require_time(each["until"]), reverse=True):
        values |= {name: change[encoded] for encoded, name in _CHANGEABLE.items() if encoded in change}
    return msgspec.structs.replace(instrument, **values)


class Definer:
    """Makes the definitions of one venue, day by day. Reads each symbol once: a venue may list 300,000 options over the years."""

    def __init__(
        self, catalogue: Catalogue, instruments: Iterable[Instrument] | None = None, natives: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            catalogue: what the venue lists.
            instruments: what the instruments API says; None without it.
            natives: the exchange's own ids by dataset symbol, see `native_ids`.
        """
        self.catalogue = catalogue
        self.enriched = instruments is not None
        self._natives = natives or {}
        self._parsed: dict[tuple[str, str], Parsed | None] = {}
        self._instruments: dict[str, list[Instrument]] = {}
        for instrument in instruments or ():
            self._instruments.setdefault(instrument.symbol, []).append(instrument)

    def define(self, day: date) -> tuple[Definition, ...]:
        """A row for each symbol that was listed for any part of a UTC day, sorted by symbol.

        What changes over time has the value of the START of the day, or of the listing where that came later in the day: one row
        cannot say two things, and a day begins with its first.
        """
        start = day_start(day)
        end = start + timedelta(days=1)
        rows = [
            self._row(listing, start, end)
            for listing in self.catalogue.listings
            if listing.since < end and (listing.until is None or listing.until > start)
        ]
        rows.sort(key=lambda row: (row.symbol, row.available_since, row.kind))
        return _without_shared_keys(rows)

    def _row(self, listing: Listing, start: datetime, end: datetime) -> Definition:
        parsed = self._parse(listing)
        instrument = self._instrument(listing, start, end)
        row = _parsed_row(self.catalogue.venue, listing, parsed, self._natives.get(listing.symbol))
        return row if instrument is None else _enriched_row(row, at_moment(instrument, max(start, listing.since)))

    def _parse(self, listing: Listing) -> Parsed | None:
        known = (listing.symbol, listing.kind)
        if known not in self._parsed:
            self._parsed[known] = parse_symbol(self.catalogue.venue, listing)
        return self._parsed[known]

    def _instrument(self, listing: Listing, start: datetime, end: datetime) -> Instrument | None:
        """The API's instrument of that time: an id that was listed again after years is another instrument."""
        begin = max(start, listing.since)
        finish = end if listing.until is None else min(end, listing.until)
        candidates = (each for each in self._instruments.get(listing.symbol, ()) if each.overlaps(begin, finish))
        return min(candidates, key=lambda each: each.available_since or "", default=None)


def native_ids(body: bytes) -> dict[str, str]:
    """The exchange's own ids by dataset symbol, out of the answer of `GET /v1/exchanges/{venue}`; ambiguous ones are left out."""
    found: dict[str, set[str]] = {}
    for item in msgspec.json.decode(body).get("availableSymbols") or ():
        found.setdefault(dataset_symbol(item["id"]), set()).add(item["id"])
    return {symbol: ids.pop() for symbol, ids in found.items() if len(ids) == 1}


def _parsed_row(venue: str, listing: Listing, parsed: Parsed | None, raw_id: str | None) -> Definition:
    key = parsed.key if parsed else None
    return Definition(
        instrument_key=str(key) if key else None,
        venue=venue,
        symbol=listing.symbol,
        raw_id=raw_id,
        kind=listing.kind,
        grouped=listing.symbol in GROUPED_SYMBOLS,
        base=key.base if key else None,
        quote=key.quote if key else None,
        settle=parsed.settle if parsed else None,
        expiry=parsed.expiry if parsed else None,
        strike=float(key.strike) if key and key.strike else None,
        option_type=key.option_type.value if key and key.option_type else None,
        inverse=parsed.inverse if parsed else None,
        contract_type=None,
        contract_multiplier=None,
        price_increment=None,
        amount_increment=None,
        min_trade_amount=None,
        available_since=listing.since,
        available_until=listing.until,
        data_types=tuple(sorted(listing.data_types)),
        source=PARSED if parsed else None,
    )


def _enriched_row(row: Definition, said: Instrument) -> Definition:
    """The row with what the API adds.

    Its base and quote count where the name gave none, or where the same letters are cut at another place (`ABCDEF` as ABC and DEF):
    a pair without a separator can be misread. Elsewhere the name's stay: the API counts an option's price in the currency of the
    premium.
    """
    settle = said.settlement_currency or row.settle
    row = replace(
        row,
        raw_id=said.id,
        settle=None if row.kind == "spot" else settle,
        expiry=_time(said.expiry) or row.expiry,
        strike=_number(said.strike_price) if row.strike is None else row.strike,
        option_type=row.option_type or _option_type(said),
        inverse=said.inverse if said.inverse is not None and row.kind != "spot" else row.inverse,
        contract_type=said.contract_type,
        contract_multiplier=_number(said.contract_multiplier),
        price_increment=_number(said.price_increment),
        amount_increment=_number(said.amount_increment),
        min_trade_amount=_number(said.min_trade_amount),
        source=API,
    )
    base, quote = said.base_currency, said.quote_currency
    if not base or not quote or (row.base and (row.base == base or f"{row.base}{row.quote}" != f"{base}{quote}")):
        return row
    row = replace(row, base=base, quote=quote)
    return replace(row, instrument_key=_key_of(row))


def _key_of(row: Definition) -> str | None:
    """The key of a row whose name does not give one, where the API says all that a key needs."""
    kind = TYPE_OF_KIND.get(row.kind)
    if kind not in (InstrumentType.SPOT_PAIR, InstrumentType.PERPETUAL, InstrumentType.FUTURE) or not (row.base and row.quote):
        return None
    expiry = row.expiry.date() if row.expiry and kind is InstrumentType.FUTURE else None
    try:
        return str(InstrumentKey(row.venue.upper(), kind, row.base, row.quote, expiry))
    except UsageError:
        return None  # a name that no key can hold, or a future without an end


def _without_shared_keys(rows: Sequence[Definition]) -> tuple[Definition, ...]:
    """Rows whose key stands for one symbol only: two symbols under one key would be mixed up, so such rows have none."""
    symbols: dict[str, set[str]] = {}
    for row in rows:
        if row.instrument_key is not None:
            symbols.setdefault(row.instrument_key, set()).add(row.symbol)
    shared = {key for key, names in symbols.items() if len(names) > 1}
    return tuple(replace(row, instrument_key=None) if row.instrument_key in shared else row for row in rows)


def _option_type(said: Instrument) -> str | None:
    word = (said.option_type or "").upper()
    return word if word in tuple(OptionType) else None


def _number(value: float | str | None) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number


def _time(text: str | None) -> datetime | None:
    return _require_time(text) if text else None


def _require_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def count_kinds(rows: Iterable[Definition]) -> dict[str, int]:
    """How many single symbols of each kind; grouped ids are counted as `grouped`."""
    counts = Counter("grouped" if row.grouped else row.kind for row in rows)
    return dict(sorted(counts.items()))


def without_key(rows: Iterable[Definition]) -> tuple[str, ...]:
    """Single symbols that have no key: their names fit no form that is known, or two of them would share it."""
    return tuple(row.symbol for row in rows if row.instrument_key is None and not row.grouped)


# Parquet


def schema() -> pa.Schema:
    """The Parquet schema; each column carries its meaning."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "texts": pa.list_(pa.field("item", pa.string(), nullable=False)),
        "time": pa.timestamp("us", tz="UTC"),
        "number": pa.float64(),
        "flag": pa.bool_(),
    }
    required = ("venue", "symbol", "kind", "grouped", "available_since", "data_types")
    return pa.schema(
        [pa.field(name, types[kind], nullable=name not in required, metadata={"description": what}) for name, kind, what in COLUMNS]
    )


def encode_definitions(rows: Sequence[Definition], day: date) -> bytes:
    """Rows as Parquet: the same bytes for the same rows and day, within one environment."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    layout = schema()
    arrays = [pa.array(list(map(attrgetter(field.name), rows)), field.type) for field in layout]
    facts = {"day": day.isoformat(), "schema_version": str(DEFINITIONS_VERSION), "rows": str(len(rows))}
    table = pa.Table.from_arrays(arrays, schema=layout.with_metadata(facts))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", sorting_columns=[pq.SortingColumn(layout.get_field_index("symbol"))])
    return bytes(sink.getvalue())


def differing_columns(stored: bytes, made: bytes) -> tuple[str, ...]:
    """In which columns two definitions of one day differ; `rows` where they have other symbols."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    old, new = (pq.read_table(pa.BufferReader(data)) for data in (stored, made))
    if "symbol" not in old.column_names or old.column("symbol").to_pylist() != new.column("symbol").to_pylist():
        return ("rows",)
    names = dict.fromkeys((*new.column_names, *old.column_names))
    both = set(old.column_names) & set(new.column_names)
    return tuple(name for name in names if name not in both or old.column(name).to_pylist() != new.column(name).to_pylist())
