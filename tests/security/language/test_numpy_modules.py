"""``numpy.f2py`` compiles and runs programs, ``numpy.ctypeslib`` loads libraries, others hold modules: none can be had."""

from __future__ import annotations

import subprocess
import sys

import pytest
from programs import NO_SETTING, Attack, at_compile, check, withheld

from reptarium.sandbox.language import RefusedImport
from tests.limits import within

pytest.importorskip("numpy")

MODULES = ["f2py", "ctypeslib", "testing", "distutils", "core", "compat", "matlib"]
FUNCTIONS = [
    "show_config",
    "show_runtime",
    "lookfor",
    "info",
    "source",
    "add_newdoc",
    "get_include",
    "setbufsize",
    "test",
    "DataSource",
]
PRIVATE = [
    "_core",
    "_core.multiarray",
    "_pytesttester",
    "_distributor_init",
    "lib._utils_impl",
    "random._pickle",
    "linalg._umath_linalg",
]
INNER = ["f2py.f2py2e", "ctypeslib._ctypeslib", "testing.overrides", "distutils.exec_command", "core.multiarray"]


@pytest.mark.parametrize("name", [*MODULES, *FUNCTIONS])
def test_attribute(name: str) -> None:
    """The façade of numpy doesn't carry it."""
    text = f"module 'numpy' has no attribute '{name}'"
    check(Attack(f"import numpy\nreached.append(numpy.{name})", text, AttributeError))
    check(Attack("import numpy\nreached.append(getattr(numpy, name))", text, AttributeError), name=name)


@pytest.mark.parametrize("name", [*MODULES, *FUNCTIONS])
def test_from(name: str) -> None:
    """Nor does ``from`` find it."""
    text = f"cannot import name '{name}' from 'numpy'"
    check(Attack(f"from numpy import {name} as x\nreached.append(x)", text, RefusedImport))


@pytest.mark.parametrize("name", MODULES)
def test_import(name: str) -> None:
    """It cannot be imported by its own name."""
    text = withheld(f"numpy.{name}")
    check(Attack(f"import numpy.{name} as x\nreached.append(x)", text, RefusedImport))
    check(
        Attack("import importlib\nreached.append(importlib.import_module(name))", text, RefusedImport),
        name=f"numpy.{name}",
    )


@pytest.mark.parametrize("name", INNER)
def test_inner_module(name: str) -> None:
    """Nor what is in it."""
    text = withheld(f"numpy.{name.partition('.')[0]}")
    if "._" in name:
        check(at_compile(f"import numpy.{name} as x\nreached.append(x)", f"import of 'numpy.{name}' is not allowed"))
        return
    check(Attack(f"import numpy.{name} as x\nreached.append(x)", text, RefusedImport))


@pytest.mark.parametrize("name", PRIVATE)
def test_private_module(name: str) -> None:
    """Private modules are refused when compiled."""
    check(at_compile(f"import numpy.{name} as x\nreached.append(x)", f"import of 'numpy.{name}' is not allowed"))


def test_withheld_modules_are_not_even_imported() -> None:
    """Asking for one doesn't import it: numpy imports some of them on demand."""
    program = (
        "import sys\nfrom reptarium.sandbox.language import *\n"
        "policy = LanguagePolicy(('*',), ('*',))\n"
        "for name in sys.argv[1:]:\n"
        "    code = compile_task(f'import numpy\\ntry: numpy.{name}\\nexcept AttributeError: pass\\ndir(numpy)', policy)\n"
        "    run(code, make_namespace(policy, {}))\n"
        "print([name for name in sys.argv[1:] if f'numpy.{name}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "f2py", "distutils"], capture_output=True, text=True, timeout=within(60)
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_random_generators_hand_out_no_pointers() -> None:
    """What numpy's bit generators offer to C code cannot be read."""
    for name in ("ctypes", "cffi"):
        text = f"the attribute '{name}' of an array is not allowed: it writes files or hands out pointers. {NO_SETTING}"
        check(Attack(f"import numpy\nreached.append(numpy.random.default_rng(1).bit_generator.{name})", text))
        check(Attack(f"import numpy\nreached.append(getattr(numpy.random.PCG64(1), '{name}'))", text))


def test_arrays_hand_out_no_pointers_through_proxies() -> None:
    """What is refused of an array is refused of what stands for it."""
    text = f"the attribute 'ctypes' of an array is not allowed: it writes files or hands out pointers. {NO_SETTING}"
    check(Attack("import numpy, weakref\na = numpy.zeros(1)\nreached.append(weakref.proxy(a).ctypes)", text))
