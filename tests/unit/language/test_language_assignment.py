"""Assignments of every form: targets and values are evaluated once and in Python's order."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

#: Objects that write down everything that is done to them.
LOG = """
log = []
def v(name, value=None):
    log.append(name)
    return value
class Box:
    def __init__(self, name, content):
        self.__dict__.update(_name=name, _content=content)
    def __getitem__(self, key):
        log.append(f"{self._name}[{key!r}]")
        return self._content
    def __setitem__(self, key, value):
        log.append(f"{self._name}[{key!r}] = {value!r}")
    def __delitem__(self, key):
        log.append(f"del {self._name}[{key!r}]")
    def __getattr__(self, name):
        log.append(f"{self._name}.{name}")
        return self._content
    def __setattr__(self, name, value):
        log.append(f"{self._name}.{name} = {value!r}")
    def __delattr__(self, name):
        log.append(f"del {self._name}.{name}")
"""

PROGRAMS = {
    "items_evaluated_once": LOG + "v('object', Box('b', 1))[v('key', 'k')] += v('value', 5)\nreturn log",
    "slices_evaluated_once": LOG
    + "v('object', Box('b', 'x'))[v('from', 1):v('to', 2):v('step', 3)] += v('value', 'y')\nreturn log",
    "several_keys_evaluated_once": LOG
    + "v('object', Box('b', 2))[v('row', 0), v('column', 1)] **= v('value', 3)\nreturn log",
    "attributes_evaluated_once": LOG + "v('object', Box('b', 3)).n -= v('value', 1)\nreturn log",
    "nested_targets_evaluated_once": LOG
    + "v('object', Box('b', Box('inner', Box('innermost', 1)))).first[v('key', 'k')].second += v('value', 1)\nreturn log",
    "order_of_plain_assignment": LOG
    + "v('a', Box('a', 0))[v('i', 1)] = v('b', Box('b', 0)).c = v('value', 9)\nreturn log",
    "order_of_unpacking": LOG
    + "v('a', Box('a', 0))[v('i', 1)], v('b', Box('b', 0)).c, *v('d', Box('d', 0))[2] = v('value', [1, 2, 3, 4])\nreturn log",
    "order_of_deletion": LOG
    + "del v('a', Box('a', 0))[v('i', 1)], v('b', Box('b', 0)).c, Box('s', 0)[1:2]\nreturn log",
    "order_of_annotated": LOG
    + "v('a', Box('a', 0))[v('i', 1)]: v('annotation') = v('value', 2)\nv('b', Box('b', 0)).c: int = v('value', 3)\nreturn log",
    "order_of_displays": LOG
    + "{v('k1', 1): v('v1'), **v('m', {2: 3}), v('k2'): v('v2')}\n[v('x'), *v('y', [1]), v('z')]\nv('f', max)(v('p', 1), *v('q', [2]), key=v('k', abs))\nreturn log",
    "order_of_comparison": LOG + "v('a', 1) < v('b', 3) < v('c', 2) < v('never', 9)\nreturn log",
    "every_operator": """
        results = []
        for target in ("name", "item", "attribute"):
            class O: pass
            o, d = O(), {}
            for operator, start, value in (
                ("+", 5, 2), ("-", 5, 2), ("*", 5, 2), ("/", 5, 2), ("//", 5, 2), ("%", 5, 2), ("**", 5, 2), ("<<", 5, 2),
                (">>", 5, 2), ("&", 5, 6), ("|", 5, 2), ("^", 5, 6),
            ):
                x = d["k"] = o.a = start
                match target, operator:
                    case "name", "+": x += value
                    case "name", "-": x -= value
                    case "name", "*": x *= value
                    case "name", "/": x /= value
                    case "name", "//": x //= value
                    case "name", "%": x %= value
                    case "name", "**": x **= value
                    case "name", "<<": x <<= value
                    case "name", ">>": x >>= value
                    case "name", "&": x &= value
                    case "name", "|": x |= value
                    case "name", "^": x ^= value
                    case "item", "+": d["k"] += value
                    case "item", "-": d["k"] -= value
                    case "item", "*": d["k"] *= value
                    case "item", "/": d["k"] /= value
                    case "item", "//": d["k"] //= value
                    case "item", "%": d["k"] %= value
                    case "item", "**": d["k"] **= value
                    case "item", "<<": d["k"] <<= value
                    case "item", ">>": d["k"] >>= value
                    case "item", "&": d["k"] &= value
                    case "item", "|": d["k"] |= value
                    case "item", "^": d["k"] ^= value
                    case "attribute", "+": o.a += value
                    case "attribute", "-": o.a -= value
                    case "attribute", "*": o.a *= value
                    case "attribute", "/": o.a /= value
                    case "attribute", "//": o.a //= value
                    case "attribute", "%": o.a %= value
                    case "attribute", "**": o.a **= value
                    case "attribute", "<<": o.a <<= value
                    case "attribute", ">>": o.a >>= value
                    case "attribute", "&": o.a &= value
                    case "attribute", "|": o.a |= value
                    case "attribute", "^": o.a ^= value
                results.append((x, d["k"], o.a))
        return results
    """,
    "in_place_changes_the_same_object": """
        a = b = [1]
        a += [2]
        c = (a,)
        try:
            c[0] += [3]
        except TypeError as e:
            error = str(e)
        d = {"l": a}
        d["l"] += "xy"
        s = t = {1}
        s |= {2}
        u = w = "a"
        u += "b"
        return a is b, b, error, d["l"] is a, a, t, u, w
    """,
    "slices": """
        l = list(range(10))
        l[2:5] = ["x"]
        l[:0] = [-1]
        l[-1:] += [7, 8]
        l[::3] = l[::3][::-1]
        del l[1:3], l[-1]
        text = "abcdef"
        s = slice(1, None, 2)
        return l, text[1:-1], text[::-1], text[s], text[1:][0:2]
    """,
    "unpacking": """
        a, b = b, a = 1, 2
        [c, [d, e]], f = (3, [4, 5]), 6
        (g), = [7]
        *h, i = "xyz"
        j, *k = (8,)
        first, *_, last = range(100)
        l = [0, 0]
        l[0], l[1] = l[1], 9
        for m, (n, *o) in [(1, "abc"), (2, "d")]:
            pass
        errors = []
        for bad in ([1], [1, 2, 3], 5):
            try:
                p, q = bad
            except (ValueError, TypeError) as e:
                errors.append(str(e))
        try:
            r, s, *t = [1]
        except ValueError as e:
            errors.append(str(e))
        return a, b, c, d, f, g, h, i, j, k, first, last, l, m, n, o, errors
    """,
    "chained": """
        a = b = c = []
        a.append(1)
        x = y = d = {}
        x["k"] = y["l"] = d
        i = 0
        i = l = [1, 2]
        l[0] = i[1] = 5
        return c, a is c, sorted(d), d["k"] is d, l
    """,
    "annotated": """
        from typing import Any, Optional
        a: int = 1
        b: "list[int]" = [a]
        c: Optional[dict[str, Any]] = None
        d: dict[str, list[int]] = {}
        (e): float = 2.0
        class A:
            f: int
            g: str = "x"
            h: "A | None" = None
        o = A()
        o.f: int = 3
        d["k"]: list = [4]
        def scope():
            z: int
            z = 5
            return z
        return a, b, c, d, e, A.g, A.h, o.f, scope(), hasattr(A, "f"), vars(o)
    """,
    "numbers_and_text_grow": """
        text, total, data, row = "", 0, b"", []
        for i in range(5):
            text += str(i)
            total += i * 0.5
            data += bytes([i])
            row += [i] * i
        return text, total, data, row
    """,
    "nested_data": """
        data = {"a": [{"b": 1}, {"b": 2}], "n": {"m": {"x": 1}}}
        for row in data["a"]:
            row["b"] *= 10
            row["c"] = row["b"] + 1
        data["n"]["m"]["x"] -= 5
        data["n"]["m"].setdefault("y", []).append(1)
        data["a"][0]["b"], data["a"][1]["b"] = data["a"][1]["b"], data["a"][0]["b"]
        return data
    """,
    "matrix_operator": """
        class M:
            def __init__(self, n): self.n = n
            def __matmul__(self, o): return M(self.n * o.n)
            def __imatmul__(self, o):
                self.n *= -o.n
                return self
        m = M(2) @ M(3)
        d = {"m": m}
        d["m"] @= M(5)
        return m.n, d["m"].n, d["m"] is m
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
