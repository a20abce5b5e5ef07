"""What Compute Engine accepts in a request: names, labels, scheduling, required fields. Nothing here knows any state.

A field that would change what a VM does, and that this server cannot do, is refused by name and never quietly ignored.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from datetime import datetime
from typing import Any

from provision.local.compute.errors import NAME_REGEX, bad_name, invalid, not_implemented, required
from provision.local.compute.inventory import MACHINE_TYPES, last_part

Json = dict[str, Any]

MAX_LABELS = 64
MAX_LABEL_LENGTH = 63
MAX_METADATA_VALUE_BYTES = 256 * 1024
MAX_METADATA_BYTES = 512 * 1024
SHORTEST_RUN_SECONDS, LONGEST_RUN_SECONDS = 30, 120 * 86400

_NAME = re.compile(NAME_REGEX)
_METADATA_KEY = re.compile("[a-zA-Z0-9-_]{1,128}")

UNSUPPORTED = (
    "sourceInstanceTemplate",
    "sourceMachineImage",
    "guestAccelerators",
    "resourcePolicies",
    "instanceEncryptionKey",
    "reservationAffinity",
    "advancedMachineFeatures",
    "confidentialInstanceConfig",
    "deletionProtection",
)
UNSUPPORTED_SCHEDULING = (
    "preemptionNoticeDuration",
    "onInstanceStopAction",
    "gracefulShutdown",
    "hostErrorTimeoutSeconds",
    "nodeAffinities",
    "skipGuestOsShutdown",
)


def check_name(name: Any, field: str = "resource.name") -> str:
    """The name of a VM, disk or address."""
    if name in (None, ""):
        raise required(field)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_name(field, str(name))
    return name


def check_request_id(request_id: str) -> None:
    """A request id is a UUID other than zero."""
    try:
        usable = uuid.UUID(request_id).int != 0
    except ValueError:
        usable = False
    if not usable:
        raise invalid("requestId", request_id, "Must be a valid UUID, and not the zero UUID.")


def _label_characters_ok(text: str) -> bool:
    return all(char in "_-" or unicodedata.category(char) in {"Ll", "Lo", "Nd", "Nl", "No"} for char in text)


def check_labels(labels: Any, field: str = "resource.labels") -> dict[str, str]:
    """Label keys and values, as every Google Cloud resource takes them."""
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise invalid(field, labels, "Must be a map of strings.")
    if len(labels) > MAX_LABELS:
        raise invalid(field, "", f"Resources can have at most {MAX_LABELS} labels; {len(labels)} given.")
    for key, value in labels.items():
        starts_well = key != "" and unicodedata.category(key[0]) in {"Ll", "Lo"}
        if not starts_well or len(key) > MAX_LABEL_LENGTH or not _label_characters_ok(key):
            raise invalid(
                field,
                "",
                f"Label key '{key}' violates format constraints. The key must start with a lowercase character, can only "
                "contain lowercase letters, numeric characters, underscores and dashes. The key can be at most 63 "
                "characters long. International characters are allowed.",
            )
        if not isinstance(value, str) or len(value) > MAX_LABEL_LENGTH or not _label_characters_ok(value):
            raise invalid(
                field,
                "",
                f"Label value '{value}' violates format constraints. The value can only contain lowercase letters, "
                "numeric characters, underscores and dashes. The value can be at most 63 characters long. International "
                "characters are allowed.",
            )
    return dict(labels)


def check_metadata(metadata: Any, field: str = "resource.metadata") -> list[dict[str, str]]:
    """Metadata items: legal keys, no key twice, bounded size."""
    items = (metadata or {}).get("items") or []
    seen: set[str] = set()
    total = 0
    for index, item in enumerate(items):
        key, value = str(item.get("key", "")), str(item.get("value", ""))
        if not _METADATA_KEY.fullmatch(key):
            raise invalid(f"{field}.items[{index}].key", key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'")
        if key in seen:
            raise invalid(f"{field}.items[{index}].key", key, "Metadata has duplicate key.")
        size = len(value.encode())
        if size > MAX_METADATA_VALUE_BYTES:
            raise invalid(f"{field}.items[{index}].value", f"{size} bytes", f"Must be at most {MAX_METADATA_VALUE_BYTES} bytes.")
        seen.add(key)
        total += size + len(key)
    if total > MAX_METADATA_BYTES:
        raise invalid(field, f"{total} bytes", f"Metadata must be at most {MAX_METADATA_BYTES} bytes in all.")
    return [{"key": str(item["key"]), "value": str(item.get("value", ""))} for item in items]


def check_scheduling(given: Any, prefix: str = "resource") -> Json:
    """A scheduling block with its defaults filled in, or the reason why the combination is impossible."""
    scheduling = dict(given or {})
    field = f"{prefix}.scheduling"
    for name in UNSUPPORTED_SCHEDULING:
        if scheduling.get(name):
            raise not_implemented(f"{field}.{name}")
    model = scheduling.get("provisioningModel") or ("SPOT" if scheduling.get("preemptible") else "STANDARD")
    if model not in {"SPOT", "STANDARD"}:
        if model in {"FLEX_START", "RESERVATION_BOUND"}:
            raise not_implemented(f"{field}.provisioningModel {model}")
        raise invalid(f"{field}.provisioningModel", model, "Must be one of SPOT, STANDARD.")
    spot = model == "SPOT"
    if spot and scheduling.get("automaticRestart"):
        why = "Scheduling must have preemptible be false when AutomaticRestart is true."
        raise invalid(f"{field}.preemptible", "true", why)
    if spot and scheduling.get("onHostMaintenance", "TERMINATE") != "TERMINATE":
        why = "Scheduling must have preemptible be false when OnHostMaintenance isn't TERMINATE."
        raise invalid(f"{field}.preemptible", "true", why)
    limited = bool(scheduling.get("maxRunDuration") or scheduling.get("terminationTime"))
    action = scheduling.get("instanceTerminationAction")
    if action not in {None, "STOP", "DELETE"}:
        raise invalid(f"{field}.instanceTerminationAction", action, "Must be one of DELETE, STOP.")
    if action and not spot and not limited:
        raise invalid(
            f"{field}.instanceTerminationAction",
            action,
            "You cannot specify a termination action for a VM instance that has the standard provisioning model (default). "
            "To use instance termination action, the VM instance must use the spot provisioning model.",
        )
    if limited and not action:
        raise required(f"{field}.instanceTerminationAction")
    if scheduling.get("maxRunDuration") and scheduling.get("terminationTime"):
        raise invalid(field, "", "maxRunDuration and terminationTime cannot both be specified.")
    if scheduling.get("terminationTime") and not _is_moment(scheduling["terminationTime"]):
        raise invalid(f"{field}.terminationTime", scheduling["terminationTime"], "Must be an RFC3339 time with an offset.")
    if scheduling.get("maxRunDuration"):
        seconds = int(scheduling["maxRunDuration"].get("seconds") or 0)
        if not SHORTEST_RUN_SECONDS <= seconds <= LONGEST_RUN_SECONDS:
            why = f"Must be between {SHORTEST_RUN_SECONDS} seconds and {LONGEST_RUN_SECONDS // 86400} days."
            raise invalid(f"{field}.maxRunDuration.seconds", seconds, why)
    return {
        **scheduling,
        "provisioningModel": model,
        "preemptible": spot,
        "automaticRestart": scheduling.get("automaticRestart", not spot),
        "onHostMaintenance": scheduling.get("onHostMaintenance") or ("TERMINATE" if spot else "MIGRATE"),
        **({"instanceTerminationAction": action or "STOP"} if spot or limited else {}),
    }


def _is_moment(text: object) -> bool:
    try:
        return datetime.fromisoformat(str(text)).tzinfo is not None
    except ValueError:
        return False


def check_machine_type(given: Any, zone: str, field: str = "resource.machineType") -> str:
    """The name of a machine type given as a name or as a link."""
    if not given:
        raise required(field)
    name = last_part(str(given))
    if name not in MACHINE_TYPES:
        raise invalid(field, given, f"Machine type with name '{name}' does not exist in zone '{zone}'.")
    return name


def check_properties(properties: Json, prefix: str = "resource") -> Json:
    """What instances.insert and both bulk inserts have in common, machine type and name apart.

    Returns:
        The properties with labels, metadata and scheduling as they will be shown.
    """
    for name in UNSUPPORTED:
        if properties.get(name):
            raise not_implemented(f"{prefix}.{name}")
    disks = properties.get("disks") or []
    if not disks:
        raise required(f"{prefix}.disks")
    if len(disks) > 1:
        raise not_implemented(f"more than a boot disk ({prefix}.disks[1])")
    if disks[0].get("source"):
        raise not_implemented(f"booting from an existing disk ({prefix}.disks[0].source)")
    if not disks[0].get("boot"):
        raise invalid(f"{prefix}.disks[0].boot", "false", "Boot disk must be the first disk attached to the instance.")
    parameters = disks[0].get("initializeParams") or {}
    if not parameters.get("sourceImage"):
        raise required(f"{prefix}.disks[0].initializeParams.sourceImage")
    check_labels(parameters.get("labels"), f"{prefix}.disks[0].initializeParams.labels")
    if not properties.get("networkInterfaces"):
        raise invalid(f"{prefix}.networkInterfaces", "", "At least one network interface is required.")
    return {
        **properties,
        "labels": check_labels(properties.get("labels"), f"{prefix}.labels"),
        "metadata": {"kind": "compute#metadata", "items": check_metadata(properties.get("metadata"), f"{prefix}.metadata")},
        "scheduling": check_scheduling(properties.get("scheduling"), prefix),
    }
