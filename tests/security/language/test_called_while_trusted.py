"""A task's own code that trusted code calls: a package that warns, logs or writes while it is imported calls what the
task has put there, and that may do no more than the task.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from pathlib import Path

import pytest
from programs import Attack, attribute, check

from reptarium.sandbox.language import RefusedAttribute
from reptarium.sandbox.language.hardening import RefusedOperation
from reptarium.sandbox.task.console import StderrTail

#: What a package does while it is imported, and how a task has ``called`` called by that.
NOISES = {
    "warns": (
        "import warnings\nwarnings.warn('old')",
        "import warnings\nwarnings.simplefilter('always')\nwarnings.showwarning = called",
    ),
    "writes": (
        "import sys\nprint('hello', file=sys.stderr)",
        "import contextlib\nclass Stream:\n    def write(self, text): called()\n    def flush(self): pass\n"
        "contextlib.redirect_stderr(Stream()).__enter__()",
    ),
    "logs": (
        "import logging\nlogging.getLogger('noisy').warning('hello')",
        "import logging\nclass Handler(logging.Handler):\n    def emit(self, record): called()\n"
        "logging.getLogger('noisy').addHandler(Handler())",
    ),
}
ATTACKS = {
    "the audit hook": (
        "leaked('/etc/passwd')",
        "[Errno 13] opening files is not available in a task (no setting allows it): '/etc/passwd'",
        RefusedOperation,
    ),
    "a library's reading": (
        "optparse.Values.ensure_value(called, '__glo' + 'bals__', 0)", attribute("__globals__"), RefusedAttribute
    ),
}  # fmt: skip
PROGRAM = """
import optparse
caught = []
def called(*args, **kwargs):
    try:
        reached.append(ATTACK)
    except Exception as error:  # logging would swallow it
        caught.append(error)
SETTING
import NOISY
raise caught[0]
"""
_numbers = itertools.count()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("noise", NOISES)
def test_called_by_an_import(noise: str, attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a task has an import call is refused what the task is."""
    name = f"noisy_{next(_numbers)}"  # each is imported once
    text, setting = NOISES[noise]
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(logging.getLogger("noisy"), "handlers", [])
    statement, message, error = ATTACKS[attack]
    program = PROGRAM.replace("ATTACK", statement).replace("SETTING", setting).replace("NOISY", name)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings(), contextlib.redirect_stderr(StderrTail()):
        check(Attack(program, message, error), leaked=open)
