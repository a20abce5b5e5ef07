"""The sentence at the top of a screen: what a person would say if asked, with the figures set off, and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from textual.content import Content
from textual.widget import Widget

from console.widgets.figures import format_age, one_line
from console.widgets.tones import GLYPHS, Tone


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of a sentence. Blanks and commas are part of the text."""

    text: str
    tone: Tone = Tone.PLAIN
    strong: bool = False


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sentence(Widget):
    """A verdict in one or two lines, e.g. "3 stuck, 95 fine; slowest shard 17 ends 05:40", led by the glyph of its tone."""

    DEFAULT_CSS = """
    Sentence {
        height: auto;
        max-height: 2;
        padding: 0 1;
        background: $surface;
        color: $foreground;
        &.-stale { color: $quiet; }
    }
    """

    def __init__(
        self,
        *,
        stale_after_seconds: float = 60.0,
        now: Callable[[], datetime] = _utc_now,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        """
        Args:
            stale_after_seconds: When it says that it is old, and dims.
            now: The clock, UTC.
        """
        super().__init__(id=id, classes=classes)
        self._phrases: tuple[Phrase, ...] = ()
        self._tone = Tone.QUIET
        self._as_of: datetime | None = None
        self._stale_after = stale_after_seconds
        self._now = now

    def set_sentence(self, phrases: Sequence[Phrase] | str, *, tone: Tone = Tone.PLAIN, as_of: datetime | None = None) -> None:
        """Say something else.

        Args:
            phrases: The sentence, or plain text; the arrow of an error's next step becomes a real one.
            tone: Of the whole; its glyph stands in front.
            as_of: When its figures were true, UTC; None: it does not age.
        """
        said = (Phrase(phrases.replace(" -> ", " → ")),) if isinstance(phrases, str) else tuple(phrases)
        if (said, tone, as_of) == (self._phrases, self._tone, self._as_of):
            self._grow_older()
            return
        lines = self._line_count()
        self._phrases, self._tone, self._as_of = said, tone, as_of
        self._restyle()
        # It is said anew with every batch of logs: only a line more or less moves what is below.
        self.refresh(layout=not lines or self._line_count() != lines)

    @property
    def text(self) -> str:
        """What it says, without colours."""
        return self.render().plain

    @property
    def age_seconds(self) -> float | None:
        """How old it is; None if it does not age."""
        return None if self._as_of is None else max(0.0, (self._now() - self._as_of).total_seconds())

    def on_mount(self) -> None:
        self.set_interval(1.0, self._grow_older)

    def render(self) -> Content:
        stale = self.has_class("-stale")
        lead = (f"{GLYPHS[self._tone]} ", f"bold {self._tone.css}".strip())
        body = [(one_line(phrase.text), _style(phrase, stale)) for phrase in self._phrases]
        said = Content.assemble(lead, *body)
        if (age := self.age_seconds) is None:
            return said
        text, style = (f"{format_age(age)} old", "bold $state-warn") if stale else (f"{format_age(age)} ago", "$quiet")
        return Content.assemble(said, self._gap_before(said, text), (text, style))

    def _gap_before(self, said: Content, age: str) -> str:
        """The age stays in one piece: on the next line if this one has no room for it."""
        width = self.content_size.width
        room = width - said.wrap(width)[-1].cell_length if width > 0 else 0
        return "\n" if 0 < room < len(age) + 2 else "  "

    def _line_count(self) -> int:
        """Lines it takes; 0 while it has no place yet."""
        width = self.content_size.width
        return len(self.render().wrap(width)) if width > 0 else 0

    def _grow_older(self) -> None:
        if self._as_of is not None:
            self._restyle()
            self.refresh()

    def _restyle(self) -> None:
        age = self.age_seconds
        self.set_class(age is not None and age > self._stale_after, "-stale")


def _style(phrase: Phrase, stale: bool) -> str:
    parts = ["bold"] if phrase.strong else []
    if phrase.tone is not Tone.PLAIN and not stale:
        parts.append(phrase.tone.css)
    return " ".join(parts)
