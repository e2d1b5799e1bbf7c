"""f-strings, str.format, format_map, % and format(): with every conversion and nested specifications."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "f_strings": """
        from datetime import date, datetime
        from decimal import Decimal
        name, n, x, items, d = "Ada", 42, 3.14159, [1, 2], {"key": "value", "n": {"m": 5}}
        width, precision, fill = 12, 2, "*"
        class P:
            def __init__(self): self.a = "attribute"
            def m(self, y=1): return y
            def __format__(self, spec): return f"<{spec}>"
        p = P()
        return [
            f"{name}", f"{name!r}", f"{name!s:>6}", f"{name!a}", f"{'é'!a}", f"{n:05d}|{n:x}|{n:#X}|{n:b}|{n:,}|{n:+}|{n:e}", f"{x:.2f}|{x:10.3f}|{x:<8.1f}|{x:%}",
            f"{n=}", f"{n = }", f"{x=:.1f}", f"{name=!s}", f"{name = !r:>8}", f"{n + 1 = }", f"{name:{fill}^{width}}", f"{x:{width}.{precision}f}", f"{x:{'>' + str(8)}.{1 + 1}}",
            f"{d['key']}", f"{d['n']['m'] * 2}", f"{items[0]} {items[-1]!r} {len(items)}", f"{p.a} {p.m(y=2)} {p:spec} {p!r:.2}", f"{{literal}} {{{n}}}", f"{n if n > 5 else 'small'}",
            f"{[i for i in items]} {(lambda q: q * 2)(4)} {({'a': 1})['a']}", f"{date(2024, 2, 29):%d.%m.%Y}", f"{datetime(2024, 2, 29, 13, 5):%H:%M}", f"{Decimal('1.5'):.3f}",
            f"{name!r:{width}}", rf"\\d{n}\\n", f"a" "b" f"{n}", f'''multi\\nline {n}''', f"{'nested ' + f'{n:{width}}'}", f"{1_000_000:,} {1234.5:_}", f"{True} {None} {...}", f"{n:{''}}", f"{'%'}{'{}'}", f"{(y := 5)} {y}", f"{3:{'d'}}", f"{-5:03} {5: } {0.1 + 0.2}",
            f"{1e10:g} {float('nan')} {float('inf'):>5} {1+2j:.1f}", f"{b'x'} {b'x'!r}", f"{name.upper()!r:>8}",
        ]
    """,
    "str_format": """
        from types import SimpleNamespace
        p = SimpleNamespace(a=1, b=SimpleNamespace(c=[1, {"k": "deep"}]))
        template = "{name:>{width}}|{0[0]}|{0[1][x]}"
        def render(text, **values): return text.format(**values)
        return [
            "{} {}".format(1, 2), "{1} {0} {1}".format("a", "b"), "{a} {b!r}".format(a=1, b="x"), "{0:>5}|{0:<5}|{0:^5}".format("x"), "{:,.2f}".format(1234.5),
            "{0.a} {0.b.c[0]} {0.b.c[1][k]}".format(p), template.format([1, {"x": 2}], name="n", width=4), "{:{}.{}f}".format(3.14159, 8, 2), "{{}} {}".format(1), "{!s} {!a}".format("é", "é"),
            render("Hi {who}", who="you"), "{0[key with space]}".format({"key with space": 1}), "{:%Y}".format(__import__("datetime").date(2024, 1, 1)), ("{:>3}" * 2).format(1, 2),
            "{}".format(*[5]), "{a}".format(**{"a": 1, "unused": 2}), "-".join(map("{:02d}".format, [1, 2])), str.format("{} {x}", 1, x=2), "{0.real} {0.imag}".format(3 + 4j), "{:s}".format("x"),
            "".format(), "none".format(1), "{0[0][0]}".format([["x"]]),
        ]
    """,
    "format_map": """
        class Default(dict):
            def __missing__(self, key): return "{" + key + "}"
        row = {"name": "Ada", "n": 3, "nested": {"k": 1}}
        class Subclass(str): pass
        return ["{name} {n:03}".format_map(row), "{name} {unknown}".format_map(Default(row)), "{nested[k]}".format_map(row), str.format_map("{n}", row), Subclass("{n}").format_map(row),
                Subclass("{}").format(1), [t.format_map(row) for t in ("{n}", "{name!r}")]]
    """,
    "format_errors": """
        class R: pass
        errors = []
        for text, args, kw in (("{", (), {}), ("}", (), {}), ("{}", (), {}), ("{a}", (), {}), ("{0} {}", (1, 2), {}), ("{:d}", ("x",), {}), ("{!z}", (1,), {}), ("{0[k]}", ({},), {}),
                               ("{0[0]}", ([],), {}), ("{.nope}", (1,), {}), ("{:5.2d}", (1,), {})):
            try:
                text.format(*args, **kw)
            except (ValueError, IndexError, KeyError, AttributeError) as e:
                errors.append(f"{type(e).__name__}: {e}")
        for f in (lambda: "%d" % "x", lambda: "%s %s" % 1, lambda: "%s" % (1, 2), lambda: "%(a)s" % {}, lambda: "%(a)s" % 1, lambda: "%z" % 1, lambda: f"{'x':d}", lambda: format(1, "q"),
                  lambda: "{a}".format_map({})):
            try:
                f()
            except (ValueError, TypeError, KeyError) as e:
                errors.append(f"{type(e).__name__}: {e}")
        return errors
    """,
    "percent": """
        row = {"name": "Ada", "n": 3.14159}
        class P:
            def __str__(self): return "str"
            def __repr__(self): return "repr"
        text = "%s"
        text %= 5
        return ["%s %d %i %u" % ("a", 1, 2.9, 3), "%5.2f|%-8s|%08d|%+d|% d" % (1.239, "x", 42, 5, 5), "%(name)s is %(n).1f" % row, "%x %X %o %e %g %c %c" % (255, 255, 8, 12345.678, 0.0001, 65, "B"),
                "%r %s %a" % (P(), P(), "é"), "100%%" % (), "%s" % [1], "%s" % ((1, 2),), "%*d|%-*d|" % (5, 1, 5, 2), "%.*f" % (2, 1.23456), "%s" % None, "%.3s" % "abcdef", b"%s %d" % (b"a", 1), text]
    """,
    "format_function": """
        class P:
            def __format__(self, spec): return "own:" + spec
        return [format(3.14159, ".2f"), format(1234567, ","), format("x", ">3"), format(P(), "abc"), format(5), format(255, "#x"), [format(n, "02") for n in range(3)], list(map(format, [1.5, 2], [".1f", "d"]))]
    """,
    "own_format_methods": """
        class Report:
            def format(self, style, *, wide=False): return f"{style}-{wide}"
            def format_map(self, m): return sorted(m)
        class Text(str):
            def format(self, *a): return "own " + super().format(*a)
        class Column:
            format = "date"
        import datetime
        c = Column()
        c.format = c.format.upper()
        f = Report().format
        return Report().format("pdf"), Report().format_map({"b": 1, "a": 2}), Text("{}!").format(1), c.format, f("csv", wide=True), Column.format
    """,
    "text_methods": """
        s = "  Hello, World  "
        return [s.strip(), s.lower(), s.replace("l", "L", 1), s.split(), s.split(",", 1), "a-b_c".partition("-"), "x".join("abc"), s.find("W"), s.count("l"), s.strip().title(), s.center(20, "*"), "1".zfill(3),
                "a\\nb".splitlines(), "abc".startswith(("x", "a")), "ab1".isalnum(), "Ab".swapcase(), "prefix-x".removeprefix("prefix-"), "ß".casefold(), "abc".translate(str.maketrans("ab", "xy")),
                "é".encode("utf-8").decode("latin-1"), "a,b;c".rsplit(",", 1), "%s" % "é".encode("ascii", "replace"), "tab\\tx".expandtabs(4), "x".ljust(3, ".") + "|", "a.b".rpartition("."),
                "\\u00e9\\N{SNOWMAN}\\x41", ascii("é"), "abc"[::-1], "abc" < "abd", "b" in "abc", "ab" * 2, "a" "b", sorted("bca"), list("ab"), "a\\\\b", r"a\\b", "%d%%" % 5]
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
