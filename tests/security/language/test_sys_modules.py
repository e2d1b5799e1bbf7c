"""``sys.modules`` is every module by name: ``sys`` is a façade, and no other module leads to the real one."""

from __future__ import annotations

import sys

import pytest
from programs import Attack, at_compile, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.policy.stdlib import ONLY

#: Modules that keep ``sys`` under this name in their own.
KEEPERS = "contextlib dataclasses typing enum traceback warnings statistics calendar email zoneinfo zipfile tarfile codecs".split()
ATTACKS = {
    "written": Attack("import sys\nreached.append(sys.modules)", "module 'sys' has no attribute 'modules'", AttributeError),
    "from": Attack("from sys import modules\nreached.append(modules)", "cannot import name 'modules' from 'sys'", RefusedImport),
    "getattr": Attack("import sys\nreached.append(getattr(sys, 'mod' + 'ules'))", "module 'sys' has no attribute 'modules'", AttributeError),
    "attrgetter": Attack("import sys, operator\nreached.append(operator.attrgetter('modules')(sys))", "module 'sys' has no attribute 'modules'", AttributeError),
    "vars": Attack("import sys\nreached.append(vars(sys)['modules'])", "vars() of a module is not allowed: use dir() and getattr(). No setting allows it."),
    "frames": Attack("import sys\nreached.append(sys._getframe())", "module 'sys' has no attribute '_getframe'", AttributeError),
    "current_frames": Attack("import sys\nreached.append(sys._current_frames())", "module 'sys' has no attribute '_current_frames'", AttributeError),
    "settrace": Attack("import sys\nsys.settrace(lambda *a: reached.append(a))", "module 'sys' has no attribute 'settrace'", AttributeError),
    "setprofile": Attack("import sys\nsys.setprofile(lambda *a: reached.append(a))", "module 'sys' has no attribute 'setprofile'", AttributeError),
    "monitoring": Attack("import sys\nreached.append(sys.monitoring)", "module 'sys' has no attribute 'monitoring'", AttributeError),
    "audit_hook": Attack("import sys\nsys.addaudithook(lambda *a: reached.append(a))", "module 'sys' has no attribute 'addaudithook'", AttributeError),
    "stdout": at_compile("import sys\nreached.append(sys.__stdout__.buffer)", "the attribute '__stdout__' is not allowed"),
    "stdout_by_name": Attack("import sys\nreached.append(getattr(sys, '__stdout__'))", attribute("__stdout__")),
    "underscore_sys": Attack("import collections\nreached.append(collections._sys)", "module 'collections' has no attribute '_sys'", AttributeError),
    "sys_of_a_class": Attack("reached.append(keeper._sys)", "the attribute '_sys' is not allowed: it leads to a module that isn't allowed. No setting allows it."),
    "sys_by_pattern": Attack("match keeper:\n    case object(sys=x): reached.append(x)", "this class pattern is not allowed: it would read the attribute 'sys'. No setting allows it."),
    "sys_by_format": Attack("reached.append('{0.sys}'.format(keeper))", "the attribute 'sys' is not allowed: it leads to a module that isn't allowed. No setting allows it."),
    "sys_by_vars": Attack("reached.append(vars(keeper)['sys'])", "'sys'", KeyError),
    "sys_by_attrgetter": Attack("from operator import attrgetter\nreached.append(attrgetter('sys.modules')(keeper))", "the attribute 'sys' is not allowed: it leads to a module that isn't allowed. No setting allows it."),
    "sys_by_reduce": Attack("from functools import reduce\nreached.append(reduce(getattr, ['sys', 'modules'], keeper))", "the attribute 'sys' is not allowed: it leads to a module that isn't allowed. No setting allows it."),
    "enum_conversion": at_compile("from enum import Enum\nreached.append(Enum._convert_('E', 'sys', lambda n: n == 'modules'))", "the attribute '_convert_' is not allowed"),
    "global_enum": Attack("from enum import global_enum\nreached.append(global_enum)", "cannot import name 'global_enum' from 'enum'", RefusedImport),
    "warnings_module": Attack("import warnings\nreached.append(warnings.sys)", "module 'warnings' has no attribute 'sys'", AttributeError),
}  # fmt: skip


class Keeper:
    """Stands for a library's class that keeps modules."""

    sys = _sys = sys


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """The table of modules is out of reach."""
    check(attack, keeper=Keeper)


@pytest.mark.parametrize("module", KEEPERS)
@pytest.mark.parametrize("name", ["sys", "_sys", "os", "_os"])
def test_module_that_keeps_it(module: str, name: str) -> None:
    """Façades carry no module that isn't theirs."""
    message = f"module '{module}' has no attribute '{name}'"
    check(Attack(f"import {module}\nreached.append({module}.{name})", message, AttributeError))
    message = f"cannot import name '{name}' from '{module}'"
    check(Attack(f"from {module} import {name} as x\nreached.append(x)", message, RefusedImport))


def test_facade_of_sys_is_short() -> None:
    """What ``sys`` carries is its list, and no module or function of the interpreter's state."""
    check_nothing_reached(
        "import sys\nreached.extend(name for name in dir(sys) if name not in allowed and not name.startswith('__'))",
        allowed=ONLY["sys"].split(),
    )
