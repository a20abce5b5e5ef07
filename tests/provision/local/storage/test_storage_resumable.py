"""Resumable uploads: chunks, questions, cuts, ends."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import requests
from google.api_core.exceptions import PreconditionFailed

QUANTUM = 256 * 1024


def start(server, name: str = "a", query: str = "", **request):
    url = f"{server.url}/upload/storage/v1/b/lake/o?uploadType=resumable&name={name}{query}"
    answer = server.wire.post(url, **request)
    assert answer.status_code == 200, answer.text
    return answer.headers["Location"]


def put(server, session: str, content: bytes, content_range: str, **headers):
    return server.wire.put(session, data=content, headers={"Content-Range": content_range, **headers})


def test_the_client_uploads_a_large_file_in_small_chunks(bucket, server):
    content = os.urandom(9 * 1024 * 1024 + 17)
    blob = bucket.blob("big", chunk_size=QUANTUM)
    blob.upload_from_file(io.BytesIO(content), size=len(content), if_generation_match=0)
    assert server.counts()["objects.insert.chunk"] == 37
    assert bucket.blob("big").download_as_bytes() == content


def test_the_client_uploads_a_stream_of_unknown_length(bucket):
    content = os.urandom(3 * QUANTUM + 5)
    with bucket.blob("stream", chunk_size=QUANTUM).open("wb") as stream:
        stream.write(content)
    assert bucket.blob("stream").download_as_bytes() == content


def test_a_stream_that_ends_on_a_chunk_border_is_finished_by_its_total(bucket, server):
    session = start(server)
    assert put(server, session, b"x" * QUANTUM, f"bytes 0-{QUANTUM - 1}/*").status_code == 308
    answer = put(server, session, b"", f"bytes */{QUANTUM}")
    assert (answer.status_code, answer.json()["size"]) == (200, str(QUANTUM))


def test_an_empty_upload_is_finished_by_a_total_of_zero(bucket, server):
    assert put(server, start(server), b"", "bytes */0").json()["size"] == "0"


def test_a_put_without_a_range_carries_everything(bucket, server):
    answer = server.wire.put(start(server), data=b"hello")
    assert (answer.status_code, answer.json()["size"]) == (200, "5")


def test_a_question_answers_how_far_the_upload_got(bucket, server):
    session = start(server)
    nothing = put(server, session, b"", "bytes */*")
    assert (nothing.status_code, "Range" in nothing.headers) == (308, False)
    put(server, session, b"x" * QUANTUM, f"bytes 0-{QUANTUM - 1}/{2 * QUANTUM}")
    something = put(server, session, b"", f"bytes */{2 * QUANTUM}")
    assert (something.status_code, something.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")


def test_an_unfinished_upload_keeps_whole_quanta_only(bucket, server):
    session = start(server)
    answer = put(server, session, b"x" * (QUANTUM + 100), f"bytes 0-{QUANTUM + 99}/{2 * QUANTUM}")
    assert answer.headers["Range"] == f"bytes=0-{QUANTUM - 1}"


def test_bytes_sent_twice_are_stored_once(bucket, server):
    content = os.urandom(2 * QUANTUM)
    session = start(server)
    put(server, session, content[:QUANTUM], f"bytes 0-{QUANTUM - 1}/{2 * QUANTUM}")
    answer = put(server, session, content, f"bytes 0-{2 * QUANTUM - 1}/{2 * QUANTUM}")
    assert answer.status_code == 200
    assert bucket.blob("a").download_as_bytes() == content


def test_a_gap_is_refused(bucket, server):
    session = start(server)
    answer = put(server, session, b"x" * 10, f"bytes {QUANTUM}-{QUANTUM + 9}/{QUANTUM + 10}")
    assert answer.status_code == 400
    assert "exceeds already uploaded size of 0 byte(s)" in answer.json()["error"]["message"]


@pytest.mark.parametrize("content_range", ["bytes 0-9/5", "bytes 5-2/10", "bytes 0-3/10", "kittens"])
def test_a_range_that_contradicts_itself_or_the_body_is_refused(bucket, server, content_range):
    assert put(server, start(server), b"x" * 10, content_range).status_code == 400


def test_a_total_other_than_announced_is_refused(bucket, server):
    session = start(server, headers={"X-Upload-Content-Length": "20"})
    assert put(server, session, b"x" * 10, "bytes 0-9/10").status_code == 400


def test_a_cancelled_upload_answers_499_ever_after(client, bucket, server):
    session = start(server)
    put(server, session, b"x" * QUANTUM, f"bytes 0-{QUANTUM - 1}/*")
    assert server.wire.delete(session).status_code == 499
    assert put(server, session, b"", "bytes */*").status_code == 499
    assert list(client.list_blobs("lake")) == []
    assert list((server.root / "incoming").iterdir()) == []


def test_a_finished_upload_answers_with_its_object_ever_after(bucket, server):
    session = start(server)
    first = put(server, session, b"hello", "bytes 0-4/5")
    again = put(server, session, b"hello", "bytes 0-4/5")
    asked = put(server, session, b"", "bytes */5")
    assert first.json() == again.json() == asked.json()


def test_an_unknown_session_is_not_found(bucket, server):
    url = f"{server.url}/upload/storage/v1/b/lake/o?uploadType=resumable&upload_id=nothing"
    assert put(server, url, b"x", "bytes 0-0/1").status_code == 404


def test_a_precondition_is_checked_at_the_start(bucket):
    bucket.blob("a").upload_from_string(b"here")
    with pytest.raises(PreconditionFailed):
        bucket.blob("a", chunk_size=QUANTUM).upload_from_file(io.BytesIO(b"x" * 100), if_generation_match=0)


def test_a_precondition_is_checked_again_at_the_end(bucket, server):
    session = start(server, query="&ifGenerationMatch=0")
    bucket.blob("a").upload_from_string(b"somebody was faster")
    late = put(server, session, b"hello", "bytes 0-4/5")
    assert late.status_code == 412
    assert late.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    assert put(server, session, b"", "bytes */5").status_code == 412
    assert bucket.blob("a").download_as_bytes() == b"somebody was faster"


def test_rival_requests_on_one_session_cannot_mix_their_bytes(bucket, server):
    content = os.urandom(6 * QUANTUM + 99)
    session = start(server, query="&ifGenerationMatch=0")
    rivals = 8
    barrier = Barrier(rivals)

    def send(_rival: int) -> int | None:
        barrier.wait()
        try:
            return requests.put(session, data=content).status_code
        except requests.ConnectionError:
            return None  # another one took over

    with ThreadPoolExecutor(rivals) as pool:
        answers = set(pool.map(send, range(rivals)))
    assert answers <= {200, None}
    assert 200 in answers
    assert bucket.blob("a").download_as_bytes(checksum="md5") == content
    assert list((server.root / "incoming").iterdir()) == []


def test_a_wrong_checksum_with_the_last_chunk_stores_nothing(client, bucket, server):
    answer = put(server, start(server), b"hello", "bytes 0-4/5", **{"X-Goog-Hash": "crc32c=AAAAAA=="})
    assert answer.status_code == 400
    assert list(client.list_blobs("lake")) == []


def test_metadata_of_the_start_is_on_the_object(bucket, server):
    session = start(
        server,
        json={"metadata": {"rows": "3"}},
        headers={"X-Upload-Content-Type": "text/csv", "X-Upload-Content-Length": "5"},
    )
    shown = put(server, session, b"hello", "bytes 0-4/5").json()
    assert (shown["metadata"], shown["contentType"]) == ({"rows": "3"}, "text/csv")
