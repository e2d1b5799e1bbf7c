"""The zygote's memory, laid out so that it is cheap to fork.

fork(2) copies a table entry for each page of private memory, and the child's exit takes it back: both together cost
about 0.1 µs a page, and a zygote has 4,000. Neighbours within one huge page go by in runs, even where children have
written to some of them, and so does what is one mapping instead of many. Measured in rounds that take turns
(``python -m reptarium.pool.bench.heap``, Linux 6.18, Python 3.11: six pairs of zygotes, 36 pairs of 60 tasks each):
a small task takes 0.913 times the processor time, zygote and worker together (95 % interval 0.888 to 0.940), with as
many page faults; with pandas preloaded there is no difference. Two steps lead there:

1. Python takes memory for small objects in arenas of 1 MiB, each a mapping of its own between those of the shared
   libraries. :func:`gather`, called before anything is imported, makes them parts of the C library's heap, which
   is one mapping. ``aligned_alloc(alignment, size)`` happens to be what an arena allocator is: a
   function of some context and a size (C API, ``PyObject_SetArenaAllocator``).
2. :func:`settle`, called when everything is imported, gives arenas back to Python and asks the kernel for huge pages
   (madvise(2), ``MADV_COLLAPSE``, Linux 6.1).

Where something of this isn't to be had (another C library, an older kernel), memory stays as it is.
"""

from __future__ import annotations

import ctypes
import sysconfig

#: Bytes: what arenas begin at a multiple of (CPython's pools), and the size of a huge page on x86-64 and, with pages
#: of 4 KiB, on aarch64.
_POOL, _HUGE = 1 << 14, 2 << 20
_MADV_COLLAPSE = 25
# mallopt(3). The first sends arenas to the heap; later both are what glibc itself arrives at by and by, in
# programs that free large blocks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_THRESHOLD = 32 << 20


class _Allocator(ctypes.Structure):
    """``PyObjectArenaAllocator``."""

    _fields_ = (("context", ctypes.c_void_p), ("alloc", ctypes.c_void_p), ("free", ctypes.c_void_p))


_libc = ctypes.CDLL(None, use_errno=True)
_pythons = _Allocator()


def gather() -> bool:
    """From here on arenas come from the C library's heap. False where that can't be done.

    An arena that is freed is unmapped all the same, by Python's own function: a hole in the heap, whose block stays
    the C library's for good.
    """
    if not hasattr(_libc, "mallopt") or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if not _libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30):
        return False
    ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(_pythons))
    alloc = ctypes.cast(_libc.aligned_alloc, ctypes.c_void_p).value
    new = _Allocator(_POOL, alloc, _pythons.free)
    ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(new))
    return True


def gathered() -> bool:
    """Whether :func:`gather` did."""
    return bool(_pythons.alloc)


def settle() -> int:
    """All is imported. Returns how many huge pages the heap is in now; needs /proc."""
    if not gathered():
        return 0
    ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(_pythons))
    _libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
    _libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
    _libc.malloc.restype = ctypes.c_void_p
    _libc.free(ctypes.c_void_p(_libc.malloc(_HUGE)))  # so that the last of them fits in
    madvise = _libc.madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return sum(
        madvise(address, _HUGE, _MADV_COLLAPSE) == 0
        for begin, end in _private()
        for address in range(-(-begin // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE)
    )


def _private() -> list[tuple[int, int]]:
    """First and last address of this process's own memory: the heap, and what was mapped without a file."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            if rights == "rw-p" and (not name or name[0].strip() == "[heap]"):
                begin, _, end = span.partition("-")
                found.append((int(begin, 16), int(end, 16)))
    return found
