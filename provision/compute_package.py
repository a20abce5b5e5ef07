"""The package `google.cloud.compute_v1` without the services that nobody here asks for.

It imports the clients of all of its hundred services as soon as one is wanted, which is half of the seconds before a verb that looks
at VMs can say anything. Here the same package finds a name when it is asked for: a client in its service, a message in `types`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from types import ModuleType
from typing import Any

from engine.collector import collector_held

NAME = "google.cloud.compute_v1"

_lock = threading.Lock()


def load_compute() -> Any:
    """The package. Whoever imports it by name afterwards gets the same one; whoever did so before has made it whole already.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    with _lock:
        if (there := sys.modules.get(NAME)) is not None:
            return there
        spec = importlib.util.find_spec(NAME)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)
        package = importlib.util.module_from_spec(spec)  # with its path, so that its parts are found; its own code does not run
        package.__dict__["__getattr__"] = lambda name: _find(package, name)
        sys.modules[NAME] = package
        parent, _, own = NAME.rpartition(".")
        setattr(sys.modules[parent], own, package)
        return package


def _find(package: ModuleType, name: str) -> Any:
    """A client or a message by its name.

    Raises:
        AttributeError: if there is none; a part of the package with that name is then imported by whoever wants it.
    """
    if not name[:1].isupper():
        raise AttributeError(f"module {NAME!r} has no attribute {name!r}", name=name, obj=package)
    part = f"services.{_snake(name.removesuffix('Client'))}" if name.endswith("Client") else "types"
    try:
        with collector_held():
            found = getattr(importlib.import_module(f"{NAME}.{part}"), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(NAME):
            raise  # something it needs is not installed, and whoever is told must hear what
        raise AttributeError(f"module {NAME!r} has no attribute {name!r}", name=name, obj=package) from error
    setattr(package, name, found)
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
