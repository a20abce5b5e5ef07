"""What the server refuses, in the form and the words of BigQuery."""

from __future__ import annotations

from typing import Any

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class BigQueryError(Exception):
    """A refusal that the client sees, as the answer to a call or as the result of a job."""

    def __init__(self, status: int, reason: str, message: str, *, location: str = "") -> None:
        """Args:
        status: HTTP status.
        reason: BigQuery's word, e.g. `notFound`; clients retry by it.
        message: the sentence for people.
        location: the part of the request that is wrong, if one is.
        """
        super().__init__(message)
        self.status, self.reason, self.message, self.location = status, reason, message, location

    def to_json(self) -> dict[str, Any]:
        """The error body of a call."""
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        body: dict[str, Any] = {"code": self.status, "message": self.message, "errors": [error]}
        if self.status in STATUS_NAMES:
            body["status"] = STATUS_NAMES[self.status]
        return {"error": body}

    def to_proto(self) -> dict[str, str]:
        """An ErrorProto, as job results carry it."""
        located = {"location": self.location} if self.location else {}
        return {"reason": self.reason, **located, "message": self.message}


def invalid(message: str, *, location: str = "") -> BigQueryError:
    """400."""
    return BigQueryError(400, "invalid", message, location=location)


def invalid_query(message: str) -> BigQueryError:
    """400 for SQL."""
    return BigQueryError(400, "invalidQuery", message, location="query")


def not_found(kind: str, name: str, *, place: str = "") -> BigQueryError:
    """404: `Not found: Table p:d.t`."""
    where = f" was not found in location {place}" if place else ""
    return BigQueryError(404, "notFound", f"Not found: {kind} {name}{where}", location=name)


def already_exists(kind: str, name: str) -> BigQueryError:
    """409: `Already Exists: Job p:US.j`."""
    return BigQueryError(409, "duplicate", f"Already Exists: {kind} {name}")


def not_implemented(what: str) -> BigQueryError:
    """501 that names what is missing, so that nothing is ever silently left undone."""
    return BigQueryError(501, "notImplemented", f"The local BigQuery server does not implement {what}.")


def refuse_unknown(body: dict[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse the first key of a request that the server would have to ignore.

    Raises:
        BigQueryError: 501 naming it.
    """
    for key, value in body.items():
        if key not in known and value not in (None, False, "", [], {}):
            raise not_implemented(f"{where}.{key}")
