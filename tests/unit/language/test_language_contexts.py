"""Context managers: with in every form, and what contextlib offers."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "with_forms": """
        log = []
        class C:
            def __init__(self, name, value=None): self.name, self.value = name, value
            def __enter__(self):
                log.append(f"+{self.name}")
                return self.value
            def __exit__(self, *details):
                log.append(f"-{self.name}")
        with C("a"): pass
        with C("b", 1) as b, C("c", (2, [3, 4])) as (c, [d, *e]): log.append("body")
        with (C("d") as none, C("e", {"k": 5}) as target,): pass
        class O: pass
        o, l = O(), [0]
        with C("f", 6) as o.attribute, C("g", 7) as l[0]: pass
        def early():
            for i in range(3):
                with C(f"loop{i}"):
                    if i == 1:
                        return "returned"
        early()
        for i in range(2):
            with C("continue"):
                continue
        return log, b, c, d, e, none, target, o.attribute, l
    """,
    "order_and_errors": """
        log = []
        class C:
            def __init__(self, name, swallow=False, fail=None): self.name, self.swallow, self.fail = name, swallow, fail
            def __enter__(self):
                if self.fail == "enter": raise ValueError("enter")
                return self
            def __exit__(self, kind, error, trace):
                log.append((self.name, kind and kind.__name__))
                if self.fail == "exit": raise KeyError("exit")
                return self.swallow
        with C("outer", swallow=True), C("inner"):
            1 / 0
        try:
            with C("a"), C("b", fail="enter"):
                log.append("never")
        except ValueError as e:
            log.append(str(e))
        with C("c", swallow=True):
            with C("d", fail="exit"):
                pass
        for bad in (5, object()):
            try:
                with bad: pass
            except TypeError as e:
                log.append(str(e))
        return log
    """,
    "contextmanager": """
        from contextlib import contextmanager
        log = []
        @contextmanager
        def section(name, *, swallow=()):
            log.append(f"begin {name}")
            try:
                yield name.upper()
            except swallow as e:
                log.append(f"swallowed {e}")
            else:
                log.append(f"fine {name}")
            finally:
                log.append(f"end {name}")
        with section("a") as a:
            log.append(a)
        with section("b", swallow=ValueError):
            raise ValueError("bad")
        try:
            with section("c"):
                raise KeyError("through")
        except KeyError:
            log.append("outside")
        @section("decorated")
        def f(): return "result"
        @contextmanager
        def never():
            if False: yield
        @contextmanager
        def twice():
            yield 1
            yield 2
        for broken in (never, twice):
            try:
                with broken(): pass
            except RuntimeError as e:
                log.append(str(e))
        return f(), log, section.__name__
    """,
    "contextlib": """
        from contextlib import suppress, closing, nullcontext, ExitStack, ContextDecorator, AbstractContextManager, contextmanager
        log = []
        class Resource:
            def close(self): log.append("closed")
        class Timer(ContextDecorator):
            def __enter__(self):
                log.append("start")
                return self
            def __exit__(self, *details):
                log.append("stop")
                return False
        class Abstract(AbstractContextManager):
            def __exit__(self, *details): log.append("abstract exit")
        with suppress(KeyError, IndexError):
            {}["missing"]
        with closing(Resource()) as r:
            log.append(type(r).__name__)
        @Timer()
        def timed(x): return x + 1
        with nullcontext(5) as five, Abstract() as a:
            pass
        @contextmanager
        def step(n):
            log.append(f"in {n}")
            yield n
            log.append(f"out {n}")
        with ExitStack() as stack:
            values = [stack.enter_context(step(i)) for i in range(2)]
            stack.callback(log.append, "callback")
            stack.push(lambda kind, error, trace: log.append(kind and kind.__name__))
            kept = stack.pop_all()
        log.append("after")
        kept.close()
        with ExitStack() as stack:
            stack.push(lambda *details: True)
            raise ValueError
        return timed(1), five, values, log
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
