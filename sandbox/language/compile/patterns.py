"""Match statements: class patterns read attributes that the class names."""

from __future__ import annotations

import ast
from typing import Any

from reptarium.sandbox.language.compile.walk import LOAD, STORE, Walk, attribute_advice
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.names import MATCH_CLASS

#: Classes with one positional capture of the whole subject: no attribute is read.
_SELF_MATCHING = frozenset("bool bytearray bytes dict float frozenset int list set str tuple".split())


class Patterns(Walk):
    """The part of the walk that decides on ``match`` statements."""

    def _match(self, node: ast.Match) -> ast.AST:
        self._hoisted.append([])
        self._children(node)
        # Whoever holds the block puts these before the statement: see spliced
        node.hoisted = self._hoisted.pop()  # type: ignore[attr-defined]
        return node

    def _pattern_value(self, node: ast.AST) -> ast.AST:
        previous, self._unguarded = self._unguarded, "in a pattern"
        self._children(node)
        self._unguarded = previous
        return node

    def _match_class(self, node: ast.MatchClass) -> ast.AST:
        for name in node.kwd_attrs:
            if not rules.may_read(name) or (rules.is_dunder(name) and not rules.is_plain(name)):
                self.refuse(node, f"the attribute '{name}' in a class pattern is not allowed", attribute_advice(name))
        looked_at = [name for name in node.kwd_attrs if not rules.is_plain(name)]
        previous, self._unguarded = self._unguarded, "in a pattern"
        node.cls = self.visit(node.cls)
        self._unguarded = previous
        if node.patterns:
            if isinstance(node.cls, ast.Name) and node.cls.id in _SELF_MATCHING and len(node.patterns) == 1:
                self._self_matches.append((node, node.cls.id))
            else:
                self._hoist(node, looked_at, positions=True)
        elif looked_at:
            self._hoist(node, looked_at, positions=False)
        for patterns in (node.patterns, node.kwd_patterns):
            for pattern in patterns:
                self.visit(pattern)
        return node

    def _hoist(self, node: ast.MatchClass, keywords: list[str], *, positions: bool) -> None:
        """Let the class be checked before the match: positional patterns read attributes that it names, and some
        attributes need a look at whose they are.

        The pattern then uses the checked value under a name of ours, so that nothing can be swapped in between. What
        was the pattern's class last time isn't asked about again:

            guard class 1 = Point
            guard seen 1 = guard last 1
            if guard class 1 is not guard seen 1[0]:
                guard seen 1 = guard last 1 = guard match class(guard class 1, (), True)
            guard class 1 = guard seen 1[1]
        """
        name, seen, last = (f"guard {what} {self._tmp_idx}" for what in ("class", "seen", "last"))
        self._tmp_idx += 1
        self.last_classes.append(last)
        names = ast.Tuple([ast.Constant(each) for each in keywords], LOAD)
        call = ast.Call(ast.Name(MATCH_CLASS, LOAD), [ast.Name(name, LOAD), names, ast.Constant(positions)], [])
        asked, given = (ast.Subscript(ast.Name(seen, LOAD), ast.Constant(number), LOAD) for number in (0, 1))
        steps: list[ast.stmt] = [
            *([] if self._scopes == ["task"] else [ast.Global([last])]),
            ast.Assign([ast.Name(name, STORE)], node.cls),
            ast.Assign([ast.Name(seen, STORE)], ast.Name(last, LOAD)),
            ast.If(
                ast.Compare(ast.Name(name, LOAD), [ast.IsNot()], [asked]),
                [ast.Assign([ast.Name(seen, STORE), ast.Name(last, STORE)], call)],
                [],
            ),
            ast.Assign([ast.Name(name, STORE)], given),
        ]
        self._hoisted[-1] += [ast.fix_missing_locations(ast.copy_location(step, node)) for step in steps]
        node.cls = ast.copy_location(ast.Name(name, LOAD), node.cls)

    def _match_capture(self, node: Any) -> ast.AST:
        self._bind(node, getattr(node, "rest", None) or getattr(node, "name", None))
        return self._pattern_value(node)
