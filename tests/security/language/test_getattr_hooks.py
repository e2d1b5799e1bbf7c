"""A class's own ``__getattr__`` is not asked for attributes of the interpreter's, by whoever asks."""

from __future__ import annotations

import pytest

from tests.security.language.programs import Attack, at_compile, by_id, check, check_nothing_reached

ATTACKS = {
    "an address for numpy": Attack(
        """
        import numpy as np
        class Liar:
            def __getattr__(self, name):
                if name == '__array_interface__':
                    return {'shape': (2,), 'typestr': '<i8', 'data': (id(np), False), 'version': 3}
                raise AttributeError(name)
        found = np.asarray(Liar())
        if found.dtype != object:
            reached.append(found)
        raise KeyError('an array of one object')
        """,
        "'an array of one object'",
        KeyError,
    ),
    "a hook that isn't a function": Attack(
        """
        def asked(*names):
            if names[-1] != '__array__':  # which classes may have
                reached.append(names)
            raise AttributeError
        class Hook:
            def __get__(self, instance, owner): return asked
            def __call__(self, *args): asked(*args)
        class Liar:
            __getattr__ = Hook()
        import numpy as np
        np.asarray(Liar())
        raise KeyError('an array of one object')
        """,
        "'an array of one object'",
        KeyError,
    ),
}


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """The hook is never reached with such a name."""
    check(attack)


def test_ordinary_names_are_asked_for() -> None:
    """Names of one's own, single underscores and all, inherited too."""
    check_nothing_reached(
        """
        import copy
        class Record:
            def __getattr__(self, name):
                if name.startswith('__'):
                    reached.append(name)
                return name.upper()
        class Child(Record): pass
        assert (Child().colour, Child()._size, getattr(Child(), 'x')) == ('COLOUR', '_SIZE', 'X')
        copy.copy(Child())
        assert not hasattr(Child(), '__array_struct__')
        """
    )


BOUND_OTHERWISE = {
    "for": "for __getattr__ in hooks: pass",
    "with": "with hooks as __getattr__: pass",
    "unpacking": "__getattr__, other = hooks",
    "walrus": "(__getattr__ := hooks)",
    "annotated": "__getattr__: object = hooks",
    "import": "from json import loads as __getattr__",
    "class": "class __getattr__: pass",
    "match": "match hooks:\n        case __getattr__: pass",
    "except": "try: pass\n    except KeyError as __getattr__: pass",
}


@pytest.mark.parametrize("form", BOUND_OTHERWISE)
def test_bound_in_a_way_that_no_guard_sees(form: str) -> None:
    """A def or a plain assignment is guarded where it stands; other forms are refused."""
    message = "binding the name '__getattr__' this way is not allowed"
    check(at_compile(f"hooks = [1]\nclass A:\n    {BOUND_OTHERWISE[form]}", message))


def test_hooks_are_guarded_before_the_class_is_made() -> None:
    """`__set_name__` and `__init_subclass__` see instances while the class statement is still running."""
    check_nothing_reached(
        """
        class Early:
            def __set_name__(self, owner, name):
                if hasattr(owner(), '__array_interface__'):
                    reached.append(owner)
        class Base:
            def __init_subclass__(cls):
                if hasattr(cls(), '__array_interface__'):
                    reached.append(cls)
        class A(Base):
            early = Early()
            def __getattr__(self, name): return {}
        class B(Base):
            early = Early()
            __getattr__ = other = lambda self, name: {}
        assert A().x == B().y == {}
        """
    )
