"""Jobs for a VM that was kept after its work: an order in the state bucket, and beside it what became of it.

Nobody logs in anywhere. A console writes the job create-once under the next number; the kept worker looks for jobs as it looks for
the word to drain. A job begins at most once: its result object is created before it, so a worker that was restarted meanwhile says
that the job was cut off, and does not run it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from engine.documents import JSON, Moment, decode, encode
from engine.errors import AlreadyExists, GenerationMismatch, UsageError
from engine.paths import job_object, job_prefix, job_result_object, job_result_prefix, parse_job_object, parse_job_result_object
from engine.store import Store

KEEP_VARIABLE = "TICKDECK_KEEP_UNTIL"
"""Environment name of the moment until which a worker stays after its work, ISO with `Z`."""

VERBS = ("download", "instruments", "replay", "upload-bigquery", "validate")
"""The verbs of the engine that a job may be."""

LONGEST = 8192
"""Characters of all arguments of a job together."""

TAIL = 20
"""Lines of a job's output that its result keeps; its log has all."""

CUT_OFF = -1
"""Exit code of a job whose worker ended before it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One command of the engine for one kept VM."""

    schema: int = 1
    run: str
    vm: str
    number: int
    arguments: tuple[str, ...]
    """The verb first. A list, never a line: nothing is ever split or expanded."""
    who: str = ""
    when: Moment


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job."""

    schema: int = 1
    run: str
    vm: str
    number: int
    state: Literal["started", "ended"]
    started: Moment
    ended: Moment | None = None
    exit_code: int = CUT_OFF
    tail: tuple[str, ...] = ()
    """The last lines of what it said."""


def require_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a job, the verb first.

    Raises:
        UsageError: for a verb that is not allowed, or arguments that no process could be given.
    """
    if not arguments or arguments[0] not in VERBS:
        raise UsageError(f"{arguments[0] if arguments else ''!r} is no job for a VM", hint=f"jobs are {', '.join(VERBS)}")
    if any("\x00" in argument for argument in arguments) or sum(map(len, arguments)) > LONGEST:
        raise UsageError("a job's arguments hold a NUL, or are too long", hint=f"at most {LONGEST} characters together")
    return tuple(arguments)


def submit(store: Store, run: str, vm: str, arguments: Sequence[str], *, who: str, now: datetime) -> Job:
    """Give a kept VM its next job.

    Raises:
        UsageError: if it is none that a VM does.
    """
    wanted = require_arguments(arguments)
    number = max((parse_job_object(info.name)[2] for info in store.list(job_prefix(run, vm))), default=0)
    while True:
        number += 1
        job = Job(run=run, vm=vm, number=number, arguments=wanted, who=who, when=now)
        try:
            store.put(job_object(run, vm, number), encode(job), if_generation=0, content_type=JSON)
        except AlreadyExists:
            found = read_job(store, run, vm, number)
            if found != job:
                continue
        return job


def read_job(store: Store, run: str, vm: str, number: int) -> Job | None:
    """A job by its number, or None."""
    name = job_object(run, vm, number)
    found = store.get(name)
    return None if found is None else decode(found.data, Job, name=name)


def read_result(store: Store, run: str, vm: str, number: int) -> JobResult | None:
    """What became of a job, or None if it has not begun."""
    name = job_result_object(run, vm, number)
    found = store.get(name)
    return None if found is None else decode(found.data, JobResult, name=name)


def next_job(store: Store, run: str, vm: str) -> Job | None:
    """The oldest job that has not begun, or None."""
    begun = {parse_job_result_object(info.name)[2] for info in store.list(job_result_prefix(run, vm))}
    numbers = sorted(parse_job_object(info.name)[2] for info in store.list(job_prefix(run, vm)))
    waiting = next((number for number in numbers if number not in begun), None)
    return None if waiting is None else read_job(store, run, vm, waiting)


def begin(store: Store, job: Job, *, now: datetime) -> bool:
    """Say that a job begins; False if another process said so before: then it is not ours to run."""
    result = JobResult(run=job.run, vm=job.vm, number=job.number, state="started", started=now)
    try:
        store.put(job_result_object(job.run, job.vm, job.number), encode(result), if_generation=0, content_type=JSON)
    except AlreadyExists:
        return read_result(store, job.run, job.vm, job.number) == result
    return True


def finish(store: Store, job: Job, *, exit_code: int, tail: Sequence[str] = (), now: datetime) -> None:
    """Say how a job ended. One that has ended is never overwritten."""
    name = job_result_object(job.run, job.vm, job.number)
    found = store.get(name)
    before = None if found is None else decode(found.data, JobResult, name=name)
    if before is not None and before.ended is not None:
        return
    result = JobResult(
        run=job.run,
        vm=job.vm,
        number=job.number,
        state="ended",
        started=now if before is None else before.started,
        ended=now,
        exit_code=exit_code,
        tail=tuple(tail[-TAIL:]),
    )
    try:
        store.put(name, encode(result), if_generation=0 if found is None else found.generation, content_type=JSON)
    except (AlreadyExists, GenerationMismatch):
        # Our own write may have arrived although its reply was lost; a result that stands is left alone.
        return


def close_cut_off(store: Store, run: str, vm: str, *, now: datetime) -> tuple[int, ...]:
    """Say of every job that an earlier process of this VM began and did not end that it was cut off; returns their numbers."""
    cut = []
    for info in store.list(job_result_prefix(run, vm)):
        number = parse_job_result_object(info.name)[2]
        result = read_result(store, run, vm, number)
        job = read_job(store, run, vm, number)
        if job is not None and result is not None and result.ended is None:
            finish(store, job, exit_code=CUT_OFF, now=now)
            cut.append(number)
    return tuple(cut)
