"""What the doctor's workers try: names, what must come of each, and programs. All harmless: signal 0, an unused name, a
read of one byte.
"""

from __future__ import annotations

# name, layer, what must come of it, expression in a worker. `SUPERVISOR` is our pid, `UNUSED` a name of our
# own, `CALL` makes a system call by name.
ATTEMPTS: tuple[tuple[str, str, str, str], ...] = (
    ("read /etc/passwd", "landlock", "refused", 'open("/etc/passwd").read(1)'),
    ("read the runner's own code", "landlock", "refused", "open(OWN).read(1)"),
    (
        "read the supervisor's environment",
        "landlock",
        "refused",
        'open(f"/proc/{SUPERVISOR}/environ", "rb").read(1)',
    ),
    ("list /proc", "landlock", "refused", 'os.listdir("/proc")'),
    (
        "create a file in the machine's /tmp",
        "seccomp",
        "refused",
        'os.close(os.open(not_own("/tmp/") + UNUSED, os.O_CREAT | os.O_WRONLY))',
    ),
    ("make a directory in /dev/shm", "seccomp", "refused", 'os.mkdir("/dev/shm/" + UNUSED)'),
    ("map shared memory", "seccomp", "refused", 'CALL("mmap", 0, 4096, 3, 0x21, -1, 0)'),
    ("open a TCP socket", "seccomp", "refused", "socket.socket(socket.AF_INET).close()"),
    ("open a Unix socket", "seccomp", "refused", "socket.socket(socket.AF_UNIX).close()"),
    ("fork", "seccomp", "refused", "os.fork() or os._exit(0)"),
    ("execute a program", "seccomp", "refused", 'os.execv("/bin/true", ["true"])'),
    ("signal the supervisor", "seccomp", "refused", "os.kill(SUPERVISOR, 0)"),
    ("signal everybody", "seccomp", "refused", "os.kill(-1, 0)"),
    ("trace another process", "seccomp", "refused", 'CALL("ptrace", 0, 0, 0, 0)'),
    ("enter a user namespace", "seccomp", "refused", 'CALL("unshare", 0x10000000)'),
    ("load a BPF program", "seccomp", "refused", 'CALL("bpf", 5, 0, 0)'),
    ("become root", "uid", "refused", "os.setuid(0)"),
    ("use more memory than allowed", "rlimits", "refused", "bytearray(MEMORY + 2**26)"),
    ("map more than it may address", "rlimits", "refused", 'CALL("mmap", 0, MEMORY + 2**40, 1, 0x4022, -1, 0)'),
    (
        "open too many files",
        "rlimits",
        "refused",
        "[os.open('/dev/null', os.O_RDONLY) for _ in range(FILES + 1)]",
    ),
    (
        "raise its limits",
        "seccomp",
        "refused",
        '(most := ctypes.create_string_buffer((2**20).to_bytes(8, "little") * 2)) and '
        'CALL("prlimit64", 0, 7, ctypes.addressof(most), 0)',
    ),
    ("become dumpable again", "seccomp", "refused", 'CALL("prctl", 4, 1, 0, 0, 0)'),
    ("import a module late", "landlock", "works", '__import__("colorsys")'),
    ("run a thread", "seccomp", "works", "thread()"),
    ("use a time zone", "landlock", "works", '__import__("zoneinfo").ZoneInfo("UTC")'),
    ("random bytes", "seccomp", "works", "os.urandom(16)"),
    ("tell the time", "seccomp", "works", "time.localtime()"),
)


def scratch_attempts(wanted: str) -> tuple[tuple[str, str, str, str], ...]:
    """What REPTARIUM_SCRATCH decides, and what it doesn't."""
    return (
        ("write a file where it works", "landlock", wanted, 'open("reptarium-doctor", "w").close()'),
        ("write a file beside that", "landlock", "refused", 'open("../reptarium-doctor", "w").close()'),
        ("leave a link there", "seccomp", "refused", 'os.symlink("/etc", "reptarium-doctor")'),
    )


#: name, the language mode that lets it through, a task of a person's: what the language mode decides. In the other
#: mode it is refused.
IN_A_MODE = (
    ("run text as code, as a task", "python", "return eval(\"'works'\")"),
    ("read a function's globals, as a task", "python", "return 'works' if (lambda: 0).__globals__ else ''"),
)

PROGRAM = """
import ctypes, errno, os, socket, threading, time
from reptarium.sandbox.kernel import syscalls
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 7
def CALL(name, *args):
    nr = syscalls.number(name, syscalls.machine())
    if _libc.syscall(nr, *args, *(0,) * (6 - len(args))) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def not_own(place):  # a task's own /tmp is its scratch directory
    if os.path.samefile(place, "."): raise OSError(errno.ENOENT, "the machine's isn't there")
    return place
def thread():
    ran = []
    started = threading.Thread(target=ran.append, args=(1,)); started.start(); started.join()
    if not ran: raise RuntimeError("the thread did not run")
try:
    {expression}
    result = "works"
except socket.gaierror as error:
    result = "ENOENT" if error.errno == socket.EAI_NONAME else str(error)  # the resolver's answer, not its silence
except OSError as error:
    result = errno.errorcode.get(error.errno, str(error))
except MemoryError:
    result = "MemoryError"
except BaseException as error:
    result = type(error).__name__
"""


# LISTED is a port of ours, listed for this.
CONNECTING = (
    ("connect to what is listed", "works", "socket.create_connection(('127.0.0.1', LISTED), 5).close()"),
    ("connect to what isn't", "refused", "socket.create_connection(('127.0.0.2', LISTED), 5)"),
    ("send UDP", "refused", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', LISTED))"),
    ("ask for a name that isn't listed", "refused", "socket.getaddrinfo('reptarium-doctor.test', LISTED)"),
    ("open a Unix socket while it may connect", "refused", "socket.socket(socket.AF_UNIX)"),
    ("listen", "refused", "socket.socket().listen()"),
)
