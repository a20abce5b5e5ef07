"""Launch orders: the launch record that workers read, together with all else that the request for VMs is made of.

The engine reads the same objects as `engine.launch.LaunchRecord` and ignores the rest. Because the whole request follows from the
order, another process can send it again, byte for byte, after the one that wrote the order died.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from engine import loopback
from engine.clock import format_time
from engine.documents import JSON, Moment, decode, encode
from engine.errors import AlreadyExists, ConfigurationError, GenerationMismatch
from engine.jobs import KEEP_VARIABLE
from engine.launch import LaunchedVm, LaunchRecord
from engine.paths import canary_object, launch_object, launch_operation_object
from engine.plan import Boot, Plan
from engine.store import Store
from provision.cloud_init import hash_user_data, render_user_data
from provision.compute_package import load_compute
from provision.profile import REAL_HOSTS, Profile, require_image

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""The widest scope, because limits belong in the roles of the account."""

ENVIRONMENT_ITEM = "tickdeck-env"
RUN_ITEM = "td-run"
USER_DATA_ITEM = "user-data"

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|(^|_)(API_?)?KEY(_|$)")


class LaunchOrder(LaunchRecord, frozen=True, kw_only=True):
    """A launch record and the rest of its request."""

    image: str = ""
    """The engine's container."""
    boot_image: str = ""
    disk_gb: int = 10
    disk_type: str = "pd-standard"
    network: str = "global/networks/default"
    subnetwork: str = ""
    external_ip: bool = True
    service_account: str = ""
    denied_zones: tuple[str, ...] = ()
    """Zones of the region that are not in `zones`. Unless denied they would be allowed, and nobody would look for VMs there."""
    exhausted_zones: tuple[str, ...] = ()
    """Of `denied_zones`, those that had no capacity a moment ago. The next machine type asks them again."""
    exhausted_types: tuple[str, ...] = ()
    """Machine types that no zone could give a moment ago."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """Metadata items of the VMs."""
    cloud_init: str = ""
    """Hash of their user-data: what was approved is what runs."""
    keep_until: Moment | None = None
    """Until when the VMs stay after their work, for `tickdeck run`; None: they end with it."""
    follows: dict[str, LaunchedVm] = msgspec.field(default_factory=dict)
    """The rest of the launch, which waits until each VM of this order has proved itself. Empty: this order is no canary."""
    after_canary: int = 0
    """Number of the order whose `follows` these VMs are; 0: of none."""


class LaunchFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why VMs of an order were not made."""

    kind: str
    """A `provision.operations.FailureKind`."""
    code: str
    message: str
    zone: str = ""
    vms: tuple[str, ...] = ()
    """Empty: it concerns all that are missing."""


class LaunchOperation(msgspec.Struct, frozen=True, kw_only=True):
    """The service's answer to an order: written when it was accepted or refused, and again when it has ended."""

    schema: int = 1
    run: str
    number: int
    request_id: str
    operation: str = ""
    """Name of the operation in the order's region; empty if the request itself was refused."""
    accepted: Moment
    ended: Moment | None = None
    """When somebody saw it ended."""
    created: dict[str, str] = msgspec.field(default_factory=dict)
    """VM -> zone, of those that were made."""
    failures: tuple[LaunchFailure, ...] = ()

    def failure_for(self, vm: str) -> LaunchFailure | None:
        """Why a VM was not made; None if it was, or nobody knows."""
        if self.ended is None or vm in self.created:
            return None
        return next((failure for failure in self.failures if vm in failure.vms or not failure.vms), None)


class CanaryStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why a launch stopped at its canaries. Its presence is what counts: the rest is never asked for."""

    schema: int = 1
    run: str
    number: int
    """Of the canary order."""
    vm: str
    """The canary that failed."""
    cause: str
    evidence: str = ""
    """Where the cause was read: `heartbeat`, `log`, `serial port` or `launch`."""
    who: str = ""
    when: Moment


def worker_environment(profile: Profile, plan: Plan, run: str, *, keep_until: datetime | None = None) -> dict[str, str]:
    """What a worker is told by its environment. Never a secret.

    Raises:
        ConfigurationError: if the plan fixes a setting that looks like a secret, or that no env-file can hold.
    """
    environment = {
        **plan.settings,
        "TICKDECK_RUN": run,
        "DATA_BUCKET": plan.data_bucket,
        "STATE_BUCKET": plan.state_bucket,
        "GOOGLE_CLOUD_PROJECT": profile.project,
        KEEP_VARIABLE: format_time(keep_until) if keep_until else "",
    }
    if profile.kind == "local":
        environment |= {
            "STORAGE_EMULATOR_HOST": profile.endpoints.storage,
            "TICKDECK_LOGGING_ENDPOINT": profile.endpoints.logging,
            "TICKDECK_BIGQUERY_ENDPOINT": profile.endpoints.bigquery,
            loopback.VARIABLE: ",".join(REAL_HOSTS) if profile.source == "tardis" else "1",
            "TARDIS_API_URL": profile.tardis_api,
            "TARDIS_DATASETS_URL": profile.tardis_datasets,
        }
    return {key: _check_variable(key, value) for key, value in environment.items() if value}


def render_environment(environment: Mapping[str, str]) -> str:
    """KEY=VALUE lines, as docker's `--env-file` reads them: no quotes, nothing is expanded."""
    return "".join(f"{key}={value}\n" for key, value in sorted(environment.items()))


def boot_of(profile: Profile) -> Boot:
    """What VMs of this profile would run, for a plan to say. An image without a digest is no promise: then it says nothing of it.

    Raises:
        ConfigurationError: if the profile's image or secret has an impossible name.
    """
    try:
        image = require_image(profile)
    except ConfigurationError:
        return Boot()
    user_data = render_user_data(image, secret=profile.tardis_secret)
    return Boot(image=image, boot_image=profile.boot_image, cloud_init=hash_user_data(user_data))


def require_boot(profile: Profile, plan: Plan) -> None:
    """Make sure that VMs of this profile would run what the plan was approved with.

    Raises:
        ConfigurationError: naming the first thing that is another one now.
    """
    now = boot_of(profile)
    if plan.boot == Boot() or plan.boot == now:
        return
    for what, planned, found in (
        ("image", plan.boot.image, now.image),
        ("boot image", plan.boot.boot_image, now.boot_image),
        ("cloud-init", plan.boot.cloud_init, now.cloud_init),
    ):
        if planned != found:
            raise ConfigurationError(
                f"plan {plan.id} was made for {what} {planned or '(none)'}, profile {profile.name} would run {found or '(none)'}",
                hint="plan again, or set the profile back",
            )


def vm_metadata(profile: Profile, plan: Plan, run: str, *, keep_until: datetime | None = None, user_data: str = "") -> dict[str, str]:
    """The metadata items of the VMs of a run.

    Args:
        user_data: of the run's VMs so far; "": as this version writes it for the profile.
    """
    user_data = user_data or render_user_data(require_image(profile), secret=profile.tardis_secret, keep_until=keep_until)
    return {
        ENVIRONMENT_ITEM: render_environment(worker_environment(profile, plan, run, keep_until=keep_until)),
        RUN_ITEM: run,
        USER_DATA_ITEM: user_data,
        "block-project-ssh-keys": "TRUE",
        "enable-oslogin": "TRUE",
        # Output still goes to the port; nobody can log in through it.
        "serial-port-enable": "FALSE",
        "google-logging-enabled": "true",
    }


def hash_of_user_data(metadata: Mapping[str, str]) -> str:
    """The hash of the user-data among metadata items."""
    return hash_user_data(metadata[USER_DATA_ITEM])


def bulk_insert_request(order: LaunchOrder) -> Any:
    """The `BulkInsertRegionInstanceRequest` that asks for the VMs of this order.

    Explicit names, because numbers of a name pattern go on after the highest there is. `min_count=1`, because by default one
    failure undoes all. Ranked machine types go into the flexibility policy; a single one is simply the machine type.
    """
    gce = load_compute()
    properties = gce.InstanceProperties(
        labels=order.labels,
        metadata=gce.Metadata(items=[gce.Items(key=key, value=value) for key, value in sorted(order.metadata.items())]),
        disks=[
            gce.AttachedDisk(
                boot=True,
                auto_delete=True,
                initialize_params=gce.AttachedDiskInitializeParams(
                    source_image=order.boot_image,
                    disk_size_gb=order.disk_gb,
                    disk_type=order.disk_type,
                    labels=order.labels,
                ),
            )
        ],
        network_interfaces=[_network_interface(order)],
        scheduling=gce.Scheduling(
            provisioning_model=order.provisioning_model,
            instance_termination_action="DELETE",
            automatic_restart=False,
            on_host_maintenance="TERMINATE",
            max_run_duration=gce.Duration(seconds=order.max_run_seconds),
        ),
        shielded_instance_config=gce.ShieldedInstanceConfig(enable_secure_boot=True, enable_vtpm=True, enable_integrity_monitoring=True),
    )
    if order.service_account:
        properties.service_accounts = [gce.ServiceAccount(email=order.service_account, scopes=[SCOPE])]
    names = gce.BulkInsertInstanceResourcePerInstanceProperties
    allow, deny = gce.LocationPolicyLocation(preference="ALLOW"), gce.LocationPolicyLocation(preference="DENY")
    resource = gce.BulkInsertInstanceResource(
        count=len(order.vms),
        min_count=1,
        instance_properties=properties,
        per_instance_properties={name: names(name=name) for name in order.vms},
        location_policy=gce.LocationPolicy(
            target_shape="ANY",
            locations={
                **{f"zones/{zone}": allow for zone in order.zones},
                **{f"zones/{zone}": deny for zone in order.denied_zones},
            },
        ),
    )
    if len(order.machine_types) > 1:
        selection = gce.InstanceFlexibilityPolicyInstanceSelection
        resource.instance_flexibility_policy = gce.InstanceFlexibilityPolicy(
            instance_selections={
                f"rank-{rank}": selection(machine_types=[machine_type], rank=rank) for rank, machine_type in enumerate(order.machine_types)
            }
        )
    else:
        properties.machine_type = order.machine_types[0]
        resource.instance_properties = properties
    return gce.BulkInsertRegionInstanceRequest(
        project=order.project,
        region=order.region,
        request_id=order.request_id,
        bulk_insert_instance_resource_resource=resource,
    )


def write_order(state: Store, order: LaunchOrder) -> LaunchOrder:
    """Write an order create-once; returns the order that stands in the bucket under its number: ours, or somebody else's."""
    name = launch_object(order.run, order.number)
    try:
        state.put(name, encode(order), if_generation=0, content_type=JSON)
    except AlreadyExists:
        standing = read_order(state, order.run, order.number)
        if standing is None:
            raise ConfigurationError(f"{name} was deleted while it was written", hint="nothing may delete launch records") from None
        return standing
    return order


def read_order(state: Store, run: str, number: int) -> LaunchOrder | None:
    """An order by its number, or None."""
    name = launch_object(run, number)
    found = state.get(name)
    return None if found is None else decode(found.data, LaunchOrder, name=name)


def write_operation(state: Store, operation: LaunchOperation) -> None:
    """Write down what became of an order so far. One that has ended is never overwritten."""
    name = launch_operation_object(operation.run, operation.number)
    try:
        state.put(name, encode(operation), if_generation=0, content_type=JSON)
    except AlreadyExists:
        found = state.get(name)
        if found is None or operation.ended is None or decode(found.data, LaunchOperation, name=name).ended is not None:
            return
        # Losing this means that another console saw the same end and said so.
        with contextlib.suppress(GenerationMismatch):
            state.put(name, encode(operation), if_generation=found.generation, content_type=JSON)


def read_operation(state: Store, run: str, number: int) -> LaunchOperation | None:
    """The service's answer to an order, or None if it never came, or nobody lived to write it down."""
    name = launch_operation_object(run, number)
    found = state.get(name)
    return None if found is None else decode(found.data, LaunchOperation, name=name)


def write_canary_stop(state: Store, stop: CanaryStop) -> bool:
    """Write down that a launch stopped at its canaries; False if somebody said so before."""
    try:
        state.put(canary_object(stop.run), encode(stop), if_generation=0, content_type=JSON)
    except AlreadyExists:
        return False
    return True


def read_canary_stop(state: Store, run: str) -> CanaryStop | None:
    """Why a run's launch stopped at its canaries, or None."""
    name = canary_object(run)
    found = state.get(name)
    return None if found is None else decode(found.data, CanaryStop, name=name)


def _network_interface(order: LaunchOrder) -> Any:
    gce = load_compute()
    interface = gce.NetworkInterface(network=order.network)
    if order.subnetwork:
        interface.subnetwork = order.subnetwork
    if order.external_ip:
        interface.access_configs = [gce.AccessConfig(name="External NAT", type_="ONE_TO_ONE_NAT")]
    return interface


def _check_variable(key: str, value: str) -> str:
    if _SECRET.search(key):
        raise ConfigurationError(
            f"{key} looks like a secret; VM metadata can be read by everybody in the project",
            hint="put it into Secret Manager and name its version in the profile (tardis_secret)",
        )
    if not _VARIABLE.fullmatch(key) or "\n" in value or "\r" in value or "\x00" in value:
        raise ConfigurationError(f"{key}={value!r} cannot stand in an env-file", hint="one line, name in capitals")
    return value
