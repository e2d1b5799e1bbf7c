"""`reptarium broker` as a process: what signals and its standard streams may do to it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from tests.integration.cli.test_signals import free_port
from tests.integration.cli.test_standard_streams import Stalled
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "not-a-real-token"


@contextmanager
def serving(port: int, stdout: int, stderr: int = subprocess.STDOUT) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process, killed if it is still there at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reptarium", "broker", "--port", str(port)],
        env={"PATH": os.environ["PATH"], "N8N_RUNNERS_AUTH_TOKEN": TOKEN},
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@asynccontextmanager
async def asking(
    process: subprocess.Popen[bytes], port: int, request: str, body: str = ""
) -> AsyncIterator[trio.SocketStream]:
    """A connection on which that was asked, as soon as somebody listens."""
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            break
        except OSError:
            assert process.poll() is None
            await trio.sleep(0.02)
    async with stream:
        await stream.send_all(f"{request}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        yield stream


async def ending(process: subprocess.Popen[bytes]) -> int:
    """The exit status."""
    while (status := process.poll()) is None:
        await trio.sleep(0.01)
    return status


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
async def test_it_serves_and_ends_whoever_reads_what_it_says(number: signal.Signals) -> None:
    """Nobody reads standard output and error from the start: it is there, lets pass what means nothing, and ends."""
    stalled, port = Stalled(), free_port()
    stalled.fill()
    try:
        with fail_after(60), serving(port, stalled.writing, stalled.writing) as process:
            async with asking(process, port, "GET /healthz HTTP/1.1") as stream:
                process.send_signal(signal.SIGUSR1)
                process.send_signal(signal.SIGRTMIN + 3)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
            process.send_signal(number)
            assert await ending(process) == 0
    finally:
        stalled.close()


async def test_a_second_signal_ends_it_at_once() -> None:
    """While it waits for a runner that doesn't close its connection: status 130, without a traceback."""
    port = free_port()
    with fail_after(60), serving(port, subprocess.PIPE) as process:
        async with asking(process, port, "POST /runners/auth HTTP/1.1", json.dumps({"token": TOKEN})) as stream:
            answer = await stream.receive_some()
            while not answer.endswith(b"}"):
                answer += await stream.receive_some()
        grant = json.loads(answer.rpartition(b"\r\n\r\n")[2])["data"]["token"]
        upgrade = (
            "GET /runners/_ws?id=deaf HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
            f"Authorization: Bearer {grant}"
        )
        async with asking(process, port, upgrade) as stream:
            said = b""
            while b"broker:inforequest" not in said:
                said += await stream.receive_some()
            process.send_signal(signal.SIGHUP)
            while b"\x88" not in said:  # its close frame, which nobody answers
                said += await stream.receive_some()
            process.send_signal(signal.SIGTERM)
            assert await ending(process) == 130
        assert process.stdout is not None
        out = process.stdout.read()
    assert b"ending at once" in out
    assert b"Traceback" not in out
