"""The candles of one symbol and day computed a second time, in SQL by DuckDB, from the ticks, for one timeframe at a time.

Nothing here is shared with the engine: no rolling up, no code, only what the columns' descriptions say. Where it uses another
arrangement of a formula, that is for precision: ln(p / p') is 2 atanh((p - p') / (p + p')).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

SECONDS = {"15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "24h": 86400}
BIG = 9_000_000_000_000_000_000


class Oracle:
    """Answers for one set of files."""

    def __init__(
        self,
        day: date,
        trades: Path,
        *,
        book: Path | None = None,
        ticker: Path | None = None,
        liquidations: Path | None = None,
        clock: str = "exchange",
    ) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        self.start = self._one(f"SELECT epoch_us(TIMESTAMP '{day.isoformat()} 00:00:00')")
        self.time = "timestamp" if clock == "exchange" else "local_timestamp"
        self.has_book, self.has_ticker, self.has_liquidations = book is not None, ticker is not None, liquidations is not None
        self._load("raw_trades", trades)
        self.connection.execute(
            f"""CREATE TABLE trades AS SELECT row_number() OVER (ORDER BY n) AS n, epoch_us({self.time}) AS t,
            epoch_us(local_timestamp) AS local, epoch_us(local_timestamp) - epoch_us(timestamp) AS delay, side::VARCHAR AS side, price,
            amount
            FROM raw_trades WHERE isfinite(price) AND isfinite(amount)"""
        )
        if book is not None:
            self._load_book(book)
        if ticker is not None:
            self._load("ticker", ticker)
        if liquidations is not None:
            self._load("liquidations", liquidations)

    def _one(self, query: str) -> Any:
        found = self.connection.execute(query).fetchone()
        assert found is not None
        return found[0]

    def _load(self, name: str, path: Path) -> None:
        self.connection.execute(
            f"CREATE TABLE {name} AS SELECT file_row_number AS n, * FROM read_parquet('{path}', file_row_number = true)"
        )

    def _load_book(self, path: Path) -> None:
        self._load("raw_book", path)
        end = self.start + 86_400_000_000
        sums = {
            f"{side}{depth}": " + ".join(f"coalesce({side}_amount_{level}, 0)" for level in range(1, depth + 1))
            for side in ("ask", "bid")
            for depth in range(1, 6)
        }
        imbalances = ", ".join(
            f"({bids} - ({asks})) / nullif({bids} + {asks}, 0) AS imbalance{depth}"
            for depth, bids, asks in ((depth, sums[f"bid{depth}"], sums[f"ask{depth}"]) for depth in range(1, 6))
        )
        self.connection.execute(
            f"""CREATE TABLE book AS SELECT n, max(epoch_us({self.time})) OVER (ORDER BY n) AS t,
            max(epoch_us(local_timestamp)) OVER (ORDER BY n) AS local,
            ask_price_1 AS a, bid_price_1 AS b, ask_amount_1 AS qa, bid_amount_1 AS qb, (ask_price_1 + bid_price_1) / 2 AS mid,
            ask_price_1 - bid_price_1 AS spread,
            CASE WHEN ask_price_1 + bid_price_1 > 0 THEN (ask_price_1 - bid_price_1) / ((ask_price_1 + bid_price_1) / 2) * 10000 END AS bps,
            {imbalances} FROM raw_book"""
        )
        self.connection.execute(
            """CREATE TABLE events AS SELECT t, coalesce(CASE WHEN b >= b0 THEN qb ELSE 0 END - CASE WHEN b <= b0 THEN qb0 ELSE 0 END
            - CASE WHEN a <= a0 THEN qa ELSE 0 END + CASE WHEN a >= a0 THEN qa0 ELSE 0 END, 0) AS e
            FROM (SELECT *, lag(a) OVER w AS a0, lag(b) OVER w AS b0, lag(qa) OVER w AS qa0, lag(qb) OVER w AS qb0 FROM book
                  WINDOW w AS (ORDER BY n))"""
        )
        # What stands, cut at the edges of the shortest bars: an edge repeats the snapshot before it.
        self.connection.execute(
            f"""CREATE TABLE standing AS
            WITH snapshots AS (SELECT least(greatest(t, {self.start}), {end}) AS t, n, n AS source FROM book),
            edges AS (SELECT {self.start} + i * 15000000 AS t FROM range(0, 5761) AS r(i)),
            points AS (
                SELECT t, n, source FROM snapshots
                UNION ALL
                SELECT e.t, {BIG} AS n, s.source FROM edges e JOIN LATERAL
                (SELECT max(source) AS source FROM snapshots WHERE snapshots.t <= e.t) s ON true WHERE s.source IS NOT NULL)
            SELECT p.t, lead(p.t) OVER (ORDER BY p.t, p.n) - p.t AS us, book.* EXCLUDE (t, n) FROM points p JOIN book ON book.n = p.source
            """
        )

    def bar(self, timeframe: str, time: str = "t") -> str:
        """SQL for the number of the bar that a time lies in."""
        width = SECONDS[timeframe] * 1_000_000
        return f"least(greatest(({time} - {self.start}) // {width}, 0), {86_400_000_000 // width - 1})"

    def candles(self, timeframe: str) -> dict[str, list[Any]]:
        """All columns, one value for each bar."""
        bars = 86_400 // SECONDS[timeframe]
        result: dict[str, list[Any]] = {}
        for columns in self._queries(timeframe):
            table = self.connection.execute(columns)
            names = [item[0] for item in table.description or ()]
            for name in names[1:]:
                result[name] = [None] * bars
            for row in table.fetchall():
                for name, value in zip(names[1:], row[1:], strict=True):
                    result[name][row[0]] = value
        for name in ("volume", "trade_count", "buy_volume_sum", "sell_volume_sum", "realized_variance"):
            result[name] = [value or 0 for value in result[name]]
        for name in (
            "order_flow_imbalance",
            "book_count",
            "liquidation_buy_volume",
            "liquidation_sell_volume",
            "liquidation_count",
            "_liquidated",
        ):
            if name in result:
                result[name] = [value or 0 for value in result[name]]
        if self.has_liquidations:
            change = result.get("oi_change", [None] * bars)
            total = result.pop("_liquidated")
            for name, sign in (("rising", 1), ("falling", -1)):
                result[f"liquidation_with_{name}_oi"] = [
                    None if moved is None else amount if moved * sign > 0 else 0 for moved, amount in zip(change, total, strict=True)
                ]
        return result

    def _queries(self, timeframe: str) -> list[str]:
        bar = self.bar(timeframe)
        queries = [
            f"""SELECT {bar} AS bar, first(price ORDER BY t, n) AS open, max(price) AS high, min(price) AS low,
            last(price ORDER BY t, n) AS close, fsum(amount) AS volume, count(*) AS trade_count,
            fsum(price * amount) / nullif(fsum(amount), 0) AS price_vwap,
            fsum(CASE side WHEN 'buy' THEN amount ELSE 0 END) AS buy_volume_sum,
            fsum(CASE side WHEN 'sell' THEN amount ELSE 0 END) AS sell_volume_sum, fsum(amount) / count(*) AS size_avg,
            median(delay) / 1000 AS delay_median, sum(delay) / count(*) / 1000 AS delay_mean, min(delay) / 1000 AS delay_min,
            max(delay) / 1000 AS delay_max FROM trades GROUP BY ALL""",
            f"""SELECT {bar} AS bar, fsum(r * r) AS realized_variance FROM
            (SELECT t, 2 * atanh((price - before) / (price + before)) AS r FROM
            (SELECT t, price, lag(price) OVER (ORDER BY n) AS before FROM trades) WHERE price > 0 AND before > 0 AND price <> before)
            GROUP BY ALL""",
        ]
        if self.has_book:
            queries += [
                f"""SELECT {bar} AS bar, fsum(e) / count(*) AS effective_spread, fsum(e / mid * 10000) / count(*) AS effective_spread_bps
                FROM (SELECT x.t, q.mid, (x.price - q.mid) * CASE x.side WHEN 'buy' THEN 2 ELSE -2 END AS e
                FROM (SELECT *, max(local) OVER (ORDER BY n) AS seen FROM trades) x
                ASOF JOIN (SELECT local, last(mid ORDER BY n) AS mid FROM book WHERE mid IS NOT NULL GROUP BY local) q ON x.seen > q.local
                WHERE x.side IN ('buy', 'sell')) GROUP BY ALL""",
                f"""SELECT {bar} AS bar, last(mid ORDER BY n) AS mid_price FROM book WHERE mid IS NOT NULL GROUP BY ALL""",
                f"""SELECT {bar} AS bar, last((a * qb + b * qa) / (qa + qb) ORDER BY n) AS micro_price FROM book
                WHERE a IS NOT NULL AND b IS NOT NULL AND qa + qb > 0 GROUP BY ALL""",
                f"SELECT {bar} AS bar, count(*) AS book_count FROM book GROUP BY ALL",
                f"SELECT {bar} AS bar, fsum(e) AS order_flow_imbalance FROM events GROUP BY ALL",
            ]
            standing = {"quoted_spread": "spread", "quoted_spread_bps": "bps"} | {
                f"book_imbalance_l{n}": f"imbalance{n}" for n in range(1, 6)
            }
            averages = ", ".join(
                f"fsum({column} * us) / nullif(sum(CASE WHEN {column} IS NOT NULL THEN us ELSE 0 END), 0) AS {name}"
                for name, column in standing.items()
            )
            queries.append(f"SELECT {bar} AS bar, {averages} FROM standing WHERE us > 0 GROUP BY ALL")
        if self.has_ticker:
            time = self.bar(timeframe, f"epoch_us({self.time})")
            for name in ("funding_rate", "predicted_funding_rate", "index_price", "mark_price", "open_interest"):
                queries.append(
                    f"SELECT {time} AS bar, last({name} ORDER BY {self.time}, n) AS {name} FROM ticker"
                    f" WHERE {name} IS NOT NULL GROUP BY ALL"
                )
            bars = 86_400 // SECONDS[timeframe]
            queries.append(
                f"""WITH said AS (SELECT {time} AS bar, open_interest AS oi, {self.time} AS t, n FROM ticker WHERE oi IS NOT NULL),
                known AS (SELECT r.bar, (SELECT last(oi ORDER BY t, n) FROM said WHERE said.bar <= r.bar) AS oi
                          FROM range(0, {bars}) AS r(bar))
                SELECT bar, oi - coalesce(lag(oi) OVER (ORDER BY bar), (SELECT first(oi ORDER BY t, n) FROM said)) AS oi_change
                FROM known"""
            )
        if self.has_liquidations:
            time = self.bar(timeframe, f"epoch_us({self.time})")
            queries.append(
                f"""SELECT {time} AS bar, fsum(CASE side WHEN 'buy' THEN amount ELSE 0 END) AS liquidation_buy_volume,
                fsum(CASE side WHEN 'sell' THEN amount ELSE 0 END) AS liquidation_sell_volume, count(*) AS liquidation_count,
                fsum(amount) AS _liquidated FROM liquidations GROUP BY ALL"""
            )
        return queries
