"""Waivers over the wire: what was tried in vain becomes done with a reason on record, nothing else does, and it can be taken back."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.catalogue import load_catalogue
from engine.clock import utc_now
from engine.coverage import Sureness
from engine.errors import UsageError
from engine.inventory import Inventory, check_range
from engine.manifest import read_cell
from engine.model import Cell, CellState, DayRange, Outcome
from provision.audit import list_records
from provision.errors import WriteRefused
from provision.profile import Endpoints, Profile
from provision.waivers import WaiverProposal, apply_waivers, propose_waivers
from tests.local_servers import Lake
from tests.provision.made_up_fleet import local_profile

DAY = date(2024, 5, 1)
TYPES = ("trades", "book_snapshot_5")
REASON = "never captured, says the source"


@pytest.fixture
def holey(traps_lake: Lake) -> Lake:
    """A lake after a download that left holes."""
    done = traps_lake.engine("download", "--venues", "binance", "--data-types", ",".join(TYPES), "--start", DAY.isoformat(), "--json")
    assert done.returncode == 65, done.stdout + done.stderr
    return traps_lake


def profile_of(lake: Lake, **changes: object) -> Profile:
    endpoints = Endpoints(storage=lake.storage.url, compute="http://127.0.0.1:1")
    return dataclasses.replace(local_profile(data_bucket=lake.data.bucket, endpoints=endpoints), **changes)


def propose(lake: Lake, days: DayRange | None = None, types: tuple[str, ...] = TYPES, **more: object) -> WaiverProposal:
    wanted = {"reason": REASON, **more}
    return propose_waivers(Inventory(lake.state), days or DayRange(DAY, DAY), ["binance"], types, **wanted)  # type: ignore[arg-type]


def states(lake: Lake, day: date = DAY) -> dict[str, CellState]:
    coverage = check_range(Inventory(lake.state), DayRange(day, day), ["binance"], TYPES, now=utc_now())
    return {cell.data_type: report.state for cell, report in coverage.reports.items()}


def outcomes(lake: Lake, data_type: str = "trades") -> dict[str, Outcome]:
    return {symbol: record.entry.outcome for symbol, record in read_cell(lake.state, Cell(DAY, data_type, "binance")).items()}


def test_holes_become_done_with_a_reason_on_record(holey: Lake) -> None:
    before = {data_type: outcomes(holey, data_type) for data_type in TYPES}
    bad = {(data_type, symbol) for data_type in TYPES for symbol, outcome in before[data_type].items() if outcome not in ("ok", "empty")}
    assert bad
    assert states(holey)["trades"] is CellState.PARTIAL
    proposal = propose(holey, everything=True)
    assert {(cell.cell.data_type, symbol) for cell in proposal.cells for symbol in cell.symbols} == bad
    receipt = apply_waivers(proposal, profile=profile_of(holey), state=holey.state)
    assert not receipt.failed
    after = {data_type: outcomes(holey, data_type) for data_type in TYPES}
    for data_type in TYPES:
        for symbol, outcome in before[data_type].items():
            assert after[data_type][symbol] == ("waived" if (data_type, symbol) in bad else outcome)
    assert not {CellState.PARTIAL, CellState.FAILED, CellState.MISSING} & set(states(holey).values())
    today = utc_now().date()
    intent, done = [record for record in list_records(holey.state, today, today) if record.id == receipt.audit_id]
    assert (intent.phase, done.phase, intent.reason) == ("intent", "receipt", REASON)
    assert {item.name for item in done.items} == {str(cell.cell) for cell in proposal.cells}
    assert all(item.ok for item in done.items)


def test_what_is_waived_is_not_asked_for_again_and_what_is_withdrawn_is(holey: Lake) -> None:
    apply_waivers(propose(holey, everything=True), profile=profile_of(holey), state=holey.state)
    asked = len(holey.requests())
    command = ("download", "--venues", "binance", "--data-types", ",".join(TYPES), "--start", DAY.isoformat(), "--json")
    done = holey.engine(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(holey.requests()) == asked
    withdrawn = propose(holey, everything=True, withdraw=True)
    apply_waivers(withdrawn, profile=profile_of(holey), state=holey.state)
    assert states(holey)["trades"] is CellState.PARTIAL
    assert holey.engine(*command).returncode == 65
    assert len(holey.requests()) > asked


def test_what_was_never_tried_is_missing_again_when_its_waiver_is_withdrawn(holey: Lake) -> None:
    untried = DAY + timedelta(days=1)
    days = DayRange(untried, untried)
    before = states(holey, untried)
    assert before["trades"] is CellState.MISSING
    apply_waivers(propose(holey, days, everything=True), profile=profile_of(holey), state=holey.state)
    assert states(holey, untried)["trades"] is CellState.COMPLETE
    withdrawn = propose(holey, days, everything=True, withdraw=True)
    assert withdrawn.files
    apply_waivers(withdrawn, profile=profile_of(holey), state=holey.state)
    assert states(holey, untried) == before
    coverage = check_range(Inventory(holey.state), days, ["binance"], TYPES, now=utc_now())
    assert {report.sureness for report in coverage.reports.values()} == {Sureness.NOTHING}
    again = propose(holey, days, everything=True)
    assert {was for cell in again.cells for was in cell.was} == {"absent"}
    assert propose(holey, days, everything=True, withdraw=True).files == 0


def test_what_was_tried_has_its_own_outcome_again_when_its_waiver_is_withdrawn(holey: Lake) -> None:
    before = outcomes(holey)
    apply_waivers(propose(holey, everything=True), profile=profile_of(holey), state=holey.state)
    assert outcomes(holey) != before
    apply_waivers(propose(holey, everything=True, withdraw=True), profile=profile_of(holey), state=holey.state)
    assert outcomes(holey) == before


def test_committed_files_and_unpublished_days_cannot_be_waived(holey: Lake) -> None:
    committed = next(symbol for symbol, outcome in outcomes(holey).items() if outcome is Outcome.OK)
    kept = propose(holey, symbols=(committed,), types=("trades",))
    assert not kept.cells
    assert "committed" in kept.left[0].why
    catalogue = load_catalogue(holey.state, "binance")
    assert catalogue is not None
    unpublished = catalogue.published_until.date()
    later = propose(holey, DayRange(unpublished, unpublished), everything=True)
    assert not later.cells
    assert all("not published" in left.why for left in later.left)


def test_outcomes_narrow_the_selection(holey: Lake) -> None:
    missing = {symbol for symbol, outcome in outcomes(holey).items() if outcome is Outcome.NOT_FOUND}
    assert missing
    proposal = propose(holey, outcomes=("not_found",), types=("trades",))
    assert {symbol for cell in proposal.cells for symbol in cell.symbols} == missing


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"everything": True, "reason": ""},
        {"everything": True, "reason": "because"},
        {"outcomes": ("ok",)},
        {"outcomes": ("nonsense",)},
        {"symbols": ("NOSUCHSYMBOL",)},
    ],
)
def test_a_waiver_without_a_reason_or_a_selection_is_refused(holey: Lake, arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        propose(holey, **arguments)


def test_a_profile_that_may_not_write_waives_nothing(holey: Lake) -> None:
    proposal = propose(holey, everything=True)
    names = {info.name for info in holey.state.list("")}
    with pytest.raises(WriteRefused):
        apply_waivers(proposal, profile=profile_of(holey, read_only=True), state=holey.state)
    with pytest.raises(WriteRefused):
        apply_waivers(proposal, profile=profile_of(holey, protected=True), state=holey.state)
    assert {info.name for info in holey.state.list("")} == names


def test_a_naive_clock_is_refused_before_anything_is_written(holey: Lake) -> None:
    proposal = propose(holey, everything=True)
    names = {info.name for info in holey.state.list("")}
    naive = datetime(2024, 5, 2, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(UsageError):
        apply_waivers(proposal, profile=profile_of(holey), state=holey.state, clock=lambda: naive)
    assert {info.name for info in holey.state.list("")} == names


def test_the_report_of_a_waiver_is_json(holey: Lake) -> None:
    from console.verbs.waive import waiver_document

    proposal = propose(holey, everything=True)
    import msgspec

    document = json.loads(msgspec.json.encode(msgspec.to_builtins(waiver_document(proposal), enc_hook=str)))
    assert len(document["files"]) == proposal.files
    assert document["dry_run"] is True
