"""What each file of this room declares about its package."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reptarium.sandbox.language.guards import refusing
from reptarium.sandbox.language.policy import RefusedAttribute

#: In a table of stand-ins: the façade has nothing of that name.
WITHHELD = object()


class Package(NamedTuple):
    """What the language layer changes about one package, or one module of the standard library.

    All keys are dotted names of modules, all lists of names are separated by spaces. What isn't listed comes over as
    it is.
    """

    #: Its top-level name.
    name: str
    #: Module → names that its façade doesn't carry.
    withheld: Mapping[str, str] = {}
    #: Module → reason → functions that say so: better than a missing name for what people know.
    refused: Mapping[str, Mapping[str, str]] = {}
    #: Module → functions that take streams to read from, but neither paths nor URLs.
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
        for module, names in self.withheld.items():
            table.setdefault(module, {}).update(dict.fromkeys(names.split(), WITHHELD))
        for module, reasons in self.refused.items():
            for why, names in reasons.items():
                table.setdefault(module, {}).update((each, refusing(f"{module}.{each}", why)) for each in names.split())
        for module, stand_ins in self.replaced.items():
            table.setdefault(module, {}).update(stand_ins)
        return table

    def stand_ins(self, module: str, real: Any) -> dict[str, Any]:
        """Name → stand-in: what is made of the real module when its façade is built."""
        table: dict[str, Any] = {}
        for name in self.streams_only.get(module, "").split():
            if callable(getattr(real, name, None)):
                table[name] = only_streams(getattr(real, name), f"{module}.{name}")
        if module in self.made:
            table |= self.made[module](real)
        return table


def only_streams(real: Callable[..., Any], what: str) -> Callable[..., Any]:
    """A reader that takes objects to read from, but no path and no URL."""

    @functools.wraps(real)
    def reader(source: Any, *args: Any, **kwargs: Any) -> Any:
        # pandas and gzip take for a path what is a str or has __fspath__, with a read() or without; others take lines
        if isinstance(source, (str, bytes, int)) or hasattr(type(source), "__fspath__"):
            raise RefusedAttribute(
                f"{what} of a path or URL is not allowed: tasks have no files and no network. "
                "Give it io.StringIO(text) or io.BytesIO(data). No setting allows it."
            )
        return real(source, *args, **kwargs)

    del reader.__wrapped__
    return reader
