"""What a worker may read: the interpreter, its packages, shared libraries, a few data files. Nothing else.

Decided once, in the zygote, before any restriction. Landlock (`landlock.py`) grants these paths and the
mount namespace (`namespaces.py`) contains only these, so that the two agree about what exists.

The runner's own packages are *not* part of it: the zygote has imported all of its own code already, and an
attacker has no business in it. Landlock can't take a part back out of a directory that it grants, so a
directory that contains our own packages is granted as a listing (import machinery reads directories), and
each other entry by itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import reptarium

__all__ = ["Grant", "Readable", "grants", "own_paths", "readable"]

# Data files that libraries read on demand: loader cache, local time, random bytes, the null device, locales.
_DATA = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/null",
    "/usr/share/zoneinfo",
    "/usr/lib/locale",
)
_LIBRARY_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


@dataclass(frozen=True, slots=True)
class Grant:
    """One Landlock rule: a whole `tree`, a single `file`, a `device` to write to as well, the `listing` of a directory
    and those below it, a `scratch` directory, to write in, or the files that are a process's `memory`.
    """

    path: str
    kind: Literal["tree", "file", "device", "listing", "scratch", "memory"]


@dataclass(frozen=True, slots=True)
class Readable:
    """What may be read: `roots` are real paths, none below another; `links` are symlinks outside of them
    that lead there; `barred` are real paths that may not be read although they lie below a root.
    """

    roots: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    barred: tuple[str, ...] = ()


#: The folder of ``reptarium.sandbox``, and what it stands in: ``reptarium`` when installed, else the checkout.
_SANDBOX = Path(__file__).resolve().parent.parent
_TOP = _SANDBOX.parent


def own_paths() -> frozenset[str]:
    """Real paths of the runner's own code and metadata, which workers must not read."""
    own = {str(_SANDBOX), str(_TOP / "pool"), str(Path(reptarium.__file__).resolve().parent)}
    for entry in {os.path.realpath(entry) for entry in sys.path if entry}:
        for folder in (entry, os.path.join(entry, "__pycache__")):  # an editable install has a module of its own there
            with contextlib.suppress(OSError):  # not a directory, or not for us to read: nothing to bar there
                own.update(os.path.join(folder, name) for name in os.listdir(folder) if "reptarium" in name)
    return frozenset(own)


def _shared_libraries() -> set[str]:
    """Files that are mapped executable right now: the interpreter, libpython, libc, extension modules.
    `proc(5)`, maps.
    """
    found = set()
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
                    found.add(fields[5])
    except OSError:
        pass  # no /proc: the standard directories below have to do
    return found


def readable(extra: Iterable[str] = ()) -> Readable:
    """Everything that workers may read, and what of it is the runner's own.

    `extra` are paths that the admin added; they are taken as they are. What doesn't exist is left out.
    """
    wanted: list[str] = list(_DATA)
    wanted += [
        value for key, value in sysconfig.get_paths().items() if key in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    for entry in sys.path:
        # A checkout that runs from its own directory would otherwise grant its configuration, tests and
        # history.
        if entry and os.path.realpath(entry) != str(_TOP):
            wanted.append(entry)
    try:
        import zoneinfo

        wanted += zoneinfo.TZPATH
    except ImportError:
        pass
    wanted.append("/usr/share/locale/locale.alias")
    triplet = sysconfig.get_config_var("MULTIARCH") or ""
    if triplet:
        wanted += [f"{directory}/{triplet}" for directory in ("/lib", "/usr/lib")]
    wanted += ["/lib64", "/usr/lib64"]
    for library in _shared_libraries():
        directory = os.path.dirname(library)
        in_system = directory in _LIBRARY_DIRECTORIES or directory.startswith(
            tuple(f"{d}/" for d in _LIBRARY_DIRECTORIES)
        )
        wanted.append(directory if in_system else library)
    wanted += extra
    real: set[str] = set()
    links: dict[str, str] = {}
    for path in wanted:
        resolved = os.path.realpath(path)
        if resolved != "/" and os.path.exists(resolved):
            real.add(resolved)
            _links_on(os.path.abspath(path), links)
    roots = {path for path in real if not any(str(parent) in real for parent in Path(path).parents)}
    outside = {link: target for link, target in links.items() if not any(str(p) in roots for p in Path(link).parents)}
    barred = sorted(own for own in own_paths() if any(str(parent) in roots for parent in Path(own).parents))
    return Readable(tuple(sorted(roots)), tuple(sorted(outside.items())), tuple(barred))


def _links_on(path: str, links: dict[str, str]) -> None:
    """Collect the symlinks that a lookup of the absolute `path` follows, those inside of targets too."""
    pending = [part for part in path.split("/") if part]
    here = "/"
    followed = 0
    while pending and followed < 40:  # the kernel's own bound, path_resolution(7)
        part = pending.pop(0)
        if part == "..":
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, part)
        try:
            target = os.readlink(there)
        except OSError:
            here = there
            continue
        links[there] = target
        followed += 1
        pending = [step for step in target.split("/") if step and step != "."] + pending
        if target.startswith("/"):
            here = "/"


def grants(roots: Iterable[str], excluded: Iterable[str]) -> tuple[Grant, ...]:
    """Landlock rules for `roots` that leave `excluded` (real paths) out."""
    rules: list[Grant] = []
    barred = frozenset(excluded)
    above = {str(parent) for path in barred for parent in Path(path).parents}

    def add(path: str) -> None:
        if path in barred:
            return
        if not os.path.isdir(path):
            rules.append(Grant(path, "file"))
            return
        if path in above:
            rules.append(Grant(path, "listing"))
            for child in sorted(os.listdir(path)):
                inner = os.path.join(path, child)
                if not os.path.islink(inner):  # what it points at is granted, or not, where it lies
                    add(inner)
            return
        rules.append(Grant(path, "tree"))

    for root in roots:
        add(root)
    return tuple(rules)
