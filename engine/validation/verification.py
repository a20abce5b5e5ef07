"""Verifications: what a comparison of a cell's objects with its manifests found. One document a cell, overwritten each time.

Separate from `engine.validation.comparing`, which compares: coverage and the planner only read what was found, nearly always out of one
listing, because the custom metadata carries the proofs and the findings while they fit. A finding speaks of one object at one
generation: as soon as a manifest records a newer object of that file, the finding is history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from enum import StrEnum

import msgspec

from engine.clock import format_time, parse_time
from engine.documents import JSON, Moment, decode, encode, hash_symbols
from engine.errors import ConfigurationError, UsageError
from engine.manifest import MANY, METADATA_VALUE_LIMIT, Record
from engine.model import Cell, Outcome
from engine.paths import parse_verification_object, verification_object
from engine.store import ObjectInfo, Store

OPEN_IN_PARALLEL = 8
"""Documents read at a time whose findings did not fit into their metadata."""


class Depth(StrEnum):
    """How closely objects are looked at. Each depth includes those before it."""

    LISTING = "listing"
    """Objects as listings show them: there, size, CRC-32C, generation, metadata. No object is read."""
    FOOTER = "footer"
    """Also the Parquet footer, by range: rows, bounds and identity."""
    CONTENT = "content"
    """Also all bytes and all rows."""
    SOURCE = "source"
    """Also the file at the source, fetched again: the same fingerprint."""

    def includes(self, other: Depth) -> bool:
        """Whether who looks at this depth also looks at the other."""
        return _DEPTHS.index(self) >= _DEPTHS.index(other)


_DEPTHS = tuple(Depth)


class Kind(StrEnum):
    """What is wrong. The codes are stored: never rename one."""

    MISSING = "missing"
    """The object is gone: deleted since it was committed."""
    ALTERED = "altered"
    """Other bytes stand under its name: another size or CRC-32C."""
    METADATA = "metadata"
    """The bytes are right, but the object's metadata says something else than the manifest, or nothing."""
    FOOTER = "footer"
    """The Parquet footer says something else than the manifest, or cannot be read."""
    CONTENT = "content"
    """The rows are not what the manifest says, or cannot be read."""
    MANIFEST = "manifest"
    """A manifest cannot be read, speaks of another cell, or says something else than its metadata."""
    SOURCE_CHANGED = "source_changed"
    """The source serves another file by now, or none. What is committed is kept."""


DAMAGE = frozenset({Kind.ALTERED, Kind.METADATA, Kind.FOOTER, Kind.CONTENT})
"""Findings after which a file counts as failed. What stands under its name is never overwritten: a person has to look."""

TURNS_BACK = DAMAGE | {Kind.MISSING, Kind.MANIFEST}
"""Findings after which a cell is not what its manifests say."""


FOUND_WORDS = {
    Kind.MISSING: "deleted from the bucket",
    Kind.ALTERED: "altered in the bucket",
    Kind.METADATA: "with altered metadata",
    Kind.FOOTER: "with a wrong Parquet footer",
    Kind.CONTENT: "with wrong content",
    Kind.MANIFEST: "manifests not to be trusted",
    Kind.SOURCE_CHANGED: "changed at the source since",
}
"""What a verification found, for people, behind a number of files."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong."""

    kind: Kind
    symbol: str = ""
    """Empty where it is about the cell's manifests."""
    generation: int = 0
    """Newest generation of the data object that it is about: a newer one in a manifest ends the finding."""
    detail: str = ""
    """One line for a person; not in listings."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What the last comparison of a cell found, and what earlier ones proved that still holds."""

    schema: int = 1
    day: date
    data_type: str
    venue: str
    at: Moment
    """When its objects were last compared with its manifests."""
    depth: Depth
    """How closely they were looked at then."""
    objects: int
    """Objects that were compared then."""
    inside: int = 0
    """Of `objects`: those that were also looked into."""
    manifests: str
    """Stands for the set of manifests that were read (`identify_manifests`)."""
    contents: str = ""
    """Stands for the objects that the manifests name, with generation and checksum: what a deeper proof was about."""
    proofs: dict[Depth, Moment] = {}
    """Depth -> when all objects of the cell were last found right at it. Empty where something is wrong."""
    findings: tuple[Finding, ...] = ()
    orphans: tuple[str, ...] = ()
    """Objects in the cell's folder that no manifest mentions."""

    @property
    def cell(self) -> Cell:
        """The cell it speaks of."""
        return Cell(self.day, self.data_type, self.venue)

    @property
    def damaged(self) -> bool:
        """Whether something was found after which the cell is not what its manifests say."""
        return any(finding.kind in TURNS_BACK for finding in self.findings)

    @property
    def proven_depth(self) -> Depth | None:
        """The deepest at which all objects were found right; None if they were not."""
        return max(self.proofs, key=_DEPTHS.index, default=None)


def identify_manifests(generations: Collection[int]) -> str:
    """What stands for a set of manifests, by their server generations. A manifest that comes later changes it."""
    if len(generations) == 1:
        return str(next(iter(generations)))
    return hash_symbols(map(str, generations))


def metadata_of(verification: Verification) -> dict[str, str]:
    """The custom metadata to store beside the body: all that coverage needs."""
    findings = ",".join(f"{finding.kind}:{finding.generation}:{finding.symbol}" for finding in verification.findings)
    return {
        "at": format_time(verification.at),
        "depth": verification.depth.value,
        "objects": str(verification.objects),
        "inside": str(verification.inside),
        "manifests": verification.manifests,
        "contents": verification.contents,
        "proofs": ",".join(f"{depth}={format_time(at)}" for depth, at in verification.proofs.items()),
        "problems": str(len(verification.findings)),
        "findings": findings if len(findings.encode()) <= METADATA_VALUE_LIMIT else MANY,
    }


def summarize(info: ObjectInfo) -> Verification | None:
    """Read a verification out of a listing: without details and orphans; None if its findings did not fit.

    Raises:
        ConfigurationError: naming the object, if its metadata is not ours.
    """
    meta = info.metadata
    try:
        cell = parse_verification_object(info.name)
        if meta["findings"] == MANY:
            return None
        return Verification(
            day=cell.day,
            data_type=cell.data_type,
            venue=cell.venue,
            at=parse_time(meta["at"]),
            depth=Depth(meta["depth"]),
            objects=int(meta["objects"]),
            inside=int(meta["inside"]),
            manifests=meta["manifests"],
            contents=meta["contents"],
            proofs={Depth(depth): parse_time(at) for depth, _, at in (part.partition("=") for part in _parts(meta["proofs"]))},
            findings=tuple(_finding(part) for part in _parts(meta["findings"])),
        )
    except (KeyError, ValueError, UsageError) as error:
        raise ConfigurationError(f"{info.name} is no verification: {error}", hint="delete it, then run: engine validate") from error


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _finding(text: str) -> Finding:
    kind, generation, symbol = text.split(":", 2)
    return Finding(Kind(kind), symbol, int(generation))


def write_verification(state: Store, verification: Verification) -> None:
    """Keep what was found, over what was kept before."""
    name = verification_object(verification.cell)
    state.put(name, encode(verification), if_generation=None, metadata=metadata_of(verification), content_type=JSON)


def read_verification(state: Store, cell: Cell) -> Verification | None:
    """The last verification of a cell with all details, or None if there was none."""
    name = verification_object(cell)
    found = state.get(name)
    return None if found is None else decode(found.data, Verification, name=name)


def read_verifications(state: Store, listed: Iterable[ObjectInfo]) -> dict[Cell, Verification]:
    """Verifications as a listing shows them; bodies are read only where findings did not fit."""
    found: dict[Cell, Verification] = {}
    to_open: list[Cell] = []
    for info in listed:
        verification = summarize(info)
        if verification is None:
            to_open.append(parse_verification_object(info.name))
        else:
            found[verification.cell] = verification
    if to_open:
        with ThreadPoolExecutor(min(OPEN_IN_PARALLEL, len(to_open))) as pool:
            opened = pool.map(lambda cell: read_verification(state, cell), to_open)
            found.update((verification.cell, verification) for verification in opened if verification is not None)
    return found


def standing(records: Mapping[str, Record], findings: Iterable[Finding]) -> dict[str, Finding]:
    """The findings about files that still stand, by symbol: no manifest records a newer object of the file."""
    found = {}
    for finding in findings:
        record = records.get(finding.symbol)
        if record is not None and record.entry.outcome is Outcome.OK and record.entry.generation <= finding.generation:
            found[finding.symbol] = finding
    return found


def turn_back(records: Mapping[str, Record], findings: Iterable[Finding]) -> Mapping[str, Record]:
    """Merged records of a cell less what a verification found wrong: a deleted file has no record, a damaged one has failed.

    Twice is as good as once.
    """
    wrong = {symbol: finding for symbol, finding in standing(records, findings).items() if finding.kind in TURNS_BACK}
    if not wrong:
        return records
    return {
        symbol: _failed(record, wrong[symbol]) if symbol in wrong else record
        for symbol, record in records.items()
        if symbol not in wrong or wrong[symbol].kind is not Kind.MISSING
    }


def _failed(record: Record, finding: Finding) -> Record:
    detail = finding.detail or "the object is not what was committed"
    entry = msgspec.structs.replace(
        record.entry, outcome=Outcome.FAILED, reason=finding.kind.value, detail=detail, rows=0, source_bytes=0, covered_minutes=0
    )
    return msgspec.structs.replace(record, entry=entry)
