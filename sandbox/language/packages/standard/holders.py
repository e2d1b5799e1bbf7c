"""Methods of the standard library that show, compare or hand on whatever their object holds, or make another like it.

A method takes anything for ``self``: ``argparse.Namespace._get_kwargs(object)`` lists ``object.__getattribute__``,
which reads any name of anything; ``collections.UserList.copy(int)`` calls the class of ``int``, and returns the real
``type``. So those that read ``__dict__``, or call their object's class, aren't called with a class or a module while a
task runs. Tests find them all, and know why each that is not here is harmless.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import is_facade, refused, refusing
from reptarium.sandbox.language.hardening.addresses import hide_addresses
from reptarium.sandbox.language.hardening.audit import state
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy.names import LEADING_DUNDERS
from reptarium.sandbox.language.policy.stdlib import NO_FILES

#: Module → class → methods that show what their object holds.
HOLDERS: dict[str, dict[str, str]] = {
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
#: Module → class → methods that call the class of their object, or keep it. Not every Python has all of them.
MAKERS: dict[str, dict[str, str]] = {
    "collections": {
        "ChainMap": "copy new_child parents __ror__",
        "Counter": "copy",
        "UserDict": "__or__ __ror__",
        "UserList": "__getitem__ __add__ __radd__ __mul__ copy",
        "UserString": "__getitem__ __add__ __radd__ __mul__ __mod__ __rmod__ capitalize casefold center expandtabs "
        "ljust lower lstrip removeprefix removesuffix replace rjust rstrip strip swapcase title translate upper zfill",
    },
    "contextlib": {"_GeneratorContextManagerBase": "_recreate_cm"},
    "enum": {"Flag": "__or__ __and__ __xor__ __invert__"},
    "pathlib": {"PurePath": "with_segments"},
    "pathlib._abc": {"PurePathBase": "with_segments"},
    "traceback": {"TracebackException": "__init__"},
}
#: Which parameters must be objects, where it isn't the first alone.
_OBJECTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("_expand_help", "_format", "_pprint_simplenamespace"), (0, 1)),
    "_PolicyBase.__add__": (0, 1),
    "TracebackException.__init__": (0, 2),
}


def _of_instances(cls: type, real: Any, refuses: Callable[[object], bool]) -> Any:
    """The method, or property, that takes no classes and modules; ``refuses`` is given the ``__dict__`` of others."""
    if isinstance(real, property):
        return property(_of_instances(cls, real.fget, refuses), real.fset, real.fdel, real.__doc__)
    what = f"{cls.__name__}.{real.__name__}"
    positions = _OBJECTS.get(what) or _OBJECTS.get(real.__name__, (0,))
    objects = [(each, real.__code__.co_varnames[each]) for each in positions]

    @functools.wraps(real)
    def method(*args: Any, **kwargs: Any) -> Any:
        if state.armed:  # what is trusted has no classes to give either: it was called with a task's
            for position, name in objects:
                value = args[position] if position < len(args) else kwargs.get(name)
                if isinstance(value, ModuleType) or refuses(getattr(value, "__dict__", None)):
                    raise refused(f"{what}() of a class or a module is not allowed")
        return real(*args, **kwargs)

    del method.__wrapped__
    return method


def _of_a_class(names: object) -> bool:
    """Whether these are a class's names. A weak proxy of one, and an alias like list[int], tell them too."""
    return type(names) is MappingProxyType


#: Among a class's names; what enumerations' members and decorated functions have as well are not.
_CLASSES = LEADING_DUNDERS - {"__objclass__", "__wrapped__"}


def _leads_on(names: object) -> bool:
    """Whether these are a class's names, or copies (``functools.lru_cache(object)`` has them), or name a module."""
    if type(names) is not dict:
        return _of_a_class(names)
    return not _CLASSES.isdisjoint(names) or any(
        isinstance(value, ModuleType) and not is_facade(value) for value in names.values()
    )


def guard_methods(module: Any) -> None:
    """Have a module's methods refuse classes and modules, under every name and in every class that carries them."""
    for table, refuses in ((HOLDERS, _leads_on), (MAKERS, _of_a_class)):
        for name, methods in table.get(module.__name__, {}).items():
            cls = vars(module).get(name)
            for method in methods.split() if cls is not None else ():
                real = vars(cls).get(method)
                if real is not None:
                    _replace(cls, real, _of_instances(cls, real, refuses))


def _replace(cls: type, real: Any, guarded: Any) -> None:
    for name, value in list(vars(cls).items()):
        if value is real:
            setattr(cls, name, guarded)
    children: list[type] = type.__subclasses__(cls)
    for child in children:
        _replace(child, real, guarded)


def _patch_argparse(argparse: Any) -> None:
    guard_methods(argparse)
    hide_addresses(argparse.Namespace)


def _patch_optparse(optparse: Any) -> None:
    guard_methods(optparse)
    hide_addresses(optparse.Values)
    for method, why in (("read_module", "it hands on a whole module"), ("read_file", "it runs text as code")):
        setattr(optparse.Values, method, refusing(f"Values.{method}", why))


def _patch_pprint(pprint: Any) -> None:
    printer = pprint.PrettyPrinter
    real = printer._pprint_simplenamespace
    guard_methods(pprint)
    for shown, method in list(printer._dispatch.items()):
        if method is real:
            printer._dispatch[shown] = printer._pprint_simplenamespace


PACKAGES = (
    Package("argparse", patches={"argparse": _patch_argparse}),
    Package("optparse", patches={"optparse": _patch_optparse}),
    Package("email", patches={"email._policybase": guard_methods}),
    Package(
        "logging",
        refused={"logging": {f"{NO_FILES}; use StreamHandler(io.StringIO())": "FileHandler"}},
        patches={"logging": guard_methods},
    ),
    *(Package(name, patches={name: guard_methods}) for name in ("collections", "enum")),
    Package("pprint", patches={"pprint": _patch_pprint}),
    Package("traceback", patches={"traceback": guard_methods}),
)
