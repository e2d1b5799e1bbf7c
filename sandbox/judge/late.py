"""Packages that libraries import only when something of theirs is used: ``read_excel`` needs openpyxl, and no import of
the program's says so.

The tables have what is used, and by which names it imports what it needs: ``a|b`` is either of two (the first, where
neither is there); blanks stand between what is needed together.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from reptarium.sandbox.judge.messages import LateImport

_ARROW, _DRAWS, _WRITES_EXCEL = "pyarrow", "matplotlib", "openpyxl|xlsxwriter"

#: Functions, classes and modules, by the name that they have in their package.
_NAMED: dict[str, str] = {
    **dict.fromkeys(("pandas.read_excel", "pandas.ExcelFile"), "openpyxl"),
    "pandas.ExcelWriter": _WRITES_EXCEL,
    **dict.fromkeys(("pandas.read_html", "pandas.read_xml"), "lxml"),
    **dict.fromkeys("pandas.read_parquet pandas.read_feather pandas.read_orc pandas.ArrowDtype".split(), _ARROW),
    "pandas.read_hdf": "tables",
    "pandas.read_spss": "pyreadstat",
    "pandas.plotting.scatter_matrix": _DRAWS,
    "polars.read_excel": "fastexcel",
    "polars.from_pandas": "pandas pyarrow",
    **dict.fromkeys(("pydantic.EmailStr", "pydantic.NameEmail", "pydantic.validate_email"), "email_validator"),
    **dict.fromkeys("networkx.draw networkx.draw_networkx networkx.draw_spring".split(), _DRAWS),
    **dict.fromkeys("networkx.pagerank networkx.spring_layout networkx.to_scipy_sparse_array".split(), "numpy scipy"),
    "networkx.to_numpy_array": "numpy",
    **dict.fromkeys("networkx.from_pandas_edgelist networkx.to_pandas_edgelist".split(), "pandas"),
    "lxml.html.clean": "lxml_html_clean",
    "lxml.html.soupparser": "bs4",
    "lxml.html.html5parser": "html5lib",
    **dict.fromkeys("openpyxl.drawing.image barcode.writer.ImageWriter qrcode.make".split(), "PIL"),
    "passlib.hash.bcrypt": "bcrypt",
    "passlib.hash.argon2": "argon2",
    "sympy.plot": _DRAWS,
    "sqlalchemy.ext.asyncio": "greenlet",
}
#: Methods and attributes of whatever, where the program imports their package. ``style.`` of what comes below it.
_METHODS: dict[str, dict[str, str]] = {
    "pandas": {
        "to_excel": _WRITES_EXCEL,
        "to_markdown": "tabulate",
        **dict.fromkeys(("to_parquet", "to_feather", "to_orc"), _ARROW),
        "to_xml": "lxml",
        "to_latex": "jinja2",
        "to_xarray": "xarray",
        **dict.fromkeys(("plot", "hist", "boxplot"), _DRAWS),
        **dict.fromkeys(("style.background_gradient", "style.text_gradient"), "jinja2 matplotlib"),
        "style.": "jinja2",
    },
    "polars": {"to_pandas": "pandas pyarrow", "to_arrow": _ARROW, "to_numpy": "numpy", "write_excel": "xlsxwriter"},
    "pyarrow": {"to_pandas": "pandas"},
    "duckdb": {
        **dict.fromkeys(("df", "fetchdf", "to_df"), "numpy pandas"),
        "pl": "polars",
        **dict.fromkeys(("arrow", "fetch_arrow_table"), _ARROW),
    },
    "plotly": {**dict.fromkeys(("write_image", "to_image"), "kaleido")},
    "pypdf": {"encrypt": "cryptography"},
}
#: Keywords whose value says what does the work, in place of what else would: package → keyword → value → what it needs.
_CHOSEN: dict[str, dict[str, dict[str, str]]] = {
    "pandas": {
        "engine": {
            **{name: name for name in "openpyxl xlsxwriter xlrd odf pyxlsb pyarrow fastparquet numexpr numba".split()},
            "calamine": "python_calamine",
        },
        "flavor": {"lxml": "lxml", "html5lib": "html5lib bs4", "bs4": "html5lib bs4"},
        "parser": {"etree": "", "lxml": "lxml"},
        "dtype_backend": {"pyarrow": _ARROW},
        "method": dict.fromkeys(
            "spline polynomial cubic quadratic slinear zero nearest barycentric krogh pchip akima cubicspline "
            "piecewise_polynomial from_derivatives".split(),
            "scipy",
        ),
    },
    "bs4": {"features": dict.fromkeys(("lxml", "lxml-xml", "xml", "lxml-html"), "lxml") | {"html5lib": "html5lib"}},
    "polars": {"engine": {"openpyxl": "openpyxl", "calamine": "fastexcel", "xlsx2csv": "xlsx2csv"}},
}
#: What a keyword may be given by its place: function → (place, keyword).
_PLACED = {"bs4.BeautifulSoup": (1, "features"), "jwt.encode": (2, "algorithm"), "jwt.decode": (2, "algorithms")}
_SUFFIXES = {".xls": "xlrd", ".xlsb": "pyxlsb", ".ods": "odf"}
_ASYMMETRIC = re.compile(r"(RS|ES|PS)\d{3}K?|EdDSA")
#: The driver that SQLAlchemy takes where an address names none, and modules of those that it may name.
_DRIVERS = {
    "postgresql": "psycopg2", "mysql": "MySQLdb", "mariadb": "MySQLdb", "mssql": "pyodbc", "oracle": "cx_Oracle",
    "mysqlconnector": "mysql.connector", "mysqldb": "MySQLdb", "psycopg_async": "psycopg", "sqlite": "",
    "pysqlite": "", "oracledb_async": "oracledb", "mariadbconnector": "mariadb",
}  # fmt: skip
_DATABASE = re.compile(r"([a-z]+)(?:\+([a-z0-9_]+))?://")
_STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}
#: Packages that the tables are about.
_PACKAGES = frozenset(
    (*(name.partition(".")[0] for name in (*_NAMED, *_PLACED)), *_METHODS, *_CHOSEN, "httpx", "requests", "spacy")
)
#: Names that a task has, which need something.
_GIVEN = {"_jmespath": "jmespath"}


def late(
    nodes: Iterable[tuple[ast.AST, bool, bool]],
    dotted: Callable[[ast.expr], str | None],
    packages: Collection[str],
    names: dict[str, int],
) -> list[LateImport]:
    """What a program's libraries import at run time, each once. ``dotted``: what an expression names of a module;
    ``packages``: what it imports; ``names``: those that it doesn't bind → their lines.
    """
    found: dict[tuple[str, ...], LateImport] = {}
    for name, needs in _GIVEN.items():
        if name in names:
            _add(found, name, needs, names[name])
    for node, optional, _ in nodes if _PACKAGES.intersection(packages) else ():
        if not optional:
            for by, needs in _of(node, dotted, packages):
                _add(found, by, needs, getattr(node, "lineno", 1))
    named = {*packages, *(one.modules[0] for one in found.values() if len(one.modules) == 1)}
    # of two, one that is asked for elsewhere does
    return [
        one for one in found.values() if not (named if len(one.modules) > 1 else {*packages}).intersection(one.modules)
    ]


def _add(found: dict[tuple[str, ...], LateImport], by: str, needs: str, line: int) -> None:
    for one in needs.split():
        modules = one.split("|")
        found.setdefault(tuple(modules), LateImport(modules, line, by))


def _of(
    node: ast.AST, dotted: Callable[[ast.expr], str | None], packages: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What one node of a program uses, and what that needs."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, _NAMED[alias.name]) for alias in node.names if alias.name in _NAMED)
    elif isinstance(node, ast.ImportFrom):
        whole = [f"{node.module}.{alias.name}" for alias in node.names]
        # of functions a call of them tells
        yield from ((name, _NAMED[name]) for name in (node.module or "", *whole) if _is_needed_at_once(name))
    elif isinstance(node, ast.Call):
        yield from _of_call(node, dotted, packages)
    elif isinstance(node, ast.Attribute):
        name = dotted(node)
        if name in _NAMED and _is_needed_at_once(name):
            yield name, _NAMED[name]
        elif name is None:
            yield from _of_attribute(node, packages)
    elif (text := _text(node)).endswith("[pyarrow]") and "pandas" in packages:
        yield text, _ARROW


def _is_needed_at_once(name: str) -> bool:
    return name in _NAMED and (name.rpartition(".")[2][:1].isupper() or name.count(".") > 1)


def _of_attribute(node: ast.Attribute, packages: Collection[str]) -> Iterator[tuple[str, str]]:
    below_style = isinstance(node.value, ast.Attribute) and node.value.attr == "style"
    for package, methods in _METHODS.items():
        if package not in packages or f"{package}.{node.attr}" in _CALLED_WITH:
            continue
        if below_style and "style." in methods:
            yield f"style.{node.attr}", methods.get(f"style.{node.attr}", methods["style."])
        elif node.attr in methods:
            yield f"{package}'s {node.attr}", methods[node.attr]


#: Methods whose keywords choose: a call of one tells what it needs.
_CALLED_WITH = frozenset(f"pandas.{name}" for name in "to_excel to_parquet to_feather to_orc to_xml".split())


def _of_call(
    node: ast.Call, dotted: Callable[[ast.expr], str | None], packages: Collection[str]
) -> Iterator[tuple[str, str]]:
    name = dotted(node.func)
    method = node.func.attr if isinstance(node.func, ast.Attribute) and name is None else ""
    package = name.partition(".")[0] if name else next((one for one in _METHODS if one in packages), "")
    by = name or f"{package}'s {method}"
    given = {keyword.arg: _text(keyword.value) for keyword in node.keywords if keyword.arg}
    first = _text(node.args[0]) if node.args else ""
    if name in _PLACED:
        place, keyword = _PLACED[name]
        if place < len(node.args):
            given.setdefault(keyword, _text(node.args[place]))
    chosen = [
        values[given[keyword]]
        for keyword, values in _CHOSEN.get(package, {}).items()
        if given.get(keyword) in values and (name or method)
    ]
    if chosen:
        yield by, " ".join(chosen)
    elif name in _NAMED:
        suffix = first[first.rfind(".") :] if "." in first else ""
        yield by, _SUFFIXES.get(suffix, _NAMED[name]) if _NAMED[name] == "openpyxl" else _NAMED[name]
    elif f"{package}.{method}" in _CALLED_WITH:
        yield by, _METHODS[package][method]
    if name in ("jwt.encode", "jwt.decode") and any(map(_ASYMMETRIC.fullmatch, _texts(node))):
        yield by, "cryptography"
    yield from _of_address(by, name or "", method, node, first, given)


def _of_address(
    by: str, name: str, method: str, node: ast.Call, first: str, given: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """What the scheme of an address needs, and protocols that a client has only with something beside it."""
    if name in ("sqlalchemy.create_engine", "sqlalchemy.ext.asyncio.create_async_engine", "pandas.read_sql"):
        address = next((text for text in _texts(node) if _DATABASE.match(text)), "")
        if name == "pandas.read_sql" and address:
            yield by, "sqlalchemy"
        if match := _DATABASE.match(address):
            driver = match[2] or match[1]
            yield by, _DRIVERS.get(driver, driver)
    elif (name.startswith(("pandas.read_", "polars.read_")) or method.startswith(("to_", "write_"))) and "://" in first:
        yield by, _STORES.get(first.partition("://")[0], "")
    elif name.startswith("httpx."):
        if any(one.arg == "http2" and getattr(one.value, "value", None) is True for one in node.keywords):
            yield by, "h2"
        if any(text.startswith("socks") for text in _texts(node)):
            yield by, "socksio"
    elif name.startswith("requests.") and any(text.startswith("socks") for text in _texts(node)):
        yield by, "socks"
    elif name == "spacy.load" and first.isidentifier():
        yield by, first


def _texts(node: ast.Call) -> Iterator[str]:
    """Texts in the arguments of a call, those in lists and dicts too; the first part of those that are put together."""
    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
        parts: list[ast.expr | None] = [argument]
        if isinstance(argument, ast.List | ast.Tuple):
            parts = [*argument.elts]
        elif isinstance(argument, ast.Dict):
            parts = [*argument.values]
        for part in parts:
            if text := _text(part):
                yield text


def _text(node: ast.AST | None) -> str:
    """A text that stands there, or that what is put together there begins with."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
