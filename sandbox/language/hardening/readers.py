"""``getattr`` and ``setattr`` in libraries' Python code: a name that the library spells itself is its own business, a
name that came to it as data may have been a task's, and is read and changed under the task's rules.

``enum.property``, ``dataclasses.replace``, a template's filter, a column's aggregation: libraries read attributes by
names that somebody stored in an object of theirs; argparse and optparse set what an option's ``dest`` names. So every
module in Python has these functions for the builtins, from before it runs (``arrivals.py``), and the module
``operator`` their like. Code in C has no such place: what reads names there has a file in ``packages/``.
"""

from __future__ import annotations

import builtins
import functools
import operator
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import changed, guarded_getattr, is_facade, is_own_class, refused, refusing
from reptarium.sandbox.language.hardening import evaluating
from reptarium.sandbox.language.hardening.audit import frame_is_users, importing, watching
from reptarium.sandbox.language.hardening.imports_by_name import (
    library_import,
    library_import_module,
    real_import_module,
)
from reptarium.sandbox.language.hardening.made_code import are_a_module_s, is_of_a_file
from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.language.policy.names import (
    COMPILED_DUNDERS,
    DEFINABLE,
    DENIED_ATTRIBUTES,
    DOCUMENTED_DUNDERS,
    GUARDED_ATTRIBUTES,
    GUARDED_DUNDERS,
    LEADING_DUNDERS,
    OWN_METHODS,
    WRITABLE_DUNDERS,
    is_dunder,
)

#: Our own code reads what it is written to read; the import machinery and the compiler's tools have no task's names.
_LEFT_ALONE = frozenset({"reptarium", "RestrictedPython", "importlib", "_frozen_importlib", "zipimport", "abc"})

_CHECKOUT = os.path.join(str(Path(__file__).parents[3]), "")

#: By module's id: what its tables hold; and that together with its functions' constants.
_texts: dict[bool, dict[int, frozenset[str]]] = {False: {}, True: {}}


def library_getattr(obj: Any, name: str, /, *default: Any) -> Any:
    """The built-in; while a task runs, names of the interpreter's that the calling module doesn't spell are refused."""
    if (type(name) is str and name not in _LOOKED_AT) or not watching():
        return getattr(obj, name, *default)
    plain: Any = str.__str__(name) if isinstance(name, str) else name  # type: ignore[redundant-expr]
    if type(plain) is not str or plain not in _LOOKED_AT:
        return getattr(obj, plain, *default)
    if plain not in _FORMATS and _means(sys._getframe(1), plain):
        return getattr(obj, plain, *default)
    if default and plain in LEADING_DUNDERS:
        return default[0]
    if plain in _HELD:
        value = getattr(obj, plain, *default)
        return value if not _leads_on(value) else guarded_getattr(obj, plain, *default)
    if callable(getattr(obj, plain, None)):
        # Whoever lists all that an object has goes on; whoever calls it is told
        return refusing(f"the attribute '{plain}'", "it belongs to the interpreter")
    return guarded_getattr(obj, plain, *default)


#: Words that libraries spell for other things: a text's own methods of these names are the task's, whoever reads them.
_FORMATS = frozenset({"format", "format_map"})


def library_setattr(obj: Any, name: str, value: Any, /) -> None:
    """The built-in; while a task runs, no name of the interpreter's is set that the calling module doesn't spell."""
    plain = _written(obj, name, sys._getframe(1))
    setattr(changed(obj), plain, value)


def library_delattr(obj: Any, name: str, /) -> None:
    """The built-in, under the rules of :func:`library_setattr`."""
    plain = _written(obj, name, sys._getframe(1))
    delattr(changed(obj), plain)


def _written(obj: Any, name: Any, caller: FrameType) -> Any:
    plain = str.__str__(name) if isinstance(name, str) else name
    if (
        (plain in _NOT_WRITTEN or _makes_another(obj, plain))
        and watching()
        and not (_means(caller, plain) or _spelled(caller, plain) or _copies(caller, plain))
    ):
        raise refused(f"changing the attribute '{plain}' is not allowed")
    return plain


def _makes_another(obj: Any, name: Any) -> bool:
    """Whether a class would be made another one by it: from where it says that it is, what its patterns read, what is
    asked for attributes (other methods of the task's own class are the task's).
    """
    return name in _MEANT_BY_PYTHON and issubclass(type(obj), type) and not (name in OWN_METHODS and is_own_class(obj))


#: Packages have special names of their own (SQLAlchemy's ``__mapper__``), which they set where another module says so;
#: what stands for a descriptor hands on all that it does (SQLAlchemy's, for hybrid properties).
_MEANT_BY_PYTHON = (
    DEFINABLE | {f"__{name}__" for name in "module slotnames mro_entries buffer release_buffer set_name array".split()}
) - (WRITABLE_DUNDERS | DOCUMENTED_DUNDERS | {"__set__", "__delete__"})
_NOT_WRITTEN = LEADING_DUNDERS | (GUARDED_DUNDERS - DOCUMENTED_DUNDERS)


def _copies(caller: FrameType, name: str) -> bool:
    """Whether a library gives its wrapper the defaults of what it wraps. A task's ``functools.wraps`` is another."""
    return name in ("__defaults__", "__kwdefaults__") and caller.f_code is _update_wrapper


_update_wrapper = functools.update_wrapper.__code__


def library_attrgetter(name: str, /, *names: str) -> Any:
    """``operator.attrgetter``; names that the calling module doesn't spell are read under a task's rules."""
    paths = [str.__str__(path).split(".") for path in (name, *names)]
    if not _came_as_data([part for path in paths for part in path]):
        return _attrgetter(name, *names)

    def getter(obj: Any, /) -> Any:
        found = [functools.reduce(_looked_at, path, obj) for path in paths]
        return found[0] if len(found) == 1 else tuple(found)

    return getter


def library_methodcaller(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """``operator.methodcaller``, under the rules of :func:`library_attrgetter`."""
    plain = str.__str__(name)
    if not _came_as_data([plain]):
        return _methodcaller(name, *args, **kwargs)
    return lambda obj, /: _looked_at(obj, plain)(*args, **kwargs)


_attrgetter, _methodcaller = operator.attrgetter, operator.methodcaller


def _came_as_data(names: list[str]) -> bool:
    """Whether one of the names needs a look at what it leads to. Raises RefusedAttribute for what no task reads."""
    found = False
    if watching():
        caller = sys._getframe(2)
        for name in names:
            if name in _LOOKED_AT and not _means(caller, name):
                if name not in _HELD:
                    raise refused(f"the attribute '{name}' is not allowed")
                found = True
    return found


_HELD = GUARDED_ATTRIBUTES - GUARDED_DUNDERS


def _looked_at(obj: Any, name: str) -> Any:
    """An attribute under whose name libraries keep data, and modules."""
    value = getattr(obj, name)
    return guarded_getattr(obj, name) if name in _HELD and _leads_on(value) else value


def _leads_on(value: Any) -> bool:
    """Whether it is a module that no task may have, a metaclass, or a text's own ``format``, which reads any name."""
    if issubclass(type(value), type):
        return issubclass(value, type)
    if type(value) in (MethodDescriptorType, BuiltinFunctionType):
        return value.__name__ in _FORMATS or value.__name__ == "mro"
    if not isinstance(value, ModuleType) or is_facade(value):
        return False
    name = str(value.__name__).removeprefix("_")
    return name.partition(".")[0] in stdlib.REFUSED or name in stdlib.ONLY or name in ("builtins", "posixpath")


def _means(frame: FrameType, name: str) -> bool:
    """Whether who calls from this frame may mean the name itself: it stands in a table of its module's, or in the text
    of the function or of what has called it within the module. That another function of the module spells it is no
    reason: it came as data all the same, and so did what a text spells that became code. A module that is being
    imported goes through all that others have, and no task's names are in it. A task, to which a library gave the
    function away (enum.pickle_by_enum_name), means none.
    """
    if frame_is_users(frame):
        return False
    module, caller = frame.f_globals, frame
    while caller.f_globals is module:
        if _spells(caller.f_code.co_consts, name) and is_of_a_file(caller):
            return True
        if caller.f_back is None:
            break
        caller = caller.f_back
    return (are_a_module_s(module) and name in _texts_of(module)) or importing(frame)


def _spelled(frame: FrameType, name: str) -> bool:
    """Whether any function of the module spells it: what is set has often been made elsewhere (``fn.__name__``)."""
    names = frame.f_globals
    return not frame_is_users(frame) and are_a_module_s(names) and name in _texts_of(names, functions=True)


def _spells(constants: Iterable[Any], name: str) -> bool:
    return any(
        name == constant or (type(constant) in (tuple, frozenset) and _spells(constant, name)) for constant in constants
    )


#: The compiler's (3.13): all that a class's methods set, which nobody reads by its name.
_COMPILERS = frozenset({"__static_attributes__"})


def _texts_of(module: dict[str, Any], *, functions: bool = False) -> frozenset[str]:
    """Of the names that we look at, and special ones, those that a module and its classes hold; with their functions'
    constants.
    """
    known = _texts[functions]
    names = known.get(id(module))
    if names is None:
        found: set[str] = set()
        own = [value for name, value in list(module.items()) if name != "__builtins__"]  # every module's
        for value in own:
            parts = [value]
            held = _dict_of(value) if issubclass(type(value), type) else {}
            if held.get("__module__") == module.get("__name__"):
                parts += [_function(held[name]) for name in list(held) if name not in _COMPILERS]
            for part in parts:
                found.update(_in_table(part))
                if functions and type(part) is FunctionType and part.__globals__ is module:
                    found.update(_constants(part.__code__))
        names = frozenset(each for each in found if each in _LOOKED_AT or is_dunder(each))
        if not getattr(module.get("__spec__"), "_initializing", False):  # there is more to come
            known[id(module)] = names
    return names


#: What lies in a class, asked of Python itself: hooks of the class's, and of what lies in it, would call libraries back
#: in the middle of this (SQLAlchemy's columns answer any name).
_dict_of = type.__dict__["__dict__"].__get__


def _function(value: Any) -> Any:
    return value.__func__ if issubclass(type(value), (classmethod, staticmethod)) else value


_LOOKED_AT = (DENIED_ATTRIBUTES | GUARDED_ATTRIBUTES | LEADING_DUNDERS | COMPILED_DUNDERS) - DOCUMENTED_DUNDERS


def _in_table(value: Any) -> Iterator[str]:
    """The texts of a value, which is one or a collection of some."""
    if issubclass(type(value), str):
        yield str.__str__(value)
    elif type(value) in (tuple, list, set, frozenset, dict):
        yield from (each for each in value if type(each) is str)


def _constants(code: CodeType | None) -> Iterator[str]:
    for constant in () if code is None else code.co_consts:
        yield from _constants(constant) if type(constant) is CodeType else _in_table(constant)


def library_locals() -> dict[str, Any]:
    """The built-in, for code that a library made while a task runs: without what modules have beside their names."""
    frame = sys._getframe(1)
    if frame.f_locals is not frame.f_globals or not watching() or importing(frame):
        return frame.f_locals
    return {name: value for name, value in frame.f_globals.items() if name[:2] != "__"}


#: What modules have under the names of builtins, and of what they took from ``operator``.
_GUARDED = {
    "getattr": library_getattr, "setattr": library_setattr, "delattr": library_delattr,
    "eval": evaluating.library_eval, "exec": evaluating.library_exec,
}  # fmt: skip
_TAKEN = {
    "attrgetter": (_attrgetter, library_attrgetter),
    "methodcaller": (_methodcaller, library_methodcaller),
    "import_module": (real_import_module, library_import_module),
}
#: Nothing that a façade carries over; by id.
OURS = frozenset(map(id, (*_GUARDED.values(), library_import, library_import_module)))
#: The builtins of modules that arrive: names of ours in their namespaces would be met by who goes through those.
_BUILTINS = {**vars(builtins), **_GUARDED, "locals": library_locals}


def guard_readers(module: ModuleType, *, arriving: bool) -> None:
    """Give a module the functions, if it is one in Python and neither ours nor the import machinery. ``arriving``: it
    hasn't run yet. The functions of others know their builtins already.
    """
    name = str(vars(module).get("__name__"))
    if name.partition(".")[0] in _LEFT_ALONE or not _in_python(module):
        return
    namespace = vars(module)
    namespace.setdefault("__import__", library_import)
    if arriving:
        namespace.setdefault("__builtins__", _BUILTINS)
        return
    for builtin, guarded in _GUARDED.items():
        namespace.setdefault(builtin, guarded)
    for taken, (real, checked) in _TAKEN.items():
        if namespace.get(taken) is real:
            namespace[taken] = checked


def _in_python(module: ModuleType) -> bool:
    """Whether it is a module in Python, and none of a checkout of ours (its tests)."""
    file = str(vars(module).get("__file__") or "")
    return file.endswith((".py", ".pyc")) and (not file.startswith(_CHECKOUT) or "-packages/" in file)
