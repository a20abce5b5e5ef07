"""The lake as a source: the coverage of the range that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource

if TYPE_CHECKING:
    from engine.coverage import Coverage

SECONDS_LIVE: Final = 3.0
"""While a run is live."""
SECONDS: Final = 15.0


class CoverageSource(FeedSource["Coverage"]):
    """Looks at the state of every cell."""

    NAME = "coverage"
    LABEL = "lake"

    def fetch(self) -> Coverage:
        from engine.model import DayRange

        request = self.console.covered
        assert request is not None
        return self.console.session.coverage.check(
            DayRange(request.start, request.end),
            request.venues,
            request.data_types,
            symbols=request.symbols,
            universe=request.universe,
        )

    def seconds(self) -> float:
        return SECONDS_LIVE if self.console.live_run else SECONDS

    def is_wanted(self) -> bool:
        return super().is_wanted() and self.console.covered is not None

    def patience(self) -> float:
        return 120.0  # years of manifests are listed at the first look

    def stale_after(self) -> float:
        return 4 * SECONDS
