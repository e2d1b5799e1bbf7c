"""Text in annotations becomes code when somebody asks for the hints: it may name types, and no more."""

from __future__ import annotations

import sys

import pytest
from programs import Attack, at_compile, by_id, changing, check, check_nothing_reached, outcome

from reptarium.sandbox.language import PolicyViolation, RefusedAttribute, RefusedOperation
from tests.each import each

#: Texts that are more than a type's name. ``reached`` and ``gen`` are given to the task, so they are globals.
TEXTS = {
    "call": "reached.append(1)",
    "import": "__import__('os')",
    "call_of_a_subscript": "reached[0]()",
    "lambda": "lambda: 1",
    "comprehension": "[reached.append(x) for x in [1]]",
    "generator": "(x for x in [1])",
    "set_comprehension": "{x for x in [1]}",
    "conditional": "int if reached else str",
    "walrus": "(reached := 1)",
    "dict": "{1: 2}",
    "f_string": "f'{reached.append(1)}'",
    "f_string_in_a_subscript": "list[f'{reached.append(1)}']",
    "f_string_among_strings": "'a' f'{reached.append(1)}'",
    "f_string_with_other_quotes": "list['a', f\"{reached.append('b')}\"]",
    "formatted_class": "f'{gen.gi_frame}'",
    "await": "await gen",
    "yield": "yield gen",
    "matrix_product": "int @ str",
    "starred_call": "*reached.append(1)",
    "starred_out_of_its_brackets": "*gen,)[0] or (reached.append(1)",
    "starred_behind_a_space": " *gen,)[0] or (reached.append(1)",
    "starred_behind_a_newline": "\n\f*gen,)[0] or (reached.append(1)",
    "out_of_its_brackets": "gen,)[0] or (reached.append(1)",
    "out_of_plain_brackets": "gen) or (reached.append(1)",
}
#: Attributes that no annotation names, however it is written.
NAMES = {
    "interpreters": ("gen.gi_frame", "gi_frame"),
    "object_of_an_error": ("error.obj", "obj"),
    "module_holder": ("holder.pathmod", "pathmod"),
    "through_another": ("holder.x.pathmod.genericpath", "genericpath"),
    "in_a_subscript": ("list[gen.gi_frame]", "gi_frame"),
    "of_a_subscript": ("holder[0].gi_frame", "gi_frame"),
    "with_spaces": ("gen . gi_frame", "gi_frame"),
    "with_a_newline": ("list[gen\n.gi_frame]", "gi_frame"),
    "with_a_continued_line": ("gen.\\\ngi_frame", "gi_frame"),
    "with_compatibility_letters": ("gen.ｇi_frame", "gi_frame"),
    "in_a_union": ("int | gen.gi_frame", "gi_frame"),
    "special": ("gen.__class__", "__class__"),
    "special_name": ("__builtins__", "__builtins__"),
    "special_in_compatibility_letters": ("gen.__ｃlass__", "__class__"),
    "import_name": ("__import__", "__import__"),
    "loader": ("__loader__", "__loader__"),
}
#: Who reads the text.
READERS = {
    "forward_reference": "from typing import ForwardRef\nForwardRef(text)",
    "subscript": "from typing import List\nList[text]",
    "optional": "from typing import Optional\nOptional[text]",
    "callable": "from typing import Callable\nCallable[[text], int]",
    "type_variable": "from typing import TypeVar\nTypeVar('T', bound=text)",
    "annotated": "from typing import Annotated\nAnnotated[text, 1]",
    "typed_dict": "from typing import TypedDict\nTypedDict('D', {'a': text})",
    "named_tuple": "from typing import NamedTuple\nNamedTuple('N', [('a', text)])",
    "singledispatch": "from functools import singledispatch\nf = singledispatch(lambda x: 1)\n@f.register\ndef g(x: text): pass",
    "pydantic": "from pydantic import BaseModel\nclass M(BaseModel):\n    x: text",
}
BY_POSITION = sys.version_info < (3, 14)
if sys.version_info < (3, 14):  # since then nobody reads a class body's annotations before they are asked for
    READERS["class_body"] = "from typing import NamedTuple\nclass N(NamedTuple):\n    x: text"
#: Reads a forward reference as the running Python does it, with names of its own.
READ = """
import warnings
from typing import ForwardRef
def read(ref, **local):
    if hasattr(ref, '_evaluate'):
        warnings.simplefilter('ignore')
        return ref._evaluate({'modules': modules}, local, recursive_guard=frozenset())
    return ref.evaluate(globals={'modules': modules}, locals=local)
"""
NO_TYPE = "the annotation {!r} is not allowed: it isn't a type"
VALUES = {
    "function": Attack("reached.append(read(ForwardRef('x'), x=len))", NO_TYPE.format("x")),
    "leaked_builtin": Attack("reached.append(read(ForwardRef('x[0]'), x=[leaked]))", NO_TYPE.format("x[0]")),
    "module": Attack("reached.append(read(ForwardRef('x.leaf'), x=holder))", NO_TYPE.format("x.leaf")),
    "mapping": Attack("reached.append(read(ForwardRef('x'), x={'a': leaked}))", NO_TYPE.format("x")),
    "list_of_functions": Attack("reached.append(read(ForwardRef('x'), x=[leaked]))", NO_TYPE.format("x")),
    "globals_of_ones_own": Attack("reached.append(read(ForwardRef('modules')))", NO_TYPE.format("modules")),
    "module_of_the_reference": Attack("reached.append(read(ForwardRef('path_hooks', module='sys')))", "name 'path_hooks' is not defined", NameError),
    "module_by_position": Attack("reached.append(read(ForwardRef('path_hooks', False, 'sys') if BY_POSITION else ForwardRef('path_hooks', module='sys')))", "name 'path_hooks' is not defined", NameError),
    "evaluated_otherwise": Attack("from functools import singledispatch\nf = singledispatch(lambda x: 1)\n@f.register\ndef g(x: 'leaked'): pass\nreached.append(f.registry)", NO_TYPE.format("leaked")),
}  # fmt: skip
GONE = {
    "get_type_hints": Attack("from typing import get_type_hints\ndef f(x: 'reached.append(1)'): pass\nreached.append(get_type_hints(f))", "the annotation 'reached.append(1)' is not allowed: it must be a type's name, not an expression"),
    "get_type_hints_of_a_dunder": Attack("import typing\ndef f(x: '__builtins__'): pass\nreached.append(typing.get_type_hints(f))", "the name '__builtins__' in an annotation is not allowed"),
    "get_type_hints_of_other_globals": Attack("import typing\ndef f(x: 'nope'): pass\nreached.append(typing.get_type_hints(f, {'nope': reached.append}))", "name 'nope' is not defined", NameError),
    "evaluate_forward_ref": Attack("import typing\nreached.append(typing.evaluate_forward_ref)", "module 'typing' has no attribute 'evaluate_forward_ref'", AttributeError),
    "private_evaluation": Attack("import typing\nreached.append(typing._eval_type)", "module 'typing' has no attribute '_eval_type'", AttributeError),
    "annotations_set": at_compile("def f(x: 'a'): pass\nf.__annotations__ = {'x': 'b'}", "changing the attribute '__annotations__' is not allowed"),
    "annotations_changed": at_compile("def f(x): pass\nf.__annotations__ = {'x': 'reached.append(1)'}", "changing the attribute '__annotations__' is not allowed"),
    "annotations_of_the_task": at_compile("x: int = 1\nreached.append(__annotations__)", "the name '__annotations__' is not allowed"),
    "annotations_of_a_class": at_compile("class A:\n    __annotations__ = {'x': 'f()'}", "binding the name '__annotations__' is not allowed"),
    "annotate_function": at_compile("def f(x: int): pass\nreached.append(f.__annotate__(1))", "the attribute '__annotate__' is not allowed"),
    "wrapped_changed": at_compile("def f(x: 'a'): pass\nf.__wrapped__ = reached", "changing the attribute '__wrapped__' is not allowed"),
    "code_of_a_reference": at_compile("from typing import ForwardRef\nreached.append(ForwardRef('a').__forward_code__)", "the attribute '__forward_code__' is not allowed"),
    "text_of_a_reference_changed": at_compile("from typing import ForwardRef\nr = ForwardRef('a')\nr.__forward_arg__ = 'f()'", "changing the attribute '__forward_arg__' is not allowed"),
    "text_of_a_reference_set": Attack("from typing import ForwardRef\nsetattr(ForwardRef('a'), '__forward_arg__', 'f()')", changing("__forward_arg__")),
    "module_of_a_reference_set": Attack("from typing import ForwardRef\nobject.__setattr__(ForwardRef('a'), '__forward_module__', 'sys')", changing("__forward_module__")),
    "bound_of_a_variable": at_compile("from typing import TypeVar\nreached.append(TypeVar('T', bound='a').__bound__)", "the attribute '__bound__' is not allowed"),
    "lying_text": Attack("from typing import ForwardRef\nclass S(str): pass\nreached.append(ForwardRef(S('f()')))", "a forward reference must be exactly str", TypeError),
    "text_of_another_type": Attack("from typing import ForwardRef\nreached.append(ForwardRef(b'a'))", "a forward reference must be exactly str", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@each("text", TEXTS)
def test_code(text: str, reader: str) -> None:
    """An expression that isn't a type's name is refused before it is read."""
    message = f"the annotation {TEXTS[text]!r} is not allowed: it must be a type's name, not an expression"
    check(Attack(READERS[reader], message), text=TEXTS[text], gen=1)


@pytest.mark.parametrize("reader", READERS)
@each("name", NAMES)
def test_name(name: str, reader: str) -> None:
    """Nor may it name what a written program may not, or what needs a look at the object."""
    text, word = NAMES[name]
    kind = "name" if word.startswith("__") else "attribute"
    message = f"the {kind} '{word}' in an annotation is not allowed"
    check(Attack(READERS[reader], message), text=text, gen=(x for x in [1]), holder=1, error=1)


@pytest.mark.parametrize("attack", by_id(VALUES))
def test_value(attack: Attack) -> None:
    """What comes out must be a type, read with the task's own names."""
    holder = type("Holder", (), {"leaf": sys})
    check(
        attack._replace(program=READ + attack.program),
        leaked=open,
        holder=holder,
        modules={"sys": sys},
        BY_POSITION=BY_POSITION,
    )


@pytest.mark.parametrize("attack", by_id(GONE))
def test_what_reads_hints(attack: Attack) -> None:
    """The functions and attributes that hints are read with are not for tasks."""
    check(attack)


@pytest.mark.parametrize(
    "text", ["int str", "x = 1", "import x", "a; b", "(", "\0", *([" int"] if BY_POSITION else [])]
)
def test_no_expression_at_all(text: str) -> None:
    """What isn't an expression is Python's own error."""
    program = (
        "from typing import ForwardRef\ntry: reached.append(ForwardRef(text))\nexcept (SyntaxError, ValueError): pass"
    )
    check_nothing_reached(program, text=text)


def test_ordinary_hints_work() -> None:
    """Names, paths, subscripts, unions, literals, in text or postponed."""
    check_nothing_reached(
        """
        global datetime
        import collections.abc, datetime
        from functools import singledispatch
        from typing import ForwardRef, List, Literal, Optional, Annotated
        for text in ('int', 'datetime.datetime', 'list[int]', 'int | None', "Literal['a(b)', 1]", 'dict[str, list[int]]',
                     'collections.abc.Iterable[int]', "Annotated[int, 'x']", 'tuple[int, ...]', 'Optional["A"]', 'tuple[()]', 'Literal[-1]', '*A'):
            ForwardRef(text)
        f = singledispatch(lambda x: 'other')
        @f.register
        def g(x: 'datetime.date'): return 'date'
        if f(datetime.date(2024, 1, 1)) != 'date' or f(1) != 'other': reached.append(1)
        """
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        *((text, names) for text in ("str.format", "reached.append(1)", "(lambda: 1)") for names in ("None", "{}")),
        ("open", "{}"),  # without a task's builtins
    ],
)
@pytest.mark.parametrize("reader", ["inspect.Signature.from_callable(f", "typing_extensions.get_annotations(f"])
def test_text_that_a_signature_evaluates(reader: str, names: str, text: str) -> None:
    """It is judged as a forward reference's, and so is what comes of it, whatever names it is read with."""
    ended = outcome(
        f"import inspect, typing_extensions\ndef f(x: {text!r}): pass\nreached.append({reader}, eval_str=True, globals={names}))"
    )
    assert isinstance(ended, (RefusedAttribute, RefusedOperation)), ended


@pytest.mark.parametrize("reader", ["inspect.Signature.from_callable(f", "typing_extensions.get_annotations(f"])
def test_type_is_a_task_s_whatever_names_it_is_read_with(reader: str) -> None:
    """Not the one that makes classes of any names."""
    check_nothing_reached(
        f"import inspect, typing_extensions\ndef f(x: 'type'): pass\nread = {reader}, eval_str=True, globals={{}})\n"
        "found = read['x'] if type(read) is dict else read.parameters['x'].annotation\n"
        "if found is not type: reached.append(found)"
    )


def test_who_evaluates_references_by_itself() -> None:
    """typing's function that reads a reference with any names is withheld, and so is its copy elsewhere."""
    for module in ("typing", "typing_extensions"):
        text = f"module '{module}' has no attribute 'evaluate_forward_ref'"
        program = f"import {module}, typing\nreached.append({module}.evaluate_forward_ref(typing.ForwardRef('type'), globals={{}}))"
        check(Attack(program, text, AttributeError))


def test_signatures_of_texts_work() -> None:
    """Types in text are what they name."""
    check_nothing_reached(
        """
        import inspect, datetime
        class A: pass
        def f(x: 'A', y: 'list[int] | None' = None, *, z: int = 1) -> 'datetime.date': pass
        made = inspect.Signature.from_callable(f, eval_str=True, globals={'A': A, 'datetime': datetime})
        assert [p.annotation for p in made.parameters.values()] == [A, list[int] | None, int], made
        assert made.return_annotation is datetime.date
        assert inspect.signature(f).parameters['x'].annotation == 'A'
        """
    )


@pytest.mark.parametrize("text", ["__import__('os')", "open", "reached.append.__self__.__class__.__mro__", "eval('1')"])
def test_text_that_another_package_evaluates(text: str) -> None:
    """It is judged as anyone's: typing_extensions ran it with the real builtins."""
    program = f"""
        import typing_extensions
        class A:
            x: {text!r}
        reached.append(typing_extensions.get_annotations(A, eval_str=True, globals={{}}))
    """
    ended = outcome(program)
    assert isinstance(ended, (RefusedAttribute, RefusedOperation, PolicyViolation)), ended
