"""Syntax that came after 3.11: type parameters, type aliases, free f-strings, and what 3.13, 3.14 and 3.15 added."""

from __future__ import annotations

import sys

import pytest

from tests.unit.language.support import answers_of_python, assert_same

#: By the minor version that brought it.
SINCE = {
    12: {
        "generic_functions": """
            def first[T](xs: list[T]) -> T: return xs[0]
            def bounded[T: int](x: T) -> T: return x + 1
            def constrained[T: (int, str)](x: T) -> T: return x * 2
            def variadic[*Ts](*args: *Ts) -> tuple[*Ts]: return args
            def spec[**P, R](f: "Callable[P, R]") -> "Callable[P, R]":
                def inner(*args: P.args, **kwargs: P.kwargs) -> R:
                    return f(*args, **kwargs)
                return inner
            @spec
            def add(a: int, b: int = 1) -> int: return a + b
            def outer[T](x: T):
                def inner[U](y: U) -> tuple[T, U]: return x, y
                return inner
            def uses[T](x: T) -> list[T]:
                xs: list[T] = [x]
                return xs, T.__name__
            return first([1]), bounded(1), constrained("a"), variadic(1, 2), add(1, b=2), outer(1)("y"), uses(5)
        """,
        "generic_classes": """
            from dataclasses import dataclass, field
            from typing import Protocol
            from abc import ABC, abstractmethod
            class Stack[T]:
                items: list[T]
                def __init__(self, *items: T) -> None: self.items = list(items)
                def push(self, x: T) -> "Stack[T]":
                    self.items.append(x)
                    return self
                def map[U](self, f) -> "Stack[U]": return Stack(*map(f, self.items))
            @dataclass(order=True)
            class Pair[K, V]:
                key: K
                value: V
            class Base[T](ABC):
                @abstractmethod
                def get(self) -> T: ...
            class Sub[T: int](Base[T], dict[str, T]):
                def get(self): return self["x"]
            class Reader[T](Protocol):
                def read(self) -> T: ...
            class Outer[T]:
                class Inner[U]:
                    pair: tuple[T, U] = (1, 2)
            return Stack[int](1).push(2).map(str).items, Pair("a", 1), Pair[str, int]("b", 2) > Pair("a", 3), Sub(x=3).get(), Outer[int].Inner[str]().pair, issubclass(Sub, Base)
        """,
        "type_aliases": """
            type Row = dict[str, "Value"]
            type Value = int | str | list[Value] | Row
            type Pairs[K, V] = list[tuple[K, V]]
            type Callback[**P] = "Callable[P, None]"
            def f(row: Row) -> Pairs[str, int]:
                type Local = list[int]
                x: Local = [1]
                return list(row.items()) + x
            class A:
                type Inside = int
                n: Inside = 3
            type = 5
            def g(type): return type
            return f({"a": 1}), Row.__name__, A().n, type, g(6), repr(Row)
        """,
        "free_f_strings": '''
            d = {"key": {"n": 1}}
            names = ["Ada", "Bob"]
            return (
                f"{d["key"]["n"]} {", ".join(names)}", f"{'\\n'.join(names)}", f"{f"{f"{1 + 1}"}"}", f"{d["key"]!r:>{10}}",
                f"""{
                    names[0]  # a comment
                    + "!"
                }""", f"{[n for n in names if n != "Bob"]}", f"{names[0]=}", f'{d['key']['n'] + 1:{"0"}>{3}}',
            )
        ''',
        "standard_library": """
            from itertools import batched
            from typing import override
            class A:
                @override
                def f(self): return 1
            return list(batched("abcde", 2)), A().f(), sum([0.1] * 10)
        """,
    },
    13: {
        "defaults_of_type_parameters": """
            from dataclasses import dataclass
            @dataclass
            class Box[T = int]:
                x: T
            def f[T = str](x: T) -> T: return x
            type Alias[T = int] = list[T]
            return Box(1), f(2), Alias.__name__
        """,
        "replace": """
            import copy
            from dataclasses import dataclass
            from datetime import date
            @dataclass(frozen=True)
            class P:
                x: int
                y: int = 0
            class Own:
                def __init__(self, n): self.n = n
                def __replace__(self, /, **changes): return Own(**{"n": self.n} | changes)
            return copy.replace(P(1), y=2), copy.replace(date(2024, 1, 2), day=5), copy.replace(Own(1), n=3).n
        """,
    },
    14: {
        "exceptions_without_parentheses": """
            log = []
            for f in (lambda: 1 / 0, lambda: [][1], lambda: {}["k"]):
                try:
                    f()
                except ZeroDivisionError, IndexError:
                    log.append("one of two")
                except KeyError:
                    log.append("other")
            return log
        """,
        "template_strings": """
            name, n = "Ada", 5
            t = t"Hi {name!r:>8} and {n + 1}"
            return t.strings, t.values, [(i.expression, i.value, i.conversion, i.format_spec) for i in t.interpolations]
        """,
        "annotations_of_later_names": """
            from dataclasses import dataclass
            @dataclass
            class Node:
                value: int
                next: Node | None = None
            def f(x: Later) -> Never: return x
            return Node(1, Node(2)), f(3)
        """,
    },
    15: {
        "frozen_dictionaries": """
            one = frozendict(a=1)
            return one["a"], dict(one), {one: 2}[frozendict(a=1)], isinstance(one, frozendict)
        """,
        "sentinels": """
            MISSING = sentinel("MISSING")
            return repr(MISSING), MISSING is not None
        """,
        "unpacking_in_comprehensions": """
            lists, maps = [[1], [2, 3]], [{"a": 1}, {"b": 2}]
            return [*each for each in lists], {*each for each in lists}, {**each for each in maps}
        """,
    },
}
PROGRAMS = {
    name: source for minor, group in SINCE.items() if sys.version_info >= (3, minor) for name, source in group.items()
}
if not PROGRAMS:
    pytest.skip("this Python has none of it", allow_module_level=True)

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
