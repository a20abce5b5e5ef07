"""The metadata server of a VM, as guests and Google's own auth library use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import aiohttp
import pytest
from aiohttp import web
from google.cloud import compute_v1

from engine.instance import Instance
from provision.local.serving import listen

PROJECT, ZONE = "tickdeck-test", "asia-northeast1-a"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Metadata:
    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"

    def ask(self, path: str, headers: dict[str, str] | None = None):
        given = {"Metadata-Flavor": "Google"} if headers is None else headers
        request = urllib.request.Request(f"http://{self.host}/{path}", headers=given)
        with OPENER.open(request, timeout=15) as response:
            return response.read().decode(), response.headers

    def text(self, path: str) -> str:
        return self.ask(f"computeMetadata/v1/{path}")[0]


@pytest.fixture
def metadata(compute):
    compute.insert(
        scheduling=compute_v1.Scheduling(provisioning_model="SPOT"),
        tags=compute_v1.Tags(items=["worker"]),
        service_accounts=[compute_v1.ServiceAccount(email="worker@p.iam.gserviceaccount.com", scopes=["https://scope/cloud"])],
    )
    return Metadata(compute.vms()["vm-1"]["metadata_port"])


def test_it_says_who_the_vm_is(compute, metadata):
    number = metadata.text("project/numeric-project-id")
    answers = {
        "instance/name": "vm-1",
        "instance/id": str(compute.get().id),
        "instance/zone": f"projects/{number}/zones/asia-northeast1-a",
        "instance/machine-type": f"projects/{number}/machineTypes/e2-small",
        "instance/hostname": "vm-1.asia-northeast1-a.c.tickdeck-test.internal",
        "instance/preempted": "FALSE",
        "instance/maintenance-event": "NONE",
        "instance/tags": '["worker"]',
        "instance/scheduling/preemptible": "TRUE",
        "instance/scheduling/automatic-restart": "FALSE",
        "instance/scheduling/on-host-maintenance": "TERMINATE",
        "instance/attributes/": "tickdeck-env\n",
        "instance/attributes/tickdeck-env": "GUEST=wait\n",
        "instance/network-interfaces/0/ip": "127.0.0.1",
        "instance/service-accounts/": "default/\nworker@p.iam.gserviceaccount.com/\n",
        "instance/service-accounts/default/email": "worker@p.iam.gserviceaccount.com",
        "instance/service-accounts/default/scopes": "https://scope/cloud\n",
        "project/project-id": "tickdeck-test",
    }
    assert {path: metadata.text(path) for path in answers} == answers


def test_recursive_answers_are_json_in_camel_case_and_hold_no_token(metadata):
    answer = json.loads(metadata.text("?recursive=true&alt=json"))
    instance = answer["instance"]
    assert instance["machineType"].endswith("e2-small")
    assert instance["networkInterfaces"][0]["ip"] == "127.0.0.1"
    assert instance["attributes"] == {"tickdeck-env": "GUEST=wait\n"}
    assert answer["project"]["projectId"] == "tickdeck-test"
    assert "token" not in json.dumps(answer)


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "Google", "X-Forwarded-For": "10.0.0.1"}])
def test_whoever_does_not_ask_as_a_guest_is_refused(metadata, headers):
    with pytest.raises(urllib.error.HTTPError) as refused:
        metadata.ask("computeMetadata/v1/instance/name", headers)
    assert refused.value.code == 403
    with refused.value as answer:
        assert b"Missing Metadata-Flavor:Google header." in answer.read()


def test_an_unknown_path_is_not_found(metadata):
    with pytest.raises(urllib.error.HTTPError) as missing:
        metadata.text("instance/attributes/no-such-key")
    assert missing.value.code == 404
    with missing.value as answer:
        assert answer.headers["Metadata-Flavor"] == "Google"


def test_a_waiter_is_woken_by_a_change_of_what_it_asked_for(compute, metadata):
    _, headers = metadata.ask("computeMetadata/v1/instance/attributes/?recursive=true")
    etag = headers["ETag"]
    path = f"instance/attributes/?recursive=true&wait_for_change=true&last_etag={etag}"
    seen: list[str] = []
    waiter = threading.Thread(target=lambda: seen.append(metadata.text(path)))
    waiter.start()
    new = compute_v1.Metadata(items=[compute_v1.Items(key="td-drain", value="1")], fingerprint=compute.get().metadata.fingerprint)
    compute.instances.set_metadata_unary(project=PROJECT, zone=ZONE, instance="vm-1", metadata_resource=new)
    waiter.join(15)
    assert [json.loads(answer) for answer in seen] == [{"td-drain": "1"}]
    assert json.loads(metadata.text(path)) == {"td-drain": "1"}


def test_a_wait_with_a_limit_ends_with_the_value_unchanged(metadata):
    assert metadata.text("instance/preempted?wait_for_change=true&timeout_sec=0") == "FALSE"


@pytest.mark.parametrize("question", [1, 2, 3], ids=["before the first question", "behind the first", "behind a wait that ended"])
def test_the_engine_hears_of_a_preemption_that_falls_between_two_questions(compute, question, monkeypatch):
    """Whoever asks is stopped in front of the server until the VM is being preempted, so nothing changes while a question hangs."""
    monkeypatch.setattr("engine.instance.WAIT_SECONDS", 0)
    monkeypatch.setattr("engine.instance.PAUSE_SECONDS", 0.0)
    compute.insert(guest="stubborn", scheduling=compute_v1.Scheduling(provisioning_model="SPOT"))
    compute.wait_for_serial("guest up")
    metadata = Metadata(compute.vms()["vm-1"]["metadata_port"])
    asked: list[dict[str, str]] = []

    async def pass_on(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        if len(asked) == question:
            await asyncio.to_thread(compute.control, "preempt", {"vm": "vm-1", "grace_seconds": 30})
        # After the notice the server would hang for ever over a question that waits for the next change.
        query = request.query_string if len(asked) < question else request.query_string.replace("timeout_sec=0", "timeout_sec=600")
        text, headers = await asyncio.to_thread(metadata.ask, f"{request.path.lstrip('/')}?{query}")
        return web.Response(text=text, headers={"ETag": headers["ETag"]})

    async def hear() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", pass_on)
        runner, port = await listen(app, 0)
        try:
            async with aiohttp.ClientSession() as session:
                await asyncio.wait_for(Instance(session, f"127.0.0.1:{port}").wait_for_preemption(), 15)
        finally:
            await runner.cleanup()

    try:
        asyncio.run(hear())
    finally:
        os.kill(compute.vms()["vm-1"]["pid"], signal.SIGKILL)
    assert len(asked) == question
    assert asked[0] == {}
    assert all(query["last_etag"] for query in asked[1:])


ASK_AS_GUEST = """
import google.auth, google.auth.transport.requests
request = google.auth.transport.requests.Request()
credentials, project = google.auth.default()
credentials.refresh(request)
print(type(credentials).__module__, project, credentials.service_account_email, credentials.token)
"""


def test_googles_auth_library_gets_its_credentials_from_it(metadata):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "GCE_METADATA_HOST": metadata.host,
        "GCE_METADATA_IP": metadata.host,
    }
    argv = [sys.executable, "-c", ASK_AS_GUEST]
    answer = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=30)
    module, project, email, token = answer.stdout.split()
    assert (module, project) == ("google.auth.compute_engine.credentials", "tickdeck-test")
    assert email == "worker@p.iam.gserviceaccount.com"
    assert "local" in token
