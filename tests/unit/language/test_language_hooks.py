"""Hooks that answer in a class's place (``__getattribute__``, ``__instancecheck__``, ``__prepare__``, ``__getstate__``),
and what decorators set on classes: as Python has them.
"""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "getattribute": """
        class Counted:
            kind = "counted"
            def __init__(self): self.x = 1; self._seen = []
            def __getattribute__(self, name):
                if name == "magic": return 42
                if not name.startswith("_"):
                    self._seen.append(name)
                return super().__getattribute__(name)
            def __getattr__(self, name): return f"no {name}"
            def twice(self): return self.x * 2
        class Child(Counted):
            def __getattribute__(self, name):
                value = object.__getattribute__(self, name)
                return value + "!" if name == "kind" else value
        a, b = Counted(), Child()
        found = [a.x, a.magic, a.missing, a.twice(), a.kind, b.kind, b.twice()]
        return found, a._seen, sorted(vars(a)), a.__dict__["x"], type(a).__name__, isinstance(b, Counted), repr(a)[:9]
    """,
    "proxy": """
        class Proxy:
            def __init__(self, target): object.__setattr__(self, "_target", target)
            def __getattribute__(self, name):
                return getattr(object.__getattribute__(self, "_target"), name)
            def __setattr__(self, name, value):
                setattr(object.__getattribute__(self, "_target"), name, value)
        class Point:
            def __init__(self): self.x = 1
            def move(self): self.x += 1; return self
        point = Point()
        proxy = Proxy(point)
        proxy.x = 5
        return proxy.move().x, point.x, proxy.x, hasattr(proxy, "y")
    """,
    "getattribute_of_a_metaclass": """
        class Meta(type):
            def __getattribute__(cls, name):
                return "meta" if name == "kind" else super().__getattribute__(name)
        class A(metaclass=Meta):
            x = 3
        return A.kind, A.x, A().x, A.__name__
    """,
    "getattribute_that_copies": """
        import copy
        class A:
            def __init__(self): self.x = [1]
            def __getattribute__(self, name): return super().__getattribute__(name)
        first = A()
        second, third = copy.copy(first), copy.deepcopy(first)
        return second.x is first.x, third.x == first.x, third.x is first.x
    """,
    "checks": """
        from abc import ABC
        class Duck(type):
            def __instancecheck__(cls, value): return hasattr(value, "quack")
            def __subclasscheck__(cls, other): return "quack" in dir(other) or super().__subclasscheck__(other)
        class Any(metaclass=Duck): pass
        class Child(Any): pass
        class A: quack = 1
        class Sized(ABC):
            @classmethod
            def __subclasshook__(cls, other):
                return True if hasattr(other, "size") else NotImplemented
        class B: size = 1
        return (isinstance(A(), Any), isinstance(1, Any), issubclass(A, Any), issubclass(Child, Any), issubclass(int, Any),
            issubclass(B, Sized), isinstance(1, Sized), type.__instancecheck__(A, A()), Sized.__subclasshook__(B))
    """,
    "prepare": """
        from collections import OrderedDict
        class Ordered(type):
            @classmethod
            def __prepare__(metacls, name, bases, **options): return OrderedDict(made=name, **options)
            def __new__(metacls, name, bases, names, **options):
                names["order"] = [each for each in names if not each.startswith("_")]
                return super().__new__(metacls, name, bases, dict(names))
            def __init__(cls, name, bases, names, **options): super().__init__(name, bases, names)
        class A(metaclass=Ordered, extra=1):
            b = made + "!"
            a = 2
        class B(A):
            c = extra if False else 3
        class Plain(type):
            @staticmethod
            def __prepare__(name, bases): return {}
        class Both(Ordered):
            @classmethod
            def __prepare__(metacls, name, bases):
                return {**super().__prepare__(name, bases), "more": 1}
        class C(metaclass=Plain): x = 1
        class D(metaclass=Both): y = more + 1
        return A.order, A.b, A.extra, B.order, C.x, D.y, D.made
    """,
    "state": """
        import copy
        class Kept:
            def __init__(self): self.a = 1; self.lock = object()
            def __getstate__(self):
                state = self.__dict__.copy()
                del state["lock"]
                return state
            def __setstate__(self, state): self.__dict__.update(state); self.lock = None
        class Child(Kept):
            def __getstate__(self): return {**super().__getstate__(), "child": True}
            def __setstate__(self, state): super().__setstate__(state)
        class Plain:
            __slots__ = ("x", "y")
            def __init__(self): self.x = 1
            def __getstate__(self): return [super().__getstate__()]
            def __setstate__(self, state): self.x, self.y = state[0][1]["x"], "set"
        one, two, three = copy.copy(Kept()), copy.deepcopy(Child()), copy.copy(Plain())
        return vars(one), vars(two), three.x, three.y, Child().__getstate__(), one.__getstate__()
    """,
    "default_state": """
        class A:
            def __init__(self): self.x = [1]
            def __getstate__(self): return super().__getstate__()
        class B:
            def __getstate__(self): return super().__getstate__()
        state = A().__getstate__()
        return state, B().__getstate__()
    """,
    "methods_set_later": """
        def shown(cls):
            cls.__repr__ = lambda self: f"<{cls.__name__} {vars(self)}>"
            setattr(cls, "__eq__", lambda self, other: vars(self) == vars(other))
            cls.__hash__ = lambda self: 7
            return cls
        def counted(cls):
            first = cls.__init__
            def __init__(self, *args):
                first(self, *args)
                self.counted = True
            cls.__init__ = __init__
            return cls
        @counted
        @shown
        class A:
            def __init__(self, x): self.x = x
        class B:
            def __len__(self): return 1
        del B.__len__
        a = A(1)
        return repr(a), a == A(1), hash(a), a != A(2), hasattr(B(), "__len__")
    """,
    "class_of_a_method": """
        class A:
            def name(self): return __class__.__name__, [__class__ for _ in "a"] == [A]
            def maker(self): return lambda: __class__
        class B(A): pass
        return B().name(), B().maker()() is A
    """,
    "names_of_a_pattern": """
        from dataclasses import dataclass, fields
        @dataclass
        class P: x: int; y: int
        return P.__match_args__, [field.name for field in fields(P)]
    """,
    "of_methods": """
        class A:
            def f(self): return self
        a = A()
        return a.f.__self__ is a, a.f.__func__ is A.f, A.f.__get__(a).__self__ is a
    """,
    "metadata": """
        from typing import Annotated, get_type_hints
        def f(x: Annotated[int, "m", 3]): pass
        return get_type_hints(f, include_extras=True)["x"].__metadata__
    """,
    "weak_method": """
        import weakref
        class A:
            def f(self): return 5
        a, gone = A(), []
        weak = weakref.WeakMethod(a.f, gone.append)
        found = weak()(), isinstance(weak, weakref.WeakMethod), weak == weakref.WeakMethod(a.f)
        del a
        return found, weak() is None, len(gone)
    """,
    "class_of_enumerations": """
        from enum import Enum, EnumMeta, EnumType
        class Colour(Enum): RED = 1
        return isinstance(Colour, EnumMeta), isinstance(int, EnumType), isinstance(Colour.RED, EnumMeta)
    """,
    "members": """
        import inspect
        class A:
            x = 1
            def m(self): pass
            @staticmethod
            def s(): pass
        class B:
            def __setattr__(self, name, value): object.__setattr__(self, name, value)
        return ([name for name, _ in inspect.getmembers(A, inspect.isfunction)],
            [name for name, _ in inspect.getmembers(B, inspect.isfunction)],
            [name for name, _ in inspect.getmembers(A(), inspect.ismethod)])
    """,
    "codec": """
        import codecs
        try: codecs.lookup("nothing")
        except LookupError as error: said = str(error)
        return codecs.lookup("UTF8").name, codecs.lookup("latin1").encode("é"), said
    """,
    "groups": """
        out = []
        def raises(*errors): raise ExceptionGroup("g", errors)
        for errors in ([ValueError("a"), TypeError("b"), ValueError("c")], [KeyError("k")], [ValueError("d")]):
            try:
                try:
                    raises(*errors)
                except* ValueError as group:
                    out.append([str(error) for error in group.exceptions])
                except* TypeError:
                    out.append("type")
                else:
                    out.append("else")
                finally:
                    out.append("finally")
            except ExceptionGroup as rest:
                out.append(repr(rest))
        try:
            raise ValueError("bare")
        except* ValueError as group:
            out.append(repr(group))
        try: x = 1
        except* ValueError: pass
        else: out.append("none")
        return out
    """,
    "groups_of_tasks": """
        import asyncio
        async def fails(n): raise ValueError(n)
        async def main():
            out = []
            try:
                async with asyncio.TaskGroup() as group:
                    for n in range(2): group.create_task(fails(n))
            except* ValueError as errors:
                out += [str(error) for error in errors.exceptions]
            return out
        return asyncio.run(main())
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
