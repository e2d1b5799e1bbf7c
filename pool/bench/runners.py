"""Runners under load: child processes that are told where the embedded broker is."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import psutil
import trio

from reptarium.pool.bench.coming import Coming
from reptarium.pool.embedded_broker import Broker, BrokerConfig, RunnerView, open_broker

#: How long a runner may take from its start to its registration, and to end after SIGTERM (seconds).
START_TIMEOUT, STOP_TIMEOUT = 60.0, 20.0

OWN = shlex.join([sys.executable, "-m", "reptarium", "run"])
_BASELINE = shlex.join([sys.executable, "-m", "reptarium.pool.bench.baseline"])
#: Short names that ``--runner-cmd`` and ``--against`` understand. The baseline's tasks import again what its main
#: module does (event loop, WebSocket library), as is the way of a forkserver; ``baseline-light`` has a main module
#: that spares them that, ``baseline-polling`` offers every quarter of a second instead of at once. ``monty`` and
#: ``nsjail`` need the extra ``bench``: see ``others.py``.
KNOWN = {
    "reptarium": OWN,
    "baseline": _BASELINE,
    "baseline-light": shlex.join([sys.executable, "-m", "reptarium.pool.bench.baseline_light"]),
    "baseline-polling": f"{_BASELINE} --offer-interval 0.25",
    "monty": f"{_BASELINE} --by monty",
    "nsjail": f"{_BASELINE} --by nsjail",
}

#: What a runner under load is started with, unless the environment or the case says otherwise.
DEFAULTS = {
    "N8N_RUNNERS_MAX_CONCURRENCY": "10",
    "N8N_RUNNERS_STDLIB_ALLOW": "*",
    "N8N_RUNNERS_TASK_TIMEOUT": "300",
    "REPTARIUM_LOG_LEVEL": "warn",
}


_started: list[subprocess.Popen[bytes]] = []


def kill_all() -> None:
    """SIGKILL to all that were started here and live: there is no time for more."""
    for process in _started:
        process.kill()


class RunnerProcess:
    """One runner process. ``registered_after`` is seconds from its start to its registration.

    ``stderr`` is the descriptor that becomes its standard error (None: ours).
    """

    def __init__(self, command: str, broker: Broker, environ: Mapping[str, str]) -> None:
        self.command = KNOWN.get(command, command)
        self.registered_after = 0.0
        self.stderr: int | None = None
        self._environ = {
            **DEFAULTS,
            **os.environ,
            "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
            "N8N_RUNNERS_AUTH_TOKEN": broker.config.auth_token,
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's number, also when it has ended. Raises RuntimeError before :meth:`start`."""
        if self._process is None:
            raise RuntimeError("the runner has not been started")
        return self._process.pid

    @property
    def process(self) -> psutil.Process:
        """The process. Raises RuntimeError before :meth:`start`, psutil.NoSuchProcess when it has ended."""
        return psutil.Process(self.pid)

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self, preexec: Sequence[str] = ()) -> None:
        """Start it, behind the command ``preexec`` (such as ``prlimit``) when there is one. Raises RuntimeError."""
        # trio's own process would need a nursery for its life; this one outlives cancelled scopes and stop reaps it.
        # A group of its own: a terminal's Ctrl-C is for us, who end it in order
        command = [*preexec, *shlex.split(self.command)]
        try:
            self._process = subprocess.Popen(command, env=self._environ, stderr=self.stderr, process_group=0)
        except OSError as error:
            raise RuntimeError(f"the runner {command[0]!r} can't be started: {error.strerror}") from None
        _started.append(self._process)

    async def stop(self, *, kill: bool = False) -> int:
        """SIGTERM (or SIGKILL), wait, and SIGKILL when that takes too long. Returns the exit status."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.kill() if kill else process.terminate()
        with trio.move_on_after(STOP_TIMEOUT, shield=True):
            while process.poll() is None:
                await trio.sleep(0.01)
        if process.poll() is None:
            process.kill()
        return process.wait()


class Site:
    """A broker and its runners. ``coming``: who came and went, of runners that were started elsewhere."""

    def __init__(self, label: str, broker: Broker, runners: list[RunnerProcess], coming: Coming | None = None) -> None:
        self.label, self.broker, self.runners, self.coming = label, broker, runners, coming

    @property
    def command(self) -> str:
        """What was started."""
        return self.runners[0].command if self.runners else "runners that were started elsewhere"

    @property
    def registered_after(self) -> float | None:
        """Seconds that the slowest one took to start; None where that isn't known."""
        return max((runner.registered_after for runner in self.runners), default=None)

    def ended(self) -> str | None:
        """A runner of those that were started here has ended, in words."""
        for runner in self.runners:
            if runner.status is not None:
                return f"the runner ended with status {runner.status}: {runner.command}"
        return None

    def there(self) -> list[RunnerView]:
        """The runners that are registered."""
        return [view for view in self.broker.runners if view.registered]

    def processes(self) -> list[psutil.Process]:
        """The runners that live, of those that were started here."""
        found = []
        for runner in self.runners:
            with suppress(psutil.NoSuchProcess):
                found.append(runner.process)
        return found


@asynccontextmanager
async def open_site(
    label: str,
    command: str,
    *,
    runners: int = 1,
    environ: Mapping[str, str] | None = None,
    config: BrokerConfig | None = None,
) -> AsyncIterator[Site]:
    """A broker with ``runners`` registered runners, stopped on exit.

    Raises RuntimeError when a runner ends or isn't registered in time.
    """
    async with open_broker(config or BrokerConfig()) as broker:
        site = Site(label, broker, [])
        try:
            for _ in range(runners):
                runner = RunnerProcess(command, broker, environ or {})
                started = trio.current_time()
                runner.start()
                site.runners.append(runner)
                await registered(site, len(site.runners))
                runner.registered_after = trio.current_time() - started
            yield site
        finally:
            for runner in site.runners:
                await runner.stop()


async def registered(site: Site, count: int, timeout: float = START_TIMEOUT) -> None:
    """Wait until ``count`` runners are registered. Raises RuntimeError for one that has ended, or is too slow."""
    with trio.move_on_after(timeout):
        while sum(view.registered for view in site.broker.runners) < count:
            if ended := site.ended():
                raise RuntimeError(ended)
            await trio.sleep(0.005)
        return
    raise RuntimeError(f"{count} runners were not registered within {timeout:g} s: {site.runners[-1].command}")
