"""XlsxWriter: it writes each sheet to a temporary file first, and tasks have none."""

from __future__ import annotations

import importlib
from typing import Any

from reptarium.sandbox.language.packages.package import Package


def _patch(xlsxwriter: Any) -> None:
    """Make XlsxWriter's own option ``in_memory`` the rule."""
    workbook: Any = importlib.import_module("xlsxwriter.workbook").Workbook
    original = workbook.__init__

    def __init__(self: Any, filename: Any = None, options: Any = None) -> None:
        original(self, filename, {**(options or {}), "in_memory": True})

    workbook.__init__ = __init__


PACKAGE = Package("xlsxwriter", patches={"xlsxwriter": _patch})
