"""The option columns: prices, volatilities and greeks of one contract, by Black-Scholes on its underlying's path.

Kept apart from the other data types because it is the only one with a model behind it.
"""

from __future__ import annotations

import math

import numpy as np

from provision.local.tardis.listings import Contract
from provision.local.tardis.paths import microseconds
from provision.local.tardis.text import Column, Decimals, Floats, Ints, Labels, Mask, constant

_YEAR_MICROSECONDS = 365 * 86_400 * 1_000_000
_PRICE_DECIMALS = 4
_MARK_DECIMALS = 8
_IV_DECIMALS = 2
_GREEK_DECIMALS = 5


def option_block(contract: Contract, local: Ints, spot: Floats, rng: np.random.Generator) -> dict[str, Column]:
    """Columns of options_chain after the event's own, as deribit writes them: fixed decimals, prices in the coin, IV in percent.

    Args:
        contract: which option.
        local: microseconds since the epoch, one a row.
        spot: price of the underlying at those times.
        rng: the block's random numbers.
    """
    rows = len(local)
    expiry = microseconds(contract.expiry)
    years = np.maximum(expiry - local, 60_000_000) / _YEAR_MICROSECONDS
    moneyness = np.log(contract.strike / spot)
    volatility = 0.55 + 0.35 * moneyness**2 / np.sqrt(years + 0.05) - 0.08 * moneyness + rng.standard_normal(rows) * 0.001
    deviation = volatility * np.sqrt(years)
    d1 = -moneyness / deviation + deviation / 2
    d2 = d1 - deviation
    sign = 1.0 if contract.right == "call" else -1.0
    mark = np.maximum(sign * (spot * _normal(sign * d1) - contract.strike * _normal(sign * d2)) / spot, 1e-8)
    density = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
    delta = sign * _normal(sign * d1)
    gamma = density / (spot * deviation)
    vega = spot * density * np.sqrt(years) / 100
    theta = -spot * density * volatility / (2 * np.sqrt(years)) / 365
    rho = sign * contract.strike * years * _normal(sign * d2) / 100
    bids = np.floor(mark * 0.985 * 10**_PRICE_DECIMALS - rng.integers(0, 3, rows)).astype(np.int64)
    asks = np.ceil(mark * 1.015 * 10**_PRICE_DECIMALS + rng.integers(0, 3, rows)).astype(np.int64)
    no_bid, no_ask = bids <= 0, rng.random(rows) < 0.01
    never_traded = np.full(rows, abs(float(moneyness[0])) > 0.33)
    spread = 0.4 + rng.random(rows) * 2
    return {
        "type": constant(contract.right, rows),
        "strike_price": Decimals(np.full(rows, contract.strike, np.int64)),
        "expiration": Decimals(np.full(rows, expiry, np.int64)),
        "open_interest": Decimals(np.maximum(0, 400 + np.cumsum(rng.integers(-2, 3, rows))), 1, fixed=True),
        "last_price": _fixed(mark * (1 + rng.standard_normal(rows) * 0.01), _PRICE_DECIMALS, never_traded),
        "bid_price": Decimals(np.maximum(bids, 0), _PRICE_DECIMALS, fixed=True, empty=no_bid),
        "bid_amount": Decimals(rng.integers(1, 400, rows), 1, fixed=True, empty=no_bid),
        "bid_iv": _fixed(np.maximum(0.0, volatility * 100 - spread), _IV_DECIMALS, no_bid),
        "ask_price": Decimals(asks, _PRICE_DECIMALS, fixed=True, empty=no_ask),
        "ask_amount": Decimals(rng.integers(1, 400, rows), 1, fixed=True, empty=no_ask),
        "ask_iv": _fixed(volatility * 100 + spread, _IV_DECIMALS, no_ask),
        "mark_price": _fixed(mark, _MARK_DECIMALS),
        "mark_iv": _fixed(volatility * 100, _IV_DECIMALS),
        "underlying_index": Labels(np.zeros(rows, np.intp), (contract.index,)),
        "underlying_price": Decimals(np.rint(spot * 100).astype(np.int64), 2),
        "delta": _fixed(delta, _GREEK_DECIMALS),
        "gamma": _fixed(gamma, _GREEK_DECIMALS),
        "vega": _fixed(vega, _GREEK_DECIMALS),
        "theta": _fixed(theta, _GREEK_DECIMALS),
        "rho": _fixed(rho, _GREEK_DECIMALS),
    }


def _fixed(values: Floats, decimals: int, empty: Mask | None = None) -> Decimals:
    return Decimals(np.rint(values * 10**decimals).astype(np.int64), decimals, fixed=True, empty=empty)


def _normal(values: Floats) -> Floats:
    """Standard normal distribution, to 1e-7 (Abramowitz and Stegun 26.2.17): numpy has no erf of its own."""
    t = 1 / (1 + 0.2316419 * np.abs(values))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-(values**2) / 2) / math.sqrt(2 * math.pi) * series
    return np.asarray(np.where(values >= 0, 1 - upper, upper))
