"""The words of the Fleet screen: headline, rows, totals, and what is said of one VM."""

from __future__ import annotations

from console.fleet_totals import format_many, totals_parts
from console.fleet_view import (
    format_ranges,
    headline,
    row_text,
    runs_ended,
    searchable,
    table_rows,
)
from console.query import parse
from console.slowness import explain
from console.vm_facts import vm_record
from console.widgets.fleet_table import STATE_LOOKS
from console.widgets.tones import Tone
from provision.run_outcome import RunOutcome
from tests.console import recorded_fleet as recorded


def test_the_headline_names_the_worst_first_and_ends_with_the_slowest_shard() -> None:
    said = headline(recorded.troubled())
    assert said.text == "1 stuck, 1 preempted and replaced, 1 booting, 4 fine; slowest shard 2 ends 05:40 UTC, in 4 m 11 s"
    assert said.tone is Tone.BAD


def test_a_fleet_without_trouble_is_fine() -> None:
    said = headline(recorded.healthy())
    assert said.text.startswith("4 fine; slowest shard 0 ends ")
    assert said.tone is Tone.GOOD


def test_a_finished_run_is_one_sentence_with_the_next_keys() -> None:
    said = headline(recorded.finished())
    assert said.text == f"Run {recorded.RUN} done in 52 s: 213 files, 5.6 M rows, 4 bad; press 4 for coverage, X to clean up"
    assert said.tone is Tone.WARN


def test_the_manifests_of_a_finished_run_are_believed_before_the_last_words_of_its_workers() -> None:
    snapshot = recorded.finished(bad=1, outcome=RunOutcome(files=3, bad=0, rows=420))
    assert totals_parts(snapshot)[0] == "100 % of 3 files"
    said = headline(snapshot)
    assert ": 3 files, 420 rows, none bad; " in said.text
    assert said.tone is Tone.GOOD


def test_a_finished_run_without_bad_files_is_good() -> None:
    said = headline(recorded.finished(bad=0))
    assert ", none bad; " in said.text
    assert said.tone is Tone.GOOD


def test_after_cleanup_nobody_is_asked_to_clean_up() -> None:
    assert headline(recorded.finished(cleaned=True)).text.endswith("; press 4 for coverage; no VM is left")


def test_a_vm_that_did_its_work_and_was_deleted_is_gone_and_says_when_it_was_not_there() -> None:
    snapshot = recorded.finished(cleaned=True)
    assert {(row.state, row.state_word) for row in table_rows(snapshot)} == {("gone", "done, gone")}
    assert "gone: Compute Engine listed no such VM at 05:36:12 UTC" in explain(snapshot.vms[0], snapshot)
    still_there = recorded.finished()
    assert {row.state for row in table_rows(still_there)} == {"done"}
    assert "gone" not in explain(still_there.vms[0], still_there)


def test_a_replacement_that_came_too_late_adds_no_files() -> None:
    snapshot = recorded.finished(late=True)
    assert ": 213 files, " in headline(snapshot).text
    assert totals_parts(snapshot)[0] == "100 % of 213 files"


def test_a_drained_run_without_vms_says_what_is_left() -> None:
    assert headline(recorded.drained()).text == f"Run {recorded.RUN} drained, 2 shards of 2 unfinished; press 1 to plan the rest"


def test_an_empty_fleet_says_what_to_press() -> None:
    assert headline(recorded.nothing()).text == "No VM of ours and no live run; press 1 to plan one"


def test_a_run_ends_once_and_only_where_it_was_seen_unfinished() -> None:
    before, after = recorded.healthy(), recorded.finished()
    assert [view.run for view in runs_ended(before, after)] == [recorded.RUN]
    assert runs_ended(after, after) == runs_ended(None, after) == runs_ended(before, before) == []


def test_every_state_of_a_row_has_a_glyph_of_its_own_in_the_table() -> None:
    snapshots = (recorded.troubled(), recorded.preempted(), recorded.booting(), recorded.finished(), recorded.drained())
    states = {row.state for snapshot in snapshots for row in table_rows(snapshot) if row.managed}
    assert states <= STATE_LOOKS.keys()


def test_rows_are_worst_first_and_strangers_last() -> None:
    rows = table_rows(recorded.troubled())
    assert rows[0].state == "stuck"
    assert rows[0].state_word == "stuck 6 m"
    names = [row.name for row in rows]
    assert names.index("legacy-gcs-box") > names.index(recorded.vm_name(1))
    assert not next(row for row in rows if row.name == "legacy-gcs-box").managed


def test_a_replacement_says_its_attempt_and_why_there_is_one() -> None:
    rows = {row.name: row for row in table_rows(recorded.troubled())}
    new, old = rows[recorded.vm_name(2, 2)], rows[recorded.vm_name(2)]
    assert (new.attempt, new.cause) == (2, "preempted")
    assert (old.state, old.cause) == ("replaced", "preempted")


def test_a_shard_that_another_worker_took_over_is_no_loss_and_its_files_count_once() -> None:
    snapshot = recorded.taken_over()
    assert headline(snapshot).text.startswith("1 preempted and taken over, 2 fine; slowest shard ")
    last = table_rows(snapshot)[-1]
    assert (last.name, last.state, last.state_word) == (recorded.vm_name(2), "replaced", "taken over")
    assert totals_parts(snapshot)[0] == "45 % of 1,200 files"
    assert next(row for row in table_rows(snapshot) if row.name == recorded.vm_name(0)).shard == "→2"


def test_boot_stages_are_told_before_the_first_heartbeat() -> None:
    words = {row.name: row.state_word or row.state for row in table_rows(recorded.booting())}
    assert words[recorded.vm_name(0)] == "asked for"
    assert words[recorded.vm_name(1)] == "no host yet"
    assert words[recorded.vm_name(2)] == "staging"
    assert words[recorded.vm_name(3)] == "booted 16 s"
    assert words[recorded.vm_name(4)] == "silent boot"


def test_totals_come_with_the_most_important_first() -> None:
    parts = totals_parts(recorded.troubled())
    assert parts[0] == "53 % of 2,000 files"
    assert parts[1].endswith("MB/s")
    assert parts[2].startswith("ETA ")
    assert parts[-1] == "free"
    assert totals_parts(recorded.nothing()) == []


def test_rows_can_be_found_by_field_state_and_word() -> None:
    rows = table_rows(recorded.troubled())

    def found(text: str) -> set[str]:
        query = parse(text)
        return {row.name for row in rows if query.matches(searchable(row), row_text(row))}

    assert found("is:stuck") == {recorded.vm_name(0)}
    assert found("is:not-ours") == {"legacy-gcs-box"}
    assert found("attempt>1") == {recorded.vm_name(2, 2)}
    assert found("timeout") == {recorded.vm_name(0)}
    assert found("limit:network") == {recorded.vm_name(2, 2)}


def test_a_vm_that_is_not_ours_is_said_to_be_untouchable() -> None:
    snapshot = recorded.troubled()
    stranger = snapshot.find("legacy-gcs-box")
    assert stranger is not None
    record = vm_record(stranger, None, recorded.NOW)
    assert str(record["why"]).startswith("not ours")
    assert "attempt" not in record


def test_the_facts_of_a_vm_tell_its_file_its_attempt_and_its_machine() -> None:
    snapshot = recorded.troubled()
    vm = snapshot.find(recorded.vm_name(2, 2))
    assert vm is not None
    record = vm_record(vm, snapshot.runs[0], recorded.NOW)
    work, attempt = record["work"], record["attempt"]
    assert isinstance(work, dict)
    assert isinstance(attempt, dict)
    assert work["current file"] == "binance-futures book_snapshot_5 2024-05-03 BTCUSDT"
    assert work["files"] == "140 of 400, 0 bad, 118 resumed"
    assert attempt["replaces"] == recorded.vm_name(2)
    assert attempt["cause"] == "preempted"


def test_counts_and_ranges_are_short() -> None:
    assert [format_many(count) for count in (0, 950, 5_600, 5_601_900, 1_234_000_000)] == ["0", "950", "5.6 k", "5.6 M", "1.2 G"]
    assert format_ranges((3, 1, 2, 7)) == ["1-3", "7"]
