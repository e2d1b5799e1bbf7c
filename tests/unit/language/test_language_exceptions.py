"""Exceptions: try in every form, own classes, raise … from, what can be read off an exception."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same, execute

PROGRAMS = {
    "try_forms": """
        log = []
        def run(f):
            try:
                f()
            except ZeroDivisionError:
                log.append("zero")
            except (KeyError, IndexError) as e:
                log.append(type(e).__name__)
            except Exception as e:
                log.append(f"other {e}")
            else:
                log.append("else")
            finally:
                log.append("finally")
        def fail(): raise RuntimeError("boom")
        for f in (lambda: 1 / 0, lambda: {}[1], lambda: [][1], lambda: 1, fail, lambda: int("x"), lambda: None.x):
            run(f)
        try:
            log.append("only finally")
        finally:
            log.append("done")
        try:
            try:
                raise ValueError("first")
            finally:
                raise KeyError("second")
        except KeyError as e:
            log.append(e.args)
        kinds = (ValueError, TypeError)
        try:
            int("x")
        except kinds:
            log.append("computed classes")
        try:
            raise SystemExit
        except BaseException as e:
            log.append(type(e).__name__)
        try:
            1 / 0
        except:
            log.append("bare")
        return log
    """,
    "raising": """
        log = []
        for what in (ValueError, ValueError("x", 1), KeyError("k"), StopIteration(3), OSError(2, "text"), UnicodeDecodeError("utf8", b"a", 0, 1, "why")):
            try:
                raise what
            except Exception as e:
                log.append((type(e).__name__, str(e), e.args))
        for what in (5, "text", None):
            try:
                raise what
            except TypeError as e:
                log.append(str(e))
        try:
            raise
        except RuntimeError as e:
            log.append(str(e))
        def again():
            try:
                int("no")
            except ValueError as e:
                log.append("logged")
                raise
        try:
            again()
        except ValueError as e:
            log.append(str(e))
        return log
    """,
    "raise_from": """
        import traceback
        class Failed(Exception): pass
        log = []
        def chained(cause):
            try:
                try:
                    {}["k"]
                except KeyError as e:
                    raise Failed("outer") from (e if cause else None)
            except Failed:
                return traceback.format_exc()
        def implicit():
            try:
                try:
                    1 / 0
                except ZeroDivisionError:
                    raise Failed("while handling")
            except Failed as e:
                return "".join(traceback.format_exception(e))
        return chained(True), chained(False), implicit()
    """,
    "own_classes": """
        class AppError(Exception):
            "the base"
            code = 500
            def __init__(self, message, *, hint=None, **context):
                super().__init__(message)
                self.hint, self.context = hint, context
            def __str__(self):
                return f"[{self.code}] {super().__str__()}" + (f" ({self.hint})" if self.hint else "")
            def to_dict(self): return {"type": self.__class__.__name__, "code": self.code, "message": self.args[0], **self.context}
        class NotFound(AppError, LookupError):
            code = 404
        class Bare(Exception): pass
        class WithData(Exception):
            def __init__(self, a, b): self.a, self.b = a, b
        log = []
        try:
            raise NotFound("no row", hint="check the id", row=5)
        except LookupError as e:
            log += [str(e), repr(e), e.to_dict(), e.hint, isinstance(e, AppError), e.args]
        try:
            raise Bare
        except Bare as e:
            log += [str(e), repr(e), e.args]
        try:
            raise WithData(1, b=2)
        except WithData as e:
            log += [e.a, e.b, e.args]
        return log, issubclass(NotFound, AppError), AppError.__doc__
    """,
    "what_can_be_read": """
        import json
        log = []
        class E(Exception): pass
        for f in (lambda: json.loads("{"), lambda: int("x"), lambda: b"\\xff".decode(), lambda: [].pop(), lambda: {}["k"], lambda: undefined,
                  lambda: (1).nope, lambda: "a" + 1, lambda: next(iter(())), lambda: len(5), lambda: int("1" * 5000)):
            try:
                f()
            except Exception as e:
                log.append((type(e).__name__, e.__class__.__name__, str(e), e.args, type(e).__qualname__, isinstance(e, ValueError)))
        try:
            json.loads('{"a": }')
        except json.JSONDecodeError as e:
            log.append((e.msg, e.pos, e.lineno, e.colno, e.doc))
        try:
            b"\\xff".decode()
        except UnicodeDecodeError as e:
            log.append((e.reason, e.start, e.end, e.encoding))
        try:
            next(iter([]))
        except StopIteration as e:
            log.append(e.value)
        try:
            raise OSError(5, "text", "file")
        except OSError as e:
            log.append((e.errno, e.strerror, e.filename))
        try:
            {}["missing"]
        except KeyError as e:
            log.append((str(e), e.args[0]))
        try:
            raise E("a") from None
        except E as e:
            e.add_note("more")
            log.append(e.__notes__)
        return log
    """,
    "notes_and_groups": """
        e = ValueError("bad")
        e.add_note("row 5")
        e.add_note("see the log")
        g = ExceptionGroup("several", [ValueError("a"), TypeError("b")])
        try:
            raise g
        except ExceptionGroup as caught:
            matched, rest = caught.split(ValueError)
            return e.__notes__, caught.message, [str(x) for x in caught.exceptions], matched.exceptions[0].args, rest.exceptions[0].args, str(caught)
    """,
    "continue_after_errors": """
        good, bad = [], []
        for i, row in enumerate([{"n": "1"}, {"n": "x"}, {}, {"n": None}, {"n": "4"}]):
            try:
                good.append(int(row["n"]))
            except (KeyError, ValueError, TypeError) as error:
                bad.append({"row": i, "error": f"{type(error).__name__}: {error}"})
                continue
        def retry(f, times=3):
            for attempt in range(1, times + 1):
                try:
                    return f(attempt)
                except ValueError:
                    if attempt == times:
                        raise
        def third(n):
            if n < 3: raise ValueError(n)
            return "third time"
        try:
            retry(lambda n: int("x"))
        except ValueError as e:
            last = str(e)
        return good, bad, retry(third), last
    """,
    "assertions": """
        log = []
        for f in ("assert 1", "no"):
            try:
                assert f == "no", f"{f} isn't"
                log.append("passed")
                assert False
            except AssertionError as e:
                log.append((str(e), e.args))
        return log
    """,
    "tracebacks_of_own_errors": """
        import traceback
        def inner(x):
            return 1 / x
        def outer():
            return inner(0)
        try:
            outer()
        except ZeroDivisionError as e:
            text = traceback.format_exc()
            last = traceback.format_exception_only(e)
            lines = traceback.format_exception(e)
            two = traceback.format_exception(type(e), e, None)
            limited = traceback.format_exc(limit=1)
        return text, last, lines, two, limited
    """,
    "warnings_are_exceptions_too": """
        import warnings
        class Old(DeprecationWarning): pass
        try:
            raise Old("go away")
        except Warning as e:
            first = str(e)
        return first, issubclass(Old, Exception)
    """,
    "exception_in_every_place": """
        log = []
        class A:
            @property
            def p(self): raise ValueError("property")
            def __getitem__(self, k): raise KeyError(k)
            def __eq__(self, o): raise TypeError("eq")
            def __bool__(self): raise RuntimeError("bool")
        def gen():
            yield 1
            raise LookupError("generator")
        for f in (lambda: A().p, lambda: A()["x"], lambda: A() == 1, lambda: not A(), lambda: list(gen()), lambda: sorted([1, "a"]), lambda: f"{A():d}",
                  lambda: [x.y for x in [1]], lambda: (lambda: 1 / 0)(), lambda: max([]), lambda: dict([1])):
            try:
                f()
            except Exception as e:
                log.append(f"{type(e).__name__}: {e}")
        return log
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


def test_an_uncaught_error_keeps_the_users_lines() -> None:
    """A runtime error's traceback names the lines and functions of the source as written."""
    with pytest.raises(ZeroDivisionError) as caught:
        execute("x = 1\n\ndef f():\n    return x / 0\nreturn f()")
    assert [(entry.lineno + 1, entry.name) for entry in caught.traceback[-2:]] == [(5, "<module>"), (4, "f")]


def test_a_syntax_error_keeps_the_users_line() -> None:
    """A syntax error names line, column and text of the source."""
    with pytest.raises(SyntaxError) as caught:
        execute("a = 1\nfor x in a\n    pass")
    assert (caught.value.lineno, caught.value.offset, caught.value.text) == (2, 11, "for x in a\n")
