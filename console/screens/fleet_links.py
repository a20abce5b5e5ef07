"""Ways into Fleet, to a run or to one of its VMs, from whatever screen has a row about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from console.modes import Mode

if TYPE_CHECKING:
    from console.app import ConsoleApp
    from console.screens.fleet import FleetScreen


def show_in_fleet(console: ConsoleApp, run: str, vm: str = "") -> None:
    """Switch to Fleet, to one run, also one that ended long ago; `[` comes back.

    Args:
        run: Empty: whatever run the VM is of.
        vm: Where the cursor goes; empty: to the worst.
    """
    if run:
        console.follow_run(run)
    console.show_mode(Mode.FLEET)
    cast("FleetScreen", console.screen_stack[0]).go_to_run(run, vm)
