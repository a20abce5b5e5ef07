"""The command line that stands for a request, the fields that hold it, and the verbs about kept plans."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from console.field_names import Known
from console.plan_slice import parse_shards, read_slice, write_shards
from console.request_fields import fields_of, parse_fields
from console.verbs import deploy
from console.verbs.options import command_line, make_request
from console.verbs.plan import make_command, plan_command
from console.verbs.repair import repair_command
from engine.candles.timeframes import CLOCKS, TIMEFRAMES
from engine.cell_spans import parse_spans
from engine.clock import parse_deadline
from engine.datatypes import DATA_TYPES
from engine.errors import UsageError
from engine.model import Cell, DayRange, Outcome
from engine.plan import CANDLES, STRATEGIES, Request, for_cells
from engine.universe import list_universes
from tests.console.recorded import RecordedSession

NOW = datetime(2024, 5, 23, 5, 36, 12, tzinfo=UTC)


def some(values: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, min_size=least, max_size=4, unique=True).map(tuple)


days = st.dates(date(2019, 1, 1), date(2030, 12, 31))
requests = st.builds(
    lambda first, second, what, splitting, again, **rest: Request(
        start=min(first, second), end=max(first, second), **what, **splitting, **again, **rest
    ),
    first=days,
    second=days,
    venues=some(st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True), 1),
    what=st.one_of(
        st.builds(lambda names: {"data_types": names}, some(st.sampled_from(sorted(DATA_TYPES)), 1)),
        st.builds(
            lambda timeframes, bucket_by, rebuild: {
                "mode": CANDLES,
                "data_types": (CANDLES,),
                "timeframes": tuple(name for name in TIMEFRAMES if name in timeframes),
                "bucket_by": bucket_by,
                "rebuild": rebuild,
            },
            st.sets(st.sampled_from(TIMEFRAMES)),
            st.sampled_from(CLOCKS),
            st.booleans(),
        ),
    ),
    symbols=some(st.from_regex(r"[A-Z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(lambda symbol: ".." not in symbol)),
    universe=st.sampled_from(["", *list_universes()]),
    instrument_types=some(st.sampled_from(["spot", "perpetual", "future", "option", "combo"])),
    strategy=st.sampled_from(STRATEGIES),
    splitting=st.one_of(
        st.builds(lambda shards: {"shards": shards}, st.integers(0, 5000)),
        st.builds(lambda later: {"deadline": datetime(2100, 1, 1, tzinfo=UTC) + later}, st.timedeltas(timedelta(0), timedelta(9999))),
        st.builds(lambda days: {"deadline": datetime(2100, 1, 1, 6, tzinfo=UTC) + timedelta(days)}, st.integers(0, 9999)),
    ),
    machine_type=st.sampled_from(["", "e2-highmem-8", "local-1"]),
    provisioning_model=st.sampled_from(["SPOT", "STANDARD"]),
    again=st.one_of(
        st.builds(lambda refetch: {"refetch": refetch}, st.booleans()),
        st.builds(lambda names: {"retry_outcomes": names}, some(st.sampled_from(list(Outcome)))),
    ),
    refetch_adopted=st.booleans(),
    daily_bytes=st.integers(0, 10**15),
    max_cost=st.floats(0, 1e6, allow_nan=False),
    max_failures=st.sampled_from(["", "0", "25", "5%", "0.5%"]),
)


def read_back(line: str) -> Request:
    """The request that a shell would make of a command line."""
    program, *words = shlex.split(line)
    assert program == "tickdeck"
    verb = 1 if words[0] == "repair" else 2
    assert words[:verb] in (["repair"], ["deploy", "download"], ["deploy", "candles"])
    if words[1] == "candles":
        words += ["--data-types", "candles"]
    options = make_command.make_context("plan", words[verb:]).params
    for own in ("save", "compare_strategies", "compare_vms", "against", "preflight", "profile_name", "as_json", "cells_from"):
        options.pop(own)
    cells = options.pop("cells")
    return make_request(**options, spans=parse_spans(cells) if cells else ())


@given(requests)
def test_the_command_that_is_copied_makes_exactly_the_same_request(request: Request) -> None:
    assert read_back(command_line(request)) == request


@given(requests, st.data())
def test_the_command_of_marked_cells_makes_the_same_request_whatever_the_order_of_names(request: Request, data: st.DataObject) -> None:
    week = DayRange(request.start, min(request.end, request.start + timedelta(days=6)))
    product = [Cell(day, name, venue) for day in week for name in request.data_types for venue in request.venues]
    cells = for_cells(request, data.draw(st.sets(st.sampled_from(product), min_size=1)))
    made = read_back(command_line(cells))
    in_order = structs.replace(cells, venues=made.venues, data_types=made.data_types)
    assert made == in_order
    assert (set(made.venues), set(made.data_types)) == (set(cells.venues), set(cells.data_types))


@given(requests)
def test_the_fields_hold_exactly_the_request_that_filled_them(request: Request) -> None:
    parsed = parse_fields(fields_of(request), base=request, now=NOW, known=Known())
    assert parsed.errors == {}
    assert parsed.request == request


@given(requests, requests)
def test_the_fields_say_all_of_a_request_whatever_they_held_before(request: Request, other: Request) -> None:
    assert parse_fields(fields_of(request), base=other, now=NOW, known=Known()).request == request


def test_deploying_takes_every_option_that_planning_takes() -> None:
    own = {"--save", "--compare-strategies", "--compare-vms", "--against", "--preflight"}
    plans, downloads, candles, repairs = (
        {option for each in command.params for option in each.opts}
        for command in (make_command, deploy.download, deploy.candles, repair_command)
    )
    deploys = downloads | candles
    assert plans - deploys == {*own, "--cells", "--cells-from"}
    assert plans - repairs == own


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("06:00", "2024-05-23T06:00"),
        ("by 05:00", "2024-05-24T05:00"),
        ("6:00 utc", "2024-05-23T06:00"),
        ("4h", "2024-05-23T09:37"),
        ("in 90m", "2024-05-23T07:07"),
        ("1d 2h30m", "2024-05-24T08:07"),
        ("2024-05-25T01:00Z", "2024-05-25T01:00"),
        ("2024-05-25T01:00+09:00", "2024-05-24T16:00"),
    ],
)
def test_a_deadline_is_read_as_people_say_it(text: str, moment: str) -> None:
    assert parse_deadline(text, now=NOW) == datetime.fromisoformat(f"{moment}Z")


@pytest.mark.parametrize("text", ["", "soon", "4", "0h", "25:00", "4h06:00", "2024-05-22T00:00Z", "2024-05-25T01:00", "-4h", "٤h"])
def test_what_is_no_deadline_is_refused_with_the_forms_that_work(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_deadline(text, now=NOW)
    assert caught.value.hint


@given(st.frozensets(st.integers(0, 300), min_size=1))
def test_shards_are_written_as_they_are_read(shards: frozenset[int]) -> None:
    assert parse_shards(write_shards(shards)) == shards


@pytest.mark.parametrize(("shards", "vms"), [("9-4", ""), ("1,,2", ""), ("a", ""), ("99", ""), ("", "0"), ("", "many"), ("²", "")])
def test_a_part_that_cannot_be_meant_is_refused_by_name(shards: str, vms: str) -> None:
    session = RecordedSession()
    plan = session.plan(REQUEST)
    with pytest.raises(UsageError) as caught:
        read_slice(plan, shards, vms)
    assert caught.value.hint


REQUEST = Request(venues=("deribit", "okex-swap"), data_types=("trades", "book_snapshot_5"), start=date(2024, 5, 10), end=date(2024, 5, 21))
ASKED = command_line(REQUEST, "plan").split()[2:]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> RecordedSession:
    """The session that verbs open, on the recorded world."""
    made = RecordedSession(costs=True)
    monkeypatch.setattr("console.verbs.plan.headless_session", lambda _profile: made)
    return made


def said(*words: str) -> str:
    done = CliRunner().invoke(plan_command, [*words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_kept_plan_is_listed_shown_and_compared(session: RecordedSession) -> None:
    said(*ASKED, "--save")
    kept = session.names_of("save")[0][0]
    assert kept in said("list")
    assert "deribit, okex-swap · trades, book_snapshot_5" in said("list")
    assert f"tickdeck deploy plan {kept}" in said("show", kept[:6])
    assert "the same files" in said("diff", kept, "last")
    wider = structs.replace(REQUEST, start=REQUEST.start - timedelta(days=20))
    answer = json.loads(said(*command_line(wider, "plan").split()[2:], "--against", "last", "--json"))
    assert answer["diff"]["before"] == kept
    assert (
        answer["diff"]["files_added"] == answer["plan"]["estimate"]["files"] - json.loads(said("show", kept, "--json"))["estimate"]["files"]
    )
    assert answer["diff"]["files_removed"] == 0
    assert answer["diff"]["cells_added"] >= 1


def test_strategies_stand_side_by_side_for_the_numbers_of_vms_that_are_asked_for(session: RecordedSession) -> None:
    text = said(*ASKED, "--compare-strategies", "--compare-vms", "1/3")
    assert all(strategy in text for strategy in STRATEGIES)
    found = json.loads(said(*ASKED, "--compare-vms", "1/3", "--json"))["alternatives"]
    assert [(one["strategy"], one["vms"]) for one in found[1:]] == [(strategy, vms) for vms in (1, 3) for strategy in STRATEGIES]
    assert found[0]["is_plan"]
    assert all(one["minutes"] >= one["bound_minutes"] > 0 for one in found)


def test_a_word_that_is_no_plan_and_no_word_names_what_is_near(session: RecordedSession) -> None:
    runner = CliRunner()
    for words, hint in ((["shwo"], "did you mean show?"), (["show", "last"], "--save"), (["repeat"], "tickdeck fleet status")):
        problem = runner.invoke(plan_command, words).exception
        assert isinstance(problem, UsageError)
        assert hint in problem.hint
