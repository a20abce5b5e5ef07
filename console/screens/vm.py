"""One VM: what it does, why it is in its state, what became of its last files, and the tail of its serial output.

A modal over Fleet, so that closing it is going on. It shows what the fleet's feed knows and is fed by the Fleet screen; the serial
output and the files are what it asks for itself, when it is opened.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.screens.serial_pane import FilesPane, SerialPane
from console.vm_facts import file_line, group_fields, vm_record, vm_title
from console.widgets.figures import one_line
from provision.runs import RunView
from provision.vm_state import FleetVm

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from provision.logs import LogEntry

_TWO_COLUMNS: Final = 110
"""Cells from which the facts stand in two columns."""
_WIDEST: Final = 150
_RIGHT: Final = ("machine", "boot", "worker")
_HINT: Final = "f files/serial · L logs · R replace · x delete · s shell · tab · esc"


class VmWish(StrEnum):
    """What was asked for besides closing."""

    LOGS = "logs"
    REPLACE = "replace"
    DELETE = "delete"
    POWER = "stop or start"
    SHELL = "shell"


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
    VmScreen > ToastRack { margin-bottom: 3; }
    VmScreen .vm--title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    VmScreen #vm-facts { height: auto; max-height: 45%; scrollbar-size: 1 1; background: $surface; }
    VmScreen #vm-facts > Horizontal { height: auto; }
    VmScreen .vm--column { width: 1fr; height: auto; padding-right: 2; }
    VmScreen #vm-reason { height: auto; max-height: 2; color: $state-warn; }
    VmScreen #vm-panes { height: 1fr; margin-top: 1; }
    VmScreen SerialPane { width: 1fr; }
    VmScreen .vm--hint { height: 1; color: $quiet; text-wrap: nowrap; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace,enter", "close", "Close"),
        Binding("L", "wish('logs')", "Its logs"),
        Binding("R", "wish('replace')", "Replace"),
        Binding("x", "wish('delete')", "Delete"),
        Binding("p", "wish('stop or start')", "Stop/start"),
        Binding("s", "wish('shell')", "Shell"),
        Binding("f", "other_view", "Files/serial"),
        Binding("r", "read_again", "Read again"),
        Binding("y", "copy", "Copy"),
        Binding("tab", "other_pane", "Other pane", show=False, priority=True),
    ]

    def __init__(
        self,
        vm: FleetVm,
        view: RunView | None,
        *,
        reasons: Callable[[FleetVm], str],
        serial: Callable[[str], str],
        files: Callable[[str], Sequence[LogEntry]],
        clock: Callable[[], datetime],
    ) -> None:
        """
        Args:
            vm: As the fleet's last snapshot has it.
            view: Its run.
            reasons: Why it is as it is, one line.
            serial: Reads the end of a VM's serial output; blocking.
            files: What became of its last files, newest first; blocking.
            clock: UTC.
        """
        super().__init__()
        self._vm = vm
        self._view = view
        self._reasons = reasons
        self._serial = serial
        self._files = files
        self._clock = clock
        self._shows_files = vm.heartbeat is not None

    @property
    def vm(self) -> FleetVm:
        """The VM as it is shown."""
        return self._vm

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(one_line(vm_title(self._vm)), classes="vm--title", markup=False)
            yield Static(id="vm-reason", markup=False)
            with VerticalScroll(id="vm-facts"), Horizontal():
                yield Static(id="vm-left", classes="vm--column")
                yield Static(id="vm-right", classes="vm--column")
            with Horizontal(id="vm-panes"):
                yield FilesPane(self._read_files, self._clock, named=False, id="vm-files")
                yield SerialPane(self._serial, self._clock, named=False, id="vm-serial")
            yield Static(_HINT, classes="vm--hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one("#vm-facts").focus()
        self.action_read_again()

    def on_resize(self) -> None:
        if self.is_mounted:
            self._show()

    def show_vm(self, vm: FleetVm, view: RunView | None) -> None:
        """The same VM as it is now."""
        self._vm, self._view = vm, view
        if self.is_mounted:  # The fleet may be looked at between the key and the screen.
            self._show()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_wish(self, wish: str) -> None:
        self.dismiss(VmWish(wish))

    def action_read_again(self) -> None:
        for pane in self._panes:
            pane.show(self._vm.name)

    def action_other_view(self) -> None:
        """The other of the two panes, where there is room for one."""
        self._shows_files = not self._shows_files
        self._show()

    async def action_copy(self) -> None:
        fields = [f"{name}: {value}" for _, group in group_fields(self._record()) for name, value in group.items()]
        read = [text for pane in self._panes if (text := pane.text)]
        text = "\n".join([vm_title(self._vm), *fields, "", *read]).rstrip()
        await cast("ConsoleApp", self.app).copy(text)

    def action_other_pane(self) -> None:
        """Let the arrows scroll the facts, then each pane that shows."""
        shown = [pane for pane in self._panes if pane.display]
        here = next((place for place, pane in enumerate(shown) if pane.has_lines_focus), -1)
        if here + 1 < len(shown):
            shown[here + 1].focus_lines()
        else:
            self.query_one("#vm-facts").focus()

    @property
    def _panes(self) -> tuple[SerialPane, SerialPane]:
        return self.query_one("#vm-files", FilesPane), self.query_one("#vm-serial", SerialPane)

    def _read_files(self, vm: str) -> str:
        return "\n".join(file_line(entry) for entry in self._files(vm))

    def _record(self) -> dict[str, object]:
        return vm_record(self._vm, self._view, self._clock())

    def _show(self) -> None:
        groups = group_fields(self._record())
        wide = self.size.width >= _TWO_COLUMNS
        files, serial = self._panes
        files.display, serial.display = wide or self._shows_files, wide or not self._shows_files
        self.query_one("#vm-reason", Static).update(Content(one_line(self._reasons(self._vm))))
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
