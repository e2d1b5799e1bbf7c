"""numpy: files, pickles, and modules that open the interpreter."""

from __future__ import annotations

from typing import Any

from reptarium.sandbox.language.packages.package import Package, only_streams
from reptarium.sandbox.language.policy import RefusedAttribute


def _load(real: Any) -> dict[str, Any]:
    stream_only = only_streams(real.load, "numpy.load")

    def load(file: Any, *args: Any, **options: Any) -> Any:
        """``numpy.load`` of a stream, without pickles."""
        if len(args) > 1 or options.get("allow_pickle"):
            raise RefusedAttribute(
                "numpy.load with allow_pickle is not allowed: pickles run code. No setting allows it."
            )
        return stream_only(file, *args, **options)

    return {"load": load}


PACKAGE = Package(
    "numpy",
    withheld={
        "numpy": "f2py ctypeslib testing distutils core compat test show_config show_runtime lookfor info source "
        "DataSource add_docstring add_newdoc setbufsize deprecate get_include matlib",
        # they open files by name and read pickles
        "numpy.lib": "format npyio add_newdoc tracemalloc_domain",
    },
    refused={
        "numpy": {"tasks have no files": "fromfile memmap fromregex"},
    },
    made={"numpy": _load},
    streams_only={"numpy": "loadtxt genfromtxt save savez savez_compressed savetxt"},
)
