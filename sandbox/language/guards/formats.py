"""``str.format`` with attribute access under the policy."""

from __future__ import annotations

import string
from _string import formatter_field_name_split  # type: ignore[import-not-found]
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.formats import format_refusal, needs_a_look

#: Reads an attribute that needs a look at the object: guards/attributes.py's, which imports this module.
READ: list[Callable[[Any, str], Any]] = []


class _Formatter(string.Formatter):
    """``str.format``, but attributes are read through the guard."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        first, rest = formatter_field_name_split(field_name)
        obj = self.get_value(first, args, kwargs)
        for is_attribute, name in rest:
            obj = READ[0](obj, name) if is_attribute else obj[name]
        return obj, first


def check_format(text: str) -> None:
    """Raise :class:`RefusedAttribute` when the format string names what the policy refuses."""
    refusal = format_refusal(text)
    if refusal:
        raise RefusedAttribute(f"{refusal}: it reads attributes by name. No setting allows it.")


def unbound_format(text: str, /, *args: object, **kwargs: object) -> str:
    """What ``str.format`` is in a task."""
    check_format(text)
    if needs_a_look(text):
        return _Formatter().vformat(str.__str__(text), args, kwargs)
    return str.format(text, *args, **kwargs)


def unbound_format_map(text: str, mapping: Mapping[str, object], /) -> str:
    """What ``str.format_map`` is in a task."""
    check_format(text)
    if needs_a_look(text):
        return _Formatter().vformat(str.__str__(text), (), mapping)
    return str.format_map(text, mapping)


def bound_format(text: str) -> Callable[..., str]:
    """What ``text.format`` is in a task."""

    def format(*args: object, **kwargs: object) -> str:
        return unbound_format(text, *args, **kwargs)

    return format


def bound_format_map(text: str) -> Callable[[Mapping[str, object]], str]:
    """What ``text.format_map`` is in a task."""

    def format_map(mapping: Mapping[str, object], /) -> str:
        return unbound_format_map(text, mapping)

    return format_map
