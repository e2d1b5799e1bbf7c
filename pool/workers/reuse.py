"""Workers that have ended a task well and wait for the same code: ``REPTARIUM_WORKER_REUSE``.

Theory of operation. A worker is single-use unless the administrator says otherwise. Where it may serve again it does so
for the same broker, workflow, node, code and rule, and for nothing else (:class:`Code`): what one task has left in it
the next one of the same node may find, and nobody else. With a result the worker says whether it would (a hint), and
the supervisor looks for itself: nothing has come behind the result, it has one thread, it has grown by less than
:data:`GROWTH`, and of the processor time that the kernel gives a process in its life it has used next to nothing. It
rests then (:meth:`Reuse.rest`) until a task has it (:meth:`Reuse.take`), it has rested for ``idle`` seconds, or more
than ``most`` others rest. A cancel, a time limit and a kill end it as any other, and so does a failure.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

import trio

from reptarium.pool.endings import Ending
from reptarium.pool.ops.reuse_metrics import ReuseMetrics
from reptarium.pool.protocol.messages import TaskSettings
from reptarium.pool.workers.pools import Lender
from reptarium.pool.workers.watchdog import footprint, read_proc, threads
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire

__all__ = ["GROWTH", "Code", "Reuse", "code_of"]

#: Bytes that a worker may have grown by since it was forked, and seconds of processor time that it may have used: the
#: five that the kernel gives it beyond twice the time limit (``configuration.py``).
GROWTH, CPU = 32 << 20, 5.0
#: Seconds between two looks for those that have rested long enough.
LOOK = 1.0


class Code(NamedTuple):
    """What a task must have in common with one before for a worker to serve both. ``rule``: the object itself."""

    broker: str
    workflow: str
    node: str
    code: str
    rule: int


def code_of(task: TaskSettings, broker: str, rule: object) -> Code | None:
    """What a task must share with one before; None where it doesn't say whose it is."""
    if not task.workflow_id or not task.node_id:
        return None
    return Code(broker, task.workflow_id, task.node_id, task.code, id(rule))


class _Resting(NamedTuple):
    worker: Worker
    lender: Lender
    since: float
    rule: object
    """Kept, so that no other has its identity."""


class Reuse:
    """Those that rest. ``tasks``: how many a worker serves at most; ``idle``: seconds; ``most``: how many may rest."""

    def __init__(self, *, tasks: int, idle: float, most: int, meter: ReuseMetrics) -> None:
        self._tasks = tasks
        self._idle = idle
        self._most = most
        self._meter = meter
        self._resting: OrderedDict[int, tuple[Code, _Resting]] = OrderedDict()  # by worker's number, longest first
        self._of: dict[Code, list[int]] = {}

    def __len__(self) -> int:
        return len(self._resting)

    def take(self, code: Code) -> Worker | None:
        """A worker that has run this before, or None. The last to have done so, which is warmest."""
        while numbers := self._of.get(code):
            entry = self._forget(numbers[-1])
            if entry.lender.take_again(entry.worker):
                if entry.worker.quiet:
                    self._meter.asked(hit=True)
                    return entry.worker
                entry.lender.discard(entry.worker, Ending.VIOLATION)
        self._meter.asked(hit=False)
        return None

    def rest(self, code: Code, rule: object, lender: Lender, worker: Worker) -> wire.Exited | None:
        """Keep a worker whose task has ended well: what that has used. None: it isn't kept, and still the caller's."""
        worker.tasks += 1
        if worker.tasks >= self._tasks or not worker.quiet or (used := self._used(worker)) is None:
            return None
        lender.keep(worker)
        self._resting[worker.number] = code, _Resting(worker, lender, trio.current_time(), rule)
        self._of.setdefault(code, []).append(worker.number)
        if len(self._resting) > self._most:
            self._drop(next(iter(self._resting)))
        self._meter.resting(len(self._resting))
        return used

    def _used(self, worker: Worker) -> wire.Exited | None:
        """What its last task used, in the words of one that has ended; None where it isn't fit for another."""
        try:
            status = read_proc(worker.pid, "status")
            cpu = time.clock_gettime(_clock_of(worker.pid))
        except OSError:  # it has gone
            return None
        held = footprint(status)
        if threads(status) != 1 or held - max(worker.baseline, 0) > GROWTH or cpu > CPU:
            return None
        last, worker.cpu_before = cpu - worker.cpu_before, cpu
        return wire.Exited(worker.pid, 0, last, held)

    async def run(self) -> None:
        """End those that have rested long enough, until cancelled."""
        while True:
            await trio.sleep(LOOK)
            long_ago = trio.current_time() - self._idle
            while self._resting and next(iter(self._resting.values()))[1].since <= long_ago:
                self._drop(next(iter(self._resting)))
            for number in [one for one, (_, entry) in self._resting.items() if entry.worker.state != "resting"]:
                self._forget(number)  # it has died, or its zygote was replaced
            self._meter.resting(len(self._resting))

    def _drop(self, number: int) -> None:
        entry = self._forget(number)
        if entry.lender.take_again(entry.worker):
            entry.lender.discard(entry.worker, Ending.SURPLUS)

    def _forget(self, number: int) -> _Resting:
        code, entry = self._resting.pop(number)
        numbers = self._of[code]
        numbers.remove(number)
        if not numbers:
            del self._of[code]
        return entry


def _clock_of(pid: int) -> int:
    """The clock of a process's processor time, that of all its threads (clock_getcpuclockid(3))."""
    return ~pid << 3 | 2
