"""The Logging query language: every operator over the wire, the grammar by property."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud.logging_v2.types import LogEntry
from hypothesis import given
from hypothesis import strategies as st

from provision.local.logs.query_match import compile_filter
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
    unquote,
)
from provision.logs import quote

KEYWORDS = {"AND", "OR", "NOT"}
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORD = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,10}", fullmatch=True).filter(lambda word: word not in KEYWORDS)
LITERAL = st.builds(Literal, TEXT, st.just(True)) | st.builds(Literal, WORD, st.just(False))
PATH = st.lists(WORD.filter(lambda word: "." not in word) | TEXT, min_size=1, max_size=4).map(tuple)
LEAF = (
    st.builds(Comparison, PATH, st.sampled_from(["=", "!=", ">", "<", ">=", "<=", ":", "=~", "!~"]), LITERAL)
    | st.builds(GlobalSearch, LITERAL)
    | st.builds(Call, st.sampled_from(["log_id", "SEARCH"]), st.lists(LITERAL, min_size=1, max_size=2).map(tuple))
)
PARTS = 4


def nodes(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=PARTS).map(tuple)
    return st.builds(Not, children) | st.builds(And, several) | st.builds(Or, several)


def render(node: Node) -> str:
    """The filter text of a tree, with as few brackets as the grammar allows to tell it apart."""
    match node:
        case And(parts):
            return " AND ".join(bracketed(part) for part in parts)
        case Or(parts):
            return " OR ".join(bracketed(part) for part in parts)
        case Not(part):
            return f"NOT {bracketed(part)}"
        case Comparison(path, op, value):
            names = [name if name.isascii() and name.isidentifier() and name not in KEYWORDS else quote(name) for name in path]
            return f"{'.'.join(names)}{op}{literal(value)}"
        case GlobalSearch(value):
            return literal(value)
        case Call(name, arguments):
            return f"{name}({', '.join(literal(argument) for argument in arguments)})"


def bracketed(node: Node) -> str:
    return f"({render(node)})" if isinstance(node, (And, Or)) else render(node)


def literal(value: Literal) -> str:
    return quote(value.text) if value.quoted else value.text


@given(st.recursive(LEAF, nodes, max_leaves=12))
def test_a_rendered_tree_parses_back_to_itself(tree: Node) -> None:
    assert parse(render(tree)) == tree


@given(TEXT)
def test_a_quoted_value_is_read_back_exactly_and_stays_one_value(text: str) -> None:
    assert unquote(quote(text)) == text
    assert parse(f"jsonPayload.message={quote(text)}") == Comparison(("jsonPayload", "message"), "=", Literal(text, True))


@given(TEXT)
def test_any_text_is_read_or_refused_with_a_filter_error(text: str) -> None:
    try:
        compile_filter(text)
    except FilterError:
        pass


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(["AND", "OR", ""])), min_size=1, max_size=8))
def test_or_binds_tighter_than_and_and_not_binds_tightest(terms: list[tuple[bool, bool, str]]) -> None:
    source, groups = "", [[]]  # type: tuple[str, list[list[bool]]]
    for index, (holds, negated, joint) in enumerate(terms):
        if index and joint != "OR":
            groups.append([])
        source += f"{f' {joint} ' if index else ''}{'NOT ' if negated else ''}severity{'=' if holds else '!='}INFO"
        groups[-1].append(holds != negated)
    entry = LogEntry.pb()(severity=200)
    assert compile_filter(source).matches(entry) == all(any(group) for group in groups)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    for source in ("(" * 5_000 + "a" + ")" * 5_000, "NOT " * 4_000 + "a", "- " * 4_000 + "a"):
        with pytest.raises(FilterError):
            parse(source)


ENTRIES: dict[str, dict[str, Any]] = {
    "a": {
        "severity": 200,
        "payload": {
            "message": "committed BTCUSDT",
            "event": "file_committed",
            "bytes": 1234,
            "ok": True,
            "cell": {"venue": "binance"},
            "tags": ["x", "y"],
        },
        "labels": {"vm": "market-data-shard-r1-1", "run": "r1"},
    },
    "b": {
        "severity": 500,
        "payload": {"message": 'quote " and \\ back', "bytes": 99, "gone": None},
        "labels": {"vm": "market-data-shard-r1-2", "run": "r1", "compute.googleapis.com/zone": "z"},
    },
    "c": {"severity": 400, "text_payload": "plain text, 429 from source", "labels": {"vm": "other", "run": "r2"}},
}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ("severity=INFO", "a"),
        ("severity!=INFO", "bc"),
        ("severity>WARNING", "b"),
        ("severity>=warning", "bc"),
        ("severity<ERROR", "ac"),
        ("severity<=400", "ac"),
        ('severity=("INFO" OR ERROR)', "ab"),
        ("jsonPayload.bytes=1234", "a"),
        ("jsonPayload.bytes>99.5", "a"),
        ("jsonPayload.bytes>many", ""),
        ("jsonPayload.bytes!=99", "ac"),
        ("NOT jsonPayload.bytes=99", "ac"),
        ("jsonPayload.bytes<1000", "b"),
        ("jsonPayload.ok=true", "a"),
        ("jsonPayload.gone=NULL_VALUE", "b"),
        ("jsonPayload.gone:*", "b"),
        ("-jsonPayload.gone:*", "ac"),
        ("jsonPayload.cell.venue=BINANCE", "a"),
        ("json_payload.cell.venue=binance", "a"),
        ("jsonPayload.cell:binance", "a"),
        ("jsonPayload.tags=y", "a"),
        ("jsonPayload.message:btc", "a"),
        ('jsonPayload.message=~"BTC[A-Z]+$"', "a"),
        ('jsonPayload.message=~"btc"', ""),
        ('jsonPayload.message=~"(?i)btc"', "a"),
        ('jsonPayload.message!~"BTC"', "bc"),
        ('jsonPayload.message="quote \\" and \\\\ back"', "b"),
        ("textPayload:TEXT", "c"),
        ("NOT textPayload:robot", "abc"),
        ("labels.vm=other", "c"),
        ('labels."vm"="other"', "c"),
        ('labels."compute.googleapis.com/zone"=z', "b"),
        ('labels.vm=~"^market-data-shard-r1-.*$"', "ab"),
        ("labels.run=r1 severity>=ERROR", "b"),
        ("resource.type=gce_instance", "abc"),
        ('resource.labels.zone="asia-northeast1-a"', "abc"),
        ("insertId=a OR insertId=c", "ac"),
        ("insertId=(a OR b) AND labels.run=(r1 AND NOT r2)", "ab"),
        ('log_id("tickdeck-engine")', "abc"),
        ('log_id("other")', ""),
        ('SEARCH("429 SOURCE")', "c"),
        ('SEARCH("42")', ""),
        ('SEARCH(jsonPayload.message, "committed btcusdt")', "a"),
        ("btcusdt", "a"),
        ('"from source"', "c"),
        ("binance OR plain", "ac"),
        ("httpRequest.status=200", ""),
        ("labels.run=r1 -- AND severity=ERROR\nseverity=INFO", "a"),
        ("severity=INFO OR severity=ERROR AND labels.run=r1", "ab"),
        ("(severity=INFO OR (severity=ERROR AND labels.run=r9))", "a"),
        ('timestamp="@0"', "a"),
        ('timestamp>"@0"', "bc"),
        ('timestamp>="@1" timestamp<"@2"', "b"),
        ('timestamp<="@1"', "ab"),
        ("timestamp>2001-01-01", "abc"),
    ],
)
def test_every_operator_selects_what_google_documents(logs: Any, query: str, expected: str) -> None:
    logs.write(*(logs.entry(name, index, **ENTRIES[name].copy()) for index, name in enumerate(ENTRIES)))
    for offset in range(3):
        query = query.replace(f"@{offset}", logs.time(offset))
    assert logs.ids(query) == list(expected)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("insertId=abc:def", "line 1, column 13, token ':'"),
        ("severity=INFO\n AND (labels.run=a", "line 2, column 19, token 'EOF'"),
        ('sample(insertId, "0.1")', "sample"),
        ('SEARCH("`exact phrase`")', "SEARCH"),
        ("protoPayload.methodName=x", "protoPayload"),
        ("nosuch.field=1", "nosuch.field"),
        ("severity>=LOUD", "LOUD"),
        ('timestamp>="tomorrow"', "tomorrow"),
        ('jsonPayload.message=~"(?=x)"', "(?="),
        ('jsonPayload.message=~"("', "invalid regular expression"),
        ("a OR", "EOF"),
        ("x" * 20_001, "20000"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(logs: Any, query: str, named: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        logs.list(query)
    assert named in refused.value.message
