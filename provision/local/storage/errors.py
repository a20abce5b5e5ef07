"""What the server refuses, in Cloud Storage's words: status, reason and text as the JSON API sends them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class StorageError(Exception):
    """A refusal that the client sees."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        status: HTTP status.
        reason: Google's machine-readable reason, e.g. "notFound".
        message: the sentence for people.
        location: (type, name) of the part of the request that is at fault, e.g. ("header", "If-Match").
        headers: response headers that belong to the refusal, e.g. Retry-After.
        """
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """Google's error body."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            detail["locationType"], detail["location"] = self.location
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


class BodyCut(Exception):
    """The connection ended before the request's body did: nobody is left to answer."""


def invalid(message: str, *, location: tuple[str, str] | None = None) -> StorageError:
    """400 for a value that breaks a rule."""
    return StorageError(HTTPStatus.BAD_REQUEST, "invalid", message, location=location)


def required(name: str) -> StorageError:
    """400 for a parameter or field that must be there."""
    return StorageError(HTTPStatus.BAD_REQUEST, "required", f"Required parameter: {name}", location=("parameter", name))


def bucket_not_found() -> StorageError:
    """404 for a bucket."""
    return StorageError(HTTPStatus.NOT_FOUND, "notFound", "The specified bucket does not exist.")


def object_not_found(bucket: str, name: str) -> StorageError:
    """404 for an object, or for a generation that is not the live one."""
    return StorageError(HTTPStatus.NOT_FOUND, "notFound", f"No such object: {bucket}/{name}")


def precondition_failed() -> StorageError:
    """412 for any ifGeneration... or ifMetageneration... that does not hold."""
    return StorageError(
        HTTPStatus.PRECONDITION_FAILED,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
        location=("header", "If-Match"),
    )


def not_modified() -> StorageError:
    """304 for a read whose ...NotMatch names what is there."""
    return StorageError(HTTPStatus.NOT_MODIFIED, "notModified", "Not modified")


def not_implemented(what: str) -> StorageError:
    """501 that names what is missing, so that nothing is ever silently left undone."""
    return StorageError(HTTPStatus.NOT_IMPLEMENTED, "notImplemented", f"The local Cloud Storage server does not implement {what}.")
