"""Labels that make a resource ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError, UsageError
from engine.run import new_run
from provision.labels import label_value, make_labels, parse_labels

GCE_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
GCE_VALUE = re.compile(r"[a-z0-9_-]{0,63}")

moments = st.builds(
    lambda seconds, hours: datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours))),
    st.integers(1_577_836_800, 4_102_444_800),
    st.integers(-12, 14),
)


@given(owner=st.text(), now=moments, plan=st.from_regex(r"[0-9a-f]{12}", fullmatch=True), expires=moments)
def test_any_owner_makes_labels_that_gce_takes_and_run_plan_and_expiry_come_back(
    owner: str, now: datetime, plan: str, expires: datetime
) -> None:
    run = new_run(now)
    labels = make_labels(owner=owner, run=run, plan=plan, expires=expires)
    for key, value in labels.items():
        assert GCE_KEY.fullmatch(key)
        assert GCE_VALUE.fullmatch(value)
    ownership = parse_labels(labels)
    assert ownership is not None
    assert (ownership.run, ownership.plan) == (run, plan)
    assert ownership.owner == label_value(owner)
    assert ownership.expires == expires.astimezone(UTC)


@given(st.text())
def test_a_label_value_is_stable_and_never_empty(text: str) -> None:
    value = label_value(text)
    assert value
    assert label_value(value) == value


@given(st.text(alphabet="ab", min_size=64), st.text(alphabet="ab", min_size=64))
def test_two_long_owners_stay_two(first: str, second: str) -> None:
    assert (label_value(first) == label_value(second)) == (first == second)


@given(st.dictionaries(st.sampled_from(["td-owner", "td-run", "td-plan", "td-expires", "env"]), st.text(max_size=20)))
def test_a_resource_is_ours_only_with_an_owner_and_a_run(labels: dict[str, str]) -> None:
    ownership = parse_labels(labels)
    if ownership is not None:
        assert labels["td-owner"]
        assert labels["td-run"] == ownership.run != ""


def test_an_unreadable_expiry_makes_a_resource_no_less_ours() -> None:
    ownership = parse_labels({"td-owner": "alice", "td-run": "r1", "td-expires": "tomorrow"})
    assert ownership is not None
    assert ownership.expires is None


@pytest.mark.parametrize(("run", "plan"), [("R1", "abc"), ("", "abc"), ("r-1", "abc"), ("r1", ""), ("r1", "A B")])
def test_a_run_or_plan_that_is_no_label_is_refused_and_not_bent(run: str, plan: str) -> None:
    with pytest.raises(ConfigurationError):
        make_labels(owner="alice", run=run, plan=plan, expires=datetime.now(UTC))


def test_a_naive_expiry_is_refused() -> None:
    with pytest.raises(UsageError):
        make_labels(owner="alice", run="r1", plan="abc", expires=datetime.now(UTC).replace(tzinfo=None) + timedelta(1))
