"""SQLite tells and takes addresses of memory, and loads libraries: not for tasks, with files of their own or without."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from programs import OPEN, Attack, by_id, check, outcome

from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.language.hardening import RefusedOperation

FILES = LanguagePolicy(stdlib_allow=OPEN.stdlib_allow, external_allow=OPEN.external_allow, files=True)
#: How a task comes by a connection ``c``, with files of its own or without.
WAYS = {
    "connect": "c = sqlite3.connect(':memory:')",
    "class": "c = sqlite3.Connection(':memory:')",
    "another_query": "c = sqlite3.connect(':memory:')\nc.execute('create virtual table t using fts3(x)')",
    "another_encoding": "c = sqlite3.connect(':memory:')\nc.execute(\"pragma encoding = 'UTF-16le'\")",
    "function_removed": "c = sqlite3.connect(':memory:')\nfor n in (1, 2): c.create_function('fts3_tokenizer', n, None)",
}
#: With files of its own alone.
WAYS_WITH_FILES = {
    "derived": "class C(sqlite3.Connection): pass\nc = C(':memory:')",
    "derived_with_a_function_of_its_own": (
        "class C(sqlite3.Connection):\n    def create_function(self, *args): pass\nc = sqlite3.connect(':memory:', factory=C)"
    ),
    "factory_by_position": (
        "class C(sqlite3.Connection): pass\nimport warnings\nwith warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')  # deprecated since 3.13\n    c = sqlite3.connect(':memory:', 5, 0, '', True, C)"
    ),
}
QUERIES = {
    "tells": "c.execute(\"select fts3_tokenizer('simple')\")",
    "takes": "c.execute(\"select fts3_tokenizer('mine', ?)\", (b'12345678',))",
    "takes_a_literal": "c.execute(\"select fts3_tokenizer('mine', x'3132333435363738')\")",
    "in_a_view": "c.execute(\"create temp view v as select fts3_tokenizer('simple') a\")\nc.execute('select a from v')",
}
ONCE = "sqlite3.connect (a connection is opened once) is not available in a task: tasks have no files. No setting allows it."
OTHERS = {
    "class_beneath": Attack("c = sqlite3.Connection.mro()[1](':memory:')\nreached.append(c)", ONCE, RefusedOperation),
    "opened_anew": Attack("import contextlib\nbase = sqlite3.Connection.mro()[1]\nwith contextlib.closing(sqlite3.connect(':memory:')) as c: base.__init__(c, ':memory:')", ONCE, RefusedOperation),
    "factory_beneath": Attack(
        "reached.append(sqlite3.connect(':memory:', factory=sqlite3.Connection.mro()[1]))",
        "sqlite3.connect() with this factory is not allowed: give it a class derived from sqlite3.Connection. No setting allows it.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("way", WAYS | WAYS_WITH_FILES)
def test_no_address_is_told_or_taken(way: str, query: str) -> None:
    """Full-text search works; its tokenizers have no addresses for a task."""
    *before, last = QUERIES[query].splitlines()
    asked = "\n    ".join((*before, f"reached.extend({last}.fetchall())"))
    way_to = (WAYS | WAYS_WITH_FILES)[way]
    program = f"import contextlib, sqlite3\n{way_to}\nwith contextlib.closing(c):\n    {asked}"
    for policy in (OPEN, FILES) if way in WAYS else (FILES,):
        assert isinstance(outcome(program, policy), sqlite3.Error)


@pytest.mark.parametrize("attack", by_id(OTHERS))
def test_no_other_connection(attack: Attack) -> None:
    """Whoever opens one by itself, or as another class, is told."""
    check(attack._replace(program=f"import sqlite3\n{attack.program}"), FILES)


@pytest.mark.skipif(not hasattr(sqlite3.Connection, "setconfig"), reason="since Python 3.12")
def test_no_library_is_loaded() -> None:
    """The setting that permits it is no audit event; loading is one."""
    loads = (
        "import contextlib, sqlite3\nwith contextlib.closing(sqlite3.connect(':memory:')) as c:\n"
        "    c.setconfig(1005, True)\n    c.load_extension('libc.so.6')\n    reached.append(c)"
    )
    assert isinstance(outcome(loads), (RefusedOperation, AttributeError))  # or built without


def test_full_text_search() -> None:
    """What people use it for is there."""
    program = """
    import sqlite3
    c = sqlite3.connect(':memory:')
    c.execute('create virtual table t using fts4(x, tokenize=porter)')
    c.execute('insert into t values (?)', ('running dogs',))
    if c.execute("select x from t where t match 'dog'").fetchall() != [('running dogs',)] or not isinstance(c, sqlite3.Connection):
        reached.append(c)
    c.close()
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        there = ("ENABLE_FTS3",) in ours.execute("pragma compile_options").fetchall()
    if there:
        for policy in (OPEN, FILES):
            assert outcome(program, policy) is None
