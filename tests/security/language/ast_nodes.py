"""Every node class that the parsers of the supported Python versions know.

From ``Parser/Python.asdl`` of each version; 3.11 to 3.13 compared with the interpreters' own ``_ast``, 3.14 with the
"Abstract grammar" of its documentation (https://docs.python.org/3.14/library/ast.html#abstract-grammar), 3.15.2 with its ``_ast``.
Before a new version is supported, its changes come here and are decided on in ``DECISIONS`` (sandbox/language/policy/nodes.py).
"""

from __future__ import annotations

#: Sums of the grammar: bases of the nodes, never nodes themselves.
_BASES_3_11 = frozenset(
    "AST boolop cmpop excepthandler expr expr_context mod operator pattern stmt type_ignore unaryop".split()
)
_NODES_3_11 = frozenset(
    """
        Module Interactive Expression FunctionType
        FunctionDef AsyncFunctionDef ClassDef Return Delete Assign AugAssign AnnAssign For AsyncFor While If With
        AsyncWith Match Raise Try TryStar Assert Import ImportFrom Global Nonlocal Expr Pass Break Continue
        BoolOp NamedExpr BinOp UnaryOp Lambda IfExp Dict Set ListComp SetComp DictComp GeneratorExp Await Yield
        YieldFrom Compare Call FormattedValue JoinedStr Constant Attribute Subscript Starred Name List Tuple Slice
        Load Store Del And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv
        Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
        comprehension ExceptHandler arguments arg keyword alias withitem match_case
        MatchValue MatchSingleton MatchSequence MatchMapping MatchClass MatchStar MatchAs MatchOr TypeIgnore
    """.split()
)
#: PEP 695: type parameters and ``type`` statements.
_NODES_3_12 = _NODES_3_11 | {"TypeAlias", "TypeVar", "ParamSpec", "TypeVarTuple"}
#: PEP 750: template strings.
_NODES_3_14 = _NODES_3_12 | {"TemplateStr", "Interpolation"}

#: (major, minor) → the classes of ``_ast`` that a parser of that version makes.
NODES: dict[tuple[int, int], frozenset[str]] = {
    (3, 11): _NODES_3_11,
    (3, 12): _NODES_3_12,
    (3, 13): _NODES_3_12,
    (3, 14): _NODES_3_14,
    (3, 15): _NODES_3_14,
}

#: (major, minor) → the bases of those classes.
BASES: dict[tuple[int, int], frozenset[str]] = {
    (3, 11): _BASES_3_11,
    (3, 12): _BASES_3_11 | {"type_param"},
    (3, 13): _BASES_3_11 | {"type_param"},
    (3, 14): _BASES_3_11 | {"type_param"},
    (3, 15): _BASES_3_11 | {"type_param"},
}
