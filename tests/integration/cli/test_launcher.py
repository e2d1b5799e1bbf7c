"""n8n's launcher, played: it starts us from deploy/launcher/n8n-task-runners.json as it would start the original.

The launcher is a program that isn't to be had from a package registry; what it does was read in its documentation
(lifecycle and environment): it waits for the broker, fetches a grant token with the shared secret, starts the runner
with a few variables of its own and those that the file lets through, asks for its health, forwards SIGTERM, and
starts it anew with a new token when it has ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.embedded_broker import Broker, open_broker
from tests.integration.ops.plain_http import get
from tests.limits import fail_after, patient

pytestmark = pytest.mark.usefixtures("nothing_left")
FILE = Path(__file__).resolve().parents[3] / "deploy" / "launcher" / "n8n-task-runners.json"
SECRET = "shared-secret-of-n8n-and-launcher"
ALWAYS = ("LANG", "PATH", "TZ", "TERM")


_spawned: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def none_lives_on() -> Iterator[None]:
    """A test that fails leaves no runner behind."""
    yield
    while _spawned:
        process = _spawned.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spawn(arguments: Sequence[str], workdir: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Our interpreter, with nothing in its environment but what is given."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=workdir,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    _spawned.append(process)
    return process


class Launcher:
    """Starts the Python runner of the file, again and again."""

    def __init__(self, broker: Broker, workdir: Path, environ: Mapping[str, str]) -> None:
        runners = json.loads(FILE.read_text())["task-runners"]
        (self.config,) = (runner for runner in runners if runner["runner-type"] == "python")
        self.broker = broker
        self.port = free_port()  # the file's may be taken on this machine
        self._workdir = workdir
        self._environ = {"PATH": os.environ["PATH"], "N8N_RUNNERS_AUTH_TOKEN": SECRET, **environ}
        self.tokens: list[str] = []

    def environment(self, grant: str) -> dict[str, str]:
        allowed = {*ALWAYS, *self.config["allowed-env"]}
        return (
            {name: value for name, value in self._environ.items() if name in allowed}
            | {"N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT": "15", "N8N_RUNNERS_TASK_TIMEOUT": "60"}
            | {name: value for name, value in self._environ.items() if name.endswith("_TIMEOUT")}
            | self.config.get("env-overrides", {})
            | {
                "N8N_RUNNERS_TASK_BROKER_URI": self.broker.uri,
                "N8N_RUNNERS_GRANT_TOKEN": grant,
                "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
                "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(self.port),
            }
        )

    async def start(self) -> subprocess.Popen[bytes]:
        grant = await fetch_grant(self.broker.uri, "/runners", SECRET)
        self.tokens.append(grant)
        assert self.config["command"].endswith("/bin/python")
        return spawn(self.config["args"], self._workdir, self.environment(grant))

    async def health(self, path: str) -> int:
        """The status of the runner's health server, as soon as it listens."""
        while True:
            try:
                return (await get(f"http://127.0.0.1:{self.port}", path))[0]
            except OSError:
                await trio.sleep(0.02)


async def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit status and everything that was said."""
    out, _ = await trio.to_thread.run_sync(process.communicate)
    return process.returncode, out.decode()


async def stop(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """As the launcher: SIGTERM, and wait for the end."""
    process.send_signal(signal.SIGTERM)
    return await ended(process)


async def result(broker: Broker, code: str) -> Any:
    outcome = await broker.submit({"code": code, "items": []}).outcome()
    assert outcome.status == "done", outcome
    assert outcome.data is not None
    return json.loads(bytes(outcome.data.result))


@pytest.mark.slow
async def test_launched_idle_and_launched_again(tmp_path: Path) -> None:
    """A task is served, idleness ends us with status 0, and the next launch with a new token serves again."""
    with fail_after(90):
        async with open_broker(patient(auth_token=SECRET)) as broker:
            launcher = Launcher(broker, tmp_path, {"N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT": "1"})
            for number in range(2):
                process = await launcher.start()
                await broker.wait_for_runner()
                assert await launcher.health("/healthz") == 200
                assert await launcher.health("/") == 200
                assert await result(broker, f"return {number}") == number
                status, said = await ended(process)
                assert status == 0, said
                while broker.runners:
                    await trio.sleep(0.01)
            assert len(set(launcher.tokens)) == 2


async def test_settings_of_the_container_get_through_and_the_secret_does_not(tmp_path: Path) -> None:
    """The file's list lets our settings through; the shared secret stays with the launcher."""
    with fail_after(60):
        async with open_broker(patient(auth_token=SECRET)) as broker:
            launcher = Launcher(
                broker,
                tmp_path,
                {
                    "N8N_RUNNERS_STDLIB_ALLOW": "os, math",
                    "N8N_BLOCK_RUNNER_ENV_ACCESS": "false",
                    "REPTARIUM_RUNNER_NAME": "launched",
                    "TZ": "Europe/Berlin",
                    "DATABASE_PASSWORD": "not-for-runners",
                    "SOMETHING_ELSE": "not-for-runners",
                },
            )
            process = await launcher.start()
            runner = await broker.wait_for_runner()
            assert runner.name == "launched"
            seen = await result(broker, "import os\nreturn dict(os.environ)")
            status, said = await stop(process)
    assert status == 0, said
    assert seen["TZ"] == "Europe/Berlin"
    assert "not-for-runners" not in seen.values()
    assert not {"N8N_RUNNERS_AUTH_TOKEN", "N8N_RUNNERS_GRANT_TOKEN"} & seen.keys()
    assert SECRET not in launcher.environment("").values()
    assert "is not a setting" not in said


@pytest.mark.slow
async def test_logs_are_plain_lines_of_the_launchers_level(tmp_path: Path) -> None:
    """Time, level, text, without colours; N8N_RUNNERS_LAUNCHER_LOG_LEVEL decides; no token is in them."""
    with fail_after(90):
        async with open_broker(patient(auth_token=SECRET)) as broker:
            said = {}
            for level in ("info", "error"):
                launcher = Launcher(broker, tmp_path, {"N8N_RUNNERS_LAUNCHER_LOG_LEVEL": level})
                process = await launcher.start()
                await broker.wait_for_runner()
                assert await result(broker, "return 1") == 1
                status, said[level] = await stop(process)
                assert status == 0, said[level]
                while broker.runners:
                    await trio.sleep(0.01)
    lines = said["info"].splitlines()
    assert all(line.split("\t")[1] in ("INFO", "WARNING") for line in lines), lines
    assert any("outcome=done" in line for line in lines)
    assert "\x1b" not in said["info"]
    assert not any(token in said["info"] for token in (SECRET, *launcher.tokens))
    assert said["error"] == ""


@pytest.mark.slow
async def test_a_lost_broker_ends_us_so_that_the_launcher_starts_us_anew(tmp_path: Path) -> None:
    """With a spent grant token there is no way back: another status than 0, as the launcher expects of a fault."""
    with fail_after(60):
        async with open_broker(patient(auth_token=SECRET)) as broker:
            launcher = Launcher(broker, tmp_path, {})
            process = await launcher.start()
            runner = await broker.wait_for_runner()
            broker.disconnect(runner.id, abrupt=True)
            status, said = await ended(process)
            assert status == 3, said
            process = await launcher.start()
            await broker.wait_for_runner()
            assert await result(broker, "return 2") == 2
            status, said = await stop(process)
            assert status == 0, said


async def test_started_by_n8n_itself(tmp_path: Path) -> None:
    """n8n also starts runners of its own, without a launcher: under the id that it gives them."""
    with fail_after(60):
        async with open_broker(patient(auth_token=SECRET)) as broker:
            environ = {
                "PATH": os.environ["PATH"],
                "N8N_RUNNERS_ID": "V1StGXR8_Z5jdHi6B-myT",
                "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
                "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
                "N8N_RUNNERS_MAX_PAYLOAD": str(2**30),
                "N8N_RUNNERS_MAX_CONCURRENCY": "10",
                "N8N_RUNNERS_TASK_TIMEOUT": "300",
                "N8N_RUNNERS_HEARTBEAT_INTERVAL": "30",
            }
            process = spawn(["-I", "-m", "reptarium", "run"], tmp_path, environ)
            runner = await broker.wait_for_runner()
            assert runner.id == "V1StGXR8_Z5jdHi6B-myT"
            status, said = await stop(process)
            assert status == 0, said
            assert "is not a setting" not in said
