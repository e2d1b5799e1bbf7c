"""The two language modes beside one another: what the restricted one accepts ends in the same in plain Python."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool import demo
from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import BrokerConfig
from tests.conftest import make_settings
from tests.integration.language import test_programs
from tests.integration.language.test_allowed_imports import CORPUS
from tests.limits import fail_after, within
from tests.unit.language import test_packages

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Programs whose end tells where something is: lines, prints, names of ours, what is made of a result.
ENDS = {
    "error_in_a_function": "def f(x):\n    return 1 / x\n\nprint('before')\nreturn f(0)",
    "error_in_a_class": "class A:\n    def go(self):\n        raise ValueError('no')\nA().go()",
    "error_of_a_missing_name": "x = 1\n\n\nreturn y",
    "error_of_syntax": "x = 1\nif x\n    pass",
    "error_with_a_description": "class E(Exception):\n    description = 'mine'\nraise E('text')",
    "exit": "raise SystemExit(3)",
    "error_output": "import sys\nsys.stderr.write('careful')\nraise KeyError('k')",
    "prints": "print('a', 1, None, {'b': [1.5]})\nprint('x', end='')\nprint('y', sep='-')\nreturn []",
    "items_rebound": "_items = _items[1:]\nreturn _items",
    "own_name_of_ours": "_json = {'a': 1}\nreturn _json",
    "name_of_ours": "return [_input.first().json, _item_index if False else 1]",
    "builtin_rebound": "id = id\nmax = lambda *a: 7\nreturn [id is not None, max(1, 2)]",
    "annotated_and_global": "n: int = 1\ndef add():\n    global n\n    n += 1\nadd()\nreturn n",
    "future": "from __future__ import annotations\ndef f(x: Nowhere) -> int:\n    return 1\nreturn f(0)",
    "nested_names": "total = 0\ndef add(n):\n    nonlocal total\n    total += n\nadd(1)\nadd(2)\nreturn total",
    "walrus": "if any((last := n) > 2 for n in (1, 2, 3)):\n    return last",
    "items_as_yaml": "import yaml\nreturn yaml.safe_dump(_input.first().json) + yaml.dump([_input.first()])",
    "items_have_the_classes_of_json": "x = _input.first()\n"
    "found = [type(x.json), x.json.__class__, *map(type, [x.json]), type(_items[0]['json'])]\n"
    "return [kind is dict for kind in found] + [type(x).__name__]",
    "a_type_of_ones_own": "def type(x):\n    return x.json\nx = _input.first()\nreturn [type(x), *map(type, [x])]",
    "result_of_odd_values": "import datetime\nreturn {'d': datetime.date(2026, 1, 2), 's': {1}, 'n': float('nan')}",
    "result_that_cannot_be": "a = []\na.append(a)\nreturn a",
    "memory": "x = bytearray(2**40)",
}


#: What people paste (test_programs.py), as far as it needs no packages and ends the same everywhere.
PASTED = {
    name: test_programs.given(name)
    for name in test_programs.WITHOUT_PACKAGES
    if "result" in test_programs.PROGRAMS[name] or name.startswith("daily_")
}


def _programs() -> dict[str, str]:
    found = dict(ENDS) | {name: program["code"] for name, program in PASTED.items()}
    for name in CORPUS:
        module = importlib.import_module(f"tests.unit.language.{name}")
        found |= {f"{name} {key}": textwrap.dedent(text) for key, text in module.PROGRAMS.items()}
    scripts = Path(demo.__file__).with_name("scripts")
    found |= {path.stem: path.read_text("utf-8") for path in scripts.glob("*.py") if path.stem != "runaway_loop"}
    return found


async def _ends(mode: str, programs: Mapping[str, str]) -> dict[str, Any]:
    """What each program ends in: its result, or its error in every word, and what it printed."""
    settings = make_settings({"N8N_RUNNERS_EXTERNAL_ALLOW": "*", "REPTARIUM_LANGUAGE": mode})
    found: dict[str, Any] = {}
    # all wait in line at once, and the last for as long as all the others take
    config = BrokerConfig(request_timeout=within(240), max_payload=settings.max_payload)
    async with embedded_runner(settings, config=config) as broker:
        handles = {}
        for name, program in programs.items():
            printed: list[Any] = []
            task = PASTED.get(name) or {"code": program, "items": test_packages.ITEMS}
            handles[name] = broker.submit(task, on_console=printed.append), printed
        for name, (handle, printed) in handles.items():
            outcome = await handle.outcome()
            ended = outcome.error if outcome.data is None else bytes(outcome.data.result)
            found[name] = (outcome.status, ended, printed)
    return found


@pytest.mark.slow
async def test_what_one_mode_accepts_ends_the_same_in_the_other() -> None:
    """Results, errors with their lines, and prints of ordinary programs don't depend on the language mode."""
    programs = _programs()
    with fail_after(240):
        restricted = await _ends("restricted", programs)
        refused = {name for name, (_, end, _) in restricted.items() if "Security violation" in str(end)}
        python = await _ends("python", {name: text for name, text in programs.items() if name not in refused})
    assert refused == {"refused_import"}
    assert {name: (restricted[name], end) for name, end in python.items() if restricted[name] != end} == {}


#: Ordinary Python that the restricted mode refuses or lacks → what it gives.
PLAIN = {
    "eval": ("x = 6\nreturn eval('x * 7')", b"42"),
    "exec": ("names = {}\nexec('y = 1', names)\nreturn names['y']", b"1"),
    "metaclass": (
        "class Meta(type):\n    def __len__(cls): return 5\nclass A(metaclass=Meta): pass\nreturn len(A)",
        b"5",
    ),
    "inspect": ("import inspect\ndef f(a, b=1):\n    return a\nreturn inspect.getsource(f).count('return')", b"1"),
    "frames": ("import sys\nreturn sys._getframe().f_lineno", b"2"),
    "star": ("from math import *\nreturn floor(pi)", b"3"),
    "subclasses": ("return int in object.__subclasses__()", b"true"),
    "class_of_a_library": ("import json\njson.JSONDecoder.mine = 1\nreturn json.JSONDecoder().mine", b"1"),
    "types": ("return type('T', (), {'x': 3}).x", b"3"),
    "ctypes": ("import ctypes\nreturn ctypes.c_int(7).value", b"7"),
    "pickle": ("import pickle\nreturn pickle.loads(pickle.dumps([1]))", b"[1]"),
    "class_of_an_item": (
        "x = _input.first().json\n"
        "return [type(x) is dict, [*map(type, [x])] == [dict], x.__class__ is dict, type(type(x)) is type]",
        b"[true,true,true,true]",
    ),
    "pickled_item": ("import pickle\nreturn type(pickle.loads(pickle.dumps(_input.first().json))).__name__", b'"dict"'),
    "threads": (
        "import threading\nfound = []\nt = threading.Thread(target=found.append, args=(1,))\nt.start()\nt.join()\n"
        "return found",
        b"[1]",
    ),
    "place_for_caches": ("import tempfile\nreturn tempfile.mkdtemp()", b'"/proc/nowhere"'),
    "module_names": ("import json\nreturn json.decoder.scanner.__name__", b'"json.scanner"'),
}


async def test_plain_python_is_all_of_python() -> None:
    """What the restricted mode refuses runs in the other one."""
    with fail_after(60):
        ends = await _ends("python", {name: program for name, (program, _) in PLAIN.items()})
    wanted = {name: result for name, (_, result) in PLAIN.items() if result is not None}
    assert {name: ends[name][1] for name in wanted} == wanted


async def test_who_starts_a_process_is_told_that_nothing_allows_it() -> None:
    """Plain Python says it where the kernel refused, whichever way it was tried."""
    programs = {
        "fork": "import os\nos.fork()",
        "subprocess": "import subprocess\nsubprocess.run(['true'])",
        "pool": "import multiprocessing\nmultiprocessing.Pool(1)",
        "process": "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    }
    with fail_after(60):
        ends = await _ends("python", programs)
    words = "A task starts no processes, whatever is set: use threads"
    assert [name for name, end in ends.items() if words not in str(end)] == []


async def test_refusals_of_the_restricted_mode_name_the_other() -> None:
    """What plain Python allows says so, before the code runs and while it does; what the kernel refuses doesn't."""
    programs = {
        "construct": "def f(): pass\nreturn f.__globals__",
        "builtin": "return eval('1')",
        "at_run_time": "return getattr(len, '__' + 'self__')",
        "processes": "import subprocess",
    }
    with fail_after(60):
        ends = await _ends("restricted", programs)
    assert {name: "REPTARIUM_LANGUAGE=python allows it." in str(end) for name, (_, end, _) in ends.items()} == {
        "construct": True,
        "builtin": True,
        "at_run_time": True,
        "processes": False,
    }
    assert "No setting allows it" not in str([ends[name] for name in ("construct", "builtin", "at_run_time")])


async def test_lists_hold_in_plain_python() -> None:
    """The allowlists and denied builtins apply to the person's own imports and names, with the usual words."""
    settings = make_settings(
        {"REPTARIUM_LANGUAGE": "python", "N8N_RUNNERS_STDLIB_ALLOW": "json", "N8N_RUNNERS_BUILTINS_DENY": "eval"}
    )
    answers = {}
    with fail_after(60):
        async with embedded_runner(settings) as broker:
            for name, code in {
                "listed": "import json\nreturn json.loads('1')",
                "not_listed": "\nimport re",
                "late": "return __import__('r' + 'e')",
                "builtin": "return eval('1')",
                "builtin_in_text": "return exec('eval(1)')",
                "expected": "try:\n    import re\nexcept ImportError:\n    return 5",
            }.items():
                outcome = await broker.submit({"code": code, "items": []}).outcome()
                error = outcome.error
                answers[name] = bytes(outcome.data.result) if error is None else f"{error.message} {error.description}"
    lists = "is not allowed: it is not on the list of allowed standard modules. N8N_RUNNERS_STDLIB_ALLOW decides this."
    assert answers["listed"] == b"1"
    assert answers["expected"] == b"5"
    assert answers["not_listed"] == (
        f"Security violation: Line 2: import of 're' is not allowed Line 2: import of 're' {lists}"
    )
    assert f"import of 're' {lists}" in answers["late"]
    assert "'eval' is not allowed: the administrator removed it. N8N_RUNNERS_BUILTINS_DENY" in answers["builtin"]
    assert "name 'eval' is not defined" in answers["builtin_in_text"]
