"""objects.insert in one request: names, metadata, checksums, and the limits Google sets."""

from __future__ import annotations

import base64
import hashlib
import json

import google_crc32c
import pytest
from google.api_core.exceptions import BadRequest


def crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(content).digest()).decode()


def insert(server, query: str, **request):
    return server.wire.post(f"{server.url}/upload/storage/v1/b/lake/o?{query}", **request)


def related(metadata: dict, content: bytes, newline: bytes = b"\r\n") -> dict:
    lines = [
        b"--cut", b"content-type: application/json; charset=UTF-8", b"", json.dumps(metadata).encode(),
        b"--cut", b"content-type: application/octet-stream", b"", b"",
    ]  # fmt: skip
    body = newline.join(lines) + content + b"\r\n--cut--\r\n"
    return {"data": body, "headers": {"Content-Type": 'multipart/related; boundary="cut"'}}


def stored_names(client) -> list[str]:
    return [blob.name for blob in client.list_blobs("lake")]


def test_an_uploaded_object_shows_everything_google_shows(client, bucket, server):
    blob = bucket.blob("raw/day-2023-05-23/BTCUSDT.parquet")
    blob.metadata = {"rows": "17", "schema": "1"}
    blob.cache_control = "no-store"
    content = b"tick" * 1000
    blob.upload_from_string(content, content_type="application/vnd.apache.parquet")
    shown = server.wire.get(f"{server.url}/storage/v1/b/lake/o/raw%2Fday-2023-05-23%2FBTCUSDT.parquet").json()
    generation = shown["generation"]
    assert shown.pop("timeCreated") == shown.pop("updated") == shown.pop("timeFinalized") == shown.pop("timeStorageClassUpdated")
    assert shown.pop("etag")
    assert shown == {
        "kind": "storage#object",
        "id": f"lake/raw/day-2023-05-23/BTCUSDT.parquet/{generation}",
        "selfLink": f"{server.url}/storage/v1/b/lake/o/raw%2Fday-2023-05-23%2FBTCUSDT.parquet",
        "mediaLink": f"{server.url}/download/storage/v1/b/lake/o/raw%2Fday-2023-05-23%2FBTCUSDT.parquet?generation={generation}&alt=media",
        "name": "raw/day-2023-05-23/BTCUSDT.parquet",
        "bucket": "lake",
        "generation": generation,
        "metageneration": "1",
        "contentType": "application/vnd.apache.parquet",
        "cacheControl": "no-store",
        "metadata": {"rows": "17", "schema": "1"},
        "storageClass": "STANDARD",
        "size": "4000",
        "crc32c": crc32c(content),
        "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
    }


def test_generations_only_grow(bucket):
    blob = bucket.blob("a")
    seen = []
    for _ in range(20):
        blob.upload_from_string(b"x")
        seen.append(blob.generation)
    assert seen == sorted(set(seen))


def test_a_media_upload_is_named_by_the_query(client, bucket, server):
    answer = insert(server, "uploadType=media&name=a%2Fb", data=b"hello", headers={"Content-Type": "text/plain"})
    assert answer.json()["name"] == "a/b"
    assert answer.json()["contentType"] == "text/plain"
    assert bucket.blob("a/b").download_as_bytes() == b"hello"


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_multipart_upload_is_named_by_its_metadata(bucket, server, newline):
    content = b"\r\n--cu\r\n--\n" + bytes(range(256)) * 2000
    answer = insert(server, "uploadType=multipart", **related({"name": "a"}, content, newline))
    assert answer.status_code == 200
    assert bucket.blob("a").download_as_bytes() == content


def test_the_name_in_the_query_wins_over_the_metadata(client, bucket, server):
    insert(server, "uploadType=multipart&name=query", **related({"name": "metadata"}, b"x"))
    assert stored_names(client) == ["query"]


@pytest.mark.parametrize("name", ["ü/ñ b+c%.txt", "a?b#c&d=e", "{x}/..", "a//b", "trailing/", " ", "日本", "%2F"])
def test_any_legal_name_survives_the_url(client, bucket, name):
    blob = bucket.blob(name)
    blob.upload_from_string(name.encode())
    blob.reload()
    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert stored_names(client) == [name]
    blob.delete()
    assert stored_names(client) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a\nb", "Disallowed unicode characters"),
        ("a\rb", "Disallowed unicode characters"),
        (".", "Invalid object name"),
        ("..", "Invalid object name"),
        ("x" * 1025, "maximum object length is 1024"),
        ("ü" * 513, "maximum object length is 1024"),
        (".well-known/acme-challenge/x", "Invalid object name"),
    ],
)
def test_a_name_google_would_refuse_is_refused(client, bucket, name, text):
    with pytest.raises(BadRequest, match=text):
        bucket.blob(name).upload_from_string(b"x")
    assert stored_names(client) == []


def test_a_name_of_1024_bytes_is_accepted(client, bucket):
    bucket.blob("ü" * 512).upload_from_string(b"x")
    assert stored_names(client) == ["ü" * 512]


@pytest.mark.parametrize(
    ("metadata", "limit"),
    [
        ({"k" * 1025: "v"}, "1024 bytes .1 KiB. for a key"),
        ({"k": "v" * 4097}, "4096 bytes .4 KiB. for a value"),
        ({"a": "v" * 4096, "b": "v" * 4095}, "8192 bytes .8 KiB. in all"),
    ],
)
def test_metadata_beyond_a_limit_is_refused_by_its_name(client, bucket, metadata, limit):
    blob = bucket.blob("a")
    blob.metadata = metadata
    with pytest.raises(BadRequest, match=limit):
        blob.upload_from_string(b"x")
    assert stored_names(client) == []


def test_metadata_at_the_limits_is_accepted(bucket):
    blob = bucket.blob("a")
    blob.metadata = {"k": "v" * 4096, "l" * 1024: "v" * (8192 - 4097 - 1024)}
    blob.upload_from_string(b"x")


@pytest.mark.parametrize("claim", [{"crc32c": "AAAAAA=="}, {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}])
def test_a_wrong_checksum_in_the_metadata_stores_nothing(client, bucket, server, claim):
    answer = insert(server, "uploadType=multipart", **related({"name": "a", **claim}, b"hello"))
    assert answer.status_code == 400
    assert "doesn't match calculated" in answer.json()["error"]["message"]
    assert stored_names(client) == []
    assert not [path for path in server.root.glob("*/*") if path.is_file()]


@pytest.mark.parametrize("header", ["crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA==", f"crc32c={crc32c(b'hello')},md5=AAAA"])
def test_a_wrong_checksum_in_the_header_stores_nothing(client, bucket, server, header):
    answer = insert(server, "uploadType=media&name=a", data=b"hello", headers={"X-Goog-Hash": header})
    assert answer.status_code == 400
    assert stored_names(client) == []


def test_a_right_checksum_is_accepted(bucket, server):
    header = f"crc32c={crc32c(b'hello')},md5={base64.b64encode(hashlib.md5(b'hello').digest()).decode()}"
    assert insert(server, "uploadType=media&name=a", data=b"hello", headers={"X-Goog-Hash": header}).status_code == 200


def test_a_multipart_body_without_its_end_stores_nothing(client, bucket, server):
    request = related({"name": "a"}, b"hello")
    request["data"] = request["data"][:-10]
    assert insert(server, "uploadType=multipart", **request).status_code == 400
    assert stored_names(client) == []


def test_an_upload_without_a_name_is_refused(bucket, server):
    answer = insert(server, "uploadType=media", data=b"x")
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "required")


def test_an_overwritten_body_leaves_the_disk(client, bucket, server):
    blob = bucket.blob("a")
    for content in (b"one", b"two", b"three"):
        blob.upload_from_string(content)
    bodies = [path for path in (server.root / "bodies").glob("*/*") if path.is_file()]
    assert [path.read_bytes() for path in bodies] == [b"three"]


def test_an_empty_object_is_an_object(bucket):
    blob = bucket.blob("empty")
    blob.upload_from_string(b"")
    blob.reload()
    assert (blob.size, bucket.blob("empty").download_as_bytes()) == (0, b"")
