"""No binding form takes a guard's place: ours have names that no source can spell, the interpreter's are refused.

Three kinds of names: the interpreter's (``__builtins__``), which may not be bound at all; RestrictedPython's classic guards
(``_getattr_``), which guard nothing here; and builtins that our guards stand for (``getattr``), which are the user's to
rebind, without any effect on a guard.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import OPEN, Attack, at_compile, attribute, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language import PolicyViolation, compile_task, make_namespace
from reptarium.sandbox.language.policy.names import is_dunder
from tests.each import each

#: Every form that binds or deletes the name N, and how many times N stands in it.
FORMS = {
    "assignment": "N = 1",
    "chained_assignment": "a = N = 1",
    "augmented_assignment": "N += 1",
    "annotated_assignment": "N: int = 1",
    "annotation_only": "N: int",
    "tuple_target": "N, a = 1, 2",
    "list_target": "[N, a] = 1, 2",
    "nested_target": "a, (b, N) = 1, (2, 3)",
    "star_target": "a, *N = [1]",
    "walrus": "(N := 1)",
    "walrus_in_a_comprehension": "[(N := a) for a in [1]]",
    "walrus_in_a_condition": "if (N := 1): pass",
    "for": "for N in []: pass",
    "for_tuple": "for a, N in []: pass",
    "for_star": "for a, *N in []: pass",
    "with": "with x as N: pass",
    "with_tuple": "with x as (a, N): pass",
    "second_with": "with x as a, x as N: pass",
    "except": "try: pass\nexcept E as N: pass",
    "import": "import N",
    "import_as": "import json as N",
    "import_dotted_as": "import os.path as N",
    "from_import": "from json import N",
    "from_import_as": "from json import loads as N",
    "def": "def N(): pass",
    "nested_def": "def f():\n    def N(): pass",
    "class": "class N: pass",
    "parameter": "def f(N): pass",
    "default_parameter": "def f(N=1): pass",
    "positional_only": "def f(N, /): pass",
    "keyword_only": "def f(*, N): pass",
    "star_parameter": "def f(*N): pass",
    "double_star_parameter": "def f(**N): pass",
    "lambda": "lambda N: 1",
    "lambda_positional_only": "lambda N, /: 1",
    "lambda_default": "lambda N=1: 1",
    "lambda_keyword_only": "lambda *, N: 1",
    "lambda_star": "lambda *N: 1",
    "lambda_double_star": "lambda **N: 1",
    "list_comprehension": "[1 for N in []]",
    "set_comprehension": "{1 for N in []}",
    "dict_comprehension": "{1: 1 for N in []}",
    "generator_expression": "list(1 for N in [])",
    "comprehension_tuple": "[1 for a, N in []]",
    "comprehension_star": "[1 for *N, in []]",
    "second_comprehension": "[1 for a in [] for N in a]",
    "global": "def f():\n    global N",
    "global_bound": "def f():\n    global N\n    N = 1",
    "nonlocal": "def f(a):\n    N = a\n    def g():\n        nonlocal N\n        N = 1",
    "match_capture": "match 1:\n    case N: pass",
    "match_as": "match 1:\n    case 1 as N: pass",
    "match_or": "match 1:\n    case (1 as N) | (2 as N): pass",
    "match_star": "match 1:\n    case [*N]: pass",
    "match_sequence": "match 1:\n    case [a, N]: pass",
    "match_mapping": "match 1:\n    case {'a': N}: pass",
    "match_rest": "match 1:\n    case {**N}: pass",
    "match_class": "match 1:\n    case object(real=N): pass",
    "match_class_positional": "match 1:\n    case int(N): pass",
    "class_body": "class A:\n    N = 1",
    "method": "class A:\n    def N(self): pass",
    "class_body_for": "class A:\n    for N in []: pass",
    "del": "del N",
    "del_several": "del x, N",
}
if sys.version_info >= (3, 12):
    FORMS |= {
        "type_parameter": "def f[N](): pass",
        "type_parameter_of_a_class": "class A[N]: pass",
        "type_variable_tuple": "def f[*N](): pass",
        "parameter_specification": "def f[**N](): pass",
        "type_alias": "type N = int",
        "type_parameter_of_an_alias": "type A[N] = int",
    }
if sys.version_info >= (3, 13):
    FORMS["type_parameter_default"] = "def f[N = int](): pass"

#: Not bindings, but they could put a name into a call's or a class's namespace.
KEYWORDS = {
    "call": ("f(N=1)", "the keyword argument 'N' is not allowed"),
    "class": ("class A(N=1): pass", "the keyword argument 'N' is not allowed"),
}
INTERPRETERS = [
    "__builtins__",
    "__build_class__",
    "__import__",
    "__name__",
    "__loader__",
    "__spec__",
    "__annotations__",
]
#: What RestrictedPython calls its guards, and what its older versions called them.
CLASSIC = [
    "_getattr_", "_getitem_", "_getiter_", "_iter_unpack_sequence_", "_unpack_sequence_", "_write_", "_print_", "_print",
    "_inplacevar_", "_apply_", "__metaclass__", "printed",
]  # fmt: skip
OURS = ["guard getattr", "guard import", "guard import from", "guard match class", "guard dunder import", "guard task"]
#: Builtins that guards and guarded functions use.
BUILTINS = [
    "getattr",
    "type",
    "isinstance",
    "issubclass",
    "str",
    "super",
    "AttributeError",
    "object",
    "tuple",
    "hasattr",
    "vars",
    "dir",
]

#: Programs that a guard must stop, and its words.
PROBES = {
    "getattr": ("getattr(gen, 'gi_' + 'frame')", "getattr", attribute("gi_frame")),
    "format": ("('{0.' + 'gi_frame}').format(gen)", "format", in_format("gi_frame")),
}


@pytest.mark.parametrize("form", FORMS)
@each("name", INTERPRETERS)
def test_interpreters_name(form: str, name: str) -> None:
    """A name of the interpreter's is bound by no form."""
    program = FORMS[form].replace("N", name)
    with pytest.raises(PolicyViolation) as caught:
        compile_task(program, OPEN)
    messages = {finding.message for finding in caught.value.findings}
    assert messages & {f"binding the name '{name}' is not allowed", f"binding the name '{name}' here is not allowed"}


@pytest.mark.parametrize("form", KEYWORDS)
@pytest.mark.parametrize("name", ["__builtins__", "__build_class__", "__class__"])
def test_keyword(form: str, name: str) -> None:
    """Keyword arguments are names too."""
    program, message = KEYWORDS[form]
    check(at_compile(program.replace("N", name), message.replace("N", name)))


@pytest.mark.parametrize("form", FORMS)
@each("name", CLASSIC)
def test_classic_guard_names_guard_nothing(form: str, name: str) -> None:
    """Binding RestrictedPython's names changes nothing."""
    binding = "\n".join(f"    {line}" for line in FORMS[form].replace("N", name).splitlines())
    program = f"def never():\n{binding}\nreached.append(('{{0.' + 'gi_frame}}').format(gen))"
    if is_dunder(name):
        with pytest.raises(PolicyViolation, match=name):
            compile_task(program, OPEN)
        return
    if form == "import":
        program = program.replace(f"import {name}", f"import json as {name}")
    check(Attack(program, in_format("gi_frame")), gen=(x for x in [1]))


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_guard_names_as_globals(name: str) -> None:
    """Nor as a global that does what the user likes."""
    if is_dunder(name):
        program = f"{name} = type"
        check(at_compile(program, f"binding the name '{name}' is not allowed"))
        return
    program = f"{name} = lambda *a, **k: a[0] if a else None\nreached.append(('{{0.' + 'gi_frame}}').format(gen))"
    check(Attack(program, in_format("gi_frame")), gen=(x for x in [1]))


@pytest.mark.parametrize("form", FORMS)
@each("name", OURS)
def test_our_guards_names_cannot_be_spelled(form: str, name: str) -> None:
    """With a space in the name, no form is even Python."""
    with pytest.raises(SyntaxError):
        compile_task(FORMS[form].replace("N", name), OPEN)


@pytest.mark.parametrize("name", OURS)
def test_our_guards_names_are_in_no_dict(name: str) -> None:
    """Nor does any dict of a task's hold them under its own keys."""
    namespace = make_namespace(OPEN, {})
    assert name not in namespace
    check_nothing_reached(
        "import json, types\nclass A: pass\nf = lambda: 1\n"
        "for d in (vars(A()), vars(A), vars(f), vars(types.SimpleNamespace())):\n    if name in d: reached.append(d)",
        name=name,
    )


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize("probe", PROBES)
def test_rebound_builtin_leaves_the_guard(name: str, probe: str) -> None:
    """A builtin that the user has rebound is not what the guards use."""
    expression, needed, message = PROBES[probe]
    if name == needed:
        return
    program = f"def any(*a, **k): return True\n{name} = any\nreached.append({expression})"
    if name == "getattr" or expression.startswith(name):
        program = program.replace("reached.append(getattr(", "reached.append(read(").replace(
            "def any", "read = getattr\ndef any", 1
        )
    check(Attack(program, message), gen=(x for x in [1]))


def test_rebound_builtin_leaves_the_pattern_guard() -> None:
    """The class of a pattern is checked with the real ``getattr`` and ``isinstance``."""
    program = (
        "class A:\n    if True: __match_args__ = ('gi_frame',)\n"
        "getattr = isinstance = hasattr = lambda *a: ()\nmatch gen:\n    case A(x): reached.append(x)"
    )
    message = "this class pattern is not allowed: it would read the attribute 'gi_frame'. No setting allows it."
    check(Attack(program, message), gen=(x for x in [1]))


GLOBALS = {
    "module_attribute": at_compile("import __main__ as m\nreached.append(m)", "import of '__main__' is not allowed"),
    "globals": at_compile("globals()['guard getattr'] = 1", "'globals' is not allowed"),
    "function_globals": at_compile("f = lambda: 1\nf.__globals__['guard getattr'] = 1", "the attribute '__globals__' is not allowed"),
    "builtins_dict": at_compile("__builtins__['guard getattr'] = 1", "the name '__builtins__' is not allowed"),
    "setattr_with_a_space": Attack("import types\nm = types.ModuleType('m')\nsetattr(m, 'guard getattr', 1)\nreached.append(getattr(gen, 'gi_frame'))", attribute("gi_frame")),
    "keyword_with_a_space": Attack("def f(**k): return k\nf(**{'guard getattr': 1})\nreached.append(getattr(gen, 'gi_frame'))", attribute("gi_frame")),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(GLOBALS))
def test_namespace(attack: Attack) -> None:
    """The task's own namespace is nowhere to be had as a dict."""
    check(attack, gen=(x for x in [1]))


LIBRARY = "__all__ = ['honest', '__version__', '__name__']\nhonest, __version__ = 1, '2'\n"


@pytest.mark.parametrize("listed", [True, False])
def test_a_star_binds_names_of_programs_alone(listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task sets on a package's module under a name of ours takes no guard's place, nor ``__name__`` the task's."""
    starred = f"starred_{listed}"  # façades stay
    (tmp_path / f"{starred}.py").write_text(LIBRARY if listed else LIBRARY.partition("\n")[2])
    monkeypatch.syspath_prepend(str(tmp_path))
    program = f"""
import {starred} as starred
for name in ('guard match class', 'guard getattr', 'guard last 0', 'also'):
    setattr(starred, name, lambda cls, *_: (cls, cls))
from {starred} import *
if __name__ != '__main__' or honest != 1 or not ({listed} or also): reached.append(__name__)
class A:
    if True: __match_args__ = ('gi_frame',)
try: reached.append(getattr(gen, 'gi_frame'))
except AttributeError: pass
match gen:
    case A(x): reached.append(x)
"""
    message = "this class pattern is not allowed: it would read the attribute 'gi_frame'. No setting allows it."
    check(Attack(program, message), gen=(x for x in [1]))
