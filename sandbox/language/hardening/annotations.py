"""Which text may stand in an annotation: whoever asks for the hints runs it as code.

The text is judged as Python parses it: a search in the text itself would have to know f-strings (which run code inside
of quotes), continued lines and letters that the parser takes for others.
"""

from __future__ import annotations

import ast

from reptarium.sandbox.language.policy.names import is_dunder, is_plain

#: What types are made of: names, paths, subscripts, literals, unions.
_PARTS = (ast.Expression, ast.Subscript, ast.Tuple, ast.List, ast.Starred, ast.Constant, ast.Load, ast.BitOr, ast.USub)


def annotation_refusal(text: str) -> str | None:
    """Why this text is refused as an annotation, or None. What isn't Python is left to Python, which says so."""
    try:
        # what typing compiles, to the letter: "*Ts" stands between its brackets
        tree = ast.parse(f"({text},)[0]" if text.startswith("*") else text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if is_dunder(node.id):
                return f"the name '{node.id}' in an annotation is not allowed"
        elif isinstance(node, ast.Attribute):
            if not is_plain(node.attr):  # nothing looks at the object here
                kind = "name" if is_dunder(node.attr) else "attribute"
                return f"the {kind} '{node.attr}' in an annotation is not allowed"
            if not isinstance(node.value, (ast.Name, ast.Attribute)):
                return f"the annotation {text!r} is not allowed: it must be a type's name, not an expression"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            continue
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            continue  # Literal[-1]
        elif not isinstance(node, _PARTS):
            return f"the annotation {text!r} is not allowed: it must be a type's name, not an expression"
    return None
