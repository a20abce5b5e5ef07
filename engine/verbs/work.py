"""`engine work`: the shards that a launch record gives to this VM. What a VM runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import click

from engine.clock import parse_time
from engine.errors import ConfigurationError, EngineError, UsageError
from engine.instance import Instance, metadata_host
from engine.jobs import KEEP_VARIABLE
from engine.keeping import Keeper
from engine.logbook import Logbook
from engine.plan import load_plan
from engine.settings import Settings, resolve
from engine.verbs.by_hand import say_end
from engine.verbs.opening import open_places, open_source
from engine.verbs.options import bucket_options
from engine.worker import Identity, Places, Worker, describe, find_identity, install_signals

PREEMPTED = "the machine is being preempted"


class Stoppable(Protocol):
    """Who ends in good order when told to."""

    def stop(self, reason: str) -> None:
        """Begin nothing new."""


@click.command("work")
@click.option("--run", envvar="TICKDECK_RUN", help="The run to work for [from the instance's metadata].")
@click.option("--vm", envvar="TICKDECK_VM", help="This worker's name [the instance's name].")
@click.option("--shard", "shards", type=int, multiple=True, help="Work on this shard, whatever the launch record says.")
@click.option("--plan", help="With --shard: the plan [the run's].")
@bucket_options
def work_command(**options: Any) -> int:
    """Work on the shards that a launch record gives to this VM."""
    return asyncio.run(work(**options))


async def work(
    *,
    run: str | None,
    vm: str | None,
    shards: tuple[int, ...],
    plan: str | None,
    data_bucket: str | None,
    state_bucket: str | None,
) -> int:
    """`engine work`: who am I, what is my plan, do it."""
    if shards and not plan:
        raise UsageError("--shard needs --plan", hint="the plan's id is in the launch record and in tickdeck fleet")
    on_vm = bool(metadata_host()) or not (run and vm)
    zone = instance_id = ""
    if on_vm:
        async with aiohttp.ClientSession() as session:
            instance = Instance(session)
            vm = vm or await instance.get("instance/name")
            zone = (await instance.get("instance/zone") or "").rsplit("/", 1)[-1]
            instance_id = await instance.get("instance/id") or ""
            run = run or await instance.attribute("td-run")
    if not run or not vm:
        raise ConfigurationError("this worker knows neither its run nor its name", hint="give --run and --vm, or start it on a VM")
    # A VM of the local cloud shares this machine with all others: it gets a laptop's defaults.
    has_machine = on_vm and not os.environ.get("STORAGE_EMULATOR_HOST")
    settings = resolve(flags={"data_bucket": data_bucket, "state_bucket": state_bucket}, on_vm=has_machine)
    places = open_places(settings)
    if shards and plan:
        identity, plan_id = Identity(run, vm, shards), plan
    else:
        identity, plan_id = find_identity(places.state, run, vm)
    document = load_plan(places.state, plan_id)
    settings = resolve(
        flags={"data_bucket": data_bucket, "state_bucket": state_bucket},
        on_vm=has_machine,
        plan=document.settings,
    )
    logbook = Logbook(
        secrets=(settings.text("api_key"),),
        context={"run": run, "vm": vm, "shard": identity.shards[0] if identity.shards else -1, "attempt": identity.attempt},
        minimum=settings.text("log_level"),
    )
    async with (
        _cloud_log(settings, logbook, run=run, vm=vm, shards=identity.shards, zone=zone, instance_id=instance_id),
        open_source(settings, logbook) as source,
        _preemption(on_vm) as preemption,
    ):
        worker = Worker(identity, document, places, source, settings, logbook)
        worker.install_signals()
        preemption.tell(worker)
        try:
            report = await worker.run()
        except EngineError:
            await _stay(worker, places, settings, logbook, preemption)
            raise
        logbook.info("report", describe(report))
        say_end(
            report,
            again="tickdeck repair plans them anew; their reasons: tickdeck check --detailed",
            goes_on=f"tickdeck reconcile {run} sets another worker to it",
        )
        await _stay(worker, places, settings, logbook, preemption)
    return report.exit_code


async def _stay(worker: Worker, places: Places, settings: Settings, logbook: Logbook, preemption: _Preemption) -> None:
    """Where the environment says so, stay after the work, however it ended, and do the jobs that come."""
    until = os.environ.get(KEEP_VARIABLE, "")
    if not until or (worker.stopped.is_set() and not worker.over_budget):
        return
    keeper = Keeper(
        places.state,
        worker.identity.run,
        worker.identity.vm,
        parse_time(until),
        logbook=logbook,
        log_objects=worker.log_objects,
        heartbeat_seconds=settings.number("heartbeat_seconds"),
        flush_seconds=settings.number("log_flush_seconds"),
    )
    install_signals(keeper.stop)
    preemption.tell(keeper)
    await keeper.run()


@asynccontextmanager
async def _cloud_log(
    settings: Settings, logbook: Logbook, *, run: str, vm: str, shards: tuple[int, ...], zone: str, instance_id: str
) -> AsyncIterator[None]:
    """Send the logbook's entries to Cloud Logging too, where the settings say so."""
    endpoint = settings.text("logging_endpoint")
    if not endpoint and (settings.text("cloud_logging") != "1" or settings.text("storage_endpoint")):
        yield
        return
    from engine.cloudlog import CloudLogWriter, GceInstance

    writer = CloudLogWriter(
        endpoint or None,
        settings.text("project"),
        labels={"run": run, "vm": vm, "shard": ",".join(map(str, shards))},
        resource=GceInstance(instance_id, zone) if instance_id else None,
    )
    logbook.add_sink(writer)
    try:
        yield
    finally:
        writer.close()


class _Preemption:
    """Tells whoever listens that the machine is being preempted; who begins to listen after the notice hears it at once."""

    def __init__(self) -> None:
        self._listeners: list[Stoppable] = []
        self._noticed = False

    def tell(self, listener: Stoppable) -> None:
        """Let `listener` hear of it too."""
        self._listeners.append(listener)
        if self._noticed:
            listener.stop(PREEMPTED)

    async def watch(self) -> None:
        """Wait for the notice and pass it on."""
        async with aiohttp.ClientSession() as session:
            await Instance(session).wait_for_preemption()
        self._noticed = True
        for listener in self._listeners:
            listener.stop(PREEMPTED)


@asynccontextmanager
async def _preemption(on_vm: bool) -> AsyncIterator[_Preemption]:
    """Watch for the notice, for the time of the block."""
    preemption = _Preemption()
    task = asyncio.create_task(preemption.watch()) if on_vm else None
    try:
        yield preemption
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
