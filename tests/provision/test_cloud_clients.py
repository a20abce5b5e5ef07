"""Clients: made in one place, late, and in a local profile only for this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from provision.clients import make_compute, make_logging, open_stores
from provision.profile import Endpoints
from tests.provision.made_up_fleet import local_profile

PROVISION = sorted(f"provision.{path.stem}" for path in (Path(__file__).parents[2] / "provision").glob("*.py") if path.stem != "__init__")


def test_importing_every_module_of_provision_imports_no_cloud_client() -> None:
    code = f"import sys, importlib\nfor name in {PROVISION!r}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.startswith(('google.cloud', 'google.auth', 'grpc'))])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_without_a_running_local_cloud_every_client_says_how_to_start_it() -> None:
    for make in (make_compute, make_logging, open_stores):
        with pytest.raises(ConfigurationError) as caught:
            make(local_profile())
        assert "tickdeck local up" in caught.value.hint


def test_a_compute_endpoint_elsewhere_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        make_compute(local_profile(endpoints=Endpoints(compute="http://compute.example.com")))


def test_local_clients_have_no_credentials_and_ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    clients = make_compute(local_profile(endpoints=Endpoints(compute="http://127.0.0.1:9")))
    transport = clients.instances.transport
    assert transport._session.trust_env is False
    assert type(transport._credentials).__name__ == "AnonymousCredentials"
    assert clients.instances is clients.instances
