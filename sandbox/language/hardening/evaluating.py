"""``eval`` and ``exec`` in libraries' Python code, while a task runs. What a text may say is judged as it becomes code
(``audit.py``); this is about the names that it runs with.

- Python puts ``__builtins__`` among them, if there are none, and there they stay. Where the names are the task's
  (``parse_expr(text, global_dict=names)``), or an object keeps them that the task has, those would be the real
  builtins. So names without builtins get what judged text has a use for, each time a copy of its own.
- Where they are the library's own, the modules that it imports are among them. No text that becomes code has a use for
  those that no task may import.

As with ``getattr`` (``readers.py``) modules have these functions for the built-in ones.
"""

import __future__

import builtins
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import is_facade, refused
from reptarium.sandbox.language.hardening.audit import importing, watching
from reptarium.sandbox.language.hardening.imports_by_name import is_withheld
from reptarium.sandbox.language.hardening.made_code import REFUSED_BUILTINS

#: What judged text may use, imports and class statements of its own among it. ``readers.py`` puts its own in.
OF_TEXTS: dict[str, Any] = {name: value for name, value in vars(builtins).items() if name not in REFUSED_BUILTINS}
OF_TEXTS["__build_class__"] = builtins.__build_class__

_BUILTINS = "__builtins__"
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
