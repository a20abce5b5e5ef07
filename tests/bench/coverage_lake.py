"""A lake of any size as its two buckets list it, computed from numbers, and a lean storage server for it.

Apart from the benchmark, because the server is a process of its own: only who asks is measured. 519 days of 27 venue-type pairs,
some cells missing, some short, some written by two attempts. An object of the data bucket is its number: four million of them need
no memory and no disk.

    python -m tests.bench.coverage_lake OBJECTS     # prints its port, serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.catalogue import Catalogue, Listing
from engine.documents import encode, encode_compact
from engine.manifest import Entry, Manifest, metadata_of
from engine.model import Cell, DayRange, File, Outcome
from engine.paths import RAW, ManifestName, data_object, manifest_object, parse_manifest_object

if TYPE_CHECKING:
    from aiohttp import web

DATA, STATE = "lake", "lake-state"
DAYS = DayRange(date(2023, 5, 23), date(2024, 10, 22))
"""519 days."""
TYPES = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
OFFERS = {
    "binance": TYPES[:2],
    "binance-futures": TYPES[:4],
    "bybit": TYPES[:4],
    "bybit-spot": TYPES[:2],
    "deribit": TYPES,
    "okex": TYPES[:2],
    "okex-futures": TYPES[:4],
    "okex-swap": TYPES[:4],
}
"""Of the 40 pairs of 8 venues and 5 types the venues offer 27."""
NOW = datetime(2024, 10, 24, 12, tzinfo=UTC)
FETCHED = NOW - timedelta(hours=1)
PAGE = 1000
RUN = "r20241023a"
MISSING_EVERY, SHORT_EVERY, TWICE_EVERY = 401, 487, 1999
"""Of so many cells one was never attempted, one lacks its last symbol, one has two manifests that hold a half each."""


@dataclass(frozen=True)
class Lake:
    """All that is in it, by number."""

    objects: int
    """How many data objects it would have if nothing were missing, at least one a cell."""

    @cached_property
    def symbols(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(venue, data type) -> its symbols, sorted; options are one grouped file."""
        pairs = [(venue, data_type) for venue, data_types in OFFERS.items() for data_type in data_types]
        each = max(2, round(self.objects / len(DAYS) / len(pairs)))
        names = tuple(sorted(f"S{number:04d}USDT" for number in range(each)))
        return {pair: ("OPTIONS",) if pair[1] == "options_chain" else names for pair in pairs}

    @cached_property
    def cells(self) -> list[Cell]:
        """Every expected cell, in the order of their names in the bucket."""
        pairs = sorted(self.symbols, key=lambda pair: (f"data_type-{pair[1]}/", f"venue-{pair[0]}/"))
        return [Cell(day, data_type, venue) for day in DAYS for venue, data_type in pairs]

    def held(self, number: int) -> tuple[str, ...]:
        """The symbols of the cell of that number that are in the data bucket."""
        cell = self.cells[number]
        symbols = self.symbols[cell.venue, cell.data_type]
        if number % MISSING_EVERY == 7:
            return ()
        return symbols[:-1] if number % SHORT_EVERY == 11 and len(symbols) > 1 else symbols

    def attempts(self, number: int) -> tuple[tuple[tuple[str, Outcome], ...], ...]:
        """What each manifest of a cell records: (symbol, outcome) pairs."""
        held = self.held(number)
        if not held:
            return ()
        cell = self.cells[number]
        entries = tuple((symbol, Outcome.OK) for symbol in held)
        entries += tuple((symbol, Outcome.FAILED) for symbol in self.symbols[cell.venue, cell.data_type][len(held) :])
        if number % TWICE_EVERY == 13 and len(entries) > 1:
            middle = len(entries) // 2
            return entries[:middle], entries[middle:]
        return (entries,)

    def manifest(self, number: int, attempt: int) -> Manifest:
        """One manifest, whole."""
        cell = self.cells[number]
        return Manifest(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            run=RUN,
            shard=0,
            attempt=attempt,
            vm="vm",
            written=NOW,
            open=False,
            engine_version="1",
            catalogue="",
            entries=tuple(
                Entry(
                    symbol=symbol,
                    outcome=outcome,
                    rows=10_000 if outcome is Outcome.OK else 0,
                    source_bytes=100_000,
                    object_bytes=80_000,
                    generation=number + 1,
                    covered_minutes=1440,
                )
                for symbol, outcome in self.attempts(number)[attempt - 1]
            ),
        )

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Every manifest as a listing shows it, in the order of names."""
        metadata: dict[tuple[tuple[str, Outcome], ...], dict[str, str]] = {}
        found = {}
        for number, cell in enumerate(self.cells):
            for attempt, entries in enumerate(self.attempts(number), start=1):
                if entries not in metadata:
                    metadata[entries] = metadata_of(self.manifest(number, attempt))
                name = manifest_object(ManifestName(cell, RUN, 0, attempt))
                found[name] = {
                    "name": name,
                    "size": "4096",
                    "generation": str(1_729_000_000_000_000 + number * 10 + attempt),
                    "crc32c": "AAAAAA==",
                    "updated": "2024-10-23T06:30:00.123Z",
                    "metadata": metadata[entries],
                }
        return dict(sorted(found.items()))

    def catalogue(self, venue: str) -> Catalogue:
        """What a venue offers: every symbol on all days, and the grouped options where there are some."""
        since = datetime(2020, 1, 1, tzinfo=UTC)
        listings = []
        for symbol in self.symbols[venue, "trades"]:
            types = tuple(data_type for data_type in OFFERS[venue] if data_type != "options_chain")
            listings.append(Listing(symbol, "perpetual", types, since))
        if "options_chain" in OFFERS[venue]:
            listings.append(Listing("OPTIONS", "option", ("options_chain",), since))
        return Catalogue(venue=venue, fetched=FETCHED, published_until=NOW, listings=tuple(listings))

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """The catalogues by object name, packed as they are stored."""
        found = (self.catalogue(venue) for venue in OFFERS)
        return {catalogue.object_name: gzip.compress(encode_compact(catalogue), 6, mtime=0) for catalogue in found}

    @cached_property
    def firsts(self) -> list[int]:
        """The number of the first object of each cell, and behind the last one how many objects there are."""
        counts = [0]
        for number in range(len(self.cells)):
            counts.append(counts[-1] + len(self.held(number)))
        return counts

    def data_page(self, start: int) -> list[dict[str, str]]:
        """A thousand data objects from that number on, by name."""
        number = bisect_left(self.firsts, start + 1) - 1
        names: list[dict[str, str]] = []
        while number < len(self.cells) and len(names) < PAGE:
            cell, held = self.cells[number], self.held(number)
            prefix = data_object(File(cell, "X")).removesuffix("X.parquet")
            for symbol in held[max(0, start - self.firsts[number]) :][: PAGE - len(names)]:
                names.append({"name": f"{prefix}{symbol}.parquet"})
            number += 1
        return names


class Server:
    """The Storage JSON API, as far as listings and reads of this lake go. Counts what it was asked."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        documents = {name: {"name": name, "size": "1", "generation": "1", "updated": "2024-10-24T11:00:00Z"} for name in lake.documents}
        self.objects = dict(sorted((lake.manifests | documents).items()))
        self.names = list(self.objects)
        self.calls: dict[str, int] = {}

    async def list_objects(self, request: web.Request) -> web.Response:
        """`GET /storage/v1/b/BUCKET/o`."""
        query = request.query
        prefix, token = query.get("prefix", ""), query.get("pageToken", "")
        if request.match_info["bucket"] == DATA:
            assert prefix == RAW
            self._count("data objects")
            start = int(token or 0)
            items: list[Any] = self.lake.data_page(start)
            following = str(start + len(items)) if start + len(items) < self.lake.firsts[-1] else ""
            return _answer(items, following)
        first = max(prefix, query.get("startOffset", ""), token)
        self._count(first.partition("/")[0] + (" of one cell" if prefix.startswith("manifests/") else ""))
        end = query.get("endOffset", "")
        low = bisect_left(self.names, first)
        high = min(bisect_left(self.names, end) if end else len(self.names), bisect_left(self.names, f"{prefix}\U0010ffff"))
        most = min(PAGE, int(query.get("maxResults", PAGE)))
        items = [self.objects[name] for name in self.names[low : max(low, min(high, low + most))]]
        return _answer(items, self.names[low + most] if low + most < high else "")

    async def read(self, request: web.Request) -> web.Response:
        """`GET /download/storage/v1/b/BUCKET/o/NAME?alt=media`."""
        from aiohttp import web

        name = request.match_info["name"]
        self._count(f"{name.partition('/')[0]}, read")
        body = self.lake.documents.get(name)
        if body is None:
            found = parse_manifest_object(name)
            body = encode(self.lake.manifest(self.lake.cells.index(found.cell), found.attempt))
        return web.Response(body=body, headers={"X-Goog-Generation": "1", "X-Goog-Hash": f"crc32c={_crc32c(body)}"})

    async def take_calls(self, _: web.Request) -> web.Response:
        """What was asked since the last time."""
        from aiohttp import web

        calls, self.calls = self.calls, {}
        return web.json_response(calls)

    def _count(self, what: str) -> None:
        self.calls[what] = self.calls.get(what, 0) + 1


def _answer(items: list[Any], following: str) -> web.Response:
    from aiohttp import web

    return web.json_response({"items": items} | ({"nextPageToken": following} if following else {}))


def _crc32c(body: bytes) -> str:
    import base64

    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(body).digest()).decode("ascii")


async def serve_lake(lake: Lake) -> None:
    """Serve until standard input ends."""
    from aiohttp import web

    from tests.bench.aiohttp_server import serve

    server = Server(lake)
    app = web.Application()
    app.router.add_get("/storage/v1/b/{bucket}/o", server.list_objects)
    app.router.add_get("/download/storage/v1/b/{bucket}/o/{name:.+}", server.read)
    app.router.add_get("/calls", server.take_calls)
    _ = lake.firsts, lake.documents
    await serve(app)


if __name__ == "__main__":
    asyncio.run(serve_lake(Lake(int(sys.argv[1]))))
