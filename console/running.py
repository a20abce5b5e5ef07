"""Running the console in a terminal, from its start to its exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from console.app import ConsoleApp
from console.opening import source_venues
from console.places import recordings_folder, theme_file, user_folder
from console.theme import theme_names
from engine.errors import UsageError
from engine.spelling import nearest

if TYPE_CHECKING:
    from console.opening import Opener
    from console.recording.recorder import Recorder
    from console.recording.replay import Replay
    from console.session import Session
    from engine.plan import Request


def make_recorder(record: str) -> Recorder | None:
    """What `--record` means: a file, `off`, or by default the ring of the state folder."""
    if record == "off":
        return None
    from console.recording.recorder import Place, Recorder

    return Recorder(Place(Path(record), is_ring=False) if record else Place(recordings_folder(), is_ring=True))


def run_console(
    opener: Opener,
    request: Request | None,
    *,
    read_only: bool = False,
    demo: bool = False,
    theme: str = "",
    on_quit: Callable[[], None] | None = None,
    on_launched: Callable[[Session, str], None] | None = None,
    recorder: Recorder | None = None,
    replay: Replay | None = None,
) -> int:
    """Run the console until it is quit; returns its exit code.

    Args:
        opener: Makes the session; called in a thread.
        request: What the Plan screen asks for at first; None: what was asked for last.
        read_only: Look, change nothing.
        demo: Say that this is the demo.
        theme: Name of a colour theme; empty: the profile's, or the one chosen last.
        on_quit: Called when the console is over, however it ended.
        on_launched: Called with the session and the run's id after a launch.
        recorder: Writes down what the session answers.
        replay: The recording that is played.

    Raises:
        UsageError: if there is no such theme.
    """
    from console.own_actions import read_own_actions
    from provision.profile import load_profiles

    if theme and theme not in (names := theme_names(user_folder("themes"))):
        raise UsageError(f"there is no theme {theme!r}", hint=nearest(theme, names, what="themes"))
    app = ConsoleApp(
        opener,
        request,
        read_only=read_only,
        demo=demo,
        theme=theme,
        theme_file=theme_file(),
        on_launched=on_launched,
        find_venues=source_venues if replay is None else None,
        recorder=recorder,
        replay=replay,
        own=read_own_actions(load_profiles()),
    )
    try:
        result = app.run()
    finally:
        if on_quit is not None:
            on_quit()
    return result if isinstance(result, int) else app.return_code or 0
