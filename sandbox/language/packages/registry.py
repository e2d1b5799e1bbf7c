"""Replacements and omissions that make particular modules fit to be façades.

Keys are module names; a value maps a public name to what user code gets instead, ``WITHHELD`` for
nothing. What isn't listed comes over as it is.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from reptarium.sandbox.language import guards, hardening
from reptarium.sandbox.language.guards import refusing
from reptarium.sandbox.language.hardening import sealing
from reptarium.sandbox.language.hardening.gadgets import UNCOPIED, uncopied
from reptarium.sandbox.language.packages import jinja2 as jinja_gadgets
from reptarium.sandbox.language.packages import openpyxl as workbook_gadgets
from reptarium.sandbox.language.packages import pandas as pandas_gadgets
from reptarium.sandbox.language.packages import pydantic as pydantic_gadgets
from reptarium.sandbox.language.packages.standard import process as reporting
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import is_field_name

WITHHELD = object()


def _only_streams(real: Callable[..., Any], what: str) -> Callable[..., Any]:
    """A reader that takes objects to read from, but no path and no URL."""

    @functools.wraps(real)
    def reader(source: Any, *args: Any, **kwargs: Any) -> Any:
        # pandas and gzip take for a path what is a str or has __fspath__, with a read() or without
        if not hasattr(source, "read") or isinstance(source, (str, bytes)) or hasattr(type(source), "__fspath__"):
            raise RefusedAttribute(
                f"{what} of a path or URL is not allowed: tasks have no files and no network. "
                "Give it io.StringIO(text) or io.BytesIO(data). No setting allows it."
            )
        return real(source, *args, **kwargs)

    del reader.__wrapped__
    return reader


def get_origin(tp: Any) -> Any:
    """``typing.get_origin``: the unsubscripted version of a type."""
    return guards.checked_value(typing.get_origin(tp), "origin")


def get_args(tp: Any) -> tuple[Any, ...]:
    """``typing.get_args``: the type arguments of a type."""
    return tuple(guards.checked_value(each, "args") for each in typing.get_args(tp))


def singledispatch(func: Any) -> Any:
    """``functools.singledispatch`` whose ``dispatch`` takes classes only.

    The real one compares the ``__mro__`` of whatever it is given with every class that there is.
    """
    dispatching = functools.singledispatch(func)
    real = dispatching.dispatch

    def dispatch(cls: type) -> Any:
        if not issubclass(type(cls), type):
            raise TypeError(f"dispatch() takes a class, not '{type(cls).__name__}'")
        return real(cls)

    dispatching.dispatch = dispatch  # type: ignore[method-assign]
    return dispatching


def _make_dataclass(real: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(real).parameters

    def make_dataclass(cls_name: str, fields: Any, *, bases: tuple[type, ...] = (), **options: Any) -> Any:
        """``dataclasses.make_dataclass`` without a namespace of one's own."""
        if "namespace" in options or "module" in options or "decorator" in options:
            raise RefusedAttribute("make_dataclass() with a namespace is not allowed: write a class statement")
        checked = []
        for item in fields:
            parts = (item,) if isinstance(item, str) else tuple(item)
            if not is_field_name(parts[0]):
                raise RefusedAttribute(f"{parts[0]!r} is not allowed as a field's name")
            checked.append(parts[0] if len(parts) == 1 else parts)
        bases = tuple(bases)
        guards.refuse_metaclasses(bases)
        # without it the class would be ours, or types': its functions would have that module's names
        place: dict[str, Any] = {"namespace": {"__module__": "__main__"}}
        if "module" in parameters:
            place["module"] = "__main__"
        return real(str(cls_name), checked, bases=bases, **place, **options)

    return make_dataclass


def _import_module(name: str, package: None = None) -> Any:
    raise NotImplementedError  # replaced by modules.py, which knows the policy


_environment: dict[str, str] = {}


def show_environment(variables: Mapping[str, str]) -> None:
    """What ``os.environ`` and ``os.getenv`` show to tasks; nothing unless this was called."""
    _environment.clear()
    _environment.update(variables)


_REPLACEMENTS: dict[str, dict[str, Any]] = {
    "operator": {"attrgetter": guards.attrgetter, "methodcaller": guards.methodcaller},
    "functools": {"update_wrapper": guards.update_wrapper, "wraps": guards.wraps},
    "importlib": {"import_module": _import_module},
    "os": {"environ": _environment, "getenv": lambda key, default=None: _environment.get(key, default)},
    "numpy": {
        **{
            name: refusing(f"numpy.{name}", "tasks have no files")
            for name in "load save savez savez_compressed savetxt fromfile memmap fromregex".split()
        },
        **dict.fromkeys(
            "f2py ctypeslib testing distutils core compat test show_config show_runtime lookfor info source "
            "DataSource add_docstring add_newdoc setbufsize rec char deprecate get_include matlib".split(),
            WITHHELD,
        ),
    },
    # they open files by name and read pickles
    "numpy.lib": dict.fromkeys("format npyio add_newdoc tracemalloc_domain".split(), WITHHELD),
    "pandas": {
        **{
            name: refusing(f"pandas.{name}", "pickles run code and tasks have no files")
            for name in "read_pickle to_pickle".split()
        },
        **{
            name: refusing(f"pandas.{name}", "tasks have no files and no network")
            for name in "read_hdf HDFStore read_sql read_sql_query read_sql_table read_clipboard read_feather "
            "read_gbq read_iceberg".split()
        },
        "eval": refusing("pandas.eval", "it runs text as code"),
        **dict.fromkeys(
            "core io compat testing test show_versions util pandas plotting errors_".split(), WITHHELD
        ),
    },
    "msgspec": {"defstruct": WITHHELD},  # any name, any namespace
    # the old API imports objects by name and reads attributes by name (orm_mode)
    "pydantic": dict.fromkeys(
        "ImportString PyObject v1 utils deprecated plugin mypy import_module getattr_migration".split(), WITHHELD
    ),
    "pydantic.types": dict.fromkeys("ImportString PyObject".split(), WITHHELD),
    "jinja2": dict.fromkeys("bccache compiler debug loaders nativetypes nodes parser runtime utils".split(), WITHHELD),
    "lxml": dict.fromkeys("doctestcompare usedoctest".split(), WITHHELD),
    "yaml": {
        **{
            name: refusing(f"yaml.{name}", "its tags make any Python object; use yaml.safe_load")
            for name in "unsafe_load unsafe_load_all full_load full_load_all".split()
        },
        **dict.fromkeys(
            "UnsafeLoader CUnsafeLoader CLoader CFullLoader Constructor UnsafeConstructor FullConstructor "
            "constructor loader cyaml YAMLObject YAMLObjectMetaclass".split(),
            WITHHELD,
        ),
    },
}  # fmt: skip

_STREAM_READERS = {
    "pandas": "read_csv read_excel read_fwf read_html read_json read_orc read_parquet read_sas read_spss read_stata "
    "read_table read_xml ExcelFile",
    "numpy": "loadtxt genfromtxt",
    "xml.etree.ElementTree": "parse iterparse",
    "gzip": "open",
    "bz2": "open",
    "lzma": "open",
}


def replacements(name: str, real: Any) -> dict[str, Any]:
    """What the façade of ``name`` carries in place of the real module's values."""
    table = dict(_REPLACEMENTS.get(name, ()))
    for reader in _STREAM_READERS.get(name, "").split():
        if callable(getattr(real, reader, None)):
            table[reader] = _only_streams(getattr(real, reader), f"{name}.{reader}")
    if name == "dataclasses":
        table["make_dataclass"] = _make_dataclass(real.make_dataclass)
    elif name == "sys":
        table |= {"exit": _exit, **reporting.streams()}
    elif name == "warnings":
        table["catch_warnings"] = reporting.catch_warnings(real.catch_warnings)
    elif name == "zoneinfo":
        table["available_timezones"] = _available_timezones(real)
    elif name == "yaml":
        safe = real.SafeLoader
        table |= {
            "Loader": safe,
            "FullLoader": safe,
            "load": _yaml_load(real),
            "load_all": _yaml_load_all(real),
        }
    elif name == "msgspec":
        table["convert"] = _msgspec_convert(real.convert)
    elif name == "pydantic_core":
        table |= pydantic_gadgets.replacements(real)
    elif name in ("jinja2", "jinja2.environment"):
        table |= _jinja()
    return table


def _available_timezones(real: Any) -> Callable[[], set[str]]:
    def available_timezones() -> set[str]:
        """The names of all time zones. It reads the zones' files, which user code may not name."""
        with hardening.trusted():
            found: set[str] = real.available_timezones()
            return found

    return available_timezones


def _exit(status: object = None) -> None:
    raise SystemExit(status)


def _safe_loader(real: Any, loader: Any) -> Any:
    safe = [real.SafeLoader, real.BaseLoader, getattr(real, "CSafeLoader", real.SafeLoader)]
    if not (isinstance(loader, type) and issubclass(loader, tuple(safe))):
        raise RefusedAttribute("this yaml loader is not allowed: its tags make any Python object; use SafeLoader")
    return loader


def _yaml_load(real: Any) -> Callable[..., Any]:
    return lambda stream, Loader: real.load(stream, _safe_loader(real, Loader))


def _yaml_load_all(real: Any) -> Callable[..., Any]:
    return lambda stream, Loader: real.load_all(stream, _safe_loader(real, Loader))


def _msgspec_convert(real: Callable[..., Any]) -> Callable[..., Any]:
    def convert(obj: Any, type: Any, **options: Any) -> Any:
        """``msgspec.convert`` of dicts and lists."""
        if options.get("from_attributes"):
            raise RefusedAttribute(
                "convert() with from_attributes is not allowed: it reads attributes by name. No setting allows it."
            )
        return real(obj, type, **options)

    return convert


def _jinja() -> dict[str, Any]:
    sandbox: Any = importlib.import_module("jinja2.sandbox")

    def template(source: str, **options: Any) -> Any:
        """``jinja2.Template`` in Jinja's own sandbox."""
        return sandbox.SandboxedEnvironment(**options).from_string(source)

    return {
        "Environment": sandbox.SandboxedEnvironment,
        "Template": template,
        **dict.fromkeys(
            "FileSystemLoader PackageLoader ModuleLoader FileSystemBytecodeCache MemcachedBytecodeCache "
            "environment nodes compiler loaders utils runtime nativetypes bccache".split(),
            WITHHELD,
        ),
    }


def patch_packages() -> None:
    """What no façade can hide, because instances carry it, and what a module would look for in files of the machine.

    To be called after each import: what an allowed package brings along gives user code its objects too.
    """
    new = [name for name in _PATCHES if name in sys.modules]
    with sealing.opened(unless=not new):
        for name in new:
            _PATCHES.pop(name)(sys.modules[name])


def _patch_httpx(real: Any) -> None:
    importlib.import_module("httpcore")  # which it would import at the first request, with ctypes and more


def _patch_zipfile(real: Any) -> None:
    # no audit event tells of stat(2): size, times and owner of any path
    real.ZipInfo.from_file = refusing("ZipInfo.from_file", "tasks have no files; use ZipInfo(name) and writestr()")


def _patch_tarfile(real: Any) -> None:
    for name in ("gettarinfo", "add", "makefifo", "makedev"):
        setattr(real.TarFile, name, refusing(f"TarFile.{name}", "tasks have no files; use TarInfo(name) and addfile()"))


def _patch_mimetypes(real: Any) -> None:
    real.knownfiles.clear()  # /etc/mime.types and its like, read at the first question
    real.init()


def _patch_pydantic(real: Any) -> None:
    core: Any = importlib.import_module("pydantic_core")
    pydantic_gadgets.patch(real, core)
    guards.READERS.update((core.SchemaValidator, core.SchemaSerializer))
    UNCOPIED.update(dict.fromkeys((core.SchemaValidator, core.SchemaSerializer, real.TypeAdapter), uncopied))


def _patch_yaml(real: Any) -> None:
    # dumpers find their functions by class: the tables of the unsafe ones hold ``type`` itself
    for table in (real.Dumper.yaml_representers, real.Dumper.yaml_multi_representers):
        for cls in {type, *guards.STAND_INS} & table.keys():
            del table[cls]


#: What waits for its package to be imported.
_PATCHES: dict[str, Callable[[Any], None]] = {
    "pandas": pandas_gadgets.patch,
    "openpyxl": workbook_gadgets.patch_openpyxl,
    "xlsxwriter": workbook_gadgets.patch_xlsxwriter,
    "httpx": _patch_httpx,
    "mimetypes": _patch_mimetypes,
    "tarfile": _patch_tarfile,
    "zipfile": _patch_zipfile,
    "pydantic": _patch_pydantic,
    "jinja2": jinja_gadgets.patch,
    "yaml": _patch_yaml,
}
