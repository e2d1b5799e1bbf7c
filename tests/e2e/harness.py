"""What every script here needs: output that can't fail, limits of time, nothing left behind (stdlib only)."""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

HOST = "127.0.0.1"
#: Every limit of time is multiplied by it: a slow or busy machine wants 3 or more.
FACTOR = float(os.environ.get("E2E_TIME_FACTOR") or 1)
_PR_SET_CHILD_SUBREAPER = 36

Found = TypeVar("Found")


class Timeout(AssertionError):
    """Something didn't happen in time."""


def prepare_output() -> None:
    """Let standard output and error take any text: what n8n answers may hold lone surrogates."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def limit(seconds: float) -> float:
    """A limit of time on this machine, in seconds."""
    return seconds * FACTOR


def wait_for(what: str, probe: Callable[[], Found | None], seconds: float, every: float = 0.1) -> Found:
    """What `probe` returns once that is neither None nor False.

    Args:
        what: for the error's text.
        probe: asked again and again; may raise OSError while nobody listens yet.
        seconds: the limit, before FACTOR.

    Raises:
        Timeout: it didn't come in time.
    """
    end = time.monotonic() + limit(seconds)
    while True:
        with suppress(OSError):
            found = probe()
            if found is not None and found is not False:
                return found
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {limit(seconds):g} s (E2E_TIME_FACTOR makes limits longer)")
        time.sleep(every)


class Calls(Generic[Found]):
    """Calls made at the same time, each in a thread of its own that keeps nobody from ending."""

    def __init__(self, calls: Iterable[Callable[[], Found]]) -> None:
        self._results: dict[int, Found | Exception] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(number, call), daemon=True) for number, call in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, call: Callable[[], Found]) -> None:
        try:
            self._results[number] = call()
        except Exception as error:
            self._results[number] = error

    def results(self, seconds: float) -> list[Found | Exception]:
        """What the calls returned, or the exceptions that they raised, in order.

        Raises:
            Timeout: some haven't ended in time.
        """
        end = time.monotonic() + limit(seconds)
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        waiting = [number for number, thread in enumerate(self._threads) if thread.is_alive()]
        if waiting:
            raise Timeout(f"{len(waiting)} of {len(self._threads)} calls have no answer: {waiting[:20]}")
        return [self._results[number] for number in range(len(self._threads))]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def ports(first: int, count: int) -> list[int]:
    """`count` ports from `first` on; with 0 free ones that the system chooses."""
    return [first + n for n in range(count)] if first else free_ports(count)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that all scripts share."""
    parser.add_argument("--n8n-dir", help="folder made by setup.sh; without it everything is skipped")
    parser.add_argument("--runner-cmd", required=True)
    parser.add_argument("--port", type=int, default=0, help="n8n's; 0: the system chooses")
    parser.add_argument("--broker-port", type=int, default=0, help="n8n's task broker's; 0: the system chooses")
    parser.add_argument("--runner-log", metavar="FILE")
    parser.add_argument("--only", metavar="REGEX")


def no_n8n(n8n_dir: str | None) -> bool:
    """Whether there is no n8n; says so."""
    if n8n_dir and Path(n8n_dir, "node_modules", "n8n").is_dir():
        return False
    print(f"skipped: no n8n in '{n8n_dir or ''}' (see tests/e2e/README.md)")
    return True


def nothing_chosen() -> int:
    """Say that --only leaves nothing here to run. Returns the exit status."""
    print("0 passed, 0 failed")
    return 0


def children() -> list[tuple[int, str]]:
    """(pid, command) of our own children that haven't been waited for."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            head, _, rest = Path("/proc", entry, "stat").read_text("utf-8", "replace").rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append((int(entry), head.partition("(")[2]))
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """End orderly on SIGTERM and SIGHUP, and fail when processes are left that came from here.

    Orphans become children of this process (PR_SET_CHILD_SUBREAPER), so that none escapes the count. What is
    left is killed.

    Raises:
        RuntimeError: something was left.
    """

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, end)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    except BaseException:
        _kill_left()
        raise
    left = _kill_left()
    if left:
        raise RuntimeError(f"processes were left and have been killed: {', '.join(left)}")


def _kill_left() -> list[str]:
    """Kill what is left after a while. Returns what that was."""
    with suppress(Timeout):
        wait_for("children", lambda: not children(), 5)
    left = children()
    for pid, _ in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return [f"{name} ({pid})" for pid, name in left]
