"""The filter grammar: what each form matches, what is refused where, and that text and query are inverses."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.query import ANYTHING, EVERYTHING, QueryError, Vocabulary, complete, parse, read_number

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
    "cost": 5.25,
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
        "rate>31MB", "rate<30MiB", "rate<=31.4mb/s", "age>=6m40s", "age<0.5h", "cost>$5", "cost<5.5",
        "gave up", "-none:x", "day:2024-05", "managed:true",
    ],
)  # fmt: skip
def test_a_filter_lets_the_row_through(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "timeouts", "gave down", '"up gave"', "-timeout", "/^gave/", "vm:shard-18", "vm:/^shard/", "done:1", "done>12", "rate>1G",
        "rate>31MiB",
        "age<5m", "age>7m",
        "cost>$6",
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
        ("vm:/[/", 4, "no regular expression: missing ]"),
        ("gave /part (/", 6, "no regular expression: missing [)]"),
        ("/a(?=b)/", 2, "invalid perl operator"),
        ("/ab\\q/", 3, "invalid escape"),
        ("rate>5XB", 5, "'5XB' is neither a number nor a time"),
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


def test_an_expression_that_would_keep_a_backtracking_engine_busy_for_ever_answers_at_once() -> None:
    assert not parse("/(a+)+$/").matches({}, "a" * 5_000 + "b")
    assert not parse("/.*a.*b.*c.*d.*e.*f$/").matches({}, "abcde" * 500)


FLEET = Vocabulary(("state", "zone", "rate"), ("stuck", "running"), {"state": ("running", "stuck", "gave up")})


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("zon:x", 0, "there is no field 'zon'; did you mean zone"),
        ("a -sate:x", 3, "there is no field 'sate'; did you mean state"),
        ("is:stock", 3, "nothing here is 'stock'; did you mean stuck"),
        ("a is:xyz", 5, "nothing here is 'xyz'; known: stuck, running"),
        ("xyz>3", 0, "there is no field 'xyz'; known: state, zone, rate"),
    ],
)
def test_a_view_that_names_its_fields_refuses_others_with_the_nearest(text: str, position: int, problem: str) -> None:
    assert parse(text)
    with pytest.raises(QueryError, match=problem) as caught:
        parse(text, FLEET)
    assert caught.value.position == position


@pytest.mark.parametrize("text", ["", "word", "STATE:run", "-rate>3", "is:STUCK", "zone.name:x", "https://host/x", "is:zone"])
def test_what_a_view_names_is_taken(text: str) -> None:
    assert parse(text, FLEET) == parse(text)


@pytest.mark.parametrize(
    ("begun", "whole"),
    [
        ("zo", "zone:"), ("a -zo", "a -zone:"), ("i", "is:"), ("is:st", "is:stuck"), ("x -is:R", "x -is:Running"),
        ("state:ru", "state:running"), ("state:ga", None), ("zone:e", None), ("", None), ("a ", None), ("zone", "zone:"), ("xyz", None),
    ],
)  # fmt: skip
def test_what_was_begun_is_completed_from_the_names_of_the_view(begun: str, whole: str | None) -> None:
    assert complete(begun, FLEET) == whole
    assert complete(begun, ANYTHING) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10", 10), ("-1.5", -1.5), ("10k", 1e4), ("10M", 1e7), ("10m", 600), ("10MB", 1e7), ("10mb/s", 1e7), ("1 KiB", 1024), ("5 B", 5),
        ("1h30m", 5400), ("250ms", 0.25), ("$2.50", 2.5), ("41 %", 41), ("5x", None), ("", None), ("h", None), ("1e3", None),
    ],
)  # fmt: skip
def test_numbers_are_read_with_the_units_that_screens_show(text: str, number: float | None) -> None:
    assert read_number(text) == number


def test_highlights_are_the_words_that_must_be_there() -> None:
    patterns = parse('gave -deribit "read timeout" vm:x is:stuck /PART/').highlights()
    found = [[TEXT[slice(*match.span())] for match in pattern.finditer(TEXT)] for pattern in patterns]
    assert found == [["gave"], ["read timeout"], ["part"]]
    assert EVERYTHING.highlights() == ()


def test_a_query_says_whether_it_reads_the_record() -> None:
    assert not parse("a -b /c/").reads_fields
    assert parse("a is:b").reads_fields
    assert parse("a b:c").reads_fields


word = st.text(st.characters(categories=("L", "N"), include_characters="._"), min_size=1, max_size=8)
field = st.from_regex(r"\A[a-z_][a-z0-9_]{0,6}\Z")
phrase = st.text(st.characters(exclude_characters='"', exclude_categories=("Cs",)), min_size=1, max_size=12)
expression = st.sampled_from([r"a.c", r"\d+$", r"x|y", r"[a-f]{2}", r"a\/b"])
number = st.tuples(st.integers(0, 999), st.sampled_from(["", "k", "M", "MB", "GiB", "s", "h", "m30s", "%"])).map(
    lambda pair: f"{pair[0]}{pair[1]}"
)
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
    offered = complete(text, FLEET)
    assert offered is None or offered.startswith(text)


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates(), st.lists(st.text(max_size=3)))


@given(
    queries, st.dictionaries(st.one_of(field, st.just("is")), st.one_of(anything, st.dictionaries(field, anything, max_size=2)), max_size=4)
)
def test_a_filter_answers_about_any_row(text: str, row: dict[str, object]) -> None:
    assert parse(text).matches(row, text) in {True, False}
