"""What the console does before its first mode is on: opens the session, finds a live run, and decides what the Plan screen asks for.

All of it blocks and runs in one thread; the screen hears of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from engine.errors import EngineError, one_line

if TYPE_CHECKING:
    from console.session import Session
    from console.symbol_index import SymbolIndex
    from engine.model import DayRange
    from engine.plan import Request

Report = Callable[[str, str], None]
"""Hears (step, state): state is `running`, `done`, or what went wrong."""
Opener = Callable[[Report], "Session"]
LookAround = Callable[["Session", "Request | None", Report], "Opened"]
"""What a session finds at the start; takes what Plan shall ask for, or None."""

STANDING_VENUES: Final = ("binance", "binance-futures", "deribit", "bybit", "bybit-spot", "okex", "okex-futures", "okex-swap")
STANDING_TYPES: Final = ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
"""What the standing job keeps complete."""


@dataclass(frozen=True, slots=True)
class Opened:
    """All that the console starts with."""

    session: Session
    request: Request
    live_run: str = ""
    """The newest run that is running or draining; empty if there is none."""
    live_words: str = ""
    """What its workers say of it: known long before Compute Engine has answered."""
    venues: tuple[str, ...] = ()
    """Venues whose catalogues the state bucket has."""
    problem: str = ""
    """Why the state bucket could not be asked, one line."""


def look_around(session: Session, request: Request | None, report: Report) -> Opened:
    """Find a live run, and what to ask for; a state bucket that does not answer is no reason not to open."""
    report("runs and catalogues", "running")
    live_run, live_words, problem = "", "", ""
    venues: tuple[str, ...] = ()
    try:
        venues = known_venues(session)
        runs = session.watching.live_runs()
        if runs:
            live_run = runs[-1]
            live_words = words_of_run(session, live_run)
            request = request_of_run(session, live_run) or request
        elif request is None:
            request = last_request(session)
    except EngineError as error:
        problem = one_line(error)
    report("runs and catalogues", problem or "done")
    return Opened(session, request or first_request(session), live_run, live_words, venues, problem)


def known_venues(session: Session) -> tuple[str, ...]:
    """Venues whose catalogues were fetched before."""
    from engine.catalogue import list_venues

    return tuple(list_venues(session.buckets.state))


def source_venues(session: Session) -> tuple[str, ...]:
    """All venues that the session's source has, sorted.

    Raises:
        EngineError: if the source does not say.
    """
    import asyncio
    import json

    from engine.source import Source

    async def ask() -> bytes:
        profile = session.profile
        async with Source(api_url=profile.tardis_api, datasets_url=profile.tardis_datasets, api_key=session.api_key) as source:
            return await source.exchanges()

    return tuple(sorted(str(venue["id"]) for venue in json.loads(asyncio.run(ask()))))


def listed_symbols(session: Session, venues: Sequence[str], data_types: Sequence[str], days: DayRange) -> SymbolIndex:
    """What may be typed as a symbol, from the catalogues that the state bucket has.

    Raises:
        EngineError: if the bucket does not answer, or has no catalogue of a venue.
    """
    from console.symbol_index import index_symbols

    return index_symbols(session.inventory.catalogues(venues), data_types, days)


def words_of_run(session: Session, run: str) -> str:
    """A run by its workers' own words."""
    from engine.heartbeat import list_heartbeats

    beats = list_heartbeats(session.buckets.state, run)
    if not beats:
        return f"run {run} is live, none of its workers has reported yet"
    done, total = sum(beat.files_done for beat in beats), sum(beat.files_total for beat in beats)
    workers = f"{len(beats)} worker{'' if len(beats) == 1 else 's'} reported"
    return f"run {run} is live: {workers}, {done:,} of {total:,} files done"


def request_of_run(session: Session, run: str) -> Request | None:
    """What a run was asked to download; None if there is no such run, or it does something else."""
    from engine.launch import read_launches

    launches = read_launches(session.buckets.state, run)
    plan = session.inventory.plan(launches[0].plan) if launches else None
    return plan.request if plan is not None and not plan.job else None


def last_request(session: Session) -> Request | None:
    """What the newest run was asked for; None if there was none."""
    from engine.launch import list_runs

    for run in sorted(list_runs(session.buckets.state), reverse=True):
        if (request := request_of_run(session, run)) is not None:
            return request
    return None


def first_request(session: Session) -> Request:
    """What to offer where nothing was ever run: what the stand-in serves, else the standing job's yesterday."""
    from engine.plan import Request

    if session.profile.source == "stand-in":
        from console.demo import demo_request

        return demo_request()
    yesterday = session.clock().date() - timedelta(days=1)
    if session.profile.kind == "local":
        return _free_day(yesterday)
    return Request(venues=STANDING_VENUES, data_types=STANDING_TYPES, start=yesterday, end=yesterday)


def _free_day(yesterday: date) -> Request:
    """The first day of a month needs no key at the real source."""
    from msgspec import structs

    from console.demo import demo_request

    first = yesterday.replace(day=1)
    return structs.replace(demo_request(real_source=True), start=first, end=first)
