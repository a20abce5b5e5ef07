"""Documents of the state bucket, read by many threads at once."""

from __future__ import annotations

import subprocess
import sys

FIRST_READS = """
from __future__ import annotations
import sys, threading
from typing import Annotated
import msgspec
from engine.documents import convert, json_decoder, packed_decoder
from engine.model import Outcome

def make_kind():
    class Part(msgspec.Struct, frozen=True):
        symbol: str
        outcome: Outcome
        rows: Annotated[int, msgspec.Meta(ge=0)] = 0
        flags: tuple[str, ...] = ()

    class Whole(msgspec.Struct, frozen=True):
        name: str
        parts: tuple[Part, ...]
        counts: dict[str, int]
        best: Part | None = None

    globals().update(Part=Part, Whole=Whole)
    return Whole

part = {"symbol": "BTCUSDT", "outcome": "ok", "rows": 3, "flags": ["a"]}
whole = {"name": "x", "parts": [part, part], "counts": {"ok": 2}, "best": part}
ways = [
    lambda kind: json_decoder(kind).decode(msgspec.json.encode(whole)),
    lambda kind: packed_decoder(kind).decode(msgspec.msgpack.encode(whole)),
    lambda kind: convert(whole, kind),
]
sys.setswitchinterval(1e-6)
read = []
for turn in range(200):
    kind, begin = make_kind(), threading.Barrier(8)

    def look(way):
        begin.wait()
        assert way(kind).best.rows == 3
        read.append(turn)

    threads = [threading.Thread(target=look, args=(ways[turn % 3 if number < 4 else number % 3],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(len(read))
"""


def test_threads_that_read_a_kind_of_document_for_the_first_time_at_once_all_read_it() -> None:
    """msgspec shows a type half worked out to other threads: reading by it ended the process by a signal."""
    done = subprocess.run([sys.executable, "-c", FIRST_READS], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(200 * 8)), done.stderr
