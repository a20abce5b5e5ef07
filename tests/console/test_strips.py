"""Sentence, status bar, steps, shard bars and legend: the strips around the big widgets."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from console.widgets.legend import HeatLegend
from console.widgets.progress_steps import ProgressSteps, Step, StepState
from console.widgets.sentence import Phrase, Sentence
from console.widgets.shard_bars import Order, ShardBar, ShardBars
from console.widgets.status_bar import Source, Status, StatusBar
from console.widgets.tones import Tone
from tests.console.gallery import NOW, Gallery, clock, shards, steps


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


async def test_a_sentence_leads_with_the_glyph_of_its_tone_and_ends_with_its_age() -> None:
    sentence = Sentence(now=clock)
    async with Gallery(sentence).run_test(size=(100, 5)):
        sentence.set_sentence(
            [Phrase("3 stuck", Tone.BAD, strong=True), Phrase(", 95 fine")], tone=Tone.BAD, as_of=NOW - timedelta(seconds=4)
        )
        assert sentence.text == "× 3 stuck, 95 fine  4 s ago"
        sentence.set_sentence("nothing to do")
        assert sentence.text == "· nothing to do"


async def test_a_sentence_grows_stale_and_says_so() -> None:
    now = Clock()
    sentence = Sentence(now=now, stale_after_seconds=30)
    async with Gallery(sentence).run_test(size=(100, 5)):
        sentence.set_sentence("all fine", tone=Tone.GOOD, as_of=NOW)
        assert sentence.text == "✓ all fine  0 s ago"
        assert not sentence.has_class("-stale")
        now.now = NOW + timedelta(seconds=190)
        sentence.set_sentence("all fine", tone=Tone.GOOD, as_of=NOW)
        assert sentence.text == "✓ all fine  3 m old"
        assert sentence.has_class("-stale")


async def test_a_long_sentence_takes_two_lines() -> None:
    sentence = Sentence(now=clock)
    async with Gallery(sentence).run_test(size=(40, 8)) as pilot:
        sentence.set_sentence("one two three four five six seven eight nine ten eleven")
        await pilot.pause()
        assert sentence.size.height == 2


STATUS = Status(
    "prod",
    ("Fleet", "vm-17", "logs"),
    (
        Source("vm", NOW - timedelta(seconds=4)),
        Source("gcs", NOW - timedelta(seconds=190), stale_after_seconds=60),
        Source("cost", None),
    ),
    protected=True,
)


async def test_the_status_bar_shows_place_profile_ages_and_the_read_only_flag() -> None:
    bar = StatusBar(now=clock)
    async with Gallery(bar).run_test(size=(120, 3)) as pilot:
        bar.set_status(STATUS)
        await pilot.pause()
        assert bar.text.startswith(" prod  Fleet › vm-17 › logs")
        assert bar.text.endswith("vm 4 s · ! gcs 3 m · cost —   READ-ONLY ")
        assert len(bar.text) == 118


async def test_a_narrow_status_bar_keeps_the_flag_and_the_source_in_trouble() -> None:
    bar = StatusBar(now=clock)
    async with Gallery(bar).run_test(size=(60, 3)) as pilot:
        bar.set_status(STATUS)
        await pilot.pause()
        assert bar.text.endswith("! gcs 3 m   READ-ONLY ")
        assert len(bar.text) == 58


async def test_a_failing_source_says_why_and_keeps_its_age() -> None:
    bar = StatusBar(now=clock)
    async with Gallery(bar).run_test(size=(120, 3)) as pilot:
        bar.set_status(Status("prod", ("Fleet",), (Source("vm", NOW - timedelta(minutes=3), problem="timed out"),)))
        await pilot.pause()
        assert bar.text.endswith("× vm 3 m, timed out")


async def test_an_armed_profile_counts_down_and_then_is_read_only_again() -> None:
    now = Clock()
    bar = StatusBar(now=now)
    async with Gallery(bar).run_test(size=(120, 3)):
        status = Status("prod", ("Fleet",), protected=True, armed_until=NOW + timedelta(minutes=15))
        bar.set_status(status)
        assert bar.text.endswith(" WRITE 15 m ")
        assert bar.has_class("-armed")
        now.now = NOW + timedelta(minutes=16)
        bar.set_status(status)
        assert bar.text.endswith(" READ-ONLY ")
        assert not bar.has_class("-armed")


async def test_steps_are_numbered_with_state_time_and_detail() -> None:
    (widget,) = steps()
    assert isinstance(widget, ProgressSteps)
    async with Gallery(widget).run_test(size=(80, 12)) as pilot:
        lines = widget.text.split("\n")
        assert lines[0].split() == ["✓", "1/5", "bucket", "server", "0.4", "s"]
        assert lines[2].split() == ["►", "3/5", "compute", "server", "3.0", "s", "waiting", "for", "127.0.0.1:41873"]
        assert lines[3].endswith("port in use")
        assert lines[4].strip() == "○ 5/5 first run"
        widget.set_steps([Step("bucket server", StepState.DONE, 75.0)])
        await pilot.pause()
        assert widget.text.split() == ["✓", "1/1", "bucket", "server", "1", "m", "15", "s"]
        assert widget.size.height == 1


async def test_shards_are_shown_longest_first_with_the_ideal_as_a_line() -> None:
    bars = ShardBars()
    async with Gallery(bars).run_test(size=(100, 10)) as pilot:
        bars.set_shards([ShardBar(n, 3600.0 * (n + 1), 10**9, 100) for n in range(4)], lower_bound_seconds=9000)
        await pilot.pause()
        lines = [bars.render_line(y).text for y in range(5)]
        assert [line.split()[0].strip("▌") or line.split()[1] for line in lines[1:]] == ["3", "2", "1", "0"]
        assert len({line.index("┃") for line in lines[1:]}) == 1
        assert lines[1].count("█") > lines[4].count("█")
        await pilot.press("o")
        assert bars.order is Order.INDEX
        assert [row.shard.index for row in bars.rows] == [0, 1, 2, 3]


async def test_two_hundred_shards_scroll_and_a_plan_of_nothing_is_told() -> None:
    _, bars = shards()
    assert isinstance(bars, ShardBars)
    async with Gallery(bars).run_test(size=(80, 24)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        assert bars.render_line(23).text.startswith("▌")
        bars.set_shards([ShardBar(0, 0.0, 0, 0)])
        await pilot.pause()
        assert "nothing to do" in bars.render_line(1).text
        bars.set_shards([])
        await pilot.pause()
        assert "no shards yet" in bars.render_line(2).text


@pytest.mark.parametrize("width", [80, 120])
async def test_the_legend_names_every_state(width: int) -> None:
    legend = HeatLegend()
    async with Gallery(legend).run_test(size=(width, 3)) as pilot:
        await pilot.pause()
        text = legend.render().plain.rstrip()
        assert len(text) <= width
        assert " ".join(text.split()) == "▇ complete ≈ thin ▄ partial × failed □ missing ► running … not ready · n/a"
