"""Launching over the wire: the order first, one request, partial success, and launches that were cut off."""

from __future__ import annotations

from typing import Any

import pytest

from engine.clock import utc_now
from engine.errors import ConfigurationError, EngineError, UsageError
from engine.launch import find_vm, read_launches
from engine.plan import load_plan
from engine.run import new_run
from provision.errors import CloudUnavailable, GuardRefusal, WriteRefused
from provision.labels import parse_labels
from provision.launch import launch, preview, resume_launch, share_shards
from provision.operations import FailureKind
from provision.orders import bulk_insert_request, read_operation, write_order
from provision.placing import place_order
from provision.runs import DrainOrder, write_drain
from tests.provision.conftest import Wired
from tests.provision.made_up_fleet import NOW, RUN, local_profile, make_plan


def test_shards_are_shared_so_that_the_longest_vm_is_short_and_each_vm_works_in_order() -> None:
    plan = make_plan(6, seconds=[10, 9, 8, 3, 2, 1])
    assert share_shards(plan, 3) == [(0, 5), (1, 4), (2, 3)]
    assert share_shards(plan, 6) == [(index,) for index in range(6)]
    assert share_shards(plan, 2, shards=[1, 3, 5]) == [(1,), (3, 5)]
    assert share_shards(plan, 99, shards=[4]) == [(4,)]


def test_a_share_of_nothing_or_of_what_is_not_there_is_refused() -> None:
    for vms, shards in ((0, None), (1, []), (1, [0, 0])):
        with pytest.raises(UsageError):
            share_shards(make_plan(2), vms, shards=shards)
    with pytest.raises(ConfigurationError):
        share_shards(make_plan(2), 1, shards=[7])


def shown(plan: Any, vms: int, **more: Any) -> Any:
    return preview(local_profile(), plan, vms, run=RUN, now=NOW, region_zones=local_profile().zones, **more)


def test_one_vm_is_called_after_the_day_and_several_after_run_and_first_shard() -> None:
    assert list(shown(make_plan(4), 1).order.vms) == ["market-data-single-20260301"]
    taken = {"market-data-single-20260301"}
    assert list(shown(make_plan(4), 1, taken=taken).order.vms) == ["market-data-single-20260301-2"]
    slice_of_a_plan = shown(make_plan(60), 20, shards=range(40, 60))
    assert list(slice_of_a_plan.vms) == [f"market-data-shard-{RUN}-{index}" for index in range(40, 60)]


def test_a_preview_warns_of_vms_that_are_not_needed_and_refuses_too_many() -> None:
    intent = shown(make_plan(2), 5)
    assert len(intent.order.vms) == 2
    assert "3 are not needed" in intent.warnings[0]
    assert intent.cost_per_hour == 0
    with pytest.raises(UsageError):
        preview(local_profile(max_vms=3), make_plan(9), 4, run=RUN, now=NOW)
    with pytest.raises(ConfigurationError):
        preview(local_profile(data_bucket="another"), make_plan(2), 2, run=RUN, now=NOW)


def test_a_launch_makes_the_vms_of_its_order_with_their_labels_and_says_so(wired: Wired) -> None:
    result = wired.launch(3)
    assert result.status == "complete"
    assert result.message == "3 of 3 VMs"
    order = result.order
    assert wired.names() == set(order.vms) == set(result.created)
    for vm in wired.vms():
        ownership = parse_labels(vm.labels)
        assert ownership is not None
        assert (ownership.run, ownership.plan) == (order.run, order.plan)
        assert (vm.model, vm.machine_type) == ("SPOT", "local-1")
    (record,) = read_launches(wired.state, order.run)
    assert find_vm([record], f"market-data-shard-{order.run}-2")[1].shards == (2,)
    assert load_plan(wired.state, order.plan).id == order.plan
    answer = read_operation(wired.state, order.run, 1)
    assert answer is not None
    assert answer.operation == result.operation
    assert set(answer.created) == set(order.vms)


def test_a_launch_leaves_an_intent_and_a_receipt_in_the_audit_trail(wired: Wired) -> None:
    result = wired.launch(2)
    intent, receipt = wired.audit()
    assert (intent.phase, receipt.phase, intent.id) == ("intent", "receipt", receipt.id)
    assert (intent.verb, intent.run, intent.plan, intent.who) == ("launch", result.order.run, result.order.plan, "alice@example.com")
    assert [item.ok for item in intent.items] == [None, None]
    assert [(item.name, item.ok) for item in receipt.items] == [(name, True) for name in result.order.vms]
    assert {item.request_id for item in receipt.items} == {result.order.request_id}


def test_the_order_is_in_the_bucket_before_any_vm_is_asked_for(wired: Wired) -> None:
    wired.arm(fault="status", status=400, match="bulkInsert", method="POST", count=1, reason="invalid", message="no")
    intent = wired.intent(2)
    result = launch(wired.profile, wired.clients, wired.state, intent)
    assert (result.status, result.failures[0].kind) == ("failed", FailureKind.BAD_REQUEST)
    assert [record.request_id for record in read_launches(wired.state, intent.order.run)] == [intent.order.request_id]
    assert wired.vms() == ()
    answer = read_operation(wired.state, intent.order.run, 1)
    assert answer is not None
    assert answer.failures[0].kind == "bad request"


def test_a_profile_that_may_not_write_launches_nothing(wired: Wired) -> None:
    intent = wired.intent(1)
    protected = wired.with_profile(protected=True)
    with pytest.raises(WriteRefused):
        launch(protected.profile, protected.clients, wired.state, intent)
    assert read_launches(wired.state, intent.order.run) == []
    assert wired.audit() == []
    assert launch(protected.profile, protected.clients, wired.state, intent, armed=True).status == "complete"


def test_one_zone_without_capacity_moves_the_vms_to_another(wired: Wired) -> None:
    wired.arm(fault="stockout", zone="asia-northeast1-a")
    result = wired.launch(3)
    assert result.status == "complete"
    assert set(result.created.values()) == {"asia-northeast1-b"}
    assert result.zones["asia-northeast1-a"].failed == 3


def test_partial_success_is_kept_and_each_missing_vm_has_its_reason(wired: Wired) -> None:
    wired.arm(fault="quota", metric="PREEMPTIBLE_CPUS", limit=2, region="asia-northeast1")
    result = wired.launch(4)
    assert result.status == "partial"
    assert len(result.created) == 2
    assert wired.names() == set(result.created)
    (failure,) = {failure.kind for failure in result.failures}
    assert failure is FailureKind.QUOTA
    assert {vm for failure in result.failures for vm in failure.vms} == set(result.missing)
    quota = result.failures[0].quota
    assert quota is not None
    assert (quota.metric, quota.limit) == ("PREEMPTIBLE_CPUS", 2.0)
    assert "quota" in result.message


def test_no_capacity_anywhere_makes_nothing_and_says_why(wired: Wired) -> None:
    for zone in wired.profile.zones:
        wired.arm(fault="stockout", zone=zone)
    result = wired.launch(2, until="")
    assert (result.status, wired.vms()) == ("failed", ())
    assert FailureKind.STOCK_OUT in {failure.kind for failure in result.failures}


def test_vms_go_only_to_zones_of_the_profile_because_only_those_are_watched(wired: Wired) -> None:
    intent = wired.intent(2)
    assert intent.order.denied_zones == ("asia-northeast1-c",)
    for zone in wired.profile.zones:
        wired.arm(fault="stockout", zone=zone)
    assert launch(wired.profile, wired.clients, wired.state, intent).status == "failed"


def test_a_second_vm_of_a_name_is_refused_with_that_reason(wired: Wired) -> None:
    wired.launch(1)
    result = launch(wired.profile, wired.clients, wired.state, wired.intent(1))
    assert [failure.kind for failure in result.failures] == [FailureKind.NAME_TAKEN]
    assert len(wired.vms()) == 1


def test_a_launch_cut_off_before_the_request_is_taken_up(wired: Wired) -> None:
    order = wired.intent(2).order
    write_order(wired.state, order)
    result = resume_launch(wired.profile, wired.clients, wired.state, order)
    assert (result.status, wired.names()) == ("complete", set(order.vms))


def test_a_launch_cut_off_after_the_request_makes_no_second_fleet(wired: Wired) -> None:
    order = wired.intent(2).order
    write_order(wired.state, order)
    first = wired.clients.region_instances.bulk_insert_unary(bulk_insert_request(order))
    result = resume_launch(wired.profile, wired.clients, wired.state, order)
    assert result.operation == first.name
    assert (result.status, len(wired.vms())) == ("complete", 2)
    again = resume_launch(wired.profile, wired.clients, wired.state, order)
    assert (again.status, again.created) == ("complete", result.created)


def test_a_launch_whose_reply_is_lost_is_repeated_with_the_same_request_id(wired: Wired) -> None:
    wired.arm(fault="status", status=503, match="bulkInsert", method="POST", count=2)
    assert wired.launch(2).status == "complete"
    assert len(wired.vms()) == 2


def test_a_launch_that_was_cut_off_is_not_sent_once_the_run_was_told_to_stop_or_has_expired(wired: Wired) -> None:
    order = wired.intent(1).order
    write_order(wired.state, order)
    with pytest.raises(GuardRefusal):
        resume_launch(wired.profile, wired.clients, wired.state, order, clock=lambda: order.expires.replace(year=2099))
    write_drain(wired.state, DrainOrder(run=order.run))
    with pytest.raises(GuardRefusal):
        resume_launch(wired.profile, wired.clients, wired.state, order)
    assert wired.vms() == ()


def test_of_two_orders_for_one_number_one_is_sent(wired: Wired) -> None:
    run = new_run(utc_now())
    plan = wired.plan(2)
    first, second = wired.intent(2, plan=plan, run=run).order, wired.intent(2, plan=plan, run=run).order
    results = [place_order(wired.profile, wired.clients, wired.state, order, verb="launch") for order in (first, second)]
    assert [result.status for result in results] == ["complete", "superseded"]
    assert results[1].order.request_id == first.request_id
    assert len(wired.vms()) == 2


def test_the_same_order_written_twice_is_one_order(wired: Wired) -> None:
    order = wired.intent(1).order
    assert write_order(wired.state, order) == write_order(wired.state, order) == order


def test_a_launch_for_another_project_or_bucket_is_refused(wired: Wired) -> None:
    intent = wired.intent(1)
    stranger = wired.with_profile(project="elsewhere")
    with pytest.raises(GuardRefusal):
        launch(stranger.profile, stranger.clients, wired.state, intent)
    with pytest.raises(GuardRefusal):
        launch(wired.profile, wired.clients, wired.data, intent)
    assert wired.audit() == []


def test_a_service_that_is_away_leaves_an_order_to_take_up(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.operations.RETRY_SECONDS", 0.1)
    intent = wired.intent(2)
    wired.arm(fault="status", status=503, match="bulkInsert", method="POST")
    with pytest.raises(CloudUnavailable) as caught:
        launch(wired.profile, wired.clients, wired.state, intent)
    assert isinstance(caught.value, EngineError)
    assert wired.audit()[-1].message.startswith("unknown")
    wired.server.disarm()
    assert resume_launch(wired.profile, wired.clients, wired.state, intent.order).status == "complete"
