"""The session of a profile, with its local cloud started where it has one."""

from __future__ import annotations

from pathlib import Path

from console.session.session import Session
from engine.errors import ConfigurationError
from engine.loopback import guard
from provision.local import cloud as local_cloud
from provision.local.cloud import Cloud, Report
from provision.profile import REAL_HOSTS, Endpoints, resolve_profile, with_endpoints


def open_session(
    profile_name: str = "",
    *,
    start_local: bool = True,
    source: str = "",
    scenario: str = "",
    root: Path | None = None,
    report: Report = lambda _step, _state: None,
) -> Session:
    """The session of a profile; a local one starts its cloud if that is down.

    Raises:
        ConfigurationError: if the profile is unknown or wrong, or the local cloud is down and may not be started.
    """
    profile = resolve_profile(profile_name or None, {"source": source or None})
    if profile.kind != "local":
        return Session(profile, None)
    place = root or local_cloud.active_root()
    stand_in = profile.source == "stand-in"
    if start_local:
        cloud: Cloud | None = local_cloud.up(place, scenario=scenario, stand_in=stand_in, report=report)
    else:
        cloud = local_cloud.find(place)
    if cloud is None:
        raise ConfigurationError("the local cloud is down", hint="start it: tickdeck local up")
    guard(() if stand_in else REAL_HOSTS)
    return Session(with_endpoints(profile, endpoints_of(cloud)), cloud)


def endpoints_of(cloud: Cloud) -> Endpoints:
    """Where the servers of a local cloud listen."""
    api = f"{cloud.url('tardis')}/v1" if cloud.has_stand_in else ""
    return Endpoints(
        storage=cloud.url("storage"),
        compute=cloud.url("compute"),
        platform=cloud.url("platform"),
        bigquery=cloud.url("bigquery"),
        logging=cloud.logging_endpoint,
        tardis_api=api,
        tardis_datasets=api,
    )
