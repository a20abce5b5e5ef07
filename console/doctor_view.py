"""Words about findings of the doctor: what each check is good for, how bad it looks, and the command that mends it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from console.query import Vocabulary
from console.sentences import plural
from console.widgets.columns import Column, Toned
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from engine.doctor.finding import Finding, Level

MEANING: Final = {
    "credentials": "Without them nothing of the project can be asked.",
    "APIs": "A service that is switched off answers nothing, whatever the permissions.",
    "permissions": "What the console itself may do: a launch that lacks one fails in the middle.",
    "two buckets": "State is overwritten, data never is: they must not be one.",
    "data bucket": "Where the lake is. Workers create objects there and read them back.",
    "data bucket rules": "A rule that deletes or freezes objects breaks create-once and resume.",
    "state bucket": "Plans, claims, heartbeats, manifests: without it no run can be seen or healed.",
    "state bucket rules": "State is overwritten all the time: versions of it only cost money.",
    "image": "What VMs run. It is pulled by digest; a VM that cannot pull it never speaks.",
    "boot image": "The system that VMs boot into; an old one lacks repairs.",
    "worker account": "Whom VMs are. It must exist before they do.",
    "worker permissions": "What VMs may do: read the secret, write both buckets, write logs.",
    "machine types": "Not every zone has every type.",
    "quota": "A region allows so many vCPUs, VMs, addresses and disks; a fleet beyond it stays half a fleet.",
    "addresses": "Each VM asks the source from its own address; the vendor counts them.",
    "secret": "Where VMs read the source's key from.",
    "source key": "The source must know the key, or only free days are served.",
    "clock": "Signatures, leases and heartbeats compare times.",
    "settings": "What the engine was told, and what it could not read.",
    "source API": "What the venues offer is asked there: no plan without it.",
    "source files": "Where the data comes from.",
    "temporary disk": "What does not fit into memory spills there.",
    "memory": "Conversions wait for it; too little is slow, never fatal.",
    "processors": "So many files are converted at a time.",
    "open files": "Each download needs one.",
    "versions": "What runs here.",
    "terminal size": "Every screen is made for 80x24 and more.",
    "colours": "States also have glyphs and words: fewer colours lose nothing but looks.",
    "characters": "Bars and glyphs are UTF-8.",
    "escape key": "tmux waits after Escape for the rest of a longer key.",
    "clipboard": "How `y` and `c` get what they copy to your desk.",
}
"""What a check is good for."""

_LOOKS: Final = {Level.OK: ("✓", "fine", Tone.GOOD), Level.WARN: ("!", "look", Tone.WARN), Level.BAD: ("×", "mend", Tone.BAD)}
_COMMAND = re.compile(r"`([^`]+)`")
_BARE_COMMAND = re.compile(r"\b((?:tickdeck|engine|gcloud|gsutil|tmux|export|docker) [^;,()]+[^\s;,().])")
WORDS: Final = Vocabulary(
    ("check", "level", "area", "message", "hint", "fix"),
    ("bad", "warn", "ok"),
    {"level": ("bad", "warn", "ok"), "area": ("cloud", "machine", "terminal")},
)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check, and what it found; without a finding it is still being looked at."""

    number: int
    area: str
    """`cloud`, `machine` or `terminal`."""
    check: str
    finding: Finding | None = None

    @property
    def key(self) -> str:
        """Unique."""
        return f"{self.number} {self.check}"

    @property
    def fix(self) -> str:
        """A command line that mends it, if the hint has one."""
        if self.finding is None:
            return ""
        found = _COMMAND.search(self.finding.hint) or _BARE_COMMAND.search(self.finding.hint)
        return found[1].strip() if found else ""


def row_record(row: CheckRow) -> dict[str, object]:
    """By field names, for filter and export."""
    finding = row.finding
    level = finding.level.value if finding is not None else "looking"
    return {
        "check": row.check,
        "level": level,
        "area": row.area,
        "message": finding.message if finding is not None else "",
        "hint": finding.hint if finding is not None else "",
        "fix": row.fix,
        "is": [level],
    }


def _verdict(row: CheckRow) -> Toned:
    if row.finding is None:
        return Toned("… looking", Tone.BUSY)
    glyph, word, tone = _LOOKS[row.finding.level]
    return Toned(f"{glyph} {word}", tone)


COLUMNS: Final[tuple[Column[CheckRow], ...]] = (
    Column("", _verdict, 9, rank=0),
    Column("Check", lambda row: row.check, 18, 20, rank=1),
    Column("Found", lambda row: row.finding.message if row.finding is not None else "", 20, 50, 90, rank=2),
    Column("Next step", lambda row: Toned(row.finding.hint if row.finding is not None else "", Tone.WARN), 14, 30, 80, rank=3),
    Column("Of", lambda row: Toned(row.area, Tone.QUIET), 8, rank=10),
)


def ordered(rows: Sequence[CheckRow]) -> list[CheckRow]:
    """Worst first, else in the order of the report."""
    rank = {Level.BAD: 0, Level.WARN: 1, Level.OK: 3}
    return sorted(rows, key=lambda row: (2 if row.finding is None else rank[row.finding.level], row.number))


def doctor_sentence(rows: Sequence[CheckRow]) -> tuple[list[Phrase], Tone]:
    """Can a fleet be launched from here?"""
    open_ = sum(row.finding is None for row in rows)
    bad = [row for row in rows if row.finding is not None and row.finding.level is Level.BAD]
    odd = sum(row.finding is not None and row.finding.level is Level.WARN for row in rows)
    if open_:
        so_far = f", {len(bad)} to mend" if bad else ""
        return [Phrase(f"{plural(open_, 'check')} of {len(rows)} still looking{so_far}")], Tone.BUSY
    if bad:
        first = bad[0]
        many = [Phrase(f"{len(bad)} to mend", Tone.BAD, strong=True), Phrase(f", {odd} to look at; first: {first.check}")]
        return [*many, *_step(first)], Tone.BAD
    if odd:
        return [Phrase("A launch can begin", strong=True), Phrase(f"; {odd} of {len(rows)} checks want a look")], Tone.WARN
    return [Phrase(f"All {len(rows)} checks are fine", Tone.GOOD, strong=True)], Tone.GOOD


def _step(row: CheckRow) -> list[Phrase]:
    hint = row.finding.hint if row.finding is not None else ""
    return [Phrase(f" → {hint}", Tone.WARN)] if hint else []


def row_details(row: CheckRow) -> dict[str, object]:
    """For the detail view."""
    finding = row.finding
    facts = {
        "verdict": finding.level.value if finding is not None else "still looking",
        "found": finding.message if finding is not None else "",
        "what it means": MEANING.get(row.check, ""),
        "next step": finding.hint if finding is not None else "",
        "fix": row.fix,
        "of": row.area,
    }
    return {name: value for name, value in facts.items() if value}
