"""What tells about the process, or acts on it: ``os``, ``sys``, ``warnings``.

The real ``sys.stdout`` and ``sys.stderr`` are objects of the worker's, and the real ``catch_warnings`` holds the
``warnings`` module.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from reptarium.sandbox.language.guards import FACADES, guarded_getattr
from reptarium.sandbox.language.hardening.audit import trusted
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.packages.standard.holders import guard_methods
from reptarium.sandbox.language.packages.standard.paths import OS_PATH
from reptarium.sandbox.language.policy.refusals import unavailable

#: What ``os.environ`` is to tasks.
shown_environment: dict[str, str] = {}


def show_environment(variables: Mapping[str, str]) -> None:
    """What ``os.environ`` and ``os.getenv`` show to tasks; nothing unless this was called."""
    shown_environment.clear()
    shown_environment.update(variables)


def _tzset() -> None:
    """The C library reads the time zone from the process's own environment: it is the one that the task shows."""
    zone = shown_environment.get("TZ")
    if zone is not None and (type(zone) is not str or "\0" in zone):
        raise TypeError("os.environ['TZ'] must be a string without a NUL")
    with trusted():
        if zone is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = zone
        time.tzset()
    for facade in FACADES.values():
        if facade.__name__ == "time":
            vars(facade).update({each: getattr(time, each) for each in ("altzone", "daylight", "timezone", "tzname")})


#: Where ``print`` writes within ``contextlib.redirect_stdout``, if not to None: the innermost last.
REDIRECTED: list[Any] = []
#: Under the stream's name: what the redirection hides whose object a thread is writing to, in a tuple.
_writing = threading.local()


def _below(name: str, method: str, *arguments: Any) -> Any:
    """Call a method of the process's stream, or of what the redirection hides whose object is being written to."""
    hidden = getattr(_writing, name, None)
    return getattr(getattr(sys, name) if hidden is None else hidden[0], method)(*arguments)


def _redirected(name: str, target: Any) -> Any:
    """The process's stream while it is redirected: whoever writes, what the object writes to the stream that a task has
    goes below it. In CPython the object keeps that one; here the task's stream stands for whatever is there.

    Libraries keep it where tasks can read it (``PrettyPrinter()._stream``): it holds nothing, and reads nothing of the
    object that the task may not.
    """
    hidden = (getattr(sys, name),)

    def call(method: Callable[..., Any], *arguments: Any) -> Any:
        before = getattr(_writing, name, None)
        setattr(_writing, name, hidden)
        try:
            return method(*arguments)
        finally:
            setattr(_writing, name, before)

    class Redirected:
        __slots__ = ()

        def write(self, text: str) -> Any:
            return call(target.write, text)

        def flush(self) -> None:
            call(target.flush)

        def __getattr__(self, attribute: str) -> Any:
            return guarded_getattr(target, attribute)

    return Redirected()


def _stream(name: str) -> Any:
    def write(text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        # A plain copy of what it holds: a subclass's own methods have no business with the worker's stream
        written: int = _below(name, "write", str.__str__(text))
        return written

    class Stream:
        """A text stream that is written to, and no more."""

        __slots__ = ()
        encoding = "utf-8"
        errors = "strict"
        closed = False

        def write(self, text: str, /) -> int:
            return write(text)

        def writelines(self, lines: Iterable[str], /) -> None:
            for line in lines:
                write(line)

        def flush(self) -> None:
            _below(name, "flush")

        def isatty(self) -> bool:
            return False

        def writable(self) -> bool:
            return True

        def readable(self) -> bool:
            return False

        def __repr__(self) -> str:
            return f"<sys.{name}>"

    return Stream()


def _streams() -> dict[str, Any]:
    """``sys.stdout`` and ``sys.stderr`` in a task: whatever those of the process are at the time of writing."""
    return {name: _stream(name) for name in ("stdout", "stderr")}


def _catch_warnings(real: Callable[..., Any]) -> Callable[..., Any]:
    """``warnings.catch_warnings`` that doesn't show the module which it restores, and restores no other.

    Args:
        real: the class of that name.
    """

    def catch_warnings(*, record: bool = False, **options: Any) -> Any:
        """Keep the filters as they are after the block; with ``record`` a list of the warnings in it."""
        if "module" in options:
            raise unavailable("catch_warnings() of another module is not available in a task: leave it out")
        inner = real(record=record, **options)

        class Block:
            __slots__ = ()

            def __enter__(self) -> Any:
                return inner.__enter__()

            def __exit__(
                self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
            ) -> None:
                inner.__exit__(kind, error, trace)

        return Block()

    return catch_warnings


def _redirect(name: str) -> Callable[[Any], Any]:
    """``contextlib.redirect_stdout``: what the task prints and writes goes to an object of its own."""

    def redirect(new_target: Any) -> Any:
        previous: list[Any] = []

        class Block:
            __slots__ = ()

            def __enter__(self) -> Any:
                previous.append(getattr(sys, name))
                redirected = None if new_target is None else _redirected(name, new_target)
                setattr(sys, name, redirected)
                if name == "stdout":
                    REDIRECTED.append(redirected)
                return new_target

            def __exit__(self, *_: object) -> None:
                setattr(sys, name, previous.pop())
                if name == "stdout":
                    REDIRECTED.pop()

        return Block()

    redirect.__name__ = redirect.__qualname__ = f"redirect_{name}"
    return redirect


#: Frames in Python take no room on the machine's stack; what C code nests has limits of its own.
_DEEPEST = 100_000


#: How many frames below a task's aren't its own: its limit is so much higher than it sees.
_BELOW = [0]


def discount_frames(count: int) -> None:
    """``count`` frames of this process lie below a task's: they take nothing off how deep it may go."""
    sys.setrecursionlimit(sys.getrecursionlimit() + count - _BELOW[0])
    _BELOW[0] = count


#: Frames that whoever sets a limit leaves to what guards the next call, and tells of its end.
_SPARE = 8


def setrecursionlimit(limit: int) -> None:
    """``sys.setrecursionlimit``, up to 100,000. Raises what that raises, in the task's own numbers."""
    wanted = limit if limit < 1 else min(limit, _DEEPEST) + _BELOW[0]
    try:
        if limit >= 1:
            # a limit that the code itself couldn't go on with would end the worker
            sys.setrecursionlimit(max(1, wanted - _SPARE))
        sys.setrecursionlimit(wanted)
    except RecursionError as error:
        depth = int(str(error).partition("depth ")[2].partition(":")[0]) - _BELOW[0] - 1
        text = f"cannot set the recursion limit to {limit} at the recursion depth {depth}: the limit is too low"
        raise RecursionError(text) from None


def _getrecursionlimit() -> int:
    return sys.getrecursionlimit() - _BELOW[0]


def _exit(status: object = None) -> None:
    raise SystemExit(status)


PACKAGES = (
    Package(
        "os",
        replaced={
            "os": {
                "environ": shown_environment,
                "getenv": lambda key, default=None: shown_environment.get(key, default),
            },
            "os.path": OS_PATH,
        },
    ),
    Package("time", replaced={"time": {"tzset": _tzset}}),
    Package(
        "sys",
        replaced={
            "sys": {
                "exit": _exit,
                "argv": [""],
                "executable": "",
                "setrecursionlimit": setrecursionlimit,
                "getrecursionlimit": _getrecursionlimit,
                **_streams(),
            }
        },
    ),
    Package(
        "contextlib",
        replaced={"contextlib": {f"redirect_{name}": _redirect(name) for name in ("stdout", "stderr")}},
        patches={"contextlib": guard_methods},
    ),
    Package("warnings", made={"warnings": lambda real: {"catch_warnings": _catch_warnings(real.catch_warnings)}}),
)
