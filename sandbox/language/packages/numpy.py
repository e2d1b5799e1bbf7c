"""numpy: files, pickles, and modules that open the interpreter."""

from __future__ import annotations

from typing import Any

from reptarium.sandbox.language.guards import refused
from reptarium.sandbox.language.packages.package import Package, only_streams
from reptarium.sandbox.language.packages.places import show_places
from reptarium.sandbox.language.policy.stdlib import NO_FILES, PICKLES


def _load(real: Any) -> dict[str, Any]:
    stream_only = only_streams(real.load, "numpy.load")

    def load(file: Any, *args: Any, **options: Any) -> Any:
        """``numpy.load`` without pickles."""
        if len(args) > 1 or options.get("allow_pickle"):
            raise refused("numpy.load with allow_pickle is not allowed", f"{PICKLES}; save arrays of plain types")
        return stream_only(file, *args, **options)

    return {"load": load}


_CHANGES = "it changes numpy itself"
PACKAGE = Package(
    "numpy",
    withheld={
        "numpy": {
            "it compiles and loads programs": "f2py ctypeslib distutils",
            "it is a tool for developing Python programs": "testing test",
            "it is numpy's inside; what tasks need is in numpy itself": "core compat matlib",
            "it tells about the machine and numpy itself, not the data": "show_config show_runtime lookfor info source "
            "get_include",
            "it fetches and opens what addresses and paths name; use numpy.load of io.BytesIO(data)": "DataSource",
            _CHANGES: "add_docstring add_newdoc setbufsize deprecate",
        },
        "numpy.lib": {
            "it opens files by name and reads pickles; use numpy.load and numpy.save of io.BytesIO": "format npyio",
            _CHANGES: "add_newdoc",
            "it tells about the machine and numpy itself, not the data": "tracemalloc_domain",
        },
    },
    refused={
        "numpy": {f"{NO_FILES}; use numpy.frombuffer, or numpy.loadtxt of lines": "fromfile memmap fromregex"},
    },
    made={"numpy": _load},
    # np.bmat("a b") and np.r_["a b"] name matrices of the caller's, and an operand may be given what was found
    patches=dict.fromkeys(
        ("numpy.matrixlib.defmatrix", "numpy.lib._index_tricks_impl", "numpy.lib.index_tricks"), show_places
    ),
    streams_only={"numpy": "loadtxt genfromtxt save savez savez_compressed savetxt"},
)
