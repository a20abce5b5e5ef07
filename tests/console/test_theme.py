"""Themes: they load from the package, refuse what is wrong by name, and keep every word readable."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from textual.app import App
from textual.color import Color

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
from tests.console.color_vision import as_lab, as_seen_by, difference
from tests.console.gallery import Gallery, heatmap

OURS = ["ansi", "dark", "deuteranopia", "high-contrast", "light", "tritanopia"]
XTERM = [
    "#000000", "#cd0000", "#00cd00", "#cdcd00", "#0000ee", "#cd00cd", "#00cdcd", "#e5e5e5",
    "#7f7f7f", "#ff0000", "#00ff00", "#ffff00", "#5c5cff", "#ff00ff", "#00ffff", "#ffffff",
]  # fmt: skip
"""What xterm makes of the sixteen colours unless told otherwise (XTerm-col.ad)."""
LEAST = {"high-contrast": 7.0}
"""Contrast of words, where more than 4.5 is promised."""
WORDS = [
    "quiet",
    *(name for name in VARIABLES if name.startswith(("state-", "severity-"))),
]
SHAPES = [name for name in VARIABLES if name.startswith("heat-") and name != "heat-not-expected"] + ["mark", "bar-done"]
DARK = (Path(__file__).parents[2] / "themes" / "dark.toml").read_text()


def seen(name: str) -> dict[str, str]:
    """A theme's colours as a screen shows them: those that are the terminal's own are xterm's, on black."""
    theme = read_themes()[name]
    grounds = {key: str(getattr(theme, key)) for key in ("foreground", "background", "surface", "panel", "accent")}
    colors = {**theme.variables, **grounds}

    def shown(key: str, value: str) -> str:
        number = Color.parse(value).ansi
        if number is None:
            return value
        return (XTERM[7] if key == "foreground" else XTERM[0]) if number < 0 else XTERM[number]

    return {key: shown(key, value) for key, value in colors.items() if key in VARIABLES or key in grounds}


@pytest.mark.parametrize("name", OURS)
def test_every_word_has_a_contrast_of_four_and_a_half_on_every_ground_it_stands_on(name: str) -> None:
    theme = seen(name)
    grounds = {ground: theme[ground] for ground in ("background", "surface", "panel")}
    inks = {word: theme[word] for word in ("foreground", "accent", *WORDS)}
    least = LEAST.get(name, 4.5)
    weak = {
        f"{ink} on {ground}": round(contrast(inks[ink], grounds[ground]), 2)
        for ink in inks
        for ground in grounds
        if contrast(inks[ink], grounds[ground]) < least
    }
    assert weak == {}


@pytest.mark.parametrize("name", OURS)
def test_what_is_under_the_cursor_or_found_stays_readable(name: str) -> None:
    colors = seen(name)
    assert contrast(colors["cursor-text"], colors["cursor"]) >= 4.5
    assert contrast(colors["foreground"], colors["hit"]) >= 4.5
    assert contrast(colors["background"], colors["state-bad"]) >= 4.5
    for word in ("state-good", "state-busy", "state-warn", "state-bad", "state-idle", "severity-error"):
        assert contrast(colors[word], colors["row-cursor"]) >= 3.5, word
        assert contrast(colors[word], colors["row-cursor-blurred"]) >= 3.5, word


@pytest.mark.parametrize("name", OURS)
def test_every_shape_has_a_contrast_of_three_on_the_background(name: str) -> None:
    theme = seen(name)
    ratios = {shape: contrast(theme[shape], theme["background"]) for shape in SHAPES}
    assert {shape: ratio for shape, ratio in ratios.items() if ratio < 3} == {}


@pytest.mark.parametrize(("name", "eyes"), [("deuteranopia", "deuteranopia"), ("deuteranopia", "protanopia"), ("tritanopia", "tritanopia")])
def test_states_stay_apart_for_the_eyes_that_a_theme_is_for(name: str, eyes: str) -> None:
    theme = seen(name)
    for kind, least in (("state-", 12.0), ("heat-", 10.0)):
        colors = [key for key in VARIABLES if key.startswith(kind)]
        for view in (None, eyes):
            lab = {key: as_lab(as_seen_by(view, theme[key])) for key in colors}
            near = {pair: round(difference(lab[pair[0]], lab[pair[1]]), 1) for pair in combinations(colors, 2)}
            assert {pair: distance for pair, distance in near.items() if distance < least} == {}


def test_the_usual_theme_would_not_do_for_eyes_that_lack_a_colour() -> None:
    theme = seen("dark")
    heat = [key for key in VARIABLES if key.startswith("heat-")]
    lab = {key: as_lab(as_seen_by("protanopia", theme[key])) for key in heat}
    assert min(difference(lab[one], lab[other]) for one, other in combinations(heat, 2)) < 5


def test_the_difference_of_colours_is_that_of_the_published_examples() -> None:
    # Sharma, Wu, Dalal 2005, table 1, pairs 1, 7, 17 and 25.
    assert difference((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert difference((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=1e-4)
    assert difference((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=1e-4)
    assert difference((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


def test_white_on_black_is_the_largest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)


def test_themes_are_read_from_the_package_and_not_from_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert theme_names() == OURS
    assert set(read_themes()) == set(OURS)


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
        ('scrollbar = "#3a4654"', 'scrollbar = "gray-ish"', "scrollbar: 'gray-ish' is no colour"),
        ('scrollbar = "#3a4654"', 'scrolbar = "#3a4654"', "unknown 'scrolbar'; did you mean 'scrollbar'"),
        ('"#6cb2f0 35%"', '"#6cb2f0 much"', "is no colour"),
        ('text-style = "bold"', 'text-style = "bald"', "'bald' is no text style; did you mean 'bold'"),
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
    assert theme_names(tmp_path) == [*OURS[:4], "light", "mine", "tritanopia"]


def test_a_broken_theme_of_the_users_is_told_and_does_not_stop_the_app(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("dark = true")
    (tmp_path / "worse.toml").write_bytes(b"\xff\xfe")
    app: App[None] = App()
    problems = install_themes(app, tmp_path)
    assert [problem.split(": ")[0] for problem in problems] == [str(tmp_path / "bad.toml"), str(tmp_path / "worse.toml")]
    assert set(OURS) <= set(app.available_themes)


def test_our_defaults_cover_all_our_variables() -> None:
    assert set(variable_defaults()) == set(VARIABLES)


@pytest.mark.parametrize("name", ["light", "nord", "ansi-dark"])
async def test_widgets_also_run_under_other_themes_and_switch_live(name: str) -> None:
    app = Gallery(*heatmap())
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = name
        await pilot.pause()
        assert "binance trades" in app.export_screenshot().replace("&#160;", " ")
