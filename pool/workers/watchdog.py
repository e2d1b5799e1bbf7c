"""The second line behind ``RLIMIT_DATA``: resident memory and CPU time of running workers, by psutil.

Sampled every :data:`INTERVAL` seconds, so a task may overshoot its limit by what it can touch in
that time (2-90 MB, measured). Shared pages that a worker was forked with don't count: the first
sample is the baseline.
"""

from __future__ import annotations

import contextlib

import psutil
import trio

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.workers.worker import Worker

INTERVAL = 0.05


class _Watched:
    __slots__ = ("baseline", "peak", "process", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.process: psutil.Process | None = None
        self.baseline = 0
        self.peak = 0


class Watchdog:
    """Kills workers that hold more than ``memory`` bytes over what they were parked with."""

    def __init__(self, memory: int, metrics: Metrics) -> None:
        self._memory = memory
        self._metrics = metrics
        self.watched: dict[int, _Watched] = {}

    def watch(self, worker: Worker | None) -> None:
        """The worker has a task now."""
        if worker is not None:
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
            pid = entry.worker.host_pid()
            if pid <= 0:
                return 0
            entry.process = psutil.Process(pid)
            entry.baseline = entry.process.memory_info().rss
        resident = entry.process.memory_info().rss
        cpu = entry.process.cpu_times()
        used = cpu.user + cpu.system
        self._metrics.worker_cpu(used - entry.worker.cpu)
        entry.worker.cpu = used
        entry.peak = max(entry.peak, resident - entry.baseline)
        if resident - entry.baseline > self._memory and entry.worker.killed_for is None:
            entry.worker.kill("memory")
        return int(resident)
