"""What a runner's standard streams may do to it: nothing. Real processes, real pipes, nobody who reads."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
import trio

from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from tests.integration.cli.test_runner_command import ended, running, start
from tests.integration.cli.test_signals import ENDLESS, begun, drains, free_port, with_health
from tests.integration.ops.plain_http import get
from tests.limits import fail_after, patient, within

pytestmark = pytest.mark.usefixtures("nothing_left")
#: A task whose log line is as long as its workflow's name.
WORDY = {"code": "return 1", "items": [], "workflowName": "w" * 200_000}
TASKS = 60  # 12 MB of log


class Stalled:
    """A small pipe that nobody reads until :meth:`read`."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        fcntl.fcntl(self._reading, fcntl.F_SETPIPE_SZ, 4096)

    def fill(self) -> None:
        """Leave no room for a single byte, for whoever writes to it."""
        flags = fcntl.fcntl(self.writing, fcntl.F_GETFL)
        fcntl.fcntl(self.writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        try:
            while True:
                os.write(self.writing, b"\n" * 4096)
        except BlockingIOError:
            fcntl.fcntl(self.writing, fcntl.F_SETFL, flags)

    async def read(self, until: str) -> str:
        """What has been written, up to the first line with these words."""
        fcntl.fcntl(self._reading, fcntl.F_SETPIPE_SZ, 1 << 20)
        text = bytearray()
        while until.encode() not in text[-(1 << 20) - len(until) :]:
            await trio.lowlevel.wait_readable(self._reading)
            chunk = os.read(self._reading, 1 << 20)
            assert chunk, text[-1000:]
            text += chunk
        return text.decode()

    def close(self) -> None:
        os.close(self._reading)
        os.close(self.writing)


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    made = Stalled()
    yield made
    made.close()


@pytest.mark.slow
async def test_nobody_reads_standard_error(stalled: Stalled) -> None:
    """Tasks are done, health and metrics answer; what can't be kept is counted, and said when somebody reads again."""
    port = free_port()
    with fail_after(90):
        async with (
            open_broker(BrokerConfig(auth_token="secret")) as broker,
            running(broker, stderr=stalled.writing, N8N_RUNNERS_AUTH_TOKEN="secret", **with_health(port)) as process,
        ):
            stalled.fill()
            for _ in range(TASKS):
                assert (await broker.submit(WORDY).outcome()).status == "done"
            url = f"http://127.0.0.1:{port}"
            assert (await get(url, "/healthz"))[0] == 200
            # a task's line comes when its worker is gone, a moment after its outcome
            while f"\nreptarium_task_peak_memory_bytes_count {TASKS}" not in (await get(url, "/metrics"))[2].decode():
                await trio.sleep(0.01)
            (dropped,) = re.findall(rb"^reptarium_log_lines_dropped_total (\d+)", (await get(url, "/metrics"))[2], re.M)
            assert 0 < int(dropped) < TASKS
            said = await stalled.read(" log lines were dropped\n")
            (missing,) = re.findall(r"(\d+) log lines were dropped", said)
            assert said.count("\tINFO\ttask ") == TASKS - int(missing)
            # asked again: more may have been dropped between the first answer and the reading
            (counted,) = re.findall(rb"^reptarium_log_lines_dropped_total (\d+)", (await get(url, "/metrics"))[2], re.M)
            assert int(counted) == int(missing)
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            assert "outcome=done" in await stalled.read("workflow=Unknown")
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                await trio.sleep(0.01)
            assert "shutting down" in await stalled.read("shutting down")
    assert process.returncode == 0


@pytest.mark.parametrize(("signals", "status"), [(1, 0), pytest.param(2, 130, marks=pytest.mark.slow)])
async def test_nobody_reads_the_last_words(stalled: Stalled, signals: int, status: int) -> None:
    """Neither the end in order nor the one at once waits for a reader that never comes."""
    port = free_port()
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(
                broker,
                stderr=stalled.writing,
                N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(),
                N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="600",
                **with_health(port),
            ) as process,
        ):
            stalled.fill()
            if signals == 2:
                await begun(broker, ENDLESS)
                process.send_signal(signal.SIGTERM)
                await drains(port)
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                await trio.sleep(0.01)
    assert process.returncode == status


@pytest.mark.parametrize(
    ("environ", "status"),
    [({}, 78), ({"N8N_RUNNERS_AUTH_TOKEN": "x", "N8N_RUNNERS_MAX_CONCURRENCY": "none"}, 78)],
)
async def test_nobody_reads_why_it_does_not_start(stalled: Stalled, environ: dict[str, str], status: int) -> None:
    """A start that is refused ends, with its own status, whether or not somebody reads why."""
    stalled.fill()
    with fail_after(30):
        assert (await ended(start(environ, stderr=stalled.writing)))[0] == status


PROGRAM = """
import sys
from reptarium.pool.ops.stderr import take_over_stderr
take_over_stderr()
for number in range(1000):
    print("line", number, file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("raise ValueError('a fault')", 1, "ValueError: a fault"),
        ("sys.exit('refused')", 1, "refused"),
        ("pass", 0, "line 999"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -2, "KeyboardInterrupt"),
        ("sys.stderr.write('half a line')", 0, "half a line"),
    ],
)
@pytest.mark.parametrize("read", [True, False])
def test_every_end_says_its_last_words(stalled: Stalled, end: str, status: int, last: str, read: bool) -> None:
    """Whatever ends the process: all lines are there, in order, the traceback last; and no reader is waited for."""
    program = [sys.executable, "-c", PROGRAM.format(end=end)]
    if not read:
        stalled.fill()
        assert subprocess.run(program, stderr=stalled.writing, timeout=within(30)).returncode == status
        return
    done = subprocess.run(program, stderr=subprocess.PIPE, timeout=within(30), text=True)
    assert done.returncode == status
    lines = done.stderr.splitlines()
    assert lines[:1000] == [f"line {number}" for number in range(1000)]
    assert lines[-1] == last


@pytest.mark.slow
async def test_a_reader_that_has_gone() -> None:
    """A broken pipe (EPIPE) at the other end of standard error: tasks are done, and the runner ends in order."""
    reading, writing = os.pipe()
    os.close(reading)
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(broker, stderr=writing, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process,
        ):
            os.close(writing)
            for _ in range(20):
                assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                await trio.sleep(0.01)
    assert process.returncode == 0


# --- closed at the start

#: All at once, and each by itself, which takes a process more for each command.
CLOSED = ["<&- >&- 2>&-", *(pytest.param(one, marks=pytest.mark.slow) for one in ("<&-", ">&-", "2>&-"))]


def without(closed: str, *arguments: str) -> list[str]:
    """A command of ours that is started with these streams closed."""
    return ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "reptarium", *arguments]


@contextmanager
def started(command: list[str], **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process, killed if it is still there at the end."""
    process = subprocess.Popen(command, env=os.environ | environ, stderr=subprocess.STDOUT, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_no_library_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """They are taken before the first import of what may open files for good: libffi does, when ctypes is imported."""
    program = """
    import os, sys
    def hook(event, arguments):
        if event == "import" and arguments[0] == "_ctypes":
            there = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
            open(sys.argv[1], "w").write(" ".join(there))
    sys.addaudithook(hook)
    import reptarium.pool.cli.main
    """
    command = [
        "sh",
        "-c",
        'exec "$@" <&- >&- 2>&-',
        "sh",
        sys.executable,
        "-c",
        dedent(program),
        str(tmp_path / "seen"),
    ]
    subprocess.run(command, check=True, timeout=within(60))
    assert (tmp_path / "seen").read_text() == "/dev/null /dev/null /dev/null"


#: A runner shows its descriptors to nobody else.
AS_ROOT = os.geteuid() == 0


@pytest.mark.parametrize("closed", CLOSED)
async def test_a_runner_with_closed_streams(closed: str) -> None:
    """It serves; /dev/null stands where they were, so that no socket gets their numbers."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            environ = {
                "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
                "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
                "N8N_RUNNERS_MAX_CONCURRENCY": "1",
            }
            with started(without(closed, "run"), **environ) as process:
                await broker.wait_for_runner()
                assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
                there = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)] if AS_ROOT else []
                process.send_signal(signal.SIGTERM)
                status, said = await ended(process)
    assert status == 0
    numbers = [number for number, sign in enumerate(("<&-", " >&-", "2>&-")) if sign in " " + closed and there]
    assert [there[number] for number in numbers] == ["/dev/null"] * len(numbers)
    assert not any(name.startswith(("socket:", "anon_inode:")) for name in there)
    assert "shutting down" in said or "2>&-" in closed


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["exec", "CODE", "--raw"], "42"),
        pytest.param(["doctor", "--json"], '"healthy"', marks=pytest.mark.slow),
        pytest.param(
            ["bench", "--case", "trivial", "--tasks", "3", "--rounds", "1"], "trivial", marks=pytest.mark.slow
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_commands_with_closed_streams(closed: str, arguments: list[str], says: str, tmp_path: Path) -> None:
    """They do what they do, and say it where there is somebody to hear it."""
    (tmp_path / "code.py").write_text("print('printed')\nreturn 42")
    command = without(closed, *(str(tmp_path / "code.py") if word == "CODE" else word for word in arguments))
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(60))
    assert done.returncode == 0, done.stderr
    assert " >&-" in " " + closed or says in done.stdout


@pytest.mark.parametrize("closed", CLOSED)
async def test_a_broker_with_closed_streams(closed: str) -> None:
    """It listens and ends in order."""
    port = free_port()
    with fail_after(60), started(without(closed, "broker", "--port", str(port))) as process:
        while process.poll() is None:
            try:
                await trio.aclose_forcefully(await trio.open_tcp_stream("127.0.0.1", port))
                break
            except OSError:
                await trio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        status, said = await ended(process)
    assert status == 0, said
