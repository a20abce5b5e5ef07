"""Cutting secrets out of texts, in every spelling in which they travel: as they are, in JSON, in a URL, in base64, in hex.

Separate from the log because a secret may be spelled out anywhere; the log is only where everything passes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SHORTEST_FORM = 8
"""An encoded form of fewer characters would be found in innocent texts."""


class Redaction:
    """Cuts the same secrets out of any text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in spellings(secret)}
        # The longest first: a form may be a part of another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def clean(self, text: str) -> str:
        """The text with `REDACTED` in place of every secret."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text


def spellings(secret: str) -> frozenset[str]:
    """How a secret may appear in a text. In base64 it is found wherever in the encoded bytes it lies."""
    data = secret.encode("utf-8", "surrogatepass")
    encoded = {
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
        data.hex(),
        data.hex().upper(),
        *(_inner_base64(data, lead) for lead in range(3)),
    }
    encoded |= {form.replace("+", "-").replace("/", "_") for form in encoded if form}
    return frozenset({secret} | {form for form in encoded if len(form) >= SHORTEST_FORM})


def _inner_base64(data: bytes, lead: int) -> str:
    """The characters of base64 that depend on `data` alone when `lead` bytes (modulo 3) are before it."""
    text = base64.b64encode(bytes(lead) + data).decode()
    first = -(-lead * 8 // 6)
    last = (lead + len(data)) * 8 // 6
    return text[first:last]
