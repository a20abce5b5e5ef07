"""What a VM runs where a test plays the worker itself: it sleeps until SIGTERM, or ends at once if GUEST_EXIT says so."""

import os
import signal
import sys
import time


def stop(signum, frame):
    sys.exit(75)


signal.signal(signal.SIGTERM, stop)
print(f"guest of run {os.environ.get('TICKDECK_RUN')} is up", flush=True)
if os.environ.get("GUEST_EXIT"):
    sys.exit(int(os.environ["GUEST_EXIT"]))
while True:
    time.sleep(60)
