"""How ``copy`` makes an object of what another tells of itself, where a task has a say in that: its classes tell a
state (``__getstate__``), and take one (``__setstate__``).

What is told for an object's attributes becomes attributes here, by names that may be set. Nobody is given an object's
own ``__dict__``: who holds that writes any names into it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from reptarium.sandbox.language.guards import beneath, copied_state, is_own_function, refused
from reptarium.sandbox.language.hardening.addresses import hides_addresses, refuse_addresses
from reptarium.sandbox.language.hardening.audit import watching


def _attributes(y: Any, state: Any) -> dict[str, Any]:
    """The state as a plain dict, whatever it says of itself."""
    found: dict[str, Any] = {}
    for name, value in dict(state).items():
        if not isinstance(name, str):
            raise refused("a state with attributes that aren't named by texts is not allowed")
        found[str.__str__(name)] = value
    if not hides_addresses(type(y)):
        refuse_addresses(found)
    return found


def _refuse_in(state: Any, depth: int = 3) -> None:
    """Raise :class:`RefusedAttribute` where the state of a library's object has an address for an attribute."""
    if isinstance(state, dict):
        refuse_addresses(dict.keys(state))
        state = dict.values(state)
    elif not isinstance(state, (tuple, list)):
        return
    for each in state if depth else ():
        _refuse_in(each, depth - 1)


def _set_state(x: Any, y: Any, state: Any) -> None:
    """As ``copy`` does."""
    take = beneath(y, "__setstate__", None)
    if take is not None:
        if not is_own_function(getattr(take, "__func__", None)) and not hides_addresses(type(y)):
            _refuse_in(state)  # of C code, mostly, which asks nobody
        take(copied_state(x, state))
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state is not None:
        beneath(y, "__dict__").update(_attributes(y, state))
    if slots is not None:
        for name, value in _attributes(y, slots).items():
            vars(copy)["setattr"](y, name, value)  # a library's: see readers.py


def _reconstructed(
    x: Any,
    memo: dict[int, Any] | None,
    func: Callable[..., Any],
    args: Iterable[Any],
    state: Any = None,
    listiter: Iterable[Any] | None = None,
    dictiter: Iterable[tuple[Any, Any]] | None = None,
    *,
    deepcopy: Callable[[Any, Any], Any] = copy.deepcopy,
) -> Any:
    def copied(value: Any) -> Any:
        return value if memo is None else deepcopy(value, memo)

    y = func(*map(copied, args))
    if memo is not None:
        memo[id(x)] = y
    if state is not None:
        _set_state(x, y, copied(state))
    for item in () if listiter is None else listiter:
        y.append(copied(item))
    for key, value in () if dictiter is None else dictiter:
        y[copied(key)] = copied(value)
    return y


def patch_copies() -> None:
    """For the process, once."""
    module: Any = copy
    real = module._reconstruct

    def _reconstruct(*args: Any, **options: Any) -> Any:
        return (_reconstructed if watching() else real)(*args, **options)

    module._reconstruct = _reconstruct
