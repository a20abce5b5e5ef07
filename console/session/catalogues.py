"""What venues offer, as the source says it: asked for again where ours is missing or old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from engine.catalogue import Catalogue

if TYPE_CHECKING:
    from console.session.session import Session

CATALOGUE_AGE: Final = timedelta(hours=1)
"""A catalogue that is older is asked for again before planning."""


class Catalogues:
    """The catalogues of a session's source."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def refresh_catalogues(self, venues: Sequence[str]) -> dict[str, Catalogue]:
        """The venues' catalogues, asked of the source where ours is missing or old."""
        session = self._session
        found = {venue: session.inventory.newest_catalogue(venue) for venue in venues}
        now = session.clock()
        old = [venue for venue, catalogue in found.items() if catalogue is None or now - catalogue.fetched > CATALOGUE_AGE]
        fresh = self._ask_source(old) if old else {}
        return {venue: catalogue for venue, catalogue in (found | fresh).items() if catalogue is not None}

    def _ask_source(self, venues: Sequence[str]) -> dict[str, Catalogue]:
        import asyncio

        from engine.instruments.writing import fetch_catalogues
        from engine.source import Source

        session = self._session

        async def ask() -> dict[str, Catalogue]:
            async with Source(
                api_url=session.profile.tardis_api, datasets_url=session.profile.tardis_datasets, api_key=session.api_key
            ) as source:
                return await fetch_catalogues(source, venues, session.buckets.state, clock=session.clock)

        return asyncio.run(ask())
