"""Carrying out what a key asks for: propose in a thread, ask the person, apply with progress, tell what came of it. One at a time.

Apart from the screens, because every mutation goes this way whichever screen asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from console.blocking import in_thread
from console.screens.deed import DeedScreen, question_about, receipt_line
from engine.errors import one_line as error_line

if TYPE_CHECKING:
    from console.screens.base import ModeScreen
    from provision.actions import Proposal


class Deeds:
    """What one screen is asked to do."""

    def __init__(self, screen: ModeScreen, say: Callable[[str], None]) -> None:
        """
        Args:
            screen: Over which is asked.
            say: Shows what is being looked for; "" when that is over.
        """
        self._screen = screen
        self._say = say
        self._under_way = ""

    async def carry_out(self, what: str, propose: Callable[[], Proposal], *, typed: bool) -> None:
        """Propose, ask, apply, show the receipt. Runs in a worker of the screen; an error is told.

        Args:
            what: A few words, for the person.
            propose: Blocking.
            typed: Ask for the number even of one thing.
        """
        screen = self._screen
        if self._under_way:
            screen.notify(f"{self._under_way} is still under way", severity="warning")
            return
        self._under_way = what
        try:
            await self._ask_and_apply(what, propose, typed=typed)
        except Exception as error:  # noqa: BLE001 - a person reads why, and the console goes on
            screen.notify(error_line(error), title=what, severity="error", timeout=15)
        finally:
            self._under_way = ""
            self._say("")
            screen.console.look_again()

    async def _ask_and_apply(self, what: str, propose: Callable[[], Proposal], *, typed: bool) -> None:
        screen = self._screen
        self._say(f"{what}: looking …")
        proposal = await in_thread(propose, name="propose")
        self._say("")
        if not proposal.items:
            why = "; ".join(f"{refusal.name}: {refusal.why}" for refusal in proposal.refused)
            screen.notify(why or "there is nothing to do", title=what)
            return
        if not screen.is_active:
            screen.notify("the list is ready; ask again there", title=what)
            return
        if not await screen.app.push_screen_wait(question_about(proposal, typed=typed)):
            return
        view = DeedScreen(proposal)
        if len(proposal.items) > 1:
            screen.app.push_screen(view)

        def tell(line: str) -> None:
            screen.app.call_later(view.step, line)

        receipt = await in_thread(lambda: screen.session.changes.apply(proposal, report=tell), name="apply")
        view.finish(receipt)
        trouble = bool(receipt.failed or receipt.warnings)
        if view.is_current and trouble:
            return
        if view.is_current:
            view.dismiss(None)
        failed = "".join(f"\n{result.item.name}: {result.message}" for result in receipt.failed[:5])
        warned = "".join(f"\n{warning}" for warning in receipt.warnings)
        screen.notify(receipt_line(receipt) + failed + warned, severity="error" if trouble else "information", timeout=15 if trouble else 8)
