"""Downloads: whole, in ranges, in chunks, compressed."""

from __future__ import annotations

import gzip
import io
import os

import pytest
from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def blob(bucket):
    blob = bucket.blob("dir/a.bin")
    blob.upload_from_string(CONTENT, content_type="application/x-test")
    return blob


@pytest.mark.parametrize("path", ["download/storage/v1/b/lake/o/dir%2Fa.bin", "storage/v1/b/lake/o/dir%2Fa.bin?alt=media"])
def test_both_addresses_of_the_body_send_it_with_its_headers(server, blob, path):
    answer = server.wire.get(f"{server.url}/{path}")
    assert answer.content == CONTENT
    assert {name: answer.headers[name] for name in (
        "X-Goog-Hash", "X-Goog-Generation", "x-goog-metageneration", "ETag", "Content-Type", "Content-Length",
        "X-Goog-Stored-Content-Encoding", "X-Goog-Storage-Class",
    )} == {
        "X-Goog-Hash": f"crc32c={blob.crc32c},md5={blob.md5_hash}",
        "X-Goog-Generation": str(blob.generation),
        "x-goog-metageneration": "1",
        "ETag": blob.etag,
        "Content-Type": "application/x-test",
        "Content-Length": str(len(CONTENT)),
        "X-Goog-Stored-Content-Encoding": "identity",
        "X-Goog-Storage-Class": "STANDARD",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-99", 0, 99), ("bytes=1000-", 1000, 1023), ("bytes=-24", 1000, 1023), ("bytes=1020-9999", 1020, 1023),
     ("bytes=-9999", 0, 1023), ("bytes=0-", 0, 1023)],
)  # fmt: skip
def test_a_range_sends_that_part(server, blob, asked, start, end):
    answer = server.wire.get(blob.media_link, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{end}/1024"
    assert answer.content == CONTENT[start : end + 1]


def test_a_range_outside_the_object_is_refused(server, blob):
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=1024)
    answer = server.wire.get(blob.media_link, headers={"Range": "bytes=5000-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */1024")


def test_the_client_downloads_a_part_and_in_chunks(bucket, server):
    content = os.urandom(3 * 256 * 1024 + 11)
    bucket.blob("big").upload_from_string(content)
    assert bucket.blob("big").download_as_bytes(start=5, end=9) == content[5:10]
    assert bucket.blob("big", chunk_size=256 * 1024).download_as_bytes() == content
    with bucket.blob("big", chunk_size=256 * 1024).open("rb") as stream:
        stream.seek(300_000)
        assert stream.read(10) == content[300_000:300_010]


def test_an_absent_object_is_not_found_in_plain_words(bucket, server):
    with pytest.raises(NotFound, match="No such object: lake/none"):
        bucket.blob("none").download_as_bytes()
    answer = server.wire.get(f"{server.url}/download/storage/v1/b/lake/o/none")
    assert (answer.text, answer.headers["Content-Type"]) == ("No such object: lake/none", "text/plain; charset=UTF-8")


@pytest.fixture
def zipped(bucket):
    blob = bucket.blob("a.json")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(CONTENT, mtime=0), content_type="application/json")
    return blob


def test_gzip_passes_through_to_a_client_that_takes_it(server, zipped):
    with server.wire.get(zipped.media_link, headers={"Accept-Encoding": "gzip"}, stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.raw.read(decode_content=False)) == CONTENT
    assert zipped.download_as_bytes(raw_download=True) == gzip.compress(CONTENT, mtime=0)
    assert zipped.download_as_bytes() == CONTENT


def test_gzip_is_unpacked_for_a_client_that_does_not_take_it(server, zipped):
    answer = server.wire.get(zipped.media_link, headers={"Accept-Encoding": "identity", "Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["X-Goog-Stored-Content-Encoding"] == "gzip"
    assert answer.headers["Warning"] == "214 UploadServer gunzipped"


def test_gzip_that_must_not_be_transformed_is_not(server, zipped):
    zipped.cache_control = "no-transform"
    zipped.patch()
    answer = server.wire.get(zipped.media_link, headers={"Accept-Encoding": "identity"}, stream=True)
    assert answer.raw.read(decode_content=False) == gzip.compress(CONTENT, mtime=0)


def test_a_reader_keeps_what_it_reads_when_the_object_is_replaced(bucket, server):
    content = os.urandom(8 << 20)
    blob = bucket.blob("big")
    blob.upload_from_file(io.BytesIO(content))
    with server.wire.get(blob.media_link, headers={"Accept-Encoding": "identity"}, stream=True) as answer:
        first = answer.raw.read(10)
        bucket.blob("big").upload_from_string(b"new")
        assert first + answer.raw.read() == content
