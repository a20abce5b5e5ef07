"""The ring behind the log view: it keeps the newest in order, counts what it holds, and its filter equals filtering everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.query import EVERYTHING, parse
from console.widgets.logblock import BLOCK_LINES
from console.widgets.logline import LogLine, Severity, severity_of
from console.widgets.logring import LogRing

START = datetime(2024, 5, 1, tzinfo=UTC)


def line(number: int, severity: Severity = Severity.INFO, *, insert_id: str = "") -> LogLine:
    fields: dict[str, object] = {"part": number, "labels": {"zone": "a"}}
    if insert_id:
        fields["insert_id"] = insert_id
    return LogLine(START + timedelta(seconds=number), severity, f"part {number}", vm=f"vm-{number % 3}", fields=fields)


def shown(ring: LogRing) -> list[str]:
    return [ring.shown(position).message for position in range(ring.shown_count)]


BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(list(Severity))), max_size=25), max_size=8)


@given(
    st.one_of(st.integers(1, 40), st.just(500)),
    BATCHES,
    st.sampled_from(list(Severity)),
    st.sampled_from(["", "part -5", "part>20", "vm:vm-1"]),
    st.integers(0, 8),
)
def test_what_passes_is_what_filtering_the_newest_lines_gives(
    capacity: int, batches: list[list[tuple[int, Severity]]], minimum: Severity, filter_text: str, changed_at: int
) -> None:
    """Whatever the order in which lines come, and whether the filter was there before, after, or came in between."""
    query = parse(filter_text)
    ring, late, between = LogRing(capacity), LogRing(capacity), LogRing(capacity)
    ring.set_filter(query, minimum)
    held: list[LogLine] = []
    for number, batch in enumerate(batches):
        if number == changed_at:
            between.set_filter(query, minimum)
            between.judge(0.0)
        lines = [line(second, severity) for second, severity in batch]
        for each in (ring, late, between):
            each.extend(lines)
        full = len(held) >= capacity
        held = sorted(held + [each for each in lines if not full or each.time >= held[0].time], key=lambda each: each.time)[-capacity:]
    late.set_filter(query, minimum)
    between.set_filter(query, minimum)
    for each in (ring, late, between):
        assert each.judge()
        assert each.oldest == (held[0].time if held else None)
    if not ring.let_go:
        expected = [each.message for each in held if each.severity >= minimum and query.matches(each.record(), each.text)]
        assert shown(ring) == shown(late) == shown(between) == expected
        assert ring.counts == [sum(each.severity is severity for each in held) for severity in Severity]
        assert late.histogram.total == between.histogram.total == ring.histogram.total
    assert len(ring) == len(held) == sum(ring.counts)
    assert sum(late.histogram.total) == late.shown_count
    assert shown(late) == shown(between) == shown(ring)


@given(st.permutations(range(40)), st.integers(1, 7))
def test_lines_that_come_in_any_order_lie_in_the_order_of_their_times_and_none_twice(order: list[int], size: int) -> None:
    ring = LogRing(1_000)
    for at in range(0, len(order), size):
        ring.extend([line(number, insert_id=f"id-{number}") for number in order[at : at + size]])
    assert shown(ring) == [f"part {number}" for number in range(40)]
    ring.extend([line(number, insert_id=f"id-{number}") for number in order])
    assert shown(ring) == [f"part {number}" for number in range(40)]
    assert (ring.taken, ring.repeated) == (40, 40)


def test_entries_of_one_time_are_told_apart_by_their_insert_ids() -> None:
    ring = LogRing(1_000)
    ring.extend([line(1, insert_id="a"), line(1, insert_id="b")])
    ring.extend([line(1, insert_id="b"), line(1, insert_id="c"), line(1)])
    assert (len(ring), ring.repeated, len(ring.fresh)) == (4, 1, 2)


def test_packed_lines_are_the_same_lines_and_keep_their_keys() -> None:
    count = 40 * BLOCK_LINES
    ring = LogRing(count)
    made = [line(number, Severity(number % 6)) for number in range(count)]
    keys = {}
    for at in range(0, count, 3_000):
        ring.extend(made[at : at + 3_000])
        keys[at] = ring.key(at)
    assert all(ring.position(key) == at for at, key in keys.items())
    for at in (0, 1, BLOCK_LINES, count // 2, count - 1):
        assert ring.shown(at) == made[at]
    assert sum(1 for each, made_ in zip(ring.shown_lines(), made, strict=True) if each != made_) == 0
    # A history that is read back goes before all, and keys hold.
    ring = LogRing(count)
    ring.extend(made[5_000:9_000])
    key = ring.key(17)
    ring.extend([*made[:5_000], *made[8_000:12_000]])
    assert ring.position(key) == 5_017
    assert ring.shown(5_017) == made[5_017]
    assert len(ring) == 13_000


def test_the_oldest_fall_out_and_are_counted_and_late_ones_before_them_do_not_come_back() -> None:
    ring = LogRing(10)
    ring.extend([line(number) for number in range(10)])
    key = ring.key(9)
    ring.extend([line(number) for number in range(10, 17)])
    assert (ring.let_go, ring.let_go_until, ring.oldest) == (7, START + timedelta(seconds=6), START + timedelta(seconds=7))
    assert ring.shown(ring.position(key)).message == "part 9"
    ring.extend([line(3)])
    assert (len(ring), ring.let_go) == (10, 7)


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
    ring.judge()
    assert ring.shown(ring.position_of_time(START + timedelta(seconds=10))).message == "part 12"
    assert ring.position_of_time(START + timedelta(days=1)) == ring.shown_count - 1
    assert LogRing(1).position_of_time(START) == 0


def test_a_new_filter_shows_the_newest_lines_first_and_says_how_far_it_is() -> None:
    ring = LogRing(10_000)
    ring.extend([line(number) for number in range(10_000)])
    ring.set_filter(parse("part"), Severity.DEFAULT)
    assert (ring.shown_count, ring.judged_share) == (0, 0.0)
    assert not ring.judge(0.0)
    assert 0 < ring.shown_count < 10_000
    assert ring.shown(ring.shown_count - 1).message == "part 9999"
    assert ring.judge()
    assert (ring.shown_count, ring.judged_share) == (10_000, 1.0)
    ring.set_filter(parse("nothing"), Severity.CRITICAL)
    assert ring.judge()
    assert ring.shown_count == 0
    ring.set_filter(EVERYTHING, Severity.DEFAULT)
    assert ring.judge()
    assert ring.shown_count == 10_000


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
