"""A worker: forked warm, restricted, parked, given one task, gone.

Theory of operation. The zygote forks; the child calls :func:`main`, which never returns.

1. ``restrict_worker`` gives up what the zygote still had: fork, clone of processes, signals to
   others, every descriptor but its own socket. See ``kernel/`` for the order. From
   here on the process can compute and speak on that socket, nothing else.
2. A dummy task runs the whole path once, so that the copy-on-write faults of a first run are
   paid before a task comes. An urgent worker goes without: its task is waiting already.
3. READY goes out, and the worker parks in read(2).
4. One TASK frame comes. Random generators are seeded anew (forked siblings would draw the same
   numbers); the task runs; its console lines, calls and result go out.
5. The worker lingers in read(2) until the supervisor has closed the socket (or has killed it),
   so that the teardown of its memory does not sit in the result's latency.

A worker is never used again, unless ``ZygoteConfig.reuse`` says so: then one whose task has ended well, and has left no
thread or descriptor behind, says so with the result and waits for the same code once more.

Nothing here is a security boundary against user code that has broken out of the language layer: the kernel layer is,
and the supervisor believes nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import mmap
import os
import random
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import Prepared, TaskLimits, limit_descriptors, scratch
from reptarium.sandbox.language import (
    REDIRECTED,
    LanguagePolicy,
    bound_threads,
    mode_of,
    show_environment,
    shown_environment,
)
from reptarium.sandbox.process import imports
from reptarium.sandbox.process.channel import Channel, SupervisorGone
from reptarium.sandbox.task.console import Console, StderrTail, Stream, format_value
from reptarium.sandbox.task.execute import Compiled, TaskInput, Terms, execute
from reptarium.sandbox.task.failures import TaskFailed
from reptarium.sandbox.userspace.names import CallNames
from reptarium.sandbox.wire import Kind, ZygoteConfig

_task_head = msgspec.json.Decoder(wire.TaskHead)
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PR_SET_NAME = 15
# Plain numbers: until Python 3.12 a look at an enumeration's member goes through its metaclass
_READY, _RESULT, _FAILED, _TASK = map(int, (Kind.READY, Kind.RESULT, Kind.FAILED, Kind.TASK))
_REHEARSALS = 10

#: What a worker runs before it parks, in pieces, each with the builtin that it needs: touches decode, compile, run,
#: print, encode.
_DUMMY = (
    ("", "total, rows = 0, _items"),
    ("", "for item in _items:"),
    ("", "    total += item['json']['n']"),
    ("", "    item['json']['text'] = f\"{item['json']['n']:>4}\""),
    ("sorted", "rows = sorted(_items, key=lambda it: it['json']['n'])"),
    ("print", "print('warm', total)"),
    ("", "return [{'json': {'total': total, 'rows': [r['json'] for r in rows]}}]"),
)
DUMMY_ITEMS = b'[{"json":{"n":1,"s":"a","f":1.5,"l":[true,null]}},{"json":{"n":2}}]'


def set_name(name: str) -> None:
    """Show ``name`` in the process table (prctl(2), PR_SET_NAME: 15 bytes)."""
    _prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def dummy_code(policy: LanguagePolicy) -> str:
    """The dummy task's code, without what the administrator removed: a setting must not stop the warm-up."""
    return "\n".join(piece for builtin, piece in _DUMMY if builtin not in policy.builtins_deny)


def _ignore(line: bytes | bytearray) -> None:
    """A console that nobody reads (the dummy task's)."""


def terms(config: ZygoteConfig, channel: Channel | None = None) -> Terms:
    """What the tasks of this configuration share."""
    return Terms(
        policy=config.language,
        conversion=config.conversion,
        max_result=config.max_result,
        memory=config.isolation.memory,
        callbacks=CallNames(channel, config.rpc_max_bytes) if channel is not None and config.helpers else None,
    )


def _no_limits(task: TaskLimits) -> None:
    """A rehearsal's: it is never told of any."""


class WorkerLife:
    """What a worker needs for its one task, made before fork: each object that a child makes may cost it a page."""

    def __init__(self, config: ZygoteConfig, limit: Callable[[TaskLimits], None] = _no_limits) -> None:
        """``limit`` lowers the process's limits to those of its task."""
        self._config = config
        self._limit = limit
        self._channel = Channel(-1)
        self._end: socket.socket | None = None
        self._terms = terms(config, self._channel)
        self._console = Console(self._channel.print, config.max_console, str if config.plain_prints else format_value)
        self._stderr = StderrTail()
        self._streams = io.StringIO(), Stream(self._console), Stream(self._stderr)
        self._own: scratch.Scratch | None = None
        self._variables: scratch.Variables | None = None
        self._compiled: Compiled | None = {} if config.reuse else None
        self._free = -1  # the lowest descriptor that is free before any task

    def share(self, prints: mmap.mmap | None) -> None:
        """Zygote: what the next worker's task prints lies there."""
        self._channel.share(prints)

    def make_room(self, own: scratch.Scratch) -> None:
        """Zygote: tasks may write in a directory of their own, and nowhere else. Whoever asks where is told so."""
        if "tempfile" in sys.modules:
            vars(sys.modules["tempfile"])["tempdir"] = None
        if own.everywhere:
            told = scratch.environment(own.everywhere)
            os.environ.update(told)
            show_environment({**self._config.environ, **told})
            return
        self._own, self._variables = own, scratch.Variables(own.directory)
        show_environment({**self._config.environ, **scratch.environment(own.directory)})
        for _ in range(_REHEARSALS):
            self.settle_in()

    def settle_in(self) -> None:
        """Worker: tell of its directory what wasn't known before."""
        if self._own is not None and self._variables is not None:
            self._variables.write(self._own.directory, shown_environment)

    def hand_over(self, fd: int) -> None:
        """Something will go with READY: to be called before the process is restricted."""
        self._channel.fd = fd
        self._end = self._channel.as_socket()

    def live(self, fd: int, *, urgent: bool, rehearsal: bool = False, handed: tuple[int, ...] = ()) -> None:
        """From READY, with which `handed` goes, to the end of the socket."""
        sys.stdin, sys.stdout, sys.stderr = self._streams
        channel = self._channel
        channel.fd = fd
        if not urgent:
            warm_up(self._config)
        if self._end is not None:
            channel.send_descriptors(self._end, _READY, handed)
            limit_descriptors(self._config.isolation.open_files)
        else:
            channel.send(_READY)
        head, items, query = _receive_task(channel)
        set_name(wire.BUSY_NAME)
        if head.terms is not None:
            self._come_to(head.terms)
        _seed(head.code)
        task = TaskInput(head.code, head.per_item, items, query)
        if rehearsal:
            self._perform(task)
        elif self._config.probe:
            _probe(head.code, channel)
        else:
            mode_of(self._config.language).arm()
            self._free = self._lowest_free()
            again = self._perform(task)
            while again:
                again = self._once_more()
        channel.linger()

    def _once_more(self) -> bool:
        """Another task of the same code, in a fresh namespace. Returns whether there may be one more."""
        set_name(wire.IDLE_NAME)
        head, items, query = _receive_task(self._channel)
        set_name(wire.BUSY_NAME)
        self._console = self._console.renewed()
        self._channel.renew()
        self._stderr = StderrTail()
        self._streams = io.StringIO(), Stream(self._console), Stream(self._stderr)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        _seed(head.code)
        return self._perform(TaskInput(head.code, head.per_item, items, query))

    def _lowest_free(self) -> int:
        if self._compiled is None:
            return -1
        free = os.dup(self._channel.fd)
        os.close(free)
        return free

    def _is_clean(self) -> bool:
        """Whether a task has left nothing behind that another would meet: no thread, no descriptor, no redirection
        (whose end, in a generator that the collector closes, would put this task's stream in the place of another's).
        """
        if self._compiled is None or REDIRECTED:
            return False
        if any(now is not ours for now, ours in zip((sys.stdin, sys.stdout, sys.stderr), self._streams, strict=True)):
            return False
        return threading.active_count() == 1 and self._lowest_free() == self._free

    def _come_to(self, told: wire.TaskTerms) -> None:
        """The task may take less than this worker was made with."""
        self._limit(told.kernel)
        bound_threads(told.kernel.max_threads)
        self._console.bound(told.max_console)
        self._terms = self._terms._replace(memory=told.kernel.memory, max_result=told.max_result)
        if self._terms.callbacks is not None:
            self._terms = self._terms._replace(callbacks=CallNames(self._channel, told.rpc_max_bytes))

    def _perform(self, task: TaskInput) -> bool:
        """Run it and tell what came of it. Returns whether the same code may run here again."""
        try:
            outcome = execute(task, self._terms, self._console, self._stderr, self._compiled)
        except TaskFailed as failed:
            self._channel.send(_FAILED, msgspec.json.encode(failed.failure))
            return False
        _, *saved = outcome
        custom, static = map(len, saved)
        head = wire.ResultHead(custom, static, self._is_clean(), imports.told())
        self._channel.send(_RESULT, *wire.with_head(head, *(memoryview(raw) for raw in outcome)))
        return head.again


def warm_up(config: ZygoteConfig) -> None:
    """Run the whole path of a task once, without a channel."""
    task = TaskInput(dummy_code(config.language), False, DUMMY_ITEMS, None)
    execute(task, terms(config), Console(_ignore, 1 << 16), StderrTail())


def rehearse(config: ZygoteConfig, times: int = _REHEARSALS) -> None:
    """Serve the dummy task to ourselves, in the zygote: what is made at first use is made before any fork.

    By default often enough for the interpreter's adaptive code to settle (it counts in the code's own memory,
    which each worker would have to copy).
    """
    streams = sys.stdin, sys.stdout, sys.stderr
    for _ in range(times):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            head = wire.TaskHead(code=dummy_code(config.language), items_size=len(DUMMY_ITEMS))
            Channel(ours.fileno()).send(_TASK, *wire.with_head(head, DUMMY_ITEMS))
            ours.shutdown(socket.SHUT_WR)
            try:
                WorkerLife(config).live(theirs.fileno(), urgent=True, rehearsal=True)
            finally:
                sys.stdin, sys.stdout, sys.stderr = streams


def _seed(code: str) -> None:
    """Make this process's random numbers its own (see ``fork.py``); code without imports draws none."""
    if "import" not in code and code.isascii():  # other letters may stand for these in a name (PEP 3131)
        return
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed()


def main(life: WorkerLife, fd: int, prepared: Prepared, zygote_pid: int, *, number: int, urgent: bool) -> NoReturn:
    """The child's whole life, right after fork(2). Never returns. ``number`` counts the zygote's forks."""
    status = 70  # EX_SOFTWARE: what an unexpected error below leaves behind
    try:
        set_name(wire.IDLE_NAME)
        if prepared.config.connections:
            life.hand_over(fd)
        handed = prepared.restrict_worker(fd, zygote_pid, number)
        life.settle_in()
        life.live(fd, urgent=urgent, handed=handed)
        status = 0
    except SupervisorGone:
        status = 0
    except BaseException as error:
        _report(fd, error)
    finally:
        os._exit(status)


def _report(fd: int, error: BaseException) -> None:
    """Last words of a worker whose own code failed (before or after its task)."""
    failure = wire.Failure(kind="internal", message=f"the worker failed: {type(error).__name__}: {error}"[:2000])
    with contextlib.suppress(BaseException):
        Channel(fd).send(_FAILED, msgspec.json.encode(failure))


def _receive_task(channel: Channel) -> tuple[wire.TaskHead, memoryview, memoryview | None]:
    """The next frame's head, items and query."""
    kind, payload = channel.receive()
    if kind != _TASK:
        raise wire.ProtocolViolation(f"a frame of kind {kind} instead of a task")
    raw, body = wire.split_head(payload)
    head = _task_head.decode(raw)
    return head, body[: head.items_size], body[head.items_size :] if head.query_size else None


def _probe(code: str, channel: Channel) -> None:
    """Probes of the kernel layer start here, below the language layer: the code gets all of Python."""
    namespace: dict[str, Any] = {"channel": channel, "wire": wire, "result": None}
    exec(compile(code, "<probe>", "exec"), namespace)  # noqa: S102 (below the language layer on purpose)
    channel.send(_RESULT, *wire.with_head(wire.ResultHead(), msgspec.json.encode(namespace["result"])))
