"""Whether the data is there: coverage of a range, its verification, and waivers of what will never come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from console.places import user_folder
from engine.candles.timeframes import TIMEFRAMES
from engine.coverage import Coverage, Layer
from engine.inventory import check_range
from engine.model import Cell, DayRange

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.arrivals import Arrival
    from engine.validation.comparing import CellResult, Validation
    from engine.validation.verification import Depth
    from provision.waivers import WaiverProposal, WaiverReceipt


class LakeChecks:
    """What the lake of a session holds. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: dict[tuple[str, date], datetime | None] = {}
        """(venue, day) -> when the day was first known to be published: that does not change."""

    def check(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        layer: Layer = Layer.RAW,
        timeframes: Sequence[str] = (),
    ) -> Coverage:
        """The state of every cell of the range.

        Args:
            days: UTC.
            venues: exchange ids.
            data_types: of the raw layer; the others have none.
            symbols: only these.
            universe: only those of a named list.
            layer: what of the lake.
            timeframes: of candles, those that must be there; empty: all.
        """
        session = self._session
        session.catalogues.refresh_catalogues(venues)
        if layer is Layer.LOADED:
            from engine.bigquery.coverage import check_loads

            return check_loads(session.inventory, days, venues, now=session.clock(), timeframes=timeframes or TIMEFRAMES)
        if layer is Layer.CANDLES:
            from engine.candles.coverage import check_candles

            return check_candles(
                session.inventory,
                days,
                venues,
                now=session.clock(),
                symbols=symbols,
                universe=universe,
                universe_folder=user_folder("universes"),
                timeframes=timeframes or TIMEFRAMES,
            )
        return check_range(
            session.inventory,
            days,
            venues,
            data_types,
            now=session.clock(),
            symbols=symbols,
            universe=universe,
            universe_folder=user_folder("universes"),
            data=session.buckets.data,
        )

    def arrivals(
        self,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        day: date | None = None,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        coverage: Coverage | None = None,
    ) -> tuple[Arrival, ...]:
        """Whether a day is in yet, venue by venue, worst first.

        Args:
            venues: exchange ids.
            data_types: data types.
            day: UTC; None: yesterday.
            symbols: only these.
            universe: only those of a named list.
            coverage: of the same question over days that may hold this one: then nothing is read twice.
        """
        from engine.arrivals import arrivals_of, first_seen

        session = self._session
        day = day or session.clock().date() - timedelta(days=1)
        if coverage is None or day not in coverage.days:
            coverage = self.check(DayRange(day, day), venues, data_types, symbols=symbols, universe=universe)
        catalogues = session.inventory.catalogues(venues)
        for venue, catalogue in catalogues.items():
            if catalogue.is_published(day) and (venue, day) not in self._seen:
                self._seen[venue, day] = first_seen(session.buckets.state, venue, day)
        seen = {venue: at for venue in catalogues if (at := self._seen.get((venue, day))) is not None}
        return arrivals_of(coverage, day, catalogues, seen)

    def write_definitions(self, cells: Collection[Cell]) -> int:
        """Write the definitions of instruments of these venues and days, from what the source says now; returns how many were new.

        They are created once: what is there stays. A venue's answer is asked for once for all its days.

        Raises:
            WriteRefused: if the profile is read-only, or protected and not armed.
        """
        import asyncio

        from engine.instruments.writing import write_definitions
        from engine.source import Source
        from provision.profile import require_writable

        session, profile = self._session, self._session.profile
        require_writable(profile, armed=session.armed)

        async def write() -> int:
            async with Source(api_url=profile.tardis_api, datasets_url=profile.tardis_datasets, api_key=session.api_key) as source:
                return await write_definitions(source, cells, session.buckets.data, session.buckets.state, clock=session.clock)

        return asyncio.run(write())

    def propose_waivers(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        reason: str,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        outcomes: tuple[str, ...] = (),
        everything: bool = False,
        withdraw: bool = False,
    ) -> WaiverProposal:
        """Which files would be waived, or whose waivers withdrawn."""
        from provision.waivers import propose_waivers

        session = self._session
        session.catalogues.refresh_catalogues(venues)
        return propose_waivers(
            session.inventory,
            days,
            venues,
            data_types,
            reason=reason,
            symbols=symbols,
            universe=universe,
            outcomes=outcomes,
            everything=everything,
            withdraw=withdraw,
        )

    def apply_waivers(self, proposal: WaiverProposal) -> WaiverReceipt:
        """Write what a proposal says. Whoever calls this has asked the person."""
        from provision.waivers import apply_waivers

        session = self._session
        return apply_waivers(proposal, profile=session.profile, state=session.buckets.state, armed=session.armed, clock=session.clock)

    def verify(
        self,
        days: DayRange,
        venues: Sequence[str],
        data_types: Sequence[str],
        *,
        symbols: tuple[str, ...] = (),
        universe: str = "",
        depth: Depth | None = None,
        sample: int = 0,
        on_cell: Callable[[CellResult], None] = lambda _result: None,
    ) -> Validation:
        """Compare the objects of the range with its manifests, by listings unless told otherwise; what is found is kept."""
        from engine.universe import resolve_scope
        from engine.validation.comparing import Question, validate
        from engine.validation.verification import Depth

        session = self._session
        catalogues = session.catalogues.refresh_catalogues(venues)
        question = Question(
            days=days,
            venues=tuple(venues),
            data_types=tuple(data_types),
            scope=resolve_scope(symbols, universe, catalogues, folder=user_folder("universes")),
            depth=depth or Depth.LISTING,
            sample=sample,
        )
        data, state = session.buckets.data, session.buckets.state
        if question.depth is not Depth.SOURCE:
            return validate(data, state, question, on_cell=on_cell, clock=session.clock)
        import asyncio

        from engine.source import Source
        from engine.validation.source_comparison import validate_with_source

        source = Source(api_url=session.profile.tardis_api, datasets_url=session.profile.tardis_datasets, api_key=session.api_key)
        return asyncio.run(validate_with_source(source, data, state, question, on_cell=on_cell, clock=session.clock))
