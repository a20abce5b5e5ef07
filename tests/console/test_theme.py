"""Themes: they load from the package, refuse what is wrong by name, and keep every word readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App

from console.theme import (
    VARIABLES,
    ThemeError,
    contrast,
    install_themes,
    parse_theme,
    read_themes,
    theme_names,
    variable_defaults,
)
from tests.console.gallery import Gallery, heatmap

WORDS = [
    "quiet",
    *(name for name in VARIABLES if name.startswith(("state-", "severity-"))),
]
SHAPES = [name for name in VARIABLES if name.startswith("heat-") and name != "heat-not-expected"] + ["mark", "bar-done"]
DARK = (Path(__file__).parents[2] / "themes" / "dark.toml").read_text()


@pytest.mark.parametrize("name", ["dark", "light"])
def test_every_word_has_a_contrast_of_four_and_a_half_on_every_ground_it_stands_on(name: str) -> None:
    theme = read_themes()[name]
    grounds = {name: str(getattr(theme, name)) for name in ("background", "surface", "panel")}
    inks = {"foreground": str(theme.foreground), **{word: theme.variables[word] for word in WORDS}}
    weak = {
        f"{ink} on {ground}": round(contrast(inks[ink], grounds[ground]), 2)
        for ink in inks
        for ground in grounds
        if contrast(inks[ink], grounds[ground]) < 4.5
    }
    assert weak == {}


@pytest.mark.parametrize("name", ["dark", "light"])
def test_what_is_under_the_cursor_or_found_stays_readable(name: str) -> None:
    theme = read_themes()[name]
    colors = theme.variables
    assert contrast(colors["cursor-text"], colors["cursor"]) >= 4.5
    assert contrast(str(theme.foreground), colors["hit"]) >= 4.5
    assert contrast(str(theme.background), colors["state-bad"]) >= 4.5
    for word in ("state-good", "state-busy", "state-warn", "state-bad", "state-idle", "severity-error"):
        assert contrast(colors[word], colors["row-cursor"]) >= 3.5, word
        assert contrast(colors[word], colors["row-cursor-blurred"]) >= 3.5, word


@pytest.mark.parametrize("name", ["dark", "light"])
def test_every_shape_has_a_contrast_of_three_on_the_background(name: str) -> None:
    theme = read_themes()[name]
    ratios = {shape: contrast(theme.variables[shape], str(theme.background)) for shape in SHAPES}
    assert {shape: ratio for shape, ratio in ratios.items() if ratio < 3} == {}


def test_white_on_black_is_the_largest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)


def test_themes_are_read_from_the_package_and_not_from_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert theme_names() == ["dark", "light"]
    assert set(read_themes()) == {"dark", "light"}


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ThemeError, match=r"mine\.toml: \[variables\] lacks quiet"):
        parse_theme("mine", DARK.replace('quiet = "#8c9aab"\n', ""), origin="mine.toml")


def test_a_mistyped_color_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ThemeError, match="unknown color 'surfase'; did you mean 'surface'"):
        parse_theme("mine", DARK.replace("surface =", "surfase ="), origin="mine.toml")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"#6cb2f0"', '"blurple"', "'blurple' is no colour"),
        ("dark = true", 'dark = "yes"', "dark must be true or false"),
        ("dark = true", "drak = true", "unknown key 'drak'; did you mean 'dark'"),
        ("[colors]", "[colours]", r"no table \[colors\]"),
        ('quiet = "#8c9aab"', "quiet = 3", "quiet must be text"),
        ("dark = true", "dark = ", "not TOML"),
    ],
)
def test_a_broken_theme_file_says_what_is_wrong(old: str, new: str, problem: str) -> None:
    with pytest.raises(ThemeError, match=problem):
        parse_theme("mine", DARK.replace(old, new, 1), origin="mine.toml")


def test_a_theme_of_the_users_replaces_ours_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "dark.toml").write_text(DARK.replace('background = "#0f1319"', 'background = "#000000"'))
    (tmp_path / "mine.toml").write_text(DARK)
    themes = read_themes(tmp_path)
    assert themes["dark"].background == "#000000"
    assert theme_names(tmp_path) == ["dark", "light", "mine"]


def test_a_broken_theme_of_the_users_is_told_and_does_not_stop_the_app(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("dark = true")
    (tmp_path / "worse.toml").write_bytes(b"\xff\xfe")
    app: App[None] = App()
    problems = install_themes(app, tmp_path)
    assert [problem.split(": ")[0] for problem in problems] == [str(tmp_path / "bad.toml"), str(tmp_path / "worse.toml")]
    assert {"dark", "light"} <= set(app.available_themes)


def test_our_defaults_cover_all_our_variables() -> None:
    assert set(variable_defaults()) == set(VARIABLES)


@pytest.mark.parametrize("name", ["light", "nord", "ansi-dark"])
async def test_widgets_also_run_under_other_themes_and_switch_live(name: str) -> None:
    app = Gallery(*heatmap())
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = name
        await pilot.pause()
        assert "binance trades" in app.export_screenshot().replace("&#160;", " ")
