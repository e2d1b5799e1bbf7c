"""The second line behind the kernel's limits: memory, threads and CPU time of running workers.

Sampled every :data:`INTERVAL` seconds, so a task may overshoot its limit by what it can touch in
that time (2-90 MB, measured). What a worker had before its task, shared pages among it, doesn't count: that
is the baseline, taken when the task starts.
"""

from __future__ import annotations

import contextlib
import os

import psutil
import trio

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.workers.worker import Worker

INTERVAL = 0.05
#: Lines of ``/proc/<pid>/status`` that count: resident pages, page tables, what was swapped out (proc_pid_status(5)).
#: Not pages of files: a worker can only read those, and shares them with all.
_COUNTED = (b"RssAnon:", b"RssShmem:", b"VmPTE:", b"VmSwap:")


def footprint(status: bytes) -> int:
    """Bytes that a process holds of the machine's memory, by its ``/proc/<pid>/status``."""
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(_COUNTED))


def threads(status: bytes) -> int:
    """How many threads a process has, by its ``/proc/<pid>/status``."""
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(b"Threads:")), 0)


def _status(pid: int) -> bytes:
    """Raises OSError when the process has gone."""
    fd = os.open(f"/proc/{pid}/status", os.O_RDONLY)
    try:
        return os.read(fd, 8192)
    finally:
        os.close(fd)


class _Watched:
    __slots__ = ("baseline", "peak", "pid", "process", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.pid = worker.pid
        self.process: psutil.Process | None = None
        self.baseline = footprint(_status(self.pid))
        self.peak = 0


class Watchdog:
    """Kills workers that hold more than ``memory`` bytes (and a sixteenth) over what they were parked with, or have
    started more than so many threads.
    """

    def __init__(self, memory: int, max_threads: int, metrics: Metrics) -> None:
        # RLIMIT_DATA comes first, and gives a MemoryError: page tables aren't in it, nor what a task is the first to
        # write to of what the interpreter had
        self._most = memory + memory // 16
        self._max_threads = max_threads
        self._metrics = metrics
        self.watched: dict[int, _Watched] = {}

    def watch(self, worker: Worker | None) -> None:
        """The worker has a task now."""
        if worker is not None:
            with contextlib.suppress(OSError):  # dead already
                self.watched[worker.pid] = _Watched(worker)

    def unwatch(self, worker: Worker | None) -> int:
        """The task has ended. Returns its peak of resident memory over the baseline (bytes; 0: not seen)."""
        if worker is None:
            return 0
        entry = self.watched.pop(worker.pid, None)
        return 0 if entry is None else entry.peak

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await trio.sleep(INTERVAL)
            total = 0
            for entry in list(self.watched.values()):
                with contextlib.suppress(psutil.Error, OSError):
                    total += self._sample(entry)
            self._metrics.worker_memory(total)

    def _sample(self, entry: _Watched) -> int:
        if entry.process is None:
            entry.process = psutil.Process(entry.pid)
        cpu = entry.process.cpu_times()
        used = cpu.user + cpu.system
        self._metrics.worker_cpu(used - entry.worker.cpu)
        entry.worker.cpu = used
        status = _status(entry.pid)
        held = footprint(status)
        entry.peak = max(entry.peak, held - entry.baseline)
        if held - entry.baseline > self._most:
            entry.worker.kill("memory")
        elif threads(status) > 1 + self._max_threads:
            entry.worker.kill("threads")
        return held
