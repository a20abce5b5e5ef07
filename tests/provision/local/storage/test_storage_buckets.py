"""Buckets: made once, named by Google's rules, labelled, listed, and deleted only when empty."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound, NotModified, PreconditionFailed


def test_a_new_bucket_shows_what_google_shows(client):
    bucket = client.create_bucket("market-data-tick", location="asia-northeast1")
    assert (bucket.location, bucket.storage_class, bucket.metageneration) == ("ASIA-NORTHEAST1", "STANDARD", 1)
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled
    assert bucket.time_created.tzinfo is not None
    assert client.get_bucket("market-data-tick").etag == bucket.etag


def test_the_second_creation_of_a_bucket_is_a_conflict(client):
    client.create_bucket("lake")
    with pytest.raises(Conflict, match="succeeded and you already own it"):
        client.create_bucket("lake")


def test_an_unknown_bucket_is_not_found_by_any_verb(client):
    unknown = client.bucket("nowhere")
    for call in (
        lambda: client.get_bucket("nowhere"),
        lambda: list(client.list_blobs("nowhere")),
        lambda: unknown.blob("a").upload_from_string(b"x"),
        lambda: unknown.blob("a").delete(),
        unknown.delete,
    ):
        with pytest.raises(NotFound, match="The specified bucket does not exist"):
            call()
    assert not unknown.exists()


@pytest.mark.parametrize(
    "name",
    ["ab", "Upper", "-dash", "dash-", "a" * 64, "with space", "goog-lake", "my-g00gle-lake", "192.168.0.1", "a..b", "ü-lake"],
)
def test_a_name_google_would_refuse_is_refused(server, name):
    answer = server.wire.post(f"{server.url}/storage/v1/b?project=p", json={"name": name})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"Invalid bucket name: '{name}'"


def test_a_bucket_named_like_a_domain_needs_its_owner(client):
    with pytest.raises(Forbidden, match=r"Another user owns the domain lake\.example\.com"):
        client.create_bucket("lake.example.com")


def test_labels_are_patched_key_by_key(client, bucket):
    bucket.labels = {"td-owner": "ops", "env": "local"}
    bucket.patch()
    assert bucket.metageneration == 2
    again = client.get_bucket("lake")
    again.labels = {"td-owner": "ops", "env": "demo"}
    again.patch()
    assert client.get_bucket("lake").labels == {"td-owner": "ops", "env": "demo"}


def test_a_label_google_would_refuse_is_refused(bucket):
    bucket.labels = {"Owner": "ops"}
    with pytest.raises(BadRequest, match="Invalid label key: 'Owner'"):
        bucket.patch()


def test_a_bucket_with_objects_cannot_be_deleted(client, bucket):
    blob = bucket.blob("a")
    blob.upload_from_string(b"x")
    with pytest.raises(Conflict, match="not empty"):
        bucket.delete()
    blob.delete()
    bucket.delete()
    assert not bucket.exists()


def test_buckets_are_listed_by_project_prefix_and_page(client, server, connect):
    for name in ("tick-a", "tick-b", "tick-c", "other"):
        client.create_bucket(name)
    connect(server.url, project="elsewhere").create_bucket("not-ours")
    assert [found.name for found in client.list_buckets()] == ["other", "tick-a", "tick-b", "tick-c"]
    assert [found.name for found in client.list_buckets(prefix="tick-", page_size=2)] == ["tick-a", "tick-b", "tick-c"]


def test_every_permission_is_granted(bucket):
    asked = ["storage.objects.create", "storage.objects.list"]
    assert bucket.test_iam_permissions(asked) == asked


def test_bucket_preconditions_go_by_metageneration(bucket):
    with pytest.raises(PreconditionFailed):
        bucket.reload(if_metageneration_match=7)
    with pytest.raises(NotModified):
        bucket.reload(if_metageneration_not_match=1)
    with pytest.raises(PreconditionFailed):
        bucket.patch(if_metageneration_match=7)
    bucket.reload(if_metageneration_match=1)
