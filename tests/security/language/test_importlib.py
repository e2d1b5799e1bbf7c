"""``importlib`` is one function in a task: no finder, loader, spec or reload, from it or from anything that was imported."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

NAMES = "util machinery abc resources metadata _bootstrap _bootstrap_external reload invalidate_caches find_loader sys types _imp"
ATTACKS = {
    "loader_of_a_module": at_compile("import json\nreached.append(json.__loader__)", "the attribute '__loader__' is not allowed"),
    "loader_by_name": Attack("import json\nreached.append(getattr(json, '__loader__'))", attribute("__loader__")),
    "spec_of_a_module": at_compile("import json\nreached.append(json.__spec__.loader)", "the attribute '__spec__' is not allowed"),
    "spec_by_name": Attack("import json\nreached.append(getattr(json, '__spec__'))", attribute("__spec__")),
    "path_of_a_package": at_compile("import json\njson.__path__.append('/tmp')", "the attribute '__path__' is not allowed"),
    "file_of_a_module": at_compile("import json\nreached.append(json.__file__)", "the attribute '__file__' is not allowed"),
    "cached_of_a_module": at_compile("import json\nreached.append(json.__cached__)", "the attribute '__cached__' is not allowed"),
    "loader_of_the_task": at_compile("reached.append(__loader__)", "the name '__loader__' is not allowed"),
    "spec_of_the_task": at_compile("reached.append(__spec__)", "the name '__spec__' is not allowed"),
    "module_type": Attack("import types, json\nm = types.ModuleType('subprocess')\nreached.append(m.Popen)", "module 'subprocess' has no attribute 'Popen'", AttributeError),
    "module_getattr": at_compile("import json\nreached.append(json.__getattr__)", "the attribute '__getattr__' is not allowed"),
    "module_getattr_changed": at_compile("import json\njson.__getattr__ = 1", "changing the attribute '__getattr__' is not allowed"),
    "lazy_attribute": Attack("import json\nreached.append(getattr(json, 'tool'))", "module 'json' has no attribute 'tool'", AttributeError),
    "object_behind_import_module": Attack("import importlib\nreached.append(importlib.import_module.__self__)", f"the attribute '__self__' is not allowed: it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"),
    "object_behind_by_weak_method": Attack("import weakref, importlib\nreached.append(weakref.WeakMethod(importlib.import_module))", "argument should be a bound method, not <class 'function'>", TypeError),
    "path_entry": Attack("import sys\nsys.path.insert(0, '/tmp')", "module 'sys' has no attribute 'path'", AttributeError),
    "meta_path": Attack("import sys\nreached.append(sys.meta_path)", "module 'sys' has no attribute 'meta_path'", AttributeError),
    "path_hooks": Attack("import sys\nreached.append(sys.path_hooks)", "module 'sys' has no attribute 'path_hooks'", AttributeError),
    "pkgutil": at_compile("import pkgutil\nreached.append(pkgutil.get_loader('os'))", "import of 'pkgutil' is not allowed"),
    "runpy": at_compile("import runpy\nreached.append(runpy.run_module('os'))", "import of 'runpy' is not allowed"),
    "zipimport": at_compile("import zipimport\nreached.append(zipimport)", "import of 'zipimport' is not allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.split())
def test_attribute_of_importlib(name: str) -> None:
    """The façade carries ``import_module`` and nothing else."""
    program = f"import importlib\nreached.append(importlib.{name})"
    check(Attack(program, f"module 'importlib' has no attribute '{name}'", AttributeError))


@pytest.mark.parametrize("name", ["reload", "util", "_bootstrap"])
def test_name_from_importlib(name: str) -> None:
    """``from`` agrees."""
    program = f"from importlib import {name} as x\nreached.append(x)"
    why = ": imports are made by import statements; for what may be missing there is except ImportError"
    check(
        Attack(program, f"cannot import name '{name}' from 'importlib'{why if name == 'util' else ''}", RefusedImport)
    )


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_other_ways(attack: Attack) -> None:
    """Modules themselves lead to no loader."""
    check(attack)


def test_what_import_module_gives_is_a_facade() -> None:
    """The same one as the statement's; and a deep copy of the function shows nothing behind it."""
    check_nothing_reached(
        """
        import copy, importlib, json, os.path
        if importlib.import_module('json') is not json: reached.append(1)
        if importlib.import_module('os.path') is not os.path: reached.append(2)
        class Memo:
            def get(self, key, default=None): return default
            def __setitem__(self, key, value): reached.append(value)
            def __getitem__(self, key): raise KeyError
        for f in (importlib.import_module, __import__): copy.deepcopy(f, Memo())
        """
    )
