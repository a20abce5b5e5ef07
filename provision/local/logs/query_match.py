"""A filter as a function of a log entry: `compile_filter(text)` gives a predicate over raw `LogEntry` messages.

Kept apart from the grammar (`query_syntax`). The rules, as documented by Google:

- Text compares without regard to case, except regular expressions. `:` is "contains"; on anything but text it is "equals".
- The value is read as the field's type; a value that cannot be read as a number matches no number.
- A repeated field matches when one of its elements does.
- A missing field (also an empty string, which is the same on the wire) fails every comparison. `!=` and `!~` are the exact
  opposites of `=` and `=~`, so they hold for a missing field. `field:*` asks whether the field is there.
- Regular expressions are RE2's: what RE2 does not have (look-around, back-references) is refused.

Where the documentation is silent and this is a guess: `labels:"x"` and `jsonPayload:"x"` look into keys and values; a
field name that is in no log entry is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.cloudlog import SEVERITIES
from provision.local.logs.query_syntax import (
    And,
    Call,
    Comparison,
    FilterError,
    GlobalSearch,
    Literal,
    Node,
    Not,
    Or,
    parse,
)

Predicate = Callable[[Any], bool]
"""Takes a raw (not proto-plus) `google.logging.v2.LogEntry`."""

SEVERITY_NAMES = {number: name for name, number in SEVERITIES.items()}

_STRUCT, _VALUE, _LIST = "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"
_TIMESTAMP = "google.protobuf.Timestamp"
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})?)?")
_NOT_RE2 = re.compile(r"\\[^1-9Z]|(\(\?(?:=|!|<=|<!|P=|>|\()|\\[1-9Z])", re.DOTALL)
"""What Python's engine takes and RE2 does not, in its group. A backslash that is escaped begins nothing."""
_WORDS = re.compile(r"[^\W_]+")
_UNSUPPORTED_FIELDS = {"protoPayload", "proto_payload", "split"}


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A predicate, and what its top-level ANDs already say about an entry's place in the index."""

    matches: Predicate
    since_ns: int | None
    """No entry before this matches: nanoseconds since the epoch, inclusive."""
    until_ns: int | None
    """No entry after this matches: nanoseconds since the epoch, inclusive."""
    min_severity: int
    """No entry below this severity matches."""


def compile_filter(source: str) -> CompiledFilter:
    """Read a filter.

    Raises:
        FilterError: naming what cannot be read or is not supported.
    """
    node = parse(source)
    since, until, severity = _bounds(node)
    return CompiledFilter(_compile(node), since, until, severity)


def parse_timestamp(text: str) -> int:
    """RFC 3339 (or a bare date) as nanoseconds since the epoch; without a zone it is UTC.

    Raises:
        FilterError: if it is no time.
    """
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        day, clock, fraction, zone = match.groups()
        zone = "+00:00" if zone in (None, "Z", "z") else zone
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError(f"Unparseable filter: invalid timestamp '{text}'") from None
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def _bounds(node: Node) -> tuple[int | None, int | None, int]:
    if isinstance(node, And):
        found = [_bounds(part) for part in node.parts]
        since = [low for low, _, _ in found if low is not None]
        until = [high for _, high, _ in found if high is not None]
        severity = max((least for _, _, least in found), default=0)
        return max(since, default=None), min(until, default=None), severity
    if isinstance(node, Comparison):
        if node.path == ("severity",) and node.op in ("=", ">=", ">"):
            return None, None, _severity(node.value)
        if node.path == ("timestamp",) and node.op in ("=", ">=", ">", "<", "<="):
            moment = parse_timestamp(node.value.text)
            return (
                moment if node.op in ("=", ">=", ">") else None,
                moment if node.op in ("=", "<=", "<") else None,
                0,
            )
    return None, None, 0


def _compile(node: Node) -> Predicate:
    match node:
        case And(parts):
            every = [_compile(part) for part in parts]
            return lambda entry: all(part(entry) for part in every)
        case Or(parts):
            some = [_compile(part) for part in parts]
            return lambda entry: any(part(entry) for part in some)
        case Not(part):
            inner = _compile(part)
            return lambda entry: not inner(entry)
        case GlobalSearch(value):
            wanted = value.text.casefold()
            return lambda entry: any(wanted in text.casefold() for text in _texts(entry))
        case Call():
            return _compile_call(node)
        case Comparison():
            return _compile_comparison(node)


def _compile_call(call: Call) -> Predicate:
    *fields, text = call.arguments
    if call.name == "log_id" and not fields:
        # Log ids are URL-encoded in names and plain in log_id(): both spellings are compared.
        ending = "/logs/" + text.text.replace("/", "%2F")
        return lambda entry: bool(entry.log_name.endswith(ending))
    if call.name == "SEARCH" and text.quoted and len(fields) <= 1 and "`" not in text.text:
        wanted = {word.casefold() for word in _WORDS.findall(text.text)}
        if fields:
            getter = _getter(tuple(fields[0].text.split(".")))
            return lambda entry: wanted <= _words(found for value in getter(entry) for found in _value_texts(value))
        return lambda entry: wanted <= _words(_texts(entry))
    raise FilterError(f"Unparseable filter: unsupported function or arguments: {call.name}()")


def _words(texts: Iterator[str]) -> set[str]:
    return {word.casefold() for text in texts for word in _WORDS.findall(text)}


def _compile_comparison(node: Comparison) -> Predicate:
    if node.op in ("!=", "!~"):
        positive = _compile_comparison(Comparison(node.path, "=" if node.op == "!=" else "=~", node.value))
        return lambda entry: not positive(entry)
    if node.path == ("severity",):
        return _compile_severity(node.op, node.value)
    if node.path in (("timestamp",), ("receiveTimestamp",), ("receive_timestamp",)):
        return _compile_timestamp(node)
    getter = _getter(node.path)
    if node.op == ":" and node.value.text == "*" and not node.value.quoted:
        return lambda entry: any(True for _ in getter(entry))
    test = _value_test(node.op, node.value)
    return lambda entry: any(test(value) for value in getter(entry))


def _severity(value: Literal) -> int:
    name = value.text.upper()
    if name in SEVERITIES:
        return SEVERITIES[name]
    if name.isdecimal():
        return int(name)
    raise FilterError(f"Unparseable filter: invalid severity '{value.text}'")


def _compile_severity(op: str, value: Literal) -> Predicate:
    if op == "=~":
        pattern = _regex(value.text)
        return lambda entry: pattern.search(SEVERITY_NAMES.get(entry.severity, str(entry.severity))) is not None
    if op == ":" and value.text == "*" and not value.quoted:
        return lambda entry: entry.severity != 0
    wanted = _severity(value)
    order = _ORDER[op]
    return lambda entry: order(entry.severity, wanted)


def _compile_timestamp(node: Comparison) -> Predicate:
    if node.op == "=~":
        raise FilterError(f"Unparseable filter: {node.path[0]} cannot be matched by a regular expression")
    received = node.path[0] != "timestamp"
    wanted = parse_timestamp(node.value.text)
    order = _ORDER[node.op]

    def matches(entry: Any) -> bool:
        stamp = entry.receive_timestamp if received else entry.timestamp
        return order(stamp.seconds * 1_000_000_000 + stamp.nanos, wanted)

    return matches


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    ":": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}


def _regex(text: str) -> re.Pattern[str]:
    for found in _NOT_RE2.finditer(text):
        if found[1]:
            raise FilterError(f"Unparseable filter: regular expressions do not support '{found[1]}'")
    try:
        return re.compile(text)
    except re.error as error:
        raise FilterError(f"Unparseable filter: invalid regular expression '{text}': {error}") from None


def _value_test(op: str, literal: Literal) -> Callable[[Any], bool]:
    """A test of one value: str, bool, int, float, None (a JSON null), or a dict (a nested structure)."""
    text = literal.text
    if op == "=~":
        pattern = _regex(text)
        return lambda value: isinstance(value, str) and pattern.search(value) is not None
    folded = text.casefold()
    order = _ORDER[op]
    try:
        number: float | None = float(text)
    except ValueError:
        number = None
    flag = {"true": True, "false": False}.get(folded)
    null = text == "NULL_VALUE" and not literal.quoted

    def test(value: Any) -> bool:
        match value:
            case str():
                return folded in value.casefold() if op == ":" else order(value.casefold(), folded)
            case bool():
                return op in ("=", ":") and value is flag
            case int() | float():
                return number is not None and order(value, number)
            case None:
                return null and op in ("=", ":")
            case _:
                return op == ":" and any(folded in found.casefold() for found in _value_texts(value))

    return test


def _getter(path: tuple[str, ...]) -> Callable[[Any], Iterator[Any]]:
    """What the entry holds under `path`, as plain Python values; nothing when the field is missing."""
    head = path[0]
    descriptor = _entry_descriptor()
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    if head in _UNSUPPORTED_FIELDS:
        raise FilterError(f"Unparseable filter: unsupported field '{head}'")
    if head not in fields:
        raise FilterError(f"Unparseable filter: Field not found: '{'.'.join(path)}'.")
    if head == "labels" and len(path) > 1:
        key = ".".join(path[1:])  # labels.a.b without quotes means the key "a.b": label values have no inside
        return lambda entry: iter((entry.labels[key],) if key in entry.labels else ())
    if head == "labels":
        return lambda entry: iter((dict(entry.labels),) if entry.labels else ())
    if head in ("jsonPayload", "json_payload") and len(path) > 1:
        name, rest = path[1], path[2:]

        def payload_field(entry: Any) -> Iterator[Any]:
            held = entry.json_payload.fields
            if name in held:
                yield from _walk_value(held[name], rest)

        return payload_field
    _check_path(descriptor, path)
    return lambda entry: _walk(entry, path)


def _entry_descriptor() -> Any:
    from google.cloud.logging_v2.types import LogEntry

    return LogEntry.pb().DESCRIPTOR


def _check_path(descriptor: Any, path: tuple[str, ...]) -> None:
    for part in path:
        if descriptor is None or descriptor.full_name in (_STRUCT, _VALUE) or descriptor.GetOptions().map_entry:
            return
        fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
        if part not in fields:
            raise FilterError(f"Unparseable filter: Field not found: '{'.'.join(path)}'.")
        descriptor = fields[part].message_type


def _walk(message: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Follow `path` into a message, a Struct, a list or a map."""
    kind = message.DESCRIPTOR.full_name if hasattr(message, "DESCRIPTOR") else ""
    if kind == _VALUE:
        yield from _walk_value(message, path)
    elif kind == _STRUCT:
        if not path:
            yield _plain_struct(message)
        elif path[0] in message.fields:
            yield from _walk_value(message.fields[path[0]], path[1:])
    elif kind == _TIMESTAMP or not kind:
        if not path:
            yield message
    elif not path:
        yield {field.json_name: _plain(value) for field, value in message.ListFields()}
    else:
        yield from _walk_field(message, path)


def _walk_field(message: Any, path: tuple[str, ...]) -> Iterator[Any]:
    field = next(found for found in message.DESCRIPTOR.fields if path[0] in (found.name, found.json_name))
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key = ".".join(path[1:])
        if not key:
            yield dict(value)
        elif key in value:
            yield value[key]
    elif field.message_type is not None:
        if message.HasField(field.name):
            yield from _walk(value, path[1:])
    elif len(path) == 1 and value != "":
        yield value


def _walk_value(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        for item in value.list_value.values:
            yield from _walk_value(item, path)
    elif kind == "struct_value":
        yield from _walk(value.struct_value, path)
    elif not path and kind is not None:
        yield None if kind == "null_value" else getattr(value, kind)


def _plain(value: Any) -> Any:
    kind = value.DESCRIPTOR.full_name if hasattr(value, "DESCRIPTOR") else ""
    if kind == _VALUE:
        which = value.WhichOneof("kind")
        if which is None or which == "null_value":
            return None
        return _plain(getattr(value, which))
    if kind == _STRUCT:
        return _plain_struct(value)
    if kind == _LIST:
        return [_plain(item) for item in value.values]
    return value


def _plain_struct(struct: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _value_texts(value: Any) -> Iterator[str]:
    """Every name and value inside a plain value, as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _value_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _value_texts(inner)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, (int, float)):
        yield f"{value:.15g}"


def _texts(entry: Any) -> Iterator[str]:
    """Every text of an entry, for a search over all fields."""
    yield entry.text_payload
    if entry.HasField("json_payload"):
        yield from _value_texts(_plain_struct(entry.json_payload))
    yield entry.log_name
    yield entry.insert_id
    yield SEVERITY_NAMES.get(entry.severity, "")
    yield entry.resource.type
    yield from entry.resource.labels.values()
    yield from entry.labels.values()
    yield entry.trace
    yield entry.operation.id
    yield entry.source_location.file
