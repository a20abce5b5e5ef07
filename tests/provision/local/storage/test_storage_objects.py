"""One object: its metadata changed, itself deleted, copied, rewritten, composed."""

from __future__ import annotations

import base64

import google_crc32c
import pytest
from google.api_core.exceptions import BadRequest, MethodNotImplemented, NotFound


@pytest.fixture
def blob(bucket):
    blob = bucket.blob("a")
    blob.metadata = {"rows": "1", "run": "r"}
    blob.upload_from_string(b"hello", content_type="text/csv")
    return blob


def test_a_patch_changes_what_it_names_and_counts_a_metageneration(bucket, blob):
    generation, etag = blob.generation, blob.etag
    blob.metadata = {"rows": "2", "run": None}
    blob.patch()
    again = bucket.get_blob("a")
    assert (again.metadata, again.content_type, again.metageneration) == ({"rows": "2"}, "text/csv", 2)
    assert again.generation == generation
    assert again.etag != etag
    assert again.updated > again.time_created
    assert again.download_as_bytes() == b"hello"


def test_an_update_clears_what_it_does_not_name(server, bucket, blob):
    server.wire.put(f"{server.url}/storage/v1/b/lake/o/a", json={"contentType": "text/plain"})
    again = bucket.get_blob("a")
    assert (again.metadata, again.content_type) == (None, "text/plain")


def test_the_client_updates_with_all_it_knows(bucket, blob):
    blob.content_language = "en"
    blob.update()
    again = bucket.get_blob("a")
    assert (again.metadata, again.content_type, again.content_language) == ({"rows": "1", "run": "r"}, "text/csv", "en")


def test_a_patch_keeps_the_metadata_limits(blob):
    blob.metadata = {"k": "v" * 5000}
    with pytest.raises(BadRequest, match="4096 bytes"):
        blob.patch()


def test_a_field_this_server_would_ignore_is_refused_by_name(blob):
    blob.event_based_hold = True
    with pytest.raises(MethodNotImplemented, match="eventBasedHold"):
        blob.patch()


def test_a_deleted_object_is_gone_with_its_body(server, bucket, blob):
    blob.delete()
    assert not blob.exists()
    assert [path for path in (server.root / "bodies").glob("*/*") if path.is_file()] == []
    with pytest.raises(NotFound, match="No such object: lake/a"):
        blob.delete()


def test_a_copy_has_the_metadata_and_outlives_its_source(client, bucket, blob):
    other = client.create_bucket("other")
    copy = bucket.copy_blob(blob, other, "b/c")
    assert (copy.metadata, copy.content_type, copy.md5_hash) == (blob.metadata, "text/csv", blob.md5_hash)
    assert copy.generation > blob.generation
    blob.delete()
    assert other.blob("b/c").download_as_bytes() == b"hello"


def test_a_copy_of_a_past_generation_is_not_found(bucket, blob):
    with pytest.raises(NotFound):
        bucket.copy_blob(blob, bucket, "b", source_generation=1)


def test_renaming_moves_an_object(bucket, blob):
    bucket.rename_blob(blob, "b")
    assert (bucket.get_blob("a"), bucket.blob("b").download_as_bytes()) == (None, b"hello")


def test_a_rewrite_is_done_in_one_call(bucket, blob):
    target = bucket.blob("b")
    assert target.rewrite(blob) == (None, 5, 5)
    assert (target.metadata, target.download_as_bytes()) == ({"rows": "1", "run": "r"}, b"hello")


def test_a_rewrite_with_metadata_replaces_it(bucket, blob):
    target = bucket.blob("b")
    target.metadata = {"new": "1"}
    target.rewrite(blob)
    assert (target.metadata, target.content_type) == ({"new": "1"}, None)


def test_a_storage_class_is_changed_by_a_rewrite_onto_itself(bucket, blob):
    blob.update_storage_class("NEARLINE")
    assert bucket.get_blob("a").storage_class == "NEARLINE"
    assert bucket.get_blob("a").metadata == {"rows": "1", "run": "r"}


def test_a_composed_object_is_its_parts_without_an_md5(bucket, blob):
    bucket.blob("b").upload_from_string(b" world")
    whole = bucket.blob("whole")
    whole.content_type = "text/plain"
    whole.compose([blob, bucket.blob("b"), blob])
    expected = b"hello worldhello"
    assert (whole.size, whole.md5_hash, whole.component_count, whole.content_type) == (16, None, 3, "text/plain")
    assert whole.crc32c == base64.b64encode(google_crc32c.Checksum(expected).digest()).decode()
    assert bucket.blob("whole").download_as_bytes() == expected
    again = bucket.blob("again")
    again.compose([whole, blob])
    assert again.component_count == 4


def test_a_composition_may_name_its_own_target(bucket, blob):
    blob.compose([blob, blob])
    assert bucket.blob("a").download_as_bytes() == b"hellohello"


def test_a_composition_of_nothing_or_too_much_or_the_absent_is_refused(bucket, blob):
    with pytest.raises(BadRequest):
        bucket.blob("x").compose([])
    with pytest.raises(BadRequest, match="exceeds the maximum"):
        bucket.blob("x").compose([blob] * 33)
    with pytest.raises(NotFound):
        bucket.blob("x").compose([blob, bucket.blob("absent")])
