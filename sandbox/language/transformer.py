"""The walk over a program's syntax tree: refuses, and puts guards where a name cannot decide.

A subclass of RestrictedPython's transformer that leaves most nodes as they are. Its guards have
names with a space in them, which no source text can spell: they cannot be rebound, shadowed,
deleted or read by any binding form, and Python compiles them like any other global.

Every node class of the running Python must be decided on in :data:`DECISIONS`; an unknown one is refused.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any, cast

from RestrictedPython.transformer import RestrictingNodeTransformer

from sandbox.language import policy as rules
from sandbox.language.formats import format_refusal
from sandbox.language.policy import Finding, LanguagePolicy

#: The guards' names in the compiled program.
GETATTR = "guard getattr"
IMPORT = "guard import"
IMPORT_FROM = "guard import from"
MATCH_CLASS = "guard match class"
DUNDER_IMPORT = "guard dunder import"
TASK = "guard task"

#: Classes with one positional capture of the whole subject: no attribute is read.
_SELF_MATCHING = frozenset("bool bytearray bytes dict float frozenset int list set str tuple".split())
_BUILTIN_NAMES = frozenset(dir(builtins))
_RESERVED_PREFIX = "_"

_PLAIN = """
    Module Expr Assign Return Delete If While For With Raise Try Assert Pass Break Continue BoolOp BinOp
    UnaryOp IfExp Dict Set Compare FormattedValue JoinedStr TemplateStr Interpolation Starred Subscript
    Slice List Tuple Constant withitem match_case MatchSingleton MatchSequence MatchOr Load Store Del
    And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd
    USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
""".split()
_CHECKED = """
    Name Attribute Call keyword arg arguments Lambda FunctionDef ClassDef ListComp SetComp DictComp
    GeneratorExp comprehension NamedExpr Import ImportFrom alias ExceptHandler Global Nonlocal Yield
    YieldFrom AnnAssign AugAssign Match MatchValue MatchClass MatchMapping MatchStar MatchAs TypeAlias
    TypeVar ParamSpec TypeVarTuple
""".split()
_REFUSED = {
    "AsyncFunctionDef": "a task is synchronous: use def",
    "AsyncFor": "a task is synchronous: use for",
    "AsyncWith": "a task is synchronous: use with",
    "Await": "a task is synchronous: call the function without await",
    "TryStar": "exception groups would hand out what they wrap (CVE-2025-22153): use except",
    "Interactive": "it isn't a program",
    "Expression": "it isn't a program",
    "FunctionType": "it isn't a program",
    "TypeIgnore": "type comments aren't read",
}
#: Classes that ``ast`` keeps for old programs or as bases; no parser produces them.
_NEVER_PARSED = """
    AST AugLoad AugStore Bytes Ellipsis _ast_Ellipsis ExtSlice Index NameConstant Num Param Str Suite
    boolop cmpop excepthandler expr expr_context mod operator pattern slice stmt type_ignore type_param
    unaryop
""".split()

#: Node class name → "plain", "checked", "refused" or "never parsed".
DECISIONS: dict[str, str] = {
    **dict.fromkeys(_PLAIN, "plain"),
    **dict.fromkeys(_CHECKED, "checked"),
    **dict.fromkeys(_REFUSED, "refused"),
    **dict.fromkeys(_NEVER_PARSED, "never parsed"),
}

_LEAVES = frozenset(
    getattr(ast, name)
    for name in _PLAIN
    if hasattr(ast, name) and not getattr(ast, name)._fields  # contexts, operators, pass, break, continue
) | {ast.Constant}

_LABELS = {
    "AsyncFunctionDef": "async def",
    "AsyncFor": "async for",
    "AsyncWith": "async with",
    "Await": "await",
    "TryStar": "except*",
}


class Transformer(RestrictingNodeTransformer):
    """Checks and transforms one program. ``findings`` is empty when the program is fit to be compiled."""

    def __init__(self, policy: LanguagePolicy, import_check: Callable[[str], tuple[str, str | None] | None]) -> None:
        super().__init__()
        self.policy = policy
        self.findings: list[Finding] = []
        self.bound: set[str] = set()  # names that the program binds anywhere
        self.task_names: set[str] = set()  # … in its outermost scope
        self.loaded: set[str] = set()
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.postponed = False  # from __future__ import annotations
        self._import_check = import_check
        self._denied_builtins = {**rules.DENIED_BUILTINS, **dict.fromkeys(policy.builtins_deny, "")}
        self._denied_loads: list[tuple[ast.AST, str]] = []
        self._self_matches: list[tuple[ast.AST, str]] = []
        self._hoisted: list[list[ast.stmt]] = []
        self._scopes: list[str] = ["task"]
        self._line = 1
        self._unguarded: str | None = None  # set where a guard cannot be put

    # ---- machinery -----------------------------------------------------------------

    def refuse(self, node: ast.AST, message: str, why: str = "", setting: str | None = None) -> None:
        self.findings.append(Finding(getattr(node, "lineno", self._line), message, setting, why))

    def visit(self, node: ast.AST) -> Any:
        kind = type(node)
        if kind in _LEAVES:
            return node
        self._line = getattr(node, "lineno", self._line)
        handler = _HANDLERS.get(kind)
        if handler is None:
            name = kind.__name__
            self.refuse(
                node,
                f"{_LABELS.get(name, name)} is not allowed",
                _REFUSED.get(name, "this layer doesn't know it"),
            )
            return node
        return handler(self, node)

    def _children(self, node: ast.AST) -> ast.AST:
        visit = self.visit
        for field in node._fields:
            old = getattr(node, field, None)
            if old is None or old.__class__ in _LEAVES or isinstance(old, (str, int)):
                continue
            if isinstance(old, list):
                for index, child in enumerate(old):
                    if isinstance(child, ast.AST) and child.__class__ not in _LEAVES:
                        new = visit(child)
                        if new is not child:
                            old[index] = new
                if _MATCH in map(type, old):
                    old[:] = _spliced(old)
            elif isinstance(old, ast.AST):
                new = visit(old)
                if new is not old:
                    setattr(node, field, new)
        return node

    def finish(self) -> None:
        """Decide what needs the whole program: names of builtins that the program doesn't bind itself."""
        for node, name in self._denied_loads:
            if name in self.bound:
                continue
            why = self._denied_builtins[name]
            setting = None if name in rules.DENIED_BUILTINS else rules.BUILTINS_SETTING
            self.refuse(node, f"'{name}' is not allowed", why or "the administrator removed it", setting)
        for node, name in self._self_matches:
            if name in self.bound:
                self.refuse(node, f"the class pattern '{name}(…)' is not allowed", "the program rebinds that name")

    def forced_globals(self) -> list[str]:
        """Names that the program's outermost scope must share with the namespace.

        Those that an inner function declares global; and given names and builtins that the program
        both reads and rebinds (``_items = _items[1:]``, ``id = id + 1``).
        """
        given = {
            name
            for name in self.task_names & self.loaded
            if name in _BUILTIN_NAMES or (name[:1] == _RESERVED_PREFIX and name[:2] != "__")
        }
        return sorted((self.global_names | given) - self.nonlocal_names)

    def _bind(self, node: ast.AST, name: str | None, *, scope: str | None = None) -> None:
        """A name is bound (or deleted) here."""
        if name is None:
            return
        self.bound.add(name)
        innermost = scope or self._scopes[-1]
        if innermost == "task":
            self.task_names.add(name)
        if rules.is_dunder(name):
            if innermost == "class" and name in rules.DEFINABLE:
                return
            if innermost == "task" and name in ("__version__", "__author__"):
                return
            where = " here" if name in rules.DEFINABLE else ""
            self.refuse(node, f"binding the name '{name}'{where} is not allowed", "it belongs to the interpreter")

    # ---- names and attributes -----------------------------------------------------------

    def _name(self, node: ast.Name) -> ast.AST:
        name = node.id
        if node.ctx.__class__ is not ast.Load:
            self._bind(node, name)
            return node
        self.loaded.add(name)
        if name in self._denied_builtins:
            self._denied_loads.append((node, name))
        elif name == "__import__":
            # The builtin of that name is what C code imports with; the user's is ours
            return ast.copy_location(ast.Name(DUNDER_IMPORT, _LOAD), node)
        elif rules.is_dunder(name) and not (
            name in rules.READABLE_GLOBALS or (self._scopes[-1] == "class" and name in rules.DEFINABLE)
        ):
            self.refuse(node, f"the name '{name}' is not allowed", "it belongs to the interpreter")
        return node

    def _augmented(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.target, ast.Name):
            self.loaded.add(node.target.id)
        return self._children(node)

    def _attribute(self, node: ast.Attribute) -> ast.AST:
        name = node.attr
        if node.ctx.__class__ is not ast.Load:
            if not rules.may_write(name):
                self.refuse(node, f"changing the attribute '{name}' is not allowed", "it belongs to the interpreter")
            return self._children(node)
        if not rules.may_read(name):
            self.refuse(node, f"the attribute '{name}' is not allowed", _attribute_advice(name))
            return node
        if name not in rules.GUARDED_ATTRIBUTES:
            return self._children(node)
        if self._unguarded:
            self.refuse(node, f"the attribute '{name}' is not allowed {self._unguarded}", "it needs a check when run")
            return node
        guard = ast.Name(GETATTR, _LOAD)
        call = ast.Call(guard, [self.visit(node.value), ast.Constant(name)], [])
        return _located(call, node, guard, call.args[1])

    def _call(self, node: ast.Call) -> ast.AST:
        func = node.func
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
            self._children_of_call_arguments(node)
            return node
        return self._children(node)

    def _children_of_call_arguments(self, node: ast.Call) -> None:
        node.args = [self.visit(arg) for arg in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]

    def _keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg is not None and rules.is_dunder(node.arg) and node.arg not in rules.DEFINABLE:
            self.refuse(node, f"the keyword argument '{node.arg}' is not allowed", "it belongs to the interpreter")
        node.value = self.visit(node.value)
        return node

    # ---- functions and classes ------------------------------------------------------------

    def _annotation(self, node: ast.expr | None) -> ast.expr | None:
        if node is None:
            return None
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

    def _function(self, node: ast.FunctionDef) -> ast.AST:
        self._bind(node, node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
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
        self._bind(node, node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._type_parameters(node)
        node.bases = [self.visit(base) for base in node.bases]
        for keyword in node.keywords:
            if keyword.arg == "metaclass":
                self.refuse(
                    node,
                    "the keyword 'metaclass' is not allowed",
                    "inherit from abc.ABC or enum.Enum instead",
                )
            elif keyword.arg is None:
                self.refuse(node, "'**' in a class statement is not allowed", "it could name a metaclass")
            self.visit(keyword)
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
                self.refuse(node, "an asynchronous comprehension is not allowed", "a task is synchronous")
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
        return node

    def _yield(self, node: ast.AST) -> ast.AST:
        if "function" not in self._scopes:
            self.refuse(node, "'yield' outside a function is not allowed", "return a list instead")
        return self._children(node)

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

    def _handler(self, node: ast.ExceptHandler) -> ast.AST:
        self._bind(node, node.name)
        return self._children(node)

    # ---- match -------------------------------------------------------------------------

    def _match(self, node: ast.Match) -> ast.AST:
        self._hoisted.append([])
        self._children(node)
        # Whoever holds the block puts these before the statement: see _spliced
        node.hoisted = self._hoisted.pop()  # type: ignore[attr-defined]
        return node

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return _spliced([self.visit(statement) for statement in body])

    def _pattern_value(self, node: ast.AST) -> ast.AST:
        previous, self._unguarded = self._unguarded, "in a pattern"
        self._children(node)
        self._unguarded = previous
        return node

    def _match_class(self, node: ast.MatchClass) -> ast.AST:
        for name in node.kwd_attrs:
            if not rules.is_plain(name):
                self.refuse(node, f"the attribute '{name}' in a class pattern is not allowed", _attribute_advice(name))
        previous, self._unguarded = self._unguarded, "in a pattern"
        node.cls = self.visit(node.cls)
        self._unguarded = previous
        if node.patterns:
            if isinstance(node.cls, ast.Name) and node.cls.id in _SELF_MATCHING and len(node.patterns) == 1:
                self._self_matches.append((node, node.cls.id))
            else:
                self._hoist(node)
        for patterns in (node.patterns, node.kwd_patterns):
            for pattern in patterns:
                self.visit(pattern)
        return node

    def _hoist(self, node: ast.MatchClass) -> None:
        """Let the class be checked before the match: positional patterns read attributes that it names.

        The pattern then uses the checked value under a name of ours, so that nothing can be swapped in between.
        """
        name = f"guard class {self._tmp_idx}"
        self._tmp_idx += 1
        guard = ast.Name(MATCH_CLASS, _LOAD)
        call = ast.Call(guard, [node.cls], [])
        target = ast.Name(name, _STORE)
        assign = ast.Assign([target], call)
        for new in (guard, call, target, assign):
            ast.copy_location(new, node)
        self._hoisted[-1].append(assign)
        node.cls = ast.copy_location(ast.Name(name, _LOAD), node.cls)

    def _match_capture(self, node: Any) -> ast.AST:
        self._bind(node, getattr(node, "rest", None) or getattr(node, "name", None))
        return self._pattern_value(node)

    # ---- imports -----------------------------------------------------------------------

    def _check_import(self, node: ast.AST, module: str) -> bool:
        refusal = self._import_check(module)
        if refusal is None:
            return True
        why, setting = refusal
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
            self._bind(node, name)
            targets.append(ast.Name(name, _STORE))
            arguments: list[ast.expr] = [ast.Constant(alias.name), ast.Constant(alias.asname is not None)]
            values.append(ast.Call(ast.Name(IMPORT, _LOAD), arguments, []))
        return _assignment(node, targets, values)

    def _import_from(self, node: ast.ImportFrom) -> ast.AST:
        if getattr(node, "is_lazy", 0):
            self.refuse(node, "a lazy import is not allowed", "write an ordinary one")
        if node.level:
            self.refuse(node, "a relative import is not allowed", "a task is not part of a package")
            return node
        module = node.module or ""
        if module == "__future__":
            if self._scopes != ["task"]:
                self.refuse(node, "a __future__ import is not allowed here", "it belongs on top")
            self.postponed |= any(alias.name == "annotations" for alias in node.names)
            return ast.copy_location(ast.Pass(), node)
        self._check_import(node, module)
        targets: list[ast.expr] = []
        for alias in node.names:
            if alias.name == "*":
                self.refuse(node, f"'from {module} import *' is not allowed", "name what you need")
                return node
            if not rules.may_read(alias.name):
                self.refuse(node, f"the name '{alias.name}' is not allowed", _attribute_advice(alias.name))
            name = alias.asname or alias.name
            self._bind(node, name)
            targets.append(ast.Name(name, _STORE))
        names = ast.Tuple([ast.Constant(alias.name) for alias in node.names], _LOAD)
        values: list[ast.expr] = [ast.Call(ast.Name(IMPORT_FROM, _LOAD), [ast.Constant(module), names], [])]
        if len(targets) == 1:
            values = [ast.Subscript(values[0], ast.Constant(0), _LOAD)]
        return _assignment(node, targets, values)


_LOAD = ast.Load()
_STORE = ast.Store()


_MATCH = ast.Match


def _spliced(body: list[ast.stmt]) -> list[ast.stmt]:
    """The block with each match statement's class checks before it."""
    return [new for statement in body for new in (*getattr(statement, "hoisted", ()), statement)]


def _located(new: ast.expr, old: ast.expr, *others: ast.expr) -> ast.expr:
    ast.copy_location(new, old)
    for node in others:
        ast.copy_location(node, old)
    return new


def _assignment(node: ast.stmt, targets: list[ast.expr], values: list[ast.expr]) -> ast.stmt:
    """``targets = values`` with the statement's location in every node."""
    if len(targets) == 1 or len(values) > 1:
        pairs = list(zip(targets, values, strict=True))
        if len(pairs) == 1:
            new = ast.Assign([pairs[0][0]], pairs[0][1])
        else:
            new = ast.Assign([ast.Tuple(targets, _STORE)], ast.Tuple(values, _LOAD))
    else:
        new = ast.Assign([ast.Tuple(targets, _STORE)], values[0])
    ast.copy_location(new, node)
    ast.fix_missing_locations(new)
    return new


def _attribute_advice(name: str) -> str:
    if name in ("__mro__", "__bases__", "__base__", "__subclasses__"):
        return "it walks to every class of the interpreter"
    if name in ("__traceback__", "__context__", "__cause__"):
        return "it leads to the interpreter's frames; use traceback.format_exc()"
    if name in (
        "__self__",
        "__func__",
        "__globals__",
        "__code__",
        "__closure__",
        "__builtins__",
        "__wrapped__",
    ):
        return "it leads to the interpreter's own names"
    return "it belongs to the interpreter"


def _handlers() -> dict[type[ast.AST], Callable[[Any, Any], Any]]:
    table: dict[str, Callable[[Any, Any], Any]] = dict.fromkeys(_PLAIN, Transformer._children)
    t = Transformer
    table |= {
        "Name": t._name, "Attribute": t._attribute, "Call": t._call, "keyword": t._keyword,
        "arguments": t._arguments, "Lambda": t._lambda, "FunctionDef": t._function, "ClassDef": t._class,
        "ListComp": t._comprehension_expression, "SetComp": t._comprehension_expression,
        "DictComp": t._comprehension_expression, "GeneratorExp": t._comprehension_expression,
        "NamedExpr": t._walrus, "Import": t._import, "ImportFrom": t._import_from, "ExceptHandler": t._handler,
        "Global": t._global, "Nonlocal": t._nonlocal, "Yield": t._yield, "YieldFrom": t._yield,
        "AugAssign": t._augmented, "MatchValue": t._pattern_value,
        "AnnAssign": t._annotated, "Match": t._match, "MatchClass": t._match_class,
        "MatchMapping": t._match_capture, "MatchStar": t._match_capture, "MatchAs": t._match_capture,
        "TypeAlias": t._type_alias, "TypeVar": t._type_parameter, "ParamSpec": t._type_parameter,
        "TypeVarTuple": t._type_parameter,
    }  # fmt: skip
    return {getattr(ast, name): handler for name, handler in table.items() if hasattr(ast, name)}


_HANDLERS = _handlers()
