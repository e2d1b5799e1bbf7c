"""attrs pastes names and aliases into source text, and its methods read fields of whatever they are called with."""

from __future__ import annotations

import sys

import pytest
from programs import Attack, attribute, by_id, check, check_nothing_reached

REFUSED = (
    "a name of this class's fields is not allowed: what attrs makes of it is more than a name. No setting allows it."
)
#: An alias that makes statements of its own of the line that it is pasted into.
PASTED = """
    import attr, json
    @attr.s
    class A:
        x = attr.ib(alias="x=0):\\n    STATEMENT\\n    z='''")
    A(json.dumps)
    """


def pasted(statement: str) -> Attack:
    """An attack by this statement, which finds what it is to keep in ``x``."""
    return Attack(PASTED.replace("STATEMENT", statement), REFUSED)


ATTACKS = {
    "default": Attack("import attr\n@attr.s\nclass A:\n    x = attr.ib(alias='x, y=str.format')", REFUSED),
    "any_builtin": pasted("self.x = type"),
    "imported": pasted("from random import _os as x"),
    "matched": pasted("match x:\\n        case object(__globals__=g): self.x = g"),
    "class": pasted("x = x.__class__"),
    "dict": pasted("_inst_dict = self.__dict__\\n    x.seen = _inst_dict"),
    "dict_item": pasted("_inst_dict = self.__dict__\\n    x.seen = _inst_dict['__getattribute__']"),
    "dict_of_a_class": Attack(
        "import attr\n@attr.s(these={'__dict__': attr.ib(eq=reached.append)}, init=False)\nclass A: pass\n"
        "A.__eq__(object, object)",
        REFUSED,
    ),
    "class_of_a_class": Attack(
        "import attr\n@attr.s(these={'__class__': attr.ib(repr=reached.append)}, init=False)\nclass A: pass\n"
        "A.__repr__(A)",
        REFUSED,
    ),
    "globals": Attack(
        "import attr, json\n@attr.s(these={'__globals__': attr.ib(eq=reached.append)}, init=False)\nclass A: pass\n"
        "A.__eq__(json.dumps, json.loads)",
        REFUSED,
    ),
    "repr_namespace": Attack(
        "import attr\n@attr.s(repr_ns='{self.x(self.__class__)}')\nclass A:\n    x = attr.ib()\n"
        "class B: x = reached.append\nA.__repr__(B)",
        REFUSED,
    ),
    "changed_field": Attack(
        """
        import attr, json
        @attr.s
        class A:
            x = attr.ib()
        object.__setattr__(attr.fields(A)[0], 'name', '__globals__')
        reached.append(attr.asdict(A(json.dumps)))
        """,
        attribute("__globals__"),
    ),
}
if sys.version_info >= (3, 13):  # where an ordinary class leads to a module by a name that classes of data have
    ATTACKS["module_of_a_path"] = Attack(
        "import attr, pathlib\n@attr.s(init=False, repr=False)\nclass A:\n    parser = attr.ib(eq=reached.append)\n"
        "class P(pathlib.PurePosixPath): pass\nA.__eq__(P('a'), P('b'))",
        "the attribute 'parser' is not allowed: it leads to a module that isn't allowed. No setting allows it.",
    )


@pytest.mark.parametrize("attack", by_id(ATTACKS))
@pytest.mark.filterwarnings("ignore:The `repr_ns` argument is deprecated:DeprecationWarning")
def test_refused(attack: Attack) -> None:
    """What would carry more than a name into the source text is refused, and so is what would read more than a field."""
    check(attack)


def test_classes_work() -> None:
    """Fields of every kind, whatever their names, have their methods."""
    check_nothing_reached(
        """
        import attr, attrs, functools
        @attrs.define
        class A:
            x: int
            parser: object = None
            type: str = attrs.field(default="t", init=False)
            @functools.cached_property
            def y(self): return self.x
        assert (A(3).y, repr(A(3)), A(3) == A(3)) == (3, "A(x=3, parser=None, type='t')", True)
        @attr.s(frozen=True, slots=False, order=True, hash=True)
        class B:
            a = attr.ib(converter=int)
            _b = attr.ib(default=1, validator=attr.validators.instance_of(int))
            c = attr.ib(factory=list, eq=False, repr=lambda value: 'x')
            d = attr.ib(default=attr.Factory(lambda self: self.a, takes_self=True))
            format = attr.ib(default='f', kw_only=True)
            def __attrs_post_init__(self): reached.clear()
        assert B('3') == B(3) and B(1) < B(2) and hash(B(1)) == hash(B(1))
        assert repr(B(3, b=4)) == "B(a=3, _b=4, c=x, d=3, format='f')"
        assert attrs.make_class('C', ['x', 'y'])(1, 2).y == 2
        @attr.s(auto_exc=True)
        class E(Exception):
            x = attr.ib()
        assert str(E(1)) == '1'
        assert attr.asdict(A(1)) == {'x': 1, 'parser': None, 'type': 't'} and attrs.evolve(A(1), x=2).x == 2
        try:
            A(1).nope
        except AttributeError as error:
            assert 'nope' in str(error)
        """
    )
