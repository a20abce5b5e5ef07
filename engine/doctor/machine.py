"""What `engine doctor` looks at on this machine: settings, disk, memory, processors, open files, versions.

Nothing here asks anybody else; what does is in `engine.doctor.cloud`.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from engine.clock import format_bytes
from engine.doctor.finding import Finding, bad, from_error, good, warn
from engine.errors import ExitCode
from engine.estimate import PRIOR_BYTES
from engine.loopback import VARIABLE
from engine.memory_limit import memory_limit
from engine.settings import TABLE, Settings

MIB = 1 << 20

PROCESS_BYTES = 220 * MIB
"""Resident memory of a worker that has loaded everything and holds no file."""

SMALL_LIMIT = 512 * MIB
"""Below this a worker spends its time waiting for room."""

PROBE_BYTES = MIB
"""Written to the temporary folder to see that it can be."""

SPARE_FILES = 64
"""Open files beside transfers: libraries, logs, pipes."""

PACKAGES = ("pyarrow", "google-cloud-storage", "google-cloud-logging", "google-crc32c", "aiohttp", "msgspec")


def check_settings(settings: Settings) -> list[Finding]:
    """Can every value be read? One line for each that cannot, with its origin."""
    problems = [from_error("settings", error) for error in settings.problems()]
    if problems:
        return problems
    given = [setting.environment[0] for setting in TABLE if settings.values[setting.name].origin != "default"]
    told = f", {len(given)} of them given: {', '.join(given)}" if given else ", all at their defaults"
    return [good("settings", f"{len(TABLE)} can be read{told}")]


def check_mixture(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Do the addresses belong together: all of this machine, or all real?

    A real source with storage on this machine is a mixture that makes sense: a laptop that fills a lake of its own.
    """
    name = "addresses"
    hosts = {setting: urlsplit(settings.text(setting)).hostname or "" for setting in ("api_url", "datasets_url")}
    local_source = {setting for setting, host in hosts.items() if _is_here(host)}
    endpoint = settings.text("storage_endpoint")
    strays = sorted(
        key for key, value in environment.items() if key.endswith("_EMULATOR_HOST") and value and key != "STORAGE_EMULATOR_HOST"
    )
    where = f"source {hosts['api_url']}, storage {endpoint or 'the real service'}"
    if len(local_source) == 1:
        message = f"one half of the source is on this machine, the other is not: {hosts['api_url']} and {hosts['datasets_url']}"
        return [bad(name, message, "set both TARDIS_API_URL and TARDIS_DATASETS_URL", ExitCode.CONFIGURATION)]
    if local_source and not endpoint:
        message = f"the source is on this machine ({hosts['datasets_url']}), the bucket {settings.text('data_bucket')} is real"
        return [bad(name, message, "made-up data must not get there: set STORAGE_EMULATOR_HOST too", ExitCode.CONFIGURATION)]
    if strays and not endpoint:
        message = f"{', '.join(strays)} is set, STORAGE_EMULATOR_HOST is not: half of the work would go to the real cloud"
        return [bad(name, message, f"unset {strays[0]}, or set both", ExitCode.CONFIGURATION)]
    guard = environment.get(VARIABLE, "")
    outside = [host for host in hosts.values() if not _is_here(host) and host not in guard.split(",")]
    if guard and (outside or not endpoint):
        message = f"{VARIABLE} is set, but {outside[0] if outside else 'the bucket'} is not on this machine"
        return [bad(name, message, f"unset {VARIABLE}, or name the host in it", ExitCode.CONFIGURATION)]
    if endpoint and settings.text("cloud_logging") == "1" and not settings.text("logging_endpoint"):
        return [warn(name, f"{where}; Cloud Logging stays off", "set TICKDECK_LOGGING_ENDPOINT, or TICKDECK_CLOUD_LOGGING=0")]
    return [good(name, where)]


def _is_here(host: str) -> bool:
    return host.startswith("127.") or host in ("localhost", "::1")


def check_disk(settings: Settings) -> list[Finding]:
    """Is there room for what does not fit into memory while it is converted?"""
    name = "temporary disk"
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
        free = psutil.disk_usage(str(folder)).free
    except OSError as error:
        place = os.environ.get("TMPDIR") or "the temporary folder"
        hint = "free space there, or point TMPDIR at another disk"
        return [bad(name, f"{place} cannot be written: {error.strerror or error}", hint, ExitCode.UNAVAILABLE)]
    asked = os.environ.get("TMPDIR")
    if asked and Path(asked).resolve() != folder.resolve():
        return [warn(name, f"TMPDIR={asked} cannot be used, {folder} is", "make it writable, or unset it")]
    largest, flight = max(PRIOR_BYTES.values()), settings.whole("bytes_in_flight") * MIB
    needed = 2 * max(largest, flight)
    room = f"{format_bytes(free)} free in {folder}"
    if free < needed:
        what = f"{format_bytes(flight)} in flight, or one file of {format_bytes(largest)}, and as much Parquet"
        return [warn(name, f"{room}; at worst {format_bytes(needed)} are needed ({what})", "free space, or lower BYTES_IN_FLIGHT_MIB")]
    return [good(name, f"{room}, {format_bytes(needed)} at worst needed")]


def check_memory(settings: Settings) -> list[Finding]:
    """Does what the settings let into memory fit below the threshold?"""
    name = "memory"
    limit, percent = memory_limit(), settings.number("memory_threshold")
    threshold = int(limit * percent / 100)
    flight, spool = settings.whole("bytes_in_flight") * MIB, settings.whole("spool_memory") * MIB
    downloads = settings.whole("max_concurrent")
    worst = PROCESS_BYTES + min(flight, downloads * spool)
    facts = (
        f"{format_bytes(limit)}, nothing starts above {percent:g} % ({format_bytes(threshold)}); {downloads} downloads of up to "
        f"{format_bytes(spool)}, at most {format_bytes(flight)} in flight"
    )
    if percent > 95:
        return [warn(name, facts, "lower MEMORY_THRESHOLD: above 95 the kernel may end the worker first")]
    if limit < SMALL_LIMIT:
        return [warn(name, facts, f"give it {format_bytes(SMALL_LIMIT)} or more")]
    if worst > threshold:
        fitting = max(16, (threshold - PROCESS_BYTES) // MIB)
        return [warn(name, f"{facts}: more than the threshold, downloads will wait", f"set BYTES_IN_FLIGHT_MIB={fitting} or less")]
    return [good(name, facts)]


def check_processors(settings: Settings) -> list[Finding]:
    """Are there processors for the converters?"""
    name = "processors"
    have, converters = processors(), settings.whole("converters")
    facts = f"{have:g} for {converters} converter{'' if converters == 1 else 's'}"
    if converters > have:
        return [warn(name, f"{facts}: they will take turns", f"set CONVERTERS={max(1, int(have))}")]
    if converters * 2 < have:
        return [warn(name, f"{facts}: most of them will idle", f"set CONVERTERS={int(have)}, if memory allows")]
    return [good(name, facts)]


def processors() -> float:
    """How many processors this process may keep busy: those it may run on, less where a cgroup gives less time."""
    affinity = getattr(os, "sched_getaffinity", None)
    have = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return have
    return min(have, int(quota) / int(period)) if quota.isdigit() else have


def check_open_files(settings: Settings) -> list[Finding]:
    """May the process open as many connections and temporary files as its settings want?"""
    name = "open files"
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    downloads, uploads = settings.whole("max_concurrent"), settings.whole("max_uploads")
    files = downloads + uploads + 2 * settings.whole("converters")
    needed = downloads + uploads + files + SPARE_FILES
    facts = f"{'no limit' if allowed == resource.RLIM_INFINITY else allowed}; {downloads} downloads and {uploads} uploads need {needed}"
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        return [warn(name, facts, f"run: ulimit -n {needed}, or lower MAX_CONCURRENT")]
    return [good(name, facts)]


def check_versions() -> list[Finding]:
    """Are the libraries there, and do the two that hold native code load?"""
    name = "versions"
    found, missing = {}, []
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    told = ", ".join([f"Python {sys.version.split()[0]}", *(f"{package} {version}" for package, version in found.items())])
    if missing:
        return [bad(name, f"{', '.join(missing)} is not installed ({told})", "pip install tickdeck", ExitCode.CONFIGURATION)]
    try:
        import google_crc32c
        import pyarrow as pa

        from engine.conversion.plain_cells import is_built
    except ImportError as error:
        return [bad(name, f"{error.name or 'a library'} does not load: {error}", "install it again", ExitCode.CONFIGURATION)]
    if not pa.Codec.is_available("zstd"):
        return [bad(name, f"this pyarrow cannot write zstd ({told})", "install the wheel of pyarrow", ExitCode.CONFIGURATION)]
    if google_crc32c.implementation != "c":
        return [warn(name, f"{told}; checksums are computed in Python", "install a wheel of google-crc32c: uploads are slow without")]
    if not is_built():
        return [
            warn(name, f"{told}; no parser in C", "install a C compiler, then tickdeck again: conversions take half as long again without")
        ]
    return [good(name, told)]
