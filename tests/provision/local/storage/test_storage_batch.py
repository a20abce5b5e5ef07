"""Batches, as the client's `batch()` sends them."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed


@pytest.fixture
def blobs(bucket):
    blobs = [bucket.blob(f"dir/ü {number}.txt") for number in range(12)]
    for blob in blobs:
        blob.upload_from_string(b"x")
    return blobs


def test_a_batch_deletes_many_objects_in_one_request(client, bucket, blobs, server):
    with client.batch():
        for blob in blobs:
            blob.delete()
    assert list(client.list_blobs("lake")) == []
    assert (server.counts()["batch"], server.counts()["objects.delete"]) == (1, 12)


def test_a_batch_patches_and_hands_back_the_resources(client, blobs):
    with client.batch():
        for number, blob in enumerate(blobs):
            blob.metadata = {"number": str(number), "text": "größer"}
            blob.patch()
    assert [blob.metageneration for blob in blobs] == [2] * 12
    assert blobs[3].metadata == {"number": "3", "text": "größer"}


def test_each_call_of_a_batch_fails_by_itself(client, bucket, blobs):
    with client.batch(raise_exception=False) as batch:
        blobs[0].delete()
        bucket.blob("absent").delete()
        blobs[1].delete(if_generation_match=1)
        blobs[2].reload()
    assert [answer.status_code for answer in batch._responses] == [204, 404, 412, 200]
    assert batch._responses[1].json()["error"]["message"] == "No such object: lake/absent"
    assert blobs[1].exists()


def test_a_batch_raises_its_failure(client, bucket, blobs):
    def delete_both() -> None:
        with client.batch():
            bucket.blob("absent").delete()
            blobs[0].delete()

    with pytest.raises(NotFound):
        delete_both()
    assert not blobs[0].exists()
    with pytest.raises(PreconditionFailed), client.batch():
        blobs[1].delete(if_metageneration_match=5)


def test_deleting_a_list_of_blobs_in_a_batch(client, bucket, blobs):
    with client.batch():
        bucket.delete_blobs(blobs)
    assert list(client.list_blobs("lake")) == []


def test_a_download_in_a_batch_is_refused_by_name(server, blobs):
    lines = [
        "--b", "Content-Type: application/http", "Content-ID: <7>", "",
        "GET /storage/v1/b/lake/o/dir%2F%C3%BC%200.txt?alt=media HTTP/1.1", "", "", "--b--", "",
    ]  # fmt: skip
    body = "\r\n".join(lines)
    answer = server.wire.post(f"{server.url}/batch/storage/v1", data=body, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert "HTTP/1.1 501" in answer.text
    assert "Content-ID: <response-7>" in answer.text


def test_what_is_no_batch_is_refused(server):
    url = f"{server.url}/batch/storage/v1"
    assert server.wire.post(url, data=b"{}").status_code == 400
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    assert server.wire.post(url, data=b"nothing", headers=headers).status_code == 400
