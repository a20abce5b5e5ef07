"""What runs cost, as a source."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource

if TYPE_CHECKING:
    from provision.costs import Spending

DAYS: Final = 30
"""Runs that began so far back, today included."""
SECONDS_LIVE: Final = 10.0
SECONDS: Final = 60.0


class CostsSource(FeedSource["Spending"]):
    """Adds it up from launch records, heartbeats, manifests and what Compute Engine still knows."""

    NAME = "costs"
    LABEL = "costs"

    def fetch(self) -> Spending:
        since = self.console.clock().date() - timedelta(days=DAYS - 1)
        return self.console.session.money.spending(since=since)

    def seconds(self) -> float:
        return SECONDS_LIVE if self.console.live_run else SECONDS
