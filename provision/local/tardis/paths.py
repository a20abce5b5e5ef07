"""The day of a base asset: where its price goes and when its market is busy.

Shared by every venue and data type, so that a perpetual, its spot market, its books and its options tell one story, and a
day begins where the day before ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import numpy as np

from provision.local.tardis.scenario import start_of
from provision.local.tardis.text import Floats, Ints

MINUTES = 1440
MINUTE_MICROSECONDS = 60_000_000
EDGE_MICROSECONDS = 400_000
"""No row this close to midnight: with latencies below it, no exchange time leaves the day unless a trap says so."""

_DAILY_VOLATILITY = 0.025
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stream(*parts: object) -> np.random.Generator:
    """Random numbers that depend on `parts` alone: not on order, process or platform."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class AssetDay:
    """Price and activity of a base asset on one UTC day, one knot a minute."""

    knots: Floats
    """1441 microsecond offsets from midnight."""
    relative: Floats
    """Price relative to the typical one, at the knots."""
    weight: Floats
    """Share of the day's events in each of the 1440 minutes."""

    def prices(self, offsets: Ints | Floats) -> Floats:
        """Relative price at these microsecond offsets."""
        return np.interp(offsets, self.knots, self.relative)


@lru_cache(maxsize=64)
def asset_day(seed: int, base: str, day: date) -> AssetDay:
    """The day of one base asset."""
    rng = stream(seed, "asset", base, day.isoformat())
    index = day.toordinal()
    today, tomorrow = _level(seed, base, index), _level(seed, base, index + 1)
    steps = rng.standard_normal(MINUTES) * _DAILY_VOLATILITY / MINUTES**0.5
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    share = np.linspace(0.0, 1.0, MINUTES + 1)
    logs = today + (tomorrow - today) * share + walk - walk[-1] * share
    hours = np.arange(MINUTES) / 60.0
    season = 1.0 + 0.45 * np.sin((hours - 8.5) / 24 * 2 * np.pi)
    bursts = np.exp(0.5 * rng.standard_normal(MINUTES))
    bursts[rng.integers(0, MINUTES, 12)] *= rng.uniform(6, 20, 12)
    weight = season * bursts
    return AssetDay(np.arange(MINUTES + 1, dtype=np.float64) * MINUTE_MICROSECONDS, np.exp(logs), weight / weight.sum())


def _level(seed: int, base: str, index: int) -> float:
    phases = stream(seed, "level", base).uniform(0, 2 * np.pi, 3)
    waves = ((113.0, 0.15), (29.0, 0.05), (7.0, 0.015))
    swing = ((height, 2 * np.pi * index / period) for period, height in waves)
    return float(sum(height * np.sin(angle + phase) for (height, angle), phase in zip(swing, phases, strict=True)))


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns shares of a file's events (0..1) into microsecond offsets from midnight."""

    knots: Floats
    cumulative: Floats

    def offsets(self, shares: Floats) -> Floats:
        """Monotone: sorted shares give sorted offsets."""
        return np.interp(shares, self.cumulative, self.knots)


def event_clock(asset: AssetDay, day: date, window: tuple[datetime, datetime], silent: Iterable[tuple[datetime, datetime]]) -> Clock:
    """The clock of one file: busy when the asset is, within `window`, mute in the `silent` stretches."""
    midnight = microseconds(start_of(day))
    start = max(microseconds(window[0]) - midnight, EDGE_MICROSECONDS)
    end = min(microseconds(window[1]) - midnight, MINUTES * MINUTE_MICROSECONDS - EDGE_MICROSECONDS)
    gaps = [(microseconds(a) - midnight, microseconds(b) - midnight) for a, b in silent]
    edges = {start, end, *(edge for gap in gaps for edge in gap)}
    inner = np.array(sorted(edge for edge in edges if start <= edge <= end), np.float64)
    knots = np.unique(np.concatenate([inner, asset.knots[(asset.knots > start) & (asset.knots < end)]]))
    density = asset.weight[np.minimum(knots[:-1] // MINUTE_MICROSECONDS, MINUTES - 1).astype(np.intp)] * np.diff(knots)
    for a, b in gaps:
        density[(knots[:-1] >= a) & (knots[1:] <= b)] = 0.0
    if not density.any():
        return Clock(knots[[0, -1]], np.array([0.0, 1.0]))
    # Mute stretches are steps of the inverse: no share falls into one.
    return Clock(knots, np.concatenate([[0.0], np.cumsum(density)]) / density.sum())
