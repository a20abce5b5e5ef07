"""objects.list: prefixes, globs, offsets, pages and partial answers."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import BadRequest
from hypothesis import given
from hypothesis import strategies as st

from provision.local.storage.globs import compile_glob
from provision.local.storage.names import successor

NAMES = [
    "a.txt",
    "manifests/by_date/day-2023-05-23/data_type-trades/venue-binance/run-1.json",
    "manifests/by_date/day-2023-05-23/data_type-trades/venue-deribit/run-1.json",
    "manifests/by_date/day-2023-05-24/data_type-trades/venue-binance/run-1.json",
    "runs/r1/launch-1.json",
    "runs/r1/workers/vm-0.json",
    "runs/r1/workers/vm-1.json",
    "runs/r2/workers/vm-0.json",
    "z",
    "ü/é.txt",
]


@pytest.fixture
def filled(client, bucket):
    for name in reversed(NAMES):
        bucket.blob(name).upload_from_string(b"x")
    return client


def names(client, **query) -> list[str]:
    return [blob.name for blob in client.list_blobs("lake", **query)]


def test_a_bucket_lists_in_the_order_of_utf8_bytes(filled):
    assert names(filled) == sorted(NAMES, key=str.encode)


def test_a_prefix_lists_what_starts_with_it(filled):
    assert names(filled, prefix="runs/r1/") == NAMES[4:7]
    assert names(filled, prefix="ü") == ["ü/é.txt"]
    assert names(filled, prefix="none") == []


def test_a_delimiter_folds_what_is_below(filled):
    pages = filled.list_blobs("lake", delimiter="/")
    assert [blob.name for blob in pages] == ["a.txt", "z"]
    assert pages.prefixes == {"manifests/", "runs/", "ü/"}


def test_a_delimiter_below_a_prefix_folds_one_level(filled):
    pages = filled.list_blobs("lake", prefix="manifests/by_date/", delimiter="/")
    assert list(pages) == []
    assert pages.prefixes == {"manifests/by_date/day-2023-05-23/", "manifests/by_date/day-2023-05-24/"}
    pages = filled.list_blobs("lake", prefix="runs/r1/", delimiter="/")
    assert [blob.name for blob in pages] == ["runs/r1/launch-1.json"]
    assert pages.prefixes == {"runs/r1/workers/"}


def test_prefixes_fill_pages_like_items(filled, server):
    token, seen = "", []
    for _page in range(5):
        url = f"{server.url}/storage/v1/b/lake/o?delimiter=/&maxResults=1&pageToken={token}"
        page = filled._http.get(url).json()
        seen += page.get("prefixes", []) + [item["name"] for item in page.get("items", [])]
        token = page.get("nextPageToken")
    assert seen == ["a.txt", "manifests/", "runs/", "z", "ü/"]
    assert token is None


def test_offsets_bound_the_listing(filled):
    assert names(filled, start_offset="runs/r1/workers/vm-1.json", end_offset="z") == NAMES[6:8]
    assert names(filled, prefix="runs/", start_offset="runs/r1/x") == NAMES[7:8]
    assert names(filled, end_offset="a.txt") == []


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*", ["a.txt", "z"]),
        ("**", NAMES),
        ("runs/*/workers/*.json", NAMES[5:8]),
        ("runs/r1/**", NAMES[4:7]),
        ("**/vm-0.json", [NAMES[5], NAMES[7]]),
        ("runs/r?/workers/vm-[1-9].json", [NAMES[6]]),
        ("runs/r1/{launch,workers/vm}-1.json", [NAMES[4], NAMES[6]]),
        ("manifests/**/venue-{binance,okex}/*", [NAMES[1], NAMES[3]]),
        ("[!a-y]", ["z"]),
        ("runs*", []),
    ],
)
def test_a_glob_lists_what_matches(filled, glob, expected):
    assert names(filled, match_glob=glob) == expected


def test_a_malformed_glob_is_refused(filled):
    for glob in ("[a", "{a", "a\\"):
        with pytest.raises(BadRequest, match="Invalid glob"):
            names(filled, match_glob=glob)


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        (r"a\*b", "a*b", True), (r"a\*b", "axb", False), ("a[]]b", "a]b", True), ("a?b", "a/b", False),
        ("a[^x]b", "a/b", False), ("{a,{b,c}d}", "cd", True), ("a,b}", "a,b}", True), ("***", "a/b", True), ("a.c", "abc", False),
    ],
)  # fmt: skip
def test_a_glob_matches_by_its_language(glob, name, matches):
    assert compile_glob(glob).matches(name) is matches


def test_partial_answers_hold_what_was_asked_for(filled, server):
    bucket = filled.bucket("lake")
    bucket.blob("a.txt").upload_from_string(b"x")
    blob = bucket.get_blob("a.txt")
    blob.metadata = {"rows": "1", "run": "r"}
    blob.patch()

    def ask(fields: str) -> dict:
        return filled._http.get(f"{server.url}/storage/v1/b/lake/o?maxResults=1&fields={fields}").json()

    token = ask("nextPageToken")["nextPageToken"]
    assert ask("items(name,size),nextPageToken,prefixes") == {
        "items": [{"name": "a.txt", "size": "1"}],
        "nextPageToken": token,
    }
    assert ask("items/name") == {"items": [{"name": "a.txt"}]}
    assert ask("items(metadata/rows,name)") == {"items": [{"name": "a.txt", "metadata": {"rows": "1"}}]}
    assert ask("kind,items(metadata(run))") == {"kind": "storage#objects", "items": [{"metadata": {"run": "r"}}]}
    assert ask("*")["kind"] == "storage#objects"
    assert "error" in ask("items(name")


def test_the_client_reads_partial_items(filled):
    listed = filled.list_blobs("lake", prefix="z", fields="items(name,size),nextPageToken")
    assert [(blob.name, blob.size, blob.generation) for blob in listed] == [("z", 1, None)]


@pytest.fixture
def crowded(client, bucket, server):
    """2,500 objects, most of them put into the index directly: uploading them is another test's business."""
    bucket.blob("day-0000").upload_from_string(b"x")
    with sqlite3.connect(server.root / "index.sqlite") as index:
        columns = "metageneration, updated, size, crc32c, md5, components, storage_class, settings"
        index.executemany(
            f"INSERT INTO objects SELECT bucket, ?, generation + ?, {columns} FROM objects WHERE name = 'day-0000'",
            [(f"day-{number:04d}", number) for number in range(1, 2500)],
        )
    index.close()
    return client


def test_a_large_listing_comes_in_pages_of_a_thousand(crowded, server):
    pages = [[blob.name for blob in page] for page in crowded.list_blobs("lake").pages]
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [name for page in pages for name in page] == [f"day-{number:04d}" for number in range(2500)]
    assert server.counts()["objects.list"] == 3


def test_no_page_is_larger_than_a_thousand(crowded, server):
    page = crowded._http.get(f"{server.url}/storage/v1/b/lake/o?maxResults=5000").json()
    assert len(page["items"]) == 1000


def test_smaller_pages_hold_the_same(crowded):
    assert len(names(crowded, page_size=400)) == 2500
    assert names(crowded, page_size=400, max_results=450) == [f"day-{number:04d}" for number in range(450)]


def test_a_listing_that_ends_on_a_page_border_has_no_further_page(crowded, server):
    url = f"{server.url}/storage/v1/b/lake/o?endOffset=day-1000&maxResults=1000"
    assert "nextPageToken" not in crowded._http.get(url).json()


def test_deleting_while_listing_loses_no_other_object(crowded):
    bucket = crowded.bucket("lake")
    seen: list[str] = []
    for page in crowded.list_blobs("lake", page_size=700).pages:
        seen += [blob.name for blob in page]
        bucket.delete_blob(seen[-1])
        following = f"day-{int(seen[-1][-4:]) + 1:04d}"
        if following < "day-2500":
            # The very object that the next page was to begin with.
            bucket.delete_blob(following)
    assert len(seen) == 2500 - 3


def test_a_glob_over_many_objects_pages_by_matches(crowded):
    assert names(crowded, match_glob="day-??00", page_size=10) == [f"day-{number:02d}00" for number in range(25)]


def test_a_delimiter_over_many_objects_counts_each_prefix_once(crowded):
    pages = crowded.list_blobs("lake", delimiter="-")
    assert (list(pages), pages.prefixes) == ([], {"day-"})


def test_a_bad_page_token_is_refused(filled):
    with pytest.raises(BadRequest, match="pageToken"):
        names(filled, page_token="!!!")


def test_what_is_written_is_listed_at_once(client, bucket):
    def write_and_list(number: int) -> bool:
        bucket.blob(f"n/{number}").upload_from_string(b"x")
        return names(client, prefix=f"n/{number}")[:1] == [f"n/{number}"]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_list, range(100, 180)))


@given(st.text(min_size=1, max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_the_successor_bounds_exactly_what_starts_with_a_prefix(prefix, rest, other):
    above = successor(prefix)
    if above is None:
        assert set(prefix) == {"\U0010ffff"}
        return
    assert prefix + rest < above
    assert (prefix <= other < above) == other.startswith(prefix)
