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

        The pattern then uses the checked value under a name of ours, so that nothing can be swapped in between.
        """
        name = f"guard class {self._tmp_idx}"
        self._tmp_idx += 1
        guard = ast.Name(MATCH_CLASS, LOAD)
        names = ast.Tuple([ast.Constant(each) for each in keywords], LOAD)
        call = ast.Call(guard, [node.cls, names], [ast.keyword("positions", ast.Constant(positions))])
        assign = ast.Assign([ast.Name(name, STORE)], call)
        ast.fix_missing_locations(ast.copy_location(assign, node))
        self._hoisted[-1].append(assign)
        node.cls = ast.copy_location(ast.Name(name, LOAD), node.cls)

    def _match_capture(self, node: Any) -> ast.AST:
        self._bind(node, getattr(node, "rest", None) or getattr(node, "name", None))
        return self._pattern_value(node)
