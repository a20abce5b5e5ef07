"""A console that dies by SIGKILL at its n-th change to the cloud: before it is sent, or after it was done and before anybody heard.

Reads one JSON document from stdin: profile, plan, and cases; each case is a child process of its own. Prints how each of them ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

from engine.clock import utc_now
from engine.plan import load_plan
from engine.storage_service import open_storage
from engine.store import Store
from provision.canary import advance
from provision.clients import ComputeClients
from provision.fleet import observe
from provision.launch import launch, preview
from provision.profile import Endpoints
from provision.resources import region_zones
from provision.runs import RunReader
from tests.provision.made_up_fleet import local_profile


def die_at(number: int, when: str) -> None:
    """Make this process end at its n-th request that changes anything."""
    seen = 0
    send = HTTPConnectionPool.urlopen  # under the official clients, and under requests of our own

    def counted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        nonlocal seen
        if method == "GET":
            return send(self, method, *arguments, **options)
        seen += 1
        if seen == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, method, *arguments, **options)
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    HTTPConnectionPool.urlopen = counted  # type: ignore[assignment,method-assign]


def act(document: dict[str, Any], case: dict[str, Any]) -> None:
    """What the console was doing."""
    endpoints = Endpoints(storage=document["storage"], compute=document["compute"])
    profile = local_profile(project=document["project"], data_bucket=document["bucket"], endpoints=endpoints)
    state = Store(open_storage(project=profile.project, endpoint=profile.endpoints.storage), profile.state)
    clients = ComputeClients(profile)
    if case["verb"] == "launch":
        plan = load_plan(state, document["plan"])
        zones = region_zones(clients)
        intent = preview(profile, plan, 2, run=case["run"], now=utc_now(), shards=[0, 1], region_zones=zones)
        die_at(case["number"], case["when"])
        launch(profile, clients, state, intent)
        return
    snapshot = observe(profile, clients, RunReader(state), run=case["run"])
    view = next(view for view in snapshot.runs if view.run == case["run"])
    die_at(case["number"], case["when"])
    advance(profile, clients, state, snapshot, view)


def main() -> None:
    document = json.load(sys.stdin)
    ends = []
    for case in document["cases"]:
        child = os.fork()
        if child == 0:
            act(document, case)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
