"""What VMs said: queries, tails, evidence from wherever it is kept, and the serial port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

from engine.errors import UsageError

if TYPE_CHECKING:
    from console.session.session import Session
    from provision.logs import Batch, Evidence, Question

RECENT = timedelta(hours=24)
"""How far back the last files of a VM are looked for."""


class Logs:
    """The logs of a session. What is not asynchronous blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_logs(self, question: Question) -> Evidence:
        """What VMs said, from wherever it is kept: also of VMs that are gone, or were never ours."""
        from provision.clients import make_logging
        from provision.logs import Places, find

        session = self._session
        places = Places(
            project=session.profile.project,
            state=session.buckets.state,
            logging=lambda: make_logging(session.profile, tailing=False),
            compute=lambda: session.compute,
            now=session.clock,
        )
        return find(places, question)

    async def follow_logs(self, question: Question) -> AsyncIterator[Batch]:
        """What a question asks for, as it comes, beginning with what Cloud Logging has of it. On the event loop that shows it."""
        from dataclasses import replace

        from provision.clients import make_logging
        from provision.logs import tail

        session = self._session
        query = question.to_query(session.profile.project, foreign=question.names_vms and not question.run)
        async for batch in tail(make_logging(session.profile), query):
            yield replace(batch, entries=tuple(question.keep(batch.entries)))

    def recent_files(self, run: str, vm: str, *, lines: int = 200) -> Evidence:
        """What became of the files that a VM had last, newest first; from its log objects, and from Cloud Logging what is younger.

        Args:
            run: empty for a VM that is not ours: it has no files.
        """
        from dataclasses import replace

        from provision.logs import Evidence, Question

        if not run:
            return Evidence(())
        since = self._session.clock() - RECENT
        found = self.find_logs(Question(since=since, vms=(vm,), run=run, min_severity="INFO", lines=10 * lines))
        return replace(found, entries=tuple(entry for entry in reversed(found.entries) if entry.event.startswith("file_"))[:lines])

    def serial(self, vm: str) -> str:
        """The end of a VM's serial port."""
        from provision.resources import read_serial_tail

        session = self._session
        row = session.watching.fleet().find(vm)
        if row is None or not row.exists:
            raise UsageError(f"there is no VM {vm} to read the serial port of", hint=f"its log: tickdeck logs {vm}")
        return read_serial_tail(session.compute, row.zone, vm)
