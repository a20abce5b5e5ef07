"""What VMs said, from wherever it is kept: log objects first, then Cloud Logging, then the serial port; every answer names its source.

Works for VMs that live, that are gone, and that were never ours. Cloud Logging is read once a question. Compute is asked only about a
VM of which neither of the first two knows anything: its client takes seconds to load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from engine.cloudlog import LOG_ID, SEVERITIES
from engine.errors import EngineError, UsageError, one_line
from engine.launch import list_runs, read_launches
from engine.run import run_started
from engine.store import Store
from provision.logs.clients import LogClients
from provision.logs.entries import LogEntry, Source, merge
from provision.logs.grep import Grep
from provision.logs.log_objects import find_log_objects, read_newest
from provision.logs.query import LogQuery, matches
from provision.logs.reading import read
from provision.logs.serial_port import read_serial
from provision.names import KnownVm, has_wildcard, is_short, is_wildcard_only, resolve_names

if TYPE_CHECKING:
    from provision.clients import ComputeClients
    from provision.resources import Vm

Where = Literal["auto", "objects", "cloud", "serial"]

LONGEST_RUN = timedelta(days=14)
"""A run that began longer before the time asked for has no VM any more."""
FOREIGN_ENTRIES = 5_000
"""So many entries of other programs are read at most: a regular expression is applied to them here, not by the service."""
SERIAL_VMS = 8
"""More serial ports than that are not read for one question."""

PLACES: Mapping[Source, str] = {"log-objects": "log objects", "cloud-logging": "Cloud Logging", "serial": "the serial port"}
"""The sources for people."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    since: datetime
    """Aware, inclusive."""
    vms: tuple[str, ...] = ()
    """Names or patterns; empty: all VMs of ours."""
    run: str = ""
    """Empty: all runs that can have said something since."""
    until: datetime | None = None
    """Aware, exclusive."""
    min_severity: str = "DEFAULT"
    """Lines that tell no severity are always let through up to INFO."""
    grep: Grep = field(default_factory=Grep)
    lines: int = 100
    """The last so many."""
    where: Where = "auto"

    @property
    def names_vms(self) -> bool:
        """Whether it names VMs, so that strangers may be meant too."""
        return any(not is_wildcard_only(pattern) for pattern in self.vms)

    def admits(self, entry: LogEntry) -> bool:
        """Whether VM, time and severity of an entry are asked for."""
        least = SEVERITIES[self.min_severity]
        number = SEVERITIES.get(entry.severity, 0)
        rated = number >= least or (number == 0 and least <= SEVERITIES["INFO"])
        early = entry.timed and entry.timestamp < self.since
        late = self.until is not None and entry.timestamp >= self.until
        return rated and not early and not late and matches(self.vms, entry.vm)

    def keep(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """The entries that are asked for."""
        return self.grep.keep([entry for entry in entries if self.admits(entry)])

    def to_query(self, project: str, *, foreign: bool = False) -> LogQuery:
        """The same for Cloud Logging, newest first. `foreign`: in every log of the project, not only in ours."""
        rated = SEVERITIES[self.min_severity] <= SEVERITIES["INFO"]
        return LogQuery(
            project=project,
            since=self.since,
            until=self.until,
            run=self.run,
            vms=tuple(pattern for pattern in self.vms if not is_wildcard_only(pattern)),
            min_severity=self.min_severity,
            unrated=rated and self.min_severity != "DEFAULT",
            regex="" if foreign else self.grep.expression,
            limit=max(self.lines, FOREIGN_ENTRIES) if foreign and self.grep.expression else self.lines + 1,
            newest_first=True,
            log_id="" if foreign else LOG_ID,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found."""

    entries: tuple[LogEntry, ...]
    """In time order, each once; the newest that were asked for."""
    strangers: frozenset[str] = frozenset()
    """VMs among them that are not ours."""
    remarks: tuple[str, ...] = ()
    """What could not be asked and why, what was cut, where there is more."""

    def counts(self) -> dict[Source, int]:
        """How many entries came from where."""
        return dict(Counter(entry.source for entry in self.entries))

    def summary(self) -> str:
        """One line: where the answer comes from."""
        vms = {entry.vm for entry in self.entries if entry.vm}
        parts = ", ".join(f"{count:,} from {PLACES[source]}" for source, count in self.counts().items())
        line = f"{_lines(len(self.entries))} of {len(vms)} VM{'' if len(vms) == 1 else 's'}: {parts}" if parts else "nothing found"
        return f"{line}; not ours: {', '.join(sorted(self.strangers))}" if self.strangers else line


@dataclass(frozen=True, slots=True)
class Places:
    """Where logs are. The clients are made when they are first needed."""

    project: str
    state: Store
    logging: Callable[[], LogClients]
    compute: Callable[[], ComputeClients]
    now: Callable[[], datetime]


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"


def find(places: Places, question: Question) -> Evidence:
    """Look for what VMs said. Blocks; waits where the read budget is used up.

    A place that cannot be read becomes a remark, unless it is the only one.

    Raises:
        UsageError: if a name is asked for that is nowhere.
        EngineError: if no place could be read.
    """
    return _Search(places, question).run()


class _Search:
    """One question, going from place to place."""

    def __init__(self, places: Places, question: Question) -> None:
        self._places = places
        self._question = question
        self._remarks: list[str] = []
        self._errors: list[EngineError] = []
        self._answered = 0
        self._runs_known: list[str] | None = None
        self._launched_known: dict[str, str] | None = None
        self._last: dict[str, datetime] = {}
        self._strangers: set[str] = set()
        self._existing: set[str] = set()

    def run(self) -> Evidence:
        self._question = replace(self._question, vms=tuple(self._full_name(pattern) for pattern in self._question.vms))
        where = self._question.where
        objects = self._ask("log objects", self._objects) if where in ("auto", "objects") else []
        cloud = self._ask("Cloud Logging", self._cloud) if where in ("auto", "cloud") else []
        entries = merge(objects, cloud)
        silent = self._silent(entries)
        if where == "serial" or (where == "auto" and silent):
            entries = merge(entries, self._ask("the serial port", lambda: self._serial(silent)))
        if self._errors and not self._answered:
            raise self._errors[0]
        self._remarks += [f"could not be read: {one_line(error)}" for error in self._errors]
        self._look_for_names(entries)
        kept = entries[-self._question.lines :]
        if len(entries) > len(kept):
            self._remarks.append(f"the last {_lines(len(kept))}: there are more, see --lines and --since")
        strangers = self._strangers | {entry.vm for entry in kept if entry.vm and not entry.run and entry.vm not in self._launched()}
        return Evidence(tuple(kept), frozenset(strangers & {entry.vm for entry in kept}), tuple(self._remarks))

    def _ask(self, place: str, look: Callable[[], list[LogEntry]]) -> list[LogEntry]:
        try:
            found = look()
        except UsageError:
            raise
        except EngineError as error:
            self._errors.append(type(error)(f"{place}: {error}", hint=error.hint))
            return []
        self._answered += 1
        return found

    def _full_name(self, pattern: str) -> str:
        """The VM that a short name (`market-data-shard-7`) stands for; whatever else was typed, as it is.

        Raises:
            UsageError: if no live run has such a VM, or two have.
        """
        if not is_short(pattern):
            return pattern
        from provision.runs import RunReader

        views = RunReader(self._places.state).live_runs(self._places.now(), also=(self._question.run,) if self._question.run else ())
        known = [
            KnownVm(name, view.run, vm.shards, vm.attempt)
            for view in views
            if not self._question.run or view.run == self._question.run
            for order in view.orders
            for name, vm in order.vms.items()
        ]
        return resolve_names(pattern, known)[0]

    # Log objects

    def _objects(self) -> list[LogEntry]:
        pieces = find_log_objects(self._places.state, self._runs(), lambda vm: matches(self._question.vms, vm))
        self._last = pieces.last()
        # One more than asked for: then it is known that there are more.
        return read_newest(self._places.state, pieces, self._question.lines + 1, self._question.keep, since=self._question.since)

    def _runs(self) -> list[str]:
        if self._runs_known is None:
            known = [self._question.run] if self._question.run else list_runs(self._places.state)
            self._runs_known = [run for run in known if self._question.run or self._may_speak(run)]
        return self._runs_known

    def _may_speak(self, run: str) -> bool:
        """Whether the run can have said something in the time asked for."""
        try:
            began = run_started(run)
        except UsageError:
            return True
        until = self._question.until
        return began >= self._question.since - LONGEST_RUN and (until is None or began < until)

    def _launched(self) -> dict[str, str]:
        """VM -> run, of every launch of these runs."""
        if self._launched_known is None:
            records = (record for run in self._runs() for record in read_launches(self._places.state, run))
            self._launched_known = {vm: record.run for record in records for vm in record.vms}
        return self._launched_known

    # Cloud Logging

    def _cloud(self) -> list[LogEntry]:
        question = self._question
        clients = self._places.logging()
        foreign = question.names_vms and not question.run
        query = question.to_query(self._places.project, foreign=foreign)
        entries = read(clients, query)
        if foreign and question.grep.expression and len(entries) >= query.limit:
            self._remarks.append(f"--grep looked at the newest {query.limit:,} entries of Cloud Logging only: narrow the time or the names")
        return question.keep(entries)

    def _of_instances(self, vms: Sequence[Vm]) -> list[LogEntry]:
        """Entries that name their VM only by its id, as those of other programs do."""
        if not vms:
            return []
        query = replace(self._question.to_query(self._places.project, foreign=True), vms=(), instances={vm.id: vm.name for vm in vms})
        return self._question.keep(read(self._places.logging(), query))

    # The serial port

    def _silent(self, entries: Sequence[LogEntry]) -> tuple[str, ...]:
        """The names, and patterns, of which nothing was found."""
        heard = {entry.vm for entry in entries} | set(self._last)
        return tuple(
            pattern for pattern in self._question.vms if not is_wildcard_only(pattern) and not any(matches((pattern,), vm) for vm in heard)
        )

    def _serial(self, silent: Sequence[str]) -> list[LogEntry]:
        wanted = silent if self._question.where == "auto" else self._question.vms
        if not wanted:
            raise UsageError("whose serial port?", hint="name a VM or a pattern: tickdeck logs NAME --source serial")
        from provision.resources import list_vms, watched_zones

        compute = self._places.compute()
        vms = [vm for vm in list_vms(compute, watched_zones(compute)) if matches(wanted, vm.name)]
        self._existing = {vm.name for vm in vms}
        self._strangers |= {vm.name for vm in vms if vm.ownership is None and vm.name not in self._launched()}
        entries = self._of_instances(vms) if self._question.where == "auto" else []
        heard = {entry.vm for entry in entries}
        quiet = [vm for vm in vms if vm.name not in heard]
        if len(quiet) > SERIAL_VMS:
            self._remarks.append(f"{len(quiet)} VMs have only a serial port to read: the first {SERIAL_VMS} are shown, name the others")
        for vm in quiet[:SERIAL_VMS]:
            entries += self._port(compute, vm)
        entries += [entry for name, text, when in self._last_words(wanted) for entry in self._parse(text, name, when)]
        return self._question.keep(entries)

    def _port(self, compute: ComputeClients, vm: Vm) -> list[LogEntry]:
        from provision.resources import read_serial_tail

        return self._parse(read_serial_tail(compute, vm.zone, vm.name), vm.name, vm.started or vm.created or self._question.since)

    def _parse(self, text: str, vm: str, began: datetime) -> list[LogEntry]:
        return read_serial(text, vm, run=self._launched().get(vm, ""), began=began)

    def _last_words(self, wanted: Sequence[str]) -> Iterator[tuple[str, str, datetime]]:
        """What VMs that are gone said last, as the receipt of their deletion keeps it."""
        from provision.audit import list_records

        end = min(self._question.until or self._places.now(), self._places.now())
        for record in list_records(self._places.state, self._question.since.date(), end.date()):
            for item in record.items:
                if item.kind == "vm" and item.serial_tail and item.name not in self._existing and matches(wanted, item.name):
                    yield item.name, item.serial_tail, record.when

    # Names

    def _look_for_names(self, entries: Sequence[LogEntry]) -> None:
        """Say of each name that gave nothing what is known of it.

        Raises:
            UsageError: if nothing is.
        """
        heard = {entry.vm for entry in entries}
        for name in self._question.vms:
            if has_wildcard(name) or name in heard:
                continue
            if name in self._last:
                self._remarks.append(f"{name} logged last at {self._last[name]:%Y-%m-%d %H:%M:%S} UTC, and nothing that fits")
            elif name in self._launched() or name in self._existing:
                self._remarks.append(f"{name} has said nothing that fits")
            elif self._question.where == "auto" and not self._errors:
                raise UsageError(
                    f"there is no VM {name!r}, and no run since {self._question.since - LONGEST_RUN:%Y-%m-%d} had one",
                    hint="list them: tickdeck fleet; further back: --since 30d",
                )
