"""Every object name in the two buckets: a builder and, as its inverse, a parser for each. No other module builds or splits one.

Days and venues appear as `key-value` segments. A symbol may hold characters that are awkward in object names and shells; it is
percent-encoded (RFC 3986 unreserved characters stay as they are), so parsing gives back exactly what was built from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from typing import NoReturn
from urllib.parse import quote, unquote

import msgspec

from engine.errors import UsageError
from engine.model import Cell, DayRange, File, require_aware, require_symbol, require_venue

RAW = "raw_tick_data/by_date/"
INSTRUMENTS = "instrument_availability/by_date/"
INSTRUMENTS_GLOB = f"{INSTRUMENTS}*/*/instruments.parquet"
"""Matches the definitions of all days and venues, and nothing of what stands beside them."""
CANDLES = "processed_candles/by_date/"
MANIFESTS = "manifests/by_date/"
CATALOGUE = "catalogue/"
PLANS = "plans/"
RUNS = "runs/"
AUDIT = "audit/"
QUARANTINE = "quarantine/"
VERIFICATIONS = "verifications/by_date/"
RAW_FEED = "raw_feed/by_date/"
LOADS = "loads/by_date/"
PROBES = "probes/"
BUILDS = "builds/"
BUILD_LOGS = "builds/logs/"
OLD_CANDLES = "data/"

PASSING_STATE = f"{RUNS}*/{{claims/*,workers/*,lease}}.json"
"""A glob (of the bucket's language): what runs overwrite while they last, of all runs."""

_DAY = r"day-(?P<day>\d{4}-\d{2}-\d{2})"
_TYPE = r"data_type-(?P<data_type>[A-Za-z0-9_]+)"
_VENUE_ID = r"(?P<venue>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_VENUE = rf"venue-{_VENUE_ID}"
_SYMBOL = r"(?P<symbol>[^/]+)"
_RUN = r"(?P<run>[a-z][a-z0-9]*)"
_NAME = r"[a-z](?:[-a-z0-9]*[a-z0-9])?"
_COLLECTION = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
_TIMEFRAME = r"[1-9][0-9]{0,3}[smhd]"
_LOADED_TABLE = r"dataset-(?P<dataset>[A-Za-z0-9_]{1,1024})/table-(?P<table>[A-Za-z0-9_]{1,1024})"
_JOB = r"(?P<job>[A-Za-z0-9_-]{1,512})"
_STAMP = r"(?P<stamp>\d{8}T\d{6}\.\d{6}Z)"


def _match(pattern: str, name: str) -> re.Match[str]:
    found = _compile(pattern).fullmatch(name)
    if found is None:
        _refuse(name)
    return found


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _refuse(name: str) -> NoReturn:
    raise UsageError(f"object name {name!r} does not follow the storage contract")


def _stamp(moment: datetime) -> str:
    moment = require_aware(moment)
    return f"{moment.year:04d}{moment:%m%dT%H%M%S.%fZ}"  # %Y does not pad years before 1000


def _unstamp(found: re.Match[str]) -> datetime:
    try:
        return datetime.strptime(found["stamp"], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        _refuse(found.string)


def _day(found: re.Match[str]) -> date:
    try:
        return date.fromisoformat(found["day"])
    except ValueError:
        _refuse(found.string)


def _cell(found: re.Match[str]) -> Cell:
    return Cell(_day(found), found["data_type"], found["venue"])


def _file(found: re.Match[str]) -> File:
    symbol = unquote(found["symbol"])
    if quote(symbol, safe="") != found["symbol"]:
        _refuse(found.string)
    return File(_cell(found), require_symbol(symbol))


# Data bucket


def cell_prefix(cell: Cell) -> str:
    """The folder of a cell's data objects."""
    return f"{RAW}day-{cell.day.isoformat()}/data_type-{cell.data_type}/venue-{require_venue(cell.venue)}/"


def data_object(file: File) -> str:
    """The Parquet object of one file."""
    return f"{cell_prefix(file.cell)}{quote(require_symbol(file.symbol), safe='')}.parquet"


def parse_data_object(name: str) -> File:
    """Inverse of `data_object`.

    Raises:
        UsageError: if `name` is not of that form.
    """
    found = _match(rf"{RAW}{_DAY}/{_TYPE}/{_VENUE}/{_SYMBOL}\.parquet", name)
    return _file(found)


def instruments_day_prefix(day: date) -> str:
    """The folder of all definitions of one day."""
    return f"{INSTRUMENTS}day-{day.isoformat()}/"


def instruments_object(day: date, venue: str) -> str:
    """Definitions valid on that day, as Parquet."""
    return f"{INSTRUMENTS}day-{day.isoformat()}/venue-{require_venue(venue)}/instruments.parquet"


def instruments_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds all definitions of these days."""
    return f"{INSTRUMENTS}day-{days.start.isoformat()}/", f"{INSTRUMENTS}day-{days.end.isoformat()}0"


def instruments_source_object(day: date, venue: str) -> str:
    """What the API said, verbatim, gzip."""
    return f"{INSTRUMENTS}day-{day.isoformat()}/venue-{require_venue(venue)}/source.json.gz"


def instruments_api_object(day: date, venue: str) -> str:
    """What the instruments API said, verbatim, gzip; there only where the key opens that API."""
    return f"{INSTRUMENTS}day-{day.isoformat()}/venue-{require_venue(venue)}/instruments_api.json.gz"


def parse_instruments_api_object(name: str) -> tuple[date, str]:
    """Inverse of `instruments_api_object`: (day, venue)."""
    found = _match(rf"{INSTRUMENTS}{_DAY}/{_VENUE}/instruments_api\.json\.gz", name)
    return _day(found), found["venue"]


def parse_instruments_object(name: str) -> tuple[date, str]:
    """Inverse of `instruments_object`: (day, venue)."""
    found = _match(rf"{INSTRUMENTS}{_DAY}/{_VENUE}/instruments\.parquet", name)
    return _day(found), found["venue"]


def raw_feed_prefix(day: date, venue: str, collection: str = "") -> str:
    """The folder of a venue's raw messages of one UTC day. `collection` keeps sets of channels apart; "" is the usual one."""
    prefix = f"{RAW_FEED}day-{day.isoformat()}/venue-{require_venue(venue)}/"
    return f"{prefix}set-{_require_collection(collection)}/" if collection else prefix


def raw_feed_object(hour: datetime, venue: str, collection: str = "") -> str:
    """Raw messages that arrived in one UTC hour, as the source sent them: lines of JSON, gzip.

    Raises:
        UsageError: if `hour` has no zone, is not the start of an hour, or a name is none.
    """
    hour = require_aware(hour)
    if (hour.minute, hour.second, hour.microsecond) != (0, 0, 0):
        raise UsageError(f"{hour.isoformat()} is not the start of an hour")
    return f"{raw_feed_prefix(hour.date(), venue, collection)}{hour.hour:02d}.ndjson.gz"


def parse_raw_feed_object(name: str) -> tuple[datetime, str, str]:
    """Inverse of `raw_feed_object`: (start of the hour, venue, collection)."""
    found = _match(rf"{RAW_FEED}{_DAY}/{_VENUE}/(?:set-(?P<collection>{_COLLECTION})/)?(?P<hour>[01]\d|2[0-3])\.ndjson\.gz", name)
    return datetime.combine(_day(found), time(int(found["hour"])), tzinfo=UTC), found["venue"], found["collection"] or ""


def _require_collection(collection: str) -> str:
    if not re.fullmatch(_COLLECTION, collection, re.ASCII):
        raise UsageError(f"{collection!r} is no name of a set", hint="lower case letters, digits and single dashes, 40 at most")
    return collection


def candle_prefix(day: date, timeframe: str, venue: str) -> str:
    """The folder of a venue's candles of one day and timeframe."""
    return f"{candle_timeframe_prefix(day, timeframe)}venue-{require_venue(venue)}/"


def candle_day_prefix(day: date) -> str:
    """The folder of all candles of one day."""
    return f"{CANDLES}day-{day.isoformat()}/"


def candle_timeframe_prefix(day: date, timeframe: str) -> str:
    """The folder of all candles of one day and timeframe."""
    return f"{candle_day_prefix(day)}timeframe-{_require_timeframe(timeframe)}/"


def candle_object(day: date, timeframe: str, venue: str, symbol: str) -> str:
    """The candles of one symbol, day and timeframe, as Parquet."""
    return f"{candle_prefix(day, timeframe, venue)}{quote(require_symbol(symbol), safe='')}.parquet"


def parse_candle_object(name: str) -> tuple[date, str, str, str]:
    """Inverse of `candle_object`: (day, timeframe, venue, symbol).

    Raises:
        UsageError: if `name` is not of that form.
    """
    found = _match(rf"{CANDLES}{_DAY}/timeframe-(?P<timeframe>{_TIMEFRAME})/{_VENUE}/{_SYMBOL}\.parquet", name)
    symbol = unquote(found["symbol"])
    if quote(symbol, safe="") != found["symbol"]:
        _refuse(name)
    return _day(found), found["timeframe"], found["venue"], require_symbol(symbol)


def _require_timeframe(timeframe: str) -> str:
    if not re.fullmatch(_TIMEFRAME, timeframe, re.ASCII):
        raise UsageError(f"{timeframe!r} is no timeframe", hint="timeframes look like 15s, 1m or 24h")
    return timeframe


# What the system before Tickdeck left in the data bucket


@dataclass(frozen=True, slots=True)
class OldDataName:
    """A data object of the old system: named by an instrument key instead of venue and dataset symbol."""

    day: date
    data_type: str
    instrument_key: str
    """`VENUE:TYPE:SYMBOL`, e.g. "BINANCE:SPOT_PAIR:BTC-USDT", verbatim."""


def old_data_object(name: OldDataName) -> str:
    """Where the old system put a file."""
    return f"{RAW}day-{name.day.isoformat()}/data_type-{name.data_type}/{name.instrument_key}.parquet"


def parse_old_data_object(name: str) -> OldDataName:
    """Inverse of `old_data_object`.

    Raises:
        UsageError: if `name` is not of that form; objects of ours are not.
    """
    found = _match(rf"{RAW}{_DAY}/{_TYPE}/(?P<key>[^/:]+:[^/:]+:[^/]+)\.parquet", name)
    return OldDataName(_day(found), found["data_type"], found["key"])


def day_prefix(day: date) -> str:
    """The folder of all data objects of one day, of either layout."""
    return f"{RAW}day-{day.isoformat()}/"


def data_type_prefix(day: date, data_type: str) -> str:
    """The folder of all data objects of one day and data type, of either layout."""
    return f"{day_prefix(day)}data_type-{data_type}/"


def data_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds all data objects of these days, of either layout."""
    return day_prefix(days.start), f"{RAW}day-{days.end.isoformat()}0"


def old_candle_object(day: date, timeframe: str, venue: str, pair: str) -> str:
    """Where the old system put the candles of a pair: CSV, in a bucket of their own."""
    return f"{OLD_CANDLES}{day.isoformat()}/{timeframe}/{require_venue(venue)}/{pair}/{day.isoformat()}-{timeframe}.csv"


def parse_old_candle_object(name: str) -> tuple[date, str, str, str]:
    """Inverse of `old_candle_object`: (day, timeframe, venue, pair)."""
    folder = rf"(?P<day>\d{{4}}-\d{{2}}-\d{{2}})/(?P<timeframe>[0-9]+[smhd])/{_VENUE_ID}/(?P<pair>[^/]+)/"
    found = _match(rf"{OLD_CANDLES}{folder}(?P=day)-(?P=timeframe)\.csv", name)
    return _day(found), found["timeframe"], found["venue"], found["pair"]


def old_candle_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds the old candles of these days."""
    return f"{OLD_CANDLES}{days.start.isoformat()}/", f"{OLD_CANDLES}{days.end.isoformat()}0"


# State bucket


def catalogue_prefix(venue: str) -> str:
    """The folder of a venue's catalogue answers."""
    return f"{CATALOGUE}venue-{require_venue(venue)}/"


def catalogue_source_object(venue: str, moment: datetime) -> str:
    """The source's answer about a venue, verbatim, gzip. Newest wins, old ones stay."""
    return f"{catalogue_prefix(venue)}{_stamp(moment)}.json.gz"


def catalogue_table_object(venue: str, moment: datetime) -> str:
    """The compact table beside the verbatim answer."""
    return f"{catalogue_prefix(venue)}{_stamp(moment)}.table.json.gz"


def parse_catalogue_table_object(name: str) -> tuple[str, datetime]:
    """Inverse of `catalogue_table_object`: (venue, moment)."""
    found = _match(rf"{CATALOGUE}{_VENUE}/{_STAMP}\.table\.json\.gz", name)
    return found["venue"], _unstamp(found)


def plan_object(plan: str) -> str:
    """A plan, named by its hash."""
    return f"{PLANS}{plan}.json"


def parse_plan_object(name: str) -> str:
    """Inverse of `plan_object`."""
    return _match(rf"{PLANS}(?P<plan>[0-9a-f]{{8,64}})\.json", name)["plan"]


def run_prefix(run: str) -> str:
    """The folder of a run."""
    return f"{RUNS}{run}/"


def run_of(name: str) -> str:
    """The run that an object below `runs/` belongs to.

    Raises:
        UsageError: if `name` is elsewhere.
    """
    return _match(rf"{RUNS}{_RUN}/.+", name)["run"]


def launch_object(run: str, number: int) -> str:
    """The n-th launch record of a run, counted from 1."""
    return f"{RUNS}{run}/launch-{number}.json"


def parse_launch_object(name: str) -> tuple[str, int]:
    """Inverse of `launch_object`: (run, number)."""
    found = _match(rf"{RUNS}{_RUN}/launch-(?P<number>[1-9]\d*)\.json", name)
    return found["run"], int(found["number"])


def launch_operation_object(run: str, number: int) -> str:
    """The operation that the n-th launch became, written once the service has accepted it.

    In a folder of its own, so that a listing of launch records shows launch records.
    """
    return f"{RUNS}{run}/operations/launch-{number}.json"


def parse_launch_operation_object(name: str) -> tuple[str, int]:
    """Inverse of `launch_operation_object`: (run, number)."""
    found = _match(rf"{RUNS}{_RUN}/operations/launch-(?P<number>[1-9]\d*)\.json", name)
    return found["run"], int(found["number"])


def claim_prefix(run: str) -> str:
    """The folder of a run's claims."""
    return f"{RUNS}{run}/claims/"


def claim_object(run: str, shard: int) -> str:
    """Who works on a shard and which attempt this is."""
    return f"{RUNS}{run}/claims/{shard}.json"


def parse_claim_object(name: str) -> tuple[str, int]:
    """Inverse of `claim_object`: (run, shard)."""
    found = _match(rf"{RUNS}{_RUN}/claims/(?P<shard>0|[1-9]\d*)\.json", name)
    return found["run"], int(found["shard"])


def heartbeat_prefix(run: str) -> str:
    """The folder whose one listing shows the whole fleet of a run."""
    return f"{RUNS}{run}/workers/"


def heartbeat_object(run: str, vm: str) -> str:
    """A worker's heartbeat."""
    return f"{heartbeat_prefix(run)}{vm}.json"


def parse_heartbeat_object(name: str) -> tuple[str, str]:
    """Inverse of `heartbeat_object`: (run, vm)."""
    found = _match(rf"{RUNS}{_RUN}/workers/(?P<vm>{_NAME})\.json", name)
    return found["run"], found["vm"]


def log_prefix(run: str, vm: str = "") -> str:
    """The folder of a worker's log objects, or of all workers of the run."""
    return f"{RUNS}{run}/logs/{vm}/" if vm else f"{RUNS}{run}/logs/"


def log_object(run: str, vm: str, attempt: int, number: int) -> str:
    """The k-th piece of a worker's log in one attempt, counted from 0."""
    return f"{RUNS}{run}/logs/{vm}/{attempt}.{number}.jsonl.gz"


def parse_log_object(name: str) -> tuple[str, str, int, int]:
    """Inverse of `log_object`: (run, vm, attempt, number)."""
    found = _match(rf"{RUNS}{_RUN}/logs/(?P<vm>{_NAME})/(?P<attempt>0|[1-9]\d*)\.(?P<number>0|[1-9]\d*)\.jsonl\.gz", name)
    return found["run"], found["vm"], int(found["attempt"]), int(found["number"])


def allowance_object(run: str, shard: int) -> str:
    """How many bytes a shard has taken of its share of each UTC day's cap: compare-and-swap by generation."""
    return f"{RUNS}{run}/allowance/{shard}.json"


def parse_allowance_object(name: str) -> tuple[str, int]:
    """Inverse of `allowance_object`: (run, shard)."""
    found = _match(rf"{RUNS}{_RUN}/allowance/(?P<shard>0|[1-9]\d*)\.json", name)
    return found["run"], int(found["shard"])


def lease_object(run: str) -> str:
    """Who looks after a run at the moment: compare-and-swap by generation."""
    return f"{RUNS}{run}/lease.json"


def parse_lease_object(name: str) -> str:
    """Inverse of `lease_object`: the run."""
    return _match(rf"{RUNS}{_RUN}/lease\.json", name)["run"]


def canary_object(run: str) -> str:
    """Why a launch stopped at its canaries: the rest of its VMs is never asked for."""
    return f"{RUNS}{run}/canary.json"


def parse_canary_object(name: str) -> str:
    """Inverse of `canary_object`."""
    return _match(rf"{RUNS}{_RUN}/canary\.json", name)["run"]


def job_prefix(run: str, vm: str) -> str:
    """The folder of the jobs that a kept VM was given."""
    return f"{RUNS}{run}/jobs/{vm}/"


def job_object(run: str, vm: str, number: int) -> str:
    """The n-th job that a kept VM was given, counted from 1."""
    return f"{job_prefix(run, vm)}{number}.json"


def parse_job_object(name: str) -> tuple[str, str, int]:
    """Inverse of `job_object`: (run, vm, number)."""
    found = _match(rf"{RUNS}{_RUN}/jobs/(?P<vm>{_NAME})/(?P<number>[1-9]\d*)\.json", name)
    return found["run"], found["vm"], int(found["number"])


def job_result_prefix(run: str, vm: str) -> str:
    """The folder of what became of a kept VM's jobs. Apart from the jobs, so that a listing of jobs shows jobs."""
    return f"{RUNS}{run}/job-results/{vm}/"


def job_result_object(run: str, vm: str, number: int) -> str:
    """What became of a job: written when it begins, and again when it has ended."""
    return f"{job_result_prefix(run, vm)}{number}.json"


def parse_job_result_object(name: str) -> tuple[str, str, int]:
    """Inverse of `job_result_object`: (run, vm, number)."""
    found = _match(rf"{RUNS}{_RUN}/job-results/(?P<vm>{_NAME})/(?P<number>[1-9]\d*)\.json", name)
    return found["run"], found["vm"], int(found["number"])


def drain_object(run: str) -> str:
    """Its presence tells the workers of a run to take no new work."""
    return f"{RUNS}{run}/drain.json"


def vm_drain_prefix(run: str) -> str:
    """The folder whose one listing shows which VMs of a run were drained one by one."""
    return f"{RUNS}{run}/drained/"


def vm_drain_object(run: str, vm: str) -> str:
    """Its presence tells one worker of a run to take no new work."""
    return f"{vm_drain_prefix(run)}{vm}.json"


def parse_vm_drain_object(name: str) -> tuple[str, str]:
    """Inverse of `vm_drain_object`: (run, vm)."""
    found = _match(rf"{RUNS}{_RUN}/drained/(?P<vm>{_NAME})\.json", name)
    return found["run"], found["vm"]


class ManifestName(msgspec.Struct, frozen=True):
    """Which cell a manifest speaks of, and which shard attempt wrote it."""

    cell: Cell
    run: str
    shard: int
    attempt: int
    sequence: int = 0
    """0 for the record at the end of the cell; an earlier, open record of the same attempt counts from 1."""


def manifest_prefix(cell: Cell) -> str:
    """The folder of a cell's manifests."""
    return f"{MANIFESTS}day-{cell.day.isoformat()}/data_type-{cell.data_type}/venue-{require_venue(cell.venue)}/"


def manifest_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds all manifests of these days."""
    return f"{MANIFESTS}day-{days.start.isoformat()}/", f"{MANIFESTS}day-{days.end.isoformat()}0"


def manifest_object(name: ManifestName) -> str:
    """The record of one shard attempt for one cell."""
    tail = f".{name.sequence}" if name.sequence else ""
    return f"{manifest_prefix(name.cell)}{name.run}-{name.shard}-{name.attempt}{tail}.json"


def parse_manifest_object(name: str) -> ManifestName:
    """Inverse of `manifest_object`."""
    found = _match(_MANIFEST, name)
    return ManifestName(_cell(found), found["run"], int(found["shard"]), int(found["attempt"]), int(found["sequence"] or 0))


_MANIFEST = (
    rf"{MANIFESTS}{_DAY}/{_TYPE}/{_VENUE}/{_RUN}-(?P<shard>0|[1-9]\d*)-(?P<attempt>0|[1-9]\d*)"
    r"(?:\.(?P<sequence>[1-9]\d*))?\.json"
)


def verification_object(cell: Cell) -> str:
    """When a cell's objects were last compared with its manifests, and what was wrong with them. Overwritten each time."""
    return f"{VERIFICATIONS}day-{cell.day.isoformat()}/data_type-{cell.data_type}/venue-{require_venue(cell.venue)}.json"


def parse_verification_object(name: str) -> Cell:
    """Inverse of `verification_object`."""
    return _cell(_match(rf"{VERIFICATIONS}{_DAY}/{_TYPE}/{_VENUE}\.json", name))


def verification_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds all verifications of these days."""
    return f"{VERIFICATIONS}day-{days.start.isoformat()}/", f"{VERIFICATIONS}day-{days.end.isoformat()}0"


@dataclass(frozen=True, slots=True)
class LoadName:
    """One load of one day into one table of BigQuery."""

    day: date
    dataset: str
    table: str
    job: str
    """The load job's id, which follows from what was loaded."""


def load_object(name: LoadName) -> str:
    """What a load job has put into a table's partition; written once, when its rows have been counted."""
    return f"{LOADS}day-{name.day.isoformat()}/dataset-{name.dataset}/table-{name.table}/{name.job}.json"


def parse_load_object(name: str) -> LoadName:
    """Inverse of `load_object`."""
    found = _match(rf"{LOADS}{_DAY}/{_LOADED_TABLE}/{_JOB}\.json", name)
    return LoadName(_day(found), found["dataset"], found["table"], found["job"])


def load_range(days: DayRange) -> tuple[str, str]:
    """The first name, inclusive, and the last, exclusive, of a listing that holds all loads of these days."""
    return f"{LOADS}day-{days.start.isoformat()}/", f"{LOADS}day-{days.end.isoformat()}0"


def audit_object(moment: datetime, identifier: str) -> str:
    """One mutation."""
    return f"{AUDIT}{require_aware(moment).date().isoformat()}/{_stamp(moment)}-{identifier}.json"


def parse_audit_object(name: str) -> tuple[datetime, str]:
    """Inverse of `audit_object`: (moment, identifier)."""
    found = _match(rf"{AUDIT}\d{{4}}-\d{{2}}-\d{{2}}/{_STAMP}-(?P<identifier>[a-z0-9]+)\.json", name)
    moment = _unstamp(found)
    if audit_object(moment, found["identifier"]) != name:
        _refuse(name)
    return moment, found["identifier"]


def probe_object(moment: datetime, identifier: str) -> str:
    """What a look at the state bucket writes and deletes again; one that is left behind may be deleted by hand."""
    return f"{PROBES}{_stamp(moment)}-{identifier}.json"


def parse_probe_object(name: str) -> tuple[datetime, str]:
    """Inverse of `probe_object`: (moment, identifier)."""
    found = _match(rf"{PROBES}{_STAMP}-(?P<identifier>[a-z0-9]+)\.json", name)
    return _unstamp(found), found["identifier"]


def build_source_object(moment: datetime, identifier: str) -> str:
    """The source archive of an image build. Of no use once the build has ended."""
    return f"{BUILDS}source/{_stamp(moment)}-{identifier}.tar.gz"


def parse_build_source_object(name: str) -> tuple[datetime, str]:
    """Inverse of `build_source_object`: (moment, identifier)."""
    found = _match(rf"{BUILDS}source/{_STAMP}-(?P<identifier>[a-z0-9]+)\.tar\.gz", name)
    return _unstamp(found), found["identifier"]


def build_log_object(build: str) -> str:
    """What the build service writes while it builds: it names the object itself, below the folder that it is given."""
    return f"{BUILD_LOGS}log-{build}.txt"


def parse_build_log_object(name: str) -> str:
    """Inverse of `build_log_object`: the build's id."""
    return _match(rf"{BUILD_LOGS}log-(?P<build>[a-zA-Z0-9-]+)\.txt", name)["build"]


def quarantine_object(file: File, run: str, attempt: int) -> str:
    """Source bytes of `file` that could not be trusted; the reason is in the object's metadata."""
    cell = file.cell
    return (
        f"{QUARANTINE}day-{cell.day.isoformat()}/data_type-{cell.data_type}/venue-{require_venue(cell.venue)}/"
        f"{quote(require_symbol(file.symbol), safe='')}/{run}-{attempt}.csv.gz"
    )


def parse_quarantine_object(name: str) -> tuple[File, str, int]:
    """Inverse of `quarantine_object`: (file, run, attempt)."""
    found = _match(rf"{QUARANTINE}{_DAY}/{_TYPE}/{_VENUE}/{_SYMBOL}/{_RUN}-(?P<attempt>0|[1-9]\d*)\.csv\.gz", name)
    return _file(found), found["run"], int(found["attempt"])
