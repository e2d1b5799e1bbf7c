"""``dataclasses`` writes source text out of fields' names, and ``make_dataclass`` takes names from data."""

from __future__ import annotations

import pytest
from programs import Attack, attribute, by_id, check, check_nothing_reached, outcome

OPTIONS = "make_dataclass() with a module or a decorator is not allowed: write a class statement"
IN_NAMESPACE = (
    "the name '{}' in a class made by a call is not allowed: it belongs to the interpreter. No setting allows it."
)
NO_METACLASS = "this metaclass is not available in a task: inherit from type or abc.ABCMeta"
#: Names that no field has; each as a text, alone and with a type.
NAMES = ["gi_frame", "__class__", "__reduce__", "__array_interface__", "_convert_", "x=1", "x: int = print()", "x, y", "a b", "class",
         "x):\n  reached.append(1) #", "", "1", "x.y", "self=reached"]  # fmt: skip

ATTACKS = {
    "namespace": Attack("reached.append(make_dataclass('A', ['x'], namespace={'__reduce__': lambda s: 1}))", IN_NAMESPACE.format("__reduce__")),
    "fields_in_a_namespace": Attack("reached.append(make_dataclass('A', ['x'], namespace={'__dataclass_fields__': {}}))", IN_NAMESPACE.format("__dataclass_fields__")),
    "hook_in_a_namespace": Attack("reached.append(make_dataclass('A', ['x'], namespace={'__getattr__': lambda s, n: n}))", IN_NAMESPACE.format("__getattr__")),
    "module": Attack("reached.append(make_dataclass('A', ['x'], module='sys'))", OPTIONS),
    "decorator": Attack("reached.append(make_dataclass('A', ['x'], decorator=reached.append))", OPTIONS),
    "metaclass_as_a_base": Attack("reached.append(make_dataclass('A', [], bases=(meta,)))", NO_METACLASS, TypeError),
    "alias_of_type_as_a_base": Attack("from typing import Type\nreached.append(make_dataclass('A', [], bases=(Type[int],)))", NO_METACLASS, TypeError),
    "librarys_alias_as_a_base": Attack("reached.append(make_dataclass('A', [], bases=(alias,)))", NO_METACLASS, TypeError),
    "lying_bases": Attack("class T(tuple):\n    def __iter__(self): return iter((alias,))\nreached.append(make_dataclass('A', [], bases=T()))", NO_METACLASS, TypeError),
    "number_as_a_name": Attack("reached.append(make_dataclass('A', [(1, int)]))", "1 is not allowed as a field's name: it isn't a plain name of your own"),
    "bytes_as_a_name": Attack("reached.append(make_dataclass('A', [(b'x', int)]))", "b'x' is not allowed as a field's name: it isn't a plain name of your own"),
    "string_class_as_a_name": Attack("class S(str): pass\nreached.append(make_dataclass('A', [(S('x'), int)]))", "'x' is not allowed as a field's name: it isn't a plain name of your own"),
    "name_from_an_iterator": Attack("reached.append(make_dataclass('A', [iter(['gi_frame', int])]))", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
    "field_renamed": Attack("f = field()\nf.name = 'x=1):\\n  reached.append(1) #'\nreached.append(f)", "'x=1):\\n  reached.append(1) #' is not allowed as a field's name: it isn't a plain name of your own"),
    "field_of_a_class_renamed": Attack("@dataclass\nclass A:\n    x: int\nfields(A)[0].name = 'gi_frame'", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
    "field_renamed_by_setattr": Attack("setattr(field(), 'name', '__class__')", "'__class__' is not allowed as a field's name: it isn't a plain name of your own"),
    "annotations_of_a_typed_dict": Attack("from typing import TypedDict\nreached.append(dataclass(TypedDict('D', {'__subclasses__': int})))", "'__subclasses__' is not allowed as a field's name: it isn't a plain name of your own"),
    "interpreters_name_in_a_class": Attack("@dataclass\nclass A:\n    gi_frame: int\nreached.append(A)", attribute("gi_frame")),
    "pydantic_dataclass": Attack("from pydantic.dataclasses import dataclass as d\n@d\nclass A:\n    gi_frame: int\nreached.append(A)", attribute("gi_frame")),
}  # fmt: skip
IMPORTS = "from dataclasses import dataclass, field, fields, make_dataclass\n"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "form", ["[name]", "[(name, int)]", "[(name, int, 1)]", "[[name, int]]", "['x', name]", "{name: 1}"]
)
def test_field_name(name: str, form: str) -> None:
    """The name of a field is a plain identifier."""
    program = f"{IMPORTS}reached.append(make_dataclass('A', {form}))"
    check(Attack(program, f"{name!r} is not allowed as a field's name: it isn't a plain name of your own"), name=name)


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Neither names nor bases nor namespaces smuggle anything in."""
    check(attack._replace(program=IMPORTS + attack.program), alias=type[int], meta=type("Meta", (type,), {}))


@pytest.mark.parametrize(
    "text", ["A:\n  x = reached.append(1)", "A(metaclass=reached.append)", "__builtins__", "\0", "x" * 1000]
)
def test_name_of_the_class(text: str) -> None:
    """The class's own name isn't pasted into anything: any text will do, and does nothing."""
    ended = outcome(f"{IMPORTS}c = make_dataclass(text, ['x'])\nc(1) == c(1), repr(c(1))", text=text)
    assert ended is None or isinstance(ended, (ValueError, TypeError))


def test_class_is_the_tasks() -> None:
    """It says that it is from the task's module, and its functions have the task's names."""
    check_nothing_reached(
        IMPORTS + "c = make_dataclass('A', [('x', 'int')])\n"
        "if c.__module__ != '__main__': reached.append(c.__module__)\n"
        "if c.__init__.__module__ not in ('__main__', 'dataclasses'): reached.append(c.__init__.__module__)"
    )


class FieldName:
    """As the descriptor is: without a dict."""

    __slots__ = ()


@pytest.mark.parametrize("name", ["_slot", "x"])
def test_check_of_the_name_cannot_be_taken_off(name: str) -> None:
    """The descriptor that checks names holds nothing that could be changed."""
    program = (
        "from dataclasses import Field, dataclass\nclass Slot:\n    def __get__(self, i, o): return 'x=reached.append(1)'\n"
        f"Field.name.{name} = Slot()\n@dataclass\nclass A:\n    x: int\nreached.append(A(1))"
    )
    with pytest.raises(AttributeError) as caught:  # Python's own words, which differ between its versions
        setattr(FieldName(), name, 1)
    check(Attack(program, str(caught.value), AttributeError))


def test_fields_are_shown_in_a_copy() -> None:
    """What a task puts among the fields of a class reaches nobody who believes them."""
    check_nothing_reached(
        """
        from dataclasses import dataclass, field, fields
        @dataclass
        class A:
            x: int
        A.__dataclass_fields__['y'] = field()
        getattr(A, '__dataclass_fields__').clear()
        if [f.name for f in fields(A)] != ['x']: reached.append(fields(A))
        class B:
            def __getattr__(self, name): return {'y': field()}
        for seen in (getattr(B(), '__dataclass_fields__', None), hasattr(B(), '__dataclass_fields__')):
            if seen: reached.append(seen)
        """
    )
