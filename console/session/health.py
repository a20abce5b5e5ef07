"""What could be wrong before anything is launched: the checks of a launch and those of this machine, run at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.doctor.checkup import Check
    from engine.doctor.finding import Finding


class Health:
    """The doctor of a session. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def names(self, others: Iterable[Check] = ()) -> list[str]:
        """Of all checks, in the order of the report."""
        return [check.name for check in self._checks(others)]

    def examine(self, others: Iterable[Check] = ()) -> Iterator[Finding]:
        """Run all checks at once; each finding as soon as it and those before it are there.

        They are those of a launch of as many VMs as the profile allows, those of the engine here, and others; what two would look at
        is looked at once.
        """
        from provision.preflight import run_checks

        return run_checks(self._checks(others))

    def _checks(self, others: Iterable[Check]) -> tuple[Check, ...]:
        from engine.doctor import checkup
        from provision.preflight import checks_of, fleet_of, settings_of

        session = self._session
        if session.profile.kind == "local":
            _ = session.buckets  # made on first use
        of_launch = checks_of(session.profile, fleet_of(session.profile), api_key=session.api_key, clock=session.clock)
        names = {check.name for check in of_launch}
        of_engine = checkup.checks_of(settings_of(session.profile, session.api_key), clock=session.clock)
        return (*of_launch, *(check for check in of_engine if check.name not in names), *others)
