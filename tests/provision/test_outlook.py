"""How a run stands after a pass: going on, complete, or failed for good, which is when a watcher ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.launch import LaunchedVm
from provision.fleet import assess
from provision.lease import Held, Lease
from provision.orders import CanaryStop
from provision.reconcile import GivenUp, Pass, Waiting, outlook
from tests.provision.made_up_fleet import (
    NOW,
    RUN,
    accepted,
    beat,
    claim,
    gcp_profile,
    make_order,
    make_view,
    make_vm,
    vm_name,
)

ZERO = vm_name(0)
ONE_DONE = [claim(0, ZERO, "done")]


def stands(vms: Any = (), done: Pass | None = None, **run: Any) -> str:
    snapshot = assess(NOW, gcp_profile(), list(vms), [make_view(**{"orders": [make_order(1)], **run})])
    return outlook(snapshot, RUN, done or Pass()).state


def test_a_run_is_complete_when_its_shards_are_done_and_no_vm_of_it_is_left() -> None:
    ended = {"claims": ONE_DONE, "heartbeats": [beat(ZERO, "done", exit_code=0)]}
    assert stands(**ended) == "complete"
    assert stands([make_vm(ZERO, "STOPPING")], **ended) == "going on"
    assert stands([make_vm("web-1", labels={"app": "web"})], **ended) == "complete"


def test_a_kept_vm_holds_nobody_up() -> None:
    kept = make_vm(ZERO, labels={**make_vm(ZERO).labels, "td-keep": "20260301t130000z"})
    assert stands([kept], claims=ONE_DONE, heartbeats=[beat(ZERO, "done", exit_code=0)]) == "complete"


def test_files_that_ended_bad_are_said() -> None:
    view = make_view([make_order(1)], claims=ONE_DONE, heartbeats=[beat(ZERO, "done", exit_code=65)])
    found = outlook(assess(NOW, gcp_profile(), [], [view]), RUN, Pass())
    assert (found.state, found.bad_files) == ("complete", True)


def test_a_run_goes_on_while_anything_lives_boots_is_asked_for_or_waited_for() -> None:
    gone = {"heartbeats": [beat(ZERO, age=20)]}
    given_up = Pass(given_up=(GivenUp(RUN, ZERO, (0,), "no money"),))
    assert stands([make_vm(ZERO)], given_up, heartbeats=[beat(ZERO)]) == "going on"
    assert stands([make_vm(ZERO, "STAGING")], given_up) == "going on"
    assert stands([], Pass(waiting=(Waiting(RUN, ZERO, (0,), "no capacity"),)), **gone) == "going on"
    order = make_order(1)
    assert stands([], given_up, operations={1: accepted(order, ended=None, created={})}, **gone) == "going on"
    lease = Held(Lease(run=RUN, holder="b", who="bob", since=NOW), 1, NOW)
    assert stands([], Pass(elsewhere=(lease,)), **gone) == "going on", "somebody else looks after it"
    assert stands([], given_up, **gone) == "failed"


@pytest.mark.parametrize("state", ["drained", "expired"])
def test_a_run_that_was_told_to_stop_or_has_expired_fails_once_its_vms_are_gone(state: str) -> None:
    run: dict[str, Any] = {"heartbeats": [beat(ZERO, "stopped", exit_code=75)]}
    if state == "drained":
        run["drained"] = True
    else:
        run["orders"] = [make_order(1, created=NOW - timedelta(days=5))]
    assert stands([], **run) == "failed"
    assert stands([make_vm(ZERO)], **{**run, "heartbeats": [beat(ZERO, "stopping")]}) == "going on"


def test_a_launch_that_waits_for_its_canaries_goes_on_and_one_that_stopped_at_them_has_failed() -> None:
    canary = make_order(1, follows={vm_name(1): LaunchedVm(shards=(1,))})
    ended = {"orders": [canary], "claims": ONE_DONE, "heartbeats": [beat(ZERO, "done", exit_code=0)]}
    assert stands([], **ended) == "going on"
    view = make_view(**ended)
    stop = CanaryStop(run=RUN, number=1, vm=ZERO, cause="403", when=NOW)
    stopped = type(view)(**{name: getattr(view, name) for name in view.__dataclass_fields__ if name != "canary_stop"}, canary_stop=stop)
    found = outlook(assess(NOW, gcp_profile(), [], [stopped]), RUN, Pass())
    assert found.state == "failed"
    assert "403" in found.verdict
