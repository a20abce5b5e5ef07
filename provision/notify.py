"""Telling somebody who is not looking: a POST of `{"text": ...}` (as Slack and its kin take it) and the bell of the terminal.

Kept apart from who finds out: watchers and launches call `tell`, and whoever runs a loop decides by `telling` who hears of it. Nothing
here may hold back or fail the work: messages wait in a bounded queue for a thread of their own, and a failure is said once. An
address of this kind is as good as a key to the channel behind it, so it is never shown, logged or repeated: only its host is.
"""

from __future__ import annotations

import ipaddress
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ConfigurationError

SECONDS = 10.0
"""How long one message may take."""
ATTEMPTS = 3
PAUSES = (1.0, 4.0)
"""Seconds between the attempts."""
WAITING = 100
"""Messages that may wait; a flood beyond that is dropped and counted."""
TEXT_CHARACTERS = 3_000
CLOSE_SECONDS = 3.0

Report = Callable[[str], object]


class Kind(StrEnum):
    """What people want to be told of."""

    DONE = "done"
    CANARY = "canary failed"
    STUCK = "stuck"
    LOST = "lost"
    CAP = "cap reached"
    REFUSED = "refused"
    """The source's first 401 or 403."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell."""

    kind: Kind
    run: str
    message: str
    """One line for people; no secret in it."""
    subject: str = ""
    """What it is about, e.g. a VM. The same kind of event of the same run and subject is told once."""

    @property
    def line(self) -> str:
        """The whole of it on one line."""
        return f"tickdeck: run {self.run}: {self.message}" if self.run else f"tickdeck: {self.message}"


@dataclass(frozen=True, slots=True)
class Hook:
    """An address that takes messages. Its text shows the host only."""

    host: str
    url: str = field(repr=False)
    loopback: bool = False

    def __str__(self) -> str:
        return self.host


def parse_hook(url: str, *, local: bool = False) -> Hook:
    """An address as a person gave it.

    Args:
        url: https, or http on this machine.
        local: whether the profile is a local one: then nothing may leave the machine.

    Raises:
        ConfigurationError: if it is no such address; it is not repeated in the message.
    """
    hint = "https://HOST/... or, on this machine, http://127.0.0.1:PORT/..."
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("a notify address is not a URL", hint=hint) from None
    if not host or any(character <= " " for character in url.strip()):
        raise ConfigurationError("a notify address is not a URL", hint=hint)
    loopback = _is_loopback(host)
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigurationError(f"the notify address at {host} is not https", hint=hint)
    if local and not loopback:
        raise ConfigurationError(
            f"the notify address at {host} is not on this machine, and the local profile lets nothing leave it",
            hint="use a gcp profile, or an address on 127.0.0.1",
        )
    return Hook(host, url.strip(), loopback)


def parse_hooks(urls: Sequence[str], *, local: bool = False) -> tuple[Hook, ...]:
    """Several addresses, each once; see `parse_hook`."""
    return tuple({hook.url: hook for hook in (parse_hook(url, local=local) for url in urls)}.values())


def host_of(url: str) -> str:
    """What may be shown of an address."""
    try:
        return urlsplit(url.strip()).hostname or "?"
    except ValueError:
        return "?"


class Notifier:
    """Sends events to hooks from a thread of its own, and rings.

    Args:
        hooks: where to; may be none.
        bell: called for each event, at once.
        report: hears once of each hook that fails, and at the end of what was dropped. Called from the notifier's thread.
    """

    def __init__(self, hooks: Sequence[Hook], *, bell: Callable[[], object] = lambda: None, report: Report = lambda _line: None) -> None:
        self._hooks = tuple(hooks)
        self._bell = bell
        self._report = report
        self._waiting: queue.Queue[Event | None] = queue.Queue(WAITING)
        self._told: set[tuple[Kind, str, str]] = set()
        self._failed: set[Hook] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self.dropped = 0
        """Events that found the queue full."""

    def tell(self, event: Event) -> None:
        """Take one event; never blocks, never raises."""
        with self._lock:
            mark = (event.kind, event.run, event.subject)
            if mark in self._told or self._closing.is_set():
                return
            self._told.add(mark)
            self._ring()
            if not self._hooks:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
            try:
                self._waiting.put_nowait(event)
            except queue.Full:
                self.dropped += 1

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits, for at most so long, then stop."""
        ends = time.monotonic() + seconds
        thread = self._thread
        if thread is not None:
            try:
                self._waiting.put(None, timeout=seconds)
            except queue.Full:
                pass  # the thread is stuck in a call: it is a daemon, and its timeout ends it
            else:
                thread.join(max(ends - time.monotonic(), 0.0))
        self._closing.set()
        if self.dropped:
            self._report(f"{self.dropped} notifications were dropped: they came faster than they could be sent")

    def _ring(self) -> None:
        try:
            self._bell()
        except Exception:  # noqa: BLE001  a terminal that is gone must not end the watch
            return

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            for hook in self._hooks:
                why = self._deliver(hook, event)
                if why and hook not in self._failed:
                    self._failed.add(hook)
                    self._report(f"cannot notify {hook.host}: {why.replace(hook.url, hook.host)}; said once")

    def _deliver(self, hook: Hook, event: Event) -> str:
        """Send to one hook, again where that may help. Returns why it failed, or ""."""
        why = ""
        for pause in (*PAUSES[: ATTEMPTS - 1], None):
            try:
                send(hook, event)
            except urllib.error.HTTPError as error:
                why = f"HTTP {error.code}"
                if error.code < 500 and error.code != 429:
                    return why
            except (OSError, HTTPException, ValueError) as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                why = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)
            else:
                return ""
            if pause is None or self._closing.wait(pause):
                return why
        return why


def send(hook: Hook, event: Event) -> None:
    """One POST.

    Raises:
        OSError, http.client.HTTPException: if it was not taken; an `HTTPError` for a status other than 2xx, redirections too.
    """
    request = urllib.request.Request(  # noqa: S310  the scheme was checked by `parse_hook`
        hook.url,
        data=json.dumps({"text": slack_text(event.line)}).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "tickdeck"},
        method="POST",
    )
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if hook.loopback:
        handlers.append(urllib.request.ProxyHandler({}))
    with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as response:
        response.read(1_000)


def slack_text(text: str) -> str:
    """Text as Slack wants it: `&`, `<` and `>` escaped, so that nothing in it (`<!channel>`) becomes an order; cut to size.

    Source: https://api.slack.com/reference/surfaces/formatting#escaping
    """
    short = text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_hearing: list[Notifier] = []


def tell(event: Event) -> None:
    """Tell whoever this process tells things; nobody, if it tells none. Never blocks, never raises."""
    for notifier in tuple(_hearing):
        notifier.tell(event)


def start_telling(notifier: Notifier) -> None:
    """From now on `tell` reaches this notifier."""
    _hearing.append(notifier)


def stop_telling(notifier: Notifier) -> None:
    """The opposite of `start_telling`; what waits is sent first."""
    if notifier in _hearing:
        _hearing.remove(notifier)
    notifier.close()


@contextmanager
def telling(hooks: Sequence[Hook], *, bell: Callable[[], object] = lambda: None, report: Report = lambda _line: None) -> Iterator[Notifier]:
    """`tell` reaches these hooks and this bell while the block runs."""
    notifier = Notifier(hooks, bell=bell, report=report)
    start_telling(notifier)
    try:
        yield notifier
    finally:
        stop_telling(notifier)


def is_heard() -> bool:
    """Whether anybody would hear of an event now."""
    return bool(_hearing)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection is an error: it could lead from https to http, and the address is a secret."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
