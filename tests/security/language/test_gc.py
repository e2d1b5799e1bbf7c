"""``gc`` lists every object there is: a task collects with it and asks it nothing, and the audit hook stops its questions."""

from __future__ import annotations

import gc

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.hardening import RefusedOperation

ATTACKS = {
    "module": Attack("import gc\nreached.append(gc.get_objects())", "module 'gc' has no attribute 'get_objects'", AttributeError),
    "from": Attack("from gc import get_referrers\nreached.append(get_referrers)", "cannot import name 'get_referrers' from 'gc'", RefusedImport),
    "computed": Attack("reached.append(getattr(__import__('g' + 'c'), 'callbacks'))", "module 'gc' has no attribute 'callbacks'", AttributeError),
    "kept_by_weakref": Attack("import weakref\nreached.append(weakref.gc)", "module 'weakref' has no attribute 'gc'", AttributeError),
    "kept_by_a_class": Attack("reached.append(keeper.gc)", f"the attribute 'gc' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "tracemalloc": at_compile("import tracemalloc\nreached.append(tracemalloc)", "import of 'tracemalloc' is not allowed"),
    "objgraph_by_weakrefs": Attack("import weakref\nreached.append(weakref.getweakrefs(target))", "module 'weakref' has no attribute 'getweakrefs'", AttributeError),
    "finalize": Attack("import weakref\nreached.append(weakref.finalize._registry)", "type object 'finalize' has no attribute '_registry'", AttributeError),
    "del_method_called": at_compile("class A:\n    def __del__(self): pass\nreached.append(A().__del__())", "the attribute '__del__' is not allowed"),
}  # fmt: skip
QUESTIONS = {
    "get_objects": "leaked()",
    "get_referrers": "leaked(target)",
    "get_referents": "leaked(target)",
}


class Keeper:
    """Stands for a library's class that keeps the module."""

    gc = gc


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """The module is out of reach."""
    check(attack, keeper=Keeper, target=Keeper)


@pytest.mark.parametrize("question", QUESTIONS)
def test_leaked_function(question: str) -> None:
    """Should one of its functions ever leak, it answers nothing."""
    text = f"gc.{question} is not available in a task: it is about the interpreter or the machine, not the data. {NO_SETTING}"
    attack = Attack(f"reached.append({QUESTIONS[question]})", text, RefusedOperation)
    check(attack, leaked=getattr(gc, question), target=Keeper)


def test_a_finalizer_gets_its_own_object() -> None:
    """A class's ``__del__`` is told of the object that ends: the task's own."""
    check_nothing_reached(
        "seen = []\nclass A:\n    def __del__(self, *more): seen.append((type(self), more))\n"
        "A()\nif seen != [(A, ())]: reached.append(seen)"
    )


def test_weak_references_tell_their_own_object() -> None:
    """What ``weakref`` can do in a task: refer to what the task has."""
    check_nothing_reached(
        "import weakref\nclass A: pass\na = A()\nseen = []\nr = weakref.ref(a, seen.append)\n"
        "if r() is not a: reached.append(r())\ndel a\nif seen != [r] or r() is not None: reached.append(seen)"
    )
