"""``singledispatch`` reads annotations, and compares what it dispatches on with every class that there is."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

MAKE = "from functools import singledispatch\n@singledispatch\ndef f(x): return 'other'\n"
#: An object that has a class's special attributes, as a SimpleNamespace or by ``__getattr__``; its parts watch comparisons.
FAKES = {
    "namespace": "from types import SimpleNamespace\nfake = SimpleNamespace(**{'__mro__': parts, '__bases__': (object,)})",
    "getattr": "class Fake:\n    def __getattr__(self, name): return parts if name == '__mro__' else (object,)\nfake = Fake()",
    "instance": "class Fake: pass\nfake = Fake()",
    "text": "fake = 'int'",
    "alias": "fake = list[int]",
}
WATCHER = """
class Part:
    def __hash__(self): return hash(int)
    def __eq__(self, other):
        if other is not self: reached.append(other)
        return False
parts = [Part(), Part()]
"""
KINDS = {"namespace": "SimpleNamespace", "getattr": "Fake", "instance": "Fake", "text": "str", "alias": "GenericAlias"}
ATTACKS = {
    "method": at_compile("from functools import singledispatchmethod\nreached.append(singledispatchmethod(f).dispatcher.__globals__)", "the attribute '__globals__' is not allowed"),
    "wrapped": Attack("from functools import singledispatch\nreached.append(singledispatch(len).__wrapped__)", f"the attribute '__wrapped__' is not allowed: it leads to the interpreter's own names, and is read where it is the task's own function. {NO_SETTING}"),
    "closure_of_dispatch": at_compile("reached.append(f.dispatch.__closure__)", "the attribute '__closure__' is not allowed"),
    "subclasses_of_a_key": Attack("reached.append([c.__subclasses__() for c in f.registry])", f"the attribute '__subclasses__' is not allowed: it walks to every class of the interpreter, and is read of the task's own classes alone. {NO_SETTING}"),
    "annotation_that_calls": Attack("@f.register\ndef g(x: 'reached.append(1)'): pass", "the annotation 'reached.append(1)' is not allowed: it must be a type's name, not an expression"),
    "annotation_that_reads": Attack("@f.register\ndef g(x: 'target.gi_frame'): pass", "the attribute 'gi_frame' in an annotation is not allowed"),
    "registry_changed": Attack("f.registry[int] = 1\nreached.append(f(1))", "'mappingproxy' object does not support item assignment", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("fake", FAKES)
def test_dispatch_on_no_class(fake: str) -> None:
    """``dispatch`` takes classes only: comparing anything else would show classes to it."""
    program = f"{MAKE}{WATCHER}{FAKES[fake]}\nf.dispatch(fake)"
    check(Attack(program, f"dispatch() takes a class, not '{KINDS[fake]}'", TypeError))


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Its functions' attributes and the annotations that it reads."""
    check(attack._replace(program=MAKE + attack.program), target=(x for x in [1]))


def test_type_as_a_class() -> None:
    """A function for ``type`` gets classes, and no metaclass."""
    check_nothing_reached(
        MAKE + "from enum import Enum\nf.register(type, lambda x: x)\n"
        "for cls in (int, Enum, type):\n    made = f(cls)\n    if type(made) not in (str, type): reached.append(made)\n"
        "if list(f.registry)[0] is not object: reached.append(f.registry)"
    )


def test_registry_is_read_only() -> None:
    """The table of functions can be compared with, and what compares gets a plain dict of the task's own functions."""
    check_nothing_reached(
        MAKE + "class E:\n    def __eq__(self, other):\n"
        "        reached.extend(v for v in other.values() if v.__module__ != '__main__')\n        return True\n"
        "    def __hash__(self): return 1\n"
        "f.registry == E()"
    )
