"""Decorators call without parentheses: the classic chain of denied builtins, and everything else that one could put there."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached

ATTACKS = {
    "exec_of_input": at_compile("@exec\n@input\nclass A: pass", "'exec' is not allowed; 'input' is not allowed"),
    "eval_of_text": at_compile("@eval\n@'__import__(\"os\")'.format\nclass A: pass", "'eval' is not allowed"),
    "on_a_function": at_compile("@eval\ndef f(): pass", "'eval' is not allowed"),
    "on_a_method": at_compile("class A:\n    @compile\n    def f(self): pass", "'compile' is not allowed"),
    "in_a_call": at_compile("@(lambda f: eval(f))\ndef f(): pass", "'eval' is not allowed"),
    "in_a_condition": at_compile("@(eval if 1 else 2)\ndef f(): pass", "'eval' is not allowed"),
    "in_a_walrus": at_compile("@(e := eval)\ndef f(): pass", "'eval' is not allowed"),
    "in_a_subscript": at_compile("@[eval][0]\ndef f(): pass", "'eval' is not allowed"),
    "attribute_of_a_decorator": at_compile("import functools\n@functools.wraps.__globals__.get\ndef f(): pass", "the attribute '__globals__' is not allowed"),
    "attribute_of_the_decorated": at_compile("@(lambda f: reached.append(f.__code__))\ndef f(): pass", "the attribute '__code__' is not allowed"),
    "bound_builtins_name": at_compile("@str\ndef __builtins__(): pass", "binding the name '__builtins__' is not allowed"),
    "getattr_of_the_decorated": Attack("@(lambda f: reached.append(getattr(f, '__globals__')))\ndef f(): pass", attribute("__globals__")),
    "attrgetter": Attack("import operator\n@reached.append\n@operator.attrgetter('__code__')\ndef f(): pass", attribute("__code__")),
    "methodcaller": Attack("import operator\n@reached.append\n@operator.methodcaller('__getattribute__', '__globals__')\ndef f(): pass", attribute("__getattribute__")),
    "partial": Attack("import functools\n@reached.append\n@functools.partial(getattr, len)\nclass S(str): pass", "attribute name must be exactly str, not 'type'", TypeError),
    "type": Attack("@reached.append\n@type('X', (), {'__reduce__': len})\ndef f(): pass", f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "format": Attack("@reached.append\n@('{0.__globals' + '__}').format\ndef f(): pass", "the attribute '__globals__' in a format string is not allowed: it reads attributes by name. No setting allows it."),
    "wraps_a_dunder": Attack("from functools import wraps\nimport json\n@reached.append\n@wraps(json.dumps, ('__globals__',))\ndef f(): pass", attribute("__globals__")),
    "wraps_updated": Attack("from functools import update_wrapper\nimport json\nreached.append(update_wrapper(lambda: 1, json.dumps, (), ('__globals__',)))", f"updating from ('__globals__',) is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "partial_of_real_wraps": Attack("import contextlib\nreached.append(contextlib.wraps(len, ('__self__',))(lambda: 1))", attribute("__self__")),
    "singledispatch": Attack("from functools import singledispatch\n@singledispatch\ndef f(x): pass\nreached.append(f.dispatch('a'))", "dispatch() takes a class, not 'str'", TypeError),
    "staticmethod": Attack("reached.append(staticmethod(len).__func__)", f"the attribute '__func__' is not allowed: it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"),
    "classmethod": Attack("reached.append(dict.fromkeys.__func__)", f"the attribute '__func__' is not allowed: it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"),
    "property_getter": at_compile("class A:\n    @property\n    def f(self): pass\nreached.append(vars(A)['f'].fget.__globals__)", "the attribute '__globals__' is not allowed"),
    "cached_property": at_compile("from functools import cached_property\nclass A:\n    @cached_property\n    def f(self): pass\nreached.append(A.f.func.__globals__)", "the attribute '__globals__' is not allowed"),
    "contextmanager": Attack("from contextlib import contextmanager\n@contextmanager\ndef f(): yield\nreached.append(contextmanager(len).__wrapped__)", f"the attribute '__wrapped__' is not allowed: it leads to the interpreter's own names, and is read where it is the task's own function. {NO_SETTING}"),
    "lru_cache": Attack("from functools import lru_cache\n@lru_cache\nclass A: pass\nreached.append(A.__wrapped__)", f"the attribute '__wrapped__' is not allowed: it leads to the interpreter's own names, and is read where it is the task's own function. {NO_SETTING}"),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_decorator(attack: Attack) -> None:
    """A decorator is an expression like any other."""
    check(attack)


def test_wraps_copies_nothing_of_the_interpreters() -> None:
    """``wraps`` takes over name and text, no ``__wrapped__``, and leaves the module that a class is from."""
    check_nothing_reached(
        """
        from functools import wraps
        import json
        @wraps(json.JSONEncoder)
        class A: pass
        @wraps(json.dumps)
        def f(): pass
        if A.__module__ != '__main__': reached.append(A.__module__)
        if f.__module__ != '__main__': reached.append(f.__module__)
        for x in (A, f):
            if hasattr(x, '__wrapped__'): reached.append(x)
        """
    )


def test_wraps_takes_no_module_along() -> None:
    """Modules among the attributes of what is wrapped stay there."""
    import os

    wrapped = type("Wrapped", (), {})()
    wrapped.module = os
    check_nothing_reached(
        "from functools import wraps\n@wraps(wrapped)\ndef f(): pass\nif vars(f): reached.append(vars(f))",
        wrapped=wrapped,
    )
