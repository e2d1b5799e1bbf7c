"""What people meant who name what a task hasn't got: names of JavaScript or of the other mode, a forgotten import."""

from __future__ import annotations

import sys

from reptarium.sandbox.userspace.names import NAMES

__all__ = ["DOLLAR", "meant"]

#: Names of JavaScript nodes begin with it.
DOLLAR = "Names with $ are JavaScript's; in Python they begin with an underscore: _input, _json, _node(…)."
_ALL = "The code runs once for all items: they are the list _items."
_EACH = "The code runs once for each item: that one is _item."
#: How packages are named by everybody.
_SHORT = {"np": "numpy as np", "pd": "pandas as pd", "plt": "matplotlib.pyplot as plt"}


def meant(name: str, *, per_item: bool) -> str:
    """What to write instead of a name that isn't defined; empty where nothing suggests itself."""
    if name in ("item", "_item", "items", "_items"):
        return _EACH if per_item else _ALL
    if name in sys.stdlib_module_names or name in _SHORT:
        return f"Is there an import missing? import {_SHORT.get(name, name)}"
    if f"_{name}" in NAMES:
        return f"Did you mean _{name}?"
    return ""
