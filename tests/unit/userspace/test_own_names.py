"""A name of ours that a program binds itself is the program's own: n8n is asked for nothing, whatever binds it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from reptarium.sandbox.language import LanguagePolicy, compile_task
from reptarium.sandbox.task.console import Console, StderrTail
from reptarium.sandbox.task.execute import TaskInput, Terms, execute
from reptarium.sandbox.task.failures import TaskFailed
from reptarium.sandbox.userspace.names import NAMES, CallNames, mentioned, rebound
from tests.each import each
from tests.unit.userspace.scripted import Channel, ScriptedN8n

OPEN = LanguagePolicy(("*",), ("*",))
PLAIN = LanguagePolicy(("*",), ("*",), mode="python")
#: Values that n8n is asked for when the task starts.
MOMENTS = ("_now", "_today", "_run_index", "_runIndex")

#: A program that binds NAME, and the value that it returns.
OWN: dict[str, tuple[str, Any]] = {
    "assignment": ("NAME = 5\nreturn NAME", 5),
    "chain": ("a = NAME = 5\nreturn NAME + a", 10),
    "unpacking": ("[a, (NAME, *b)] = 1, (2, 3)\nreturn NAME, b", [2, [3]]),
    "starred": ("a, *NAME = 1, 2\nreturn NAME", [2]),
    "annotated": ("NAME: int = 5\nreturn NAME", 5),
    "annotated first": ("NAME: int\nNAME = 5\nreturn NAME", 5),
    "augmented": ("NAME = 5\nNAME += 1\nreturn NAME", 6),
    "for": ("total = 0\nfor NAME in [1, 2]:\n    total += NAME\nreturn total, NAME", [3, 2]),
    "for with unpacking": ("for i, NAME in enumerate('ab'): pass\nreturn NAME", "b"),
    "while": ("while True:\n    NAME = 5\n    break\nreturn NAME", 5),
    "if": ("if _items:\n    NAME = 5\nelse:\n    NAME = 6\nreturn NAME", 5),
    "try": ("try:\n    NAME = int('x')\nexcept ValueError:\n    NAME = 5\nfinally:\n    b = NAME\nreturn b", 5),
    "with": ("import contextlib\nwith contextlib.nullcontext(5) as NAME:\n    return NAME", 5),
    "with, afterwards": ("import contextlib\nwith contextlib.nullcontext(5) as (NAME):\n    pass\nreturn NAME", 5),
    "except": ("try:\n    1 / 0\nexcept ZeroDivisionError as NAME:\n    return str(NAME)", "division by zero"),
    "match": ("match [1, 2]:\n    case [NAME, 2]:\n        return NAME", 1),
    "match class": (
        "class P:\n    __match_args__ = ('x',)\n    def __init__(self): self.x = 5\nmatch P():\n    case P(NAME):\n"
        "        return NAME",
        5,
    ),
    "match as": ("match 5:\n    case int() as NAME:\n        return NAME", 5),
    "match star": ("match [1, 2]:\n    case [_, *NAME]:\n        return NAME", [2]),
    "match rest": ("match {'a': 1, 'b': 2}:\n    case {'a': 1, **NAME}:\n        return NAME", {"b": 2}),
    "import": ("import json as NAME\nreturn NAME.loads('5')", 5),
    "import from": ("from json import loads as NAME\nreturn NAME('5')", 5),
    "import in a function": ("def f():\n    import json as NAME\n    return NAME.loads('5')\nreturn f()", 5),
    "def": ("def NAME(): return 5\nreturn NAME()", 5),
    "def, recursive": ("def NAME(n): return n and n + NAME(n - 1)\nreturn NAME(2)", 3),
    "decorated": ("def twice(f): return lambda: f() * 2\n@twice\ndef NAME(): return 5\nreturn NAME()", 10),
    "class": ("class NAME:\n    x = 5\nreturn NAME.x", 5),
    "walrus": ("return (NAME := 5) + NAME", 10),
    "walrus in a condition": ("if (NAME := 5) > 4: return NAME", 5),
    "walrus in a comprehension": ("a = [NAME := n for n in [1, 2]]\nreturn NAME, a", [2, [1, 2]]),
    "comprehension": ("return [NAME for NAME in [1, 2] if NAME > 1]", [2]),
    "nested comprehension": ("return [[NAME for NAME in row] for row in [[1]]]", [[1]]),
    "dict comprehension": ("return {NAME: v for NAME, v in {'a': 1}.items()}", {"a": 1}),
    "generator": ("return sum(NAME for NAME in [1, 2])", 3),
    "comprehension in a class": ("class A:\n    x = [NAME for NAME in [1]]\nreturn A.x", [1]),
    "parameter": ("def f(NAME): return NAME\nreturn f(5)", 5),
    "parameters": ("def f(a, /, *NAME, b=1): return NAME\nreturn f(1, 2)", [2]),
    "keyword parameters": ("def f(*, NAME=5): return NAME\nreturn f(), f(NAME=6)", [5, 6]),
    "keywords": ("def f(**NAME): return NAME\nreturn f(NAME=6)", {"NAME": 6}),
    "lambda": ("return (lambda NAME: NAME)(5)", 5),
    "method": ("class A:\n    def NAME(self, x): return x\nreturn A().NAME(5)", 5),
    "attribute": ("class A: pass\na = A()\na.NAME = 5\nreturn a.NAME", 5),
    "class attribute": ("class A:\n    NAME = 5\n    twice = NAME * 2\nreturn A.NAME, A.twice", [5, 10]),
    "key": ("d = {'NAME': 5}\nreturn d['NAME'], dict(NAME=6)['NAME'], 'NAME'[:0]", [5, 6, ""]),
    "local": ("def f():\n    NAME = 5\n    return NAME\nreturn f()", 5),
    "generator function": ("def f():\n    for NAME in [5]:\n        yield NAME\nreturn list(f())", [5]),
    "class body": ("class A:\n    for NAME in [5]: pass\n    twice = NAME * 2\nreturn A.twice", 10),
    "walrus in a default": ("def f(a=(NAME := 5)): return a\nreturn f() + NAME", 10),
    "async for": (
        "async def g():\n    yield 5\nasync def f():\n    async for NAME in g(): pass\n    return NAME\n"
        "return await f()",
        5,
    ),
    "async with": (
        "import contextlib\n@contextlib.asynccontextmanager\nasync def g():\n    yield 5\nasync with g() as NAME:\n"
        "    return NAME",
        5,
    ),
    "local for": ("def f():\n    for NAME in [5]: pass\n    return NAME\nreturn f()", 5),
    "closure": ("def f():\n    NAME = 5\n    return lambda: NAME\nreturn f()()", 5),
    "nonlocal": (
        "def f():\n    NAME = 1\n    def g():\n        nonlocal NAME\n        NAME += 1\n    g()\n    return NAME\n"
        "return f()",
        2,
    ),
    "nonlocal of the task": ("NAME = 1\ndef g():\n    nonlocal NAME\n    NAME += 1\ng()\nreturn NAME", 2),
    "global": ("def f():\n    global NAME\n    NAME = 5\nf()\nreturn NAME", 5),
    "global in two functions": (
        "def f():\n    global NAME\n    NAME = 5\ndef g():\n    global NAME\n    return NAME\nf()\nreturn g()",
        5,
    ),
    "function above the binding": ("def f(): return NAME\nNAME = 5\nreturn f()", 5),
    "comprehension above the binding": ("def f(): return [NAME for _ in 'a']\nNAME = 5\nreturn f()", [5]),
    "bound on one way": ("for i in [1, 2]:\n    if i == 1:\n        NAME = i\nreturn NAME", 1),
    "bound after a return": ("if _items:\n    return 5\nNAME = 6\nreturn NAME", 5),
    "del": ("NAME = 5\na = NAME\ndel NAME\nreturn a", 5),
    "del, then bound": ("NAME = 5\ndel NAME\nNAME = 6\nreturn NAME", 6),
    "f-string": ("NAME = 5\nreturn f'{NAME:>{NAME - 3}}'", " 5"),
    "parameter of one's own kind": ("NAME = 5\ndef f(NAME): return NAME + 1\nreturn f(NAME)", 6),
    "annotation": ("NAME = int\ndef f(x: NAME) -> NAME: return x\nreturn f(5)", 5),
    "far away": ("\n".join(f"a{n} = {n}" for n in range(300)) + "\nfor NAME in [5]: pass\nreturn NAME + a299", 304),
}
if sys.version_info >= (3, 12):
    OWN["type parameter"] = ("def f[NAME](x: NAME) -> NAME: return x\nreturn f(5)", 5)
    OWN["type alias"] = ("type NAME = int\nreturn f'{NAME}'", "NAME")

#: A program that reads ours, and what it returns; ``asked`` is whether n8n must be.
OURS: dict[str, tuple[str, Any]] = {
    "plain": ("return _run_index", 3),
    "rebound from itself": ("_run_index = _run_index + 1\nreturn _run_index", 4),
    "augmented": ("_run_index += 1\nreturn _run_index", 4),
    "bound on the way not taken": ("if not _items:\n    _run_index = 9\nreturn _run_index", 3),
    "loop that binds nothing": ("for _run_index in []: pass\nreturn _run_index", 3),
    "before the binding": ("a = _run_index\n_run_index = 9\nreturn a", 3),
    "function called before the binding": ("def f(): return _run_index\na = f()\n_run_index = 9\nreturn a", 3),
    "beside a parameter of that name": ("def f(_run_index): return _run_index\nreturn f(1), _run_index", [1, 3]),
    "class body": ("class A:\n    x = _run_index\n    _run_index = 9\nreturn A.x, A._run_index", [3, 9]),
    "class attribute of that name": ("class A:\n    _run_index = _run_index\nreturn A._run_index", 3),
    "default": ("def f(_run_index=_run_index): return _run_index\nreturn f()", 3),
    "comprehension's source": ("return [_run_index for _run_index in [_run_index]]", [3]),
    "global that nobody sets": ("def f():\n    global _run_index\n    return _run_index\nreturn f()", 3),
    "twice": ("if not _items: _now = 1\nreturn _now is _now", True),
}


#: Programs that bind NAME by its text, as plain Python can.
BY_TEXT: dict[str, tuple[str, Any]] = {
    "globals": ("globals()['NAME'] = 5\nreturn NAME", 5),
    "globals in a function": ("def f(): globals().update(NAME=5)\nf()\nreturn NAME", 5),
    "exec": ("exec('NAME = 5', globals())\nreturn NAME", 5),
}


class Silent:
    """A channel whose n8n is asked for nothing."""

    def call(self, name: str, params: bytes, via: str = "rpc") -> tuple[bool, bytes]:
        raise AssertionError(f"{name} was asked for")


def answer(
    program: str,
    channel: Any,
    *,
    items: bytes = b'[{"json":{"n":1}}]',
    per_item: bool = False,
    policy: LanguagePolicy = OPEN,
) -> Any:
    """What the task returns, as JSON; ``channel`` is its way to n8n."""
    terms = Terms(policy, "rich", 1 << 20, 1 << 30, CallNames(channel, 1 << 20))
    task = TaskInput(program, per_item, items, None)
    return json.loads(execute(task, terms, Console(lambda payload: None, 1000), StderrTail()).result)


@pytest.mark.parametrize("name", MOMENTS)
@each("form", OWN)
def test_own_name_asks_nothing(form: str, name: str) -> None:
    """A program that binds `_now` and the like, in any way, gets its own value without a request."""
    program, expected = OWN[form]
    expected = json.loads(json.dumps(expected).replace("NAME", name))
    assert answer(program.replace("NAME", name), Silent()) == expected


@pytest.mark.parametrize("form", OWN)
def test_every_other_name_of_ours(form: str) -> None:
    """So it is with every other name of ours."""
    program, expected = OWN[form]
    for name in sorted(NAMES - set(MOMENTS) - {"_"}):  # in a pattern _ is no name
        wanted = json.loads(json.dumps(expected).replace("NAME", name))
        assert answer(program.replace("NAME", name), Silent()) == wanted


def test_own_names_of_plain_python() -> None:
    """So it is under `REPTARIUM_LANGUAGE=python`, and what is read unbound is ours there too."""
    got = {form: answer(text.replace("NAME", "_now"), Silent(), policy=PLAIN) for form, (text, _) in OWN.items()}
    assert got == {form: json.loads(json.dumps(value).replace("NAME", "_now")) for form, (_, value) in OWN.items()}
    for form, (text, value) in BY_TEXT.items():
        for name in MOMENTS:
            assert answer(text.replace("NAME", name), Silent(), policy=PLAIN) == value, form
    ours = {form: answer(text, Channel(ScriptedN8n()), policy=PLAIN) for form, (text, _) in OURS.items()}
    assert ours == {form: value for form, (_, value) in OURS.items()}


def test_underscore_of_ones_own() -> None:
    """`_` that is bound and read is the program's own."""
    assert answer("for _ in [5]: pass\n_, a = _, 1\nreturn _, [_ for _ in 'b']", Silent()) == [5, ["b"]]


def test_deleted_name_is_gone() -> None:
    """A name of one's own that was deleted is no name, as in any function; n8n is not asked."""
    with pytest.raises(TaskFailed, match="_now"):
        answer("_now = 9\ndel _now\nreturn _now", Silent())


@pytest.mark.parametrize("form", OURS)
def test_ours_where_it_is_read_unbound(form: str) -> None:
    """What a program reads before it binds it is ours, and n8n is asked once."""
    program, expected = OURS[form]
    n8n = ScriptedN8n()
    assert answer(program, Channel(n8n)) == expected
    assert [name for name, _ in n8n.asked] == ["taskData"]


def test_each_item_starts_anew() -> None:
    """In per-item mode a name that one item's run bound is ours again in the next."""
    program = "if _item['json']['n'] == 1:\n    _run_index = 'mine'\nreturn {'i': _run_index}"
    items = b'[{"json":{"n":1}},{"json":{"n":2}}]'
    rows = answer(program, Channel(ScriptedN8n()), items=items, per_item=True)
    assert [row["json"]["i"] for row in rows] == ["mine", 3]


def test_items_stay_as_they_came() -> None:
    """A program's own `_json` doesn't turn the items into views."""
    program = "for _json in [item['json'] for item in _items]:\n    pass\nreturn type(_items[0]) is dict, _json"
    assert answer(program, Silent()) == [True, {"n": 1}]


def test_plain_binding_costs_nothing() -> None:
    """A name that a program plainly binds first is a local of it: nothing of ours is made."""
    for program in ("_json = _items[0]['json']\nreturn _json['n'] + _json['n']", "import json as _node\nreturn _node"):
        code = compile_task(program, OPEN)
        assert mentioned(code) == frozenset()
        assert not {"_json", "_node"} & set(code.co_names)


def test_rebound_tells_what_is_bound_as_a_global() -> None:
    """Only what stays shared with our names counts."""
    code = compile_task("_now = 1\ndef f(_today): return _today\nif f(1): _json = _json\nreturn _now", OPEN)
    assert (mentioned(code), rebound(code)) == ({"_json"}, {"_json"})


def test_refused_request_names_what_needed_it() -> None:
    """Without n8n's answer the error names the name and the person's line, where the name is read by then."""

    class Refusing:
        def call(self, name: str, params: bytes, via: str = "rpc") -> tuple[bool, bytes]:
            return False, b"taskData: no answer within 5 s (REPTARIUM_RPC_TIMEOUT)"

    for program, line in (("a = 1\nreturn _now", None), ("if not _items: _now = 1\nreturn _now", 2)):
        with pytest.raises(TaskFailed) as caught:
            answer(program, Refusing())
        failure = caught.value.failure
        assert failure.message == "_now has no value: taskData: no answer within 5 s (REPTARIUM_RPC_TIMEOUT)"
        assert failure.line == line
