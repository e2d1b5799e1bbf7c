"""Builtins that run text, open files, wait for somebody or hand out names: refused wherever they are named."""

from __future__ import annotations

import pytest
from programs import OPEN, Attack, at_compile, check, check_nothing_reached

from reptarium.sandbox.language import PolicyViolation, compile_task
from reptarium.sandbox.language.policy.names import DENIED_BUILTINS
from tests.each import each

PLACES = {
    "call": "reached.append(NAME('1'))",
    "value": "f = NAME\nreached.append(f)",
    "argument": "reached.append(list(map(NAME, ['1'])))",
    "decorator": "@NAME\ndef f(): pass\nreached.append(f)",
    "default": "def f(g=NAME): return g\nreached.append(f())",
    "lambda": "reached.append((lambda: NAME)())",
    "comprehension": "reached.append([NAME for _ in [1]])",
    "class_body": "class A: f = NAME\nreached.append(A.f)",
    "dict": "reached.append({'f': NAME}['f'])",
    "condition": "reached.append(NAME if 1 else 0)",
    "f_string": "reached.append(f'{NAME}')",
    "annotation": "def f(x: NAME): pass\nreached.append(f)",
    "star": "reached.append([*[NAME]])",
    "global_statement": "def f(): return NAME\nreached.append(f())",
}


@pytest.mark.parametrize("place", PLACES)
@each("name", sorted(DENIED_BUILTINS))
def test_denied_builtin(name: str, place: str) -> None:
    """The name is refused, and the reason is given."""
    program = PLACES[place].replace("NAME", name)
    check(at_compile(program, f"'{name}' is not allowed"))
    with pytest.raises(PolicyViolation) as caught:
        compile_task(program, OPEN)
    assert caught.value.findings[0].why == DENIED_BUILTINS[name]


@pytest.mark.parametrize("name", sorted(DENIED_BUILTINS))
def test_denied_builtin_is_not_there(name: str) -> None:
    """Nor is it there at run time, when a program that binds the name takes the binding away."""
    program = f"def f():\n    global {name}\n    {name} = 1\n    del {name}\n    reached.append({name})\nf()"
    check(Attack(program, f"name '{name}' is not defined", NameError))


@pytest.mark.parametrize("name", sorted(DENIED_BUILTINS))
def test_name_of_ones_own(name: str) -> None:
    """The user may call something of their own by that name, and gets exactly that."""
    check_nothing_reached(f"{name} = 'mine'\nif {name} != 'mine': reached.append({name})")


@pytest.mark.parametrize("name", ["eval", "exec", "compile", "open"])
def test_conditional_binding_opens_nothing(name: str) -> None:
    """A binding that never happens doesn't bring the builtin back."""
    check(Attack(f"if 0: {name} = 1\nreached.append({name})", f"name '{name}' is not defined", NameError))
