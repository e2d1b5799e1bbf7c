"""What is put into real modules to guard them is nothing that tasks are shown."""

from __future__ import annotations

import json
import subprocess
import sys

from programs import OPEN

from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.language.runtime.facades import importer
from tests.limits import within

#: Prints, of the names that each module is said to have, those that Python's own hasn't.
UNKNOWN = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
def has(module, name):
    if hasattr(module, name): return True
    try: return bool(importlib.import_module(f"{module.__name__}.{name}"))
    except ImportError: return False
shown = {name: (importlib.import_module(name), names) for name, names in json.load(sys.stdin).items()}
print(json.dumps({name: more for name, (module, names) in shown.items() if (more := [n for n in names if not has(module, n)])}))
"""


def test_facades_of_the_standard_library_have_python_s_names_alone() -> None:
    """``dataclasses.exec`` would be a tool."""
    shown = {}
    for name in sorted(stdlib.OPEN):
        try:
            facade = importer(OPEN).facade(name)
        except ImportError:
            continue  # of another version of Python
        shown[name] = sorted(each for each in vars(facade) if each[:1] != "_")
    assert len(shown) > 60
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN], input=json.dumps(shown), capture_output=True, text=True, timeout=within(60)
    )
    assert json.loads(done.stdout) == {}, done.stderr
