"""Preconditions on every verb, and who wins when several writers demand the same generation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Barrier

import pytest
from google.api_core.exceptions import NotFound, NotModified, PreconditionFailed

WRONG = 12345


@pytest.fixture
def blob(bucket):
    blob = bucket.blob("a")
    blob.upload_from_string(b"first")
    return blob


def put_media(blob, **conditions):
    client = blob.client
    names = {
        "if_generation_match": "ifGenerationMatch", "if_generation_not_match": "ifGenerationNotMatch",
        "if_metageneration_match": "ifMetagenerationMatch", "if_metageneration_not_match": "ifMetagenerationNotMatch",
    }  # fmt: skip
    query = "&".join(f"{names[key]}={value}" for key, value in conditions.items())
    url = f"{client._connection.API_BASE_URL}/upload/storage/v1/b/lake/o?uploadType=media&name={blob.name}&{query}"
    answer = client._http.post(url, data=b"media")
    if answer.status_code == 412:
        raise PreconditionFailed(answer.text)
    assert answer.status_code == 200, answer.text


def put_multipart(blob, **conditions):
    blob.upload_from_string(b"multipart", **conditions)


def put_resumable(blob, **conditions):
    blob.chunk_size = 256 * 1024
    blob.upload_from_file(BytesIO(b"resumable"), **conditions)


UPLOADS = pytest.mark.parametrize("upload", [put_media, put_multipart, put_resumable])


@UPLOADS
def test_a_second_writer_of_the_same_file_commits_nothing(bucket, upload):
    upload(bucket.blob("new"), if_generation_match=0)
    committed = bucket.get_blob("new").generation
    with pytest.raises(PreconditionFailed):
        upload(bucket.blob("new"), if_generation_match=0)
    assert bucket.get_blob("new").generation == committed


@UPLOADS
def test_compare_and_swap_goes_by_the_live_generation(bucket, blob, upload):
    before = blob.generation
    upload(bucket.blob("a"), if_generation_match=before)
    with pytest.raises(PreconditionFailed):
        upload(bucket.blob("a"), if_generation_match=before)


@UPLOADS
@pytest.mark.parametrize(
    "condition",
    [
        {"if_generation_match": WRONG},
        {"if_metageneration_match": WRONG},
        {"if_metageneration_not_match": 1},
    ],
)
def test_an_upload_whose_condition_fails_leaves_the_object_alone(bucket, blob, upload, condition):
    with pytest.raises(PreconditionFailed):
        upload(bucket.blob("a"), **condition)
    assert bucket.blob("a").download_as_bytes() == b"first"


@UPLOADS
def test_an_upload_may_demand_that_something_else_is_there(bucket, blob, upload):
    with pytest.raises(PreconditionFailed):
        upload(bucket.blob("a"), if_generation_not_match=blob.generation)
    with pytest.raises(PreconditionFailed):
        upload(bucket.blob("absent"), if_generation_not_match=0)
    upload(bucket.blob("a"), if_generation_not_match=WRONG)


@pytest.mark.parametrize("condition", [{"if_generation_match": WRONG}, {"if_metageneration_match": WRONG}])
@pytest.mark.parametrize("verb", ["reload", "download_as_bytes", "patch", "update", "delete"])
def test_every_verb_on_an_object_refuses_a_failed_match(blob, verb, condition):
    with pytest.raises(PreconditionFailed):
        getattr(blob, verb)(**condition)
    assert blob.exists()


def test_the_refusal_is_googles(server, blob):
    answer = server.wire.delete(f"{server.url}/storage/v1/b/lake/o/a?ifGenerationMatch=1")
    assert answer.status_code == 412
    text = "At least one of the pre-conditions you specified did not hold."
    detail = {
        "message": text, "domain": "global", "reason": "conditionNotMet", "locationType": "header", "location": "If-Match",
    }  # fmt: skip
    assert answer.json() == {"error": {"code": 412, "message": text, "errors": [detail]}}


def test_a_read_of_what_the_reader_has_is_not_modified(blob):
    with pytest.raises(NotModified):
        blob.reload(if_generation_not_match=blob.generation)
    with pytest.raises(NotModified):
        blob.download_as_bytes(if_generation_not_match=blob.generation)
    with pytest.raises(NotModified):
        blob.reload(if_metageneration_not_match=1)
    with pytest.raises(NotModified):
        blob.reload(if_etag_not_match=blob.etag)
    blob.reload(if_generation_not_match=WRONG)


def test_a_read_by_etag_demands_that_etag(blob):
    blob.reload(if_etag_match=blob.etag)
    with pytest.raises(PreconditionFailed):
        blob.reload(if_etag_match="other")


def test_writes_refuse_a_failed_not_match(blob):
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_not_match=blob.generation)
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_not_match=1)


def test_an_older_generation_is_not_found(bucket, blob):
    before = blob.generation
    bucket.blob("a").upload_from_string(b"second")
    with pytest.raises(NotFound):
        bucket.blob("a", generation=before).download_as_bytes()
    with pytest.raises(NotFound):
        bucket.delete_blob("a", generation=before)


def test_copies_check_their_source_and_their_destination(bucket, blob):
    bucket.blob("b").upload_from_string(b"there")
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(blob, bucket, "b", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(blob, bucket, "c", if_source_generation_match=WRONG)
    with pytest.raises(PreconditionFailed):
        bucket.blob("b").rewrite(blob, if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("c").rewrite(blob, if_source_metageneration_match=WRONG)
    with pytest.raises(PreconditionFailed):
        bucket.blob("b").compose([blob], if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("c").compose([blob], if_source_generation_match=[WRONG])
    bucket.copy_blob(blob, bucket, "c", if_generation_match=0, if_source_generation_match=blob.generation)


@UPLOADS
def test_of_simultaneous_creators_exactly_one_wins(bucket, upload):
    writers = 12
    for round_number in range(3):
        barrier = Barrier(writers)

        def create(_writer: int, barrier=barrier, name=f"race-{round_number}") -> bool:
            blob = bucket.blob(name)
            barrier.wait()
            try:
                upload(blob, if_generation_match=0)
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(writers) as pool:
            assert sum(pool.map(create, range(writers))) == 1


def test_of_simultaneous_swappers_none_is_lost(bucket):
    """Each adds one to a counter by compare-and-swap, again and again until it holds."""
    bucket.blob("counter").upload_from_string(b"0")

    def add_one(_writer: int) -> None:
        while True:
            blob = bucket.get_blob("counter")
            try:
                value = int(blob.download_as_bytes(if_generation_match=blob.generation))
                blob.upload_from_string(str(value + 1), if_generation_match=blob.generation)
            except (PreconditionFailed, NotFound):
                continue
            return

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add_one, range(18)))
    assert bucket.blob("counter").download_as_bytes() == b"18"
