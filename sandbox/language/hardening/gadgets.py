"""Library functions that read attributes, or build code, from data: replaced by ones that check what they are given.

``string.Formatter``, ``UserString.format``, ``copy``, ``typing.Type``, ``operator.attrgetter``; with them all else that
is done to the process once.
"""

from __future__ import annotations

import collections
import copy
import copyreg
import logging
import operator
import string
import types
import typing
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.guards import formats, guarded_getattr, slot_names
from reptarium.sandbox.language.hardening import readers
from reptarium.sandbox.language.hardening.addresses import patch_addresses
from reptarium.sandbox.language.hardening.annotations import patch_annotations, read_markers
from reptarium.sandbox.language.hardening.arrivals import watch_arrivals
from reptarium.sandbox.language.hardening.audit import watching
from reptarium.sandbox.language.hardening.copies import patch_copies
from reptarium.sandbox.language.hardening.generated_classes import patch_generated_classes
from reptarium.sandbox.language.hardening.imports_by_name import patch_imports
from reptarium.sandbox.language.hardening.initializers import patch_initializers
from reptarium.sandbox.language.policy.refusals import unavailable


def _formatter_get_field(self: Any, field_name: str, args: Any, kwargs: Any) -> Any:
    from _string import formatter_field_name_split  # type: ignore[import-not-found]

    first, rest = formatter_field_name_split(field_name)
    obj = self.get_value(first, args, kwargs)
    for is_attribute, name in rest:
        obj = guarded_getattr(obj, name) if is_attribute else obj[name]
    return obj, first


def _user_string_format(self: Any, /, *args: Any, **kwargs: Any) -> str:
    return formats.unbound_format(str(self.data), *args, **kwargs)


def _user_string_format_map(self: Any, mapping: Any) -> str:
    return formats.unbound_format_map(str(self.data), mapping)


def _brace_style_format(original: Callable[..., str]) -> Callable[..., str]:
    def _format(self: Any, record: Any) -> str:
        if not watching():
            return original(self, record)
        text, values = str.__str__(self._fmt), record.__dict__  # read once: a property tells another text each time
        return formats.unbound_format(text, **{**(self._defaults or {}), **values})

    return _format


def uncopied(_: Any) -> str:
    """What :data:`UNCOPIED` has for each class."""
    return "a string says that an object is its own copy"


#: Objects that ``copy`` would copy by calling the real ``getattr`` with a name of theirs (a method's function tells any
#: name; a memo of one's own exchanges it), or by making a new one with such a name. They come back as they are.
UNCOPIED: dict[type, Callable[[Any], str]] = dict.fromkeys(
    (
        types.MethodType,
        types.MethodWrapperType,
        types.WrapperDescriptorType,
        types.MethodDescriptorType,
        types.ClassMethodDescriptorType,
        types.GetSetDescriptorType,
        types.MemberDescriptorType,
        operator.attrgetter,
        operator.methodcaller,
    ),
    uncopied,
)


def _no_metaclass(real: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        """``typing.Type`` is a name for ``type``: calling it would make classes, inheriting from it metaclasses."""
        if isinstance(self.__origin__, type) and issubclass(self.__origin__, type):
            raise unavailable("metaclasses are not available in a task: typing.Type only names classes")
        return real(self, *args, **kwargs)

    return checked


class _Hardened:
    """Process-wide. An instance: classes are sealed."""

    def __init__(self) -> None:
        self.done = False


_hardened = _Hardened()


def harden() -> None:
    """Replace the gadgets of the standard library. Once per process, before user code."""
    if _hardened.done:
        return
    _hardened.done = True
    patch_annotations()
    read_markers()
    patch_generated_classes()
    setattr(string.Formatter, "get_field", _formatter_get_field)  # noqa: B010 - a method assignment, for mypy
    setattr(collections.UserString, "format", _user_string_format)  # noqa: B010
    setattr(collections.UserString, "format_map", _user_string_format_map)  # noqa: B010
    style: Any = logging.StrFormatStyle
    style._format = _brace_style_format(style._format)
    setattr(operator, "attrgetter", readers.library_attrgetter)  # noqa: B010
    setattr(operator, "methodcaller", readers.library_methodcaller)  # noqa: B010
    setattr(copyreg, "_slotnames", slot_names)  # noqa: B010
    setattr(copy, "dispatch_table", collections.ChainMap(UNCOPIED, copyreg.dispatch_table))  # noqa: B010
    alias = vars(typing)["_BaseGenericAlias"]
    for cls in (alias, *alias.__subclasses__()):
        for method in ("__call__", "__mro_entries__"):
            if method in vars(cls):
                setattr(cls, method, _no_metaclass(vars(cls)[method]))
    patch_addresses()
    patch_copies()
    patch_initializers()
    patch_imports()
    watch_arrivals()
