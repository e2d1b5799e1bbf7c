"""Constructs that no task may use, each with its own text, and all findings of a program together."""

from __future__ import annotations

import pytest
from programs import OPEN, Attack, at_compile, by_id, check

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task

CONSTRUCTS = {
    "star_import_of_a_refused_module": at_compile("from os import *\nfrom subprocess import *", "import of 'subprocess' is not allowed"),
    "star_import_in_a_class": at_compile("class A:\n    from json import *", "'from json import *' is not allowed here"),
    "coroutine_frame": at_compile("async def f(): reached.append(1)\nc = f()\nreached.append(c.cr_frame)\nc.close()", "the attribute 'cr_frame' is not allowed"),
    "asynchronous_generator_frame": at_compile("async def f(): yield 1\nreached.append(f().ag_frame)", "the attribute 'ag_frame' is not allowed"),
    "name_in_a_coroutine": at_compile("async def f(): return eval('1')", "'eval' is not allowed"),
    "relative_import": at_compile("from . import x", "a relative import is not allowed"),
    "relative_import_of_a_module": at_compile("from ..os import system", "a relative import is not allowed"),
    "private_import": at_compile("from json import __loader__", "the name '__loader__' is not allowed; binding the name '__loader__' is not allowed"),
    "frame_import": at_compile("from json import gi_frame", "the name 'gi_frame' is not allowed"),
    "yield_outside": at_compile("reached.append((yield 1))", "'yield' outside a function is not allowed"),
    "yield_from_outside": at_compile("yield from [1]", "'yield' outside a function is not allowed"),
    "future_in_a_function": at_compile("def f():\n    from __future__ import annotations", "a __future__ import is not allowed here"),
    "keyword": at_compile("dict(__class__=1)", "the keyword argument '__class__' is not allowed"),
    "guarded_name_in_a_pattern": at_compile("match x:\n    case a.obj: pass", "the attribute 'obj' is not allowed in a pattern"),
    "guarded_name_in_a_text_annotation": at_compile("from __future__ import annotations\ndef f(a: b.obj): pass", "the attribute 'obj' is not allowed in an annotation"),
}  # fmt: skip
SYNTAX = {"return_in_a_class": "class A:\n    return 1", "nonlocal_of_the_task": "nonlocal x", "null_byte": "x = '\0'"}


@pytest.mark.parametrize("attack", by_id(CONSTRUCTS))
def test_construct(attack: Attack) -> None:
    """The construct is refused before anything runs."""
    check(attack)


@pytest.mark.parametrize("name", SYNTAX)
def test_no_python_at_all(name: str) -> None:
    """What Python itself refuses ends as Python's error."""
    with pytest.raises((SyntaxError, ValueError)):
        compile_task(SYNTAX[name], OPEN)


def test_all_findings_come_together() -> None:
    """Every refused construct is reported, with line, reason and setting."""
    with pytest.raises(PolicyViolation) as caught:
        compile_task("import json\nimport subprocess\nx.__globals__", LanguagePolicy())
    assert caught.value.message == "Security violation: Line 1: import of 'json' is not allowed (and 2 more)"
    assert [finding.line for finding in caught.value.findings] == [1, 2, 3]
    assert caught.value.description.splitlines() == [
        "Line 1: import of 'json' is not allowed: it is not on the list of allowed standard modules. "
        "N8N_RUNNERS_STDLIB_ALLOW decides this.",
        "Line 2: import of 'subprocess' is not allowed: tasks start no processes; use threads (concurrent.futures), or let n8n "
        "do it in another node. No setting allows it.",
        "Line 3: the attribute '__globals__' is not allowed: it leads to the interpreter's own names. No setting allows it.",
    ]
