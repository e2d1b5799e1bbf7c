"""How the zygote forks: without visits to the standard library's locks, unless somebody else has to be told."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.limits import within

PRELUDE = """
import json, logging, os, random, sys, threading
from reptarium.sandbox.process import fork

told = []
real_fork = os.fork
os.fork = lambda: (told.append("os.fork"), real_fork())[1]

REGISTER = "import os; os.register_at_fork(after_in_child=lambda: told.append('hook'))"

def child(answer):
    read, write = os.pipe()
    if fork.fork() == 0:
        try:
            data = json.dumps(answer())
        except BaseException as error:
            data = json.dumps(repr(error))
        os.write(write, data.encode())
        os._exit(0)
    os.close(write)
    with open(read) as stream:
        found = json.loads(stream.read())
    os.wait()
    return found
"""


def run(program: str) -> Any:
    """What the program printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=within(60), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_child_is_whole() -> None:
    """A child has its own pid, threads that start and end, locks and a logger that work, and a parent."""
    found = run(
        """
def answer():
    ran = []
    thread = threading.Thread(target=lambda: ran.append(threading.current_thread() is thread))
    thread.start()
    thread.join(10)
    with threading.Lock(), threading.RLock(), threading.Condition():
        logging.getLogger("x").error("heard")
    return [ran, os.getpid() != parent, os.getppid() == parent, threading.current_thread() is threading.main_thread()]
parent = os.getpid()
fork.watch()
print(json.dumps([fork.settle(), child(answer), told]))
"""
    )
    assert found == [[], [[True], True, True, True], []]


@pytest.mark.parametrize("name", ["threading", "logging", "random", "asyncio.events"])
def test_standard_library_is_not_told(name: str) -> None:
    """What the standard library registers for the sake of other threads is left out."""
    found = run(
        f"""
fork.watch()
exec(REGISTER, {{"__name__": {name!r}, "told": told}})
print(json.dumps([fork.settle(), child(lambda: told), told]))
"""
    )
    assert found == [[], [], []]


def test_packages_are_told() -> None:
    """A package that has registered is called in the child, as with os.fork."""
    found = run(
        """
fork.watch()
exec(REGISTER, {"__name__": "foreign", "told": told})
print(json.dumps([fork.settle(), child(lambda: told), told]))
"""
    )
    assert found == [["foreign"], ["os.fork", "hook"], ["os.fork"]]


def test_threads_are_repaired() -> None:
    """With a second thread in the process, forks are CPython's own."""
    found = run(
        """
fork.watch()
gate = threading.Event()
thread = threading.Thread(target=gate.wait, daemon=True)
thread.start()
import warnings
warnings.simplefilter("ignore")  # 3.12 and later warn of a fork beside threads
settled = fork.settle()
found = child(threading.active_count)
gate.set()
print(json.dumps([settled, found, told, os.register_at_fork.__module__]))
"""
    )
    assert found == [["threading"], 1, ["os.fork"], "posix"]


def test_failed_fork() -> None:
    """fork(2) that fails is an OSError with its number."""
    found = run(
        """
import errno, resource
fork.watch()
fork._fork = type("Failing", (), {"__call__": lambda self: (__import__("ctypes").set_errno(errno.EAGAIN), -1)[1]})()
try:
    fork.fork()
except OSError as error:
    print(json.dumps([error.errno == errno.EAGAIN, error.filename]))
"""
    )
    assert found == [True, "fork"]
