"""Memory of a process and all its children while it runs: the sum of their proportional set sizes, watched from outside; and their CPU.

Separate because several benchmarks ask for it, and because it must not cost the watched process anything.
"""

from __future__ import annotations

import subprocess
import threading
from types import TracebackType

import psutil

SECONDS = 0.25
"""Between two looks. One holds up the process that is looked at while it asks for memory: at 0.05 s a conversion took a tenth more CPU."""


class PeakMemory:
    """`with PeakMemory(process) as peak: process.wait()`, then `peak.mb`.

    Pages that processes share are counted once (PSS); where the system does not know it, what is a process's own (USS).
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._root = psutil.Process(process.pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            self.mb = max(self.mb, sum(_share(each) for each in family) / 1e6)


def family_cpu() -> float:
    """CPU seconds of this process and of its children that run, now."""
    own = psutil.Process()
    return float(sum(sum(each.cpu_times()[:2]) for each in (own, *own.children(recursive=True))))


def _share(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except (psutil.Error, OSError):
        return 0  # ended meanwhile
    return int(getattr(memory, "pss", 0) or memory.uss)
