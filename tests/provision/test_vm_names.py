"""Names of VMs and what a person means by one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError, ExitCode, UsageError
from engine.run import new_run
from provision.names import KnownVm, is_wildcard_only, replacement_name, resolve_names, shard_name, single_name

GCE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
OLD, NEW = "r1tp8k5m2x", "r1tp9aaaaa"


def fleet(run: str, shards: int, *, live: bool = True) -> list[KnownVm]:
    return [KnownVm(shard_name(run, index), run, (index,), live=live) for index in range(shards)]


@given(st.dates(), st.integers(0, 5000), st.integers(2, 99))
def test_every_name_is_legal_and_found_by_the_old_pattern(day: date, number: int, attempt: int) -> None:
    run = new_run(datetime(2026, 1, 1, tzinfo=UTC))
    for name in (single_name(day), single_name(day, {single_name(day)}), shard_name(run, number)):
        for made in (name, replacement_name(name, attempt)):
            assert GCE_NAME.fullmatch(made)
            assert made.startswith("market-data-")


def test_a_second_single_vm_of_a_day_gets_a_number() -> None:
    day = date(2024, 5, 1)
    assert single_name(day) == "market-data-single-20240501"
    assert single_name(day, {"market-data-single-20240501"}) == "market-data-single-20240501-2"
    taken = {"market-data-single-20240501", "market-data-single-20240501-2"}
    assert single_name(day, taken) == "market-data-single-20240501-3"


def test_a_replacement_of_a_replacement_has_one_suffix() -> None:
    assert replacement_name("market-data-shard-r1-7-a2", 3) == "market-data-shard-r1-7-a3"
    with pytest.raises(ConfigurationError):
        replacement_name("market-data-shard-r1-7", 1)


def test_a_short_name_means_the_shard_of_the_live_run() -> None:
    known = [*fleet(OLD, 10, live=False), *fleet(NEW, 10)]
    assert resolve_names("market-data-shard-7", known) == (shard_name(NEW, 7),)


def test_a_short_name_means_the_newest_attempt() -> None:
    name = shard_name(NEW, 7)
    known = [*fleet(NEW, 10), KnownVm(replacement_name(name, 2), NEW, (7,), attempt=2)]
    assert resolve_names("market-data-shard-7", known) == (f"{name}-a2",)


def test_a_short_name_means_the_owner_of_the_shard_and_not_a_number_in_a_name() -> None:
    known = [KnownVm(shard_name(NEW, 0), NEW, (0, 2, 7)), KnownVm(shard_name(NEW, 1), NEW, (1, 3))]
    assert resolve_names("market-data-shard-7", known) == (shard_name(NEW, 0),)


def test_a_short_name_with_two_live_runs_exits_64_and_lists_both() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_names("market-data-shard-7", [*fleet(OLD, 10), *fleet(NEW, 10)])
    assert caught.value.exit_code == ExitCode.USAGE
    assert shard_name(OLD, 7) in str(caught.value)
    assert shard_name(NEW, 7) in str(caught.value)


def test_a_pattern_means_all_that_it_matches_and_a_mistyped_name_gets_a_hint() -> None:
    known = fleet(NEW, 12)
    assert len(resolve_names("market-data-*", known)) == 12
    assert resolve_names(f"*-{NEW}-1?", known) == (shard_name(NEW, 10), shard_name(NEW, 11))
    with pytest.raises(UsageError) as caught:
        resolve_names(shard_name(NEW, 11).replace("shard", "shad"), known)
    assert shard_name(NEW, 11) in caught.value.hint
    with pytest.raises(UsageError):
        resolve_names("web-*", known)


@pytest.mark.parametrize("pattern", ["", "*", "**", "?*", "[a-z]*", "-*", "*-*", "[!x]", "  "])
def test_a_pattern_of_wildcards_alone_names_nothing(pattern: str) -> None:
    assert is_wildcard_only(pattern)


@pytest.mark.parametrize("pattern", ["market-data-*", "*-7", "a", "[ab]1*"])
def test_a_pattern_with_a_letter_names_something(pattern: str) -> None:
    assert not is_wildcard_only(pattern)
