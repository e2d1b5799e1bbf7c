"""What a short façade lacks although the module has it is refused with the true reason, however it is asked for."""

from __future__ import annotations

import importlib

import msgspec
import pytest
from programs import NO_SETTING, OPEN, outcome

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.packages import registry
from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.task.failures import user_failed

FILES = "tasks have no files; use the node's binary data, io.StringIO and io.BytesIO"
PROCESSES = "tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node"
ENDS = "a task has no signals to send and doesn't end its process: return, or raise an exception"
TERMINAL = "there is no terminal and no screen in a task"
NEITHER = "it isn't among what tasks may do, with files of their own or without"
FRAMES = "it hands out frames, which belong to the interpreter; traceback.format_exc() tells where an error was"
CODECS = "it is what str.encode and bytes.decode are made of; use those, or codecs.getencoder and codecs.getdecoder"
OTHER = "it is about the interpreter or the machine, not the data"
REASONS = {
    ("os", "getcwd"): FILES,
    ("os", "listdir"): FILES,
    ("os", "remove"): FILES,
    ("os", "system"): PROCESSES,
    ("os", "fork"): PROCESSES,
    ("os", "waitpid"): PROCESSES,
    ("os", "WEXITSTATUS"): PROCESSES,
    ("os", "kill"): ENDS,
    ("os", "abort"): ENDS,
    ("os", "_exit"): ENDS,
    ("os", "ttyname"): TERMINAL,
    ("os", "get_terminal_size"): TERMINAL,
    ("os", "putenv"): "a task's environment is os.environ",
    ("os", "W_OK"): FILES,
    ("os", "getxattr"): NEITHER,
    ("os", "sysconf"): OTHER,
    ("os", "getuid"): OTHER,
    ("os.path", "getsize"): FILES,
    ("os.path", "sameopenfile"): NEITHER,
    ("io", "open"): FILES,
    ("io", "open_code"): NEITHER,
    ("sys", "modules"): OTHER,
    ("sys", "settrace"): OTHER,
    ("codecs", "open"): FILES,
    ("codecs", "register"): CODECS,
    ("mimetypes", "read_mime_types"): "it reads files of the machine",
    ("sys", "stdin"): "what comes in is _items, _item or _query",
    ("gc", "get_objects"): OTHER,
    ("inspect", "currentframe"): FRAMES,
    ("inspect", "stack"): FRAMES,
    ("inspect", "getsource"): "a task's program is not a file",
    ("logging.handlers", "SMTPHandler"): "it sends records to other machines; collect them in a handler of your own, "
    "and let n8n send them",
    ("logging.handlers", "RotatingFileHandler"): FILES,
    ("zipfile", "Path"): "it gives the archive another class, and those can't be changed; use namelist(), "
    "read() and open()",
    ("xml.sax", "make_parser"): "it reads what addresses and paths name; use parseString() with the text",
    ("asyncio", "create_subprocess_exec"): PROCESSES,
    (
        "asyncio",
        "start_server",
    ): "a task lives for its items and can't be connected to; let a Webhook node of n8n's answer",
}


@pytest.mark.parametrize(("module", "name"), REASONS)
def test_missing_name(module: str, name: str) -> None:
    """As an attribute, and in an import."""
    why = REASONS[module, name]
    ended = outcome(f"import {module}\nreached.append({module}.{name})")
    assert (type(ended), str(ended)) == (
        AttributeError,
        f"module {module!r} has no attribute {name!r}: {why}. {NO_SETTING}",
    )
    ended = outcome(f"from {module} import {name} as x\nreached.append(x)", OPEN)
    assert (type(ended), str(ended)) == (
        RefusedImport,
        f"cannot import name {name!r} from {module!r}: {why}. {NO_SETTING}",
    )


def test_what_connects_names_its_setting() -> None:
    """What is there with connections says which setting gives them."""
    ended = outcome("import asyncio\nreached.append(asyncio.open_connection)")
    assert str(ended) == (
        "module 'asyncio' has no attribute 'open_connection': tasks have no network; let n8n do the request, with "
        "_helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."
    )
    given = msgspec.structs.replace(OPEN, connections=True)
    assert outcome("import asyncio\nif asyncio.open_connection is None: reached.append(1)", given) is None


@pytest.mark.parametrize("name", ["nonsense", "sys", "_wrap_close"])
def test_a_name_without_a_reason(name: str) -> None:
    """What nobody has, modules that the module uses itself, and its private names are missing as anywhere."""
    ended = outcome(f"import os\nreached.append(os.{name})")
    assert str(ended) == f"module 'os' has no attribute {name!r}"


@pytest.mark.parametrize(
    ("name", "advice"),
    {
        "abort": "REPTARIUM_LANGUAGE=python allows it.",
        "getcwd": "REPTARIUM_SCRATCH gives tasks files of their own.",
        "fork": NO_SETTING,
        "link": "REPTARIUM_LANGUAGE=python allows it.",
    }.items(),
)
def test_the_person_reads_which_setting_has_it(name: str, advice: str) -> None:
    """As for everything that is refused, whether it was asked for as an attribute or in an import."""
    for program in (f"import os\nreached.append(os.{name})", f"from os import {name}"):
        told = user_failed(outcome(program), 2**29, None).failure.message
        assert told.endswith(f". {advice}"), told


def test_an_exception_of_ones_own_keeps_its_text() -> None:
    """Which setting has something is said of what is missing here, and nothing else."""
    ended = outcome("raise AttributeError('x. No setting allows it.')")
    assert user_failed(ended, 2**29, None).failure.message == "x. No setting allows it."


def test_with_files_of_its_own() -> None:
    """A task that has some isn't told that it has none."""
    ended = outcome("import os\nreached.append(os.getcwd() and os.link)", msgspec.structs.replace(OPEN, files=True))
    assert str(ended).endswith(f"{NEITHER}. {NO_SETTING}")


WITHHELD = {
    "yaml.YAMLObject": "it brings the loaders along whose tags make any Python object; use yaml.SafeLoader.add_constructor "
    "and yaml.SafeDumper.add_representer",
    "numpy.core": "it is numpy's inside; what tasks need is in numpy itself",
    "jinja2.FileSystemLoader": "it reads and writes files by names of its own; use DictLoader or FunctionLoader",
    "enum.global_enum": "it writes into the module that a class names; assign the members to names",
    "enum.pickle_by_enum_name": "pickles run code; use json",
    "argparse.FileType": "it opens files; have argparse give the name",
}


@pytest.mark.parametrize("name", WITHHELD)
def test_withheld_name(name: str) -> None:
    """Names that a long façade leaves out say why as well."""
    module, _, attribute = name.rpartition(".")
    pytest.importorskip(module)
    if not hasattr(importlib.import_module(module), attribute):
        pytest.skip("not in this version")
    ended = outcome(f"import {module}\nreached.append({name})")
    assert (type(ended), str(ended)) == (
        AttributeError,
        f"module {module!r} has no attribute {attribute!r}: {WITHHELD[name]}. {NO_SETTING}",
    )


def test_each_withheld_name_has_a_reason() -> None:
    """Of the standard library's open modules, and of packages."""
    for module, names in stdlib.OPEN.items():
        assert all(stdlib.withheld_reason(module, name) for name in names)
    reasons = [why for package in registry.PACKAGES.values() for _, _, why in package.reasons()]
    assert len(reasons) > 50
    assert all(len(why.split()) > 3 for why in reasons)
