"""One generated file: from (scenario, venue, data type, day, symbol) to a `.csv.gz` on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from provision.local.tardis.listings import DAY, Listed, Listings, day_factor
from provision.local.tardis.packing import pack
from provision.local.tardis.scenario import TrapSpec, start_of
from provision.local.tardis.series import BLOCK_ROWS, Day
from provision.local.tardis.text import Decimals, Table, header_text, joined, rows_text
from provision.local.tardis.traps import Others, trapped_rows

GENERATOR_VERSION = 1
"""Part of every cached file's name; to be raised with any change of the bytes."""


class GenerationStopped(Exception):
    """The server is closing; the unfinished file was removed."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that can be made."""

    listings: Listings
    listed: Listed
    data_type: str
    day: date
    trap: TrapSpec | None

    def fingerprint(self) -> str:
        """Changes exactly when something that shapes the bytes changes: the name of the cached file and its ETag."""
        scenario = self.listings.scenario
        said = (
            GENERATOR_VERSION,
            scenario.seed,
            self.listed,
            self.data_type,
            self.day,
            self.rows(),
            day_factor(scenario, self.day),
            self._silent(self.listed),
            (self.trap.kind, self.trap.column) if self.trap else None,
        )
        return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()

    def rows(self) -> int:
        """Data rows before any trap."""
        return self.listings.row_count(self.listed, self.data_type, self.day)

    def write(self, target: Path, stopped: Callable[[], bool] = lambda: False) -> None:
        """Generate the file.

        Raises:
            GenerationStopped: if `stopped` turned true on the way.
        """
        pack(self._text(stopped), target, self.trap.kind if self.trap else None)

    def _text(self, stopped: Callable[[], bool]) -> Iterator[bytes]:
        first = True
        for table in self._merged() if self.listed.grouped else self._day(self.listed).blocks():
            if stopped():
                raise GenerationStopped
            if self.trap is not None:
                table = trapped_rows(self.trap, table, first, self._others())
            yield header_text(list(table.columns)) + rows_text(table) if first else rows_text(table)
            first = False

    def _day(self, listed: Listed) -> Day:
        scenario = self.listings.scenario
        rows = self.listings.row_count(listed, self.data_type, self.day)
        return Day.of(scenario.seed, listed, self.data_type, self.day, rows, self._silent(listed))

    def _silent(self, listed: Listed) -> tuple[tuple[datetime, datetime], ...]:
        venue = self.listings.scenario.venue(listed.venue)
        assert venue is not None
        stretches = ((incident.start, incident.end) for incident in venue.incidents)
        return tuple(s for s in stretches if s[0] < start_of(self.day) + DAY and s[1] > start_of(self.day))

    def _merged(self) -> Iterator[Table]:
        """A grouped file: the rows of its members, by local time."""
        trading = [m for m in self.listed.members if self.data_type in m.data_types and m.window(self.day)]
        whole = joined([table for member in trading for table in self._day(member).blocks()])
        local = whole.columns["local_timestamp"]
        assert isinstance(local, Decimals)
        order = np.argsort(local.values, kind="stable")
        for low in range(0, whole.rows, BLOCK_ROWS):
            rows = order[low : low + BLOCK_ROWS]
            yield whole.take(rows, len(rows))

    def _others(self) -> Others:
        scenario = self.listings.scenario
        symbols = (symbol for symbol in self.listings.venue(self.listed.venue) if symbol != self.listed.id)
        venues = (venue.id for venue in scenario.venues if venue.id != self.listed.venue)
        return Others(symbol=next(symbols, "OTHER"), venue=next(venues, "bitmex"))
