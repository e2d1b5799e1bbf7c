"""What no task may get hold of, and a walk that looks for it.

:func:`why_forbidden` judges one object. :func:`walk` follows, breadth first, what user code could read: attributes as
the compiled program reads them (plain names as they stand, others through the product's guard), what an augmented
assignment hands to its right side, what a library reads of an object by a name that it was given, the class of an
object, items of containers. It calls nothing but what reading calls: properties and ``__getattr__``.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
import itertools
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reptarium.sandbox.language import LanguagePolicy, compile_task, guards, make_namespace, run
from reptarium.sandbox.language.hardening import audit
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.language.policy.names import GETATTR
from reptarium.sandbox.language.runtime.facades import Importer, importer

#: Builtins that user code never has, or only in guarded form.
_BUILTINS = (
    "eval exec compile open input breakpoint globals locals exit quit help license credits copyright "
    "getattr setattr delattr hasattr vars dir type __import__ __build_class__"
).split()

#: Modules behind refused ones, and the interpreter's own: nothing that runs in them is for tasks.
_PRIVATE_MODULES = frozenset(
    """
        posix nt _posixsubprocess _posixshmem _multiprocessing _ctypes _imp _thread _socket _ssl _sqlite3 _pickle
        _frozen_importlib _frozen_importlib_external importlib zipimport _symtable _testcapi _testinternalcapi
        _interpreters _xxsubinterpreters _opcode _signal _lsprof _curses _dbm _gdbm _winapi _posix_shared_memory
        _pyrepl _sitebuiltins _tracemalloc _remote_debugging
    """.split()
)

#: Constructors that turn code objects, cells and frames into something that runs. (A ``MethodType`` of a function and
#: an object that one has is a call that one could write.)
_CONSTRUCTORS: tuple[type, ...] = (
    types.CodeType,
    types.FunctionType,
    types.CellType,
    types.FrameType,
    types.TracebackType,
)

#: Functions and classes of refused modules that somebody has read, by module and name.
_HARMLESS = frozenset(
    {
        "posix.urandom",  # os.urandom
        "genericpath.commonprefix",  # os.path: text in, text out
        "posix._path_normpath",
        *(
            f"posixpath.{name}"
            for name in "basename commonpath dirname isabs join normcase normpath split splitdrive splitext".split()
        ),
        # locks, which only wait: functools.cached_property keeps one until 3.12, queues and log handlers too
        "_thread.RLock",
        "_thread.lock",
        "threading.Condition",
        "_thread.allocate_lock",
        "_thread.get_ident",
        "_thread.get_native_id",
        "_thread._local",
        # numbers and texts about the process
        *(f"posix.{name}" for name in "cpu_count fspath getpid getppid strerror".split()),
        # tables of a database in memory, which is all there is
        *(f"_sqlite3.{name}" for name in "complete_statement register_adapter register_converter".split()),
        "annotationlib.ForwardRef",  # typing's; hardening/annotations.py checks what it evaluates
    }
)

#: Names of modules that are open in part, of numpy and of pandas: what reads attributes by name, runs text, opens files
#: by name or reads pickles. Their values are forbidden wherever they turn up.
_FUNCTIONS: dict[str, str] = {
    "os": "system popen execv execve fork posix_spawn kill open fdopen remove unlink listdir scandir walk read write "
    "putenv getcwd stat dup dup2 pipe",
    "sys": "_getframe settrace setprofile _current_frames addaudithook _clear_type_cache "
    "_getframemodulename call_tracing breakpointhook excepthook displayhook",
    "io": "open open_code FileIO",
    "codecs": "open EncodedFile register StreamReaderWriter",
    "importlib": "import_module reload __import__",
    "traceback": "walk_stack walk_tb extract_stack",
    "logging": "FileHandler currentframe",
    "operator": "attrgetter methodcaller",
    "functools": "wraps update_wrapper",
    "typing": "get_type_hints evaluate_forward_ref",
    "numpy": "load save savez savez_compressed savetxt fromfile memmap fromregex loadtxt genfromtxt",
    "numpy.lib.format": "open_memmap read_array write_array read_magic",
    "numpy.lib.npyio": "NpzFile DataSource",
    "numpy.lib.stride_tricks": "as_strided",
    # not read_sql and its like: they take a connection that the task has, or have SQLAlchemy make one, which the audit
    # hook keeps in memory (test_pandas_files.py) and the kernel layer from files and networks
    "pandas": "eval read_pickle to_pickle HDFStore read_hdf read_clipboard "
    "read_csv read_excel read_json read_html read_xml read_parquet ExcelFile",
}


#: What the interpreter's objects look like as text: a format string may show what it doesn't hand out.
_SHOWN = re.compile(
    r"<code object |<frame at |<cell at |<built-in function (?:eval|exec|open|compile|__import__)>|<module '[^']+' (?:from|\()"
)


class Found(NamedTuple):
    """A forbidden object and the way to it, as user code would write it."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@functools.lru_cache(maxsize=2)
def _by_identity(loaded: int, facades: int) -> tuple[dict[int, str], list[object]]:
    """Forbidden objects by id, and the objects themselves, so that no id is used again.

    The numbers of loaded modules and façades are there for the cache: with them the answer changes.
    """
    found: dict[int, str] = {}
    kept: list[object] = []

    def add(value: object, why: str) -> None:
        found.setdefault(id(value), why)
        kept.append(value)

    for name in _BUILTINS:
        if hasattr(builtins, name):
            add(getattr(builtins, name), f"the builtin {name}")
    for kind in _CONSTRUCTORS:
        add(kind, f"the constructor of {kind.__name__} objects")
    for module, names in _FUNCTIONS.items():
        if module in sys.modules:
            for name in names.split():
                if hasattr(sys.modules[module], name):
                    add(getattr(sys.modules[module], name), f"the real {module}.{name}")
    for name in ("arm", "disarm", "_hook", "_State"):
        add(getattr(audit, name), f"hardening.{name}")
    for value in (Importer, importer, guards.FACADES):
        add(value, "the sandbox's own import machinery")
    add(sys.modules, "sys.modules")
    add(os.environ, "os.environ")
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType):
            add(vars(module), f"the names of module {name}")
    for facade in list(guards.FACADES.values()):
        add(vars(facade), f"the names of façade {facade.__name__}")
    return found, kept


def _origin(value: Any) -> str:
    """``module.name`` of a function or class, as it says itself; "" where it doesn't."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    owner = getattr(value, "__self__", None)
    if isinstance(owner, types.ModuleType):  # a builtin function
        module = owner.__name__
    return f"{module}.{name}" if type(module) is str and type(name) is str else ""


def _is_refused(origin: str) -> bool:
    top = origin.partition(".")[0]
    if top == "builtins":
        return False  # judged one by one
    if not _HARMLESS.isdisjoint((origin, origin.rpartition(".")[0])):  # methods of a harmless class too
        return False
    return top in stdlib.REFUSED or top in _PRIVATE_MODULES


def _is_real(module: types.ModuleType) -> bool:
    """Whether a module holds somebody's code: it is no façade, nor an empty one that the task itself made."""
    if guards.FACADES.get(id(module)) is module:
        return False
    return module.__spec__ is not None or any(module is known for known in sys.modules.values())


def why_forbidden(value: object) -> str | None:
    """Why no task may get hold of this object; None when it may."""
    try:
        return _why_forbidden(value)
    except ReferenceError:  # a proxy of an object that is gone
        return None


def _why_forbidden(value: object) -> str | None:
    why = _by_identity(len(sys.modules), len(guards.FACADES))[0].get(id(value))
    if why is not None:
        return why
    kind = type(value)
    if kind is str:
        shown = _SHOWN.search(value)  # type: ignore[arg-type]
        return f"the text of {shown.group()}" if shown else None
    if kind in _METHODS and value.__name__ in _READERS:  # type: ignore[attr-defined]
        return f"{value!r}, which reads or changes any attribute"
    if kind in _METHODS and value.__name__ in ("format", "format_map") and _of_text(value):  # type: ignore[attr-defined]
        return f"{value!r}, which reads attributes by name"
    if kind is dict and ("__builtins__" in value or GETATTR in value):  # type: ignore[operator]
        return "the names of a module, or builtins"
    if issubclass(kind, types.ModuleType):  # isinstance() would ask the object, which may lie
        return f"the module {value.__name__}" if _is_real(value) else None  # type: ignore[attr-defined,arg-type]
    if issubclass(kind, (types.CodeType, types.FrameType, types.CellType, io.FileIO)):
        return f"a {kind.__name__} object"
    if issubclass(kind, type) and issubclass(value, type):  # type: ignore[arg-type]
        # what a task has for one, and what it makes of that, is its own
        own = guards.TypeFacade in type.__getattribute__(value, "__mro__")  # type: ignore[arg-type]
        return None if own else f"the metaclass {value!r}"
    judged = value if issubclass(kind, (type, *_CALLABLES)) else kind
    if not _is_refused(_origin(judged)):
        return None
    if isinstance(judged, type) and issubclass(judged, tuple) and hasattr(judged, "_fields"):
        return None  # data, whatever module it says it is from (a named tuple of pandas says importlib._bootstrap)
    return f"{_origin(judged)} of a refused module"


_METHODS = (types.WrapperDescriptorType, types.MethodWrapperType, types.MethodDescriptorType, types.BuiltinFunctionType)
_READERS = ("__getattribute__", "__setattr__", "__delattr__", "__subclasses__", "__reduce_ex__")


def _of_text(method: Any) -> bool:
    """Whether a method is a text's, or that of all texts."""
    return str in (getattr(method, "__objclass__", None), *type(getattr(method, "__self__", None)).__mro__)


_CALLABLES = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


# ---- the walk ---------------------------------------------------------------------------

#: Values that lead nowhere: judged, never opened.
_LEAVES = (str, bytes, bytearray, int, float, complex, bool, type(None), type(Ellipsis), type(NotImplemented), range)
_LEAF_TYPES = frozenset(_LEAVES) | {
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.BuiltinFunctionType,
}


class Step(NamedTuple):
    """One object on the way: where it was read from, and how."""

    value: Any
    parent: int
    how: str


def read(value: Any, name: str) -> Any:
    """An attribute, as the compiled program reads it. Raises what that raises."""
    return getattr(value, name) if rules.is_plain(name) else guards.guarded_read(value, name)


class _Caught(Exception):
    """Stops an augmented assignment before anything is stored."""


@functools.cache
def augmented(name: str) -> types.CodeType:
    return compile_task(f"value.{name} += right", _POLICY)


_POLICY = LanguagePolicy()


def handed_over(value: Any, name: str) -> Any:
    """What ``value.name += right`` hands to its right side. Raises what that raises, _Caught where it hands over none."""
    caught: list[Any] = []

    class Right:
        def __radd__(self, other: Any) -> Any:
            caught.append(other)
            raise _Caught

    try:
        run(augmented(name), make_namespace(_POLICY, {"value": value, "right": Right()}))
    except _Caught:
        return caught[0]
    raise _Caught


_LIBRARY: dict[str, Any] = {"__name__": "library"}
exec("def read(value, name):\n    return getattr(value, name)", _LIBRARY)  # noqa: S102 - it spells no name


def library_read(value: Any, name: str) -> Any:
    """An attribute, as a library reads it in a task by a name that came as data. Raises what that raises."""
    importer(_POLICY)  # hardens the process
    _LIBRARY["getattr"] = vars(ast)["getattr"]
    before = audit.arm({})
    try:
        return _LIBRARY["read"](value, name)
    finally:
        audit.disarm(before)


#: Names that lead on from most objects, none of which a task can spell.
_GIVEN = "__globals__ __code__ __closure__ __builtins__ __self__ __spec__ gi_frame tb_frame f_globals".split()


def _names(value: Any) -> list[str]:
    """The attributes that user code may read. A class has those of its metaclass too, which ``dir`` leaves out."""
    kind = type(value)
    names = dict.fromkeys(name for name in dir(value) if type(name) is str)
    if issubclass(kind, type):
        names |= dict.fromkeys(dir(kind))
    elif issubclass(kind, types.ModuleType) and value.__name__ in sys.modules:
        # a façade makes some attributes on demand
        names |= dict.fromkeys(name for name in vars(sys.modules[value.__name__]) if type(name) is str)
    return [name for name in names if rules.may_read(name)]


def _steps(value: Any, items: int) -> Iterator[tuple[Any, str]]:
    """What user code reads from this object directly, and how it would write that."""
    function = value.__func__ if type(value) is types.MethodType else value
    if type(function) is types.FunctionType:
        yield from _given(function)
        for name, inner in list(vars(function).items()):
            if rules.may_read(name):
                yield inner, f".{name}"
        return
    try:
        names = _names(value)
    except Exception:  # a dead proxy
        return
    yield from _given(value)
    for name in names:
        try:
            inner = read(value, name)
        except Exception:  # a refusal, or a property that wants more than there is
            inner = _Caught
        if name in rules.GUARDED_ATTRIBUTES and rules.may_write(name):
            with contextlib.suppress(Exception):
                if getattr(value, name) is not inner:  # the guard has something to say
                    yield handed_over(value, name), f".{name} +="
        if inner is not _Caught:
            yield inner, f".{name}"
    yield guards.class_of(value), ".__class__"
    try:
        contents = _contents(value, items)
    except Exception:  # a container of user code's, which raises
        return
    yield from contents


def _given(value: Any) -> Iterator[tuple[Any, str]]:
    """What a library would read of it that no task may have."""
    for name in _GIVEN:
        with contextlib.suppress(Exception):
            if hasattr(value, name):
                inner = library_read(value, name)
                if why_forbidden(inner) is not None:  # else it is a function that says so, new each time
                    yield inner, f" given {name}"


def _contents(value: Any, items: int) -> list[tuple[Any, str]]:
    """Keys and values of a mapping, items of a sequence or set."""
    kind = type(value)
    if issubclass(kind, Mapping):
        keys = list(itertools.islice(value, items))
        return [(key, f".keys({_short(key)})") for key in keys] + [(value[key], f"[{_short(key)}]") for key in keys]
    if issubclass(kind, (list, tuple, set, frozenset)):
        return [(inner, f"[{index}]") for index, inner in enumerate(itertools.islice(value, items))]
    return []


def _short(key: Any) -> str:
    """A key's text; its ``repr`` may be user code's."""
    try:
        return f"{key!r:.40}"
    except Exception:
        return f"<{type(key).__name__}>"


def walk(roots: Mapping[str, Any], depth: int, *, items: int = 40, seen: dict[int, Any] | None = None) -> list[Found]:
    """Every forbidden object within ``depth`` reads of the roots; ``items`` bounds what is opened of a container.

    ``seen`` holds, by id, objects that need not be looked at (again); those that the walk meets come to them.
    """
    seen = {} if seen is None else seen
    steps: list[Step] = []
    found: list[Found] = []

    def path(index: int) -> str:
        how = ""
        while index >= 0:
            how = steps[index].how + how
            index = steps[index].parent
        return how

    def take(value: Any, parent: int, how: str) -> None:
        # a method is new each time that it is read, and leads nowhere but to its function's attributes
        same = value.__func__ if type(value) is types.MethodType else value
        if id(same) in seen:
            return
        steps.append(Step(value, parent, how))
        seen[id(same)] = same
        why = why_forbidden(value)
        if why is not None:
            found.append(Found(path(len(steps) - 1), why))
        elif type(value) not in _LEAF_TYPES:
            opened.append(len(steps) - 1)

    opened: list[int] = []
    for name, root in roots.items():
        take(root, -1, name)
    for _ in range(depth):
        level, opened = opened, []
        for index in level:
            for value, how in _steps(steps[index].value, items):
                take(value, index, how)
    return found
