"""Class bodies talk to the interpreter through special names: the harmless ones work, the others are refused."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, changing, check, check_nothing_reached

from reptarium.sandbox.language.policy.names import DEFINABLE, OWN_METHODS
from tests.each import each

#: Special methods that a class might define to answer for itself, to be pickled, or to take part in making classes.
REFUSED = """
    __class__ __dict__ __bases__ __mro__ __subclasses__
    __mro_entries__ __build_class__ __reduce__ __reduce_ex__ __getnewargs__
    __getnewargs_ex__ __array_interface__
    __array_struct__ __array_prepare__ __buffer__ __release_buffer__ __annotations__ __annotate__
    __dataclass_fields__ __dataclass_params__ __abstractmethods__ __wrapped__ __signature__ __module__ __qualname__ __name__
    __weakref__ __objclass__ __origin__ __orig_bases__ __parameters__ __type_params__ __static_attributes__ __firstlineno__
    __pydantic_validator__ __pydantic_core_schema__ __reptarium__ __loader__ __spec__ __builtins__ __metaclass__
""".split()
FORMS = {
    "assignment": "class A:\n    N = 1",
    "annotated": "class A:\n    N: object = 1",
    "annotation": "class A:\n    N: object",
    "method": "class A:\n    def N(self): pass",
    "class": "class A:\n    class N: pass",
    "import": "class A:\n    import json as N",
    "for": "class A:\n    for N in [1]: pass",
    "with": "class A:\n    with x as N: pass",
    "walrus": "class A:\n    (N := 1)",
    "unpacking": "class A:\n    a, *N = 1, 2",
    "inner_function": "class A:\n    def f(self):\n        N = 1",
}
ATTACKS = {
    "metaclass_keyword": Attack("class A(metaclass=reached.append): pass", "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them", TypeError),
    "metaclass_in_keywords": Attack("class A(**{'metaclass': reached.append}): pass", "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them", TypeError),
    "build_class": at_compile("reached.append(__build_class__(lambda: 1, 'A'))", "the name '__build_class__' is not allowed"),
    "class_cell_rebound": at_compile("class A:\n    def f(self):\n        nonlocal __class__\n        __class__ = 1", "binding the name '__class__' is not allowed; binding the name '__class__' is not allowed"),
    "module_name": at_compile("class A:\n    x = __module__\nreached.append(A.x)", "the name '__module__' is not allowed"),
    "class_locals": Attack("class A:\n    locals()['__reduce__'] = len\nreached.append(A.x)", "type object 'A' has no attribute 'x'", AttributeError),
    "slots_of_the_interpreters_names": Attack("class A:\n    __slots__ = ('gi_frame',)\nreached.append(getattr(A(), 'gi_frame', 1))", attribute("gi_frame")),
    "slots_descriptor": Attack("class A:\n    __slots__ = ('x',)\nreached.append(A.x.__get__(A()))", f"the attribute '__get__' is not allowed: it reads what no guard looks at, and is there for functions and the task's own descriptors. {NO_SETTING}"),
    "slots_objclass": at_compile("class A:\n    __slots__ = ('x',)\nreached.append(A.x.__objclass__)", "the attribute '__objclass__' is not allowed"),
    "slots_set": at_compile("class A:\n    __slots__ = ('x',)\nA.x.__set__(A(), 1)", "the attribute '__set__' is not allowed"),
    "class_getitem_called": Attack("class A:\n    def __class_getitem__(cls, x): return int.__mro__\nreached.append(A[1])", f"the attribute '__mro__' is not allowed: it walks to every class of the interpreter, and is read of the task's own classes alone. {NO_SETTING}"),
    "init_subclass_owner": Attack("class A:\n    def __init_subclass__(cls): reached.append(getattr(cls, '__subclasses__'))\nclass B(A): pass", attribute("__subclasses__")),
    "init_subclass_keyword": at_compile("class A:\n    def __init_subclass__(cls, **k): reached.append(k)\nclass B(A, __class__=1): pass", "the keyword argument '__class__' is not allowed"),
    "set_name_owner": Attack("class D:\n    def __set_name__(self, owner, name):\n        try: reached.append(getattr(owner, '__sub' + 'classes__'))\n        except AttributeError as e: errors.append(e)\nerrors = []\nclass A: d = D()\nraise errors[0]", attribute("__subclasses__")),
    "set_name_called": at_compile("class D:\n    def __set_name__(self, o, n): pass\nreached.append(D().__set_name__)", "the attribute '__set_name__' is not allowed"),
    "getattr_called": at_compile("class A:\n    def __getattr__(self, n): pass\nreached.append(A().__getattr__)", "the attribute '__getattr__' is not allowed"),
    "new_of_type": Attack("t = object.__new__(type)\nreached.append(t('X', (), {}))", "object.__new__(type) is not safe, use type.__new__()", TypeError),
    "new_of_another_class": Attack("reached.append(object.__new__(int))", "object.__new__(int) is not safe, use int.__new__()", TypeError),
    "new_of_a_function": Attack("f = object.__new__(type(lambda: 1))\nreached.append(f())", "'function' object is not callable", TypeError),
    "mro_entries_by_getattr": Attack("class B:\n    def __getattr__(self, name): return lambda bases: (type,)\nclass A(B()): pass\nreached.append(A)", "B() takes no arguments", TypeError),
    "class_assigned": at_compile("class A: pass\nclass B: pass\na = A()\na.__class__ = B", "changing the attribute '__class__' is not allowed"),
    "class_set": Attack("class A: pass\nclass B: pass\nobject.__setattr__(A(), '__class__', B)", changing("__class__")),
    "bases_assigned": at_compile("class A: pass\nA.__bases__ = (int,)", "changing the attribute '__bases__' is not allowed"),
    "dunder_method_added_later": at_compile("class A: pass\nA.__reduce__ = lambda s: 1", "changing the attribute '__reduce__' is not allowed"),
    "definable_method_added_later": at_compile("class A: pass\nA.__getattr__ = lambda s, n: 1", "changing the attribute '__getattr__' is not allowed"),
    "abstract_methods_cleared": at_compile("from abc import ABC\nclass A(ABC): pass\nA.__abstractmethods__ = ()", "changing the attribute '__abstractmethods__' is not allowed"),
    "private_name_is_no_way_around": at_compile("class __x:\n    def f(self): return self.__reduce_ex__(2)\nreached.append(1)", "the attribute '__reduce_ex__' is not allowed"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@each("name", REFUSED)
def test_special_name(name: str, form: str) -> None:
    """The name is bound by no form in a class body, nor in its functions."""
    check(at_compile(FORMS[form].replace("N", name), f"binding the name '{name}' is not allowed"))


@pytest.mark.parametrize("form", ["N = 1", "def N(): pass", "for N in []: pass", "def f():\n    global N"])
@each("name", sorted(DEFINABLE))
def test_definable_name_outside_of_a_class(name: str, form: str) -> None:
    """What a class may define means nothing elsewhere, and might to a module: ``__getattr__``, ``__dir__``."""
    check(at_compile(form.replace("N", name), f"binding the name '{name}' here is not allowed"))


@pytest.mark.parametrize("form", ["def f():\n    N = 1", "lambda N: 1"])
@each("name", sorted(DEFINABLE - OWN_METHODS))
def test_name_that_is_for_class_bodies_alone(name: str, form: str) -> None:
    """In functions stands what is set on a class later; the rest isn't."""
    check(at_compile(form.replace("N", name), f"binding the name '{name}' here is not allowed"))


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """The special name leads nowhere."""
    check(attack)


def test_copies_of_class_dicts_change_nothing() -> None:
    """What vars() gives of a class is a copy."""
    check_nothing_reached(
        "class A: x = 1\nd = vars(A)\nd['x'] = 2\nd['__getattribute__'] = 3\nif A.x != 1: reached.append(A)\n"
        "if hasattr(A, 'y') or A().x != 1: reached.append(A)"
    )


def test_hooks_get_what_the_program_has_anyway() -> None:
    """``__init_subclass__``, ``__set_name__`` and ``__class_getitem__`` are called with classes and names of the task's."""
    check_nothing_reached(
        """
        seen = []
        class D:
            def __set_name__(self, *args): seen.extend(args)
        class A:
            d = D()
            def __init_subclass__(cls, **keywords): seen.extend([cls, *keywords.values()])
            def __class_getitem__(cls, *args): seen.extend([cls, *args])
        class B(A, k=1): pass
        B[2]
        for thing in seen:
            if thing not in (A, B, 'd', 1, 2): reached.append(thing)
        """
    )
