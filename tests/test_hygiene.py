"""Promises about the code itself: who imports whom at run time and by contract, and what no file of ours may contain.

The static contracts see every import statement; the subprocesses here see what really gets loaded, also by way of libraries.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("engine", "provision", "console")
SCREENS = ("textual", "rich")
CLOUD = ("google.cloud", "google.api_core", "google.auth", "grpc")
COMPUTE = ("google.cloud.compute", "google.cloud.compute_v1")

WATCH = """
import importlib, json, sys
modules, watched = json.loads(sys.argv[1])
found, before = {}, set()
for name in modules:
    importlib.import_module(name)
    loaded = {one for one in sys.modules for root in watched if one == root or one.startswith(root + ".")}
    if loaded - before:
        found[name] = sorted(loaded - before)[:3]
    before |= loaded
print(json.dumps(found))
"""

CALL = """
import json, sys
watched, program, *arguments = json.loads(sys.argv[1])
import importlib
main = importlib.import_module(program).main
try:
    main(arguments)
    code = 0
except SystemExit as stop:
    code = stop.code
loaded = sorted(one for one in sys.modules for root in watched if one == root or one.startswith(root + "."))
print("\\n" + json.dumps([code, loaded[:5]]))
"""


def _run(code: str, argument: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argument)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def _loaded_by(modules: list[str], watched: tuple[str, ...]) -> dict[str, list[str]]:
    """Which of the modules pulls in what of the watched ones."""
    found: dict[str, list[str]] = json.loads(_run(WATCH, [modules, watched]))
    return found


def _modules(package: str) -> list[str]:
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem != "__main__"]
    return [name.removesuffix(".__init__") for name in names]


def _tracked() -> list[Path]:
    """Files that are, or are about to be, in the repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git work tree: nothing says which files are ours")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _tracked():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _sources() -> list[Path]:
    return [path for path in _tracked() if path.suffix == ".py"]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _calls() -> dict[Path, list[ast.Call]]:
    """All calls of the packages, by file: to find them is what takes time, and several promises are about them."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT): _calls_in(_tree(path)) for path in paths}


def _calls_in(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


# Who loads what


def test_the_engine_loads_no_screen_and_no_cloud() -> None:
    modules = _modules("engine")
    assert {"engine.verbs.work", "engine.worker", "engine.pipeline", "engine.cloudlog"} <= set(modules)
    assert _loaded_by(["engine", *modules], (*SCREENS, *CLOUD)) == {}


def test_provisioning_loads_no_screen_and_no_compute_client_before_it_is_used() -> None:
    assert _loaded_by(_modules("provision"), (*SCREENS, *COMPUTE)) == {}


def test_the_watch_sees_what_a_module_pulls_in() -> None:
    assert list(_loaded_by(["engine", "console.app"], SCREENS)) == ["console.app"]


def test_the_command_line_loads_no_screen_and_no_cloud() -> None:
    assert _loaded_by(["console.cli"], (*SCREENS, *CLOUD)) == {}


def test_no_module_of_the_console_loads_the_compute_client_before_it_is_used() -> None:
    assert _loaded_by(_modules("console"), COMPUTE) == {}


@pytest.mark.parametrize("arguments", ["--help", "--version", "plan --help", "check --help", "logs --help"])
def test_help_waits_neither_for_a_screen_nor_for_the_cloud(arguments: str) -> None:
    code, loaded = json.loads(_run(CALL, [(*SCREENS, *CLOUD), "console.cli", *arguments.split()]))
    assert (code, loaded) == (0, [])


@pytest.mark.parametrize("arguments", ["--help", "work --help", "download --help", "config show"])
def test_the_engine_answers_without_arrow_and_without_the_cloud(arguments: str) -> None:
    code, loaded = json.loads(_run(CALL, [("pyarrow", "numpy", *SCREENS, *CLOUD), "engine.cli", *arguments.split()]))
    assert (code, loaded) == (0, [])


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_the_engine_says_what_it_can_do_without_what_does_it(arguments: str) -> None:
    libraries = ("aiohttp", "asyncio", "difflib", "msgspec", "psutil", "ssl", "tenacity", "engine.verbs", "engine.model")
    code, loaded = json.loads(_run(CALL, [libraries, "engine.cli", arguments]))
    assert (code, loaded) == (0, [])


def test_the_layer_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed here")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


# What files contain


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    homes = re.compile(r"(?<![\w.:/$}])/(?:home|Users)/\w+|(?<![\w.:/$}])/root/\w+|\b[A-Z]:\\Users\\")
    here = [str(ROOT)] + ([str(Path.home())] if len(Path.home().parts) > 2 else [])
    found = [str(path) for path, text in _texts() if homes.search(text) or any(place in text for place in here)]
    assert found == []


def test_nothing_listens_on_all_interfaces() -> None:
    everywhere = ".".join("0" * 4)
    assert [str(path) for path, text in _texts() if everywhere in text] == []


def test_nothing_is_left_to_be_done_later() -> None:
    words = re.compile("|".join(rf"\b{first}{second}\b" for first, second in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"))))
    found = [str(path) for path, text in _texts() if path.suffix not in {".raw", ".svg"} and words.search(text)]
    assert found == []


def test_types_are_worked_out_under_one_lock() -> None:
    """Two threads that meet a type of msgspec for the first time end the process: `engine.documents` makes all decoders."""
    documents = Path("engine", "documents.py")
    assert [f"{path}:{call.lineno}" for path, calls in _calls().items() if path != documents for call in calls if _works_out(call)] == []


def _works_out(call: ast.Call) -> bool:
    name = _name(call.func)
    if not name.startswith("msgspec."):
        return False
    typed = bool(call.args[1:]) or any(keyword.arg == "type" for keyword in call.keywords)
    # Of the types of the language there is nothing to work out.
    made = call.args[0] if name.endswith(".Decoder") and call.args else None
    return name == "msgspec.convert" or (name.endswith(".decode") and typed) or (made is not None and not isinstance(made, ast.Subscript))


def test_every_module_says_what_it_is() -> None:
    silent = []
    for path in _sources():
        if path.stat().st_size and not ast.get_docstring(_tree(path)):
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_every_module_is_named_after_what_is_in_it() -> None:
    nothing = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "stuff"}
    names = {path.relative_to(ROOT): {*path.stem.lower().split("_"), *path.parent.name.lower().split("_")} for path in _sources()}
    assert [str(path) for path, words in names.items() if words & nothing] == []


# Time


def test_no_code_asks_for_a_time_without_a_zone() -> None:
    assert [f"{path}:{line} {what}" for path, calls in _calls().items() for line, what in _naive_calls(calls)] == []


def test_the_search_for_naive_times_finds_them() -> None:
    bad = """
datetime.now()
datetime.utcnow()
datetime.today()
date.today()
datetime.date.today()
datetime.fromtimestamp(1)
datetime.utcfromtimestamp(1)
datetime(2024, 5, 1)
datetime.strptime("1", "%d")
time.localtime()
time.mktime(1)
"""
    assert [line for line, _ in _naive_calls(_calls_in(ast.parse(bad)))] == list(range(2, 13))
    good = """
datetime.now(UTC)
datetime.now(tz=UTC)
datetime.fromtimestamp(1, UTC)
datetime(2024, 5, 1, tzinfo=UTC)
datetime(2024, 5, 1, 0, 0, 0, 0, UTC)
datetime.strptime("1", "%d").replace(tzinfo=UTC)
date(2024, 5, 1)
"""
    assert _naive_calls(_calls_in(ast.parse(good))) == []


def test_the_engine_and_the_cloud_side_never_speak_local_time() -> None:
    """Only the console may show a person the time of the place, beside UTC."""
    found = []
    for path, calls in _calls().items():
        bare = (call for call in calls if _name(call.func).endswith(".astimezone") and not (call.args or call.keywords))
        found += [f"{path}:{call.lineno}" for call in bare if path.parts[0] != "console"]
    assert found == []


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "()"


def _naive_calls(calls: Sequence[ast.Call]) -> list[tuple[int, str]]:
    """Line and name of each call that makes or reads a time without a zone."""
    zoned = {
        id(node.func.value)
        for node in calls
        if isinstance(node.func, ast.Attribute)
        and node.func.attr == "replace"
        and any(keyword.arg == "tzinfo" for keyword in node.keywords)
    }
    found = []
    for node in calls:
        if id(node) in zoned:
            continue
        name = _name(node.func)
        owner, _, last = name.rpartition(".")
        owner = owner.rpartition(".")[2]
        keywords = {keyword.arg for keyword in node.keywords}
        given = len(node.args)
        if (
            (owner == "datetime" and last in {"utcnow", "utcfromtimestamp", "today", "strptime"})
            or (owner == "date" and last in {"today", "fromtimestamp"})
            or (owner == "datetime" and last == "now" and not given and "tz" not in keywords)
            or (owner == "datetime" and last == "fromtimestamp" and given < 2 and "tz" not in keywords)
            or (last == "datetime" and owner in {"", "datetime"} and 2 < given < 8 and "tzinfo" not in keywords)
            or (owner == "time" and last in {"localtime", "mktime"})
        ):
            found.append((node.lineno, name))
    return sorted(found)
