"""`tickdeck check` and `tickdeck repair` by layers, on the recorded world."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import pytest
from click.testing import CliRunner, Result

from console.verbs import check
from engine.cell_spans import cells_of, read_cells
from engine.errors import UsageError
from engine.model import Cell
from tests.console.recorded import RecordedSession

ONE_DAY = ("--start", "2024-05-16", "--venues", "binance-futures,okex-swap")
Check = Callable[..., Result]


@pytest.fixture
def run_check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """The verb on the recorded world."""
    session = RecordedSession()
    monkeypatch.setattr(check, "headless_session", lambda _profile: session)
    return lambda *words: CliRunner().invoke(check.check_command, words, standalone_mode=False)


def test_candles_are_told_with_the_sentence_first_and_the_next_step_last(run_check: Check) -> None:
    done = run_check("--layer", "candles", *ONE_DAY, "--detailed")
    assert done.return_value == 65
    assert done.stdout.splitlines()[0] == "0.0 % of 2 expected candle cells complete, 2 holes"
    assert "  ETHUSDT: without 24h" in done.stdout.splitlines()
    assert "  BTC-USDT-SWAP: no candles" not in done.stdout, "of what was never made the state says all"
    assert done.stderr.splitlines()[-1].endswith("tickdeck repair with the same range and --layer candles; why: --detailed")


def test_only_the_timeframes_that_are_asked_for_must_be_there(run_check: Check) -> None:
    done = run_check("--layer", "candles", "--start", "2024-05-16", "--venues", "binance-futures", "--timeframes", "1m,5m")
    assert (done.return_value, done.stdout.splitlines()[0]) == (0, "100 % of 1 expected candle cell complete")


def test_holes_of_candles_are_cells_that_a_repair_reads(run_check: Check) -> None:
    done = run_check("--layer", "candles", *ONE_DAY, "--holes")
    cells = cells_of(read_cells(done.stdout, name="-"))
    day = date(2024, 5, 16)
    assert cells == {Cell(day, "candles", "binance-futures"), Cell(day, "candles", "okex-swap")}


def test_all_layers_are_told_apart_and_the_worst_decides(run_check: Check) -> None:
    done = run_check("--layer", "all", "--data-types", "trades", *ONE_DAY, "--json")
    layers = json.loads(done.stdout)["layers"]
    assert {name: layers[name]["counts"] for name in ("raw", "candles")} == {
        "raw": {"complete": 2},
        "candles": {"missing": 1, "partial": 1},
    }
    assert done.return_value == 65


def test_a_missing_definition_of_instruments_is_told_and_does_not_change_the_code_of_trades(run_check: Check) -> None:
    where = ("--venues", "deribit", "--start", "2024-05-06")
    alone = run_check(*where, "--data-types", "trades")
    assert alone.return_value == 0
    assert "instruments: 1 venue-day missing" in alone.stdout
    assert run_check(*where, "--data-types", "trades,instruments").return_value == 65


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--layer", "candles", "--data-types", "trades"), "has no data types"),
        (("--layer", "candles", "--verify"), "--verify is about files of the source"),
        (("--layer", "candles", "--arrivals"), "--arrivals is about files of the source"),
        (("--layer", "candles", "--timeframes", "2m"), "timeframe '2m' is not known"),
        (("--data-types", "trades", "--timeframes", "1m"), "--timeframes are those of candles"),
        (("--layer", "candle", "--data-types", "trades"), "did you mean candles"),
        ((), "--data-types"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(run_check: Check, words: tuple[str, ...], says: str) -> None:
    done = run_check(*ONE_DAY, *words)
    error = done.exception
    assert error is not None
    said = f"{error} {error.hint}" if isinstance(error, UsageError) else error.format_message()  # type: ignore[attr-defined]
    assert says in said
