"""The recorded incident that tests play, made anew: `python -m tests.tour.incident` walks the tour once and thins what was recorded.

Kept are every fifth look at the fleet and each other answer once, so that the file stays small.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

import msgspec

from console.recording.frames import MAGIC, Frame, pack, read_recording
from provision.local import cloud as local_cloud
from tests.tour.walk import walk

INCIDENT = Path(__file__).parents[1] / "console" / "incident.tickdeck"
SIZE = (120, 40)
EVERY = 5


def thin(recording: Path, target: Path = INCIDENT) -> int:
    """Write the thinned recording; returns its number of frames."""
    found = read_recording(recording)
    kept: list[Frame] = []
    answered: set[tuple[str, str, bytes]] = set()
    looks = 0
    for frame in map(_anywhere, found.frames):
        if frame.call == "watching.fleet":
            looks += 1
            if looks % EVERY == 1:
                kept.append(frame)
            continue
        question = (frame.call, frame.key, bytes(frame.answer))
        if question not in answered:
            answered.add(question)
            kept.append(frame)
    target.write_bytes(MAGIC + pack(found.header) + b"".join(pack(frame) for frame in kept))
    return len(kept)


def _anywhere(frame: Frame) -> Frame:
    """Nothing of this machine: its name and the folder of the program are replaced by others of the same length."""
    name, folder = socket.gethostname(), str(Path(__file__).parents[2])
    other = ("desk-" * len(name))[: len(name)]
    answer = bytes(frame.answer)
    for before, after in (
        (f"@{name}".encode(), f"@{other}".encode()),
        (b"\xa4host" + msgspec.msgpack.encode(name), b"\xa4host" + msgspec.msgpack.encode(other)),
        (folder.encode(), ("/opt/" + "tickdeck-" * len(folder)).encode()[: len(folder)]),
    ):
        answer = answer.replace(before, after)
    return msgspec.structs.replace(frame, answer=msgspec.Raw(answer))


def main() -> int:
    """Walk, with the recorder on."""
    with tempfile.TemporaryDirectory(prefix="tickdeck-tour-", ignore_cleanup_errors=True) as place:
        os.environ["TICKDECK_LOCAL_DIR"] = str(Path(place, "local"))
        os.environ["LOGNAME"] = "maria"
        recording = Path(place, "recording")
        try:
            walk(SIZE, Path(place, "pictures"), recording)
        finally:
            local_cloud.down(local_cloud.demo_root())
        print(f"{thin(recording)} frames in {INCIDENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
