"""The Makefile: what a newcomer types first. It explains itself, works with an old make and a plain sh, and says what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = ROOT / "Makefile"
TARGETS = ("help", "demo", "test", "test-all", "test-zones", "check", "bench", "tour", "clean")
TOOLS = ("sh", "make", "sed", "grep", "printf", "env", "touch", "mkdir", "cat", "rm")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def _make(*arguments: str, folder: Path = ROOT, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run make; `path` is the whole PATH it gets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON", "VIRTUAL_ENV"))}
    if path is not None:
        environment["PATH"] = str(path)
    program = shutil.which("make") or "make"
    return subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def bare_machine(tmp_path: Path) -> tuple[Path, Path]:
    """A fresh checkout, as far as make sees it, and a PATH with plain tools and no Python."""
    folder, tools = tmp_path / "checkout", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "hatch_build.py", "engine/conversion/plain_cells.c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (tools / tool).symlink_to(found)
    return folder, tools


def _program(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


def _python(path: Path, version: str, *, ensurepip: bool = True) -> None:
    """Something that answers the Makefile's question as a Python of that version does, and notes what else it is asked."""
    lacks = "" if ensurepip else '*ensurepip*) echo "No module named ensurepip" >&2; exit 1;;'
    new = int(version.split(".")[1]) >= 11
    _program(path, f'case "$2" in {lacks} *version_info*) exit {0 if new else 1};; esac', f'echo "$*" >> {path}.asked; exit 3')


# Help


def test_make_alone_prints_every_target_with_what_it_does() -> None:
    done = _make()
    assert done.returncode == 0
    told = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert tuple(told) == TARGETS
    assert all(len(text) > 10 for text in told.values())
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_every_target_that_is_no_file_is_declared_and_has_a_help_text() -> None:
    text = MAKEFILE.read_text()
    phony = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert phony is not None
    assert tuple(phony[1].split()) == TARGETS
    assert tuple(re.findall(r"^([a-z-]+):(?!=).*## \S", text, re.MULTILINE)) == TARGETS


def test_asking_for_help_makes_no_environment(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    assert _make(folder=folder, path=tools).returncode == 0
    assert not (folder / ".venv").exists()


# Old tools


def test_an_old_make_and_a_plain_sh_understand_it() -> None:
    """GNU make 3.81 is what macOS has; its sed knows no tab in a replacement, and its sh need not be bash."""
    text = MAKEFILE.read_text()
    for later in (
        r"^\S+\s*::?:=",
        r"^\S+\s*!=",
        r"\.ONESHELL",
        r"\$\(file ",
        r"\$\(guile ",
        r"\.RECIPEPREFIX",
        r"\.EXTRA_PREREQS",
        "&:",
        r"^undefine",
    ):
        assert not re.search(later, text, re.MULTILINE), later
    assert re.search(r"^SHELL = /bin/sh$", text, re.MULTILINE)
    for bash in (r"\[\[", r"<<<", r"\bpipefail\b", r"\bfunction \w", r"&>", r"\bsource\b", r"==(?! *\$\()", r"s/[^/']*/[^/']*\\t"):
        assert not re.search(bash, text), bash


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_read(target: str) -> None:
    done = _make("-n", target)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


def test_demo_test_and_check_can_be_asked_for_at_once() -> None:
    done = _make("-n", "demo", "test", "check")
    assert done.returncode == 0, done.stderr
    for word in ("console.cli demo", "pytest", "ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert word in done.stdout


def test_headless_is_passed_on_and_not_assumed() -> None:
    assert "demo --headless" in _make("-n", "demo", "HEADLESS=1").stdout
    assert "--headless" not in _make("-n", "demo").stdout


def test_the_ci_entry_is_the_check_and_the_test_command() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# What is missing


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_a_machine_without_python_is_told_the_one_line_that_helps(target: str, bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    done = _make(target, folder=folder, path=tools)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert lines[0].startswith("Python >= 3.11 with venv is missing. Fix: apt-get install ")
    assert done.stdout == ""
    assert not (folder / ".venv").exists()


def test_an_old_python_is_no_python(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    _python(tools / "python3", "3.10")
    done = _make("test", folder=folder, path=tools)
    assert "Python >= 3.11 with venv is missing" in done.stderr
    assert not (tools / "python3.asked").exists()


def test_a_python_that_cannot_make_an_environment_is_passed_over(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    _python(tools / "python3.12", "3.12", ensurepip=False)
    done = _make("test", folder=folder, path=tools)
    assert "Python >= 3.11 with venv is missing" in done.stderr
    assert not (tools / "python3.12.asked").exists()


def test_the_first_python_that_will_do_makes_the_environment(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    _python(tools / "python3.13", "3.13", ensurepip=False)
    _python(tools / "python3.12", "3.12")
    _python(tools / "python3", "3.10")
    done = _make("test", folder=folder, path=tools)
    assert done.stdout.splitlines()[0] == "1/3 environment in .venv: about 450 MB, once"
    assert (tools / "python3.12.asked").read_text() == "-m venv .venv\n"
    assert done.returncode == 2, "an environment that could not be made must not pass"
    assert not (folder / ".venv" / ".dev").exists()


def test_a_python_given_by_name_comes_first(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    _python(tools / "python3.12", "3.12")
    _python(tools / "mine", "3.11")
    _make("test", f"PYTHON={tools / 'mine'}", folder=folder, path=tools)
    assert (tools / "mine.asked").read_text() == "-m venv .venv\n"
    assert not (tools / "python3.12.asked").exists()


def test_uv_is_used_where_it_is(bare_machine: tuple[Path, Path]) -> None:
    folder, tools = bare_machine
    _python(tools / "python3.12", "3.12", ensurepip=False)
    _program(tools / "uv", f'echo "$*" >> {tools}/uv.asked', "mkdir -p .venv")
    _make("check", folder=folder, path=tools)
    asked = (tools / "uv.asked").read_text().splitlines()
    assert asked[0] == "venv --quiet --python python3.12 .venv"
    assert asked[1] == "pip install --quiet --python .venv/bin/python --constraint constraints.txt --editable .[dev]"
    assert (folder / ".venv" / ".dev").exists()
