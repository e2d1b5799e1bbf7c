"""YAML's tags make Python objects: a task has the safe loaders only, whatever name it calls them by."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, OPEN, Attack, by_id, check, outcome

from reptarium.sandbox.language import RefusedImport, compile_task, make_namespace, run

yaml = pytest.importorskip("yaml")

UNSAFE = f"is not allowed: its tags make any Python object; use yaml.safe_load. {NO_SETTING}"
LOADER = "this yaml loader is not allowed: its tags make any Python object; use SafeLoader"
TAGS = {
    "apply": "!!python/object/apply:builtins.print [unsafe]",
    "new": "!!python/object/new:collections.OrderedDict []",
    "object": "!!python/object:collections.OrderedDict {}",
    "name": "!!python/name:os.system",
    "module": "!!python/module:os",
    "tuple": "!!python/tuple [1]",
}
CALLS = {
    "full_loader": "yaml.load(text, Loader=yaml.FullLoader)",
    "loader": "yaml.load(text, Loader=yaml.Loader)",
    "safe_loader": "yaml.load(text, Loader=yaml.SafeLoader)",
    "load_all": "list(yaml.load_all(text, Loader=yaml.FullLoader))",
    "safe_load": "yaml.safe_load(text)",
    "safe_load_all": "list(yaml.safe_load_all(text))",
    "instance": "yaml.Loader(text).get_single_data()",
    "subclass": "yaml.load(text, Loader=Mine)",
}
ATTACKS = {
    "unsafe_load": Attack("reached.append(yaml.unsafe_load('a: 1'))", f"yaml.unsafe_load {UNSAFE}"),
    "unsafe_load_all": Attack("reached.append(yaml.unsafe_load_all('a: 1'))", f"yaml.unsafe_load_all {UNSAFE}"),
    "full_load": Attack("reached.append(yaml.full_load('a: 1'))", f"yaml.full_load {UNSAFE}"),
    "full_load_from": Attack("from yaml import full_load_all\nreached.append(full_load_all('a: 1'))", f"yaml.full_load_all {UNSAFE}"),
    "unsafe_loader": Attack("reached.append(yaml.UnsafeLoader)", "module 'yaml' has no attribute 'UnsafeLoader'", AttributeError),
    "c_loader": Attack("reached.append(yaml.CLoader)", "module 'yaml' has no attribute 'CLoader'", AttributeError),
    "constructor": Attack("reached.append(yaml.UnsafeConstructor)", "module 'yaml' has no attribute 'UnsafeConstructor'", AttributeError),
    "of_the_module": Attack("import yaml.constructor as c\nreached.append(c.UnsafeConstructor)", "module 'yaml.constructor' has no attribute 'UnsafeConstructor'", AttributeError),
    "full_of_the_module": Attack("from yaml.constructor import FullConstructor as c\nreached.append(c)", "cannot import name 'FullConstructor' from 'yaml.constructor'", RefusedImport),
    "its_sys": Attack("import yaml\nreached.append(yaml.constructor.sys)", "module 'yaml.constructor' has no attribute 'sys'", AttributeError),
    "loader_module": Attack("from yaml import loader\nreached.append(loader)", "cannot import name 'loader' from 'yaml'", RefusedImport),
    "object_class": Attack("class A(yaml.YAMLObject): pass\nreached.append(A)", "module 'yaml' has no attribute 'YAMLObject'", AttributeError),
    "loader_of_ones_own": Attack("class L: pass\nreached.append(yaml.load('a: 1', Loader=L))", LOADER),
    "loader_that_isnt_a_class": Attack("reached.append(yaml.load('a: 1', Loader=lambda s: reached))", LOADER),
    "leaked_loader": Attack("reached.append(yaml.load('a: 1', Loader=leaked))", LOADER),
    "leaked_loader_for_all": Attack("reached.append(yaml.load_all('a: 1', leaked))", LOADER),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("tag", TAGS)
def test_tag(call: str, tag: str) -> None:
    """No loader makes the object: each takes the tag for one that it doesn't know."""
    ended = outcome(f"import yaml\nclass Mine(yaml.FullLoader): pass\nreached.append({CALLS[call]})", text=TAGS[tag])
    assert type(ended) is yaml.constructor.ConstructorError
    name = TAGS[tag].split()[0].removeprefix("!!")
    assert str(ended).startswith(f"could not determine a constructor for the tag 'tag:yaml.org,2002:{name}'")


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_unsafe_names(attack: Attack) -> None:
    """Unsafe functions say what to use, unsafe classes aren't there."""
    check(attack._replace(program=f"import yaml\n{attack.program}"), leaked=yaml.UnsafeLoader)


def test_tags_of_ones_own() -> None:
    """A constructor that the task adds is the task's own function."""
    program = (
        "import yaml\nclass L(yaml.SafeLoader): pass\nL.add_constructor('!double', lambda l, n: 2 * int(n.value))\n"
        "return yaml.load('a: !double 21', Loader=L)"
    )
    assert run(compile_task(program, OPEN), make_namespace(OPEN, {})) == {"a": 42}
