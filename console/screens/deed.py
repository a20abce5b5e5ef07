"""From a proposal to its receipt: the question in front of it, its progress, and what could not be done.

Apart from the Fleet screen because every mutation goes this way, whatever screen asks for it. Nothing here decides what is touched:
the proposal says it, and provision guards it again when it is applied.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.sentences import money
from console.widgets.columns import Column, Toned
from console.widgets.confirm import ConfirmItem, ConfirmMany, ConfirmOne
from console.widgets.figures import bar, one_line, plural
from console.widgets.table import LineTable
from console.widgets.tones import Tone

if TYPE_CHECKING:
    from provision.actions import Item, ItemResult, Proposal, Receipt

_NOUNS: Final = {
    "vm": ("VM", "VMs"),
    "new": ("new VM", "new VMs"),
    "disk": ("disk", "disks"),
    "address": ("address", "addresses"),
    "run": ("run", "runs"),
    "state": ("folder of old state", "folders of old state"),
}
_DOING: Final = {
    "drain": "Draining",
    "abort": "Aborting",
    "delete": "Deleting",
    "cleanup": "Cleaning up",
    "stop": "Stopping",
    "start": "Starting",
    "reset": "Resetting",
    "replace": "Replacing",
    "resize": "Asking for",
}
_COUNT: Final = re.compile(r"^\d+ of \d+: ")
"""What progress lines begin with: the bar says it already."""
_CONSEQUENCES: Final = {
    "drain": "Its workers take no new work, finish what is in flight and end. Nothing is lost; a new run takes up the rest.",
    "abort": "Its VMs are deleted whatever they do; the run is drained first, so that nobody replaces them. Files in flight are lost,"
    " committed ones stay.",
    "delete": "Files in flight are lost, committed ones stay. While its run is unfinished it may be replaced. This cannot be undone.",
    "drain vm": "They take no new work, finish what is in flight and end; the other VMs of the run take up their shards. Nothing is lost.",
    "stop": "The workers end in good order and the VMs stay, powered off: they cost their disks. Start goes on with what is left.",
    "start": "Their workers go on with what is left.",
    "reset": "Switched off and on again without a word to the worker: files in flight are lost.",
    "replace": "The old VM is deleted, files in flight are lost, committed ones stay. The new one goes on with its unfinished shards.",
    "resize": "They take shards that wait behind others, or that nobody has any more.",
    "cleanup": "Each is of no use any more, for the reason beside it. This cannot be undone.",
}


def count_items(items: tuple[Item, ...]) -> str:
    """`4 VMs`, `3 VMs, 1 disk`."""
    counted: Counter[str] = Counter(item.kind for item in items)
    return ", ".join(plural(counted[kind], *nouns) for kind, nouns in _NOUNS.items() if counted[kind])


def question_about(proposal: Proposal, *, typed: bool) -> ConfirmOne | ConfirmMany:
    """The question to ask before a proposal with at least one item is applied.

    Args:
        typed: Ask for the number even if there is only one thing; several always ask for it.
    """
    # That a run is told to stop before its VMs go is a consequence, not one of the things a person counts.
    things = tuple(item for item in proposal.items if item.kind != "run") or proposal.items
    if proposal.verb == "replace":
        # What is deleted stands beside what takes its place.
        things = tuple(item for item in things if item.kind == "new")
    drains_vms = proposal.verb == "drain" and things[0].kind == "vm"
    text = _CONSEQUENCES.get("drain vm" if drains_vms else proposal.verb, "")
    if proposal.refused:
        left = "; ".join(f"{refusal.name}: {refusal.why}" for refusal in proposal.refused[:3])
        text += f"\nLeft alone: {plural(len(proposal.refused), 'thing')} ({left}{'; …' if len(proposal.refused) > 3 else ''})."
    if things[0].kind == "run" or (len(things) == 1 and not typed):
        only = things[0]
        cost = f" It costs {money(only.cost_per_day)} a day." if only.cost_per_day else ""
        title = f"{proposal.verb.capitalize()} {'run ' if only.kind == 'run' else ''}{only.name}?"
        why = only.why if only.kind == "run" else f"It is {_why(only, proposal)}" if only.kind == "vm" else only.why
        if proposal.verb == "replace":
            title, why = f"Replace {proposal.successors[0].vm}?", f"By {only.name}, {why}"
        elif proposal.verb == "resize":
            title = f"Ask for {only.name}?"
        return ConfirmOne(title, f"{why}.{cost}\n{text}".strip(), verb=proposal.verb.capitalize())
    of_run = f" of run {proposal.run}" if proposal.run else ""
    verb = {"abort": "Abort: delete", "cleanup": "Clean up: delete", "replace": "Replace: ask for", "resize": "Ask for"}.get(
        proposal.verb, proposal.verb.capitalize()
    )
    kinds = {item.kind for item in things}
    noun = _NOUNS[things[0].kind][0] if len(kinds) == 1 else "thing"
    return ConfirmMany(f"{verb} {count_items(things)}{of_run}", [_confirm_item(item, proposal) for item in things], noun=noun, text=text)


def _confirm_item(item: Item, proposal: Proposal) -> ConfirmItem:
    why = _why(item, proposal)
    return ConfirmItem(item.name, why if item.kind in ("vm", "new") else f"{item.kind}: {why}", item.age_seconds, item.cost_per_day or None)


def _why(item: Item, proposal: Proposal) -> str:
    """The reason without what is the same for all items and stands above them."""
    return item.why.removeprefix("named; ").removeprefix(f"run {proposal.run} is aborted; ")


def receipt_line(receipt: Receipt) -> str:
    """One line: what was done, to what if it is little, and where it is written down."""
    names = [result.item.name for result in receipt.results if result.ok and result.item.kind != "run"]
    which = f": {', '.join(names)}" if 0 < len(names) <= 2 else ""
    return f"{receipt.message}{which}. Audit {receipt.audit_id}"


class DeedScreen(ModalScreen[None]):
    """Progress of what is being done; then the receipt, if something could not be done. Closing it stops nothing."""

    DEFAULT_CSS = """
    DeedScreen { align: center middle; background: $background 60%; }
    DeedScreen > Vertical {
        width: 110;
        max-width: 96%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $primary;
    }
    DeedScreen > Vertical.-failed { border: round $state-bad; }
    DeedScreen #deed-title { text-style: bold; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    DeedScreen #deed-bar { height: 1; margin: 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
    DeedScreen LineTable { margin: 1 0; background: $surface; display: none; }
    DeedScreen .-failed LineTable { display: block; }
    DeedScreen #deed-hint { height: auto; color: $quiet; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,backspace", "close", "Close")]

    def __init__(self, proposal: Proposal) -> None:
        super().__init__()
        self._proposal = proposal
        self._finished = 0
        self.receipt: Receipt | None = None
        """What was done, once it is."""

    def compose(self) -> ComposeResult:
        table: LineTable[ItemResult] = LineTable(
            (
                Column("Not done", lambda result: result.item.name, 18, 34, 44, rank=0, keep_end=True),
                Column("Why", lambda result: Toned(result.message, Tone.BAD), 20, 40, 90, rank=1),
            ),
            lambda result: f"{result.item.kind}/{result.item.place}/{result.item.name}",
        )
        with Vertical():
            yield Static(f"{_DOING[self._proposal.verb]} {count_items(self._proposal.items)}", id="deed-title", markup=False)
            yield Static("", id="deed-bar", markup=False)
            yield table
            yield Static("esc hides this; it goes on all the same", id="deed-hint", markup=False)

    def on_mount(self) -> None:
        self._show_progress("")

    def step(self, line: str) -> None:
        """One more item is done, well or not.

        Args:
            line: What became of it.
        """
        if self.receipt is None:
            self._finished += 1
            self._show_progress(_COUNT.sub("", line))

    def finish(self, receipt: Receipt) -> None:
        """All items are done: show what could not be."""
        self.receipt = receipt
        if not self.is_attached:
            return
        self._finished = len(receipt.results)
        self._show_progress("")
        self.query_one("#deed-title", Static).update(Content(one_line(receipt.message)))
        self.query_one(Vertical).set_class(bool(receipt.failed or receipt.warnings), "-failed")
        table = self.query_one(LineTable)
        table.set_rows(receipt.failed)
        table.styles.height = max(2, min(len(receipt.failed) + 1, self.size.height - 10))
        table.display = bool(receipt.failed)
        if receipt.failed:
            table.focus()
        warnings = "".join(f"! {one_line(warning)}\n" for warning in receipt.warnings)
        hint = f"{warnings}audit {receipt.audit_id} · enter closes; what is not done stays in Fleet"
        self.query_one("#deed-hint", Static).update(Content(hint))

    def action_close(self) -> None:
        self.dismiss(None)

    def on_line_table_row_selected(self) -> None:
        self.dismiss(None)

    def _show_progress(self, line: str) -> None:
        if not self.is_attached:
            return
        total = len(self._proposal.items)
        filled, rest = bar(self._finished / total, 24)
        self.query_one("#deed-bar", Static).update(
            Content.assemble((filled + rest, "$bar-done on $bar-rest"), f" {self._finished} of {total}", (f"  {one_line(line)}", "$quiet"))
        )
