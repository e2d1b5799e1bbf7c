"""Attack programs: each is refused with an exact text, and reaches nothing.

A program hands what it is after to ``reached.append(...)``, so that an attack that works shows its booty. What a case
expects is an :class:`Attack`; :func:`check` runs it as a worker would.
"""

from __future__ import annotations

import importlib.util
import re
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from reptarium.sandbox.language import (
    LanguagePolicy,
    PolicyViolation,
    RefusedAttribute,
    compile_task,
    hardening,
    make_namespace,
    run,
)
from reptarium.sandbox.language.packages import registry

#: Everything that an allowlist can open is open: what is refused here is refused to everyone.
OPEN = LanguagePolicy(stdlib_allow=("*",), external_allow=("*", "msgspec", "typing_extensions"))

#: Packages that the programs use; a case is skipped where one isn't installed.
PACKAGES = ("jinja2", "msgspec", "numpy", "pandas", "pydantic", "yaml")

NO_SETTING = "No setting allows it."
#: Takes the function that was made of a hook out of the class body's names.
TAKEN = """
class Meta(type):
    def __new__(metacls, name, bases, names):
        taken.append(names['__getattribute__'])
        return super().__new__(metacls, name, bases, names)
taken = []
class A(metaclass=Meta):
    def __getattribute__(self, name): return super().__getattribute__(name)
"""
SETSTATE = (
    "the attribute '__setstate__' is not allowed: it takes an object apart, and is there for the task's own methods; "
    f"use vars(x). {NO_SETTING}"
)


class Attack(NamedTuple):
    """A program and how it ends. With ``PolicyViolation`` it never runs, and ``message`` is what the finding says."""

    program: str
    message: str
    error: type[BaseException] = RefusedAttribute


def at_compile(program: str, message: str) -> Attack:
    """An attack that is refused before it runs."""
    return Attack(program, message, PolicyViolation)


def withheld(module: str) -> str:
    """The text of the refusal to import a part of a package that its façade doesn't carry."""
    return f"import of '{module}' is not allowed: {registry.withheld_reason(*module.rsplit('.', 1))}. {NO_SETTING}"


def attribute(name: str) -> str:
    """The text of the refusal of an attribute that was named when run."""
    return f"the attribute '{name}' is not allowed: it belongs to the interpreter. {NO_SETTING}"


def changing(name: str) -> str:
    """The text of the refusal to change an attribute."""
    return f"changing the attribute '{name}' is not allowed: it belongs to the interpreter. {NO_SETTING}"


def in_format(name: str) -> str:
    """The text of the refusal of an attribute in a format string."""
    return f"the attribute '{name}' in a format string is not allowed: it reads attributes by name. {NO_SETTING}"


def outcome(program: str, policy: LanguagePolicy = OPEN, **names: object) -> BaseException | None:
    """What the program ends in, after making sure that it has reached nothing. None: it ran to its end."""
    program = textwrap.dedent(program)
    for package in PACKAGES:
        if package in program and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    reached: list[object] = []
    ended: BaseException | None = None
    try:
        run(compile_task(program, policy), make_namespace(policy, {"reached": reached, **names}))
    except BaseException as error:
        ended = error
    finally:
        hardening.allow_files(False)  # a worker has one policy for good; here others follow
    assert reached == [], f"reached {reached[0]!r}"
    return ended


def check(attack: Attack, policy: LanguagePolicy = OPEN, **names: object) -> None:
    """The program ends in exactly this refusal, and has reached nothing."""
    ended = outcome(attack.program, policy, **names)
    assert ended is not None, "the program ran to its end"
    text = _text(ended)
    if attack.message.startswith(("module ", "cannot import name ")) and text != attack.message:
        # what a façade lacks and the module has is refused with a reason: test_missing_names.py has those
        text = re.sub(r": [^:]+(: [^:]+)?\. No setting allows it\.$", "", text)
    assert (type(ended), text) == (attack.error, attack.message), f"ended in {type(ended).__name__}: {text}"


def _text(error: BaseException) -> str:
    if isinstance(error, PolicyViolation):
        return "; ".join(finding.message for finding in error.findings)
    return str(error)


def check_nothing_reached(program: str, **names: object) -> None:
    """The program runs to its end: what it tried had no effect."""
    ended = outcome(program, **names)
    if ended is not None:
        raise ended


def by_id(attacks: dict[str, Attack]) -> Iterable[object]:
    """Parameters for ``pytest.mark.parametrize``, with the keys as ids."""
    return [pytest.param(attack, id=name) for name, attack in attacks.items()]
