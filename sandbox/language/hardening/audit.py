"""The audit hook: while user code runs, the interpreter refuses what no task has any business with.

CPython reports opening files, starting processes, connecting, compiling, and reading the interpreter's own
attributes to audit hooks, which cannot be removed. So this is for everything that a slipped-through object could do.

It judges by who acts. What a task's own frames do, or have the standard library do for them, is refused; what a package
does for itself is refused only where no task has any business with it, and then the kernel layer would say no as well.

The hook is *armed* between :func:`arm` and :func:`disarm`, and in a worker from its task's arrival to its
end (:func:`arm_for_life`): writing the result calls methods of the user's objects too. Tests and the
supervisor's process are not affected. Nothing here replaces the kernel layer.
"""

from __future__ import annotations

import ast
import errno
import gc
import importlib._bootstrap
import importlib._bootstrap_external
import os
import sys
import typing
from _thread import get_ident
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from reptarium.sandbox.language.hardening.made_code import code_refusal, is_of_a_file
from reptarium.sandbox.language.hardening.pickles import may_unpickle
from reptarium.sandbox.language.policy import RefusedAttribute, files
from reptarium.sandbox.language.policy.names import GETATTR
from reptarium.sandbox.language.policy.stdlib import (
    NO_FILES,
    NO_PROCESSES,
    NOT_DATA,
    PICKLES,
    TEXT_AS_CODE,
)

_BOOTSTRAP = vars(importlib._bootstrap)
_BOOTSTRAP_EXTERNAL = vars(importlib._bootstrap_external)


class RefusedOperation(PermissionError):
    """The interpreter was about to do what no task may do."""


class _State:
    """Process-wide, in one place. ``namespace`` is the running task's. An instance: classes are sealed."""

    def __init__(self) -> None:
        self.hooked = False
        self.armed = False
        self.for_life = False
        self.trusted: dict[int, list[FrameType]] = {}  # thread → where it entered trusted code, the innermost last
        self.builtins: object = None  # the running task's
        self.connections = False
        self.files = False
        self.namespace: dict[str, Any] | None = None


state = _State()


#: What no task has any business with, and no library on its behalf. The kernel layer refuses it too; this says why.
_REFUSED_EVENTS = frozenset(
    """
        os.system os.exec os.fork os.forkpty os.spawn os.posix_spawn os.kill os.killpg os.chmod os.chown os.link
        os.symlink os.mkdir os.remove os.rename os.rmdir os.truncate os.utime os.chdir os.chflags os.lchmod os.lockf
        os.setxattr os.removexattr os.getxattr os.listxattr os.startfile os.add_dll_directory subprocess.Popen pty.spawn
        socket.connect socket.bind socket.sendto socket.sendmsg socket.getaddrinfo socket.gethostbyname
        socket.gethostbyaddr socket.getservbyname socket.sethostname signal.pthread_kill sys.setprofile sys.settrace
        sys.addaudithook marshal.loads marshal.load cpython.run_command shutil.rmtree shutil.copyfile shutil.move
        tempfile.mkstemp tempfile.mkdtemp urllib.Request ftplib.connect smtplib.connect poplib.connect imaplib.open
        telnetlib.Telnet.open nntplib.connect syslog.openlog webbrowser.open code.interact builtins.breakpoint
    """.split()
)

#: What asks for connections, and for addresses. The kernel layer hands over what may be had.
_CONNECTING = frozenset(
    """
        socket.connect socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr socket.getservbyname socket.sendmsg
        urllib.Request ftplib.connect smtplib.connect poplib.connect imaplib.open telnetlib.Telnet.open nntplib.connect
    """.split()
)

#: What starts processes.
_STARTING = frozenset("os.system os.exec os.fork os.forkpty os.spawn os.posix_spawn subprocess.Popen pty.spawn".split())

#: What libraries do for themselves (numerical ones ask the loader, through ctypes, for threads of others), and what
#: a task's own code has no name for.
_LIBRARIES_EVENTS = frozenset(
    """
        os.putenv os.unsetenv ctypes.dlopen ctypes.dlsym ctypes.dlsym/handle ctypes.addressof ctypes.call_function
        ctypes.cdata ctypes.cdata/buffer ctypes.string_at ctypes.wstring_at ctypes.PyObj_FromPtr
        ctypes.create_string_buffer gc.get_objects gc.get_referents gc.get_referrers sys._current_frames
        resource.setrlimit resource.prlimit fcntl.fcntl fcntl.ioctl fcntl.flock mmap.__new__
        sqlite3.enable_load_extension sqlite3.load_extension glob.glob glob.glob/2 pathlib.Path.glob pathlib.Path.rglob
    """.split()
)

#: What makes code: for libraries, of text that is looked at first.
_MAKING_CODE = frozenset({"exec", "compile", "code.__new__", "function.__new__"})

#: Why they are refused, where it isn't that they are about the interpreter or the machine.
_WHY: dict[frozenset[str], str] = {
    files.EVENTS: NO_FILES,
    _STARTING: NO_PROCESSES,
    _MAKING_CODE: TEXT_AS_CODE,
    frozenset({"pickle.find_class", "marshal.loads", "marshal.load"}): PICKLES,
}

#: Attributes whose reading CPython reports. User code reads none of them, however it gets there.
_REPORTED_ATTRIBUTES = frozenset(
    "__code__ __globals__ __closure__ __builtins__ gi_frame gi_code cr_frame cr_code ag_frame ag_code "
    "tb_frame tb_next f_globals f_locals f_builtins f_code cell_contents co_code __defaults__ __kwdefaults__".split()
)

#: Modules of the standard library that make code for whoever asks: of names that they check, of annotations.
_STANDARD_MAKERS = frozenset({"collections", "typing", "annotationlib", "inspect"})

#: Modules whose text is more closely looked at than others', before Python compiles it. Filled by packages/registry.py.
CODE_CHECKS: dict[str, Callable[[object], None]] = {}

#: Who makes code of other code, which nobody can look at, says so in its own text.
_SPELLED = frozenset({"replace", "CodeType"})

#: Makes no more than a syntax tree.
_PARSES = ast.parse.__code__
#: Ours that make code, and judge it themselves.
OUR_MAKERS = frozenset(
    f"reptarium.sandbox.language.{name}" for name in ("compile.program", "runtime.run", "hardening.generated_classes")
)

#: Ours that does it in a library's place.
_FOR_LIBRARIES = ("reptarium.sandbox.language.hardening.evaluating",)

#: Ours that open databases for tasks, and limit what can be done with them.
OUR_CONNECTORS = frozenset({"reptarium.sandbox.language.packages.standard.databases"})

#: What libraries look for on a machine and go on without. A path that is not there is what they are ready for.
_ABOUT_THE_MACHINE = ("/proc/", "/sys/", "/etc/", "/run/", "/var/", "/dev/", "/usr/share/")

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


def _reads(mode: object, flags: object) -> bool:
    if isinstance(mode, str) and not set(mode) <= set("rbtU"):
        return False
    written = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    return not (isinstance(flags, int) and flags & written)


def _may_open(path: object, mode: object, flags: object) -> bool:
    """Only what lazy imports and time zones need: the interpreter's own files and the packages', for reading."""
    if type(path) is not str or not _reads(mode, flags):
        return False
    path = os.path.normpath(path)  # "docx/parts/../templates/header.xml"
    if not path.startswith(_ROOTS):
        return False
    # packages bring data of their own (templates, certificates)
    return path.endswith(_SOURCE_SUFFIXES) or "zoneinfo" in path or any(name in path for name in _PACKAGES)


def _is_read(directory: object) -> bool:
    """Whether tasks may know what is in it. What tells another text than it is, is none of ours."""
    return type(directory) is str and os.path.join(directory, "").startswith(_ROOTS)


def _check_open(path: object, mode: object, flags: object) -> None:
    if _may_open(path, mode, flags):
        return
    about_the_machine = type(path) is str and os.path.normpath(path).startswith(_ABOUT_THE_MACHINE)
    if about_the_machine and _reads(mode, flags) and library_acts():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
    # EACCES, as the kernel layer would say it
    text = "opening files is not available in a task (no setting allows it)"
    raise RefusedOperation(errno.EACCES, text, str(path))


def _refuse(event: str, what: str = "") -> typing.NoReturn:
    if event.startswith("socket."):
        raise RefusedOperation(
            f"{event} is not available in a task: it has no network. Let n8n do the request, with "
            "_helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."
        )
    why = next((why for events, why in _WHY.items() if event in events), NOT_DATA)
    raise RefusedOperation(f"{event}{what and f' ({what})'} is not available in a task: {why}. No setting allows it.")


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "sys._getframe":  # our own ask, too: this hook first of all
        if state.armed and args and _is_below(args[0]) and not _is_ours(sys._getframe().f_back):
            raise ValueError("call stack is not deep enough")  # as CPython says where there is none
        return
    if not watching() or (state.files and event in files.EVENTS and event != "sqlite3.connect"):
        return
    if event == "object.__getattr__" or event == "object.__setattr__":
        if args[1] in _REPORTED_ATTRIBUTES and frame_is_users(sys._getframe(1)):
            raise RefusedAttribute(f"the attribute '{args[1]}' is not allowed: it belongs to the interpreter.")
    elif event == "open":
        _check_open(*args)
    elif event in _MAKING_CODE:
        _check_making(event, args, sys._getframe(1))
    elif event in _REFUSED_EVENTS:
        if state.connections and event in _CONNECTING:
            return
        if not (event.startswith("marshal.") and _imports(sys._getframe(1))):
            _refuse(event)
    elif event in _LIBRARIES_EVENTS:
        if not library_acts():
            _refuse(event)
    elif event == "pickle.find_class":
        if not (library_acts() and may_unpickle(*args)):
            _refuse(event)
    elif event == "sqlite3.connect":
        here = type(args[0]) in (str, bytes) and args[0] in (":memory:", b":memory:", "")
        if not (here or state.files):
            _refuse(event, "only ':memory:' is there")
        if not _runs_in(sys._getframe(1), OUR_CONNECTORS) and not library_acts():
            _refuse(event, "a connection is opened once")  # its limits would be gone
    elif (event == "os.listdir" or event == "os.scandir") and not _is_read(args[0]):
        _refuse(event, str(args[0]))


# ---- who acts ---------------------------------------------------------------------------


def frame_is_users(frame: FrameType) -> bool:
    """Whether it is one of a task's own code."""
    # a task that runs for each item has new globals for each, but these builtins nobody else has. (A package may hand
    # them out, and they may be emptied.)
    return GETATTR in frame.f_builtins or frame.f_builtins is state.builtins


def library_acts() -> bool:
    """Whether a package does this for itself: the innermost frame that is neither the standard library's nor ours.

    The standard library does what it is told: by a package, or by the task, which would need a name that it hasn't got.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame_is_users(frame):
            return False
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in sys.stdlib_module_names and module != "reptarium":
            return True
        frame = frame.f_back
    return False


def _imports(frame: FrameType) -> bool:
    """Whether it is the import machinery's own."""
    return frame.f_globals is _BOOTSTRAP or frame.f_globals is _BOOTSTRAP_EXTERNAL


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported here, with no code of the task's in between."""
    while frame is not None and not frame_is_users(frame):
        if _imports(frame):
            return True
        frame = frame.f_back
    return False


def _runs_in(frame: FrameType, modules: Iterable[str]) -> bool:
    """Whether the code is of one of these modules, which names that were handed over with a text may only say."""
    return any(name in sys.modules and vars(sys.modules[name]) is frame.f_globals for name in modules)


def _check_making(event: str, args: tuple[Any, ...], frame: FrameType) -> None:
    while _runs_in(frame, _FOR_LIBRARIES) and frame.f_back is not None:
        frame = frame.f_back
    if _imports(frame) or frame.f_code is _PARSES:
        return
    if frame_is_users(frame):
        _refuse(event, "making code")
    if _runs_in(frame, OUR_MAKERS):
        return
    if not is_of_a_file(frame):
        _refuse(event, "making code")  # text that became code makes none in its turn
    maker = frame.f_globals.get("__name__", "")
    if maker not in _STANDARD_MAKERS and not library_acts():
        _refuse(event, "making code")
    if event == "code.__new__" and _SPELLED.isdisjoint(frame.f_code.co_names):
        _refuse(event, "making code")  # C code asks in the place of whoever calls it, and those know nothing of it
    if event == "compile":
        check = CODE_CHECKS.get(maker)
        if check is not None:
            check(args[0])
        refusal = code_refusal(args[0])
        if refusal:
            raise RefusedOperation(
                f"this code is not made: {refusal}, which no library's own does. No setting allows it."
            )


def allow_files(allowed: bool) -> None:
    """Whether tasks of this process have files of their own: where those lie the kernel layer decides."""
    state.files = allowed


def watching() -> bool:
    """Whether user code, or a library on its behalf, is running now."""
    if not state.armed:
        return False
    entered = state.trusted.get(get_ident())
    return entered is None or _users_since(entered[-1], sys._getframe(1))


#: What runs tasks: its frames are no library's business (parser generators hand out names of any number of callers up).
_BELOW = ("reptarium.sandbox.task.", "reptarium.sandbox.process.", "reptarium.sandbox.language.runtime.run")


def _is_below(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_BELOW)


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("reptarium.sandbox.")


def _users_since(entered: FrameType, frame: FrameType | None) -> bool:
    """Whether trusted code has called the user's after all: a module that is imported warns, or logs."""
    while frame is not None and frame is not entered:
        if frame_is_users(frame):
            return True
        frame = frame.f_back
    return False


def arm(namespace: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
    """User code with these globals is about to run. Returns what :func:`disarm` needs to restore."""
    global _ROOTS
    if not state.hooked:
        _ROOTS = _read_roots()
        sys.addaudithook(_hook)
        state.hooked = True
    previous = (state.armed, state.namespace)
    state.armed, state.namespace = True, namespace
    state.builtins = namespace.get("__builtins__")
    return previous


def disarm(previous: tuple[bool, dict[str, Any] | None]) -> None:
    """User code has ended."""
    if not state.for_life:
        state.armed, state.namespace = previous


def allow_connections() -> None:
    """Tasks of this process may ask for connections."""
    state.connections = True


def arm_for_life() -> None:
    """A task has come to this process, which will serve nothing else: no :func:`disarm` from here on."""
    arm({})
    state.for_life = True


class trusted:  # used like a function; a generator-made one costs each task five calls
    """Trusted code (an import, mostly) may do what user code may not; the user's, where it is called all the same, may
    not.

    The cycle collector waits meanwhile: a user's ``__del__`` or ``finally`` must not run in here.
    """

    __slots__ = ("_collecting",)

    def __enter__(self) -> None:
        self._collecting = gc.isenabled()
        gc.disable()
        frame = sys._getframe(1)
        state.trusted.setdefault(get_ident(), []).append(frame)

    def __exit__(self, *_: object) -> None:
        thread = get_ident()
        state.trusted[thread].pop()
        if not state.trusted[thread]:
            del state.trusted[thread]
        if self._collecting:
            gc.enable()
