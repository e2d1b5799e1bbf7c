"""``ctypes`` reads and writes any memory: neither it nor anything that carries it can be had, and the audit hook stops its calls."""

from __future__ import annotations

import ctypes
import sys

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.hardening import RefusedOperation

ARRAY = f"the attribute 'ctypes' of an array is not allowed: it writes files or hands out pointers. {NO_SETTING}"
ATTACKS = {
    "module": at_compile("import ctypes\nreached.append(ctypes)", "import of 'ctypes' is not allowed"),
    "util": at_compile("import ctypes.util\nreached.append(ctypes)", "import of 'ctypes.util' is not allowed"),
    "c_module": at_compile("import _ctypes\nreached.append(_ctypes)", "import of '_ctypes' is not allowed"),
    "cffi": at_compile("import cffi\nreached.append(cffi)", "import of 'cffi' is not allowed"),
    "mmap": at_compile("import mmap\nreached.append(mmap)", "import of 'mmap' is not allowed"),
    "computed": Attack("reached.append(__import__('cty' + 'pes'))", f"import of 'ctypes' is not allowed: it opens the interpreter itself. {NO_SETTING}", RefusedImport),
    "kept_by_uuid": Attack("import uuid\nreached.append(uuid.ctypes)", "module 'uuid' has no attribute 'ctypes'", AttributeError),
    "kept_by_a_class": Attack("reached.append(keeper.ctypes)", f"the attribute 'ctypes' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "kept_privately": Attack("reached.append(keeper._ctypes)", f"the attribute '_ctypes' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "of_an_array": Attack("import numpy\nreached.append(numpy.array([1]).ctypes)", ARRAY),
    "of_an_array_by_name": Attack("import numpy\nreached.append(getattr(numpy.array([1]), 'ctypes'))", ARRAY),
    "of_an_array_by_attrgetter": Attack("import numpy, operator\nreached.append(operator.attrgetter('T.ctypes.data')(numpy.array([1])))", ARRAY),
    "of_an_array_by_pattern": Attack("import numpy\nmatch numpy.array([1]):\n    case numpy.ndarray(ctypes=c): reached.append(c)", "this class pattern is not allowed: it would read the attribute 'ctypes'. No setting allows it."),
    "of_an_array_subclass": Attack("import numpy\nclass A(numpy.ndarray):\n    __match_args__ = ('ctypes',)\nmatch numpy.zeros(1).view(A):\n    case A(c): reached.append(c)", f"this class pattern is not allowed: it would read the attribute 'ctypes'. {NO_SETTING}"),
    "of_a_scalar": Attack("import numpy\nreached.append(numpy.random.default_rng(1).bit_generator.ctypes)", ARRAY),
    "interface_of_an_array": at_compile("import numpy\nreached.append(numpy.array([1]).__array_interface__['data'])", "the attribute '__array_interface__' is not allowed"),
    "interface_by_name": Attack("import numpy\nreached.append(getattr(numpy.array([1]), '__array_struct__'))", attribute("__array_struct__")),
    "interface_of_a_class": at_compile("class A:\n    __array_interface__ = {'data': (1, False)}", "binding the name '__array_interface__' is not allowed"),
    "strides": at_compile("import numpy\nreached.append(numpy.lib.stride_tricks.as_strided(numpy.zeros(1), (9,)))", "the attribute 'as_strided' is not allowed"),
    "strides_imported": at_compile("from numpy.lib.stride_tricks import as_strided as s\nreached.append(s)", "the name 'as_strided' is not allowed"),
    "strides_by_name": Attack("import numpy\nreached.append(getattr(numpy.lib.stride_tricks, 'as_strided'))", attribute("as_strided")),
}  # fmt: skip
CALLS = {
    "dlopen": ("leaked(None)", ctypes.CDLL, "ctypes.dlopen"),
    # called through Python's own C interface since 3.14
    "string_at": (
        "leaked(1)",
        ctypes.string_at,
        f"ctypes.{'call_function' if sys.version_info >= (3, 14) else 'string_at'}",
    ),
    "addressof": ("leaked(value)", ctypes.addressof, "ctypes.addressof"),
    "create_string_buffer": ("leaked(8)", ctypes.create_string_buffer, "ctypes.create_string_buffer"),
    "from_address": ("leaked.from_address(1)", ctypes.c_int, "ctypes.cdata"),
    "from_buffer": ("leaked.from_buffer(bytearray(8))", ctypes.c_int, "ctypes.cdata/buffer"),
}


class Keeper:
    """Stands for a library's class that keeps the module."""

    ctypes = _ctypes = ctypes


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Nothing leads there."""
    check(attack, keeper=Keeper)


@pytest.mark.parametrize("call", CALLS)
def test_leaked_function(call: str) -> None:
    """Should a function of it ever leak, CPython asks the audit hook before it does anything."""
    expression, leaked, event = CALLS[call]
    attack = Attack(
        f"reached.append({expression})",
        f"{event} is not available in a task: it is about the interpreter or the machine, not the data. {NO_SETTING}",
        RefusedOperation,
    )
    check(attack, leaked=leaked, value=ctypes.c_int(1))
