"""Where exceptions go that nobody foresaw: into the log with their traceback, into the metrics, to Sentry.

A *fault boundary* is a place from which such an exception doesn't spread. It tells :class:`OwnFaults`, answers whoever
waits there, and goes on. What is foreseen (a broker that is gone, a worker that dies) is no fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, TypeVar

import structlog
import trio

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.refusal import StartRefused

log = structlog.get_logger("reptarium.pool.ops.faults")

#: Seconds until a service that has failed is started anew: the first time, and at most.
PAUSE_FIRST, PAUSE_LAST = 0.5, 30.0

_T = TypeVar("_T")


class OwnFaults:
    """The faults of one runner."""

    def __init__(self, metrics: Metrics, reporter: Reporter) -> None:
        self._metrics = metrics
        self._reporter = reporter

    def met(self, error: BaseException, part: str, event: str, **fields: object) -> None:
        """An exception was contained in ``part`` (one of ``metrics.FAULT_PARTS``); ``event`` says what that ended.

        Never raises: who calls is in the middle of containing something, and another such fault would get past it.
        """
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # a group of one is a nursery's, or an ``except*``'s
        with suppress(Exception):
            self._metrics.fault(part)
        with suppress(Exception):
            log.error(event, part=part, exc_info=error, **fields)
        self._reporter.report(error, part=part)

    def contained(self, part: str, event: str, **fields: object) -> AbstractContextManager[None]:
        """What the block raises is met here and goes no further; see :meth:`met`. One may be gone through again."""
        return _Bounds(self, part, event, fields)

    async def keep(
        self,
        part: str,
        service: Callable[..., Awaitable[_T]],
        *args: object,
        task_status: trio.TaskStatus[Any] | None = None,
    ) -> _T:
        """Run a service to its end: anew, after a pause, when it fails.

        One that is started with ``task_status`` fails for good where it fails before it has started for the first time.
        """
        first = None if task_status is None else _FirstStart(task_status)
        given: dict[str, Any] = {} if first is None else {"task_status": first}
        pause = PAUSE_FIRST
        while True:
            begun = trio.current_time()
            try:
                return await service(*args, **given)
            except* Exception as group:
                if first is not None and not first.done:
                    raise
                if group.split(StartRefused)[1] is None:
                    reason = str(group.exceptions[0])
                    log.error("a part of the runner can't be started anew yet", part=part, reason=reason)
                else:
                    self.met(group, part, "a part of the runner has failed; starting it anew", pause_s=pause)
            if trio.current_time() - begun > PAUSE_LAST:
                pause = PAUSE_FIRST
            await trio.sleep(pause)
            pause = min(pause * 2, PAUSE_LAST)


class _Bounds:
    """A class, not a generator: each task goes through several."""

    __slots__ = ("_event", "_faults", "_fields", "_part")

    def __init__(self, faults: OwnFaults, part: str, event: str, fields: dict[str, object]) -> None:
        self._faults, self._part, self._event, self._fields = faults, part, event, fields

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._faults.met(error, self._part, self._event, **self._fields)
        return True


class _FirstStart:
    """A task status that tells the first start only."""

    def __init__(self, status: trio.TaskStatus[Any]) -> None:
        self.done = False
        self._status = status

    def started(self, value: Any = None) -> None:
        if not self.done:
            self.done = True
            self._status.started(value)
