"""The second line inside the interpreter: what no name shows.

The compiler and the façades decide what user code can name. What is left is closed in the process itself, which serves
nothing but user code.

`audit.py`               what CPython reports to audit hooks: files, processes, code being made
`gadgets.py`             library functions that read attributes, or build code, from data
`annotations.py`         text in annotations
`generated_classes.py`   data classes, named tuples, enumerations
`sealing.py`             library classes that no task can change
`initializers.py`        objects that libraries' classes carry, which nobody makes anew
`copies.py`              what ``copy`` makes of what objects tell of themselves
`made_code.py`           text that becomes code
`pickles.py`             what a pickle may name that a library reads
`imports_by_name.py`     imports of libraries by names that came as data
`readers.py`             names that came to a library as data
`addresses.py`           attributes that numpy takes for addresses of memory
`arrivals.py`            when a module of a library gets all this
"""

from reptarium.sandbox.language.hardening.audit import (
    RefusedOperation,
    allow_connections,
    allow_files,
    arm,
    arm_for_life,
    disarm,
    frame_is_users,
    trusted,
    watching,
)
from reptarium.sandbox.language.hardening.gadgets import harden

__all__ = [
    "RefusedOperation",
    "allow_connections",
    "allow_files",
    "arm",
    "arm_for_life",
    "disarm",
    "frame_is_users",
    "harden",
    "trusted",
    "watching",
]
