"""The detail tree: everything is there, harmless, and one key from a filter or the clipboard."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from textual.widgets import Tree

from console.query import parse
from console.widgets.detail import DetailScreen, filter_for
from tests.console.gallery import Gallery

RECORD: dict[str, object] = {
    "severity": "ERROR",
    "time": datetime(2024, 5, 1, 5, 40, tzinfo=UTC),
    "message": "Traceback:\n  line one\n  line \x1b[31mtwo",
    "labels": {"td-run": "r7", "td-shard": 17},
    "list": [1, {"a": True}],
    "nothing": None,
    "empty": {},
}


def texts(tree: Tree[tuple[str, object]]) -> list[str]:
    return [" ".join(str(tree.get_node_at_line(line).label).split()) for line in range(tree.last_line + 1)]  # type: ignore[union-attr]


async def test_all_fields_are_listed_with_their_inner_ones() -> None:
    app = Gallery()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(DetailScreen("one", RECORD))
        await pilot.pause()
        assert texts(app.screen.query_one(Tree)) == [
            "severity ERROR",
            "time 2024-05-01 05:40:00 UTC",
            "message Traceback:",
            "line one",
            "line ␛[31mtwo",
            "labels 2",
            "td-run r7",
            "td-shard 17",
            "list 2",
            "0 1",
            "1 1",
            "a true",
            "nothing —",
            "empty {}",
        ]


async def test_enter_on_a_field_gives_a_filter_for_it() -> None:
    app = Gallery()
    answers: list[str | None] = []
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(DetailScreen("one", RECORD), answers.append)
        await pilot.pause()
        await pilot.press(*["down"] * 7)
        await pilot.press("enter")
        await pilot.pause()
    assert answers == ['labels.td-shard:"17"']
    assert parse(str(answers[0])).matches(RECORD, "")


async def test_y_asks_to_copy_the_whole_value() -> None:
    app = Gallery()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(DetailScreen("one", RECORD))
        await pilot.pause()
        await pilot.press("down", "down", "down", "y")
        await pilot.pause()
        assert [message.text for message in app.of(DetailScreen.CopyRequested)] == [RECORD["message"]]


@pytest.mark.parametrize("key", ["escape", "q", "backspace"])
async def test_it_closes_without_a_filter(key: str) -> None:
    app = Gallery()
    answers: list[str | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(DetailScreen("one", RECORD), answers.append)
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
    assert answers == [None]


@pytest.mark.parametrize("value", ["plain", 'with "quotes" in it', 17, None, "", "two\nlines"])
def test_a_filter_for_any_value_is_one_that_parses(value: object) -> None:
    assert parse(filter_for("field", value))
