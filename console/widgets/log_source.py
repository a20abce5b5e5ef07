"""Where the lines of the Logs screen come from, whether more will come, and what to do when they do not: one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from console.log_scope import Scope
from console.widgets.figures import format_age, one_line, plural
from console.widgets.logline import Severity
from console.widgets.sentence import Phrase, Sentence
from console.widgets.tones import Tone

SILENT: Final = (
    "no line yet, and nothing failed: workers speak within seconds of their start\n"
    "o looks further back · 0 asks for all severities\n"
    "L in Fleet shows the log of one VM, also of one that is gone"
)
"""Why a view that follows may be empty."""
NOTHING: Final = "no log object, no entry of Cloud Logging and no serial output fits\no looks further back · 0 asks for all severities"
"""Why a view of the past may be empty."""
READING: Final = "no line yet\nreading log objects, then Cloud Logging, then the serial port …"
CONNECTING: Final = "no line yet\nasking Cloud Logging …"
_QUOTA: Final = "the project's read quota of 60 a minute is used up; it goes on by itself, and o reads log objects, which have none"


class LogSource(Sentence):
    """Says it, and remembers whose logs it speaks of."""

    def __init__(self, *, now: Callable[[], datetime], id: str | None = None) -> None:  # noqa: A002
        super().__init__(now=now, id=id)
        self._clock = now
        self._scope = Scope()
        self._asked = Severity.DEFAULT
        self._back = ""

    def speak_of(self, scope: Scope, asked: Severity, *, nested: bool) -> None:
        """Whose logs the sentences to come are about.

        Args:
            asked: The least severity that is asked for.
            nested: Whether Escape leads back to other logs.
        """
        self._scope, self._asked = scope, asked
        self._back = "back" if nested else "every VM" if scope.chosen else ""

    def connecting(self) -> None:
        """A tail was begun."""
        self._say(Tone.BUSY, " · connecting …")

    def live(self) -> None:
        """The tail stands."""
        self._say(Tone.GOOD, " · live")

    def reconnecting(self, reason: str) -> str:
        """The tail broke off; returns what an empty view should say."""
        quota = is_quota(reason)
        why, _, hint = reason.partition(" -> ")
        # What to do comes first where it has to be done by a person, and what was being done is known from the words before.
        then = _QUOTA if quota else f"→ {hint}" if hint else "what is missed is read back"
        self._say(Tone.WARN, f" · reconnecting: {why.partition(': ')[2] or why if hint else why}; {then}")
        then = _QUOTA if quota else "tried again by itself; o reads log objects, which need no Cloud Logging"
        return f"no line yet: {one_line(reason)}\n{then}"

    def reading(self, what: str = "") -> None:
        """The past is looked at."""
        self._say(Tone.BUSY, f" · reading {what} …" if what else " · reading …", source="")

    def failed(self, reason: str) -> str:
        """The past could not be read; returns what an empty view should say."""
        self._say(Tone.BAD, f" · {reason}", source="")
        return f"could not be read: {one_line(reason)}\n{_QUOTA if is_quota(reason) else 'o tries again'}"

    def found(self, held: int, newest: datetime | None, counts: Mapping[str, int]) -> None:
        """What there is of something that is over.

        Args:
            held: Lines.
            newest: The time of the last one.
            counts: Lines by source, as far as they were read just now.
        """
        if newest is None:
            self._say(Tone.WARN, " · nothing found", source="")
            return
        places = ", ".join(f"{source} {count:,}" for source, count in counts.items())
        age = format_age((self._clock() - newest).total_seconds())
        over = "" if self._scope.around is not None else f", the last {age} ago; the VM is gone"
        self._say(Tone.QUIET, f" · {plural(held, 'line')}{over}", source=places)

    def _say(self, tone: Tone, how: str, *, source: str = "cloud-logging") -> None:
        phrases = [Phrase(source, strong=True), Phrase(" · ")] if source else []
        phrases += [Phrase(self._scope.words()), Phrase(one_line(how), tone)]
        if self._asked > Severity.DEFAULT:
            phrases.append(Phrase(f" · only {self._asked.name.lower()} and up is asked for", Tone.QUIET))
        if self._back:
            phrases.append(Phrase(f" · esc: {self._back}", Tone.QUIET))
        self.set_sentence(phrases, tone=tone)


def is_quota(reason: str) -> bool:
    """Whether an error of the API is about how often it may be asked."""
    return any(word in reason.casefold() for word in ("429", "quota", "exhausted"))
