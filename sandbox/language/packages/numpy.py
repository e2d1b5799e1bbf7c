"""numpy: files, pickles, and modules that open the interpreter."""

from __future__ import annotations

from typing import Any

from reptarium.sandbox.language.guards import refused
from reptarium.sandbox.language.packages.package import Package, only_streams
from reptarium.sandbox.language.policy.stdlib import NO_FILES, PICKLES


def _load(real: Any) -> dict[str, Any]:
    stream_only = only_streams(real.load, "numpy.load")

    def load(file: Any, *args: Any, **options: Any) -> Any:
        """``numpy.load`` without pickles."""
        if len(args) > 1 or options.get("allow_pickle"):
            raise refused("numpy.load with allow_pickle is not allowed", f"{PICKLES}; save arrays of plain types")
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
        "numpy": {f"{NO_FILES}; use numpy.frombuffer, or numpy.loadtxt of lines": "fromfile memmap fromregex"},
    },
    made={"numpy": _load},
    streams_only={"numpy": "loadtxt genfromtxt save savez savez_compressed savetxt"},
)
