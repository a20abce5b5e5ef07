"""Secrets are cut out of texts in every spelling, and a log that cannot be stored stays in bounds."""

from __future__ import annotations

import base64
import io
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.logbook import Logbook
from engine.redaction import REDACTED, Redaction, spellings

KEY = 'TD.secret/with+odd "chars" \\ & ünïcode'


@pytest.mark.parametrize(
    "spelt",
    [
        KEY,
        json.dumps({"key": KEY}),
        json.dumps({"key": KEY}, ensure_ascii=False),
        repr({"key": KEY}),
        f"https://host/?key={quote(KEY, safe='')}&x=1",
        f"https://host/?{quote_plus(KEY)}",
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.b64encode(f"u:{KEY}x".encode()).decode(),
        base64.urlsafe_b64encode(f"us:{KEY}:y".encode()).decode().rstrip("="),
        KEY.encode().hex(),
    ],
)
def test_no_spelling_gets_through(spelt: str) -> None:
    cleaned = Redaction([KEY]).clean(f"before {spelt} after")
    assert REDACTED in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert not any(form in cleaned for form in spellings(KEY))
    assert "secret" not in cleaned


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_base64_hides_a_secret_nowhere(secret: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()
    cleaned = Redaction([secret]).clean(text)
    assert REDACTED in cleaned
    left = cleaned.split(REDACTED)
    assert sum(map(len, left)) <= len(text) - len(secret)


@given(st.text(max_size=60))
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert Redaction(["TD.not-in-any-text-of-this-test"]).clean(text) == text
    assert Redaction([""]).clean(text) == text


def test_a_log_line_with_the_key_stays_json_everywhere() -> None:
    stream, errors = io.StringIO(), []
    logbook = Logbook(stream=stream, secrets=(KEY,), context={"header": KEY})
    logbook.on_error(errors.append)
    logbook.error("e", f"said {KEY}", url=f"https://h/?k={quote(KEY, safe='')}", auth=base64.b64encode(KEY.encode()).decode())
    (line,) = logbook.take_lines()
    for text in (line, stream.getvalue()):
        assert "secret" not in text
        entry = json.loads(text)
        assert (entry["message"], entry["header"], entry["url"]) == (f"said {REDACTED}", REDACTED, f"https://h/?k={REDACTED}")
        assert REDACTED in entry["auth"]
    assert errors == [f"said {REDACTED}"]


def test_lines_that_cannot_be_stored_stay_in_bounds_debug_goes_first_and_the_loss_is_told() -> None:
    logbook = Logbook(stream=io.StringIO(), minimum="CRITICAL", kept_bytes=20_000)
    for number in range(2_000):
        severity = "ERROR" if number % 100 == 0 else "INFO" if number % 10 == 0 else "DEBUG"
        logbook.event(severity, "e", f"{number}")
        assert logbook._bytes <= 20_000
    lines = logbook.take_lines()
    entries = [json.loads(line) for line in lines]
    *kept, report = entries
    assert report["event"] == "log_lines_dropped"
    assert sum(map(len, lines)) < 21_000
    assert [entry["message"] for entry in kept if entry["severity"] == "ERROR"] == [f"{number}" for number in range(0, 2_000, 100)]
    assert len(kept) + sum(report["dropped"].values()) == 2_000
    assert report["dropped"]["DEBUG"] >= 1_600
    logbook.put_back(lines)
    assert logbook.take_lines() == lines
    assert logbook.take_lines() == []
