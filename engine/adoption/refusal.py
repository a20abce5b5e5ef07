"""Why an object that exists already is not adopted: the codes, and the exception that carries one.

Apart because names, footers and contents are judged by three modules, and a person reads one list.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an object was left alone. Its files count as not there, so a plan buys them again."""

    NO_KEY = "no_key"
    """Its name holds no `VENUE:TYPE:SYMBOL` that can be read."""
    UNKNOWN_VENUE = "unknown_venue"
    """The source lists no venue that the first word of the key can mean."""
    UNKNOWN_DATA_TYPE = "unknown_data_type"
    """We have no columns for that data type."""
    NO_LISTING = "no_listing"
    """No symbol of these venues has that key."""
    SEVERAL_LISTINGS = "several_listings"
    """More than one symbol has that key, and nothing in the name tells them apart."""
    NOT_LISTED = "not_listed_that_day"
    """The symbol was not listed on the day of the object."""
    NOT_OFFERED = "not_offered"
    """The venue has no data of that type for the symbol."""
    SEVERAL_OBJECTS = "several_objects"
    """Another object of other content stands for the same file."""
    UNREADABLE = "unreadable"
    """It is no Parquet file, or a part of one."""
    LACKS_COLUMNS = "lacks_columns"
    """Columns are missing without which the rows are not what the source has."""
    WRONG_TYPE = "wrong_type"
    """A column cannot hold what its name says."""
    WRONG_DAY = "wrong_day"
    """Rows arrived on another UTC day than the object's."""
    WRONG_SYMBOL = "wrong_symbol"
    """It holds rows of another venue or symbol than its name says."""
    OTHER_CONTENT = "other_content"
    """Reading it as a whole gave something else than its footer or its checksum says."""


class Refused(Exception):
    """An object cannot be adopted."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
