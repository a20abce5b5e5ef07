"""Armed faults strike the real client on the wire; what they leave behind is asserted from the outside."""

from __future__ import annotations

import io
import os

import pytest
import requests
from google.api_core.exceptions import PreconditionFailed, ServiceUnavailable, TooManyRequests
from google.api_core.retry import Retry
from google.cloud.storage.retry import DEFAULT_RETRY

from provision.local.faults import FaultError, FaultKind, FaultSwitches
from provision.local.serving import FAULTS_PATH

QUANTUM = 256 * 1024
QUICK = Retry(predicate=DEFAULT_RETRY._predicate, initial=0.01, maximum=0.02, timeout=30)


def test_a_status_strikes_as_often_as_it_was_armed(bucket, server):
    server.arm(fault="status", status=503, count=2, method="POST", match="raw/")
    bucket.blob("other").upload_from_string(b"x", retry=None)
    bucket.blob("raw/a").upload_from_string(b"x", retry=QUICK)
    assert server.struck() == [2]
    assert server.report()["statuses"]["503"] == 2
    assert bucket.blob("raw/a").download_as_bytes() == b"x"


def test_a_status_comes_before_anything_is_executed(client, bucket, server):
    server.arm(fault="status", status=503, match="objects.insert")
    with pytest.raises(ServiceUnavailable):
        bucket.blob("a").upload_from_string(b"x", retry=None)
    assert list(client.list_blobs("lake")) == []


def test_a_status_may_say_when_to_come_again(server, bucket):
    server.arm(fault="status", status=429, count=1, method="get", match="objects.list", retry_after=7)
    answer = server.wire.get(f"{server.url}/storage/v1/b/lake/o")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    assert server.wire.get(f"{server.url}/storage/v1/b/lake/o").status_code == 200


def test_the_client_retries_a_rate_limited_listing(client, bucket, server):
    server.arm(fault="status", status=408, count=1, match="objects.list")
    server.arm(fault="status", status=429, count=1, match="objects.list")
    assert list(client.list_blobs("lake", retry=QUICK)) == []
    assert server.struck() == [1, 1]
    server.arm(fault="status", status=429, match="objects.list")
    with pytest.raises(TooManyRequests):
        list(client.list_blobs("lake", retry=None))


def test_a_retry_after_a_lost_reply_finds_the_file_committed(bucket, server):
    server.arm(fault="lost_reply", count=1, method="POST", match="objects.insert")
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_string(b"committed", if_generation_match=0, retry=QUICK)
    assert server.struck() == [1]
    assert server.counts()["objects.insert"] == 2
    assert bucket.blob("a").download_as_bytes() == b"committed"


def test_a_lost_reply_without_a_retry_is_a_broken_connection(bucket, server):
    server.arm(fault="lost_reply", count=1, match="objects.insert")
    with pytest.raises(requests.ConnectionError):
        bucket.blob("a").upload_from_string(b"committed", retry=None)
    assert bucket.blob("a").download_as_bytes() == b"committed"


def test_a_resumable_upload_converges_after_the_reply_to_its_last_chunk_was_lost(bucket, server):
    content = os.urandom(2 * QUANTUM)
    server.arm(fault="lost_reply", count=1, skip=1, method="PUT")
    blob = bucket.blob("a", chunk_size=QUANTUM)
    blob.upload_from_file(io.BytesIO(content), if_generation_match=0, retry=QUICK)
    assert server.struck() == [1]
    assert bucket.blob("a").download_as_bytes() == content


def test_an_upload_that_is_reset_stores_nothing(client, bucket, server):
    server.arm(fault="reset_upload", after_bytes=100_000, count=1, match="a.parquet")
    with pytest.raises(requests.ConnectionError):
        bucket.blob("a.parquet").upload_from_string(os.urandom(300_000), retry=None)
    assert list(client.list_blobs("lake")) == []
    assert list((server.root / "incoming").iterdir()) == []


def test_a_resumable_upload_goes_on_after_a_reset(bucket, server):
    content = os.urandom(8 * QUANTUM)
    server.arm(fault="reset_upload", after_bytes=QUANTUM * 3 // 2, count=2, method="PUT")
    blob = bucket.blob("a", chunk_size=4 * QUANTUM)
    blob.upload_from_file(io.BytesIO(content), retry=QUICK)
    assert server.struck() == [2]
    assert bucket.blob("a").download_as_bytes() == content


def test_what_arrived_before_a_reset_is_kept(bucket, server):
    url = f"{server.url}/upload/storage/v1/b/lake/o?uploadType=resumable&name=a"
    session = server.wire.post(url).headers["Location"]
    server.arm(fault="reset_upload", after_bytes=QUANTUM * 5 // 2, count=1)
    with pytest.raises(requests.ConnectionError):
        server.wire.put(session, data=b"x" * 4 * QUANTUM)
    answer = server.wire.put(session, headers={"Content-Range": "bytes */*"})
    assert answer.headers["Range"] == f"bytes=0-{2 * QUANTUM - 1}"


def test_a_slow_bucket_still_moves_every_byte(bucket, server):
    content = os.urandom(100_000)
    server.arm(fault="slow", seconds_per_mib=0.5)
    bucket.blob("a").upload_from_string(content)
    assert bucket.blob("a").download_as_bytes() == content
    assert server.struck() == [2]


def test_a_status_strikes_the_calls_inside_a_batch(client, bucket, server):
    bucket.blob("a").upload_from_string(b"x")
    server.arm(fault="status", status=503, count=1, method="DELETE")
    with client.batch(raise_exception=False) as batch:
        bucket.blob("a").delete()
        bucket.blob("a").delete()
    assert [answer.status_code for answer in batch._responses] == [503, 204]


def test_faults_are_listed_and_disarmed(server):
    server.arm(fault="status", status=503)
    server.arm(fault="lost_reply", count=3, method="post", match="x")
    url = server.url + FAULTS_PATH
    assert server.wire.get(url).json()["faults"] == [
        {"fault": "status", "status": 503, "method": None, "match": "", "count": None, "skip": 0, "struck": 0},
        {"fault": "lost_reply", "method": "POST", "match": "x", "count": 3, "skip": 0, "struck": 0},
    ]
    assert server.wire.delete(url, params={"fault": "status"}).json() == {"disarmed": 1}
    assert server.wire.delete(url).json() == {"disarmed": 1}
    assert server.wire.get(url).json() == {"faults": []}


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"fault": "earthquake"}, "this server knows deny_permission, lost_reply, reset_upload, slow, status"),
        ({"fault": "status"}, "needs status"),
        ({"fault": "status", "status": "503"}, "status must be of type int"),
        ({"fault": "status", "status": 503, "probability": 1}, "no setting 'probability'"),
        ({"fault": "slow", "seconds_per_mib": -1}, "must not be negative"),
        ({"fault": "lost_reply", "count": 0}, "count must be at least 1"),
        ({"fault": "lost_reply", "count": True}, "count must be of type int"),
    ],
)
def test_a_fault_that_cannot_be_armed_says_what_would_be(server, order, text):
    answer = server.wire.post(server.url + FAULTS_PATH, json=order)
    assert (answer.status_code, text in answer.json()["error"]) == (400, True)


def test_switches_take_the_oldest_match_and_count_only_strikes():
    switches = FaultSwitches([FaultKind("cut"), FaultKind("stall", {"seconds": float}, {"once": bool})])
    switches.arm({"fault": "stall", "seconds": 1, "once": True, "match": "b", "skip": 1, "count": 1})
    switches.arm({"fault": "stall", "seconds": 2})
    struck = [switches.take("cut", "stall", method="GET", target=target) for target in ("a", "b", "b", "b")]
    assert [fault.settings["seconds"] for fault in struck if fault] == [2, 2, 1, 2]
    assert [entry["struck"] for entry in switches.to_json()] == [1, 3]
    assert switches.take("cut", method="GET", target="a") is None
    with pytest.raises(FaultError, match="needs seconds"):
        switches.arm({"fault": "stall"})
