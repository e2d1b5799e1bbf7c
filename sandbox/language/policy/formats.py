"""What a format string may name.

A format string is a small program: ``"{0.__class__.__mro__}"`` reads attributes by name. What it
names can be read off the text before it runs: field names are never computed, only format
specifications are, and those aren't parsed for fields again.
"""

from __future__ import annotations

from _string import formatter_field_name_split, formatter_parser  # type: ignore[import-not-found]
from collections.abc import Iterator

from reptarium.sandbox.language.policy.names import GUARDED_DUNDERS, is_plain, may_read

_MAX_NESTING = 4  # Python itself refuses more than 2


def format_refusal(text: str) -> str | None:
    """Why this format string is refused, or None. Malformed text is left to Python, which raises ValueError."""
    for name in _attributes(text):
        if not may_read(name) or name in GUARDED_DUNDERS:
            return f"the attribute '{name}' in a format string is not allowed"
    return None


def needs_a_look(text: str) -> bool:
    """Whether it names an attribute that is read through a guard."""
    return not all(map(is_plain, _attributes(text)))


def _attributes(text: str, depth: int = 0) -> Iterator[str]:
    """The attributes that a format string reads, up to where it is malformed."""
    text = str.__str__(text)  # what Python itself will read, whatever a subclass says that it contains
    if "." not in text:
        return
    try:
        for _, field, spec, _ in formatter_parser(text):
            if field:
                _, rest = formatter_field_name_split(field)
                yield from [name for is_attribute, name in rest if is_attribute]
            if spec and depth < _MAX_NESTING:
                yield from _attributes(spec, depth + 1)
    except ValueError:
        return
