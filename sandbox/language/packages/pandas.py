"""pandas: methods that run text as code or open files, and its habit of reading attributes by the user's strings.

``df.agg("sum")`` is ``getattr(df, "sum")()``, and so it goes in dozens of places, some of them on objects that the
user chooses (accessors' ``_delegate_property_get``): see ``hardening/readers.py``.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.guards.formats import bound_format
from reptarium.sandbox.language.hardening.addresses import without_addresses
from reptarium.sandbox.language.hardening.audit import frame_is_users, watching
from reptarium.sandbox.language.packages.package import Package, only_streams, with_files
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import GUARDED_DUNDERS, may_read
from reptarium.sandbox.language.policy.stdlib import NO_FILES, NO_NETWORK, PICKLES

_OTHER_FORMATS = f"{PICKLES}; use to_json, to_csv or to_parquet"
_NO_CLIPBOARD = "a task has no clipboard; return the text"
_ASK_N8N = f"{NO_NETWORK.partition(';')[0]}; let n8n do it, with a node of that service"
_NO_HDF = f"{NO_FILES}, and this format is not for streams; use to_parquet, or to_csv"

#: Methods that no façade can hide, because instances carry them.
METHODS = {
    "to_pickle": _OTHER_FORMATS,
    "to_hdf": _NO_HDF,
    "to_clipboard": _NO_CLIPBOARD,
    "to_gbq": _ASK_N8N,
}
#: Methods that take a stream, and no path.
_STREAMS_ONLY = ("to_feather",)


def _patch(pandas: Any) -> None:
    """Once per process."""
    for cls in (pandas.DataFrame, pandas.Series, pandas.Index):
        for method, why in METHODS.items():
            real = getattr(cls, method, None)
            if real is not None:
                what = f"{cls.__name__}.{method}"
                setattr(cls, method, with_files(real, what, why) if why == _NO_HDF else guards.refusing(what, why))
        for method in _STREAMS_ONLY:
            real = getattr(cls, method, None)
            if real is not None:
                setattr(cls, method, only_streams(real, f"{cls.__name__}.{method}", method=True))
    for method in ("eval", "query"):
        setattr(pandas.DataFrame, method, _checked_expression(getattr(pandas.DataFrame, method), 1))
    generic: Any = importlib.import_module("pandas.core.generic").NDFrame
    generic.__getattr__ = without_addresses(generic.__getattr__)


def _check_expression(text: object) -> None:
    """Refuse an expression that names what is not for tasks. pandas runs only what it knows of Python's syntax, and
    reads attributes through the guard.
    """
    if not isinstance(text, str):
        raise RefusedAttribute("an expression that isn't text is not allowed: give it a str")
    for name in re.findall(r"[^\W\d]\w*", unicodedata.normalize("NFKC", str.__str__(text))):
        if not may_read(name) or name in GUARDED_DUNDERS or name in _RUNS_TEXT:
            raise RefusedAttribute(f"the name '{name}' in an expression is not allowed: it belongs to the interpreter")


_RUNS_TEXT = frozenset("eval exec compile open getattr setattr vars globals locals".split())


def _checked_expression(real: Callable[..., Any], deeper: int) -> Callable[..., Any]:
    @functools.wraps(real)
    def checked(*args: Any, **kwargs: Any) -> Any:
        expression = kwargs.get("expr", args[deeper] if len(args) > deeper else None)
        _check_expression(expression)
        kwargs["level"] = kwargs.pop("level", 0) + 1  # pandas looks for @names in its caller's frame
        return real(*args, **kwargs)

    del checked.__wrapped__
    return checked


class _Frames:
    """What pandas' scopes have for ``sys``: the frame so many callers up as one says, if it is one of the task's;
    without names otherwise, since a library's has all that the library imports.
    """

    def _getframe(self, depth: int) -> Any:
        frame = sys._getframe(depth + 1)
        return frame if not watching() or frame_is_users(frame) else SimpleNamespace(f_globals={}, f_locals={})


def _patch_scopes(scope: Any) -> None:
    scope.sys = _Frames()


def _patch_styles(render: Any) -> None:
    """A format that is text is formatted as the task would."""
    real = render._maybe_wrap_formatter

    def _maybe_wrap_formatter(formatter: Any = None, *args: Any, **options: Any) -> Any:
        return real(bound_format(formatter) if isinstance(formatter, str) else formatter, *args, **options)

    render._maybe_wrap_formatter = _maybe_wrap_formatter


def _patch_formats(module: Any) -> None:
    """A format of numbers that is text is formatted as the task would."""
    formatter = module.DataFrameFormatter
    real = getattr(formatter, "_validate_float_format", None)
    if real is None:
        return  # before it took such text

    def _validate_float_format(self: Any, fmt: Any) -> Any:
        text = str.__str__(fmt) if isinstance(fmt, str) else fmt
        checked = real(self, text)  # says what isn't one
        return bound_format(text) if isinstance(text, str) and callable(checked) else checked

    formatter._validate_float_format = _validate_float_format


PACKAGE = Package(
    "pandas",
    withheld={
        "pandas": {
            "it is pandas' inside; what tasks need is in pandas itself": "core io compat util pandas errors_",
            "it is a tool for developing Python programs": "testing test",
            "it tells about the machine, not the data": "show_versions",
            "it draws, which the methods plot, hist and boxplot of frames do": "plotting",
        }
    },
    refused={
        "pandas": {
            _OTHER_FORMATS: "read_pickle to_pickle",
            _NO_HDF: "read_hdf HDFStore",
            _NO_CLIPBOARD: "read_clipboard",
            _ASK_N8N: "read_gbq read_iceberg",
        },
    },
    made={"pandas": lambda real: {"eval": _checked_expression(real.eval, 0)}},
    streams_only={
        "pandas": "read_csv read_excel read_feather read_fwf read_html read_json read_orc read_parquet read_sas "
        "read_spss read_stata read_table read_xml ExcelFile",
    },
    patches={
        "pandas": _patch,
        "pandas.core.computation.scope": _patch_scopes,
        "pandas.io.formats.format": _patch_formats,
        "pandas.io.formats.style_render": _patch_styles,
    },
)
