"""ListLogEntries: order, pages, resource names, quota."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument, ResourceExhausted


def pages(logs: Any, **values: Any) -> list[list[str]]:
    request = {"resource_names": [logs.name], **values}
    pager = logs.client.list_log_entries(request=request, retry=None)
    return [[entry.insert_id for entry in page.entries] for page in pager.pages]


def test_entries_come_in_order_of_time_and_then_of_insert_id(logs: Any) -> None:
    for name, offset in (("z", 5), ("m", 1), ("b", 3), ("a", 3)):
        logs.write(logs.entry(name, offset, text_payload="x"))
    assert logs.ids() == logs.ids(order_by="timestamp asc") == ["m", "a", "b", "z"]
    assert logs.ids(order_by="timestamp desc") == ["z", "b", "a", "m"]


def test_pages_hold_every_match_once_and_the_last_one_says_so(logs: Any) -> None:
    logs.write(*(logs.entry(f"{n:03d}", n, payload={"even": n % 2 == 0}) for n in range(100)))
    found = pages(logs, filter="jsonPayload.even=true", page_size=20)
    assert [len(page) for page in found] == [20, 20, 10]
    assert list(chain(*found)) == [f"{n:03d}" for n in range(0, 100, 2)]
    newest_first = pages(logs, filter="jsonPayload.even=true", page_size=25, order_by="timestamp desc")
    assert [len(page) for page in newest_first] == [25, 25]
    assert list(chain(*newest_first)) == [f"{n:03d}" for n in range(98, -1, -2)]


def test_a_page_is_cut_before_it_is_too_large_for_a_client(logs: Any) -> None:
    for n in range(6):
        logs.write(*(logs.entry(f"{n}{m}", n, text_payload="x" * (200 << 10)) for m in range(5)))
    found = pages(logs, page_size=1000)
    assert len(found) > 1
    assert len(list(chain(*found))) == 30


def test_entries_written_between_two_pages_neither_repeat_nor_hide_others(logs: Any) -> None:
    logs.write(*(logs.entry(f"{n:02d}", n * 10, text_payload="x") for n in range(20)))
    pager = logs.client.list_log_entries(request={"resource_names": [logs.name], "page_size": 10}, retry=None)
    seen = []
    for page in pager.pages:
        seen += [entry.insert_id for entry in page.entries]
        logs.write(logs.entry("early", 5, text_payload="x"))
    assert seen == [f"{n:02d}" for n in range(20)]


def test_only_the_named_projects_are_read_and_a_view_stands_for_its_project(logs: Any) -> None:
    logs.write(logs.entry("a", text_payload="x"))
    longer = f"{logs.name}0"
    assert logs.ids(resource_names=[longer]) == []
    assert logs.ids(resource_names=[longer, logs.name]) == ["a"]
    assert logs.ids(resource_names=[f"{logs.name}/locations/global/buckets/_Default/views/_AllLogs"]) == ["a"]


@pytest.mark.parametrize(
    "values",
    [
        {"resource_names": []},
        {"resource_names": ["p"]},
        {"page_size": -1},
        {"page_size": 1001},
        {"order_by": "severity"},
        {"page_token": "what"},
    ],
)
def test_a_malformed_request_is_refused(logs: Any, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        logs.list(**values)


def test_a_page_token_belongs_to_its_request(logs: Any) -> None:
    logs.write(*(logs.entry(f"{n}", n, text_payload="x") for n in range(4)))
    request = {"resource_names": [logs.name], "page_size": 2}
    token = next(iter(logs.client.list_log_entries(request=request).pages)).next_page_token
    assert logs.ids(page_token=token, page_size=2) == ["2", "3"]
    with pytest.raises(InvalidArgument, match="page_token"):
        logs.ids("severity>=INFO", page_token=token)


def test_reads_beyond_the_quota_are_refused_once_the_switch_is_armed(logs: Any) -> None:
    for _ in range(70):
        logs.list()
    logs.arm("read-quota")
    for _ in range(60):
        logs.list()
    with pytest.raises(ResourceExhausted, match="'Read requests'"):
        logs.list()
