"""Who zygote and workers become: the sequence of a change of user, on what `privileges.py` gives.

Which process does what
    The zygote, when it is root, becomes an ordinary user (`Users.drop`), and keeps what it takes to give each worker
    an id of its own, where there is a range. A worker takes its id and gives the rest up (`Users.become_with`). Without
    root nobody changes, and capabilities that there are, from a user namespace or a service manager, are given up.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from reptarium.sandbox.kernel import privileges, syscalls
from reptarium.sandbox.kernel.layers import IsolationConfig, Layers, unchanged
from reptarium.sandbox.kernel.namespaces import Ids

__all__ = ["Users"]


class Users:
    """The user ids of one zygote and its workers, decided while it is unrestricted."""

    def __init__(self, config: IsolationConfig) -> None:
        self._config = config
        self._uid: int | None = None
        self._gid: int | None = None
        if os.geteuid() == 0:
            self._uid = privileges.NOBODY if config.uid is None else config.uid
            self._gid = privileges.NOBODY if config.gid is None else config.gid
        # The supervisor's own: inside of a user namespace the zygote would have it whatever holds outside.
        self._can_be_ended = bool(privileges.effective() >> privileges.CAP_KILL & 1)
        self._worker_capabilities = privileges.CapabilitySet()
        self._worker_uid = ctypes.c_long()
        self._first, self._count = 0, 1
        # Two runners on one machine have the same range, and RLIMIT_NPROC counts a user's threads wherever they are
        self._offset = int.from_bytes(os.urandom(4), "little")
        #: Whether each worker has a user id of its own.
        self.one_each = False

    @property
    def owner(self) -> int:
        """The user whom the zygote will be, unless the change is refused."""
        return os.getuid() if self._uid is None else self._uid

    def ids(self) -> Ids | None:
        """The ids that zygote and workers will have, which a user namespace must know; None without a change."""
        if self._uid is None or self._gid is None:
            return None
        users = {0: 1, self._uid: 1}
        if self._config.worker_uids:
            first, last = self._config.worker_uids
            users = {uid: 1 for uid in users if not first <= uid <= last} | {first: last - first + 1}
        return Ids(tuple(users.items()), tuple({0: 1, self._gid: 1}.items()))

    def drop(self, roots: Iterable[str], layers: Layers) -> None:
        """Become that user, who is to read `roots`; enters the layer ``uid``.

        Raises IsolationUnavailable under ``enforce`` when that can't be had, OSError.
        """
        if self._uid is None or self._gid is None:
            self._stay(layers)
            return
        config = self._config
        barrier = privileges.unreachable(roots, self._uid, self._gid)
        # With a range, every id must get through: as none of them owns anything, one stands for all.
        have = privileges.effective()
        worker = [privileges.CAP_DAC_READ_SEARCH] if barrier and have >> privileges.CAP_DAC_READ_SEARCH & 1 else []
        zygote = list(worker)
        if config.worker_uids:
            zygote += [privileges.CAP_SETUID, privileges.CAP_SETGID, privileges.CAP_KILL]
        try:
            if not self._can_be_ended:
                raise PermissionError(errno.EPERM, "without CAP_KILL tasks of another user could not be ended")
            self._become(privileges.CapabilitySet(zygote), may_lock=bool(have >> privileges.CAP_SETPCAP & 1))
        except OSError as error:
            who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
            layers.require(
                "uid",
                f"tasks would run as {who}, the change to user {self._uid} was refused ({error.strerror})",
                "Start as an ordinary user, or give root CAP_SETUID, CAP_SETGID, CAP_KILL and CAP_SETPCAP.",
            )
            privileges.give_up_all()
            return
        self._worker_capabilities = privileges.CapabilitySet(worker)
        whom = f"user {self._uid}, group {self._gid}"
        if config.worker_uids:
            first, last = config.worker_uids
            self.one_each, self._first, self._count = True, first, last - first + 1
            whom = f"zygote user {self._uid}, workers one each of {first}–{last}"
        if barrier:
            how = (
                f"keeps CAP_DAC_READ_SEARCH, as {barrier} is closed to it (Landlock decides what it reads)"
                if worker
                else f"can't get past {barrier}: modules that are not preloaded can't be imported"
            )
            layers.report(
                "uid",
                "partial",
                f"{whom}; {how}",
                "Install the interpreter and its packages where every user may read them.",
            )
        else:
            layers.report("uid", "active", f"{whom}; no groups, no capabilities")

    def _become(self, kept: privileges.CapabilitySet, *, may_lock: bool) -> None:
        assert self._uid is not None
        assert self._gid is not None
        privileges.no_groups()
        if may_lock:
            privileges.drop_bounding_set()
            privileges.lock_securebits()
            privileges.become(self._uid, self._gid, kept)
        else:
            privileges.keep_capabilities(True)
            privileges.become(self._uid, self._gid, kept)
            privileges.keep_capabilities(False)

    def _stay(self, layers: Layers) -> None:
        uid, gid = os.getuid(), os.getgid()
        wanted = self._config
        if wanted.uid not in (None, uid) or wanted.gid not in (None, gid):
            layers.require(
                "uid",
                f"only root can change the user; this is user {uid}",
                "Start as root, or leave the setting out.",
            )
        else:
            layers.report("uid", *unchanged(uid, {gid, *os.getgroups()}))
        # A user namespace gave capabilities inside; a service may have been started with ambient ones.
        if privileges.effective() >> privileges.CAP_SETPCAP & 1:
            privileges.drop_bounding_set()
            privileges.lock_securebits()
        privileges.give_up_all()

    def become_with(self, calls: syscalls.CallList) -> None:
        """Have `calls` take a worker's own user id, and give up what the zygote kept for that."""
        gid = privileges.NOBODY if self._gid is None else self._gid
        privileges.become_with(calls, self._worker_uid, gid, self._worker_capabilities)

    def choose(self, number: int) -> None:
        """The next calls are those of the zygote's worker `number`."""
        self._worker_uid.value = self._first + (self._offset + number) % self._count
