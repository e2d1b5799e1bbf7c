"""One zygote and its workers, from its start to their burial: a fault boundary.

Theory of operation. A :class:`Brood` starts a zygote (``zygote.py``), greets it, orders workers from it, and turns what
it tells of births, deaths and failed forks into states of workers. A forked worker belongs to its brood until its first
word says that it is ready; then it is handed to the :class:`Owner` (``pool.py``), who lends it to a task. The brood
hears of its end again: the zygote, which reaps it, says so.

A brood ends in one of four ways, and whichever it is, :meth:`Brood.live` ends without an exception and leaves no
process; :attr:`Brood.problem` says which it was.

* The zygote has ended. Its workers have died with it (``PR_SET_PDEATHSIG``).
* It did what no honest one does, or met a fault of ours. It is killed, and its workers with it: who lies about one of
  them may lie about all.
* Another has taken its place (:attr:`Brood.successor`): no :attr:`~Brood.problem`. Its tasks are finished, as below.
* It hangs: it owes workers and gives none (:data:`HUNG`). Nothing is wrong with those that it has made, each of which
  speaks for itself and is killed through its own pidfd. So it is retired (:meth:`Brood.retire`): :attr:`Brood.over` is
  set, another zygote is started beside it, the tasks that its workers run are finished, each within its own time limit,
  and then it is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from typing import Protocol

import msgspec
import structlog
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.workers.watchdog import footprint_of
from reptarium.pool.workers.worker import Worker, WorkerGone, describe_status
from reptarium.pool.workers.zygote import START_TIMEOUT, Newborn, ZygoteFault, ZygoteProcess, ZygoteSlow
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Kind

log = structlog.get_logger("reptarium.pool.workers.brood")

#: Layers that a stock container can't have and that nothing depends on.
OPTIONAL_LAYERS = frozenset({"cgroup", "namespaces", "oom"})
#: A forked worker that isn't parked after this many seconds is given up.
READY_TIMEOUT = 20.0
#: A zygote that owes workers and has forked none for so many seconds hangs. One fork takes it milliseconds.
HUNG = 5.0


class Owner(Protocol):
    """What a brood tells, and whom it gives its workers to."""

    def greeted(self, brood: Brood, hello: wire.Hello) -> None:
        """The zygote is ready to fork."""

    def lost(self, brood: Brood) -> None:
        """No more workers are to be had of it: there is a :attr:`Brood.problem`."""

    def born(self) -> None:
        """A worker was forked."""

    def fork_failed(self, errno: int) -> None:
        """One could not be."""

    def ready(self, worker: Worker) -> None:
        """A worker can take a task."""

    def not_started(self, reason: str) -> None:
        """A worker was forked in vain: it failed, or died, before it was ready."""

    def discard(self, worker: Worker, reason: Ending) -> None:
        """A worker is of no use: end it."""

    def ended(self, worker: Worker, *, parked: bool) -> None:
        """A worker is no more, which was parked until then or not; nobody has seen how, if its ``end`` is None."""


class ZygoteEnded(Exception):
    """A zygote has ended, or can't be one. ``killed``: by a signal. Foreseen, and nobody's fault."""

    def __init__(self, text: str, *, killed: bool = False) -> None:
        super().__init__(text)
        self.killed = killed


class Brood:
    """A zygote and its workers. Making one starts the zygote, which raises OSError. ``numbers`` are the workers'.

    What its owner calls raises nothing.
    """

    def __init__(self, owner: Owner, numbers: Iterator[int], faults: OwnFaults) -> None:
        self.zygote = ZygoteProcess()
        self.workers: dict[int, Worker] = {}
        self.starting: dict[int, Worker] = {}  # by the descriptor of its socket, oldest first
        self.requested = 0
        #: For how many seconds it has owed workers and given none, as far as anybody has looked.
        self.silent = 0.0
        self.retired = False
        #: Set when no more workers are to be had of it.
        self.over = trio.Event()
        self.problem: Exception | None = None
        self.greeted = False  # its zygote has been ready
        self.successor: Brood | None = None
        self.owner = owner
        self._faults = faults
        self._numbers = numbers
        self._scope = trio.CancelScope()
        self._ready = READY_TIMEOUT
        self._baseline = -1  # what a worker of it holds before its task, in bytes; all are forked alike

    # ---- what the pool asks -----------------------------------------------------------

    def order(self, count: int, *, urgent: bool) -> None:
        """Ask for so many workers (``urgent``: see ``wire.Fork``), if the zygote's socket takes the order."""
        with self._bounds():
            if self.zygote.order(count, urgent=urgent):  # otherwise the next change asks again, or it is replaced
                if not self.requested:
                    self.silent = 0.0
                self.requested += count

    @property
    def lent(self) -> bool:
        """Whether a task has a worker of it."""
        return any(worker.state == "leased" for worker in self.workers.values())

    def look(self, passed: float) -> None:
        """Give up workers that don't become ready, and a zygote that hangs. To be called now and then.

        ``passed``: seconds since the last time in which it could have been heard. While we stood still ourselves it
        couldn't, and isn't to blame.
        """
        with self._bounds():
            for worker in list(self.starting.values()):
                if worker.forked + self._ready < trio.current_time():
                    log.error("a worker was not ready in time", worker=worker.number, seconds=self._ready)
                    self.owner.not_started("a new worker was not ready in time")
                    self._give_up(worker, Ending.START)
            if self.requested:
                self.silent += passed
            if self.silent >= HUNG:
                self.retire(ZygoteFault(f"the zygote hangs: it has forked no worker for {HUNG:g} s"))

    def retire(self, problem: ZygoteFault) -> None:
        """No more workers of this zygote. Those that tasks have stay with them; when none is left, call :meth:`end`."""
        self.problem, self.retired = problem, True
        self.owner.lost(self)
        self._let_go(Ending.ZYGOTE)

    def relieve(self, successor: Brood) -> None:
        """Another serves from now on. Likewise: those that tasks have stay with them."""
        self.successor, self.retired = successor, True
        self._let_go(Ending.SURPLUS)

    def _let_go(self, reason: Ending) -> None:
        for worker in list(self.workers.values()):
            if worker.state in ("starting", "parked", "resting"):
                self._give_up(worker, reason)
        self.over.set()

    def end(self) -> None:
        """:meth:`live` ends, and with it every process of the brood."""
        self._scope.cancel()

    # ---- life -------------------------------------------------------------------------

    async def live(self, config: wire.ZygoteConfig) -> None:
        """Greet the zygote and bring workers up until it ends, then bury it. Whatever goes wrong is a ``problem``."""
        try:
            with self._scope:
                await self._serve(config)
        except* Exception as group:
            self._failed(group)
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await self._bury()
                except* Exception as group:
                    self._faults.met(group, "zygote", "a zygote could not be buried through a fault of the runner")
            self.over.set()

    @contextlib.contextmanager
    def _bounds(self) -> Iterator[None]:
        """What its owner asks of it ends the brood where it fails, and not whoever asked the owner."""
        try:
            yield
        except Exception as error:
            self._failed(error)
            self.end()

    def _failed(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            (error,) = error.exceptions
        if self.problem is None:
            self.problem = error
            self.owner.lost(self)
        else:
            log.warning("a zygote that hung ended", reason=str(error))

    async def _serve(self, config: wire.ZygoteConfig) -> None:
        self._ready = READY_TIMEOUT * config.patience
        with select.epoll() as first_words:  # of workers that are starting
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.zygote.log_stderr)
                hello = await self._greet(config)
                nursery.start_soon(self._await_ready, first_words)
                self.greeted = True
                self.owner.greeted(self, hello)
                await self._listen(first_words)
                status = await self.zygote.exit_status()
                nursery.cancel_scope.cancel()
        raise _ended(status, "the zygote died")

    async def _greet(self, config: wire.ZygoteConfig) -> wire.Hello:
        try:
            hello = await self.zygote.greet(config)
        except trio.TooSlowError:
            seconds = START_TIMEOUT * config.patience
            raise ZygoteSlow(
                f"the zygote was not ready after {seconds:.0f} s (REPTARIUM_PRELOAD may be too much)"
            ) from None
        if hello is None:
            raise _ended(
                await self.zygote.exit_status(), "the zygote ended while it started; the log lines above tell why"
            )
        if isinstance(hello, wire.Refusal):
            raise ZygoteEnded(hello.message)
        hello = msgspec.structs.replace(hello, layers=tuple(map(named, hello.layers)))
        _log_hello(hello)
        return hello

    async def _bury(self) -> None:
        """End the zygote and every worker of it."""
        if self.problem is not None:
            self.zygote.kill()  # it needn't be asked
        self.requested = 0
        try:
            for worker in list(self.workers.values()):
                worker.kill(Ending.SHUTDOWN if self.problem is None else Ending.ZYGOTE)
                worker.close_socket()
        finally:  # with the zygote its workers end, whatever has become of the rest
            await self.zygote.bury(self.workers, self._exited)
        for worker in list(self.workers.values()):
            self._forget(worker, None)

    async def _listen(self, first_words: select.epoll) -> None:
        while (news := await self.zygote.receive()) is not None:
            if isinstance(news, wire.Exited):
                if not self._exited(news):
                    raise ZygoteFault("the zygote told the end of a worker that lives")
                continue
            if isinstance(news, Newborn):
                worker = self._born(news)
                if self.retired:
                    self._give_up(worker, Ending.ZYGOTE)
                else:
                    first_words.register(worker.fd, select.EPOLLIN | select.EPOLLONESHOT)
            elif not self.retired:
                self.owner.fork_failed(news.errno)
            if not self.requested:
                raise ZygoteFault("the zygote answers orders that it didn't get")
            self.requested -= 1
            self.silent = 0.0

    def _born(self, news: Newborn) -> Worker:
        try:
            worker = Worker(next(self._numbers), news.pid, news.fd, news.pidfd, news.prints)
        except OSError:
            os.close(news.fd)
            os.close(news.pidfd)
            if news.prints >= 0:
                os.close(news.prints)
            raise ZygoteFault("the zygote gave a worker that is none: its socket is none") from None
        strange = "its pid is another worker's" if news.pid in self.workers else worker.stranger(self.zygote.pid)
        if strange:
            worker.disown()
            raise ZygoteFault(f"the zygote gave a worker that is none: {strange}")
        self.workers[news.pid] = self.starting[worker.fd] = worker
        self.owner.born()
        return worker

    async def _await_ready(self, first_words: select.epoll) -> None:
        """Hear workers say that they are ready. One task for all: a worker lives for a single task's time."""
        while True:
            await trio.lowlevel.wait_readable(first_words.fileno())
            for fd, _ in first_words.poll(0):
                worker = self.starting.get(fd)
                if worker is not None and not self._hear(worker):
                    first_words.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def _hear(self, worker: Worker) -> bool:
        """Take a new worker's first word. False when it hasn't all come."""
        try:
            frame = worker.receive_nowait({Kind.READY: 0, Kind.FAILED: 64 * 1024})
        except wire.ProtocolViolation as error:
            log.error("a new worker broke the protocol", worker=worker.number, error=str(error))
            self.owner.not_started("a new worker broke the protocol")
            self._give_up(worker, Ending.VIOLATION)
            return True
        except WorkerGone:
            return True  # its death is reported by the zygote
        if frame is None:
            return False
        kind, words = frame
        if kind is Kind.FAILED:
            log.error("a new worker failed", worker=worker.number, reason=words.decode("utf-8", "replace"))
            self.owner.not_started("a new worker failed")
            self._give_up(worker, Ending.START)
        else:
            self._not_starting(worker)
            if self._baseline < 0:
                with contextlib.suppress(OSError):
                    self._baseline = footprint_of(worker.pid)
            worker.baseline = self._baseline
            worker.happened("ready")
            self.owner.ready(worker)
        return True

    def _not_starting(self, worker: Worker) -> None:
        if self.starting.get(worker.fd) is worker:  # another may have its number by now
            del self.starting[worker.fd]

    def _give_up(self, worker: Worker, reason: Ending) -> None:
        self._not_starting(worker)
        self.owner.discard(worker, reason)

    def _exited(self, message: wire.Exited) -> bool:
        """A worker was reaped. False when that isn't true.

        One that isn't known was forked in vain: there was no room for its descriptors here, or none for them there.
        """
        worker = self.workers.get(message.pid)
        if worker is None:
            return True
        if worker.state in ("starting", "parked") and worker.killed_for is None:
            log.error("a warm worker died", worker=worker.number, status=describe_status(message.status))
            if worker.state == "starting":
                # a worker that can't even park would be forked again and again without a pause
                self.owner.not_started("a new worker died")
        return self._forget(worker, message)

    def _forget(self, worker: Worker, end: wire.Exited | None) -> bool:
        del self.workers[worker.pid]
        self._not_starting(worker)
        if worker.state != "leased":
            worker.close_socket()
        parked = worker.state == "parked"
        honest = worker.gone(end)
        self.owner.ended(worker, parked=parked)
        return honest


def _ended(status: int, text: str) -> Exception:
    """A zygote's end, by its exit status (negative: by that signal)."""
    if status < 0:
        return ZygoteEnded(f"{text} ({describe_status(-status)})", killed=True)
    return ZygoteFault(f"{text} (exit status {status})")


#: What it means when a trick isn't to be had.
_TRICKS = {
    "sealing": "tasks can change library classes",
    "immortal objects": "a small task takes 5 to 10 % more processor time",
    "plain fork": "a worker's start takes half a millisecond more, and tells those who registered of each fork",
    "heap": "forks are a little dearer",
    "shared prints": "each print is a system call of its worker's, and a turn of the supervisor's",
}


def named(layer: LayerStatus) -> LayerStatus:
    """What nobody needs isn't missing where it can't be had (a container has no cgroup to delegate): it is off."""
    optional = layer.state == "missing" and layer.name in OPTIONAL_LAYERS
    return msgspec.structs.replace(layer, state="off") if optional else layer


def _log_hello(hello: wire.Hello) -> None:
    """What a new zygote has and hasn't got."""
    for layer in hello.layers:
        if layer.state in ("missing", "partial") or (layer.state == "off" and layer.name in OPTIONAL_LAYERS):
            say = log.info if layer.name in OPTIONAL_LAYERS else log.warning
            say(f"isolation layer {layer.name} is {layer.state}", detail=layer.detail, remedy=layer.remedy)
    for name, reason in hello.failed.items():
        log.warning("a module could not be preloaded", module=name, reason=reason)
    for trick in hello.tricks:
        if not trick.on:
            say = log.warning if trick.name == "sealing" else log.info
            say(f"{trick.name} is off: {_TRICKS[trick.name]}", reason=trick.detail)
    log.info("zygote ready", python=hello.python, modules=hello.preloaded)
