"""pandas: methods that run text as code or open files, and its habit of reading attributes by the user's strings.

``df.agg("sum")`` is ``getattr(df, "sum")()``, and so it goes in dozens of places, some of them on objects that the
user chooses (accessors' ``_delegate_property_get``). All of pandas' Python code reads attributes by name through one
function here, which knows the policy.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages import openpyxl as workbook_gadgets

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


def patch(pandas: Any) -> None:
    """Once per process, when pandas is first imported for a task."""
    if "getattr" in vars(sys.modules["pandas.core.generic"]):
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("pandas.") and isinstance(module, ModuleType):
            vars(module).setdefault("getattr", _getattr)
    workbook_gadgets.patch_pandas()
    for cls in (pandas.DataFrame, pandas.Series, pandas.Index):
        for method, why in _METHODS.items():
            if hasattr(cls, method):
                setattr(cls, method, guards.refusing(f"{cls.__name__}.{method}", why))
