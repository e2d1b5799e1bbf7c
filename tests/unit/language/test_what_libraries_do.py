"""What libraries do for themselves while a task runs: packages of our own make of it what real ones were seen to do."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from reptarium.sandbox.language import NOWHERE, RefusedAttribute, RefusedOperation
from reptarium.sandbox.language.hardening import audit
from tests.unit.language.support import execute

#: Module → its text. Each name is this file's alone.
LIBRARY = {
    # scipy.ndimage makes a wrapper for each name that another module of its has
    "names_of_ours": "delegated = {name: name + '_signature' for name in vars() if not name.startswith('_')}\n",
    # numpy documents '__array_interface__', pandas goes through all of ast: while they are imported, in a function
    "goes_through_all": (
        "import ast\nfrom goes_through_helper import read\n"
        "found = [getattr(ast, name) for name in dir(ast)]\nclosure = read(read, '__clo' + 'sure__')\n"
    ),
    "goes_through_helper": (
        "def read(thing, name):\n    return getattr(thing, name)\n"
        "def assign(thing, name, value):\n    setattr(thing, name, value)\n"
    ),
    "imports_late": (
        "def use():\n    import goes_through_all\n    return len(goes_through_all.found) > 100\n"
        "def read(name):\n    return getattr(use, name)\n"
    ),
    # tenacity's wrappers have the defaults of what they wrap
    "wraps_more": (
        "import functools\n"
        "def decorate(f):\n"
        "    @functools.wraps(f, functools.WRAPPER_ASSIGNMENTS + ('__defaults__', '__kwdefaults__'))\n"
        "    def wrapper(*args, **kwargs):\n        return f(*args, **kwargs)\n"
        "    return wrapper\n"
    ),
    # mako's templates are modules, which are made of text
    "makes_modules": (
        "import types\n"
        "def make(text):\n"
        "    module = types.ModuleType('made')\n"
        "    exec(compile(text, 'made', 'exec'), vars(module))\n"
        "    return module\n"
    ),
    # SQLAlchemy's columns lie in classes, and answer any name by what they stand for
    "answers_all": (
        "class Answers:\n    inner = 'x'\n    def __getattr__(self, name):\n        return getattr(self.inner, name)\n"
        "class Holder:\n    kept = Answers()\n"
        "def read(thing, name):\n    return getattr(thing, name, 'nothing')\n"
    ),
    # its hybrid properties hand on what is assigned, by code that it makes
    "hands_on": (
        "made = {}\nexec('def assign(held, thing, value): return held.__set__(thing, value)', made)\n"
        "def make():\n    again = {}\n"
        "    exec('def assign(held, thing, value): return held.__set__(thing, value)', again)\n"
        "    return again['assign']\n"
        "def standing_for(held):\n"
        "    class Stands: pass\n"
        "    for name in dir(type(held)):\n"
        "        if not hasattr(Stands, name): setattr(Stands, name, getattr(held, name))\n"
        "    return Stands\n"
    ),
    # python-docx and python-pptx read templates that lie beside the folder that their module is in
    "reads_its_own": (
        "import os\nhere = os.path.dirname(__file__)\n"
        "def text(*path):\n"
        "    with open(os.path.join(here, *path)) as file:\n        return file.read()\n"
    ),
    # matplotlib and jieba ask for a place for their caches
    "keeps_a_cache": (
        "import os, tempfile\n"
        "def places():\n"
        "    made = tempfile.mkdtemp()\n"
        "    try:\n        open(os.path.join(made, 'cache'), 'w')\n"
        "    except OSError:\n        return [made, tempfile._get_default_tempdir()]\n"
    ),
}


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages, installed where packages lie, and not yet imported."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    for name, text in LIBRARY.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(folder)
    execute("return 1")  # the roots are known from then on
    monkeypatch.setattr(audit, "_ROOTS", (*audit._ROOTS, f"{folder}/"))


def test_a_module_has_its_own_names_only() -> None:
    """Who goes through a module's names meets none of the sandbox's."""
    source = "import names_of_ours\nreturn sorted(names_of_ours.delegated)"
    assert execute(source) == []


def test_a_module_that_is_imported_reads_whatever_others_have() -> None:
    """In the middle of a function, too: no name in it is a task's. What the function reads for the task is refused."""
    assert execute("import imports_late\nreturn imports_late.use()") is True
    with pytest.raises(RefusedAttribute, match="the attribute '__closure__' is not allowed"):
        execute("import imports_late\nreturn imports_late.read('__clo' + 'sure__')")


def test_a_library_gives_its_wrappers_defaults() -> None:
    """As functools has it do; a name that came from the task is set nowhere."""
    source = """
    from wraps_more import decorate
    @decorate
    def f(a, b=2, *, c=3):
        return a + b + c
    return [f(1), f.__defaults__, f.__kwdefaults__]
    """
    assert execute(source) == [6, (2,), {"c": 3}]
    with pytest.raises(RefusedAttribute, match="changing the attribute '__defaults__' is not allowed"):
        execute("from goes_through_helper import assign\ndef f(): pass\nassign(f, '__def' + 'aults__', (1,))")


def test_code_that_a_library_makes_sees_its_own_locals() -> None:
    """Those of its functions whole; a module's without what it has beside its names."""
    source = """
    from makes_modules import make
    made = make("x = 1\\nseen = sorted(locals())\\ndef f(a):\\n    return locals()")
    return [made.seen, made.f(2)]
    """
    assert execute(source) == [["x"], {"a": 2}]


def test_a_library_finds_a_place_for_its_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written it gets a path all the same, and is told when it writes there."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert execute("import keeps_a_cache\nreturn keeps_a_cache.places()") == [NOWHERE, NOWHERE]
    assert not Path(NOWHERE).exists()
    with pytest.raises(FileNotFoundError):  # whoever it is
        Path(NOWHERE).mkdir(parents=True)


def test_a_library_reads_its_own_data_by_way_of_a_parent(tmp_path: Path) -> None:
    """Where the path leads counts, not how it is written."""
    (tmp_path / "site-packages" / "templates").mkdir()
    (tmp_path / "site-packages" / "templates" / "header.xml").write_text("<h/>")
    (tmp_path / "other.xml").write_text("")
    own = ["templates", "..", "templates", "header.xml"]
    assert execute(f"import reads_its_own\nreturn reads_its_own.text(*{own})") == "<h/>"
    with pytest.raises(RefusedOperation, match="opening files is not available"):
        execute("import reads_its_own\nreturn reads_its_own.text('..', 'other.xml')")


def test_classes_have_the_special_names_that_libraries_ask_for() -> None:
    """Asynchronous context managers and iterators, tables of SQLAlchemy's, what templates take for safe."""
    source = """
    class A:
        __tablename__ = "users"
        __table_args__ = {"schema": "s"}
        def __html__(self): return "<b>"
        async def __aenter__(self): return self
        async def __aexit__(self, *error): pass
        def __aiter__(self): return iter_of_ours()
        def __await__(self):
            yield from ()
            return 3
    async def iter_of_ours():
        yield 1
        yield 2
    async with A() as a:
        return [[n async for n in a], await a, a.__tablename__, a.__html__()]
    """
    assert execute(source) == [[1, 2], 3, "users", "<b>"]


def test_a_library_keeps_what_it_documents_of_a_class() -> None:
    """SQLAlchemy gives classes their ``__table__``; who reads types by name gets what is there, to call it as well."""
    source = """
    from goes_through_helper import assign, read
    class A: pass
    assign(A, "__ta" + "ble__", "users")
    return A.__table__, read(list[int], "__ori" + "gin__")("ab")
    """
    assert execute(source) == ("users", ["a", "b"])


def test_arrays_of_ones_own_kind_keep_what_they_know() -> None:
    """numpy tells a subclass of each array that it makes of another; what that returns is nothing to it."""
    source = """
    import numpy as np
    class Measured(np.ndarray):
        __array_priority__ = 5
        def __new__(cls, values, unit):
            made = np.asarray(values).view(cls)
            made.unit = unit
            return made
        def __array_finalize__(self, other):
            self.unit = getattr(other, "unit", None)
    both = np.ones(2) + Measured([1, 2], "m")[:2] * 3
    return both.unit, both.tolist()
    """
    assert execute(source) == ("m", [4.0, 7.0])


def test_objects_that_pass_for_arrays() -> None:
    """numpy asks them for an array, and hands its functions to them."""
    source = """
    import numpy as np
    class Money:
        def __init__(self, cents): self.cents = np.asarray(cents)
        def __array__(self, dtype=None, copy=None): return np.asarray(self.cents, dtype)
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            return Money(getattr(ufunc, method)(*(getattr(each, "cents", each) for each in inputs), **options))
        def __array_function__(self, function, types, args, options):
            return function(*(getattr(each, "cents", each) for each in args), **options)
    both = np.add(Money([1, 2]), Money([3, 4]))
    return both.cents.tolist(), int(np.sum(both)), np.array(both).tolist()
    """
    assert execute(source) == ([4, 6], 10, [4, 6])


def test_objects_that_answer_any_name_are_not_asked_by_us() -> None:
    """Whether a module spells a name is read off its classes; what lies in them is called back by nobody."""
    source = 'from answers_all import read\nreturn read(print, "__glo" + "bals__"), read("ab", "__le" + "n__")()'
    assert execute(source) == ("nothing", 2)


def test_a_library_makes_code_that_hands_assignments_on() -> None:
    source = """
    from hands_on import make, standing_for
    class Doubled:
        def __set__(self, thing, value): thing.seen = value * 2
        def __delete__(self, thing): thing.seen = None
    class A: pass
    a = A()
    make()(Doubled(), a, 4)
    standing_for(Doubled())
    return a.seen
    """
    assert execute(source) == 8
