"""One broker: connections to it, one after the other, and the tasks that come through them.

The session says what to do (``session.py``); this carries it out: messages go to the
connection, accepted tasks become executions in the connection's nursery, answers go to the call
router. When the connection is lost, its tasks are killed: the broker has already failed them.
"""

from __future__ import annotations

import enum
import math
import random
import secrets
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import structlog
import trio

from reptarium.pool.brokers.connection import Connection, connect
from reptarium.pool.brokers.errors import GrantRefused, LinkError
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.ops.logs import hide_secret, task_context, task_finished_fields
from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerRunnerRegistered,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    decode_broker_message,
)
from reptarium.pool.protocol.session import (
    AT_CAPACITY,
    OFFER_EXPIRED,
    Action,
    Deliver,
    Drained,
    Kill,
    Lapsed,
    Log,
    Release,
    Reserve,
    RunnerSession,
    Send,
    Start,
    cancelled,
)
from reptarium.pool.tasks.execution import Execution, OutcomeKind
from reptarium.pool.tasks.router import RpcRouter

if TYPE_CHECKING:
    from reptarium.pool.runner import Runner

log = structlog.get_logger("reptarium.pool.brokers.link")

BACKOFF_FIRST, BACKOFF_LAST = 0.25, 10.0
#: A connection that lasted this long (seconds) starts the backoff anew.
LASTING = 2.0
#: How long a broker whose address is gone may take to read the last results, in seconds.
LEAVING = 10.0
_OUTCOMES: dict[OutcomeKind, str] = {
    "done": "done",
    "error": "error",
    "refused": "error",
    "violation": "error",
    "timeout": "timeout",
    "memory": "memory",
    "cancelled": "cancelled",
    "crash": "lost",
    "disconnected": "lost",
    "shutdown": "lost",
    "fault": "failed",
}


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

    def __init__(self, runner: Runner, uri: str) -> None:
        self.uri = uri
        self.turned_away_at = -math.inf
        self._runner = runner
        self._settings = runner.settings
        self._id = runner.settings.runner_id or secrets.token_hex(8)
        self._grant = runner.settings.grant_token
        self._session: RunnerSession | None = None
        self._connection: Connection | None = None
        self._router: RpcRouter | None = None
        self._nursery: trio.Nursery | None = None
        self._executions: dict[str, Execution] = {}
        self._retired = False
        self._scope = trio.CancelScope()
        self._sharing = False

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

    def set_capacity(self, capacity: int) -> None:
        """Take and offer that many tasks from now on."""
        if self._session is not None and self._session.capacity != capacity:
            self._do(self._session.set_capacity(capacity, trio.current_time()))

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
                        self.uri, self._settings.broker_path, self._id, grant, self._settings.max_payload
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
                    self._runner.metrics.broker_lost(self.uri)
                if self._ending():
                    return None
                if self._settings.auth_token is None:
                    log.error(
                        "the broker is gone and the one-use grant token is spent: ending, to be started anew",
                        broker=self.uri,
                        reason=problem,
                    )
                    return Exit.CONNECTION_LOST
                wait = backoff(max(attempt, 1), self._runner.rng)
                log.warning("no connection to the broker", broker=self.uri, reason=problem, retry_s=round(wait, 2))
                await trio.sleep(wait)
        return None

    def _ending(self) -> bool:
        return self._retired or self._runner.stopping

    async def _fetch_grant(self) -> str:
        if self._settings.auth_token is None:
            raise GrantRefused("the grant token is spent", fatal=True)
        grant = await fetch_grant(self.uri, self._settings.broker_path, self._settings.auth_token)
        hide_secret(grant)
        return grant

    async def _serve(self, connection: Connection) -> None:
        session = RunnerSession(
            name=self._settings.runner_name,
            capacity=self._runner.capacity_for(self),
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
                                self._receive(session, frame)
                    finally:
                        services.cancel_scope.cancel()
                        connection.outbox.close()
                        self._do(session.disconnected())
        finally:
            self._session = self._connection = self._router = self._nursery = None
            self._executions.clear()
            self._runner.share_capacity()

    def _receive(self, session: RunnerSession, frame: str | bytes) -> None:
        message = decode_broker_message(frame)
        if isinstance(message, BrokerRunnerRegistered):
            log.info("registered with the broker", broker=self.uri, offers=session.capacity)
            self._runner.metrics.broker_registered(self.uri)
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
        if not self._sharing and len(self._runner.links) > 1:
            self._sharing = True
            try:
                self._runner.share_capacity()
            finally:
                self._sharing = False

    def _act(self, action: Action) -> None:
        match action:
            case Send(message):
                if isinstance(message, RunnerTaskRejected):
                    if message.reason == AT_CAPACITY:
                        self.turned_away_at = trio.current_time()
                    if message.reason != OFFER_EXPIRED:  # the session says Lapsed of those
                        self._runner.metrics.offers("rejected")
                elif isinstance(message, RunnerTaskOffer):
                    self._runner.metrics.offers("sent")
                if self._connection is not None:
                    self._connection.send_nowait(message)
            case Reserve(task_id):
                self._reserve(task_id)
            case Start(task_id, settings):
                execution = self._executions[task_id]
                execution.start(settings)
                self._runner.metrics.task_started(execution.waited, execution.report.bytes_in)
            case Release(task_id):
                # while a connection falls apart an execution may have ended before the session hears of it
                if (ended := self._executions.get(task_id)) is not None:
                    ended.release()
            case Kill(task_id, reason):
                if (ended := self._executions.get(task_id)) is not None:
                    lost = self._session is not None and self._session.state == "closed"
                    ended.kill(cancelled(reason).message, "disconnected" if lost else "cancelled")
            case Deliver(_, _, message):
                if self._router is not None:
                    self._router.deliver(message)
            case Lapsed(offers):
                self._runner.metrics.offers("expired", offers)
            case Log(level, event, fields):
                getattr(log, level)(event, broker=self.uri, **fields)
            case Drained():
                log.info("drained: no task is left", broker=self.uri)
                if self._retired:
                    assert self._nursery is not None
                    self._nursery.start_soon(self._leave)

    async def _leave(self) -> None:
        """The last word to a broker whose address is gone: what was said is written first."""
        with trio.move_on_after(LEAVING):
            await self.aclose()
        self._scope.cancel()

    def _reserve(self, task_id: str) -> None:
        assert self._router is not None
        assert self._nursery is not None
        self._runner.metrics.offers("accepted")
        self.turned_away_at = -math.inf
        self._runner.metrics.task_accepted()
        execution = Execution(task_id, self._runner.pool, self._router, self._runner.limits, native=self._runner.native)
        self._executions[task_id] = execution
        self._nursery.start_soon(self._execute, execution)

    async def _execute(self, execution: Execution) -> None:
        metrics, watchdog = self._runner.metrics, self._runner.watchdog

        def dispatched() -> None:
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
        report, settings = execution.report, execution.settings
        if settings is None:
            metrics.task_abandoned()
        if outcome is None:
            return
        await self._finish(execution, outcome)
        if settings is not None:
            kind = _OUTCOMES[report.kind]
            result_bytes = report.bytes_out if report.kind == "done" else None
            metrics.task_finished(kind, report.duration, result_bytes=result_bytes, peak_memory=peak)
            log.info(
                "task",
                **task_context(execution.task_id, settings),
                **task_finished_fields(
                    outcome=kind,
                    seconds=report.duration,
                    request_bytes=report.bytes_in,
                    result_bytes=result_bytes,
                    worker=report.worker,
                ),
            )

    async def _outcome(self, execution: Execution) -> TaskDoneData | TaskErrorData | None:
        try:
            return await execution.run()
        except Exception as error:
            # a fault of ours must not take the runner, nor the answer, with it
            log.exception("the task failed through a fault of the runner", task=execution.task_id)
            self._runner.reporter.report(error, part="execution")
            return TaskErrorData(
                message="The task failed through a fault of the runner",
                description=f"{type(error).__name__}; its log has the details.",
            )

    async def _finish(self, execution: Execution, outcome: TaskDoneData | TaskErrorData) -> None:
        """Queue the one outcome and, in the same breath, the offer for the slot that is free now.

        The slot stays taken until there is room for the outcome: a broker that doesn't read gets no offers.
        """
        self._runner.task_ended()
        session, connection = self._session, self._connection
        if session is None or connection is None:
            return
        await connection.outbox.room()
        if self._session is not session:
            return
        rest: list[Action] = []
        if len(self._runner.links) > 1:
            rest += session.set_capacity(self._runner.capacity_for(self, ending=1), trio.current_time())
        # a connection that is closed by now is the reader's to notice, not this task's to fail over
        with suppress(LinkError):
            for action in session.finish(execution.task_id, outcome, trio.current_time()):
                if isinstance(action, Send) and not isinstance(action.message, RunnerTaskOffer):
                    connection.outbox.put(action.message, bulk=True)
                else:
                    rest.append(action)
            self._do(rest)
