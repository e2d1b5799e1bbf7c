"""match with every kind of pattern."""

from __future__ import annotations

import pytest

from reptarium.sandbox.language import compile_task, make_namespace, run
from reptarium.sandbox.language.guards import match_class
from reptarium.sandbox.language.policy.names import MATCH_CLASS
from tests.unit.language.support import OPEN, answers_of_python, assert_same

PROGRAMS = {
    "literals": """
        def f(x):
            match x:
                case None: return "None"
                case True: return "True"
                case False: return "False"
                case 0: return "zero"
                case -1: return "minus one"
                case 1.5: return "float"
                case 2 + 3j: return "complex"
                case -4 - 1j: return "negative complex"
                case "text" | 'other' "joined": return "string"
                case b"bytes": return "bytes"
                case "": return "empty"
        return [f(x) for x in (None, True, False, 0, -1, 1.5, 2 + 3j, -4 - 1j, "text", "otherjoined", b"bytes", "", 1, 0.0, "no")]
    """,
    "values": """
        import math, json
        from enum import Enum
        class Color(Enum):
            RED = 1
            BLUE = 2
        class Limits:
            low = 5
            class Inner:
                high = 10
        def f(x):
            match x:
                case Color.RED: return "red"
                case Color.BLUE: return "blue"
                case Limits.low: return "low"
                case Limits.Inner.high: return "high"
                case math.pi: return "pi"
                case json.decoder.JSONDecodeError: return "class"
                case _: return "?"
        return [f(x) for x in (Color.RED, Color(2), 5, 10, math.pi, 1, json.JSONDecodeError)]
    """,
    "captures_and_guards": """
        log = []
        def f(x):
            match x:
                case n if log.append(("first guard", n)): return "never"
                case int(n) if n > 5: return f"big {n}"
                case int() | float() as n if n > 3: return f"middle {n}"
                case [x, y] if x == y: return "twins"
                case whole: return f"rest {whole}"
        results = [f(x) for x in (9, 4.5, [1, 1], [1, 2])]
        match 5:
            case left: pass
        return results, log, left
    """,
    "sequences": """
        from collections import deque
        def f(x):
            match x:
                case []: return "empty"
                case [1]: return "just one"
                case [1, 2]: return "one two"
                case (3, x): return f"three {x}"
                case 4, *rest: return f"four {rest}"
                case [*start, 5]: return f"{start} five"
                case [a, *_, 6, z]: return f"{a} six {z}"
                case [[a, b], {"k": c}, *_]: return f"{a}{b}{c}"
                case [str(s), int(i)]: return f"{s}{i}"
                case [_, _]: return "two of any"
                case ["go", ("north" | "south") as way]: return "never: two of any"
                case [*all]: return f"list of {len(all)}"
                case _: return "no sequence"
        return [f(x) for x in ([], [1], (1, 2), [3, "x"], [4], (4, 5, 6), [0, 0, 5], [9, 8, 6, 7], [[1, 2], {"k": 3}, 4], ["a", 1], [None, None],
                               deque([1]), range(3), "text", b"bytes", bytearray(b"x"), {1: 2}, {1}, iter([1]), 5)]
    """,
    "mappings": """
        from collections import OrderedDict, defaultdict
        def f(x):
            match x:
                case {"type": "user", "name": str(name), **rest}: return f"user {name} {rest}"
                case {"type": "order", "lines": [{"sku": sku}, *more]}: return f"order {sku} {len(more)}"
                case {"n": int(n) | float(n)} if n > 0: return f"positive {n}"
                case {1: a, -2: b, None: c, 'd': d}: return f"never, {a}{b}{c}{d}"
                case {"a": {"b": {"c": deep}}}: return f"deep {deep}"
                case {"x": None}: return "x is None"
                case {**everything} if len(everything) == 1: return f"one {everything}"
                case {}: return "a mapping"
                case _: return "no mapping"
        lazy = defaultdict(lambda: 5)
        result = [f(x) for x in ({"type": "user", "name": "Ada", "age": 3}, {"type": "order", "lines": [{"sku": 1}, {}, {}]}, {"n": 2.5}, {"n": -1},
                                 {"a": {"b": {"c": 7}}, "z": 0}, {"x": None}, {"y": 1}, {}, {"p": 1, "q": 2}, OrderedDict(n=1), lazy, [("n", 1)])]
        return result, dict(lazy)
    """,
    "classes": """
        from dataclasses import dataclass
        from typing import NamedTuple
        from datetime import date, datetime
        from decimal import Decimal
        @dataclass
        class Point:
            x: int
            y: int = 0
        @dataclass
        class Circle:
            center: Point
            r: float
        class T(NamedTuple):
            a: int
            b: str
        class Plain:
            def __init__(self, v): self.v = v
        class Ordered:
            __match_args__ = ("first", "second")
            def __init__(self, first, second): self.first, self.second = first, second
        class Sub(Ordered): pass
        def f(x):
            match x:
                case bool(): return "bool"
                case int(i): return f"int {i}"
                case float(): return "float"
                case str(s) if s.isdigit(): return f"digits {s}"
                case str(): return "str"
                case bytes() | bytearray(): return "bytes"
                case Point(0, 0): return "origin"
                case Point(x=0): return "y axis"
                case Point(x, y) if x == y: return f"diagonal {x}"
                case Point(): return "point"
                case Circle(Point(cx, _), r=r): return f"circle {cx} {r}"
                case T(1, b): return f"T {b}"
                case Plain(v=[a, *_]): return f"plain {a}"
                case Plain(v=v): return f"plain {v}"
                case Ordered(1, second=s): return f"ordered {s}"
                case Ordered(a, b): return f"ordered {a}{b}"
                case datetime(hour=h): return f"hour {h}"
                case date(year=y, month=m): return f"{y}-{m}"
                case Decimal(): return "decimal"
                case ValueError(args=[text]): return f"error {text}"
                case Exception(): return "exception"
                case list([]): return "empty list"
                case dict({"k": v}): return f"dict {v}"
                case set() | frozenset(): return "set"
                case tuple((a, b)): return f"pair {a}{b}"
                case object(): return "object"
        return [f(x) for x in (True, 5, 1.5, "12", "x", b"", Point(0, 0), Point(0, 1), Point(2, 2), Point(3, 4), Circle(Point(1, 2), 5), T(1, "b"), Plain([7, 8]),
                               Plain("v"), Ordered(1, 2), Ordered(3, 4), Sub(5, 6), datetime(2024, 1, 2, 13), date(2024, 3, 1), Decimal(1), ValueError("bad"),
                               KeyError("k"), [], {"k": 1}, {1}, frozenset(), (1, 2), None)]
    """,
    "class_pattern_errors": """
        class Bare: pass
        class Bad:
            __match_args__ = ("x",)
        errors = []
        def f(x):
            match x:
                case Bare(1): pass
        def g(x):
            match x:
                case Bad(1, 2): pass
        def h(x):
            not_a_class = 5
            match x:
                case not_a_class(): pass
        for function, value in ((f, Bare()), (g, Bad()), (h, 1)):
            try:
                function(value)
            except TypeError as e:
                errors.append(str(e))
        b = Bad()
        match b:
            case Bad(1): errors.append("has no x")
            case Bad(): errors.append("is a Bad")
        return errors
    """,
    "alternatives_and_names": """
        def f(x):
            match x:
                case ("a" | "b" as letter, 1 | 2 as digit): return f"{letter}{digit}"
                case [("x", n) | (n, "x"), *rest] as whole: return n, rest, len(whole)
                case {"k": 1 | 2 | 3 as n} | {"l": n}: return n
                case (int() | str()) as scalar: return scalar
                case _ as anything: return repr(anything)
        return [f(x) for x in (("a", 2), [("x", 5), 6], [(7, "x")], {"k": 3}, {"l": 4}, "s", 9, None)]
    """,
    "names_of_every_kind": """
        def f(x):
            match x:
                case {"match": match, "case": case, "type": type, **_rest}: return match, case, type, _rest
                case [_a, __b, *_]: return _a, __b
        match = case = type = 1
        match, case = 2, 3
        return f({"match": 1, "case": 2, "type": 3, "z": 4}), f([1, 2, 3]), match, case
    """,
    "nested_and_in_every_place": """
        class A:
            kind = "b"
            match kind:
                case "a": value = 1
                case "b": value = 2
            def method(self, x):
                match x:
                    case self.value: return "same"
                    case A(value=2): return "an A"
                    case [A(), *_]: return "As"
        def f(x):
            for item in x:
                match item:
                    case 0: continue
                    case 9: break
                    case [inner, *_]:
                        match inner:
                            case 1: yield "one"
                            case other: yield other
                    case _: yield item
            else:
                yield "end"
        def g(command):
            match command.split():
                case ["quit"]: return "bye"
                case ["go", direction] | ["walk", direction]: return direction
                case ["get", *items, "from", place]: return items, place
        a = A()
        match (yield_ := [1, 2]), len(yield_):
            case [first, *_], 2: pass
        return A.value, a.method(2), a.method(A()), a.method([a]), list(f([0, 1, [1], [2], 9, 3])), list(f([0])), [g(c) for c in ("quit", "go north", "walk up", "get a b from c", "?")], first
    """,
    "evaluated_once": """
        log = []
        class Seen:
            def __init__(self): self.n = 0
            def __eq__(self, other):
                log.append(("eq", other))
                return other == 3
            def __len__(self): return 2
        def subject():
            log.append("subject")
            return Seen()
        def cls():
            log.append("class")
            return int
        class Namespace:
            @property
            def Number(self): return cls()
        ns = Namespace()
        match subject():
            case 1: pass
            case 2 | 3: log.append("three")
        match 5:
            case ns.Number(): log.append("a number")
        return log
    """,
    "another_class_each_time": """
        from abc import ABC
        from collections import namedtuple
        from dataclasses import dataclass
        from enum import Enum
        class Shape(ABC): pass
        @dataclass
        class Point(Shape):
            x: int
            y: int
        @dataclass
        class Token:
            type: str
            code: int
        class Pair(namedtuple("Pair", "a b")): pass
        class Text(str): pass
        class Meta(type):
            def __instancecheck__(cls, value): return value == 5
        class Five(metaclass=Meta):
            __match_args__ = ("bit_length",)
        class Even(ABC):
            __match_args__ = ("bit_length",)
            @classmethod
            def __subclasshook__(cls, kind): return kind is int
        things = [Point(1, 2), Token("a", 3), Pair(4, 5), Text("t"), 5, Even(), 6]
        def first(cls, thing):
            match thing:
                case cls(a) if cls is Point or first(Point, Point(0, 0)) == 0: return a if isinstance(a, (int, str)) else "method"
                case _: return "another"
        def both(thing):
            match thing:
                case Token("a", code=c) | Token(type="b", code=c): return c
                case Token(kind, code): return kind, code
                case Point(x, _) | Pair(x, _): return x
            return None
        return [[first(cls, thing) for thing in things] for cls in (Point, Token, Pair, Text, Five, Even, Pair, Point)], [both(each) for each in [*things, Token("b", 7), Token("c", 8)]]
    """,
    "guarded_attribute_names": """
        class R:
            def __init__(self): self.format, self.time, self.signal = "csv", 1, 2
        match R():
            case R(time=t): return t
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


@pytest.mark.parametrize(
    "made",
    [
        "@dataclass\nclass A:\n    x: int",
        "@dataclass\nclass A(ABC):\n    x: int",
        "class A(namedtuple('B', 'x')): pass",
        "@dataclass\nclass A:\n    type: int",
        "class M(type): pass\nclass A(metaclass=M):\n    __match_args__ = ('x',)\n    def __init__(self, x): self.x = x",
    ],
    ids=["dataclass", "abc", "inherited", "looked_at", "metaclass"],
)
def test_what_was_looked_at_is_not_asked_about_again(made: str) -> None:
    """A pattern's class is looked at when the pattern meets it, not each time that the statement runs."""
    asked = []

    def counting(cls: type, *args: object) -> object:
        asked.append(cls)
        return match_class(cls, *args)  # type: ignore[arg-type]

    imports = "from abc import ABC\nfrom collections import namedtuple\nfrom dataclasses import dataclass\n"
    program = (
        f"{imports}{made}\ndef f(a):\n    match a:\n        case A(2): return 'two'\n        case A(n): return n\n"
    )
    namespace = make_namespace(OPEN, {})
    namespace["__builtins__"] = {**namespace["__builtins__"], MATCH_CLASS: counting}  # type: ignore[dict-item]
    assert run(compile_task(f"{program}return [f(A(n)) for n in range(4)]", OPEN), namespace) == [0, 1, "two", 3]
    assert len(asked) == 2
