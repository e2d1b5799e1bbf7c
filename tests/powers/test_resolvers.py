"""Resolvers of every kind ask, and the supervisor answers: for listed names, over TCP and UDP, from whichever library.

What asks here is glibc's, dnspython, c-ares where it is installed, and what musl's does, call by call.
"""

from __future__ import annotations

import errno
import importlib.util
import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
import trio

from reptarium.pool.powers.answers import Answers, NoNames
from reptarium.pool.powers.datagrams import Datagrams
from reptarium.pool.powers.destinations import Destinations
from reptarium.pool.powers.listener import Destination, Stopped
from reptarium.sandbox.kernel import notify
from tests.limits import fail_after
from tests.powers.rig import rig

HANDED_OVER = pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections")
BOUND = 60

#: ``ask`` makes a question for a name.
ASK = """
def ask(name, kind=1):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return bytes.fromhex("126701000001000000000000") + labels + struct.pack(">BHH", 0, kind, 1)
"""
GLIBC = "result = [socket.getaddrinfo(n, 1, type=1)[0][4][0] for n in ('server.test', 'six.test')]"
#: name → (module that it takes, code that gives ``result``, what it must be)
RESOLVERS: dict[str, tuple[str, str, Any]] = {
    "glibc over TCP": ("socket", GLIBC, ["127.0.0.1", "::1"]),
    "glibc over UDP": (
        "socket",
        f"os.putenv('RES_OPTIONS', 'single-request attempts:1'); {GLIBC}",
        ["127.0.0.1", "::1"],
    ),
    "glibc in threads": (
        "socket",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(20) as pool:\n"
        "    result = sorted(set(pool.map(lambda n: socket.gethostbyname('server.test'), range(60))))",
        ["127.0.0.1"],
    ),
    "a name with a dot at its end": ("socket", "result = socket.gethostbyname('SERVER.test.')", "127.0.0.1"),
    "musl's: bound, not connected, polled": (
        "socket",
        "s = socket.socket(2, 2 | socket.SOCK_NONBLOCK); s.bind(('0.0.0.0', 0)); p = select.poll(); p.register(s, 1)\n"
        "sent = s.sendto(ask('server.test'), ('127.0.0.1', 53)) == len(ask('server.test')); p.poll(5000)\n"
        "data, where = s.recvfrom(512); result = [sent, data[-4:].hex(), where, attempt(s.recvfrom, 512)]",
        [True, "7f000001", ["127.0.0.1", 53], "EAGAIN"],
    ),
    "connected, and waiting": (
        "socket",
        "s = socket.socket(2, 2); s.connect(('127.0.0.1', 53)); s.send(ask('server.test'))\n"
        "data, where = s.recvfrom(512); s.send(ask('many.test'))\n"
        "result = [data[-4:].hex(), where, s.recv(512)[-4:].hex(), s.getpeername(), s.getsockname()[0]]",
        ["7f000001", ["127.0.0.1", 53], "7f000002", ["127.0.0.1", 53], "127.0.0.1"],
    ),
    "what is shorter than the answer": (
        "socket",
        "s = socket.socket(2, 2); s.sendto(ask('server.test'), ('127.0.0.1', 53)); result = len(s.recvfrom(12)[0])",
        12,
    ),
    "a name that isn't listed": (
        "socket",
        "s = socket.socket(2, 2); s.sendto(ask('other.example'), ('127.0.0.1', 53)); result = s.recvfrom(512)[0][3] & 15",
        3,
    ),
    "dnspython": (
        "dns",
        "import dns.resolver\nr = dns.resolver.Resolver(configure=False); r.nameservers = ['127.0.0.1']\n"
        "result = sorted(str(x) for n, t in (('many.test', 'A'), ('six.test', 'AAAA')) for x in r.resolve(n, t))",
        ["127.0.0.1", "127.0.0.2", "::1"],
    ),
    "dnspython over TCP": (
        "dns",
        "import dns.resolver\nr = dns.resolver.Resolver(configure=False); r.nameservers = ['127.0.0.1']\n"
        "result = [str(x) for x in r.resolve('server.test', tcp=True)]",
        ["127.0.0.1"],
    ),
    "dnspython with asyncio": (
        "dns",
        "import asyncio, dns.asyncresolver\nr = dns.asyncresolver.Resolver(configure=False); r.nameservers = ['127.0.0.1']\n"
        "result = [str(x) for x in asyncio.run(r.resolve('server.test'))]",
        ["127.0.0.1"],
    ),
    "c-ares": (
        "pycares",
        "import asyncio, aiodns\n"
        "async def main(): return [n.addr[0] for n in (await aiodns.DNSResolver().getaddrinfo('many.test', port=1)).nodes]\n"
        "result = sorted(a.decode() for a in asyncio.run(main()))",
        ["127.0.0.1", "127.0.0.2"],
    ),
    "c-ares over TCP": (
        "pycares",
        "import asyncio, aiodns, pycares\n"
        "async def main():\n"
        "    r = aiodns.DNSResolver(flags=pycares.ARES_FLAG_USEVC)\n"
        "    return [n.addr[0] for n in (await r.getaddrinfo('server.test', port=1)).nodes]\n"
        "result = [a.decode() for a in asyncio.run(main())]",
        ["127.0.0.1"],
    ),
}


@HANDED_OVER
async def test_every_kind_of_resolver_is_answered() -> None:
    """What each asks for a listed name has its addresses; none of it leaves this machine's supervisor."""
    wrong = {}
    with fail_after(BOUND):
        async with rig("*.test:*", "127.0.0.1:1") as it:
            for name, (module, code, wanted) in RESOLVERS.items():
                if importlib.util.find_spec(module) is not None:
                    came = await it.run(ASK + code)
                    if came.result != wanted:
                        wrong[name] = came
            assert wrong == {}
            assert "other.example" not in it.names.asked


@HANDED_OVER
async def test_the_machines_configuration_is_what_a_task_asks() -> None:
    """Who reads resolv.conf asks the servers that it names, and is answered all the same; the hosts file is not there
    to be read."""
    with fail_after(BOUND):
        async with rig("*.test:*") as it:
            if not it.names.nameservers:
                pytest.skip("this machine has no resolv.conf")
            came = await it.run(
                "import dns.resolver\nresult = [[str(x) for x in dns.resolver.resolve('server.test')], attempt(open, '/etc/hosts')]"
            )
            assert came.result[0] == ["127.0.0.1"]
            assert came.result[1] in ("ENOENT", "EACCES")


@HANDED_OVER
async def test_a_listed_server_of_names_is_connected_to() -> None:
    """Where an administrator lists a name server's address, a task speaks to the server itself."""
    with fail_after(BOUND):
        async with rig("127.0.0.9:53") as it:
            it.names.nameservers = frozenset({ip_address("127.0.0.9")})
            came = await it.run("result = attempt(socket.create_connection, ('127.0.0.9', 53), 5)")
            assert came.seen == ("127.0.0.9:53 failed",)
            assert came.result == "ECONNREFUSED"


class _Memory:
    """A listener over a bytearray: ``aside`` is done at once."""

    def __init__(self, memory: bytearray) -> None:
        self.memory, self.answers = memory, list[tuple[int, int]]()

    async def aside(self, function: Any, *args: Any) -> Any:
        return function(*args)

    async def read(self, pointer: int, size: int) -> bytes:
        return bytes(self.memory[pointer : pointer + size])

    async def write(self, pointer: int, data: bytes) -> None:
        self.memory[pointer : pointer + len(data)] = data

    async def put(self, stopped: Stopped, source: object) -> int:
        return 7

    def answer(self, stopped: Stopped, error: int = 0, value: int = 0) -> None:
        self.answers.append((error, value))


async def test_a_message_with_its_address_in_memory(nursery: trio.Nursery, autojump_clock: object) -> None:
    """recvmsg, as musl's resolver calls it since 1.2.4: the answer in the first vector, the address and its length in
    the header."""
    memory = bytearray(4096)
    listener: Any = _Memory(memory)
    answers = Answers(Destinations([]), NoNames(), trio.lowlevel.checkpoint, lambda why: None)
    sockets = Datagrams(listener, answers, lambda to: True, lambda why: None, trio.lowlevel.checkpoint, 4)
    assert await sockets.make(Stopped(1, "socket", (2, 2, 0, 0, 0, 0)), nursery) == 7
    question = bytes.fromhex("126701000001000000000000") + b"\x01x\x04test\x00\x00\x01\x00\x01"
    sockets._held[7].asked = Destination(ip_address("9.9.9.9"), 53)
    sockets._held[7].theirs.send(question)
    header = struct.pack("=QI4xQQQQi4x", 1000, 28, 200, 1, 0, 0, 0)  # struct msghdr: name, its room, vectors, how many
    memory[100 : 100 + len(header)] = header
    memory[200:216] = (300).to_bytes(8, "little") + (512).to_bytes(8, "little")
    await sockets.answer(Stopped(2, "recvmsg", (7, 100, 0, 0, 0, 0)), nursery)
    with fail_after(BOUND):
        while len(listener.answers) < 2:
            await trio.sleep(0.01)
    assert listener.answers[1] == (0, len(question))
    assert memory[300:302] == question[:2]
    assert memory[1000:1008] == bytes.fromhex("0200003509090909")
    assert memory[108:112] == (16).to_bytes(4, "little")
    sockets.close()


async def test_a_supervisor_without_descriptors_says_so(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pair can be made the task is told the errno, and everything goes on."""

    def none_left(*of: int) -> None:
        raise OSError(errno.EMFILE, "none left")

    listener: Any = _Memory(bytearray())
    answers = Answers(Destinations([]), NoNames(), trio.lowlevel.checkpoint, lambda why: None)
    sockets = Datagrams(listener, answers, lambda to: True, lambda why: None, trio.lowlevel.checkpoint, 4)
    monkeypatch.setattr(socket, "socketpair", none_left)
    assert await sockets.make(Stopped(1, "socket", (2, 2, 0, 0, 0, 0)), nursery) is None
    monkeypatch.undo()
    assert listener.answers == [(errno.EMFILE, 0)]
