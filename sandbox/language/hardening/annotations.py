"""Which text may stand in an annotation: whoever asks for the hints (``typing.get_type_hints``) runs it as code.

The text is judged as Python parses it: a search in the text itself would have to know f-strings (which run code inside
of quotes), continued lines and letters that the parser takes for others.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from reptarium.sandbox.language.guards import TypeFacade, is_facade
from reptarium.sandbox.language.hardening.audit import state, watching
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import is_dunder, is_plain

#: What types are made of: names, paths, subscripts, literals, unions.
_PARTS = (ast.Expression, ast.Subscript, ast.Tuple, ast.List, ast.Starred, ast.Constant, ast.Load, ast.BitOr, ast.USub)
#: And of what describes them (``Annotated[int, Field(gt=0)]``): calls of what has a name.
_DESCRIBING = (ast.Call, ast.keyword, ast.Dict, ast.Set)


#: What Pythons make of a text before they compile it: which of them for which text differs (3.14 looks for a star
#: behind spaces, typing up to 3.13 at the first letter), so that each is judged.
_FORMS = ("{}", "({},)[0]", "({})")


def annotation_refusal(text: str) -> str | None:
    """Why this text is refused as an annotation, or None.

    Raises SyntaxError: it is Python in none of the forms in which one could compile it.
    """
    trees = []
    for form in _FORMS:
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            trees.append(ast.parse(form.format(text), mode="eval"))
    if not trees:
        raise SyntaxError(f"Forward reference must be an expression -- got {text!r}")
    return next(filter(None, (_refusal(tree, text) for tree in trees)), None)


def _descriptions(tree: ast.Expression) -> set[int]:
    """The nodes behind the type in ``Annotated[…]``, by identity."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if name == "Annotated":
                found.update(id(inner) for each in node.slice.elts[1:] for inner in ast.walk(each))
    return found


def _refusal(tree: ast.Expression, text: str) -> str | None:
    describing = _descriptions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if is_dunder(node.id):
                return f"the name '{node.id}' in an annotation is not allowed"
        elif isinstance(node, ast.Attribute):
            if not is_plain(node.attr):  # nothing looks at the object here
                kind = "name" if is_dunder(node.attr) else "attribute"
                return f"the {kind} '{node.attr}' in an annotation is not allowed"
            if not isinstance(node.value, (ast.Name, ast.Attribute)):
                return f"the annotation {text!r} is not allowed: it must be a type's name, not an expression"
        elif isinstance(node, ast.keyword) and node.arg is not None and is_dunder(node.arg):
            return f"the keyword argument '{node.arg}' in an annotation is not allowed"
        elif isinstance(node, _DESCRIBING):
            if id(node) not in describing:
                return f"the annotation {text!r} is not allowed: it must be a type's name, not an expression"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            continue
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            continue  # Literal[-1]
        elif not isinstance(node, _PARTS):
            return f"the annotation {text!r} is not allowed: it must be a type's name, not an expression"
    return None


def check_annotation(text: object) -> None:
    """Refuse annotation text that is more than names, subscripts, dots, literals and ``|``."""
    if type(text) is not str:
        raise TypeError("a forward reference must be exactly str")
    if not watching():
        return
    refusal = annotation_refusal(text)
    if refusal:
        raise RefusedAttribute(refusal)


def read_markers() -> None:
    """Have dataclasses know ``typing.ClassVar[int]`` and its like where the annotation is text. For the process, once.

    They ask whether the class's module has the module ``typing`` under that name: a task's has a façade.
    """
    module: Any = dataclasses
    real = module._is_type

    def _is_type(annotation: str, cls: type, marked: Any, kind: Any, predicate: Callable[[Any, Any], bool]) -> bool:
        if real(annotation, cls, marked, kind, predicate):
            return True
        match = module._MODULE_IDENTIFIER_RE.match(annotation) if watching() else None
        if match is None or not match[1]:
            return False
        holder = vars(sys.modules["__main__"]).get(match[1])
        return is_facade(holder) and bool(predicate(getattr(holder, match[2], None), marked))

    module._is_type = _is_type


def is_type(value: Any, depth: int = 0) -> bool:
    if value is None or value is Ellipsis or isinstance(value, (str, int, bytes, bool)) or depth > 20:
        return depth <= 20
    if isinstance(value, type):
        return value is TypeFacade or not issubclass(value, type)
    if isinstance(value, (list, tuple)):
        return all(is_type(each, depth + 1) for each in value)
    if type(value).__module__ in ("typing", "types", "typing_extensions", "annotationlib", "collections.abc"):
        if isinstance(value, (types.FunctionType, types.ModuleType, types.BuiltinFunctionType)):
            return False
        return all(is_type(each, depth + 1) for each in getattr(value, "__args__", ()) or ())
    # Literals of enums, Annotated's metadata: values of user code's own
    return not callable(value) and not isinstance(value, (types.ModuleType, Mapping))


def _evaluated(real: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def get_annotations(obj: Any, *, eval_str: bool = False, **options: Any) -> dict[str, Any]:
        """``inspect.get_annotations``; in a task, text is read as a forward reference's is."""
        if not eval_str or not watching():
            return real(obj, eval_str=eval_str, **options)
        names = {key: options.pop(key, None) for key in ("globals", "locals")}
        if names["globals"] is None:
            names["globals"] = state.namespace
        found = dict(real(obj, **options))  # read once: an object may tell something else each time
        for name, text in found.items():
            if isinstance(text, str):
                check_annotation(text)

                def holder() -> None: ...

                holder.__annotations__ = {"return": text}
                found[name] = real(holder, eval_str=True, **names)["return"]
                if not is_type(found[name]):
                    raise RefusedAttribute(f"the annotation {text!r} is not allowed: it isn't a type")
        return found

    return get_annotations


def patch_get_annotations(module: Any) -> None:
    """Have a module's ``get_annotations`` judge text, and what comes of it."""
    real = vars(module).get("get_annotations")
    if real is not None:
        module.get_annotations = _evaluated(real)


def patch_annotations() -> None:
    """Have forward references check their text, and read it with the task's own names. For the process, once."""
    patch_get_annotations(inspect)
    if "annotationlib" in sys.modules:  # since 3.14
        patch_get_annotations(sys.modules["annotationlib"])
    reference: Any = typing.ForwardRef
    original_init: Callable[..., None] = reference.__init__

    def __init__(self: Any, arg: str, *args: Any, **kwargs: Any) -> None:
        check_annotation(arg)
        if watching():
            args = args[:1]  # up to 3.13: is_argument, module
            kwargs = {name: value for name, value in kwargs.items() if name not in ("module", "owner")}
        original_init(self, arg, *args, **kwargs)

    reference.__init__ = __init__
    for name in ("_evaluate", "evaluate"):
        original = getattr(reference, name, None)
        if original is not None:
            setattr(reference, name, _evaluating(original))


def _evaluating(original: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(self: Any, *args: Any, **kwargs: Any) -> Any:
        namespace = state.namespace
        if namespace is None or not watching():
            return original(self, *args, **kwargs)
        check_annotation(self.__forward_arg__)
        # Whatever module the class claims to come from, its text is read with the task's own names
        if args:
            args = (namespace, *args[1:])
        elif "globalns" in kwargs:
            kwargs["globalns"] = namespace
        else:  # 3.14
            kwargs = {**kwargs, "globals": namespace}
            kwargs.pop("owner", None)
        result = original(self, *args, **kwargs)
        if not is_type(result):
            raise RefusedAttribute(f"the annotation {self.__forward_arg__!r} is not allowed: it isn't a type")
        return result

    return evaluate
