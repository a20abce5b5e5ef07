"""The `filter` of list calls, in both dialects that Compute Engine knows, which cannot be mixed in one request.

AIP-160: `labels.td-run="r7" AND (status=RUNNING OR status=STAGING)`, `labels.owner:*`, `name:market-data-*`, `name!=x`.
As AIP-160 says, OR binds tighter than AND, and terms side by side are joined by AND.
Regular expressions: `name eq market-data-.*`, or several terms in parentheses; the whole field must match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any

from provision.local.compute.errors import ComputeError, not_implemented

Json = Mapping[str, Any]
Predicate = Callable[[Json], bool]

FIELDS = frozenset(
    {"address", "clientOperationId", "cpuPlatform", "creationTimestamp", "description", "endTime", "guestCpus", "id"}
    | {"insertTime", "kind", "labels", "machineType", "memoryMb", "name", "operationGroupId", "operationType", "progress"}
    | {"region", "scheduling", "selfLink", "sizeGb", "startTime", "status", "targetId", "targetLink", "type", "user", "zone"}
)
"""First parts of the fields that may be asked for; a field that no resource has is refused, as Google does."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<op>!=|<=|>=|=|<|>|:)|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<word>[^\s()=!<>:"']+))"""
)
_REGEX_TERM = re.compile(r"""\s*(?P<field>[\w.\-]+)\s+(?P<op>eq|ne)\s+(?P<value>"[^"]*"|'[^']*'|.+?)\s*""")
_REGEX_GROUP = re.compile(r"""\s*\(((?:[^()"']|"[^"]*"|'[^']*'|\([^()]*\))*)\)""")


def parse_filter(text: str) -> Predicate:
    """Make a predicate over resources of a filter expression; the empty one accepts everything.

    Raises:
        ComputeError: 400 for what is no filter, 501 naming a form that is one and is not supported here.
    """
    if not text.strip():
        return lambda _resource: True
    if re.search(r"[\w\-]\s+(eq|ne)\s+\S", text):
        return _parse_regular(text)
    return _Parser(text).parse()


def _broken(text: str) -> ComputeError:
    return ComputeError(400, f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.", "invalid")


def _value_of(resource: Json, field: str) -> Any:
    value: Any = resource
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_regular(text: str) -> Predicate:
    stripped = text.strip()
    if stripped.startswith("("):
        terms, position = [], 0
        while position < len(stripped):
            group = _REGEX_GROUP.match(stripped, position)
            if group is None:
                raise _broken(text)
            terms.append(group[1])
            position = group.end()
    else:
        terms = [stripped]
    predicates = [_regular_term(term, text) for term in terms]
    return lambda resource: all(predicate(resource) for predicate in predicates)


def _regular_term(term: str, text: str) -> Predicate:
    match = _REGEX_TERM.fullmatch(term)
    if match is None or match["field"].split(".")[0] not in FIELDS:
        raise _broken(text)
    value = match["value"]
    if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1:
        value = value[1:-1]
    try:
        pattern = re.compile(value)
    except re.error:
        raise _broken(text) from None
    field, wanted = match["field"], match["op"] == "eq"

    def holds(resource: Json) -> bool:
        found = _value_of(resource, field)
        return (found is not None and pattern.fullmatch(_as_text(found)) is not None) == wanted

    return holds


class _Parser:
    """Recursive descent over the AIP-160 subset."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise _broken(text)
            kind = str(match.lastgroup)
            token = match[kind]
            self._tokens.append(("value", re.sub(r"\\(.)", r"\1", token)) if kind in {"double", "single"} else (kind, token))
            position = match.end()

    def parse(self) -> Predicate:
        predicate = self._conjunction()
        if self._at < len(self._tokens):
            raise _broken(self._text)
        return predicate

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _conjunction(self) -> Predicate:
        parts = [self._disjunction()]
        while self._peek() not in {("end", ""), ("paren", ")")}:
            if self._peek() == ("word", "AND"):
                self._take()
            parts.append(self._disjunction())
        return lambda resource: all(part(resource) for part in parts)

    def _disjunction(self) -> Predicate:
        parts = [self._term()]
        while self._peek() == ("word", "OR"):
            self._take()
            parts.append(self._term())
        return lambda resource: any(part(resource) for part in parts)

    def _term(self) -> Predicate:
        kind, field = self._take()
        if (kind, field) == ("paren", "("):
            inner = self._conjunction()
            if self._take() != ("paren", ")"):
                raise _broken(self._text)
            return inner
        if kind == "word" and (field == "NOT" or field.startswith("-")):
            raise not_implemented(f"NOT in the list filter {self._text!r}")
        if kind != "word" or field.split(".")[0] not in FIELDS:
            raise _broken(self._text)
        operator_kind, operator = self._take()
        if operator_kind != "op":
            raise _broken(self._text)
        if operator in {"<", ">", "<=", ">="}:
            raise not_implemented(f"the operator {operator} in the list filter {self._text!r}")
        value_kind, value = self._take()
        if (value_kind, value) == ("paren", "("):
            raise not_implemented(f"a list of values in the list filter {self._text!r}")
        if value_kind not in {"word", "value"}:
            raise _broken(self._text)
        return self._comparison(field, operator, value)

    def _comparison(self, field: str, operator: str, value: str) -> Predicate:
        if operator == ":":
            if value == "*":
                return lambda resource: _value_of(resource, field) not in (None, "", {}, [])
            if "*" not in value:
                raise not_implemented(f"':' without a wildcard in the list filter {self._text!r}; write {field}={value}")
        pattern = re.compile(translate(value.replace("[", "[[]").replace("?", "[?]")))
        wanted = operator != "!="

        def holds(resource: Json) -> bool:
            found = _value_of(resource, field)
            return (found is not None and pattern.match(_as_text(found)) is not None) == wanted

        return holds
