"""What the language layer decides about each class of syntax node, of every supported Python."""

from __future__ import annotations

import ast

PLAIN = """
    Module Expr Return Delete If While For With Raise Assert Pass Break Continue BoolOp BinOp
    UnaryOp IfExp Dict Set Compare FormattedValue JoinedStr TemplateStr Interpolation Starred Subscript
    Slice List Tuple Constant withitem match_case MatchSingleton MatchSequence MatchOr Load Store Del
    And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd
    USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
""".split()
_CHECKED = """
    Assign Try TryStar Name Attribute Call keyword arg arguments Lambda FunctionDef ClassDef ListComp SetComp DictComp
    GeneratorExp comprehension NamedExpr Import ImportFrom alias ExceptHandler Global Nonlocal Yield
    YieldFrom AnnAssign AugAssign Match MatchValue MatchClass MatchMapping MatchStar MatchAs TypeAlias
    TypeVar ParamSpec TypeVarTuple AsyncFunctionDef AsyncFor AsyncWith Await
""".split()
REFUSED = {
    "Interactive": "it isn't a program",
    "Expression": "it isn't a program",
    "FunctionType": "it isn't a program",
    "TypeIgnore": "type comments aren't read",
}
#: Classes that ``ast`` keeps for old programs or as bases; no parser produces them.
_NEVER_PARSED = """
    AST AugLoad AugStore Bytes Ellipsis _ast_Ellipsis ExtSlice Index NameConstant Num Param Str Suite
    boolop cmpop excepthandler expr expr_context mod operator pattern slice stmt type_ignore type_param
    unaryop
""".split()

#: Node class name → "plain", "checked", "refused" or "never parsed".
DECISIONS: dict[str, str] = {
    **dict.fromkeys(PLAIN, "plain"),
    **dict.fromkeys(_CHECKED, "checked"),
    **dict.fromkeys(REFUSED, "refused"),
    **dict.fromkeys(_NEVER_PARSED, "never parsed"),
}

LEAVES = frozenset(
    getattr(ast, name)
    for name in PLAIN
    if hasattr(ast, name) and not getattr(ast, name)._fields  # contexts, operators, pass, break, continue
) | {ast.Constant}
