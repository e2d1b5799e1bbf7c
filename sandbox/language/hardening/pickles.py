"""What a pickle may name that a library reads: of packages their classes and what makes such objects again, of the
standard library what a task may have.

The library says which file is read, or which bytes, and those may be the task's (``joblib.load``, an archive of
numpy's). A pickle calls what it names, so that neither a module's other functions (one that imports by name, one that
runs text) nor what a module keeps for itself (``numpy.ma.core`` has ``builtins``) are there for it.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.guards import STAND_INS
from reptarium.sandbox.language.policy.names import is_field_name
from reptarium.sandbox.language.policy.stdlib import ONLY, OPEN, REFUSED_EXTERNAL

_PLAIN_BUILTINS = frozenset(
    "set frozenset list dict tuple int float complex bool str bytes bytearray slice range object Exception".split()
)
#: Functions of the standard library that make an object again.
_STANDARD_MAKERS = frozenset({"re._compile", "array._array_reconstructor", "_codecs.encode"})
#: What packages call theirs: ``_reconstruct``, ``_unpickle_block``, ``_new_Index``, ``__randomstate_ctor``.
_MAKER = re.compile(r"_.*(reconstruct|unpickle|rebuild|restore|frombuffer|_ctor$)|_new_[A-Z]|scalar$|_p$|_UTC$")


def may_unpickle(module: object, name: object) -> bool:
    """Whether a pickle that a package reads may have the object of this name of the module."""
    if type(module) is not str or type(name) is not str or not all(map(is_field_name, name.split("."))):
        return False
    # as pickles of Python 2 call them, which the unpickler looks up after it has asked
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    if module == "copyreg":
        return name in ("_reconstructor", "__newobj__", "__newobj_ex__")
    found: Any
    top = module.partition(".")[0]
    if top == "builtins":
        found = getattr(builtins, name, None)
        return name in _PLAIN_BUILTINS or (isinstance(found, type) and issubclass(found, BaseException))
    if top in REFUSED_EXTERNAL or (top not in sys.modules and module not in OPEN):
        return False  # what nobody has imported no pickle imports
    try:
        found = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
            if isinstance(found, ModuleType):
                return False
    except Exception:
        return False  # the unpickler says so itself, or would
    return _may_have(found, top)


def _may_have(found: Any, top: str) -> bool:
    if isinstance(found, type):
        if issubclass(found, type) or found in STAND_INS:
            return False
        home, name = found.__module__, found.__qualname__
        if home == "builtins":
            return name in _PLAIN_BUILTINS or issubclass(found, BaseException)
        if home in OPEN:
            return name in ONLY[home].split() if home in ONLY else name not in OPEN[home]
        return _is_packages(home)
    if not callable(found):  # an object that there is one of
        return top not in sys.stdlib_module_names and type(found).__module__.partition(".")[0] == top
    home, name = str(getattr(found, "__module__", "")), str(getattr(found, "__name__", ""))
    if _is_packages(home):
        return _MAKER.match(name) is not None
    return f"{home}.{name}" in _STANDARD_MAKERS or (home in OPEN and name == "_unpickle")


def _is_packages(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in REFUSED_EXTERNAL
