"""The filter line: live, forgiving while typing, and Escape brings back what was."""

from __future__ import annotations

from textual.widgets import Input

from console.query import EVERYTHING, Vocabulary
from console.widgets.prompt import Prompt
from tests.console.gallery import Gallery


async def test_each_key_filters_at_once() -> None:
    prompt = Prompt()
    app = Gallery(prompt)
    async with app.run_test(size=(80, 5)) as pilot:
        assert prompt.display is False
        prompt.open()
        await pilot.press(*"ab")
        await pilot.pause()
        assert prompt.display is True
        assert [str(message.query) for message in app.of(Prompt.Changed)][-1] == "ab"
        prompt.set_hits(41, 14013)
        assert prompt.note == "41 of 14,013"


async def test_text_that_is_no_filter_keeps_the_last_good_one_and_says_what_is_wrong() -> None:
    prompt = Prompt()
    app = Gallery(prompt)
    async with app.run_test(size=(80, 5)) as pilot:
        prompt.open("gave")
        await pilot.pause()
        await pilot.press("space", "slash", "left_square_bracket", "slash")
        await pilot.pause()
        assert str(prompt.query_now) == "gave"
        assert prompt.has_class("-wrong")
        assert "no regular expression" in prompt.note
        prompt.set_hits(1, 2)
        assert "no regular expression" in prompt.note
        await pilot.press("backspace", "backspace", "backspace")
        await pilot.pause()
        assert not prompt.has_class("-wrong")


async def test_enter_keeps_the_filter_and_closes() -> None:
    prompt = Prompt()
    app = Gallery(prompt)
    async with app.run_test(size=(80, 5)) as pilot:
        prompt.open()
        await pilot.press(*"vm:x", "enter")
        await pilot.pause()
        assert str(app.of(Prompt.Closed)[0].query) == "vm:x"
        assert prompt.display is False
        prompt.open()
        assert prompt.query_one(Input).value == "vm:x"


async def test_escape_brings_back_the_filter_from_before() -> None:
    prompt = Prompt()
    app = Gallery(prompt)
    async with app.run_test(size=(80, 5)) as pilot:
        prompt.open()
        await pilot.press(*"old", "enter")
        prompt.open()
        await pilot.press(*"er", "escape")
        await pilot.pause()
        assert str(prompt.query_now) == "old"
        assert [str(message.query) for message in app.of(Prompt.Changed)][-1] == "old"
        prompt.open("")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.of(Prompt.Closed)[-1].query == EVERYTHING


async def test_names_of_the_view_are_completed_and_others_redden_the_line() -> None:
    prompt = Prompt(vocabulary=Vocabulary(("state", "zone"), ("stuck",)))
    app = Gallery(prompt)
    async with app.run_test(size=(80, 5)) as pilot:
        prompt.open()
        await pilot.press(*"zo")
        await pilot.pause()
        await pilot.press("right", *"x")
        await pilot.pause()
        assert str(prompt.query_now) == "zone:x"
        await pilot.press("space", *"sate:1")
        await pilot.pause()
        assert str(prompt.query_now) == "zone:x sate"
        assert prompt.has_class("-wrong")
        assert "did you mean state" in prompt.note
