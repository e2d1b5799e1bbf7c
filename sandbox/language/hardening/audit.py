"""The second line inside the interpreter: an audit hook, and library code that turns names into code.

The transformer and the façades decide what user code can name. Two things are left that no name
shows, and both are closed in the process itself, which serves nothing but user code:

* **Library functions that read attributes, or build code, from data**: ``string.Formatter``,
  ``UserString.format``, the string annotations behind ``typing.get_type_hints``, the field names that
  ``dataclasses`` pastes into source text. They are replaced by versions that check what they are given.
* **Everything that a slipped-through object could do.** CPython reports opening files, starting
  processes, connecting, compiling, and reading the interpreter's own attributes to audit hooks,
  which cannot be removed. While user code runs, ours refuses what no task has any business with.

The hook is *armed* between :func:`arm` and :func:`disarm`, and in a worker from its task's arrival to its
end (:func:`arm_for_life`): writing the result calls methods of the user's objects too. Tests and the
supervisor's process are not affected. Nothing here replaces the kernel layer.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import gc
import keyword
import logging
import os
import string
import sys
import types
import typing
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from reptarium.sandbox.language import jinja_gadgets
from reptarium.sandbox.language.guards import TypeFacade, formats, guarded_getattr
from reptarium.sandbox.language.hardening.annotations import annotation_refusal
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import GETATTR, is_field_name, may_read


class RefusedOperation(PermissionError):
    """The interpreter was about to do what no task may do."""


class _State:
    """Process-wide, in one place. ``namespace`` is the running task's. An instance: classes are sealed."""

    def __init__(self) -> None:
        self.hooked = False
        self.patched = False
        self.armed = False
        self.for_life = False
        self.trusted = 0
        self.namespace: dict[str, Any] | None = None


_state = _State()


_REFUSED_EVENTS = frozenset(
    """
        os.system os.exec os.fork os.forkpty os.spawn os.posix_spawn os.kill os.killpg os.putenv
        os.unsetenv os.chmod os.chown os.link os.symlink os.mkdir os.remove os.rename os.rmdir
        os.truncate os.utime os.chdir os.chflags os.lchmod os.lockf os.setxattr os.removexattr
        os.getxattr os.listxattr os.startfile os.add_dll_directory subprocess.Popen pty.spawn
        socket.connect socket.bind socket.sendto socket.sendmsg socket.getaddrinfo socket.gethostbyname
        socket.gethostbyaddr socket.getservbyname socket.sethostname ctypes.dlopen ctypes.dlsym
        ctypes.dlsym/handle ctypes.addressof ctypes.call_function ctypes.cdata ctypes.cdata/buffer
        ctypes.string_at ctypes.wstring_at ctypes.PyObj_FromPtr ctypes.create_string_buffer
        gc.get_objects gc.get_referents gc.get_referrers pickle.find_class signal.pthread_kill
        resource.setrlimit resource.prlimit fcntl.fcntl fcntl.ioctl fcntl.flock mmap.__new__
        sqlite3.connect sqlite3.enable_load_extension sys.setprofile sys.settrace sys._current_frames
        sys.set_asyncgen_hooks_firstiter sys.set_asyncgen_hooks_finalizer sys.addaudithook
        cpython.run_command shutil.rmtree shutil.copyfile shutil.move tempfile.mkstemp tempfile.mkdtemp
        urllib.Request ftplib.connect smtplib.connect poplib.connect imaplib.open telnetlib.Telnet.open
        nntplib.connect syslog.openlog webbrowser.open glob.glob glob.glob/2 pathlib.Path.glob
        pathlib.Path.rglob code.interact builtins.breakpoint
    """.split()
)

#: What makes code: for :data:`_CODE_MAKERS` only.
_MAKING_CODE = frozenset({"exec", "compile", "code.__new__", "function.__new__", "marshal.loads", "marshal.load"})

#: Attributes whose reading CPython reports. User code reads none of them, however it gets there.
_REPORTED_ATTRIBUTES = frozenset(
    "__code__ __globals__ __closure__ __builtins__ gi_frame gi_code cr_frame cr_code ag_frame ag_code "
    "tb_frame tb_next f_globals f_locals f_builtins f_code cell_contents co_code __defaults__ __kwdefaults__".split()
)

#: Modules that make code from text by design, with text that they check or that is not the user's.
_CODE_MAKERS = frozenset(
    "collections typing annotationlib ast importlib._bootstrap importlib._bootstrap_external "
    "_frozen_importlib _frozen_importlib_external reptarium.sandbox.language.compile.program "
    "reptarium.sandbox.language.runtime.run reptarium.sandbox.language.hardening.audit "
    "attr._make jinja2.environment jinja2.debug pydantic._internal._typing_extra typing_inspection.introspection "
    "typing_extensions".split()
)

_PACKAGES = ("/site-packages/", "/dist-packages/")
_SOURCE_SUFFIXES = (".py", ".pyc", ".so", ".pyi")


def _read_roots() -> tuple[str, ...]:
    import site
    import zoneinfo

    roots = [*sys.path, *zoneinfo.TZPATH, os.path.dirname(os.__file__), *site.getsitepackages()]
    return tuple(sorted({os.path.join(os.path.realpath(root), "") for root in roots if root} | {
        os.path.join(root, "") for root in roots if root and os.path.isabs(root)
    }))  # fmt: skip


_ROOTS: tuple[str, ...] = ()


def _may_open(path: object, mode: object, flags: object) -> bool:
    """Only what lazy imports and time zones need: the interpreter's own files and the packages', for reading."""
    if type(path) is not str or (isinstance(mode, str) and not set(mode) <= set("rbtU")):
        return False
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
        return False
    if ".." in path.split("/") or not path.startswith(_ROOTS):
        return False
    # packages bring data of their own (templates, certificates)
    return path.endswith(_SOURCE_SUFFIXES) or "zoneinfo" in path or any(name in path for name in _PACKAGES)


def _refuse(event: str, what: str = "") -> typing.NoReturn:
    if event.startswith("socket."):
        raise RefusedOperation(
            f"{event} is not available in a task: it has no network. Let n8n do the request, with "
            "_helpers.http_request(…) or an HTTP Request node. No setting allows it."
        )
    raise RefusedOperation(f"{event}{what and f' ({what})'} is not available in a task. No setting allows it.")


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not watching():
        return
    if event == "object.__getattr__" or event == "object.__setattr__":
        if args[1] in _REPORTED_ATTRIBUTES and _frame_is_users(sys._getframe(1)):
            raise RefusedAttribute(f"the attribute '{args[1]}' is not allowed: it belongs to the interpreter.")
    elif event == "open":
        if not _may_open(*args):
            # EACCES, as the kernel layer would say it
            raise RefusedOperation(13, "opening files is not available in a task (no setting allows it)", str(args[0]))
    elif event in _MAKING_CODE:
        maker = sys._getframe(1).f_globals.get("__name__")
        if maker not in _CODE_MAKERS:
            _refuse(event, "making code")
        if maker == "jinja2.environment" and event == "compile":
            jinja_gadgets.check_source(args[0])
    elif event in _REFUSED_EVENTS:
        _refuse(event)
    elif (event == "os.listdir" or event == "os.scandir") and not os.path.join(str(args[0]), "").startswith(_ROOTS):
        _refuse(event, str(args[0]))


def _frame_is_users(frame: FrameType) -> bool:
    # a task that runs for each item has new globals for each, but these builtins nobody else has
    return GETATTR in frame.f_builtins


def watching() -> bool:
    """Whether user code, or a library on its behalf, is running now."""
    return _state.armed and not _state.trusted


def arm(namespace: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
    """User code with these globals is about to run. Returns what :func:`disarm` needs to restore."""
    global _ROOTS
    if not _state.hooked:
        _ROOTS = _read_roots()
        sys.addaudithook(_hook)
        _state.hooked = True
    previous = (_state.armed, _state.namespace)
    _state.armed, _state.namespace = True, namespace
    return previous


def disarm(previous: tuple[bool, dict[str, Any] | None]) -> None:
    """User code has ended."""
    if not _state.for_life:
        _state.armed, _state.namespace = previous


def arm_for_life() -> None:
    """A task has come to this process, which will serve nothing else: no :func:`disarm` from here on."""
    arm({})
    _state.for_life = True


class trusted:  # used like a function; a generator-made one costs each task five calls
    """Trusted code that runs nothing of the user's (an import, mostly) may do what user code may not.

    The cycle collector waits meanwhile: a user's ``__del__`` or ``finally`` must not run in here.
    """

    __slots__ = ("_collecting",)

    def __enter__(self) -> None:
        self._collecting = gc.isenabled()
        gc.disable()
        _state.trusted += 1

    def __exit__(self, *_: object) -> None:
        _state.trusted -= 1
        if self._collecting:
            gc.enable()


# ---- string annotations ---------------------------------------------------------------------


def check_annotation(text: object) -> None:
    """Refuse annotation text that is more than names, subscripts, dots, literals and ``|``."""
    if type(text) is not str:
        raise TypeError("a forward reference must be exactly str")
    if not watching():
        return
    refusal = annotation_refusal(text)
    if refusal:
        raise RefusedAttribute(refusal)


def _is_type(value: Any, depth: int = 0) -> bool:
    if value is None or value is Ellipsis or isinstance(value, (str, int, bytes, bool)) or depth > 20:
        return depth <= 20
    if isinstance(value, type):
        return value is TypeFacade or not issubclass(value, type)
    if isinstance(value, (list, tuple)):
        return all(_is_type(each, depth + 1) for each in value)
    if type(value).__module__ in ("typing", "types", "typing_extensions", "annotationlib", "collections.abc"):
        if isinstance(value, (types.FunctionType, types.ModuleType, types.BuiltinFunctionType)):
            return False
        return all(_is_type(each, depth + 1) for each in getattr(value, "__args__", ()) or ())
    # Literals of enums, Annotated's metadata: values of user code's own
    return not callable(value) and not isinstance(value, (types.ModuleType, Mapping))


def _patch_forward_references() -> None:
    reference: Any = typing.ForwardRef
    original_init: Callable[..., None] = reference.__init__

    def __init__(self: Any, arg: str, *args: Any, **kwargs: Any) -> None:
        check_annotation(arg)
        if watching():
            args = args[:1]  # up to 3.13: is_argument, module
            kwargs = {name: value for name, value in kwargs.items() if name not in ("module", "owner")}
        original_init(self, arg, *args, **kwargs)

    reference.__init__ = __init__
    for name in ("_evaluate", "evaluate"):
        original = getattr(reference, name, None)
        if original is not None:
            setattr(reference, name, _evaluating(original))


def _evaluating(original: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(self: Any, *args: Any, **kwargs: Any) -> Any:
        namespace = _state.namespace
        if namespace is None or not watching():
            return original(self, *args, **kwargs)
        check_annotation(self.__forward_arg__)
        # Whatever module the class claims to come from, its text is read with the task's own names
        if args:
            args = (namespace, *args[1:])
        elif "globalns" in kwargs:
            kwargs["globalns"] = namespace
        else:  # 3.14
            kwargs = {**kwargs, "globals": namespace}
            kwargs.pop("owner", None)
        result = original(self, *args, **kwargs)
        if not _is_type(result):
            raise RefusedAttribute(f"the annotation {self.__forward_arg__!r} is not allowed: it isn't a type")
        return result

    return evaluate


# ---- generated classes -----------------------------------------------------------------------


#: What the source text consists of that ``dataclasses`` makes for a class (read off CPython 3.11 to 3.14).
_DATACLASS_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Expr, ast.Return, ast.If, ast.Raise, ast.Pass,
    ast.Call, ast.Attribute, ast.Name, ast.Constant, ast.Tuple, ast.Set, ast.JoinedStr, ast.FormattedValue, ast.BinOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.expr_context, ast.operator, ast.boolop, ast.cmpop,
)  # fmt: skip
_DATACLASS_DUNDERS = frozenset("__class__ __qualname__ __setattr__ __delattr__ __post_init__".split())


def _checked_field_name(slot: Any) -> Any:
    """``dataclasses.Field.name`` that stays an identifier. Holds nothing that user code could change."""

    class FieldName:
        __slots__ = ()

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return self if instance is None else slot.__get__(instance, owner)

        def __set__(self, instance: Any, value: object) -> None:
            if value is not None and not (is_field_name(value) or (not _state.armed and type(value) is str)):
                raise RefusedAttribute(f"{value!r} is not allowed as a field's name")
            slot.__set__(instance, value)

    return FieldName()


def _checked_exec(text: str, namespace: dict[str, Any], made: dict[str, Any]) -> None:
    """``exec`` for ``dataclasses``, which pastes fields' names into source text: whatever lied about a name,
    the text must be made of what it makes of identifiers.
    """
    if watching():
        for node in ast.walk(ast.parse(text)):
            honest = isinstance(node, _DATACLASS_NODES)
            if isinstance(node, ast.Attribute):
                honest = is_field_name(node.attr) or node.attr in _DATACLASS_DUNDERS
            elif isinstance(node, ast.Call):
                honest = isinstance(node.func, ast.Name) or (
                    isinstance(node.func, ast.Attribute) and node.func.attr in _DATACLASS_DUNDERS
                )
            if not honest:
                raise RefusedAttribute("a name of this dataclass's fields is not allowed: it isn't an identifier")
    exec(text, namespace, made)  # noqa: S102


def _checked_namedtuple(typename: str, field_names: Any, **options: Any) -> Any:
    """``collections.namedtuple`` with fields that name nothing of the interpreter's."""
    if isinstance(field_names, str):
        field_names = field_names.replace(",", " ").split()
    names = [str(name) for name in field_names]
    for name in names:
        if name.isidentifier() and not keyword.iskeyword(name) and not may_read(name):
            raise RefusedAttribute(f"{name!r} is not allowed as a field's name")
    options.setdefault("module", sys._getframe(1).f_globals.get("__name__", "__main__"))
    if watching():
        options["module"] = "__main__"
    return _namedtuple(typename, names, **options)


_namedtuple = collections.namedtuple


def _formatter_get_field(self: Any, field_name: str, args: Any, kwargs: Any) -> Any:
    from _string import formatter_field_name_split  # type: ignore[import-not-found]

    first, rest = formatter_field_name_split(field_name)
    obj = self.get_value(first, args, kwargs)
    for is_attribute, name in rest:
        obj = guarded_getattr(obj, name) if is_attribute else obj[name]
    return obj, first


def _user_string_format(self: Any, /, *args: Any, **kwargs: Any) -> str:
    return formats.unbound_format(str(self.data), *args, **kwargs)


def _user_string_format_map(self: Any, mapping: Any) -> str:
    return formats.unbound_format_map(str(self.data), mapping)


def _brace_style_format(original: Callable[..., str]) -> Callable[..., str]:
    def _format(self: Any, record: Any) -> str:
        formats.check_format(self._fmt)
        return original(self, record)

    return _format


def harden() -> None:
    """Replace the gadgets of the standard library. Once per process, before user code."""
    if _state.patched:
        return
    _state.patched = True
    _patch_forward_references()
    setattr(string.Formatter, "get_field", _formatter_get_field)  # noqa: B010 - a method assignment, for mypy
    setattr(collections.UserString, "format", _user_string_format)  # noqa: B010
    setattr(collections.UserString, "format_map", _user_string_format_map)  # noqa: B010
    setattr(dataclasses.Field, "name", _checked_field_name(dataclasses.Field.__dict__["name"]))  # noqa: B010
    setattr(dataclasses, "exec", _checked_exec)  # noqa: B010
    setattr(collections, "namedtuple", _checked_namedtuple)  # noqa: B010
    style: Any = logging.StrFormatStyle
    style._format = _brace_style_format(style._format)
