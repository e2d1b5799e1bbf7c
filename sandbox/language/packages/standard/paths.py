"""Names of files without files: ``os.path`` and ``pathlib.Path`` take them apart and put them together."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from reptarium.sandbox.language.guards import refusing
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.packages.standard.holders import guard_methods
from reptarium.sandbox.language.policy.stdlib import NO_FILES

_WHY = f"{NO_FILES}; use the node's binary data, or io.StringIO and io.BytesIO"


def abspath(path: Any) -> Any:
    """``os.path.abspath`` where the working directory is the root."""
    path = os.fspath(path)
    root = b"/" if isinstance(path, bytes) else "/"
    return os.path.normpath(os.path.join(root, path))


def realpath(filename: Any, *, strict: bool = False) -> Any:
    """``os.path.realpath`` where nothing is a link."""
    return abspath(filename)


def relpath(path: Any, start: Any = "/") -> Any:
    """``os.path.relpath`` where the working directory is the root."""
    return os.path.relpath(abspath(path), abspath(start))


def expanduser(path: Any) -> Any:
    """``os.path.expanduser``: a task has no home."""
    return os.fspath(path)


def no_such_file(path: Any) -> bool:
    """``os.path.exists`` and its like: tasks have no files."""
    os.fspath(path)
    return False


class Path(pathlib.PurePosixPath):
    """``pathlib.Path`` for names."""

    __slots__ = ()

    def absolute(self) -> Path:
        return type(self)("/", self)

    def resolve(self, strict: bool = False) -> Path:
        return type(self)(os.path.normpath(self.absolute()))

    def expanduser(self) -> Path:
        return self

    def exists(self, **_: Any) -> bool:
        return False

    is_file = is_dir = is_symlink = is_mount = is_socket = is_fifo = is_block_device = is_char_device = exists


Path.__name__ = Path.__qualname__ = "PosixPath"
Path.__module__ = "pathlib"
for _name in vars(pathlib.Path):
    if not _name.startswith("_") and not hasattr(Path, _name):
        setattr(Path, _name, refusing(f"Path.{_name}", _WHY))

#: What the façade of ``os.path`` carries for what would look at files.
OS_PATH = {
    "abspath": abspath,
    "realpath": realpath,
    "relpath": relpath,
    "expanduser": expanduser,
    **dict.fromkeys(("exists", "lexists", "isfile", "isdir", "islink", "ismount"), no_such_file),
}
PACKAGES = (
    Package(
        "pathlib",
        replaced={"pathlib": {"Path": Path, "PosixPath": Path}},
        patches=dict.fromkeys(("pathlib", "pathlib._abc"), guard_methods),
    ),
)
