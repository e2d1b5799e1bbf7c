"""What a format string may name.

A format string is a small program: ``"{0.__class__.__mro__}"`` reads attributes by name. What it
names can be read off the text before it runs: field names are never computed, only format
specifications are, and those aren't parsed for fields again.
"""

from __future__ import annotations

from _string import formatter_field_name_split, formatter_parser  # type: ignore[import-not-found]

from reptarium.sandbox.language.policy.names import is_plain

_MAX_NESTING = 4  # Python itself refuses more than 2


def format_refusal(text: str, depth: int = 0) -> str | None:
    """Why this format string is refused, or None. Malformed text is left to Python, which raises ValueError."""
    text = str.__str__(text)  # what Python itself will read, whatever a subclass says that it contains
    if "." not in text:
        return None
    try:
        for _, field, spec, _ in formatter_parser(text):
            if field:
                _, rest = formatter_field_name_split(field)
                for is_attribute, name in rest:
                    if is_attribute and not is_plain(name):
                        return f"the attribute '{name}' in a format string is not allowed"
            if spec and depth < _MAX_NESTING:
                refusal = format_refusal(spec, depth + 1)
                if refusal:
                    return refusal
    except ValueError:
        return None
    return None
