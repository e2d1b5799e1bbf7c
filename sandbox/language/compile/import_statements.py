"""Import statements: checked against the allowlists now, and turned into calls of the importer's guards."""

from __future__ import annotations
import __future__

import ast

from reptarium.sandbox.language.compile.walk import LOAD, STORE, Walk, attribute_advice
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.allowlist import absent
from reptarium.sandbox.language.policy.names import IMPORT, IMPORT_FROM, STAR
from reptarium.sandbox.language.policy.stdlib import HOT


class ImportStatements(Walk):
    """The part of the walk that decides on ``import`` and ``from … import``."""

    def _check_import(self, node: ast.AST, module: str) -> bool:
        refusal = self._import_check(module)
        if refusal is None:
            return True
        why, setting = refusal
        # A list may allow it elsewhere, or it is nowhere; the importer asks again at run time
        if self._optional and (setting or absent(self.policy, module)):
            return True
        self.refuse(node, f"import of '{module}' is not allowed", why, setting)
        return False

    def _static_import(self, node: ast.Call) -> None:
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            self._check_import(node, node.args[0].value)

    def _import(self, node: ast.Import) -> ast.AST:
        if getattr(node, "is_lazy", 0):
            self.refuse(node, "a lazy import is not allowed", "write an ordinary one")
        targets: list[ast.expr] = []
        values: list[ast.expr] = []
        for alias in node.names:
            self._check_import(node, alias.name)
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(node, name, module=alias.name if alias.asname else name)
            self._reflects |= self._scopes[-1] == "class" or alias.name == "importlib"  # the class carries it
            targets.append(ast.Name(name, STORE))
            arguments: list[ast.expr] = [ast.Constant(alias.name), ast.Constant(alias.asname is not None)]
            values.append(ast.Call(ast.Name(IMPORT, LOAD), arguments, []))
        return _assignment(node, targets, values)

    def _import_from(self, node: ast.ImportFrom) -> ast.AST:
        if getattr(node, "is_lazy", 0):
            self.refuse(node, "a lazy import is not allowed", "write an ordinary one")
        if node.level:
            self.refuse(node, "a relative import is not allowed", "a task is not part of a package", "")
            return node
        module = node.module or ""
        if module == "__future__":
            if self._scopes != ["task"]:
                self.refuse(node, "a __future__ import is not allowed here", "it belongs on top", "")
            self.postponed |= any(alias.name == "annotations" for alias in node.names)
            for alias in node.names:
                if alias.name not in __future__.all_feature_names:
                    self.refuse(node, f"the future feature {alias.name} is not allowed", "Python doesn't know it", "")
            return ast.copy_location(ast.Pass(), node)
        self._check_import(node, module)
        self._reflects |= self._scopes[-1] == "class" or module == "importlib"
        targets: list[ast.expr] = []
        for alias in node.names:
            if alias.name == "*":
                if self._scopes != ["task"]:
                    self.refuse(
                        node, f"'from {module} import *' is not allowed here", "it belongs to the outermost level", ""
                    )
                self._reflects |= module in HOT  # "urllib" brings "parse"
                call = ast.Call(ast.Name(STAR, LOAD), [ast.Constant(module)], [])
                return _placed(ast.Expr(call), node)
            if not rules.may_read(alias.name):
                self.refuse(node, f"the name '{alias.name}' is not allowed", attribute_advice(alias.name))
            name = alias.asname or alias.name
            submodule = f"{module}.{alias.name}"
            self._bind(node, name, module=submodule if submodule in HOT else None)
            targets.append(ast.Name(name, STORE))
        names = ast.Tuple([ast.Constant(alias.name) for alias in node.names], LOAD)
        values: list[ast.expr] = [ast.Call(ast.Name(IMPORT_FROM, LOAD), [ast.Constant(module), names], [])]
        if len(targets) == 1:
            values = [ast.Subscript(values[0], ast.Constant(0), LOAD)]
        return _assignment(node, targets, values)


def _assignment(node: ast.stmt, targets: list[ast.expr], values: list[ast.expr]) -> ast.stmt:
    """``targets = values`` with the statement's location in every node."""
    if len(targets) == 1 or len(values) > 1:
        pairs = list(zip(targets, values, strict=True))
        if len(pairs) == 1:
            new = ast.Assign([pairs[0][0]], pairs[0][1])
        else:
            new = ast.Assign([ast.Tuple(targets, STORE)], ast.Tuple(values, LOAD))
    else:
        new = ast.Assign([ast.Tuple(targets, STORE)], values[0])
    return _placed(new, node)


def _placed(new: ast.stmt, node: ast.stmt) -> ast.stmt:
    """A statement that was made, in all its parts where ``node`` is. ``ast.fix_missing_locations`` asks each part for
    what it has already: a tenth of what a program with two imports takes to compile.
    """
    line, column, last_line, last_column = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
    below: list[ast.AST] = [new]
    while below:
        part = below.pop()
        if isinstance(part, (ast.stmt, ast.expr)):
            part.lineno, part.col_offset, part.end_lineno, part.end_col_offset = line, column, last_line, last_column
            for name in part._fields:
                inner = getattr(part, name, None)
                below += inner if isinstance(inner, list) else [inner] if isinstance(inner, ast.expr) else ()
    return new
