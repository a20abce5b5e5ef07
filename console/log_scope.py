"""Whose logs are shown, of when, and the question that asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from console.log_gaps import command
from console.widgets.logline import Severity
from engine.errors import UsageError

if TYPE_CHECKING:
    from provision.logs import Question
    from provision.logs.evidence import Where

AROUND: Final = timedelta(seconds=30)
"""Before and after a line."""
LOOK_BACK: Final = timedelta(hours=1)
"""What a tail begins with is not older."""
LOOK_BACK_OF_VM: Final = timedelta(days=1)
"""How far back the log of a VM that is not of a run is looked for at first."""
TAIL_LINES: Final = 1_000
HISTORY_LINES: Final = 5_000
"""Lines that one look into the past brings."""
AROUND_LINES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose logs are shown."""

    run: str = ""
    """Empty: every run."""
    vm: str = ""
    """Empty: every VM."""
    gone: bool = False
    """Nothing runs on the VM any more: there is nothing to follow."""
    chosen: bool = False
    """A person asked for it; otherwise it follows the run that Fleet shows."""
    around: datetime | None = None
    """Only what was said about this time, by all VMs."""
    at: datetime | None = None
    """Where one looks first; what came before and after is there too."""

    @property
    def vms(self) -> tuple[str, ...]:
        return (self.vm,) if self.vm else ()

    @property
    def follows(self) -> bool:
        """Whether more may come."""
        return self.around is None and not self.gone

    @property
    def crumb(self) -> str:
        """Short, for the status line."""
        if self.around is not None:
            return f"around {self.around:%H:%M:%S}"
        at = f" at {self.at:%H:%M:%S}" if self.at is not None else ""
        return f"{self.vm or self.run}{at}"

    def words(self) -> str:
        """Whose, in full."""
        whose = self.vm or ("every VM" if self.run else "every run")
        of_run = f" of run {self.run}" if self.run and not self.vm else ""
        when = f", {self.around:%m-%d %H:%M:%S} UTC ± {AROUND.seconds} s" if self.around is not None else ""
        when = f", at {self.at:%m-%d %H:%M:%S} UTC" if self.at is not None else when
        return f"{whose}{of_run}{when}"

    def begin(self, now: datetime) -> datetime:
        """The earliest time at which anything of this can have been said, as far as is known."""
        from engine.run import run_started

        if self.around is not None:
            return self.around - AROUND
        try:
            began = run_started(self.run) - timedelta(minutes=1) if self.run else now - LOOK_BACK_OF_VM
        except UsageError:
            began = now - LOOK_BACK_OF_VM
        return min(began, now - LOOK_BACK)

    def to_tail(self, now: datetime, minimum: Severity, *, since: datetime | None = None) -> Question:
        """What a tail asks for: the newest lines, then those that come."""
        return self._question(since or now - LOOK_BACK, None, minimum, TAIL_LINES)

    def to_history(self, now: datetime, minimum: Severity, *, since: datetime | None = None, until: datetime | None = None) -> Question:
        """What has been said, the newest of it."""
        if self.around is not None:
            return self._question(self.around - AROUND, self.around + AROUND, minimum, AROUND_LINES)
        return self._question(since or self.begin(now), until, minimum, HISTORY_LINES)

    def to_span(self, since: datetime, until: datetime, minimum: Severity, lines: int, *, where: Where = "auto") -> Question:
        """All that was said in a span."""
        return self._question(since, until, minimum, lines, where)

    def to_command(self, since: datetime, until: datetime | None, minimum: Severity, count: int = 0) -> str:
        """The headless command that reads the same."""
        return command(since=since, until=until, run=self.run, vms=self.vms, severity=minimum.name, count=count)

    def _question(self, since: datetime, until: datetime | None, minimum: Severity, lines: int, where: Where = "auto") -> Question:
        from provision.logs import Question

        return Question(since=since, vms=self.vms, run=self.run, until=until, min_severity=minimum.name, lines=lines, where=where)
