"""The embedded broker: n8n's side of the task runner protocol, on one port, with a Python API.

:class:`Broker` is the shell around two that do no I/O: ``matching.py``, which
decides everything, and ``conversation.py``, which judges what runners
say. The shell carries out their actions, feeds them what connections say and lets time pass for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import structlog
import trio
from trio_websocket import WebSocketRequest

from reptarium.pool.embedded_broker import calls
from reptarium.pool.embedded_broker.config import BrokerConfig
from reptarium.pool.embedded_broker.conversation import Conversation
from reptarium.pool.embedded_broker.door import Door
from reptarium.pool.embedded_broker.faults import Delayed, Faults, IncomingFilter, OutgoingFilter
from reptarium.pool.embedded_broker.handle import (
    ConsoleListener,
    NodeTypesHandler,
    RpcHandler,
    TaskDataHandler,
    TaskHandle,
)
from reptarium.pool.embedded_broker.lenient import reading_runner_message
from reptarium.pool.embedded_broker.matching import Matchmaker
from reptarium.pool.embedded_broker.outcome import Counters, RunnerView
from reptarium.pool.embedded_broker.port import Port
from reptarium.pool.embedded_broker.records import (
    CLOSE_NORMAL,
    CLOSE_UNRESPONSIVE,
    BrokerAction,
    BrokerTask,
    Close,
    Finish,
    Note,
    Registered,
    Serve,
    Tell,
)
from reptarium.pool.embedded_broker.requesters import TaskRequest
from reptarium.pool.embedded_broker.runner_connection import RunnerConnection
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.embedded_broker.transport import Transport
from reptarium.pool.protocol.messages import BrokerMessage, BrokerRpcResponse, RunnerRpcCall, TaskSettings
from reptarium.pool.turns import in_turns


class Broker:
    """The broker of :func:`open_broker`.

    ``rpc_handler``, ``task_data_handler`` and ``node_types_handler`` may be set at any time. What a task
    prints (``logNodeOutput``) doesn't reach the RPC handler: the broker itself collects it, in order.

    ``outgoing_filter(runner_id, message)`` is for tests: what it yields is sent in place of the message:
    nothing, copies, other messages, raw bytes as a frame, or :class:`Delayed` ones.
    ``incoming_filter(runner_id, message)`` likewise: what it yields is taken in place of what came.
    Both may disconnect the runner. ``faults`` has what networks and machines do wrong.
    ``on_event(name, fields)`` gets what also goes to the log.
    """

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.rpc_handler: RpcHandler = calls.no_rpc
        self.task_data_handler: TaskDataHandler = calls.own_task_data
        self.node_types_handler: NodeTypesHandler = calls.no_node_types
        self.outgoing_filter: OutgoingFilter | None = None
        self.incoming_filter: IncomingFilter | None = None
        self.faults = Faults(find=self._connection, lost=self._lost, outage=self._outage)
        self.on_event: Callable[[str, dict[str, Any]], None] | None = None
        self._log = structlog.get_logger("reptarium.pool.embedded_broker")
        self._core = Matchmaker(
            accept_timeout=config.accept_timeout,
            request_timeout=config.request_timeout,
            task_timeout=config.task_timeout,
        )
        self._conversation = Conversation(self._core)
        self._door = Door(
            config, draining=lambda: self._core.draining, serve_runner=self._serve_runner, submit=self._submit_request
        )
        self._keys = count(1)
        self._connections: dict[int, RunnerConnection] = {}
        self._handles: dict[int, TaskHandle] = {}
        self._timer = trio.CancelScope()
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._port = Port("https" if config.tls else "http", config.host, config.port, self._door.serve)
        self._open = 0

    # --- looking at it ---------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port.number

    @property
    def uri(self) -> str:
        """Where runners find the broker: ``http://host:port``, or https."""
        return self._port.uri

    @property
    def counters(self) -> Counters:
        """What has happened so far (live)."""
        return self._core.counters

    @property
    def runners(self) -> list[RunnerView]:
        """The connected runners, oldest connection first."""
        now = trio.current_time()
        return [
            RunnerView(
                peer.runner_id,
                peer.name,
                peer.types,
                peer.registered,
                self._core.open_offers(peer, now),
                len(peer.tasks),
                *self._connections[peer.key].traffic,
            )
            for peer in self._core.peers.values()
        ]

    @property
    def unfinished(self) -> int:
        """How many tasks have no outcome yet."""
        return self._core.unfinished

    @property
    def waiting(self) -> int:
        """How many requests wait for an offer."""
        return self._core.waiting

    def grant_token(self) -> str:
        """A fresh grant, as ``POST {path}/auth`` hands them out."""
        return self._door.grant()

    async def wait_for_runner(self, timeout: float = float("inf"), *, count: int = 1) -> RunnerView:
        """Wait until ``count`` runners are registered; returns the newest. Raises trio.TooSlowError."""
        with trio.fail_after(timeout):
            while len(there := [view for view in self.runners if view.registered]) < count:
                await self._changed.wait()
        return there[-1]

    # --- tasks -----------------------------------------------------------------------------

    def submit(
        self,
        settings: TaskSettings | Mapping[str, Any],
        *,
        task_type: str = "python",
        timeout: float | None = None,
        request_timeout: float | None = None,
        on_console: ConsoleListener | None = None,
        on_rpc: RpcHandler | None = None,
    ) -> TaskHandle:
        """Queue a task. A mapping is in the protocol's form, and names that aren't a setting are refused.

        ``timeout`` and ``request_timeout`` (seconds) replace the broker's. Raises ValueError for
        settings that aren't. While the broker drains, the task is cancelled at once.
        """
        task, actions = self._core.submit(
            task_settings(settings),
            trio.current_time(),
            task_type=task_type,
            timeout=timeout,
            request_timeout=request_timeout,
        )
        handle = self._handles[task.number] = TaskHandle(task, self._cancel, on_console, on_rpc)
        self._do(actions)
        return handle

    def _submit_request(self, asked: TaskRequest, on_console: ConsoleListener) -> TaskHandle:
        return self.submit(
            asked.settings, timeout=asked.timeout, request_timeout=asked.request_timeout, on_console=on_console
        )

    def _cancel(self, task: BrokerTask, reason: str) -> None:
        self._do(self._core.cancel(task, reason))

    def disconnect(self, runner_id: str, *, abrupt: bool = False, code: int = CLOSE_NORMAL, reason: str = "") -> bool:
        """Close a runner's connection, or (``abrupt``) break it off. False when there is none."""
        connection = self._connection(runner_id)
        if connection is None:
            return False
        if abrupt:
            connection.abort()
            self._lost(connection)
        else:
            self._do(self._core.close(connection.key, code, reason, trio.current_time()))
        return True

    def _connection(self, runner_id: str) -> RunnerConnection | None:
        return next((one for one in self._connections.values() if one.runner_id == runner_id), None)

    def _lost(self, connection: RunnerConnection, fault: str = "The runner's connection was lost") -> None:
        """A connection is gone, whoever has ended it."""
        if self._connections.pop(connection.key, None) is not None:
            self._do(self._core.disconnect(connection.key, trio.current_time(), fault))

    async def drain(self, grace: float | None = None) -> None:
        """Shut down as n8n does: no new tasks, runners told to drain, up to ``grace`` seconds for what runs.

        What then still runs is cancelled and every connection closed with 1001. ``grace`` is
        ``config.drain_grace`` by default. The listener stays open, answering 503, until
        :func:`open_broker` is left.
        """
        self._do(self._core.drain())
        with trio.move_on_after(self.config.drain_grace if grace is None else grace):
            while self._core.unfinished:
                await self._changed.wait()
        self._do(self._core.abort(trio.current_time()))

    async def _closed(self) -> None:
        """Wait until every connection has been closed; each has its own limit for that."""
        while self._open:
            await self._changed.wait()

    # --- the loop --------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        nursery.start_soon(self._keep_time)
        await self._port.serve(nursery)
        self._log.debug("broker.listening", uri=self.uri)

    @asynccontextmanager
    async def _outage(self) -> AsyncIterator[None]:
        """Be as a killed broker is while the block runs, and back on the same port after it."""
        assert self._nursery is not None
        await self._port.close()
        self._door.forget_grants()
        for runner in self.runners:
            self.disconnect(runner.id, abrupt=True)
        yield
        await self._port.open()
        await self._port.serve(self._nursery)

    async def _keep_time(self) -> None:
        while True:
            deadline = self._core.next_deadline()
            with trio.CancelScope(deadline=float("inf") if deadline is None else deadline) as self._timer:
                await trio.sleep_forever()
            self._do(self._core.tick(trio.current_time()))

    def _do(self, actions: list[BrokerAction]) -> None:
        """Carry out what the matchmaker decided."""
        for action in actions:
            if isinstance(action, Tell):
                self._send(action.peer, action.message)
            elif isinstance(action, Finish):
                self._handles.pop(action.task.number)._finish(action.outcome)
                self._notify()
            elif isinstance(action, Serve):
                self._answer(action)
            elif isinstance(action, Close):
                self._connections.pop(action.peer).close(action.code, action.reason)
            elif isinstance(action, Registered):
                self._notify()
            else:
                self._note(action)
        deadline = self._core.next_deadline()
        if deadline is not None and deadline < self._timer.deadline:
            self._timer.deadline = deadline

    def _notify(self) -> None:
        if self._changed.statistics().tasks_waiting:
            self._changed.set()
            self._changed = trio.Event()

    def _note(self, line: Note) -> None:
        getattr(self._log, line.level)(line.event, **line.fields)
        if self.on_event is not None:
            self.on_event(line.event, line.fields)

    def _send(self, key: int, message: BrokerMessage) -> None:
        connection = self._connections.get(key)
        if connection is None:
            return
        if self.outgoing_filter is None:
            connection.send(message)
            return
        for item in self.outgoing_filter(connection.runner_id, message):
            if isinstance(item, Delayed):
                assert self._nursery is not None
                self._nursery.start_soon(self._send_later, connection, item)
            else:
                connection.send(item)

    @staticmethod
    async def _send_later(connection: RunnerConnection, item: Delayed) -> None:
        await trio.sleep(item.seconds)
        connection.send(item.message)

    # --- what tasks ask for ----------------------------------------------------------------

    def _answer(self, action: Serve) -> None:
        handle, call = self._handles[action.task.number], action.call
        if isinstance(call, RunnerRpcCall) and call.name == calls.LOG_NODE_OUTPUT:
            # at once and not in a task of its own: prints stay in order and before the result
            handle._print(call.params)
            if not handle.done:  # the listener may have cancelled the task
                self._send(action.peer, BrokerRpcResponse(call.call_id, call.task_id, "success"))
            return
        assert self._nursery is not None
        self._nursery.start_soon(self._answer_call, handle, action)

    async def _answer_call(self, handle: TaskHandle, action: Serve) -> None:
        with trio.CancelScope() as scope:
            handle._calls.add(scope)
            try:
                response = await calls.answer(
                    handle,
                    action.call,
                    handle.on_rpc or self.rpc_handler,
                    self.task_data_handler,
                    self.node_types_handler,
                )
            finally:
                handle._calls.discard(scope)
            if isinstance(response, BrokerRpcResponse) and response.status == "error":
                self.counters.rpc_errors += 1
            if response is not None and not handle.done:
                self._send(action.peer, response)

    # --- connections -----------------------------------------------------------------------

    async def _serve_runner(self, runner_id: str, request: WebSocketRequest, transport: Transport) -> None:
        """A runner that was let in, until its connection ends."""
        socket = await request.accept()
        connection = RunnerConnection(
            next(self._keys),
            runner_id,
            heartbeat_interval=self.config.heartbeat_interval,
            on_frame=self._receive,
            on_sending=self._core.sending,
            on_unresponsive=self._unresponsive,
        )
        self._connections[connection.key] = connection
        self._open += 1
        self._do(self._core.connect(connection.key, runner_id, trio.current_time()))
        why = "the broker has ended"
        try:
            why = await connection.run(socket, transport)
        finally:
            self._open -= 1
            self._notify()
            self._lost(connection, f"The runner's connection was lost ({why})")
        if connection.silent:
            await trio.sleep_forever()  # with the socket open, until the broker ends

    async def _receive(self, connection: RunnerConnection, frame: str | bytes) -> None:
        message = await in_turns(reading_runner_message(frame))
        messages = [message] if self.incoming_filter is None else self.incoming_filter(connection.runner_id, message)
        for one in messages:
            self._do(self._conversation.receive(connection.key, one, trio.current_time()))

    def _unresponsive(self, connection: RunnerConnection) -> None:
        fault = "The runner became unresponsive and was cut off"
        self._do(self._core.close(connection.key, CLOSE_UNRESPONSIVE, "unresponsive", trio.current_time(), fault))


@asynccontextmanager
async def open_broker(config: BrokerConfig | None = None) -> AsyncIterator[Broker]:
    """Serve an embedded broker while the block runs.

    Left without an exception, it drains (``config.drain_grace``); left with one, it cancels what runs and
    closes. When cancelled it has no time for close frames: runners see a lost connection. Either way no
    connection and no task of its own is left. Raises OSError when the port can't be had. An exception of
    the block comes out as it is, not in a group.
    """
    broker = Broker(config or BrokerConfig())
    failure: Exception | None = None
    await broker._port.open()  # not in the nursery, which would make a group of its error
    async with trio.open_nursery() as nursery:
        await broker._start(nursery)
        grace: float | None = 0.0
        try:
            yield broker
            grace = None
        except Exception as error:
            failure = error
        finally:
            with trio.CancelScope(shield=grace == 0.0):
                await broker.drain(grace)
                await broker._closed()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
