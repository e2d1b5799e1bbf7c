"""Where packages lie that were installed for user code: one directory for each requirements file and kind of Python.

    PATH/cpython-313-x86_64-linux-gnu-5d41…/site-packages    what the zygote and workers import from, last
    PATH/cpython-313-x86_64-linux-gnu-5d41…/packages.json    which names to preload; written last
    PATH/.lock-…, PATH/.part-…                               whoever makes one holds the lock; what isn't whole yet

A directory appears under its name when it is whole, by one rename, and is never changed again.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from functools import cache
from pathlib import Path

import msgspec

from reptarium.pool.config import Settings
from reptarium.pool.installing.own import own_constraints
from reptarium.pool.installing.requirements import Requirements, read_requirements


class Place(msgspec.Struct, frozen=True):
    """Where the packages of one file are, or will be."""

    requirements: Requirements
    root: Path
    name: str

    @property
    def directory(self) -> Path:
        """All that belongs to it."""
        return self.root / self.name

    @property
    def site(self) -> Path:
        """What is imported from. (Its name is what tells packages' own data from other files.)"""
        return self.directory / "site-packages"

    @property
    def index(self) -> Path:
        """What the zygote is told of it: `Index` as JSON."""
        return self.directory / "packages.json"

    def ready(self) -> bool:
        """Whether it is whole. Raises OSError."""
        return self.index.is_file()


def place_of(settings: Settings) -> Place | None:
    """The place of the packages that these settings ask for; None: they ask for none.

    The file is read once in the life of a process: what is installed doesn't change under workers. Raises
    ``PackagesRefused``.
    """
    if settings.requirements is None:
        return None
    return _place(settings.requirements, settings.requirements_path, settings.wheels or "")


def imports_of(distribution: importlib.metadata.Distribution) -> list[str]:
    """Names that an installed package is imported by, private ones left out. Nothing is imported for that."""
    names = (distribution.read_text("top_level.txt") or "").split()
    if not names:
        files = [file for file in distribution.files or () if file.suffix in (".py", ".so")]
        names = sorted({file.parts[0].partition(".")[0] for file in files})
    return [name for name in names if name.isidentifier() and not name.startswith("_")]


@cache
def _place(file: str, root: str, wheels: str) -> Place:
    requirements = read_requirements(file, own_constraints(), wheels)
    # the C library and the processor are in it, too: cpython-313-x86_64-linux-musl
    kind = sysconfig.get_config_var("SOABI") or f"cpython-{sysconfig.get_python_version()}"
    return Place(requirements, Path(root), f"{kind}-{requirements.digest[:32]}")
