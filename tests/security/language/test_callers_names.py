"""Libraries that look names up in whoever calls them hand out the task's, without its builtins, and no library's: what
is written in C calls what it is given in the name of the code around it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from programs import Attack, by_id, check, check_nothing_reached

from reptarium.sandbox.language.guards import checked_value
from reptarium.sandbox.language.hardening import arm, arrivals, disarm
from reptarium.sandbox.language.packages.builtins_by_name import show_builtins
from reptarium.sandbox.language.packages.places import show_places
from reptarium.sandbox.language.packages.registry import PACKAGES

#: An operand is handed what was found under the other names.
OPERAND = """
import functools
import numpy as np
class Operand(str):
    def __array_function__(self, function, types, args, kwargs):
        reached.append(args)
        return np.zeros((1, 1))
    found = functools.cached_property(np.bmat)
mine = Operand()
"""
#: A class that pydantic asks for its schema, with a handler that knows names.
HANDLER = """
import functools
import pydantic
class A:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        resolvers.append(handler._generate_schema._ns_resolver)
        return handler(int)
resolvers = []
LEADING = {'__builtins__', 'sys', 'typing', 'operator', 'functools', 'warnings', 'inspect', 'FrameType'}
def look(*more):
    names = resolvers[0].types_namespace
    for each in (names.globals, names.locals, *more):
        if LEADING & each.keys() - {'functools', 'pydantic'}: reached.append(each)
"""


STAND_FOR_MODULES = {
    **dict.fromkeys((name for name in arrivals.PATCHES if arrivals.PATCHES[name] is show_places), "sys"),
    **dict.fromkeys((name for name in arrivals.PATCHES if arrivals.PATCHES[name] is show_builtins), "builtins"),
}


def missing(name: str) -> str:
    return f"name {name!r} is not defined"


MATRICES = {
    "builtins_of_the_task": Attack(OPERAND + "np.bmat('__builtins__ mine')", missing("__builtins__"), NameError),
    "builtins_of_a_library": Attack(OPERAND + "Operand('__builtins__ instance').found", missing("__builtins__"), NameError),
    "name_of_a_library": Attack(OPERAND + "Operand('GenericAlias instance').found", missing("GenericAlias"), NameError),
    "builtins_by_index": Attack(OPERAND + "np.r_['__builtins__ mine']", missing("__builtins__"), NameError),
    "by_index_in_a_library_s_place": Attack(OPERAND + "import operator\nclass C(Operand):\n    found = functools.cached_property(functools.partial(operator.getitem, np.c_))\nC('GenericAlias instance').found", missing("GenericAlias"), NameError),
}  # fmt: skip
SCHEMAS = {
    "where_it_is_made": "pydantic.TypeAdapter(A)\nlook()",
    "so_many_callers_up": "for depth in (1, 2, 3):\n    pydantic.TypeAdapter(A, _parent_depth=depth)\n    look()\n    resolvers.clear()",
    "in_a_library_s_place": "import collections\nclass C(collections.Counter):\n    items = functools.partial(next, map(pydantic.TypeAdapter, [A]))\ntry: C('a').most_common(1)\nexcept TypeError: look()",
    "of_another_module": "pydantic.TypeAdapter(A)\nwith resolvers[0].push(pydantic.BaseModel): look()\nwith resolvers[0].push(pydantic.AwareDatetime): look()",
}


@pytest.mark.parametrize("attack", by_id(MATRICES))
def test_matrices_of_names(attack: Attack) -> None:
    """``np.bmat("a b")`` is made of the task's own."""
    pytest.importorskip("numpy")
    check(attack)


@pytest.mark.parametrize("way", SCHEMAS)
def test_names_that_pydantic_knows(way: str) -> None:
    """A class that makes its own schema finds the task's names there, and of libraries no modules."""
    check_nothing_reached(HANDLER + SCHEMAS[way])


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_names_are_found_where_they_are_the_task_s() -> None:
    """As in Python: the task's own names are what they find, and nobody else's."""
    pytest.importorskip("numpy")
    check_nothing_reached(
        """
        import numpy as np
        import pydantic
        def joined(a, b): return np.bmat("a b; b a").tolist(), np.r_["a,b"].tolist()
        if joined(np.ones((1, 1)), np.zeros((1, 1))) != ([[1, 0], [0, 1]], [[1, 0]]): reached.append("matrices")
        def adapted():
            class Inner(pydantic.BaseModel):
                a: int
            return pydantic.TypeAdapter("list[Inner]").validate_python([{"a": 1}])[0].a
        if adapted() != 1: reached.append("adapter")
        """
    )


def _patched(name: str, text: str) -> Any:
    module = ModuleType(name)
    exec(text, vars(module))  # noqa: S102 - as a module is run
    PACKAGES[name.partition(".")[0]].patches[name](module)
    return module


MEMO = """
class TypeCheckMemo:
    def __init__(self, globals, locals, *, config=None):
        self.globals, self.locals = globals, locals
"""


def test_names_that_typeguard_hands_out() -> None:
    """A checker, or what is called when a check fails, gets the task's without its builtins, and no library's."""
    memo = _patched("typeguard._memo", MEMO).TypeCheckMemo
    task: dict[str, Any] = {"__builtins__": {"len": len}, "x": 1}
    assert memo(task, {"y": 2}).globals is task
    before = arm(task)
    try:
        ours, theirs = memo(task, {"y": 2}), memo({"__builtins__": {}, "sys": 1}, {"os": 2})
    finally:
        disarm(before)
    assert (ours.globals, ours.locals, theirs.globals, theirs.locals) == ({"x": 1}, {"y": 2}, {}, {})


@pytest.mark.parametrize("name", ["mako.runtime", "sympy.parsing.sympy_parser"])
def test_builtins_by_name(name: str) -> None:
    """A template's names, and a parser's, are none of those that no text may use."""
    module = _patched(name, "import builtins\ndef get(key): return vars(builtins).get(key)")
    assert [module.get(key) for key in ("exec", "eval", "open", "vars", "setattr")] == [None] * 5
    assert module.get("len") is len
    assert module.get("getattr") is not getattr


@pytest.mark.parametrize("name", [*STAND_FOR_MODULES])
def test_what_stands_for_a_module_is_one(name: str) -> None:
    """So no façade carries it, and no guard lets it through: it has all of ``sys`` but frames (``sys.modules``)."""
    module = _patched(name, "import builtins, sys")
    real, ours = (__import__(STAND_FOR_MODULES[name]), getattr(module, STAND_FOR_MODULES[name]))
    assert ours is not real
    with pytest.raises(AttributeError, match="it leads to a module that isn't allowed"):
        checked_value(ours, "sys")


@pytest.mark.parametrize("name", ["numpy.matrixlib.defmatrix", "pydantic.type_adapter"])
def test_no_facade_carries_it(name: str) -> None:
    """Of public modules that anybody may import who may import the package."""
    pytest.importorskip(name)
    refused = f"module {name!r} has no attribute 'sys'"
    check(Attack(f"import {name} as module\nreached.append(module.sys.modules)", refused, AttributeError))


def test_annotations_by_name() -> None:
    """SQLAlchemy looks a name up in any module."""
    module = _patched(
        "sqlalchemy.util.typing", "import sys\ndef eval_name_only(name, module_name): return globals()[name]"
    )
    before = arm({})
    try:
        with pytest.raises(AttributeError, match="the annotation 'sys' is not allowed: it isn't a type"):
            module.eval_name_only("sys", "sqlalchemy")
    finally:
        disarm(before)
    module.int = int
    assert module.eval_name_only("int", "sqlalchemy") is int
