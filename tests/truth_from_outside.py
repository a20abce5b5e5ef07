"""Does the lake hold exactly what the source serves? Answered without a line of the product's code.

Walks the source's catalogue with urllib, fetches every file, reads it with gzip and DuckDB, lists the buckets by the JSON API, reads
the objects with pyarrow. For each source file there must be exactly one object whose rows are equal, or a recorded outcome
that the source confirms; and no object without a source.

    python tests/truth_from_outside.py --storage URL --source URL --bucket B --venues v,w --data-types t,u --start D --end D

The source's key is read from TARDIS_API_KEY. Prints one JSON line; exit code 0 only if everything agrees.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from datetime import UTC, date, datetime, timedelta
from multiprocessing.pool import ThreadPool

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

GROUPED = {"SPOT", "FUTURES", "PERPETUALS", "OPTIONS"}
TIMES = {"timestamp", "local_timestamp", "funding_timestamp", "expiration"}
TEXTS = {"exchange", "symbol", "id", "side", "type", "underlying_index"}

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str, key: str = "") -> tuple[int, bytes]:
    """Status and body; a body that breaks off or a 429 is asked for again."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    for _ in range(20):
        try:
            with _opener.open(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 429:
                return error.code, error.read()
        except Exception:  # noqa: BLE001 - whatever cut the transfer, the next try tells
            continue
    raise SystemExit(f"{url} cannot be fetched")


def list_bucket(storage: str, bucket: str, prefix: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    token = ""
    while True:
        query = urllib.parse.urlencode({"prefix": prefix, **({"pageToken": token} if token else {})})
        _, body = fetch(f"{storage}/storage/v1/b/{bucket}/o?{query}")
        page = json.loads(body)
        items += page.get("items", [])
        token = page.get("nextPageToken", "")
        if not token:
            return items


def read_object(storage: str, bucket: str, name: str) -> bytes:
    status, body = fetch(f"{storage}/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media")
    if status != 200:
        raise SystemExit(f"{name}: {status}")
    return body


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def expected_files(source: str, venues: list[str], data_types: list[str], days: list[date]) -> dict[tuple[str, str, str, str], bool]:
    """(venue, type, day, symbol) -> whether the day is published, out of the catalogue."""
    files = {}
    for venue in venues:
        answer = json.loads(fetch(f"{source}/v1/exchanges/{venue}")[1])["datasets"]
        until = moment(answer["exportedUntil"])
        for day in days:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            end = start + timedelta(days=1)
            for symbol in answer["symbols"]:
                listed = moment(symbol["availableSince"]) < end
                if symbol.get("availableTo"):
                    listed = listed and moment(symbol["availableTo"]) > start
                if not listed:
                    continue
                for data_type in symbol["dataTypes"]:
                    if data_type not in data_types:
                        continue
                    wanted = symbol["id"] == "OPTIONS" if data_type == "options_chain" else symbol["id"] not in GROUPED
                    if wanted:
                        files[venue, data_type, day.isoformat(), symbol["id"]] = end <= until
    return files


def rename(column: str) -> str:
    """`asks[0].price` is `ask_price_1` in the lake."""
    if not column.startswith(("asks[", "bids[")):
        return column
    side, _, rest = column.partition("[")
    level, _, what = rest.partition("].")
    return f"{side[:-1]}_{what}_{int(level) + 1}"


def kind_of(column: str) -> str:
    """The SQL type that a column's texts are read as."""
    if column in TEXTS:
        return "VARCHAR"
    return "BIGINT" if column in TIMES else "DOUBLE"


def read_csv(text: bytes) -> pa.Table:
    """A source's CSV as DuckDB reads it, an empty cell as null, columns under their names in the lake."""
    columns = [rename(column) for column in text.partition(b"\n")[0].decode().strip().split(",")]
    kinds = ", ".join(f"'{column}': '{kind_of(column)}'" for column in columns)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, duckdb.connect(config={"threads": 1}) as connection:
        file.write(text)
        file.flush()
        options = f"header = true, auto_detect = false, delim = ',', nullstr = '', columns = {{{kinds}}}"
        connection.execute("SET enable_progress_bar = false")
        return connection.sql(f"SELECT * FROM read_csv('{file.name}', {options})").to_arrow_table()


def compare(text: bytes, body: bytes) -> str:
    """What differs between a source's CSV and an object, row by row; empty if nothing does."""
    source = read_csv(text)
    table = pq.read_table(io.BytesIO(body), use_threads=False)
    if table.num_rows != source.num_rows:
        return f"{table.num_rows} rows in the object, {source.num_rows} at the source"
    for name in table.column_names:
        if name not in source.column_names:
            return f"column {name} is not at the source"
        stored, want = table.column(name), source.column(name)
        if pa.types.is_timestamp(stored.type):
            if stored.type != pa.timestamp("us", tz="UTC"):
                return f"column {name} is {stored.type}"
            stored = stored.cast(pa.int64())
        elif pa.types.is_dictionary(stored.type):
            stored = stored.cast(pa.string())
        if stored.type != want.type or not stored.equals(want):
            pairs = zip(stored.to_pylist(), want.to_pylist(), strict=True)
            at, (held, said) = next(((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1]), (-1, (stored.type, want.type)))
            return f"column {name}, row {at}: {held!r} in the object, {said!r} at the source"
    return ""


def sound_text(body: bytes) -> bytes:
    """What a body says that is one whole gzip or several, of text that ends with a whole row; nothing of another one."""
    try:
        text = gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return b""
    return text if text.endswith(b"\n") else b""


def judge(job: tuple[str, str, str, str, tuple[str, str, str, str], bool, str, str]) -> tuple[str, int, str]:
    """(how the file stands, rows, what is wrong) of one file."""
    storage, source, key, bucket, file, published, name, outcome = job
    venue, data_type, day, symbol = file
    where = "/".join(file)
    if not published:
        return "not_ready", 0, f"{where} is in the lake but not published" if name else ""
    url = f"{source}/v1/{venue}/{data_type}/{day.replace('-', '/')}/{urllib.parse.quote(symbol, safe='')}.csv.gz"
    status, body = fetch(url, key)
    if name:
        text = sound_text(body) if status == 200 else b""
        if not text:
            return "ok", 0, f"{where} is in the lake, but the source says {status} and no sound file"
        wrong = compare(text, read_object(storage, bucket, name))
        return "ok", text.count(b"\n") - 1, f"{where}: {wrong}" if wrong else ""
    if outcome == "empty":
        sound = status == 200 and len(body) > 0 and gzip.decompress(body) == b""
        return outcome, 0, "" if sound else f"{where} is recorded as empty, the source sends {len(body)} bytes"
    if outcome == "not_found":
        return outcome, 0, "" if status == 404 else f"{where} is recorded as not found, the source says {status}"
    if outcome in ("failed", "quarantined"):
        return outcome, 0, "" if not sound_text(body) else f"{where} is recorded as {outcome}, but the source's file is sound"
    return outcome or "nothing", 0, f"{where} has neither an object nor an outcome that the source confirms ({outcome or 'none'})"


def recorded(storage: str, bucket: str) -> dict[tuple[str, str, str, str], str]:
    """Outcomes out of the manifests, the newest for each file."""
    found: dict[tuple[str, str, str, str], tuple[int, str]] = {}
    for item in list_bucket(storage, bucket, "manifests/"):
        manifest = json.loads(read_object(storage, bucket, str(item["name"])))
        for entry in manifest["entries"]:
            file = (manifest["venue"], manifest["data_type"], manifest["day"], entry["symbol"])
            found[file] = max(found.get(file, (0, "")), (int(str(item["generation"])), entry["outcome"]))
    return {file: outcome for file, (_, outcome) in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("storage", "source", "bucket", "venues", "data-types", "start", "end"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    first, last = date.fromisoformat(arguments.start), date.fromisoformat(arguments.end)
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    files = expected_files(arguments.source, arguments.venues.split(","), arguments.data_types.split(","), days)
    objects: dict[tuple[str, str, str, str], list[str]] = {}
    for item in list_bucket(arguments.storage, arguments.bucket, "raw_tick_data/"):
        _, _, day, kind, venue, symbol = str(item["name"]).split("/")
        file = (venue[6:], kind[10:], day[4:], urllib.parse.unquote(symbol.removesuffix(".parquet")))
        objects.setdefault(file, []).append(str(item["name"]))
    problems = [f"{'/'.join(file)} is in the lake without a source" for file in objects if file not in files]
    problems += [f"{'/'.join(file)} is {len(names)} objects" for file, names in objects.items() if len(names) != 1]
    outcomes = recorded(arguments.storage, f"{arguments.bucket}-state")
    key = os.environ.get("TARDIS_API_KEY", "")
    jobs = [
        (arguments.storage, arguments.source, key, arguments.bucket, file, published, objects.get(file, [""])[0], outcomes.get(file, ""))
        for file, published in files.items()
    ]
    counts: dict[str, int] = {}
    rows = 0
    with ThreadPool(8) as pool:
        for outcome, found, wrong in pool.imap_unordered(judge, jobs, chunksize=1):
            counts[outcome] = counts.get(outcome, 0) + 1
            rows += found
            problems += [wrong] if wrong else []
    print(json.dumps({"files": len(files), "objects": len(objects), "rows": rows, "outcomes": counts, "problems": problems}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
