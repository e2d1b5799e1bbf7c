"""Enum, NamedTuple, TypedDict, ABC, Protocol, Generic: the class machinery of the standard library, without a metaclass in sight."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "enum": """
        from enum import Enum, IntEnum, StrEnum, auto, unique
        class Status(Enum):
            OPEN = "open"
            DONE = "done"
            FINISHED = "done"
            @property
            def final(self): return self is Status.DONE
            @classmethod
            def default(cls): return cls.OPEN
            def __str__(self): return self.value.title()
        class Level(IntEnum):
            LOW = 1
            HIGH = auto()
        class Color(StrEnum):
            RED = auto()
            BLUE = "b"
        class Planet(Enum):
            EARTH = (5.9, 6.3)
            MARS = (0.6, 3.3)
            def __init__(self, mass, radius): self.mass, self.radius = mass, radius
            @property
            def density(self): return round(self.mass / self.radius, 2)
        errors = []
        for f in (lambda: Status("nope"), lambda: Status["NOPE"], lambda: setattr(Status, "OPEN", 1), lambda: setattr(Status.OPEN, "value", 1)):
            try:
                f()
            except (ValueError, KeyError, AttributeError) as e:
                errors.append((type(e).__name__, str(e)))
        try:
            @unique
            class Bad(Enum):
                A = B = 1
        except ValueError as e:
            errors.append(str(e)[:40])
        return (Status.OPEN, Status.OPEN.name, Status.OPEN.value, Status("done"), Status["OPEN"], [s.name for s in Status], len(Status),
                Status.FINISHED is Status.DONE, list(Status.__members__), Status.DONE.final, Status.default(), f"{Status.OPEN}", Status.OPEN in Status,
                Status.OPEN == "open", Level.HIGH > Level.LOW, Level.HIGH + 1, sorted(Level, reverse=True), Color.RED == "red", f"{Color.BLUE}",
                Planet.MARS.density, Planet((5.9, 6.3)), isinstance(Level.LOW, int), {Status.OPEN: 1}[Status.OPEN], errors, type(Status.OPEN) is Status)
    """,
    "flags": """
        from enum import Flag, IntFlag, auto, CONFORM, KEEP, STRICT
        class Perm(Flag):
            R = auto()
            W = auto()
            X = auto()
            RW = R | W
        class Bits(IntFlag, boundary=KEEP):
            A = 1
            B = 2
        p = Perm.R | Perm.X
        p |= Perm.W
        return (p.value, Perm.W in p, list(Perm.RW), (p & ~Perm.R).name, bool(Perm.R & Perm.W), Perm(3) is Perm.RW, Bits.A | 8, (Bits.A | Bits.B).value,
                len(p), Perm.R ^ Perm.RW)
    """,
    "enum_features": """
        from enum import Enum, auto, nonmember, member, verify, CONTINUOUS, UNIQUE, IntEnum
        class Auto(Enum):
            def _generate_next_value_(name, start, count, last_values): return name.lower()
            A = auto()
            B = auto()
        class Missing(Enum):
            X = 1
            @classmethod
            def _missing_(cls, value): return cls.X if value == "x" else None
        class WithNew(Enum):
            def __new__(cls, code, label):
                o = object.__new__(cls)
                o._value_ = code
                o.label = label
                return o
            ONE = 1, "one"
        class Ignored(Enum):
            _ignore_ = ["scale"]
            scale = 10
            A = 1 * scale
        class Mixed(str, Enum):
            A = "a"
            def up(self): return self.upper()
        @verify(UNIQUE, CONTINUOUS)
        class Checked(IntEnum):
            A = 1
            B = 2
        class Extra(Enum):
            A = 1
            helper = nonmember(5)
        return Auto.B.value, Missing("x"), WithNew(1).label, Mixed.A.up(), Mixed("a") == "a", Checked.B, Extra.helper, [e.name for e in Extra], Ignored.A.value, len(Ignored)
    """,
    "enum_functional": """
        from enum import Enum, IntEnum, Flag
        A = Enum("A", "X Y Z")
        B = Enum("B", ["X", "Y"], start=0)
        C = Enum("C", {"X": "x", "Y": "y"})
        D = IntEnum("D", [("X", 10), ("Y", 20)])
        E = Flag("E", "R, W")
        return [m.value for m in A], [m.value for m in B], C.Y.value, D.X + 1, (E.R | E.W).value, A.X.name, repr(A.X)
    """,
    "enum_in_match": """
        from enum import Enum
        class S(Enum):
            A = 1
            B = 2
        def f(x):
            match x:
                case S.A: return "a"
                case S.B | 5: return "b"
                case S(): return "never"
                case _: return "?"
        return [f(x) for x in (S.A, S.B, 5, 1)]
    """,
    "named_tuple": """
        from typing import NamedTuple, Optional
        from collections import namedtuple
        class Point(NamedTuple):
            "a point"
            x: int
            y: int = 0
            label: Optional[str] = None
            @property
            def norm(self): return abs(self.x) + abs(self.y)
            def moved(self, dx): return self._replace(x=self.x + dx)
            @classmethod
            def parse(cls, text): return cls._make([*map(int, text.split(",")), text])
        Old = namedtuple("Old", ["a", "b"], defaults=[5])
        Renamed = namedtuple("Renamed", "a class a def", rename=True)
        Typed = NamedTuple("Typed", [("a", int), ("b", str)])
        p = Point(1, label="l")
        x, y, *_ = p
        errors = []
        for f in (lambda: setattr(p, "x", 2), lambda: Point(), lambda: p._replace(nope=1), lambda: namedtuple("T", "_a")):
            try:
                f()
            except (AttributeError, TypeError, ValueError) as e:
                errors.append(type(e).__name__)
        return (p, p.x, p[2], x, y, p._asdict(), p._replace(y=9), p._fields, Point._field_defaults, p.norm, p.moved(4), Point.parse("3,4"), p == (1, 0, "l"),
                p < (2,), hash(p) == hash((1, 0, "l")), isinstance(p, tuple), Point.__doc__, Old(1), Old(**{"a": 1, "b": 2})._asdict(), Renamed._fields,
                Typed(1, "x"), Typed(1, "x") + (2,), errors, len(p), sorted([Old(2), Old(1)]), [o.b for o in map(Old._make, [(1, 2), (3, 4)])])
    """,
    "typed_dict": """
        from typing import TypedDict, Required, NotRequired
        class Address(TypedDict):
            city: str
        class Person(Address, total=False):
            name: Required[str]
            age: NotRequired[int]
        Alt = TypedDict("Alt", {"with space": int, "in": str})
        p: Person = {"name": "Ada", "city": "Paris"}
        q = Person(name="Bob", city="Rome", age=3)
        return p, q, type(q) is dict, Alt({"in": "x"}), Person(p, age=1), q["name"]
    """,
    "abc": """
        from abc import ABC, abstractmethod
        import abc
        from collections.abc import Mapping, MutableSequence, Iterable, Sized, Hashable, Callable, Iterator, Set
        class Shape(ABC):
            @abstractmethod
            def area(self): ...
            @property
            @abstractmethod
            def name(self): ...
            @classmethod
            @abstractmethod
            def make(cls): ...
            @staticmethod
            @abstractmethod
            def unit(): ...
            def describe(self): return f"{self.name}: {self.area()}{self.unit()}"
        class Square(Shape):
            def __init__(self, side=2): self.side = side
            def area(self): return self.side ** 2
            @property
            def name(self): return "square"
            @classmethod
            def make(cls): return cls(3)
            @staticmethod
            def unit(): return "m2"
        class Half(Shape):
            def area(self): return 1
        class Lower(Mapping):
            def __init__(self, d): self.d = {k.lower(): v for k, v in d.items()}
            def __getitem__(self, key): return self.d[key.lower()]
            def __iter__(self): return iter(self.d)
            def __len__(self): return len(self.d)
        class Log(MutableSequence):
            def __init__(self): self.l = []
            def __getitem__(self, i): return self.l[i]
            def __setitem__(self, i, v): self.l[i] = v
            def __delitem__(self, i): del self.l[i]
            def __len__(self): return len(self.l)
            def insert(self, i, v): self.l.insert(i, v)
        class Duck:
            def __len__(self): return 0
            def __iter__(self): return iter(())
        errors = []
        for c in (Shape, Half):
            try:
                c()
            except TypeError as e:
                errors.append(str(e).split(" without")[0])
        class Foreign: pass
        Shape.register(Foreign)
        low = Lower({"A": 1})
        log = Log()
        log.append(1); log.extend([2, 3]); log += [4]; log.reverse()
        return (Square.make().describe(), errors, isinstance(Foreign(), Shape), issubclass(Foreign, Shape), low["a"], low.get("z", 0), "A" in low, dict(low), low == {"a": 1},
                list(log), log.pop(), log.index(3), isinstance(Duck(), Sized), isinstance(Duck(), Iterable), isinstance(5, Hashable), isinstance([], Hashable),
                isinstance(len, Callable), isinstance(iter([]), Iterator), isinstance({1}, Set), issubclass(dict, Mapping))
    """,
    "protocol": """
        from typing import Protocol, runtime_checkable, SupportsInt
        @runtime_checkable
        class Speaks(Protocol):
            name: str
            def speak(self) -> str: ...
        class Walks(Protocol):
            def walk(self) -> int:
                return 4
        class Dog(Walks):
            name = "Rex"
            def speak(self): return "woof"
        class Rock: pass
        try:
            Speaks()
        except TypeError as e:
            error = str(e)
        try:
            isinstance(Dog(), Walks)
            explicit = "inherits"
        except TypeError as e:
            explicit = "not checkable"
        return isinstance(Dog(), Speaks), isinstance(Rock(), Speaks), Dog().walk(), error, isinstance(3, SupportsInt), explicit
    """,
    "generics": """
        from typing import Generic, TypeVar, ParamSpec, Callable, Any, overload, NewType, Self, Literal, get_args, get_origin, Union, Optional, Concatenate
        import typing
        T = TypeVar("T")
        K = TypeVar("K", bound="Base")
        N = TypeVar("N", int, str)
        P = ParamSpec("P")
        class Base: pass
        class Stack(Generic[T]):
            def __init__(self) -> None: self.items: list[T] = []
            def push(self, x: T) -> "Stack[T]":
                self.items.append(x)
                return self
            def pop(self) -> T: return self.items.pop()
        class Pair(Stack[int], Generic[K, T]): pass
        def logged(f: Callable[P, T]) -> Callable[P, T]:
            def inner(*args: P.args, **kwargs: P.kwargs) -> T:
                return f(*args, **kwargs)
            return inner
        @overload
        def f(x: int) -> int: ...
        @overload
        def f(x: str) -> str: ...
        def f(x): return x * 2
        class Builder:
            def add(self) -> Self: return self
        UserId = NewType("UserId", int)
        Mode = Literal["r", "w"]
        Tree = dict[str, "Tree | int"]
        @logged
        def add(a: int, b: int = 1) -> int: return a + b
        return (Stack[int]().push(1).push(2).pop(), Pair[Base, str]().push(3).items, add(1), f(2), f("a"), UserId(5) + 1, get_args(Mode), get_args(dict[str, int]),
                get_origin(list[int]) is list, get_origin(Union[int, str]) is Union, Optional[int], int | None, repr(list[int]), isinstance(3, int | str), typing.get_args(Optional[int])[0] is int)
    """,
    "type_checks_on_data": """
        from typing import get_args, get_origin, Any, Union
        from dataclasses import dataclass, fields
        from numbers import Number
        @dataclass
        class Schema:
            name: str
            age: int
            tags: list
        def check(row):
            return [f.name for f in fields(Schema) if not isinstance(row.get(f.name), f.type)]
        return check({"name": "a", "age": "5", "tags": []}), isinstance(True, Number), isinstance("1", (int, float))
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
