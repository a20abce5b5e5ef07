"""The user-data of a VM: Container-Optimized OS runs the engine's image once by digest, then powers off.

The text is made of two files beside this module (`cloud_init.yaml`, `worker.sh`), so that each can be read and checked as what it
is. Its hash goes into the launch record: what was approved is what runs.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from importlib.resources import files

from engine.errors import ConfigurationError
from engine.model import require_aware

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_SECRET = re.compile(r"projects/[a-z0-9:._-]+/secrets/[A-Za-z0-9_-]+/versions/([0-9]+|latest)")
_REGISTRY_HOSTS = (".pkg.dev", "gcr.io")


def render_user_data(image: str, *, secret: str = "", keep_until: datetime | None = None) -> str:
    """The cloud-init document that runs `image`.

    Names reach a unit file, so only the characters of such names are let through.

    Args:
        image: by digest on the real cloud.
        secret: name of the Secret Manager version that holds the source's key, which the VM reads by itself; "" for none.
        keep_until: aware; how long the VM stays, however its worker ends. None: it is powered off when the worker ends.

    Raises:
        ConfigurationError: if `image` is no image name, or `secret` no version of a secret.
    """
    if secret and not _SECRET.fullmatch(secret):
        raise ConfigurationError(f"{secret!r} is not a version of a secret", hint="projects/P/secrets/S/versions/N")
    if not _IMAGE.fullmatch(image):
        raise ConfigurationError(f"{image!r} is not the name of an image", hint="HOST/PROJECT/REPO/engine@sha256:...")
    worker = (files("provision") / "worker.sh").read_text(encoding="utf-8")
    document = (files("provision") / "cloud_init.yaml").read_text(encoding="utf-8")
    indented = "\n".join(f"    {line}" if line else "" for line in worker.splitlines())
    keep = str(int(require_aware(keep_until).timestamp())) if keep_until else ""
    values = {"@WORKER@": indented, "@IMAGE@": image, "@REGISTRY@": registry_of(image), "@SECRET@": secret, "@KEEP@": keep}
    for placeholder, value in values.items():
        document = document.replace(placeholder, value)
    return document


def registry_of(image: str) -> str:
    """The host that the image's credentials are for, or "" if it is not one of Google's."""
    host = image.split("/", 1)[0] if "/" in image else ""
    return host if host.endswith(_REGISTRY_HOSTS) else ""


def hash_user_data(text: str) -> str:
    """16 hex digits that stand for a user-data document."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
