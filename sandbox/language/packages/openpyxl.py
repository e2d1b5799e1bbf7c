"""openpyxl: it writes each sheet to a temporary file first, and tasks have none."""

from __future__ import annotations

import importlib
import io
from typing import Any

from reptarium.sandbox.language.packages.package import Package


def _archive(zip_file: Any) -> Any:
    """``zipfile.ZipFile``, but it takes a sheet from memory where openpyxl gives it a path."""

    class Archive(zip_file):  # type: ignore[misc]  # not at the top: zipfile brings four shared libraries along
        def write(self, filename: Any, arcname: Any = None, *args: Any, **kwargs: Any) -> None:
            if type(filename) is io.BytesIO:
                self.writestr(arcname, filename.getvalue())
            else:
                super().write(filename, arcname, *args, **kwargs)

    return Archive


def _sheet(suffix: str = "") -> io.BytesIO:
    return io.BytesIO()


def _forget(self: Any) -> None:
    """There is no file to be removed."""


def _patch(openpyxl: Any) -> None:
    """Make openpyxl keep its sheets in memory."""
    workbooks: Any = importlib.import_module("openpyxl.writer.excel")
    sheets: Any = importlib.import_module("openpyxl.worksheet._writer")
    workbooks.ZipFile = _archive(workbooks.ZipFile)
    sheets.create_temporary_file = _sheet
    sheets.WorksheetWriter.cleanup = _forget


PACKAGE = Package("openpyxl", patches={"openpyxl": _patch})
