"""What a runner's pools learn to preload, each for itself, and the file that it is kept in.

The file is read once, at the start, and judged as anybody's: what is wrong with it costs what was learnt, and no start.
It is written anew, beside the old one and in a thread, when something has changed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import OrderedDict
from functools import partial
from typing import Literal

import msgspec
import structlog
import trio

from reptarium.pool.ops.preload_metrics import PreloadMetrics
from reptarium.pool.protocol.messages import UNREADABLE
from reptarium.pool.workers.learning import Learning, Remembered
from reptarium.pool.workers.preloading import Preloading
from reptarium.pool.workers.sharing import pool_for
from reptarium.sandbox.wire import ZygoteConfig

__all__ = ["LONGEST", "POOLS", "Learnt"]

log = structlog.get_logger("reptarium.pool.workers.learnt")

#: Bytes of the file that are read; pools that are remembered, those used last.
LONGEST, POOLS = 1 << 20, 64
_DEFAULT = "default"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    pools: dict[str, Remembered] = {}


class Learnt:
    """``budget``: bytes for each pool; ``path``: where it is kept, if anywhere."""

    def __init__(self, *, budget: int, meter: PreloadMetrics, path: str | None) -> None:
        self._budget = budget
        self._meter = meter
        self._path = path
        self._pools: OrderedDict[str, Preloading] = OrderedDict()
        self._kept: dict[str, Remembered] = {} if path is None else _read(path)
        if path is not None:
            _try(path)
        self._changed = trio.Event()
        self._thread = trio.CapacityLimiter(1)

    def of(self, config: ZygoteConfig, *, default: bool) -> Preloading:
        """The preloading of the pool that is made with this: the same as when it was there before."""
        key = _DEFAULT if default else _key(config)
        if key not in self._pools:
            learning = Learning(config.language, budget=self._budget, remembered=self._kept.get(key))
            self._pools[key] = Preloading(learning, self._meter, partial(self._keep, key))
            if learning.names:
                log.info("what was learnt is preloaded", path=self._path, to_keep_it=learning.line)
        self._pools.move_to_end(key)
        while len(self._pools) > POOLS:
            self._pools.popitem(last=False)
        return self._pools[key]

    @property
    def said(self) -> str:
        """What is learnt and what is left out, in words."""
        return "; ".join(filter(None, (preloading.said for preloading in self._pools.values())))

    def _keep(self, key: str, what: Remembered) -> None:
        self._kept.pop(key, None)
        self._kept[key] = what
        while len(self._kept) > POOLS:
            del self._kept[next(name for name in self._kept if name != _DEFAULT)]
        self._changed.set()

    async def run(self) -> None:
        """Write down what changes, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            if self._path is not None:
                data = msgspec.json.format(msgspec.json.encode(_File(pools=self._kept)))
                try:
                    await trio.to_thread.run_sync(
                        _write, self._path, data, abandon_on_cancel=True, limiter=self._thread
                    )
                except OSError as error:
                    log.error("what was learnt can't be written down", path=self._path, reason=error.strerror)


def _key(config: ZygoteConfig) -> str:
    """The same for pools whose tasks can share one."""
    told = msgspec.json.encode(msgspec.structs.replace(pool_for([config]), environ={}), order="sorted")
    return hashlib.sha256(told).hexdigest()[:16]


def _read(path: str) -> dict[str, Remembered]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError("it is no file")
            data = os.read(fd, LONGEST + 1)
        finally:
            os.close(fd)
        if len(data) > LONGEST:
            raise ValueError("it is too long")
        return msgspec.json.decode(data, type=_File).pools
    except FileNotFoundError:
        return {}
    except (OSError, *UNREADABLE) as error:
        log.warning("what was learnt can't be read and is ignored", path=path, reason=str(error)[:200])
        return {}


def _try(path: str) -> None:
    """Say at the start what would come out only when there is something to keep."""
    beside = f"{path}.new"
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        os.close(_open(beside))
        os.unlink(beside)
    except OSError as error:
        log.warning("what is learnt can't be kept", path=path, reason=error.strerror)


def _open(beside: str) -> int:
    return os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(path: str, data: bytes) -> None:
    beside = f"{path}.new"
    fd = _open(beside)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(beside, path)
    except OSError:
        os.unlink(beside)
        raise
