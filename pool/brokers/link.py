"""One broker: connections to it, one after the other, and the tasks that come through them.

The session says what to do (``protocol/session.py``); this carries it out: messages go to the
connection, accepted tasks become executions in the connection's nursery, answers go to the call
router. When the connection is lost, its tasks are killed: the broker has already failed them.
"""

from __future__ import annotations

import enum
import random
import secrets
from collections.abc import Sequence
from contextlib import aclosing, suppress

import structlog
import trio

from reptarium.pool.brokers.connection import Connection, connect
from reptarium.pool.brokers.errors import GrantRefused, LinkError
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.ops.logs import hide_secret
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

log = structlog.get_logger("reptarium.pool.brokers.link")

BACKOFF_FIRST, BACKOFF_LAST = 0.25, 10.0
#: A connection that lasted this long (seconds) starts the backoff anew.
LASTING = 2.0
#: How long a broker whose address is gone may take to read the last results, in seconds.
LEAVING = 10.0


class Exit(enum.IntEnum):
    """How a runner ends that can't go on."""

    OK = 0
    GRANT_REFUSED = 1
    CONNECTION_LOST = 3


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before connection attempt ``attempt`` (from 1): capped, exponential, jittered."""
    ceiling: float = min(BACKOFF_FIRST * 2 ** min(attempt - 1, 16), BACKOFF_LAST)
    return ceiling * rng.uniform(0.5, 1.0)


class BrokerLink:
    """One broker: connections to it, one after the other, and the tasks that came through them."""

    def __init__(self, shared: Shared, uri: str) -> None:
        self.uri = uri
        self._shared = shared
        self._settings = shared.settings
        self._metrics = shared.metrics
        self._capacity = shared.capacity
        self._id = shared.settings.runner_id or secrets.token_hex(8)
        self._grant = shared.settings.grant_token
        self._session: RunnerSession | None = None
        self._connection: Connection | None = None
        self._router: RpcRouter | None = None
        self._nursery: trio.Nursery | None = None
        self._executions: dict[str, Execution] = {}
        self._retired = False
        self._scope = trio.CancelScope()

    # ---- what the runner asks -----------------------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether the broker has registered us and may send tasks."""
        return self._session is not None and self._session.state == "registered"

    @property
    def busy(self) -> bool:
        """Whether a task has come and not ended, or has ended and its outcome is not written yet."""
        owes = self._connection is not None and self._connection.outbox.owes
        return bool(self._executions) or self.accepted > 0 or owes

    @property
    def accepted(self) -> int:
        """Accepted tasks that have not ended."""
        return 0 if self._session is None else self._session.accepted

    @property
    def open_offers(self) -> int:
        """Offers that stand."""
        return 0 if self._session is None else self._session.open_offers

    def set_capacity(self, capacity: int, now: float) -> None:
        """Take and offer that many tasks from now on."""
        if self._session is not None and self._session.capacity != capacity:
            try:
                self._do(self._session.set_capacity(capacity, now))
            except LinkError as error:
                # whoever shares the slots, another link or the runner, has nothing to do with our connection
                if self._nursery is not None:
                    self._nursery.start_soon(self._give_up, error)

    def drain(self) -> None:
        """No more offers."""
        if self._session is not None:
            self._do(self._session.drain(trio.current_time()))
        else:
            self._scope.cancel()

    @property
    def retired(self) -> bool:
        """Whether the broker's address is gone."""
        return self._retired

    def retire(self) -> None:
        """The broker's address is gone: finish what runs, don't come back."""
        self._retired = True
        self.drain()

    def abort(self, reason: str) -> None:
        """Kill every task; each is still answered."""
        for execution in list(self._executions.values()):
            execution.kill(reason, "shutdown")

    async def aclose(self) -> None:
        """Write what was said, then close the connection."""
        if self._connection is not None:
            await self._connection.aclose()

    # ---- connecting -----------------------------------------------------------------------

    async def run(self) -> Exit | None:
        """Keep a connection until the runner stops. An exit status when there can't be another one."""
        attempt = 0
        with self._scope:
            while not self._ending():
                attempt += 1
                try:
                    grant = self._grant or await self._fetch_grant()
                    self._grant = None  # used once, whatever comes of it
                    async with connect(
                        self.uri,
                        self._settings.broker_path,
                        self._id,
                        grant,
                        self._settings.max_payload,
                        self._shared.tls,
                    ) as connection:
                        connected = trio.current_time()
                        await self._serve(connection)
                    if trio.current_time() - connected > LASTING:
                        attempt = 0
                    problem = f"connection closed ({connection.close_reason})"
                except GrantRefused as error:
                    if error.fatal and self._settings.auth_token is None:
                        log.error(
                            f"{error}. It can be used once only; start the runner with a new one "
                            "in N8N_RUNNERS_GRANT_TOKEN, or set N8N_RUNNERS_AUTH_TOKEN"
                        )
                        return Exit.GRANT_REFUSED
                    problem = str(error)
                except LinkError as error:
                    problem = str(error)
                if not self._retired:
                    self._metrics.broker_lost(self.uri)
                if self._ending():
                    return None
                if self._settings.auth_token is None:
                    log.error(
                        "the broker is gone and the one-use grant token is spent: ending, to be started anew",
                        broker=self.uri,
                        reason=problem,
                    )
                    return Exit.CONNECTION_LOST
                wait = backoff(max(attempt, 1), self._shared.rng)
                log.warning("no connection to the broker", broker=self.uri, reason=problem, retry_s=round(wait, 2))
                await trio.sleep(wait)
        return None

    def _ending(self) -> bool:
        return self._retired or self._shared.stopping.is_set()

    async def _fetch_grant(self) -> str:
        if self._settings.auth_token is None:
            raise GrantRefused("the grant token is spent", fatal=True)
        grant = await fetch_grant(self.uri, self._settings.broker_path, self._settings.auth_token, self._shared.tls)
        hide_secret(grant)
        return grant

    async def _serve(self, connection: Connection) -> None:
        session = RunnerSession(
            name=self._settings.runner_name,
            capacity=self._capacity.may_have(self, trio.current_time()),
            settings_timeout=self._settings.settings_timeout,
        )
        self._session, self._connection = session, connection
        self._router = RpcRouter(connection.send)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                async with trio.open_nursery() as services:
                    services.start_soon(connection.keepalive, self._settings.heartbeat_interval)
                    services.start_soon(self._keep_time, session)
                    try:
                        async with aclosing(connection.frames()) as frames:
                            async for frame in frames:
                                self._receive(session, await in_turns(decoding_broker_message(frame)))
                                del frame  # not kept until the next one comes
                    finally:
                        services.cancel_scope.cancel()
                        connection.outbox.close()
                        self._do(session.disconnected())
        finally:
            self._session = self._connection = self._router = self._nursery = None
            self._executions.clear()
            self._capacity.share(trio.current_time())

    def _receive(self, session: RunnerSession, message: BrokerMessage | Unknown | Malformed) -> None:
        if isinstance(message, BrokerRunnerRegistered):
            log.info("registered with the broker", broker=self.uri, offers=session.capacity)
            self._metrics.broker_registered(self.uri)
        elif isinstance(message, BrokerDrain):
            log.info("the broker drains", broker=self.uri)
        self._do(session.receive(message, trio.current_time()))

    async def _keep_time(self, session: RunnerSession) -> None:
        """Renew offers and expire what waits, when it is due."""
        while True:
            # nobody wakes us: what begins meanwhile is due later than that
            wake = trio.current_time() + session.lead
            deadline = session.next_deadline()
            await trio.sleep_until(wake if deadline is None else min(wake, deadline))
            connection = self._connection
            if connection is not None and connection.outbox.slow:
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
                        self._capacity.turned_away(self, trio.current_time())
                    if message.reason != OFFER_EXPIRED:  # the session says Lapsed of those
                        self._metrics.offers("rejected")
                elif isinstance(message, RunnerTaskOffer):
                    self._metrics.offers("sent")
                if self._connection is not None:
                    self._connection.send_nowait(message)
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
                    lost = self._session is not None and self._session.state == "closed"
                    ended.kill(cancelled(reason).message, "disconnected" if lost else "cancelled")
            case Deliver(_, _, message):
                if self._router is not None:
                    self._router.deliver(message)
            case Lapsed(offers):
                self._metrics.offers("expired", offers)
            case LogLine(level, event, fields):
                getattr(log, level)(event, broker=self.uri, **fields)
            case Drained():
                log.info("drained: no task is left", broker=self.uri)
                if self._retired:
                    assert self._nursery is not None
                    self._nursery.start_soon(self._leave)

    async def _give_up(self, error: LinkError) -> None:
        """End the connection, from within its own nursery."""
        raise error

    async def _leave(self) -> None:
        """The last word to a broker whose address is gone: what was said is written first."""
        with trio.move_on_after(LEAVING):
            await self.aclose()
        self._scope.cancel()

    def _reserve(self, task_id: str) -> None:
        assert self._router is not None
        assert self._nursery is not None
        self._metrics.offers("accepted")
        self._capacity.served(self)
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
        session, connection = self._session, self._connection
        if session is None or connection is None:
            return
        await connection.outbox.room()
        if self._session is not session:
            return
        rest: list[Action] = []
        now = trio.current_time()
        if self._capacity.shared:
            rest += session.set_capacity(self._capacity.may_have(self, now, ending=1), now)
        # a connection that is closed by now is the reader's to notice, not this task's to fail over
        with suppress(LinkError):
            for action in session.finish(execution.task_id, outcome, now):
                if isinstance(action, SendMessage) and not isinstance(action.message, RunnerTaskOffer):
                    connection.outbox.put(action.message, bulk=True)
                else:
                    rest.append(action)
            self._do(rest)
