"""The audit hook: while user code runs, the interpreter refuses what no task has any business with.

CPython reports opening files, starting processes, connecting, compiling, and reading the interpreter's own
attributes to audit hooks, which cannot be removed. So this is for everything that a slipped-through object could do.

The hook is *armed* between :func:`arm` and :func:`disarm`, and in a worker from its task's arrival to its
end (:func:`arm_for_life`): writing the result calls methods of the user's objects too. Tests and the
supervisor's process are not affected. Nothing here replaces the kernel layer.
"""

from __future__ import annotations

import gc
import os
import sys
import typing
from collections.abc import Callable
from types import FrameType
from typing import Any

from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import GETATTR


class RefusedOperation(PermissionError):
    """The interpreter was about to do what no task may do."""


class _State:
    """Process-wide, in one place. ``namespace`` is the running task's. An instance: classes are sealed."""

    def __init__(self) -> None:
        self.hooked = False
        self.armed = False
        self.for_life = False
        self.trusted = 0
        self.connections = False
        self.namespace: dict[str, Any] | None = None


state = _State()


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

#: What asks for connections, and for addresses. The kernel layer hands over what may be had.
_CONNECTING = frozenset(
    """
        socket.connect socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr socket.getservbyname
        socket.sendmsg urllib.Request ftplib.connect smtplib.connect poplib.connect imaplib.open
        telnetlib.Telnet.open nntplib.connect
    """.split()
)

#: What makes code: for :data:`CODE_MAKERS` only.
_MAKING_CODE = frozenset({"exec", "compile", "code.__new__", "function.__new__", "marshal.loads", "marshal.load"})

#: Attributes whose reading CPython reports. User code reads none of them, however it gets there.
_REPORTED_ATTRIBUTES = frozenset(
    "__code__ __globals__ __closure__ __builtins__ gi_frame gi_code cr_frame cr_code ag_frame ag_code "
    "tb_frame tb_next f_globals f_locals f_builtins f_code cell_contents co_code __defaults__ __kwdefaults__".split()
)

#: Modules that make code from text by design → what looks at the text first. None: they check it themselves, or it is
#: not the user's. Packages add theirs (packages/registry.py).
CODE_MAKERS: dict[str, Callable[[object], None] | None] = dict.fromkeys(
    "collections typing annotationlib ast importlib._bootstrap importlib._bootstrap_external "
    "_frozen_importlib _frozen_importlib_external reptarium.sandbox.language.compile.program "
    "reptarium.sandbox.language.runtime.run reptarium.sandbox.language.hardening.generated_classes".split()
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
            "_helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."
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
        if maker not in CODE_MAKERS:
            _refuse(event, "making code")
        check = CODE_MAKERS[maker]
        if check is not None and event == "compile":
            check(args[0])
    elif event in _REFUSED_EVENTS:
        if state.connections and event in _CONNECTING:
            return
        _refuse(event)
    elif (event == "os.listdir" or event == "os.scandir") and not os.path.join(str(args[0]), "").startswith(_ROOTS):
        _refuse(event, str(args[0]))


def _frame_is_users(frame: FrameType) -> bool:
    # a task that runs for each item has new globals for each, but these builtins nobody else has
    return GETATTR in frame.f_builtins


def watching() -> bool:
    """Whether user code, or a library on its behalf, is running now."""
    return state.armed and not state.trusted


def arm(namespace: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
    """User code with these globals is about to run. Returns what :func:`disarm` needs to restore."""
    global _ROOTS
    if not state.hooked:
        _ROOTS = _read_roots()
        sys.addaudithook(_hook)
        state.hooked = True
    previous = (state.armed, state.namespace)
    state.armed, state.namespace = True, namespace
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
    """Trusted code that runs nothing of the user's (an import, mostly) may do what user code may not.

    The cycle collector waits meanwhile: a user's ``__del__`` or ``finally`` must not run in here.
    """

    __slots__ = ("_collecting",)

    def __enter__(self) -> None:
        self._collecting = gc.isenabled()
        gc.disable()
        state.trusted += 1

    def __exit__(self, *_: object) -> None:
        state.trusted -= 1
        if self._collecting:
            gc.enable()
