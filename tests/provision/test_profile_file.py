"""One value written into the configuration file: every other line stays as it was."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.errors import ConfigurationError
from provision.profile_file import write_profile_value

IMAGE = "asia-northeast1-docker.pkg.dev/p/tickdeck/engine@sha256:" + "cd" * 32
FILE = """# whose machine this is
profile = "lake"   # the one to use

[profiles.lake]
kind = "gcp"
# by digest
image = "old@sha256:00"  # see images list
project = "p"

[profiles.other]
image = "theirs@sha256:11"

[profiles.lake.endpoints]
storage = ""
"""


def test_only_the_value_of_that_profile_changes_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    assert write_profile_value(path, "lake", "image", IMAGE)
    assert path.read_text() == FILE.replace("old@sha256:00", IMAGE)
    assert not write_profile_value(path, "lake", "image", IMAGE)


def test_a_profile_that_has_none_gets_a_line_at_the_end_of_its_table(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE.replace('image = "old@sha256:00"  # see images list\n', ""))
    write_profile_value(path, "lake", "image", IMAGE)
    assert path.read_text() == FILE.replace(
        'image = "old@sha256:00"  # see images list\nproject = "p"\n', f'project = "p"\nimage = "{IMAGE}"\n'
    )


@pytest.mark.parametrize(
    "text", ["", "# nothing yet", 'profile = "local"\n', '[profiles.lake]\nkind = "gcp"', "[profiles.lake]\r\nkind = 'gcp'\r\n"]
)
def test_a_file_without_that_table_or_that_line_gets_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep" / "config.toml"
    if text:
        path.parent.mkdir()
        path.write_bytes(text.encode())
    write_profile_value(path, "lake", "image", IMAGE)
    assert path.read_bytes().decode().startswith(text)
    assert tomllib.loads(path.read_text())["profiles"]["lake"]["image"] == IMAGE


@pytest.mark.parametrize(
    "text",
    [
        'profiles = { lake = { kind = "gcp" } }\n',
        '[profiles.lake]\nimage = """\nlong"""\n',
        'profiles.lake.kind = "gcp"\n',
    ],
)
def test_what_one_line_cannot_change_is_left_alone_and_the_line_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        write_profile_value(path, "lake", "image", IMAGE)
    assert IMAGE in refused.value.hint
    assert path.read_text() == text


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("profile = \n")
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        write_profile_value(path, "lake", "image", IMAGE)
    assert path.read_text() == "profile = \n"


def test_the_file_keeps_its_rights_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    path.chmod(0o640)
    write_profile_value(path, "lake", "image", IMAGE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


_words = some.text(some.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)


@given(name=_words.filter(bool), value=_words, comment=some.text("ab#[]=\"' ", max_size=12), other=_words)
def test_whatever_stands_in_it_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str, comment: str, other: str
) -> None:
    import json

    path = tmp_path_factory.mktemp("profile") / "config.toml"
    key = json.dumps(name, ensure_ascii=True) if "\x7f" not in name else json.dumps("n")
    text = f"# {comment}\n[profiles.{key}]\nimage = 'x' # {comment}\ntheme = {json.dumps(other)}\n"
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    path.write_text(text, encoding="utf-8", newline="")
    profile = next(iter(before["profiles"]))
    try:
        write_profile_value(path, profile, "image", value)
    except ConfigurationError:
        assert path.read_bytes() == text.encode()
        return
    after = tomllib.loads(path.read_text(encoding="utf-8"))
    assert after == {"profiles": {profile: {**before["profiles"][profile], "image": value}}}
