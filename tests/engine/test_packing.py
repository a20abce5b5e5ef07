"""Packing: nothing lost, nothing doubled, level, and the same whatever the order of the input."""

from __future__ import annotations

import itertools
import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.errors import UsageError
from engine.estimate import MB, Speed, lower_bound, makespan
from engine.model import File
from engine.packing import most_shards, pack, shards_for_deadline, share_cap
from engine.plan import STRATEGIES, Shard, Strategy, Work

FIRST = date(2024, 5, 1)
ONE = Speed(bytes_per_second=1.0, converters=1, seconds_per_file=0.0, boot_seconds=0.0)
VM = Speed()


def work(day: int, data_type: str, venue: str, sizes: dict[str, int]) -> Work:
    return Work(
        day=FIRST + timedelta(days=day),
        data_type=data_type,
        venue=venue,
        symbols=tuple(sizes),
        bytes=tuple(sizes.values()),
        seconds=0.0,
    )


SIZES = st.dictionaries(st.sampled_from(["BTC", "ETH", "SOL", "XRP", "ADA", "OPTIONS"]), st.integers(0, 3_000_000_000), max_size=6)
WORKS = st.lists(
    st.builds(work, st.integers(0, 6), st.sampled_from(["trades", "book_snapshot_5"]), st.sampled_from(["a", "b"]), SIZES),
    max_size=20,
    unique_by=lambda made: made.cell,
)


def files_of(shards: tuple[Shard, ...]) -> list[tuple[File, int]]:
    return [
        (File(part.cell, symbol), size)
        for shard in shards
        for part in shard.work
        for symbol, size in zip(part.symbols, part.bytes, strict=True)
    ]


def wanted(works: list[Work]) -> list[tuple[File, int]]:
    return sorted((File(part.cell, symbol), size) for part in works for symbol, size in zip(part.symbols, part.bytes, strict=True))


@settings(max_examples=150)
@given(works=WORKS, shards=st.integers(1, 40), strategy=st.sampled_from(STRATEGIES))
def test_the_union_of_the_shards_is_the_work_without_overlap(works: list[Work], shards: int, strategy: Strategy) -> None:
    packed = pack(works, shards, strategy, speed=VM)
    assert sorted(files_of(packed)) == wanted(works)
    assert len(packed) <= shards
    assert [shard.index for shard in packed] == list(range(len(packed)))
    for shard in packed:
        assert shard.files == sum(len(part.symbols) for part in shard.work) > 0
        assert shard.bytes == sum(sum(part.bytes) for part in shard.work)


@settings(max_examples=60)
@given(works=WORKS, shards=st.integers(1, 12), strategy=st.sampled_from(STRATEGIES), seed=st.integers(0, 99))
def test_the_order_of_the_input_does_not_matter(works: list[Work], shards: int, strategy: Strategy, seed: int) -> None:
    shuffled = []
    chance = random.Random(seed)
    for made in chance.sample(works, len(works)):
        pairs = list(zip(made.symbols, made.bytes, strict=True))
        chance.shuffle(pairs)
        half = len(pairs) // 2
        shuffled += [
            work((made.day - FIRST).days, made.data_type, made.venue, dict(part)) for part in (pairs[:half], pairs[half:], pairs[:half])
        ]
    assert pack(shuffled, shards, strategy, speed=VM) == pack(works, shards, strategy, speed=VM)


@settings(max_examples=60)
@given(works=WORKS, shards=st.integers(1, 12), strategy=st.sampled_from(STRATEGIES))
def test_a_shard_works_cell_by_cell_largest_first_and_in_it_the_largest_file_first(
    works: list[Work], shards: int, strategy: Strategy
) -> None:
    for shard in pack(works, shards, strategy, speed=VM):
        cells = [part.cell for part in shard.work]
        assert len(set(cells)) == len(cells)
        assert [part.seconds for part in shard.work] == sorted((part.seconds for part in shard.work), reverse=True)
        for part in shard.work:
            assert list(part.bytes) == sorted(part.bytes, reverse=True)
            assert part.seconds == pytest.approx(sum(map(VM.file_seconds, part.bytes)))


@settings(max_examples=60)
@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=8), shards=st.integers(1, 3))
def test_the_fullest_shard_is_within_four_thirds_of_the_best_packing(weights: list[int], shards: int) -> None:
    """Graham's bound, against every possible assignment. One file a cell: nothing can be divided."""
    works = [work(number, "trades", "a", {"BTC": weight}) for number, weight in enumerate(weights)]
    fullest = max(shard.seconds for shard in pack(works, shards, speed=ONE))
    best = min(
        max(sum(weight for weight, place in zip(weights, places, strict=True) if place == shard) for shard in range(shards))
        for places in itertools.product(range(shards), repeat=len(weights))
    )
    assert best <= fullest <= best * 4 / 3 + 1e-6


def test_cells_stay_whole_unless_one_is_larger_than_a_fair_share() -> None:
    small = [work(number, "trades", "a", {"BTC": 50, "ETH": 50}) for number in range(10)]
    shards = pack(small, 5, speed=ONE)
    assert all(len(part.symbols) == 2 for shard in shards for part in shard.work)

    giant = work(20, "book_snapshot_5", "a", {f"C{number:02d}": 100 for number in range(40)})
    shards = pack([*small, giant], 5, speed=ONE)
    assert sum(giant.cell in {part.cell for part in shard.work} for shard in shards) > 1
    assert all(len(part.symbols) == 2 for shard in shards for part in shard.work if part.cell != giant.cell)
    assert max(shard.seconds for shard in shards) <= 1.1 * min(shard.seconds for shard in shards)


def test_one_day_goes_over_a_whole_fleet() -> None:
    cells = [work(0, "trades", venue, {f"C{number}": 10 * MB for number in range(40)}) for venue in "abcde"]
    assert len(pack(cells, 100, speed=VM)) == 100


def test_fewer_files_than_shards_make_fewer_shards_and_never_an_empty_one() -> None:
    cells = [work(0, "trades", "a", {"BTC": 5, "ETH": 5}), work(1, "trades", "a", {"BTC": 5})]
    for strategy, count in (("balanced", 3), ("by-date", 3), ("by-instrument", 2)):
        assert len(pack(cells, 100, strategy, speed=ONE)) == count  # type: ignore[arg-type]
    assert pack([], 100, speed=ONE) == ()
    assert pack([work(0, "trades", "a", {})], 100, speed=ONE) == ()


def test_files_of_no_weight_are_spread_too() -> None:
    cells = [work(number, "trades", "a", {"BTC": 0}) for number in range(10)]
    assert sorted(shard.files for shard in pack(cells, 5, speed=ONE)) == [2, 2, 2, 2, 2]


@settings(max_examples=80)
@given(works=WORKS, shards=st.integers(1, 7))
def test_by_date_gives_contiguous_blocks_of_days_in_order(works: list[Work], shards: int) -> None:
    held = sorted({made.day for made in works if made.symbols})
    packed = pack(works, shards, "by-date", speed=VM)
    blocks = [sorted({part.day for part in shard.work}) for shard in packed]
    if shards <= len(held):
        assert len(packed) == shards
        assert [day for block in blocks for day in block] == held
    else:
        assert all(len(block) == 1 for block in blocks)
        assert sorted({block[0] for block in blocks}) == held
        assert blocks == sorted(blocks)


def test_by_date_levels_its_blocks_by_time_and_not_by_the_number_of_days() -> None:
    works = [work(number, "trades", "a", {"BTC": 900 if number == 0 else 100}) for number in range(10)]
    packed = pack(works, 2, "by-date", speed=ONE)
    assert [shard.seconds for shard in packed] == [900, 900]


def test_by_instrument_keeps_every_symbol_of_a_venue_together_over_all_days_and_types() -> None:
    works = [
        work(number, data_type, venue, {"BTC": 900, "ETH": 500, "SOL": 200})
        for number in range(5)
        for data_type in ("trades", "book_snapshot_5")
        for venue in ("a", "b")
    ]
    packed = pack(works, 4, "by-instrument", speed=ONE)
    owners: dict[tuple[str, str], set[int]] = {}
    for shard in packed:
        for part in shard.work:
            for symbol in part.symbols:
                owners.setdefault((part.venue, symbol), set()).add(shard.index)
    assert len(owners) == 6
    assert all(len(shards) == 1 for shards in owners.values())


def test_a_shards_time_is_that_of_converters_working_side_by_side_in_its_order() -> None:
    two = Speed(bytes_per_second=1.0, converters=2, seconds_per_file=0.0, boot_seconds=5.0)
    (shard,) = pack([work(0, "trades", "a", {"A": 6, "B": 4, "C": 3, "D": 3})], 1, speed=two)
    assert shard.seconds == 9.0
    assert makespan([shard], two) == 14.0
    assert lower_bound([6, 4, 3, 3], 1, two) == 13.0


@settings(max_examples=60)
@given(works=WORKS, shards=st.integers(1, 12), strategy=st.sampled_from(STRATEGIES))
def test_no_packing_beats_the_lower_bound(works: list[Work], shards: int, strategy: Strategy) -> None:
    packed = pack(works, shards, strategy, speed=VM)
    sizes = [size for made in works for size in made.bytes]
    assert lower_bound(sizes, max(1, len(packed)), VM) <= makespan(packed, VM) + 1e-6


def test_the_fleet_for_a_deadline_is_the_smallest_that_meets_it() -> None:
    works = [work(number, "trades", "a", {f"C{index}": 50 * MB for index in range(20)}) for number in range(30)]
    count = shards_for_deadline(works, 600, speed=VM, max_shards=100)
    assert makespan(pack(works, count, speed=VM), VM) <= 600
    assert makespan(pack(works, count - 1, speed=VM), VM) > 600
    assert shards_for_deadline(works, 10**7, speed=VM, max_shards=100) == 1


@settings(max_examples=40)
@given(works=WORKS.filter(lambda made: any(part.symbols for part in made)), seconds=st.floats(80, 5000))
def test_a_deadline_is_met_or_refused(works: list[Work], seconds: float) -> None:
    best = makespan(pack(works, 30, speed=VM), VM)
    try:
        count = shards_for_deadline(works, seconds, speed=VM, max_shards=30)
    except UsageError:
        assert best > seconds
    else:
        assert makespan(pack(works, count, speed=VM), VM) <= seconds


def test_an_impossible_deadline_is_refused_with_the_best_that_is_possible() -> None:
    works = [work(0, "options_chain", "deribit", {"OPTIONS": 7 * MB * 3600})]
    with pytest.raises(UsageError, match=r"8 VMs take 1 h 01 min"):
        shards_for_deadline(works, 1800, speed=VM, max_shards=8)
    with pytest.raises(UsageError, match="within 1 min 00 s is not possible"):
        shards_for_deadline(works, 60, speed=VM, max_shards=8)


def test_a_shard_count_below_one_and_an_unknown_strategy_are_refused() -> None:
    with pytest.raises(UsageError, match="0 shards"):
        pack([], 0, speed=VM)
    with pytest.raises(UsageError, match="no strategy"):
        pack([work(0, "trades", "a", {"BTC": 1})], 1, "by-moon", speed=VM)  # type: ignore[arg-type]


# shares of a daily cap


@settings(max_examples=200)
@given(works=WORKS, shards=st.integers(1, 12), cap=st.integers(1, 10**11))
def test_shares_of_a_cap_never_exceed_it_and_hold_the_largest_file(works: list[Work], shards: int, cap: int) -> None:
    packed = pack(works, shards, speed=VM)
    try:
        shared = share_cap(packed, cap)
    except UsageError:
        assert most_shards(packed, cap) < len(packed)
        return
    assert sum(shard.daily_bytes for shard in shared) <= cap
    for shard in shared:
        assert shard.daily_bytes >= max(size for part in shard.work for size in part.bytes)
    assert tuple(replace(shard, daily_bytes=0) for shard in shared) == packed


@settings(max_examples=100)
@given(works=WORKS.filter(lambda works: any(part.symbols for part in works)), shards=st.integers(2, 12), cap=st.integers(1, 10**11))
def test_as_many_shards_as_the_cap_is_said_to_hold_can_share_it(works: list[Work], shards: int, cap: int) -> None:
    most = most_shards(pack(works, shards, speed=VM), cap)
    if most:
        fewer = pack(works, min(most, shards), speed=VM)
        assert sum(shard.daily_bytes for shard in share_cap(fewer, cap)) <= cap
