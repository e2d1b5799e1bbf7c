"""Text that becomes code while a task runs: libraries make code (scipy's distributions, attrs, parser generators), and
it is read before Python compiles it, whoever asks.

What libraries write is arithmetic, attributes of their own objects, special methods. What leads to the interpreter is
written down nowhere but in attacks: whoever got a library to evaluate text of his own would need it, since the text
runs with the library's builtins. The kernel layer holds what gets by.
"""

from __future__ import annotations

import ast
import sys
from importlib.machinery import ModuleSpec
from types import FrameType
from typing import Any

from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy import stdlib

#: Builtins that run text, reach files or read attributes by name.
REFUSED_BUILTINS = frozenset(
    "eval exec compile open input breakpoint globals vars help exit quit setattr delattr getattr "
    "__import__ __builtins__ __loader__ __spec__ __build_class__".split()
)
#: Special attributes that generated code uses, and that lead nowhere. (A descriptor's ``__set__`` and ``__delete__``
#: do what an assignment and a ``del`` do: SQLAlchemy's hybrid properties hand them on.) Not among them is what a task
#: reads through a guard: a class's real ``__dict__`` has ``__getattribute__`` under its name. What attrs and
#: dataclasses write is read where it is made.
_DUNDERS = rules.READABLE_DUNDERS | {
    "__class__", "__annotations__", "__weakref__", "__attrs_attrs__", "__set__", "__delete__",
}  # fmt: skip
_HOLDERS = frozenset(
    "os sys builtins bltns subprocess importlib ctypes socket shutil posix pty gc inspect types operator threading "
    "marshal pickle copyreg codecs runpy pkgutil linecache tempfile multiprocessing asyncio mmap flavour pathmod "
    "typing weakref traceback logging warnings".split()
)


def are_a_module_s(names: dict[str, Any]) -> bool:
    """Whether these are the names of a module that was imported. Those that a task hands over with a text
    (``parse_expr(text, global_dict=names)``) say of themselves what they like, ``__file__`` and ``__name__`` among it,
    but nobody has what the import machinery keeps of a module.
    """
    return type(dict.get(names, "__spec__")) is ModuleSpec


def is_of_a_file(frame: FrameType) -> bool:
    """Whether the code that runs there is a module's own, and was no text that became code."""
    module, file = frame.f_globals, frame.f_code.co_filename
    return are_a_module_s(module) and file in (module.get("__file__"), f"<frozen {module.get('__name__')}>")


def code_refusal(source: object) -> str | None:
    """Why code made of this is refused, or None. ``source`` is what CPython reports: bytes, or a syntax tree."""
    if isinstance(source, ast.AST):
        tree = source
    elif isinstance(source, (bytes, str)):
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None  # Python says so itself
    else:
        return "it isn't text"
    nodes = list(ast.walk(tree))
    plain = {id(node.func) for node in nodes if isinstance(node, ast.Call) and _reads_plainly(node)}
    for node in nodes:
        if id(node) not in plain:
            refusal = _refusal(node)
            if refusal:
                return refusal
    return None


def _reads_plainly(call: ast.Call) -> bool:
    """Whether it is ``getattr`` with a name that is spelled out and innocent."""
    match call:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            return rules.is_plain(name)
    return False


class _Guarded(ast.NodeTransformer):
    """Puts a guarded read in the place of each that needs one; the name of the guard is no name that text can spell."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr not in _HELD or not isinstance(node.ctx, ast.Load):
            return node
        guard = ast.Name(rules.GENERATED_GETATTR, ast.Load())
        return ast.copy_location(ast.Call(guard, [node.value, ast.Constant(node.attr)], []), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name(rules.GENERATED_GETATTR, node.ctx), node) if node.id == "getattr" else node


_HELD = rules.GUARDED_ATTRIBUTES - rules.GUARDED_DUNDERS


def guarded_reads(tree: ast.Module) -> ast.Module:
    """The tree of a text that libraries have written over the task's names, with reads as a task's;
    ``GENERATED_GETATTR`` must be among its globals.
    """
    guarded: ast.Module = ast.fix_missing_locations(_Guarded().visit(tree))
    return guarded


def _refusal(node: ast.AST) -> str | None:
    match node:
        case ast.Attribute(attr=name):
            if name in rules.DENIED_ATTRIBUTES or (rules.is_dunder(name) and name not in _DUNDERS):
                return f"it reads the attribute '{name}'"
            if name in _HOLDERS or (name[1:] in _HOLDERS and name[0] == "_"):
                return f"it reads the attribute '{name}', which leads to a module"
        case ast.Name(id=name):
            if name in REFUSED_BUILTINS:
                return f"it uses '{name}'"
            if name == "__file__":
                return "it says what file it is from"
        case ast.Import(names=aliases):
            for alias in aliases:
                if not _importable(alias.name):
                    return f"it imports '{alias.name}'"
        case ast.ImportFrom(module=module, names=aliases):
            if module is not None and not _importable(module):
                return f"it imports '{module}'"
            for alias in aliases:
                if not rules.is_plain(alias.name) or alias.name.removeprefix("_") in _HOLDERS:
                    return f"it imports '{alias.name}' from '{module}'"
        case ast.MatchClass(kwd_attrs=names):
            for name in names:
                if not rules.is_plain(name):
                    return f"it matches the attribute '{name}'"
    return None


def _importable(name: str) -> bool:
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return top not in stdlib.REFUSED_EXTERNAL
    return top == "__future__" or (name in stdlib.OPEN and name not in stdlib.ONLY)
