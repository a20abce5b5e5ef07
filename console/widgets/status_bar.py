"""The line that is on every screen: where you are, in whose cloud, how old the data is, and whether you may write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from console.widgets.figures import UNKNOWN, format_age, one_line


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from, e.g. "vm" or "gcs"."""

    name: str
    as_of: datetime | None = None
    """Of the last good answer, UTC; None: none yet."""
    stale_after_seconds: float = 30.0
    problem: str = ""
    """Why the last attempt failed, in two or three words; empty if it did not."""
    next_try: datetime | None = None
    """When it is tried again, UTC; None: it is not down."""


@dataclass(frozen=True, slots=True)
class Status:
    """All the line shows."""

    profile: str
    crumbs: tuple[str, ...] = ()
    """From the mode down to what is open: `("Fleet", "vm-17", "logs")`."""
    sources: tuple[Source, ...] = ()
    protected: bool = False
    """The profile starts read-only."""
    armed_until: datetime | None = None
    """Writing is allowed until then."""
    notes: tuple[str, ...] = ()
    """What else holds for everything on the screen, e.g. `HELD`; shown before the right to write."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class StatusBar(Widget):
    """One line; what matters least gives way first when it is narrow."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    StatusBar { height: 1; padding: 0 1; background: $panel; color: $foreground; text-wrap: nowrap; }
    StatusBar.-armed { border-left: outer $state-bad; padding: 0 1 0 0; }
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._status = Status(profile="")
        self._now = now

    def set_status(self, status: Status) -> None:
        self._status = status
        self._tick()

    @property
    def text(self) -> str:
        """The line without colours."""
        return self.render().plain

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    def render(self) -> Content:
        width = self.content_size.width
        left = self._left()
        flag = self._flag()
        room = width - cell_len(left.plain) - cell_len(flag.plain) - 2
        # Sources with trouble are the last to be left out.
        ranked = sorted(self._status.sources, key=lambda source: not self._is_old(source))
        kept: set[str] = set()
        for source in ranked:
            length = cell_len(self._source(source).plain) + 3
            if length <= room:
                kept.add(source.name)
                room -= length
        parts = [self._source(source) for source in self._status.sources if source.name in kept]
        right = Content(" · ").join(parts) if parts else Content("")
        if flag.plain:
            right = Content.assemble(right, "  ", flag)
        gap = max(1, width - cell_len(left.plain) - cell_len(right.plain))
        return Content.assemble(left, " " * gap, right)

    def _left(self) -> Content:
        crumbs = [one_line(crumb) for crumb in self._status.crumbs]
        profile = (f" {one_line(self._status.profile)} ", "bold $background on $state-busy")
        if not crumbs:
            return Content.assemble(profile)
        above = "".join(f"{crumb} › " for crumb in crumbs[:-1])
        return Content.assemble(profile, (f" {above}", "$quiet"), (crumbs[-1], "bold"))

    def _source(self, source: Source) -> Content:
        age = UNKNOWN if source.as_of is None else format_age((self._now() - source.as_of).total_seconds())
        if source.problem:
            return Content.assemble((f"× {source.name} {age}, {one_line(source.problem)}{self._again(source)}", "bold $state-bad"))
        if self._is_old(source):
            return Content.assemble((f"! {source.name} {age}", "bold $state-warn"))
        return Content.assemble((f"{source.name} {age}", "$quiet"))

    def _again(self, source: Source) -> str:
        if source.next_try is None:
            return ""
        seconds = (source.next_try - self._now()).total_seconds()
        return f", again in {format_age(seconds)}" if seconds >= 1 else ", asking"

    def _is_old(self, source: Source) -> bool:
        if source.problem:
            return True
        return source.as_of is not None and (self._now() - source.as_of).total_seconds() > source.stale_after_seconds

    def _armed_seconds(self) -> float:
        until = self._status.armed_until
        return 0.0 if until is None else max(0.0, (until - self._now()).total_seconds())

    def _flag(self) -> Content:
        flags = [Content.assemble((f" {one_line(note)} ", "bold $background on $state-warn")) for note in self._status.notes]
        if (seconds := self._armed_seconds()) > 0:
            flags.append(Content.assemble((f" WRITE {format_age(seconds)} ", "bold $background on $state-bad")))
        elif self._status.protected:
            flags.append(Content.assemble((" READ-ONLY ", "bold $background on $state-warn")))
        return Content(" ").join(flags) if flags else Content("")

    def _tick(self) -> None:
        self.set_class(self._armed_seconds() > 0, "-armed")
        self.refresh()
