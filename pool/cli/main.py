"""The ``reptarium`` command: finds the command that is meant, and says how what goes wrong ends."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from reptarium import __version__
from reptarium.pool.cli.say import say
from reptarium.pool.cli.signals import hold
from reptarium.pool.cli.status import BAD_CONFIG, FAILED, INTERRUPTED, contained
from reptarium.pool.ops.unreadable import become_unreadable
from reptarium.pool.refusal import StartRefused, require_interpreter

#: The commands, each a module of this room, and a line about each. A module has ``arguments(parser)``, which
#: declares them, and ``call(arguments)``, which carries the command out and returns the exit status.
COMMANDS = {
    "run": "the runner: connect to n8n's task broker and serve it",
    "install": "install the packages that REPTARIUM_REQUIREMENTS names, and end",
    "exec": "run one script on an embedded broker and print its result",
    "broker": "the embedded broker alone",
    "submit": "run one script on a runner of that broker",
    "demo": "run a handful of example scripts and show what comes out",
    "bench": "load a runner of this protocol and measure it",
    "stubs": "write types of the names that a task has, for editors",
    "check": "read n8n workflows: which Python nodes will run, and the settings for it",
    "policy": "check a file of rules for some workflows; print its schema",
    "doctor": "show each layer of isolation: active, partial, off or missing, and what to change",
}


#: Why a file or a stream takes no more.
_UNWRITABLE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    become_unreadable()
    try:
        require_interpreter()
        status = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # here, where what goes wrong is met
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        if not isinstance(error, BrokenPipeError):  # whoever has gone needs no word
            say(f"reptarium: {error.strerror}" + (f": {error.filename}" if error.filename else " (standard output)"))
        _silence()
        return FAILED
    except (StartRefused, BaseExceptionGroup) as error:
        if contained(error, KeyboardInterrupt) is not None:
            return INTERRUPTED
        refused = contained(error, StartRefused)
        if refused is None:
            raise
        say(f"reptarium: {refused}")
        return BAD_CONFIG


def _silence() -> None:
    """Nothing that is still to be written fails at the interpreter's end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(null, stream.fileno())


def _dispatch(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="reptarium", description="A sandboxed, warm worker pool that runs n8n's Python Code nodes."
    )
    parser.add_argument("--version", action="version", version=f"reptarium {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    meant = next((word for word in argv if not word.startswith("-")), None)
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if name == meant:  # the others needn't be imported
            if name in ("run", "broker"):  # its import alone takes as long as many a start
                hold()
            module = _load(f"reptarium.pool.cli.{name}")
            module.arguments(command)
            command.set_defaults(call=module.call, argv=list(argv[argv.index(name) + 1 :]))
    arguments = parser.parse_args(argv)
    return int(arguments.call(arguments))


def _load(name: str) -> ModuleType:
    """Import a command's module, with all that it stands on, in half of the processor time.

    Everything that is made meanwhile stays: collections would look it through again and again (a third of the
    time). And structlog imports rich, if there is one, for tracebacks that aren't shown that way here (a sixth).
    """
    modules: dict[str, Any] = sys.modules
    gc.disable()
    modules.setdefault("rich", None)  # import: a ModuleNotFoundError
    try:
        importlib.import_module("structlog")
    finally:
        if modules["rich"] is None:
            del modules["rich"]
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
