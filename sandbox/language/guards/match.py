"""Class patterns with positions: they read attributes that the class names."""

from __future__ import annotations

import builtins
import typing
from typing import Any

from reptarium.sandbox.language.guards.checks import refused
from reptarium.sandbox.language.policy import names as rules


def match_class(cls: Any, keywords: tuple[str, ...] = (), *, positions: bool = True) -> Any:
    """The class of a pattern, once the attributes that it would read are known to be harmless.

    ``keywords`` are those that the pattern names itself; with ``positions`` those that the class names too.
    """
    if not isinstance(cls, type):
        return cls  # Python says what is wrong
    names = getattr(cls, "__match_args__", ()) if positions else ()
    if type(names) is not tuple:
        raise refused("this class pattern is not allowed", "its __match_args__ is not a tuple")
    for name in (*names, *keywords):
        if type(name) is not str or not (rules.is_plain(name) or (_may_hold(name) and _holds_own_data(cls))):
            raise refused("this class pattern is not allowed", f"it would read the attribute {name!r}")
    return cls


def _may_hold(name: str) -> bool:
    """Whether a class of the user's own may keep data under this name, which elsewhere needs a look at the object."""
    return rules.may_read(name) and not rules.is_dunder(name)


#: Classes that put nothing of their own into instances under a guarded name.
_BARE = {object, tuple, list, dict, set, typing.Generic} | {
    value
    for value in vars(builtins).values()
    if isinstance(value, type) and issubclass(value, BaseException) and not hasattr(value, "obj")
}


def _holds_own_data(cls: type) -> bool:
    """Whether instances hold only what the task put there, under names where libraries keep modules or ``format``.

    With a metaclass (ABCMeta) any object could be registered as an instance.
    """
    own = type(cls) is type and cls.__module__ == "__main__"
    return own and all(base in _BARE or base.__module__ == "__main__" for base in cls.__mro__)
