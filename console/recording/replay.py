"""A recorded session, played again: it answers every call as it was answered then, and refuses what was never asked.

Time stands still until it is moved; everything that reads the clock reads that moment. Nothing can be changed.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from console.recording.calls import CALLS, STEP_CALL, decode_answer
from console.recording.frames import Frame, Header, Recording, read_recording
from console.recording.recorder import Start, merge, newest_recording
from engine.documents import packed_decoder
from engine.errors import EngineError, ExitCode, NotPermitted, UsageError
from provision.lease import Holder
from provision.profile import Profile

if TYPE_CHECKING:
    from console.opening import Opened
    from console.session import Session
    from engine.plan import Request


def open_recording(path: Path) -> Recording:
    """Read a file, or the newest session of a folder of pieces.

    Raises:
        UsageError: if there is no recording, or nothing in it.
    """
    paths = newest_recording(path) if path.is_dir() else [path]
    if not paths:
        raise UsageError(f"there is no recording in {path}", hint="the console records while it runs; start it once")
    parts = [read_recording(each) for each in paths]
    header, frames = merge((part.header, part.frames) for part in parts)
    if not frames:
        raise UsageError(f"{path} is a recording of nothing", hint="record for longer")
    return Recording(header, frames, any(part.cut for part in parts))


class Replay:
    """A recording and the moment it stands at."""

    def __init__(self, recording: Recording) -> None:
        self._header: Header = recording.header
        self._frames: dict[str, list[Frame]] = {}
        for frame in recording.frames:
            self._frames.setdefault(frame.call, []).append(frame)
        steps = [frame.at for frame in self._frames.get(STEP_CALL, ())] or [frame.at for frame in recording.frames]
        self.steps: tuple[float, ...] = tuple(dict.fromkeys(steps))
        """The moments one can go to, seconds since 1970."""
        self.at = self.steps[0]
        self.is_cut = recording.cut
        self._start = packed_decoder(Start).decode(self._header.start)
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def clock(self) -> datetime:
        """The moment it stands at, UTC."""
        return datetime.fromtimestamp(self.at, UTC)

    @property
    def position(self) -> tuple[int, int]:
        """Which of how many moments it stands at, from 1."""
        return bisect.bisect_right(self.steps, self.at), len(self.steps)

    def move(self, steps: int) -> bool:
        """Go on by so many moments, or back; False if there is none."""
        here = bisect.bisect_right(self.steps, self.at) - 1
        there = min(max(0, here + steps), len(self.steps) - 1)
        if there == here:
            return False
        self.at = self.steps[there]
        self._wake()
        return True

    def go_to(self, moment: datetime) -> None:
        """Go to the last moment that is not later, or to the first."""
        there = max(0, bisect.bisect_right(self.steps, moment.timestamp()) - 1)
        self.at = self.steps[there]
        self._wake()

    def answer(self, call: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """What that call answered last at this moment.

        Raises:
            EngineError: as it failed then, or because it was never asked.
        """
        frame = self._find(call, CALLS[call].key(args, kwargs or {}))
        if frame is None:
            raise UsageError("the recording has no answer to this", hint="it plays what the console asked then, and no more")
        if frame.failure is not None:
            failure = frame.failure
            kind = NotPermitted if failure.exit_code == ExitCode.NOT_PERMITTED else EngineError
            error = kind(failure.message, hint=failure.hint)
            error.exit_code = ExitCode(failure.exit_code) if failure.exit_code in set(ExitCode) else ExitCode.UNAVAILABLE
            raise error
        return decode_answer(call, bytes(frame.answer))

    async def stream(self, call: str, keep: Callable[[Any], Any]) -> AsyncIterator[Any]:
        """The items of a stream up to this moment, then those that come as time is moved on."""
        frames = self._frames.get(call, [])
        place = 0
        moved = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), moved))
        while True:
            moved.clear()
            while place < len(frames) and frames[place].at <= self.at:
                if frames[place].failure is None:
                    yield keep(decode_answer(call, bytes(frames[place].answer)))
                place += 1
            await moved.wait()

    def look_around(self, session: Session, _request: Request | None, report: Callable[[str, str], None]) -> Opened:
        """What the console began with; for `ConsoleApp(look_around=...)`."""
        from console.opening import Opened
        from engine.plan import Request

        report("recording", "done")
        start = self._start
        request = packed_decoder(Request).decode(start.request)
        return Opened(session, request, start.live_run, start.live_words, start.venues)

    def session(self) -> Session:
        """The session of the recording; it has the subjects of the real one."""
        return cast("Session", _ReplayedSession(self, replace(self._header.profile, read_only=True), self._start.holder))

    def _find(self, call: str, key: str) -> Frame | None:
        frames = self._frames.get(call, [])
        seen = frames[: bisect.bisect_right(frames, self.at, key=lambda frame: frame.at)]
        if CALLS[call].any_key:
            # What the console looked at may have changed since: the newest is what it saw.
            return seen[-1] if seen else frames[0] if frames else None
        exact = next((frame for frame in reversed(seen) if frame.key == key), None)
        # What was asked later is the same question: better an answer from the future than none.
        return exact or next((frame for frame in frames if frame.key == key), None)

    def _wake(self) -> None:
        # The tail reads in a loop of its own; one that was stopped is closed.
        for loop, moved in list(self._waiting):
            try:
                loop.call_soon_threadsafe(moved.set)
            except RuntimeError:
                self._waiting.remove((loop, moved))


class _ReplayedSession:
    """Stands where a `Session` stands: the same subjects, each answering from the recording."""

    def __init__(self, replay: Replay, profile: Profile, holder: str) -> None:
        self.profile = profile
        self.healing = SimpleNamespace(holder=Holder(holder, ""))
        self.clock = replay.clock
        self.armed = False
        self.cloud = None
        self.api_key = ""
        self._replay = replay

    def __getattr__(self, subject: str) -> _ReplayedSubject:
        if subject.startswith("__"):
            raise AttributeError(subject)
        return _ReplayedSubject(self._replay, subject)


class _ReplayedSubject:
    """One subject of it."""

    def __init__(self, replay: Replay, subject: str) -> None:
        self._replay = replay
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        call = f"{self._subject}.{name}"
        if call not in CALLS:
            return _REFUSED
        if CALLS[call].streams:
            return lambda *args, **_kwargs: self._replay.stream(call, _keeper(args))
        if CALLS[call].iterates:
            return lambda *args, **kwargs: iter(self._replay.answer(call, args, kwargs))
        return lambda *args, **kwargs: self._replay.answer(call, args, kwargs)


def _keeper(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Of a recorded batch what the question asks for: the recording may have followed more."""
    question = args[0] if args else None
    if question is None or not hasattr(question, "keep"):
        return lambda batch: batch
    return lambda batch: replace(batch, entries=tuple(question.keep(batch.entries)))


class _Refused:
    """Whatever was not recorded: says so however it is used."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise UsageError("this is a recording: nothing can be asked or changed", hint="start the console without --replay")

    def __getattr__(self, name: str) -> _Refused:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


_REFUSED: Final = _Refused()
