"""Whether this console may write: read-only by command or profile, or a protected profile that a person has armed for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.clock import Clock

if TYPE_CHECKING:
    from console.session import Session


class Rights:
    """What is allowed now; a session that is armed is told so, because provision refuses on its own."""

    def __init__(self, clock: Clock, *, forced_read_only: bool) -> None:
        """
        Args:
            clock: The time, UTC.
            forced_read_only: Look, change nothing, whatever the profile says.
        """
        self._clock = clock
        self._forced = forced_read_only
        self._session: Session | None = None
        self.armed_until: datetime | None = None
        """Until when a protected profile may be written to, UTC; None: it was not armed."""

    def hold_for(self, session: Session) -> None:
        """The profile is known now."""
        self._session = session

    @property
    def read_only(self) -> bool:
        """Whether anything that writes is refused now."""
        if self._forced or self._session is None:
            return self._forced
        profile = self._session.profile
        return profile.read_only or (profile.protected and not self.is_armed)

    @property
    def is_protected(self) -> bool:
        """Whether the profile has to be armed for writing, and may be."""
        return self._session is not None and self._session.profile.protected and not self._forced

    @property
    def is_armed(self) -> bool:
        """Whether a protected profile may be written to now."""
        return self.armed_until is not None and self._clock() < self.armed_until

    def arm(self, minutes: float) -> str:
        """Allow writing for a while; says why not, or nothing."""
        assert self._session is not None
        if self._forced or self._session.profile.read_only:
            return f"profile {self._session.profile.name} is read-only: it cannot be armed"
        self.armed_until = self._clock() + timedelta(minutes=minutes)
        self._session.armed = True
        return ""

    def disarm(self) -> None:
        """Read-only again, at once."""
        self.armed_until = None
        self.expire()

    def expire(self) -> None:
        """Read-only again if the time is over."""
        if not self.is_armed and self._session is not None:
            self._session.armed = False
