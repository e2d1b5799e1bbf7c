"""Library functions that open files when they are given a path: they get as far as the audit hook, or not even there."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import OperationalError

import pytest
from programs import NO_SETTING, Attack, at_compile, check, check_nothing_reached

from reptarium.sandbox.language.hardening import RefusedOperation

STREAMS = f"of a path is not allowed: tasks have no files; give it io.StringIO(text) or io.BytesIO(data). {NO_SETTING}"
MEMBER = f"is not allowed: tasks have no files; use ZipInfo(name) and writestr(). {NO_SETTING}"
TAR_MEMBER = f"is not allowed: tasks have no files; use TarInfo(name) and addfile(). {NO_SETTING}"
#: Read through the façade: refused with advice.
ADVISED = {
    "gzip.open": "import gzip\nreached.append(gzip.open(path))",
    "bz2.open": "import bz2\nreached.append(bz2.open(path))",
    "lzma.open": "import lzma\nreached.append(lzma.open(path))",
    "xml.etree.ElementTree.parse": "import xml.etree.ElementTree as ET\nreached.append(ET.parse(path))",
    "xml.etree.ElementTree.iterparse": "import xml.etree.ElementTree as ET\nreached.append(list(ET.iterparse(path)))",
}
#: Opened inside of the library: refused by the audit hook, for reading and for writing.
OPENED = {
    "gzip_file": "import gzip\nreached.append(gzip.GzipFile(path).read())",
    "gzip_file_for_writing": "import gzip\nreached.append(gzip.GzipFile(path, 'wb'))",
    "bz2_file": "import bz2\nreached.append(bz2.BZ2File(path).read())",
    "lzma_file": "import lzma\nreached.append(lzma.LZMAFile(path).read())",
    "zip_file": "import zipfile\nreached.append(zipfile.ZipFile(path))",
    "zip_file_for_writing": "import zipfile\nreached.append(zipfile.ZipFile(path, 'w'))",
    "tar_file": "import tarfile\nreached.append(tarfile.open(path))",
    "tar_file_class": "import tarfile\nreached.append(tarfile.TarFile(path))",
    "element_tree_parse": "import xml.etree.ElementTree as ET\nreached.append(ET.ElementTree().parse(path))",
    "element_tree_file": "import xml.etree.ElementTree as ET\nreached.append(ET.ElementTree(file=path))",
    "element_tree_write": "import xml.etree.ElementTree as ET\nET.ElementTree(ET.Element('a')).write(path)\nreached.append(1)",
}
DIRECT = {
    "open": at_compile("reached.append(open(path).read())", "'open' is not allowed"),
    "io_open": Attack("import io\nreached.append(io.open(path))", "module 'io' has no attribute 'open'", AttributeError),
    "file_io": Attack("import io\nreached.append(io.FileIO(path))", "module 'io' has no attribute 'FileIO'", AttributeError),
    "codecs_open": Attack("import codecs\nreached.append(codecs.open(path))", "module 'codecs' has no attribute 'open'", AttributeError),
    "path": Attack("import pathlib\nreached.append(pathlib.Path(path).read_text())", f"Path.read_text is not allowed: tasks have no files; use the node's binary data, or io.StringIO and io.BytesIO. {NO_SETTING}"),
    "os_open": Attack("import os\nreached.append(os.open(path, 0))", "module 'os' has no attribute 'open'", AttributeError),
    "os_listdir": Attack("import os\nreached.append(os.listdir('/'))", "module 'os' has no attribute 'listdir'", AttributeError),
    "os_system": Attack("import os\nreached.append(os.system('true'))", "module 'os' has no attribute 'system'", AttributeError),
    "os_exists": Attack("import os\nif os.path.exists(path): reached.append(1)\nreached.append(os.path.getsize(path))", "module 'os.path' has no attribute 'getsize'", AttributeError),
    "os_kept_by_uuid": Attack("import uuid\nreached.append(uuid.os)", "module 'uuid' has no attribute 'os'", AttributeError),
    "tempfile": at_compile("import tempfile\nreached.append(tempfile.mkstemp())", "import of 'tempfile' is not allowed"),
    "shutil": at_compile("import shutil\nreached.append(shutil.copy(path, path + '2'))", "import of 'shutil' is not allowed"),
    "fileinput": at_compile("import fileinput\nreached.append(fileinput.input(path))", "import of 'fileinput' is not allowed"),
    "linecache": at_compile("import linecache\nreached.append(linecache.getlines(path))", "import of 'linecache' is not allowed"),
    "sqlite": Attack("import sqlite3\nreached.append(sqlite3.connect(path))", f"sqlite3.connect() of a file is not allowed: tasks have no files; use ':memory:'. {NO_SETTING}"),
    "sqlite_attached": Attack("import contextlib, sqlite3\nwith contextlib.closing(sqlite3.connect(':memory:')) as db: reached.append(db.execute('attach ? as a', (path,)).fetchall())", "too many attached databases - max 0", OperationalError),
    "sqlite_written": Attack("import contextlib, sqlite3\nwith contextlib.closing(sqlite3.connect(':memory:')) as db: reached.append(db.execute('vacuum into ?', (path + '2',)).fetchall())", "too many attached databases - max 0", OperationalError),
    "sqlite_class": Attack("import sqlite3\nreached.append(sqlite3.Connection(path))", f"sqlite3.connect (only ':memory:' is there) is not available in a task: tasks have no files. {NO_SETTING}", RefusedOperation),
    "sqlite_limit": at_compile("import sqlite3\nreached.append(sqlite3.connect().setlimit(7, 10))", "the attribute 'setlimit' is not allowed"),
    "sqlite_class_attached": Attack("import contextlib, sqlite3\nwith contextlib.closing(sqlite3.Connection(':memory:')) as made: reached.append(made.execute('attach ? as a', (path,)))", "too many attached databases - max 0", OperationalError),
    "sqlite_class_of_one_attached": Attack("import contextlib, sqlite3\nfirst = sqlite3.connect()\nfirst.close()\nwith contextlib.closing(type(first)(':memory:')) as made: reached.append(made.execute('attach ? as a', (path,)))", "too many attached databases - max 0", OperationalError),
    "sqlite_factory": Attack("import sqlite3\nreached.append(sqlite3.connect(':memory:', 5, 0, None, True, print))", f"sqlite3.connect() with this factory is not allowed: give it a class derived from sqlite3.Connection. {NO_SETTING}"),
    "sqlite_opened_again": Attack("import contextlib, sqlite3\nwith contextlib.closing(sqlite3.connect()) as made:\n    made.__init__(':memory:')\n    made.execute('attach ? as other', (path,))\n    reached.append(made)", "too many attached databases - max 0", OperationalError),
    "sqlite_derived": Attack("import contextlib, sqlite3\nclass C(sqlite3.Connection): pass\nwith contextlib.closing(C(':memory:')) as made:\n    made.execute('attach ? as other', (path,))\n    reached.append(made)", "too many attached databases - max 0", OperationalError),
    "sqlite_class_beneath": Attack("import sqlite3\nreached.append(sqlite3.Connection.mro()[1](':memory:'))", f"sqlite3.connect (a connection is opened once) is not available in a task: tasks have no files. {NO_SETTING}", RefusedOperation),
    "sqlite_path_that_lies": Attack("import sqlite3\nclass Path(str):\n    def __eq__(self, other): return True\n    def __hash__(self): return hash(':memory:')\nreached.append(sqlite3.Connection(Path(path)))", f"sqlite3.connect (only ':memory:' is there) is not available in a task: tasks have no files. {NO_SETTING}", RefusedOperation),
    "zip_member": Attack("import io, zipfile\nwith zipfile.ZipFile(io.BytesIO(), 'w') as z:\n    z.write(path, 'a')\n    reached.append(z)", f"ZipInfo.from_file {MEMBER}"),
    "zip_info": Attack("import zipfile\nreached.append(zipfile.ZipInfo.from_file(path).date_time)", f"ZipInfo.from_file {MEMBER}"),
    "tar_member": Attack("import io, tarfile\nwith tarfile.TarFile(fileobj=io.BytesIO(), mode='w') as t:\n    t.add(path)\n    reached.append(t)", f"TarFile.add {TAR_MEMBER}"),
    "tar_info": Attack("import io, tarfile\nt = tarfile.TarFile(fileobj=io.BytesIO(), mode='w')\nreached.append(t.gettarinfo(path).uid)", f"TarFile.gettarinfo {TAR_MEMBER}"),
    "shlex_source": Attack("import shlex\nreached.append(shlex.shlex(path))", "module 'shlex' has no attribute 'shlex'", AttributeError),
}  # fmt: skip


@pytest.mark.parametrize("function", ADVISED)
@pytest.mark.parametrize("lie", ["path", "ReadingText(path)", "ReadingPath()"])
def test_reader(function: str, lie: str, tmp_path: Path) -> None:
    """What isn't a stream is refused, though it may have a ``read``."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    program = (
        "class ReadingText(str):\n    def read(self, *a): return ''\n"
        "class ReadingPath:\n    def read(self, *a): return ''\n    def __fspath__(self): return path\n"
    )
    call = ADVISED[function].replace("(path)", f"({lie})")
    check(Attack(program + call, f"{function} {STREAMS}"), path=str(secret))


@pytest.mark.parametrize("way", OPENED)
def test_opened_by_a_library(way: str, tmp_path: Path) -> None:
    """The file isn't opened, and keeps what it had."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    message = f"[Errno 13] opening files is not available in a task (no setting allows it): {str(secret)!r}"
    check(Attack(OPENED[way], message, RefusedOperation), path=str(secret))
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("way", DIRECT)
def test_direct_way(way: str, tmp_path: Path) -> None:
    """The functions that open files are not there."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    check(DIRECT[way], path=str(secret))


def test_reader_that_swallows_the_refusal(tmp_path: Path) -> None:
    """``ConfigParser.read`` and ``is_zipfile`` take a refusal for a file that isn't there."""
    secret = tmp_path / "secret"
    secret.write_text("[a]\nb = 1\n")
    check_nothing_reached(
        "import configparser, tarfile, zipfile\nc = configparser.ConfigParser()\n"
        "if c.read(path) or c.sections(): reached.append(c)\nif zipfile.is_zipfile(path): reached.append(2)",
        path=str(secret),
    )


def test_archives_extract_nothing(tmp_path: Path) -> None:
    """Archives in memory can be read, and extracted nowhere."""
    place = str(tmp_path / "place")
    program = (
        "import io, zipfile\nb = io.BytesIO()\nz = zipfile.ZipFile(b, 'w')\nz.writestr('a/b', 'x')\nz.close()\n"
        "with zipfile.ZipFile(b) as z: z.extractall(place)\nreached.append(1)"
    )
    check(
        Attack(program, f"os.mkdir is not available in a task: tasks have no files. {NO_SETTING}", RefusedOperation),
        place=place,
    )
    assert list(tmp_path.iterdir()) == []
