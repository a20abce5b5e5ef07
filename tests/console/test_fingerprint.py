"""Fingerprints: what differs from file to file does not count, what is said does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.fingerprint import LONGEST, NAMED_FIELDS, cause_id, fingerprint

LOWER = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8)
VENUES = st.sampled_from(["binance", "okex-swap", "deribit", "bybit-spot"])
DIGITS = st.integers(0, 10**9)
HEX = st.text("0123456789abcdef", min_size=8, max_size=8).filter(
    lambda text: any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
)


def build(pattern: str, **parts: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(parts).map(lambda drawn: pattern.format(**drawn))


VARIABLES: dict[str, st.SearchStrategy[str]] = {
    "a number": DIGITS.map(str),
    "a number with thousands": DIGITS.map("{:,}".format),
    "a decimal": st.floats(0, 1e6).map("{:.2f}".format),
    "a size": build("{n} {unit}", n=st.integers(0, 999), unit=st.sampled_from(["B", "kB", "MB", "GiB", "MB/s"])),
    "a time span": build("{n}{unit}", n=st.integers(0, 999), unit=st.sampled_from(["s", "ms", "m", "h", " s", " seconds"])),
    "a day": st.dates().map(str),
    "a time": st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}Z" if moment.year > 999 else "2024-05-01T00:00:00Z"),
    "a clock time": st.times().map("{:%H:%M:%S.%f}".format),
    "a symbol": st.sampled_from(
        ["BTCUSDT", "ETH-USDT-SWAP", "BTC-29MAR24-60000-C", "1000SHIBUSDT", "BTC_USDT", "ETH-PERPETUAL", "BTC/USDT", "DOGEUSD_240628"]
    ),
    "an id": HEX,
    "a UUID": st.uuids().map(str),
    "a hexadecimal number": DIGITS.map(hex),
    "an IPv4 address": st.ip_addresses(v=4).map(str),
    "an IPv4 address with a port": build("{address}:{port}", address=st.ip_addresses(v=4), port=st.integers(1, 65535)),
    "an IPv6 address": st.ip_addresses(v=6).map(lambda address: address.exploded),
    "a host and port": build("{host}.internal:{port}", host=LOWER, port=st.integers(1, 65535)),
    "a mail address": build("{who}@{host}.iam.gserviceaccount.com", who=LOWER, host=LOWER),
    "a URL": build("https://{host}.dev/v1/{path}/2024/05/02?x={n}", host=LOWER, path=LOWER, n=DIGITS),
    "a bucket's address": build("gs://{bucket}/{path}/x.parquet", bucket=LOWER, path=LOWER),
    "an absolute path": build("/{one}/{two}.parquet", one=LOWER, two=LOWER),
    "an object name": build("raw/day-{n}/venue-{two}/X.parquet", n=DIGITS, two=LOWER),
    "quoted text": build("'{one} {two}'", one=LOWER, two=LOWER),
    "text in double quotes": build('"{one} {two}"', one=LOWER, two=LOWER),
    "a VM": build("market-data-shard-r{n}k-{m}", n=st.integers(0, 9), m=st.integers(0, 99)),
}


@pytest.mark.parametrize("kind", VARIABLES)
@given(data=st.data())
@settings(max_examples=25)
def test_the_same_message_about_another_thing_has_the_same_fingerprint(kind: str, data: st.DataObject) -> None:
    one, other = data.draw(VARIABLES[kind]), data.draw(VARIABLES[kind])
    shape: Callable[[str], str] = "gave up on {} because it is bad".format
    assert fingerprint(shape(one)) == fingerprint(shape(other))
    assert "gave up on" in fingerprint(shape(one))
    assert "because it is bad" in fingerprint(shape(one))


@given(st.lists(LOWER, min_size=1, max_size=6), st.lists(LOWER, min_size=1, max_size=6))
def test_other_words_make_another_fingerprint(one: list[str], other: list[str]) -> None:
    assert (fingerprint(" ".join(one)) == fingerprint(" ".join(other))) == (one == other)


@given(st.text(max_size=2 * LONGEST))
def test_any_text_has_one_and_the_fingerprint_of_it_is_itself(text: str) -> None:
    once = fingerprint(text)
    assert "\n" not in once
    assert fingerprint(once) == once


@given(st.sampled_from(NAMED_FIELDS), VENUES, VENUES)
def test_what_the_line_names_in_its_fields_does_not_count(name: str, one: str, other: str) -> None:
    text = "no list of symbols for {} yet"
    assert fingerprint(text.format(one), {name: one}) == fingerprint(text.format(other), {name: other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gave up after 6 attempts: HTTP 502", "gave up after 6 attempts: HTTP 404"),
        ("the worker ended with exit 78", "the worker ended with exit 75"),
        ("503 service unavailable", "429 service unavailable"),
        ("PERMISSION_DENIED: no", "RESOURCE_EXHAUSTED: no"),
        ("connection reset", "connection refused"),
        ("first line\nsecond", "other line\nsecond"),
    ],
)
def test_numbers_and_constants_that_are_names_do_count(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_only_the_first_line_counts_and_no_apostrophe_is_a_quote() -> None:
    assert fingerprint("boom\nTraceback 1") == fingerprint("boom\nTraceback 2") == "boom"
    assert fingerprint("don't panic, it can't be") == "don't panic, it can't be"


def test_an_id_of_a_cause_is_short_and_different_for_different_fingerprints() -> None:
    ids = {cause_id(f"cause {letter}") for letter in "abcdefghijklmnopqrstuvwxyz"}
    assert len(ids) == 26
    assert {len(each) for each in ids} == {6}
