"""From source text to code."""

from __future__ import annotations
import __future__

import ast
import functools
import re
import sys
import warnings
from types import CodeType
from typing import Any

from reptarium.sandbox.language.compile.transformer import Transformer
from reptarium.sandbox.language.policy import LanguagePolicy, PolicyViolation
from reptarium.sandbox.language.policy.allowlist import import_refusal
from reptarium.sandbox.language.policy.names import TASK

_QUALIFIED = f"{TASK}.<locals>."


def _shell(kind: str) -> ast.Module:
    """The function that a program becomes, in its module, as this Python's parser makes them."""
    module = ast.parse(f"{kind} task(): pass")
    module.body[0].name = TASK  # type: ignore[attr-defined]
    return module


#: Made once; each program is its body for a moment.
_SHELL: Any = _shell("def")
#: For programs that ``await`` at their outermost level.
_ASYNC_SHELL: Any = _shell("async def")
#: How deep the walk may go: a chain of calls, of terms or of ``elif`` is as deep as it is long. CPython's own parser
#: gives up before.
_DEPTH = 8_000


class _Compiler:
    """Process-wide. An instance, since classes are sealed."""

    def __init__(self) -> None:
        self.silent = False


_compiler = _Compiler()


def silence_compiler(filename: str = "<task>") -> None:
    """For a process that does nothing but serve tasks: what Python's compiler warns of in ``filename`` is shown
    nowhere. Elsewhere :func:`compile_task` sees to that itself, each time.
    """
    warnings.filterwarnings("ignore", module=re.escape(filename))
    _compiler.silent = True


def compile_task(source: str, policy: LanguagePolicy, *, filename: str = "<task>") -> CodeType:
    """Parse, check and transform a program; the code is that of a function without parameters.

    Raises SyntaxError with the user's own line and column, or :class:`PolicyViolation` with every
    refused construct. Line numbers are the source's own.
    """
    if _compiler.silent:
        return _compile(source, policy, filename)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user's invalid escapes are no business of the worker's log
        return _compile(source, policy, filename)


def _compile(source: str, policy: LanguagePolicy, filename: str) -> CodeType:
    source = source.removeprefix("\ufeff")  # a byte order mark, of an editor on Windows
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEPTH))
    try:
        return _compiled(source, policy, filename)
    finally:
        sys.setrecursionlimit(limit)


def _compiled(source: str, policy: LanguagePolicy, filename: str) -> CodeType:
    tree: ast.Module = compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)  # type: ignore[assignment]
    transformer = Transformer(policy, functools.partial(import_refusal, policy))
    body = transformer.program(tree.body)
    transformer.finish()
    if transformer.findings:
        raise PolicyViolation(transformer.findings)
    shared = transformer.forced_globals()
    if shared:
        body.insert(0, ast.Global(shared, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    if not body:
        body.append(ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    flags = __future__.annotations.compiler_flag if transformer.postponed else 0
    shell = _ASYNC_SHELL if transformer.asynchronous else _SHELL
    shell.body[0].body = body
    try:
        module = compile(shell, filename, "exec", flags, dont_inherit=True)
    finally:
        shell.body[0].body = []
    for constant in module.co_consts:
        if isinstance(constant, CodeType):
            return _renamed(constant).replace(co_name="<module>", co_qualname="<module>")
    raise AssertionError("a function without code")


def _renamed(code: CodeType) -> CodeType:
    """The code with our wrapper's name taken out of every qualified name that a person could see."""
    changed = False
    constants: list[Any] = []
    for constant in code.co_consts:
        new = constant
        if isinstance(constant, CodeType):
            new = _renamed(constant)
        elif type(constant) is str and constant.startswith(_QUALIFIED):
            new = constant[len(_QUALIFIED) :]
        changed |= new is not constant
        constants.append(new)
    qualified = code.co_qualname.removeprefix(_QUALIFIED)
    if not changed and qualified == code.co_qualname:
        return code
    return code.replace(co_consts=tuple(constants), co_qualname=qualified)
