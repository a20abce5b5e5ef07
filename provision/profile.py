"""Profiles: which cloud, which project, which buckets, with what limits; and where each of these values came from.

Read from TOML at the XDG config place, environment variables over it, flags over those. The profile `local` needs nothing: the
running local cloud adds its endpoints. Only this module reads the configuration file.

    profile = "lake"                 # the one to use; --profile and TICKDECK_PROFILE win
    [profiles.lake]
    kind = "gcp"
    project = "my-project"
    data_bucket = "market-data-tick"
"""

from __future__ import annotations

import dataclasses
import difflib
import getpass
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.errors import ConfigurationError
from engine.loopback import require_loopback
from engine.settings import BUCKET_NAME_HINT, is_bucket_name
from provision.config_file import config_path
from provision.errors import WriteRefused

LOCAL = "local"
"""Name of the built-in profile."""

REAL_API = "https://api.tardis.dev/v1"
REAL_DATASETS = "https://datasets.tardis.dev/v1"
REAL_HOSTS = ("api.tardis.dev", "datasets.tardis.dev")
"""The only hosts beyond this machine that a local profile with the real source lets through."""

_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers of the local cloud listen. All empty: the real services."""

    storage: str = ""
    """Base URL."""
    compute: str = ""
    """Base URL."""
    logging: str = ""
    """`host:port`, gRPC."""
    bigquery: str = ""
    """Base URL."""
    platform: str = ""
    """Base URL of what answers for Resource Manager, IAM, Service Usage, Secret Manager and Artifact Registry."""
    tardis_api: str = ""
    """Base URL with the version, like https://api.tardis.dev/v1."""
    tardis_datasets: str = ""
    """Base URL with the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that decides where things run and what they may cost."""

    name: str
    kind: Literal["local", "gcp"]
    """`local`: the cloud on this machine. `gcp`: the real one."""
    project: str = ""
    region: str = "asia-northeast1"
    """VMs and buckets live here: moving results between regions costs more than spot prices differ."""
    zones: tuple[str, ...] = ()
    """Where VMs may run; empty: all zones of the region."""
    data_bucket: str = "market-data-tick"
    state_bucket: str = ""
    """Empty: the data bucket's name and `-state`."""
    machine_types: tuple[str, ...] = ("e2-highmem-8", "e2-standard-8")
    """Ranked: the first that a zone can give is taken."""
    provisioning_model: str = "SPOT"
    """`SPOT` or `STANDARD`."""
    on_demand_fallback: bool = False
    """Replace a VM that was lost `spot_attempts` times by one that cannot be preempted."""
    spot_attempts: int = 3
    """How often a shard gets a spot VM before `on_demand_fallback` decides, or it is given up."""
    max_attempts: int = 6
    """How many VMs a shard gets in all."""
    image: str = ""
    """The engine's container by digest, `HOST/PROJECT/REPO/engine@sha256:...`. A tag is refused: it may move."""
    boot_image: str = "projects/cos-cloud/global/images/family/cos-stable"
    """What VMs boot: Container-Optimized OS."""
    disk_gb: int = 100
    disk_type: str = "pd-standard"
    network: str = "global/networks/default"
    subnetwork: str = ""
    external_ip: bool = True
    """An ephemeral address for each VM. Without one, downloads need Cloud NAT, which costs about 20 times the VMs."""
    worker_service_account: str = ""
    """Email of the account that VMs run as; empty in the local profile only."""
    tardis_secret: str = ""
    """Secret Manager version with the source's key, `projects/P/secrets/S/versions/N`. VMs read it by themselves."""
    owner: str = ""
    """Who launches; empty: the name of the user. Becomes the label td-owner."""
    protected: bool = False
    """Starts read-only; writing has to be armed for a while."""
    read_only: bool = False
    """Never writes."""
    allowance_bytes_per_day: int = 0
    """What the source lets the account transfer in a UTC day; 0: not known."""
    api_keys: int = 1
    """How many keys of the source this profile's VMs share."""
    addresses_per_key: int = 0
    """How many addresses may use a key at a time; 0: not known. The vendor says one key, one address at a time."""
    max_vms: int = 100
    """Of one run."""
    max_cost: float = 0.0
    """US dollars that one run may cost: no VM is asked for that could pass it, and a run beyond it is drained; 0: no limit."""
    warn_cost_run: float = 0.0
    """US dollars; a plan that may cost more, and a run that did, say so; 0: never. Stops nothing."""
    warn_cost_day: float = 0.0
    """US dollars of all runs in a UTC day, the same way."""
    max_run_seconds: int = 86_400
    """After this many seconds a VM is deleted by the service, whatever it does."""
    notify: tuple[str, ...] = field(default=(), repr=False)
    """Addresses that are told of what happens (`provision.notify`). As good as keys: shown by their hosts only."""
    source: Literal["stand-in", "tardis"] = "tardis"
    """Where data comes from: the stand-in of the local cloud, or the real source."""
    endpoints: Endpoints = Endpoints()
    """Local profile only; filled in by the running local cloud."""
    theme: str = ""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Where each value came from: `default`, `file ...`, `environment NAME`, `flag` or `local cloud`."""

    @property
    def state(self) -> str:
        """The state bucket's name."""
        return self.state_bucket or f"{self.data_bucket}-state"

    @property
    def most_addresses(self) -> int:
        """From how many addresses VMs may download at a time; 0: not known, or of no matter here.

        It matters where each VM has an address of its own and the source is the real one.
        """
        counts = self.kind == "gcp" and self.external_ip
        return self.api_keys * self.addresses_per_key if counts else 0

    @property
    def address_warning(self) -> str:
        """What is not known of addresses and keys, where it matters for more than one VM; "" else."""
        if self.kind != "gcp" or self.most_addresses:
            return ""
        keys = f"{self.api_keys} API key{'' if self.api_keys == 1 else 's'}"
        if not self.external_ip:
            return f"VMs have no addresses of their own: how many the NAT uses for {keys} is not known here"
        return f"each VM downloads from an address of its own: how many of them {keys} may have is not known (addresses_per_key)"

    @property
    def most_vms(self) -> int:
        """How many VMs a run may have: `max_vms`, or fewer where the keys allow fewer addresses."""
        return min(self.max_vms, self.most_addresses or self.max_vms)

    @property
    def tardis_api(self) -> str:
        """Base URL of the source's API."""
        return REAL_API if self.source == "tardis" else self.endpoints.tardis_api

    @property
    def tardis_datasets(self) -> str:
        """Base URL of the source's files."""
        return REAL_DATASETS if self.source == "tardis" else self.endpoints.tardis_datasets


_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gcp": {},
    "local": {
        "project": "local",
        "zones": ("asia-northeast1-a", "asia-northeast1-b", "asia-northeast1-c"),
        "machine_types": ("local-1",),
        "image": "tickdeck-engine",
        "max_vms": 20,
        "max_run_seconds": 14_400,
        "disk_gb": 10,
        "source": "stand-in",
    },
}
"""What differs from the defaults of the fields."""

_FIELDS = {item.name: item for item in dataclasses.fields(Profile) if item.name not in ("name", "endpoints", "origins")}
_ENDPOINTS = tuple(item.name for item in dataclasses.fields(Endpoints))
_TOP_LEVEL = ("profile", "theme", "profiles", "keys", "commands")
SECRET_FIELDS = frozenset({"notify"})
"""Never shown as they are."""
_CHOICES = {"kind": ("local", "gcp"), "source": ("stand-in", "tardis"), "provisioning_model": ("SPOT", "STANDARD")}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration file as read, before any profile is made of it."""

    path: Path
    active: str = LOCAL
    theme: str = ""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Of the console, as written."""
    commands: tuple[Any, ...] = ()
    """A person's own, as written."""


def load_profiles(environment: Mapping[str, str] | None = None) -> Configuration:
    """Read the configuration file. Without one there is the profile `local`.

    Raises:
        ConfigurationError: if it is no TOML, has an unknown key (naming the nearest), or TICKDECK_CONFIG names no file.
    """
    environment = os.environ if environment is None else environment
    path = config_path(environment)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if environment.get("TICKDECK_CONFIG"):
            raise ConfigurationError(f"TICKDECK_CONFIG={path} does not exist", hint="write it, or unset TICKDECK_CONFIG") from None
        document = {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="it is to be a file that this user may read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", hint="mend that line") from error
    _require_known(document, _TOP_LEVEL, str(path))
    profiles = document.get("profiles", {})
    for name, table in profiles.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: profiles.{name} is not a table", hint=f"write [profiles.{name}]")
        _require_known(table, (*_FIELDS, "endpoints"), f"{path}, profile {name}")
        _require_known(table.get("endpoints", {}), _ENDPOINTS, f"{path}, endpoints of profile {name}")
    keys, commands = document.get("keys", {}), document.get("commands", [])
    if not isinstance(keys, dict):
        raise ConfigurationError(f"{path}: keys is not a table", hint='write [keys], then launch = "L"')
    if not isinstance(commands, list):
        raise ConfigurationError(f"{path}: commands is no list of tables", hint="write [[commands]]")
    return Configuration(path, str(document.get("profile", LOCAL)), str(document.get("theme", "")), profiles, keys, tuple(commands))


def resolve_profile(
    name: str | None = None, flags: Mapping[str, object] | None = None, *, environment: Mapping[str, str] | None = None
) -> Profile:
    """Make the profile to work with.

    Args:
        name: by default TICKDECK_PROFILE, else the file's `profile`, else `local`.
        flags: by field name; None values count as not given.
        environment: by default the process's. `TICKDECK_<FIELD>` sets a field, `TICKDECK_<NAME>_ENDPOINT` an endpoint.

    Raises:
        ConfigurationError: for an unknown profile or a value that cannot be; for a gcp profile while an emulator is set in the
            environment; for a local one with an endpoint that is not on this machine.
    """
    environment = os.environ if environment is None else environment
    configuration = load_profiles(environment)
    name = name or environment.get("TICKDECK_PROFILE") or configuration.active
    table = configuration.profiles.get(name)
    if table is None and name != LOCAL:
        _refuse_name(name, configuration)
    table = table or {}
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    _require_known(given, (*_FIELDS, *(f"{key}_endpoint" for key in _ENDPOINTS)), "flags")
    default_kind = LOCAL if name == LOCAL else "gcp"
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (f"file {configuration.path}", {key: value for key, value in table.items() if key != "endpoints"}),
        *((f"environment {_variable(key)}", {key: text}) for key in _FIELDS if (text := environment.get(_variable(key)))),
        ("flag", {key: value for key, value in given.items() if key in _FIELDS}),
    ]
    if configuration.theme:
        layers.insert(0, (f"file {configuration.path}", {"theme": configuration.theme}))
    kind = str(_last(layers, "kind") or default_kind)
    if kind not in _DEFAULTS:
        raise ConfigurationError(f"profile {name}: kind {kind!r}", hint="local or gcp")
    values: dict[str, Any] = {"kind": kind, **_DEFAULTS[kind]}
    origins = dict.fromkeys(_FIELDS, "default")
    for origin, layer in layers:
        for key, value in layer.items():
            values[key] = _convert(key, value, f"profile {name}, {origin}")
            origins[key] = origin
    values["endpoints"] = _endpoints(name, table, environment, given, configuration.path, origins)
    if not values.get("owner"):
        values["owner"] = _user()
    return _checked(Profile(name=name, origins=origins, **values), environment)


def with_endpoints(profile: Profile, endpoints: Endpoints) -> Profile:
    """The local profile, pointed at a running local cloud. An endpoint that was configured by hand stays.

    Raises:
        ConfigurationError: for a gcp profile, or an endpoint that is not on this machine.
    """
    if profile.kind != LOCAL:
        raise ConfigurationError(f"profile {profile.name} is a gcp profile: it has no endpoints", hint="use the profile local")
    merged = {key: getattr(profile.endpoints, key) or getattr(endpoints, key) for key in _ENDPOINTS}
    origins = dict(profile.origins)
    for key in _ENDPOINTS:
        if not getattr(profile.endpoints, key) and merged[key]:
            origins[f"endpoints.{key}"] = "local cloud"
    return _checked(dataclasses.replace(profile, endpoints=Endpoints(**merged), origins=origins), {})


def require_writable(profile: Profile, *, armed: bool = False) -> None:
    """Raise unless this profile may change things now.

    Args:
        armed: whether a person has armed a protected profile.

    Raises:
        WriteRefused: naming the profile.
    """
    if profile.read_only:
        raise WriteRefused(f"profile {profile.name} is read-only", hint="use another profile, or set read_only = false")
    if profile.protected and not armed:
        raise WriteRefused(f"profile {profile.name} is protected", hint="arm it for a while: `:write 15m`, or --armed")


def _checked(profile: Profile, environment: Mapping[str, str]) -> Profile:
    for key, bucket in (("data_bucket", profile.data_bucket), ("state_bucket", profile.state)):
        if not is_bucket_name(bucket):
            raise ConfigurationError(f"profile {profile.name}: {key} = {bucket!r} is no bucket name", hint=BUCKET_NAME_HINT)
    if profile.data_bucket == profile.state:
        raise ConfigurationError(f"profile {profile.name}: data and state are both in {profile.state}", hint="set state_bucket to another")
    if profile.kind == LOCAL:
        for key in _ENDPOINTS:
            endpoint = getattr(profile.endpoints, key)
            if endpoint:
                require_loopback(endpoint)
        return profile
    emulators = sorted(key for key, value in environment.items() if key.endswith("_EMULATOR_HOST") and value)
    if emulators:
        raise ConfigurationError(
            f"profile {profile.name} is the real cloud, but {', '.join(emulators)} is set",
            hint=f"unset {emulators[0]}, or use the profile local",
        )
    set_endpoints = [key for key in _ENDPOINTS if getattr(profile.endpoints, key)]
    if set_endpoints:
        raise ConfigurationError(f"profile {profile.name} is the real cloud: it has no endpoint {set_endpoints[0]}")
    if profile.source != "tardis":
        raise ConfigurationError(f"profile {profile.name} is the real cloud: the stand-in cannot be its source")
    if not profile.project:
        raise ConfigurationError(f"profile {profile.name} has no project", hint="set project in the profile, or TICKDECK_PROJECT")
    strays = [zone for zone in profile.zones if not zone.startswith(f"{profile.region}-")]
    if strays:
        raise ConfigurationError(f"profile {profile.name}: zone {strays[0]} is not in region {profile.region}")
    return profile


def require_image(profile: Profile) -> str:
    """The image that VMs run.

    Raises:
        ConfigurationError: if a gcp profile names none, or names one by tag.
    """
    if profile.kind == "gcp" and not _DIGEST.fullmatch(profile.image):
        raise ConfigurationError(
            f"image {profile.image or '(none)'} of profile {profile.name} is not named by its digest",
            hint="write HOST/PROJECT/REPO/engine@sha256:..., as docker push prints it",
        )
    return profile.image


def _endpoints(
    name: str,
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    path: Path,
    origins: dict[str, str],
) -> Endpoints:
    values = {}
    for key in _ENDPOINTS:
        variable = f"TICKDECK_{key.upper()}_ENDPOINT"
        candidates = (
            ("flag", flags.get(f"{key}_endpoint")),
            (f"environment {variable}", environment.get(variable)),
            (f"file {path}", table.get("endpoints", {}).get(key)),
        )
        origin, value = next(((origin, value) for origin, value in candidates if value), ("default", ""))
        if not isinstance(value, str):
            raise ConfigurationError(f"profile {name}: endpoint {key} is {value!r}", hint="an address such as 127.0.0.1:9199")
        values[key], origins[f"endpoints.{key}"] = value, origin
    return Endpoints(**values)


def _variable(key: str) -> str:
    return f"TICKDECK_{key.upper()}"


def _last(layers: list[tuple[str, Mapping[str, Any]]], key: str) -> object:
    return next((layer[key] for _, layer in reversed(layers) if key in layer), None)


def _convert(key: str, value: object, where: str) -> Any:
    """A value of the type of its field; texts (environment, flags) are read as TOML users would write them."""
    kind = str(_FIELDS[key].type)
    if key in _CHOICES and value not in _CHOICES[key]:
        raise ConfigurationError(f"{where}: {key} = {value!r}", hint=" or ".join(_CHOICES[key]))
    if kind == "int":
        if isinstance(value, str) and re.fullmatch(r"\d[\d_]*", value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise ConfigurationError(f"{where}: {key} = {value!r}", hint="a whole number, at least 0")
    if kind == "float":
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except ValueError:
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
        raise ConfigurationError(f"{where}: {key} = {value!r}", hint="a number, at least 0")
    if kind == "bool":
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if isinstance(value, bool):
            return value
        raise ConfigurationError(f"{where}: {key} = {value!r}", hint="true or false")
    if kind.startswith("tuple"):
        parts = value.split(",") if isinstance(value, str) else value
        if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
            return tuple(part.strip() for part in parts if part.strip())
        raise ConfigurationError(f"{where}: {key} = {'(hidden)' if key in SECRET_FIELDS else repr(value)}", hint="a list of names")
    if isinstance(value, str):
        return value
    raise ConfigurationError(f"{where}: {key} = {value!r}", hint="a text")


def _require_known(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"{where}: there is no setting {key!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}",
            )


def _refuse_name(name: str, configuration: Configuration) -> None:
    known = sorted({LOCAL, *configuration.profiles})
    near = difflib.get_close_matches(name, known, n=1)
    raise ConfigurationError(
        f"there is no profile {name!r} in {configuration.path}",
        hint=f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return "unknown"
