"""Reads n8n's exports: files, folders, standard input. What comes out is JSON that may hold workflows, or a problem.

Exports are other people's. A file that is none, is too long or is nested too deeply becomes a :class:`Problem`, and the
next one is read.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from reptarium.sandbox.nesting import MAX_NESTING, nesting, room

#: Bytes of one file, and files of one folder.
LONGEST, MOST_FILES = 256 << 20, 100_000
_HALVES = re.compile("[\ud800-\udfff]")
#: Standard input.
STDIN = "-"


class Document(NamedTuple):
    """One JSON value, and where it was read. ``named``: whether the file itself was asked for, not its folder."""

    source: str
    value: Any
    named: bool = True


class Problem(msgspec.Struct, frozen=True):
    """What can't be read, or not wholly. ``text`` says what was expected."""

    source: str
    text: str


def read_all(places: Iterable[str]) -> Iterator[Document | Problem]:
    """Everything in these files and folders; ``-`` is standard input."""
    for place in places:
        if place == STDIN:
            yield _decoded("standard input", sys.stdin.buffer.read(LONGEST + 1), True)
        elif Path(place).is_dir():
            yield from _folder(Path(place))
        else:
            yield read_file(Path(place))


def read_file(path: Path, named: bool = True) -> Document | Problem:
    """One file; a pipe or a device where it was asked for by its name, as `<(…)` of a shell is."""
    try:
        if not named and path.exists() and not path.is_file():  # a pipe would be waited for
            return Problem(str(path), "it is neither a file nor a folder")
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        return Problem(str(path), f"it can't be read: {getattr(error, 'strerror', None) or error}")
    return _decoded(str(path), raw, named)


def _folder(folder: Path) -> Iterator[Document | Problem]:
    found = 0
    failed: list[OSError] = []
    seen = {_identity(folder)}
    for where, folders, names in os.walk(folder, onerror=failed.append, followlinks=True):
        found_here = sorted(name for name in folders if not name.startswith("."))
        folders.clear()
        for name in found_here:
            which = _identity(Path(where) / name)
            if which not in seen:  # links may lead in a circle, or to what is read anyway
                seen.add(which)
                folders.append(name)
        for name in sorted(names):
            if not name.endswith(".json"):
                continue
            found += 1
            if found > MOST_FILES:
                yield Problem(str(folder), f"it has more than {MOST_FILES:,} files; name a part of them")
                return
            yield read_file(Path(where) / name, named=False)
    for error in failed:
        yield Problem(str(error.filename or folder), f"the folder can't be read: {error.strerror or error}")
    if not found and not failed:
        yield Problem(str(folder), "there is no .json file in it; `n8n export:workflow --all --separate` writes such")


def _identity(folder: Path) -> tuple[int, int] | str:
    """What tells a folder from others, by whatever path it is reached."""
    try:
        status = folder.stat()
    except OSError:
        return str(folder)
    return status.st_dev, status.st_ino


def _decoded(source: str, raw: bytes, named: bool) -> Document | Problem:
    if len(raw) > LONGEST:
        return Problem(source, f"it is longer than {LONGEST >> 20} MiB; export with --separate, a file a workflow")
    try:
        return Document(source, decode(raw.removeprefix(b"\xef\xbb\xbf")), named)
    except ValueError as error:
        return Problem(source, str(error))


def decode(raw: bytes) -> Any:
    """A JSON text. Raises ValueError with what is wrong with it."""
    if not raw.strip():
        raise ValueError("it is empty; an export of n8n's is JSON")
    if nesting(raw) > MAX_NESTING:
        raise ValueError(f"it is nested more than {MAX_NESTING:,} levels deep, and isn't read")
    try:
        with room():
            return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        first = error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    try:  # what JavaScript writes and msgspec doesn't take: halves of surrogate pairs, which have no place in UTF-8
        with room():
            text = json.dumps(json.loads(raw), ensure_ascii=False)
            return json.loads(_HALVES.sub("\N{REPLACEMENT CHARACTER}", text))
    except (ValueError, RecursionError):
        raise ValueError(f"it is not JSON: {first}") from None
