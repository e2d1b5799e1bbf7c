"""One task from its accepted offer to its outcome.

An :class:`Execution` leases a worker while the settings are still on their way (with a policy: once they tell its
rule), gives it the task, forwards what it prints, answers what it asks, and ends in exactly one outcome. Whatever
ends it early (time limit, cancel, memory, a broken protocol, a dead zygote, shutdown) takes
the same way: the worker is killed and one error is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import structlog
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.protocol.messages import (
    PIECE,
    UNREADABLE,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
    is_json_value,
    judging_json,
)
from reptarium.pool.tasks import failures
from reptarium.pool.tasks.callbacks import Callbacks, OnCall
from reptarium.pool.tasks.console import LOOK, PrintsOf
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.tasks.report import Report
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.tasks.rulings import Ruling
from reptarium.pool.tasks.states import EXECUTION_TRANSITIONS, ExecutionEvent, ExecutionState
from reptarium.pool.turns import in_turns
from reptarium.pool.workers.pools import Lender
from reptarium.pool.workers.reuse import Code, Reuse, code_of
from reptarium.pool.workers.waiting import NoWorker
from reptarium.pool.workers.watchdog import has_all_its_threads
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

log = structlog.get_logger("reptarium.pool.tasks.execution")

#: Failures and calls are small; a worker that says more is not honest. In bytes: the texts of an honest failure have
#: 48 Ki characters in all, of up to six bytes each.
MAX_FAILURE = 384 * 1024
#: JSON and framing around a result.
_OVERHEAD = 64 * 1024
#: How long the zygote may take to say how a worker ended, in seconds.
STATUS_WAIT = 0.5
#: Workers that die between two tasks are replaced; this many in a row is a fault to report.
ATTEMPTS = 3


class _Failed(Exception):
    def __init__(self, ending: Ending, error: TaskErrorData, reason: str = "") -> None:
        super().__init__(error.message)
        self.ending, self.error, self.reason = ending, error, reason


class Execution:
    """One accepted task. :meth:`run` is its whole life; :meth:`start` and :meth:`kill` act on it."""

    def __init__(
        self,
        task_id: str,
        pool: Lender,
        router: RpcRouter,
        limits: Limits,
        ruling_of: Callable[[TaskSettings], Ruling] | None = None,
        reuse: Reuse | None = None,
        broker: str = "",
    ) -> None:
        """``reuse``: where workers rest that may serve the same code again; ``broker``: whose task it is."""
        self.task_id = task_id
        self.settings: TaskSettings | None = None
        self.worker: Worker | None = None
        self.report = Report(ending=Ending.CANCELLED, duration=0.0)
        self._pool = pool
        self._router = router
        self._limits = limits
        self._ruling_of = ruling_of
        self._reuse, self._broker = reuse, broker
        self._code: Code | None = None  # what a worker of its may serve again
        self.ruling: Ruling | None = None
        self._scope = trio.CancelScope()
        self._settings_came = trio.Event()
        self._killed_for: str | None = None
        self._killed_by = Ending.CANCELLED
        self.state: ExecutionState = "waiting"
        self._again = False  # the worker says that it could run its code again
        self._imported = b""
        self._prints: PrintsOf | None = None
        self._callbacks: Callbacks | None = None
        self.accepted, self.started = time.perf_counter(), 0.0
        self.on_dispatch: Callable[[Execution], None] | None = None
        self.on_call: OnCall | None = None

    def start(self, settings: TaskSettings) -> None:
        """The settings have come."""
        self._happened("settings")
        self.started = time.perf_counter()
        self.settings = settings
        self.report.bytes_in = sum(
            len(memoryview(raw)) for raw in (settings.items, settings.query) if isinstance(raw, msgspec.Raw)
        ) + len(settings.code)
        self._settings_came.set()

    def _happened(self, event: ExecutionEvent) -> None:
        self.state = EXECUTION_TRANSITIONS[self.state][event]

    @property
    def waited(self) -> float:
        """Seconds from the accepted offer to the settings."""
        return self.started - self.accepted

    def kill(self, reason: str, by: Ending = Ending.CANCELLED) -> None:
        """Kill the worker at once; :meth:`run` returns an error that gives ``reason``."""
        self._happened("killed")
        if self._killed_for is None:
            self._killed_for, self._killed_by = reason, by
        if self.worker is not None:
            self.worker.kill(self._killed_by)
        self._scope.cancel()

    def abandon(self) -> None:
        """The task has gone before it had settings: give the worker back."""
        self._happened("abandoned")
        self._scope.cancel()

    async def run(self) -> TaskDoneData | TaskErrorData | None:
        """The outcome, or None when the task was abandoned before it had settings."""
        outcome: TaskDoneData | TaskErrorData | None = None
        try:
            with self._scope:
                outcome = await self._run()
            if outcome is None and self.state in ("starting", "running"):
                unanswered = None if self._callbacks is None else self._callbacks.waiting
                crowded = self.worker is not None and has_all_its_threads(self.worker.pid, self._limits.max_threads)
                told = failures.out_of_time(self._limits, unanswered, crowded=crowded)
                outcome = self._failure(Ending.TIMEOUT, told)
            await self._take_rest()
        except Exception:
            self.report.ending, self.report.reason = Ending.FAULT, "a fault of the runner: see its log"
            raise
        except trio.Cancelled:  # what it came through ends
            self.report.ending = self._killed_by if self._killed_for is not None else Ending.SHUTDOWN
            self.report.reason = self._killed_for or "the connection to its broker was ended"
            raise
        finally:
            abandoned = self.state == "abandoned"
            self.report.duration = time.perf_counter() - self.started if self.started else 0.0
            try:
                self._happened("outcome")
                self._router.close_task(self.task_id)
            finally:  # whatever comes: nobody else would let go of it
                self._let_go()
        if outcome is None:
            if abandoned:
                return None
            outcome = TaskErrorData(message=self._killed_for or "Task was cancelled")
            self.report.ending, self.report.reason = self._killed_by, outcome.message
        return outcome

    async def _take_rest(self) -> None:
        """What the task had printed when it was ended: nobody hears it when n8n has forgotten the task."""
        ending = self.report.ending if self._killed_for is None else self._killed_by
        if self._prints is None or self.worker is None or ending in _NOT_HEARD:
            return
        if self._killed_for is not None or ending is Ending.TIMEOUT:
            self.worker.kill(ending)
        await self._prints.take_rest(self.worker)

    def _let_go(self) -> None:
        if self.worker is None:
            return
        if self.settings is None and self._killed_for is None:
            self._pool.give_back(self.worker)
            return
        if self._code is not None and self._again and self.report.ending is Ending.DONE and self._reuse is not None:
            self.report.used = self._reuse.rest(self._code, self.ruling, self._pool, self.worker)
        if self.report.used is None:
            self._pool.discard(self.worker, self.report.ending)

    async def _come_under_its_rule(self) -> None:
        """Which pool its worker comes out of depends on what the settings say, so they are waited for first."""
        if self._ruling_of is None and self._reuse is None:
            return
        await self._settings_came.wait()
        assert self.settings is not None
        if self._ruling_of is not None:
            self.ruling = ruling = self._ruling_of(self.settings)
            self._pool, self._limits = ruling.lender, ruling.limits
        if self._reuse is not None and (code := code_of(self.settings, self._broker, self.ruling)) is not None:
            self._code, self.worker = code, self._reuse.take(code)
            self.report.reused = self.worker is not None

    async def _run(self) -> TaskDoneData | TaskErrorData:
        await self._come_under_its_rule()
        await trio.lowlevel.checkpoint_if_cancelled()  # nobody wants one that is killed already to begin
        none, late = "", False
        self.worker = self.worker or self._pool.lease_nowait()
        if self.worker is None:
            with trio.move_on_after(self._limits.timeout) as waiting:
                try:
                    self.worker = await self._pool.lease()
                except NoWorker as error:
                    none = str(error)
            late = waiting.cancelled_caught
        if self.settings is None:
            await self._settings_came.wait()
        if none:
            return self._failure(Ending.CRASH, failures.no_workers(none), f"no worker can be started: {none}")
        if late:
            return self._failure(Ending.TIMEOUT, failures.no_worker(self._limits))
        self._router.open_task(self.task_id)
        self._scope.deadline = trio.current_time() + self._limits.timeout
        try:
            return await self._listen(await self._dispatch())
        except _Failed as failed:
            return self._failure(failed.ending, failed.error, failed.reason)
        except NoWorker as error:
            return self._failure(Ending.CRASH, failures.no_workers(str(error)), f"no worker can be started: {error}")

    def _failure(self, ending: Ending, error: TaskErrorData, reason: str = "") -> TaskDoneData | TaskErrorData:
        """The outcome of a task that has failed: where it is to go on, the error is its result.

        ``reason``: what is logged of it; by default the message, which is for ends whose words are ours alone.
        """
        self.report.ending, self.report.reason = ending, reason or error.message
        if self.settings is not None and self.settings.continue_on_fail:
            told = error if self.ruling is None else self.ruling.explain(error)
            result = msgspec.json.encode([{"json": {"error": told.message}}])
            return TaskDoneData(msgspec.Raw(result))
        return error

    async def _dispatch(self) -> Worker:
        """Give the task to a worker, and let go of what it was given."""
        settings = self.settings
        assert settings is not None
        if (no_text := failures.no_text(settings.code)) is not None:
            raise _Failed(Ending.ERROR, no_text)
        items = memoryview(settings.items)
        query = memoryview(b"" if settings.query is msgspec.UNSET else settings.query)
        head = wire.TaskHead(
            code=settings.code,
            per_item=settings.node_mode == "runOnceForEachItem",
            items_size=len(items),
            query_size=len(query),
            terms=None if self.ruling is None else self.ruling.told,
        )
        for attempt in range(1, ATTEMPTS + 1):
            if self.worker is None:
                self.worker = await self._pool.lease()
            self.report.worker = self.worker.number
            self.worker.limits = None if self.ruling is None else self.ruling.held
            try:
                await self.worker.send(Kind.TASK, *wire.with_head(head, items, query))
                break
            except WorkerGone:
                if self.worker.killed_for not in (None, Ending.ZYGOTE) or attempt == ATTEMPTS:
                    raise _Failed(*await self._death(self.worker)) from None
                # it died before it had the whole task: nothing of that has run, so another may have it
                self._pool.discard(self.worker, Ending.CRASH)
                self.worker, self.report.reused = None, False
        assert self.worker is not None
        self.settings = msgspec.structs.replace(settings, code="", items=_SENT, query=msgspec.UNSET)
        self._happened("dispatched")
        self.report.dispatch = time.perf_counter() - self.started
        if self.on_dispatch is not None:
            self.on_dispatch(self)
        return self.worker

    async def _listen(self, worker: Worker) -> TaskDoneData:
        self._prints = prints = PrintsOf(self.task_id, self._router, self._limits.max_console, self.on_call)
        limits = {
            Kind.CONSOLE: prints.longest,
            Kind.RESULT: min(self._limits.max_result, self._limits.memory) + _OVERHEAD,
            Kind.FAILED: MAX_FAILURE,
            Kind.RPC: min(self._limits.calls.max_bytes, self._limits.memory) + _OVERHEAD,
        }
        self._callbacks = callbacks = Callbacks(self.task_id, self._router, self._limits.calls, self.on_call)
        while True:
            try:
                if prints.awaited and not await worker.speaks(LOOK):
                    await prints.look(worker)
                    continue
                kind, payload = await worker.receive(limits)
                if kind is Kind.CONSOLE:
                    await prints.take(worker, payload)
                elif kind is Kind.RPC:
                    await worker.send(Kind.RPC_ANSWER, *await self._answer(callbacks, worker, payload))
            except WorkerGone:
                await prints.take_rest(worker)
                raise _Failed(*await self._death(worker)) from None
            except wire.FrameTooLarge as error:
                raise self._too_large(error) from None
            except wire.ProtocolViolation as error:
                raise self._violation(str(error)) from None
            if kind is Kind.RESULT:
                done = await self._done(payload)
                worker.imported = self._imported
                return done
            if kind is Kind.FAILED:
                raise self._failed(payload)
            del payload  # not kept until the next one comes

    async def _answer(
        self, callbacks: Callbacks, worker: Worker, payload: bytes | bytearray
    ) -> list[bytes | memoryview]:
        """The answer to a call; a worker that dies meanwhile ends the wait. Raises WorkerGone."""
        parts: list[bytes | memoryview] | None = None
        violation = ""  # not the exception: a frame and an exception that was raised in it hold each other

        async def watch(scope: trio.CancelScope) -> None:
            await worker.exited.wait()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            try:
                parts = await callbacks.answer(payload)
            except wire.ProtocolViolation as error:  # a nursery would wrap it into a group
                violation = str(error)
            nursery.cancel_scope.cancel()
        if violation:
            raise wire.ProtocolViolation(violation)
        if parts is None:
            raise WorkerGone
        return parts

    async def _done(self, payload: bytes | bytearray) -> TaskDoneData:
        try:
            raw, body = wire.split_head(payload, wire.MAX_HEAD)
            head = _result_decoder.decode(raw)
            static = len(body) - head.static_data_size
            custom = static - head.custom_data_size
            if head.static_data_size < 0 or head.custom_data_size < 0 or custom < 0:
                raise wire.ProtocolViolation("result sizes that don't add up")
        except (wire.ProtocolViolation, *UNREADABLE) as error:
            raise self._violation(str(error)) from None
        pieces = [body[:custom], body[custom:static], body[static:]]
        for piece in pieces[:1] + [piece for piece in pieces[1:] if len(piece)]:
            if not (is_json_value(piece) if len(piece) <= PIECE else await in_turns(judging_json(piece))):
                raise self._violation("a result that is not one well-formed JSON value")
        self._again, self._imported = head.again, bytes(head.imported)
        self.report.ending, self.report.bytes_out = Ending.DONE, len(pieces[0])
        result, custom_data, static_data = (msgspec.Raw(piece) for piece in pieces)
        return TaskDoneData(
            result,
            custom_data if len(pieces[1]) else msgspec.UNSET,
            static_data if len(pieces[2]) else msgspec.UNSET,
        )

    def _failed(self, payload: bytes | bytearray) -> _Failed:
        try:
            failure = _failure_decoder.decode(payload)
        except UNREADABLE as error:
            return self._violation(f"a failure report that cannot be read: {error}")
        ending = {"memory": Ending.MEMORY, "policy": Ending.REFUSED}.get(failure.kind, Ending.ERROR)
        return _Failed(ending, failures.user_error(failure), failures.REASONS[failure.kind])

    def _violation(self, what: str) -> _Failed:
        log.warning("a worker broke the protocol", task=self.task_id, what=what)
        return _Failed(Ending.VIOLATION, failures.broken_protocol(what), f"the worker broke its protocol: {what}")

    def _too_large(self, error: wire.FrameTooLarge) -> _Failed:
        if error.kind is not Kind.RESULT:
            return self._violation(str(error))
        return _Failed(Ending.ERROR, failures.result_too_large(error.size, self._limits))

    async def _death(self, worker: Worker) -> tuple[Ending, TaskErrorData]:
        """Why a worker has ended that had the task, in words for the task's owner."""
        if worker.killed_for in failures.OVER_A_LIMIT:
            return worker.killed_for, failures.OVER_A_LIMIT[worker.killed_for](self._limits)
        worker.close_socket()
        with trio.move_on_after(STATUS_WAIT):
            await worker.exited.wait()
        if worker.killed_for is Ending.ZYGOTE:
            return Ending.ZYGOTE, failures.zygote_lost()
        if self._killed_for is not None:
            return self._killed_by, TaskErrorData(message=self._killed_for)
        if worker.status is None and not worker.exited.is_set():
            worker.kill(Ending.VIOLATION)  # it closed its socket and lives on
            return Ending.VIOLATION, failures.closed_socket()
        return Ending.CRASH, failures.died(worker, self._limits)


_SENT = msgspec.Raw(b"[]")
#: Endings after which nothing is looked for that the task has printed: all of it has come, or it is nobody's any more.
_NOT_HEARD = frozenset({Ending.DONE, Ending.VIOLATION, Ending.CANCELLED, Ending.DISCONNECTED})
_result_decoder = msgspec.json.Decoder(wire.ResultHead)
_failure_decoder = msgspec.json.Decoder(wire.Failure)
