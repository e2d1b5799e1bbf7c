"""The second line behind the kernel's limits: memory, threads and processor time of running workers.

A task may overshoot its limit by what it can touch in :data:`INTERVAL` seconds (2-90 MB, measured): as soon as it
may be over it, it is looked at that often. That is sooner the nearer it is, and never sooner than at :data:`FASTEST`.
What a worker had before its task, shared pages among it, doesn't count: that is its baseline.

Read from ``/proc/<pid>/status`` directly, through a descriptor that is kept while the task runs: 15 µs a look. With 500
workers that is 5 % of the event loop where the limit is the default, and 15 % and more below 200 MB, where everybody is
looked at each time. psutil opens the file each time, reads it in pieces and parses all of it, and has no page tables:
half of the loop.
"""

from __future__ import annotations

import os

import trio

from reptarium.pool.endings import Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.workers.worker import Worker

INTERVAL = 0.05
#: Bytes a second that no worker grows faster (a processor that touches new memory: 1 to 3 GB/s, measured).
FASTEST = 4e9
#: The longest without any look, in seconds: threads can't be foretold. And between two at the processor time.
LONGEST, CPU_INTERVAL = 0.25, 1.0
#: Workers that are looked at between two looks at the event loop.
_SLICE = 25
#: Lines of ``/proc/<pid>/status`` that count: resident pages, page tables, what was swapped out (proc_pid_status(5)).
#: Not pages of files: those that a worker can only read it shares with all, its own count as its scratch. A name, which
#: stands above them, can't hold a line's end.
_COUNTED = (b"\nRssAnon:", b"\nRssShmem:", b"\nVmPTE:", b"\nVmSwap:")
_TICK = 1 / os.sysconf("SC_CLK_TCK")


def footprint(status: bytes) -> int:
    """Bytes that a process holds of the machine's memory, by its ``/proc/<pid>/status``."""
    return sum(_number(status, line) for line in _COUNTED) * 1024


def threads(status: bytes) -> int:
    """How many threads a process has, by its ``/proc/<pid>/status``."""
    return _number(status, b"\nThreads:")


def _number(status: bytes, line: bytes) -> int:
    """The number in that line; 0 without it."""
    at = status.find(line)
    return 0 if at < 0 else int(status[at + len(line) :].split(None, 1)[0])


def footprint_of(pid: int) -> int:
    """:func:`footprint` of a process. Raises OSError when it has gone."""
    return footprint(read_proc(pid, "status"))


def has_all_its_threads(pid: int, most: int) -> bool:
    """Whether a process has as many threads beside its first as it may have. No, when it has gone."""
    try:
        return threads(read_proc(pid, "status")) > most
    except OSError:
        return False


class _Watched:
    __slots__ = ("cpu_due", "due", "held", "status", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.held = 0
        self.due = self.cpu_due = 0.0
        self.status = -1


class Watchdog:
    """Kills workers that hold more than ``memory`` bytes (and a sixteenth) over what they were parked with, or have
    started more than so many threads; or whatever its own limits say (`Worker.limits`).
    """

    def __init__(self, memory: int, max_threads: int, metrics: Metrics, faults: OwnFaults | None = None) -> None:
        # RLIMIT_DATA comes first, and gives a MemoryError: page tables aren't in it, nor what a task is the first to
        # write to of what the interpreter had
        self._most = memory + memory // 16
        self._max_threads = max_threads
        self._metrics = metrics
        self._faults = faults or OwnFaults(metrics, Reporter())
        #: Not by process id: another worker may have a dead one's before its task has ended.
        self.watched: dict[Worker, _Watched] = {}
        self._some = trio.Event()

    def watch(self, worker: Worker | None) -> None:
        """The worker has a task now."""
        if worker is not None:
            self.watched[worker] = _Watched(worker)
            self._some.set()

    def unwatch(self, worker: Worker | None) -> None:
        """The task has ended."""
        if worker is not None and (entry := self.watched.pop(worker, None)) is not None and entry.status >= 0:
            os.close(entry.status)

    async def run(self) -> None:
        """Look at them until cancelled. A runner with no task isn't woken: there may be very many on one machine."""
        while True:
            if not self.watched:
                self._metrics.worker_memory(0)
                self._some = trio.Event()
                await self._some.wait()
            await trio.sleep(INTERVAL)
            now, looks, total = trio.current_time(), 0, 0
            for entry in [*self.watched.values()]:
                if entry.due <= now:
                    looks += 1
                    if not looks % _SLICE:
                        await trio.lowlevel.checkpoint()
                    if self.watched.get(entry.worker) is entry:  # still, after a turn of everybody else's
                        self._try(entry, now)
                total += entry.held
            self._metrics.worker_memory(total)

    def _try(self, entry: _Watched, now: float) -> None:
        """Look at one; whatever comes of it, the others are looked at too."""
        try:
            if not entry.worker.exited.is_set():  # else its process id may be another's
                self._look(entry, now)
                return
        except OSError:  # it has ended, or there is no descriptor to be had
            pass
        except Exception as error:
            entry.due = now + CPU_INTERVAL
            event = "a worker could not be watched through a fault of the runner"
            self._faults.met(error, "watchdog", event, worker=entry.worker.number)
        entry.held = 0

    def _look(self, entry: _Watched, now: float) -> None:
        worker = entry.worker
        if entry.status < 0:
            entry.status = os.open(f"/proc/{worker.pid}/status", os.O_RDONLY | os.O_CLOEXEC)
            entry.cpu_due = now + CPU_INTERVAL
        status = os.pread(entry.status, 8192, 0)
        entry.held = footprint(status)
        if worker.baseline < 0:
            worker.baseline = entry.held
        own = worker.limits
        most = self._most if own is None else own.memory + own.memory // 16
        left = most + worker.baseline - entry.held
        if left < 0:
            worker.kill(Ending.MEMORY)
        elif threads(status) > 1 + (self._max_threads if own is None else own.max_threads):
            worker.kill(Ending.THREADS)
        entry.due = now + min(max(INTERVAL / 2, left / FASTEST), LONGEST)
        if entry.cpu_due <= now:
            entry.cpu_due = now + CPU_INTERVAL
            used = _cpu_seconds(worker.pid)
            self._metrics.worker_cpu(used - worker.cpu)
            worker.cpu = used


def _cpu_seconds(pid: int) -> float:
    """Processor time so far, in user and kernel mode (proc_pid_stat(5)). Raises OSError."""
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()  # the name before it may hold anything
    return (int(fields[11]) + int(fields[12])) * _TICK


def read_proc(pid: int, file: str) -> bytes:
    """What ``/proc/<pid>/<file>`` says. Raises OSError when the process has gone."""
    fd = os.open(f"/proc/{pid}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 8192)
    finally:
        os.close(fd)
