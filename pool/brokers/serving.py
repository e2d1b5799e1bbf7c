"""One connection to a broker, as long as it lasts, and the tasks that come through it.

The session says what to do (``protocol/session.py``); this carries it out: messages go to the
connection, accepted tasks become executions in the connection's nursery, answers go to the call
router. When the connection is lost, its tasks are killed: the broker has already failed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress

import structlog
import trio

from reptarium.pool.brokers.capacity import Holder
from reptarium.pool.brokers.connection import Connection
from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerMessage,
    BrokerRunnerRegistered,
    Malformed,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    Unknown,
    decoding_broker_message,
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
)
from reptarium.pool.tasks.ended import record_ended
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.tasks.turns import in_turns

log = structlog.get_logger("reptarium.pool.brokers.serving")

#: How long a broker whose address is gone may take to read the last results, in seconds.
LEAVING = 10.0


class Serving:
    """What one connection carries: a session, its tasks, their calls. ``holder``: whose slots they take."""

    def __init__(self, shared: Shared, uri: str, holder: Holder, connection: Connection) -> None:
        self.session = RunnerSession(
            name=shared.settings.runner_name,
            capacity=shared.capacity.may_have(holder, trio.current_time()),
            settings_timeout=shared.settings.settings_timeout,
        )
        self.connection = connection
        self._shared = shared
        self._uri = uri
        self._holder = holder
        self._metrics = shared.metrics
        self._capacity = shared.capacity
        self._router = RpcRouter(connection.send)
        self._executions: dict[str, Execution] = {}
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._last = False

    # ---- what the link asks -------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a task has come and not ended, or has ended and its outcome is not written yet."""
        return bool(self._executions) or self.session.accepted > 0 or self.connection.outbox.owes

    def set_capacity(self, capacity: int, now: float) -> None:
        """Take and offer that many tasks from now on."""
        if self.session.capacity != capacity:
            try:
                self._do(self.session.set_capacity(capacity, now))
            except LinkError as error:
                # whoever shares the slots, another link or the runner, has nothing to do with our connection
                if self._nursery is not None:
                    self._nursery.start_soon(self._give_up, error)

    def drain(self, *, leave: bool) -> None:
        """No more offers. ``leave``: when the last task has ended, the connection ends too."""
        self._last = self._last or leave
        self._do(self.session.drain(trio.current_time()))

    def abort(self, reason: str) -> None:
        """Kill every task; each is still answered."""
        for execution in list(self._executions.values()):
            execution.kill(reason, "shutdown")

    # ---- life -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the connection ends. Raises :class:`LinkError`."""
        connection, session = self.connection, self.session
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                async with trio.open_nursery() as services:
                    services.start_soon(connection.keepalive, self._shared.settings.heartbeat_interval)
                    services.start_soon(self._keep_time)
                    try:
                        async with aclosing(connection.frames()) as frames:
                            async for frame in frames:
                                self._receive(await in_turns(decoding_broker_message(frame)))
                                del frame  # not kept until the next one comes
                    finally:
                        services.cancel_scope.cancel()
                        connection.outbox.close()
                        self._do(session.disconnected())

    def _receive(self, message: BrokerMessage | Unknown | Malformed) -> None:
        if isinstance(message, BrokerRunnerRegistered):
            log.info("registered with the broker", broker=self._uri, offers=self.session.capacity)
            self._metrics.broker_registered(self._uri)
        elif isinstance(message, BrokerDrain):
            log.info("the broker drains", broker=self._uri)
        self._do(self.session.receive(message, trio.current_time()))

    async def _keep_time(self) -> None:
        """Renew offers and expire what waits, when it is due."""
        session = self.session
        while True:
            # nobody wakes us: what begins meanwhile is due later than that
            wake = trio.current_time() + session.lead
            deadline = session.next_deadline()
            await trio.sleep_until(wake if deadline is None else min(wake, deadline))
            if self.connection.outbox.slow:
                # it doesn't read: let the offers lapse instead of piling up new ones
                await trio.sleep(0.1)
                continue
            self._do(session.tick(trio.current_time()))

    # ---- acting on the session's word ---------------------------------------------------------

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._act(action)
        self._capacity.share(trio.current_time())

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
                execution = self._executions[task_id]
                execution.start(settings)
                self._metrics.task_started(execution.waited, execution.report.bytes_in)
            case Abandon(task_id):
                # while a connection falls apart an execution may have ended before the session hears of it
                if (ended := self._executions.get(task_id)) is not None:
                    ended.abandon()
            case Kill(task_id, reason):
                if (ended := self._executions.get(task_id)) is not None:
                    lost = self.session.state == "closed"
                    ended.kill(cancelled(reason).message, "disconnected" if lost else "cancelled")
            case Deliver(_, _, message):
                self._router.deliver(message)
            case Lapsed(offers):
                self._metrics.offers("expired", offers)
            case LogLine(level, event, fields):
                getattr(log, level)(event, broker=self._uri, **fields)
            case Drained():
                log.info("drained: no task is left", broker=self._uri)
                if self._last:
                    assert self._nursery is not None
                    self._nursery.start_soon(self._leave)

    async def _give_up(self, error: LinkError) -> None:
        """End the connection, from within its own nursery."""
        raise error

    async def _leave(self) -> None:
        """The last word to a broker whose address is gone: what was said is written first."""
        with trio.move_on_after(LEAVING):
            await self.connection.aclose()
        self._scope.cancel()

    def _reserve(self, task_id: str) -> None:
        assert self._nursery is not None
        self._metrics.offers("accepted")
        self._capacity.served(self._holder)
        self._metrics.task_accepted()
        execution = Execution(task_id, self._shared.pool, self._router, self._shared.limits)
        self._executions[task_id] = execution
        self._nursery.start_soon(self._execute, execution)

    async def _execute(self, execution: Execution) -> None:
        metrics, watchdog = self._metrics, self._shared.watchdog

        def dispatched(execution: Execution) -> None:  # its own would be held by it and hold it
            watchdog.watch(execution.worker)
            metrics.task_dispatched(execution.report.dispatch or 0.0)

        execution.on_dispatch = dispatched
        execution.on_call = metrics.rpc_finished
        try:
            outcome = await self._outcome(execution)
        finally:
            peak = watchdog.unwatch(execution.worker)
            if self._executions.get(execution.task_id) is execution:
                del self._executions[execution.task_id]
        settings = execution.settings
        if settings is None:
            metrics.task_abandoned()
        if outcome is None:
            return
        await self._finish(execution, outcome)
        if settings is not None:
            record_ended(execution, settings, metrics, peak_memory=peak)

    async def _outcome(self, execution: Execution) -> TaskDoneData | TaskErrorData | None:
        try:
            return await execution.run()
        except Exception as error:
            # a fault of ours must not take the runner, nor the answer, with it
            log.exception("the task failed through a fault of the runner", task=execution.task_id)
            self._shared.reporter.report(error, part="execution")
            return TaskErrorData(
                message="The task failed through a fault of the runner",
                description=f"{type(error).__name__}; its log has the details.",
            )

    async def _finish(self, execution: Execution, outcome: TaskDoneData | TaskErrorData) -> None:
        """Queue the one outcome and, in the same breath, the offer for the slot that is free now.

        The slot stays taken until there is room for the outcome: a broker that doesn't read gets no offers.
        """
        self._shared.task_ended()
        await self.connection.outbox.room()
        rest: list[Action] = []
        now = trio.current_time()
        if self._capacity.shared:
            rest += self.session.set_capacity(self._capacity.may_have(self._holder, now, ending=1), now)
        # a connection that is closed by now is the reader's to notice, not this task's to fail over
        with suppress(LinkError):
            for action in self.session.finish(execution.task_id, outcome, now):
                if isinstance(action, SendMessage) and not isinstance(action.message, RunnerTaskOffer):
                    self.connection.outbox.put(action.message, bulk=True)
                else:
                    rest.append(action)
            self._do(rest)
