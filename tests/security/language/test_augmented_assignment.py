"""``x.a += y`` reads ``x.a`` and hands it to ``y``: a guarded attribute goes through its guard there, too."""

from __future__ import annotations

import importlib

import pytest
from programs import NO_SETTING, Attack, at_compile, check, check_nothing_reached

from reptarium.sandbox.language.policy.names import GUARDED_ATTRIBUTES, GUARDED_DUNDERS, OWN_METHODS, is_dunder
from tests.each import each

CATCH = "class R:\n    def __radd__(self, other): reached.append(other); return self\n"


class Holder:
    """Stands for a library's object that keeps modules under any name."""

    def __getattr__(self, name: str) -> object:
        return importlib.import_module("subprocess")


@each("name", sorted(name for name in GUARDED_ATTRIBUTES if not is_dunder(name)))
def test_a_module_is_not_handed_to_the_other_side(name: str) -> None:
    """Whatever the name under which it is kept."""
    text = f"the attribute '{name}' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"
    check(Attack(f"{CATCH}holder.{name} += R()", text), holder=Holder())


@pytest.mark.parametrize("name", sorted(GUARDED_DUNDERS - OWN_METHODS))
def test_special_attributes(name: str) -> None:
    """They can't be assigned at all."""
    check(at_compile(f"class A: pass\nA.{name} += 1", f"changing the attribute '{name}' is not allowed"))


@pytest.mark.parametrize("name", sorted(GUARDED_DUNDERS & OWN_METHODS))
def test_special_methods(name: str) -> None:
    """Those that decorators set on the task's own classes can't be assigned to others'."""
    text = f"changing the attribute '{name}' is not allowed: the class isn't the task's own: derive one. {NO_SETTING}"
    check(Attack(f"{CATCH}holder.{name} += R()", text), holder=Holder())


def test_ones_own_attributes() -> None:
    """Evaluated in Python's order, once each, in place where the value can."""
    check_nothing_reached(
        """
        seen = []
        class A:
            type = 'a'
            def __init__(self): self.format = [1]
        a = A()
        def obj(): seen.append('obj'); return a
        def value(): seen.append('value'); a.type += '!'; return 'b'
        obj().type += value()
        kept = a.format
        a.format += [2]
        if (a.type, kept, seen) != ('ab', [1, 2], ['obj', 'value']): reached.append((a.type, kept, seen))
        class B:
            obj = a
            obj.os = 1
            obj.os += 1
        if a.os != 2 or [n for n in dir(B) if ' ' in n]: reached.append(dir(B))
        """
    )
