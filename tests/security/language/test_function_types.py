"""``types.FunctionType`` and ``CodeType`` make functions of anything: a task has stand-ins that answer checks and make nothing."""

from __future__ import annotations

import types

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.hardening import RefusedOperation

NO_FUNCTION = "cannot create 'function' instances"
MISSING = ["CodeType", "CellType", "FrameType", "GetSetDescriptorType",
           "MemberDescriptorType", "WrapperDescriptorType", "MethodWrapperType", "MethodDescriptorType", "ClassMethodDescriptorType",
           "new_class", "prepare_class", "resolve_bases", "coroutine", "get_original_bases", "sys", "functools"]  # fmt: skip
ATTACKS = {
    "function": Attack("import types\nreached.append(types.FunctionType(code, {}))", NO_FUNCTION, TypeError),
    "lambda": Attack("from types import LambdaType\nreached.append(LambdaType(code, {}))", NO_FUNCTION, TypeError),
    "type_of_a_function": Attack("reached.append(type(lambda: 1)(code, {}))", NO_FUNCTION, TypeError),
    "class_of_a_function": Attack("reached.append((lambda: 1).__class__(code, {}))", NO_FUNCTION, TypeError),
    "class_by_name": Attack("reached.append(getattr(lambda: 1, '__class__')(code, {}))", NO_FUNCTION, TypeError),
    "type_of_a_method": Attack("class A:\n    def f(self): pass\nreached.append(type(A.f)(code, {}))", NO_FUNCTION, TypeError),
    "type_of_a_library_function": Attack("import json\nreached.append(type(json.dumps)(code, {}))", NO_FUNCTION, TypeError),
    "partial": Attack("from functools import partial\nreached.append(partial(type(lambda: 1), code)({}))", NO_FUNCTION, TypeError),
    "new": Attack("reached.append(type(lambda: 1).__new__.__self__)", f"the attribute '__self__' is not allowed: it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"),
    "new_of_the_stand_in": Attack("F = type(lambda: 1)\nreached.append(F.__new__(F, code, {}))", "function() takes no arguments", TypeError),
    "subclass": Attack("class F(type(lambda: 1)): pass\nreached.append(F)", "type 'function' is not an acceptable base type", TypeError),
    "traceback": Attack("import types\nreached.append(types.TracebackType(None, code, 1, 1))", "cannot create 'traceback' instances", TypeError),
    "coroutine": Attack("import types\nreached.append(types.CoroutineType(code))", "cannot create 'coroutine' instances", TypeError),
    "asynchronous_generator": Attack("import types\nreached.append(types.AsyncGeneratorType(code))", "cannot create 'async_generator' instances", TypeError),
    "type_of_a_code": Attack("reached.append(type(code)())", "cannot create 'code' instances", TypeError),
    "code_of_a_function": at_compile("reached.append((lambda: 1).__code__)", "the attribute '__code__' is not allowed"),
    "code_by_name": Attack("reached.append(getattr(lambda: 1, '__code__'))", attribute("__code__")),
    "code_assigned": at_compile("f = lambda: 1\nf.__code__ = code", "changing the attribute '__code__' is not allowed"),
    "code_set": Attack("f = lambda: 1\nsetattr(f, '__code__', code)", f"changing the attribute '__code__' is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "code_set_by_object": Attack("f = lambda: 1\nobject.__setattr__(f, '__code__', code)", f"changing the attribute '__code__' is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "defaults_assigned": at_compile("f = lambda x: 1\nf.__defaults__ = (1,)", "changing the attribute '__defaults__' is not allowed"),
    "globals_of_a_function": at_compile("reached.append((lambda: 1).__globals__)", "the attribute '__globals__' is not allowed"),
    "builtins_of_a_function": Attack("reached.append(getattr(lambda: 1, '__builtins__'))", attribute("__builtins__")),
    "cell": at_compile("def f(x): return lambda: x\nreached.append(f(1).__closure__[0].cell_contents)", "the attribute 'cell_contents' is not allowed"),
    "type_of_a_cell": Attack("reached.append(type(cell)(1))", "cannot create 'cell' instances", TypeError),
    "cell_contents_by_name": Attack("reached.append(getattr(cell, 'cell_contents'))", attribute("cell_contents")),
    "compiled": at_compile("reached.append(compile('1', '', 'eval'))", "'compile' is not allowed"),
    "codeop": at_compile("import codeop\nreached.append(codeop)", "import of 'codeop' is not allowed"),
    "stand_in_changed": Attack("type(lambda: 1).x = 1", "cannot change attributes of 'function'", TypeError),
    "stand_in_deleted": Attack("del type(lambda: 1).x", "cannot change attributes of 'function'", TypeError),
}  # fmt: skip
LEAKS = {
    "function": ("leaked(code, {})", types.FunctionType, "function.__new__ (making code)"),
    "code": ("leaked.replace(co_name='x')", (lambda: 1).__code__, "code.__new__ (making code)"),
    "by_partial": (
        "__import__('functools').partial(leaked, code)({})",
        types.FunctionType,
        "function.__new__ (making code)",
    ),
    "by_a_python_frame": (
        "(f := __import__('functools')).singledispatch(f.partial(leaked))(code, {})",
        types.FunctionType,
        "function.__new__ (making code)",
    ),
    "by_map": ("list(map(leaked, [code], [{}]))", types.FunctionType, "function.__new__ (making code)"),
}


def _cell() -> object:
    value = 1
    closure = (lambda: value).__closure__
    assert closure is not None
    return closure[0]


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """No function is made of a code object, and no code object had."""
    check(attack, code=(lambda: 1).__code__, cell=_cell())


@pytest.mark.parametrize("name", MISSING)
def test_types_does_not_carry(name: str) -> None:
    """The façade of ``types`` is short."""
    check(
        Attack(
            f"import types\nreached.append(types.{name})", f"module 'types' has no attribute '{name}'", AttributeError
        )
    )
    text = f"cannot import name '{name}' from 'types'"
    check(Attack(f"from types import {name} as x\nreached.append(x)", text, RefusedImport))


@pytest.mark.parametrize("leak", LEAKS)
def test_leaked_class(leak: str) -> None:
    """Should the real class ever leak, the audit hook stops what it would make."""
    expression, leaked, event = LEAKS[leak]
    attack = Attack(
        f"reached.append({expression})",
        f"{event} is not available in a task: it runs text as code. {NO_SETTING}",
        RefusedOperation,
    )
    check(attack, leaked=leaked, code=(lambda: 1).__code__)


def test_leaked_class_behind_a_library_function() -> None:
    """A frame of a library's between the task and the class makes no difference."""
    text = f"function.__new__ (making code) is not available in a task: it runs text as code. {NO_SETTING}"
    program = (
        "import contextlib\nwith contextlib.ExitStack() as stack:\n"
        "    stack.push(lambda *error: reached.append(1) if error[0] is None else None)\n    stack.callback(leaked, code, {})"
    )
    check(Attack(program, text, RefusedOperation), leaked=types.FunctionType, code=(lambda: 1).__code__)


def test_checks_still_work() -> None:
    """``isinstance`` with the stand-ins answers as with the real classes."""
    check_nothing_reached(
        """
        import types
        def f(): yield
        if not isinstance(f, types.FunctionType): reached.append(1)
        if isinstance(len, types.FunctionType) or isinstance(1, types.LambdaType): reached.append(2)
        if type(f) is not types.FunctionType or type(f).__name__ != 'function': reached.append(3)
        if not isinstance(f(), types.GeneratorType): reached.append(4)
        if not isinstance(len, types.BuiltinFunctionType): reached.append(5)
        """
    )
