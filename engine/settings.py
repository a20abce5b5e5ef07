"""All settings of the engine in one table: default on a VM, default elsewhere, names, and where each value came from.

Flags win over the environment, the environment over the defaults. `config show` prints this table; the README repeats it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.logbook import SEVERITIES

MIN_BATCH = 100

BUCKET_NAME_HINT = 'write the name alone, like "market-data-tick": 3 to 63 of a-z, 0-9, -, _ and ., first and last a letter or digit'


def is_bucket_name(text: str) -> bool:
    """Whether Cloud Storage could have a bucket of that name (its docs, "About Cloud Storage buckets", names)."""
    parts = text.split(".")
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", text) is not None and all(0 < len(part) <= 63 for part in parts)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    environment: tuple[str, ...]
    """Names it answers to, the first is ours; the others are those of the old jobs."""
    on_vm: str
    elsewhere: str
    help: str
    origin: str = ""
    """Where the default comes from."""
    secret: bool = False
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    """The only values it may have; empty: any."""
    is_address: bool = False
    """An address with its scheme."""
    is_bucket: bool = False
    """A bucket's name."""


TABLE: tuple[Setting, ...] = (
    Setting("project", ("GOOGLE_CLOUD_PROJECT", "GCP_PROJECT"), "", "local", "Google Cloud project"),
    Setting("data_bucket", ("DATA_BUCKET", "GCS_BUCKET"), "market-data-tick", "market-data-tick", "bucket of the lake", is_bucket=True),
    Setting("state_bucket", ("STATE_BUCKET",), "", "", "bucket of plans, runs and manifests; empty: <data bucket>-state", is_bucket=True),
    Setting("storage_endpoint", ("STORAGE_EMULATOR_HOST",), "", "", "storage server on this machine; empty: the real service"),
    Setting("logging_endpoint", ("TICKDECK_LOGGING_ENDPOINT",), "", "", "logging server on this machine (host:port)"),
    Setting("bigquery_endpoint", ("TICKDECK_BIGQUERY_ENDPOINT",), "", "", "BigQuery server on this machine; empty: the real service"),
    Setting("bigquery_location", ("BIGQUERY_LOCATION",), "", "", "where a new dataset lies; empty: where the data bucket does"),
    Setting("bigquery_dataset", ("BIGQUERY_DATASET",), "tickdeck", "tickdeck", "dataset of candles and ticks"),
    Setting("cloud_logging", ("TICKDECK_CLOUD_LOGGING",), "1", "0", "1: also send events to Cloud Logging", choices=("0", "1")),
    Setting("api_url", ("TARDIS_API_URL",), "https://api.tardis.dev/v1", "https://api.tardis.dev/v1", "Tardis API", is_address=True),
    Setting(
        "datasets_url",
        ("TARDIS_DATASETS_URL",),
        "https://datasets.tardis.dev/v1",
        "https://datasets.tardis.dev/v1",
        "Tardis datasets",
        is_address=True,
    ),
    Setting("api_key", ("TARDIS_API_KEY",), "", "", "Tardis key; without one only first days of months are served", secret=True),
    Setting("converters", ("CONVERTERS", "MAX_WORKERS"), "8", "1", "conversions at once", "old guide: 8", minimum=1),
    Setting("max_concurrent", ("MAX_CONCURRENT",), "500", "50", "downloads at once in this worker", "old guide: 500", minimum=1),
    Setting(
        "max_uploads",
        ("MAX_PARALLEL_UPLOADS", "MAX_UPLOADS"),
        "200",
        "20",
        "uploads at once, also bounded by bytes in flight",
        "old guide: 200",
        minimum=1,
    ),
    Setting("batch_size", ("BATCH_SIZE",), "5000", "5000", "instruments in one batch", "old guide: 5000", minimum=MIN_BATCH),
    Setting(
        "memory_threshold",
        ("MEMORY_THRESHOLD",),
        "85",
        "50",
        "percent of memory above which nothing starts",
        "old guide: 85",
        minimum=5,
    ),
    Setting("bytes_in_flight", ("BYTES_IN_FLIGHT_MIB",), "4096", "256", "MiB between download and commit", minimum=16),
    Setting("spool_memory", ("SPOOL_MEMORY_MIB",), "64", "8", "MiB of a body kept in memory, then a temporary file", minimum=1),
    Setting("file_deadline", ("FILE_DEADLINE_SECONDS",), "3600", "1800", "seconds for one file, retries included", minimum=1),
    Setting("heartbeat_seconds", ("HEARTBEAT_SECONDS",), "10", "2", "between two heartbeats", minimum=1),
    Setting("log_flush_seconds", ("LOG_FLUSH_SECONDS",), "60", "60", "between two log objects", minimum=1),
    Setting("heal_seconds", ("HEAL_SECONDS",), "60", "60", "between an idle worker's looks for lost shards", minimum=1),
    Setting("stale_seconds", ("STALE_SECONDS",), "180", "180", "of silence after which a worker has lost its shards", minimum=5),
    Setting("log_level", ("LOG_LEVEL",), "INFO", "INFO", "least severity on stdout", choices=SEVERITIES),
)

_BY_NAME = {setting.name: setting for setting in TABLE}


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and where it came from."""

    text: str
    origin: str
    """`default`, `environment NAME`, `flag`, `plan`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings."""

    values: Mapping[str, Value]

    def text(self, name: str) -> str:
        """The value as text."""
        return self.values[name].text

    def number(self, name: str) -> float:
        """The value as a number.

        Raises:
            ConfigurationError: naming the value and its origin, if it is none or below the minimum.
        """
        value, setting = self.values[name], _BY_NAME[name]
        try:
            number = float(value.text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            hint = f"set a number: {setting.help}"
            raise ConfigurationError(f"{setting.environment[0]}={value.text!r} ({value.origin}) is not a number", hint=hint)
        if setting.minimum is not None and number < setting.minimum:
            also = "; the old guide also used this name for days" if name == "batch_size" else ""
            hint = f"set {setting.minimum:g} or more: {setting.help}{also}"
            raise ConfigurationError(f"{setting.environment[0]}={value.text} ({value.origin}) is below {setting.minimum:g}", hint=hint)
        return number

    def whole(self, name: str) -> int:
        """The value as a whole number."""
        return int(self.number(name))

    def require_readable(self) -> None:
        """Make sure that every value is one that its setting can have, before anything is begun.

        Raises:
            ConfigurationError: for the first that is not, with its origin.
        """
        for problem in self.problems():
            raise problem

    def problems(self) -> Iterator[ConfigurationError]:
        """What is wrong with the values, one error for each that cannot be read."""
        for setting in TABLE:
            value = self.values[setting.name]
            named = f"{setting.environment[0]}={value.text!r} ({value.origin})"
            try:
                if setting.minimum is not None:
                    self.number(setting.name)
            except ConfigurationError as error:
                yield error
            if setting.choices and value.text not in setting.choices:
                yield ConfigurationError(f"{named} is not one of its values", hint=f"set one of {', '.join(setting.choices)}")
            if setting.is_address and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", value.text):
                yield ConfigurationError(f"{named} is no address", hint="write it like https://HOST/v1")
            if setting.is_bucket and (value.text or setting.elsewhere) and not is_bucket_name(value.text):
                yield ConfigurationError(f"{named} is no bucket name", hint=BUCKET_NAME_HINT)

    def require_two_buckets(self) -> None:
        """State is overwritten and data never is: they must not share a bucket.

        Raises:
            ConfigurationError: if they do.
        """
        if self.text("data_bucket") == self.state_bucket:
            raise ConfigurationError(f"data and state are both in {self.state_bucket}", hint="set STATE_BUCKET to another")

    @property
    def state_bucket(self) -> str:
        """The state bucket, by default named after the data bucket."""
        return self.text("state_bucket") or f"{self.text('data_bucket')}-state"


def resolve(
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    on_vm: bool = False,
    plan: Mapping[str, str] | None = None,
) -> Settings:
    """Find each setting's value.

    Args:
        environment: by default the process's.
        flags: by setting name; None values count as not given.
        on_vm: whether the defaults of a VM apply.
        plan: what a plan fixes, by environment name; wins over the defaults only.
    """
    environment = os.environ if environment is None else environment
    values = {}
    for setting in TABLE:
        values[setting.name] = Value(setting.on_vm if on_vm else setting.elsewhere, "default")
        for name in setting.environment:
            if plan and name in plan:
                values[setting.name] = Value(plan[name], "plan")
        for name in reversed(setting.environment):
            if environment.get(name):
                values[setting.name] = Value(environment[name], f"environment {name}")
        flag = (flags or {}).get(setting.name)
        if flag is not None:
            values[setting.name] = Value(str(flag), "flag")
    return Settings(values)
