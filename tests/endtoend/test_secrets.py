"""The source's key, followed through a whole job: it is in the one file that is meant to hold it, and nowhere else.

And what the code does not do anywhere: hand a text to a shell, or to an interpreter.
"""

from __future__ import annotations

import ast
import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from engine.storage_service import open_storage
from provision.local import cloud as local_cloud
from tests.local_servers import KEY as LAKE_KEY
from tests.local_servers import Lake

KEY = "TD.recognisable/key+that=must&stay hidden"
KEY_FILE = "stand-in.key"
ROOT = Path(__file__).parents[2]
DAYS = ("--start", "2024-05-01", "--end", "2024-05-02")
LIMIT = 120.0


def spellings(key: str) -> set[bytes]:
    """How it would look if it came through: as it is, in a URL, in JSON, in hex, in base64 at any offset."""
    texts = {key, quote(key), quote(key, safe=""), key.replace(" ", "+"), json.dumps(key)[1:-1], key.encode().hex()}
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + key.encode()).decode()
        # The first and the last group mix with what stands before and after.
        texts |= {encoded[4:-4], base64.urlsafe_b64encode(b"\0" * lead + key.encode()).decode()[4:-4]}
    return {text.encode() for text in texts}


SPELLINGS = spellings(KEY) | spellings(LAKE_KEY)


def leaks(data: bytes) -> bool:
    return any(spelling in data for spelling in SPELLINGS)


def unpacked(data: bytes) -> Iterator[bytes]:
    """The bytes, and what gzip members in them hold."""
    yield data
    at = data.find(b"\x1f\x8b\x08")
    while at >= 0:
        inflate = zlib.decompressobj(wbits=31)
        try:
            yield inflate.decompress(data[at:])
        except zlib.error:
            pass
        at = data.find(b"\x1f\x8b\x08", at + 1)


@dataclass
class Watch:
    """Looks at the arguments of every process of this machine, again and again, while the job runs."""

    seen: set[str] = field(default_factory=set)
    """Names of the programs whose arguments were read."""
    caught: list[list[str]] = field(default_factory=list)
    environments: int = 0
    """Workers whose environment held the key: they must have it from somewhere, or nothing is proved."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(0.1):
            for process in psutil.process_iter(["cmdline"]):
                arguments = process.info["cmdline"] or []
                self.seen.update(word for word in arguments if word.startswith(("engine", "console", "provision")))
                if leaks("\0".join(arguments).encode("utf-8", "surrogateescape")):
                    self.caught.append(arguments)
                if "engine.cli" in arguments and not self.environments:
                    try:
                        self.environments += KEY in process.environ().values()
                    except psutil.Error:
                        continue

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


@dataclass
class Job:
    """What was left of a whole job."""

    root: Path
    outputs: dict[str, bytes]
    watch: Watch
    vms: list[str]
    metadata: bytes
    objects: dict[str, bytes]
    """Object name -> body and metadata, of both buckets."""


def tickdeck(root: Path, *arguments: str, code: int = 0) -> bytes:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "console.cli", *arguments],
        env=os.environ | {"TICKDECK_LOCAL_DIR": str(root), "TICKDECK_CONFIG": "", "PYTHONPATH": str(ROOT)},
        cwd=root,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == code, output.decode()
    return output


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    root = tmp_path_factory.mktemp("secrets") / "cloud"
    root.mkdir()
    (root / KEY_FILE).write_text(KEY + "\n")
    (root / KEY_FILE).chmod(0o600)
    outputs: dict[str, bytes] = {}
    try:
        outputs["up"] = tickdeck(root, "local", "up", "--scenario", "tiny")
        cloud = local_cloud.find(root)
        assert cloud is not None
        assert cloud.api_key == KEY
        make_trouble(cloud)
        with Watch() as watch:
            request = ("--venues", "binance,deribit", "--data-types", "trades,derivative_ticker", *DAYS)
            outputs["plan"] = tickdeck(root, "plan", *request, "--save")
            outputs["deploy"] = tickdeck(root, "deploy", "download", *request, "--shards", "2", "--yes", "--json")
            launched = json.loads(stdout_json(outputs["deploy"]))
            metadata = vm_metadata(cloud)
            for vm in launched["created"]:
                outputs[f"serial {vm}"] = tickdeck(root, "logs", vm, "--source", "serial")
            run = launched["run"]
            outputs["fleet"] = tickdeck(root, "fleet", "--run", run, "--json")
            outputs["reconcile"] = tickdeck(root, "reconcile", run, "--watch")
            outputs["logs"] = tickdeck(root, "logs", "--run", run, "--severity", "debug", "--lines", "5000")
            outputs["audit"] = tickdeck(root, "audit", "--json")
            outputs["config"] = tickdeck(root, "config", "show")
            outputs["cleanup"] = tickdeck(root, "cleanup", "--yes")
        yield Job(root, outputs, watch, launched["created"], metadata, read_buckets(cloud))
    finally:
        local_cloud.down(root)


def make_trouble(cloud: local_cloud.Cloud) -> None:
    """Faults at the source, so that workers have something to complain about and take their time."""
    faults: tuple[dict[str, object], ...] = (
        {"fault": "status", "status": 503, "count": 2},
        {"fault": "reset", "count": 1},
        {"fault": "truncated_body", "count": 2},
        {"fault": "slow", "bytes_per_second": 20_000, "count": 2},
    )
    for fault in faults:
        local_cloud.call(cloud, "tardis", "/_tickdeck/faults", {"match": ".csv.gz", **fault})


def stdout_json(output: bytes) -> str:
    text = output.decode()
    return text[text.index("{") : text.rindex("}") + 1]


def vm_metadata(cloud: local_cloud.Cloud) -> bytes:
    """All that Compute tells about the VMs, while they exist."""
    found = b""
    for zone in ("a", "b", "c"):
        address = f"{cloud.url('compute')}/compute/v1/projects/local/zones/asia-northeast1-{zone}/instances"
        with urllib.request.urlopen(address, timeout=30) as response:
            found += response.read()
    return found


def read_buckets(cloud: local_cloud.Cloud) -> dict[str, bytes]:
    service = open_storage(project="local", endpoint=cloud.url("storage"))
    found = {}
    for bucket in service.client.list_buckets():
        for blob in bucket.list_blobs():
            told = json.dumps([blob.name, blob.metadata, blob.content_type])
            found[f"{bucket.name}/{blob.name}"] = told.encode() + blob.download_as_bytes(raw_download=True)
    return found


def test_the_job_was_a_whole_one_and_the_workers_had_the_key(job: Job) -> None:
    kinds = {name.split("/")[1] for name in job.objects}
    assert {"raw_tick_data", "manifests", "plans", "runs", "audit", "catalogue"} <= kinds
    under_run = {name.split("/")[3].partition("-")[0] for name in job.objects if name.split("/")[1] == "runs"}
    assert {"claims", "workers", "logs", "launch"} <= under_run
    assert {"console.cli", "engine.cli", "provision.local.supervisor", "provision.local.compute"} <= job.watch.seen
    assert job.watch.environments == 1
    assert job.vms
    assert all(vm.encode() in job.metadata for vm in job.vms)
    assert b"worker_ended" in b"".join(b"".join(unpacked(body)) for name, body in job.objects.items() if "/logs/" in name)
    assert any(b"retry" in output or b"503" in output for output in job.outputs.values()), "no worker had anything to complain about"


def test_no_process_had_it_among_its_arguments(job: Job) -> None:
    assert job.watch.caught == []


def test_no_verb_printed_it(job: Job) -> None:
    assert [verb for verb, output in job.outputs.items() if leaks(output)] == []


def test_the_metadata_of_no_vm_holds_it(job: Job) -> None:
    assert not leaks(job.metadata)
    assert b"TARDIS_SECRET" in job.metadata or b"tardis" in job.metadata.lower()


def test_no_object_of_either_bucket_holds_it_in_body_or_metadata(job: Job) -> None:
    assert [name for name, body in job.objects.items() if any(map(leaks, unpacked(body)))] == []


def test_nothing_in_the_folder_of_the_local_cloud_holds_it_but_its_one_file(job: Job) -> None:
    held = []
    looked = 0
    for path in sorted(job.root.rglob("*")):
        if path.is_file():
            looked += 1
            if any(map(leaks, unpacked(path.read_bytes()))):
                held.append(str(path.relative_to(job.root)))
    assert held == [KEY_FILE]
    assert looked > 30
    assert {path.name for path in job.root.glob("*.log")} >= {"supervisor.log", "tardis.log", "compute.log"}
    assert (job.root / "logs" / "entries.journal").stat().st_size > 1_000
    assert (job.root / KEY_FILE).stat().st_mode & 0o077 == 0


def test_the_search_finds_the_key_in_every_disguise() -> None:
    for disguise in (
        KEY.encode(),
        quote(KEY, safe="").encode(),
        base64.b64encode(f"user:{KEY}".encode()),
        base64.b64encode(f"{KEY}x".encode()),
        gzip.compress(f"Authorization: Bearer {KEY}".encode()),
        b"before" + gzip.compress(KEY.encode()) + b"after",
    ):
        assert any(map(leaks, unpacked(disguise)))
    assert not leaks(b"nothing of the kind" * 1_000)


WORK = ("download", "--venues", "binance", "--data-types", "trades", *DAYS)


CODES = {"refused": 77, "no bucket": 69, "terminated": 75, "killed at a fault point": -signal.SIGKILL}


@pytest.mark.parametrize("end", ["refused", "no bucket", "aborted", "terminated", "killed at a fault point"])
def test_a_worker_that_ends_badly_in_development_mode_says_nothing_of_it(lake: Lake, end: str) -> None:
    key = KEY if end == "refused" else LAKE_KEY
    environment = os.environ | lake.environment | {"TARDIS_API_KEY": key, "PYTHONPATH": str(ROOT), "PYTHONASYNCIODEBUG": "1"}
    if end == "no bucket":
        environment["STORAGE_EMULATOR_HOST"] = "http://127.0.0.1:9"
        environment["DATA_BUCKET"] = "nowhere"
    elif end == "killed at a fault point":
        environment["TICKDECK_KILL_AT"] = "manifest_written"
    elif end in ("aborted", "terminated"):
        lake.source.post("/_tickdeck/faults", {"fault": "stall", "seconds": 600, "match": ".csv.gz"})
    try:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", "engine.cli", *WORK],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        if end in ("aborted", "terminated"):
            stop_in_the_middle(lake, process, signal.SIGABRT if end == "aborted" else signal.SIGTERM)
        output = process.communicate(timeout=LIMIT)[0]
    finally:
        lake.source.disarm()
    assert not leaks(output), output.decode(errors="replace")
    if end == "aborted":
        assert b"Fatal Python error: Aborted" in output
    else:
        assert process.returncode == CODES[end], output.decode(errors="replace")
        assert output


def stop_in_the_middle(lake: Lake, process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal once the source has struck: then the worker waits for the rest of a body."""
    ends = time.monotonic() + LIMIT
    while not any(fault["struck"] for fault in lake.source.get("/_tickdeck/faults")["faults"]):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.05)
    process.send_signal(number)


# What no module does

PRODUCT = ("engine", "provision", "console")
RUNNERS = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")}
SHELLS = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"),
    *("asyncio.create_subprocess_shell", "asyncio.subprocess.create_subprocess_shell", "pty.spawn"),
}
INTERPRETERS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {"pickle.load", "pickle.loads", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "cloudpickle.loads", "dill.loads"}


def sins(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and name of each call that hands a text to a shell or to an interpreter."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node.func)
        shell = [
            word
            for word in node.keywords
            if word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
        ]
        if shell or name in SHELLS or name in INTERPRETERS or name in UNSAFE or name.endswith("create_subprocess_shell"):
            found.append((node.lineno, name))
        elif name in RUNNERS and node.args and is_text(node.args[0]):
            found.append((node.lineno, f"{name} of a text"))
    return found


def called(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{called(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "()"


def is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Call) and called(node.func).rpartition(".")[2] in ("join", "format"))


def test_no_module_hands_a_text_to_a_shell_or_an_interpreter() -> None:
    paths = [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(paths) > 150
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}" for path in paths for line, name in sins(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_search_for_shells_finds_them() -> None:
    bad = """
os.system("ls")
subprocess.run("ls")
subprocess.run(f"ls {x}")
subprocess.Popen("ls " + x)
subprocess.run(" ".join(words))
subprocess.run(["ls"], shell=True)
subprocess.run(["ls"], shell=wanted)
subprocess.getoutput(x)
asyncio.create_subprocess_shell(x)
eval(x)
exec(x)
pickle.loads(x)
os.popen(x)
"""
    assert [line for line, _ in sins(ast.parse(bad))] == list(range(2, 15))
    good = """
subprocess.run(["ls", x])
subprocess.run(argv, shell=False)
subprocess.Popen([sys.executable, "-m", "x"])
asyncio.create_subprocess_exec("ls", x)
re.compile(x)
os.execv("/bin/ls", ["ls"])
"""
    assert sins(ast.parse(good)) == []
