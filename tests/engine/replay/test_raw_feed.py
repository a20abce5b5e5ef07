"""The format of raw feed objects: what goes in comes out, equal lines are equal bytes, nothing is ever overwritten."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CommitConflict, UsageError
from engine.replay.raw_feed import (
    LONG_SELECTION,
    DamagedHour,
    FeedFile,
    FeedWriter,
    commit_feed,
    list_feed,
    metadata_of,
    nanoseconds,
    read_feed,
    select,
)
from tests.local_servers import Lake

HOUR = datetime(2024, 5, 2, 8, tzinfo=UTC)
SELECTION = select(["trade"], ["btcusdt"])


def stamp(ticks: int) -> str:
    """A local time so many 100 ns after the hour."""
    seconds, rest = divmod(ticks, 10_000_000)
    return f"2024-05-02T08:{seconds // 60:02d}:{seconds % 60:02d}.{rest:07d}Z"


def write(path: Path, *lines: tuple[str, bytes] | None) -> FeedFile:
    with FeedWriter(path, HOUR) as writer:
        writer.write((line[0].encode(), line[1] + b"\n") if line else None for line in lines)
        return writer.finish()


messages = st.binary(min_size=1, max_size=60).map(lambda raw: b"{" + raw.replace(b"\n", b"").replace(b"\r", b"") + b"}")
lines_of_an_hour = st.lists(st.none() | st.tuples(st.integers(0, 3600 * 10_000_000 - 1).map(stamp), messages), max_size=20)


@given(lines=lines_of_an_hour)
def test_what_is_written_is_read_back_byte_for_byte(lines: list[tuple[str, bytes] | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.gz"
        feed = write(path, *lines)
        content = b"".join(line[0].encode() + b" " + line[1] + b"\n" if line else b"\n" for line in lines)
        assert gzip.decompress(path.read_bytes()) == content
        read = [(line.local_time, line.message) if line.message is not None else None for line in read_feed(path)]
        assert read == lines
        assert list(read_feed(path)) == list(read_feed(path.read_bytes()))
        assert feed.sha256 == hashlib.sha256(content).hexdigest()
        assert (feed.lines, feed.disconnects) == (sum(line is not None for line in lines), lines.count(None))
        assert feed.minutes == len({line[0][:16] for line in lines if line})


@given(ticks=st.integers(0, 3600 * 10_000_000 - 1))
def test_a_local_time_is_exact_to_its_seventh_digit(ticks: int) -> None:
    assert nanoseconds(stamp(ticks)) == nanoseconds(stamp(0)) + ticks * 100
    assert nanoseconds(stamp(0)) == int(HOUR.timestamp()) * 1_000_000_000


def test_a_disconnect_has_the_time_of_the_message_before_it(tmp_path: Path) -> None:
    write(tmp_path / "hour.gz", None, (stamp(5), b"{}"), None, None, (stamp(7), b"[]"))
    lines = list(read_feed(tmp_path / "hour.gz"))
    assert [line.local_time for line in lines] == ["", stamp(5), stamp(5), stamp(5), stamp(7)]
    assert [line.message for line in lines] == [None, b"{}", None, None, b"[]"]
    assert lines[0].nanoseconds is None
    assert lines[1].nanoseconds == nanoseconds(stamp(5))


def test_equal_lines_are_equal_bytes_however_they_come(tmp_path: Path) -> None:
    lines = [(stamp(n).encode(), b'{"n":%d}\n' % n) for n in range(1000)]
    with FeedWriter(tmp_path / "one.gz", HOUR) as writer:
        writer.write(lines)
        one = writer.finish()
    with FeedWriter(tmp_path / "two.gz", HOUR) as writer:
        for line in lines:
            writer.write([line])
        two = writer.finish()
    assert one.sha256 == two.sha256
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert b"one.gz" not in (tmp_path / "one.gz").read_bytes()


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("2024-05-02T09:00:00.0000000Z", b"{}\n"),
        ("2024-05-02T07:59:59.9999999Z", b"{}\n"),
        ("2024-05-02T08:00:00.000000Z", b"{}\n"),
        ("<!DOCTYPE html>", b""),
        ("2024-05-02T08:10:00.0000000Z", b'{"half'),
        ("2024-05-02T08:10:00.0000000Z", b""),
    ],
)
def test_a_line_of_another_hour_or_half_a_line_damages_the_hour(tmp_path: Path, time: str, message: bytes) -> None:
    with FeedWriter(tmp_path / "hour.gz", HOUR) as writer, pytest.raises(DamagedHour):
        writer.write([(time.encode(), message)])


def test_a_last_message_without_its_newline_gets_one(tmp_path: Path) -> None:
    with FeedWriter(tmp_path / "hour.gz", HOUR) as writer:
        writer.write([(stamp(1).encode(), b"{}"), (stamp(2).encode(), b"{}\n")])
        writer.finish()
    assert [line.message for line in read_feed(tmp_path / "hour.gz")] == [b"{}", b"{}"]


@given(channels=st.lists(st.text(min_size=1), min_size=1), symbols=st.lists(st.text(min_size=1)))
def test_the_same_selection_is_the_same_hash_in_any_order(channels: list[str], symbols: list[str]) -> None:
    assert select(channels, symbols) == select(channels[::-1] * 2, symbols[::-1] * 2)
    assert select(channels, symbols).hash == select(channels[::-1], symbols[::-1]).hash
    assert select([*channels, "one more" * 9], symbols).hash != select(channels, symbols).hash


def test_a_naive_hour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="naive"):
        FeedWriter(tmp_path / "hour.gz", datetime(2024, 5, 2, 8))  # noqa: DTZ001


def test_a_long_selection_fits_into_metadata_as_its_hash(tmp_path: Path) -> None:
    feed = write(tmp_path / "hour.gz")
    many = select(["trade"], [f"symbol{n}" for n in range(2000)])
    assert metadata_of(feed, many)["filters"] == LONG_SELECTION
    assert metadata_of(feed, many)["filters-hash"] == many.hash
    assert metadata_of(feed, SELECTION)["filters"] == '[{"channel":"trade","symbols":["btcusdt"]}]'


def test_an_hour_is_created_once_and_never_overwritten(lake: Lake, tmp_path: Path) -> None:
    feed = write(tmp_path / "hour.gz", (stamp(1), b"{}"), None)
    first = commit_feed(lake.data, "binance", "", SELECTION, feed)
    assert (first.already, first.info.metadata["lines"], first.info.metadata["disconnects"]) == (False, "1", "1")
    again = commit_feed(lake.data, "binance", "", SELECTION, feed)
    assert (again.already, again.info.generation) == (True, first.info.generation)
    with pytest.raises(CommitConflict, match="another selection") as conflict:
        commit_feed(lake.data, "binance", "", select(["depth"]), feed)
    assert "--set" in conflict.value.hint
    other = write(tmp_path / "other.gz", (stamp(2), b"{}"))
    with pytest.raises(CommitConflict, match="other lines"):
        commit_feed(lake.data, "binance", "", SELECTION, other)
    assert commit_feed(lake.data, "binance", "books", select(["depth"]), other).already is False
    stored = lake.data.get(first.info.name)
    assert stored is not None
    assert stored.data == (tmp_path / "hour.gz").read_bytes()
    assert stored.generation == first.info.generation


def test_a_listing_tells_sets_apart(lake: Lake, tmp_path: Path) -> None:
    feed = write(tmp_path / "hour.gz")
    commit_feed(lake.data, "binance", "", SELECTION, feed)
    commit_feed(lake.data, "binance", "books", select(["depth"]), feed)
    for collection, selection in (("", SELECTION), ("books", select(["depth"]))):
        found = list_feed(lake.data, "binance", collection, [HOUR, HOUR.replace(hour=9)])
        assert {hour: info.metadata["filters-hash"] for hour, info in found.items()} == {HOUR: selection.hash}
    assert not list_feed(lake.data, "binance", "other", [HOUR])
