"""From source text to the code of a function, untouched but for what a function can't be: a module.

The wrapper is the one of the restricted mode (``compile/``), so that results, shared names and line numbers are the
same in both. Checked are the person's own import statements, against the allowlists, and the builtins that the
administrator removed.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator
from types import CodeType

from reptarium.sandbox.language.compile.program import compile_body, of_any_text, parse
from reptarium.sandbox.language.compile.scopes import (
    BUILTIN_NAMES,
    binds,
    bound_anew,
    in_scope,
    names_in_text,
    shared_names,
)
from reptarium.sandbox.language.compile.transformer import expects_import_error, without_annotation
from reptarium.sandbox.language.policy import Finding, LanguagePolicy, PolicyViolation
from reptarium.sandbox.language.policy.allowlist import BUILTINS_SETTING, unlisted

#: Among the builtins of a task: what ``from m import *`` becomes, which no function may hold. No source can spell it.
IMPORT_STAR = "guard import star"
#: And what ``type(x)`` becomes, and ``type`` itself.
CLASS_OF, TYPE = "guard class of", "guard type"

#: Names of ours whose values are what JSON makes.
_PLAIN_NAMES = frozenset({"_items", "_item", "_query"})


@of_any_text
def compile_task(source: str, policy: LanguagePolicy, *, filename: str = "<task>") -> CodeType:
    """The code of a function without parameters; line numbers are the source's own.

    Raises SyntaxError with the user's own line and column, or :class:`PolicyViolation` for imports and builtins that
    the administrator's lists leave out.
    """
    program = parse(source, filename).body
    flags, body = _without_future(program)
    _check(body, policy)
    if "type" in source:
        _ask_for_classes(body)
    outermost = _Outermost(body, postponed=bool(flags & __future__.annotations.compiler_flag))
    return compile_body(outermost.body, outermost.shared, filename, flags, asynchronous=outermost.awaits)


def _ask_for_classes(body: list[ast.stmt]) -> None:
    """Has ``type(x)`` say ``dict`` of what passes for one (an item as n8n's old node showed it), where a program names
    anything that could be one: all of those begin with an underscore.
    """
    nodes = [node for statement in body for node in ast.walk(statement)]
    if not any(isinstance(node, ast.Name) and node.id[0] == "_" and node.id not in _PLAIN_NAMES for node in nodes):
        return
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args or node.keywords:
            continue
        if node.func.id == "type" and len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
            node.func = _class_of(node.func)
        elif node.func.id == "map" and isinstance(node.args[0], ast.Name) and node.args[0].id == "type":
            node.args[0] = _class_of(node.args[0])


def _class_of(name: ast.Name) -> ast.expr:
    """``type``, or what stands for it; the program may have one of its own."""
    same = ast.Compare(name, [ast.Is()], [ast.Name(TYPE, ast.Load())])
    return ast.fix_missing_locations(ast.copy_location(ast.IfExp(same, ast.Name(CLASS_OF, ast.Load()), name), name))


def _without_future(body: list[ast.stmt]) -> tuple[int, list[ast.stmt]]:
    """The flags of the ``__future__`` imports on top, and the rest: in a function they would be too late."""
    flags, rest = 0, list(body)
    first = 1 if rest and isinstance(rest[0], ast.Expr) and isinstance(rest[0].value, ast.Constant) else 0
    while len(rest) > first and isinstance(rest[first], ast.ImportFrom):
        statement = rest[first]
        assert isinstance(statement, ast.ImportFrom)
        names = {alias.name for alias in statement.names}
        if statement.module != "__future__" or not names <= set(__future__.all_feature_names):
            break
        for name in names:
            flags |= getattr(__future__, name).compiler_flag
        del rest[first]
    return flags, rest


# ---- the administrator's lists ----------------------------------------------------------


def _check(body: list[ast.stmt], policy: LanguagePolicy) -> None:
    findings: list[Finding] = []
    removed = BUILTIN_NAMES.intersection(policy.builtins_deny)
    for node, expected in _nodes(body, False):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        else:
            continue
        for name in modules:
            refusal = None if expected else unlisted(policy, name)  # the import itself asks again at run time
            if refusal is not None:
                why, setting = refusal
                findings.append(Finding(node.lineno, f"import of '{name}' is not allowed", setting, why))
    if removed:
        nodes = [node for statement in body for node in ast.walk(statement)]
        bound = {name for node in nodes for name in binds(node)}
        findings += [
            Finding(node.lineno, f"'{node.id}' is not allowed", BUILTINS_SETTING, "the administrator removed it")
            for node in nodes
            if isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and node.id in removed
            and node.id not in bound
        ]
    if findings:
        raise PolicyViolation(findings)


def _nodes(body: list[ast.stmt], expected: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it stands in a try that expects an import to fail."""
    waiting: list[tuple[ast.AST, bool]] = [(statement, expected) for statement in body]
    while waiting:
        node, expected = waiting.pop()
        yield node, expected
        inner = expected
        if isinstance(node, ast.Try) and any(map(expects_import_error, node.handlers)):
            waiting += [(child, True) for child in node.body]
            waiting += [(child, expected) for child in (*node.handlers, *node.orelse, *node.finalbody)]
            continue
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]


# ---- names ------------------------------------------------------------------------------


class _Outermost(ast.NodeTransformer):
    """The program's outermost scope: its body fit for a function, and the names that are shared with the namespace."""

    def __init__(self, body: list[ast.stmt], *, postponed: bool) -> None:
        loaded: dict[str, int] = {}
        shared: set[str] = set()
        inner: set[str] = set()
        looked_up: set[str] = set()
        for place, statement in enumerate(body):
            for node in ast.walk(statement):
                if isinstance(node, ast.Global):
                    shared.update(node.names)
                elif isinstance(node, ast.Nonlocal):
                    inner.update(node.names)
                elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                    loaded.setdefault(node.id, place)
                elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                    loaded.setdefault(node.target.id, place)
                elif isinstance(node, ast.ClassDef):
                    looked_up |= bound_anew(node)
                for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
                    if annotation is not None:
                        looked_up |= names_in_text(annotation, postponed)
        bound = {name for node in in_scope(body) for name in binds(node)}
        shared |= (bound & looked_up) | shared_names(bound, loaded, body)
        self.awaits = False
        #: In order, for a ``global`` statement.
        self.shared = sorted(shared - inner)
        self.body: list[ast.stmt] = [self.visit(statement) for statement in body]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A name that is shared may have no annotation; a function keeps none of its own names' anyway."""
        if isinstance(node.target, ast.Name) and node.target.id in self.shared:
            return without_annotation(node)
        return node

    def _awaiting(self, node: ast.AST) -> ast.AST:
        self.awaits = True
        return self.generic_visit(node)

    visit_Await = visit_AsyncFor = visit_AsyncWith = _awaiting

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.awaits = self.awaits or bool(node.is_async)
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level or node.module is None or [alias.name for alias in node.names] != ["*"]:
            return node
        call = ast.Call(ast.Name(IMPORT_STAR, ast.Load()), [ast.Constant(node.module)], [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node))
