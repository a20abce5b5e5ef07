"""Getting from mode to mode and back: the stack of modes, the trail of places, and the keys for them.

Apart from the console's app, which knows what the modes show.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, ClassVar

from textual.screen import Screen

from console.modes import Mode, is_mode, mode_screens
from console.navigation import Place, Trail
from console.screens.base import ModeScreen
from console.themed_app import ThemedApp


class GettingAround(ThemedApp):
    """An app of modes, each with its screen."""

    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = mode_screens()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._history: list[Mode] = []
        self._collected: set[Mode] = set()
        """Modes whose objects were taken out of the garbage collector's sight."""
        self._trail = Trail()
        self._mode_screens: dict[Mode, ModeScreen] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is anything to show yet."""
        raise NotImplementedError

    @property
    def visible_screen(self) -> ModeScreen | None:
        """The screen of the current mode, also under a dialog; None before there is one, and once the console ends."""
        if not self.is_running or not is_mode(self.current_mode):
            return None  # While it ends, screens lose their widgets one by one, and a look may still come in.
        return self._mode_screens.get(Mode(self.current_mode))

    def show_mode(self, mode: Mode) -> None:
        """Show a mode's screen stack; `back` returns to the present one."""
        if not self.is_open or self.current_mode == mode:
            return
        self.leave_place()
        if is_mode(self.current_mode):
            here = Mode(self.current_mode)
            self._history = [each for each in self._history if each not in (here, mode)] + [here]
        # What was said over another screen would cover this one.
        self.clear_notifications()
        self.switch_mode(mode)
        if mode not in self._collected:
            # What a screen imports and mounts stays: the collector need not look through it again while keys wait for their picture.
            self._collected.add(mode)
            self.call_after_refresh(gc.freeze)

    def leave_place(self) -> None:
        """One goes on from here: `[` comes back, with cursor, filter and scroll as they are now."""
        if (screen := self.visible_screen) is not None:
            from console.remembering import place_of

            self._trail.leave(place_of(screen))

    def _go_along(self, step: Callable[[Place], Place | None], end: str) -> None:
        screen = self.visible_screen
        if screen is None or len(self.screen_stack) > 1:
            return
        from console.remembering import place_of, return_to

        place = step(place_of(screen))
        if place is None:
            self.notify(end, timeout=2)
            return
        if self.current_mode != place.mode:
            self.switch_mode(place.mode)
        return_to(self._mode_screens[place.mode], place)

    def action_place_back(self) -> None:
        self._go_along(self._trail.back, "nothing was shown before this")

    def action_place_on(self) -> None:
        self._go_along(self._trail.on, "nothing was shown after this")

    def action_show_mode(self, mode: str) -> None:
        self.show_mode(Mode(mode))

    async def action_back(self) -> None:
        """One step back; from the first screen: quit."""
        if not self.step_back():
            self.exit(0)

    def action_leave(self) -> None:
        """One step back; never quits, because Escape is also pressed out of habit."""
        if not self.step_back():
            self.notify("this is the first screen; q quits, the fleet goes on", timeout=3)

    def step_back(self) -> bool:
        """One step back; False if there is none."""
        screen = self.screen
        if isinstance(screen, ModeScreen) and screen.leave():
            return True
        if len(self.screen_stack) > 1:
            self.pop_screen()
            return True
        if self._history:
            self.switch_mode(self._history.pop())
            return True
        return False
