"""Comprehensions of every kind, generators, yield from."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "comprehensions": """
        rows = [{"n": i, "k": "ab"[i % 2]} for i in range(6)]
        matrix = [[1, 2, 3], [4, 5, 6]]
        return (
            [r["n"] for r in rows if r["n"] % 2 if r["n"] > 1],
            {r["k"] for r in rows},
            {r["n"]: r["k"] for r in rows if r["k"] == "a"},
            sum(r["n"] for r in rows),
            [x for row in matrix for x in row],
            [[row[i] for row in matrix] for i in range(3)],
            [(a, b) for a in range(3) for b in range(a) if a + b != 2],
            {k: [r["n"] for r in rows if r["k"] == k] for k in "ab"},
            [x if x > 2 else -x for x in matrix[0]],
            [*(x * 2 for x in matrix[0]), *{9}],
            [(lambda: i)() for i in range(3)],
            {(i, j): i * j for i, j in zip(range(3), range(3), strict=True)},
            [a + b for (a, b), *c in [((1, 2), 3), ((4, 5), 6, 7)]],
            [y for x in rows if (y := x["n"] ** 2) > 10], y,
            ["".join(c for c in word if c.isalpha()) for word in ("a1", "b2")],
            max((r for r in rows), key=lambda r: -r["n"])["n"],
            [f"{i}" for i in range(3) for _ in range(i)],
            any(r["n"] > 4 for r in rows), all(r["n"] > 4 for r in rows),
        )
    """,
    "comprehension_scopes": """
        x = 10
        lst = [x for x in range(3)]
        fs = [lambda: x for _ in range(2)]
        x = 20
        def f(n): return [n + i for i in range(n)]
        class A:
            base = [1, 2]
            twice = [b * 2 for b in base]
        seen = []
        [seen.append(i) for i in range(3)]
        data = {"rows": [1, 2]}
        nested = [[(i, j, x) for j in data["rows"]] for i in data["rows"]]
        return x, lst, [g() for g in fs], f(2), A.twice, seen, nested
    """,
    "comprehension_order": """
        log = []
        def v(x):
            log.append(x)
            return x
        list_ = [v(("e", i)) for i in v(range(2)) if v(("if", i)) for j in v([9])]
        dict_ = {v(("k", i)): v(("v", i)) for i in range(2)}
        lazy = (v(("g", i)) for i in v([1, 2]))
        log.append("made")
        next(lazy)
        return log
    """,
    "comprehension_errors": """
        errors = []
        for f in (lambda: [1 / i for i in (1, 0)], lambda: [a for a, b in [(1,)]], lambda: {[]: 1 for _ in "a"}, lambda: [x for x in 5]):
            try:
                f()
            except Exception as e:
                errors.append((type(e).__name__, str(e)))
        return errors
    """,
    "generators": """
        def count(n):
            i = 0
            while i < n:
                got = yield i
                i += got or 1
            return "done"
        def pairs(rows):
            previous = None
            for row in rows:
                if previous is not None:
                    yield previous, row
                previous = row
        def chunks(rows, size):
            for start in range(0, len(rows), size):
                yield rows[start:start + size]
        g = count(10)
        seen = [next(g), g.send(3), next(g)]
        try:
            while True:
                seen.append(g.send(4))
        except StopIteration as stop:
            seen.append(stop.value)
        infinite = (x for x in iter(int, 1))
        return seen, list(pairs("abc")), list(chunks(range(5), 2)), [next(infinite) for _ in range(3)], next(count(0), "default"), sum(count(4))
    """,
    "throw_and_close": """
        log = []
        def g():
            try:
                while True:
                    try:
                        yield len(log)
                    except ValueError as e:
                        log.append(str(e))
            except GeneratorExit:
                log.append("closed")
                raise
            finally:
                log.append("finally")
        a = g()
        next(a)
        thrown = a.throw(ValueError("inside"))
        a.close()
        b = g()
        next(b)
        try:
            b.throw(KeyError("out"))
        except KeyError as e:
            log.append(e.args)
        def stubborn():
            try:
                yield
            except GeneratorExit:
                yield "no"
        c = stubborn()
        next(c)
        try:
            c.close()
        except RuntimeError as e:
            log.append(str(e))
        def leaking():
            yield 1
            raise StopIteration
        try:
            list(leaking())
        except RuntimeError as e:
            log.append(str(e))
        return thrown, log, next(a, "ended")
    """,
    "yield_from": """
        log = []
        def inner():
            try:
                got = yield "inner"
                log.append(got)
                yield from "xy"
            except ValueError:
                log.append("caught inside")
                yield "recovered"
            return "result"
        def outer():
            result = yield from inner()
            log.append(result)
            yield from [1, 2]
            yield from (i for i in range(2))
            yield from {"k": 1}
            return "end"
        a = outer()
        first = [next(a), a.send("sent"), *a]
        b = outer()
        next(b)
        second = b.throw(ValueError()), list(b)
        def walk(node):
            yield node["name"]
            for child in node.get("children", ()):
                yield from walk(child)
        def wrapper():
            value = yield from outer()
            return value
        c = wrapper()
        try:
            while next(c) is not None: pass
        except StopIteration as e:
            log.append(e.value)
        return first, second, log, list(walk({"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}, {"name": "d"}]}))
    """,
    "lambda_and_expression_yields": """
        def f():
            x = yield
            y = (yield x) or "none"
            print_ = [(yield y)]
            return print_
        g = f()
        next(g)
        out = [g.send(1), next(g)]
        try:
            g.send("last")
        except StopIteration as e:
            out.append(e.value)
        return out, next((lambda: (yield 5))())
    """,
    "pipelines": """
        import itertools as it
        def read(rows): yield from rows
        def keep(rows, test): return (r for r in rows if test(r))
        def add(rows, **extra):
            for r in rows:
                yield {**r, **extra}
        rows = [{"json": {"n": n}} for n in range(10)]
        result = list(it.islice(add(keep(read(i["json"] for i in rows), lambda r: r["n"] % 3 == 0), seen=True), 3))
        tee1, tee2 = it.tee(i for i in range(3))
        return result, list(tee1), list(tee2), [list(g) for _, g in it.groupby(rows, key=lambda r: r["json"]["n"] // 4)][0]
    """,
    "generator_state": """
        def g():
            yield 1
        a = g()
        b = (i for i in ())
        return iter(a) is a, type(a).__name__, type(b).__name__, a.__name__, list(a), list(a), bool(b)
    """,
    "generator_in_class": """
        class Tree:
            def __init__(self, v, *kids): self.v, self.kids = v, kids
            def __iter__(self):
                yield self.v
                for kid in self.kids:
                    yield from kid
            def depth_first(self): return [v for v in self]
            @property
            def leaves(self):
                if not self.kids:
                    yield self.v
                for kid in self.kids:
                    yield from kid.leaves
        t = Tree(1, Tree(2, Tree(3)), Tree(4))
        return t.depth_first(), sorted(t.leaves), max(t), 3 in t, dict.fromkeys(t)
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
