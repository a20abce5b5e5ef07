"""The wheel as a stranger gets it: built once, looked into, installed into an environment of its own and used from `/`.

The environment holds nothing but the wheel; the libraries come from where the tests run, behind it on the path. So whatever of
ours is missing in the wheel is missing here too, and a test that imported the checkout instead would say so.
"""

from __future__ import annotations

import fnmatch
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("engine", "provision", "console", "themes")
DATA = {".toml", ".txt", ".tcss", ".yaml", ".yml", ".tmpl", ".sh", ".md", ".json"}
"""Kinds of files beside the code that the program reads when it runs."""

READ_DATA = """
import console.app
from console.theme import read_themes
from engine.universe import load_universe
from provision.cloud_init import render_user_data
from provision.local.tardis.loading import load_scenario
from provision.prices import find_rates
from provision.profile import Profile
print(*(len(load_universe(name).members) for name in ("tier1", "tier2")))
print(*sorted(read_themes()))
print(*(load_scenario(name) and name for name in ("demo", "tiny", "traps")))
assert "host/engine@sha256" in render_user_data("host/engine@sha256:" + "0" * 64)
assert find_rates(Profile(name="lake", kind="gcp", project="p")) is not None
"""


def _project() -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without any download."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """What is in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and a home of its own."""

    folder: Path
    home: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder), "platbase": str(self.folder)}))

    def run(self, program: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of its programs at `/` with an empty environment."""
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), "TICKDECK_LOCAL_DIR": str(self.home / "local")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The wheel in a fresh environment."""
    root = tmp_path_factory.mktemp("stranger")
    it = Installed(root / "environment", root / "home")
    it.home.mkdir()
    venv.create(it.folder, with_pip=False, symlinks=True)
    python = str(it.folder / "bin" / "python")
    options = ["--quiet", "--no-deps", "--no-index", str(wheel)]
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", python, *options]
    else:
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Only the folder, not what its own .pth files add: there stands the way to the checkout.
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (it.packages / "zz_libraries.pth").write_text("\n".join(dict.fromkeys(libraries)) + "\n")
    yield it
    it.run("tickdeck", "local", "down")


# What is in it


def test_every_file_that_the_program_reads_is_in_the_wheel(names: set[str]) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    if shutil.which("git") and (ROOT / ".git").exists():
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        ours = {name for name in found if name and (ROOT / name).is_file()}
    else:
        paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
        ours = {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}
    assert {Path(name).suffix for name in ours} <= DATA | {".py", ".c"}, "a new kind of data file: say here that the wheel has it"
    assert ours <= names
    for place in ("themes/*.toml", "provision/local/tardis/scenarios/*.toml", "engine/universes/*.txt"):
        assert len(fnmatch.filter(names, place)) >= 2, place
    assert {"provision/prices.toml", "provision/cloud_init.yaml", "provision/worker.sh", "console/screens/plan.tcss"} <= names


def test_tests_and_tools_are_not_in_the_wheel(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".part", ".orig")) or "/test_" in name]


def test_the_parser_in_c_is_built_and_works_from_the_wheel(wheel: Path, installed: Installed) -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here")
    code = "from engine.conversion import plain_cells; print(plain_cells.is_built(), plain_cells.LIBRARY)"
    done = installed.run("python", "-c", code)
    built, _, library = done.stdout.strip().partition(" ")
    assert built == "True", done.stderr
    assert Path(library).is_relative_to(installed.packages)
    assert re.fullmatch(r"tickdeck-[\d.]+-py3-none-(linux|macosx)_\w+\.whl", wheel.name), "for every Python, and one platform"


def test_the_wheel_says_what_it_is(wheel: Path, names: set[str]) -> None:
    project = _project()
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = archive.read(f"{info}/METADATA").decode()
        points = archive.read(f"{info}/entry_points.txt").decode()
    assert f"\nName: tickdeck\nVersion: {project['version']}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert f"{info}/licenses/LICENSE" in names
    assert "engine = engine.cli:main" in points
    assert "tickdeck = console.cli:main" in points
    assert set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE)) == {"console", "local", "bench", "dev"}


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    from engine import __version__

    assert _project()["version"] == __version__


def test_every_library_is_pinned_once_in_the_constraints() -> None:
    lines = [line.split(";")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = [line.split("==")[0] for line in lines if line and not line.startswith("#")]
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    project = _project()
    extras = project["optional-dependencies"]
    asked = project["dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(asked, list)
    wanted = {re.split(r"[\[<>=~!; ]", text)[0] for text in [*asked, *(text for extra in extras.values() for text in extra)]}
    assert wanted - {"tickdeck"} <= set(pins)
    lowered = [name.lower().replace("_", "-") for name in pins]
    assert lowered == sorted(lowered)


# What it does


@pytest.mark.parametrize("package", PACKAGES)
def test_what_runs_is_the_installed_wheel_and_not_the_checkout(package: str, installed: Installed) -> None:
    done = installed.run("python", "-c", f"import {package}; print({package}.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.packages), done.stderr
    assert "tests" not in installed.run("python", "-c", "import importlib.util as u; print(u.find_spec('tests') and 'tests')").stdout


@pytest.mark.parametrize("program", ["tickdeck", "engine"])
def test_both_programs_say_their_version_and_explain_themselves(program: str, installed: Installed) -> None:
    version = installed.run(program, "--version")
    assert (version.returncode, version.stdout, version.stderr) == (0, f"{program}, version {_project()['version']}\n", "")
    told = installed.run(program, "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert f"Usage: {program}" in told.stdout


def test_the_settings_can_be_shown(installed: Installed) -> None:
    done = installed.run("engine", "config", "show", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    values = {row["name"]: row["value"] for row in json.loads(done.stdout)}
    assert values["MAX_CONCURRENT"] == "50"


def test_a_file_is_converted(installed: Installed, tmp_path: Path) -> None:
    source, target = tmp_path / "a.csv.gz", tmp_path / "a.parquet"
    text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    text += "binance,BTCUSDT,1714521600000000,1714521600000001,1,buy,1.5,2\n"
    source.write_bytes(gzip.compress(text.encode()))
    done = installed.run("engine", "convert", str(source), str(target), "--data-type", "trades")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr, report["outcome"], report["rows"]) == (0, "", "ok", 1)
    assert target.stat().st_size == report["parquet_bytes"]


THEMES = sorted(path.stem for path in (ROOT / "themes").glob("*.toml"))


def test_the_data_files_are_found_from_the_root_folder(installed: Installed) -> None:
    done = installed.run("python", "-c", READ_DATA)
    assert (done.returncode, done.stdout.split()) == (0, ["40", "60", *THEMES, "demo", "tiny", "traps"]), done.stderr


def test_the_local_cloud_comes_up_is_found_and_goes_down(installed: Installed) -> None:
    up = installed.run("tickdeck", "local", "up", "--scenario", "tiny")
    assert up.returncode == 0, up.stderr
    status = installed.run("tickdeck", "local", "status", "--json")
    told = json.loads(status.stdout)
    assert told["running"] is True
    assert {server["service"] for server in told["servers"]} == {"storage", "logs", "platform", "bigquery", "compute", "tardis"}
    pids = [server["pid"] for server in told["servers"]]
    assert all(psutil.Process(pid).exe() == os.path.realpath(installed.folder / "bin" / "python") for pid in pids)
    for line in installed.run("tickdeck", "local", "env").stdout.splitlines():
        assert re.match(r"export [A-Z_]+=\S+$", line)
    down = installed.run("tickdeck", "local", "down")
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert not any(psutil.pid_exists(pid) for pid in pids)
    after = installed.run("tickdeck", "local", "status", "--json")
    assert (after.returncode, json.loads(after.stdout)["running"]) == (69, False)


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(installed: Installed) -> None:
    done = installed.run("tickdeck", "demo", "--headless", "--json", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_missing_extra_is_named_with_the_line_that_installs_it() -> None:
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'textual': raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import console.cli\n"
        "sys.stdin.isatty = sys.stdout.isatty = lambda: True\n"
        "console.cli.main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78, done.stderr
    assert "pip install 'tickdeck[console]'" in done.stderr
