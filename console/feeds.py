"""One feed a source, and the messages by which the app hears of them. What the sources are stands in `console.sources`.

A new source is a module in `console.sources` and a row in its table. Screens name the feeds they show in `FEEDS`: those are looked
at while the screen is visible, their age stands in its status line, and what they say comes to its method `show_<name>`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual.message import Message

from console.poller import PATIENCE, Poller
from console.state import Feed

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from provision.logs import Batch

ValueT = TypeVar("ValueT")


class FeedUpdated(Message):
    """A look at a source, or a failed one."""

    def __init__(self, name: str, feed: Feed[Any]) -> None:
        super().__init__()
        self.name = name
        self.feed = feed

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FeedUpdated) and message.name == self.name


class LogsArrived(Message):
    """What the tail has to tell: lines, or that its link is down or back."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch


class FeedSource(ABC, Generic[ValueT]):
    """One source: what is asked of it, how often, and when anybody wants to know."""

    NAME: ClassVar[str]
    """For `Feeds.of`, `ModeScreen.FEEDS` and the method `show_<name>` of screens."""
    LABEL: ClassVar[str]
    """In the status line: one short word."""

    def __init__(self, console: ConsoleApp) -> None:
        self.console = console

    @abstractmethod
    def fetch(self) -> ValueT:
        """Look once. Blocks; called in a thread, and whatever it raises is shown."""

    @abstractmethod
    def seconds(self) -> float:
        """Between two looks when all is well."""

    def is_wanted(self) -> bool:
        """Whether anybody looks at it now; by default while a screen that shows it is visible."""
        screen = self.console.visible_screen
        return screen is not None and self.NAME in screen.FEEDS

    def patience(self) -> float:
        """Seconds without an answer after which it counts as down."""
        return PATIENCE

    def stale_after(self) -> float:
        """Seconds after which what it said is old."""
        return 4 * self.seconds() + 5


class Feeds:
    """The feeds of all sources."""

    def __init__(self, sources: Iterable[FeedSource[Any]], tell: Callable[[FeedUpdated], object]) -> None:
        """
        Args:
            sources: All there are.
            tell: Hears of every look, on the event loop.
        """
        self.held = False
        """Nothing is asked unless a person says so."""
        self._sources = {source.NAME: source for source in sources}
        self._pollers = {name: self._poller(source, tell) for name, source in self._sources.items()}

    def __iter__(self) -> Iterator[tuple[str, Poller[Any]]]:
        return iter(self._pollers.items())

    def of(self, name: str) -> Feed[Any]:
        """The last look at a source."""
        return self._pollers[name].feed

    def source(self, name: str) -> FeedSource[Any]:
        """The source of that name."""
        return self._sources[name]

    def poke(self, *names: str, force: bool = False) -> None:
        """Look now at these, or at everything: somebody came to see it, or it was changed.

        Args:
            force: A person asked: also while held, and without waiting for a call that hangs.
        """
        for name in names or self._pollers:
            self._pollers[name].poke(force=force)

    def hold(self, held: bool) -> None:
        """Ask nothing by ourselves any more, or go on."""
        self.held = held
        if not held:
            self.poke()

    def forget(self, name: str) -> None:
        """What is known answers another question than the one asked now."""
        self._pollers[name].forget()

    def _poller(self, source: FeedSource[Any], tell: Callable[[FeedUpdated], object]) -> Poller[Any]:
        return Poller(
            source.fetch,
            lambda feed: tell(FeedUpdated(source.NAME, feed)),
            source.seconds,
            wanted=lambda: not self.held and source.is_wanted(),
            patience=source.patience(),
            clock=source.console.clock,
        )
