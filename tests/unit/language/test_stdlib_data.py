"""Data structures and functional tools in the standard library: the façades give Python's own answers."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "collections": """
        from collections import Counter, defaultdict, deque, OrderedDict, ChainMap, namedtuple, UserDict, UserList, UserString
        import collections.abc
        from collections.abc import Mapping, Sequence
        words = "the cat the dog the end".split()
        c = Counter(words)
        c.update(["cat"])
        groups = defaultdict(list)
        for w in words:
            groups[len(w)].append(w)
        tree = defaultdict(lambda: defaultdict(int))
        tree["a"]["b"] += 1
        q = deque([1, 2, 3], maxlen=3)
        q.append(4); q.appendleft(0); q.rotate(1)
        od = OrderedDict([("a", 1), ("b", 2)])
        od.move_to_end("a")
        chain = ChainMap({"a": 1}, {"a": 2, "b": 3})
        class Lower(UserDict):
            def __setitem__(self, k, v): super().__setitem__(k.lower(), v)
        class Twice(UserList):
            def append(self, x): super().append(x * 2)
        low, twice = Lower({"A": 1}, B=2), Twice([1])
        twice.append(2)
        P = namedtuple("P", ["x", "y"], defaults=[0])
        return (c.most_common(2), c["none"], c + Counter("a"), c - Counter(["the"]), sorted(c.elements())[:2], c.total(), c & Counter(the=1), dict(groups), groups, tree["a"], q, q.pop(), q.popleft(), list(q), od, od.popitem(last=False), chain["a"], chain["b"], chain.maps, chain.new_child({"c": 4})["c"], dict(chain), low, dict(low), twice, twice + [1], P(1)._asdict(),
                P(1, 2)._replace(x=5), UserString("ab").upper(), isinstance({}, Mapping), isinstance((), Sequence), issubclass(UserDict, collections.abc.MutableMapping), Counter(a=2) == Counter("aa"), Counter({"x": 1}).subtract({"x": 3}))
    """,
    "itertools": """
        import itertools as it
        from itertools import chain, groupby, accumulate, product, count, pairwise, islice
        rows = [{"k": "a", "n": 1}, {"k": "a", "n": 2}, {"k": "b", "n": 3}]
        return (list(chain([1], [2])), list(chain.from_iterable(["ab", "c"])), [(k, sum(r["n"] for r in g)) for k, g in groupby(rows, key=lambda r: r["k"])], list(accumulate([1, 2, 3])), list(accumulate([3, 1, 2], max)), list(accumulate([1, 2], initial=10)), list(product("ab", [1, 2])), list(product([0, 1], repeat=2)), list(it.permutations("abc", 2)),
                list(it.combinations("abc", 2)), list(it.combinations_with_replacement("ab", 2)), list(islice(count(5, 2), 3)), list(islice("abcdef", 1, None, 2)), list(it.zip_longest("ab", [1], fillvalue="-")), list(pairwise([1, 2, 3])), list(it.takewhile(lambda x: x < 3, [1, 2, 3, 1])), list(it.dropwhile(lambda x: x < 3, [1, 3, 1])), list(it.filterfalse(lambda x: x % 2, range(4))),
                list(it.starmap(pow, [(2, 3), (3, 2)])), list(it.compress("abc", [1, 0, 1])), [next(c) for c in [it.cycle("ab")] for _ in range(3)], list(it.repeat("x", 2)), [list(t) for t in it.tee("ab")])
    """,
    "functools": """
        import functools
        from functools import reduce, partial, lru_cache, cmp_to_key, total_ordering, cached_property, wraps, singledispatch
        hits = []
        @lru_cache(maxsize=2)
        def slow(x):
            hits.append(x)
            return x * x
        values = [slow(1), slow(1), slow(2), slow(3), slow(1)]
        @total_ordering
        class V:
            def __init__(self, n): self.n = n
            def __eq__(self, o): return self.n == o.n
            def __lt__(self, o): return self.n < o.n
        def logged(f):
            @wraps(f)
            def inner(*a, **k): return f(*a, **k)
            return inner
        @logged
        def named(): "docs"
        @singledispatch
        def show(x): return f"? {x}"
        @show.register(int)
        @show.register(float)
        def _(x): return f"number {x}"
        @show.register
        def _(x: list): return [show(y) for y in x]
        power = partial(pow, 2)
        return (reduce(lambda a, b: a + b, [1, 2, 3]), reduce(max, [1, 3], 2), power(5), partial(int, base=16)("ff"), partial(dict, a=1)(b=2), sorted(["b", "a"], key=cmp_to_key(lambda a, b: (a > b) - (a < b))), values, hits, slow.cache_info(), slow.cache_parameters(), V(1) <= V(2), V(3) >= V(3), named.__name__, named.__doc__, show([1, "a", 2.5]), power.func is pow, power.args, power.keywords)
    """,
    "heapq_and_bisect": """
        import heapq, bisect
        from heapq import heappush, heappop, nlargest, nsmallest, heapify, merge
        h = []
        for task in [(3, "c"), (1, "a"), (2, "b")]:
            heappush(h, task)
        l = [5, 1, 4]
        heapify(l)
        s = [1, 3, 5]
        bisect.insort(s, 4)
        grades = [(60, "D"), (70, "C"), (80, "B"), (90, "A")]
        return ([heappop(h) for _ in range(3)], heapq.heappushpop(l, 0), heapq.heapreplace(l, 9), nlargest(2, [1, 3, 2]), nsmallest(1, ["bb", "a"], key=len), list(merge([1, 4], [2, 3])), s, bisect.bisect_left(s, 3), bisect.bisect(s, 3), bisect.bisect_right([{"n": 1}, {"n": 3}], 2, key=lambda r: r["n"]),
                [grades[bisect.bisect([g for g, _ in grades], x) - 1][1] for x in (65, 90, 85)])
    """,
    "copy": """
        import copy
        from copy import deepcopy
        data = {"a": [1, {"b": 2}], "t": (1, [2])}
        shallow, deep = copy.copy(data), deepcopy(data)
        data["a"][1]["b"] = 3
        loop = [1]
        loop.append(loop)
        copied = deepcopy(loop)
        class Node:
            def __init__(self, v, next=None): self.v, self.next = v, next
        n = Node(1, Node([2]))
        m = deepcopy(n)
        n.next.v.append(3)
        return shallow["a"] is data["a"], deep, copied[1] is copied, m.next.v, copy.copy([1, 2]), copy.copy({1}), deepcopy(len) is len, copy.copy(n).next is n.next
    """,
    "types": """
        import types
        from types import SimpleNamespace, MappingProxyType, FunctionType, GeneratorType, NoneType
        ns = SimpleNamespace(a=1, b=[2])
        ns.c = 3
        ns.b.append(4)
        view = MappingProxyType({"k": 1})
        try:
            view["k"] = 2
        except TypeError as e:
            error = str(e)
        def f(): yield
        row = SimpleNamespace(**{"x": 1})
        return (ns, ns.a + ns.c, vars(ns), ns == SimpleNamespace(a=1, b=[2, 4], c=3), view["k"], dict(view), error, isinstance(f, FunctionType), isinstance(lambda: 0, types.LambdaType), isinstance(f(), GeneratorType), isinstance(len, types.BuiltinFunctionType), NoneType is type(None), isinstance(int | str, types.UnionType),
                isinstance("".join, types.BuiltinMethodType), isinstance([].append, FunctionType), isinstance(row.x, int), hasattr(ns, "z"), isinstance(5, (FunctionType, NoneType)))
    """,
    "struct_and_array": """
        import struct, array
        from struct import pack, unpack, calcsize, Struct
        header = Struct("<4sHI")
        packed = header.pack(b"ABCD", 7, 1000)
        a = array.array("d", [1.5, 2.5])
        a.append(3.5); a.extend([4.5])
        buffer = bytearray(8)
        struct.pack_into(">I", buffer, 2, 258)
        b = array.array("i", range(5))
        try:
            unpack("<I", b"abc")
        except struct.error as e:
            error = str(e)
        return (packed, header.unpack(packed), header.size, unpack("<H", b"\\x01\\x02"), pack("!BH?", 1, 2, True), calcsize("ifd"), list(struct.iter_unpack("<H", b"\\1\\0\\2\\0")), bytes(buffer), struct.unpack_from(">H", buffer, 4), error, a.tolist(), a[1:3], sum(a), a.typecode, a.itemsize, len(b.tobytes()), b.index(3), array.array("B", b"ab").tolist(), b.count(2), a.pop(), list(reversed(b)),
                pack("f", 0.5), array.array("q", [2 ** 40]).tolist())
    """,
    "queues_and_graphs": """
        import queue, graphlib, numbers, contextvars, weakref, errno
        from graphlib import TopologicalSorter, CycleError
        q = queue.PriorityQueue()
        for x in (3, 1, 2): q.put((x, str(x)))
        lifo = queue.LifoQueue()
        lifo.put(1); lifo.put(2)
        try:
            queue.Queue().get_nowait()
        except queue.Empty as e:
            empty = type(e).__name__
        try:
            list(TopologicalSorter({"a": ["b"], "b": ["a"]}).static_order())
        except CycleError as e:
            cycle = e.args[0]
        v = contextvars.ContextVar("v", default=1)
        token = v.set(2)
        seen = v.get()
        v.reset(token)
        class Node: pass
        n = Node()
        cache = weakref.WeakValueDictionary(n=n)
        before = "n" in cache
        return [q.get()[0] for _ in range(3)], lifo.get(), empty, cycle, list(TopologicalSorter({"c": ["b"], "b": ["a"]}).static_order()), seen, v.get(), before, cache["n"] is n, isinstance(1, numbers.Integral), isinstance(1.5, numbers.Real), errno.ENOENT
    """,
    "finalizers": """
        import weakref
        ended = []
        class Held: pass
        held = Held()
        first, second, third = (weakref.finalize(held, ended.append, each) for each in "abc")
        added = weakref.finalize(held, lambda x, y=0: x + y, 1, y=2)
        told = [added.alive, added.peek()[2:], added(), added(), added.alive, third.detach()[0] is held, second.atexit]
        del held
        return told, sorted(ended), first.alive, first.peek(), second.detach(), second()
    """,
    "system_modules_that_hold_only_data": """
        import sys, os, platform, mimetypes, pathlib, http
        from http import HTTPStatus
        from pathlib import PurePosixPath, PureWindowsPath
        p = PurePosixPath("/data/in/report.tar.gz")
        return (sys.version_info[:2], sys.maxsize, sys.byteorder, sys.getsizeof([]) > 0, os.path.join("a", "b"), os.path.basename("/x/y.csv"), os.path.splitext("y.csv"), os.path.dirname("/a/b"), os.sep, os.linesep, os.getenv("NOPE", "default"), os.environ.get("NOPE"), platform.python_version(), mimetypes.guess_type("a.pdf"), mimetypes.guess_extension("image/png"),
                p.name, p.stem, p.suffixes, str(p.parent), p.with_suffix(".txt"), p / "x", p.parts, PurePosixPath("a") / "../b", p.match("*.gz"), PureWindowsPath(r"C:\\\\a\\\\b").name, HTTPStatus(404).phrase, HTTPStatus.OK == 200, http.HTTPStatus["OK"].value)
    """,
    "imports_of_every_form": """
        import json, math as m, os.path as op, collections.abc
        import urllib.parse
        import xml.etree.ElementTree as ET
        from datetime import datetime as dt, timedelta as td
        from collections import (
            Counter,
            defaultdict as dd,
        )
        from urllib import parse
        from os import path
        from email import message
        import importlib
        def inside():
            import re
            from itertools import chain as c
            return re.escape("."), list(c("a", "b"))
        class A:
            import string
            from math import pi
        return (json.dumps(1), m.pi == A.pi, op.join("a", "b"), collections.abc.Mapping.__name__, urllib.parse.quote("a b"), ET.fromstring("<a/>").tag, dt(2024, 1, 1) + td(1), Counter("a"), dd(int), parse.quote("ü"), path.sep, message.Message.__name__, importlib.import_module("json").loads("1"), importlib.import_module("os.path").basename("a/b"), inside(), A.string.digits,
                __import__("math").sqrt(4), __import__("os.path").__name__, json is importlib.import_module("json"), urllib.parse is parse)
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
