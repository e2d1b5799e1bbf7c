"""Imaginary brokers: the real matchmaker behind connections that lose, repeat and invent messages.

What decides is ``pool/embedded_broker`` (``matching.py``, ``conversation.py``); what is imaginary is below it (HTTP,
WebSocket, the network) and around it (who asks for tasks, what goes wrong). Each broker keeps books on what
the runner has said on each connection: :class:`Books`.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections import deque
from collections.abc import Iterator

import msgspec
import trio
from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from reptarium.pool.embedded_broker.conversation import Conversation
from reptarium.pool.embedded_broker.lenient import runner_message
from reptarium.pool.embedded_broker.matching import Matchmaker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.embedded_broker.records import BrokerAction, BrokerTask, Close, Finish, Serve, Tell
from reptarium.pool.embedded_broker.transport import text_frame
from reptarium.pool.protocol.messages import (
    BrokerMessage,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    BrokerTaskSettings,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDataRequest,
    RunnerTaskDone,
    RunnerTaskError,
    TaskSettings,
    encode,
)
from tests.simulation.history import History
from tests.simulation.misbehaviour import Misbehaviour
from tests.simulation.network import Network, Stream

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
#: How often a broker that doesn't read looks whether it reads again, in seconds.
READS_AGAIN = 0.25
_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


class Broken(AssertionError):
    """The runner has broken a promise. The text says which."""


class Books:
    """What the runner has said about tasks on one connection: each accepted one gets exactly one verdict."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._open: set[str] = set()
        self.spoiled: set[str] = set()  # ids that garbage has named: the runner may answer those it never accepted

    @property
    def owed(self) -> list[str]:
        """Accepted tasks without a verdict."""
        return sorted(self._open)

    def accepted(self, task_id: str) -> None:
        if task_id in self._open:
            raise Broken(f"{self._broker}: {task_id} was accepted twice")
        self._open.add(task_id)

    def verdict(self, task_id: str) -> None:
        if task_id not in self._open | self.spoiled:
            raise Broken(f"{self._broker}: a verdict on {task_id}, which has none to come")
        self._open.discard(task_id)


class Runner:
    """One WebSocket of the runner's, from the broker's side."""

    def __init__(self, key: int, stream: Stream, broker: ImaginaryBroker) -> None:
        self.key = key
        self.stream = stream
        self.books = Books(broker.name)
        self.frames = Frames(ConnectionType.SERVER)
        self._broker = broker
        self._out: deque[bytes] = deque()
        self._more = trio.Event()
        self._scope = trio.CancelScope()
        self._pong = True
        self._text = ""

    def send(self, frame: bytes) -> None:
        """Send a frame, or queue it where the network is full."""
        if not self._out and self.stream.send_nowait(frame):
            return
        self._out.append(frame)
        self._more.set()

    def close(self, code: int) -> None:
        """Our close frame, after what is queued; two seconds for the rest."""
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + 2.0)
        if self.frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self.send(self.frames.send(CloseConnection(code)))

    def cut_off(self) -> None:
        """End the connection at once."""
        self._scope.cancel()

    async def run(self) -> None:
        """Serve it to its end."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._beat)
                    await self._read()
                    nursery.cancel_scope.cancel()
        except* _ENDED:
            pass

    async def _read(self) -> None:
        while True:
            while self._broker.misbehaviour.reads_again_at > trio.current_time():
                await trio.sleep(READS_AGAIN)
            data = await self.stream.receive_some(65536)
            if not data:
                return
            self.frames.receive_data(data)
            for event in self.frames.events():
                if isinstance(event, TextMessage):
                    self._text += event.data
                    if event.message_finished:
                        text, self._text = self._text, ""
                        self._broker.receive(self, text.encode())
                elif isinstance(event, Ping) and self.frames.state is ConnectionState.OPEN:
                    if not self._broker.misbehaviour.mute:
                        self.send(self.frames.send(event.response()))
                elif isinstance(event, Pong):
                    self._pong = True
                elif isinstance(event, CloseConnection):
                    if self.frames.state is ConnectionState.REMOTE_CLOSING:
                        self.send(self.frames.send(event.response()))
                        while self._out:
                            await trio.sleep(0.001)
                    return

    async def _write(self) -> None:
        while True:
            while self._out:
                await self.stream.send_all(self._out[0])
                self._out.popleft()
            self._more = trio.Event()
            await self._more.wait()

    async def _beat(self) -> None:
        while True:
            self._pong = False
            if self.frames.state is ConnectionState.OPEN:
                self.send(self.frames.send(Ping()))
            await trio.sleep(self._broker.heartbeat)
            if not self._pong and self._broker.misbehaviour.reads_again_at < trio.current_time():
                self._broker.history.note("cut off: no pong", self._broker.name)
                self.cut_off()


class ImaginaryBroker:
    """One broker at ``address``."""

    def __init__(self, name: str, address: str, network: Network, history: History, rng: random.Random) -> None:
        self.name, self.address = name, address
        self.network, self.history, self.rng = network, history, rng
        self.heartbeat = 30.0
        self.misbehaviour = Misbehaviour()
        self.nursery: trio.Nursery | None = None
        self.runners: dict[int, Runner] = {}
        self.outcomes: dict[BrokerTask, Outcome] = {}
        self.core = self._new_core()
        self._ids = 0
        self._keys = 0
        self._grants: set[str] = set()
        self._timer = trio.CancelScope()
        self.open()

    def open(self) -> None:
        """Listen."""
        self.network.listen(self.address, self._serve)

    def _new_core(self) -> Matchmaker:
        self.core = Matchmaker(task_timeout=20.0, new_id=self._new_id, stamp=trio.current_time)
        self._conversation = Conversation(self.core)
        return self.core

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self.name}-{self._ids}"

    # ---- what the world does ------------------------------------------------------------

    def submit(self, settings: TaskSettings, patience: float = 30.0) -> BrokerTask:
        """Somebody wants a task done, and waits so many seconds for its beginning."""
        task, actions = self.core.submit(settings, trio.current_time(), request_timeout=patience)
        self.history.note("asked", self.name, task.number, settings.code[:60])
        self._do(actions)
        return task

    def cancel(self, task: BrokerTask) -> None:
        """Somebody has changed his mind."""
        self._do(self.core.cancel(task))

    def invent(self, messages: Iterator[BrokerMessage | bytes]) -> None:
        """Say something to every runner that is registered: one that is told so and isn't would never be served."""
        for message in messages:
            for key, runner in self.runners.items():
                if key in self.core.peers and self.core.peers[key].registered:
                    self._say(runner, message)

    def cut_off(self, code: int | None = None) -> None:
        """Close every connection (``code``), or break it off."""
        for runner in list(self.runners.values()):
            if code is None:
                runner.cut_off()
            else:
                self._do(self.core.close(runner.key, code, "imaginary", trio.current_time()))

    def restart(self) -> None:
        """Drain and go, as n8n does, and be there again as somebody who knows nothing."""
        self.history.note("broker restarts", self.name)
        self._do(self.core.drain())
        self._do(self.core.abort(trio.current_time()))
        self.runners.clear()
        self._grants.clear()
        self._new_core()

    def drain(self) -> None:
        """Tell the runners to finish."""
        self._do(self.core.drain())

    async def keep_time(self) -> None:
        """Let the matchmaker's time pass."""
        while True:
            deadline = self.core.next_deadline()
            with trio.CancelScope(deadline=float("inf") if deadline is None else deadline) as self._timer:
                await trio.sleep_forever()
            self._do(self.core.tick(trio.current_time()))

    # ---- the matchmaker's shell -----------------------------------------------------------

    def receive(self, runner: Runner, frame: bytes) -> None:
        """The runner has said something."""
        message = runner_message(frame)
        self._book(runner.books, message)
        self.history.note("said by the runner", self.name, frame[:90].decode(errors="replace"))
        if self.rng.random() < self.misbehaviour.overhears:
            return
        self._do(self._conversation.receive(runner.key, message, trio.current_time()))

    @staticmethod
    def _book(books: Books, message: object) -> None:
        if isinstance(message, RunnerTaskAccepted):
            books.accepted(message.task_id)
        elif isinstance(message, RunnerTaskDone | RunnerTaskError):
            books.verdict(message.task_id)

    def _do(self, actions: list[BrokerAction]) -> None:
        for action in actions:
            if isinstance(action, Tell):
                if (runner := self.runners.get(action.peer)) is not None:
                    self._tell(runner, action.message)
            elif isinstance(action, Finish):
                assert action.task not in self.outcomes
                self.outcomes[action.task] = action.outcome
                self._check(action.task, action.outcome)
                self.history.note("ended", self.name, action.task.number, action.outcome.status)
            elif isinstance(action, Close):
                if (gone := self.runners.pop(action.peer, None)) is not None:
                    gone.close(action.code)
            elif isinstance(action, Serve):
                self._serve_call(action)
        deadline = self.core.next_deadline()
        if deadline is not None and deadline < self._timer.deadline:
            self._timer.deadline = deadline

    def _check(self, task: BrokerTask, outcome: Outcome) -> None:
        """A result is its own task's, unless its settings have come garbled."""
        garbled = any(task.task_id in runner.books.spoiled for runner in self.runners.values())
        if outcome.data is not None and not garbled:
            (item,) = outcome.result()
            if item["json"].get("task") != task.settings.node_name and "error" not in item["json"]:
                raise Broken(f"{self.name}: task {task.settings.node_name} got {item}")

    def _tell(self, runner: Runner, message: BrokerMessage) -> None:
        for delay, what in self.misbehaviour.sent(message, self.rng):
            if delay:
                assert self.nursery is not None
                self.nursery.start_soon(self._tell_later, delay, runner, what)
            else:
                self._say(runner, what)

    async def _tell_later(self, delay: float, runner: Runner, message: BrokerMessage | bytes) -> None:
        await trio.sleep(delay)
        self._say(runner, message)

    def _say(self, runner: Runner, message: BrokerMessage | bytes) -> None:
        frame = message if isinstance(message, bytes) else encode(message)
        for named in re.findall(rb'"taskId": ?"([^"]*)"', frame) if isinstance(message, bytes) else ():
            runner.books.spoiled.add(named.decode("unicode_escape"))
        if isinstance(message, BrokerTaskSettings):
            self.history.note("told", self.name, f"settings of {message.task_id}")
        else:
            self.history.note("told", self.name, frame[:90].decode(errors="replace"))
        if runner.frames.state is ConnectionState.OPEN:
            runner.send(text_frame(frame))

    def _serve_call(self, action: Serve) -> None:
        runner, call, answers = self.runners.get(action.peer), action.call, self.misbehaviour.answers
        if runner is None or self.rng.random() >= answers:
            return
        message: BrokerMessage
        if isinstance(call, RunnerRpcCall):
            message = BrokerRpcResponse(call.call_id, call.task_id, "success", msgspec.Raw(b'"answer"'))
        elif isinstance(call, RunnerTaskDataRequest):
            message = BrokerTaskDataResponse(call.task_id, call.request_id, msgspec.Raw(b"{}"))
        else:
            message = BrokerNodeTypes(call.task_id, call.request_id, msgspec.Raw(b"[]"))
        self._tell(runner, message)

    # ---- the door ---------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        try:
            await self._admit(stream)
        except _ENDED:
            pass
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _admit(self, stream: Stream) -> None:
        if (odd := self.misbehaviour.at_the_door(self.rng)) is not None:
            await self._oddly(stream, odd)
            return
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some(4096)
            if not data:
                return
            head += data
        if head.startswith(b"POST"):
            grant = f"grant-{self.name}-{self.rng.getrandbits(32):x}"
            self._grants.add(grant)
            body = msgspec.json.encode({"data": {"token": grant}})
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        fields = dict(re.findall(rb"\r\n([^:\r]+): *([^\r]*)", head))
        names = {name.lower(): value for name, value in fields.items()}
        grant = names[b"authorization"].removeprefix(b"Bearer ").decode()
        if grant not in self._grants:
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self._grants.remove(grant)
        proof = base64.b64encode(hashlib.sha1(names[b"sec-websocket-key"] + _ACCEPT).digest())
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        self._keys += 1
        runner = self.runners[self._keys] = Runner(self._keys, stream, self)
        self.history.note("runner connected", self.name, runner.key)
        core = self.core
        self._do(core.connect(runner.key, "runner", trio.current_time()))
        try:
            await runner.run()
        finally:
            self.runners.pop(runner.key, None)
            self.history.note("runner gone", self.name, runner.key)
            if core is self.core:
                self._do(core.disconnect(runner.key, trio.current_time()))

    async def _oddly(self, stream: Stream, odd: bytes | None) -> None:
        self.history.note("answers oddly", self.name, odd)
        if odd:
            await stream.send_all(odd)
        if self.rng.random() < 0.5:
            await trio.sleep(self.rng.choice([0.1, 40.0]))
