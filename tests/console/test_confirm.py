"""The questions before destruction: Enter alone never destroys."""

from __future__ import annotations

import pytest
from textual.widgets import Button, Static

from console.widgets.confirm import ConfirmItem, ConfirmMany, ConfirmOne
from tests.console.gallery import Gallery

ITEMS = [ConfirmItem(f"market-data-shard-r7-{number}", "finished 3 h ago", 10_800, 1.5) for number in range(24)]


async def answer_one(*keys: str) -> list[bool | None]:
    app = Gallery()
    answers: list[bool | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ConfirmOne("Delete vm-17?", "It is 41 % done."), answers.append)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
    return answers


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["q"], ["n"], ["tab", "tab", "enter"], ["left", "left", "enter"]])
async def test_one_thing_is_spared_by_enter_and_by_every_way_out(keys: list[str]) -> None:
    assert await answer_one(*keys) == [False]


@pytest.mark.parametrize("keys", [["left", "enter"], ["tab", "enter"], ["right", "enter"], ["up", "enter"]])
async def test_one_thing_is_done_on_the_other_button(keys: list[str]) -> None:
    assert await answer_one(*keys) == [True]


async def test_the_question_says_the_deed_on_its_button_and_has_cancel_in_focus() -> None:
    app = Gallery()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ConfirmOne("Drain vm-17?", "It ends what is in flight.", verb="Drain"))
        await pilot.pause()
        labels = [str(button.label) for button in app.screen.query(Button)]
        assert labels == ["Drain", "Cancel"]
        assert isinstance(app.focused, Button)
        assert app.focused.id == "confirm-no"


async def answer_many(*keys: str, expected: str | None = None) -> list[bool | None]:
    app = Gallery()
    answers: list[bool | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ConfirmMany("Clean up 24 resources", ITEMS, expected=expected), answers.append)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
    return answers


async def test_many_things_are_done_when_their_number_is_typed() -> None:
    assert await answer_many("2", "4", "enter") == [True]


@pytest.mark.parametrize("keys", [["enter"], ["2", "3", "enter"], ["y", "enter"], ["space", "enter"]])
async def test_anything_but_the_number_does_nothing_and_asks_again(keys: list[str]) -> None:
    assert await answer_many(*keys) == []


async def test_a_wrong_number_gives_way_to_the_one_that_is_typed_next() -> None:
    assert await answer_many("2", "5", "enter", "2", "4", "enter") == [True]


async def test_escape_spares_them() -> None:
    assert await answer_many("2", "4", "escape") == [False]


async def test_a_name_can_be_asked_for_instead() -> None:
    assert await answer_many("2", "4", "enter", expected="r7") == []
    assert await answer_many("r", "7", "enter", expected="r7") == [True]


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (60, 16)])
async def test_the_list_its_total_and_the_question_all_fit(size: tuple[int, int]) -> None:
    app = Gallery()
    async with app.run_test(size=size) as pilot:
        app.push_screen(ConfirmMany("Clean up 24 resources", ITEMS, noun="resource"))
        await pilot.pause()
        for widget in app.screen.query("Input, .confirm--total, .confirm--title, LineTable"):
            assert app.screen.region.contains_region(widget.region), widget
            assert widget.region.height > 0
        total = app.screen.query_one(".confirm--total", Static)
        assert str(total.render()) == "24 resources, $36.00 a day"


async def test_arrows_scroll_the_list_while_the_number_is_typed() -> None:
    app = Gallery()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = ConfirmMany("Clean up 24 resources", ITEMS)
        app.push_screen(screen)
        await pilot.pause()
        await pilot.press("2", "pagedown", "pagedown", "down")
        await pilot.pause()
        table = screen.query_one("LineTable")
        text = "\n".join(table.render_line(y).text for y in range(table.size.height))
        assert "r7-21" in text


def test_nothing_cannot_be_confirmed() -> None:
    with pytest.raises(ValueError, match="nothing to confirm"):
        ConfirmMany("Clean up", [])
