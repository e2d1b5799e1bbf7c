"""The embedded broker against a scripted runner: each row of the protocol's life and death.

Loopback only, dynamic ports only, every test bounded. The rules themselves are tested without I/O in
``tests/unit/embedded_broker``; here it is that they hold over real WebSockets. Time limits are set short where a test
waits for one to pass, and no test asserts how long anything took.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from reptarium.pool.embedded_broker import Broker, BrokerConfig, Delayed, RpcError, TaskHandle, open_broker
from reptarium.pool.embedded_broker.runner_connection import MAX_QUEUED
from reptarium.pool.protocol.messages import BrokerMessage, BrokerTaskOfferAccept, TaskSettings
from tests.integration.embedded_broker.broker_runner import FakeRunner, fake_runner
from tests.limits import fail_after

CODE = {"code": "return []", "items": [{"json": {"n": 1}}]}


# --- the good path -------------------------------------------------------------------------


async def test_task_from_submit_to_outcome() -> None:
    """A task goes out with all its settings and comes back with its result."""
    async with open_broker() as broker, fake_runner(broker, "me") as runner:
        with fail_after(10):
            handle = broker.submit({**CODE, "nodeMode": "runOnceForEachItem", "workflowName": "Flow"})
            offer_id = await runner.offer()
            accept = await runner.expect("broker:taskofferaccept")
            assert accept == {"type": accept["type"], "taskId": handle.task_id, "offerId": offer_id}
            await runner.send("runner:taskaccepted", taskId=accept["taskId"])
            settings = (await runner.expect("broker:tasksettings"))["settings"]
            assert settings == {
                "code": "return []",
                "nodeMode": "runOnceForEachItem",
                "continueOnFail": False,
                "items": [{"json": {"n": 1}}],
                "workflowId": "Unknown",
                "workflowName": "Flow",
                "nodeId": "Unknown",
                "nodeName": "Unknown",
                "workflowMode": "manual",
            }
            await runner.done(accept["taskId"], [{"json": {"ä": "€"}}])
            outcome = await handle.outcome()
            assert (outcome.status, outcome.runner_id, outcome.attempts) == ("done", "me", 1)
            assert outcome.result() == [{"json": {"ä": "€"}}]
            assert await handle.outcome() is outcome
            assert handle.done


async def test_error_of_the_runner() -> None:
    """A task error arrives with what the runner said."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(TaskSettings(code="x"))
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            error = {"message": "boom", "description": "Line 3", "lineNumber": 3}
            await runner.send("runner:taskerror", taskId=task_id, error=error)
            outcome = await handle.outcome()
            assert outcome.status == "error"
            assert msgspec.to_builtins(outcome.error) == error


async def test_error_that_is_no_error_ends_the_task_all_the_same() -> None:
    """Another runner's null instead of an error object doesn't leave the task hanging."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            await runner.send("runner:taskerror", taskId=(await runner.take())["taskId"], error=None)
            assert (await handle.outcome()).status == "error"
            assert broker.counters.malformed == 0


@pytest.mark.slow
async def test_thousand_requests_to_a_runner_that_answers_at_once() -> None:
    """1,000 requests, 50 offers: each gets its own result, nothing is left over."""

    async def serve(runner: FakeRunner) -> None:
        for _ in range(50):
            await runner.offer()
        for _ in range(2000):
            message = await runner.read()
            if message["type"] == "broker:taskofferaccept":
                await runner.send("runner:taskaccepted", taskId=message["taskId"])
            else:
                await runner.done(message["taskId"], message["settings"]["items"])
                await runner.offer()

    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, runner)
                handles = [broker.submit({"code": "", "items": [{"json": {"n": n}}]}) for n in range(1000)]
                results = [(await handle.outcome()).result() for handle in handles]
        assert results == [[{"json": {"n": n}}] for n in range(1000)]
        assert (broker.counters.done, broker.counters.matches, broker.unfinished) == (1000, 1000, 0)
        assert len({handle.task_id for handle in handles}) == 1000
        assert broker._handles == {}


async def test_transcript_order_of_introductions() -> None:
    """The first frame is the info request and the second, after runner:info, the registration."""
    async with open_broker() as broker, fake_runner(broker, "r", register=False) as runner:
        with fail_after(10):
            await runner.expect("broker:inforequest")
            assert [view.registered for view in broker.runners] == [False]
            await runner.send("runner:info", name="N", types=["python"], newField=1)
            await runner.expect("broker:runnerregistered")
            view = await broker.wait_for_runner(5)
            assert (view.id, view.name, view.types, view.offers, view.tasks) == ("r", "N", ("python",), 0, 0)


async def test_waiting_for_a_runner() -> None:
    """wait_for_runner waits for as many as asked for, and gives up in time."""
    async with open_broker() as broker:
        with fail_after(10):
            with pytest.raises(trio.TooSlowError):
                await broker.wait_for_runner(0.01)
            async with fake_runner(broker, "a"), fake_runner(broker, "b"):
                assert (await broker.wait_for_runner(5, count=2)).id == "b"


# --- life and death ------------------------------------------------------------------------


async def test_no_acknowledgement_three_times_ends_the_connection() -> None:
    """Each unacknowledged task is cancelled with the reason; the third in a row closes with 1002."""
    async with open_broker(BrokerConfig(accept_timeout=0.05)) as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            ids = []
            for _ in range(3):
                await runner.offer()
                ids.append((await runner.expect("broker:taskofferaccept"))["taskId"])
                cancel = await runner.expect("broker:taskcancel")
                assert (cancel["taskId"], cancel["reason"]) == (ids[-1], "Acknowledgement window elapsed")
            assert (await runner.closed())[0] == 1002
            assert len(set(ids)) == 3
            assert not handle.done
            async with fake_runner(broker) as other:
                await other.offer()
                await other.done((await other.take())["taskId"])
                assert (await handle.outcome()).attempts == 4


async def test_rejected_task_is_matched_to_another_offer_at_once() -> None:
    """The request of a runner that rejects goes to the other runner's waiting offer."""
    async with open_broker() as broker, fake_runner(broker) as first, fake_runner(broker) as second:
        with fail_after(10):
            await first.offer()
            await until(lambda: broker.counters.offers == 1)
            await second.offer()
            await until(lambda: broker.counters.offers == 2)
            handle = broker.submit(CODE)
            accept = await first.expect("broker:taskofferaccept")
            await first.send("runner:taskrejected", taskId=accept["taskId"], reason="at capacity")
            await second.done((await second.take())["taskId"], 7)
            assert (await handle.outcome()).result() == 7


async def test_deferred_task_waits_for_the_real_runner() -> None:
    """As with n8n's launcher: its offer is deferred, it leaves, the runner it started gets the task."""
    async with open_broker() as broker:
        with fail_after(10):
            handle = broker.submit(CODE)
            async with fake_runner(broker, "launcher") as launcher:
                await launcher.offer(-1)
                accept = await launcher.expect("broker:taskofferaccept")
                await launcher.send("runner:taskdeferred", taskId=accept["taskId"])
                await until(lambda: broker.counters.deferrals == 1)
            async with fake_runner(broker, "runner") as runner:
                await runner.offer()
                await runner.done((await runner.take())["taskId"])
                assert (await handle.outcome()).status == "done"


async def test_user_cancels() -> None:
    """The runner is told who cancelled; its answer comes too late and is ignored."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            handle.cancel()
            outcome = await handle.outcome()
            assert outcome.status == "cancelled"
            cancel = await runner.expect("broker:taskcancel")
            assert cancel == {"type": cancel["type"], "taskId": task_id, "reason": "Task cancelled by user"}
            await runner.send("runner:taskerror", taskId=task_id, error={"message": "Task was cancelled"})
            await until(lambda: broker.counters.late == 1)
            assert await handle.outcome() is outcome


async def test_task_timeout() -> None:
    """A task that runs too long is cancelled with the reason and ends as timeout."""
    async with open_broker(BrokerConfig(task_timeout=0.05)) as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            cancel = await runner.expect("broker:taskcancel")
            assert (cancel["taskId"], cancel["reason"]) == (task_id, "Task execution timed out")
            assert (await handle.outcome()).status == "timeout"


async def test_no_runner() -> None:
    """A request that nobody takes ends as no-runner."""
    async with open_broker(BrokerConfig(request_timeout=0.05)) as broker:
        with fail_after(10):
            assert (await broker.submit(CODE).outcome()).status == "no-runner"


async def test_a_nearer_deadline_overtakes_a_farther_one() -> None:
    """A task with a short limit isn't kept waiting by one with a long limit."""
    async with open_broker() as broker:
        with fail_after(10):
            broker.submit(CODE)
            await trio.testing.wait_all_tasks_blocked()
            assert (await broker.submit(CODE, request_timeout=0.02).outcome()).status == "no-runner"


@pytest.mark.parametrize("how", ["close frame", "lost"])
async def test_disconnect_mid_task(how: str) -> None:
    """A runner that goes, politely or not, fails its running tasks at once; the rest is asked again."""
    async with open_broker() as broker:
        with fail_after(10):
            async with fake_runner(broker) as runner:
                running = broker.submit(CODE)
                await runner.offer()
                await runner.take()
                offered = broker.submit(CODE)
                await runner.offer()
                await runner.expect("broker:taskofferaccept")
                if how == "lost":
                    await runner.vanish()
                else:
                    await runner.socket.aclose()
                outcome = await running.outcome()
                assert outcome.status == "disconnected"
                assert outcome.error is not None
            async with fake_runner(broker) as other:
                await other.offer()
                await other.done((await other.take())["taskId"])
                assert (await offered.outcome()).status == "done"
            await until(lambda: broker.runners == [])


async def test_same_runner_id_connects_again() -> None:
    """The old socket is closed with 1000, its tasks fail, the new one serves."""
    async with open_broker() as broker, fake_runner(broker, "twin") as old:
        with fail_after(10):
            handle = broker.submit(CODE)
            await old.offer()
            await old.take()
            async with fake_runner(broker, "twin") as new:
                assert (await old.closed())[0] == 1000
                assert (await handle.outcome()).status == "disconnected"
                again = broker.submit(CODE)
                await new.offer()
                await new.done((await new.take())["taskId"])
                assert (await again.outcome()).status == "done"
                assert [view.id for view in broker.runners] == ["twin"]


class Deaf:
    """A WebSocket client that does nothing by itself: not even a pong."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.pending: list[Any] = []

    async def say(self, event: Any) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def hear(self) -> Any:
        while not self.pending:
            self.protocol.receive_data(await self.stream.receive_some() or None)
            self.pending = list(self.protocol.events())
        return self.pending.pop(0)

    async def connect(self, broker: Broker, **headers: str) -> AcceptConnection:
        extra = [(b"Authorization", f"Bearer {broker.grant_token()}".encode())]
        extra += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self.say(Request("broker", "/runners/_ws?id=deaf", extra_headers=extra))
        answer = await self.hear()
        assert isinstance(answer, AcceptConnection)
        return answer


async def test_unanswered_ping_ends_the_connection() -> None:
    """A runner whose pong is missing at the next heartbeat is closed with 1002, and its task fails."""
    async with open_broker(BrokerConfig(heartbeat_interval=0.1)) as broker:
        with fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
                runner = Deaf(stream)
                await runner.connect(broker)
                handle = broker.submit(CODE)
                task_id = handle.task_id
                for message in (
                    {"type": "runner:info", "name": "deaf", "types": ["python"]},
                    {"type": "runner:taskoffer", "offerId": "o", "taskType": "python", "validFor": -1},
                    {"type": "runner:taskaccepted", "taskId": task_id},
                ):
                    await runner.say(TextMessage(msgspec.json.encode(message).decode()))
                kinds = []
                while not isinstance(event := await runner.hear(), CloseConnection):
                    kinds.append(type(event))
                assert (event.code, event.reason) == (1002, "unresponsive")
                assert kinds.count(Ping) == 1
                outcome = await handle.outcome()
                assert outcome.status == "disconnected"
                assert outcome.error is not None
                assert "unresponsive" in outcome.error.message
                assert broker.runners == []


async def test_answered_pings_keep_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    """A runner that answers its pings stays through many heartbeats."""
    autojump_clock.autojump_threshold = 0.05
    async with open_broker(BrokerConfig(heartbeat_interval=10)) as broker, fake_runner(broker) as runner:
        with fail_after(300):
            await trio.sleep(150)
            handle = broker.submit(CODE)
            await runner.offer()
            await runner.done((await runner.take())["taskId"])
            assert (await handle.outcome()).status == "done"


async def test_drain_lets_running_tasks_finish() -> None:
    """Drain: runners are told, what runs may finish, what waits is cancelled, then close with 1001."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            running = broker.submit(CODE)
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            waiting = broker.submit(CODE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broker.drain, 5)
                await runner.expect("broker:drain")
                assert (await waiting.outcome()).status == "cancelled"
                assert (await broker.submit(CODE).outcome()).status == "cancelled"
                await runner.done(task_id, "late but right")
                assert (await running.outcome()).result() == "late but right"
                assert (await runner.closed())[0] == 1001


async def test_drain_cancels_what_outlives_the_grace() -> None:
    """When the grace is over: taskcancel that says why, then close with 1001."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            await runner.take()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broker.drain, 0.02)
                await runner.expect("broker:drain")
                cancel = await runner.expect("broker:taskcancel")
                assert "shutting down" in cancel["reason"]
                assert (await runner.closed())[0] == 1001
            assert (await handle.outcome()).status == "cancelled"


async def test_leaving_the_block_drains() -> None:
    """At the end of the block runners are told to drain and closed with 1001."""
    with fail_after(10):
        async with trio.open_nursery() as nursery:
            broker_is_up = trio.Event()
            runner_is_there = trio.Event()
            brokers = []

            async def serve() -> None:
                async with open_broker() as broker:
                    brokers.append(broker)
                    broker_is_up.set()
                    await runner_is_there.wait()

            nursery.start_soon(serve)
            await broker_is_up.wait()
            async with fake_runner(brokers[0]) as runner:
                runner_is_there.set()
                await runner.expect("broker:drain")
                assert (await runner.closed())[0] == 1001


# --- what runners get wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": 3}',
        '{"type": "runner:taskoffer"}',
        '{"type": "runner:taskdone", "taskId": []}',
    ],
)
async def test_malformed_frames_are_counted_and_ignored(frame: str) -> None:
    """A frame that is no message costs the runner nothing but a count."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            await runner.send_text(frame)
            handle = broker.submit(CODE)
            await runner.offer()
            await runner.done((await runner.take())["taskId"])
            assert (await handle.outcome()).status == "done"
            assert broker.counters.malformed == 1


async def test_nan_is_not_json() -> None:
    """A result with a bare NaN is not understood, as with n8n: the task runs into its time limit."""
    async with open_broker(BrokerConfig(task_timeout=0.1)) as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            await runner.send_text(f'{{"type":"runner:taskdone","taskId":"{task_id}","data":{{"result":NaN}}}}')
            assert (await handle.outcome()).status == "timeout"
            assert broker.counters.malformed == 1


async def test_unknown_message_is_ignored() -> None:
    """A kind that a newer runner might send harms nothing."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            await runner.send("runner:futuristic", x=1)
            await until(lambda: broker.counters.unknown == 1)
            assert broker.runners[0].registered


async def test_binary_frame_is_read_like_text() -> None:
    """JSON in a binary frame counts, as with n8n."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            offer = {"type": "runner:taskoffer", "offerId": "o", "taskType": "python", "validFor": -1}
            await runner.socket.send_message(msgspec.json.encode(offer))
            await until(lambda: broker.runners[0].offers == 1)


async def test_second_result_is_ignored() -> None:
    """The first result counts; the second is counted."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = broker.submit(CODE)
            await runner.offer()
            task_id = (await runner.take())["taskId"]
            await runner.done(task_id, 1)
            await runner.done(task_id, 2)
            await until(lambda: broker.counters.duplicates == 1)
            assert (await handle.outcome()).result() == 1


async def test_too_large_message_ends_the_connection() -> None:
    """A message beyond the payload limit closes with 1009."""
    async with open_broker(BrokerConfig(max_payload=10_000)) as broker, fake_runner(broker) as runner:
        with fail_after(10):
            await runner.send_text("x" * 20_000)
            assert (await runner.closed())[0] == 1009
            await until(lambda: broker.runners == [])


async def test_runner_that_reads_nothing_is_not_read_for_ever() -> None:
    """A runner that floods calls and never reads its answers is held back, then cut off by its heartbeat."""
    async with open_broker(BrokerConfig(heartbeat_interval=0.3)) as broker:
        with fail_after(30):
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
                runner = Deaf(stream)
                await runner.connect(broker)
                handle = broker.submit(CODE)
                for message in (
                    {"type": "runner:info", "name": "deaf", "types": ["python"]},
                    {"type": "runner:taskoffer", "offerId": "o", "taskType": "python", "validFor": -1},
                    {"type": "runner:taskaccepted", "taskId": handle.task_id},
                ):
                    await runner.say(TextMessage(msgspec.json.encode(message).decode()))
                call = {"type": "runner:rpc", "taskId": handle.task_id, "name": "logNodeOutput", "params": []}
                frame = TextMessage(msgspec.json.encode({"callId": "x" * 20_000, **call}).decode())

                async def flood() -> None:
                    while True:
                        await runner.say(frame)

                with pytest.raises(trio.BrokenResourceError):
                    await flood()
            assert (await handle.outcome()).status == "disconnected"
            assert broker.counters.rpc_calls < MAX_QUEUED
            await until(lambda: broker.runners == [])


# --- calls ---------------------------------------------------------------------------------


async def running_task(broker: Broker, runner: FakeRunner, **options: Any) -> TaskHandle:
    """A task that the runner has taken."""
    handle = broker.submit(CODE, **options)
    await runner.offer()
    await runner.take()
    return handle


async def test_prints_are_collected_in_order() -> None:
    """logNodeOutput fills the console, tells the listener, and is answered; also beside an RPC handler."""
    heard: list[list[str]] = []

    async def handler(task: TaskHandle, name: str, params: list[Any]) -> Any:
        raise AssertionError("prints are the broker's own")

    async with open_broker() as broker, fake_runner(broker) as runner:
        broker.rpc_handler = handler
        with fail_after(10):
            handle = await running_task(broker, runner, on_console=heard.append)
            lines = [["'a'", "1"], [], ["x", '{"k":[1]}']]
            for number, line in enumerate(lines):
                await runner.send(
                    "runner:rpc",
                    callId=f"c{number}",
                    taskId=handle.task_id,
                    name="logNodeOutput",
                    params=line,
                )
            await runner.done(handle.task_id)
            for number in range(3):
                answer = await runner.expect("broker:rpcresponse")
                assert (answer["callId"], answer["status"]) == (f"c{number}", "success")
            await handle.outcome()
            assert handle.console == lines == heard


async def test_prints_may_hold_half_a_surrogate_pair() -> None:
    """What is no text to UTF-8 is a print like any other, and what isn't a list of values is shown as it came."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = await running_task(broker, runner)
            call = f'{{"type":"runner:rpc","callId":"c","taskId":"{handle.task_id}","name":"logNodeOutput","params":'
            for params in (r"""["'\ud83d'",{"a":"\ud83d"}]""", r'{"a":"\ud83d"}'):
                await runner.send_text(f"{call}{params}}}")
                await runner.expect("broker:rpcresponse")
            assert handle.console == [["'\ud83d'", r'{"a":"\ud83d"}'], [r'{"a":"\ud83d"}']]


async def test_listener_that_fails_harms_nobody_else() -> None:
    """An exception in the requester's console listener doesn't cost the runner its connection."""

    def listener(line: list[str]) -> None:
        raise ZeroDivisionError

    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = await running_task(broker, runner, on_console=listener)
            call = {"callId": "c", "taskId": handle.task_id, "name": "logNodeOutput", "params": [1]}
            await runner.send("runner:rpc", **call)
            await runner.expect("broker:rpcresponse")
            await runner.done(handle.task_id)
            assert (await handle.outcome()).status == "done"
            assert handle.console == [["1"]]


async def test_unknown_method() -> None:
    """Without a handler every other method is not allowed."""
    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = await running_task(broker, runner)
            await runner.send("runner:rpc", callId="c", taskId=handle.task_id, name="os.system", params=["x"])
            answer = await runner.expect("broker:rpcresponse")
            assert (answer["status"], answer["data"]) == ("error", "Method not allowed")
            assert (broker.counters.rpc_calls, broker.counters.rpc_errors) == (1, 1)


@pytest.mark.parametrize(
    ("name", "params", "status", "data"),
    [
        ("double", [21], "success", 42),
        ("nothing", [], "success", None),
        ("refuse", [], "error", {"why": "because"}),
        ("fail", [], "error", {}),
        ("unserialisable", [], "error", {}),
    ],
)
@pytest.mark.parametrize("whose", ["broker", "task"])
async def test_rpc_handler(whose: str, name: str, params: list[Any], status: str, data: Any) -> None:
    """What the handler returns or raises becomes the answer; a task's own handler comes first."""

    async def handler(task: TaskHandle, name: str, params: list[Any]) -> Any:
        await trio.lowlevel.checkpoint()
        match name:
            case "double":
                return params[0] * 2
            case "refuse":
                raise RpcError({"why": "because"})
            case "fail":
                raise ZeroDivisionError
            case "unserialisable":
                return object()
        return None

    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            if whose == "broker":
                broker.rpc_handler = handler
                handle = await running_task(broker, runner)
            else:
                handle = await running_task(broker, runner, on_rpc=handler)
            await runner.send("runner:rpc", callId="c", taskId=handle.task_id, name=name, params=params)
            answer = await runner.expect("broker:rpcresponse")
            assert (answer["callId"], answer["taskId"]) == ("c", handle.task_id)
            assert (answer["status"], answer["data"]) == (status, data)


async def test_task_data_and_node_types() -> None:
    """Without handlers the broker answers from the task's own settings; with handlers, what they return."""

    async def data(task: TaskHandle, params: dict[str, Any]) -> Any:
        return {"asked": params}

    async def types(task: TaskHandle, params: list[Any]) -> Any:
        return params

    async with open_broker() as broker, fake_runner(broker) as runner:
        with fail_after(10):
            handle = await running_task(broker, runner)

            async def ask(kind: str, answer: str, params: Any) -> Any:
                await runner.send(kind, taskId=handle.task_id, requestId="q", requestParams=params)
                message = await runner.expect(answer)
                assert (message["taskId"], message["requestId"]) == (handle.task_id, "q")
                return message

            wanted = {"dataOfNodes": "all", "prevNode": False, "input": {"include": True}, "env": False}
            answer = await ask("runner:taskdatarequest", "broker:taskdataresponse", wanted)
            assert answer["data"]["inputData"] == {"main": [[{"json": {"n": 1}}]]}
            assert answer["data"]["envProviderState"]["env"] == {}
            answer = await ask("runner:nodetypesrequest", "broker:nodetypes", [{"name": "n", "version": 1}])
            assert answer["nodeTypes"] == []
            broker.task_data_handler = data
            broker.node_types_handler = types
            answer = await ask("runner:taskdatarequest", "broker:taskdataresponse", wanted)
            assert answer["data"] == {"asked": wanted}
            answer = await ask("runner:nodetypesrequest", "broker:nodetypes", [{"name": "n", "version": 1}])
            assert answer["nodeTypes"] == [{"name": "n", "version": 1}]


async def test_no_answer_after_the_end_of_the_task() -> None:
    """A handler that is still at work when its task ends is cancelled, and nothing is answered."""
    entered, left = trio.Event(), trio.Event()

    async def handler(task: TaskHandle, name: str, params: list[Any]) -> Any:
        entered.set()
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    async with open_broker() as broker, fake_runner(broker) as runner:
        broker.rpc_handler = handler
        with fail_after(10):
            handle = await running_task(broker, runner)
            await runner.send("runner:rpc", callId="c", taskId=handle.task_id, name="slow", params=[])
            await entered.wait()
            await runner.done(handle.task_id)
            await left.wait()
            await runner.send("runner:rpc", callId="d", taskId=handle.task_id, name="late", params=[])
            again = broker.submit(CODE)
            await runner.offer()
            await runner.done((await runner.take())["taskId"])  # the next message is about this, not the call
            assert (await again.outcome()).status == "done"


# --- large messages ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000_000, pytest.param(100_000_000, marks=pytest.mark.slow)])
async def test_large_payloads_do_not_hold_up_others(size: int) -> None:
    """While a large task goes both ways, pings are answered and another runner's tasks go through."""
    text = "x" * size
    raw = msgspec.Raw(b'["' + text.encode() + b'"]')
    small = 0
    async with (
        # a fake runner makes its 100 MB in one go, in this same event loop: its answers and pongs come late
        open_broker(BrokerConfig(heartbeat_interval=2.0 if size < 10**7 else 20.0, accept_timeout=60.0)) as broker,
        fake_runner(broker, "large") as large,
        fake_runner(broker, "small") as quick,
    ):
        with fail_after(100):
            handle = broker.submit(TaskSettings(code="", items=raw), task_type="large")
            ended = False

            async def large_task() -> None:
                nonlocal ended
                await large.offer(task_type="large")
                accept = await large.expect("broker:taskofferaccept")
                await large.send("runner:taskaccepted", taskId=accept["taskId"])
                frame = await large.socket.get_message()
                assert len(frame) > size
                del frame
                task_id = accept["taskId"]
                head = f'{{"type":"runner:taskdone","taskId":"{task_id}","data":{{"result":["'
                await large.send_text(head + text + '"]}}')
                outcome = await handle.outcome()
                assert outcome.data is not None
                assert len(bytes(outcome.data.result)) == size + 4
                ended = True

            async with trio.open_nursery() as nursery:
                nursery.start_soon(large_task)
                while not ended:
                    task = broker.submit(CODE)
                    await quick.offer()
                    await quick.done((await quick.take())["taskId"])
                    assert (await task.outcome()).status == "done"
                    small += 1
    assert small > 1
    gc.collect()


async def test_compression_is_not_accepted() -> None:
    """A runner that proposes compression gets a connection without."""
    async with open_broker() as broker:
        with fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
                answer = await Deaf(stream).connect(broker, Sec_WebSocket_Extensions="permessage-deflate")
                assert answer.extensions == []


# --- hooks for chaos -----------------------------------------------------------------------


async def test_outgoing_filter_drops_repeats_delays_and_invents() -> None:
    """What the filter yields is sent in place of the message."""
    seen = []

    def chaos(runner_id: str, message: BrokerMessage) -> Iterable[BrokerMessage | bytes | Delayed]:
        seen.append((runner_id, type(message).__name__))
        if isinstance(message, BrokerTaskOfferAccept):
            yield b"not json"
            yield message
            yield message
        else:
            yield Delayed(message, 0.01)

    async with open_broker() as broker, fake_runner(broker, "r") as runner:
        with fail_after(10):
            broker.outgoing_filter = chaos
            handle = broker.submit(CODE)
            await runner.offer()
            assert await runner.socket.get_message() == "not json"
            assert await runner.expect("broker:taskofferaccept") == await runner.expect("broker:taskofferaccept")
            await runner.send("runner:taskaccepted", taskId=handle.task_id)
            await runner.expect("broker:tasksettings")
            assert seen == [("r", "BrokerTaskOfferAccept"), ("r", "BrokerTaskSettings")]
            broker.outgoing_filter = lambda runner_id, message: ()
            handle.cancel()
            broker.outgoing_filter = None
            broker.submit(CODE)
            await runner.offer()
            await runner.expect("broker:taskofferaccept")


@pytest.mark.parametrize("abrupt", [True, False])
async def test_broker_disconnects_a_runner(abrupt: bool) -> None:
    """disconnect ends a connection with a close frame or without, and the task with it."""
    async with open_broker() as broker, fake_runner(broker, "r") as runner:
        with fail_after(10):
            handle = await running_task(broker, runner)
            assert not broker.disconnect("other")
            assert broker.disconnect("r", abrupt=abrupt)
            assert (await handle.outcome()).status == "disconnected"
            assert (await runner.closed())[0] == (1006 if abrupt else 1000)
            with pytest.raises(ConnectionClosed):
                await runner.offer()
            assert broker.runners == []


async def test_events() -> None:
    """What goes to the log also goes to the listener."""
    events: list[str] = []
    async with open_broker() as broker:
        broker.on_event = lambda name, fields: events.append(name)
        with fail_after(10):
            async with fake_runner(broker):
                pass
            await until(lambda: broker.runners == [])
    assert events == ["broker.runner_registered", "broker.runner_gone"]


async def until(condition: Any) -> None:
    """Wait for what the broker will do soon; the test's own limit bounds it."""
    while not condition():
        await trio.sleep(0.001)
