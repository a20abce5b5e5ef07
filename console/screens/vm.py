"""One VM: what it does, why it is in its state, and the tail of its serial output, which is read when it is opened.

A modal over Fleet, so that closing it is going on. It shows what the fleet's feed knows and is fed by the Fleet screen; the serial
output is the one thing it asks for itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.screens.serial_pane import SerialPane
from console.vm_facts import group_fields, vm_record, vm_title
from console.widgets.figures import one_line
from provision.runs import RunView
from provision.vm_state import FleetVm

if TYPE_CHECKING:
    from console.app import ConsoleApp

_TWO_COLUMNS: Final = 110
"""Cells from which the facts stand in two columns."""
_WIDEST: Final = 150
_RIGHT: Final = ("machine", "worker")


class VmWish(StrEnum):
    """What was asked for besides closing."""

    LOGS = "logs"


class VmScreen(ModalScreen[VmWish | None]):
    """All there is to know about one VM. Its result says where to go next."""

    DEFAULT_CSS = """
    VmScreen { align: center middle; background: $background 60%; }
    VmScreen > Vertical {
        width: 96%;
        max-width: 150;
        height: 94%;
        padding: 0 1;
        background: $surface;
        border: round $primary;
    }
    VmScreen .vm--title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    VmScreen #vm-facts { height: auto; max-height: 60%; scrollbar-size: 1 1; background: $surface; }
    VmScreen #vm-facts > Horizontal { height: auto; }
    VmScreen .vm--column { width: 1fr; height: auto; padding-right: 2; }
    VmScreen SerialPane { margin-top: 1; }
    VmScreen .vm--hint { height: 1; color: $quiet; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace,enter", "close", "Close"),
        Binding("L", "open_logs", "Its logs"),
        Binding("s", "read_serial", "Serial"),
        Binding("y", "copy", "Copy"),
        Binding("tab", "other_pane", "Other pane", show=False, priority=True),
    ]

    def __init__(self, vm: FleetVm, view: RunView | None, *, serial: Callable[[str], str], clock: Callable[[], datetime]) -> None:
        """
        Args:
            vm: As the fleet's last snapshot has it.
            view: Its run.
            serial: Reads the end of a VM's serial output; blocking.
            clock: UTC.
        """
        super().__init__()
        self._vm = vm
        self._view = view
        self._serial = serial
        self._clock = clock

    @property
    def vm(self) -> FleetVm:
        """The VM as it is shown."""
        return self._vm

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(one_line(vm_title(self._vm)), classes="vm--title", markup=False)
            with VerticalScroll(id="vm-facts"), Horizontal():
                yield Static(id="vm-left", classes="vm--column")
                yield Static(id="vm-right", classes="vm--column")
            yield SerialPane(self._serial, self._clock)
            yield Static("L its logs · s read serial again · tab other pane · y copy · esc back", classes="vm--hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one("#vm-facts").focus()
        self._pane.show(self._vm.name)

    def on_resize(self) -> None:
        self._show()

    def show_vm(self, vm: FleetVm, view: RunView | None) -> None:
        """The same VM as it is now."""
        self._vm, self._view = vm, view
        self._show()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_open_logs(self) -> None:
        self.dismiss(VmWish.LOGS)

    def action_read_serial(self) -> None:
        self._pane.show(self._vm.name)

    async def action_copy(self) -> None:
        fields = [f"{name}: {value}" for _, group in group_fields(self._record()) for name, value in group.items()]
        text = "\n".join([vm_title(self._vm), *fields, "", self._pane.text]).rstrip()
        await cast("ConsoleApp", self.app).copy(text)

    def action_other_pane(self) -> None:
        if self._pane.has_lines_focus:
            self.query_one("#vm-facts").focus()
        else:
            self._pane.focus_lines()

    @property
    def _pane(self) -> SerialPane:
        return self.query_one(SerialPane)

    def _record(self) -> dict[str, object]:
        return vm_record(self._vm, self._view, self._clock())

    def _show(self) -> None:
        groups = group_fields(self._record())
        wide = self.size.width >= _TWO_COLUMNS
        right = [group for group in groups if group[0] in _RIGHT] if wide else []
        left = [group for group in groups if group not in right]
        self.query_one(".vm--title", Static).update(Content(one_line(vm_title(self._vm))))
        room = min(self.size.width * 96 // 100, _WIDEST) - 6
        width = room // 2 - 2 if right else room - 2
        self.query_one("#vm-left", Static).update(_facts(left, width))
        self.query_one("#vm-right", Static).update(_facts(right, width))
        self.query_one("#vm-right", Static).display = bool(right)


def _facts(groups: list[tuple[str, Mapping[str, object]]], width: int) -> Content:
    """Names and values in two columns; what is longer than `width` goes on under its beginning."""
    names = max((len(name) for _, fields in groups for name in fields), default=0) + 2
    lines: list[Content] = []
    for title, fields in groups:
        if title:
            lines.append(Content.styled(title, "bold $accent"))
        for name, value in fields.items():
            first, *more = textwrap.wrap(one_line(str(value)), max(20, width - names), break_on_hyphens=False) or [""]
            lines.append(Content.assemble((f"{name:<{names}}", "$quiet"), first))
            lines += [Content(" " * names + line) for line in more]
    return Content("\n").join(lines)
