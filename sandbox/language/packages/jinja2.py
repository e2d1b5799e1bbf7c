"""Jinja2: a compiler of its own, whose parts are the task's to change.

Jinja writes Python text and compiles it. Its lexer, parser, extensions and code generator belong to an
``Environment`` that user code owns, so that nothing about the text can be taken for granted: it is read
again, as a whole, before Python compiles it. What templates read by name at run time goes through the guard.

Facts about the text: read off what Jinja 3.0 and 3.1 generate for every kind of statement.
"""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages.package import WITHHELD, Package
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules

#: Private attributes and builtins that the generated text uses.
_PRIVATE = frozenset({"_get_default_module", "_get_default_module_async", "__name__"})
_BUILTINS = frozenset("str isinstance len range next tuple list dict True False None KeyError StopIteration".split())
_BUILTIN_NAMES = frozenset(dir(builtins))
_REFUSED_NODES = (ast.ClassDef, ast.Import, ast.Lambda, ast.Global, ast.Nonlocal, ast.Await, ast.AsyncFunctionDef,
                  ast.AsyncFor, ast.AsyncWith, ast.NamedExpr, ast.Match)  # fmt: skip


def check_source(text: object) -> None:
    """Raise :class:`RefusedAttribute` unless this generated source does no more than Jinja's own does.

    ``text`` is what CPython reports to audit hooks: bytes in UTF-8, None for a syntax tree.
    """
    if type(text) is not bytes:
        raise RefusedAttribute("a template that isn't text is not allowed: give it a str")
    nodes = list(ast.walk(ast.parse(text)))
    reads = {id(node.func) for node in nodes if isinstance(node, ast.Call) and _reads_plainly(node)}
    for node in nodes:
        if id(node) not in reads and not _honest(node):
            raise RefusedAttribute(
                "this template is not allowed: what Jinja made of it is more than a template. No setting allows it."
            )


def _reads_plainly(call: ast.Call) -> bool:
    """Whether it is ``getattr`` with a name that is spelled out and innocent (``{% from … import name %}``)."""
    match call:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            return rules.is_plain(name)
    return False


def _honest(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(module=module, level=0, names=aliases):
            names = {alias.name for alias in aliases}
            return module == "__future__" or (module == "jinja2.runtime" and names <= _exported())
        case ast.Attribute(attr="autoescape", ctx=ast.Store()):
            return True
        case ast.Attribute(attr=name, ctx=context):
            return isinstance(context, ast.Load) and (name in _PRIVATE or (rules.is_plain(name) and name[:1] != "_"))
        case ast.Name(id=name):
            return not rules.is_dunder(name) and (name not in _BUILTIN_NAMES or name in _BUILTINS)
        case ast.FunctionDef(name=name) | ast.arg(arg=name) | ast.alias(asname=name):
            return name is None or (not rules.is_dunder(name) and name != "getattr")
    return not isinstance(node, (_REFUSED_NODES, ast.ImportFrom))


def _exported() -> frozenset[str]:
    runtime: Any = importlib.import_module("jinja2.runtime")
    return frozenset((*runtime.exported, *runtime.async_exported))


def _guard(module: Any) -> None:
    """What templates read is read under the task's rules, whatever names Jinja has in its own text."""
    vars(module)["getattr"] = guards.guarded_getattr


def _patch_environment(environment: Any) -> None:
    _guard(environment)
    environment.import_string = _own_extension(environment.import_string)


def _own_extension(real: Callable[..., Any]) -> Callable[..., Any]:
    def import_string(name: str, silent: bool = False) -> Any:
        if type(name) is not str or not name.startswith("jinja2.ext."):
            raise RefusedAttribute(f"the Jinja extension {name!r} is not allowed: it is not one of Jinja's own")
        return real(name, silent)

    return import_string


#: What the façades of ``jinja2`` and ``jinja2.environment`` lack besides: files, and the parts of the compiler.
_LOADERS = "FileSystemLoader PackageLoader ModuleLoader FileSystemBytecodeCache MemcachedBytecodeCache"
_OUTSIDE = f"{_LOADERS} environment nodes compiler loaders utils runtime nativetypes bccache"


def _environments(_: Any) -> dict[str, Any]:
    sandbox: Any = importlib.import_module("jinja2.sandbox")

    def template(source: str, **options: Any) -> Any:
        """``jinja2.Template`` in Jinja's own sandbox."""
        return sandbox.SandboxedEnvironment(**options).from_string(source)

    return {
        "Environment": sandbox.SandboxedEnvironment,
        "Template": template,
        **dict.fromkeys(_OUTSIDE.split(), WITHHELD),
    }


_COMPILER = "bccache compiler debug loaders nativetypes nodes parser runtime utils"
_NO_FILES = "it reads and writes files by names of its own; use DictLoader or FunctionLoader"
_INSIDE = "it is inside of what makes code of templates"
PACKAGE = Package(
    "jinja2",
    withheld={
        "jinja2": {_NO_FILES: _LOADERS, _INSIDE: _COMPILER},
        "jinja2.environment": {_NO_FILES: _LOADERS, _INSIDE: f"{_COMPILER} environment"},
    },
    made={"jinja2": _environments, "jinja2.environment": _environments},
    patches={"jinja2.environment": _patch_environment, "jinja2.sandbox": _guard, "jinja2.nodes": _guard},
    code_checks={"jinja2.environment": check_source},
)
