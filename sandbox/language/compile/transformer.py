"""The walk over a program's syntax tree: refuses, and puts guards where a name cannot decide.

A subclass of RestrictedPython's transformer that leaves most nodes as they are. Every node class of
the running Python must be decided on in ``nodes.DECISIONS``; an unknown one is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, cast

from reptarium.sandbox.language.compile.import_statements import ImportStatements
from reptarium.sandbox.language.compile.patterns import Patterns
from reptarium.sandbox.language.compile.scopes import bound_anew, names_in_text
from reptarium.sandbox.language.compile.walk import LOAD, STORE, attribute_advice, located
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.formats import format_refusal, needs_a_look
from reptarium.sandbox.language.policy.names import (
    DUNDER_IMPORT,
    GETATTR,
    GETATTR_HOOK,
    GROUPS,
    HOOK_GUARDS,
    OWN_CHANGED,
)
from reptarium.sandbox.language.policy.nodes import PLAIN
from reptarium.sandbox.language.policy.stdlib import HOT

_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

#: Builtins that hand out modules.
_REFLECTING = frozenset({"__import__", "locals", "vars"})
#: Modules that are parts of others: ``urllib.parse``.
_PARTS = frozenset(name.rpartition(".")[2] for name in HOT if "." in name)


class Transformer(Patterns, ImportStatements):
    """Checks and transforms one program. ``findings`` is empty when the program is fit to be compiled."""

    # ---- names and attributes -----------------------------------------------------------

    def _name(self, node: ast.Name) -> ast.AST:
        name = node.id
        if node.ctx.__class__ is not ast.Load:
            self._bind(node, name)
            if node.ctx.__class__ is ast.Del:
                self._mentioned(name)
            return node
        self.loaded.setdefault(name, self._place)
        if node is not self._base:
            self._values.add(name)
        self._supers += [node] if name == "super" and node is not self._called else []
        self._reflects |= name in _REFLECTING
        if name in self._denied_builtins:
            self._denied_loads.append((node, name))
        elif name == "__import__":
            # The builtin of that name is what C code imports with; the user's is ours
            return ast.copy_location(ast.Name(DUNDER_IMPORT, LOAD), node)
        elif rules.is_dunder(name) and not (
            name in rules.READABLE_GLOBALS
            or name in rules.SCRIPT_NAMES
            or (self._scopes[-1] == "class" and name in rules.DEFINABLE)
            or (self._scopes[-1] == "function" and name in rules.OWN_METHODS and name in self.bound)
            or (name == "__class__" and "class" in self._scopes[:-1])
        ):
            self.refuse(node, f"the name '{name}' is not allowed", "it belongs to the interpreter")
        return node

    def _assign(self, node: ast.Assign) -> ast.AST:
        if self._scopes[-1] == "class":
            hooks = [target for target in node.targets if isinstance(target, ast.Name) and target.id == "__getattr__"]
            if hooks:
                self._hooks.update(map(id, hooks))
                self._children(node)
                node.value = self._guarded_hook(node.value)
                return node
        return self._children(node)

    def _guarded_hook(self, value: ast.expr) -> ast.expr:
        """``value`` as a class's ``__getattr__``: numpy asks instances for addresses, and believes the answer."""
        guard = ast.Name(GETATTR_HOOK, LOAD)
        return located(ast.Call(guard, [value], []), value, guard)

    def _augmented(self, node: ast.AugAssign) -> ast.AST:
        """``x.a += y`` reads ``x.a`` where no guard can be put: as it stands only for names that need none."""
        if isinstance(node.target, ast.Name):
            self._mentioned(node.target.id)
        elif isinstance(node.target, ast.Attribute) and node.target.attr in rules.GUARDED_ATTRIBUTES:
            return self._spelled_out(node, node.target)
        return self._children(node)

    def _spelled_out(self, node: ast.AugAssign, target: ast.Attribute) -> ast.AST:
        """``x.a += y`` in steps, as Python takes them, with the guard's in the place of its own:
        ``o = x; v = guard(o, "a"); v += y; o.a = v``.
        """
        if not rules.may_write(target.attr):
            return self._children(node)
        owner, value = f"guard owner {self._tmp_idx}", f"guard value {self._tmp_idx}"
        self._tmp_idx += 1
        read = ast.Call(ast.Name(GETATTR, LOAD), [ast.Name(owner, LOAD), ast.Constant(target.attr)], [])
        steps: list[ast.stmt] = [
            ast.Assign([ast.Name(owner, STORE)], self.visit(target.value)),
            ast.Assign([ast.Name(value, STORE)], read),
            ast.AugAssign(ast.Name(value, STORE), node.op, self.visit(node.value)),
            ast.Assign([ast.Attribute(ast.Name(owner, LOAD), target.attr, STORE)], ast.Name(value, LOAD)),
            ast.Delete([ast.Name(owner, ast.Del()), ast.Name(value, ast.Del())]),
        ]
        self._changed.append(steps[3].targets[0])  # type: ignore[attr-defined]
        together = ast.If(ast.Constant(True), steps, [])
        return ast.fix_missing_locations(ast.copy_location(together, node))

    def _attribute(self, node: ast.Attribute) -> ast.AST:
        name = node.attr
        if name in _PARTS and node is not self._base and isinstance(node.value, ast.Name):
            self._values.add(f"{node.value.id}.{name}")
        self._base = node.value
        if node.ctx.__class__ is not ast.Load:
            if name in rules.OWN_METHODS:
                guard = ast.Name(OWN_CHANGED, LOAD)
                call = ast.Call(guard, [self.visit(node.value), ast.Constant(name)], [])
                node.value = located(call, node, guard, call.args[1])
                return node
            if not rules.may_write(name):
                self.refuse(node, f"changing the attribute '{name}' is not allowed", attribute_advice(name))
            else:
                self._changed.append(node)
            return self._children(node)
        own = name in rules.OWN_DUNDERS and not is_a_literals(node.value)
        if not own and not rules.may_read(name):
            self.refuse(node, f"the attribute '{name}' is not allowed", attribute_advice(name))
            return node
        if not own and name not in rules.GUARDED_ATTRIBUTES:
            return self._children(node)
        if self._unguarded:
            self.refuse(node, f"the attribute '{name}' is not allowed {self._unguarded}", "it needs a check when run")
            return node
        guard = ast.Name(GETATTR, LOAD)
        call = ast.Call(guard, [self.visit(node.value), ast.Constant(name)], [])
        return located(call, node, guard, call.args[1])

    def _call(self, node: ast.Call) -> ast.AST:
        self._called = func = node.func
        if isinstance(func, ast.Name) and func.id == "__import__":
            self._static_import(node)
        if (
            isinstance(func, ast.Attribute)
            and func.attr == "format"
            and isinstance(func.value, ast.Constant)
            and isinstance(func.value.value, str)
        ):
            # The text is known: what it names is decided now, and the call stays native
            refusal = format_refusal(func.value.value)
            if refusal:
                self.refuse(node, refusal, "a format string reads attributes by name")
            elif needs_a_look(func.value.value):
                return self._children(node)
            self._children_of_call_arguments(node)
            return node
        return self._children(node)

    def _children_of_call_arguments(self, node: ast.Call) -> None:
        node.args = [self.visit(arg) for arg in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]

    def _keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg is not None and rules.is_dunder(node.arg) and node.arg not in rules.DEFINABLE | rules.KEYWORDS:
            self.refuse(node, f"the keyword argument '{node.arg}' is not allowed", "it belongs to the interpreter")
        node.value = self.visit(node.value)
        return node

    # ---- functions and classes ------------------------------------------------------------

    def _annotation(self, node: ast.expr | None) -> ast.expr | None:
        if node is None:
            return None
        self.looked_up |= names_in_text(node, self.postponed)
        if not self.postponed:
            return cast(ast.expr, self.visit(node))
        # The compiler turns it into text: nothing may be rewritten in it
        previous, self._unguarded = self._unguarded, "in an annotation"
        try:
            return cast(ast.expr, self.visit(node))
        finally:
            self._unguarded = previous

    def _arguments(self, node: ast.arguments) -> ast.AST:
        # Defaults and annotations belong to the enclosing scope, the names to the function's
        node.defaults = [self.visit(default) for default in node.defaults]
        node.kw_defaults = [default and self.visit(default) for default in node.kw_defaults]
        for arg in (*node.posonlyargs, *node.args, node.vararg, *node.kwonlyargs, node.kwarg):
            if arg is not None:
                arg.annotation = self._annotation(arg.annotation)
                self._bind(arg, arg.arg, scope="function")
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        hook = self._scopes[-1] == "class" and node.name in rules.HOOKS
        if hook:
            self._hooks.add(id(node))
        self._bind(node, node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        if hook:
            guard = ast.Name(HOOK_GUARDS[node.name], LOAD)
            node.decorator_list.insert(0, ast.copy_location(guard, node))
        self._type_parameters(node)
        self._arguments(node.args)
        node.returns = self._annotation(node.returns)
        self._scopes.append("function")
        node.body = self._block(node.body)
        self._scopes.pop()
        return node

    def _lambda(self, node: ast.Lambda) -> ast.AST:
        self._arguments(node.args)
        self._scopes.append("function")
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def _class(self, node: ast.ClassDef) -> ast.AST:
        self.looked_up |= bound_anew(node)
        self._bind(node, node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._type_parameters(node)
        node.bases = [self.visit(base) for base in node.bases]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        self._scopes.append("class")
        node.body = self._block(node.body)
        self._scopes.pop()
        for statement in node.body:
            self._check_match_args(statement)
        return node

    def _check_match_args(self, statement: ast.stmt) -> None:
        """``__match_args__`` names attributes: it must be spelled out."""
        targets: list[ast.expr]
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            return
        if not any(isinstance(target, ast.Name) and target.id == "__match_args__" for target in targets):
            return
        if isinstance(value, ast.Tuple) and all(
            isinstance(item, ast.Constant) and rules.is_field_name(item.value) for item in value.elts
        ):
            return
        self.refuse(
            statement,
            "this '__match_args__' is not allowed",
            "it must be a tuple of plain attribute names, spelled out",
        )

    def _type_parameters(self, node: Any) -> None:
        for parameter in getattr(node, "type_params", ()):
            self.visit(parameter)

    def _type_parameter(self, node: Any) -> ast.AST:
        self._bind(node, node.name, scope="function")
        return self._children(node)

    def _type_alias(self, node: Any) -> ast.AST:
        node.name = self.visit(node.name)
        self._type_parameters(node)
        self._scopes.append("function")
        node.value = self.visit(node.value)
        self._scopes.pop()
        return cast(ast.AST, node)

    def _comprehension_expression(self, node: Any) -> ast.AST:
        # Targets live in the comprehension's own scope; the first iterable is evaluated outside of it
        generators = node.generators
        generators[0].iter = self.visit(generators[0].iter)
        self._scopes.append("comprehension")
        for index, generator in enumerate(generators):
            if generator.is_async:
                self._awaits()
            generator.target = self.visit(generator.target)
            if index:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(condition) for condition in generator.ifs]
        for field in ("elt", "key", "value"):
            part = getattr(node, field, None)
            if part is not None:
                setattr(node, field, self.visit(part))
        self._scopes.pop()
        return cast(ast.AST, node)

    def _walrus(self, node: ast.NamedExpr) -> ast.AST:
        scope = next(scope for scope in reversed(self._scopes) if scope != "comprehension")
        self._bind(node, node.target.id, scope=scope)
        node.value = self.visit(node.value)
        return node

    def _annotated(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        node.annotation = cast(ast.expr, self._annotation(node.annotation))
        if node.value is not None:
            node.value = self.visit(node.value)
        if self._scopes[-1] == "task" and isinstance(node.target, ast.Name):
            # A function keeps no annotations of its own names, and a name that is shared may have none
            return without_annotation(node)
        return node

    def _yield(self, node: ast.AST) -> ast.AST:
        if "function" not in self._scopes:
            self.refuse(node, "'yield' outside a function is not allowed", "return a list instead")
        return self._children(node)

    def _await(self, node: ast.AST) -> ast.AST:
        self._awaits()
        return self._children(node)

    def _awaits(self) -> None:
        """Something is waited for here; in the task's own scope the whole task becomes a coroutine."""
        if not {"function", "class"}.intersection(self._scopes):
            self.asynchronous = True

    def _global(self, node: ast.Global) -> ast.AST:
        for name in node.names:
            self._bind(node, name, scope="function")
        self.global_names.update(node.names)
        return node

    def _nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        for name in node.names:
            self._bind(node, name, scope="function")
        self.nonlocal_names.update(node.names)
        return node

    def _try(self, node: ast.Try) -> ast.AST:
        """An import in it may be left to run time, where its refusal is the ImportError that the program expects."""
        expected = any(map(expects_import_error, node.handlers))
        self._optional += expected
        node.body = self._block(node.body)
        self._optional -= expected
        node.handlers = [self.visit(handler) for handler in node.handlers]
        node.orelse, node.finalbody = self._block(node.orelse), self._block(node.finalbody)
        return node

    def _try_star(self, node: Any) -> ast.AST:
        """``except*`` around a try that looks at the group first: some Pythons believe what its methods say."""
        self._children(node)
        look = ast.Call(ast.Name(GROUPS, LOAD), [], [])
        first = ast.Try(node.body, [ast.ExceptHandler(look, None, [ast.Pass()])], [], [])
        node.body = [ast.fix_missing_locations(ast.copy_location(first, node.body[0]))]
        return cast(ast.AST, node)

    def _handler(self, node: ast.ExceptHandler) -> ast.AST:
        self._bind(node, node.name)
        return self._children(node)


def without_annotation(node: ast.AnnAssign) -> ast.stmt:
    """The assignment alone; where there is none, what makes the name the scope's own all the same."""
    if node.value is not None:
        return ast.copy_location(ast.Assign([node.target], node.value), node)
    never = ast.If(ast.Constant(False), [ast.Assign([node.target], ast.Constant(None))], [])
    return ast.fix_missing_locations(ast.copy_location(never, node))


def is_a_literals(node: ast.expr) -> bool:
    """Whether it begins with a literal: nothing that is reached from there is the task's own."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, _LITERALS)


_LITERALS = (ast.Constant, ast.JoinedStr, ast.Tuple, ast.List, ast.Dict, ast.Set)


def expects_import_error(handler: ast.ExceptHandler) -> bool:
    """Whether a failed import ends up in this handler."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _IMPORT_ERRORS) for kind in kinds)


def _handlers() -> dict[type[ast.AST], Callable[[Any, Any], Any]]:
    table: dict[str, Callable[[Any, Any], Any]] = dict.fromkeys(PLAIN, Transformer._children)
    t = Transformer
    table |= {
        "Name": t._name, "Attribute": t._attribute, "Call": t._call, "keyword": t._keyword,
        "arguments": t._arguments, "Lambda": t._lambda, "FunctionDef": t._function, "ClassDef": t._class,
        "ListComp": t._comprehension_expression, "SetComp": t._comprehension_expression,
        "DictComp": t._comprehension_expression, "GeneratorExp": t._comprehension_expression,
        "NamedExpr": t._walrus, "Import": t._import, "ImportFrom": t._import_from, "ExceptHandler": t._handler,
        "Global": t._global, "Nonlocal": t._nonlocal, "Yield": t._yield, "YieldFrom": t._yield,
        "Assign": t._assign, "AugAssign": t._augmented, "Try": t._try, "TryStar": t._try_star,
        "MatchValue": t._pattern_value, "AnnAssign": t._annotated, "Match": t._match, "MatchClass": t._match_class,
        "MatchMapping": t._match_capture, "MatchStar": t._match_capture, "MatchAs": t._match_capture,
        "TypeAlias": t._type_alias, "TypeVar": t._type_parameter, "ParamSpec": t._type_parameter,
        "TypeVarTuple": t._type_parameter, "AsyncFunctionDef": t._function, "AsyncFor": t._await,
        "AsyncWith": t._await, "Await": t._await,
    }  # fmt: skip
    return {getattr(ast, name): handler for name, handler in table.items() if hasattr(ast, name)}


Transformer.handlers = _handlers()
