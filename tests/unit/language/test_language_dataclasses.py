"""Dataclasses with every option, and what the module offers for them."""

from __future__ import annotations

import pytest

from tests.unit.language.plain import described
from tests.unit.language.support import answers_of_python, assert_same, execute

PROGRAMS = {
    "plain": """
        from dataclasses import dataclass
        @dataclass
        class Point:
            x: int
            y: int = 0
            def norm(self): return (self.x ** 2 + self.y ** 2) ** 0.5
        p = Point(3, y=4)
        p.x += 3
        p.x -= 3
        try:
            Point()
        except TypeError as e:
            error = str(e)
        return p, p == Point(3, 4), p != Point(1), p.norm(), error, [Point(1)], f"{p!r:>20}"
    """,
    "fields_and_factories": """
        from dataclasses import dataclass, field, fields, asdict, astuple, replace, is_dataclass, MISSING
        import itertools
        ids = itertools.count(1)
        @dataclass
        class Row:
            name: str
            tags: list[str] = field(default_factory=list)
            id: int = field(default_factory=lambda: next(ids))
            secret: str = field(default="s", repr=False, compare=False)
            cache: dict = field(init=False, default_factory=dict, hash=False)
            weight: float = field(default=1.0, metadata={"unit": "kg"}, kw_only=True)
        a, b = Row("a"), Row("b", ["x"], weight=2)
        a.tags.append("y")
        try:
            @dataclass
            class Bad:
                x: list = []
        except ValueError as e:
            error = str(e)
        return (a, b, asdict(b), astuple(a), replace(a, name="c"), is_dataclass(Row), is_dataclass(a), is_dataclass(3), error,
                [(f.name, f.type, f.init, f.repr, f.compare, f.kw_only, dict(f.metadata)) for f in fields(Row)],
                fields(Row)[0].default is MISSING, a.cache is b.cache, Row("a", ["y"], 1, "other") == a)
    """,
    "order_and_hash": """
        from dataclasses import dataclass, field
        @dataclass(order=True)
        class Version:
            major: int
            minor: int = 0
            label: str = field(default="", compare=False)
        @dataclass(frozen=True)
        class Key:
            a: int
            b: str = "x"
        @dataclass(unsafe_hash=True)
        class Loose:
            a: int
        @dataclass(eq=False)
        class Identity:
            a: int
        try:
            hash(Version(1))
        except TypeError as e:
            unhashable = str(e)
        try:
            Version(1) < 3
        except TypeError as e:
            incomparable = str(e)
        return (sorted([Version(2), Version(1, 5), Version(1)]), max(Version(1, 2, "z"), Version(1, 3)), Version(1) <= Version(1, 0, "q"),
                {Key(1): "v"}[Key(1)], len({Key(1), Key(1), Key(2)}), len({Loose(1), Loose(1)}), Identity(1) == Identity(1), unhashable, incomparable)
    """,
    "frozen": """
        from dataclasses import dataclass, replace, FrozenInstanceError
        @dataclass(frozen=True)
        class P:
            x: int
            y: int = 1
            def __post_init__(self):
                object.__setattr__(self, "y", self.y + 1)
            def moved(self, by): return replace(self, x=self.x + by, y=0)
        errors = []
        for change in (lambda p: setattr(p, "x", 5), lambda p: delattr(p, "x")):
            try:
                change(P(1))
            except FrozenInstanceError as e:
                errors.append((type(e).__name__, str(e)))
        p = P(1)
        try:
            p.x = 2
        except AttributeError as e:
            errors.append(str(e))
        return p, p.moved(3), errors
    """,
    "post_init_and_initvar": """
        from dataclasses import dataclass, field, InitVar
        from typing import ClassVar
        @dataclass
        class Invoice:
            net: float
            rate: InitVar[float] = 0.2
            gross: float = field(init=False)
            count: ClassVar[int] = 0
            def __post_init__(self, rate):
                if self.net < 0:
                    raise ValueError("net must not be negative")
                self.gross = round(self.net * (1 + rate), 2)
                Invoice.count += 1
        try:
            Invoice(-1)
        except ValueError as e:
            error = str(e)
        return Invoice(10), Invoice(10, 0.5).gross, Invoice(net=1, rate=0).gross, Invoice.count, error
    """,
    "slots_and_kw_only": """
        from dataclasses import dataclass, field, KW_ONLY
        @dataclass(slots=True)
        class S:
            x: int
            y: list = field(default_factory=list)
        @dataclass(kw_only=True)
        class K:
            a: int = 1
            b: int
        @dataclass
        class Mixed:
            a: int
            _: KW_ONLY
            b: int = 2
            c: int
        @dataclass(slots=True, frozen=True, order=True)
        class All:
            n: int
        errors = []
        for make in (lambda: K(1, 2), lambda: Mixed(1, 2, 3), lambda: setattr(S(1), "z", 1)):
            try:
                make()
            except (TypeError, AttributeError) as e:
                errors.append(type(e).__name__)
        s = S(1)
        s.y.append(2)
        return s, K(b=2), Mixed(1, c=3), sorted([All(2), All(1)]), hash(All(1)) == hash(All(1)), errors, hasattr(s, "__dict__"), S.__slots__
    """,
    "options_off": """
        from dataclasses import dataclass
        @dataclass(repr=False, init=False, eq=True, match_args=False)
        class Bare:
            x: int = 5
            def __init__(self): self.y = 6
            def __repr__(self): return "own"
        @dataclass(init=True, repr=True)
        class Own:
            x: int
            def __repr__(self): return f"Own<{self.x}>"
            def __eq__(self, other): return True
        return Bare(), Bare().x, Bare().y, Bare() == Bare(), Own(1), Own(1) == "anything"
    """,
    "inheritance": """
        from dataclasses import dataclass, field, asdict
        from abc import ABC, abstractmethod
        from typing import Generic, TypeVar
        T = TypeVar("T")
        @dataclass
        class Base(ABC):
            id: int
            kind: str = "base"
            @abstractmethod
            def area(self): ...
        @dataclass
        class Circle(Base):
            r: float = 1.0
            kind: str = "circle"
            def area(self): return 3 * self.r ** 2
        @dataclass
        class Box(Generic[T]):
            content: T
            more: "list[Box[T]]" = field(default_factory=list)
        try:
            Base(1)
        except TypeError as e:
            abstract = str(e)[:38]
        return Circle(1), Circle(2, r=2).area(), asdict(Circle(3)), Box[int](1, [Box(2)]), asdict(Box("x", [Box("y")])), abstract
    """,
    "nested_data": """
        from dataclasses import dataclass, field, asdict, astuple, replace
        import json, copy
        @dataclass
        class Address:
            city: str
        @dataclass
        class Person:
            name: str
            address: Address
            friends: dict[str, "Person"] = field(default_factory=dict)
        p = Person("Ada", Address("Paris"))
        p.friends["bob"] = Person("Bob", Address("Rome"))
        q = copy.deepcopy(p)
        q.address.city = "Oslo"
        row = asdict(p, dict_factory=lambda pairs: {k.upper(): v for k, v in pairs})
        return json.dumps(asdict(p), sort_keys=True), astuple(p), q, p.address, row, Person(**{"name": "x", "address": Address(**{"city": "y"})}), replace(p, friends={})
    """,
    "made_from_data": """
        from dataclasses import make_dataclass, field, fields, asdict
        Row = make_dataclass("Row", ["a", ("b", int), ("c", list, field(default_factory=list))], frozen=True, order=True)
        Sub = make_dataclass("Sub", [("d", str, "x")], bases=(Row,), frozen=True)
        Named = make_dataclass("Named", ["a"], namespace={"twice": lambda self: self.a * 2, "KIND": "n", "__str__": lambda self: f"<{self.a}>"})
        try:
            make_dataclass("Bad", ["not a name"])
        except (TypeError, AttributeError) as e:
            error = True
        return Row(1, 2), asdict(Row(1, 2, [3])), Row(1, 2) < Row(2, 1), [f.name for f in fields(Sub)], Sub(1, 2), Named(4).twice(), str(Named(4)), Named(4), Named.KIND, error
    """,
    "in_match": """
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
            y: int = 0
        def where(p):
            match p:
                case P(0, 0): return "origin"
                case P(x, y=0): return f"x axis {x}"
                case P(x=0, y=y): return f"y axis {y}"
                case P(): return "plane"
        return [where(p) for p in (P(0), P(2), P(0, 3), P(1, 1), 5)], P.__name__
    """,
    "replace_hook_and_properties": """
        from dataclasses import dataclass, field
        @dataclass
        class Temperature:
            celsius: float
            log: list = field(default_factory=list, repr=False)
            @property
            def fahrenheit(self): return self.celsius * 9 / 5 + 32
            @fahrenheit.setter
            def fahrenheit(self, value): self.celsius = (value - 32) * 5 / 9
            @classmethod
            def of(cls, text): return cls(float(text.rstrip("C")))
            @staticmethod
            def valid(text): return text.endswith("C")
        t = Temperature.of("100C")
        before = t.fahrenheit
        t.fahrenheit = 32
        return before, t, Temperature.valid("1C")
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


def test_markers_may_be_text() -> None:
    """With postponed annotations, too, a ClassVar is no field, and an InitVar is handed to ``__post_init__``: of names
    that the program has imported, and of modules. (Python knows them in a module alone: its answer is spelled out.)
    """
    source = """
        from __future__ import annotations
        import dataclasses as dc
        import typing
        from dataclasses import KW_ONLY, InitVar, dataclass
        from typing import ClassVar
        @dataclass(slots=True)
        class User:
            count: ClassVar[int] = 0
            kinds: typing.ClassVar[list[str]] = ["a"]
            name: str
            scale: InitVar[int] = 2
            more: dc.InitVar[int] = 3
            kept: int = 5
            _: KW_ONLY
            _size: int = 1
            def __post_init__(self, scale, more):
                type(self).count += 1
                self._size *= scale + more
        def made():
            @dataclass
            class Inner:
                total: ClassVar[int] = 0
                n: int
            return Inner
        return User("x", _size=4), User.count, [f.name for f in dc.fields(User)], made()(3), made().total
    """
    assert described(execute(source)) == (
        "(User(name='x', kept=5, _size=20), 1, ['name', 'kept', '_size'], made.<locals>.Inner(n=3), 0)"
    )
