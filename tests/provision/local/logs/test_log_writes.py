"""WriteLogEntries, ListLogs and DeleteLog, as the official client sees them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument, MethodNotImplemented, NotFound, ServiceUnavailable
from google.cloud.logging_v2.types import WriteLogEntriesPartialErrors, WriteLogEntriesRequest

from provision.local.serving import HEALTH_PATH


def test_request_defaults_fill_what_an_entry_lacks_and_override_nothing(logs: Any) -> None:
    own = logs.entry("a", labels={"vm": "mine"}, log_name=f"{logs.name}/logs/own", text_payload="x")
    logs.write(own, logs.entry("b", text_payload="y"), labels={"vm": "default", "run": "r1"})
    first, second = logs.list()
    assert (first.log_name, dict(first.labels)) == (f"{logs.name}/logs/own", {"vm": "mine", "run": "r1"})
    assert (second.log_name, dict(second.labels)) == (f"{logs.name}/logs/tickdeck-engine", {"vm": "default", "run": "r1"})
    assert first.resource.labels["zone"] == second.resource.labels["zone"] == "asia-northeast1-a"


def test_entries_without_time_and_id_get_both_and_keep_their_order(logs: Any) -> None:
    before = time.time()
    raw = WriteLogEntriesRequest.pb(logs.request([]))
    for index in range(20):
        raw.entries.add(text_payload=f"line {index}")
    logs.client.write_log_entries(request=WriteLogEntriesRequest.wrap(raw))
    found = logs.list()
    assert [entry.text_payload for entry in found] == [f"line {index}" for index in range(20)]
    assert len({entry.insert_id for entry in found}) == 20
    assert all(before - 1 <= entry.timestamp.timestamp() <= time.time() + 1 for entry in found)


def test_an_entry_is_known_by_log_time_and_insert_id(logs: Any) -> None:
    logs.write(logs.entry("a", text_payload="first"), logs.entry("a", text_payload="same request"))
    logs.write(logs.entry("a", text_payload="second"))
    logs.write(logs.entry("a", 1, text_payload="another time"))
    logs.write(logs.entry("a", text_payload="another log"), log="other")
    assert sorted(entry.text_payload for entry in logs.list()) == ["another log", "another time", "first"]


def test_a_retry_after_a_lost_reply_writes_once(logs: Any) -> None:
    logs.arm("lost-reply", count=1)
    with pytest.raises(ServiceUnavailable):
        logs.write(logs.entry("a", text_payload="x"))
    logs.write(logs.entry("a", text_payload="x"))
    assert logs.ids() == ["a"]


def test_an_entry_of_more_than_256_kib_is_refused_with_googles_words(logs: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^400 Log entry with size 300\.\dK exceeds maximum size of 256\.0K$"):
        logs.write(logs.entry("a", text_payload="x" * (300 << 10)))
    with pytest.raises(InvalidArgument, match=r"Log entry with size 2\.00M exceeds"):
        logs.write(logs.entry("a", text_payload="x" * (2 << 20)))
    assert logs.list() == []


@pytest.mark.parametrize("log", ["", "has space", "a" * 512, "a/b", "a:b"])
def test_a_malformed_log_name_is_refused(logs: Any, log: str) -> None:
    with pytest.raises(InvalidArgument, match="Log name"):
        logs.write(logs.entry("a", text_payload="x"), log=log)


def test_an_encoded_slash_is_part_of_a_log_id(logs: Any) -> None:
    logs.write(logs.entry("a", text_payload="x"), log="team%2Fengine")
    assert logs.ids('log_id("team/engine")') == ["a"]


def test_labels_are_limited_in_number_and_cut_in_length(logs: Any) -> None:
    logs.write(logs.entry("a", text_payload="x", labels={"k" * 600: "short", "long": "v" * (65 << 10)}))
    (entry,) = logs.list()
    long_key = next(key for key in entry.labels if key != "long")
    assert len(long_key.encode()) == 512
    assert len(entry.labels["long"].encode()) == 64 << 10
    assert long_key.endswith("…")
    assert entry.labels["long"].endswith("…")
    with pytest.raises(InvalidArgument, match="65 labels"):
        logs.write(logs.entry("b", text_payload="x", labels={f"k{n}": "v" for n in range(65)}))


def test_times_outside_the_window_are_refused_or_not_kept(logs: Any) -> None:
    day = 24 * 3600 * 1_000_000_000
    with pytest.raises(InvalidArgument, match="24 hours in the future"):
        logs.write(logs.entry("future", 2 * day, text_payload="x"))
    logs.write(logs.entry("old", -31 * day, text_payload="x"), logs.entry("now", text_payload="x"))
    assert logs.ids() == ["now"]


def test_one_bad_entry_stops_the_request_unless_partial_success_is_asked_for(logs: Any) -> None:
    entries = [logs.entry(name, text_payload="x") for name in "ab"]
    entries[0].text_payload = "x" * (300 << 10)
    with pytest.raises(InvalidArgument):
        logs.write(*entries)
    assert logs.ids() == []
    with pytest.raises(InvalidArgument) as refused:
        logs.write(*entries, partial_success=True)
    assert logs.ids() == ["b"]
    errors = WriteLogEntriesPartialErrors.pb()()
    assert refused.value.details[0].Unpack(errors)
    assert {index: status.code for index, status in errors.log_entry_errors.items()} == {0: 3}


def test_a_dry_run_checks_and_keeps_nothing(logs: Any) -> None:
    logs.write(logs.entry("a", text_payload="x"), dry_run=True)
    with pytest.raises(InvalidArgument):
        logs.write(logs.entry("a", text_payload="x" * (300 << 10)), dry_run=True)
    assert logs.list() == []


def test_logs_are_listed_page_by_page_and_a_deleted_one_is_gone_until_written_again(logs: Any) -> None:
    for log in ("c", "a", "b"):
        logs.write(logs.entry("x", text_payload="x"), log=log)
    request = {"parent": logs.name, "page_size": 2}
    assert list(logs.client.list_logs(request=request)) == [f"{logs.name}/logs/{log}" for log in "abc"]
    logs.client.delete_log(log_name=f"{logs.name}/logs/b")
    assert list(logs.client.list_logs(request=request)) == [f"{logs.name}/logs/{log}" for log in "ac"]
    assert {entry.log_name[-1] for entry in logs.list()} == {"a", "c"}
    with pytest.raises(NotFound):
        logs.client.delete_log(log_name=f"{logs.name}/logs/b", retry=None)
    logs.write(logs.entry("x", text_payload="x"), log="b")
    assert len(logs.list()) == 3


def test_unavailable_strikes_as_often_as_ordered_and_the_clients_own_retry_copes(logs: Any) -> None:
    logs.arm("unavailable", count=2, method="WriteLogEntries")
    logs.client.write_log_entries(request=logs.request([logs.entry("a", text_payload="x")]))
    assert logs.ids() == ["a"]


def test_a_method_that_is_not_there_is_refused_by_name(server: Any) -> None:
    with pytest.raises(MethodNotImplemented, match="ListMonitoredResourceDescriptors"):
        server.client.list_monitored_resource_descriptors(request={}, retry=None)


def test_the_health_route_tells_the_nonce(server: Any) -> None:
    health = server.control("GET", HEALTH_PATH)
    assert (health["service"], health["nonce"]) == ("logs", "n1")
