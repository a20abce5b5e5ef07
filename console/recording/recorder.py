"""Writes down what a session answers, in a thread of its own: the calls themselves wait for nothing.

Into one file that a person named, or into a ring of pieces in the state folder whose size is bounded.
"""

from __future__ import annotations

import hashlib
import os
import queue
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from console.recording.calls import CALLS, STEP_CALL, encode_answer
from console.recording.frames import MAGIC, SUFFIX, Failure, Frame, Header, pack
from engine import __version__
from engine.clock import Clock, utc_now
from engine.errors import EngineError, one_line
from engine.redaction import spellings
from provision.profile import Endpoints, Profile

if TYPE_CHECKING:
    from console.opening import Opened
    from console.session import Session

PIECE_BYTES: Final = 4 * 1024 * 1024
RING_BYTES: Final = 48 * 1024 * 1024
"""Of all pieces in the folder, whosever they are: the oldest go first."""
_WAITING: Final = 256
"""Answers that may wait to be written; more are dropped and counted."""
_MOST_ENTRIES: Final = 500
"""Log lines kept of one batch; the rest is counted in the batch itself as suppressed."""


class Start(msgspec.Struct, frozen=True):
    """What a console began with: `console.opening.Opened` without its session."""

    request: msgspec.Raw
    live_run: str = ""
    live_words: str = ""
    venues: tuple[str, ...] = ()
    holder: str = ""
    """Of the leases that were this console's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where frames go."""

    path: Path
    """A file, or the folder of the ring."""
    is_ring: bool


class Recorder:
    """Takes frames from any thread and writes them in its own, until stopped."""

    def __init__(self, place: Place, *, clock: Clock = utc_now) -> None:
        self._place = place
        self._clock = clock
        self._queue: queue.Queue[tuple[float, str, str, object, Failure | None] | None] = queue.Queue(_WAITING)
        self._masks: tuple[bytes, ...] = ()
        self._header: Header | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._inside = threading.local()
        self._last: dict[tuple[str, str], bytes] = {}
        """What each question was answered last, in the piece that is written now."""
        self.dropped = 0
        """Answers that came faster than the disk took them."""
        self.problem = ""
        """Why nothing is written any more; empty if all is well."""

    def begin(self, opened: Opened) -> None:
        """Write down what the console began with, and whatever its session answers from now on."""
        session = opened.session
        secret = (session.api_key, *session.profile.notify)
        forms = {form.encode() for word in secret if word for form in spellings(word)}
        self._masks = tuple(sorted(forms, key=len, reverse=True))
        start = Start(
            msgspec.Raw(encode_answer(opened.request)), opened.live_run, opened.live_words, opened.venues, session.healing.holder.id
        )
        self._header = Header(
            engine_version=__version__,
            began=self._clock().timestamp(),
            session=secrets.token_hex(4),
            profile=_bare(session.profile),
            start=msgspec.Raw(self._clean(msgspec.msgpack.encode(start))),
        )
        self._thread.start()
        tap(session, self)

    def take(self, call: str, key: str, answer: object, failure: Failure | None = None) -> None:
        """One answer; returns at once."""
        try:
            self._queue.put_nowait((self._clock().timestamp(), call, key, answer, failure))
        except queue.Full:
            self.dropped += 1

    @contextmanager
    def asking(self) -> Iterator[bool]:
        """While a call is answered; whether a person's screen asks: what a call asks in its turn is a part of its answer."""
        is_first = not getattr(self._inside, "busy", False)
        self._inside.busy = True
        try:
            yield is_first
        finally:
            if is_first:
                self._inside.busy = False

    def stop(self) -> None:
        """Write what is waiting, and no more."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(5)

    # In the thread

    def _run(self) -> None:
        try:
            self._write()
        except OSError as error:
            self.problem = f"{self._place.path}: {error.strerror}"
            while self._queue.get() is not None:
                pass

    def _write(self) -> None:
        assert self._header is not None
        head = MAGIC + pack(self._header)
        number = 0
        while True:
            path = self._piece(number)
            self._last.clear()
            with open(path, "xb" if self._place.is_ring else "wb", opener=_private) as file:
                file.write(head)
                while not self._place.is_ring or file.tell() < PIECE_BYTES:
                    item = self._queue.get()
                    if item is None:
                        return
                    if (frame := self._frame(*item)) is not None:
                        file.write(pack(frame))
                        file.flush()
            number += 1

    def _piece(self, number: int) -> Path:
        path = self._place.path
        if not self._place.is_ring:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        pieces = ring_pieces(path)
        room = RING_BYTES - PIECE_BYTES
        for piece in reversed(pieces):
            room -= piece.stat().st_size
            if room < 0:
                piece.unlink(missing_ok=True)
        assert self._header is not None
        return path / f"{self._clock():%Y%m%dT%H%M%SZ}-{self._header.session}-{number:04d}{SUFFIX}"

    def _frame(self, at: float, call: str, key: str, answer: object, failure: Failure | None) -> Frame | None:
        """None: it says what was said before."""
        if failure is not None:
            self._last.pop((call, key), None)
            return Frame(at, call, key, failure=self._clean_failure(failure))
        try:
            said = self._clean(encode_answer(answer))
        except (TypeError, NotImplementedError) as error:
            return Frame(at, call, key, failure=Failure(f"not recorded: {error}"))
        if call != STEP_CALL and not CALLS[call].streams:
            digest = hashlib.sha256(said).digest()
            if self._last.get((call, key)) == digest:
                return None
            self._last[call, key] = digest
        return Frame(at, call, key, msgspec.Raw(said))

    def _clean(self, data: bytes) -> bytes:
        """Secrets become as many stars, so that every length in the document stays true."""
        for mask in self._masks:
            if mask in data:
                data = data.replace(mask, b"*" * len(mask))
        return data

    def _clean_failure(self, failure: Failure) -> Failure:
        message = self._clean(failure.message.encode()).decode(errors="replace")
        return Failure(message, self._clean(failure.hint.encode()).decode(errors="replace"), failure.exit_code)


def ring_pieces(folder: Path) -> list[Path]:
    """The pieces of the ring, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def failure_of(error: BaseException) -> Failure:
    """An error as it is recorded."""
    if isinstance(error, EngineError):
        return Failure(str(error), error.hint, int(error.exit_code))
    return Failure(f"{type(error).__name__}: {one_line(error)}")


def tap(session: Session, recorder: Recorder) -> None:
    """From now on whatever the session answers goes to the recorder too."""
    for subject in dict.fromkeys(call.partition(".")[0] for call in CALLS):
        inner = getattr(session, subject)
        setattr(session, subject, _Tap(inner, subject, recorder))


class _Tap:
    """A subject of a session whose answers are taken down; all else of it stays as it is."""

    def __init__(self, inner: object, subject: str, recorder: Recorder) -> None:
        self.__dict__.update(_inner=inner, _subject=subject, _recorder=recorder)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        call = f"{self._subject}.{name}"
        if call not in CALLS:
            return found
        if CALLS[call].streams:
            return self._stream(call, found)
        return self._iterator(call, found) if CALLS[call].iterates else self._value(call, found)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def _value(self, call: str, method: Callable[..., Any]) -> Callable[..., Any]:
        recorder: Recorder = self._recorder

        def recorded(*args: Any, **kwargs: Any) -> Any:
            with recorder.asking() as is_first:
                if not is_first:
                    return method(*args, **kwargs)
                key = CALLS[call].key(args, kwargs)
                try:
                    answer = method(*args, **kwargs)
                except Exception as error:
                    recorder.take(call, key, None, failure_of(error))
                    raise
                recorder.take(call, key, answer)
                return answer

        return recorded

    def _iterator(self, call: str, method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        recorder: Recorder = self._recorder

        def recorded(*args: Any, **kwargs: Any) -> Iterator[Any]:
            key = CALLS[call].key(args, kwargs)
            items = []
            try:
                for item in method(*args, **kwargs):
                    items.append(item)
                    yield item
            except Exception as error:
                recorder.take(call, key, None, failure_of(error))
                raise
            recorder.take(call, key, items)

        return recorded

    def _stream(self, call: str, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        recorder: Recorder = self._recorder

        async def recorded(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            key = CALLS[call].key(args, kwargs)
            try:
                async for item in method(*args, **kwargs):
                    recorder.take(call, key, _bounded(item))
                    yield item
            except Exception as error:
                recorder.take(call, key, None, failure_of(error))
                raise

        return recorded


def _bounded(batch: Any) -> Any:
    left_out = len(batch.entries) - _MOST_ENTRIES
    if left_out <= 0:
        return batch
    return replace(batch, entries=batch.entries[-_MOST_ENTRIES:], suppressed={**batch.suppressed, "recording": left_out})


def _bare(profile: Profile) -> Profile:
    """Without addresses: where servers listened and whom to tell is nothing to hand on."""
    return replace(profile, endpoints=Endpoints(), notify=())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def newest_recording(folder: Path) -> list[Path]:
    """The pieces of the newest session in a ring, oldest first; empty if there is none."""
    pieces = ring_pieces(folder)
    if not pieces:
        return []
    newest = pieces[-1].name.split("-")[1]
    return [piece for piece in pieces if piece.name.split("-")[1] == newest]


def merge(parts: Iterable[tuple[Header, tuple[Frame, ...]]]) -> tuple[Header, tuple[Frame, ...]]:
    """The pieces of one session as one recording."""
    listed = list(parts)
    return listed[0][0], tuple(sorted((frame for _, frames in listed for frame in frames), key=lambda frame: frame.at))
