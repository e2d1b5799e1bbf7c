"""Workbooks without files: openpyxl and XlsxWriter write each sheet to a temporary file first, and tasks have none."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language import hardening
from reptarium.sandbox.language.hardening import sealing


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


def patch_openpyxl(openpyxl: Any) -> None:
    """Make openpyxl keep its sheets in memory. A second call changes nothing."""
    workbooks: Any = importlib.import_module("openpyxl.writer.excel")
    if workbooks.ZipFile.__module__ != __name__:
        sheets: Any = importlib.import_module("openpyxl.worksheet._writer")
        workbooks.ZipFile = _archive(workbooks.ZipFile)
        sheets.create_temporary_file = _sheet
        sheets.WorksheetWriter.cleanup = _forget


def patch_xlsxwriter(xlsxwriter: Any) -> None:
    """Make XlsxWriter's own option ``in_memory`` the rule. A second call changes nothing."""
    workbook: Any = importlib.import_module("xlsxwriter.workbook").Workbook
    if workbook.__init__.__module__ == __name__:
        return
    original = workbook.__init__

    def __init__(self: Any, filename: Any = None, options: Any = None) -> None:
        original(self, filename, {**(options or {}), "in_memory": True})

    workbook.__init__ = __init__


def patch_pandas() -> None:
    """Do the same once pandas is about to write a workbook: it imports its engines only then."""
    openpyxl: Any = importlib.import_module("pandas.io.excel._openpyxl")
    xlsxwriter: Any = importlib.import_module("pandas.io.excel._xlsxwriter")
    _patch_first(openpyxl.OpenpyxlWriter, "openpyxl", patch_openpyxl)
    _patch_first(xlsxwriter.XlsxWriter, "xlsxwriter", patch_xlsxwriter)


def _patch_first(writer: Any, engine: str, patch: Callable[[Any], None]) -> None:
    original = writer.__init__
    patched: list[str] = []

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if not patched:
            with hardening.trusted(), sealing.opened():
                patch(importlib.import_module(engine))
            patched.append(engine)
        original(self, *args, **kwargs)

    writer.__init__ = __init__
