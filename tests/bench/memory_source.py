"""A source whose files are all large: a day of trades of any symbol, made when it is asked for. Hundreds at a time are more than a small
machine has memory.

Apart from the local stand-in, which makes every row by itself: there this would take an hour.

    python -m tests.bench.memory_source ROWS LARGE_ROWS SYMBOLS LARGE     # prints its port, serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

VENUE, DAY = "binance", date(2024, 5, 1)
PLACEHOLDER = b"SYMBOL00"
DAY_US = 1_714_521_600_000_000


def symbols(count: int, prefix: str = "M") -> list[str]:
    """Ids as long as the placeholder."""
    return [f"{prefix}{number:03d}USDT" for number in range(count)]


@lru_cache
def text(rows: int) -> bytes:
    """A day of trades of the placeholder; with long ids, because bytes are what is wanted, not rows."""
    step = 86_000_000_000 // rows
    lines = [b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
    for number in range(rows):
        moment = DAY_US + number * step
        side = b"buy" if number * 2654435761 & 64 else b"sell"
        price, amount = 60_000 + number * 7919 % 997 / 100, number * 104729 % 9973 / 1000 + 0.001
        when, identifier = (moment, moment + 3_000 + number % 900), 10**9 + number
        lines.append(b"binance,%s,%d,%d,%0120d,%s,%.2f,%.3f" % (PLACEHOLDER, *when, identifier, side, price, amount))
    return b"\n".join(lines) + b"\n"


def body(symbol: str, rows: int) -> bytes:
    """One file, stored rather than compressed: as large as files of real days, and made in a moment."""
    return gzip.compress(text(rows).replace(PLACEHOLDER, symbol.encode()), 0, mtime=0)


async def serve_trades(rows: int, large_rows: int, count: int, large: int) -> None:
    """Serve until standard input ends."""
    from aiohttp import web

    from tests.bench.aiohttp_server import serve

    small, big = symbols(count), symbols(large, "L")

    async def exchange(_: web.Request) -> web.Response:
        listed = [
            {"id": symbol, "type": "spot", "dataTypes": ["trades"], "availableSince": "2020-01-01T00:00:00.000Z"} for symbol in small + big
        ]
        return web.json_response(
            {"id": VENUE, "datasets": {"exportedUntil": "2024-06-01T00:00:00.000Z", "symbols": listed}, "incidentReports": []}
        )

    async def file(request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        packed = body(symbol, large_rows if symbol in big else rows)
        return web.Response(body=packed, content_type="text/csv", headers={"ETag": f'"{symbol}"'})

    app = web.Application()
    app.router.add_get("/v1/exchanges/{venue}", exchange)
    app.router.add_get("/v1/{venue}/{data_type}/{year}/{month}/{day}/{symbol}.csv.gz", file)
    await serve(app)


if __name__ == "__main__":
    asyncio.run(serve_trades(*map(int, sys.argv[1:])))
