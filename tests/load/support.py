"""What the tests of faults share: a runner that is a process of its own, and when it is whole again."""

from __future__ import annotations

import os
import resource
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import trio

from reptarium.pool.bench.faults import by_name
from reptarium.pool.bench.runners import Site, open_site
from reptarium.pool.bench.stats import descriptors_of, tree
from reptarium.pool.embedded_broker import BrokerConfig, RunnerView, TaskHandle
from reptarium.sandbox.wire import BUSY_NAME, IDLE_NAME

#: How long a slow machine under load may take for what an idle one does at once (seconds).
PATIENCE = 30.0
#: Workers of :func:`one_runner`.
WORKERS = 3


async def until(condition: Callable[[], object], what: str, within: float = PATIENCE) -> None:
    """Wait until ``condition()``. Raises AssertionError that names ``what`` after ``within`` seconds."""
    with trio.move_on_after(within):
        while not condition():
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within {within:g} s: {what}")


class Whole:
    """What a warm runner consists of, to be compared with what it is after a fault."""

    def __init__(self, site: Site) -> None:
        (self._root,) = site.processes()
        self.site = site
        self.parked = self.pids(IDLE_NAME)
        self.zygote = self.zygotes()
        self.struck_at: float | None = None
        self._descriptors = descriptors_of(self._root)
        site.broker.on_event = self._note

    def _note(self, event: str, fields: object) -> None:
        if event == "broker.runner_gone":
            self.struck()

    def struck(self) -> None:
        """A fault has been done: recovery is measured from now on (a lost connection says so by itself)."""
        self.struck_at = trio.current_time()

    def pids(self, *names: str) -> set[int]:
        """The process ids of the workers that show one of ``names`` (one that is just forked has its zygote's)."""
        return {process.pid for process in by_name(self.site, *names)}

    def zygotes(self) -> set[int]:
        """The process ids of the runner's own children: its zygote."""
        return {process.pid for process in self._root.children()}

    def is_whole(self) -> bool:
        """Registered, one zygote, every worker parked, and no other process (zombies are processes)."""
        with suppress(psutil.NoSuchProcess):
            return (
                any(view.registered for view in self.site.broker.runners)
                and len(self.pids(IDLE_NAME)) == len(self.parked)
                and len(tree(self._root)) == len(self.parked) + 2
                # the connection and a grant being fetched come and go
                and descriptors_of(self._root) <= self._descriptors + 2
            )
        return False

    def state(self) -> str:
        """What there is, in words."""
        shown = Counter(process.name() for process in tree(self._root)[1:])
        registered = sum(view.registered for view in self.site.broker.runners)
        return (
            f"{registered} registered, {dict(shown)}, {descriptors_of(self._root)} of {self._descriptors} descriptors"
        )

    async def again(self, what: str = "the pool is whole", within: float = PATIENCE) -> float:
        """Wait until it is whole, also after a task. Returns, and prints, the seconds from fault to whole."""
        await self._whole(what, within)
        now = trio.current_time()
        took = now - (now if self.struck_at is None else self.struck_at)
        print(f"whole again after {took:.2f} s")
        await serves(self.site)
        await self._whole("the pool is whole after a task", within)
        return took

    async def _whole(self, what: str, within: float) -> None:
        try:
            await until(self.is_whole, what, within)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.state()}") from None


async def serves(site: Site) -> None:
    """A task is done. Raises AssertionError with its outcome when it isn't."""
    outcome = await site.broker.submit({"code": "return [{'json': {'n': 1}}]", "items": []}).outcome()
    assert outcome.status == "done", outcome


async def printed(handle: TaskHandle) -> None:
    """Wait until the task has printed something: its code runs."""
    await until(lambda: handle.console or handle.done, "the task runs")
    assert not handle.done, await handle.outcome()


def runner_of(site: Site) -> RunnerView:
    """The one registered runner."""
    (view,) = [view for view in site.broker.runners if view.registered]
    return view


def idle(site: Site) -> Sequence[psutil.Process]:
    """The parked workers, and those on their way there."""
    return by_name(site, IDLE_NAME)


def busy(site: Site) -> Sequence[psutil.Process]:
    """The workers with a task."""
    return by_name(site, BUSY_NAME)


@asynccontextmanager
async def one_runner(
    *, workers: int = WORKERS, command: str = "reptarium", config: BrokerConfig | None = None, **environ: str
) -> AsyncIterator[Whole]:
    """A broker and one registered runner with ``workers`` parked workers; what it consists of."""
    given = {"N8N_RUNNERS_MAX_CONCURRENCY": str(workers), "N8N_RUNNERS_STDLIB_ALLOW": "time"}
    given |= {"REPTARIUM_LOG_LEVEL": "error", **environ}
    # a machine under load may take longer than n8n's two seconds to accept a thousand tasks
    config = config or BrokerConfig(accept_timeout=PATIENCE)
    async with open_site("own", command, environ=given, config=config) as site:
        await until(lambda: len(idle(site)) == workers, "the pool is warm")
        yield Whole(site)


def descriptors(pid: int) -> int:
    """The smallest limit of open files under which a process has none left: its highest descriptor plus one."""
    return max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1


#: Limits that the tests lower: their names in /proc/PID/limits and for prlimit(1).
_LIMITS = {resource.RLIMIT_NOFILE: ("Max open files", "nofile"), resource.RLIMIT_NPROC: ("Max processes", "nproc")}


@contextmanager
def limited(pid: int, limit: int, soft: int) -> Iterator[None]:
    """Lower a living process's resource limit (``resource.RLIMIT_*``) while the block runs."""
    label, name = _LIMITS[limit]
    (line,) = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith(label)]
    before = int(line.removeprefix(label).split()[0])
    _set_limit(pid, name, soft)
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            _set_limit(pid, name, before)


def _set_limit(pid: int, name: str, soft: int) -> None:
    # as the process's own user: root without CAP_SYS_RESOURCE (a container's) may not set another's limits
    process = psutil.Process(pid)
    user, group = process.uids().real, process.gids().real
    same = (user, group) == (os.getuid(), os.getgid())
    who: dict[str, Any] = {} if same else {"user": user, "group": group, "extra_groups": []}
    subprocess.run(["prlimit", f"--pid={pid}", f"--{name}={soft}:"], check=True, **who)
