"""Programs that ordinary users write, by construct: they run and give Python's own answer."""

from __future__ import annotations

import pytest

from sandbox.language import LanguagePolicy
from tests.unit.language.support import execute

CASES: dict[str, tuple[str, object]] = {
    "empty": ("# nothing\n", None),
    "private_names": ("_a = 1\n_items2 = [_a]\nreturn _items2", [1]),
    "augmented": (
        "calls = []\ndef k():\n    calls.append(1)\n    return 'n'\nd = {'n': 1}\nd[k()] += 1\nl = [1, 2, 3]\nl[0:2] += [9]\n"
        "class O:\n    n = 1\no = O()\no.n += 2\nx = 1\nx <<= 3\nreturn d, l, o.n, x, len(calls)",
        ({"n": 2}, [1, 2, 9, 3], 3, 8, 1),
    ),
    "annotated": ("x: int = 1\ny: 'list[int]' = [x]\nreturn y", [1]),
    "walrus": ("return [y for x in range(4) if (y := x * 2) > 2] + [y]", [4, 6, 6]),
    "global_nonlocal": (
        "n = 0\ndef inc():\n    global n\n    n += 1\ninc(); inc()\ndef f():\n    m = 1\n    def g():\n        nonlocal m\n"
        "        m += 1\n    g()\n    return m\nreturn n, f()",
        (2, 2),
    ),
    "rebind_builtin": ("id = 3\nid = id + 1\nlist = [id]\nreturn list", [4]),
    "own_input": ("input = 5\nopen = input + 1\nreturn open", 6),
    "arguments": (
        "def f(a, /, b=2, *args, c, d=4, **kw):\n    return a, b, args, c, d, kw\nreturn f(1, 2, 3, c=4, e=5)",
        (1, 2, (3,), 4, 4, {"e": 5}),
    ),
    "closures": (
        "def deco(f):\n    def w(*a):\n        return f(*a) + 1\n    w.__name__ = f.__name__\n    return w\n"
        "@deco\ndef g(x):\n    return x\nfact = lambda n: 1 if n < 2 else n * fact(n - 1)\nreturn g(1), g.__name__, fact(5)",
        (2, "g", 120),
    ),
    "class": (
        "class A:\n    __slots__ = ('v',)\n    def __init__(self, v):\n        self.v = v\n    def __repr__(self):\n        return f'A({self.v!r})'\n"
        "    def __eq__(self, o):\n        return self.v == o.v\n    def __hash__(self):\n        return hash(self.v)\n    def __lt__(self, o):\n        return self.v < o.v\n"
        "    def __add__(self, o):\n        return A(self.v + o.v)\n    __radd__ = __add__\n    def __bool__(self):\n        return bool(self.v)\n    def __call__(self):\n        return self.v\n"
        "    def __enter__(self):\n        return self\n    def __exit__(self, *e):\n        return True\n    def __contains__(self, x):\n        return x == self.v\n    def __len__(self):\n        return 7\n"
        "class B(A):\n    def __init__(self, v):\n        super().__init__(v * 2)\n    @property\n    def twice(self):\n        return self.v * 2\n    @classmethod\n    def make(cls):\n        return cls(1)\n    @staticmethod\n    def s():\n        return 's'\n"
        "with A(0) as a:\n    raise ValueError\nreturn repr(A(1) + A(2)), A(1) == A(1), sorted([A(2), A(1)])[0].v, bool(a), A(4)(), 3 in A(3), len(a), B(2).twice, B.make().v, B.s(), len({A(1), A(1)})",
        ("A(3)", True, 1, False, 4, True, 7, 8, 2, "s", 1),
    ),
    "private_mangling": (
        "class A:\n    def __init__(self):\n        self.__x = 1\n        self._y = 2\n    def get(self):\n        return self.__x + self._y\nreturn A().get()",
        3,
    ),
    "dataclass": (
        "from dataclasses import dataclass, field, asdict, replace, fields\n@dataclass(order=True, frozen=True)\nclass P:\n    x: int\n    y: int = 2\n    t: list = field(default_factory=list, compare=False)\n"
        "    def __post_init__(self):\n        object.__setattr__(self, 'y', self.y + 1)\n@dataclass(slots=True, kw_only=True)\nclass Q:\n    a: int\np = P(1)\nreturn asdict(p), replace(p, x=5).x, p < P(2), [f.name for f in fields(P)], Q(a=1).a",
        ({"x": 1, "y": 3, "t": []}, 5, True, ["x", "y", "t"], 1),
    ),
    "enum": (
        "from enum import Enum, IntFlag, auto\nclass C(Enum):\n    RED = 1\n    BLUE = auto()\nclass F(IntFlag):\n    A = 1\n    B = 2\nreturn C.RED.name, C(2).name, [c.value for c in C], (F.A | F.B).value, C['RED'] is C.RED, list(C.__members__)",
        ("RED", "BLUE", [1, 2], 3, True, ["RED", "BLUE"]),
    ),
    "named_tuple": (
        "from typing import NamedTuple\nfrom collections import namedtuple\nclass T(NamedTuple):\n    a: int\n    b: str = 'x'\nN = namedtuple('N', 'p q')\nreturn T(1)._asdict(), T(1)._replace(b='y').b, N(1, 2).q",
        ({"a": 1, "b": "x"}, "y", 2),
    ),
    "typed": (
        "from typing import TypedDict, Protocol, Optional, TypeVar, Generic\nfrom abc import ABC, abstractmethod\nT = TypeVar('T')\nclass D(TypedDict, total=False):\n    a: int\nclass P(Protocol):\n    def m(self) -> int: ...\nclass G(Generic[T]):\n    pass\n"
        "class A(ABC):\n    @abstractmethod\n    def m(self): ...\nclass B(A):\n    def m(self):\n        return 1\ntry:\n    A()\nexcept TypeError as e:\n    bad = type(e).__name__\nreturn D(a=1), B().m(), bad",
        ({"a": 1}, 1, "TypeError"),
    ),
    "future": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: Unknown\nreturn A(1).x",
        1,
    ),
    "generators": (
        "def g():\n    x = yield 1\n    yield from range(2)\n    return x\nreturn list(g()), sum(i for i in range(4)), {k: v for k, v in zip('ab', (1, 2))}, {c for c in 'aa'}, [(a, b) for a in range(2) for b in range(2) if a != b]",
        ([1, 0, 1], 6, {"a": 1, "b": 2}, {"a"}, [(0, 1), (1, 0)]),
    ),
    "exceptions": (
        "log = []\nclass E(Exception):\n    pass\ntry:\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        raise E('x', 1) from e\n    finally:\n        log.append('f')\nexcept E as e:\n    log += [type(e).__name__, e.__class__.__name__, e.args]\nelse:\n    log.append('no')\nreturn log",
        ["f", "E", "E", ("x", 1)],
    ),
    "match": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int\ndef k(v):\n    match v:\n        case None: return 'n'\n        case bool(): return 'b'\n        case int(i) | float(i) if i > 5: return f'big {i}'\n        case P(1, y=z): return f'p{z}'\n        case P(a, b): return f'P{a}{b}'\n        case [f, *r]: return (f, r)\n        case {'t': t, **o}: return (t, o)\n        case 'x' | 'y' as s: return s\n        case _: return '?'\n"
        "return [k(v) for v in (None, True, 9, P(1, 2), P(3, 4), [1, 2], {'t': 1, 'u': 2}, 'y', 'zz')]",
        ["n", "b", "big 9", "p2", "P34", (1, [2]), (1, {"u": 2}), "y", "?"],
    ),
    "formatting": (
        "j = {'n': 'Ada', 'v': 2.5}\nf = '{:>5}'\nx = 3\nreturn f\"{j['n']!r:>7}|{x=}|{j['v']:{6}.{1}f}\", '{0} {n}'.format(1, **j), f.format('a'), '{n}'.format_map(j), '%s %.1f' % ('a', 1), '{0.real}'.format(3)",
        ("  'Ada'|x=3|   2.5", "1 Ada", "    a", "Ada", "a 1.0", "3"),
    ),
    "stars": (
        "a, *b, c = range(5)\nd, (e, *f) = 1, [2, 3, 4]\nm = {**{'a': 1}, 'b': 2} | {'c': 3}\nl = [*range(2), *'ab']\ndel l[0]\nreturn b, f, m, l, l[::-1]",
        ([1, 2, 3], [3, 4], {"a": 1, "b": 2, "c": 3}, [1, "a", "b"], ["b", "a", 1]),
    ),
    "builtins": (
        "class A: pass\na = A()\na.q = 1\nsetattr(a, 'w', 2)\nreturn getattr(a, 'q'), getattr(a, 'z', 0), hasattr(a, 'w'), dict(vars(a)), 'q' in dir(a), type(1) is int, type(a).__name__, isinstance(A, type), type(A) is type, sorted([3, 1], reverse=True), divmod(7, 2), pow(2, 5, 7), bytes(bytearray(memoryview(b'ab'))), chr(ord('a')), max([1, 2], key=lambda v: -v), list(map(str, filter(None, [0, 1]))), complex(1, 2).imag, slice(1)",
        (
            1,
            0,
            True,
            {"q": 1, "w": 2},
            True,
            True,
            "A",
            True,
            True,
            [3, 1],
            (3, 1),
            4,
            b"ab",
            "a",
            1,
            ["1"],
            2.0,
            slice(1),
        ),
    ),
    "instance_dict": (
        "class A:\n    def __init__(self, **kw):\n        self.__dict__.update(kw)\na = A(x=1)\nreturn a.x, a.__dict__ == {'x': 1}",
        (1, True),
    ),
    "wraps": (
        "from functools import wraps, lru_cache, partial, reduce, cached_property\ndef d(f):\n    @wraps(f)\n    def w(*a):\n        return f(*a)\n    return w\n@d\ndef hello():\n    'doc'\nclass A:\n    @cached_property\n    def p(self):\n        return 4\nreturn hello.__name__, hello.__doc__, reduce(lambda a, b: a + b, [1, 2]), A().p",
        ("hello", "doc", 3, 4),
    ),
    "main": ("def main():\n    return 3\nif __name__ == '__main__':\n    return main()", 3),
    "context": (
        "from contextlib import contextmanager, suppress\n@contextmanager\ndef c():\n    yield 1\nwith c() as x, suppress(KeyError):\n    {}['a']\nreturn x",
        1,
    ),
    "triple_quoted": ('t = """a\n  b"""\nreturn t', "a\n  b"),
}


@pytest.mark.parametrize("name", CASES)
def test_program(name: str) -> None:
    """The program returns what Python would return."""
    source, expected = CASES[name]
    assert execute(source) == expected


def test_program_under_an_explicit_list() -> None:
    """Transitive imports need no listing: strftime works with datetime alone."""
    policy = LanguagePolicy(stdlib_allow=("datetime",))
    assert (
        execute("from datetime import datetime\nreturn datetime(2024, 2, 29).strftime('%d %B %Y')", policy)
        == "29 February 2024"
    )


def test_given_names_can_be_rebound() -> None:
    """Names that the runner supplies are read and rebound like the user's own."""
    assert execute("_items = [i + 1 for i in _items]\n_items += [9]\nreturn _items", _items=[1, 2]) == [
        2,
        3,
        9,
    ]


def test_error_keeps_the_users_line() -> None:
    """A runtime error's traceback names the line of the source as written."""
    with pytest.raises(ZeroDivisionError) as caught:
        execute("x = 1\n\ndef f():\n    return x / 0\nreturn f()")
    entry = caught.traceback[-1]
    assert entry.lineno + 1 == 4
    assert entry.name == "f"


def test_syntax_error_keeps_the_users_line() -> None:
    """A syntax error names line and text of the source."""
    with pytest.raises(SyntaxError) as caught:
        execute("a = 1\nfor x in a\n    pass")
    assert caught.value.lineno == 2
