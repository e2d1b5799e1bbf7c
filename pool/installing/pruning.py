"""Removing the directories of other requirements files, and of other Pythons, than the one that is asked for."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from reptarium.pool.installing.installation import open_lock
from reptarium.pool.installing.place import Place

__all__ = ["prune"]

#: What `place.py` and `installation.py` name them; nothing else that lies there is touched.
_OURS = re.compile(r"(?:\.part-)?(\w[\w.]*(?:-[\w.]+)*-[0-9a-f]{32})(?:-\w+)?")


def prune(place: Place) -> Iterator[Path]:
    """Remove all beside ``place``, and give each that is gone. What another runner makes at the moment stays.

    A runner that *uses* one isn't noticed: its next zygote can't import from there. Raises OSError.
    """
    for directory in sorted(place.root.iterdir()):
        ours = _OURS.fullmatch(directory.name)
        if ours is None or directory == place.directory or directory.is_symlink():
            continue
        # the file of the lock stays: who waits for it must not hold another one than who comes next
        with open(open_lock(place.root / f".lock-{ours[1]}"), "rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            # whoever looks finds all of it, or nothing; and the next one who prunes or makes it what a kill left
            gone = place.root / f".part-{ours[1]}-gone"
            if directory != gone:
                shutil.rmtree(gone, ignore_errors=True)
                directory.rename(gone)
            shutil.rmtree(gone)
        yield directory
