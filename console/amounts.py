"""Amounts of money and hours as both front ends write them, and the line about what a run will have cost. No Textual here."""

from __future__ import annotations

from datetime import UTC

from provision.forecast import Forecast


def format_dollars(amount: float | None) -> str:
    """`$0.0123` where cents would hide it, `unknown` where there is no price."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "free"
    return f"${amount:,.4f}" if 0 < abs(amount) < 0.1 else f"${amount:,.2f}"


def format_hours(hours: float) -> str:
    """Four digits where two would say nothing."""
    return f"{hours:,.4f}" if hours < 0.1 else f"{hours:,.2f}"


def format_share(actual: float | None, expected: float) -> str:
    """How much more or less: `+12 %`; empty if it cannot be said."""
    return "" if actual is None or not expected else f"{100 * (actual / expected - 1):+.0f} %"


def forecast_line(found: Forecast) -> str:
    """ "$8.00 spent, $3.10/h; at the finish about $12.00 ($11.00 to $15.00), near 07:40 UTC; limit $30.00"."""
    if not found.high:
        return "free"
    ends = f", near {found.ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.ends else ""
    limit = f"; limit {format_dollars(found.limit)}" if found.limit else ""
    limit += ": will be passed" if found.passes_limit else ": may be passed" if found.may_pass_limit else ""
    finish = f"at the finish about {format_dollars(found.expected)} ({format_dollars(found.low)} to {format_dollars(found.high)})"
    return f"{format_dollars(found.spent)} spent, {format_dollars(found.per_hour)}/h; {finish}{ends}{limit}"
