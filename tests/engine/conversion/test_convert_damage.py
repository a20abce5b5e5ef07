"""A damaged gzip gives exactly the original rows, or no file: every bit flipped, every cut, every byte doubled or lost.

What a gzip cannot show by itself, because each member only vouches for itself, is named here too: whole members that are missing at
the end, or stand in another order. The first is what the announced length is for.
"""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conversion.convert import Conversion, Flag, Reason
from engine.model import Outcome
from tests.engine.conversion.made_up_rows import member
from tests.engine.conversion.tardis_csv import BTCUSDT, DAY_US, converted, line, parquet_rows, read_independently, trades

ROWS = trades(
    line(local_timestamp=DAY_US + 1, price="1e-8", id=""),
    line(local_timestamp=DAY_US + 2, price="0.30000000000000004", id="18446744073709551616"),
    line(local_timestamp=DAY_US + 3, price="-0", id="é币", side=""),
)
EXPECTED = read_independently(ROWS)
LINES = [row + b"\n" for row in ROWS.splitlines()]
INSIDE_A_CHARACTER = ROWS.index("币".encode()) + 1
EMPTY = member(b"")
LAYOUTS = {
    "one member": [member(ROWS)],
    "one member with all header fields": [
        member(ROWS, name=b"binance_trades_2024-05-01_BTCUSDT.csv", extra=b"\1\0ab", comment=b"c", header_crc=True, text=True)
    ],
    "one stored member": [member(ROWS, level=0)],
    "members cut at lines": [member(text) for text in LINES],
    "members cut anywhere": [
        member(ROWS[:5]),
        member(ROWS[5:150], name=b"n"),
        EMPTY,
        member(ROWS[150:INSIDE_A_CHARACTER], level=0),
        member(ROWS[INSIDE_A_CHARACTER:], header_crc=True),
    ],
    "empty members around a named one, and zeros behind": [EMPTY, member(ROWS, name=b"a.csv"), EMPTY, bytes(5)],
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def body_of(layout: str) -> bytes:
    return b"".join(LAYOUTS[layout])


def outcome_of(body: bytes, *, length: int | None = None) -> Conversion:
    """Convert, and require the exact rows of what is `ok`."""
    done = converted(body, file=BTCUSDT, expected_bytes=length)
    if done.outcome is Outcome.OK:
        assert parquet_rows(done) == EXPECTED
    else:
        assert (done.rows, done.parquet) == (0, None)
    return done


def flips(body: bytes) -> Iterator[tuple[int, bytes]]:
    for bit in range(len(body) * 8):
        broken = bytearray(body)
        broken[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(broken)


def rest_of(layout: str, cut: int) -> bytes:
    """What a cut leaves after the last border between members, b"" if it is at one. Zeros behind the last member are no member."""
    start = 0
    for piece in LAYOUTS[layout]:
        if cut < start + len(piece):
            return b"" if not piece.strip(b"\0") else piece[: cut - start]
        start += len(piece)
    return b""


@layouts
def test_undamaged_it_is_ok(layout: str) -> None:
    body = body_of(layout)
    assert gzip.decompress(body) == ROWS
    assert outcome_of(body, length=len(body)).outcome is Outcome.OK


@layouts
def test_any_flipped_bit_gives_exactly_the_rows_or_no_file(layout: str) -> None:
    body = body_of(layout)
    outcomes: Counter[Outcome] = Counter()
    for bit, broken in flips(body):
        done = outcome_of(broken, length=len(body))
        assert done.outcome is not Outcome.EMPTY, bit
        outcomes[done.outcome] += 1
    # Time, system and name are of no consequence, six bytes a member and more; a checksum of the header covers them too.
    assert outcomes[Outcome.OK] == 0 if layout == "one member with all header fields" else outcomes[Outcome.OK] >= 48
    assert outcomes[Outcome.QUARANTINED] > len(body) * 8 / 2


def test_a_flipped_bit_of_the_time_or_the_system_changes_nothing() -> None:
    body = body_of("one member")
    for bit, broken in itertools.islice(flips(body), 80):
        if bit // 8 in (4, 5, 6, 7, 9):
            assert outcome_of(broken).outcome is Outcome.OK, bit


@layouts
def test_any_cut_gives_no_file_where_the_length_is_known(layout: str) -> None:
    body = body_of(layout)
    for length in range(len(body)):
        assert outcome_of(body[:length], length=len(body)).outcome is Outcome.QUARANTINED, length


@layouts
def test_any_cut_gives_no_file_without_the_length_but_at_the_border_of_a_member(layout: str) -> None:
    body = body_of(layout)
    whole = len(body.rstrip(b"\0"))
    for length in range(1, len(body)):
        cut = body[:length]
        if rest_of(layout, length):
            assert outcome_of(cut).outcome is Outcome.QUARANTINED, length
        elif length >= whole or gzip.decompress(cut) == ROWS:
            assert outcome_of(cut).outcome is Outcome.OK, length
        else:
            # The one exception: sound members, and no sign that more should come.
            assert converted(cut, file=BTCUSDT).reason in sound_beginning(gzip.decompress(cut)), length


def sound_beginning(text: bytes) -> set[Reason]:
    """What the conversion makes of whole members that are only the beginning of the file."""
    if not text:
        return {Reason.NO_DATA}
    if text.endswith(b"\n"):
        return {Reason.HEADER_ONLY} if text == LINES[0] else {Reason.NONE}
    return {Reason.MISSING_COLUMN, Reason.BAD_VALUE, Reason.INVALID_UTF8}


def test_a_cut_at_a_border_inside_the_last_number_shows_in_its_length_only() -> None:
    text = trades(line(amount="12"))
    border = text.rindex(b"12") + 1
    beginning = member(text[:border])
    body = beginning + member(text[border:])
    cut = converted(beginning, file=BTCUSDT)
    assert (cut.outcome, cut.flags) == (Outcome.OK, (Flag.NO_FINAL_NEWLINE,))
    assert parquet_rows(cut) != read_independently(text)
    known = converted(beginning, file=BTCUSDT, expected_bytes=len(body))
    assert (known.outcome, known.reason, known.parquet) == (Outcome.QUARANTINED, Reason.WRONG_LENGTH, None)


@layouts
def test_any_byte_lost_or_doubled_gives_exactly_the_rows_or_no_file(layout: str) -> None:
    body = body_of(layout)
    for index in range(len(body)):
        for broken in (body[:index] + body[index + 1 :], body[: index + 1] + body[index:]):
            assert outcome_of(broken).outcome is not Outcome.EMPTY, index
            assert broken == body or outcome_of(broken, length=len(body)).outcome is Outcome.QUARANTINED


def edited(data: st.DataObject) -> tuple[bytes, bytes]:
    body = body_of(data.draw(st.sampled_from(sorted(LAYOUTS))))
    broken = body
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(broken)))
        broken = broken[:start] + data.draw(st.binary(max_size=4)) + broken[start + data.draw(st.integers(0, 4)) :]
    return body, broken


def only_exact_rows(data: st.DataObject) -> None:
    body, broken = edited(data)
    if not any(broken == body[:length] for length in range(len(body))):
        assert outcome_of(broken).outcome is not Outcome.EMPTY


@given(data=st.data())
@settings(max_examples=500)
def test_bytes_put_in_or_taken_out_give_exactly_the_rows_or_no_file(data: st.DataObject) -> None:
    only_exact_rows(data)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=10_000)
def test_bytes_put_in_or_taken_out_give_exactly_the_rows_or_no_file_at_length(data: st.DataObject) -> None:
    only_exact_rows(data)


@given(order=st.permutations(range(len(LINES))))
@settings(max_examples=24)
def test_members_in_another_order_show_in_the_times_and_in_the_fingerprint(order: list[int]) -> None:
    """Each member is sound, so the file is: the rows are those it holds, and the flag says that they step back."""
    body = b"".join(member(LINES[index]) for index in order)
    done = converted(body, file=BTCUSDT, expected_bytes=len(body))
    if order[0] != 0:
        assert (done.outcome, done.reason) == (Outcome.QUARANTINED, Reason.MISSING_COLUMN)
        return
    assert parquet_rows(done) == read_independently(gzip.decompress(body))
    assert sorted(map(repr, parquet_rows(done))) == sorted(map(repr, EXPECTED))
    swapped = order != sorted(order)
    assert (Flag.BACKWARD_LOCAL_TIMESTAMP in done.flags) == swapped
    assert (done.fingerprint != outcome_of(body_of("members cut at lines")).fingerprint) == swapped


@given(cuts=st.lists(st.integers(1, len(ROWS) - 1), min_size=1, max_size=4, unique=True), data=st.data())
@settings(max_examples=150)
def test_members_in_another_order_never_give_other_rows_than_the_text_they_hold(cuts: list[int], data: st.DataObject) -> None:
    parts = [ROWS[start:end] for start, end in itertools.pairwise([0, *sorted(cuts), len(ROWS)])]
    text = b"".join(data.draw(st.permutations(parts)))
    done = converted(b"".join(member(part) for part in [text[:7], text[7:]]), file=BTCUSDT)
    assert done.outcome is not Outcome.EMPTY
    if done.outcome is Outcome.OK:
        assert parquet_rows(done) == read_independently(text, without=done.dropped_columns)


def test_any_flipped_bit_of_the_empty_gzip_leaves_it_empty_or_makes_it_untrustworthy() -> None:
    body = gzip.compress(b"", mtime=0)
    assert len(body) == 20
    harmless = 0
    for bit, broken in flips(body):
        done = converted(broken, file=BTCUSDT, expected_bytes=20)
        assert done.outcome in (Outcome.EMPTY, Outcome.QUARANTINED), bit
        harmless += done.outcome is Outcome.EMPTY
    assert 48 <= harmless < 80


def test_any_cut_of_the_empty_gzip_makes_it_untrustworthy() -> None:
    body = gzip.compress(b"", mtime=0)
    for length in range(len(body)):
        assert converted(body[:length], file=BTCUSDT).outcome is Outcome.QUARANTINED, length


def test_two_gzips_that_were_glued_together_are_not_one_file() -> None:
    body = body_of("one member")
    done = converted(body + body, file=BTCUSDT)
    assert (done.outcome, done.reason) == (Outcome.QUARANTINED, Reason.BAD_VALUE)
    assert "header again" in done.detail
