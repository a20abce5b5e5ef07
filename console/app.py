"""The console as a Textual app: its modes, the feeds behind them, and the keys that work everywhere. It knows no cloud.

Data flows one way: feeds look at the session's clouds in threads, the app keeps what they last said, and the visible screen is
handed it. Imports of this module and of the first screen are kept small: the first picture waits for them.
"""

from __future__ import annotations

import dataclasses
import gc
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from console.actions import ACTIONS, ActionProvider, app_bindings, use
from console.blocking import in_thread
from console.commands_provider import CommandProvider
from console.everywhere_keys import EverywhereKeys
from console.feeds import Feeds, FeedUpdated, LogsArrived
from console.log_tail import LogTail
from console.modes import Mode
from console.opening import look_around
from console.places import user_folder
from console.rights import Rights
from console.screens.base import ModeScreen
from console.screens.starting import StartingScreen
from console.sources import SOURCES
from console.state import Feed
from console.status_line import write_status
from engine.clock import Clock, utc_now
from engine.errors import ConfigurationError, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from console.custom_commands import CustomCommand
    from console.field_names import Known
    from console.opening import Opened, Opener
    from console.own_actions import OwnActions
    from console.recording.recorder import Recorder
    from console.recording.replay import Replay
    from console.session import Session
    from engine.coverage import Coverage, Layer
    from engine.plan import Request
    from provision.fleet import FleetSnapshot
    from provision.logs import Question

COLLECT_EVERY = (5_000, 5, 50)
"""Of the garbage collector. A screen is tens of thousands of objects that stay, and by default it walks all of them every 70,000: seldom is
enough. The new ones are looked through in small parts, because a key waits as long as one takes."""


def _bindings() -> list[BindingType]:
    """The common keys; Escape and Backspace go back but never quit, because they are also pressed out of habit."""
    keys: list[BindingType] = []
    for each in app_bindings():
        if each.action == "back":
            first, rest = each.key.split(",", 1)
            keys += [dataclasses.replace(each, key=first), dataclasses.replace(each, key=rest, action="leave", show=False, id="leave")]
        else:
            keys.append(each)
    return keys


class ConsoleApp(EverywhereKeys):
    """One operator's console on one profile."""

    TITLE = "tickdeck"
    BINDINGS: ClassVar[list[BindingType]] = _bindings()
    COMMANDS = {ActionProvider, CommandProvider}  # noqa: RUF012 - Textual's declaration

    def __init__(
        self,
        opener: Opener,
        request: Request | None = None,
        *,
        read_only: bool = False,
        demo: bool = False,
        on_launched: Callable[[Session, str], None] | None = None,
        find_venues: Callable[[Session], Sequence[str]] | None = None,
        clock: Clock = utc_now,
        theme: str = "",
        theme_file: Path | None = None,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
        own: OwnActions | None = None,
    ) -> None:
        """
        Args:
            opener: Makes the session; blocks, called in a thread, told where to report its steps.
            request: What the Plan screen asks for at first; None: what was asked for last.
            read_only: Look, change nothing, whatever the profile says.
            demo: Say that this is the demo.
            on_launched: Called with the session and the run's id after a launch.
            find_venues: Asks the session's source for all its venues; None: those of the catalogues are all that can be named.
            clock: The time, UTC.
            theme: Name of a colour theme; empty: the profile's, the one chosen last, or ours.
            theme_file: Where the one that is chosen here is kept for the next start; None: nowhere.
            recorder: Writes down what the session answers.
            replay: The recording that is played; the opener gives its session, and its time is the console's.
            own: The person's keys and commands.
        """
        super().__init__(user_folder("themes"), theme, theme_file=theme_file)
        self.clock = clock if replay is None else replay.clock
        self._own = own
        self.custom_commands: dict[str, CustomCommand] = {each.id: each for each in own.commands} if own is not None else {}
        use(ACTIONS if own is None else own.table)
        self._recorder = recorder
        self.replay = replay
        self._opener = opener
        self._is_demo = demo
        self._on_launched = on_launched
        self._find_venues = find_venues
        self._first_request = request
        self.rights = Rights(self.clock, forced_read_only=read_only)
        self._opened: Opened | None = None
        self._request: Request | None = request
        self._covered: Request | None = request
        self._layer = "raw"
        self._run = ""
        self._known: Known | None = None
        self.because = ""
        """Where the request that Plan opens with comes from, a few words."""
        self._wanted_theme = theme
        self.feeds = Feeds((source(self) for source in SOURCES), self.post_message)
        self._tail = LogTail(lambda batch: self.post_message(LogsArrived(batch)), self._tail_failed)
        self._told = ExitStack()
        """Those who are told of what happens, while the console runs."""
        self.pressed_at = 0.0
        """When the key or click that is answered now was made, on Textual's clock: perhaps long before its turn came."""

    async def on_event(self, event: events.Event) -> None:
        """Remember when a person did something: what they could not have seen by then, they did not mean."""
        if isinstance(event, (events.Key, events.MouseDown)) and not event.is_forwarded:
            self.pressed_at = event.time
        await super().on_event(event)

    # Opening

    def get_default_screen(self) -> Screen[Any]:
        """Numbered steps, until the session is there."""
        look = look_around if self.replay is None else self.replay.look_around
        return StartingScreen(self._opener, self._first_request, look_around=look)

    def on_load(self) -> None:
        self._collected_every = gc.get_threshold()
        gc.set_threshold(*COLLECT_EVERY)

    def on_mount(self) -> None:
        self._heed_signals()
        if self._own is not None:
            self.set_keymap(dict(self._own.keymap))
            for each in self._own.commands:
                if key := self._own.keymap.get(each.id, each.key):
                    self.bind(key, f"screen.custom_command('{each.id}')", description=each.name)

    def opened(self, opened: Opened) -> None:
        """The session is there: feeds start, and the first mode is shown."""
        self._opened = opened
        if self._recorder is not None:
            self._recorder.begin(opened)
        self._request = self._covered = opened.request
        self._run = opened.live_run
        self.rights.hold_for(opened.session)
        profile = opened.session.profile
        if profile.theme and not self._wanted_theme and profile.theme in self.available_themes:
            self.theme = profile.theme
        for name, poller in self.feeds:
            self.run_worker(poller.run(), name=name, group=f"feed {name}", exclusive=True, exit_on_error=False)
        if self._find_venues is not None:
            asking = self._learn_names(partial(self._find_venues, opened.session))
            self.run_worker(asking, name="names", group="names", exclusive=True, exit_on_error=False)
        self.show_mode(Mode.FLEET if opened.live_run else Mode.PLAN)
        if opened.problem:
            self.notify(opened.problem, title="the state bucket", severity="error", timeout=15)
        if self.replay is None:
            self._tell_others(opened.session)
        elif self.replay.is_cut:
            self.notify("the recording is cut short: it plays what is whole", severity="warning", timeout=10)

    def _tell_others(self, session: Session) -> None:
        """What happens to the fleet rings here and goes to the profile's addresses."""

        def report(line: str) -> None:
            self.call_later(self.notify, line, title="notify", severity="warning", timeout=10)

        try:
            self._told.enter_context(session.watching.telling(bell=lambda: self.call_later(self.bell), report=report))
        except ConfigurationError as error:
            self.notify(one_line(error), title="notify", severity="error", timeout=15)

    async def _learn_names(self, ask: Callable[[], Sequence[str]]) -> None:
        """Ask the source which venues there are; without an answer the planner finds a wrong one later."""
        from console.field_names import Known

        try:
            venues = await in_thread(ask, name="venues")
        except Exception:  # noqa: BLE001 - it is a convenience: without a link, names are not completed
            return
        self._known = Known(venues=tuple(venues), all_venues=bool(venues))
        if (screen := self._mode_screens.get(Mode.PLAN)) is not None:
            screen.names_known(self._known)

    # What screens read

    @property
    def is_open(self) -> bool:
        """Whether the session is there."""
        return self._opened is not None

    @property
    def session(self) -> Session:
        """The verbs; blocking.

        Raises:
            RuntimeError: before the session is open.
        """
        if self._opened is None:
            raise RuntimeError("the session is not open yet")
        return self._opened.session

    @property
    def start(self) -> Opened:
        """What the console began with.

        Raises:
            RuntimeError: before the session is open.
        """
        if self._opened is None:
            raise RuntimeError("the session is not open yet")
        return self._opened

    @property
    def theme_of_settings(self) -> str:
        return self.session.profile.theme if self.is_open else ""

    @property
    def profile_name(self) -> str:
        """For the status line."""
        return ("demo" if self._is_demo else self.session.profile.name) if self.is_open else "tickdeck"

    @property
    def request(self) -> Request | None:
        """What the Plan screen asks for now."""
        return self._request

    @property
    def covered(self) -> Request | None:
        """What Coverage shows: the request, or the one that a repair is a part of."""
        return self._covered

    @property
    def layer(self) -> Layer:
        """Which layer of the lake Coverage shows."""
        from engine.coverage import Layer

        return Layer(self._layer)

    def show_layer(self, layer: Layer) -> None:
        """Coverage shows another layer from now on."""
        if layer is not self.layer:
            self._layer = layer.value
            self.feeds.forget("coverage")

    @property
    def known(self) -> Known:
        """Names that may be typed into the fields of a request."""
        from console.field_names import Known

        return self._known or Known(venues=self.start.venues if self.is_open else ())

    @property
    def run_shown(self) -> str:
        """The run that Fleet follows; empty: all live ones."""
        return self._run

    @property
    def fleet(self) -> Feed[FleetSnapshot]:
        """The last look at the fleet."""
        return self.feeds.of("fleet")

    @property
    def coverage(self) -> Feed[Coverage]:
        """The last look at the lake, for the range of `covered`."""
        return self.feeds.of("coverage")

    @property
    def read_only(self) -> bool:
        """Whether anything that writes is refused now."""
        return self.rights.read_only

    @property
    def live_run(self) -> str:
        """The newest run that has work left and VMs or the wish for them; empty if there is none."""
        from provision.runs import Phase

        snapshot = self.fleet.value
        if snapshot is None:
            return self._run
        live = [view.run for view in snapshot.runs if view.phase(snapshot.taken) in (Phase.RUNNING, Phase.DRAINING)]
        return max(live, default="")

    def is_down(self, link: str) -> bool:
        """Whether the last look over the feed of that name failed."""
        return self.feeds.of(link).is_down

    # What screens ask for

    def set_request(self, request: Request, *, cover: bool = True) -> None:
        """The Plan screen asks for something else.

        Args:
            cover: Coverage shows its range from now on; False for a repair, which is a part of what Coverage shows.
        """
        if request == self._request:
            return
        from engine.plan import CANDLES  # not on the way to the first picture

        self._request = request
        before = self._covered
        if (cover and not request.cells and request.mode != CANDLES) or before is None:
            self._covered = request
            if before is None or _range_of(before) != _range_of(request):
                self.feeds.forget("coverage")

    def plan_request(self, request: Request, *, because: str = "") -> None:
        """Show the Plan screen, filled in with `request`.

        Args:
            because: Where it comes from, a few words; shown beside the sentence.
        """
        from console.screens.plan import PlanScreen

        self.because = because
        self.set_request(request, cover=False)
        self.show_mode(Mode.PLAN)
        if isinstance(screen := self._mode_screens.get(Mode.PLAN), PlanScreen):
            screen.fill_in(request, because=because)

    def follow_run(self, run: str) -> None:
        """Look at this run from now on, also if it is over."""
        self._run = run
        self.feeds.poke()

    def run_launched(self, run: str) -> None:
        """A run was launched: follow it in Fleet."""
        self.follow_run(run)
        self.show_mode(Mode.FLEET)
        if self._on_launched is not None:
            self._on_launched(self.session, run)

    def look_again(self) -> None:
        """Look at everything now: something was changed."""
        self.feeds.poke()

    def follow_logs(self, question: Question) -> None:
        """Tail what a question asks for from now on; batches come to the Logs screen's `show_logs`."""
        session = self.session
        self._tail.follow(lambda: session.logs.follow_logs(question))

    def arm(self, minutes: float) -> None:
        """Allow writing to a protected profile for a while."""
        if refusal := self.rights.arm(minutes):
            self.notify(refusal, severity="error")
            return
        self.set_timer(minutes * 60, self._rights_end)
        self._rights_changed()

    def disarm(self) -> None:
        """A protected profile is read-only again."""
        self.rights.disarm()
        self._rights_changed()

    def _rights_end(self) -> None:
        self.rights.expire()
        self._rights_changed()

    def _rights_changed(self) -> None:
        if (screen := self.visible_screen) is not None:
            self.refresh_status(screen)
            screen.refresh_bindings()

    # Screens come and go

    def adopt(self, screen: ModeScreen) -> None:
        """A mode's screen is mounted."""
        self._mode_screens[screen.MODE] = screen
        screen.session_opened()
        if screen.MODE is Mode.FLEET and self.fleet.at is None and self.start.live_words:
            screen.say_meanwhile(self.start.live_words)

    def screen_shown(self, screen: ModeScreen) -> None:
        """A mode's screen is visible: it gets what is known, and a fresh look."""
        self.refresh_status(screen)
        for name in screen.FEEDS:
            screen.show_feed(name, self.feeds.of(name))
        self.feeds.poke()

    def refresh_status(self, screen: Screen[Any]) -> None:
        """Write a screen's status line anew."""
        if isinstance(screen, ModeScreen):
            write_status(self, screen)

    def on_feed_updated(self, message: FeedUpdated) -> None:
        screen = self.visible_screen
        if screen is not None and message.name in screen.FEEDS:
            self.refresh_status(screen)
            screen.show_feed(message.name, message.feed)
            screen.refresh_bindings()

    def on_logs_arrived(self, message: LogsArrived) -> None:
        if self.is_running and (screen := self._mode_screens.get(Mode.LOGS)) is not None:
            screen.show_logs(message.batch)

    def _tail_failed(self, reason: str) -> None:
        from provision.logs import Batch

        self.post_message(LogsArrived(Batch(state="reconnecting", reason=reason)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        self.report_broken(event)

    def report_broken(self, event: Worker.StateChanged) -> None:
        """Tell of work in the background that ended with an error nobody expected."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            self.log.error(error)
            self.notify(f"{type(error).__name__}: {one_line(error)}", title=event.worker.name, severity="error", timeout=20)

    # The terminal, and the end

    def get_driver_class(self) -> type[Driver]:
        """Ours outlives its terminal; systems without one of that kind, and drivers chosen by the environment, keep theirs."""
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":
            return usual
        from console.terminal import VanishingTerminal

        return VanishingTerminal

    def _heed_signals(self) -> None:
        """A terminal that is gone, or a polite request to stop: leave as `q` does."""
        import asyncio

        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.exit, 0)

    def on_unmount(self) -> None:
        self._tail.stop()
        if self._recorder is not None:
            self._recorder.stop()
        self._told.close()
        gc.set_threshold(*self._collected_every)
        gc.unfreeze()  # What was kept from the collector while keys waited must not outlive the console.


def _range_of(request: Request) -> Request:
    """What of a request decides which cells it covers."""
    from msgspec import structs

    return structs.replace(request, strategy="balanced", shards=0, deadline=None, machine_type="", refetch=False)
