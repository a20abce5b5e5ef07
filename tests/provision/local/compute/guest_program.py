"""What a VM runs in these tests. GUEST, from the metadata item `tickdeck-env`, says how it behaves."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

mode, _, argument = os.environ.get("GUEST", "wait").partition(" ")


def stop(signum, frame):
    print(f"guest got {signal.Signals(signum).name}", flush=True)
    sys.exit(75)


def ask_preempted(query=""):
    """What the metadata server says, and the ETag of what it said."""
    url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/preempted{query}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return answer.read().decode(), answer.headers["ETag"]


signal.signal(signal.SIGTERM, signal.SIG_IGN if mode in ("stubborn", "flag") else stop)
# Before it says that it is up: whatever changes from now on is another value than this one.
seen = ask_preempted()[1] if mode == "flag" else ""
print(f"guest up in {mode}", flush=True)
if mode == "exit":
    sys.exit(int(argument))
if mode == "env":
    print(json.dumps(dict(os.environ)), flush=True)
    print(f"cwd {Path.cwd()}", flush=True)
    sys.exit(0)
if mode == "flood":
    for number in range(int(argument)):
        sys.stdout.write(f"{number:015d}\n")
    sys.exit(0)
if mode == "child":
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    print(f"child {child.pid}", flush=True)
    if argument == "orphan":
        os._exit(9)
if mode == "flag":
    value, _ = ask_preempted(f"?wait_for_change=true&last_etag={seen}")
    print("guest read preempted", value, flush=True)
    sys.exit(75)
while True:
    time.sleep(60)
