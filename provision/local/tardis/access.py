"""Who may have what: the vendor's rules about keys, and the shape of its errors."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import date
from typing import Literal

KeyState = Literal["none", "good", "bad"]

_ERROR_CODES = {400: 1, 401: 5, 403: 7, 404: 2, 416: 9, 429: 6}
"""Numbers of our own: what the vendor sends is not known, only that `code` and `message` are there."""


def error_body(status: int, message: str) -> bytes:
    """The JSON text of an error."""
    return json.dumps({"code": _ERROR_CODES.get(status, 10), "message": message}).encode()


def key_state(headers: Mapping[str, str], api_key: str | None) -> KeyState:
    """Whether a request carries the right key.

    Args:
        headers: of the request; the key is in `Authorization: Bearer KEY`, and an empty one counts as none.
        api_key: the right one; None means that any key, and none, is good.
    """
    if api_key is None:
        return "good"
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    given = given.strip()
    if not given:
        return "none" if scheme in ("", "Bearer") else "bad"
    matches = scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), api_key.encode())
    return "good" if matches else "bad"


def refusal(state: KeyState, day: date, denied: bool) -> tuple[int, str] | None:
    """Status and message if a file of `day` is refused, else None.

    The first day of each month needs no key, but a wrong key is refused even there.
    """
    if state == "bad":
        return 401, "Invalid API key"
    if state == "none" and day.day != 1:
        return 401, "Missing API key: only the first day of each month is available without one"
    if denied:
        return 403, "Your plan does not include this data: exchange, data type or dates are outside of it"
    return None
