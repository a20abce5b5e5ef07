"""Saved views: one line each, in a file that a person may mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.modes import Mode
from console.views import View, load_views, read_view, save_view
from engine.errors import ConfigurationError, UsageError

VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@given(st.sampled_from(list(Mode)), st.dictionaries(st.sampled_from(["sort", "zoom", "group"]), VALUES))
def test_a_view_is_the_same_after_it_was_passed_on_as_a_line(mode: Mode, settings: dict[str, str]) -> None:
    view = View(mode, settings)
    assert read_view(view.line) == view


def test_views_are_kept_beside_each_other_and_replaced_by_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "views.toml"
    save_view(path, "stuck", View(Mode.FLEET, {"filter": 'is:stuck "no space"'}))
    save_view(path, "holes", View(Mode.COVERAGE))
    save_view(path, "stuck", View(Mode.FLEET, {"filter": "is:stuck", "sort": "eta"}))
    assert load_views(path) == {"stuck": View(Mode.FLEET, {"filter": "is:stuck", "sort": "eta"}), "holes": View(Mode.COVERAGE)}
    assert [each.name for each in path.parent.iterdir()] == ["views.toml"]


@pytest.mark.parametrize("text", ["stuck = 7", "stuck = 'nowhere'", "stuck", "stuck = \"fleet filter='/(/'\""])
def test_a_file_that_cannot_be_meant_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "views.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"views\.toml"):
        load_views(path)
    with pytest.raises(ConfigurationError):
        save_view(path, "other", View(Mode.FLEET))
    assert path.read_text() == text


def test_a_name_is_a_word(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name"):
        save_view(tmp_path / "views.toml", "a = 1\nb", View(Mode.FLEET))
