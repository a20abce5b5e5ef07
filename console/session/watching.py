"""Looking at the fleet, and telling others what is new in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.notify import Event, parse_hooks, tell, telling

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.launch import LaunchRecord
    from provision.fleet import FleetSnapshot
    from provision.news import News


class Watching:
    """What runs, in the eyes of a session. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._snapshot: FleetSnapshot | None = None
        self._news: News | None = None
        self._lock = threading.Lock()
        self.is_telling = False
        """Whether anybody is told of what is new."""

    def fleet(self, run: str = "") -> FleetSnapshot:
        """The whole fleet now; progress is judged against the last look."""
        from provision.fleet import observe

        session = self._session
        with self._lock:
            snapshot = observe(
                session.profile,
                session.compute,
                session.runs,
                run=run or None,
                previous=self._snapshot,
                clock=session.clock,
            )
            self._snapshot = snapshot
            news = self._find_news(snapshot) if self.is_telling else ()
        for event in news:
            tell(event)
        return snapshot

    def _find_news(self, snapshot: FleetSnapshot) -> tuple[Event, ...]:
        from provision.news import News

        if self._news is None:
            self._news = News(self._session.runs.read)
        return self._news.of(snapshot)

    @contextmanager
    def telling(
        self,
        urls: Sequence[str] = (),
        *,
        bell: Callable[[], object] = lambda: None,
        report: Callable[[str], object] = lambda _line: None,
    ) -> Iterator[None]:
        """While the block runs, every look at the fleet tells what is new: to the profile's addresses, to these, and by the bell.

        Args:
            urls: see `provision.notify.parse_hook`.
            bell: rings; called from the thread that looks.
            report: hears once of an address that cannot be told. Called from a thread of its own.

        Raises:
            ConfigurationError: for an address that cannot be meant.
        """
        session = self._session
        hooks = parse_hooks((*session.profile.notify, *urls), local=session.profile.kind == "local")
        self.is_telling = True
        try:
            with telling(hooks, bell=bell, report=report):
                yield
        finally:
            self.is_telling = False

    def live_runs(self) -> list[str]:
        """Runs with unfinished shards, oldest first."""
        session = self._session
        return [view.run for view in session.runs.live_runs(session.clock())]

    def launch_records(self, run: str) -> list[LaunchRecord]:
        """The launches of a run, oldest first; empty if there is no such run."""
        from engine.launch import read_launches

        return read_launches(self._session.buckets.state, run)

    def runs_at_hand(self) -> list[str]:
        """Runs of the project that are live, or that have VMs."""
        return [view.run for view in self.fleet().runs if view.orders[0].project == self._session.profile.project]
