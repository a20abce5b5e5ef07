"""Regular expressions over messages, by the engine that Cloud Logging uses too: RE2.

Python's own would understand other expressions than the service does, and some of them, typed by mistake, would not end in hours.
RE2 takes time in proportion to the text; pyarrow, which the engine needs anyway, brings it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import UsageError
from provision.logs.entries import LogEntry


@dataclass(frozen=True, slots=True)
class Grep:
    """Which messages match an expression. An empty one lets everything through and loads nothing.

    Raises:
        UsageError: if RE2 does not take the expression (look-around and back-references among them).
    """

    expression: str = ""

    def __post_init__(self) -> None:
        self._match([""])

    def keep(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """The entries whose message matches somewhere, in their order."""
        found = self._match([entry.message.encode("utf-8", "replace").decode() for entry in entries])
        return [entry for entry, matched in zip(entries, found, strict=True) if matched]

    def _match(self, texts: list[str]) -> list[bool]:
        if not self.expression:
            return [True] * len(texts)
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            matched = pc.match_substring_regex(pa.array(texts, pa.string()), pattern=self.expression)
        except (pa.ArrowInvalid, UnicodeEncodeError) as error:
            why = str(error).removeprefix("Invalid regular expression: ")
            raise UsageError(
                f"{self.expression!r} is no regular expression of RE2: {why}",
                hint="a regular expression without look-around; escape special characters",
            ) from error
        return [bool(value) for value in matched.to_pylist()]
