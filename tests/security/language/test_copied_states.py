"""What objects tell of themselves to be copied (``__getstate__``), and are given (``__setstate__``): nobody writes names into
an object that way which no program may set, and nobody is told more than an object's slots and attributes hold.
"""

from __future__ import annotations

import pytest

from tests.security.language.programs import NO_SETTING, TAKEN, Attack, by_id, changing, check, check_nothing_reached

ADDRESS = "'__array_interface__'"
COPY = "import copy, numpy, io\n"
#: A list of slots that gets longer once the class is there.
SLOTS = "names = []\nclass M(type): __slots__ = names\nclass K(metaclass=M): pass\n"
HOOK = (
    f"import copy, functools{TAKEN}"
    + """
a = A()
a.x = 1
class C: pass
C.__copy__ = functools.partial(next, iter(functools.partial(taken[0], a, '{}'), None))
"""
)
ATTACKS = {
    "state_with_an_address": Attack(COPY + f"class A:\n    def __getstate__(self): return {{{ADDRESS}: 5}}\nreached.append(copy.copy(A()))", changing("__array_interface__")),
    "slots_with_an_address": Attack(COPY + f"class A:\n    def __getstate__(self): return None, {{{ADDRESS}: 5}}\nreached.append(copy.copy(A()))", changing("__array_interface__")),
    "deep_state_with_an_address": Attack(COPY + f"class T(dict):\n    def __deepcopy__(self, memo): return {{{ADDRESS}: 5}}\nclass A:\n    def __getstate__(self): return T(x=1)\nreached.append(copy.deepcopy(A()))", changing("__array_interface__")),
    "mapping_with_an_address": Attack(COPY + f"class A:\n    def __getstate__(self): return self\n    def keys(self): return [{ADDRESS}]\n    def __getitem__(self, key): return 5\nreached.append(copy.copy(A()))", changing("__array_interface__")),
    "name_that_is_no_text": Attack(COPY + f"class N:\n    def __eq__(self, other): return True\n    def __hash__(self): return hash({ADDRESS})\nclass A:\n    def __getstate__(self): return {{N(): 5}}\nreached.append(copy.copy(A()))", f"a state with attributes that aren't named by texts is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "stream_with_an_address": Attack(COPY + f"class B(io.BytesIO):\n    def __getstate__(self): return b'', 0, {{{ADDRESS}: 5}}\nreached.append(copy.copy(B()))", changing("__array_interface__")),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_states_name_what_may_be_set(attack: Attack) -> None:
    """Whoever tells a state, and whoever takes it."""
    check(attack)


def test_what_is_told_of_slots_is_what_they_hold() -> None:
    """``__slots__`` may be a list that says something else by the time that anybody asks."""
    check_nothing_reached(
        SLOTS
        + """
import copy
names.append('__getattribute__')
if K.__getstate__() != {'__module__': '__main__', '__doc__': None}: reached.append(K.__getstate__())
more = ['a', '__b']
class A:
    __slots__ = more
    def __init__(self): self.a, self.__b = 1, 2
    def __setstate__(self, state): told.append(state)
told = []
more.append('__init__')
copy.copy(A())
if told != [(None, {'a': 1, '_A__b': 2})] or A().__getstate__() != told[0]: reached.append(told)
"""
    )


def test_a_state_is_not_the_object_s_own_dict() -> None:
    """Whoever has that writes any names into it."""
    check_nothing_reached(
        """
        import copy, functools
        class A:
            def __setstate__(self, state): states.append(state)
        class P(functools.partial):
            def __setstate__(self, state): states.append(state[3])
        states = []
        a, p = A(), P(print)
        a.x = p.x = 1
        copy.copy(a)
        copy.copy(p)
        for state in states:
            state['y'] = 2
        if hasattr(a, 'y') or hasattr(p, 'y'): reached.append(states)
        """
    )


@pytest.mark.parametrize("name", ["__reduce_ex__", "__getstate__"])
def test_a_hook_that_was_taken_tells_copy_no_dict(name: str) -> None:
    """Called from C, it is asked in the place of ``copy``."""
    check_nothing_reached(
        HOOK.format(name)
        + f"""
told = copy.copy(C())({"4" if name == "__reduce_ex__" else ""})
state = told[2] if type(told) is tuple else told
state['y'] = 2
if hasattr(a, 'y'): reached.append(told)
"""
    )


def test_copies_share_what_a_state_shares() -> None:
    """As Python's: a shallow copy has the same objects, a deep one its own."""
    check_nothing_reached(
        """
        import copy
        class A:
            def __init__(self): self.kept = {'n': 1}
            def __getstate__(self): return (self.kept, 2)
            def __setstate__(self, state): self.kept, self.n = state
        class L(list):
            pass
        a, l = A(), L([[1]])
        l.x = [2]
        if copy.copy(a).kept is not a.kept: reached.append('shallow')
        if copy.deepcopy(a).kept is a.kept or copy.deepcopy(a).kept != a.kept: reached.append('deep')
        if copy.copy(l)[0] is not l[0] or copy.copy(l).x is not l.x: reached.append('list')
        if copy.deepcopy(l)[0] is l[0] or copy.deepcopy(l) != l or copy.deepcopy(l).x is l.x: reached.append('deep list')
        l.append(l)
        twin = copy.deepcopy(l)
        if twin[1] is not twin: reached.append('itself')
        """
    )


def test_a_hook_that_was_taken_tells_a_guard_no_dict() -> None:
    """Called from C, it is asked in the place of ours that reads the attribute."""
    check_nothing_reached(
        HOOK.format("__dict__")
        + """
class B: x = property(functools.partial(next, iter(functools.partial(taken[0], a, '__dict__'), None)))
for told in (copy.copy(C()), object.__getattribute__(B(), 'x')):
    try: told['__array_interface__'] = 2
    except AttributeError: continue
    reached.append(told)
"""
    )
