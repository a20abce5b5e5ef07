"""The Dockerfile, read as data and executed without Docker: its build stage runs in an empty environment in a temporary folder.

What COPY names is copied, what RUN says is run by `sh -c` with nothing but PATH, and the image's absolute paths lie under a root
of the test's own. What that makes must be the engine, and nothing but the engine.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OFFLINE = ("Temporary failure in name resolution", "Name or service not known", "Network is unreachable", "Failed to establish a new")


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str = ""
    steps: list[tuple[str, str]] = field(default_factory=list)
    """(instruction, the rest of its line)"""

    def all(self, instruction: str) -> list[str]:
        """What this stage says with that instruction."""
        return [rest for word, rest in self.steps if word == instruction]


def read_stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; lines that end in a backslash go on."""
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        else:
            stages[-1].steps.append((word, rest.strip()))
    return stages


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    """Of our Dockerfile."""
    return read_stages((ROOT / "Dockerfile").read_text())


# What it says


def test_it_builds_in_one_stage_and_runs_in_another(stages: list[Stage]) -> None:
    build, final = stages
    assert build.name == "build"
    assert final.name == ""
    assert final.all("COPY") == ["--from=build /opt/tickdeck /opt/tickdeck"]


def test_the_base_is_the_same_named_version_in_both_stages(stages: list[Stage]) -> None:
    """A virtual environment works only under the Python that made it; the full image has the same one, and a compiler."""
    build, final = (stage.base for stage in stages)
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-[a-z]+", final)
    assert build == final.replace("-slim", "")


def test_the_engine_is_what_runs_and_not_as_root(stages: list[Stage]) -> None:
    final = stages[-1]
    assert [json.loads(rest) for rest in final.all("ENTRYPOINT")] == [["engine"]]
    assert [json.loads(rest) for rest in final.all("CMD")] == [["work"]]
    (user,) = final.all("USER")
    assert user not in {"root", "0"}
    order = [word for word, _ in final.steps]
    assert "RUN" not in order[order.index("USER") :]
    assert re.search(rf"useradd .*--uid [1-9]\d{{3,}}.* {user}$", final.all("RUN")[0])


def test_the_final_stage_gets_no_compiler_and_no_packages(stages: list[Stage]) -> None:
    for rest in stages[-1].all("RUN"):
        assert not re.search(r"\b(apt|apt-get|dpkg|gcc|g\+\+|make|build-essential|pip|curl|wget)\b", rest), rest
    assert not stages[-1].all("ADD")


def test_no_secret_and_no_user_interface_goes_in(stages: list[Stage]) -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"(?i)(api_key|token|password|credentials)", text)
    assert not re.search(r"\.\[|\[(console|local|bench|dev)\]", "\n".join(stages[0].all("RUN")))
    assert not stages[0].all("ARG")


def test_what_is_copied_is_what_the_package_is_made_of(stages: list[Stage]) -> None:
    copied = {name for rest in stages[0].all("COPY") for name in shlex.split(rest)[:-1]}
    assert copied == {
        "pyproject.toml",
        "hatch_build.py",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "engine",
        "provision",
        "console",
        "themes",
    }


# What it does


@pytest.fixture(scope="module")
def built(stages: list[Stage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an image, as far as the build stage fills it."""
    root = tmp_path_factory.mktemp("image")
    tools = root / "tools"
    tools.mkdir()
    python = tools / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(str(Path(sys.executable).resolve()))} "$@"\n')
    python.chmod(0o755)
    folder = root
    for word, rest in stages[0].steps:
        match word:
            case "WORKDIR":
                folder = root / rest.lstrip("/")
                folder.mkdir(parents=True)
            case "COPY":
                *sources, target = shlex.split(rest)
                for source in sources:
                    _copy(ROOT / source, folder / target)
            case "RUN":
                _run(rest.replace("/opt/", f"{root}/opt/"), folder, f"{tools}:/usr/bin:/bin")
            case _:
                pytest.fail(f"this test does not know {word}: teach it")
    return root / "opt" / "tickdeck"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.native"))
    else:
        shutil.copy(source, target)


def _run(line: str, folder: Path, path: str) -> None:
    done = subprocess.run(["sh", "-c", line], cwd=folder, env={"PATH": path}, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode and any(sign in done.stderr for sign in OFFLINE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, f"RUN {line}\n{done.stdout}{done.stderr}"


def _inside(built: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the image as the image would: its own PATH, nobody's home, the root folder."""
    environment = {"PATH": f"{built}/bin", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
    program = str(built / "bin" / arguments[0])
    return subprocess.run([program, *arguments[1:]], cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_image_runs_the_engine(built: Path) -> None:
    done = _inside(built, "engine", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"engine, version \d+\.\d+\.\d+\n", done.stdout)


def test_the_engine_in_the_image_is_the_installed_one(built: Path) -> None:
    done = _inside(built, "python", "-c", "import engine, engine.worker; print(engine.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(built / "lib"), done.stderr


def test_the_parser_in_c_is_in_the_image(built: Path) -> None:
    if not any(shutil.which(compiler, path="/usr/bin:/bin") for compiler in ("cc", "gcc", "clang")):
        pytest.skip("no C compiler here, as there is in the image that builds")
    done = _inside(built, "python", "-c", "from engine.conversion.plain_cells import is_built; print(is_built())")
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_every_import_of_a_worker_is_there(built: Path) -> None:
    modules = "engine.verbs.work, engine.cloudlog, google.cloud.storage, google.cloud.logging, pyarrow.parquet, tardis_client"
    code = f"import {modules}"
    done = _inside(built, "python", "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_image_knows_the_defaults_of_a_vm(built: Path) -> None:
    done = _inside(built, "engine", "config", "show", "--vm", "--json")
    values = {row["name"]: row["value"] for row in json.loads(done.stdout)}
    assert (values["CONVERTERS"], values["MAX_CONCURRENT"], values["BATCH_SIZE"]) == ("8", "500", "5000")


def test_neither_a_screen_nor_a_test_nor_a_tool_is_in_the_image(built: Path) -> None:
    done = _inside(built, "python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    names = {item["name"].lower() for item in json.loads(done.stdout)}
    assert "tickdeck" in names
    assert "pyarrow" in names
    assert names.isdisjoint({"textual", "rich", "pandas", "duckdb", "google-cloud-compute", "pytest", "mypy", "ruff", "hatchling", "build"})
    (packages,) = built.glob("lib/python*/site-packages")
    assert not (packages / "tests").exists()


def test_the_versions_in_the_image_are_those_of_the_constraints(built: Path) -> None:
    done = _inside(built, "python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    installed = {item["name"].lower().replace("_", "-"): item["version"] for item in json.loads(done.stdout)}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    pinned = {one.name: str(one.specifier).removeprefix("==") for one in wanted}
    free = set(installed) - {name.lower().replace("_", "-") for name in pinned} - {"tickdeck", "pip", "setuptools"}
    assert free == set()
    assert {name: installed[name] for name in pinned if name in installed} == {name: pinned[name] for name in pinned if name in installed}
