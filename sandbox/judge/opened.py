"""Functions of libraries that open the file at a path, and what a call of one says of it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import NamedTuple


class _Opener(NamedTuple):
    """``place`` and ``keyword``: the path's. ``mode``: of what it opens, or the place of the argument that says so."""

    keyword: str
    mode: str | int
    place: int = 0


_READS, _WRITES, _SAYS = "r", "w", 1
_OPENERS: dict[str, _Opener] = {
    **dict.fromkeys(
        """
            os.listdir os.scandir os.stat os.path.getsize os.path.getmtime glob.glob glob.iglob shutil.copy shutil.copy2
            shutil.copyfile shutil.copytree
        """.split(),
        _Opener("path", _READS),
    ),
    "os.walk": _Opener("top", _READS),
    **dict.fromkeys("os.makedirs os.mkdir".split(), _Opener("name", _WRITES)),
    **dict.fromkeys("os.remove os.unlink os.rmdir shutil.rmtree".split(), _Opener("path", _WRITES)),
    **dict.fromkeys("io.open io.FileIO zipfile.ZipFile".split(), _Opener("file", _SAYS)),
    "codecs.open": _Opener("filename", _SAYS),
    "tarfile.open": _Opener("name", _SAYS),
    **dict.fromkeys(
        "gzip.open gzip.GzipFile bz2.open bz2.BZ2File lzma.open lzma.LZMAFile".split(), _Opener("filename", _SAYS)
    ),
    "xml.etree.ElementTree.parse": _Opener("source", _READS),
    **dict.fromkeys("xml.dom.minidom.parse lxml.etree.parse lxml.html.parse".split(), _Opener("file", _READS)),
    "sqlite3.connect": _Opener("database", _WRITES),
    "logging.basicConfig": _Opener("filename", _WRITES, 99),
    **dict.fromkeys(
        """
            logging.FileHandler logging.handlers.RotatingFileHandler logging.handlers.TimedRotatingFileHandler
            logging.handlers.WatchedFileHandler
        """.split(),
        _Opener("filename", _WRITES),
    ),
    "jinja2.FileSystemLoader": _Opener("searchpath", _READS),
    "numpy.load": _Opener("file", _READS),
    "numpy.save": _Opener("file", _WRITES),
    "pandas.ExcelFile": _Opener("path_or_buffer", _READS),
    "pandas.ExcelWriter": _Opener("path", _WRITES),
    "PIL.Image.open": _Opener("fp", _READS),
    "openpyxl.load_workbook": _Opener("filename", _READS),
    "xlsxwriter.Workbook": _Opener("filename", _WRITES),
    "docx.Document": _Opener("docx", _READS),
    "pptx.Presentation": _Opener("pptx", _READS),
    **dict.fromkeys("pypdf.PdfReader PyPDF2.PdfReader".split(), _Opener("stream", _READS)),
    "pdfplumber.open": _Opener("path_or_fp", _READS),
    **dict.fromkeys("fitz.open pymupdf.open cv2.imread joblib.load".split(), _Opener("filename", _READS)),
    "cv2.imwrite": _Opener("filename", _WRITES),
    "joblib.dump": _Opener("filename", _WRITES, 1),
}
#: SQLite's own, in memory.
_MEMORY = frozenset(("", ":memory:"))


def opened(name: str, node: ast.Call, text: Callable[[ast.expr], str]) -> tuple[str, bool] | None:
    """The path that stands in a call of ``name``, and whether the call writes there; None where none does. ``text``:
    what an expression gives, empty where that isn't known.
    """
    opener = _OPENERS.get(name)
    if opener is None:
        return None
    path = _argument(node, opener.place, opener.keyword, text)
    if path in _MEMORY or "://" in path or "\n" in path:
        return None
    if name.startswith("glob."):  # the folder that is looked through
        path = path.partition("*")[0].rpartition("/")[0] or path
    mode = _argument(node, opener.mode, "mode", text) if isinstance(opener.mode, int) else opener.mode
    return path, bool(set(mode) & set("wax+"))


def _argument(node: ast.Call, place: int, keyword: str, text: Callable[[ast.expr], str]) -> str:
    """An argument that is a text; empty where there is none, or it isn't one."""
    given = [one.value for one in node.keywords if one.arg == keyword]
    if not given and place < len(node.args):
        given = [node.args[place]]
    return text(given[0]) if given else ""
