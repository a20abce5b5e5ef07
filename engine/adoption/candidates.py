"""An object that may be adopted, and the judgement on it: by our metadata, by its footer, by all its rows.

Separate from `engine.adoption.adopting`, which decides what to look at and records what is found. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from engine.adoption.content_check import check_content
from engine.adoption.footer_check import AdoptedFlag, FooterFacts, check_footer
from engine.adoption.refusal import Reason, Refused
from engine.commit import entry_of
from engine.conversion.outcome import Reason as ContentReason
from engine.datatypes import DATA_TYPES
from engine.manifest import Entry
from engine.model import File, Outcome
from engine.parquet_footer import FooterFlaw, FooterReader
from engine.paths import data_object
from engine.store import ObjectInfo, Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object, and the file that its name stands for."""

    file: File
    info: ObjectInfo

    @property
    def place(self) -> str:
        """What a manifest says of where it lies: nothing where that is the usual place."""
        return "" if self.info.name == data_object(self.file) else self.info.name


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with its entry, or why it has none."""

    candidate: Candidate
    entry: Entry | None = None
    refused: Refused | None = None
    facts: FooterFacts | None = None
    """What the footer says, where it was read and is sound."""
    is_naive: bool = False
    """Whether its times have no zone."""
    is_verified: bool = False
    bytes_read: int = 0
    """Of the object as a whole; the footer's are with its reader."""


def judge(footers: FooterReader, candidate: Candidate) -> Judged:
    """By our own metadata where the object has it, else by its footer."""
    file, info = candidate.file, candidate.info
    entry = None if candidate.place else _entry_by_metadata(candidate)
    if entry is not None:
        return Judged(candidate, entry, facts=FooterFacts(entry.rows, entry.first_us, entry.last_us))
    data_type = DATA_TYPES.get(file.cell.data_type)
    if data_type is None:
        return Judged(candidate, refused=Refused(Reason.UNKNOWN_DATA_TYPE, f"{file.cell.data_type} has no columns here"))
    try:
        footer = footers.read(info, data_type.name)
    except FooterFlaw as flaw:
        return Judged(candidate, refused=Refused(Reason.UNREADABLE, str(flaw)))
    local = footer.columns.get("local_timestamp")
    is_naive = local is not None and bool(local.ticks) and not local.is_utc
    try:
        facts = check_footer(footer, data_type, file)
    except Refused as refused:
        return Judged(candidate, refused=refused, is_naive=is_naive)
    entry = Entry(
        symbol=file.symbol,
        outcome=Outcome.OK if facts.rows else Outcome.EMPTY,
        reason="" if facts.rows else ContentReason.HEADER_ONLY.value,
        detail=f"without {', '.join(facts.lacks)}" if facts.lacks else "",
        rows=facts.rows,
        object_bytes=info.size,
        generation=info.generation,
        crc32c=info.crc32c,
        object=candidate.place,
        first_us=facts.first_us,
        last_us=facts.last_us,
        flags=tuple(flag.value for flag in facts.flags),
    )
    return Judged(candidate, entry, facts=facts, is_naive=is_naive)


def _entry_by_metadata(candidate: Candidate) -> Entry | None:
    """What our own metadata says; None where it is not there, or was changed into something else."""
    try:
        return entry_of(candidate.file, candidate.info)
    except (KeyError, ValueError):
        return None


def read_whole(data: Store, item: Judged) -> Judged:
    """Judge again, by all rows. What is refused already stays so."""
    file, info = item.candidate.file, item.candidate.info
    before, facts = item.entry, item.facts
    if before is None or facts is None:
        return item
    found = data.get(info.name)
    item = replace(item, is_verified=True, bytes_read=len(found.data) if found is not None else 0)
    try:
        if found is None or found.generation != info.generation:
            raise Refused(Reason.UNREADABLE, "it is not there any more, or was overwritten meanwhile")
        content = check_content(found.data, info, facts, file)
    except Refused as refused:
        return replace(item, entry=None, refused=refused)
    if content is None:
        return item
    entry = msgspec.structs.replace(
        before,
        first_us=content.first_us,
        last_us=content.last_us,
        covered_minutes=content.covered_minutes,
        flags=tuple(flag for flag in before.flags if flag != AdoptedFlag.BOUNDS_UNKNOWN),
    )
    return replace(item, entry=entry)


def doubt_naive(judged: Sequence[Judged]) -> list[Judged]:
    """Refuse times without a zone in a cell where others of the kind lie outside of the day.

    Whoever shifted those shifted all of them; only a quiet file's rows still happen to lie within the day.
    """
    shifted = {
        item.candidate.file.cell
        for item in judged
        if item.is_naive and item.refused is not None and item.refused.reason is Reason.WRONG_DAY
    }
    detail = "its times have no zone, and those of others of this cell are not on that day"
    return [
        replace(item, entry=None, refused=Refused(Reason.WRONG_DAY, detail))
        if item.is_naive and item.entry is not None and item.entry.rows and item.candidate.file.cell in shifted
        else item
        for item in judged
    ]
