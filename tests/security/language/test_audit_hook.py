"""The second line: should a real function ever leak into a task, CPython asks our audit hook before it does anything.

Nothing of this is reachable (see the other files): the tests hand the functions to the programs.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from programs import NO_SETTING, OPEN, Attack, check, check_nothing_reached, outcome

from reptarium.sandbox.language import RefusedAttribute, compile_task, make_namespace, run
from reptarium.sandbox.language.hardening import RefusedOperation

NO_FILES = "opening files is not available in a task (no setting allows it)"
NETWORK = "is not available in a task: it has no network. Let n8n do the request, with _helpers.http_request(…) or an HTTP Request node. "
#: The leaked function, what the program does with it, and the event that is refused.
LEAKS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "eval": (eval, "leaked('1')", "compile (making code)"),
    "exec": (exec, "leaked('1')", "compile (making code)"),
    "exec_of_code": (exec, "leaked(code)", "exec (making code)"),
    "eval_of_code": (eval, "leaked(code)", "exec (making code)"),
    "compile": (compile, "leaked('1', 'f', 'eval')", "compile (making code)"),
    "system": (os.system, "leaked('true')", "os.system"),
    "popen": (subprocess.Popen, "leaked(['true'])", "subprocess.Popen"),
    "run": (subprocess.run, "leaked(['true'])", "subprocess.Popen"),
    "fork": (os.fork, "leaked()", "os.fork"),
    "posix_spawn": (os.posix_spawn, "leaked('/bin/true', ['true'], {})", "os.posix_spawn"),
    "execv": (os.execv, "leaked('/bin/true', ['true'])", "os.exec"),
    "kill": (os.kill, "leaked(pid, 0)", "os.kill"),
    "pthread_kill": (signal.pthread_kill, "leaked(1, 0)", "signal.pthread_kill"),
    "mkdir": (os.mkdir, "leaked(path)", "os.mkdir"),
    "remove": (os.remove, "leaked(path)", "os.remove"),
    "rename": (os.rename, "leaked(path, path + '2')", "os.rename"),
    "symlink": (os.symlink, "leaked(path, path + '2')", "os.symlink"),
    "link": (os.link, "leaked(path, path + '2')", "os.link"),
    "chmod": (os.chmod, "leaked(path, 0)", "os.chmod"),
    "truncate": (os.truncate, "leaked(path, 0)", "os.truncate"),
    "utime": (os.utime, "leaked(path)", "os.utime"),
    "chdir": (os.chdir, "leaked('/')", "os.chdir"),
    "putenv": (os.putenv, "leaked('REPTARIUM_TEST', '1')", "os.putenv"),
    "rmtree": (shutil.rmtree, "leaked(path)", "shutil.rmtree"),
    "copyfile": (shutil.copyfile, "leaked(path, path + '2')", "shutil.copyfile"),
    "mkstemp": (tempfile.mkstemp, "leaked()", "tempfile.mkstemp"),
    "mkdtemp": (tempfile.mkdtemp, "leaked()", "tempfile.mkdtemp"),
    "settrace": (sys.settrace, "leaked(None)", "sys.settrace"),
    "setprofile": (sys.setprofile, "leaked(None)", "sys.setprofile"),
    "current_frames": (sys._current_frames, "leaked()", "sys._current_frames"),
}
FILES = "tasks have no files"
PROCESSES = "tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node"
#: Event → why it is refused; others are about the interpreter or the machine.
WHY = {
    "compile (making code)": "it runs text as code",
    "exec (making code)": "it runs text as code",
    **dict.fromkeys(("os.system", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"), PROCESSES),
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rename", "os.chmod", "os.truncate", "os.utime"), FILES),
    **dict.fromkeys(("shutil.rmtree", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp"), FILES),
}
OPENERS: dict[str, tuple[Callable[..., Any], str]] = {
    "open": (open, "leaked(path)"),
    "open_for_writing": (open, "leaked(path, 'w')"),
    "os_open": (os.open, "leaked(path, 0)"),
    "path": (Path.read_text, "leaked(place)"),
    "open_by_map": (open, "list(map(leaked, [path]))"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_leaked_function(leak: str, tmp_path: Path) -> None:
    """The function ends in a refusal that names it, and has done nothing."""
    leaked, program, event = LEAKS[leak]
    file = tmp_path / "file"
    file.write_text("content")
    why = WHY.get(event, "it is about the interpreter or the machine, not the data")
    text = f"{event} is not available in a task: {why}. {NO_SETTING}"
    attack = Attack(f"reached.append({program})", text, RefusedOperation)
    check(attack, leaked=leaked, path=str(file), pid=os.getpid(), code=compile("1", "f", "eval"))
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "content"


@pytest.mark.parametrize("opener", OPENERS)
def test_leaked_opener(opener: str, tmp_path: Path) -> None:
    """No file of the machine's is opened."""
    leaked, program = OPENERS[opener]
    file = tmp_path / "file"
    file.write_text("content")
    attack = Attack(f"reached.append({program})", f"[Errno 13] {NO_FILES}: {str(file)!r}", RefusedOperation)
    check(attack, leaked=leaked, path=str(file), place=file)
    assert file.read_text() == "content"


def test_leaked_socket() -> None:
    """No connection, no name is looked up."""
    with socket.socket() as free, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = listening.getsockname()
        for program, event in (
            ("leaked.connect(address)", "socket.connect"),
            ("leaked.bind(('127.0.0.1', 0))", "socket.bind"),
            ("lookup('localhost', 1)", "socket.getaddrinfo"),
        ):
            attack = Attack(
                f"reached.append({program})",
                f"{event} {NETWORK}REPTARIUM_CONNECT_ALLOW decides this.",
                RefusedOperation,
            )
            check(attack, leaked=free, lookup=socket.getaddrinfo, address=address)


@pytest.mark.parametrize("name", ["__code__"])
def test_leaked_getattr(name: str) -> None:
    """What CPython reports of attribute reads stays closed to user frames."""
    attack = Attack(
        "reached.append(leaked(f, name))",
        f"the attribute '{name}' is not allowed: it belongs to the interpreter.",
        RefusedAttribute,
    )
    check(attack, leaked=getattr, f=test_leaked_getattr, name=name)


def test_listing_the_machines_folders(tmp_path: Path) -> None:
    """Only the folders that modules come from can be listed: imports need it."""
    for leaked, event in ((os.listdir, "os.listdir"), (os.scandir, "os.scandir")):
        text = f"{event} ({tmp_path}) is not available in a task: {FILES}. {NO_SETTING}"
        check(Attack("reached.append(leaked(path))", text, RefusedOperation), leaked=leaked, path=str(tmp_path))


def test_listing_by_a_path_that_lies(tmp_path: Path) -> None:
    """What is asked for counts, not what it says of itself."""
    program = "class Path(str):\n    def __str__(self): return allowed\nreached.append(leaked(Path(path)))"
    text = f"os.listdir ({os.path.dirname(os.__file__)}) is not available in a task: {FILES}. {NO_SETTING}"
    check(
        Attack(program, text, RefusedOperation),
        leaked=os.listdir, path=str(tmp_path), allowed=os.path.dirname(os.__file__),
    )  # fmt: skip


#: Names that a library's module has.
A_MODULE_S = {"__name__": "somebodys", "__file__": "<string>", "__spec__": ModuleSpec("somebodys", None)}
#: Texts that a library might be brought to compile, by what they would get hold of.
MADE = {
    "attribute": "f = x.__globals__",
    "matched_attribute": "match x:\n    case object(__globals__=g): pass",
    "matched_holder": "match x:\n    case object(parser=g): pass",
    "imported_module": "import os",
    "imported_from_a_refused_one": "from os import system",
    "imported_module_of_an_open_one": "from random import _os",
    "imported_builtins_of_an_open_one": "from enum import bltns",
    "imported_dunder": "from json import __builtins__",
    "builtin": "f = getattr(x, n)",
}


@pytest.mark.parametrize("text", MADE.values(), ids=MADE)
def test_text_that_libraries_compile(text: str) -> None:
    """It is judged whoever compiles it."""
    maker: dict[str, object] = {**A_MODULE_S}
    exec("def made(text): compile(text, '<made>', 'exec'); return True", maker)  # noqa: S102 - a library's module
    ended = outcome("reached.append(made(text))", made=maker["made"], text=text)
    assert isinstance(ended, RefusedOperation), ended
    assert str(ended).startswith("this code is not made: it ")


def test_ordinary_text_that_libraries_compile() -> None:
    """What libraries make of their own names is made."""
    maker: dict[str, object] = {**A_MODULE_S}
    exec("def made(text): compile(text, '<made>', 'exec')", maker)  # noqa: S102 - a library's module
    check_nothing_reached(
        "made('from math import sqrt as root, pi\\nfrom json import dumps\\nclass A:\\n    def f(self, x):\\n"
        "        match x:\\n            case object(real=r): return getattr(self, \\'x\\') + root(r.imag)')",
        made=maker["made"],
    )


def test_leaked_addaudithook() -> None:
    """CPython swallows the refusal of ``sys.addaudithook``, and adds no hook."""
    check_nothing_reached("leaked(lambda *event: reached.append(event))", leaked=sys.addaudithook)
    check_nothing_reached(
        "leaked(lambda *event: reached.append(event))\naudit('reptarium.test')",
        leaked=sys.addaudithook,
        audit=sys.audit,
    )


def test_hook_is_for_tasks_only(tmp_path: Path) -> None:
    """Before and after a task, and in other tests, everything is as ever."""
    check_nothing_reached("pass")
    (tmp_path / "file").write_text("content")
    assert eval("1 + 1") == 2  # noqa: S307
    with open(tmp_path / "file") as file:
        assert file.read() == "content"


def test_nested_task_does_not_open_the_outer_one(tmp_path: Path) -> None:
    """A task within a task (there is none, but the state is a stack) leaves the hook armed."""

    def inner() -> object:
        return run(compile_task("return 1", OPEN), make_namespace(OPEN, {}))

    file = tmp_path / "file"
    attack = Attack(
        "inner()\nreached.append(leaked(path, 'w'))", f"[Errno 13] {NO_FILES}: {str(file)!r}", RefusedOperation
    )
    check(attack, inner=inner, leaked=open, path=str(file))
    assert not file.exists()
