"""Decompression against the standard library, and everything that can be wrong with a gzip."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tracemalloc
import zlib
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conversion.gzip_members import GzipError, GzipFlaw, GzipMembers
from tests.engine.conversion.tardis_csv import Reads, packed, trailer

TEXT = b"".join(b"%d,%d\n" % (index, index * index) for index in range(3_000))


def inflate(body: bytes, *, most: int = 1 << 20, read_bytes: int = 4096, chunk_bytes: int = 4096) -> tuple[bytes, GzipMembers]:
    """Content, and who gave it. The quicker library comes to the same, or refuses."""
    exact, quick = (
        GzipMembers(Reads(body, most).read, read_bytes=read_bytes, chunk_bytes=chunk_bytes, quick=quick) for quick in (False, True)
    )
    found: bytes | None = None
    with suppress(GzipError):
        found = b"".join(quick)
    content = b"".join(exact)
    assert found in (None, content)
    assert found is None or quick.fingerprint == exact.fingerprint
    return content, exact


def flaw_of(body: bytes, *, most: int = 1 << 20) -> GzipFlaw:
    with pytest.raises(GzipError) as caught:
        inflate(body, most=most)
    with pytest.raises(GzipError):
        b"".join(GzipMembers(Reads(body, most).read, read_bytes=4096, chunk_bytes=4096, quick=True))
    return caught.value.flaw


@given(
    data=st.binary(max_size=3_000),
    cuts=st.lists(st.integers(0, 3_000), max_size=5),
    most=st.integers(1, 64),
    read_bytes=st.integers(1, 5_000),
    chunk_bytes=st.integers(1, 5_000),
    padding=st.integers(0, 700),
)
@settings(max_examples=150)
def test_it_gives_what_the_standard_library_gives_however_short_the_reads(
    data: bytes, cuts: list[int], most: int, read_bytes: int, chunk_bytes: int, padding: int
) -> None:
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    body = packed(data, cuts=cuts) + b"\0" * padding
    content, members = inflate(body, most=most, read_bytes=read_bytes, chunk_bytes=chunk_bytes)
    assert content == data == gzip.decompress(body)
    assert members.fingerprint is not None
    assert members.fingerprint.members == tuple(trailer(data[start:end]) for start, end in pairwise([0, *cuts, len(data)]))
    assert members.fingerprint.length == members.source_bytes == len(body)
    assert members.inflated_bytes == len(data)


def test_the_fingerprint_exists_only_after_a_sound_end() -> None:
    members = GzipMembers(io.BytesIO(packed(TEXT)).read, read_bytes=512, chunk_bytes=512)
    next(members)
    assert members.fingerprint is None
    for _ in members:
        pass
    assert members.fingerprint is not None


def test_optional_header_fields_are_skipped() -> None:
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = raw.compress(TEXT) + raw.flush()
    flags = 0x02 | 0x04 | 0x08 | 0x10
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff" + struct.pack("<H", 5) + b"extra" + b"name.csv\0" + b"comment\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    body = head + deflated + struct.pack("<II", *trailer(TEXT))
    for most in (1, 7, 4096):
        content, members = inflate(body, most=most)
        assert content == TEXT
        assert members.fingerprint is not None
        assert members.fingerprint.members == (trailer(TEXT),)


def test_an_empty_gzip_is_sound_and_has_no_bytes() -> None:
    content, members = inflate(gzip.compress(b"", mtime=0))
    assert content == b""
    assert members.fingerprint is not None
    assert members.fingerprint.members == ((0, 0),)


@pytest.mark.parametrize("most", [1, 3, 4096])
def test_a_stream_cut_anywhere_inside_a_member_is_truncated(most: int) -> None:
    body = packed(TEXT[:400], cuts=[200])
    first = len(packed(TEXT[:200]))
    for length in range(1, len(body)):
        if length == first:
            assert inflate(body[:length])[0] == TEXT[:200]  # only its announced length can tell
        else:
            assert flaw_of(body[:length], most=most) is GzipFlaw.TRUNCATED, length


def test_a_body_without_bytes_is_not_an_empty_gzip() -> None:
    assert flaw_of(b"") is GzipFlaw.ZERO_BYTES


@pytest.mark.parametrize("most", [1, 4096])
@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><html><body>502</body></html>", b"\n  <html>", b"\xef\xbb\xbf<?xml version='1.0'?>", b"<"]
)
def test_a_web_page_is_named_as_one(body: bytes, most: int) -> None:
    assert flaw_of(body, most=most) is GzipFlaw.HTML_BODY


@pytest.mark.parametrize("body", [b'{"code":100,"message":"no"}', b"exchange,symbol\n", b"\x1f\x00", b"\0" * 20, b"x"])
def test_anything_else_is_no_gzip(body: bytes) -> None:
    assert flaw_of(body) is GzipFlaw.NOT_GZIP


@pytest.mark.parametrize("most", [1, 5, 4096])
@pytest.mark.parametrize("tail", [b"x", b"\x1f\x8c", b"\0\0\0x", b"\0" * 5000 + b"\x1f\x8b", b"<html>"])
def test_garbage_after_the_last_member_is_refused(tail: bytes, most: int) -> None:
    assert flaw_of(packed(TEXT) + tail, most=most) is GzipFlaw.TRAILING_GARBAGE


def test_a_wrong_checksum_or_length_is_found_in_every_member() -> None:
    first, second = packed(TEXT[:500]), packed(TEXT[500:])
    for position in (-8, -5, -4, -1):
        for member, others in ((first, second), (second, b"")):
            broken = bytearray(member)
            broken[position] ^= 0x10
            before = first if member is second else b""
            assert flaw_of(before + bytes(broken) + others) is GzipFlaw.BAD_CHECKSUM


def test_a_flipped_bit_gives_the_same_bytes_or_an_error() -> None:
    body = packed(TEXT, cuts=[4_000])
    chosen = random.Random(7).sample(range(len(body) * 8), 600)
    refused = 0
    for bit in [*range(80), *chosen]:
        broken = bytearray(body)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            content, _ = inflate(bytes(broken))
        except GzipError:
            refused += 1
        else:
            assert content == TEXT, bit
    assert refused > 500


def test_no_chunk_and_no_buffer_grows_with_the_compression_ratio() -> None:
    body = gzip.compress(b"\0" * 64_000_000, 9, mtime=0)
    assert len(body) < 100_000
    members = GzipMembers(io.BytesIO(body).read, read_bytes=65_536, chunk_bytes=65_536)
    tracemalloc.start()
    try:
        longest = max(len(chunk) for chunk in members)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert longest <= 65_536
    assert peak < 1_000_000
    assert members.inflated_bytes == 64_000_000


def member(text: bytes, flags: int) -> bytes:
    """A gzip member whose header has these flags, and what they announce."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"
    head += b"\3\0abc" if flags & 4 else b""
    head += b"name\0" if flags & 8 else b""
    head += b"comment\0" if flags & 16 else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if flags & 2 else b""
    return head + deflate.compress(text) + deflate.flush() + struct.pack("<II", *trailer(text))


members_of_any_kind = st.lists(
    st.tuples(st.sampled_from([b"", b"a,b\n", TEXT[:500], TEXT]), st.sampled_from([0, 0, 8, 1, 2, 4, 16, 30, 32, 224])),
    min_size=1,
    max_size=3,
)


@given(made=members_of_any_kind, data=st.data(), most=st.sampled_from([1, 7, 64, 1 << 20]), chunk_bytes=st.sampled_from([3, 64, 1 << 20]))
@settings(max_examples=300)
def test_the_quicker_library_never_takes_what_the_exact_one_refuses(
    made: list[tuple[bytes, int]], data: st.DataObject, most: int, chunk_bytes: int
) -> None:
    body = bytearray(b"".join(member(text, flags) for text, flags in made))
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not body:
            return
    with suppress(GzipError):
        inflate(bytes(body), most=most, chunk_bytes=chunk_bytes)
        return
    with pytest.raises(GzipError):
        b"".join(GzipMembers(Reads(bytes(body), most).read, read_bytes=4096, chunk_bytes=chunk_bytes, quick=True))


@pytest.mark.parametrize("flags", [32, 64, 128, 224])
def test_a_header_with_flags_that_do_not_exist_is_refused(flags: int) -> None:
    assert flaw_of(member(TEXT, flags)) is GzipFlaw.CORRUPT
    assert flaw_of(member(TEXT, 0) + member(TEXT, flags)) is GzipFlaw.CORRUPT
