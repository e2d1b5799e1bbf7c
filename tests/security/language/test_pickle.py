"""A pickle calls what it names: nothing in a task reads one, and no class says how it would be pickled."""

from __future__ import annotations

import io
import pickle
import re
import textwrap
import zipfile

import pytest
from programs import NO_SETTING, OPEN, SETSTATE, Attack, at_compile, attribute, by_id, check

from reptarium.sandbox.language import RefusedImport, compile_task, make_namespace, run
from reptarium.sandbox.language.hardening import RefusedOperation
from reptarium.sandbox.language.hardening.pickles import may_unpickle

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


#: What a pickle may name that a library reads, by module.
NAMED = {
    "numpy": "ndarray dtype",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "collections": "OrderedDict Counter defaultdict",
    "datetime": "datetime date timedelta timezone",
    "decimal": "Decimal",
    "re": "_compile",
    "array": "array _array_reconstructor",
    "builtins": "set slice ValueError",
    "__builtin__": "set xrange",
    "exceptions": "ValueError",
    "_codecs": "encode",
    "zoneinfo": "ZoneInfo._unpickle",
}
#: And what not: functions that do more than make an object again, what modules keep for themselves, what reads names.
NOT_NAMED = {
    "numpy": "load frombuffer ma.core.builtins",
    "numpy.ma.core": "builtins builtins.getattr inspect.sys.modules ndarray.tofile",
    "re": "enum.sys.modules compile",
    "builtins": "getattr eval type object.__subclasses__",
    "__builtin__": "eval getattr reduce apply",
    "operator": "attrgetter methodcaller",
    "_operator": "attrgetter",
    "types": "FunctionType CodeType MethodType.__func__ SimpleNamespace",
    "enum": "EnumMeta EnumType",
    "argparse": "FileType",
    "os": "system",
    "posix": "system",
    "sys": "modules",
    "subprocess": "Popen",
    "reptarium.sandbox.language": "run",
    "nobody_has_imported_this": "Thing",
}


@pytest.mark.parametrize(
    ("module", "named"), [(module, True) for module in NAMED] + [(module, False) for module in NOT_NAMED]
)
def test_a_library_reads_pickles_of_objects(module: str, named: bool) -> None:
    """Classes and what makes objects again, under the names of either Python; a pickle calls what it names."""
    if module.startswith("numpy"):
        pytest.importorskip("numpy.ma")
    found = {name: may_unpickle(module, name) for name in (NAMED if named else NOT_NAMED)[module].split()}
    assert found == dict.fromkeys(found, named)


def _named(module: str, name: str) -> bytes:
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return texts + b"\x93"


def test_an_archive_of_numpys() -> None:
    """The setting that ``numpy.load`` refuses is an attribute of what it returns: its pickles name no module's own."""
    numpy = pytest.importorskip("numpy")
    memory = io.BytesIO()
    numpy.savez(memory, a=numpy.array([None], dtype=object), b=numpy.array([{1}, re.compile("a")], dtype=object))
    with zipfile.ZipFile(memory) as archive:
        header = archive.read("a.npy").partition(b"\n")[0] + b"\n"
    with zipfile.ZipFile(memory, "a") as archive:
        archive.writestr("evil.npy", header + b"\x80\x04" + _named("numpy.ma.core", "builtins") + b".")
    program = """
    import io, numpy as np
    found = np.load(io.BytesIO(data))
    found.allow_pickle = True
    if found["b"][0] != {1}:
        reached.append(found["b"])
    reached.append(found["evil"])
    """
    check(
        Attack(
            program, f"pickle.find_class is not available in a task: pickles run code. {NO_SETTING}", RefusedOperation
        ),
        data=memory.getvalue(),
    )
