"""Classes: every special method that a class body may define works through its operator; inheritance, properties, slots."""

from __future__ import annotations

import re

import pytest

from reptarium.sandbox.language.policy.names import DEFINABLE
from tests.unit.language import test_language_hooks
from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "arithmetic": """
        import operator
        def made(name):
            return lambda self, *others: f"{name}({self.n}, {', '.join(map(str, others))})"
        class N:
            def __init__(self, n): self.n = n
            def __str__(self): return f"N{self.n}"
            __add__, __sub__, __mul__, __matmul__ = made("add"), made("sub"), made("mul"), made("matmul")
            __truediv__, __floordiv__, __mod__, __divmod__ = made("truediv"), made("floordiv"), made("mod"), made("divmod")
            __pow__, __lshift__, __rshift__, __and__ = made("pow"), made("lshift"), made("rshift"), made("and")
            __xor__, __or__ = made("xor"), made("or")
            __radd__, __rsub__, __rmul__, __rmatmul__ = made("radd"), made("rsub"), made("rmul"), made("rmatmul")
            __rtruediv__, __rfloordiv__, __rmod__ = made("rtruediv"), made("rfloordiv"), made("rmod")
            __rdivmod__, __rpow__, __rlshift__ = made("rdivmod"), made("rpow"), made("rlshift")
            __rrshift__, __rand__, __rxor__, __ror__ = made("rrshift"), made("rand"), made("rxor"), made("ror")
        n = N(1)
        return [
            (f(n, 2), f(2, n)) for f in (
                operator.add, operator.sub, operator.mul, operator.matmul, operator.truediv, operator.floordiv, operator.mod,
                divmod, pow, operator.lshift, operator.rshift, operator.and_, operator.xor, operator.or_)
        ], pow(n, 2, 3), n + N(2), n ** 2, 2 ** n, n @ 3, sum([N(1)], start=N(2))
    """,
    "in_place": """
        def made(name):
            def method(self, other):
                self.log.append((name, other))
                return self
            return method
        class N:
            def __init__(self): self.log = []
            __iadd__, __isub__, __imul__, __imatmul__ = made("iadd"), made("isub"), made("imul"), made("imatmul")
            __itruediv__, __ifloordiv__, __imod__, __ipow__ = made("itruediv"), made("ifloordiv"), made("imod"), made("ipow")
            __ilshift__, __irshift__, __iand__ = made("ilshift"), made("irshift"), made("iand")
            __ixor__, __ior__ = made("ixor"), made("ior")
        n = first = N()
        d = {"n": n}
        n += 1; n -= 2; n *= 3; n @= 4; n /= 5; n //= 6; n %= 7; n **= 8; n <<= 9; n >>= 10; n &= 11; n ^= 12; n |= 13
        d["n"] += 14
        return n.log, n is first, d["n"] is first
    """,
    "numbers": """
        import math, operator
        class N:
            def __neg__(self): return "neg"
            def __pos__(self): return "pos"
            def __abs__(self): return "abs"
            def __invert__(self): return "invert"
            def __int__(self): return 5
            def __float__(self): return 2.5
            def __complex__(self): return 1 + 2j
            def __index__(self): return 2
            def __round__(self, digits=None): return ("round", digits)
            def __trunc__(self): return "trunc"
            def __floor__(self): return "floor"
            def __ceil__(self): return "ceil"
            def __bool__(self): return False
        n = N()
        return (-n, +n, abs(n), ~n, int(n), float(n), complex(n), "abc"[n], [0] * n, range(n), hex(n), round(n), round(n, 1),
                math.trunc(n), math.floor(n), math.ceil(n), bool(n), not n, n or "else", operator.index(n), f"{int(n):03}")
    """,
    "comparison": """
        import functools
        class V:
            def __init__(self, *v): self.v = v
            def __lt__(self, o): return self.v < o.v
            def __le__(self, o): return self.v <= o.v
            def __gt__(self, o): return self.v > o.v
            def __ge__(self, o): return self.v >= o.v
            def __eq__(self, o): return isinstance(o, V) and self.v == o.v
            def __ne__(self, o): return not self == o
            def __hash__(self): return hash(self.v)
            def __repr__(self): return "V" + repr(self.v)
        @functools.total_ordering
        class T:
            def __init__(self, n): self.n = n
            def __eq__(self, o): return self.n == o.n
            def __lt__(self, o): return self.n < o.n
        class Unhashable:
            def __eq__(self, o): return True
        a, b = V(1, 2), V(1, 3)
        try:
            hash(Unhashable())
        except TypeError as e:
            error = str(e)
        try:
            V(1) < 5
        except AttributeError as e:
            error2 = str(e)
        return (a < b, a <= b, a > b, a >= b, a == b, a != b, a == V(1, 2), sorted([b, a]), max(a, b), len({a, V(1, 2), b}),
                {a: "x"}[V(1, 2)], T(1) >= T(1), T(2) > T(1), a == 5, a in [V(1, 2)], error, error2)
    """,
    "text": """
        import copy
        class P:
            def __init__(self, x): self.x = x
            def __repr__(self): return f"P({self.x!r})"
            def __str__(self): return f"<{self.x}>"
            def __bytes__(self): return b"bytes"
            def __format__(self, spec): return f"formatted {spec!r}"
            def __doc__(self): return "a method"
        class OnlyRepr:
            def __repr__(self): return "only repr"
        p = P("a")
        return (repr(p), str(p), bytes(p), format(p, "x"), f"{p} {p!r} {p!s} {p:>10} {p!s:>5}", "%s %r" % (p, p), "{} {:y}".format(p, p),
                str(OnlyRepr()), f"{OnlyRepr()}", [p], {"k": OnlyRepr()})
    """,
    "containers": """
        class Box:
            def __init__(self, *items): self.items = list(items)
            def __len__(self): return len(self.items)
            def __getitem__(self, key):
                if isinstance(key, slice):
                    return Box(*self.items[key])
                return self.items[key] if not isinstance(key, tuple) else [self.items[k] for k in key]
            def __setitem__(self, key, value): self.items[key] = value
            def __delitem__(self, key): del self.items[key]
            def __iter__(self): return iter(self.items)
            def __reversed__(self): return iter(self.items[::-1])
            def __contains__(self, x): return x in self.items or x == "anything"
            def __length_hint__(self): return 3
            def __call__(self, *a, **k): return len(self.items), a, k
        class Old:
            def __getitem__(self, i):
                if i > 3: raise IndexError(i)
                return i * i
        class Default(dict):
            def __missing__(self, key):
                self[key] = key * 2
                return self[key]
        b = Box(1, 2, 3)
        b[0] = 10
        b[1] += 5
        del b[2]
        empty = Box()
        d = Default()
        return (len(b), b[0], b[-1], b[0:1].items, b[0, 1], list(b), list(reversed(b)), 10 in b, "anything" in b, 99 not in b, bool(empty),
                [*b], max(b), sum(b), list(Old()), 4 in Old(), d["x"], d, d.get("y"), b(1, k=2), sorted(b, reverse=True))
    """,
    "iterators": """
        class Countdown:
            def __init__(self, n): self.n = n
            def __iter__(self): return self
            def __next__(self):
                if self.n <= 0:
                    raise StopIteration
                self.n -= 1
                return self.n
        class Tree:
            def __init__(self, value, *children): self.value, self.children = value, children
            def __iter__(self):
                yield self.value
                for child in self.children:
                    yield from child
        c = Countdown(3)
        a, *rest = Countdown(4)
        return list(c), next(c, "end"), a, rest, [x for x in Countdown(2)], list(Tree(1, Tree(2, Tree(3)), Tree(4))), dict(zip("ab", Countdown(2)))
    """,
    "context_manager": """
        log = []
        class C:
            def __init__(self, swallow): self.swallow = swallow
            def __enter__(self):
                log.append("enter")
                return self
            def __exit__(self, kind, error, trace):
                log.append((kind.__name__ if kind else None, str(error), trace is None))
                return self.swallow
        with C(False) as c:
            log.append("inside")
        with C(True):
            raise ValueError("swallowed")
        try:
            with C(False):
                raise KeyError("through")
        except KeyError as e:
            log.append(e.args)
        return log
    """,
    "attributes": """
        class Lazy:
            kinds = ["a"]
            def __init__(self): self.known = 1
            def __getattr__(self, name):
                if name.startswith("no"):
                    raise AttributeError(f"no {name} here")
                return f"made {name}"
            def __setattr__(self, name, value):
                super().__setattr__(name, value * 2)
            def __delattr__(self, name):
                super().__delattr__(name)
            def __dir__(self): return ["z", "known"]
        class Record:
            def __init__(self, **values):
                self.__dict__.update(values)
            def __setattr__(self, name, value):
                if name not in self.__dict__:
                    raise AttributeError(f"unknown {name}")
                self.__dict__[name] = value
            def __eq__(self, o): return self.__dict__ == o.__dict__
            def __repr__(self): return f"Record({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"
        class Frozen:
            __slots__ = ("x",)
            def __init__(self, x): object.__setattr__(self, "x", x)
            def __setattr__(self, name, value): raise AttributeError(f"cannot set {name}")
        o = Lazy()
        o.known = 5
        seen = o.known, o.other, hasattr(o, "nothing"), hasattr(o, "thing"), getattr(o, "nope", "default")
        del o.known
        r = Record(a=1, b=2)
        r.a = 3
        errors = []
        for change in (lambda: setattr(r, "c", 1), lambda: setattr(Frozen(1), "x", 2), lambda: o.no_such, lambda: delattr(r, "zz")):
            try:
                change()
            except AttributeError as e:
                errors.append(str(e))
        return seen, o.known, dir(o), r, r == Record(a=3, b=2), errors, Frozen(7).x
    """,
    "dot_dicts": """
        class Dot(dict):
            __getattr__ = dict.get
            __setattr__ = dict.__setitem__
            __delattr__ = dict.__delitem__
        class Strict(dict):
            __getattr__ = dict.__getitem__
        class Deep(dict):
            def __getattr__(self, name):
                try:
                    value = self[name]
                except KeyError:
                    raise AttributeError(name) from None
                return Deep(value) if isinstance(value, dict) else value
            def __setattr__(self, name, value): self[name] = value
        class Static:
            __getattr__ = staticmethod(lambda name: name.upper())
        class Names:
            def __call__(self, name): return name * 2
        class ByObject:
            __getattr__ = Names()
        class ByLambda:
            __getattr__ = lambda self, name: (type(self).__name__, name)
        d = Dot(a=1, b=2)
        d.c = 3
        del d.a
        try:
            Strict().nope
        except KeyError as e:
            error = e.args
        e = Deep(json={"user": {"name": "Ada"}})
        e.n = 5
        return d, d.b, d.nope, Strict(a=1).a, error, e.json.user.name, e, hasattr(e, "nope"), Static().abc, ByObject().ab, ByLambda().x
    """,
    "wrapper_by_getattr": """
        class Wrapper:
            def __init__(self, inner):
                self._inner = inner
            def __getattr__(self, name):
                value = getattr(self._inner, name)
                if callable(value):
                    return lambda *a, **k: ("wrapped", value(*a, **k))
                return value
        w = Wrapper([3, 1])
        w.append(2)
        return w.count(1), w._inner, w.index(2)
    """,
    "descriptors": """
        class Positive:
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, instance, owner=None):
                if instance is None:
                    return self
                return getattr(instance, self.name, 0)
            def __set__(self, instance, value):
                if value < 0:
                    raise ValueError(f"{self.name[1:]} must not be negative")
                setattr(instance, self.name, value)
            def __delete__(self, instance): delattr(instance, self.name)
        class Item:
            price = Positive()
            count = Positive()
        i = Item()
        i.price = 3
        i.count += 2
        try:
            i.price = -1
        except ValueError as e:
            error = str(e)
        del i.count
        return i.price, i.count, error, vars(i), isinstance(Item.price, Positive)
    """,
    "construction": """
        class Single:
            _one = None
            def __new__(cls, *a, **k):
                if cls._one is None:
                    cls._one = super().__new__(cls)
                return cls._one
            def __init__(self, v): self.v = v
        class Point(tuple):
            def __new__(cls, x, y): return super().__new__(cls, (x, y))
            @property
            def x(self): return self[0]
        class Celsius(float):
            def __new__(cls, v): return super().__new__(cls, round(v, 1))
            def __repr__(self): return f"{float(self)} C"
        class Cached:
            made = {}
            def __new__(cls, key):
                return cls.made.setdefault(key, object.__new__(cls))
        return Single(1) is Single(2), Single(3).v, Point(1, 2).x, Point(1, 2) == (1, 2), Celsius(21.456), Cached("a") is Cached("a"), Celsius(1) + 1
    """,
    "subclass_hooks": """
        class Plugin:
            registry = {}
            def __init_subclass__(cls, /, name=None, **kw):
                super().__init_subclass__(**kw)
                Plugin.registry[name or cls.__name__.lower()] = cls
            def __class_getitem__(cls, item):
                return f"{cls.__name__}[{item}]"
        class Csv(Plugin): pass
        class Json(Plugin, name="json5"): pass
        return sorted(Plugin.registry), Plugin.registry["csv"] is Csv, Csv[int.__name__]
    """,
    "copying": """
        import copy
        log = []
        class A:
            def __init__(self, x): self.x = x
            def __copy__(self):
                log.append("copy")
                return A(self.x)
            def __deepcopy__(self, memo):
                log.append("deepcopy")
                return A(copy.deepcopy(self.x, memo))
        class Plain:
            def __init__(self): self.l = [1]
        a = A([1])
        b, c = copy.copy(a), copy.deepcopy(a)
        p = Plain()
        q, r = copy.copy(p), copy.deepcopy(p)
        p.l.append(2)
        return b.x is a.x, c.x is a.x, c.x, log, q.l, r.l
    """,
    "paths_and_hints": """
        import os.path
        class P:
            def __fspath__(self): return "/a/b.txt"
        return os.path.basename(P()), os.path.splitext(P())
    """,
    "inheritance": """
        log = []
        class Base:
            kind = "base"
            def __init__(self, *args, **kw):
                log.append(("Base", args, kw))
            def who(self): return f"{self.kind} {self.__class__.__name__}"
            def template(self): return self.step() + 1
            def step(self): raise NotImplementedError
        class Left(Base):
            kind = "left"
            def __init__(self, *a, left=0, **k):
                log.append("Left")
                super().__init__(*a, **k)
            def who(self): return "L" + super().who()
        class Right(Base):
            kind = "right"
            def __init__(self, *a, right=0, **k):
                log.append("Right")
                super().__init__(*a, **k)
            def who(self): return "R" + super().who()
        class Both(Left, Right):
            def __init__(self):
                super().__init__(1, left=2, right=3, rest=4)
            def who(self): return "B" + super(Both, self).who()
            def step(self): return 41
        class Explicit(Base):
            def __init__(self):
                Base.__init__(self, "explicit")
        b = Both(); Explicit()
        try:
            Base().template()
        except NotImplementedError as e:
            error = type(e).__name__
        return (b.who(), b.kind, b.template(), log, error, isinstance(b, Right), issubclass(Both, Left), issubclass(Left, (int, Base)),
                issubclass(Left, Right), [c.__name__ for c in Both.mro()])
    """,
    "builtin_bases": """
        class Rows(list):
            def total(self): return sum(self)
        class Names(dict):
            def __setitem__(self, key, value): super().__setitem__(key.lower(), value)
            def __getitem__(self, key): return super().__getitem__(key.lower())
        class Loud(str):
            def shout(self): return self.upper() + "!"
        class Odd(int):
            def __add__(self, other): return Odd(super().__add__(other))
            def half(self): return self // 2
        class Tags(set): pass
        class Err(ValueError):
            def __init__(self, code):
                super().__init__(f"code {code}")
                self.code = code
        n = Names()
        n["Ada"] = 1
        r = Rows([1, 2])
        r.append(3)
        return r.total(), n["ADA"], dict(n), Loud("hi").shout(), (Odd(4) + 1).half(), type(Odd(1) + 1) is Odd, sorted(Tags("ab") | {"c"}), str(Err(5)), Err(5).code
    """,
    "properties_and_methods": """
        class Account:
            _rate = 2
            def __init__(self, owner, balance=0):
                self.owner, self._balance = owner, balance
            @property
            def balance(self):
                "what is there"
                return self._balance
            @balance.setter
            def balance(self, value):
                if value < 0: raise ValueError("no debts")
                self._balance = value
            @balance.deleter
            def balance(self): self._balance = 0
            @classmethod
            def parse(cls, text): return cls(*text.split(":")[:1], balance=int(text.split(":")[1]))
            @staticmethod
            def valid(text): return ":" in text
            @property
            def doubled(self): return self.balance * self._rate
            old = property(lambda self: "old", doc="documented")
        class Saving(Account):
            @property
            def balance(self): return super().balance + 1
            @classmethod
            def parse(cls, text): return super().parse(text)
        a = Account.parse("Ada:5")
        a.balance += 10
        before = a.balance, a.doubled
        try:
            a.balance = -1
        except ValueError as e:
            error = str(e)
        try:
            a.doubled = 3
        except AttributeError as e:
            read_only = type(e).__name__
        del a.balance
        s = Saving.parse("Bob:1")
        return before, error, read_only, a.balance, Account.valid("x"), a.valid("x:"), a.old, Account.balance.__doc__, type(s).__name__, s.balance
    """,
    "slots": """
        class P:
            __slots__ = ("x", "y")
            def __init__(self, x, y): self.x, self.y = x, y
        class Q(P):
            __slots__ = "z",
        class R:
            __slots__ = {"a": "documented", "_b": None}
        class S:
            __slots__ = ["c"]
        class T:
            __slots__ = ()
        q = Q(1, 2)
        q.z = 3
        errors = []
        for o in (q, T()):
            try:
                o.w = 1
            except AttributeError as e:
                errors.append(type(e).__name__)
        r = R()
        r.a = r._b = 4
        return q.x + q.y + q.z, errors, r.a, hasattr(q, "__dict__"), hasattr(S(), "c"), Q.__slots__
    """,
    "nested_and_local_classes": """
        class Outer:
            class Inner:
                value = 1
                def make(self): return Outer.Other()
            class Other(Inner): pass
            table = {Inner.value: Inner}
        def factory(n):
            class Made:
                number = n
                def times(self, k): return self.number * k * n
            return Made
        A, B = factory(2), factory(3)
        return Outer.Inner().make().value, Outer.table[1] is Outer.Inner, A().times(1), B().times(2), A is B
    """,
    "class_body_statements": """
        flag = True
        class A:
            '''documented'''
            if flag:
                x = 1
            else:
                x = 2
            for i in range(3):
                last = i
            squares = [i * i for i in range(3)]
            try:
                {}["k"]
            except KeyError:
                caught = "KeyError"
            with __import__("contextlib").nullcontext(5) as five: pass
            def f(self): return self.x
            alias = f
            print = "mine"
            del i
            lambda_ = lambda self: self.last
            match x:
                case 1: matched = "one"
            global made_global
            made_global = "g"
        return A.__doc__, A.x, A.last, A.squares, A.caught, A.five, A().alias(), A.print, A().lambda_(), hasattr(A, "i"), A.matched, made_global, A.__name__
    """,
    "class_decorators": """
        def add(**extra):
            def decorate(cls):
                for name, value in extra.items():
                    setattr(cls, name, value)
                return cls
            return decorate
        def singleton(cls):
            made = {}
            def get(*a):
                if cls not in made:
                    made[cls] = cls(*a)
                return made[cls]
            return get
        @add(a=1, f=lambda self: self.a + 1)
        class A: pass
        @singleton
        class B:
            def __init__(self, n): self.n = n
        return A().f(), B(1) is B(2), B(3).n
    """,
    "duck_typing": """
        class Duck:
            def speak(self): return "quack"
        class Robot:
            speak = staticmethod(lambda: "beep")
        class Chain:
            def __init__(self): self.ops = []
            def add(self, x): self.ops.append(x); return self
            def times(self, x): self.ops = [o * x for o in self.ops]; return self
        def speak(x):
            try:
                return x.speak()
            except AttributeError as e:
                return str(e)
        return speak(Duck()), speak(Robot()), speak(5), Chain().add(1).add(2).times(3).ops
    """,
    "bound_and_unbound_methods": """
        class A:
            def f(self, x=1): return x
            @classmethod
            def g(cls): return cls.__name__
        a = A()
        f = a.f
        monkey = A()
        monkey.f = lambda x: "instance"
        A.h = lambda self: "added"
        return f(2), A.f(a, 3), [m(5) for m in (a.f, monkey.f)], A.g(), a.g(), a.h(), list(map(A.f, [a, a])), f == a.f, str.join("-", "ab"), sorted(["b", "A"], key=str.lower)
    """,
    "replaceable": """
        import copy
        class P:
            def __init__(self, x): self.x = x
            def __replace__(self, /, **changes): return P(**{"x": self.x, **changes})
        return P(1).__replace__(x=2).x
    """,
    "changed_after_a_late_import": """
        from string import Template
        from enum import Enum
        class A:
            n = 0
            x: int = 1
        class Percent(Template):
            delimiter = "%"
        class E(Enum):
            X = 1
        def late():
            import plistlib
            A.n += 1
        import graphlib
        A.n += 1
        A.method = lambda self: self.n
        late()
        from fnmatch import fnmatch
        from dataclasses import dataclass
        A = dataclass(A)
        Percent.flags = 0
        E.helper = staticmethod(lambda: "helped")
        del A.n
        return A(), hasattr(A, "n"), A(2).x, Percent("%a").substitute(a=1), E.helper()
    """,
    "asynchronous": """
        import asyncio
        class Ready:
            def __await__(self):
                yield from ()
                return 7
        class Steps:
            def __init__(self): self.n = 0
            def __aiter__(self): return self
            async def __anext__(self):
                self.n += 1
                if self.n > 3: raise StopAsyncIteration
                return self.n
        class Held:
            async def __aenter__(self): return "held"
            async def __aexit__(self, *args): return True
        async def main():
            async with Held() as held:
                raise ValueError("swallowed")
            return held, await Ready(), [n async for n in Steps()], await anext(Steps()), aiter(Steps()).n
        return asyncio.run(main())
    """,
    "of_libraries": """
        class Row:
            __tablename__, __table_args__, __mapper_args__, __abstract__ = "rows", (), {}, False
            def __html__(self): return "<b>row</b>"
        from enum import Enum
        class Kind(Enum):
            __order__ = "B A"
            B = 2
            A = 1
        return Row.__tablename__, Row.__table_args__, Row.__mapper_args__, Row.__abstract__, Row().__html__(), [kind.name for kind in Kind]
    """,
    "of_encoders_and_terminals": """
        class Point:
            __version__, __author__ = "1", "me"
            def __json__(self): return {"x": 1}
            def __rich__(self): return "[b]point"
            def __rich_repr__(self): yield "x", 1
        p = Point()
        return p.__json__(), p.__rich__(), list(p.__rich_repr__()), Point.__version__, getattr(p, "__author__")
    """,
    "of_python_2": """
        class Old:
            def __unicode__(self): return "old"
            def __nonzero__(self): return False
            def __cmp__(self, other): return 0
            def __coerce__(self, other): return None
            def __long__(self): return 1
            def __oct__(self): return "01"
            def __hex__(self): return "0x1"
            def __div__(self, other): return 2
            __rdiv__, __idiv__ = __div__, __div__
            def __getslice__(self, i, j): return [i, j]
            def __setslice__(self, i, j, value): pass
            def __delslice__(self, i, j): pass
        o = Old()
        return bool(o), o.__unicode__(), o.__div__(1), o.__getslice__(0, 1), o == 1
    """,
    "ends": """
        import sys
        log = []
        class File:
            def __init__(self, name): self.name = name
            def __del__(self): log.append(f"closed {self.name}")
            def __sizeof__(self): return 1000
        file = File("a")
        del file
        def used(): File("b")
        used()
        other = File("c")
        return log, other.__sizeof__(), sys.getsizeof(other) >= 1000, hasattr(File, "name")
    """,
    "bases": """
        import inspect
        class Shape:
            def who(self): return ["Shape"]
            @classmethod
            def kinds(cls): return sorted(each.__name__ for each in cls.__subclasses__())
        class Square(Shape):
            def who(self): return ["Square", *super().who()]
        class Round(Shape):
            def who(self): return ["Round", *super().who()]
        class Both(Square, Round): pass
        class Row(dict): pass
        names = lambda classes: [each.__name__ for each in classes]
        return (
            Shape.kinds(), Both().who(), names(Both.__mro__), names(type(Both()).__bases__), Both.__base__.__name__,
            names(inspect.getmro(Both)), names(Row.__mro__), Row.__base__ is dict, names(Row.__bases__), Round.__subclasses__() == [Both],
        )
    """,
    "descriptors_by_hand": """
        import functools
        class Counted:
            def __init__(self, f):
                self.f, self.calls = f, 0
                functools.update_wrapper(self, f)
            def __get__(self, obj, cls=None):
                self.calls += 1
                return self if obj is None else self.f.__get__(obj, cls)
        class Positive:
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, obj, cls=None): return self if obj is None else getattr(obj, self.name, 0)
            def __set__(self, obj, value):
                if value < 0: raise ValueError(f"{self.name[1:]} must not be negative")
                setattr(obj, self.name, value)
        class Cart:
            total = Positive()
            @Counted
            def add(self, n):
                self.total += n
                return self.total
        cart = Cart()
        cart.add(2)
        try: cart.total = -1
        except ValueError as error: said = str(error)
        return cart.add(3), Cart.add.calls, Cart.add.__name__, said, Cart.total.__get__(cart), (lambda self: self.total).__get__(cart)()
    """,
    "asynchronous_by_hand": """
        import asyncio
        class Loaded:
            def __init__(self, n): self.n = n
            def __await__(self): return self._load().__await__()
            async def _load(self): return self.n
            async def __aenter__(self): return self
            async def __aexit__(self, *error): return False
        class Outer:
            def __init__(self, inner): self.inner = inner
            async def __aenter__(self): return await self.inner.__aenter__()
            async def __aexit__(self, *error): return await self.inner.__aexit__(*error)
            def __aiter__(self): return self._steps().__aiter__()
            async def _steps(self):
                for n in range(3): yield n
        async def main():
            async with Outer(Loaded(4)) as inner:
                steps = Outer(inner).__aiter__()
                return await inner, await steps.__anext__(), [n async for n in steps]
        return asyncio.run(main())
    """,
    "match_args": """
        class P:
            __match_args__ = ("x", "y")
            def __init__(self, x, y): self.x, self.y = x, y
        match P(1, 2):
            case P(a, 2): return a
    """,
}

#: Hooks of pydantic's, of attrs', of numpy's and of dataclasses: tested there.
_ELSEWHERE = {name for name in DEFINABLE if "pydantic" in name or "attrs" in name or "array" in name} | {
    "__post_init__"
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


def test_every_definable_name_is_defined_by_a_program() -> None:
    """What the policy lets a class body define is defined, and used, by one of these programs."""
    programs = "\n".join((*PROGRAMS.values(), *test_language_hooks.PROGRAMS.values()))
    defined = set(re.findall(r"(?:def |^ *|, )(__[a-z_]+__)(?=\(| =|, __)", programs, re.MULTILINE))
    assert set(DEFINABLE) - _ELSEWHERE - defined == set()
