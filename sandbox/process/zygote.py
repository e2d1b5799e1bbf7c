"""The zygote: one process that imports everything, restricts itself, and then only forks.

Theory of operation. The supervisor executes ``python -m reptarium.sandbox FD`` with an empty
environment and one ``SOCK_SEQPACKET`` descriptor. Single-threaded, no event loop, no network.

1. Read the configuration (first packet). Unset every environment variable.
2. Import what tasks will want (the allowlists' names). When that has started threads, execute this program anew and
   leave those imports out: what follows holds for one thread (``kernel/threads.py``). Serve a task to itself so that
   what is made at first use is made, seal the classes (see ``hardening/sealing.py``), and lay memory out for being
   forked (see ``heap.py``).
3. ``prepare`` and ``restrict_zygote``: from uid to seccomp, see ``kernel/``. When
   the policy is ``enforce`` and a layer can't be had, say so (Refusal) and end.
4. Go through a worker's whole life a few times, for warmth: the interpreter adapts its code and fills
   its caches before fork, once for all workers. ``gc.freeze()``, so that collections in workers don't
   touch, and copy, the shared pages; from Python 3.12 on the same for references (``immortal.py``).
5. Say Hello and serve: a Fork packet makes workers; each goes to the supervisor as its socket
   and its pidfd; children that have ended are reaped and reported.
6. The supervisor's end closes: end. Workers die with the zygote (``PR_SET_PDEATHSIG``).

User code never runs in this process, not even to be compiled: only the constant dummy task.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
import mmap
import os
import platform
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationUnavailable, Prepared, Threads, lower, prepare, require_all
from reptarium.sandbox.language import (
    NOWHERE,
    bound_threads,
    discount_frames,
    hardening,
    mode_of,
    show_environment,
    silence_compiler,
)
from reptarium.sandbox.language.policy.allowlist import import_refusal
from reptarium.sandbox.process import fork, heap, imports, worker
from reptarium.sandbox.process.immortal import immortalize

#: Send buffer of a worker's socket in bytes: a large result in few wake-ups (capped by net.core.wmem_max).
_BUFFER = 4 << 20
# Plain numbers, for the reason that worker.py gives
_AF_UNIX, _SOCK_STREAM = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_SOL_SOCKET, _SO_SNDBUF, _SCM_RIGHTS = socket.SOL_SOCKET, socket.SO_SNDBUF, socket.SCM_RIGHTS
_DESCRIPTORS = {number: struct.Struct(f"={number}i") for number in (2, 3)}
_CLOSE_ON_EXEC = os.MFD_CLOEXEC
# wait4(2) by hand: os.wait4 imports a module each time, which costs the zygote pages of its own (7 a worker, measured)
_wait4 = ctypes.PyDLL(None).wait4
_status, _usage = ctypes.create_string_buffer(4), ctypes.create_string_buffer(256)
_STATUS, _USAGE = struct.Struct("i"), struct.Struct("5l")  # getrusage(2): two times in s and µs, ru_maxrss in KiB
#: What libraries read when they are used, here or in a worker: a locale; a home, unless the task has a directory of its
#: own; for Arrow an allocator that doesn't reserve more than a task may have; what keeps from threads those that ask in
#: Python (polars' allocator has four, and a task may have eight), from processes joblib (scikit-learn's ``n_jobs=-1``):
#: in the zygote it would find that it can start some. ``os.environ`` of tasks shows none of it.
_FOR_LIBRARIES = {
    "LANG": "C.UTF-8",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "HOME": NOWHERE,
    "NUMEXPR_NUM_THREADS": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "JOBLIB_MULTIPROCESSING": "0",
}
_LEFT_TO_THE_RUNNER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: About as many as lie between a process's first and a task's.
_OWN_FRAMES = 16
_fork_order = msgspec.json.Decoder(wire.Fork)


def main() -> int:
    """Run the zygote on the descriptor named by the first argument. Returns an exit status."""
    # Whoever sends these to every process of a service (systemd's KillMode=control-group, a supervisor's stop-as-group)
    # means the runner, which finishes the tasks first; it ends us and the workers, who inherit this, by SIGKILL
    for number in _LEFT_TO_THE_RUNNER:
        signal.signal(number, signal.SIG_IGN)
    # what is read later was taken before foreign modules are imported: some change it
    arguments = sys.argv[1:]
    command = sys.orig_argv[1 : -len(arguments)]
    control = socket.socket(fileno=int(arguments[0]))
    control.setblocking(True)
    told, late = arguments[1:2], tuple(arguments[2:])
    raw = _read_again(int(told[0])) if told else control.recv(wire.MAX_CONTROL)
    if not raw:
        return 0
    config = msgspec.json.decode(raw, type=wire.ZygoteConfig)
    environment = dict(os.environ)
    config = _with_packages(config)
    _set_environment(config)
    time.tzset()  # reads the zone's file now: it may be out of reach later

    fork.watch()
    before = len(sys.modules)
    threads = Threads()
    bound_threads(config.isolation.max_threads)
    failed = preload_modules(config, threads, late)
    if threads.starters and threads.others():
        _start_anew(command, control, raw, environment, (*late, *threads.starters))
    imports.watch()
    _hide_our_own(config)
    sys.argv = [""]  # a script's that was started without arguments
    told_of_forks = fork.settle()
    silence_compiler()
    discount_frames(_OWN_FRAMES)
    worker.rehearse(config, times=1)
    sealed = mode_of(config.language).seal()

    gc.collect()
    pages = heap.settle()
    prepared = prepare(config.isolation, threads)
    try:
        layers = prepared.restrict_zygote([control.fileno()])
        if config.language.mode == "python":
            require_all(layers, "REPTARIUM_LANGUAGE=python")
    except IsolationUnavailable as error:
        control.send(msgspec.json.encode(wire.Refusal(str(error))))
        return 78  # EX_CONFIG
    prepared.rehearse()
    worker.rehearse(config)  # now, when sealing and restricting have left their own in the interpreter's caches
    worker.set_name(wire.ZYGOTE_NAME)
    zygote = _Zygote(control, config, prepared)
    gc.collect()
    imports.forget()
    immortal, mortal_because = immortalize()
    gc.freeze()

    hello = wire.Hello(
        python=platform.python_version(),
        layers=layers,
        preloaded=len(sys.modules) - before,
        failed=failed,
        tricks=(
            *_sealing(sealed),
            wire.Trick("immortal objects", immortal > 0, mortal_because or f"{immortal} objects"),
            wire.Trick("plain fork", not told_of_forks, ", ".join(told_of_forks)),
            wire.Trick("heap", heap.gathered(), f"{pages} huge pages"),
            wire.Trick("shared prints", not zygote.unshared, zygote.unshared),
        ),
    )
    control.send(msgspec.json.encode(hello))
    return zygote.serve()


def _sealing(sealed: bool | None) -> Iterator[wire.Trick]:
    if sealed is not None:  # plain Python: it isn't wanted
        why = "" if sealed else "this interpreter lays its classes out in an unknown way"
        yield wire.Trick("sealing", sealed, why)


def _with_packages(config: wire.ZygoteConfig) -> wire.ZygoteConfig:
    """What was installed for tasks is found from now on, behind everything else: it takes no module's place."""
    if config.packages:
        sys.path.append(config.packages)
    if not config.preload_from:
        return config
    with open(config.preload_from, "rb") as file:
        index = msgspec.json.decode(file.read(), type=wire.PackageIndex)
    allowed = tuple(name for name in index.imports if import_refusal(config.language, name) is None)
    language = msgspec.structs.replace(config.language, preload=(*config.language.preload, *allowed))
    return msgspec.structs.replace(config, language=language)


def _set_environment(config: wire.ZygoteConfig) -> None:
    """What tasks may see, and until all is imported what keeps libraries from starting threads."""
    os.environ.clear()
    os.environ.update({**wire.NO_THREADS, **_FOR_LIBRARIES, **config.environ})
    if config.time_zone:
        os.environ["TZ"] = config.time_zone
    show_environment(config.environ)
    if config.isolation.connections:
        # for the C library alone: it asks over TCP, and completes no names, which the supervisor does (resolv.conf(5))
        os.putenv("RES_OPTIONS", "use-vc attempts:1")
        os.putenv("LOCALDOMAIN", "")
        hardening.allow_connections()


def _hide_our_own(config: wire.ZygoteConfig) -> None:
    """What isn't for tasks stays where only C libraries look: a worker may import one late."""
    for name in wire.NO_THREADS.keys() - config.environ.keys():
        value = os.environ.pop(name, wire.NO_THREADS[name])  # a module may have removed it while it was imported
        os.putenv(name, value)  # past os.environ


def _start_anew(
    command: Sequence[str], control: socket.socket, raw: bytes, environment: dict[str, str], late: tuple[str, ...]
) -> NoReturn:
    """Execute ``command`` again, which ends every thread, without the imports ``late``: tasks do them themselves."""
    config = os.memfd_create("reptarium-config", 0)
    os.write(config, raw)
    control.set_inheritable(True)
    told = [*command, str(control.fileno()), str(config), *late]
    os.execve(sys.executable, [sys.executable, *told], environment)


def _read_again(fd: int) -> bytes:
    """The configuration that :func:`_start_anew` has left."""
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()


def preload_modules(config: wire.ZygoteConfig, threads: Threads, late: Sequence[str]) -> dict[str, str]:
    """Import what the policy names, but for ``late``. Returns the names that failed, with the reason."""
    failed = dict.fromkeys(late, "its import starts threads; each task that uses it imports it by itself")
    for line in mode_of(config.language).preload(config.language, threads.imported, late):
        name, _, reason = line.partition(":")
        failed[name.strip()] = reason.strip() or "cannot be imported"
    return failed


class _Zygote:
    def __init__(self, control: socket.socket, config: wire.ZygoteConfig, prepared: Prepared) -> None:
        self._control = control
        self._life = worker.WorkerLife(config, partial(lower, prepared.limits, config.isolation))
        if prepared.scratch is not None:
            self._life.make_room(prepared.scratch)
        self._prepared = prepared
        self._prints: mmap.mmap | None = None  # of the worker that is being forked
        self._pid = os.getpid()
        self._forks = 0
        #: Why workers' prints don't lie where the supervisor reads them, but are sent one by one.
        self.unshared = ""
        try:
            os.close(self._share_prints())
        except OSError as error:
            self.unshared = f"{error.strerror}: memory that is shared can't be had"
        self._share_no_prints()

    def _share_prints(self) -> int:
        """Memory for the next worker's prints, and the descriptor that it is read through. Raises OSError."""
        fd = os.memfd_create("prints", _CLOSE_ON_EXEC)
        try:
            os.ftruncate(fd, wire.PRINTS_SIZE)
            self._prints = mmap.mmap(fd, wire.PRINTS_SIZE)
        except OSError:
            os.close(fd)
            raise
        self._life.share(self._prints)
        return fd

    def _share_no_prints(self) -> None:
        self._life.share(None)
        if self._prints is not None:
            self._prints.close()
            self._prints = None

    def serve(self) -> int:
        # A wakeup descriptor instead of a handler that does the work: forking and reaping never interleave
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        poll = select.poll()
        poll.register(wake_read, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake_read:
                    os.read(wake_read, 4096)
                    self._reap()
                    continue
                raw = self._control.recv(wire.MAX_CONTROL)
                if not raw:
                    return 0
                order = _fork_order.decode(raw)
                for _ in range(order.count):
                    self._fork(order.urgent)

    def _fork(self, urgent: bool) -> None:
        try:
            # Without the Python half of socket.socketpair: what this loop touches it copies, each time
            ours, theirs = _socket.socketpair(_AF_UNIX, _SOCK_STREAM)
        except OSError as error:
            self._failed(error)
            return
        try:
            self._fork_worker(ours, theirs, urgent)
        except (BrokenPipeError, ConnectionResetError):
            raise  # the supervisor has gone
        except OSError as error:
            self._failed(error)
        finally:
            self._prepared.score.lower()
            ours.close()
            theirs.close()

    def _failed(self, error: OSError) -> None:
        # out of processes or descriptors: said, not died of. A child that there is meets the end of its socket.
        self._control.send(msgspec.json.encode(wire.ForkFailed(error.errno or 0)))

    def _fork_worker(self, ours: _socket.socket, theirs: _socket.socket, urgent: bool) -> None:
        ours.setsockopt(_SOL_SOCKET, _SO_SNDBUF, _BUFFER)
        theirs.setsockopt(_SOL_SOCKET, _SO_SNDBUF, _BUFFER)
        self._forks += 1
        self._prepared.score.raise_()
        handed = [ours.fileno()]
        try:
            if not self.unshared:
                handed.append(self._share_prints())
            pid = fork.fork()
            if pid == 0:
                self._child(theirs.detach(), urgent)
            handed.insert(1, os.pidfd_open(pid))
            descriptors = _DESCRIPTORS[len(handed)].pack(*handed)
            self._control.sendmsg([msgspec.json.encode(wire.Forked(pid))], [(_SOL_SOCKET, _SCM_RIGHTS, descriptors)])
        finally:
            self._share_no_prints()
            for fd in handed[1:]:
                os.close(fd)

    def _child(self, fd: int, urgent: bool) -> NoReturn:
        signal.set_wakeup_fd(-1)
        worker.main(self._life, fd, self._prepared, self._pid, number=self._forks, urgent=urgent)

    def _reap(self) -> None:
        while True:
            pid = _wait4(-1, _status, os.WNOHANG, _usage)
            if pid <= 0:
                return
            (status,) = _STATUS.unpack_from(_status)
            user, user_us, system, system_us, peak = _USAGE.unpack_from(_usage)
            cpu = user + system + (user_us + system_us) / 1e6
            self._control.send(msgspec.json.encode(wire.Exited(pid, status, cpu, peak * 1024)))
