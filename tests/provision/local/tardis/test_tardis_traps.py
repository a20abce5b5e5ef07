"""Every planted trap, byte by byte, as a client receives it."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.loading import load_scenario
from provision.local.tardis.traps import TRAPS

MIDNIGHT = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000
DAY = 86_400_000_000


class Served:
    """A trapped file and, as `whole`, the same symbol a day later without its trap."""

    def __init__(self, body: bytes, headers: dict[str, str], status: int) -> None:
        self.body, self.headers, self.status = body, headers, status

    def text(self) -> str:
        return gzip.decompress(self.body).decode()

    def table(self) -> tuple[list[str], list[list[str]]]:
        lines = [line.split(",") for line in self.text().splitlines()]
        return lines[0], lines[1:]

    def column(self, name: str) -> list[str]:
        header, rows = self.table()
        return [row[header.index(name)] for row in rows]


@pytest.fixture
def fetch(start: Any) -> Any:
    async def fetch_one(kind: str, path: str | None = None) -> Served:
        source = await start("traps")
        symbol = kind.upper().replace("_", "") + "USDT"
        reply = await source.get(path or f"/v1/binance/trades/2024/05/01/{symbol}.csv.gz")
        assert reply.headers["Content-Length"] == str(len(reply.body))
        return Served(reply.body, reply.headers, reply.status)

    return fetch_one


def test_the_scenario_has_a_file_for_each_kind() -> None:
    assert {trap.kind for trap in load_scenario("traps").traps} == set(TRAPS)


async def test_side_unknown(fetch: Any) -> None:
    sides = (await fetch("side_unknown")).column("side")
    assert set(sides) == {"buy", "sell", "unknown"}


async def test_empty_ids(fetch: Any) -> None:
    assert set((await fetch("empty_ids")).column("id")) == {""}


async def test_guid_ids(fetch: Any) -> None:
    ids = (await fetch("guid_ids")).column("id")
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) for text in ids)
    assert len(set(ids)) == len(ids)


async def test_scientific(fetch: Any) -> None:
    amounts = (await fetch("scientific")).column("amount")
    assert "1e-8" in amounts
    assert all(float(amount) > 0 for amount in amounts)


async def test_scientific_funding_rates(fetch: Any) -> None:
    served = await fetch("", "/v1/deribit/derivative_ticker/2024/05/01/BTC-PERPETUAL.csv.gz")
    assert any("e-" in rate for rate in served.column("funding_rate"))


async def test_backward_local_timestamp_steps_back_once_and_stays_in_the_day(fetch: Any) -> None:
    local = [int(cell) for cell in (await fetch("backward_local_timestamp")).column("local_timestamp")]
    assert sum(later < earlier for earlier, later in itertools.pairwise(local)) == 1
    assert MIDNIGHT <= min(local) <= max(local) < MIDNIGHT + DAY


async def test_previous_day_first_row_is_late_by_exchange_time_only(fetch: Any) -> None:
    served = await fetch("previous_day_first_row")
    exchange = [int(cell) for cell in served.column("timestamp")]
    assert MIDNIGHT - 1_000_000 < exchange[0] < MIDNIGHT < min(exchange[1:])
    assert int(served.column("local_timestamp")[0]) >= MIDNIGHT


async def test_extra_renamed_and_missing_columns(fetch: Any) -> None:
    usual = list(COLUMNS["trades"])
    header, rows = (await fetch("extra_column")).table()
    assert header == [*usual, "vendor_flag"]
    assert all(len(row) == 9 for row in rows)
    assert (await fetch("renamed_column")).table()[0] == [*usual[:-1], "amount_v2"]
    header, rows = (await fetch("missing_column")).table()
    assert header == usual[:-1]
    assert all(len(row) == 7 for row in rows)


async def test_members_are_many_and_cut_in_the_middle_of_lines(fetch: Any) -> None:
    rest, texts = (await fetch("members")).body, []
    while rest:
        member = zlib.decompressobj(31)
        texts.append(member.decompress(rest))
        assert member.eof
        rest = member.unused_data
    assert len(texts) == 4
    assert not texts[0].endswith(b"\n")
    assert b"".join(texts).endswith(b"\n")


async def test_empty_is_one_complete_gzip_of_twenty_bytes(fetch: Any) -> None:
    served = await fetch("empty")
    assert len(served.body) == 20
    assert gzip.decompress(served.body) == b""


async def test_zero_byte_is_a_good_status_and_nothing(fetch: Any) -> None:
    served = await fetch("zero_byte")
    assert (served.status, served.body) == (200, b"")


async def test_html_is_a_good_status_and_a_page(fetch: Any) -> None:
    served = await fetch("html")
    assert (served.status, served.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert served.body.startswith(b"<!DOCTYPE html>")


async def test_truncated_gzip_has_the_promised_length_and_no_trailer(fetch: Any) -> None:
    served = await fetch("truncated_gzip")
    packer = zlib.decompressobj(31)
    assert packer.decompress(served.body)
    assert not packer.eof


async def test_cut_at_member_is_valid_gzip_with_an_incomplete_last_line(fetch: Any) -> None:
    text = (await fetch("cut_at_member")).text()
    assert not text.endswith("\n")
    assert text.rsplit("\n", 1)[1].count(",") < len(COLUMNS["trades"]) - 1


async def test_bad_crc_is_whole_but_for_its_checksum(fetch: Any) -> None:
    served = await fetch("bad_crc")
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(served.body)
    data = zlib.decompress(served.body[10:-8], wbits=-15)
    assert int.from_bytes(served.body[-4:], "little") == len(data)


async def test_not_found_is_an_error_with_code_and_message(fetch: Any) -> None:
    served = await fetch("not_found")
    assert served.status == 404
    assert set(json.loads(served.body)) == {"code", "message"}


async def test_rows_of_another_symbol_venue_or_day(fetch: Any) -> None:
    assert set((await fetch("wrong_symbol")).column("symbol")).isdisjoint({"WRONGSYMBOLUSDT"})
    assert set((await fetch("wrong_venue")).column("exchange")) == {"deribit"}
    local = [int(cell) for cell in (await fetch("wrong_day")).column("local_timestamp")]
    assert MIDNIGHT + DAY <= min(local) <= max(local) < MIDNIGHT + 2 * DAY


async def test_line_ends(fetch: Any) -> None:
    text = (await fetch("crlf")).text()
    assert text.count("\r\n") == text.count("\n") > 10
    text = (await fetch("no_final_newline")).text()
    assert not text.endswith("\n")
    assert text.rsplit("\n", 1)[1].count(",") == len(COLUMNS["trades"]) - 1


async def test_content_encoding_describes_the_file_itself(fetch: Any) -> None:
    served = await fetch("content_encoding")
    assert served.headers["Content-Encoding"] == "gzip"
    assert served.text().startswith("exchange,")


async def test_missing_levels_leave_price_and_amount_empty_together(fetch: Any) -> None:
    served = await fetch("", "/v1/deribit/book_snapshot_5/2024/05/01/BTC-PERPETUAL.csv.gz")
    prices, amounts = served.column("asks[4].price"), served.column("asks[4].amount")
    assert "" in prices
    assert [not cell for cell in prices] == [not cell for cell in amounts]
    assert "" in served.column("bids[0].price")
    assert "" not in served.column("asks[0].price")


async def test_all_null_column_is_empty_all_day(fetch: Any) -> None:
    served = await fetch("", "/v1/deribit/options_chain/2024/05/01/OPTIONS.csv.gz")
    assert set(served.column("rho")) == {""}
    assert "" not in served.column("theta")
