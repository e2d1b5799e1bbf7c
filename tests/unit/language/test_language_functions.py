"""Functions: parameters of every kind, closures, recursion, decorators, lambdas, type hints."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "parameters_of_every_kind": """
        def f(a, b=2, /, c=3, *args, d, e=5, **kw):
            return a, b, c, args, d, e, kw
        def star_only(*, key): return key
        def positional(x, /, **kw): return x, kw
        return (
            f(1, d=4), f(1, 2, 3, 4, 5, d=6, e=7, f=8), f(1, c=9, d=0), f(*[1, 2], *"xy", **{"d": 1}, **{"z": 2}),
            star_only(key=1), positional(1, x=2), (lambda a, /, b=1, *c, d=2, **e: (a, b, c, d, e))(1, 2, 3, d=4, q=5),
        )
    """,
    "wrong_calls": """
        def f(a, /, b, *, c): pass
        messages = []
        for args, kw in (((), {}), ((1,), {"c": 1}), ((1, 2, 3), {"c": 1}), ((1, 2), {}), ((1, 2), {"c": 1, "d": 1}),
                         ((1, 2), {"b": 3, "c": 1}), ((), {"a": 1, "b": 2, "c": 3})):
            try:
                f(*args, **kw)
            except TypeError as e:
                messages.append(str(e))
        try:
            f(1, 2, **{"c": 1}, **{"c": 2})
        except TypeError as e:
            messages.append(str(e).split(".")[-1])
        try:
            None()
        except TypeError as e:
            messages.append(str(e))
        return messages
    """,
    "defaults_are_evaluated_once": """
        def collect(x, into=[]):
            into.append(x)
            return into
        collect(1)
        n = 5
        def late(m=n): return m
        n = 6
        return collect(2), late()
    """,
    "nested_functions_and_recursion": """
        def outer(n):
            def fact(k):
                return 1 if k < 2 else k * fact(k - 1)
            def is_even(k): return k == 0 or is_odd(k - 1)
            def is_odd(k): return k != 0 and is_even(k - 1)
            return fact(n), is_even(n), is_odd(n)
        def flatten(x):
            for each in x:
                if isinstance(each, list):
                    yield from flatten(each)
                else:
                    yield each
        def depth(node): return 1 + max((depth(child) for child in node), default=0)
        def hanoi(n, a, b, c):
            return [] if n == 0 else hanoi(n - 1, a, c, b) + [(a, c)] + hanoi(n - 1, b, a, c)
        return outer(5), list(flatten([1, [2, [3, [4]], 5]])), depth([[], [[]]]), len(hanoi(5, "a", "b", "c"))
    """,
    "too_deep_recursion": """
        def f(n): return f(n + 1)
        try:
            f(0)
        except RecursionError as e:
            return type(e).__name__, str(e).split(" in ")[0]
    """,
    "closures": """
        def make(n):
            def add(x): return x + n
            def change(m):
                nonlocal n
                n = m
            return add, change
        add, change = make(3)
        before = add(1)
        change(10)
        adders = [(lambda k: lambda x: x + k)(k) for k in range(3)]
        return before, add(1), [a(10) for a in adders]
    """,
    "decorators": """
        import functools
        calls = []
        def plain(f):
            def wrapper(*args, **kw):
                calls.append(f.__name__)
                return f(*args, **kw)
            wrapper.__name__ = f.__name__
            wrapper.__doc__ = f.__doc__
            return wrapper
        def with_arguments(times, *, prefix="x"):
            def decorator(f):
                @functools.wraps(f)
                def wrapper(*args, **kw):
                    return prefix + f(*args, **kw) * times
                return wrapper
            return decorator
        class Counted:
            def __init__(self, f):
                functools.update_wrapper(self, f)
                self.f, self.n = f, 0
            def __call__(self, *args):
                self.n += 1
                return self.f(*args)
        @plain
        @with_arguments(2, prefix=">")
        def greet(name="you"):
            "says hello"
            return f"hi {name} "
        @Counted
        def square(x): return x * x
        table = {"double": lambda f: lambda *a: f(*a) * 2}
        @table["double"]
        def one(): return 1
        @(lambda f: "replaced")
        def gone(): pass
        square(2)
        return greet(), greet("Ada"), greet.__name__, greet.__doc__, calls, square(3), square.n, square.__name__, one(), gone
    """,
    "registry": """
        handlers = {}
        def on(event):
            def register(f):
                handlers.setdefault(event, []).append(f)
                return f
            return register
        @on("created")
        @on("updated")
        def store(row): return {**row, "stored": True}
        @on("created")
        def mail(row): return f"to {row['to']}"
        return {event: [f({"to": "a"}) for f in fs] for event, fs in handlers.items()}
    """,
    "function_attributes": """
        def f(x: int) -> str:
            "doc"
            return str(x)
        f.calls = 0
        f.calls += 1
        g = lambda: 0
        def rename(): pass
        rename.__name__ = "other"
        class A:
            def method(self): "m doc"
        return (f.__name__, f.__doc__, f.calls, g.__name__, rename.__name__, A().method.__name__, A.method.__doc__, len.__name__,
                hasattr(f, "calls"), callable(f), vars(f), f.__module__)
    """,
    "type_hints": """
        from typing import Any, Callable, Iterable, Iterator, Literal, Optional, TypeVar, Union, cast, Final, ClassVar, Annotated
        from collections.abc import Sequence, Mapping
        T = TypeVar("T", bound="Base")
        class Base: pass
        LIMIT: Final = 3
        def f(a: int, b: "str" = "x", *args: float, c: Optional[int] = None, **kw: Any) -> dict[str, list[int]]:
            return {b: [a, *map(int, args)]}
        def g(x: Union[int, str], y: int | None = None, z: Literal["a", "b"] = "a") -> Iterator[T]:
            yield x
        def h(fn: Callable[[int], str], rows: Iterable[Mapping[str, Any]], n: Annotated[int, "meta"] = 0) -> Sequence["Undefined"]:
            return [fn(n)]
        class A:
            kinds: ClassVar[list[str]] = []
            def same(self: "A") -> "A": return self
        a = A()
        return f(1, "k", 2.0), list(g(1)), h(str, []), a.same() is a, cast(int, "7"), LIMIT
    """,
    "future_annotations": """
        from __future__ import annotations
        from dataclasses import dataclass, fields
        from typing import NamedTuple, TypedDict
        def f(x: Unknown, y: also.unknown = 1) -> nothing[0]:
            z: anything = y
            return x, z
        @dataclass
        class A:
            x: int
            y: A | None = None
        class N(NamedTuple):
            a: int
            b: N | None = None
        class D(TypedDict):
            a: whatever
        return f(1), A(1, A(2)).y.x, [field.type for field in fields(A)], N(1), D(a=1)
    """,
    "functions_are_values": """
        import operator
        table = {"+": operator.add, "max": max, "up": str.upper, "f": lambda *a: a}
        def compose(*fs):
            def composed(x):
                for f in reversed(fs):
                    x = f(x)
                return x
            return composed
        def apply(f, *a, **k): return f(*a, **k)
        return (
            table["+"](1, 2), table["up"]("a"), [f(-1) for f in (abs, str, lambda x: x + 1)], compose(str, abs, int)("-3"),
            apply(sorted, [2, 1], reverse=True), list(map(apply, [len, str], ["abc", 5])), (lambda: (yield))().send(None),
        )
    """,
    "returns": """
        def nothing(): pass
        def bare(x):
            if x: return
            return 1
        def several(): return 1, *[2, 3]
        def through_finally():
            try:
                return "try"
            finally:
                order.append("finally")
        def finally_wins():
            for _ in range(3):
                try:
                    continue
                finally:
                    order.append(_)
            return "end"
        order = []
        return nothing(), bare(1), bare(0), several(), through_finally(), finally_wins(), order
    """,
    "parameters_with_names_of_builtins": """
        def f(type, id, input, format, open=1, *, eval=2, **globals):
            return type, id, input, format, open, eval, globals
        return f(1, 2, 3, 4, eval=5, locals=6), (lambda exec, compile: exec + compile)(1, 2)
    """,
    "memo_and_partial": """
        from functools import cache, cached_property, lru_cache, partial, partialmethod, reduce, singledispatch, total_ordering
        calls = []
        @lru_cache(maxsize=None)
        def fib(n):
            calls.append(n)
            return n if n < 2 else fib(n - 1) + fib(n - 2)
        @cache
        def twice(x): return x * 2
        class A:
            @cached_property
            def slow(self):
                calls.append("slow")
                return 5
            def power(self, base, exponent): return base ** exponent
            square = partialmethod(power, exponent=2)
        @singledispatch
        def kind(x): return "other"
        @kind.register
        def _(x: int): return "int"
        @kind.register(list)
        def _(x): return "list"
        @kind.register(str)
        @kind.register(bytes)
        def text(x): return "text"
        a = A()
        info = fib(10), fib.cache_info().hits
        fib.cache_clear()
        p = partial(int, base=2)
        return info, twice(4), a.slow + a.slow, calls.count("slow"), a.square(3), [kind(x) for x in (1, [], "a", b"b", 1.5)], p("101"), p.keywords, reduce(lambda x, y: x * y, range(1, 6), 1)
    """,
    "keywords_of_libraries": """
        def create_model(name, /, **fields): return name, fields["__base__"], sorted(fields)
        return create_model("M", __base__=int, a=1, __config__={}, __validators__={}, __cls_kwargs__={})
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
