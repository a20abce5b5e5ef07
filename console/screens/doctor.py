"""Doctor: every check of a launch, of this machine and of this terminal, each as it comes; worst first, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual import work
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import Mode, bindings_for
from console.blocking import in_thread
from console.doctor_view import COLUMNS, WORDS, CheckRow, doctor_sentence, ordered, row_details, row_record
from console.screens.table_screen import TableScreen
from console.terminal_checks import terminal_checks
from console.widgets.filtered_table import AnyTable, FilteredTable
from console.widgets.tones import Tone
from engine.doctor.finding import Finding
from engine.errors import one_line

_OF_MACHINE: Final = frozenset({"settings", "temporary disk", "memory", "processors", "open files", "versions"})


class DoctorScreen(TableScreen):
    """Looks when it is first shown, and again with `r`."""

    MODE = Mode.DOCTOR
    OPENS = "open_check"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_for(Mode.DOCTOR))

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[CheckRow] = []

    def body(self) -> Iterable[Widget]:
        table: AnyTable = FilteredTable(
            COLUMNS, lambda row: row.key, row_record, vocabulary=WORDS, empty="nothing was looked at", id="checks"
        )
        yield Vertical(self.first_sentence("looking …", stale_after_seconds=600), table, classes="body")

    def session_opened(self) -> None:
        self.shown.table.focus()
        self._look()

    @property
    def shown(self) -> AnyTable:
        return self.query_one("#checks", FilteredTable)

    @property
    def off_reasons(self) -> dict[str, str]:
        row = self._row
        if row is None:
            return dict.fromkeys(("open_check", "copy_fix"), "no check under the cursor")
        return {} if row.fix else {"copy_fix": "no command mends this; see the next step"}

    def action_look_again(self) -> None:
        self._look()

    def action_open_check(self) -> None:
        if (row := self._row) is not None:
            self.show_details(row.check, row_details(row))

    async def action_copy_fix(self) -> None:
        if (row := self._row) is not None and row.fix:
            await self.console.copy(row.fix)

    @work(exclusive=True, group="doctor", exit_on_error=False)
    async def _look(self) -> None:
        health, size = self.session.health, (self.app.size.width, self.app.size.height)
        here = terminal_checks(size)
        of_terminal = {check.name for check in here}
        try:
            names = await in_thread(lambda: health.names(here), name="checks")
        except Exception as error:  # noqa: BLE001 - a person reads why, and the console goes on
            self.sentence.set_sentence(one_line(error), tone=Tone.BAD)
            return

        def area(name: str) -> str:
            return "terminal" if name in of_terminal else "machine" if name in _OF_MACHINE else "cloud"

        self._rows = [CheckRow(number, area(name), name) for number, name in enumerate(names)]
        self._show()

        def look() -> None:
            for finding in health.examine(here):
                self.app.call_from_thread(self._found, finding)

        await in_thread(look, name="doctor")
        self._rows = [row for row in self._rows if row.finding is not None]
        self._show()

    def _found(self, finding: Finding) -> None:
        """What a check says; the second thing that it says is a row of its own."""
        open_ = next((row for row in self._rows if row.check == finding.check and row.finding is None), None)
        if open_ is None:
            area = next((row.area for row in self._rows if row.check == finding.check), "cloud")
            self._rows.append(CheckRow(len(self._rows), area, finding.check, finding))
        else:
            self._rows[self._rows.index(open_)] = CheckRow(open_.number, open_.area, open_.check, finding)
        self._show()

    def _show(self) -> None:
        phrases, tone = doctor_sentence(self._rows)
        self.sentence.set_sentence(phrases, tone=tone, as_of=self.console.clock())
        self.shown.set_rows(ordered(self._rows))
        self.refresh_bindings()

    @property
    def _row(self) -> CheckRow | None:
        found: CheckRow | None = self.shown.table.cursor_row if self.query("#checks") else None
        return found
