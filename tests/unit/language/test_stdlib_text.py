"""Text and its formats in the standard library, as a Code node uses them: the façades give Python's own answers."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "json": """
        import json
        from json import JSONDecodeError, JSONEncoder, JSONDecoder, loads
        from datetime import date
        from decimal import Decimal
        class Encoder(json.JSONEncoder):
            def default(self, o):
                if isinstance(o, (date, set)):
                    return sorted(o) if isinstance(o, set) else o.isoformat()
                return super().default(o)
        data = {"b": [1, 2.5, None, True], "a": {"ü": "x\\n"}}
        errors = []
        for f in (lambda: json.loads("{bad"), lambda: json.dumps(object), lambda: json.dumps({1, 2}), lambda: json.loads(""), lambda: json.dumps(float("nan"), allow_nan=False)):
            try:
                f()
            except (JSONDecodeError, TypeError, ValueError) as e:
                errors.append(f"{type(e).__name__}: {e}")
        import io
        out = io.StringIO()
        json.dump(data, out, indent=2, sort_keys=True)
        return (json.dumps(data), json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True), json.dumps([date(2024, 1, 2), {2, 1}], cls=Encoder), json.dumps([Decimal("1.5")], default=str),
                json.loads('{"a": [1, 2.5, null, true, "\\\\u00e9"]}'), json.loads("1.10", parse_float=Decimal), json.loads('{"a": 1, "b": 2}', object_hook=lambda d: sorted(d)), json.loads('{"a": 1, "a": 2}', object_pairs_hook=list),
                loads(b"[1]"), JSONDecoder().raw_decode('{"a": 1} rest'), JSONEncoder(indent=1).encode([1]), json.load(io.StringIO("[3]")), out.getvalue(), errors, json.loads(json.dumps(data)) == data, json.dumps({1: "k", None: 2, True: 3}))
    """,
    "re": """
        import re
        from re import compile as compiled, IGNORECASE
        text = "Ada <ada@example.com>, Bob <bob@test.org>; call 555-1234 or 555-9876"
        mail = re.compile(r"(?P<name>\\w+)\\s+<(?P<user>[^@]+)@(?P<host>[\\w.]+)>", re.I)
        m = mail.search(text)
        try:
            re.compile("(unclosed")
        except re.error as e:
            error = str(e), e.pos, e.msg
        return (m.group(0), m["name"], m.groups(), m.groupdict(), m.span("user"), m.start(), m.end(2), m.string is text, m.re.pattern, m.lastgroup, m.expand(r"\\g<user> at \\3"), re.findall(r"\\d{3}-(\\d{4})", text), [x.group() for x in mail.finditer(text)],
                re.sub(r"(\\d{3})-(\\d{4})", r"\\2/\\1", text), re.sub(r"[aeiou]", lambda m: m.group().upper(), "banana", count=2), re.subn("a", "b", "aaa"), re.split(r"[,;]\\s*", text)[1], re.split("(-)", "a-b"), re.match("x", text), bool(re.fullmatch(r"\\w+", "abc")),
                re.findall(r"^(\\w+)$", "a\\nb", re.M), re.search("a.b", "a\\nb", re.DOTALL) is not None, re.escape("a.b*c"), compiled("A", IGNORECASE).findall("aAa"), re.findall(r"(?i:ab)c", "ABc abC"), re.search(r"(?<=\\$)\\d+", "cost $42").group(),
                re.sub(r"(?x) \\d+  # digits", "N", "a1b22"), mail.flags & re.I == re.I, mail.groups, mail.groupindex["host"], re.findall(rb"\\d", b"a1"), re.search(r"\\bcall\\b", text).span(), error, re.purge(), [t for t in re.findall(r"[A-Z]\\w+|\\d+", "Item 12 Costs 5")])
    """,
    "string": """
        import string
        from string import Template, Formatter, ascii_letters, punctuation
        t = Template("Hi $who, $$5 for ${what}!")
        class Percent(Template):
            delimiter = "%"
        class Default(Formatter):
            def get_value(self, key, args, kw):
                return kw.get(key, f"<{key}>") if isinstance(key, str) else super().get_value(key, args, kw)
            def format_field(self, value, spec): return value.upper() if spec == "up" else super().format_field(value, spec)
        try:
            t.substitute(who="x")
        except KeyError as e:
            error = str(e)
        return (t.substitute(who="Ada", what="tea"), t.safe_substitute(who="Ada"), t.substitute({"who": 1}, what=2), Percent("%a").substitute(a=1), error, t.template, string.capwords("ada lovelace"), string.digits, string.hexdigits, ascii_letters[:3], punctuation[:5],
                string.whitespace, string.ascii_lowercase[-1], string.octdigits, Formatter().format("{0} {x:>4} {0!r}", "a", x=1), Default().format("{a:up} {missing}", a="x"), list(Formatter().parse("a{b!r:>3}c")), Formatter().vformat("{} {}", (1, 2), {}))
    """,
    "textwrap": """
        import textwrap
        from textwrap import dedent, indent, fill, shorten, wrap, TextWrapper
        text = "The quick brown fox jumps over the lazy dog. " * 2
        return (wrap(text, 20), fill(text, 30, initial_indent="* ", subsequent_indent="  "), shorten(text, 25, placeholder=" …"), dedent("  a\\n    b\\n"), indent("a\\n\\nb", "> "), indent("a\\nb", "# ", lambda line: "b" in line),
                TextWrapper(width=10, break_long_words=False).wrap("a verylongwordindeed b"), textwrap.wrap("a-b-c", 3))
    """,
    "difflib": """
        import difflib
        a, b = "one\\ntwo\\nthree".splitlines(), "one\\n2\\nthree\\nfour".splitlines()
        s = difflib.SequenceMatcher(None, "abcd", "bcde")
        return (list(difflib.unified_diff(a, b, "old", "new", lineterm="")), list(difflib.ndiff(a, b)), difflib.get_close_matches("appel", ["ape", "apple", "peach"], n=2, cutoff=0.6), round(s.ratio(), 3), s.find_longest_match(0, 4, 0, 4),
                s.get_opcodes(), list(difflib.context_diff(a, b, lineterm="")), difflib.Differ().compare(["a"], ["b"]).__next__(), "<table" in difflib.HtmlDiff().make_table(a, b))
    """,
    "unicodedata": """
        import unicodedata
        def plain(text): return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        return plain("Çà et là, naïve façade"), unicodedata.name("é"), unicodedata.category("A"), unicodedata.lookup("SNOWMAN"), unicodedata.numeric("½"), unicodedata.normalize("NFC", "e\\u0301") == "é", unicodedata.east_asian_width("漢"), unicodedata.is_normalized("NFC", "é")
    """,
    "html": """
        import html
        from html import escape, unescape
        from html.parser import HTMLParser
        from html.entities import name2codepoint
        class Links(HTMLParser):
            def __init__(self):
                super().__init__(convert_charrefs=True)
                self.links, self.text, self.depth, self.other = [], [], [], []
            def handle_starttag(self, tag, attrs):
                self.depth.append(tag)
                if tag == "a":
                    self.links.append(dict(attrs).get("href"))
            def handle_endtag(self, tag):
                if self.depth and self.depth[-1] == tag:
                    self.depth.pop()
            def handle_startendtag(self, tag, attrs): self.other.append((tag, attrs, self.getpos()))
            def handle_data(self, data):
                if data.strip():
                    self.text.append(("/".join(self.depth), data.strip()))
            def handle_comment(self, data): self.other.append(data)
            def handle_decl(self, decl): self.other.append(decl)
        class Strip(html.parser.HTMLParser):
            def __init__(self):
                super().__init__()
                self.out = []
            def handle_data(self, d): self.out.append(d)
            @classmethod
            def strip(cls, text):
                p = cls()
                p.feed(text)
                p.close()
                return "".join(p.out)
        p = Links()
        p.feed('<!DOCTYPE html><p>Hello <b>W&ouml;rld</b></p><!-- note --><a href="/x?a=1&amp;b=2" class=c>link</a><br/>')
        p.close()
        return p.links, p.text, p.other, escape('<a href="x">&</a>'), escape('"', quote=False), unescape("&lt;&eacute;&#39;&#x41;&nbsp;|"), name2codepoint["copy"], Strip.strip("<p>a <i>b</i> &amp; c</p>")
    """,
    "csv": '''
        import csv, io
        text = 'name;amount;note\\n"Ada; Lovelace";"1,5";"says ""hi"""\\nBob;2;\\n'
        rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
        out = io.StringIO()
        w = csv.DictWriter(out, fieldnames=["id", "name"], extrasaction="ignore", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\\n")
        w.writeheader()
        w.writerows([{"id": 1, "name": 'a "b"', "x": 0}, {"id": 2}])
        class Pipes(csv.Dialect):
            delimiter, quotechar, lineterminator, quoting = "|", "'", "\\n", csv.QUOTE_MINIMAL
        csv.register_dialect("pipes", Pipes)
        out2 = io.StringIO()
        csv.writer(out2, "pipes").writerow(["a|b", 2, None, 1.5])
        try:
            list(csv.reader(["a\\0b"], strict=True))
            csv.DictWriter(io.StringIO(), ["a"]).writerow({"b": 1})
        except (csv.Error, ValueError) as e:
            error = str(e)
        sniffed = csv.Sniffer().sniff("a;b;c\\n1;2;3\\n")
        return rows, out.getvalue(), out2.getvalue(), list(csv.reader(["a,b", "'x,y',z"], quotechar="'")), error, sniffed.delimiter, csv.Sniffer().has_header("name,age\\nAda,36\\nBob,40"), list(csv.reader(text.splitlines(), delimiter=";"))[1], "excel" in csv.list_dialects(), csv.DictReader(["a,b", "1,2,3"]).fieldnames
    ''',
    "io": """
        import io
        from io import StringIO, BytesIO
        s = StringIO("one\\ntwo\\nthree")
        b = BytesIO()
        b.write(b"abc")
        b.seek(1)
        with StringIO() as out:
            out.write("x")
            print("y", file=out)
            text = out.getvalue()
        return s.readline(), list(s), s.seek(0), s.read(3), s.tell(), b.read(), b.getvalue(), bytes(b.getbuffer()), text, b.seek(0, io.SEEK_END), out.closed, BytesIO(b"a\\nb").readlines(), BytesIO(b"abc").read(2)
    """,
    "pprint": """
        import pprint
        from pprint import pformat, pp, PrettyPrinter
        import io
        data = {"b": list(range(30)), "a": {"nested": [{"k": "v" * 30} for _ in range(3)]}}
        out = io.StringIO()
        pprint.pprint(data, stream=out, width=40, compact=True)
        pp({"z": 1, "a": 2}, out)
        return pformat(data, width=60), pformat(data, depth=1), out.getvalue(), PrettyPrinter(indent=4, sort_dicts=False).pformat({"b": 1, "a": [1] * 40}), pprint.isreadable(data), pprint.saferepr([1])
    """,
    "other_text_modules": """
        import shlex, fnmatch, reprlib, keyword, quopri, tomllib, configparser, ast, colorsys, plistlib, locale
        c = configparser.ConfigParser()
        c.read_string("[server]\\nhost = example.com\\nport = 80\\nurl = http://%(host)s/\\n[flags]\\non = yes")
        return (shlex.split("a 'b c' d\\\\ e"), shlex.quote("a b"), shlex.join(["a b", "c"]), fnmatch.filter(["a.csv", "b.txt"], "*.csv"), fnmatch.fnmatch("x.py", "*.p?"), reprlib.repr("x" * 100), keyword.iskeyword("for"), quopri.encodestring("é=".encode()),
                tomllib.loads('[a]\\nb = [1, 2]\\nd = 2024-01-02'), c["server"]["url"], c.getint("server", "port"), c.getboolean("flags", "on"), c.sections(), dict(c["flags"]), ast.literal_eval("{'a': (1, None), 'b': [2.5, b'x']}"),
                colorsys.rgb_to_hsv(1, 0, 0), plistlib.loads(plistlib.dumps({"a": [1, True]})), locale.format_string("%.2f", 1234.5), locale.atof("1.5"))
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
