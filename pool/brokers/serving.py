"""One connection to a broker, as long as it lasts, and the tasks that come through it.

The session says what to do (``protocol/session.py``); this carries it out: messages go to the
connection, accepted tasks become executions in the connection's nursery, answers go to the call
router. When the connection is lost, its tasks are killed: the broker has already failed them.

**Two fault boundaries.** A fault in one task fails that task. One in anything else here (what reads, keeps time,
pings; the session, the router) ends the connection, and whoever called from outside never sees it: every task is killed
and answered with an error as far as the connection still carries that, and the link connects anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial

import structlog
import trio

from reptarium.pool.brokers import task
from reptarium.pool.brokers.capacity import Holder
from reptarium.pool.brokers.connection import Connection
from reptarium.pool.brokers.errors import FAULT, LinkError, first
from reptarium.pool.brokers.reading import Reading
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerMessage,
    BrokerRpcResponse,
    BrokerRunnerRegistered,
    Malformed,
    RunnerMessage,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    Unknown,
)
from reptarium.pool.protocol.session import (
    AT_CAPACITY,
    OFFER_EXPIRED,
    Abandon,
    Action,
    Deliver,
    Drained,
    Kill,
    Lapsed,
    LogLine,
    Reserve,
    RunnerSession,
    SendMessage,
    Start,
    cancelled,
    verdict,
)
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.router import RpcRouter

log = structlog.get_logger("reptarium.pool.brokers.serving")

#: How long a broker whose address is gone may take to read the last results, and how long one may take to be told that
#: its tasks have failed through a fault of ours, in seconds.
LEAVING, LAST_WORDS = 10.0, 2.0
#: How long a broker may take to register a runner that has connected, in seconds. n8n does it at once.
REGISTRATION = 15.0
_FAULT = ENDINGS[Ending.FAULT].told


class Serving:
    """What one connection carries: a session, its tasks, their calls.

    ``holder``: whose slots the tasks take. ``tasks``: the nursery that they run in.
    """

    def __init__(self, shared: Shared, uri: str, holder: Holder, connection: Connection, tasks: trio.Nursery) -> None:
        self.session = RunnerSession(
            name=shared.settings.runner_name,
            capacity=shared.slots.capacity.free,
            settings_timeout=shared.settings.settings_timeout,
            rng=shared.rng,
        )
        self.connection = connection
        self._shared = shared
        self._uri = uri
        self._holder = holder
        self._metrics = shared.metrics
        self._capacity = shared.slots.capacity
        connection.outbox.on_relief = self._tick  # offers that were held back
        self._router = RpcRouter(connection.send)
        connection.leave_out(self._router.unheard)
        self._executions: dict[str, Execution] = {}
        self._tasks = tasks
        self._scope = trio.CancelScope()
        self._end: LinkError | None = None
        self._faulty = False
        self._last = False

    # ---- what the link asks: nothing here raises --------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether the broker may send tasks."""
        return self.session.state == "registered" and not self._faulty

    @property
    def busy(self) -> bool:
        """Whether a task has come and not ended, or has ended and its outcome is not written yet."""
        return bool(self._executions) or self.session.accepted > 0 or self.connection.outbox.owes

    @property
    def reads(self) -> bool:
        """Whether the broker reads what it is told."""
        return not self.connection.outbox.slow

    def set_capacity(self, capacity: int, now: float) -> None:
        """Take and offer that many tasks from now on: no other broker has a part in the slots."""
        self._ask(lambda: self.session.set_capacity(capacity, now))

    def offer(self, now: float) -> None:
        """Offer one more task."""
        self._ask(lambda: self.session.offer(now))

    def withdraw(self, now: float) -> None:
        """Offer nothing any more."""
        self._ask(lambda: self.session.withdraw(now))

    def give_up(self, seconds: float, now: float) -> None:
        """End what has waited for settings for so many seconds: others wait for its slot.

        Not while a message comes, which may be just those: large items take their time, and the session's own limit
        holds for them.
        """
        if not self.connection.receiving:
            self._ask(lambda: self.session.tick(now + 1e-6, seconds))  # sums are rounded

    def drain(self, *, leave: bool) -> None:
        """No more offers. ``leave``: when the last task has ended, the connection ends too."""
        self._last = self._last or leave
        self._ask(lambda: self.session.drain(trio.current_time()))

    def abort(self, reason: str) -> None:
        """Kill every task; each is still answered."""
        self._kill_all(reason, Ending.SHUTDOWN)

    async def aclose(self) -> None:
        """Write what was said, then close the connection."""
        await self._part(self.connection.aclose)

    # ---- life -----------------------------------------------------------------------------

    async def run(self) -> LinkError | None:
        """Serve until the connection ends. Returns what has ended it; None: it was closed."""
        keepalive = partial(self.connection.keepalive, self._shared.settings.heartbeat_interval)
        try:
            with self._scope:
                async with trio.open_nursery() as parts:
                    parts.start_soon(self._part, keepalive)
                    parts.start_soon(self._part, self._keep_time)
                    parts.start_soon(self._part, self._register)
                    await self._part(Reading(self.connection, self._receive, self._failed, self._shared.turnstile).run)
                    parts.cancel_scope.cancel()
            if self._faulty:
                await self._answer_all()
        finally:
            self.connection.outbox.close()
            self._ask(self.session.disconnected, even_so=True)
            if self._faulty:
                self._kill_all(_FAULT, Ending.FAULT)
        return self._end

    def _kill_all(self, reason: str, by: Ending) -> None:
        for execution in list(self._executions.values()):
            try:
                execution.kill(reason, by)
            except Exception as error:
                self._failed(error)

    async def _part(self, work: Callable[[], Awaitable[None]]) -> None:
        """Something that goes on as long as the connection does: its failure ends that."""
        try:
            await work()
        except* Exception as group:
            self._failed(group)

    def _failed(self, error: Exception) -> None:
        """The connection ends: it is lost, or a fault has been met."""
        end = first(error)
        if not isinstance(end, LinkError):
            event = "the connection ends through a fault of the runner"
            self._shared.faults.met(error, "link", event, broker=self._uri)
            self._faulty = True
            end = LinkError(FAULT)
        self._end = self._end or end
        self._scope.cancel()

    async def _answer_all(self) -> None:
        """Every task of a connection that a fault ends is answered, then it is closed: whatever works of it."""
        with trio.move_on_after(LAST_WORDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_on)
                self._kill_all(_FAULT, Ending.FAULT)
                while self._tasks.child_tasks:
                    await trio.sleep(0.005)
                await self.aclose()
                nursery.cancel_scope.cancel()

    async def _read_on(self) -> None:
        """Drop what still comes: the answer to our closing is behind it."""
        with suppress(Exception):
            async with aclosing(self.connection.frames()) as frames:
                async for _ in frames:
                    pass

    def _receive(self, message: BrokerMessage | Unknown | Malformed) -> None:
        if isinstance(message, BrokerRpcResponse) and self._router.nobody_waits(message.call_id):
            return  # as many as there are prints
        if isinstance(message, BrokerRunnerRegistered):
            log.info("registered with the broker", broker=self._uri, offers=self.session.capacity)
            self._metrics.broker_registered(self._uri)
        elif isinstance(message, BrokerDrain):
            log.info("the broker drains", broker=self._uri)
        self._ask(lambda: self.session.receive(message, trio.current_time()))

    async def _register(self) -> None:
        await trio.sleep(REGISTRATION)
        if self.session.state == "connecting":  # what was said may have been lost: nobody would say it again
            raise LinkError(f"the broker has not registered us within {REGISTRATION:g} s")

    async def _keep_time(self) -> None:
        """Renew offers and expire what waits, when it is due."""
        session = self.session
        while True:
            # nobody wakes us: what begins meanwhile is due later than that
            wake = trio.current_time() + session.lead
            deadline = session.next_deadline()
            await trio.sleep_until(wake if deadline is None else min(wake, deadline))
            self._tick()

    def _tick(self) -> None:
        self._ask(lambda: self.session.tick(trio.current_time()))

    # ---- acting on the session's word ---------------------------------------------------------

    def _ask(self, ask: Callable[[], Sequence[Action]], *, even_so: bool = False) -> None:
        """Do what the session says. One that has met a fault isn't asked any more, unless ``even_so``."""
        if self._faulty and not even_so:
            return
        with self.connection.outbox:
            try:
                self.session.room = self._capacity.room(self._holder)
                self.session.hold = not self.reads
                actions = ask()
            except Exception as error:
                self._failed(error)
            else:
                self._do(actions)

    def _do(self, actions: Sequence[Action]) -> None:
        """Each action, whatever becomes of the one before: a kill is due even if an offer couldn't be sent."""
        for action in actions:
            try:
                self._act(action)
            except Exception as error:
                self._failed(error)
        self._shared.slots.changed(self._holder)

    def _act(self, action: Action) -> None:
        match action:
            case SendMessage(message):
                if isinstance(message, RunnerTaskRejected):
                    if message.reason == AT_CAPACITY:
                        self._capacity.turned_away(self._holder, trio.current_time())
                    if message.reason != OFFER_EXPIRED:  # the session says Lapsed of those
                        self._metrics.offers("rejected")
                elif isinstance(message, RunnerTaskOffer):
                    self._metrics.offers("sent")
                self.connection.send_nowait(message)
            case Reserve(task_id):
                self._reserve(task_id)
            case Start(task_id, settings):
                self._capacity.used(self._holder, trio.current_time())
                if (execution := self._of(task_id)) is not None:
                    execution.start(settings)
                    self._metrics.task_started(execution.waited, execution.report.bytes_in)
            case Abandon(task_id, wasted):
                if wasted and not self._faulty:
                    self._wasted()
                if (execution := self._of(task_id)) is not None:
                    execution.abandon()
            case Kill(task_id, reason):
                if (execution := self._of(task_id)) is not None:
                    lost = self.session.state == "closed"
                    execution.kill(cancelled(reason).message, Ending.DISCONNECTED if lost else Ending.CANCELLED)
            case Deliver(_, _, message):
                self._router.deliver(message)
            case Lapsed(offers):
                self._metrics.offers("expired", offers)
            case LogLine(level, event, fields):
                getattr(log, level)(event, broker=self._uri, **fields)
            case Drained():
                log.info("drained: no task is left", broker=self._uri)
                if self._last and self.session.state != "closed":  # else there is nobody left to be told
                    self._tasks.start_soon(self._leave)

    def _wasted(self) -> None:
        """A slot was taken for nothing: the broker has sent no settings, or has gone."""
        self._metrics.slot_wasted(self._uri)
        rest = self._capacity.wasted(self._holder, trio.current_time())
        if rest is not None:
            event = "the broker takes slots and sends no settings: while there are others it gets one at a time"
            log.warning(event, broker=self._uri, not_before_s=round(rest, 1))

    def _of(self, task_id: str) -> Execution | None:
        """A task's execution. None once that has ended: the session hears of it when there is room."""
        execution = self._executions.get(task_id)
        if execution is None:
            log.debug("too late: the task has ended", task=task_id)
        return execution

    async def _leave(self) -> None:
        """The last word to a broker whose address is gone: what was said is written first."""
        with trio.move_on_after(LEAVING):
            await self.aclose()
        self._scope.cancel()

    def _reserve(self, task_id: str) -> None:
        self._metrics.offers("accepted")
        self._metrics.task_accepted()
        execution = task.accepted(self._shared, task_id, self._router, self._uri)
        self._executions[task_id] = execution
        self._tasks.start_soon(self._execute, execution)

    async def _execute(self, execution: Execution) -> None:
        try:
            try:
                outcome = await task.perform(self._shared, execution)
            finally:
                if self._executions.get(execution.task_id) is execution:
                    del self._executions[execution.task_id]
            if outcome is not None:
                await self._finish(execution, outcome)
        finally:
            task.record(self._shared, execution, self._uri)

    async def _finish(self, execution: Execution, outcome: TaskDoneData | TaskErrorData) -> None:
        """Queue the one outcome and, in the same breath, the offer for the slot that is free now.

        The slot stays taken until there is room for the outcome: a broker that doesn't read gets no offers.
        """
        with task.bounds(self._shared, execution):
            self._shared.task_ended()
        await self.connection.outbox.room()
        if self.session.state == "closed":
            return
        left: list[RunnerMessage] = [verdict(execution.task_id, outcome)]
        if not self._faulty:
            self._ask(lambda: self._finished(execution, outcome, left))
        if self._faulty and left:  # the session can't be asked, but somebody waits
            self._do([SendMessage(left.pop())])

    def _finished(
        self, execution: Execution, outcome: TaskDoneData | TaskErrorData, left: list[RunnerMessage]
    ) -> list[Action]:
        """Queue the outcome, and empty ``left`` then. Returns what else the session says."""
        rest: list[Action] = []
        for action in self.session.finish(execution.task_id, outcome, trio.current_time()):
            if isinstance(action, SendMessage) and not isinstance(action.message, RunnerTaskOffer):
                self._put_verdict(execution, action.message)
                left.clear()
            else:
                rest.append(action)
        return rest

    def _put_verdict(self, execution: Execution, message: RunnerMessage) -> None:
        try:
            self.connection.outbox.put(message, bulk=True)
        except LinkError:
            raise
        except Exception as error:  # no message can be made of it
            task.met(self._shared, execution, error)
            self.connection.outbox.put(verdict(execution.task_id, task.failed(error)), bulk=True)
