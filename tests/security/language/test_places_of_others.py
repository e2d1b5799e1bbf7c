"""What is written in C calls whatever it is given in the name of the Python code around it. So what asks for the names or
the method of "the caller" (``vars()``, ``locals()``, ``dir()``, ``super()``) is asked in a library's place, or in ours, as
soon as a task hands it over: to ``iter(vars, 0)``, to ``partial``.
"""

from __future__ import annotations

import pytest

from tests.security.language.programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

#: Keeps what is asked in the place of whoever calls it, with whatever arguments.
ASKS = "import functools\ndef asking(ask): return functools.partial(next, map(reached.append, iter(ask, 0)))\n"
#: A guard of ours reads the attribute, with the real ``object.__getattribute__`` among its names.
OUR_PLACE = "class A: x = property(asking({}))\nobject.__getattribute__(A(), 'x')"
#: ``Counter.most_common`` imports a module for itself.
A_LIBRARYS = (
    "import collections\nclass C(collections.Counter): items = staticmethod(asking({}))\nC('aab').most_common(1)"
)
REFUSED = "{}() in a library's place is not allowed: the names are the library's. " + NO_SETTING
NO_ARGUMENTS = "super(): no arguments"
#: The metaclass's ``__new__``, ours or a library's, calls this one while it makes the class.
MAKING = "import abc\nclass Base(abc.ABC): __init_subclass__ = asking(super)\nclass A(Base): pass"

ATTACKS = {
    **{
        f"{ask}_in_{where}": Attack(ASKS + program.format(ask), REFUSED.format(ask))
        for ask in ("vars", "locals", "dir")
        for where, program in (("our_place", OUR_PLACE), ("a_library_s_place", A_LIBRARYS))
    },
    "super_in_our_place": Attack(ASKS + "class M(type): pass\nclass B: __init_subclass__ = asking(super)\nM('A', (B,), {})", NO_ARGUMENTS, RuntimeError),
    "super_in_a_library_s_place": Attack(ASKS + MAKING, NO_ARGUMENTS, RuntimeError),
    "super_under_another_name": Attack(ASKS + "s = super\n" + MAKING.replace("super", "s"), NO_ARGUMENTS, RuntimeError),
    "super_told_by_its_object": Attack(ASKS + "class X: pass\ns = type(super(X, X()))\n" + MAKING.replace("super", "s"), NO_ARGUMENTS, RuntimeError),
    "super_among_bases": Attack(ASKS + "class S(super): pass\ns = S.__mro__[-2]\n" + MAKING.replace("super", "s"), NO_ARGUMENTS, RuntimeError),
    "super_where_it_is_rebound": at_compile(ASKS + "def f(super): pass\n" + MAKING, "'super' is not allowed here"),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_nobody_asks_in_another_s_place(attack: Attack) -> None:
    """The names are a library's, or ours, and so is the object whose method it is."""
    check(attack)


def test_a_task_asks_in_its_own_place() -> None:
    """Also where it hands the question over, and calls it itself."""
    check_nothing_reached(
        """
        import functools
        class A:
            def f(self): return 1
        class B(A):
            def f(self):
                here = 2
                if {'self', 'here'} - set(next(iter(vars, 0))): reached.append('vars')
                if {'self', 'here'} - set(functools.partial(locals)()): reached.append('locals')
                if {'self', 'here'} - set(dir()): reached.append('dir')
                return super().f()
        if B().f() != 1: reached.append('super()')
        if super(B, B()).f() != 1: reached.append('super(B, b)')
        if not isinstance(super(B, B()), super): reached.append('isinstance')
        if [*map(super, [B], [B()])][0].f() != 1: reached.append('map')
        class S(super): pass
        if S(B, B()).f() != 1: reached.append('S')
        if repr(super) != "<class 'super'>": reached.append(repr(super))
        """
    )
