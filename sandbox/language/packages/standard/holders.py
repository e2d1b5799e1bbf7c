"""Methods of the standard library that show, compare or hand on whatever their object holds.

A method takes anything for ``self``: ``argparse.Namespace._get_kwargs(object)`` lists ``object.__getattribute__``,
which reads any name of anything. So those that read ``__dict__`` aren't called with a class or a module while a task
runs. A test finds them all, and knows why each that is not here is harmless.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import refused, refusing
from reptarium.sandbox.language.hardening import watching
from reptarium.sandbox.language.hardening.addresses import hide_addresses
from reptarium.sandbox.language.packages.package import Package

#: Module → class → methods.
METHODS: dict[str, dict[str, str]] = {
    "argparse": {
        "_AttributeHolder": "_get_kwargs",
        "Namespace": "__eq__ __contains__",
        "HelpFormatter": "_expand_help",
    },
    "optparse": {"Values": "__str__ __eq__ _update_loose"},
    "email._policybase": {"_PolicyBase": "__repr__ clone __add__"},
    "logging": {
        "PercentStyle": "_format",
        "StrFormatStyle": "_format",
        "StringTemplateStyle": "_format",
    },
    "pprint": {"PrettyPrinter": "_pprint_simplenamespace"},
    "traceback": {"TracebackException": "__eq__"},
}
#: Of these it is the second parameter, too, whose attributes are read.
_OF_ANOTHER = frozenset({"__add__", "_expand_help", "_format", "_pprint_simplenamespace"})


def _of_instances(cls: type, name: str) -> Callable[..., Any]:
    real = vars(cls)[name]
    read = real.__code__.co_varnames[: 2 if name in _OF_ANOTHER else 1]

    @functools.wraps(real)
    def method(*args: Any, **kwargs: Any) -> Any:
        if watching():
            for value in (*args[: len(read)], *(kwargs[name] for name in read if name in kwargs)):
                # a weak proxy of a class, and an alias like list[int], read as the class does
                if isinstance(value, ModuleType) or type(getattr(value, "__dict__", None)) is MappingProxyType:
                    raise refused(f"{cls.__name__}.{name}() of a class or a module is not allowed")
        return real(*args, **kwargs)

    del method.__wrapped__
    return method


def _patch(module: Any) -> None:
    for name, methods in METHODS[module.__name__].items():
        cls = vars(module)[name]
        for method in methods.split():
            setattr(cls, method, _of_instances(cls, method))


def _patch_argparse(argparse: Any) -> None:
    _patch(argparse)
    hide_addresses(argparse.Namespace)


def _patch_optparse(optparse: Any) -> None:
    _patch(optparse)
    hide_addresses(optparse.Values)
    for method, why in (("read_module", "it hands on a whole module"), ("read_file", "it runs text as code")):
        setattr(optparse.Values, method, refusing(f"Values.{method}", why))


def _patch_pprint(pprint: Any) -> None:
    printer = pprint.PrettyPrinter
    real = printer._pprint_simplenamespace
    _patch(pprint)
    for shown, method in list(printer._dispatch.items()):
        if method is real:
            printer._dispatch[shown] = printer._pprint_simplenamespace


PACKAGES = (
    Package("argparse", patches={"argparse": _patch_argparse}),
    Package("optparse", patches={"optparse": _patch_optparse}),
    Package("email", patches={"email._policybase": _patch}),
    Package(
        "logging",
        refused={"logging": {"tasks have no files; use StreamHandler(io.StringIO())": "FileHandler"}},
        patches={"logging": _patch},
    ),
    Package("pprint", patches={"pprint": _patch_pprint}),
    Package("traceback", patches={"traceback": _patch}),
)
