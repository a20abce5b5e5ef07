"""`engine replay` by hand, judged from outside: the bucket, and what the source was asked."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from engine.clock import format_time
from engine.paths import parse_raw_feed_object, raw_feed_object
from engine.replay.raw_feed import read_feed
from tests.local_servers import KEY, Lake

DAY = datetime(2024, 5, 2, tzinfo=UTC)
TRADES = ("replay", "--venue", "binance", "--channels", "trade", "--symbols", "btcusdt")
FILTERS = [{"channel": "trade", "symbols": ["btcusdt"]}]


def hours(first: int, last: int, *, day: datetime = DAY) -> tuple[str, str, str, str]:
    """The options of a range of hours, the last exclusive."""
    start, end = day + timedelta(hours=first), day + timedelta(hours=last)
    return ("--from", f"{start:%Y-%m-%dT%H:%MZ}", "--to", f"{end:%Y-%m-%dT%H:%MZ}")


def served(lake: Lake, hour: datetime, filters: list[dict[str, object]], venue: str = "binance") -> bytes:
    """What the source serves for an hour, asked for minute by minute without any client of the vendor."""
    text = b""
    for offset in range(60):
        query = f"from={hour:%Y-%m-%dT%H:%M:%S}&offset={offset}&filters={quote(json.dumps(filters))}"
        request = urllib.request.Request(f"{lake.source.url}/v1/data-feeds/{venue}?{query}")
        request.add_header("Authorization", f"Bearer {KEY}")
        request.add_header("Accept-Encoding", "gzip")
        with urllib.request.urlopen(request, timeout=30) as response:
            text += gzip.decompress(response.read())
    return text


def stored(lake: Lake) -> dict[str, bytes]:
    """Every raw feed object, decompressed."""
    found = {}
    for info in lake.data.list("raw_feed/"):
        data = lake.data.get(info.name)
        assert data is not None
        found[info.name] = gzip.decompress(data.data)
    return found


def generations(lake: Lake) -> dict[str, int]:
    return {info.name: info.generation for info in lake.data.list("raw_feed/")}


class Asked:
    """Requests of the vendor's client, by the hour they asked for, that came since this was made.

    The source notes a request when its answer ends, and one that stalled may end in the middle of the next test.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._made = datetime.now(UTC)

    def by_hour(self) -> Counter[str]:
        rows = [row for row in self._lake.requests("data-feeds") if datetime.fromisoformat(row["asked"]) >= self._made]
        ours = [row["path"] for row in rows if row["user_agent"].startswith("tardis-client/")]
        return Counter(re.findall(r"from=(\d{4}-\d\d-\d\dT\d\d)", " ".join(ours)))


def test_each_hour_is_one_object_with_exactly_the_lines_of_the_source(lake: Lake) -> None:
    asked = Asked(lake)
    done = lake.engine("replay", "--venue", "binance", "--channels", "trade,depth", *hours(8, 10), "--json")
    assert done.returncode == 0, done.stderr
    assert asked.by_hour() == {"2024-05-02T08": 60, "2024-05-02T09": 60}
    filters: list[dict[str, object]] = [{"channel": "depth", "symbols": []}, {"channel": "trade", "symbols": []}]
    for name, content in stored(lake).items():
        hour, venue, collection = parse_raw_feed_object(name)
        assert (venue, collection) == ("binance", "")
        assert content == served(lake, hour, filters)
        info = lake.data.stat(name)
        assert info is not None
        assert json.loads(info.metadata["filters"]) == filters
        assert int(info.metadata["disconnects"]) == content.split(b"\n")[:-1].count(b"")
        assert int(info.metadata["lines"]) == content.count(b"\n") - int(info.metadata["disconnects"])
    assert len(stored(lake)) == 2
    report = json.loads(done.stdout)
    assert [hour["outcome"] for hour in report["hours"]] == ["committed", "committed"]
    assert sum(hour["lines"] for hour in report["hours"]) == sum(
        line != b"" for text in stored(lake).values() for line in text.split(b"\n")
    )
    assert sum(hour["disconnects"] for hour in report["hours"]) > 0, "no hour of this test has a disconnect"


def test_another_venue_reads_back_as_messages_of_its_own(lake: Lake) -> None:
    done = lake.engine("replay", "--venue", "deribit", "--channels", "trades,ticker", "--symbols", "BTC-PERPETUAL", *hours(8, 9))
    assert done.returncode == 0, done.stderr
    data = lake.data.get(raw_feed_object(DAY + timedelta(hours=8), "deribit"))
    assert data is not None
    lines = list(read_feed(data.data))
    channels = {json.loads(line.message)["params"]["channel"] for line in lines if line.message is not None}
    assert channels == {"trades.BTC-PERPETUAL.raw", "ticker.BTC-PERPETUAL.raw"}
    moments = [line.nanoseconds for line in lines if line.message is not None]
    assert moments == sorted(moment for moment in moments if moment is not None)
    assert any(moment is not None and moment % 1000 for moment in moments), "no time is finer than a microsecond"


def test_a_second_run_asks_only_for_what_is_missing(lake: Lake) -> None:
    assert lake.engine(*TRADES, *hours(8, 9)).returncode == 0
    before, asked = generations(lake), Asked(lake)
    again = lake.engine(*TRADES, *hours(8, 9))
    assert again.returncode == 0, again.stderr
    assert "1 present" in again.stdout
    assert (generations(lake), asked.by_hour()) == (before, {})
    more = lake.engine(*TRADES, *hours(7, 10), "--json")
    assert more.returncode == 0, more.stderr
    assert [hour["outcome"] for hour in json.loads(more.stdout)["hours"]] == ["committed", "present", "committed"]
    assert asked.by_hour() == {"2024-05-02T07": 60, "2024-05-02T09": 60}
    assert generations(lake).items() > before.items()


def test_a_range_inside_hours_is_widened_to_them(lake: Lake) -> None:
    done = lake.engine(*TRADES, "--from", "2024-05-02T08:40:00+00:00", "--to", "2024-05-02T18:10:00+09:00", "--json")
    assert done.returncode == 0, done.stderr
    assert [hour["hour"] for hour in json.loads(done.stdout)["hours"]] == ["2024-05-02T08:00:00.000000Z", "2024-05-02T09:00:00.000000Z"]
    assert stored(lake)[raw_feed_object(DAY + timedelta(hours=8), "binance")] == served(lake, DAY + timedelta(hours=8), FILTERS)


def test_until_now_commits_whole_hours_and_says_when_to_run_again(lake: Lake) -> None:
    asked, before = Asked(lake), datetime.now(UTC)
    done = lake.engine(*TRADES, "--from", "2h", "--to", "now", "--json")
    after = datetime.now(UTC)
    assert done.returncode == 75, done.stderr
    report = json.loads(done.stdout)
    outcomes = {hour["hour"]: hour["outcome"] for hour in report["hours"]}
    assert report["hours"][0]["hour"] in {f"{now - timedelta(hours=2):%Y-%m-%dT%H}:00:00.000000Z" for now in (before, after)}
    late = [hour for hour, outcome in outcomes.items() if outcome == "not_ready"]
    whole = [hour for hour, outcome in outcomes.items() if outcome == "committed"]
    assert len(whole) + len(late) == len(outcomes) == 3
    wait = timedelta(hours=1, minutes=15)
    assert all(datetime.fromisoformat(hour) + wait <= after for hour in whole)
    assert all(datetime.fromisoformat(hour) + wait > before for hour in late)
    assert report["next_at"] == format_time(datetime.fromisoformat(late[0]) + wait)
    assert f"after {report['next_at'][:16]}Z" in done.stderr
    assert {f"{parse_raw_feed_object(name)[0]:%Y-%m-%dT%H}" for name in stored(lake)} == {hour[:13] for hour in whole}
    assert set(asked.by_hour()) == {hour[:13] for hour in whole}


def test_another_choice_of_channels_is_a_conflict_and_has_room_in_a_set(lake: Lake) -> None:
    assert lake.engine(*TRADES, *hours(8, 9)).returncode == 0
    before, asked = generations(lake), Asked(lake)
    books = ("replay", "--venue", "binance", "--channels", "depth", *hours(7, 9))
    refused = lake.engine(*books)
    assert refused.returncode == 65
    assert "another selection" in refused.stderr
    assert "--set" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (generations(lake), asked.by_hour()) == (before, {})
    apart = lake.engine(*books, "--set", "books")
    assert apart.returncode == 0, apart.stderr
    assert generations(lake).items() > before.items()
    assert raw_feed_object(DAY + timedelta(hours=7), "binance", "books") in generations(lake)
    assert lake.engine(*TRADES, *hours(8, 9)).returncode == 0


def test_two_runs_at_once_commit_each_hour_once(lake: Lake) -> None:
    command = [sys.executable, "-m", "engine.cli", *TRADES, *hours(8, 10), "--json"]
    both = [
        subprocess.Popen(command, env=os.environ | lake.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    reports = []
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        reports.append(json.loads(out))
    assert len(generations(lake)) == 2
    for hour in range(2):
        assert [report["hours"][hour]["outcome"] for report in reports].count("committed") == 1


@pytest.mark.parametrize("point", ["fetch_started:2", "body_received:2", "object_created:2"])
def test_a_killed_run_costs_at_most_the_hour_it_was_in(lake: Lake, tmp_path: Path, point: str) -> None:
    asked = Asked(lake)
    killed = lake.engine(*TRADES, *hours(8, 11), TICKDECK_KILL_AT=point, TMPDIR=str(tmp_path))
    assert killed.returncode == -signal.SIGKILL
    held = generations(lake)
    assert len(held) == (2 if point.startswith("object") else 1)
    assert list(tmp_path.iterdir()), "the killed run had no temporary files"
    first = asked.by_hour()
    again = lake.engine(*TRADES, *hours(8, 11), TMPDIR=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.iterdir()), "temporary files of the killed run are still there"
    assert generations(lake).items() > held.items()
    missing = {f"{parse_raw_feed_object(name)[0]:%Y-%m-%dT%H}" for name in generations(lake).keys() - held.keys()}
    assert asked.by_hour() - first == Counter(dict.fromkeys(missing, 60))
    assert stored(lake) == {
        raw_feed_object(hour, "binance"): served(lake, hour, FILTERS) for hour in (DAY + timedelta(hours=n) for n in (8, 9, 10))
    }


def test_sigterm_ends_an_hour_that_hangs_and_tells_what_is_done(lake: Lake, tmp_path: Path) -> None:
    asked = Asked(lake)
    lake.source.post("/_tickdeck/faults", {"fault": "stall", "seconds": 5.0, "match": "from=2024-05-02T09:00:00"})
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *TRADES, *hours(8, 11), "--json"],
            env=os.environ | lake.environment | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/cache-20240502T09/**/*.unconfirmed")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the second hour did not begin"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        lake.source.disarm()
    assert process.returncode == 75, err
    assert [hour["outcome"] for hour in json.loads(out)["hours"]] == ["committed", "left", "left"]
    assert "run the same command again" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert list(generations(lake)) == [raw_feed_object(DAY + timedelta(hours=8), "binance")]
    assert "2024-05-02T10" not in asked.by_hour()
    assert lake.engine(*TRADES, *hours(8, 11)).returncode == 0
    assert len(generations(lake)) == 3


def test_a_damaged_slice_costs_its_hour_and_no_other(lake: Lake) -> None:
    # The last minute, so that no request is under way when the hour is given up.
    lake.source.post("/_tickdeck/faults", {"fault": "corrupt", "match": "from=2024-05-02T09:00:00&offset=59&", "count": 1})
    try:
        done = lake.engine(*TRADES, *hours(8, 11), "--json")
    finally:
        lake.source.disarm()
    assert done.returncode == 65, done.stderr
    assert [hour["outcome"] for hour in json.loads(done.stdout)["hours"]] == ["committed", "damaged", "committed"]
    assert "09.ndjson.gz is damaged" in done.stderr
    held, asked = generations(lake), Asked(lake)
    assert lake.engine(*TRADES, *hours(8, 11)).returncode == 0
    assert asked.by_hour() == {"2024-05-02T09": 60}
    assert generations(lake).items() > held.items()


def test_a_lost_reply_of_the_bucket_is_a_commit_all_the_same(lake: Lake) -> None:
    lake.storage.post("/_tickdeck/faults", {"fault": "lost_reply", "method": "POST", "match": "08.ndjson.gz", "count": 1})
    try:
        done = lake.engine(*TRADES, *hours(8, 9), "--json")
        struck = [fault["struck"] for fault in lake.storage.get("/_tickdeck/faults")["faults"]]
    finally:
        lake.storage.disarm()
    assert done.returncode == 0, done.stderr
    assert struck == [1]
    assert len(generations(lake)) == 1


def test_the_key_is_in_no_output_even_where_everything_is_logged(lake: Lake, tmp_path: Path) -> None:
    loud = "import logging, sys; logging.basicConfig(level=1); "
    environment = os.environ | lake.environment | {"TMPDIR": str(tmp_path)}

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", loud + code, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert KEY in run("import os, tardis_client; tardis_client.TardisClient(api_key=os.environ['TARDIS_API_KEY'])")
    output = run("from engine.cli import main; main(sys.argv[1:])", *TRADES, *hours(8, 9))
    assert "DEBUG:" in output
    assert KEY not in output
    assert not list(tmp_path.iterdir()), "the client's cache is still there"


def test_first_days_of_months_need_no_key_and_other_days_do(lake: Lake) -> None:
    free = lake.engine(*TRADES, "--from", "2024-05-01T03:00Z", "--to", "2024-05-01T04:00Z", TARDIS_API_KEY="")
    assert free.returncode == 0, free.stderr
    paid = lake.engine(*TRADES, *hours(8, 9), TARDIS_API_KEY="")
    assert paid.returncode == 77
    assert "TARDIS_API_KEY" in paid.stderr
    assert paid.stderr.count("\n") == 1
    assert len(generations(lake)) == 1


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_hours_are_utc_in_any_zone_also_when_its_clocks_change(lake: Lake, zone: str) -> None:
    change = datetime(2024, 3, 10, tzinfo=UTC)  # New York's clocks jumped at 07:00 UTC
    done = lake.engine(*TRADES, *hours(6, 8, day=change), TZ=zone)
    assert done.returncode == 0, done.stderr
    assert stored(lake) == {
        raw_feed_object(hour, "binance"): served(lake, hour, FILTERS) for hour in (change + timedelta(hours=n) for n in (6, 7))
    }


def test_a_proxy_of_the_environment_does_not_get_what_is_for_this_machine(lake: Lake) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = lake.engine(*TRADES, *hours(8, 9), **proxies)
    assert done.returncode == 0, done.stderr


def test_a_source_on_another_machine_is_not_asked_in_the_local_profile(lake: Lake) -> None:
    done = lake.engine(*TRADES, *hours(8, 9), TARDIS_API_URL="http://source.example/v1")
    assert done.returncode in (69, 78)
    assert "source.example" in done.stderr
    assert not generations(lake)


def test_a_dry_run_says_what_would_be_fetched_and_fetches_nothing(lake: Lake) -> None:
    assert lake.engine(*TRADES, *hours(8, 9)).returncode == 0
    asked = Asked(lake)
    done = lake.engine(*TRADES, *hours(8, 11), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    preview = json.loads(done.stdout)
    assert (preview["present"], preview["requests"], len(preview["to_fetch"])) == (1, 120, 2)
    assert asked.by_hour() == {}
    assert len(generations(lake)) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--venue", "binance", "--channels", "trades", *hours(8, 9)), "did you mean trade?"),
        (("--venue", "binance", "--channels", "trade", "--symbols", "BTCUSDT", *hours(8, 9)), "did you mean btcusdt?"),
        (("--venue", "binanze", "--channels", "trade", *hours(8, 9)), "binanze"),
        (("--venue", "binance", "--channels", "trade", *hours(9, 8)), "--to is exclusive"),
        (("--venue", "binance", "--channels", "trade", "--from", "2024-05-02T08:00", "--to", "now"), "no time zone"),
        (("--venue", "binance", "--channels", "trade", "--from", "2124-05-02", "--to", "2124-05-03"), "lies in the future"),
        (("--venue", "binance", "--channels", "trade", "--from", "2018-05-02", "--to", "2018-05-03"), "since 2019-03-30"),
        (("--venue", "binance", "--channels", "trade", *hours(8, 9), "--set", "A b"), "no name of a set"),
        (("--venue", "binance", "--channels", "trade", "--symbols", "xyz", "--unlisted-symbols", *hours(8, 9)), "xyz"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_64(lake: Lake, options: tuple[str, ...], says: str) -> None:
    done = lake.engine("replay", *options)
    assert done.returncode == 64
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout
    assert not generations(lake)


def test_a_symbol_that_is_no_instrument_is_taken_when_asked_for(lake: Lake) -> None:
    index = ("replay", "--venue", "deribit", "--channels", "deribit_price_index", "--symbols", "btc_usd", *hours(8, 9))
    assert lake.engine(*index).returncode == 64
    done = lake.engine(*index, "--unlisted-symbols")
    assert done.returncode == 0, done.stderr
    (content,) = stored(lake).values()
    assert b"deribit_price_index.btc_usd" in content


@pytest.mark.slow
def test_429_is_waited_for_by_the_client(lake: Lake) -> None:
    lake.source.post(
        "/_tickdeck/faults", {"fault": "burst_429", "match": "from=2024-05-02T08:00:00&offset=7&", "count": 1, "retry_after": 1}
    )
    try:
        done = lake.engine(*TRADES, *hours(8, 9))
    finally:
        lake.source.disarm()
    assert done.returncode == 0, done.stderr
    assert "HTTP 429" in done.stdout
    assert stored(lake) == {
        raw_feed_object(DAY + timedelta(hours=8), "binance"): served(lake, DAY + timedelta(hours=8), FILTERS),
    }
