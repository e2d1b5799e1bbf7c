"""Names and what binds them: every form gives what Python gives."""

from __future__ import annotations

import textwrap
from types import FunctionType

import pytest

from reptarium.sandbox.language.plain.program import compile_task as compile_plainly
from tests.unit.language.support import OPEN, answers_of_python, assert_same, execute

PROGRAMS = {
    "single_underscores": """
        _total = 1
        __ = 2
        _ = 3
        ___ = 4
        _items2 = [_total, __, _, ___]
        for _ in range(2):
            _total += _
        return _items2, _total, _
    """,
    "unicode_names": """
        größe = 2
        名前 = "Ada"
        ﬁ = 5  # NFKC: the same name as fi
        return größe, 名前, fi
    """,
    "every_binding_form": """
        import json as j
        from math import floor as f, ceil
        from contextlib import nullcontext
        a = b = 1
        c, (d, *e) = 2, [3, 4, 5]
        [g, h] = "gh"
        i: int = 6
        j2: int
        (k := 7)
        for l in (8,): pass
        for m, n in [(9, 10)]: pass
        with nullcontext(1) as o, nullcontext([2, 3]) as (p, aa): pass
        try:
            {}["q"]
        except KeyError as q:
            r = q.args
        def s(): return 11
        class T: t = 12
        match [13, 14, {"w": 15, "z": 16}]:
            case [u, *v, {"w": w, **x}] as y: pass
        del b
        return j.dumps(a), f(1.5), ceil(1.5), c, d, e, g, h, i, k, l, m, n, o, p, aa, r, s(), T.t, u, v, w, x, y
    """,
    "walrus": """
        data = [1, 5, 3]
        while (n := len(data)) > 1:
            data.pop()
        if (m := max([2, 9])) > 5 and (half := m // 2):
            pass
        squares = [last := x ** 2 for x in range(5)]
        anyone = any((witness := name).startswith("B") for name in ("Ada", "Bob", "Cy"))
        def f(a, b=(default := 3)):
            return a + b
        return n, m, half, squares, last, anyone, witness, f(x := 4, b=(y := 5)), x, y, default
    """,
    "global": """
        def made():
            global fresh
            fresh = ["made inside"]
        def changed():
            global fresh
            fresh += ["changed"]
            def deep():
                global fresh, other
                other, fresh = fresh, fresh + [3]
            deep()
        def removed():
            global fresh
            del fresh
        made(); changed()
        seen = fresh, other
        removed()
        try:
            fresh
        except NameError as e:
            return seen, str(e)
    """,
    "nonlocal": """
        def counter():
            n = 0
            def up(by=1):
                nonlocal n
                n += by
                return n
            def reset():
                nonlocal n
                n = 0
            return up, reset
        up, reset = counter()
        seen = [up(), up(5)]
        reset()
        total = 10
        def outer():
            nonlocal total
            total *= 2
            def inner():
                nonlocal total
                total += 1
            inner()
        outer()
        return seen, up(), total
    """,
    "late_binding": """
        functions = [lambda: i for i in range(3)]
        bound = [lambda i=i: i for i in range(3)]
        return [f() for f in functions], [f() for f in bound]
    """,
    "scopes_of_comprehensions": """
        x = "outer"
        inside = [x for x in range(3)]
        return x, inside, {x: y for x in "ab" for y in range(1)}, [[y for y in range(x)] for x in range(3)], x
    """,
    "class_scope": """
        x = "task"
        class A:
            x = "class"
            y = x.upper()
            def read(self):
                return x
            z = [x for _ in range(1)]
        return A.x, A.y, A().read(), A.z
    """,
    "unbound_names": """
        errors = []
        try:
            print_later
        except NameError as e:
            errors.append((type(e).__name__, str(e)))
        def f():
            a += 1
            a = 1
        try:
            f()
        except UnboundLocalError as e:
            errors.append((type(e).__name__, str(e).split(" ")[-1]))
        x = 1
        del x
        try:
            x
        except NameError as e:
            errors.append(type(e).__name__)
        try:
            1 / 0
        except ZeroDivisionError as gone:
            pass
        try:
            gone
        except NameError as e:
            errors.append(type(e).__name__)
        return errors
    """,
    "shadowed_builtins": """
        def first(list, id, type="t", input=None):
            return list[0], id, type, input
        sum = 0
        for max in (1, 2):
            sum += max
        class str:
            pass
        dict = {"k": 1}
        open, exec, compile = 1, 2, 3
        return first([1], 2), sum, max, dict, isinstance(str(), str), open + exec + compile
    """,
    "shadowed_in_one_function_only": """
        def f():
            len = lambda x: "mine"
            return len([])
        return f(), len([1, 2])
    """,
    "private_mangling": """
        class A:
            __secret = 1
            def __init__(self):
                self.__x = 2
                self._y = 3
            def __hidden(self):
                return self.__x
            def get(self):
                return self.__x, self._y, self.__secret, self.__hidden()
        class B(A):
            def __init__(self):
                super().__init__()
                self.__x = 20
        return B().get(), sorted(k for k in vars(B())), B()._A__x
    """,
    "deletions": """
        a, b, c = 1, [1, 2, 3, 4], {"x": 1, "y": 2}
        class O:
            pass
        o = O()
        o.p = o.q = 1
        del a
        del b[0], b[1:], c["x"], o.p
        return b, c, vars(o)
    """,
    "name_is_main": """
        def main():
            return 3
        if __name__ == "__main__":
            return main(), __name__, __doc__, __debug__
    """,
    "statements_of_every_kind": """
        log = []
        for i in range(10):
            if i == 1: continue
            elif i == 5: break
            else: log.append(i)
        else:
            log.append("never")
        for _ in (): pass
        else: log.append("for-else")
        n = 3
        while n:
            n -= 1
        else:
            log.append("while-else")
        assert log, "has entries"
        try:
            assert not log, f"{len(log)} entries"
        except AssertionError as e:
            log.append(str(e))
        a = b = log; a.append(len(b))
        "an expression"
        ...
        return log if log else None, not log, 1 < 2 <= 2 != 3, log is a, 7 not in log, log is not None
    """,
    "operators": """
        a, b = 17, 5
        x = {1, 2} | {3} & {3, 4} - {9} ^ {7}
        return (
            a + b, a - b, a * b, a / b, a // b, a % b, a ** b, a << b, a >> b, a & b, a | b, a ^ b, ~a, -a, +a, not a,
            "ab" * 2 + "c", [1] * 2 + [2], (1,) + (2,), x, {"a": 1} | {"b": 2}, -7 // 2, -7 % 3, 2 ** -1, 1_000, 0xFF,
            0b11, 0o17, 1e3, 1j * 1j, b"a" b"b", "a" "b", r"\\d", 3 if a else 4, a and b, 0 or "x", None or (),
        )
    """,
    "source_forms": """
        '''a docstring of the task'''
        text = \"\"\"first
          second \\
        third\"\"\"; more = ("x"  # comments
                "y")
        total = 1 + \\
            2
        if total: text += "!"
        return text, more, total, (lambda: 0)()
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # In a bare function these would be UnboundLocalErrors; here the task's names behave as a script's
        ("_items = [i + 1 for i in _items]\n_items += [9]\nreturn _items", [2, 3, 9]),
        ("_items[0] += 1\nreturn _items", [2, 2]),
        ("id = id(1) and 5\nreturn id", 5),
        ("count = 0\ndef up():\n    global count\n    count += 1\nup(); up()\ncount += 10\nreturn count", 12),
        ("def f():\n    return _items\n_items = 'mine'\nreturn f()", "mine"),
        (
            "del _items\ntry:\n    return _items\nexcept NameError as e:\n    return str(e)",
            "name '_items' is not defined",
        ),
        ("for _items in [1, 2]: pass\nreturn _items", 2),
        ("import json as _items\nreturn _items.dumps(1)", "1"),
        ("_item = 3\nreturn _item", 3),
        ("", None),
        ("# only a comment", None),
        ("'''only a text'''", None),
        ("pass", None),
        ("return", None),
    ],
)
def test_given_names_are_the_tasks_own(source: str, expected: object) -> None:
    """Names that the runner supplies, builtins and globals are read and rebound as in a script."""
    assert execute(source, _items=[1, 2]) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from datetime import date\nclass E:\n    date: date\nreturn E.__annotations__['date'] is date", True),
        ("n = 2\nclass E:\n    n = n * 2\nreturn E.n, n", (4, 2)),
        ("n = 2\nclass E:\n    n += 1\nreturn E.n, n", (3, 2)),
        ("n = 2\nclass E:\n    def n(self, other=n): return other\nreturn E().n()", 2),
        ("n = [2]\nclass E:\n    n = [i + 1 for i in n]\nreturn E.n", [3]),
        ("def n(f): return f\nclass E:\n    @n\n    def n(self): return 5\nreturn E().n()", 5),
        ("n = 2\nclass E:\n    class F:\n        n = n\n    n = F.n + n\nreturn E.n", 4),
        ("n = 2\ndef f():\n    n = 3\n    class E:\n        n = n\n    return E.n\nreturn f()", 2),
        ("n = 2\nclass E:\n    k = lambda self, by=n: by + n\n    n = 7\nreturn E().k(), E.n", (4, 7)),
        ("n = 2\nclass E:\n    import math as n; n = n.floor(2.5)\n    del n\n    n = n\nreturn E.n", 2),
        ("n = 2\nclass E:\n    try: 1 / n / 0\n    except ZeroDivisionError as n: pass\nreturn n", 2),
    ],
)
def test_classes_read_names_that_they_bind_from_the_script(source: str, expected: object) -> None:
    """A class's body looks such a name up in the class and then in the script, in both language modes."""
    assert execute(source) == expected
    assert FunctionType(compile_plainly(textwrap.dedent(source), OPEN), {})() == expected
