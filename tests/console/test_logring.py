"""The ring behind the log view: it keeps the newest, counts what it holds, and its filter equals filtering everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.query import EVERYTHING, parse
from console.widgets.logring import LogLine, LogRing, Severity, severity_of

START = datetime(2024, 5, 1, tzinfo=UTC)


def line(number: int, severity: Severity = Severity.INFO) -> LogLine:
    return LogLine(START + timedelta(seconds=number), severity, f"part {number}", vm=f"vm-{number % 3}", fields={"part": number})


def shown(ring: LogRing) -> list[str]:
    return [ring.line(ring.shown_number(position)).message for position in range(ring.shown_count)]


@given(
    st.integers(1, 40),
    st.lists(st.lists(st.sampled_from(list(Severity)), max_size=25), max_size=8),
    st.sampled_from(list(Severity)),
    st.sampled_from(["", "part -5", "part>20", "vm:vm-1"]),
)
def test_what_passes_is_what_filtering_the_newest_lines_gives(
    capacity: int, batches: list[list[Severity]], minimum: Severity, filter_text: str
) -> None:
    query = parse(filter_text)
    ring = LogRing(capacity)
    late = LogRing(capacity)
    ring.set_filter(query, minimum)
    everything: list[LogLine] = []
    passed = gone = 0
    for batch in batches:
        lines = [line(len(everything) + place, severity) for place, severity in enumerate(batch)]
        everything += lines
        added, fell = ring.extend(lines)
        late.extend(lines)
        passed, gone = passed + added, gone + fell
    held = everything[-capacity:]
    expected = [each.message for each in held if each.severity >= minimum and query.matches(each.record(), each.text)]
    late.set_filter(query, minimum)
    assert shown(ring) == shown(late) == expected
    assert passed - gone == len(expected)
    assert len(ring) == len(held)
    assert ring.counts == [sum(each.severity is severity for each in held) for severity in Severity]


def test_a_line_keeps_its_number_while_others_fall_out() -> None:
    ring = LogRing(10)
    ring.extend([line(number) for number in range(10)])
    ring.extend([line(number) for number in range(10, 17)])
    assert ring.first == 7
    assert ring.line(12).message == "part 12"
    assert ring.shown_number(ring.shown_position(12)) == 12


def test_search_goes_around_and_needs_every_word() -> None:
    ring = LogRing(100)
    ring.extend([line(number) for number in range(30)])
    assert ring.find(parse("part 2").highlights(), 0, 1) == 2
    assert ring.find(parse("vm-2 29").highlights(), 0, 1) == 29
    assert ring.find(parse("vm-2 29").highlights(), 29, 1) == 29
    assert ring.find(parse("/part 1$/").highlights(), 0, -1) == 1
    assert ring.find(parse("nothing").highlights(), 0, 1) is None


def test_a_time_finds_the_first_line_at_or_after_it() -> None:
    ring = LogRing(100)
    ring.extend([line(number) for number in range(30)])
    ring.set_filter(parse("vm:vm-0"), Severity.DEFAULT)
    assert ring.line(ring.shown_number(ring.position_of_time(START + timedelta(seconds=10)))).message == "part 12"
    assert ring.position_of_time(START + timedelta(days=1)) == ring.shown_count - 1
    assert LogRing(1).position_of_time(START) == 0


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        LogLine(datetime(2024, 5, 1), Severity.INFO, "x")  # noqa: DTZ001


def test_a_record_keeps_its_own_time_whatever_the_payload_says() -> None:
    record = LogLine(START, Severity.ERROR, "x", vm="a", fields={"time": "yesterday", "shard": 3}).record()
    assert record["time"] == START
    assert record["shard"] == 3
    assert list(record)[:4] == ["severity", "time", "vm", "message"]


def test_severity_words_of_cloud_logging_and_python_are_known() -> None:
    words = ["debug", "Info", "NOTICE", "warn", "WARNING", "ERROR", "ALERT", "emergency", "?"]
    assert [severity_of(word).name[0] for word in words] == ["D", "I", "I", "W", "W", "E", "C", "C", "D"]
    assert severity_of("?") is Severity.DEFAULT


def test_a_ring_of_no_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="a log of 0 lines"):
        LogRing(0)


def test_a_new_filter_of_everything_shows_all_again() -> None:
    ring = LogRing(100)
    ring.extend([line(number) for number in range(5)])
    ring.set_filter(parse("nothing"), Severity.CRITICAL)
    assert ring.shown_count == 0
    ring.set_filter(EVERYTHING, Severity.DEFAULT)
    assert ring.shown_count == 5
