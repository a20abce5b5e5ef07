"""The console beside the least that could do the same: a trivial app, a bare grid; and how long a key waits when much goes on.

Every measurement is a process of its own under a pseudo-terminal, and the contestants take turns. Budgets stand beside the figures: no
test asserts them, because a busy machine is no failure.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.bench.musts import NAME_WIDTH, Must, documents
from tests.bench.musts import lines as must_lines
from tests.bench.pseudo_terminal import run as in_terminal

if TYPE_CHECKING:
    from console.opening import Opened

DAYS, ROWS, LEVELS = 520, 40, 6
LINES_PER_SECOND, VMS = 10_000, 200
KEY_SECONDS = 10.0
"""So long keys are typed while lines pour in."""
HOUR = 3600
SCENES = ("heatmap", "bare grid")
BUDGETS = {
    "first paint / trivial app": 2.0,
    "heatmap scroll / bare grid": 1.5,
    "heatmap change / bare grid": 1.5,
    "worst key to paint, ms": 100.0,
    "memory after an hour / after its first quarter": 1.05,
}
TRIVIAL = """
from textual.app import App
from textual.widgets import Static
class Trivial(App):
    def compose(self): yield Static('PAINTED')
Trivial().run()
"""


def run(rounds: int, frames: int, seconds: float, hour: int) -> dict[str, Any]:
    """All of it; see `BUDGETS`.

    Args:
        rounds: Starts of each program.
        frames: Frames of each grid.
        seconds: How long keys are typed.
        hour: Seconds that are simulated for the memory.
    """
    with tempfile.TemporaryDirectory(prefix="bench-console-") as name:
        folder = Path(name)
        starts = _starts(folder, rounds)
        grids = {scene: _child(folder, "grid", scene, str(frames)) for scene in SCENES}
        keys = _keys(folder, seconds)
        memory = _child(folder, "hour", str(hour))
    ours, bare = grids["heatmap"], grids["bare grid"]
    figures = {
        "first paint / trivial app": starts["console"] / starts["trivial app"],
        "heatmap scroll / bare grid": ours["scroll"] / bare["scroll"],
        "heatmap change / bare grid": ours["change"] / bare["change"],
        "worst key to paint, ms": max(keys["waits"]) * 1e3,
        "memory after an hour / after its first quarter": memory["last"] / memory["first"],
    }
    more = {
        "median key to paint, ms": statistics.median(keys["waits"]) * 1e3,
        "keys": len(keys["waits"]),
        "lines taken in a second": keys["lines_per_second"],
        "memory, MB": memory["last"],
    }
    musts = documents(Must(name, figure, BUDGETS[name]) for name, figure in figures.items())
    return {"musts": musts, "more": more, "seconds to first paint": starts, "cpu seconds a frame": grids}


def table(results: dict[str, Any]) -> str:
    """Figures beside budgets, for a person."""
    more = [f"  {name:{NAME_WIDTH}}{figure:>10.2f}" for name, figure in results["more"].items()]
    return "\n".join([*must_lines(results["musts"]), *more])


def _starts(folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds from the start of a process to its first picture; one start of each warms the disk."""
    trivial = folder / "trivial.py"
    trivial.write_text(TRIVIAL)
    programs = {
        "trivial app": ([str(trivial)], b"PAINTED"),
        # What the console command does up to its first picture, with nothing behind it.
        "console": (["-m", "tests.bench.bench_console", "start"], b"tickdeck"),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, (arguments, marker) in programs.items():
            painted = in_terminal(arguments, marker=marker, stop_at_marker=True).painted
            assert painted is not None, f"{name} painted nothing"
            times[name].append(painted)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def _keys(folder: Path, seconds: float) -> dict[str, Any]:
    """How long each typed key waited for the picture that answers it."""
    out = folder / "keys.json"
    seen = in_terminal(
        ["-m", "tests.bench.bench_console", "keys", str(seconds), str(out)], marker=b"cloud-logging", key=b"\x1b[A", every=0.05
    )
    answered: dict[str, Any] = json.loads(out.read_text())
    paints: list[float] = answered["paints"]
    waits = [paint - key for key, paint in zip(seen.keys, paints, strict=False)]
    assert waits, "no key was answered"
    return {"waits": waits, "lines_per_second": answered["lines"] / answered["seconds"]}


def _child(folder: Path, *arguments: str) -> Any:
    out = folder / "out.json"
    in_terminal(["-m", "tests.bench.bench_console", *arguments, str(out)])
    return json.loads(out.read_text())


# In the child


def start() -> None:
    """The console, until the terminal is gone."""
    from console.app import ConsoleApp

    def never(_report: object) -> Any:
        time.sleep(60)

    ConsoleApp(never, None).run()


def measure_grid(scene: str, frames: int, out: Path) -> None:
    """CPU seconds a frame: a scroll by one column, and a tenth of all cells changed."""
    from datetime import date, timedelta

    from rich.segment import Segment
    from rich.style import Style
    from textual.app import App, ComposeResult
    from textual.geometry import Size
    from textual.scroll_view import ScrollView
    from textual.strip import Strip
    from textual.widget import Widget

    from console.theme import install_themes, variable_defaults
    from console.widgets.heatgrid import CODES
    from console.widgets.heatmap import Heatmap
    from engine.model import CellState

    random = Random(1)
    states = [CODES[state] for state in (CellState.COMPLETE, CellState.MISSING, CellState.PARTIAL, CellState.THIN, CellState.FAILED)]
    styles = {code: Style(bgcolor=f"#{40 * number:02x}{200 - 30 * number:02x}40") for number, code in enumerate(states)}
    grids = [[bytearray(states[0] if random.random() < 0.8 else random.choice(states) for _ in range(DAYS)) for _ in range(ROWS)]]
    for _ in range(5):
        changed = [bytearray(row) for row in grids[-1]]
        for _ in range(DAYS * ROWS // 10):
            changed[random.randrange(ROWS)][random.randrange(DAYS)] = random.choice(states)
        grids.append(changed)
    pictures = [[bytes(row) for row in each] for each in grids]

    class Bare(ScrollView):
        """The least that shows such a grid: the visible slice, one segment for a run of equal cells."""

        picture = pictures[0]

        def on_mount(self) -> None:
            self.virtual_size = Size(DAYS, ROWS)

        def render_line(self, y: int) -> Strip:
            x, y = int(self.scroll_offset.x), int(self.scroll_offset.y) + y
            if y >= ROWS:
                return Strip.blank(self.size.width)
            row, segments, place = self.picture[y][x : x + self.size.width], [], 0
            while place < len(row):
                end = place
                while end < len(row) and row[end] == row[place]:
                    end += 1
                segments.append(Segment(" " * (end - place), styles[row[place]]))
                place = end
            return Strip(segments, len(row)).adjust_cell_length(self.size.width)

    days = [date(2024, 5, 23) - timedelta(days=DAYS - 1 - place) for place in range(DAYS)]
    rows = [f"venue-{number // 5} type-{number % 5}" for number in range(ROWS)]

    class Grid(App[None]):
        CSS = "Bare, Heatmap { height: 1fr; width: 1fr; }"

        def get_theme_variable_defaults(self) -> dict[str, str]:
            return variable_defaults()

        def compose(self) -> ComposeResult:
            self.target: Widget = Heatmap() if scene == "heatmap" else Bare()
            yield self.target

        def on_ready(self) -> None:
            self.show(0)
            self.run_worker(self.go())

        def show(self, number: int) -> None:
            picture = pictures[number % len(pictures)]
            if isinstance(self.target, Heatmap):
                self.target.set_grid(rows, days, picture)
            elif isinstance(self.target, Bare):
                self.target.picture = picture
                self.target.refresh()

        async def go(self) -> None:
            await asyncio.sleep(0.5)
            figures = {"scroll": await self.frames(self.scroll), "change": await self.frames(self.show)}
            out.write_text(json.dumps(figures))
            self.exit()

        async def frames(self, step: Any) -> float:
            begun = time.process_time()
            for number in range(frames):
                done = asyncio.Event()
                step(number)
                self.call_after_refresh(done.set)
                await done.wait()
                await asyncio.sleep(0.01)
            return (time.process_time() - begun) / frames

        def scroll(self, number: int) -> None:
            self.target.scroll_to(x=1 + number % 300, animate=False)

    app = Grid()
    install_themes(app)
    app.theme = "dark"
    app.run()


def busy_session(lines_per_second: int) -> Any:
    """A recorded session with many VMs whose logs pour in."""
    from datetime import timedelta

    from provision.logs import Batch
    from tests.console import recorded_fleet
    from tests.console.recorded import RecordedSession

    class BusySession(RecordedSession):
        def __init__(self) -> None:
            super().__init__(live=True)
            self.snapshots = [recorded_fleet.healthy(VMS - number) for number in range(4)]
            self.looks = self.lines = 0
            self.pieces = recorded_fleet.log_entries(500)

        def fleet(self, run: str = "") -> Any:
            self.looks += 1
            return self.snapshots[self.looks % len(self.snapshots)]

        async def follow_logs(self, *_question: Any) -> AsyncIterator[Batch]:
            async for batch in self.pour():
                yield batch

        async def pour(self) -> AsyncIterator[Batch]:
            from dataclasses import replace

            begun, apart = time.monotonic(), timedelta(seconds=1 / max(1, lines_per_second))
            while True:
                due = int((time.monotonic() - begun) * lines_per_second)
                while self.lines < due:
                    entries = (
                        replace(entry, timestamp=recorded_fleet.NOW + (self.lines + number) * apart, insert_id=f"{self.lines + number}")
                        for number, entry in enumerate(self.pieces)
                    )
                    yield Batch(tuple(entries))
                    self.lines += len(self.pieces)
                await asyncio.sleep(0.02)

    return BusySession()


def measure_keys(seconds: float, out: Path) -> None:
    """Note when each key's picture was painted, in Logs, while lines and looks at the fleet come."""
    from textual import events

    from console.app import ConsoleApp
    from tests.console import recorded_fleet

    session = busy_session(LINES_PER_SECOND)
    paints: list[float] = []
    typed: set[float] = set()

    class Watched(ConsoleApp):
        async def on_event(self, event: events.Event) -> None:
            await super().on_event(event)
            # An event that nobody took comes by a second time.
            if isinstance(event, events.Key) and event.key == "up" and event.time not in typed:
                typed.add(event.time)
                self.call_after_refresh(lambda: paints.append(time.monotonic()))

        def on_ready(self) -> None:
            self.set_interval(0.05, self.to_logs)
            self.set_timer(seconds + 3, self.finish)

        def to_logs(self) -> None:
            if self.is_open and self.current_mode == "fleet":
                self.action_show_mode("logs")

        def finish(self) -> None:
            out.write_text(json.dumps({"paints": paints, "lines": session.lines, "seconds": seconds + 3}))
            self.exit()

    Watched(lambda _report: session, None, clock=recorded_fleet.clock).run()


def measure_hour(seconds: int, out: Path) -> None:
    """Resident memory after a quarter of so many simulated seconds, and at their end: looks each 5 s, 50 lines a second."""
    from console.app import ConsoleApp
    from console.feeds import FeedUpdated, LogsArrived
    from console.state import Feed
    from provision.logs import Batch
    from tests.console import recorded_fleet

    session = busy_session(0)

    class Hour(ConsoleApp):
        def opened(self, opened: Opened) -> None:
            super().opened(opened)
            self.run_worker(self.go())

        async def go(self) -> None:
            first = 0.0
            for second in range(0, seconds, 5):
                if second % 60 == 0:
                    self.action_show_mode(("fleet", "logs", "coverage", "plan")[second // 60 % 4])
                self.post_message(FeedUpdated("fleet", Feed(session.fleet(), recorded_fleet.NOW)))
                self.post_message(LogsArrived(Batch(session.pieces[:250])))
                await asyncio.sleep(0)
                done = asyncio.Event()
                self.call_after_refresh(done.set)
                await done.wait()
                if second >= seconds // 4 and not first:
                    first = resident_mb()
            out.write_text(json.dumps({"first": first, "last": resident_mb()}))
            self.exit()

    Hour(lambda _report: session, None, clock=recorded_fleet.clock).run()


def resident_mb() -> float:
    """Memory of this process now, after what nobody holds was let go."""
    import gc

    import psutil

    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def main(arguments: list[str]) -> None:
    """One measurement, as the parent asks for it."""
    match arguments:
        case ["start"]:
            start()
        case ["grid", scene, frames, out]:
            measure_grid(scene, int(frames), Path(out))
        case ["keys", seconds, out]:
            measure_keys(float(seconds), Path(out))
        case ["hour", seconds, out]:
            measure_hour(int(seconds), Path(out))
        case _:
            print(table(run(8, 200, KEY_SECONDS, HOUR)))


if __name__ == "__main__":
    main(sys.argv[1:])
