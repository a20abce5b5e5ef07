"""Candles with high-frequency features, made of one day's committed files of one symbol: all timeframes in one pass over the ticks.

What a candle means, in one place, because every one of these is a choice:

- **A day's candles are a function of that day's files alone.** No value is carried over midnight, so any day can be made again by
  itself, gives the same bytes, and is final as soon as its files are committed.
- **Label** is the start of the bar, UTC; a bar holds what happened at its start and before its end: [start, start + timeframe).
- **Clock** (`--bucket-by`): `exchange` (default) puts a row into the bar of its `timestamp`, `local` into that of its `local_timestamp`.
- **Every bar of the day is there**, 288 of 5m, also empty ones: counts and volumes are 0, prices and all other values null. Nothing is
  filled forward into a price.
- **Late rows** (exchange time steps back within the file) count in the bar of their time. Open and close are the first and last trade
  by (time, order in the file), so a late trade may move them.
- **Rows of a neighbour day.** A file holds what arrived on its day. A row whose exchange time lies before that day counts in the
  first bar, one after it in the last: so each trade counts exactly once over all days. They are counted (`early_rows`, `late_rows`).
- **What needs a row before** (returns, order flow, the prevailing quote, the change of open interest) starts with the day's first row,
  not with the day before.
- **Delays** may be negative, when the recorder's clock is behind the exchange's; they are kept.
- **An input that is not in the lake** leaves its columns null; the object says which inputs it was made of.
"""
