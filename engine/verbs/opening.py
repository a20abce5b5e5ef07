"""What the verbs work on, opened as the settings say: the two buckets and the source."""

from __future__ import annotations

from datetime import timedelta

from engine.clock import format_time, utc_now
from engine.logbook import Logbook
from engine.settings import Settings
from engine.source import Source
from engine.storage_service import open_storage
from engine.store import Store
from engine.throttle import Throttle
from engine.worker import Places


def open_places(settings: Settings) -> Places:
    """The two buckets, over one client.

    Raises:
        ConfigurationError: if a setting cannot be read, or both buckets are one: nothing is begun with settings that fail later.
    """
    settings.require_readable()
    settings.require_two_buckets()
    service = open_storage(project=settings.text("project"), endpoint=settings.text("storage_endpoint"))
    return Places(data=Store(service, settings.text("data_bucket")), state=Store(service, settings.state_bucket))


def open_source(settings: Settings, logbook: Logbook, *, throttle: Throttle | None = None) -> Source:
    """The source as the settings say, its retries in the log."""

    def on_retry(url: str, reason: str) -> None:
        path = url.split("/v1/", 1)[-1]
        logbook.warning("source_retry", f"{path}: {reason}, trying again", reason=reason)

    def on_pause(reason: str, seconds: float) -> None:
        until = utc_now() + timedelta(seconds=seconds)
        logbook.warning("source_paused", f"{reason}; nothing is asked until {until:%H:%M:%S} UTC", reason=reason, until=format_time(until))

    return Source(
        api_url=settings.text("api_url"),
        datasets_url=settings.text("datasets_url"),
        api_key=settings.text("api_key"),
        connections=settings.whole("max_concurrent"),
        throttle=throttle,
        on_retry=on_retry,
        on_pause=on_pause,
    )
