"""Python's own answer: programs as bodies of functions in an interpreter in which nothing of ours is loaded.

Run as a script: programs as JSON on standard input (``{"programs": {name: source}, "given": {name: value}}``),
their answers as JSON on standard output.
"""

from __future__ import annotations

import ast
import builtins
import json
import linecache
import sys
import textwrap
from types import CodeType, FunctionType, ModuleType

FILENAME = "<task>"
_WRAPPER = "task.<locals>."
_CONTAINERS = {list: "[]", tuple: "()", dict: "{}", set: "set()", frozenset: "frozenset()"}


def described(value: object) -> str:
    """A value as text: its exact type and content, sets in a fixed order."""
    kind = type(value)
    if kind not in _CONTAINERS:
        return repr(value)
    parts = (
        [f"{described(key)}: {described(each)}" for key, each in value.items()]  # type: ignore[attr-defined]
        if kind is dict
        else [described(each) for each in value]  # type: ignore[attr-defined]
    )
    if kind in (set, frozenset):
        parts.sort()
    opening, closing = _CONTAINERS[kind][:-1], _CONTAINERS[kind][-1]
    return f"{opening}{', '.join(parts)}{closing}"


def _outermost(code: CodeType) -> CodeType:
    """The code as if its functions and classes weren't inside the function that holds the program."""
    constants = tuple(
        _outermost(constant)
        if isinstance(constant, CodeType)
        else constant.removeprefix(_WRAPPER)
        if type(constant) is str
        else constant
        for constant in code.co_consts
    )
    return code.replace(co_consts=constants, co_qualname=code.co_qualname.removeprefix(_WRAPPER))


def answer(source: str, given: dict[str, object]) -> str:
    """What the program returns; an exception comes through."""
    body = ast.parse(source, FILENAME).body
    module = ast.parse("def task(): pass", FILENAME)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    future = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    module.body[:0] = future
    function.body = [node for node in body if node not in future]
    main = ModuleType("__main__")
    vars(main).update({"__builtins__": vars(builtins), **given})
    sys.modules["__main__"] = main
    linecache.cache[FILENAME] = (len(source), None, source.splitlines(True), FILENAME)
    compiled = compile(module, FILENAME, "exec", dont_inherit=True)
    code = next(constant for constant in compiled.co_consts if isinstance(constant, CodeType))
    # Tracebacks call the outermost frame what the sandbox calls it
    task = FunctionType(_outermost(code).replace(co_name="<module>", co_qualname="<module>"), vars(main))
    return described(task())


def main() -> None:
    """See the module."""
    request = json.load(sys.stdin)
    answers = {}
    for name, source in request["programs"].items():
        try:
            answers[name] = answer(textwrap.dedent(source), json.loads(json.dumps(request["given"])))
        except Exception as error:
            answers[name] = f"raised {type(error).__name__}: {error}"
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
