"""openpyxl without files: it writes each sheet to a temporary file before it goes into the workbook."""

from __future__ import annotations

import importlib
import io
import zipfile
from typing import Any

from sandbox.language import hardening


class _Archive(zipfile.ZipFile):
    """A zip file that takes a sheet from memory where openpyxl gives it a path."""

    def write(self, filename: Any, arcname: Any = None, *args: Any, **kwargs: Any) -> None:
        if type(filename) is io.BytesIO:
            self.writestr(arcname, filename.getvalue())
        else:
            super().write(filename, arcname, *args, **kwargs)


def patch() -> None:
    """Make openpyxl, which is imported for it, keep its sheets in memory. A second call changes nothing."""
    with hardening.trusted():
        sheets: Any = importlib.import_module("openpyxl.worksheet._writer")
        workbooks: Any = importlib.import_module("openpyxl.writer.excel")
    if workbooks.ZipFile is not _Archive:
        workbooks.ZipFile = _Archive
        sheets.create_temporary_file = _sheet
        sheets.WorksheetWriter.cleanup = _forget


def patch_pandas() -> None:
    """Do the same once pandas is about to write a workbook: it imports openpyxl only then."""
    engine: Any = importlib.import_module("pandas.io.excel._openpyxl")
    original = engine.OpenpyxlWriter.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        patch()
        original(self, *args, **kwargs)

    engine.OpenpyxlWriter.__init__ = __init__


def _sheet(suffix: str = "") -> io.BytesIO:
    return io.BytesIO()


def _forget(self: Any) -> None:
    """There is no file to be removed."""
