"""The lake as a source: the coverage of the range that is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from console.feeds import FeedSource
from engine.clock import monotonic

if TYPE_CHECKING:
    from engine.coverage import Coverage
    from engine.plan import Request

SECONDS_LIVE: Final = 3.0
"""While a run is live."""
SECONDS: Final = 15.0
PAUSE_SHARE: Final = 4.0
"""The pause after a look is so many times as long as the look."""


class CoverageSource(FeedSource["Coverage"]):
    """Looks at the state of every cell."""

    NAME = "coverage"
    LABEL = "lake"

    _took = 0.0
    """Seconds of the last look."""

    def fetch(self) -> Coverage:
        request = self.console.covered
        assert request is not None
        began = monotonic()
        try:
            return self._check(request)
        finally:
            self._took = monotonic() - began

    def _check(self, request: Request) -> Coverage:
        from engine.coverage import Layer
        from engine.model import DayRange

        ask = partial(
            self.console.session.coverage.check,
            DayRange(request.start, request.end),
            request.venues,
            request.data_types,
            symbols=request.symbols,
            universe=request.universe,
        )
        layer = self.console.layer
        return ask() if layer is Layer.RAW else ask(layer=layer)

    def seconds(self) -> float:
        """A look at years of cells takes a while: it must not be all that the console does."""
        return max(SECONDS_LIVE if self.console.live_run else SECONDS, PAUSE_SHARE * self._took)

    def is_wanted(self) -> bool:
        return super().is_wanted() and self.console.covered is not None

    def patience(self) -> float:
        return 120.0  # years of manifests are listed at the first look

    def stale_after(self) -> float:
        return 4 * SECONDS
