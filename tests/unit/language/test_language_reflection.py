"""getattr, hasattr, setattr, dir, vars, type and the few double-underscore names that people read."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "signatures_of_what_is_made": """
        import functools, inspect, typing
        from contextlib import contextmanager
        from dataclasses import dataclass, field, make_dataclass
        from types import AsyncGeneratorType, CoroutineType, TracebackType
        def counted(f):
            @functools.wraps(f)
            def wrapper(*args, **kwargs): return f(*args, **kwargs)
            return wrapper
        @counted
        def add(a: int, b: int = 2, *rest: str, key: float = 1.5, **more: typing.Any) -> int:
            "Adds."
            return a + b
        @functools.cache
        def square(n: int): return n * n
        @contextmanager
        def held(n: int): yield n
        @dataclass
        class Order:
            id: int
            price: "float" = 0.5
            tags: typing.List[str] = field(default_factory=list)
        Made = make_dataclass("Made", [("a", int), "b"])
        class Block:
            def __enter__(self): return self
            def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: TracebackType | None) -> bool:
                self.seen = kind.__name__, isinstance(trace, TracebackType)
                return True
        with Block() as block:
            raise ValueError("x")
        return (
            [str(inspect.signature(f)) for f in (add, square, held, Order, Order.__init__, Made, Block.__exit__)],
            add.__wrapped__(1), square.__wrapped__(3), hasattr(add, "__wrapped__"), hasattr(counted, "__wrapped__"), getattr(add, "__wrapped__", None)(2), getattr(counted, "__wrapped__", 5), str(inspect.getfullargspec(add)), add.__annotations__, typing.get_type_hints(add),
            Order.__doc__, Order.__init__.__annotations__["id"].__name__, typing.get_type_hints(Order.__init__), block.seen,
        )
    """,
    "what_types_and_classes_document": """
        import abc, dataclasses, typing
        T = typing.TypeVar("T")
        @dataclasses.dataclass
        class Order:
            id: int
            tags: list = dataclasses.field(default_factory=list)
        class Box(typing.Generic[T]):
            def __init__(self, value: T): self.value = value
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
            @abc.abstractmethod
            def name(self): ...
        def built(kind, data):
            if kind.__origin__ is list if hasattr(kind, "__origin__") else False:
                return [built(kind.__args__[0], each) for each in data]
            if hasattr(kind, "__dataclass_fields__"):
                return kind(**{name: data[name] for name in kind.__dataclass_fields__ if name in data})
            return kind(data)
        made = built(typing.List[Order], [{"id": 1}, {"id": 2, "tags": ["x"]}])
        seen = [
            made, typing.Optional[int].__args__[0] is int, dict[str, int].__origin__ is dict, Box.__parameters__ == (T,),
            Box[int](1).__orig_class__.__args__[0] is int, sorted(Shape.__abstractmethods__),
            typing.NewType("Id", int).__supertype__ is int, getattr(list[int], "__args__", None)[0] is int,
            getattr(Order, "__args__", None), Order.__dataclass_fields__["tags"].default_factory is list,
        ]
        return seen, [
            [hasattr(each, name) for each in (Order, Order(1), Box, Shape, int, list[int], Box.__init__)]
            for name in ("__dataclass_fields__", "__dataclass_params__", "__orig_bases__", "__origin__", "__args__",
                         "__abstractmethods__", "__set_name__", "__clause_element__", "__len__", "__weakref__")
        ]
    """,
    "states": """
        import inspect
        from types import AsyncGeneratorType, CoroutineType
        def steps(): yield inspect.getgeneratorstate(it)
        async def ready(): return 1
        async def counting(): yield 1
        it = steps()
        seen = [inspect.getgeneratorstate(it), next(it), inspect.getgeneratorstate(it) == inspect.GEN_SUSPENDED]
        it.close()
        one, many = ready(), counting()
        seen += [inspect.getgeneratorstate(it), inspect.getcoroutinestate(one), isinstance(one, CoroutineType), isinstance(many, AsyncGeneratorType)]
        one.close()
        return seen, inspect.getcoroutinestate(one), inspect.isframe(one), inspect.ismethoddescriptor(str.upper), inspect.iscode(1)
    """,
    "typed_dict_keys": """
        from typing import NotRequired, Required, TypedDict
        class Row(TypedDict):
            name: str
            n: NotRequired[int]
        class Options(TypedDict, total=False):
            a: Required[int]
            b: str
        return sorted(Row.__required_keys__ - {"x": 1}.keys()), Row.__optional_keys__, Row.__total__, Options.__total__, sorted(Options.__required_keys__)
    """,
    "getattr": """
        import math
        class A:
            x = 1
            _y = 2
            def m(self, n=0): return n
        a = A()
        def key(name): return lambda o: getattr(o, name)
        missing = object()
        errors = []
        for target, name in ((a, "nope"), (5, "nope"), ("s", "nope"), (math, "nope"), (None, "x")):
            try:
                getattr(target, name)
            except AttributeError as e:
                errors.append(str(e))
        return (getattr(a, "x"), getattr(a, "_y"), getattr(a, "z", "default"), getattr(a, "z", None), getattr(a, "m")(5), getattr(math, "floor")(2.5), getattr("ab", "upper")(), getattr(a, "z", missing) is missing,
                [getattr(a, n) for n in ("x", "_y")], key("x")(a), getattr("{} {}", "format")(1, 2), getattr(A, "__name__"), getattr(a, "__class__").__name__, getattr(len, "__name__", "anonymous"), getattr(5, "real"), errors)
    """,
    "getattr_of_what_is_not_there": """
        class A: pass
        return getattr(A(), "__nope__", 7), getattr(A, "__json__", None), getattr(len, "__nope__", 8)
    """,
    "hasattr": """
        class A:
            x = 1
            @property
            def bad(self): raise AttributeError("inside")
            @property
            def worse(self): raise ValueError("inside")
            def __iter__(self): return iter(())
        a = A()
        try:
            hasattr(a, "worse")
        except ValueError as e:
            error = str(e)
        return (hasattr(a, "x"), hasattr(a, "y"), hasattr(a, "bad"), hasattr("s", "upper"), hasattr([], "__iter__"), hasattr(5, "__iter__"), hasattr(a, "__len__"), hasattr({}, "keys"), hasattr(len, "__call__"),
                hasattr(a, "__iter__"), hasattr(a, "__dict__"), hasattr(1, "__dict__"), hasattr("", "__getitem__"), hasattr(None, "__class__"), hasattr(a, "__enter__"), error, [hasattr(v, "items") for v in ({}, [])])
    """,
    "setattr_and_delattr": """
        class A:
            def __init__(self, **kw):
                for k, v in kw.items():
                    setattr(self, k, v)
            @property
            def p(self): return self._p
            @p.setter
            def p(self, v): self._p = v * 2
        a = A(x=1, _hidden=2, p=5)
        setattr(A, "method", lambda self: self.x)
        delattr(a, "x")
        setattr(a, "x", 9)
        def f(): pass
        setattr(f, "label", "l")
        errors = []
        for change in (lambda: setattr(5, "x", 1), lambda: delattr(a, "nope"), lambda: setattr([], "x", 1), lambda: setattr(a, 5, 1)):
            try:
                change()
            except (AttributeError, TypeError) as e:
                errors.append(type(e).__name__)
        for name, value in {"one": 1, "two": 2}.items():
            setattr(a, f"n_{name}", value)
        return vars(a), a.method(), a.p, f.label, errors
    """,
    "dir": """
        import math
        class A:
            x = 1
            def __init__(self): self.y = 2
            def m(self): pass
        public = lambda o: [n for n in dir(o) if not n.startswith("_")]
        return public(A()), public(A), "append" in dir([]), "__len__" in dir([]), "floor" in dir(math), public(""), {"__init__", "__class__", "__doc__"} <= set(dir(A()))
    """,
    "vars_live": """
        import json, copy, types
        class A:
            def __init__(self): self.x = 1; self.l = [1]
        a = A(); d = vars(a)
        out = [d is vars(a), a.__dict__ is d]
        a.y = 2
        out.append([d['y'], 'y' in d, len(d), list(d), dict(d), {**d}, json.dumps(d), str(d), d == {'x':1,'l':[1],'y':2}, {'x':1,'l':[1],'y':2} == d, d | {'q': 1}, {'q': 1} | d, d.get('no', 5), (lambda **k: k)(**d), sorted(d), f'{d}', '%(x)s' % d, '{x}'.format_map(d)])
        a.x = 9
        out.append([d['x'], d.pop('y'), hasattr(a, 'y'), d.get('y')])
        c = copy.copy(d); c['x'] = 77; e = copy.deepcopy(d); e['l'].append(5); f = d.copy(); f['x'] = 78
        out.append([a.x, a.l, type(c) is dict, type(e) is dict])
        d.update(x=4, z=5); d |= {'w': 6}; d.setdefault('s', 7); del d['l']
        out.append([a.x, a.z, a.w, a.s, hasattr(a, 'l')])
        n = types.SimpleNamespace(a=1); m = vars(n); n.b = 2; m['c'] = 3
        out.append([m, n.c, m is vars(n)])
        try: del d['nope']
        except KeyError as q: out.append(str(q))
        for k in d:
            if k in d: d[k] = d[k]
        try:
            for k in d: a.new = 1; d[k]
        except RuntimeError as q: out.append(str(q))
        b = A(); vars(b).clear(); out.append([vars(b), hasattr(b, 'x')])
        class E: pass
        e = E(); d = vars(e); was = [len(d), bool(d), list(d), dict(d), d == {}, str(d), json.dumps(d), d.get("z")]
        e.z = 1
        out.append([was, json.dumps(d), d == {"z": 1}])
        del d["z"]
        e.z = 2
        out.append([json.dumps(d), d.popitem(), len(d), json.dumps(d), vars(E()) == vars(e)])
        b.k = 1
        match vars(b):
            case {'k': v}: out.append(v)
        return out
    """,
    "vars": """
        from types import SimpleNamespace
        from dataclasses import dataclass
        class A:
            kind = "class attribute"
            def __init__(self): self.x, self._y = 1, [2]
        @dataclass
        class D:
            a: int
            b: int = 2
        a = A()
        d = vars(a)
        d["z"] = 3
        d.update(w=4)
        vars(a)["_y"].append(5)
        del d["x"]
        a.__dict__["u"] = 6
        a.__dict__.pop("w")
        a.__dict__.setdefault("s", 8)
        seen = {k: v for k, v in vars(a).items()}
        errors = []
        for bad in (5, [], "s"):
            try:
                vars(bad)
            except TypeError as e:
                errors.append(str(e))
        b = A()
        b.__dict__.update(a.__dict__)
        c = A()
        vars(c).clear()
        return (seen, vars(b) == vars(a), dict(vars(D(1))), vars(SimpleNamespace(k=1)), errors, vars(c), "x" in vars(b), len(vars(b)), sorted(vars(b)), {**vars(D(3))}, D(**vars(D(4))), vars(D(1)) == {"a": 1, "b": 2},
                [k for k in vars(A) if not k.startswith("__")], vars(A)["kind"], b.__dict__.copy().pop("u"), list(b.__dict__.items())[0], isinstance(vars(b), dict))
    """,
    "names_of_a_class": """
        def with_repr(cls):
            if "__repr__" not in cls.__dict__:
                cls.__repr__ = lambda self: f"{cls.__name__}({vars(self)})"
            return cls
        def made_anew(cls):
            names = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
            return type(cls.__name__, cls.__bases__, names)
        @with_repr
        @made_anew
        class A:
            "documented"
            n: int = 1
            def __init__(self): self.n = 2
            def __eq__(self, other): return self.n == other.n
            def __setattr__(self, name, value): object.__setattr__(self, name, value + 1)
        @with_repr
        class B(A):
            __slots__ = ("s",)
            def __repr__(self): return "mine"
        def told(cls): return sorted({*vars(cls)} & {"__doc__", "__module__", "__init__", "__repr__", "__eq__", "__setattr__", "__slots__", "__hash__"})
        return (repr(A()), repr(B()), A() == A(), A.__doc__, told(A), told(B), vars(A)["__init__"] is A.__init__, A.__dict__["__hash__"], B.__dict__.get("__eq__"), "__str__" in vars(A), A.__dict__["__module__"])
    """,
    "dict_of_what_has_none": """
        class S:
            __slots__ = ("a",)
        errors = []
        for each in (1, "s", [], object(), S()):
            try:
                each.__dict__
            except AttributeError as e:
                errors.append(str(e))
        return errors, [getattr(each, "__dict__", {}) for each in (1, "s", S())], [hasattr(each, "__dict__") for each in (1, S(), S)]
    """,
    "copies_by_dict": """
        import json, copy
        class P:
            def __init__(self, **kw): self.__dict__.update(kw)
            def __eq__(self, o): return self.__dict__ == o.__dict__
            def __repr__(self): return f"P({self.__dict__})"
            def to_json(self): return json.dumps(self.__dict__, sort_keys=True)
            def clone(self, **changes): return P(**{**self.__dict__, **changes})
        p = P(a=1, b=[2])
        q = copy.copy(p)
        r = copy.deepcopy(p)
        q.c = 3
        r.b.append(4)
        return p, q, r, p == P(a=1, b=[2]), p.to_json(), p.clone(a=9), json.dumps([p, q], default=lambda o: o.__dict__), json.dumps(p, default=vars)
    """,
    "type": """
        class A: pass
        class B(A): pass
        def kind(x):
            if type(x) is bool: return "bool"
            if type(x) in (int, float): return "number"
            if type(x) == str: return "str"
            return type(x).__name__
        table = {int: "int", str: "str", type(None): "none", list: "list"}
        errors = []
        for bad in ((), (1, 2)):
            try:
                type(*bad)
            except TypeError as e:
                errors.append(type(e).__name__)
        b = B()
        new = type(b)()
        return ([kind(x) for x in (True, 1, 1.5, "s", None, b, A, len, kind)], [table[type(x)] for x in (1, "", None, [])], type(b) is B, type(b) is A, isinstance(b, type(A())), type(new) is B, type(type(b)) is type, type(b).__name__,
                type(b).__qualname__, type(b).__module__, type(ValueError()).__name__, errors, isinstance(int, type), isinstance(5, type), issubclass(type(b), A), str(type(1)), repr(type("")), f"{type(b).__name__:>3}", {type(x).__name__ for x in (1, 2)},
                [t.__name__ for t in (int, str, dict, A)], type(b) in {A, B}, type([])("ab"), type({})(a=1))
    """,
    "dunder_names_that_people_read": """
        import json, math
        class A:
            "docs of A"
            def method(self): "docs of method"
            @property
            def p(self): "docs of p"
        def f(x): "docs of f"
        a = A()
        g = lambda: 0
        try:
            raise KeyError("k", 1)
        except KeyError as e:
            error = e.__class__.__name__, type(e).__name__, e.args, e.__class__.__module__, e.__doc__
        return (a.__class__.__name__, a.__class__ is A, A.__name__, A.__qualname__, A.__doc__, A.__module__, f.__name__, f.__doc__, f.__qualname__, f.__module__, g.__name__, a.method.__name__, A.method.__doc__, len.__name__, "x".__class__.__name__,
                [].__len__(), "ab".__contains__("a"), (1).__add__(2), {"k": 1}.__getitem__("k"), [1].__iter__().__next__(), A.p.__doc__, json.__name__, math.__doc__ is not None, error, type(a.__class__()) is A, str.__name__, isinstance(a.__class__, type),
                int.__class__ is type, __name__, object.__init__ is not None, a.__eq__(a), a.__hash__() == hash(a), a.__repr__()[:10], a.__str__()[:10], "%s" % f.__name__, "{}".format(a.__class__.__name__))
    """,
    "name_and_class_by_setting": """
        class A: pass
        def f(): pass
        f.__name__ = f.__qualname__ = "renamed"
        f.__doc__ = "new"
        A.__name__ = "Renamed"
        A.__doc__ = "docs"
        return f.__name__, f.__qualname__, f.__doc__, A.__name__, A.__doc__, type(A()).__name__
    """,
    "operator_module": """
        from operator import attrgetter, itemgetter, methodcaller
        class A:
            def __init__(self, n, inner=None): self.n, self.inner = n, inner
            def up(self, by=1, *, times=1): return (self.n + by) * times
        rows = [A(2, A(5)), A(1, A(7))]
        return (sorted(map(attrgetter("n"), rows)), [attrgetter("inner.n", "n")(r) for r in rows], max(rows, key=attrgetter("inner.n")).n, methodcaller("up", 2, times=3)(rows[0]), list(map(methodcaller("upper"), "ab")), itemgetter(1)("ab"),
                itemgetter("a", "b")({"a": 1, "b": 2}), sorted([{"n": 2}, {"n": 1}], key=itemgetter("n")), itemgetter(slice(1, 3))("abcd"), methodcaller("format", 1)("<{}>"), attrgetter("__class__.__name__")(5))
    """,
    "dynamic_dispatch": """
        class Handler:
            def do_create(self, row): return f"created {row}"
            def do_delete(self, row): return f"deleted {row}"
            def dispatch(self, action, row):
                method = getattr(self, f"do_{action}", None)
                return method(row) if method and callable(method) else f"no {action}"
        h = Handler()
        return [h.dispatch(a, 1) for a in ("create", "delete", "move")], [n[3:] for n in dir(h) if n.startswith("do_")]
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
