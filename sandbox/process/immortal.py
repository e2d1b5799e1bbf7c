"""Objects whose references nobody counts any more, so that children don't copy the pages they lie on.

A reference count lies inside its object: a child that only *reads* what the zygote has made writes to it all the
same, and the kernel copies the page. From CPython 3.12 on an object can be immortal (PEP 683): its count is a
mark that stays as it is. The interpreter uses that for None and small numbers; the zygote, whose objects outlive
every worker, uses it for everything that it has (measured on 3.12: 310 page faults a task instead of 480, and a
quarter off a worker's and the zygote's processor time).

The mark has no Python interface: it is None's own, written where the count lies. Whether this interpreter keeps
it there, and leaves it alone, is tried out first.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig
from types import CodeType

_count = ctypes.c_uint32.from_address


def immortalize() -> tuple[int, str]:
    """Make every object of this process immortal that there is now. Returns how many, or 0 and why that can't be done.

    For a process that frees nothing of what it has: what is immortal is never freed.
    """
    if obstacle := _obstacle():
        return 0, obstacle
    mark = _count(id(None)).value
    collecting = gc.isenabled()
    gc.disable()
    try:
        found = _objects()
        for address in found:
            _count(address).value = mark
    finally:
        if collecting:
            gc.enable()
    return len(found), ""


def _obstacle() -> str:
    """Why counts can't be marked; empty when they lie where we look for them, and None's is a mark that references
    don't change.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "an interpreter without the global lock counts in two places"
    if hasattr(sys, "getobjects"):  # Py_TRACE_REFS
        return "a build that traces references has something else at an object's beginning"
    probe = object()
    count, mark = _count(id(probe)), _count(id(None)).value
    before = count.value
    held: list[object] = [probe, probe]
    if count.value != before + 2:
        return "references are not counted where they were expected"  # and nothing is written there
    count.value = mark
    # looked at while they are held: given up again, they would hide that they were counted
    held += [probe, probe, probe, None, None, None]
    marked = count.value == mark == _count(id(None)).value
    held.clear()
    count.value = before
    return "" if marked else "Python before 3.12 has no immortal objects"


def _objects() -> set[int]:
    """The addresses of what the collector knows, and of what that refers to: strings, numbers, code."""
    tracked = gc.get_objects()
    found = set(map(id, tracked))
    waiting = gc.get_referents(*tracked)
    del tracked
    while waiting:
        further: list[object] = []
        for each in waiting:
            if id(each) in found:
                continue
            found.add(id(each))
            if type(each) is CodeType:  # which the collector can't look into
                further += (each.co_consts, each.co_names, each.co_filename, each.co_name, each.co_qualname)
            elif type(each) is tuple or type(each) is dict:
                further += gc.get_referents(each)
        waiting = further
    return found
