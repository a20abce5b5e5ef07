"""Two plans file by file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.model import File
from engine.plan import Plan
from engine.plan_diff import diff_plans
from tests.engine.test_planner import plan, request


def files_of(made: Plan) -> dict[File, int]:
    return {file: size for shard in made.shards for work in shard.work for file, size in zip(work.files(), work.bytes, strict=True)}


@given(*[st.integers(0, 6)] * 4, *[st.integers(1, 5)] * 2)
def test_a_diff_says_what_the_sets_of_files_say(first: int, length: int, other: int, more: int, few: int, many: int) -> None:
    before, after = plan(request(first, first + length, shards=few)), plan(request(other, other + more, shards=many))
    old, new = files_of(before), files_of(after)
    diff = diff_plans(before, after)
    assert (diff.files_added, diff.files_removed, diff.files_kept) == (len(new.keys() - old), len(old.keys() - new), len(old.keys() & new))
    assert diff.bytes_added == sum(new[file] for file in new.keys() - old)
    assert diff.bytes_removed == sum(old[file] for file in old.keys() - new)
    assert diff.cells_added == len({file.cell for file in new} - {file.cell for file in old})
    assert diff.cells_removed == len({file.cell for file in old} - {file.cell for file in new})
    assert sum(new.values()) - sum(old.values()) == diff.bytes_added - diff.bytes_removed + diff.bytes_reestimated
    assert diff.is_same_work == (old.keys() == new.keys())


def test_a_plan_beside_itself_differs_in_nothing_and_in_other_shards_only_in_how_it_is_split() -> None:
    made = plan(request(0, 3, shards=2))
    assert diff_plans(made, made).request == ()
    other = diff_plans(made, plan(request(0, 3, shards=4, strategy="by-date")))
    assert other.is_same_work
    assert other.shards == (2, 4)
    assert other.request == (("strategy", "balanced", "by-date"), ("shards", "2", "4"))
