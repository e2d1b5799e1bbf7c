"""Which packages a task imports that weren't there when its worker was forked, and how much time each took.

That is processor time of the thread that imports: what passes on a machine with much to do says little of the package.
The supervisor learns from it what to preload, and believes none of it: what a worker tells is a hint. Only modules at
the top are timed, with all that their import brings: to preload one spares a task just that. Nothing here runs for a
module that is there already.
"""

from __future__ import annotations

import importlib._bootstrap_external
import time
from collections.abc import Callable
from typing import Any

import msgspec

from reptarium.sandbox import wire

__all__ = ["forget", "told", "watch"]

#: Milliseconds under which an import isn't worth a word, and how many are told of.
_LEAST, _MOST = 1.0, wire.MAX_IMPORTS
_clock = time.thread_time
_seen: dict[str, float] = {}
_busy = False  # in the middle of one: what it imports itself is part of it


def watch() -> None:
    """From here on each module that is loaded from a file is timed. To be called before classes are sealed."""
    external: Any = importlib._bootstrap_external
    source, extension = external.SourceFileLoader, external.ExtensionFileLoader
    source.exec_module = _timed(source.exec_module)
    extension.exec_module = _timed(extension.exec_module)
    extension.create_module = _timed(extension.create_module)  # loads the library


def _timed(load: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def timed(self: Any, what: Any) -> Any:
        global _busy
        if _busy:
            return load(self, what)
        _busy, began = True, _clock()
        try:
            return load(self, what)
        finally:
            _busy = False
            name = self.name
            if "." not in name:
                _seen[name] = _seen.get(name, 0.0) + (_clock() - began) * 1000

    return timed


def forget() -> None:
    """What was imported until now is there for all: nobody's task has."""
    _seen.clear()


def told() -> msgspec.Raw:
    """What the task has imported, for the head of its result; the next one begins anew."""
    if not _seen:
        return wire.NO_IMPORTS
    dearest = sorted(((ms, name) for name, ms in _seen.items() if ms >= _LEAST and len(name) <= wire.MAX_NAME))[-_MOST:]
    _seen.clear()
    return (
        msgspec.Raw(msgspec.json.encode({name: round(ms, 1) for ms, name in dearest})) if dearest else wire.NO_IMPORTS
    )
