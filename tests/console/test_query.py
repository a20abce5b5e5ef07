"""The filter grammar: what each form matches, what is refused where, and that text and query are inverses."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.query import EVERYTHING, QueryError, parse

ROW = {
    "vm": "market-data-shard-r7-17",
    "zone": "europe-west1-b",
    "rate": 31.4e6,
    "done": 12,
    "age": 400.0,
    "percent": "41 %",
    "day": date(2024, 5, 1),
    "time": datetime(2024, 5, 1, 5, 40, tzinfo=UTC),
    "state": "stuck",
    "managed": True,
    "is": {"stuck", "preempted"},
    "payload": {"event": "commit", "inner": {"symbol": "BTCUSDT"}},
    "limited_by": "source 429",
    "none": None,
}
TEXT = "Shard 17 gave up on binance-futures: read timeout, part 3"


def passes(text: str) -> bool:
    return parse(text).matches(ROW, TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "timeout", "TIMEOUT gave", '"gave up"', "-deribit", '-"up gave"', r"/part \d$/", "-/^part/", "binance-futures",
        "vm:r7-17", "VM:R7", "zone:europe", 'limited_by:"source 429"', r"vm:/-\d+$/", "-zone:us", "-missing:x", "done:12", "percent:41",
        "rate>31M", "rate>=31.4M", "rate<32M", "rate<=31.4M", "age>6m", "age<1h", "done>11", "-done>12", "percent>40", "percent<=41%",
        "day>2024-04-30", "day<2024-05-02", "day>=2024-05-01", "time>2024-05-01T05:39", "time<2024-05-01T05:41Z",
        "is:stuck", "is:PREEMPTED", "-is:done", "is:managed", "payload.event:commit", "payload.inner.symbol:btc",
        "gave up", "-none:x", "day:2024-05", "managed:true",
    ],
)  # fmt: skip
def test_a_filter_lets_the_row_through(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "timeouts", "gave down", '"up gave"', "-timeout", "/^gave/", "vm:shard-18", "vm:/^shard/", "done:1", "done>12", "rate>1G", "age<5m",
        "is:done", "-is:stuck", "missing:x", "missing>1", "none>1", "vm>5", "day>2024-05-01", "payload.event:abort", "payload.none:x",
        "timeout deribit", "is:none", "zone>2024-01-01",
    ],
)  # fmt: skip
def test_a_filter_holds_the_row_back(text: str) -> None:
    assert not passes(text)


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ('gave "up', 5, "the phrase has no closing"),
        ("/part", 0, "the expression has no closing /"),
        ("vm:/[/", 3, "no regular expression"),
        ("vm:", 3, "vm: needs a value"),
        ("rate> 3", 5, "rate> needs a value"),
        ("rate>fast", 5, "'fast' is neither a number nor a time"),
        ('rate>"3"', 5, "compares with a number"),
        ('""', 0, "the phrase is empty"),
        ("//", 0, "the expression is empty"),
        ('"a"b', 3, "a space must follow"),
        ("/" + "a" * 201 + "/", 0, "longer than 200"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(QueryError, match=problem) as caught:
        parse(text)
    assert caught.value.position == position


def test_an_address_is_a_word_and_not_a_field() -> None:
    query = parse("https://datasets.tardis.dev/v1")
    assert query.matches({}, "GET https://datasets.tardis.dev/v1/binance")
    assert not query.reads_fields


def test_a_lone_dash_is_a_word() -> None:
    assert parse("a - b").matches({}, "a - b")
    assert not parse("a - b").matches({}, "a b")


def test_an_escaped_slash_stays_inside_the_expression() -> None:
    assert parse(r"/v1\/okex/").matches({}, "https://x/v1/okex/trades")


def test_an_expression_that_python_warns_of_is_read_in_silence() -> None:
    assert parse("/[[a]/").matches({}, "[")


def test_highlights_are_the_words_that_must_be_there() -> None:
    patterns = parse('gave -deribit "read timeout" vm:x is:stuck /PART/').highlights()
    assert [pattern.findall(TEXT) for pattern in patterns] == [["gave"], ["read timeout"], ["part"]]
    assert EVERYTHING.highlights() == ()


def test_a_query_says_whether_it_reads_the_record() -> None:
    assert not parse("a -b /c/").reads_fields
    assert parse("a is:b").reads_fields
    assert parse("a b:c").reads_fields


word = st.text(st.characters(categories=("L", "N"), include_characters="._"), min_size=1, max_size=8)
field = st.from_regex(r"\A[a-z_][a-z0-9_]{0,6}\Z")
phrase = st.text(st.characters(exclude_characters='"', exclude_categories=("Cs",)), min_size=1, max_size=12)
expression = st.sampled_from([r"a.c", r"\d+$", r"x|y", r"[a-f]{2}", r"a\/b"])
number = st.tuples(st.integers(0, 999), st.sampled_from(["", "k", "M", "s", "h", "%"])).map(lambda pair: f"{pair[0]}{pair[1]}")
value = st.one_of(word, phrase.map('"{}"'.format), expression.map("/{}/".format))
term = st.one_of(
    value,
    st.tuples(field, value).map(":".join),
    st.tuples(field, st.sampled_from([">", ">=", "<", "<="]), number).map("".join),
    word.map("is:{}".format),
)
queries = st.lists(st.tuples(st.booleans(), term).map(lambda pair: f"{'-' if pair[0] else ''}{pair[1]}"), max_size=5).map(" ".join)


@given(queries)
def test_text_and_query_are_inverses(text: str) -> None:
    query = parse(text)
    assert parse(str(query)) == query


@given(queries, st.text(max_size=30))
def test_a_negated_filter_of_one_term_lets_through_what_the_filter_holds_back(text: str, body: str) -> None:
    for each in parse(text).terms:
        plain = str(each).removeprefix("-")
        assert parse(plain).matches(ROW, body) != parse(f"-{plain}").matches(ROW, body)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_refused_with_a_place_inside_it(text: str) -> None:
    query = EVERYTHING
    position = 0
    try:
        query = parse(text)
    except QueryError as error:
        position = error.position
    assert 0 <= position <= len(text)
    query.matches(ROW, text)
    assert parse(str(query)) == query
