"""Frames between supervisor, zygote and worker. Shared with ``pool/``; no I/O in here.

A *worker frame* is an 8-byte header (kind: u8, three zero bytes, payload length: u32, little
endian) and its payload, over a stream socketpair that belongs to one worker. A *control
message* is one JSON object per packet of a ``SOCK_SEQPACKET`` socketpair between supervisor
and zygote; descriptors ride along as ``SCM_RIGHTS`` (unix(7)).

The two sides don't trust each other equally. What the supervisor sends is taken as it is.
What a worker sends is hostile from its first byte: :class:`FrameParser` knows the kinds that
a worker may send, a limit for each, and raises :class:`ProtocolViolation` for anything else.
Payloads are JSON with strict types, never pickle or marshal.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from reptarium.sandbox.kernel import IsolationConfig, LayerStatus, TaskLimits
from reptarium.sandbox.language.policy import LanguagePolicy

HEADER = struct.Struct("<BxxxI")
_LENGTH = struct.Struct("<I")

#: The largest payload that the length field can carry, in bytes.
MAX_FRAME = 2**32 - 1
#: The longest head of a payload from a worker, in bytes: it is decoded in one call.
MAX_HEAD = 64 * 1024
#: How many imports a result's head tells of at most, and how long their names may be.
MAX_IMPORTS, MAX_NAME = 32, 64
#: Said of a task that has imported nothing new.
NO_IMPORTS = msgspec.Raw(b"")


class Kind(enum.IntEnum):
    """What a frame is. 1–15 go to the worker, 16–31 come from it."""

    TASK = 1
    RPC_ANSWER = 2
    READY = 16
    CONSOLE = 17
    RESULT = 18
    FAILED = 19
    RPC = 20


# A CONSOLE frame is a u64, how many bytes of prints came before it, and then prints: each a JSON list of strings and a
# line feed, which JSON text has none of. A frame that is longer than :data:`PRINTS_ROOM` has a single one. What waits
# to be sent lies in memory that the supervisor reads, too (``PRINTS_SIZE`` bytes, one such area a worker): a u64, how
# many bytes came before what lies there, a u64, how many bytes that is, and these. So what was printed is there
# whatever the worker does then, or whatever is done to it, and a print is no system call.
#
# A print after a silence (``PRINTS_QUIET`` seconds; the first of a task, too) goes out at once; the supervisor looks
# for those that follow, until it has found none for twice as long.
PRINTS_PLACE = struct.Struct("<Q")
PRINTS_HEAD = 2 * PRINTS_PLACE.size
PRINTS_SIZE = 64 * 1024
PRINTS_ROOM = PRINTS_SIZE - PRINTS_HEAD
PRINTS_QUIET = 0.1


class ProtocolViolation(Exception):
    """A worker said something that no honest worker says."""


class FrameTooLarge(ProtocolViolation):
    """A frame over the limit of its kind. ``kind`` tells which, ``size`` is in bytes."""

    def __init__(self, kind: Kind, size: int, limit: int) -> None:
        super().__init__(f"a {kind.name} frame of {size} bytes is over the limit of {limit}")
        self.kind, self.size, self.limit = kind, size, limit


class FrameHeader(msgspec.Struct, frozen=True):
    """A parsed frame header: ``length`` bytes of payload follow."""

    kind: Kind
    length: int


def parse_header(raw: bytes | bytearray | memoryview, limits: Mapping[Kind, int]) -> FrameHeader:
    """The header of a frame from a worker.

    ``limits`` maps the kinds that may come to their payload limits in bytes. Raises
    :class:`ProtocolViolation` for any other kind and for non-zero padding, and
    :class:`FrameTooLarge` before a single byte of the payload is read.
    """
    number, length = HEADER.unpack(raw)
    if raw[1] or raw[2] or raw[3]:
        raise ProtocolViolation("padding in a frame header")
    try:
        kind = Kind(number)
        limit = limits[kind]
    except (ValueError, KeyError):
        raise ProtocolViolation(f"a frame of kind {number} is not a worker's to send") from None
    if length > limit:
        raise FrameTooLarge(kind, length, limit)
    return FrameHeader(kind, length)


def frame(kind: int, *parts: bytes | bytearray | memoryview) -> list[bytes | bytearray | memoryview]:
    """A frame as buffers to write one after the other (large parts are not copied)."""
    length = 0
    for part in parts:
        length += len(part)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes does not fit into its length field")
    return [HEADER.pack(kind, length), *parts]


def with_head(head: msgspec.Struct, *bodies: bytes | memoryview) -> list[bytes | memoryview]:
    """A payload of a JSON head, preceded by its length (u32), and raw bodies."""
    encoded = msgspec.json.encode(head)
    return [_LENGTH.pack(len(encoded)) + encoded, *bodies]


def split_head(payload: bytes | bytearray | memoryview, most: int = MAX_FRAME) -> tuple[memoryview, memoryview]:
    """The head (JSON) and the rest of a payload that :func:`with_head` made.

    Raises :class:`ProtocolViolation` when the lengths don't add up, and for a head of more than ``most`` bytes.
    """
    view = memoryview(payload)
    if len(view) < _LENGTH.size:
        raise ProtocolViolation("a payload without its head")
    (size,) = _LENGTH.unpack(view[: _LENGTH.size])
    if size > most:
        raise ProtocolViolation(f"a head of {size} bytes")
    end = _LENGTH.size + size
    if end > len(view):
        raise ProtocolViolation("a head longer than its payload")
    return view[_LENGTH.size : end], view[end:]


# ---- to the worker -------------------------------------------------------------------


class TaskTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What one task may take, where that isn't what its worker was made with (:class:`ZygoteConfig`). In bytes."""

    kernel: TaskLimits
    max_result: int
    max_console: int
    rpc_max_bytes: int


class TaskHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Head of a TASK frame; the raw JSON of the items follows, then that of the query.

    ``per_item`` selects ``runOnceForEachItem``. ``terms``: None: those of the configuration.
    """

    code: str
    per_item: bool = False
    items_size: int
    query_size: int = 0
    terms: TaskTerms | None = None


class RpcAnswerHead(msgspec.Struct, frozen=True):
    """Head of an RPC_ANSWER frame; raw JSON data follows when ``ok``, an error text (UTF-8) otherwise."""

    call: int
    ok: bool


# ---- from the worker -----------------------------------------------------------------


class ResultHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """Head of a RESULT frame; three raw JSON values follow: result, custom data, static data.

    The sizes are those of the last two in bytes; 0 means absent. ``again``: the worker would run the same code once
    more; whoever reads it takes it for a hint. ``imported``: the packages that the task has imported, each with the
    milliseconds of processor time that this took; not decoded with the rest: what is wrong with a hint ends nothing.
    """

    custom_data_size: int = 0
    static_data_size: int = 0
    again: bool = False
    imported: msgspec.Raw = NO_IMPORTS


FailureKind = Literal["user", "syntax", "policy", "memory", "result", "input", "internal"]


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Payload of a FAILED frame: why the task ended without a result.

    ``line`` counts from 1 in the person's own code, ``item`` from 0. ``stack`` shows only the
    person's frames; ``stderr`` is the tail of what the code wrote to standard error.
    """

    kind: FailureKind
    message: str
    description: str = ""
    line: int | None = None
    item: int | None = None
    stack: str = ""
    stderr: str = ""


class RpcHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Head of an RPC frame; raw JSON params follow. ``call`` is the worker's own number for it.

    ``via`` selects the message it becomes: ``rpc`` is ``runner:rpc``, ``data`` is
    ``runner:taskdatarequest``, ``nodes`` is ``runner:nodetypesrequest``.
    """

    call: int
    name: str
    via: Literal["rpc", "data", "nodes"] = "rpc"


# ---- supervisor and zygote -----------------------------------------------------------

# What the supervisor takes from a zygote is bounded here: a number that can't be is no message.
_Pid = Annotated[int, msgspec.Meta(ge=1, le=2**22)]  # PID_MAX_LIMIT
_Status = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Errno = Annotated[int, msgspec.Meta(ge=0, le=4095)]  # MAX_ERRNO
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**52)]


class ZygoteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """First control message to the zygote: everything that it and its workers need to know.

    ``environ`` is what tasks may see of the runner's environment (empty unless the admin
    released it), ``time_zone`` the runner's ``TZ`` (empty: the system's). ``packages`` is a directory that modules are
    also imported from, after all others (empty: none), ``preload_from`` the file that says which of them ahead of need
    (:class:`PackageIndex`; empty: none of them for that reason). ``task_memory`` and the
    limits are in bytes. ``reuse``: a worker may be given a task of the same code again. ``probe`` is for probing the
    kernel layer (its tests, ``doctor``): the workers run their task's code below the language layer. ``plain_prints``:
    what tasks print looks as Python prints it, not as n8n's browser console shows it. ``patience`` is how many times as
    long as usual the zygote and its workers may take to start. The last three are said in Python only; no setting
    reaches them.
    """

    language: LanguagePolicy
    isolation: IsolationConfig
    conversion: Literal["rich", "original"] = "rich"
    max_result: int = 2**30
    max_console: int = 2**20
    environ: dict[str, str] = {}
    time_zone: str = ""
    packages: str = ""
    preload_from: str = ""
    helpers: bool = True
    rpc_max_bytes: int = 256 * 2**20
    reuse: bool = False
    probe: bool = False
    plain_prints: bool = False
    patience: float = 1.0


class PackageIndex(msgspec.Struct, frozen=True):
    """What is said of installed packages, beside their directory: names to import those that were asked for by."""

    imports: tuple[str, ...] = ()


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Supervisor to zygote: fork that many workers.

    ``urgent`` ones skip their dummy task: somebody waits for one of them, or for a processor, and would pay for
    the dummy's whole run instead of for the page faults that it spares the task.
    """

    count: int
    urgent: bool = False


class Trick(msgspec.Struct, frozen=True):
    """Something clever about the interpreter's memory that can't be had everywhere: whether it is ``on``, how far, or
    why not.
    """

    name: Literal["sealing", "immortal objects", "plain fork", "heap", "shared prints"]
    on: bool
    detail: str


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """Zygote to supervisor: restricted and ready to fork. ``failed`` maps modules that could
    not be preloaded to the reason."""

    python: str
    layers: tuple[LayerStatus, ...]
    preloaded: int = 0
    failed: dict[str, str] = {}
    tricks: tuple[Trick, ...] = ()


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Zygote to supervisor: it cannot start as configured; the text says what to change."""

    message: str


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """Zygote to supervisor, with two or three descriptors: the worker's socket, its pidfd, the memory that its prints
    lie in.
    """

    pid: _Pid


class ForkFailed(msgspec.Struct, frozen=True, tag="forkfailed"):
    """Zygote to supervisor: fork(2) answered ``errno``."""

    errno: _Errno


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """Zygote to supervisor: a worker was reaped, with ``status`` as of waitpid(2).

    ``cpu`` is the processor time that it used in its life, in seconds, ``peak`` the most memory that it had resident
    (``ru_maxrss``, in bytes): pages that it shares with the zygote count.
    """

    pid: _Pid
    status: _Status
    cpu: _Seconds
    peak: _Bytes = 0


ZygoteMessage = Hello | Refusal | Forked | ForkFailed | Exited

#: Variables that keep libraries from starting threads: one per numeric library (a worker's share of the machine is one
#: processor), none for the allocator of pyarrow. Set for the zygote; tasks don't see them. (What libraries ask for in
#: Python is in ``process/zygote.py``.)
NO_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

#: Largest control packet in bytes (well under the default socket buffer).
MAX_CONTROL = 160 * 1024

#: What the process table shows (15 characters at most, prctl(2) PR_SET_NAME).
ZYGOTE_NAME, IDLE_NAME, BUSY_NAME = "reptarium-zyg", "reptarium-idle", "reptarium-busy"
