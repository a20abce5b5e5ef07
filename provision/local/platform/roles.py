"""Roles and permissions that the platform server knows, by Google's names.

Written down apart from what the product asks for, on purpose: a list that both shared could not find a mistyped permission. A role
holds here what is of use around a fleet, not all that Google puts into it.
"""

from __future__ import annotations

_OBJECTS_READ = frozenset({"storage.objects.get", "storage.objects.list"})
_OBJECTS_USE = _OBJECTS_READ | {"storage.objects.create", "storage.objects.delete", "storage.objects.update", "storage.objects.restore"}
_BUCKETS = frozenset(
    {
        "storage.buckets.create",
        "storage.buckets.delete",
        "storage.buckets.get",
        "storage.buckets.getIamPolicy",
        "storage.buckets.list",
        "storage.buckets.setIamPolicy",
        "storage.buckets.update",
    }
)
_REGISTRY_READ = frozenset(
    {
        "artifactregistry.dockerimages.get",
        "artifactregistry.dockerimages.list",
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.get",
        "artifactregistry.repositories.list",
        "artifactregistry.tags.get",
        "artifactregistry.tags.list",
        "artifactregistry.versions.get",
        "artifactregistry.versions.list",
    }
)
_SECRETS_VIEW = frozenset(
    {
        "resourcemanager.projects.get",
        "secretmanager.secrets.get",
        "secretmanager.secrets.getIamPolicy",
        "secretmanager.secrets.list",
        "secretmanager.versions.get",
        "secretmanager.versions.list",
    }
)
_PLACE_KINDS = ("machineTypes", "regionOperations", "regions", "zoneOperations", "zones")
_PLACES = frozenset(f"compute.{kind}.{verb}" for kind in _PLACE_KINDS for verb in ("get", "list"))
_COMPUTE = _PLACES | {
    "compute.addresses.delete",
    "compute.addresses.get",
    "compute.addresses.list",
    "compute.addresses.setLabels",
    "compute.disks.create",
    "compute.disks.delete",
    "compute.disks.get",
    "compute.disks.list",
    "compute.disks.setLabels",
    "compute.disks.use",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.images.get",
    "compute.images.getFromFamily",
    "compute.images.useReadOnly",
    "compute.instances.get",
    "compute.instances.getGuestAttributes",
    "compute.instances.getSerialPortOutput",
    "compute.instances.list",
    "compute.instances.reset",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.instances.setTags",
    "compute.instances.start",
    "compute.instances.stop",
    "compute.projects.get",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
}
_LOGS_VIEW = frozenset({"logging.logEntries.list", "logging.logs.list", "resourcemanager.projects.get"})
_ACT_AS = frozenset({"iam.serviceAccounts.actAs", "iam.serviceAccounts.get", "iam.serviceAccounts.list", "resourcemanager.projects.get"})
_PROJECT = frozenset(
    {
        "cloudbuild.builds.create",
        "cloudbuild.builds.get",
        "iam.roles.get",
        "iam.serviceAccounts.getIamPolicy",
        "resourcemanager.projects.get",
        "resourcemanager.projects.getIamPolicy",
        "serviceusage.services.enable",
        "serviceusage.services.get",
        "serviceusage.services.list",
        "serviceusage.services.use",
    }
)

ROLES: dict[str, frozenset[str]] = {
    "roles/artifactregistry.reader": _REGISTRY_READ,
    "roles/compute.instanceAdmin.v1": _COMPUTE | {"resourcemanager.projects.get", "serviceusage.services.get"},
    "roles/compute.viewer": _PLACES | {"compute.instances.get", "compute.instances.list", "compute.projects.get"},
    "roles/iam.serviceAccountUser": _ACT_AS,
    "roles/logging.logWriter": frozenset({"logging.logEntries.create", "logging.logEntries.route"}),
    "roles/logging.viewer": _LOGS_VIEW,
    "roles/secretmanager.secretAccessor": frozenset({"resourcemanager.projects.get", "secretmanager.versions.access"}),
    "roles/secretmanager.viewer": _SECRETS_VIEW,
    "roles/serviceusage.serviceUsageViewer": frozenset({"serviceusage.services.get", "serviceusage.services.list"}),
    "roles/storage.admin": _BUCKETS | _OBJECTS_USE,
    "roles/storage.objectAdmin": _OBJECTS_USE | {"storage.objects.getIamPolicy", "storage.objects.setIamPolicy"},
    "roles/storage.objectCreator": frozenset({"storage.objects.create"}),
    "roles/storage.objectUser": _OBJECTS_USE,
    "roles/storage.objectViewer": _OBJECTS_READ,
}

KNOWN_PERMISSIONS: frozenset[str] = frozenset().union(
    _PROJECT,
    {"artifactregistry.repositories.getIamPolicy", "artifactregistry.repositories.uploadArtifacts", "artifactregistry.versions.delete"},
    {"logging.logEntries.create", "secretmanager.versions.access"},
    *ROLES.values(),
)

ROLES["roles/owner"] = KNOWN_PERMISSIONS
ROLES["roles/editor"] = KNOWN_PERMISSIONS - {"secretmanager.versions.access"}
