"""Objects against manifests, over the wire: each thing a hand can do to a lake is found at the right depth, and turns its cell back."""

from __future__ import annotations

import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.catalogue import save_catalogue
from engine.clock import utc_now
from engine.commit import PARQUET
from engine.coverage import CellReport, Sureness
from engine.errors import ConfigurationError
from engine.inventory import Inventory, check_range
from engine.manifest import MANY, Entry, Manifest, metadata_of, read_cell
from engine.model import Cell, CellState, DayRange, File, Outcome
from engine.paths import OldDataName, data_object, manifest_prefix, old_data_object, verification_object
from engine.store import Retries, Store
from engine.validation.comparing import Question, Validation, validate
from engine.validation.verification import Depth, Kind
from tests.engine.made_up_lake import catalogue, listing
from tests.engine.validation.small_lake import commit_file, fill, record
from tests.local_servers import Lake, LocalServer

DAY = date(2024, 5, 1)
NEXT = DAY + timedelta(days=1)
TRADES = Cell(DAY, "trades", "binance")
BTC, PEPE = File(TRADES, "BTCUSDT"), File(TRADES, "PEPEUSDT")
RANGE = ("--start", "2024-05-01", "--end", "2024-05-02")
FETCHED = ("--venues", "binance", "--data-types", "trades", "--start", "2024-05-01")


def look(lake: Lake, days: DayRange | None = None, **question: Any) -> Validation:
    return validate(lake.data, lake.state, Question(days or DayRange(DAY, DAY), **question))


def found(validation: Validation) -> set[tuple[str, str]]:
    return {(finding.symbol, finding.kind.value) for _, finding in validation.findings}


def asked_of_storage(lake: Lake) -> Counter[str]:
    answer = lake.storage.get("/_tickdeck/requests")
    return Counter(answer["counts"]) + Counter({"ranged": answer["statuses"].get("206", 0)})


def delete(lake: Lake, file: File) -> None:
    info = lake.data.stat(data_object(file))
    assert info is not None
    assert lake.data.delete(info.name, if_generation=info.generation)


def overwrite(lake: Lake, file: File, data: bytes, *, metadata: dict[str, str] | None = None) -> None:
    """Other bytes under the same name, by default with the same metadata, as `gcloud storage cp` of a damaged copy leaves it."""
    info = lake.data.stat(data_object(file))
    assert info is not None
    lake.data.put(info.name, data, if_generation=None, metadata=info.metadata if metadata is None else metadata, content_type=PARQUET)


def body(lake: Lake, file: File) -> bytes:
    held = lake.data.get(data_object(file))
    assert held is not None
    return held.data


def patch_metadata(lake: Lake, file: File, **changes: str) -> None:
    blob = lake.data.service.client.bucket(lake.data.bucket).get_blob(data_object(file))
    blob.metadata = {**blob.metadata, **changes}
    blob.patch()


def rewrite_manifest(lake: Lake, cell: Cell, *, metadata: bool = True, **changes: Any) -> None:
    """Change the first entry of a cell's manifest in place, as nobody should."""
    (info,) = lake.state.list(manifest_prefix(cell))
    held = lake.state.get(info.name)
    assert held is not None
    manifest = msgspec.json.decode(held.data, type=Manifest)
    first, *others = manifest.entries
    altered = msgspec.structs.replace(manifest, entries=(msgspec.structs.replace(first, **changes), *others))
    lake.state.put(
        info.name, msgspec.json.encode(altered), if_generation=None, metadata=metadata_of(altered) if metadata else dict(info.metadata)
    )


def kept(lake: Lake, cell: Cell = TRADES) -> dict[str, str]:
    info = lake.state.stat(verification_object(cell))
    assert info is not None
    return dict(info.metadata)


def report_of(lake: Lake, cell: Cell = TRADES) -> CellReport:
    """The cell as `tickdeck check` sees it."""
    return check_range(Inventory(lake.state), DayRange(cell.day, cell.day), (cell.venue,), (cell.data_type,), now=utc_now()).report(cell)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """Two files of one cell, which are all that the venue lists."""
    fill(lake, {TRADES: ["BTCUSDT", "PEPEUSDT"]})
    save_catalogue(lake.state, catalogue(listing("BTCUSDT"), listing("PEPEUSDT")), b"[]")
    return lake


# what is right


def test_untouched_objects_are_proven_at_every_depth_and_no_depth_reads_more_than_it_must(filled: Lake) -> None:
    before = asked_of_storage(filled)
    listing = look(filled)
    listed = asked_of_storage(filled) - before
    assert (listing.exit_code, found(listing), [result.objects for result in listing.cells]) == (0, set(), [2])
    assert listed["ranged"] == 0
    before = asked_of_storage(filled)
    assert look(filled, depth=Depth.FOOTER).exit_code == 0
    # One for each footer, or two where nothing alike was read before: how long it is, and then the rest of it.
    assert 2 <= (asked_of_storage(filled) - before)["ranged"] <= 4
    assert look(filled, depth=Depth.CONTENT).exit_code == 0
    assert {part.partition("=")[0] for part in kept(filled)["proofs"].split(",")} == {"listing", "footer", "content"}


def test_a_later_quick_look_keeps_what_a_closer_one_proved_of_the_same_objects(filled: Lake) -> None:
    look(filled, depth=Depth.CONTENT)
    closer = report_of(filled)
    look(filled)
    report = report_of(filled)
    assert (report.sureness, report.verified_depth) == (Sureness.VERIFIED, Depth.CONTENT)
    assert report.proofs[Depth.CONTENT] == closer.proofs[Depth.CONTENT]
    assert report.verified_at is not None
    assert closer.verified_at is not None
    assert report.verified_at == report.proofs[Depth.LISTING] > closer.verified_at


def test_a_sample_proves_the_listing_of_all_and_the_inside_of_none(filled: Lake) -> None:
    seen = look(filled, depth=Depth.CONTENT, sample=1)
    assert (seen.exit_code, seen.cells[0].objects, seen.cells[0].inside) == (0, 2, 1)
    assert report_of(filled).verified_depth is Depth.LISTING


def test_a_newer_manifest_makes_a_proof_stale_and_its_age_still_shows(filled: Lake) -> None:
    look(filled)
    before = report_of(filled)
    assert before.sureness is Sureness.VERIFIED
    record(filled.state, TRADES, [Entry(symbol="OTHERUSDT", outcome=Outcome.FAILED)], run="r2")
    report = report_of(filled)
    assert (report.sureness, report.verified_at, report.verified_depth) == (Sureness.COMMITTED, before.verified_at, None)


def test_a_deleted_object_that_was_restored_is_right_again(filled: Lake) -> None:
    data, info = body(filled, BTC), filled.data.stat(data_object(BTC))
    assert info is not None
    delete(filled, BTC)
    assert found(look(filled)) == {("BTCUSDT", "missing")}
    filled.data.put(info.name, data, if_generation=0, metadata=info.metadata, content_type=PARQUET)
    again = look(filled, depth=Depth.CONTENT)
    assert (again.exit_code, again.cells[0].restored) == (0, 1)
    assert report_of(filled).state is CellState.COMPLETE


# what is wrong


def test_a_deleted_object_turns_its_cell_back(filled: Lake) -> None:
    assert report_of(filled).state is CellState.COMPLETE
    delete(filled, PEPE)
    assert report_of(filled).state is CellState.COMPLETE, "nobody has looked yet"
    seen = look(filled)
    assert (seen.exit_code, found(seen)) == (65, {("PEPEUSDT", "missing")})
    report = report_of(filled)
    assert (report.state, report.done, report.absent, report.bad) == (CellState.PARTIAL, 1, 1, 0)
    assert report.reasons == ("1 deleted from the bucket: PEPEUSDT",)
    assert report.sureness is Sureness.COMMITTED
    assert report.rows == 3


def test_other_bytes_under_the_same_metadata_turn_their_cell_back(filled: Lake) -> None:
    overwrite(filled, PEPE, b"x" * len(body(filled, PEPE)))
    seen = look(filled)
    assert found(seen) == {("PEPEUSDT", "altered")}
    assert "CRC-32C" in seen.findings[0][1].detail
    report = report_of(filled)
    assert (report.state, report.done, report.absent, report.bad) == (CellState.PARTIAL, 1, 0, 1)
    assert report.reasons == ("1 altered in the bucket: PEPEUSDT",)


def test_all_objects_deleted_is_a_failed_cell(filled: Lake) -> None:
    delete(filled, BTC)
    delete(filled, PEPE)
    look(filled)
    assert report_of(filled).state is CellState.FAILED


@pytest.mark.parametrize("change", [{"rows": "4"}, {"source-fingerprint": "1:00000000.0"}, {"first-us": ""}])
def test_changed_metadata_is_found_by_listing(filled: Lake, change: dict[str, str]) -> None:
    patch_metadata(filled, BTC, **change)
    seen = look(filled)
    assert found(seen) == {("BTCUSDT", "metadata")}
    assert next(iter(change)) in seen.findings[0][1].detail
    assert report_of(filled).bad == 1


def test_a_manifest_that_says_something_else_than_its_metadata_is_found(filled: Lake) -> None:
    rewrite_manifest(filled, TRADES, metadata=False, outcome=Outcome.FAILED)
    assert ("", "manifest") in found(look(filled))
    assert report_of(filled).state is CellState.PARTIAL, "what its metadata says is not believed any more"


def test_a_manifest_that_cannot_be_read_is_found_and_hides_no_other_cell(filled: Lake) -> None:
    other = Cell(NEXT, "trades", "binance")
    fill(filled, {other: ["BTCUSDT", "PEPEUSDT"]})
    (info,) = filled.state.list(manifest_prefix(TRADES))
    filled.state.put(info.name, b"{", if_generation=None, metadata=info.metadata)
    seen = look(filled, DayRange(DAY, NEXT))
    assert found(seen) == {("", "manifest")}
    assert report_of(filled).state is CellState.FAILED
    assert info.name in report_of(filled).reasons[0]
    assert (report_of(filled, other).state, report_of(filled, other).sureness) == (CellState.COMPLETE, Sureness.VERIFIED)


def test_rows_that_no_footer_confirms_are_found_at_the_depth_of_footers(filled: Lake) -> None:
    """Manifest and metadata agree on a wrong number of rows: only the file itself knows better."""
    rewrite_manifest(filled, TRADES, rows=4)
    patch_metadata(filled, BTC, rows="4")
    assert found(look(filled)) == set()
    seen = look(filled, depth=Depth.FOOTER)
    assert found(seen) == {("BTCUSDT", "footer")}
    assert "3 rows, the manifest 4" in seen.findings[0][1].detail


def smuggle(lake: Lake, file: File, table: pa.Table) -> None:
    """Put other rows under a file's name, and make manifest and metadata agree with the bytes."""
    held = pq.ParquetFile(io.BytesIO(body(lake, file)))
    sink = io.BytesIO()
    facts = {key: value for key, value in (held.metadata.metadata or {}).items() if key != b"ARROW:schema"}
    with pq.ParquetWriter(sink, held.schema_arrow) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(facts)
    overwrite(lake, file, sink.getvalue())
    info = lake.data.stat(data_object(file))
    assert info is not None
    rewrite_manifest(lake, file.cell, crc32c=info.crc32c, object_bytes=info.size, generation=info.generation)


def test_minutes_that_are_not_covered_are_found_only_by_reading_the_rows(filled: Lake) -> None:
    table = pq.read_table(io.BytesIO(body(filled, BTC)))
    local = table.column("local_timestamp").cast(pa.int64()).to_pylist()
    moved = pa.array([local[0], local[0] + 1, local[2]], pa.int64()).cast(table.schema.field("local_timestamp").type)
    smuggle(filled, BTC, table.set_column(table.column_names.index("local_timestamp"), table.schema.field("local_timestamp"), moved))
    assert found(look(filled, depth=Depth.FOOTER)) == set()
    seen = look(filled, depth=Depth.CONTENT)
    assert found(seen) == {("BTCUSDT", "content")}
    assert "covered minutes" in seen.findings[0][1].detail
    assert report_of(filled).reasons == ("1 with wrong content: BTCUSDT",)


def test_a_finding_of_a_closer_look_outlives_a_quick_one(filled: Lake) -> None:
    rewrite_manifest(filled, TRADES, rows=4)
    patch_metadata(filled, BTC, rows="4")
    look(filled, depth=Depth.FOOTER)
    quick = look(filled)
    assert (quick.exit_code, found(quick)) == (65, {("BTCUSDT", "footer")})
    assert report_of(filled).state is CellState.PARTIAL


def test_a_look_at_one_symbol_keeps_what_is_known_of_the_others(filled: Lake) -> None:
    delete(filled, PEPE)
    look(filled)
    one = look(filled, scope={"binance": frozenset({"BTCUSDT"})})
    assert (one.exit_code, one.cells[0].objects) == (0, 1)
    assert report_of(filled).state is CellState.PARTIAL


def test_bytes_that_a_resume_took_for_committed_are_not_believed(filled: Lake) -> None:
    """Somebody wrote over an object and kept its metadata; a resume then recorded what it found."""
    overwrite(filled, PEPE, b"damaged")
    info = filled.data.stat(data_object(PEPE))
    assert info is not None
    was = read_cell(filled.state, TRADES)["PEPEUSDT"].entry
    resumed = msgspec.structs.replace(was, generation=info.generation, object_bytes=info.size, crc32c=info.crc32c)
    record(filled.state, TRADES, [resumed], run="r2")
    assert found(look(filled)) == {("PEPEUSDT", "altered")}
    assert found(look(filled, depth=Depth.CONTENT)) == {("PEPEUSDT", "footer")}


def test_a_file_that_another_engine_committed_anew_is_right_once_its_content_was_read(filled: Lake) -> None:
    rewritten = io.BytesIO()
    held = pq.ParquetFile(io.BytesIO(body(filled, PEPE)))
    with pq.ParquetWriter(rewritten, held.schema_arrow, compression="snappy") as writer:
        writer.write_table(held.read())
    overwrite(filled, PEPE, rewritten.getvalue())
    info = filled.data.stat(data_object(PEPE))
    assert info is not None
    was = read_cell(filled.state, TRADES)["PEPEUSDT"].entry
    record(
        filled.state,
        TRADES,
        [msgspec.structs.replace(was, generation=info.generation, object_bytes=info.size, crc32c=info.crc32c)],
        run="r2",
    )
    assert found(look(filled)) == {("PEPEUSDT", "altered")}
    assert found(look(filled, depth=Depth.CONTENT)) == set()
    assert found(look(filled)) == set()


def test_objects_that_no_manifest_mentions_are_told_and_are_no_error(filled: Lake) -> None:
    stray = File(TRADES, "STRAYUSDT")
    commit_file(filled.data, stray)
    lost = File(Cell(DAY, "trades", "okex"), "BTCUSDT")
    commit_file(filled.data, lost)
    seen = look(filled, venues=("binance", "okex"), data_types=("trades",))
    assert seen.exit_code == 0
    assert [name for result in seen.cells for name in result.orphans] == [data_object(stray), data_object(lost)]


def test_an_adopted_object_is_looked_for_where_it_lies(filled: Lake) -> None:
    cell = Cell(NEXT, "trades", "binance")
    entries = []
    for coin in ("BTC", "PEPE"):
        file = File(cell, f"{coin}USDT")
        entry = commit_file(filled.data, file)
        name = old_data_object(OldDataName(NEXT, "trades", f"BINANCE:SPOT_PAIR:{coin}-USDT"))
        info = filled.data.put(name, body(filled, file), if_generation=0)
        delete(filled, file)
        entries.append(msgspec.structs.replace(entry, object=name, generation=info.generation, fingerprint=""))
    record(filled.state, cell, entries, run="adopt1", origin="adopted")
    for question in ({}, {"venues": ("binance",), "data_types": ("trades",)}):
        assert look(filled, DayRange(NEXT, NEXT), depth=Depth.CONTENT, **question).exit_code == 0
    report = report_of(filled, cell)
    assert (report.state, report.sureness, report.verified_depth) == (CellState.COMPLETE, Sureness.ADOPTED, Depth.CONTENT)
    filled.data.delete(name, if_generation=info.generation)
    assert found(look(filled, DayRange(NEXT, NEXT))) == {("PEPEUSDT", "missing")}
    assert report_of(filled, cell).state is CellState.PARTIAL


# the source


def test_a_source_that_changed_is_told_and_the_committed_file_kept(lake: Lake, traps_source: LocalServer) -> None:
    assert lake.engine("download", *FETCHED).returncode == 0
    assert lake.engine("validate", "--start", "2024-05-01", "--depth", "source").returncode == 0
    held = {info.name: info.generation for info in lake.data.list("")}
    other = f"{traps_source.url}/v1"
    done = lake.engine("validate", "--start", "2024-05-01", "--depth", "source", "--json", TARDIS_DATASETS_URL=other)
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 65
    assert report["problems"] == {"source_changed": 2}
    assert {info.name: info.generation for info in lake.data.list("")} == held
    after = report_of(lake)
    assert (after.state, after.verified_depth) == (CellState.COMPLETE, Depth.CONTENT)
    assert {finding.kind for finding in after.findings} == {Kind.SOURCE_CHANGED}


# many


def test_many_objects_need_few_listings_and_none_of_them_a_request(lake: Lake) -> None:
    """20 days of 60 files: 1,200 objects are two pages."""
    days = DayRange(DAY, DAY + timedelta(days=19))
    blob = b"x"
    names = [f"S{number}USDT" for number in range(60)]
    put_objects(lake, [data_object(File(Cell(day, "trades", "binance"), name)) for day in days for name in names], blob)
    listed = {info.name: info for info in lake.data.list("raw_tick_data/")}
    for day in days:
        cell = Cell(day, "trades", "binance")
        infos = {name: listed[data_object(File(cell, name))] for name in names}
        record(
            lake.state,
            cell,
            [
                Entry(symbol=name, outcome=Outcome.OK, rows=1, object_bytes=1, crc32c=i.crc32c, generation=i.generation)
                for name, i in infos.items()
            ],
        )
    before = asked_of_storage(lake)
    seen = look(lake, days)
    asked = asked_of_storage(lake) - before
    assert (seen.exit_code, sum(result.right for result in seen.cells)) == (0, 1200)
    lists = sum(count for operation, count in asked.items() if "list" in operation)
    assert lists <= 2 + 2 * 2 + 1, asked
    assert asked["ranged"] == 0
    assert sum(asked.values()) <= 2 * 20 + lists, asked
    before = asked_of_storage(lake)
    few = look(lake, days, venues=("binance", "deribit"), data_types=("trades",))
    assert sum(result.right for result in few.cells) == 1200
    assert sum(count for operation, count in (asked_of_storage(lake) - before).items() if "list" in operation) <= 8


def put_objects(lake: Lake, names: list[str], data: bytes) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: lake.data.put(name, data, if_generation=0), names))


def test_findings_that_do_not_fit_into_metadata_count_all_the_same(lake: Lake) -> None:
    cell = Cell(DAY, "trades", "binance")
    gone = [Entry(symbol=f"SYMBOL{number}USDT", outcome=Outcome.OK, rows=1, generation=1_700_000_000_000_000) for number in range(300)]
    record(lake.state, cell, gone)
    assert len(look(lake).findings) == 300
    assert kept(lake)["findings"] == MANY
    assert len(Inventory(lake.state).verifications(DayRange(DAY, DAY))[cell].findings) == 300


# troubles


def test_a_bucket_that_is_missing_is_said_at_once(filled: Lake) -> None:
    nowhere = filled.data.beside("no-such-bucket")
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        validate(nowhere, filled.state, Question(DayRange(DAY, DAY)))


def test_one_cell_that_cannot_be_read_does_not_stop_the_others(filled: Lake) -> None:
    other = Cell(NEXT, "trades", "binance")
    fill(filled, {other: ["BTCUSDT"]})
    state = Store(filled.state.service, filled.state.bucket, retries=Retries(tries=1))
    name = quote(manifest_prefix(TRADES), safe="")
    filled.storage.post("/_tickdeck/faults", {"fault": "status", "status": 503, "match": f"{name}r1", "method": "GET"})
    try:
        seen = validate(filled.data, state, Question(DayRange(DAY, NEXT)))
    finally:
        filled.storage.disarm()
    assert [cell for cell, _ in seen.troubles] == [TRADES]
    assert [result.right for result in seen.cells if result.cell == other] == [1]
    assert seen.exit_code == 69


# the command


def test_a_lake_is_mended_by_fetching_exactly_what_was_deleted(lake: Lake) -> None:
    assert lake.engine("download", *FETCHED).returncode == 0
    delete(lake, BTC)
    done = lake.engine("validate", *RANGE, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 65
    assert [(each["symbol"], each["kind"], each["day"]) for each in report["findings"]] == [("BTCUSDT", "missing", "2024-05-01")]
    assert report_of(lake).state is CellState.PARTIAL
    before = len(lake.requests())
    mended = lake.engine("download", *FETCHED)
    assert mended.returncode == 0, mended.stderr
    assert [row["path"].rpartition("/")[2] for row in lake.requests()[before:]] == ["BTCUSDT.csv.gz"]
    assert (report_of(lake).state, report_of(lake).sureness) == (CellState.COMPLETE, Sureness.COMMITTED)
    assert look(lake).exit_code == 0
    assert report_of(lake).sureness is Sureness.VERIFIED


def test_an_altered_object_is_never_overwritten_and_the_person_is_told_what_to_do(lake: Lake) -> None:
    assert lake.engine("download", *FETCHED).returncode == 0
    overwrite(lake, BTC, b"something else", metadata={})
    done = lake.engine("validate", *RANGE)
    assert done.returncode == 65
    assert "never overwritten" in done.stderr
    assert "gcloud storage rm" in done.stderr
    tried = lake.engine("download", *FETCHED, "--json")
    assert tried.returncode == 65
    assert body(lake, BTC) == b"something else"
    assert report_of(lake).state is CellState.PARTIAL
    delete(lake, BTC)
    assert lake.engine("download", *FETCHED).returncode == 0
    assert report_of(lake).state is CellState.COMPLETE
    assert look(lake, depth=Depth.CONTENT).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--start", "2024-05-02", "--end", "2024-05-01"), 64, "reversed"),
        (("--start", "2024-05-01", "--venues", "binanse"), 64, "did you mean binance"),
        (("--start", "2024-05-01", "--data-types", "tradez"), 64, "did you mean trades"),
        (("--start", "2024-05-01", "--symbols", "BTCUSTD"), 64, "BTCUSTD"),
        (("--start", "2024-05-01", "--depth", "deep"), 64, "footer"),
        (("--start", "2024-05-01", "--data-bucket", "no-such-bucket"), 78, "no-such-bucket"),
        (("--start", "2024-05-01", "--state-bucket", "no-such-state"), 78, "no-such-state"),
        ((), 64, "--start"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(filled: Lake, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = filled.engine("validate", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "->" in done.stderr
