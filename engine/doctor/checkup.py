"""Everything that can be wrong before a worker starts, looked at at once: the table of checks, and what runs them.

Checks run beside each other, each in a thread of its own, and none is waited for longer than `LIMIT_SECONDS`: a host that hangs
costs a line, not the report. What they look at is in `engine.doctor.machine` and `engine.doctor.cloud`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from engine.clock import Clock, monotonic, utc_now
from engine.doctor import cloud, machine
from engine.doctor.finding import Finding, bad, warn
from engine.errors import ConfigurationError, ExitCode
from engine.settings import Settings

LIMIT_SECONDS = 12.0
"""After this the checks that have said nothing are given up."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[], list[Finding]]
    """Blocks. Finds at least one thing to say."""


def checks_of(
    settings: Settings, *, deep: bool = False, environment: Mapping[str, str] | None = None, clock: Clock = utc_now
) -> tuple[Check, ...]:
    """All checks, in the order of the report. `deep` adds those that write."""
    environment = os.environ if environment is None else environment
    checks = (
        Check("settings", partial(machine.check_settings, settings)),
        Check("addresses", partial(machine.check_mixture, settings, environment)),
        Check("source API", partial(cloud.check_source, settings)),
        Check("source files", partial(cloud.check_datasets, settings)),
        Check("source key", partial(cloud.check_key, settings, clock)),
        Check("clock", partial(cloud.check_clock, settings, clock)),
        Check("two buckets", partial(cloud.check_separation, settings)),
        Check("data bucket", partial(cloud.check_bucket, settings, which="data")),
        Check("data bucket rules", partial(cloud.check_rules, settings, which="data")),
        Check("state bucket", partial(cloud.check_bucket, settings, which="state")),
        Check("state bucket rules", partial(cloud.check_rules, settings, which="state")),
        Check("temporary disk", partial(machine.check_disk, settings)),
        Check("memory", partial(machine.check_memory, settings)),
        Check("processors", partial(machine.check_processors, settings)),
        Check("open files", partial(machine.check_open_files, settings)),
        Check("versions", machine.check_versions),
    )
    probe = Check("state bucket probe", partial(cloud.check_probe, settings, clock))
    return (*checks, probe) if deep else checks


def examine(checks: Iterable[Check], *, limit_seconds: float = LIMIT_SECONDS) -> Iterator[Finding]:
    """Run all checks at once; their findings in order, each as soon as those before it are there."""
    answers: list[tuple[Check, SimpleQueue[list[Finding]]]] = []
    for check in checks:
        answer: SimpleQueue[list[Finding]] = SimpleQueue()
        # Not a pool: its threads would be waited for at the end of the process, and a look-up of a name can hang for long.
        threading.Thread(target=_run, args=(check, answer), name=check.name, daemon=True).start()
        answers.append((check, answer))
    until = monotonic() + limit_seconds
    for check, answer in answers:
        try:
            yield from answer.get(timeout=max(0.001, until - monotonic()))
        except Empty:
            yield bad(check.name, f"no answer within {limit_seconds:g} s", "check the network, then run again", ExitCode.UNAVAILABLE)


def verdict(findings: Iterable[Finding]) -> ExitCode:
    """The exit code of the worst: configuration before permission before reach, for that is the order to mend them in."""
    return max((finding.code for finding in findings), default=ExitCode.DONE)


def _run(check: Check, answer: SimpleQueue[list[Finding]]) -> None:
    try:
        answer.put(check.look())
    except ConfigurationError as error:
        answer.put([warn(check.name, f"cannot be judged: {error}", "see settings")])
    except Exception as error:  # noqa: BLE001 - a check that breaks is a line of the report, and the others go on
        answer.put([bad(check.name, f"the check itself failed: {type(error).__name__}: {error}", "report this", ExitCode.UNAVAILABLE)])
