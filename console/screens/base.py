"""What every mode's screen has: the status line above, the keys below, and a say in which of them are on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Spacing
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets._toast import ToastRack
from textual.worker import Worker

from console.actions import Action, Mode, actions_for, check_action, disabled_reason
from console.query import parse
from console.screens.key_line import KeyLine
from console.state import Feed
from console.widgets.confirm import CRAMPED
from console.widgets.prompt import Prompt
from console.widgets.sentence import Sentence
from console.widgets.status_bar import StatusBar
from console.widgets.tones import Tone
from console.widgets.trouble_line import TroubleLine
from engine.errors import UsageError, one_line

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.custom_commands import CustomCommand
    from console.export import Record
    from console.field_names import Known
    from console.session import Session
    from engine.coverage import Coverage
    from provision.fleet import FleetSnapshot
    from provision.logs import Batch


class ModeScreen(Screen[None]):
    """A mode's first screen. Subclasses set `MODE` and `BINDINGS = bindings_for(MODE)`, and yield their widgets in `body`."""

    MODE: ClassVar[Mode]
    CRUMB: ClassVar[str] = ""
    """Its name in the status line."""
    PRIMARY: ClassVar[str] = ""
    """The action that the key line highlights; empty: none."""
    LINK: ClassVar[str] = ""
    """The feed its writes depend on; empty: none."""
    FEEDS: ClassVar[tuple[str, ...]] = ("fleet",)
    """The feeds it shows, by name: looked at while it is visible, with their age in the status line."""
    TOLD_ABOVE: ClassVar[str] = ""
    """Selector of the lines that say why the row under the cursor is as it is: what is told in a corner stands above them."""
    TOLD_UNDER: ClassVar[str] = ""
    """Selector of a widget whose last lines are the ones that are read: what is told in a corner hangs from its top instead."""
    BINDINGS: ClassVar[list[BindingType]] = []
    VERTICAL_BREAKPOINTS = CRAMPED

    DEFAULT_CSS = """
    ModeScreen { background: $background; color: $foreground; layout: vertical; overflow: hidden; }
    ModeScreen > .body { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        # Its widgets take the styles of now as they are mounted. Without these, Textual would style all of them once more for each.
        self._css_update_count = self.app._css_update_count
        for breakpoints, length in zip((self.HORIZONTAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS), self.app.size, strict=True):
            self.add_class(*(name for _, name in sorted(each for each in breakpoints or () if each[0] <= length)[-1:]))

    def compose(self) -> ComposeResult:
        yield StatusBar(now=self.console.clock)
        yield TroubleLine(now=self.console.clock)
        yield from self.body()
        yield KeyLine(self.MODE, primary=self.PRIMARY)

    def body(self) -> Iterable[Widget]:
        """The widgets between the status line and the keys."""
        return ()

    # What the app tells

    def show_feed(self, name: str, feed: Feed[Any]) -> None:
        """A look at one of `FEEDS`, or a failed one: goes to the method `show_<name>`."""
        show: Callable[[Feed[Any]], None] = getattr(self, f"show_{name}")
        show(feed)

    def show_fleet(self, feed: Feed[FleetSnapshot]) -> None:
        """A look at the fleet, or a failed one; called while the screen is visible, and when it becomes so."""

    def show_coverage(self, feed: Feed[Coverage]) -> None:
        """The same for the lake."""

    def show_logs(self, batch: Batch) -> None:
        """Lines of the tail; called whether visible or not, once the screen has asked for them with `follow_logs`."""

    def session_opened(self) -> None:
        """The session is there; called once, or at mount if it is there already."""

    def names_known(self, known: Known) -> None:
        """More is known of what may be typed."""

    def time_moved(self, *, back: bool) -> None:
        """A recording stands at another moment; the feeds follow by themselves.

        Args:
            back: At an earlier one: what came later has not happened yet.
        """

    def say_meanwhile(self, text: str) -> None:
        """What is known already while the first look is under way."""
        for sentence in self.query(Sentence):
            sentence.set_sentence(f"{text}; asking for the rest …", tone=Tone.BUSY)

    # Where one is, and how it looks here

    def own_place(self) -> object:
        """What of a place the widgets do not remember by themselves (whose logs, which list is open); comparable, immutable."""
        return None

    def go_to_place(self, own: object) -> None:
        """Show again what `own_place` said."""

    def view_settings(self) -> dict[str, str]:
        """What a saved view keeps, by names: the filter, if the screen has one; others add their order and detail."""
        query = next((str(prompt.query_now) for prompt in self.query(Prompt)), "")
        return {"filter": query} if query else {}

    def apply_view(self, settings: Mapping[str, str]) -> None:
        """Show what `view_settings` said; names that this screen does not know are left alone."""
        for prompt in self.query(Prompt):
            prompt.set_query(parse(settings.get("filter", "")))
            return

    # What the app asks

    def crumbs(self) -> tuple[str, ...]:
        """Where we are, from the mode down."""
        return (self.CRUMB or self.MODE.value.capitalize(),)

    def leave(self) -> bool:
        """One step back inside the screen (close a filter, leave a field); False if there is none."""
        return False

    def open_filter(self) -> None:
        """`/`."""
        self.notify("nothing to filter on this screen", timeout=3)

    def copy_row(self) -> str:
        """`y`: the text to copy; empty if there is nothing under the cursor."""
        return ""

    def export_records(self) -> Sequence[Record]:
        """`e`: all rows under the filter, by field names; empty if there are none. Collected at once, written in a thread."""
        return ()

    def subject(self) -> Mapping[str, object]:
        """What is under the cursor, by field names: the placeholders of a person's own commands."""
        return {}

    def export_text(self) -> Callable[[Record], str] | None:
        """How a row of `export_records` is a line of text; None: rows are no text."""
        return None

    @property
    def off_reasons(self) -> dict[str, str]:
        """Actions that are off now for reasons of this screen's own: id -> why."""
        return {}

    # What it knows

    @property
    def console(self) -> ConsoleApp:
        """The app, with its type."""
        return cast("ConsoleApp", self.app)

    @property
    def session(self) -> Session:
        """The verbs. Blocking: call them in a thread, as `await in_thread(lambda: self.session.planning.plan(request))`."""
        return self.console.session

    @property
    def link_down(self) -> str:
        """What this screen's writes need and cannot reach; empty if all answers."""
        return self.LINK if self.LINK and self.console.is_down(self.LINK) else ""

    def placeholders(self) -> dict[str, object]:
        """What the placeholders of `console.custom_commands` stand for now."""
        profile = self.session.profile
        return {
            "run": self.console.live_run,
            "profile": profile.name,
            "project": profile.project,
            "region": profile.region,
            "data_bucket": profile.data_bucket,
            "state_bucket": profile.state,
            **{name: value for name, value in self.subject().items() if value not in (None, "")},
        }

    def action_custom_command(self, name: str) -> None:
        """One of the person's own."""
        command = self.console.custom_commands.get(name)
        if command is not None and self.MODE in command.modes:
            self.run_worker(self._run_custom(command), name=command.name, group="custom", exit_on_error=False)

    async def _run_custom(self, command: CustomCommand) -> None:
        from console.screens.custom_command import run_command

        try:
            await run_command(self, command)
        except UsageError as error:
            self.notify(one_line(error), severity="warning", timeout=6)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what writes while it may not, and what this screen says is off."""
        if action == "custom_command":
            action = str(parameters[0])
            command = self.console.custom_commands.get(action)
            if command is None or self.MODE not in command.modes:
                return False
        if action in self.off_reasons:
            return None
        return check_action(action, read_only=self.console.read_only, link_down=self.link_down)

    @property
    def keys_taken(self) -> frozenset[str]:
        """Keys that what has the focus takes for itself: an action that has another one is shown with that."""
        return frozenset()

    def reason_off(self, each: Action) -> str:
        """Why an action is off now; empty if it is on."""
        reason = self.off_reasons.get(each.id)
        return reason or disabled_reason(each, read_only=self.console.read_only, link_down=self.link_down) or ""

    def on_key(self, event: events.Key) -> None:
        """A key that is off comes here, because nobody took it: say why, instead of nothing."""
        for each in actions_for(self.MODE):
            if event.key in each.key.split(",") and (reason := self.reason_off(each)):
                event.stop()
                self.notify(f"{each.label} is off: {reason}", severity="warning", timeout=4)
                return

    def on_mount(self) -> None:
        self.console.adopt(self)
        if self.TOLD_ABOVE or self.TOLD_UNDER:
            self.screen_layout_refresh_signal.subscribe(self, self._keep_clear)

    def _keep_clear(self, _screen: Screen[None]) -> None:
        """What is told covers no line that the eye needs, however the screen is laid out now."""
        kept = [each.region.y for each in self.query(self.TOLD_ABOVE or self.TOLD_UNDER) if each.region]
        if self.TOLD_UNDER:
            margin = Spacing(top=min(kept, default=0))
        else:
            margin = Spacing(bottom=max(1, self.size.height - min(kept, default=self.size.height)))
        for rack in self.query_children(ToastRack):
            if rack.styles.margin != margin:
                rack.styles.margin = margin
                rack.styles.dock = "top" if self.TOLD_UNDER else "bottom"

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Work in the background that broke off says so; the screen stays."""
        self.console.report_broken(event)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        # Its widgets have the styles of now already, unless the colours were changed meanwhile; Textual would look all of them up again.
        event.refresh_styles = self._css_update_count != self.app._css_update_count
        self.console.screen_shown(self)
