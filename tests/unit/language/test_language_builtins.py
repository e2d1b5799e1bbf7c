"""The builtins that tasks have, each used as people use it."""

from __future__ import annotations

import builtins

import pytest

from reptarium.sandbox.language import make_namespace
from reptarium.sandbox.language.policy.names import DENIED_BUILTINS
from tests.unit.language.support import OPEN, answers_of_python, assert_same

PROGRAMS = {
    "sorting": """
        rows = [{"n": 3, "k": "b"}, {"n": 1, "k": "a"}, {"n": 3, "k": "a"}]
        values = [3, 1, 2]
        values.sort(reverse=True)
        return (
            sorted(rows, key=lambda r: (-r["n"], r["k"])), sorted("bAc", key=str.lower), sorted(values), sorted({"b": 1, "a": 2}), sorted([1, -2], key=abs, reverse=True), values,
            min(rows, key=lambda r: r["n"]), max(3, 1, 2), min([], default="none"), max("abc"), max({"a": 1, "b": 3}.items(), key=lambda kv: kv[1]), min(["bb", "a"], key=len),
            sorted([(1, "b"), (1, "a")]), max([1, 2], [1, 3]), sorted(range(3), reverse=True),
        )
    """,
    "iterating": """
        it = iter([1, 2, 3])
        class Reader:
            def __init__(self): self.n = 0
            def read(self):
                self.n += 1
                return self.n
        return (
            list(zip("ab", [1, 2, 3])), list(zip("ab", "cd", strict=True)), list(enumerate("ab", start=1)), list(map(lambda a, b: a + b, [1, 2], [3, 4])), list(filter(None, [0, 1, "", "x"])),
            list(filter(lambda x: x > 1, [1, 2])), list(reversed([1, 2])), "".join(reversed("ab")), list(reversed({"a": 1, "b": 2})), next(it), next(it), next(it), next(it, "end"), list(iter(Reader().read, 4)),
            dict(enumerate("ab")), [*map(str, range(3))], list(range(10, 0, -3)), len(range(0, 10, 3)), range(10)[2:5], 5 in range(0, 10, 5), sum(map(len, ["a", "bb"])), list(map(int, "123")),
        )
    """,
    "numbers": """
        return (
            abs(-3), abs(3 + 4j), pow(2, 10), pow(2, -1), pow(3, 4, 5), pow(3, -1, 7), divmod(17, 5), divmod(-7.5, 2), round(2.5), round(2.675, 2), round(1234, -2), round(-0.5), sum([0.1] * 3), sum([1, 2], 10),
            sum([[1], [2]], []), int("ff", 16), int("0b11", 0), int(3.99), int(" 42 "), int(True), float("1e3"), float("inf") > 1e308, float("nan") != float("nan"), complex("1+2j"), complex(1, 2).conjugate(),
            bin(5), oct(8), hex(255), bool([]), (5).bit_length(), (1.5).is_integer(), (0.5).as_integer_ratio(), float.fromhex("0x1p-1"), int.from_bytes(b"\\x01\\x00", "big"), (256).to_bytes(2, "little"), max(1, 2.5),
            10 ** 20, -7 // 2, 7 % -3, 0.1 + 0.2, 1e16 + 1, ~5, 1 if 0 else 2, True + True, (12345).bit_count(), int.from_bytes((5).to_bytes(4, "big"), byteorder="big"), hash(1.0) == hash(1),
        )
    """,
    "bytes": """
        b = bytearray(b"abc")
        b[0] = 65
        b += b"d"
        del b[1]
        m = memoryview(bytearray(range(6)))
        m[1:3] = b"zz"
        return (
            bytes([1, 2]), bytes(3), bytes("é", "utf-8"), b"ab"[0], b"ab"[:1], b"a,b".split(b","), b"ab".hex(), bytes.fromhex("6162"), b.decode(), bytes(b), m.tolist(), bytes(m[::2]), len(m), m.format, m.nbytes,
            m.cast("B").tobytes(), b"%s" % b"x", b"x" in b"xyz", b"-".join([b"a", b"b"]), bytearray.fromhex("00ff"), b"abc".find(b"c"), [*b"ab"], "é".encode("latin-1"), b"\\xc3\\xa9".decode(), bytes(reversed(b"ab")),
            memoryview(b"abc")[1], memoryview(b"abc") == b"abc", b"a" < b"b", b"ab".translate(bytes.maketrans(b"a", b"b")), b" x ".strip(), b"AB".lower(),
        )
    """,
    "collections": """
        d = dict(a=1, **{"b": 2})
        d.update([("c", 3)], d=4)
        s = {1, 2} | {3}
        f = frozenset([1, 2])
        l = list("abc")
        l.insert(1, "x"); l.extend("yz"); l.remove("b"); popped = l.pop(); l.reverse()
        t = (1, 2, 1)
        return (
            d, d.get("z", 0), d.pop("a"), d.popitem(), list(d), d.setdefault("q", []), {**d}, dict.fromkeys("ab", 0), dict([("k", 1)]), dict(zip("ab", (1, 2))), "b" in d, d | {"z": 1}, list(d.items()), d.keys() & {"b", "x"},
            sorted(s - {1}), s & {2, 9}, s ^ {3, 4}, s >= {1}, s.isdisjoint({9}), f | {5}, {f: "frozen"}[frozenset([2, 1])], l, popped, l.index("x"), l.count("c"), l[::-1], l * 2, t.count(1), t.index(2), t + (3,), [1, 2] < [1, 3],
            list(), tuple("ab"), set(), frozenset(), len({1: 2}), [[0] * 2 for _ in range(2)], list({"b": 1, "a": 2}.values()), {1: "int", 1.0: "float", True: "bool"}, dict(d), list((1, 2)),
        )
    """,
    "text": """
        return (
            chr(8364), ord("€"), str(5), str(b"x", "ascii"), repr("a'b"), repr("\\n"), ascii("é"), format(5, "03"), str(None), str([1, "a"]), len("é"), "a" "b", str(1.0), repr(1e100), str(True), str({"a": {1}}), chr(ord("a") + 1),
            "".join(chr(c) for c in range(97, 100)), hash("") == hash(""), str.maketrans("a", "b"), isinstance("x", str), print,
        )[:-1]
    """,
    "logic": """
        return any([0, 1]), all([]), any([]), all([1, 0]), any(x > 2 for x in range(4)), all(isinstance(x, int) for x in (1, 2)), bool(0.0), not [], callable(len), callable(5), callable(lambda: 1)
    """,
    "objects": """
        class A: pass
        class B(A): pass
        a, b = A(), B()
        o = object()
        s = slice(1, 10, 2)
        return (
            isinstance(b, A), isinstance(a, B), isinstance(1, (str, int)), isinstance(1, int | str), isinstance(True, int), issubclass(B, A), issubclass(bool, int), type(a) is A, type(b) == B, type(1), type("").__name__, type(None),
            id(a) == id(a), id(a) != id(b), hash(a) == hash(a), hash((1, "a")) == hash((1, "a")), o == o, type(o), s.start, s.stop, s.step, s.indices(5), list(range(20))[s], ... is Ellipsis, NotImplemented is NotImplemented, None is None,
            isinstance(None, type(None)), type(type(1)) is type, isinstance(A, type), type(lambda: 1).__name__, type(len).__name__, type(a.__class__) is type, isinstance([], list), type([]) in (list, tuple),
        )
    """,
    "printing": """
        import io
        out = io.StringIO()
        print("a", 1, [2], sep="-", end="!\\n", file=out)
        print(file=out)
        print("x", flush=True, file=out)
        print(*range(3), file=out)
        print("{}".format(1), f"{2}", file=out, sep="")
        return out.getvalue()
    """,
    "exceptions": """
        kinds = [ArithmeticError, AssertionError, AttributeError, BaseException, BaseExceptionGroup, BlockingIOError, BrokenPipeError, BufferError, BytesWarning, ChildProcessError, ConnectionError, ConnectionRefusedError,
                 DeprecationWarning, EOFError, EncodingWarning, EnvironmentError, Exception, ExceptionGroup, FileExistsError, FileNotFoundError, FloatingPointError, FutureWarning, GeneratorExit, IOError, ImportError, ImportWarning,
                 IndentationError, IndexError, InterruptedError, IsADirectoryError, KeyError, KeyboardInterrupt, LookupError, MemoryError, ModuleNotFoundError, NameError, NotADirectoryError, NotImplementedError, OSError, OverflowError,
                 PendingDeprecationWarning, PermissionError, ProcessLookupError, RecursionError, ReferenceError, ResourceWarning, RuntimeError, RuntimeWarning, StopAsyncIteration, StopIteration, SyntaxError, SyntaxWarning, SystemError,
                 SystemExit, TabError, TimeoutError, TypeError, UnboundLocalError, UnicodeDecodeError, UnicodeEncodeError, UnicodeError, UnicodeTranslateError, UnicodeWarning, UserWarning, ValueError, Warning, ZeroDivisionError]
        return [k.__name__ for k in kinds], all(issubclass(k, BaseException) for k in kinds)
    """,
    "class_helpers": """
        class A:
            @staticmethod
            def s(x): return x
            @classmethod
            def c(cls): return cls.__name__
            p = property(lambda self: "p")
            t = staticmethod(len)
            def who(self): return "A"
        class B(A):
            def who(self): return super().who() + "B"
        return A.s(1), B.c(), A().p, A.t("abc"), B().who(), isinstance(vars(A), dict) or True
    """,
    "as_values": """
        table = {"sum": sum, "len": len, "max": max, "str": str, "sorted": sorted, "int": int}
        return {k: f([3, 1]) if k != "int" else f("5") for k, f in table.items()}, [f(-2.5) for f in (abs, int, round, str, bool)], list(map(len, ["a", "bb"])), sorted(["10", "9"], key=int), [t("1") for t in (int, float, str, list)]
    """,
    "errors": """
        errors = []
        for f in (lambda: int("x"), lambda: float("x"), lambda: [1][5], lambda: {}["k"], lambda: chr(-1), lambda: ord("ab"), lambda: next(iter([])), lambda: max([]), lambda: sum(["a"]), lambda: sorted([1, "a"]), lambda: len(5),
                  lambda: range(0.5), lambda: list(zip([1], [], strict=True)), lambda: bytes([256]), lambda: 1 / 0, lambda: "a" + 1, lambda: [] + (), lambda: {}[[]], lambda: iter(5), lambda: "abc".index("z"), lambda: round("x"),
                  lambda: isinstance(1, 5), lambda: getattr(1, "x"), lambda: int(None), lambda: 5(), lambda: abs("x"), lambda: pow(0, -1), lambda: "x" * "y", lambda: complex("x"), lambda: hash([]), lambda: list(5), lambda: dict(5)):
            try:
                f()
                errors.append("none")
            except Exception as e:
                errors.append(f"{type(e).__name__}: {e}")
        return errors
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


def test_every_builtin_is_there_or_refused_with_a_reason() -> None:
    """Tasks have each of Python's builtins, perhaps in guarded form, or a refusal says why not."""
    available = make_namespace(OPEN, {})["__builtins__"]
    missing = {name for name in dir(builtins) if name not in available and name not in DENIED_BUILTINS}  # type: ignore[operator]
    assert {name for name in missing if not name.startswith("_")} == set()
