"""Star expressions wherever Python takes them."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "targets": """
        a, *b = range(4)
        *c, d = "xyz"
        e, *f, g = (1, 2)
        [h, *i] = [1]
        (j, *k), *l = [[1, 2, 3], 4, 5]
        for m, *n in [(1, 2, 3), (4,)]: pass
        rest = [q for p, *q in ["abc", "d"]]
        class O: pass
        o, box = O(), [0, 0]
        o.first, *o.rest = 1, 2, 3
        box[0], *box[1] = "abc"
        *r, = (1, 2)
        return a, b, c, d, e, f, g, h, i, j, k, l, m, n, rest, o.first, o.rest, box, r
    """,
    "displays": """
        a, d = [1, 2], {"k": 1, "l": 2}
        return [*a, 3, *a], (*a, *"xy"), {*a, *[2, 5]}, [*d], {**d, "l": 3, **{"m": 4}}, {"l": 0, **d}, [*range(2), *[], *map(str, a)], {**{}, **dict(z=1)}, [*(*a,)], (*(),)
    """,
    "calls": """
        def f(*args, **kw): return args, kw
        a, d = [1, 2], {"x": 3}
        def g(a, b, /, c, *, x, y=0): return a, b, c, x, y
        return f(*a), f(*a, 3, *"z", **d), f(**d, y=4, **{"z": 5}), g(*a, 3, **d), f(*(), **{}), f(*[*a, *a]), f(*{"k": 1}), f(*(i for i in a)), print is None, max(*a, 9), dict(**d, w=1), "{} {x}".format(*a, **d)
    """,
    "returns_and_statements": """
        def f(): return 1, *[2, 3], *()
        def g(): yield 0, *"ab"
        seen = []
        for x in 1, *[2, 3]: seen.append(x)
        t = *seen, 4
        key = (1, 2)
        class K:
            def __getitem__(self, k): return k
        return f(), list(g()), t, K()[*key, 3], K()[0, *key], (lambda *a, **k: (*a, *k))(1, q=2), [*(lambda: "ab")()]
    """,
    "merging_items": """
        items = [{"json": {"a": 1}}, {"json": {"b": 2}, "binary": {}}]
        merged = {}
        for item in items:
            merged = {**merged, **item["json"]}
        out = [{**item, "json": {**item["json"], "n": i}} for i, item in enumerate(items)]
        first, *others = items
        return merged, out, first, others, [*items, {"json": {}}], dict(zip(*[["k", "l"], [1, 2]])), list(zip(*[(1, "a"), (2, "b")]))
    """,
    "errors": """
        errors = []
        for f in (lambda: [*5], lambda: {**5}, lambda: (lambda: 1)(*5), lambda: (lambda **k: 1)(**{1: 2}), lambda: (lambda **k: 1)(**[("a", 1)])):
            try:
                f()
            except TypeError as e:
                errors.append(str(e))
        return errors
    """,
    "variadic_annotations": """
        from typing import TypeVarTuple, Generic, Unpack
        Ts = TypeVarTuple("Ts")
        def f(*args: *Ts) -> tuple[*Ts]: return args
        class A(Generic[*Ts]):
            def __init__(self, *a: Unpack[Ts]): self.a = a
        return f(1, "a"), A[int, str](1, "x").a, A(1).a
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
