"""A mutation as both front ends speak of it: by field names, and as the command line that does the same. No Textual here."""

from __future__ import annotations

import shlex
from typing import Final

from console.query import Vocabulary
from provision.audit import AuditRecord, Deed

WORDS: Final = Vocabulary(
    ("id", "when", "ending", "verb", "who", "host", "run", "plan", "items", "done", "failed", "things", "reason", "message", "profile"),
    ("unfinished", "under-way", "failed", "partly", "done"),
    {
        "ending": ("unfinished", "failed", "partly", "done"),
        "verb": ("launch", "replace", "drain", "abort", "delete", "cleanup", "stop", "start", "reset", "adopt", "resize", "waive", "run"),
    },
)


def deed_record(deed: Deed) -> dict[str, object]:
    """A mutation by field names, for filter and export."""
    intent = deed.intent
    return {
        "id": intent.id,
        "when": intent.when,
        "ending": deed.ending.value,
        "verb": intent.verb,
        "who": intent.who,
        "host": intent.host,
        "run": intent.run,
        "plan": intent.plan,
        "items": len(deed.items),
        "done": deed.done,
        "failed": deed.failed,
        "things": [item.name for item in deed.items],
        "reason": intent.reason,
        "message": deed.receipt.message if deed.receipt is not None else "",
        "profile": intent.profile,
        "is": [deed.ending.value.replace(" ", "-")],
    }


def headless_command(record: AuditRecord) -> str:
    """The command line that does the same; empty where there is none that could be typed again."""
    vms = [item.name for item in record.items if item.kind == "vm"]
    match record.verb:
        case "drain" | "abort" if record.run:
            words = [record.verb, record.run]
        case "delete" | "stop" | "start" | "reset" | "drain" if vms:
            words = ["fleet", record.verb, *vms]
        case "cleanup":
            words = ["cleanup"]
        case "launch" if record.plan:
            words = ["deploy", "plan", record.plan]
        case "replace" | "stop-launch" if record.run:
            words = ["reconcile", record.run]
        case "adopt":
            words = ["adopt-resources", *(item.name for item in record.items)]
        case "build-image":
            words = ["images", "build"]
        case _:
            return ""
    profile = ["--profile", record.profile] if record.profile else []
    return shlex.join(["tickdeck", *words, *profile])
