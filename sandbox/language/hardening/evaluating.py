"""``eval`` and ``exec`` in libraries' Python code, while a task runs. What a text may say is judged as it becomes code
(``audit.py``); this is about the names that it runs with.

- Python puts ``__builtins__`` among them, if there are none, and there they stay. Where the names are the task's
  (``parse_expr(text, global_dict=names)``), or an object keeps them that the task has, those would be the real
  builtins. So names without builtins get what judged text has a use for, each time a copy of its own. Since a task may
  have those names, it is what a task may have, or answers text alone.
- Where they are the library's own, the modules that it imports are among them. No text that becomes code has a use for
  those that no task may import.

As with ``getattr`` (``readers.py``) modules have these functions for the built-in ones.
"""

import __future__

import builtins
import sys
from collections.abc import Iterator
from opcode import opmap
from types import CodeType, FrameType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import TypeFacade, guarded_getattr, is_facade, refused
from reptarium.sandbox.language.hardening.audit import importing, watching
from reptarium.sandbox.language.hardening.imports_by_name import is_withheld
from reptarium.sandbox.language.hardening.made_code import REFUSED_BUILTINS

_BUILTINS = "__builtins__"
#: Among the builtins of a text: what runs with them is one. With a space in it, no text can spell it.
_OF_A_TEXT = "guard text"


def _text(what: str) -> FrameType:
    """Where a text asks ours for something. Raises RefusedAttribute for anybody else: what is written in C asks in the
    name of the Python code around it, which may be a library's.
    """
    frame = sys._getframe(2)
    if _OF_A_TEXT not in frame.f_builtins:
        raise refused(f"{what} is not allowed", "it is for the text that a library evaluates")
    return frame


_IMPORTING, _STATEMENT = "importing in a text's name", opmap["IMPORT_NAME"]


def _text_import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:  # the built-in's parameters, by its names
    frame = _text(_IMPORTING)
    if frame.f_code.co_code[frame.f_lasti] != _STATEMENT:  # C code that the text calls
        raise refused(f"{_IMPORTING} is not allowed", "its statements are looked at before they run, and no others do")
    return _import(name, globals, locals, fromlist, level)


def _text_build_class(function: Any, name: str, /, *bases: Any, **options: Any) -> Any:
    _text("a class statement in a text's name")
    return _build_class(function, name, *bases, **options)


def _text_locals() -> dict[str, Any]:
    frame = _text("locals() in a text's name")
    if frame.f_locals is not frame.f_globals:
        return frame.f_locals
    return {name: value for name, value in frame.f_globals.items() if name[:2] != "__"}


def _text_super(*args: Any) -> Any:
    if args:
        return super(*args)
    frame = _text("super() in a text's name")
    return super(frame.f_locals["__class__"], frame.f_locals[frame.f_code.co_varnames[0]])


_import, _build_class = builtins.__import__, builtins.__build_class__
#: What judged text may use, imports and class statements of its own among it.
OF_TEXTS: dict[str, Any] = {
    **{name: value for name, value in vars(builtins).items() if name not in REFUSED_BUILTINS},
    "__build_class__": _text_build_class,
    "__import__": _text_import,
    "getattr": guarded_getattr,  # of names that the text spells, and may
    "locals": _text_locals,
    "super": _text_super,
    "type": TypeFacade,
    _OF_A_TEXT: True,
}

_FUTURE = 0
for _feature in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _feature).compiler_flag


def _named(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _named(constant)


def with_builtins(names: dict[str, Any]) -> None:
    """Have a text that runs with these names run without the real builtins."""
    if not dict.__contains__(names, _BUILTINS):
        dict.__setitem__(names, _BUILTINS, dict(OF_TEXTS))


def _ready(mode: str, source: Any, frame: FrameType, globals: Any, locals: Any) -> tuple[Any, Any, Any]:
    """What is to be run, and with which names, for code in this frame."""
    if globals is None:
        globals, locals = frame.f_globals, frame.f_locals if locals is None else locals
    if not isinstance(globals, dict) or not watching() or importing(frame):
        return source, globals, locals
    if type(source) is not CodeType:
        text = source.lstrip(" \t") if mode == "eval" and isinstance(source, str) else source
        source = compile(text, "<string>", mode, frame.f_code.co_flags & _FUTURE, dont_inherit=True)
    for name in _named(source):
        value = dict.get(globals, name)
        if isinstance(value, ModuleType) and not is_facade(value) and is_withheld(str(value.__name__)):
            raise refused(f"text that becomes code and uses the module '{name}' is not allowed")
    with_builtins(globals)
    return source, globals, locals


def library_eval(source: Any, /, globals: Any = None, locals: Any = None) -> Any:
    """The built-in, for libraries."""
    return eval(*_ready("eval", source, sys._getframe(1), globals, locals))  # noqa: S307


def library_exec(source: Any, /, globals: Any = None, locals: Any = None, **options: Any) -> None:
    """The built-in, for libraries."""
    exec(*_ready("exec", source, sys._getframe(1), globals, locals), **options)  # noqa: S102
