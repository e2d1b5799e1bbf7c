"""Files of a task's own in the restricted mode: what programs do with them works, and what it ends in otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left", "kernel_layer")

#: Programs → what they return.
PROGRAMS: dict[str, tuple[str, Any]] = {
    "open": ("with open('a.txt', 'w') as f:\n    f.write('x')\nreturn open('a.txt').read()", "x"),
    "tempfile": (
        "import os, tempfile\nwith tempfile.NamedTemporaryFile('w') as f:\n    f.write('xy')\n    f.flush()\n"
        "    return os.path.getsize(f.name)",
        2,
    ),
    "temporary directory": (
        "import os, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + '/a', 'w').close()\n"
        "    return os.listdir(d)",
        ["a"],
    ),
    "pathlib": (
        "from pathlib import Path\nPath('d/e').mkdir(parents=True)\nPath('d/e/f').write_text('x')\n"
        "return [sorted(map(str, Path('d').rglob('*'))), Path('d/e/f').read_text(), Path('d').is_dir()]",
        [["d/e", "d/e/f"], "x", True],
    ),
    "os": (
        "import os\nos.makedirs('d/e')\nopen('d/a', 'w').close()\nos.rename('d/a', 'd/e/b')\nos.remove('d/e/b')\n"
        "os.rmdir('d/e')\nreturn [os.listdir('d'), os.path.isdir('d'), [w[0] for w in os.walk('.')]]",
        [[], True, [".", "./d"]],
    ),
    "shutil and glob": (
        "import glob, os, shutil\nos.mkdir('d')\nopen('d/a', 'w').write('x')\nshutil.copytree('d', 'e')\n"
        "shutil.copy('d/a', 'b')\nshutil.rmtree('d')\nreturn sorted(glob.glob('**', recursive=True))",
        ["b", "e", "e/a"],
    ),
    "sqlite": (
        "import sqlite3\nwith sqlite3.connect('a.db') as db:\n    db.execute('create table t (n)')\n"
        "    db.executemany('insert into t values (?)', [(1,), (2,)])\ndb.close()\n"
        "return sqlite3.connect('a.db').execute('select sum(n) from t').fetchone()[0]",
        3,
    ),
    "archives": (
        "import io, os, tarfile, zipfile\nwith zipfile.ZipFile('a.zip', 'w') as z:\n    z.writestr('x/y', 'z')\n"
        "zipfile.ZipFile('a.zip').extractall('out')\nreturn open('out/x/y').read()",
        "z",
    ),
    "archives of files": (
        "import tarfile, zipfile\nopen('a.txt', 'w').write('x')\n"
        "with zipfile.ZipFile('a.zip', 'w') as z:\n    z.write('a.txt')\n"
        "with tarfile.open('a.tar', 'w') as t:\n    t.add('a.txt')\n"
        "return [zipfile.ZipFile('a.zip').read('a.txt').decode(), tarfile.open('a.tar').getnames()]",
        ["x", ["a.txt"]],
    ),
    "other ways to open": (
        "import codecs, io, logging\nwith io.open('a', 'w') as f:\n    f.write('x')\nlog = logging.getLogger('mine')\n"
        "log.addHandler(logging.FileHandler('b.log'))\nlog.warning('said')\n"
        "return [codecs.open('a', encoding='utf-8').read(), open('b.log').read()]",
        ["x", "said\n"],
    ),
    "log files that are turned": (
        "import logging, os\nfrom logging.handlers import RotatingFileHandler, TimedRotatingFileHandler\n"
        "log = logging.getLogger('turned')\nlog.propagate = False\n"
        "for handler in RotatingFileHandler('a.log', maxBytes=12, backupCount=1), TimedRotatingFileHandler('b.log'):\n"
        "    log.addHandler(handler)\n"
        "for n in range(3): log.warning('line %d', n)\n"
        "return [sorted(os.listdir('.')), open('a.log').read(), len(open('b.log').readlines())]",
        [["a.log", "a.log.1", "b.log"], "line 2\n", 3],
    ),
    "numpy": (
        "import numpy as np\nnp.save('a.npy', np.arange(3))\nnp.savetxt('a.txt', [1.0, 2.0])\n"
        "return [np.load('a.npy').tolist(), np.loadtxt('a.txt').tolist(), len(np.fromfile('a.npy', dtype='u1')) > 80]",
        [[0, 1, 2], [1.0, 2.0], True],
    ),
    "pandas": (
        "import pandas as pd\npd.DataFrame({'a': [1, 2]}).to_csv('a.csv', index=False)\n"
        "pd.read_csv('a.csv').to_json('a.json')\nframe = pd.read_csv(filepath_or_buffer='a.csv')\n"
        "return [int(frame['a'].sum()), pd.read_json('a.json').shape]",
        [3, [2, 1]],
    ),
    "a directory for each": ("import os\nreturn os.listdir('.')", []),
}

#: What stays refused → what is said.
REFUSED = {
    "elsewhere": ("open('/etc/passwd')", "A task writes in a directory of its own only"),
    "/tmp": ("open('/tmp/x', 'w')", "A task writes in a directory of its own only"),
    "link": ("import os\nos.symlink('/etc', 'x')", "no attribute 'symlink'"),
}


async def test_programs_that_use_files() -> None:
    """With a scratch directory the restricted mode lets programs have files, and each task begins with none."""
    ends, told = {}, {}
    with fail_after(120):
        async with embedded_runner(
            make_settings(
                {"REPTARIUM_SCRATCH": "4MiB", "REPTARIUM_NAMESPACES": "off", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}
            )
        ) as broker:
            for name, (code, _) in PROGRAMS.items():
                outcome = await broker.submit({"code": code, "items": []}).outcome()
                ends[name] = outcome.error if outcome.data is None else json.loads(bytes(outcome.data.result))
            for name, (code, _) in REFUSED.items():
                error = (await broker.submit({"code": code, "items": []}).outcome()).error
                assert error is not None, name
                told[name] = f"{error.message}\n{error.description}"
    assert ends == {name: result for name, (_, result) in PROGRAMS.items()}
    assert [name for name, (_, words) in REFUSED.items() if words not in told[name]] == []


async def test_without_the_power_its_setting_is_named() -> None:
    """Who has no files is told which setting gives some."""
    told = {}
    with fail_after(60):
        async with embedded_runner(make_settings()) as broker:
            for code in ("open('a')", "import tempfile", "import shutil"):
                error = (await broker.submit({"code": code, "items": []}).outcome()).error
                assert error is not None
                told[code] = str(error.description)
    named = "REPTARIUM_SCRATCH gives tasks files of their own."
    assert [code for code, text in told.items() if named not in text] == []
