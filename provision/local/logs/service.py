"""`google.logging.v2.LoggingServiceV2` as gRPC handlers over the entry store and the tail sessions.

Handlers work on raw protocol buffers and, towards the client, on bytes: a stored entry goes into a response as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NoReturn

import grpc

from provision.local.faults import Fault
from provision.local.logs import fault_kinds, listing
from provision.local.logs.entry_store import EntryStore, Key, Record, record_of
from provision.local.logs.query_match import compile_filter
from provision.local.logs.query_syntax import FilterError
from provision.local.logs.tail_sessions import MAX_SESSIONS, SessionCut, TailHub, TailSession
from provision.local.logs.write_rules import MAX_REQUEST_BYTES, RuleError, WriteRules, check_log_name, parents

SERVICE = "google.logging.v2.LoggingServiceV2"
DEFAULT_WINDOW_SECONDS = 2.0
MAX_WINDOW_SECONDS = 60.0


class LoggingService(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is not followed by mypy
    """The handlers of one server.

    Args:
        store: the entries.
        faults: the armed fault switches.
        now_ns: wall clock, nanoseconds since the epoch.
        clock: monotonic seconds, for quotas.
    """

    def __init__(
        self,
        store: EntryStore,
        faults: fault_kinds.LogFaults,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from google.cloud.logging_v2 import types
        from google.protobuf import empty_pb2

        self._store = store
        self._faults = faults
        self._now_ns = now_ns
        self._clock = clock
        self.hub = TailHub(clock, faults.tail_entries_per_minute)
        faults.on_cut(self._cut_tails)
        self._types = types
        self._empty = empty_pb2.Empty
        self._parse_entry = types.LogEntry.pb().FromString
        self._reads: dict[str, deque[float]] = {}
        self._insert_prefix = uuid.uuid4().hex[:10]
        self._sequence = itertools.count(1)
        self._handlers = self._make_handlers()

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method. Methods that this server does not have answer UNIMPLEMENTED with their name."""
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE:
            return None
        return self._handlers.get(method) or grpc.unary_unary_rpc_method_handler(_refusal(method))

    def _make_handlers(self) -> dict[str, Any]:
        def unary(behaviour: Callable[[Any, Any], Awaitable[bytes]], request: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(behaviour, request.pb().FromString)

        return {
            "WriteLogEntries": unary(self._write, self._types.WriteLogEntriesRequest),
            "ListLogEntries": unary(self._list, self._types.ListLogEntriesRequest),
            "ListLogs": unary(self._list_logs, self._types.ListLogsRequest),
            "DeleteLog": unary(self._delete_log, self._types.DeleteLogRequest),
            "TailLogEntries": grpc.stream_stream_rpc_method_handler(self._tail, self._types.TailLogEntriesRequest.pb().FromString),
        }

    async def _write(self, request: Any, context: Any) -> bytes:
        await self._strike("WriteLogEntries", request.log_name, context)
        if request.ByteSize() > MAX_REQUEST_BYTES:
            await _invalid(context, f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
        rules = WriteRules(request, self._now_ns(), self._new_insert_id)
        kept: list[tuple[Record, Any]] = []
        broken: dict[int, RuleError] = {}
        for index, entry in enumerate(request.entries):
            try:
                if rules.complete(entry):
                    kept.append((record_of(entry), entry))
            except RuleError as error:
                broken[index] = error
        if broken and not (request.partial_success and len(broken) < len(request.entries)):
            await _invalid(context, str(next(iter(broken.values()))))
        if not request.dry_run:
            new = self._store.add(record for record, _ in kept)
            fresh: list[tuple[Record, Any]] = []
            for record, entry in kept:
                if record.key in new:
                    new.discard(record.key)
                    fresh.append((record, entry))
            self.hub.publish(fresh)
        if broken:
            await self._partial_failure(context, broken)
        if self._faults.take("lost-reply", method="WriteLogEntries", target=request.log_name):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return b""

    async def _partial_failure(self, context: Any, broken: dict[int, RuleError]) -> NoReturn:
        from google.rpc import status_pb2

        invalid = grpc.StatusCode.INVALID_ARGUMENT
        message = str(next(iter(broken.values())))
        errors = self._types.WriteLogEntriesPartialErrors.pb()()
        for index, error in broken.items():
            errors.log_entry_errors[index].code = invalid.value[0]
            errors.log_entry_errors[index].message = str(error)
        status = status_pb2.Status(code=invalid.value[0], message=message)
        status.details.add().Pack(errors)
        await context.abort(invalid, message, (("grpc-status-details-bin", status.SerializeToString()),))
        raise AssertionError("abort raises")

    async def _list(self, request: Any, context: Any) -> bytes:
        names = list(request.resource_names)
        await self._strike("ListLogEntries", " ".join(names), context)
        await self._count_read(names, context)
        mark = listing.fingerprint(sorted(names), request.filter, request.order_by)
        try:
            wanted = listing.Listing(
                parents(names),
                compile_filter(request.filter),
                listing.read_order(request.order_by),
                listing.read_page_size(request.page_size),
                mark,
            )
            start = listing.read_token(request.page_token, mark) if request.page_token else None
        except (RuleError, FilterError) as error:
            await _invalid(context, str(error))
        page, following = await listing.read_page(self._store, wanted, start, self._parse_entry)
        response = self._types.ListLogEntriesResponse.pb()
        token = listing.write_token(following, mark) if following is not None else ""
        return _entries_on_the_wire(page) + bytes(response(next_page_token=token).SerializeToString())

    async def _tail(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[bytes]:
        request = await anext(aiter(requests), None)
        if request is None:
            await _invalid(context, "The first message of a tail session must hold the request.")
        names = list(request.resource_names)
        await self._strike("TailLogEntries", " ".join(names), context)
        try:
            prefixes = parents(names)
            query = compile_filter(request.filter)
            window = _read_window(request)
        except (RuleError, FilterError) as error:
            await _invalid(context, str(error))
        if self.hub.open_count(prefixes) >= MAX_SESSIONS:
            await _exhausted(context, "Open live-tailing sessions", names[0])
        session = TailSession(prefixes, query.matches, window)
        self.hub.sessions.append(session)
        try:
            # Sent once the session is registered: a client that waits for it misses nothing written afterwards.
            await context.send_initial_metadata(())
            self._cut_tails()
            async for records, suppressed in session.responses():
                tail = self._types.TailLogEntriesResponse.pb()()
                for reason, count in suppressed.items():
                    tail.suppression_info.add(reason=reason, suppressed_count=count)
                yield _entries_on_the_wire(records) + tail.SerializeToString()
        except SessionCut:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        finally:
            self.hub.sessions.remove(session)

    async def _list_logs(self, request: Any, context: Any) -> bytes:
        names = list(dict.fromkeys([request.parent, *request.resource_names]))
        await self._strike("ListLogs", request.parent, context)
        mark = listing.fingerprint(names)
        try:
            prefixes = parents(names)
            after = listing.read_token(request.page_token, mark).log_name if request.page_token else ""
        except RuleError as error:
            await _invalid(context, str(error))
        found = [name for name in self._store.log_names if name.startswith(prefixes) and name >= after]
        size = request.page_size if request.page_size > 0 else len(found)
        token = listing.write_token(Key(0, "", found[size]), mark) if len(found) > size else ""
        response = self._types.ListLogsResponse.pb()
        return bytes(response(log_names=found[:size], next_page_token=token).SerializeToString())

    async def _delete_log(self, request: Any, context: Any) -> bytes:
        await self._strike("DeleteLog", request.log_name, context)
        try:
            name = check_log_name(request.log_name)
        except RuleError as error:
            await _invalid(context, str(error))
        if not self._store.delete_log(name):
            await context.abort(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
        return b""

    async def _strike(self, method: str, target: str, context: Any) -> None:
        if slow := self._faults.take("slow", method=method, target=target):
            await asyncio.sleep(slow.settings["seconds"])
        if self._faults.take("unavailable", method=method, target=target):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable.")

    async def _count_read(self, names: list[str], context: Any) -> None:
        fault: Fault | None = self._faults.take("read-quota", method="ListLogEntries", target=" ".join(names))
        if fault is None:
            return
        limit = fault.settings.get("per_minute", fault_kinds.READS_PER_MINUTE)
        now = self._clock()
        for name in names:
            reads = self._reads.setdefault(name, deque())
            while reads and now - reads[0] >= 60:
                reads.popleft()
            if len(reads) >= limit:
                await _exhausted(context, "Read requests", name)
            reads.append(now)

    def _cut_tails(self) -> None:
        def strikes(session: TailSession) -> bool:
            return self._faults.take("cut-tail", method="TailLogEntries", target=" ".join(session.parents)) is not None

        self.hub.cut(strikes)

    def _new_insert_id(self) -> str:
        return f"{self._insert_prefix}{next(self._sequence):012d}"


def _read_window(request: Any) -> float:
    if not request.HasField("buffer_window"):
        return DEFAULT_WINDOW_SECONDS
    seconds = float(request.buffer_window.ToTimedelta().total_seconds())
    if not 0 <= seconds <= MAX_WINDOW_SECONDS:
        raise RuleError("buffer_window must be between 0 and 60000 milliseconds.")
    return seconds


def _entries_on_the_wire(records: Iterable[Record]) -> bytes:
    """`repeated LogEntry entries = 1`, the field that list and tail responses share."""
    parts: list[bytes] = []
    for record in records:
        parts += (b"\x0a", _varint(len(record.data)), record.data)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _refusal(method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def refuse(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{SERVICE}/{method} is not part of the local cloud")
        raise AssertionError("abort raises")

    return refuse


async def _invalid(context: Any, message: str) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
    raise AssertionError("abort raises")


async def _exhausted(context: Any, metric: str, consumer: str) -> NoReturn:
    await context.abort(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"Quota exceeded for quota metric '{metric}' and limit '{metric} per minute' of service 'logging.googleapis.com'"
        f" for consumer '{consumer}'.",
    )
    raise AssertionError("abort raises")
