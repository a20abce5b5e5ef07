"""An app that shows one widget with made-up data, for tests and for looking at it: `python -m tests.console.gallery heatmap`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeVar

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Footer

from console.actions import ActionProvider
from console.theme import install_themes, variable_defaults
from console.widgets.detail import DetailScreen
from console.widgets.fleet_table import FleetRow, FleetTable
from console.widgets.heat_looks import CODES
from console.widgets.heatmap import Heatmap
from console.widgets.legend import HeatLegend
from console.widgets.logline import LogLine, Severity
from console.widgets.logview import LogView
from console.widgets.progress_steps import ProgressSteps, Step, StepState
from console.widgets.prompt import Prompt
from console.widgets.sentence import Phrase, Sentence
from console.widgets.shard_bars import ShardBar, ShardBars
from console.widgets.status_bar import Source, Status, StatusBar
from console.widgets.table import LineTable
from console.widgets.tones import Tone
from engine.model import CellState

MessageT = TypeVar("MessageT", bound=Message)
NOW = datetime(2024, 5, 23, 5, 40, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOW


class Gallery(App[None]):
    """Widgets in a column; keeps every message of theirs in `seen`."""

    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {ActionProvider}  # noqa: RUF012 - Textual's declaration

    def __init__(self, *widgets: Widget, theme: str = "dark", footer: bool = False) -> None:
        super().__init__()
        install_themes(self)
        self.theme = theme
        self._widgets = widgets
        self._footer = footer
        self.seen: list[Message] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        yield from self._widgets
        if self._footer:
            yield Footer()

    @on(Heatmap.CursorMoved)
    @on(Heatmap.CellSelected)
    @on(Heatmap.MarksChanged)
    @on(LineTable.RowHighlighted)
    @on(LineTable.RowSelected)
    @on(LineTable.MarksChanged)
    @on(LogView.EntrySelected)
    @on(LogView.Changed)
    @on(Prompt.Changed)
    @on(Prompt.Closed)
    @on(DetailScreen.CopyRequested)
    def keep(self, message: Message) -> None:
        self.seen.append(message)

    def of(self, kind: type[MessageT]) -> list[MessageT]:
        """Messages of one kind that came up, oldest first."""
        return [message for message in self.seen if isinstance(message, kind)]


LAKE_ROWS = [
    f"{venue} {kind}"
    for venue in ("binance", "binance-futures", "bybit", "bybit-spot", "deribit", "okex", "okex-futures", "okex-swap")
    for kind in ("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain")
]


def lake_days(count: int = 519, last: date = date(2024, 5, 23)) -> list[date]:
    return [last - timedelta(days=count - 1 - place) for place in range(count)]


def lake_states(rows: int = 40, days: int = 519) -> list[bytes]:
    """Mostly complete, with the holes a lake has: late starts, an outage, a failed week, today not published."""
    random = Random(7)
    table = []
    for row in range(rows):
        states = bytearray([CODES[CellState.COMPLETE]] * days)
        if row % 5 in (2, 4) and row % 3 == 0:
            states[:] = bytes(days)
        else:
            start = random.randrange(0, 200) if row % 4 == 0 else 0
            states[:start] = bytes(start)
            for _ in range(6):
                at = random.randrange(start, days)
                states[at] = CODES[random.choice((CellState.MISSING, CellState.PARTIAL, CellState.THIN, CellState.FAILED))]
            if row % 7 == 1:
                states[days - 20 : days - 12] = bytes([CODES[CellState.MISSING]] * 8)
            if row % 9 == 3:
                states[days - 9 : days - 4] = bytes([CODES[CellState.FAILED]] * 5)
            states[days - 3 : days - 1] = bytes([CODES[CellState.RUNNING]] * 2)
            states[days - 1] = CODES[CellState.NOT_READY]
        table.append(bytes(states))
    return table


def heatmap() -> Iterable[Widget]:
    widget = Heatmap()
    widget.set_grid(LAKE_ROWS, lake_days(), lake_states())
    sentence = Sentence(now=clock)
    sentence.set_sentence(
        [
            Phrase("99.2 %", Tone.GOOD, strong=True),
            Phrase(" of 14,013 expected, "),
            Phrase("41 holes", Tone.BAD, strong=True),
            Phrase(", 6 thin; repair 6 min, $0.40, 31 GB of allowance"),
        ],
        tone=Tone.WARN,
        as_of=NOW - timedelta(seconds=8),
    )
    return [status_bar("Coverage"), sentence, widget, HeatLegend()]


def status_bar(*crumbs: str) -> StatusBar:
    bar = StatusBar(now=clock)
    sources = (
        Source("vm", NOW - timedelta(seconds=4)),
        Source("gcs", NOW - timedelta(seconds=190), stale_after_seconds=60),
        Source("logs", NOW - timedelta(seconds=3)),
        Source("cost", NOW - timedelta(hours=1), stale_after_seconds=7200),
    )
    bar.set_status(Status("prod", crumbs or ("Fleet", "vm-17", "logs"), sources, protected=True))
    return bar


def fleet_rows(count: int = 100) -> list[FleetRow]:
    rows = []
    bad = [
        ("stuck", "stuck 6 m", 8, "source 429", "no progress for 6 m on binance-futures book_snapshot_5 2024-05-02 BTCUSDT"),
        ("stuck", "stuck 4 m", 12, "", "read timeout after 60 s: https://datasets.tardis.dev/v1/okex/trades/2024/05/02"),
        ("preempted", "preempted", 48, "", "preempted 05:31:02, waiting for stock in europe-west1-b"),
        ("booting", "booting 40 s", None, "", ""),
    ]
    for number in range(count):
        state, word, age, limit, error = bad[number] if number < len(bad) else ("working", "working", 3 + number % 9, "cpu", "")
        if number >= count - 3:
            state, word, limit = "done", "done", ""
        total = 900 + number * 37
        rows.append(
            FleetRow(
                name=f"market-data-shard-r7k2-{number}",
                state=state,
                state_word=word,
                zone="europe-west1-b",
                machine="e2-highmem-8",
                shard=str(number),
                done=0 if state == "booting" else total if state == "done" else min(total, total * (number + 1) // count),
                total=0 if state == "booting" else total,
                rate_bytes_per_second=None if state == "booting" else 31.4e6 + number * 1e5,
                limited_by=limit or ("network" if number % 4 == 0 and state == "working" else ""),
                eta_seconds=None if state != "working" else 3600 * 3.4 - number * 60,
                heartbeat_age_seconds=age,
                attempt=2 if number == 2 else 1,
                cause="preempted" if number == 2 else "",
                last_error=error,
                cost_usd=1.24,
                created=NOW - timedelta(hours=2),
            )
        )
    rows.insert(4, FleetRow("legacy-gcs-box", "running", "not ours", managed=False, zone="us-central1-a", machine="n1-standard-4"))
    return rows


def fleet() -> Iterable[Widget]:
    sentence = Sentence(now=clock)
    sentence.set_sentence(
        [
            Phrase("2 stuck", Tone.BAD, strong=True),
            Phrase(", 1 preempted and replaced, 96 fine; slowest shard "),
            Phrase("17", strong=True),
            Phrase(" ends "),
            Phrase("09:04 UTC", strong=True),
        ],
        tone=Tone.BAD,
        as_of=NOW - timedelta(seconds=4),
    )
    return [status_bar("Fleet"), sentence, FleetTable(fleet_rows())]


def log_lines(count: int = 400) -> list[LogLine]:
    texts = [
        (Severity.INFO, "committed binance-futures trades 2024-05-01 BTCUSDT rows=4123877 seconds=8.1"),
        (Severity.INFO, "fetched okex-swap book_snapshot_5 2024-05-01 ETH-USDT-SWAP bytes=88123456"),
        (Severity.DEBUG, "admission: 3 in flight, 412 MB of 1.2 GB"),
        (Severity.WARNING, "429 from datasets.tardis.dev, all workers slow down for 2 s"),
        (Severity.INFO, "claimed shard 17 attempt 2"),
        (Severity.ERROR, "gave up on deribit options_chain 2024-05-02 OPTIONS after 6 attempts: gzip member 3 is cut short"),
        (Severity.DEFAULT, "plain line from the serial port"),
        (Severity.CRITICAL, "bad config: PLAN is not set\nexit 78"),
    ]
    return [
        LogLine(
            NOW - timedelta(seconds=(count - number) * 0.7),
            *texts[(number * 7 + number // 5) % len(texts)],
            vm=f"market-data-shard-r7k2-{number % 40}",
            fields={"shard": number % 40, "payload": {"event": "commit", "rows": number}},
            source="tail",
        )
        for number in range(count)
    ]


def logs() -> Iterable[Widget]:
    view = LogView(now=clock)
    view.append(log_lines())
    view.drain()
    return [status_bar("Logs"), Prompt(), view]


def shards() -> Iterable[Widget]:
    random = Random(3)
    made = []
    for number in range(200):
        seconds, size = 3600 * random.uniform(2.4, 3.4), int(random.uniform(8e9, 14e9))
        made.append(ShardBar(number, seconds, size, random.randrange(200, 900), f"market-data-shard-r7k2-{number}"))
    bars = ShardBars()
    bars.set_shards(made, lower_bound_seconds=3600 * 2.9)
    return [status_bar("Plan", "shards"), bars]


def steps() -> Iterable[Widget]:
    return [
        ProgressSteps(
            [
                Step("bucket server", StepState.DONE, 0.4),
                Step("log server", StepState.DONE, 0.2),
                Step("compute server", StepState.RUNNING, 3.0, "waiting for 127.0.0.1:41873"),
                Step("market data", StepState.FAILED, 2.0, "port in use"),
                Step("first run"),
            ]
        )
    ]


SHOWS: dict[str, Callable[[], Iterable[Widget]]] = {
    "heatmap": heatmap,
    "fleet": fleet,
    "logs": logs,
    "shards": shards,
    "steps": steps,
}

if __name__ == "__main__":
    Gallery(*SHOWS[sys.argv[1]](), footer=True).run()
