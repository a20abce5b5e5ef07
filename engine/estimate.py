"""How large, how long, how dear: estimates of files before they are fetched, and of fleets before they are started.

Sizes come from what manifests say was fetched before, else from priors. Speeds and prices are given by the caller, each with its
source, because they belong to a machine type and to a day.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from engine.clock import format_bytes
from engine.errors import UsageError
from engine.manifest import Record, Summary
from engine.model import Cell, File, Outcome, day_start, require_aware
from engine.plan import Price, Shard

MB = 1_000_000
GIB = 1 << 30
"""Storage and NAT are billed by it."""

STORED_SHARE = 0.8
"""Bytes of Parquet in the bucket over compressed source bytes of the standing job."""
STORED_LOW, STORED_HIGH = 0.52, 0.96
"""Measured with pyarrow on samples: trades at binance the least, options at okex the most (2026-11)."""

PRIOR_SOURCE = (
    "fleet simulation of the standing job: 12 GB of compressed source bytes a day over its 27 venue-type pairs, one options file"
    " of 1.5 GB (2026-11); types outside the job by their usual ratio to trades and books"
)

PRIOR_BYTES: Mapping[str, int] = {
    "trades": 12 * MB,
    "book_snapshot_5": 35 * MB,
    "book_snapshot_25": 120 * MB,
    "incremental_book_L2": 110 * MB,
    "quotes": 25 * MB,
    "book_ticker": 40 * MB,
    "derivative_ticker": 9 * MB,
    "liquidations": MB // 10,
    "options_chain": 1500 * MB,
}
"""Compressed source bytes of a mean file of a day at binance-futures; options_chain: the grouped file at deribit."""

OTHER_TYPE_BYTES = 10 * MB

VENUE_SHARE: Mapping[str, float] = {
    "binance-futures": 1.0,
    "bybit": 0.9,
    "binance": 0.82,
    "okex-swap": 0.68,
    "deribit": 1.25,
    "okex": 0.48,
    "okex-futures": 0.36,
    "bybit-spot": 0.3,
}
"""A mean file of the venue against one of binance-futures."""

OTHER_VENUE_SHARE = 0.4

COIN_SHARE: Mapping[str, float] = {"BTC": 7.0, "XBT": 7.0, "ETH": 4.3, "SOL": 3.2, "XRP": 2.6, "DOGE": 2.3, "BNB": 2.0}
"""The largest coins against the mean of a venue (Zipf with exponent 0.7 over 60 symbols)."""

OTHER_COIN_SHARE = 0.6
DATED_SHARE = 0.3
OPTION_SHARE = 0.005

NEAREST_DAYS = 7
"""How many earlier days of a symbol make its estimate."""

_OPTION_ID = re.compile(r".*-[CP]")
_DATED_ID = re.compile(r".*(\d{6}|\d{1,2}[A-Z]{3}\d{2})")
_COIN = re.compile(r"(?:1000)*(XBT|BTC|ETH|SOL|XRP|DOGE|BNB)(?=USD|EUR|[-_]|$)")
_GROUPED = {"OPTIONS": 1.0, "SPOT": 60.0, "FUTURES": 60.0, "PERPETUALS": 60.0}


def prior_bytes(cell: Cell, symbol: str) -> int:
    """Compressed source bytes to expect of a file when nothing of its kind was ever fetched."""
    mean = PRIOR_BYTES.get(cell.data_type, OTHER_TYPE_BYTES)
    if cell.data_type == "options_chain":
        return int(mean if symbol == "OPTIONS" else mean * OPTION_SHARE)
    return int(mean * VENUE_SHARE.get(cell.venue, OTHER_VENUE_SHARE) * _symbol_share(symbol))


def _symbol_share(symbol: str) -> float:
    if symbol in _GROUPED:
        return _GROUPED[symbol]
    if _OPTION_ID.fullmatch(symbol):
        return OPTION_SHARE
    coin = _COIN.match(symbol)
    share = COIN_SHARE[coin[1]] if coin else OTHER_COIN_SHARE
    return share * DATED_SHARE if _DATED_ID.fullmatch(symbol) else share


def file_sizes(cell: Cell, records: Mapping[str, Record]) -> Iterator[tuple[File, int]]:
    """What an opened cell teaches about sizes: its files that the source answered, with their compressed bytes."""
    for symbol, record in records.items():
        if record.entry.outcome in (Outcome.OK, Outcome.EMPTY) and record.entry.source_bytes:
            yield File(cell, symbol), record.entry.source_bytes


class Sizes:
    """Estimates of compressed source bytes, from what was fetched before.

    A file is estimated by the median of up to seven nearest days of its (venue, data type, symbol); where no manifest of it was
    opened, by its prior scaled so that the mean is that of the seven nearest whole cells; where there is none, by its prior.

    Args:
        files: sizes of single files, from opened manifests (`file_sizes`).
        summaries: manifests from listings; closed ones teach the mean of their cell, but for adopted ones: nobody fetched those.
        prior_share: scales all priors, for a source whose files are not those of the real market.
    """

    def __init__(self, files: Iterable[tuple[File, int]] = (), summaries: Iterable[Summary] = (), *, prior_share: float = 1.0) -> None:
        self._prior_share = prior_share
        by_symbol: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
        for file, size in files:
            by_symbol[file.cell.venue, file.cell.data_type, file.symbol][file.cell.day.toordinal()] = size
        totals: dict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)
        for summary in summaries:
            fetched = summary.counts.get(Outcome.OK, 0)
            if fetched and summary.source_bytes and not summary.open:
                cell = summary.name.cell
                days = totals[cell.venue, cell.data_type]
                count, size = days.get(cell.day.toordinal(), (0, 0))
                days[cell.day.toordinal()] = (count + fetched, size + summary.source_bytes)
        self._symbols = {key: _Series(days) for key, days in by_symbol.items()}
        self._means = {key: _Series({day: size / count for day, (count, size) in days.items()}) for key, days in totals.items()}

    def estimate(self, cell: Cell, symbols: Sequence[str]) -> tuple[int, ...]:
        """Compressed source bytes to expect of each of these files of a cell; at least 1."""
        day = cell.day.toordinal()
        known = [self._symbols.get((cell.venue, cell.data_type, symbol)) for symbol in symbols]
        priors = [prior_bytes(cell, symbol) * self._prior_share for symbol in symbols]
        mean = self._means.get((cell.venue, cell.data_type))
        share = 1.0
        if mean is not None and sum(priors) > 0:
            share = mean.near(day) * len(priors) / sum(priors)
        return tuple(
            max(1, round(series.near(day) if series is not None else prior * share)) for series, prior in zip(known, priors, strict=True)
        )


class _Series:
    """Values by day, asked for the median of the nearest ones."""

    def __init__(self, by_day: Mapping[int, float]) -> None:
        self._days = sorted(by_day)
        self._values = [by_day[day] for day in self._days]
        self._before = median(self._values[:NEAREST_DAYS])
        self._after = median(self._values[-NEAREST_DAYS:])

    def near(self, day: int) -> float:
        """Median of up to seven days nearest to `day`, the earlier of two equally near."""
        days = self._days
        if day <= days[0]:
            return self._before
        if day >= days[-1]:
            return self._after
        high = bisect_left(days, day)
        low = high - 1
        picked: list[float] = []
        while len(picked) < min(NEAREST_DAYS, len(days)):
            if high >= len(days) or (low >= 0 and day - days[low] <= days[high] - day):
                picked.append(self._values[low])
                low -= 1
            else:
                picked.append(self._values[high])
                high += 1
        return median(picked)


@dataclass(frozen=True, slots=True)
class Speed:
    """What one VM does. `Speed()` is an e2-highmem-8; see `LOCAL_SPEED` for this machine."""

    bytes_per_second: float = 7.0 * MB
    """Compressed source bytes that one converter takes in."""
    converters: int = 6
    """Files under way at a time that are limited by CPU: eight vCPUs less what fetching and committing take."""
    seconds_per_file: float = 0.5
    """Of a converter, whatever the size: request, commit, start-up of a parser."""
    boot_seconds: float = 75.0
    """From the request for the VM to the first file."""

    def __post_init__(self) -> None:
        if self.bytes_per_second <= 0 or self.converters < 1 or self.seconds_per_file < 0 or self.boot_seconds < 0:
            raise UsageError(f"{self} cannot be: a speed is positive, and there is at least one converter")

    def file_seconds(self, size: int) -> float:
        """Time of one converter for a file of that many compressed bytes."""
        return self.seconds_per_file + size / self.bytes_per_second

    def each_file_seconds(self, sizes: Iterable[int]) -> list[float]:
        """`file_seconds` of many files: a plan may have a million, and a call for each is what packing them would consist of."""
        fixed, rate = self.seconds_per_file, self.bytes_per_second
        return [fixed + size / rate for size in sizes]

    def elapsed(self, sizes: Iterable[int]) -> float:
        """Seconds that one VM takes for files of these sizes, worked in this order by all its converters; without boot."""
        seconds = self.each_file_seconds(sizes)
        if self.converters == 1:
            return sum(seconds)
        slots = [0.0] * self.converters
        replace = heapq.heapreplace
        for each in seconds:
            replace(slots, slots[0] + each)
        return max(slots)


VM_SPEED = Speed()
LOCAL_SPEED = Speed(bytes_per_second=12.0 * MB, converters=1, seconds_per_file=0.05, boot_seconds=2.0)


def lower_bound(sizes: Iterable[int], vms: int, speed: Speed) -> float:
    """Seconds from launch to the end that no packing on this many VMs can beat: all converters busy, or the longest file."""
    total = longest = 0.0
    for size in sizes:
        seconds = speed.file_seconds(size)
        total += seconds
        longest = max(longest, seconds)
    return speed.boot_seconds + max(total / (vms * speed.converters), longest) if total else 0.0


def makespan(shards: Iterable[Shard], speed: Speed) -> float:
    """Seconds from launch to the end of the slowest shard, each on a VM of its own; 0 without shards."""
    longest = max((shard.seconds for shard in shards), default=None)
    return 0.0 if longest is None else speed.boot_seconds + longest


def elapsed_under_cap(shard: Shard, *, now: datetime) -> float:
    """Seconds of work of a shard that starts now and waits for 00:00 UTC whenever its share of the daily cap is used up."""
    days = allowance_days(shard.bytes, shard.daily_bytes)
    if days <= 1:
        return shard.seconds
    now = require_aware(now)
    last_day = day_start(now.date()) + timedelta(days=days - 1)
    rest = (shard.bytes - (days - 1) * shard.daily_bytes) / shard.bytes
    return max(shard.seconds, (last_day - now).total_seconds() + shard.seconds * rest)


@dataclass(frozen=True, slots=True)
class Rate:
    """A price per unit, in US dollars, with where it comes from."""

    dollars: float
    source: str
    dated: str
    """Day of the price, ISO, or the word `free`."""
    low: float = 0.9
    """The least we might pay, as a share of the expected."""
    high: float = 1.3
    """The most: more hours than estimated, lost work done again, a price that rose."""


FREE = Rate(0.0, "this machine", "free", 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of a region and machine type. `Rates()` costs nothing: this machine."""

    vm_hour: Rate = FREE
    disk_hour: Rate = FREE
    """Of one VM's disk."""
    ip_hour: Rate = FREE
    """Of one VM's external address."""
    class_a_per_1000: Rate = FREE
    """Creating and listing objects."""
    nat_gib: Rate | None = None
    """Of what VMs without an external address receive through Cloud NAT; None: they have one."""
    nat_gateway_hour: Rate | None = None
    storage_gib_month: Rate | None = None
    """Of what a run leaves in the bucket; None: nothing, or no price is known."""
    machine: str = field(default="VM")
    """Named in the cost line, e.g. "e2-highmem-8 spot"."""
    unknown: str = ""
    """What has no price, e.g. "c3-standard-8 in asia-northeast1". Then nothing is priced: a part would pass for the whole."""


def cost_lines(rates: Rates, *, vm_hours: float, class_a: int, source_bytes: int = 0, hours: float = 0.0) -> tuple[Price, ...]:
    """What a plan costs to run, line by line; keeping the data is not in it. Empty if there is no price.

    Args:
        vm_hours: of all VMs together.
        class_a: billed writes and listings.
        source_bytes: what they receive; matters to VMs behind Cloud NAT.
        hours: from launch to end.
    """
    if rates.unknown:
        return ()
    machines = (
        _price(f"{rates.machine}, {vm_hours:,.1f} hours", rates.vm_hour, vm_hours),
        _price("disks", rates.disk_hour, vm_hours),
        _price("external addresses", rates.ip_hour, vm_hours),
    )
    return (*machines, *service_lines(rates, class_a=class_a, source_bytes=source_bytes, hours=hours))


MACHINE_LINES = 3
"""The first cost lines of a plan: those that follow from VM-hours alone."""


def service_lines(rates: Rates, *, class_a: int, source_bytes: int, hours: float) -> tuple[Price, ...]:
    """The cost lines that do not follow from VM-hours; see `cost_lines`."""
    lines = [(f"storage operations, {class_a:,}", rates.class_a_per_1000, class_a / 1000)]
    if rates.nat_gib is not None:
        lines.append((f"Cloud NAT, {source_bytes / GIB:,.1f} GiB", rates.nat_gib, source_bytes / GIB))
    if rates.nat_gateway_hour is not None:
        lines.append((f"Cloud NAT gateway, {hours:,.1f} hours", rates.nat_gateway_hour, hours))
    return tuple(_price(item, rate, amount) for item, rate, amount in lines)


def storage_growth(rates: Rates, source_bytes: int) -> Price | None:
    """What keeping the result adds to the bill of every month after; None if it is free, or has no price."""
    rate = rates.storage_gib_month
    if rate is None or rates.unknown or not source_bytes:
        return None
    kept = source_bytes * STORED_SHARE
    return _price(f"keeping {format_bytes(kept)}, a month", rate, kept / GIB)


def _price(item: str, rate: Rate, amount: float) -> Price:
    expected = rate.dollars * amount
    return Price(item=item, low=expected * rate.low, expected=expected, high=expected * rate.high, source=rate.source, dated=rate.dated)


HEARTBEATS_PER_HOUR = 360
LOG_OBJECTS_PER_HOUR = 60
CALLS_PER_SHARD = 12
"""Claim, release, listings of what is committed, first and last heartbeat and log."""


def class_a_operations(*, files: int, manifests: int, shards: int, vm_hours: float) -> int:
    """Billed writes and listings of a run: an object a file, a manifest a cell and shard, and what workers say of themselves."""
    return files + manifests + shards * CALLS_PER_SHARD + round(vm_hours * (HEARTBEATS_PER_HOUR + LOG_OBJECTS_PER_HOUR))


def allowance_days(size: int, allowance_bytes: int) -> int:
    """UTC days over which a transfer of that size has to be spread; 0 if nothing is limited."""
    return -(-size // allowance_bytes) if allowance_bytes > 0 else 0


def allowance_end(size: int, allowance_bytes: int, *, now: datetime) -> datetime:
    """The earliest moment at which the account's daily allowance lets the last of it through, starting now with a full day's."""
    now, days = require_aware(now), allowance_days(size, allowance_bytes)
    return now if days <= 1 else day_start(now.date()) + timedelta(days=days - 1)
