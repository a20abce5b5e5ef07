"""What a verification says: kept in metadata and body alike, and ended by a newer object."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.manifest import MANY, Entry, Manifest, Record
from engine.model import Cell, Outcome
from engine.paths import verification_object
from engine.store import ObjectInfo
from engine.validation.verification import (
    Depth,
    Finding,
    Kind,
    Verification,
    identify_manifests,
    metadata_of,
    read_verification,
    read_verifications,
    standing,
    summarize,
    turn_back,
    write_verification,
)
from tests.local_servers import Lake

DAY = date(2024, 5, 1)
CELL = Cell(DAY, "trades", "binance")
AT = datetime(2024, 8, 1, 12, 30, 1, 250_000, tzinfo=UTC)


def verification(**changes: object) -> Verification:
    usual: dict[str, object] = {
        "day": DAY,
        "data_type": "trades",
        "venue": "binance",
        "at": AT,
        "depth": Depth.CONTENT,
        "objects": 3,
        "inside": 2,
        "manifests": "17",
        "contents": "0011223344556677",
    }
    return Verification(**(usual | changes))  # type: ignore[arg-type]


def info_of(found: Verification) -> ObjectInfo:
    return ObjectInfo(verification_object(found.cell), 1, 1, "", AT, metadata_of(found))


symbols = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+*&~^$!-]{0,20}|[^\W_][\w.\-]{0,20}", fullmatch=True)
moments = st.datetimes(timezones=st.just(UTC))


@given(
    st.lists(st.builds(Finding, st.sampled_from(Kind), symbols, st.integers(0, 2**53)), max_size=20),
    st.dictionaries(st.sampled_from(Depth), moments),
)
def test_a_listing_says_what_was_found(findings: list[Finding], proofs: dict[Depth, datetime]) -> None:
    found = verification(findings=tuple(findings), proofs=proofs)
    assert summarize(info_of(found)) == found


def test_findings_that_do_not_fit_are_read_from_the_body_with_all_others_from_the_listing(lake: Lake) -> None:
    many = tuple(Finding(Kind.MISSING, f"SYMBOL{number}USDT", 1_700_000_000_000_000 + number, "gone") for number in range(500))
    write_verification(lake.state, verification(findings=many))
    write_verification(lake.state, verification(venue="deribit", findings=(Finding(Kind.ALTERED, "BTC", 3, "other bytes"),)))
    listed = {info.name: info for info in lake.state.list("verifications/")}
    assert listed[verification_object(CELL)].metadata["findings"] == MANY
    found = read_verifications(lake.state, lake.state.list("verifications/"))
    assert [finding.symbol for finding in found[CELL].findings] == [finding.symbol for finding in many]
    assert found[Cell(DAY, "trades", "deribit")].findings == (Finding(Kind.ALTERED, "BTC", 3),)
    whole = read_verification(lake.state, Cell(DAY, "trades", "deribit"))
    assert whole is not None
    assert whole.findings[0].detail == "other bytes"


@pytest.mark.parametrize(
    "change", [{"findings": "nonsense:1:A"}, {"at": "yesterday"}, {"depth": "deep"}, {"findings": "missing:x:A"}, {"objects": ""}]
)
def test_metadata_that_is_not_ours_is_refused_by_name(change: dict[str, str]) -> None:
    info = info_of(verification())
    broken = ObjectInfo(info.name, 1, 1, "", AT, {**info.metadata, **change})
    with pytest.raises(ConfigurationError, match="venue-binance"):
        summarize(broken)


def test_another_set_of_manifests_is_another_word() -> None:
    sets = [(1,), (2,), (1, 2), (2, 3), (12,), (1, 2, 3)]
    assert len({identify_manifests(generations) for generations in sets}) == len(sets)
    assert identify_manifests((1, 2)) == identify_manifests((2, 1))


def test_depths_include_those_before_them() -> None:
    assert [depth for depth in Depth if Depth.CONTENT.includes(depth)] == [Depth.LISTING, Depth.FOOTER, Depth.CONTENT]
    proofs = {Depth.CONTENT: AT, Depth.LISTING: AT}
    assert verification(proofs=proofs).proven_depth is Depth.CONTENT
    assert verification().proven_depth is None


def records(**generations: int) -> dict[str, Record]:
    manifest = Manifest(
        day=DAY,
        data_type="trades",
        venue="binance",
        run="r1",
        shard=0,
        attempt=1,
        vm="vm",
        written=AT,
        open=False,
        engine_version="0",
        catalogue="",
        entries=(),
    )
    entries = {symbol: Entry(symbol=symbol, outcome=Outcome.OK, rows=5, generation=number) for symbol, number in generations.items()}
    return {symbol: Record(entry, manifest, 1) for symbol, entry in entries.items()}


def test_a_deleted_file_has_no_record_and_a_damaged_one_has_failed() -> None:
    held = records(A=1, B=1, C=1)
    findings = (Finding(Kind.MISSING, "A", 1), Finding(Kind.CONTENT, "B", 1, "4 rows, the manifest 5"))
    turned = turn_back(held, findings)
    assert turned.keys() == {"B", "C"}
    assert (turned["B"].entry.outcome, turned["B"].entry.reason, turned["B"].entry.rows) == (Outcome.FAILED, "content", 0)
    assert "4 rows" in turned["B"].entry.detail
    assert turned["C"] is held["C"]
    assert turn_back(turned, findings) == turned


def test_a_newer_object_ends_a_finding() -> None:
    findings = (Finding(Kind.MISSING, "A", 7), Finding(Kind.ALTERED, "B", 7))
    assert turn_back(records(A=8, B=7), findings).keys() == {"A", "B"}
    assert standing(records(A=8, B=7), findings).keys() == {"B"}


def test_a_source_that_changed_turns_nothing_back() -> None:
    found = verification(findings=(Finding(Kind.SOURCE_CHANGED, "A", 7),))
    assert not found.damaged
    assert turn_back(records(A=7), found.findings) == records(A=7)
