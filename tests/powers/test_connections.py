"""Connections that a task asks for as it always would: by name and address, blocking and not, many at once."""

from __future__ import annotations

import contextlib
import socket
import struct
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.powers.connections import ConnectLimits
from reptarium.sandbox.kernel import notify
from tests.limits import fail_after
from tests.powers.rig import LIMITS, Rig, echo, rig

pytestmark = pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections")

BOUND = 60


def limited(**changes: Any) -> ConnectLimits:
    return msgspec.structs.replace(LIMITS, **changes)


async def asked(rig: Rig, code: str, port: int, **variables: object) -> object:
    return (await rig.run(code, port=port, **variables)).result


async def test_a_listed_address_is_reached() -> None:
    """A blocking socket connects, and what is sent through it comes back."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                "s = socket.socket(); s.connect(('127.0.0.1', port)); s.sendall(b'hello')\n"
                "result = [s.recv(5).decode(), s.getpeername(), s.getblocking()]",
                port=port,
            )
            assert came.result == ["hello", ["127.0.0.1", port], True]
            assert came.seen == (f"127.0.0.1:{port} connected",)
            assert it.outcomes == ["connected"]


async def test_a_listed_name_is_resolved_and_reached() -> None:
    """The C library's resolver asks us, and a connection by the name is one to its address."""
    with fail_after(BOUND):
        async with rig("server.test:*", "127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                "s = socket.create_connection(('Server.TEST', port), 5); s.sendall(b'hello')\n"
                "result = s.recv(5).decode()",
                port=port,
            )
            assert came.result == "hello"
            assert came.seen == (f"server.test:{port} (127.0.0.1) connected",)


async def test_ipv6_is_reached() -> None:
    """IPv6 by address and by name."""
    with fail_after(BOUND):
        async with rig("six.test:*", "[::1]:*") as it:
            try:
                port = await it.serve(echo, "::1")
            except OSError:
                pytest.skip("this machine has no IPv6")
            code = "s = socket.create_connection((host, port), 5); s.sendall(b'6'); result = s.recv(1).decode()"
            assert await asked(it, code, port, host="::1") == "6"
            assert await asked(it, code, port, host="six.test") == "6"


async def test_a_name_that_is_not_listed_does_not_exist() -> None:
    """EAI_NONAME at once, without a question to anybody else, and the reason is told."""
    with fail_after(BOUND):
        async with rig("server.test:443") as it:
            came = await it.run(
                "try: socket.getaddrinfo('other.test', 443)\n"
                "except socket.gaierror as error: result = [error.errno, socket.EAI_NONAME]"
            )
            assert came.result[0] == came.result[1]
            assert came.refusals == ("REPTARIUM_CONNECT_ALLOW doesn't list the name other.test",)
            assert it.names.asked == []


async def test_a_name_server_that_does_not_answer_is_another_error() -> None:
    """EAI_AGAIN: it isn't known whether there is such a name."""
    with fail_after(BOUND):
        async with rig("*.test:443") as it:
            code = (
                "try: socket.getaddrinfo('broken.test', 443)\n"
                "except socket.gaierror as error: result = error.errno == socket.EAI_AGAIN"
            )
            assert (await it.run(code)).result is True


async def test_all_addresses_of_a_name_are_given() -> None:
    """getaddrinfo gives every address, which it sorts without sockets of its own."""
    with fail_after(BOUND):
        async with rig("many.test:1") as it:
            code = (
                "found = socket.getaddrinfo('many.test', 1, type=socket.SOCK_STREAM)\n"
                "result = sorted(each[4][0] for each in found)"
            )
            assert (await it.run(code)).result == ["127.0.0.1", "127.0.0.2"]


async def test_what_is_not_listed_is_refused() -> None:
    """EACCES, at once; the reason names the setting and what to write into it."""
    with fail_after(BOUND):
        async with rig("server.test:443") as it:
            came = await it.run("result = attempt(socket.socket().connect, ('198.18.0.1', 80))")
            assert came.result == "EACCES"
            assert came.seen == ("198.18.0.1:80 refused",)
            assert came.refusals == (
                "198.18.0.1 is a reserved address; REPTARIUM_CONNECT_ALLOW must list it, 198.18.0.1:80 or its network",
            )


async def test_a_server_that_is_not_there_refuses() -> None:
    """ECONNREFUSED, from a blocking connect and from one that isn't, and the same socket can try again."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                "s = socket.socket(); first = attempt(s.connect, ('127.0.0.1', 1))\n"
                "again = attempt(s.connect, ('127.0.0.1', port))\n"
                "t = socket.socket(); t.settimeout(5)\n"
                "result = [first, again, attempt(t.connect, ('127.0.0.1', 1))]",
                port=port,
            )
            assert came.result == ["ECONNREFUSED", "done", "ECONNREFUSED"]


async def test_a_connect_that_does_not_wait() -> None:
    """EINPROGRESS, then poll and SO_ERROR, as the kernel has them; a second connect says that it is connected."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                """
s = socket.socket(); s.setblocking(False)
first = errno.errorcode.get(s.connect_ex(("127.0.0.1", port)), "done")
p = select.poll(); p.register(s, select.POLLOUT)
ready = p.poll(5000)
problem = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
s.send(b"x"); p.modify(s, select.POLLIN); p.poll(5000)
time.sleep(0.1)
result = [first, len(ready), problem, s.recv(1).decode(), errno.errorcode[s.connect_ex(("127.0.0.1", port))]]
""",
                port=port,
            )
            assert came.result[0] in ("EINPROGRESS", "done")
            assert came.result[1:] == [1, 0, "x", "EISCONN"]


async def test_a_connection_that_is_reset_at_once_was_connected() -> None:
    """For who polls: its line tells what came of the attempt, not what the server did afterwards."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it, trio.open_nursery() as nursery:

            async def reset(stream: trio.SocketStream) -> None:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await stream.aclose()

            serve = partial(trio.serve_tcp, port=0, host="127.0.0.1")
            resetting, other = [
                (await nursery.start(serve, handler))[0].socket.getsockname()[1] for handler in (reset, echo)
            ]
            came = await it.run(
                """
s = socket.socket(); s.setblocking(False); s.connect_ex(("127.0.0.1", resetting))
p = select.poll(); p.register(s, select.POLLIN)
result = p.poll(10000) != []
socket.create_connection(("127.0.0.1", other))  # it has looked at the first by then
""",
                resetting=resetting,
                other=other,
            )
            assert came.result is True
            assert came.seen == (f"127.0.0.1:{resetting} connected", f"127.0.0.1:{other} connected")
            nursery.cancel_scope.cancel()


async def test_a_connect_ends_at_its_time_limit() -> None:
    """A server that never answers: ETIMEDOUT for who waits, an error for who polls, and no thread is stuck."""
    with fail_after(BOUND), contextlib.ExitStack() as held:
        async with rig("127.0.0.1:*", limits=limited(timeout=0.3)) as it:
            full = held.enter_context(trio.socket.socket())
            await full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            for _ in range(3):  # a backlog that is full drops what comes
                filler = held.enter_context(trio.socket.socket())
                with trio.move_on_after(0.1):
                    await filler.connect(("127.0.0.1", port))
            came = await it.run(
                """
blocking = attempt(socket.socket().connect, ("127.0.0.1", port))
s = socket.socket(); s.setblocking(False); s.connect_ex(("127.0.0.1", port))
p = select.poll(); p.register(s, select.POLLOUT)
polled = p.poll(10000) != []
result = [blocking, polled, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0]
""",
                port=port,
            )
            assert came.result == ["ETIMEDOUT", True, True]
            assert came.seen == (f"127.0.0.1:{port} timeout",) * 2


async def test_options_that_were_set_before_are_kept() -> None:
    """What a library sets before it connects holds for the connection: TCP_NODELAY, keep-alive, sizes, time limits."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                """
wanted = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
          (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33), (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)]
result = []
for timeout in (None, 5):
    s = socket.socket(); s.settimeout(timeout)
    for option in wanted: s.setsockopt(*option)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
    before = s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    s.connect(("127.0.0.1", port))
    result.append([s.getsockopt(level, option) for level, option, _ in wanted])
    result.append(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == before)
""",
                port=port,
            )
            assert came.result == [[1, 1, 33, 5000], True] * 2


async def test_fifty_at_once_in_threads() -> None:
    """Fifty threads resolve, connect and speak at the same time."""
    with fail_after(BOUND):
        async with rig("server.test:*", "127.0.0.1:*") as it:
            port = await it.serve(echo)
            came = await it.run(
                """
result, barrier = [], threading.Barrier(50)
def one(number):
    barrier.wait()
    with socket.create_connection(("server.test", port), 20) as s:
        s.sendall(b"%03d" % number)
        result.append(int(s.recv(3)))
threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
result.sort()
""",
                port=port,
            )
            assert came.result == list(range(50))
            assert it.outcomes == ["connected"] * 50
            assert came.seen[-1] == "and 30 more"


async def test_close_is_a_close() -> None:
    """The server sees the end when the task closes: nobody here keeps the connection."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            ended = trio.Event()

            async def until_end(stream: trio.SocketStream) -> None:
                async with stream:
                    async for _ in stream:
                        pass
                    ended.set()

            port = await it.serve(until_end)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    it.run,
                    f"s = socket.create_connection(('127.0.0.1', {port}), 5); s.close(); time.sleep(30); result = 1",
                )
                await ended.wait()
                nursery.cancel_scope.cancel()


async def test_connections_end_with_their_task() -> None:
    """A task that leaves its connections open: the server sees their end when the task has ended."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*") as it:
            ended = trio.Event()

            async def until_end(stream: trio.SocketStream) -> None:
                async with stream:
                    try:
                        async for _ in stream:
                            pass
                    except trio.BrokenResourceError:
                        pass
                    ended.set()

            port = await it.serve(until_end)
            await it.run("kept = socket.create_connection(('127.0.0.1', port), 5); result = 1", port=port)
            await ended.wait()


async def test_calls_are_counted_and_paced() -> None:
    """More connections than a task may make are refused with the setting's name; faster ones than the rate wait."""
    with fail_after(BOUND):
        async with rig("127.0.0.1:*", limits=limited(most=4, rate=2)) as it:
            port = await it.serve(echo)
            came = await it.run(
                "begun = time.monotonic()\n"
                "result = [attempt(socket.create_connection, ('127.0.0.1', port)) for _ in range(6)]\n"
                "result.append(time.monotonic() - begun > 0.5)",
                port=port,
            )
            assert came.result == ["done"] * 4 + ["EACCES"] * 2 + [True]
            assert came.refusals == ("a task may make 4 connections (REPTARIUM_CONNECT_MAX)",)
