"""Names put together at run time meet the rule of written ones, whichever function reads them."""

from __future__ import annotations

import pytest
from programs import Attack, attribute, by_id, changing, check, check_nothing_reached
from test_dunder_walks import DUNDERS

from reptarium.sandbox.language.policy.names import DENIED_ATTRIBUTES
from tests.each import each

DENIED = [*DUNDERS, *sorted(DENIED_ATTRIBUTES)]
#: One of each kind: special, of a frame, of a generator, of an exception, of a class, pointer.
EXAMPLES = ["__globals__", "__subclasses__", "f_back", "gi_frame", "tb_frame", "co_code", "_convert_", "cell_contents"]

READERS = {
    "getattr": "reached.append(getattr(target, name))",
    "getattr_default": "reached.append(getattr(target, name, None))",
    "getattr_concatenated": "reached.append(getattr(target, name[:3] + name[3:]))",
    "getattr_decoded": "reached.append(getattr(target, name.encode().decode()))",
    "getattr_formatted": "reached.append(getattr(target, f'{name}'))",
    "getattr_reversed": "reached.append(getattr(target, ''.join(reversed(name[::-1]))))",
    "getattr_of_map": "reached.append(list(map(getattr, [target], [name])))",
    "getattr_starred": "reached.append(getattr(*[target, name]))",
    "getattr_aliased": "read = getattr\nreached.append(read(target, name))",
    "getattr_in_a_class": "class A:\n    read = getattr\nreached.append(A.read(target, name))",
    "getattr_as_property": "class A:\n    p = property(lambda self: getattr(target, name))\nreached.append(A().p)",
    "partial": "from functools import partial\nreached.append(partial(getattr, target)(name))",
    "partial_both": "from functools import partial\nreached.append(partial(getattr, target, name)())",
    "partialmethod": "from functools import partialmethod\nclass A:\n    m = partialmethod(getattr, name)\nreached.append(A().m())",
    "cached": "from functools import lru_cache\nreached.append(lru_cache(getattr)(target, name))",
    "reduce": "from functools import reduce\nreached.append(reduce(getattr, [name], target))",
    "reduce_path": "from functools import reduce\nreached.append(reduce(getattr, ['real', name], 1))",
    "starmap": "from itertools import starmap\nreached.append(next(starmap(getattr, [(target, name)])))",
    "accumulate": "from itertools import accumulate\nreached.append(list(accumulate([target, name], getattr))[1])",
    "operator_call": "import operator\nreached.append(operator.call(getattr, target, name))",
    "attrgetter": "from operator import attrgetter\nreached.append(attrgetter(name)(target))",
    "attrgetter_path": "from operator import attrgetter\nreached.append(attrgetter('real.' + name)(1))",
    "attrgetter_several": "from operator import attrgetter\nreached.append(attrgetter('real', name)(1))",
    "attrgetter_changed": "from operator import attrgetter\na = attrgetter('real')\na._names = (name,)\nreached.append(a(target))",
    "attrgetter_by_type": "from operator import attrgetter\nreached.append(type(attrgetter('real'))(name)(target))",
    "attrgetter_as_key": "from operator import attrgetter\nreached.append(sorted([target], key=attrgetter(name)))",
    "methodcaller": "from operator import methodcaller\nreached.append(methodcaller(name)(target))",
    "methodcaller_changed": "from operator import methodcaller\nm = methodcaller('x')\nm._name = name\nreached.append(m(target))",
    "methodcaller_by_type": "from operator import methodcaller\nreached.append(type(methodcaller('x'))(name)(target))",
    "hidden_attrgetter": (  # CPython 3.11 keeps one in a property: its class is the guarded one
        "from pathlib import PurePath\nfrom operator import attrgetter\nkind = type(PurePath.drive.fget)\n"
        "if kind is not type(attrgetter('a')): kind = attrgetter\nreached.append(kind(name)(target))"
    ),
    "facade_of_builtins": "import contextlib\nread = getattr(contextlib, 'getattr', getattr)\nreached.append(read(target, name))",
    "executed_later": "def later(): reached.append(getattr(target, name))\nlater()",
    "in_a_generator": "reached.append(next(getattr(target, n) for n in [name]))",
    "in_a_match_guard": "match target:\n    case t if getattr(t, name): reached.append(1)",
    "in_a_key": "reached.append(max([target], key=lambda t: str(getattr(t, name))))",
    "in_iter": "reached.append(next(iter(lambda: getattr(target, name), None)))",
    "in_a_default_factory": "from collections import defaultdict\nreached.append(defaultdict(lambda: getattr(target, name))[1])",
    "in_re_sub": "import re\nre.sub('a', lambda m: reached.append(getattr(target, name)), 'a')",
    "in_json_default": "import json\njson.dumps({'a': target}, default=lambda o: reached.append(getattr(o, name)))",
}  # fmt: skip

WRITERS = {
    "setattr": "setattr(A, name, 1)",
    "setattr_of_instance": "setattr(A(), name, 1)",
    "setattr_mapped": "list(map(setattr, [A], [name], [1]))",
    "partial": "from functools import partial\npartial(setattr, A)(name, 1)",
    "delattr": "delattr(A, name)",
    "object_setattr": "object.__setattr__(A(), name, 1)",
    "object_delattr": "object.__delattr__(A(), name)",
    "bound_setattr": "A().__setattr__(name, 1)",
    "bound_delattr": "A().__delattr__(name)",
    "setattr_by_name": "getattr(A(), '__setattr__')(name, 1)",
    "super_setattr": "class B(A):\n    def f(self): super().__setattr__(name, 1)\nB().f()",
    "super_of_class": "class B(A):\n    @classmethod\n    def f(cls, b): super().__setattr__(name, 1)\nB().f(B())",
    "methodcaller": "from operator import methodcaller\nmethodcaller('__setattr__', name, 1)(A())",
    "attrgetter": "from operator import attrgetter\nattrgetter('__setattr__')(A())(name, 1)",
    "dict_item": "A().__dict__[name] = 1",
    "dict_update": "A().__dict__.update({name: 1})",
    "dict_keywords": "A().__dict__.update(**{name: 1})",
    "dict_or": "d = A().__dict__\nd |= {name: 1}",
    "dict_setdefault": "A().__dict__.setdefault(name, 1)",
    "vars_item": "vars(A())[name] = 1",
    "vars_update": "vars(A()).update([(name, 1)])",
    "vars_owner_changed": "d = vars(A())\nd._owner = A()\nd[name] = 1",
    "vars_by_type": "type(vars(A()))(A(), {})[name] = 1",
}  # fmt: skip

#: Functions that ask for an attribute's presence: what may not be read isn't there.
ABSENT = {
    "hasattr": "if hasattr(target, name): reached.append(1)",
    "dir": "if name in dir(target): reached.append(1)",
    "dir_of_class": "if name in dir(type(target)): reached.append(1)",
    "vars_of_class": "if name in vars(type(target)): reached.append(1)",
    "dict_of_class": "if name in type(target).__dict__: reached.append(1)",
}


def generator() -> object:
    """Something that has most of the attributes in question."""
    return (x for x in [1])


@each("name", DENIED)
def test_getattr(name: str) -> None:
    """getattr refuses every name that is refused when written."""
    check(Attack(READERS["getattr"], attribute(name)), target=generator(), name=name)


@each("name", DENIED)
def test_setattr(name: str) -> None:
    """So does setattr."""
    check(Attack(f"class A: pass\n{WRITERS['setattr']}", changing(name)), name=name)


@pytest.mark.parametrize("reader", READERS)
@each("name", EXAMPLES)
def test_every_way_to_read(reader: str, name: str) -> None:
    """Whoever reads attributes for the user reads by the rule."""
    check(Attack(READERS[reader], attribute(name)), target=generator(), name=name)


@pytest.mark.parametrize("writer", WRITERS)
@each("name", [*EXAMPLES, "__class__", "__match_args__", "__annotations__"])
def test_every_way_to_write(writer: str, name: str) -> None:
    """Whoever writes or deletes attributes for the user does it by the rule."""
    check(Attack(f"class A: pass\n{WRITERS[writer]}", changing(name)), name=name)


@pytest.mark.parametrize("question", ABSENT)
@pytest.mark.parametrize("name", ["gi_frame", "gi_code", "__reduce_ex__", "__reduce__", "__del__"])
def test_what_may_not_be_read_is_not_there(question: str, name: str) -> None:
    """hasattr, dir and vars don't know it."""
    check_nothing_reached(ABSENT[question], target=generator(), name=name)


WRONG_ARGUMENTS = {
    "getattr_of_bytes": Attack("reached.append(getattr(1, b'__class__'))", "attribute name must be exactly str, not 'bytes'", TypeError),
    "getattr_of_number": Attack("reached.append(getattr(1, 1))", "attribute name must be exactly str, not 'int'", TypeError),
    "attrgetter_of_number": Attack("from operator import attrgetter\nreached.append(attrgetter(1))", "attribute name must be exactly str, not 'int'", TypeError),
    "getattr_keyword": Attack("reached.append(getattr(1, name='real'))", "guarded_getattr() got some positional-only arguments passed as keyword arguments: 'name'", TypeError),
    "vars_of_a_module": Attack("import json\nreached.append(vars(json))", "vars() of a module is not allowed: use dir() and getattr(). No setting allows it."),
    "dict_of_a_module": Attack("import json\nreached.append(json.__dict__)", "vars() of a module is not allowed: use dir() and getattr(). No setting allows it."),
    "dict_of_a_module_by_name": Attack("import json\nreached.append(getattr(json, '__dict__'))", "vars() of a module is not allowed: use dir() and getattr(). No setting allows it."),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(WRONG_ARGUMENTS))
def test_other_arguments(attack: Attack) -> None:
    """Names that are no names, and the task's own scope."""
    check(attack)


def test_classes_have_no_descriptors_to_take_out() -> None:
    """vars() of a class holds functions and values, but none of C's descriptors, which read any instance."""
    check_nothing_reached(
        """
        for cls in (type(target), AttributeError, int, type(lambda: 1), property):
            for value in vars(cls).values():
                if type(value).__name__.endswith('_descriptor'): reached.append(value)
        """,
        target=generator(),
    )
