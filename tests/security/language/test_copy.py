"""``copy`` copies by calling constructors with arguments that a memo of one's own can exchange, and methods by ``getattr``."""

from __future__ import annotations

import pytest
from programs import Attack, by_id, check, check_nothing_reached

#: What ``copy`` would rebuild with ``getattr(object, name)``, an object in it, and a name.
REBUILT = {
    "method_wrapper": ("(5).__add__", "5", "'__add__'"),
    "method_descriptor": ("str.upper", "str", "'upper'"),
    "wrapper_descriptor": ("int.__add__", "int", "'__add__'"),
    "member_descriptor": ("slice.start", "slice", "'start'"),
    "getset_descriptor": ("complex.real", "complex", "'real'"),
    "class_method": ("dict.fromkeys", "dict", "'fromkeys'"),
    "class_method_of_an_instance": ("{}.fromkeys", "dict", "'fromkeys'"),
    "builtin_method": ("'a'.upper", "'a'", "'upper'"),
}
NAMES = {
    "renamed_method": (
        "import copy, types\ndef f(): pass\nf.__name__ = 'gi_frame'\nx = copy.copy(types.MethodType(f, target))\n"
        "if type(x).__name__ != 'method': reached.append(x)"
    ),
    "renamed_method_of_a_class": (
        "import copy\nclass A:\n    def f(self): pass\nA.f.__name__ = '__class__'\nx = copy.copy(A().f)\n"
        "if type(x).__name__ != 'method': reached.append(x)"
    ),
    "renamed_method_deep": (
        "import copy, types\ndef f(): pass\nf.__name__ = 'gi_frame'\n"
        "x = copy.deepcopy(types.MethodType(f, [1]), {id([1]): target})\nif type(x).__name__ != 'method': reached.append(x)"
    ),
    "partial": (
        "import copy\nfrom functools import partial\nf = partial(getattr, target, 'real')\n"
        "try: reached.append(copy.deepcopy(f, {id('real'): 'gi_frame', id(target): target})())\nexcept AttributeError: pass"
    ),
    "attrgetter": (
        "import copy, operator\na = operator.attrgetter('real')\nb = copy.deepcopy(a, {id('real'): 'gi_frame'})\n"
        "try: reached.append(b(target))\nexcept AttributeError: pass"
    ),
    "hidden_attrgetter": (
        "import copy\nfrom pathlib import PurePath\na = PurePath.drive.fget\nb = copy.deepcopy(a, {id('_drv'): 'gi_frame'})\n"
        "if b is not a: reached.append(b)"
    ),
    "methodcaller": (
        "import copy, operator\na = operator.methodcaller('x')\nb = copy.deepcopy(a, {id('x'): 'gi_frame'})\n"
        "try: reached.append(b(target))\nexcept (AttributeError, TypeError): pass"
    ),
    "typing_alias": (
        "import copy, typing\na = copy.deepcopy(typing.Type[int], {id(int): str})\n"
        "a._inst = True\ntry: reached.append(a('X', (), {}))\nexcept TypeError: pass"
    ),
}  # fmt: skip


@pytest.mark.parametrize("rebuilt", REBUILT)
def test_memo_exchanges_nothing(rebuilt: str) -> None:
    """What a memo says about the object or the name has no effect: the original comes back."""
    expression, owner, name = REBUILT[rebuilt]
    check_nothing_reached(
        f"""
        import copy
        original = {expression}
        memo = {{id({owner}): target, id({name}): 'gi_frame'}}
        for copied in (copy.deepcopy(original, memo), copy.copy(original)):
            if copied is not original: reached.append(copied)
        """,
        target=(x for x in [1]),
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_in_copied_objects(name: str) -> None:
    """Objects that hold an attribute's name read by the rule, copied or not."""
    check_nothing_reached(NAMES[name], target=(x for x in [1]))


ATTACKS = {
    "generator": Attack("import copy\nreached.append(copy.copy(target))", "cannot pickle 'generator' object", TypeError),
    "module": Attack("import copy, json\nreached.append(copy.deepcopy(json))", "cannot pickle 'module' object", TypeError),
    "weak_method": Attack("import weakref\nreached.append(weakref.WeakMethod(target.close))", "argument should be a bound method, not <class 'builtin_function_or_method'>", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_what_cannot_be_copied(attack: Attack) -> None:
    """Generators and modules have no copies; a weak method would tell the object behind it."""
    check(attack, target=(x for x in [1]))
