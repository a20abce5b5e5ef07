"""What is not implemented is refused by its name, never silently ignored."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import MethodNotImplemented
from google.cloud import storage


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/storage/v1/b/lake/iam"),
        ("GET", "/storage/v1/b/lake/o/a/acl"),
        ("POST", "/storage/v1/b/lake/notificationConfigs"),
        ("PUT", "/lake/a.txt"),
        ("GET", "/"),
        ("HEAD", "/storage/v1/b/lake"),
        ("POST", "/upload/storage/v1/b/lake/o?uploadType=resumed"),
    ],
)
def test_an_unknown_path_is_named(server, bucket, method, path):
    answer = server.wire.request(method, server.url + path)
    assert answer.status_code == 501
    if method != "HEAD":
        assert f"does not implement {method} {path}" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/storage/v1/b/lake/o?filter=x", "'filter' of objects.list"),
        ("/storage/v1/b/lake/o?versions=true", "versions=true of objects.list"),
        ("/storage/v1/b/lake/o?matchGlob=*&delimiter=/", "matchGlob together with delimiter"),
        ("/storage/v1/b/lake/o?alt=proto", "alt=proto of objects.list"),
        ("/storage/v1/b/lake?softDeleted=true", "'softDeleted' of buckets.get"),
    ],
)
def test_a_parameter_that_would_change_the_meaning_is_named(server, bucket, path, named):
    answer = server.wire.get(server.url + path)
    assert (answer.status_code, named in answer.json()["error"]["message"]) == (501, True)


def test_harmless_parameters_are_ignored(server, bucket):
    path = "/storage/v1/b/lake/o?prettyPrint=false&userProject=p&quotaUser=q&projection=full&alt=json&versions=false"
    assert server.wire.get(server.url + path).status_code == 200


def test_the_client_sees_what_is_missing(client, bucket):
    with pytest.raises(MethodNotImplemented, match="'predefinedAcl' of"):
        bucket.blob("a").upload_from_string(b"x", predefined_acl="publicRead")
    with pytest.raises(MethodNotImplemented, match="kmsKeyName"):
        bucket.blob("a", kms_key_name="projects/p/key").upload_from_string(b"x")
    with pytest.raises(MethodNotImplemented, match="X-Goog-Encryption-Algorithm"):
        bucket.blob("a", encryption_key=b"k" * 32).upload_from_string(b"x")
    with pytest.raises(MethodNotImplemented, match="GET /storage/v1/b/lake/notificationConfigs"):
        list(bucket.list_notifications())
    assert list(client.list_blobs("lake")) == []


def test_a_bucket_field_that_would_be_ignored_is_named(client):
    bucket = storage.Bucket(client, "kept")
    bucket.versioning_enabled = True
    with pytest.raises(MethodNotImplemented, match="'versioning' of a bucket"):
        bucket.create()
    bucket = storage.Bucket(client, "kept")
    bucket.add_lifecycle_delete_rule(age=1)
    with pytest.raises(MethodNotImplemented, match="'lifecycle' of a bucket"):
        bucket.create()
    assert not client.bucket("kept").exists()


def test_a_body_that_is_no_json_is_a_parse_error(server, bucket):
    answer = server.wire.patch(f"{server.url}/storage/v1/b/lake", data=b"{")
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "parseError")


def test_health_names_service_and_nonce(server):
    health = server.wire.get(f"{server.url}/_tickdeck/health").json()
    assert (health["service"], health["nonce"]) == ("storage", "test")
