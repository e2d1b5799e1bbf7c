"""A pickle calls what it names: nothing in a task reads one, and no class says how it would be pickled."""

from __future__ import annotations

import io
import pickle
import textwrap

import pytest
from programs import OPEN, SETSTATE, Attack, at_compile, attribute, by_id, check

from reptarium.sandbox.language import RefusedImport, compile_task, make_namespace, run
from reptarium.sandbox.language.hardening import RefusedOperation

#: Calls ``print`` when it is read.
PICKLE = b"cbuiltins\nprint\n(S'unpickled'\ntR."
OPENS = "pickles run code; use json. No setting allows it."

ATTACKS = {
    "pickle": at_compile("import pickle\nreached.append(pickle.loads(data))", "import of 'pickle' is not allowed"),
    "c_pickle": at_compile("import _pickle\nreached.append(_pickle.loads(data))", "import of '_pickle' is not allowed"),
    "pickletools": at_compile("import pickletools\nreached.append(pickletools)", "import of 'pickletools' is not allowed"),
    "copyreg": at_compile("import copyreg\nreached.append(copyreg)", "import of 'copyreg' is not allowed"),
    "shelve": at_compile("import shelve\nreached.append(shelve.open('x'))", "import of 'shelve' is not allowed"),
    "marshal": at_compile("import marshal\nreached.append(marshal.loads(data))", "import of 'marshal' is not allowed"),
    "dill": at_compile("import dill\nreached.append(dill)", "import of 'dill' is not allowed"),
    "cloudpickle": at_compile("import cloudpickle\nreached.append(cloudpickle)", "import of 'cloudpickle' is not allowed"),
    "jsonpickle": at_compile("import jsonpickle\nreached.append(jsonpickle)", "import of 'jsonpickle' is not allowed"),
    "computed": Attack("reached.append(__import__('pic' + 'kle').loads(data))", f"import of 'pickle' is not allowed: {OPENS}", RefusedImport),
    "kept_by_logging": Attack("import logging\nreached.append(logging.pickle)", "module 'logging' has no attribute 'pickle'", AttributeError),
    "kept_by_copy": Attack("import copy\nreached.append(copy.copyreg)", "module 'copy' has no attribute 'copyreg'", AttributeError),
    "dispatch_table_of_copy": Attack("import copy\nreached.append(copy.dispatch_table)", "module 'copy' has no attribute 'dispatch_table'", AttributeError),
    "kept_by_re": Attack("import re\nreached.append(re.copyreg)", "module 're' has no attribute 'copyreg'", AttributeError),
    "reduce_called": at_compile("reached.append([].__reduce_ex__(2)[0])", "the attribute '__reduce_ex__' is not allowed"),
    "reduce_by_name": Attack("reached.append(getattr([], '__reduce_ex__')(2)[0])", attribute("__reduce_ex__")),
    "reduce_by_methodcaller": Attack("from operator import methodcaller\nreached.append(methodcaller('__reduce_ex__', 2)([]))", attribute("__reduce_ex__")),
    "reduce_of_an_iterator": at_compile("reached.append(iter([]).__reduce__()[0])", "the attribute '__reduce__' is not allowed"),
    "reduce_of_a_method": at_compile("reached.append([].append.__reduce__()[0])", "the attribute '__reduce__' is not allowed"),
    "setstate_of_a_partial": Attack("from functools import partial\nreached.append(partial(len).__setstate__((print, (), {}, {})))", SETSTATE),
    "setstate_of_an_exception": Attack("Exception().__setstate__({'__traceback__': 1})", SETSTATE),
    "class_that_reduces": at_compile("class A:\n    def __reduce__(self): return (reached.append, (1,))", "binding the name '__reduce__' is not allowed"),
    "class_that_reduces_by_protocol": at_compile("class A:\n    def __reduce_ex__(self, p): return (reached.append, (1,))", "binding the name '__reduce_ex__' is not allowed"),
    "reduce_assigned": at_compile("class A: pass\nA.__reduce__ = lambda s: (reached.append, (1,))", "changing the attribute '__reduce__' is not allowed"),
    "reduce_as_an_enum_member": Attack("from enum import Enum\nreached.append(Enum('E', {'a': 1, '__reduce_ex__': len}))", "'__reduce_ex__' is not allowed as a member's name: it isn't a plain name of your own"),
    "numpy_load": Attack("import numpy, io\nreached.append(numpy.load(io.BytesIO(data), allow_pickle=True))", "numpy.load with allow_pickle is not allowed: pickles run code; save arrays of plain types. No setting allows it."),
    "pandas": Attack("import pandas, io\nreached.append(pandas.read_pickle(io.BytesIO(data)))", "pandas.read_pickle is not allowed: pickles run code; use to_json, to_csv or to_parquet. No setting allows it."),
    "pydantic": Attack(
        "import warnings\nfrom pydantic import BaseModel\nwarnings.simplefilter('ignore')\nclass M(BaseModel): pass\n"
        "reached.append(M.parse_raw(data, content_type='pickle', allow_pickle=True))",
        "pickle.find_class is not available in a task: pickles run code. No setting allows it.",
        RefusedOperation,
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """No unpickler, and nothing that one would ask."""
    check(attack, data=PICKLE)


@pytest.mark.parametrize("name", ["loads", "load"])
def test_leaked_unpickler(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Should an unpickler ever leak, it finds no function."""
    argument = PICKLE if name == "loads" else io.BytesIO(PICKLE)
    text = "pickle.find_class is not available in a task: pickles run code. No setting allows it."
    check(Attack("reached.append(leaked(data))", text, RefusedOperation), leaked=getattr(pickle, name), data=argument)
    assert capsys.readouterr().out == ""


def test_copy_asks_no_class_of_the_tasks() -> None:
    """``copy`` makes copies by way of what pickle would do; the hooks that a class may define are its own methods."""
    program = """
        import copy
        class A:
            def __init__(self): self.x = [1]
            def __copy__(self): return 'shallow'
            def __deepcopy__(self, memo): return 'deep'
        return copy.copy(A()), copy.deepcopy(A()), copy.deepcopy({'a': [1]})
    """
    code = compile_task(textwrap.dedent(program), OPEN)
    assert run(code, make_namespace(OPEN, {})) == ("shallow", "deep", {"a": [1]})
