"""Plans as documents: named by their content, stored once, and refused when altered."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.documents import JSON, decode, encode
from engine.errors import ConfigurationError, UsageError
from engine.model import Cell, File
from engine.paths import plan_object
from engine.plan import Estimate, NotReady, Plan, Price, Request, Shard, Work, load_plan, save_plan, seal, summarize_plan
from engine.saved_plans import find_saved_plan, list_saved_plans
from engine.storage_service import open_storage
from engine.store import Store
from tests.engine.made_up_lake import NOW, day
from tests.local_servers import LocalServer

_numbers = itertools.count(1)

WORK = Work(day=day(0), data_type="trades", venue="binance", symbols=("BTCUSDT", "币安"), bytes=(9, 1), seconds=1 / 3)
PRICE = Price(item="VM", low=0.1, expected=0.2, high=0.4, source="list", dated="2026-11-01")
PLAN = Plan(
    created=NOW,
    request=Request(venues=("binance",), data_types=("trades",), start=day(0), end=day(1), deadline=NOW),
    data_bucket="data",
    state_bucket="state",
    catalogues={"binance": "catalogue/x", "okex": "catalogue/y"},
    shards=(Shard(index=0, work=(WORK,), files=2, bytes=10, seconds=0.1 + 0.2),),
    estimate=Estimate(files=2, bytes=10, cells=1, makespan_seconds=75.3, lower_bound_seconds=75.1, vm_hours=0.02, costs=(PRICE, PRICE)),
    not_ready=(NotReady(day(1), "binance", NOW),),
    settings={"B": "2", "A": "1"},
)


@pytest.fixture
def state(storage_server: LocalServer) -> Store:
    """A fresh state bucket."""
    service = open_storage(project="local", endpoint=storage_server.url)
    name = f"plan-tests-{next(_numbers)}"
    service.client.create_bucket(name)
    return Store(service, name)


def test_a_plan_is_named_by_its_content_whenever_it_is_made_and_however_often_it_is_sealed() -> None:
    sealed = seal(PLAN)
    assert len(sealed.id) == 12
    assert seal(sealed) == sealed
    assert seal(msgspec.structs.replace(PLAN, created=NOW + timedelta(days=1), id="other")).id == sealed.id
    assert seal(msgspec.structs.replace(PLAN, settings={"A": "1", "B": "2"})).id == sealed.id


@pytest.mark.parametrize(
    "change",
    [
        {"data_bucket": "other"},
        {"settings": {"A": "1"}},
        {"warnings": ("careful",)},
        {"already_done": 1},
        {"shards": ()},
        {"catalogues": {"binance": "catalogue/z"}},
        {"request": msgspec.structs.replace(PLAN.request, refetch=True)},
        {"not_ready": ()},
    ],
)
def test_any_change_of_content_changes_the_name(change: dict[str, Any]) -> None:
    assert seal(msgspec.structs.replace(PLAN, **change)).id != seal(PLAN).id


@given(
    st.floats(0, 1e9),
    st.integers(0, 10**15),
    st.text(max_size=20),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(0), "GMT")])),
)
def test_a_plan_keeps_its_name_through_storage(seconds: float, size: int, text: str, deadline: datetime) -> None:
    shard = Shard(index=0, work=(WORK,), files=2, bytes=size, seconds=seconds)
    request = msgspec.structs.replace(PLAN.request, deadline=deadline)
    sealed = seal(msgspec.structs.replace(PLAN, shards=(shard,), warnings=(text,), request=request))
    read = decode(encode(sealed), Plan, name="plan")
    assert read == sealed
    assert seal(read).id == sealed.id
    assert encode(read) == encode(sealed)


def test_a_saved_plan_is_loaded_by_its_name_and_saving_it_again_is_fine(state: Store) -> None:
    sealed = seal(PLAN)
    assert save_plan(state, sealed) == save_plan(state, sealed) == plan_object(sealed.id)
    assert load_plan(state, sealed.id) == sealed


def test_kept_plans_are_listed_newest_first_with_what_they_would_do_and_found_by_their_beginning(state: Store) -> None:
    assert list_saved_plans(state) == []
    with pytest.raises(UsageError, match="no plan is kept"):
        find_saved_plan(state, "last")
    first, second = seal(PLAN), seal(msgspec.structs.replace(PLAN, warnings=("careful",)))
    save_plan(state, first)
    save_plan(state, second)
    listed = list_saved_plans(state)
    assert [plan.id for plan in listed] == [second.id, first.id]
    assert [plan.summary for plan in listed] == [summarize_plan(second), summarize_plan(first)]
    assert find_saved_plan(state, "last") == second
    assert find_saved_plan(state, first.id[:8]) == first
    for word in ("zz", ""):
        with pytest.raises(UsageError, match="there is no plan"):
            find_saved_plan(state, word)


def test_a_plan_that_an_earlier_version_kept_is_read_for_the_list_and_a_broken_one_says_so(state: Store) -> None:
    sealed = seal(PLAN)
    state.put(plan_object(sealed.id), encode(sealed), if_generation=0, content_type=JSON)
    state.put(plan_object("0123456789ab"), b"{", if_generation=0, content_type=JSON)
    state.put("plans/notes.txt", b"", if_generation=0)
    listed = {plan.id: plan for plan in list_saved_plans(state)}
    assert listed.keys() == {sealed.id, "0123456789ab"}
    assert listed[sealed.id].summary == summarize_plan(sealed)
    assert "is not a valid Plan" in listed["0123456789ab"].problem


def test_a_plan_that_is_not_sealed_or_was_changed_after_is_not_saved(state: Store) -> None:
    with pytest.raises(UsageError, match=r"\(unnamed\) is not sealed"):
        save_plan(state, PLAN)
    with pytest.raises(UsageError, match="is not sealed"):
        save_plan(state, msgspec.structs.replace(seal(PLAN), data_bucket="other"))
    assert list(state.list("plans/")) == []


def test_a_plan_altered_in_the_bucket_is_refused(state: Store) -> None:
    sealed = seal(PLAN)
    forged = encode(sealed).replace(b'"data_bucket": "data"', b'"data_bucket": "evil"')
    assert forged != encode(sealed)
    state.put(plan_object(sealed.id), forged, if_generation=0, content_type=JSON)
    with pytest.raises(ConfigurationError, match="was altered"):
        load_plan(state, sealed.id)


def test_an_unknown_plan_is_refused_with_its_bucket(state: Store) -> None:
    with pytest.raises(ConfigurationError, match=f"no plan 0123456789ab in bucket {state.bucket}"):
        load_plan(state, "0123456789ab")


def test_a_shard_is_found_by_its_index_only() -> None:
    assert PLAN.shard(0) is PLAN.shards[0]
    for index in (-1, 1):
        with pytest.raises(ConfigurationError, match="has no shard"):
            PLAN.shard(index)


def test_work_lists_its_files_in_the_order_of_work() -> None:
    assert WORK.cell == Cell(day(0), "trades", "binance")
    assert list(WORK.files()) == [File(WORK.cell, "BTCUSDT"), File(WORK.cell, "币安")]


def test_costs_add_up_over_their_lines() -> None:
    assert PLAN.estimate.cost == pytest.approx((0.2, 0.4, 0.8))
