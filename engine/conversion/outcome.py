"""What a conversion says: its outcome, the reason, and what was seen on the way.

Separate from `engine.conversion.convert`, which does the work, so that a process which only reads outcomes never loads pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from engine.fingerprint import Fingerprint
from engine.model import Outcome, require_aware


class Reason(StrEnum):
    """Why a file is empty or quarantined. The codes are stored in manifests: never rename one."""

    NONE = ""
    """Nothing to explain: the file is ok."""

    NO_DATA = "no_data"
    """Empty: one complete gzip of zero bytes, the source's way of saying "no data"."""
    HEADER_ONLY = "header_only"
    """Empty: a sound file with the right header and no rows."""

    ZERO_BYTES = "zero_bytes"
    """The body has no bytes at all. That is a failed transfer, not an empty day."""
    HTML_BODY = "html_body"
    """The body is a web page (with status 200 or inside the gzip)."""
    NOT_GZIP = "not_gzip"
    """The body is something else that is no gzip."""
    TRUNCATED_GZIP = "truncated_gzip"
    """The stream ends inside a gzip member."""
    CORRUPT_GZIP = "corrupt_gzip"
    """A gzip member cannot be decompressed."""
    BAD_CHECKSUM = "bad_checksum"
    """A gzip member decompresses to other bytes than its CRC-32 or length says."""
    TRAILING_GARBAGE = "trailing_garbage"
    """Something that is no gzip member, and no zero padding, follows the last member."""
    WRONG_LENGTH = "wrong_length"
    """The gzip is sound but has another length than announced: most likely it was cut at the border of a member."""
    INVALID_UTF8 = "invalid_utf8"
    """The text is not UTF-8."""
    MISSING_COLUMN = "missing_column"
    """The header lacks a column of the data type: missing or renamed."""
    DUPLICATE_COLUMN = "duplicate_column"
    """The header names a column twice."""
    BAD_VALUE = "bad_value"
    """A row has the wrong number of cells, or a cell that its column cannot hold."""
    WRONG_VENUE = "wrong_venue"
    """A row is of another venue than asked for."""
    WRONG_SYMBOL = "wrong_symbol"
    """A row is of another symbol than asked for."""
    WRONG_DAY = "wrong_day"
    """A row's `local_timestamp` is not in the UTC day asked for."""


class Flag(StrEnum):
    """What is odd but real: the file is committed, and says so. Stored in manifests: never rename one."""

    BACKWARD_LOCAL_TIMESTAMP = "backward_local_timestamp"
    """A row arrived before the row in front of it (`Conversion.backward_rows`)."""
    PREVIOUS_DAY_TIMESTAMP = "previous_day_timestamp"
    """An exchange time is before the day (`Conversion.previous_day_rows`): usual for the first row."""
    NEXT_DAY_TIMESTAMP = "next_day_timestamp"
    """An exchange time is after the day (`Conversion.next_day_rows`): the exchange's clock is ahead."""
    EXTRA_COLUMNS = "extra_columns"
    """Columns that the schema does not know were left out (`Conversion.dropped_columns`)."""
    REORDERED_COLUMNS = "reordered_columns"
    """The columns came in another order than documented, and were put right by name."""
    UNEXPECTED_EMPTY = "unexpected_empty"
    """A cell is empty in a column documented as never empty; it is null in Parquet."""
    NON_FINITE_NUMBER = "non_finite_number"
    """A number is NaN, infinite or beyond float64."""
    NO_FINAL_NEWLINE = "no_final_newline"
    """The last row does not end in a newline."""


class ContentFlaw(Exception):
    """The decompressed bytes are no rows of the file asked for."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ConvertSettings:
    """Buffer sizes. They trade memory for speed and never change the result: the same source gives the same bytes."""

    read_bytes: int = 256 * 1024
    """Compressed bytes asked for at once."""
    block_bytes: int = 1024 * 1024
    """CSV bytes handed to the parser at once, and the most that one decompression step may produce."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of one file's bytes, with the proof that a commit stores beside them."""

    outcome: Outcome
    """`ok`, `empty` or `quarantined`."""
    reason: Reason = Reason.NONE
    detail: str = ""
    """One line for a person, with line and column where there is one."""
    rows: int = 0
    """Rows in the Parquet file; 0 unless `ok`."""
    min_local_timestamp_us: int | None = None
    max_local_timestamp_us: int | None = None
    min_timestamp_us: int | None = None
    max_timestamp_us: int | None = None
    covered_minutes: int = 0
    """How many UTC minutes of `local_timestamp` have rows."""
    flags: tuple[Flag, ...] = ()
    """Sorted; the counts and names behind them are in the fields below."""
    backward_rows: int = 0
    previous_day_rows: int = 0
    next_day_rows: int = 0
    dropped_columns: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = None
    """None if the gzip is not sound."""
    source_bytes: int = 0
    """Compressed bytes read."""
    csv_bytes: int = 0
    parquet_bytes: int = 0
    crc32c: str = ""
    """Of the Parquet bytes, base64 of the big-endian value, as the bucket reports it."""
    parquet: bytes | None = field(default=None, repr=False)
    """The Parquet bytes, where the sink is memory."""
    seconds: float = 0.0

    @property
    def min_local_timestamp(self) -> datetime | None:
        """Smallest `local_timestamp`, aware, UTC."""
        return to_datetime(self.min_local_timestamp_us)

    @property
    def max_local_timestamp(self) -> datetime | None:
        """Largest `local_timestamp`, aware, UTC."""
        return to_datetime(self.max_local_timestamp_us)

    @property
    def min_timestamp(self) -> datetime | None:
        """Smallest exchange time, aware, UTC; None also where it lies outside the years 1 to 9999."""
        return to_datetime(self.min_timestamp_us)

    @property
    def max_timestamp(self) -> datetime | None:
        """Largest exchange time, aware, UTC; None also where it lies outside the years 1 to 9999."""
        return to_datetime(self.max_timestamp_us)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(microseconds: int | None) -> datetime | None:
    """Microseconds since the epoch as an aware datetime, or None where there is none."""
    if microseconds is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def to_microseconds(moment: datetime) -> int:
    """An aware datetime as whole microseconds since the epoch.

    Raises:
        UsageError: if `moment` has no zone.
    """
    return (require_aware(moment) - _EPOCH) // timedelta(microseconds=1)
