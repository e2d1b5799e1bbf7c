"""``str.format`` with attribute access under the policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.formats import format_refusal


def check_format(text: str) -> None:
    """Raise :class:`RefusedAttribute` when the format string names what the policy refuses."""
    refusal = format_refusal(text)
    if refusal:
        raise RefusedAttribute(f"{refusal}: it reads attributes by name. No setting allows it.")


def bound_format(text: str) -> Callable[..., str]:
    """What ``text.format`` is in a task."""

    def format(*args: object, **kwargs: object) -> str:
        check_format(text)
        return str.format(text, *args, **kwargs)

    return format


def bound_format_map(text: str) -> Callable[[Mapping[str, object]], str]:
    """What ``text.format_map`` is in a task."""

    def format_map(mapping: Mapping[str, object], /) -> str:
        check_format(text)
        return str.format_map(text, mapping)

    return format_map


def unbound_format(text: str, /, *args: object, **kwargs: object) -> str:
    """What ``str.format`` is in a task."""
    check_format(text)
    return str.format(text, *args, **kwargs)


def unbound_format_map(text: str, mapping: Mapping[str, object], /) -> str:
    """What ``str.format_map`` is in a task."""
    check_format(text)
    return str.format_map(text, mapping)
