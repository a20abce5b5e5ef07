"""The home of the nine-hour bug: nothing that Tickdeck stores, plans or names depends on the time zone of the machine.

The scripts before it took "yesterday" from a machine in Tokyo and naive times from its libraries, and fetched the wrong day for
nine hours of every day. Here the same questions are asked by processes in several time zones, and the answers compared; and naive
times are refused wherever they could come in.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
import provision
from engine.catalogue import parse_catalogue
from engine.claims import Claim, take
from engine.clock import format_time, parse_day, parse_time
from engine.conversion.outcome import to_microseconds
from engine.documents import decode, encode
from engine.errors import EngineError, UsageError
from engine.estimate import allowance_end
from engine.heartbeat import Heartbeat
from engine.instruments.definitions import Instrument, at_moment
from engine.inventory import Inventory
from engine.live_work import live_shards
from engine.manifest import Manifest
from engine.model import Cell, DayRange, day_start, require_aware
from engine.paths import (
    audit_object,
    build_source_object,
    catalogue_source_object,
    catalogue_table_object,
    parse_audit_object,
    probe_object,
    raw_feed_object,
)
from engine.replay.raw_feed import FeedWriter, Selection
from engine.replay.raw_source import RawSource
from engine.replay.replaying import Order, floor_hour, plan_replay
from engine.run import new_run, run_started
from engine.validation.verification import Verification
from provision.fleet import assess
from provision.labels import make_labels
from provision.logs.log_objects import read_log_objects, read_newest
from provision.logs.query import LogQuery
from provision.operations import list_events

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("UTC", "Asia/Tokyo", "America/New_York", "EAST-14", "WEST+12")
"""The last two are fourteen hours before UTC and twelve behind: at any moment it is another day in at least one of them."""

LEAP_DAY = date(2024, 2, 29)
LEAP_DAY_US = 1_709_164_800_000_000
"""2024-02-29T00:00:00Z in microseconds."""
DAY_US = 86_400_000_000
AWARE = datetime(2024, 5, 1, 6, tzinfo=UTC)
NAIVE = AWARE.replace(tzinfo=None)
NO_STORE: Any = None
"""A time without a zone is refused before anybody is asked."""

ANSWERS = """
import dataclasses, io, json, sys, time
from datetime import UTC, date, datetime, timedelta

from engine import catalogue, expectation, paths, run
from engine.conversion import outcome as conversion
from engine.verbs.options import Day
from engine.clock import format_time, parse_day, parse_time, utc_now
from engine.documents import encode
from engine.heartbeat import Heartbeat, to_metadata
from engine.logbook import Logbook
from engine.manifest import Entry, Manifest, metadata_of
from engine.model import Cell, DayRange, Outcome, day_start
from provision.labels import make_labels
from provision.logs.query import LogQuery
from provision.names import single_name

moments = [parse_time(text) for text in (
    "2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999999Z", "2024-03-10T07:30:00Z", "2024-11-03T05:30:00Z",
    "2023-12-31T15:00:00Z", "2024-05-01T08:30:00+09:00",
)]
answers = {
    "times": [format_time(moment) for moment in moments],
    "instants": [moment.timestamp() for moment in moments],
    "days": [str(moment.date()) for moment in moments],
    "day starts": [day_start(day).timestamp() for day in (date(2024, 2, 29), date(2024, 3, 10), date(2024, 11, 3))],
    "ranges": [str(DayRange(date(2024, 2, 27), date(2024, 3, 11))), [str(day) for day in DayRange(date(2024, 2, 27), date(2024, 3, 2))]],
    "words": [str(parse_day(word, today=date(2024, 3, 1))) for word in ("today", "yesterday", "7d", "2024-02-29")],
    "runs": [run.new_run(moment)[:8] for moment in moments],
    "run starts": [format_time(run.run_started(run.new_run(moment))) for moment in moments],
    "vm": single_name(moments[0].date()),
    "labels": make_labels(owner="a", run="r1", plan="abc", expires=moments[1]),
    "names": [paths.audit_object(moments[1], "ab12"), paths.catalogue_table_object("binance", moments[5])],
    "names read": [format_time(paths.parse_audit_object(paths.audit_object(moment, "ab12"))[0]) for moment in moments],
    "query": LogQuery(project="p", since=moments[0], until=moments[1]).to_filter(),
    "epoch": format_time(conversion.to_datetime(1_709_164_800_000_000)),
}

BODY = json.dumps({"id": "binance", "datasets": {
    "exportedUntil": "2024-03-01T00:00:00.000Z", "dataTypes": ["trades"],
    "symbols": [
        {"id": "EDGE", "type": "spot", "availableSince": "2024-02-29T00:00:00.000Z", "availableTo": "2024-03-01T00:00:00.000Z"},
        {"id": "LATE", "type": "spot", "availableSince": "2024-02-29T23:59:59.999Z"},
        {"id": "BARE", "type": "spot", "availableSince": "2024-02-28", "availableTo": "2024-02-29"},
    ]},
    "incidentReports": [{"from": "2024-02-28T22:00:00.000Z", "to": "2024-02-29T00:30:00.000Z", "status": "resolved"}],
}).encode()
offer = catalogue.parse_catalogue("binance", BODY, fetched=moments[3])
days = DayRange(date(2024, 2, 27), date(2024, 3, 2))
expected = expectation.expect(offer, ("trades",), days)["trades"]
answers["catalogue"] = {
    "due": [format_time(catalogue.due(day)) for day in days],
    "published": [offer.is_published(day) for day in days],
    "expected": [sorted(offer.expected("trades", day)) for day in days],
    "by interval": [sorted(expected.at(day).symbols) for day in days],
    "incidents": [offer.has_incident(day) for day in days],
    "object": offer.object_name,
    "table": encode(offer).decode(),
}

manifest = Manifest(
    day=date(2024, 2, 29), data_type="trades", venue="binance", run="r1", shard=0, attempt=1, vm="vm", written=moments[1], open=False,
    engine_version="0", catalogue="", entries=(Entry(symbol="EDGE", outcome=Outcome.OK, rows=1, first_us=1709164800000000),),
)
answers["manifest"] = [encode(manifest).decode(), metadata_of(manifest)]
beat = Heartbeat(run="r1", vm="vm", sequence=1, written=moments[1], started=moments[0], state="working")
answers["heartbeat"] = [encode(beat).decode(), to_metadata(beat)]

stream = io.StringIO()
Logbook(stream=stream, clock=lambda: moments[1]).info("edge", "the last microsecond of a leap day")
Logbook(stream=stream, clock=lambda: moments[1], as_text=True).info("edge", "for people")
answers["log"] = stream.getvalue()

stream = io.StringIO()
before = time.time()
Logbook(stream=stream).info("now", "the real clock")
said = parse_time(json.loads(stream.getvalue())["time"])
answers["the log says when"] = int(before) <= said.timestamp() <= time.time()
answers["the clock is aware"] = utc_now().utcoffset() == timedelta(0)
first, today, last = datetime.now(UTC).date(), Day().convert("today", None, None), datetime.now(UTC).date()
answers["today is a day of UTC"] = first <= today <= last
answers["yesterday is a day of UTC"] = first <= Day().convert("yesterday", None, None) + timedelta(days=1) <= last
print(json.dumps(answers))
"""

TODAY_HERE = "import datetime, sys; sys.stdout.write(str(datetime.datetime.now().date()))"


def _python(place: str, *arguments: str) -> str:
    """What a process in that time zone prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"TZ": place},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """The same questions, asked in each place."""
    return {place: json.loads(_python(place, "-c", ANSWERS)) for place in PLACES}


@pytest.mark.parametrize("place", PLACES[1:])
def test_every_answer_is_the_same_as_in_utc(place: str, answers: dict[str, dict[str, Any]]) -> None:
    assert answers[place].keys() == answers["UTC"].keys()
    for question, answer in answers["UTC"].items():
        assert answers[place][question] == answer, question


def test_the_answers_are_right(answers: dict[str, dict[str, Any]]) -> None:
    said = answers["UTC"]
    assert said["times"][0] == "2024-02-29T00:00:00.000000Z"
    assert said["times"][5] == "2024-04-30T23:30:00.000000Z"
    assert said["days"] == ["2024-02-29", "2024-02-29", "2024-03-10", "2024-11-03", "2023-12-31", "2024-04-30"]
    assert said["day starts"][0] * 1_000_000 == LEAP_DAY_US
    assert said["ranges"] == [
        "2024-02-27..2024-03-11, 14 days",
        ["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"],
    ]
    assert said["words"] == ["2024-03-01", "2024-02-29", "2024-02-23", "2024-02-29"]
    assert said["vm"] == "market-data-single-20240229"
    assert said["epoch"] == said["times"][0]
    catalogue = said["catalogue"]
    assert catalogue["due"][2] == "2024-03-01T06:00:00.000000Z"
    assert catalogue["published"] == [True, True, True, False, False]
    assert catalogue["expected"] == [[], ["BARE"], ["EDGE", "LATE"], ["LATE"], ["LATE"]]
    assert catalogue["by interval"] == catalogue["expected"]
    assert catalogue["incidents"] == [False, True, True, False, False]
    assert '"written": "2024-02-29T23:59:59.999999Z"' in said["manifest"][0]
    assert said["heartbeat"][1]["written"] == "2024-02-29T23:59:59.999999Z"
    assert json.loads(said["log"].splitlines()[0])["time"] == "2024-02-29T23:59:59.999999Z"
    assert said["log"].splitlines()[1].startswith("23:59:59 ")
    for question in ("the log says when", "the clock is aware", "today is a day of UTC", "yesterday is a day of UTC"):
        assert said[question] is True


def test_the_places_disagree_about_today() -> None:
    """Otherwise the comparison above would prove nothing."""
    assert len({_python(place, "-c", TODAY_HERE) for place in ("EAST-14", "WEST+12")}) == 2


# Conversion


def _trades(path: Path, times_us: list[int], *, exchange_us: list[int] | None = None) -> Path:
    """A file of trades by their local times; the exchange's own times are the same unless given."""
    pairs = enumerate(zip(exchange_us or times_us, times_us, strict=True))
    rows = [f"binance,BTCUSDT,{there},{here},{number},buy,1.5,2" for number, (there, here) in pairs]
    text = "\n".join(["exchange,symbol,timestamp,local_timestamp,id,side,price,amount", *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def _convert(place: str, source: Path, target: Path, day: date) -> dict[str, Any]:
    """The report of `engine convert` in that time zone, without what names the place and the duration."""
    checked = ["--venue", "binance", "--symbol", "BTCUSDT", "--day", day.isoformat()]
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "convert", str(source), str(target), "--data-type", "trades", *checked],
        env=os.environ | {"TZ": place},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report | {"destination": None, "seconds": None, "exit code": done.returncode}


@pytest.mark.parametrize("day", [LEAP_DAY, date(2024, 3, 10)], ids=["leap day", "New York changes its clocks"])
def test_a_file_of_a_whole_day_becomes_the_same_bytes_everywhere(day: date, tmp_path: Path) -> None:
    start = (day - LEAP_DAY).days * DAY_US + LEAP_DAY_US
    source = _trades(tmp_path / "day.csv.gz", [start, start + DAY_US // 2, start + DAY_US - 1])
    reports = [_convert(place, source, tmp_path / f"{number}.parquet", day) for number, place in enumerate(PLACES[:3])]
    assert reports[0]["outcome"] == "ok"
    assert reports[0]["flags"] == []
    assert reports[0]["covered_minutes"] == 3
    assert reports[0]["min_local_timestamp"] == f"{day}T00:00:00.000000Z"
    assert reports[0]["max_local_timestamp"] == f"{day}T23:59:59.999999Z"
    assert reports[1:] == [reports[0]] * 2


def test_rows_beside_the_day_are_judged_the_same_everywhere(tmp_path: Path) -> None:
    end = LEAP_DAY_US + DAY_US
    source = _trades(tmp_path / "edges.csv.gz", [LEAP_DAY_US, end - 2, end - 1], exchange_us=[LEAP_DAY_US - 1, end - 1, end])
    reports = [_convert(place, source, tmp_path / f"{number}.parquet", LEAP_DAY) for number, place in enumerate(PLACES[:3])]
    assert (reports[0]["outcome"], reports[0]["previous_day_rows"], reports[0]["next_day_rows"]) == ("ok", 1, 1)
    assert reports[1:] == [reports[0]] * 2


def test_nine_hours_of_the_day_before_are_not_this_day(tmp_path: Path) -> None:
    """What a machine in Tokyo used to call the 29th."""
    source = _trades(tmp_path / "tokyo.csv.gz", [LEAP_DAY_US - 9 * 3_600_000_000, LEAP_DAY_US - 3_600_000_000])
    reports = [_convert(place, source, tmp_path / f"{number}.parquet", LEAP_DAY) for number, place in enumerate(PLACES[:2])]
    assert reports[0]["outcome"] == "quarantined"
    assert reports[1] == reports[0]


# Any zone of the caller


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - the strategy asks for naive bounds
def test_a_moment_is_the_same_in_whatever_zone_it_is_given(wall: datetime, offset: int) -> None:
    moment = wall.replace(tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert format_time(elsewhere) == format_time(moment)
    assert parse_time(elsewhere.isoformat()) == parse_time(format_time(moment)) == moment
    assert parse_time(elsewhere.isoformat()).utcoffset() == timedelta(0)
    assert require_aware(elsewhere).utcoffset() == timedelta(0)
    assert audit_object(elsewhere, "ab12") == audit_object(moment, "ab12")
    assert parse_audit_object(audit_object(elsewhere, "ab12")) == (moment, "ab12")
    assert new_run(elsewhere)[:8] == new_run(moment)[:8]
    assert run_started(new_run(elsewhere)) == moment.replace(microsecond=0)
    assert make_labels(owner="a", run="r1", plan="abc", expires=elsewhere) == make_labels(owner="a", run="r1", plan="abc", expires=moment)


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.integers(0, 400))
def test_a_range_of_days_has_each_day_once(start: date, more: int) -> None:
    days = list(DayRange(start, start + timedelta(days=more)))
    assert len(days) == len(set(days)) == len(DayRange(days[0], days[-1])) == more + 1
    assert all(day_start(after) - day_start(before) == timedelta(hours=24) for before, after in pairwise(days))


# Borders

MANIFEST: dict[str, Any] = {"day": LEAP_DAY, "data_type": "trades", "venue": "binance", "run": "r1", "shard": 0, "attempt": 1, "vm": "vm"}
MANIFEST |= {"open": False, "engine_version": "0", "catalogue": "", "entries": ()}

ONE_HOUR = Order("binance", Selection(("trade",), ()), AWARE, AWARE + timedelta(hours=1))

REFUSED: dict[str, Callable[[], object]] = {
    "require_aware": partial(require_aware, NAIVE),
    "format_time": partial(format_time, NAIVE),
    "parse_time": partial(parse_time, "2024-05-01T06:00:00"),
    "parse_time of a day": partial(parse_time, "2024-05-01"),
    "new_run": partial(new_run, NAIVE),
    "audit_object": partial(audit_object, NAIVE, "ab12"),
    "catalogue_source_object": partial(catalogue_source_object, "binance", NAIVE),
    "catalogue_table_object": partial(catalogue_table_object, "binance", NAIVE),
    "parse_catalogue": partial(
        parse_catalogue, "binance", b'{"datasets":{"exportedUntil":"2024-05-01T00:00:00Z","symbols":[]}}', fetched=NAIVE
    ),
    "make_labels": partial(make_labels, owner="a", run="r1", plan="abc", expires=NAIVE),
    "LogQuery since": partial(LogQuery, project="p", since=NAIVE),
    "LogQuery until": partial(LogQuery, project="p", since=NAIVE.replace(tzinfo=UTC), until=NAIVE),
    "allowance_end": partial(allowance_end, 1, 1, now=NAIVE),
    "a range of moments": partial(DayRange, NAIVE, NAIVE),
    "a moment as a day": partial(parse_day, "2024-05-01T06:00:00", today=LEAP_DAY),
    "a cell of a moment": partial(Cell, NAIVE, "trades", "binance"),
    "a cell of a moment with a zone": partial(Cell, NAIVE.replace(tzinfo=UTC), "trades", "binance"),
    "the start of a moment": partial(day_start, NAIVE),
    "raw_feed_object": partial(raw_feed_object, NAIVE, "binance"),
    "probe_object": partial(probe_object, NAIVE, "ab12"),
    "build_source_object": partial(build_source_object, NAIVE, "ab12"),
    "floor_hour": partial(floor_hour, NAIVE),
    "an hour of raw messages": partial(FeedWriter, Path("x"), NAIVE),
    "at_moment": partial(at_moment, Instrument(id="BTCUSDT"), NAIVE),
    "an instrument between moments": partial(Instrument(id="BTCUSDT").overlaps, NAIVE, NAIVE),
    "a claim": partial(take, NO_STORE, "r1", 0, "vm", now=NAIVE),
    "live work": partial(live_shards, NO_STORE, "r1", NO_STORE, now=NAIVE),
    "recent runs": partial(Inventory(NO_STORE).recent_runs, NAIVE),
    "an hour of raw messages to be fetched": lambda: asyncio.run(RawSource.fetch(NO_STORE, "binance", NO_STORE, NAIVE)),
    "plan_replay": partial(
        plan_replay, NO_STORE, Order("binance", Selection(("trade",), ()), AWARE, AWARE + timedelta(hours=1)), now=NAIVE
    ),
    "log objects since": partial(read_log_objects, NO_STORE, "r1", since=NAIVE),
    "log objects until": partial(read_log_objects, NO_STORE, "r1", since=AWARE, until=NAIVE),
    "newest log objects": partial(read_newest, NO_STORE, NO_STORE, 1, NO_STORE, since=NAIVE),
    "what happened to VMs": partial(list_events, NO_STORE, (), since=NAIVE),
    "a look at the fleet": partial(assess, NAIVE, NO_STORE, (), ()),
    "to_microseconds": partial(to_microseconds, NAIVE),
    "a document to be written": partial(encode, Claim(run="r1", shard=0, vm="vm", attempt=1, state="working", since=NAIVE)),
    "a day in a document to be written": partial(encode, Manifest(**MANIFEST | {"day": NAIVE, "written": NAIVE.replace(tzinfo=UTC)})),
}


@pytest.mark.parametrize("border", REFUSED)
def test_a_time_without_a_zone_is_refused_at_every_border(border: str) -> None:
    with pytest.raises(UsageError):
        REFUSED[border]()


DOCUMENTS: dict[str, tuple[type, dict[str, Any], str]] = {
    "manifest": (
        Manifest,
        MANIFEST | {"day": "2024-02-29"},
        "written",
    ),
    "heartbeat": (Heartbeat, {"run": "r1", "vm": "vm", "sequence": 1, "state": "idle", "started": "2024-05-01T06:00:00Z"}, "written"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_stored_document_whose_time_has_no_zone_is_refused(name: str) -> None:
    kind, fields, moment = DOCUMENTS[name]
    decode(json.dumps(fields | {moment: "2024-05-01T06:00:00Z"}).encode(), kind, name=name)
    with pytest.raises(EngineError, match="timezone"):
        decode(json.dumps(fields | {moment: "2024-05-01T06:00:00"}).encode(), kind, name=name)


def test_no_kind_of_document_takes_a_time_without_a_zone() -> None:
    for package in (engine, provision):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    kinds = [kind for kind in _subclasses(msgspec.Struct) if kind.__module__.startswith(("engine.", "provision."))]
    assert {Manifest, Heartbeat, Verification} <= set(kinds)
    loose = {
        f"{kind.__module__}.{kind.__name__}.{field.name}"
        for kind in kinds
        for field in msgspec.structs.fields(kind)
        if any(part.tz is not True for part in _datetimes(field.type))
    }
    assert loose == set()


def _subclasses(kind: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
    below: list[type[msgspec.Struct]] = kind.__subclasses__()
    return {kind}.union(*map(_subclasses, below))


def _datetimes(annotation: object) -> list[msgspec.inspect.DateTimeType]:
    """The kinds of datetime in the type of a field, as msgspec will check them."""
    info = msgspec.inspect.type_info(annotation)
    parts = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return [part for part in parts if isinstance(part, msgspec.inspect.DateTimeType)]
