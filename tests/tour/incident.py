"""The recording of a walk, thinned to what tests play: `python -m tests.tour.incident RECORDING`.

Kept are every eighth look at the fleet and the first answer to each other question, so that the file stays small.
"""

from __future__ import annotations

import sys
from pathlib import Path

from console.recording.frames import MAGIC, Frame, pack, read_recording

INCIDENT = Path(__file__).parents[1] / "console" / "incident.tickdeck"
EVERY = 8


def thin(recording: Path, target: Path = INCIDENT) -> int:
    """Write the thinned recording; returns its number of frames."""
    found = read_recording(recording)
    kept: list[Frame] = []
    answered: set[tuple[str, str, bytes]] = set()
    looks = 0
    for frame in found.frames:
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


if __name__ == "__main__":
    print(f"{thin(Path(sys.argv[1]))} frames in {INCIDENT}")
