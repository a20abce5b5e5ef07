"""What people and schedulers get wrong, and what a machine or a service refuses, through both command lines.

Each time: one line that names the input and, after an arrow, the next step; the documented exit code; no traceback; and nothing
half-written, in either bucket or in the temporary folder.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.errors import ExitCode
from engine.storage_service import open_storage
from engine.store import Store
from tests.command_host import Answer, CommandHost
from tests.conftest import STAND_IN
from tests.local_servers import KEY, Lake, LocalServer, make_lake, started
from tests.unprivileged import unprivileged

USAGE, PARTIAL, UNAVAILABLE = ExitCode.USAGE, ExitCode.PARTIAL, ExitCode.UNAVAILABLE
TEMPORARY, NOT_PERMITTED, CONFIGURATION = ExitCode.TEMPORARY, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION

ASKED = frozenset({"catalogue/"})
"""What a request leaves behind that is found wrong only by what the source offers: the source's own answer."""


@dataclass(frozen=True)
class Mistake:
    """A command that cannot be carried out."""

    line: str
    """The command, split at spaces."""
    code: ExitCode
    names: str
    """What the line must name."""
    step: str
    """What must come after the arrow."""
    environment: dict[str, str] = field(default_factory=dict)
    leaves: frozenset[str] = frozenset()
    """Folders of the state bucket that may have new objects."""


DOWNLOAD = "engine download --venues binance --data-types trades"
DAY = "--start 2024-05-01"
REPLAY = "engine replay --from 2024-05-01"

ENGINE = [
    Mistake("engine downlaod", USAGE, "'downlaod'", "did you mean download?"),
    Mistake("engine candles", USAGE, "no venue given", "--venues"),
    Mistake(f"{DOWNLOAD} {DAY} --universes tier1", USAGE, "--universes", "see: engine download --help"),
    Mistake(f"engine download --venues binanse --data-types trades {DAY}", USAGE, "'binanse'", "did you mean binance?"),
    Mistake(f"engine download --venues Binance --data-types trades {DAY}", USAGE, "'Binance'", "did you mean binance?"),
    Mistake(f"engine download --venues ../x --data-types trades {DAY}", USAGE, "'../x'", 'look like "binance-futures"'),
    Mistake(f"engine download --venues , --data-types trades {DAY}", USAGE, "--venues", "see: engine download --help"),
    Mistake(f"engine download --venues binance --data-types , {DAY}", USAGE, "--data-types", "see: engine download --help"),
    Mistake(f"engine download --data-types trades {DAY}", USAGE, "--venues", "see: engine download --help"),
    Mistake(f"engine download --venues binance --data-types trade {DAY}", USAGE, "'trade'", "did you mean trades?"),
    Mistake(f"{DOWNLOAD} {DAY} --symbols BTCUSD", USAGE, "'BTCUSD'", "did you mean BTCUSDT?", leaves=ASKED),
    Mistake(f"{DOWNLOAD} {DAY} --symbols ../x", USAGE, "'../x'", 'look like "BTCUSDT"'),
    Mistake(f"{DOWNLOAD} {DAY} --symbols ,", USAGE, "--symbols", "see: engine download --help"),
    Mistake(f"{DOWNLOAD} {DAY} --universe teir1", USAGE, "'teir1'", "did you mean tier1?", leaves=ASKED),
    Mistake(f"{DOWNLOAD} --start 2024-05-03 --end 2024-05-01", USAGE, "2024-05-03..2024-05-01", "did you mean 2024-05-01..2024-05-03?"),
    Mistake(f"{DOWNLOAD} --start 2024-02-30", USAGE, "--start-date: '2024-02-30'", "2024-02 has 29 days"),
    Mistake(f"{DOWNLOAD} --start 2023-02-29", USAGE, "'2023-02-29'", "2023-02 has 28 days"),
    Mistake(f"{DOWNLOAD} --start 2024-13-01", USAGE, "'2024-13-01'", "month must be in 1..12"),
    Mistake(f"{DOWNLOAD} --start 01/05/2024", USAGE, "'01/05/2024'", "use YYYY-MM-DD"),
    Mistake(f"{DOWNLOAD} --start ٢٠٢٤-٠٥-٠١", USAGE, "'٢٠٢٤-٠٥-٠١'", "use YYYY-MM-DD"),
    Mistake(f"{DOWNLOAD}", USAGE, "no day", "--start 2024-05-01"),
    Mistake(f"{DOWNLOAD} --end 2024-05-01", USAGE, "no day", "--start 2024-05-01"),
    Mistake(f"{DOWNLOAD} --day 2024-05-01 --end 2024-05-01", USAGE, "--day", "give the one you mean"),
    Mistake(f"{DOWNLOAD} --start 2099-01-01", TEMPORARY, "2099-01-01, a day in the future", "again after 2099-01-02 06:00", leaves=ASKED),
    Mistake(f"{DOWNLOAD} --start 2024-05-09", TEMPORARY, "2024-05-09", "it was due 2024-05-10 06:00 UTC", leaves=ASKED),
    Mistake(f"{DOWNLOAD} --day latest", TEMPORARY, "has not published", "run the same command again", leaves=ASKED),
    Mistake(f"{DOWNLOAD} {DAY} --shard-index 5 --total-shards 3", USAGE, "--shard-index 5", "indexes are 0..2"),
    Mistake(f"{DOWNLOAD} {DAY} --shard-index 5", USAGE, "--shard-index without --total-shards", "give both"),
    Mistake(f"{DOWNLOAD} {DAY} --total-shards 3", USAGE, "--total-shards without --shard-index", "give both"),
    Mistake(f"{DOWNLOAD} {DAY} --total-shards -1 --shard-index 0", USAGE, "-1", "see: engine download --help"),
    Mistake(f"{DOWNLOAD} {DAY} --max-concurrent abc", USAGE, "'abc'", "see: engine download --help"),
    Mistake(f"{DOWNLOAD} {DAY} --run ../x", USAGE, "'../x'", "runs look like"),
    Mistake(f"{DOWNLOAD} {DAY} --retry-outcomes faild", USAGE, "'faild'", "did you mean failed?"),
    Mistake(f"{DOWNLOAD} {DAY} --daily-bytes lots", USAGE, "--daily-bytes: 'lots'", "use 500GB"),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "BATCH_SIZE=50 (environment BATCH_SIZE)", "set 100 or more", {"BATCH_SIZE": "50"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "MAX_CONCURRENT='abc'", "set a number", {"MAX_CONCURRENT": "abc"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "MAX_CONCURRENT='nan'", "set a number", {"MAX_CONCURRENT": "nan"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "MAX_CONCURRENT=0", "set 1 or more", {"MAX_CONCURRENT": "0"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "MAX_WORKERS", "set a number", {"MAX_WORKERS": "many"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "LOG_LEVEL='LOUD'", "set one of DEBUG", {"LOG_LEVEL": "LOUD"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "TARDIS_API_URL='nowhere'", "https://HOST/v1", {"TARDIS_API_URL": "nowhere"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "bucket no-such-lake", "create it", {"DATA_BUCKET": "no-such-lake"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "bucket no-such-state", "create it", {"STATE_BUCKET": "no-such-state"}),
    Mistake(f"{DOWNLOAD} {DAY} --data-bucket gs://lake", CONFIGURATION, "'gs://lake' (flag)", "the name alone"),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "STATE_BUCKET='Lake'", "the name alone", {"STATE_BUCKET": "Lake"}),
    Mistake(f"{DOWNLOAD} {DAY}", CONFIGURATION, "both in lake", "set STATE_BUCKET", {"STATE_BUCKET": "lake", "DATA_BUCKET": "lake"}),
    Mistake(
        f"{DOWNLOAD} {DAY}",
        CONFIGURATION,
        "'http://storage.example.com'",
        "on 127.0.0.1",
        {"STORAGE_EMULATOR_HOST": "http://storage.example.com"},
    ),
    Mistake(
        f"{DOWNLOAD} {DAY}",
        UNAVAILABLE,
        "no connection to 127.0.0.1:1",
        "check the network",
        {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"},
    ),
    Mistake("engine instruments", USAGE, "no venue", "--list-venues"),
    Mistake("engine instruments --venues binanse", USAGE, "'binanse'", "did you mean binance?"),
    Mistake("engine instruments --venues binance --end 2024-05-01", USAGE, "--end", "add --start"),
    Mistake(
        "engine instruments --venues binance --start 2099-01-01", TEMPORARY, "not published", "run the same command again", leaves=ASKED
    ),
    Mistake("engine work --run r1tp8k5m2x --vm x", CONFIGURATION, "'r1tp8k5m2x'", "check --run"),
    Mistake("engine work --run r1tp8k5m2x --vm x --shard 1", USAGE, "--shard", "in tickdeck fleet"),
    Mistake("engine work --run r1tp8k5m2x --vm x --shard 1 --plan 0123456789ab", CONFIGURATION, "0123456789ab", "tickdeck plan"),
    Mistake("engine convert /no/such.csv.gz /tmp/x.parquet --data-type trades", USAGE, "/no/such.csv.gz", "name a .csv.gz file"),
    Mistake("engine convert /etc/hosts /no/such/x.parquet --data-type trades", USAGE, "/no/such", "make it first"),
    Mistake("engine convert /etc/hosts /tmp/x.parquet --data-type trade", USAGE, "'trade'", "did you mean trades?"),
    Mistake("engine config shwo", USAGE, "shwo", "see: engine config --help"),
    Mistake(f"{REPLAY} --venue binanse --channels trade --to 2024-05-02", USAGE, "'binanse'", "did you mean binance?"),
    Mistake(f"{REPLAY} --venue binance --channels trad --to 2024-05-02", USAGE, "'trad'", "did you mean trade?"),
    Mistake(f"{REPLAY} --venue binance --channels trade --symbols btcusd --to 2024-05-02", USAGE, "'btcusd'", "did you mean btcusdt?"),
    Mistake(f"{REPLAY} --venue binance --channels trade --to 2024-05-01T10:00", USAGE, "no time zone", "end it with Z"),
    Mistake("engine validate --start 2024-05-03 --end 2024-05-01", USAGE, "2024-05-03..2024-05-01", "did you mean 2024-05-01..2024-05-03?"),
    Mistake(f"engine adopt --venues binanse {DAY}", USAGE, "'binanse'", "did you mean binance?"),
    Mistake("engine adopt --start 2024-05-03 --end 2024-05-01", USAGE, "2024-05-03..2024-05-01", "did you mean 2024-05-01..2024-05-03?"),
]

PLAN = "tickdeck plan --venues binance --data-types trades"
DEPLOY = "tickdeck deploy download --venues binance --data-types trades"
RUN = "r1tp8k5m2x"
WAIVE = f"tickdeck waive --venues binance --data-types trades {DAY} --yes --reason 'the source never had it'"

CONSOLE = [
    Mistake("tickdeck paln", USAGE, "'paln'", "did you mean plan?"),
    Mistake(f"{PLAN} {DAY} --univers tier1", USAGE, "--univers", "see: tickdeck plan --help"),
    Mistake(f"tickdeck plan --venues binanse --data-types trades {DAY}", USAGE, "'binanse'", "did you mean binance?"),
    Mistake(f"tickdeck plan --venues , --data-types trades {DAY}", USAGE, "--venues", "see: tickdeck plan --help"),
    Mistake(f"tickdeck plan --venues binance --data-types trade {DAY}", USAGE, "'trade'", "did you mean trades?", leaves=ASKED),
    Mistake(f"{PLAN} {DAY} --symbols BTCUSD", USAGE, "'BTCUSD'", "did you mean BTCUSDT?"),
    Mistake(f"{PLAN} {DAY} --universe teir1", USAGE, "'teir1'", "did you mean tier1?"),
    Mistake(f"{PLAN} {DAY} --strategy balance", USAGE, "--strategy: 'balance'", "did you mean balanced?"),
    Mistake(f"{PLAN} {DAY} --shards -1", USAGE, "-1", "see: tickdeck plan --help"),
    Mistake(f"{PLAN} --start 2024-05-03 --end 2024-05-01", USAGE, "2024-05-03..2024-05-01", "did you mean 2024-05-01..2024-05-03?"),
    Mistake(f"{PLAN} --start 2024-02-30", USAGE, "'2024-02-30'", "2024-02 has 29 days"),
    Mistake(f"{PLAN} --end 2024-05-01", USAGE, "--start", "see: tickdeck plan --help"),
    Mistake(f"{PLAN} --start 2099-01-01", TEMPORARY, "2099-01-01", "again after 2099-01-02 06:00 UTC"),
    Mistake(f"{PLAN} --start 2099-01-01 --json", TEMPORARY, "2099-01-01", "again after 2099-01-02 06:00 UTC"),
    Mistake(f"{PLAN} {DAY} --deadline soon", USAGE, "--deadline: 'soon'", "use 06:00, 4h"),
    Mistake(f"{PLAN} {DAY} --deadline 2024-05-02T06:00", USAGE, "has no time zone", "end it with Z"),
    Mistake(f"{PLAN} {DAY} --deadline 2024-05-02T06:00Z", USAGE, "2024-05-02T06:00Z", "give a later one"),
    Mistake(f"{PLAN} {DAY} --profile loacl", CONFIGURATION, "'loacl'", "did you mean 'local'?"),
    Mistake("tickdeck --profile loacl fleet", CONFIGURATION, "'loacl'", "did you mean 'local'?"),
    Mistake(f"{DEPLOY} --start 2099-01-01 --yes", TEMPORARY, "2099-01-01", "again after 2099-01-02 06:00 UTC"),
    Mistake(f"{DEPLOY} {DAY} --yes --shards-only 9", CONFIGURATION, "no shard 9", "shards are 0..", leaves=frozenset({"plans/"})),
    Mistake(f"{DEPLOY} {DAY} --yes --shards-only 3-1", USAGE, "'3-1'", "write 40-59,70"),
    Mistake("tickdeck deploy plan 0123456789ab --yes", CONFIGURATION, "0123456789ab", "tickdeck plan"),
    Mistake("tickdeck deploy plan ../x --yes", CONFIGURATION, "../x", "tickdeck plan"),
    Mistake("tickdeck deploy downlaod", USAGE, "downlaod", "see: tickdeck deploy --help"),
    Mistake(f"tickdeck fleet --run {RUN}", USAGE, RUN, "tickdeck fleet --runs"),
    Mistake(f"tickdeck drain {RUN} --yes", USAGE, RUN, "tickdeck fleet --runs"),
    Mistake(f"tickdeck abort {RUN} --yes", USAGE, RUN, "tickdeck fleet --runs"),
    Mistake(f"tickdeck reconcile {RUN}", USAGE, RUN, "tickdeck fleet --runs"),
    Mistake(f"tickdeck logs --run {RUN}", USAGE, RUN, "tickdeck fleet --runs"),
    Mistake("tickdeck logs --since soon", USAGE, "'soon'", "write 30m"),
    Mistake("tickdeck logs --since 1h --until 2h", USAGE, "--until 2h", "swap them"),
    Mistake("tickdeck logs --source serial", USAGE, "serial port", "name a VM"),
    Mistake("tickdeck logs --follow --until 1h", USAGE, "--until", "leave one out"),
    Mistake("tickdeck logs --follow --errors", USAGE, "--errors", "leave one out"),
    Mistake("tickdeck logs --errors --histogram", USAGE, "--errors and --histogram", "one after the other"),
    Mistake("tickdeck logs --around soon", USAGE, "'soon'", "write 30m"),
    Mistake("tickdeck logs --around 03:15 --until 1h", USAGE, "--around and --until", "--since and --until"),
    Mistake("tickdeck logs --filter venue:", USAGE, "--filter venue:", "field:value"),
    Mistake("tickdeck deploy instruments --bogus --yes", USAGE, "--bogus", "see: engine instruments --help"),
    Mistake("tickdeck deploy validate --yes", USAGE, "--start-date", "see: engine validate --help"),
    Mistake("tickdeck deploy instruments --shards 3 --yes", USAGE, "one job for one VM", "--shards 1"),
    Mistake("tickdeck deploy candles --venues nowhere --start 2024-05-01 --timeframes 2m", USAGE, "timeframe '2m'", "did you mean"),
    Mistake("tickdeck deploy stream-ticks", USAGE, "not there yet", "download, candles"),
    Mistake(f"{DEPLOY} {DAY} --executor batch --yes", USAGE, "Google Batch is not there yet", "--executor vm"),
    Mistake(f"{DEPLOY} {DAY} --executor cloud-run --yes", USAGE, "Cloud Run jobs is not there yet", "--executor vm"),
    Mistake("tickdeck schedule daily", USAGE, "not there yet", "see CHANGELOG.md"),
    Mistake("tickdeck fleet --notify https://hooks.example.com/x", USAGE, "--notify", "--watch"),
    Mistake("tickdeck fleet --watch --notify http://hooks.example.com/x", CONFIGURATION, "hooks.example.com", "https://"),
    Mistake("tickdeck logs --grep (", USAGE, "'('", "regular expression"),
    Mistake(f"tickdeck check --venues binanse --data-types trades {DAY}", USAGE, "'binanse'", "did you mean binance?"),
    Mistake(f"tickdeck check --venues binance --data-types trade {DAY}", USAGE, "'trade'", "did you mean trades?"),
    Mistake("tickdeck check --venues binance --data-types trades --start 2099-01-01", TEMPORARY, "1 not ready", "again later"),
    Mistake(f"tickdeck check --venues binance --data-types trades {DAY}", PARTIAL, "1 hole", "tickdeck repair"),
    Mistake(f"tickdeck check --venues binance --data-types trades {DAY} --symbols BTCUSD", USAGE, "'BTCUSD'", "did you mean BTCUSDT?"),
    Mistake(f"tickdeck repair --venues binance --data-types trades {DAY} --symbols BTCUSD", USAGE, "'BTCUSD'", "did you mean BTCUSDT?"),
    Mistake(f"{WAIVE} --symbols BTCUSDT,BTCUSD", USAGE, "'BTCUSD'", "did you mean BTCUSDT?"),
    Mistake("tickdeck catalogue diff --venue binanse", USAGE, "binanse", "did you mean binance?"),
    Mistake("tickdeck catalogue diff 2024-05-01T06:00 --venue binance", USAGE, "a time of day ends with Z", "known: "),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "data_bucket = 'Lake'", "the name alone", {"TICKDECK_DATA_BUCKET": "Lake"}),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "both in lake", "another", {"TICKDECK_DATA_BUCKET": "lake", "TICKDECK_STATE_BUCKET": "lake"}),
    Mistake(f"tickdeck repair --venues binance --data-types trade {DAY}", USAGE, "'trade'", "did you mean trades?"),
    Mistake("tickdeck repair --venues binance --data-types trades --start 2099-01-01", TEMPORARY, "2099-01-01", "again after"),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "max_vms = 'abc'", "a whole number", {"TICKDECK_MAX_VMS": "abc"}),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "broken.toml is not TOML", "mend", {"TICKDECK_CONFIG": "{files}/broken.toml"}),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "no-such.toml", "unset TICKDECK_CONFIG", {"TICKDECK_CONFIG": "{files}/no-such.toml"}),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "{files} cannot be read", "a file", {"TICKDECK_CONFIG": "{files}"}),
    Mistake(f"{PLAN} {DAY}", CONFIGURATION, "'bukcet'", "did you mean 'data_bucket'?", {"TICKDECK_CONFIG": "{files}/mistyped.toml"}),
    Mistake(
        f"{PLAN} {DAY} --profile lake",
        CONFIGURATION,
        "STORAGE_EMULATOR_HOST is set",
        "unset STORAGE_EMULATOR_HOST",
        {"TICKDECK_CONFIG": "{files}/gcp.toml", "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"},
    ),
    Mistake(
        f"{PLAN} {DAY} --profile lake",
        CONFIGURATION,
        "BIGQUERY_EMULATOR_HOST is set",
        "use the profile local",
        {"TICKDECK_CONFIG": "{files}/gcp.toml", "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"},
    ),
]


def objects(*stores: Store) -> dict[str, int]:
    """Every object of the buckets, with its generation."""
    return {f"{store.bucket}/{info.name}": info.generation for store in stores for info in store.list("")}


def judge(mistake: Mistake, answer: Answer, program: str) -> None:
    assert answer.code == mistake.code, answer
    assert "Traceback" not in answer.out + answer.err
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    said, arrow, step = lines[0].partition(" -> ")
    assert lines[0].startswith(f"{program}: ")
    assert arrow
    assert "->" not in step, "one step, not two"
    assert mistake.names in said, lines[0]
    assert mistake.step in step, lines[0]
    assert len(lines[0]) < 400
    assert KEY not in answer.out + answer.err


def judge_left(mistake: Mistake, before: dict[str, int], after: dict[str, int], state: Store) -> None:
    new = {name for name in after if after[name] != before.get(name)}
    allowed = tuple(f"{state.bucket}/{folder}" for folder in mistake.leaves)
    assert {name for name in new if not (allowed and name.startswith(allowed))} == set()
    assert set(before) <= set(after)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the commands."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def mistaken_lake(storage_server: LocalServer, tiny_source: LocalServer) -> Lake:
    """Buckets that every mistake of the engine's table is made against."""
    return make_lake(storage_server, tiny_source, f"mistakes-{os.getpid()}")


@pytest.fixture(scope="module")
def engine_host(mistaken_lake: Lake, scratch: Path) -> Iterator[CommandHost]:
    with CommandHost(mistaken_lake.environment | {"TMPDIR": str(scratch)}) as host:
        yield host


@pytest.mark.parametrize("mistake", ENGINE, ids=lambda mistake: f"{mistake.line} {mistake.environment or ''}")
def test_a_mistake_with_the_engine_is_one_line_and_leaves_nothing(
    mistake: Mistake, engine_host: CommandHost, mistaken_lake: Lake, scratch: Path
) -> None:
    before = objects(mistaken_lake.data, mistaken_lake.state)
    answer = engine_host.run(*mistake.line.split(), **mistake.environment)
    judge(mistake, answer, "engine")
    judge_left(mistake, before, objects(mistaken_lake.data, mistaken_lake.state), mistaken_lake.state)
    assert list(scratch.iterdir()) == []


@dataclass(frozen=True)
class ConsoleLake:
    """A local cloud with nothing in it, and a process that runs `tickdeck` commands against it."""

    host: CommandHost
    data: Store
    state: Store
    files: Path


@pytest.fixture(scope="module")
def console_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleLake]:
    folder = tmp_path_factory.mktemp("console")
    files = folder / "files"
    files.mkdir()
    (files / "broken.toml").write_text("profile = [\n")
    (files / "mistyped.toml").write_text('[profiles.local]\nbukcet = "x"\n')
    (files / "gcp.toml").write_text('[profiles.lake]\nkind = "gcp"\nproject = "somebody"\n')
    environment = {
        "TICKDECK_LOCAL_DIR": str(folder / "cloud"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "HOME": str(folder),
    }

    def local(*arguments: str) -> str:
        argv = [sys.executable, "-m", "console.cli", "local", *arguments]
        return subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=True).stdout

    try:
        local("up", "--scenario", "tiny")
        url = next(s["url"] for s in json.loads(local("status", "--json"))["servers"] if s["service"] == "storage")
        with CommandHost(environment) as host:
            # The first command makes the buckets and asks the source, so that what follows leaves nothing behind.
            assert host.run(*f"{PLAN} {DAY}".split()).code == 0
            service = open_storage(project="local", endpoint=url)
            yield ConsoleLake(host, Store(service, "market-data-tick"), Store(service, "market-data-tick-state"), files)
    finally:
        local("down")


@pytest.mark.parametrize("mistake", CONSOLE, ids=lambda mistake: f"{mistake.line} {mistake.environment or ''}")
def test_a_mistake_with_the_console_is_one_line_and_leaves_nothing(mistake: Mistake, console_lake: ConsoleLake) -> None:
    before = objects(console_lake.data, console_lake.state)
    environment = {name: value.format(files=console_lake.files) for name, value in mistake.environment.items()}
    answer = console_lake.host.run(*shlex.split(mistake.line), **environment)
    expected = Mistake(mistake.line, mistake.code, mistake.names.replace("{files}", str(console_lake.files)), mistake.step)
    judge(expected, answer, "tickdeck")
    judge_left(mistake, before, objects(console_lake.data, console_lake.state), console_lake.state)


# What is refused only when the work has begun. Each by a process of its own.


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a command that failed."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert " -> " in lines[0]
    assert len(lines[0]) < 400
    assert KEY not in result.stdout + result.stderr
    return lines[0]


def committed(lake: Lake) -> set[str]:
    """What counts as done or known: objects of data, and manifests."""
    return {name for name in objects(lake.data, lake.state) if "/manifests/" in name or name.startswith(f"{lake.data.bucket}/")}


@pytest.mark.parametrize(
    ("key", "said", "step"), [("", "wants a key (401)", "set TARDIS_API_KEY"), ("wrong", "refuses the key (401)", "check TARDIS_API_KEY")]
)
def test_a_key_that_is_missing_or_wrong_stops_the_work(lake: Lake, key: str, said: str, step: str) -> None:
    result = lake.engine(*DOWNLOAD.split()[1:], "--start", "2024-05-02", TARDIS_API_KEY=key)
    assert result.returncode == NOT_PERMITTED
    line = one_line(result)
    assert said in line
    assert step in line
    assert committed(lake) == set()


@pytest.mark.parametrize(("bucket", "method"), [("data", "POST"), ("data", "GET"), ("state", "POST"), ("state", "GET")])
def test_a_bucket_that_refuses_this_account_is_named(lake: Lake, bucket: str, method: str) -> None:
    name = lake.data.bucket if bucket == "data" else lake.state.bucket
    lake.storage.post("/_tickdeck/faults", {"fault": "status", "status": 403, "method": method, "match": f"/b/{name}/"})
    try:
        result = lake.engine(*DOWNLOAD.split()[1:], *DAY.split())
    finally:
        lake.storage.disarm()
    assert result.returncode == NOT_PERMITTED
    line = one_line(result)
    assert f"gs://{name}/" in line
    assert "let this account create, get and list objects" in line
    assert "http://" not in line, "the request is not what a person needs"
    assert committed(lake) == set()
    if (bucket, method) != ("data", "POST"):
        assert objects(lake.data, lake.state) == {}, "found before anything was begun"


LARGE = """
name = "large"
seed = 3
first_day = 2024-05-01
last_day = 2024-05-01
exported_until = 2024-05-03
[[venues]]
id = "binance"
name = "Binance Spot"
since = 2019-03-30
[[venues.symbols]]
id = "BTCUSDT"
base = "BTC"
price = 60000.0
tick = 0.01
lot = 0.00001
rows = { trades = 120000 }
"""


@pytest.fixture(scope="module")
def large_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A source with one file that does not fit into the memory of a spool."""
    folder = tmp_path_factory.mktemp("large")
    scenario = folder / "large.toml"
    scenario.write_text(LARGE)
    with started("tardis", folder / "tardis", "--scenario", str(scenario), environment=STAND_IN) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a temporary folder with so many bytes of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def make(size: int) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True, capture_output=True)
        mounted.append(folder)
        return folder

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(("share", "said"), [(0.5, "cannot spool a download"), (1.4, "cannot be written")], ids=["body", "parquet"])
def test_a_full_disk_stops_the_work_and_leaves_nothing(
    share: float, said: str, storage_server: LocalServer, large_source: LocalServer, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    lake = make_lake(storage_server, large_source, f"full-{os.getpid()}-{int(share * 10)}")
    with urllib.request.urlopen(f"{large_source.url}/v1/binance/trades/2024/05/01/BTCUSDT.csv.gz") as answer:
        body = len(answer.read())
    limits: dict[str, str] = {}
    prefix: list[str] = []
    try:
        limits["TMPDIR"] = str(small_disk(int(body * share)))
    except (subprocess.CalledProcessError, FileNotFoundError):
        # Where nothing may be mounted a limit of the size of a file stands for the disk.
        limits["TMPDIR"] = str(tmp_path / "disk")
        prefix = ["sh", "-c", f'ulimit -f {int(body * min(share, 0.5)) // 512}; exec "$@"', "sh"]
    result = subprocess.run(
        [*prefix, sys.executable, "-m", "engine.cli", *DOWNLOAD.split()[1:], *DAY.split()],
        env=os.environ | lake.environment | limits | {"SPOOL_MEMORY_MIB": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == UNAVAILABLE, result.stdout + result.stderr
    line = one_line(result)
    assert said in line or prefix
    assert "disk" in line or "free space in TMPDIR" in line
    assert committed(lake) == set()
    assert list(Path(limits["TMPDIR"]).iterdir()) == []

    again = lake.engine(*DOWNLOAD.split()[1:], *DAY.split())
    assert again.returncode == 0, again.stderr
    assert len(committed(lake)) == 2, "the file and its manifest"


def test_a_file_that_this_user_may_not_read_or_write_is_named(tmp_path: Path) -> None:
    settings, sealed = tmp_path / "config.toml", tmp_path / "sealed"
    settings.write_text("")
    settings.chmod(0)
    sealed.mkdir(mode=0o500)

    def tickdeck(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            unprivileged("-m", "console.cli", *arguments),
            env=os.environ | {"HOME": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    unreadable = tickdeck("fleet", TICKDECK_CONFIG=str(settings))
    assert unreadable.returncode == CONFIGURATION
    assert f"{settings} cannot be read: Permission denied" in one_line(unreadable)
    unwritable = tickdeck("local", "up", TICKDECK_LOCAL_DIR=str(sealed / "cloud"))
    assert unwritable.returncode == NOT_PERMITTED
    assert str(sealed) in one_line(unwritable)
    assert list(sealed.iterdir()) == []


def test_ten_thousand_days_are_answered(engine_host: CommandHost, console_lake: ConsoleLake) -> None:
    span = "--start 1996-12-16 --end 2024-05-02"
    dry = engine_host.run(*f"{DOWNLOAD} {span} --dry-run --json".split())
    assert dry.code == 0
    assert {file["symbol"] for file in json.loads(dry.out)["files"]} == {"BTCUSDT", "PEPEUSDT"}
    checked = console_lake.host.run(*f"tickdeck check --venues binance --data-types trades {span} --json".split())
    assert checked.code == PARTIAL
    assert len(checked.err.splitlines()) == 1
