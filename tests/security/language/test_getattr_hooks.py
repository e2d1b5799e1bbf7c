"""A class's own ``__getattr__`` is not asked for attributes of the interpreter's, by whoever asks."""

from __future__ import annotations

import pytest

from tests.security.language.programs import Attack, by_id, check, check_nothing_reached

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
        class Hook:
            def __get__(self, instance, owner): return reached.append
            def __call__(self, *args): reached.append(args)
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
