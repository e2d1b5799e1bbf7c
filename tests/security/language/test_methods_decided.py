"""Every method of the standard library that could be called with a class for ``self``, and show what it has, or make
classes, is guarded (``packages/standard/holders.py``), or somebody has found it harmless.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator, Set
from pathlib import Path

from programs import check_nothing_reached

from reptarium.sandbox.language.packages.standard.holders import HOLDERS, MAKERS
from reptarium.sandbox.language.policy import stdlib

#: Why what reads ``__dict__`` or ``vars()``, or calls the class of an object or returns it, may be given anything.
HARMLESS = {
    "argparse._SubParsersAction.__call__": "it sets what it has read, under the task's rules",
    "collections.UserDict.__copy__": "a new object of the class is made first",
    "collections.UserList.__copy__": "a new object of the class is made first",
    "enum.Enum.__dir__": "names",
    "enum.Flag.__reduce_ex__": "of Debian's 3.11.2: no task may read the name",
    "enum._proto_member.__set_name__": "of the class in whose body it stands",
    "functools.cached_property.__get__": "of the object that has it",
    **dict.fromkeys(
        ("multiprocessing.dummy.Namespace.__init__", "multiprocessing.dummy.Namespace.__repr__"),
        "the façade has neither it nor the Manager() that makes one",
    ),
    "logging.Logger.makeRecord": "it looks for names only",
    "optparse.Values.read_module": "refused",
    "typing._BaseGenericAlias.__getattr__": "it looks for one name, and reads none of the interpreter's",
    **dict.fromkeys(
        ("ast._Precedence.next", "email.generator.Generator.clone", "ipaddress._BaseNetwork.address_exclude",
         "ipaddress._BaseNetwork.subnets", "ipaddress._BaseNetwork.supernet", "ipaddress._BaseAddress.__add__",
         "ipaddress._BaseAddress.__sub__", "enum.EnumDict.__setitem__", "enum.EnumType.__new__",
         "pathlib.Path.samefile", "pathlib.Path.rename", "pathlib.Path.replace", "pathlib.Path.link_to"),
        "what the class is called with is no class, nor the names of one",
    ),
    **dict.fromkeys(
        ("collections.OrderedDict.copy", "collections.OrderedDict.__or__", "collections.OrderedDict.__ror__",
         "datetime.date.replace", "datetime.datetime.replace", "datetime.time.replace"),
        "it is the one in C, of its own objects, that tasks have",
    ),
    **dict.fromkeys(
        ("dataclasses._asdict_inner", "dataclasses._astuple_inner"), "of objects of lists, tuples and dicts only"
    ),
    "collections.abc._get_framelocalsproxy": "of a frame's names",
    "dataclasses._add_slots": "a class is made anew of its own names",
    "warnings.warn_explicit": "the task says the category",
    "weakref.WeakKeyDictionary.update": "of a dict's class",
}  # fmt: skip
#: Packages of the standard library whose methods tasks reach, and of those the modules that nothing leads to.
TOPS = {name.partition(".")[0] for name in stdlib.OPEN} - {"http", "importlib", "types"}
APART = ("logging.handlers", "logging.config", "xml.sax.xmlreader")


def modules() -> Iterator[tuple[str, types.ModuleType]]:
    """What tasks reach of the standard library, and what that has brought."""
    check_nothing_reached("pass")  # hardens this process
    for name in sorted({*stdlib.OPEN, *stdlib.SUBMODULES} - stdlib.REFUSED.keys()):
        with contextlib.suppress(ImportError):  # of another Python
            importlib.import_module(name)
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in TOPS and name not in APART and isinstance(module, types.ModuleType):
            yield name, module


def methods_of_whole_objects() -> Iterator[str]:
    """Methods whose code names ``__dict__`` or ``vars``, but for metaclasses'."""
    for name, module in modules():
        for cls in list(vars(module).values()):
            if not isinstance(cls, type) or cls.__module__ != name or issubclass(cls, type):
                continue
            for each, method in list(vars(cls).items()):
                code = getattr(method, "__code__", None)
                if type(method) is types.FunctionType and {"__dict__", "vars"} & set(code.co_names if code else ()):
                    yield f"{name}.{cls.__qualname__}.{each}"


def functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods in a module's text, by their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node
        else:
            yield from functions(node, f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix)


#: Where an object's class is called, returned or bound: the other modules needn't be parsed.
LIKELY = re.compile(r"(?:\.__class__|\btype\([\w.]+\))(?:\(|$)", re.MULTILINE)


def makers_of_their_like() -> Iterator[str]:
    """Functions that return an object's class, or call it as one would to be told a class, or to make one."""
    for name, module in modules():
        file = str(module.__file__ if hasattr(module, "__file__") else "")
        text = Path(file).read_text("utf-8") if file.endswith(".py") else ""
        if LIKELY.search(text):
            yield from (each for each, node in functions(ast.parse(text), f"{name}.") if makes_its_like(node))


def makes_its_like(function: ast.AST) -> bool:
    """Whether such a call, or return, stands in the function."""
    nodes = list(ast.walk(function))
    bound = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and is_a_class(node.value, frozenset())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        match node:
            case ast.Return(value=value) | ast.Yield(value=value):
                if is_a_class(value, bound):
                    return True
            case ast.Call(func=called, args=args, keywords=named) if is_a_class(called, bound):
                if any(isinstance(each, ast.Starred) for each in args) or (len(args), bool(named)) in TYPES_CALLS:
                    return True
    return False


#: Numbers of positional arguments that ``type`` takes, and whether by name as well.
TYPES_CALLS = ((1, False), (3, False), (3, True))


def is_a_class(node: ast.AST | None, bound: Set[str]) -> bool:
    """Whether it is ``x.__class__``, ``type(x)`` or a name that was bound to such."""
    match node:
        case ast.Attribute(attr="__class__"):
            return True
        case ast.Call(func=ast.Name(id="type"), args=[ast.Name() | ast.Attribute() | ast.Subscript()]):
            return True
        case ast.Name(id=name):
            return name in bound
    return False


def methods() -> set[str]:
    """What the tables list, of what this Python has."""
    return {
        f"{module}.{cls}.{method}"
        for table in (HOLDERS, MAKERS)
        for module, classes in table.items()
        if module in sys.modules
        for cls, names in classes.items()
        for method in names.split()
        if hasattr(getattr(importlib.import_module(module), cls, None), method)
    }


def test_each_is_decided() -> None:
    """Whatever of the standard library reads all that its object has, or makes another like it, is guarded, or is known
    to be harmless.
    """
    whole = {
        name
        for name in methods_of_whole_objects()
        # no-op constructors of protocols, which look for another
        if not (name.startswith("typing.") and name.endswith((".__init__", ".__subclasshook__")))
    }
    assert whole - HARMLESS.keys() == set()
    makers = set(makers_of_their_like())  # imports all there is
    assert makers - HARMLESS.keys() - methods() == set()
    for name in methods():
        module, cls, method = name.rsplit(".", 2)
        guarded = inspect.getattr_static(vars(importlib.import_module(module))[cls], method)
        code = getattr(guarded, "fget", guarded).__code__
        assert code.co_filename.endswith("holders.py"), name
