"""What each file of this room declares about its package."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from reptarium.sandbox.language.guards import refused, refusing
from reptarium.sandbox.language.hardening.audit import state
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.allowlist import CONNECT_SETTING
from reptarium.sandbox.language.policy.stdlib import NO_FILES, NO_NETWORK

#: In a table of stand-ins: the façade has nothing of that name.
WITHHELD = object()


class Package(NamedTuple):
    """What the language layer changes about one package, or one module of the standard library.

    All keys are dotted names of modules, all lists of names are separated by spaces. What isn't listed comes over as
    it is.
    """

    #: Its top-level name.
    name: str
    #: Module → reason → names that its façade doesn't carry.
    withheld: Mapping[str, Mapping[str, str]] = {}
    #: Module → reason → functions that say so: better than a missing name for what people know.
    refused: Mapping[str, Mapping[str, str]] = {}
    #: Module → functions that take streams to read from, but neither paths nor URLs where a task has no files and no
    #: connections.
    streams_only: Mapping[str, str] = {}
    #: Module → name → what its façade carries instead.
    replaced: Mapping[str, Mapping[str, Any]] = {}
    #: Module → a function that is given the real module and makes more of the same, when the façade is built.
    made: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {}
    #: Pairs of a value and its stand-in, whichever module's façade would carry it.
    everywhere: tuple[tuple[Any, Any], ...] = ()
    #: Module → a function that is given the real module once, as soon as it was imported: for what no façade can hide,
    #: because instances carry it, and for what a module would look for in files of the machine.
    patches: Mapping[str, Callable[[Any], None]] = {}
    #: Modules that make code from the task's text by design → what looks at it besides ``hardening/made_code.py``.
    code_checks: Mapping[str, Callable[[object], None]] = {}

    def declared(self) -> dict[str, dict[str, Any]]:
        """Module → name → stand-in, or ``WITHHELD``: what is known before the package is imported."""
        table: dict[str, dict[str, Any]] = {}
        for module, name, _ in self.reasons():
            table.setdefault(module, {})[name] = WITHHELD
        for module, reasons in self.refused.items():
            for why, names in reasons.items():
                table.setdefault(module, {}).update((each, refusing(f"{module}.{each}", why)) for each in names.split())
        for module, stand_ins in self.replaced.items():
            table.setdefault(module, {}).update(stand_ins)
        return table

    def reasons(self) -> Iterator[tuple[str, str, str]]:
        """Module, name and reason of all that is withheld."""
        for module, table in self.withheld.items():
            for why, names in table.items():
                yield from ((module, name, why) for name in names.split())

    def of_files(self, module: str) -> set[str]:
        """The names that are refused for no other reason than that tasks have no files."""
        table = self.refused.get(module, {})
        return {name for why, names in table.items() if why.startswith(NO_FILES) for name in names.split()}

    def stand_ins(self, module: str, real: Any) -> dict[str, Any]:
        """Name → stand-in: what is made of the real module when its façade is built."""
        table: dict[str, Any] = {}
        for name in self.streams_only.get(module, "").split():
            if callable(getattr(real, name, None)):
                table[name] = only_streams(getattr(real, name), f"{module}.{name}")
        if module in self.made:
            table |= self.made[module](real)
        return table


def only_streams(real: Callable[..., Any], what: str, method: bool = False) -> Callable[..., Any]:
    """A reader (or a writer, perhaps a ``method``) that takes streams: a path only where the task has files, a URL only
    where it may have connections.
    """

    first = _parameters(real)[method : method + 1]

    @functools.wraps(real)
    def reader(*args: Any, **kwargs: Any) -> Any:
        places = (*args[method : method + 1], *(kwargs[name] for name in first if name in kwargs))
        for place in places:
            if _is_url(place):
                if not state.connections:
                    raise RefusedAttribute(
                        f"{what} of a URL is not allowed: {NO_NETWORK}. {CONNECT_SETTING} decides this."
                    )
            elif _is_path(place) and not state.files:
                why = f"{NO_FILES}; give it io.StringIO(text) or io.BytesIO(data)"
                raise refused(f"{what} of a path is not allowed", why)
        return real(*args, **kwargs)

    del reader.__wrapped__
    return reader


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []  # of C code, which has none


def _is_path(source: object) -> bool:
    # pandas and gzip take for a path what is a str or has __fspath__, with a read() or without; others take lines
    return isinstance(source, (str, bytes, int)) or hasattr(type(source), "__fspath__")


def _is_url(source: object) -> bool:
    return type(source) is str and source.startswith(("https://", "http://"))


def with_files(real: Callable[..., Any], what: str, why: str) -> Callable[..., Any]:
    """A method that is there where the task has files, and says why not elsewhere."""
    refusal = refusing(what, why)

    @functools.wraps(real)
    def method(*args: Any, **kwargs: Any) -> Any:
        return (real if state.files else refusal)(*args, **kwargs)

    del method.__wrapped__
    return method
