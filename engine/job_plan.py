"""A plan whose one shard is a verb of the engine, instead of files: what `tickdeck deploy instruments` launches a VM for.

It is a plan like any other: named by its hash, launched under the same guards, claimed, replaced when its VM is lost.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import click

from engine.cli import VERBS
from engine.errors import UsageError
from engine.estimate import Rates, Speed, class_a_operations, cost_lines
from engine.jobs import require_arguments
from engine.plan import Estimate, Plan, Request, Shard, seal

JOB_SECONDS = 300.0
"""Guess of how long a verb works: nothing is known of it beforehand."""


def check_arguments(arguments: Sequence[str]) -> Mapping[str, object]:
    """Read a verb and its arguments as the VM will; the values by name. Runs nothing.

    Raises:
        UsageError: naming what is wrong, before a VM costs anything.
    """
    verb, *rest = require_arguments(arguments)
    module, _, attribute = VERBS[verb].place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    try:
        return dict(command.make_context(f"engine {verb}", list(rest)).params)
    except click.exceptions.Exit as asked:
        raise UsageError(f"engine {verb} has nothing to do", hint=f"see: engine {verb} --help") from asked
    except click.ClickException as error:
        raise UsageError(error.format_message(), hint=f"see: engine {verb} --help") from error


def plan_job(
    arguments: Sequence[str],
    *,
    data_bucket: str,
    state_bucket: str,
    speed: Speed,
    rates: Rates,
    now: datetime,
    machine_type: str = "",
    provisioning_model: str = "SPOT",
    max_cost: float = 0.0,
    settings: Mapping[str, str] | None = None,
) -> Plan:
    """Plan one verb of the engine on one VM.

    Args:
        arguments: the verb first, as on a laptop; read and checked here.
        now: the moment of planning, UTC.

    Raises:
        UsageError: as `check_arguments`.
    """
    values = check_arguments(arguments)
    start = values.get("start")
    day = start if isinstance(start, date) and not isinstance(start, datetime) else now.date()
    end = values.get("end")
    last = end if isinstance(end, date) and not isinstance(end, datetime) else day
    seconds = speed.boot_seconds + JOB_SECONDS
    hours = seconds / 3600
    operations = class_a_operations(files=0, manifests=0, shards=1, vm_hours=hours)
    return seal(
        Plan(
            created=now,
            request=Request(
                mode=arguments[0],
                venues=_words(values.get("venues")),
                data_types=_words(values.get("data_types")),
                start=day,
                end=last,
                shards=1,
                machine_type=machine_type,
                provisioning_model=provisioning_model,
                max_cost=max_cost,
            ),
            data_bucket=data_bucket,
            state_bucket=state_bucket,
            catalogues={},
            shards=(Shard(index=0, work=(), files=0, bytes=0, seconds=JOB_SECONDS),),
            estimate=Estimate(
                files=0,
                bytes=0,
                cells=0,
                makespan_seconds=seconds,
                lower_bound_seconds=seconds,
                vm_hours=hours,
                costs=cost_lines(rates, vm_hours=hours, class_a=operations, hours=hours),
            ),
            settings=dict(sorted((settings or {}).items())),
            job=tuple(arguments),
        )
    )


def _words(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple | list) else ()
