"""The walk through the console on a real demo run: which keys, what to wait for, which pictures to take."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.demo import Preemptor, demo_request
from console.session import Session
from console.verbs.demo import open_demo
from provision.local import cloud as local_cloud
from tests.tour.pictures import save_picture

SIZES = ((80, 24), (160, 50))
PATIENCE = 120.0


def text_of(app: Any) -> str:
    """What can be read on the screen."""
    lines = re.findall(r"<text[^>]*>(.*?)</text>", app.export_screenshot(), flags=re.DOTALL)
    return " ".join(unescape(" ".join(lines)).replace("\xa0", " ").split())


class Walk:
    """One walk at one size."""

    def __init__(self, size: tuple[int, int], folder: Path) -> None:
        self.size, self.folder = size, folder
        self._preemptors: list[Preemptor] = []

    async def go(self) -> None:
        """Walk from the start of the local cloud to an empty fleet."""
        app = ConsoleApp(lambda report: open_demo(real=False, report=report), demo_request(), demo=True, on_launched=self._launched)
        try:
            async with app.run_test(size=self.size) as pilot:
                await self._walk(app, pilot)
        finally:
            for preemptor in self._preemptors:
                preemptor.stop()
            await asyncio.to_thread(local_cloud.down, local_cloud.demo_root())

    def _launched(self, session: Session, run: str) -> None:
        self._preemptors.append(Preemptor(session, run))
        self._preemptors[-1].start()

    async def _walk(self, app: ConsoleApp, pilot: Pilot[Any]) -> None:
        await self._until(pilot, lambda: "server" in text_of(app))
        self._take(app, "starting")
        await self._until(pilot, lambda: "Downloads" in text_of(app))
        self._take(app, "plan")
        await pilot.press("enter")
        await self._until(pilot, lambda: bool(re.search(r"[1-9]\d* of 213 files", text_of(app))))
        await self._until(pilot, lambda: "preempted" in text_of(app))
        self._take(app, "fleet")
        await pilot.press("enter")
        await pilot.pause(1.0)
        self._take(app, "vm")
        await pilot.press("escape", "3")
        await self._until(pilot, lambda: "lines" in text_of(app) and "ok" in text_of(app))
        self._take(app, "logs")
        await pilot.press("4")
        await self._until(pilot, lambda: "expected cells" in text_of(app))
        self._take(app, "coverage-running")
        await pilot.press("2")
        await self._until(pilot, lambda: "done in" in text_of(app))
        self._take(app, "fleet-done")
        await pilot.press("4")
        await self._until(pilot, lambda: "running" not in text_of(app).split("catalog")[0][:400])
        await pilot.press("n")
        await pilot.pause(0.5)
        self._take(app, "coverage")
        await pilot.press("enter")
        await pilot.pause(1.5)
        self._take(app, "cell")
        await pilot.press("escape", "m", "r")
        await self._until(pilot, lambda: "Downloads" in text_of(app))
        self._take(app, "repair")
        await pilot.press("2", "X")
        await pilot.pause(2.0)
        self._take(app, "cleanup")
        await pilot.press("escape", "question_mark")
        await pilot.pause(0.5)
        self._take(app, "help")

    def _take(self, app: ConsoleApp, name: str) -> None:
        width, height = self.size
        path = self.folder / f"{name}-{width}x{height}.png"
        save_picture(app, path)
        print(f"  {path}", flush=True)

    async def _until(self, pilot: Pilot[Any], reached: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE / 0.25)):
            if reached():
                return
            await pilot.pause(0.25)
        raise SystemExit(f"the walk got stuck here:\n{text_of(pilot.app)}")
