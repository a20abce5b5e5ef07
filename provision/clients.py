"""The one place that makes clients of Google Cloud out of a profile.

In a local profile every client gets an explicit endpoint on this machine, anonymous credentials and no proxy; in a gcp profile
the default credentials. `compute_v1` costs a second to import: nothing here imports it before the first Compute client is asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from engine.errors import ConfigurationError, NotPermitted
from engine.loopback import require_loopback
from engine.storage_service import open_storage
from engine.store import Store
from provision.compute_package import load_compute
from provision.logs.clients import LogClients, make_clients
from provision.profile import Profile

POOL = 32
"""Connections a client keeps: more than the threads that use it."""


class ComputeClients:
    """The official Compute clients of one profile, each made when it is first used. Safe to use from several threads."""

    def __init__(self, profile: Profile) -> None:
        """Make nothing yet.

        Raises:
            ConfigurationError: if the local cloud is not running, or its endpoint is not on this machine.
        """
        if profile.kind == "local":
            if not profile.endpoints.compute:
                raise ConfigurationError("the local profile has no Compute endpoint", hint="start it: tickdeck local up")
            require_loopback(profile.endpoints.compute)
        self.profile = profile
        self.project = profile.project
        self.region = profile.region
        self.region_zones: tuple[str, ...] = ()
        """All zones of the region, once `provision.resources` has asked for them: they do not change while we run."""

    @cached_property
    def instances(self) -> Any:
        """`InstancesClient`"""
        return self._make("InstancesClient")

    @cached_property
    def region_instances(self) -> Any:
        """`RegionInstancesClient`: bulk insert."""
        return self._make("RegionInstancesClient")

    @cached_property
    def zone_operations(self) -> Any:
        """`ZoneOperationsClient`"""
        return self._make("ZoneOperationsClient")

    @cached_property
    def region_operations(self) -> Any:
        """`RegionOperationsClient`"""
        return self._make("RegionOperationsClient")

    @cached_property
    def zones(self) -> Any:
        """`ZonesClient`"""
        return self._make("ZonesClient")

    @cached_property
    def regions(self) -> Any:
        """`RegionsClient`: zones and quotas."""
        return self._make("RegionsClient")

    @cached_property
    def projects(self) -> Any:
        """`ProjectsClient`: quotas over all regions."""
        return self._make("ProjectsClient")

    @cached_property
    def disks(self) -> Any:
        """`DisksClient`"""
        return self._make("DisksClient")

    @cached_property
    def addresses(self) -> Any:
        """`AddressesClient`"""
        return self._make("AddressesClient")

    @cached_property
    def machine_types(self) -> Any:
        """`MachineTypesClient`"""
        return self._make("MachineTypesClient")

    @cached_property
    def images(self) -> Any:
        """`ImagesClient`: what VMs boot."""
        return self._make("ImagesClient")

    def _make(self, kind: str) -> Any:
        import requests.adapters
        from google.auth.exceptions import DefaultCredentialsError

        kinds = load_compute()
        if self.profile.kind == "local":
            from google.auth.credentials import AnonymousCredentials

            options = {"api_endpoint": self.profile.endpoints.compute.rstrip("/")}
            client = getattr(kinds, kind)(credentials=AnonymousCredentials(), client_options=options)
            client.transport._session.trust_env = False
        else:
            try:
                client = getattr(kinds, kind)()
            except DefaultCredentialsError as error:
                raise NotPermitted(str(error), hint="run: gcloud auth application-default login") from error
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=POOL)
        for scheme in ("http://", "https://"):
            client.transport._session.mount(scheme, adapter)
        return client


def make_compute(profile: Profile) -> ComputeClients:
    """Compute clients; see `ComputeClients`."""
    return ComputeClients(profile)


def open_stores(profile: Profile) -> tuple[Store, Store]:
    """The data bucket and the state bucket, over one client.

    Raises:
        ConfigurationError: if the local cloud is not running, or its endpoint is not on this machine.
        NotPermitted: if there are no default credentials.
    """
    if profile.kind == "local" and not profile.endpoints.storage:
        raise ConfigurationError("the local profile has no storage endpoint", hint="start it: tickdeck local up")
    service = open_storage(project=profile.project, endpoint=profile.endpoints.storage)
    return Store(service, profile.data_bucket), Store(service, profile.state)


def make_logging(profile: Profile, *, tailing: bool = True) -> LogClients:
    """Clients of Cloud Logging; see `make_clients`.

    Raises:
        ConfigurationError: if the local cloud is not running, or its endpoint is not on this machine.
    """
    return make_clients(profile.endpoints.logging or None, local=profile.kind == "local", tailing=tailing)
