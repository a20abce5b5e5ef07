"""BigQuery as the engine uses it: a dataset, its tables, load jobs by name; over google-cloud-bigquery.

All methods block. Retries are those of the client library (on rate limits, backend errors and lost connections), and there is no second
layer. A job is named before it is sent, so a request that was sent twice is refused the second time, and the job is looked up instead.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from engine.bigquery.tables import LakeTable, TableColumn
from engine.errors import ConfigurationError, EngineError, ExitCode, NotPermitted, Stopped, StoreError, UsageError
from engine.loopback import require_loopback

CALL_TIMEOUT = 60.0
"""Seconds of one HTTP exchange."""

RETRY_SECONDS = 180.0
"""How long one request is repeated."""

POLL_SECONDS, LONGEST_POLL = 0.05, 5.0
"""Between two looks at a job, growing by half."""

MULTI_REGIONS = ("us", "eu")


class QuotaExceeded(StoreError):
    """A quota of BigQuery is used up for now."""

    exit_code = ExitCode.TEMPORARY


class LoadFailed(StoreError):
    """A load job ended with an error: BigQuery's own words."""

    exit_code = ExitCode.PARTIAL

    def __init__(self, message: str, *, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Job:
    """A load job as BigQuery tells it."""

    id: str
    is_done: bool
    ended: datetime | None
    rows: int
    error: str
    """What it failed with; empty if it did not."""
    reason: str
    """BigQuery's word for that."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """How many rows each table has on each day, as BigQuery counts them."""

    rows: Mapping[tuple[str, date], int]
    seen: datetime | None
    """When, by BigQuery's own clock; None if there is no dataset yet."""


class Warehouse:
    """One dataset. Safe to use from several threads."""

    def __init__(self, client: Any, dataset: str) -> None:
        """Args:
        client: a `bigquery.Client`, from `open_client`.
        dataset: its name. It need not exist.
        """
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        self._client = client
        self._retry = DEFAULT_RETRY.with_timeout(RETRY_SECONDS)
        self.dataset = require_dataset(dataset)
        self.location = ""
        """Where the dataset lies; empty as long as it is not known."""
        self.created: datetime | None = None
        """When the dataset was made, by BigQuery's clock."""
        self.stopping = threading.Event()
        """Once it is set nobody waits for a job any more."""

    @property
    def project(self) -> str:
        """The project of dataset and jobs."""
        return str(self._client.project)

    def find_dataset(self) -> bool:
        """Look whether the dataset is there, and where."""
        from google.api_core.exceptions import NotFound

        with self._errors(self.dataset):
            try:
                found = self._client.get_dataset(f"{self.project}.{self.dataset}", retry=self._retry, timeout=CALL_TIMEOUT)
            except NotFound:
                return False
        self.location, self.created = str(found.location), found.created
        return True

    def create_dataset(self, location: str) -> None:
        """Create the dataset; one that is there already stays."""
        from google.cloud import bigquery

        dataset = bigquery.Dataset(f"{self.project}.{self.dataset}")
        dataset.location = location.upper() if location.lower() in MULTI_REGIONS else location
        dataset.description = "Candles and ticks, loaded by Tickdeck"
        dataset.labels = {"td-owner": "tickdeck"}
        with self._errors(self.dataset):
            self._client.create_dataset(dataset, exists_ok=True, retry=self._retry, timeout=CALL_TIMEOUT)
        self.find_dataset()

    def prepare_table(self, table: LakeTable, uris: Sequence[str] = ()) -> tuple[str, ...]:
        """Create a table, or add the columns that it lacks; returns the names of those that were added.

        Args:
            table: what it is to be.
            uris: of an external table: what it is to read, besides what it reads already.

        Raises:
            ConfigurationError: if it is there with another type of a column, another partition, or as another kind of table.
        """
        from google.api_core.exceptions import Conflict, NotFound
        from google.cloud import bigquery

        name = f"{self.project}.{self.dataset}.{table.name}"
        with self._errors(f"{self.dataset}.{table.name}"):
            try:
                held = self._client.get_table(name, retry=self._retry, timeout=CALL_TIMEOUT)
            except NotFound:
                try:
                    self._client.create_table(self._made(table, uris), retry=self._retry, timeout=CALL_TIMEOUT)
                except Conflict:
                    held = self._client.get_table(name, retry=self._retry, timeout=CALL_TIMEOUT)
                else:
                    return ()
            self._require_same(held, table)
            names = {field.name for field in held.schema}
            added = tuple(column.name for column in table.columns if column.name not in names)
            fields = []
            if added:
                held.schema = [*held.schema, *(_field(column) for column in table.columns if column.name in added)]
                fields.append("schema")
            if table.external:
                external = held.external_data_configuration
                union = sorted({*external.source_uris, *uris})
                if union != sorted(external.source_uris):
                    made = bigquery.ExternalConfig("PARQUET")
                    made.source_uris = union
                    held.external_data_configuration = made
                    fields.append("external_data_configuration")
            if fields:
                self._client.update_table(held, fields, retry=self._retry, timeout=CALL_TIMEOUT)
        return added

    def _made(self, table: LakeTable, uris: Sequence[str]) -> Any:
        from google.cloud import bigquery

        made = bigquery.Table(f"{self.project}.{self.dataset}.{table.name}", schema=[_field(column) for column in table.columns])
        made.description, made.labels = table.description, {"td-owner": "tickdeck", **table.labels}
        if table.external:
            external = bigquery.ExternalConfig("PARQUET")
            external.source_uris = sorted(uris)
            made.external_data_configuration = external
        else:
            made.time_partitioning = bigquery.TimePartitioning(type_="DAY", field=table.partition)
            made.clustering_fields = list(table.clustering)
        return made

    def _require_same(self, held: Any, table: LakeTable) -> None:
        where = f"table {self.dataset}.{table.name}"
        hint = "load into another: --dataset NAME"
        if (held.table_type == "EXTERNAL") != table.external:
            raise ConfigurationError(f"{where} is there as {held.table_type.lower()}", hint=hint)
        partition = held.time_partitioning.field if held.time_partitioning is not None else None
        if not table.external and partition != table.partition:
            raise ConfigurationError(f"{where} is not partitioned by {table.partition}", hint=hint)
        types = {field.name: _ALIASES.get(field.field_type, field.field_type) for field in held.schema}
        for column in table.columns:
            if types.get(column.name, column.type) != column.type:
                raise ConfigurationError(f"{where}: column {column.name} is {types[column.name]}, not {column.type}", hint=hint)

    def partitions(self) -> Partitions:
        """Rows of every table and day. Reads metadata only: BigQuery bills 10 MiB for it at most."""
        from google.api_core.exceptions import NotFound

        sql = (
            f"SELECT table_name, partition_id, total_rows FROM `{self.project}.{self.dataset}.INFORMATION_SCHEMA.PARTITIONS` "  # noqa: S608
            "WHERE partition_id IS NOT NULL"
        )
        with self._errors(self.dataset):
            try:
                job = self._client.query(sql, location=self.location or None, retry=self._retry, timeout=CALL_TIMEOUT)
                found = list(job.result(retry=self._retry, timeout=CALL_TIMEOUT))
            except NotFound:
                return Partitions({}, None)
        rows = {
            (row["table_name"], date.fromisoformat(row["partition_id"])): int(row["total_rows"])
            for row in found
            if re.fullmatch(r"\d{8}", row["partition_id"])
        }
        return Partitions(rows, job.created)

    def start_load(self, table: LakeTable, day: date, uris: Sequence[str], *, job: str) -> Job | None:
        """Send a load job that replaces the partition of one day; None if a job of that name was ever sent.

        Args:
            table: the table, which is there.
            day: the UTC day.
            uris: `gs://` objects of that day.
            job: the name of the job.
        """
        from google.api_core.exceptions import Conflict
        from google.cloud import bigquery

        configuration = bigquery.LoadJobConfig(
            source_format="PARQUET",
            write_disposition="WRITE_TRUNCATE",
            create_disposition="CREATE_NEVER",
            schema=[bigquery.SchemaField(column.name, column.type) for column in table.columns],
            labels={"td-owner": "tickdeck", **table.labels},
        )
        with self._errors(f"{self.dataset}.{table.name}${day:%Y%m%d}"):
            try:
                sent = self._client.load_table_from_uri(
                    list(uris),
                    f"{self.project}.{self.dataset}.{table.name}${day:%Y%m%d}",
                    job_id=job,
                    location=self.location,
                    job_config=configuration,
                    retry=self._retry,
                    timeout=CALL_TIMEOUT,
                )
            except Conflict:
                return None
        return _job(sent)

    def find_job(self, job: str) -> Job:
        """A job as it is now."""
        with self._errors(job):
            return _job(self._client.get_job(job, location=self.location, retry=self._retry, timeout=CALL_TIMEOUT))

    def wait_for(self, job: Job) -> Job:
        """The job when it has ended, well or badly.

        Raises:
            Stopped: if `stopping` is set meanwhile. The job goes on; who comes next finds it.
        """
        pause = POLL_SECONDS
        while not job.is_done:
            if self.stopping.wait(pause):
                raise Stopped(f"stopped waiting for load job {job.id}", hint="run the same command again, it goes on where it stopped")
            pause = min(pause * 1.5, LONGEST_POLL)
            job = self.find_job(job.id)
        return job

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn the client's errors into ours, each with what it is about and the next step."""
        import requests
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, Unauthorized
        from google.auth.exceptions import GoogleAuthError

        where = f"BigQuery {name}"
        try:
            yield
        except EngineError:
            raise
        except (Forbidden, Unauthorized) as error:
            reason = (error.errors[0].get("reason") if error.errors else "") or ""
            if reason in ("quotaExceeded", "rateLimitExceeded"):
                raise QuotaExceeded(f"{where}: {_said(error)}", hint="run the same command again later, it goes on") from error
            hint = "let this account run jobs in the project (bigquery.jobUser) and edit the dataset (bigquery.dataEditor)"
            raise NotPermitted(f"{where}: {_said(error)}", hint=hint) from error
        except NotFound as error:
            raise ConfigurationError(f"{where}: {_said(error)}", hint="see the project, the dataset and its location") from error
        except GoogleAuthError as error:
            raise NotPermitted(f"{where}: {_said(error)}", hint="run: gcloud auth application-default login") from error
        except (RetryError, GoogleAPICallError, requests.RequestException, ConnectionError, TimeoutError) as error:
            raise StoreError(f"{where}: {_said(error)}", hint="run the same command again, it goes on where it stopped") from error


_ALIASES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


def open_client(*, project: str, endpoint: str = "") -> Any:
    """A google-cloud-bigquery client.

    Args:
        project: Google Cloud project; any word for a server on this machine.
        endpoint: base URL of a BigQuery server on this machine; empty for the real service with default credentials.

    Raises:
        ConfigurationError: if `endpoint` is not on this machine.
        NotPermitted: if there are no default credentials.
    """
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import bigquery

    if endpoint:
        from google.auth.credentials import AnonymousCredentials

        options = {"api_endpoint": require_loopback(endpoint).rstrip("/")}
        client = bigquery.Client(project=project, credentials=AnonymousCredentials(), client_options=options)
        client._http.trust_env = False
        return client
    try:
        return bigquery.Client(project=project)
    except DefaultCredentialsError as error:
        raise NotPermitted(str(error), hint="run: gcloud auth application-default login") from error


def require_dataset(name: str) -> str:
    """A dataset's name, as BigQuery allows it.

    Raises:
        UsageError: naming it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,1024}", name):
        raise UsageError(f"{name!r} is no name of a dataset", hint="letters, digits and underscores, without the project")
    return name


def _field(column: TableColumn) -> Any:
    from google.cloud import bigquery

    return bigquery.SchemaField(column.name, column.type, description=column.description)


def _job(job: Any) -> Job:
    error = job.error_result or {}
    return Job(
        id=job.job_id,
        is_done=job.state == "DONE",
        ended=job.ended,
        rows=int(getattr(job, "output_rows", 0) or 0),
        error=" ".join(str(error.get("message", "")).split()) or str(error.get("reason", "")),
        reason=str(error.get("reason", "")),
    )


def _said(error: BaseException) -> str:
    """What BigQuery said, without the request that the client repeats around it."""
    if isinstance(cause := getattr(error, "cause", None), BaseException):
        return f"{_said(cause)} (tried again in vain)"
    errors = getattr(error, "errors", None) or [{}]
    said = (errors[0].get("message") if isinstance(errors[0], dict) else "") or getattr(error, "message", "") or str(error)
    return " ".join(str(said or type(error).__name__).split())[:300]
