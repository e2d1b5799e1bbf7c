"""The machinery of the walk over a program's syntax tree: findings, scopes, bound names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from reptarium.sandbox.language.compile.scopes import BUILTIN_NAMES, shared_names
from reptarium.sandbox.language.policy import Finding, LanguagePolicy
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.allowlist import BUILTINS_SETTING
from reptarium.sandbox.language.policy.names import CHANGED, SUPER
from reptarium.sandbox.language.policy.nodes import LEAVES, REFUSED
from reptarium.sandbox.language.policy.stdlib import HOT, setting_refusal

LOAD = ast.Load()
STORE = ast.Store()

MAKES_COPIES = "it says how copies are made; define __copy__ and __deepcopy__"


class Walk(RestrictingNodeTransformer):
    """What every part of the walk shares: findings, scopes, bound names, and the visit itself."""

    #: Node class → the method that decides on it, called with the walk and the node.
    handlers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {}

    def __init__(self, policy: LanguagePolicy, import_check: Callable[[str], tuple[str, str | None] | None]) -> None:
        super().__init__()
        self.policy = policy
        self.findings: list[Finding] = []
        self.bound: set[str] = set()  # names that the program binds anywhere
        self.task_names: set[str] = set()  # … in its outermost scope
        self.loaded: dict[str, int] = {}  # names that it reads (or deletes) → the first statement of its that does
        self._body: list[ast.stmt] = []  # its outermost statements, and the one that is being visited
        self._place = 0
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.looked_up: set[str] = set()  # in the namespace: by what annotations tell in text, in classes' bodies
        self.postponed = False  # from __future__ import annotations
        self._import_check = import_check
        self._denied_builtins: Mapping[str, str] = rules.DENIED_BUILTINS
        if policy.files:
            self._denied_builtins = {name: why for name, why in rules.DENIED_BUILTINS.items() if name != "open"}
        if policy.builtins_deny:
            # Builtins only: no setting takes a task's own names away
            removed = dict.fromkeys(BUILTIN_NAMES.intersection(policy.builtins_deny), "")
            self._denied_builtins = {**removed, **self._denied_builtins}
        self._denied_loads: list[tuple[ast.AST, str]] = []
        self._supers: list[ast.Name] = []  # that aren't called
        self._self_matches: list[tuple[ast.AST, str]] = []
        self._hoisted: list[list[ast.stmt]] = []
        self.last_classes: list[str] = []  # globals of ours in which patterns' classes are remembered
        self._scopes: list[str] = ["task"]
        self._hooks: set[int] = set()  # nodes that bind __getattr__ to what is guarded
        self._optional = 0  # within a try that expects an import to fail
        self._line = 1
        self._unguarded: str | None = None  # set where a guard cannot be put
        self.asynchronous = False  # the task's own scope awaits
        self._modules: dict[str, str] = {}  # names that import statements bind → the module
        self._bound_otherwise: set[str] = set()
        self._changed: list[ast.Attribute] = []  # what is set or deleted of attributes
        self._called: ast.AST | None = None  # what is called
        self._base: ast.AST | None = None  # what an attribute is read or set of
        self._values: set[str] = set()  # names (and parts of theirs) that are more than that
        self._reflects = False  # modules come by other ways than an import statement

    # ---- machinery -----------------------------------------------------------------

    def refuse(self, node: ast.AST, message: str, why: str = "", setting: str | None = None) -> None:
        self.findings.append(Finding(getattr(node, "lineno", self._line), message, setting, why))

    def visit(self, node: ast.AST) -> Any:
        kind = type(node)
        if kind in LEAVES:
            return node
        self._line = getattr(node, "lineno", self._line)
        handler = self.handlers.get(kind)
        if handler is None:
            name = kind.__name__
            self.refuse(
                node,
                f"{name} is not allowed",
                REFUSED.get(name, "this layer doesn't know it"),
            )
            return node
        return handler(self, node)

    def _children(self, node: ast.AST) -> ast.AST:
        visit = self.visit
        for field in node._fields:
            old = getattr(node, field, None)
            if old is None or old.__class__ in LEAVES or isinstance(old, (str, int)):
                continue
            if isinstance(old, list):
                for index, child in enumerate(old):
                    if isinstance(child, ast.AST) and child.__class__ not in LEAVES:
                        new = visit(child)
                        if new is not child:
                            old[index] = new
                old[:] = spliced(old)
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
            setting = None if name in rules.DENIED_BUILTINS else BUILTINS_SETTING
            self.refuse(node, f"'{name}' is not allowed", why or "the administrator removed it", setting)
        for each in self._supers:
            if "super" in self.bound:
                self.refuse(each, "'super' is not allowed here", "the program rebinds that name; call it")
            each.id = SUPER
        for node, name in self._self_matches:
            if name in self.bound:
                self.refuse(node, f"the class pattern '{name}(…)' is not allowed", "the program rebinds that name")
        self._decide_on_changes()

    def _decide_on_changes(self) -> None:
        """Settings on modules: on their names now, where one may be met under another name when the program runs."""
        wander = self._reflects or any(self._module(name) in HOT for name in self._values)
        for node in self._changed:
            name = _spelled(node.value)
            module = self._module(name)
            if module is not None and name.partition(".")[0] not in self._bound_otherwise:
                refusal = setting_refusal(module, node.attr)
                if refusal:
                    self.refuse(node, *refusal)
            elif module is not None or wander:
                guard = ast.Name(CHANGED, LOAD)
                node.value = located(ast.Call(guard, [node.value], []), node.value, guard)

    def _module(self, name: str) -> str | None:
        """The module that this name, or name of a part, stands for; None where it isn't one that is called in hot loops
        or imported by this name.
        """
        top, _, part = name.partition(".")
        module = self._modules.get(top)
        if module is None or not part:
            return module
        module = f"{module}.{part}"
        return module if module in HOT else None

    def forced_globals(self) -> list[str]:
        """Names that the program's outermost scope must share with the namespace.

        Those that an inner function declares global, and those of ``scopes.py``.
        """
        shared = self.global_names | (self.looked_up & self.task_names)
        shared |= shared_names(self.task_names, self.loaded, self._body)
        return [*sorted(shared - self.nonlocal_names), *self.last_classes]

    def _bind(self, node: ast.AST, name: str | None, *, scope: str | None = None, module: str | None = None) -> None:
        """A name is bound (or deleted) here, to a module where ``module`` tells which."""
        if name is None:
            return
        self.bound.add(name)
        if module is None:
            self._bound_otherwise.add(name)
        else:
            if self._modules.setdefault(name, module) != module:
                self._bound_otherwise.add(name)
        innermost = scope or self._scopes[-1]
        if innermost == "task":
            self.task_names.add(name)
        if rules.is_dunder(name):
            if innermost == "class" and name in rules.DEFINABLE:
                if name in rules.HOOKS and id(node) not in self._hooks:
                    self.refuse(node, f"binding the name '{name}' this way is not allowed", "use def")
                return
            if innermost in ("task", "class") and name in rules.SCRIPT_NAMES:
                return
            declares = isinstance(node, ast.Global | ast.Nonlocal)
            if innermost == "function" and name in rules.OWN_METHODS and not declares:
                return  # def __init__(self): …; cls.__init__ = __init__
            where = " here" if name in rules.DEFINABLE else ""
            if name in ("__reduce__", "__reduce_ex__"):
                self.refuse(node, f"binding the name '{name}' is not allowed", MAKES_COPIES)
            else:
                self.refuse(node, f"binding the name '{name}'{where} is not allowed", special_advice(name))

    def _mentioned(self, name: str) -> None:
        """A name is read or deleted here."""
        self.loaded.setdefault(name, self._place)

    def program(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The program's outermost statements, checked and transformed."""
        for self._place, statement in enumerate(body):
            self._body.append(self.visit(statement))
        checked = spliced(self._body)
        if not self.last_classes:
            return checked
        last: list[ast.expr] = [ast.Name(name, STORE) for name in self.last_classes]
        nothing = ast.Assign(last, ast.Tuple([ast.Constant(None), ast.Constant(None)], LOAD), lineno=1)
        return [ast.fix_missing_locations(nothing), *checked]

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return spliced(list(map(self.visit, body)))


def _spelled(node: ast.expr) -> str:
    """The node as text, if it is a name or an attribute of one; otherwise nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def spliced(body: list[ast.stmt]) -> list[ast.stmt]:
    """The block with each match statement's class checks before it."""
    if ast.Match not in map(type, body):
        return body
    return [new for statement in body for new in (*getattr(statement, "hoisted", ()), statement)]


def located(new: ast.expr, old: ast.expr, *others: ast.expr) -> ast.expr:
    ast.copy_location(new, old)
    for node in others:
        ast.copy_location(node, old)
    return new


def attribute_advice(name: str) -> str:
    if name == "__dict__":
        return "whoever holds it writes any names; update it: x.__dict__.update(…)"
    if name == "__class__":
        return "make an object of the other class"
    if name in ("__mro__", "__bases__", "__base__", "__subclasses__"):
        return "it walks to every class of the interpreter"
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
    return special_advice(name)


def special_advice(name: str) -> str:
    """Whose a special name is, where there is nothing better to say."""
    if name in ("__array_interface__", "__array_struct__"):
        return "numpy takes it for an address of memory"
    if name.startswith("__array_"):
        return "it is what numpy's own classes are made of; define methods of other names"
    if rules.is_dunder(name) and name not in rules.PYTHONS:
        return "names of this form are Python's and its libraries'; begin one of your own with one underscore"
    return "it belongs to the interpreter"
