"""Objects of libraries that Python lets anyone make anew: ``property.__init__`` of an object that a sealed class carries
exchanges what it calls, and a module's gives it another's name.
"""

from __future__ import annotations

import pytest

from tests.security.language.programs import NO_SETTING, Attack, by_id, check, check_nothing_reached


def anew(kind: str) -> str:
    """The text of the refusal."""
    return f"making a {kind} anew is not allowed: others use it; make another one. {NO_SETTING}"


#: ``traceback`` hands frames to this class method.
FRAMES = """
import traceback
def take(cls, frames, **options):
    reached.extend(frame for frame, _ in frames)
    return cls()
found = vars(traceback.StackSummary)['_extract_from_extended_frame_gen']
{}
try: 1 / 0
except ZeroDivisionError: traceback.format_exc()
"""
#: Ours that judges whose a function is.
GUARD = "'reptarium.sandbox.language.guards.own'"
NAMED = "\nm = math\nm.is_own_function = lambda value: True\nreached.append(print.__func__)"

ATTACKS = {
    "class_method": Attack(FRAMES.format("classmethod.__init__(found, take)"), anew("classmethod")),
    "class_method_s_own": Attack(FRAMES.format("found.__init__(take)"), anew("classmethod")),
    "class_method_of_a_child": Attack(FRAMES.format("class C(classmethod): pass\nC.__init__(found, take)"), anew("classmethod")),
    "class_method_by_super": Attack(FRAMES.format("class C(classmethod): pass\nsuper(C, C).__init__(found, take)"), anew("classmethod")),
    "static_method": Attack("found = staticmethod(len)\nstaticmethod.__init__(found, print)\nreached.append(found)", anew("staticmethod")),
    "property": Attack("import inspect\nproperty.__init__(inspect.Signature.parameters, reached.append)\ninspect.signature(lambda: 1).parameters", anew("property")),
    "property_without_a_getter": Attack("p = property(None, print)\nproperty.__init__(p, print)", anew("property")),
    "module": Attack(f"import types, math\ntypes.ModuleType.__init__(math, {GUARD}){NAMED}", anew("module")),
    "module_s_own": Attack(f"import math\nmath.__init__({GUARD}){NAMED}", anew("module")),
    "module_by_super": Attack(f"import gzip as math\nsuper(type(math), math).__init__({GUARD}){NAMED}", anew("module")),
    "module_s_name_by_super": Attack("import types, math\nsuper(types.ModuleType, math).__setattr__('sin', 5)", f"changing 'sin' of the module 'math' is not allowed: a task leaves the standard library as it is; call a function of your own instead. {NO_SETTING}"),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_what_others_use_is_made_once(attack: Attack) -> None:
    """Whatever leads to ``__init__``."""
    check(attack)


def test_own_ones_are_made_as_ever() -> None:
    """By classes that inherit from them, and in two steps."""
    check_nothing_reached(
        """
        import types
        class P(property):
            def __init__(self, get, note):
                super().__init__(get)
                self.note = note
        class C(classmethod):
            def __init__(self, function):
                classmethod.__init__(self, function)
        class S(staticmethod):
            def __init__(self, function):
                super().__init__(function)
        class M(types.ModuleType):
            def __init__(self, name):
                super().__init__(name, 'text')
        class A:
            p = P(lambda self: 1, 'note')
            c = C(lambda cls: 2)
            s = S(lambda: 3)
            q = property.__new__(property)
            q.__init__(lambda self: 4)
        if (A().p, A.p.note, A.c(), A.s(), A().q, M('name').__name__) != (1, 'note', 2, 3, 4, 'name'):
            reached.append((A().p, A.p.note, A.c(), A.s(), A().q))
        """
    )
