"""numpy: files, pickles, and modules that open the interpreter."""

from __future__ import annotations

from reptarium.sandbox.language.packages.package import Package

PACKAGE = Package(
    "numpy",
    withheld={
        "numpy": "f2py ctypeslib testing distutils core compat test show_config show_runtime lookfor info source "
        "DataSource add_docstring add_newdoc setbufsize rec char deprecate get_include matlib",
        # they open files by name and read pickles
        "numpy.lib": "format npyio add_newdoc tracemalloc_domain",
    },
    refused={
        "numpy": {"tasks have no files": "load save savez savez_compressed savetxt fromfile memmap fromregex"},
    },
    streams_only={"numpy": "loadtxt genfromtxt"},
)
