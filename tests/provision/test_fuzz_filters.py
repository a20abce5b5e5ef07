"""Outside values on their way to the clouds (names, patterns, labels, filters): each arrives as exactly itself, and widens nothing.

Each property is checked against the parser of the local server, and a handful of malicious values over the wire as well: the client and
gRPC are between the two there.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from google.cloud.logging_v2.types import LogEntry as ApiEntry
from google.cloud.logging_v2.types import WriteLogEntriesRequest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.cloudlog import LOG_ID, open_client
from engine.errors import EngineError, UsageError
from engine.paths import RUNS, log_object, log_prefix, parse_log_object
from provision.labels import label_value, make_labels, parse_labels
from provision.local.logs.query_match import compile_filter
from provision.local.logs.query_syntax import And, Comparison, Node, Not, Or, parse, unquote
from provision.logs import LogEntry, LogQuery, make_clients, quote, read
from provision.logs.entries import RESOURCE_NAME_LABEL
from provision.logs.query import matches
from provision.names import KnownVm, is_wildcard_only, resolve_names
from tests.local_servers import started

BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
ANY = st.text(max_size=40)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NASTY = (
    '" OR severity>=DEFAULT OR "',
    '") OR labels.vm=~(".*',
    "\\",
    '\\"',
    '\\\\" OR "x',
    "a\nOR\nlabels.vm:*",
    "-- comment",
    "\x00\x1f\x7f\x85\u2028\u2029",
    "$(touch /tmp/owned)",
    "`id`; rm -rf / #",
    "%2F..%2F",
    "../../manifests/",
    "NOT x",
    "*",
    ".*",
    "^.*$",
    "[!x]*",
    "{}",
    "ünï 名前 🙂",
    "'; DROP TABLE vms; --",
)
NUMBERS = itertools.count(1)


def nasty(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The strategy's values, the nasty ones, and mixtures of them."""
    return st.one_of(strategy, st.sampled_from(NASTY), st.builds("{}{}".format, strategy, st.sampled_from(NASTY)))


def comparisons(node: Node) -> Iterator[Comparison]:
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)
        case Not(part):
            yield from comparisons(part)
        case Comparison():
            yield node


def api_entry(vm: str = "stranger", run: str = "another", message: str = "nothing", *, log: str = "unrelated", **labels: str) -> Any:
    raw = ApiEntry.pb()(log_name=f"projects/p/logs/{log}", severity=200, labels={"vm": vm, "run": run, **labels})
    raw.timestamp.FromDatetime(BASE + timedelta(seconds=1))
    raw.resource.type = "gce_instance"
    raw.resource.labels["instance_id"] = "77"
    raw.json_payload.update({"message": message})
    return raw


class TestQuoting:
    """One function quotes every value of a log filter."""

    @given(nasty(ANY))
    def test_a_quoted_value_is_read_back_as_exactly_itself_or_was_refused(self, value: str) -> None:
        try:
            quoted = quote(value)
        except UsageError:
            with pytest.raises(UnicodeEncodeError):
                value.encode()
            return
        assert unquote(quoted) == value
        (found,) = comparisons(parse(f"labels.x={quoted}"))
        assert (found.path, found.op, found.value.text, found.value.quoted) == (("labels", "x"), "=", value, True)
        assert all(32 <= ord(character) < 127 or ord(character) > 159 for character in quoted)

    @given(st.lists(nasty(TEXT), min_size=1, max_size=4))
    def test_values_side_by_side_stay_apart(self, values: list[str]) -> None:
        source = " AND ".join(f"labels.x{at}={quote(value)}" for at, value in enumerate(values))
        assert [found.value.text for found in comparisons(parse(source))] == values


class TestQueries:
    """A whole query: as many conditions as were meant, with the values that were given."""

    @given(nasty(TEXT), st.lists(nasty(TEXT), max_size=3), nasty(TEXT), nasty(TEXT), nasty(TEXT), st.booleans())
    @example("r1", ["*"], "*", ".*", "p", True)
    def test_the_values_decide_nothing_about_the_shape(
        self, run: str, vms: list[str], text: str, regex: str, instance: str, foreign: bool
    ) -> None:
        values = {"run": run, "vms": tuple(vms), "text": text, "regex": regex, "instances": {instance: "vm"}}
        log_id = "" if foreign else LOG_ID
        query = LogQuery("p", BASE, min_severity="INFO", unrated=True, log_id=log_id, **values)
        plain = LogQuery(
            "p",
            BASE,
            min_severity="INFO",
            unrated=True,
            log_id=log_id,
            run="r" if run else "",
            vms=tuple("v*" if set(vm) & set("*?[") else "v" for vm in vms),
            text="t*" if text == "*" else "t" if text else "",
            regex="x" if regex else "",
            instances={"1": "vm"},
        )
        found, expected = list(comparisons(parse(query.to_filter()))), list(comparisons(parse(plain.to_filter())))
        assert [one.path for one in found] == [one.path for one in expected]
        given_texts = {one.value.text for one in found}
        assert {value for value in (run, instance) if value} <= given_texts
        assert not regex or regex in given_texts

    @given(nasty(TEXT), nasty(TEXT), nasty(TEXT))
    @example("\\1*", "", "")
    def test_no_pattern_of_strangers_reaches_beyond_itself(self, glob: str, run: str, instance: str) -> None:
        selects = compile_filter(LogQuery("p", BASE, vms=(f"pre{glob}",), log_id="").to_filter()).matches
        assert not selects(api_entry(**{RESOURCE_NAME_LABEL: "stranger"}))
        assert not compile_filter(LogQuery("p", BASE, run=f"r{run}", log_id="").to_filter()).matches(api_entry())
        assert not compile_filter(LogQuery("p", BASE, instances={f"x{instance}": "vm"}, log_id="").to_filter()).matches(api_entry())

    @given(nasty(TEXT.filter(lambda text: "\n" not in text)), st.text("abc-*?[]!", max_size=12))
    @example("[]", "[]")
    @example("[!]b", "[!]b")
    @example("]", "[]]")
    @example("a", "[!]]")
    def test_what_a_pattern_means_here_the_filter_lets_through(self, name: str, glob: str) -> None:
        """The filter may let more through, for classes of characters: `matches` judges in the end."""
        for pattern, vm in ((glob, name), (glob, glob.translate(str.maketrans("*?[]!", "ab-ca")))):
            if pattern and fnmatchcase(vm.casefold(), pattern) and "\n" not in vm:
                assert compile_filter(LogQuery("p", BASE, vms=(pattern,), log_id="").to_filter()).matches(api_entry(vm=vm.casefold()))
            assert matches((pattern,), vm) == fnmatchcase(vm, pattern)


class TestNames:
    """What people type for VMs, and what becomes part of a name in the bucket."""

    @given(nasty(ANY), st.lists(st.from_regex(r"[a-z](?:[-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), max_size=5))
    def test_a_pattern_selects_only_what_is_there(self, pattern: str, names: list[str]) -> None:
        known = [KnownVm(name, "r1", (at,)) for at, name in enumerate(names)]
        try:
            chosen = resolve_names(pattern, known)
        except UsageError:
            return
        assert set(chosen) <= set(names)

    @given(nasty(ANY))
    def test_a_pattern_of_wildcards_alone_is_known_as_one(self, pattern: str) -> None:
        if is_wildcard_only(pattern):
            assert not re.search(r"[a-z0-9]", re.sub(r"\[[^\]]*\]", "", pattern.lower()))
        else:
            assert pattern.strip("*?[]!-. ") != ""

    @given(nasty(ANY), nasty(ANY))
    def test_no_name_leads_out_of_its_folder(self, run: str, vm: str) -> None:
        try:
            found = parse_log_object(log_object(run, vm, 1, 0))
        except UsageError:
            return
        assert found == (run, vm, 1, 0)
        assert log_object(run, vm, 1, 0).startswith(log_prefix(run, vm))
        assert log_prefix(run, vm).startswith(f"{RUNS}{run}/logs/")
        assert ".." not in log_object(run, vm, 1, 0).split("/")


class TestLabels:
    """Any owner becomes a legal label, and a label that others wrote becomes ours only if it is."""

    @given(nasty(ANY))
    def test_any_text_becomes_a_legal_value_once_and_for_all(self, owner: str) -> None:
        value = label_value(owner.encode("utf-8", "replace").decode())
        assert re.fullmatch(r"[a-z0-9_-]{1,63}", value)
        assert label_value(value) == value

    @given(nasty(TEXT), nasty(TEXT), nasty(TEXT))
    def test_labels_are_written_legally_or_not_at_all(self, owner: str, run: str, plan: str) -> None:
        try:
            labels = make_labels(owner=owner, run=run, plan=plan, expires=BASE)
        except EngineError:
            assert not re.fullmatch(r"[a-z][a-z0-9]{0,62}", run) or not re.fullmatch(r"[a-z0-9_-]{1,63}", plan)
            return
        assert all(re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) and re.fullmatch(r"[a-z0-9_-]{1,63}", text) for key, text in labels.items())
        ownership = parse_labels(labels)
        assert ownership is not None
        assert (ownership.run, ownership.plan) == (run, plan)

    @given(st.dictionaries(st.sampled_from(["td-owner", "td-run", "td-plan", "td-expires", "app"]), nasty(ANY), max_size=5))
    def test_foreign_labels_never_raise_and_never_name_an_impossible_run(self, labels: dict[str, str]) -> None:
        ownership = parse_labels(labels)
        if ownership is not None:
            assert ownership.run == labels["td-run"]
            assert re.fullmatch(r"[a-z][a-z0-9]{0,62}|adopted", ownership.run)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("fuzz") / "data"
    with started("logs", root):
        ports = json.loads((root.parent / "logs.ready").read_text())["ports"]
        yield f"127.0.0.1:{ports['grpc']}"


def write(endpoint: str, project: str, entries: list[tuple[str, str, str]]) -> None:
    """(VM, run, message) of each, in one request."""
    request = WriteLogEntriesRequest.pb()(log_name=f"projects/{project}/logs/{LOG_ID}")
    request.resource.type = "global"
    for at, (vm, run, message) in enumerate(entries):
        entry = request.entries.add(severity=200, labels={"vm": vm, "run": run}, insert_id=f"{at}")
        entry.timestamp.FromDatetime(BASE + timedelta(seconds=at))
        entry.json_payload.update({"message": message})
    open_client(endpoint).write_log_entries(request=WriteLogEntriesRequest.wrap(request))


def ask(endpoint: str, project: str, **values: Any) -> list[LogEntry]:
    return read(make_clients(endpoint, local=True, tailing=False), LogQuery(project=project, since=BASE - timedelta(hours=1), **values))


@pytest.mark.parametrize("at", range(0, len(NASTY), 5))
def test_over_the_wire_every_nasty_value_finds_itself_and_nothing_else(endpoint: str, at: int) -> None:
    project = f"fuzz-{next(NUMBERS)}x"
    strangers = [("stranger", "another", "nothing to see")]
    write(endpoint, project, [*((f"vm {value}", f"r {value}", f"said {value}!") for value in NASTY), *strangers])
    for value in NASTY[at : at + 5]:
        (by_run,) = ask(endpoint, project, run=f"r {value}")
        assert (by_run.vm, by_run.message) == (f"vm {value}", f"said {value}!")
        by_vm = [entry for entry in ask(endpoint, project, vms=(f"vm {value}",)) if matches((f"vm {value}",), entry.vm)]
        assert "stranger" not in {entry.vm for entry in by_vm}
        by_text = ask(endpoint, project, text=f"said {value}!")
        assert f"said {value}!" in {entry.message for entry in by_text}
        assert "stranger" not in {entry.vm for entry in by_text}
        (by_regex,) = ask(endpoint, project, regex=f"^said {re.escape(value)}!$")
        assert by_regex.message == f"said {value}!"
