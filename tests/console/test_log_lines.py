"""Log entries as lines, and errors grouped by cause."""

from __future__ import annotations

from dataclasses import replace

from console.fingerprint import fingerprint
from console.log_causes import MOST_CAUSES, OTHER, Causes
from console.log_lines import line_of, lines_of
from console.widgets.logline import Severity
from tests.console import recorded_fleet as recorded


def test_a_line_keeps_every_field_of_its_entry() -> None:
    line = line_of(recorded.log_entry(7, outcome="ok"))
    record = line.record()
    assert record["venue"] == "binance-futures"
    assert record["outcome"] == "ok"
    assert record["run"] == recorded.RUN
    assert record["source"] == "cloud-logging"


def test_an_entry_without_a_message_shows_its_event() -> None:
    entry = replace(recorded.log_entry(1), message="")
    assert line_of(entry).message == "file_committed"


def test_the_short_name_of_a_vm_leaves_out_what_all_of_the_run_share() -> None:
    entry = replace(recorded.log_entry(1), vm=recorded.vm_name(2, 2))
    assert line_of(entry, short=True).vm == "shard-2-a2"
    assert line_of(entry, short=True).record()["instance"] == recorded.vm_name(2, 2)
    assert line_of(replace(entry, vm="legacy-gcs-box"), short=True).vm == "legacy-gcs-box"


def test_the_same_trouble_with_other_files_has_one_fingerprint() -> None:
    one = line_of(
        recorded.log_entry(1, "ERROR", "gave up on deribit trades 2024-05-02 BTC-PERPETUAL after 6 attempts: HTTP 502", venue="deribit")
    )
    two = line_of(
        recorded.log_entry(
            2, "ERROR", "gave up on okex trades 2024-05-03 ETH-USDT after 5 attempts: HTTP 502", venue="okex", day="2024-05-03"
        )
    )
    assert fingerprint(one.message, one.fields) == fingerprint(two.message, two.fields)
    assert "gave up on" in fingerprint(one.message)


def test_different_troubles_have_different_fingerprints() -> None:
    lines = lines_of(recorded.log_entries())
    assert len({line.fields["cause"] for line in lines if line.severity >= Severity.ERROR}) == 2


def test_causes_count_lines_vms_and_cells_and_name_an_example() -> None:
    causes = Causes()
    assert causes.add(lines_of(recorded.log_entries()))
    first, second = causes.ranked()
    assert (first.count, second.count) == (7, 3)
    assert first.vms > 1
    assert first.cells == 7
    assert first.first < first.last == first.example.time
    assert {line.fields["cause"] for line in lines_of(recorded.log_entries()) if line.severity >= Severity.ERROR} == {first.key, second.key}
    assert first.example.message.startswith("gave up on deribit")
    assert not causes.add(lines_of([recorded.log_entry(0)]))


def test_a_storm_of_different_errors_is_bounded() -> None:
    causes = Causes()
    words = [
        f"{chr(97 + number // 26 // 26 % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}" for number in range(MOST_CAUSES + 50)
    ]
    causes.add(lines_of(recorded.log_entry(0, "ERROR", f"trouble of kind {word}") for word in words))
    ranked = causes.ranked()
    assert len(ranked) == MOST_CAUSES + 1
    assert (ranked[-1].key, ranked[-1].pattern, ranked[-1].count) == ("", OTHER, 50)
