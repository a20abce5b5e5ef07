"""Preconditions by generation, metageneration and etag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from provision.local.storage.calls import Call, Params
from provision.local.storage.errors import not_modified, precondition_failed


class Versioned(Protocol):
    """What has generations: an object. (A bucket has a metageneration only.)"""

    @property
    def generation(self) -> int: ...
    @property
    def metageneration(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a request demands of the live version of an object, or of a bucket."""

    generation_match: int | None = None
    """0 demands that there is no live version."""
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_params(cls, params: Params, prefix: str = "if") -> Preconditions:
        """Read them from the query: `prefix` is "if", or "ifSource" for the source of a copy."""
        not_match = params.get_int(f"{prefix}MetagenerationNotMatch")
        if not_match is None:
            # The official Python client spells it so when it uploads.
            not_match = params.get_int(f"{prefix}MetaGenerationNotMatch")
        return cls(
            params.get_int(f"{prefix}GenerationMatch"),
            params.get_int(f"{prefix}GenerationNotMatch"),
            params.get_int(f"{prefix}MetagenerationMatch"),
            not_match,
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Preconditions:
        """The inverse of `to_json`."""
        return cls(**stored)

    def to_json(self) -> dict[str, int | None]:
        """As a resumable session keeps them."""
        return asdict(self)

    def check_write(self, live: Versioned | None) -> None:
        """Refuse a change.

        Raises:
            StorageError: 412.
        """
        if not (self._matches(live) and self._differs(live)):
            raise precondition_failed()

    def check_read(self, live: Versioned) -> None:
        """Refuse a read.

        Raises:
            StorageError: 412, or 304 if what the reader already has is what there is.
        """
        if not self._matches(live):
            raise precondition_failed()
        if not self._differs(live):
            raise not_modified()

    def check_bucket(self, metageneration: int, *, reading: bool) -> None:
        """Refuse a request on a bucket, by metageneration.

        Raises:
            StorageError: 412, or 304 for a read.
        """
        if self.metageneration_match not in {None, metageneration}:
            raise precondition_failed()
        if self.metageneration_not_match == metageneration:
            raise not_modified() if reading else precondition_failed()

    def _matches(self, live: Versioned | None) -> bool:
        generation = live.generation if live else 0
        metageneration = live.metageneration if live else 0
        return self.generation_match in {None, generation} and self.metageneration_match in {None, metageneration}

    def _differs(self, live: Versioned | None) -> bool:
        if live is None:
            return self.generation_not_match != 0
        return self.generation_not_match != live.generation and self.metageneration_not_match != live.metageneration


def check_etag_headers(call: Call, etag: str) -> None:
    """Apply If-Match and If-None-Match to a read.

    Raises:
        StorageError: 412 or 304.
    """
    wanted = _etags(call.headers.get("If-Match"))
    if wanted and etag not in wanted and "*" not in wanted:
        raise precondition_failed()
    known = _etags(call.headers.get("If-None-Match"))
    if etag in known or "*" in known:
        raise not_modified()


def _etags(header: str | None) -> set[str]:
    return {part.strip().strip('"') for part in header.split(",")} if header else set()
