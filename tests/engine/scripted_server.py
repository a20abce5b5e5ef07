"""An HTTP server that plays answers from a script, byte by byte, and remembers every request.

It speaks over plain sockets, so that an answer may also be what no HTTP library would send: silence, a reset, a body that is shorter
than announced. It runs in a thread of its own: the client under test may be blocking, a coroutine, or another process.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""


class Ending(Enum):
    """What becomes of the connection after an answer."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()
    """It stays open and nothing more comes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of an answer, head and body, and what follows."""

    sent: bytes
    ending: Ending = Ending.KEEP


Scripted = Answer | Callable[[Request], Answer]


def answer(status: int, body: bytes | str = b"", /, ending: Ending = Ending.KEEP, **headers: object) -> Answer:
    """A complete answer; `Content_Length=...` and other headers go over the usual ones, `None` leaves one out."""
    content = body.encode() if isinstance(body, str) else body
    usual: dict[str, object] = {"Content-Length": len(content)}
    shown = usual | {key.replace("_", "-"): value for key, value in headers.items()}
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in shown.items() if value is not None)]
    return Answer("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content, ending)


def phrase(status: int) -> str:
    """The words of a status."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"


def chunked(body: bytes, *, pieces: int = 4, last: bool = True, **headers: object) -> Answer:
    """A body in chunks; without the `last` one the connection closes as if the body broke off."""
    size = max(1, -(-len(body) // pieces))
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if last else b"")
    ending = Ending.KEEP if last else Ending.CLOSE
    return answer(200, sent, ending, Content_Length=None, Transfer_Encoding="chunked", **headers)


SILENCE = Answer(b"", Ending.SILENCE)
RESET = Answer(b"", Ending.RESET)
CLOSE = Answer(b"", Ending.CLOSE)
NO_HTTP = Answer(b"this is no HTTP\r\n\r\n", Ending.CLOSE)


@dataclass
class ScriptedServer:
    """Answers by script. The last answer of a script goes on for ever; what no script covers gets a 599."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    _scripts: list[tuple[str, list[Scripted]]] = field(default_factory=list)

    def play(self, part: str, *answers: Scripted) -> None:
        """Answer requests whose method and target contain `part`. What was played first is looked at first."""
        self._scripts.append((part, list(answers)))

    def asked(self, part: str = "") -> list[Request]:
        """The requests whose method and target contain `part`."""
        return [request for request in self.requests if part in f"{request.method} {request.target}"]

    def take(self, request: Request) -> Answer:
        """Note a request and choose its answer."""
        self.requests.append(request)
        for part, answers in self._scripts:
            if part in f"{request.method} {request.target}":
                chosen = answers.pop(0) if len(answers) > 1 else answers[0]
                return chosen if isinstance(chosen, Answer) else chosen(request)
        return answer(599, f"no script for {request.method} {request.target}")


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server on 127.0.0.1 until the block ends."""
    server = ScriptedServer()
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def run() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_converse(server, reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        listening = await asyncio.start_server(connected, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await stopped.wait()
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        stop[0]()
        thread.join(10)


async def _converse(server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        ending = Ending.KEEP
        while ending is Ending.KEEP:
            chosen = server.take(await _read(reader))
            ending = chosen.ending
            writer.write(chosen.sent)
            await writer.drain()
        if ending is Ending.SILENCE:
            await reader.read()
        if ending is Ending.RESET:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)
