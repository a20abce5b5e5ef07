"""Words about the audit trail for its screen: columns, the sentence, and the details of one mutation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from console.deeds import headless_command
from console.sentences import plural
from console.widgets.columns import Column, Toned
from console.widgets.figures import format_age
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from provision.audit import Deed, Ending

LOOKS: Final = {
    Ending.UNFINISHED: ("×", Tone.BAD),
    Ending.UNDER_WAY: ("▶", Tone.BUSY),
    Ending.FAILED: ("×", Tone.BAD),
    Ending.PARTLY: ("!", Tone.WARN),
    Ending.DONE: ("✓", Tone.GOOD),
}


def _ending(deed: Deed) -> Toned:
    glyph, tone = LOOKS[deed.ending]
    return Toned(f"{glyph} {deed.ending}", tone)


def _counts(deed: Deed) -> Toned:
    if deed.receipt is None:
        return Toned(f"? of {len(deed.items)}", Tone.WARN if deed.ending is Ending.UNFINISHED else Tone.QUIET)
    return Toned(f"{deed.done} of {len(deed.items)}", Tone.BAD if deed.failed else Tone.PLAIN)


def _what(deed: Deed) -> str:
    if deed.receipt is None:
        first = ", ".join(item.name for item in deed.items[:3])
        return f"no receipt: look at {first}" if deed.ending is Ending.UNFINISHED else first
    return deed.message


COLUMNS: Final[tuple[Column[Deed], ...]] = (
    Column("When (UTC)", lambda deed: f"{deed.intent.when.astimezone(UTC):%m-%d %H:%M:%S}", 14, rank=0),
    Column("Verb", lambda deed: deed.intent.verb, 8, 14, rank=1),
    Column("Ended", _ending, 12, rank=2),
    Column("Done", _counts, 8, 10, rank=3, right=True),
    Column("Run", lambda deed: deed.intent.run, 8, 16, 22, rank=5, keep_end=True),
    Column("Who", lambda deed: deed.intent.who, 8, 16, 30, rank=6),
    Column("What came of it", _what, 16, 40, 120, rank=4),
    Column("Reason", lambda deed: Toned(deed.intent.reason, Tone.QUIET), 10, 24, 60, rank=10),
    Column("Host", lambda deed: Toned(deed.intent.host, Tone.QUIET), 8, 14, 30, rank=11),
)


def audit_sentence(deeds: Sequence[Deed], *, days: int, now: datetime) -> tuple[list[Phrase], Tone]:
    """What a person would answer to "what was done here?"; what nobody finished first."""
    if not deeds:
        return [Phrase(f"Nothing was changed in {days} days")], Tone.QUIET
    unfinished = sum(deed.ending is Ending.UNFINISHED for deed in deeds)
    failed = sum(deed.ending in (Ending.FAILED, Ending.PARTLY) for deed in deeds)
    recent = sum(now - deed.intent.when < timedelta(days=1) for deed in deeds)
    newest = max(deeds, key=lambda deed: deed.intent.when).intent
    phrases: list[Phrase] = []
    if unfinished:
        phrases += [Phrase(f"{unfinished} unfinished", Tone.BAD, strong=True), Phrase(": the cloud knows the outcome; ")]
    phrases += [Phrase(plural(len(deeds), "change"), strong=True), Phrase(f" in {days} days, {recent} today")]
    if failed:
        phrases += [Phrase(", "), Phrase(f"{failed} with failures", Tone.WARN, strong=True)]
    age = format_age((now - newest.when).total_seconds())
    phrases.append(Phrase(f"; last: {newest.verb} by {newest.who}, {age} ago", Tone.QUIET))
    return phrases, Tone.BAD if unfinished else Tone.WARN if failed else Tone.GOOD


def place_in_fleet(deed: Deed) -> tuple[str, str]:
    """The run that a change is about, and the VM if it is about one of it; without a run its first VM. Empty if there is none."""
    vms = list(dict.fromkeys(item.name for item in deed.items if item.kind in ("vm", "new")))
    return deed.intent.run, vms[0] if len(vms) == 1 or (vms and not deed.intent.run) else ""


def deed_details(deed: Deed) -> dict[str, object]:
    """All of it, for the detail view: both records, item by item, with the serial tails."""
    intent = deed.intent
    items: dict[str, object] = {}
    for item in deed.items:
        about: dict[str, object] = {"kind": item.kind, "outcome": {None: "not known", True: "done", False: "failed"}[item.ok]}
        about |= {
            name: value
            for name, value in {
                "place": item.place, "why": item.why, "message": item.message, "id": item.id, "request": item.request_id,
                "serial tail": item.serial_tail,
            }.items()
            if value
        }  # fmt: skip
        items[item.name] = about
    facts: dict[str, object] = {
        "verb": intent.verb,
        "ending": deed.ending.value,
        "who": intent.who,
        "host": intent.host,
        "when": intent.when,
        "receipt": deed.receipt.when if deed.receipt is not None else "none: whoever did it died in the middle, or is still at it",
        "run": intent.run,
        "plan": intent.plan,
        "reason": intent.reason,
        "message": deed.receipt.message if deed.receipt is not None else "",
        "the same headless": headless_command(intent),
        "profile": f"{intent.profile}, project {intent.project}",
        "id": intent.id,
    }
    return {name: value for name, value in facts.items() if value != ""} | {"items": items}
