"""Texts that a program puts into a name once and for all: ``HOST = "db.example.com"``, and what it makes of them."""

from __future__ import annotations

import ast

#: Texts in texts, parts of one, and characters: nobody's path or address is put together of more.
_DEEPEST, _MOST_PARTS, _LONGEST = 8, 20, 4_096
#: What makes a path of its parts, as people write it.
_PATHS = frozenset("os.path.join path.join join osp.join Path PurePath pathlib.Path pathlib.PurePath".split())


class Constants:
    """Names that stand for one text, or for one dict, wherever they are read."""

    def __init__(self) -> None:
        self._values: dict[str, ast.expr] = {}
        self._times: dict[str, int] = {}
        self._imported: dict[str, set[str]] = {}
        self._texts: dict[str, str | None] = {}

    def bind(self, node: ast.AST) -> None:
        """Take notice of what a node of the program binds. All are to be shown before anything is asked."""
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._value(node.targets[0], node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._value(node.target, node.value)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self._bound(node.id)
        elif isinstance(node, ast.arg):
            self._bound(node.arg)
            self._bound(node.arg)  # what comes in there isn't known, whatever else the name is given
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                own = alias.asname or alias.name.partition(".")[0]
                whole = alias.name if alias.asname else own
                origin = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else whole
                self._imported.setdefault(own, set()).add(origin)
                self._times.setdefault(own, 0)
        elif isinstance(node, ast.MatchMapping):
            self._bound(node.rest or "")
        elif not isinstance(node, ast.alias) and (name := getattr(node, "name", None)):
            self._bound(str(name))  # functions, classes, errors, patterns

    def _value(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._values[target.id] = value

    def _bound(self, name: str) -> None:
        self._times[name] = self._times.get(name, 0) + 1

    def is_imported(self, name: str) -> bool:
        """Whether it is one module, or name of one, wherever it is read."""
        return len(self._imported.get(name, ())) == 1 and not self._times[name]

    def value(self, node: ast.expr | None) -> ast.expr | None:
        """What an expression stands for: itself, or what its name was given."""
        if isinstance(node, ast.Name) and self._times.get(node.id) == 1 and node.id not in self._imported:
            return self._values.get(node.id, node)
        return node

    def text(self, node: ast.expr | None, deep: int = 0) -> str | None:
        """The text that an expression gives, as far as it is known before it runs; None where it isn't."""
        if not isinstance(node, ast.Name):
            return self._made(node, deep)
        if node.id not in self._texts:
            self._texts[node.id] = None  # a name that is made of itself is none that is known
            value = self.value(node)
            self._texts[node.id] = None if value is node else self._made(value, deep)
        return self._texts[node.id]

    def _made(self, node: ast.expr | None, deep: int) -> str | None:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if deep == _DEEPEST or node is None:
            return None
        parts, between = (_path_of(node), "/") if _path_of(node) else (parts_of(node), "")
        if not 1 <= len(parts) <= _MOST_PARTS or parts == [node]:
            return None
        text = ""
        for part in parts:
            one = self.text(_formatted(part), deep + 1)
            if one is None or len(text) + len(one) > _LONGEST:
                return None
            text = one if between and one.startswith("/") else f"{text}{between if text else ''}{one}"
        return text

    def runs(self, node: ast.expr) -> list[tuple[str, bool]]:
        """What is known of a text that is put together, piece by piece, and whether the text ends with it."""
        found: list[tuple[str, bool]] = []
        run = ""
        for part in parts_of(node):
            text = self.text(_formatted(part), 1)
            if text is None:
                found.append((run, False))
            run = "" if text is None else run + text
        return [(run, whole) for run, whole in [*found, (run, True)] if run]


def parts_of(node: ast.expr) -> list[ast.expr]:
    """What an f-string, or a sum, is put together of. Without recursion: a sum may be long."""
    if isinstance(node, ast.JoinedStr):
        return node.values
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def _path_of(node: ast.expr) -> list[ast.expr]:
    """What a path is put together of: ``os.path.join(a, b)``, ``Path(a, b)``, ``Path(a) / b``; nothing otherwise."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and not node.keywords:
        name = (
            ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) and _is_short(node.func) else ""
        )
        if name in _PATHS:
            return node.args
    return []


def _is_short(node: ast.expr) -> bool:
    for _ in range(3):
        if isinstance(node, ast.Name):
            return True
        if not isinstance(node, ast.Attribute):
            return False
        node = node.value
    return False


def _formatted(part: ast.expr) -> ast.expr:
    """What stands in a part of an f-string, where it is put in as it is."""
    plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
    return part.value if plain and isinstance(part, ast.FormattedValue) else part
