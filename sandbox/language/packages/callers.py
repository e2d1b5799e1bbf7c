"""Packages that read or set the names of whoever calls them, as many callers up as one says: that is a library as soon
as a library calls what a task gave it. patsy (statsmodels) and formulaic read them, SymPy and public set them;
typeguard hands them to a checker of the task's, also those of libraries that have it check theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

from reptarium.sandbox.language.guards import refused
from reptarium.sandbox.language.hardening.audit import frame_is_users, state, watching
from reptarium.sandbox.language.packages.builtins_by_name import show_builtins
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.packages.places import names_of_a_task, show_places
from reptarium.sandbox.language.policy.names import is_field_name


def _namespaces(depth: int) -> list[dict[str, Any]]:
    """The names, local and global, of the frame so many callers further up than who has called ours, if it is one of
    the task's own. A library's has all that the library imports: of those none, which is enough for a formula over
    columns, and for one that was read before (predictions of a model).
    """
    frame: FrameType | None = sys._getframe(2)
    for _ in range(depth):
        frame = frame and frame.f_back
    if frame is None or (watching() and not frame_is_users(frame)):
        return [{}, {}]
    return [names_of_a_task(frame.f_locals), names_of_a_task(frame.f_globals)]


def _patch_formulaic(context: Any) -> None:
    real: Callable[..., Any] = context.capture_context

    def capture_context(context: Any = 0) -> Any:
        """What of the caller's names a formula may use; an int says how many callers up."""
        if not isinstance(context, int):
            return real(context)
        local, shared = _namespaces(context)
        return {**shared, **local}

    context.capture_context = capture_context


def _patch_patsy(module: Any) -> None:
    environment = module.EvalEnvironment
    real: Callable[..., Any] = environment.capture.__func__

    def capture(cls: Any, eval_env: Any = 0, reference: Any = 0) -> Any:
        """The names of the caller's, or of a caller so many further up; an environment is itself."""
        if not isinstance(eval_env, int):
            return real(cls, eval_env, reference)
        return cls(_namespaces(eval_env + reference), 0)

    environment.capture = classmethod(capture)


def _bind(frame: FrameType, names: Iterable[str], values: Iterable[Any]) -> None:
    """Set names of the caller's, if that is the task."""
    if watching() and not frame_is_users(frame):
        raise refused("setting names of a module that isn't the task's is not allowed", "others use it")
    for name, value in zip(names, values, strict=False):
        if watching() and not is_field_name(name):
            raise refused(f"setting the name {name!r} is not allowed")
        frame.f_globals[name] = value


def _leaves(symbols: Any) -> Iterator[Any]:
    if isinstance(symbols, (list, tuple, set)):
        for each in symbols:
            yield from _leaves(each)
    elif symbols is not None:
        yield symbols


def _patch_symbol(symbol: Any) -> None:
    symbols: Callable[..., Any] = symbol.symbols

    def var(names: Any, **options: Any) -> Any:
        """``symbols()``, whose symbols are names of the caller's, too."""
        made = symbols(names, **options)
        leaves = list(_leaves(made))
        _bind(sys._getframe(1), [getattr(each, "name", None) or each.__name__ for each in leaves], leaves)
        return made

    symbol.var = var


def _patch_magic(magic: Any) -> None:
    def pollute(names: Any, objects: Any) -> None:
        """Objects as names of the caller's caller."""
        _bind(sys._getframe(2), names, objects)

    magic.pollute = pollute


def _patch_memo(module: Any) -> None:
    """What checkers and callbacks are handed has the names of the task's, without its builtins, and nobody else's."""
    memo = module.TypeCheckMemo
    real = memo.__init__

    def __init__(self: Any, globals: Any, locals: Any, **options: Any) -> None:
        if watching():
            builtins = globals.get("__builtins__")
            if builtins is not None:  # else they were asked for in a place as we show it
                own = builtins is state.builtins
                globals, locals = (names_of_a_task(each) if own else {} for each in (globals, locals))
        real(self, globals, locals, **options)

    memo.__init__ = __init__


TYPEGUARD = Package("typeguard", patches={"typeguard._memo": _patch_memo, "typeguard._functions": show_places})
SYMPY = Package(
    "sympy",
    patches={
        "sympy.core.symbol": _patch_symbol,
        "sympy.utilities.magic": _patch_magic,
        "sympy.parsing.sympy_parser": show_builtins,
    },
)
#: For modules that are imported; a task's is none.
PUBLIC = Package(
    "public",
    refused={
        module: {"it sets names of whoever calls it": names}
        for module, names in {
            "public": "public private install populate_all",
            "public._public": "public",
            "public._private": "private",
            "public._install": "install",
            "public._modules": "populate_all",
        }.items()
    },
)
FORMULAIC = Package("formulaic", patches={"formulaic.utils.context": _patch_formulaic})
PATSY = Package("patsy", patches={"patsy.eval": _patch_patsy})
