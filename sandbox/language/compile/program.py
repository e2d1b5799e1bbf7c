"""From source text to code."""

from __future__ import annotations
import __future__

import ast
import functools
import re
import sys
import warnings
from types import CodeType
from typing import Any, Protocol

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


class CompileTask(Protocol):
    """What makes code of a program; see :func:`compile_task`."""

    def __call__(self, source: str, policy: LanguagePolicy, *, filename: str = ...) -> CodeType: ...


def of_any_text(function: CompileTask) -> CompileTask:
    """The function for what people send: deep programs, byte order marks; invalid escapes are kept out of the log."""

    def deep(source: str, policy: LanguagePolicy, filename: str) -> CodeType:
        source = source.removeprefix("\ufeff")  # a byte order mark, of an editor on Windows
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _DEPTH))
        try:
            return function(source, policy, filename=filename)
        finally:
            sys.setrecursionlimit(limit)

    @functools.wraps(function)
    def quiet(source: str, policy: LanguagePolicy, *, filename: str = "<task>") -> CodeType:
        if _compiler.silent:
            return deep(source, policy, filename)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return deep(source, policy, filename)

    return quiet


@of_any_text
def compile_task(source: str, policy: LanguagePolicy, *, filename: str = "<task>") -> CodeType:
    """Parse, check and transform a program; the code is that of a function without parameters.

    Raises SyntaxError with the user's own line and column, or :class:`PolicyViolation` with every
    refused construct. Line numbers are the source's own.
    """
    transformer = Transformer(policy, functools.partial(import_refusal, policy))
    body = transformer.program(parse(source, filename).body)
    transformer.finish()
    if transformer.findings:
        raise PolicyViolation(transformer.findings)
    flags = __future__.annotations.compiler_flag if transformer.postponed else 0
    shared = transformer.forced_globals()
    return compile_body(body, shared, filename, flags, asynchronous=transformer.asynchronous)


def parse(source: str, filename: str) -> ast.Module:
    """The program's syntax tree. Raises SyntaxError."""
    return compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)  # type: ignore[return-value]


def compile_body(body: list[ast.stmt], shared: list[str], filename: str, flags: int, *, asynchronous: bool) -> CodeType:
    """The code of a function with this body, whose names ``shared`` are globals; a coroutine's, if it awaits.
    ``flags``: of ``__future__``.
    """
    if shared:
        body.insert(0, ast.Global(shared, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    if not body:
        body.append(ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    shell = _ASYNC_SHELL if asynchronous else _SHELL
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
