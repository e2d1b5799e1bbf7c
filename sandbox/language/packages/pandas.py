"""pandas: methods that run text as code or open files, and its habit of reading attributes by the user's strings.

``df.agg("sum")`` is ``getattr(df, "sum")()``, and so it goes in dozens of places, some of them on objects that the
user chooses (accessors' ``_delegate_property_get``). All of pandas' Python code reads attributes by name through one
function here, which knows the policy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.hardening import sealing, trusted
from reptarium.sandbox.language.packages import openpyxl, xlsxwriter
from reptarium.sandbox.language.packages.package import Package

#: Methods that no façade can hide, because instances carry them.
_METHODS = {
    "eval": "it runs text as code; write the expression in Python",
    "query": "it runs text as code; use df[df['a'] > 1]",
    "to_pickle": "tasks have no files",
    "to_hdf": "tasks have no files",
    "to_sql": "tasks have no network",
    "to_clipboard": "there is no clipboard",
    "to_feather": "tasks have no files",
    "to_gbq": "tasks have no network",
}


#: What pandas asks of others for itself.
_OWN_NAMES = frozenset({"__pandas_priority__"})


def _getattr(obj: Any, name: str, /, *default: Any) -> Any:
    """``getattr`` in pandas' code. A name of a string class of one's own (numpy's, a liar's) is read as a plain one."""
    name = str.__str__(name)
    if name in _OWN_NAMES:
        return getattr(obj, name, *default)
    return guards.guarded_getattr(obj, name, *default)


def _patch(pandas: Any) -> None:
    """Once per process, when pandas is first imported for a task."""
    if "getattr" in vars(sys.modules["pandas.core.generic"]):
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("pandas.") and isinstance(module, ModuleType):
            vars(module).setdefault("getattr", _getattr)
    _patch_workbooks()
    for cls in (pandas.DataFrame, pandas.Series, pandas.Index):
        for method, why in _METHODS.items():
            if hasattr(cls, method):
                setattr(cls, method, guards.refusing(f"{cls.__name__}.{method}", why))


def _patch_workbooks() -> None:
    """Keep its workbooks in memory once pandas is about to write a workbook: it imports its engines only then."""
    writers: Any = importlib.import_module("pandas.io.excel._openpyxl")
    other_writers: Any = importlib.import_module("pandas.io.excel._xlsxwriter")
    _patch_first(writers.OpenpyxlWriter, "openpyxl", openpyxl.patch)
    _patch_first(other_writers.XlsxWriter, "xlsxwriter", xlsxwriter.patch)


def _patch_first(writer: Any, engine: str, patch: Callable[[Any], None]) -> None:
    original = writer.__init__
    patched: list[str] = []

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if not patched:
            with trusted(), sealing.opened():
                patch(importlib.import_module(engine))
            patched.append(engine)
        original(self, *args, **kwargs)

    writer.__init__ = __init__


PACKAGE = Package(
    "pandas",
    withheld={"pandas": "core io compat testing test show_versions util pandas plotting errors_"},
    refused={
        "pandas": {
            "pickles run code and tasks have no files": "read_pickle to_pickle",
            "tasks have no files and no network": "read_hdf HDFStore read_sql read_sql_query read_sql_table "
            "read_clipboard read_feather read_gbq read_iceberg",
            "it runs text as code": "eval",
        },
    },
    streams_only={
        "pandas": "read_csv read_excel read_fwf read_html read_json read_orc read_parquet read_sas read_spss "
        "read_stata read_table read_xml ExcelFile",
    },
    patch=_patch,
)
