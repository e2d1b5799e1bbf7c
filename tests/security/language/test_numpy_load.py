"""``numpy.load`` reads pickles and files; so do its relatives, and they write."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from programs import NO_SETTING, SETSTATE, Attack, at_compile, by_id, check, withheld

from reptarium.sandbox.language import RefusedImport

numpy = pytest.importorskip("numpy")

FILES = f"tasks have no files; use numpy.frombuffer, or numpy.loadtxt of lines. {NO_SETTING}"
STREAMS = f"of a path is not allowed: tasks have no files; give it io.StringIO(text) or io.BytesIO(data). {NO_SETTING}"
URLS = (
    "of a URL is not allowed: tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP "
    "Request node. REPTARIUM_CONNECT_ALLOW decides this."
)
PICKLES = f"numpy.load with allow_pickle is not allowed: pickles run code; save arrays of plain types. {NO_SETTING}"
ARRAY = f"the attribute 'dump' of an array is not allowed: it writes files or hands out pointers. {NO_SETTING}"
CALLS = {
    "fromfile": "np.fromfile(path)",
    "fromregex": "np.fromregex(path, 'a', [('a', int)])",
    "memmap": "np.memmap(path)",
}
ATTACKS = {
    "load": Attack("reached.append(np.load(path, allow_pickle=True))", PICKLES),
    "load_from_memory": Attack("reached.append(np.load(memory, allow_pickle=True))", PICKLES),
    "load_by_name": Attack("reached.append(getattr(np, 'load')(memory, allow_pickle=True))", PICKLES),
    "load_by_position": Attack("reached.append(np.load(memory, None, True))", PICKLES),
    "load_of_a_pickle": Attack("reached.append(np.load(memory))", "Object arrays cannot be loaded when allow_pickle=False", ValueError),
    "load_mapped": Attack("reached.append(np.load(path, mmap_mode='r'))", f"numpy.load {STREAMS}"),
    "save": Attack("reached.append(np.save(path, np.zeros(1)))", f"numpy.save {STREAMS}"),
    "savez": Attack("reached.append(np.savez(path, np.zeros(1)))", f"numpy.savez {STREAMS}"),
    "savez_compressed": Attack("reached.append(np.savez_compressed(path, np.zeros(1)))", f"numpy.savez_compressed {STREAMS}"),
    "savetxt": Attack("reached.append(np.savetxt(path, np.zeros(1)))", f"numpy.savetxt {STREAMS}"),
    "loadtxt": Attack("reached.append(np.loadtxt(path))", f"numpy.loadtxt {STREAMS}"),
    "loadtxt_of_a_text_that_reads": Attack("class P(str):\n    def read(self): return ''\nreached.append(np.loadtxt(P(path)))", f"numpy.loadtxt {STREAMS}"),
    "loadtxt_of_a_path_that_reads": Attack("class P:\n    def read(self): return ''\n    def __fspath__(self): return path\nreached.append(np.loadtxt(P()))", f"numpy.loadtxt {STREAMS}"),
    "genfromtxt": Attack("reached.append(np.genfromtxt(path))", f"numpy.genfromtxt {STREAMS}"),
    "genfromtxt_of_a_url": Attack("reached.append(np.genfromtxt('http://127.0.0.1:9/'))", f"numpy.genfromtxt {URLS}"),
    "dump": Attack("reached.append(np.zeros(1).dump(path))", ARRAY),
    "dump_by_name": Attack("reached.append(getattr(np.zeros(1), 'dump')(path))", ARRAY),
    "dump_by_methodcaller": Attack("import operator\nreached.append(operator.methodcaller('dump', path)(np.zeros(1)))", ARRAY),
    "dump_of_a_masked_array": Attack("reached.append(np.ma.zeros(1).dump(path))", ARRAY),
    "dump_by_pattern": Attack("match np.zeros(1):\n    case np.ndarray(dump=d): reached.append(d(path))", f"this class pattern is not allowed: it would read the attribute 'dump'. {NO_SETTING}"),
    "tofile": at_compile("reached.append(np.zeros(1).tofile(path))", "the attribute 'tofile' is not allowed"),
    "tofile_by_name": Attack("reached.append(getattr(np.zeros(1), 'to' + 'file')(path))", f"the attribute 'tofile' is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "reduce": at_compile("reached.append(np.zeros(1).__reduce__()[0])", "the attribute '__reduce__' is not allowed"),
    "setstate": Attack("np.zeros(1).__setstate__((1, (1,), np.dtype('O'), False, [1]))", SETSTATE),
    "data_source": Attack("reached.append(np.DataSource(path))", "module 'numpy' has no attribute 'DataSource'", AttributeError),
    "npyio": Attack("reached.append(np.lib.npyio)", "module 'numpy.lib' has no attribute 'npyio'", AttributeError),
    "npyio_imported": Attack("from numpy.lib.npyio import NpzFile\nreached.append(NpzFile)", withheld("numpy.lib.npyio"), RefusedImport),
    "format": Attack("reached.append(np.lib.format.read_array(memory, allow_pickle=True))", "module 'numpy.lib' has no attribute 'format'", AttributeError),
    "format_imported": Attack("import numpy.lib.format as f\nreached.append(f.read_array)", withheld("numpy.lib.format"), RefusedImport),
    "format_from": Attack("from numpy.lib import format\nreached.append(format)", "cannot import name 'format' from 'numpy.lib'", RefusedImport),
    "private_implementation": at_compile("import numpy.lib._npyio_impl as n\nreached.append(n)", "import of 'numpy.lib._npyio_impl' is not allowed"),
    "multiarray": at_compile("import numpy._core.multiarray as m\nreached.append(m)", "import of 'numpy._core.multiarray' is not allowed"),
}  # fmt: skip


def pickled() -> io.BytesIO:
    """An object array as ``numpy.save`` writes it: a pickle."""
    memory = io.BytesIO()
    numpy.save(memory, numpy.array([{}], dtype=object), allow_pickle=True)
    memory.seek(0)
    return memory


@pytest.mark.parametrize("call", CALLS)
def test_function(call: str, tmp_path: Path) -> None:
    """The function says that there are no files."""
    name = CALLS[call].partition("(")[0].removeprefix("np.")
    program = f"import numpy as np\nreached.append({CALLS[call]})"
    check(Attack(program, f"numpy.{name} is not allowed: {FILES}"), path=str(tmp_path / "file"), memory=pickled())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_other_ways(attack: Attack, tmp_path: Path) -> None:
    """Methods of arrays, text readers, and the modules behind them."""
    secret = tmp_path / "secret"
    secret.write_text("1\n")
    program = f"import numpy as np\n{attack.program}"
    check(attack._replace(program=program), path=str(secret), memory=pickled())
    assert secret.read_text() == "1\n"
